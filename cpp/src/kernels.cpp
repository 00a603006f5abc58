// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Compiled once for each instruction set, with SPORTCORE_ISA as its name and namespace. See kernels.h.
#include "kernels.h"

#include "reproject_kernel.h"
#include "triangulate_kernel.h"

#define SPORTCORE_TEXT2(x) #x
#define SPORTCORE_TEXT(x) SPORTCORE_TEXT2(x)

namespace sportcore {
namespace SPORTCORE_ISA {

extern const Kernels kKernels;
const Kernels kKernels = {SPORTCORE_TEXT(SPORTCORE_ISA),
                          {triangulate_range<float>, reproject_range<float>},
                          {triangulate_range<double>, reproject_range<double>}};

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

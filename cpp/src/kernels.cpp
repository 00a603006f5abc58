// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Compiled once for each instruction set, with SPORTCORE_ISA as its name and namespace. See kernels.h.
#include "kernels.h"

#include "linear_kernel.h"
#include "project_backward_kernel.h"
#include "reproject_kernel.h"
#include "skin_kernel.h"
#include "triangulate_kernel.h"

#define SPORTCORE_TEXT2(x) #x
#define SPORTCORE_TEXT(x) SPORTCORE_TEXT2(x)

namespace sportcore {
namespace SPORTCORE_ISA {

template <class S>
constexpr KernelsOf<S> table() {
  return {triangulate_range<S>,
          reproject_range<S>,
          kLanes<S>,
          to_lanes<S>,
          from_lanes<S>,
          skin_lanes<S>,
          skin_rows<S>,
          skin_lanes_backward<S>,
          skin_rows_backward<S>,
          project_backward_range<S>,
          triangulate_linear_range<S>,
          triangulate_linear_backward_range<S>,
          triangulate_backward_range<S>};
}

extern const Kernels kKernels;
const Kernels kKernels = {SPORTCORE_TEXT(SPORTCORE_ISA), table<float>(), table<double>()};

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

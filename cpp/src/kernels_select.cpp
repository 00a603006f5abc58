// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>

#include "kernels.h"
#include "sportcore/device.h"

namespace sportcore {
namespace {

const Kernels& choose() {
#if SPORTCORE_X86_KERNELS
  const char* wanted = std::getenv("SPORTCORE_ISA");
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw");
  if (has_avx512 && (!wanted || !std::strcmp(wanted, "avx512"))) return avx512::kKernels;
  if (has_avx2 && (!wanted || std::strcmp(wanted, "baseline"))) return avx2::kKernels;
#endif
  return baseline::kKernels;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

const char* kernel_isa() { return kernels().name; }

}  // namespace sportcore

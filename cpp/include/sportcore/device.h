// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// CUDA devices, without any CUDA type in sight. Asking for CUDA where there is none is a DeviceError that
/// names the fix; nothing falls back to the CPU silently.
#pragma once

#include <string>

#include "sportcore/error.h"

namespace sportcore {

/// True when this library holds the CUDA kernels.
SPORTCORE_API bool built_with_cuda();

/// Number of usable CUDA devices; 0 without a driver, without a device, or when built without CUDA.
SPORTCORE_API int cuda_device_count();

/// Name of a device, e.g. "NVIDIA H200". Throws DeviceError when there is no such device.
SPORTCORE_API std::string cuda_device_name(int device = 0);

/// Throws DeviceError when CUDA cannot be used; the message says why and what to do.
SPORTCORE_API void require_cuda();

/// The SIMD instruction set whose kernels run in this process: "avx512", "avx2" or "baseline" (that of the
/// build: SSE on x86-64, NEON on ARM). The best that the processor has, unless the environment variable
/// SPORTCORE_ISA names a lesser one when the first kernel runs.
SPORTCORE_API const char* kernel_isa();

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <string>

#include "device_launch.h"

namespace sportcore::cuda {

int device_count(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  if (why) *why = status == cudaSuccess ? "no device is visible" : cudaGetErrorString(status);
  cudaGetLastError();  // the failure is reported here; it must not surface in a later call
  return 0;
}

std::string device_name(int device) {
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
    cudaGetLastError();
    return "unknown device";
  }
  return properties.name;
}

}  // namespace sportcore::cuda

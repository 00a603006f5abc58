// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/device.h"

#include "device_launch.h"

namespace sportcore {

#if SPORTCORE_WITH_CUDA

bool built_with_cuda() { return true; }

int cuda_device_count() { return cuda::device_count(nullptr); }

std::string cuda_device_name(int device) {
  require_cuda();
  return cuda::device_name(device);
}

void require_cuda() {
  std::string why;
  if (cuda::device_count(&why) == 0) {
    throw DeviceError(
        "CUDA was asked for, but no usable CUDA device was found (" + why + ").",
        "Install or update the NVIDIA driver (`nvidia-smi` shows what it supports), or use device=\"cpu\".");
  }
}

#else

bool built_with_cuda() { return false; }

int cuda_device_count() { return 0; }

std::string cuda_device_name(int) {
  require_cuda();
  return "";
}

void require_cuda() {
  throw DeviceError(
      "CUDA was asked for, but this sportcore was built without it.",
      "Put nvcc on PATH and reinstall from source (pip install --no-binary sportcore sportcore), or use "
      "device=\"cpu\".");
}

#endif

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "buffer.cuh"
#include "device_launch.h"
#include "sportcore/camera.h"

namespace sportcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::size_t kMaxBlocks = 65535;
constexpr std::size_t kCamerasAtOnce = 64;

/// Cameras travel as an argument of the kernel, in the constant bank: no copy to wait for, no workspace.
template <class T>
struct RigArgument {
  Camera<T> cameras[kCamerasAtOnce];
};

/// Two numbers that are read or written in one go.
template <class T>
struct alignas(2 * sizeof(T)) Two {
  T u, v;
};

/// One thread per point, which it reads once and projects into one camera after the other.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reproject_kernel(const __grid_constant__ RigArgument<T> rig, int n_cameras, const T* __restrict__ points,
                     std::size_t n, const T* __restrict__ observed, T* __restrict__ out) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    const T X[3] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    for (int c = 0; c < n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      T uv[2];
      project_world(rig.cameras[c], X, uv);
      Two<T> result{uv[0], uv[1]};
      if (observed) {
        const Two<T> seen = reinterpret_cast<const Two<T>*>(observed)[at];
        result.u -= seen.u;
        result.v -= seen.v;
      }
      reinterpret_cast<Two<T>*>(out)[at] = result;
    }
  }
}

}  // namespace

template <class T>
void reproject_device(const Camera<double>* cameras, std::size_t n_cameras, const T* points,
                      std::size_t n_points, const T* observed, T* out, void* stream) {
  if (n_points == 0) return;
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  const unsigned blocks =
      static_cast<unsigned>(std::min<std::size_t>((n_points + kThreads - 1) / kThreads, kMaxBlocks));
  for (std::size_t first = 0; first < n_cameras; first += kCamerasAtOnce) {
    const std::size_t count = std::min(n_cameras - first, kCamerasAtOnce);
    RigArgument<T> rig;
    for (std::size_t c = 0; c < count; ++c) rig.cameras[c] = camera_cast<T>(cameras[first + c]);
    const std::size_t at = 2 * first * n_points;
    reproject_kernel<T><<<blocks, kThreads, 0, s>>>(rig, static_cast<int>(count), points, n_points,
                                                    observed ? observed + at : nullptr, out + at);
    check(cudaGetLastError(), "starting reproject");
  }
}

template <class T>
void reproject_host(const Camera<double>* cameras, std::size_t n_cameras, const T* points,
                    std::size_t n_points, const T* observed, T* out) {
  const Stream stream;
  const std::size_t n_out = 2 * n_cameras * n_points;
  const Buffer<T> in(points, 3 * n_points, stream.get()), seen(observed, n_out, stream.get());
  const Buffer<T> result(n_out, stream.get());
  reproject_device<T>(cameras, n_cameras, in.get(), n_points, seen.get(), result.get(), stream.get());
  result.copy_out(out, n_out);
  stream.wait();
}

template void reproject_device<float>(const Camera<double>*, std::size_t, const float*, std::size_t,
                                      const float*, float*, void*);
template void reproject_device<double>(const Camera<double>*, std::size_t, const double*, std::size_t,
                                       const double*, double*, void*);
template void reproject_host<float>(const Camera<double>*, std::size_t, const float*, std::size_t,
                                    const float*, float*);
template void reproject_host<double>(const Camera<double>*, std::size_t, const double*, std::size_t,
                                     const double*, double*);

}  // namespace sportcore::cuda

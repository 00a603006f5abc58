// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "buffer.cuh"
#include "device_launch.h"
#include "sportcore/camera.h"

namespace sportcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::size_t kMaxBlocks = 65535;

/// One thread per point, one grid row per camera.
template <class T>
__global__ void __launch_bounds__(kThreads)
    reproject_kernel(const Camera<T>* __restrict__ cameras, const T* __restrict__ points, std::size_t n,
                     const T* __restrict__ observed, T* __restrict__ out) {
  __shared__ Camera<T> camera;
  const std::size_t c = blockIdx.y;
  if (threadIdx.x == 0) camera = cameras[c];
  __syncthreads();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    const T X[3] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    const std::size_t at = 2 * (c * n + i);
    T uv[2];
    project_world(camera, X, uv);
    out[at] = observed ? uv[0] - observed[at] : uv[0];
    out[at + 1] = observed ? uv[1] - observed[at + 1] : uv[1];
  }
}

}  // namespace

template <class T>
void reproject_device(const Camera<double>* cameras, std::size_t n_cameras, const T* points,
                      std::size_t n_points, const T* observed, T* out, void* stream) {
  if (n_points == 0) return;
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  for (std::size_t first = 0; first < n_cameras; first += kMaxBlocks) {
    const std::size_t count = std::min(n_cameras - first, kMaxBlocks);
    std::vector<Camera<T>> rounded(count);
    for (std::size_t c = 0; c < count; ++c) rounded[c] = camera_cast<T>(cameras[first + c]);
    const Buffer<Camera<T>> rig(rounded.data(), count, s);
    const std::size_t at = 2 * first * n_points;
    const dim3 grid(
        static_cast<unsigned>(std::min<std::size_t>((n_points + kThreads - 1) / kThreads, kMaxBlocks)),
        static_cast<unsigned>(count));
    reproject_kernel<T>
        <<<grid, kThreads, 0, s>>>(rig.get(), points, n_points, observed ? observed + at : nullptr, out + at);
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

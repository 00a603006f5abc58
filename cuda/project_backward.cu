// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Projection by rows of camera parameters and its adjoint: one thread per point, no atomic operations.
#include "camera_rows.cuh"
#include "gradient_launch.h"
#include "sportcore/project_gradient.h"

namespace sportcore::cuda {
namespace {

constexpr std::size_t kMostBlocks = 65535;

/// One grid row per camera.
template <class T>
__global__ void __launch_bounds__(kRowThreads, 4)
    project_kernel(const double* __restrict__ rows, const Models models, const T* __restrict__ points,
                   std::size_t n, T* __restrict__ uv) {
  __shared__ Camera<T> camera;
  const int c = blockIdx.y;
  if (threadIdx.x == 0) camera = camera_cast<T>(camera_from_row(rows + kCameraParameters * c, models.at(c)));
  __syncthreads();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < n; i += stride) {
    const T X[3] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    T at[2];
    project_world(camera, X, at);
    store_two(at[0], at[1], uv, c * n + i);
  }
}

/// By the points; `add` continues the sum over cameras of an earlier launch.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    project_points_kernel(const double* __restrict__ rows, const Models models, int n_cameras,
                          const T* __restrict__ points, std::size_t n, const T* __restrict__ grad_uv,
                          bool add, T* __restrict__ grad_points) {
  extern __shared__ __align__(16) unsigned char shared[];
  Camera<T>* rig = reinterpret_cast<Camera<T>*>(shared);
  for (int c = threadIdx.x; c < n_cameras; c += kRowThreads)
    rig[c] = camera_cast<T>(camera_from_row(rows + kCameraParameters * c, models.at(c)));
  __syncthreads();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < n; i += stride) {
    const T X[3] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    T by_X[3] = {T(0), T(0), T(0)};
    if (add)
      for (int k = 0; k < 3; ++k) by_X[k] = grad_points[3 * i + k];
    for (int c = 0; c < n_cameras; ++c) {
      const Two<T> by_uv = load_two(grad_uv, c * n + i);
      const T g[2] = {by_uv.a, by_uv.b};
      project_gradient<false>(rig[c], X, g, by_X, static_cast<T*>(nullptr));
    }
    for (int k = 0; k < 3; ++k) grad_points[3 * i + k] = by_X[k];
  }
}

/// By the cameras: one grid row for each; partial (blocks, C, 24).
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    project_cameras_kernel(const double* __restrict__ rows, const Models models, const T* __restrict__ points,
                           std::size_t n, const T* __restrict__ grad_uv, double* __restrict__ partial) {
  __shared__ Camera<T> camera;
  const int c = blockIdx.y;
  if (threadIdx.x == 0) camera = camera_cast<T>(camera_from_row(rows + kCameraParameters * c, models.at(c)));
  __syncthreads();
  T row[kCameraParameters];
#pragma unroll
  for (int j = 0; j < kCameraParameters; ++j) row[j] = T(0);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < n; i += stride) {
    const T X[3] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    const Two<T> by_uv = load_two(grad_uv, c * n + i);
    const T g[2] = {by_uv.a, by_uv.b};
    T by_X[3] = {T(0), T(0), T(0)};
    project_gradient<true>(camera, X, g, by_X, row);
  }
  reduce_row(row, partial + (static_cast<std::size_t>(blockIdx.x) * gridDim.y + c) * kCameraParameters);
}

unsigned point_blocks(std::size_t n) {
  return static_cast<unsigned>(std::min<std::size_t>((n + kRowThreads - 1) / kRowThreads, kMostBlocks));
}

}  // namespace

template <class T>
void project_rows_device(const CameraRows& cameras, const T* points, std::size_t n, T* uv, void* stream) {
  if (n == 0) return;
  for (std::size_t first = 0; first < cameras.n_cameras; first += kMaxViews) {
    const std::size_t count = std::min<std::size_t>(cameras.n_cameras - first, kMaxViews);
    const dim3 grid(point_blocks(n), static_cast<unsigned>(count));
    project_kernel<T><<<grid, kRowThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        cameras.parameters + kCameraParameters * first, models_of(cameras, first, count), points, n,
        uv + 2 * first * n);
    check(cudaGetLastError(), "starting project");
  }
}

template <class T>
void project_backward_device(const CameraRows& cameras, const T* points, std::size_t n, const T* grad_uv,
                             T* grad_points, double* grad_cameras, void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  if (n == 0) {
    if (grad_cameras)
      check(cudaMemsetAsync(grad_cameras, 0, cameras.n_cameras * kCameraParameters * sizeof(double), s),
            "clearing gradients");
    return;
  }
  for (std::size_t first = 0; first < cameras.n_cameras; first += kMaxViews) {
    const std::size_t count = std::min<std::size_t>(cameras.n_cameras - first, kMaxViews);
    const double* rows = cameras.parameters + kCameraParameters * first;
    const Models models = models_of(cameras, first, count);
    const T* g = grad_uv + 2 * first * n;
    if (grad_points) {
      project_points_kernel<T><<<point_blocks(n), kRowThreads, count * sizeof(Camera<T>), s>>>(
          rows, models, static_cast<int>(count), points, n, g, first > 0, grad_points);
      check(cudaGetLastError(), "starting project_backward");
    }
    if (grad_cameras) {
      const int blocks = sum_blocks(n), C = static_cast<int>(count);
      const Buffer<double> partial(static_cast<std::size_t>(blocks) * count * kCameraParameters, s);
      project_cameras_kernel<T>
          <<<dim3(blocks, C), kRowThreads, 0, s>>>(rows, models, points, n, g, partial.get());
      check(cudaGetLastError(), "starting project_backward");
      finish_rows_kernel<false><<<C, kFinishGroups * kCameraParameters, 0, s>>>(
          partial.get(), blocks, rows, C, grad_cameras + kCameraParameters * first);
      check(cudaGetLastError(), "starting project_backward");
    }
  }
}

#define SPORTCORE_INSTANTIATE(T)                                                                            \
  template void project_rows_device<T>(const CameraRows&, const T*, std::size_t, T*, void*);                \
  template void project_backward_device<T>(const CameraRows&, const T*, std::size_t, const T*, T*, double*, \
                                           void*);
SPORTCORE_INSTANTIATE(float)
SPORTCORE_INSTANTIATE(double)
#undef SPORTCORE_INSTANTIATE

}  // namespace sportcore::cuda

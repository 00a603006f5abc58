// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Rows of camera parameters on the device, and sums of their gradients over points in a fixed order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "buffer.cuh"
#include "sportcore/camera_parameters.h"
#include "sportcore/triangulate.h"
#include "sportcore/triangulate_linear_point.h"

namespace sportcore::cuda {

constexpr int kRowThreads = 128;                // of the kernels below
constexpr std::size_t kPlainShared = 48 << 10;  // bytes that no launch attribute has to ask for

/// Two numbers that are read or written in one go; arrays of pairs must be aligned to it.
template <class T>
struct alignas(2 * sizeof(T)) Two {
  T a, b;
};

template <class T>
__device__ inline Two<T> load_two(const T* pairs, std::size_t at) {
  return reinterpret_cast<const Two<T>*>(pairs)[at];
}

template <class T>
__device__ inline void store_two(T a, T b, T* pairs, std::size_t at) {
  reinterpret_cast<Two<T>*>(pairs)[at] = Two<T>{a, b};
}

/// The lens models of up to kMaxViews cameras, two bits each, passed by value.
struct Models {
  std::uint64_t low, high;
  __device__ int at(int c) const { return static_cast<int>(((c < 32 ? low : high) >> (2 * (c % 32))) & 3); }
};
static_assert(kMaxViews <= 64, "Models has room for 64 cameras");

inline Models models_of(const CameraRows& cameras, std::size_t first, std::size_t count) {
  Models m{0, 0};
  for (std::size_t c = 0; c < count; ++c)
    (c < 32 ? m.low : m.high) |= static_cast<std::uint64_t>(cameras.models[first + c]) << (2 * (c % 32));
  return m;
}

/// The mean of the camera positions in shared memory (`positions` (C, 3) and `center` (3)). All threads of
/// the block call it; ends with a barrier.
__device__ inline void load_center(const double* __restrict__ rows, int n_cameras, double* positions,
                                   double* center) {
  for (int c = threadIdx.x; c < n_cameras; c += blockDim.x)
    position_from_row(rows + kCameraParameters * c, positions + 3 * c);
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum[3] = {0, 0, 0};
    for (int c = 0; c < n_cameras; ++c)
      for (int k = 0; k < 3; ++k) sum[k] += positions[3 * c + k] / n_cameras;
    const bool finite = is_finite(sum[0] + sum[1] + sum[2]);
    for (int k = 0; k < 3; ++k) center[k] = finite ? sum[k] : 0;
  }
  __syncthreads();
}

/// Blocks along the points for the kernels that sum: from the number of points alone, so that the order of
/// the sums is the same on every device.
inline int sum_blocks(std::size_t n_points) {
  return static_cast<int>(std::min<std::size_t>((n_points + 4 * kRowThreads - 1) / (4 * kRowThreads), 1024));
}

/// Adds up `row` over the threads of a block of kRowThreads; thread j < 24 writes sum j to `out`.
template <class T>
__device__ void reduce_row(const T* row, double* out) {
  __shared__ double sums[kRowThreads / 32][kCameraParameters];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int j = 0; j < kCameraParameters; ++j) {
    double x = static_cast<double>(row[j]);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_down_sync(0xffffffffu, x, step);
    if (lane == 0) sums[warp][j] = x;
  }
  __syncthreads();
  if (threadIdx.x < kCameraParameters) {
    double x = 0;
    for (int w = 0; w < kRowThreads / 32; ++w) x += sums[w][threadIdx.x];
    out[threadIdx.x] = x;
  }
}

constexpr int kFinishGroups = 10;

/// One block for each camera: partial (blocks, C, 24) -> out (C, 24). With kMoved the rows are those of
/// cameras moved by load_center and are moved back.
template <bool kMoved>
__global__ void __launch_bounds__(kFinishGroups* kCameraParameters)
    finish_rows_kernel(const double* __restrict__ partial, int n_blocks, const double* __restrict__ rows,
                       int n_cameras, double* __restrict__ out) {
  __shared__ double sums[kFinishGroups][kCameraParameters], positions[3 * kMaxViews], center[3];
  const int j = threadIdx.x % kCameraParameters, group = threadIdx.x / kCameraParameters, c = blockIdx.x;
  double x = 0;
  for (int b = group; b < n_blocks; b += kFinishGroups)
    x += partial[(static_cast<std::size_t>(b) * n_cameras + c) * kCameraParameters + j];
  sums[group][j] = x;
  if (kMoved) load_center(rows, n_cameras, positions, center);
  __syncthreads();
  if (group == 0) {
    for (int g = 1; g < kFinishGroups; ++g) x += sums[g][j];
    sums[0][j] = x;
  }
  __syncthreads();
  if (threadIdx.x == 0 && kMoved) move_gradient(center, sums[0]);
  __syncthreads();
  if (group == 0) out[c * kCameraParameters + j] = sums[0][j];
}

}  // namespace sportcore::cuda

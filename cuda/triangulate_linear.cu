// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Linear triangulation and its adjoint: one thread per point, its rays in shared memory, no atomic
/// operations.
#include "camera_rows.cuh"
#include "gradient_launch.h"

namespace sportcore::cuda {
namespace {

constexpr std::size_t kMostBlocks = 8192;  // each prepares the cameras anew

/// Threads of a block: as many as the rays in shared memory leave room for.
template <class S>
int block_threads(std::size_t n_cameras) {
  std::size_t threads = kRowThreads;
  const std::size_t rig = n_cameras * (sizeof(LinearCamera<S>) + 3 * sizeof(double));
  while (threads > 32 && rig + threads * n_cameras * kRayFields * sizeof(S) > kPlainShared) threads /= 2;
  return static_cast<int>(threads);
}

template <class S>
std::size_t shared_bytes(std::size_t n_cameras, int threads) {
  return n_cameras * (sizeof(LinearCamera<S>) + 3 * sizeof(double) + threads * kRayFields * sizeof(S));
}

/// The cameras, moved and rounded, and the rays of each thread.
template <class S>
struct Block {
  LinearCamera<S>* rig;
  Rays<S> rays;
};

template <class S>
__device__ Block<S> prepare_block(const double* __restrict__ rows, const Models& models, int n_cameras,
                                  double* center) {
  extern __shared__ __align__(16) unsigned char shared[];
  double* positions = reinterpret_cast<double*>(shared);
  LinearCamera<S>* rig = reinterpret_cast<LinearCamera<S>*>(positions + 3 * n_cameras);
  S* fields = reinterpret_cast<S*>(rig + n_cameras);
  load_center(rows, n_cameras, positions, center);
  for (int c = threadIdx.x; c < n_cameras; c += blockDim.x)
    rig[c] = linear_camera<S>(rows + kCameraParameters * c, models.at(c), center);
  __syncthreads();
  return {rig, {fields + threadIdx.x, static_cast<std::ptrdiff_t>(blockDim.x), n_cameras}};
}

template <class S>
__device__ S load_rays(const Block<S>& block, const S* __restrict__ keypoints_px,
                       const S* __restrict__ weight, std::size_t n, std::size_t i) {
  S n_used = S(0);
  for (int c = 0; c < block.rays.n_views; ++c) {
    const std::size_t at = static_cast<std::size_t>(c) * n + i;
    const Two<S> uv = load_two(keypoints_px, at);
    if (prepare_ray(block.rig[c], uv.a, uv.b, weight ? weight[at] : S(1), block.rays, c)) n_used += S(1);
  }
  return n_used;
}

template <class S, int kIterations>
__global__ void __launch_bounds__(kRowThreads, 4)
    linear_kernel(const double* __restrict__ rows, const Models models, int n_cameras,
                  const S* __restrict__ keypoints_px, const S* __restrict__ weight, std::size_t n,
                  S* __restrict__ xyz) {
  __shared__ double center[3];
  const Block<S> block = prepare_block<S>(rows, models, n_cameras, center);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
    const S n_used = load_rays(block, keypoints_px, weight, n, i);
    S X[3];
    const bool ok = triangulate_rays<kIterations>(block.rig, block.rays, n_used, X);
    for (int k = 0; k < 3; ++k) xyz[3 * i + k] = ok ? X[k] + S(center[k]) : nan_value<S>();
  }
}

/// By the observations. `states` (stages, 6, N), unless null, receives X and lambda for the kernel below.
template <class S, int kIterations>
__global__ void __launch_bounds__(kRowThreads)
    linear_backward_kernel(const double* __restrict__ rows, const Models models, int n_cameras,
                           const S* __restrict__ keypoints_px, const S* __restrict__ weight, std::size_t n,
                           const S* __restrict__ grad_xyz, S* __restrict__ grad_keypoints_px,
                           S* __restrict__ grad_weight, S* __restrict__ states) {
  __shared__ double center[3];
  const Block<S> block = prepare_block<S>(rows, models, n_cameras, center);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
    const S n_used = load_rays(block, keypoints_px, weight, n, i);
    const S grad[3] = {grad_xyz[3 * i], grad_xyz[3 * i + 1], grad_xyz[3 * i + 2]};
    LinearAdjoint<S, kIterations + 1> state;
    const bool ok = triangulate_rays_adjoint<kIterations>(block.rig, block.rays, n_used, grad, state);
    if (states) {
#pragma unroll
      for (int s = 0; s <= kIterations; ++s)
#pragma unroll
        for (int k = 0; k < 3; ++k) {
          states[(6 * s + k) * n + i] = state.X[s][k];
          states[(6 * s + 3 + k) * n + i] = state.lambda[s][k];
        }
    }
    if (!grad_keypoints_px && !grad_weight) continue;
    for (int c = 0; c < n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      S by_uv[2], by_weight;
      ray_backward<false>(block.rig[c], state, ok, block.rays.at(c, kRayX), block.rays.at(c, kRayY),
                          block.rays.at(c, kRayWeight), by_uv, &by_weight, static_cast<S*>(nullptr));
      if (grad_keypoints_px) store_two(by_uv[0], by_uv[1], grad_keypoints_px, at);
      if (grad_weight) grad_weight[at] = by_weight;
    }
  }
}

/// By the cameras: one grid row for each; partial (blocks, C, 24).
template <class S, int kIterations>
__global__ void __launch_bounds__(kRowThreads)
    linear_cameras_kernel(const double* __restrict__ rows, const Models models, int n_cameras,
                          const S* __restrict__ keypoints_px, const S* __restrict__ weight, std::size_t n,
                          const S* __restrict__ states, double* __restrict__ partial) {
  __shared__ double positions[3 * kMaxViews], center[3];
  __shared__ LinearCamera<S> camera;
  const int c = blockIdx.y;
  load_center(rows, n_cameras, positions, center);
  if (threadIdx.x == 0) camera = linear_camera<S>(rows + kCameraParameters * c, models.at(c), center);
  __syncthreads();
  S row[kCameraParameters];
#pragma unroll
  for (int j = 0; j < kCameraParameters; ++j) row[j] = S(0);
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < n; i += stride) {
    const std::size_t at = static_cast<std::size_t>(c) * n + i;
    LinearAdjoint<S, kIterations + 1> state;
    bool ok = false;  // without a gradient there is nothing to pass on
#pragma unroll
    for (int s = 0; s <= kIterations; ++s)
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        state.X[s][k] = states[(6 * s + k) * n + i];
        state.lambda[s][k] = states[(6 * s + 3 + k) * n + i];
        ok = ok || state.lambda[s][k] != S(0);
      }
    S field[kRayFields], by_uv[2], by_weight;
    const Rays<S> ray{field, 1, 1};
    const Two<S> uv = load_two(keypoints_px, at);
    prepare_ray(camera, uv.a, uv.b, weight ? weight[at] : S(1), ray, 0);
    ray_backward<true>(camera, state, ok, field[kRayX], field[kRayY], field[kRayWeight], by_uv, &by_weight,
                       row);
  }
  reduce_row(row, partial + (static_cast<std::size_t>(blockIdx.x) * gridDim.y + c) * kCameraParameters);
}

template <class Kernel>
void ask_shared(Kernel kernel, std::size_t bytes) {
  if (bytes > kPlainShared)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
          "asking for shared memory");
}

template <class T, int kIterations>
void forward(const CameraRows& cameras, const T* keypoints_px, const T* weight, std::size_t n, T* xyz,
             cudaStream_t s) {
  const int threads = block_threads<T>(cameras.n_cameras);
  const std::size_t shared = shared_bytes<T>(cameras.n_cameras, threads);
  ask_shared(linear_kernel<T, kIterations>, shared);
  const unsigned blocks = static_cast<unsigned>(std::min((n + threads - 1) / threads, kMostBlocks));
  linear_kernel<T, kIterations>
      <<<blocks, threads, shared, s>>>(cameras.parameters, models_of(cameras, 0, cameras.n_cameras),
                                       static_cast<int>(cameras.n_cameras), keypoints_px, weight, n, xyz);
  check(cudaGetLastError(), "starting triangulate_linear");
}

template <class T, int kIterations>
void backward(const CameraRows& cameras, const T* keypoints_px, const T* weight, std::size_t n,
              const T* grad_xyz, const TriangulateLinearGradient<T>& out, cudaStream_t s) {
  const std::size_t C = cameras.n_cameras;
  const int threads = block_threads<T>(C);
  const std::size_t shared = shared_bytes<T>(C, threads);
  const Models models = models_of(cameras, 0, C);
  ask_shared(linear_backward_kernel<T, kIterations>, shared);
  const Buffer<T> states(out.cameras ? 6 * (kIterations + 1) * n : 0, s);
  const unsigned blocks = static_cast<unsigned>(std::min((n + threads - 1) / threads, kMostBlocks));
  linear_backward_kernel<T, kIterations>
      <<<blocks, threads, shared, s>>>(cameras.parameters, models, static_cast<int>(C), keypoints_px, weight,
                                       n, grad_xyz, out.keypoints_px, out.weight, states.get());
  check(cudaGetLastError(), "starting triangulate_linear_backward");
  if (!out.cameras) return;
  const int sums = sum_blocks(n);
  const Buffer<double> partial(static_cast<std::size_t>(sums) * C * kCameraParameters, s);
  linear_cameras_kernel<T, kIterations><<<dim3(sums, static_cast<unsigned>(C)), kRowThreads, 0, s>>>(
      cameras.parameters, models, static_cast<int>(C), keypoints_px, weight, n, states.get(), partial.get());
  check(cudaGetLastError(), "starting triangulate_linear_backward");
  finish_rows_kernel<true><<<static_cast<unsigned>(C), kFinishGroups * kCameraParameters, 0, s>>>(
      partial.get(), sums, cameras.parameters, static_cast<int>(C), out.cameras);
  check(cudaGetLastError(), "starting triangulate_linear_backward");
}

}  // namespace

template <class T>
void triangulate_linear_device(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                               std::size_t n, T* xyz, int iterations, void* stream) {
  if (n == 0) return;
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  if (iterations == 0)
    forward<T, 0>(cameras, keypoints_px, weight, n, xyz, s);
  else if (iterations == 1)
    forward<T, 1>(cameras, keypoints_px, weight, n, xyz, s);
  else
    forward<T, 2>(cameras, keypoints_px, weight, n, xyz, s);
}

template <class T>
void triangulate_linear_backward_device(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                        std::size_t n, const T* grad_xyz,
                                        const TriangulateLinearGradient<T>& out, int iterations,
                                        void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  if (n == 0) {
    if (out.cameras)
      check(cudaMemsetAsync(out.cameras, 0, cameras.n_cameras * kCameraParameters * sizeof(double), s),
            "clearing gradients");
    return;
  }
  if (iterations == 0)
    backward<T, 0>(cameras, keypoints_px, weight, n, grad_xyz, out, s);
  else if (iterations == 1)
    backward<T, 1>(cameras, keypoints_px, weight, n, grad_xyz, out, s);
  else
    backward<T, 2>(cameras, keypoints_px, weight, n, grad_xyz, out, s);
}

#define SPORTCORE_INSTANTIATE(T)                                                                          \
  template void triangulate_linear_device<T>(const CameraRows&, const T*, const T*, std::size_t, T*, int, \
                                             void*);                                                      \
  template void triangulate_linear_backward_device<T>(const CameraRows&, const T*, const T*, std::size_t, \
                                                      const T*, const TriangulateLinearGradient<T>&, int, \
                                                      void*);
SPORTCORE_INSTANTIATE(float)
SPORTCORE_INSTANTIATE(double)
#undef SPORTCORE_INSTANTIATE

}  // namespace sportcore::cuda

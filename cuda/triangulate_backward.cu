// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The adjoint of robust triangulation: one thread per point.
#include "camera_rows.cuh"
#include "gradient_launch.h"
#include "sportcore/triangulate_gradient.h"

namespace sportcore::cuda {
namespace {

constexpr std::size_t kMostBlocks = 8192;  // each prepares the cameras anew

template <class S>
__global__ void __launch_bounds__(kRowThreads)
    robust_backward_kernel(const double* __restrict__ rows, const Models models, int n_cameras,
                           const S* __restrict__ keypoints_px, const S* __restrict__ sigma_px,
                           const S* __restrict__ xyz, const bool* __restrict__ inlier, std::size_t n,
                           const S* __restrict__ grad_xyz, S sigma, Loss loss, S scale,
                           S* __restrict__ grad_keypoints_px, S* __restrict__ grad_sigma_px) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ double center[3];
  double* positions = reinterpret_cast<double*>(shared);
  Camera<S>* rig = reinterpret_cast<Camera<S>*>(positions + 3 * n_cameras);
  load_center(rows, n_cameras, positions, center);
  for (int c = threadIdx.x; c < n_cameras; c += kRowThreads)
    rig[c] = linear_camera<S>(rows + kCameraParameters * c, models.at(c), center).camera;
  __syncthreads();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kRowThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < n; i += stride) {
    S X[3], grad[3], lambda[3], H[6] = {S(0), S(0), S(0), S(0), S(0), S(0)};
    for (int k = 0; k < 3; ++k) {
      X[k] = xyz[3 * i + k] - S(center[k]);
      grad[k] = grad_xyz[3 * i + k];
    }
    const auto view = [&](int c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      const Two<S> uv = load_two(keypoints_px, at);
      return optimum_view(rig[c], X, uv.a, uv.b, sigma_px ? sigma_px[at] : sigma, inlier[at], loss, scale);
    };
    for (int c = 0; c < n_cameras; ++c) add_optimum_view(view(c), H);
    solve_optimum(H, grad, lambda);
    for (int c = 0; c < n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      S by_uv[2], by_sigma;
      optimum_backward(view(c), lambda, by_uv, &by_sigma);
      store_two(by_uv[0], by_uv[1], grad_keypoints_px, at);
      if (grad_sigma_px) grad_sigma_px[at] = by_sigma;
    }
  }
}

}  // namespace

template <class T>
void triangulate_backward_device(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px,
                                 const T* xyz, const bool* inlier, std::size_t n, const T* grad_xyz,
                                 T* grad_keypoints_px, T* grad_sigma_px, const TriangulateOptions& options,
                                 void* stream) {
  if (n == 0) return;
  const std::size_t C = cameras.n_cameras, shared = C * (sizeof(Camera<T>) + 3 * sizeof(double));
  const unsigned blocks = static_cast<unsigned>(std::min((n + kRowThreads - 1) / kRowThreads, kMostBlocks));
  robust_backward_kernel<T><<<blocks, kRowThreads, shared, static_cast<cudaStream_t>(stream)>>>(
      cameras.parameters, models_of(cameras, 0, C), static_cast<int>(C), keypoints_px, sigma_px, xyz, inlier,
      n, grad_xyz, T(options.sigma_px), options.loss, T(options.loss_scale_sigmas), grad_keypoints_px,
      grad_sigma_px);
  check(cudaGetLastError(), "starting triangulate_backward");
}

template void triangulate_backward_device<float>(const CameraRows&, const float*, const float*, const float*,
                                                 const bool*, std::size_t, const float*, float*, float*,
                                                 const TriangulateOptions&, void*);
template void triangulate_backward_device<double>(const CameraRows&, const double*, const double*,
                                                  const double*, const bool*, std::size_t, const double*,
                                                  double*, double*, const TriangulateOptions&, void*);

}  // namespace sportcore::cuda

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Linear triangulation and its adjoint over lanes, and the adjoint of robust triangulation. Private;
/// included by kernels.cpp only.
#pragma once

#include "gradient_calls.h"
#include "lane_memory.h"
#include "sportcore/triangulate.h"
#include "sportcore/triangulate_gradient.h"

namespace sportcore {
namespace SPORTCORE_ISA {

/// Undistorts the views of `count` points from i on; returns how many each point has.
template <class S>
Pack<S> load_rays(const TriangulateLinearCall<S>& call, std::size_t i, int count, const Rays<Pack<S>>& rays) {
  Pack<S> n_used(0);
  for (int c = 0; c < call.n_cameras; ++c) {
    const std::size_t at = static_cast<std::size_t>(c) * call.n_points + i;
    Pack<S> u, v;
    load_lanes2(call.keypoints_px + 2 * at, count, nan_value<S>(), &u, &v);
    const Pack<S> weight = call.weight ? load_lanes(call.weight + at, count, S(0)) : Pack<S>(1);
    const Mask<S> use = prepare_ray(call.cameras[c], u, v, weight, rays, c);
    n_used += select(use, Pack<S>(1), Pack<S>(0));
  }
  return n_used;
}

template <class S, int kIterations>
void triangulate_linear_loop(const TriangulateLinearCall<S>& call, std::size_t begin, std::size_t end) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  alignas(64) P storage[kMaxViews * kRayFields];
  const Rays<P> rays{storage, 1, call.n_cameras};
  for (std::size_t i = begin; i < end; i += kWidth) {
    const int count = end - i < kWidth ? static_cast<int>(end - i) : kWidth;
    const P n_used = load_rays(call, i, count, rays);
    P X[3];
    const Mask<S> ok = triangulate_rays<kIterations>(call.cameras, rays, n_used, X);
    for (int j = 0; j < 3; ++j) X[j] = select(ok, X[j] + P(call.center[j]), P(nan_value<S>()));
    store_lanes3(X, call.xyz + 3 * i, count);
  }
}

template <class S>
void triangulate_linear_range(const TriangulateLinearCall<S>& call, std::size_t begin, std::size_t end) {
  if (call.iterations == 0)
    triangulate_linear_loop<S, 0>(call, begin, end);
  else if (call.iterations == 1)
    triangulate_linear_loop<S, 1>(call, begin, end);
  else
    triangulate_linear_loop<S, 2>(call, begin, end);
}

/// `lane_sums` (C, 24) packs, which hold the sums of each lane until the end of a block.
template <class S, int kIterations, bool kCameras>
void linear_backward_block(const TriangulateLinearCall<S>& call, std::size_t begin, std::size_t end,
                           Pack<S>* lane_sums) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  alignas(64) P storage[kMaxViews * kRayFields];
  const Rays<P> rays{storage, 1, call.n_cameras};
  for (std::size_t i = begin; i < end; i += kWidth) {
    const int count = end - i < kWidth ? static_cast<int>(end - i) : kWidth;
    const P n_used = load_rays(call, i, count, rays);
    P grad[3];
    load_lanes3(call.grad_xyz + 3 * i, count, S(0), grad);
    LinearAdjoint<P, kIterations + 1> state;
    const Mask<S> ok = triangulate_rays_adjoint<kIterations>(call.cameras, rays, n_used, grad, state);
    for (int c = 0; c < call.n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * call.n_points + i;
      P by_uv[2], by_weight;
      ray_backward<kCameras>(call.cameras[c], state, ok, rays.at(c, kRayX), rays.at(c, kRayY),
                             rays.at(c, kRayWeight), by_uv, &by_weight, lane_sums + kCameraParameters * c);
      if (call.grad_keypoints_px) store_lanes2(by_uv[0], by_uv[1], call.grad_keypoints_px + 2 * at, count);
      if (call.grad_weight) store_lanes(by_weight, call.grad_weight + at, count);
    }
  }
}

template <class S, int kIterations>
void linear_backward_loop(const TriangulateLinearCall<S>& call, std::size_t begin, std::size_t end,
                          double* sums) {
  using P = Pack<S>;
  if (!sums) return linear_backward_block<S, kIterations, false>(call, begin, end, nullptr);
  constexpr std::size_t kBlock = 4096;
  alignas(64) P lane_sums[kMaxViews * kCameraParameters];
  const int n = call.n_cameras * kCameraParameters;
  for (std::size_t block = begin; block < end; block += kBlock) {
    for (int k = 0; k < n; ++k) lane_sums[k] = P(0);
    linear_backward_block<S, kIterations, true>(call, block, end - block < kBlock ? end : block + kBlock,
                                                lane_sums);
    for (int k = 0; k < n; ++k) add_lanes(lane_sums[k], sums + k);
  }
}

template <class S>
void triangulate_linear_backward_range(const TriangulateLinearCall<S>& call, std::size_t begin,
                                       std::size_t end, double* sums) {
  if (call.iterations == 0)
    linear_backward_loop<S, 0>(call, begin, end, sums);
  else if (call.iterations == 1)
    linear_backward_loop<S, 1>(call, begin, end, sums);
  else
    linear_backward_loop<S, 2>(call, begin, end, sums);
}

template <class S>
void triangulate_backward_range(const TriangulateBackwardCall<S>& call, std::size_t begin, std::size_t end) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  for (std::size_t i = begin; i < end; i += kWidth) {
    const int count = end - i < kWidth ? static_cast<int>(end - i) : kWidth;
    P X[3], grad[3], lambda[3], H[6] = {P(0), P(0), P(0), P(0), P(0), P(0)};
    load_lanes3(call.xyz + 3 * i, count, nan_value<S>(), X);
    load_lanes3(call.grad_xyz + 3 * i, count, S(0), grad);
    for (int j = 0; j < 3; ++j) X[j] -= P(call.center[j]);
    const auto view = [&](int c) {
      const std::size_t at = static_cast<std::size_t>(c) * call.n_points + i;
      P u, v;
      load_lanes2(call.keypoints_px + 2 * at, count, nan_value<S>(), &u, &v);
      const P sigma = call.sigma_px ? load_lanes(call.sigma_px + at, count, S(1)) : P(call.sigma);
      S chosen[kWidth];
      for (int k = 0; k < kWidth; ++k) chosen[k] = k < count && call.inlier[at + k] ? S(1) : S(0);
      return optimum_view(call.cameras[c], X, u, v, sigma, load(chosen) > P(0), call.loss, call.scale);
    };
    for (int c = 0; c < call.n_cameras; ++c) add_optimum_view(view(c), H);
    solve_optimum(H, grad, lambda);
    for (int c = 0; c < call.n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * call.n_points + i;
      P by_uv[2], by_sigma;
      optimum_backward(view(c), lambda, by_uv, &by_sigma);
      store_lanes2(by_uv[0], by_uv[1], call.grad_keypoints_px + 2 * at, count);
      if (call.grad_sigma_px) store_lanes(by_sigma, call.grad_sigma_px + at, count);
    }
  }
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

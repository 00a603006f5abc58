// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The adjoint of projection over lanes. Private; included by kernels.cpp only.
#pragma once

#include "gradient_calls.h"
#include "lane_memory.h"
#include "sportcore/project_gradient.h"

namespace sportcore {
namespace SPORTCORE_ISA {

constexpr std::size_t kGradientBlock = 2048;  // points whose gradients stay in cache from camera to camera

/// One camera and one block of points; kModel takes the choice of the lens out of the loop. The first camera
/// writes the gradients by the points, the others add to them.
template <class S, int kModel, bool kCameras>
void project_backward_block(Camera<S> camera, const ProjectBackwardCall<S>& call, int c, std::size_t begin,
                            std::size_t end, double* sums) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  camera.lens.model = kModel;
  const S* grad_uv = call.grad_uv + 2 * static_cast<std::size_t>(c) * call.n_points;
  P row[kCameraParameters];
  for (int j = 0; j < kCameraParameters; ++j) row[j] = P(0);
  for (std::size_t i = begin; i < end; i += kWidth) {
    const int count = end - i < kWidth ? static_cast<int>(end - i) : kWidth;
    P X[3], g[2], by_X[3] = {P(0), P(0), P(0)};
    load_lanes3(call.points_world_m + 3 * i, count, nan_value<S>(), X);
    load_lanes2(grad_uv + 2 * i, count, S(0), &g[0], &g[1]);
    if (call.grad_points && c > 0) load_lanes3(call.grad_points + 3 * i, count, S(0), by_X);
    project_gradient<kCameras>(camera, X, g, by_X, row);
    if (call.grad_points) store_lanes3(by_X, call.grad_points + 3 * i, count);
  }
  if (kCameras)
    for (int j = 0; j < kCameraParameters; ++j) add_lanes(row[j], sums + kCameraParameters * c + j);
}

template <class S, bool kCameras>
void project_backward_all(const ProjectBackwardCall<S>& call, std::size_t begin, std::size_t end,
                          double* sums) {
  for (std::size_t block = begin; block < end; block += kGradientBlock) {
    const std::size_t stop = end - block < kGradientBlock ? end : block + kGradientBlock;
    for (int c = 0; c < call.n_cameras; ++c) {
      const Camera<S>& camera = call.cameras[c];
      if (camera.lens.model == kBrown)
        project_backward_block<S, kBrown, kCameras>(camera, call, c, block, stop, sums);
      else if (camera.lens.model == kFisheye)
        project_backward_block<S, kFisheye, kCameras>(camera, call, c, block, stop, sums);
      else
        project_backward_block<S, kPinhole, kCameras>(camera, call, c, block, stop, sums);
    }
  }
}

template <class S>
void project_backward_range(const ProjectBackwardCall<S>& call, std::size_t begin, std::size_t end,
                            double* sums) {
  if (sums)
    project_backward_all<S, true>(call, begin, end, sums);
  else
    project_backward_all<S, false>(call, begin, end, sums);
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What the kernels of the differentiable operations get. Private. Those that reduce over points add to
/// `sums` (C, 24), which belongs to the range of the call.
#pragma once

#include <cstddef>

#include "sportcore/losses.h"
#include "sportcore/triangulate_linear_point.h"

namespace sportcore {

template <class S>
struct ProjectBackwardCall {
  const Camera<S>* cameras;
  int n_cameras;
  const S* points_world_m;  // (N, 3)
  const S* grad_uv;         // (C, N, 2)
  std::size_t n_points;
  S* grad_points;  // (N, 3) or null
};

template <class S>
struct TriangulateLinearCall {
  const LinearCamera<S>* cameras;
  int n_cameras;
  const S* keypoints_px;  // (C, N, 2)
  const S* weight;        // (C, N) or null
  std::size_t n_points;
  int iterations;
  S center[3];           // m
  S* xyz;                // (N, 3); forwards only
  const S* grad_xyz;     // (N, 3); backwards only, as the rest
  S* grad_keypoints_px;  // (C, N, 2) or null
  S* grad_weight;        // (C, N) or null
};

template <class S>
struct TriangulateBackwardCall {
  const Camera<S>* cameras;  // moved by -center
  int n_cameras;
  const S* keypoints_px;  // (C, N, 2)
  const S* sigma_px;      // (C, N) or null
  const S* xyz;           // (N, 3)
  const bool* inlier;     // (C, N)
  const S* grad_xyz;      // (N, 3)
  std::size_t n_points;
  S center[3];     // m
  S sigma, scale;  // px where there is no own sigma; of the loss
  Loss loss;
  S* grad_keypoints_px;  // (C, N, 2)
  S* grad_sigma_px;      // (C, N) or null
};

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Weighted linear triangulation of all views, without any choice among them, and its gradients. See
/// triangulate_linear_point.h for the method.
///
/// Arrays are C-contiguous; T is float or double. The results do not depend on the number of threads. The
/// forms with a stream (a cudaStream_t; null: the default one) take arrays on the CUDA device, those of
/// pixels aligned to a pair, and return when the work is queued; they throw DeviceError where CUDA cannot be
/// used. All throw InputError for unusable options or more than kMaxViews cameras.
#pragma once

#include <cstddef>

#include "sportcore/camera_parameters.h"

namespace sportcore {

struct TriangulateLinearOptions {
  int iterations =
      1;  // 0, 1 or 2 further solutions, with the equations divided by the depths of the last one
  int num_threads = 0;  // 0: one per available core
};

/// keypoints_px (C, N, 2), NaN where missing; weight (C, N) or null (all 1): 1 / variance of an observation,
/// up to a common factor; 0, negative or NaN where it is not to be used -> xyz (N, 3) m, NaN with fewer than
/// two observations or where these do not determine the point.
template <class T>
void triangulate_linear(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                        std::size_t n_points, T* xyz, const TriangulateLinearOptions& options = {});
template <class T>
void triangulate_linear_cuda(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                             std::size_t n_points, T* xyz, const TriangulateLinearOptions& options,
                             void* stream);

/// Gradients of a number by the inputs; each may be null.
template <class T>
struct TriangulateLinearGradient {
  T* keypoints_px = nullptr;  // (C, N, 2); zero for observations that were not used
  T* weight = nullptr;        // (C, N); the same
  double* cameras = nullptr;  // (C, 24)
};

/// grad_xyz (N, 3), the gradient of that number by the points -> gradients by the inputs, through every
/// iteration and through the lens. A point that is NaN passes no gradient on.
template <class T>
void triangulate_linear_backward(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                 std::size_t n_points, const T* grad_xyz,
                                 const TriangulateLinearGradient<T>& out,
                                 const TriangulateLinearOptions& options = {});
template <class T>
void triangulate_linear_backward_cuda(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                      std::size_t n_points, const T* grad_xyz,
                                      const TriangulateLinearGradient<T>& out,
                                      const TriangulateLinearOptions& options, void* stream);

}  // namespace sportcore

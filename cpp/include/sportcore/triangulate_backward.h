// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Gradients of robust triangulation (triangulate.h) by implicit differentiation of its optimum.
///
/// The views that carried the point are taken as given. There sum J^T w^2 rho'(s) r = 0 over them, with r the
/// projection minus the observation in px, w = 1 / sigma, s = w^2 |r|^2 and J the Jacobian of the projection;
/// so dX = (sum J^T M J)^-1 sum J^T M d(uv) with M = w^2 (rho' I + 2 rho'' w^2 r r^T). The second derivatives
/// of the projection, which are of the order of |r| / focal length, are left out (Gauss-Newton).
#pragma once

#include <cstddef>

#include "sportcore/camera_parameters.h"
#include "sportcore/triangulate.h"

namespace sportcore {

/// keypoints_px (C, N, 2) and sigma_px (C, N) or null: what triangulate was given; xyz (N, 3) and inlier
/// (C, N): what it returned; grad_xyz (N, 3): the gradient of a number by xyz -> grad_keypoints_px (C, N, 2)
/// and, unless null, grad_sigma_px (C, N). Zero for observations that did not carry a point, for points that
/// are NaN, and where the optimum is not a regular one (sum J^T M J not positive definite). Arrays are
/// C-contiguous; T is float or double. Of the options, sigma_px, loss, loss_scale_sigmas and num_threads
/// count.
template <class T>
void triangulate_backward(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px, const T* xyz,
                          const bool* inlier, std::size_t n_points, const T* grad_xyz, T* grad_keypoints_px,
                          T* grad_sigma_px, const TriangulateOptions& options = {});

/// The same on arrays on the CUDA device, the rows of the cameras among them, those of pixels aligned to a
/// pair; returns when the work is queued
/// in the stream (a cudaStream_t; null: the default one). Throws DeviceError where CUDA cannot be used.
template <class T>
void triangulate_backward_cuda(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px,
                               const T* xyz, const bool* inlier, std::size_t n_points, const T* grad_xyz,
                               T* grad_keypoints_px, T* grad_sigma_px, const TriangulateOptions& options,
                               void* stream);

}  // namespace sportcore

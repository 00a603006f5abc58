// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Projection by rows of camera parameters, and its gradients by the points and by the parameters.
///
/// Arrays are C-contiguous; T is float or double. The results do not depend on the number of threads. The
/// forms with a stream (a cudaStream_t; null: the default one) take arrays on the CUDA device, those of
/// pixels aligned to a pair, and return when the work is queued; they throw DeviceError where CUDA cannot be
/// used.
#pragma once

#include <cstddef>

#include "sportcore/camera_parameters.h"

namespace sportcore {

/// points_world_m (N, 3) -> uv_px (C, N, 2); NaN for a point behind the camera or not finite.
template <class T>
void project_rows(const CameraRows& cameras, const T* points_world_m, std::size_t n_points, T* uv_px,
                  int num_threads = 0);
template <class T>
void project_rows_cuda(const CameraRows& cameras, const T* points_world_m, std::size_t n_points, T* uv_px,
                       void* stream);

/// grad_uv (C, N, 2), the gradient of a number by the pixels -> grad_points (N, 3) by the points and
/// grad_cameras (C, 24) by the parameters; either may be null. Where the projection is NaN the gradient is
/// zero.
template <class T>
void project_backward(const CameraRows& cameras, const T* points_world_m, std::size_t n_points,
                      const T* grad_uv, T* grad_points, double* grad_cameras, int num_threads = 0);
template <class T>
void project_backward_cuda(const CameraRows& cameras, const T* points_world_m, std::size_t n_points,
                           const T* grad_uv, T* grad_points, double* grad_cameras, void* stream);

}  // namespace sportcore

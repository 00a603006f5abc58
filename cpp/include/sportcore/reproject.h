// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Batched reprojection: N world points into C cameras, for float and double.
///
/// A point behind a camera, or not finite, gives NaN. Arrays are C-contiguous; `cameras` are always double
/// and are rounded once where the kernel computes in float.
#pragma once

#include <cstddef>

#include "sportcore/camera.h"

namespace sportcore {

struct ReprojectOptions {
  int num_threads = 0;  // 0: one per available core
  bool cuda = false;    // run on the first CUDA device; DeviceError when that is impossible
};

/// points_world_m (N, 3) -> uv_px (C, N, 2).
SPORTCORE_API void reproject(const Camera<double>* cameras, std::size_t n_cameras,
                             const double* points_world_m, std::size_t n_points, double* uv_px,
                             const ReprojectOptions& options = {});
SPORTCORE_API void reproject(const Camera<double>* cameras, std::size_t n_cameras,
                             const float* points_world_m, std::size_t n_points, float* uv_px,
                             const ReprojectOptions& options = {});

/// Projection minus observation: observed_px (C, N, 2) -> residual_px (C, N, 2); NaN where either is missing.
SPORTCORE_API void reproject_residuals(const Camera<double>* cameras, std::size_t n_cameras,
                                       const double* points_world_m, std::size_t n_points,
                                       const double* observed_px, double* residual_px,
                                       const ReprojectOptions& options = {});
SPORTCORE_API void reproject_residuals(const Camera<double>* cameras, std::size_t n_cameras,
                                       const float* points_world_m, std::size_t n_points,
                                       const float* observed_px, float* residual_px,
                                       const ReprojectOptions& options = {});

/// With Jacobians by the point, J_point (C, N, 2, 3), and by the pose increment (w, dt) of update_pose,
/// J_pose (C, N, 2, 6). Either may be null. CPU only.
SPORTCORE_API void reproject_jacobians(const Camera<double>* cameras, std::size_t n_cameras,
                                       const double* points_world_m, std::size_t n_points, double* uv_px,
                                       double* J_point, double* J_pose, const ReprojectOptions& options = {});
SPORTCORE_API void reproject_jacobians(const Camera<double>* cameras, std::size_t n_cameras,
                                       const float* points_world_m, std::size_t n_points, float* uv_px,
                                       float* J_point, float* J_pose, const ReprojectOptions& options = {});

/// The same on arrays that already lie on the CUDA device. `stream` is a cudaStream_t (null: the default
/// stream); the call returns when the work is queued. T is float or double.
template <class T>
void reproject_cuda(const Camera<double>* cameras, std::size_t n_cameras, const T* device_points_world_m,
                    std::size_t n_points, T* device_uv_px, void* stream);

}  // namespace sportcore

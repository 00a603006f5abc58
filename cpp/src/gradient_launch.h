// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What cuda/ offers for the differentiable operations. Private; free of CUDA types. Arrays on the device;
/// `stream` is a cudaStream_t; the calls return when the work is queued.
#pragma once

#include <cstddef>

#include "sportcore/triangulate_backward.h"
#include "sportcore/triangulate_linear.h"

namespace sportcore::cuda {

template <class T>
void project_rows_device(const CameraRows& cameras, const T* points, std::size_t n_points, T* uv,
                         void* stream);

template <class T>
void project_backward_device(const CameraRows& cameras, const T* points, std::size_t n_points,
                             const T* grad_uv, T* grad_points, double* grad_cameras, void* stream);

template <class T>
void triangulate_linear_device(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                               std::size_t n_points, T* xyz, int iterations, void* stream);

template <class T>
void triangulate_linear_backward_device(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                        std::size_t n_points, const T* grad_xyz,
                                        const TriangulateLinearGradient<T>& out, int iterations,
                                        void* stream);

template <class T>
void triangulate_backward_device(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px,
                                 const T* xyz, const bool* inlier, std::size_t n_points, const T* grad_xyz,
                                 T* grad_keypoints_px, T* grad_sigma_px, const TriangulateOptions& options,
                                 void* stream);

}  // namespace sportcore::cuda

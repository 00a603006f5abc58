// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Robust triangulation of many points: which views to believe, the most likely point, how sure it is, and
/// why it is missing where it is. See triangulate_point.h for the method, which the CPU loop and the CUDA
/// kernel share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sportcore/camera.h"
#include "sportcore/losses.h"
#include "sportcore/point_status.h"

namespace sportcore {

/// Most cameras that one call takes.
constexpr int kMaxViews = 64;

struct TriangulateOptions {
  double max_reprojection_error_px = 12.0;  // an observation further from the point than this is an outlier
  double sigma_px = 3.0;           // deviation of one coordinate of an observation that brings no own sigma
  bool estimate_sigma = false;     // state the covariance for the deviation that the residuals have instead
  double inlier_sigmas = 3.0;      // an observation with own sigma may lie this far off, if that is more
  double min_score = 0.1;          // observations scored below are not used
  int min_views = 2;               // at least 2
  double min_angle_deg = 1.5;      // widest angle between two rays (or to opposite rays) must exceed this
  bool robust = true;              // false: believe every view
  Loss loss = Loss::kCauchy;       // of the refinement
  double loss_scale_sigmas = 3.0;  // its scale
  int max_iterations = 15;         // of the refinement
  int num_threads = 0;             // 0: one per available core
  bool cuda = false;               // run on the first CUDA device; DeviceError when that is impossible
};

/// Where the results go; all but `xyz` and `status` may be null. NaN wherever status is not kOk.
template <class T>
struct TriangulateOutput {
  T* xyz = nullptr;                // (N, 3) m
  std::uint8_t* status = nullptr;  // (N) PointStatus
  T* covariance = nullptr;         // (N, 3, 3) m^2
  T* residual_px = nullptr;        // (C, N) distance of the observation from the projected point; NaN if none
  bool* inlier = nullptr;          // (C, N) the observation carried the point
  std::uint8_t* n_views = nullptr;  // (N) inliers
  double* sigma_px = nullptr;       // (1), on the host: what the covariance stands on with estimate_sigma;
                                    // options.sigma_px where fewer than 200 degrees of freedom tell
};

/// keypoints_px (C, N, 2), NaN where missing; score (C, N) or null; sigma_px (C, N) or null. Inputs are not
/// changed. Throws InputError for unusable options or more than kMaxViews cameras.
SPORTCORE_API void triangulate(const Camera<double>* cameras, std::size_t n_cameras,
                               const double* keypoints_px, const double* score, const double* sigma_px,
                               std::size_t n_points, const TriangulateOutput<double>& out,
                               const TriangulateOptions& options = {});
SPORTCORE_API void triangulate(const Camera<double>* cameras, std::size_t n_cameras,
                               const float* keypoints_px, const float* score, const float* sigma_px,
                               std::size_t n_points, const TriangulateOutput<float>& out,
                               const TriangulateOptions& options = {});

/// The same on arrays (inputs and outputs) that already lie on the CUDA device. `stream` is a cudaStream_t
/// (null: the default stream); the call returns when the work is queued, so sigma is not estimated and
/// out.sigma_px stays as it is. T is float or double.
template <class T>
void triangulate_cuda(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                      const T* score, const T* sigma_px, std::size_t n_points,
                      const TriangulateOutput<T>& out, const TriangulateOptions& options, void* stream);

/// Throws InputError when an option is out of its range.
SPORTCORE_API void check(const TriangulateOptions& options);

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Pose of one calibrated camera from known 3D points (resection).
///
/// Image points are undistorted normalised coordinates. Convention: x_cam = R x_world + t.
///
/// Sources: J. A. Grunert's solution of the three-point problem as given by R. Haralick et al., "Review and
/// analysis of solutions of the three point perspective pose estimation problem", IJCV 1994; locally
/// optimised RANSAC with a truncated cost as in essential.h; closing robust Levenberg-Marquardt with the
/// Geman-McClure loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sportcore/hd.h"

namespace sportcore {

struct ResectionOptions {
  double max_residual_px = 12.0;  // truncation of the reprojection distance [px]
  double confidence = 0.9999;
  int min_iterations = 30;
  int max_iterations = 1000;
  int max_scored_points = 500;
  int max_refine_iterations = 20;
  /// Row-major (9) camera from world as known beforehand, null: nothing is. As in EssentialOptions; every
  /// other hypothesis is then a rotation drawn from about it, with the translation from two points.
  const double* prior_R = nullptr;
  double prior_sigma_rad = 0.1;
  /// Other images (n, 2) of the points, NaN where there is none, and ascending groups (n): of each group (a
  /// frame, say, whose left and right may be exchanged) either all images or all other images are taken.
  const double* other = nullptr;
  const std::int32_t* group = nullptr;
  std::uint64_t seed = 0;
};

struct ResectionResult {
  bool success = false;                       // at least 6 inliers
  double R[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // row-major, camera from world
  double t[3] = {0, 0, 0};
  std::size_t num_inliers = 0;
  double inlier_share = 0.0;        // of the valid points
  double median_residual_px = 0.0;  // over all valid points, not only the inliers
  int iterations = 0;
  std::vector<std::uint8_t> inlier;     // (n)
  std::vector<std::uint8_t> exchanged;  // (n) the other image was taken; empty without others
};

/// Three-point minimal solver. points (3, 3), xy (3, 2). Writes up to 4 poses: R (9 each, row-major), t (3
/// each).
SPORTCORE_API int pose_three_point(const double* points, const double* xy, double* R, double* t);

/// Robust pose from n points (n, 3) and their images (n, 2); weight (n) may be null. Points or images that
/// are not finite are ignored. Throws Error for a non-positive focal length or threshold.
SPORTCORE_API ResectionResult estimate_pose(const double* points, const double* xy, const double* weight,
                                            std::size_t n, double focal_px, const ResectionOptions& options);

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Relative pose of two calibrated views from point correspondences.
///
/// All image points here are *undistorted normalised* coordinates (x, y) with the ray (x, y, 1) in the camera
/// frame. Convention: x2_cam = R x1_cam + t, E = [t]_x R, and (x2, 1)^T E (x1, 1) = 0.
///
/// Sources: D. Nister, "An efficient solution to the five-point relative pose problem", PAMI 2004;
/// H. Stewenius, C. Engels, D. Nister, "Recent developments on direct relative orientation", ISPRS 2006
/// (the constraints and the action matrix); P. Torr, A. Zisserman, "MLESAC", CVIU 2000 (truncated cost);
/// O. Chum, J. Matas, J. Kittler, "Locally optimized RANSAC", DAGM 2003.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sportcore/hd.h"

namespace sportcore {

/// Deviations (of one axis) that a rotation may turn away from one known beforehand.
inline constexpr double kPriorReach = 3.5;

struct EssentialOptions {
  double max_residual_px = 8.0;  // truncation of the Sampson distance [px]
  double confidence = 0.9999;    // probability that one all-inlier sample was drawn
  int min_iterations = 120;      // minimal samples drawn at least
  int max_iterations = 1000;     // and at most
  int max_scored_points =
      600;  // hypotheses are scored on an even subset of this size; the result on all points
  int max_refine_iterations = 20;  // of the closing robust refinement
  /// Row-major (9) camera 2 from camera 1 as known beforehand, null: nothing is. Rotations are then drawn
  /// from about it, two correspondences give the translation, and what ends further off than kPriorReach *
  /// prior_sigma_rad is no success.
  const double* prior_R = nullptr;
  double prior_sigma_rad = 0.1;  // of prior_R, about each axis
  std::uint64_t seed = 0;
};

struct EssentialResult {
  bool success = false;  // a pose with at least 8 inliers in front of both cameras was found
  double R[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // row-major, camera 2 from camera 1
  double t[3] = {0, 0, 0};                    // unit length
  std::size_t num_inliers = 0;       // Sampson distance below max_residual_px and in front of both cameras
  double cost = 0.0;                 // mean of min(r^2 / threshold^2, 1), weighted
  double median_residual_px = 0.0;   // Sampson distance over the inliers [px]
  double median_parallax_rad = 0.0;  // angle between the two rays over the inliers
  int iterations = 0;
  std::vector<std::uint8_t> inlier;  // (n)
};

/// Five-point minimal solver. x1, x2: (5, 2). Writes up to 10 essential matrices (row-major, 9 each) to E;
/// returns their number.
SPORTCORE_API int essential_five_point(const double* x1, const double* x2, double* E);

/// Signed Sampson distance in pixels of one correspondence, and, when jacobian is not null, its five
/// derivatives by (omega, alpha, beta): R <- exp([omega]_x) R, t <- t + alpha b1 + beta b2 with the tangent
/// basis of tangent_basis().
SPORTCORE_API double sampson_residual_px(const double R[9], const double t[3], const double x1[2],
                                         const double x2[2], double focal1_px, double focal2_px,
                                         double* jacobian);

/// Two unit vectors b[0..2], b[3..5] that span the plane orthogonal to the unit vector t.
SPORTCORE_API void tangent_basis(const double t[3], double b[6]);

/// Robust estimate over n correspondences; weight (n) may be null (all one), entries <= 0 are ignored.
/// focalX_px turn normalised distances into pixels. Throws Error when n < 5 or an argument is not finite.
SPORTCORE_API EssentialResult estimate_essential(const double* x1, const double* x2, const double* weight,
                                                 std::size_t n, double focal1_px, double focal2_px,
                                                 const EssentialOptions& options);

}  // namespace sportcore

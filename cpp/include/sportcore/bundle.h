// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Bundle adjustment: cameras and points together, by robust Levenberg-Marquardt with the points eliminated.
///
/// Each point is a 3x3 block; what remains after the Schur complement is a dense system of 6 unknowns per
/// camera (and one per free focal length). Residuals are in pixels, through the full camera model of
/// camera.h. The gauge (place, attitude and size of the world) is held by inner constraints: the cameras take
/// no step along its seven directions.
///
/// Sources: B. Triggs et al., "Bundle adjustment - a modern synthesis", 1999 (sections 4.3, 6.1, 9.2); the
/// covariance under correlated errors is the sandwich estimator of Liang & Zeger 1986, for two crossed
/// clusterings that of Cameron, Gelbach & Miller 2011.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sportcore/camera.h"
#include "sportcore/least_squares.h"

namespace sportcore {

enum class FocalRefinement : int {
  kNone = 0,
  kPerCamera = 1,
  kShared = 2
};  // shared: one factor for all cameras

struct BundleOptions {
  Loss loss = Loss::kCauchy;
  double loss_scale_px = 6.0;
  FocalRefinement focal = FocalRefinement::kNone;
  int max_iterations = 50;
  double cost_tolerance = 1e-9;  // relative decrease that counts as converged
  double step_tolerance = 1e-9;  // camera step (rad, and translation relative to the rig's size)
  double initial_damping = 1e-4;
  int num_threads = 0;  // 0: all cores; the result does not depend on it
  bool compute_covariance = true;
};

/// Observations in compressed rows: those of point p are [point_offset[p], point_offset[p + 1]).
struct BundleObservations {
  std::size_t num_points = 0;
  const std::int64_t* point_offset = nullptr;  // (num_points + 1)
  const std::int32_t* camera = nullptr;        // (M) camera index
  const double* xy = nullptr;                  // (M, 2) px
  const double* weight = nullptr;              // (M) inverse relative variance; null: all one; 0: not used
  const std::int32_t* cluster = nullptr;  // (num_points) errors within a cluster may be correlated (a stretch
                                          // of time); null: none
  const std::int32_t* group = nullptr;    // (num_points) a second, crossed clustering (the joint); null: none
};

struct BundleResult {
  LmResult lm;
  std::size_t num_used = 0;        // observations in front of their camera and of points that were not held
  std::size_t num_held = 0;        // points that the observations do not fix (kept where they were)
  double sigma_px = 0.0;           // deviation of one weighted coordinate, from the robust residuals
  int num_params = 0;              // 6 per camera, then the focal lengths
  std::vector<double> covariance;  // (num_params, num_params) row-major of (w, dt) per camera and the log
                                   // focal lengths, in the gauge of inner constraints; empty when not wanted
};

/// Refines cameras (C) and points (num_points, 3) in place. Throws InputError for indices out of range or
/// fewer than two cameras; a failure to converge is told by result.lm.
SPORTCORE_API BundleResult adjust_bundle(Camera<double>* cameras, std::size_t num_cameras, double* points,
                                         const BundleObservations& observations,
                                         const BundleOptions& options);

}  // namespace sportcore

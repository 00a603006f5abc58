// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Bundle adjustment: cameras and points together, by robust Levenberg-Marquardt with the points eliminated.
///
/// Each point is a 3x3 block; points that lengths tie together (the joints of a body in one frame) form a
/// small block-sparse system that is eliminated along its graph. What remains after the Schur complement is a
/// dense system of 6 unknowns per camera, the free parts of the lenses and clocks, and the lengths. Residuals
/// are in pixels, through the full camera model of camera.h. The gauge (place, attitude and size of the
/// world, the common part of the clocks) is held by inner constraints: no step is taken along its directions.
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
  bool principal_point = false;  // of every camera
  bool radial = false;           // k1 of every camera with a Brown or fisheye lens
  // Gaussian priors around the start; 0: none. They and the lengths are weighed against observations of
  // deviation sigma_px.
  double focal_sigma = 0.0;  // of the log of a focal length
  double principal_point_sigma_px = 0.0;
  double radial_sigma = 0.0;
  double sigma_px = 1.0;
  int max_iterations = 50;
  double cost_tolerance = 1e-9;  // relative decrease that counts as converged
  double step_tolerance = 1e-9;  // camera step (rad, and translation relative to the rig's size)
  double initial_damping = 1e-4;
  int num_threads = 0;  // 0: all cores; the result does not depend on it
  bool compute_covariance = true;
};

/// Distances between points that are equal over time: bones. The robust loss acts on (|a - b| - L) / sigma as
/// it does on a pixel residual of the same number of deviations.
struct BundleLengths {
  std::size_t num_edges = 0;
  const std::int32_t* first = nullptr;   // (num_edges) point; both of one group
  const std::int32_t* second = nullptr;  // (num_edges) point
  const std::int32_t* index = nullptr;   // (num_edges) which length
  /// (num_edges) expected excess of the measured distance: noise across it makes a distance look longer, by
  /// tr(P C P) / (2 L) with C the covariance of the difference of the points and P the projection across it.
  /// Without it the adjustment is biased, since every point is an unknown of its own. null: none
  const double* excess = nullptr;
  /// (num_edges) widens the scale of the loss: deviation of the measured distance over that of the length
  /// itself, since a distance far from its length is no outlier when the points are as uncertain. null: one
  const double* slack = nullptr;
  std::size_t num_lengths = 0;
  const double* sigma = nullptr;  // (num_lengths) deviation from frame to frame, world units
  double* value = nullptr;        // (num_lengths) start, and result
  /// Pairs of lengths that are equal but for a relative deviation: left and right.
  std::size_t num_pairs = 0;
  const std::int32_t* pair = nullptr;  // (num_pairs, 2)
  double pair_sigma = 0.02;            // of the log of their ratio
};

/// Clocks: camera c saw what its frame shows at t + offset[c] + drift[c] t, t the nominal time from the
/// middle of the recording. Points move by the given velocities and accelerations, which the caller renews
/// from the result.
struct BundleClocks {
  const double* time = nullptr;          // (num_points) s
  const double* velocity = nullptr;      // (num_points, 3) world units per s
  const double* acceleration = nullptr;  // (num_points, 3) world units per s^2
  double* offset = nullptr;              // (C) s, start and result
  double* drift = nullptr;               // (C) s/s, start and result
  bool refine_drift = false;
  double offset_sigma_s = 0.0;  // prior around 0; 0: none
  double drift_sigma = 1e-4;    // prior around 0; 0: none
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
  std::size_t num_frames = 0;             // frames that lengths tie together; 0: no lengths
  const std::int64_t* frame_offset = nullptr;  // (num_frames + 1) first point of each, at most 64 points
  BundleLengths* lengths = nullptr;            // null: none
  BundleClocks* clocks = nullptr;              // null: all cameras in step
};

struct BundleResult {
  LmResult lm;
  std::size_t num_used = 0;  // observations in front of their camera and of points that were not held
  std::size_t num_held = 0;  // points that the observations do not fix (kept where they were)
  double sigma_px = 0.0;     // deviation of one weighted coordinate, from the robust residuals
  double correlation = 1.0;  // root mean square deviation of the rotations over what independent errors give
  int num_params = 0;        // 6 per camera, then what else is free (see `extra`), then the lengths
  /// Meaning of the parameters after the poses and before the lengths.
  enum class Kind : int { kLogFocal = 0, kCx = 1, kCy = 2, kK1 = 3, kTimeOffset = 4, kDrift = 5 };
  struct Extra {
    Kind kind;
    int camera;  // -1: all
  };
  std::vector<Extra> extra;
  std::vector<double>
      covariance;  // (num_params, num_params) row-major of (w, dt) per camera, the extra parameters
                   // and the lengths, in the gauge of inner constraints; empty when not wanted
};

/// Refines cameras (C), points (num_points, 3), and lengths and clocks where given, in place. Throws
/// InputError for indices out of range or fewer than two cameras; a failure to converge is told by result.lm.
SPORTCORE_API BundleResult adjust_bundle(Camera<double>* cameras, std::size_t num_cameras, double* points,
                                         const BundleObservations& observations,
                                         const BundleOptions& options);

}  // namespace sportcore

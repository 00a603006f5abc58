// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Extrinsic calibration from a moving body: poses of C cameras with known lenses from synchronised
/// keypoints.
///
/// The road: correspondences of all frames and joints are pooled per camera pair; an essential matrix is
/// estimated for every pair by robust sampling; the start pair is the one whose points explain the views that
/// were not used; the other cameras follow by resection; swapped left/right sides are undone where another
/// assignment explains a frame better; bundle adjustment under a robust loss whose scale follows the
/// residuals closes the work. The result is in the gauge of the start pair (unit baseline, camera frame);
/// metres and the vertical are put on afterwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sportcore/bundle.h"
#include "sportcore/camera.h"
#include "sportcore/rotation_averaging.h"

namespace sportcore {

/// Keypoints of C cameras, T frames, J joints; arrays in this order. Not copied, not changed.
struct BodyObservations {
  std::size_t num_cameras = 0, num_frames = 0, num_joints = 0;
  const double* xy = nullptr;                // (C, T, J, 2) px, NaN where missing
  const double* weight = nullptr;            // (C, T, J) inverse relative variance, 0 where missing
  const Intrinsics<double>* lens = nullptr;  // (C)
  const std::int32_t* flip =
      nullptr;  // (J) index of the mirrored joint (itself when unpaired); null: no swap test
  std::size_t num_bones = 0, num_bone_pairs = 0;
  const std::int32_t* bones = nullptr;       // (num_bones, 2) joints at a constant distance
  const std::int32_t* bone_pairs = nullptr;  // (num_bone_pairs, 2) bones of equal length, left and right
  double frame_s = 0.0;                      // time from frame to frame, for the clocks
  std::size_t num_votes = 0;
  const RotationEdge* votes =
      nullptr;  // (num_votes) what something else than the keypoints says of rotations
  const std::uint8_t* sides = nullptr;  // (C, T) and of left and right exchanged: a hypothesis; may be null
};

struct CalibrateOptions {
  double max_reprojection_error_px = 20.0;  // an observation further off is never taken for good [px]
  int max_frames = 1000;                    // frames in the closing adjustment
  int max_start_frames = 100;               // frames for pairwise geometry and the first adjustments
  double min_parallax_rad = 0.035;  // between the rays of a point that enters the adjustment (2 degrees)
  int min_shared_points = 30;       // of a camera pair
  FocalRefinement focal = FocalRefinement::kNone;
  bool principal_point = false, radial = false;  // also free, see BundleOptions
  double focal_sigma = 0.0, principal_point_sigma_px = 0.0, radial_sigma = 0.0;
  bool bone_lengths = true;            // constant bone lengths in the closing adjustment
  bool clocks = false, drift = false;  // time offsets (and drifts) of less than about a frame
  bool probe_focal = false;            // also report the focal factor that would fit best
  bool undo_swaps = true;
  int num_threads = 0;
  std::uint64_t seed = 0;
};

struct PairEstimate {
  int first = 0, second = 0;
  std::size_t num_shared = 0, num_inliers = 0;
  double median_residual_px = 0, median_parallax_rad = 0;
  bool success = false;
  double R[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // second from first
  double t[3] = {0, 0, 0};
};

struct CalibrateResult {
  std::vector<Camera<double>> cameras;      // (C) poses of the connected cameras; the others stay at identity
  std::vector<std::uint8_t> connected;      // (C)
  std::vector<PairEstimate> pairs;          // every pair, tried or not
  bool start_from_sides = false;            // the start went on from BodyObservations::sides
  bool start_from_rotations = false;        // the start from averaged rotations was the better one
  int start_first = -1, start_second = -1;  // the pair that the reconstruction grew from
  double sigma_px = 0;                      // deviation of one coordinate of an inlier observation
  std::vector<std::int32_t> frames;         // (F) frames that were used, ascending
  std::vector<double> points;               // (F, J, 3), NaN where not determined
  std::vector<std::uint8_t> inlier;         // (C, F, J)
  std::vector<std::uint8_t> swapped;        // (C, F) left and right exchanged
  BundleResult bundle;      // the closing adjustment (cameras in ascending order of the connected)
  bool bones_used = false;  // they held the cameras better than the views alone
  /// Root mean square shift of a joint in a camera that was taken off the observations: a detector's own idea
  /// of a hip; 0 where errors look independent. px, either coordinate.
  double detector_bias_px = 0;
  std::vector<double> bone_length, bone_sigma;   // (num_bones) and deviation from frame to frame; 0: unknown
  std::vector<double> time_offset, clock_drift;  // (C) s and s/s, see BundleClocks
  double focal_factor = 1.0;                     // best common focal factor, when probed
  double focal_factor_sigma = 0.0;
  bool focal_probed = false;
  std::array<double, 4> seconds{};  // pairs, growing, swaps and triangulation, adjustment
};

/// Throws InputError for malformed input. What the geometry does not determine is not thrown but told:
/// cameras without connection in `connected`, no start pair as start_first = -1.
SPORTCORE_API CalibrateResult calibrate_bodies(const BodyObservations& observations,
                                               const CalibrateOptions& options);

/// Which camera-frames have left and right exchanged, given the cameras (C): (C, T) flags. threshold_px
/// truncates the reprojection distance; a few times the deviation of an observation. The search goes on from
/// observations.sides where these are given.
SPORTCORE_API std::vector<std::uint8_t> find_swaps(const BodyObservations& observations,
                                                   const Camera<double>* cameras, double threshold_px,
                                                   int num_threads);

/// Up to max_frames frames that several cameras share, spread evenly over time and over the distance the
/// joints moved (half each), the best seen of each stretch. Ascending.
SPORTCORE_API std::vector<std::int32_t> select_frames(const BodyObservations& observations, int max_frames);

}  // namespace sportcore

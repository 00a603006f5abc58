// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "body_adjust.h"
#include "sportcore/error.h"
#include "start.h"

namespace sportcore {
namespace {

using detail::Adjustment;
using detail::BodyViews;
using detail::Reconstruction;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kBoneGain =
    0.95;  // bones are used when they shrink the rotations' deviation to less than this

// Root mean square deviation of the rotations for observations of unit deviation, rad / px; infinite without
// a covariance.
double rotation_sigma(const BundleResult& r, std::size_t cameras) {
  if (r.covariance.empty() || !(r.sigma_px > 0)) return 1e300;
  double sum = 0;
  for (std::size_t c = 0; c < cameras; ++c)
    for (int i = 0; i < 3; ++i) {
      const std::size_t k = 6 * c + i;
      sum += r.covariance[k * r.num_params + k];
    }
  return std::sqrt(sum / (3 * cameras)) / r.sigma_px;
}

}  // namespace

std::vector<std::uint8_t> find_swaps(const BodyObservations& in, const Camera<double>* cameras,
                                     double threshold_px, int num_threads) {
  require(in.num_cameras >= 2 && in.num_cameras <= 64, "Swaps are looked for between 2 to 64 cameras.");
  require(in.xy && in.weight && in.lens && in.flip && cameras,
          "find_swaps needs keypoints, weights, lenses and pairs.");
  require(threshold_px > 0, "threshold_px must be positive.");
  std::vector<std::int32_t> frames(in.num_frames);
  std::iota(frames.begin(), frames.end(), 0);
  BodyViews views(in, std::move(frames), num_threads);
  views.exchange(in);
  detail::undo_swaps(views, std::vector<Camera<double>>(cameras, cameras + in.num_cameras),
                     std::vector<std::uint8_t>(in.num_cameras, 1), threshold_px, num_threads);
  return views.swapped;
}

CalibrateResult calibrate_bodies(const BodyObservations& in, const CalibrateOptions& options) {
  require(in.num_cameras >= 2, "Calibration needs at least two cameras.");
  require(in.num_cameras <= 64, "At most 64 cameras are supported.");
  require(in.xy && in.weight && in.lens, "Calibration needs keypoints, weights and lenses.");
  require(options.max_frames > 0 && options.max_start_frames > 0, "max_frames must be positive.");
  require(options.max_reprojection_error_px > 0, "max_reprojection_error_px must be positive.");
  CalibrateResult result;
  const std::size_t C = in.num_cameras;
  result.cameras.resize(C);
  result.connected.assign(C, 0);
  for (std::size_t c = 0; c < C; ++c) {
    result.cameras[c] = Camera<double>{};
    result.cameras[c].lens = in.lens[c];
    result.cameras[c].R[0] = result.cameras[c].R[4] = result.cameras[c].R[8] = 1;
  }
  double clock = now();
  const auto lap = [&](std::size_t k) {
    const double t = now();
    result.seconds[k] += t - clock;
    clock = t;
  };
  result.frames = select_frames(in, options.max_frames);
  if (result.frames.empty()) return result;
  std::vector<std::int32_t> start_frames;
  const std::size_t n_start = std::min<std::size_t>(result.frames.size(), options.max_start_frames);
  for (std::size_t k = 0; k < n_start; ++k)
    start_frames.push_back(result.frames[k * result.frames.size() / n_start]);
  BodyViews start(in, start_frames, options.num_threads);

  const double threshold = options.max_reprojection_error_px;
  result.pairs = detail::estimate_pairs(start, options);
  lap(0);
  detail::Start found = detail::choose_start(start, in, result.pairs, options);
  if (!found.found()) return result;
  result.start_first = found.first, result.start_second = found.second;
  result.start_from_rotations = found.from_rotations;
  result.start_from_sides = found.from_sides;
  Reconstruction best = std::move(found.reconstruction);
  const auto rebuild = [&](const BodyViews& views, double px) {
    best.structure = detail::build_structure(views, best.cameras, best.placed, px, options.min_parallax_rad,
                                             options.num_threads);
  };
  BundleOptions lens;
  lens.focal = options.focal;
  lens.principal_point = options.principal_point;
  lens.radial = options.radial;
  lens.focal_sigma = options.focal_sigma;
  lens.principal_point_sigma_px = options.principal_point_sigma_px;
  lens.radial_sigma = options.radial_sigma;
  const detail::WeightScale scale = detail::measure_weights(start, best);
  start.map_weights(scale);
  lap(1);

  // All chosen frames.
  BodyViews views(in, result.frames, options.num_threads);
  views.map_weights(scale);
  if (found.from_sides) views.exchange(in);
  if (options.undo_swaps)
    detail::undo_swaps(views, best.cameras, best.placed, std::min(threshold, 5 * best.sigma_px),
                       options.num_threads);
  rebuild(views, std::min(threshold, 6 * best.sigma_px));
  best.sigma_px = std::max(detail::robust_sigma(views, best), 1e-3);
  lap(2);
  Adjustment a;
  a.scale_px = std::min(3 * best.sigma_px, 0.5 * threshold);
  a.gate_px = std::min(threshold, 8 * best.sigma_px);
  a.iterations = 15;
  a.tolerance = 3e-5;
  a.lens = lens;
  a.clocks = options.clocks;
  a.drift = options.drift;
  a.frame_s = in.frame_s;
  const bool bones = options.bone_lengths && in.num_bones;
  adjust(views, best, a, options.num_threads);
  rebuild(views, std::min(threshold, 5 * best.sigma_px));
  best.sigma_px = std::max(detail::robust_sigma(views, best), 1e-3);
  a.loss = Loss::kGemanMcClure;
  a.scale_px = std::min(5 * best.sigma_px, 0.7 * threshold);
  a.gate_px = std::min(threshold, 6 * best.sigma_px);
  if (bones) {
    // Errors of the cameras make lengths vary too: first as if hardly anything else did, then as measured
    // with the cameras that this gives.
    detail::measure_bones(views, best);
    const Reconstruction without = best;
    a.covariance = a.independent = true;
    a.iterations = 0;
    const BundleResult plain = adjust(views, best, a, options.num_threads);
    a.iterations = 12;
    a.tolerance = 1e-4;
    a.bones = true;
    Adjustment tight = a;
    tight.bone_sigma = 0.003;
    const BundleResult bound = adjust(views, best, tight, options.num_threads);
    // Where the views alone fix the cameras as well, bones could only add what is wrong with them.
    const std::size_t cameras = best.placed_list().size();
    a.bones = rotation_sigma(bound, cameras) < kBoneGain * rotation_sigma(plain, cameras);
    if (a.bones) {
      const std::vector<double> points = best.structure.points;
      rebuild(views, std::min(threshold, 5 * best.sigma_px));
      detail::measure_bones(views, best);
      for (std::size_t i = 0; i < points.size(); ++i)
        if (is_finite(best.structure.points[i]) && is_finite(points[i])) best.structure.points[i] = points[i];
    } else {
      best = without;
    }
  }
  a.independent = false;
  result.bones_used = a.bones;
  // An outlier that bones tie to others pulls on these too.
  if (!a.bones) a.scale_px = std::min(6 * best.sigma_px, 0.7 * threshold);
  a.iterations = 40;
  a.tolerance = 2e-7;
  a.covariance = true;
  result.bundle = adjust(views, best, a, options.num_threads);
  rebuild(views, std::min(threshold, 5 * best.sigma_px));
  if (options.probe_focal) {  // on the start frames: enough to tell, and cheap
    Reconstruction probe = best;
    probe.structure =
        detail::build_structure(start, probe.cameras, probe.placed, std::min(threshold, 6 * best.sigma_px),
                                options.min_parallax_rad, options.num_threads);
    a.lens = {};
    a.lens.focal = FocalRefinement::kShared;
    a.bones = a.clocks = false;
    a.loss = Loss::kCauchy;
    a.scale_px = std::min(3 * best.sigma_px, 0.5 * threshold);
    a.gate_px = threshold;
    a.iterations = 20;
    a.tolerance = 1e-4;
    const BundleResult b = adjust(start, probe, a, options.num_threads);
    const int c = probe.placed_list().front();
    result.focal_factor = probe.cameras[c].lens.fx / best.cameras[c].lens.fx;
    if (!b.covariance.empty()) result.focal_factor_sigma = std::sqrt(std::max(0.0, b.covariance.back()));
    result.focal_probed = !b.covariance.empty();
  }
  lap(3);
  result.cameras = best.cameras;
  result.connected = best.placed;
  result.sigma_px = result.bundle.sigma_px > 0 ? result.bundle.sigma_px : best.sigma_px;
  result.points = std::move(best.structure.points);
  result.inlier = std::move(best.structure.inlier);
  result.swapped = views.swapped;
  result.bone_length = best.bones.length;
  result.bone_sigma = best.bones.sigma;
  result.time_offset = best.offset;
  result.clock_drift = best.drift;
  return result;
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "body_adjust.h"
#include "body_bias.h"
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

// Bones are used when they shrink the rotations' deviation to less than this,
constexpr double kBoneGain = 0.95;
// or where correlated errors make that deviation larger by kSystematic than independent ones, and bones do
// not make it worse by more than such an estimate is uncertain.
constexpr double kSystematic = 1.5, kBoneLoss = 1.05;

// Root mean square deviation of some unknowns for observations of unit deviation; infinite without a
// covariance.
template <class Wanted>
double deviation(const BundleResult& r, const Wanted& wanted) {
  if (r.covariance.empty() || !(r.sigma_px > 0)) return 1e300;
  double sum = 0;
  int n = 0;
  for (int k = 0; k < r.num_params; ++k)
    if (wanted(k)) sum += r.covariance[static_cast<std::size_t>(k) * r.num_params + k], ++n;
  return n ? std::sqrt(sum / n) / r.sigma_px : 0.0;
}

// By how much the deviations change from one adjustment to the other: those of the rotations or of the free
// focal lengths, whichever gains more.
double deviation_ratio(const BundleResult& from, const BundleResult& to, std::size_t cameras) {
  const int poses = 6 * static_cast<int>(cameras);
  const auto rotation = [&](int k) { return k < poses && k % 6 < 3; };
  const auto focal = [&](int k) {
    return k >= poses && k - poses < static_cast<int>(from.extra.size()) &&
           from.extra[k - poses].kind == BundleResult::Kind::kLogFocal;
  };
  const double ratio = deviation(to, rotation) / deviation(from, rotation), before = deviation(from, focal);
  return before > 0 ? std::min(ratio, deviation(to, focal) / before) : ratio;
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
    a.covariance = true;
    a.iterations = 0;
    const BundleResult plain = adjust(views, best, a, options.num_threads);
    a.iterations = 12;
    a.tolerance = 1e-4;
    a.bones = true;
    Adjustment tight = a;
    tight.bone_sigma = 0.003;
    const BundleResult bound = adjust(views, best, tight, options.num_threads);
    // Where the views alone fix the cameras as well, bones could only add what is wrong with them. But where
    // errors are correlated (a detector's own idea of a hip), views are less sure than their residuals make
    // them look.
    const std::size_t cameras = best.placed_list().size();
    const double ratio = deviation_ratio(plain, bound, cameras);
    a.bones = plain.correlation > kSystematic ? ratio < kBoneLoss
                                              : ratio * plain.correlation < kBoneGain * bound.correlation;
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
  result.bones_used = a.bones;
  // An outlier that bones tie to others pulls on these too.
  if (!a.bones) a.scale_px = std::min(6 * best.sigma_px, 0.7 * threshold);
  a.iterations = 40;
  a.tolerance = 1e-6;
  a.covariance = true;
  result.bundle = adjust(views, best, a, options.num_threads);
  rebuild(views, std::min(threshold, 5 * best.sigma_px));
  if (result.bundle.correlation > kSystematic) {
    // Shifts and cameras in turn, not to the end: what is left of the cameras' errors would pass into the
    // shifts. The deviations stay those of before, which count the shifts as unknown.
    detail::DetectorBias bias(views);
    a.covariance = false;
    a.iterations = 10;
    for (int round = 0; round < 2 && bias.update(views, best, in.lens); ++round) {
      adjust(views, best, a, options.num_threads);
      rebuild(views, std::min(threshold, 5 * best.sigma_px));
    }
    result.detector_bias_px = bias.size_px();
  }
  if (options.probe_focal) {  // on the start frames: enough to tell, and cheap
    Reconstruction probe = best;
    probe.structure =
        detail::build_structure(start, probe.cameras, probe.placed, std::min(threshold, 6 * best.sigma_px),
                                options.min_parallax_rad, options.num_threads);
    a.covariance = true;
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

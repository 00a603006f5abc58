// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "body_adjust.h"
#include "body_bias.h"
#include "sportcore/error.h"
#include "sportcore/essential.h"
#include "sportcore/parallel.h"
#include "sportcore/resection.h"

namespace sportcore {
namespace {

using detail::Adjustment;
using detail::BodyViews;
using detail::Reconstruction;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- pairs
// -----------------------------------------------------------------------------------------------------

CameraPair estimate_pair(const BodyViews& views, int a, int b, double threshold_px,
                         const CalibrateOptions& options) {
  CameraPair pair;
  pair.first = a, pair.second = b;
  std::vector<double> x1, x2, w;
  for (std::size_t f = 0; f < views.F; ++f)
    for (std::size_t j = 0; j < views.J; ++j) {
      const std::size_t p = views.source(a, f, j), q = views.source(b, f, j);
      if (!(views.weight(p) > 0 && views.weight(q) > 0)) continue;
      x1.insert(x1.end(), views.normalised(p), views.normalised(p) + 2);
      x2.insert(x2.end(), views.normalised(q), views.normalised(q) + 2);
      w.push_back(std::sqrt(views.weight(p) * views.weight(q)));
    }
  pair.num_shared = w.size();
  if (w.size() < static_cast<std::size_t>(std::max(8, options.min_shared_points))) return pair;
  EssentialOptions eo;
  eo.max_residual_px = threshold_px;
  eo.seed = options.seed * 1000003u + static_cast<std::uint64_t>(a) * 131u + static_cast<std::uint64_t>(b);
  const EssentialResult e =
      estimate_essential(x1.data(), x2.data(), w.data(), w.size(), views.focal[a], views.focal[b], eo);
  pair.success = e.success;
  pair.num_inliers = e.num_inliers;
  pair.median_residual_px = e.median_residual_px;
  pair.median_parallax_rad = e.median_parallax_rad;
  std::copy(e.R, e.R + 9, pair.R);
  std::copy(e.t, e.t + 3, pair.t);
  return pair;
}

Reconstruction start_from(const BodyViews& views, const BodyObservations& in, const CameraPair& pair,
                          double threshold_px, const CalibrateOptions& options) {
  Reconstruction r;
  r.placed.assign(views.C, 0);
  r.offset.assign(views.C, 0.0);
  r.drift.assign(views.C, 0.0);
  r.bones.joints.assign(in.bones, in.bones + 2 * in.num_bones);
  r.bones.pairs.assign(in.bone_pairs, in.bone_pairs + 2 * in.num_bone_pairs);
  for (std::size_t c = 0; c < views.C; ++c) {
    Camera<double> camera{};
    camera.lens = in.lens[c];
    camera.R[0] = camera.R[4] = camera.R[8] = 1;
    r.cameras.push_back(camera);
  }
  std::copy(pair.R, pair.R + 9, r.cameras[pair.second].R);
  std::copy(pair.t, pair.t + 3, r.cameras[pair.second].t);
  r.placed[pair.first] = r.placed[pair.second] = 1;
  r.structure = detail::build_structure(views, r.cameras, r.placed, threshold_px, options.min_parallax_rad,
                                        options.num_threads);
  return r;
}

ResectionResult resect(const BodyViews& views, const Reconstruction& r, int camera, double threshold_px,
                       std::uint64_t seed) {
  std::vector<double> X, x, w;
  for (std::size_t f = 0; f < views.F; ++f)
    for (std::size_t j = 0; j < views.J; ++j) {
      const double* p = r.structure.points.data() + 3 * (f * views.J + j);
      const std::size_t s = views.source(camera, f, j);
      if (!is_finite(p[0]) || !(views.weight(s) > 0)) continue;
      X.insert(X.end(), p, p + 3);
      x.insert(x.end(), views.normalised(s), views.normalised(s) + 2);
      w.push_back(views.weight(s));
    }
  if (w.size() < 12) return {};
  ResectionOptions options;
  options.max_residual_px = threshold_px;
  options.seed = seed * 1000003u + 77u + static_cast<std::uint64_t>(camera);
  return estimate_pose(X.data(), x.data(), w.data(), w.size(), views.focal[camera], options);
}

void place(Reconstruction& r, int camera, const ResectionResult& pose) {
  std::copy(pose.R, pose.R + 9, r.cameras[camera].R);
  std::copy(pose.t, pose.t + 3, r.cameras[camera].t);
  r.placed[camera] = 1;
}

// Adds every camera that can be added, the surest first, adjusting as the set grows.
void grow(const BodyViews& views, Reconstruction& r, double threshold_px, const CalibrateOptions& options) {
  const auto rebuild = [&] {
    r.structure = detail::build_structure(views, r.cameras, r.placed, threshold_px, options.min_parallax_rad,
                                          options.num_threads);
  };
  Adjustment quick;
  quick.scale_px = 0.5 * threshold_px;
  quick.gate_px = threshold_px;
  quick.iterations = 6;
  quick.tolerance = 1e-4;
  adjust(views, r, quick, options.num_threads);
  while (true) {
    int best = -1;
    ResectionResult pose;
    for (std::size_t c = 0; c < views.C; ++c) {
      if (r.placed[c]) continue;
      const ResectionResult trial = resect(views, r, static_cast<int>(c), threshold_px, options.seed);
      if (trial.success && trial.inlier_share > 0.2 && trial.num_inliers >= 12 &&
          (best < 0 || trial.num_inliers > pose.num_inliers))
        best = static_cast<int>(c), pose = trial;
    }
    if (best < 0) return;
    place(r, best, pose);
    rebuild();
    adjust(views, r, quick, options.num_threads);
    rebuild();
  }
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

// How badly the cameras outside the pair are explained by its points: mean truncated cost, 1 for a camera
// that fails.
double third_view_cost(const BodyViews& views, const Reconstruction& r, double threshold_px,
                       const CalibrateOptions& options) {
  double sum = 0;
  int n = 0;
  for (std::size_t c = 0; c < views.C; ++c) {
    if (r.placed[c]) continue;
    const ResectionResult pose = resect(views, r, static_cast<int>(c), threshold_px, options.seed);
    ++n;
    if (!pose.success || pose.num_inliers < 12) {
      sum += 1;
    } else {
      sum += 1 - pose.inlier_share * (1 - 0.5 * std::min(1.0, pose.median_residual_px / threshold_px));
    }
  }
  return n ? sum / n : 0.0;
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

  // Pairwise geometry of all pairs.
  const double threshold = options.max_reprojection_error_px;
  for (std::size_t a = 0; a < C; ++a)
    for (std::size_t b = a + 1; b < C; ++b) {
      CameraPair pair;
      pair.first = static_cast<int>(a), pair.second = static_cast<int>(b);
      result.pairs.push_back(pair);
    }
  parallel_for(result.pairs.size(), 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k)
      result.pairs[k] =
          estimate_pair(start, result.pairs[k].first, result.pairs[k].second, 0.5 * threshold, options);
  });
  lap(0);

  // Candidates by inliers and parallax (small and near-opposite angles fix depth badly), judged by the other
  // views.
  std::vector<std::size_t> order;
  std::vector<double> merit(result.pairs.size(), 0.0);
  for (std::size_t k = 0; k < result.pairs.size(); ++k) {
    const CameraPair& p = result.pairs[k];
    if (!p.success || p.median_parallax_rad < options.min_parallax_rad) continue;
    merit[k] = static_cast<double>(p.num_inliers) * std::min(1.0, std::sin(p.median_parallax_rad) / 0.5);
    order.push_back(k);
  }
  if (order.empty()) return result;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return merit[a] > merit[b]; });
  if (order.size() > 8) order.resize(8);
  std::vector<double> judged(order.size(), 0.0);
  if (C > 2) {
    CalibrateOptions serial = options;
    serial.num_threads = 1;
    parallel_for(order.size(), 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        const Reconstruction r = start_from(start, in, result.pairs[order[k]], threshold, serial);
        judged[k] = third_view_cost(start, r, threshold, serial);
      }
    });
  }
  std::vector<std::size_t> rank(order.size());
  std::iota(rank.begin(), rank.end(), std::size_t{0});
  std::stable_sort(rank.begin(), rank.end(),
                   [&](std::size_t a, std::size_t b) { return judged[a] < judged[b]; });

  // Grow from the best; when cameras stay out or little fits, from the next ones too, and keep the best.
  Reconstruction best;
  double best_score = -1;
  for (std::size_t k = 0; k < std::min<std::size_t>(rank.size(), 4); ++k) {
    const CameraPair& pair = result.pairs[order[rank[k]]];
    Reconstruction r = start_from(start, in, pair, threshold, options);
    grow(start, r, threshold, options);
    const double score = static_cast<double>(r.placed_list().size()) + r.structure.inlier_share;
    if (score > best_score) {
      best_score = score;
      best = std::move(r);
      result.start_first = pair.first, result.start_second = pair.second;
    }
    if (best_score >= static_cast<double>(C) + 0.5) break;
  }

  BundleOptions lens;
  lens.focal = options.focal;
  lens.principal_point = options.principal_point;
  lens.radial = options.radial;
  lens.focal_sigma = options.focal_sigma;
  lens.principal_point_sigma_px = options.principal_point_sigma_px;
  lens.radial_sigma = options.radial_sigma;

  // First adjustments on the start frames; the scale of the loss comes down with the residuals.
  const auto rebuild = [&](const BodyViews& views, double px) {
    best.structure = detail::build_structure(views, best.cameras, best.placed, px, options.min_parallax_rad,
                                             options.num_threads);
  };
  rebuild(start, threshold);
  best.sigma_px = std::max(detail::robust_sigma(start, best), 1e-3);
  for (int round = 0; round < 3; ++round) {
    Adjustment a;
    a.scale_px = std::min(3 * best.sigma_px, 0.5 * threshold);
    a.gate_px = std::min(threshold, 10 * best.sigma_px);
    a.iterations = 10;
    a.tolerance = 1e-5;
    a.lens.focal = options.focal;  // the rest waits for all frames
    a.lens.focal_sigma = options.focal_sigma;
    adjust(start, best, a, options.num_threads);
    if (round == 0 && options.undo_swaps)
      detail::undo_swaps(start, best.cameras, best.placed, std::min(threshold, 5 * best.sigma_px),
                         options.num_threads);
    rebuild(start, std::min(threshold, 6 * best.sigma_px));
    const double sigma = std::max(detail::robust_sigma(start, best), 1e-3);
    const bool settled = sigma > 0.9 * best.sigma_px && round > 0;
    best.sigma_px = sigma;
    if (settled) break;
  }
  const detail::WeightScale scale = detail::measure_weights(start, best);
  start.map_weights(scale);
  lap(1);

  // All chosen frames.
  BodyViews views(in, result.frames, options.num_threads);
  views.map_weights(scale);
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

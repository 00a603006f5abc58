// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "start.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sportcore/essential.h"
#include "sportcore/parallel.h"
#include "sportcore/resection.h"

namespace sportcore::detail {
namespace {

constexpr std::size_t kPartners = 7;     // of each camera, for pairwise geometry
constexpr std::size_t kFewCameras = 8;   // up to here cameras join one at a time
constexpr std::size_t kThirdViews = 12;  // that judge a start pair
constexpr double kSureShare = 0.5;       // of inliers, above which a pose needs no second hypothesis

// Which pairs to estimate: all of few cameras. Else those along which the graph of shared joints holds
// together best (a spanning tree), and for each camera those it shares most with; where many share equally
// much, evenly spread over the cameras.
std::vector<std::uint8_t> choose_pairs(const BodyViews& views, std::vector<PairEstimate>& pairs,
                                       int num_threads) {
  std::vector<std::uint8_t> tried(pairs.size(), views.C <= kPartners + 1);
  if (tried.empty() || tried[0]) return tried;
  parallel_for(pairs.size(), 8, num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k)
      for (std::size_t f = 0; f < views.F; ++f)
        for (std::size_t j = 0; j < views.J; ++j)
          pairs[k].num_shared += views.weight(views.source(pairs[k].first, f, j)) > 0 &&
                                 views.weight(views.source(pairs[k].second, f, j)) > 0;
  });
  std::vector<std::size_t> order(pairs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return pairs[a].num_shared > pairs[b].num_shared; });
  std::vector<int> tree(views.C);  // Kruskal
  std::iota(tree.begin(), tree.end(), 0);
  for (std::size_t k : order) {
    const int a = tree[pairs[k].first], b = tree[pairs[k].second];
    if (a == b || !pairs[k].num_shared) continue;
    tried[k] = 1;
    for (int& t : tree)
      if (t == b) t = a;
  }
  std::vector<std::size_t> most(views.C, 0);
  for (const PairEstimate& p : pairs)
    for (int c : {p.first, p.second}) most[c] = std::max(most[c], p.num_shared);
  std::vector<std::size_t> equal, all;
  for (std::size_t c = 0; c < views.C; ++c) {
    equal.clear(), all.clear();
    for (std::size_t k : order) {
      if (pairs[k].first != static_cast<int>(c) && pairs[k].second != static_cast<int>(c)) continue;
      all.push_back(k);
      if (4 * pairs[k].num_shared >= 3 * most[c]) equal.push_back(k);
    }
    if (equal.size() <= kPartners) {
      all.resize(std::min(all.size(), kPartners));
      for (std::size_t k : all) tried[k] = 1;
    } else {
      std::sort(equal.begin(), equal.end());
      for (std::size_t i = 0; i < kPartners; ++i) tried[equal[i * equal.size() / kPartners]] = 1;
    }
  }
  return tried;
}

}  // namespace

PairEstimate estimate_pair(const BodyViews& views, int a, int b, double threshold_px,
                           const CalibrateOptions& options, const double* prior_R, double prior_sigma_rad) {
  PairEstimate pair;
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
  eo.prior_R = prior_R;
  eo.prior_sigma_rad = prior_sigma_rad;
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

namespace {

Reconstruction start_from(const BodyViews& views, const BodyObservations& in, const PairEstimate& pair,
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
  r.structure = build_structure(views, r.cameras, r.placed, threshold_px, options.min_parallax_rad,
                                options.num_threads);
  return r;
}

// What the pose of a camera may be estimated with.
struct Hints {
  const RotationPriors* priors = nullptr;
  int origin = 0;      // the camera at the identity
  bool sides = false;  // left and right of its frames may be exchanged
};

ResectionResult resect(const BodyViews& views, const Reconstruction& r, int camera, const Hints& hints,
                       double threshold_px, std::uint64_t seed) {
  std::vector<double> X, x, other, w;
  std::vector<std::int32_t> frame;
  const bool sides = hints.sides && views.flip;
  for (std::size_t f = 0; f < views.F; ++f)
    for (std::size_t j = 0; j < views.J; ++j) {
      const double* p = r.structure.points.data() + 3 * (f * views.J + j);
      const std::size_t s = views.source(camera, f, j);
      if (!is_finite(p[0]) || !(views.weight(s) > 0)) continue;
      X.insert(X.end(), p, p + 3);
      x.insert(x.end(), views.normalised(s), views.normalised(s) + 2);
      w.push_back(views.weight(s));
      if (!sides) continue;
      const double* mirrored = views.normalised(views.source(camera, f, views.flip[j]));
      other.insert(other.end(), mirrored, mirrored + 2);
      frame.push_back(static_cast<std::int32_t>(f));
    }
  if (w.size() < 12) return {};
  ResectionOptions options;
  options.max_residual_px = threshold_px;
  options.seed = seed * 1000003u + 77u + static_cast<std::uint64_t>(camera);
  const auto pose = [&] {
    return estimate_pose(X.data(), x.data(), w.data(), w.size(), views.focal[camera], options);
  };
  ResectionResult best = pose();
  const auto consider = [&] {
    ResectionResult trial = pose();
    if (trial.success && (!best.success || trial.num_inliers > best.num_inliers)) best = std::move(trial);
  };
  double R[9];
  if (hints.priors && hints.priors->related(hints.origin, camera) && best.inlier_share < kSureShare) {
    hints.priors->between(hints.origin, camera, R);
    options.prior_R = R;
    options.prior_sigma_rad = hints.priors->sigma_rad;
    consider();
  }
  if (sides && best.inlier_share < kSureShare) {
    options.other = other.data();
    options.group = frame.data();
    consider();
    if (options.prior_R) {
      options.prior_R = nullptr;
      consider();
    }
  }
  if (best.exchanged.empty()) return best;
  // By frame instead of by point.
  std::vector<std::uint8_t> exchanged(views.F, 0);
  for (std::size_t i = 0; i < frame.size(); ++i) exchanged[frame[i]] = best.exchanged[i];
  best.exchanged = std::move(exchanged);
  return best;
}

void place(Reconstruction& r, int camera, const ResectionResult& pose) {
  std::copy(pose.R, pose.R + 9, r.cameras[camera].R);
  std::copy(pose.t, pose.t + 3, r.cameras[camera].t);
  r.placed[camera] = 1;
}

// Adds every camera that can be added, the surest first, adjusting as the set grows. With many cameras all
// that are about as sure join at once.
void grow(BodyViews& views, Reconstruction& r, const Hints& hints, const CalibrateOptions& options) {
  const double threshold_px = options.max_reprojection_error_px;
  const auto rebuild = [&] {
    r.structure = build_structure(views, r.cameras, r.placed, threshold_px, options.min_parallax_rad,
                                  options.num_threads);
  };
  Adjustment quick;
  quick.scale_px = 0.5 * threshold_px;
  quick.gate_px = threshold_px;
  quick.iterations = 6;
  quick.tolerance = 1e-4;
  adjust(views, r, quick, options.num_threads);
  while (true) {
    std::vector<ResectionResult> trials(views.C);
    parallel_for(views.C, 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t c = begin; c < end; ++c)
        if (!r.placed[c])
          trials[c] = resect(views, r, static_cast<int>(c), hints, threshold_px, options.seed);
    });
    int best = -1;
    for (std::size_t c = 0; c < views.C; ++c) {
      const bool good = trials[c].success && trials[c].num_inliers >= 12 &&
                        trials[c].inlier_share > (trials[c].exchanged.empty() ? 0.2 : 0.3);
      if (!good) trials[c].num_inliers = 0;
      if (good && (best < 0 || trials[c].num_inliers > trials[best].num_inliers)) best = static_cast<int>(c);
    }
    if (best < 0) return;
    bool exchanged = false;
    for (std::size_t c = 0; c < views.C; ++c) {
      const bool joins =
          static_cast<int>(c) == best || (views.C > kFewCameras && trials[c].inlier_share > kSureShare &&
                                          2 * trials[c].num_inliers > trials[best].num_inliers);
      if (r.placed[c] || !joins) continue;
      place(r, static_cast<int>(c), trials[c]);
      for (std::size_t f = 0; f < trials[c].exchanged.size(); ++f)
        if (trials[c].exchanged[f]) views.swapped[c * views.F + f] ^= 1, exchanged = true;
    }
    rebuild();
    adjust(views, r, quick, options.num_threads);
    if (exchanged) undo_swaps(views, r.cameras, r.placed, threshold_px, options.num_threads);
    rebuild();
  }
}

// How badly the cameras outside the pair are explained by its points: mean truncated cost, 1 for a camera
// that fails. Of many cameras those that see most of the points.
double third_view_cost(const BodyViews& views, const Reconstruction& r, const Hints& hints,
                       double threshold_px, const CalibrateOptions& options) {
  std::vector<std::size_t> others, seen(views.C, 0);
  for (std::size_t c = 0; c < views.C; ++c)
    if (!r.placed[c]) others.push_back(c);
  if (others.size() > kThirdViews) {
    for (std::size_t c : others)
      for (std::size_t f = 0; f < views.F; ++f)
        for (std::size_t j = 0; j < views.J; ++j)
          seen[c] +=
              is_finite(r.structure.points[3 * (f * views.J + j)]) && views.weight(views.source(c, f, j)) > 0;
    std::stable_sort(others.begin(), others.end(),
                     [&](std::size_t a, std::size_t b) { return seen[a] > seen[b]; });
    others.resize(kThirdViews);
  }
  double sum = 0;
  for (std::size_t c : others) {
    const ResectionResult pose = resect(views, r, static_cast<int>(c), hints, threshold_px, options.seed);
    if (!pose.success || pose.num_inliers < 12) {
      sum += 1;
    } else {
      sum += 1 - pose.inlier_share * (1 - 0.5 * std::min(1.0, pose.median_residual_px / threshold_px));
    }
  }
  return others.empty() ? 0.0 : sum / static_cast<double>(others.size());
}

}  // namespace

void RotationPriors::between(int first, int second, double out[9]) const {
  double t[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) t[3 * i + j] = R[9 * first + 3 * j + i];
  mat3_mul(R.data() + 9 * second, t, out);
}

std::vector<PairEstimate> estimate_pairs(const BodyViews& views, const CalibrateOptions& options) {
  std::vector<PairEstimate> pairs;
  for (std::size_t a = 0; a < views.C; ++a)
    for (std::size_t b = a + 1; b < views.C; ++b) {
      PairEstimate pair;
      pair.first = static_cast<int>(a), pair.second = static_cast<int>(b);
      pairs.push_back(pair);
    }
  const std::vector<std::uint8_t> tried = choose_pairs(views, pairs, options.num_threads);
  parallel_for(pairs.size(), 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k)
      if (tried[k])
        pairs[k] = estimate_pair(views, pairs[k].first, pairs[k].second,
                                 0.5 * options.max_reprojection_error_px, options, nullptr);
  });
  return pairs;
}

Start find_start(const BodyViews& views, const BodyObservations& in, const std::vector<PairEstimate>& pairs,
                 const RotationPriors* priors, bool sides, const CalibrateOptions& options) {
  const double threshold = options.max_reprojection_error_px;
  Start out;
  // Candidates by inliers and parallax (small and near-opposite angles fix depth badly), judged by the other
  // views.
  std::vector<std::size_t> order;
  std::vector<double> merit(pairs.size(), 0.0);
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const PairEstimate& p = pairs[k];
    if (!p.success || p.median_parallax_rad < options.min_parallax_rad) continue;
    merit[k] = static_cast<double>(p.num_inliers) * std::min(1.0, std::sin(p.median_parallax_rad) / 0.5);
    order.push_back(k);
  }
  if (order.empty()) return out;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return merit[a] > merit[b]; });
  if (order.size() > 8) order.resize(8);
  std::vector<double> judged(order.size(), 0.0);
  if (views.C > 2) {
    CalibrateOptions serial = options;
    serial.num_threads = 1;
    parallel_for(order.size(), 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        const Reconstruction r = start_from(views, in, pairs[order[k]], threshold, serial);
        judged[k] = third_view_cost(views, r, {priors, pairs[order[k]].first, false}, threshold, serial);
      }
    });
  }
  std::vector<std::size_t> rank(order.size());
  std::iota(rank.begin(), rank.end(), std::size_t{0});
  std::stable_sort(rank.begin(), rank.end(),
                   [&](std::size_t a, std::size_t b) { return judged[a] < judged[b]; });

  // Grow from the best; when cameras stay out or little fits, from the next ones too, and keep the best.
  double best_score = -1;
  for (std::size_t k = 0; k < std::min<std::size_t>(rank.size(), 4); ++k) {
    const PairEstimate& pair = pairs[order[rank[k]]];
    Reconstruction r = start_from(views, in, pair, threshold, options);
    BodyViews seen = views;
    grow(seen, r, {priors, pair.first, sides}, options);
    const double score = static_cast<double>(r.placed_list().size()) + r.structure.inlier_share;
    if (score > best_score) {
      best_score = score;
      out.reconstruction = std::move(r);
      out.first = pair.first, out.second = pair.second;
      out.swapped = std::move(seen.swapped);
    }
    if (best_score >= static_cast<double>(views.C) + 0.5) break;
  }
  return out;
}

void settle(BodyViews& views, Reconstruction& r, const CalibrateOptions& options) {
  const double threshold = options.max_reprojection_error_px;
  const auto rebuild = [&](double px) {
    r.structure =
        build_structure(views, r.cameras, r.placed, px, options.min_parallax_rad, options.num_threads);
  };
  rebuild(threshold);
  r.sigma_px = std::max(robust_sigma(views, r), 1e-3);
  for (int round = 0; round < 3; ++round) {
    Adjustment a;
    a.scale_px = std::min(3 * r.sigma_px, 0.5 * threshold);
    a.gate_px = std::min(threshold, 10 * r.sigma_px);
    a.iterations = 10;
    a.tolerance = 1e-5;
    a.lens.focal = options.focal;  // the rest waits for all frames
    a.lens.focal_sigma = options.focal_sigma;
    adjust(views, r, a, options.num_threads);
    if (round == 0 && options.undo_swaps)
      undo_swaps(views, r.cameras, r.placed, std::min(threshold, 5 * r.sigma_px), options.num_threads);
    rebuild(std::min(threshold, 6 * r.sigma_px));
    const double sigma = std::max(robust_sigma(views, r), 1e-3);
    const bool settled = sigma > 0.9 * r.sigma_px && round > 0;
    r.sigma_px = sigma;
    if (settled) break;
  }
}

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Which of several starts the calibration goes on from.
#include <algorithm>
#include <cmath>

#include "sportcore/parallel.h"
#include "start.h"

namespace sportcore::detail {
namespace {

constexpr std::size_t kAllPairs = 8;       // cameras up to which all pairs are estimated
constexpr double kEdgeRad = 0.035;         // deviation of a good essential matrix's rotation
constexpr double kSharpRad = 0.06;         // of rotations averaged with them
constexpr double kLittleExplained = 0.65;  // of the observations: a start to doubt
constexpr double kLooseLimbs = 0.25;       // spread of their lengths: likewise
constexpr double kDissent = 0.3;           // share of the votes that contradict it: likewise
constexpr double kContradiction = 0.34;    // share of the pairs' inliers whose rotation is another: likewise

double angle_between(const double* A, const double* B) {
  double t[9], d[9], w[3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) t[3 * i + j] = B[3 * j + i];
  mat3_mul(A, t, d);
  so3_log(d, w);
  return std::sqrt(dot3(w, w));
}

// How much of the observations that two cameras or more could have explained is explained: one less the mean
// truncated cost over all of them, cameras that are not placed included.
double explained_share(const BodyViews& views, const Reconstruction& r, double threshold_px,
                       int num_threads) {
  const std::vector<double> centers = camera_centers(r.cameras);
  const std::vector<std::uint8_t> all(views.C, 1);
  std::vector<double> cost(views.F, 0.0), total(views.F, 0.0);
  parallel_for(views.F, 8, num_threads, [&](std::size_t begin, std::size_t end) {
    View list[64];
    for (std::size_t f = begin; f < end; ++f)
      for (std::size_t j = 0; j < views.J; ++j) {
        int n = views.gather(r.cameras, centers, all, f, j, 0, list);
        if (n < 2) continue;
        double weight = 0;
        for (int i = 0; i < n; ++i) weight += list[i].weight;
        total[f] += weight;
        n = views.gather(r.cameras, centers, r.placed, f, j, 0, list);
        double placed = 0;
        for (int i = 0; i < n; ++i) placed += list[i].weight;
        cost[f] += weight - placed + robust_point(list, n, threshold_px).cost;
      }
  });
  double sum = 0, sum_w = 0;
  for (std::size_t f = 0; f < views.F; ++f) sum += cost[f], sum_w += total[f];
  return sum_w > 0 ? 1 - sum / sum_w : 0.0;
}

// Robust relative deviation of the bones' lengths over the frames, median over the bones. Zero when no bones
// are given (nothing is known against the result), large when too few of them were reconstructed.
double bone_spread(const BodyViews& views, const Reconstruction& r) {
  if (!r.bones.count()) return 0.0;
  std::vector<double> spreads, length;
  const auto median = [](std::vector<double>& v) {
    std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
    return v[v.size() / 2];
  };
  for (std::size_t b = 0; b < r.bones.count(); ++b) {
    length.clear();
    for (std::size_t f = 0; f < views.F; ++f) {
      const double* p = r.structure.points.data() + 3 * (f * views.J + r.bones.joints[2 * b]);
      const double* q = r.structure.points.data() + 3 * (f * views.J + r.bones.joints[2 * b + 1]);
      if (!is_finite(p[0]) || !is_finite(q[0])) continue;
      const double d[3] = {p[0] - q[0], p[1] - q[1], p[2] - q[2]};
      length.push_back(std::sqrt(dot3(d, d)));
    }
    if (length.size() < 8) continue;
    const double middle = median(length);
    for (double& l : length) l = std::abs(l - middle);
    spreads.push_back(1.4826 * median(length) / std::max(middle, 1e-12));
  }
  return spreads.empty() ? 9.0 : median(spreads);
}

struct Candidate {
  Start start;
  BodyViews views;
  double explained = 0, spread = 9, dissent = 0,
         worst = 1;  // worst: of a camera's observations, the share kept
  std::size_t placed = 0;
};

// Share of the votes that a reconstruction contradicts; of several votes for a pair one may agree.
double dissent(const Reconstruction& r, const BodyObservations& in) {
  double against = 0, count = 0;
  for (std::size_t k = 0; k < in.num_votes; ++k) {
    const RotationEdge& v = in.votes[k];
    if (!r.placed[v.first] || !r.placed[v.second]) continue;
    double t[9], R[9];
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) t[3 * i + j] = r.cameras[v.first].R[3 * j + i];
    mat3_mul(r.cameras[v.second].R, t, R);
    against += angle_between(R, v.R) > 3.5 * v.sigma_rad;
    ++count;
  }
  return count > 0 ? against / count : 0.0;
}

// Least share of a placed camera's observations that fit, of those another placed camera shares.
double worst_camera(const BodyViews& views, const Reconstruction& r) {
  double worst = 1;
  for (std::size_t c = 0; c < views.C; ++c) {
    if (!r.placed[c]) continue;
    std::size_t shared = 0, good = 0;
    for (std::size_t f = 0; f < views.F; ++f)
      for (std::size_t j = 0; j < views.J; ++j) {
        if (!(views.weight(views.source(c, f, j)) > 0)) continue;
        bool other = false;
        for (std::size_t d = 0; d < views.C && !other; ++d)
          other = d != c && r.placed[d] && views.weight(views.source(d, f, j)) > 0;
        shared += other;
        good += r.structure.inlier[views.slot(c, f, j)];
      }
    worst = std::min(worst, shared ? static_cast<double>(good) / static_cast<double>(shared) : 0.0);
  }
  return worst;
}

void judge(Candidate& c, const BodyObservations& in, const CalibrateOptions& options) {
  c.views.swapped = c.start.swapped;
  settle(c.views, c.start.reconstruction, options);
  c.explained = explained_share(c.views, c.start.reconstruction, options.max_reprojection_error_px,
                                options.num_threads);
  c.spread = bone_spread(c.views, c.start.reconstruction);
  c.dissent = dissent(c.start.reconstruction, in);
  c.worst = worst_camera(c.views, c.start.reconstruction);
  c.placed = c.start.reconstruction.placed_list().size();
}

// Share of the pairs' inliers whose essential matrix has another rotation than the reconstruction.
double contradiction(const Reconstruction& r, const std::vector<PairEstimate>& pairs) {
  double against = 0, total = 0;
  for (const PairEstimate& p : pairs) {
    if (!p.success || !r.placed[p.first] || !r.placed[p.second]) continue;
    double t[9], R[9];
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) t[3 * i + j] = r.cameras[p.first].R[3 * j + i];
    mat3_mul(r.cameras[p.second].R, t, R);
    total += static_cast<double>(p.num_inliers);
    if (angle_between(R, p.R) > 5 * kEdgeRad) against += static_cast<double>(p.num_inliers);
  }
  return total > 0 ? against / total : 0.0;
}

// Whether sides are exchanged in any frame of a camera.
bool turned(const BodyViews& views, int camera) {
  const auto at = views.swapped.begin() + static_cast<std::ptrdiff_t>(camera * views.F);
  return std::any_of(at, at + static_cast<std::ptrdiff_t>(views.F), [](std::uint8_t s) { return s != 0; });
}

RotationPriors average(std::size_t cameras, const std::vector<RotationEdge>& edges, double sigma_rad) {
  const RotationAveragingResult mean = average_rotations(cameras, edges.data(), edges.size(), {});
  return {mean.R, mean.component, sigma_rad};
}

// Pairs as they are where they agree with the rotations, estimated anew near these where they do not, or
// where the sides of one of the cameras are not as they were.
std::vector<PairEstimate> pairs_near(const BodyViews& views, const std::vector<PairEstimate>& pairs,
                                     const RotationPriors& priors, const CalibrateOptions& options,
                                     std::size_t* changed) {
  std::vector<PairEstimate> out = pairs;
  std::vector<std::uint8_t> moved(pairs.size(), 0);
  parallel_for(pairs.size(), 1, options.num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      PairEstimate& p = out[k];
      if (!priors.related(p.first, p.second) || p.num_shared < 8) continue;
      if (!p.success && views.C > kAllPairs) continue;  // most were never tried
      double R[9];
      priors.between(p.first, p.second, R);
      const bool same = !turned(views, p.first) && !turned(views, p.second);
      if (same && p.success && angle_between(p.R, R) < 2 * priors.sigma_rad) continue;
      p = estimate_pair(views, p.first, p.second, 0.5 * options.max_reprojection_error_px, options, R,
                        priors.sigma_rad);
      moved[k] = p.success;
    }
  });
  for (std::uint8_t m : moved) *changed += m;
  return out;
}

// Whether a start may replace another: it places no fewer cameras, contradicts the votes no more, and
// explains clearly more of the same observations; or, where the limbs of the other one stretch, hardly less
// with limbs that are far nearer to constant (two views agree a little better when sides are exchanged to
// please them). One that places cameras which the other left out turns a refusal into an answer: it must look
// like a body seen by all.
bool clearly_better(const Candidate& a, const Candidate& b) {
  if (a.placed < b.placed || a.dissent > std::max(b.dissent, 0.25)) return false;
  if (a.placed > b.placed && (a.spread > 0.4 || a.worst < 0.35)) return false;
  if (a.explained > b.explained + 0.03) return a.spread < 1.2 * b.spread + 0.05;
  if (b.spread < kLooseLimbs) return false;
  const bool contradicted = b.dissent > kDissent && a.dissent < 0.5 * b.dissent;
  return (a.explained > b.explained - 0.003 && a.spread < 0.7 * b.spread) ||
         (a.explained > b.explained - 0.015 && a.spread < 0.5 * b.spread && contradicted);
}

// Rotations averaged over the whole graph, and over the votes alone, which the pairs may contradict as one.
std::vector<RotationPriors> averaged_rotations(std::size_t cameras, const BodyObservations& in,
                                               const std::vector<PairEstimate>& pairs) {
  const std::vector<RotationEdge> votes(in.votes, in.votes + in.num_votes);
  std::vector<RotationEdge> edges = votes;
  for (const PairEstimate& p : pairs) {
    if (!p.success) continue;
    RotationEdge e;
    e.first = p.first, e.second = p.second;
    std::copy(p.R, p.R + 9, e.R);
    const double share = static_cast<double>(p.num_inliers) / static_cast<double>(p.num_shared);
    e.sigma_rad = kEdgeRad / std::max(share, 0.1);
    edges.push_back(e);
  }
  std::vector<RotationPriors> out{average(cameras, edges, kSharpRad)};
  if (votes.empty()) return out;
  std::vector<double> sigma;
  for (const RotationEdge& v : votes) sigma.push_back(v.sigma_rad);
  std::nth_element(sigma.begin(), sigma.begin() + sigma.size() / 2, sigma.end());
  out.push_back(average(cameras, votes, sigma[sigma.size() / 2]));
  return out;
}

}  // namespace

Start choose_start(BodyViews& views, const BodyObservations& in, const std::vector<PairEstimate>& pairs,
                   const CalibrateOptions& options) {
  Candidate best{find_start(views, in, pairs, nullptr, false, options), views};
  if (best.start.found()) judge(best, in, options);
  const bool doubtful = best.placed < views.C || best.explained < kLittleExplained ||
                        best.spread > kLooseLimbs || best.dissent > kDissent ||
                        contradiction(best.start.reconstruction, pairs) > kContradiction;
  if (doubtful) {
    const std::vector<RotationPriors> priors = averaged_rotations(views.C, in, pairs);
    for (std::size_t k = 0; k < priors.size(); ++k) {
      BodyViews guessed = views;
      const bool sides = k == 1 && in.sides && options.undo_swaps;  // what gave the votes saw the sides, too
      if (sides) guessed.exchange(in);
      std::size_t changed = 0;
      const std::vector<PairEstimate> near = pairs_near(guessed, pairs, priors[k], options, &changed);
      if (!changed && best.placed == views.C) continue;
      Candidate other{find_start(guessed, in, near, &priors[k], options.undo_swaps, options), guessed};
      if (!other.start.found()) continue;
      other.start.from_rotations = true;
      other.start.from_sides = sides;
      judge(other, in, options);
      if (clearly_better(other, best)) best = std::move(other);
    }
  }
  if (best.start.found()) views = std::move(best.views);
  return std::move(best.start);
}

}  // namespace sportcore::detail

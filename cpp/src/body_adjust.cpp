// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "body_adjust.h"

#include <algorithm>
#include <cmath>

namespace sportcore::detail {
namespace {

double median(std::vector<double>& v) {
  if (v.empty()) return 0.0;
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

// The adjusted observations in compressed rows.
struct Rows {
  std::vector<std::size_t> point;  // (f * J + j) of each row
  std::vector<std::int64_t> offset{0}, frame{0};
  std::vector<std::int32_t> camera, cluster, joint;
  std::vector<double> xy, weight, points;
};

Rows collect_rows(const BodyViews& views, const Reconstruction& r, double gate_px) {
  Rows rows;
  const std::vector<double> centers = camera_centers(r.cameras);
  const std::vector<int> list = r.placed_list();
  std::vector<std::int32_t> rank(views.C, -1);
  for (std::size_t k = 0; k < list.size(); ++k) rank[list[k]] = static_cast<std::int32_t>(k);
  const std::size_t clusters = std::min<std::size_t>(views.F, 50);
  View seen[64];
  for (std::size_t f = 0; f < views.F; ++f) {
    for (std::size_t j = 0; j < views.J; ++j) {
      const double* X = r.structure.points.data() + 3 * (f * views.J + j);
      if (!is_finite(X[0])) continue;
      const int n = views.gather(r.cameras, centers, r.placed, f, j, 0, seen);
      const std::size_t start = rows.camera.size();
      for (int i = 0; i < n; ++i) {
        if (view_residual2(seen[i], X) > gate_px * gate_px) continue;
        const double* uv = views.pixel(views.source(seen[i].camera, f, j));
        rows.camera.push_back(rank[seen[i].camera]);
        rows.xy.push_back(uv[0]), rows.xy.push_back(uv[1]);
        rows.weight.push_back(seen[i].weight);
      }
      if (rows.camera.size() < start + 2) {
        rows.camera.resize(start), rows.xy.resize(2 * start), rows.weight.resize(start);
        continue;
      }
      rows.point.push_back(f * views.J + j);
      rows.offset.push_back(static_cast<std::int64_t>(rows.camera.size()));
      rows.cluster.push_back(static_cast<std::int32_t>(f * clusters / views.F));
      rows.joint.push_back(static_cast<std::int32_t>(j));
      rows.points.insert(rows.points.end(), X, X + 3);
    }
    rows.frame.push_back(static_cast<std::int64_t>(rows.point.size()));
  }
  return rows;
}

// A distance between two points as the observations give it: its variance, and how much the noise across it,
// of variance `across`, and the covariance `mixed` = |P C u|^2 of the noise along and across change it. P
// projects across the distance's direction u, C is the covariance of the difference of the points.
struct Distance {
  double length, variance, across, mixed;

  // Expected excess of a triangulated distance.
  double excess() const { return across / (2 * length); }
  // The same once the points have been drawn towards a length of deviation sigma.
  double excess_when_bound(double sigma) const {
    return (across - mixed / (variance + sigma * sigma)) / (2 * length);
  }
};

// From the information (packed) that observations of unit variance give on either point. False where a point
// is not determined.
bool measure_distance(const double* A, const double* Z, const double* Ha, const double* Hz, double sigma_px,
                      Distance* out) {
  const double v[3] = {A[0] - Z[0], A[1] - Z[1], A[2] - Z[2]}, n = std::sqrt(dot3(v, v));
  double Ca[6], Cz[6], C[6], Cu[3];
  if (!(n > 0 && Ha[0] > 0 && Hz[0] > 0)) return false;
  if (!(sym3_inverse(Ha, Ca) > 1e-10) || !(sym3_inverse(Hz, Cz) > 1e-10)) return false;
  const double s2 = sigma_px * sigma_px;
  for (int i = 0; i < 6; ++i) C[i] = s2 * (Ca[i] + Cz[i]);
  sym3_vec(C, v, Cu);
  for (double& c : Cu) c /= n;
  out->length = n;
  out->variance = dot3(v, Cu) / n;
  out->across = C[0] + C[3] + C[5] - out->variance;
  out->mixed = std::max(0.0, dot3(Cu, Cu) - out->variance * out->variance);
  return true;
}

// The bones of the frames as edges between rows.
struct Edges {
  std::vector<std::int32_t> first, second, index, pairs;
  std::vector<double> sigma, value, excess, slack;
  std::vector<std::size_t> bone;  // of each length
  BundleLengths lengths;

  Edges(const BodyViews& views, const Rows& rows, const Reconstruction& r,
        const std::vector<Camera<double>>& cameras, const Bones& bones, double most) {
    std::vector<double> information(bones.count() ? 6 * rows.point.size() : 0, 0.0);
    if (bones.count())
      for (std::size_t p = 0; p < rows.point.size(); ++p)
        for (std::int64_t o = rows.offset[p]; o < rows.offset[p + 1]; ++o) {
          double uv[2], J[6];
          if (!project_world(cameras[rows.camera[o]], rows.points.data() + 3 * p, uv, J)) continue;
          sym3_add_outer(information.data() + 6 * p, J, rows.weight[o]);
          sym3_add_outer(information.data() + 6 * p, J + 3, rows.weight[o]);
        }
    std::vector<std::int32_t> length_of(bones.count(), -1);
    for (std::size_t b = 0; b < bones.count(); ++b) {
      if (!(bones.length[b] > 0)) continue;
      length_of[b] = static_cast<std::int32_t>(bone.size());
      bone.push_back(b);
      value.push_back(bones.length[b]);
      sigma.push_back(most > 0 ? std::min(bones.sigma[b], most * bones.length[b]) : bones.sigma[b]);
    }
    for (std::size_t k = 0; k + 1 < bones.pairs.size(); k += 2) {
      const std::int32_t a = length_of[bones.pairs[k]], b = length_of[bones.pairs[k + 1]];
      if (a >= 0 && b >= 0) pairs.push_back(a), pairs.push_back(b);
    }
    std::vector<std::int32_t> at(views.J);
    for (std::size_t f = 0; f + 1 < rows.frame.size(); ++f) {
      std::fill(at.begin(), at.end(), -1);
      for (std::int64_t p = rows.frame[f]; p < rows.frame[f + 1]; ++p)
        at[rows.joint[p]] = static_cast<std::int32_t>(p);
      for (std::size_t b = 0; b < bones.count(); ++b) {
        const std::int32_t p = at[bones.joints[2 * b]], q = at[bones.joints[2 * b + 1]];
        if (length_of[b] < 0 || p < 0 || q < 0) continue;
        Distance d;
        if (!measure_distance(rows.points.data() + 3 * p, rows.points.data() + 3 * q,
                              information.data() + 6 * p, information.data() + 6 * q, r.sigma_px, &d))
          continue;
        const double total = d.variance + bones.sigma[b] * bones.sigma[b];
        if (std::abs(d.length - d.excess() - bones.length[b]) > 3 * std::sqrt(total)) continue;
        const double s = sigma[length_of[b]];
        excess.push_back(d.excess_when_bound(s));
        slack.push_back(std::sqrt(total) / s);
        first.push_back(p), second.push_back(q), index.push_back(length_of[b]);
      }
    }
    lengths.num_edges = first.size();
    lengths.first = first.data(), lengths.second = second.data(), lengths.index = index.data();
    lengths.excess = excess.data(), lengths.slack = slack.data();
    lengths.num_lengths = value.size();
    lengths.sigma = sigma.data(), lengths.value = value.data();
    lengths.num_pairs = pairs.size() / 2;
    lengths.pair = pairs.data();
  }
};

// Velocity and acceleration of the points by differences of the neighbouring frames of the recording
// (one-sided at gaps; zero where there is no neighbour).
struct Motion {
  std::vector<double> time, velocity, acceleration;

  Motion(const BodyViews& views, const Rows& rows, const Structure& s, double dt) {
    const double middle = 0.5 * (views.frames.front() + views.frames.back());
    const std::size_t N = rows.point.size();
    time.resize(N);
    velocity.assign(3 * N, 0.0);
    acceleration.assign(3 * N, 0.0);
    const auto point = [&](std::size_t f, std::size_t j) { return s.points.data() + 3 * (f * views.J + j); };
    for (std::size_t k = 0; k < N; ++k) {
      const std::size_t f = rows.point[k] / views.J, j = rows.point[k] % views.J;
      time[k] = dt * (views.frames[f] - middle);
      const double* X = point(f, j);
      const bool before =
          f > 0 && views.frames[f] - views.frames[f - 1] == 1 && is_finite(point(f - 1, j)[0]);
      const bool after =
          f + 1 < views.F && views.frames[f + 1] - views.frames[f] == 1 && is_finite(point(f + 1, j)[0]);
      for (int i = 0; i < 3; ++i) {
        if (before && after) {
          const double a = point(f - 1, j)[i], b = point(f + 1, j)[i];
          velocity[3 * k + i] = (b - a) / (2 * dt);
          acceleration[3 * k + i] = (a - 2 * X[i] + b) / (dt * dt);
        } else if (before) {
          velocity[3 * k + i] = (X[i] - point(f - 1, j)[i]) / dt;
        } else if (after) {
          velocity[3 * k + i] = (point(f + 1, j)[i] - X[i]) / dt;
        }
      }
    }
  }
};

}  // namespace

std::vector<int> Reconstruction::placed_list() const {
  std::vector<int> out;
  for (std::size_t c = 0; c < placed.size(); ++c)
    if (placed[c]) out.push_back(static_cast<int>(c));
  return out;
}

BundleResult adjust(const BodyViews& views, Reconstruction& r, const Adjustment& a, int num_threads) {
  Rows rows = collect_rows(views, r, a.gate_px);
  const std::vector<int> list = r.placed_list();
  if (rows.point.size() < 6 || list.size() < 2) return {};
  std::vector<Camera<double>> cameras;
  for (int c : list) cameras.push_back(r.cameras[c]);
  BundleObservations obs;
  obs.num_points = rows.point.size();
  obs.point_offset = rows.offset.data();
  obs.camera = rows.camera.data();
  obs.xy = rows.xy.data();
  obs.weight = rows.weight.data();
  obs.cluster = a.covariance ? rows.cluster.data() : nullptr;
  obs.group = a.covariance ? rows.joint.data() : nullptr;
  const Bones none;
  Edges edges(views, rows, r, cameras, a.bones ? r.bones : none, a.bone_sigma);
  if (!edges.first.empty()) {
    obs.num_frames = rows.frame.size() - 1;
    obs.frame_offset = rows.frame.data();
    obs.lengths = &edges.lengths;
  }
  BundleOptions options = a.lens;
  options.loss = a.loss;
  options.loss_scale_px = a.scale_px;
  options.sigma_px = r.sigma_px > 0 ? r.sigma_px : a.scale_px / 3;
  options.max_iterations = a.iterations;
  options.step_tolerance = a.tolerance;
  options.cost_tolerance = 1e-12;
  options.num_threads = num_threads;
  options.compute_covariance = a.covariance;
  BundleClocks clocks;
  std::vector<double> offset, drift;
  std::unique_ptr<Motion> motion;
  if (a.clocks) {
    motion = std::make_unique<Motion>(views, rows, r.structure, a.frame_s);
    for (int c : list) offset.push_back(r.offset[c]), drift.push_back(r.drift[c]);
    clocks.time = motion->time.data();
    clocks.velocity = motion->velocity.data();
    clocks.acceleration = motion->acceleration.data();
    clocks.offset = offset.data(), clocks.drift = drift.data();
    clocks.refine_drift = a.drift;
    clocks.offset_sigma_s = 4 * a.frame_s;
    obs.clocks = &clocks;
  }
  BundleResult out = adjust_bundle(cameras.data(), cameras.size(), rows.points.data(), obs, options);
  for (std::size_t k = 0; k < list.size(); ++k) {
    r.cameras[list[k]] = cameras[k];
    if (a.clocks) r.offset[list[k]] = offset[k], r.drift[list[k]] = drift[k];
  }
  for (std::size_t l = 0; l < edges.bone.size(); ++l) r.bones.length[edges.bone[l]] = edges.value[l];
  for (std::size_t k = 0; k < rows.point.size(); ++k)
    std::copy_n(rows.points.data() + 3 * k, 3, r.structure.points.data() + 3 * rows.point[k]);
  return out;
}

double robust_sigma(const BodyViews& views, const Reconstruction& r) {
  const std::vector<double> centers = camera_centers(r.cameras);
  std::vector<double> all;
  View seen[64];
  const std::size_t step = std::max<std::size_t>(1, views.F / 150);
  for (std::size_t f = 0; f < views.F; f += step)
    for (std::size_t j = 0; j < views.J; ++j) {
      const double* X = r.structure.points.data() + 3 * (f * views.J + j);
      if (!is_finite(X[0])) continue;
      const int n = views.gather(r.cameras, centers, r.placed, f, j, 0, seen);
      double sum = 0;
      int good = 0;
      for (int i = 0; i < n; ++i) {
        if (!r.structure.inlier[views.slot(seen[i].camera, f, j)]) continue;
        sum += view_residual2(seen[i], X) * seen[i].weight;
        ++good;
      }
      if (good < 2) continue;
      // Chi-square of 2 n - 3 degrees: its median after Wilson & Hilferty (1931).
      const double k = 2.0 * good - 3.0, root = 1 - 2 / (9 * k);
      all.push_back(sum / (k * root * root * root));
    }
  return std::sqrt(median(all));
}

WeightScale measure_weights(const BodyViews& views, const Reconstruction& r) {
  constexpr std::size_t kBins = 6, kFewest = 300;
  constexpr double kShrink = 1000;  // residuals that the mean counts as
  struct Residual {
    double weight, square;  // squared residual freed of the point's share
    std::size_t camera, joint;
  };
  const std::vector<double> centers = camera_centers(r.cameras);
  std::vector<Residual> all;
  View seen[64];
  for (std::size_t f = 0; f < views.F; ++f)
    for (std::size_t j = 0; j < views.J; ++j) {
      const double* X = r.structure.points.data() + 3 * (f * views.J + j);
      if (!is_finite(X[0])) continue;
      const int n = views.gather(r.cameras, centers, r.placed, f, j, 0, seen);
      int good = 0;
      for (int i = 0; i < n; ++i) good += r.structure.inlier[views.slot(seen[i].camera, f, j)];
      if (good < 2) continue;
      const double share = 2.0 * good / (2.0 * good - 3.0);
      for (int i = 0; i < n; ++i)
        if (r.structure.inlier[views.slot(seen[i].camera, f, j)])
          all.push_back({seen[i].weight, share * view_residual2(seen[i], X),
                         static_cast<std::size_t>(seen[i].camera), views.paired(j)});
    }
  WeightScale scale;
  if (all.size() < kFewest) return scale;
  // Joints and cameras first (one after the other), left and right together: a detector is surer of a wrist
  // than of a hip, whatever it says. Two views cannot tell whose residual it is.
  scale.camera.assign(views.C, 1.0), scale.joint.assign(views.J, 1.0);
  std::vector<double> residuals;
  for (const Residual& v : all) residuals.push_back(v.square);
  double typical = std::max(median(residuals), 1e-12);
  // The variance relative to the typical one, as far as it differs by more than chance.
  const auto factor = [&](auto&& belongs) {
    residuals.clear();
    for (const Residual& v : all)
      if (belongs(v)) residuals.push_back(v.square);
    if (residuals.empty()) return 1.0;
    // Deviation of the log of a median of squares (exponential law); neighbours in time are not independent.
    constexpr double kDeviations = 3, kIndependent = 0.125;
    const double chance =
        kDeviations / (std::log(2.0) * std::sqrt(kIndependent * static_cast<double>(residuals.size())));
    const double log = std::log(std::max(median(residuals), 1e-12) / typical);
    return std::exp(std::copysign(std::max(std::abs(log) - chance, 0.0), log));
  };
  if (r.placed_list().size() > 2) {
    for (std::size_t j = 0; j < views.J; ++j)
      scale.joint[j] = 1 / factor([&](const Residual& v) { return v.joint == views.paired(j); });
    for (Residual& v : all) v.square *= scale.joint[v.joint];
    for (std::size_t c = 0; c < views.C; ++c)
      scale.camera[c] = 1 / factor([&](const Residual& v) { return v.camera == c; });
    for (Residual& v : all) v.square *= scale.camera[v.camera];
  }
  std::sort(all.begin(), all.end(), [](const Residual& a, const Residual& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.square < b.square;
  });
  residuals.clear();
  for (const Residual& v : all) residuals.push_back(v.square);
  typical = std::max(median(residuals), 1e-12);
  std::vector<double> variance, count;  // pooled blocks, falling
  std::vector<std::size_t> bins;        // bins in each block
  for (std::size_t b = 0; b < kBins; ++b) {
    const std::size_t from = b * all.size() / kBins, to = (b + 1) * all.size() / kBins;
    residuals.clear();
    for (std::size_t i = from; i < to; ++i) residuals.push_back(all[i].square);
    const double n = static_cast<double>(to - from);
    scale.upper.push_back(all[to - 1].weight);
    variance.push_back((n * median(residuals) / typical + kShrink) / (n + kShrink));
    count.push_back(n);
    bins.push_back(1);
    while (variance.size() > 1 &&
           variance.back() > variance[variance.size() - 2]) {  // pool adjacent violators
      const std::size_t k = variance.size() - 2;
      variance[k] = (variance[k] * count[k] + variance[k + 1] * count[k + 1]) / (count[k] + count[k + 1]);
      count[k] += count[k + 1], bins[k] += bins[k + 1];
      variance.pop_back(), count.pop_back(), bins.pop_back();
    }
  }
  for (std::size_t k = 0; k < variance.size(); ++k)
    for (std::size_t b = 0; b < bins[k]; ++b) scale.value.push_back(std::clamp(1 / variance[k], 0.04, 4.0));
  return scale;
}

void measure_bones(const BodyViews& views, Reconstruction& r) {
  // The noise of the points is not known better than this; taking more variation than there is biases the
  // cameras.
  constexpr double kNoiseMargin = 1.2;
  Bones& bones = r.bones;
  const std::size_t B = bones.count();
  bones.length.assign(B, 0.0);
  bones.sigma.assign(B, 0.0);
  const std::vector<double> centers = camera_centers(r.cameras);
  std::vector<std::vector<double>> length(B), noise(B);
  std::vector<double> information(6 * views.J);
  View seen[64];
  const std::size_t step = std::max<std::size_t>(1, views.F / 300);
  for (std::size_t f = 0; f < views.F; f += step) {
    const double* X = r.structure.points.data() + 3 * f * views.J;
    for (std::size_t j = 0; j < views.J; ++j) {
      double H[6] = {0, 0, 0, 0, 0, 0};
      if (is_finite(X[3 * j])) {
        const int n = views.gather(r.cameras, centers, r.placed, f, j, 0, seen);
        for (int i = 0; i < n; ++i) {
          if (!r.structure.inlier[views.slot(seen[i].camera, f, j)]) continue;
          double uv[2], J[6];
          if (!project_world(r.cameras[seen[i].camera], X + 3 * j, uv, J)) continue;
          sym3_add_outer(H, J, seen[i].weight);
          sym3_add_outer(H, J + 3, seen[i].weight);
        }
      }
      std::copy(H, H + 6, information.data() + 6 * j);
    }
    for (std::size_t b = 0; b < B; ++b) {
      const std::size_t p = bones.joints[2 * b], q = bones.joints[2 * b + 1];
      Distance d;
      if (!measure_distance(X + 3 * p, X + 3 * q, information.data() + 6 * p, information.data() + 6 * q,
                            r.sigma_px, &d))
        continue;
      length[b].push_back(d.length - d.excess());
      noise[b].push_back(kNoiseMargin * d.variance);
    }
  }
  // Maximum likelihood of (L, variance) for lengths of known noise: the mean under a Huber weight, and the
  // variance that brings the mean clipped square to what it is under a normal law.
  constexpr double kClip = 2.5, kClipped = 0.9776, kClippedVariance = 1.68;
  const auto misfit = [&](std::size_t b, double L, double variance) {
    double total = 0;
    for (std::size_t i = 0; i < length[b].size(); ++i)
      total += std::min((length[b][i] - L) * (length[b][i] - L) / (noise[b][i] + variance), kClip * kClip) -
               kClipped;
    return total;
  };
  const auto solve = [](const auto& falling) {  // 0 when it starts below zero
    double low = 0, high = 1;
    if (!(falling(0.0) > 0)) return 0.0;
    for (int k = 0; k < 40; ++k) {
      const double middle = 0.5 * (low + high);
      (falling(middle) > 0 ? low : high) = middle;
    }
    return 0.5 * (low + high);
  };
  std::vector<double> relative(B, 0.0);  // variance / L^2
  for (std::size_t b = 0; b < B; ++b) {
    if (length[b].size() < 8) continue;
    std::vector<double> scratch = length[b];
    double L = median(scratch);
    for (int round = 0; round < 5; ++round) {
      double sum = 0, sum_w = 0;
      for (std::size_t i = 0; i < length[b].size(); ++i) {
        const double v = noise[b][i] + relative[b] * L * L, z = std::abs(length[b][i] - L) / std::sqrt(v);
        const double w = (z < kClip ? 1.0 : kClip / z) / v;
        sum += w * length[b][i], sum_w += w;
      }
      L = sum / sum_w;
      relative[b] = solve([&](double x) { return misfit(b, L, x * L * L); });
    }
    bones.length[b] = L;
  }
  // What all bones share is known far better than each of them: a bone keeps its own variance only where it
  // differs by more than chance.
  const double common = solve([&](double x) {
    double total = 0;
    for (std::size_t b = 0; b < B; ++b)
      if (bones.length[b] > 0) total += misfit(b, bones.length[b], x * bones.length[b] * bones.length[b]);
    return total;
  });
  for (std::size_t b = 0; b < B; ++b) {
    const double L = bones.length[b];
    if (!(L > 0)) continue;
    const double chance = 2.5 * std::sqrt(kClippedVariance * static_cast<double>(length[b].size()));
    const double variance = std::abs(misfit(b, L, common * L * L)) > chance ? relative[b] : common;
    bones.sigma[b] = L * std::sqrt(variance + 4e-6);
  }
}

}  // namespace sportcore::detail

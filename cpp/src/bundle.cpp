// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/bundle.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "bundle_problem.h"
#include "sportcore/error.h"

namespace sportcore {
namespace detail {

// What the gauge does to all unknowns: a similarity of the world, and the common part of the clocks.
MatX BundleProblem::gauge_motions(const BundleState& s) const {
  std::vector<BundleResult::Kind> clocks;
  for (const BundleResult::Kind kind : layout_.columns)
    if (kind == BundleResult::Kind::kTimeOffset || kind == BundleResult::Kind::kDrift) clocks.push_back(kind);
  MatX N = MatX::Zero(P_, 7 + static_cast<int>(clocks.size()));
  for (int c = 0; c < C_; ++c) {
    const Eigen::Map<const Eigen::Matrix<double, 3, 3, Eigen::RowMajor>> R(s.cameras[c].R);
    N.block<3, 3>(6 * c, 0) = R;      // rotation of the world: w = -R theta
    N.block<3, 3>(6 * c + 3, 3) = R;  // translation: dt = -R a
    N.block<3, 1>(6 * c + 3, 6) = Eigen::Map<const Eigen::Vector3d>(s.cameras[c].t);
  }
  for (int l = 0; l < layout_.lengths; ++l) N(layout_.length(l), 6) = s.lengths[l];
  for (std::size_t k = 0; k < clocks.size(); ++k)
    for (int i = 0; i < layout_.extras; ++i)
      if (layout_.extra[i].kind == clocks[k]) N(6 * C_ + i, 7 + static_cast<int>(k)) = 1;
  return N;
}

// Orthonormal basis of the gauge as far as it moves poses and clocks: along these no step is taken.
MatX BundleProblem::gauge_directions(const BundleState& s) const {
  MatX N = gauge_motions(s);
  N.bottomRows(layout_.lengths).setZero();
  const Eigen::HouseholderQR<MatX> qr(N);
  return qr.householderQ() * MatX::Identity(P_, N.cols());
}

std::vector<double> BundleProblem::covariance(double sigma_px, double* correlation) {
  MatX S;
  VecX g;
  reduce(0.0, S, g, nullptr, nullptr);
  const MatX N = gauge_directions(state_), G = gauge_motions(state_);
  const double mean = std::max(S.diagonal().head(6 * C_).mean(), 1e-300);
  MatX A = S.selfadjointView<Eigen::Lower>();
  A += mean * N * N.transpose();
  const VecX scale = A.diagonal().cwiseMax(1e-300).cwiseSqrt().cwiseInverse();
  const MatX scaled = scale.asDiagonal() * A * scale.asDiagonal();
  MatX inverse = scale.asDiagonal() * MatX(scaled.ldlt().solve(MatX::Identity(P_, P_))) * scale.asDiagonal();
  // The constraint N'd = 0 leaves no freedom along the gauge: take out what the penalty put there. Priors
  // hold part of the clocks' gauge, so that only what S does not hold is taken.
  const MatX M = G * (N.transpose() * G).inverse();
  const MatX free = M.leftCols(7);
  inverse -= (1.0 / mean) * free * free.transpose();
  const MatX independent = sigma_px * sigma_px * inverse;
  MatX cov = independent;
  int clusterings = 0;
  MatX sum = MatX::Zero(P_, P_);
  for (const std::int32_t* labels : {obs_.cluster, obs_.group}) {
    if (!labels) continue;
    MatX scores;
    reduce(0.0, S, g, labels, &scores);
    if (scores.cols() < 4) continue;
    const MatX half = inverse * scores;
    const double k = static_cast<double>(scores.cols());
    sum += k / (k - 1) * half * half.transpose();
    ++clusterings;
  }
  if (clusterings) {
    if (clusterings == 2) sum -= independent;
    // The part of the sandwich that exceeds independent errors; the rest of it is the chance of few clusters.
    // In units of the independent deviations, so that no unknown drowns in another's unit.
    const VecX d = independent.diagonal().cwiseMax(1e-300).cwiseSqrt();
    const MatX relative = d.cwiseInverse().asDiagonal() * (sum - independent) * d.cwiseInverse().asDiagonal();
    const Eigen::SelfAdjointEigenSolver<MatX> excess(relative);
    const MatX root = d.asDiagonal() * excess.eigenvectors();
    cov += root * excess.eigenvalues().cwiseMax(0.0).asDiagonal() * root.transpose();
  }
  double with = 0, without = 0;
  for (int c = 0; c < C_; ++c)
    for (int i = 6 * c; i < 6 * c + 3; ++i) with += cov(i, i), without += independent(i, i);
  *correlation = without > 0 ? std::sqrt(with / without) : 1.0;
  std::vector<double> out(static_cast<std::size_t>(P_) * P_);
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(out.data(), P_, P_) =
      cov;
  return out;
}

void BundleProblem::statistics(BundleResult& result) const {
  double ssr = 0, dof = -(P_ - 7.0);
  for (std::size_t p = 0; p < N_; ++p) {
    if (current_->held[p]) {
      ++result.num_held;
      continue;
    }
    dof -= 3;
    for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
      double r[2];
      if (weight(o) <= 0 || !observe(state_, p, o, r, nullptr, nullptr)) continue;
      const double s = weight(o) * (r[0] * r[0] + r[1] * r[1]);
      const double k = loss_weight(options_.loss, s, options_.loss_scale_px);
      ssr += k * s;
      dof += 2 * k;
      ++result.num_used;
    }
  }
  if (obs_.lengths)  // a length frees no degree of its own beyond what it binds
    for (const Edge& edge : current_->edges) {
      if (!(edge.weight > 0)) continue;
      ssr += edge.weight * edge.residual * edge.residual;
      dof += 1;
    }
  result.sigma_px = dof > 0 ? std::sqrt(ssr / dof) : 0.0;
}

}  // namespace detail

namespace {

void check(const BundleObservations& obs, std::size_t num_cameras, const BundleOptions& options) {
  require(num_cameras >= 2, "Bundle adjustment needs at least two cameras.");
  require(obs.num_points > 0 && obs.point_offset && obs.camera && obs.xy,
          "Bundle adjustment needs observations.");
  require(options.loss_scale_px > 0, "loss_scale_px must be positive.");
  require(options.sigma_px > 0, "sigma_px must be positive.");
  require(obs.point_offset[0] == 0, "point_offset must start at 0.");
  for (std::size_t p = 0; p < obs.num_points; ++p)
    require(obs.point_offset[p + 1] >= obs.point_offset[p], "point_offset must not decrease.");
  for (std::int64_t o = 0; o < obs.point_offset[obs.num_points]; ++o) {
    require(obs.camera[o] >= 0 && obs.camera[o] < static_cast<std::int64_t>(num_cameras),
            "Observation " + std::to_string(o) + " names camera " + std::to_string(obs.camera[o]) +
                ", which is not there.");
    require(is_finite(obs.xy[2 * o]) && is_finite(obs.xy[2 * o + 1]),
            "Observation " + std::to_string(o) + " is not finite.", "Leave missing observations out.");
  }
  if (const BundleLengths* lengths = obs.lengths) {
    require(obs.num_frames > 0 && obs.frame_offset && lengths->first && lengths->second && lengths->index &&
                lengths->sigma && lengths->value,
            "Lengths need frames, ends, indices, deviations and values.");
    require(obs.frame_offset[0] == 0 &&
                obs.frame_offset[obs.num_frames] == static_cast<std::int64_t>(obs.num_points),
            "frame_offset must run from 0 to the number of points.");
    std::vector<std::int64_t> frame_of(obs.num_points);
    for (std::size_t f = 0; f < obs.num_frames; ++f) {
      const std::int64_t n = obs.frame_offset[f + 1] - obs.frame_offset[f];
      require(n >= 0 && n <= detail::kMaxFramePoints, "A frame may hold at most 64 points.");
      for (std::int64_t p = obs.frame_offset[f]; p < obs.frame_offset[f + 1]; ++p)
        frame_of[p] = static_cast<std::int64_t>(f);
    }
    const auto inside = [&](std::int32_t p) {
      return p >= 0 && static_cast<std::size_t>(p) < obs.num_points;
    };
    for (std::size_t e = 0; e < lengths->num_edges; ++e) {
      const std::int32_t a = lengths->first[e], b = lengths->second[e];
      require(inside(a) && inside(b) && a != b && frame_of[a] == frame_of[b],
              "A length must join two points of one frame.");
      require(lengths->index[e] >= 0 && static_cast<std::size_t>(lengths->index[e]) < lengths->num_lengths,
              "A length index is out of range.");
    }
    for (std::size_t l = 0; l < lengths->num_lengths; ++l)
      require(lengths->sigma[l] > 0 && lengths->value[l] > 0,
              "Lengths and their deviations must be positive.");
  }
  if (obs.clocks)
    require(obs.clocks->velocity && obs.clocks->acceleration && obs.clocks->offset && obs.clocks->drift,
            "Clocks need velocities, accelerations, offsets and drifts.");
}

}  // namespace

BundleResult adjust_bundle(Camera<double>* cameras, std::size_t num_cameras, double* points,
                           const BundleObservations& obs, const BundleOptions& options) {
  check(obs, num_cameras, options);
  detail::BundleState state;
  state.cameras.assign(cameras, cameras + num_cameras);
  if (options.radial)  // a lens without coefficients is stored as a pinhole
    for (Camera<double>& camera : state.cameras)
      if (camera.lens.model == kPinhole) camera.lens.model = kBrown;
  state.points.assign(points, points + 3 * obs.num_points);
  if (obs.lengths) state.lengths.assign(obs.lengths->value, obs.lengths->value + obs.lengths->num_lengths);
  if (obs.clocks) {
    state.offset.assign(obs.clocks->offset, obs.clocks->offset + num_cameras);
    state.drift.assign(obs.clocks->drift, obs.clocks->drift + num_cameras);
  }
  BundleResult result;
  detail::BundleProblem problem(obs, options, state);
  LmOptions lm;
  lm.max_iterations = options.max_iterations;
  lm.cost_tolerance = options.cost_tolerance;
  lm.step_tolerance = options.step_tolerance;
  lm.initial_damping = options.initial_damping;
  lm.max_damping = 1e8;
  result.lm = levenberg_marquardt(problem, state, lm);
  result.num_params = problem.layout().size();
  result.extra = problem.layout().extra;
  problem.statistics(result);
  if (options.compute_covariance)
    result.covariance = problem.covariance(result.sigma_px, &result.correlation);
  std::copy(state.cameras.begin(), state.cameras.end(), cameras);
  std::copy(state.points.begin(), state.points.end(), points);
  if (obs.lengths) std::copy(state.lengths.begin(), state.lengths.end(), obs.lengths->value);
  if (obs.clocks) {
    std::copy(state.offset.begin(), state.offset.end(), obs.clocks->offset);
    std::copy(state.drift.begin(), state.drift.end(), obs.clocks->drift);
  }
  return result;
}

}  // namespace sportcore

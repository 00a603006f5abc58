// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Elimination of the points and the step of the bundle adjustment; the linearisation is in
// bundle_linearize.cpp.
#include "bundle_problem.h"

#include <algorithm>
#include <cmath>

#include "sportcore/parallel.h"

namespace sportcore::detail {
namespace {

using Kind = BundleResult::Kind;

constexpr std::size_t kGrain = 256;  // points per piece of parallel work
constexpr int kBatch = 32;           // points per rank update of the reduced system
constexpr std::size_t kLanes = 8;    // accumulators of the reduced system, whatever the number of threads

}  // namespace

// ---- elimination
// -----------------------------------------------------------------------------------------------

struct BundleProblem::Lane {
  MatX S, scores;
  VecX g;
  MatX Z;  // (P, 3 kBatch) columns waiting for the rank update
  int filled = 0;
  std::unique_ptr<FrameFactor> factor;
  MatX columns;    // (P, 3 n) of the points of one frame
  MatX score_rhs;  // (3 n, labels of one frame)

  void flush() {
    if (!filled) return;
    S.selfadjointView<Eigen::Lower>().rankUpdate(Z.leftCols(3 * filled), -1.0);
    filled = 0;
  }
};

// The columns of a point as they couple to the unknowns, (P, 3).
void BundleProblem::gather_columns(std::size_t p, double* w) const {
  const System& sys = *current_;
  const int B = layout_.block;
  std::fill(w, w + 3 * static_cast<std::size_t>(P_), 0.0);
  for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
    const double* W = sys.W.data() + static_cast<std::size_t>(B) * 3 * o;
    const int* index = layout_.index.data() + static_cast<std::size_t>(obs_.camera[o]) * B;
    for (int k = 0; k < B; ++k)
      for (int i = 0; i < 3; ++i) w[static_cast<std::size_t>(i) * P_ + index[k]] += W[3 * k + i];
  }
}

bool BundleProblem::setup_frame(std::size_t f, double damping, FrameFactor& factor) const {
  const System& sys = *current_;
  const std::size_t first = frame_begin(f), n = frame_begin(f + 1) - first;
  factor.reset(static_cast<int>(n));
  for (std::size_t i = 0; i < n; ++i) {
    const double* H = sys.Hpp.data() + 6 * (first + i);
    double* D = factor.diagonal(static_cast<int>(i));
    for (int k = 0; k < 6; ++k) D[k] = H[k];
    if (sys.held[first + i]) D[0] = D[3] = D[5] = 1, D[1] = D[2] = D[4] = 0;
  }
  each_length(f, [&](const Edge& edge, int a, int b, int) {
    sym3_add_outer(factor.diagonal(a), edge.u, edge.weight);
    sym3_add_outer(factor.diagonal(b), edge.u, edge.weight);
    factor.couple(a, b, edge.u, -edge.weight);
  });
  if (damping > 0)
    for (std::size_t i = 0; i < n; ++i)
      for (int k : {0, 3, 5}) factor.diagonal(static_cast<int>(i))[k] *= 1 + damping;
  return factor.factorise();
}

void BundleProblem::eliminate_frame(std::size_t f, double damping, Lane& lane, const std::int32_t* labels) {
  const System& sys = *current_;
  const std::size_t first = frame_begin(f), last = frame_begin(f + 1);
  const int n = static_cast<int>(last - first);
  FrameFactor& factor = *lane.factor;
  if (!setup_frame(f, damping, factor)) {
    for (std::size_t p = first; p < last; ++p) drop(p, lane.S, lane.g);
    return;
  }
  if (lane.columns.cols() < 3 * n) lane.columns.resize(P_, 3 * n);
  double* columns = lane.columns.data();
  const std::size_t stride = 3 * static_cast<std::size_t>(P_);
  std::vector<double> y(3 * n);
  for (int i = 0; i < n; ++i) {
    if (sys.held[first + i]) {
      drop(first + i, lane.S, lane.g);
      std::fill(columns + i * stride, columns + (i + 1) * stride, 0.0);
      y[3 * i] = y[3 * i + 1] = y[3 * i + 2] = 0;
      continue;
    }
    gather_columns(first + i, columns + i * stride);
    for (int k = 0; k < 3; ++k) y[3 * i + k] = sys.gp[3 * (first + i) + k];
  }
  each_length(f, [&](const Edge& edge, int a, int b, int row) {
    for (int i = 0; i < 3; ++i) {
      columns[a * stride + static_cast<std::size_t>(i) * P_ + row] -= edge.weight * edge.u[i];
      columns[b * stride + static_cast<std::size_t>(i) * P_ + row] += edge.weight * edge.u[i];
    }
  });
  // Right-hand sides by label, for the scores: what the residuals of each point, and of the lengths that it
  // is the first end of, contribute.
  const int local = labels ? n : 0;
  if (labels) {
    lane.score_rhs = MatX::Zero(3 * n, n);
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < 3; ++k) lane.score_rhs(3 * i + k, i) = y[3 * i + k];
    each_length(f, [&](const Edge& edge, int a, int b, int row) {
      const double g = edge.weight * edge.residual;
      lane.scores(row, labels[first + a]) -= g;
      for (int k = 0; k < 3; ++k) {  // gp of b holds the length's pull: it belongs to the label of a
        lane.score_rhs(3 * b + k, b) += g * edge.u[k];
        lane.score_rhs(3 * b + k, a) -= g * edge.u[k];
      }
    });
  }
  using Cols = Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, 3>>;
  for (int step = 0; step < n; ++step) {
    const int j = factor.order(step);
    if (sys.held[first + j]) continue;
    const double* L = factor.lower(j);
    double *w0 = columns + j * stride, *w1 = w0 + P_, *w2 = w1 + P_;
    double* z0 = lane.Z.data() + static_cast<std::ptrdiff_t>(3 * lane.filled) * P_;
    double *z1 = z0 + P_, *z2 = z1 + P_;
    for (int i = 0; i < P_; ++i) {  // Z = W L^-T
      const double a = w0[i] * L[0], b = (w1[i] - L[1] * a) * L[3], c = (w2[i] - L[2] * a - L[4] * b) * L[5];
      z0[i] = a, z1[i] = b, z2[i] = c;
    }
    factor.forward(j, y.data() + 3 * j);
    const double* yj = y.data() + 3 * j;
    const Cols Z(z0, P_, 3);
    lane.g.noalias() -= Z * Eigen::Map<const Eigen::Vector3d>(yj);
    for (int l = 0; l < local; ++l) {
      double* v = lane.score_rhs.data() + static_cast<std::ptrdiff_t>(l) * lane.score_rhs.rows() + 3 * j;
      if (v[0] == 0 && v[1] == 0 && v[2] == 0) continue;
      factor.forward(j, v);
      lane.scores.col(labels[first + l]).noalias() -= Z * Eigen::Map<const Eigen::Vector3d>(v);
    }
    for (std::uint64_t m = factor.later(j); m; m &= m - 1) {
      const int k = FrameFactor::lowest(m);
      const double* U = factor.upper(j, k);
      const Eigen::Map<const Eigen::Matrix<double, 3, 3, Eigen::RowMajor>> Um(U);
      Cols(columns + k * stride, P_, 3).noalias() -= Z * Um;
      Eigen::Map<Eigen::Vector3d>(y.data() + 3 * k) -= Um.transpose() * Eigen::Map<const Eigen::Vector3d>(yj);
      for (int l = 0; l < local; ++l) {
        double* v = lane.score_rhs.data() + static_cast<std::ptrdiff_t>(l) * lane.score_rhs.rows();
        Eigen::Map<Eigen::Vector3d>(v + 3 * k) -=
            Um.transpose() * Eigen::Map<const Eigen::Vector3d>(v + 3 * j);
      }
    }
    if (++lane.filled == kBatch) lane.flush();
  }
  if (labels)
    for (int i = 0; i < n; ++i)
      if (!sys.held[first + i]) camera_scores(first + i, labels[first + i], lane.scores);
}

void BundleProblem::reduce(double damping, MatX& S, VecX& g, const std::int32_t* labels, MatX* scores) {
  const System& sys = *current_;
  const std::size_t F = frames(), lanes = std::min<std::size_t>(std::max<std::size_t>(F / 8, 1), kLanes);
  std::vector<Lane> all(lanes);
  std::int32_t count = 0;
  if (scores)
    for (std::size_t p = 0; p < N_; ++p) count = std::max(count, labels[p] + 1);
  parallel_for(lanes, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      Lane& lane = all[k];
      lane.S = MatX::Zero(P_, P_);
      lane.g = VecX::Zero(P_);
      if (scores) lane.scores = MatX::Zero(P_, count);
      lane.Z.resize(P_, 3 * kBatch);
      lane.factor = std::make_unique<FrameFactor>();
      for (std::size_t f = k * F / lanes; f < (k + 1) * F / lanes; ++f)
        eliminate_frame(f, damping, lane, scores ? labels : nullptr);
      lane.flush();
    }
  });
  S = sys.Hcc;
  g = sys.gc;
  if (scores) *scores = MatX::Zero(P_, count);
  for (const Lane& lane : all) {
    S += lane.S;
    g += lane.g;
    if (scores) *scores += lane.scores;
  }
  S.diagonal() += damping * sys.Hcc.diagonal();
}

// Residual, Jacobian by the unknowns and robust weight of an observation at the last linearisation.
bool BundleProblem::weighted_row(std::size_t p, std::int64_t o, double r[2], double* J, double* k) const {
  const double w = weight(o);
  double Jp[6];
  if (w <= 0 || !observe(state_, p, o, r, Jp, J)) return false;
  *k = w * loss_weight(options_.loss, w * (r[0] * r[0] + r[1] * r[1]), options_.loss_scale_px);
  return true;
}

// A held point must not pull on the cameras: take its share out of the camera blocks again.
void BundleProblem::drop(std::size_t p, MatX& S, VecX& g) const {
  const int B = layout_.block;
  for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
    double J[2 * kMaxBlock], r[2], k;
    if (!weighted_row(p, o, r, J, &k)) continue;
    const int c = obs_.camera[o];
    for (int a = 0; a < B; ++a) {
      const int ia = layout_.of(c, a);
      g[ia] -= k * (J[a] * r[0] + J[B + a] * r[1]);
      for (int b = 0; b <= a; ++b) {
        const int ib = layout_.of(c, b);
        S(std::max(ia, ib), std::min(ia, ib)) -= k * (J[a] * J[b] + J[B + a] * J[B + b]);
      }
    }
  }
}

void BundleProblem::camera_scores(std::size_t p, std::int32_t label, MatX& scores) const {
  const int B = layout_.block;
  for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
    double J[2 * kMaxBlock], r[2], k;
    if (!weighted_row(p, o, r, J, &k)) continue;
    for (int a = 0; a < B; ++a)
      scores(layout_.of(obs_.camera[o], a), label) += k * (J[a] * r[0] + J[B + a] * r[1]);
  }
}

// ---- step
// ------------------------------------------------------------------------------------------------------

bool BundleProblem::solve(double damping, double* predicted, double* relative_step) {
  trial_valid_ = false;
  MatX S;
  VecX g;
  reduce(damping, S, g, nullptr, nullptr);
  const MatX gauge = gauge_directions(state_);
  const double mean = std::max(S.diagonal().head(6 * C_).mean(), 1e-300);
  S.selfadjointView<Eigen::Lower>().rankUpdate(gauge, mean);
  // The unknowns have different units: scale to a unit diagonal before the factorisation.
  const VecX scale = S.diagonal().cwiseMax(1e-300).cwiseSqrt().cwiseInverse();
  MatX A = scale.asDiagonal() * MatX(S.selfadjointView<Eigen::Lower>()) * scale.asDiagonal();
  const Eigen::LDLT<MatX> factor(A);
  const VecX d = scale.cwiseProduct(VecX(factor.solve(-scale.cwiseProduct(g))));
  if (!d.allFinite()) return false;
  moved_ = state_;
  double size = 0, largest = 0;
  for (int c = 0; c < C_; ++c) {
    Camera<double>& cam = moved_.cameras[c];
    update_pose(d.data() + 6 * c, cam.R, cam.t);
    size += dot3(cam.t, cam.t);
  }
  size = std::sqrt(size / C_) + 1e-300;
  for (int c = 0; c < C_; ++c)
    for (int i = 0; i < 3; ++i)
      largest = std::max({largest, std::abs(d[6 * c + i]), std::abs(d[6 * c + 3 + i]) / size});
  for (int i = 0; i < layout_.extras; ++i) {
    const double step = d[6 * C_ + i];
    const BundleResult::Extra& e = layout_.extra[i];
    const int from = e.camera < 0 ? 0 : e.camera, to = e.camera < 0 ? C_ : e.camera + 1;
    for (int c = from; c < to; ++c) {
      Intrinsics<double>& lens = moved_.cameras[c].lens;
      double relative = std::abs(step);
      switch (e.kind) {
        case Kind::kLogFocal:
          lens.fx *= std::exp(step), lens.fy *= std::exp(step);
          break;
        case Kind::kCx:
          lens.cx += step, relative /= lens.fx;
          break;
        case Kind::kCy:
          lens.cy += step, relative /= lens.fy;
          break;
        case Kind::kK1:
          lens.k[0] += step;
          break;
        case Kind::kTimeOffset:
          moved_.offset[c] += step;
          break;
        case Kind::kDrift:
          moved_.drift[c] += step;
          break;
      }
      largest = std::max(largest, relative);
    }
  }
  for (int l = 0; l < layout_.lengths; ++l) {
    double& L = moved_.lengths[l];
    L = std::max(L + d[layout_.length(l)], 0.1 * L);
  }
  std::vector<double> gain;
  step_points(damping, d, gain);
  double sum = 0;
  for (double v : gain) sum += v;
  for (int i = 0; i < P_; ++i) sum += damping * current_->Hcc(i, i) * d[i] * d[i] - d[i] * current_->gc[i];
  *predicted = 0.5 * sum;
  *relative_step = largest;
  return true;
}

void BundleProblem::step_points(double damping, const VecX& d, std::vector<double>& gain) {
  const System& sys = *current_;
  const int B = layout_.block;
  const std::size_t F = frames(), grain = obs_.lengths ? 8 : kGrain, pieces = (F + grain - 1) / grain;
  gain.assign(pieces, 0.0);
  parallel_for(pieces, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
    const auto factor = std::make_unique<FrameFactor>();
    std::vector<double> x;
    for (std::size_t piece = begin; piece < end; ++piece)
      for (std::size_t f = piece * grain; f < std::min(F, (piece + 1) * grain); ++f) {
        if (!setup_frame(f, damping, *factor)) continue;
        const std::size_t first = frame_begin(f), last = frame_begin(f + 1);
        x.assign(3 * (last - first), 0.0);
        for (std::size_t p = first; p < last; ++p) {
          if (sys.held[p]) continue;
          double* rhs = x.data() + 3 * (p - first);
          for (int i = 0; i < 3; ++i) rhs[i] = -sys.gp[3 * p + i];
          for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
            const double* W = sys.W.data() + static_cast<std::size_t>(B) * 3 * o;
            for (int k = 0; k < B; ++k) {
              const double dk = d[layout_.of(obs_.camera[o], k)];
              for (int i = 0; i < 3; ++i) rhs[i] -= W[3 * k + i] * dk;
            }
          }
        }
        each_length(f, [&](const Edge& edge, int a, int b, int row) {
          const double v = edge.weight * d[row];
          for (int i = 0; i < 3; ++i) x[3 * a + i] += v * edge.u[i], x[3 * b + i] -= v * edge.u[i];
        });
        factor->solve(x.data());
        for (std::size_t p = first; p < last; ++p) {
          if (sys.held[p]) continue;
          const double *step = x.data() + 3 * (p - first), *H = sys.Hpp.data() + 6 * p;
          const int diagonal[3] = {0, 3, 5};
          for (int i = 0; i < 3; ++i) {
            moved_.points[3 * p + i] += step[i];
            gain[piece] += damping * H[diagonal[i]] * step[i] * step[i] - step[i] * sys.gp[3 * p + i];
          }
        }
      }
  });
}

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Linearisation, elimination and step of the bundle adjustment.
#include "bundle_problem.h"

#include <algorithm>
#include <cmath>

#include "sportcore/error.h"
#include "sportcore/parallel.h"

namespace sportcore::detail {
namespace {

using Kind = BundleResult::Kind;

constexpr std::size_t kChunk = 256;  // points per piece of parallel work
constexpr int kBatch = 32;           // points per rank update of the reduced system
constexpr std::size_t kLanes = 8;    // accumulators of the reduced system, whatever the number of threads
constexpr double kMinConditioning = 1e-10;

}  // namespace

BundleLayout::BundleLayout(int num_cameras, const BundleOptions& options, const BundleObservations& obs)
    : cameras(num_cameras) {
  const auto column = [&](Kind kind, double sigma, bool shared) {
    columns.push_back(kind);
    for (int c = 0; c < (shared ? 1 : cameras); ++c) {
      extra.push_back({kind, shared ? -1 : c});
      prior_sigma.push_back(sigma);
    }
  };
  if (options.focal != FocalRefinement::kNone)
    column(Kind::kLogFocal, options.focal_sigma, options.focal == FocalRefinement::kShared);
  if (options.principal_point) {
    column(Kind::kCx, options.principal_point_sigma_px, false);
    column(Kind::kCy, options.principal_point_sigma_px, false);
  }
  if (options.radial) column(Kind::kK1, options.radial_sigma, false);
  if (obs.clocks) {
    column(Kind::kTimeOffset, obs.clocks->offset_sigma_s, false);
    if (obs.clocks->refine_drift) column(Kind::kDrift, obs.clocks->drift_sigma, false);
  }
  block = 6 + static_cast<int>(columns.size());
  extras = static_cast<int>(extra.size());
  lengths = obs.lengths ? static_cast<int>(obs.lengths->num_lengths) : 0;
  index.resize(static_cast<std::size_t>(cameras) * block);
  for (int c = 0; c < cameras; ++c) {
    for (int k = 0; k < 6; ++k) index[c * block + k] = 6 * c + k;
    int at = 6 * cameras;
    for (std::size_t k = 0; k < columns.size(); ++k) {
      const bool shared = columns[k] == Kind::kLogFocal && options.focal == FocalRefinement::kShared;
      index[c * block + 6 + k] = at + (shared ? 0 : c);
      at += shared ? 1 : cameras;
    }
  }
}

BundleProblem::BundleProblem(const BundleObservations& obs, const BundleOptions& options,
                             const BundleState& start)
    : obs_(obs),
      options_(options),
      layout_(static_cast<int>(start.cameras.size()), options, obs),
      prior_(start),
      C_(static_cast<int>(start.cameras.size())),
      P_(layout_.size()),
      N_(obs.num_points) {
  if (!obs.lengths) return;
  std::vector<std::int32_t> frame_of(N_);
  for (std::size_t f = 0; f < obs.num_frames; ++f)
    for (std::int64_t p = obs.frame_offset[f]; p < obs.frame_offset[f + 1]; ++p)
      frame_of[p] = static_cast<std::int32_t>(f);
  edge_begin_.assign(obs.num_frames + 1, 0);
  for (std::size_t e = 0; e < obs.lengths->num_edges; ++e) ++edge_begin_[frame_of[obs.lengths->first[e]] + 1];
  for (std::size_t f = 0; f < obs.num_frames; ++f) edge_begin_[f + 1] += edge_begin_[f];
  edge_order_.resize(obs.lengths->num_edges);
  std::vector<std::int32_t> at(edge_begin_.begin(), edge_begin_.end() - 1);
  for (std::size_t e = 0; e < obs.lengths->num_edges; ++e)
    edge_order_[at[frame_of[obs.lengths->first[e]]]++] = static_cast<std::int32_t>(e);
}

double BundleProblem::cost(const BundleState& s) {
  if (!trial_) trial_ = std::make_unique<System>();
  fill(s, *trial_);
  trial_valid_ = true;
  return trial_->cost;
}

// The loop asks for the cost of a candidate and, when it is taken, for its linearisation: computed once.
double BundleProblem::linearize(const BundleState& s) {
  if (trial_valid_) {
    std::swap(current_, trial_);
  } else {
    if (!current_) current_ = std::make_unique<System>();
    fill(s, *current_);
  }
  trial_valid_ = false;
  state_ = s;
  return current_->cost;
}

// ---- linearisation
// ---------------------------------------------------------------------------------------------

bool BundleProblem::observe(const BundleState& s, std::size_t p, std::int64_t o, double r[2], double* Jp,
                            double* J) const {
  const int c = obs_.camera[o], B = layout_.block;
  const Camera<double>& camera = s.cameras[c];
  const double* X = s.points.data() + 3 * p;
  double moved[3], velocity[3] = {0, 0, 0}, t = 0;
  const BundleClocks* clocks = obs_.clocks;
  if (clocks) {
    t = clocks->time ? clocks->time[p] : 0.0;
    const double tau = s.offset[c] + s.drift[c] * t;
    for (int i = 0; i < 3; ++i) {
      const double v = clocks->velocity[3 * p + i], a = clocks->acceleration[3 * p + i];
      moved[i] = X[i] + tau * (v + 0.5 * tau * a);
      velocity[i] = v + tau * a;
    }
    X = moved;
  }
  double uv[2], Jc[12], Ji[8], Jk[16];
  const bool radial = options_.radial;
  if (!project_world(camera, X, uv, Jp, J ? Jc : nullptr, J ? Ji : nullptr, J && radial ? Jk : nullptr))
    return false;
  r[0] = uv[0] - obs_.xy[2 * o], r[1] = uv[1] - obs_.xy[2 * o + 1];
  if (!J) return true;
  for (int i = 0; i < 6; ++i) J[i] = Jc[i], J[B + i] = Jc[6 + i];
  for (int k = 6; k < B; ++k) {
    double a = 0, b = 0;
    switch (layout_.columns[k - 6]) {
      case Kind::kLogFocal:
        a = uv[0] - camera.lens.cx, b = uv[1] - camera.lens.cy;
        break;
      case Kind::kCx:
        a = 1;
        break;
      case Kind::kCy:
        b = 1;
        break;
      case Kind::kK1:
        a = Jk[0], b = Jk[kMaxDistortion];
        break;
      case Kind::kTimeOffset:
        a = dot3(Jp, velocity), b = dot3(Jp + 3, velocity);
        break;
      case Kind::kDrift:
        a = t * dot3(Jp, velocity), b = t * dot3(Jp + 3, velocity);
        break;
    }
    J[k] = a, J[B + k] = b;
  }
  return true;
}

void BundleProblem::fill(const BundleState& s, System& sys) const {
  sys.Hcc = MatX::Zero(P_, P_);
  sys.gc = VecX::Zero(P_);
  sys.cost = 0;
  fill_observations(s, sys);
  if (obs_.lengths) fill_lengths(s, sys);
  fill_priors(s, sys);
}

void BundleProblem::fill_observations(const BundleState& s, System& sys) const {
  const int B = layout_.block;
  const std::size_t M = static_cast<std::size_t>(obs_.point_offset[N_]);
  const std::size_t pieces = (N_ + kChunk - 1) / kChunk;
  sys.Hpp.resize(6 * N_);
  sys.gp.resize(3 * N_);
  sys.W.resize(static_cast<std::size_t>(B) * 3 * M);
  sys.held.assign(N_, 0);
  struct Sums {
    std::vector<double> H, g;
    double cost = 0;
  };
  std::vector<Sums> sums(pieces);
  // A point behind a camera costs what a residual of 30 scales costs: no step may go there to save anything.
  const double scale = options_.loss_scale_px,
               behind = loss_value(options_.loss, 900.0 * scale * scale, scale);
  parallel_for(pieces, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t piece = begin; piece < end; ++piece) {
      Sums& sum = sums[piece];
      sum.H.assign(static_cast<std::size_t>(C_) * B * B, 0.0);
      sum.g.assign(static_cast<std::size_t>(C_) * B, 0.0);
      for (std::size_t p = piece * kChunk; p < std::min(N_, (piece + 1) * kChunk); ++p) {
        double H[6] = {0, 0, 0, 0, 0, 0}, g[3] = {0, 0, 0};
        for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
          double* W = sys.W.data() + static_cast<std::size_t>(B) * 3 * o;
          const double w0 = weight(o);
          double r[2], Jp[6], J[2 * kMaxBlock];
          const bool front = w0 > 0 && observe(s, p, o, r, Jp, J);
          if (!front) {
            std::fill(W, W + B * 3, 0.0);
            if (w0 > 0) sum.cost += behind;
            continue;
          }
          const double r2 = w0 * (r[0] * r[0] + r[1] * r[1]);
          sum.cost += loss_value(options_.loss, r2, scale);
          const double k = w0 * loss_weight(options_.loss, r2, scale);
          const int c = obs_.camera[o];
          double* Hc = sum.H.data() + static_cast<std::size_t>(c) * B * B;
          double* gc = sum.g.data() + static_cast<std::size_t>(c) * B;
          for (int a = 0; a < B; ++a) {
            const double ja = k * J[a], jb = k * J[B + a];
            for (int b = 0; b <= a; ++b) Hc[a * B + b] += ja * J[b] + jb * J[B + b];
            gc[a] += ja * r[0] + jb * r[1];
            for (int i = 0; i < 3; ++i) W[3 * a + i] = ja * Jp[i] + jb * Jp[3 + i];
          }
          sym3_add_outer(H, Jp, k);
          sym3_add_outer(H, Jp + 3, k);
          for (int i = 0; i < 3; ++i) g[i] += k * (Jp[i] * r[0] + Jp[3 + i] * r[1]);
        }
        std::copy(H, H + 6, sys.Hpp.data() + 6 * p);
        std::copy(g, g + 3, sys.gp.data() + 3 * p);
        double inverse[6];
        sys.held[p] = !(H[0] > 0 && H[3] > 0 && H[5] > 0 && sym3_inverse(H, inverse) > kMinConditioning);
      }
    }
  });
  double total = 0;
  for (const Sums& sum : sums) {
    total += sum.cost;
    for (int c = 0; c < C_; ++c)
      for (int a = 0; a < B; ++a) {
        const int ia = layout_.of(c, a);
        sys.gc[ia] += sum.g[static_cast<std::size_t>(c) * B + a];
        for (int b = 0; b <= a; ++b) {
          const int ib = layout_.of(c, b);
          sys.Hcc(std::max(ia, ib), std::min(ia, ib)) += sum.H[(static_cast<std::size_t>(c) * B + a) * B + b];
        }
      }
  }
  sys.cost += 0.5 * total;
}

void BundleProblem::fill_lengths(const BundleState& s, System& sys) const {
  const BundleLengths& lengths = *obs_.lengths;
  sys.edges.resize(lengths.num_edges);
  double total = 0;
  for (std::size_t e = 0; e < lengths.num_edges; ++e) {
    Edge& edge = sys.edges[e];
    edge.weight = 0;
    const std::size_t a = lengths.first[e], b = lengths.second[e];
    if (sys.held[a] || sys.held[b]) continue;
    const double *A = s.points.data() + 3 * a, *Z = s.points.data() + 3 * b;
    const double v[3] = {A[0] - Z[0], A[1] - Z[1], A[2] - Z[2]}, n = std::sqrt(dot3(v, v));
    const int l = lengths.index[e];
    if (!(n > 1e-9 * s.lengths[l])) continue;
    for (int i = 0; i < 3; ++i) edge.u[i] = v[i] / n;
    edge.residual = n - s.lengths[l] - (lengths.excess ? lengths.excess[e] : 0.0);
    const double unit = options_.sigma_px / lengths.sigma[l], w0 = unit * unit;
    const double r2 = w0 * edge.residual * edge.residual;
    const double scale = options_.loss_scale_px * (lengths.slack ? lengths.slack[e] : 1.0);
    total += loss_value(options_.loss, r2, scale);
    edge.weight = w0 * loss_weight(options_.loss, r2, scale);
    const int row = layout_.length(l);
    const double g = edge.weight * edge.residual;
    sys.Hcc(row, row) += edge.weight;
    sys.gc[row] -= g;
    for (int i = 0; i < 3; ++i) {
      sys.gp[3 * a + i] += g * edge.u[i];
      sys.gp[3 * b + i] -= g * edge.u[i];
    }
  }
  for (std::size_t k = 0; k < lengths.num_pairs; ++k) {  // ln(L1 / L2) / pair_sigma
    const int i = lengths.pair[2 * k], j = lengths.pair[2 * k + 1];
    const double r = std::log(s.lengths[i] / s.lengths[j]), unit = options_.sigma_px / lengths.pair_sigma;
    const double w = unit * unit, a = 1 / s.lengths[i], b = -1 / s.lengths[j];
    const int ii = layout_.length(i), jj = layout_.length(j);
    total += w * r * r;
    sys.gc[ii] += w * a * r;
    sys.gc[jj] += w * b * r;
    sys.Hcc(ii, ii) += w * a * a;
    sys.Hcc(jj, jj) += w * b * b;
    sys.Hcc(std::max(ii, jj), std::min(ii, jj)) += w * a * b;
  }
  sys.cost += 0.5 * total;
}

namespace {

double extra_value(const BundleState& s, const BundleResult::Extra& e) {
  const int c = std::max(e.camera, 0);
  switch (e.kind) {
    case Kind::kLogFocal:
      return std::log(s.cameras[c].lens.fx);
    case Kind::kCx:
      return s.cameras[c].lens.cx;
    case Kind::kCy:
      return s.cameras[c].lens.cy;
    case Kind::kK1:
      return s.cameras[c].lens.k[0];
    case Kind::kTimeOffset:
      return s.offset[c];
    case Kind::kDrift:
      return s.drift[c];
  }
  return 0.0;
}

}  // namespace

void BundleProblem::fill_priors(const BundleState& s, System& sys) const {
  for (int i = 0; i < layout_.extras; ++i) {
    const double sigma = layout_.prior_sigma[i];
    if (!(sigma > 0)) continue;
    const bool clock = layout_.extra[i].kind == Kind::kTimeOffset || layout_.extra[i].kind == Kind::kDrift;
    const double unit = options_.sigma_px / sigma, w = unit * unit;
    const double r = extra_value(s, layout_.extra[i]) - (clock ? 0.0 : extra_value(prior_, layout_.extra[i]));
    const int row = 6 * C_ + i;
    sys.Hcc(row, row) += w;
    sys.gc[row] += w * r;
    sys.cost += 0.5 * w * r * r;
  }
}

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
  if (obs_.lengths)
    for (std::int32_t k = edge_begin_[f]; k < edge_begin_[f + 1]; ++k) {
      const int e = edge_order_[k];
      const Edge& edge = sys.edges[e];
      if (!(edge.weight > 0)) continue;
      const int a = static_cast<int>(obs_.lengths->first[e] - first),
                b = static_cast<int>(obs_.lengths->second[e] - first);
      sym3_add_outer(factor.diagonal(a), edge.u, edge.weight);
      sym3_add_outer(factor.diagonal(b), edge.u, edge.weight);
      factor.couple(a, b, edge.u, -edge.weight);
    }
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
  if (obs_.lengths)
    for (std::int32_t k = edge_begin_[f]; k < edge_begin_[f + 1]; ++k) {
      const int e = edge_order_[k];
      const Edge& edge = sys.edges[e];
      if (!(edge.weight > 0)) continue;
      const std::size_t a = obs_.lengths->first[e] - first, b = obs_.lengths->second[e] - first;
      const int row = layout_.length(obs_.lengths->index[e]);
      for (int i = 0; i < 3; ++i) {
        columns[a * stride + static_cast<std::size_t>(i) * P_ + row] -= edge.weight * edge.u[i];
        columns[b * stride + static_cast<std::size_t>(i) * P_ + row] += edge.weight * edge.u[i];
      }
    }
  // Right-hand sides by label, for the scores: what the residuals of each point, and of the lengths that it
  // is the first end of, contribute.
  const int local = labels ? n : 0;
  if (labels) {
    lane.score_rhs = MatX::Zero(3 * n, n);
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < 3; ++k) lane.score_rhs(3 * i + k, i) = y[3 * i + k];
    if (obs_.lengths)
      for (std::int32_t q = edge_begin_[f]; q < edge_begin_[f + 1]; ++q) {
        const int e = edge_order_[q];
        const Edge& edge = sys.edges[e];
        if (!(edge.weight > 0)) continue;
        const std::size_t a = obs_.lengths->first[e] - first, b = obs_.lengths->second[e] - first;
        const double g = edge.weight * edge.residual;
        lane.scores(layout_.length(obs_.lengths->index[e]), labels[first + a]) -= g;
        for (int k = 0; k < 3; ++k) {  // gp of b holds the length's pull: it belongs to the label of a
          lane.score_rhs(3 * b + k, b) += g * edge.u[k];
          lane.score_rhs(3 * b + k, a) -= g * edge.u[k];
        }
      }
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

// A held point must not pull on the cameras: take its share out of the camera blocks again.
void BundleProblem::drop(std::size_t p, MatX& S, VecX& g) const {
  const int B = layout_.block;
  for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
    double J[2 * kMaxBlock], Jp[6], r[2];
    if (weight(o) <= 0 || !observe(state_, p, o, r, Jp, J)) continue;
    const double k = weight(o) * loss_weight(options_.loss, weight(o) * (r[0] * r[0] + r[1] * r[1]),
                                             options_.loss_scale_px);
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
    double J[2 * kMaxBlock], Jp[6], r[2];
    if (weight(o) <= 0 || !observe(state_, p, o, r, Jp, J)) continue;
    const double k = weight(o) * loss_weight(options_.loss, weight(o) * (r[0] * r[0] + r[1] * r[1]),
                                             options_.loss_scale_px);
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
  const std::size_t F = frames(), grain = obs_.lengths ? 8 : kChunk, pieces = (F + grain - 1) / grain;
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
        if (obs_.lengths)
          for (std::int32_t k = edge_begin_[f]; k < edge_begin_[f + 1]; ++k) {
            const int e = edge_order_[k];
            const Edge& edge = sys.edges[e];
            if (!(edge.weight > 0)) continue;
            const std::size_t a = obs_.lengths->first[e] - first, b = obs_.lengths->second[e] - first;
            const double v = edge.weight * d[layout_.length(obs_.lengths->index[e])];
            for (int i = 0; i < 3; ++i) x[3 * a + i] += v * edge.u[i], x[3 * b + i] -= v * edge.u[i];
          }
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

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Where the unknowns of the bundle adjustment stand, and its linearisation: residuals, Jacobians, normal
// equations.
#include <algorithm>
#include <cmath>

#include "bundle_problem.h"
#include "sportcore/parallel.h"

namespace sportcore::detail {
namespace {

using Kind = BundleResult::Kind;

constexpr std::size_t kChunk = 256;  // points per piece of parallel work
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

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/bundle.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "sportcore/error.h"
#include "sportcore/parallel.h"

namespace sportcore {
namespace {

using MatX = Eigen::MatrixXd;
using VecX = Eigen::VectorXd;

constexpr std::size_t kChunk = 256;  // points per piece of parallel work
constexpr int kBatch = 32;           // points per rank update of the reduced system
constexpr int kBlock = 7;            // unknowns that one observation can touch: pose 6, focal length 1
constexpr double kMinConditioning = 1e-10;

struct State {
  std::vector<Camera<double>> cameras;
  std::vector<double> points;
};

// What one linearisation leaves behind.
struct System {
  MatX Hcc;                   // (P, P) camera blocks before elimination, lower triangle
  VecX gc;                    // (P)
  std::vector<double> Hpp;    // (N, 6) packed
  std::vector<double> gp;     // (N, 3)
  std::vector<double> W;      // (M, kBlock * 3) weighted J_camera^T J_point, row-major
  std::vector<double> sum_w;  // (N) sum of the robust weights
  double cost = 0;
};

class BundleProblem {
 public:
  BundleProblem(const BundleObservations& obs, std::size_t num_cameras, const BundleOptions& options)
      : obs_(obs), options_(options), C_(static_cast<int>(num_cameras)), N_(obs.num_points) {
    block_ = options.focal == FocalRefinement::kNone ? 6 : 7;
    P_ = 6 * C_;
    if (options.focal == FocalRefinement::kPerCamera) P_ += C_;
    if (options.focal == FocalRefinement::kShared) P_ += 1;
    pieces_ = (N_ + kChunk - 1) / kChunk;
  }

  int num_params() const { return P_; }
  const State& moved() const { return moved_; }
  double gradient_max() const { return current_->gc.size() ? current_->gc.cwiseAbs().maxCoeff() : 0.0; }
  double cost(const State& s) {
    if (!trial_) trial_ = std::make_unique<System>();
    fill(s, *trial_);
    trial_valid_ = true;
    return trial_->cost;
  }
  // The loop asks for the cost of a candidate and, when it is taken, for its linearisation: computed once.
  double linearize(const State& s) {
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

  bool solve(double damping, double* predicted, double* relative_step) {
    trial_valid_ = false;
    MatX S;
    VecX g;
    reduce(damping, S, g, nullptr, nullptr);
    const MatX gauge = gauge_directions(state_);
    const double mean = std::max(S.diagonal().mean(), 1e-300);
    S.selfadjointView<Eigen::Lower>().rankUpdate(gauge, mean);
    const Eigen::LDLT<MatX> factor(S.selfadjointView<Eigen::Lower>());
    const VecX d = factor.solve(-g);
    if (!d.allFinite()) return false;
    moved_ = state_;
    double size = 0;
    for (int c = 0; c < C_; ++c) {
      Camera<double>& cam = moved_.cameras[c];
      update_pose(d.data() + 6 * c, cam.R, cam.t);
      size += dot3(cam.t, cam.t);
      if (block_ == 7) {
        const double scale = std::exp(d[focal_index(c)]);
        cam.lens.fx *= scale, cam.lens.fy *= scale;
      }
    }
    size = std::sqrt(size / C_) + 1e-300;
    const System& sys = *current_;
    std::vector<double> gain(pieces_, 0.0);
    parallel_for(pieces_, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t piece = begin; piece < end; ++piece)
        for (std::size_t p = piece * kChunk; p < std::min(N_, (piece + 1) * kChunk); ++p) {
          double A[6], inverse[6];
          if (!damped_inverse(sys, p, damping, A, inverse)) continue;
          double rhs[3] = {-sys.gp[3 * p], -sys.gp[3 * p + 1], -sys.gp[3 * p + 2]};
          for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
            const double* W = sys.W.data() + kBlock * 3 * o;
            for (int k = 0; k < block_; ++k) {
              const double dk = d[index(obs_.camera[o], k)];
              for (int i = 0; i < 3; ++i) rhs[i] -= W[3 * k + i] * dk;
            }
          }
          double step[3];
          sym3_vec(inverse, rhs, step);
          const double* H = sys.Hpp.data() + 6 * p;
          const int diagonal[3] = {0, 3, 5};
          for (int i = 0; i < 3; ++i) {
            moved_.points[3 * p + i] += step[i];
            gain[piece] += damping * H[diagonal[i]] * step[i] * step[i] - step[i] * sys.gp[3 * p + i];
          }
        }
    });
    double sum = 0;
    for (double v : gain) sum += v;
    for (int i = 0; i < P_; ++i) sum += damping * sys.Hcc(i, i) * d[i] * d[i] - d[i] * sys.gc[i];
    *predicted = 0.5 * sum;
    double largest = 0;
    for (int c = 0; c < C_; ++c)
      for (int i = 0; i < 3; ++i)
        largest = std::max({largest, std::abs(d[6 * c + i]), std::abs(d[6 * c + 3 + i]) / size});
    if (block_ == 7)
      for (int i = 6 * C_; i < P_; ++i) largest = std::max(largest, std::abs(d[i]));
    *relative_step = largest;
    return true;
  }

  // Covariance of the camera unknowns at the last linearisation: from sigma when all errors are independent,
  // else at least that, grown to the sandwich over the clusters.
  std::vector<double> covariance(double sigma_px) {
    MatX S;
    VecX g;
    reduce(0.0, S, g, nullptr, nullptr);
    const MatX N = gauge_directions(state_);
    const double mean = std::max(S.diagonal().mean(), 1e-300);
    MatX A = S.selfadjointView<Eigen::Lower>();
    A += mean * N * N.transpose();
    MatX inverse = A.ldlt().solve(MatX::Identity(P_, P_));
    inverse -= (1.0 / mean) * N * N.transpose();
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
      // The part of the sandwich that exceeds independent errors; the rest of it is the chance of few
      // clusters.
      const Eigen::SelfAdjointEigenSolver<MatX> excess(sum - independent);
      cov += excess.eigenvectors() * excess.eigenvalues().cwiseMax(0.0).asDiagonal() *
             excess.eigenvectors().transpose();
    }
    std::vector<double> out(static_cast<std::size_t>(P_) * P_);
    Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(out.data(), P_, P_) =
        cov;
    return out;
  }

  void statistics(BundleResult& result) const {
    double ssr = 0, dof = -(P_ - 7.0);
    for (std::size_t p = 0; p < N_; ++p) {
      double A[6], inverse[6];
      if (!damped_inverse(*current_, p, 0.0, A, inverse)) {
        ++result.num_held;
        continue;
      }
      dof -= 3;
      for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
        double r[2];
        if (weight(o) <= 0 || !residual(state_, p, o, r, nullptr, nullptr, nullptr)) continue;
        const double s = weight(o) * (r[0] * r[0] + r[1] * r[1]);
        const double k = loss_weight(options_.loss, s, options_.loss_scale_px);
        ssr += k * s;
        dof += 2 * k;
        ++result.num_used;
      }
    }
    result.sigma_px = dof > 0 ? std::sqrt(ssr / dof) : 0.0;
  }

 private:
  int focal_index(int camera) const {
    return 6 * C_ + (options_.focal == FocalRefinement::kShared ? 0 : camera);
  }
  int index(int camera, int k) const { return k < 6 ? 6 * camera + k : focal_index(camera); }
  double weight(std::int64_t o) const { return obs_.weight ? obs_.weight[o] : 1.0; }

  bool residual(const State& s, std::size_t p, std::int64_t o, double r[2], double* Jp, double* Jc,
                double* Jf) const {
    const Camera<double>& cam = s.cameras[obs_.camera[o]];
    double uv[2];
    if (!project_world(cam, s.points.data() + 3 * p, uv, Jp, Jc)) return false;
    r[0] = uv[0] - obs_.xy[2 * o], r[1] = uv[1] - obs_.xy[2 * o + 1];
    if (Jf) Jf[0] = uv[0] - cam.lens.cx, Jf[1] = uv[1] - cam.lens.cy;  // by the log of the focal length
    return true;
  }

  void fill(const State& s, System& sys) const {
    const std::size_t M = static_cast<std::size_t>(obs_.point_offset[N_]);
    sys.Hpp.resize(6 * N_);
    sys.gp.resize(3 * N_);
    sys.W.resize(kBlock * 3 * M);
    struct Sums {
      std::vector<double> H, g, shared;
      double cost = 0;
    };
    std::vector<Sums> sums(pieces_);
    // A point behind a camera costs what a residual of 30 scales costs: no step may go there to save
    // anything.
    const double behind = loss_value(options_.loss, 900.0 * options_.loss_scale_px * options_.loss_scale_px,
                                     options_.loss_scale_px);
    parallel_for(pieces_, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t piece = begin; piece < end; ++piece) {
        Sums& sum = sums[piece];
        sum.H.assign(static_cast<std::size_t>(C_) * kBlock * kBlock, 0.0);
        sum.g.assign(static_cast<std::size_t>(C_) * kBlock, 0.0);
        for (std::size_t p = piece * kChunk; p < std::min(N_, (piece + 1) * kChunk); ++p) {
          double H[6] = {0, 0, 0, 0, 0, 0}, g[3] = {0, 0, 0};
          for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
            double* W = sys.W.data() + kBlock * 3 * o;
            std::fill(W, W + kBlock * 3, 0.0);
            const double w0 = weight(o);
            if (w0 <= 0) continue;
            double r[2], Jp[6], J[2 * kBlock], Jc[12], Jf[2];
            if (!residual(s, p, o, r, Jp, Jc, block_ == 7 ? Jf : nullptr)) {
              sum.cost += behind;
              continue;
            }
            const double r2 = w0 * (r[0] * r[0] + r[1] * r[1]);
            sum.cost += loss_value(options_.loss, r2, options_.loss_scale_px);
            const double k = w0 * loss_weight(options_.loss, r2, options_.loss_scale_px);
            for (int i = 0; i < 6; ++i) J[i] = Jc[i], J[kBlock + i] = Jc[6 + i];
            if (block_ == 7) J[6] = Jf[0], J[kBlock + 6] = Jf[1];
            const int c = obs_.camera[o];
            double* Hc = sum.H.data() + c * kBlock * kBlock;
            double* gc = sum.g.data() + c * kBlock;
            for (int a = 0; a < block_; ++a) {
              const double ja = k * J[a], jb = k * J[kBlock + a];
              for (int b = 0; b <= a; ++b) Hc[a * kBlock + b] += ja * J[b] + jb * J[kBlock + b];
              gc[a] += ja * r[0] + jb * r[1];
              for (int i = 0; i < 3; ++i) W[3 * a + i] = ja * Jp[i] + jb * Jp[3 + i];
            }
            sym3_add_outer(H, Jp, k);
            sym3_add_outer(H, Jp + 3, k);
            for (int i = 0; i < 3; ++i) g[i] += k * (Jp[i] * r[0] + Jp[3 + i] * r[1]);
          }
          std::copy(H, H + 6, sys.Hpp.data() + 6 * p);
          std::copy(g, g + 3, sys.gp.data() + 3 * p);
        }
      }
    });
    sys.Hcc = MatX::Zero(P_, P_);
    sys.gc = VecX::Zero(P_);
    double total = 0;
    for (const Sums& sum : sums) {
      total += sum.cost;
      for (int c = 0; c < C_; ++c)
        for (int a = 0; a < block_; ++a) {
          const int ia = index(c, a);
          sys.gc[ia] += sum.g[c * kBlock + a];
          for (int b = 0; b <= a; ++b) sys.Hcc(ia, index(c, b)) += sum.H[(c * kBlock + a) * kBlock + b];
        }
    }
    sys.cost = 0.5 * total;
  }

  // False: the observations do not fix the point, and it is held.
  static bool damped_inverse(const System& sys, std::size_t p, double damping, double* A, double* inverse) {
    const double* H = sys.Hpp.data() + 6 * p;
    for (int i = 0; i < 6; ++i) A[i] = H[i];
    if (!(A[0] > 0 && A[3] > 0 && A[5] > 0)) return false;
    if (!(sym3_inverse(A, inverse) > kMinConditioning)) return false;
    if (damping > 0) {
      for (int i : {0, 3, 5}) A[i] *= 1 + damping;
      sym3_inverse(A, inverse);
    }
    return true;
  }

  // Schur complement S (lower triangle) and reduced gradient g. scores (P, clusters): reduced gradient of the
  // points of each label.
  void reduce(double damping, MatX& S, VecX& g, const std::int32_t* labels, MatX* scores) {
    const System& sys = *current_;
    struct Sums {
      MatX S;
      VecX g;
      MatX scores;
    };
    // Few, fixed accumulators: pieces are dealt to them by number.
    const std::size_t lanes = std::min<std::size_t>(pieces_, 8);
    std::vector<Sums> sums(lanes);
    std::int32_t clusters = 0;
    if (scores)
      for (std::size_t p = 0; p < N_; ++p) clusters = std::max(clusters, labels[p] + 1);
    parallel_for(lanes, 1, options_.num_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t lane = begin; lane < end; ++lane) {
        Sums& sum = sums[lane];
        sum.S = MatX::Zero(P_, P_);
        sum.g = VecX::Zero(P_);
        if (scores) sum.scores = MatX::Zero(P_, clusters);
        MatX Z = MatX::Zero(P_, 3 * kBatch);
        int filled = 0;
        const auto flush = [&] {
          if (!filled) return;
          sum.S.selfadjointView<Eigen::Lower>().rankUpdate(Z.leftCols(3 * filled), -1.0);
          Z.leftCols(3 * filled).setZero();
          filled = 0;
        };
        for (std::size_t p = lane * N_ / lanes; p < (lane + 1) * N_ / lanes; ++p) {
          double A[6], inverse[6];
          if (!damped_inverse(sys, p, damping, A, inverse)) {
            drop(sys, p, sum.S, sum.g);
            continue;
          }
          // A = L L^T; the columns of W L^-T enter the rank update.
          const double l00 = std::sqrt(A[0]), l10 = A[1] / l00, l20 = A[2] / l00;
          const double l11 = std::sqrt(A[3] - l10 * l10), l21 = (A[4] - l20 * l10) / l11;
          const double l22 = std::sqrt(A[5] - l20 * l20 - l21 * l21);
          const double i00 = 1 / l00, i11 = 1 / l11, i22 = 1 / l22;
          const double* gp = sys.gp.data() + 3 * p;
          const double y0 = gp[0] * i00, y1 = (gp[1] - l10 * y0) * i11,
                       y2 = (gp[2] - l20 * y0 - l21 * y1) * i22;
          double* z0 = Z.data() + static_cast<std::ptrdiff_t>(3 * filled) * P_;
          double* z1 = z0 + P_;
          double* z2 = z1 + P_;
          for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
            const double* W = sys.W.data() + kBlock * 3 * o;
            for (int k = 0; k < block_; ++k) {
              const int row = index(obs_.camera[o], k);
              const double a = W[3 * k] * i00, b = (W[3 * k + 1] - l10 * a) * i11;
              const double c = (W[3 * k + 2] - l20 * a - l21 * b) * i22;
              z0[row] += a, z1[row] += b, z2[row] += c;
              const double v = a * y0 + b * y1 + c * y2;
              sum.g[row] -= v;
              if (scores) sum.scores(row, labels[p]) -= v;
            }
          }
          if (scores) add_camera_scores(p, labels[p], sum.scores);
          if (++filled == kBatch) flush();
        }
        flush();
      }
    });
    S = sys.Hcc;
    g = sys.gc;
    if (scores) *scores = MatX::Zero(P_, clusters);
    for (const Sums& sum : sums) {
      S += sum.S;
      g += sum.g;
      if (scores) *scores += sum.scores;
    }
    S.diagonal() += damping * sys.Hcc.diagonal();
  }

  // A held point must not pull on the cameras: take its share out of the camera blocks again.
  void drop(const System&, std::size_t p, MatX& S, VecX& g) const {
    for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
      double J[2 * kBlock], r[2], k;
      if (!camera_row(p, o, J, r, &k)) continue;
      const int c = obs_.camera[o];
      for (int a = 0; a < block_; ++a) {
        g[index(c, a)] -= k * (J[a] * r[0] + J[kBlock + a] * r[1]);
        for (int b = 0; b <= a; ++b)
          S(index(c, a), index(c, b)) -= k * (J[a] * J[b] + J[kBlock + a] * J[kBlock + b]);
      }
    }
  }

  void add_camera_scores(std::size_t p, std::int32_t label, MatX& scores) const {
    for (std::int64_t o = obs_.point_offset[p]; o < obs_.point_offset[p + 1]; ++o) {
      double J[2 * kBlock], r[2], k;
      if (!camera_row(p, o, J, r, &k)) continue;
      for (int a = 0; a < block_; ++a)
        scores(index(obs_.camera[o], a), label) += k * (J[a] * r[0] + J[kBlock + a] * r[1]);
    }
  }

  bool camera_row(std::size_t p, std::int64_t o, double* J, double* r, double* k) const {
    double Jc[12], Jf[2];
    if (weight(o) <= 0 || !residual(state_, p, o, r, nullptr, Jc, block_ == 7 ? Jf : nullptr)) return false;
    for (int i = 0; i < 6; ++i) J[i] = Jc[i], J[kBlock + i] = Jc[6 + i];
    if (block_ == 7) J[6] = Jf[0], J[kBlock + 6] = Jf[1];
    *k = weight(o) *
         loss_weight(options_.loss, weight(o) * (r[0] * r[0] + r[1] * r[1]), options_.loss_scale_px);
    return true;
  }

  // Orthonormal basis (P, 7) of what a similarity of the world does to the cameras.
  MatX gauge_directions(const State& s) const {
    MatX N = MatX::Zero(P_, 7);
    for (int c = 0; c < C_; ++c) {
      const Eigen::Map<const Eigen::Matrix<double, 3, 3, Eigen::RowMajor>> R(s.cameras[c].R);
      N.block<3, 3>(6 * c, 0) = R;      // rotation of the world: w = -R theta
      N.block<3, 3>(6 * c + 3, 3) = R;  // translation: dt = -R a
      N.block<3, 1>(6 * c + 3, 6) = Eigen::Map<const Eigen::Vector3d>(s.cameras[c].t);
    }
    const Eigen::HouseholderQR<MatX> qr(N);
    return qr.householderQ() * MatX::Identity(P_, 7);
  }

  const BundleObservations& obs_;
  const BundleOptions& options_;
  int C_, P_, block_;
  std::size_t N_, pieces_;
  std::unique_ptr<System> current_, trial_;
  bool trial_valid_ = false;
  State state_, moved_;
};

}  // namespace

BundleResult adjust_bundle(Camera<double>* cameras, std::size_t num_cameras, double* points,
                           const BundleObservations& obs, const BundleOptions& options) {
  require(num_cameras >= 2, "Bundle adjustment needs at least two cameras.");
  require(obs.num_points > 0 && obs.point_offset && obs.camera && obs.xy,
          "Bundle adjustment needs observations.");
  require(options.loss_scale_px > 0, "loss_scale_px must be positive.");
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
  BundleResult result;
  BundleProblem problem(obs, num_cameras, options);
  State state;
  state.cameras.assign(cameras, cameras + num_cameras);
  state.points.assign(points, points + 3 * obs.num_points);
  LmOptions lm;
  lm.max_iterations = options.max_iterations;
  lm.cost_tolerance = options.cost_tolerance;
  lm.step_tolerance = options.step_tolerance;
  lm.initial_damping = options.initial_damping;
  lm.max_damping = 1e8;
  result.lm = levenberg_marquardt(problem, state, lm);
  result.num_params = problem.num_params();
  problem.statistics(result);
  if (options.compute_covariance) result.covariance = problem.covariance(result.sigma_px);
  std::copy(state.cameras.begin(), state.cameras.end(), cameras);
  std::copy(state.points.begin(), state.points.end(), points);
  return result;
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/essential.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <complex>

#include "random.h"
#include "rotation.h"
#include "small_problem.h"
#include "sportcore/error.h"

namespace sportcore {
namespace {

using Mat3 = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using Vec3 = Eigen::Vector3d;
using detail::skew;
// Bounded sizes the compiler does not unroll: fixed 10 x 10 factorisations take minutes to compile and run no
// faster.
template <int kRows, int kCols>
using Bounded = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, kRows, kCols>;

// Polynomials in (x, y, z): degree 1 over (x, y, z, 1), degree 2 and 3 in graded reverse order, see
// multiply().
using Poly1 = Eigen::Matrix<double, 4, 1>;
using Poly2 = Eigen::Matrix<double, 10, 1>;  // x2 xy y2 xz yz z2 x y z 1
using Poly3 = Eigen::Matrix<double, 20, 1>;  // x3 x2y xy2 y3 x2z xyz y2z xz2 yz2 z3 | Poly2

[[gnu::noinline]] Poly2 multiply(const Poly1& a, const Poly1& b) {
  Poly2 p;
  p[0] = a[0] * b[0];
  p[1] = a[0] * b[1] + a[1] * b[0];
  p[2] = a[1] * b[1];
  p[3] = a[0] * b[2] + a[2] * b[0];
  p[4] = a[1] * b[2] + a[2] * b[1];
  p[5] = a[2] * b[2];
  p[6] = a[0] * b[3] + a[3] * b[0];
  p[7] = a[1] * b[3] + a[3] * b[1];
  p[8] = a[2] * b[3] + a[3] * b[2];
  p[9] = a[3] * b[3];
  return p;
}

[[gnu::noinline]] Poly3 multiply(const Poly2& q, const Poly1& b) {
  Poly3 p;
  p[0] = q[0] * b[0];
  p[1] = q[0] * b[1] + q[1] * b[0];
  p[2] = q[1] * b[1] + q[2] * b[0];
  p[3] = q[2] * b[1];
  p[4] = q[0] * b[2] + q[3] * b[0];
  p[5] = q[1] * b[2] + q[3] * b[1] + q[4] * b[0];
  p[6] = q[2] * b[2] + q[4] * b[1];
  p[7] = q[3] * b[2] + q[5] * b[0];
  p[8] = q[4] * b[2] + q[5] * b[1];
  p[9] = q[5] * b[2];
  p[10] = q[0] * b[3] + q[6] * b[0];
  p[11] = q[1] * b[3] + q[6] * b[1] + q[7] * b[0];
  p[12] = q[2] * b[3] + q[7] * b[1];
  p[13] = q[3] * b[3] + q[6] * b[2] + q[8] * b[0];
  p[14] = q[4] * b[3] + q[7] * b[2] + q[8] * b[1];
  p[15] = q[5] * b[3] + q[8] * b[2];
  p[16] = q[6] * b[3] + q[9] * b[0];
  p[17] = q[7] * b[3] + q[9] * b[1];
  p[18] = q[8] * b[3] + q[9] * b[2];
  p[19] = q[9] * b[3];
  return p;
}

struct Pose2 {
  Mat3 R;
  Vec3 t;
};

// Squared Sampson distance in px^2 for a given E.
struct SampsonCost {
  const double* x1;
  const double* x2;
  double var1, var2;  // (1 / focal)^2

  double squared(const double* E, std::size_t i) const {
    const double u = x1[2 * i], v = x1[2 * i + 1], p = x2[2 * i], q = x2[2 * i + 1];
    const double a0 = E[0] * u + E[1] * v + E[2], a1 = E[3] * u + E[4] * v + E[5],
                 a2 = E[6] * u + E[7] * v + E[8];
    const double b0 = E[0] * p + E[3] * q + E[6], b1 = E[1] * p + E[4] * q + E[7];
    const double n = p * a0 + q * a1 + a2;
    const double d = (b0 * b0 + b1 * b1) * var1 + (a0 * a0 + a1 * a1) * var2;
    return d > 0 ? n * n / d : 1e30;
  }
};

double truncated_cost(const SampsonCost& cost, const double* E, const double* w,
                      const std::vector<std::size_t>& idx, double threshold2, double give_up,
                      double* inlier_weight) {
  double sum = 0, inl = 0;
  for (std::size_t k = 0; k < idx.size(); ++k) {
    const double r2 = cost.squared(E, idx[k]);
    const double wi = w ? w[idx[k]] : 1.0;
    if (r2 < threshold2) {
      sum += wi * r2 / threshold2;
      inl += wi;
    } else {
      sum += wi;
    }
    if ((k & 63) == 63 && sum > give_up) return 1e300;
  }
  if (inlier_weight) *inlier_weight = inl;
  return sum;
}

// The four factorisations [t]_x R of E; any one serves the Sampson distance.
void factorise(const double* Eptr, Pose2 out[4]) {
  const Mat3 E = Eigen::Map<const Mat3>(Eptr);
  Eigen::JacobiSVD<Eigen::Matrix3d> svd(E, Eigen::ComputeFullU | Eigen::ComputeFullV);
  Eigen::Matrix3d U = svd.matrixU(), V = svd.matrixV();
  if (U.determinant() < 0) U.col(2) *= -1;
  if (V.determinant() < 0) V.col(2) *= -1;
  Eigen::Matrix3d W;
  W << 0, -1, 0, 1, 0, 0, 0, 0, 1;
  const Eigen::Matrix3d Ra = U * W * V.transpose(), Rb = U * W.transpose() * V.transpose();
  const Vec3 t = U.col(2);
  out[0] = {Ra, t};
  out[1] = {Ra, -t};
  out[2] = {Rb, t};
  out[3] = {Rb, -t};
}

// Depths of the midpoint along both rays; false when the rays are parallel.
bool depths(const Pose2& pose, const double* x1, const double* x2, double* z1, double* z2) {
  const Vec3 a = pose.R * Vec3(x1[0], x1[1], 1.0), b(x2[0], x2[1], 1.0);
  const double aa = a.dot(a), bb = b.dot(b), ab = a.dot(b), at = a.dot(pose.t), bt = b.dot(pose.t);
  const double det = aa * bb - ab * ab;
  if (det < 1e-12 * aa * bb) return false;
  *z1 = (ab * bt - bb * at) / det;
  *z2 = (aa * bt - ab * at) / det;
  return true;
}

double parallax(const Pose2& pose, const double* x1, const double* x2) {
  const Vec3 a = pose.R * Vec3(x1[0], x1[1], 1.0), b(x2[0], x2[1], 1.0);
  return std::atan2(a.cross(b).norm(), a.dot(b));
}

// Robust Levenberg-Marquardt over the five degrees of freedom with the Geman-McClure loss at the given scale.
Pose2 refine(Pose2 pose, const double* x1, const double* x2, const double* w,
             const std::vector<std::size_t>& idx, double f1, double f2, double scale_px, int iterations) {
  const auto accumulate = [&](const Pose2& p, detail::NormalEquations<5>* equations) {
    double sum = 0;
    Eigen::Matrix<double, 5, 1> J;
    for (std::size_t i : idx) {
      const double r = sampson_residual_px(p.R.data(), p.t.data(), x1 + 2 * i, x2 + 2 * i, f1, f2,
                                           equations ? J.data() : nullptr);
      const double wi = w ? w[i] : 1.0;
      sum += wi * loss_value(Loss::kGemanMcClure, r * r, scale_px);
      if (equations) equations->add(J, r, wi * loss_weight(Loss::kGemanMcClure, r * r, scale_px));
    }
    return sum;
  };
  const auto move = [](const Pose2& p, const double* d) {
    double b[6];
    tangent_basis(p.t.data(), b);
    Pose2 out;
    out.R = detail::exp_so3(Vec3(d[0], d[1], d[2])) * p.R;
    out.t = (p.t + d[3] * Vec3(b[0], b[1], b[2]) + d[4] * Vec3(b[3], b[4], b[5])).normalized();
    return out;
  };
  detail::minimize_small<5>(pose, accumulate, move, iterations);
  return pose;
}

Mat3 essential_of(const Pose2& p) { return skew(p.t) * p.R; }

// A rotation near the prior (first of all the prior itself) and the translation that two correspondences give
// with it: t is orthogonal to (R x1) x x2. False when the two say the same.
bool two_point(const double* x1, const double* x2, const EssentialOptions& options, bool exact,
               detail::Random& random, Pose2* out) {
  out->R = Eigen::Map<const Mat3>(options.prior_R);
  if (!exact) {
    const double s = options.prior_sigma_rad;
    const double a = s * random.normal(), b = s * random.normal(), c = s * random.normal();
    out->R = detail::exp_so3(Vec3(a, b, c)) * out->R;
  }
  Vec3 n[2];
  for (int k = 0; k < 2; ++k)
    n[k] = (out->R * Vec3(x1[2 * k], x1[2 * k + 1], 1)).cross(Vec3(x2[2 * k], x2[2 * k + 1], 1));
  const Vec3 t = n[0].cross(n[1]);
  if (!(t.norm() > 1e-9 * n[0].norm() * n[1].norm())) return false;
  out->t = t.normalized();
  return true;
}

}  // namespace

void tangent_basis(const double t[3], double b[6]) {
  const Vec3 n(t[0], t[1], t[2]);
  int axis = 0;
  n.cwiseAbs().minCoeff(&axis);
  const Vec3 u = n.cross(Vec3::Unit(axis)).normalized(), v = n.cross(u);
  for (int i = 0; i < 3; ++i) b[i] = u[i], b[3 + i] = v[i];
}

double sampson_residual_px(const double Rp[9], const double tp[3], const double x1[2], const double x2[2],
                           double f1, double f2, double* jacobian) {
  const Eigen::Map<const Mat3> R(Rp);
  const Vec3 t(tp[0], tp[1], tp[2]), a(x1[0], x1[1], 1), b(x2[0], x2[1], 1);
  const Vec3 Ra = R * a, Ea = t.cross(Ra);
  const Vec3 bt = b.cross(t);  // E^T b = R^T (b x t)
  const Vec3 Eb = R.transpose() * bt;
  const double v1 = 1 / (f1 * f1), v2 = 1 / (f2 * f2);
  const double n = b.dot(Ea);
  const double s2 = (Eb[0] * Eb[0] + Eb[1] * Eb[1]) * v1 + (Ea[0] * Ea[0] + Ea[1] * Ea[1]) * v2;
  const double s = std::sqrt(std::max(s2, 1e-300));
  const double r = n / s;
  if (jacobian) {
    double basis[6];
    tangent_basis(tp, basis);
    for (int k = 0; k < 5; ++k) {
      Vec3 dEa, dEb;
      if (k < 3) {  // R <- exp(omega) R
        dEa = t.cross(Vec3::Unit(k).cross(Ra));
        dEb = -(R.transpose() * Vec3::Unit(k).cross(bt));  // d(R^T) = -R^T [e_k]_x
      } else {
        const Vec3 d(basis[3 * (k - 3)], basis[3 * (k - 3) + 1], basis[3 * (k - 3) + 2]);
        dEa = d.cross(Ra);
        dEb = R.transpose() * b.cross(d);
      }
      const double dn = b.dot(dEa);
      const double ds = ((Eb[0] * dEb[0] + Eb[1] * dEb[1]) * v1 + (Ea[0] * dEa[0] + Ea[1] * dEa[1]) * v2) / s;
      jacobian[k] = dn / s - n * ds / (s * s);
    }
  }
  return r;
}

int essential_five_point(const double* x1, const double* x2, double* Eout) {
  Bounded<9, 5> Qt(9, 5);
  for (int i = 0; i < 5; ++i) {
    const double u = x1[2 * i], v = x1[2 * i + 1], p = x2[2 * i], q = x2[2 * i + 1];
    Qt.col(i) << p * u, p * v, p, q * u, q * v, q, u, v, 1.0;
  }
  const Eigen::HouseholderQR<Bounded<9, 5>> qr(Qt);
  const Bounded<9, 9> Q = qr.householderQ();
  const Eigen::Matrix<double, 9, 4> N = Q.rightCols(4);  // E = x N0 + y N1 + z N2 + N3

  Poly1 e[3][3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) e[i][j] = N.row(3 * i + j).transpose();

  // E E^T - tr(E E^T) I / 2, then times E (nine cubics), and det E (one).
  Poly2 L[3][3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j <= i; ++j) {
      L[i][j] = multiply(e[i][0], e[j][0]) + multiply(e[i][1], e[j][1]) + multiply(e[i][2], e[j][2]);
      L[j][i] = L[i][j];
    }
  const Poly2 half_trace = 0.5 * (L[0][0] + L[1][1] + L[2][2]);
  for (int i = 0; i < 3; ++i) L[i][i] -= half_trace;
  Bounded<10, 20> M(10, 20);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      M.row(3 * i + j) =
          (multiply(L[i][0], e[0][j]) + multiply(L[i][1], e[1][j]) + multiply(L[i][2], e[2][j])).transpose();
  const auto minor = [&](int a, int b) {
    return Poly2(multiply(e[1][a], e[2][b]) - multiply(e[1][b], e[2][a]));
  };
  M.row(9) =
      (multiply(minor(1, 2), e[0][0]) - multiply(minor(0, 2), e[0][1]) + multiply(minor(0, 1), e[0][2]))
          .transpose();

  const Bounded<10, 10> A = M.leftCols(10), B = M.rightCols(10);
  const Bounded<10, 10> C = A.partialPivLu().solve(B);
  if (!C.allFinite()) return 0;

  // Multiplication by x on the basis (x2 xy y2 xz yz z2 x y z 1).
  Bounded<10, 10> T = Bounded<10, 10>::Zero(10, 10);
  const int cubic[6] = {0, 1, 2, 4, 5, 7};
  for (int i = 0; i < 6; ++i) T.row(i) = -C.row(cubic[i]);
  T(6, 0) = T(7, 1) = T(8, 3) = T(9, 6) = 1.0;

  const Eigen::EigenSolver<Bounded<10, 10>> solver(T);
  if (solver.info() != Eigen::Success) return 0;
  const auto vectors = solver.eigenvectors();
  int count = 0;
  for (int k = 0; k < 10; ++k) {
    const std::complex<double> value = solver.eigenvalues()[k];
    if (std::abs(value.imag()) > 1e-10 * (1 + std::abs(value.real()))) continue;
    const auto v = vectors.col(k);
    const double scale = v[9].real();
    if (std::abs(scale) < 1e-14) continue;
    Eigen::Matrix<double, 9, 1> E = N.col(0) * (v[6].real() / scale) + N.col(1) * (v[7].real() / scale) +
                                    N.col(2) * (v[8].real() / scale) + N.col(3);
    const double norm = E.norm();
    if (!(norm > 0) || !std::isfinite(norm)) continue;
    E *= std::sqrt(2.0) / norm;
    for (int i = 0; i < 9; ++i) Eout[9 * count + i] = E[i];
    ++count;
  }
  return count;
}

EssentialResult estimate_essential(const double* x1, const double* x2, const double* weight, std::size_t n,
                                   double f1, double f2, const EssentialOptions& options) {
  if (n < 5) throw InputError("estimate_essential: at least 5 correspondences are needed");
  if (!(f1 > 0 && f2 > 0)) throw InputError("estimate_essential: focal lengths must be positive");
  if (!(options.max_residual_px > 0))
    throw InputError("estimate_essential: max_residual_px must be positive");
  if (options.prior_R && !(options.prior_sigma_rad > 0))
    throw InputError("estimate_essential: prior_sigma_rad must be positive");
  EssentialResult result;
  result.inlier.assign(n, 0);
  std::vector<std::size_t> valid;
  for (std::size_t i = 0; i < n; ++i) {
    const double s = x1[2 * i] + x1[2 * i + 1] + x2[2 * i] + x2[2 * i + 1];
    if (std::isfinite(s) && (!weight || weight[i] > 0)) valid.push_back(i);
  }
  if (valid.size() < 5) return result;

  std::vector<std::size_t> scored;
  const std::size_t m = std::min<std::size_t>(valid.size(), std::max(options.max_scored_points, 5));
  for (std::size_t k = 0; k < m; ++k) scored.push_back(valid[k * valid.size() / m]);
  double total = 0;
  for (std::size_t i : scored) total += weight ? weight[i] : 1.0;

  const SampsonCost cost{x1, x2, 1 / (f1 * f1), 1 / (f2 * f2)};
  const double threshold2 = options.max_residual_px * options.max_residual_px;
  detail::Random random(options.seed);
  double best = 1e300;
  Pose2 best_pose{Mat3::Identity(), Vec3::UnitX()};
  int needed = options.max_iterations, iteration = 0;
  for (; iteration < options.max_iterations && (iteration < options.min_iterations || iteration < needed);
       ++iteration) {
    std::size_t pick[5];
    const int points = options.prior_R ? 2 : 5;
    random.sample(valid.size(), points, pick);
    double a[10], b[10], E[90];
    for (int k = 0; k < points; ++k) {
      const std::size_t i = valid[pick[k]];
      a[2 * k] = x1[2 * i], a[2 * k + 1] = x1[2 * i + 1], b[2 * k] = x2[2 * i], b[2 * k + 1] = x2[2 * i + 1];
    }
    int count = 0;
    if (options.prior_R) {
      Pose2 drawn{Mat3::Identity(), Vec3::UnitX()};
      count = two_point(a, b, options, iteration % 8 == 0, random, &drawn);
      const Mat3 essential = essential_of(drawn);
      std::copy(essential.data(), essential.data() + 9, E);
    } else {
      count = essential_five_point(a, b, E);
    }
    int improved = -1;
    double value = best;
    for (int k = 0; k < count; ++k) {
      const double c = truncated_cost(cost, E + 9 * k, weight, scored, threshold2, value, nullptr);
      if (c < value) value = c, improved = k;
    }
    if (improved < 0) continue;
    Pose2 four[4];
    factorise(E + 9 * improved, four);
    // The numerical solution may miss the essential manifold; what counts is the cost of its factorisation,
    // and that of the local optimisation from there (a few robust steps on the scored points).
    const Pose2 pose = four[0],
                local = refine(pose, x1, x2, weight, scored, f1, f2, 0.5 * options.max_residual_px, 6);
    bool better = false;
    double inl = 0;
    for (const Pose2& trial : {local, pose}) {
      const Mat3 E_trial = essential_of(trial);
      double trial_inl = 0;
      const double c = truncated_cost(cost, E_trial.data(), weight, scored, threshold2, 1e300, &trial_inl);
      if (c < best) best = c, best_pose = trial, inl = trial_inl, better = true;
    }
    if (!better) continue;
    const double share = std::min(std::max(inl / total, 1e-6), 1 - 1e-12);
    // Noise spoils most minimal samples of inliers too: about one in four leads to the right basin.
    // A drawn rotation is near enough more seldom.
    const double draws = options.prior_R
                             ? 12 * std::log(1 - options.confidence) / std::log1p(-share * share)
                             : 4 * std::log(1 - options.confidence) / std::log1p(-std::pow(share, 5));
    needed = static_cast<int>(std::min(1e6, std::ceil(draws)));
  }
  result.iterations = iteration;
  if (best >= 1e300) return result;
  // Closing refinement on all points: first broad, then at the scale the residuals show.
  best_pose = refine(best_pose, x1, x2, weight, scored, f1, f2, 0.5 * options.max_residual_px,
                     options.max_refine_iterations);
  std::vector<double> res;
  {
    const Mat3 E = essential_of(best_pose);
    for (std::size_t i : valid) {
      const double r2 = cost.squared(E.data(), i);
      if (r2 < threshold2) res.push_back(std::sqrt(r2));
    }
  }
  if (res.size() < 8) return result;
  std::nth_element(res.begin(), res.begin() + res.size() / 2, res.end());
  const double sigma = std::max(1.4826 * res[res.size() / 2], 1e-9);
  best_pose = refine(best_pose, x1, x2, weight, valid, f1, f2, std::min(4 * sigma, options.max_residual_px),
                     options.max_refine_iterations);

  // Cheirality: which of the four factorisations has the inliers in front of both cameras?
  const Mat3 E = essential_of(best_pose);
  Pose2 four[4];
  factorise(E.data(), four);
  std::vector<std::size_t> close;
  double sum = 0, sum_w = 0;
  for (std::size_t i : valid) {
    const double r2 = cost.squared(E.data(), i), wi = weight ? weight[i] : 1.0;
    sum += wi * std::min(r2 / threshold2, 1.0);
    sum_w += wi;
    if (r2 < threshold2) close.push_back(i);
  }
  std::size_t most = 0;
  int chosen = 0;
  for (int k = 0; k < 4; ++k) {
    std::size_t front = 0;
    for (std::size_t i : close) {
      double z1, z2;
      front += depths(four[k], x1 + 2 * i, x2 + 2 * i, &z1, &z2) && z1 > 0 && z2 > 0;
    }
    if (front > most) most = front, chosen = k;
  }
  const Pose2 pose = four[chosen];
  std::vector<double> residual, angle;
  for (std::size_t i : close) {
    double z1, z2;
    if (!(depths(pose, x1 + 2 * i, x2 + 2 * i, &z1, &z2) && z1 > 0 && z2 > 0)) continue;
    result.inlier[i] = 1;
    residual.push_back(std::sqrt(cost.squared(E.data(), i)));
    angle.push_back(parallax(pose, x1 + 2 * i, x2 + 2 * i));
  }
  result.num_inliers = residual.size();
  result.cost = sum / sum_w;
  Eigen::Map<Mat3>(result.R) = pose.R;
  for (int i = 0; i < 3; ++i) result.t[i] = pose.t[i];
  if (residual.size() < 8) return result;
  std::nth_element(residual.begin(), residual.begin() + residual.size() / 2, residual.end());
  std::nth_element(angle.begin(), angle.begin() + angle.size() / 2, angle.end());
  result.median_residual_px = residual[residual.size() / 2];
  result.median_parallax_rad = angle[angle.size() / 2];
  result.success = true;
  if (options.prior_R) {
    const Mat3 gap = pose.R * Eigen::Map<const Mat3>(options.prior_R).transpose();
    double w[3];
    so3_log(gap.data(), w);
    result.success = std::sqrt(dot3(w, w)) < kPriorReach * options.prior_sigma_rad;
  }
  return result;
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/resection.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "random.h"
#include "rotation.h"
#include "small_problem.h"
#include "sportcore/error.h"
#include "sportcore/essential.h"

namespace sportcore {
namespace {

using Mat3 = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using Vec3 = Eigen::Vector3d;

struct Pose {
  Mat3 R;
  Vec3 t;
};

double squared_px(const Pose& p, const double* X, const double* x, double f) {
  const Vec3 c = p.R * Vec3(X[0], X[1], X[2]) + p.t;
  if (c[2] <= 1e-9) return 1e30;
  const double u = c[0] / c[2] - x[0], v = c[1] / c[2] - x[1];
  return (u * u + v * v) * f * f;
}

double truncated_cost(const Pose& p, const double* X, const double* x, const double* w,
                      const std::vector<std::size_t>& idx, double f, double threshold2, double give_up,
                      double* inliers) {
  double sum = 0, inl = 0;
  for (std::size_t k = 0; k < idx.size(); ++k) {
    const std::size_t i = idx[k];
    const double r2 = squared_px(p, X + 3 * i, x + 2 * i, f), wi = w ? w[i] : 1.0;
    if (r2 < threshold2) {
      sum += wi * r2 / threshold2;
      inl += wi;
    } else {
      sum += wi;
    }
    if ((k & 63) == 63 && sum > give_up) return 1e300;
  }
  if (inliers) *inliers = inl;
  return sum;
}

// The same where each group takes the images that cost it less; `taken`, when not null, receives them (n, 2).
double grouped_cost(const Pose& p, const double* X, const double* x, const double* w,
                    const std::vector<std::size_t>& idx, double f, double threshold2,
                    const ResectionOptions& options, double give_up, double* inliers,
                    std::vector<double>* taken, std::vector<std::uint8_t>* exchanged) {
  double sum = 0, inl = 0;
  for (std::size_t begin = 0, end = 0; begin < idx.size(); begin = end) {
    double cost[2] = {0, 0}, good[2] = {0, 0};
    for (; end < idx.size() && options.group[idx[end]] == options.group[idx[begin]]; ++end) {
      const std::size_t i = idx[end];
      const double wi = w ? w[i] : 1.0;
      for (int side = 0; side < 2; ++side) {
        const double* at = (side ? options.other : x) + 2 * i;
        const double r2 = std::isfinite(at[0]) ? squared_px(p, X + 3 * i, at, f) : 1e30;
        cost[side] += r2 < threshold2 ? wi * r2 / threshold2 : wi;
        good[side] += r2 < threshold2 ? wi : 0.0;
      }
    }
    const int side = cost[1] < cost[0];
    sum += cost[side], inl += good[side];
    if (sum > give_up) return 1e300;
    for (std::size_t k = begin; taken && k < end; ++k) {
      const double* at = (side ? options.other : x) + 2 * idx[k];
      (*taken)[2 * idx[k]] = at[0], (*taken)[2 * idx[k] + 1] = at[1];
      (*exchanged)[idx[k]] = static_cast<std::uint8_t>(side);
    }
  }
  if (inliers) *inliers = inl;
  return sum;
}

Pose refine(Pose pose, const double* X, const double* x, const double* w, const std::vector<std::size_t>& idx,
            double f, double scale_px, int iterations) {
  const auto accumulate = [&](const Pose& p, detail::NormalEquations<6>* equations) {
    double sum = 0;
    for (std::size_t i : idx) {
      const Vec3 c = p.R * Vec3(X[3 * i], X[3 * i + 1], X[3 * i + 2]) + p.t;
      const double wi = w ? w[i] : 1.0;
      if (c[2] <= 1e-6) {
        sum += wi * scale_px * scale_px;  // the most that this loss can cost
        continue;
      }
      const double iz = 1 / c[2], u = c[0] * iz, v = c[1] * iz;
      const double ru = f * (u - x[2 * i]), rv = f * (v - x[2 * i + 1]), r2 = ru * ru + rv * rv;
      sum += wi * loss_value(Loss::kGemanMcClure, r2, scale_px);
      if (!equations) continue;
      const double k = wi * loss_weight(Loss::kGemanMcClure, r2, scale_px), fz = f * iz;
      Eigen::Matrix<double, 6, 1> Ju, Jv;  // by (omega, upsilon): x_cam <- exp(omega) x_cam + upsilon
      Ju << -f * u * v, f * (1 + u * u), -f * v, fz, 0, -fz * u;
      Jv << -f * (1 + v * v), f * u * v, f * u, 0, fz, -fz * v;
      equations->add(Ju, ru, k);
      equations->add(Jv, rv, k);
    }
    return sum;
  };
  const auto move = [](const Pose& p, const double* d) {
    const Eigen::Matrix3d dR = detail::exp_so3(Vec3(d[0], d[1], d[2]));
    Pose out;
    out.R = dR * p.R;
    out.t = dR * p.t + Vec3(d[3], d[4], d[5]);
    return out;
  };
  detail::minimize_small<6>(pose, accumulate, move, iterations);
  return pose;
}

// A rotation near the prior (at times the prior itself) with the translation that brings two points X (2, 3)
// nearest to their rays x (2, 2): x cross (R X + t) = 0 in least squares.
bool two_point(const double* X, const double* x, const ResectionOptions& options, bool exact,
               detail::Random& random, Pose* out) {
  out->R = Eigen::Map<const Mat3>(options.prior_R);
  if (!exact) {
    const double s = options.prior_sigma_rad;
    const double a = s * random.normal(), b = s * random.normal(), c = s * random.normal();
    out->R = detail::exp_so3(Vec3(a, b, c)) * out->R;
  }
  Eigen::Matrix3d H = Eigen::Matrix3d::Zero();
  Vec3 g = Vec3::Zero();
  for (int k = 0; k < 2; ++k) {
    const Vec3 d = Vec3(x[2 * k], x[2 * k + 1], 1).normalized();
    const Eigen::Matrix3d across = Eigen::Matrix3d::Identity() - d * d.transpose();
    H += across;
    g -= across * (out->R * Vec3(X[3 * k], X[3 * k + 1], X[3 * k + 2]));
  }
  out->t = H.ldlt().solve(g);
  return H.determinant() > 1e-9 && out->t.allFinite();
}

// Real roots of a4 v^4 + ... + a0, each polished by two Newton steps.
int real_quartic_roots(const double a[5], double* roots) {
  if (!(std::abs(a[4]) > 1e-14)) return 0;
  Eigen::Matrix4d companion = Eigen::Matrix4d::Zero();
  for (int i = 0; i < 4; ++i) companion(0, i) = -a[3 - i] / a[4];
  for (int i = 0; i < 3; ++i) companion(i + 1, i) = 1;
  if (!companion.allFinite()) return 0;
  const Eigen::EigenSolver<Eigen::Matrix4d> solver(companion, false);
  int count = 0;
  for (int i = 0; i < 4; ++i) {
    const auto e = solver.eigenvalues()[i];
    if (std::abs(e.imag()) > 1e-6 * (1 + std::abs(e.real()))) continue;
    double v = e.real();
    for (int k = 0; k < 2; ++k) {
      const double p = (((a[4] * v + a[3]) * v + a[2]) * v + a[1]) * v + a[0];
      const double d = ((4 * a[4] * v + 3 * a[3]) * v + 2 * a[2]) * v + a[1];
      if (std::abs(d) > 1e-300) v -= p / d;
    }
    roots[count++] = v;
  }
  return count;
}

}  // namespace

int pose_three_point(const double* P, const double* xy, double* Rout, double* tout) {
  Vec3 X[3], ray[3];
  for (int i = 0; i < 3; ++i) {
    X[i] = Vec3(P[3 * i], P[3 * i + 1], P[3 * i + 2]);
    ray[i] = Vec3(xy[2 * i], xy[2 * i + 1], 1).normalized();
  }
  // Haralick et al. 1994, section 3.1 (Grunert): sides a, b, c opposite to points 1, 2, 3 and the angles
  // between the rays.
  const double a2 = (X[1] - X[2]).squaredNorm(), b2 = (X[0] - X[2]).squaredNorm(),
               c2 = (X[0] - X[1]).squaredNorm();
  if (!(a2 > 0 && b2 > 0 && c2 > 0)) return 0;
  const double ca = ray[1].dot(ray[2]), cb = ray[0].dot(ray[2]), cg = ray[0].dot(ray[1]);
  const double m = (a2 - c2) / b2, p = (a2 + c2) / b2, ra = a2 / b2, rc = c2 / b2;
  const double q[5] = {
      (1 + m) * (1 + m) - 4 * ra * cg * cg,
      4 * (-m * (1 + m) * cb + 2 * ra * cg * cg * cb - (1 - p) * ca * cg),
      2 * (m * m - 1 + 2 * m * m * cb * cb + 2 * (1 - rc) * ca * ca - 4 * p * ca * cb * cg +
           2 * (1 - ra) * cg * cg),
      4 * (m * (1 - m) * cb - (1 - p) * ca * cg + 2 * rc * ca * ca * cb),
      (m - 1) * (m - 1) - 4 * rc * ca * ca,
  };
  double roots[4];
  const int found = real_quartic_roots(q, roots);
  const auto frame = [](const Vec3& A, const Vec3& B, const Vec3& C, Eigen::Matrix3d& F) {
    const Vec3 x = (B - A).normalized(), z = x.cross(C - A);
    if (!(z.norm() > 1e-12 * (C - A).norm())) return false;
    F.col(0) = x, F.col(2) = z.normalized(), F.col(1) = F.col(2).cross(x);
    return true;
  };
  Eigen::Matrix3d Fw;
  if (!frame(X[0], X[1], X[2], Fw)) return 0;
  int count = 0;
  for (int k = 0; k < found; ++k) {
    const double v = roots[k], den = 2 * (cg - v * ca);
    if (!(v > 0) || std::abs(den) < 1e-12) continue;
    const double u = ((m - 1) * v * v - 2 * m * cb * v + 1 + m) / den;
    const double d = 1 + v * v - 2 * v * cb;
    if (!(u > 0) || !(d > 0)) continue;
    const double s1 = std::sqrt(b2 / d);
    const Vec3 Y0 = s1 * ray[0], Y1 = u * s1 * ray[1], Y2 = v * s1 * ray[2];
    Eigen::Matrix3d Fc;
    if (!frame(Y0, Y1, Y2, Fc)) continue;
    const Mat3 R = Fc * Fw.transpose();
    const Vec3 t = (Y0 + Y1 + Y2 - R * (X[0] + X[1] + X[2])) / 3;
    if (!R.allFinite() || !t.allFinite()) continue;
    Eigen::Map<Mat3>(Rout + 9 * count) = R;
    Eigen::Map<Vec3>(tout + 3 * count) = t;
    ++count;
  }
  return count;
}

ResectionResult estimate_pose(const double* X, const double* x, const double* weight, std::size_t n, double f,
                              const ResectionOptions& options) {
  if (!(f > 0)) throw InputError("estimate_pose: the focal length must be positive");
  if (!(options.max_residual_px > 0)) throw InputError("estimate_pose: max_residual_px must be positive");
  if (options.prior_R && !(options.prior_sigma_rad > 0))
    throw InputError("estimate_pose: prior_sigma_rad must be positive");
  ResectionResult result;
  result.inlier.assign(n, 0);
  std::vector<std::size_t> valid;
  for (std::size_t i = 0; i < n; ++i) {
    const double s = X[3 * i] + X[3 * i + 1] + X[3 * i + 2] + x[2 * i] + x[2 * i + 1];
    if (std::isfinite(s) && (!weight || weight[i] > 0)) valid.push_back(i);
  }
  if (valid.size() < 6) return result;
  std::vector<std::size_t> scored;
  const std::size_t m = std::min<std::size_t>(valid.size(), std::max(options.max_scored_points, 6));
  for (std::size_t k = 0; k < m; ++k) scored.push_back(valid[k * valid.size() / m]);
  double total = 0;
  for (std::size_t i : scored) total += weight ? weight[i] : 1.0;

  const double threshold2 = options.max_residual_px * options.max_residual_px;
  const bool sides = options.other && options.group;
  std::vector<double> taken;
  if (sides) taken.assign(x, x + 2 * n), result.exchanged.assign(n, 0);
  const auto score = [&](const Pose& p, double give_up, double* inliers) {
    if (!sides) return truncated_cost(p, X, x, weight, scored, f, threshold2, give_up, inliers);
    return grouped_cost(p, X, x, weight, scored, f, threshold2, options, give_up, inliers, nullptr, nullptr);
  };
  // The images that the pose takes, of which those without coordinates are left out.
  const auto choose = [&](const Pose& p, const std::vector<std::size_t>& of) {
    std::vector<std::size_t> present;
    grouped_cost(p, X, x, weight, of, f, threshold2, options, 1e300, nullptr, &taken, &result.exchanged);
    for (std::size_t i : of)
      if (std::isfinite(taken[2 * i])) present.push_back(i);
    return present;
  };
  const auto improve = [&](const Pose& p, const std::vector<std::size_t>& of, int steps) {
    const double scale = 0.5 * options.max_residual_px;
    if (!sides) return refine(p, X, x, weight, of, f, scale, steps);
    const std::vector<std::size_t> present = choose(p, of);
    return refine(p, X, taken.data(), weight, present, f, scale, steps);
  };
  detail::Random random(options.seed);
  double best = 1e300;
  Pose best_pose{Mat3::Identity(), Vec3::Zero()};
  int needed = options.max_iterations, iteration = 0;
  for (; iteration < options.max_iterations && (iteration < options.min_iterations || iteration < needed);
       ++iteration) {
    std::size_t pick[3];
    random.sample(valid.size(), 3, pick);
    double P[9], q[6], R[36], t[12];
    for (int k = 0; k < 3; ++k) {
      const std::size_t i = valid[pick[k]];
      for (int d = 0; d < 3; ++d) P[3 * k + d] = X[3 * i + d];
      q[2 * k] = x[2 * i], q[2 * k + 1] = x[2 * i + 1];
    }
    int count = 0;
    if (options.prior_R && iteration % 2) {
      Pose drawn{Mat3::Identity(), Vec3::Zero()};
      count = two_point(P, q, options, iteration % 16 == 1, random, &drawn);
      std::copy(drawn.R.data(), drawn.R.data() + 9, R);
      std::copy(drawn.t.data(), drawn.t.data() + 3, t);
    } else {
      count = pose_three_point(P, q, R, t);
    }
    bool improved = false;
    for (int k = 0; k < count; ++k) {
      const Pose pose{Eigen::Map<Mat3>(R + 9 * k), Eigen::Map<Vec3>(t + 3 * k)};
      const double c = score(pose, best, nullptr);
      if (c < best) best = c, best_pose = pose, improved = true;
    }
    if (!improved) continue;
    const Pose local = improve(best_pose, scored, 5);
    double inl = 0;
    const double c = score(local, 1e300, &inl);
    if (c < best) {
      best = c, best_pose = local;
    } else {
      score(best_pose, 1e300, &inl);
    }
    const double share = std::min(std::max(inl / total, 1e-6), 1 - 1e-12);
    // log1p: with few inliers 1 - share^3 rounds to one, whose logarithm is no divisor
    const double draws = (options.prior_R ? 4 : 1) * (sides ? 8 : 1) * std::log(1 - options.confidence) /
                         std::log1p(-share * share * share);
    needed = static_cast<int>(std::min(1e6, std::ceil(draws)));
  }
  result.iterations = iteration;
  if (best >= 1e300) return result;
  best_pose = improve(best_pose, valid, options.max_refine_iterations);
  if (sides) {
    choose(best_pose, valid);
    x = taken.data();
  }
  std::vector<double> residual;
  for (std::size_t i : valid) {
    const double r2 = std::isfinite(x[2 * i]) ? squared_px(best_pose, X + 3 * i, x + 2 * i, f) : 1e30;
    residual.push_back(std::sqrt(r2));
    if (r2 < threshold2) result.inlier[i] = 1, ++result.num_inliers;
  }
  std::nth_element(residual.begin(), residual.begin() + residual.size() / 2, residual.end());
  result.median_residual_px = residual[residual.size() / 2];
  result.inlier_share = static_cast<double>(result.num_inliers) / static_cast<double>(valid.size());
  const Eigen::Matrix3d R = detail::nearest_rotation(best_pose.R);
  Eigen::Map<Mat3>(result.R) = R;
  for (int i = 0; i < 3; ++i) result.t[i] = best_pose.t[i];
  result.success = result.num_inliers >= 6;
  if (options.prior_R) {
    const Mat3 gap = R * Eigen::Map<const Mat3>(options.prior_R).transpose();
    double w[3];
    so3_log(gap.data(), w);
    result.success = result.success && std::sqrt(dot3(w, w)) < kPriorReach * options.prior_sigma_rad;
  }
  return result;
}

}  // namespace sportcore

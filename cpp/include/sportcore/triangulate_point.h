// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Triangulation of one point, for host and device.
///
/// 1. Keep the usable observations and undistort them once.
/// 2. Linear solution of all of them (Hartley & Zisserman 2004, section 12.2, inhomogeneous), refined on the
/// true
///    projection. When every residual is small, that is the answer: most points end here.
/// 3. Otherwise every pair of views is a hypothesis (midpoint of the two rays), scored over all views by a
/// truncated
///    quadratic (MSAC; Torr & Zisserman 2000) weighted with the detector's score.
/// 4. The views that agree with the best hypothesis are refined, chosen again at the refined point, until
/// stable.
/// 5. Covariance (sum J^T J / sigma^2)^-1 over the inliers; checks of angle and cheirality.
///
/// Detector scores weigh only in step 3: they say little about the size of the error of a good observation,
/// so that weighting the estimate by them costs accuracy. Per-observation sigmas, where known, weigh
/// everywhere.
#pragma once

#include "sportcore/triangulate.h"

namespace sportcore {

/// TriangulateOptions as the kernels read them.
template <class T>
struct TriangulateParams {
  T max_error_px, sigma_px, inlier_sigmas, min_score, min_sine2, loss_scale;
  T center[3];  // m; added to the result: the cameras are moved there, which keeps float accurate
  int min_views, max_iterations;
  Loss loss;
  bool robust;
};

/// A camera with what triangulation derives from it once.
template <class T>
struct TriangulateCamera {
  Camera<T> camera;
  T position[3];  // camera centre in the (moved) world
  T focal;        // px, geometric mean
};

template <class T>
struct TriangulatedPoint {
  T X[3];
  T covariance[6];
  std::uint64_t inliers;  // bit c: camera c
  PointStatus status;
};

namespace detail {

/// The usable observations of one point.
template <class T, int kViews>
struct Views {
  int count;
  int camera[kViews];
  T uv[kViews][2];       // px, as observed
  T x[kViews][2];        // normalised, undistorted
  T inv_sigma[kViews];   // 1/px
  T max_error2[kViews];  // px^2
  T score[kViews];
};

/// X of the linear equations (R0 - x R2) X = x t2 - t0, (R1 - y R2) X = y t2 - t1 over the masked views.
template <class T, int kViews>
SPORTCORE_HD bool solve_linear(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                               std::uint64_t mask, T* X) {
  T A[6] = {0, 0, 0, 0, 0, 0}, b[3] = {0, 0, 0};
  for (int i = 0; i < v.count; ++i) {
    if (!((mask >> i) & 1)) continue;
    const TriangulateCamera<T>& c = cameras[v.camera[i]];
    const T* R = c.camera.R;
    const T* t = c.camera.t;
    const T w = square(v.inv_sigma[i] * c.focal);
    for (int k = 0; k < 2; ++k) {
      const T x = v.x[i][k];
      const T a[3] = {R[3 * k] - x * R[6], R[3 * k + 1] - x * R[7], R[3 * k + 2] - x * R[8]};
      sym3_add_outer(A, a, w);
      const T rhs = w * (x * t[2] - t[k]);
      for (int j = 0; j < 3; ++j) b[j] += rhs * a[j];
    }
  }
  T inverse[6];
  const T quality = sym3_inverse(A, inverse);
  sym3_vec(inverse, b, X);
  return quality > T(16) * std::numeric_limits<T>::epsilon() && is_finite(X[0] + X[1] + X[2]);
}

/// Robust cost, gradient, normal matrix (weighted by the loss) and information (not weighted) at X. False
/// behind a camera.
template <class T, int kViews>
SPORTCORE_HD bool linearize(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                            std::uint64_t mask, const T* X, Loss loss, T scale, T* cost, T* g, T* H,
                            T* information) {
  *cost = 0;
  for (int j = 0; j < 3; ++j) g[j] = 0;
  for (int j = 0; j < 6; ++j) H[j] = information[j] = 0;
  for (int i = 0; i < v.count; ++i) {
    if (!((mask >> i) & 1)) continue;
    T uv[2], J[6];
    if (!project_world(cameras[v.camera[i]].camera, X, uv, J)) return false;
    const T w2 = square(v.inv_sigma[i]);
    const T r[2] = {uv[0] - v.uv[i][0], uv[1] - v.uv[i][1]};
    const T s = (r[0] * r[0] + r[1] * r[1]) * w2;
    const T weight = loss_weight(loss, s, scale);
    *cost += loss_value(loss, s, scale);
    T B[6] = {0, 0, 0, 0, 0, 0};
    sym3_add_outer(B, J, w2);
    sym3_add_outer(B, J + 3, w2);
    for (int j = 0; j < 6; ++j) {
      information[j] += B[j];
      H[j] += weight * B[j];
    }
    for (int j = 0; j < 3; ++j) g[j] += weight * w2 * (J[j] * r[0] + J[3 + j] * r[1]);
  }
  return is_finite(*cost);
}

enum class Refined { kOk, kBehind, kNotConverged };

/// Levenberg-Marquardt from X over the masked views; X and information are updated. Converged when a further
/// step would change the cost by less than 1e-4 of a sigma squared, a hundredth of the point's own deviation;
/// that step is still taken.
template <class T, int kViews>
SPORTCORE_HD Refined refine(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                            std::uint64_t mask, const TriangulateParams<T>& p, T* X, T* information) {
  T cost, g[3], H[6], damping = 0;
  if (!linearize(cameras, v, mask, X, p.loss, p.loss_scale, &cost, g, H, information))
    return Refined::kBehind;
  for (int it = 0; it < p.max_iterations; ++it) {
    T A[6], inverse[6], step[3];
    for (int j = 0; j < 6; ++j) A[j] = H[j];
    A[0] += damping * H[0];
    A[3] += damping * H[3];
    A[5] += damping * H[5];
    const T quality = sym3_inverse(A, inverse);
    if (!(quality > std::numeric_limits<T>::epsilon())) {
      if (!(quality < T(1))) return Refined::kNotConverged;
      damping = max_of(damping * T(10), T(1e-3));
      continue;
    }
    sym3_vec(inverse, g, step);
    const T decrement = dot3(step, g);
    const T trial[3] = {X[0] - step[0], X[1] - step[1], X[2] - step[2]};
    if (decrement < T(1e-4)) {
      for (int j = 0; j < 3; ++j) X[j] = trial[j];
      return Refined::kOk;
    }
    T cost2, g2[3], H2[6], information2[6];
    const bool front = linearize(cameras, v, mask, trial, p.loss, p.loss_scale, &cost2, g2, H2, information2);
    const T rounding = T(8) * std::numeric_limits<T>::epsilon() * (cost + T(1));
    if (front && cost2 <= cost + rounding) {
      for (int j = 0; j < 3; ++j) {
        X[j] = trial[j];
        g[j] = g2[j];
      }
      for (int j = 0; j < 6; ++j) {
        H[j] = H2[j];
        information[j] = information2[j];
      }
      const bool settled = cost - cost2 <= rounding;
      cost = cost2;
      damping = damping > T(1e-4) ? damping * T(0.1) : T(0);
      if (settled) return Refined::kOk;  // no decrease left in this precision
    } else {
      damping = max_of(damping * T(10), T(1e-3));
    }
  }
  return Refined::kNotConverged;
}

/// Views within their error limit (times a factor on its square) at X, by the true projection.
template <class T, int kViews>
SPORTCORE_HD std::uint64_t agreeing(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                                    const T* X, T factor2 = T(1)) {
  std::uint64_t mask = 0;
  for (int i = 0; i < v.count; ++i) {
    T uv[2];
    const bool front = project_world(cameras[v.camera[i]].camera, X, uv);
    const T e = square(uv[0] - v.uv[i][0]) + square(uv[1] - v.uv[i][1]);
    if (front && e <= factor2 * v.max_error2[i]) mask |= std::uint64_t(1) << i;
  }
  return mask;
}

SPORTCORE_HD int count_bits(std::uint64_t m) {
  int n = 0;
  for (; m; m &= m - 1) ++n;
  return n;
}

/// Ray of view i in the world, of unit depth.
template <class T, int kViews>
SPORTCORE_HD void ray(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v, int i, T* d) {
  const T x[3] = {v.x[i][0], v.x[i][1], T(1)};
  mat3_tvec(cameras[v.camera[i]].camera.R, x, d);
}

/// What best_pair met on its way: no pair with enough angle between its rays, or pairs that meet behind a
/// camera.
struct PairSearch {
  bool any_angle;
  bool any_behind;
};

/// The best pair hypothesis. Returns the views that agree with it (0: none).
template <class T, int kViews>
SPORTCORE_HD std::uint64_t best_pair(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                                     const TriangulateParams<T>& p, T* X, PairSearch* search) {
  const int n = v.count;
  T best = std::numeric_limits<T>::max();
  std::uint64_t best_mask = 0;
  search->any_angle = search->any_behind = false;
  for (int i = 0; i < n - 1; ++i) {
    T di[3];
    ray(cameras, v, i, di);
    const T* oi = cameras[v.camera[i]].position;
    const T a = dot3(di, di);
    for (int j = i + 1; j < n; ++j) {
      T dj[3];
      ray(cameras, v, j, dj);
      const T* oj = cameras[v.camera[j]].position;
      const T o[3] = {oj[0] - oi[0], oj[1] - oi[1], oj[2] - oi[2]};
      const T b = dot3(di, dj), c = dot3(dj, dj), det = a * c - b * b;
      if (!(det > p.min_sine2 * a * c)) continue;
      search->any_angle = true;
      const T e = dot3(di, o), f = dot3(dj, o);
      const T si = (c * e - b * f) / det, sj = (b * e - a * f) / det;  // depths in the two cameras
      if (!(si > T(0) && sj > T(0))) {
        search->any_behind = true;
        continue;
      }
      T trial[3];
      for (int k = 0; k < 3; ++k) trial[k] = T(0.5) * (oi[k] + si * di[k] + oj[k] + sj * dj[k]);
      T cost = 0;
      std::uint64_t mask = 0;
      for (int m = 0; m < n; ++m) {
        const TriangulateCamera<T>& cam = cameras[v.camera[m]];
        T Xc[3];
        cam_from_world(cam.camera, trial, Xc);
        const T iz = T(1) / Xc[2];
        const T r2 = square(cam.focal) * (square(Xc[0] * iz - v.x[m][0]) + square(Xc[1] * iz - v.x[m][1]));
        const bool good = Xc[2] > T(0) && r2 < v.max_error2[m];
        mask |= good ? std::uint64_t(1) << m : 0;
        cost += v.score[m] * (good ? r2 / v.max_error2[m] : T(1));
        if (cost >= best) break;
      }
      if (cost < best && count_bits(mask) >= 2) {
        best = cost;
        best_mask = mask;
        for (int k = 0; k < 3; ++k) X[k] = trial[k];
      }
    }
  }
  return best_mask;
}

/// True when some two rays of the masked views, from X, differ from parallel (and opposite) by the least
/// angle.
template <class T, int kViews>
SPORTCORE_HD bool wide_enough(const TriangulateCamera<T>* cameras, const Views<T, kViews>& v,
                              std::uint64_t mask, const T* X, T min_sine2) {
  for (int i = 0; i < v.count; ++i) {
    if (!((mask >> i) & 1)) continue;
    const T* oi = cameras[v.camera[i]].position;
    const T a[3] = {X[0] - oi[0], X[1] - oi[1], X[2] - oi[2]};
    for (int j = i + 1; j < v.count; ++j) {
      if (!((mask >> j) & 1)) continue;
      const T* oj = cameras[v.camera[j]].position;
      const T b[3] = {X[0] - oj[0], X[1] - oj[1], X[2] - oj[2]};
      const T aa = dot3(a, a), bb = dot3(b, b), ab = dot3(a, b);
      if (aa * bb - ab * ab >= min_sine2 * aa * bb) return true;
    }
  }
  return false;
}

}  // namespace detail

/// Triangulates point `index` of arrays with `n_points` points: keypoints_px (C, N, 2), score and sigma_px
/// (C, N) or null. residual_px (C, N), optional, receives the distances of the observations from the point.
/// kViews >= C.
template <class T, int kViews>
SPORTCORE_HD void triangulate_point(const TriangulateCamera<T>* cameras, int n_cameras, const T* keypoints_px,
                                    const T* score, const T* sigma_px, std::size_t n_points,
                                    std::size_t index, const TriangulateParams<T>& p,
                                    TriangulatedPoint<T>& out, T* residual_px) {
  out.status = PointStatus::kOk;
  out.inliers = 0;
  detail::Views<T, kViews> v;
  v.count = 0;
  for (int c = 0; c < n_cameras; ++c) {
    const std::size_t at = static_cast<std::size_t>(c) * n_points + index;
    const int i = v.count;
    v.uv[i][0] = keypoints_px[2 * at];
    v.uv[i][1] = keypoints_px[2 * at + 1];
    v.score[i] = score ? score[at] : T(1);
    const T sigma = sigma_px ? sigma_px[at] : p.sigma_px;
    if (!is_finite(v.uv[i][0] + v.uv[i][1]) || !(v.score[i] >= p.min_score && v.score[i] > T(0))) continue;
    if (!(sigma > T(0)) || !is_finite(sigma)) continue;
    if (!unproject(cameras[c].camera.lens, v.uv[i], v.x[i])) continue;
    v.camera[i] = c;
    v.inv_sigma[i] = T(1) / sigma;
    v.max_error2[i] = square(sigma_px ? max_of(p.max_error_px, p.inlier_sigmas * sigma) : p.max_error_px);
    ++v.count;
  }
  if (residual_px)
    for (int c = 0; c < n_cameras; ++c)
      residual_px[static_cast<std::size_t>(c) * n_points + index] = nan_value<T>();

  T* X = out.X;
  T information[6] = {0, 0, 0, 0, 0, 0};
  std::uint64_t mask = 0;
  const std::uint64_t all = v.count >= 64 ? ~std::uint64_t(0) : (std::uint64_t(1) << v.count) - 1;
  if (v.count < p.min_views) {
    out.status = PointStatus::kTooFewViews;
  } else {
    // All views together: the answer wherever nothing is wrong.
    detail::Refined fit = detail::Refined::kNotConverged;
    const bool solved = detail::solve_linear(cameras, v, all, X);
    // A linear solution far from some view needs no refinement to be known as wrong, where there is a choice
    // of views.
    const bool choice = p.robust && v.count > 2;
    if (solved && (!choice || detail::agreeing(cameras, v, X, T(4)) == all)) {
      fit = detail::refine(cameras, v, all, p, X, information);
      if (fit == detail::Refined::kOk) mask = detail::agreeing(cameras, v, X);
    }
    if (mask != all) {
      if (!choice) {
        if (!solved || !detail::wide_enough(cameras, v, all, X, p.min_sine2)) {
          out.status = PointStatus::kIllConditioned;
        } else if (fit == detail::Refined::kBehind) {
          out.status = PointStatus::kBehindCamera;
        } else if (fit == detail::Refined::kNotConverged) {
          out.status = PointStatus::kNotConverged;
        } else {
          out.status = p.robust ? PointStatus::kNoConsensus : PointStatus::kLargeResidual;
        }
      } else {
        detail::PairSearch search;
        mask = detail::best_pair(cameras, v, p, X, &search);
        fit = detail::Refined::kOk;
        for (int round = 0; round < 4 && fit == detail::Refined::kOk; ++round) {
          if (detail::count_bits(mask) < p.min_views) break;
          fit = detail::refine(cameras, v, mask, p, X, information);
          const std::uint64_t next = detail::agreeing(cameras, v, X);
          if (next == mask) break;
          if (round < 3)
            mask = next;
          else
            mask &= next;
        }
        if (detail::count_bits(mask) < p.min_views) {
          out.status = !search.any_angle                ? PointStatus::kIllConditioned
                       : search.any_behind && mask == 0 ? PointStatus::kBehindCamera
                                                        : PointStatus::kNoConsensus;
        } else if (fit != detail::Refined::kOk) {
          out.status =
              fit == detail::Refined::kBehind ? PointStatus::kBehindCamera : PointStatus::kNotConverged;
        }
      }
    }
    if (out.status == PointStatus::kOk) {
      const T quality = sym3_inverse(information, out.covariance);
      if (!(quality > T(0)) || !detail::wide_enough(cameras, v, mask, X, p.min_sine2))
        out.status = PointStatus::kIllConditioned;
    }
  }
  if (out.status != PointStatus::kOk) {
    for (int k = 0; k < 3; ++k) X[k] = nan_value<T>();
    for (int k = 0; k < 6; ++k) out.covariance[k] = nan_value<T>();
    return;
  }
  for (int i = 0; i < v.count; ++i) {
    if ((mask >> i) & 1) out.inliers |= std::uint64_t(1) << v.camera[i];
    if (residual_px) {
      T uv[2];
      project_world(cameras[v.camera[i]].camera, X, uv);
      residual_px[static_cast<std::size_t>(v.camera[i]) * n_points + index] =
          std::sqrt(square(uv[0] - v.uv[i][0]) + square(uv[1] - v.uv[i][1]));
    }
  }
  for (int k = 0; k < 3; ++k) X[k] += p.center[k];
}

/// Writes one point to the output arrays.
template <class T>
SPORTCORE_HD void store_point(const TriangulatedPoint<T>& point, const TriangulateOutput<T>& out,
                              int n_cameras, std::size_t n_points, std::size_t index) {
  for (int k = 0; k < 3; ++k) out.xyz[3 * index + k] = point.X[k];
  out.status[index] = static_cast<std::uint8_t>(point.status);
  if (out.covariance) {
    const int from[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    for (int k = 0; k < 9; ++k) out.covariance[9 * index + k] = point.covariance[from[k]];
  }
  if (out.inlier)
    for (int c = 0; c < n_cameras; ++c)
      out.inlier[static_cast<std::size_t>(c) * n_points + index] = (point.inliers >> c) & 1;
  if (out.n_views) out.n_views[index] = static_cast<std::uint8_t>(detail::count_bits(point.inliers));
}

}  // namespace sportcore

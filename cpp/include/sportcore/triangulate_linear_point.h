// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Weighted linear triangulation and its adjoint, written once for a CUDA thread (T a scalar) and for SIMD
/// lanes (T a pack; lanes.h).
///
/// Each view gives two equations a_k . X = r_k, k = 0, 1, with a_k = R_k - x_k R_2 and r_k = x_k t_2 - t_k
/// for the normalised, undistorted observation x (Hartley & Zisserman 2004, section 12.2, inhomogeneous).
/// Their residual is the depth z of the point times the error in the image, so that the first solution
/// minimises sum_c w_c fx_c fy_c z_c^2 |error_c|^2; a further one divides each view's weight by z_c^2 at the
/// solution before (Hartley & Sturm 1997, "iterative linear") and thereby weighs errors in pixels. Further
/// solutions are computed as corrections of the one before, which keeps them accurate in float.
///
/// Adjoint. X solves N X = b with N = sum W a a^T, b = sum W r a. With lambda = N^-1 dL/dX and e = r - a . X,
///   dL = sum dW (lambda . a) e + W [e (lambda . da) + (lambda . a) (dr - X . da)],
/// and the weights W of an iteration depend on the solution before, which gets a gradient from it in turn.
#pragma once

#include <cstddef>

#include "sportcore/camera_parameters.h"

namespace sportcore {

constexpr int kMaxLinearIterations = 2;

/// A camera in the world whose origin has been moved to the middle of the cameras.
template <class S>
struct LinearCamera {
  Camera<S> camera;
  S focal2;  // px^2, fx fy
};

/// What is kept of one observation.
enum RayField : int {
  kRayX,  // normalised, undistorted; 0 where unusable
  kRayY,
  kRayWeight,  // 0 marks an unusable observation
  kRayFields
};

/// The observations of one point (or pack of points); `stride` is that between neighbouring fields.
template <class T>
struct Rays {
  T* data;
  std::ptrdiff_t stride;
  int n_views;
  SPORTCORE_HD T& at(int view, int field) const {
    return data[static_cast<std::ptrdiff_t>(view * kRayFields + field) * stride];
  }
};

/// Fills the fields of one view; returns where the observation is usable.
template <class S, class T>
SPORTCORE_HD mask_t<T> prepare_ray(const LinearCamera<S>& camera, T u, T v, T weight, const Rays<T>& rays,
                                   int view) {
  const T uv[2] = {u, v};
  T x[2];
  mask_t<T> use = is_finite(u + v) & (weight > T(0)) & is_finite(weight);
  use = use & unproject(camera.camera.lens, uv, x);
  rays.at(view, kRayX) = select(use, x[0], T(0));
  rays.at(view, kRayY) = select(use, x[1], T(0));
  rays.at(view, kRayWeight) = select(use, weight, T(0));
  return use;
}

namespace detail {

/// Adds one view to the normal equations A d = b for the step d from X; `scale` times its weight counts.
template <bool kByDepth, class S, class T>
SPORTCORE_HD void add_ray(const LinearCamera<S>& c, T x, T y, T weight, const T* X, T* A, T* b) {
  const S* R = c.camera.R;
  const S* t = c.camera.t;
  T W = weight * c.focal2, e[2];
  if (kByDepth) {
    T Xc[3];
    cam_from_world(c.camera, X, Xc);
    const T z = select(weight > T(0), Xc[2], T(1));
    W = W * square(reciprocal(z));
    e[0] = x * z - Xc[0];
    e[1] = y * z - Xc[1];
  } else {
    e[0] = x * t[2] - t[0];
    e[1] = y * t[2] - t[1];
  }
  const T ax[3] = {R[0] - x * R[6], R[1] - x * R[7], R[2] - x * R[8]};
  const T ay[3] = {R[3] - y * R[6], R[4] - y * R[7], R[5] - y * R[8]};
  const T wx[3] = {W * ax[0], W * ax[1], W * ax[2]}, wy[3] = {W * ay[0], W * ay[1], W * ay[2]};
  A[0] += wx[0] * ax[0] + wy[0] * ay[0];
  A[1] += wx[0] * ax[1] + wy[0] * ay[1];
  A[2] += wx[0] * ax[2] + wy[0] * ay[2];
  A[3] += wx[1] * ax[1] + wy[1] * ay[1];
  A[4] += wx[1] * ax[2] + wy[1] * ay[2];
  A[5] += wx[2] * ax[2] + wy[2] * ay[2];
  for (int j = 0; j < 3; ++j) b[j] += wx[j] * e[0] + wy[j] * e[1];
}

/// One solution. With kByDepth, X holds the one before and is improved; otherwise X is the result. `inverse`
/// (6) receives N^-1. False where the views do not determine the point.
template <bool kByDepth, class S, class T>
SPORTCORE_HD mask_t<T> solve_rays(const LinearCamera<S>* cameras, const Rays<T>& rays, T* X, T* inverse) {
  T A[6] = {T(0), T(0), T(0), T(0), T(0), T(0)}, b[3] = {T(0), T(0), T(0)}, step[3];
  for (int c = 0; c < rays.n_views; ++c)
    add_ray<kByDepth>(cameras[c], rays.at(c, kRayX), rays.at(c, kRayY), rays.at(c, kRayWeight), X, A, b);
  const T quality = sym3_inverse(A, inverse);
  sym3_vec(inverse, b, step);
  for (int j = 0; j < 3; ++j) X[j] = kByDepth ? X[j] + step[j] : step[j];
  return (quality > T(16) * T(std::numeric_limits<S>::epsilon())) & is_finite(X[0] + X[1] + X[2]);
}

}  // namespace detail

/// X (3) in the moved world from rays of which n_used are usable; false where there is no solution.
template <int kIterations, class S, class T>
SPORTCORE_HD mask_t<T> triangulate_rays(const LinearCamera<S>* cameras, const Rays<T>& rays, T n_used, T* X) {
  T inverse[6];
  mask_t<T> ok = (n_used > T(1.5)) & detail::solve_rays<false>(cameras, rays, X, inverse);
  for (int i = 0; i < kIterations; ++i) ok = ok & detail::solve_rays<true>(cameras, rays, X, inverse);
  return ok;
}

/// Every solution X on the way, and lambda of each; zero where there is no solution.
template <class T, int kStages>
struct LinearAdjoint {
  T X[kStages][3], lambda[kStages][3];
};

namespace detail {

/// What one view passes on of solution `s`: by its coordinates, its weight W and the solution before.
template <class T>
struct RayGradient {
  T a[2];         // lambda . a_k
  T e[2];         // r_k - a_k . X
  T W, by_W;      // the weight and the gradient by it
  T by_x[2];      // by the normalised coordinates
  T inv_z2;       // 1 / z^2 at the solution before; 1 for the first
  T by_z_before;  // by the depth at the solution before
};

template <int kStages, class S, class T>
SPORTCORE_HD RayGradient<T> ray_gradient(const LinearCamera<S>& c, const LinearAdjoint<T, kStages>& state,
                                         int s, T x, T y, T weight) {
  const S* R = c.camera.R;
  const T* X = state.X[s];
  const T* lambda = state.lambda[s];
  RayGradient<T> out;
  T Xc[3], l[3];
  cam_from_world(c.camera, X, Xc);
  mat3_vec(R, lambda, l);
  out.inv_z2 = T(1);
  T inv_z = T(1);
  if (s > 0) {
    const T z = dot3(R + 6, state.X[s - 1]) + c.camera.t[2];
    inv_z = T(1) / select(weight > T(0), z, T(1));
    out.inv_z2 = square(inv_z);
  }
  out.W = weight * c.focal2 * out.inv_z2;
  const T xy[2] = {x, y};
  for (int k = 0; k < 2; ++k) {
    out.a[k] = l[k] - xy[k] * l[2];
    out.e[k] = xy[k] * Xc[2] - Xc[k];
    out.by_x[k] = out.W * (out.a[k] * Xc[2] - out.e[k] * l[2]);
  }
  out.by_W = out.a[0] * out.e[0] + out.a[1] * out.e[1];
  out.by_z_before = s > 0 ? T(-2) * out.by_W * out.W * inv_z : T(0);
  return out;
}

}  // namespace detail

/// Solves forwards, then backwards from the gradient grad (3) by the last solution.
template <int kIterations, class S, class T>
SPORTCORE_HD mask_t<T> triangulate_rays_adjoint(const LinearCamera<S>* cameras, const Rays<T>& rays, T n_used,
                                                const T* grad, LinearAdjoint<T, kIterations + 1>& state) {
  T inverse[kIterations + 1][6];
  mask_t<T> ok = (n_used > T(1.5)) & detail::solve_rays<false>(cameras, rays, state.X[0], inverse[0]);
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (int s = 1; s <= kIterations; ++s) {
    for (int j = 0; j < 3; ++j) state.X[s][j] = state.X[s - 1][j];
    ok = ok & detail::solve_rays<true>(cameras, rays, state.X[s], inverse[s]);
  }
  T g[3];
  for (int j = 0; j < 3; ++j) g[j] = select(ok, grad[j], T(0));
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (int s = kIterations; s >= 0; --s) {
    for (int j = 0; j < 6; ++j) inverse[s][j] = select(ok, inverse[s][j], T(0));
    for (int j = 0; j < 3; ++j) state.X[s][j] = select(ok, state.X[s][j], T(0));
    sym3_vec(inverse[s], g, state.lambda[s]);
    if (s == 0) break;
    for (int j = 0; j < 3; ++j) g[j] = T(0);
    for (int j = 0; j < 3; ++j) state.X[s - 1][j] = select(ok, state.X[s - 1][j], T(0));
    for (int c = 0; c < rays.n_views; ++c) {
      const T w = rays.at(c, kRayWeight);
      const detail::RayGradient<T> ray =
          detail::ray_gradient(cameras[c], state, s, rays.at(c, kRayX), rays.at(c, kRayY), w);
      const T by_z = select(ok & (w > T(0)), ray.by_z_before, T(0));
      for (int j = 0; j < 3; ++j) g[j] += by_z * cameras[c].camera.R[6 + j];
    }
  }
  return ok;
}

/// The gradients of one view: by_uv (2) by its pixel, *by_weight by its weight and, with kCameras, added to
/// grad_row (24) those by its camera in the moved world (see move_gradient). Zero where the observation was
/// not used or `ok` does not hold.
template <bool kCameras, int kStages, class S, class T>
SPORTCORE_HD void ray_backward(const LinearCamera<S>& c, const LinearAdjoint<T, kStages>& state, mask_t<T> ok,
                               T x, T y, T weight, T* by_uv, T* by_weight, T* grad_row) {
  const mask_t<T> use = ok & (weight > T(0));
  const Intrinsics<S>& lens = c.camera.lens;
  const auto clean = [&](T v) { return select(use, v, T(0)); };
  T by_x[2] = {T(0), T(0)}, by_focal2 = T(0);
  *by_weight = T(0);
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (int s = 0; s < kStages; ++s) {
    const detail::RayGradient<T> ray = detail::ray_gradient(c, state, s, x, y, weight);
    by_x[0] += ray.by_x[0];
    by_x[1] += ray.by_x[1];
    *by_weight += ray.by_W * c.focal2 * ray.inv_z2;
    if (kCameras) {
      by_focal2 += ray.by_W * weight * ray.inv_z2;
      T* by_R = grad_row + kParameterRotation;
      T* by_t = grad_row + kParameterTranslation;
      const T p[2] = {ray.W * ray.e[0], ray.W * ray.e[1]}, q[2] = {ray.W * ray.a[0], ray.W * ray.a[1]};
      const T p2 = x * p[0] + y * p[1], q2 = x * q[0] + y * q[1];
      for (int j = 0; j < 3; ++j) {
        const T lambda = state.lambda[s][j], X = state.X[s][j];
        by_R[j] += clean(p[0] * lambda - q[0] * X);
        by_R[3 + j] += clean(p[1] * lambda - q[1] * X);
        T third = q2 * X - p2 * lambda;
        if (s > 0) third += ray.by_z_before * state.X[s > 0 ? s - 1 : 0][j];
        by_R[6 + j] += clean(third);
      }
      by_t[0] += clean(-q[0]);
      by_t[1] += clean(-q[1]);
      by_t[2] += clean(q2 + ray.by_z_before);
    }
  }
  *by_weight = clean(*by_weight);
  // through the lens: x = D^-1(xd), with xd the distorted normalised coordinates
  const T at[2] = {x, y};
  T xd[2], J[4], Jk[2 * kMaxDistortion];
  distort(lens, at, xd, J, kCameras ? Jk : static_cast<T*>(nullptr));
  const T inv = T(1) / (J[0] * J[3] - J[1] * J[2]);
  const T by_xd[2] = {clean((J[3] * by_x[0] - J[2] * by_x[1]) * inv),
                      clean((J[0] * by_x[1] - J[1] * by_x[0]) * inv)};
  by_uv[0] = by_xd[0] * (S(1) / lens.fx);
  by_uv[1] = by_xd[1] * (S(1) / lens.fy);
  if (kCameras) {
    grad_row[0] += clean(by_focal2) * lens.fy - by_uv[0] * xd[0];
    grad_row[1] += clean(by_focal2) * lens.fx - by_uv[1] * xd[1];
    grad_row[2] += -by_uv[0];
    grad_row[3] += -by_uv[1];
    for (int i = 0; i < kMaxDistortion; ++i)
      grad_row[kParameterDistortion + i] += -(Jk[i] * by_xd[0] + Jk[kMaxDistortion + i] * by_xd[1]);
  }
}

/// A gradient row of the moved camera -> that of the camera in the caller's world, where `center` (3) m is
/// the moved origin: t_moved = t + R center.
SPORTCORE_HD void move_gradient(const double* center, double* row) {
  for (int r = 0; r < 3; ++r)
    for (int j = 0; j < 3; ++j)
      row[kParameterRotation + 3 * r + j] += row[kParameterTranslation + r] * center[j];
}

/// The position (3) m of a camera in the world, from its row.
SPORTCORE_HD void position_from_row(const double* row, double* position) {
  mat3_tvec(row + kParameterRotation, row + kParameterTranslation, position);
  for (int k = 0; k < 3; ++k) position[k] = -position[k];
}

/// The camera of a row, moved so that `center` becomes the origin, and rounded.
template <class S>
SPORTCORE_HD LinearCamera<S> linear_camera(const double* row, int model, const double* center) {
  Camera<double> moved = camera_from_row(row, model);
  double shift[3];
  mat3_vec(moved.R, center, shift);
  for (int k = 0; k < 3; ++k) moved.t[k] += shift[k];
  LinearCamera<S> out;
  out.camera = camera_cast<S>(moved);
  out.focal2 = S(moved.lens.fx * moved.lens.fy);
  return out;
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Camera models, written once for host and device: project, unproject and every Jacobian.
///
/// OpenCV conventions: camera x right, y down, z forward; the centre of the upper-left pixel is (0, 0);
/// x_cam = R x_world + t. Models: pinhole; Brown-Conrady with 4, 5 or 8 coefficients in OpenCV order
/// (k1 k2 p1 p2 k3 k4 k5 k6, unused ones zero); the 4-parameter fisheye of Kannala and Brandt (2006) as in
/// cv2.fisheye.
///
/// In these templates S is a scalar, of which the camera consists, and T either S or a pack of them
/// (lanes.h).
#pragma once

#include "sportcore/angles.h"
#include "sportcore/linalg.h"

namespace sportcore {

enum CameraModel : int { kPinhole = 0, kBrown = 1, kFisheye = 2 };

constexpr int kMaxDistortion = 8;

/// Lens: focal lengths and principal point in px, distortion coefficients (dimensionless).
template <class T>
struct Intrinsics {
  int model;            // CameraModel
  int n_distortion;     // 0, 4, 5 or 8
  T fx, fy, cx, cy;     // px
  T k[kMaxDistortion];  // zero-padded
};

/// A lens at a place: x_cam = R x_world + t, in metres.
template <class T>
struct Camera {
  Intrinsics<T> lens;
  T R[9];  // cam_from_world, row-major
  T t[3];  // m
};

template <class U, class T>
SPORTCORE_HD Camera<U> camera_cast(const Camera<T>& c) {
  Camera<U> out;
  out.lens.model = c.lens.model;
  out.lens.n_distortion = c.lens.n_distortion;
  out.lens.fx = U(c.lens.fx);
  out.lens.fy = U(c.lens.fy);
  out.lens.cx = U(c.lens.cx);
  out.lens.cy = U(c.lens.cy);
  for (int i = 0; i < kMaxDistortion; ++i) out.lens.k[i] = U(c.lens.k[i]);
  for (int i = 0; i < 9; ++i) out.R[i] = U(c.R[i]);
  for (int i = 0; i < 3; ++i) out.t[i] = U(c.t[i]);
  return out;
}

// ---- distortion
// ------------------------------------------------------------------------------------------------

/// Brown-Conrady: normalised x (2) -> distorted xd (2). J (2, 2) = d xd / d x, Jk (2, 8) = d xd / d k; both
/// optional.
template <class S, class T>
SPORTCORE_HD void distort_brown(const S* k, const T* x, T* xd, T* J, T* Jk) {
  const T X = x[0], Y = x[1], r2 = X * X + Y * Y, r4 = r2 * r2, r6 = r4 * r2, xy = X * Y;
  const T num = T(1) + k[0] * r2 + k[1] * r4 + k[4] * r6;
  const bool rational = k[5] != S(0) || k[6] != S(0) || k[7] != S(0);
  const T inv = rational ? reciprocal(T(1) + k[5] * r2 + k[6] * r4 + k[7] * r6) : T(1);
  const T c = num * inv;
  xd[0] = X * c + T(2) * k[2] * xy + k[3] * (r2 + T(2) * X * X);
  xd[1] = Y * c + k[2] * (r2 + T(2) * Y * Y) + T(2) * k[3] * xy;
  if (J) {
    const T dnum = k[0] + T(2) * k[1] * r2 + T(3) * k[4] * r4;
    const T dden = k[5] + T(2) * k[6] * r2 + T(3) * k[7] * r4;
    const T dc = T(2) * (dnum - c * dden) * inv;  // 2 d c / d r^2
    J[0] = c + X * X * dc + T(2) * k[2] * Y + T(6) * k[3] * X;
    J[1] = J[2] = xy * dc + T(2) * k[2] * X + T(2) * k[3] * Y;
    J[3] = c + Y * Y * dc + T(6) * k[2] * Y + T(2) * k[3] * X;
  }
  if (Jk) {
    const T rr[3] = {r2, r4, r6};
    const int top[3] = {0, 1, 4};
    for (int i = 0; i < 3; ++i) {
      const T a = rr[i] * inv, b = -c * a;
      Jk[top[i]] = X * a;
      Jk[8 + top[i]] = Y * a;
      Jk[5 + i] = X * b;
      Jk[13 + i] = Y * b;
    }
    Jk[2] = T(2) * xy;
    Jk[3] = r2 + T(2) * X * X;
    Jk[10] = r2 + T(2) * Y * Y;
    Jk[11] = T(2) * xy;
  }
}

/// Fisheye: theta_d = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8), theta = atan |x|.
template <class S, class T>
SPORTCORE_HD void distort_fisheye(const S* k, const T* x, T* xd, T* J, T* Jk) {
  using std::sqrt;
  const T r2 = x[0] * x[0] + x[1] * x[1], r = sqrt(r2);
  const T theta = atan_positive(r), ratio = select(r > T(1e-12), theta / r, T(1)), u = theta * theta;
  const T q = T(1) + u * (k[0] + u * (k[1] + u * (k[2] + u * k[3])));
  const T s = ratio * q;
  xd[0] = s * x[0];
  xd[1] = s * x[1];
  if (J) {
    // h = d(theta/r)/dr / r; its power series near the axis avoids the cancellation there.
    const T h =
        select(r2 < T(0.01),
               T(-2.0 / 3) + r2 * (T(4.0 / 5) + r2 * (T(-6.0 / 7) + r2 * (T(8.0 / 9) - r2 * T(10.0 / 11)))),
               (T(1) / (T(1) + r2) - ratio) / r2);
    const T dq = k[0] + u * (T(2) * k[1] + u * (T(3) * k[2] + u * T(4) * k[3]));
    const T g = h * q + T(2) * ratio * ratio * dq / (T(1) + r2);
    J[0] = s + g * x[0] * x[0];
    J[1] = J[2] = g * x[0] * x[1];
    J[3] = s + g * x[1] * x[1];
  }
  if (Jk) {
    T power = ratio;
    for (int i = 0; i < 4; ++i) {
      power *= u;
      Jk[i] = power * x[0];
      Jk[8 + i] = power * x[1];
      Jk[4 + i] = Jk[12 + i] = T(0);
    }
  }
}

template <class S, class T>
SPORTCORE_HD void distort(const Intrinsics<S>& lens, const T* x, T* xd, T* J = nullptr, T* Jk = nullptr) {
  if (lens.model == kBrown) {
    distort_brown(lens.k, x, xd, J, Jk);
  } else if (lens.model == kFisheye) {
    distort_fisheye(lens.k, x, xd, J, Jk);
  } else {
    xd[0] = x[0];
    xd[1] = x[1];
    if (J) {
      J[0] = J[3] = T(1);
      J[1] = J[2] = T(0);
    }
    if (Jk)
      for (int i = 0; i < 16; ++i) Jk[i] = T(0);
  }
}

// ---- projection
// ------------------------------------------------------------------------------------------------

/// Camera-frame point X (3) m -> uv (2) px. Optional row-major Jacobians of uv: J_point (2, 3) by X,
/// J_intr (2, 4) by (fx, fy, cx, cy), J_dist (2, 8) by k. False, and NaN in every output that depends on the
/// point, unless it lies in front.
template <class S, class T>
SPORTCORE_HD mask_t<T> project(const Intrinsics<S>& lens, const T* X, T* uv, T* J_point = nullptr,
                               T* J_intr = nullptr, T* J_dist = nullptr) {
  const mask_t<T> front = X[2] > T(0);
  const T iz = select(front, reciprocal(X[2]), T(nan_value<S>())), x[2] = {X[0] * iz, X[1] * iz};
  T xd[2], D[4];
  distort(lens, x, xd, J_point ? D : static_cast<T*>(nullptr), J_dist);
  uv[0] = lens.fx * xd[0] + lens.cx;
  uv[1] = lens.fy * xd[1] + lens.cy;
  if (J_point) {
    const T a = lens.fx * iz, b = lens.fy * iz;
    J_point[0] = a * D[0];
    J_point[1] = a * D[1];
    J_point[2] = -a * (D[0] * x[0] + D[1] * x[1]);
    J_point[3] = b * D[2];
    J_point[4] = b * D[3];
    J_point[5] = -b * (D[2] * x[0] + D[3] * x[1]);
  }
  if (J_intr) {
    J_intr[0] = xd[0];
    J_intr[1] = T(0);
    J_intr[2] = T(1);
    J_intr[3] = T(0);
    J_intr[4] = T(0);
    J_intr[5] = xd[1];
    J_intr[6] = T(0);
    J_intr[7] = T(1);
  }
  if (J_dist) {
    for (int i = 0; i < kMaxDistortion; ++i) {
      J_dist[i] *= lens.fx;
      J_dist[kMaxDistortion + i] *= lens.fy;
    }
  }
  return front;
}

/// World point X (3) m -> camera-frame point (3) m.
template <class S, class T>
SPORTCORE_HD void cam_from_world(const Camera<S>& camera, const T* X, T* Xc) {
  T v[3];
  mat3_vec(camera.R, X, v);
  for (int i = 0; i < 3; ++i) Xc[i] = v[i] + camera.t[i];
}

/// World point X (3) m -> uv (2) px, with optional Jacobians: J_point (2, 3) by X; J_pose (2, 6) by (w, dt)
/// of the update R <- exp([w]x) R, t <- t + dt; J_intr (2, 4); J_dist (2, 8). False and NaN as in `project`.
template <class S, class T>
SPORTCORE_HD mask_t<T> project_world(const Camera<S>& camera, const T* X, T* uv, T* J_point = nullptr,
                                     T* J_pose = nullptr, T* J_intr = nullptr, T* J_dist = nullptr) {
  T v[3], Xc[3], J[6];
  mat3_vec(camera.R, X, v);
  for (int i = 0; i < 3; ++i) Xc[i] = v[i] + camera.t[i];
  const mask_t<T> front =
      project(camera.lens, Xc, uv, J_point || J_pose ? J : static_cast<T*>(nullptr), J_intr, J_dist);
  if (J_point) {
    mat3_tvec(camera.R, J, J_point);
    mat3_tvec(camera.R, J + 3, J_point + 3);
  }
  if (J_pose) {
    for (int r = 0; r < 2; ++r) {  // a . (w x v) = w . (v x a)
      cross3(v, J + 3 * r, J_pose + 6 * r);
      for (int i = 0; i < 3; ++i) J_pose[6 * r + 3 + i] = J[3 * r + i];
    }
  }
  return front;
}

/// R <- exp([w]x) R, t <- t + dt with delta = (w (3) rad, dt (3) m): the step that J_pose of project_world
/// belongs to.
template <class T>
SPORTCORE_HD void update_pose(const T* delta, T* R, T* t) {
  T E[9], out[9];
  so3_exp(delta, E);
  mat3_mul(E, R, out);
  for (int i = 0; i < 9; ++i) R[i] = out[i];
  for (int i = 0; i < 3; ++i) t[i] += delta[3 + i];
}

// ---- inversion
// -------------------------------------------------------------------------------------------------

namespace detail {

/// The angle from the axis is the only unknown.
template <class S, class T>
SPORTCORE_HD mask_t<T> undistort_fisheye(const S* k, const T* xd, T* x) {
  using std::abs;
  using std::sqrt;
  const T tolerance = T(2) * T(std::numeric_limits<S>::epsilon());
  const T limit = T(1.5706);  // just under a right angle
  const T target = sqrt(xd[0] * xd[0] + xd[1] * xd[1]);
  const T scale = select(target > T(1), target, T(1));
  const mask_t<T> finite = is_finite(target);
  T theta = select(target < limit, target, limit), residual = T(0);
  mask_t<T> going = finite;
  for (int it = 0; it < 50 && any(going); ++it) {
    const T u = theta * theta;
    const T r = theta * (T(1) + u * (k[0] + u * (k[1] + u * (k[2] + u * k[3])))) - target;
    const T slope = T(1) + u * (S(3) * k[0] + u * (S(5) * k[1] + u * (S(7) * k[2] + u * (S(9) * k[3]))));
    residual = select(going, r, residual);
    going = going & !((abs(r) <= tolerance * scale) & (slope > T(0)));
    const T next = theta - r / slope;
    const T inside =
        select(next < T(0), T(0.5) * theta, select(next > limit, T(0.5) * (theta + limit), next));
    theta = select(going, select(slope > T(0.05), inside, T(0.7) * theta), theta);
  }
  const mask_t<T> ok = finite & (abs(residual) <= T(32) * tolerance * scale);
  const T s = select(ok, select(target > T(1e-12), tan_acute(theta) / target, T(1)), T(nan_value<S>()));
  x[0] = s * xd[0];
  x[1] = s * xd[1];
  return ok;
}

/// Damped Newton steps on both coordinates; a step that leaves the branch or does not help is halved.
template <class S, class T>
SPORTCORE_HD mask_t<T> undistort_brown(const S* k, const T* xd, T* x) {
  const T tolerance = T(2) * T(std::numeric_limits<S>::epsilon());
  const T r2 = xd[0] * xd[0] + xd[1] * xd[1], scale = select(r2 > T(1), r2, T(1));
  const mask_t<T> finite = is_finite(xd[0] + xd[1]);
  T p[2] = {xd[0], xd[1]}, f[2], J[4];
  distort_brown(k, p, f, J, static_cast<T*>(nullptr));
  T det = J[0] * J[3] - J[1] * J[2];
  mask_t<T> going = finite & !((det > T(0)) & (J[0] + J[3] > T(0)));
  for (int it = 0; it < 30 && any(going); ++it) {  // a start on the right branch
    for (int i = 0; i < 2; ++i) p[i] = select(going, T(0.8) * p[i], p[i]);
    distort_brown(k, p, f, J, static_cast<T*>(nullptr));
    det = J[0] * J[3] - J[1] * J[2];
    going = going & !((det > T(0)) & (J[0] + J[3] > T(0)));
  }
  T error = square(f[0] - xd[0]) + square(f[1] - xd[1]), step = T(1);
  going = finite & !(error <= tolerance * tolerance * scale);
  for (int it = 0; it < 200 && any(going); ++it) {
    const T e0 = f[0] - xd[0], e1 = f[1] - xd[1], by = step / det;
    const T trial[2] = {p[0] - by * (J[3] * e0 - J[1] * e1), p[1] - by * (J[0] * e1 - J[2] * e0)};
    T ft[2], Jt[4];
    distort_brown(k, trial, ft, Jt, static_cast<T*>(nullptr));
    const T dt = Jt[0] * Jt[3] - Jt[1] * Jt[2], et = square(ft[0] - xd[0]) + square(ft[1] - xd[1]);
    const mask_t<T> better = going & (dt > T(0)) & (Jt[0] + Jt[3] > T(0)) & (et < error);
    for (int i = 0; i < 2; ++i) {
      p[i] = select(better, trial[i], p[i]);
      f[i] = select(better, ft[i], f[i]);
    }
    for (int i = 0; i < 4; ++i) J[i] = select(better, Jt[i], J[i]);
    det = select(better, dt, det);
    error = select(better, et, error);
    step = select(better, T(1), T(0.5) * step);
    // Ends at the tolerance, or at rounding or the edge of the branch; the test below tells which.
    going = going & !(error <= tolerance * tolerance * scale) & (step > T(1e-4));
  }
  const mask_t<T> ok = finite & (error <= square(T(32) * tolerance) * scale);
  x[0] = select(ok, p[0], T(nan_value<S>()));
  x[1] = select(ok, p[1], T(nan_value<S>()));
  return ok;
}

}  // namespace detail

/// Distorted xd (2) -> normalised x (2) by damped Newton steps that stay on the branch joined to the optical
/// axis, where the determinant of the distortion's Jacobian is positive. Returns false (and NaN) where that
/// branch does not reach xd, i.e. the pixel lies outside what the model can image.
template <class S, class T>
SPORTCORE_HD mask_t<T> undistort(const Intrinsics<S>& lens, const T* xd, T* x) {
  if (lens.model == kFisheye) return detail::undistort_fisheye(lens.k, xd, x);
  if (lens.model == kBrown) return detail::undistort_brown(lens.k, xd, x);
  const mask_t<T> ok = is_finite(xd[0] + xd[1]);
  x[0] = select(ok, xd[0], T(nan_value<S>()));
  x[1] = select(ok, xd[1], T(nan_value<S>()));
  return ok;
}

/// uv (2) px -> normalised coordinates x (2) = (X/Z, Y/Z) of the ray. False (and NaN) where the model has no
/// inverse.
template <class S, class T>
SPORTCORE_HD mask_t<T> unproject(const Intrinsics<S>& lens, const T* uv, T* x) {
  const T xd[2] = {(uv[0] - lens.cx) * (S(1) / lens.fx), (uv[1] - lens.cy) * (S(1) / lens.fy)};
  return undistort(lens, xd, x);
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Camera models, written once for host and device: project, unproject and every Jacobian.
///
/// OpenCV conventions: camera x right, y down, z forward; the centre of the upper-left pixel is (0, 0);
/// x_cam = R x_world + t. Models: pinhole; Brown-Conrady with 4, 5 or 8 coefficients in OpenCV order
/// (k1 k2 p1 p2 k3 k4 k5 k6, unused ones zero); the 4-parameter fisheye of Kannala and Brandt (2006) as in
/// cv2.fisheye.
#pragma once

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
template <class T>
SPORTCORE_HD void distort_brown(const T* k, const T* x, T* xd, T* J, T* Jk) {
  const T X = x[0], Y = x[1], r2 = X * X + Y * Y, r4 = r2 * r2, r6 = r4 * r2, xy = X * Y;
  const T num = T(1) + k[0] * r2 + k[1] * r4 + k[4] * r6;
  const T inv = T(1) / (T(1) + k[5] * r2 + k[6] * r4 + k[7] * r6);
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
template <class T>
SPORTCORE_HD void distort_fisheye(const T* k, const T* x, T* xd, T* J, T* Jk) {
  const T r2 = x[0] * x[0] + x[1] * x[1], r = std::sqrt(r2);
  const T theta = std::atan(r), ratio = r > T(1e-12) ? theta / r : T(1), u = theta * theta;
  const T q = T(1) + u * (k[0] + u * (k[1] + u * (k[2] + u * k[3])));
  const T s = ratio * q;
  xd[0] = s * x[0];
  xd[1] = s * x[1];
  if (J) {
    // h = d(theta/r)/dr / r; its power series near the axis avoids the cancellation there.
    const T h =
        r2 < T(0.01)
            ? T(-2.0 / 3) + r2 * (T(4.0 / 5) + r2 * (T(-6.0 / 7) + r2 * (T(8.0 / 9) - r2 * T(10.0 / 11))))
            : (T(1) / (T(1) + r2) - ratio) / r2;
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

template <class T>
SPORTCORE_HD void distort(const Intrinsics<T>& lens, const T* x, T* xd, T* J = nullptr, T* Jk = nullptr) {
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
/// J_intr (2, 4) by (fx, fy, cx, cy), J_dist (2, 8) by k. Returns false (and NaN in uv) unless the point lies
/// in front.
template <class T>
SPORTCORE_HD bool project(const Intrinsics<T>& lens, const T* X, T* uv, T* J_point = nullptr,
                          T* J_intr = nullptr, T* J_dist = nullptr) {
  if (!(X[2] > T(0))) {
    uv[0] = uv[1] = nan_value<T>();
    return false;
  }
  const T iz = T(1) / X[2], x[2] = {X[0] * iz, X[1] * iz};
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
  return true;
}

/// World point X (3) m -> camera-frame point (3) m.
template <class T>
SPORTCORE_HD void cam_from_world(const Camera<T>& camera, const T* X, T* Xc) {
  T v[3];
  mat3_vec(camera.R, X, v);
  for (int i = 0; i < 3; ++i) Xc[i] = v[i] + camera.t[i];
}

/// World point X (3) m -> uv (2) px, with optional Jacobians: J_point (2, 3) by X; J_pose (2, 6) by (w, dt)
/// of the update R <- exp([w]x) R, t <- t + dt; J_intr (2, 4); J_dist (2, 8). Returns false unless the point
/// lies in front.
template <class T>
SPORTCORE_HD bool project_world(const Camera<T>& camera, const T* X, T* uv, T* J_point = nullptr,
                                T* J_pose = nullptr, T* J_intr = nullptr, T* J_dist = nullptr) {
  T v[3], Xc[3], J[6];
  mat3_vec(camera.R, X, v);
  for (int i = 0; i < 3; ++i) Xc[i] = v[i] + camera.t[i];
  const bool ok =
      project(camera.lens, Xc, uv, J_point || J_pose ? J : static_cast<T*>(nullptr), J_intr, J_dist);
  if (!ok) return false;
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
  return true;
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

/// Distorted xd (2) -> normalised x (2) by damped Newton steps that stay on the branch joined to the optical
/// axis, where the determinant of the distortion's Jacobian is positive. Returns false (and NaN) where that
/// branch does not reach xd, i.e. the pixel lies outside what the model can image.
template <class T>
SPORTCORE_HD bool undistort(const Intrinsics<T>& lens, const T* xd, T* x) {
  if (lens.model == kPinhole) {
    const bool ok = is_finite(xd[0]) && is_finite(xd[1]);
    x[0] = ok ? xd[0] : nan_value<T>();
    x[1] = ok ? xd[1] : nan_value<T>();
    return ok;
  }
  const T tolerance = T(2) * std::numeric_limits<T>::epsilon();  // of a coordinate of order one
  if (lens.model == kFisheye) {                                  // one unknown, the angle from the axis
    const T* k = lens.k;
    const T target = std::sqrt(xd[0] * xd[0] + xd[1] * xd[1]);
    const T limit = T(1.5706);  // just under a right angle
    T theta = min_of(target, limit);
    bool ok = is_finite(target);
    T residual = 0;
    for (int it = 0; ok && it < 50; ++it) {
      const T u = theta * theta;
      residual = theta * (T(1) + u * (k[0] + u * (k[1] + u * (k[2] + u * k[3])))) - target;
      const T slope = T(1) + u * (T(3) * k[0] + u * (T(5) * k[1] + u * (T(7) * k[2] + u * T(9) * k[3])));
      if (std::abs(residual) <= tolerance * max_of(T(1), target) && slope > T(0)) break;
      if (!(slope > T(0.05))) {
        theta *= T(0.7);
        continue;
      }
      const T next = theta - residual / slope;
      theta = next < T(0) ? theta / T(2) : (next > limit ? (theta + limit) / T(2) : next);
    }
    ok = ok && std::abs(residual) <= T(32) * tolerance * max_of(T(1), target);
    const T s = ok ? (target > T(1e-12) ? std::tan(theta) / target : T(1)) : nan_value<T>();
    x[0] = s * xd[0];
    x[1] = s * xd[1];
    return ok;
  }
  T p[2] = {xd[0], xd[1]}, f[2], J[4];
  bool ok = is_finite(xd[0]) && is_finite(xd[1]);
  T det = 0, error = 0;
  const T scale = max_of(T(1), xd[0] * xd[0] + xd[1] * xd[1]);
  for (int it = 0; ok && it < 30; ++it) {  // a start on the right branch
    distort_brown(lens.k, p, f, J, static_cast<T*>(nullptr));
    det = J[0] * J[3] - J[1] * J[2];
    if (det > T(0) && J[0] + J[3] > T(0)) break;
    p[0] *= T(0.8);
    p[1] *= T(0.8);
  }
  for (int it = 0; ok && it < 50; ++it) {
    const T e0 = f[0] - xd[0], e1 = f[1] - xd[1];
    error = e0 * e0 + e1 * e1;
    if (error <= tolerance * tolerance * scale) break;
    const T d0 = (J[3] * e0 - J[1] * e1) / det, d1 = (J[0] * e1 - J[2] * e0) / det;
    T step = T(1);
    bool better = false;
    for (int half = 0; half < 12; ++half, step *= T(0.5)) {
      const T trial[2] = {p[0] - step * d0, p[1] - step * d1};
      T ft[2], Jt[4];
      distort_brown(lens.k, trial, ft, Jt, static_cast<T*>(nullptr));
      const T dt = Jt[0] * Jt[3] - Jt[1] * Jt[2], et = square(ft[0] - xd[0]) + square(ft[1] - xd[1]);
      if (dt > T(0) && Jt[0] + Jt[3] > T(0) && et < error) {
        p[0] = trial[0];
        p[1] = trial[1];
        f[0] = ft[0];
        f[1] = ft[1];
        for (int i = 0; i < 4; ++i) J[i] = Jt[i];
        det = dt;
        better = true;
        break;
      }
    }
    if (!better) break;  // at rounding, or at the edge of the branch; the test below tells which
  }
  ok = ok && error <= square(T(32) * tolerance) * scale;
  x[0] = ok ? p[0] : nan_value<T>();
  x[1] = ok ? p[1] : nan_value<T>();
  return ok;
}

/// uv (2) px -> normalised coordinates x (2) = (X/Z, Y/Z) of the ray. False (and NaN) where the model has no
/// inverse.
template <class T>
SPORTCORE_HD bool unproject(const Intrinsics<T>& lens, const T* uv, T* x) {
  const T xd[2] = {(uv[0] - lens.cx) / lens.fx, (uv[1] - lens.cy) / lens.fy};
  return undistort(lens, xd, x);
}

}  // namespace sportcore

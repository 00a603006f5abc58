// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Small fixed-size linear algebra for host and device. Matrices are row-major arrays; a symmetric 3x3 matrix
/// is stored as six numbers {xx, xy, xz, yy, yz, zz}. Where a template has both S and T, S is the scalar of T
/// or T itself (see lanes.h).
#pragma once

#include "sportcore/lanes.h"

namespace sportcore {

template <class S, class T>
SPORTCORE_HD T dot3(const S* a, const T* b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

template <class T>
SPORTCORE_HD void cross3(const T* a, const T* b, T* out) {
  const T x = a[1] * b[2] - a[2] * b[1], y = a[2] * b[0] - a[0] * b[2], z = a[0] * b[1] - a[1] * b[0];
  out[0] = x;
  out[1] = y;
  out[2] = z;
}

/// out = A x, with A (3, 3).
template <class S, class T>
SPORTCORE_HD void mat3_vec(const S* A, const T* x, T* out) {
  const T a = dot3(A, x), b = dot3(A + 3, x), c = dot3(A + 6, x);
  out[0] = a;
  out[1] = b;
  out[2] = c;
}

/// out = A^T x, with A (3, 3).
template <class S, class T>
SPORTCORE_HD void mat3_tvec(const S* A, const T* x, T* out) {
  const T a = A[0] * x[0] + A[3] * x[1] + A[6] * x[2];
  const T b = A[1] * x[0] + A[4] * x[1] + A[7] * x[2];
  const T c = A[2] * x[0] + A[5] * x[1] + A[8] * x[2];
  out[0] = a;
  out[1] = b;
  out[2] = c;
}

/// out = A B, all (3, 3); out may not alias A or B.
template <class T>
SPORTCORE_HD void mat3_mul(const T* A, const T* B, T* out) {
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      out[3 * r + c] = A[3 * r] * B[c] + A[3 * r + 1] * B[3 + c] + A[3 * r + 2] * B[6 + c];
}

/// A += w a a^T for the packed symmetric 3x3 matrix A.
template <class T>
SPORTCORE_HD void sym3_add_outer(T* A, const T* a, T w) {
  const T wx = w * a[0], wy = w * a[1], wz = w * a[2];
  A[0] += wx * a[0];
  A[1] += wx * a[1];
  A[2] += wx * a[2];
  A[3] += wy * a[1];
  A[4] += wy * a[2];
  A[5] += wz * a[2];
}

/// Inverse of a packed symmetric positive definite 3x3 matrix. Returns det(A) / (xx yy zz), which lies in (0,
/// 1] for such a matrix and says how far from singular it is (0 or less, or NaN: singular, `inverse` is then
/// not usable).
template <class T>
SPORTCORE_HD T sym3_inverse(const T* A, T* inverse) {
  const T c00 = A[3] * A[5] - A[4] * A[4];
  const T c01 = A[2] * A[4] - A[1] * A[5];
  const T c02 = A[1] * A[4] - A[2] * A[3];
  const T det = A[0] * c00 + A[1] * c01 + A[2] * c02;
  const T s = T(1) / det;
  inverse[0] = c00 * s;
  inverse[1] = c01 * s;
  inverse[2] = c02 * s;
  inverse[3] = (A[0] * A[5] - A[2] * A[2]) * s;
  inverse[4] = (A[1] * A[2] - A[0] * A[4]) * s;
  inverse[5] = (A[0] * A[3] - A[1] * A[1]) * s;
  return det / (A[0] * A[3] * A[5]);
}

/// out = A x for the packed symmetric 3x3 matrix A.
template <class T>
SPORTCORE_HD void sym3_vec(const T* A, const T* x, T* out) {
  const T a = A[0] * x[0] + A[1] * x[1] + A[2] * x[2];
  const T b = A[1] * x[0] + A[3] * x[1] + A[4] * x[2];
  const T c = A[2] * x[0] + A[4] * x[1] + A[5] * x[2];
  out[0] = a;
  out[1] = b;
  out[2] = c;
}

/// Solves A x = b for a symmetric positive definite A (N, N) by Cholesky, in place: A becomes its factor, b
/// becomes x. Returns false when a pivot is not positive.
template <class T, int N>
SPORTCORE_HD bool cholesky_solve(T* A, T* b) {
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j <= i; ++j) {
      T s = A[i * N + j];
      for (int k = 0; k < j; ++k) s -= A[i * N + k] * A[j * N + k];
      if (i == j) {
        if (!(s > T(0))) return false;
        A[i * N + i] = std::sqrt(s);
      } else {
        A[i * N + j] = s / A[j * N + j];
      }
    }
  }
  for (int i = 0; i < N; ++i) {
    for (int k = 0; k < i; ++k) b[i] -= A[i * N + k] * b[k];
    b[i] /= A[i * N + i];
  }
  for (int i = N - 1; i >= 0; --i) {
    for (int k = i + 1; k < N; ++k) b[i] -= A[k * N + i] * b[k];
    b[i] /= A[i * N + i];
  }
  return true;
}

/// Eigenvalues and eigenvectors of a symmetric A (N, N) by cyclic Jacobi rotations. A is destroyed;
/// eigenvalues are unsorted on `values`, eigenvector k is column k of `vectors` (N, N).
template <class T, int N>
SPORTCORE_HD void jacobi_eigen(T* A, T* values, T* vectors) {
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < N; ++j) vectors[i * N + j] = i == j ? T(1) : T(0);
  for (int sweep = 0; sweep < 30; ++sweep) {
    T off = 0, diag = 0;
    for (int i = 0; i < N; ++i) {
      diag += square(A[i * N + i]);
      for (int j = i + 1; j < N; ++j) off += square(A[i * N + j]);
    }
    const T eps = std::numeric_limits<T>::epsilon();
    if (off <= eps * eps * T(1e-2) * diag || off == T(0)) break;
    for (int p = 0; p < N - 1; ++p) {
      for (int q = p + 1; q < N; ++q) {
        const T apq = A[p * N + q];
        if (apq == T(0)) continue;
        const T theta = (A[q * N + q] - A[p * N + p]) / (T(2) * apq);
        const T root = std::sqrt(theta * theta + T(1));
        const T t = theta >= T(0) ? T(1) / (theta + root) : T(1) / (theta - root);
        const T c = T(1) / std::sqrt(t * t + T(1)), s = t * c;
        for (int k = 0; k < N; ++k) {
          const T akp = A[k * N + p], akq = A[k * N + q];
          A[k * N + p] = c * akp - s * akq;
          A[k * N + q] = s * akp + c * akq;
        }
        for (int k = 0; k < N; ++k) {
          const T apk = A[p * N + k], aqk = A[q * N + k];
          A[p * N + k] = c * apk - s * aqk;
          A[q * N + k] = s * apk + c * aqk;
        }
        for (int k = 0; k < N; ++k) {
          const T vkp = vectors[k * N + p], vkq = vectors[k * N + q];
          vectors[k * N + p] = c * vkp - s * vkq;
          vectors[k * N + q] = s * vkp + c * vkq;
        }
      }
    }
  }
  for (int i = 0; i < N; ++i) values[i] = A[i * N + i];
}

/// Unit eigenvector of the smallest eigenvalue of a symmetric A (N, N), which is destroyed. Returns that
/// eigenvalue.
template <class T, int N>
SPORTCORE_HD T smallest_eigenvector(T* A, T* vector) {
  T values[N], vectors[N * N];
  jacobi_eigen<T, N>(A, values, vectors);
  int best = 0;
  for (int i = 1; i < N; ++i)
    if (values[i] < values[best]) best = i;
  for (int i = 0; i < N; ++i) vector[i] = vectors[i * N + best];
  return values[best];
}

/// Largest eigenvalue of a packed symmetric 3x3 matrix in closed form (Smith 1961, "Eigenvalues of a
/// symmetric 3x3 matrix").
template <class T>
SPORTCORE_HD T sym3_largest_eigenvalue(const T* A) {
  const T mean = (A[0] + A[3] + A[5]) / T(3);
  const T a = A[0] - mean, b = A[3] - mean, c = A[5] - mean;
  const T off = square(A[1]) + square(A[2]) + square(A[4]);
  const T p2 = (a * a + b * b + c * c + T(2) * off) / T(6);
  if (!(p2 > T(0))) return mean;
  const T p = std::sqrt(p2);
  const T det = a * (b * c - A[4] * A[4]) - A[1] * (A[1] * c - A[4] * A[2]) + A[2] * (A[1] * A[4] - b * A[2]);
  T r = det / (T(2) * p2 * p);
  r = r < T(-1) ? T(-1) : (r > T(1) ? T(1) : r);
  return mean + T(2) * p * std::cos(std::acos(r) / T(3));
}

// ---- rotations
// -------------------------------------------------------------------------------------------------

/// R = exp([w]x), Rodrigues' formula; w is an axis times an angle (rad).
template <class T>
SPORTCORE_HD void so3_exp(const T* w, T* R) {
  const T t2 = dot3(w, w);
  T a, b;  // sin(t)/t and (1 - cos(t))/t^2
  if (t2 < T(1e-8)) {
    a = T(1) - t2 / T(6);
    b = T(0.5) - t2 / T(24);
  } else {
    const T t = std::sqrt(t2), h = std::sin(t / T(2));
    a = std::sin(t) / t;
    b = T(2) * h * h / t2;
  }
  R[0] = T(1) - b * (w[1] * w[1] + w[2] * w[2]);
  R[1] = b * w[0] * w[1] - a * w[2];
  R[2] = b * w[0] * w[2] + a * w[1];
  R[3] = b * w[0] * w[1] + a * w[2];
  R[4] = T(1) - b * (w[0] * w[0] + w[2] * w[2]);
  R[5] = b * w[1] * w[2] - a * w[0];
  R[6] = b * w[0] * w[2] - a * w[1];
  R[7] = b * w[1] * w[2] + a * w[0];
  R[8] = T(1) - b * (w[0] * w[0] + w[1] * w[1]);
}

/// w with exp([w]x) = R and |w| <= pi. By way of the unit quaternion, so that angles near pi keep their
/// accuracy.
template <class T>
SPORTCORE_HD void so3_log(const T* R, T* w) {
  T q[4];  // w, x, y, z; the branch with the largest divisor (Shepperd 1978)
  const T trace = R[0] + R[4] + R[8];
  if (trace > R[0] && trace > R[4] && trace > R[8]) {
    q[0] = T(1) + trace;
    q[1] = R[7] - R[5];
    q[2] = R[2] - R[6];
    q[3] = R[3] - R[1];
  } else if (R[0] >= R[4] && R[0] >= R[8]) {
    q[0] = R[7] - R[5];
    q[1] = T(1) + R[0] - R[4] - R[8];
    q[2] = R[1] + R[3];
    q[3] = R[2] + R[6];
  } else if (R[4] >= R[8]) {
    q[0] = R[2] - R[6];
    q[1] = R[1] + R[3];
    q[2] = T(1) - R[0] + R[4] - R[8];
    q[3] = R[5] + R[7];
  } else {
    q[0] = R[3] - R[1];
    q[1] = R[2] + R[6];
    q[2] = R[5] + R[7];
    q[3] = T(1) - R[0] - R[4] + R[8];
  }
  const T n = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const T sign = q[0] < T(0) ? T(-1) : T(1);
  for (int i = 0; i < 4; ++i) q[i] *= sign / n;
  const T v = std::sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const T s = v < T(1e-12) ? T(2) : T(2) * std::atan2(v, q[0]) / v;
  for (int i = 0; i < 3; ++i) w[i] = s * q[i + 1];
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Linear blend skinning of one vertex and its derivatives; T is a scalar or a pack of lanes (lanes.h).
///
/// With A_k the transform (3, 4) of bone k and w_k its weight, M = sum_k w_k A_k and y = M (x, 1). For a
/// gradient g by y: by x it is the left 3x3 of M, transposed, times g; by A_k it is w_k g (x, 1)^T; by w_k it
/// is g . A_k (x, 1).
#pragma once

#include "sportcore/hd.h"

namespace sportcore {

/// M += w A, both (3, 4).
template <class T>
SPORTCORE_HD void blend_add(T w, const T* A, T* M) {
  for (int i = 0; i < 12; ++i) M[i] += w * A[i];
}

/// y = M (x, 1).
template <class T>
SPORTCORE_HD void transform_point(const T* M, const T* x, T* y) {
  for (int r = 0; r < 3; ++r)
    y[r] = M[4 * r] * x[0] + (M[4 * r + 1] * x[1] + (M[4 * r + 2] * x[2] + M[4 * r + 3]));
}

/// out = R^T g, with R the left 3x3 of M.
template <class T>
SPORTCORE_HD void rotate_back(const T* M, const T* g, T* out) {
  for (int c = 0; c < 3; ++c) out[c] = M[c] * g[0] + (M[4 + c] * g[1] + M[8 + c] * g[2]);
}

/// D += w g (x, 1)^T, a matrix (3, 4).
template <class T>
SPORTCORE_HD void outer_add(T w, const T* g, const T* x, T* D) {
  for (int r = 0; r < 3; ++r) {
    const T wg = w * g[r];
    for (int c = 0; c < 3; ++c) D[4 * r + c] += wg * x[c];
    D[4 * r + 3] += wg;
  }
}

/// g . A (x, 1).
template <class T>
SPORTCORE_HD T transform_dot(const T* A, const T* x, const T* g) {
  T y[3];
  transform_point(A, x, y);
  return y[0] * g[0] + (y[1] * g[1] + y[2] * g[2]);
}

}  // namespace sportcore

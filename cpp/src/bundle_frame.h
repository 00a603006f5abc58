// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// The points of one frame with the lengths between them: a small symmetric system of 3x3 blocks, factorised
// along its graph (a skeleton is nearly a tree, so that hardly anything fills in).
#pragma once

#include <cmath>
#include <cstdint>

#include "sportcore/linalg.h"

namespace sportcore::detail {

constexpr int kMaxFramePoints = 64;

class FrameFactor {
 public:
  // Starts a system of n points without couplings.
  void reset(int n) {
    n_ = n;
    for (int i = 0; i < n; ++i) neighbours_[i] = 0;
  }
  double* diagonal(int i) { return D_[i]; }  // (6) packed, to be filled

  // Adds to the block (a, b), a != b, the symmetric 3x3 matrix u u^T times s.
  void couple(int a, int b, const double* u, double s) {
    double* B = block(a, b);
    if (!(neighbours_[a] >> b & 1)) {
      for (int i = 0; i < 9; ++i) B[i] = 0;
      neighbours_[a] |= bit(b), neighbours_[b] |= bit(a);
    }
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 3; ++c) B[3 * r + c] += s * u[r] * u[c];
  }

  // Factorises; false when a pivot is not positive. Points with fewest couplings go first.
  bool factorise() {
    std::uint64_t left = n_ == 64 ? ~std::uint64_t{0} : bit(n_) - 1;
    for (int step = 0; step < n_; ++step) {
      int best = -1, fewest = 65;
      for (int i = 0; i < n_; ++i) {
        if (!(left >> i & 1)) continue;
        const int degree = count(neighbours_[i] & left);
        if (degree < fewest) fewest = degree, best = i;
        if (degree == 0) break;
      }
      const int j = best;
      left &= ~bit(j);
      order_[step] = j;
      later_[j] = neighbours_[j] & left;
      double* L = L_[j];
      const double* A = D_[j];
      if (!(A[0] > 0)) return false;
      const double l00 = std::sqrt(A[0]), l10 = A[1] / l00, l20 = A[2] / l00, d1 = A[3] - l10 * l10;
      if (!(d1 > 0)) return false;
      const double l11 = std::sqrt(d1), l21 = (A[4] - l20 * l10) / l11, d2 = A[5] - l20 * l20 - l21 * l21;
      if (!(d2 > 0)) return false;
      L[0] = 1 / l00, L[1] = l10, L[2] = l20, L[3] = 1 / l11, L[4] = l21, L[5] = 1 / std::sqrt(d2);
      for (std::uint64_t m = later_[j]; m; m &= m - 1) {  // U = L^-1 B(j, k)
        const int k = lowest(m);
        const double* B = block(j, k);
        double* U = U_[j][k];
        for (int c = 0; c < 3; ++c) {  // B(j, k) as seen from j; stored for min, transposed for the other way
          const double b0 = j < k ? B[c] : B[3 * c], b1 = j < k ? B[3 + c] : B[3 * c + 1],
                       b2 = j < k ? B[6 + c] : B[3 * c + 2];
          U[c] = b0 * L[0];
          U[3 + c] = (b1 - L[1] * U[c]) * L[3];
          U[6 + c] = (b2 - L[2] * U[c] - L[4] * U[3 + c]) * L[5];
        }
      }
      for (std::uint64_t m = later_[j]; m; m &= m - 1) {
        const int k = lowest(m);
        const double* U = U_[j][k];
        double* Dk = D_[k];
        Dk[0] -= U[0] * U[0] + U[3] * U[3] + U[6] * U[6];
        Dk[1] -= U[0] * U[1] + U[3] * U[4] + U[6] * U[7];
        Dk[2] -= U[0] * U[2] + U[3] * U[5] + U[6] * U[8];
        Dk[3] -= U[1] * U[1] + U[4] * U[4] + U[7] * U[7];
        Dk[4] -= U[1] * U[2] + U[4] * U[5] + U[7] * U[8];
        Dk[5] -= U[2] * U[2] + U[5] * U[5] + U[8] * U[8];
        for (std::uint64_t q = m & (m - 1); q; q &= q - 1) {  // fill: block (k, l), k < l
          const int l = lowest(q);
          const double* V = U_[j][l];
          double* B = block(k, l);
          if (!(neighbours_[k] >> l & 1)) {
            for (int i = 0; i < 9; ++i) B[i] = 0;
            neighbours_[k] |= bit(l), neighbours_[l] |= bit(k);
          }
          for (int r = 0; r < 3; ++r)
            for (int c = 0; c < 3; ++c)
              B[3 * r + c] -= U[r] * V[c] + U[3 + r] * V[3 + c] + U[6 + r] * V[6 + c];
        }
      }
    }
    return true;
  }

  int size() const { return n_; }
  int order(int step) const { return order_[step]; }
  std::uint64_t later(int j) const { return later_[j]; }        // the coupled points eliminated after j
  const double* lower(int j) const { return L_[j]; }            // 1/l00, l10, l20, 1/l11, l21, 1/l22
  const double* upper(int j, int k) const { return U_[j][k]; }  // (3, 3) L_j^-1 B(j, k)

  // y <- L^-1 y for the rows of point j (three columns apart by stride).
  void forward(int j, double* y) const {
    const double* L = L_[j];
    y[0] *= L[0];
    y[1] = (y[1] - L[1] * y[0]) * L[3];
    y[2] = (y[2] - L[2] * y[0] - L[4] * y[1]) * L[5];
  }

  // Solves for one right-hand side (n, 3), in place.
  void solve(double* x) const {
    for (int step = 0; step < n_; ++step) {
      const int j = order_[step];
      double* y = x + 3 * j;
      forward(j, y);
      for (std::uint64_t m = later_[j]; m; m &= m - 1) {
        const int k = lowest(m);
        double v[3];
        mat3_tvec(U_[j][k], y, v);
        for (int i = 0; i < 3; ++i) x[3 * k + i] -= v[i];
      }
    }
    for (int step = n_ - 1; step >= 0; --step) {
      const int j = order_[step];
      double* y = x + 3 * j;
      for (std::uint64_t m = later_[j]; m; m &= m - 1) {
        const int k = lowest(m);
        double v[3];
        mat3_vec(U_[j][k], x + 3 * k, v);
        for (int i = 0; i < 3; ++i) y[i] -= v[i];
      }
      const double* L = L_[j];
      y[2] *= L[5];
      y[1] = (y[1] - L[4] * y[2]) * L[3];
      y[0] = (y[0] - L[1] * y[1] - L[2] * y[2]) * L[0];
    }
  }

  static int lowest(std::uint64_t m) { return __builtin_ctzll(m); }

 private:
  static std::uint64_t bit(int i) { return std::uint64_t{1} << i; }
  static int count(std::uint64_t m) { return __builtin_popcountll(m); }
  double* block(int a, int b) { return a < b ? B_[a][b] : B_[b][a]; }

  int n_ = 0;
  int order_[kMaxFramePoints];
  std::uint64_t neighbours_[kMaxFramePoints], later_[kMaxFramePoints];
  double D_[kMaxFramePoints][6], L_[kMaxFramePoints][6];
  double B_[kMaxFramePoints][kMaxFramePoints][9], U_[kMaxFramePoints][kMaxFramePoints][9];
};

}  // namespace sportcore::detail

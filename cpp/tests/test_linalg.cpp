// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "check.h"
#include "sportcore/angles.h"
#include "sportcore/linalg.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

void rotations() {
  auto rng = random_for("rotations");
  std::normal_distribution<double> normal;
  for (double angle : {0.0, 1e-9, 1e-4, 0.5, 2.0, 3.1, 3.14159, 3.141592653}) {
    double w[3], R[9], back[3], again[9];
    for (double& x : w) x = normal(rng);
    const double n = std::sqrt(dot3(w, w));
    for (double& x : w) x *= angle / n;
    so3_exp(w, R);
    double RRt = 0;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) RRt = std::max(RRt, std::abs(dot3(R + 3 * i, R + 3 * j) - (i == j)));
    expect_near(RRt, 0, 1e-14, "exp is orthonormal");
    so3_log(R, back);
    so3_exp(back, again);
    for (int i = 0; i < 9; ++i) expect_near(again[i], R[i], 1e-13, "exp(log(R)) = R");
    for (int i = 0; i < 3; ++i) expect_near(back[i], w[i], 1e-7, "log(exp(w)) = w");
  }
}

template <class T>
void angles() {
  const T eps = std::numeric_limits<T>::epsilon();
  for (int i = 0; i <= 20000; ++i) {
    const T x = T(std::exp(-12 + 26.0 * i / 20000)), angle = T(1.5707 * i / 20000);
    expect_near(atan_positive(x) / T(std::atan(double(x))), 1, 4 * eps, "atan");
    if (i > 0)  // the cosine, of which the error is absolute, divides
      expect_near(tan_acute(angle) / T(std::tan(double(angle))), 1, eps * (8 + 4 / std::cos(double(angle))),
                  "tan");
  }
  expect_near(atan_positive(T(0)), 0, 0, "atan 0");
  expect_near(tan_acute(T(0)), 0, 0, "tan 0");
}

void symmetric() {
  auto rng = random_for("symmetric");
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 100; ++trial) {
    double A[6] = {0}, b[3], x[3], inverse[6];
    for (int k = 0; k < 4; ++k) {
      double a[3] = {normal(rng), normal(rng), normal(rng)};
      sym3_add_outer(A, a, 1.0);
    }
    for (double& v : b) v = normal(rng);
    const double quality = sym3_inverse(A, inverse);
    expect(quality > 0 && quality <= 1 + 1e-12, "quality lies in (0, 1]");
    sym3_vec(inverse, b, x);
    double back[3], full[9] = {A[0], A[1], A[2], A[1], A[3], A[4], A[2], A[4], A[5]},
                    solved[3] = {b[0], b[1], b[2]};
    sym3_vec(A, x, back);
    for (int i = 0; i < 3; ++i) expect_near(back[i], b[i], 1e-8, "A inv(A) b = b");
    double factor[9];
    std::copy(full, full + 9, factor);
    expect(cholesky_solve<double, 3>(factor, solved), "positive definite");
    for (int i = 0; i < 3; ++i)
      expect_near(solved[i], x[i], 1e-8 * (1 + std::abs(x[i])), "Cholesky = inverse");
    double values[3], vectors[9], copy[9], v[3];
    std::copy(full, full + 9, copy);
    jacobi_eigen<double, 3>(copy, values, vectors);
    expect_near(*std::max_element(values, values + 3), sym3_largest_eigenvalue(A), 1e-10,
                "largest eigenvalue");
    std::copy(full, full + 9, copy);
    const double least = smallest_eigenvector<double, 3>(copy, v);
    double Av[3];
    mat3_vec(full, v, Av);
    for (int i = 0; i < 3; ++i) expect_near(Av[i], least * v[i], 1e-12, "A v = lambda v");
    expect_near(least, *std::min_element(values, values + 3), 1e-12, "smallest eigenvalue");
  }
  double singular[9] = {1, 1, 0, 1, 1, 0, 0, 0, 1}, b[3] = {1, 1, 1};
  expect(!cholesky_solve<double, 3>(singular, b), "a singular matrix is refused");
}

}  // namespace

int main() {
  angles<float>();
  angles<double>();
  rotations();
  symmetric();
  return finish("linalg");
}

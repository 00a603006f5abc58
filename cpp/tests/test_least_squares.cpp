// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "check.h"
#include "sportcore/error.h"
#include "sportcore/least_squares.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

void losses() {
  for (Loss loss : {Loss::kTrivial, Loss::kHuber, Loss::kCauchy, Loss::kGemanMcClure}) {
    const std::string name = "loss " + std::to_string(static_cast<int>(loss));
    expect_near(loss_value(loss, 0.0, 2.0), 0, 0, name + " at 0");
    expect_near(loss_weight(loss, 0.0, 2.0), 1, 0, name + " slope at 0");
    for (double s : {0.1, 1.0, 3.0, 5.0, 50.0}) {
      const double h = 1e-6 * s;
      const double numeric = (loss_value(loss, s + h, 2.0) - loss_value(loss, s - h, 2.0)) / (2 * h);
      expect_near(loss_weight(loss, s, 2.0), numeric, 1e-8, name + ": the weight is the derivative");
    }
  }
}

/// Rosenbrock's valley as residuals (10 (y - x^2), 1 - x): the minimum is (1, 1).
void valley() {
  DenseProblem p;
  p.n_params = 2;
  p.n_residuals = 2;
  p.residuals = [](const double* x, double* r) {
    r[0] = 10 * (x[1] - x[0] * x[0]);
    r[1] = 1 - x[0];
  };
  p.jacobian = [](const double* x, double* J) {
    J[0] = -20 * x[0];
    J[1] = 10;
    J[2] = -1;
    J[3] = 0;
  };
  std::vector<double> x = {-1.2, 1.0};
  const LmResult result = minimize_dense(p, x, LmOptions());
  expect(result.converged && result.cost < result.initial_cost, "the valley converges");
  expect_near(x[0], 1, 1e-8, "valley x");
  expect_near(x[1], 1, 1e-8, "valley y");
}

/// A line through points of which a fifth are far off: a robust loss finds it, plain least squares does not.
void line_with_outliers() {
  auto rng = random_for("line");
  std::normal_distribution<double> noise(0, 0.01);
  const int n = 200;
  std::vector<double> t(n), y(n);
  for (int i = 0; i < n; ++i) {
    t[i] = i / double(n);
    y[i] = 2 * t[i] + 1 + noise(rng) + (i % 5 == 0 ? 3.0 : 0.0);
  }
  DenseProblem p;
  p.n_params = 2;
  p.n_residuals = n;
  p.residuals = [&](const double* x, double* r) {
    for (int i = 0; i < n; ++i) r[i] = (x[0] * t[i] + x[1] - y[i]) / 0.01;
  };
  p.jacobian = [&](const double*, double* J) {
    for (int i = 0; i < n; ++i) {
      J[2 * i] = t[i] / 0.01;
      J[2 * i + 1] = 1 / 0.01;
    }
  };
  for (Loss loss : {Loss::kTrivial, Loss::kHuber, Loss::kCauchy, Loss::kGemanMcClure}) {
    p.loss = loss;
    p.loss_scale = 2;
    std::vector<double> x = {1.9, 1.1}, covariance;
    const LmResult result = minimize_dense(p, x, LmOptions(), &covariance);
    expect(result.converged, "line " + std::to_string(static_cast<int>(loss)) + " " + to_string(result.stop));
    const double error = std::abs(x[0] - 2) + std::abs(x[1] - 1);
    expect(loss == Loss::kTrivial ? error > 0.3 : error < 0.03, "line error " + std::to_string(error));
    expect(covariance[0] > 0 && covariance[3] > 0, "covariance");
  }
}

void refusals() {
  DenseProblem p;
  p.n_params = 1;
  p.n_residuals = 3;
  p.block_size = 2;
  std::vector<double> x = {0.0};
  bool thrown = false;
  try {
    minimize_dense(p, x, LmOptions());
  } catch (const InputError&) {
    thrown = true;
  }
  expect(thrown, "a block size that does not divide is refused");
  p.block_size = 1;
  p.residuals = [](const double*, double* r) { r[0] = r[1] = r[2] = std::nan(""); };
  p.jacobian = [](const double*, double* J) { J[0] = J[1] = J[2] = 0; };
  const LmResult result = minimize_dense(p, x, LmOptions());
  expect(!result.converged && result.stop == LmStop::kInvalidStart, "a start outside the domain is reported");
}

}  // namespace

int main() {
  losses();
  valley();
  line_with_outliers();
  refusals();
  return finish("least_squares");
}

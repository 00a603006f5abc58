// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Robust Levenberg-Marquardt in three separate parts: losses, normal equations, and the damping loop.
///
/// A refiner is residual + Jacobian + step. The loop `levenberg_marquardt` knows nothing of either; it talks
/// to a problem that fills its own normal equations (dense, or with a Schur complement) and can be asked for
/// a step.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sportcore/linalg.h"
#include "sportcore/losses.h"

namespace sportcore {

// ---- the damping loop
// ------------------------------------------------------------------------------------------

struct LmOptions {
  int max_iterations = 100;
  double initial_damping = 1e-4;  // lambda, relative to the diagonal of the normal matrix
  double min_damping = 1e-12;
  double max_damping = 1e12;
  double cost_tolerance = 1e-12;      // relative decrease of the cost that counts as converged
  double gradient_tolerance = 1e-12;  // largest entry of the gradient that counts as converged
  double step_tolerance = 1e-12;      // step norm relative to the parameter norm that counts as converged
};

enum class LmStop : int {
  kGradient = 0,
  kCost = 1,
  kStep = 2,
  kMaxIterations = 3,
  kMaxDamping = 4,
  kInvalidStart = 5
};

struct LmResult {
  bool converged = false;
  LmStop stop = LmStop::kMaxIterations;
  int iterations = 0;       // linear systems solved
  double initial_cost = 0;  // half the sum of the losses
  double cost = 0;
  double gradient_max = 0;
  double damping = 0;
};

/// Levenberg-Marquardt with Nielsen's damping (Madsen, Nielsen & Tingleff 2004, algorithm 3.16).
///
/// Problem must offer:
///   double linearize(const Params&)      fill the normal equations at the parameters; return half the robust
///   cost
///                                        (NaN or infinite: outside the domain)
///   double cost(const Params&)           the same cost alone
///   double gradient_max()                largest absolute gradient entry of the last linearisation
///   bool solve(double damping, double* predicted, double* relative_step)
///                                        solve (H + damping diag H) d = -g; predicted decrease; |d| /
///                                        |parameters|
///   Params moved()                       the parameters after the last solved step
template <class Problem, class Params>
LmResult levenberg_marquardt(Problem& problem, Params& params, const LmOptions& options,
                             const std::function<void(const LmResult&)>& callback = nullptr) {
  LmResult result;
  result.cost = result.initial_cost = problem.linearize(params);
  result.gradient_max = problem.gradient_max();
  result.damping = options.initial_damping;
  if (!is_finite(result.cost)) {
    result.stop = LmStop::kInvalidStart;
    return result;
  }
  double growth = 2.0;
  while (true) {
    if (result.gradient_max <= options.gradient_tolerance) {
      result.stop = LmStop::kGradient;
      result.converged = true;
      break;
    }
    if (result.iterations >= options.max_iterations) {
      result.stop = LmStop::kMaxIterations;
      break;
    }
    if (result.damping > options.max_damping) {
      result.stop = LmStop::kMaxDamping;
      break;
    }
    ++result.iterations;
    double predicted = 0, relative_step = 0;
    bool accepted = false;
    if (problem.solve(result.damping, &predicted, &relative_step)) {
      // The last step is taken too: what the tolerance does not look at (points, say) may have far to go.
      const bool last = relative_step <= options.step_tolerance;
      Params candidate = problem.moved();
      const double cost = problem.cost(candidate);
      const double decrease = result.cost - cost;
      if (is_finite(cost) && decrease >= 0 && predicted > 0) {
        accepted = true;
        const bool small = decrease <= options.cost_tolerance * result.cost;
        const double ratio = decrease / predicted;
        const double shrink = 1.0 - std::pow(2.0 * ratio - 1.0, 3);
        result.damping = max_of(options.min_damping, result.damping * max_of(1.0 / 3.0, shrink));
        growth = 2.0;
        params = candidate;
        result.cost = problem.linearize(params);
        result.gradient_max = problem.gradient_max();
        if (callback) callback(result);
        if (small && !last) {
          result.stop = LmStop::kCost;
          result.converged = true;
          break;
        }
      }
      if (last) {
        result.stop = LmStop::kStep;
        result.converged = true;
        break;
      }
    }
    if (!accepted) {
      result.damping *= growth;
      growth *= 2.0;
    }
  }
  return result;
}

// ---- a dense problem from functions
// ----------------------------------------------------------------------------

/// Residual blocks r_i(x) of equal size and their Jacobians, for problems of up to a few hundred unknowns.
struct DenseProblem {
  int n_params = 0;
  int n_residuals = 0;  // all scalars together; a multiple of block_size
  int block_size = 1;   // the loss acts on the squared norm of each block
  Loss loss = Loss::kTrivial;
  double loss_scale = 1.0;
  /// residuals(x, r): r (n_residuals). NaN means that x lies outside the domain and the step is refused.
  std::function<void(const double* x, double* r)> residuals;
  /// jacobian(x, J): J (n_residuals, n_params), row-major.
  std::function<void(const double* x, double* J)> jacobian;
};

/// Minimises 1/2 sum_i rho(|r_i|^2). x (n_params) is the start and becomes the result. When `covariance` is
/// not null it receives (J^T W J)^-1 (n_params, n_params), row-major, for residuals in units of their
/// deviation; NaN when singular.
SPORTCORE_API LmResult minimize_dense(const DenseProblem& problem, std::vector<double>& x,
                                      const LmOptions& options, std::vector<double>* covariance = nullptr);

/// Words for LmStop, as they appear in reports.
SPORTCORE_API std::string to_string(LmStop stop);

}  // namespace sportcore

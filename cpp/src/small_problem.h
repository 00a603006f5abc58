// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// A problem of N unknowns on a manifold for levenberg_marquardt(): the caller brings residuals with Jacobians
// (accumulate) and the step (move); this adds damping and the solve.
#pragma once

#include <Eigen/Dense>

#include "sportcore/least_squares.h"

namespace sportcore::detail {

template <int N>
struct NormalEquations {
  Eigen::Matrix<double, N, N> H;  // lower triangle
  Eigen::Matrix<double, N, 1> g;

  // weight * (r J) of one scalar residual
  void add(const Eigen::Matrix<double, N, 1>& J, double r, double weight) {
    H.template selfadjointView<Eigen::Lower>().rankUpdate(J, weight);
    g += (weight * r) * J;
  }
};

// accumulate(const State&, NormalEquations<N>*) -> robust cost (null: cost alone); move(const State&, const
// double* d) -> State
template <int N, class State, class Accumulate, class Move>
class SmallProblem {
 public:
  SmallProblem(const Accumulate& accumulate, const Move& move) : accumulate_(accumulate), move_(move) {}

  double linearize(const State& state) {
    state_ = state;
    equations_.H.setZero();
    equations_.g.setZero();
    return 0.5 * accumulate_(state, &equations_);
  }
  double cost(const State& state) { return 0.5 * accumulate_(state, nullptr); }
  double gradient_max() const { return equations_.g.cwiseAbs().maxCoeff(); }
  bool solve(double damping, double* predicted, double* relative_step) {
    Eigen::Matrix<double, N, N> A = equations_.H.template selfadjointView<Eigen::Lower>();
    const Eigen::Matrix<double, N, 1> D = A.diagonal();
    A.diagonal() += damping * D;
    A.diagonal().array() += 1e-14 * D.sum() + 1e-300;
    step_ = A.ldlt().solve(-equations_.g);
    *relative_step = step_.norm();
    *predicted = 0.5 * (damping * step_.cwiseAbs2().dot(D) - step_.dot(equations_.g));
    return step_.allFinite();
  }
  State moved() const { return move_(state_, step_.data()); }

 private:
  const Accumulate& accumulate_;
  const Move& move_;
  State state_{};
  NormalEquations<N> equations_;
  Eigen::Matrix<double, N, 1> step_;
};

template <int N, class State, class Accumulate, class Move>
LmResult minimize_small(State& state, const Accumulate& accumulate, const Move& move, int max_iterations) {
  SmallProblem<N, State, Accumulate, Move> problem(accumulate, move);
  LmOptions options;
  options.max_iterations = max_iterations;
  options.cost_tolerance = 1e-10;
  options.step_tolerance = 1e-11;
  options.max_damping = 1e6;
  return levenberg_marquardt(problem, state, options);
}

}  // namespace sportcore::detail

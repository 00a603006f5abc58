// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/least_squares.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <cmath>

#include "sportcore/error.h"

namespace sportcore {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Normal equations of a DenseProblem with the first-order robust weights (Triggs correction without the
/// second-order term, which keeps the normal matrix positive semi-definite).
class DenseNormalEquations {
 public:
  explicit DenseNormalEquations(const DenseProblem& problem)
      : problem_(problem), r_(problem.n_residuals), J_(problem.n_residuals, problem.n_params) {}

  double cost(const std::vector<double>& x) {
    problem_.residuals(x.data(), r_.data());
    double sum = 0;
    for (int i = 0; i < r_.size(); i += problem_.block_size) {
      const double s = r_.segment(i, problem_.block_size).squaredNorm();
      sum += loss_value(problem_.loss, s, problem_.loss_scale);
    }
    return 0.5 * sum;
  }

  double linearize(const std::vector<double>& x) {
    const double value = cost(x);
    x_ = x;
    if (!std::isfinite(value)) return value;
    problem_.jacobian(x.data(), J_.data());
    for (int i = 0; i < r_.size(); i += problem_.block_size) {
      auto block = r_.segment(i, problem_.block_size);
      const double w = std::sqrt(loss_weight(problem_.loss, block.squaredNorm(), problem_.loss_scale));
      block *= w;
      J_.middleRows(i, problem_.block_size) *= w;
    }
    H_.setZero(problem_.n_params, problem_.n_params);
    H_.selfadjointView<Eigen::Lower>().rankUpdate(J_.transpose());
    g_ = J_.transpose() * r_;
    return value;
  }

  double gradient_max() const { return g_.size() ? g_.cwiseAbs().maxCoeff() : 0.0; }

  bool solve(double damping, double* predicted, double* relative_step) {
    Eigen::MatrixXd A = H_;
    const double floor = 1e-12 * (1.0 + H_.diagonal().maxCoeff());
    const Eigen::VectorXd D = damping * H_.diagonal().cwiseMax(floor);
    A.diagonal() += D;
    const Eigen::LDLT<Eigen::MatrixXd, Eigen::Lower> ldlt(A);
    if (ldlt.info() != Eigen::Success || !ldlt.isPositive()) return false;
    d_ = ldlt.solve(-g_);
    if (!d_.allFinite()) return false;
    *predicted = 0.5 * d_.dot(D.cwiseProduct(d_) - g_);
    const Eigen::Map<const Eigen::VectorXd> x(x_.data(), x_.size());
    *relative_step = d_.norm() / (x.norm() + 1e-12);
    return true;
  }

  std::vector<double> moved() const {
    std::vector<double> x = x_;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += d_[i];
    return x;
  }

  void covariance(std::vector<double>* out) const {
    const int n = problem_.n_params;
    out->assign(static_cast<std::size_t>(n) * n, std::nan(""));
    if (H_.rows() != n) return;  // the start was outside the domain
    const Eigen::VectorXd scale = H_.diagonal().cwiseSqrt().cwiseInverse();
    if (!scale.allFinite()) return;
    const Eigen::MatrixXd unit =
        scale.asDiagonal() * H_.selfadjointView<Eigen::Lower>().toDenseMatrix() * scale.asDiagonal();
    const Eigen::LDLT<Eigen::MatrixXd> ldlt(unit);
    if (ldlt.info() != Eigen::Success || !(ldlt.vectorD().minCoeff() > 1e-13)) return;
    Eigen::Map<RowMatrix>(out->data(), n, n) =
        scale.asDiagonal() * ldlt.solve(Eigen::MatrixXd::Identity(n, n)) * scale.asDiagonal();
  }

 private:
  const DenseProblem& problem_;
  std::vector<double> x_;
  Eigen::VectorXd r_, g_, d_;
  RowMatrix J_;
  Eigen::MatrixXd H_;
};

}  // namespace

LmResult minimize_dense(const DenseProblem& problem, std::vector<double>& x, const LmOptions& options,
                        std::vector<double>* covariance) {
  require(problem.n_params > 0 && static_cast<int>(x.size()) == problem.n_params,
          "minimize_dense: x has " + std::to_string(x.size()) + " entries, the problem " +
              std::to_string(problem.n_params) + " parameters.");
  require(problem.block_size > 0 && problem.n_residuals > 0 && problem.n_residuals % problem.block_size == 0,
          "minimize_dense: n_residuals must be a positive multiple of block_size.");
  require(problem.loss_scale > 0, "minimize_dense: loss_scale must be positive.");
  require(options.max_iterations >= 0 && options.initial_damping > 0,
          "minimize_dense: damping must be positive.");
  DenseNormalEquations equations(problem);
  const LmResult result = levenberg_marquardt(equations, x, options);
  if (covariance) {
    if (result.stop != LmStop::kInvalidStart) equations.linearize(x);
    equations.covariance(covariance);
  }
  return result;
}

std::string to_string(LmStop stop) {
  switch (stop) {
    case LmStop::kGradient:
      return "gradient";
    case LmStop::kCost:
      return "cost";
    case LmStop::kStep:
      return "step";
    case LmStop::kMaxIterations:
      return "max_iterations";
    case LmStop::kMaxDamping:
      return "max_damping";
    default:
      return "invalid_start";
  }
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/rotation_averaging.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "rotation.h"
#include "sportcore/error.h"

namespace sportcore {
namespace {

using Mat3 = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using Vec3 = Eigen::Vector3d;

Mat3 rotation_of(const RotationEdge& e) { return Eigen::Map<const Mat3>(e.R); }

Vec3 log_so3(const Mat3& R) {
  Vec3 w;
  so3_log(R.data(), w.data());
  return w;
}

void check_edges(std::size_t n, const RotationEdge* edges, std::size_t E) {
  for (std::size_t k = 0; k < E; ++k) {
    const RotationEdge& e = edges[k];
    require(e.first >= 0 && e.second >= 0 && static_cast<std::size_t>(std::max(e.first, e.second)) < n,
            "average_rotations: edge " + std::to_string(k) + " names a node that is not there.");
    require(e.first != e.second,
            "average_rotations: edge " + std::to_string(k) + " goes from a node to itself.");
    require(e.sigma_rad > 0 && std::isfinite(e.sigma_rad),
            "average_rotations: edge " + std::to_string(k) + " has no positive deviation.");
    const Mat3 R = rotation_of(e);
    require(R.allFinite() && (R * R.transpose() - Mat3::Identity()).norm() < 1e-5 && R.determinant() > 0,
            "average_rotations: edge " + std::to_string(k) + " holds no rotation.");
  }
}

// Edges at each node.
std::vector<std::vector<std::size_t>> edges_at(std::size_t n, const RotationEdge* edges, std::size_t E) {
  std::vector<std::vector<std::size_t>> at(n);
  for (std::size_t k = 0; k < E; ++k) at[edges[k].first].push_back(k), at[edges[k].second].push_back(k);
  return at;
}

int other_end(const RotationEdge& e, int node) { return e.first == node ? e.second : e.first; }

// The edge's rotation towards `to`.
Mat3 towards(const RotationEdge& e, int to) {
  return e.second == to ? rotation_of(e) : Mat3(rotation_of(e).transpose());
}

// How many triangles of measured edges an edge closes, within three deviations of the three; parallel edges
// count when they agree.
std::vector<double> support(const std::vector<std::vector<std::size_t>>& at, const RotationEdge* edges,
                            std::size_t E) {
  std::vector<double> out(E, 0.0);
  for (std::size_t k = 0; k < E; ++k) {
    const int a = edges[k].first, b = edges[k].second;
    const Mat3 R = rotation_of(edges[k]);
    const double s2 = edges[k].sigma_rad * edges[k].sigma_rad;
    for (std::size_t p : at[a]) {
      if (p == k) continue;
      const int c = other_end(edges[p], a);
      const double sp2 = s2 + edges[p].sigma_rad * edges[p].sigma_rad;
      if (c == b) {
        out[k] += log_so3(towards(edges[p], b) * R.transpose()).squaredNorm() < 9 * sp2;
        continue;
      }
      const Mat3 to_c = towards(edges[p], c);
      for (std::size_t q : at[b]) {
        if (other_end(edges[q], b) != c) continue;
        const double sq2 = sp2 + edges[q].sigma_rad * edges[q].sigma_rad;
        out[k] += log_so3(towards(edges[q], b) * to_c * R.transpose()).squaredNorm() < 9 * sq2;
      }
    }
  }
  return out;
}

// Spanning forest grown by the edge of the highest merit that leads out of what is reached (Prim). Fills R
// and component.
int span(std::size_t n, const RotationEdge* edges, const std::vector<std::vector<std::size_t>>& at,
         const std::vector<double>& merit, std::vector<Mat3>* R, std::vector<int>* component) {
  R->assign(n, Mat3::Identity());
  component->assign(n, -1);
  int count = 0;
  for (std::size_t root = 0; root < n; ++root) {
    if ((*component)[root] >= 0) continue;
    std::vector<int> reached{static_cast<int>(root)};
    (*component)[root] = count;
    while (true) {
      std::size_t best = 0;
      int from = -1;
      for (int node : reached)
        for (std::size_t k : at[node]) {
          if ((*component)[other_end(edges[k], node)] >= 0) continue;
          if (from < 0 || merit[k] > merit[best]) best = k, from = node;
        }
      if (from < 0) break;
      const int to = other_end(edges[best], from);
      (*R)[to] = towards(edges[best], to) * (*R)[from];
      (*component)[to] = count;
      reached.push_back(to);
    }
    ++count;
  }
  return count;
}

struct Solver {
  std::size_t n;
  const RotationEdge* edges;
  std::size_t E;
  const std::vector<int>& component;
  std::vector<int> column;  // of the unknowns; -1: the first node of a component is held
  int unknowns = 0;

  Solver(std::size_t n_, const RotationEdge* edges_, std::size_t E_, const std::vector<int>& component_)
      : n(n_), edges(edges_), E(E_), component(component_), column(n_, -1) {
    int seen = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (component[i] == seen) {
        ++seen;
      } else {
        column[i] = unknowns++;
      }
    }
  }

  Vec3 residual(const std::vector<Mat3>& R, std::size_t k) const {
    const RotationEdge& e = edges[k];
    return log_so3(R[e.second] * R[e.first].transpose() * rotation_of(e).transpose());
  }

  // Bounded loss of the residual in deviations, x^2 / (x^2 + scale^2).
  double cost(const std::vector<Mat3>& R, double scale) const {
    double sum = 0;
    for (std::size_t k = 0; k < E; ++k) {
      const double x2 = residual(R, k).squaredNorm() / (edges[k].sigma_rad * edges[k].sigma_rad);
      sum += x2 / (x2 + scale * scale);
    }
    return sum;
  }

  // One weighted step R_i <- R_i exp(w_i). Turned into the world frame, the residual of an edge changes by
  // w_second - w_first, so that the normal matrix is the graph's Laplacian, the same for the three axes.
  double step(std::vector<Mat3>& R, const std::vector<double>& weight) const {
    Eigen::MatrixXd L = Eigen::MatrixXd::Zero(unknowns, unknowns), rhs = Eigen::MatrixXd::Zero(unknowns, 3);
    for (std::size_t k = 0; k < E; ++k) {
      const RotationEdge& e = edges[k];
      const double w = weight[k] / (e.sigma_rad * e.sigma_rad);
      const Vec3 r = w * (R[e.second].transpose() * residual(R, k));
      const int a = column[e.first], b = column[e.second];
      if (a >= 0) L(a, a) += w, rhs.row(a) += r.transpose();
      if (b >= 0) L(b, b) += w, rhs.row(b) -= r.transpose();
      if (a >= 0 && b >= 0) L(a, b) -= w, L(b, a) -= w;
    }
    const double ridge = 1e-12 * std::max(L.trace(), 1e-300) / std::max(unknowns, 1);
    L.diagonal().array() += ridge;
    const Eigen::MatrixXd d = L.ldlt().solve(rhs);
    if (!d.allFinite()) return -1;
    double largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (column[i] < 0) continue;
      Vec3 w = d.row(column[i]).transpose();
      largest = std::max(largest, w.norm());
      if (w.norm() > 1) w.normalize();  // the linearisation does not reach further
      R[i] = detail::nearest_rotation(R[i] * detail::exp_so3(w));
    }
    return largest;
  }
};

struct Solution {
  std::vector<Mat3> R;
  double cost = 1e300;
  int iterations = 0;
  bool converged = false;
};

void solve(const Solver& solver, const RotationAveragingOptions& options, Solution* s) {
  std::vector<double> weight(solver.E, 1.0);
  if (solver.unknowns == 0) {
    s->cost = solver.cost(s->R, options.loss_scale);
    s->converged = true;
    return;
  }
  const auto reweigh = [&](const auto& f) {
    for (std::size_t k = 0; k < solver.E; ++k)
      weight[k] = f(solver.residual(s->R, k).norm() / solver.edges[k].sigma_rad);
  };
  for (int i = 0; i < options.max_l1_iterations; ++i, ++s->iterations) {
    reweigh([](double x) { return 1 / std::max(x, 1e-3); });
    const double moved = solver.step(s->R, weight);
    if (moved < 1e-4) break;
  }
  for (int i = 0; i < options.max_iterations; ++i, ++s->iterations) {
    reweigh([&](double x) {
      const double q = 1 + x * x / (options.loss_scale * options.loss_scale);
      return 1 / (q * q);
    });
    const double moved = solver.step(s->R, weight);
    if (moved < 0) break;
    if (moved < options.tolerance_rad) {
      s->converged = true;
      break;
    }
  }
  s->cost = solver.cost(s->R, options.loss_scale);
}

}  // namespace

RotationAveragingResult average_rotations(std::size_t n, const RotationEdge* edges, std::size_t E,
                                          const RotationAveragingOptions& options) {
  require(n > 0, "average_rotations needs at least one node.");
  require(E == 0 || edges, "average_rotations needs edges.");
  require(options.loss_scale > 0, "average_rotations: loss_scale must be positive.");
  check_edges(n, edges, E);
  RotationAveragingResult out;
  const auto at = edges_at(n, edges, E);
  // Trees by agreement with other edges first, by deviation first; both settle what the other leaves open.
  std::vector<double> agreed = support(at, edges, E), sure(E);
  const double most = E ? 1 + *std::max_element(agreed.begin(), agreed.end()) : 1;
  for (std::size_t k = 0; k < E; ++k) {
    sure[k] = 1 / edges[k].sigma_rad + 1e-6 * agreed[k] / most;
    agreed[k] += 1e-3 / (1 + edges[k].sigma_rad);
  }
  Solution best;
  for (const std::vector<double>* merit : {&agreed, &sure}) {
    Solution s;
    out.num_components = span(n, edges, at, *merit, &s.R, &out.component);
    const Solver solver(n, edges, E, out.component);
    solve(solver, options, &s);
    if (s.cost < best.cost - 1e-9) best = std::move(s);
  }
  const Solver solver(n, edges, E, out.component);
  for (std::size_t k = 0; k < E; ++k) {
    const double r = solver.residual(best.R, k).norm(), x = r / (edges[k].sigma_rad * options.loss_scale);
    out.residual_rad.push_back(r);
    out.weight.push_back(1 / ((1 + x * x) * (1 + x * x)));
  }
  for (const Mat3& R : best.R) out.R.insert(out.R.end(), R.data(), R.data() + 9);
  out.cost = best.cost;
  out.iterations = best.iterations;
  out.converged = best.converged;
  return out;
}

}  // namespace sportcore

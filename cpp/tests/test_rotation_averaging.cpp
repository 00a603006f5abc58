// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "check.h"
#include "sportcore/error.h"
#include "sportcore/rotation_averaging.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

void random_rotation(std::mt19937& rng, double angle_sigma, double R[9]) {
  std::normal_distribution<double> normal(0, angle_sigma);
  const double w[3] = {normal(rng), normal(rng), normal(rng)};
  so3_exp(w, R);
}

std::vector<double> random_truth(std::mt19937& rng, int n) {
  std::vector<double> R(9 * n);
  for (int i = 0; i < n; ++i) random_rotation(rng, 1.5, R.data() + 9 * i);
  return R;
}

void relative(const double* Rb, const double* Ra, double out[9]) {
  double at[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) at[3 * i + j] = Ra[3 * j + i];
  mat3_mul(Rb, at, out);
}

RotationEdge edge(const std::vector<double>& R, int a, int b, double noise, std::mt19937& rng) {
  RotationEdge e;
  e.first = a, e.second = b;
  double true_R[9], off[9];
  relative(R.data() + 9 * b, R.data() + 9 * a, true_R);
  random_rotation(rng, noise, off);
  mat3_mul(off, true_R, e.R);
  return e;
}

double angle(const double* a, const double* b) {
  double d[9], w[3];
  relative(a, b, d);
  so3_log(d, w);
  return std::sqrt(dot3(w, w));
}

// Worst error of a relative rotation among nodes of the same component.
double worst(const RotationAveragingResult& r, const std::vector<double>& truth) {
  double most = 0;
  const int n = static_cast<int>(r.component.size());
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j) {
      if (r.component[i] != r.component[j]) continue;
      double a[9], b[9];
      relative(r.R.data() + 9 * i, r.R.data() + 9 * j, a);
      relative(truth.data() + 9 * i, truth.data() + 9 * j, b);
      most = std::max(most, angle(a, b));
    }
  return most;
}

void exact() {
  for (int n : {2, 3, 7, 40}) {
    const std::string name = "exact, " + std::to_string(n) + " nodes";
    auto rng = random_for(name);
    const auto truth = random_truth(rng, n);
    std::vector<RotationEdge> edges;
    for (int i = 1; i < n; ++i) edges.push_back(edge(truth, i, i / 2, 0, rng));  // a tree, edges upwards
    if (n > 3) edges.push_back(edge(truth, 1, n - 1, 0, rng));
    const auto r = average_rotations(n, edges.data(), edges.size(), {});
    expect(r.converged && r.num_components == 1, name + ": one component");
    expect_near(worst(r, truth), 0, 1e-9, name);
    for (double x : r.residual_rad) expect_near(x, 0, 1e-9, name + ": residuals");
    for (int i = 0; i < 9; ++i) expect_near(r.R[i], i % 4 == 0, 1e-12, name + ": the first node is held");
  }
}

// Two edges between two nodes: along the line between them, by their inverse variances, where the loss is
// flat.
void two_edges_of_a_pair() {
  RotationEdge a, b;
  a.first = b.first = 0, a.second = b.second = 1;
  const double w[3] = {0.0, 0.0, 0.03};
  so3_exp(w, b.R);
  a.sigma_rad = 0.1, b.sigma_rad = 0.2;
  RotationAveragingOptions options;
  options.loss_scale = 1e4;
  const RotationEdge both[2] = {a, b};
  const auto r = average_rotations(2, both, 2, options);
  double found[3];
  so3_log(r.R.data() + 9, found);
  expect_near(found[2], 0.03 * 0.01 / (0.01 + 0.04), 1e-7, "the weighted mean of two edges");
}

// A ring of small noise: the misclosure spreads evenly when all edges are equally good.
void ring() {
  const int n = 8;
  std::vector<RotationEdge> edges(n);
  for (int i = 0; i < n; ++i) {
    const double w[3] = {0, 0, 6.283185307179586 / n + (i == 3 ? 0.016 : 0.0)};
    edges[i].first = i, edges[i].second = (i + 1) % n;
    so3_exp(w, edges[i].R);
  }
  RotationAveragingOptions options;
  options.loss_scale = 1e4;
  const auto r = average_rotations(n, edges.data(), n, options);
  for (double x : r.residual_rad) expect_near(x, 0.016 / n, 1e-7, "the misclosure spreads over a ring");
}

void noise_and_outliers() {
  for (int k = 0; k < 10; ++k) {
    const std::string name = "outliers, scene " + std::to_string(k);
    auto rng = random_for(name);
    const int n = 10;
    const auto truth = random_truth(rng, n);
    std::vector<RotationEdge> edges;
    std::vector<int> wrong;
    int count = 0;
    for (int i = 0; i < n; ++i)
      for (int j = i + 1; j < n; ++j) {
        RotationEdge e = edge(truth, i, j, 0.01, rng);
        e.sigma_rad = 0.01;
        wrong.push_back(++count % 4 == 0);
        if (wrong.back()) random_rotation(rng, 1.5, e.R);
        edges.push_back(e);
      }
    const auto r = average_rotations(n, edges.data(), edges.size(), {});
    expect(r.converged, name + ": converged");
    expect(worst(r, truth) < 0.03,
           name + ": a quarter of wrong edges changes nothing much, " + std::to_string(worst(r, truth)));
    for (std::size_t i = 0; i < edges.size(); ++i)
      expect(wrong[i] ? r.weight[i] < 0.03 : r.weight[i] > 0.03,
             name + ": the weights tell right from wrong");
  }
}

// Edges of two kinds: sharp ones of which one is wrong, and a coarse one for each pair that shows it.
void coarse_votes() {
  auto rng = random_for("coarse votes");
  const auto truth = random_truth(rng, 2);
  RotationEdge sharp = edge(truth, 0, 1, 0, rng), coarse = edge(truth, 0, 1, 0.05, rng), wrong = sharp;
  random_rotation(rng, 1.5, wrong.R);
  sharp.sigma_rad = wrong.sigma_rad = 0.01, coarse.sigma_rad = 0.1;
  const RotationEdge right[2] = {sharp, coarse}, bad[3] = {wrong, sharp, coarse};
  expect(worst(average_rotations(2, right, 2, {}), truth) < 0.002, "a coarse vote moves a sharp one little");
  expect(worst(average_rotations(2, bad, 3, {}), truth) < 0.002,
         "a coarse vote decides between two sharp ones");
}

// Renaming the nodes and writing an edge the other way round change nothing.
void invariances() {
  auto rng = random_for("invariances");
  const int n = 6;
  const auto truth = random_truth(rng, n);
  std::vector<RotationEdge> edges;
  for (int i = 0; i < n; ++i)
    for (int j = i + 1; j < n; ++j) edges.push_back(edge(truth, i, j, 0.02, rng));
  random_rotation(rng, 1.5, edges[4].R);
  const auto a = average_rotations(n, edges.data(), edges.size(), {});
  std::vector<RotationEdge> renamed = edges;
  for (RotationEdge& e : renamed) e.first = n - 1 - e.first, e.second = n - 1 - e.second;
  const auto b = average_rotations(n, renamed.data(), renamed.size(), {});
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j) {
      double x[9], y[9];
      relative(a.R.data() + 9 * i, a.R.data() + 9 * j, x);
      relative(b.R.data() + 9 * (n - 1 - i), b.R.data() + 9 * (n - 1 - j), y);
      expect_near(angle(x, y), 0, 1e-8, "nodes may be renamed");
    }
  std::vector<RotationEdge> transposed = edges;
  for (RotationEdge& e : transposed) {
    std::swap(e.first, e.second);
    double t[9];
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) t[3 * i + j] = e.R[3 * j + i];
    std::copy(t, t + 9, e.R);
  }
  const auto c = average_rotations(n, transposed.data(), transposed.size(), {});
  for (int i = 0; i < n; ++i)
    expect_near(angle(a.R.data() + 9 * i, c.R.data() + 9 * i), 0, 1e-8, "edges may be written either way");
  expect_near(a.cost, c.cost, 1e-9, "at the same cost");
}

void disconnected() {
  auto rng = random_for("disconnected");
  const auto truth = random_truth(rng, 6);
  std::vector<RotationEdge> edges = {edge(truth, 4, 1, 0, rng), edge(truth, 0, 3, 0, rng),
                                     edge(truth, 3, 5, 0, rng)};
  const auto r = average_rotations(6, edges.data(), edges.size(), {});
  expect(r.num_components == 3, "three components");
  const int want[6] = {0, 1, 2, 0, 1, 0};
  for (int i = 0; i < 6; ++i) expect(r.component[i] == want[i], "components in the order of their nodes");
  expect_near(worst(r, truth), 0, 1e-9, "each component is right");
  const auto none = average_rotations(3, nullptr, 0, {});
  expect(none.num_components == 3 && none.converged && none.cost == 0, "no edges at all");
}

void refusals() {
  auto rng = random_for("refusals");
  const auto truth = random_truth(rng, 2);
  const RotationEdge good = edge(truth, 0, 1, 0, rng);
  int caught = 0;
  for (int k = 0; k < 5; ++k) {
    RotationEdge e = good;
    if (k == 0) e.second = 2;
    if (k == 1) e.second = 0;
    if (k == 2) e.sigma_rad = 0;
    if (k == 3) e.R[0] = std::nan("");
    if (k == 4)
      for (double& v : e.R) v = -v;
    try {
      average_rotations(2, &e, 1, {});
    } catch (const InputError&) {
      ++caught;
    }
  }
  expect(caught == 5, "edges that make no sense are refused");
}

}  // namespace

int main() {
  exact();
  two_edges_of_a_pair();
  ring();
  noise_and_outliers();
  coarse_votes();
  invariances();
  disconnected();
  refusals();
  return finish("rotation_averaging");
}

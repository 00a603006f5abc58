// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Linear triangulation and the adjoints, against finite differences of the forward functions, for every
/// lens.
#include <algorithm>
#include <functional>

#include "check.h"
#include "sportcore/error.h"
#include "sportcore/project_backward.h"
#include "sportcore/triangulate_linear.h"
#include "sportcore/triangulate_linear_point.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

/// Cameras on a ring of 6 m around the origin, all looking at it.
struct Rig {
  std::vector<double> rows;
  std::vector<int> models;
  CameraRows view() const { return {rows.data(), models.data(), models.size()}; }
};

Rig ring(int n, const ModelCase& m) {
  Rig rig;
  for (int i = 0; i < n; ++i) {
    const Camera<double> c = example_camera(m.model, m.n);
    const double a = 6.283185307 * (i + 0.3) / n;
    const double R[9] = {-std::sin(a), std::cos(a), 0, 0, 0, -1, -std::cos(a), -std::sin(a), 0};
    rig.rows.insert(rig.rows.end(), {c.lens.fx, c.lens.fy, c.lens.cx, c.lens.cy});
    rig.rows.insert(rig.rows.end(), c.lens.k, c.lens.k + kMaxDistortion);
    rig.rows.insert(rig.rows.end(), R, R + 9);
    rig.rows.insert(rig.rows.end(), {0.1, -0.05 * i, 6.0});
    rig.models.push_back(m.model);
  }
  return rig;
}

struct Scene {
  Rig rig;
  std::size_t n;
  std::vector<double> X, uv, weight, grad_xyz, grad_uv;
};

Scene make_scene(const ModelCase& m, int n_cameras, std::size_t n) {
  Scene s{ring(n_cameras, m), n, {}, {}, {}, {}, {}};
  auto rng = random_for(m.name);
  std::uniform_real_distribution<double> u(-1, 1);
  const std::size_t views = n_cameras * n;
  for (std::size_t i = 0; i < 3 * n; ++i) s.X.push_back(u(rng));
  s.uv.resize(2 * views);
  project_rows(s.rig.view(), s.X.data(), n, s.uv.data());
  for (double& v : s.uv) v += u(rng);
  for (std::size_t i = 0; i < views; ++i) s.weight.push_back(1.5 + u(rng));
  for (std::size_t i = 0; i < 3 * n; ++i) s.grad_xyz.push_back(u(rng));
  for (std::size_t i = 0; i < 2 * views; ++i) s.grad_uv.push_back(u(rng));
  return s;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// The analytic gradient by x against central differences of `value`, which reads x.
void compare(const std::string& name, std::vector<double>& x, const std::vector<double>& gradient,
             double step, const std::function<double()>& value) {
  double largest = 0, worst = 0;
  for (double g : gradient) largest = std::max(largest, std::abs(g));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double kept = x[i], h = step * std::max(1.0, std::abs(kept));
    x[i] = kept + h;
    const double more = value();
    x[i] = kept - h;
    const double less = value();
    x[i] = kept;
    worst = std::max(worst, std::abs((more - less) / (2 * h) - gradient[i]));
  }
  expect(largest > 0, name + ": there is a gradient");
  expect(worst < 2e-6 * largest, name + ": gradient off by " + std::to_string(worst / largest));
}

void gradients(const ModelCase& m, int iterations) {
  Scene s = make_scene(m, 4, 5);
  const std::string name = std::string(m.name) + ", iterations " + std::to_string(iterations);
  TriangulateLinearOptions options;
  options.iterations = iterations;
  std::vector<double> xyz(3 * s.n), by_uv(s.uv.size()), by_weight(s.weight.size()), by_row(s.rig.rows.size());
  const auto value = [&] {
    triangulate_linear(s.rig.view(), s.uv.data(), s.weight.data(), s.n, xyz.data(), options);
    return dot(xyz, s.grad_xyz);
  };
  TriangulateLinearGradient<double> out{by_uv.data(), by_weight.data(), by_row.data()};
  triangulate_linear_backward(s.rig.view(), s.uv.data(), s.weight.data(), s.n, s.grad_xyz.data(), out,
                              options);
  compare(name + ", keypoints", s.uv, by_uv, 1e-6, value);
  compare(name + ", weights", s.weight, by_weight, 1e-5, value);
  compare(name + ", cameras", s.rig.rows, by_row, 1e-6, value);
}

void projection_gradients(const ModelCase& m) {
  Scene s = make_scene(m, 3, 21);
  std::vector<double> uv(s.uv.size()), by_X(s.X.size()), by_row(s.rig.rows.size());
  project_backward(s.rig.view(), s.X.data(), s.n, s.grad_uv.data(), by_X.data(), by_row.data());
  const auto value = [&] {
    project_rows(s.rig.view(), s.X.data(), s.n, uv.data());
    return dot(uv, s.grad_uv);
  };
  compare(std::string(m.name) + ", projection by points", s.X, by_X, 1e-6, value);
  compare(std::string(m.name) + ", projection by cameras", s.rig.rows, by_row, 1e-6, value);
}

/// The lanes against the same functions at scalar type, as a CUDA thread runs them.
template <class T>
void lanes_equal_scalars(const ModelCase& m, double tolerance) {
  const Scene s = make_scene(m, 4, 203);
  const std::vector<T> uv(s.uv.begin(), s.uv.end()), w(s.weight.begin(), s.weight.end()),
      g(s.grad_xyz.begin(), s.grad_xyz.end());
  std::vector<T> xyz(3 * s.n), by_uv(uv.size());
  triangulate_linear(s.rig.view(), uv.data(), w.data(), s.n, xyz.data());
  TriangulateLinearGradient<T> out;
  out.keypoints_px = by_uv.data();
  triangulate_linear_backward(s.rig.view(), uv.data(), w.data(), s.n, g.data(), out);
  double center[3] = {0, 0, 0};
  for (int c = 0; c < 4; ++c) {
    double at[3];
    position_from_row(s.rig.rows.data() + kCameraParameters * c, at);
    for (int k = 0; k < 3; ++k) center[k] += at[k] / 4;
  }
  LinearCamera<T> cameras[4];
  for (int c = 0; c < 4; ++c)
    cameras[c] = linear_camera<T>(s.rig.rows.data() + kCameraParameters * c, s.rig.models[c], center);
  double worst = 0, worst_gradient = 0, largest = 0;
  for (std::size_t i = 0; i < s.n; ++i) {
    T fields[4 * kRayFields], X[3];
    const Rays<T> rays{fields, 1, 4};
    for (int c = 0; c < 4; ++c)
      prepare_ray(cameras[c], uv[2 * (c * s.n + i)], uv[2 * (c * s.n + i) + 1], w[c * s.n + i], rays, c);
    expect(triangulate_rays<1>(cameras, rays, T(4), X), std::string(m.name) + ": solved");
    for (int k = 0; k < 3; ++k)
      worst = std::max(worst, std::abs(double(X[k]) + center[k] - double(xyz[3 * i + k])));
    LinearAdjoint<T, 2> state;
    const bool ok = triangulate_rays_adjoint<1>(cameras, rays, T(4), g.data() + 3 * i, state);
    for (int c = 0; c < 4; ++c) {
      T d[2], by_weight;
      ray_backward<false>(cameras[c], state, ok, rays.at(c, kRayX), rays.at(c, kRayY), rays.at(c, kRayWeight),
                          d, &by_weight, static_cast<T*>(nullptr));
      for (int k = 0; k < 2; ++k) {
        const double want = by_uv[2 * (c * s.n + i) + k];
        worst_gradient = std::max(worst_gradient, std::abs(double(d[k]) - want));
        largest = std::max(largest, std::abs(want));
      }
    }
  }
  expect_near(worst, 0, tolerance, std::string(m.name) + ": lanes against scalars");
  expect_near(worst_gradient, 0, 100 * tolerance * largest, std::string(m.name) + ": their gradients");
}

void many_cameras() {
  const Scene s = make_scene(model_cases()[2], 64, 50);
  std::vector<double> xyz(3 * s.n);
  triangulate_linear(s.rig.view(), s.uv.data(), static_cast<const double*>(nullptr), s.n, xyz.data());
  for (std::size_t i = 0; i < 3 * s.n; ++i) expect_near(xyz[i], s.X[i], 5e-3, "64 cameras");
}

void refusals() {
  Scene s = make_scene(model_cases()[0], 3, 2);
  std::vector<double> xyz(6);
  int thrown = 0;
  const auto attempt = [&](CameraRows rows, int iterations, double* out) {
    TriangulateLinearOptions options;
    options.iterations = iterations;
    try {
      triangulate_linear(rows, s.uv.data(), s.weight.data(), s.n, out, options);
    } catch (const InputError&) {
      ++thrown;
    }
  };
  CameraRows rows = s.rig.view();
  attempt(rows, 3, xyz.data());
  attempt(rows, -1, xyz.data());
  attempt(rows, 1, nullptr);
  rows.n_cameras = 0;
  attempt(rows, 1, xyz.data());
  rows.n_cameras = 65;
  attempt(rows, 1, xyz.data());
  s.rig.models[1] = 7;
  attempt(s.rig.view(), 1, xyz.data());
  expect(thrown == 6, "bad calls are refused");
}

}  // namespace

int main() {
  for (const ModelCase& m : model_cases()) {
    for (int iterations : {0, 1, 2}) gradients(m, iterations);
    projection_gradients(m);
    lanes_equal_scalars<double>(m, 1e-12);
    lanes_equal_scalars<float>(m, 5e-6);
  }
  many_cameras();
  refusals();
  return finish("triangulate_linear");
}

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "check.h"
#include "sportcore/error.h"
#include "sportcore/reproject.h"
#include "sportcore/triangulate.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

/// Cameras on a ring of 6 m around the origin, all looking at it.
std::vector<Camera<double>> ring(int n, const ModelCase& m) {
  std::vector<Camera<double>> cameras;
  for (int i = 0; i < n; ++i) {
    Camera<double> c = example_camera(m.model, m.n);
    const double a = 6.283185307 * i / n;
    const double z[3] = {-std::cos(a), -std::sin(a), 0}, x[3] = {-z[1], z[0], 0}, y[3] = {0, 0, -1};
    for (int k = 0; k < 3; ++k) {
      c.R[k] = -x[k];
      c.R[3 + k] = y[k];
      c.R[6 + k] = z[k];
    }
    c.t[0] = c.t[1] = 0;
    c.t[2] = 6;
    cameras.push_back(c);
  }
  return cameras;
}

template <class T>
void recovers(const ModelCase& m, int n_cameras, double tolerance) {
  const std::string name = std::string(m.name) + " with " + std::to_string(n_cameras) + " cameras";
  const auto cameras = ring(n_cameras, m);
  auto rng = random_for(name);
  std::uniform_real_distribution<double> u(-1, 1);
  const std::size_t n = 300;
  std::vector<T> X(3 * n), uv(2 * n * n_cameras), xyz(3 * n), cov(9 * n), residual(n * n_cameras);
  std::vector<std::uint8_t> status(n), views(n);
  for (T& v : X) v = T(u(rng));
  reproject(cameras.data(), cameras.size(), X.data(), n, uv.data());
  // one gross outlier where there are views to spare
  if (n_cameras >= 4)
    for (std::size_t i = 0; i < n; i += 3) uv[2 * (i % n_cameras * n + i)] += T(200);
  TriangulateOutput<T> out;
  out.xyz = xyz.data();
  out.status = status.data();
  out.covariance = cov.data();
  out.residual_px = residual.data();
  out.n_views = views.data();
  triangulate(cameras.data(), cameras.size(), uv.data(), static_cast<T*>(nullptr), static_cast<T*>(nullptr),
              n, out);
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (n_cameras == 2 && status[i] == 4) continue;  // on the line between the two cameras
    expect(status[i] == 0, name + ": status " + std::to_string(status[i]));
    for (int k = 0; k < 3; ++k)
      worst = std::max(worst, std::abs(double(xyz[3 * i + k]) - double(X[3 * i + k])));
    expect(cov[9 * i] > 0 && cov[9 * i + 4] > 0 && cov[9 * i + 8] > 0, name + ": covariance");
    expect(views[i] == (n_cameras >= 4 && i % 3 == 0 ? n_cameras - 1 : n_cameras), name + ": views");
  }
  expect_near(worst, 0, tolerance, name + ": worst error");
}

void refusals() {
  const auto cameras = ring(4, model_cases()[0]);
  std::vector<double> uv(8), xyz(3);
  std::vector<std::uint8_t> status(1);
  TriangulateOutput<double> out;
  out.xyz = xyz.data();
  out.status = status.data();
  TriangulateOptions options;
  int thrown = 0;
  const auto attempt = [&](std::size_t n_cameras) {
    try {
      triangulate(cameras.data(), n_cameras, uv.data(), nullptr, nullptr, 1, out, options);
    } catch (const InputError&) {
      ++thrown;
    } catch (const DeviceError&) {
      thrown += 100;
    }
  };
  attempt(0);
  attempt(65);
  options.min_views = 1;
  attempt(4);
  expect(thrown == 3, "bad calls are refused");
}

}  // namespace

int main() {
  for (const ModelCase& m : model_cases()) {
    for (int n : {3, 4, 8, 20}) recovers<double>(m, n, 1e-9);
    recovers<float>(m, 4, 2e-5);
  }
  recovers<double>(model_cases()[0], 64, 1e-9);
  refusals();
  return finish("triangulate");
}

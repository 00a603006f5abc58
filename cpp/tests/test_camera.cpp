// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Every Jacobian against central differences, and the inverse of every model.
#include "check.h"
#include "sportcore/camera.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

/// Compares column `column` of J (2, columns) with central differences of f(h) -> uv.
template <class F>
void check_column(const F& f, const double* J, int columns, int column, double h, const std::string& what) {
  double plus[2], minus[2];
  f(h, plus);
  f(-h, minus);
  for (int r = 0; r < 2; ++r) {
    const double numeric = (plus[r] - minus[r]) / (2 * h), analytic = J[r * columns + column];
    expect_near(analytic, numeric, 1e-5 * (1 + std::abs(numeric)),
                what + " row " + std::to_string(r) + " column " + std::to_string(column));
  }
}

void jacobians(const ModelCase& m) {
  auto rng = random_for(std::string("jacobians ") + m.name);
  std::uniform_real_distribution<double> u(-2, 2);
  for (int trial = 0; trial < 50; ++trial) {
    const Camera<double> camera = example_camera(m.model, m.n);
    // the last trials lie on the optical axis, where the fisheye needs its series
    double X[3] = {u(rng), u(rng), u(rng)};
    if (trial >= 45) {
      const double tiny = trial == 45 ? 0 : std::pow(10.0, -(trial - 44) * 2);
      const double Xc[3] = {tiny - camera.t[0], -camera.t[1], 1.0};
      mat3_tvec(camera.R, Xc, X);
    }
    double uv[2], JX[6], JP[12], JI[8], JD[16];
    if (!project_world(camera, X, uv, JX, JP, JI, JD)) continue;
    const std::string name = m.name;
    for (int k = 0; k < 3; ++k)
      check_column(
          [&](double h, double* out) {
            double Y[3] = {X[0], X[1], X[2]};
            Y[k] += h;
            project_world(camera, Y, out);
          },
          JX, 3, k, 1e-6, name + " point");
    for (int k = 0; k < 6; ++k)
      check_column(
          [&](double h, double* out) {
            Camera<double> moved = camera;
            double delta[6] = {0, 0, 0, 0, 0, 0};
            delta[k] = h;
            update_pose(delta, moved.R, moved.t);
            project_world(moved, X, out);
          },
          JP, 6, k, 1e-6, name + " pose");
    for (int k = 0; k < 4; ++k)
      check_column(
          [&](double h, double* out) {
            Camera<double> c = camera;
            double* p[4] = {&c.lens.fx, &c.lens.fy, &c.lens.cx, &c.lens.cy};
            *p[k] += h;
            project_world(c, X, out);
          },
          JI, 4, k, 1e-3, name + " intrinsics");
    const int n_k = m.model == kBrown ? 8 : (m.model == kFisheye ? 4 : 0);
    for (int k = 0; k < n_k; ++k)
      check_column(
          [&](double h, double* out) {
            Camera<double> c = camera;
            c.lens.k[k] += h;
            project_world(c, X, out);
          },
          JD, 8, k, 1e-6, name + " distortion");
  }
}

template <class T>
void inversion(const ModelCase& m, double tolerance) {
  const Intrinsics<T> lens = camera_cast<T>(example_camera(m.model, m.n)).lens;
  for (int row = 0; row <= 20; ++row) {
    for (int column = 0; column <= 20; ++column) {
      const T uv[2] = {T(column * 96), T(row * 54)};
      T x[2], back[2];
      expect(unproject(lens, uv, x), std::string(m.name) + ": the whole image has an inverse");
      const T X[3] = {x[0], x[1], T(1)};
      expect(project(lens, X, back), std::string(m.name) + ": in front");
      expect_near(back[0], uv[0], tolerance, std::string(m.name) + " u");
      expect_near(back[1], uv[1], tolerance, std::string(m.name) + " v");
    }
  }
}

void limits() {
  Camera<double> c = example_camera(kBrown, 4);
  c.lens.k[0] = -0.5;  // r (1 - r^2 / 2) has its maximum 0.544 at r = 0.816: nothing lies beyond
  c.lens.k[1] = c.lens.k[2] = c.lens.k[3] = 0;
  double x[2];
  const double inside[2] = {c.lens.cx + 0.54 * c.lens.fx, c.lens.cy},
               outside[2] = {c.lens.cx + 0.6 * c.lens.fx, c.lens.cy};
  expect(unproject(c.lens, inside, x) && x[0] < 0.8165, "the branch joined to the axis is taken");
  expect(!unproject(c.lens, outside, x) && std::isnan(x[0]), "outside the model's image there is no inverse");
  const double missing[2] = {std::nan(""), 0};
  for (int model : {kPinhole, kBrown, kFisheye}) {
    c.lens.model = model;
    expect(!unproject(c.lens, missing, x) && std::isnan(x[0]), "NaN in, NaN out");
    double uv[2];
    for (double z : {0.0, -1.0}) {
      const double X[3] = {0.1, 0.1, z};
      expect(!project(c.lens, X, uv) && std::isnan(uv[0]), "behind the camera is NaN");
    }
  }
}

}  // namespace

int main() {
  for (const ModelCase& m : model_cases()) {
    jacobians(m);
    inversion<double>(m, 1e-9);
    inversion<float>(m, 2e-3);
  }
  limits();
  return finish("camera");
}

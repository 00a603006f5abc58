// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Triangulates one point from three cameras and says how sure it is.
#include <sportcore/device.h>
#include <sportcore/error.h>
#include <sportcore/reproject.h>
#include <sportcore/triangulate.h>
#include <sportcore/version.h>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  namespace sc = sportcore;
  std::vector<sc::Camera<double>> cameras(3);
  for (int i = 0; i < 3; ++i) {
    sc::Camera<double>& c = cameras[i];
    c = {};
    c.lens.model = sc::kBrown;
    c.lens.n_distortion = 4;
    c.lens.fx = c.lens.fy = 1500;
    c.lens.cx = 960;
    c.lens.cy = 540;
    c.lens.k[0] = -0.1;
    const double turn[3] = {0, 0.4 * (i - 1), 0};
    sc::so3_exp(turn, c.R);
    c.t[2] = 6;
  }

  const double point[3] = {0.3, -0.2, 0.5};
  double seen[3 * 2];
  sc::reproject(cameras.data(), cameras.size(), point, 1, seen);

  double xyz[3], covariance[9];
  std::uint8_t status = 255;
  sc::TriangulateOutput<double> out;
  out.xyz = xyz;
  out.status = &status;
  out.covariance = covariance;
  const double* none = nullptr;
  sc::triangulate(cameras.data(), cameras.size(), seen, none, none, 1, out);

  double error = 0;
  for (int k = 0; k < 3; ++k) error = std::fmax(error, std::fabs(xyz[k] - point[k]));
  std::printf("sportcore %s, CUDA %s: (%.6f, %.6f, %.6f) m, sigma %.1f mm\n", sc::version(),
              sc::built_with_cuda() ? "built in" : "not built in", xyz[0], xyz[1], xyz[2],
              1000 * std::sqrt(covariance[0] + covariance[4] + covariance[8]));

  bool refused = false;
  try {
    sc::TriangulateOptions options;
    options.min_views = 1;
    sc::triangulate(cameras.data(), cameras.size(), seen, none, none, 1, out, options);
  } catch (const sc::InputError&) {
    refused = true;
  }
  return status == 0 && error < 1e-9 && refused ? 0 : 1;
}

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Synthetic scenes that several tests share.
#pragma once

#include <string>
#include <vector>

#include "check.h"
#include "sportcore/calibrate.h"

namespace sportcore::test {

/// n cameras on a ring of 6 m around the origin, all looking at it.
inline std::vector<Camera<double>> ring_of_cameras(int n, int model, int n_distortion) {
  std::vector<Camera<double>> cameras;
  for (int i = 0; i < n; ++i) {
    Camera<double> c = example_camera(model, n_distortion);
    const double a = 6.283185307179586 * i / n + 0.1;
    const double z[3] = {-std::cos(a), -std::sin(a), 0}, x[3] = {-std::sin(a), std::cos(a), 0};
    const double R[9] = {x[0], x[1], x[2], 0, 0, -1, z[0], z[1], z[2]};
    for (int k = 0; k < 9; ++k) c.R[k] = R[k];
    c.t[0] = c.t[1] = 0;
    c.t[2] = 6;
    cameras.push_back(c);
  }
  return cameras;
}

struct Scene {
  std::vector<Camera<double>> cameras;
  std::vector<double> points;  // (T, J, 3)
  std::vector<double> xy, weight;
  std::vector<Intrinsics<double>> lens;
  BodyObservations observations;
};

// C cameras on a ring around 12 joints that move, with lens distortion.
inline void make_scene(Scene& s, int C, int T, double noise_px, const std::string& name) {
  auto rng = random_for(name);
  std::normal_distribution<double> normal(0, 1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  const int J = 12;
  for (int c = 0; c < C; ++c) {
    Camera<double> cam = example_camera(kBrown, 5);
    const double a = 1.2 * c + 0.1;
    const double center[3] = {6 * std::cos(a), 6 * std::sin(a), 1.5 + 0.3 * c};
    double z[3] = {-center[0], -center[1], 1 - center[2]}, up[3] = {0, 0, 1}, x[3], y[3];
    const double n = std::sqrt(dot3(z, z));
    for (double& v : z) v /= n;
    cross3(z, up, x);
    const double m = std::sqrt(dot3(x, x));
    for (double& v : x) v /= m;
    cross3(z, x, y);
    for (int i = 0; i < 3; ++i) cam.R[i] = x[i], cam.R[3 + i] = y[i], cam.R[6 + i] = z[i];
    mat3_vec(cam.R, center, cam.t);
    for (double& v : cam.t) v = -v;
    s.cameras.push_back(cam);
    s.lens.push_back(cam.lens);
  }
  double body[12][3];
  for (auto& b : body) b[0] = 0.3 * uniform(rng), b[1] = 0.3 * uniform(rng), b[2] = 0.9 + 0.9 * uniform(rng);
  for (int t = 0; t < T; ++t)
    for (int j = 0; j < J; ++j) {
      s.points.push_back(body[j][0] + std::sin(0.11 * t) + 0.1 * std::sin(0.7 * t + j));
      s.points.push_back(body[j][1] + std::cos(0.07 * t) + 0.1 * std::cos(0.5 * t + 2 * j));
      s.points.push_back(body[j][2] + 0.05 * std::sin(0.9 * t));
    }
  for (int c = 0; c < C; ++c)
    for (int k = 0; k < T * J; ++k) {
      double uv[2];
      project_world(s.cameras[c], s.points.data() + 3 * k, uv);
      s.xy.push_back(uv[0] + noise_px * normal(rng));
      s.xy.push_back(uv[1] + noise_px * normal(rng));
      s.weight.push_back(1.0);
    }
  s.observations.num_cameras = C;
  s.observations.num_frames = T;
  s.observations.num_joints = J;
  s.observations.xy = s.xy.data();
  s.observations.weight = s.weight.data();
  s.observations.lens = s.lens.data();
}

}  // namespace sportcore::test

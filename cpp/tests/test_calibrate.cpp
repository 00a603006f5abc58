// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "check.h"
#include "sportcore/calibrate.h"
#include "sportcore/error.h"
#include "sportcore/essential.h"
#include "sportcore/resection.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

struct Scene {
  std::vector<Camera<double>> cameras;
  std::vector<double> points;  // (T, J, 3)
  std::vector<double> xy, weight;
  std::vector<Intrinsics<double>> lens;
  BodyObservations observations;
};

// C cameras on a ring around 12 joints that move, with lens distortion.
void make_scene(Scene& s, int C, int T, double noise_px, const std::string& name) {
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

double relative_rotation_error(const Camera<double>& a, const Camera<double>& b, const Camera<double>& a0,
                               const Camera<double>& b0) {
  double bt[9], b0t[9], r[9], r0t[9], d[9], w[3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) bt[3 * i + j] = b.R[3 * j + i], b0t[3 * i + j] = a0.R[3 * j + i];
  mat3_mul(a.R, bt, r);      // a from b
  mat3_mul(b0.R, b0t, r0t);  // b from a, truth
  mat3_mul(r, r0t, d);
  so3_log(d, w);
  return std::sqrt(dot3(w, w));
}

void clean_and_noisy() {
  for (int C : {2, 3, 5}) {
    const std::string name = std::to_string(C) + " cameras";
    Scene clean, noisy;
    make_scene(clean, C, 60, 0.0, name);
    make_scene(noisy, C, 60, 1.0, name);
    const CalibrateResult exact = calibrate_bodies(clean.observations, CalibrateOptions());
    const CalibrateResult close = calibrate_bodies(noisy.observations, CalibrateOptions());
    for (int c = 1; c < C; ++c) {
      expect(exact.connected[c] && close.connected[c], name + ": all connected");
      expect_near(
          relative_rotation_error(exact.cameras[c], exact.cameras[0], clean.cameras[c], clean.cameras[0]), 0,
          1e-6, name + ": exact without noise");
      expect_near(
          relative_rotation_error(close.cameras[c], close.cameras[0], noisy.cameras[c], noisy.cameras[0]), 0,
          C == 2 ? 0.02 : 0.006, name + ": close with noise");
    }
    expect_near(close.sigma_px, 1.0, 0.2, name + ": the deviation is estimated");
  }
}

void threads() {
  Scene s;
  make_scene(s, 4, 80, 1.0, "threads");
  CalibrateOptions one, three;
  one.num_threads = 1;
  three.num_threads = 3;
  const CalibrateResult a = calibrate_bodies(s.observations, one),
                        b = calibrate_bodies(s.observations, three);
  for (int c = 0; c < 4; ++c)
    for (int i = 0; i < 9; ++i) expect(a.cameras[c].R[i] == b.cameras[c].R[i], "threads change nothing");
}

void frames() {
  Scene s;
  make_scene(s, 2, 50, 0.0, "frames");
  expect(select_frames(s.observations, 100).size() == 50, "all frames when there are few");
  const auto some = select_frames(s.observations, 20);
  expect(some.size() > 12 && some.size() <= 20, "about as many frames as asked for");
  for (std::size_t i = 1; i < some.size(); ++i) expect(some[i] > some[i - 1], "frames ascend");
}

void disconnected() {
  Scene s;
  make_scene(s, 3, 40, 0.5, "disconnected");
  for (int k = 0; k < 40 * 12; ++k) s.weight[2 * 40 * 12 + k] = 0;
  const CalibrateResult r = calibrate_bodies(s.observations, CalibrateOptions());
  expect(r.connected[0] && r.connected[1] && !r.connected[2], "a camera without observations stays out");
}

void refusals() {
  Scene s;
  make_scene(s, 2, 20, 0.5, "refusals");
  int caught = 0;
  BodyObservations one = s.observations;
  one.num_cameras = 1;
  try {
    calibrate_bodies(one, CalibrateOptions());
  } catch (const InputError&) {
    ++caught;
  }
  CalibrateOptions bad;
  bad.max_reprojection_error_px = 0;
  try {
    calibrate_bodies(s.observations, bad);
  } catch (const InputError&) {
    ++caught;
  }
  try {
    estimate_essential(nullptr, nullptr, nullptr, 3, 1000, 1000, EssentialOptions());
  } catch (const InputError&) {
    ++caught;
  }
  expect(caught == 3, "bad input is refused");
}

}  // namespace

int main() {
  clean_and_noisy();
  threads();
  frames();
  disconnected();
  refusals();
  return finish("calibrate");
}

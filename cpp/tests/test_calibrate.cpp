// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "check.h"
#include "scene.h"
#include "sportcore/calibrate.h"
#include "sportcore/error.h"
#include "sportcore/essential.h"
#include "sportcore/resection.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

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

// What is known of the rotation, off by some degrees, is enough where few correspondences are good.
void known_rotation() {
  Scene s;
  make_scene(s, 2, 40, 1.0, "known rotation");
  auto rng = random_for("known rotation, outliers");
  std::uniform_real_distribution<double> uniform(-0.4, 0.4);
  std::vector<double> x1, x2;
  const std::size_t N = 40 * 12;
  for (std::size_t k = 0; k < N; ++k) {
    double a[2], b[2];
    unproject(s.lens[0], s.xy.data() + 2 * k, a);
    unproject(s.lens[1], s.xy.data() + 2 * (N + k), b);
    if (k % 4) b[0] = uniform(rng), b[1] = uniform(rng);  // a quarter is right
    x1.insert(x1.end(), a, a + 2);
    x2.insert(x2.end(), b, b + 2);
  }
  double at[9], R[9], off[9], known[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) at[3 * i + j] = s.cameras[0].R[3 * j + i];
  mat3_mul(s.cameras[1].R, at, R);
  const double w[3] = {0.05, -0.04, 0.03};
  so3_exp(w, off);
  mat3_mul(off, R, known);
  EssentialOptions options;
  options.prior_R = known;
  options.prior_sigma_rad = 0.06;
  const EssentialResult e = estimate_essential(x1.data(), x2.data(), nullptr, N, 1500, 1500, options);
  Camera<double> one{}, found{};
  so3_exp(std::vector<double>(3, 0.0).data(), one.R);
  std::copy(e.R, e.R + 9, found.R);
  expect(e.success, "a pair with a known rotation");
  expect_near(relative_rotation_error(found, one, s.cameras[1], s.cameras[0]), 0, 0.03,
              "the rotation is improved");
  double far_off[9], wrong[9];
  const double v[3] = {0, 2.0, 0};
  so3_exp(v, far_off);
  mat3_mul(far_off, R, wrong);
  options.prior_R = wrong;
  const EssentialResult none = estimate_essential(x1.data(), x2.data(), nullptr, N, 1500, 1500, options);
  double gap[9], turn[3], wt[9];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) wt[3 * i + j] = wrong[3 * j + i];
  mat3_mul(none.R, wt, gap);
  so3_log(gap, turn);
  expect(!none.success || std::sqrt(dot3(turn, turn)) < kPriorReach * 0.06,
         "a result stays near what is known");
}

// A camera whose sides are exchanged in half of the frames, and a fifth of whose images are wrong.
void exchanged_sides() {
  Scene s;
  make_scene(s, 2, 40, 1.0, "exchanged sides");
  auto rng = random_for("exchanged sides, outliers");
  std::uniform_real_distribution<double> uniform(-0.4, 0.4);
  std::vector<double> X, x, other;
  std::vector<std::int32_t> frame;
  for (int t = 0; t < 40; ++t)
    for (int j = 0; j < 12; ++j) {
      double here[2], there[2];
      unproject(s.lens[1], s.xy.data() + 2 * (40 * 12 + 12 * t + j), here);
      unproject(s.lens[1], s.xy.data() + 2 * (40 * 12 + 12 * t + (j ^ 1)), there);
      if ((t / 5) % 2) std::swap(here, there);
      if (j % 5 == 0) here[0] = uniform(rng), here[1] = uniform(rng);
      X.insert(X.end(), s.points.data() + 3 * (12 * t + j), s.points.data() + 3 * (12 * t + j) + 3);
      x.insert(x.end(), here, here + 2);
      other.insert(other.end(), there, there + 2);
      frame.push_back(t);
    }
  ResectionOptions options;
  options.other = other.data();
  options.group = frame.data();
  const ResectionResult r = estimate_pose(X.data(), x.data(), nullptr, frame.size(), 1500, options);
  expect(r.success && r.exchanged.size() == frame.size(), "a camera with exchanged sides");
  for (int i = 0; i < 9; ++i) expect_near(r.R[i], s.cameras[1].R[i], 0.01, "its rotation");
  int right = 0;
  for (std::size_t k = 0; k < frame.size(); ++k) right += r.exchanged[k] == (frame[k] / 5) % 2;
  expect(right == static_cast<int>(frame.size()), "and which frames were exchanged");
  double known[9];
  std::copy(s.cameras[1].R, s.cameras[1].R + 9, known);
  ResectionOptions held;
  held.prior_R = known;
  held.prior_sigma_rad = 0.02;
  held.max_iterations = 200;
  const ResectionResult h = estimate_pose(X.data(), x.data(), nullptr, frame.size(), 1500, held);
  expect(h.success, "a known rotation finds it without");
  for (int i = 0; i < 9; ++i) expect_near(h.R[i], s.cameras[1].R[i], 0.02, "with its rotation");
}

// Twelve cameras: sides are decided by eight and followed by the rest; all join; pairs are bounded.
void many_cameras() {
  Scene s;
  make_scene(s, 12, 30, 1.0, "many cameras");
  std::vector<std::int32_t> flip(12);
  for (int j = 0; j < 12; ++j) flip[j] = j ^ 1;
  s.observations.flip = flip.data();
  std::vector<std::uint8_t> truth(12 * 30, 0);
  for (int c = 0; c < 12; ++c)
    for (int t = 0; t < 30; ++t) {
      if ((c * 7 + t / 5) % 4) continue;
      truth[30 * c + t] = 1;
      double* row = s.xy.data() + 2 * 12 * (30 * c + t);
      for (int j = 0; j < 12; j += 2) std::swap_ranges(row + 2 * j, row + 2 * j + 2, row + 2 * j + 2);
    }
  const std::vector<std::uint8_t> found = find_swaps(s.observations, s.cameras.data(), 6.0, 2);
  expect(found == truth, "exchanged sides of twelve cameras");
  const CalibrateResult r = calibrate_bodies(s.observations, CalibrateOptions());
  std::size_t tried = 0;
  for (const PairEstimate& p : r.pairs)
    tried += p.success, expect(p.num_shared > 0, "shared joints are counted");
  expect(tried <= 11 + 12 * 7 && tried < 66, "not all pairs are estimated");
  for (int c = 1; c < 12; ++c) {
    expect(r.connected[c], "twelve cameras join");
    expect_near(relative_rotation_error(r.cameras[c], r.cameras[0], s.cameras[c], s.cameras[0]), 0, 0.01,
                "twelve cameras");
  }
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
  known_rotation();
  exchanged_sides();
  many_cameras();
  refusals();
  return finish("calibrate");
}

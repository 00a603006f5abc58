// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What the tests share: checks that count failures, random cameras and points, central differences.
#pragma once

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "sportcore/camera.h"

namespace sportcore::test {

inline int failures = 0;

inline void expect(bool condition, const std::string& what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

inline void expect_near(double a, double b, double tolerance, const std::string& what) {
  if (std::abs(a - b) <= tolerance) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s: %.17g against %.17g (tolerance %g)\n", what.c_str(), a, b, tolerance);
}

inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "ok" : "failed");
  return failures == 0 ? 0 : 1;
}

/// Generator keyed by the name of the case, so that adding a case does not change the others.
inline std::mt19937 random_for(const std::string& name) {
  std::seed_seq seed(name.begin(), name.end());
  return std::mt19937(seed);
}

inline Camera<double> example_camera(int model, int n_distortion) {
  Camera<double> c{};
  c.lens.model = model;
  c.lens.n_distortion = n_distortion;
  c.lens.fx = 1480;
  c.lens.fy = 1510;
  c.lens.cx = 955;
  c.lens.cy = 543;
  const double brown[8] = {-0.12, 0.06, 0.0015, -0.001, -0.01, 0.02, -0.01, 0.004};
  const double fisheye[4] = {0.03, -0.012, 0.006, -0.0015};
  for (int i = 0; i < n_distortion; ++i) c.lens.k[i] = model == kFisheye ? fisheye[i % 4] : brown[i];
  const double w[3] = {0.3, -0.5, 0.2};
  so3_exp(w, c.R);
  c.t[0] = 0.2;
  c.t[1] = -0.1;
  c.t[2] = 5.0;
  return c;
}

struct ModelCase {
  const char* name;
  int model, n;
};

inline const std::vector<ModelCase>& model_cases() {
  static const std::vector<ModelCase> cases = {{"pinhole", kPinhole, 0},
                                               {"brown4", kBrown, 4},
                                               {"brown5", kBrown, 5},
                                               {"brown8", kBrown, 8},
                                               {"fisheye", kFisheye, 4}};
  return cases;
}

}  // namespace sportcore::test

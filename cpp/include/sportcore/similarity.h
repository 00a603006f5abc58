// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Change of the world frame: what puts metres and a vertical on a calibration that knows neither.
#pragma once

#include <cmath>
#include <cstddef>

#include "sportcore/camera.h"

namespace sportcore {

/// x_new = scale R x_old + t.
struct Similarity {
  double scale = 1.0;
  double R[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // row-major rotation
  double t[3] = {0, 0, 0};                    // units of the new world
};

/// The camera in the new world; its images of transformed points are what they were.
inline void transform(const Similarity& s, Camera<double>& camera) {
  double R[9], shift[3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) R[3 * i + j] = dot3(camera.R + 3 * i, s.R + 3 * j);  // R_old R_s^T
  mat3_vec(R, s.t, shift);
  for (int k = 0; k < 9; ++k) camera.R[k] = R[k];
  for (int k = 0; k < 3; ++k) camera.t[k] = s.scale * camera.t[k] - shift[k];
}

/// Points (n, 3) in the new world, in place. NaN stays NaN.
inline void transform(const Similarity& s, double* points, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    double v[3];
    mat3_vec(s.R, points + 3 * i, v);
    for (int k = 0; k < 3; ++k) points[3 * i + k] = s.scale * v[k] + s.t[k];
  }
}

/// Centre of a camera in the world.
inline void camera_center(const Camera<double>& camera, double* center) {
  mat3_tvec(camera.R, camera.t, center);
  for (int k = 0; k < 3; ++k) center[k] = -center[k];
}

}  // namespace sportcore

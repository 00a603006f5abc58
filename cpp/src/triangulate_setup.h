// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Cameras and options as the triangulation kernels read them. Private.
#pragma once

#include <vector>

#include "sportcore/triangulate_point.h"

namespace sportcore {

template <class T>
struct TriangulateSetup {
  std::vector<TriangulateCamera<T>> cameras;
  TriangulateParams<T> params;
};

/// Moves the world's origin to the middle of the cameras and rounds to T.
template <class T>
TriangulateSetup<T> make_setup(const Camera<double>* cameras, std::size_t n_cameras,
                               const TriangulateOptions& options) {
  TriangulateSetup<T> s;
  std::vector<double> positions(3 * n_cameras);
  double center[3] = {0, 0, 0};
  for (std::size_t c = 0; c < n_cameras; ++c) {
    double p[3];
    mat3_tvec(cameras[c].R, cameras[c].t, p);
    for (int k = 0; k < 3; ++k) {
      positions[3 * c + k] = -p[k];
      center[k] -= p[k] / static_cast<double>(n_cameras);
    }
  }
  s.cameras.resize(n_cameras);
  for (std::size_t c = 0; c < n_cameras; ++c) {
    Camera<double> moved = cameras[c];
    double shift[3];
    mat3_vec(moved.R, center, shift);
    for (int k = 0; k < 3; ++k) moved.t[k] += shift[k];
    s.cameras[c].camera = camera_cast<T>(moved);
    s.cameras[c].focal = T(std::sqrt(moved.lens.fx * moved.lens.fy));
    for (int k = 0; k < 3; ++k) s.cameras[c].position[k] = T(positions[3 * c + k] - center[k]);
  }
  TriangulateParams<T>& p = s.params;
  p.max_error_px = T(options.max_reprojection_error_px);
  p.sigma_px = T(options.sigma_px);
  p.inlier_sigmas = T(options.inlier_sigmas);
  p.min_score = T(options.min_score);
  const double sine = std::sin(options.min_angle_deg * 3.14159265358979323846 / 180.0);
  p.min_sine2 = T(sine * sine);
  p.loss_scale = T(options.loss_scale_sigmas);
  for (int k = 0; k < 3; ++k) p.center[k] = T(center[k]);
  p.min_views = options.min_views;
  p.max_iterations = options.max_iterations;
  p.loss = options.loss;
  p.robust = options.robust;
  return s;
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Cameras as rows of plain numbers, the form in which differentiable operations take them and give their
/// gradients.
///
/// A row holds kCameraParameters doubles: fx, fy, cx, cy (px); k1 ... k8 (the coefficients of the lens model,
/// zero where unused); R (9, row-major) and t (3, m) with x_cam = R x_world + t. Gradients treat the nine
/// numbers of R as independent; who turns the camera by fewer parameters continues with the chain rule.
#pragma once

#include <cstddef>

#include "sportcore/camera.h"

namespace sportcore {

constexpr int kCameraParameters = 24;

/// Where each group starts in a row.
enum CameraParameter : int {
  kParameterFocal = 0,       // fx, fy
  kParameterCenter = 2,      // cx, cy
  kParameterDistortion = 4,  // k1 ... k8
  kParameterRotation = 12,
  kParameterTranslation = 21
};

/// The cameras of one call. `parameters` (C, 24) lie on the device of the other arrays of the call, `models`
/// (C, values of CameraModel) always in host memory.
struct CameraRows {
  const double* parameters;
  const int* models;
  std::size_t n_cameras;
};

/// One row as the kernels read it.
SPORTCORE_HD Camera<double> camera_from_row(const double* row, int model) {
  Camera<double> c;
  c.lens.model = model;
  c.lens.n_distortion = kMaxDistortion;
  c.lens.fx = row[0];
  c.lens.fy = row[1];
  c.lens.cx = row[2];
  c.lens.cy = row[3];
  for (int i = 0; i < kMaxDistortion; ++i) c.lens.k[i] = row[kParameterDistortion + i];
  for (int i = 0; i < 9; ++i) c.R[i] = row[kParameterRotation + i];
  for (int i = 0; i < 3; ++i) c.t[i] = row[kParameterTranslation + i];
  return c;
}

}  // namespace sportcore

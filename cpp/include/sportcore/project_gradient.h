// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The adjoint of one projection, written once for a CUDA thread and for SIMD lanes (lanes.h).
#pragma once

#include "sportcore/camera_parameters.h"

namespace sportcore {

/// Adds to grad_X (3) what a gradient g (2) by the pixel gives by the world point X (3) m, and, with
/// kCameras, to grad_row (kCameraParameters) what it gives by the camera. A point that is not in front of the
/// camera or not finite adds nothing, whatever g is.
template <bool kCameras, class S, class T>
SPORTCORE_HD void project_gradient(const Camera<S>& camera, const T* X, const T* g, T* grad_X, T* grad_row) {
  T Xc[3], uv[2], J[6], J_lens[8], J_dist[2 * kMaxDistortion];
  cam_from_world(camera, X, Xc);
  const mask_t<T> front = (Xc[2] > T(0)) & is_finite(Xc[0] + Xc[1] + Xc[2]);
  Xc[0] = select(front, Xc[0], T(0));  // what does not count must stay finite
  Xc[1] = select(front, Xc[1], T(0));
  Xc[2] = select(front, Xc[2], T(1));
  const T gu = select(front, g[0], T(0)), gv = select(front, g[1], T(0));
  project(camera.lens, Xc, uv, J, kCameras ? J_lens : static_cast<T*>(nullptr),
          kCameras ? J_dist : static_cast<T*>(nullptr));
  T gc[3], gw[3];
  for (int i = 0; i < 3; ++i) gc[i] = J[i] * gu + J[3 + i] * gv;
  mat3_tvec(camera.R, gc, gw);
  for (int i = 0; i < 3; ++i) grad_X[i] += gw[i];
  if (!kCameras) return;
  grad_row[0] += J_lens[0] * gu;
  grad_row[1] += J_lens[5] * gv;
  grad_row[2] += gu;
  grad_row[3] += gv;
  for (int i = 0; i < kMaxDistortion; ++i)
    grad_row[kParameterDistortion + i] += J_dist[i] * gu + J_dist[kMaxDistortion + i] * gv;
  for (int r = 0; r < 3; ++r) {
    for (int i = 0; i < 3; ++i) grad_row[kParameterRotation + 3 * r + i] += gc[r] * select(front, X[i], T(0));
    grad_row[kParameterTranslation + r] += gc[r];
  }
}

}  // namespace sportcore

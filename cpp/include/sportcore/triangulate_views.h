// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What triangulation keeps of a point while it is in work: cameras and options as the kernels read them, the
/// observations of all views, and the estimate. For a CUDA thread and for SIMD lanes (lanes.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "sportcore/camera.h"
#include "sportcore/losses.h"
#include "sportcore/point_status.h"

namespace sportcore {

/// TriangulateOptions as the kernels read them.
template <class S>
struct TriangulateParams {
  S max_error_px, sigma_px, inlier_sigmas, min_score, min_sine2, loss_scale;
  S center[3];  // m; added to the result: the cameras are moved there, which keeps float accurate
  int min_views, max_iterations, n_pairs;
  Loss loss;
  bool robust;
};

/// A camera with what triangulation derives from it once.
template <class S>
struct TriangulateCamera {
  Camera<S> camera;
  S position[3];  // camera centre in the (moved) world
  S focal;        // px, geometric mean
};

/// Two cameras whose rays make a hypothesis.
struct CameraPair {
  std::uint8_t first, second;
};

/// What is kept of one observation while its point is in work.
enum ObservationField : int {
  kU,          // px, as observed; 0 where unusable, as the others
  kV,          // px
  kX,          // normalised, undistorted
  kY,          //
  kInvSigma,   // 1/px; 0 marks an unusable observation
  kInvLimit2,  // 1/px^2, of the error that makes it an outlier
  kScore,      //
  kChosen,     // 1 or 0: takes part in the estimate
  kError2,     // px^2 from the projected point, at the last call of `measure`; infinite behind the camera
  kWeightA,    // loss weights at the present point and at the one being tried
  kWeightB,    //
  kObservationFields
};

/// The observations of one point (or pack of points) in all views; `stride` is that between neighbouring
/// fields.
template <class T>
struct Observations {
  T* data;
  std::ptrdiff_t stride;
  int n_views;
  SPORTCORE_HD T& at(int view, int field) const {
    return data[static_cast<std::ptrdiff_t>(view * kObservationFields + field) * stride];
  }
};

/// The estimate; X in the moved world until `triangulate_finish`.
template <class T>
struct TriangulatedPoint {
  T X[3];            // m
  T information[6];  // 1/m^2, replaced by the covariance (m^2) in `triangulate_finish`
  T status;          // PointStatus as a number
  T n_used;          // usable observations
  T n_inliers;
};

namespace detail {

template <class T>
SPORTCORE_HD T max_lane(T a, T b) {
  return select(a > b, a, b);
}

}  // namespace detail

/// Fills the fields of one view from an observation; kChosen is 1 where it is usable, which is returned.
template <class S, class T>
SPORTCORE_HD mask_t<T> prepare_view(const TriangulateCamera<S>& camera, const TriangulateParams<S>& p, T u,
                                    T v, T score, const T* sigma_px, const Observations<T>& o, int view) {
  const T uv[2] = {u, v};
  T x[2], inv_sigma = T(S(1) / p.sigma_px), inv_limit = T(S(1) / p.max_error_px);
  mask_t<T> use = is_finite(u + v) & (score >= T(p.min_score)) & (score > T(0));
  if (sigma_px) {
    const T sigma = *sigma_px;
    use = use & (sigma > T(0)) & is_finite(sigma);
    inv_sigma = T(1) / sigma;
    inv_limit = T(1) / detail::max_lane(T(p.max_error_px), T(p.inlier_sigmas) * sigma);
  }
  use = use & unproject(camera.camera.lens, uv, x);
  o.at(view, kU) = select(use, u, T(0));
  o.at(view, kV) = select(use, v, T(0));
  o.at(view, kX) = select(use, x[0], T(0));
  o.at(view, kY) = select(use, x[1], T(0));
  o.at(view, kInvSigma) = select(use, inv_sigma, T(0));
  o.at(view, kInvLimit2) = select(use, square(inv_limit), T(0));
  o.at(view, kScore) = select(use, score, T(0));
  o.at(view, kChosen) = select(use, T(1), T(0));
  o.at(view, kWeightA) = o.at(view, kWeightB) = T(0);
  return use;
}

/// Distance in px of the observation of view c from the projected point; NaN where there is none.
template <class T>
SPORTCORE_HD T residual_px(const Observations<T>& o, const TriangulatedPoint<T>& point, int c) {
  using std::sqrt;
  using S = scalar_t<T>;
  const T e = o.at(c, kError2);
  const mask_t<T> there = (o.at(c, kInvSigma) > T(0)) & (e < T(std::numeric_limits<S>::infinity())) &
                          (point.status == T(static_cast<int>(PointStatus::kOk)));
  return select(there, sqrt(e), T(nan_value<S>()));
}

/// True where the observation of view c carried the point.
template <class T>
SPORTCORE_HD mask_t<T> is_inlier(const Observations<T>& o, const TriangulatedPoint<T>& point, int c) {
  return (o.at(c, kChosen) > T(0)) & (point.status == T(static_cast<int>(PointStatus::kOk)));
}

}  // namespace sportcore

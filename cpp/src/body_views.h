// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// What calibration works on: the observations of the chosen frames, undistorted, and robust points from them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sportcore/calibrate.h"

namespace sportcore::detail {

// One ray bundle member: pose of its camera and its image point.
struct View {
  const double* R;       // (9) cam_from_world
  const double* t;       // (3)
  const double* center;  // (3) world
  double x, y;           // undistorted normalised
  double focal;          // px
  double weight;
  int camera;
};

struct PointEstimate {
  bool ok = false;
  double X[3] = {0, 0, 0};
  std::uint64_t inliers = 0;  // bit per view
  int num_inliers = 0;
  double cost = 0.0;          // sum of weight * min(r^2 / threshold^2, 1) over the views
  double parallax_rad = 0.0;  // widest angle between inlier rays
};

// Point that most views agree on: all views at once when they fit, else the best of all pairs (truncated
// cost), refined on its inliers. At most 64 views.
PointEstimate robust_point(const View* views, int n, double threshold_px);

// Squared reprojection distance [px^2] of X in a view; a large number behind the camera.
double view_residual2(const View& view, const double* X);

class BodyViews {
 public:
  BodyViews(const BodyObservations& observations, std::vector<std::int32_t> frames, int num_threads);

  std::size_t C, F, J;
  std::vector<std::int32_t> frames;   // (F) index in the recording
  std::vector<double> focal;          // (C) mean of fx and fy
  std::vector<std::uint8_t> swapped;  // (C, F)
  const std::int32_t* flip;

  std::size_t slot(std::size_t c, std::size_t f, std::size_t j) const { return (c * F + f) * J + j; }
  // Slot that holds joint j of this camera and frame once swaps are undone.
  std::size_t source(std::size_t c, std::size_t f, std::size_t j) const {
    return slot(c, f, swapped[c * F + f] ? static_cast<std::size_t>(flip[j]) : j);
  }
  // The same for left and right.
  std::size_t paired(std::size_t j) const {
    return flip ? std::min(j, static_cast<std::size_t>(flip[j])) : j;
  }
  // Takes the sides that the observations bring as a hypothesis, where they bring one.
  void exchange(const BodyObservations& observations) {
    if (observations.sides)
      for (std::size_t c = 0; c < C; ++c)
        for (std::size_t f = 0; f < F; ++f)
          swapped[c * F + f] = observations.sides[c * observations.num_frames + frames[f]] != 0;
  }
  double weight(std::size_t s) const { return weight_[s]; }
  // Replaces every weight (where there is an observation) by a function of camera, joint and weight.
  template <class Function>
  void map_weights(const Function& f) {
    for (std::size_t s = 0; s < weight_.size(); ++s)
      if (weight_[s] > 0) weight_[s] = f(s / (F * J), s % J, weight_[s]);
  }
  // Another place in the image for an observation; where its lens knows none, it stays.
  void move(std::size_t s, const double* uv, const Intrinsics<double>& lens) {
    double x[2];
    if (!unproject(lens, uv, x)) return;
    for (int i = 0; i < 2; ++i) x_[2 * s + i] = x[i], xy_[2 * s + i] = uv[i];
  }
  const double* normalised(std::size_t s) const { return x_.data() + 2 * s; }
  const double* pixel(std::size_t s) const { return xy_.data() + 2 * s; }

  // Views of joint j in frame f from the cameras that are placed. swap_bits: which cameras to read mirrored
  // on top of the swaps already undone. Returns their number.
  int gather(const std::vector<Camera<double>>& cameras, const std::vector<double>& centers,
             const std::vector<std::uint8_t>& placed, std::size_t f, std::size_t j, std::uint64_t swap_bits,
             View* out) const;

 private:
  std::vector<double> x_, xy_, weight_;
};

std::vector<double> camera_centers(const std::vector<Camera<double>>& cameras);

// Points (F, J, 3; NaN where not determined) and the inlier flags (C, F, J).
struct Structure {
  std::vector<double> points;
  std::vector<std::uint8_t> inlier;
  double inlier_share = 0.0;  // of the observations that at least one other placed camera shares
};

Structure build_structure(const BodyViews& views, const std::vector<Camera<double>>& cameras,
                          const std::vector<std::uint8_t>& placed, double threshold_px,
                          double min_parallax_rad, int num_threads);

// Exchanges left and right in camera-frames where that lets the views agree better. Returns how many changed.
// Up to eight cameras are decided together; of more, eight are, and the others are judged against their
// points.
std::size_t undo_swaps(BodyViews& views, const std::vector<Camera<double>>& cameras,
                       const std::vector<std::uint8_t>& placed, double threshold_px, int num_threads);

}  // namespace sportcore::detail

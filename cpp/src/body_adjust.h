// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Bundle adjustment of what calibration works on: frames of a body, with bones of constant length and clocks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "body_views.h"
#include "sportcore/bundle.h"
#include "sportcore/calibrate.h"

namespace sportcore::detail {

// Bones as far as the recording has shown them; lengths in the units of the reconstruction.
struct Bones {
  std::vector<std::int32_t> joints;   // (B, 2)
  std::vector<std::int32_t> pairs;    // (P, 2) left and right of the same
  std::vector<double> length, sigma;  // (B) and deviation from frame to frame; length 0: not measured
  std::vector<double> spread;  // (B) deviation of the triangulated length, noise of the points included
  std::size_t count() const { return joints.size() / 2; }
};

// Cameras, which of them are placed, and the points they give.
struct Reconstruction {
  std::vector<Camera<double>> cameras;
  std::vector<std::uint8_t> placed;
  std::vector<double> offset, drift;  // (C) clocks, s and s/s
  Structure structure;
  Bones bones;
  double sigma_px = 0;  // deviation of one coordinate

  std::vector<int> placed_list() const;
};

struct Adjustment {
  Loss loss = Loss::kCauchy;
  double scale_px = 6, gate_px = 20;
  int iterations = 10;
  double tolerance = 1e-5;
  BundleOptions lens;  // which parts of the lenses are free, and their priors
  bool bones = false;
  double bone_sigma = 0;  // share of the length that bones are taken to vary by at most; 0: as measured
  bool clocks = false, drift = false;
  double frame_s = 0;  // time from frame to frame, for the clocks
  bool covariance = false;
};

// Refines cameras and points (and bones, clocks) in place. Fewer than six points or two cameras: nothing is
// done.
BundleResult adjust(const BodyViews& views, Reconstruction& r, const Adjustment& a, int num_threads);

// Robust deviation of one coordinate: Rayleigh median of the residuals, each freed of the point's three
// unknowns.
double robust_sigma(const BodyViews& views, const Reconstruction& r);

// What the weights that came with the observations are worth: inverse variance, relative to the mean, by
// weight.
struct WeightScale {
  std::vector<double> upper, value;   // bins: weights up to upper[i] become value[i]
  std::vector<double> camera, joint;  // (C), (J) factors
  double operator()(std::size_t c, std::size_t j, double weight) const {
    std::size_t i = 0;
    while (i + 1 < upper.size() && weight > upper[i]) ++i;
    return value.empty() ? weight : value[i] * camera[c] * joint[j];
  }
};

// From the residuals of the inliers. Joints (left and right together) and cameras count by their variance as
// far as it differs by more than chance, with three cameras or more; weights in bins of equal size, the
// variance falling with the weight (pooled where it does not) and drawn to the mean where there is little to
// judge from. Too few residuals: the weights are taken at their word.
WeightScale measure_weights(const BodyViews& views, const Reconstruction& r);

// Lengths of the bones and their deviations from frame to frame, by maximum likelihood from the triangulated
// points: the scatter that the noise of the points does not explain, and at least 0.2 percent.
void measure_bones(const BodyViews& views, Reconstruction& r);

}  // namespace sportcore::detail

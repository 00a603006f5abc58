// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// The start of a calibration: geometry of the pairs, a first reconstruction from the best of them, and a
// second one from rotations averaged over the view graph where the first is in doubt.
#pragma once

#include <vector>

#include "body_adjust.h"
#include "body_views.h"
#include "sportcore/calibrate.h"

namespace sportcore::detail {

// What is known of the rotations before the cameras are placed: (C, 9) each from one common frame, and how
// well.
struct RotationPriors {
  std::vector<double> R;
  std::vector<int> component;  // (C) rotations of different components do not compare
  double sigma_rad = 0.1;

  bool related(int a, int b) const { return component[a] == component[b]; }
  void between(int first, int second, double out[9]) const;  // second from first
};

// All pairs of cameras. With many cameras the essential matrix is estimated for a bounded number of partners
// of each, those who share most with it; the others only have num_shared.
std::vector<PairEstimate> estimate_pairs(const BodyViews& views, const CalibrateOptions& options);

// One pair; with prior_R (9, second from first) not null, only rotations near it.
PairEstimate estimate_pair(const BodyViews& views, int a, int b, double threshold_px,
                           const CalibrateOptions& options, const double* prior_R = nullptr,
                           double prior_sigma_rad = 0.1);

// A reconstruction of the cameras that could be placed; start_first = -1 when no pair could start.
struct Start {
  Reconstruction reconstruction;
  int first = -1, second = -1;
  bool from_rotations = false, from_sides = false;
  std::vector<std::uint8_t> swapped;  // (C, F) sides exchanged on the way

  bool found() const { return first >= 0; }
};

// Grows a reconstruction from the pair whose points explain the other views best. priors may be null; where
// given, they are a further hypothesis for the pose of each camera that joins. With sides, exchanged left and
// right in frames of such a camera is one too.
Start find_start(const BodyViews& views, const BodyObservations& in, const std::vector<PairEstimate>& pairs,
                 const RotationPriors* priors, bool sides, const CalibrateOptions& options);

// Adjustments on the start frames with the scale of the loss following the residuals down; sides are undone
// in between.
void settle(BodyViews& views, Reconstruction& r, const CalibrateOptions& options);

// The reconstruction that the calibration goes on from, settled, and the views with their sides undone in
// place. Where the first start is in doubt (a camera left out, many observations that do not fit, pairs or
// votes that contradict it), starts from averaged rotations compete with it, and win only when they explain
// clearly more of the same observations.
Start choose_start(BodyViews& views, const BodyObservations& in, const std::vector<PairEstimate>& pairs,
                   const CalibrateOptions& options);

}  // namespace sportcore::detail

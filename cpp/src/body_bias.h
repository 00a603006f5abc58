// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Where a detector places a joint beside where it is: one shift per camera and joint.
#pragma once

#include <vector>

#include "body_adjust.h"

namespace sportcore::detail {

// A detector has its own idea of a hip, and a different one from every side: errors that no number of frames
// averages out. Each camera and joint gets a shift in the image, a draw from a normal law whose variance is
// measured: what the mean residuals vary by beyond the chance of their stretches of time (empirical Bayes;
// Efron & Morris 1975). What a camera's joints have in common is left to the camera.
class DetectorBias {
 public:
  explicit DetectorBias(const BodyViews& views);

  // Measures the shifts from the residuals of the inliers and takes them off the observations (C lenses).
  // False when there is nothing to take off. To be called in turn with the adjustment.
  bool update(BodyViews& views, const Reconstruction& r, const Intrinsics<double>* lens);

  // Root mean square of the shifts that are not zero, either coordinate.
  double size_px() const;

 private:
  std::vector<double> shift_;  // (C, J, 2) px
};

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sportcore {

/// Why a point is there, or why it is not. The same numbers as sportcore.PointStatus.
enum class PointStatus : std::uint8_t {
  kOk = 0,
  kTooFewViews = 1,     // fewer than min_views usable observations
  kNoConsensus = 2,     // no min_views of them agree
  kBehindCamera = 3,    // the rays meet behind a camera
  kIllConditioned = 4,  // the rays are nearly parallel
  kLargeResidual = 5,   // robust = false, and the views disagree
  kNotConverged = 6,    // the refinement did not settle
};

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Rows of camera parameters (camera_parameters.h) as kernels take them, and sums over ranges of points.
/// Private.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "sportcore/camera_parameters.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"
#include "sportcore/triangulate_linear_point.h"

namespace sportcore {

inline void check_rows(const CameraRows& cameras, const char* who, std::size_t most) {
  require(cameras.parameters != nullptr && cameras.models != nullptr && cameras.n_cameras > 0,
          std::string(who) + ": at least one camera is needed.");
  require(cameras.n_cameras <= most,
          std::string(who) + ": " + std::to_string(cameras.n_cameras) + " cameras are more than " +
              std::to_string(most) + ".",
          "Use a subset of the rig.");
  for (std::size_t c = 0; c < cameras.n_cameras; ++c)
    require(cameras.models[c] >= kPinhole && cameras.models[c] <= kFisheye,
            std::string(who) + ": unknown camera model.");
}

/// The mean of the camera positions, m; the origin when a row is not finite.
inline std::array<double, 3> middle_of_rows(const CameraRows& cameras) {
  std::array<double, 3> center = {0, 0, 0};
  for (std::size_t c = 0; c < cameras.n_cameras; ++c) {
    double at[3];
    position_from_row(cameras.parameters + kCameraParameters * c, at);
    for (int k = 0; k < 3; ++k) center[k] += at[k] / static_cast<double>(cameras.n_cameras);
  }
  if (!is_finite(center[0] + center[1] + center[2])) center = {0, 0, 0};
  return center;
}

/// Calls body(begin, end, sums) over [0, n) on several threads, with sums (n_sums), zero at first, for each
/// range; their total goes to `total`, in an order that does not depend on the threads. Without `total`, sums
/// is null.
template <class Body>
void parallel_sums(std::size_t n, std::size_t grain, int num_threads, std::size_t n_sums, double* total,
                   const Body& body) {
  constexpr std::size_t kMostPieces = 256;
  std::size_t piece = grain;
  while ((n + piece - 1) / piece > kMostPieces) piece *= 2;
  const std::size_t pieces = (n + piece - 1) / piece;
  std::vector<double> sums(total ? pieces * n_sums : 0, 0.0);
  parallel_for(n, piece, num_threads, [&](std::size_t begin, std::size_t end) {
    body(begin, end, total ? sums.data() + begin / piece * n_sums : nullptr);
  });
  if (!total) return;
  std::fill(total, total + n_sums, 0.0);
  for (std::size_t p = 0; p < pieces; ++p)
    for (std::size_t k = 0; k < n_sums; ++k) total[k] += sums[p * n_sums + k];
}

}  // namespace sportcore

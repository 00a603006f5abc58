// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Triangulation of a live stream: cameras and options are prepared once, a call only computes.
#pragma once

#include <cstddef>
#include <memory>

#include "sportcore/triangulate.h"

namespace sportcore {

/// triangulate() of triangulate.h with cameras and options prepared once. T is float or double.
///
/// A call with at most `kInlinePoints` points, or with num_threads = 1, runs in the calling thread and
/// touches neither the heap nor the kernel, so that its duration is the computation alone; 17 joints are one
/// such call. Larger ones are split over threads as in triangulate(), which allocates. The result is that of
/// triangulate(), bit for bit.
///
/// An object may be used by several threads at a time and moved to another; after a move the old one may only
/// be assigned to or destroyed. Memory: under 64 kB.
template <class T>
class Triangulator {
 public:
  /// Points of a call that are never split over threads.
  static constexpr std::size_t kInlinePoints = 256;

  /// Cameras (n_cameras) and options are copied. Throws InputError for what triangulate() refuses, for
  /// options.cuda, since a stream of single frames gains nothing there, and for options.estimate_sigma, for
  /// which they are too few.
  SPORTCORE_API Triangulator(const Camera<double>* cameras, std::size_t n_cameras,
                             const TriangulateOptions& options = {});
  SPORTCORE_API ~Triangulator();
  SPORTCORE_API Triangulator(Triangulator&&) noexcept;
  SPORTCORE_API Triangulator& operator=(Triangulator&&) noexcept;

  /// keypoints_px (C, N, 2) px, NaN where missing; score (C, N) in [0, 1] or null; sigma_px (C, N) px or
  /// null. `out` as in triangulate(). Throws InputError where an array is missing, before anything is
  /// written.
  SPORTCORE_API void operator()(const T* keypoints_px, const T* score, const T* sigma_px,
                                std::size_t n_points, const TriangulateOutput<T>& out) const;

  SPORTCORE_API std::size_t num_cameras() const noexcept;
  SPORTCORE_API const TriangulateOptions& options() const noexcept;

 private:
  struct Prepared;
  std::unique_ptr<const Prepared> prepared_;
};

extern template class Triangulator<float>;
extern template class Triangulator<double>;

}  // namespace sportcore

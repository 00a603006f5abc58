// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Cameras and options as the triangulation kernels read them. Private.
#pragma once

#include <vector>

#include "sportcore/triangulate.h"
#include "sportcore/triangulate_point.h"

namespace sportcore {

/// Most pairs that a search looks at. All of them for 16 cameras and fewer; beyond, the cost of a point stays
/// linear in the cameras.
constexpr int kMaxPairs = 120;

template <class S>
struct TriangulateSetup {
  std::vector<TriangulateCamera<S>> cameras;
  std::vector<CameraPair> pairs;  // the best first; every camera occurs early
  TriangulateParams<S> params;
};

/// Moves the world's origin to the middle of the cameras and rounds to S.
template <class S>
TriangulateSetup<S> make_setup(const Camera<double>* cameras, std::size_t n_cameras,
                               const TriangulateOptions& options);

extern template TriangulateSetup<float> make_setup<float>(const Camera<double>*, std::size_t,
                                                          const TriangulateOptions&);
extern template TriangulateSetup<double> make_setup<double>(const Camera<double>*, std::size_t,
                                                            const TriangulateOptions&);

}  // namespace sportcore

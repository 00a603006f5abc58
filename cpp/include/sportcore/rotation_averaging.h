// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Rotations of cameras from measured rotations between pairs of them, some of which are wrong.
///
/// Convention: R_second = R_edge R_first for a perfect edge, all of them camera-from-world. The residual of
/// an edge is the rotation vector log(R_second R_first^T R_edge^T).
///
/// Sources: V. M. Govindu, "Lie-algebraic averaging for globally consistent motion estimation", CVPR 2004;
/// A. Chatterjee, V. M. Govindu, "Efficient and robust large-scale rotation averaging", ICCV 2013 (a spanning
/// tree, then the L1 norm, then a redescending loss, by reweighted least squares on the Lie algebra).
#pragma once

#include <cstddef>
#include <vector>

#include "sportcore/hd.h"

namespace sportcore {

struct RotationEdge {
  int first = 0, second = 0;
  double R[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // row-major, second from first
  double sigma_rad = 0.02;                    // deviation about each axis
};

struct RotationAveragingOptions {
  double loss_scale = 3.0;  // of the Geman-McClure loss, in deviations
  int max_l1_iterations = 30;
  int max_iterations = 60;
  double tolerance_rad = 1e-10;  // of the largest step
};

struct RotationAveragingResult {
  std::vector<double> R;             // (n, 9) row-major; the identity for the first node of each component
  std::vector<int> component;        // (n) counted from 0 in the order of their first nodes
  int num_components = 0;            // nodes without edges are components of their own
  std::vector<double> residual_rad;  // (num_edges) angle
  std::vector<double> weight;        // (num_edges) of the loss at the end, 0 to 1
  double cost = 0;                   // sum of the bounded loss, of which an outlier costs at most one
  int iterations = 0;
  bool converged = false;
};

/// Robust average. A component is started from spanning trees of edges that close triangles with others and
/// of small deviation; what ends with the lower cost is kept. Of two wrong edges that agree against one right
/// edge no method can know. Throws InputError for nodes out of range, an edge from a node to itself, what is
/// no rotation, or deviations that are not positive.
SPORTCORE_API RotationAveragingResult average_rotations(std::size_t num_nodes, const RotationEdge* edges,
                                                        std::size_t num_edges,
                                                        const RotationAveragingOptions& options);

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// The bundle adjustment as a problem for levenberg_marquardt().
#pragma once

#include <Eigen/Dense>
#include <memory>
#include <vector>

#include "bundle_frame.h"
#include "sportcore/bundle.h"

namespace sportcore::detail {

using MatX = Eigen::MatrixXd;
using VecX = Eigen::VectorXd;

constexpr int kMaxBlock = 12;  // unknowns that one observation can touch

struct BundleState {
  std::vector<Camera<double>> cameras;
  std::vector<double> points;
  std::vector<double> lengths;
  std::vector<double> offset, drift;  // (C) each, empty when the clocks are in step
};

// Where the unknowns stand: 6 per camera, then the extra ones, then the lengths.
struct BundleLayout {
  int cameras = 0, block = 6, extras = 0, lengths = 0;
  std::vector<BundleResult::Kind> columns;  // what columns 6 .. block of an observation are
  std::vector<BundleResult::Extra> extra;
  std::vector<int> index;           // (cameras, block) -> unknown
  std::vector<double> prior_sigma;  // (extras) 0: none

  BundleLayout(int num_cameras, const BundleOptions& options, const BundleObservations& obs);
  int of(int camera, int k) const { return index[camera * block + k]; }
  int length(int l) const { return 6 * cameras + extras + l; }
  int size() const { return 6 * cameras + extras + lengths; }
};

class BundleProblem {
 public:
  BundleProblem(const BundleObservations& obs, const BundleOptions& options, const BundleState& start);

  // For levenberg_marquardt().
  double linearize(const BundleState& s);
  double cost(const BundleState& s);
  double gradient_max() const { return current_->gc.size() ? current_->gc.cwiseAbs().maxCoeff() : 0.0; }
  bool solve(double damping, double* predicted, double* relative_step);
  const BundleState& moved() const { return moved_; }

  const BundleLayout& layout() const { return layout_; }
  // At the last linearisation: covariance of the unknowns of the layout, from sigma when all errors are
  // independent, else at least that, grown to the sandwich over the clusters.
  std::vector<double> covariance(double sigma_px, double* correlation);
  void statistics(BundleResult& result) const;

 private:
  struct Edge {                             // a length between two points, linearised
    double u[3], weight = 0, residual = 0;  // weight includes the robust one; 0: not used
  };
  // What one linearisation leaves behind.
  struct System {
    MatX Hcc;                 // (P, P) before elimination, lower triangle
    VecX gc;                  // (P)
    std::vector<double> Hpp;  // (N, 6) packed, observations only
    std::vector<double> gp;   // (N, 3) observations and lengths
    std::vector<double> W;    // (M, block, 3) weighted J_unknown^T J_point
    std::vector<Edge> edges;
    std::vector<std::uint8_t> held;  // (N) the observations do not fix the point
    double cost = 0;
  };
  struct Lane;

  void fill(const BundleState& s, System& sys) const;
  void fill_observations(const BundleState& s, System& sys) const;
  void fill_lengths(const BundleState& s, System& sys) const;
  void fill_priors(const BundleState& s, System& sys) const;
  bool observe(const BundleState& s, std::size_t p, std::int64_t o, double r[2], double* Jp, double* J) const;
  // Schur complement S (lower triangle) and reduced gradient g. scores (P, labels): the reduced gradient by
  // label.
  void reduce(double damping, MatX& S, VecX& g, const std::int32_t* labels, MatX* scores);
  void eliminate_frame(std::size_t f, double damping, Lane& lane, const std::int32_t* labels);
  void gather_columns(std::size_t p, double* w) const;  // (3, P) dense columns of a point
  bool weighted_row(std::size_t p, std::int64_t o, double r[2], double* J, double* k) const;
  void drop(std::size_t p, MatX& S, VecX& g) const;
  void camera_scores(std::size_t p, std::int32_t label, MatX& scores) const;
  bool setup_frame(std::size_t f, double damping, FrameFactor& factor) const;
  void step_points(double damping, const VecX& d, std::vector<double>& gain);
  MatX gauge_directions(const BundleState& s) const;  // (P, G) orthonormal, over poses and clocks
  MatX gauge_motions(const BundleState& s) const;     // (P, G) what the gauge does to all unknowns

  double weight(std::int64_t o) const { return obs_.weight ? obs_.weight[o] : 1.0; }
  std::size_t frames() const { return obs_.lengths ? obs_.num_frames : obs_.num_points; }
  std::size_t frame_begin(std::size_t f) const {
    return obs_.lengths ? static_cast<std::size_t>(obs_.frame_offset[f]) : f;
  }

  // visit(edge, a, b, row) for the lengths in use of a frame: a and b count from its first point, row is the
  // unknown.
  template <class Visit>
  void each_length(std::size_t f, const Visit& visit) const {
    if (!obs_.lengths) return;
    const std::int64_t first = obs_.frame_offset[f];
    for (std::int32_t k = edge_begin_[f]; k < edge_begin_[f + 1]; ++k) {
      const std::int32_t e = edge_order_[k];
      const Edge& edge = current_->edges[e];
      if (edge.weight > 0)
        visit(edge, static_cast<int>(obs_.lengths->first[e] - first),
              static_cast<int>(obs_.lengths->second[e] - first), layout_.length(obs_.lengths->index[e]));
    }
  }

  const BundleObservations& obs_;
  const BundleOptions& options_;
  BundleLayout layout_;
  BundleState prior_;
  int C_, P_;
  std::size_t N_;
  std::vector<std::int32_t> edge_begin_;  // (frames + 1) edges sorted by frame
  std::vector<std::int32_t> edge_order_;
  std::unique_ptr<System> current_, trial_;
  bool trial_valid_ = false;
  BundleState state_, moved_;
};

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <memory>

#include "c_api.h"
#include "sportcore/bundle.h"
#include "sportcore/calibrate.h"
#include "sportcore/parallel.h"

using namespace sportcore;
using namespace sportcore::c_api;

struct sportcore_calibration {
  CalibrateResult result;
  std::size_t num_joints = 0;
};

namespace sportcore::c_api {
namespace {

constexpr std::size_t kMostJoints = 1024;

/// Observations as the solver reads them, and what had to be made for that.
struct Body {
  BodyObservations in;
  std::vector<Intrinsics<double>> lens;
  std::vector<double> weight;
  std::vector<RotationEdge> votes;
};

void check_indices(const std::int32_t* index, std::size_t n, std::size_t limit, const char* what) {
  for (std::size_t k = 0; k < n; ++k)
    require(index[k] >= 0 && static_cast<std::size_t>(index[k]) < limit,
            std::string(what) + " " + std::to_string(k) + " is " + std::to_string(index[k]) +
                ", outside 0 to " + std::to_string(limit) + ".");
}

void read(const sportcore_rig* rig, const sportcore_body_observations* given, Body& out) {
  need(rig, "rig"), need(given, "observations");
  const sportcore_body_observations o =
      load(given, sportcore_body_observations{}, sizeof(sportcore_body_observations), "observations");
  const std::size_t C = rig->cameras.size(), T = o.num_frames, J = o.num_joints;
  require(C <= SPORTCORE_MAX_VIEWS, "At most 64 cameras can be calibrated at once.");
  require(T >= 1 && T <= INT32_MAX, "num_frames is " + std::to_string(T) + ".");
  require(J >= 1 && J <= kMostJoints, "num_joints is " + std::to_string(J) + ", outside 1 to 1024.");
  check_count("num_frames", {C, T, J, 2});
  need(o.xy_px, "observations.xy_px");
  BodyObservations& in = out.in;
  in.num_cameras = C, in.num_frames = T, in.num_joints = J;
  in.xy = o.xy_px, in.weight = o.weight;
  if (!in.weight) {
    out.weight.resize(C * T * J);
    for (std::size_t k = 0; k < out.weight.size(); ++k)
      out.weight[k] = std::isfinite(o.xy_px[2 * k]) && std::isfinite(o.xy_px[2 * k + 1]) ? 1.0 : 0.0;
    in.weight = out.weight.data();
  }
  for (const Camera<double>& c : rig->cameras) out.lens.push_back(c.lens);
  in.lens = out.lens.data();
  if (o.flip) {
    check_indices(o.flip, J, J, "flip");
    for (std::size_t j = 0; j < J; ++j)
      require(o.flip[o.flip[j]] == static_cast<std::int32_t>(j), "flip must exchange joints in pairs.");
    in.flip = o.flip;
  }
  if (o.num_bones > 0) {
    need(o.bones, "observations.bones");
    require(o.num_bones <= J * J, "num_bones is " + std::to_string(o.num_bones) + ".");
    check_indices(o.bones, 2 * o.num_bones, J, "bones");
    for (std::size_t b = 0; b < o.num_bones; ++b)
      require(o.bones[2 * b] != o.bones[2 * b + 1], "bones must name two different joints each.");
    in.num_bones = o.num_bones, in.bones = o.bones;
  }
  if (o.num_bone_pairs > 0) {
    need(o.bone_pairs, "observations.bone_pairs");
    require(o.num_bone_pairs <= o.num_bones, "There are more bone_pairs than bones.");
    check_indices(o.bone_pairs, 2 * o.num_bone_pairs, o.num_bones, "bone_pairs");
    in.num_bone_pairs = o.num_bone_pairs, in.bone_pairs = o.bone_pairs;
  }
  in.sides = o.sides;
  in.frame_s = o.frame_s;
  if (o.num_votes > 0) {
    need(o.vote_cameras, "observations.vote_cameras"), need(o.vote_R, "observations.vote_R");
    need(o.vote_sigma_rad, "observations.vote_sigma_rad");
    require(o.num_votes <= 64 * 64, "num_votes is " + std::to_string(o.num_votes) + ".");
    check_indices(o.vote_cameras, 2 * o.num_votes, C, "vote_cameras");
    for (std::size_t k = 0; k < o.num_votes; ++k) {
      RotationEdge edge;
      edge.first = o.vote_cameras[2 * k], edge.second = o.vote_cameras[2 * k + 1];
      std::copy(o.vote_R + 9 * k, o.vote_R + 9 * k + 9, edge.R);
      edge.sigma_rad = o.vote_sigma_rad[k];
      require(edge.first != edge.second, "vote_cameras must name two different cameras each.");
      require(edge.sigma_rad > 0 && std::isfinite(edge.sigma_rad), "vote_sigma_rad must be positive.");
      for (double v : edge.R) require(std::isfinite(v), "vote_R is not finite.");
      out.votes.push_back(edge);
    }
    in.num_votes = out.votes.size(), in.votes = out.votes.data();
  }
}

FocalRefinement focal_of(std::int32_t focal) {
  require(focal >= SPORTCORE_FOCAL_FIXED && focal <= SPORTCORE_FOCAL_SHARED,
          "options: unknown focal " + std::to_string(focal) + ".");
  return static_cast<FocalRefinement>(focal);
}

sportcore_calibrate_options default_calibrate_options() {
  const CalibrateOptions d;
  sportcore_calibrate_options o{};
  o.struct_size = sizeof(o);
  o.max_reprojection_error_px = d.max_reprojection_error_px;
  o.min_parallax_rad = d.min_parallax_rad;
  o.focal_sigma = d.focal_sigma;
  o.principal_point_sigma_px = d.principal_point_sigma_px;
  o.radial_sigma = d.radial_sigma;
  o.seed = d.seed;
  o.max_frames = d.max_frames;
  o.max_start_frames = d.max_start_frames;
  o.min_shared_points = d.min_shared_points;
  o.focal = static_cast<std::int32_t>(d.focal);
  o.principal_point = d.principal_point;
  o.radial = d.radial;
  o.bone_lengths = d.bone_lengths;
  o.clocks = d.clocks;
  o.drift = d.drift;
  o.probe_focal = d.probe_focal;
  o.undo_swaps = d.undo_swaps;
  o.num_threads = d.num_threads;
  return o;
}

CalibrateOptions read(const sportcore_calibrate_options* given) {
  const sportcore_calibrate_options o =
      load(given, default_calibrate_options(), sizeof(sportcore_calibrate_options), "options");
  CalibrateOptions out;
  out.max_reprojection_error_px = o.max_reprojection_error_px;
  out.min_parallax_rad = o.min_parallax_rad;
  out.focal_sigma = o.focal_sigma;
  out.principal_point_sigma_px = o.principal_point_sigma_px;
  out.radial_sigma = o.radial_sigma;
  out.seed = o.seed;
  out.max_frames = o.max_frames;
  out.max_start_frames = o.max_start_frames;
  out.min_shared_points = o.min_shared_points;
  out.focal = focal_of(o.focal);
  out.principal_point = o.principal_point != 0;
  out.radial = o.radial != 0;
  out.bone_lengths = o.bone_lengths != 0;
  out.clocks = o.clocks != 0;
  out.drift = o.drift != 0;
  out.probe_focal = o.probe_focal != 0;
  out.undo_swaps = o.undo_swaps != 0;
  out.num_threads = resolve_threads(o.num_threads);
  for (double v : {out.min_parallax_rad, out.focal_sigma, out.principal_point_sigma_px, out.radial_sigma})
    require(v >= 0 && std::isfinite(v), "options: deviations and angles must not be negative.");
  require(std::isfinite(out.max_reprojection_error_px), "options: max_reprojection_error_px is not finite.");
  require(out.min_shared_points > 0, "options: min_shared_points must be positive.");
  return out;
}

sportcore_bundle_options default_bundle_options() {
  const BundleOptions d;
  sportcore_bundle_options o{};
  o.struct_size = sizeof(o);
  o.loss_scale_px = d.loss_scale_px;
  o.focal_sigma = d.focal_sigma;
  o.principal_point_sigma_px = d.principal_point_sigma_px;
  o.radial_sigma = d.radial_sigma;
  o.sigma_px = d.sigma_px;
  o.cost_tolerance = d.cost_tolerance;
  o.step_tolerance = d.step_tolerance;
  o.loss = static_cast<std::int32_t>(d.loss);
  o.focal = static_cast<std::int32_t>(d.focal);
  o.principal_point = d.principal_point;
  o.radial = d.radial;
  o.max_iterations = d.max_iterations;
  o.num_threads = d.num_threads;
  return o;
}

BundleOptions read(const sportcore_bundle_options* given) {
  const sportcore_bundle_options o =
      load(given, default_bundle_options(), sizeof(sportcore_bundle_options), "options");
  require(o.loss >= SPORTCORE_LOSS_TRIVIAL && o.loss <= SPORTCORE_LOSS_GEMAN_MCCLURE,
          "options: unknown loss " + std::to_string(o.loss) + ".");
  require(o.loss_scale_px > 0 && o.sigma_px > 0, "options: loss_scale_px and sigma_px must be positive.");
  require(o.max_iterations > 0, "options: max_iterations must be positive.");
  for (double v :
       {o.focal_sigma, o.principal_point_sigma_px, o.radial_sigma, o.cost_tolerance, o.step_tolerance})
    require(v >= 0 && std::isfinite(v), "options: deviations and tolerances must not be negative.");
  BundleOptions out;
  out.loss_scale_px = o.loss_scale_px;
  out.focal_sigma = o.focal_sigma;
  out.principal_point_sigma_px = o.principal_point_sigma_px;
  out.radial_sigma = o.radial_sigma;
  out.sigma_px = o.sigma_px;
  out.cost_tolerance = o.cost_tolerance;
  out.step_tolerance = o.step_tolerance;
  out.loss = static_cast<Loss>(o.loss);
  out.focal = focal_of(o.focal);
  out.principal_point = o.principal_point != 0;
  out.radial = o.radial != 0;
  out.max_iterations = o.max_iterations;
  out.num_threads = resolve_threads(o.num_threads);
  out.compute_covariance = false;
  return out;
}

template <class T>
const T* array_or_null(const std::vector<T>& v) {
  return v.empty() ? nullptr : v.data();
}

}  // namespace
}  // namespace sportcore::c_api

extern "C" {

sportcore_result sportcore_calibrate_options_init(sportcore_calibrate_options* options, size_t struct_size) {
  return guarded(
      [&] { store(default_calibrate_options(), options, struct_size, sizeof(*options), "options"); });
}

sportcore_result sportcore_calibrate(const sportcore_rig* rig,
                                     const sportcore_body_observations* observations,
                                     const sportcore_calibrate_options* options,
                                     sportcore_calibration** calibration) {
  return guarded([&] {
    need(calibration, "calibration");
    *calibration = nullptr;
    Body body;
    read(rig, observations, body);
    CalibrateOptions o = read(options);
    o.bone_lengths = o.bone_lengths && body.in.num_bones > 0;
    require(!o.clocks || (body.in.frame_s > 0 && std::isfinite(body.in.frame_s)),
            "Clocks need observations.frame_s, the time from frame to frame.");
    std::unique_ptr<sportcore_calibration> made(new sportcore_calibration);
    made->result = calibrate_bodies(body.in, o);
    made->num_joints = body.in.num_joints;
    const CalibrateResult& r = made->result;
    if (r.start_first < 0)
      throw DegenerateError("No pair of cameras shares enough joints under enough parallax to start from.",
                            "Check synchronisation, lenses, and that all cameras show the same person.");
    bool any = false;
    for (double v : r.points) any = any || std::isfinite(v);
    if (!any) throw DegenerateError("No joint could be reconstructed.", "Check synchronisation and lenses.");
    for (const Camera<double>& c : r.cameras)
      for (int k = 0; k < 9; ++k)
        if (!std::isfinite(c.R[k]) || !std::isfinite(c.t[k % 3]))
          throw DegenerateError("The adjustment of the cameras broke down.", "Check lenses and keypoints.");
    *calibration = made.release();
  });
}

void sportcore_calibration_destroy(sportcore_calibration* calibration) { delete calibration; }

sportcore_result sportcore_calibration_rig(const sportcore_calibration* calibration, sportcore_rig** rig) {
  return guarded([&] {
    need(rig, "rig");
    *rig = nullptr;
    need(calibration, "calibration");
    *rig = new sportcore_rig{calibration->result.cameras};
  });
}

sportcore_result sportcore_calibration_summarize(const sportcore_calibration* calibration,
                                                 sportcore_calibration_summary* summary) {
  return guarded([&] {
    need(calibration, "calibration"), need(summary, "summary");
    const CalibrateResult& r = calibration->result;
    sportcore_calibration_summary s{};
    s.num_cameras = r.cameras.size();
    s.num_frames = r.frames.size();
    s.num_joints = calibration->num_joints;
    for (std::uint8_t c : r.connected) s.num_connected += c != 0;
    s.num_observations = r.bundle.num_used;
    s.num_params = r.bundle.covariance.empty() ? 0 : static_cast<std::size_t>(r.bundle.num_params);
    s.sigma_px = r.sigma_px;
    s.detector_bias_px = r.detector_bias_px;
    s.focal_factor = r.focal_factor;
    s.focal_factor_sigma = r.focal_factor_sigma;
    s.start_first = r.start_first;
    s.start_second = r.start_second;
    s.converged = r.bundle.lm.converged;
    s.bones_used = r.bones_used;
    s.start_from_sides = r.start_from_sides;
    s.start_from_rotations = r.start_from_rotations;
    s.focal_probed = r.focal_probed;
    s.iterations = r.bundle.lm.iterations;
    store(s, summary, summary->struct_size, sizeof(s), "summary");
  });
}

const uint8_t* sportcore_calibration_connected(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.connected) : nullptr;
}

const int32_t* sportcore_calibration_frames(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.frames) : nullptr;
}

const double* sportcore_calibration_points(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.points) : nullptr;
}

const uint8_t* sportcore_calibration_inlier(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.inlier) : nullptr;
}

const uint8_t* sportcore_calibration_swapped(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.swapped) : nullptr;
}

const double* sportcore_calibration_bone_lengths(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.bone_length) : nullptr;
}

const double* sportcore_calibration_time_offsets(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.time_offset) : nullptr;
}

const double* sportcore_calibration_covariance(const sportcore_calibration* calibration) {
  return calibration ? array_or_null(calibration->result.bundle.covariance) : nullptr;
}

sportcore_result sportcore_find_swaps(const sportcore_rig* rig,
                                      const sportcore_body_observations* observations, double threshold_px,
                                      int32_t num_threads, uint8_t* swapped) {
  return guarded([&] {
    need(swapped, "swapped");
    Body body;
    read(rig, observations, body);
    need(body.in.flip, "observations.flip");
    require(std::isfinite(threshold_px), "threshold_px is not finite.");
    const std::vector<std::uint8_t> found =
        find_swaps(body.in, rig->cameras.data(), threshold_px, resolve_threads(num_threads));
    std::copy(found.begin(), found.end(), swapped);
  });
}

sportcore_result sportcore_bundle_options_init(sportcore_bundle_options* options, size_t struct_size) {
  return guarded([&] { store(default_bundle_options(), options, struct_size, sizeof(*options), "options"); });
}

sportcore_result sportcore_adjust_bundle(const sportcore_rig* rig, double* points, size_t num_points,
                                         const int64_t* point_offset, const int32_t* camera,
                                         const double* xy_px, const double* weight,
                                         const sportcore_bundle_options* options, sportcore_rig** adjusted,
                                         sportcore_bundle_summary* summary) {
  return guarded([&] {
    need(adjusted, "adjusted");
    *adjusted = nullptr;
    need(rig, "rig"), need(points, "points"), need(point_offset, "point_offset");
    need(camera, "camera"), need(xy_px, "xy_px");
    if (summary) check_struct_size(summary->struct_size, sizeof(sportcore_bundle_summary), "summary");
    require(num_points >= 1 && num_points <= INT32_MAX, "num_points is " + std::to_string(num_points) + ".");
    const BundleOptions o = read(options);
    BundleObservations in;
    in.num_points = num_points;
    in.point_offset = point_offset;
    in.camera = camera;
    in.xy = xy_px;
    in.weight = weight;
    std::vector<double> moved(points, points + 3 * num_points);
    std::unique_ptr<sportcore_rig> made(new sportcore_rig(*rig));
    const BundleResult r = adjust_bundle(made->cameras.data(), made->cameras.size(), moved.data(), in, o);
    if (summary) {
      sportcore_bundle_summary s{};
      s.num_used = r.num_used;
      s.num_held = r.num_held;
      s.initial_cost = r.lm.initial_cost;
      s.cost = r.lm.cost;
      s.sigma_px = r.sigma_px;
      s.iterations = r.lm.iterations;
      s.converged = r.lm.converged;
      store(s, summary, summary->struct_size, sizeof(s), "summary");
    }
    std::copy(moved.begin(), moved.end(), points);
    *adjusted = made.release();
  });
}

}  // extern "C"

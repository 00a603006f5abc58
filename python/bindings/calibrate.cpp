// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/calibrate.h"

#include <algorithm>
#include <memory>

#include "bindings.h"
#include "rotations.h"
#include "sportcore/essential.h"
#include "sportcore/resection.h"

namespace sportcore::bindings {
namespace {

using Doubles = Array<double>;

FocalRefinement focal_from_name(const std::string& name) {
  if (name == "none") return FocalRefinement::kNone;
  if (name == "per_camera") return FocalRefinement::kPerCamera;
  if (name == "shared") return FocalRefinement::kShared;
  throw InputError("Unknown focal refinement '" + name + "'.", "Use none, per_camera or shared.");
}

Loss loss_from_name(const std::string& name) {
  if (name == "trivial") return Loss::kTrivial;
  if (name == "huber") return Loss::kHuber;
  if (name == "cauchy") return Loss::kCauchy;
  if (name == "geman_mcclure") return Loss::kGemanMcClure;
  throw InputError("Unknown loss '" + name + "'.", "Use trivial, huber, cauchy or geman_mcclure.");
}

template <class T>
py::array_t<T> copy_out(const std::vector<T>& v, std::vector<py::ssize_t> shape) {
  py::array_t<T> out(shape);
  std::copy(v.begin(), v.end(), out.mutable_data());
  return out;
}

py::array_t<bool> flags_out(const std::vector<std::uint8_t>& v, std::vector<py::ssize_t> shape) {
  py::array_t<bool> out(shape);
  std::copy(v.begin(), v.end(), out.mutable_data());
  return out;
}

py::array_t<double> small_out(const double* v, std::vector<py::ssize_t> shape) {
  py::array_t<double> out(shape);
  std::copy(v, v + out.size(), out.mutable_data());
  return out;
}

const double* weight_pointer(const py::object& weight, Doubles& holder, py::ssize_t n) {
  if (weight.is_none()) return nullptr;
  holder = weight.cast<Doubles>();
  check_shape(holder, "weight", {n});
  return holder.data();
}

py::tuple poses_out(const std::vector<Camera<double>>& cameras) {
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.size());
  Doubles R({C, py::ssize_t(3), py::ssize_t(3)}), t({C, py::ssize_t(3)}), focal({C, py::ssize_t(2)});
  for (py::ssize_t c = 0; c < C; ++c) {
    std::copy(cameras[c].R, cameras[c].R + 9, R.mutable_data(c));
    std::copy(cameras[c].t, cameras[c].t + 3, t.mutable_data(c));
    *focal.mutable_data(c, 0) = cameras[c].lens.fx;
    *focal.mutable_data(c, 1) = cameras[c].lens.fy;
  }
  return py::make_tuple(R, t, focal);
}

// (C, 5): fx, fy, cx, cy, k1
Doubles lenses_out(const std::vector<Camera<double>>& cameras) {
  Doubles out({static_cast<py::ssize_t>(cameras.size()), py::ssize_t(5)});
  for (std::size_t c = 0; c < cameras.size(); ++c) {
    const Intrinsics<double>& lens = cameras[c].lens;
    const double row[5] = {lens.fx, lens.fy, lens.cx, lens.cy, lens.k[0]};
    std::copy(row, row + 5, out.mutable_data(static_cast<py::ssize_t>(c)));
  }
  return out;
}

py::dict bundle_out(const BundleResult& r) {
  py::dict d;
  d["converged"] = r.lm.converged;
  d["stop"] = to_string(r.lm.stop);
  d["iterations"] = r.lm.iterations;
  d["initial_cost"] = r.lm.initial_cost;
  d["cost"] = r.lm.cost;
  d["sigma_px"] = r.sigma_px;
  d["num_used"] = r.num_used;
  d["num_held"] = r.num_held;
  py::list extra;
  const char* kinds[] = {"log_focal", "cx", "cy", "k1", "time_offset", "drift"};
  for (const BundleResult::Extra& e : r.extra)
    extra.append(py::make_tuple(kinds[static_cast<int>(e.kind)], e.camera));
  d["extra"] = extra;
  if (r.covariance.empty()) {
    d["covariance"] = py::none();
  } else {
    d["covariance"] = copy_out(r.covariance, {r.num_params, r.num_params});
  }
  return d;
}

const std::uint8_t* sides_pointer(const py::object& sides, Array<std::uint8_t>& holder, py::ssize_t C,
                                  py::ssize_t T) {
  if (sides.is_none()) return nullptr;
  holder = sides.cast<Array<std::uint8_t>>();
  check_shape(holder, "sides", {C, T});
  return holder.data();
}

void check_flip(const Array<std::int32_t>& flip, py::ssize_t J) {
  check_shape(flip, "flip", {J});
  for (py::ssize_t j = 0; j < J; ++j)
    require(flip.at(j) >= 0 && flip.at(j) < J && flip.at(flip.at(j)) == j,
            "flip must exchange joints in pairs.");
}

py::array_t<bool> swaps(const Doubles& xy, const Doubles& weight, const CameraArray& cameras,
                        const Array<std::int32_t>& flip, double threshold_px, int num_threads,
                        const py::object& sides) {
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size());
  check_shape(xy, "xy_px", {C, -1, -1, 2});
  const py::ssize_t T = xy.shape(1), J = xy.shape(2);
  check_shape(weight, "weight", {C, T, J});
  check_flip(flip, J);
  std::vector<Intrinsics<double>> lens;
  for (const Camera<double>& c : cameras.cameras) lens.push_back(c.lens);
  BodyObservations in;
  in.num_cameras = C, in.num_frames = T, in.num_joints = J;
  in.xy = xy.data(), in.weight = weight.data(), in.lens = lens.data(), in.flip = flip.data();
  Array<std::uint8_t> side_array;
  in.sides = sides_pointer(sides, side_array, C, T);
  std::vector<std::uint8_t> out;
  {
    py::gil_scoped_release release;
    out = find_swaps(in, cameras.cameras.data(), threshold_px, num_threads);
  }
  return flags_out(out, {C, T});
}

py::dict calibrate(const Doubles& xy, const Doubles& weight, const CameraArray& cameras,
                   const py::object& flip, double max_reprojection_error_px, int max_frames,
                   int max_start_frames, double min_parallax_rad, int min_shared_points,
                   const std::string& focal, bool probe_focal, bool undo_swaps, int num_threads,
                   std::uint64_t seed, const py::object& bones, const py::object& bone_pairs,
                   bool principal_point, bool radial, double focal_sigma, double principal_point_sigma_px,
                   double radial_sigma, bool clocks, bool drift, double frame_s, const py::object& votes,
                   const py::object& sides) {
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size());
  check_shape(xy, "xy_px", {C, -1, -1, 2});
  const py::ssize_t T = xy.shape(1), J = xy.shape(2);
  check_shape(weight, "weight", {C, T, J});
  std::vector<Intrinsics<double>> lens;
  for (const Camera<double>& c : cameras.cameras) lens.push_back(c.lens);
  Array<std::int32_t> flip_array;
  BodyObservations in;
  in.num_cameras = C, in.num_frames = T, in.num_joints = J;
  in.xy = xy.data(), in.weight = weight.data(), in.lens = lens.data();
  if (!flip.is_none()) {
    flip_array = flip.cast<Array<std::int32_t>>();
    check_flip(flip_array, J);
    in.flip = flip_array.data();
  }
  Array<std::int32_t> bone_array, pair_array;
  if (!bones.is_none()) {
    bone_array = bones.cast<Array<std::int32_t>>();
    check_shape(bone_array, "bones", {-1, 2});
    for (py::ssize_t b = 0; b < bone_array.shape(0); ++b)
      for (int k = 0; k < 2; ++k)
        require(
            bone_array.at(b, k) >= 0 && bone_array.at(b, k) < J && bone_array.at(b, 0) != bone_array.at(b, 1),
            "bones must name two different joints each.");
    in.num_bones = bone_array.shape(0), in.bones = bone_array.data();
    if (!bone_pairs.is_none()) {
      pair_array = bone_pairs.cast<Array<std::int32_t>>();
      check_shape(pair_array, "bone_pairs", {-1, 2});
      for (py::ssize_t b = 0; b < pair_array.size(); ++b)
        require(pair_array.data()[b] >= 0 && pair_array.data()[b] < bone_array.shape(0),
                "bone_pairs must name bones.");
      in.num_bone_pairs = pair_array.shape(0), in.bone_pairs = pair_array.data();
    }
  }
  const std::vector<RotationEdge> edges = edges_from(votes);
  for (const RotationEdge& e : edges)
    require(std::min(e.first, e.second) >= 0 && std::max(e.first, e.second) < C && e.first != e.second,
            "rotation_votes must name two different cameras each.");
  in.num_votes = edges.size(), in.votes = edges.data();
  Array<std::uint8_t> side_array;
  in.sides = sides_pointer(sides, side_array, C, T);
  in.frame_s = frame_s;
  require(!clocks || frame_s > 0, "Clocks need the time from frame to frame.");
  CalibrateOptions options;
  options.principal_point = principal_point;
  options.radial = radial;
  options.focal_sigma = focal_sigma;
  options.principal_point_sigma_px = principal_point_sigma_px;
  options.radial_sigma = radial_sigma;
  options.bone_lengths = in.num_bones > 0;
  options.clocks = clocks, options.drift = drift;
  options.max_reprojection_error_px = max_reprojection_error_px;
  options.max_frames = max_frames;
  options.max_start_frames = max_start_frames;
  options.min_parallax_rad = min_parallax_rad;
  options.min_shared_points = min_shared_points;
  options.focal = focal_from_name(focal);
  options.probe_focal = probe_focal;
  options.undo_swaps = undo_swaps;
  options.num_threads = num_threads;
  options.seed = seed;
  CalibrateResult r;
  {
    py::gil_scoped_release release;
    r = calibrate_bodies(in, options);
  }
  const py::ssize_t F = static_cast<py::ssize_t>(r.frames.size());
  py::dict d;
  const py::tuple poses = poses_out(r.cameras);
  d["R"] = poses[0];
  d["t"] = poses[1];
  d["focal_px"] = poses[2];
  d["connected"] = flags_out(r.connected, {C});
  py::list pairs;
  for (const PairEstimate& p : r.pairs) {
    py::dict q;
    q["cameras"] = py::make_tuple(p.first, p.second);
    q["success"] = p.success;
    q["num_shared"] = p.num_shared;
    q["num_inliers"] = p.num_inliers;
    q["median_residual_px"] = p.median_residual_px;
    q["median_parallax_rad"] = p.median_parallax_rad;
    q["R"] = small_out(p.R, {3, 3});
    q["t"] = small_out(p.t, {3});
    pairs.append(q);
  }
  d["pairs"] = pairs;
  d["start_from_sides"] = r.start_from_sides;
  d["start_from_rotations"] = r.start_from_rotations;
  d["start_pair"] = py::make_tuple(r.start_first, r.start_second);
  d["sigma_px"] = r.sigma_px;
  d["frames"] = copy_out(r.frames, {F});
  const bool any = !r.points.empty();
  d["points"] = any ? py::object(copy_out(r.points, {F, J, 3})) : py::none();
  d["inlier"] = any ? py::object(flags_out(r.inlier, {C, F, J})) : py::none();
  d["swapped"] = any ? py::object(flags_out(r.swapped, {C, F})) : py::none();
  d["bundle"] = bundle_out(r.bundle);
  d["bones_used"] = r.bones_used;
  d["detector_bias_px"] = r.detector_bias_px;
  d["bone_length"] = r.bone_length;
  d["bone_sigma"] = r.bone_sigma;
  d["time_offset_s"] = r.time_offset;
  d["clock_drift"] = r.clock_drift;
  d["lens"] = lenses_out(r.cameras);
  d["focal_probed"] = r.focal_probed;
  d["focal_factor"] = r.focal_factor;
  d["focal_factor_sigma"] = r.focal_factor_sigma;
  d["seconds"] = std::vector<double>(r.seconds.begin(), r.seconds.end());
  return d;
}

py::dict adjust(const CameraArray& cameras, const Doubles& points, const Array<std::int64_t>& point_offset,
                const Array<std::int32_t>& camera, const Doubles& xy, const py::object& weight,
                const std::string& loss, double loss_scale_px, const std::string& focal, int max_iterations,
                double cost_tolerance, double step_tolerance, int num_threads, const py::object& cluster,
                double sigma_px, bool principal_point, bool radial, const py::object& lengths,
                const py::object& clocks) {
  check_shape(points, "points_world_m", {-1, 3});
  const py::ssize_t N = points.shape(0);
  check_shape(point_offset, "point_offset", {N + 1});
  check_shape(camera, "camera", {-1});
  const py::ssize_t M = camera.shape(0);
  check_shape(xy, "xy_px", {M, 2});
  require(point_offset.at(N) == M, "point_offset must end with the number of observations.");
  Doubles weight_holder;
  Array<std::int32_t> cluster_holder;
  BundleObservations obs;
  obs.num_points = N;
  obs.point_offset = point_offset.data();
  obs.camera = camera.data();
  obs.xy = xy.data();
  obs.weight = weight_pointer(weight, weight_holder, M);
  if (!cluster.is_none()) {
    cluster_holder = cluster.cast<Array<std::int32_t>>();
    check_shape(cluster_holder, "cluster", {N});
    for (py::ssize_t i = 0; i < N; ++i) require(cluster_holder.at(i) >= 0, "cluster numbers start at 0.");
    obs.cluster = cluster_holder.data();
  }
  BundleOptions options;
  options.loss = loss_from_name(loss);
  options.loss_scale_px = loss_scale_px;
  options.focal = focal_from_name(focal);
  options.max_iterations = max_iterations;
  options.cost_tolerance = cost_tolerance;
  options.step_tolerance = step_tolerance;
  options.num_threads = num_threads;
  options.sigma_px = sigma_px;
  options.principal_point = principal_point;
  options.radial = radial;
  // Lengths: frame_offset (F + 1), edges (E, 2), index (E), sigma (L), value (L), excess (E).
  Array<std::int64_t> frame_offset;
  Array<std::int32_t> edges, index;
  Doubles sigma, excess;
  std::vector<double> value;
  std::vector<std::int32_t> first, second;
  BundleLengths bones;
  if (!lengths.is_none()) {
    const py::dict d = lengths.cast<py::dict>();
    frame_offset = d["frame_offset"].cast<Array<std::int64_t>>();
    edges = d["edges"].cast<Array<std::int32_t>>();
    index = d["index"].cast<Array<std::int32_t>>();
    sigma = d["sigma"].cast<Doubles>();
    const Doubles start = d["value"].cast<Doubles>();
    check_shape(edges, "edges", {-1, 2});
    check_shape(index, "index", {edges.shape(0)});
    check_shape(start, "value", {sigma.size()});
    value.assign(start.data(), start.data() + start.size());
    for (py::ssize_t e = 0; e < edges.shape(0); ++e)
      first.push_back(edges.at(e, 0)), second.push_back(edges.at(e, 1));
    bones.num_edges = first.size();
    bones.first = first.data(), bones.second = second.data(), bones.index = index.data();
    bones.num_lengths = value.size();
    bones.sigma = sigma.data(), bones.value = value.data();
    if (d.contains("excess")) {
      excess = d["excess"].cast<Doubles>();
      check_shape(excess, "excess", {edges.shape(0)});
      bones.excess = excess.data();
    }
    obs.num_frames = static_cast<std::size_t>(std::max<py::ssize_t>(frame_offset.size() - 1, 0));
    obs.frame_offset = frame_offset.data();
    obs.lengths = &bones;
  }
  // Clocks: time (N), velocity (N, 3), acceleration (N, 3), offset (C), drift (C), refine_drift.
  Doubles time, velocity, acceleration;
  std::vector<double> offset(cameras.cameras.size(), 0.0), drift(cameras.cameras.size(), 0.0);
  BundleClocks clock;
  if (!clocks.is_none()) {
    const py::dict d = clocks.cast<py::dict>();
    time = d["time"].cast<Doubles>();
    velocity = d["velocity"].cast<Doubles>();
    acceleration = d["acceleration"].cast<Doubles>();
    check_shape(time, "time", {N});
    check_shape(velocity, "velocity", {N, 3});
    check_shape(acceleration, "acceleration", {N, 3});
    clock.time = time.data(), clock.velocity = velocity.data(), clock.acceleration = acceleration.data();
    clock.offset = offset.data(), clock.drift = drift.data();
    clock.refine_drift = d.contains("refine_drift") && d["refine_drift"].cast<bool>();
    clock.drift_sigma = 0.0;
    obs.clocks = &clock;
  }
  std::vector<Camera<double>> out = cameras.cameras;
  std::vector<double> X(points.data(), points.data() + points.size());
  BundleResult r;
  {
    py::gil_scoped_release release;
    r = adjust_bundle(out.data(), out.size(), X.data(), obs, options);
  }
  py::dict d = bundle_out(r);
  const py::tuple poses = poses_out(out);
  d["R"] = poses[0];
  d["t"] = poses[1];
  d["focal_px"] = poses[2];
  d["points"] = copy_out(X, {N, 3});
  d["lens"] = lenses_out(out);
  d["lengths"] = value;
  d["time_offset_s"] = offset;
  d["clock_drift"] = drift;
  return d;
}

py::dict essential(const Doubles& x1, const Doubles& x2, double focal1_px, double focal2_px,
                   const py::object& weight, double max_residual_px, std::uint64_t seed) {
  check_shape(x1, "x1", {-1, 2});
  check_shape(x2, "x2", {x1.shape(0), 2});
  Doubles holder;
  const double* w = weight_pointer(weight, holder, x1.shape(0));
  EssentialOptions options;
  options.max_residual_px = max_residual_px;
  options.seed = seed;
  const EssentialResult r =
      estimate_essential(x1.data(), x2.data(), w, x1.shape(0), focal1_px, focal2_px, options);
  py::dict d;
  d["success"] = r.success;
  d["R"] = small_out(r.R, {3, 3});
  d["t"] = small_out(r.t, {3});
  d["inlier"] = flags_out(r.inlier, {x1.shape(0)});
  d["cost"] = r.cost;
  d["median_residual_px"] = r.median_residual_px;
  d["median_parallax_rad"] = r.median_parallax_rad;
  d["iterations"] = r.iterations;
  return d;
}

py::dict pose(const Doubles& X, const Doubles& x, double focal_px, const py::object& weight,
              double max_residual_px, std::uint64_t seed) {
  check_shape(X, "points_world_m", {-1, 3});
  check_shape(x, "x", {X.shape(0), 2});
  Doubles holder;
  const double* w = weight_pointer(weight, holder, X.shape(0));
  ResectionOptions options;
  options.max_residual_px = max_residual_px;
  options.seed = seed;
  const ResectionResult r = estimate_pose(X.data(), x.data(), w, X.shape(0), focal_px, options);
  py::dict d;
  d["success"] = r.success;
  d["R"] = small_out(r.R, {3, 3});
  d["t"] = small_out(r.t, {3});
  d["inlier"] = flags_out(r.inlier, {X.shape(0)});
  d["median_residual_px"] = r.median_residual_px;
  d["iterations"] = r.iterations;
  return d;
}

}  // namespace

void register_calibrate(py::module_& m) {
  m.def("calibrate_bodies", &calibrate, py::arg("xy_px"), py::arg("weight"), py::arg("cameras"),
        py::kw_only(), py::arg("flip") = py::none(), py::arg("max_reprojection_error_px") = 20.0,
        py::arg("max_frames") = 1000, py::arg("max_start_frames") = 100, py::arg("min_parallax_rad") = 0.035,
        py::arg("min_shared_points") = 30, py::arg("focal") = "none", py::arg("probe_focal") = false,
        py::arg("undo_swaps") = true, py::arg("num_threads") = 0, py::arg("seed") = 0,
        py::arg("bones") = py::none(), py::arg("bone_pairs") = py::none(), py::arg("principal_point") = false,
        py::arg("radial") = false, py::arg("focal_sigma") = 0.0, py::arg("principal_point_sigma_px") = 0.0,
        py::arg("radial_sigma") = 0.0, py::arg("clocks") = false, py::arg("drift") = false,
        py::arg("frame_s") = 0.0, py::arg("rotation_votes") = py::none(), py::arg("sides") = py::none(),
        "Camera poses from the keypoints (C, T, J, 2) px of a moving body, up to a similarity; see "
        "calibrate.h.");
  m.def("find_swaps", &swaps, py::arg("xy_px"), py::arg("weight"), py::arg("cameras"), py::arg("flip"),
        py::arg("threshold_px"), py::arg("num_threads") = 0, py::arg("sides") = py::none(),
        "Flags (C, T) of camera-frames with left and right exchanged, given the cameras.");
  m.def("adjust_bundle", &adjust, py::arg("cameras"), py::arg("points_world_m"), py::arg("point_offset"),
        py::arg("camera"), py::arg("xy_px"), py::kw_only(), py::arg("weight") = py::none(),
        py::arg("loss") = "cauchy", py::arg("loss_scale_px") = 6.0, py::arg("focal") = "none",
        py::arg("max_iterations") = 50, py::arg("cost_tolerance") = 1e-12, py::arg("step_tolerance") = 1e-9,
        py::arg("num_threads") = 0, py::arg("cluster") = py::none(), py::arg("sigma_px") = 1.0,
        py::arg("principal_point") = false, py::arg("radial") = false, py::arg("lengths") = py::none(),
        py::arg("clocks") = py::none(),
        "Robust bundle adjustment over observations in compressed rows (those of point p are point_offset[p] "
        "to "
        "point_offset[p + 1]); returns R, t, focal_px, points, covariance and the course of the iteration.");
  m.def("estimate_essential", &essential, py::arg("x1"), py::arg("x2"), py::arg("focal1_px"),
        py::arg("focal2_px"), py::kw_only(), py::arg("weight") = py::none(), py::arg("max_residual_px") = 8.0,
        py::arg("seed") = 0,
        "Robust relative pose (x2 = R x1 + t, |t| = 1) of two views from normalised points (N, 2).");
  m.def("estimate_pose", &pose, py::arg("points_world_m"), py::arg("x"), py::arg("focal_px"), py::kw_only(),
        py::arg("weight") = py::none(), py::arg("max_residual_px") = 12.0, py::arg("seed") = 0,
        "Robust pose of a camera from points (N, 3) and their normalised images (N, 2).");
  m.def(
      "essential_five_point",
      [](const Doubles& x1, const Doubles& x2) {
        check_shape(x1, "x1", {5, 2});
        check_shape(x2, "x2", {5, 2});
        double E[90];
        const int n = essential_five_point(x1.data(), x2.data(), E);
        return small_out(E, {n, 3, 3});
      },
      py::arg("x1"), py::arg("x2"),
      "Essential matrices (n <= 10, 3, 3) of five normalised correspondences (5, 2).");
  m.def(
      "pose_three_point",
      [](const Doubles& X, const Doubles& x) {
        check_shape(X, "points_world_m", {3, 3});
        check_shape(x, "x", {3, 2});
        double R[36], t[12];
        const int n = pose_three_point(X.data(), x.data(), R, t);
        return py::make_tuple(small_out(R, {n, 3, 3}), small_out(t, {n, 3}));
      },
      py::arg("points_world_m"), py::arg("x"),
      "Poses (n <= 4) of a camera from three points (3, 3) and images (3, 2).");
  m.def(
      "sampson_residual",
      [](const Doubles& R, const Doubles& t, const Doubles& x1, const Doubles& x2, double focal1_px,
         double focal2_px) {
        check_shape(R, "R", {3, 3});
        check_shape(t, "t", {3});
        check_shape(x1, "x1", {2});
        check_shape(x2, "x2", {2});
        double J[5], basis[6];
        const double r =
            sampson_residual_px(R.data(), t.data(), x1.data(), x2.data(), focal1_px, focal2_px, J);
        tangent_basis(t.data(), basis);
        return py::make_tuple(r, small_out(J, {5}), small_out(basis, {2, 3}));
      },
      py::arg("R"), py::arg("t"), py::arg("x1"), py::arg("x2"), py::arg("focal1_px"), py::arg("focal2_px"),
      "Sampson distance (px), its Jacobian (5,) and the tangent basis (2, 3) of t.");
  m.def(
      "select_frames",
      [](const Doubles& xy, const Doubles& weight, int max_frames) {
        check_shape(xy, "xy_px", {-1, -1, -1, 2});
        check_shape(weight, "weight", {xy.shape(0), xy.shape(1), xy.shape(2)});
        BodyObservations in;
        in.num_cameras = xy.shape(0), in.num_frames = xy.shape(1), in.num_joints = xy.shape(2);
        in.xy = xy.data(), in.weight = weight.data();
        const std::vector<std::int32_t> frames = select_frames(in, max_frames);
        return copy_out(frames, {static_cast<py::ssize_t>(frames.size())});
      },
      py::arg("xy_px"), py::arg("weight"), py::arg("max_frames"),
      "Frames spread evenly over time and over the distance that the joints moved.");
}

}  // namespace sportcore::bindings

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The C interface: what it refuses, how structs grow, and that it gives what the C++ functions give.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <thread>

#include "check.h"
#include "scene.h"
#include "sportcore/bundle.h"
#include "sportcore/calibrate.h"
#include "sportcore/similarity.h"
#include "sportcore/sportcore_c.h"
#include "sportcore/triangulate.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

constexpr std::size_t kHuge = std::numeric_limits<std::size_t>::max();

void expect_result(sportcore_result got, sportcore_result wanted, const std::string& what) {
  expect(got == wanted, what + ": " + sportcore_result_name(got) + " (" + sportcore_last_error() + ")");
  if (wanted != SPORTCORE_OK) expect(sportcore_last_error()[0] != '\0', what + ": says why");
}

struct Arrays {
  std::vector<std::int32_t> model;
  std::vector<double> K, k, R, t;
};

Arrays arrays_of(const std::vector<Camera<double>>& cameras) {
  Arrays a;
  for (const Camera<double>& c : cameras) {
    a.model.push_back(c.lens.model);
    for (double v : {c.lens.fx, 0.0, c.lens.cx, 0.0, c.lens.fy, c.lens.cy, 0.0, 0.0, 1.0}) a.K.push_back(v);
    a.k.insert(a.k.end(), c.lens.k, c.lens.k + 8);
    a.R.insert(a.R.end(), c.R, c.R + 9);
    a.t.insert(a.t.end(), c.t, c.t + 3);
  }
  return a;
}

sportcore_rig* rig_of(const std::vector<Camera<double>>& cameras) {
  const Arrays a = arrays_of(cameras);
  sportcore_rig* rig = nullptr;
  expect_result(sportcore_rig_create(cameras.size(), a.model.data(), a.K.data(), a.k.data(), a.R.data(),
                                     a.t.data(), &rig),
                SPORTCORE_OK, "a rig");
  return rig;
}

Camera<double> camera_of(const sportcore_rig* rig, std::size_t index) {
  Camera<double> c{};
  double K[9];
  std::int32_t model = -1;
  expect_result(sportcore_rig_camera(rig, index, &model, K, c.lens.k, c.R, c.t), SPORTCORE_OK, "a camera");
  c.lens.model = model;
  c.lens.fx = K[0], c.lens.fy = K[4], c.lens.cx = K[2], c.lens.cy = K[5];
  return c;
}

void rigs() {
  for (const ModelCase& m : model_cases()) {
    const auto cameras = ring_of_cameras(3, m.model, m.n);
    sportcore_rig* rig = rig_of(cameras);
    const Camera<double> back = camera_of(rig, 2);
    expect(back.lens.model == m.model && std::memcmp(back.R, cameras[2].R, sizeof(back.R)) == 0 &&
               std::memcmp(back.lens.k, cameras[2].lens.k, sizeof(back.lens.k)) == 0,
           std::string(m.name) + ": a camera comes back as it was");
    sportcore_rig_destroy(rig);
  }
  Arrays a = arrays_of(ring_of_cameras(2, kBrown, 5));
  sportcore_rig_params p{};
  p.struct_size = sizeof(p);
  p.num_cameras = 2;
  p.K = a.K.data();
  sportcore_rig* rig = nullptr;
  expect_result(sportcore_rig_create_from(&p, &rig), SPORTCORE_OK, "lenses alone");
  const Camera<double> plain = camera_of(rig, 0);
  expect(plain.lens.model == kPinhole && plain.R[0] == 1 && plain.R[1] == 0 && plain.t[2] == 0, "defaults");
  sportcore_rig_destroy(rig);

  const auto refused = [&](sportcore_result wanted, const char* what) {
    rig = reinterpret_cast<sportcore_rig*>(&p);
    expect_result(sportcore_rig_create_from(&p, &rig), wanted, what);
    expect(rig == nullptr, std::string(what) + ": the handle is null");
  };
  for (std::size_t n : {std::size_t(0), kHuge, std::size_t(SPORTCORE_MAX_CAMERAS) + 1}) {
    p.num_cameras = n;
    refused(SPORTCORE_ERROR_INPUT, "an impossible number of cameras");
  }
  p.num_cameras = 2;
  for (std::size_t size : {std::size_t(0), sizeof(p) - 8, std::size_t(5000), kHuge}) {
    p.struct_size = size;
    refused(SPORTCORE_ERROR_VERSION, "an impossible struct_size");
  }
  p.struct_size = sizeof(p);
  const std::int32_t models[2] = {1, 3};
  p.model = models;
  refused(SPORTCORE_ERROR_INPUT, "an unknown model");
  p.model = nullptr;
  for (std::size_t bad : {0, 1, 8, 11}) {
    Arrays b = a;
    b.K[bad] = bad == 11 ? std::nan("") : -3.0;
    p.K = b.K.data();
    refused(SPORTCORE_ERROR_INPUT, "a K that is none");
  }
  p.K = a.K.data();
  std::vector<double> mirrored = a.R;
  for (int i = 0; i < 3; ++i) mirrored[i] = -mirrored[i];
  p.R = mirrored.data();
  refused(SPORTCORE_ERROR_INPUT, "a reflection");
  p.R = nullptr;
  p.K = nullptr;
  refused(SPORTCORE_ERROR_INPUT, "no K");
  expect_result(sportcore_rig_create_from(nullptr, &rig), SPORTCORE_ERROR_INPUT, "no parameters");
  expect_result(sportcore_rig_create_from(&p, nullptr), SPORTCORE_ERROR_INPUT, "no handle");
  sportcore_rig_destroy(nullptr);
  expect(sportcore_rig_size(nullptr) == 0, "no rig has no cameras");
  expect_result(sportcore_rig_camera(nullptr, 0, nullptr, nullptr, nullptr, nullptr, nullptr),
                SPORTCORE_ERROR_INPUT, "a camera of no rig");
}

void a_similarity_changes_no_image() {
  const auto cameras = ring_of_cameras(4, kBrown, 5);
  sportcore_rig *rig = rig_of(cameras), *moved = nullptr;
  Similarity s;
  s.scale = 2.5;
  const double w[3] = {0.3, -0.8, 0.4};
  so3_exp(w, s.R);
  s.t[0] = 3, s.t[1] = -1, s.t[2] = 0.5;
  expect_result(sportcore_rig_transform(rig, s.scale, s.R, s.t, &moved), SPORTCORE_OK, "transform");
  double X[3] = {0.2, -0.3, 0.4}, before[8], after[8], center[3], there[3];
  expect_result(sportcore_reproject_f64(rig, X, 1, 1, before), SPORTCORE_OK, "before");
  transform(s, X, 1);
  expect_result(sportcore_reproject_f64(moved, X, 1, 1, after), SPORTCORE_OK, "after");
  for (int i = 0; i < 8; ++i) expect_near(before[i], after[i], 1e-9, "the image stays");
  camera_center(cameras[1], center);
  camera_center(camera_of(moved, 1), there);
  transform(s, center, 1);
  for (int i = 0; i < 3; ++i) expect_near(center[i], there[i], 1e-12, "the centre moves with the points");
  sportcore_rig_destroy(moved);
  double bad[9] = {1, 0, 0, 0, 2, 0, 0, 0, 1};
  expect_result(sportcore_rig_transform(rig, 1, bad, s.t, &moved), SPORTCORE_ERROR_INPUT, "no rotation");
  expect_result(sportcore_rig_transform(rig, 0, s.R, s.t, &moved), SPORTCORE_ERROR_INPUT, "no scale");
  expect(moved == nullptr, "a failure leaves null");
  sportcore_rig_destroy(rig);
}

template <class T, class Project, class Unproject>
void rays(Project project, Unproject unproject, Unproject undistort, double tolerance, const char* name) {
  for (const ModelCase& m : model_cases()) {
    sportcore_rig* rig = rig_of(ring_of_cameras(2, m.model, m.n));
    const Camera<double> camera = camera_of(rig, 1);
    T X[6] = {T(0.4), T(-0.2), T(0.3), T(-0.5), T(0.6), T(0.1)}, uv[8], x[4], flat[4];
    expect_result(project(rig, X, 2, 1, uv), SPORTCORE_OK, name);
    expect_result(unproject(rig, 1, uv + 4, 2, x), SPORTCORE_OK, name);
    expect_result(undistort(rig, 1, uv + 4, 2, flat), SPORTCORE_OK, name);
    for (int i = 0; i < 2; ++i) {
      const double point[3] = {X[3 * i], X[3 * i + 1], X[3 * i + 2]};
      double Xc[3];
      cam_from_world(camera, point, Xc);
      for (int k = 0; k < 2; ++k) {
        const double f = k ? camera.lens.fy : camera.lens.fx, c = k ? camera.lens.cy : camera.lens.cx;
        expect_near(x[2 * i + k], Xc[k] / Xc[2], tolerance, std::string(m.name) + " " + name + ": ray");
        expect_near(flat[2 * i + k], f * Xc[k] / Xc[2] + c, 2000 * tolerance, "undistorted pixel");
      }
    }
    expect_result(unproject(rig, 2, uv, 2, x), SPORTCORE_ERROR_INPUT, "no such camera");
    expect_result(unproject(rig, 0, nullptr, 2, x), SPORTCORE_ERROR_INPUT, "no pixels");
    expect_result(undistort(rig, 0, uv, kHuge, x), SPORTCORE_ERROR_INPUT, "impossibly many pixels");
    expect_result(unproject(rig, 0, nullptr, 0, nullptr), SPORTCORE_OK, "nothing to do");
    expect_result(project(rig, X, kHuge / 2, 1, uv), SPORTCORE_ERROR_INPUT, "impossibly many points");
    expect_result(project(nullptr, X, 1, 1, uv), SPORTCORE_ERROR_INPUT, "no rig");
    expect_result(project(rig, X, 1, -1, uv), SPORTCORE_ERROR_INPUT, "negative threads");
    expect_result(unproject(rig, 1, uv + 4, 2, uv + 4), SPORTCORE_OK, "in place");
    expect(std::memcmp(uv + 4, x, sizeof(x)) == 0, "in place gives the same");
    sportcore_rig_destroy(rig);
  }
}

void points_as_in_cpp() {
  const auto cameras = ring_of_cameras(5, kBrown, 5);
  sportcore_rig* rig = rig_of(cameras);
  const std::size_t n = 3000, C = cameras.size();
  auto rng = random_for("points");
  std::uniform_real_distribution<double> u(-1, 1);
  std::vector<double> X(3 * n), uv(2 * n * C), score(n * C, 0.9), sigma(n * C, 2.0);
  for (double& v : X) v = u(rng);
  expect_result(sportcore_reproject_f64(rig, X.data(), n, 0, uv.data()), SPORTCORE_OK, "reproject");
  for (std::size_t i = 0; i < n; i += 4) uv[2 * (i % C * n + i)] += 90;
  uv[0] = std::nan("");
  std::vector<double> xyz(3 * n), cov(9 * n), res(C * n), xyz2(3 * n), cov2(9 * n), res2(C * n);
  std::vector<std::uint8_t> status(n), inlier(C * n), views(n), status2(n), inlier2(C * n), views2(n);
  sportcore_points_f64 out{};
  out.struct_size = sizeof(out);
  out.xyz = xyz.data(), out.status = status.data(), out.covariance = cov.data();
  out.residual_px = res.data(), out.inlier = inlier.data(), out.n_views = views.data();
  TriangulateOutput<double> wanted;
  wanted.xyz = xyz2.data(), wanted.status = status2.data(), wanted.covariance = cov2.data();
  wanted.residual_px = res2.data(), wanted.inlier = reinterpret_cast<bool*>(inlier2.data());
  wanted.n_views = views2.data();
  sportcore_triangulate_options o;
  sportcore_triangulate_options_init(&o, sizeof(o));
  o.min_views = 3, o.loss = SPORTCORE_LOSS_HUBER;
  TriangulateOptions same;
  same.min_views = 3, same.loss = Loss::kHuber;
  double sigma_stated = 0, sigma_wanted = -1;
  out.sigma_px = &sigma_stated, wanted.sigma_px = &sigma_wanted;
  expect_result(sportcore_triangulate_f64(rig, uv.data(), score.data(), sigma.data(), n, &o, &out),
                SPORTCORE_OK, "C");
  triangulate(cameras.data(), C, uv.data(), score.data(), sigma.data(), n, wanted, same);
  const auto equal = [](const auto& a, const auto& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
  };
  expect(equal(xyz, xyz2) && equal(cov, cov2) && equal(res, res2), "the numbers of the C++ function");
  expect(sigma_stated == sigma_wanted, "and its sigma");
  expect(equal(status, status2) && equal(inlier, inlier2) && equal(views, views2), "and its flags");

  const auto call = [&](const sportcore_triangulate_options* options) {
    return sportcore_triangulate_f64(rig, uv.data(), nullptr, nullptr, n, options, &out);
  };
  struct {
    sportcore_triangulate_options known;
    double appended;
  } newer;
  expect_result(sportcore_triangulate_options_init(&newer.known, sizeof(newer)), SPORTCORE_OK,
                "a newer program");
  expect(newer.appended == 0, "what the library does not know is zero");
  expect_result(call(&newer.known), SPORTCORE_OK, "a newer program that sets nothing new");
  newer.appended = 1;
  expect_result(call(&newer.known), SPORTCORE_ERROR_VERSION, "a newer program that sets something new");
  o.struct_size = 0;
  expect_result(call(&o), SPORTCORE_ERROR_VERSION, "options that were not initialised");
  expect_result(sportcore_triangulate_options_init(nullptr, sizeof(o)), SPORTCORE_ERROR_INPUT, "null");
  expect_result(sportcore_triangulate_options_init(&o, 8), SPORTCORE_ERROR_VERSION, "too small");
  sportcore_triangulate_options_init(&o, sizeof(o));
  o.reserved = 1;
  expect_result(call(&o), SPORTCORE_ERROR_VERSION, "what is reserved");
  sportcore_triangulate_options_init(&o, sizeof(o));
  o.loss = 9;
  expect_result(call(&o), SPORTCORE_ERROR_INPUT, "an unknown loss");
  sportcore_triangulate_options_init(&o, sizeof(o));
  o.min_views = 1;
  expect_result(call(&o), SPORTCORE_ERROR_INPUT, "one view");
  expect_result(sportcore_triangulate_f64(rig, uv.data(), nullptr, nullptr, kHuge / 4, nullptr, &out),
                SPORTCORE_ERROR_INPUT, "impossibly many points");
  expect_result(sportcore_triangulate_f64(rig, uv.data(), nullptr, nullptr, n, nullptr, nullptr),
                SPORTCORE_ERROR_INPUT, "no output");
  out.struct_size = 3;
  expect_result(call(nullptr), SPORTCORE_ERROR_VERSION, "an output of no size");
  out.struct_size = sizeof(out);
  out.status = nullptr;
  expect_result(call(nullptr), SPORTCORE_ERROR_INPUT, "no status");
  expect_result(sportcore_triangulator_create(nullptr, nullptr, nullptr), SPORTCORE_ERROR_INPUT, "null");
  expect_result(sportcore_triangulator_run_f64(nullptr, uv.data(), nullptr, nullptr, 1, &out),
                SPORTCORE_ERROR_INPUT, "no triangulator");
  sportcore_triangulator_destroy(nullptr);
  sportcore_rig_destroy(rig);
  sportcore_rig* many = rig_of(ring_of_cameras(65, kPinhole, 0));
  expect_result(sportcore_triangulate_f64(many, uv.data(), nullptr, nullptr, 1, nullptr, &out),
                SPORTCORE_ERROR_INPUT, "65 cameras");
  sportcore_rig_destroy(many);
}

sportcore_body_observations observed(const Scene& s) {
  sportcore_body_observations o{};
  o.struct_size = sizeof(o);
  o.num_frames = s.observations.num_frames;
  o.num_joints = s.observations.num_joints;
  o.xy_px = s.xy.data();
  return o;
}

void calibration() {
  Scene s;
  make_scene(s, 4, 60, 0.5, "C calibration");
  sportcore_rig* rig = rig_of(s.cameras);
  sportcore_body_observations o = observed(s);
  sportcore_calibrate_options options;
  expect_result(sportcore_calibrate_options_init(&options, sizeof(options)), SPORTCORE_OK, "options");
  options.num_threads = 2;
  sportcore_calibration* found = nullptr;
  expect_result(sportcore_calibrate(rig, &o, &options, &found), SPORTCORE_OK, "calibration");
  CalibrateOptions same;
  same.num_threads = 1, same.bone_lengths = false;
  const CalibrateResult wanted = calibrate_bodies(s.observations, same);
  sportcore_rig* placed = nullptr;
  expect_result(sportcore_calibration_rig(found, &placed), SPORTCORE_OK, "its rig");
  for (std::size_t c = 0; c < 4; ++c) {
    const Camera<double> got = camera_of(placed, c);
    expect(std::memcmp(got.R, wanted.cameras[c].R, sizeof(got.R)) == 0, "the rotations of the C++ function");
    expect(std::memcmp(got.t, wanted.cameras[c].t, sizeof(got.t)) == 0, "and its translations");
    expect(sportcore_calibration_connected(found)[c] == 1, "all are connected");
  }
  sportcore_calibration_summary summary{};
  summary.struct_size = sizeof(summary);
  expect_result(sportcore_calibration_summarize(found, &summary), SPORTCORE_OK, "a summary");
  expect(summary.num_cameras == 4 && summary.num_connected == 4 && summary.num_joints == 12 &&
             summary.num_frames == wanted.frames.size() && summary.converged == 1,
         "what it says");
  expect_near(summary.sigma_px, 0.5, 0.1, "the deviation");
  expect(summary.num_params >= 24 && sportcore_calibration_covariance(found)[0] > 0, "a covariance");
  expect(sportcore_calibration_points(found) && sportcore_calibration_inlier(found) &&
             sportcore_calibration_swapped(found) && sportcore_calibration_frames(found),
         "arrays");
  expect(sportcore_calibration_time_offsets(nullptr) == nullptr, "no array of no calibration");
  summary.struct_size = 0;
  expect_result(sportcore_calibration_summarize(found, &summary), SPORTCORE_ERROR_VERSION, "no struct_size");
  sportcore_rig_destroy(placed);
  sportcore_calibration_destroy(found);

  const auto refused = [&](sportcore_result result, const char* what) {
    found = reinterpret_cast<sportcore_calibration*>(&summary);
    expect_result(sportcore_calibrate(rig, &o, &options, &found), result, what);
    expect(found == nullptr, std::string(what) + ": the handle is null");
    o = observed(s);
    sportcore_calibrate_options_init(&options, sizeof(options));
  };
  o.num_frames = 0;
  refused(SPORTCORE_ERROR_INPUT, "no frames");
  o.num_frames = kHuge;
  refused(SPORTCORE_ERROR_INPUT, "impossibly many frames");
  o.num_joints = 100000;
  refused(SPORTCORE_ERROR_INPUT, "impossibly many joints");
  o.xy_px = nullptr;
  refused(SPORTCORE_ERROR_INPUT, "no keypoints");
  const std::int32_t flip[12] = {1, 2, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  o.flip = flip;
  refused(SPORTCORE_ERROR_INPUT, "joints that are not exchanged in pairs");
  const std::int32_t bones[4] = {0, 1, 2, 12};
  o.num_bones = 2, o.bones = bones;
  refused(SPORTCORE_ERROR_INPUT, "a bone to no joint");
  o.num_bones = 2;
  refused(SPORTCORE_ERROR_INPUT, "bones without names");
  o.num_votes = 1, o.vote_cameras = bones;
  refused(SPORTCORE_ERROR_INPUT, "votes without rotations");
  options.clocks = 1;
  refused(SPORTCORE_ERROR_INPUT, "clocks without a frame rate");
  options.focal = 7;
  refused(SPORTCORE_ERROR_INPUT, "an unknown focal");
  options.num_threads = -2;
  refused(SPORTCORE_ERROR_INPUT, "negative threads");
  options.max_reprojection_error_px = std::nan("");
  refused(SPORTCORE_ERROR_INPUT, "an error limit that is no number");
  std::vector<double> none(s.xy.size(), std::nan(""));
  o.xy_px = none.data();
  refused(SPORTCORE_ERROR_DEGENERATE, "nothing seen");
  expect_result(sportcore_calibrate(nullptr, &o, nullptr, &found), SPORTCORE_ERROR_INPUT, "no rig");
  expect_result(sportcore_calibrate(rig, nullptr, nullptr, &found), SPORTCORE_ERROR_INPUT, "no observations");
  expect_result(sportcore_calibrate(rig, &o, nullptr, nullptr), SPORTCORE_ERROR_INPUT, "no handle");
  sportcore_calibration_destroy(nullptr);
  sportcore_rig_destroy(rig);
}

void swaps_and_bundle() {
  Scene s;
  make_scene(s, 4, 40, 0.5, "C swaps");
  std::vector<std::int32_t> flip(12);
  for (int j = 0; j < 12; ++j) flip[j] = j ^ 1;
  for (int t = 10; t < 25; ++t)
    for (int j = 0; j < 12; j += 2) {
      double* row = s.xy.data() + 2 * 12 * (40 * 2 + t) + 2 * j;
      std::swap_ranges(row, row + 2, row + 2);
    }
  sportcore_rig* rig = rig_of(s.cameras);
  sportcore_body_observations o = observed(s);
  std::vector<std::uint8_t> swapped(4 * 40, 9);
  expect_result(sportcore_find_swaps(rig, &o, 6.0, 1, swapped.data()), SPORTCORE_ERROR_INPUT, "no pairs");
  o.flip = flip.data();
  expect_result(sportcore_find_swaps(rig, &o, 6.0, 1, swapped.data()), SPORTCORE_OK, "swaps");
  for (int c = 0; c < 4; ++c)
    for (int t = 0; t < 40; ++t)
      expect(swapped[40 * c + t] == (c == 2 && t >= 10 && t < 25), "the frames that were exchanged");

  Scene clean;
  make_scene(clean, 3, 10, 0.3, "C bundle");
  std::vector<Camera<double>> off = clean.cameras;
  const double step[6] = {0.004, -0.003, 0.002, 0.01, -0.01, 0.02};
  for (std::size_t c = 1; c < 3; ++c) update_pose(step, off[c].R, off[c].t);
  sportcore_rig *start = rig_of(off), *adjusted = nullptr;
  const std::size_t n = 10 * 12;
  std::vector<double> points = clean.points, xy, before;
  std::vector<std::int64_t> offset{0};
  std::vector<std::int32_t> camera;
  for (std::size_t p = 0; p < n; ++p) {
    for (int c = 0; c < 3; ++c) {
      camera.push_back(c);
      xy.insert(xy.end(), clean.xy.begin() + 2 * (c * n + p), clean.xy.begin() + 2 * (c * n + p) + 2);
    }
    offset.push_back(static_cast<std::int64_t>(camera.size()));
  }
  before = points;
  sportcore_bundle_summary summary{};
  summary.struct_size = sizeof(summary);
  const auto adjust = [&](const sportcore_bundle_options* options, std::size_t count) {
    return sportcore_adjust_bundle(start, points.data(), count, offset.data(), camera.data(), xy.data(),
                                   nullptr, options, &adjusted, &summary);
  };
  sportcore_bundle_options options;
  expect_result(sportcore_bundle_options_init(&options, sizeof(options)), SPORTCORE_OK, "options");
  expect_result(adjust(&options, n), SPORTCORE_OK, "bundle adjustment");
  expect(summary.converged == 1 && summary.cost < 0.01 * summary.initial_cost, "the cost falls");
  expect_near(summary.sigma_px, 0.3, 0.1, "the deviation");
  expect(points != before, "the points moved");
  sportcore_rig_destroy(adjusted);
  before = points;
  expect_result(adjust(nullptr, 0), SPORTCORE_ERROR_INPUT, "no points");
  expect_result(adjust(nullptr, kHuge), SPORTCORE_ERROR_INPUT, "impossibly many points");
  camera[4] = 3;
  expect_result(adjust(nullptr, n), SPORTCORE_ERROR_INPUT, "a camera that is not there");
  expect(points == before && adjusted == nullptr, "a failure changes nothing");
  options.sigma_px = 0;
  expect_result(adjust(&options, n), SPORTCORE_ERROR_INPUT, "no deviation");
  sportcore_rig_destroy(start);
  sportcore_rig_destroy(rig);
}

void errors_belong_to_their_thread() {
  sportcore_rig_camera(nullptr, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
  const std::string here = sportcore_last_error();
  std::string there = "x", after;
  std::thread([&] {
    there = sportcore_last_error();
    sportcore_find_swaps(nullptr, nullptr, 1, 1, nullptr);
    after = sportcore_last_error();
  }).join();
  expect(!here.empty() && there.empty() && !after.empty() && after != here, "each thread has its own error");
  expect(here == sportcore_last_error(), "which no other thread changes");
  expect(std::string(sportcore_result_name(SPORTCORE_ERROR_DEVICE)) == "SPORTCORE_ERROR_DEVICE", "names");
  expect(sportcore_result_name(99) != nullptr, "unknown results have words too");
}

void devices() {
  char name[8] = "xxxxxxx";
  if (sportcore_cuda_device_count() == 0) {
    expect_result(sportcore_cuda_device_name(0, name, sizeof(name)), SPORTCORE_ERROR_DEVICE, "no device");
    sportcore_rig* rig = rig_of(ring_of_cameras(2, kPinhole, 0));
    sportcore_triangulate_options o;
    sportcore_triangulate_options_init(&o, sizeof(o));
    o.cuda = 1;
    double uv[4] = {0, 0, 0, 0}, xyz[3];
    std::uint8_t status = 0;
    sportcore_points_f64 out{};
    out.struct_size = sizeof(out), out.xyz = xyz, out.status = &status;
    expect_result(sportcore_triangulate_f64(rig, uv, nullptr, nullptr, 1, &o, &out), SPORTCORE_ERROR_DEVICE,
                  "no silent fallback");
    sportcore_rig_destroy(rig);
  } else {
    expect_result(sportcore_cuda_device_name(0, name, sizeof(name)), SPORTCORE_OK, "a device");
    expect(name[7] == '\0', "its name is cut to the capacity");
  }
  expect_result(sportcore_cuda_device_name(0, nullptr, 8), SPORTCORE_ERROR_INPUT, "no place for a name");
}

}  // namespace

int main() {
  rigs();
  a_similarity_changes_no_image();
  rays<float>(sportcore_reproject_f32, sportcore_unproject_f32, sportcore_undistort_f32, 2e-6, "f32");
  rays<double>(sportcore_reproject_f64, sportcore_unproject_f64, sportcore_undistort_f64, 1e-12, "f64");
  points_as_in_cpp();
  calibration();
  swaps_and_bundle();
  errors_belong_to_their_thread();
  devices();
  return finish("c_api");
}

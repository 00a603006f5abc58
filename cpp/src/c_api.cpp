// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "c_api.h"

#include <cmath>
#include <cstdio>
#include <memory>

#include "sportcore/device.h"
#include "sportcore/parallel.h"
#include "sportcore/reproject.h"
#include "sportcore/similarity.h"
#include "sportcore/triangulator.h"

using namespace sportcore;
using namespace sportcore::c_api;

struct sportcore_triangulator {
  Triangulator<float> f32;
  Triangulator<double> f64;
};

namespace sportcore::c_api {
namespace {

constexpr std::size_t kGrain = 2048;

// Plain bytes: no constructor, no destructor, nothing that a thread's end could find half dead.
thread_local char last_error[1024] = "";

void check_rotation(const double* R, double tolerance, const std::string& who) {
  bool good = true;
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j)
      good = good && std::abs(dot3(R + 3 * i, R + 3 * j) - (i == j ? 1.0 : 0.0)) <= tolerance;
  double normal[3];
  cross3(R, R + 3, normal);
  require(good && dot3(normal, R + 6) > 0, who + " is no rotation.",
          "Give an orthonormal, right-handed matrix, row-major.");
}

Camera<double> make_camera(const sportcore_rig_params& p, std::size_t i) {
  const std::string who = "Camera " + std::to_string(i) + ": ";
  Camera<double> c{};
  const double* K = p.K + 9 * i;
  c.lens.fx = K[0], c.lens.fy = K[4], c.lens.cx = K[2], c.lens.cy = K[5];
  for (int k = 0; k < 9; ++k) require(std::isfinite(K[k]), who + "K is not finite.");
  require(K[0] > 0 && K[4] > 0, who + "focal lengths must be positive.");
  require(std::abs(K[1]) <= 1e-9 * K[0], who + "a skewed K is not supported.", "Set K[0, 1] to 0.");
  require(K[3] == 0 && K[6] == 0 && K[7] == 0 && std::abs(K[8] - 1) <= 1e-9, who + "K is no camera matrix.",
          "It is row-major: fx 0 cx, 0 fy cy, 0 0 1.");
  int used = 0;
  for (int k = 0; k < kMaxDistortion && p.distortion; ++k) {
    c.lens.k[k] = p.distortion[kMaxDistortion * i + k];
    require(std::isfinite(c.lens.k[k]), who + "distortion is not finite.");
    if (c.lens.k[k] != 0) used = k + 1;
  }
  const int model = p.model ? p.model[i] : (used ? kBrown : kPinhole);
  require(model >= kPinhole && model <= kFisheye,
          who + "unknown camera model " + std::to_string(model) + ".");
  require(model != kPinhole || used == 0, who + "a pinhole has no distortion.", "Use SPORTCORE_BROWN.");
  require(model != kFisheye || used <= 4, who + "a fisheye has 4 coefficients.", "Set the others to 0.");
  c.lens.model = model;
  c.lens.n_distortion = model == kPinhole ? 0 : (used <= 4 ? 4 : (used == 5 ? 5 : 8));
  if (p.R) {
    std::copy(p.R + 9 * i, p.R + 9 * i + 9, c.R);
    check_rotation(c.R, 1e-4, who + "R");
  } else {
    c.R[0] = c.R[4] = c.R[8] = 1;
  }
  for (int k = 0; k < 3 && p.t; ++k) {
    c.t[k] = p.t[3 * i + k];
    require(std::isfinite(c.t[k]), who + "t is not finite.");
  }
  return c;
}

void create(const sportcore_rig_params* params, sportcore_rig** rig) {
  need(rig, "rig");
  *rig = nullptr;
  need(params, "params");
  const sportcore_rig_params p = load(params, sportcore_rig_params{}, sizeof(sportcore_rig_params), "params");
  require(p.num_cameras >= 1 && p.num_cameras <= SPORTCORE_MAX_CAMERAS,
          "A rig has 1 to " + std::to_string(int(SPORTCORE_MAX_CAMERAS)) + " cameras, not " +
              std::to_string(p.num_cameras) + ".");
  need(p.K, "K");
  std::unique_ptr<sportcore_rig> made(new sportcore_rig);
  for (std::size_t i = 0; i < p.num_cameras; ++i) made->cameras.push_back(make_camera(p, i));
  *rig = made.release();
}

template <class T>
void check_reproject(const sportcore_rig* rig, const T* points, std::size_t n, const T* uv) {
  need(rig, "rig");
  if (n > 0) need(points, "points_world"), need(uv, "uv_px");
  check_count("num_points", {rig->cameras.size(), n, 12});
}

template <class T>
sportcore_result project_all(const sportcore_rig* rig, const T* points, std::size_t n, int num_threads,
                             T* uv) {
  return guarded([&] {
    check_reproject(rig, points, n, uv);
    ReprojectOptions options;
    options.num_threads = resolve_threads(num_threads);
    reproject(rig->cameras.data(), rig->cameras.size(), points, n, uv, options);
  });
}

/// Pixels of one camera to rays, or to pixels without distortion.
template <class T>
sportcore_result without_lens(const sportcore_rig* rig, std::size_t camera, const T* uv, std::size_t n,
                              T* out, bool pixels) {
  return guarded([&] {
    need(rig, "rig");
    require(camera < rig->cameras.size(), "Camera " + std::to_string(camera) + " is not in the rig.");
    if (n > 0) need(uv, "uv_px"), need(out, pixels ? "undistorted_px" : "x");
    check_count("num_points", {n, 2});
    const Intrinsics<T> lens = camera_cast<T>(rig->cameras[camera]).lens;
    parallel_for(n, kGrain, 0, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        T x[2];
        unproject(lens, uv + 2 * i, x);
        out[2 * i] = pixels ? lens.fx * x[0] + lens.cx : x[0];
        out[2 * i + 1] = pixels ? lens.fy * x[1] + lens.cy : x[1];
      }
    });
  });
}

sportcore_triangulate_options default_triangulate_options() {
  const TriangulateOptions d;
  sportcore_triangulate_options o{};
  o.struct_size = sizeof(o);
  o.max_reprojection_error_px = d.max_reprojection_error_px;
  o.sigma_px = d.sigma_px;
  o.inlier_sigmas = d.inlier_sigmas;
  o.min_score = d.min_score;
  o.min_angle_deg = d.min_angle_deg;
  o.loss_scale_sigmas = d.loss_scale_sigmas;
  o.min_views = d.min_views;
  o.robust = d.robust;
  o.loss = static_cast<int>(d.loss);
  o.max_iterations = d.max_iterations;
  o.num_threads = d.num_threads;
  o.cuda = d.cuda;
  o.estimate_sigma = d.estimate_sigma;
  return o;
}

TriangulateOptions read(const sportcore_triangulate_options* given) {
  const sportcore_triangulate_options o =
      load(given, default_triangulate_options(), sizeof(sportcore_triangulate_options), "options");
  require(o.loss >= SPORTCORE_LOSS_TRIVIAL && o.loss <= SPORTCORE_LOSS_GEMAN_MCCLURE,
          "options: unknown loss " + std::to_string(o.loss) + ".");
  TriangulateOptions out;
  out.max_reprojection_error_px = o.max_reprojection_error_px;
  out.sigma_px = o.sigma_px;
  out.inlier_sigmas = o.inlier_sigmas;
  out.min_score = o.min_score;
  out.min_angle_deg = o.min_angle_deg;
  out.loss_scale_sigmas = o.loss_scale_sigmas;
  out.min_views = o.min_views;
  out.robust = o.robust != 0;
  out.loss = static_cast<Loss>(o.loss);
  out.max_iterations = o.max_iterations;
  out.num_threads = o.num_threads;
  out.cuda = o.cuda != 0;
  out.estimate_sigma = o.estimate_sigma != 0;
  if (o.reserved != 0) throw VersionError("options.reserved must be 0.");
  return out;
}

/// The caller's arrays; allocates nothing.
template <class T, class Points>
TriangulateOutput<T> read_points(const Points* given, const T* keypoints, std::size_t n_cameras,
                                 std::size_t n) {
  need(given, "points");
  const Points p = load(given, Points{}, sizeof(Points), "points");
  if (n > 0) need(keypoints, "keypoints_px"), need(p.xyz, "points.xyz"), need(p.status, "points.status");
  check_count("num_points", {n_cameras, n, 2});
  check_count("num_points", {n, 9});
  TriangulateOutput<T> out;
  static_assert(sizeof(bool) == 1, "inlier flags are bytes");
  out.xyz = p.xyz;
  out.status = p.status;
  out.covariance = p.covariance;
  out.residual_px = p.residual_px;
  out.inlier = reinterpret_cast<bool*>(p.inlier);
  out.n_views = p.n_views;
  out.sigma_px = p.sigma_px;
  return out;
}

template <class T, class Points>
sportcore_result triangulate_all(const sportcore_rig* rig, const T* keypoints, const T* score, const T* sigma,
                                 std::size_t n, const sportcore_triangulate_options* options,
                                 const Points* points) {
  return guarded([&] {
    need(rig, "rig");
    const TriangulateOutput<T> out = read_points(points, keypoints, rig->cameras.size(), n);
    triangulate(rig->cameras.data(), rig->cameras.size(), keypoints, score, sigma, n, out, read(options));
  });
}

}  // namespace

sportcore_result failed(sportcore_result result, const char* message) noexcept {
  std::snprintf(last_error, sizeof(last_error), "%s", message);
  return result;
}

}  // namespace sportcore::c_api

extern "C" {

const char* sportcore_version(void) { return version(); }

int32_t sportcore_version_number(void) { return version_number(); }

const char* sportcore_last_error(void) { return last_error; }

const char* sportcore_result_name(sportcore_result result) {
  switch (result) {
    case SPORTCORE_OK:
      return "SPORTCORE_OK";
    case SPORTCORE_ERROR_INPUT:
      return "SPORTCORE_ERROR_INPUT";
    case SPORTCORE_ERROR_DEGENERATE:
      return "SPORTCORE_ERROR_DEGENERATE";
    case SPORTCORE_ERROR_DEVICE:
      return "SPORTCORE_ERROR_DEVICE";
    case SPORTCORE_ERROR_MEMORY:
      return "SPORTCORE_ERROR_MEMORY";
    case SPORTCORE_ERROR_VERSION:
      return "SPORTCORE_ERROR_VERSION";
    case SPORTCORE_ERROR_INTERNAL:
      return "SPORTCORE_ERROR_INTERNAL";
    default:
      return "unknown result";
  }
}

int32_t sportcore_built_with_cuda(void) { return built_with_cuda() ? 1 : 0; }

int32_t sportcore_cuda_device_count(void) {
  int32_t count = 0;
  guarded([&] { count = cuda_device_count(); });
  return count;
}

sportcore_result sportcore_cuda_device_name(int32_t device, char* name, size_t capacity) {
  return guarded([&] {
    need(name, "name");
    require(capacity > 0, "capacity is 0.");
    name[0] = '\0';
    std::snprintf(name, capacity, "%s", cuda_device_name(device).c_str());
  });
}

sportcore_result sportcore_rig_create(size_t num_cameras, const int32_t* model, const double* K,
                                      const double* distortion, const double* R, const double* t,
                                      sportcore_rig** rig) {
  return guarded([&] {
    const sportcore_rig_params p{sizeof(p), num_cameras, model, K, distortion, R, t};
    create(&p, rig);
  });
}

sportcore_result sportcore_rig_create_from(const sportcore_rig_params* params, sportcore_rig** rig) {
  return guarded([&] { create(params, rig); });
}

sportcore_result sportcore_rig_transform(const sportcore_rig* rig, double scale, const double* rotation,
                                         const double* translation, sportcore_rig** transformed) {
  return guarded([&] {
    need(transformed, "transformed");
    *transformed = nullptr;
    need(rig, "rig"), need(rotation, "rotation"), need(translation, "translation");
    require(scale > 0 && std::isfinite(scale), "scale must be positive.");
    check_rotation(rotation, 1e-4, "rotation");
    Similarity s;
    s.scale = scale;
    std::copy(rotation, rotation + 9, s.R);
    std::copy(translation, translation + 3, s.t);
    for (double v : s.t) require(std::isfinite(v), "translation is not finite.");
    std::unique_ptr<sportcore_rig> made(new sportcore_rig(*rig));
    for (Camera<double>& c : made->cameras) transform(s, c);
    *transformed = made.release();
  });
}

void sportcore_rig_destroy(sportcore_rig* rig) { delete rig; }

size_t sportcore_rig_size(const sportcore_rig* rig) { return rig ? rig->cameras.size() : 0; }

sportcore_result sportcore_rig_camera(const sportcore_rig* rig, size_t index, int32_t* model, double* K,
                                      double* distortion, double* R, double* t) {
  return guarded([&] {
    need(rig, "rig");
    require(index < rig->cameras.size(), "Camera " + std::to_string(index) + " is not in the rig.");
    const Camera<double>& c = rig->cameras[index];
    const double matrix[9] = {c.lens.fx, 0, c.lens.cx, 0, c.lens.fy, c.lens.cy, 0, 0, 1};
    if (model) *model = c.lens.model;
    if (K) std::copy(matrix, matrix + 9, K);
    if (distortion) std::copy(c.lens.k, c.lens.k + kMaxDistortion, distortion);
    if (R) std::copy(c.R, c.R + 9, R);
    if (t) std::copy(c.t, c.t + 3, t);
  });
}

sportcore_result sportcore_reproject_f32(const sportcore_rig* rig, const float* points_world,
                                         size_t num_points, int32_t num_threads, float* uv_px) {
  return project_all(rig, points_world, num_points, num_threads, uv_px);
}

sportcore_result sportcore_reproject_f64(const sportcore_rig* rig, const double* points_world,
                                         size_t num_points, int32_t num_threads, double* uv_px) {
  return project_all(rig, points_world, num_points, num_threads, uv_px);
}

sportcore_result sportcore_reproject_jacobians(const sportcore_rig* rig, const double* points_world,
                                               size_t num_points, int32_t num_threads, double* uv_px,
                                               double* J_point, double* J_pose) {
  return guarded([&] {
    check_reproject(rig, points_world, num_points, uv_px);
    ReprojectOptions options;
    options.num_threads = resolve_threads(num_threads);
    reproject_jacobians(rig->cameras.data(), rig->cameras.size(), points_world, num_points, uv_px, J_point,
                        J_pose, options);
  });
}

sportcore_result sportcore_unproject_f32(const sportcore_rig* rig, size_t camera, const float* uv_px,
                                         size_t num_points, float* x) {
  return without_lens(rig, camera, uv_px, num_points, x, false);
}

sportcore_result sportcore_unproject_f64(const sportcore_rig* rig, size_t camera, const double* uv_px,
                                         size_t num_points, double* x) {
  return without_lens(rig, camera, uv_px, num_points, x, false);
}

sportcore_result sportcore_undistort_f32(const sportcore_rig* rig, size_t camera, const float* uv_px,
                                         size_t num_points, float* undistorted_px) {
  return without_lens(rig, camera, uv_px, num_points, undistorted_px, true);
}

sportcore_result sportcore_undistort_f64(const sportcore_rig* rig, size_t camera, const double* uv_px,
                                         size_t num_points, double* undistorted_px) {
  return without_lens(rig, camera, uv_px, num_points, undistorted_px, true);
}

sportcore_result sportcore_triangulate_options_init(sportcore_triangulate_options* options,
                                                    size_t struct_size) {
  return guarded(
      [&] { store(default_triangulate_options(), options, struct_size, sizeof(*options), "options"); });
}

sportcore_result sportcore_triangulate_f32(const sportcore_rig* rig, const float* keypoints_px,
                                           const float* score, const float* sigma_px, size_t num_points,
                                           const sportcore_triangulate_options* options,
                                           const sportcore_points_f32* points) {
  return triangulate_all(rig, keypoints_px, score, sigma_px, num_points, options, points);
}

sportcore_result sportcore_triangulate_f64(const sportcore_rig* rig, const double* keypoints_px,
                                           const double* score, const double* sigma_px, size_t num_points,
                                           const sportcore_triangulate_options* options,
                                           const sportcore_points_f64* points) {
  return triangulate_all(rig, keypoints_px, score, sigma_px, num_points, options, points);
}

sportcore_result sportcore_triangulator_create(const sportcore_rig* rig,
                                               const sportcore_triangulate_options* options,
                                               sportcore_triangulator** triangulator) {
  return guarded([&] {
    need(triangulator, "triangulator");
    *triangulator = nullptr;
    need(rig, "rig");
    const TriangulateOptions o = read(options);
    const Camera<double>* cameras = rig->cameras.data();
    const std::size_t n = rig->cameras.size();
    *triangulator =
        new sportcore_triangulator{Triangulator<float>(cameras, n, o), Triangulator<double>(cameras, n, o)};
  });
}

void sportcore_triangulator_destroy(sportcore_triangulator* triangulator) { delete triangulator; }

sportcore_result sportcore_triangulator_run_f32(const sportcore_triangulator* triangulator,
                                                const float* keypoints_px, const float* score,
                                                const float* sigma_px, size_t num_points,
                                                const sportcore_points_f32* points) {
  return guarded([&] {
    need(triangulator, "triangulator");
    triangulator->f32(keypoints_px, score, sigma_px, num_points,
                      read_points(points, keypoints_px, triangulator->f32.num_cameras(), num_points));
  });
}

sportcore_result sportcore_triangulator_run_f64(const sportcore_triangulator* triangulator,
                                                const double* keypoints_px, const double* score,
                                                const double* sigma_px, size_t num_points,
                                                const sportcore_points_f64* points) {
  return guarded([&] {
    need(triangulator, "triangulator");
    triangulator->f64(keypoints_px, score, sigma_px, num_points,
                      read_points(points, keypoints_px, triangulator->f64.num_cameras(), num_points));
  });
}

}  // extern "C"

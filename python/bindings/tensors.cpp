// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Operations on memory that belongs to somebody else (torch, NumPy), by address. An address is an integer, 0
/// where there is no such array; sportcore.points3d checks shapes, devices and types before it calls these.
#include <cstdint>

#include "bindings.h"
#include "sportcore/project_backward.h"
#include "sportcore/triangulate_backward.h"
#include "sportcore/triangulate_linear.h"

namespace sportcore::bindings {
namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address a) {
  return reinterpret_cast<T*>(a);
}

CameraRows rows(Address parameters, const std::vector<int>& models) {
  return {at<const double>(parameters), models.data(), models.size()};
}

template <class T>
void project(Address cameras, const std::vector<int>& models, Address points, std::size_t n, Address uv,
             int num_threads, bool cuda, Address stream) {
  py::gil_scoped_release release;
  const CameraRows rig = rows(cameras, models);
  if (cuda)
    project_rows_cuda(rig, at<const T>(points), n, at<T>(uv), at<void>(stream));
  else
    project_rows(rig, at<const T>(points), n, at<T>(uv), num_threads);
}

template <class T>
void project_grad(Address cameras, const std::vector<int>& models, Address points, std::size_t n,
                  Address grad_uv, Address grad_points, Address grad_cameras, int num_threads, bool cuda,
                  Address stream) {
  py::gil_scoped_release release;
  const CameraRows rig = rows(cameras, models);
  const T *X = at<const T>(points), *g = at<const T>(grad_uv);
  T* by_X = at<T>(grad_points);
  double* by_camera = at<double>(grad_cameras);
  if (cuda)
    project_backward_cuda(rig, X, n, g, by_X, by_camera, at<void>(stream));
  else
    project_backward(rig, X, n, g, by_X, by_camera, num_threads);
}

template <class T>
void linear(Address cameras, const std::vector<int>& models, Address keypoints, Address weight, std::size_t n,
            Address xyz, int iterations, int num_threads, bool cuda, Address stream) {
  py::gil_scoped_release release;
  const CameraRows rig = rows(cameras, models);
  const TriangulateLinearOptions options{iterations, num_threads};
  const T *uv = at<const T>(keypoints), *w = at<const T>(weight);
  if (cuda)
    triangulate_linear_cuda(rig, uv, w, n, at<T>(xyz), options, at<void>(stream));
  else
    triangulate_linear(rig, uv, w, n, at<T>(xyz), options);
}

template <class T>
void linear_grad(Address cameras, const std::vector<int>& models, Address keypoints, Address weight,
                 std::size_t n, Address grad_xyz, Address grad_keypoints, Address grad_weight,
                 Address grad_cameras, int iterations, int num_threads, bool cuda, Address stream) {
  py::gil_scoped_release release;
  const CameraRows rig = rows(cameras, models);
  const TriangulateLinearOptions options{iterations, num_threads};
  TriangulateLinearGradient<T> out;
  out.keypoints_px = at<T>(grad_keypoints);
  out.weight = at<T>(grad_weight);
  out.cameras = at<double>(grad_cameras);
  const T *uv = at<const T>(keypoints), *w = at<const T>(weight), *g = at<const T>(grad_xyz);
  if (cuda)
    triangulate_linear_backward_cuda(rig, uv, w, n, g, out, options, at<void>(stream));
  else
    triangulate_linear_backward(rig, uv, w, n, g, out, options);
}

/// The cameras as _core.Cameras: they are constants here and are read by the host. Returns the sigma that the
/// covariance stands on, px.
template <class T>
double robust(const CameraArray& cameras, Address keypoints, Address score, Address sigma, std::size_t n,
              Address xyz, Address status, Address covariance, Address residual, Address inlier,
              Address n_views, const TriangulateOptions& options, bool cuda, Address stream) {
  TriangulateOutput<T> out;
  out.xyz = at<T>(xyz);
  out.status = at<std::uint8_t>(status);
  out.covariance = at<T>(covariance);
  out.residual_px = at<T>(residual);
  out.inlier = at<bool>(inlier);
  out.n_views = at<std::uint8_t>(n_views);
  TriangulateOptions here = options;
  here.cuda = false;  // the device follows from where the arrays lie
  double used_sigma = options.sigma_px;
  out.sigma_px = &used_sigma;
  py::gil_scoped_release release;
  const T *uv = at<const T>(keypoints), *s = at<const T>(score), *w = at<const T>(sigma);
  const Camera<double>* rig = cameras.cameras.data();
  const std::size_t C = cameras.cameras.size();
  if (cuda)
    triangulate_cuda<T>(rig, C, uv, s, w, n, out, here, at<void>(stream));
  else
    triangulate(rig, C, uv, s, w, n, out, here);
  return used_sigma;
}

template <class T>
void robust_grad(Address cameras, const std::vector<int>& models, Address keypoints, Address sigma,
                 Address xyz, Address inlier, std::size_t n, Address grad_xyz, Address grad_keypoints,
                 Address grad_sigma, const TriangulateOptions& options, bool cuda, Address stream) {
  py::gil_scoped_release release;
  const CameraRows rig = rows(cameras, models);
  const T *uv = at<const T>(keypoints), *w = at<const T>(sigma), *X = at<const T>(xyz);
  const T* g = at<const T>(grad_xyz);
  const bool* in = at<const bool>(inlier);
  T *by_uv = at<T>(grad_keypoints), *by_sigma = at<T>(grad_sigma);
  if (cuda)
    triangulate_backward_cuda(rig, uv, w, X, in, n, g, by_uv, by_sigma, options, at<void>(stream));
  else
    triangulate_backward(rig, uv, w, X, in, n, g, by_uv, by_sigma, options);
}

template <class T>
void register_precision(py::module_& m, const std::string& suffix) {
  const auto def = [&](const char* name, auto function, const char* doc, auto... args) {
    m.def((name + suffix).c_str(), function, args..., doc);
  };
  using py::arg;
  def("project_at", &project<T>, "sportcore::project_rows on addresses.", arg("cameras"), arg("models"),
      arg("points"), arg("n"), arg("uv"), arg("num_threads"), arg("cuda"), arg("stream"));
  def("project_backward_at", &project_grad<T>, "sportcore::project_backward on addresses.", arg("cameras"),
      arg("models"), arg("points"), arg("n"), arg("grad_uv"), arg("grad_points"), arg("grad_cameras"),
      arg("num_threads"), arg("cuda"), arg("stream"));
  def("triangulate_linear_at", &linear<T>, "sportcore::triangulate_linear on addresses.", arg("cameras"),
      arg("models"), arg("keypoints"), arg("weight"), arg("n"), arg("xyz"), arg("iterations"),
      arg("num_threads"), arg("cuda"), arg("stream"));
  def("triangulate_linear_backward_at", &linear_grad<T>,
      "sportcore::triangulate_linear_backward on addresses.", arg("cameras"), arg("models"), arg("keypoints"),
      arg("weight"), arg("n"), arg("grad_xyz"), arg("grad_keypoints"), arg("grad_weight"),
      arg("grad_cameras"), arg("iterations"), arg("num_threads"), arg("cuda"), arg("stream"));
  def("triangulate_at", &robust<T>, "sportcore::triangulate on addresses.", arg("cameras"), arg("keypoints"),
      arg("score"), arg("sigma"), arg("n"), arg("xyz"), arg("status"), arg("covariance"), arg("residual"),
      arg("inlier"), arg("n_views"), arg("options"), arg("cuda"), arg("stream"));
  def("triangulate_backward_at", &robust_grad<T>, "sportcore::triangulate_backward on addresses.",
      arg("cameras"), arg("models"), arg("keypoints"), arg("sigma"), arg("xyz"), arg("inlier"), arg("n"),
      arg("grad_xyz"), arg("grad_keypoints"), arg("grad_sigma"), arg("options"), arg("cuda"), arg("stream"));
}

/// (parameters (C, 24), models (C,)); see sportcore/camera_parameters.h.
py::tuple camera_rows(const CameraArray& cameras) {
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size());
  Array<double> parameters({C, py::ssize_t(kCameraParameters)});
  Array<int> models(C);
  for (py::ssize_t c = 0; c < C; ++c) {
    const Camera<double>& camera = cameras.cameras[c];
    double* row = parameters.mutable_data(c);
    row[0] = camera.lens.fx;
    row[1] = camera.lens.fy;
    row[2] = camera.lens.cx;
    row[3] = camera.lens.cy;
    std::copy(camera.lens.k, camera.lens.k + kMaxDistortion, row + kParameterDistortion);
    std::copy(camera.R, camera.R + 9, row + kParameterRotation);
    std::copy(camera.t, camera.t + 3, row + kParameterTranslation);
    *models.mutable_data(c) = camera.lens.model;
  }
  return py::make_tuple(parameters, models);
}

}  // namespace

void register_tensors(py::module_& m) {
  m.def("camera_rows", &camera_rows, py::arg("cameras"),
        "Rows of parameters (C, 24) and models (C,) of the cameras: fx fy cx cy, k1..k8, R row-major, t.");
  m.attr("CAMERA_PARAMETERS") = kCameraParameters;
  register_precision<float>(m, "_f32");
  register_precision<double>(m, "_f64");
}

}  // namespace sportcore::bindings

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/camera.h"

#include <cmath>

#include "bindings.h"
#include "sportcore/parallel.h"

namespace sportcore::bindings {
namespace {

constexpr std::size_t kGrain = 2048;

CameraArray make_cameras(const Array<int>& model, const Array<double>& K, const Array<double>& distortion,
                         const Array<double>& R, const Array<double>& t) {
  check_shape(model, "model", {-1});
  const py::ssize_t C = model.shape(0);
  check_shape(K, "K", {C, 3, 3});
  check_shape(distortion, "distortion", {C, kMaxDistortion});
  check_shape(R, "R", {C, 3, 3});
  check_shape(t, "t", {C, 3});
  require(C > 0, "A rig needs at least one camera.");
  CameraArray out;
  out.cameras.resize(C);
  for (py::ssize_t i = 0; i < C; ++i) {
    Camera<double>& c = out.cameras[i];
    const std::string who = "Camera " + std::to_string(i) + ": ";
    c.lens.model = model.at(i);
    require(c.lens.model >= kPinhole && c.lens.model <= kFisheye, who + "unknown camera model.");
    const double* k = K.data(i);
    c.lens.fx = k[0];
    c.lens.fy = k[4];
    c.lens.cx = k[2];
    c.lens.cy = k[5];
    require(k[0] > 0 && k[4] > 0, who + "focal lengths must be positive.");
    require(std::abs(k[1]) <= 1e-9 * k[0], who + "a skewed K is not supported.", "Set K[0, 1] to 0.");
    c.lens.n_distortion = 0;
    for (int j = 0; j < kMaxDistortion; ++j) {
      c.lens.k[j] = *distortion.data(i, j);
      if (c.lens.k[j] != 0) c.lens.n_distortion = j < 4 ? 4 : (j < 5 ? 5 : 8);
    }
    if (c.lens.n_distortion == 0 && c.lens.model == kBrown) c.lens.model = kPinhole;
    std::copy(R.data(i), R.data(i) + 9, c.R);
    std::copy(t.data(i), t.data(i) + 3, c.t);
    bool finite = true;
    for (double v : c.R) finite = finite && std::isfinite(v);
    for (double v : c.t) finite = finite && std::isfinite(v);
    for (double v : c.lens.k) finite = finite && std::isfinite(v);
    require(finite && std::isfinite(c.lens.cx + c.lens.cy), who + "a parameter is not finite.");
  }
  return out;
}

const Camera<double>& pick(const CameraArray& cameras, int index) {
  require(index >= 0 && index < static_cast<int>(cameras.cameras.size()),
          "Camera index " + std::to_string(index) + " is outside the rig.");
  return cameras.cameras[index];
}

}  // namespace

void register_camera(py::module_& m) {
  py::class_<CameraArray>(m, "Cameras", "The cameras of a rig as the kernels read them.")
      .def(py::init(&make_cameras), py::arg("model"), py::arg("K"), py::arg("distortion"), py::arg("R"),
           py::arg("t"),
           "model (C,) 0 pinhole, 1 brown, 2 fisheye; K (C, 3, 3) px; distortion (C, 8) zero-padded; R (C, "
           "3, 3) and "
           "t (C, 3) cam_from_world, m.")
      .def("__len__", [](const CameraArray& c) { return c.cameras.size(); });

  m.def(
      "project",
      [](const CameraArray& cameras, int index, const Array<double>& points) {
        check_shape(points, "points_cam_m", {-1, 3});
        const Intrinsics<double> lens = pick(cameras, index).lens;
        const py::ssize_t n = points.shape(0);
        Array<double> uv({n, py::ssize_t(2)});
        const double* in = points.data();
        double* out = uv.mutable_data();
        {
          py::gil_scoped_release release;
          for (py::ssize_t i = 0; i < n; ++i) project(lens, in + 3 * i, out + 2 * i);
        }
        return uv;
      },
      py::arg("cameras"), py::arg("index"), py::arg("points_cam_m"),
      "Camera-frame points (N, 3) m -> (N, 2) px; NaN behind the camera.");

  m.def(
      "project_jacobians",
      [](const CameraArray& cameras, int index, const Array<double>& points) {
        check_shape(points, "points_world_m", {-1, 3});
        const Camera<double> camera = pick(cameras, index);
        const py::ssize_t n = points.shape(0);
        Array<double> uv({n, py::ssize_t(2)}), jx({n, py::ssize_t(2), py::ssize_t(3)}),
            jp({n, py::ssize_t(2), py::ssize_t(6)}), ji({n, py::ssize_t(2), py::ssize_t(4)}),
            jd({n, py::ssize_t(2), py::ssize_t(kMaxDistortion)});
        for (Array<double>* a : {&jx, &jp, &ji, &jd})
          std::fill(a->mutable_data(), a->mutable_data() + a->size(), nan_value<double>());
        for (py::ssize_t i = 0; i < n; ++i)
          project_world(camera, points.data(i), uv.mutable_data(i), jx.mutable_data(i), jp.mutable_data(i),
                        ji.mutable_data(i), jd.mutable_data(i));
        return py::make_tuple(uv, jx, jp, ji, jd);
      },
      py::arg("cameras"), py::arg("index"), py::arg("points_world_m"),
      "World points (N, 3) m -> uv (N, 2) px and its Jacobians by the point (N, 2, 3), by the pose increment "
      "R <- exp([w]x) R, t <- t + dt (N, 2, 6), by (fx, fy, cx, cy) (N, 2, 4), by the distortion (N, 2, 8).");

  m.def(
      "unproject",
      [](const CameraArray& cameras, int index, const Array<double>& xy, int num_threads) {
        check_shape(xy, "xy_px", {-1, 2});
        const Intrinsics<double> lens = pick(cameras, index).lens;
        const py::ssize_t n = xy.shape(0);
        Array<double> x({n, py::ssize_t(2)});
        const double* in = xy.data();
        double* out = x.mutable_data();
        {
          py::gil_scoped_release release;
          parallel_for(n, kGrain, num_threads, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) unproject(lens, in + 2 * i, out + 2 * i);
          });
        }
        return x;
      },
      py::arg("cameras"), py::arg("index"), py::arg("xy_px"), py::arg("num_threads") = 1,
      "Pixels (N, 2) -> normalised coordinates (X/Z, Y/Z) (N, 2); NaN where the model has no inverse.");

  m.def(
      "so3_exp",
      [](const Array<double>& w) {
        check_shape(w, "w", {3});
        Array<double> R({3, 3});
        so3_exp(w.data(), R.mutable_data());
        return R;
      },
      py::arg("w"), "Rotation (3, 3) of the axis-angle vector w (3,) rad.");
  m.def(
      "so3_log",
      [](const Array<double>& R) {
        check_shape(R, "R", {3, 3});
        Array<double> w(3);
        so3_log(R.data(), w.mutable_data());
        return w;
      },
      py::arg("R"), "Axis-angle vector (3,) rad of the rotation R (3, 3).");
}

}  // namespace sportcore::bindings

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/reproject.h"

#include "bindings.h"

namespace sportcore::bindings {
namespace {

template <class T>
Array<T> reproject_array(const CameraArray& cameras, const Array<T>& points,
                         const ReprojectOptions& options) {
  check_shape(points, "points_world_m", {-1, 3});
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size()), N = points.shape(0);
  Array<T> uv({C, N, py::ssize_t(2)});
  const T* in = points.data();
  T* out = uv.mutable_data();
  {
    py::gil_scoped_release release;
    reproject(cameras.cameras.data(), C, in, N, out, options);
  }
  return uv;
}

template <class T>
Array<T> residual_array(const CameraArray& cameras, const Array<T>& points, const Array<T>& observed,
                        const ReprojectOptions& options) {
  check_shape(points, "points_world_m", {-1, 3});
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size()), N = points.shape(0);
  check_shape(observed, "observed_px", {C, N, 2});
  Array<T> residual({C, N, py::ssize_t(2)});
  const T *in = points.data(), *seen = observed.data();
  T* out = residual.mutable_data();
  {
    py::gil_scoped_release release;
    reproject_residuals(cameras.cameras.data(), C, in, N, seen, out, options);
  }
  return residual;
}

template <class T>
py::tuple jacobian_arrays(const CameraArray& cameras, const Array<T>& points,
                          const ReprojectOptions& options) {
  check_shape(points, "points_world_m", {-1, 3});
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size()), N = points.shape(0), two = 2;
  Array<T> uv({C, N, two}), jx({C, N, two, py::ssize_t(3)}), jp({C, N, two, py::ssize_t(6)});
  const T* in = points.data();
  T *a = uv.mutable_data(), *b = jx.mutable_data(), *c = jp.mutable_data();
  {
    py::gil_scoped_release release;
    reproject_jacobians(cameras.cameras.data(), C, in, N, a, b, c, options);
  }
  return py::make_tuple(uv, jx, jp);
}

template <class T>
void reproject_pointers(const CameraArray& cameras, std::uintptr_t points, std::size_t n, std::uintptr_t uv,
                        std::uintptr_t stream) {
  py::gil_scoped_release release;
  reproject_cuda(cameras.cameras.data(), cameras.cameras.size(), reinterpret_cast<const T*>(points), n,
                 reinterpret_cast<T*>(uv), reinterpret_cast<void*>(stream));
}

}  // namespace

void register_reproject(py::module_& m) {
  py::class_<ReprojectOptions> options(m, "ReprojectOptions", "Threads and device of a reprojection.");
  options.def(py::init<>())
      .def_readwrite("num_threads", &ReprojectOptions::num_threads, "0: one per available core")
      .def_readwrite("cuda", &ReprojectOptions::cuda, "run on the first CUDA device");
  add_options_protocol(options, {"num_threads", "cuda"});

  const char* doc =
      "World points (N, 3) m -> (C, N, 2) px, in the precision of the points; NaN behind a camera.";
  m.def("reproject", &reproject_array<float>, py::arg("cameras"), py::arg("points_world_m").noconvert(),
        py::arg("options") = ReprojectOptions(), doc);
  m.def("reproject", &reproject_array<double>, py::arg("cameras"), py::arg("points_world_m"),
        py::arg("options") = ReprojectOptions(), doc);
  const char* doc_residual = "Projection minus observed_px (C, N, 2), px; NaN where either is missing.";
  m.def("reproject_residuals", &residual_array<float>, py::arg("cameras"),
        py::arg("points_world_m").noconvert(), py::arg("observed_px").noconvert(),
        py::arg("options") = ReprojectOptions(), doc_residual);
  m.def("reproject_residuals", &residual_array<double>, py::arg("cameras"), py::arg("points_world_m"),
        py::arg("observed_px"), py::arg("options") = ReprojectOptions(), doc_residual);
  const char* doc_jacobians =
      "uv (C, N, 2) px and its Jacobians by the point (C, N, 2, 3) and by the pose increment (w, dt) (C, N, "
      "2, "
      "6), in the precision of the points.";
  m.def("reproject_jacobians", &jacobian_arrays<float>, py::arg("cameras"),
        py::arg("points_world_m").noconvert(), py::arg("options") = ReprojectOptions(), doc_jacobians);
  m.def("reproject_jacobians", &jacobian_arrays<double>, py::arg("cameras"), py::arg("points_world_m"),
        py::arg("options") = ReprojectOptions(), doc_jacobians);
  const char* doc_cuda = "The same on CUDA memory: pointers, number of points and stream as integers.";
  m.def("reproject_cuda_f32", &reproject_pointers<float>, py::arg("cameras"), py::arg("points"), py::arg("n"),
        py::arg("uv"), py::arg("stream"), doc_cuda);
  m.def("reproject_cuda_f64", &reproject_pointers<double>, py::arg("cameras"), py::arg("points"),
        py::arg("n"), py::arg("uv"), py::arg("stream"), doc_cuda);
}

}  // namespace sportcore::bindings

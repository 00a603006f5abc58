// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/triangulate.h"

#include <optional>

#include "bindings.h"

namespace sportcore::bindings {
namespace {

template <class T>
py::dict triangulate_array(const CameraArray& cameras, const Array<T>& keypoints,
                           const std::optional<Array<T>>& score, const std::optional<Array<T>>& sigma,
                           const TriangulateOptions& options, bool with_covariance, bool with_residuals) {
  const py::ssize_t C = static_cast<py::ssize_t>(cameras.cameras.size());
  check_shape(keypoints, "keypoints_px", {C, -1, 2});
  const py::ssize_t N = keypoints.shape(1);
  if (score) check_shape(*score, "score", {C, N});
  if (sigma) check_shape(*sigma, "sigma_px", {C, N});
  py::dict result;
  TriangulateOutput<T> out;
  Array<T> xyz({N, py::ssize_t(3)});
  Array<std::uint8_t> status(N), n_views(N);
  out.xyz = xyz.mutable_data();
  out.status = status.mutable_data();
  out.n_views = n_views.mutable_data();
  result["xyz"] = xyz;
  result["status"] = status;
  result["n_views"] = n_views;
  if (with_covariance) {
    Array<T> covariance({N, py::ssize_t(3), py::ssize_t(3)});
    out.covariance = covariance.mutable_data();
    result["covariance"] = covariance;
  }
  if (with_residuals) {
    Array<T> residual({C, N});
    Array<bool> inlier({C, N});
    out.residual_px = residual.mutable_data();
    out.inlier = inlier.mutable_data();
    result["residual_px"] = residual;
    result["inlier"] = inlier;
  }
  double used_sigma = options.sigma_px;
  out.sigma_px = &used_sigma;
  const T* xy = keypoints.data();
  const T* s = score ? score->data() : nullptr;
  const T* w = sigma ? sigma->data() : nullptr;
  {
    py::gil_scoped_release release;
    triangulate(cameras.cameras.data(), C, xy, s, w, N, out, options);
  }
  result["sigma_px"] = used_sigma;
  return result;
}

/// The same on CUDA memory. Each pointer is an integer, 0 where there is no such array.
template <class T>
void triangulate_pointers(const CameraArray& cameras, std::size_t n, std::uintptr_t keypoints,
                          std::uintptr_t score, std::uintptr_t sigma, std::uintptr_t xyz,
                          std::uintptr_t status, std::uintptr_t covariance, std::uintptr_t residual,
                          std::uintptr_t inlier, std::uintptr_t n_views, const TriangulateOptions& options,
                          std::uintptr_t stream) {
  TriangulateOutput<T> out;
  out.xyz = reinterpret_cast<T*>(xyz);
  out.status = reinterpret_cast<std::uint8_t*>(status);
  out.covariance = reinterpret_cast<T*>(covariance);
  out.residual_px = reinterpret_cast<T*>(residual);
  out.inlier = reinterpret_cast<bool*>(inlier);
  out.n_views = reinterpret_cast<std::uint8_t*>(n_views);
  py::gil_scoped_release release;
  triangulate_cuda<T>(cameras.cameras.data(), cameras.cameras.size(), reinterpret_cast<const T*>(keypoints),
                      reinterpret_cast<const T*>(score), reinterpret_cast<const T*>(sigma), n, out, options,
                      reinterpret_cast<void*>(stream));
}

template <class T>
void register_precision(py::module_& m, const char* cuda_name, bool convert) {
  auto xy = py::arg("keypoints_px"), score = py::arg("score"), sigma = py::arg("sigma_px");
  m.def(
      "triangulate", &triangulate_array<T>, py::arg("cameras"), convert ? xy : xy.noconvert(),
      (convert ? score : score.noconvert()) = py::none(), (convert ? sigma : sigma.noconvert()) = py::none(),
      py::arg("options") = TriangulateOptions(), py::arg("with_covariance") = true,
      py::arg("with_residuals") = true,
      "keypoints_px (C, N, 2), NaN where missing; score and sigma_px (C, N) or None. Returns a dict of xyz "
      "(N, 3) m, "
      "status (N,), n_views (N,), covariance (N, 3, 3) m^2, residual_px (C, N), inlier (C, N) and sigma_px, "
      "on which the covariance stands.");
  m.def(cuda_name, &triangulate_pointers<T>, py::arg("cameras"), py::arg("n"), py::arg("keypoints"),
        py::arg("score"), py::arg("sigma"), py::arg("xyz"), py::arg("status"), py::arg("covariance"),
        py::arg("residual"), py::arg("inlier"), py::arg("n_views"), py::arg("options"), py::arg("stream"),
        "triangulate on CUDA memory: pointers and stream as integers, 0 where there is no such array.");
}

}  // namespace

void register_triangulate(py::module_& m) {
  py::class_<TriangulateOptions> options(m, "TriangulateOptions",
                                         "Options of triangulate; see sportcore.points3d.");
  options.def(py::init<>())
      .def_readwrite("max_reprojection_error_px", &TriangulateOptions::max_reprojection_error_px)
      .def_readwrite("sigma_px", &TriangulateOptions::sigma_px)
      .def_readwrite("estimate_sigma", &TriangulateOptions::estimate_sigma)
      .def_readwrite("inlier_sigmas", &TriangulateOptions::inlier_sigmas)
      .def_readwrite("min_score", &TriangulateOptions::min_score)
      .def_readwrite("min_views", &TriangulateOptions::min_views)
      .def_readwrite("min_angle_deg", &TriangulateOptions::min_angle_deg)
      .def_readwrite("robust", &TriangulateOptions::robust)
      .def_property(
          "loss", [](const TriangulateOptions& o) { return loss_name(o.loss); },
          [](TriangulateOptions& o, const std::string& name) { o.loss = loss_from_name(name); })
      .def_readwrite("loss_scale_sigmas", &TriangulateOptions::loss_scale_sigmas)
      .def_readwrite("max_iterations", &TriangulateOptions::max_iterations)
      .def_readwrite("num_threads", &TriangulateOptions::num_threads)
      .def_readwrite("cuda", &TriangulateOptions::cuda);
  add_options_protocol(options, {"max_reprojection_error_px", "sigma_px", "estimate_sigma", "inlier_sigmas",
                                 "min_score", "min_views", "min_angle_deg", "robust", "loss",
                                 "loss_scale_sigmas", "max_iterations", "num_threads", "cuda"});
  m.def(
      "check_triangulate_options", [](const TriangulateOptions& o) { check(o); }, py::arg("options"),
      "Raise InputError when an option is out of its range.");
  m.attr("MAX_VIEWS") = kMaxViews;
  register_precision<float>(m, "triangulate_cuda_f32", false);
  register_precision<double>(m, "triangulate_cuda_f64", true);
}

}  // namespace sportcore::bindings

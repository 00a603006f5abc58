// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "rotations.h"

#include <algorithm>
#include <tuple>

namespace sportcore::bindings {
namespace {

using Doubles = Array<double>;

template <class T>
py::array_t<T> array_of(const std::vector<T>& v, std::vector<py::ssize_t> shape) {
  py::array_t<T> out(shape);
  std::copy(v.begin(), v.end(), out.mutable_data());
  return out;
}

py::dict average(py::ssize_t num_nodes, const py::object& given, double loss_scale) {
  require(num_nodes > 0, "num_nodes must be positive.");
  const std::vector<RotationEdge> edges = edges_from(given);
  RotationAveragingOptions options;
  options.loss_scale = loss_scale;
  const RotationAveragingResult r = average_rotations(num_nodes, edges.data(), edges.size(), options);
  py::dict d;
  d["R"] = array_of(r.R, {num_nodes, 3, 3});
  d["component"] = array_of(r.component, {num_nodes});
  d["residual_rad"] = array_of(r.residual_rad, {static_cast<py::ssize_t>(edges.size())});
  d["weight"] = array_of(r.weight, {static_cast<py::ssize_t>(edges.size())});
  d["converged"] = r.converged;
  return d;
}

}  // namespace

std::vector<RotationEdge> edges_from(const py::object& given) {
  std::vector<RotationEdge> edges;
  if (given.is_none()) return edges;
  const auto parts = given.cast<std::tuple<Array<std::int32_t>, Doubles, Doubles>>();
  const auto& [ends, R, sigma] = parts;
  check_shape(ends, "cameras of the rotations", {-1, 2});
  check_shape(R, "rotations", {ends.shape(0), 3, 3});
  check_shape(sigma, "sigma_rad", {ends.shape(0)});
  for (py::ssize_t k = 0; k < ends.shape(0); ++k) {
    RotationEdge e;
    e.first = ends.at(k, 0), e.second = ends.at(k, 1);
    std::copy(R.data(k), R.data(k) + 9, e.R);
    e.sigma_rad = sigma.at(k);
    edges.push_back(e);
  }
  return edges;
}

void register_rotations(py::module_& m) {
  m.def("average_rotations", &average, py::arg("num_nodes"), py::arg("edges"), py::kw_only(),
        py::arg("loss_scale") = 3.0,
        "Robust rotations (n, 3, 3) from edges (cameras (E, 2), second from first (E, 3, 3), deviation (E) "
        "rad).");
}

}  // namespace sportcore::bindings

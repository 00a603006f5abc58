// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "bindings.h"
#include "sportcore/version.h"

PYBIND11_MODULE(_core, m) {
  namespace b = sportcore::bindings;
  namespace py = pybind11;
  m.doc() = "The C++ core of sportcore: cameras, reprojection, triangulation, calibration, skinning.";
  m.attr("__version__") = sportcore::version();
  m.def(
      "_rebuild_options", [](py::object cls, const py::dict& values) { return cls(**values); },
      py::arg("cls"), py::arg("values"));
  b::register_error(m);
  b::register_device(m);
  b::register_camera(m);
  b::register_calibrate(m);
  b::register_least_squares(m);
  b::register_reproject(m);
  b::register_rotations(m);
  b::register_skin(m);
  b::register_tensors(m);
  b::register_triangulate(m);
}

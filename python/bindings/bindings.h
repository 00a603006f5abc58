// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What the binding files share: one register function per C++ header, array checks, and options with keyword
/// arguments.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "sportcore/camera.h"
#include "sportcore/error.h"
#include "sportcore/least_squares.h"

namespace sportcore::bindings {

namespace py = pybind11;

void register_camera(py::module_& m);
void register_calibrate(py::module_& m);
void register_device(py::module_& m);
void register_error(py::module_& m);
void register_least_squares(py::module_& m);
void register_reproject(py::module_& m);
void register_rotations(py::module_& m);
void register_skin(py::module_& m);
void register_tensors(py::module_& m);
void register_triangulate(py::module_& m);

/// The cameras of a rig as the kernels read them. Python: _core.Cameras.
struct CameraArray {
  std::vector<Camera<double>> cameras;
};

/// A C-contiguous array of T, converted when necessary.
template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

/// "(4, 100, 2)"
inline std::string shape_text(const py::array& a) {
  std::string s = "(";
  for (py::ssize_t i = 0; i < a.ndim(); ++i) s += (i ? ", " : "") + std::to_string(a.shape(i));
  return s + (a.ndim() == 1 ? ",)" : ")");
}

/// Throws InputError unless the array has exactly this shape; -1 stands for any length.
inline void check_shape(const py::array& a, const char* name, const std::vector<py::ssize_t>& shape) {
  bool ok = a.ndim() == static_cast<py::ssize_t>(shape.size());
  for (std::size_t i = 0; ok && i < shape.size(); ++i) ok = shape[i] < 0 || a.shape(i) == shape[i];
  if (ok) return;
  std::string want = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    want += (i ? ", " : "") + (shape[i] < 0 ? "N" : std::to_string(shape[i]));
  throw InputError(std::string(name) + " must have the shape " + want + "), got " + shape_text(a) + ".");
}

/// "trivial", "huber", "cauchy" or "geman_mcclure"; another name raises InputError.
Loss loss_from_name(const std::string& name);
std::string loss_name(Loss loss);

/// Adds to an options class: __init__ from keyword arguments (a misspelt one raises InputError and names the
/// options there are), __repr__, to_dict, __eq__ and pickling. `fields` are the names bound before with
/// def_readwrite.
void add_options_protocol(py::object cls, const std::vector<std::string>& fields);

}  // namespace sportcore::bindings

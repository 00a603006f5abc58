// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "bindings.h"

namespace sportcore::bindings {
namespace {

void raise(const char* name, const std::string& message, const std::string& remedy) {
  const py::object type = py::module_::import("sportcore.errors").attr(name);
  const py::object error = type(message, remedy);
  PyErr_SetObject(type.ptr(), error.ptr());
}

/// The known name that shares the most two-letter pieces with a misspelt one, or an empty string.
std::string nearest(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  double best_score = 0.4;
  for (const std::string& k : known) {
    int shared = 0;
    for (std::size_t i = 0; i + 1 < name.size(); ++i)
      shared += k.find(name.substr(i, 2)) != std::string::npos;
    const double score =
        2.0 * shared / static_cast<double>(std::max<std::size_t>(1, name.size() + k.size() - 2));
    if (score > best_score) {
      best_score = score;
      best = k;
    }
  }
  return best;
}

}  // namespace

void register_error(py::module_&) {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const InputError& e) {
      raise("InputError", e.message(), e.remedy());
    } catch (const DegenerateError& e) {
      raise("DegenerateError", e.message(), e.remedy());
    } catch (const DeviceError& e) {
      raise("DeviceError", e.message(), e.remedy());
    }
  });
}

void add_options_protocol(py::object cls, const std::vector<std::string>& fields) {
  const std::string name = py::str(cls.attr("__name__"));
  const py::object base_init = cls.attr("__init__");
  const auto assign = [fields, name](py::object self, const py::kwargs& kwargs) {
    for (const auto& item : kwargs) {
      const std::string key = py::str(item.first);
      if (std::find(fields.begin(), fields.end(), key) == fields.end()) {
        std::string all;
        for (const std::string& f : fields) all += (all.empty() ? "" : ", ") + f;
        const std::string near = nearest(key, fields);
        throw InputError(name + " has no option '" + key + "'.",
                         (near.empty() ? "" : "Did you mean '" + near + "'? ") + "There are: " + all + ".");
      }
      try {
        py::setattr(self, key.c_str(), py::reinterpret_borrow<py::object>(item.second));
      } catch (py::error_already_set& e) {
        if (!e.matches(PyExc_TypeError)) throw;
        throw InputError(name + ": " + key + " cannot be " + std::string(py::repr(item.second)) + ".");
      }
    }
  };
  cls.attr("__init__") = py::cpp_function(
      [base_init, assign](py::object self, const py::kwargs& kwargs) {
        base_init(self);
        assign(self, kwargs);
      },
      py::name("__init__"), py::is_method(cls));
  cls.attr("__repr__") = py::cpp_function(
      [fields, name](py::object self) {
        std::string s = name + "(";
        for (std::size_t i = 0; i < fields.size(); ++i)
          s += (i ? ", " : "") + fields[i] + "=" + std::string(py::repr(self.attr(fields[i].c_str())));
        return s + ")";
      },
      py::name("__repr__"), py::is_method(cls));
  const auto to_dict = [fields](py::object self) {
    py::dict d;
    for (const std::string& f : fields) d[py::str(f)] = self.attr(f.c_str());
    return d;
  };
  cls.attr("to_dict") = py::cpp_function(to_dict, py::name("to_dict"), py::is_method(cls));
  cls.attr("__eq__") = py::cpp_function(
      [to_dict](py::object self, py::object other) -> bool {
        return py::type::of(self).is(py::type::of(other)) && to_dict(self).equal(to_dict(other));
      },
      py::name("__eq__"), py::is_method(cls));
  cls.attr("__hash__") = py::none();
  cls.attr("__reduce__") = py::cpp_function(
      [to_dict, cls_name = name](py::object self) {
        const py::object rebuild = py::module_::import("sportcore._core").attr("_rebuild_options");
        return py::make_tuple(rebuild, py::make_tuple(py::type::of(self), to_dict(self)));
      },
      py::name("__reduce__"), py::is_method(cls));
}

}  // namespace sportcore::bindings

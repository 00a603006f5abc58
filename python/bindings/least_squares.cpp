// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/least_squares.h"

#include <algorithm>

#include "bindings.h"

namespace sportcore::bindings {

Loss loss_from_name(const std::string& name) {
  if (name == "trivial") return Loss::kTrivial;
  if (name == "huber") return Loss::kHuber;
  if (name == "cauchy") return Loss::kCauchy;
  if (name == "geman_mcclure") return Loss::kGemanMcClure;
  throw InputError("Unknown loss '" + name + "'.", "Use trivial, huber, cauchy or geman_mcclure.");
}

std::string loss_name(Loss loss) {
  const char* names[] = {"trivial", "huber", "cauchy", "geman_mcclure"};
  return names[static_cast<int>(loss)];
}

namespace {

py::dict minimize(const py::function& residuals, const py::function& jacobian, const Array<double>& x0,
                  const std::string& loss, double loss_scale, int block_size, const LmOptions& options) {
  check_shape(x0, "x0", {-1});
  std::vector<double> x(x0.data(), x0.data() + x0.size());
  const auto call = [](const py::function& f, const double* p, py::ssize_t n) {
    Array<double> argument(n);
    std::copy(p, p + n, argument.mutable_data());
    return f(argument).cast<Array<double>>();
  };
  const py::ssize_t n = x0.size(), m = call(residuals, x.data(), n).size();
  DenseProblem problem;
  problem.n_params = static_cast<int>(n);
  problem.n_residuals = static_cast<int>(m);
  problem.block_size = block_size;
  problem.loss = loss_from_name(loss);
  problem.loss_scale = loss_scale;
  problem.residuals = [&](const double* p, double* r) {
    const Array<double> out = call(residuals, p, n);
    check_shape(out, "residuals(x)", {m});
    std::copy(out.data(), out.data() + m, r);
  };
  problem.jacobian = [&](const double* p, double* J) {
    const Array<double> out = call(jacobian, p, n);
    check_shape(out, "jacobian(x)", {m, n});
    std::copy(out.data(), out.data() + m * n, J);
  };
  std::vector<double> covariance;
  const LmResult result = minimize_dense(problem, x, options, &covariance);
  py::dict d;
  d["x"] = Array<double>(n, x.data());
  d["covariance"] = Array<double>({n, n}, covariance.data());
  d["converged"] = result.converged;
  d["stop"] = to_string(result.stop);
  d["iterations"] = result.iterations;
  d["initial_cost"] = result.initial_cost;
  d["cost"] = result.cost;
  return d;
}

}  // namespace

void register_least_squares(py::module_& m) {
  py::class_<LmOptions> options(m, "LmOptions", "Damping loop of Levenberg-Marquardt.");
  options.def(py::init<>())
      .def_readwrite("max_iterations", &LmOptions::max_iterations)
      .def_readwrite("initial_damping", &LmOptions::initial_damping)
      .def_readwrite("min_damping", &LmOptions::min_damping)
      .def_readwrite("max_damping", &LmOptions::max_damping)
      .def_readwrite("cost_tolerance", &LmOptions::cost_tolerance)
      .def_readwrite("gradient_tolerance", &LmOptions::gradient_tolerance)
      .def_readwrite("step_tolerance", &LmOptions::step_tolerance);
  add_options_protocol(options, {"max_iterations", "initial_damping", "min_damping", "max_damping",
                                 "cost_tolerance", "gradient_tolerance", "step_tolerance"});

  m.def("minimize", &minimize, py::arg("residuals"), py::arg("jacobian"), py::arg("x0"),
        py::arg("loss") = "trivial", py::arg("loss_scale") = 1.0, py::arg("block_size") = 1,
        py::arg("options") = LmOptions(),
        "Minimise 1/2 sum rho(|r_i|^2) with residuals(x) -> (M,) and jacobian(x) -> (M, N). Returns x, "
        "covariance, "
        "converged, stop, iterations, initial_cost and cost.");
  m.def(
      "loss",
      [](const std::string& name, const Array<double>& s, double scale) {
        const Loss kind = loss_from_name(name);
        require(scale > 0, "The scale of a loss must be positive.");
        Array<double> rho(s.size()), weight(s.size());
        for (py::ssize_t i = 0; i < s.size(); ++i) {
          rho.mutable_data()[i] = loss_value(kind, s.data()[i], scale);
          weight.mutable_data()[i] = loss_weight(kind, s.data()[i], scale);
        }
        return py::make_tuple(rho, weight);
      },
      py::arg("name"), py::arg("squared"), py::arg("scale") = 1.0,
      "rho(s) and rho'(s) of a robust loss at squared residuals s (N,).");
}

}  // namespace sportcore::bindings

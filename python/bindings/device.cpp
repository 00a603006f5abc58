// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/device.h"

#include "bindings.h"
#include "sportcore/parallel.h"

namespace sportcore::bindings {

void register_device(py::module_& m) {
  m.def("built_with_cuda", &built_with_cuda, "True when this build holds the CUDA kernels.");
  m.def("cuda_device_count", &cuda_device_count, "Number of usable CUDA devices (0 without a driver).");
  m.def("cuda_device_name", &cuda_device_name, py::arg("device") = 0,
        "Name of a CUDA device; raises DeviceError.");
  m.def("require_cuda", &require_cuda, "Raise DeviceError, with the remedy, unless CUDA can be used.");
  m.def("kernel_isa", &kernel_isa,
        "SIMD instruction set of the kernels in this process: avx512, avx2 or baseline. The environment "
        "variable SPORTCORE_ISA names a lesser one than the processor has.");
  m.def("resolve_threads", &resolve_threads, py::arg("num_threads") = 0,
        "Threads that a request stands for: 0 is one per available core.");
}

}  // namespace sportcore::bindings

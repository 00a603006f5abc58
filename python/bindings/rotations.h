// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Rotations between cameras as Python gives them.
#pragma once

#include <vector>

#include "bindings.h"
#include "sportcore/rotation_averaging.h"

namespace sportcore::bindings {

// (cameras (V, 2), R (V, 3, 3), sigma_rad (V)) or None
std::vector<RotationEdge> edges_from(const py::object& given);

}  // namespace sportcore::bindings

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What cuda/ offers to the dispatchers in cpp/src. Private; free of CUDA types.
#pragma once

#include <string>

namespace sportcore::cuda {

/// Number of devices; when it is 0, *why (optional) receives the runtime's words.
int device_count(std::string* why);
std::string device_name(int device);

}  // namespace sportcore::cuda

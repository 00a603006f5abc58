// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/error.h"

namespace sportcore {
namespace {

std::string joined(const std::string& what, const std::string& remedy) {
  return remedy.empty() ? what : what + " " + remedy;
}

}  // namespace

InputError::InputError(const std::string& what, const std::string& remedy)
    : std::invalid_argument(joined(what, remedy)), message_(what), remedy_(remedy) {}
InputError::~InputError() = default;

DegenerateError::DegenerateError(const std::string& what, const std::string& remedy)
    : std::runtime_error(joined(what, remedy)), message_(what), remedy_(remedy) {}
DegenerateError::~DegenerateError() = default;

DeviceError::DeviceError(const std::string& what, const std::string& remedy)
    : std::runtime_error(joined(what, remedy)), message_(what), remedy_(remedy) {}
DeviceError::~DeviceError() = default;

}  // namespace sportcore

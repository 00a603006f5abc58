// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Exceptions of the C++ library: what() is the message, what is wrong, followed by the remedy, what to do.
/// The Python module maps each to the class of the same meaning in sportcore.errors.
#pragma once

#include <stdexcept>
#include <string>

#include "sportcore/hd.h"

namespace sportcore {

/// The input is wrong: a shape, a range, a camera, an option. Python: InputError (also a ValueError).
class SPORTCORE_API InputError : public std::invalid_argument {
 public:
  explicit InputError(const std::string& what, const std::string& remedy = "");
  ~InputError() override;
  const std::string& message() const { return message_; }
  const std::string& remedy() const { return remedy_; }

 private:
  std::string message_, remedy_;
};

/// The geometry cannot be determined from this input. Python: DegenerateError.
class SPORTCORE_API DegenerateError : public std::runtime_error {
 public:
  explicit DegenerateError(const std::string& what, const std::string& remedy = "");
  ~DegenerateError() override;
  const std::string& message() const { return message_; }
  const std::string& remedy() const { return remedy_; }

 private:
  std::string message_, remedy_;
};

/// A CUDA device was asked for and is not there, or it failed. Python: DeviceError.
class SPORTCORE_API DeviceError : public std::runtime_error {
 public:
  explicit DeviceError(const std::string& what, const std::string& remedy = "");
  ~DeviceError() override;
  const std::string& message() const { return message_; }
  const std::string& remedy() const { return remedy_; }

 private:
  std::string message_, remedy_;
};

/// Throws InputError when the condition does not hold.
inline void require(bool condition, const std::string& what, const std::string& remedy = "") {
  if (!condition) throw InputError(what, remedy);
}

}  // namespace sportcore

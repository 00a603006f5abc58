// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What the files of the C interface share: handles, errors, structs that grow. Private.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "sportcore/camera.h"
#include "sportcore/error.h"
#include "sportcore/sportcore_c.h"

struct sportcore_rig {
  std::vector<sportcore::Camera<double>> cameras;
};

namespace sportcore::c_api {

/// A struct of the caller that this library cannot read.
class VersionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Keeps the message for sportcore_last_error and returns the result.
sportcore_result failed(sportcore_result result, const char* message) noexcept;

/// Runs body(); what it throws becomes a result and a message.
template <class Body>
sportcore_result guarded(const Body& body) noexcept {
  try {
    body();
    return SPORTCORE_OK;
  } catch (const VersionError& e) {
    return failed(SPORTCORE_ERROR_VERSION, e.what());
  } catch (const InputError& e) {
    return failed(SPORTCORE_ERROR_INPUT, e.what());
  } catch (const DegenerateError& e) {
    return failed(SPORTCORE_ERROR_DEGENERATE, e.what());
  } catch (const DeviceError& e) {
    return failed(SPORTCORE_ERROR_DEVICE, e.what());
  } catch (const std::bad_alloc&) {
    return failed(SPORTCORE_ERROR_MEMORY, "Not enough memory.");
  } catch (const std::length_error&) {
    return failed(SPORTCORE_ERROR_MEMORY, "Not enough memory: a count is too large.");
  } catch (const std::exception& e) {
    return failed(SPORTCORE_ERROR_INTERNAL, e.what());
  } catch (...) {
    return failed(SPORTCORE_ERROR_INTERNAL, "An unknown exception.");
  }
}

/// Throws InputError for a null pointer. Does not allocate otherwise.
inline void need(const void* pointer, const char* name) {
  if (pointer == nullptr) throw InputError(std::string(name) + " is null.");
}

/// Throws InputError when an array of so many numbers cannot exist. Does not allocate otherwise.
inline void check_count(const char* name, std::initializer_list<std::size_t> factors) {
  std::size_t left = PTRDIFF_MAX / sizeof(double);
  for (std::size_t f : factors) {
    if (f == 0) return;
    left /= f;
  }
  if (left == 0) throw InputError(std::string(name) + " is more than memory can hold.");
}

constexpr std::size_t kLargestStruct =
    4096;  // more than any version will have; guards against no struct_size

/// Throws VersionError unless `size` can be the size of this struct in some version of the library.
inline void check_struct_size(std::size_t size, std::size_t first_version, const char* name) {
  if (size < first_version || size > kLargestStruct)
    throw VersionError(std::string(name) + ".struct_size is " + std::to_string(size) +
                       ". Set it to sizeof the struct, before anything else.");
}

/// The caller's struct as this library knows it: what the caller's version does not have comes from
/// `defaults`. `first_version` is the size of the struct when it was introduced.
template <class S>
S load(const S* given, const S& defaults, std::size_t first_version, const char* name) {
  S out = defaults;
  if (given == nullptr) return out;
  const std::size_t size = given->struct_size;
  check_struct_size(size, first_version, name);
  std::memcpy(&out, given, std::min(size, sizeof(S)));
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(S); i < size; ++i)
    if (bytes[i] != 0)
      throw VersionError(std::string(name) + " sets a field that sportcore " + sportcore_version() +
                         " does not know. Update the library.");
  out.struct_size = sizeof(S);
  return out;
}

/// Writes what `value` has, as far as the caller's struct has room, and zeros after it.
template <class S>
void store(const S& value, S* out, std::size_t size, std::size_t first_version, const char* name) {
  need(out, name);
  check_struct_size(size, first_version, name);
  std::memset(static_cast<void*>(out), 0, size);
  std::memcpy(static_cast<void*>(out), &value, std::min(size, sizeof(S)));
  out->struct_size = size;
}

}  // namespace sportcore::c_api

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Host/device marker and the few scalar functions that both compilers share.
///
/// Everything marked SPORTCORE_HD is written once and runs in the CPU loops and in the CUDA kernels. Such
/// functions take plain arrays: a matrix is row-major, an optional output is a pointer that may be null.
/// There is no Eigen and no allocation in them, so the layout of nothing here depends on compiler flags.
#pragma once

#include <cmath>
#include <limits>

#if defined(__CUDACC__)
#define SPORTCORE_HD __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define SPORTCORE_HD inline __attribute__((always_inline))
#else
#define SPORTCORE_HD inline
#endif

#if defined(_WIN32)
#define SPORTCORE_API
#else
/// Public symbols of libsportcore; everything else in the library is hidden.
#define SPORTCORE_API __attribute__((visibility("default")))
#endif

namespace sportcore {

template <class T>
SPORTCORE_HD T nan_value() {
  return std::numeric_limits<T>::quiet_NaN();
}

/// True when x is neither infinite nor NaN. Written without library calls so that it vectorises.
template <class T>
SPORTCORE_HD auto is_finite(T x) -> decltype(x == x) {
  return x - x == T(0);
}

template <class T>
SPORTCORE_HD T square(T x) {
  return x * x;
}

template <class T>
SPORTCORE_HD T min_of(T a, T b) {
  return a < b ? a : b;
}

template <class T>
SPORTCORE_HD T max_of(T a, T b) {
  return a > b ? a : b;
}

}  // namespace sportcore

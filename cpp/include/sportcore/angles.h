// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Arc tangent and tangent on the ranges that lenses need, for scalars and packs (lanes.h), without the
/// argument reduction for huge angles that makes the library functions slow on a GPU. Errors stay within a
/// few units in the last place.
#pragma once

#include "sportcore/lanes.h"

namespace sportcore {

/// atan(x) for x >= 0: atan(x) = pi/2 - atan(1/x), atan(q) = pi/4 + atan((q - 1) / (q + 1)) and the
/// half-angle formula bring the argument below 0.2, where the power series ends after few terms.
template <class T>
SPORTCORE_HD T atan_positive(T x) {
  using std::sqrt;
  using S = scalar_t<T>;
  constexpr int kTerms = sizeof(S) == 4 ? 6 : 12;
  const mask_t<T> above = x > T(1);
  const T q = select(above, T(1) / x, x);
  const mask_t<T> upper = q > T(0.41421356237309503);
  const T t = select(upper, (q - T(1)) / (q + T(1)), q);
  const T y = t / (T(1) + sqrt(T(1) + t * t)), y2 = y * y;
  T series = T(1.0 / (2 * kTerms + 1));
  for (int k = kTerms - 1; k >= 0; --k) series = T(1.0 / (2 * k + 1)) - y2 * series;
  const T base = select(upper, T(0.78539816339744831), T(0)), angle = base + T(2) * y * series;
  return select(above, T(1.5707963267948966) - angle, angle);
}

/// tan(x) for 0 <= x < pi/2, from the series of sine and cosine of the half angle.
template <class T>
SPORTCORE_HD T tan_acute(T x) {
  using S = scalar_t<T>;
  constexpr int kTerms = sizeof(S) == 4 ? 6 : 10;
  const T h = T(0.5) * x, h2 = h * h;
  T sine = T(1), cosine = T(1);
  for (int k = kTerms - 1; k >= 1; --k) {
    sine = T(1) - h2 * T(1.0 / (2 * k * (2 * k + 1))) * sine;
    cosine = T(1) - h2 * T(1.0 / (2 * k * (2 * k - 1))) * cosine;
  }
  sine = h * sine;
  return T(2) * sine * cosine / ((cosine - sine) * (cosine + sine));
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What lets one source serve one number and many: a kernel is written for a type T that is either a scalar
/// (CUDA threads, plain loops) or a pack of them (the lanes of a SIMD register, private to the library).
///
/// Such code branches on data by `select` only and asks `any` where a whole branch can be skipped. Comparing
/// two T gives a mask_t<T>; masks combine with & | and !. Square roots and absolute values are found by
/// argument-dependent lookup: `using std::sqrt; sqrt(x)`.
#pragma once

#include "sportcore/hd.h"

namespace sportcore {

/// Mask and scalar of T; specialised for packs.
template <class T>
struct LaneTraits {
  using mask = bool;
  using scalar = T;
};

template <class T>
using mask_t = typename LaneTraits<T>::mask;
template <class T>
using scalar_t = typename LaneTraits<T>::scalar;

/// a where the mask holds, b elsewhere.
template <class T>
SPORTCORE_HD T select(bool mask, T a, T b) {
  return mask ? a : b;
}

/// True when the mask holds in some lane.
SPORTCORE_HD bool any(bool mask) { return mask; }

/// True when the mask holds in half of the lanes of a pack or more; false for a scalar, which has no company.
SPORTCORE_HD bool mostly(bool) { return false; }

/// 1/x to within two units in the last place for normal x, by the quickest way there is. Zero and infinity
/// may give NaN.
SPORTCORE_HD float reciprocal(float x) { return 1.0f / x; }
SPORTCORE_HD double reciprocal(double x) { return 1.0 / x; }

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Neighbouring points between memory and lanes, `count` of them, with the rest of the lanes padded. Private;
/// included by the kernels only.
#pragma once

#include "pack.h"

namespace sportcore {
namespace SPORTCORE_ISA {

template <class S>
SPORTCORE_HD Pack<S> load_lanes(const S* p, int count, S pad) {
  if (count == kLanes<S>) return load(p);
  S x[kLanes<S>];
  for (int i = 0; i < kLanes<S>; ++i) x[i] = i < count ? p[i] : pad;
  return load(x);
}

template <class S>
SPORTCORE_HD void load_lanes2(const S* p, int count, S pad, Pack<S>* a, Pack<S>* b) {
  if (count == kLanes<S>) return load_interleaved(p, a, b);
  S x[2][kLanes<S>];
  for (int i = 0; i < kLanes<S>; ++i)
    for (int r = 0; r < 2; ++r) x[r][i] = i < count ? p[2 * i + r] : pad;
  *a = load(x[0]);
  *b = load(x[1]);
}

template <class S>
SPORTCORE_HD void load_lanes3(const S* p, int count, S pad, Pack<S>* a) {
  if (count == kLanes<S>) return load_interleaved3(p, a);
  S x[3][kLanes<S>];
  for (int i = 0; i < kLanes<S>; ++i)
    for (int r = 0; r < 3; ++r) x[r][i] = i < count ? p[3 * i + r] : pad;
  for (int r = 0; r < 3; ++r) a[r] = load(x[r]);
}

template <class S>
SPORTCORE_HD void store_lanes(Pack<S> a, S* p, int count) {
  if (count == kLanes<S>) return store(a, p);
  S x[kLanes<S>];
  store(a, x);
  for (int i = 0; i < count; ++i) p[i] = x[i];
}

template <class S>
SPORTCORE_HD void store_lanes2(Pack<S> a, Pack<S> b, S* p, int count) {
  if (count == kLanes<S>) return store_interleaved(a, b, p);
  S x[2][kLanes<S>];
  store(a, x[0]);
  store(b, x[1]);
  for (int i = 0; i < count; ++i)
    for (int r = 0; r < 2; ++r) p[2 * i + r] = x[r][i];
}

template <class S>
SPORTCORE_HD void store_lanes3(const Pack<S>* a, S* p, int count) {
  if (count == kLanes<S>) return store_interleaved3(a, p);
  S x[3][kLanes<S>];
  for (int r = 0; r < 3; ++r) store(a[r], x[r]);
  for (int i = 0; i < count; ++i)
    for (int r = 0; r < 3; ++r) p[3 * i + r] = x[r][i];
}

/// *to += the sum of the lanes.
template <class S>
SPORTCORE_HD void add_lanes(Pack<S> a, double* to) {
  S x[kLanes<S>];
  store(a, x);
  double sum = 0;
  for (int i = 0; i < kLanes<S>; ++i) sum += static_cast<double>(x[i]);
  *to += sum;
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

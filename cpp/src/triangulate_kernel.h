// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The triangulation loop over lanes. Private; included by kernels.cpp only.
///
/// Points are taken a register at a time. The few whose views disagree would make all lanes wait for the
/// search, so they are set aside and searched for together, in full registers, after each block.
#pragma once

#include "kernels.h"
#include "pack.h"

namespace sportcore {
namespace SPORTCORE_ISA {

constexpr int kTriangulateBlock = 1024;  // points between two searches

/// The points of a pack: neighbours, or any.
struct LaneIndex {
  std::size_t at[SPORTCORE_PACK_BYTES / sizeof(float)];
  bool contiguous;
};

template <class S>
SPORTCORE_HD void load_observation(const TriangulateCall<S>& call, const LaneIndex& lanes, int c, Pack<S>* u,
                                   Pack<S>* v, Pack<S>* score, Pack<S>* sigma) {
  const std::size_t row = static_cast<std::size_t>(c) * call.n_points;
  if (lanes.contiguous) {
    const std::size_t at = row + lanes.at[0];
    // Two rows per camera are more streams than the processor follows by itself.
    const S* ahead = call.keypoints_px + 2 * (at + 2 * kLanes<S>);
    __builtin_prefetch(ahead);
    __builtin_prefetch(ahead + kLanes<S>);
    if (call.score) __builtin_prefetch(call.score + at + 2 * kLanes<S>);
    load_interleaved(call.keypoints_px + 2 * at, u, v);
    *score = call.score ? load(call.score + at) : Pack<S>(1);
    if (call.sigma_px) *sigma = load(call.sigma_px + at);
    return;
  }
  S a[kLanes<S>], b[kLanes<S>], s[kLanes<S>], w[kLanes<S>];
  for (int i = 0; i < kLanes<S>; ++i) {
    const std::size_t at = row + lanes.at[i];
    a[i] = call.keypoints_px[2 * at];
    b[i] = call.keypoints_px[2 * at + 1];
    s[i] = call.score ? call.score[at] : S(1);
    w[i] = call.sigma_px ? call.sigma_px[at] : S(1);
  }
  *u = load(a);
  *v = load(b);
  *score = load(s);
  *sigma = load(w);
}

template <class S>
SPORTCORE_HD void prepare(const TriangulateCall<S>& call, const LaneIndex& lanes,
                          const Observations<Pack<S>>& o, Pack<S>* n_used) {
  *n_used = Pack<S>(0);
  for (int c = 0; c < call.n_cameras; ++c) {
    Pack<S> u, v, score, sigma;
    load_observation(call, lanes, c, &u, &v, &score, &sigma);
    const Mask<S> use =
        prepare_view(call.cameras[c], call.params, u, v, score, call.sigma_px ? &sigma : nullptr, o, c);
    *n_used += select(use, Pack<S>(1), Pack<S>(0));
  }
}

/// Writes the first `count` lanes. Neighbours are written whole, so that those set aside for the search hold
/// something until it is done.
template <class S>
SPORTCORE_HD void write(const TriangulateCall<S>& call, const LaneIndex& lanes, int count,
                        const Observations<Pack<S>>& o, const TriangulatedPoint<Pack<S>>& point) {
  constexpr int kWidth = kLanes<S>;
  const TriangulateOutput<S>& out = call.out;
  if (out.covariance) {
    S cov[6][kWidth];
    for (int k = 0; k < 6; ++k) store(point.information[k] * Pack<S>(call.covariance_scale), cov[k]);
    constexpr int from[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    for (int i = 0; i < count; ++i) {
      S* to = out.covariance + 9 * lanes.at[i];
      for (int k = 0; k < 9; ++k) to[k] = cov[from[k]][i];
    }
  }
  if (lanes.contiguous) {
    store_interleaved3(point.X, out.xyz + 3 * lanes.at[0]);
    store_bytes(point.status, out.status + lanes.at[0]);
    if (out.n_views) store_bytes(point.n_inliers, out.n_views + lanes.at[0]);
    for (int c = 0; c < call.n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * call.n_points + lanes.at[0];
      if (out.residual_px) store(residual_px(o, point, c), out.residual_px + at);
      if (out.inlier) store_bytes(is_inlier(o, point, c), reinterpret_cast<std::uint8_t*>(out.inlier + at));
    }
    return;
  }
  S xyz[3][kWidth];
  std::uint8_t status[kWidth], inliers[kWidth];
  for (int k = 0; k < 3; ++k) store(point.X[k], xyz[k]);
  store_bytes(point.status, status);
  store_bytes(point.n_inliers, inliers);
  for (int i = 0; i < count; ++i) {
    const std::size_t at = lanes.at[i];
    for (int k = 0; k < 3; ++k) out.xyz[3 * at + k] = xyz[k][i];
    out.status[at] = status[i];
    if (out.n_views) out.n_views[at] = inliers[i];
  }
  for (int c = 0; c < call.n_cameras; ++c) {
    const std::size_t row = static_cast<std::size_t>(c) * call.n_points;
    S r[kWidth];
    store(residual_px(o, point, c), r);
    const unsigned in = bits(is_inlier(o, point, c));
    for (int i = 0; i < count; ++i) {
      if (out.residual_px) out.residual_px[row + lanes.at[i]] = r[i];
      if (out.inlier) out.inlier[row + lanes.at[i]] = (in >> i) & 1;
    }
  }
}

/// Adds the first `count` lanes.
template <class S>
SPORTCORE_HD void add_residuals(int count, const Observations<Pack<S>>& o,
                                const TriangulatedPoint<Pack<S>>& point, ResidualTally* tally) {
  using P = Pack<S>;
  P squares(0);
  for (int c = 0; c < o.n_views; ++c)
    squares += select(is_inlier(o, point, c) & (point.n_inliers > P(2.5)), o.at(c, kError2), P(0));
  S lane[kLanes<S>], n[kLanes<S>];
  store(squares, lane);
  store(point.n_inliers, n);
  for (int i = 0; i < count; ++i) {
    tally->squares += lane[i];
    tally->freedom += n[i] > S(2.5) ? 2.0 * n[i] - 3.0 : 0.0;
  }
}

/// A function of its own: it is called from two places and is long.
template <class S>
__attribute__((noinline)) void search(const TriangulateCall<S>& call, const Observations<Pack<S>>& o,
                                      Mask<S> active, TriangulatedPoint<Pack<S>>& point) {
  triangulate_search(call.cameras, call.pairs, o, call.params, active, point);
}

template <class S>
void triangulate_range(const TriangulateCall<S>& call, std::size_t begin, std::size_t end,
                       ResidualTally* tally) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  alignas(64) P storage[kMaxViews * kObservationFields];
  const Observations<P> o{storage, 1, call.n_cameras};
  std::uint32_t open[kTriangulateBlock + kWidth];  // points to search for, from the start of the block
  for (std::size_t block = begin; block < end; block += kTriangulateBlock) {
    const int size = static_cast<int>(end - block < kTriangulateBlock ? end - block : kTriangulateBlock);
    int n_open = 0;
    TriangulatedPoint<P> point;
    LaneIndex lanes;
    for (int first = 0; first < size; first += kWidth) {
      const int count = size - first < kWidth ? size - first : kWidth;
      for (int i = 0; i < kWidth; ++i) lanes.at[i] = block + first + (i < count ? i : count - 1);
      lanes.contiguous = count == kWidth;
      prepare(call, lanes, o, &point.n_used);
      const Mask<S> undecided = triangulate_direct(call.cameras, o, call.params, point);
      if (mostly(undecided)) {  // with many cameras hardly a point has no outlier: search where they are
        search(call, o, undecided, point);
      } else {
        const unsigned later = bits(undecided);
        for (int i = 0; i < count; ++i) {
          open[n_open] = static_cast<std::uint32_t>(first + i);
          n_open += (later >> i) & 1;
        }
      }
      triangulate_finish(call.cameras, o, call.params, point);
      write(call, lanes, count, o, point);
      if (tally) add_residuals<S>(count, o, point, tally);
    }
    for (int first = 0; first < n_open; first += kWidth) {
      const int count = n_open - first < kWidth ? n_open - first : kWidth;
      for (int i = 0; i < kWidth; ++i) lanes.at[i] = block + open[first + (i < count ? i : count - 1)];
      lanes.contiguous = false;
      prepare(call, lanes, o, &point.n_used);
      point.status = P(0);
      for (int k = 0; k < 3; ++k) point.X[k] = P(0);
      for (int k = 0; k < 6; ++k) point.information[k] = P(0);
      search(call, o, Mask<S>(true), point);
      triangulate_finish(call.cameras, o, call.params, point);
      write(call, lanes, count, o, point);
      if (tally) add_residuals<S>(count, o, point, tally);
    }
  }
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

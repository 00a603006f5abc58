// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Skinning over lanes. Private; included by kernels.cpp only.
///
/// Two arrangements of the same sums. With many frames the lanes are frames: a vertex reads its bones and
/// weights once for all of them, the transforms of a bone are 12 contiguous registers, and only vertices
/// have to be transposed. With few frames the lanes are the 12 numbers (padded to 16) of one transform.
#pragma once

#include "kernels.h"
#include "pack.h"
#include "sportcore/skin_vertex.h"

namespace sportcore {
namespace SPORTCORE_ISA {

// ---- transposition
// ------------------------------------------------------------------------------------------

/// Exchanges the off-diagonal blocks of kSize lanes of two registers.
template <int kN, int kSize, bool kSecond>
struct Exchange {
  static constexpr int of(int i) {
    return i & kSize ? (kSecond ? kN + i : kN + i - kSize) : (kSecond ? i + kSize : i);
  }
};

template <int kSize, class T>
SPORTCORE_HD void transpose(Pack<T>* x) {
  constexpr int kN = kLanes<T>;
  for (int i = 0; i < kN; ++i) {
    if (i & kSize) continue;
    const Pack<T> a = x[i], b = x[i + kSize];
    x[i] = shuffle<Exchange<kN, kSize, false>>(a, b);
    x[i + kSize] = shuffle<Exchange<kN, kSize, true>>(a, b);
  }
  if constexpr (kSize > 1) transpose<kSize / 2>(x);
}

template <class S>
void to_lanes(const S* src, std::size_t stride, int n_frames, std::size_t n, S* dst) {
  constexpr int kN = kLanes<S>;
  std::size_t i = 0;
  for (; i + kN <= n; i += kN) {
    Pack<S> x[kN];
    if (n_frames == kN)
      for (int f = 0; f < kN; ++f) x[f] = load(src + f * stride + i);
    else
      for (int f = 0; f < kN; ++f) x[f] = f < n_frames ? load(src + f * stride + i) : Pack<S>(0);
    transpose<kN / 2>(x);
    for (int f = 0; f < kN; ++f) store(x[f], dst + (i + f) * kN);
  }
  for (; i < n; ++i)
    for (int f = 0; f < kN; ++f) dst[i * kN + f] = f < n_frames ? src[f * stride + i] : S(0);
}

template <class S>
void from_lanes(const S* src, std::size_t stride, int n_frames, std::size_t n, S* dst) {
  constexpr int kN = kLanes<S>;
  std::size_t i = 0;
  for (; i + kN <= n; i += kN) {
    Pack<S> x[kN];
    for (int f = 0; f < kN; ++f) x[f] = load(src + (i + f) * kN);
    transpose<kN / 2>(x);
    if (n_frames == kN)
      for (int f = 0; f < kN; ++f) store(x[f], dst + f * stride + i);
    else
      for (int f = 0; f < n_frames; ++f) store(x[f], dst + f * stride + i);
  }
  for (; i < n; ++i)
    for (int f = 0; f < n_frames; ++f) dst[f * stride + i] = src[i * kN + f];
}

// ---- lanes are frames
// ------------------------------------------------------------------------------------------

template <class S>
SPORTCORE_HD void load12(const S* p, Pack<S>* A) {
  for (int i = 0; i < 12; ++i) A[i] = load(p + i * kLanes<S>);
}

/// M = sum_k w_k A_k of vertex v.
template <class S>
SPORTCORE_HD void blend_lanes(const SkinFrames<S>& f, std::size_t v, Pack<S>* M) {
  const int n_slots = f.arrays.n_slots;
  const std::uint16_t* bone = f.arrays.bone + v * n_slots;
  const S* weight = f.arrays.weight + v * n_slots;
  for (int i = 0; i < 12; ++i) M[i] = Pack<S>(0);
  for (int k = 0; k < n_slots; ++k) {
    Pack<S> A[12];
    load12(f.transforms + bone[k] * std::size_t(12 * kLanes<S>), A);
    blend_add(Pack<S>(weight[k]), A, M);
  }
}

template <class S>
SPORTCORE_HD void load_vertex(const SkinFrames<S>& f, std::size_t v, const S* tile_lanes, std::size_t in_tile,
                              Pack<S>* x) {
  for (int c = 0; c < 3; ++c)
    x[c] = f.vertices_per_frame ? load(tile_lanes + (3 * in_tile + c) * kLanes<S>)
                                : Pack<S>(f.vertices[3 * v + c]);
}

/// Asks for the lines of a full tile of `rows` (frames, 3 V), a share of them for each of the vertices that
/// are computed meanwhile. The rows of all frames are more streams than the hardware follows by itself.
template <class S>
SPORTCORE_HD void prefetch_tile(const SkinFrames<S>& f, const S* rows, std::size_t first,
                                std::size_t in_tile) {
  constexpr int kLines = 3 * sizeof(S);  // of a tile and frame: 3 * kSkinTile * sizeof(S) / 64
  constexpr int kShare = kLines * kLanes<S> / kSkinTile;
  for (int i = 0; i < kShare; ++i) {
    const std::size_t n = kShare * in_tile + i, frame = n / kLines, line = n % kLines;
    __builtin_prefetch(rows + frame * f.frame_stride + 3 * first + line * (64 / sizeof(S)));
  }
}

template <class S>
void skin_lanes(const SkinFrames<S>& f, std::size_t begin, std::size_t end) {
  constexpr int kN = kLanes<S>;
  const bool full = f.n_frames == kN;
  alignas(64) S x_tile[3 * kSkinTile * kN], y_tile[3 * kSkinTile * kN];
  for (std::size_t first = begin; first < end; first += kSkinTile) {
    const std::size_t count = end - first < kSkinTile ? end - first : kSkinTile;
    if (f.vertices_per_frame) to_lanes(f.vertices + 3 * first, f.frame_stride, f.n_frames, 3 * count, x_tile);
    for (std::size_t i = 0; i < count; ++i) {
      Pack<S> M[12], x[3], y[3];
      if (full && count == kSkinTile) prefetch_tile(f, f.out, first, i);
      blend_lanes(f, first + i, M);
      load_vertex(f, first + i, x_tile, i, x);
      transform_point(M, x, y);
      for (int c = 0; c < 3; ++c) store(y[c], y_tile + (3 * i + c) * kN);
    }
    from_lanes(y_tile, f.frame_stride, f.n_frames, 3 * count, f.out + 3 * first);
  }
}

template <class S>
SPORTCORE_HD S sum_of_lanes(Pack<S> x) {
  S lanes[kLanes<S>], sum = 0;
  store(x, lanes);
  for (int i = 0; i < kLanes<S>; ++i) sum += lanes[i];
  return sum;
}

/// dst (n) += the sum over lanes of src (n, lanes).
template <class S>
SPORTCORE_HD void add_lanes(const S* src, std::size_t n, S* dst) {
  constexpr int kN = kLanes<S>;
  std::size_t i = 0;
  for (; i + kN <= n; i += kN) {
    Pack<S> x[kN];
    for (int f = 0; f < kN; ++f) x[f] = load(src + (i + f) * kN);
    transpose<kN / 2>(x);
    Pack<S> sum = load(dst + i);
    for (int f = 0; f < kN; ++f) sum += x[f];
    store(sum, dst + i);
  }
  for (; i < n; ++i) dst[i] += sum_of_lanes(load(src + i * kN));
}

template <class S>
void skin_lanes_backward(const SkinFrames<S>& f, std::size_t begin, std::size_t end) {
  constexpr int kN = kLanes<S>;
  const int n_slots = f.arrays.n_slots;
  const bool full = f.n_frames == kN;
  alignas(64) S x_tile[3 * kSkinTile * kN], g_tile[3 * kSkinTile * kN], out_tile[3 * kSkinTile * kN];
  for (std::size_t first = begin; first < end; first += kSkinTile) {
    const std::size_t count = end - first < kSkinTile ? end - first : kSkinTile;
    to_lanes(f.grad_out + 3 * first, f.frame_stride, f.n_frames, 3 * count, g_tile);
    if (f.vertices_per_frame && (f.grad_transforms || f.grad_weight))
      to_lanes(f.vertices + 3 * first, f.frame_stride, f.n_frames, 3 * count, x_tile);
    if (f.grad_vertices) {
      for (std::size_t i = 0; i < count; ++i) {
        Pack<S> M[12], g[3], out[3];
        if (full && f.vertices_per_frame && end - first >= 2 * kSkinTile) {
          prefetch_tile(f, f.grad_out, first + kSkinTile, i);
          prefetch_tile(f, f.vertices, first + kSkinTile, i);
          prefetch_tile(f, f.grad_vertices, first, i);
        }
        blend_lanes(f, first + i, M);
        for (int c = 0; c < 3; ++c) g[c] = load(g_tile + (3 * i + c) * kN);
        rotate_back(M, g, out);
        for (int c = 0; c < 3; ++c) store(out[c], out_tile + (3 * i + c) * kN);
      }
      if (f.vertices_per_frame)
        from_lanes(out_tile, f.frame_stride, f.n_frames, 3 * count, f.grad_vertices + 3 * first);
      else
        add_lanes(out_tile, 3 * count, f.grad_vertices + 3 * first);
    }
    if (f.grad_transforms) {
      const S* weight = f.arrays.weight + first * n_slots;
      const std::uint16_t* entry = f.arrays.tile_entry + first * n_slots;
      const std::size_t tile = first / kSkinTile;
      for (std::int64_t r = f.arrays.tile_begin[tile]; r < f.arrays.tile_begin[tile + 1]; ++r) {
        Pack<S> D[12];
        for (int i = 0; i < 12; ++i) D[i] = Pack<S>(0);
        const std::uint16_t* last = entry + f.arrays.run_length[r];
        for (; entry < last; ++entry) {
          const std::size_t i = *entry >> 4;
          Pack<S> x[3], g[3];
          for (int c = 0; c < 3; ++c) g[c] = load(g_tile + (3 * i + c) * kN);
          load_vertex(f, first + i, x_tile, i, x);
          outer_add(Pack<S>(weight[i * n_slots + (*entry & 15)]), g, x, D);
        }
        S* to = f.grad_transforms + f.arrays.run_bone[r] * std::size_t(12 * kN);
        for (int i = 0; i < 12; ++i) store(load(to + i * kN) + D[i], to + i * kN);
      }
    }
    if (f.grad_weight) {
      for (std::size_t i = 0; i < count; ++i) {
        Pack<S> x[3], g[3];
        for (int c = 0; c < 3; ++c) g[c] = load(g_tile + (3 * i + c) * kN);
        load_vertex(f, first + i, x_tile, i, x);
        for (int k = 0; k < n_slots; ++k) {
          const std::size_t at = (first + i) * n_slots + k;
          Pack<S> A[12];
          load12(f.transforms + f.arrays.bone[at] * std::size_t(12 * kN), A);
          Pack<S> dot = transform_dot(A, x, g);
          if (f.n_frames < kN) {  // a vertex that is not finite must not reach the sum by an empty lane
            S lanes[kN];
            store(dot, lanes);
            for (int l = f.n_frames; l < kN; ++l) lanes[l] = 0;
            dot = load(lanes);
          }
          f.grad_weight[at] += sum_of_lanes(dot);
        }
      }
    }
  }
}

// ---- lanes are the numbers of one transform
// ------------------------------------------------------------------------------------------

/// The 16 numbers of a transform by columns: registers of it, and the columns themselves.
template <class S>
constexpr int kRowPacks = 16 / kLanes<S>;

template <class S>
struct Column {
  typedef S Vector __attribute__((vector_size(4 * sizeof(S))));
  Vector v;
  static SPORTCORE_HD Column at(const S* p) {
    Column c;
    __builtin_memcpy(&c.v, p, sizeof(c.v));
    return c;
  }
};

/// m (16) = sum_k w_k A_k of vertex v, by columns.
template <class S>
SPORTCORE_HD void blend_rows(const SkinFrames<S>& f, std::size_t v, S* m) {
  const int n_slots = f.arrays.n_slots;
  const std::uint16_t* bone = f.arrays.bone + v * n_slots;
  const S* weight = f.arrays.weight + v * n_slots;
  Pack<S> M[kRowPacks<S>];
  for (int i = 0; i < kRowPacks<S>; ++i) M[i] = Pack<S>(0);
  for (int k = 0; k < n_slots; ++k)
    for (int i = 0; i < kRowPacks<S>; ++i)
      M[i] += Pack<S>(weight[k]) * load(f.transforms + 16 * std::size_t(bone[k]) + i * kLanes<S>);
  for (int i = 0; i < kRowPacks<S>; ++i) store(M[i], m + i * kLanes<S>);
}

template <class S>
void skin_rows(const SkinFrames<S>& f, std::size_t begin, std::size_t end) {
  for (std::size_t v = begin; v < end; ++v) {
    alignas(64) S m[16];
    blend_rows(f, v, m);
    const S* x = f.vertices + 3 * v;
    using C = Column<S>;
    const typename C::Vector y =
        C::at(m).v * x[0] + (C::at(m + 4).v * x[1] + (C::at(m + 8).v * x[2] + C::at(m + 12).v));
    // four numbers where the fourth will be overwritten, three at the end of the range
    if (v + 1 < end)
      __builtin_memcpy(f.out + 3 * v, &y, 4 * sizeof(S));
    else
      for (int r = 0; r < 3; ++r) f.out[3 * v + r] = y[r];
  }
}

template <class S>
void skin_rows_backward(const SkinFrames<S>& f, std::size_t begin, std::size_t end) {
  constexpr int kN = kLanes<S>, kPacks = kRowPacks<S>;
  const int n_slots = f.arrays.n_slots;
  alignas(64) S outer[16 * kSkinTile];  // g (x, 1)^T by columns
  for (std::size_t first = begin; first < end; first += kSkinTile) {
    const std::size_t count = end - first < kSkinTile ? end - first : kSkinTile;
    for (std::size_t i = 0; i < count; ++i) {
      const S *g = f.grad_out + 3 * (first + i), *x = f.vertices + 3 * (first + i);
      if (f.grad_transforms || f.grad_weight) {
        using V = typename Column<S>::Vector;
        const V gc = {g[0], g[1], g[2], S(0)};
        for (int c = 0; c < 4; ++c) {
          const V column = c < 3 ? gc * x[c] : gc;
          __builtin_memcpy(outer + 16 * i + 4 * c, &column, sizeof(column));
        }
      }
      if (f.grad_vertices) {
        alignas(64) S m[16];
        blend_rows(f, first + i, m);
        S* to = f.grad_vertices + 3 * (first + i);
        for (int c = 0; c < 3; ++c) {
          const S d = m[4 * c] * g[0] + (m[4 * c + 1] * g[1] + m[4 * c + 2] * g[2]);
          to[c] = f.vertices_per_frame ? d : to[c] + d;
        }
      }
    }
    if (f.grad_transforms) {
      const S* weight = f.arrays.weight + first * n_slots;
      const std::uint16_t* entry = f.arrays.tile_entry + first * n_slots;
      const std::size_t tile = first / kSkinTile;
      for (std::int64_t r = f.arrays.tile_begin[tile]; r < f.arrays.tile_begin[tile + 1]; ++r) {
        Pack<S> D[2][kPacks];  // two sums in turn, since one would wait for its last addition
        for (int p = 0; p < kPacks; ++p) D[0][p] = D[1][p] = Pack<S>(0);
        const auto add = [&](std::uint16_t e, Pack<S>* sum) {
          const std::size_t i = e >> 4;
          const Pack<S> w(weight[i * n_slots + (e & 15)]);
          for (int p = 0; p < kPacks; ++p) sum[p] += w * load(outer + 16 * i + p * kN);
        };
        const std::uint16_t* last = entry + f.arrays.run_length[r];
        for (; entry + 1 < last; entry += 2) {
          add(entry[0], D[0]);
          add(entry[1], D[1]);
        }
        if (entry < last) add(*entry++, D[0]);
        S* to = f.grad_transforms + 16 * std::size_t(f.arrays.run_bone[r]);
        for (int p = 0; p < kPacks; ++p) store(load(to + p * kN) + (D[0][p] + D[1][p]), to + p * kN);
      }
    }
    if (f.grad_weight) {
      for (std::size_t i = 0; i < count; ++i)
        for (int k = 0; k < n_slots; ++k) {
          const std::size_t at = (first + i) * n_slots + k;
          const S* A = f.transforms + 16 * std::size_t(f.arrays.bone[at]);
          Pack<S> sum(0);
          for (int p = 0; p < kPacks; ++p) sum += load(A + p * kN) * load(outer + 16 * i + p * kN);
          f.grad_weight[at] += sum_of_lanes(sum);
        }
    }
  }
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

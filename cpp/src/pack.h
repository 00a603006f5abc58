// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// A pack of N numbers in one SIMD register, with the operations that kernels written for lanes.h use.
///
/// Built on the vector extension that GCC and Clang share, so that one source serves SSE, AVX2, AVX-512 and
/// NEON; the few operations which the compilers do not find by themselves are spelt out below. Files that
/// include this are compiled once for each instruction set, inside SPORTCORE_ISA (see kernels.h), and must
/// not instantiate anything from the standard library that could be shared with the rest of the program.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include "sportcore/lanes.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SPORTCORE_PACK_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#define SPORTCORE_PACK_BYTES 32
#else
#define SPORTCORE_PACK_BYTES 16
#endif

namespace sportcore {
namespace SPORTCORE_ISA {

template <class T>
struct LaneInt;
template <>
struct LaneInt<float> {
  using type = std::int32_t;
};
template <>
struct LaneInt<double> {
  using type = std::int64_t;
};

/// Lanes in a register.
template <class T>
constexpr int kLanes = SPORTCORE_PACK_BYTES / sizeof(T);

#if SPORTCORE_PACK_BYTES == 64

/// A bit for each lane, in one of the mask registers.
template <class T>
struct Mask {
  unsigned v;

  Mask() = default;
  SPORTCORE_HD explicit Mask(unsigned x) : v(x) {}
  SPORTCORE_HD explicit Mask(bool x) : v(x ? (1u << (kLanes<T> - 1)) * 2u - 1u : 0u) {}
  SPORTCORE_HD friend Mask operator&(Mask a, Mask b) { return Mask(a.v & b.v); }
  SPORTCORE_HD friend Mask operator|(Mask a, Mask b) { return Mask(a.v | b.v); }
  SPORTCORE_HD friend Mask operator!(Mask a) { return Mask(a.v ^ Mask(true).v); }
};

template <int kPredicate>
SPORTCORE_HD Mask<float> compare(__m512 a, __m512 b) {
  return Mask<float>(unsigned(_mm512_cmp_ps_mask(a, b, kPredicate)));
}
template <int kPredicate>
SPORTCORE_HD Mask<double> compare(__m512d a, __m512d b) {
  return Mask<double>(unsigned(_mm512_cmp_pd_mask(a, b, kPredicate)));
}
#define SPORTCORE_COMPARE(op, predicate) compare<predicate>(a.v, b.v)

#else

/// All bits of a lane set, or none.
template <class T>
struct Mask {
  typedef typename LaneInt<T>::type I;
  typedef I Vector __attribute__((vector_size(SPORTCORE_PACK_BYTES)));
  Vector v;

  Mask() = default;
  SPORTCORE_HD Mask(Vector x) : v(x) {}
  SPORTCORE_HD explicit Mask(bool x) : v(Vector{} - I(x)) {}
  SPORTCORE_HD friend Mask operator&(Mask a, Mask b) { return a.v & b.v; }
  SPORTCORE_HD friend Mask operator|(Mask a, Mask b) { return a.v | b.v; }
  SPORTCORE_HD friend Mask operator!(Mask a) { return ~a.v; }
};
#define SPORTCORE_COMPARE(op, predicate) Mask<T>(a.v op b.v)

#endif

template <class T>
struct Pack {
  typedef T Vector __attribute__((vector_size(SPORTCORE_PACK_BYTES)));
  Vector v;

  Pack() = default;
  SPORTCORE_HD Pack(Vector x) : v(x) {}
  SPORTCORE_HD Pack(float x) : v(Vector{} + T(x)) {}
  SPORTCORE_HD Pack(double x) : v(Vector{} + T(x)) {}
  SPORTCORE_HD Pack(int x) : v(Vector{} + T(x)) {}

  SPORTCORE_HD friend Pack operator+(Pack a, Pack b) { return a.v + b.v; }
  SPORTCORE_HD friend Pack operator-(Pack a, Pack b) { return a.v - b.v; }
  SPORTCORE_HD friend Pack operator*(Pack a, Pack b) { return a.v * b.v; }
  SPORTCORE_HD friend Pack operator/(Pack a, Pack b) { return a.v / b.v; }
  SPORTCORE_HD friend Pack operator-(Pack a) { return -a.v; }
  SPORTCORE_HD Pack& operator+=(Pack b) { return v += b.v, *this; }
  SPORTCORE_HD Pack& operator-=(Pack b) { return v -= b.v, *this; }
  SPORTCORE_HD Pack& operator*=(Pack b) { return v *= b.v, *this; }
  SPORTCORE_HD friend Mask<T> operator<(Pack a, Pack b) { return SPORTCORE_COMPARE(<, _CMP_LT_OQ); }
  SPORTCORE_HD friend Mask<T> operator<=(Pack a, Pack b) { return SPORTCORE_COMPARE(<=, _CMP_LE_OQ); }
  SPORTCORE_HD friend Mask<T> operator>(Pack a, Pack b) { return SPORTCORE_COMPARE(>, _CMP_GT_OQ); }
  SPORTCORE_HD friend Mask<T> operator>=(Pack a, Pack b) { return SPORTCORE_COMPARE(>=, _CMP_GE_OQ); }
  SPORTCORE_HD friend Mask<T> operator==(Pack a, Pack b) { return SPORTCORE_COMPARE(==, _CMP_EQ_OQ); }
};

#undef SPORTCORE_COMPARE

template <class T>
SPORTCORE_HD Pack<T> select(Mask<T> m, Pack<T> a, Pack<T> b) {
#if SPORTCORE_PACK_BYTES == 64
  if constexpr (sizeof(T) == 4)
    return Pack<T>((typename Pack<T>::Vector)_mm512_mask_blend_ps(__mmask16(m.v), (__m512)b.v, (__m512)a.v));
  else
    return Pack<T>((typename Pack<T>::Vector)_mm512_mask_blend_pd(__mmask8(m.v), (__m512d)b.v, (__m512d)a.v));
#else
  return Pack<T>(m.v ? a.v : b.v);
#endif
}

/// Bit i: the mask of lane i.
template <class T>
SPORTCORE_HD unsigned bits(Mask<T> m) {
#if SPORTCORE_PACK_BYTES == 64
  return m.v;
#elif SPORTCORE_PACK_BYTES == 32
  if constexpr (sizeof(T) == 4)
    return static_cast<unsigned>(_mm256_movemask_ps((__m256)m.v));
  else
    return static_cast<unsigned>(_mm256_movemask_pd((__m256d)m.v));
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4)
    return static_cast<unsigned>(_mm_movemask_ps((__m128)m.v));
  else
    return static_cast<unsigned>(_mm_movemask_pd((__m128d)m.v));
#else
  unsigned out = 0;
  for (int i = 0; i < kLanes<T>; ++i) out |= unsigned(m.v[i] & 1) << i;
  return out;
#endif
}

template <class T>
SPORTCORE_HD bool any(Mask<T> m) {
  return bits(m) != 0;
}

template <class T>
SPORTCORE_HD bool mostly(Mask<T> m) {
  return 2 * __builtin_popcount(bits(m)) >= kLanes<T>;
}

SPORTCORE_HD Pack<float> sqrt(Pack<float> x) {
#if SPORTCORE_PACK_BYTES == 64
  return Pack<float>((Pack<float>::Vector)_mm512_sqrt_ps((__m512)x.v));
#elif SPORTCORE_PACK_BYTES == 32
  return Pack<float>((Pack<float>::Vector)_mm256_sqrt_ps((__m256)x.v));
#elif defined(__SSE2__)
  return Pack<float>((Pack<float>::Vector)_mm_sqrt_ps((__m128)x.v));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return Pack<float>((Pack<float>::Vector)vsqrtq_f32((float32x4_t)x.v));
#else
  for (int i = 0; i < kLanes<float>; ++i) x.v[i] = __builtin_sqrtf(x.v[i]);
  return x;
#endif
}

SPORTCORE_HD Pack<double> sqrt(Pack<double> x) {
#if SPORTCORE_PACK_BYTES == 64
  return Pack<double>((Pack<double>::Vector)_mm512_sqrt_pd((__m512d)x.v));
#elif SPORTCORE_PACK_BYTES == 32
  return Pack<double>((Pack<double>::Vector)_mm256_sqrt_pd((__m256d)x.v));
#elif defined(__SSE2__)
  return Pack<double>((Pack<double>::Vector)_mm_sqrt_pd((__m128d)x.v));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return Pack<double>((Pack<double>::Vector)vsqrtq_f64((float64x2_t)x.v));
#else
  for (int i = 0; i < kLanes<double>; ++i) x.v[i] = __builtin_sqrt(x.v[i]);
  return x;
#endif
}

template <class T>
SPORTCORE_HD Pack<T> abs(Pack<T> x) {
  return select(x < Pack<T>(0), -x, x);
}

/// An estimate of 14 bits improved by Newton's method where the machine has one (AVX-512), a division
/// elsewhere.
SPORTCORE_HD Pack<float> reciprocal(Pack<float> x) {
#if SPORTCORE_PACK_BYTES == 64
  const Pack<float> r((Pack<float>::Vector)_mm512_rcp14_ps((__m512)x.v));
  return r + r * (Pack<float>(1) - x * r);
#else
  return Pack<float>(1) / x;
#endif
}

SPORTCORE_HD Pack<double> reciprocal(Pack<double> x) {
#if SPORTCORE_PACK_BYTES == 64
  const Pack<double> r((Pack<double>::Vector)_mm512_rcp14_pd((__m512d)x.v));
  const Pack<double> e = Pack<double>(1) - x * r;
  return r + r * (e * (Pack<double>(1) + e * (Pack<double>(1) + e)));  // relative error e^4 < 2^-56
#else
  return Pack<double>(1) / x;
#endif
}

/// N numbers at p, which need not be aligned.
template <class T>
SPORTCORE_HD Pack<T> load(const T* p) {
  typename Pack<T>::Vector v;
  __builtin_memcpy(&v, p, sizeof(v));
  return Pack<T>(v);
}

template <class T>
SPORTCORE_HD void store(Pack<T> x, T* p) {
  __builtin_memcpy(p, &x.v, sizeof(x.v));
}

// ---- reordering
// ----------------------------------------------------------------------------------------------

#if defined(__clang__)
template <class Index, class T, int... kI>
SPORTCORE_HD Pack<T> shuffle_list(Pack<T> a, Pack<T> b, std::integer_sequence<int, kI...>) {
  return Pack<T>(__builtin_shufflevector(a.v, b.v, Index::of(kI)...));
}
#endif

/// Lane i of the result is lane Index::of(i) of the 2 N lanes of a and b.
template <class Index, class T>
SPORTCORE_HD Pack<T> shuffle(Pack<T> a, Pack<T> b) {
#if defined(__clang__)
  return shuffle_list<Index>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
#else
  typedef typename LaneInt<T>::type I;
  typedef I IndexVector __attribute__((vector_size(SPORTCORE_PACK_BYTES)));
  IndexVector index = {};
  for (int i = 0; i < kLanes<T>; ++i) index[i] = Index::of(i);
  return Pack<T>(__builtin_shuffle(a.v, b.v, index));
#endif
}

/// Which of 2 N lanes: every second from kFirst on.
template <int kFirst>
struct EverySecond {
  static constexpr int of(int i) { return 2 * i + kFirst; }
};
/// Alternating lanes of a and b, the half of the result that starts at output kStart.
template <int kN, int kStart>
struct Zip {
  static constexpr int of(int i) { return (kStart + i) / 2 + ((kStart + i) % 2 ? kN : 0); }
};
/// Splitting triples: coordinate kR out of registers 0 and 1 of three, then out of that and register 2.
template <int kN, int kR, bool kLast>
struct Split3 {
  static constexpr int of(int i) {
    const int flat = 3 * i + kR;
    return kLast ? (flat < 2 * kN ? i : flat - kN) : (flat < 2 * kN ? flat : 0);
  }
};
/// Joining triples: register kR out of coordinates 0 and 1, then out of that and coordinate 2.
template <int kN, int kR, bool kLast>
struct Join3 {
  static constexpr int of(int i) {
    const int flat = kN * kR + i, lane = flat / 3, part = flat % 3;
    return kLast ? (part == 2 ? kN + lane : i) : (part == 1 ? kN + lane : lane);
  }
};

/// Pairs (a, b) in memory -> lanes.
template <class T>
SPORTCORE_HD void load_interleaved(const T* p, Pack<T>* a, Pack<T>* b) {
  const Pack<T> x = load(p), y = load(p + kLanes<T>);
  *a = shuffle<EverySecond<0>>(x, y);
  *b = shuffle<EverySecond<1>>(x, y);
}

template <class T>
SPORTCORE_HD void store_interleaved(Pack<T> a, Pack<T> b, T* p) {
  store(shuffle<Zip<kLanes<T>, 0>>(a, b), p);
  store(shuffle<Zip<kLanes<T>, kLanes<T>>>(a, b), p + kLanes<T>);
}

/// Triples in memory -> lanes of three packs.
template <class T>
SPORTCORE_HD void load_interleaved3(const T* p, Pack<T>* x) {
  constexpr int kN = kLanes<T>;
  const Pack<T> a = load(p), b = load(p + kN), c = load(p + 2 * kN);
  x[0] = shuffle<Split3<kN, 0, true>>(shuffle<Split3<kN, 0, false>>(a, b), c);
  x[1] = shuffle<Split3<kN, 1, true>>(shuffle<Split3<kN, 1, false>>(a, b), c);
  x[2] = shuffle<Split3<kN, 2, true>>(shuffle<Split3<kN, 2, false>>(a, b), c);
}

template <class T>
SPORTCORE_HD void store_interleaved3(const Pack<T>* x, T* p) {
  constexpr int kN = kLanes<T>;
  store(shuffle<Join3<kN, 0, true>>(shuffle<Join3<kN, 0, false>>(x[0], x[1]), x[2]), p);
  store(shuffle<Join3<kN, 1, true>>(shuffle<Join3<kN, 1, false>>(x[0], x[1]), x[2]), p + kN);
  store(shuffle<Join3<kN, 2, true>>(shuffle<Join3<kN, 2, false>>(x[0], x[1]), x[2]), p + 2 * kN);
}

/// Small non-negative whole numbers, or masks (as 0 and 1), to bytes.
template <class T>
SPORTCORE_HD void store_bytes(Pack<T> x, std::uint8_t* p) {
  typedef std::uint8_t Bytes __attribute__((vector_size(kLanes<T>)));
  typedef typename LaneInt<T>::type I;
  typedef I Whole __attribute__((vector_size(SPORTCORE_PACK_BYTES)));
  const Whole whole = __builtin_convertvector(x.v, Whole);
  const Bytes b = __builtin_convertvector(whole, Bytes);
  __builtin_memcpy(p, &b, sizeof(b));
}

template <class T>
SPORTCORE_HD void store_bytes(Mask<T> m, std::uint8_t* p) {
#if SPORTCORE_PACK_BYTES == 64
  const __m128i b = _mm_maskz_set1_epi8(__mmask16(m.v), 1);
  __builtin_memcpy(p, &b, kLanes<T>);
#else
  typedef std::uint8_t Bytes __attribute__((vector_size(kLanes<T>)));
  const Bytes b = __builtin_convertvector(m.v, Bytes) & 1;
  __builtin_memcpy(p, &b, sizeof(b));
#endif
}

}  // namespace SPORTCORE_ISA

template <class T>
struct LaneTraits<SPORTCORE_ISA::Pack<T>> {
  using mask = SPORTCORE_ISA::Mask<T>;
  using scalar = T;
};

}  // namespace sportcore

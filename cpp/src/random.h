// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Small deterministic generator (splitmix64): the same stream on every platform and standard library.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace sportcore::detail {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ull;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }

  // uniform in [0, n)
  std::size_t below(std::size_t n) { return static_cast<std::size_t>((next() >> 32) * n >> 32); }

  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // standard normal, after Box & Muller (1958)
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

  // k different indices below n
  void sample(std::size_t n, int k, std::size_t* out) {
    for (int i = 0; i < k; ++i) {
      bool again = true;
      while (again) {
        out[i] = below(n);
        again = false;
        for (int j = 0; j < i; ++j) again = again || out[j] == out[i];
      }
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace sportcore::detail

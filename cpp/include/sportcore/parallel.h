// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Splits a range over threads. No pool outlives a call, so forks and interpreter shutdown are safe.
#pragma once

#include <cstddef>
#include <functional>

#include "sportcore/hd.h"

namespace sportcore {

/// Threads to use for a request: 0 means one per available core (as the process affinity has it). Negative
/// throws.
SPORTCORE_API int resolve_threads(int num_threads);

/// Calls body(begin, end) over [0, n) in pieces of at most `grain`, on up to num_threads threads (0: all
/// cores). Pieces are the same whatever the number of threads. The first exception thrown in a body is
/// rethrown here.
SPORTCORE_API void parallel_for(std::size_t n, std::size_t grain, int num_threads,
                                const std::function<void(std::size_t, std::size_t)>& body);

}  // namespace sportcore

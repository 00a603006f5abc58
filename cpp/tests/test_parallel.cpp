// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <stdexcept>

#include "check.h"
#include "sportcore/device.h"
#include "sportcore/parallel.h"
#include "sportcore/version.h"

using namespace sportcore;
using namespace sportcore::test;

int main() {
  for (int threads : {0, 1, 2, 7}) {
    std::vector<int> hits(10001, 0);
    parallel_for(hits.size(), 100, threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) ++hits[i];
    });
    bool once = true;
    for (int h : hits) once = once && h == 1;
    expect(once, "every index once");
  }
  int calls = 0;
  parallel_for(0, 10, 2, [&](std::size_t, std::size_t) { ++calls; });
  expect(calls == 0, "nothing to do");
  bool thrown = false;
  try {
    parallel_for(100, 1, 2, [](std::size_t begin, std::size_t) {
      if (begin == 50) throw std::runtime_error("from a thread");
    });
  } catch (const std::runtime_error& e) {
    thrown = std::string(e.what()) == "from a thread";
  }
  expect(thrown, "an exception of a thread arrives");
  thrown = false;
  try {
    resolve_threads(-1);
  } catch (const InputError&) {
    thrown = true;
  }
  expect(thrown, "negative threads are refused");
  expect(std::string(version()) == SPORTCORE_VERSION, "version");
  if (cuda_device_count() == 0) {
    thrown = false;
    try {
      require_cuda();
    } catch (const DeviceError& e) {
      thrown = !e.remedy().empty();
    }
    expect(thrown, "no device is an error with a remedy");
  }
  return finish("parallel");
}

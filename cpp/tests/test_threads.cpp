// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Many threads in the library at a time. Made for ThreadSanitizer, true without it as well: the results must
/// be those of one thread alone.
#include <atomic>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "scene.h"
#include "sportcore/calibrate.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"
#include "sportcore/reproject.h"
#include "sportcore/sportcore_c.h"
#include "sportcore/triangulator.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

/// body(k) for k < n, all at once.
void at_once(int n, const std::function<void(int)>& body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < n; ++k)
    threads.emplace_back([&, k] {
      ++ready;
      while (ready < n) std::this_thread::yield();
      body(k);
    });
  for (std::thread& t : threads) t.join();
}

template <class V>
bool same(const V& a, const V& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

/// More threads than cores, all threads of the caller in the same functions with the same cameras.
void kernels() {
  constexpr int kCallers = 6;
  const std::size_t n = 9000;
  const auto cameras = ring_of_cameras(4, kBrown, 5);
  const std::size_t C = cameras.size();
  auto rng = random_for("kernels");
  std::uniform_real_distribution<double> u(-1, 1);
  std::vector<double> X(3 * n), uv(2 * n * C), xyz(3 * n);
  std::vector<std::uint8_t> status(n);
  for (double& v : X) v = u(rng);
  reproject(cameras.data(), C, X.data(), n, uv.data());
  const std::vector<double> clean = uv;
  for (std::size_t i = 0; i < n; i += 3) uv[2 * (i % C * n + i)] += 150;
  TriangulateOutput<double> wanted;
  wanted.xyz = xyz.data(), wanted.status = status.data();
  TriangulateOptions options;
  options.num_threads = 1;
  triangulate(cameras.data(), C, uv.data(), static_cast<double*>(nullptr), static_cast<double*>(nullptr), n,
              wanted, options);
  const Triangulator<double> shared(cameras.data(), C, [] {
    TriangulateOptions o;
    o.num_threads = 5;
    return o;
  }());
  std::vector<int> good(kCallers, 0);
  at_once(kCallers, [&](int k) {
    std::vector<double> uv2(uv.size()), xyz2(3 * n);
    std::vector<std::uint8_t> status2(n);
    ReprojectOptions r;
    r.num_threads = 1 + 3 * k;  // up to 16: more than cores
    reproject(cameras.data(), C, X.data(), n, uv2.data(), r);
    TriangulateOutput<double> out;
    out.xyz = xyz2.data(), out.status = status2.data();
    if (k % 2) {
      shared(uv.data(), nullptr, nullptr, n, out);
    } else {
      TriangulateOptions o;
      o.num_threads = 1 + 3 * k;
      triangulate(cameras.data(), C, uv.data(), static_cast<double*>(nullptr), static_cast<double*>(nullptr),
                  n, out, o);
    }
    good[k] = same(uv2, clean) && same(xyz2, xyz) && same(status2, status);
  });
  for (int g : good) expect(g == 1, "several callers get what one gets");
}

void calibrations() {
  Scene s;
  make_scene(s, 3, 24, 0.5, "calibrations");
  CalibrateOptions one;
  one.num_threads = 1;
  const CalibrateResult alone = calibrate_bodies(s.observations, one);
  expect(alone.start_first >= 0, "there is something to compare");
  std::vector<int> good(3, 0);
  at_once(3, [&](int k) {
    CalibrateOptions o;
    o.num_threads = k + 2;
    const CalibrateResult r = calibrate_bodies(s.observations, o);
    good[k] = same(r.points, alone.points) && same(r.connected, alone.connected);
    for (std::size_t c = 0; c < r.cameras.size(); ++c)
      good[k] = good[k] && std::memcmp(r.cameras[c].R, alone.cameras[c].R, sizeof(r.cameras[c].R)) == 0;
  });
  for (int g : good) expect(g == 1, "several calibrations at a time");
}

void exceptions() {
  std::vector<std::string> words(4);
  at_once(4, [&](int k) {
    for (int round = 0; round < 5; ++round) {
      try {
        parallel_for(200, 1, 3 + k, [&](std::size_t begin, std::size_t) {
          if (begin % 40 == 7)
            throw InputError("piece " + std::to_string(begin), "remedy " + std::to_string(k));
        });
      } catch (const InputError& e) {
        words[k] = e.remedy();
      }
    }
  });
  for (int k = 0; k < 4; ++k)
    expect(words[k] == "remedy " + std::to_string(k), "each caller gets the exception of its own call");
  int after = 0;
  try {
    parallel_for(100, 1, 4, [](std::size_t, std::size_t) { throw std::runtime_error("all of them"); });
  } catch (const std::runtime_error&) {
    std::atomic<int> sum{0};
    parallel_for(100, 1, 4,
                 [&](std::size_t begin, std::size_t end) { sum += static_cast<int>(end - begin); });
    after = sum;
  }
  expect(after == 100, "the next call works");
}

void nested() {
  std::vector<int> hits(40 * 50, 0);
  parallel_for(40, 1, 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      parallel_for(50, 3, 3, [&](std::size_t first, std::size_t last) {
        for (std::size_t j = first; j < last; ++j) ++hits[50 * i + j];
      });
  });
  bool once = true;
  for (int h : hits) once = once && h == 1;
  expect(once, "a loop in a loop does everything once");
  std::string words;
  try {
    parallel_for(8, 1, 4, [&](std::size_t i, std::size_t) {
      parallel_for(8, 1, 2, [&](std::size_t j, std::size_t) {
        if (i == 3 && j == 5) throw std::runtime_error("from within");
      });
    });
  } catch (const std::runtime_error& e) {
    words = e.what();
  }
  expect(words == "from within", "an exception of the inner loop arrives outside");
  std::atomic<std::size_t> sum{0};
  parallel_for(64, 1, 64, [&](std::size_t begin, std::size_t end) { sum += end - begin; });
  expect(sum == 64, "many more threads than cores");
}

/// The last error of the C interface belongs to a thread; rigs and triangulators are shared.
void c_interface() {
  const double K[18] = {1000, 0, 500, 0, 1000, 500, 0, 0, 1, 1000, 0, 500, 0, 1000, 500, 0, 0, 1};
  const double R[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -1, 0, 1, 0, 1, 0, 0};
  const double t[6] = {0, 0, 4, 0, 0, 4};
  sportcore_rig* rig = nullptr;
  sportcore_triangulator* run = nullptr;
  expect(sportcore_rig_create(2, nullptr, K, nullptr, R, t, &rig) == SPORTCORE_OK, "a rig");
  expect(sportcore_triangulator_create(rig, nullptr, &run) == SPORTCORE_OK, "a triangulator");
  std::vector<int> good(5, 0);
  at_once(5, [&](int k) {
    good[k] = 1;
    for (int round = 0; round < 50; ++round) {
      const float X[3] = {0.1f * static_cast<float>(k), 0.2f, 0.01f * static_cast<float>(round)};
      float uv[4], xyz[3];
      std::uint8_t status = 9;
      sportcore_points_f32 out{};
      out.struct_size = sizeof(out), out.xyz = xyz, out.status = &status;
      bool ok = sportcore_reproject_f32(rig, X, 1, 1, uv) == SPORTCORE_OK;
      ok = ok && sportcore_triangulator_run_f32(run, uv, nullptr, nullptr, 1, &out) == SPORTCORE_OK;
      ok = ok && status == 0 && std::abs(xyz[0] - X[0]) < 1e-4f && std::abs(xyz[2] - X[2]) < 1e-4f;
      double R0[9];
      const std::size_t wrong = static_cast<std::size_t>(100 + k);
      ok = ok &&
           sportcore_rig_camera(rig, wrong, nullptr, nullptr, nullptr, R0, nullptr) == SPORTCORE_ERROR_INPUT;
      ok = ok && std::strstr(sportcore_last_error(), std::to_string(wrong).c_str()) != nullptr;
      if (!ok) good[k] = 0;
    }
  });
  for (int g : good) expect(g == 1, "several threads share a rig, each with its own errors");
  sportcore_triangulator_destroy(run);
  sportcore_rig_destroy(rig);
}

}  // namespace

int main() {
  kernels();
  calibrations();
  exceptions();
  nested();
  c_interface();
  return finish("threads");
}

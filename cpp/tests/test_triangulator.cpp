// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The prepared triangulation: equal to triangulate(), and without a single allocation per frame.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "check.h"
#include "scene.h"
#include "sportcore/error.h"
#include "sportcore/reproject.h"
#include "sportcore/sportcore_c.h"
#include "sportcore/triangulator.h"

// Every allocation of the program and of its libraries is counted, at malloc itself. Not where a sanitizer
// has its own malloc, and not without glibc: there the frames run all the same.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNT_MALLOC 0
#else
#define COUNT_MALLOC 1
#endif

static std::atomic<long> allocations{0};

#if COUNT_MALLOC
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t n) {
  ++allocations;
  return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  ++allocations;
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  ++allocations;
  return __libc_realloc(p, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  ++allocations;
  return __libc_memalign(alignment, n);
}
}
#endif

using namespace sportcore;
using namespace sportcore::test;

namespace {

template <class T>
struct Points {
  std::vector<T> xyz, covariance, residual;
  std::vector<std::uint8_t> status, views;
  std::vector<char> inlier;
  TriangulateOutput<T> out;
  Points(std::size_t C, std::size_t n)
      : xyz(3 * n), covariance(9 * n), residual(C * n), status(n, 99), views(n), inlier(C * n) {
    out.xyz = xyz.data(), out.covariance = covariance.data(), out.residual_px = residual.data();
    out.status = status.data(), out.n_views = views.data(),
    out.inlier = reinterpret_cast<bool*>(inlier.data());
  }
  bool operator==(const Points& o) const {
    const auto same = [](const auto& a, const auto& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(xyz, o.xyz) && same(covariance, o.covariance) && same(residual, o.residual) &&
           status == o.status && views == o.views && inlier == o.inlier;
  }
};

template <class T>
struct Frames {
  std::vector<Camera<double>> cameras;
  std::vector<T> uv, score, sigma;
  std::size_t n;
};

/// n points; outliers, missing views and low scores among them.
template <class T>
Frames<T> frames(int n_cameras, std::size_t n, const std::string& name) {
  Frames<T> f{ring_of_cameras(n_cameras, kBrown, 5), {}, {}, {}, n};
  auto rng = random_for(name);
  std::uniform_real_distribution<double> u(-1, 1);
  std::normal_distribution<double> noise(0, 2);
  std::vector<T> X(3 * n);
  for (T& v : X) v = T(u(rng));
  f.uv.resize(2 * n * n_cameras), f.score.resize(n * n_cameras), f.sigma.resize(n * n_cameras);
  reproject(f.cameras.data(), f.cameras.size(), X.data(), n, f.uv.data());
  for (std::size_t k = 0; k < n * n_cameras; ++k) {
    for (int i = 0; i < 2; ++i) f.uv[2 * k + i] += T(noise(rng));
    const double kind = u(rng);
    if (kind > 0.8) f.uv[2 * k] += T(200);
    if (kind < -0.9) f.uv[2 * k + 1] = nan_value<T>();
    f.score[k] = T(0.5 + 0.5 * u(rng));
    f.sigma[k] = T(2 + u(rng));
  }
  return f;
}

template <class T>
void equals_triangulate(const char* name) {
  for (int n_cameras : {2, 4, 8})
    for (std::size_t n : {std::size_t(1), std::size_t(17), Triangulator<T>::kInlinePoints, std::size_t(5000)})
      for (int threads : {1, 3}) {
        const Frames<T> f = frames<T>(n_cameras, n, std::string(name) + std::to_string(n_cameras));
        TriangulateOptions options;
        options.num_threads = threads;
        Points<T> one(f.cameras.size(), n), two(f.cameras.size(), n);
        triangulate(f.cameras.data(), f.cameras.size(), f.uv.data(), f.score.data(), f.sigma.data(), n,
                    one.out, options);
        const Triangulator<T> run(f.cameras.data(), f.cameras.size(), options);
        run(f.uv.data(), f.score.data(), f.sigma.data(), n, two.out);
        expect(one == two, std::string(name) + ": the points of triangulate(), " + std::to_string(n));
        std::size_t good = 0;
        for (std::uint8_t s : two.status) good += s == 0;
        expect(n_cameras < 8 || good > n / 2, "and there are such");
      }
}

template <class T>
void allocates_nothing(const char* name) {
  const Frames<T> f = frames<T>(8, 17, name);
  const TriangulateOptions options;  // num_threads = 0: a small call starts no thread all the same
  const Triangulator<T> run(f.cameras.data(), f.cameras.size(), options);
  Points<T> p(f.cameras.size(), f.n);
  const long before = allocations;
  for (int frame = 0; frame < 200; ++frame) run(f.uv.data(), f.score.data(), f.sigma.data(), f.n, p.out);
  const long after = allocations;
  expect(after == before, std::string(name) + ": " + std::to_string(after - before) + " allocations");
  expect(p.status[0] != 99, "something was computed");
}

void c_interface_allocates_nothing() {
  const Frames<float> f = frames<float>(8, 17, "C stream");
  std::vector<double> K, k, R, t;
  for (const Camera<double>& c : f.cameras) {
    for (double v : {c.lens.fx, 0.0, c.lens.cx, 0.0, c.lens.fy, c.lens.cy, 0.0, 0.0, 1.0}) K.push_back(v);
    k.insert(k.end(), c.lens.k, c.lens.k + 8);
    R.insert(R.end(), c.R, c.R + 9);
    t.insert(t.end(), c.t, c.t + 3);
  }
  sportcore_rig* rig = nullptr;
  sportcore_triangulator* run = nullptr;
  expect(sportcore_rig_create(f.cameras.size(), nullptr, K.data(), k.data(), R.data(), t.data(), &rig) == 0,
         "rig");
  expect(sportcore_triangulator_create(rig, nullptr, &run) == 0, "triangulator");
  Points<float> one(f.cameras.size(), f.n), two(f.cameras.size(), f.n);
  sportcore_points_f32 out{};
  out.struct_size = sizeof(out);
  out.xyz = one.xyz.data(), out.status = one.status.data(), out.covariance = one.covariance.data();
  out.residual_px = one.residual.data(), out.n_views = one.views.data();
  out.inlier = reinterpret_cast<std::uint8_t*>(one.inlier.data());
  const long before = allocations;
  sportcore_result result = 0;
  for (int frame = 0; frame < 200; ++frame)
    result |= sportcore_triangulator_run_f32(run, f.uv.data(), f.score.data(), f.sigma.data(), f.n, &out);
  const long after = allocations;
  expect(result == SPORTCORE_OK && after == before, "the C interface allocates nothing either");
  triangulate(f.cameras.data(), f.cameras.size(), f.uv.data(), f.score.data(), f.sigma.data(), f.n, two.out);
  expect(one == two, "and gives the same");
  sportcore_triangulator_destroy(run);
  sportcore_rig_destroy(rig);
}

template <class Body>
void refused(Body body, const char* what) {
  bool thrown = false;
  try {
    body();
  } catch (const InputError&) {
    thrown = true;
  }
  expect(thrown, what);
}

void refusals() {
  const Frames<double> f = frames<double>(3, 5, "refusals");
  TriangulateOptions options;
  const auto make = [&](std::size_t n) { Triangulator<double>(f.cameras.data(), n, options); };
  refused([&] { make(0); }, "no cameras");
  refused([&] { make(65); }, "too many cameras");
  refused([&] { Triangulator<double>(nullptr, 3); }, "no cameras at all");
  options.num_threads = -1;
  refused([&] { make(3); }, "negative threads");
  options = {};
  options.cuda = true;
  refused([&] { make(3); }, "a device");
  options = {};
  options.estimate_sigma = true;
  refused([&] { make(3); }, "too few to estimate from");
  options = {};
  options.min_views = 1;
  refused([&] { make(3); }, "an option");
  Triangulator<double> a(f.cameras.data(), 3);
  Points<double> p(3, 5), q(3, 5);
  refused([&] { a(nullptr, nullptr, nullptr, 5, p.out); }, "no keypoints");
  refused([&] { a(f.uv.data(), nullptr, nullptr, 5, TriangulateOutput<double>()); }, "no output");
  a(nullptr, nullptr, nullptr, 0, p.out);
  a(f.uv.data(), nullptr, nullptr, 5, p.out);
  Triangulator<double> b(std::move(a));
  b(f.uv.data(), nullptr, nullptr, 5, q.out);
  expect(p == q && b.num_cameras() == 3 && b.options().min_views == 2, "a moved one goes on");
}

}  // namespace

int main() {
  equals_triangulate<float>("float");
  equals_triangulate<double>("double");
  const long before = allocations;
  int* volatile counted = new int(3);
  const long after = allocations;
  delete counted;
  expect(after == before + COUNT_MALLOC, "allocations are counted");
  allocates_nothing<float>("float");
  allocates_nothing<double>("double");
  c_interface_allocates_nothing();
  refusals();
  return finish("triangulator");
}

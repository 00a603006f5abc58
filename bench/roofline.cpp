// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What this machine can do and what the kernels ask of it; prints JSON. bench/roofline.py builds and runs
/// it.
///
/// Ceilings: fused multiply-adds on registers, and the triad a = b + s c on arrays far larger than the
/// caches. Operations: the kernels' own templates run on a number that counts what is done to it, so that the
/// counts are those of the code and not of a table that ages. Additions, multiplications, divisions and roots
/// count one each, comparisons and selections nothing.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "sportcore/triangulate.h"
#include "sportcore/triangulate_point.h"
#include "triangulate_setup.h"

namespace sportcore {

/// A float that counts.
struct Counted {
  float v;
  static long long operations;
  Counted() = default;
  Counted(float x) : v(x) {}
  Counted(double x) : v(float(x)) {}
  Counted(int x) : v(float(x)) {}
  friend Counted operator+(Counted a, Counted b) { return ++operations, Counted(a.v + b.v); }
  friend Counted operator-(Counted a, Counted b) { return ++operations, Counted(a.v - b.v); }
  friend Counted operator*(Counted a, Counted b) { return ++operations, Counted(a.v * b.v); }
  friend Counted operator/(Counted a, Counted b) { return ++operations, Counted(a.v / b.v); }
  friend Counted operator-(Counted a) { return Counted(-a.v); }
  Counted& operator+=(Counted b) { return *this = *this + b; }
  Counted& operator-=(Counted b) { return *this = *this - b; }
  Counted& operator*=(Counted b) { return *this = *this * b; }
  friend bool operator<(Counted a, Counted b) { return a.v < b.v; }
  friend bool operator>(Counted a, Counted b) { return a.v > b.v; }
  friend bool operator<=(Counted a, Counted b) { return a.v <= b.v; }
  friend bool operator>=(Counted a, Counted b) { return a.v >= b.v; }
  friend bool operator==(Counted a, Counted b) { return a.v == b.v; }
};
long long Counted::operations = 0;
inline Counted sqrt(Counted x) { return ++Counted::operations, Counted(std::sqrt(x.v)); }
inline Counted abs(Counted x) { return Counted(std::abs(x.v)); }
inline Counted reciprocal(Counted x) { return ++Counted::operations, Counted(1.0f / x.v); }

template <>
struct LaneTraits<Counted> {
  using mask = bool;
  using scalar = float;
};

}  // namespace sportcore

using namespace sportcore;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Work>
double best_of(int rounds, int threads, Work work) {
  double best = 1e9;
  for (int r = 0; r < rounds; ++r) {
    const double begin = seconds();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& t : others) t.join();
    best = std::min(best, seconds() - begin);
  }
  return best;
}

/// Giga-operations per second of fused multiply-adds (two each) in independent chains.
template <class T>
double peak_gflops(int threads) {
  typedef T Vector __attribute__((vector_size(64)));
  constexpr int kChains = 12, kSteps = 2000000;
  static volatile T sink;
  const double s = best_of(5, threads, [](int) {
    Vector x[kChains];
    for (int i = 0; i < kChains; ++i) x[i] = Vector{} + T(1e-3 * i);
    const Vector a = Vector{} + T(0.999), b = Vector{} + T(1e-3);
    for (int k = 0; k < kSteps; ++k)
      for (int i = 0; i < kChains; ++i) x[i] = x[i] * a + b;
    T total = 0;
    for (int i = 0; i < kChains; ++i) total += x[i][0];
    sink = total;
  });
  return 2.0 * kChains * kSteps * (64 / sizeof(T)) * threads / s / 1e9;
}

/// GB/s of a = b + s c, 24 bytes per element as the program sees them.
double triad_gb_per_s(int threads) {
  constexpr std::size_t kN = std::size_t(1) << 24;
  std::vector<double> a(kN * threads), b(kN * threads, 1.0), c(kN * threads, 2.0);
  const double s = best_of(5, threads, [&](int t) {
    double* to = a.data() + kN * t;
    const double *x = b.data() + kN * t, *y = c.data() + kN * t;
    for (std::size_t i = 0; i < kN; ++i) to[i] = x[i] + 0.5 * y[i];
  });
  return 24.0 * kN * threads / s / 1e9;
}

struct Scene {
  std::vector<Camera<double>> cameras;
  std::vector<float> xy;  // (C, N, 2)
  int n;
};

/// Cameras on a ring of 6.5 m, points in a room of 2.6 x 2.6 x 1.8 m, 2 px noise.
Scene make_scene(int n_cameras, int n, double outliers, double missing) {
  std::mt19937_64 rng(7);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> unit;
  Scene s{{}, std::vector<float>(std::size_t(2) * n_cameras * n), n};
  for (int c = 0; c < n_cameras; ++c) {
    Camera<double> camera;
    std::memset(&camera, 0, sizeof(camera));
    const double angle = 6.283185307179586 * c / n_cameras, x = std::cos(angle), y = std::sin(angle);
    const double R[9] = {-y, x, 0, 0, 0, -1, -x, -y, 0}, at[3] = {6.5 * x, 6.5 * y, 1.2};
    std::memcpy(camera.R, R, sizeof(R));
    double t[3];
    mat3_vec(R, at, t);
    for (int k = 0; k < 3; ++k) camera.t[k] = -t[k];
    camera.lens.fx = camera.lens.fy = 1500;
    camera.lens.cx = 960;
    camera.lens.cy = 540;
    s.cameras.push_back(camera);
  }
  for (int i = 0; i < n; ++i) {
    const double X[3] = {2.6 * (unit(rng) - 0.5), 2.6 * (unit(rng) - 0.5), 0.2 + 1.6 * unit(rng)};
    for (int c = 0; c < n_cameras; ++c) {
      double uv[2];
      project_world(s.cameras[c], X, uv);
      const double far = unit(rng) < outliers ? 30 + 270 * unit(rng) : 0, turn = 6.283 * unit(rng);
      const bool lost = unit(rng) < missing;
      float* to = &s.xy[2 * (std::size_t(c) * n + i)];
      to[0] = lost ? nan_value<float>() : float(uv[0] + 2 * normal(rng) + far * std::cos(turn));
      to[1] = lost ? nan_value<float>() : float(uv[1] + 2 * normal(rng) + far * std::sin(turn));
    }
  }
  return s;
}

/// Operations per point, over all points.
double triangulate_operations(int n_cameras, bool robust) {
  const Scene scene = make_scene(n_cameras, 2000, robust ? 0.05 : 0.0, 0.1);
  TriangulateOptions options;
  options.robust = robust;
  if (!robust) options.loss = Loss::kTrivial;
  const TriangulateSetup<float> setup =
      make_setup<float>(scene.cameras.data(), scene.cameras.size(), options);
  std::vector<Counted> fields(std::size_t(n_cameras) * kObservationFields);
  const Observations<Counted> o{fields.data(), 1, n_cameras};
  Counted::operations = 0;
  for (int i = 0; i < scene.n; ++i) {
    TriangulatedPoint<Counted> point;
    point.n_used = 0;
    for (int c = 0; c < n_cameras; ++c) {
      const float* uv = &scene.xy[2 * (std::size_t(c) * scene.n + i)];
      const bool used = prepare_view<float, Counted>(setup.cameras[c], setup.params, uv[0], uv[1], Counted(1),
                                                     nullptr, o, c);
      point.n_used += Counted(used ? 1 : 0);
    }
    if (triangulate_direct(setup.cameras.data(), o, setup.params, point))
      triangulate_search(setup.cameras.data(), setup.pairs.data(), o, setup.params, true, point);
    triangulate_finish(setup.cameras.data(), o, setup.params, point);
    for (int c = 0; c < n_cameras; ++c) residual_px(o, point, c);
  }
  return double(Counted::operations) / scene.n;
}

/// Operations of one projection, and with both Jacobians.
double project_operations(int model, bool jacobians) {
  Camera<float> camera;
  std::memset(&camera, 0, sizeof(camera));
  camera.lens.model = model;
  camera.lens.fx = camera.lens.fy = 1500;
  for (int i = 0; i < 9; i += 4) camera.R[i] = 1;
  camera.t[2] = 5;
  camera.lens.k[0] = 0.1f;
  const Counted X[3] = {0.1, 0.2, 0.3};
  Counted uv[2], J[6], Jp[12];
  Counted* none = nullptr;
  Counted::operations = 0;
  project_world(camera, X, uv, jacobians ? J : none, jacobians ? Jp : none);
  return double(Counted::operations);
}

}  // namespace

int main() {
  const int cores = int(std::thread::hardware_concurrency());
  std::printf("{\"cores\": %d,\n \"gflops_f32\": {\"1\": %.1f, \"%d\": %.1f},\n", cores,
              peak_gflops<float>(1), cores, peak_gflops<float>(cores));
  std::printf(" \"gflops_f64\": {\"1\": %.1f, \"%d\": %.1f},\n", peak_gflops<double>(1), cores,
              peak_gflops<double>(cores));
  std::printf(" \"triad_gb_per_s\": {\"1\": %.1f, \"%d\": %.1f},\n", triad_gb_per_s(1), cores,
              triad_gb_per_s(cores));
  std::printf(" \"triangulate_operations\": {");
  for (int c : {4, 8, 16, 32})
    std::printf("%s\"%d\": %.0f", c == 4 ? "" : ", ", c, triangulate_operations(c, true));
  std::printf("},\n \"plain_triangulate_operations\": {\"4\": %.0f, \"8\": %.0f},\n",
              triangulate_operations(4, false), triangulate_operations(8, false));
  const char* names[] = {"pinhole", "brown", "fisheye"};
  std::printf(" \"project_operations\": {");
  for (int m = 0; m < 3; ++m)
    std::printf("%s\"%s\": %.0f", m ? ", " : "", names[m], project_operations(m, false));
  std::printf("},\n \"jacobian_operations\": {");
  for (int m = 0; m < 3; ++m)
    std::printf("%s\"%s\": %.0f", m ? ", " : "", names[m], project_operations(m, true));
  std::printf("}}\n");
}

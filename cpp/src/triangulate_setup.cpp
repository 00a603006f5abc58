// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "triangulate_setup.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace sportcore {
namespace {

using Vec3 = std::array<double, 3>;

/// The point nearest to all optical axes (least squares), on which the cameras look; `center` where the axes
/// are parallel.
Vec3 looked_at(const Camera<double>* cameras, const std::vector<Vec3>& positions, const Vec3& center) {
  double A[6] = {0, 0, 0, 0, 0, 0}, b[3] = {0, 0, 0}, inverse[6];
  for (std::size_t c = 0; c < positions.size(); ++c) {
    const double* z = cameras[c].R + 6;
    const double P[6] = {1 - z[0] * z[0], -z[0] * z[1], -z[0] * z[2],
                         1 - z[1] * z[1], -z[1] * z[2], 1 - z[2] * z[2]};
    double at[3];
    sym3_vec(P, positions[c].data(), at);
    for (int k = 0; k < 6; ++k) A[k] += P[k];
    for (int k = 0; k < 3; ++k) b[k] += at[k];
  }
  Vec3 x = center;
  if (sym3_inverse(A, inverse) > 1e-6) sym3_vec(inverse, b, x.data());
  return x;
}

/// All pairs of cameras, ordered so that pairs at a wide angle come first and every camera occurs early: a
/// pair ranks by the worse of its places in the lists of its two cameras.
std::vector<CameraPair> ordered_pairs(const std::vector<Vec3>& positions, const Vec3& target) {
  struct Ranked {
    CameraPair pair;
    int rank;
    double sine2;
  };
  const int n = static_cast<int>(positions.size());
  std::vector<double> sine2(positions.size() * positions.size(), 0.0);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      Vec3 a, b;
      for (int k = 0; k < 3; ++k) {
        a[k] = positions[i][k] - target[k];
        b[k] = positions[j][k] - target[k];
      }
      const double aa = dot3(a.data(), a.data()), bb = dot3(b.data(), b.data()),
                   ab = dot3(a.data(), b.data());
      const double s = aa * bb > 0 ? 1 - ab * ab / (aa * bb) : 0;
      sine2[i * n + j] = std::isfinite(s) ? s : 0;
    }
  const auto place = [&](int i, int j) {
    int better = 0;
    for (int k = 0; k < n; ++k) better += k != i && sine2[i * n + k] > sine2[i * n + j];
    return better;
  };
  std::vector<Ranked> all;
  all.reserve(static_cast<std::size_t>(n) * (n - 1) / 2);
  for (int i = 0; i < n; ++i)
    for (int j = i + 1; j < n; ++j)
      all.push_back({{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(j)},
                     std::max(place(i, j), place(j, i)),
                     sine2[i * n + j]});
  std::stable_sort(all.begin(), all.end(), [](const Ranked& a, const Ranked& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.sine2 > b.sine2;
  });
  if (all.size() > kMaxPairs) all.resize(kMaxPairs);
  std::vector<CameraPair> pairs;
  pairs.reserve(all.size());
  for (const Ranked& r : all) pairs.push_back(r.pair);
  return pairs;
}

}  // namespace

template <class S>
TriangulateSetup<S> make_setup(const Camera<double>* cameras, std::size_t n_cameras,
                               const TriangulateOptions& options) {
  TriangulateSetup<S> s;
  std::vector<Vec3> positions(n_cameras);
  Vec3 center = {0, 0, 0};
  for (std::size_t c = 0; c < n_cameras; ++c) {
    mat3_tvec(cameras[c].R, cameras[c].t, positions[c].data());
    for (int k = 0; k < 3; ++k) {
      positions[c][k] = -positions[c][k];
      center[k] += positions[c][k] / static_cast<double>(n_cameras);
    }
  }
  s.cameras.resize(n_cameras);
  for (std::size_t c = 0; c < n_cameras; ++c) {
    Camera<double> moved = cameras[c];
    double shift[3];
    mat3_vec(moved.R, center.data(), shift);
    for (int k = 0; k < 3; ++k) moved.t[k] += shift[k];
    s.cameras[c].camera = camera_cast<S>(moved);
    s.cameras[c].focal = S(std::sqrt(moved.lens.fx * moved.lens.fy));
    for (int k = 0; k < 3; ++k) s.cameras[c].position[k] = S(positions[c][k] - center[k]);
  }
  if (options.robust) s.pairs = ordered_pairs(positions, looked_at(cameras, positions, center));
  TriangulateParams<S>& p = s.params;
  p.max_error_px = S(options.max_reprojection_error_px);
  p.sigma_px = S(options.sigma_px);
  p.inlier_sigmas = S(options.inlier_sigmas);
  p.min_score = S(options.min_score);
  const double sine = std::sin(options.min_angle_deg * 3.14159265358979323846 / 180.0);
  p.min_sine2 = S(sine * sine);
  p.loss_scale = S(options.loss_scale_sigmas);
  for (int k = 0; k < 3; ++k) p.center[k] = S(center[k]);
  p.min_views = options.min_views;
  p.max_iterations = options.max_iterations;
  p.n_pairs = static_cast<int>(s.pairs.size());
  p.loss = options.loss;
  p.robust = options.robust;
  return s;
}

template TriangulateSetup<float> make_setup<float>(const Camera<double>*, std::size_t,
                                                   const TriangulateOptions&);
template TriangulateSetup<double> make_setup<double>(const Camera<double>*, std::size_t,
                                                     const TriangulateOptions&);

}  // namespace sportcore

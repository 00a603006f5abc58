// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "body_views.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "sportcore/error.h"
#include "sportcore/parallel.h"

namespace sportcore::detail {
namespace {

// Up to here all pairs of views propose a point; of more views a bounded number, fewer where most agree.
constexpr int kFewViews = 8, kFewPairs = 16, kMostPairs = 60;

void world_ray(const View& v, double d[3]) {
  const double x[3] = {v.x, v.y, 1.0};
  mat3_tvec(v.R, x, d);
  const double s = 1 / std::sqrt(dot3(d, d));
  for (int i = 0; i < 3; ++i) d[i] *= s;
}

double angle_between(const double* a, const double* b) {
  double c[3];
  cross3(a, b, c);
  return std::atan2(std::sqrt(dot3(c, c)), dot3(a, b));
}

// Nearest point to the rays of the views in `use`; false when they are parallel.
bool nearest_to_rays(const View* views, const double (*rays)[3], int n, std::uint64_t use, double X[3]) {
  double A[6] = {0, 0, 0, 0, 0, 0}, b[3] = {0, 0, 0};
  for (int i = 0; i < n; ++i) {
    if (!(use >> i & 1)) continue;
    const double *d = rays[i], *c = views[i].center;
    const double dc = dot3(d, c);
    A[0] += 1 - d[0] * d[0], A[3] += 1 - d[1] * d[1], A[5] += 1 - d[2] * d[2];
    A[1] -= d[0] * d[1], A[2] -= d[0] * d[2], A[4] -= d[1] * d[2];
    for (int k = 0; k < 3; ++k) b[k] += c[k] - dc * d[k];
  }
  double inverse[6];
  if (!(sym3_inverse(A, inverse) > 1e-9)) return false;
  sym3_vec(inverse, b, X);
  return true;
}

// Gauss-Newton on the views in `use` with Geman-McClure weights at the threshold.
void refine_point(const View* views, int n, std::uint64_t use, double threshold_px, int steps, double X[3]) {
  for (int step = 0; step < steps; ++step) {
    double H[6] = {0, 0, 0, 0, 0, 0}, g[3] = {0, 0, 0};
    for (int i = 0; i < n; ++i) {
      if (!(use >> i & 1)) continue;
      const View& v = views[i];
      double c[3];
      mat3_vec(v.R, X, c);
      for (int k = 0; k < 3; ++k) c[k] += v.t[k];
      if (!(c[2] > 1e-9)) continue;
      const double iz = 1 / c[2], u = c[0] * iz, w = c[1] * iz;
      const double ru = v.focal * (u - v.x), rv = v.focal * (w - v.y);
      const double k = v.weight * loss_weight(Loss::kGemanMcClure, ru * ru + rv * rv, threshold_px);
      const double s = v.focal * iz;
      double ju[3], jv[3];
      for (int a = 0; a < 3; ++a)
        ju[a] = s * (v.R[a] - u * v.R[6 + a]), jv[a] = s * (v.R[3 + a] - w * v.R[6 + a]);
      sym3_add_outer(H, ju, k);
      sym3_add_outer(H, jv, k);
      for (int a = 0; a < 3; ++a) g[a] += k * (ju[a] * ru + jv[a] * rv);
    }
    double inverse[6], d[3];
    if (!(sym3_inverse(H, inverse) > 1e-12)) return;
    sym3_vec(inverse, g, d);
    for (int a = 0; a < 3; ++a) X[a] -= d[a];
  }
}

double truncated(const View* views, int n, const double* X, double threshold2, double give_up,
                 std::uint64_t* inliers, int* count) {
  double cost = 0;
  std::uint64_t bits = 0;
  int found = 0;
  for (int i = 0; i < n; ++i) {
    const double r2 = view_residual2(views[i], X);
    if (r2 < threshold2) {
      cost += views[i].weight * r2 / threshold2;
      bits |= std::uint64_t{1} << i;
      ++found;
    } else {
      cost += views[i].weight;
    }
    if (cost > give_up) return 1e300;
  }
  *inliers = bits;
  *count = found;
  return cost;
}

}  // namespace

double view_residual2(const View& v, const double* X) {
  double c[3];
  mat3_vec(v.R, X, c);
  const double z = c[2] + v.t[2];
  if (!(z > 1e-9)) return 1e30;
  const double u = (c[0] + v.t[0]) / z - v.x, w = (c[1] + v.t[1]) / z - v.y;
  return (u * u + w * w) * v.focal * v.focal;
}

PointEstimate robust_point(const View* views, int n, double threshold_px) {
  PointEstimate best;
  for (int i = 0; i < n; ++i) best.cost += views[i].weight;
  if (n < 2) return best;
  double rays[64][3];
  for (int i = 0; i < n; ++i) world_ray(views[i], rays[i]);
  const double threshold2 = threshold_px * threshold_px;
  const std::uint64_t all = n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;

  const auto consider = [&](double X[3], std::uint64_t use, int steps) {
    refine_point(views, n, use, threshold_px, steps, X);
    std::uint64_t inliers = 0;
    int count = 0;
    const double cost = truncated(views, n, X, threshold2, best.cost, &inliers, &count);
    if (cost >= best.cost || count < 2) return;
    best.ok = true, best.cost = cost, best.inliers = inliers, best.num_inliers = count;
    std::copy(X, X + 3, best.X);
  };
  double X[3];
  if (nearest_to_rays(views, rays, n, all, X)) consider(X, all, 2);
  if (n > kFewViews) {
    // Pairs near and far, a bounded number; few are needed where most views agree.
    for (int k = 0; k < kMostPairs && best.num_inliers < n; ++k) {
      if (k >= kFewPairs && 10 * best.num_inliers > 6 * n) break;
      const int a = 7 * k % n, b = (a + 1 + 11 * k % (n - 1)) % n;
      if (nearest_to_rays(views, rays, n, std::uint64_t{1} << a | std::uint64_t{1} << b, X))
        consider(X, 0, 0);
    }
  } else if (n > 2 && best.num_inliers < n) {
    for (int a = 0; a < n && best.num_inliers < n; ++a)
      for (int b = a + 1; b < n && best.num_inliers < n; ++b)
        if (nearest_to_rays(views, rays, n, std::uint64_t{1} << a | std::uint64_t{1} << b, X))
          consider(X, 0, 0);
  }
  if (!best.ok) return best;
  std::copy(best.X, best.X + 3, X);
  consider(X, best.inliers, 3);
  // With many views the angles from one of them and from the one furthest off it: half the widest at least.
  int from = 0;
  while (n > kFewViews && !(best.inliers >> from & 1)) ++from;
  for (int round = 0; round < (n > kFewViews ? 2 : n); ++round) {
    const int a = n > kFewViews ? from : round;
    for (int b = n > kFewViews ? 0 : a + 1; b < n; ++b) {
      if (!(best.inliers >> a & best.inliers >> b & 1) || a == b) continue;
      const double angle = angle_between(rays[a], rays[b]);
      if (angle > best.parallax_rad) best.parallax_rad = angle, from = b;
    }
  }
  return best;
}

BodyViews::BodyViews(const BodyObservations& in, std::vector<std::int32_t> frames_in, int num_threads)
    : C(in.num_cameras), F(frames_in.size()), J(in.num_joints), frames(std::move(frames_in)), flip(in.flip) {
  for (std::size_t c = 0; c < C; ++c) focal.push_back(0.5 * (in.lens[c].fx + in.lens[c].fy));
  swapped.assign(C * F, 0);
  x_.assign(2 * C * F * J, nan_value<double>());
  xy_.assign(2 * C * F * J, nan_value<double>());
  weight_.assign(C * F * J, 0.0);
  parallel_for(C * F, 64, num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t c = k / F, f = k % F;
      for (std::size_t j = 0; j < J; ++j) {
        const std::size_t from = (c * in.num_frames + frames[f]) * J + j, to = slot(c, f, j);
        const double* uv = in.xy + 2 * from;
        const double w = in.weight[from];
        if (!(w > 0) || !is_finite(w) || !is_finite(uv[0]) || !is_finite(uv[1])) continue;
        if (!unproject(in.lens[c], uv, x_.data() + 2 * to)) continue;
        xy_[2 * to] = uv[0], xy_[2 * to + 1] = uv[1];
        weight_[to] = w;
      }
    }
  });
}

int BodyViews::gather(const std::vector<Camera<double>>& cameras, const std::vector<double>& centers,
                      const std::vector<std::uint8_t>& placed, std::size_t f, std::size_t j,
                      std::uint64_t swap_bits, View* out) const {
  int n = 0;
  for (std::size_t c = 0; c < C; ++c) {
    if (!placed[c]) continue;
    const std::size_t joint = (swap_bits >> c & 1) ? static_cast<std::size_t>(flip[j]) : j;
    const std::size_t s = source(c, f, joint);
    if (!(weight_[s] > 0)) continue;
    out[n++] = {cameras[c].R, cameras[c].t, centers.data() + 3 * c, x_[2 * s], x_[2 * s + 1],
                focal[c],     weight_[s],   static_cast<int>(c)};
  }
  return n;
}

std::vector<double> camera_centers(const std::vector<Camera<double>>& cameras) {
  std::vector<double> out(3 * cameras.size());
  for (std::size_t c = 0; c < cameras.size(); ++c) {
    mat3_tvec(cameras[c].R, cameras[c].t, out.data() + 3 * c);
    for (int i = 0; i < 3; ++i) out[3 * c + i] *= -1;
  }
  return out;
}

Structure build_structure(const BodyViews& views, const std::vector<Camera<double>>& cameras,
                          const std::vector<std::uint8_t>& placed, double threshold_px,
                          double min_parallax_rad, int num_threads) {
  Structure out;
  out.points.assign(views.F * views.J * 3, nan_value<double>());
  out.inlier.assign(views.C * views.F * views.J, 0);
  const std::vector<double> centers = camera_centers(cameras);
  std::atomic<std::size_t> shared{0}, good{0};
  parallel_for(views.F, 8, num_threads, [&](std::size_t begin, std::size_t end) {
    View list[64];
    std::size_t n_shared = 0, n_good = 0;
    for (std::size_t f = begin; f < end; ++f)
      for (std::size_t j = 0; j < views.J; ++j) {
        const int n = views.gather(cameras, centers, placed, f, j, 0, list);
        if (n < 2) continue;
        const PointEstimate p = robust_point(list, n, threshold_px);
        n_shared += n;
        if (!p.ok) continue;
        n_good += p.num_inliers;
        if (p.parallax_rad < min_parallax_rad) continue;
        std::copy(p.X, p.X + 3, out.points.data() + 3 * (f * views.J + j));
        for (int i = 0; i < n; ++i)
          if (p.inliers >> i & 1) out.inlier[views.slot(list[i].camera, f, j)] = 1;
      }
    shared += n_shared;
    good += n_good;
  });
  out.inlier_share = shared ? static_cast<double>(good) / static_cast<double>(shared) : 0.0;
  return out;
}

}  // namespace sportcore::detail

namespace sportcore {

std::vector<std::int32_t> select_frames(const BodyObservations& in, int max_frames) {
  const std::size_t C = in.num_cameras, T = in.num_frames, J = in.num_joints;
  std::vector<int> shared(T, 0);
  std::vector<double> moved(T, 0.0);
  std::vector<double> step;
  const auto seen = [&](std::size_t c, std::size_t t, std::size_t j) {
    const std::size_t s = (c * T + t) * J + j;
    return in.weight[s] > 0 && is_finite(in.xy[2 * s]) && is_finite(in.xy[2 * s + 1]);
  };
  std::vector<std::int32_t> usable;
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t j = 0; j < J; ++j) {
      int views = 0;
      for (std::size_t c = 0; c < C; ++c) views += seen(c, t, j);
      if (views >= 2) shared[t] += views - 1;
    }
    if (shared[t] > 0) usable.push_back(static_cast<std::int32_t>(t));
  }
  if (usable.size() <= static_cast<std::size_t>(std::max(max_frames, 1))) return usable;
  for (std::size_t k = 1; k < usable.size(); ++k) {
    const std::size_t t = usable[k], u = usable[k - 1];
    double sum = 0;
    int n = 0;
    for (std::size_t c = 0; c < C; ++c) {
      step.clear();
      for (std::size_t j = 0; j < J; ++j) {
        if (!seen(c, t, j) || !seen(c, u, j)) continue;
        const double *a = in.xy + 2 * ((c * T + t) * J + j), *b = in.xy + 2 * ((c * T + u) * J + j);
        step.push_back(std::hypot(a[0] - b[0], a[1] - b[1]));
      }
      if (step.size() >= 3) {
        std::nth_element(step.begin(), step.begin() + step.size() / 2, step.end());
        sum += step[step.size() / 2], ++n;
      }
    }
    moved[t] = n ? sum / n : 0.0;
  }
  double total = 0;
  for (std::int32_t t : usable) total += moved[t];
  const double n = static_cast<double>(usable.size());
  std::vector<std::int32_t> out;
  std::int64_t bin = -1;
  double position = 0;
  for (std::int32_t t : usable) {
    const std::int64_t here =
        std::min<std::int64_t>(max_frames - 1, static_cast<std::int64_t>(position * max_frames));
    if (here != bin) {
      out.push_back(t);
      bin = here;
    } else if (shared[t] > shared[out.back()]) {
      out.back() = t;
    }
    position += total > 0 ? 0.5 / n + 0.5 * moved[t] / total : 1.0 / n;
  }
  return out;
}

}  // namespace sportcore

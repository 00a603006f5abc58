// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "body_bias.h"

#include <algorithm>
#include <cmath>

namespace sportcore::detail {
namespace {

constexpr std::size_t kStretches = 10, kFewest = 5;  // of time; of observations in a stretch that counts

struct Mean {
  double value[2] = {0, 0};
  double variance = -1;  // of either coordinate; below zero: not measured
};

// Mean of the stretches' means of a joint's residuals in a camera, and its variance from how these differ.
Mean mean_residual(const BodyViews& views, const Reconstruction& r, std::size_t c, std::size_t j) {
  double sum[kStretches][2] = {}, count[kStretches] = {};
  for (std::size_t f = 0; f < views.F; ++f) {
    const double* X = r.structure.points.data() + 3 * (f * views.J + j);
    double uv[2], J[6];
    if (!is_finite(X[0]) || !r.structure.inlier[views.slot(c, f, j)] ||
        !project_world(r.cameras[c], X, uv, J))
      continue;
    const double* seen = views.pixel(views.source(c, f, j));
    const std::size_t k = f * kStretches / views.F;
    sum[k][0] += seen[0] - uv[0], sum[k][1] += seen[1] - uv[1], count[k] += 1;
  }
  Mean mean;
  double n = 0;
  for (std::size_t k = 0; k < kStretches; ++k) {
    if (count[k] < kFewest) continue;
    for (int i = 0; i < 2; ++i) sum[k][i] /= count[k], mean.value[i] += sum[k][i];
    n += 1;
  }
  if (n < 3) return mean;
  double spread = 0;
  for (double& v : mean.value) v /= n;
  for (std::size_t k = 0; k < kStretches; ++k)
    if (count[k] >= kFewest)
      for (int i = 0; i < 2; ++i) spread += (sum[k][i] - mean.value[i]) * (sum[k][i] - mean.value[i]);
  mean.variance = spread / (2 * (n - 1) * n);
  return mean;
}

}  // namespace

DetectorBias::DetectorBias(const BodyViews& views) : shift_(2 * views.C * views.J, 0.0) {}

double DetectorBias::size_px() const {
  double sum = 0, n = 0;
  for (double v : shift_)
    if (v != 0) sum += v * v, n += 1;
  return n > 0 ? std::sqrt(sum / n) : 0.0;
}

bool DetectorBias::update(BodyViews& views, const Reconstruction& r, const Intrinsics<double>* lens) {
  std::vector<Mean> means(views.C * views.J);
  double excess = 0, measured = 0;
  for (std::size_t c = 0; c < views.C; ++c) {
    if (!r.placed[c]) continue;
    double common[2] = {0, 0}, n = 0;
    for (std::size_t j = 0; j < views.J; ++j) {
      Mean& m = means[c * views.J + j] = mean_residual(views, r, c, j);
      if (m.variance < 0) continue;
      for (int i = 0; i < 2; ++i) {
        m.value[i] += shift_[2 * (c * views.J + j) + i];
        common[i] += m.value[i];
      }
      n += 1;
    }
    for (std::size_t j = 0; j < views.J; ++j) {
      Mean& m = means[c * views.J + j];
      if (m.variance < 0 || n < 2) continue;
      for (int i = 0; i < 2; ++i) {
        m.value[i] -= common[i] / n;
        excess += m.value[i] * m.value[i] * n / (n - 1) - m.variance;
        measured += 1;
      }
    }
  }
  const double variance = measured > 0 ? excess / measured : 0.0;
  if (!(variance > 0)) return false;
  std::vector<double> before = shift_;
  for (std::size_t k = 0; k < means.size(); ++k)
    for (int i = 0; i < 2; ++i)
      shift_[2 * k + i] =
          means[k].variance < 0 ? 0.0 : means[k].value[i] * variance / (variance + means[k].variance);
  for (std::size_t c = 0; c < views.C; ++c)
    for (std::size_t f = 0; f < views.F; ++f)
      for (std::size_t j = 0; j < views.J; ++j) {
        const std::size_t s = views.source(c, f, j), k = 2 * (c * views.J + j);
        if (!(views.weight(s) > 0)) continue;
        const double* uv = views.pixel(s);
        const double moved[2] = {uv[0] + before[k] - shift_[k], uv[1] + before[k + 1] - shift_[k + 1]};
        views.move(s, moved, lens[c]);
      }
  return true;
}

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Reprojection over lanes. Private; included by kernels.cpp only.
#pragma once

#include "kernels.h"
#include "pack.h"

namespace sportcore {
namespace SPORTCORE_ISA {

/// One camera; kModel takes the choice of the lens out of the loop.
template <class S, int kModel>
void reproject_model(Camera<S> camera, const ReprojectCall<S>& call, std::size_t begin, std::size_t end) {
  constexpr int kWidth = kLanes<S>;
  using P = Pack<S>;
  camera.lens.model = kModel;
  for (std::size_t i = begin; i < end; i += kWidth) {
    const int count = end - i < kWidth ? static_cast<int>(end - i) : kWidth;
    P X[3], uv[2], J[6], Jp[12];
    if (count == kWidth) {
      load_interleaved3(call.points_world_m + 3 * i, X);
    } else {
      S x[3][kWidth] = {};
      for (int k = 0; k < count; ++k)
        for (int r = 0; r < 3; ++r) x[r][k] = call.points_world_m[3 * (i + k) + r];
      for (int r = 0; r < 3; ++r) X[r] = load(x[r]);
    }
    P* none = nullptr;
    project_world(camera, X, uv, call.J_point ? J : none, call.J_pose ? Jp : none);
    if (count == kWidth) {
      if (call.observed_px) {
        P u, v;
        load_interleaved(call.observed_px + 2 * i, &u, &v);
        uv[0] -= u;
        uv[1] -= v;
      }
      store_interleaved(uv[0], uv[1], call.out_px + 2 * i);
    } else {
      S u[kWidth], v[kWidth];
      store(uv[0], u);
      store(uv[1], v);
      for (int k = 0; k < count; ++k) {
        const std::size_t at = 2 * (i + k);
        call.out_px[at] = call.observed_px ? u[k] - call.observed_px[at] : u[k];
        call.out_px[at + 1] = call.observed_px ? v[k] - call.observed_px[at + 1] : v[k];
      }
    }
    const auto scatter = [&](const P* columns, int n, S* to) {
      S x[12][kWidth];
      for (int r = 0; r < n; ++r) store(columns[r], x[r]);
      to += n * i;
      for (int k = 0; k < count; ++k)
        for (int r = 0; r < n; ++r) *to++ = x[r][k];
    };
    if (call.J_point) scatter(J, 6, call.J_point);
    if (call.J_pose) scatter(Jp, 12, call.J_pose);
  }
}

template <class S>
void reproject_range(const Camera<S>& camera, const ReprojectCall<S>& call, std::size_t begin,
                     std::size_t end) {
  if (camera.lens.model == kBrown)
    reproject_model<S, kBrown>(camera, call, begin, end);
  else if (camera.lens.model == kFisheye)
    reproject_model<S, kFisheye>(camera, call, begin, end);
  else
    reproject_model<S, kPinhole>(camera, call, begin, end);
}

}  // namespace SPORTCORE_ISA
}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The adjoint of robust triangulation at its optimum, written once for a CUDA thread and for SIMD lanes
/// (lanes.h). The formulae stand in triangulate_backward.h.
#pragma once

#include "sportcore/camera_parameters.h"
#include "sportcore/losses.h"

namespace sportcore {

/// 2 rho''(s) of a loss; see loss_weight. The exact one, unlike loss_curvature.
template <class S, class T>
SPORTCORE_HD T loss_second(Loss loss, T s, S scale) {
  const S c2 = scale * scale;
  const T q = T(1) / (T(1) + s * T(S(1) / c2));
  switch (loss) {
    case Loss::kHuber:
      return select(s <= T(c2), T(0), -loss_weight(loss, s, scale) / s);
    case Loss::kCauchy:
      return T(S(-2) / c2) * q * q;
    case Loss::kGemanMcClure:
      return T(S(-4) / c2) * q * q * q;
    default:
      return T(0);
  }
}

/// One view at the optimum.
template <class T>
struct OptimumView {
  T J[6];      // (2, 3)
  T M[3];      // xx, xy, yy; px^-2; zero where the view does not count
  T r[2];      // px
  T by_sigma;  // 2 w^3 (rho' + s rho'')
};

template <class S, class T>
SPORTCORE_HD OptimumView<T> optimum_view(const Camera<S>& camera, const T* X, T u, T v, T sigma,
                                         mask_t<T> use, Loss loss, S scale) {
  OptimumView<T> out;
  T Xc[3], uv[2], Jc[6];
  cam_from_world(camera, X, Xc);
  use = use & (Xc[2] > T(0)) & is_finite(Xc[0] + Xc[1] + Xc[2]) & is_finite(u + v) & (sigma > T(0));
  Xc[0] = select(use, Xc[0], T(0));
  Xc[1] = select(use, Xc[1], T(0));
  Xc[2] = select(use, Xc[2], T(1));
  project(camera.lens, Xc, uv, Jc);
  mat3_tvec(camera.R, Jc, out.J);
  mat3_tvec(camera.R, Jc + 3, out.J + 3);
  const T w = select(use, T(1) / sigma, T(0)), w2 = w * w;
  out.r[0] = select(use, uv[0] - u, T(0));
  out.r[1] = select(use, uv[1] - v, T(0));
  const T s = w2 * (out.r[0] * out.r[0] + out.r[1] * out.r[1]);
  const T weight = loss_weight(loss, s, scale), curvature = loss_second(loss, s, scale) * w2;
  out.M[0] = w2 * (weight + curvature * out.r[0] * out.r[0]);
  out.M[1] = w2 * (curvature * out.r[0] * out.r[1]);
  out.M[2] = w2 * (weight + curvature * out.r[1] * out.r[1]);
  const T half = T(0.5) * loss_second(loss, s, scale) * s;
  out.by_sigma = T(2) * w2 * w * (weight + half);
  return out;
}

/// H += J^T M J.
template <class T>
SPORTCORE_HD void add_optimum_view(const OptimumView<T>& view, T* H) {
  T MJ[6];
  for (int j = 0; j < 3; ++j) {
    MJ[j] = view.M[0] * view.J[j] + view.M[1] * view.J[3 + j];
    MJ[3 + j] = view.M[1] * view.J[j] + view.M[2] * view.J[3 + j];
  }
  H[0] += view.J[0] * MJ[0] + view.J[3] * MJ[3];
  H[1] += view.J[0] * MJ[1] + view.J[3] * MJ[4];
  H[2] += view.J[0] * MJ[2] + view.J[3] * MJ[5];
  H[3] += view.J[1] * MJ[1] + view.J[4] * MJ[4];
  H[4] += view.J[1] * MJ[2] + view.J[4] * MJ[5];
  H[5] += view.J[2] * MJ[2] + view.J[5] * MJ[5];
}

/// lambda = H^-1 grad, zero where H is not positive definite or something is not finite.
template <class T>
SPORTCORE_HD void solve_optimum(const T* H, const T* grad, T* lambda) {
  using S = scalar_t<T>;
  T inverse[6], l[3];
  const T quality = sym3_inverse(H, inverse);
  sym3_vec(inverse, grad, l);
  const mask_t<T> ok = (H[0] > T(0)) & (H[0] * H[3] - H[1] * H[1] > T(0)) &
                       (quality > T(std::numeric_limits<S>::epsilon())) & is_finite(l[0] + l[1] + l[2]);
  for (int j = 0; j < 3; ++j) lambda[j] = select(ok, l[j], T(0));
}

/// by_uv (2) = M J lambda, *by_sigma = by_sigma lambda . J^T r.
template <class T>
SPORTCORE_HD void optimum_backward(const OptimumView<T>& view, const T* lambda, T* by_uv, T* by_sigma) {
  const T a = dot3(view.J, lambda), b = dot3(view.J + 3, lambda);
  by_uv[0] = view.M[0] * a + view.M[1] * b;
  by_uv[1] = view.M[1] * a + view.M[2] * b;
  *by_sigma = view.by_sigma * (a * view.r[0] + b * view.r[1]);
}

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Robust losses rho(s) of the squared residual norm s, with rho'(0) = 1 (Triggs et al. 2000, section 4.3).
#pragma once

#include "sportcore/lanes.h"

namespace sportcore {

enum class Loss : int { kTrivial = 0, kHuber = 1, kCauchy = 2, kGemanMcClure = 3 };

/// rho(s) for residuals of the given scale (same unit as the residual).
template <class T>
SPORTCORE_HD T loss_value(Loss loss, T s, T scale) {
  const T c2 = scale * scale;
  switch (loss) {
    case Loss::kHuber:
      return s <= c2 ? s : T(2) * scale * std::sqrt(s) - c2;
    case Loss::kCauchy:
      return c2 * std::log1p(s / c2);
    case Loss::kGemanMcClure:
      return s / (T(1) + s / c2);
    default:
      return s;
  }
}

/// rho'(s), the weight of the residual's squared norm in iteratively reweighted least squares. S is the
/// scalar of T (lanes.h).
template <class S, class T>
SPORTCORE_HD T loss_weight(Loss loss, T s, S scale) {
  using std::sqrt;
  const S c2 = scale * scale;
  switch (loss) {
    case Loss::kHuber:
      return select(s <= T(c2), T(1), T(scale) / sqrt(s));
    case Loss::kCauchy:
      return reciprocal(T(1) + s * T(S(1) / c2));
    case Loss::kGemanMcClure:
      return square(reciprocal(T(1) + s * T(S(1) / c2)));
    default:
      return T(1);
  }
}

/// -2 rho''(s) / rho'(s): how much of the residual's own direction the second derivative of the loss takes
/// from the normal matrix, J^T (1 - curvature r r^T) J (Triggs et al. 2000, section 4.3). Zero where more
/// than half of that direction would go, so that the matrix stays definite and steps stay bounded.
template <class S, class T>
SPORTCORE_HD T loss_curvature(Loss loss, T s, T weight, S scale) {
  using std::sqrt;
  if (loss == Loss::kTrivial || loss == Loss::kHuber) return T(0);  // Huber: beyond the scale all would go
  const T w = loss == Loss::kCauchy ? weight : T(2) * sqrt(weight);
  const T curvature = w * T(S(2) / (scale * scale));
  return select(curvature * s < T(0.5), curvature, T(0));
}

}  // namespace sportcore

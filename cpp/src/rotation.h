// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Small rotation helpers shared by the calibration sources (Eigen, internal).
#pragma once

#include <Eigen/Dense>

#include "sportcore/linalg.h"

namespace sportcore::detail {

inline Eigen::Matrix3d skew(const Eigen::Vector3d& v) {
  Eigen::Matrix3d S;
  S << 0, -v[2], v[1], v[2], 0, -v[0], -v[1], v[0], 0;
  return S;
}

// exp([w]_x) as an Eigen matrix; the formula itself lives in linalg.h.
inline Eigen::Matrix3d exp_so3(const Eigen::Vector3d& w) {
  Eigen::Matrix<double, 3, 3, Eigen::RowMajor> R;
  so3_exp(w.data(), R.data());
  return R;
}

// Nearest rotation (Frobenius).
inline Eigen::Matrix3d nearest_rotation(const Eigen::Matrix3d& M) {
  Eigen::JacobiSVD<Eigen::Matrix3d> svd(M, Eigen::ComputeFullU | Eigen::ComputeFullV);
  Eigen::Matrix3d D = Eigen::Matrix3d::Identity();
  D(2, 2) = (svd.matrixU() * svd.matrixV().transpose()).determinant() < 0 ? -1 : 1;
  return svd.matrixU() * D * svd.matrixV().transpose();
}

}  // namespace sportcore::detail

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Robust triangulation, written once for a CUDA thread (T a scalar) and for SIMD lanes (T a pack; lanes.h).
///
/// 1. `prepare_view` keeps the usable observations and undistorts them once.
/// 2. `triangulate_direct`: linear solution of all of them (Hartley & Zisserman 2004, section 12.2,
///    inhomogeneous), refined on the true projection. When every residual is small, that is the answer: most
///    points end here.
/// 3. `triangulate_search` for the others: pairs of views are hypotheses (midpoint of the two rays), scored
///    over all views by a truncated quadratic (MSAC; Torr & Zisserman 2000) weighted with the detector's
///    score. Up to four views all pairs are tried; with more the search ends when two thirds of the views
///    agree. The views that agree with the best hypothesis are refined, chosen again at the refined point,
///    until stable.
/// 4. `triangulate_finish`: covariance (sum J^T J / sigma^2)^-1 over the inliers; checks of angle and
///    cheirality.
///
/// Detector scores weigh only in step 3: they say little about the size of the error of a good observation,
/// so that weighting the estimate by them costs accuracy. Per-observation sigmas, where known, weigh
/// everywhere.
#pragma once

#include "sportcore/triangulate_views.h"

namespace sportcore {

namespace detail {

template <class T>
SPORTCORE_HD void set_status(mask_t<T> where, PointStatus status, T* to) {
  *to = select(where, T(static_cast<int>(status)), *to);
}

/// X of the linear equations (R0 - x R2) X = x t2 - t0, (R1 - y R2) X = y t2 - t1 over the chosen views.
/// False where these do not determine it.
template <class S, class T>
SPORTCORE_HD mask_t<T> solve_linear(const TriangulateCamera<S>* cameras, const Observations<T>& o, T* X) {
  T A[6] = {T(0), T(0), T(0), T(0), T(0), T(0)}, b[3] = {T(0), T(0), T(0)};
  for (int c = 0; c < o.n_views; ++c) {
    const S* R = cameras[c].camera.R;
    const S* t = cameras[c].camera.t;
    const T w = o.at(c, kChosen) * square(o.at(c, kInvSigma) * cameras[c].focal);
    for (int k = 0; k < 2; ++k) {
      const T x = o.at(c, kX + k);
      const T a[3] = {R[3 * k] - x * R[6], R[3 * k + 1] - x * R[7], R[3 * k + 2] - x * R[8]};
      sym3_add_outer(A, a, w);
      const T rhs = w * (x * t[2] - t[k]);
      for (int j = 0; j < 3; ++j) b[j] += rhs * a[j];
    }
  }
  T inverse[6];
  const T quality = sym3_inverse(A, inverse);
  sym3_vec(inverse, b, X);
  return (quality > T(16) * T(std::numeric_limits<S>::epsilon())) & is_finite(X[0] + X[1] + X[2]);
}

template <class T>
struct Linearized {
  T g[3], H[6];      // gradient and second derivative of the robust cost (halves)
  T information[6];  // normal matrix without the loss
  T cost;            // sum of weight times squared residual, with the weights at this point
  T majorizer;       // the same with the weights of the point before
  T n_near;          // chosen views within twice their limit
};

/// The chosen views at X; loss weights are read from the field `before` and written to `after`. False where a
/// chosen view has the point behind it.
template <class S, class T>
SPORTCORE_HD mask_t<T> linearize(const TriangulateCamera<S>* cameras, const Observations<T>& o, const T* X,
                                 Loss loss, S scale, int before, int after, Linearized<T>* out) {
  for (int j = 0; j < 3; ++j) out->g[j] = T(0);
  for (int j = 0; j < 6; ++j) out->H[j] = out->information[j] = T(0);
  out->cost = out->majorizer = out->n_near = T(0);
  mask_t<T> all_front(true);
  for (int c = 0; c < o.n_views; ++c) {
    const T chosen = o.at(c, kChosen);
    const mask_t<T> use = chosen > T(0);
    if (!any(use)) {
      o.at(c, after) = T(0);
      continue;
    }
    const Camera<S>& camera = cameras[c].camera;
    const Intrinsics<S>& lens = camera.lens;
    const S* R = camera.R;
    T Xc[3];
    cam_from_world(camera, X, Xc);
    const mask_t<T> front = Xc[2] > T(0), good = use & front;
    all_front = all_front & (front | !use);
    const T iz = select(good, reciprocal(Xc[2]), T(0));  // what does not count must stay finite
    const T x[2] = {select(good, Xc[0] * iz, T(0)), select(good, Xc[1] * iz, T(0))};
    // d x_k / d X = iz (R_k - x_k R_2); the lens turns and scales these two rows.
    T xd[2] = {x[0], x[1]}, J[6];
    for (int j = 0; j < 3; ++j) {
      J[j] = R[j] - x[0] * R[6 + j];
      J[3 + j] = R[3 + j] - x[1] * R[6 + j];
    }
    if (lens.model != kPinhole) {
      T D[4];
      distort(lens, x, xd, D);
      for (int j = 0; j < 3; ++j) {
        const T a = J[j], b = J[3 + j];
        J[j] = D[0] * a + D[1] * b;
        J[3 + j] = D[2] * a + D[3] * b;
      }
    }
    const T w2 = select(good, square(o.at(c, kInvSigma)), T(0));
    const T r[2] = {xd[0] * lens.fx + (lens.cx - o.at(c, kU)), xd[1] * lens.fy + (lens.cy - o.at(c, kV))};
    const T e2 = r[0] * r[0] + r[1] * r[1], s = e2 * w2;
    out->n_near += select(good & (e2 * o.at(c, kInvLimit2) <= T(4)), T(1), T(0));
    const T weight = loss_weight(loss, s, scale);
    const T scaled[2] = {iz * lens.fx, iz * lens.fy}, ws[2] = {w2 * scaled[0], w2 * scaled[1]};
    const T wr[2] = {ws[0] * r[0], ws[1] * r[1]};
    T B[6] = {T(0), T(0), T(0), T(0), T(0), T(0)}, v[3];
    sym3_add_outer(B, J, ws[0] * scaled[0]);
    sym3_add_outer(B, J + 3, ws[1] * scaled[1]);
    for (int j = 0; j < 3; ++j) v[j] = wr[0] * J[j] + wr[1] * J[3 + j];
    for (int j = 0; j < 6; ++j) {
      out->information[j] += B[j];
      out->H[j] += weight * B[j];
    }
    if (loss != Loss::kTrivial) sym3_add_outer(out->H, v, -weight * loss_curvature(loss, s, weight, scale));
    for (int j = 0; j < 3; ++j) out->g[j] += weight * v[j];
    out->cost += weight * s;
    out->majorizer += o.at(c, before) * s;
    o.at(c, after) = weight;
  }
  return all_front;
}

template <class T>
struct Refined {
  mask_t<T> converged, behind;
};

/// Levenberg-Marquardt on the second derivative of the robust cost, from X over the chosen views, in the
/// active lanes; X and information are updated. `now` is the linearisation at X, of which `front` is the
/// result and kWeightA holds the weights.
///
/// A step is judged by the quadratic that majorises the robust cost at the present point (the losses are
/// concave in the squared residual, so that a decrease of the former is one of the latter). Converged when a
/// further step would change the cost by less than 1e-3 of a sigma squared, a thirtieth of the point's own
/// deviation; that step is still taken, and leaves less than a hundredth.
template <class S, class T>
SPORTCORE_HD Refined<T> refine(const TriangulateCamera<S>* cameras, const Observations<T>& o,
                               const TriangulateParams<S>& p, mask_t<T> active, Linearized<T>& now,
                               mask_t<T> front, T* X, T* information) {
  const S eps = std::numeric_limits<S>::epsilon();
  Refined<T> result;
  int here = kWeightA, there = kWeightB;
  result.behind = active & !front;
  result.converged = mask_t<T>(false);
  active = active & front & is_finite(now.cost);
  for (int j = 0; j < 6; ++j) information[j] = select(active, now.information[j], information[j]);
  T damping = T(0);
  for (int it = 0; it < p.max_iterations && any(active); ++it) {
    T A[6], inverse[6], step[3];
    for (int j = 0; j < 6; ++j) A[j] = now.H[j];
    A[0] += damping * now.H[0];
    A[3] += damping * now.H[3];
    A[5] += damping * now.H[5];
    const T quality = sym3_inverse(A, inverse);
    const mask_t<T> regular = quality > T(eps);
    active = active & (regular | (quality < T(1)));  // the rest is NaN
    sym3_vec(inverse, now.g, step);
    const T decrement = dot3(step, now.g);
    const T trial[3] = {X[0] - step[0], X[1] - step[1], X[2] - step[2]};
    const mask_t<T> small = active & regular & (decrement < T(1e-3));
    for (int j = 0; j < 3; ++j) X[j] = select(small, trial[j], X[j]);
    result.converged = result.converged | small;
    active = active & !small;
    if (!any(active)) break;
    Linearized<T> next;
    const mask_t<T> good = linearize(cameras, o, trial, p.loss, p.loss_scale, here, there, &next);
    const T rounding = T(S(8) * eps) * (now.cost + T(1));
    const mask_t<T> accepted = active & regular & good & (next.majorizer <= now.cost + rounding);
    const mask_t<T> settled = accepted & (now.cost - next.majorizer <= rounding);  // no decrease is left
    for (int j = 0; j < 3; ++j) {
      X[j] = select(accepted, trial[j], X[j]);
      now.g[j] = select(accepted, next.g[j], now.g[j]);
    }
    for (int j = 0; j < 6; ++j) {
      now.H[j] = select(accepted, next.H[j], now.H[j]);
      information[j] = select(accepted, next.information[j], information[j]);
    }
    now.cost = select(accepted, next.cost, now.cost);
    damping = select(accepted, select(damping > T(1e-4), T(0.1) * damping, T(0)),
                     max_lane(T(10) * damping, T(1e-3)));
    if (any(active & !accepted))  // keep the weights of the points that stayed
      for (int c = 0; c < o.n_views; ++c) o.at(c, there) = select(accepted, o.at(c, there), o.at(c, here));
    const int swap = here;
    here = there;
    there = swap;
    result.converged = result.converged | settled;
    active = active & !settled;
  }
  return result;
}

/// Fills kError2 by the true projection; returns the number of usable views within their limit.
template <class S, class T>
SPORTCORE_HD T measure(const TriangulateCamera<S>* cameras, const Observations<T>& o, const T* X) {
  T count = T(0);
  for (int c = 0; c < o.n_views; ++c) {
    T uv[2];
    const mask_t<T> front = project_world(cameras[c].camera, X, uv);
    const T e = square(uv[0] - o.at(c, kU)) + square(uv[1] - o.at(c, kV));
    const T e2 = select(front & (e == e), e, T(std::numeric_limits<S>::infinity()));
    o.at(c, kError2) = e2;
    const mask_t<T> used = o.at(c, kInvSigma) > T(0);
    count += select(used & (e2 * o.at(c, kInvLimit2) <= T(1)), T(1), T(0));
  }
  return count;
}

/// The usable views within their limit at the last `measure`.
template <class T>
SPORTCORE_HD mask_t<T> agrees(const Observations<T>& o, int c) {
  return (o.at(c, kInvSigma) > T(0)) & (o.at(c, kError2) * o.at(c, kInvLimit2) <= T(1));
}

/// Chooses the agreeing views in the lanes of `where`, none in the other active ones.
template <class T>
SPORTCORE_HD void choose(const Observations<T>& o, mask_t<T> where, mask_t<T> active) {
  for (int c = 0; c < o.n_views; ++c)
    o.at(c, kChosen) = select(active, select(where & agrees(o, c), T(1), T(0)), o.at(c, kChosen));
}

/// One step on the views that agree with a hypothesis of two, and the choice anew: most of the way at the
/// price of one linearisation. A lane that would lose views by it stays as it is.
template <class S, class T>
SPORTCORE_HD void step_and_choose(const TriangulateCamera<S>* cameras, const Observations<T>& o,
                                  const TriangulateParams<S>& p, mask_t<T> active, T* X, T* count) {
  if (!any(active)) return;
  Linearized<T> now;
  T inverse[6], step[3];
  const mask_t<T> front = linearize(cameras, o, X, p.loss, p.loss_scale, kWeightB, kWeightA, &now);
  const T quality = sym3_inverse(now.H, inverse);
  sym3_vec(inverse, now.g, step);
  const mask_t<T> sound = active & front & (quality > T(std::numeric_limits<S>::epsilon()));
  T trial[3];
  for (int j = 0; j < 3; ++j) trial[j] = select(sound, X[j] - step[j], X[j]);
  const T left = measure(cameras, o, trial);
  const mask_t<T> better = sound & (left >= *count);
  for (int j = 0; j < 3; ++j) X[j] = select(better, trial[j], X[j]);
  *count = select(better, left, *count);
  choose(o, better, better);
}

/// What search_pairs met on its way: pairs with enough angle between their rays, pairs that meet behind a
/// camera.
template <class T>
struct PairSearch {
  mask_t<T> any_angle, any_behind, found;
};

/// The best hypothesis of the active lanes to X.
template <class S, class T>
SPORTCORE_HD PairSearch<T> search_pairs(const TriangulateCamera<S>* cameras, const CameraPair* pairs,
                                        const Observations<T>& o, const TriangulateParams<S>& p,
                                        mask_t<T> active, T n_used, T* X) {
  PairSearch<T> search;
  search.any_angle = search.any_behind = search.found = mask_t<T>(false);
  T best = T(std::numeric_limits<S>::max());
  const T enough = select(n_used > T(4), max_lane(T(4), T(0.65) * n_used), T(std::numeric_limits<S>::max()));
  for (int k = 0; k < p.n_pairs && any(active); ++k) {
    const int i = pairs[k].first, j = pairs[k].second;
    const mask_t<T> both = active & (o.at(i, kInvSigma) > T(0)) & (o.at(j, kInvSigma) > T(0));
    if (!any(both)) continue;
    const T xi[3] = {o.at(i, kX), o.at(i, kY), T(1)}, xj[3] = {o.at(j, kX), o.at(j, kY), T(1)};
    T di[3], dj[3];  // rays in the world, of unit depth
    mat3_tvec(cameras[i].camera.R, xi, di);
    mat3_tvec(cameras[j].camera.R, xj, dj);
    const S* oi = cameras[i].position;
    const S* oj = cameras[j].position;
    const S base[3] = {oj[0] - oi[0], oj[1] - oi[1], oj[2] - oi[2]};
    const T a = dot3(di, di), b = dot3(di, dj), c = dot3(dj, dj), det = a * c - b * b;
    const mask_t<T> angle = both & (det > T(p.min_sine2) * a * c);
    const T e = dot3(base, di), f = dot3(base, dj), inv = reciprocal(det);
    const T si = (c * e - b * f) * inv, sj = (b * e - a * f) * inv;  // depths in the two cameras
    const mask_t<T> front = angle & (si > T(0)) & (sj > T(0));
    search.any_angle = search.any_angle | angle;
    search.any_behind = search.any_behind | (angle & !front);
    if (!any(front)) continue;
    T trial[3];
    for (int r = 0; r < 3; ++r) trial[r] = T(0.5) * ((oi[r] + oj[r]) + (si * di[r] + sj * dj[r]));
    T cost = T(0), count = T(0);
    for (int m = 0; m < o.n_views; ++m) {
      T Xc[3];
      cam_from_world(cameras[m].camera, trial, Xc);
      const T iz = reciprocal(Xc[2]);
      const T r2 = (square(Xc[0] * iz - o.at(m, kX)) + square(Xc[1] * iz - o.at(m, kY))) *
                   (square(cameras[m].focal) * o.at(m, kInvLimit2));
      const mask_t<T> good = (Xc[2] > T(0)) & (r2 < T(1)) & (o.at(m, kInvSigma) > T(0));
      cost += o.at(m, kScore) * select(good, r2, T(1));
      count += select(good, T(1), T(0));
    }
    const mask_t<T> better = front & (cost < best) & (count > T(1.5));
    best = select(better, cost, best);
    for (int r = 0; r < 3; ++r) X[r] = select(better, trial[r], X[r]);
    search.found = search.found | better;
    active = active & !(better & (count >= enough));
  }
  return search;
}

/// True where some two rays of the chosen views, from X, differ from parallel (and opposite) by the least
/// angle.
template <class S, class T>
SPORTCORE_HD mask_t<T> wide_enough(const TriangulateCamera<S>* cameras, const Observations<T>& o, const T* X,
                                   S min_sine2, mask_t<T> asked) {
  mask_t<T> wide(false);
  for (int i = 0; i < o.n_views; ++i) {
    const mask_t<T> open = asked & !wide & (o.at(i, kChosen) > T(0));
    if (!any(open)) continue;
    const S* oi = cameras[i].position;
    const T a[3] = {X[0] - oi[0], X[1] - oi[1], X[2] - oi[2]};
    const T aa = dot3(a, a);
    for (int j = i + 1; j < o.n_views && any(open & !wide); ++j) {
      const S* oj = cameras[j].position;
      const T b[3] = {X[0] - oj[0], X[1] - oj[1], X[2] - oj[2]};
      const T bb = dot3(b, b), ab = dot3(a, b);
      wide = wide | (open & (o.at(j, kChosen) > T(0)) & (aa * bb - ab * ab >= T(min_sine2) * aa * bb));
    }
  }
  return wide;
}

}  // namespace detail

/// The answer of all usable views (point.n_used of them) where these agree, or where there is no choice among
/// them. Returns the lanes that have a choice and need `triangulate_search`.
template <class S, class T>
SPORTCORE_HD mask_t<T> triangulate_direct(const TriangulateCamera<S>* cameras, const Observations<T>& o,
                                          const TriangulateParams<S>& p, TriangulatedPoint<T>& point) {
  T* X = point.X;
  for (int j = 0; j < 3; ++j) X[j] = T(0);
  for (int j = 0; j < 6; ++j) point.information[j] = T(0);
  point.status = T(static_cast<int>(PointStatus::kTooFewViews));
  point.n_inliers = point.n_used;
  const mask_t<T> enough = point.n_used >= T(p.min_views);
  if (!any(enough)) return enough;
  const mask_t<T> choice = p.robust ? enough & (point.n_used > T(2)) : mask_t<T>(false);
  const mask_t<T> solved = enough & detail::solve_linear(cameras, o, X);
  detail::Linearized<T> now;
  const mask_t<T> front = detail::linearize(cameras, o, X, p.loss, p.loss_scale, kWeightB, kWeightA, &now);
  // A linear solution far from some view needs no refinement to be known as wrong, where there is a choice.
  const mask_t<T> worth = solved & ((now.n_near == point.n_used) | !choice);
  const detail::Refined<T> fit = detail::refine(cameras, o, p, worth, now, front, X, point.information);
  const T close = detail::measure(cameras, o, X);
  const mask_t<T> good = fit.converged & (close == point.n_used), alone = enough & !choice & !good;
  detail::set_status(good, PointStatus::kOk, &point.status);
  if (any(alone)) {
    const mask_t<T> wide = solved & detail::wide_enough(cameras, o, X, p.min_sine2, alone);
    const PointStatus disagree = p.robust ? PointStatus::kNoConsensus : PointStatus::kLargeResidual;
    detail::set_status(alone, disagree, &point.status);
    detail::set_status(alone & !fit.converged, PointStatus::kNotConverged, &point.status);
    detail::set_status(alone & fit.behind, PointStatus::kBehindCamera, &point.status);
    detail::set_status(alone & !wide, PointStatus::kIllConditioned, &point.status);
  }
  return choice & !good;
}

/// Chooses among the views in the active lanes; the other lanes of `point` stay.
template <class S, class T>
SPORTCORE_HD void triangulate_search(const TriangulateCamera<S>* cameras, const CameraPair* pairs,
                                     const Observations<T>& o, const TriangulateParams<S>& p,
                                     mask_t<T> active, TriangulatedPoint<T>& point) {
  T X[3];  // where the other lanes have their points, so that `measure` leaves them as they are
  for (int j = 0; j < 3; ++j) X[j] = select(active, T(0), point.X[j]);
  const detail::PairSearch<T> search = detail::search_pairs(cameras, pairs, o, p, active, point.n_used, X);
  T count = select(search.found, detail::measure(cameras, o, X), T(0));
  detail::choose(o, active & search.found, active);
  detail::step_and_choose(cameras, o, p, active & (count >= T(p.min_views)), X, &count);
  mask_t<T> going = active, fitted = active, behind(false);
  for (int round = 0; round < 4; ++round) {
    going = going & (count >= T(p.min_views));
    if (!any(going)) break;
    T at[3] = {X[0], X[1], X[2]};
    detail::Linearized<T> now;
    const mask_t<T> front = detail::linearize(cameras, o, at, p.loss, p.loss_scale, kWeightB, kWeightA, &now);
    const detail::Refined<T> fit = detail::refine(cameras, o, p, going, now, front, at, point.information);
    for (int j = 0; j < 3; ++j) X[j] = select(going, at[j], X[j]);
    fitted = fitted & (fit.converged | !going);
    behind = behind | fit.behind;
    detail::measure(cameras, o, X);
    mask_t<T> changed(false);
    T left = T(0);
    for (int c = 0; c < o.n_views; ++c) {
      const mask_t<T> chosen = o.at(c, kChosen) > T(0);
      const mask_t<T> agrees = round < 3 ? detail::agrees(o, c) : detail::agrees(o, c) & chosen;
      changed = changed | (agrees & !chosen) | (chosen & !agrees);
      const T now = select(going, select(agrees, T(1), T(0)), o.at(c, kChosen));
      o.at(c, kChosen) = now;
      left += now;
    }
    count = select(going, left, count);
    going = going & changed & fit.converged;
  }
  const mask_t<T> few = active & !(count >= T(p.min_views));
  detail::set_status(active, PointStatus::kOk, &point.status);
  detail::set_status(active & !fitted, PointStatus::kNotConverged, &point.status);
  detail::set_status(active & behind, PointStatus::kBehindCamera, &point.status);
  detail::set_status(few, PointStatus::kNoConsensus, &point.status);
  detail::set_status(few & search.any_behind & !search.found, PointStatus::kBehindCamera, &point.status);
  detail::set_status(few & !search.any_angle, PointStatus::kIllConditioned, &point.status);
  for (int j = 0; j < 3; ++j) point.X[j] = select(active, X[j], point.X[j]);
  point.n_inliers = select(active, count, point.n_inliers);
}

/// Covariance, the last checks, and NaN wherever the status is not OK. X is moved back to the caller's world.
template <class S, class T>
SPORTCORE_HD void triangulate_finish(const TriangulateCamera<S>* cameras, const Observations<T>& o,
                                     const TriangulateParams<S>& p, TriangulatedPoint<T>& point) {
  const T ok_value = T(static_cast<int>(PointStatus::kOk)), nan = T(nan_value<S>());
  mask_t<T> ok = point.status == ok_value;
  T covariance[6];
  const T quality = sym3_inverse(point.information, covariance);
  const mask_t<T> sound = (quality > T(0)) & detail::wide_enough(cameras, o, point.X, p.min_sine2, ok);
  detail::set_status(ok & !sound, PointStatus::kIllConditioned, &point.status);
  ok = ok & sound;
  for (int j = 0; j < 3; ++j) point.X[j] = select(ok, point.X[j] + p.center[j], nan);
  for (int j = 0; j < 6; ++j) point.information[j] = select(ok, covariance[j], nan);
  point.n_inliers = select(ok, point.n_inliers, T(0));
}

}  // namespace sportcore

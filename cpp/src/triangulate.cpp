// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/triangulate.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "device_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"
#include "triangulate_setup.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 2048;        // points a thread takes at a time
constexpr std::size_t kSampledPieces = 10;  // of which the residuals tell the deviation of observations
constexpr double kEnoughFreedom = 200;      // degrees of freedom that they must have for that

template <class T>
void check_call(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                std::size_t n_points, const TriangulateOutput<T>& out, const TriangulateOptions& options) {
  check(options);
  require(cameras != nullptr && n_cameras > 0, "triangulate: at least one camera is needed.");
  require(n_cameras <= kMaxViews,
          "triangulate: " + std::to_string(n_cameras) + " cameras are more than " +
              std::to_string(kMaxViews) + ".",
          "Triangulate with a subset of the rig.");
  require(n_points == 0 || (keypoints_px && out.xyz && out.status), "triangulate: an array is missing.");
}

double estimated_sigma(const std::vector<ResidualTally>& tallies, double otherwise) {
  double squares = 0, freedom = 0;
  for (const ResidualTally& t : tallies) {
    squares += t.squares;
    freedom += t.freedom;
  }
  return freedom >= kEnoughFreedom && squares > 0 ? std::sqrt(squares / freedom) : otherwise;
}

#if SPORTCORE_WITH_CUDA
template <class T>
void run_on_device(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                   const T* score, const T* sigma_px, std::size_t n_points, TriangulateOutput<T> out,
                   const TriangulateOptions& options) {
  const bool estimate = options.estimate_sigma && !sigma_px;
  std::vector<T> residual;
  std::vector<std::uint8_t> n_views;
  std::unique_ptr<bool[]> inlier;
  if (estimate && !out.residual_px) residual.resize(n_cameras * n_points), out.residual_px = residual.data();
  if (estimate && !out.n_views) n_views.resize(n_points), out.n_views = n_views.data();
  if (estimate && !out.inlier) inlier.reset(new bool[n_cameras * n_points]), out.inlier = inlier.get();
  cuda::triangulate_host(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options);
  double sigma = options.sigma_px;
  if (estimate) {
    ResidualTally tally;
    const std::size_t every = std::max<std::size_t>(1, n_points / (kSampledPieces * kGrain));
    for (std::size_t i = 0; i < n_points; i += every) {
      if (out.n_views[i] < 3) continue;
      tally.freedom += 2.0 * out.n_views[i] - 3.0;
      for (std::size_t c = 0; c < n_cameras; ++c)
        if (out.inlier[c * n_points + i]) tally.squares += square(double(out.residual_px[c * n_points + i]));
    }
    sigma = estimated_sigma({tally}, sigma);
    const T scale = T(square(sigma / options.sigma_px));
    for (std::size_t i = 0; out.covariance && i < 9 * n_points; ++i) out.covariance[i] *= scale;
  }
  if (out.sigma_px) *out.sigma_px = sigma;
}
#endif

template <class T>
void run(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px, const T* score,
         const T* sigma_px, std::size_t n_points, const TriangulateOutput<T>& out,
         const TriangulateOptions& options) {
  check_call(cameras, n_cameras, keypoints_px, n_points, out, options);
  if (options.cuda) {
    require_cuda();
#if SPORTCORE_WITH_CUDA
    run_on_device(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options);
    return;
#endif
  }
  const TriangulateSetup<T> setup = make_setup<T>(cameras, n_cameras, options);
  TriangulateCall<T> call{setup.cameras.data(),
                          setup.pairs.data(),
                          static_cast<int>(n_cameras),
                          keypoints_px,
                          score,
                          sigma_px,
                          n_points,
                          setup.params,
                          out,
                          T(1)};
  const auto range = kernels().of<T>().triangulate;
  const std::size_t pieces = (n_points + kGrain - 1) / kGrain;
  const auto end_of = [&](std::size_t piece) { return std::min(n_points, (piece + 1) * kGrain); };
  if (!options.estimate_sigma || sigma_px) {
    if (out.sigma_px) *out.sigma_px = options.sigma_px;
    parallel_for(pieces, 1, options.num_threads, [&](std::size_t first, std::size_t last) {
      for (std::size_t k = first; k < last; ++k) range(call, k * kGrain, end_of(k), nullptr);
    });
    return;
  }
  // Some pieces, evenly spread, tell the deviation; their covariances are scaled afterwards.
  const std::size_t every = std::max<std::size_t>(1, pieces / kSampledPieces);
  const std::size_t n_sampled = (pieces + every - 1) / every;
  std::vector<ResidualTally> tallies(n_sampled);
  parallel_for(n_sampled, 1, options.num_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t k = first; k < last; ++k)
      range(call, k * every * kGrain, end_of(k * every), &tallies[k]);
  });
  const double sigma = estimated_sigma(tallies, options.sigma_px);
  if (out.sigma_px) *out.sigma_px = sigma;
  call.covariance_scale = T(square(sigma / options.sigma_px));
  parallel_for(pieces, 1, options.num_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t k = first; k < last; ++k) {
      if (k % every != 0) {
        range(call, k * kGrain, end_of(k), nullptr);
      } else if (out.covariance) {
        for (std::size_t i = 9 * k * kGrain; i < 9 * end_of(k); ++i)
          out.covariance[i] *= call.covariance_scale;
      }
    }
  });
}

}  // namespace

void check(const TriangulateOptions& o) {
  require(o.max_reprojection_error_px > 0, "TriangulateOptions: max_reprojection_error_px must be positive.");
  require(o.sigma_px > 0, "TriangulateOptions: sigma_px must be positive.");
  require(o.inlier_sigmas >= 0, "TriangulateOptions: inlier_sigmas must not be negative.");
  require(o.min_score >= 0 && o.min_score <= 1, "TriangulateOptions: min_score must lie in [0, 1].");
  require(o.min_views >= 2 && o.min_views <= kMaxViews, "TriangulateOptions: min_views must lie in [2, 64].");
  require(o.min_angle_deg > 0 && o.min_angle_deg < 90,
          "TriangulateOptions: min_angle_deg must lie in (0, 90).");
  require(o.loss_scale_sigmas > 0, "TriangulateOptions: loss_scale_sigmas must be positive.");
  require(o.max_iterations > 0, "TriangulateOptions: max_iterations must be positive.");
}

void triangulate(const Camera<double>* cameras, std::size_t n_cameras, const double* keypoints_px,
                 const double* score, const double* sigma_px, std::size_t n_points,
                 const TriangulateOutput<double>& out, const TriangulateOptions& options) {
  run<double>(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options);
}

void triangulate(const Camera<double>* cameras, std::size_t n_cameras, const float* keypoints_px,
                 const float* score, const float* sigma_px, std::size_t n_points,
                 const TriangulateOutput<float>& out, const TriangulateOptions& options) {
  run<float>(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options);
}

template <class T>
void triangulate_cuda(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                      const T* score, const T* sigma_px, std::size_t n_points,
                      const TriangulateOutput<T>& out, const TriangulateOptions& options, void* stream) {
  check_call(cameras, n_cameras, keypoints_px, n_points, out, options);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::triangulate_device<T>(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options,
                              stream);
#else
  (void)score, (void)sigma_px, (void)stream;
#endif
}

template SPORTCORE_API void triangulate_cuda<float>(const Camera<double>*, std::size_t, const float*,
                                                    const float*, const float*, std::size_t,
                                                    const TriangulateOutput<float>&,
                                                    const TriangulateOptions&, void*);
template SPORTCORE_API void triangulate_cuda<double>(const Camera<double>*, std::size_t, const double*,
                                                     const double*, const double*, std::size_t,
                                                     const TriangulateOutput<double>&,
                                                     const TriangulateOptions&, void*);

}  // namespace sportcore

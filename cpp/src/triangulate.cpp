// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/triangulate.h"

#include "device_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"
#include "triangulate_setup.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 4096;

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

template <class T>
void run(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px, const T* score,
         const T* sigma_px, std::size_t n_points, const TriangulateOutput<T>& out,
         const TriangulateOptions& options) {
  check_call(cameras, n_cameras, keypoints_px, n_points, out, options);
  if (options.cuda) {
    require_cuda();
#if SPORTCORE_WITH_CUDA
    cuda::triangulate_host(cameras, n_cameras, keypoints_px, score, sigma_px, n_points, out, options);
    return;
#endif
  }
  const TriangulateSetup<T> setup = make_setup<T>(cameras, n_cameras, options);
  const TriangulateCall<T> call{setup.cameras.data(),
                                setup.pairs.data(),
                                static_cast<int>(n_cameras),
                                keypoints_px,
                                score,
                                sigma_px,
                                n_points,
                                setup.params,
                                out};
  const auto range = kernels().of<T>().triangulate;
  parallel_for(n_points, kGrain, options.num_threads,
               [&](std::size_t begin, std::size_t end) { range(call, begin, end); });
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

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/reproject.h"

#include <vector>

#include "device_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 16384;

template <class T>
void check_arrays(const void* cameras, std::size_t n_cameras, const T* points, std::size_t n_points,
                  const T* out) {
  require(cameras != nullptr && n_cameras > 0, "reproject: at least one camera is needed.");
  require(n_points == 0 || (points != nullptr && out != nullptr), "reproject: an array is missing.");
}

/// Runs body(camera, camera index, begin, end) over all cameras and points.
template <class T, class Body>
void for_all(const Camera<double>* cameras, std::size_t n_cameras, std::size_t n_points, int num_threads,
             Body body) {
  const std::size_t pieces = (n_points + kGrain - 1) / kGrain;
  parallel_for(n_cameras * pieces, 1, num_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t k = first; k < last; ++k) {
      const std::size_t c = k / pieces, begin = (k % pieces) * kGrain;
      body(camera_cast<T>(cameras[c]), c, begin, begin + kGrain < n_points ? begin + kGrain : n_points);
    }
  });
}

template <class T>
void run(const Camera<double>* cameras, std::size_t n_cameras, const T* points, std::size_t n_points,
         const T* observed, T* out, const ReprojectOptions& options, T* J_point = nullptr,
         T* J_pose = nullptr) {
  check_arrays(cameras, n_cameras, points, n_points, out);
  if (options.cuda) {
    require_cuda();
#if SPORTCORE_WITH_CUDA
    cuda::reproject_host(cameras, n_cameras, points, n_points, observed, out);
    return;
#endif
  }
  const auto range = kernels().of<T>().reproject;
  for_all<T>(cameras, n_cameras, n_points, options.num_threads,
             [&](const Camera<T>& camera, std::size_t c, std::size_t begin, std::size_t end) {
               const std::size_t row = c * n_points;
               const ReprojectCall<T> call{points, observed ? observed + 2 * row : nullptr, out + 2 * row,
                                           J_point ? J_point + 6 * row : nullptr,
                                           J_pose ? J_pose + 12 * row : nullptr};
               range(camera, call, begin, end);
             });
}

}  // namespace

void reproject(const Camera<double>* cameras, std::size_t n_cameras, const double* points_world_m,
               std::size_t n_points, double* uv_px, const ReprojectOptions& options) {
  run<double>(cameras, n_cameras, points_world_m, n_points, nullptr, uv_px, options);
}

void reproject(const Camera<double>* cameras, std::size_t n_cameras, const float* points_world_m,
               std::size_t n_points, float* uv_px, const ReprojectOptions& options) {
  run<float>(cameras, n_cameras, points_world_m, n_points, nullptr, uv_px, options);
}

void reproject_residuals(const Camera<double>* cameras, std::size_t n_cameras, const double* points_world_m,
                         std::size_t n_points, const double* observed_px, double* residual_px,
                         const ReprojectOptions& options) {
  require(n_points == 0 || observed_px != nullptr, "reproject_residuals: observed_px is missing.");
  run<double>(cameras, n_cameras, points_world_m, n_points, observed_px, residual_px, options);
}

void reproject_residuals(const Camera<double>* cameras, std::size_t n_cameras, const float* points_world_m,
                         std::size_t n_points, const float* observed_px, float* residual_px,
                         const ReprojectOptions& options) {
  require(n_points == 0 || observed_px != nullptr, "reproject_residuals: observed_px is missing.");
  run<float>(cameras, n_cameras, points_world_m, n_points, observed_px, residual_px, options);
}

void reproject_jacobians(const Camera<double>* cameras, std::size_t n_cameras, const double* points_world_m,
                         std::size_t n_points, double* uv_px, double* J_point, double* J_pose,
                         const ReprojectOptions& options) {
  require(!options.cuda, "reproject_jacobians runs on the CPU only.");
  run<double>(cameras, n_cameras, points_world_m, n_points, nullptr, uv_px, options, J_point, J_pose);
}

void reproject_jacobians(const Camera<double>* cameras, std::size_t n_cameras, const float* points_world_m,
                         std::size_t n_points, float* uv_px, float* J_point, float* J_pose,
                         const ReprojectOptions& options) {
  require(!options.cuda, "reproject_jacobians runs on the CPU only.");
  run<float>(cameras, n_cameras, points_world_m, n_points, nullptr, uv_px, options, J_point, J_pose);
}

template <class T>
void reproject_cuda(const Camera<double>* cameras, std::size_t n_cameras, const T* device_points_world_m,
                    std::size_t n_points, T* device_uv_px, void* stream) {
  check_arrays(cameras, n_cameras, device_points_world_m, n_points, device_uv_px);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::reproject_device<T>(cameras, n_cameras, device_points_world_m, n_points, nullptr, device_uv_px,
                            stream);
#else
  (void)stream;
#endif
}

template SPORTCORE_API void reproject_cuda<float>(const Camera<double>*, std::size_t, const float*,
                                                  std::size_t, float*, void*);
template SPORTCORE_API void reproject_cuda<double>(const Camera<double>*, std::size_t, const double*,
                                                   std::size_t, double*, void*);

}  // namespace sportcore

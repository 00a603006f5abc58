// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/project_backward.h"

#include <limits>

#include "camera_rows.h"
#include "gradient_calls.h"
#include "gradient_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/reproject.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 8192;

template <class T>
void check_call(const CameraRows& cameras, const T* points, std::size_t n_points, const void* other) {
  check_rows(cameras, "project", std::numeric_limits<int>::max());
  require(n_points == 0 || (points != nullptr && other != nullptr), "project: an array is missing.");
}

}  // namespace

template <class T>
void project_rows(const CameraRows& cameras, const T* points_world_m, std::size_t n_points, T* uv_px,
                  int num_threads) {
  check_call(cameras, points_world_m, n_points, uv_px);
  std::vector<Camera<double>> rig(cameras.n_cameras);
  for (std::size_t c = 0; c < rig.size(); ++c)
    rig[c] = camera_from_row(cameras.parameters + kCameraParameters * c, cameras.models[c]);
  ReprojectOptions options;
  options.num_threads = num_threads;
  reproject(rig.data(), rig.size(), points_world_m, n_points, uv_px, options);
}

template <class T>
void project_rows_cuda(const CameraRows& cameras, const T* points_world_m, std::size_t n_points, T* uv_px,
                       void* stream) {
  check_call(cameras, points_world_m, n_points, uv_px);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::project_rows_device<T>(cameras, points_world_m, n_points, uv_px, stream);
#else
  (void)stream;
#endif
}

template <class T>
void project_backward(const CameraRows& cameras, const T* points_world_m, std::size_t n_points,
                      const T* grad_uv, T* grad_points, double* grad_cameras, int num_threads) {
  check_call(cameras, points_world_m, n_points, grad_uv);
  std::vector<Camera<T>> rig(cameras.n_cameras);
  for (std::size_t c = 0; c < rig.size(); ++c)
    rig[c] = camera_cast<T>(camera_from_row(cameras.parameters + kCameraParameters * c, cameras.models[c]));
  const ProjectBackwardCall<T> call{
      rig.data(), static_cast<int>(rig.size()), points_world_m, grad_uv, n_points, grad_points};
  const auto range = kernels().of<T>().project_backward;
  parallel_sums(n_points, kGrain, num_threads, rig.size() * kCameraParameters, grad_cameras,
                [&](std::size_t begin, std::size_t end, double* sums) { range(call, begin, end, sums); });
}

template <class T>
void project_backward_cuda(const CameraRows& cameras, const T* points_world_m, std::size_t n_points,
                           const T* grad_uv, T* grad_points, double* grad_cameras, void* stream) {
  check_call(cameras, points_world_m, n_points, grad_uv);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::project_backward_device<T>(cameras, points_world_m, n_points, grad_uv, grad_points, grad_cameras,
                                   stream);
#else
  (void)grad_points, (void)grad_cameras, (void)stream;
#endif
}

#define SPORTCORE_INSTANTIATE(T)                                                                           \
  template SPORTCORE_API void project_rows<T>(const CameraRows&, const T*, std::size_t, T*, int);          \
  template SPORTCORE_API void project_rows_cuda<T>(const CameraRows&, const T*, std::size_t, T*, void*);   \
  template SPORTCORE_API void project_backward<T>(const CameraRows&, const T*, std::size_t, const T*, T*,  \
                                                  double*, int);                                           \
  template SPORTCORE_API void project_backward_cuda<T>(const CameraRows&, const T*, std::size_t, const T*, \
                                                       T*, double*, void*);
SPORTCORE_INSTANTIATE(float)
SPORTCORE_INSTANTIATE(double)
#undef SPORTCORE_INSTANTIATE

}  // namespace sportcore

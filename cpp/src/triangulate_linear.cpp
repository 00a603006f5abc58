// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/triangulate_linear.h"

#include "camera_rows.h"
#include "gradient_calls.h"
#include "gradient_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/triangulate_backward.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 8192;

void check_call(const CameraRows& cameras, const TriangulateLinearOptions& options, std::size_t n_points,
                bool complete) {
  check_rows(cameras, "triangulate_linear", kMaxViews);
  require(options.iterations >= 0 && options.iterations <= kMaxLinearIterations,
          "TriangulateLinearOptions: iterations must be 0, 1 or 2.");
  require(n_points == 0 || complete, "triangulate_linear: an array is missing.");
}

template <class T>
struct Prepared {
  std::vector<LinearCamera<T>> rig;
  std::array<double, 3> center;
  TriangulateLinearCall<T> call{};
};

template <class T>
Prepared<T> prepare(const CameraRows& cameras, const T* keypoints_px, const T* weight, std::size_t n_points,
                    int iterations) {
  Prepared<T> p;
  p.center = middle_of_rows(cameras);
  p.rig.resize(cameras.n_cameras);
  for (std::size_t c = 0; c < p.rig.size(); ++c)
    p.rig[c] =
        linear_camera<T>(cameras.parameters + kCameraParameters * c, cameras.models[c], p.center.data());
  p.call.cameras = p.rig.data();
  p.call.n_cameras = static_cast<int>(p.rig.size());
  p.call.keypoints_px = keypoints_px;
  p.call.weight = weight;
  p.call.n_points = n_points;
  p.call.iterations = iterations;
  for (int k = 0; k < 3; ++k) p.call.center[k] = T(p.center[k]);
  return p;
}

}  // namespace

template <class T>
void triangulate_linear(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                        std::size_t n_points, T* xyz, const TriangulateLinearOptions& options) {
  check_call(cameras, options, n_points, keypoints_px && xyz);
  Prepared<T> p = prepare(cameras, keypoints_px, weight, n_points, options.iterations);
  p.call.xyz = xyz;
  const auto range = kernels().of<T>().triangulate_linear;
  parallel_for(n_points, kGrain, options.num_threads,
               [&](std::size_t begin, std::size_t end) { range(p.call, begin, end); });
}

template <class T>
void triangulate_linear_cuda(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                             std::size_t n_points, T* xyz, const TriangulateLinearOptions& options,
                             void* stream) {
  check_call(cameras, options, n_points, keypoints_px && xyz);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::triangulate_linear_device<T>(cameras, keypoints_px, weight, n_points, xyz, options.iterations,
                                     stream);
#else
  (void)weight, (void)stream;
#endif
}

template <class T>
void triangulate_linear_backward(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                 std::size_t n_points, const T* grad_xyz,
                                 const TriangulateLinearGradient<T>& out,
                                 const TriangulateLinearOptions& options) {
  check_call(cameras, options, n_points, keypoints_px && grad_xyz);
  Prepared<T> p = prepare(cameras, keypoints_px, weight, n_points, options.iterations);
  p.call.grad_xyz = grad_xyz;
  p.call.grad_keypoints_px = out.keypoints_px;
  p.call.grad_weight = out.weight;
  const auto range = kernels().of<T>().triangulate_linear_backward;
  parallel_sums(n_points, kGrain, options.num_threads, p.rig.size() * kCameraParameters, out.cameras,
                [&](std::size_t begin, std::size_t end, double* sums) { range(p.call, begin, end, sums); });
  if (out.cameras)
    for (std::size_t c = 0; c < p.rig.size(); ++c)
      move_gradient(p.center.data(), out.cameras + kCameraParameters * c);
}

template <class T>
void triangulate_linear_backward_cuda(const CameraRows& cameras, const T* keypoints_px, const T* weight,
                                      std::size_t n_points, const T* grad_xyz,
                                      const TriangulateLinearGradient<T>& out,
                                      const TriangulateLinearOptions& options, void* stream) {
  check_call(cameras, options, n_points, keypoints_px && grad_xyz);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::triangulate_linear_backward_device<T>(cameras, keypoints_px, weight, n_points, grad_xyz, out,
                                              options.iterations, stream);
#else
  (void)weight, (void)out, (void)stream;
#endif
}

// ---- robust triangulation
// --------------------------------------------------------------------------------------

namespace {

void check_backward(const CameraRows& cameras, const TriangulateOptions& options, std::size_t n_points,
                    bool complete) {
  check_rows(cameras, "triangulate_backward", kMaxViews);
  check(options);
  require(n_points == 0 || complete, "triangulate_backward: an array is missing.");
}

}  // namespace

template <class T>
void triangulate_backward(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px, const T* xyz,
                          const bool* inlier, std::size_t n_points, const T* grad_xyz, T* grad_keypoints_px,
                          T* grad_sigma_px, const TriangulateOptions& options) {
  check_backward(cameras, options, n_points, keypoints_px && xyz && inlier && grad_xyz && grad_keypoints_px);
  const std::array<double, 3> center = middle_of_rows(cameras);
  std::vector<Camera<T>> rig(cameras.n_cameras);
  for (std::size_t c = 0; c < rig.size(); ++c)
    rig[c] =
        linear_camera<T>(cameras.parameters + kCameraParameters * c, cameras.models[c], center.data()).camera;
  TriangulateBackwardCall<T> call{};
  call.cameras = rig.data();
  call.n_cameras = static_cast<int>(rig.size());
  call.keypoints_px = keypoints_px;
  call.sigma_px = sigma_px;
  call.xyz = xyz;
  call.inlier = inlier;
  call.grad_xyz = grad_xyz;
  call.n_points = n_points;
  for (int k = 0; k < 3; ++k) call.center[k] = T(center[k]);
  call.sigma = T(options.sigma_px);
  call.scale = T(options.loss_scale_sigmas);
  call.loss = options.loss;
  call.grad_keypoints_px = grad_keypoints_px;
  call.grad_sigma_px = grad_sigma_px;
  const auto range = kernels().of<T>().triangulate_backward;
  parallel_for(n_points, kGrain, options.num_threads,
               [&](std::size_t begin, std::size_t end) { range(call, begin, end); });
}

template <class T>
void triangulate_backward_cuda(const CameraRows& cameras, const T* keypoints_px, const T* sigma_px,
                               const T* xyz, const bool* inlier, std::size_t n_points, const T* grad_xyz,
                               T* grad_keypoints_px, T* grad_sigma_px, const TriangulateOptions& options,
                               void* stream) {
  check_backward(cameras, options, n_points, keypoints_px && xyz && inlier && grad_xyz && grad_keypoints_px);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::triangulate_backward_device<T>(cameras, keypoints_px, sigma_px, xyz, inlier, n_points, grad_xyz,
                                       grad_keypoints_px, grad_sigma_px, options, stream);
#else
  (void)sigma_px, (void)grad_sigma_px, (void)stream;
#endif
}

#define SPORTCORE_INSTANTIATE(T)                                                                             \
  template SPORTCORE_API void triangulate_linear<T>(const CameraRows&, const T*, const T*, std::size_t, T*,  \
                                                    const TriangulateLinearOptions&);                        \
  template SPORTCORE_API void triangulate_linear_cuda<T>(const CameraRows&, const T*, const T*, std::size_t, \
                                                         T*, const TriangulateLinearOptions&, void*);        \
  template SPORTCORE_API void triangulate_linear_backward<T>(                                                \
      const CameraRows&, const T*, const T*, std::size_t, const T*, const TriangulateLinearGradient<T>&,     \
      const TriangulateLinearOptions&);                                                                      \
  template SPORTCORE_API void triangulate_linear_backward_cuda<T>(                                           \
      const CameraRows&, const T*, const T*, std::size_t, const T*, const TriangulateLinearGradient<T>&,     \
      const TriangulateLinearOptions&, void*);                                                               \
  template SPORTCORE_API void triangulate_backward<T>(const CameraRows&, const T*, const T*, const T*,       \
                                                      const bool*, std::size_t, const T*, T*, T*,            \
                                                      const TriangulateOptions&);                            \
  template SPORTCORE_API void triangulate_backward_cuda<T>(const CameraRows&, const T*, const T*, const T*,  \
                                                           const bool*, std::size_t, const T*, T*, T*,       \
                                                           const TriangulateOptions&, void*);
SPORTCORE_INSTANTIATE(float)
SPORTCORE_INSTANTIATE(double)
#undef SPORTCORE_INSTANTIATE

}  // namespace sportcore

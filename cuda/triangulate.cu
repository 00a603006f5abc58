// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "buffer.cuh"
#include "device_launch.h"
#include "triangulate_setup.h"

namespace sportcore::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::size_t kMaxBlocks = 1 << 20;

/// One thread per point. The point's observations live in local memory, of which kViews sets the size.
template <class T, int kViews>
__global__ void __launch_bounds__(kThreads)
    triangulate_kernel(const TriangulateCamera<T>* __restrict__ cameras, int n_cameras,
                       const T* __restrict__ keypoints_px, const T* __restrict__ score,
                       const T* __restrict__ sigma_px, std::size_t n, const TriangulateParams<T> params,
                       const TriangulateOutput<T> out) {
  __shared__ TriangulateCamera<T> rig[kViews];
  for (int c = threadIdx.x; c < n_cameras; c += kThreads) rig[c] = cameras[c];
  __syncthreads();
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    TriangulatedPoint<T> point;
    triangulate_point<T, kViews>(rig, n_cameras, keypoints_px, score, sigma_px, n, i, params, point,
                                 out.residual_px);
    store_point(point, out, n_cameras, n, i);
  }
}

}  // namespace

template <class T>
void triangulate_device(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                        const T* score, const T* sigma_px, std::size_t n_points,
                        const TriangulateOutput<T>& out, const TriangulateOptions& options, void* stream) {
  if (n_points == 0) return;
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  const TriangulateSetup<T> setup = make_setup<T>(cameras, n_cameras, options);
  const Buffer<TriangulateCamera<T>> rig(setup.cameras.data(), n_cameras, s);
  const unsigned blocks = static_cast<unsigned>(std::min((n_points + kThreads - 1) / kThreads, kMaxBlocks));
  const auto launch = [&](auto kernel) {
    kernel<<<blocks, kThreads, 0, s>>>(rig.get(), static_cast<int>(n_cameras), keypoints_px, score, sigma_px,
                                       n_points, setup.params, out);
    check(cudaGetLastError(), "starting triangulate");
  };
  if (n_cameras <= 4) {
    launch(triangulate_kernel<T, 4>);
  } else if (n_cameras <= 8) {
    launch(triangulate_kernel<T, 8>);
  } else if (n_cameras <= 16) {
    launch(triangulate_kernel<T, 16>);
  } else {
    launch(triangulate_kernel<T, kMaxViews>);
  }
}

template <class T>
void triangulate_host(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                      const T* score, const T* sigma_px, std::size_t n_points,
                      const TriangulateOutput<T>& out, const TriangulateOptions& options) {
  const Stream stream;
  const cudaStream_t s = stream.get();
  const std::size_t n = n_points, views = n_cameras * n_points;
  const Buffer<T> xy(keypoints_px, 2 * views, s), scores(score, views, s), sigmas(sigma_px, views, s);
  const Buffer<T> xyz(3 * n, s), covariance(out.covariance ? 9 * n : 0, s),
      residual(out.residual_px ? views : 0, s);
  const Buffer<std::uint8_t> status(n, s), n_views(out.n_views ? n : 0, s);
  const Buffer<bool> inlier(out.inlier ? views : 0, s);
  TriangulateOutput<T> device;
  device.xyz = xyz.get();
  device.status = status.get();
  device.covariance = covariance.get();
  device.residual_px = residual.get();
  device.inlier = inlier.get();
  device.n_views = n_views.get();
  triangulate_device<T>(cameras, n_cameras, xy.get(), scores.get(), sigmas.get(), n, device, options, s);
  xyz.copy_out(out.xyz, 3 * n);
  status.copy_out(out.status, n);
  covariance.copy_out(out.covariance, 9 * n);
  residual.copy_out(out.residual_px, views);
  inlier.copy_out(out.inlier, views);
  n_views.copy_out(out.n_views, n);
  stream.wait();
}

template void triangulate_device<float>(const Camera<double>*, std::size_t, const float*, const float*,
                                        const float*, std::size_t, const TriangulateOutput<float>&,
                                        const TriangulateOptions&, void*);
template void triangulate_device<double>(const Camera<double>*, std::size_t, const double*, const double*,
                                         const double*, std::size_t, const TriangulateOutput<double>&,
                                         const TriangulateOptions&, void*);
template void triangulate_host<float>(const Camera<double>*, std::size_t, const float*, const float*,
                                      const float*, std::size_t, const TriangulateOutput<float>&,
                                      const TriangulateOptions&);
template void triangulate_host<double>(const Camera<double>*, std::size_t, const double*, const double*,
                                       const double*, std::size_t, const TriangulateOutput<double>&,
                                       const TriangulateOptions&);

}  // namespace sportcore::cuda

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "buffer.cuh"
#include "device_launch.h"
#include "triangulate_setup.h"

namespace sportcore::cuda {
namespace {

constexpr std::size_t kMaxBlocks = 1 << 20;
constexpr std::size_t kSharedBudget = 48 * 1024;  // bytes of a block that no launch attribute has to ask for

/// What all points share travels as an argument of the kernel, in the constant bank: no copy to wait for, no
/// workspace.
template <class S, int kViews>
struct RigArgument {
  TriangulateCamera<S> cameras[kViews];
  CameraPair pairs[kMaxPairs];
  TriangulateParams<S> params;
};

/// Threads of a block: as many as the observations in shared memory leave room for.
template <class S>
int block_threads(std::size_t n_cameras) {
  const std::size_t per_thread = kObservationFields * n_cameras * sizeof(S);
  std::size_t threads = 128;
  while (threads > 32 && threads * per_thread > kSharedBudget) threads /= 2;
  return static_cast<int>(threads);
}

/// One thread per point. The observations of a block's points lie in shared memory; neighbouring threads read
/// neighbouring points, and their fields lie in neighbouring banks. The bounds leave 128 and 255 registers.
template <class S, int kViews>
__global__ void __launch_bounds__(128, sizeof(S) == 4 ? 4 : 2)
    triangulate_kernel(const __grid_constant__ RigArgument<S, kViews> rig, int n_cameras,
                       const S* __restrict__ keypoints_px, const S* __restrict__ score,
                       const S* __restrict__ sigma_px, std::size_t n, const TriangulateOutput<S> out) {
  extern __shared__ __align__(16) unsigned char shared[];
  const TriangulateCamera<S>* cameras = rig.cameras;
  const TriangulateParams<S>& params = rig.params;
  const Observations<S> o{reinterpret_cast<S*>(shared) + threadIdx.x, static_cast<std::ptrdiff_t>(blockDim.x),
                          n_cameras};
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
    TriangulatedPoint<S> point;
    point.n_used = S(0);
    for (int c = 0; c < n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      const S sigma = sigma_px ? sigma_px[at] : S(1);
      if (prepare_view(cameras[c], params, keypoints_px[2 * at], keypoints_px[2 * at + 1],
                       score ? score[at] : S(1), sigma_px ? &sigma : nullptr, o, c))
        point.n_used += S(1);
    }
    if (triangulate_direct(cameras, o, params, point))
      triangulate_search(cameras, rig.pairs, o, params, true, point);
    triangulate_finish(cameras, o, params, point);
    for (int k = 0; k < 3; ++k) out.xyz[3 * i + k] = point.X[k];
    out.status[i] = static_cast<std::uint8_t>(point.status);
    if (out.n_views) out.n_views[i] = static_cast<std::uint8_t>(point.n_inliers);
    if (out.covariance) {
      const int from[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
#pragma unroll
      for (int k = 0; k < 9; ++k) out.covariance[9 * i + k] = point.information[from[k]];
    }
    for (int c = 0; c < n_cameras; ++c) {
      const std::size_t at = static_cast<std::size_t>(c) * n + i;
      if (out.residual_px) out.residual_px[at] = residual_px(o, point, c);
      if (out.inlier) out.inlier[at] = is_inlier(o, point, c);
    }
  }
}

template <class T, int kViews>
void launch(const TriangulateSetup<T>& setup, const T* keypoints_px, const T* score, const T* sigma_px,
            std::size_t n_points, const TriangulateOutput<T>& out, cudaStream_t stream) {
  RigArgument<T, kViews> rig;
  std::copy(setup.cameras.begin(), setup.cameras.end(), rig.cameras);
  std::copy(setup.pairs.begin(), setup.pairs.end(), rig.pairs);
  rig.params = setup.params;
  const std::size_t n_cameras = setup.cameras.size();
  const int threads = block_threads<T>(n_cameras);
  const std::size_t shared = kObservationFields * n_cameras * sizeof(T) * threads;
  if (shared > kSharedBudget)
    check(cudaFuncSetAttribute(triangulate_kernel<T, kViews>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "asking for shared memory");
  const unsigned blocks = static_cast<unsigned>(std::min((n_points + threads - 1) / threads, kMaxBlocks));
  triangulate_kernel<T, kViews><<<blocks, threads, shared, stream>>>(
      rig, static_cast<int>(n_cameras), keypoints_px, score, sigma_px, n_points, out);
  check(cudaGetLastError(), "starting triangulate");
}

}  // namespace

template <class T>
void triangulate_device(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                        const T* score, const T* sigma_px, std::size_t n_points,
                        const TriangulateOutput<T>& out, const TriangulateOptions& options, void* stream) {
  if (n_points == 0) return;
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  const TriangulateSetup<T> setup = make_setup<T>(cameras, n_cameras, options);
  if (n_cameras <= 16)
    launch<T, 16>(setup, keypoints_px, score, sigma_px, n_points, out, s);
  else
    launch<T, kMaxViews>(setup, keypoints_px, score, sigma_px, n_points, out, s);
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

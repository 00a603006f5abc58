// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include "sportcore/triangulator.h"

#include <algorithm>
#include <string>

#include "kernels.h"
#include "sportcore/error.h"
#include "sportcore/parallel.h"
#include "triangulate_setup.h"

namespace sportcore {
namespace {

constexpr std::size_t kGrain = 2048;  // as in triangulate(): the same points share a register

}  // namespace

template <class T>
struct Triangulator<T>::Prepared {
  TriangulateSetup<T> setup;
  TriangulateOptions options;
};

template <class T>
Triangulator<T>::Triangulator(const Camera<double>* cameras, std::size_t n_cameras,
                              const TriangulateOptions& options) {
  check(options);
  require(cameras != nullptr && n_cameras > 0, "Triangulator: at least one camera is needed.");
  require(n_cameras <= kMaxViews,
          "Triangulator: " + std::to_string(n_cameras) + " cameras are more than " +
              std::to_string(kMaxViews) + ".",
          "Triangulate with a subset of the rig.");
  require(!options.estimate_sigma, "Triangulator: single frames are too few to estimate sigma from.",
          "State sigma_px.");
  require(!options.cuda, "Triangulator runs on the CPU only.", "Use triangulate or triangulate_cuda.");
  resolve_threads(options.num_threads);  // refuses negative numbers
  prepared_.reset(new Prepared{make_setup<T>(cameras, n_cameras, options), options});
}

template <class T>
Triangulator<T>::~Triangulator() = default;
template <class T>
Triangulator<T>::Triangulator(Triangulator&&) noexcept = default;
template <class T>
Triangulator<T>& Triangulator<T>::operator=(Triangulator&&) noexcept = default;

template <class T>
void Triangulator<T>::operator()(const T* keypoints_px, const T* score, const T* sigma_px,
                                 std::size_t n_points, const TriangulateOutput<T>& out) const {
  if (n_points == 0) return;
  if (!(keypoints_px && out.xyz && out.status)) throw InputError("Triangulator: an array is missing.");
  const Prepared& p = *prepared_;
  TriangulateCall<T> call{};
  call.cameras = p.setup.cameras.data();
  call.pairs = p.setup.pairs.data();
  call.n_cameras = static_cast<int>(p.setup.cameras.size());
  call.keypoints_px = keypoints_px;
  call.score = score;
  call.sigma_px = sigma_px;
  call.n_points = n_points;
  call.params = p.setup.params;
  call.out = out;
  call.covariance_scale = T(1);
  if (out.sigma_px) *out.sigma_px = p.options.sigma_px;
  const auto range = kernels().of<T>().triangulate;
  if (n_points <= kInlinePoints || p.options.num_threads == 1) {
    for (std::size_t begin = 0; begin < n_points; begin += kGrain)
      range(call, begin, std::min(n_points, begin + kGrain), nullptr);
  } else {
    parallel_for(n_points, kGrain, p.options.num_threads,
                 [&](std::size_t begin, std::size_t end) { range(call, begin, end, nullptr); });
  }
}

template <class T>
std::size_t Triangulator<T>::num_cameras() const noexcept {
  return prepared_->setup.cameras.size();
}

template <class T>
const TriangulateOptions& Triangulator<T>::options() const noexcept {
  return prepared_->options;
}

template class Triangulator<float>;
template class Triangulator<double>;

}  // namespace sportcore

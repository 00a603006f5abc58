// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <new>
#include <vector>

#include "device_launch.h"
#include "kernels.h"
#include "sportcore/device.h"
#include "sportcore/error.h"
#include "sportcore/mesh.h"
#include "sportcore/parallel.h"

namespace sportcore {
namespace {

constexpr std::size_t kFrameGroup = 64;     // frames whose sums over frames are formed in one go
constexpr std::size_t kChunk = 1024;        // vertices of a piece of work, at least
constexpr std::size_t kSerialWork = 32768;  // vertices times frames below which threads do not pay

/// Numbers without a value, aligned to cache lines.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::size_t n)
      : data_(n ? static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))) : nullptr) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(data_, std::align_val_t(64)); }
  T* get() const { return data_; }

 private:
  T* data_;
};

/// Consecutive frames that one kernel takes: a block in lanes, or some frames in rows one after the other.
struct Unit {
  std::size_t first;
  int count;
  bool rows;
  std::size_t at;  // of its transforms in the arranged array
};

/// How the frames of a call are laid out for the kernels.
struct Plan {
  std::vector<Unit> units;
  std::size_t units_per_group = 1, groups = 0, arranged = 0, chunk = kChunk, chunks = 0;
  int num_threads = 0;
};

Plan make_plan(std::size_t n_vertices, std::size_t n_bones, std::size_t n_frames, int lanes,
               int num_threads) {
  Plan p;
  const std::size_t width = static_cast<std::size_t>(lanes);
  for (std::size_t first = 0; first < n_frames; first += width) {
    const std::size_t count = std::min(width, n_frames - first);
    // a block costs the same however many of its lanes are in use
    const bool rows = count < width && 4 * count <= width + 3;
    p.units.push_back({first, static_cast<int>(count), rows, p.arranged});
    p.arranged += n_bones * (rows ? 16 * count : 12 * width);
  }
  p.units_per_group = std::max<std::size_t>(1, kFrameGroup / width);
  p.groups = (p.units.size() + p.units_per_group - 1) / p.units_per_group;
  const std::size_t wanted = (n_vertices * std::max<std::size_t>(1, p.groups) + 15) / 16;
  p.chunk = std::min(std::max(kChunk, wanted), std::max<std::size_t>(n_vertices, 1));
  p.chunk = (p.chunk + kSkinTile - 1) / kSkinTile * kSkinTile;
  p.chunks = (n_vertices + p.chunk - 1) / p.chunk;
  p.num_threads = n_vertices * n_frames < kSerialWork ? 1 : num_threads;
  return p;
}

template <class T>
void arrange(const Plan& plan, const KernelsOf<T>& kernels, std::size_t n_bones, const T* transforms,
             T* arranged) {
  const std::size_t n = 12 * n_bones;
  for (const Unit& u : plan.units) {
    if (!u.rows) {
      kernels.to_lanes(transforms + u.first * n, n, u.count, n, arranged + u.at);
      continue;
    }
    for (std::size_t i = 0; i < u.count * n_bones; ++i) {
      const T* A = transforms + u.first * n + 12 * i;
      T* to = arranged + u.at + 16 * i;
      for (int c = 0; c < 4; ++c) {
        for (int r = 0; r < 3; ++r) to[4 * c + r] = A[4 * r + c];
        to[4 * c + 3] = T(0);
      }
    }
  }
}

/// Calls body(frames, unit) for the frames of a unit, with the pointers that skin and skin_backward share.
template <class T, class Body>
void for_frames(const SkinArrays<T>& arrays, const SkinInput<T>& input, const Unit& u, const T* arranged,
                Body body) {
  const std::size_t stride = 3 * arrays.n_vertices;
  SkinFrames<T> f{};
  f.arrays = arrays;
  f.frame_stride = stride;
  f.vertices_per_frame = input.vertices_per_frame;
  const int calls = u.rows ? u.count : 1;
  for (int i = 0; i < calls; ++i) {
    const std::size_t frame = u.first + i;
    f.n_frames = u.rows ? 1 : u.count;
    f.vertices = input.vertices + (input.vertices_per_frame ? frame * stride : 0);
    f.transforms = arranged + u.at + i * 16 * std::size_t(arrays.n_bones);
    body(f, frame, i);
  }
}

template <class T>
void check_input(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* out) {
  const bool empty = arrays.n_vertices == 0 || input.n_frames == 0;
  require(empty || (input.vertices && input.transforms && out), "skin: an array is missing.");
}

template <class T>
SkinArrays<T> host_arrays(const SkinWeights& weights, const SkinInput<T>& input) {
  SkinArrays<T> arrays = weights.arrays<T>();
  if (input.weight) arrays.weight = input.weight;
  return arrays;
}

template <class T>
void run(const SkinWeights& weights, const SkinInput<T>& input, T* out, const SkinOptions& options) {
  const SkinArrays<T> arrays = host_arrays(weights, input);
  check_input(arrays, input, out);
  if (options.cuda) {
    require_cuda();
#if SPORTCORE_WITH_CUDA
    cuda::skin_host(arrays, input, out);
    return;
#endif
  }
  const int threads = resolve_threads(options.num_threads);
  const std::size_t V = arrays.n_vertices;
  if (V == 0 || input.n_frames == 0) return;
  const KernelsOf<T>& k = kernels().of<T>();
  const Plan plan = make_plan(V, arrays.n_bones, input.n_frames, k.lanes, threads);
  const Scratch<T> arranged(plan.arranged);
  arrange(plan, k, arrays.n_bones, input.transforms, arranged.get());
  const std::size_t n_units = plan.units.size();
  parallel_for(plan.chunks * n_units, 1, plan.num_threads, [&](std::size_t task, std::size_t) {
    const Unit& u = plan.units[task % n_units];
    const std::size_t begin = task / n_units * plan.chunk, end = std::min(V, begin + plan.chunk);
    for_frames(arrays, input, u, arranged.get(), [&](SkinFrames<T>& f, std::size_t frame, int) {
      f.out = out + frame * f.frame_stride;
      (u.rows ? k.skin_rows : k.skin_lanes)(f, begin, end);
    });
  });
}

/// out[i] = the sum of n arrays of `size`, `stride` apart, in their order.
template <class T>
void sum_arrays(const T* parts, std::size_t n, std::size_t stride, std::size_t size, T* out) {
  std::copy(parts, parts + size, out);
  for (std::size_t p = 1; p < n; ++p)
    for (std::size_t i = 0; i < size; ++i) out[i] += parts[p * stride + i];
}

template <class T>
void run_backward(const SkinWeights& weights, const SkinInput<T>& input, const T* grad_out,
                  const SkinGradients<T>& to, const SkinOptions& options) {
  const SkinArrays<T> arrays = host_arrays(weights, input);
  check_input(arrays, input, grad_out);
  if (options.cuda) {
    require_cuda();
#if SPORTCORE_WITH_CUDA
    cuda::skin_backward_host(arrays, input, grad_out, to);
    return;
#endif
  }
  const int threads = resolve_threads(options.num_threads);
  const std::size_t V = arrays.n_vertices, B = input.n_frames, J = arrays.n_bones;
  const std::size_t n_weight = V * arrays.n_slots;
  if (V == 0 || B == 0) {
    if (to.vertices && !input.vertices_per_frame) std::fill_n(to.vertices, 3 * V, T(0));
    if (to.transforms) std::fill_n(to.transforms, 12 * J * B, T(0));
    if (to.weight) std::fill_n(to.weight, n_weight, T(0));
    return;
  }
  const KernelsOf<T>& k = kernels().of<T>();
  const Plan plan = make_plan(V, J, B, k.lanes, threads);
  const bool sum_vertices = to.vertices && !input.vertices_per_frame;
  // Sums over vertices: one array for each chunk. Sums over frames: one for each group, directly in the
  // result when there is one group.
  const Scratch<T> arranged(plan.arranged), by_chunk(to.transforms ? plan.chunks * plan.arranged : 0);
  const Scratch<T> vertices_by_group(sum_vertices && plan.groups > 1 ? plan.groups * 3 * V : 0);
  const Scratch<T> weight_by_group(to.weight && plan.groups > 1 ? plan.groups * n_weight : 0);
  T* const grad_vertices = plan.groups > 1 && sum_vertices ? vertices_by_group.get() : to.vertices;
  T* const grad_weight = plan.groups > 1 ? weight_by_group.get() : to.weight;
  arrange(plan, k, J, input.transforms, arranged.get());

  parallel_for(plan.chunks * plan.groups, 1, plan.num_threads, [&](std::size_t task, std::size_t) {
    const std::size_t chunk = task / plan.groups, group = task % plan.groups;
    const std::size_t begin = chunk * plan.chunk, end = std::min(V, begin + plan.chunk);
    T* const gv = sum_vertices ? grad_vertices + group * 3 * V : nullptr;
    T* const gw = to.weight ? grad_weight + group * n_weight : nullptr;
    if (gv) std::fill(gv + 3 * begin, gv + 3 * end, T(0));
    if (gw) std::fill(gw + begin * arrays.n_slots, gw + end * arrays.n_slots, T(0));
    const std::size_t last = std::min(plan.units.size(), (group + 1) * plan.units_per_group);
    for (std::size_t n = group * plan.units_per_group; n < last; ++n) {
      const Unit& u = plan.units[n];
      T* const gt = to.transforms ? by_chunk.get() + chunk * plan.arranged + u.at : nullptr;
      if (gt) std::fill_n(gt, J * (u.rows ? 16 * u.count : 12 * k.lanes), T(0));
      for_frames(arrays, input, u, arranged.get(), [&](SkinFrames<T>& f, std::size_t frame, int i) {
        f.grad_out = grad_out + frame * f.frame_stride;
        f.grad_vertices = sum_vertices ? gv : to.vertices ? to.vertices + frame * f.frame_stride : nullptr;
        f.grad_transforms = gt ? gt + i * 16 * J : nullptr;
        f.grad_weight = gw;
        (u.rows ? k.skin_rows_backward : k.skin_lanes_backward)(f, begin, end);
      });
    }
  });

  if (to.transforms) {
    // the sum over chunks takes the place of the first one
    const bool small = plan.chunks * plan.arranged < kSerialWork;
    parallel_for(plan.units.size(), 1, small ? 1 : plan.num_threads, [&](std::size_t n, std::size_t) {
      const Unit& u = plan.units[n];
      T* const sum = by_chunk.get() + u.at;
      const std::size_t size = J * (u.rows ? 16 * u.count : 12 * k.lanes);
      for (std::size_t c = 1; c < plan.chunks; ++c)
        for (std::size_t i = 0; i < size; ++i) sum[i] += sum[c * plan.arranged + i];
      T* const out = to.transforms + u.first * 12 * J;
      if (!u.rows) {
        k.from_lanes(sum, 12 * J, u.count, 12 * J, out);
        return;
      }
      for (std::size_t i = 0; i < u.count * J; ++i)
        for (int r = 0; r < 3; ++r)
          for (int c = 0; c < 4; ++c) out[12 * i + 4 * r + c] = sum[16 * i + 4 * c + r];
    });
  }
  if (plan.groups > 1 && sum_vertices) sum_arrays(grad_vertices, plan.groups, 3 * V, 3 * V, to.vertices);
  if (plan.groups > 1 && to.weight) sum_arrays(grad_weight, plan.groups, n_weight, n_weight, to.weight);
}

}  // namespace

void skin(const SkinWeights& weights, const SkinInput<float>& input, float* out, const SkinOptions& options) {
  run<float>(weights, input, out, options);
}

void skin(const SkinWeights& weights, const SkinInput<double>& input, double* out,
          const SkinOptions& options) {
  run<double>(weights, input, out, options);
}

void skin_backward(const SkinWeights& weights, const SkinInput<float>& input, const float* grad_out,
                   const SkinGradients<float>& gradients, const SkinOptions& options) {
  run_backward<float>(weights, input, grad_out, gradients, options);
}

void skin_backward(const SkinWeights& weights, const SkinInput<double>& input, const double* grad_out,
                   const SkinGradients<double>& gradients, const SkinOptions& options) {
  run_backward<double>(weights, input, grad_out, gradients, options);
}

template <class T>
void skin_cuda(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out, void* stream) {
  check_input(arrays, input, out);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::skin_device(arrays, input, out, stream);
#else
  (void)stream;
#endif
}

template <class T>
void skin_backward_cuda(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                        const SkinGradients<T>& gradients, void* stream) {
  check_input(arrays, input, grad_out);
  require_cuda();
#if SPORTCORE_WITH_CUDA
  cuda::skin_backward_device(arrays, input, grad_out, gradients, stream);
#else
  (void)gradients, (void)stream;
#endif
}

template SPORTCORE_API void skin_cuda<float>(const SkinArrays<float>&, const SkinInput<float>&, float*,
                                             void*);
template SPORTCORE_API void skin_cuda<double>(const SkinArrays<double>&, const SkinInput<double>&, double*,
                                              void*);
template SPORTCORE_API void skin_backward_cuda<float>(const SkinArrays<float>&, const SkinInput<float>&,
                                                      const float*, const SkinGradients<float>&, void*);
template SPORTCORE_API void skin_backward_cuda<double>(const SkinArrays<double>&, const SkinInput<double>&,
                                                       const double*, const SkinGradients<double>&, void*);

}  // namespace sportcore

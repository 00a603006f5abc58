// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "buffer.cuh"
#include "device_launch.h"
#include "sportcore/skin_vertex.h"

namespace sportcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFramesInShared = 8;            // whose transforms a block holds at a time, at most
constexpr std::size_t kSharedBudget = 32768;  // bytes for them
constexpr std::size_t kEnoughBlocks = 1024;   // to fill a large device
constexpr std::size_t kMaxGridY = 65535;

/// Three numbers for each thread of a warp, read or written in whole lines by way of shared memory. All
/// threads of the warp take part; `count` of them have a vertex.
template <class T>
__device__ __forceinline__ void load3(const T* from, int count, T* stage, T* x) {
  const int lane = threadIdx.x & 31;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 3; ++i)
    if (lane + 32 * i < 3 * count) stage[lane + 32 * i] = from[lane + 32 * i];
  __syncwarp();
#pragma unroll
  for (int c = 0; c < 3; ++c) x[c] = lane < count ? stage[3 * lane + c] : T(0);
}

template <class T>
__device__ __forceinline__ void store3(const T* x, int count, T* stage, T* to) {
  const int lane = threadIdx.x & 31;
  __syncwarp();
#pragma unroll
  for (int c = 0; c < 3; ++c) stage[3 * lane + c] = x[c];
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 3; ++i)
    if (lane + 32 * i < 3 * count) to[lane + 32 * i] = stage[lane + 32 * i];
}

/// The 12 numbers of a transform; from shared memory 16 bytes at a time.
template <bool kShared, class T>
__device__ __forceinline__ void load12(const T* from, T* A) {
  if (kShared) {
    struct alignas(16) Quad {
      T v[16 / sizeof(T)];
    };
    constexpr int kWidth = 16 / sizeof(T);
#pragma unroll
    for (int i = 0; i < 12 / kWidth; ++i) {
      const Quad q = reinterpret_cast<const Quad*>(from)[i];
#pragma unroll
      for (int k = 0; k < kWidth; ++k) A[i * kWidth + k] = q.v[k];
    }
  } else {
#pragma unroll
    for (int i = 0; i < 12; ++i) A[i] = from[i];
  }
}

/// What a launch over vertices works on. Frames fall into groups, one for each row of the grid; a block holds
/// the transforms of `batch` frames at a time.
template <class T>
struct VertexCall {
  SkinArrays<T> arrays;
  const T* vertices;
  bool per_frame;
  const T* transforms;
  std::size_t n_frames, group, n_groups;
  int batch;
  T* out;
  const T* grad_out;
  T* grad_vertices;  // (B, V, 3), or (groups, V, 3) of shared vertices
  T* grad_weight;    // (groups, V, K)
};

/// One thread per vertex. Forward: y. Backward: gradients by the vertices and, optionally, the weights.
template <class T, int kSlots, bool kShared, bool kBackward, bool kVertices, bool kWeights>
__global__ void __launch_bounds__(kThreads, 1) vertex_kernel(const VertexCall<T> call) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ T stages[kThreads / 32][96];
  T* const stage = stages[threadIdx.x / 32];
  const std::size_t V = call.arrays.n_vertices, row = std::size_t(12) * call.arrays.n_bones;
  const std::size_t v = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::size_t warp_first = v - (threadIdx.x & 31);
  const int count = warp_first >= V ? 0 : V - warp_first < 32 ? static_cast<int>(V - warp_first) : 32;
  const int n_slots = call.arrays.n_slots;
  int bone[kSlots];
  T weight[kSlots];
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    const bool has = v < V && k < n_slots;
    bone[k] = has ? 12 * call.arrays.bone[v * n_slots + k] : 0;
    weight[k] = has ? call.arrays.weight[v * n_slots + k] : T(0);
  }
  T x[3] = {T(0), T(0), T(0)};
  if (!call.per_frame && (!kBackward || kWeights)) load3(call.vertices + 3 * warp_first, count, stage, x);

  for (std::size_t group = blockIdx.y; group < call.n_groups; group += gridDim.y) {
    T grad_x[3] = {T(0), T(0), T(0)}, grad_w[kSlots];
#pragma unroll
    for (int k = 0; k < kSlots; ++k) grad_w[k] = T(0);
    const std::size_t end = min(call.n_frames, (group + 1) * call.group);
    for (std::size_t first = group * call.group; first < end; first += call.batch) {
      const int frames = static_cast<int>(min(static_cast<std::size_t>(call.batch), end - first));
      const T* transforms = call.transforms + first * row;
      if (kShared) {
        T* const held = reinterpret_cast<T*>(shared);
        __syncthreads();
        for (std::size_t i = threadIdx.x; i < frames * row; i += kThreads) held[i] = transforms[i];
        __syncthreads();
        transforms = held;
      }
      for (int f = 0; f < frames; ++f) {
        const std::size_t at = 3 * ((first + f) * V + warp_first);
        const T* A_frame = transforms + f * row;
        T g[3];
        if (call.per_frame && (!kBackward || kWeights)) load3(call.vertices + at, count, stage, x);
        if (kBackward) load3(call.grad_out + at, count, stage, g);
        if (!kBackward || kVertices) {
          T M[12], y[3];
#pragma unroll
          for (int i = 0; i < 12; ++i) M[i] = T(0);
#pragma unroll
          for (int k = 0; k < kSlots; ++k)
            if (k < n_slots) {
              T A[12];
              load12<kShared>(A_frame + bone[k], A);
              blend_add(weight[k], A, M);
            }
          if (!kBackward) {
            transform_point(M, x, y);
            store3(y, count, stage, call.out + at);
          } else {
            rotate_back(M, g, y);
            if (call.per_frame)
              store3(y, count, stage, call.grad_vertices + at);
            else
              for (int c = 0; c < 3; ++c) grad_x[c] += y[c];
          }
        }
        if (kWeights) {
#pragma unroll
          for (int k = 0; k < kSlots; ++k)
            if (k < n_slots) {
              T A[12];
              load12<kShared>(A_frame + bone[k], A);
              grad_w[k] += transform_dot(A, x, g);
            }
        }
      }
    }
    if (kBackward && kVertices && !call.per_frame)
      store3(grad_x, count, stage, call.grad_vertices + 3 * (group * V + warp_first));
    if (kWeights && v < V) {
#pragma unroll
      for (int k = 0; k < kSlots; ++k)
        if (k < n_slots) call.grad_weight[(group * V + v) * n_slots + k] = grad_w[k];
    }
  }
}

/// out (n) = the sum over groups of parts (groups, n), in their order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const T* __restrict__ parts, std::size_t n_groups, std::size_t n, T* __restrict__ out) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    T sum = parts[i];
    for (std::size_t g = 1; g < n_groups; ++g) sum += parts[g * n + i];
    out[i] = sum;
  }
}

/// Gradient by the transforms: one block per bone and kFrames frames. The entries of a bone lie together, by
/// vertex, so that every sum is formed in one block and in one order.
template <class T, int kFrames>
__global__ void __launch_bounds__(kThreads, 1)
    transforms_kernel(const SkinArrays<T> arrays, const T* __restrict__ vertices, bool per_frame,
                      std::size_t n_frames, const T* __restrict__ grad_out, T* __restrict__ grad_transforms) {
  constexpr int kWarps = kThreads / 32, kSums = 12 * kFrames;
  __shared__ T by_warp[kWarps][kSums];
  const std::size_t V = arrays.n_vertices, j = blockIdx.x;
  const int lane = threadIdx.x & 31;
  for (std::size_t first = static_cast<std::size_t>(blockIdx.y) * kFrames; first < n_frames;
       first += static_cast<std::size_t>(gridDim.y) * kFrames) {
    T D[kSums];
#pragma unroll
    for (int i = 0; i < kSums; ++i) D[i] = T(0);
    for (std::int64_t e = arrays.bone_begin[j] + threadIdx.x; e < arrays.bone_begin[j + 1]; e += kThreads) {
      const std::uint32_t entry = arrays.bone_entry[e];
      const std::size_t v = entry >> 4;
      const T w = arrays.weight[v * arrays.n_slots + (entry & 15)];
      T x[3] = {T(0), T(0), T(0)};
      if (!per_frame)
        for (int c = 0; c < 3; ++c) x[c] = vertices[3 * v + c];
#pragma unroll
      for (int f = 0; f < kFrames; ++f) {
        if (first + f >= n_frames) break;
        const std::size_t at = 3 * ((first + f) * V + v);
        T g[3];
        for (int c = 0; c < 3; ++c) g[c] = grad_out[at + c];
        if (per_frame)
          for (int c = 0; c < 3; ++c) x[c] = vertices[at + c];
        outer_add(w, g, x, D + 12 * f);
      }
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) D[i] += __shfl_xor_sync(0xffffffffu, D[i], offset);
      if (lane == 0) by_warp[threadIdx.x / 32][i] = D[i];
    }
    __syncthreads();
    const int i = threadIdx.x;
    if (i < kSums && first + i / 12 < n_frames) {
      T sum = by_warp[0][i];
      for (int warp = 1; warp < kWarps; ++warp) sum += by_warp[warp][i];
      grad_transforms[((first + i / 12) * arrays.n_bones + j) * 12 + i % 12] = sum;
    }
    __syncthreads();
  }
}

template <class T, int kSlots, bool kShared>
void launch_vertices(const VertexCall<T>& call, bool backward, dim3 grid, std::size_t shared,
                     cudaStream_t s) {
  if (!backward)
    vertex_kernel<T, kSlots, kShared, false, false, false><<<grid, kThreads, shared, s>>>(call);
  else if (call.grad_vertices && call.grad_weight)
    vertex_kernel<T, kSlots, kShared, true, true, true><<<grid, kThreads, shared, s>>>(call);
  else if (call.grad_vertices)
    vertex_kernel<T, kSlots, kShared, true, true, false><<<grid, kThreads, shared, s>>>(call);
  else
    vertex_kernel<T, kSlots, kShared, true, false, true><<<grid, kThreads, shared, s>>>(call);
  check(cudaGetLastError(), "starting skin");
}

template <class T>
void launch_vertices(const VertexCall<T>& call, bool backward, cudaStream_t s) {
  const std::size_t row = sizeof(T) * 12 * call.arrays.n_bones;
  const dim3 grid(static_cast<unsigned>((call.arrays.n_vertices + kThreads - 1) / kThreads),
                  static_cast<unsigned>(std::min(call.n_groups, kMaxGridY)));
  const bool fits = row <= kSharedBudget;
  const std::size_t shared = fits ? row * call.batch : 0;
  const int n = call.arrays.n_slots;
  const auto launch = n <= 4   ? (fits ? launch_vertices<T, 4, true> : launch_vertices<T, 4, false>)
                      : n <= 8 ? (fits ? launch_vertices<T, 8, true> : launch_vertices<T, 8, false>)
                               : (fits ? launch_vertices<T, 16, true> : launch_vertices<T, 16, false>);
  launch(call, backward, grid, shared, s);
}

template <class T>
VertexCall<T> vertex_call(const SkinArrays<T>& arrays, const SkinInput<T>& input) {
  VertexCall<T> call{};
  call.arrays = arrays;
  if (input.weight) call.arrays.weight = input.weight;
  call.vertices = input.vertices;
  call.per_frame = input.vertices_per_frame;
  call.transforms = input.transforms;
  call.n_frames = input.n_frames;
  const std::size_t row = sizeof(T) * 12 * arrays.n_bones;
  const std::size_t fit = std::max<std::size_t>(1, kSharedBudget / row);
  call.batch = static_cast<int>(std::min<std::size_t>(kFramesInShared, fit));
  // Frames of a block: as many as leave enough blocks. The sums over frames are formed group by group, so
  // that this choice, which depends on sizes alone, also fixes their order.
  const std::size_t blocks = (arrays.n_vertices + kThreads - 1) / kThreads;
  const std::size_t wanted = std::max<std::size_t>(1, std::min(input.n_frames, kEnoughBlocks / blocks + 1));
  call.group = (input.n_frames + wanted - 1) / wanted;
  call.n_groups = (input.n_frames + call.group - 1) / call.group;
  return call;
}

template <class T>
void sum_groups(const T* parts, std::size_t n_groups, std::size_t n, T* out, cudaStream_t s) {
  const std::size_t blocks = std::min<std::size_t>((n + kThreads - 1) / kThreads, 4096);
  sum_kernel<T><<<static_cast<unsigned>(blocks), kThreads, 0, s>>>(parts, n_groups, n, out);
  check(cudaGetLastError(), "summing gradients");
}

template <class T>
void fill_zero(T* to, std::size_t n, cudaStream_t s) {
  if (to && n) check(cudaMemsetAsync(to, 0, n * sizeof(T), s), "clearing gradients");
}

}  // namespace

template <class T>
void skin_device(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out, void* stream) {
  if (arrays.n_vertices == 0 || input.n_frames == 0) return;
  VertexCall<T> call = vertex_call(arrays, input);
  call.out = out;
  launch_vertices(call, false, static_cast<cudaStream_t>(stream));
}

template <class T>
void skin_backward_device(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                          const SkinGradients<T>& to, void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  const std::size_t V = arrays.n_vertices, B = input.n_frames, n_weight = V * arrays.n_slots;
  if (V == 0 || B == 0) {
    if (!input.vertices_per_frame) fill_zero(to.vertices, 3 * V, s);
    fill_zero(to.transforms, 12 * B * arrays.n_bones, s);
    fill_zero(to.weight, n_weight, s);
    return;
  }
  VertexCall<T> call = vertex_call(arrays, input);
  if (to.vertices || to.weight) {
    const bool sum_vertices = to.vertices && !input.vertices_per_frame, parts = call.n_groups > 1;
    const Buffer<T> vertices(sum_vertices && parts ? call.n_groups * 3 * V : 0, s);
    const Buffer<T> weight(to.weight && parts ? call.n_groups * n_weight : 0, s);
    call.grad_out = grad_out;
    call.grad_vertices = vertices.get() ? vertices.get() : to.vertices;
    call.grad_weight = weight.get() ? weight.get() : to.weight;
    launch_vertices(call, true, s);
    if (vertices.get()) sum_groups(vertices.get(), call.n_groups, 3 * V, to.vertices, s);
    if (weight.get()) sum_groups(weight.get(), call.n_groups, n_weight, to.weight, s);
  }
  if (to.transforms) {
    const auto launch = [&](auto kernel, std::size_t frames) {
      const dim3 grid(static_cast<unsigned>(arrays.n_bones),
                      static_cast<unsigned>(std::min((B + frames - 1) / frames, kMaxGridY)));
      kernel<<<grid, kThreads, 0, s>>>(call.arrays, input.vertices, input.vertices_per_frame, B, grad_out,
                                       to.transforms);
      check(cudaGetLastError(), "starting the gradient of skin");
    };
    if (B < 4 || B * arrays.n_bones < kEnoughBlocks)
      launch(transforms_kernel<T, 1>, 1);
    else
      launch(transforms_kernel<T, 4>, 4);
  }
}

namespace {

/// Copies of host arrays on the device.
template <class T>
struct Copies {
  const std::size_t V, n;
  const Buffer<std::uint16_t> bone;
  const Buffer<T> weight, vertices, transforms;
  const Buffer<std::int64_t> bone_begin;
  const Buffer<std::uint32_t> bone_entry;

  Copies(const SkinArrays<T>& a, const SkinInput<T>& in, bool backward, cudaStream_t s)
      : V(a.n_vertices),
        n(V * a.n_slots),
        bone(a.bone, n, s),
        weight(in.weight ? in.weight : a.weight, n, s),
        vertices(in.vertices, 3 * V * (in.vertices_per_frame ? in.n_frames : 1), s),
        transforms(in.transforms, 12 * in.n_frames * a.n_bones, s),
        bone_begin(a.bone_begin, backward ? a.n_bones + 1 : 0, s),
        bone_entry(a.bone_entry, backward ? n : 0, s) {}

  SkinArrays<T> arrays(const SkinArrays<T>& a) const {
    SkinArrays<T> d;
    d.n_vertices = a.n_vertices;
    d.n_bones = a.n_bones;
    d.n_slots = a.n_slots;
    d.bone = bone.get();
    d.weight = weight.get();
    d.bone_begin = bone_begin.get();
    d.bone_entry = bone_entry.get();
    return d;
  }
  SkinInput<T> input(const SkinInput<T>& in) const {
    return {vertices.get(), in.vertices_per_frame, transforms.get(), in.n_frames, nullptr};
  }
};

}  // namespace

template <class T>
void skin_host(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out) {
  const Stream stream;
  const Copies<T> in(arrays, input, false, stream.get());
  const std::size_t n = 3 * arrays.n_vertices * input.n_frames;
  const Buffer<T> result(n, stream.get());
  skin_device<T>(in.arrays(arrays), in.input(input), result.get(), stream.get());
  result.copy_out(out, n);
  stream.wait();
}

template <class T>
void skin_backward_host(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                        const SkinGradients<T>& to) {
  const Stream stream;
  const cudaStream_t s = stream.get();
  const Copies<T> in(arrays, input, true, s);
  const std::size_t V = arrays.n_vertices, B = input.n_frames;
  const std::size_t n_vertices = 3 * V * (input.vertices_per_frame ? B : 1);
  const std::size_t n_transforms = 12 * B * arrays.n_bones, n_weight = V * arrays.n_slots;
  const Buffer<T> grad(grad_out, 3 * V * B, s), vertices(to.vertices ? n_vertices : 0, s),
      transforms(to.transforms ? n_transforms : 0, s), weight(to.weight ? n_weight : 0, s);
  SkinGradients<T> device;
  device.vertices = vertices.get();
  device.transforms = transforms.get();
  device.weight = weight.get();
  skin_backward_device<T>(in.arrays(arrays), in.input(input), grad.get(), device, s);
  vertices.copy_out(to.vertices, n_vertices);
  transforms.copy_out(to.transforms, n_transforms);
  weight.copy_out(to.weight, n_weight);
  stream.wait();
}

template void skin_device<float>(const SkinArrays<float>&, const SkinInput<float>&, float*, void*);
template void skin_device<double>(const SkinArrays<double>&, const SkinInput<double>&, double*, void*);
template void skin_backward_device<float>(const SkinArrays<float>&, const SkinInput<float>&, const float*,
                                          const SkinGradients<float>&, void*);
template void skin_backward_device<double>(const SkinArrays<double>&, const SkinInput<double>&, const double*,
                                           const SkinGradients<double>&, void*);
template void skin_host<float>(const SkinArrays<float>&, const SkinInput<float>&, float*);
template void skin_host<double>(const SkinArrays<double>&, const SkinInput<double>&, double*);
template void skin_backward_host<float>(const SkinArrays<float>&, const SkinInput<float>&, const float*,
                                        const SkinGradients<float>&);
template void skin_backward_host<double>(const SkinArrays<double>&, const SkinInput<double>&, const double*,
                                         const SkinGradients<double>&);

}  // namespace sportcore::cuda

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Linear blend skinning of a mesh and its gradients, for float and double.
///
/// A vertex follows a few bones: y = (sum_k w_k A_k) (x, 1), with A_k (3, 4) the transform of bone k from the
/// rest pose to the frame. Arrays are C-contiguous; V vertices, J bones, K bones of a vertex, B frames.
/// Nothing is assumed of the transforms (they may scale or shear) nor of the sum of the weights. NaN goes
/// through: a transform that is not finite reaches every vertex that names its bone, even by the weight zero.
/// The maths is in skin_vertex.h, for the CPU and CUDA alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "sportcore/hd.h"

namespace sportcore {

/// Most bones that one vertex follows.
constexpr int kMaxBonesPerVertex = 16;
/// Vertices of a tile, see SkinArrays.
constexpr int kSkinTile = 64;

/// Which bones move which vertices, as the kernels read it: pointers to host memory, or all of them to memory
/// of one CUDA device. An entry names a vertex and one of its K slots as 16 * vertex + slot.
template <class T>
struct SkinArrays {
  std::size_t n_vertices = 0;                 // V
  int n_bones = 0;                            // J
  int n_slots = 0;                            // K
  const std::uint16_t* bone = nullptr;        // (V, K)
  const T* weight = nullptr;                  // (V, K); 0 where a vertex has fewer than K bones
  const std::int64_t* bone_begin = nullptr;   // (J + 1) where the entries of a bone begin in bone_entry
  const std::uint32_t* bone_entry = nullptr;  // (V K) entries by bone, then by vertex. CUDA only
  // CPU only: each tile of kSkinTile vertices has its entries by bone, counted from the tile's first vertex.
  const std::uint16_t* tile_entry = nullptr;  // (V K)
  const std::int64_t* tile_begin = nullptr;   // (tiles + 1) where the runs of a tile begin in run_*
  const std::uint16_t* run_bone = nullptr;    // entries of one tile with one bone are a run
  const std::uint16_t* run_length = nullptr;
};

/// Skinning weights, checked and sorted once; immutable and cheap to copy. Safe to share between threads.
class SPORTCORE_API SkinWeights {
 public:
  /// bone_index and weight (V, K), kept in this order. InputError when an index is outside [0, J), a weight
  /// is not finite, K is not in [1, kMaxBonesPerVertex], J not in [1, 65535] or V not below 2^28.
  SkinWeights(const std::int32_t* bone_index, const double* weight, std::size_t n_vertices, int n_slots,
              int n_bones);
  /// From a dense matrix (V, J): the entries that are not zero, bones ascending. max_bones > 0 keeps only the
  /// largest of each vertex and scales them to the old sum. InputError as above.
  static SkinWeights from_dense(const double* weight, std::size_t n_vertices, int n_bones, int max_bones = 0);

  std::size_t n_vertices() const;
  int n_bones() const;
  int n_slots() const;
  /// Host memory that lives as long as a copy of this object. T is float or double.
  template <class T>
  SkinArrays<T> arrays() const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

struct SkinOptions {
  int num_threads = 0;  // 0: one per available core
  bool cuda = false;    // run on the first CUDA device; DeviceError when that is impossible
};

template <class T>
struct SkinInput {
  const T* vertices = nullptr;      // (V, 3), or (B, V, 3) when vertices_per_frame
  bool vertices_per_frame = false;  //
  const T* transforms = nullptr;    // (B, J, 3, 4)
  std::size_t n_frames = 0;         // B
  const T* weight = nullptr;        // (V, K) to be used instead of those of SkinWeights, or null
};

/// Where gradients go; null where not wanted. Every element is written.
template <class T>
struct SkinGradients {
  T* vertices = nullptr;    // shaped as the vertices
  T* transforms = nullptr;  // (B, J, 3, 4)
  T* weight = nullptr;      // (V, K)
};

/// out (B, V, 3). Throws InputError when an array is missing.
SPORTCORE_API void skin(const SkinWeights& weights, const SkinInput<float>& input, float* out,
                        const SkinOptions& options = {});
SPORTCORE_API void skin(const SkinWeights& weights, const SkinInput<double>& input, double* out,
                        const SkinOptions& options = {});

/// Gradients of a scalar, given grad_out (B, V, 3), its gradient by the output of skin. The result does not
/// depend on the number of threads.
SPORTCORE_API void skin_backward(const SkinWeights& weights, const SkinInput<float>& input,
                                 const float* grad_out, const SkinGradients<float>& gradients,
                                 const SkinOptions& options = {});
SPORTCORE_API void skin_backward(const SkinWeights& weights, const SkinInput<double>& input,
                                 const double* grad_out, const SkinGradients<double>& gradients,
                                 const SkinOptions& options = {});

/// The same on arrays (those of `arrays`, inputs and outputs) that already lie on the CUDA device. `stream`
/// is a cudaStream_t (null: the default stream); the call returns when the work is queued. T is float or
/// double. No atomic additions are used: equal input gives equal bits.
template <class T>
void skin_cuda(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out, void* stream);
template <class T>
void skin_backward_cuda(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                        const SkinGradients<T>& gradients, void* stream);

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The SIMD kernels and the choice among them. Private.
///
/// kernels.cpp holds the only loops that are compiled more than once: for the baseline of the build and, on
/// x86, for AVX2 with FMA and for AVX-512. `kernels()` takes the best that the processor has. Each kernel
/// works on a range of points, on one thread, and allocates nothing.
#pragma once

#include <cstddef>

#include "sportcore/mesh.h"
#include "sportcore/triangulate.h"
#include "sportcore/triangulate_point.h"

namespace sportcore {

/// Squares of inlier residuals (px^2) and their degrees of freedom, over points with three views or more: n
/// views leave 2 n - 3 of their 2 n coordinates.
struct ResidualTally {
  double squares = 0, freedom = 0;
};

/// Input and setup of one call of triangulate.
template <class S>
struct TriangulateCall {
  const TriangulateCamera<S>* cameras;
  const CameraPair* pairs;
  int n_cameras;
  const S* keypoints_px;  // (C, N, 2)
  const S* score;         // (C, N) or null
  const S* sigma_px;      // (C, N) or null
  std::size_t n_points;   // N
  TriangulateParams<S> params;
  TriangulateOutput<S> out;
  S covariance_scale;
};

/// Input of one call of reproject, for one camera.
template <class S>
struct ReprojectCall {
  const S* points_world_m;  // (N, 3)
  const S* observed_px;     // (N, 2) of this camera, or null
  S* out_px;                // (N, 2)
  S* J_point;               // (N, 2, 3) or null
  S* J_pose;                // (N, 2, 6) or null
};

/// Some frames of a call of skin or skin_backward. The kernels take transforms in one of two arrangements:
/// "lanes", (J, 12, lanes) with one frame in each lane, for as many frames as there are lanes or fewer; and
/// "rows", (J, 16) with the columns of each transform padded to 4, for one frame. Frames lie frame_stride
/// apart; pointers are to the first of them, and to the vertex 0.
template <class S>
struct SkinFrames {
  SkinArrays<S> arrays;
  int n_frames;              // at most `lanes`; 1 for rows
  std::size_t frame_stride;  // 3 V
  const S* vertices;         // of these frames, or shared by all
  bool vertices_per_frame;   //
  const S* transforms;       // arranged
  S* out;                    // skin
  const S* grad_out;         // skin_backward
  S* grad_vertices;          // or null; per frame: written, shared: added to
  S* grad_transforms;        // or null; arranged, added to
  S* grad_weight;            // or null; (V, K), added to
};

template <class S>
struct ProjectBackwardCall;  // gradient_calls.h
template <class S>
struct TriangulateLinearCall;
template <class S>
struct TriangulateBackwardCall;

template <class S>
struct KernelsOf {
  void (*triangulate)(const TriangulateCall<S>& call, std::size_t begin, std::size_t end,
                      ResidualTally* tally);
  void (*reproject)(const Camera<S>& camera, const ReprojectCall<S>& call, std::size_t begin,
                    std::size_t end);
  int lanes;  // of a register
  /// dst (n, lanes) = src (n_frames, n) transposed, zero in lanes without a frame; and back.
  void (*to_lanes)(const S* src, std::size_t stride, int n_frames, std::size_t n, S* dst);
  void (*from_lanes)(const S* src, std::size_t stride, int n_frames, std::size_t n, S* dst);
  /// Vertices [begin, end); begin is a multiple of kSkinTile.
  void (*skin_lanes)(const SkinFrames<S>& frames, std::size_t begin, std::size_t end);
  void (*skin_rows)(const SkinFrames<S>& frames, std::size_t begin, std::size_t end);
  void (*skin_lanes_backward)(const SkinFrames<S>& frames, std::size_t begin, std::size_t end);
  void (*skin_rows_backward)(const SkinFrames<S>& frames, std::size_t begin, std::size_t end);
  // The last argument of these: sums (C, 24) of the gradients by the cameras, or null.
  void (*project_backward)(const ProjectBackwardCall<S>& call, std::size_t begin, std::size_t end, double*);
  void (*triangulate_linear)(const TriangulateLinearCall<S>& call, std::size_t begin, std::size_t end);
  void (*triangulate_linear_backward)(const TriangulateLinearCall<S>& call, std::size_t begin,
                                      std::size_t end, double*);
  void (*triangulate_backward)(const TriangulateBackwardCall<S>& call, std::size_t begin, std::size_t end);
};

struct Kernels {
  const char* name;  // "baseline", "avx2", "avx512"
  KernelsOf<float> f32;
  KernelsOf<double> f64;

  template <class S>
  const KernelsOf<S>& of() const {
    if constexpr (sizeof(S) == 4)
      return f32;
    else
      return f64;
  }
};

/// The best kernels for this processor; the environment variable SPORTCORE_ISA names lesser ones.
const Kernels& kernels();

namespace baseline {
extern const Kernels kKernels;
}
#if defined(SPORTCORE_X86_KERNELS) && SPORTCORE_X86_KERNELS
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What cuda/ offers to the dispatchers in cpp/src. Private; free of CUDA types. `stream` is a cudaStream_t.
#pragma once

#include <cstddef>
#include <string>

#include "sportcore/mesh.h"
#include "sportcore/triangulate.h"

namespace sportcore::cuda {

/// Number of devices; when it is 0, *why (optional) receives the runtime's words.
int device_count(std::string* why);
std::string device_name(int device);

/// Arrays on the device; returns when the work is queued. observed (C, N, 2) may be null.
template <class T>
void reproject_device(const Camera<double>* cameras, std::size_t n_cameras, const T* points,
                      std::size_t n_points, const T* observed, T* out, void* stream);

/// Arrays on the host: copies in, computes, copies out, returns when done.
template <class T>
void reproject_host(const Camera<double>* cameras, std::size_t n_cameras, const T* points,
                    std::size_t n_points, const T* observed, T* out);

template <class T>
void triangulate_device(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                        const T* score, const T* sigma_px, std::size_t n_points,
                        const TriangulateOutput<T>& out, const TriangulateOptions& options, void* stream);

template <class T>
void triangulate_host(const Camera<double>* cameras, std::size_t n_cameras, const T* keypoints_px,
                      const T* score, const T* sigma_px, std::size_t n_points,
                      const TriangulateOutput<T>& out, const TriangulateOptions& options);

template <class T>
void skin_device(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out, void* stream);

template <class T>
void skin_backward_device(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                          const SkinGradients<T>& gradients, void* stream);

template <class T>
void skin_host(const SkinArrays<T>& arrays, const SkinInput<T>& input, T* out);

template <class T>
void skin_backward_host(const SkinArrays<T>& arrays, const SkinInput<T>& input, const T* grad_out,
                        const SkinGradients<T>& gradients);

}  // namespace sportcore::cuda

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Error checks and stream-ordered device memory for the launchers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "sportcore/error.h"

namespace sportcore::cuda {

/// Throws DeviceError with the runtime's words.
inline void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  const std::string remedy = status == cudaErrorMemoryAllocation ? "Give fewer points at a time."
                                                                 : "Check the device with `nvidia-smi`.";
  throw DeviceError(std::string("CUDA failed while ") + doing + ": " + cudaGetErrorString(status) + ".",
                    remedy);
}

/// Memory on the device for the time of a scope, in the order of a stream.
template <class T>
class Buffer {
 public:
  Buffer(std::size_t count, cudaStream_t stream) : stream_(stream) {
    if (count > 0) check(cudaMallocAsync(&data_, count * sizeof(T), stream), "reserving device memory");
  }
  Buffer(const T* host, std::size_t count, cudaStream_t stream) : Buffer(host ? count : 0, stream) {
    if (data_)
      check(cudaMemcpyAsync(data_, host, count * sizeof(T), cudaMemcpyHostToDevice, stream), "copying in");
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_) cudaFreeAsync(data_, stream_);
  }
  T* get() const { return data_; }
  void copy_out(T* host, std::size_t count) const {
    if (data_)
      check(cudaMemcpyAsync(host, data_, count * sizeof(T), cudaMemcpyDeviceToHost, stream_), "copying out");
  }

 private:
  T* data_ = nullptr;
  cudaStream_t stream_;
};

/// A stream of its own for the time of a scope.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  cudaStream_t get() const { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_), "computing"); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace sportcore::cuda

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "sportcore/error.h"
#include "sportcore/mesh.h"

namespace sportcore {

struct SkinWeights::Data {
  std::size_t n_vertices = 0;
  int n_bones = 0, n_slots = 0;
  std::vector<std::uint16_t> bone, tile_entry, run_bone, run_length;
  std::vector<float> weight_f32;
  std::vector<double> weight_f64;
  std::vector<std::int64_t> bone_begin, tile_begin;
  std::vector<std::uint32_t> bone_entry;
};

namespace {

void check_sizes(std::size_t n_vertices, int n_bones) {
  require(n_bones >= 1 && n_bones <= 65535,
          "SkinWeights: the number of bones must lie in [1, 65535], got " + std::to_string(n_bones) + ".");
  require(n_vertices < (std::size_t(1) << 28), "SkinWeights: there must be fewer than 2^28 vertices.",
          "Split the mesh.");
}

}  // namespace

SkinWeights::SkinWeights(const std::int32_t* bone_index, const double* weight, std::size_t n_vertices,
                         int n_slots, int n_bones) {
  check_sizes(n_vertices, n_bones);
  require(n_slots >= 1 && n_slots <= kMaxBonesPerVertex,
          "SkinWeights: a vertex can follow 1 to " + std::to_string(kMaxBonesPerVertex) + " bones, got " +
              std::to_string(n_slots) + ".",
          "Keep the largest weights of each vertex.");
  require(n_vertices == 0 || (bone_index && weight), "SkinWeights: an array is missing.");
  const std::size_t n = n_vertices * n_slots;
  const auto data = std::make_shared<Data>();
  Data& d = *data;
  d.n_vertices = n_vertices;
  d.n_bones = n_bones;
  d.n_slots = n_slots;
  d.bone.resize(n);
  d.bone_begin.assign(static_cast<std::size_t>(n_bones) + 1, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t j = bone_index[i];
    if (j < 0 || j >= n_bones)
      throw InputError("SkinWeights: vertex " + std::to_string(i / n_slots) + " names bone " +
                       std::to_string(j) + ", but there are " + std::to_string(n_bones) + " bones.");
    if (!std::isfinite(weight[i]))
      throw InputError("SkinWeights: a weight of vertex " + std::to_string(i / n_slots) + " is not finite.");
    d.bone[i] = static_cast<std::uint16_t>(j);
    ++d.bone_begin[j + 1];
  }
  d.weight_f64.assign(weight, weight + n);
  d.weight_f32.assign(weight, weight + n);
  std::partial_sum(d.bone_begin.begin(), d.bone_begin.end(), d.bone_begin.begin());

  d.bone_entry.resize(n);
  std::vector<std::int64_t> next(d.bone_begin.begin(), d.bone_begin.end() - 1);
  for (std::size_t v = 0; v < n_vertices; ++v)
    for (int k = 0; k < n_slots; ++k)
      d.bone_entry[next[d.bone[v * n_slots + k]]++] = static_cast<std::uint32_t>(16 * v + k);

  d.tile_entry.reserve(n);
  d.tile_begin.push_back(0);
  std::vector<std::uint16_t> entries;
  for (std::size_t first = 0; first < n_vertices; first += kSkinTile) {
    const std::size_t count = std::min<std::size_t>(kSkinTile, n_vertices - first);
    const std::uint16_t* bones = &d.bone[first * n_slots];
    const auto bone_of = [&](std::uint16_t e) { return bones[(e >> 4) * n_slots + (e & 15)]; };
    entries.clear();
    for (std::size_t v = 0; v < count; ++v)
      for (int k = 0; k < n_slots; ++k) entries.push_back(static_cast<std::uint16_t>(16 * v + k));
    std::stable_sort(entries.begin(), entries.end(),
                     [&](std::uint16_t a, std::uint16_t b) { return bone_of(a) < bone_of(b); });
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i == 0 || bone_of(entries[i]) != d.run_bone.back()) {
        d.run_bone.push_back(bone_of(entries[i]));
        d.run_length.push_back(0);
      }
      ++d.run_length.back();
    }
    d.tile_entry.insert(d.tile_entry.end(), entries.begin(), entries.end());
    d.tile_begin.push_back(static_cast<std::int64_t>(d.run_bone.size()));
  }
  data_ = data;
}

SkinWeights SkinWeights::from_dense(const double* weight, std::size_t n_vertices, int n_bones,
                                    int max_bones) {
  check_sizes(n_vertices, n_bones);
  require(max_bones >= 0 && max_bones <= kMaxBonesPerVertex,
          "SkinWeights: max_bones must lie in [0, " + std::to_string(kMaxBonesPerVertex) + "].");
  require(n_vertices == 0 || weight, "SkinWeights: an array is missing.");
  std::vector<std::vector<std::int32_t>> kept(n_vertices);
  std::vector<double> scale(n_vertices, 1.0);
  std::size_t n_slots = 1;
  for (std::size_t v = 0; v < n_vertices; ++v) {
    const double* row = weight + v * n_bones;
    std::vector<std::int32_t>& bones = kept[v];
    for (std::int32_t j = 0; j < n_bones; ++j) {
      if (!std::isfinite(row[j]))
        throw InputError("SkinWeights: a weight of vertex " + std::to_string(v) + " is not finite.");
      if (row[j] != 0) bones.push_back(j);
    }
    if (max_bones > 0 && bones.size() > static_cast<std::size_t>(max_bones)) {
      double before = 0, after = 0;
      for (std::int32_t j : bones) before += row[j];
      std::stable_sort(bones.begin(), bones.end(),
                       [&](std::int32_t a, std::int32_t b) { return std::abs(row[a]) > std::abs(row[b]); });
      bones.resize(max_bones);
      std::sort(bones.begin(), bones.end());
      for (std::int32_t j : bones) after += row[j];
      require(after != 0, "SkinWeights: the largest weights of vertex " + std::to_string(v) +
                              " add up to zero and cannot be scaled.");
      scale[v] = before / after;
    }
    n_slots = std::max(n_slots, bones.size());
  }
  require(n_slots <= kMaxBonesPerVertex,
          "SkinWeights: a vertex follows " + std::to_string(n_slots) + " bones, more than " +
              std::to_string(kMaxBonesPerVertex) + ".",
          "Give max_bones to keep the largest weights of each vertex.");
  // A vertex with fewer bones repeats its first one, by the weight zero, so that it touches no other.
  std::vector<std::int32_t> index(n_vertices * n_slots, 0);
  std::vector<double> value(n_vertices * n_slots, 0.0);
  for (std::size_t v = 0; v < n_vertices; ++v)
    for (std::size_t k = 0; k < n_slots && !kept[v].empty(); ++k) {
      const bool has = k < kept[v].size();
      index[v * n_slots + k] = kept[v][has ? k : 0];
      if (has) value[v * n_slots + k] = scale[v] * weight[v * n_bones + kept[v][k]];
    }
  return SkinWeights(index.data(), value.data(), n_vertices, static_cast<int>(n_slots), n_bones);
}

std::size_t SkinWeights::n_vertices() const { return data_->n_vertices; }
int SkinWeights::n_bones() const { return data_->n_bones; }
int SkinWeights::n_slots() const { return data_->n_slots; }

template <class T>
SkinArrays<T> SkinWeights::arrays() const {
  const Data& d = *data_;
  SkinArrays<T> a;
  a.n_vertices = d.n_vertices;
  a.n_bones = d.n_bones;
  a.n_slots = d.n_slots;
  a.bone = d.bone.data();
  if constexpr (sizeof(T) == 4)
    a.weight = d.weight_f32.data();
  else
    a.weight = d.weight_f64.data();
  a.bone_begin = d.bone_begin.data();
  a.bone_entry = d.bone_entry.data();
  a.tile_entry = d.tile_entry.data();
  a.tile_begin = d.tile_begin.data();
  a.run_bone = d.run_bone.data();
  a.run_length = d.run_length.data();
  return a;
}

template SPORTCORE_API SkinArrays<float> SkinWeights::arrays<float>() const;
template SPORTCORE_API SkinArrays<double> SkinWeights::arrays<double>() const;

}  // namespace sportcore

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "bindings.h"
#include "sportcore/mesh.h"

namespace sportcore::bindings {
namespace {

/// An array that shares the memory of a SkinWeights and keeps it alive. Not to be written to.
template <class T>
py::array shared_array(const SkinWeights& weights, const T* data, std::vector<py::ssize_t> shape) {
  auto* const keep = new SkinWeights(weights);
  const py::capsule owner(keep, [](void* p) { delete static_cast<SkinWeights*>(p); });
  py::array a(py::dtype::of<T>(), std::move(shape), data, owner);
  a.attr("flags").attr("writeable") = false;
  return a;
}

std::vector<py::ssize_t> slots_shape(const SkinWeights& w) {
  return {static_cast<py::ssize_t>(w.n_vertices()), w.n_slots()};
}

SkinWeights weights_from_sparse(const Array<std::int32_t>& bone_index, const Array<double>& weight,
                                int n_bones) {
  check_shape(bone_index, "bone_index", {-1, -1});
  check_shape(weight, "weight", {bone_index.shape(0), bone_index.shape(1)});
  require(bone_index.shape(1) <= kMaxBonesPerVertex,
          "bone_index: a vertex can follow at most " + std::to_string(kMaxBonesPerVertex) + " bones, got " +
              std::to_string(bone_index.shape(1)) + ".",
          "Keep the largest weights of each vertex.");
  return SkinWeights(bone_index.data(), weight.data(), bone_index.shape(0),
                     static_cast<int>(bone_index.shape(1)), n_bones);
}

SkinWeights weights_from_dense(const Array<double>& weight, int max_bones) {
  check_shape(weight, "weights", {-1, -1});
  require(weight.shape(1) <= 65535, "weights: there can be at most 65535 bones.");
  return SkinWeights::from_dense(weight.data(), weight.shape(0), static_cast<int>(weight.shape(1)),
                                 max_bones);
}

/// Checks shapes and fills the input; vertices (V, 3) or (B, V, 3).
template <class T>
SkinInput<T> input_of(const SkinWeights& w, const Array<T>& vertices, const Array<T>& transforms,
                      const std::optional<Array<T>>& weight) {
  const py::ssize_t V = static_cast<py::ssize_t>(w.n_vertices());
  check_shape(transforms, "transforms", {-1, w.n_bones(), 3, 4});
  SkinInput<T> in;
  in.n_frames = transforms.shape(0);
  in.vertices_per_frame = vertices.ndim() == 3;
  if (in.vertices_per_frame)
    check_shape(vertices, "vertices", {transforms.shape(0), V, 3});
  else
    check_shape(vertices, "vertices", {V, 3});
  if (weight) check_shape(*weight, "weight", {V, w.n_slots()});
  in.vertices = vertices.data();
  in.transforms = transforms.data();
  in.weight = weight ? weight->data() : nullptr;
  return in;
}

template <class T>
Array<T> skin_array(const SkinWeights& weights, const Array<T>& vertices, const Array<T>& transforms,
                    const std::optional<Array<T>>& weight, const SkinOptions& options) {
  const SkinInput<T> in = input_of(weights, vertices, transforms, weight);
  Array<T> out({transforms.shape(0), static_cast<py::ssize_t>(weights.n_vertices()), py::ssize_t(3)});
  T* const to = out.mutable_data();
  {
    py::gil_scoped_release release;
    skin(weights, in, to, options);
  }
  return out;
}

template <class T>
py::tuple skin_backward_array(const SkinWeights& weights, const Array<T>& vertices,
                              const Array<T>& transforms, const Array<T>& grad_out,
                              const std::optional<Array<T>>& weight, const SkinOptions& options) {
  const SkinInput<T> in = input_of(weights, vertices, transforms, weight);
  check_shape(grad_out, "grad_out", {transforms.shape(0), static_cast<py::ssize_t>(weights.n_vertices()), 3});
  const auto shape_of = [](const py::array& a) {
    return std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim());
  };
  Array<T> gv(shape_of(vertices)), gt(shape_of(transforms)), gw(slots_shape(weights));
  SkinGradients<T> to;
  to.vertices = gv.mutable_data();
  to.transforms = gt.mutable_data();
  to.weight = gw.mutable_data();
  const T* g = grad_out.data();
  {
    py::gil_scoped_release release;
    skin_backward(weights, in, g, to, options);
  }
  return py::make_tuple(gv, gt, gw);
}

// Pointers and streams come as integers, 0 where there is no such array.

template <class T>
SkinInput<T> input_at(std::uintptr_t vertices, bool per_frame, std::uintptr_t transforms, std::size_t n,
                      std::uintptr_t weight) {
  return {reinterpret_cast<const T*>(vertices), per_frame, reinterpret_cast<const T*>(transforms), n,
          reinterpret_cast<const T*>(weight)};
}

template <class T>
SkinGradients<T> gradients_at(std::uintptr_t vertices, std::uintptr_t transforms, std::uintptr_t weight) {
  return {reinterpret_cast<T*>(vertices), reinterpret_cast<T*>(transforms), reinterpret_cast<T*>(weight)};
}

/// Pointers on the device to bone, bone_begin and bone_entry of a SkinWeights.
struct DeviceWeights {
  std::uintptr_t bone, bone_begin, bone_entry;
};

template <class T>
SkinArrays<T> arrays_at(const SkinWeights& weights, const DeviceWeights& at) {
  SkinArrays<T> a;
  a.n_vertices = weights.n_vertices();
  a.n_bones = weights.n_bones();
  a.n_slots = weights.n_slots();
  a.bone = reinterpret_cast<const std::uint16_t*>(at.bone);
  a.bone_begin = reinterpret_cast<const std::int64_t*>(at.bone_begin);
  a.bone_entry = reinterpret_cast<const std::uint32_t*>(at.bone_entry);
  return a;
}

template <class T>
void skin_pointers(const SkinWeights& weights, std::uintptr_t vertices, bool per_frame,
                   std::uintptr_t transforms, std::size_t n, std::uintptr_t weight, std::uintptr_t out,
                   const SkinOptions& options) {
  py::gil_scoped_release release;
  skin(weights, input_at<T>(vertices, per_frame, transforms, n, weight), reinterpret_cast<T*>(out), options);
}

template <class T>
void skin_backward_pointers(const SkinWeights& weights, std::uintptr_t vertices, bool per_frame,
                            std::uintptr_t transforms, std::size_t n, std::uintptr_t weight,
                            std::uintptr_t grad_out, std::uintptr_t grad_vertices,
                            std::uintptr_t grad_transforms, std::uintptr_t grad_weight,
                            const SkinOptions& options) {
  py::gil_scoped_release release;
  skin_backward(weights, input_at<T>(vertices, per_frame, transforms, n, weight),
                reinterpret_cast<const T*>(grad_out),
                gradients_at<T>(grad_vertices, grad_transforms, grad_weight), options);
}

template <class T>
void skin_cuda_pointers(const SkinWeights& weights, std::uintptr_t bone, std::uintptr_t vertices,
                        bool per_frame, std::uintptr_t transforms, std::size_t n, std::uintptr_t weight,
                        std::uintptr_t out, std::uintptr_t stream) {
  py::gil_scoped_release release;
  skin_cuda<T>(arrays_at<T>(weights, {bone, 0, 0}), input_at<T>(vertices, per_frame, transforms, n, weight),
               reinterpret_cast<T*>(out), reinterpret_cast<void*>(stream));
}

template <class T>
void skin_backward_cuda_pointers(const SkinWeights& weights, std::uintptr_t bone, std::uintptr_t bone_begin,
                                 std::uintptr_t bone_entry, std::uintptr_t vertices, bool per_frame,
                                 std::uintptr_t transforms, std::size_t n, std::uintptr_t weight,
                                 std::uintptr_t grad_out, std::uintptr_t grad_vertices,
                                 std::uintptr_t grad_transforms, std::uintptr_t grad_weight,
                                 std::uintptr_t stream) {
  py::gil_scoped_release release;
  skin_backward_cuda<T>(
      arrays_at<T>(weights, {bone, bone_begin, bone_entry}),
      input_at<T>(vertices, per_frame, transforms, n, weight), reinterpret_cast<const T*>(grad_out),
      gradients_at<T>(grad_vertices, grad_transforms, grad_weight), reinterpret_cast<void*>(stream));
}

template <class T>
void register_precision(py::module_& m, const std::string& suffix, bool convert) {
  const auto array = [convert](const char* name) {
    auto a = py::arg(name);
    return convert ? a : a.noconvert();
  };
  const py::arg weights("weights"), vertices("vertices"), per_frame("per_frame"), transforms("transforms"),
      n("n"), weight("weight"), out("out"), stream("stream"), bone("bone"), grad_out("grad_out"),
      grad_vertices("grad_vertices"), grad_transforms("grad_transforms"), grad_weight("grad_weight"),
      options("options");
  m.def("skin", &skin_array<T>, weights, array("vertices"), array("transforms"), array("weight") = py::none(),
        options = SkinOptions(),
        "vertices (V, 3) or (B, V, 3) and transforms (B, J, 3, 4) -> (B, V, 3), in their precision; weight "
        "(V, K) takes the place of the values of weights.");
  m.def("skin_backward", &skin_backward_array<T>, weights, array("vertices"), array("transforms"),
        array("grad_out"), array("weight") = py::none(), options = SkinOptions(),
        "Gradients by vertices, transforms and weight (V, K) of a scalar whose gradient by the output of "
        "skin is grad_out (B, V, 3).");
  const char* doc = "skin on host memory: pointers as integers, 0 where there is no such array.";
  m.def(("skin_host_" + suffix).c_str(), &skin_pointers<T>, weights, vertices, per_frame, transforms, n,
        weight, out, options, doc);
  m.def(("skin_backward_host_" + suffix).c_str(), &skin_backward_pointers<T>, weights, vertices, per_frame,
        transforms, n, weight, grad_out, grad_vertices, grad_transforms, grad_weight, options, doc);
  const char* doc_cuda =
      "skin on CUDA memory: pointers and stream as integers, 0 where there is no such array; bone, "
      "bone_begin and bone_entry are copies of those of weights.";
  m.def(("skin_cuda_" + suffix).c_str(), &skin_cuda_pointers<T>, weights, bone, vertices, per_frame,
        transforms, n, weight, out, stream, doc_cuda);
  m.def(("skin_backward_cuda_" + suffix).c_str(), &skin_backward_cuda_pointers<T>, weights, bone,
        py::arg("bone_begin"), py::arg("bone_entry"), vertices, per_frame, transforms, n, weight, grad_out,
        grad_vertices, grad_transforms, grad_weight, stream, doc_cuda);
}

}  // namespace

void register_skin(py::module_& m) {
  py::class_<SkinOptions> options(m, "SkinOptions", "Threads and device of skinning.");
  options.def(py::init<>())
      .def_readwrite("num_threads", &SkinOptions::num_threads, "0: one per available core")
      .def_readwrite("cuda", &SkinOptions::cuda, "run on the first CUDA device");
  add_options_protocol(options, {"num_threads", "cuda"});

  py::class_<SkinWeights>(m, "SkinWeights", "Which bones move which vertices; see sportcore.body.")
      .def(py::init(&weights_from_sparse), py::arg("bone_index"), py::arg("weight"), py::arg("n_bones"),
           "bone_index and weight (V, K).")
      .def_static("from_dense", &weights_from_dense, py::arg("weights"), py::arg("max_bones") = 0,
                  "weights (V, J); max_bones > 0 keeps the largest of each vertex, scaled to the old sum.")
      .def_property_readonly("n_vertices", &SkinWeights::n_vertices)
      .def_property_readonly("n_bones", &SkinWeights::n_bones)
      .def_property_readonly("n_slots", &SkinWeights::n_slots, "K, the bones of a vertex")
      .def_property_readonly(
          "bone",
          [](const SkinWeights& w) { return shared_array(w, w.arrays<double>().bone, slots_shape(w)); },
          "(V, K) uint16")
      .def_property_readonly(
          "weight",
          [](const SkinWeights& w) { return shared_array(w, w.arrays<double>().weight, slots_shape(w)); },
          "(V, K) float64")
      .def_property_readonly(
          "bone_begin",
          [](const SkinWeights& w) {
            return shared_array(w, w.arrays<double>().bone_begin, {w.n_bones() + 1});
          },
          "(J + 1,) int64, where the entries of a bone begin in bone_entry")
      .def_property_readonly(
          "bone_entry",
          [](const SkinWeights& w) {
            const auto shape = slots_shape(w);
            return shared_array(w, w.arrays<double>().bone_entry, {shape[0] * shape[1]});
          },
          "(V K,) uint32: 16 * vertex + slot, by bone, then by vertex")
      .def(py::pickle(
          [](const SkinWeights& w) {
            const auto shape = slots_shape(w);
            return py::make_tuple(shared_array(w, w.arrays<double>().bone, shape),
                                  shared_array(w, w.arrays<double>().weight, shape), w.n_bones());
          },
          [](const py::tuple& state) {
            return weights_from_sparse(state[0].cast<Array<std::int32_t>>(), state[1].cast<Array<double>>(),
                                       state[2].cast<int>());
          }));
  m.attr("MAX_BONES_PER_VERTEX") = kMaxBonesPerVertex;
  register_precision<float>(m, "f32", false);
  register_precision<double>(m, "f64", true);
}

}  // namespace sportcore::bindings

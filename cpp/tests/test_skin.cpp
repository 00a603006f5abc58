// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "check.h"
#include "sportcore/error.h"
#include "sportcore/mesh.h"
#include "sportcore/skin_vertex.h"

using namespace sportcore;
using namespace sportcore::test;

namespace {

struct Size {
  std::size_t V, B;
  int J, K;
};

/// Everything in double, summed in the order of the definition.
struct Problem {
  Size size;
  bool per_frame;
  std::vector<std::int32_t> bone;
  std::vector<double> weight, vertices, transforms, grad_out;

  Problem(const Size& s, bool per_frame_) : size(s), per_frame(per_frame_) {
    auto rng = random_for("skin" + std::to_string(s.V) + "," + std::to_string(s.B));
    std::uniform_real_distribution<double> u(-1, 1);
    const auto fill = [&](std::vector<double>& a, std::size_t n) {
      a.resize(n);
      for (double& x : a) x = u(rng);
    };
    bone.resize(s.V * s.K);
    for (auto& b : bone) b = static_cast<std::int32_t>(rng() % s.J);
    fill(weight, s.V * s.K);
    fill(vertices, 3 * s.V * (per_frame ? s.B : 1));
    fill(transforms, 12 * s.B * s.J);
    fill(grad_out, 3 * s.V * s.B);
  }

  void solve(std::vector<double>& y, std::vector<double>& gv, std::vector<double>& gt,
             std::vector<double>& gw) const {
    y.assign(3 * size.V * size.B, 0);
    gv.assign(vertices.size(), 0);
    gt.assign(transforms.size(), 0);
    gw.assign(weight.size(), 0);
    for (std::size_t b = 0; b < size.B; ++b)
      for (std::size_t v = 0; v < size.V; ++v) {
        const std::size_t at = 3 * (b * size.V + v), from = per_frame ? at : 3 * v;
        for (int k = 0; k < size.K; ++k) {
          const std::size_t slot = v * size.K + k, bone_at = 12 * (b * size.J + bone[slot]);
          for (int r = 0; r < 3; ++r) {
            double moved = transforms[bone_at + 4 * r + 3];
            for (int c = 0; c < 3; ++c) {
              moved += transforms[bone_at + 4 * r + c] * vertices[from + c];
              gv[from + c] += weight[slot] * transforms[bone_at + 4 * r + c] * grad_out[at + r];
              gt[bone_at + 4 * r + c] += weight[slot] * grad_out[at + r] * vertices[from + c];
            }
            gt[bone_at + 4 * r + 3] += weight[slot] * grad_out[at + r];
            y[at + r] += weight[slot] * moved;
            gw[slot] += grad_out[at + r] * moved;
          }
        }
      }
  }
};

template <class T>
std::vector<T> cast(const std::vector<double>& a) {
  return std::vector<T>(a.begin(), a.end());
}

template <class T>
void near(const std::vector<T>& a, const std::vector<double>& b, double tolerance, const std::string& what) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(double(a[i]) - b[i]) / (1 + std::abs(b[i]));
    if (!(d <= worst)) worst = d;  // NaN as well
  }
  expect_near(worst, 0, tolerance, what);
}

template <class T>
void agrees(const Size& s, bool per_frame, double tolerance) {
  const std::string name = std::string(sizeof(T) == 4 ? "float" : "double") + " V" + std::to_string(s.V) +
                           " B" + std::to_string(s.B) + " K" + std::to_string(s.K) +
                           (per_frame ? " per frame" : " shared");
  const Problem p(s, per_frame);
  std::vector<double> y, gv, gt, gw;
  p.solve(y, gv, gt, gw);
  const SkinWeights weights(p.bone.data(), p.weight.data(), s.V, s.K, s.J);
  const std::vector<T> vertices = cast<T>(p.vertices), transforms = cast<T>(p.transforms),
                       grad = cast<T>(p.grad_out);
  SkinInput<T> in;
  in.vertices = vertices.data();
  in.vertices_per_frame = per_frame;
  in.transforms = transforms.data();
  in.n_frames = s.B;
  const T poison = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> first[4];
  for (int threads : {1, 3}) {
    SkinOptions options;
    options.num_threads = threads;
    std::vector<T> out[4] = {std::vector<T>(y.size(), poison), std::vector<T>(gv.size(), poison),
                             std::vector<T>(gt.size(), poison), std::vector<T>(gw.size(), poison)};
    skin(weights, in, out[0].data(), options);
    SkinGradients<T> to;
    to.vertices = out[1].data();
    to.transforms = out[2].data();
    to.weight = out[3].data();
    skin_backward(weights, in, grad.data(), to, options);
    near(out[0], y, tolerance, name + ": forward");
    near(out[1], gv, tolerance * 8, name + ": gradient by vertices");
    near(out[2], gt, tolerance * 64, name + ": gradient by transforms");
    near(out[3], gw, tolerance * 8, name + ": gradient by weights");
    for (int i = 0; i < 4; ++i) {
      if (threads == 1) first[i] = out[i];
      const std::size_t bytes = out[i].size() * sizeof(T);
      expect(bytes == 0 || !std::memcmp(first[i].data(), out[i].data(), bytes),
             name + ": the same bits on any number of threads");
    }
  }
  // each gradient alone is the same as together
  for (int only = 1; only < 4; ++only) {
    std::vector<T> alone(first[only].size(), poison);
    SkinGradients<T> to;
    (only == 1 ? to.vertices : only == 2 ? to.transforms : to.weight) = alone.data();
    skin_backward(weights, in, grad.data(), to);
    expect(alone.empty() || !std::memcmp(alone.data(), first[only].data(), alone.size() * sizeof(T)),
           name + ": one gradient alone");
  }
}

void replaced_weights() {
  const Problem p({70, 6, 5, 3}, false);
  const std::vector<double> none(p.weight.size(), 0.25);
  const SkinWeights own(p.bone.data(), p.weight.data(), 70, 3, 5),
      other(p.bone.data(), none.data(), 70, 3, 5);
  SkinInput<double> in;
  in.vertices = p.vertices.data();
  in.transforms = p.transforms.data();
  in.n_frames = 6;
  std::vector<double> a(70 * 6 * 3), b(a.size());
  skin(own, in, a.data());
  in.weight = p.weight.data();
  skin(other, in, b.data());
  expect(a == b, "weights of the call take the place of those of the object");
}

void not_finite() {
  // vertex 0 follows bone 0 only, vertex 1 both, vertex 2 bone 1 only
  const std::vector<double> dense = {1, 0, 0.5, 0.5, 0, 1};
  const SkinWeights w = SkinWeights::from_dense(dense.data(), 3, 2);
  expect(w.n_slots() == 2 && w.n_bones() == 2 && w.n_vertices() == 3, "sizes");
  for (std::size_t B : {1, 5, 40}) {
    std::vector<float> x(9, 1.0f), A(24 * B, 0.5f), y(9 * B);
    for (std::size_t b = 0; b < B; ++b) A[24 * b + 12] = nan_value<float>();  // bone 1
    SkinInput<float> in;
    in.vertices = x.data();
    in.transforms = A.data();
    in.n_frames = B;
    skin(w, in, y.data());
    bool right = true;
    for (std::size_t b = 0; b < B; ++b)
      right = right && is_finite(y[9 * b]) && std::isnan(y[9 * b + 3]) && std::isnan(y[9 * b + 6]) &&
              is_finite(y[9 * b + 4]);
    expect(right, "a transform that is not finite reaches the vertices of its bone, and no other");
    // one vertex is not finite: the others' gradients are, also where lanes are empty
    x[0] = nan_value<float>();
    std::fill(A.begin(), A.end(), 0.5f);
    std::vector<float> g(9 * B, 1.0f), gv(9), gt(24 * B), gw(6);
    SkinGradients<float> to;
    to.vertices = gv.data();
    to.transforms = gt.data();
    to.weight = gw.data();
    skin_backward(w, in, g.data(), to);
    right = std::all_of(gv.begin(), gv.end(), [](float v) { return std::isfinite(v); }) &&
            std::isnan(gw[0]) && std::isfinite(gw[2]) && std::isfinite(gw[4]);
    for (std::size_t b = 0; b < B; ++b) right = right && std::isnan(gt[24 * b]) && is_finite(gt[24 * b + 12]);
    expect(right, "a vertex that is not finite reaches the gradients of its bones only");
  }
}

void pruning() {
  const std::vector<double> dense = {0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0};
  const SkinWeights w = SkinWeights::from_dense(dense.data(), 2, 4, 2);
  const SkinArrays<double> a = w.arrays<double>();
  expect(a.n_slots == 2 && a.bone[0] == 2 && a.bone[1] == 3, "the largest weights are kept");
  expect_near(a.weight[0], 0.3 / 0.7, 1e-15, "scaled to the old sum");
  expect_near(a.weight[1], 0.4 / 0.7, 1e-15, "scaled to the old sum");
  expect(a.weight[2] == 0 && a.weight[3] == 0, "a vertex without bones");
}

template <class F>
void refused(F f, const std::string& what) {
  bool thrown = false;
  try {
    f();
  } catch (const InputError&) {
    thrown = true;
  }
  expect(thrown, "refused: " + what);
}

void refusals() {
  const std::int32_t good[2] = {0, 1}, high[2] = {0, 2}, low[2] = {-1, 0};
  const double w[2] = {0.5, 0.5}, bad[2] = {0.5, nan_value<double>()};
  refused([&] { SkinWeights(high, w, 1, 2, 2); }, "a bone that is not there");
  refused([&] { SkinWeights(low, w, 1, 2, 2); }, "a negative bone");
  refused([&] { SkinWeights(good, bad, 1, 2, 2); }, "a weight that is not finite");
  refused([&] { SkinWeights(good, w, 1, 2, 0); }, "no bones");
  refused([&] { SkinWeights(good, w, 1, 0, 2); }, "no slots");
  refused([&] { SkinWeights(good, w, 1, 2, 65536); }, "too many bones");
  refused([&] { SkinWeights(good, w, std::size_t(1) << 28, 2, 2); }, "too many vertices");
  refused([&] { SkinWeights::from_dense(bad, 1, 2); }, "a dense weight that is not finite");
  const std::vector<double> many(17, 0.1);
  refused([&] { SkinWeights::from_dense(many.data(), 1, 17); }, "17 bones of one vertex");
  SkinInput<double> in;
  in.n_frames = 1;
  refused([&] { skin(SkinWeights(good, w, 1, 2, 2), in, static_cast<double*>(nullptr)); }, "no arrays");
}

void derivatives_of_one_vertex() {
  const double A[12] = {0.3, -0.7, 0.2, 1.1, 0.9, 0.4, -0.6, -0.2, 0.1, 0.8, 0.5, 0.6},
               x[3] = {0.4, -1.2, 0.7}, g[3] = {1.3, -0.4, 0.9}, w = 0.35, h = 1e-6;
  const auto value = [&](const double* A_, const double* x_, double w_) {
    double M[12] = {}, y[3];
    blend_add(w_, A_, M);
    transform_point(M, x_, y);
    return y[0] * g[0] + y[1] * g[1] + y[2] * g[2];
  };
  double M[12] = {}, gx[3], D[12] = {};
  blend_add(w, A, M);
  rotate_back(M, g, gx);
  outer_add(w, g, x, D);
  for (int i = 0; i < 12; ++i) {
    double up[12], down[12];
    std::copy(A, A + 12, up);
    std::copy(A, A + 12, down);
    up[i] += h;
    down[i] -= h;
    expect_near(D[i], (value(up, x, w) - value(down, x, w)) / (2 * h), 1e-8, "by the transform");
  }
  for (int i = 0; i < 3; ++i) {
    double up[3] = {x[0], x[1], x[2]}, down[3] = {x[0], x[1], x[2]};
    up[i] += h;
    down[i] -= h;
    expect_near(gx[i], (value(A, up, w) - value(A, down, w)) / (2 * h), 1e-8, "by the vertex");
  }
  expect_near(transform_dot(A, x, g), (value(A, x, w + h) - value(A, x, w - h)) / (2 * h), 1e-8,
              "by the weight");
}

}  // namespace

int main() {
  derivatives_of_one_vertex();
  for (const Size& s :
       {Size{1, 1, 1, 1}, Size{63, 4, 3, 2}, Size{64, 5, 24, 4}, Size{65, 16, 24, 4}, Size{200, 17, 52, 4},
        Size{130, 37, 7, 8}, Size{33, 70, 5, 16}, Size{2100, 131, 4, 4}, Size{0, 3, 2, 1}, Size{5, 0, 2, 1}})
    for (bool per_frame : {false, true}) {
      agrees<float>(s, per_frame, 3e-6);
      agrees<double>(s, per_frame, 1e-14);
    }
  replaced_weights();
  not_finite();
  pruning();
  refusals();
  return finish("skin");
}

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Spoilt input to every function of the calibration: an InputError, or a result whose numbers are finite.
// Meant for the sanitizers: out-of-range reads, undefined arithmetic and casts show up here.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "check.h"
#include "sportcore/calibrate.h"
#include "sportcore/error.h"
#include "sportcore/essential.h"
#include "sportcore/reproject.h"
#include "sportcore/resection.h"
#include "sportcore/triangulate.h"

namespace sportcore::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

double odd_value(std::mt19937& rng) {
  static const double values[] = {kNan,  kInf,  -kInf, 0.0,    -0.0,         1e30, -1e30, 1e300,
                                  1e154, -1e10, 1e-30, 5e-324, 2147483648.0, 1e9,  -1.0,  0.5};
  return values[rng() % (sizeof(values) / sizeof(values[0]))];
}

void spoil(std::vector<double>& v, std::mt19937& rng) {
  static const double shares[] = {0.0, 0.01, 0.1, 0.5, 1.0};
  const double share = shares[rng() % 5], value = odd_value(rng);
  std::uniform_real_distribution<double> u(0, 1);
  for (double& x : v)
    if (u(rng) < share) x = rng() % 4 == 0 ? odd_value(rng) : value;
}

/// Cameras on a ring around a cloud of joints that walks about.
struct Scene {
  std::size_t C, T, J;
  std::vector<Camera<double>> cameras;
  std::vector<Intrinsics<double>> lens;
  std::vector<double> X, xy, weight;
  std::vector<std::int32_t> flip, bones, bone_pairs;

  Scene(std::size_t c, std::size_t t, std::size_t j, std::mt19937& rng) : C(c), T(t), J(j) {
    std::uniform_real_distribution<double> u(-1, 1);
    std::normal_distribution<double> g(0, 1);
    for (std::size_t i = 0; i < C; ++i) {
      Camera<double> cam = example_camera(rng() % 3 == 0 ? kBrown : kPinhole, rng() % 2 ? 5 : 0);
      const double w[3] = {0, 6.283185307 * double(i) / double(C) + 0.2 * u(rng), 0};
      so3_exp(w, cam.R);
      cam.t[0] = 0.1 * u(rng), cam.t[1] = 0.1 * u(rng), cam.t[2] = 6 + u(rng);
      cameras.push_back(cam);
      lens.push_back(cam.lens);
    }
    std::vector<double> body(3 * J);
    for (double& b : body) b = 0.6 * u(rng);
    for (std::size_t f = 0; f < T; ++f)
      for (std::size_t k = 0; k < J; ++k) {
        const double s = 0.21 * double(f);
        X.push_back(body[3 * k] + std::sin(s) + 0.1 * std::sin(3 * s + double(k)));
        X.push_back(body[3 * k + 1] + 0.1 * std::sin(2 * s));
        X.push_back(body[3 * k + 2] + std::cos(0.7 * s));
      }
    xy.resize(2 * C * T * J);
    reproject(cameras.data(), C, X.data(), T * J, xy.data());
    for (double& v : xy) v += g(rng);
    weight.assign(C * T * J, 0.9);
    for (std::size_t k = 0; k < J; ++k) flip.push_back(std::int32_t(k ^ 1) < std::int32_t(J) ? k ^ 1 : k);
    for (std::size_t k = 0; k + 1 < J; ++k) bones.insert(bones.end(), {std::int32_t(k), std::int32_t(k + 1)});
    if (J > 3) bone_pairs = {0, 2};
  }

  BodyObservations observations() const {
    BodyObservations in;
    in.num_cameras = C, in.num_frames = T, in.num_joints = J;
    in.xy = xy.data(), in.weight = weight.data(), in.lens = lens.data(), in.flip = flip.data();
    in.num_bones = bones.size() / 2, in.bones = bones.data();
    in.num_bone_pairs = bone_pairs.size() / 2, in.bone_pairs = bone_pairs.data();
    in.frame_s = 0.02;
    return in;
  }
};

bool finite(const double* v, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    if (!std::isfinite(v[i])) return false;
  return true;
}

void calibration(int cases) {
  static const std::size_t counts[] = {1, 2, 3, 4}, frames[] = {0, 1, 2, 12, 40}, joints[] = {0, 1, 2, 5, 9};
  for (int i = 0; i < cases; ++i) {
    std::mt19937 rng = random_for("calibration " + std::to_string(i));
    Scene s(counts[rng() % 4], frames[rng() % 5], joints[rng() % 5], rng);
    const std::vector<double> clean = s.xy;
    switch (rng() % 6) {
      case 0:
        spoil(s.weight, rng);
        break;
      case 1:
        for (std::size_t k = 0; k < s.xy.size(); ++k) s.xy[k] = s.xy[k % std::max<std::size_t>(2 * s.J, 1)];
        break;  // one pose in all frames and cameras
      case 2:
        s.lens[0].fx = s.lens[0].fy = rng() % 2 ? 1e-6 : 1e200;
        break;
      case 3:
        for (int k = 0; k < 4; ++k) s.lens[0].k[k] = 1e10;
        s.lens[0].model = kBrown, s.lens[0].n_distortion = 4;
        break;
      default:
        spoil(s.xy, rng);
    }
    const std::vector<double> given = s.xy;
    CalibrateOptions options;
    options.seed = rng();
    options.num_threads = int(rng() % 3);
    options.probe_focal = rng() % 2;
    options.clocks = rng() % 3 == 0, options.drift = options.clocks && rng() % 2;
    options.radial = rng() % 4 == 0, options.principal_point = rng() % 4 == 0;
    options.focal = FocalRefinement(rng() % 3);
    if (rng() % 8 == 0) options.max_frames = int(rng() % 3);
    const std::string what = "calibration case " + std::to_string(i);
    try {
      const CalibrateResult r = calibrate_bodies(s.observations(), options);
      expect(r.cameras.size() == s.C && r.connected.size() == s.C, what + ": sizes");
      if (r.start_first >= 0)
        for (const Camera<double>& c : r.cameras)
          expect(finite(c.R, 9) && finite(c.t, 3), what + ": a pose is not finite");
      find_swaps(s.observations(), r.cameras.data(), 20.0, 1);
    } catch (const InputError&) {
    }
    try {
      const double limits[] = {20.0, 1e-300, 1e300};
      find_swaps(s.observations(), s.cameras.data(), limits[rng() % 3], 2);
      for (int most : {1, 7, 1000}) {
        const std::vector<std::int32_t> f = select_frames(s.observations(), most);
        expect(f.size() <= std::size_t(most), what + ": more frames than asked for");
        for (std::int32_t k : f) expect(k >= 0 && std::size_t(k) < s.T, what + ": a frame that is not there");
      }
    } catch (const InputError&) {
    }
    expect(given.empty() || std::memcmp(given.data(), s.xy.data(), given.size() * sizeof(double)) == 0,
           what + ": the input was changed");
  }
}

void solvers(int cases) {
  std::vector<double> E(90), R(36), t(12);
  for (int i = 0; i < cases; ++i) {
    std::mt19937 rng = random_for("solvers " + std::to_string(i));
    std::normal_distribution<double> g(0, 1);
    const std::size_t n = (i % 7 == 0) ? rng() % 9 : 40;
    std::vector<double> x1(2 * n), x2(2 * n), X(3 * n), w(n, 1.0), small1(10), small2(10), P(9);
    for (auto* v : {&x1, &x2, &X, &small1, &small2, &P})
      for (double& x : *v) x = 0.3 * g(rng);
    if (rng() % 3 == 0) std::fill(x2.begin(), x2.end(), 0.1);  // all in one point
    if (rng() % 3 == 0) small2 = small1;                       // no motion
    for (auto* v : {&x1, &x2, &X, &w, &small1, &small2, &P})
      if (rng() % 3 == 0) spoil(*v, rng);
    const std::string what = "solver case " + std::to_string(i);
    const int found = essential_five_point(small1.data(), small2.data(), E.data());
    expect(found >= 0 && found <= 10, what + ": number of essential matrices");
    const int poses = pose_three_point(P.data(), small1.data(), R.data(), t.data());
    expect(poses >= 0 && poses <= 4, what + ": number of poses");
    try {
      EssentialOptions options;
      const EssentialResult r =
          estimate_essential(x1.data(), x2.data(), rng() % 2 ? w.data() : nullptr, n, 1500, 1500, options);
      expect(!r.success || (finite(r.R, 9) && finite(r.t, 3)), what + ": an essential matrix is not finite");
    } catch (const InputError&) {
    }
    try {
      ResectionOptions options;
      const ResectionResult r =
          estimate_pose(X.data(), x1.data(), rng() % 2 ? w.data() : nullptr, n, 1500, options);
      expect(!r.success || (finite(r.R, 9) && finite(r.t, 3)), what + ": a pose is not finite");
    } catch (const InputError&) {
    }
  }
}

void points(int cases) {
  static const std::size_t counts[] = {1, 2, 3, 8, 64, 65};
  for (int i = 0; i < cases; ++i) {
    std::mt19937 rng = random_for("points " + std::to_string(i));
    Scene s(counts[rng() % 6], 2, 5, rng);
    const std::size_t N = s.T * s.J;
    std::vector<double> sigma(s.weight.size(), 2.0);
    if (rng() % 2) spoil(s.xy, rng);
    if (rng() % 3 == 0) spoil(s.weight, rng);
    if (rng() % 3 == 0) spoil(sigma, rng);
    if (rng() % 4 == 0) s.cameras[0].t[2] = odd_value(rng);
    if (rng() % 4 == 0) s.cameras[0].lens.k[0] = odd_value(rng);
    std::vector<double> xyz(3 * N), covariance(9 * N), residual(s.C * N), uv(2 * s.C * N), Jx(6 * s.C * N),
        Jp(12 * s.C * N);
    std::vector<std::uint8_t> status(N), views(N);
    const std::unique_ptr<bool[]> inlier(new bool[s.C * N]);
    const TriangulateOutput<double> out{xyz.data(),      status.data(), covariance.data(),
                                        residual.data(), inlier.get(),  views.data()};
    const std::string what = "points case " + std::to_string(i);
    try {
      TriangulateOptions options;
      options.robust = rng() % 4 != 0;
      triangulate(s.cameras.data(), s.C, s.xy.data(), s.weight.data(), rng() % 2 ? sigma.data() : nullptr, N,
                  out, options);
      for (std::size_t k = 0; k < N; ++k) {
        const bool ok = status[k] == 0;
        expect(ok == finite(&xyz[3 * k], 3), what + ": status and position disagree");
        if (ok) expect(views[k] >= 2 && std::size_t(views[k]) <= s.C, what + ": number of views");
      }
    } catch (const InputError&) {
    }
    spoil(s.X, rng);
    reproject_jacobians(s.cameras.data(), s.C, s.X.data(), N, uv.data(), Jx.data(), Jp.data());
    reproject_residuals(s.cameras.data(), s.C, s.X.data(), N, s.xy.data(), uv.data());
    for (std::size_t c = 0; c < s.C; ++c)
      for (std::size_t k = 0; k < N; ++k) {
        double x[2];
        if (unproject(s.cameras[c].lens, &s.xy[2 * (c * N + k)], x))
          expect(finite(x, 2), what + ": a ray that is not finite");
      }
  }
}

}  // namespace
}  // namespace sportcore::test

int main() {
  sportcore::test::calibration(25);
  sportcore::test::solvers(150);
  sportcore::test::points(120);
  return sportcore::test::finish("faults");
}

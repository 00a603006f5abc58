// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Triangulates a stream of keypoints frame by frame, as they come from the detectors, and says how long that
/// takes. Nothing is allocated and no thread is started once the stream runs.
///
///   live_triangulate CAMERAS.csv KEYPOINTS.csv POINTS.csv [--repeat TIMES]
///
/// POINTS.csv: frame,joint,x_m,y_m,z_m,sigma_m of every point that could be determined.
#include <sportcore/triangulator.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>

#include "count_allocations.h"
#include "tables.h"

namespace {

using Clock = std::chrono::steady_clock;

int run(int argc, char** argv) {
  const bool repeated = argc == 6 && std::string(argv[4]) == "--repeat";
  if (argc != 4 && !repeated) {
    std::fprintf(stderr, "usage: live_triangulate CAMERAS.csv KEYPOINTS.csv POINTS.csv [--repeat TIMES]\n");
    return 2;
  }
  const std::vector<tables::NamedCamera> rig = tables::read_cameras(argv[1]);
  const tables::Keypoints keypoints = tables::read_keypoints(argv[2], rig);
  const std::size_t C = rig.size(), T = keypoints.frames, J = keypoints.joints.size();
  const std::size_t rounds = repeated ? static_cast<std::size_t>(std::max(1, std::atoi(argv[5]))) : 1;

  // Before the stream: cameras and options are prepared, and room for one frame is made.
  std::vector<sportcore::Camera<double>> cameras;
  for (const tables::NamedCamera& c : rig) cameras.push_back(c.camera);
  sportcore::TriangulateOptions options;  // robust, with the defaults
  const sportcore::Triangulator<float> triangulate(cameras.data(), C, options);
  std::vector<float> xy(2 * C * J), score(C * J), xyz(3 * J), covariance(9 * J);
  std::vector<std::uint8_t> status(J);
  sportcore::TriangulateOutput<float> out;
  out.xyz = xyz.data();
  out.status = status.data();
  out.covariance = covariance.data();

  std::vector<double> latency_us(rounds * T);
  std::vector<float> points(3 * T * J), sigma(T * J);
  std::size_t found = 0;
  const long before = allocations();
  for (std::size_t frame = 0; frame < rounds * T; ++frame) {
    const std::size_t t = frame % T;
    for (std::size_t c = 0; c < C; ++c)  // what the detectors of the cameras deliver: (C, J, 2) and (C, J)
      for (std::size_t j = 0; j < J; ++j) {
        const std::size_t from = keypoints.at(c, t, j), to = c * J + j;
        xy[2 * to] = static_cast<float>(keypoints.xy[2 * from]);
        xy[2 * to + 1] = static_cast<float>(keypoints.xy[2 * from + 1]);
        score[to] = static_cast<float>(keypoints.score[from]);
      }
    const Clock::time_point start = Clock::now();
    triangulate(xy.data(), score.data(), nullptr, J, out);
    latency_us[frame] = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    for (std::size_t j = 0; j < J; ++j) {
      found += status[j] == 0;
      for (int k = 0; k < 3; ++k) points[3 * (t * J + j) + k] = xyz[3 * j + k];
      const float* cov = covariance.data() + 9 * j;
      sigma[t * J + j] = std::sqrt(cov[0] + cov[4] + cov[8]);
    }
  }
  const long allocated = allocations() - before;

  std::ofstream file(argv[3]);
  file << "frame,joint,x_m,y_m,z_m,sigma_m\n" << std::setprecision(9);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t j = 0; j < J; ++j) {
      const float* p = points.data() + 3 * (t * J + j);
      if (!std::isfinite(p[0])) continue;
      file << t << ',' << keypoints.joints[j] << ',' << p[0] << ',' << p[1] << ',' << p[2] << ','
           << sigma[t * J + j] << '\n';
    }
  file.close();
  sportcore::require(file.good(), std::string(argv[3]) + ": could not be written.");

  std::sort(latency_us.begin(), latency_us.end());
  const auto quantile = [&](double q) {
    return latency_us[static_cast<std::size_t>(q * (latency_us.size() - 1))];
  };
  std::printf("%zu joints, %zu cameras, %zu frames: %.1f %% of the points found\n", J, C, rounds * T,
              100.0 * found / static_cast<double>(rounds * T * J));
  std::printf("latency of a frame in us: median %.1f, 95 %% %.1f, 99 %% %.1f, largest %.1f\n", quantile(0.5),
              quantile(0.95), quantile(0.99), latency_us.back());
  std::printf("allocations while streaming: %ld\n", allocated);
  return allocated == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "live_triangulate: %s\n", e.what());
    return 1;
  }
}

// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
// Left and right exchanged in whole camera-frames.
#include <algorithm>
#include <atomic>

#include "body_views.h"
#include "sportcore/parallel.h"

namespace sportcore::detail {
namespace {

constexpr std::size_t kJudges = 8;   // cameras whose sides are decided together; the others follow
constexpr double kFits = 0.15;       // cost, as a share of the weights, of a frame that fits as it is
constexpr double kFrameGain = 0.08;  // what exchanges must save of it
constexpr double kCameraGain = 0.3;  // and of one camera's weights, where it is judged against points

struct Frame {
  const BodyViews& views;
  const std::vector<Camera<double>>& cameras;
  const std::vector<double>& centers;
  const std::vector<std::size_t>& paired;
  double threshold_px;
  std::size_t f = 0;

  // Cost of the placed cameras under an assignment, and the weights in it.
  double cost(const std::vector<std::uint8_t>& placed, std::uint64_t bits, double give_up,
              double* total) const {
    View list[64];
    double sum = 0;
    *total = 0;
    for (std::size_t j : paired) {
      const int n = views.gather(cameras, centers, placed, f, j, bits, list);
      if (n < 2) continue;
      for (int i = 0; i < n; ++i) *total += list[i].weight;
      sum += robust_point(list, n, threshold_px).cost;
      if (sum > give_up) return sum;
    }
    return sum;
  }

  // The assignment found by exchanging one camera at a time, best first, until nothing helps; the first
  // placed camera may be the wrong one too.
  std::uint64_t decide(const std::vector<std::size_t>& active,
                       const std::vector<std::uint8_t>& placed) const {
    double total = 0, span = 0;
    double best = cost(placed, 0, 1e300, &span);
    if (best < kFits * span) return 0;
    const double start = best;
    std::uint64_t bits = 0;
    for (std::size_t round = 0; round < active.size(); ++round) {
      std::uint64_t choice = bits;
      double value = best;
      for (std::size_t c : active) {
        const std::uint64_t trial = bits ^ (std::uint64_t{1} << c);
        const double v = cost(placed, trial, value, &total);
        if (v < value) value = v, choice = trial;
      }
      if (choice == bits) break;
      bits = choice, best = value;
    }
    return start - best < kFrameGain * span ? 0 : bits;
  }

  // Sides of the cameras that are not placed in `judges`, against the points of those that are.
  std::uint64_t follow(const std::vector<std::size_t>& active, const std::vector<std::uint8_t>& judges,
                       std::uint64_t bits) const {
    View list[64];
    std::vector<PointEstimate> points;
    for (std::size_t j : paired) {
      const int n = views.gather(cameras, centers, judges, f, j, bits, list);
      points.push_back(robust_point(list, n, threshold_px));
    }
    const double threshold2 = threshold_px * threshold_px;
    for (std::size_t c : active) {
      if (judges[c]) continue;
      double sum[2] = {0, 0}, total = 0;
      for (std::size_t k = 0; k < paired.size(); ++k) {
        if (!points[k].ok) continue;
        const std::size_t joint[2] = {paired[k], static_cast<std::size_t>(views.flip[paired[k]])};
        const std::size_t here = views.source(c, f, joint[0]), there = views.source(c, f, joint[1]);
        if (!(views.weight(here) > 0 && views.weight(there) > 0)) continue;
        total += views.weight(here);
        for (int side = 0; side < 2; ++side) {
          const double* x = views.normalised(side ? there : here);
          const View view{cameras[c].R,   cameras[c].t, centers.data() + 3 * c, x[0], x[1],
                          views.focal[c], 1.0,          static_cast<int>(c)};
          sum[side] += views.weight(here) * std::min(view_residual2(view, points[k].X) / threshold2, 1.0);
        }
      }
      if (sum[0] - sum[1] > kCameraGain * total) bits |= std::uint64_t{1} << c;
    }
    return bits;
  }
};

// Cameras that see most of a frame's paired joints, evenly spread over those that see nearly as much.
std::vector<std::size_t> choose_judges(const BodyViews& views, const std::vector<std::size_t>& active,
                                       const std::vector<std::size_t>& paired, std::size_t f) {
  std::vector<std::size_t> seen(views.C, 0), order, out;
  for (std::size_t c : active)
    for (std::size_t j : paired) seen[c] += views.weight(views.slot(c, f, j)) > 0;
  order = active;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return seen[a] > seen[b]; });
  const std::size_t least = 3 * seen[order[kJudges - 1]];
  std::vector<std::size_t> good;
  for (std::size_t c : active)
    if (4 * seen[c] >= least) good.push_back(c);
  for (std::size_t i = 0; i < kJudges; ++i) out.push_back(good[i * good.size() / kJudges]);
  return out;
}

}  // namespace

std::size_t undo_swaps(BodyViews& views, const std::vector<Camera<double>>& cameras,
                       const std::vector<std::uint8_t>& placed, double threshold_px, int num_threads) {
  if (!views.flip) return 0;
  std::vector<std::size_t> paired, active;
  for (std::size_t j = 0; j < views.J; ++j)
    if (static_cast<std::size_t>(views.flip[j]) != j) paired.push_back(j);
  for (std::size_t c = 0; c < views.C; ++c)
    if (placed[c]) active.push_back(c);
  if (paired.empty() || active.size() < 2) return 0;
  const std::vector<double> centers = camera_centers(cameras);
  std::atomic<std::size_t> changed{0};
  parallel_for(views.F, 8, num_threads, [&](std::size_t begin, std::size_t end) {
    Frame frame{views, cameras, centers, paired, threshold_px};
    for (std::size_t f = begin; f < end; ++f) {
      frame.f = f;
      std::uint64_t bits = 0;
      if (active.size() <= kJudges) {
        bits = frame.decide(active, placed);
      } else {
        const std::vector<std::size_t> judges = choose_judges(views, active, paired, f);
        std::vector<std::uint8_t> judging(views.C, 0);
        for (std::size_t c : judges) judging[c] = 1;
        bits = frame.follow(active, judging, frame.decide(judges, judging));
      }
      // Exchanging all cameras changes nothing between them; take the description with fewer exchanges.
      std::size_t ones = 0;
      for (std::size_t c : active) ones += bits >> c & 1;
      if (ones == 0) continue;
      for (std::size_t c : active) {
        const bool swap = (bits >> c & 1) != (2 * ones > active.size() ? 1u : 0u);
        if (swap) views.swapped[c * views.F + f] ^= 1, ++changed;
      }
    }
  });
  return changed;
}

}  // namespace sportcore::detail

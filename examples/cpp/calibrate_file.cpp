// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// Finds where cameras stand from the keypoints of a moving athlete.
///
///   calibrate_file KEYPOINTS.csv LENSES.csv CAMERAS.csv [--distance CAMERA CAMERA METRES]
///
/// LENSES.csv holds the cameras' names and lenses; its poses, if any, are not looked at. CAMERAS.csv becomes
/// the same with poses, in the frame of the first camera: x right, y down, z forward. Its unit is the metre
/// when the distance of two cameras is given, else the distance of the two that the work began with. (The
/// Python package also puts the vertical and the floor on it.)
#include <sportcore/calibrate.h>
#include <sportcore/similarity.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <set>

#include "tables.h"

namespace {

std::size_t index_of(const std::vector<tables::NamedCamera>& rig, const std::string& name) {
  for (std::size_t c = 0; c < rig.size(); ++c)
    if (rig[c].name == name) return c;
  throw sportcore::InputError("There is no camera '" + name + "'.");
}

/// Index of the joint of this name, or -1.
int joint(const std::vector<std::string>& joints, const std::string& name) {
  const auto at = std::find(joints.begin(), joints.end(), name);
  return at == joints.end() ? -1 : static_cast<int>(at - joints.begin());
}

std::string other_side(const std::string& name) {
  if (name.rfind("left_", 0) == 0) return "right_" + name.substr(5);
  if (name.rfind("right_", 0) == 0) return "left_" + name.substr(6);
  return name;
}

/// What the names of joints say: sides, bones, and bones of equal length.
struct Skeleton {
  std::vector<std::int32_t> flip, bones, pairs;
};

Skeleton skeleton_of(const std::vector<std::string>& joints) {
  Skeleton s;
  for (std::size_t j = 0; j < joints.size(); ++j) {
    const int mirrored = joint(joints, other_side(joints[j]));
    s.flip.push_back(mirrored < 0 ? static_cast<std::int32_t>(j) : mirrored);
  }
  const char* const limbs[][2] = {
      {"hip", "knee"}, {"knee", "ankle"}, {"shoulder", "elbow"}, {"elbow", "wrist"}};
  for (const auto& limb : limbs) {
    int found = 0;
    for (const std::string side : {"left_", "right_"}) {
      const int a = joint(joints, side + limb[0]), b = joint(joints, side + limb[1]);
      if (a < 0 || b < 0) continue;
      s.bones.insert(s.bones.end(), {a, b});
      ++found;
    }
    const std::int32_t last = static_cast<std::int32_t>(s.bones.size() / 2) - 1;
    if (found == 2) s.pairs.insert(s.pairs.end(), {last - 1, last});
  }
  return s;
}

int run(int argc, char** argv) {
  if (argc != 4 && !(argc == 8 && std::string(argv[4]) == "--distance")) {
    std::fprintf(
        stderr,
        "usage: calibrate_file KEYPOINTS.csv LENSES.csv CAMERAS.csv [--distance CAMERA CAMERA METRES]\n");
    return 2;
  }
  std::vector<tables::NamedCamera> rig = tables::read_cameras(argv[2]);
  const tables::Keypoints keypoints = tables::read_keypoints(argv[1], rig);
  const Skeleton skeleton = skeleton_of(keypoints.joints);
  std::vector<sportcore::Intrinsics<double>> lenses;
  for (const tables::NamedCamera& c : rig) lenses.push_back(c.camera.lens);

  sportcore::BodyObservations observations;
  observations.num_cameras = rig.size();
  observations.num_frames = keypoints.frames;
  observations.num_joints = keypoints.joints.size();
  observations.xy = keypoints.xy.data();
  observations.weight = keypoints.score.data();
  observations.lens = lenses.data();
  observations.flip = skeleton.flip.data();
  observations.bones = skeleton.bones.data();
  observations.num_bones = skeleton.bones.size() / 2;
  observations.bone_pairs = skeleton.pairs.data();
  observations.num_bone_pairs = skeleton.pairs.size() / 2;
  sportcore::CalibrateOptions options;
  options.bone_lengths = observations.num_bones > 0;
  const sportcore::CalibrateResult result = sportcore::calibrate_bodies(observations, options);

  if (result.start_first < 0)
    throw sportcore::DegenerateError("No two cameras share enough of the athlete's motion.");
  for (std::size_t c = 0; c < rig.size(); ++c)
    if (!result.connected[c])
      throw sportcore::DegenerateError("Camera '" + rig[c].name + "' could not be connected to the others.");
  for (std::size_t c = 0; c < rig.size(); ++c) rig[c].camera = result.cameras[c];

  // The first camera becomes the world; a known distance gives the metre.
  sportcore::Similarity world;
  if (argc == 8) {
    double a[3], b[3], d[3];
    sportcore::camera_center(rig[index_of(rig, argv[5])].camera, a);
    sportcore::camera_center(rig[index_of(rig, argv[6])].camera, b);
    for (int k = 0; k < 3; ++k) d[k] = a[k] - b[k];
    const double apart = std::sqrt(sportcore::dot3(d, d)), metres = tables::number(argv[7], "--distance", 0);
    sportcore::require(apart > 0 && metres > 0,
                       "--distance needs two different cameras and a positive distance.");
    world.scale = metres / apart;
  }
  const sportcore::Camera<double> first = rig[0].camera;
  std::copy(first.R, first.R + 9, world.R);
  for (int k = 0; k < 3; ++k) world.t[k] = world.scale * first.t[k];
  for (tables::NamedCamera& c : rig) sportcore::transform(world, c.camera);
  tables::write_cameras(argv[3], rig);

  std::printf("%zu cameras from %zu frames of %zu joints, started from %s and %s\n", rig.size(),
              result.frames.size(), keypoints.joints.size(), rig[result.start_first].name.c_str(),
              rig[result.start_second].name.c_str());
  std::printf("deviation of an observation %.2f px, adjustment %s, unit: %s\n", result.sigma_px,
              result.bundle.lm.converged ? "converged" : "did not converge",
              argc == 8 ? "metre" : "distance of the first two");
  return result.bundle.lm.converged ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {  // what() says what is wrong, and what to do
    std::fprintf(stderr, "calibrate_file: %s\n", e.what());
    return 1;
  }
}

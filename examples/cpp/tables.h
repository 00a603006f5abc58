// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// The two tables of the examples, as sportcore.io.write_keypoints_csv and write_cameras_csv write them
/// (docs/formats.md): commas, one header line, names without commas or quotes.
#pragma once

#include <sportcore/camera.h>
#include <sportcore/error.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace tables {

inline const char* const kKeypointHeader = "camera,frame,joint,x_px,y_px,score";
inline const char* const kCameraHeader =
    "camera,width,height,model,fx,fy,cx,cy,k1,k2,p1,p2,k3,k4,k5,k6,r11,r12,r13,r21,r22,r23,r31,r32,r33,tx,ty,"
    "tz";

inline std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (char c : line) {
    if (c == '\r') continue;
    if (c == ',')
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

/// The lines below the header, cut into cells; InputError unless the header is as it should be.
inline std::vector<std::vector<std::string>> read(const std::string& path, const std::string& header) {
  std::ifstream file(path);
  sportcore::require(file.good(), path + ": cannot be read.");
  std::string line;
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  sportcore::require(line == header, path + ": the first line should be " + header + ".");
  std::vector<std::vector<std::string>> rows;
  const std::size_t columns = cells_of(header).size();
  while (std::getline(file, line)) {
    if (line.empty() || line == "\r") continue;
    rows.push_back(cells_of(line));
    sportcore::require(rows.back().size() == columns, path + ": line " + std::to_string(rows.size() + 1) +
                                                          " has " + std::to_string(rows.back().size()) +
                                                          " cells, not " + std::to_string(columns) + ".");
  }
  return rows;
}

inline double number(const std::string& cell, const std::string& path, std::size_t line) {
  char* end = nullptr;
  const double value = std::strtod(cell.c_str(), &end);
  sportcore::require(!cell.empty() && *end == '\0',
                     path + ": line " + std::to_string(line) + ": '" + cell + "' is no number.");
  return value;
}

struct NamedCamera {
  std::string name;
  int width = 0, height = 0;
  sportcore::Camera<double> camera{};
};

inline std::vector<NamedCamera> read_cameras(const std::string& path) {
  std::vector<NamedCamera> out;
  std::size_t line = 1;
  for (const std::vector<std::string>& row : read(path, kCameraHeader)) {
    ++line;
    NamedCamera c;
    c.name = row[0];
    sportcore::Intrinsics<double>& lens = c.camera.lens;
    lens.model = row[3] == "brown"     ? sportcore::kBrown
                 : row[3] == "fisheye" ? sportcore::kFisheye
                                       : sportcore::kPinhole;
    sportcore::require(lens.model != sportcore::kPinhole || row[3] == "pinhole",
                       path + ": unknown model '" + row[3] + "'.", "Use pinhole, brown or fisheye.");
    std::vector<double> v;
    const bool posed = !row[16].empty();
    for (std::size_t k = 1; k < row.size(); ++k)
      v.push_back(k == 3 || (k >= 16 && !posed) ? 0.0 : number(row[k], path, line));
    c.width = static_cast<int>(v[0]), c.height = static_cast<int>(v[1]);
    lens.fx = v[3], lens.fy = v[4], lens.cx = v[5], lens.cy = v[6];
    for (int k = 0; k < sportcore::kMaxDistortion; ++k) {
      lens.k[k] = v[7 + k];
      if (lens.k[k] != 0) lens.n_distortion = k < 4 ? 4 : (k < 5 ? 5 : 8);
    }
    for (int k = 0; k < 9; ++k) c.camera.R[k] = posed ? v[15 + k] : (k % 4 == 0 ? 1.0 : 0.0);
    for (int k = 0; k < 3; ++k) c.camera.t[k] = v[24 + k];
    out.push_back(c);
  }
  sportcore::require(!out.empty(), path + ": holds no camera.");
  return out;
}

inline void write_cameras(const std::string& path, const std::vector<NamedCamera>& cameras) {
  std::ofstream file(path);
  file << kCameraHeader << '\n' << std::setprecision(17);
  const char* models[] = {"pinhole", "brown", "fisheye"};
  for (const NamedCamera& c : cameras) {
    const sportcore::Intrinsics<double>& lens = c.camera.lens;
    file << c.name << ',' << c.width << ',' << c.height << ',' << models[lens.model];
    for (double v : {lens.fx, lens.fy, lens.cx, lens.cy}) file << ',' << v;
    for (double v : lens.k) file << ',' << v;
    for (double v : c.camera.R) file << ',' << v;
    for (double v : c.camera.t) file << ',' << v;
    file << '\n';
  }
  file.close();
  sportcore::require(file.good(), path + ": could not be written.");
}

/// Keypoints of the cameras of a rig: xy (C, T, J, 2) px, NaN where missing; score (C, T, J), 0 where
/// missing.
struct Keypoints {
  std::size_t cameras = 0, frames = 0;
  std::vector<std::string> joints;  // in the order of their first appearance
  std::vector<double> xy, score;
  std::size_t at(std::size_t c, std::size_t t, std::size_t j) const {
    return (c * frames + t) * joints.size() + j;
  }
};

inline Keypoints read_keypoints(const std::string& path, const std::vector<NamedCamera>& rig) {
  const auto rows = read(path, kKeypointHeader);
  Keypoints k;
  k.cameras = rig.size();
  std::map<std::string, std::size_t> camera_at, joint_at;
  for (std::size_t c = 0; c < rig.size(); ++c) camera_at[rig[c].name] = c;
  std::vector<std::size_t> frame_of;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    sportcore::require(camera_at.count(rows[i][0]) == 1,
                       path + ": camera '" + rows[i][0] + "' is not in the rig.");
    const double frame = number(rows[i][1], path, i + 2);
    sportcore::require(frame >= 0 && frame < 1e7 && frame == std::floor(frame),
                       path + ": line " + std::to_string(i + 2) + ": frames are numbers from 0.");
    frame_of.push_back(static_cast<std::size_t>(frame));
    k.frames = std::max(k.frames, frame_of.back() + 1);
    if (joint_at.emplace(rows[i][2], k.joints.size()).second) k.joints.push_back(rows[i][2]);
  }
  sportcore::require(!rows.empty(), path + ": holds no keypoint.");
  const std::size_t n = k.cameras * k.frames * k.joints.size();
  k.xy.assign(2 * n, std::numeric_limits<double>::quiet_NaN());
  k.score.assign(n, 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t at = k.at(camera_at[rows[i][0]], frame_of[i], joint_at[rows[i][2]]);
    k.xy[2 * at] = number(rows[i][3], path, i + 2);
    k.xy[2 * at + 1] = number(rows[i][4], path, i + 2);
    k.score[at] = number(rows[i][5], path, i + 2);
  }
  return k;
}

}  // namespace tables

/* Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0 */
/* Triangulates one point from two cameras, in C. */
#include <sportcore/sportcore_c.h>
#include <stdio.h>

int main(void) {
  const double K[18] = {1500, 0, 960, 0, 1500, 540, 0, 0, 1, 1500, 0, 960, 0, 1500, 540, 0, 0, 1};
  const double R[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.8, 0, -0.6, 0, 1, 0, 0.6, 0, 0.8};
  const double t[6] = {0, 0, 6, 0, 0, 6}, point[3] = {0.3, -0.2, 0.5};
  sportcore_rig* rig = NULL;
  if (sportcore_rig_create(2, NULL, K, NULL, R, t, &rig) != SPORTCORE_OK) {
    fprintf(stderr, "%s\n", sportcore_last_error());
    return 1;
  }
  double seen[4], xyz[3] = {0, 0, 0};
  uint8_t status = 255;
  sportcore_points_f64 out = {.struct_size = sizeof out, .xyz = xyz, .status = &status};
  const int ok = sportcore_reproject_f64(rig, point, 1, 1, seen) == SPORTCORE_OK &&
                 sportcore_triangulate_f64(rig, seen, NULL, NULL, 1, NULL, &out) == SPORTCORE_OK;
  sportcore_rig_destroy(rig);
  double error = 0;
  for (int k = 0; k < 3; ++k) error += (xyz[k] - point[k]) * (xyz[k] - point[k]);
  printf("sportcore %s in C: (%.6f, %.6f, %.6f) m\n", sportcore_version(), xyz[0], xyz[1], xyz[2]);
  return ok && status == SPORTCORE_POINT_OK && error < 1e-18 ? 0 : 1;
}

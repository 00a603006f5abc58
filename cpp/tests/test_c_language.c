/* Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0 */
/* The C interface from C11, as an embedder writes it: a ring of cameras, there and back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sportcore/sportcore_c.h"

enum { C = 6, N = 40 };
static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  ++failures;
  fprintf(stderr, "FAILED: %s (%s)\n", what, sportcore_last_error());
}

static void ring(double* K, double* k, double* R, double* t) {
  for (int c = 0; c < C; ++c) {
    const double a = 1.0471975512 * c + 0.2;
    const double z[3] = {-cos(a), -sin(a), 0}, x[3] = {-sin(a), cos(a), 0};
    const double matrix[9] = {1480, 0, 955, 0, 1510, 543, 0, 0, 1}, y[3] = {0, 0, -1};
    const double lens[8] = {-0.12, 0.06, 0.0015, -0.001, -0.01, 0, 0, 0};
    memcpy(K + 9 * c, matrix, sizeof matrix);
    memcpy(k + 8 * c, lens, sizeof lens);
    memcpy(R + 9 * c, x, sizeof x);
    memcpy(R + 9 * c + 3, y, sizeof y);
    memcpy(R + 9 * c + 6, z, sizeof z);
    t[3 * c] = 0, t[3 * c + 1] = 0, t[3 * c + 2] = 6;
  }
}

int main(void) {
  double K[9 * C], k[8 * C], R[9 * C], t[3 * C];
  ring(K, k, R, t);
  sportcore_rig* rig = NULL;
  expect(sportcore_rig_create(C, NULL, K, k, R, t, &rig) == SPORTCORE_OK, "a rig of plain arrays");
  expect(sportcore_rig_size(rig) == C, "its size");
  expect(sportcore_version_number() == SPORTCORE_VERSION_NUMBER, "the version as a number");
  expect(strcmp(sportcore_version(), SPORTCORE_VERSION) == 0, "the version in words");

  float points[3 * N], *uv = malloc(sizeof(float) * 2 * C * N);
  for (int i = 0; i < N; ++i) {
    points[3 * i] = (float)sin(1.3 * i);
    points[3 * i + 1] = (float)cos(2.1 * i);
    points[3 * i + 2] = (float)sin(0.7 * i + 1);
  }
  expect(sportcore_reproject_f32(rig, points, N, 0, uv) == SPORTCORE_OK, "reprojection");
  for (int i = 0; i < N; i += 3) uv[2 * ((i % C) * N + i)] += 150; /* one wrong view */

  sportcore_triangulate_options options;
  expect(sportcore_triangulate_options_init(&options, sizeof options) == SPORTCORE_OK, "options");
  options.num_threads = 1;
  sportcore_triangulator* stream = NULL;
  expect(sportcore_triangulator_create(rig, &options, &stream) == SPORTCORE_OK, "a triangulator");
  float xyz[3 * N], again[3 * N];
  uint8_t status[N], views[N];
  sportcore_points_f32 out = {.struct_size = sizeof out};
  out.xyz = xyz;
  out.status = status;
  out.n_views = views;
  expect(sportcore_triangulate_f32(rig, uv, NULL, NULL, N, NULL, &out) == SPORTCORE_OK, "triangulation");
  out.xyz = again;
  expect(sportcore_triangulator_run_f32(stream, uv, NULL, NULL, N, &out) == SPORTCORE_OK, "of a stream");
  expect(memcmp(xyz, again, sizeof xyz) == 0, "the stream gives the same points");
  for (int i = 0; i < N; ++i) {
    expect(status[i] == SPORTCORE_POINT_OK && views[i] == (i % 3 ? C : C - 1), "the wrong view is left out");
    for (int j = 0; j < 3; ++j) expect(fabsf(xyz[3 * i + j] - points[3 * i + j]) < 2e-5f, "a point");
  }

  expect(sportcore_triangulate_f32(rig, NULL, NULL, NULL, N, NULL, &out) == SPORTCORE_ERROR_INPUT, "null");
  expect(strstr(sportcore_last_error(), "keypoints_px") != NULL, "the message names the array");
  free(uv);
  sportcore_triangulator_destroy(stream);
  sportcore_rig_destroy(rig);
  printf("c_language: %s\n", failures == 0 ? "ok" : "failed");
  return failures == 0 ? 0 : 1;
}

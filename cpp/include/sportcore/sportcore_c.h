/* Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0 */
/** The stable interface of libsportcore for C11, and for whatever calls C.
 *
 * Conventions. Arrays are C-contiguous and stay the caller's; matrices are row-major; the axes come in the
 * order cameras C, frames T, joints J (or points N). Camera axes as in OpenCV: x right, y down, z forward,
 * the centre of the upper-left pixel is (0, 0); x_cam = R x_world + t. Metres, pixels, radians unless a name
 * says otherwise. A missing observation is NaN, and so is a point that could not be determined.
 *
 * Errors. Functions that can fail return a sportcore_result; sportcore_last_error() then says in words what
 * is wrong and what to do. A call that fails leaves its output handle null and writes no results, unless it
 * fails on the way for want of memory. No exception leaves the library, and null pointers and impossible
 * counts are errors, not crashes; that an array is as long as its counts say cannot be seen from here.
 *
 * Threads. Every function may be called from several threads at a time, also with the same rig, triangulator
 * or calibration, which never change once they are made; only destroying one needs that nobody uses it any
 * more. The last error belongs to the thread that met it.
 *
 * Growth. Structs start with struct_size, which the program sets to its own sizeof: with the _init function
 * of options, with `= {.struct_size = sizeof it}` for the others. New fields are only ever appended: an old
 * program works with a new library, which takes defaults for what the program does not know; a new program
 * works with an old library as long as it does not set what that library does not know
 * (SPORTCORE_ERROR_VERSION). Zero means "default" in fields that are appended. Functions and the numbers of
 * enumerations never change their meaning. */
#ifndef SPORTCORE_C_H
#define SPORTCORE_C_H

#include <stddef.h>
#include <stdint.h>

#include "sportcore/version.h"

#if defined(_WIN32)
#define SPORTCORE_C_API
#else
#define SPORTCORE_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results, version, device
 * -------------------------------------------------------------------------------- */

typedef int32_t sportcore_result;
enum {
  SPORTCORE_OK = 0,
  SPORTCORE_ERROR_INPUT = 1,      /* a null pointer, a count, a range, a camera, an option */
  SPORTCORE_ERROR_DEGENERATE = 2, /* the geometry cannot be determined from this input */
  SPORTCORE_ERROR_DEVICE = 3,     /* CUDA was asked for and is not there, or it failed */
  SPORTCORE_ERROR_MEMORY = 4,
  SPORTCORE_ERROR_VERSION =
      5, /* struct_size was not set, or the program sets what this library does not know */
  SPORTCORE_ERROR_INTERNAL = 6 /* a bug: please report it */
};

/** "0.1.0" as the library was built; SPORTCORE_VERSION is that of the header. Never null, never freed. */
SPORTCORE_C_API const char* sportcore_version(void);
/** The same as a number, to be compared with SPORTCORE_VERSION_NUMBER. */
SPORTCORE_C_API int32_t sportcore_version_number(void);

/** What the last failed call of this thread has to say: "" when none failed. Valid until the next failure in
 * this thread. At most 1023 bytes of UTF-8. */
SPORTCORE_C_API const char* sportcore_last_error(void);
/** Name of a result, e.g. "SPORTCORE_ERROR_INPUT"; never null. */
SPORTCORE_C_API const char* sportcore_result_name(sportcore_result result);

/** 1 when this library holds the CUDA kernels. */
SPORTCORE_C_API int32_t sportcore_built_with_cuda(void);
/** Usable CUDA devices; 0 without a driver, without a device, or when built without CUDA. */
SPORTCORE_C_API int32_t sportcore_cuda_device_count(void);
/** Name of a device into name (capacity bytes, ended by 0, cut where it is too long). */
SPORTCORE_C_API sportcore_result sportcore_cuda_device_name(int32_t device, char* name, size_t capacity);

/* ---- rigs
 * ---------------------------------------------------------------------------------------------------- */

enum { SPORTCORE_PINHOLE = 0, SPORTCORE_BROWN = 1, SPORTCORE_FISHEYE = 2 };
enum {
  SPORTCORE_DISTORTION_COEFFICIENTS =
      8,                        /* k1 k2 p1 p2 k3 k4 k5 k6 as in OpenCV; fisheye: k1 k2 k3 k4; zeros after */
  SPORTCORE_MAX_CAMERAS = 4096, /* of a rig */
  SPORTCORE_MAX_VIEWS = 64      /* of a rig that triangulates or is calibrated */
};

/** Cameras at fixed places. Made by sportcore_rig_create and others, never changed, freed by the caller. */
typedef struct sportcore_rig sportcore_rig;

typedef struct sportcore_rig_params {
  size_t struct_size;
  size_t num_cameras;       /* 1 to SPORTCORE_MAX_CAMERAS */
  const int32_t* model;     /* (C) SPORTCORE_PINHOLE, ...; null: a pinhole without distortion, else Brown */
  const double* K;          /* (C, 3, 3) px, without skew; needed */
  const double* distortion; /* (C, 8); null: none */
  const double* R;          /* (C, 3, 3) cam_from_world, rotations to 1e-4; null: identity */
  const double* t;          /* (C, 3) m; null: zero */
} sportcore_rig_params;

SPORTCORE_C_API sportcore_result sportcore_rig_create(size_t num_cameras, const int32_t* model,
                                                      const double* K, const double* distortion,
                                                      const double* R, const double* t, sportcore_rig** rig);
SPORTCORE_C_API sportcore_result sportcore_rig_create_from(const sportcore_rig_params* params,
                                                           sportcore_rig** rig);
/** The same cameras in the world x_new = scale rotation x_old + translation; scale > 0, rotation (3, 3). */
SPORTCORE_C_API sportcore_result sportcore_rig_transform(const sportcore_rig* rig, double scale,
                                                         const double* rotation, const double* translation,
                                                         sportcore_rig** transformed);
/** Null is fine. */
SPORTCORE_C_API void sportcore_rig_destroy(sportcore_rig* rig);
/** Number of cameras; 0 for null. */
SPORTCORE_C_API size_t sportcore_rig_size(const sportcore_rig* rig);
/** Parameters of one camera: K (3, 3), distortion (8), R (3, 3), t (3); each may be null. */
SPORTCORE_C_API sportcore_result sportcore_rig_camera(const sportcore_rig* rig, size_t index, int32_t* model,
                                                      double* K, double* distortion, double* R, double* t);

/* ---- pixels, rays, points
 * ------------------------------------------------------------------------------------ */

/** points_world (N, 3) -> uv_px (C, N, 2); NaN for a point behind the camera. num_threads 0: all cores. */
SPORTCORE_C_API sportcore_result sportcore_reproject_f32(const sportcore_rig* rig, const float* points_world,
                                                         size_t num_points, int32_t num_threads,
                                                         float* uv_px);
SPORTCORE_C_API sportcore_result sportcore_reproject_f64(const sportcore_rig* rig, const double* points_world,
                                                         size_t num_points, int32_t num_threads,
                                                         double* uv_px);
/** With derivatives by the point, J_point (C, N, 2, 3), and by the pose, J_pose (C, N, 2, 6) of the increment
 * (w, dt): R <- exp([w]x) R, t <- t + dt. Either may be null. */
SPORTCORE_C_API sportcore_result sportcore_reproject_jacobians(const sportcore_rig* rig,
                                                               const double* points_world, size_t num_points,
                                                               int32_t num_threads, double* uv_px,
                                                               double* J_point, double* J_pose);

/** uv_px (N, 2) of one camera -> x (N, 2), the undistorted ray (x, y, 1) in its frame; NaN where the lens has
 * no inverse. In place is allowed. */
SPORTCORE_C_API sportcore_result sportcore_unproject_f32(const sportcore_rig* rig, size_t camera,
                                                         const float* uv_px, size_t num_points, float* x);
SPORTCORE_C_API sportcore_result sportcore_unproject_f64(const sportcore_rig* rig, size_t camera,
                                                         const double* uv_px, size_t num_points, double* x);
/** uv_px (N, 2) -> the pixel (N, 2) of the same ray in a camera with the same K and no distortion. In place
 * is allowed. */
SPORTCORE_C_API sportcore_result sportcore_undistort_f32(const sportcore_rig* rig, size_t camera,
                                                         const float* uv_px, size_t num_points,
                                                         float* undistorted_px);
SPORTCORE_C_API sportcore_result sportcore_undistort_f64(const sportcore_rig* rig, size_t camera,
                                                         const double* uv_px, size_t num_points,
                                                         double* undistorted_px);

/* ---- triangulation
 * ------------------------------------------------------------------------------------------- */

enum {
  SPORTCORE_LOSS_TRIVIAL = 0,
  SPORTCORE_LOSS_HUBER = 1,
  SPORTCORE_LOSS_CAUCHY = 2,
  SPORTCORE_LOSS_GEMAN_MCCLURE = 3
};

/** Why a point is there, or why it is not. */
enum {
  SPORTCORE_POINT_OK = 0,
  SPORTCORE_POINT_TOO_FEW_VIEWS = 1,
  SPORTCORE_POINT_NO_CONSENSUS = 2,
  SPORTCORE_POINT_BEHIND_CAMERA = 3,
  SPORTCORE_POINT_ILL_CONDITIONED = 4,
  SPORTCORE_POINT_LARGE_RESIDUAL = 5,
  SPORTCORE_POINT_NOT_CONVERGED = 6
};

/** See TriangulateOptions in triangulate.h, where each is explained. */
typedef struct sportcore_triangulate_options {
  size_t struct_size;
  double max_reprojection_error_px, sigma_px, inlier_sigmas, min_score, min_angle_deg, loss_scale_sigmas;
  int32_t min_views, robust, loss, max_iterations;
  int32_t num_threads; /* 0: all cores */
  int32_t cuda;        /* 1: on the first CUDA device; arrays are those of the host */
  int32_t estimate_sigma;
  int32_t reserved; /* 0 */
} sportcore_triangulate_options;

/** Sets struct_size (pass sizeof(*options)) and the defaults. */
SPORTCORE_C_API sportcore_result sportcore_triangulate_options_init(sportcore_triangulate_options* options,
                                                                    size_t struct_size);

/** Where results go; xyz and status are needed, the others may be null. NaN wherever status is not 0. */
typedef struct sportcore_points_f32 {
  size_t struct_size;
  float* xyz;         /* (N, 3) m */
  uint8_t* status;    /* (N) SPORTCORE_POINT_OK, ... */
  float* covariance;  /* (N, 3, 3) m^2 */
  float* residual_px; /* (C, N) distance of the observation from the projected point */
  uint8_t* inlier;    /* (C, N) 1: the observation carried the point */
  uint8_t* n_views;   /* (N) inliers */
  double* sigma_px;   /* (1) deviation that the covariance stands on */
} sportcore_points_f32;
typedef struct sportcore_points_f64 {
  size_t struct_size;
  double* xyz;
  uint8_t* status;
  double* covariance;
  double* residual_px;
  uint8_t* inlier;
  uint8_t* n_views;
  double* sigma_px;
} sportcore_points_f64;

/** keypoints_px (C, N, 2), NaN where missing; score (C, N) in [0, 1] or null; sigma_px (C, N) or null;
 * options null: the defaults. */
SPORTCORE_C_API sportcore_result sportcore_triangulate_f32(const sportcore_rig* rig,
                                                           const float* keypoints_px, const float* score,
                                                           const float* sigma_px, size_t num_points,
                                                           const sportcore_triangulate_options* options,
                                                           const sportcore_points_f32* points);
SPORTCORE_C_API sportcore_result sportcore_triangulate_f64(const sportcore_rig* rig,
                                                           const double* keypoints_px, const double* score,
                                                           const double* sigma_px, size_t num_points,
                                                           const sportcore_triangulate_options* options,
                                                           const sportcore_points_f64* points);

/** For a live stream: cameras and options prepared once. A call with at most 256 points, or with num_threads
 * 1, allocates nothing and starts no thread. CPU only, without estimate_sigma. */
typedef struct sportcore_triangulator sportcore_triangulator;

SPORTCORE_C_API sportcore_result sportcore_triangulator_create(const sportcore_rig* rig,
                                                               const sportcore_triangulate_options* options,
                                                               sportcore_triangulator** triangulator);
/** Null is fine. */
SPORTCORE_C_API void sportcore_triangulator_destroy(sportcore_triangulator* triangulator);
/** As sportcore_triangulate_f32. */
SPORTCORE_C_API sportcore_result sportcore_triangulator_run_f32(const sportcore_triangulator* triangulator,
                                                                const float* keypoints_px, const float* score,
                                                                const float* sigma_px, size_t num_points,
                                                                const sportcore_points_f32* points);
SPORTCORE_C_API sportcore_result sportcore_triangulator_run_f64(const sportcore_triangulator* triangulator,
                                                                const double* keypoints_px,
                                                                const double* score, const double* sigma_px,
                                                                size_t num_points,
                                                                const sportcore_points_f64* points);

/* ---- calibration from a moving body
 * -------------------------------------------------------------------------- */

enum { SPORTCORE_FOCAL_FIXED = 0, SPORTCORE_FOCAL_PER_CAMERA = 1, SPORTCORE_FOCAL_SHARED = 2 };

/** Keypoints of one person in C synchronised cameras. */
typedef struct sportcore_body_observations {
  size_t struct_size;
  size_t num_frames, num_joints; /* joints 1 to 1024 */
  const double* xy_px;           /* (C, T, J, 2), NaN where missing; needed */
  const double* weight; /* (C, T, J) inverse relative variance, 0 where missing; null: 1 where seen */
  const int32_t* flip;  /* (J) index of the mirrored joint, itself when unpaired; null: sides are trusted */
  size_t num_bones, num_bone_pairs;
  const int32_t* bones;      /* (num_bones, 2) joints at a constant distance; null: none */
  const int32_t* bone_pairs; /* (num_bone_pairs, 2) bones of equal length, left and right; null: none */
  const uint8_t* sides;      /* (C, T) 1 where left and right may be exchanged, a hypothesis; null: none */
  size_t num_votes;
  const int32_t* vote_cameras; /* (num_votes, 2) first and second camera; null: none */
  const double* vote_R; /* (num_votes, 3, 3) what is known of the rotation of the second from the first */
  const double* vote_sigma_rad; /* (num_votes) its deviation about each axis */
  double frame_s;               /* s from frame to frame; needed for clocks */
} sportcore_body_observations;

/** See CalibrateOptions in calibrate.h, where each is explained. */
typedef struct sportcore_calibrate_options {
  size_t struct_size;
  double max_reprojection_error_px, min_parallax_rad;
  double focal_sigma, principal_point_sigma_px, radial_sigma;
  uint64_t seed;
  int32_t max_frames, max_start_frames, min_shared_points;
  int32_t focal;                   /* SPORTCORE_FOCAL_FIXED, ... */
  int32_t principal_point, radial; /* 1: free */
  int32_t bone_lengths;            /* 1: constant, as far as observations name bones */
  int32_t clocks, drift;           /* 1: time offsets, and drifts, are unknowns */
  int32_t probe_focal, undo_swaps; /* 1: yes */
  int32_t num_threads;             /* 0: all cores; the result does not depend on it */
} sportcore_calibrate_options;

SPORTCORE_C_API sportcore_result sportcore_calibrate_options_init(sportcore_calibrate_options* options,
                                                                  size_t struct_size);

/** What a calibration found. Made by sportcore_calibrate, never changed, freed by the caller. */
typedef struct sportcore_calibration sportcore_calibration;

typedef struct sportcore_calibration_summary {
  size_t struct_size;
  size_t num_cameras, num_frames, num_joints; /* frames: F, those that were used */
  size_t num_connected;                       /* cameras with a pose */
  size_t num_observations;                    /* in the closing adjustment */
  size_t num_params;                          /* of the covariance, see BundleResult in bundle.h */
  double sigma_px;                            /* deviation of one coordinate of an inlier observation */
  double detector_bias_px, focal_factor, focal_factor_sigma;
  int32_t start_first, start_second; /* the pair of cameras that the reconstruction grew from; -1: none */
  int32_t converged, bones_used, start_from_sides, start_from_rotations;
  int32_t focal_probed;
  int32_t iterations;
} sportcore_calibration_summary;

/** Poses of the cameras of `rig`, whose lenses are known and whose poses are ignored. The world is that of
 * the first camera of the start pair, and its unit the distance of the pair: put metres and a vertical on it
 * with sportcore_rig_transform. SPORTCORE_ERROR_DEGENERATE when no pair of cameras could be started from, or
 * nothing could be reconstructed; cameras that could not be connected are told by
 * sportcore_calibration_connected. */
SPORTCORE_C_API sportcore_result sportcore_calibrate(const sportcore_rig* rig,
                                                     const sportcore_body_observations* observations,
                                                     const sportcore_calibrate_options* options,
                                                     sportcore_calibration** calibration);
/** Null is fine. */
SPORTCORE_C_API void sportcore_calibration_destroy(sportcore_calibration* calibration);
/** The calibrated cameras as a rig of its own; the caller frees it. Those that are not connected stand at the
 * identity. */
SPORTCORE_C_API sportcore_result sportcore_calibration_rig(const sportcore_calibration* calibration,
                                                           sportcore_rig** rig);
/** Fills as much of the summary as its struct_size has room for. */
SPORTCORE_C_API sportcore_result sportcore_calibration_summarize(const sportcore_calibration* calibration,
                                                                 sportcore_calibration_summary* summary);
/* Arrays of the calibration, valid as long as it; null for a null calibration or where there is no such
 * thing. */
SPORTCORE_C_API const uint8_t* sportcore_calibration_connected(
    const sportcore_calibration* calibration); /* (C) */
SPORTCORE_C_API const int32_t* sportcore_calibration_frames(
    const sportcore_calibration* calibration); /* (F) */
/** (F, J, 3) in the world of the calibration, NaN where not determined. */
SPORTCORE_C_API const double* sportcore_calibration_points(const sportcore_calibration* calibration);
SPORTCORE_C_API const uint8_t* sportcore_calibration_inlier(
    const sportcore_calibration* calibration); /* (C, F, J) */
SPORTCORE_C_API const uint8_t* sportcore_calibration_swapped(
    const sportcore_calibration* calibration); /* (C, F) */
/** (num_bones) length in the world of the calibration, 0 where unknown. */
SPORTCORE_C_API const double* sportcore_calibration_bone_lengths(const sportcore_calibration* calibration);
/** (C) s, see BundleClocks in bundle.h; null unless clocks were unknowns. */
SPORTCORE_C_API const double* sportcore_calibration_time_offsets(const sportcore_calibration* calibration);
/** (num_params, num_params); the first 6 of each connected camera, in ascending order, are (w, dt) of its
 * pose. */
SPORTCORE_C_API const double* sportcore_calibration_covariance(const sportcore_calibration* calibration);

/** Frames in which left and right are exchanged, for cameras with poses: swapped (C, T). threshold_px: where
 * the reprojection distance is cut off, a few deviations of an observation. observations->flip is needed. */
SPORTCORE_C_API sportcore_result sportcore_find_swaps(const sportcore_rig* rig,
                                                      const sportcore_body_observations* observations,
                                                      double threshold_px, int32_t num_threads,
                                                      uint8_t* swapped);

/* ---- bundle adjustment
 * --------------------------------------------------------------------------------------- */

typedef struct sportcore_bundle_options {
  size_t struct_size;
  double loss_scale_px;
  double focal_sigma, principal_point_sigma_px, radial_sigma; /* priors around the start; 0: none */
  double sigma_px;                                            /* of an observation, against the priors */
  double cost_tolerance, step_tolerance;
  int32_t loss, focal, principal_point, radial;
  int32_t max_iterations, num_threads;
} sportcore_bundle_options;

SPORTCORE_C_API sportcore_result sportcore_bundle_options_init(sportcore_bundle_options* options,
                                                               size_t struct_size);

typedef struct sportcore_bundle_summary {
  size_t struct_size;
  size_t num_used,
      num_held; /* observations used; points that the observations do not fix, kept where they were */
  double initial_cost, cost, sigma_px;
  int32_t iterations, converged;
} sportcore_bundle_summary;

/** Refines all cameras and points together. Observations in compressed rows: those of point p are
 * [point_offset[p], point_offset[p + 1]) of camera (M), xy_px (M, 2) and weight (M; null: one). points (N, 3)
 * is the start and becomes the result; `adjusted` receives the cameras; `summary` may be null. */
SPORTCORE_C_API sportcore_result sportcore_adjust_bundle(
    const sportcore_rig* rig, double* points, size_t num_points, const int64_t* point_offset,
    const int32_t* camera, const double* xy_px, const double* weight, const sportcore_bundle_options* options,
    sportcore_rig** adjusted, sportcore_bundle_summary* summary);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif

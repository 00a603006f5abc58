// Copyright 2026 The sportcore authors. SPDX-License-Identifier: Apache-2.0
/// What programs and the library must agree on, whatever flags each was compiled with. Everything is checked
/// by the compiler; tests/test_build.py compiles this file for several processors. A number that changes here
/// is an interface that changes: append to the structs of C and never change these; for those of C++ raise
/// the minor version.
#include <cstddef>
#include <type_traits>

#include "check.h"
#include "sportcore/bundle.h"
#include "sportcore/calibrate.h"
#include "sportcore/camera.h"
#include "sportcore/reproject.h"
#include "sportcore/similarity.h"
#include "sportcore/sportcore_c.h"
#include "sportcore/triangulate.h"
#include "sportcore/triangulator.h"

using namespace sportcore;

/// No struct of the interface may ask for more than the alignment of a number or a pointer.
template <class S>
constexpr bool plain = std::is_standard_layout<S>::value && alignof(S) <= 8;

static_assert(plain<Camera<double>> && plain<Camera<float>> && plain<Intrinsics<double>>, "cameras");
static_assert(plain<TriangulateOptions> && plain<TriangulateOutput<float>> &&
                  plain<TriangulateOutput<double>>,
              "triangulation");
static_assert(plain<Triangulator<float>> && sizeof(Triangulator<float>) == sizeof(void*), "one pointer");
static_assert(plain<ReprojectOptions> && plain<Similarity>, "reprojection");
static_assert(plain<BodyObservations> && plain<CalibrateOptions> && plain<PairEstimate>, "calibration");
static_assert(plain<BundleOptions> && plain<BundleObservations> && plain<BundleLengths> &&
                  plain<BundleClocks>,
              "bundle adjustment");
static_assert(std::is_trivially_copyable<Camera<double>>::value, "cameras are bytes");

static_assert(sizeof(Intrinsics<double>) == 104 && sizeof(Intrinsics<float>) == 56, "Intrinsics");
static_assert(sizeof(Camera<double>) == 200 && sizeof(Camera<float>) == 104, "Camera");
static_assert(offsetof(Intrinsics<double>, fx) == 8 && offsetof(Intrinsics<double>, k) == 40, "Intrinsics");
static_assert(offsetof(Camera<double>, R) == 104 && offsetof(Camera<double>, t) == 176, "Camera");
static_assert(offsetof(Camera<float>, R) == 56 && offsetof(Camera<float>, t) == 92, "Camera");
static_assert(sizeof(Similarity) == 104, "Similarity");
static_assert(sizeof(PointStatus) == 1 && sizeof(Loss) == 4 && sizeof(FocalRefinement) == 4, "enumerations");

#define SPORTCORE_FIELD(type, field, at) static_assert(offsetof(type, field) == (at), #type "." #field)
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(sportcore_rig_params) == 56, "sportcore_rig_params");
SPORTCORE_FIELD(sportcore_rig_params, K, 24);
SPORTCORE_FIELD(sportcore_rig_params, t, 48);
static_assert(sizeof(sportcore_triangulate_options) == 88, "sportcore_triangulate_options");
SPORTCORE_FIELD(sportcore_triangulate_options, max_reprojection_error_px, 8);
SPORTCORE_FIELD(sportcore_triangulate_options, loss_scale_sigmas, 48);
SPORTCORE_FIELD(sportcore_triangulate_options, min_views, 56);
SPORTCORE_FIELD(sportcore_triangulate_options, cuda, 76);
SPORTCORE_FIELD(sportcore_triangulate_options, reserved, 84);
static_assert(sizeof(sportcore_points_f32) == 64 && sizeof(sportcore_points_f64) == 64, "sportcore_points");
SPORTCORE_FIELD(sportcore_points_f32, xyz, 8);
SPORTCORE_FIELD(sportcore_points_f32, n_views, 48);
SPORTCORE_FIELD(sportcore_points_f64, sigma_px, 56);
SPORTCORE_FIELD(sportcore_points_f64, inlier, 40);
static_assert(sizeof(sportcore_body_observations) == 128, "sportcore_body_observations");
SPORTCORE_FIELD(sportcore_body_observations, xy_px, 24);
SPORTCORE_FIELD(sportcore_body_observations, bones, 64);
SPORTCORE_FIELD(sportcore_body_observations, vote_sigma_rad, 112);
SPORTCORE_FIELD(sportcore_body_observations, frame_s, 120);
static_assert(sizeof(sportcore_calibrate_options) == 104, "sportcore_calibrate_options");
SPORTCORE_FIELD(sportcore_calibrate_options, seed, 48);
SPORTCORE_FIELD(sportcore_calibrate_options, max_frames, 56);
SPORTCORE_FIELD(sportcore_calibrate_options, num_threads, 100);
static_assert(sizeof(sportcore_calibration_summary) == 120, "sportcore_calibration_summary");
SPORTCORE_FIELD(sportcore_calibration_summary, sigma_px, 56);
SPORTCORE_FIELD(sportcore_calibration_summary, start_first, 88);
SPORTCORE_FIELD(sportcore_calibration_summary, iterations, 116);
static_assert(sizeof(sportcore_bundle_options) == 88, "sportcore_bundle_options");
SPORTCORE_FIELD(sportcore_bundle_options, loss, 64);
static_assert(sizeof(sportcore_bundle_summary) == 56, "sportcore_bundle_summary");
SPORTCORE_FIELD(sportcore_bundle_summary, iterations, 48);
#endif

static_assert(SPORTCORE_MAX_VIEWS == kMaxViews && SPORTCORE_DISTORTION_COEFFICIENTS == kMaxDistortion,
              "limits");
static_assert(SPORTCORE_FISHEYE == int(kFisheye) && SPORTCORE_BROWN == int(kBrown) &&
                  SPORTCORE_PINHOLE == int(kPinhole),
              "models");
static_assert(SPORTCORE_LOSS_GEMAN_MCCLURE == int(Loss::kGemanMcClure) &&
                  SPORTCORE_LOSS_CAUCHY == int(Loss::kCauchy) && SPORTCORE_LOSS_HUBER == int(Loss::kHuber),
              "losses");
static_assert(SPORTCORE_POINT_NOT_CONVERGED == int(PointStatus::kNotConverged) &&
                  SPORTCORE_POINT_NO_CONSENSUS == int(PointStatus::kNoConsensus) &&
                  SPORTCORE_POINT_BEHIND_CAMERA == int(PointStatus::kBehindCamera) &&
                  SPORTCORE_POINT_ILL_CONDITIONED == int(PointStatus::kIllConditioned) &&
                  SPORTCORE_POINT_LARGE_RESIDUAL == int(PointStatus::kLargeResidual) &&
                  SPORTCORE_POINT_TOO_FEW_VIEWS == int(PointStatus::kTooFewViews),
              "statuses");
static_assert(SPORTCORE_FOCAL_SHARED == int(FocalRefinement::kShared) &&
                  SPORTCORE_FOCAL_PER_CAMERA == int(FocalRefinement::kPerCamera),
              "focal refinement");

int main() {
  sportcore::test::expect(sportcore_version_number() == SPORTCORE_VERSION_NUMBER,
                          "header and library are of one version");
  return sportcore::test::finish("layout");
}

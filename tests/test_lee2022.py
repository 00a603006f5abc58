"""The published calibration as a whole: exactness, noise, inputs untouched, metres, refusals; the simulated lifter."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg, similarity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import sportcore as sc
from sportcore.cameras.lee2022 import Lee2022Options, calibrate_lee2022, calibrate_lee2022_metric
from sportcore.errors import DegenerateError, InputError
from sportcore.evaluation.cameras import camera_errors
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, observe, ring_cameras, simulate_lifter

BONES = H36M17.bone_indices
NOISY = {"sigma_px": 2.0, "outliers": 0.05, "missing": 0.10}


def scene(cameras=4, frames=60, seed=0, *, exact_lifter=False, distortion=(), **noise):
    """(true rig, keypoints, lifter's poses, true points)."""
    X = athlete(frames, 12.5, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    rig = ring_cameras(cameras, seed, arc_deg=80 if cameras == 2 else 360, distortion=distortion)
    kp, truth = observe(X, rig, seed, fps=12.5, **{"sigma_px": 0.0, **noise})
    if exact_lifter:
        poses = np.einsum("cij,tkj->ctki", rig.R, X - X[:, :1])
    else:
        poses = simulate_lifter(X, rig, seed, swapped=truth.swapped)
    return rig, kp, poses, X


# ---- the whole -------------------------------------------------------------------------------------------------------

VARIANTS = {
    "linear": {},
    "so3": {"project_rotations": True},
    "gaps": {"gaps": True},
    "ransac": {"ransac": True, "ransac_iterations": 20},
    "bundle": {"bundle": True},
    "free gauge": {"bundle": True, "free_gauge": True},
    "two passes": {"bundle": True, "mask_px": 20.0},
    "every third frame": {"frame_step": 3},
}


@pytest.mark.parametrize("cameras", [2, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_free_scenes_are_recovered_exactly(variant, cameras):
    lens = (-0.1, 0.05, 0.001, -0.0005, 0.01)
    rig, kp, poses, X = scene(cameras, 30, cameras, exact_lifter=True, distortion=lens)
    out = calibrate_lee2022(kp, rig, poses, Lee2022Options(**VARIANTS[variant]))
    assert np.radians(rotation_error_deg(rig.with_poses(out.rotations, out.t), rig)) < 1e-6
    assert np.abs(out.R - out.rotations).max() < 1e-6
    s, R, t = similarity(out.points.reshape(-1, 3), X.reshape(-1, 3))
    assert np.abs(s * out.points @ R.T + t - X).max() < 1e-5
    assert np.allclose(out.t[0], 0) and np.isclose(np.linalg.norm(out.t[1]), 1)


def test_the_adjustment_improves_clean_keypoints_and_the_mask_bad_ones():
    rig, kp, poses, _ = scene(4, 60, 5, sigma_px=2.0)
    linear_, adjusted = (calibrate_lee2022(kp, rig, poses, Lee2022Options(bundle=b)) for b in (False, True))
    error = [rotation_error_deg(rig.with_poses(r.rotations, r.t), rig) for r in (linear_, adjusted)]
    assert error[1] < 0.3 and error[1] < 0.2 * error[0] and error[0] < 8
    rig, kp, poses, _ = scene(4, 60, 5, **NOISY)
    once, twice = (calibrate_lee2022(kp, rig, poses, Lee2022Options(bundle=True, mask_px=m)) for m in (None, 20.0))
    error = [rotation_error_deg(rig.with_poses(r.rotations, r.t), rig) for r in (once, twice)]
    assert error[1] < 0.3 and error[1] < 0.5 * error[0]
    assert twice.history["masked"] > 0 and twice.inliers.sum() < once.inliers.sum()


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_that_is_given_is_changed(variant):
    rig, kp, poses, _ = scene(3, 40, 2, **NOISY)
    poses[1, 5:8] = np.nan
    poses[2, 9, 4] = np.inf
    xy, score, before, K = kp.xy.copy(), kp.score.copy(), poses.copy(), rig.K.copy()
    poses.setflags(write=False)
    out = calibrate_lee2022(kp, rig, poses, Lee2022Options(**VARIANTS[variant]))
    assert np.array_equal(kp.xy, xy, equal_nan=True) and np.array_equal(kp.score, score)
    assert np.array_equal(poses, before, equal_nan=True) and np.array_equal(rig.K, K)
    assert np.isfinite(out.R).all() and np.isfinite(out.t).all()
    assert np.array_equal(np.isfinite(out.points).all(-1), kp.observed.sum(0) >= 2) or variant == "two passes"


def test_only_what_all_cameras_see_carries_the_linear_solution():
    rig, kp, poses, _ = scene(3, 40, 3, **NOISY)
    out = calibrate_lee2022(kp, rig, poses)
    everywhere = kp.observed.all(0)
    assert np.array_equal(out.inliers, np.broadcast_to(everywhere, out.inliers.shape))
    bones = everywhere[:, BONES[:, 0]] & everywhere[:, BONES[:, 1]]
    assert np.array_equal(out.bone_inliers, np.broadcast_to(bones, out.bone_inliers.shape))
    more = calibrate_lee2022(kp, rig, poses, Lee2022Options(gaps=True))
    assert more.history["n_points"] > out.history["n_points"]


def test_random_samples_remove_outliers():
    rig, kp, poses, _ = scene(3, 80, 1, exact_lifter=True, sigma_px=0.5, outliers=0.03)
    poses = poses + 0.0
    poses[1, ::10] *= -1  # a mirrored person now and then
    plain = calibrate_lee2022(kp, rig, poses)
    robust = calibrate_lee2022(kp, rig, poses, Lee2022Options(ransac=True))
    error = [camera_errors(r.rotations, r.t, rig.R, rig.t).relative_rotation_max_deg for r in (plain, robust)]
    assert error[1] < 0.1 * error[0] and error[1] < 0.5
    assert not robust.bone_inliers[:, ::10].any()
    assert 0.5 < robust.history["n_points"] / plain.history["n_points"] < 0.97
    again = calibrate_lee2022(kp, rig, poses, Lee2022Options(ransac=True))
    assert np.array_equal(again.R, robust.R) and np.array_equal(again.t, robust.t)


# ---- metric ----------------------------------------------------------------------------------------------------------


def test_metric_and_upright():
    rig, kp, poses, X = scene(4, 80, 0, exact_lifter=True)
    cal = calibrate_lee2022_metric(kp, rig, poses, Lee2022Options(), sc.CalibrateOptions(height_m=1.75))
    assert cal.report.method == "lee2022" and cal.report.grade == "poor"
    assert rotation_error_deg(cal.rig, rig) < 1e-4
    s, _, _ = similarity(cal.points.xyz[cal.points.ok], X[cal.points.ok])
    assert abs(s - 1) < 0.05
    a, b = rig.names[:2]
    metres = float(np.linalg.norm(rig.centers_world[0] - rig.centers_world[1]))
    cal = calibrate_lee2022_metric(
        kp, rig, poses, calibrate_options=sc.CalibrateOptions(known_camera_distance_m=(a, b, metres))
    )
    s, _, _ = similarity(cal.points.xyz[cal.points.ok], X[cal.points.ok])
    assert abs(s - 1) < 1e-6
    assert cal.report.extra["lee2022"]["n_points"] == kp.observed.all(0).sum()
    assert np.nanmax(cal.report.per_camera_rms_px) < 1e-3


def test_names_join_cameras_and_long_takes_are_thinned():
    rig, kp, poses, _ = scene(3, 60, 1, sigma_px=1.0)
    other = sc.Rig(tuple(reversed(rig.cameras)))
    scene_options = sc.CalibrateOptions(max_frames=25)
    one = calibrate_lee2022_metric(kp, rig, poses, Lee2022Options(bundle=True), scene_options)
    two = calibrate_lee2022_metric(kp, other, poses, Lee2022Options(bundle=True), scene_options)
    assert np.array_equal(one.rig.R, two.rig.R) and one.rig.names == rig.names
    assert one.report.n_frames_used == 20
    assert one.points.ok.mean() > 0.99  # points of all frames nevertheless


def test_metric_with_noise_warns_and_can_be_forced():
    rig, kp, poses, _ = scene(4, 80, 0, swaps=0.4, **NOISY)
    with pytest.raises(DegenerateError):
        calibrate_lee2022_metric(kp, rig, poses)
    cal = calibrate_lee2022_metric(kp, rig, poses, calibrate_options=sc.CalibrateOptions(force=True))
    assert cal.report.grade == "poor" and any("hardly" in w for w in cal.report.warnings)
    assert np.isfinite(cal.rig.R).all()


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_no_bone_in_all_cameras():
    rig, kp, poses, _ = scene(3, 40, 0, sigma_px=1.0)
    xy = kp.xy.copy()
    for c in range(3):
        xy[c, c::3] = np.nan  # every frame is seen by two of the three
    bad = kp.replace(xy=xy)
    with pytest.raises(DegenerateError, match="No bone .* all 3 cameras"):
        calibrate_lee2022(bad, rig, poses)
    out = calibrate_lee2022(bad, rig, poses, Lee2022Options(gaps=True, bundle=True))
    assert rotation_error_deg(rig.with_poses(out.rotations, out.t), rig) < 2.0


def test_cameras_that_only_a_chain_connects_have_no_common_scale():
    rig, kp, poses, _ = scene(3, 40, 0, sigma_px=1.0)
    xy = kp.xy.copy()
    xy[0, 20:], xy[1, :20] = np.nan, np.nan  # 0 and 2 share frames, 1 and 2 share others
    with pytest.raises(DegenerateError, match="relative size"):
        calibrate_lee2022(kp.replace(xy=xy), rig, poses, Lee2022Options(gaps=True))
    xy[:, 18:22] = kp.xy[:, 18:22]
    out = calibrate_lee2022(kp.replace(xy=xy), rig, poses, Lee2022Options(gaps=True, bundle=True))
    assert rotation_error_deg(rig.with_poses(out.rotations, out.t), rig) < 2.0


def test_no_pose_in_one_camera_is_named():
    rig, kp, poses, _ = scene(3, 40, 0)
    poses[1] = np.nan
    with pytest.raises(DegenerateError, match=f"{rig.names[1]} 0"):
        calibrate_lee2022(kp, rig, poses)


def test_directions_in_a_plane():
    rig, kp, poses, X = scene(3, 40, 0, exact_lifter=True)
    flat = (X - X[:, :1]) * [1.0, 0.0, 1.0]
    with pytest.raises(DegenerateError, match="one plane"):
        calibrate_lee2022(kp, rig, np.einsum("cij,tkj->ctki", rig.R, flat))


@pytest.mark.parametrize("options", [{}, {"project_rotations": True}, {"gaps": True}, {"bundle": True}])
def test_mirrored_poses(options):
    rig, kp, poses, _ = scene(3, 40, 0, exact_lifter=True)
    poses[2, ..., 2] *= -1  # depth the wrong way round
    with pytest.raises(DegenerateError, match=f"{rig.names[2]}.*mirrored"):
        calibrate_lee2022(kp, rig, poses, Lee2022Options(**options))


def test_two_cameras_at_one_place():
    rig, _, _, X = scene(3, 40, 0, exact_lifter=True)
    turn = Rotation.from_rotvec([0, 0.1, 0]).as_matrix() @ rig.R[0]
    cameras = [rig[0], rig[1].replace(R=turn, t=-turn @ rig[0].center_world), rig[2]]
    rig = sc.Rig(tuple(cameras))
    kp, _ = observe(X, rig, 0, sigma_px=0.0)
    with pytest.raises(DegenerateError, match="same place"):
        calibrate_lee2022(kp, rig, np.einsum("cij,tkj->ctki", rig.R, X - X[:, :1]))


def test_too_little_for_the_samples():
    rig, kp, poses, _ = scene(3, 40, 0)
    xy = kp.xy.copy()
    xy[:, :, 6:] = np.nan
    few = kp.replace(xy=xy).frames(slice(0, 1))
    with pytest.raises(DegenerateError, match="samples take 10"):
        calibrate_lee2022(few, rig, poses[:, :1], Lee2022Options(ransac=True))


def test_wrong_input():
    rig, kp, poses, _ = scene(2, 20, 0)
    with pytest.raises(InputError, match="monocular_3d must be"):
        calibrate_lee2022(kp, rig, poses[:, :, :16])
    with pytest.raises(InputError, match="needs monocular_3d"):
        calibrate_lee2022(kp, rig, None)
    with pytest.raises(InputError, match="numbers"):
        calibrate_lee2022(kp, rig, "poses")
    with pytest.raises(InputError, match="Lee2022Options"):
        calibrate_lee2022(kp, rig, poses, {"ransac": True})
    with pytest.raises(InputError, match="Keypoints2D"):
        calibrate_lee2022(kp.xy, rig, poses)
    with pytest.raises(InputError, match="CalibrateOptions"):
        calibrate_lee2022_metric(kp, rig, poses, calibrate_options=Lee2022Options())


@pytest.mark.parametrize(
    "options",
    [
        {"ransac": 1}, {"ransac_iterations": 0}, {"ransac_sample": 3}, {"ransac_max_error_px": 0}, {"lambda1": -1},
        {"lambda2": float("nan")}, {"ftol": 0}, {"mask_px": 20.0}, {"mask_px": -1.0, "bundle": True},
        {"gaps": True, "ransac": True}, {"frame_step": 0}, {"min_score": 1.0}, {"seed": -1}, {"max_iterations": 2.5},
    ],
)  # fmt: skip
def test_options_are_checked(options):
    with pytest.raises(InputError):
        Lee2022Options(**options)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 12), st.floats(0, 1), st.sampled_from(list(VARIANTS)))
def test_bad_data_gives_finite_cameras_or_a_reason(seed, cameras, frames, lost, variant):
    rng = np.random.default_rng(seed)
    rig = ring_cameras(cameras, seed)
    xy = rng.uniform(-1e4, 1e4, (cameras, frames, 17, 2))
    xy[rng.random(xy.shape[:3]) < lost] = np.nan
    poses = rng.normal(size=(cameras, frames, 17, 3)) * 10 ** rng.uniform(-3, 3)
    poses[rng.random(poses.shape[:3]) < 0.2 * lost] = rng.choice([np.nan, np.inf, 0.0])
    kp = sc.Keypoints2D(xy, rng.random(xy.shape[:3]), "h36m17")
    try:
        out = calibrate_lee2022(kp, rig, poses, Lee2022Options(**VARIANTS[variant]))
    except DegenerateError:
        return
    assert np.isfinite(out.R).all() and np.isfinite(out.t).all()


# ---- the simulated lifter --------------------------------------------------------------------------------------------


def test_the_simulated_lifter_keeps_its_promises():
    X = athlete(200, 12.5, 0)
    rig = ring_cameras(3, 0)
    out = simulate_lifter(X, rig, 4, mpjpe_mm=53.0, tilt_deg=2.0)
    true = np.einsum("cij,tkj->ctki", rig.R, X - X[:, :1])
    assert np.allclose(1000 * np.linalg.norm(out - true, axis=-1).mean((1, 2)), 53.0)
    assert np.abs(out[:, :, 0]).max() == 0
    tilted = simulate_lifter(X, rig, 4, mpjpe_mm=30.0, tilt_deg=2.0, correlation=0.0)
    for c in range(3):
        tilt, _ = Rotation.align_vectors(tilted[c].reshape(-1, 3), true[c].reshape(-1, 3))
        assert abs(np.degrees(tilt.magnitude()) - 2.0) < 0.3
    alone = simulate_lifter(X, sc.Rig(rig.cameras[:1]), 4)
    assert np.array_equal(alone[0], out[0])
    swapped = np.zeros((3, 200), bool)
    swapped[1, 50:60] = True
    other = simulate_lifter(X, rig, 4, swapped=swapped)
    assert np.array_equal(other[1, 50:60], out[1, 50:60][:, H36M17.flip_permutation])
    assert np.array_equal(other[1, :50], out[1, :50])
    with pytest.raises(InputError, match="tilt alone"):
        simulate_lifter(X, rig, 0, mpjpe_mm=5.0, tilt_deg=10.0)
    with pytest.raises(InputError, match="correlation"):
        simulate_lifter(X, rig, 0, correlation=1.0)

"""Calibration from the body: exact recovery, noise, invariances, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg, scene, similarity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore.errors import DegenerateError, InputError
from sportcore.synthetic import athlete, observe, ring_cameras

BROWN = (-0.1, 0.05, 0.001, -0.0005, 0.01)
NOISE = {"sigma_px": 2.0, "outliers": 0.05, "missing": 0.10}


@pytest.mark.parametrize("cameras", [2, 3, 4, 8])
def test_a_clean_scene_is_recovered_exactly(cameras):
    rig, kp, X = scene(cameras, 80, seed=cameras, distortion=BROWN, arc_deg=90 if cameras == 2 else 360)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(height_m=1.75))
    assert np.radians(rotation_error_deg(cal.rig, rig)) < 1e-6
    ok = cal.points.ok
    s, R, t = similarity(cal.points.xyz[ok], X[ok])
    centres = s * cal.rig.centers_world @ R.T + t
    assert np.abs(centres - rig.centers_world).max() < 1e-5
    assert np.nanmax(cal.report.per_camera_rms_px) < 1e-3
    assert cal.report.grade == "good"


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_other_lenses(model):

    X = athlete(80, 12.5, 1)
    rig = ring_cameras(3, 1, model=model, distortion=(0.02, -0.01, 0.003, 0.0) if model == "fisheye" else ())
    kp, _ = observe(X - [*X[:, 0, :2].mean(0), 0], rig, 1, sigma_px=0.0, fps=12.5)
    assert np.radians(rotation_error_deg(sc.calibrate(kp, rig).rig, rig)) < 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_noise_outliers_and_gaps(seed):
    rig, kp, _ = scene(4, 200, seed, **NOISE)
    cal = sc.calibrate(kp, rig)
    assert rotation_error_deg(cal.rig, rig) < 0.3
    assert cal.report.rotation_sigma_deg is not None
    assert rotation_error_deg(cal.rig, rig) < 6 * cal.report.rotation_sigma_deg.max()
    assert 0.02 < np.mean(cal.report.rejected_share) < 0.2


def test_swapped_sides_are_undone_and_counted():
    rig, kp, _ = scene(4, 200, 2, swaps=0.2, **NOISE)
    cal = sc.calibrate(kp, rig)
    assert rotation_error_deg(cal.rig, rig) < 0.3
    assert sum(cal.report.extra["swapped_frames"].values()) > 40
    assert np.mean(cal.report.rejected_share) < 0.25
    plain = sc.calibrate(kp, rig, sc.CalibrateOptions(undo_swaps=False))
    assert rotation_error_deg(plain.rig, rig) < 0.5


def test_the_input_is_not_changed_and_names_are_kept():
    rig, kp, _ = scene(3, 60, **NOISE)
    xy, score = kp.xy.copy(), kp.score.copy()
    named = kp.replace(names=tuple(reversed(rig.names)), xy=kp.xy[::-1], score=kp.score[::-1], image_sizes=None)
    cal = sc.calibrate(named, rig)
    assert cal.rig.names == tuple(reversed(rig.names))
    assert np.array_equal(xy, kp.xy, equal_nan=True) and np.array_equal(score, kp.score)
    for camera in cal.rig:
        assert np.array_equal(camera.K, rig[camera.name].K)
    assert rotation_error_deg(cal.rig, rig.subset(cal.rig.names)) < 0.5


def test_seed_and_threads():
    rig, kp, _ = scene(4, 100, 3, **NOISE)
    one = sc.calibrate(kp, rig, sc.CalibrateOptions(seed=4, num_threads=1))
    two = sc.calibrate(kp, rig, sc.CalibrateOptions(seed=4, num_threads=2))
    assert np.array_equal(one.rig.R, two.rig.R) and np.array_equal(one.rig.t, two.rig.t)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.permutations(range(4)))
def test_the_order_of_the_cameras_does_not_matter(order):
    rig, kp, _ = scene(4, 80, 5, **NOISE)
    order = list(order)
    shuffled = kp.replace(
        xy=kp.xy[order], score=kp.score[order], names=None,
        image_sizes=None if kp.image_sizes is None else kp.image_sizes[order],
    )  # fmt: skip
    a = sc.calibrate(kp.replace(names=None), rig)
    b = sc.calibrate(shuffled, sc.Rig(tuple(rig[i] for i in order)))
    assert rotation_error_deg(b.rig.subset(rig.names), a.rig) < 0.05


def test_focal_lengths_can_be_refined_and_are_probed():
    rig, kp, _ = scene(4, 120, 1, sigma_px=1.0)
    wrong = sc.Rig(tuple(c.replace(K=c.K * np.array([[1.06, 1, 1], [1, 1.06, 1], [1, 1, 1]])) for c in rig))
    cal = sc.calibrate(kp, wrong, sc.CalibrateOptions(refine_focal="shared"))
    assert np.allclose(cal.rig.K[:, 0, 0], rig.K[:, 0, 0], rtol=0.01)
    probed = sc.calibrate(kp, wrong, sc.CalibrateOptions(force=True))
    assert probed.report.extra["focal_factor"] == pytest.approx(1 / 1.06, abs=0.015)


def test_the_report_is_complete_and_serialises():
    import json

    rig, kp, _ = scene(3, 60, **NOISE)
    steps = []
    report = sc.calibrate(kp, rig, progress=lambda done, total, message: steps.append((done, total))).report
    assert steps[0] == (0, 4) and steps[-1] == (4, 4)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["names"] == list(rig.names)
    assert np.asarray(data["camera_covariance"]).shape == (3, 6, 6)
    assert np.asarray(data["connectivity"]).shape == (3, 3)
    assert (report.connectivity == report.connectivity.T).all()
    assert np.allclose(report.per_camera_rms_mrad, 1000 * report.per_camera_rms_px / rig.K[:, 0, 0], rtol=0.01)
    assert any("No size was given" in w for w in report.warnings)


def test_face_and_fingers_are_not_used():
    rig, kp, X = scene(4, 80, 2, sigma_px=1.0)
    blaze = sc.BLAZEPOSE33
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (4, 80, 33, 2))  # rubbish in all joints that H36M does not have
    score = np.ones((4, 80, 33))
    for i, name in enumerate(sc.H36M17.joints):
        if blaze.has(name) and name != "nose":
            xy[:, :, blaze.index(name)] = kp.xy[:, :, i]
    rubbish = [blaze.index(n) for n in ("left_heel", "right_heel", "left_foot_index", "right_foot_index", "nose")]
    rubbish += [blaze.index(n) for n in ("left_ear", "right_ear")]
    score[..., rubbish] = 0
    xy[..., rubbish, :] = np.nan
    cal = sc.calibrate(sc.Keypoints2D(xy=xy, score=score, skeleton=blaze), rig)
    assert rotation_error_deg(cal.rig, rig) < 0.5
    assert np.mean(cal.report.rejected_share) < 0.05


def test_monocular_directions_check_the_rotations():
    rig, kp, X = scene(3, 60, 0, **NOISE)
    mono = np.einsum("cij,tkj->ctki", rig.R, X - X[:, :1])
    cal = sc.calibrate(kp, rig, monocular_3d=mono)
    assert cal.report.extra["monocular_disagreement_deg"][0][1] < 1.0
    mirrored = mono.copy()
    mirrored[1] = mirrored[1] @ np.diag([1.0, -1, -1])  # a lifter that got one camera upside down
    cal = sc.calibrate(kp, rig, monocular_3d=mirrored)
    assert any("monocular" in w for w in cal.report.warnings)
    with pytest.raises(InputError, match="monocular_3d"):
        sc.calibrate(kp, rig, monocular_3d=mono[:2])


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_nobody_was_seen():
    rig, kp, _ = scene(3, 40)
    with pytest.raises(DegenerateError, match="No joint was observed"):
        sc.calibrate(kp.replace(xy=np.full_like(kp.xy, np.nan)), rig)


def test_a_blind_camera_is_named():
    rig, kp, _ = scene(3, 40)
    xy = kp.xy.copy()
    xy[1] = np.nan
    with pytest.raises(DegenerateError, match=rig.names[1]):
        sc.calibrate(kp.replace(xy=xy), rig)


def test_a_camera_that_shares_nothing_is_named():
    rig, kp, _ = scene(3, 60)
    xy = kp.xy.copy()
    xy[2, :30] = np.nan
    xy[:2, 30:] = np.nan
    with pytest.raises(DegenerateError, match=rig.names[2]):
        sc.calibrate(kp.replace(xy=xy), rig)


def test_a_camera_with_another_scene_is_named():
    rig, kp, _ = scene(4, 80, 0, sigma_px=1.0)
    xy = kp.xy.copy()
    xy[3] = np.random.default_rng(0).uniform(0, 1000, xy[3].shape)
    with pytest.raises(DegenerateError, match=rig.names[3]):
        sc.calibrate(kp.replace(xy=xy), rig)


def test_too_few_frames():
    rig, kp, _ = scene(3, 60)
    with pytest.raises(DegenerateError, match="frames"):
        sc.calibrate(kp.frames(slice(0, 5)), rig)


def test_a_person_who_stands_still():
    rig, kp, _ = scene(3, 60)
    rng = np.random.default_rng(0)
    xy = np.repeat(kp.xy[:, :1], 60, axis=1) + rng.normal(size=kp.xy.shape)
    with pytest.raises(DegenerateError, match="stands still"):
        sc.calibrate(kp.replace(xy=xy), rig)
    forced = sc.calibrate(kp.replace(xy=xy), rig, sc.CalibrateOptions(force=True))
    assert forced.report.grade == "poor"
    assert any("stands still" in w for w in forced.report.warnings)


def test_one_video_given_twice_is_named():
    rig, kp, _ = scene(3, 100, 0, sigma_px=2.0)
    twice = kp.xy.copy()
    twice[2] = twice[0] + np.random.default_rng(0).normal(size=twice[0].shape) * 0.5
    with pytest.raises(DegenerateError, match="show the same pictures"):
        sc.calibrate(kp.replace(xy=twice), rig)


def test_a_lens_that_cannot_be_is_doubted():
    rig, kp, _ = scene(4, 100, 0, sigma_px=2.0)
    K = rig[1].K.copy()
    K[0, 0] = K[1, 1] = 1e5
    cameras = list(rig)
    cameras[1] = rig[1].replace(K=K)
    report = sc.calibrate(kp, sc.Rig(tuple(cameras)), sc.CalibrateOptions(force=True)).report
    assert report.grade != "good"
    assert any(rig.names[1] in w and "too long to be true" in w for w in report.warnings)


def test_standing_still_is_noticed_where_most_joints_are_missing():
    X = athlete(90, 12.5, 0, "stand_still")
    rig = ring_cameras(4, 0)
    kp, _ = observe(X, rig, 0, fps=12.5, sigma_px=1.0, missing=0.7)
    with pytest.raises(DegenerateError, match="stands still"):
        sc.calibrate(kp, rig)


@pytest.mark.parametrize("cameras", [2, 3, 4])
def test_motion_in_one_plane_is_refused_or_doubted(cameras):
    rig, kp, _ = scene(cameras, 150, 0, sport="planar", arc_deg=100.0, sigma_px=2.0)
    if cameras == 2:
        with pytest.raises(DegenerateError, match="one plane"):
            sc.calibrate(kp, rig)
    report = sc.calibrate(kp, rig, sc.CalibrateOptions(force=True)).report
    assert report.grade != "good" and any("one plane" in w for w in report.warnings)
    rig, kp, _ = scene(cameras, 150, 0, sport="jump", arc_deg=100.0, sigma_px=2.0)
    report = sc.calibrate(kp, rig).report
    assert report.extra["flatness"] > 0.5 and not any("one plane" in w for w in report.warnings)


def test_no_baseline():
    rig, kp, _ = scene(3, 80, 0, sigma_px=0.3)

    near = []
    for i in range(3):
        c = rig[0]
        near.append(c.replace(name=f"near{i}", t=c.t + np.array([0.01 * i, 0, 0])))
    X = athlete(80, 12.5, 0)
    kp, _ = observe(X - [*X[:, 0, :2].mean(0), 0], sc.Rig(tuple(near)), 0, sigma_px=0.3, fps=12.5)
    with pytest.raises(DegenerateError, match="baseline|agree|connected|reconstructed"):
        sc.calibrate(kp, sc.Rig(tuple(near)))


def test_wrong_intrinsics_are_noticed():
    rig, kp, _ = scene(4, 120, 0, sigma_px=2.0)
    K = rig[0].K * np.array([[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]])
    wrong = sc.Rig(tuple(c.replace(K=K) for c in rig))
    try:
        report = sc.calibrate(kp, wrong).report
    except DegenerateError as error:
        text = str(error)
    else:
        text = " ".join(report.warnings)
        assert report.grade != "good"
    assert "ntrinsics" in text


def test_wrong_image_size_and_count():
    rig, kp, _ = scene(3, 40)
    with pytest.raises(InputError, match="px"):
        sc.calibrate(kp.replace(image_sizes=np.tile([1280, 720], (3, 1))), rig)
    with pytest.raises(InputError):
        sc.calibrate(kp, rig.subset(rig.names[:2]))
    with pytest.raises(InputError, match="One camera"):
        sc.calibrate(kp.cameras(kp.camera_names[:1]), rig.subset(rig.names[:1]))


@pytest.mark.parametrize(
    "values",
    [
        {"height_m": 17.5}, {"height_m": float("nan")}, {"max_frames": 0}, {"min_score": 1.5}, {"seed": -1},
        {"num_threads": -2}, {"refine_focal": "all"}, {"known_camera_distance_m": ("a", "a", 1.0)},
        {"known_bone": ("left_knee", "left_ankle", -1.0)}, {"max_reprojection_error_px": 0.0},
    ],
)  # fmt: skip
def test_options_are_checked(values):
    with pytest.raises(InputError):
        sc.CalibrateOptions(**values)


def test_a_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="heigth_m"):
        sc.CalibrateOptions(heigth_m=1.8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sc.CalibrateOptions().height_m = 1.8


def test_known_lengths_name_things_that_exist():
    rig, kp, _ = scene(3, 40)
    with pytest.raises(InputError, match="nowhere"):
        sc.calibrate(kp, rig, sc.CalibrateOptions(known_camera_distance_m=("nowhere", rig.names[0], 3.0)))
    with pytest.raises(InputError, match="tail"):
        sc.calibrate(kp, rig, sc.CalibrateOptions(known_bone=("tail", "left_knee", 0.4)))

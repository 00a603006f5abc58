"""Metres, the vertical and the floor on scenes with truth."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_scenes import scene, vertical_error_deg

import sportcore as sc
from sportcore.cameras import GaugeOptions, find_gauge
from sportcore.cameras.anthropometry import calibration_joints, stature_from_points
from sportcore.errors import DegenerateError
from sportcore.synthetic import BodyShape, Motion, athlete

H36M = {name: i for i, name in enumerate(sc.H36M17.joints)}


def length_ratio(rig: sc.Rig, true: sc.Rig) -> float:
    i, j = np.triu_indices(len(rig), 1)

    def distances(r: sc.Rig) -> np.ndarray:
        return np.linalg.norm(r.centers_world[i] - r.centers_world[j], axis=1)

    return float(np.median(distances(rig) / distances(true)))


@pytest.mark.parametrize("height_m", [1.55, 1.75, 1.95])
def test_stature_of_an_average_body_is_exact(height_m):
    X = athlete(60, 25.0, 0, "run", height_m=height_m)
    stature, sigma, common, votes = stature_from_points(X, H36M)
    assert stature == pytest.approx(height_m, rel=0.01)
    assert 0 < common < sigma < 0.05
    assert {"shank", "thigh"} <= set(votes)


@pytest.mark.parametrize("seed", range(6))
def test_stature_of_unusual_proportions(seed):
    """Segments 5 % off their shares: the whole body does not care, a share of it does."""
    shape = BodyShape.from_height(1.75, seed, 0.05)
    X = Motion(seed, "walk", shape).at(np.arange(120) / 25.0)
    whole = stature_from_points(X, H36M)
    assert abs(whole.value / 1.75 - 1) < 2.5 * whole.sigma_rel and abs(whole.value / 1.75 - 1) < 0.02
    headless = stature_from_points(X, {name: i for name, i in H36M.items() if name != "head"})
    assert "whole body" in whole.votes and "whole body" not in headless.votes
    assert whole.sigma_rel < headless.sigma_rel


def test_stature_does_not_depend_on_where_along_the_body_hips_are_placed():
    X = athlete(60, 25.0, 0, "stand_still")
    moved = X.copy()
    moved[:, [H36M[n] for n in ("left_hip", "right_hip", "pelvis")], 2] += 0.03
    assert stature_from_points(moved, H36M).value == pytest.approx(stature_from_points(X, H36M).value, rel=0.002)


def test_stature_up_to_the_ears():
    X = athlete(60, 25.0, 0, "stand_still", height_m=1.8)
    ears = (
        X[:, [H36M["head"]] * 2] - [0, 0, 1.8 * 0.131 / 1.756] + np.array([[[0.0, 0.075, 0]], [[0, -0.075, 0]]])[:, 0]
    )
    joints = {**{n: i for n, i in H36M.items() if n not in ("head", "nose", "spine", "thorax", "pelvis")}}
    joints |= {"left_ear": 17, "right_ear": 18}
    found = stature_from_points(np.concatenate([X, ears], 1), joints)
    assert "whole body" in found.votes
    assert found.value == pytest.approx(1.8, rel=0.015)


def test_scale_from_the_right_stature():
    rig, kp, _ = scene(4, 120, 0, height_m=1.82)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(height_m=1.82))
    assert length_ratio(cal.rig, rig) == pytest.approx(1.0, abs=0.01)
    assert "1.82" in cal.report.scale_source
    assert 0.01 < cal.report.scale_sigma_rel < 0.05


def test_scale_from_a_camera_distance_and_from_a_bone():
    rig, kp, X = scene(4, 100, 1)
    metres = float(np.linalg.norm(rig.centers_world[0] - rig.centers_world[2]))
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(known_camera_distance_m=(rig.names[0], rig.names[2], metres)))
    assert length_ratio(cal.rig, rig) == pytest.approx(1.0, abs=1e-5)
    shank = float(np.linalg.norm(X[0, H36M["left_knee"]] - X[0, H36M["left_ankle"]]))
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(known_bone=("left_knee", "left_ankle", shank)))
    assert length_ratio(cal.rig, rig) == pytest.approx(1.0, abs=1e-4)
    assert "left_knee" in cal.report.scale_source


def test_without_a_size_the_average_adult_is_assumed_and_said():
    rig, kp, _ = scene(3, 60, 0)
    report = sc.calibrate(kp, rig).report
    assert "assumed" in report.scale_source and report.scale_sigma_rel > 0.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sport", ["walk", "run"])
def test_vertical_and_floor_while_moving_on_foot(seed, sport):
    rig, kp, _ = scene(4, 200, seed, sport=sport, sigma_px=2.0, outliers=0.05, missing=0.1)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(height_m=1.75))
    assert vertical_error_deg(cal.rig, rig) < 1.0
    assert vertical_error_deg(cal.rig, rig) < 3 * cal.report.gravity_sigma_deg
    error = np.median(cal.rig.centers_world[:, 2] - rig.centers_world[:, 2])
    assert abs(error) < 0.06
    assert np.nanmedian(cal.points.xyz[:, H36M["head"], 2]) > 1.2


def test_vertical_does_not_need_level_cameras():
    X = athlete(200, 12.5, 1, "walk")
    rng = np.random.default_rng(0)
    tilted = np.stack([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(3)])
    tilted *= np.sign(np.linalg.det(tilted))[:, None, None]  # cameras held anyhow
    g = find_gauge(X, sc.H36M17.joints, tilted, np.zeros((3, 3)), GaugeOptions(height_m=1.75))
    assert np.degrees(np.arccos(g.rotation[2, 2])) < 2.0


def test_frame_of_the_result():
    rig, kp, _ = scene(4, 150, 2, sigma_px=1.0)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(height_m=1.75))
    middle = np.nanmedian(cal.points.xyz[..., :2], axis=(0, 1))
    assert np.abs(middle).max() < 0.1  # the origin is under the athlete
    assert cal.rig.R[0, 0] @ [1, 0, 0] > 0.99  # x to the right of the first camera
    assert (cal.rig.R[0] @ [0, 1, 0])[2] > 0.5  # y away from it


def test_gauge_is_a_similarity():
    X = athlete(60, 12.5, 0)
    rng = np.random.default_rng(0)
    R = np.stack([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2)])
    R *= np.sign(np.linalg.det(R))[:, None, None]
    t = rng.normal(size=(2, 3))
    g = find_gauge(X / 3, sc.H36M17.joints, R, t, GaugeOptions(height_m=1.75))
    R2, t2 = g.poses(R, t)
    before = np.einsum("cij,tkj->ctki", R, X / 3) + t[:, None, None]
    after = np.einsum("cij,tkj->ctki", R2, g.apply(X / 3)) + t2[:, None, None]
    assert np.allclose(after, g.scale * before)
    assert np.allclose(g.rotation @ g.rotation.T, np.eye(3)) and np.linalg.det(g.rotation) > 0


def test_points_that_say_nothing_of_size():
    X = np.full((30, 17, 3), np.nan)
    X[:, H36M["head"]] = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(DegenerateError, match="scale"):
        find_gauge(X, sc.H36M17.joints, np.eye(3)[None], np.zeros((1, 3)))
    with pytest.raises(DegenerateError, match="scale"):
        find_gauge(np.ones((30, 17, 3)), sc.H36M17.joints, np.eye(3)[None], np.zeros((1, 3)))


def test_calibration_joints_are_the_body():
    names = {sc.BLAZEPOSE33.joints[i] for i in calibration_joints(sc.BLAZEPOSE33)}
    assert {"left_hip", "right_foot_index", "nose", "left_heel"} <= names
    assert not names & {"left_eye", "mouth_left", "right_pinky", "left_index", "left_thumb"}
    assert calibration_joints(sc.H36M17) == list(range(17))

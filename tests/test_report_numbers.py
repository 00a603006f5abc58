"""What the report states of a session: its numbers against the arrays they come from, the grade and the warnings."""

from __future__ import annotations

import numpy as np
import pytest
from report_session import session

from sportcore.report import ReportData
from sportcore.report.measures import bone_measures, joint_angles, residual_measures, spread_percent
from sportcore.report.monocular import monocular_measures, monocular_world
from sportcore.report.verdict import summarise


@pytest.fixture(scope="module")
def data() -> ReportData:
    return session()


# ---- numbers


def test_spread_is_the_standard_deviation_of_normal_noise() -> None:
    rng = np.random.default_rng(0)
    assert spread_percent(0.4 + rng.normal(0, 0.004, 20_000)) == pytest.approx(1.0, rel=0.03)
    assert np.isnan(spread_percent(np.array([np.nan, 0.4])))


def test_bone_and_residual_measures(data: ReportData) -> None:
    bones = {b["name"]: b for b in bone_measures(data)}
    thigh = bones["left_hip-left_knee"]
    lengths = np.linalg.norm(data.points_world_m[:, 4] - data.points_world_m[:, 5], axis=-1)
    assert thigh["length_m"] == pytest.approx(np.nanmedian(lengths))
    twin = bones["right_hip-right_knee"]
    assert thigh["asymmetry_percent"] == pytest.approx(-twin["asymmetry_percent"])
    assert abs(thigh["asymmetry_percent"]) < 1.5
    residual = residual_measures(data)
    distance = np.linalg.norm(np.nanmedian(data.points_world_m, (0, 1)) - data.camera_centers_m, axis=-1).mean()
    guess = residual["median_px"] / data.K[:, 0, 0].mean() * distance * 1e3
    assert residual["median_mm"] == pytest.approx(guess, rel=0.15)


def test_angles_and_their_gaps(data: ReportData) -> None:
    angles = joint_angles(data)
    assert list(angles)[:3] == ["knee", "hip", "elbow"]
    gone = np.isnan(data.points_world_m[:, [1, 2, 3]]).any((1, 2))
    assert np.array_equal(np.isnan(angles["knee"]["right"]), gone)
    given = joint_angles(data.replace(angles_deg={"left_knee": np.full(100, 90.0)}))
    assert list(given) == ["knee"] and given["knee"]["left"][0] == 90.0


def test_monocular_numbers_are_those_of_the_evaluation(data: ReportData) -> None:
    from sportcore.evaluation import mpjpe

    mono = monocular_measures(data)
    truth = np.einsum("cij,tkj->ctki", data.R, data.points_world_m) + data.t[:, None, None]
    held = data.heldout
    expected = mpjpe(data.monocular_before_m[:, held], truth[:, held])
    for name, value in zip(data.camera_names, expected, strict=True):
        assert mono["before"]["per_camera"][name]["mpjpe_mm"] == pytest.approx(value)
    assert mono["after"]["mean"]["mpjpe_mm"] < mono["before"]["mean"]["mpjpe_mm"]
    given = monocular_measures(
        data.replace(lifting={**data.lifting, "before": {"mpjpe_mm": 99.0}, "after": {"mpjpe_mm": 50.0}})
    )
    assert given["before"]["mean"] == {"mpjpe_mm": 99.0} and given["headline"] == "mpjpe_mm"


def test_monocular_overlay_stands_on_the_pelvis(data: ReportData) -> None:
    world = monocular_world(data, data.monocular_after_m)
    pelvis = data.points_world_m[:, 0]
    close = np.linalg.norm(world - data.points_world_m[None], axis=-1)
    assert np.nanmedian(close) < 0.08
    assert np.array_equal(np.isnan(world[0, :, 3, 0]), np.isnan(pelvis[:, 0]))
    small = data.replace(lifting={"metric": False})
    scaled = monocular_world(small, 0.01 * data.monocular_after_m)
    spread = [np.nanmedian(np.linalg.norm(w - w[:, :, :1], axis=-1)) for w in (scaled, world)]
    assert spread[0] == pytest.approx(spread[1], rel=0.15)


# ---- verdict


def _letter(data: ReportData) -> str:
    return summarise(data)["grade"]["letter"]


def test_grade_of_a_good_session(data: ReportData) -> None:
    assert _letter(data) in "AB"
    assert {c["state"] for c in summarise(data)["checks"]} == {"good"}


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("Up is up", np.diag([1.0, -1, -1])),
        ("Knees bend forwards", np.diag([1.0, -1, 1])),
        ("Size is plausible", 2 * np.eye(3)),
    ],
)
def test_a_wrong_world_is_found_in_spite_of_small_residuals(data: ReportData, name: str, turn: np.ndarray) -> None:
    wrong = data.replace(points_world_m=data.points_world_m @ turn.T)
    summary = summarise(wrong)
    assert next(c for c in summary["checks"] if c["name"] == name)["state"] == "bad"
    assert summary["grade"]["letter"] == "D"
    assert any(name in w["message"] and w["remedy"] for w in summary["warnings"])


def test_cameras_under_the_floor_and_feet_in_the_air(data: ReportData) -> None:
    down = np.array([0.0, 0.0, 4.0])
    sunk = data.replace(points_world_m=data.points_world_m - down, t=data.t + data.R @ down)
    states = {c["name"]: c["state"] for c in summarise(sunk)["checks"]}
    assert states["Cameras above the floor"] == "bad" and states["Feet stand on the floor"] == "bad"


def test_grade_falls_with_residual_spread_and_coverage(data: ReportData) -> None:
    assert _letter(data.replace(residual_px=data.residual_px * 20, inlier=np.ones_like(data.inlier))) == "D"
    half = data.points_world_m.copy()
    half[::2] = np.nan
    assert _letter(data.replace(points_world_m=half)) == "D"
    noisy = data.points_world_m + np.random.default_rng(0).normal(0, 0.08, data.points_world_m.shape)
    assert _letter(data.replace(points_world_m=noisy)) in "CD"
    unsure = {**data.calibration, "gravity_sigma_deg": 20.0}
    assert _letter(data.replace(calibration=unsure)) == "C"
    assert _letter(data.replace(calibration={**data.calibration, "grade": "poor"})) == "C"


def test_warnings_name_the_camera_and_the_remedy(data: ReportData) -> None:
    inlier = data.inlier.copy()
    inlier[2] &= np.random.default_rng(0).random(inlier[2].shape) < 0.5
    blind = data.keypoints_px.copy()
    blind[3] = np.nan
    found = summarise(data.replace(inlier=inlier, keypoints_px=blind))["warnings"]
    assert any("cam03" in w["message"] and w["remedy"] for w in found)
    assert found[0]["severity"] == "bad" and "cam04" in found[0]["message"]
    worse = data.replace(monocular_before_m=data.monocular_after_m, monocular_after_m=data.monocular_before_m)
    assert any("did not help" in w["message"] for w in summarise(worse)["warnings"])

"""Calibration when lenses or clocks are not known, with bones, and when the input lies."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg, scene
from scipy.interpolate import CubicSpline

import sportcore as sc
from sportcore.cameras.clocks import read_at
from sportcore.cameras.quality import limb_spread
from sportcore.errors import DegenerateError, InputError
from sportcore.synthetic import athlete, observe, ring_cameras

NOISE = dict(sigma_px=2.0, outliers=0.05, missing=0.10)


def scaled(rig, factors):
    return sc.Rig(
        tuple(c.replace(K=c.K * np.array([[f, 1, 1], [1, f, 1], [1, 1, 1]])) for c, f in zip(rig, factors, strict=True))
    )


# ---- bones


def test_bones_help_two_cameras_and_are_left_out_where_they_do_not():
    plain, bound = [], []
    for seed in range(6):
        rig, kp, _ = scene(2, 200, seed, arc_deg=70.0, **NOISE)
        with_bones = sc.calibrate(kp, rig)
        assert with_bones.report.extra["bone_lengths_used"]
        bound.append(rotation_error_deg(with_bones.rig, rig))
        plain.append(rotation_error_deg(sc.calibrate(kp, rig, sc.CalibrateOptions(bone_lengths=False)).rig, rig))
    assert np.mean(bound) < 0.95 * np.mean(plain)
    rig, kp, _ = scene(4, 200, 0, **NOISE)
    assert not sc.calibrate(kp, rig).report.extra["bone_lengths_used"]


def test_limb_spread_is_that_of_the_limbs():
    rig, kp, X = scene(4, 60)
    points = sc.calibrate(kp, rig).points
    assert limb_spread(points) < 1e-6
    rng = np.random.default_rng(0)
    wild = points.xyz * (1 + 0.2 * rng.normal(size=(60, 1, 1)))
    seen = sc.Keypoints2D(xy=sc.reproject(wild, rig), score=np.ones((4, 60, 17)), skeleton=sc.H36M17)
    assert limb_spread(sc.triangulate(seen, rig)) == pytest.approx(0.2, abs=0.06)


# ---- lenses


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_off_is_recovered_to_half_a_percent(seed):
    rig, kp, _ = scene(4, 300, seed, **NOISE)
    cal = sc.calibrate(kp, scaled(rig, [1.1] * 4), sc.CalibrateOptions(refine_focal="shared"))
    assert np.allclose(cal.rig.K[:, 0, 0], rig.K[:, 0, 0], rtol=0.005)
    sigma = [v["log_focal"] for v in cal.report.extra["lens_sigma"].values()]
    assert all(0 < s < 0.005 for s in sigma)
    assert rotation_error_deg(cal.rig, rig) < 0.3
    each = sc.calibrate(kp, scaled(rig, [1.1, 0.9, 1.1, 0.9]), sc.CalibrateOptions(refine_focal="per_camera"))
    assert np.allclose(each.rig.K[:, 0, 0], rig.K[:, 0, 0], rtol=0.015)


@pytest.mark.parametrize("seed", range(2))
def test_distortion(seed):
    rig, kp, _ = scene(4, 300, seed, distortion=(-0.15, 0.0, 0.0, 0.0), **NOISE)
    rough = sc.Rig(tuple(c.replace(distortion=(), model="pinhole") for c in rig))
    cal = sc.calibrate(kp, rough, sc.CalibrateOptions(refine_distortion=True))
    assert np.allclose([c.distortion[0] for c in cal.rig], -0.15, atol=0.05)
    assert set(cal.report.extra["lens_change"]) == set(rig.names)
    fixed = sc.calibrate(kp, rough, sc.CalibrateOptions(force=True))
    assert rotation_error_deg(cal.rig, rig) < 0.5 * rotation_error_deg(fixed.rig, rig)


def test_what_cannot_be_seen_is_said():
    rig, kp, _ = scene(2, 40, 3, arc_deg=70.0, **NOISE)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(refine_focal="per_camera", refine_distortion=True, force=True))
    assert any("not observable" in w or "does not tell its focal length" in w for w in cal.report.warnings)


# ---- clocks


def late(offsets_s, frames, fps, seed):
    """Keypoints of cameras that look late, and their rig."""
    C = len(offsets_s)
    full = athlete(int((frames / fps + 8) * 50), 50.0, seed)
    full = full - [*full[:, 0, :2].mean(0), 0]
    path = CubicSpline(np.arange(len(full)) / 50.0, full)
    rig = ring_cameras(C, seed)
    seen = []
    for c, offset in enumerate(offsets_s):
        X = path(4 + np.arange(frames) / fps + offset)
        kp, _ = observe(X, rig, 100 * seed + c, fps=fps, **NOISE)
        seen.append(kp)
    xy = np.stack([kp.xy[c] for c, kp in enumerate(seen)])
    score = np.stack([kp.score[c] for c, kp in enumerate(seen)])
    return seen[0].replace(xy=xy, score=score), rig


@pytest.mark.parametrize(("fps", "seed"), [(12.5, 0), (12.5, 1), (50.0, 2)])
def test_cameras_and_offsets_together(fps, seed):
    offsets = np.array([0.0, *np.random.default_rng(seed).uniform(-2, 2, 3)])
    kp, rig = late(offsets, 300, fps, seed)
    cal = sc.calibrate(kp, rig, sc.CalibrateOptions(time_offsets=True))
    found = np.array([cal.report.extra["time_offset_s"][n] for n in rig.names])
    sigma = np.array([cal.report.extra["time_offset_sigma_s"][n] for n in rig.names])
    assert np.abs(found - offsets).max() * fps < 0.1
    assert np.abs((found - offsets)[1:] / sigma[1:]).max() < 6
    assert rotation_error_deg(cal.rig, rig) < 0.5


def test_reading_at_other_moments():
    t = np.arange(20) / 10.0
    curve = np.stack([3 + 2 * t - 5 * t**2, 1 - t + 4 * t**2], -1)  # a parabola comes out exactly
    xy = np.tile(curve[None, :, None], (2, 1, 17, 1))
    xy[1, 7, 0] = np.nan
    kp = sc.Keypoints2D(
        xy=xy, score=np.isfinite(xy[..., 0]).astype(float), skeleton=sc.H36M17, fps=10.0,
    )  # fmt: skip
    moved = read_at(kp, np.array([0.0, 0.03]))
    assert np.array_equal(moved.xy[0], kp.xy[0])
    want = t[3:18] - 0.03
    assert np.allclose(moved.xy[1, 3:18, 5, 0], 3 + 2 * want - 5 * want**2)
    assert np.isnan(moved.xy[1, 7, 0]).all() and np.isnan(moved.xy[1, 8, 0]).all()
    assert np.isfinite(moved.xy[1, 9, 0]).all()  # between frames 8 and 9, a neighbour missing: linear
    whole = read_at(kp, np.array([0.0, 0.2]))
    assert np.array_equal(whole.xy[1, 2:], kp.xy[1, :-2], equal_nan=True)
    assert (whole.score[1, :2] == 0).all()
    with pytest.raises(InputError, match="frame rate"):
        read_at(kp.replace(fps=None), np.zeros(2))


# ---- input that lies


def test_a_mirrored_video_is_refused():
    refused = 0
    for seed in range(4):
        rig, kp, _ = scene(2, 120, seed, arc_deg=80.0, sigma_px=2.0)
        xy = kp.xy.copy()
        xy[1, ..., 0] = 1919 - xy[1, ..., 0]
        try:
            cal = sc.calibrate(kp.replace(xy=xy), rig)
        except DegenerateError as error:
            refused += bool(error.remedy)
            continue
        assert cal.report.grade != "good" or rotation_error_deg(cal.rig, rig) < 1
    assert refused >= 2


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_of_another_time_is_named_or_at_least_doubted(seed):
    rig, kp, _ = scene(4, 150, seed, **NOISE)
    xy, score = kp.xy.copy(), kp.score.copy()
    xy[2], score[2] = np.roll(xy[2], 12, 0), np.roll(score[2], 12, 0)
    try:
        report = sc.calibrate(kp.replace(xy=xy, score=score), rig).report
    except DegenerateError as error:
        assert rig.names[2] in str(error) or "do not fit together" in str(error)
        return
    assert report.grade != "good"
    assert any(rig.names[2] in w for w in report.warnings)


@pytest.mark.parametrize(
    "options", [dict(method="magic"), dict(max_time_offset_s=0), dict(seed=2**70), dict(max_frames=2**40)]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(InputError):
        sc.CalibrateOptions(**options)


def test_the_published_method_by_name_needs_poses():
    rig, kp, _ = scene(3, 40, 0)
    with pytest.raises(InputError, match="monocular_3d"):
        sc.calibrate(kp, rig, sc.CalibrateOptions(method="lee2022"))

"""Cameras that film between each other's frames are read in step."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg

import sportcore as sc
from sportcore.cameras.clocks import in_step
from sportcore.synthetic import Motion, ring_cameras

FPS = 30.0


def phones(seed: int, offset_frames: np.ndarray, frames: int = 150) -> tuple[sc.Rig, sc.Keypoints2D, np.ndarray]:
    """(rig, keypoints with their true times, points at the times of the first camera)."""
    motion, rig = Motion(seed, "run"), ring_cameras(4, seed)
    t = 1 + np.arange(frames) / FPS
    times = t + offset_frames[:, None] / FPS
    xy = np.stack([sc.reproject(motion.at(times[c]), rig)[c] for c in range(4)])
    xy += np.random.default_rng(seed).normal(size=xy.shape) * 2.0
    kp = sc.Keypoints2D(xy, np.full(xy.shape[:3], 0.9), "h36m17", fps=FPS, times=times)
    return rig, kp, motion.at(t)


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_of_a_frame_cost_nothing(seed):
    late = np.array([0.0, 0.4, -0.3, 0.5])
    rig, kp, truth = phones(seed, late)
    before = kp.xy.copy()
    moved, by = in_step(kp)
    assert np.allclose(by, -late) and np.array_equal(kp.xy, before)
    assert np.array_equal(moved.times, np.tile(kp.times[0], (4, 1)))

    def error_mm(k: sc.Keypoints2D) -> float:
        return 1000 * float(np.nanmedian(np.linalg.norm(sc.triangulate(k, rig).xyz - truth, axis=-1)[3:-3]))

    assert error_mm(moved) < 10 < 15 < error_mm(kp)
    cal = sc.calibrate(kp, rig)
    assert (
        rotation_error_deg(cal.rig, rig) < 0.15 < rotation_error_deg(sc.calibrate(kp.replace(times=None), rig).rig, rig)
    )
    assert cal.report.extra["moved_frames"] == pytest.approx(dict(zip(rig.names, -late, strict=True)))


def test_cameras_in_step_are_left_alone():
    rig, kp, _ = phones(0, np.array([0.0, 0.05, -0.08, 0.0]))
    same, by = in_step(kp)
    assert same is kp and not by.any()
    assert in_step(kp.replace(times=None))[0].times is None
    assert "moved_frames" not in sc.calibrate(kp, rig).report.extra


def test_clocks_that_drift_are_followed():
    """A camera that runs 0.5 % fast: each row at its own place; beyond its end nothing is invented."""
    t = np.arange(60) / 10.0
    own = 1.005 * t
    wave = np.stack([2 * t**2, -(t**2)], -1)  # of the first camera; quadratics are met exactly by the cubics
    other = np.stack([2 * own**2, -(own**2)], -1)
    xy = np.stack([np.repeat(w[:, None], 17, 1) for w in (wave, other)])
    kp = sc.Keypoints2D(xy, np.ones(xy.shape[:3]), "h36m17", fps=10.0, times=np.stack([t, own]))
    moved, _ = in_step(kp)
    inner = slice(2, 55)
    assert np.allclose(moved.xy[1, inner], xy[0, inner], atol=1e-3)
    assert np.array_equal(moved.xy[0], xy[0])


def test_gaps_stay_gaps():
    _, kp, _ = phones(2, np.array([0.0, 0.5, 0.0, 0.0]), 40)
    xy, score = kp.xy.copy(), kp.score.copy()
    xy[1, 10:15], score[1, 10:15] = np.nan, 0.0
    moved, _ = in_step(kp.replace(xy=xy, score=score))
    assert not moved.observed[1, 11:15].any() and moved.observed[1, 16:38].all()

"""Votes of a lifter: rotations between cameras, exchanged sides; averaging; starts that take them."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import sportcore as sc
from sportcore import _core
from sportcore.cameras.monocular import TILT_RAD, as_arguments, exchanged_sides, rotation_votes
from sportcore.errors import InputError
from sportcore.synthetic import athlete, observe, ring_cameras, simulate_lifter


def angle_deg(A, B) -> float:
    return float(np.degrees(np.linalg.norm(Rotation.from_matrix(A @ np.swapaxes(B, -1, -2)).as_rotvec())))


def poses_in(rig: sc.Rig, X: np.ndarray) -> np.ndarray:
    """(C, T, 17, 3) exactly as each camera sees them, root-relative."""
    return np.einsum("cij,tkj->ctki", rig.R, X - X[:, :1])


def runs(rng: np.random.Generator, C: int, T: int, length: int = 8) -> np.ndarray:
    """(C, T) runs of exchanged frames, never in most cameras at once."""
    out = rng.random((C, -(-T // length))) < 0.35
    out[:, out.sum(0) * 2 >= C] = False
    return np.repeat(out, length, axis=1)[:, :T]


@pytest.mark.parametrize("seed", range(3))
def test_exact_poses_give_exact_rotations(seed):
    rig, X = ring_cameras(4, seed), athlete(60, 12.5, seed)
    votes = rotation_votes(3.7 * poses_in(rig, X))  # scale does not matter
    assert [(v.first, v.second) for v in votes] == [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for v in votes:
        assert angle_deg(v.R, rig.R[v.second] @ rig.R[v.first].T) < 1e-4
        assert v.swapped_share == 0 and v.misfit_rad < 1e-6
        assert v.sigma_rad == pytest.approx(np.sqrt(2) * TILT_RAD)  # nothing but the tilts is left


@pytest.mark.parametrize("seed", range(3))
def test_exchanged_frames_are_found_and_do_no_harm(seed):
    rng = np.random.default_rng(seed)
    rig, X = ring_cameras(5, seed), athlete(80, 12.5, seed)
    swapped = runs(rng, 5, 80)
    assert 20 < swapped.sum() < 200
    poses = simulate_lifter(X, rig, seed, mpjpe_mm=30, tilt_deg=0, swapped=swapped)
    votes = rotation_votes(poses)
    for v in votes:
        assert angle_deg(v.R, rig.R[v.second] @ rig.R[v.first].T) < 4
        assert v.swapped_share == pytest.approx(np.mean(swapped[v.first] ^ swapped[v.second]), abs=0.05)
    assert (exchanged_sides(poses, votes) == swapped).mean() > 0.98


def test_the_deviation_holds_for_tilted_noisy_lifters():
    ratios: list[float] = []
    for seed in range(12):
        rig, X = ring_cameras(3, seed), athlete(60, 12.5, seed)
        tilt = np.random.default_rng(seed).rayleigh(4.0)
        poses = simulate_lifter(X, rig, seed, mpjpe_mm=120, tilt_deg=float(min(tilt, 8)))
        found: dict[tuple[int, int], list[float]] = {}
        for v in rotation_votes(poses):
            angle = angle_deg(v.R, rig.R[v.second] @ rig.R[v.first].T)
            found.setdefault((v.first, v.second), []).append(angle / np.degrees(v.sigma_rad))
        assert sum(map(len, found.values())) < 6  # second votes are rare
        ratios.extend(map(min, found.values()))
    assert np.mean(np.array(ratios) < 2.8) > 0.9  # 95 % of a normal law in three dimensions
    assert np.median(ratios) > 0.3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), hidden=st.floats(0.0, 0.95))
def test_missing_frames_never_break_the_votes(seed, hidden):
    rng = np.random.default_rng(seed)
    rig, X = ring_cameras(3, seed % 50), athlete(30, 12.5, seed % 50)
    poses = poses_in(rig, X)
    poses[rng.random((3, 30)) < hidden] = np.nan
    poses[0, 0, 3] = np.nan
    before = poses.copy()
    votes = rotation_votes(poses)
    assert np.array_equal(before, poses, equal_nan=True)
    both = np.isfinite(poses[..., 0]).sum(-1) >= 16
    for v in votes:
        assert (both[v.first] & both[v.second]).sum() >= 8
        assert angle_deg(v.R, rig.R[v.second] @ rig.R[v.first].T) < 1e-3
    assert exchanged_sides(poses, votes).sum() == 0
    assert rotation_votes(np.full((2, 5, 17, 3), np.nan)) == []


def test_shapes():
    with pytest.raises(InputError, match="17"):
        rotation_votes(np.zeros((2, 5, 16, 3)))


def test_averaging_from_python():
    rng = np.random.default_rng(5)
    true = Rotation.random(6, random_state=1).as_matrix()
    pairs = np.array([(i, j) for i in range(6) for j in range(i + 1, 6)], np.int32)
    R = np.array([Rotation.from_rotvec(0.01 * rng.normal(size=3)).as_matrix() @ true[j] @ true[i].T for i, j in pairs])
    R[[2, 9]] = Rotation.random(2, random_state=2).as_matrix()
    got = _core.average_rotations(6, (pairs, R, np.full(len(pairs), 0.01)))
    gap = got["R"] @ got["R"][0].T @ true[0] @ np.swapaxes(true, 1, 2)
    assert np.degrees(np.linalg.norm(Rotation.from_matrix(gap).as_rotvec(), axis=1)).max() < 1.5
    assert (got["weight"][[2, 9]] < 0.01).all() and got["converged"]
    with pytest.raises(InputError, match="no rotation"):
        _core.average_rotations(6, (pairs, 2 * R, np.full(len(pairs), 0.01)))
    with pytest.raises(InputError, match="shape"):
        _core.average_rotations(6, (pairs, R[:3], np.full(len(pairs), 0.01)))


def hard(cameras: int, frames: int, seed: int, arc_deg: float = 360.0, focal_px: float = 1500.0, **noise):
    X = athlete(frames, 12.5, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    far = focal_px / 1500
    rig = ring_cameras(cameras, seed, arc_deg=arc_deg, focal_px=focal_px, distance_m=(5 * far, 8 * far))
    kp, truth = observe(X, rig, seed, fps=12.5, sigma_px=2.0, missing=0.1, **noise)
    return rig, kp, simulate_lifter(X, rig, seed, mpjpe_mm=70, tilt_deg=5, swapped=truth.swapped.any(-1))


def test_cameras_that_could_not_be_connected_are_placed_with_their_sides():
    rig, kp, _ = hard(4, 16, 1, 60.0, outliers=0.45, swaps=0.5)
    cal = sc.calibrate(kp, rig)
    assert rotation_error_deg(cal.rig, rig) < 3
    again = sc.calibrate(kp, rig, sc.CalibrateOptions(num_threads=3))
    assert np.array_equal(cal.rig.R, again.rig.R) and np.array_equal(cal.rig.t, again.rig.t)


def test_a_lifter_rescues_two_far_cameras():
    rig, kp, poses = hard(2, 60, 12, 70.0, 6000.0, outliers=0.25, swaps=0.5)
    before = poses.copy()
    assert rotation_error_deg(sc.calibrate(kp, rig).rig, rig) > 45  # nothing but the lifter tells left from right here
    cal = sc.calibrate(kp, rig, monocular_3d=poses)
    assert np.array_equal(before, poses)
    assert cal.report.extra["start_from_rotations"] is True
    assert rotation_error_deg(cal.rig, rig) < 5
    assert cal.report.extra["monocular_disagreement_deg"][0][1] < 15


def test_a_lying_lifter_changes_no_sound_calibration():
    rig, kp, _ = hard(3, 60, 2, outliers=0.05, swaps=0.2)
    poses = np.random.default_rng(0).normal(size=(3, 60, 17, 3))
    wrong = simulate_lifter(athlete(60, 12.5, 2), ring_cameras(3, 77), 0)
    plain = sc.calibrate(kp, rig)
    for lie in (poses, wrong):
        told = sc.calibrate(kp, rig, monocular_3d=lie)
        assert np.array_equal(told.rig.R, plain.rig.R)
        assert told.report.extra["start_from_rotations"] is False


def test_votes_as_the_solver_takes_them():
    rig, X = ring_cameras(3, 0), athlete(20, 12.5, 0)
    cameras, R, sigma = as_arguments(rotation_votes(poses_in(rig, X)))
    assert cameras.tolist() == [[0, 1], [0, 2], [1, 2]] and R.shape == (3, 3, 3) and (sigma > 0).all()
    cameras, R, sigma = as_arguments([])
    assert cameras.shape == (0, 2) and R.shape == (0, 3, 3) and sigma.shape == (0,)

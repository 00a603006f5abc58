"""The published calibration: its equations solved directly, derivatives, exactness, refusals, inputs untouched."""

from __future__ import annotations

import time

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg, similarity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

import sportcore as sc
from sportcore.cameras import lee2022_bundle as bundle
from sportcore.cameras import lee2022_linear as linear
from sportcore.cameras.lee2022 import Lee2022Options, calibrate_lee2022, calibrate_lee2022_metric
from sportcore.cameras.lee2022_ransac import consensus, direction_angles, ray_residuals
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


def rays_and_directions(cameras=3, frames=6, seed=0, ray_noise=0.002, direction_noise=0.2):
    """(rays (C, M, 3), directions (C, N, 3), true rig)."""
    X = athlete(frames, 12.5, seed)
    rig = ring_cameras(cameras, seed, arc_deg=80 if cameras == 2 else 360)
    rng = np.random.default_rng(seed)
    n = np.einsum("cij,mj->cmi", rig.R, X.reshape(-1, 3)) + rig.t[:, None]
    n = n / n[..., 2:]
    n[..., :2] += ray_noise * rng.normal(size=n[..., :2].shape)
    v = np.einsum("cij,mj->cmi", rig.R, (X[:, BONES[:, 1]] - X[:, BONES[:, 0]]).reshape(-1, 3))
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    v += direction_noise * rng.normal(size=v.shape)
    return n, v / np.linalg.norm(v, axis=-1, keepdims=True), rig


# ---- the published equations, written down row by row and solved densely ---------------------------------------------


def cross_matrix(a):
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])


def direct_matrix(R, n, seen=None):
    """Every collinearity and coplanarity equation as a row; unknowns are the points, then the translations."""
    C, M = n.shape[:2]
    rows = []
    for m in range(M):
        for c in range(C):
            if seen is None or seen[c, m]:
                block = np.zeros((3, 3 * (M + C)))
                block[:, 3 * m : 3 * m + 3] = cross_matrix(n[c, m]) @ R[c]
                block[:, 3 * (M + c) : 3 * (M + c) + 3] = cross_matrix(n[c, m])
                rows.extend(block)
        for a in range(C):
            for b in range(a + 1, C):
                if seen is None or (seen[a, m] and seen[b, m]):
                    normal = np.cross(R[a].T @ n[a, m], R[b].T @ n[b, m])
                    row = np.zeros(3 * (M + C))
                    row[3 * (M + a) : 3 * (M + a) + 3] = normal @ R[a].T
                    row[3 * (M + b) : 3 * (M + b) + 3] = -normal @ R[b].T
                    rows.append(row)
    return np.array(rows)


def direct_solution(R, n, seen=None):
    """(t, X, eigenvalues) by the dense eigenproblem; the sign is left open."""
    C, M = n.shape[:2]
    A = direct_matrix(R, n, seen)
    values, vectors = np.linalg.eigh(A.T @ A)
    null = vectors[:, :4]
    x = null @ np.linalg.svd(null[3 * M : 3 * M + 3])[2][3]
    t = x[3 * M :].reshape(C, 3)
    scale = np.linalg.norm(t[1])
    return t / scale, x[: 3 * M].reshape(M, 3) / scale, values[:5]


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("cameras", [2, 3, 5])
@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
def test_the_elimination_solves_the_full_eigenproblem(cameras, noise, project):
    n, v, _ = rays_and_directions(cameras, 4, seed=cameras, ray_noise=0.02 * noise, direction_noise=noise)
    R = linear.rotations(v, project).R
    t, X, values = direct_solution(R, n)
    out = linear.translations(R, n)
    sign = np.sign((out.t * t).sum())
    assert np.abs(out.t - sign * t).max() < 1e-6
    assert np.abs(out.X - sign * X).max() < 1e-6
    assert np.abs(out.eigenvalues[:4] - values[:4]).max() < 1e-9
    assert out.eigenvalues[4] <= values[4] * (1 + 1e-4)


def test_the_three_ways_to_the_eigenvectors_agree():
    n, v, _ = rays_and_directions(4, 8)
    N = linear._normal(linear.rotations(v).R, n, None)
    assert N.size > linear.DENSE_UP_TO
    dense, roots, lanczos = linear._smallest_dense(N), linear._smallest_by_roots(N), linear._smallest_by_lanczos(N)
    for other in (roots, lanczos):
        assert np.abs(other[0] - dense[0])[:4].max() < 1e-9
        assert np.isclose(other[0][4], dense[0][4], rtol=1e-4)
        a, b = (np.linalg.qr(np.concatenate(s[1:], 1).T)[0] for s in (dense, other))
        assert np.linalg.norm(b - a @ (a.T @ b)) < 1e-6


def test_a_null_space_that_is_not_below_the_points_own_is_left_to_lanczos():
    left = 0
    for seed in range(30):
        n, v, _ = rays_and_directions(2, 4, seed, ray_noise=0.05, direction_noise=1.0)
        N = linear._normal(linear.rotations(v).R, n, None)
        left += linear._smallest_by_roots(N) is None
        dense, used = linear._smallest_dense(N), linear._smallest(N)
        assert N.size > linear.DENSE_UP_TO
        assert np.abs(used[0][:4] - dense[0][:4]).max() < 1e-8
        a, b = (np.linalg.qr(np.concatenate(s[1:], 1).T)[0] for s in (dense, used))
        gap = dense[0][4] - dense[0][3]
        assert np.linalg.norm(b - a @ (a.T @ b)) < 1e-8 / gap
    assert left >= 3


def test_the_elimination_with_gaps_solves_the_full_eigenproblem():
    n, v, rig = rays_and_directions(4, 8)
    seen = np.random.default_rng(1).random(n.shape[:2]) > 0.3
    keep = seen.sum(0) >= 2
    n, seen = n[:, keep], seen[:, keep]
    n[~seen] = np.nan
    R = linear.rotations(v, project=True).R
    t, X, _ = direct_solution(R, np.nan_to_num(n), seen)
    out = linear.translations(R, n, seen)
    sign = np.sign((out.t * t).sum())
    assert np.abs(out.t - sign * t).max() < 1e-6
    assert np.abs(out.X - sign * X).max() < 1e-6


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_rotations_are_those_of_the_singular_value_decomposition(noise):
    _, v, _ = rays_and_directions(4, 20, direction_noise=noise)
    _, sigma, Zt = np.linalg.svd(np.hstack(v), full_matrices=False)
    stacked = 2.0 * Zt[:3]
    stacked = np.linalg.inv(stacked[:, :3]) @ stacked
    out = linear.rotations(v)
    assert np.abs(out.R - stacked.T.reshape(4, 3, 3)).max() < 1e-9
    assert np.abs(out.singular_values[:3] - sigma[:3] / np.sqrt(v.shape[1])).max() < 1e-9


def test_projected_rotations_are_rotations_and_the_first_is_one():
    _, v, rig = rays_and_directions(5, 40, direction_noise=0.3)
    R = linear.rotations(v, project=True).R
    assert np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12
    assert np.linalg.det(R).min() > 0
    assert np.abs(R[0] - np.eye(3)).max() < 1e-12
    assert rotation_error_deg(rig.with_poses(R, rig.t), rig) < 5.0
    raw = linear.rotations(v).R
    assert np.abs(raw @ raw.transpose(0, 2, 1) - np.eye(3)).max() > 1e-3  # as published: no rotations


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_rotations_with_missing_bones(noise):
    _, v, rig = rays_and_directions(4, 40, direction_noise=noise)
    seen = np.zeros(v.shape[:2], bool)
    third = v.shape[1] // 3
    for c in range(4):  # a chain: no bone is seen by all, camera 0 and 3 share none
        seen[c, max(c - 1, 0) * third : (c + 1) * third] = True
    assert not seen.all(0).any()
    v[~seen] = np.nan
    out = linear.rotations_with_gaps(v, seen)
    limit = 1e-5 if noise == 0 else 5.0
    assert rotation_error_deg(rig.with_poses(out.R, rig.t), rig) < limit


def test_rotations_of_cameras_that_share_nothing_are_refused():
    _, v, _ = rays_and_directions(4, 10)
    seen = np.ones(v.shape[:2], bool)
    seen[:2, 80:], seen[2:, :80] = False, False
    with pytest.raises(DegenerateError, match="share no bones"):
        linear.rotations_with_gaps(v, seen)


def test_triangulation_is_the_smallest_eigenvector():
    n, v, rig = rays_and_directions(3, 30, ray_noise=0.01)
    n[:, ::7, :2] += np.random.default_rng(3).normal(size=n[:, ::7, :2].shape)  # gross errors too
    P = np.concatenate([rig.R, rig.t[:, :, None]], 2)
    rows = np.concatenate([P[:, None, :2] - n[..., :2, None] * P[:, None, 2:3]], 0).transpose(1, 0, 2, 3)
    rows = rows.reshape(n.shape[1], -1, 4)
    w = np.linalg.eigh(rows.transpose(0, 2, 1) @ rows)[1][:, :, 0]
    expected = w[:, :3] / w[:, 3:]
    assert np.abs(linear.dlt(rig.R, rig.t, n) / expected - 1).max() < 1e-6


def test_weighted_triangulation_is_least_squares():
    n, _, rig = rays_and_directions(3, 5, ray_noise=0.01)
    weight = np.random.default_rng(0).random(n.shape[:2])
    weight[0, :10] = 0
    weight[1, :5] = 0
    X = linear.weighted_points(rig.R, rig.t, n, weight)
    assert np.isnan(X[:5]).all() and np.isfinite(X[5:]).all()
    for m in (5, 12, 40):
        rows, right = [], []
        for c in range(3):
            P = np.concatenate([rig.R[c], rig.t[c][:, None]], 1)
            for i in range(2):
                row = weight[c, m] * (n[c, m, i] * P[2] - P[i])
                rows.append(row[:3])
                right.append(-row[3])
        assert np.abs(np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0] - X[m]).max() < 1e-9


# ---- random samples --------------------------------------------------------------------------------------------------


def test_random_samples_score_and_inlier_rule():
    n, v, _ = rays_and_directions(3, 10, ray_noise=0.0005, direction_noise=0.02)
    n[1, 3, 0] += 0.4
    v[2, 5] = -v[2, 5]
    arguments = {"iterations": 30, "sample": 10, "max_error_px": 40.0, "max_angle_rad": np.radians(10.0)}
    out = consensus(v, n, np.full(3, 1500.0), **arguments, project=False, seed=3)
    assert not out.point[3] and out.point.mean() > 0.9
    assert not out.direction[5] and out.direction.mean() > 0.9
    rng = np.random.default_rng(3)  # the first sample again, by the definition
    picked, chosen = rng.choice(v.shape[1], 10, replace=False), rng.choice(n.shape[1], 10, replace=False)
    R = linear.rotations(v[:, picked]).R
    t = linear.translations(R, n[:, chosen]).t
    e, a = ray_residuals(R, t, n), direction_angles(R, v)
    assert np.isclose(out.scores[0], np.sqrt((e**2).sum()) / n.shape[1] + np.sqrt((a**2).sum()) / v.shape[1])
    i = 17
    cosines = [(R[0].T @ v[0, i]) @ (R[c].T @ v[c, i]) for c in (1, 2)]
    assert np.isclose(a[i], np.arccos(min(np.mean(cosines), 1.0)))


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


# ---- bundle adjustment -----------------------------------------------------------------------------------------------


def small_bundle(seed=0, lambda1=30.0, lambda2=200.0):
    """A bundle with gaps, and a state away from its minimum."""
    rng = np.random.default_rng(seed)
    n, v, rig = rays_and_directions(3, 4, seed, ray_noise=0.003, direction_noise=0.2)
    P = n.shape[1]
    score = rng.uniform(0.3, 1.0, (3, P))
    score[0, ::5] = 0
    xy = n[..., :2].copy()
    xy[score == 0] = np.nan
    joint = np.arange(P).reshape(4, 17)
    first, second = joint[:, BONES[:, 0]].reshape(-1), joint[:, BONES[:, 1]].reshape(-1)
    bone = np.tile(np.arange(16), 4)
    problem = bundle.Bundle(xy, score, np.full((3, 2), [900.0, 950.0]), v, first, second, bone, lambda1, lambda2)
    R = Rotation.from_rotvec(0.03 * rng.normal(size=(3, 3))).as_matrix() @ (rig.R @ rig.R[0].T)
    R = R @ R[0].T
    t = rig.t - np.einsum("cij,j->ci", rig.R @ rig.R[0].T, rig.t[0])
    t = t / np.linalg.norm(t[1])
    X = linear.weighted_points(R, t, xy, score)
    return problem, R, t, X


def moved(R, t, X, step):
    C = len(R)
    d = step[: 6 * C].reshape(C, 6)
    return Rotation.from_rotvec(d[:, :3]).as_matrix() @ R, t + d[:, 3:], X + step[6 * C :].reshape(-1, 3)


def stacked(problem, R, t, X):
    return np.concatenate([p.reshape(-1) for p in bundle.residuals(problem, R, t, X)])


def test_the_normal_equations_are_those_of_finite_differences():
    problem, R, t, X = small_bundle()
    C, P, B = 3, len(X), problem.n_bones
    size = 6 * C + 3 * P
    h = 1e-6
    J = np.stack(
        [
            (stacked(problem, *moved(R, t, X, h * e)) - stacked(problem, *moved(R, t, X, -h * e))) / (2 * h)
            for e in np.eye(size)
        ],
        1,
    )
    r = stacked(problem, R, t, X)
    H, g = J.T @ J, J.T @ r
    system = bundle.linearise(problem, R, t, X)
    scale = np.abs(H).max()
    assert np.abs(system.Hcc - H[: 6 * C, : 6 * C]).max() < 1e-6 * scale
    W = system.E[:, :, : 6 * C].reshape(3 * P, 6 * C)
    assert np.abs(W - H[6 * C :, : 6 * C]).max() < 1e-6 * scale
    V = system.E[:, :, 6 * C : 6 * C + B].reshape(3 * P, B)
    Hpp = V @ V.T
    for p in range(P):
        Hpp[3 * p : 3 * p + 3, 3 * p : 3 * p + 3] += system.Hpp[p]
    assert np.abs(Hpp - H[6 * C :, 6 * C :]).max() < 1e-6 * scale
    assert np.abs(V).max() > 0.1  # the lengths take part
    assert np.abs(np.concatenate([system.gc, system.E[:, :, -1].reshape(-1)]) - g).max() < 1e-6 * np.abs(g).max()


@pytest.mark.parametrize("free", [False, True])
def test_the_step_solves_the_damped_normal_equations(free):
    problem, R, t, X = small_bundle(1)
    C, P, B = 3, len(X), problem.n_bones
    s = bundle.linearise(problem, R, t, X)
    V = s.E[:, :, 6 * C : 6 * C + B].reshape(3 * P, B)
    W = s.E[:, :, : 6 * C].reshape(3 * P, 6 * C)
    blocks = np.zeros((3 * P, 3 * P))
    for p in range(P):
        blocks[3 * p : 3 * p + 3, 3 * p : 3 * p + 3] = s.Hpp[p]
    G = bundle._freedom(t, free)
    H = np.block([[G.T @ s.Hcc @ G, G.T @ W.T], [W @ G, blocks + V @ V.T]])
    g = np.concatenate([G.T @ s.gc, s.E[:, :, -1].reshape(-1)])
    damping = 0.01
    D = damping * np.concatenate([np.diag(G.T @ s.Hcc @ G), np.diag(blocks)])
    z = np.linalg.solve(H + np.diag(D), -g)
    dc, dX, fall = bundle._step(s, G, damping)
    assert np.abs(dc - G @ z[: G.shape[1]]).max() < 1e-8 * np.abs(z).max()
    assert np.abs(dX.reshape(-1) - z[G.shape[1] :]).max() < 1e-8 * np.abs(z).max()
    assert np.isclose(fall, -(g @ z + 0.5 * z @ H @ z), rtol=1e-8)


def test_the_adjustment_reaches_scipys_minimum():
    problem, R, t, X = small_bundle(2, lambda2=0.0)  # without lengths the cost does not depend on the gauge
    out = bundle.adjust(problem, R, t, X, ftol=1e-14, max_iterations=500)
    scipy = least_squares(
        lambda z: stacked(problem, *moved(R, t, X, z)), np.zeros(18 + 3 * len(X)), ftol=1e-14, xtol=1e-14, gtol=1e-10
    )
    assert np.isclose(out.costs[-1], scipy.cost, rtol=1e-7)
    assert all(b < a for a, b in zip(out.costs, out.costs[1:], strict=False))
    Rs, _, _ = moved(R, t, X, scipy.x)
    relative = Rs @ Rs[0].T
    assert np.abs(out.R - relative).max() < 1e-5
    assert np.isclose(sum(out.parts), out.costs[-1])


def test_lengths_shrink_a_scene_that_is_free_to_and_not_one_that_is_held():
    problem, R, t, X = small_bundle(3, lambda2=1e5)
    held = bundle.adjust(problem, R, t, X, ftol=1e-9)
    free = bundle.adjust(problem, R, t, X, ftol=1e-9, free_gauge=True)
    assert np.isclose(np.linalg.norm(held.t[1]), 1.0) and np.abs(held.t[0]).max() < 1e-12
    assert np.linalg.norm(free.t[1] - free.R[1] @ free.R[0].T @ free.t[0]) < 0.9
    assert free.costs[-1] < held.costs[-1]


def test_bone_lengths_are_evened_out():
    problem, R, t, X = small_bundle(4, lambda1=0.0, lambda2=1e6)
    loose = bundle.adjust(bundle.Bundle(**{**problem.__dict__, "lambda2": 0.0}), R, t, X, ftol=1e-9)
    tight = bundle.adjust(problem, R, t, X, ftol=1e-9)
    before, after = (bundle._variances(problem, b.X)[0].sum() for b in (loose, tight))
    assert after < 0.2 * before


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


def test_many_points_are_quick():
    n, v, _ = rays_and_directions(4, 1200)
    assert n.shape[1] > 20000
    start = time.process_time()
    out = linear.translations(linear.rotations(v).R, n)
    assert time.process_time() - start < 1.0  # measured: 0.2 s
    assert np.isfinite(out.t).all() and out.in_front == 1.0


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

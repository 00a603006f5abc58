"""Parts of the published calibration: its equations solved directly, its scores, derivatives and steps."""

from __future__ import annotations

import time

import numpy as np
import pytest
from calibration_scenes import rotation_error_deg
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from sportcore.cameras import lee2022_bundle as bundle
from sportcore.cameras import lee2022_linear as linear
from sportcore.cameras.lee2022_ransac import consensus, direction_angles, ray_residuals
from sportcore.errors import DegenerateError
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, ring_cameras

BONES = H36M17.bone_indices


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


def test_many_points_are_quick():
    n, v, _ = rays_and_directions(4, 1200)
    assert n.shape[1] > 20000
    start = time.process_time()
    out = linear.translations(linear.rotations(v).R, n)
    assert time.process_time() - start < 1.0  # measured: 0.2 s
    assert np.isfinite(out.t).all() and out.in_front == 1.0


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

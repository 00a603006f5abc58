"""Essential matrices, resection and bundle adjustment: minimal solvers, Jacobians, exact recovery, robustness."""

from __future__ import annotations

import numpy as np
import pytest

from sportcore import _core
from sportcore.errors import InputError


def rotation(rng: np.random.Generator, angle: float = np.pi) -> np.ndarray:
    w = rng.normal(size=3)
    return _core.so3_exp(w / np.linalg.norm(w) * rng.uniform(0, angle))


def angle(A: np.ndarray, B: np.ndarray) -> float:
    return float(np.linalg.norm(_core.so3_log(A @ B.T)))


def two_views(rng: np.random.Generator, n: int):
    """R, t (unit) of view 2 from view 1, points in view 1, and both normalised images."""
    R, t = rotation(rng, 0.8), rng.normal(size=3)
    t /= np.linalg.norm(t)
    X = rng.uniform([-1, -1, 4], [1, 1, 7], (n, 3))
    Y = X @ R.T + t
    keep = Y[:, 2] > 1
    X, Y = X[keep], Y[keep]
    return R, t, X[:, :2] / X[:, 2:], Y[:, :2] / Y[:, 2:]


@pytest.mark.parametrize("seed", range(10))
def test_five_point_finds_the_true_essential_matrix(seed):
    R, t, x1, x2 = two_views(np.random.default_rng(seed), 40)
    found = _core.essential_five_point(x1[:5], x2[:5])
    T = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    E = T @ R / np.linalg.norm(T @ R) * np.sqrt(2)
    assert 1 <= len(found) <= 10
    assert min(min(np.abs(F - E).max(), np.abs(F + E).max()) for F in found) < 1e-6
    h1, h2 = (np.column_stack([x[:5], np.ones(5)]) for x in (x1, x2))
    for F in found:
        assert np.abs(np.einsum("ni,ij,nj->n", h2, F, h1)).max() < 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_three_point_contains_the_true_pose(seed):
    rng = np.random.default_rng(seed)
    R, t = rotation(rng), np.array([0.2, -0.1, 5.0])
    X = rng.uniform(-1, 1, (3, 3))
    Y = X @ R.T + t
    Rs, ts = _core.pose_three_point(X, Y[:, :2] / Y[:, 2:])
    assert len(Rs) >= 1
    assert min(np.abs(A - R).max() + np.abs(b - t).max() for A, b in zip(Rs, ts, strict=True)) < 1e-6


def test_sampson_jacobian_matches_finite_differences():
    rng = np.random.default_rng(0)
    R, t, x1, x2 = two_views(rng, 30)
    x2 = x2 + rng.normal(size=x2.shape) * 0.01
    f1, f2, h = 1400.0, 1100.0, 1e-6
    for a, b in zip(x1[:8], x2[:8], strict=True):
        _, J, basis = _core.sampson_residual(R, t, a, b, f1, f2)
        numeric = []
        for k in range(5):
            values = []
            for s in (h, -h):
                if k < 3:
                    values.append(_core.sampson_residual(_core.so3_exp(np.eye(3)[k] * s) @ R, t, a, b, f1, f2)[0])
                else:
                    values.append(_core.sampson_residual(R, t + s * basis[k - 3], a, b, f1, f2)[0])
            numeric.append((values[0] - values[1]) / (2 * h))
        assert np.allclose(J, numeric, rtol=1e-5, atol=1e-4 * np.abs(J).max())


@pytest.mark.parametrize("seed", range(5))
def test_essential_survives_a_third_of_outliers(seed):
    rng = np.random.default_rng(seed)
    R, t, x1, x2 = two_views(rng, 400)
    x1, x2 = x1 + rng.normal(size=x1.shape) / 1500, x2 + rng.normal(size=x2.shape) / 1500
    bad = rng.random(len(x2)) < 0.3
    x2[bad] += rng.uniform(-0.2, 0.2, (bad.sum(), 2))
    r = _core.estimate_essential(x1, x2, 1500.0, 1500.0, max_residual_px=5.0, seed=seed)
    assert r["success"]
    assert np.degrees(angle(r["R"], R)) < 1.0
    assert r["t"] @ t > np.cos(np.radians(3.0))  # the sign too: points lie in front
    again = _core.estimate_essential(x1, x2, 1500.0, 1500.0, max_residual_px=5.0, seed=seed)
    assert np.array_equal(r["R"], again["R"])


def test_pose_survives_half_outliers_and_missing_points():
    rng = np.random.default_rng(3)
    R, t = rotation(rng), np.array([0.1, 0.2, 6.0])
    X = rng.uniform(-1, 1, (300, 3))
    Y = X @ R.T + t
    x = Y[:, :2] / Y[:, 2:] + rng.normal(size=(300, 2)) / 1500
    x[:150] += rng.uniform(-0.3, 0.3, (150, 2))
    X[290:] = np.nan
    r = _core.estimate_pose(X, x, 1500.0, max_residual_px=6.0)
    assert r["success"]
    assert np.degrees(angle(r["R"], R)) < 0.3
    assert np.abs(r["t"] - t).max() < 0.05


class Scene:
    """C cameras with Brown-Conrady lenses around N points, as rows for the adjustment."""

    def __init__(self, C: int = 4, N: int = 120, seed: int = 0, noise_px: float = 0.0):
        rng = np.random.default_rng(seed)
        self.X = rng.uniform(-1, 1, (N, 3))
        self.K = np.tile(np.array([[1400.0, 0, 960], [0, 1410.0, 540], [0, 0, 1]]), (C, 1, 1))
        self.dist = np.tile(np.array([-0.1, 0.05, 0.001, -0.001, 0.01, 0, 0, 0]), (C, 1))
        self.R, self.t = np.empty((C, 3, 3)), np.empty((C, 3))
        for c in range(C):
            a = 2 * np.pi * c / C + 0.2
            centre = np.array([6 * np.cos(a), 6 * np.sin(a), rng.uniform(-1, 1)])
            z = -centre / np.linalg.norm(centre)
            x = np.cross(z, [0, 0, 1.0])
            x /= np.linalg.norm(x)
            self.R[c] = np.stack([x, np.cross(z, x), z])
            self.t[c] = -self.R[c] @ centre
        cams = self.cameras(self.R, self.t)
        uv = np.stack([_core.project(cams, c, self.X @ self.R[c].T + self.t[c]) for c in range(C)], 1)  # (N, C, 2)
        self.xy = (uv + rng.normal(size=uv.shape) * noise_px).reshape(-1, 2)
        self.camera = np.tile(np.arange(C, dtype=np.int32), N)
        self.offset = np.arange(0, N * C + 1, C, dtype=np.int64)

    def cameras(self, R, t, focal_factor: float = 1.0):
        K = self.K.copy()
        K[:, 0, 0] *= focal_factor
        K[:, 1, 1] *= focal_factor
        return _core.Cameras(np.ones(len(R), np.int32), K, self.dist, R, t)

    def disturbed(self, seed: int = 1, rad: float = 0.05, metres: float = 0.1):
        rng = np.random.default_rng(seed)
        R = np.stack([_core.so3_exp(rng.normal(size=3) * rad) @ A for A in self.R])
        return R, self.t + rng.normal(size=self.t.shape) * metres, self.X + rng.normal(size=self.X.shape) * metres

    def relative_error(self, R) -> float:
        C = len(R)
        return max(angle(R[i] @ R[j].T, self.R[i] @ self.R[j].T) for i in range(C) for j in range(i))


def sim3_error(A, B) -> float:
    """Worst distance after the best similarity, relative to the spread of B."""
    a, b = A - A.mean(0), B - B.mean(0)
    U, S, Vt = np.linalg.svd(b.T @ a)
    D = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    s = np.trace(np.diag(S) @ D) / (a**2).sum()
    return float(np.linalg.norm(s * a @ (U @ D @ Vt).T - b, axis=1).max() / np.linalg.norm(b, axis=1).mean())


@pytest.mark.parametrize("loss", ["trivial", "huber", "cauchy", "geman_mcclure"])
def test_bundle_recovers_a_clean_scene(loss):
    s = Scene()
    R, t, X = s.disturbed()
    r = _core.adjust_bundle(
        s.cameras(R, t), X, s.offset, s.camera, s.xy, loss=loss, loss_scale_px=300.0, max_iterations=100
    )
    assert r["converged"]
    assert s.relative_error(r["R"]) < 1e-8
    assert sim3_error(r["points"], s.X) < 1e-8
    assert r["cost"] < 1e-12 * r["initial_cost"]


def test_bundle_recovers_the_focal_length():
    s = Scene()
    for mode in ("shared", "per_camera"):
        r = _core.adjust_bundle(
            s.cameras(s.R, s.t, 1.05), s.X, s.offset, s.camera, s.xy, focal=mode, loss="trivial", max_iterations=200
        )
        assert np.allclose(r["focal_px"], s.K[:, [0, 1], [0, 1]], rtol=1e-6)
        assert r["covariance"].shape == (24 + (1 if mode == "shared" else 4),) * 2


def test_bundle_gradient_matches_finite_differences():
    """The first step from a disturbed start, against the gradient of the cost that it reports."""
    s = Scene(C=3, N=25, noise_px=1.0)
    R, t, X = s.disturbed(rad=0.01, metres=0.02)

    def cost(R, t, X, scale=1.0):
        r = _core.adjust_bundle(
            s.cameras(R, t, scale), X, s.offset, s.camera, s.xy, loss="cauchy", loss_scale_px=3.0, max_iterations=0,
            focal="shared",
        )  # fmt: skip
        return r["initial_cost"]

    # residuals by numbers, through the camera model's own Jacobians: gradient = sum w r^T J
    gradient = np.zeros(18)
    point_gradient = np.zeros_like(X)
    cams = s.cameras(R, t)
    for c in range(3):
        uv, Jx, Jp, _, _ = _core.project_jacobians(cams, c, X)
        res = uv - s.xy.reshape(-1, 3, 2)[:, c]
        w = 1 / (1 + (res**2).sum(1) / 9.0)
        gradient[6 * c : 6 * c + 6] = np.einsum("n,nk,nki->i", w, res, Jp)
        point_gradient += np.einsum("n,nk,nki->ni", w, res, Jx)
    h = 1e-6
    for c in range(3):
        for k in range(6):
            values = []
            for d in (h, -h):
                Rd, td = R.copy(), t.copy()
                if k < 3:
                    Rd[c] = _core.so3_exp(np.eye(3)[k] * d) @ Rd[c]
                else:
                    td[c, k - 3] += d
                values.append(cost(Rd, td, X))
            assert (values[0] - values[1]) / (2 * h) == pytest.approx(gradient[6 * c + k], rel=1e-4, abs=1e-2)
    for k in range(3):
        values = []
        for d in (h, -h):
            Xd = X.copy()
            Xd[7, k] += d
            values.append(cost(R, t, Xd))
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(point_gradient[7, k], rel=1e-4, abs=1e-2)


def test_robust_bundle_resists_outliers_where_squares_do_not():
    s = Scene(noise_px=1.0)
    rng = np.random.default_rng(5)
    bad = rng.random(len(s.xy)) < 0.05
    s.xy[bad] += rng.uniform(-150, 150, (bad.sum(), 2))
    R, t, X = s.disturbed(rad=0.01, metres=0.02)
    error = {}
    for loss in ("trivial", "geman_mcclure"):
        r = _core.adjust_bundle(s.cameras(R, t), X, s.offset, s.camera, s.xy, loss=loss, loss_scale_px=5.0)
        error[loss] = s.relative_error(r["R"])
    assert np.degrees(error["geman_mcclure"]) < 0.3
    assert error["geman_mcclure"] < 0.2 * error["trivial"]


def test_covariance_predicts_the_scatter_of_the_solution():
    predicted, seen = [], []
    for k in range(30):
        s = Scene(C=3, N=60, seed=100, noise_px=0.0)
        rng = np.random.default_rng(k)
        xy = s.xy + rng.normal(size=s.xy.shape) * 1.5
        r = _core.adjust_bundle(s.cameras(s.R, s.t), s.X, s.offset, s.camera, xy, loss="trivial")
        assert r["sigma_px"] == pytest.approx(1.5, rel=0.2)
        A = np.hstack([np.eye(3), np.zeros((3, 3)), -(r["R"][0] @ r["R"][1].T), np.zeros((3, 3)), np.zeros((3, 6))])
        predicted.append(np.trace(A @ r["covariance"] @ A.T))
        seen.append(angle(r["R"][0] @ r["R"][1].T, s.R[0] @ s.R[1].T) ** 2)
    assert 0.6 < np.mean(seen) / np.mean(predicted) < 1.6


def test_threads_do_not_change_a_bit():
    s = Scene(N=900, noise_px=1.0)
    R, t, X = s.disturbed()
    one, two = (
        _core.adjust_bundle(s.cameras(R, t), X, s.offset, s.camera, s.xy, num_threads=n, max_iterations=5)
        for n in (1, 2)
    )
    assert np.array_equal(one["R"], two["R"]) and np.array_equal(one["points"], two["points"])


def test_a_point_that_one_camera_sees_is_held():
    s = Scene(C=3, N=50)
    X = np.vstack([s.X, [[0.5, 0.5, 0.5]]])
    offset, camera = np.append(s.offset, s.offset[-1] + 1), np.append(s.camera, 0).astype(np.int32)
    xy = np.vstack([s.xy, [[900.0, 500.0]]])
    R, t, _ = s.disturbed(rad=0.01, metres=0.02)
    r = _core.adjust_bundle(s.cameras(R, t), X, offset, camera, xy, loss="trivial", max_iterations=100)
    assert r["num_held"] == 1
    assert np.array_equal(r["points"][-1], X[-1])
    assert s.relative_error(r["R"]) < 1e-7


def test_malformed_rows_are_refused():
    s = Scene(C=2, N=10)
    wrong = s.camera.copy()
    wrong[3] = 7
    with pytest.raises(InputError, match="camera 7"):
        _core.adjust_bundle(s.cameras(s.R, s.t), s.X, s.offset, wrong, s.xy)
    with pytest.raises(InputError, match="finite"):
        xy = s.xy.copy()
        xy[0] = np.nan
        _core.adjust_bundle(s.cameras(s.R, s.t), s.X, s.offset, s.camera, xy)
    with pytest.raises(InputError, match="loss"):
        _core.adjust_bundle(s.cameras(s.R, s.t), s.X, s.offset, s.camera, s.xy, loss="l2")

"""Camera models and triangulation in plain NumPy, and a small scene to try them on."""

from __future__ import annotations

import numpy as np

MODELS = {
    "pinhole": ("pinhole", ()),
    "brown4": ("brown", (-0.12, 0.06, 0.0015, -0.001)),
    "brown5": ("brown", (-0.28, 0.09, 0.0004, 0.0006, -0.012)),
    "brown8": ("brown", (0.25, -0.11, 0.0012, -0.0008, 0.02, 0.31, -0.05, 0.01)),
    "fisheye": ("fisheye", (0.03, -0.012, 0.006, -0.0015)),
}


def distort(x, model, k):
    """Normalised (N, 2) -> distorted (N, 2)."""
    k = np.concatenate([np.asarray(k, float), np.zeros(8)])[:8]
    r2 = (x**2).sum(-1)
    if model == "fisheye":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        distorted = theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)
        return x * np.where(r > 0, distorted / np.where(r > 0, r, 1), 1)[:, None]
    k1, k2, p1, p2, k3, k4, k5, k6 = k
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    X, Y = x.T
    return np.stack(
        [
            X * radial + 2 * p1 * X * Y + p2 * (r2 + 2 * X * X),
            Y * radial + p1 * (r2 + 2 * Y * Y) + 2 * p2 * X * Y,
        ],
        -1,
    )


def project(camera, X):
    """World points (N, 3) -> (N, 2) px; NaN behind the camera."""
    Xc = X @ camera.R.T + camera.t
    with np.errstate(all="ignore"):
        xd = distort(Xc[:, :2] / Xc[:, 2:], camera.model, camera.distortion)
    uv = xd @ camera.K[:2, :2].T + camera.K[:2, 2]
    uv[~(Xc[:, 2] > 0)] = np.nan
    return uv


def dlt(P, xy, weight):
    """Weighted linear triangulation by SVD: P (C, 3, 4), xy (C, N, 2), weight (C, N) -> (N, 3)."""
    out = np.full((xy.shape[1], 3), np.nan)
    for n in range(xy.shape[1]):
        use = (weight[:, n] > 0) & np.isfinite(xy[:, n]).all(-1)
        if use.sum() < 2:
            continue
        A = np.concatenate(
            [w * (u[:, None] * p[2] - p[:2]) for w, u, p in zip(weight[use, n], xy[use, n], P[use], strict=True)]
        )
        v = np.linalg.svd(A)[2][-1]
        out[n] = v[:3] / v[3]
    return out


def refine(cameras, X, xy, good, steps=20):
    """Gauss-Newton on the true projection with numeric Jacobians: (N, 3) -> (N, 3) and J^T J (N, 3, 3)."""
    X = X.copy()
    for _ in range(steps):
        H, g = np.zeros((len(X), 3, 3)), np.zeros((len(X), 3))
        for c, camera in enumerate(cameras):
            J = np.stack([(project(camera, X + h) - project(camera, X - h)) / 2e-6 for h in 1e-6 * np.eye(3)], -1)
            r = project(camera, X) - xy[c]
            J, r = np.where(good[c, :, None, None], J, 0), np.where(good[c, :, None], r, 0)
            H += np.einsum("nki,nkj->nij", J, J)
            g += np.einsum("nki,nk->ni", J, r)
        X -= np.linalg.solve(H, g[..., None])[..., 0]
    return X, H

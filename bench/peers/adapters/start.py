"""What the two bundle adjusters are given that the competitors are not: cameras next to the truth, and points."""

from __future__ import annotations

import numpy as np


def dlt(xy: np.ndarray, K: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(N, 3) linear triangulation of xy (C, N, 2), NaN where fewer than two views."""
    P = K @ np.concatenate([R, t[..., None]], -1)
    seen = np.isfinite(xy[..., 0])
    u = np.where(seen[..., None], xy, 0.0)
    rows = (
        np.concatenate(
            [u[..., 0, None] * P[:, None, 2] - P[:, None, 0], u[..., 1, None] * P[:, None, 2] - P[:, None, 1]]
        )
        * np.concatenate([seen, seen])[..., None]
    )
    A = np.einsum("rni,rnj->nij", rows, rows)
    v = np.linalg.eigh(A)[1][..., 0]
    with np.errstate(all="ignore"):
        X = v[:, :3] / v[:, 3:]
    X[seen.sum(0) < 2] = np.nan
    return X

"""Smoothing of trajectories in which every sample has its own certainty."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solveh_banded

from sportcore.errors import InputError

__all__ = ["whittaker_smooth"]


def whittaker_smooth(
    values: ArrayLike, weights: ArrayLike, *, fps: float, cutoff_hz: float, order: int = 3
) -> NDArray[np.float64]:
    """Weighted Whittaker smoothing: minimise ``sum w (x - y)^2 + lambda sum (D^order x)^2`` over time.

    ``lambda`` follows from the half-amplitude frequency: with equal weights a sine of ``cutoff_hz`` keeps
    half of its amplitude, ``lambda (2 sin(pi f / fps))^(2 order) = 1``. Weights are relative: only their
    ratio to the median of the trajectory counts. Source: P. H. C. Eilers, "A perfect smoother", Analytical
    Chemistry 75, 2003.

    Args:
        values: (T, N, D) trajectories, NaN where missing.
        weights: (T, N) non-negative, for instance inverse variances.
        fps: frames per second.
        cutoff_hz: half-amplitude frequency; must lie below fps / 2.
        order: order of the difference that is kept small.

    Returns:
        (T, N, D). Missing samples stay missing; a trajectory with ``order`` samples or fewer is returned as
        it is.

    Raises:
        InputError: shapes, cutoff or weights that make no sense.
    """
    y = np.asarray(values, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    if y.ndim != 3 or w.shape != y.shape[:2]:
        raise InputError(f"Expected values (T, N, D) and weights (T, N), got {y.shape} and {w.shape}.")
    if not 0 < cutoff_hz < fps / 2:
        raise InputError(f"cutoff_hz must lie between 0 and half the frame rate ({fps / 2:g} Hz), got {cutoff_hz:g}.")
    if order < 1:
        raise InputError(f"order must be at least 1, got {order}.")
    lam = 1.0 / (2.0 * np.sin(np.pi * cutoff_hz / fps)) ** (2 * order)
    T = len(y)
    out = y.copy()
    if T <= order:
        return out
    penalty = lam * _penalty_bands(T, order)
    for j in range(y.shape[1]):
        good = np.isfinite(y[:, j]).all(-1) & np.isfinite(w[:, j]) & (w[:, j] > 0)
        if good.sum() <= order:
            continue
        relative = np.where(good, w[:, j], 0.0) / np.median(w[good, j])
        # A wide range of weights would let a very certain sample stiffen nothing but the numerics.
        relative = np.where(good, np.clip(relative, 1e-3, 1e3), 0.0)
        bands = penalty.copy()
        bands[-1] += relative
        right = relative[:, None] * np.where(good[:, None], y[:, j], 0.0)
        smooth = solveh_banded(bands, right, check_finite=False)
        out[good, j] = smooth[good]
    return out


def _penalty_bands(n: int, order: int) -> NDArray[np.float64]:
    """D^T D of the ``order``-th difference, (order + 1, n) upper banded form."""
    coefficients = np.array([(-1.0) ** (order - k) * comb(order, k) for k in range(order + 1)])
    rows = n - order
    bands = np.zeros((order + 1, n))
    for a in range(order + 1):
        for b in range(a, order + 1):
            # D[i, i+a] * D[i, i+b] adds to element (i+a, i+b), stored at bands[order - (b - a), i + b].
            bands[order - (b - a), b : b + rows] += coefficients[a] * coefficients[b]
    return bands

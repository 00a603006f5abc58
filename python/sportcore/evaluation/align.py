"""Least-squares alignment of point sets: the similarity behind every Procrustes metric.

Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE
PAMI 13(4), 1991, eqs. (34)-(43). The handedness is fixed in rotation *and* scale: where the best orthogonal
map is a reflection, the smallest singular value counts negative in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError

__all__ = ["Similarity", "umeyama"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """The map ``x -> scale * R x + t``, for one point set or a batch of them.

    Attributes:
        scale: (...) positive factor; NaN where the set does not determine it.
        R: (..., 3, 3) proper rotation.
        t: (..., 3) in the unit of the target points.
        n_points: (...) number of point pairs used.
    """

    scale: FloatArray
    R: FloatArray
    t: FloatArray
    n_points: NDArray[np.int64]

    def apply(self, points: ArrayLike) -> FloatArray:
        """Map (..., N, 3) points; the batch axes are those of the similarity. NaN stays NaN."""
        x = np.asarray(points, dtype=np.float64)
        return self.scale[..., None, None] * (x @ np.swapaxes(self.R, -1, -2)) + self.t[..., None, :]


def umeyama(
    source: ArrayLike,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    with_scale: bool = True,
    min_points: int = 3,
) -> Similarity:
    """The similarity that carries ``source`` onto ``target`` with the least squared error.

    Args:
        source: (..., N, 3) points, NaN where missing.
        target: (..., N, 3) points in the same order, NaN where missing.
        weights: (..., N) non-negative weights, or None for equal ones; zero drops a point.
        with_scale: False keeps the scale at 1 (a rigid motion).
        min_points: sets with fewer complete pairs get NaN.

    Returns:
        The similarity. Its entries are NaN for sets with too few pairs or without extent. A set of points on
        one line still aligns with the least error, but its rotation about that line is arbitrary.

    Raises:
        InputError: the shapes do not fit.
    """
    a = np.asarray(source, dtype=np.float64)
    b = np.asarray(target, dtype=np.float64)
    if a.ndim < 2 or a.shape[-1] != 3 or b.shape[-1:] != (3,) or a.shape[-2] != b.shape[-2]:
        raise InputError(f"Expected two (..., N, 3) point sets of equal length, got {a.shape} and {b.shape}.")
    a, b = np.broadcast_arrays(a, b)
    valid = np.asarray(np.isfinite(a).all(-1) & np.isfinite(b).all(-1))
    w = valid.astype(np.float64)
    if weights is not None:
        given = np.asarray(weights, dtype=np.float64)
        if np.any(given < 0):
            raise InputError("Alignment weights must not be negative.")
        w = w * np.where(np.isfinite(given), given, 0.0)
    n_points = np.count_nonzero(w > 0, axis=-1)
    total = w.sum(-1)
    enough = np.asarray((n_points >= min_points) & (total > 0))
    w = w / np.where(total > 0, total, 1.0)[..., None]
    a = np.where(valid[..., None], a, 0.0)
    b = np.where(valid[..., None], b, 0.0)
    mean_a = np.einsum("...n,...nd->...d", w, a)
    mean_b = np.einsum("...n,...nd->...d", w, b)
    a = a - mean_a[..., None, :]
    b = b - mean_b[..., None, :]
    covariance = np.einsum("...n,...ni,...nj->...ij", w, b, a)  # target x source
    variance = np.einsum("...n,...ni,...ni->...", w, a, a)
    # A set without extent has no rotation and no scale: variance vanishes relative to where the points stand.
    size = np.einsum("...i,...i->...", mean_a, mean_a)
    enough &= variance > 1e-24 * np.maximum(size, 1e-30)
    u, s, vt = np.linalg.svd(covariance)
    sign = np.ones((*covariance.shape[:-2], 3))
    sign[..., 2] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    R = np.einsum("...ij,...j,...jk->...ik", u, sign, vt)
    if with_scale:
        scale = np.einsum("...j,...j->...", s, sign) / np.where(variance > 0, variance, 1.0)
    else:
        scale = np.ones(variance.shape)
    t = mean_b - scale[..., None] * np.einsum("...ij,...j->...i", R, mean_a)
    nan = ~enough
    scale = np.where(nan, np.nan, scale)
    R = np.where(nan[..., None, None], np.nan, R)
    t = np.where(nan[..., None], np.nan, t)
    return Similarity(scale, R, t, n_points.astype(np.int64))

"""The random-sample variant of Lee et al. 2022, with the score and the inlier rule of the published code.

A sample of ten directions and ten points is solved linearly; all points are triangulated with it and all directions
turned into the world, and the sample with the lowest ``|e| / M + |a| / N`` wins. Here e are the residuals of the rays
of all M points (normalised coordinates, one long vector), and a the angles of all N directions: the arc cosine of the
mean cosine between the first camera's direction and each of the others'. Only the inliers of the winner are kept, and
one more linear solution of them is the result; the winner's own cameras are not used. The score is a plain norm, so a
few gross outliers decide it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateError
from .lee2022_linear import dlt, rotations, translations

__all__ = ["Consensus", "consensus"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Consensus:
    """The inliers of the best sample.

    Attributes:
        direction: (N,) bool.
        point: (M,) bool, near enough in every camera.
        scores: (iterations,) NaN where a sample had no solution.
    """

    direction: Bools
    point: Bools
    scores: Floats


def consensus(
    v: Floats,
    n: Floats,
    focal_px: Floats,
    *,
    iterations: int,
    sample: int,
    max_error_px: float,
    max_angle_rad: float,
    project: bool,
    seed: int,
) -> Consensus:
    """Find the inliers.

    Args:
        v: (C, N, 3) unit directions that all cameras have.
        n: (C, M, 3) rays, third coordinate 1.
        focal_px: (C,) focal lengths that turn residuals into pixels.
        iterations: samples.
        sample: directions, and points, of a sample.
        max_error_px: a point is an inlier when no camera sees it further off.
        max_angle_rad: a direction is an inlier below this angle.
        project: rotations of the samples on SO(3).
        seed: of the samples.

    Raises:
        DegenerateError: fewer directions or points than a sample needs, or no sample had a solution.
    """
    N, M = v.shape[1], n.shape[1]
    if min(N, M) < sample:
        raise DegenerateError(
            f"The samples take {sample} directions and {sample} points seen by all cameras; there are {N} and {M}.",
            "Record longer, or switch the random samples off.",
        )
    rng = np.random.default_rng(seed)
    scores = np.full(iterations, np.nan)
    best = np.inf
    direction, point = np.zeros(N, bool), np.zeros(M, bool)
    for i in range(iterations):
        picked, chosen = rng.choice(N, sample, replace=False), rng.choice(M, sample, replace=False)
        try:
            R = rotations(v[:, picked], project).R
            t = translations(R, n[:, chosen]).t
        except (DegenerateError, np.linalg.LinAlgError):
            continue
        error = ray_residuals(R, t, n)
        angle = direction_angles(R, v)
        scores[i] = np.linalg.norm(error) / M + np.linalg.norm(angle) / N
        if scores[i] < best:  # False for NaN
            best = scores[i]
            direction = angle <= max_angle_rad
            point = (focal_px[:, None] * np.linalg.norm(error, axis=-1) <= max_error_px).all(0)
    if not np.isfinite(best):
        raise DegenerateError("None of the random samples had a solution.", "Check the monocular poses.")
    return Consensus(direction, point, scores)


def ray_residuals(R: Floats, t: Floats, n: Floats) -> Floats:
    """(C, M, 2) normalised residuals of the points triangulated from all views."""
    X = dlt(R, t, n)
    with np.errstate(all="ignore"):
        x = X @ R.transpose(0, 2, 1) + t[:, None]
        return np.asarray(x[..., :2] / x[..., 2:] - n[..., :2])


def direction_angles(R: Floats, v: Floats) -> Floats:
    """(N,) arc cosine of the mean cosine between the first camera's direction and each of the others', rad."""
    u = v @ R
    cosine = np.einsum("nj,nj->n", u[0], u[1:].sum(0)) / (len(v) - 1)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))

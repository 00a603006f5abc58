"""What several calibrated views say about which side is which: epipolar and reprojection distances in px."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sportcore.keypoints2d.tracks_common import Floats
from sportcore.keypoints2d.tracks_swaps import gross_error_cost, pair_evidence, view_evidence
from sportcore.points3d import reproject, triangulate, unproject_points
from sportcore.types import Camera, Keypoints2D, Points3D, Rig


def _world_rays(camera: Camera, xy: Floats) -> Floats:
    """Unit viewing rays (T, J, 3) in world axes of pixels (T, J, 2); NaN stays NaN."""
    plane = unproject_points(camera, xy)
    rays = np.concatenate([plane, np.where(np.isfinite(plane[..., :1]), 1.0, np.nan)], -1) @ np.asarray(camera.R)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


class EpipolarDistance:
    """Symmetric distance of two observations from each other's epipolar plane, in px (angle times focal length)."""

    def __init__(self, rig: Rig, xy: Floats) -> None:
        """Unproject all observations (C, T, J, 2) once."""
        self._rays = [_world_rays(camera, xy[c]) for c, camera in enumerate(rig)]
        self._centres = np.asarray(rig.centers_world, float)
        self._focal = np.sqrt(rig.K[:, 0, 0] * rig.K[:, 1, 1])

    def __call__(self, a: int, b: int, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
        """(T, P) distances between joints i of camera a and joints j of camera b."""
        base = self._centres[b] - self._centres[a]
        length = np.linalg.norm(base)
        ra, rb = self._rays[a][:, i], self._rays[b][:, j]
        if length < 1e-9:
            return np.full(ra.shape[:2], np.nan)
        na, nb = np.cross(base / length, ra), np.cross(base / length, rb)
        volume = np.abs((rb * na).sum(-1))
        la, lb = np.linalg.norm(na, axis=-1), np.linalg.norm(nb, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out = 0.5 * volume * (self._focal[b] / la + self._focal[a] / lb)
        return np.where((la > 1e-3) & (lb > 1e-3), out, np.nan)


def epipolar_evidence(
    rig: Rig,
    xy: Floats,
    sizes: Floats,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    group: NDArray[np.int64],
) -> tuple[dict[tuple[int, int], Floats], dict[tuple[int, int], float]]:
    """Evidence of every camera pair and the scale of its epipolar distances in body sizes."""
    size = float(np.nanmedian(sizes))
    evidence, scales = view_evidence(
        EpipolarDistance(rig, xy), len(rig), left, right, group, floor=0.002 * size, limit=0.12 * size
    )
    return evidence, {pair: scale / size for pair, scale in scales.items()}


def reprojection_evidence(
    projected: Floats,
    xy: Floats,
    sizes: Floats,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    group: NDArray[np.int64],
) -> Floats | None:
    """Evidence (T, 3) for "not swapped" in one camera from projections (T, J, 2) of 3D points; None if too few."""
    size = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 1.0

    def apart(i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
        return np.asarray(np.linalg.norm(xy[:, i] - projected[:, j], axis=-1))

    same = np.stack([apart(left, left), apart(right, right)])
    cross = np.stack([apart(left, right), apart(right, left)])
    fair = np.isfinite(same).all(0) & np.isfinite(cross).all(0)
    if fair.sum() < 10:
        return None
    best = np.minimum(np.sqrt((same**2).mean(0)), np.sqrt((cross**2).mean(0)))
    scale = max(float(np.median(best[fair])) / 1.1774, 0.002 * size)
    a = np.where(fair, gross_error_cost(same, scale).sum(0), np.nan)
    b = np.where(fair, gross_error_cost(cross, scale).sum(0), np.nan)
    return pair_evidence(a, b, group)


def view_residuals(keypoints: Keypoints2D, rig: Rig, points: Points3D | Floats | None) -> tuple[Floats, Floats | None]:
    """Norms of reprojection residuals (C, T, J) px, and how many views each point was fitted to (T, J).

    Points that come as :class:`Points3D` were fitted to these observations; a bare array is independent of them and
    counts no views; without points they are triangulated here.
    """
    if isinstance(points, np.ndarray):
        return np.asarray(np.linalg.norm(reproject(points, rig) - keypoints.xy, axis=-1)), None
    if points is None:
        found = triangulate(keypoints, rig)
        return np.asarray(found.residual_px, float), np.asarray(found.n_views, float)
    residual = np.linalg.norm(reproject(points.xyz, rig) - keypoints.xy, axis=-1)
    return np.asarray(residual), np.asarray(points.n_views, float)

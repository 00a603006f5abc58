"""Marker trajectories of a file, and the one place where gaps may be filled: export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.io.keypoint_tables import skeleton_from_names
from sportcore.io.rig_common import PathLike
from sportcore.types import Points3D, PointStatus

#: How gaps are exported: as they are, or short ones interpolated by a shape-preserving cubic or straight lines.
FILL_POLICIES = ("empty", "interpolate", "linear")
#: World (Z up) -> OpenSim's axes (Y up): x, y, z become z, x, y of the file; a rotation, no reflection.
_Y_UP_FROM_Z_UP = (1, 2, 0)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Named 3D points over time, as a motion file holds them.

    Attributes:
        xyz: (T, J, 3) m, Z up, NaN where missing.
        joints: J names.
        fps: frames per second.
        times: (T,) seconds.
        metadata: what else the file said (its units, title, …).
    """

    xyz: NDArray[np.float64]
    joints: tuple[str, ...]
    fps: float
    times: NDArray[np.float64]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_points3d(self) -> Points3D:
        """Return the points without cameras: no residuals, no covariance, status by presence."""
        T, J = self.xyz.shape[:2]
        there = present(self.xyz)
        return Points3D(
            xyz=self.xyz,
            covariance=np.full((T, J, 3, 3), np.nan),
            residual_px=np.zeros((0, T, J)),
            inlier=np.zeros((0, T, J), bool),
            n_views=np.zeros((T, J), np.int64),
            status=np.where(there, PointStatus.OK, PointStatus.TOO_FEW_VIEWS).astype(np.uint8),
            skeleton=skeleton_from_names("file", self.joints),
            fps=self.fps,
            times=self.times,
        )


@dataclass(frozen=True, eq=False)
class ExportReport:
    """What an export did with each sample.

    Attributes:
        path: the file written.
        interpolated: (T, J) samples that were filled by interpolation.
        missing: (T, J) samples that are empty in the file.
    """

    path: str
    interpolated: NDArray[np.bool_]
    missing: NDArray[np.bool_]


def present(xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (T, J) which points are there: all three coordinates finite."""
    return np.asarray(np.isfinite(xyz).all(-1), dtype=np.bool_)


def fill_gaps(
    xyz: ArrayLike, times: ArrayLike, *, method: str, max_gap_s: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Interpolate short gaps of each joint; ends and long gaps stay NaN.

    Args:
        xyz: (T, J, 3), NaN where missing.
        times: (T,) s, increasing.
        method: ``"pchip"`` (Fritsch and Carlson 1980: no overshoot) or ``"linear"``.
        max_gap_s: longest gap to fill, from the last sample before it to the first one after it.

    Returns:
        The filled copy, and (T, J) which samples were interpolated.

    Raises:
        InputError: unknown method, times that do not increase, shapes that do not fit.
    """
    from scipy.interpolate import PchipInterpolator

    if method not in ("pchip", "linear"):
        raise InputError(f"gap method {method!r} is not known; use pchip or linear.")
    values, t = np.array(xyz, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if values.ndim != 3 or t.shape != values.shape[:1]:
        raise InputError(f"times {t.shape} do not fit points {values.shape}.")
    if not np.isfinite(t).all() or (np.diff(t) <= 0).any():
        raise InputError("times must increase from frame to frame to fill gaps.")
    there = present(values)
    values[~there] = np.nan
    interpolated = np.zeros(there.shape, bool)
    for j in range(values.shape[1]):
        seen = np.flatnonzero(there[:, j])
        wanted = [
            np.arange(a + 1, b)
            for a, b in zip(seen[:-1], seen[1:], strict=True)
            if b > a + 1 and t[b] - t[a] <= max_gap_s * (1 + 1e-9)
        ]
        if not wanted:
            continue
        rows = np.concatenate(wanted)
        if method == "pchip":
            values[rows, j] = PchipInterpolator(t[seen], values[seen, j], axis=0)(t[rows])
        else:
            for d in range(3):
                values[rows, j, d] = np.interp(t[rows], t[seen], values[seen, j, d])
        interpolated[rows, j] = True
    return values, interpolated


def prepare_export(
    points: Points3D | Trajectories, *, fill: str, max_gap_s: float, fps: float | None
) -> tuple[NDArray[np.float64], tuple[str, ...], float, NDArray[np.float64], NDArray[np.bool_]]:
    """Return xyz (T, J, 3) m, names, fps, times (T,) s and the interpolated mask, by the gap policy.

    Raises:
        InputError: no frame rate, no frame, or an unknown policy.
    """
    if fill not in FILL_POLICIES:
        raise InputError(f"fill={fill!r} is not known; use one of {', '.join(FILL_POLICIES)}.")
    joints = points.skeleton.joints if isinstance(points, Points3D) else points.joints
    rate = fps if fps is not None else points.fps
    if rate is None or not np.isfinite(rate) or rate <= 0:
        raise InputError("A motion file needs a frame rate, the points have none.", "Pass fps=…")
    xyz = np.array(points.xyz, dtype=np.float64)
    if not len(xyz):
        raise InputError("There is no frame to write.")
    times = np.arange(len(xyz)) / rate if points.times is None else np.asarray(points.times, np.float64)
    there = present(xyz)
    if isinstance(points, Points3D):
        there &= points.ok
    xyz[~there] = np.nan
    interpolated = np.zeros(there.shape, bool)
    if fill != "empty":
        method = "linear" if fill == "linear" else "pchip"
        xyz, interpolated = fill_gaps(xyz, times, method=method, max_gap_s=max_gap_s)
    return xyz, joints, float(rate), times, interpolated


def to_file_axes(xyz: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """Return Z-up points on the axes of a file that is ``up`` = "y" or "z" up."""
    if up not in ("y", "z"):
        raise InputError(f'up={up!r} is not known; use "y" or "z".')
    return xyz[..., list(_Y_UP_FROM_Z_UP)] if up == "y" else xyz


def from_file_axes(xyz: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """Return the Z-up points of a file that is ``up`` = "y" or "z" up."""
    if up not in ("y", "z"):
        raise InputError(f'up={up!r} is not known; use "y" or "z".')
    return xyz[..., list(np.argsort(_Y_UP_FROM_Z_UP))] if up == "y" else xyz


def ranges_by_joint(mask: NDArray[np.bool_], joints: Sequence[str]) -> dict[str, list[list[int]]]:
    """Return, per joint with any, the first and last frame of each run of True."""
    out = {}
    for j, name in enumerate(joints):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[:, j].astype(np.int8), [0]])))
        if len(edges):
            out[name] = [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return out


def write_gap_sidecar(path: PathLike, interpolated: NDArray[np.bool_], joints: Sequence[str], policy: str) -> None:
    """Write ``<path>.gaps.json``: which frames of which joints were interpolated."""
    from sportcore.io.atomic import write_json

    write_json(f"{path}.gaps.json", {"policy": policy, "interpolated_frames": ranges_by_joint(interpolated, joints)})

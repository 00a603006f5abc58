"""Triangulated joints on disk: ``points3d.npz``, the file that a run leaves and others read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import load_npz, save_npz
from sportcore.io.keypoints import skeleton_arrays, skeleton_of_arrays
from sportcore.io.motion_c3d import read_c3d, write_c3d
from sportcore.io.motion_text import read_points_csv, read_trc, write_points_csv, write_trc
from sportcore.io.rig_common import PathLike
from sportcore.io.trajectories import ExportReport, Trajectories, fill_gaps
from sportcore.skeletons import H36M17, Skeleton, get_skeleton
from sportcore.types import Points3D, PointStatus

__all__ = [
    "ExportReport",
    "Trajectories",
    "fill_gaps",
    "read_c3d",
    "read_points3d_npz",
    "read_points_csv",
    "read_trc",
    "write_c3d",
    "write_points3d_npz",
    "write_points_csv",
    "write_trc",
]


def write_points3d_npz(
    points: Points3D,
    path: PathLike,
    *,
    camera_names: tuple[str, ...] | None = None,
    dtype: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write triangulated joints with everything needed to judge them.

    Arrays: ``points_world_m`` (T, J, 3), ``joints`` (J,), ``bones`` (B, 2), ``skeleton``, ``status`` (T, J) with
    ``status_names``, ``covariance`` (T, J, 3, 3) m^2, ``residual_px`` and ``inlier`` (C, T, J), ``n_views`` (T, J),
    ``fps``, ``times_s`` (T,), ``camera_names`` (C,); and when the skeleton is not Human3.6M-17,
    ``points_h36m17_world_m`` (T, 17, 3) with ``status_h36m17`` (T, 17) and ``joints_h36m17`` (17,).  Missing
    points are NaN.

    Args:
        points: the joints.
        path: the ``.npz`` file.
        camera_names: names of the camera axis of ``residual_px`` and ``inlier``.
        dtype: floating type of the stored arrays; by default that of ``points``.
        extra: further arrays or text; a name of the list above is refused.

    Raises:
        InputError: camera names that do not fit, or an extra array with a reserved name.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """

    def stored(array: Any) -> np.ndarray:
        return np.asarray(array) if dtype is None else np.asarray(array, dtype=dtype)

    arrays: dict[str, Any] = {
        "points_world_m": stored(points.xyz),
        **skeleton_arrays(points.skeleton),
        "status": points.status,
        "status_names": np.array([s.name.lower() for s in PointStatus]),
        "covariance": stored(points.covariance),
        "residual_px": stored(points.residual_px),
        "inlier": points.inlier,
        "n_views": points.n_views,
    }
    if points.fps is not None:
        arrays["fps"] = np.float64(points.fps)
    if points.times is not None:
        arrays["times_s"] = points.times
    if camera_names is not None:
        if len(camera_names) != points.residual_px.shape[0]:
            raise InputError(f"{len(camera_names)} camera names for {points.residual_px.shape[0]} cameras.")
        arrays["camera_names"] = np.array(camera_names)
    if points.skeleton.joints != H36M17.joints:
        converted = points.to_skeleton(H36M17)
        arrays["points_h36m17_world_m"] = stored(converted.xyz)
        arrays["status_h36m17"] = converted.status
        arrays["joints_h36m17"] = np.array(H36M17.joints)
    for name, value in (extra or {}).items():
        if name in arrays:
            raise InputError(f"extra array {name!r} would replace one of the file's own.")
        arrays[name] = value
    return save_npz(path, **arrays)


def read_points3d_npz(path: PathLike, *, skeleton: str | Skeleton | None = None) -> Points3D:
    """Read the joints of a ``points3d.npz``.

    Files of others need only ``points_world_m`` and ``joints`` (or ``skeleton=``); what is absent is filled with
    "unknown": NaN covariance, no cameras, status by presence.

    Raises:
        InputError: missing or damaged file, no joint names, arrays that do not fit each other.
    """
    arrays = load_npz(path, required=("points_world_m",))
    xyz = arrays["points_world_m"]
    if xyz.ndim != 3 or xyz.shape[-1] != 3:
        raise InputError(f"{path}: points_world_m must be (T, J, 3), it is {xyz.shape}.")
    T, J = xyz.shape[:2]
    chosen = get_skeleton(skeleton) if skeleton is not None else skeleton_of_arrays(path, arrays)
    there = np.isfinite(xyz).all(-1)
    presence = np.where(there, PointStatus.OK, PointStatus.TOO_FEW_VIEWS).astype(np.uint8)
    status = arrays.get("status", presence)
    if status.shape == there.shape and not np.array_equal(status == PointStatus.OK, there):
        raise InputError(f"{path}: status and points_world_m disagree about which points are there.")
    try:
        return Points3D(
            xyz=xyz,
            covariance=arrays.get("covariance", np.full((T, J, 3, 3), np.nan)),
            residual_px=arrays.get("residual_px", np.zeros((0, T, J))),
            inlier=arrays.get("inlier", np.zeros((0, T, J), bool)),
            n_views=arrays.get("n_views", np.zeros((T, J), np.int64)),
            status=status,
            skeleton=chosen,
            fps=float(arrays["fps"]) if "fps" in arrays else None,
            times=arrays.get("times_s"),
        )
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.remedy) from None

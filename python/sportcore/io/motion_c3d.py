"""3D motion as C3D, the binary format of motion laboratories, through the ``ezc3d`` package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sportcore.errors import InputError, require
from sportcore.io.atomic import WriteError, atomic_path
from sportcore.io.rig_common import UNITS_PER_METRE, PathLike, check_units
from sportcore.io.trajectories import (
    ExportReport,
    Trajectories,
    from_file_axes,
    prepare_export,
    present,
    to_file_axes,
    write_gap_sidecar,
)
from sportcore.types import Points3D


def write_c3d(
    points: Points3D | Trajectories,
    path: PathLike,
    *,
    units: str = "mm",
    up: str = "z",
    fill: str = "empty",
    max_gap_s: float = 0.2,
    fps: float | None = None,
) -> ExportReport:
    """Write the joints as C3D points (float32), with RATE, LABELS, UNITS and the vertical axis.

    A missing sample has the residual -1 and the coordinates 0, as the format asks; readers show it as a gap.
    C3D knows only a constant frame rate: ``times`` are not stored.

    Args:
        points: joints in metres, Z up.
        path: the ``.c3d`` file.
        units: ``"mm"`` (customary) or ``"m"``.
        up: ``"z"`` or ``"y"``, see :func:`sportcore.io.write_trc`.
        fill: as for :func:`sportcore.io.write_trc`.
        max_gap_s: longest gap to fill, s.
        fps: frame rate when the points have none.

    Raises:
        MissingExtraError: ezc3d is not installed.
        InputError: no frame rate, or an unknown option.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    ezc3d = require("ezc3d", "io")
    check_units(units)
    xyz, joints, rate, _, interpolated = prepare_export(points, fill=fill, max_gap_s=max_gap_s, fps=fps)
    there = present(xyz)
    values = np.where(there[..., None], to_file_axes(xyz, up) * UNITS_PER_METRE[units], 0.0)
    T, J = values.shape[:2]
    data = np.ones((4, J, T))
    data[:3] = values.transpose(2, 1, 0)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(joints)
    file["parameters"]["POINT"]["UNITS"]["value"] = [units]
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Z" if up == "z" else "+Y"])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["sportcore"])
    file["data"]["points"] = data
    file["data"]["meta_points"]["residuals"] = np.where(there.T, 0.0, -1.0)[None]
    target = Path(path)
    with atomic_path(target) as temporary:
        file.write(str(temporary))
        _verify(ezc3d, temporary, target, (4, J, T))
    if fill != "empty":
        write_gap_sidecar(target, interpolated, joints, fill)
    return ExportReport(str(target), interpolated, ~there)


def _verify(ezc3d: object, temporary: Path, target: Path, shape: tuple[int, int, int]) -> None:
    """Read the file back: the writer reports no error on a full disk."""
    import errno

    try:
        complete = ezc3d.c3d(str(temporary))["data"]["points"].shape == shape  # type: ignore[attr-defined]
    except OSError:
        complete = False
    if not complete:
        raise WriteError(
            f"{target}: could not be written completely, the disk is probably full. Nothing was lost: the previous "
            "file, if there was one, is unchanged.",
            "Free some space and run again.",
            errno=errno.ENOSPC,
            filename=str(target),
        )


def read_c3d(path: PathLike, *, up: str | None = None) -> Trajectories:
    """Read the points of a C3D file; samples with a negative residual are missing, lengths become metres.

    Args:
        path: the file.
        up: its vertical axis, ``"z"`` or ``"y"``; by default what POINT:Y_SCREEN says, else ``"z"``.

    Raises:
        MissingExtraError: ezc3d is not installed.
        InputError: missing or damaged file, no points (Theia stores rotations only), unknown unit.
    """
    ezc3d = require("ezc3d", "io")
    if not Path(path).is_file():
        raise InputError(f"{path}: does not exist. Check the path.")
    try:
        file = ezc3d.c3d(str(path))
    except Exception as error:
        raise InputError(f"{path}: is not a readable C3D file, perhaps truncated ({error}).") from None
    point = file["parameters"]["POINT"]
    data = np.asarray(file["data"]["points"], dtype=np.float64)
    if data.shape[1] == 0 or data.shape[2] == 0:
        raise InputError(f"{path}: holds no points (a file of rotations only, as Theia writes it, is not read).")
    units = str(point["UNITS"]["value"][0]).strip() if point.get("UNITS", {}).get("value") else ""
    if units not in UNITS_PER_METRE:
        raise InputError(f"{path}: unit {units!r} is not known; m, cm or mm is.")
    if up is None:
        screen = point["Y_SCREEN"]["value"][0] if "Y_SCREEN" in point and point["Y_SCREEN"]["value"] else "+Z"
        up = "y" if "Y" in str(screen).upper() else "z"
    xyz = data[:3].transpose(2, 1, 0) / UNITS_PER_METRE[units]
    residual = np.asarray(file["data"]["meta_points"]["residuals"])[0].T
    xyz[(residual < 0) | ~np.isfinite(xyz).all(-1)] = np.nan
    rate = float(point["RATE"]["value"][0])
    labels = tuple(str(v).strip() for v in point["LABELS"]["value"])[: xyz.shape[1]]
    times = np.arange(len(xyz)) / rate
    return Trajectories(from_file_axes(xyz, up), labels, rate, times, {"units": units, "up": up})

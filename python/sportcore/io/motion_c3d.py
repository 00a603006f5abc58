"""3D motion as C3D, the binary format of motion laboratories: written by ``ezc3d``, read by our own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sportcore.errors import InputError, require
from sportcore.io.atomic import WriteError, atomic_path
from sportcore.io.c3d_reader import parse_c3d
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
    if T >= 0xFFFF:  # more than the 16-bit counter holds: the two words of TRIAL, as the format asks
        words = np.array([T & 0xFFFF, T >> 16], np.uint16).astype(np.int16)
        file.add_parameter("TRIAL", "ACTUAL_START_FIELD", [1, 0])
        file.add_parameter("TRIAL", "ACTUAL_END_FIELD", [int(w) for w in words])
    file["data"]["points"] = data
    file["data"]["meta_points"]["residuals"] = np.where(there.T, 0.0, -1.0)[None]
    target = Path(path)
    with atomic_path(target) as temporary:
        file.write(str(temporary))
        _verify(temporary, target, (T, J))
    if fill != "empty":
        write_gap_sidecar(target, interpolated, joints, fill)
    return ExportReport(str(target), interpolated, ~there)


def _verify(temporary: Path, target: Path, shape: tuple[int, int]) -> None:
    """Read the file back: the writer reports no error on a full disk."""
    import errno

    try:
        complete = parse_c3d(temporary, temporary.read_bytes()).xyz.shape[:2] == shape
    except (OSError, InputError):
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
        InputError: missing or damaged file, no points (Theia stores rotations only), unknown unit.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    file = parse_c3d(path, data)
    if file.units not in UNITS_PER_METRE:
        raise InputError(f"{path}: unit {file.units!r} is not known; m, cm or mm is.")
    if len(set(file.labels)) < len(file.labels):
        raise InputError(f"{path}: several points have one name.")
    if up is None:
        screen = file.parameters["POINT"].get("Y_SCREEN") or ["+Z"]
        up = "y" if "Y" in str(screen[0]).upper() else "z"
    xyz = file.xyz / UNITS_PER_METRE[file.units]
    times = np.arange(len(xyz)) / file.rate
    return Trajectories(from_file_axes(xyz, up), file.labels, file.rate, times, {"units": file.units, "up": up})

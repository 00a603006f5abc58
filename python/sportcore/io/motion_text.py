"""3D motion as text: OpenSim ``.trc`` and plain CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import read_text, write_text
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


def write_trc(
    points: Points3D | Trajectories,
    path: PathLike,
    *,
    units: str = "m",
    up: str = "y",
    fill: str = "empty",
    max_gap_s: float = 0.2,
    fps: float | None = None,
) -> ExportReport:
    """Write an OpenSim marker file.

    Args:
        points: joints in metres, Z up.
        path: the ``.trc`` file.
        units: ``"m"`` or ``"mm"``, written to the header.
        up: ``"y"`` for OpenSim (x, y, z of the file are y, z, x of the world), ``"z"`` to keep the axes.
        fill: ``"empty"`` leaves missing samples as empty cells; ``"interpolate"`` and ``"linear"`` fill gaps of
            at most ``max_gap_s`` and list them in ``<path>.gaps.json``.  OpenSim reads an empty cell as missing (since
            4.0) and its scale tool fails on the text NaN, which is never written.
        max_gap_s: longest gap to fill, s.
        fps: frame rate when the points have none.

    Returns:
        Which samples are interpolated and which are missing.

    Raises:
        InputError: no frame rate, or an unknown option.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    check_units(units)
    if units == "cm":
        raise InputError('a .trc file is in "m" or "mm".')
    xyz, joints, rate, times, interpolated = prepare_export(points, fill=fill, max_gap_s=max_gap_s, fps=fps)
    values = to_file_axes(xyz, up) * UNITS_PER_METRE[units]
    target = Path(path)
    T, J = values.shape[:2]
    number = f"{rate:.10g}"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{target.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{number}\t{number}\t{T}\t{J}\t{units}\t{number}\t1\t{T}",
        "Frame#\tTime\t" + "\t\t\t".join(joints) + "\t\t",
        "\t\t" + "\t".join(f"X{j}\tY{j}\tZ{j}" for j in range(1, J + 1)),
    ]
    digits = 6 if units == "m" else 3
    for t in range(T):
        cells = [f"{v:.{digits}f}" if np.isfinite(v) else "" for v in values[t].ravel()]
        lines.append(f"{t + 1}\t{times[t]:.6f}\t" + "\t".join(cells))
    write_text(target, "\n".join(lines) + "\n")
    if fill != "empty":
        write_gap_sidecar(target, interpolated, joints, fill)
    return ExportReport(str(target), interpolated, ~present(xyz))


def read_trc(path: PathLike, *, up: str = "y") -> Trajectories:
    """Read an OpenSim marker file; empty cells and NaN are missing, lengths become metres.

    Args:
        path: the file.
        up: the vertical axis of the file, ``"y"`` (OpenSim, Pose2Sim) or ``"z"``.

    Raises:
        InputError: not a .trc file, an unknown unit, or rows that do not fit the header.
    """
    text = read_text(path)
    lines, whole = text.splitlines(), text.endswith("\n")
    if len(lines) < 5 or not lines[0].startswith("PathFileType"):
        raise InputError(f"{path}: is not a .trc file, its five header lines are missing.")
    if "\t" not in lines[3]:
        raise InputError(f"{path}: its columns are separated by spaces, a .trc file needs tabs.")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    units = header.get("Units", "").strip()
    if units not in UNITS_PER_METRE:
        raise InputError(f"{path}: unit {units!r} is not known; m, cm or mm is.")
    try:
        rate = float(header["DataRate"])
    except (KeyError, ValueError):
        raise InputError(f"{path}: has no DataRate.") from None
    joints = tuple(c.strip() for c in lines[3].split("\t")[2:] if c.strip())
    width = 2 + 3 * len(joints)
    rows = []
    for n, line in enumerate(lines[5:], start=6):
        if not line.strip():
            continue
        cells = line.split("\t")
        absent = width - len(cells)
        if absent > 0 and (absent % 3 or n == len(lines) and not whole):  # trailing empty points may be left out
            raise InputError(f"{path}: line {n} has {len(cells)} columns, {width} are needed; is it truncated?")
        cells = (cells + [""] * width)[:width]
        try:
            rows.append([float(c) if c.strip() else np.nan for c in cells])
        except ValueError:
            raise InputError(f"{path}: line {n} holds text where numbers belong.") from None
    expected = header.get("NumFrames", "").strip()
    if not rows or (expected.isdigit() and int(expected) != len(rows)):
        raise InputError(f"{path}: its header says {expected} frames, {len(rows)} are there; is it truncated?")
    table = np.array(rows)
    xyz = table[:, 2:].reshape(len(rows), len(joints), 3) / UNITS_PER_METRE[units]
    xyz[~np.isfinite(xyz).all(-1)] = np.nan
    return Trajectories(from_file_axes(xyz, up), joints, rate, table[:, 1], {"units": units, "up": up})


def write_points_csv(points: Points3D | Trajectories, path: PathLike, *, fps: float | None = None) -> ExportReport:
    """Write one row per frame: ``frame, time_s``, then ``<joint>_x_m``, ``_y_m``, ``_z_m``; missing is empty.

    Raises:
        InputError: no frame rate.
        WriteError: the disk is full or the folder is not writable.
    """
    xyz, joints, _, times, interpolated = prepare_export(points, fill="empty", max_gap_s=0.0, fps=fps)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time_s", *[f"{j}_{axis}_m" for j in joints for axis in "xyz"]])
    for t in range(len(xyz)):
        cells = [f"{v:.6f}" if np.isfinite(v) else "" for v in xyz[t].ravel()]
        writer.writerow([t, f"{times[t]:.9f}", *cells])
    write_text(path, text.getvalue())
    return ExportReport(str(path), interpolated, ~present(xyz))


def read_points_csv(path: PathLike) -> Trajectories:
    """Read the CSV of :func:`write_points_csv`.

    Raises:
        InputError: other columns, or rows that do not fit the header.
    """
    rows = list(csv.reader(io.StringIO(read_text(path))))
    names = rows[0]
    joints = tuple(n.removesuffix("_x_m") for n in names[2::3])
    if names != ["frame", "time_s", *[f"{j}_{axis}_m" for j in joints for axis in "xyz"]]:
        raise InputError(f"{path}: is not a table frame, time_s, <joint>_x_m, <joint>_y_m, <joint>_z_m, ….")
    for n, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise InputError(f"{path}: line {n} has {len(row)} columns, {len(names)} are needed; is it truncated?")
    try:
        table = np.array([[float(c) if c else np.nan for c in r] for r in rows[1:]]).reshape(-1, len(names))
    except ValueError:
        raise InputError(f"{path}: holds text where numbers belong.") from None
    if len(table) == 0:
        raise InputError(f"{path}: holds no frame.")
    duration = table[-1, 1] - table[0, 1]
    rate = round((len(table) - 1) / duration, 6) if duration > 0 else np.nan
    return Trajectories(table[:, 2:].reshape(len(table), len(joints), 3), joints, float(rate), table[:, 1])

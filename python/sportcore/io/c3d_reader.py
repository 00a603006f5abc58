"""A reader for the points of a C3D file, by the format's public description (c3d.org user guide).

The usual C++ reader may hang or crash on a file that is cut short, so reading is done here; every offset is checked
against the size of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.rig_common import PathLike

_BLOCK = 512
_INTEL, _DEC, _MIPS = 84, 85, 86
_MAX_FRAMES = 10_000_000


@dataclass(frozen=True, eq=False)
class C3DPoints:
    """Points as stored: (T, J, 3) in the file's unit and axes, NaN where the residual is negative."""

    xyz: NDArray[np.float64]
    labels: tuple[str, ...]
    rate: float
    units: str
    parameters: dict[str, dict[str, Any]]


def _damaged(path: PathLike, what: str) -> InputError:
    return InputError(f"{path}: is not a readable C3D file, {what}; perhaps it is truncated.")


def parse_c3d(path: PathLike, data: bytes) -> C3DPoints:
    """Parse the bytes of a C3D file (Intel byte order, float or integer points).

    Raises:
        InputError: damaged or truncated, of DEC or MIPS byte order, or without points.
    """
    if len(data) < 2 * _BLOCK or data[1] != 0x50:
        raise _damaged(path, "its header is missing")
    try:
        parameters = _parameters(path, data, (data[0] - 1) * _BLOCK)
        return _points(path, data, parameters)
    except InputError:
        raise
    except (struct.error, IndexError, OverflowError, MemoryError, ValueError, TypeError):
        raise _damaged(path, "a field lies outside the file") from None


def _parameters(path: PathLike, data: bytes, start: int) -> dict[str, dict[str, Any]]:
    if start < _BLOCK or start + 4 > len(data):
        raise _damaged(path, "its parameter section is missing")
    processor = data[start + 3]
    if processor in (_DEC, _MIPS):
        raise InputError(
            f"{path}: is a C3D file of {'DEC' if processor == _DEC else 'MIPS'} byte order, not read here."
        )
    if processor != _INTEL:
        raise _damaged(path, "its parameter section is not recognised")
    end = min(len(data), start + max(data[start + 2], 1) * _BLOCK)
    if data[start + 2] == 0 or start + data[start + 2] * _BLOCK > len(data):
        raise _damaged(path, "its parameter section is incomplete")
    groups: dict[int, str] = {}
    records: list[tuple[int, str, Any]] = []
    at = start + 4
    while at + 2 <= end:
        length, group = struct.unpack_from("<bb", data, at)
        length = abs(length)
        if length == 0 or group == 0:
            break
        name = data[at + 2 : at + 2 + length].decode("latin1").strip().upper()
        offset_at = at + 2 + length
        (offset,) = struct.unpack_from("<H", data, offset_at)
        if group < 0:
            groups[-group] = name
        else:
            records.append((group, name, _value(data, offset_at + 2)))
        if offset == 0:
            break
        at = offset_at + offset
    out: dict[str, dict[str, Any]] = {name: {} for name in groups.values()}
    for group, name, value in records:
        if group in groups:
            out[groups[group]][name] = value
    return out


def _value(data: bytes, at: int) -> Any:
    kind, count = struct.unpack_from("<bB", data, at)
    dims = list(data[at + 2 : at + 2 + count])
    at += 2 + count
    total = int(np.prod(dims)) if dims else 1
    raw = data[at : at + total * abs(kind)]
    if len(raw) < total * abs(kind):
        raise IndexError
    if kind == -1:
        width = dims[0] if dims else 1
        text = raw.decode("latin1")
        return [text[i : i + width].strip(" \x00") for i in range(0, total, width)] if width else []
    types = {1: "<i1", 2: "<i2", 4: "<f4"}
    return np.frombuffer(raw, types[kind]).astype(np.float64).tolist() if kind in types else []


def _frames_by_size(section: bytes, frame_bytes: int) -> int:
    """Return how many frames fit, without frames of zeros that are the padding of the last block."""
    frames = len(section) // frame_bytes
    lowest = frames - _BLOCK // frame_bytes
    while frames > max(lowest, 0) and not any(section[(frames - 1) * frame_bytes : frames * frame_bytes]):
        frames -= 1
    return frames


def _points(path: PathLike, data: bytes, parameters: dict[str, dict[str, Any]]) -> C3DPoints:
    n_points, analog_per_frame, first, last = struct.unpack_from("<HHHH", data, 2)
    (scale,) = struct.unpack_from("<f", data, 12)
    (data_block,) = struct.unpack_from("<H", data, 16)
    (rate,) = struct.unpack_from("<f", data, 20)
    point = parameters.get("POINT", {})
    scale = float(point["SCALE"][0]) if point.get("SCALE") else scale
    rate = float(point["RATE"][0]) if point.get("RATE") else rate
    if not np.isfinite(rate) or rate <= 0 or not np.isfinite(scale) or scale == 0:
        raise _damaged(path, f"its frame rate is {rate} and its scale {scale}")
    frames = int(point["FRAMES"][0]) & 0xFFFF if point.get("FRAMES") else last - first + 1
    field = parameters.get("TRIAL", {})
    ends = [field.get(k) for k in ("ACTUAL_START_FIELD", "ACTUAL_END_FIELD")]
    if all(isinstance(e, list) and len(e) == 2 for e in ends):
        low, high = ((int(e[0]) & 0xFFFF) + ((int(e[1]) & 0xFFFF) << 16) for e in ends if e)
        frames = high - low + 1
    start = (data_block - 1) * _BLOCK
    kind = np.dtype("<f4") if scale < 0 else np.dtype("<i2")
    per_frame = 4 * n_points + analog_per_frame
    if frames == 0xFFFF and n_points:  # the 16-bit counter is full and TRIAL does not say more: the file's end decides
        frames = _frames_by_size(data[start:], per_frame * kind.itemsize)
    if n_points == 0 or frames <= 0:
        raise InputError(f"{path}: holds no points (a file of rotations only, as Theia writes it, is not read).")
    needed = frames * per_frame * kind.itemsize
    if frames > _MAX_FRAMES or data_block < 2 or start + needed > len(data):
        raise InputError(
            f"{path}: should hold {frames} frames of {n_points} points, but ends after "
            f"{max(0, len(data) - start) // (per_frame * kind.itemsize)}; it is truncated."
        )
    table = np.frombuffer(data, kind, frames * per_frame, start).reshape(frames, per_frame)[:, : 4 * n_points]
    values = table.reshape(frames, n_points, 4).astype(np.float64)
    xyz = values[..., :3] * (1.0 if scale < 0 else scale)
    xyz[(values[..., 3] < 0) | ~np.isfinite(values).all(-1)] = np.nan
    labels: list[str] = []
    for key in ("LABELS", *(f"LABELS{i}" for i in range(2, 100))):
        labels += point.get(key) or []
    labels += [f"unnamed_{i}" for i in range(len(labels), n_points)]  # the format allows points without a label
    units = point.get("UNITS") or [""]
    return C3DPoints(xyz, tuple(str(v) for v in labels[:n_points]), rate, str(units[0]), parameters)

"""What all camera readers share: the result type, units, and checks with the name of file and camera."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.types import Camera, Rig

#: no camera file is larger; COLMAP's images.txt, which also holds points, is read line by line
MAX_BYTES = 64 << 20
MAX_IMAGE_PX = 1_000_000
UNITS_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class RigFile:
    """What a camera file said.

    Attributes:
        rig: the cameras; a camera without a pose stands at the origin (see ``has_pose``).
        format: name of the format that was recognised.
        has_pose: per camera, whether the file gave a pose.
        notes: what a user should know about this file, in words (assumed units, skipped cameras, …).
        metadata: what else the file said, as plain values.
    """

    rig: Rig
    format: str
    has_pose: tuple[bool, ...]
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RawCamera:
    """A camera as read, before units are applied."""

    name: str
    image_size: Any
    K: Any
    distortion: Any = ()
    fisheye: bool = False
    model: str | None = None
    R: Any = None
    t: Any = None


def check_size(path: PathLike, max_bytes: int = MAX_BYTES) -> None:
    """Refuse what is no ordinary file, or far too large for one with cameras; a missing file is left to the reader."""
    try:
        status = os.stat(path)
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is not a file.", "Give the path of a camera file.")
    if status.st_size > max_bytes:
        raise InputError(
            f"{path}: has {status.st_size / 1e6:,.0f} MB; a camera file has at most {max_bytes / 1e6:,.0f}.",
            "Is it the right file?",
        )


def comma_hint(text: object) -> str:
    """A remedy when numbers seem to have been written with decimal commas."""
    if re.search(r"\d,\d", str(text)):
        return "Numbers need a decimal point, not a comma: export again with an English locale."
    return ""


def numbers(path: PathLike, what: str, value: Any, count: int | None = None) -> NDArray[np.float64]:
    """Return ``value`` as a flat float64 array, finite and of ``count`` entries, or say what is wrong."""
    try:
        array = np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: {what} is not a list of numbers: {str(value)[:80]!r}.", comma_hint(value)) from None
    if count is not None and array.size != count:
        raise InputError(f"{path}: {what} has {array.size} numbers, {count} are needed.")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {what} holds NaN or infinity.")
    return array


def rotation_matrix(path: PathLike, what: str, value: Any) -> NDArray[np.float64]:
    """Return a rotation from 3 Rodrigues numbers (rad) or a 3x3 matrix; rounding in the file is repaired.

    Raises:
        InputError: the matrix is further than 5e-3 from a rotation, or a reflection.
    """
    from scipy.spatial.transform import Rotation

    flat = numbers(path, what, value)
    if flat.size == 3:
        return np.asarray(Rotation.from_rotvec(flat).as_matrix())
    if flat.size != 9:
        raise InputError(f"{path}: {what} must be 3 Rodrigues numbers or a 3x3 matrix, got {flat.size} numbers.")
    matrix = flat.reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 5e-3 or np.linalg.det(matrix) < 0:
        raise InputError(
            f"{path}: {what} is not a rotation (rows must be orthonormal, determinant +1; it is "
            f"{np.linalg.det(matrix):.4g}). The file is damaged or of another convention."
        )
    if np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-12:
        return matrix
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ vt)


def quaternion_matrix(path: PathLike, what: str, xyzw: Any) -> NDArray[np.float64]:
    """Return the rotation matrix of a quaternion (x, y, z, w); its length must be 1 within 1e-2."""
    from scipy.spatial.transform import Rotation

    q = numbers(path, what, xyzw, 4)
    if abs(float(np.linalg.norm(q)) - 1.0) > 1e-2:
        raise InputError(f"{path}: {what} is not a unit quaternion (length {np.linalg.norm(q):.4g}).")
    return np.asarray(Rotation.from_quat(q).as_matrix())


def distortion_coefficients(path: PathLike, what: str, value: Any, fisheye: bool) -> NDArray[np.float64]:
    """Return coefficients in a count that :class:`Camera` takes; OpenCV's 12 and 14 only when the rest is 0."""
    flat = numbers(path, what, value)
    allowed = (0, 4) if fisheye else (0, 4, 5, 8)
    if flat.size in allowed:
        return flat
    if flat.size > allowed[-1]:
        if flat[allowed[-1] :].any():
            raise InputError(
                f"{path}: {what} has {flat.size} coefficients; the {'fisheye' if fisheye else 'Brown-Conrady'} "
                f"model here has at most {allowed[-1]} (no thin prism or tilt). Calibrate with fewer coefficients."
            )
        return flat[: allowed[-1]]
    return np.pad(flat, (0, min(n for n in allowed if n > flat.size) - flat.size))


def image_size(path: PathLike, name: str, value: Any) -> tuple[int, int]:
    """Return (width, height) px as integers."""
    size = numbers(path, f"camera {name!r}: size", value, 2)
    if size.min() < 1 or size.max() > MAX_IMAGE_PX:
        raise InputError(f"{path}: camera {name!r}: image size {size.tolist()} is not (width, height) in px.")
    return int(round(size[0])), int(round(size[1]))


def size_of(path: PathLike, name: str, image_sizes: Any, found: Any = None) -> tuple[int, int]:
    """Choose the image size: from the file, else from ``image_sizes`` (one pair, or a mapping by name)."""
    if found is not None:
        return image_size(path, name, found)
    given = image_sizes.get(name) if isinstance(image_sizes, Mapping) else image_sizes
    if given is None:
        raise InputError(
            f"{path}: camera {name!r} has no image size, and this format does not store one.",
            'Pass image_sizes=(width, height) or image_sizes={"' + name + '": (width, height), …}.',
        )
    return image_size(path, name, given)


def check_image_sizes(image_sizes: Any) -> None:
    """Refuse sizes given by the caller that are not (width, height) px, alone or by camera name."""
    if image_sizes is None:
        return
    pairs = image_sizes.items() if isinstance(image_sizes, Mapping) else [("all", image_sizes)]
    for name, pair in pairs:
        image_size("image_sizes", str(name), pair)


def check_units(units: str | None) -> None:
    """Refuse an unknown unit of length."""
    if units is not None and units not in UNITS_PER_METRE:
        raise InputError(f"units {units!r} is not known; use one of {', '.join(UNITS_PER_METRE)}.")


def rig_extent(translations: Iterable[ArrayLike]) -> float:
    """Return the largest distance between two camera positions or to the origin, in the file's unit."""
    points = [np.zeros(3), *[np.asarray(t, float) for t in translations]]
    return max(float(np.linalg.norm(a - b)) for a in points for b in points)


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which ``cam2`` comes before ``cam10``."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(p)) if p.isdigit() else (1, p) for p in parts if p)


def build(
    path: PathLike,
    format: str,
    raw: list[RawCamera],
    *,
    units: str,
    notes: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> RigFile:
    """Turn raw cameras into a checked :class:`RigFile`; lengths in ``units`` become metres."""
    if not raw:
        raise InputError(f"{path}: holds no camera.")
    names = [r.name for r in raw]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{path}: camera names must be unique; given twice: {', '.join(twice)}.")
    cameras = []
    has_pose = []
    all_notes = list(notes)
    for r in raw:
        who = f"camera {r.name!r}"
        if (r.R is None) != (r.t is None):
            raise InputError(f"{path}: {who}: has a {'rotation' if r.t is None else 'translation'} only.")
        K = numbers(path, f"{who}: matrix", r.K, 9).reshape(3, 3)
        size = image_size(path, r.name, r.image_size)
        dist = distortion_coefficients(path, f"{who}: distortions", r.distortion, r.fisheye)
        pose: dict[str, Any] = {}
        if r.R is not None:
            pose["R"] = rotation_matrix(path, f"{who}: rotation", r.R)
            pose["t"] = numbers(path, f"{who}: translation", r.t, 3) / UNITS_PER_METRE[units]
        model = r.model or ("fisheye" if r.fisheye else "brown")
        try:
            cameras.append(Camera(r.name, size, K, dist, model, **pose))
        except InputError as error:
            raise InputError(f"{path}: {error.message}", error.remedy) from None
        if not (0 <= K[0, 2] < size[0] and 0 <= K[1, 2] < size[1]):
            all_notes.append(f"{who}: the principal point lies outside the image {size[0]}x{size[1]}.")
        has_pose.append(r.R is not None)
    if not all(has_pose):
        without = [r.name for r, p in zip(raw, has_pose, strict=True) if not p]
        all_notes.append(f"intrinsics only, no pose: {', '.join(without)}.")
    return RigFile(Rig(tuple(cameras)), format, tuple(has_pose), tuple(all_notes), dict(metadata or {}))

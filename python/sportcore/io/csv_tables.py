"""Keypoints and cameras as plain tables, for programs that read nothing else: the C++ examples, R, a spreadsheet.

Both are comma separated with one header line; names have no commas, quotes or line ends. See ``docs/formats.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sportcore._types_checks import need
from sportcore.errors import InputError
from sportcore.io.atomic import read_text, write_text
from sportcore.io.keypoint_tables import skeleton_from_names
from sportcore.io.rig_common import PathLike
from sportcore.skeletons import SKELETONS, Skeleton, get_skeleton
from sportcore.types import Camera, Keypoints2D, Rig

__all__ = ["read_cameras_csv", "read_keypoints_csv", "write_cameras_csv", "write_keypoints_csv"]

KEYPOINT_COLUMNS = ("camera", "frame", "joint", "x_px", "y_px", "score")
CAMERA_COLUMNS = (
    *("camera", "width", "height", "model", "fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)),
    *("tx", "ty", "tz"),
)


def write_keypoints_csv(keypoints: Keypoints2D, path: PathLike) -> Path:
    """Write one row ``camera,frame,joint,x_px,y_px,score`` for each observation; what is missing has no row.

    Frames count from 0; pixels and scores are written so that they read back as the same numbers. Cameras without
    names are ``cam1``, ``cam2``, …

    Raises:
        InputError: a name that would need quotes.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    names = keypoints.names or tuple(f"cam{c + 1}" for c in range(keypoints.n_cameras))
    joints = keypoints.skeleton.joints
    _check_names((*names, *joints))
    lines = [",".join(KEYPOINT_COLUMNS)]
    for c, t, j in np.argwhere(keypoints.observed):
        x, y = keypoints.xy[c, t, j].tolist()
        lines.append(f"{names[c]},{t},{joints[j]},{x!r},{y!r},{float(keypoints.score[c, t, j])!r}")
    target = Path(path)
    write_text(target, "\n".join(lines) + "\n")
    return target


def read_keypoints_csv(
    path: PathLike, *, skeleton: str | Skeleton | None = None, fps: float | None = None
) -> Keypoints2D:
    """Read what :func:`write_keypoints_csv` wrote; rows may stand in any order.

    Args:
        path: the file.
        skeleton: whose joints these are; by default the known skeleton that has exactly the joints of the file, else
            one made of them, in the order of the file.
        fps: frames per second, which the file does not say.

    Raises:
        InputError: missing or damaged file, a joint that the skeleton does not have.
    """
    rows = _rows(path, KEYPOINT_COLUMNS)
    cameras = list(dict.fromkeys(r[0] for r in rows))
    joints = list(dict.fromkeys(r[2] for r in rows))
    if skeleton is not None:
        chosen = get_skeleton(skeleton)
    else:
        known = [s for s in SKELETONS.values() if set(s.joints) == set(joints)]
        chosen = known[0] if known else skeleton_from_names("csv-file", joints, (), None)
    for joint in joints:
        need(chosen.has(joint), f"{path}: joint {joint!r} is not in skeleton {chosen.name!r}.")
    frames = [_number(path, r[1]) for r in rows]
    need(all(0 <= f < 1e7 and f == int(f) for f in frames), f"{path}: frames are whole numbers from 0.", "Count anew.")
    shape = (len(cameras), int(max(frames)) + 1, chosen.n_joints)
    xy, score = np.full((*shape, 2), np.nan), np.zeros(shape)
    place = {name: c for c, name in enumerate(cameras)}
    for row, frame in zip(rows, frames, strict=True):
        at = place[row[0]], int(frame), chosen.index(row[2])
        xy[at] = _number(path, row[3]), _number(path, row[4])
        score[at] = _number(path, row[5])
    try:
        return Keypoints2D(xy, score, chosen, fps=fps, names=tuple(cameras))
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.remedy) from None


def write_cameras_csv(rig: Rig, path: PathLike) -> Path:
    """Write one row per camera: size, model, K, eight coefficients (OpenCV order; zeros after the last), R and t (m).

    Raises:
        InputError: a name that would need quotes.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    _check_names(rig.names)
    lines = [",".join(CAMERA_COLUMNS)]
    for camera in rig:
        K = camera.K
        distortion = np.zeros(8)
        distortion[: len(camera.distortion)] = camera.distortion
        values = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *distortion, *camera.R.ravel(), *camera.t]
        width, height = camera.image_size
        lines.append(",".join([camera.name, str(width), str(height), camera.model, *(repr(float(v)) for v in values)]))
    target = Path(path)
    write_text(target, "\n".join(lines) + "\n")
    return target


def read_cameras_csv(path: PathLike) -> Rig:
    """Read what :func:`write_cameras_csv`, or the C++ example ``calibrate_file``, wrote.

    Raises:
        InputError: missing or damaged file, or no camera.
    """
    cameras = []
    for row in _rows(path, CAMERA_COLUMNS):
        name, model = row[0], row[3]
        width, height = _number(path, row[1]), _number(path, row[2])
        v = np.array([_number(path, cell) for cell in row[4:]])
        K = np.array([[v[0], 0, v[2]], [0, v[1], v[3]], [0, 0, 1.0]])
        used = int(np.max(np.flatnonzero(v[4:12]), initial=-1)) + 1
        length = {"pinhole": 0, "fisheye": 4}.get(model, next(n for n in (0, 4, 5, 8) if n >= used))
        need(used <= length, f"{path}: camera {name!r} has more coefficients than its model {model!r}.")
        try:
            camera = Camera(
                name, (int(width), int(height)), K, v[4 : 4 + length], model, v[12:21].reshape(3, 3), v[21:24]
            )
        except InputError as error:
            raise InputError(f"{path}: {error.message}", error.remedy) from None
        cameras.append(camera)
    return Rig(tuple(cameras))


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name.strip() != name or any(c in name for c in ',"\r\n'):
            raise InputError(f"The name {name!r} does not fit into a table without quotes.", "Rename it.")


def _rows(path: PathLike, columns: tuple[str, ...]) -> list[list[str]]:
    lines = read_text(path).splitlines()
    header = ",".join(columns)
    need(bool(lines) and lines[0].strip() == header, f"{path}: the first line should be {header}.")
    rows = [[cell.strip() for cell in line.split(",")] for line in lines[1:] if line.strip()]
    need(bool(rows), f"{path}: holds no rows.")
    for n, row in enumerate(rows, start=2):
        need(len(row) == len(columns), f"{path}: line {n} has {len(row)} cells, {len(columns)} are needed.")
    return rows


def _number(path: PathLike, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise InputError(f"{path}: {cell!r} is no number.") from None
    need(bool(np.isfinite(value)), f"{path}: {cell!r} is not finite.")
    return value

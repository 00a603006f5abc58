"""2D keypoints in tables and arrays: DeepLabCut CSV, SLEAP analysis files, FreeMoCap / MediaPipe arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError, require
from sportcore.io.atomic import read_numpy, read_text
from sportcore.io.keypoint_tables import CameraFrames, Person, camera_sizes, skeleton_for, skeleton_from_names
from sportcore.io.rig_common import PathLike
from sportcore.skeletons import BLAZEPOSE33, Skeleton
from sportcore.types import Keypoints2D

#: MediaPipe's holistic arrays start with the 33 body landmarks (then 21 + 21 hand and 468 or 478 face points).
_HOLISTIC_COUNTS = (543, 553)


def read_deeplabcut(path: PathLike, joint_names: Mapping[str, str] | None) -> tuple[CameraFrames, Skeleton]:
    """Read a DeepLabCut CSV of one camera (header rows scorer, [individuals,] bodyparts, coords).

    The rows are frames, numbered by the first column or, for labelled images, by the number in the image name.
    Without likelihood columns (hand labels) the score is 1 where a joint is given.  Body parts keep their names
    unless ``joint_names`` renames them.
    """
    rows = list(csv.reader(io.StringIO(read_text(path))))
    header: dict[str, list[str]] = {}
    while rows and rows[0] and rows[0][0].strip().lower() in ("scorer", "individuals", "bodyparts", "coords"):
        row = rows.pop(0)
        header[row[0].strip().lower()] = [c.strip() for c in row]
    if "bodyparts" not in header or "coords" not in header:
        raise InputError(f"{path}: is not a DeepLabCut table, the header rows bodyparts and coords are missing.")
    parts, coords = header["bodyparts"], header["coords"]
    first = next((i for i, c in enumerate(coords) if i > 0 and c in ("x", "y", "likelihood")), len(coords))
    columns = range(first, len(coords))
    who = header.get("individuals", [""] * len(coords))
    if any(len(row) != len(coords) for row in header.values()) or not columns:
        raise InputError(f"{path}: its header rows have different lengths; is it damaged?")
    joints = list(dict.fromkeys(parts[i] for i in columns))
    individuals = list(dict.fromkeys(who[i] for i in columns))
    place = {(who[i], parts[i], coords[i]): i for i in columns}
    camera = CameraFrames(Path(path).stem.split("DLC")[0].rstrip("_") or Path(path).stem)
    for n, row in enumerate(r for r in rows if r):
        if len(row) != len(coords):
            raise InputError(f"{path}: row {n} has {len(row)} columns, {len(coords)} are needed; is it truncated?")
        frame = _row_number(path, row[:first])
        camera.people[frame] = [_table_person(path, row, place, w, joints, i) for i, w in enumerate(individuals)]
    if not camera.people:
        raise InputError(f"{path}: holds no frame.")
    return camera, skeleton_from_names("deeplabcut-file", joints, (), joint_names)


def _row_number(path: PathLike, index: list[str]) -> int:
    from sportcore.io.keypoint_tables import frame_number

    text = next((c for c in reversed(index) if c.strip()), "")
    try:
        return int(float(text))
    except ValueError:
        return frame_number(f"{path}: row {text!r}", Path(text).stem)


def _table_person(
    path: PathLike, row: list[str], place: Mapping[tuple[str, str, str], int], who: str, joints: list[str], number: int
) -> Person:
    def value(joint: str, coordinate: str, otherwise: float) -> float:
        i = place.get((who, joint, coordinate))
        if i is None:
            return otherwise
        text = row[i].strip()
        try:
            return float(text) if text else float("nan")
        except ValueError:
            raise InputError(f"{path}: {text!r} of {joint!r} is not a number.") from None

    xy = np.array([[value(j, "x", np.nan), value(j, "y", np.nan)] for j in joints])
    score = np.array([value(j, "likelihood", 1.0) for j in joints])
    missing = ~np.isfinite(xy).all(1) | ~(score > 0)
    xy[missing], score[missing] = np.nan, 0.0
    return Person(xy, score, number)


def read_sleap(path: PathLike, joint_names: Mapping[str, str] | None) -> tuple[CameraFrames, Skeleton]:
    """Read a SLEAP analysis file (``.analysis.h5``) of one camera.

    ``tracks`` is (tracks, 2, nodes, frames), ``point_scores`` (tracks, nodes, frames).

    Raises:
        MissingExtraError: h5py is not installed.
    """
    h5py = require("h5py", "io")
    try:
        with h5py.File(path, "r") as file:
            tracks = np.asarray(file["tracks"], dtype=np.float64)
            nodes = [n.decode() if isinstance(n, bytes) else str(n) for n in np.asarray(file["node_names"]).ravel()]
            scores = np.asarray(file["point_scores"], dtype=np.float64) if "point_scores" in file else None
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: is not a SLEAP analysis file ({error}).") from None
    if tracks.ndim != 4 or tracks.shape[1] != 2 or tracks.shape[2] != len(nodes):
        raise InputError(f"{path}: tracks {tracks.shape} do not fit {len(nodes)} nodes; not a SLEAP analysis file.")
    camera = CameraFrames(Path(path).name.split(".")[0])
    for t in range(tracks.shape[3]):
        people = []
        for p in range(tracks.shape[0]):
            xy = tracks[p, :, :, t].T.copy()
            score = np.clip(scores[p, :, t], 0, 1) if scores is not None else np.ones(len(nodes))
            missing = ~np.isfinite(xy).all(1) | ~(score > 0)
            xy[missing] = np.nan
            people.append(Person(xy, np.where(missing, 0.0, score), p))
        camera.people[t] = people
    return camera, skeleton_from_names("sleap-file", nodes, (), joint_names)


def read_image_array(
    path: PathLike, *, skeleton: str | Skeleton | None, fps: float | None, image_sizes: Any, names: Any
) -> Keypoints2D:
    """Read a FreeMoCap / MediaPipe array ``.npy`` (C, T, J, 2 or 3) of image coordinates.

    Arrays of 33 joints are BlazePose; of holistic ones the first 33 (body) are taken.  A third column (depth) is
    not used.  The format has no scores: 1 where a joint is given.  Normalised coordinates (0 to 1) need
    ``image_sizes``.
    """
    try:
        array = read_numpy(path)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except Exception as error:  # the header of a damaged .npy fails in many ways
        raise InputError(f"{path}: is not a readable .npy file of numbers, perhaps truncated ({error}).") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: does not hold an array of numbers.")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (2, 3):
        raise InputError(f"{path}: the array is {array.shape}; (cameras, frames, joints, 2 or 3) is read.")
    if skeleton is None and array.shape[2] in _HOLISTIC_COUNTS:
        array = array[:, :, :33]
    chosen = skeleton_for(path, array.shape[2], skeleton, {33: BLAZEPOSE33}, "MediaPipe arrays")
    xy = array[..., :2].astype(np.float64)
    missing = ~np.isfinite(xy).all(-1)
    if missing.all():
        raise InputError(f"{path}: no person is in any frame of any camera.")
    camera_names = list(names) if names is not None else [f"cam{i}" for i in range(len(xy))]
    if len(camera_names) != len(xy):
        raise InputError(f"{path}: {len(camera_names)} camera names for {len(xy)} cameras.")
    sizes = camera_sizes(path, camera_names, image_sizes, [None] * len(xy))
    if np.nanmax(np.abs(xy)) <= 2.0:
        if sizes is None:
            raise InputError(
                f"{path}: the coordinates are normalised (0 to 1), not pixels.", "Pass image_sizes=(width, height)."
            )
        xy = xy * sizes[:, None, None, :] - 0.5
    return Keypoints2D(xy, np.where(missing, 0.0, 1.0), chosen, fps=fps, image_sizes=sizes, names=tuple(camera_names))

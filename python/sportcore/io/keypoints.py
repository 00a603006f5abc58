"""2D keypoints in and out: our ``.npz``, and the formats of the neighbouring tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import load_npz, read_json, read_text, save_npz
from sportcore.io.keypoint_tables import CameraFrames, assemble
from sportcore.io.keypoints_dense import read_deeplabcut, read_image_array, read_sleap
from sportcore.io.keypoints_json import (
    read_alphapose,
    read_coco,
    read_mmpose,
    read_openpose,
    write_coco,
    write_openpose,
)
from sportcore.io.rig_common import PathLike, natural_key
from sportcore.skeletons import SKELETONS, Skeleton, get_skeleton
from sportcore.types import Keypoints2D

READ_FORMATS = ("npz", "openpose", "coco", "alphapose", "mmpose", "deeplabcut", "sleap", "mediapipe")
WRITE_FORMATS = ("npz", "openpose", "coco")
_SUPPORTED = (
    "Supported: .npz of this package, OpenPose JSON folders, COCO / AlphaPose / MMPose JSON, DeepLabCut CSV, "
    "SLEAP .analysis.h5, FreeMoCap / MediaPipe .npy."
)


def skeleton_arrays(skeleton: Skeleton) -> dict[str, Any]:
    """Return the arrays that keep a skeleton in an .npz file."""
    return {
        "skeleton": np.array(skeleton.name),
        "joints": np.array(skeleton.joints),
        "bones": np.array(skeleton.bones, dtype=str).reshape(-1, 2),
    }


def skeleton_of_arrays(path: PathLike, arrays: Mapping[str, np.ndarray]) -> Skeleton:
    """Return the skeleton kept in an .npz file; the joint names in the file decide, not the name alone."""
    if "joints" not in arrays:
        if "skeleton" not in arrays:
            raise InputError(f"{path}: names neither its skeleton nor its joints.", "Pass skeleton=…")
        return get_skeleton(str(arrays["skeleton"]))
    joints = tuple(str(j) for j in np.ravel(arrays["joints"]))
    for known in SKELETONS.values():
        if known.joints == joints:
            return known
    bones = tuple((str(a), str(b)) for a, b in np.reshape(arrays.get("bones", np.zeros((0, 2), str)), (-1, 2)))
    return Skeleton(str(arrays.get("skeleton", "file")), joints, bones)


def _read_npz(path: PathLike, skeleton: str | Skeleton | None) -> Keypoints2D:
    arrays = load_npz(path, required=("xy", "score"))
    chosen = get_skeleton(skeleton) if skeleton is not None else skeleton_of_arrays(path, arrays)
    options: dict[str, Any] = {k: arrays[k] for k in ("times", "image_sizes", "sigma_px") if k in arrays}
    if "fps" in arrays:
        options["fps"] = float(arrays["fps"])
    if "names" in arrays:
        options["names"] = tuple(str(n) for n in arrays["names"])
    try:
        return Keypoints2D(arrays["xy"], arrays["score"], chosen, **options)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.remedy) from None


def detect_keypoint_format(path: PathLike) -> str:
    """Return which of ``READ_FORMATS`` a file or folder holds.

    Raises:
        InputError: missing, empty, or nothing that we read.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"{path}: does not exist. Check the path.")
    if source.is_dir():
        first = next(iter(sorted(source.glob("*.json")) or sorted(source.glob("*/*.json"))), None)
        if first is None:
            raise InputError(f"{path}: is a folder without JSON files.", _SUPPORTED)
        return _json_format(first, read_json(first))
    suffix = source.suffix.lower()
    simple = {".npz": "npz", ".npy": "mediapipe", ".csv": "deeplabcut", ".h5": "sleap", ".hdf5": "sleap"}
    if suffix in simple:
        return simple[suffix]
    if suffix == ".json":
        return _json_format(source, read_json(source))
    read_text(source, max_bytes=64)
    raise InputError(f"{path}: is not a keypoint file that is known.", _SUPPORTED)


def _json_format(path: Path, data: Any) -> str:
    if isinstance(data, dict):
        for key, format in (("people", "openpose"), ("annotations", "coco"), ("instance_info", "mmpose")):
            if key in data:
                return format
    if isinstance(data, list) and (not data or (isinstance(data[0], dict) and "keypoints" in data[0])):
        return "alphapose"
    raise InputError(f"{path}: is JSON, but of no keypoint format that is known.", _SUPPORTED)


def read_keypoints(
    path: PathLike,
    *,
    format: str | None = None,
    skeleton: str | Skeleton | None = None,
    person: str | int | None = None,
    fps: float | None = None,
    image_sizes: Any = None,
    names: tuple[str, ...] | None = None,
    joint_names: Mapping[str, str] | None = None,
    pad_frames: bool = False,
) -> Keypoints2D:
    """Read 2D keypoints of one person in one or several cameras.

    Args:
        path: a file, or a folder: OpenPose frames (or one folder of frames per camera), or one AlphaPose, MMPose,
            COCO or JSON file per camera.
        format: one of ``READ_FORMATS`` when the content should not decide.
        skeleton: joint order of the file, for formats that do not say it.
        person: whom to follow where several people are: ``"largest"``, ``"confident"`` or a number (track id
            where the file has ids, else the position in the list).
        fps: frames per second, which these formats do not store.
        image_sizes: (width, height) px, one row per camera, or a mapping by camera name.
        names: camera names for arrays that have none; else the cameras to keep, in this order.
        joint_names: new names for joints of files that name them (``{"RAnkle": "right_ankle"}``).
        pad_frames: mark frames that a camera does not have as missing instead of refusing unequal lengths.

    Returns:
        Keypoints in px, NaN where missing.

    Raises:
        InputError: missing or damaged file, unknown joint order, several people without a choice, no person,
            cameras of different length.
    """
    source = Path(path)
    if format is not None and format not in READ_FORMATS:
        raise InputError(f"format {format!r} is not known; one of {', '.join(READ_FORMATS)} is.")
    format = format or detect_keypoint_format(source)
    if isinstance(person, str) and person not in ("largest", "confident"):
        raise InputError(f'person={person!r} is not known; use "largest", "confident" or a number.')
    if format == "npz":
        keypoints = _read_npz(source, skeleton)
        updates: dict[str, Any] = {} if fps is None else {"fps": fps}
        if image_sizes is not None:
            updates["image_sizes"] = np.broadcast_to(image_sizes, (keypoints.n_cameras, 2))
        keypoints = keypoints.replace(**updates) if updates else keypoints
        return keypoints if names is None else keypoints.cameras(names)
    if format == "mediapipe":
        return read_image_array(source, skeleton=skeleton, fps=fps, image_sizes=image_sizes, names=names)
    cameras, chosen = _read_people(source, format, skeleton, joint_names)
    keypoints = assemble(
        source, cameras, chosen, person=person, fps=fps, image_sizes=image_sizes, pad_frames=pad_frames
    )
    return keypoints if names is None else keypoints.cameras(names)


def _read_people(
    source: Path, format: str, skeleton: str | Skeleton | None, joint_names: Mapping[str, str] | None
) -> tuple[list[CameraFrames], Skeleton]:
    if format == "openpose":
        if source.is_file():
            raise InputError(f"{source}: is one OpenPose frame.", "Pass its folder.")
        return read_openpose(source, skeleton)
    pattern = {"deeplabcut": "*.csv", "sleap": "*.h5"}.get(format, "*.json")
    files = [source]
    if source.is_dir():
        files = sorted(source.glob(pattern)) or sorted(source.glob("*/" + pattern))
        files.sort(key=lambda f: natural_key(str(f)))
        if not files:
            raise InputError(f"{source}: holds no {pattern} file.")
    cameras: list[CameraFrames] = []
    found: list[Skeleton] = []
    for file in files:
        if format == "coco":
            data = read_json(file)
            if not isinstance(data, dict):
                raise InputError(f"{file}: is not COCO keypoints.")
            several, one = read_coco(file, data, skeleton, joint_names)
            cameras += several
        else:
            camera, one = _read_single(file, format, skeleton, joint_names)
            cameras.append(camera)
        found.append(one)
    if any(s.joints != found[0].joints for s in found):
        raise InputError(f"{source}: the cameras have different joints.", "Convert them to one skeleton first.")
    stems = [c.name for c in cameras]
    if len(set(stems)) < len(stems) and len(files) == len(cameras):
        for camera, file in zip(cameras, files, strict=True):
            camera.name = file.parent.name
    twice = {c.name for c in cameras if [d.name for d in cameras].count(c.name) > 1}
    if twice:
        raise InputError(f"{source}: several cameras are called {', '.join(sorted(twice))}.")
    return cameras, found[0]


def _read_single(
    file: Path, format: str, skeleton: str | Skeleton | None, joint_names: Mapping[str, str] | None
) -> tuple[CameraFrames, Skeleton]:
    if format == "deeplabcut":
        camera, named = read_deeplabcut(file, joint_names)
        return camera, named if skeleton is None else _reordered(file, camera, named, get_skeleton(skeleton))
    if format == "sleap":
        camera, named = read_sleap(file, joint_names)
        return camera, named if skeleton is None else _reordered(file, camera, named, get_skeleton(skeleton))
    data = read_json(file)
    if format == "alphapose" and isinstance(data, list):
        return read_alphapose(file, data, skeleton)
    if format == "mmpose" and isinstance(data, dict):
        return read_mmpose(file, data, skeleton, joint_names)
    raise InputError(f"{file}: is not {format} output.")


def _reordered(file: Path, camera: CameraFrames, source: Skeleton, target: Skeleton) -> Skeleton:
    """Bring named joints into the order of ``target``; all of its joints must be in the file."""
    absent = [j for j in target.joints if not source.has(j)]
    if absent:
        raise InputError(
            f"{file}: has no joint {', '.join(absent)} of skeleton {target.name!r}; it has {', '.join(source.joints)}.",
            "Map the names with joint_names={…} or leave skeleton out and convert by name afterwards.",
        )
    order = [source.index(j) for j in target.joints]
    for people in camera.people.values():
        for p in people:
            p.xy, p.score = p.xy[order], p.score[order]
    return target


def write_keypoints(keypoints: Keypoints2D, path: PathLike, *, format: str | None = None) -> Path:
    """Write 2D keypoints; ``.npz`` keeps everything, ``.json`` is COCO, a name without suffix an OpenPose folder.

    Raises:
        InputError: the format does not follow from the name.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    target = Path(path)
    format = format or {".npz": "npz", ".json": "coco", "": "openpose"}.get(target.suffix.lower())
    if format not in WRITE_FORMATS:
        raise InputError(
            f"{path}: the format to write is not known.", f"Pass format= one of {', '.join(WRITE_FORMATS)}."
        )
    if format == "openpose":
        write_openpose(keypoints, target)
    elif format == "coco":
        write_coco(keypoints, target)
    else:
        arrays: dict[str, Any] = {"xy": keypoints.xy, "score": keypoints.score, **skeleton_arrays(keypoints.skeleton)}
        for key in ("fps", "times", "image_sizes", "sigma_px"):
            value = getattr(keypoints, key)
            if value is not None:
                arrays[key] = value
        if keypoints.names is not None:
            arrays["names"] = np.array(keypoints.names)
        save_npz(target, **arrays)
    return target

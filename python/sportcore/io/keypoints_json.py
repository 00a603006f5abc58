"""2D keypoints in JSON: OpenPose folders, COCO, AlphaPose and MMPose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import atomic_folder, atomic_path, read_json
from sportcore.io.keypoint_tables import (
    OPENPOSE18,
    CameraFrames,
    Person,
    frame_number,
    person_from_triples,
    skeleton_for,
    skeleton_from_names,
)
from sportcore.io.rig_common import PathLike, natural_key
from sportcore.skeletons import BLAZEPOSE33, BODY25, COCO17, HALPE26, Skeleton
from sportcore.types import Keypoints2D

_OPENPOSE_COUNTS = {25: BODY25, 18: OPENPOSE18, 26: HALPE26, 33: BLAZEPOSE33}
_ALPHAPOSE_COUNTS = {17: COCO17, 26: HALPE26}
#: AlphaPose's documentation gives scores up to 6 for its COCO models.
_ALPHAPOSE_SCORE_RANGE = 6.0


def read_openpose(path: PathLike, skeleton: str | Skeleton | None) -> tuple[list[CameraFrames], Skeleton]:
    """Read OpenPose JSON: a folder of frames, or a folder with one such folder per camera.

    A camera is called like its folder without ``_json``.  Joints 0, 0, 0 are missing.
    """
    folder = Path(path)
    folders = (
        [folder]
        if _frames(folder)
        else [f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".") and _frames(f)]
    )
    folders.sort(key=lambda f: natural_key(f.name))
    if not folders:
        raise InputError(f"{path}: holds neither JSON frames nor folders with JSON frames.")
    cameras = []
    count = 0
    for f in folders:
        camera = CameraFrames(f.name.removesuffix("_json"))
        for file in _frames(f):
            data = read_json(file)
            if not isinstance(data, dict) or not isinstance(data.get("people"), list):
                raise InputError(f"{file}: is not an OpenPose frame, the list 'people' is missing.")
            found = [_openpose_person(file, p) for p in data["people"]]
            people = [p for p in found if len(p.score)]
            number = frame_number(file, file.stem)
            if number in camera.people:
                raise InputError(f"{file}: frame {number} is there twice.")
            camera.people[number] = people
            count = count or next((len(p.score) for p in people), 0)
        cameras.append(camera)
    if not count:
        raise InputError(f"{path}: no person is in any frame of any camera.")
    return cameras, skeleton_for(path, count, skeleton, _OPENPOSE_COUNTS, "OpenPose JSON")


def _frames(folder: Path) -> list[Path]:
    files = [f for f in folder.iterdir() if f.suffix == ".json" and not f.name.startswith(".")]
    return sorted(files, key=lambda f: natural_key(f.name))


def _openpose_person(file: Path, person: Any) -> Person:
    if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
        raise InputError(f"{file}: a person has no 'pose_keypoints_2d'.")
    raw_id = person.get("person_id", [-1])
    identity = raw_id[0] if isinstance(raw_id, list) and raw_id else raw_id
    known = isinstance(identity, int) and identity >= 0
    return person_from_triples(file, person["pose_keypoints_2d"], identity if known else None)


def write_openpose(keypoints: Keypoints2D, path: PathLike) -> None:
    """Write one folder ``<camera>_json`` with one file per frame for each camera; missing joints are 0, 0, 0.

    A folder of an earlier export is replaced; anything else in ``path`` is left alone.

    Raises:
        InputError: ``<camera>_json`` exists and holds other files than JSON.
    """
    targets = [Path(path) / f"{name}_json" for name in keypoints.camera_names]
    for target in targets:
        if target.is_dir() and any(f.suffix != ".json" or f.is_dir() for f in target.iterdir()):
            raise InputError(
                f"{target}: holds other files than JSON frames, it is not replaced.", "Choose another folder."
            )
    for c, (name, target) in enumerate(zip(keypoints.camera_names, targets, strict=True)):
        with atomic_folder(target) as folder:
            for t in range(keypoints.n_frames):
                people = []
                seen = np.isfinite(keypoints.xy[c, t]).all(1)
                if seen.any():
                    triples = np.concatenate([keypoints.xy[c, t], keypoints.score[c, t][:, None]], 1)
                    triples = np.where(seen[:, None], triples, 0.0)
                    people.append({"person_id": [-1], "pose_keypoints_2d": triples.ravel().tolist()})
                text = json.dumps({"version": 1.3, "people": people})
                (folder / f"{name}_{t:06d}_keypoints.json").write_text(text, encoding="utf-8")


def read_coco(
    path: PathLike, data: dict[str, Any], skeleton: Any, joint_names: Any
) -> tuple[list[CameraFrames], Skeleton]:
    """Read a COCO keypoint data set (images, annotations, categories).

    Images are grouped into cameras by the folder in ``file_name``; the frame is the number in the file name.
    Joint names come from the category.  Visibility 0 is missing; 1 and 2 get the score 1, and a fractional third
    value (results) is taken as the score.
    """
    images = {i["id"]: i for i in _records(path, data, "images", ("id", "file_name"))}
    annotations = _records(path, data, "annotations", ("image_id", "keypoints"))
    categories = [c for c in data.get("categories", []) if isinstance(c, dict) and c.get("keypoints")]
    files = {i: PurePosixPath(str(image["file_name"]).replace("\\", "/")) for i, image in images.items()}
    parents = {f.parent for f in files.values()}
    short = len({p.name for p in parents}) == len(parents)
    cameras: dict[PurePosixPath, CameraFrames] = {}
    for number, image in images.items():
        file = files[number]
        name = (file.parent.name if short else str(file.parent).replace("/", "_")) or Path(path).stem
        camera = cameras.setdefault(file.parent, CameraFrames(name))
        if "width" in image and "height" in image:
            camera.image_size = (int(image["width"]), int(image["height"]))
        camera.people.setdefault(frame_number(f"{path}: image {file}", file.stem), [])
    count = 0
    for a in annotations:
        if a["image_id"] not in images:
            raise InputError(f"{path}: an annotation refers to image {a['image_id']}, which is not listed.")
        file = files[a["image_id"]]
        person = person_from_triples(path, a["keypoints"], a.get("track_id"))
        count = count or len(person.score)
        if set(np.unique(person.score)) <= {0.0, 1.0, 2.0}:
            person.score = np.minimum(person.score, 1.0)
        cameras[file.parent].people[frame_number(path, file.stem)].append(person)
    if not annotations:
        raise InputError(f"{path}: holds no annotation with keypoints.")
    ordered = sorted(cameras.values(), key=lambda c: natural_key(c.name))
    if skeleton is None and categories:
        bones = [(a - 1, b - 1) for a, b in categories[0].get("skeleton", [])]
        named = skeleton_from_names("coco-file", categories[0]["keypoints"], bones, joint_names)
        return ordered, skeleton_for(path, count, named, {}, "COCO JSON")
    return ordered, skeleton_for(path, count, skeleton, {17: COCO17}, "COCO JSON")


def _records(path: PathLike, data: dict[str, Any], key: str, needed: Sequence[str]) -> list[dict[str, Any]]:
    records = data.get(key)
    if not isinstance(records, list):
        raise InputError(f"{path}: is not COCO keypoints, the list {key!r} is missing.")
    for r in records:
        absent = [n for n in needed if not isinstance(r, dict) or n not in r]
        if absent:
            raise InputError(f"{path}: an entry of {key!r} has no {', '.join(absent)}.")
    return records


def write_coco(keypoints: Keypoints2D, path: PathLike) -> None:
    """Write a COCO keypoint data set: image ``<camera>/<frame>.jpg``, third value the score, 0 where missing."""
    skeleton = keypoints.skeleton
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for c, name in enumerate(keypoints.camera_names):
        for t in range(keypoints.n_frames):
            number = c * keypoints.n_frames + t
            image: dict[str, Any] = {"id": number, "file_name": f"{name}/{t:06d}.jpg"}
            if keypoints.image_sizes is not None:
                image["width"], image["height"] = (int(v) for v in keypoints.image_sizes[c])
            images.append(image)
            seen = np.isfinite(keypoints.xy[c, t]).all(1)
            if not seen.any():
                continue
            triples = np.concatenate([keypoints.xy[c, t], keypoints.score[c, t][:, None]], 1)
            low, high = keypoints.xy[c, t][seen].min(0), keypoints.xy[c, t][seen].max(0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": np.where(seen[:, None], triples, 0.0).ravel().tolist(),
                    "num_keypoints": int(seen.sum()),
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(np.prod(high - low)),
                    "iscrowd": 0,
                }
            )
    bones = [[int(a) + 1, int(b) + 1] for a, b in skeleton.bone_indices]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": bones}
    with atomic_path(path) as temporary:
        text = json.dumps({"images": images, "annotations": annotations, "categories": [category]})
        temporary.write_text(text, encoding="utf-8")


def read_alphapose(path: PathLike, data: list[Any], skeleton: Any) -> tuple[CameraFrames, Skeleton]:
    """Read AlphaPose results of one camera: a list of people with ``image_id`` (a file name or a number).

    Scores up to 1.5 are clipped to 1; a file with higher ones uses AlphaPose's 0-6 range and is divided by 6.
    """
    camera = CameraFrames(Path(path).stem)
    scale = 0.0
    count = 0
    for entry in data:
        if not isinstance(entry, dict) or "image_id" not in entry or "keypoints" not in entry:
            raise InputError(f"{path}: is not AlphaPose output, an entry has no image_id or keypoints.")
        identity = entry.get("idx", entry.get("track_id"))
        person = person_from_triples(path, entry["keypoints"], identity if isinstance(identity, int) else None)
        count = count or len(person.score)
        scale = max(scale, float(person.score.max(initial=0.0)))
        image = entry["image_id"]
        number = image if isinstance(image, int) else frame_number(path, PurePosixPath(str(image)).stem)
        camera.people.setdefault(number, []).append(person)
    for people in camera.people.values():
        for person in people:
            person.score = person.score / _ALPHAPOSE_SCORE_RANGE if scale > 1.5 else np.minimum(person.score, 1.0)
    if not camera.people:
        raise InputError(f"{path}: no person is in any frame.")
    return camera, skeleton_for(path, count, skeleton, _ALPHAPOSE_COUNTS, "AlphaPose JSON")


def read_mmpose(path: PathLike, data: dict[str, Any], skeleton: Any, joint_names: Any) -> tuple[CameraFrames, Skeleton]:
    """Read MMPose predictions of one video (``instance_info`` with ``frame_id``) or of one image.

    Joint names come from ``meta_info.keypoint_id2name`` when it is there.
    """
    info = data.get("instance_info")
    if not isinstance(info, list):
        raise InputError(f"{path}: is not MMPose output, the list 'instance_info' is missing.")
    single = not (info and isinstance(info[0], dict) and "instances" in info[0])
    frames: list[dict[str, Any]] = [{"frame_id": 1, "instances": info}] if single else info
    camera = CameraFrames(Path(path).stem.removeprefix("results_"))
    count = 0
    for frame in frames:
        people = []
        for instance in frame.get("instances", []):
            try:
                xy = np.array(instance["keypoints"], dtype=np.float64)[..., :2].reshape(-1, 2)
                score = np.array(instance["keypoint_scores"], dtype=np.float64).reshape(-1)
                if len(xy) != len(score):
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                raise InputError(
                    f"{path}: frame {frame.get('frame_id')}: an instance has no matching keypoints and keypoint_scores."
                ) from None
            missing = ~np.isfinite(xy).all(1) | ~(score > 0)
            xy[missing], score[missing] = np.nan, 0.0
            identity = instance.get("track_id", instance.get("instance_id"))
            people.append(Person(xy, np.minimum(score, 1.0), identity if isinstance(identity, int) else None))
            count = count or len(score)
        if not isinstance(frame.get("frame_id"), int):
            raise InputError(f"{path}: a frame has no frame_id.")
        camera.people[frame["frame_id"]] = people
    if not count:
        raise InputError(f"{path}: no person is in any frame.")
    names = (data.get("meta_info") or {}).get("keypoint_id2name") if isinstance(data.get("meta_info"), dict) else None
    if skeleton is None and isinstance(names, dict) and len(names) == count:
        if not all(str(k).isdigit() for k in names):
            raise InputError(f"{path}: meta_info.keypoint_id2name does not number the joints.")
        ordered = [str(names[k]) for k in sorted(names, key=int)]
        return camera, skeleton_from_names("mmpose-file", ordered, (), joint_names)
    return camera, skeleton_for(path, count, skeleton, {}, "MMPose JSON without joint names")

"""From lists of people per frame to one track per camera: frame ranges, the choice of a person, joint orders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.rig_common import PathLike
from sportcore.skeletons import COCO17, SKELETONS, Skeleton, get_skeleton
from sportcore.types import Keypoints2D

#: OpenPose's older 18-joint model: COCO without the pelvis, with a neck that is the middle of the shoulders.
OPENPOSE18 = Skeleton(
    "openpose18",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
        "right_ear", "left_ear",
    ),
    (
        ("neck", "nose"), ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("nose", "right_eye"), ("nose", "left_eye"), ("right_eye", "right_ear"), ("left_eye", "left_ear"),
    ),
)  # fmt: skip


@dataclass
class Person:
    """One person in one frame: (J, 2) px with NaN where missing, (J,) scores, an identity if the file has one."""

    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    identity: int | None = None

    @property
    def area(self) -> float:
        """Area of the box around the observed joints, px^2."""
        seen = self.xy[np.isfinite(self.xy).all(1)]
        return float(np.prod(np.ptp(seen, axis=0))) if len(seen) else 0.0

    @property
    def confidence(self) -> float:
        """Mean score over all joints; a missing joint counts 0."""
        return float(np.where(np.isfinite(self.xy).all(1), self.score, 0.0).mean()) if len(self.score) else 0.0


@dataclass
class CameraFrames:
    """What one camera's file said: people by frame number."""

    name: str
    people: dict[int, list[Person]] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None


def person_from_triples(path: PathLike, values: Any, identity: int | None = None) -> Person:
    """Return a person from a flat list x, y, score, …; 0, 0, 0 and a score of 0 mean missing."""
    try:
        flat = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise InputError(f"{path}: keypoints are not a list of numbers.") from None
    if flat.size % 3:
        raise InputError(f"{path}: {flat.size} keypoint numbers are not triples x, y, score; is the file truncated?")
    triples = flat.reshape(-1, 3)
    missing = ~np.isfinite(triples).all(1) | (triples[:, 2] <= 0)
    xy = np.where(missing[:, None], np.nan, triples[:, :2])
    return Person(xy, np.where(missing, 0.0, triples[:, 2]), identity)


def frame_number(path: PathLike, stem: str) -> int:
    """Return the last number in a file's stem (``cam01_000000000012_keypoints`` is frame 12)."""
    digits = re.findall(r"\d+", re.sub(r"_keypoints$", "", stem))
    if not digits:
        raise InputError(f"{path}: has no frame number in its name.")
    return int(digits[-1])


def skeleton_for(
    path: PathLike, n_joints: int, skeleton: str | Skeleton | None, by_count: Mapping[int, Skeleton], kind: str
) -> Skeleton:
    """Return the skeleton of ``n_joints`` joints, or refuse: without a known joint order numbers mean nothing.

    Raises:
        InputError: the count is not one that this format defines, or does not fit the skeleton asked for.
    """
    if skeleton is not None:
        chosen = get_skeleton(skeleton)
        if chosen.n_joints != n_joints:
            raise InputError(
                f"{path}: holds {n_joints} joints, skeleton {chosen.name!r} has {chosen.n_joints}.",
                "Name the skeleton that the keypoints were made with: skeleton=…",
            )
        return chosen
    if n_joints in by_count:
        return by_count[n_joints]
    known = ", ".join(f"{n} ({s.name})" for n, s in sorted(by_count.items()))
    raise InputError(
        f"{path}: the joint order of {n_joints} joints is not known for {kind} (known: {known or 'none'}).",
        f"Pass skeleton= one of {', '.join(SKELETONS)}, or a Skeleton with your joint names in the file's order.",
    )


def skeleton_from_names(
    name: str,
    joints: Sequence[str],
    bones: Sequence[tuple[int, int]] = (),
    joint_names: Mapping[str, str] | None = None,
) -> Skeleton:
    """Return the skeleton with these joint names in this order; a known one when it is equal.

    ``joint_names`` renames joints of the file (``{"RShoulder": "right_shoulder"}``).
    """
    renamed = tuple((joint_names or {}).get(j, j) for j in joints)
    for known in SKELETONS.values():
        if known.joints == renamed:
            return known
    if not bones and set(COCO17.joints) <= set(renamed):
        pairs: tuple[tuple[str, str], ...] = COCO17.bones
    else:
        pairs = tuple((renamed[a], renamed[b]) for a, b in bones)
    return Skeleton(name, renamed, pairs)


def _choose(path: PathLike, camera: str, frame: int, people: list[Person], person: str | int | None) -> Person | None:
    seen = [p for p in people if np.isfinite(p.xy).any()]
    if isinstance(person, int):
        with_identity = any(p.identity is not None for p in people)
        matching = [p for i, p in enumerate(people) if (p.identity if with_identity else i) == person]
        return matching[0] if matching else None
    if not seen:
        return None
    if len(seen) == 1:
        return seen[0]
    if person == "largest":
        return max(seen, key=lambda p: p.area)
    if person == "confident":
        return max(seen, key=lambda p: p.confidence)
    raise InputError(
        f"{path}: camera {camera!r}, frame {frame}: {len(seen)} people are there and which one to follow is not said.",
        'Pass person="largest", person="confident", or the number of the person (track id, else position).',
    )


def _frame_range(path: PathLike, cameras: Sequence[CameraFrames], pad: bool) -> tuple[int, int]:
    for c in cameras:
        if not c.people:
            raise InputError(f"{path}: camera {c.name!r} has no frames.")
    ranges = {c.name: (min(c.people), max(c.people)) for c in cameras}
    first, last = min(r[0] for r in ranges.values()), max(r[1] for r in ranges.values())
    if len(set(ranges.values())) > 1 and not pad:
        listed = ", ".join(f"{n} {a}-{b}" for n, (a, b) in ranges.items())
        raise InputError(
            f"{path}: the cameras have different frames: {listed}.",
            "Synchronise and cut them first, or pass pad_frames=True to mark the absent frames as missing.",
        )
    if last - first + 1 > 20 * max(len(c.people) for c in cameras) + 1000:
        raise InputError(f"{path}: frame numbers run from {first} to {last}, but only a few frames are there.")
    return first, last


def assemble(
    path: PathLike,
    cameras: Sequence[CameraFrames],
    skeleton: Skeleton,
    *,
    person: str | int | None,
    fps: float | None,
    image_sizes: Any,
    pad_frames: bool,
) -> Keypoints2D:
    """Choose one person per frame and camera and stack all into :class:`Keypoints2D`.

    Raises:
        InputError: several people and no choice, different frame ranges, scores outside [0, 1].
    """
    first, last = _frame_range(path, cameras, pad_frames)
    shape = (len(cameras), last - first + 1, skeleton.n_joints)
    xy, score = np.full((*shape, 2), np.nan), np.zeros(shape)
    for c, camera in enumerate(cameras):
        for frame, people in camera.people.items():
            for p in people:
                if p.xy.shape[0] != skeleton.n_joints:
                    raise InputError(
                        f"{path}: camera {camera.name!r}, frame {frame}: {p.xy.shape[0]} joints, "
                        f"{skeleton.n_joints} in {skeleton.name!r}; the file is mixed or truncated."
                    )
            chosen = _choose(path, camera.name, frame, people, person)
            if chosen is not None:
                xy[c, frame - first], score[c, frame - first] = chosen.xy, chosen.score
    if not np.isfinite(xy).any():
        raise InputError(f"{path}: no person is in any frame of any camera.")
    top = float(score.max())
    if top > 1.1:
        raise InputError(f"{path}: scores reach {top:.3g}; they must lie in [0, 1].")
    sizes = camera_sizes(path, [c.name for c in cameras], image_sizes, [c.image_size for c in cameras])
    names = tuple(c.name for c in cameras)
    return Keypoints2D(xy, np.minimum(score, 1.0), skeleton, fps=fps, image_sizes=sizes, names=names)


def camera_sizes(
    path: PathLike, names: Sequence[str], given: Any, found: Sequence[tuple[int, int] | None]
) -> NDArray[np.int64] | None:
    """Return (C, 2) image sizes from the argument or from the file, None when any is unknown."""
    out = []
    for name, stored in zip(names, found, strict=True):
        size: Any = stored
        if isinstance(given, Mapping):
            size = given.get(name, size)
        elif given is not None:
            array = np.asarray(given)
            if array.shape not in ((2,), (len(names), 2)):
                raise InputError(f"{path}: image_sizes must be (width, height), one row per camera, or a mapping.")
            size = array if array.ndim == 1 else array[list(names).index(name)]
        if size is None:
            return None
        out.append([int(v) for v in size])
    return np.array(out, dtype=np.int64)

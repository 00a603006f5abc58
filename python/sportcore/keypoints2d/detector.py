"""What a 2D detector is, and what it hands on.

A backend is any object with the four members of :class:`Detector`; see ``docs/detectors.md`` for a complete one in
twenty lines. :class:`Collector` takes the bookkeeping off its hands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import load_npz, save_npz
from sportcore.skeletons import Skeleton, get_skeleton
from sportcore.videos import Frame

__all__ = ["Collector", "Detections", "Detector", "Progress", "believed", "known_length"]

Progress = Callable[[int, int, str], None]
"""``progress(done, total, message)``; total is 0 when it is not known. An exception raised in it stops the work."""


_ARRAYS = ("xy", "score", "times_s", "n_persons", "present", "counted")


@dataclass(frozen=True)
class Detections:
    """2D joints of one person in one video.

    Attributes:
        skeleton: names and order of the J joints.
        image_size: (width, height) px.
        xy: (T, J, 2) px, float64; NaN where the joint was not found. Centre of the upper-left pixel is (0, 0).
        score: (T, J) in [0, 1]; 0 where missing.
        times_s: (T,) seconds since the first frame of the video.
        n_persons: (T,) people seen; between two counts the last one holds.
        present: (T,) the followed person was found.
        world_m: (T, J, 3) metres about the middle of the hips, camera axes (x right, y down, z forward), or None.
        counted: (T,) frames in which people were counted.
        masks: (T, h, w) uint8, probability of the person times 255 in the crop of each frame, or None.
        image_from_crop: (T, 2, 3) affine from continuous mask coordinates to image px (NaN where absent), or None.
        warnings: sentences about lost people, several people, jumps.
    """

    skeleton: Skeleton
    image_size: tuple[int, int]
    xy: np.ndarray
    score: np.ndarray
    times_s: np.ndarray
    n_persons: np.ndarray
    present: np.ndarray
    world_m: np.ndarray | None = None
    counted: np.ndarray | None = None
    masks: np.ndarray | None = None
    image_from_crop: np.ndarray | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        t, j = len(self.times_s), self.skeleton.n_joints
        counted = np.ones(t, bool) if self.counted is None else self.counted
        fields: dict[str, tuple[Any, tuple[int, ...], Any]] = {
            "xy": (self.xy, (t, j, 2), float), "score": (self.score, (t, j), float),
            "times_s": (self.times_s, (t,), float), "n_persons": (self.n_persons, (t,), int),
            "present": (self.present, (t,), bool), "counted": (counted, (t,), bool),
        }  # fmt: skip
        if self.world_m is not None:
            fields["world_m"] = (self.world_m, (t, j, 3), float)
        for name, (value, shape, kind) in fields.items():
            array = np.array(value, dtype=kind)
            if array.shape != shape:
                raise InputError(f"Detections.{name} has shape {array.shape}, expected {shape}.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        missing = ~np.isfinite(self.xy).all(axis=-1)
        if np.any((self.score < 0) | (self.score > 1) | ~np.isfinite(self.score)):
            raise InputError("Detections.score must be finite and in [0, 1].")
        if np.any(missing & (self.score > 0)):
            raise InputError("Detections.score must be 0 where xy is missing.")
        if (self.masks is None) != (self.image_from_crop is None):
            raise InputError("Detections.masks and image_from_crop come together.")

    @property
    def n_frames(self) -> int:
        """Number of frames T."""
        return len(self.times_s)

    @property
    def fps(self) -> float:
        """Mean frame rate from the times; NaN for fewer than two frames."""
        if self.n_frames < 2:
            return float("nan")
        return (self.n_frames - 1) / float(self.times_s[-1] - self.times_s[0])

    def mask(self, t: int) -> np.ndarray:
        """(H, W) uint8 mask of the person in the image of frame ``t``: probability times 255; 0 outside the crop.

        Raises:
            InputError: masks were not asked for (``masks=True`` of the detector).
        """
        if self.masks is None or self.image_from_crop is None:
            raise InputError("No masks were made.", "Make the detector with masks=True.")
        if not self.present[t]:
            return np.zeros((self.image_size[1], self.image_size[0]), np.uint8)
        pixels = self.image_from_crop[t].copy()
        pixels[:, 2] += 0.5 * (pixels[:, 0] + pixels[:, 1])
        return np.asarray(cv2.warpAffine(self.masks[t], pixels, self.image_size, flags=cv2.INTER_LINEAR))

    def require_person(self, name: str, min_fraction: float = 0.1) -> None:
        """Refuse detections of a video that shows (almost) nobody.

        Args:
            name: what to call the video in the message, for instance its file name.
            min_fraction: smallest share of frames with a person.

        Raises:
            InputError: fewer frames with a person.
        """
        found = int(self.present.sum())
        if found == 0 or found < min_fraction * self.n_frames:
            raise InputError(
                f"{name}: a person was found in {found} of {self.n_frames} frames.",
                "The athlete must be visible from head to feet, and not much smaller than a tenth of the image; "
                "check that this is the right video, and that it is not upside down.",
            )

    def save(self, path: str | Path) -> None:
        """Write to an ``.npz`` file, atomically."""
        arrays: dict[str, Any] = {
            name: getattr(self, name)
            for name in (*_ARRAYS, "world_m", "masks", "image_from_crop")
            if getattr(self, name) is not None
        }
        save_npz(
            path,
            **arrays,
            skeleton=self.skeleton.name,
            joints=self.skeleton.joints,
            image_size=self.image_size,
            warnings=np.array(self.warnings, dtype=str),
        )

    @staticmethod
    def load(path: str | Path) -> Detections:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: not such a file, or of a skeleton with other joints.
        """
        arrays: dict[str, Any] = load_npz(path, required=(*_ARRAYS, "skeleton", "joints", "image_size", "warnings"))
        joints = tuple(str(j) for j in arrays.pop("joints"))
        name = str(arrays.pop("skeleton"))
        size = tuple(int(v) for v in arrays.pop("image_size"))
        notes = tuple(str(w) for w in arrays.pop("warnings"))
        try:
            skeleton = get_skeleton(name)
        except InputError:
            skeleton = Skeleton(name, joints, ())
        if skeleton.joints != joints:
            raise InputError(f"{path}: its joints are not those of the skeleton {name!r}.", "Run detect again.")
        known = (*_ARRAYS, "world_m", "masks", "image_from_crop")
        arrays = {key: value for key, value in arrays.items() if key in known}
        return Detections(skeleton=skeleton, image_size=(size[0], size[1]), warnings=notes, **arrays)


@runtime_checkable
class Detector(Protocol):
    """Finds the joints of one person in every frame of a video.

    Attributes:
        name: short name for reports.
        skeleton: joints it gives.
        version: changes whenever the result would change (weights, options); goes into the hash of the cache.
    """

    name: str
    skeleton: Skeleton
    version: str

    def detect_video(
        self, frames: Iterable[Frame], image_size: tuple[int, int], *, progress: Progress | None = None
    ) -> Detections:
        """Walk once through the frames, in order."""
        ...


def believed(
    xy: np.ndarray, score: np.ndarray, image_size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What is kept of a network's joints: copies, NaN and score 0 where there is none.

    Args:
        xy: (..., J, 2) px.
        score: (..., J); clipped to [0, 1].
        image_size: (width, height) px; joints outside the image are missing. None keeps them.

    Returns:
        xy (..., J, 2) and score (..., J), float64.
    """
    out_xy = np.array(xy, dtype=float)
    out_score = np.clip(np.nan_to_num(np.array(score, dtype=float)), 0, 1)
    bad = ~np.isfinite(out_xy).all(axis=-1) | (out_score <= 0)
    if image_size is not None:
        bad |= (out_xy < -0.5).any(axis=-1) | (out_xy > np.asarray(image_size) - 0.5).any(axis=-1)
    out_xy[bad], out_score[bad] = np.nan, 0.0
    return out_xy, out_score


def known_length(frames: Iterable[Frame]) -> int:
    """How many frames there will be, for the progress; 0 when that is not known."""
    return len(frames) if isinstance(frames, Sized) else 0


class Collector:
    """Gathers one frame after the other into :class:`Detections`; a backend's bookkeeping.

    Args:
        skeleton: joints of the backend.
        image_size: (width, height) px.
        frames: the iterable that is walked through; its ``len()``, where it has one, is the total for the progress.
        progress: see :data:`Progress`.
        keep_outside: keep joints that lie outside the image; otherwise they are missing.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        image_size: tuple[int, int],
        frames: Iterable[Frame],
        progress: Progress | None = None,
        *,
        keep_outside: bool = False,
    ) -> None:
        self._skeleton, self._size, self._progress = skeleton, image_size, progress
        self._keep_outside = keep_outside
        self._total = known_length(frames)
        self._rows: list[dict[str, Any]] = []
        self._people = 0
        self.warnings: list[str] = []

    def add(
        self,
        frame: Frame,
        xy: np.ndarray | None,
        score: np.ndarray | None = None,
        *,
        n_persons: int | None = None,
        world_m: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        image_from_crop: np.ndarray | None = None,
    ) -> None:
        """Add the result of one frame.

        Args:
            frame: the frame.
            xy: (J, 2) px, or None when nobody was found.
            score: (J,) ; clipped to [0, 1].
            n_persons: people in the frame, or None when they were not counted here.
            world_m, mask, image_from_crop: as in :class:`Detections`, for this frame.
        """
        j = self._skeleton.n_joints
        out_xy, out_score = np.full((j, 2), np.nan), np.zeros(j)
        if xy is not None:
            out_xy, out_score = believed(
                xy, np.ones(j) if score is None else score, None if self._keep_outside else self._size
            )
        if n_persons is not None:
            self._people = n_persons
        self._rows.append(
            {
                "xy": out_xy, "score": out_score, "time": frame.time_s, "present": xy is not None,
                "n": max(self._people, int(xy is not None)), "counted": n_persons is not None, "world": world_m,
                "mask": mask, "affine": image_from_crop,
            }
        )  # fmt: skip
        if self._progress is not None:
            self._progress(len(self._rows), max(self._total, len(self._rows)) if self._total else 0, "detect")

    def result(self) -> Detections:
        """Everything that was added."""
        rows, j = self._rows, self._skeleton.n_joints
        present = np.array([r["present"] for r in rows], dtype=bool)
        n_persons = np.array([r["n"] for r in rows], dtype=int)
        world = None
        if any(r["world"] is not None for r in rows):
            world = np.stack([np.full((j, 3), np.nan) if r["world"] is None else r["world"] for r in rows])
        masks = affine = None
        sample = next((r["mask"] for r in rows if r["mask"] is not None), None)
        if sample is not None:
            masks = np.stack([np.zeros_like(sample) if r["mask"] is None else r["mask"] for r in rows])
            affine = np.stack([np.full((2, 3), np.nan) if r["affine"] is None else r["affine"] for r in rows])
        return Detections(
            skeleton=self._skeleton, image_size=self._size,
            xy=np.stack([r["xy"] for r in rows]) if rows else np.empty((0, j, 2)),
            score=np.stack([r["score"] for r in rows]) if rows else np.empty((0, j)),
            times_s=np.array([r["time"] for r in rows]), n_persons=n_persons, present=present, world_m=world,
            counted=np.array([r["counted"] for r in rows], dtype=bool), masks=masks, image_from_crop=affine,
            warnings=(*self.warnings, *summary(present, n_persons)),
        )  # fmt: skip


def summary(present: np.ndarray, n_persons: np.ndarray) -> list[str]:
    """Sentences about frames without a person and frames with several people."""
    notes = []
    lost = np.flatnonzero(~present)
    if len(lost):
        notes.append(f"no person in {len(lost)} of {len(present)} frames ({spans(lost)})")
    crowd = np.flatnonzero(n_persons > 1)
    if len(crowd):
        notes.append(
            f"up to {n_persons.max()} people in view in {len(crowd)} of {len(present)} frames ({spans(crowd)}); "
            "one of them was followed"
        )
    return notes


def spans(indices: np.ndarray, most: int = 4) -> str:
    """Frame numbers as ranges, for a sentence: ``3-7, 12, ...``."""
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    words = [f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs[:most]]
    return ", ".join(words) + (", ..." if len(runs) > most else "")

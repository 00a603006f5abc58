"""Tracks of several people per camera, what to do with them, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras import CalibrateOptions
from ..errors import InputError
from ..skeletons import Skeleton, get_skeleton
from ..types import Calibration, Keypoints2D, Points3D

__all__ = ["DiscardedTrack", "PeopleAssociation", "PeopleOptions", "PeopleTracks"]

Floats = NDArray[np.float64]


def _need(condition: bool, message: str, remedy: str = "") -> None:
    if not condition:
        raise InputError(message, remedy)


@dataclass(frozen=True, eq=False)
class PeopleTracks:
    """Tracks of several people in several cameras, on one common time base.

    The number and the order of the tracks differ from camera to camera, and a track may change from one person to
    another where people cross.

    Args:
        xy: for each of C cameras a sequence of tracks (T, J, 2) px, NaN where missing; a camera may have none.
        score: for each camera a sequence of (T, J) scores in [0, 1]; values where xy is missing are ignored.
        skeleton: name or :class:`Skeleton` of the joint axis.
        names: C different camera names; None makes ``cam0, cam1, ...``.
        fps: frames per second of the common time base.
        image_sizes: (C, 2) px.

    Raises:
        InputError: shapes that do not fit each other, scores outside [0, 1].
    """

    xy: Sequence[Sequence[Floats]]
    score: Sequence[Sequence[Floats]]
    skeleton: Skeleton
    names: tuple[str, ...] | None = None
    fps: float = 30.0
    image_sizes: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        skeleton = get_skeleton(self.skeleton)
        cameras = len(self.xy)
        _need(cameras > 0, "Tracks need at least one camera.")
        _need(len(self.score) == cameras, f"xy has {cameras} cameras, score {len(self.score)}.")
        names = tuple(f"cam{i}" for i in range(cameras)) if self.names is None else tuple(str(n) for n in self.names)
        _need(len(names) == len(set(names)) == cameras, f"names must be {cameras} different names, got {names}.")
        _need(isinstance(self.fps, (int, float)) and 0 < self.fps < math.inf, f"fps must be positive, got {self.fps}.")
        frames: int | None = None
        all_xy, all_score = [], []
        for name, xys, scores in zip(names, self.xy, self.score, strict=True):
            _need(len(xys) == len(scores), f"Camera {name!r}: {len(xys)} tracks, {len(scores)} scores.")
            kept_xy, kept_score = [], []
            for k, (x, s) in enumerate(zip(xys, scores, strict=True)):
                who = f"Camera {name!r}, track {k}"
                x, s = _floats(x, who), _floats(s, who)
                frames = x.shape[0] if frames is None and x.ndim == 3 else frames
                _need(
                    x.shape == (frames, skeleton.n_joints, 2),
                    f"{who}: xy is {x.shape}, expected {(frames, skeleton.n_joints, 2)}.",
                    "All tracks have all frames, NaN where there is nothing, and the joints of the skeleton.",
                )
                _need(s.shape == x.shape[:2], f"{who}: score is {s.shape}, expected {x.shape[:2]}.")
                s = np.where(np.isfinite(x).all(-1), s, 0.0)
                _need(
                    bool(np.isfinite(s).all() and s.min(initial=0) >= 0 and s.max(initial=0) <= 1),
                    f"{who}: score must lie in [0, 1].",
                )
                x = np.where((s > 0)[..., None], x, np.nan)
                x.setflags(write=False)
                s.setflags(write=False)
                kept_xy.append(x)
                kept_score.append(s)
            all_xy.append(tuple(kept_xy))
            all_score.append(tuple(kept_score))
        _need(frames is not None and frames > 0, "There is no track in any camera.", "Check the detector.")
        object.__setattr__(self, "xy", tuple(all_xy))
        object.__setattr__(self, "score", tuple(all_score))
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "fps", float(self.fps))
        if self.image_sizes is not None:
            sizes = np.array(self.image_sizes, np.int64)
            _need(sizes.shape == (cameras, 2), f"image_sizes must be {(cameras, 2)}, got {sizes.shape}.")
            sizes.setflags(write=False)
            object.__setattr__(self, "image_sizes", sizes)

    @property
    def n_cameras(self) -> int:
        """C."""
        return len(self.xy)

    @property
    def n_frames(self) -> int:
        """T."""
        return int(next(x.shape[0] for camera in self.xy for x in camera))

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras."""
        assert self.names is not None
        return self.names


def _floats(values: ArrayLike, who: str) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{who}: expected numbers in a regular array: {error}.") from error


@dataclass(frozen=True)
class PeopleOptions:
    """How to find the same people in all cameras.

    Attributes:
        max_people: most people kept, those seen most.
        calibrate: options of the joint calibration; its ``height_m`` is that of everybody who is kept, unless
            ``heights_m`` is given.
        heights_m: statures, m: a mapping from person (0, 1, ... as they come out) to stature, or a sequence with one
            stature for each person, which is matched by size (the tallest stature to the tallest person); no more
            people than statures are then kept.
        height_sigma_m: how well the statures are known, m.
        window_s: tracks are matched in pieces of this length, s.
        max_residual_px: an observation further off does not fit; None: 1 % of the image diagonal.
        min_share: who is seen by two cameras in a smaller share of the frames is discarded.
        still_m: who moves by less than this while another person moves is taken for a bystander; 0 keeps everybody.
        max_gap_s: a person who is lost for longer is a new person, unless nobody else can be meant.
        rounds: how often association and calibration are repeated.
        seed: of the random samples.

    Raises:
        InputError: a value makes no sense.
    """

    max_people: int = 4
    calibrate: CalibrateOptions = field(default_factory=CalibrateOptions)
    heights_m: Mapping[int, float] | Sequence[float] | None = None
    height_sigma_m: float = 0.01
    window_s: float = 0.3
    max_residual_px: float | None = None
    min_share: float = 0.1
    still_m: float = 0.25
    max_gap_s: float = 3.0
    rounds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        _need(1 <= self.max_people <= 64, f"max_people must lie between 1 and 64, got {self.max_people}.")
        _need(isinstance(self.calibrate, CalibrateOptions), "calibrate must be CalibrateOptions.")
        for key, low, high in (
            ("window_s", 0.02, 10.0), ("min_share", 0.0, 1.0), ("still_m", 0.0, 10.0), ("max_gap_s", 0.0, 1e6),
            ("height_sigma_m", 1e-4, 1.0),
        ):  # fmt: skip
            value = getattr(self, key)
            _need(low <= value <= high, f"{key} must lie between {low:g} and {high:g}, got {value}.")
        limit = self.max_residual_px
        _need(limit is None or 0 < limit < math.inf, f"max_residual_px must be positive, got {limit}.")
        _need(1 <= self.rounds <= 10, f"rounds must lie between 1 and 10, got {self.rounds}.")
        if self.heights_m is not None:
            given = self.heights_m.values() if isinstance(self.heights_m, Mapping) else self.heights_m
            for h in given:
                _need(0.5 <= float(h) <= 2.6, f"heights_m: {h} is not a stature in metres.", "1.78, say.")


@dataclass(frozen=True)
class DiscardedTrack:
    """An input track of which nothing was kept.

    Attributes:
        camera: its name.
        track: its index in that camera.
        frames: frames in which it shows something.
        reason: ``"too short"``, ``"one camera only"``, ``"does not fit"``, ``"seen too little"``,
            ``"stands still"``, or ``"too many people"``.
    """

    camera: str
    track: int
    frames: int
    reason: str


@dataclass(frozen=True, eq=False)
class PeopleAssociation:
    """The same people in all cameras.

    Attributes:
        xy: (P, C, T, J, 2) px, NaN where missing; people ordered by how much was seen of them.
        score: (P, C, T, J); 0 where missing.
        track: (P, C, T) index of the input track that each camera-frame comes from; -1 where none.
        keypoints: P :class:`Keypoints2D`, the same observations.
        points: P :class:`Points3D`, each person's joints in the frame of ``rig``.
        calibration: cameras from all people jointly; None after :func:`match_to_rig`. Its points are those of all
            people one after the other: frame ``p T + t`` is frame t of person p; where a camera shows hardly anybody
            who is kept, others who were seen well come behind.
        rig: the cameras.
        discarded: input tracks of which nothing was kept, and why.
        split_tracks: (camera, track, people) of input tracks that changed from one person to another.
        warnings: what a reader should know.
        info: numbers behind it, JSON-like.
    """

    xy: Floats
    score: Floats
    track: NDArray[np.int64]
    keypoints: tuple[Keypoints2D, ...]
    points: tuple[Points3D, ...]
    calibration: Calibration | None
    rig: Any
    discarded: tuple[DiscardedTrack, ...]
    split_tracks: tuple[tuple[str, int, tuple[int, ...]], ...]
    warnings: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_people(self) -> int:
        """P."""
        return int(self.xy.shape[0])

"""From unordered detections to tracks inside one camera, cut rather than wrong.

From frame to frame, detections are given to tracks by the mean distance of their joints from where the track was
heading, in units of the body's size (Hungarian assignment). Where another pairing is nearly as good, nobody can say who
is who: the tracks end and new ones begin. :func:`sportcore.people.associate_people` puts the parts together, in space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from ..errors import InputError

__all__ = ["TrackOptions", "track_people"]

Floats = NDArray[np.float64]

MIN_COMMON = 3  #: joints that two detections must share to be compared


@dataclass(frozen=True)
class TrackOptions:
    """How detections become tracks. Distances are mean joint distances in parts of the body's extent in the image.

    Attributes:
        max_distance: further from the prediction is somebody else.
        ambiguous: when another pairing of a track or of a detection is nearer than twice the best plus this, the tracks
            are cut; 0 never cuts.
        max_gap: frames that a track may be lost.
        min_frames: shorter tracks are dropped.
        min_score: joints with a lower score are not compared.

    Raises:
        InputError: a value makes no sense.
    """

    max_distance: float = 0.25
    ambiguous: float = 0.04
    max_gap: int = 5
    min_frames: int = 1
    min_score: float = 0.1

    def __post_init__(self) -> None:
        if (
            not (self.max_distance > 0 and self.ambiguous >= 0 and self.max_gap >= 0 and self.min_frames >= 1)
            or not 0 <= self.min_score < 1
        ):
            raise InputError("max_distance must be positive, min_frames at least 1, the others not negative.")


class _Open:
    """A track that is still followed."""

    def __init__(self, t: int, xy: Floats, score: Floats, size: float) -> None:
        self.frames = [t]
        self.xy, self.score = [xy], [score]
        self.place, self.speed, self.size = xy.copy(), np.zeros(2), size

    def predict(self, t: int) -> Floats:
        return self.place + self.speed * min(t - self.frames[-1], 3)

    def add(self, t: int, xy: Floats, score: Floats, size: float) -> None:
        step = np.isfinite(xy[:, 0]) & np.isfinite(self.place[:, 0])
        if step.sum() >= MIN_COMMON:
            moved = np.median((xy - self.place)[step], axis=0) / (t - self.frames[-1])
            self.speed = moved if len(self.frames) == 1 else 0.5 * self.speed + 0.5 * moved
        self.place = np.where(np.isfinite(xy), xy, self.place + self.speed * (t - self.frames[-1]))
        self.size = 0.8 * self.size + 0.2 * size if np.isfinite(size) else self.size
        self.frames.append(t)
        self.xy.append(xy)
        self.score.append(score)


def track_people(
    frames: Sequence[tuple[ArrayLike, ArrayLike]], options: TrackOptions | None = None
) -> tuple[list[Floats], list[Floats]]:
    """Connect the detections of one camera from frame to frame.

    Args:
        frames: T pairs of xy (N, J, 2) px and score (N, J), N differing from frame to frame, in no particular order.
        options: see :class:`TrackOptions`.

    Returns:
        Tracks as :class:`~sportcore.people.PeopleTracks` takes them: a list of xy (T, J, 2) px, NaN where missing, and
        a list of score (T, J).

    Raises:
        InputError: shapes that do not fit each other.
    """
    options = options or TrackOptions()
    T = len(frames)
    J: int | None = None
    live: list[_Open] = []
    done: list[_Open] = []
    for t, (raw_xy, raw_score) in enumerate(frames):
        xy, score = np.asarray(raw_xy, np.float64), np.asarray(raw_score, np.float64)
        if not len(xy):
            continue
        J = xy.shape[1] if J is None and xy.ndim == 3 else J
        if xy.ndim != 3 or xy.shape[1:] != (J, 2) or score.shape != xy.shape[:2]:
            raise InputError(f"Frame {t}: xy is {xy.shape}, score {score.shape}; expected (N, {J}, 2) and (N, {J}).")
        believed = np.isfinite(xy).all(-1) & (np.nan_to_num(score) > 0)
        score = np.where(believed, score, 0.0)
        whole = np.where(believed[..., None], xy, np.nan)
        seen = np.where((score >= options.min_score)[..., None], whole, np.nan)
        sizes = _extent(seen)
        done += [k for k in live if t - k.frames[-1] > options.max_gap + 1]
        live = [k for k in live if t - k.frames[-1] <= options.max_gap + 1]
        distance = np.full((len(live), len(xy)), np.inf)
        for i, k in enumerate(live):
            distance[i] = _distance(k.predict(t), k.size, seen, sizes)
        pairs, unsure = _assign(distance, options)
        for i in sorted(unsure, reverse=True):
            done.append(live[i])
        taken = set()
        for i, d in pairs:
            if i not in unsure:
                live[i].add(t, whole[d], score[d], float(sizes[d]))
                taken.add(d)
        live = [k for i, k in enumerate(live) if i not in unsure]
        for d in range(len(xy)):
            if d not in taken and np.isfinite(seen[d, :, 0]).sum() >= MIN_COMMON:
                live.append(_Open(t, whole[d], score[d], float(sizes[d])))
    out_xy, out_score = [], []
    for k in sorted(done + live, key=lambda k: k.frames[0]):
        if len(k.frames) < options.min_frames:
            continue
        x, s = np.full((T, J or 0, 2), np.nan), np.zeros((T, J or 0))
        x[k.frames], s[k.frames] = np.stack(k.xy), np.stack(k.score)
        out_xy.append(x)
        out_score.append(s)
    return out_xy, out_score


def _extent(xy: Floats) -> Floats:
    """(N,) larger side of the box around (N, J, 2); NaN where fewer than two joints are there."""
    known = np.isfinite(xy[..., 0])
    low = np.where(known[..., None], xy, np.inf).min(1)
    high = np.where(known[..., None], xy, -np.inf).max(1)
    return np.where(known.sum(1) >= 2, np.where(known.any(1), (high - low).max(-1), np.nan), np.nan)


def _distance(place: Floats, size: float, seen: Floats, sizes: Floats) -> Floats:
    """(N,) trimmed mean joint distance of detections from a predicted body, in parts of its extent."""
    gap = np.linalg.norm(seen - place, axis=-1)  # (N, J)
    known = np.isfinite(gap)
    n = known.sum(1)
    ordered = np.sort(np.where(known, gap, np.inf), axis=1)
    keep = np.maximum(np.ceil(0.8 * n).astype(int), 1)  # gross outliers of single joints do not count
    total = np.cumsum(np.where(np.isfinite(ordered), ordered, 0.0), axis=1)
    mean = total[np.arange(len(n)), keep - 1] / keep
    scale = np.fmax(size, sizes)
    return np.where((n >= MIN_COMMON) & (scale > 0), mean / np.where(scale > 0, scale, 1.0), np.inf)


def _assign(distance: Floats, options: TrackOptions) -> tuple[list[tuple[int, int]], set[int]]:
    """Pairs (track, detection), and the tracks whose pairing is not sure."""
    if not distance.size:
        return [], set()
    cost = np.where(distance <= options.max_distance, distance, 1e3)
    pairs = [(int(i), int(d)) for i, d in zip(*linear_sum_assignment(cost), strict=True) if cost[i, d] < 1e3]
    unsure: set[int] = set()
    for i, d in pairs:
        if options.ambiguous <= 0:
            break
        limit = min(2 * distance[i, d] + options.ambiguous, options.max_distance)
        for k in range(distance.shape[0]):  # another track that this detection could belong to
            if k != i and distance[k, d] < limit:
                unsure |= {i, k}
        for e in range(distance.shape[1]):  # another detection that this track could go on with
            if e != d and distance[i, e] < limit:
                unsure.add(i)
    return pairs, unsure

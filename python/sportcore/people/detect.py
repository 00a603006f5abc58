"""Everybody in a video: BlazePose's person detector and landmark network, run for several people at once.

:class:`sportcore.keypoints2d.BlazePose` follows one person. Here every person has a region of their own, which the
landmarks of one frame carry to the next; every few frames the person detector looks for people whom no region holds.
Nothing says who is who from frame to frame: that is for :func:`sportcore.people.track_people` to decide, which can look
at a whole crossing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.atomic import load_npz, save_npz
from ..keypoints2d.detector import Progress, believed, known_length
from ..keypoints2d.landmarks import N_JOINTS, LandmarkNet, Landmarks
from ..keypoints2d.person import Person, PersonDetector, tiles
from ..keypoints2d.regions import Region
from ..skeletons import BLAZEPOSE33, Skeleton, get_skeleton
from ..videos import Frame, VideoReader

__all__ = ["PeopleDetections", "detect_people"]

# Shoulders to ankles, wrists included: what tells two bodies apart.
_BODY = np.array([11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])


@dataclass(frozen=True, eq=False)
class PeopleDetections:
    """Unordered people in the frames of one video.

    Attributes:
        skeleton: names and order of the J joints.
        image_size: (width, height) px.
        times_s: (T,) seconds since the first frame of the video.
        frame: (N,) frame index, 0 to T - 1, of each detection, not falling.
        xy: (N, J, 2) px, NaN where missing.
        score: (N, J) in [0, 1]; 0 where missing.
        world_m: (N, J, 3) metres about the middle of the hips, camera axes, or None.

    Raises:
        InputError: shapes that do not fit each other.
    """

    skeleton: Skeleton
    image_size: tuple[int, int]
    times_s: np.ndarray
    frame: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    world_m: np.ndarray | None = None

    def __post_init__(self) -> None:
        skeleton = get_skeleton(self.skeleton)
        object.__setattr__(self, "skeleton", skeleton)
        n, j = len(self.frame), skeleton.n_joints
        if np.shape(self.xy) != (n, j, 2) or np.shape(self.score) != (n, j):
            raise InputError(f"xy {np.shape(self.xy)} and score {np.shape(self.score)} do not fit ({n}, {j}).")
        if self.world_m is not None and np.shape(self.world_m) != (n, j, 3):
            raise InputError(f"world_m is {np.shape(self.world_m)}, expected {(n, j, 3)}.")
        if n and (self.frame.min() < 0 or self.frame.max() >= len(self.times_s) or np.any(np.diff(self.frame) < 0)):
            raise InputError("frame must be ordered and lie within the frames of times_s.")

    @property
    def n_frames(self) -> int:
        """T."""
        return len(self.times_s)

    @property
    def fps(self) -> float:
        """Mean frame rate from the times; NaN for fewer than two frames."""
        if self.n_frames < 2:
            return float("nan")
        return (self.n_frames - 1) / float(self.times_s[-1] - self.times_s[0])

    def frames(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """T pairs of xy (N_t, J, 2) and score (N_t, J): what :func:`~sportcore.people.track_people` takes."""
        cut = np.searchsorted(self.frame, np.arange(self.n_frames + 1))
        return [(self.xy[a:b], self.score[a:b]) for a, b in zip(cut[:-1], cut[1:], strict=True)]

    def save(self, path: str | Path) -> None:
        """Write to an .npz file."""
        arrays: dict[str, Any] = {k: getattr(self, k) for k in ("times_s", "frame", "xy", "score")}
        if self.world_m is not None:
            arrays["world_m"] = self.world_m
        save_npz(Path(path), skeleton=np.array(self.skeleton.name), image_size=np.array(self.image_size), **arrays)

    @staticmethod
    def load(path: str | Path) -> PeopleDetections:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: not such a file.
        """
        data = load_npz(Path(path), required=("skeleton", "image_size", "times_s", "frame", "xy", "score"))
        w, h = (int(v) for v in data["image_size"])
        return PeopleDetections(
            get_skeleton(str(data["skeleton"])), (w, h), data["times_s"], data["frame"], data["xy"], data["score"],
            data.get("world_m"),
        )  # fmt: skip


def detect_people(
    video: str | Path | Iterable[Frame],
    model: str = "blazepose-heavy",
    *,
    image_size: tuple[int, int] | None = None,
    stride: int = 1,
    check_every: int = 5,
    max_people: int = 8,
    min_person_score: float = 0.5,
    min_presence: float = 0.5,
    search_small: bool = True,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> PeopleDetections:
    """Find the joints of everybody in every frame of a video.

    Args:
        video: a file, or frames in order (then ``image_size`` (width, height) px is needed).
        model: ``"blazepose-heavy"``, ``"blazepose-full"`` or ``"blazepose-lite"``.
        image_size: (width, height) px, where ``video`` is not a file.
        stride: look at every so manyth frame only; the result then has that many fewer frames.
        check_every: looked-at frames between two looks of the person detector.
        max_people: most people followed at a time, the best first.
        min_person_score: detections below are not people.
        min_presence: below this a region holds nobody.
        search_small: look into overlapping tiles of half the image too.
        num_threads: of the engine; None uses all cores.
        progress: called as ``progress(done, total, message)``.

    Returns:
        :class:`PeopleDetections`. About 0.05 to 0.1 s per person and frame on one core.

    Raises:
        InputError: an option has no meaning, or the video cannot be read.
        WeightsError: weights are missing; the message says how to fetch them.
    """
    from .. import weights

    if model not in ("blazepose-heavy", "blazepose-full", "blazepose-lite"):
        raise InputError(f"detect_people knows no model {model!r}.", "Use blazepose-heavy, -full or -lite.")
    if stride < 1 or check_every < 1 or max_people < 1 or not (0 < min_person_score < 1 and 0 < min_presence < 1):
        raise InputError("stride, check_every and max_people are at least 1; the two scores lie between 0 and 1.")
    frames: Iterable[Frame]
    if isinstance(video, (str, Path)):
        reader = VideoReader(video)
        frames, image_size = reader, reader.image_size
    else:
        if image_size is None:
            raise InputError("detect_people needs image_size where the video is not a file.")
        frames = video
    look = _Looker(
        LandmarkNet(weights.find(model), num_threads=num_threads),
        PersonDetector(weights.find("blazepose-person"), min_score=min_person_score, num_threads=num_threads),
        min_presence, search_small, max_people,
    )  # fmt: skip
    times: list[float] = []
    index: list[int] = []
    found: list[Landmarks] = []
    total = known_length(frames)
    for number, frame in enumerate(frames):
        if number % stride:
            continue
        here = look.step(frame.image_rgb, len(times) % check_every == 0)
        index += [len(times)] * len(here)
        found += here
        times.append(frame.time_s)
        if progress is not None:
            progress(number + 1, total, "people")
    size = int(image_size[0]), int(image_size[1])
    xy, score = believed(
        np.array([f.xy[:N_JOINTS] for f in found]).reshape(-1, N_JOINTS, 2),
        np.array([(f.visibility * f.inside)[:N_JOINTS] for f in found]).reshape(-1, N_JOINTS), size,
    )  # fmt: skip
    world = np.array([f.world_m[:N_JOINTS] for f in found]).reshape(-1, N_JOINTS, 3)
    return PeopleDetections(BLAZEPOSE33, size, np.array(times), np.array(index, np.int64), xy, score, world)


class _Looker:
    """Regions of the people in view, from frame to frame."""

    def __init__(
        self, net: LandmarkNet, finder: PersonDetector, min_presence: float, search_small: bool, most: int
    ) -> None:
        self.net, self.finder = net, finder
        self.min_presence, self.search_small, self.most = min_presence, search_small, most
        self.regions: list[Region] = []

    def step(self, image: np.ndarray, search: bool) -> list[Landmarks]:
        """Landmarks of everybody in one image, best first."""
        found = [f for region in self.regions if (f := self._look(image, region, 1)) is not None]
        if search or not found:
            for person in self._people(image):
                near = [math.dist(person.region.centre, f.next_region.centre) / f.next_region.size for f in found]
                if min(near, default=math.inf) < 0.12:
                    continue
                fresh = self._look(image, person.region, 2)
                if fresh is not None:
                    found.append(fresh)
        kept: list[Landmarks] = []
        for one in sorted(found, key=_quality, reverse=True):
            if len(kept) < self.most and not any(_same_body(one, other) for other in kept):
                kept.append(one)
        self.regions = [f.next_region for f in kept]
        return kept

    def _people(self, image: np.ndarray) -> list[Person]:
        people = self.finder.detect(image)
        if self.search_small:
            height, width = image.shape[:2]
            for window in tiles(width, height, -(-max(width, height) // 2)):
                people += self.finder.detect(image, window)
        return sorted(people, key=lambda p: -p.score)

    def _look(self, image: np.ndarray, region: Region, rounds: int) -> Landmarks | None:
        found: Landmarks | None = None
        for _ in range(rounds):
            found = self.net(image, region)
            if found.presence < self.min_presence or found.in_view(image.shape) < 4:
                return None
            region = found.next_region
        return found


def _quality(found: Landmarks) -> float:
    return found.presence * float(np.mean(found.visibility[_BODY] * found.inside[_BODY]))


def _same_body(a: Landmarks, b: Landmarks) -> bool:
    """Whether two sets of landmarks lie on one body."""
    size = min(a.next_region.size, b.next_region.size)
    gap = np.linalg.norm(a.xy[_BODY] - b.xy[_BODY], axis=-1)
    return float(np.median(gap)) < 0.05 * size

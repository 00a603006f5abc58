"""BlazePose, heavy, full and lite: person detector, rotated region, landmarks, tracking from frame to frame.

In the first frame, and whenever the person is lost, the detector says where people are. From then on the landmarks
of one frame give the region of the next (Bazarevsky et al. 2020, "BlazePose", section 2.1). Nothing is smoothed.
Every ``check_every`` frames, and when the region jumps, the detector looks again: to count people, and to notice
that the followed region has drifted off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sportcore.errors import InputError
from sportcore.keypoints2d.detector import Collector, Detections, Progress, spans
from sportcore.keypoints2d.landmarks import CROP_SIZE, N_JOINTS, LandmarkNet, Landmarks
from sportcore.keypoints2d.person import Person, PersonDetector
from sportcore.keypoints2d.regions import Region
from sportcore.skeletons import BLAZEPOSE33
from sportcore.videos import Frame

__all__ = ["BlazePose", "SELECT"]

log = logging.getLogger(__name__)

SELECT = ("largest", "best", "central")
MIN_JOINTS = 4  # fewer believable joints in the image are not a person


class BlazePose:
    """BlazePose as a :class:`~sportcore.keypoints2d.Detector`.

    Args:
        variant: ``"heavy"`` (default: 12 px where full has 42 on the demo), ``"full"`` or ``"lite"``.
        landmarks_path: landmark network (TFLite, or converted to ONNX) instead of the cached one.
        person_path: person detector (TFLite) instead of the cached one.
        num_threads: threads of the engine; None uses all cores.
        select: whom to follow at the start: the ``"largest"``, the ``"best"`` scored, or the most ``"central"``.
        near: (x, y) px; follow the person at this point instead (several people in view).
        min_person_score: detections below are not counted as people.
        min_presence: below this the person counts as lost and is searched for again.
        patience_s: so long after the person was lost nobody farther away is taken for the same person.
        check_every: frames between two looks of the person detector while tracking; 0 never looks.
        search_small: where nobody is found, look into tiles of the image for small people.
        flip_average: run the mirrored crop too and average: half the speed, steadier (bone lengths on the demo vary
            by 3.2 instead of 3.6 %).
        world: also give the network's world landmarks.
        masks: also give person masks (64 kB per frame).
        keep_outside: keep joints that the network places outside the image.
        download: fetch missing weights now instead of raising.
        progress: called while weights are fetched.

    Raises:
        InputError: an option has no meaning.
        WeightsError: weights are missing or not of this network.
        MissingExtraError: no engine is installed.
    """

    skeleton = BLAZEPOSE33

    def __init__(
        self,
        variant: str = "heavy",
        *,
        landmarks_path: str | Path | None = None,
        person_path: str | Path | None = None,
        num_threads: int | None = None,
        select: str = "largest",
        near: tuple[float, float] | None = None,
        min_person_score: float = 0.5,
        min_presence: float = 0.5,
        patience_s: float = 1.0,
        check_every: int = 10,
        search_small: bool = True,
        flip_average: bool = False,
        world: bool = False,
        masks: bool = False,
        keep_outside: bool = False,
        download: bool = False,
        progress: Progress | None = None,
    ) -> None:
        from sportcore import weights

        if variant not in ("heavy", "full", "lite"):
            raise InputError(f"BlazePose has no variant {variant!r}.", "Use heavy, full or lite.")
        if select not in SELECT:
            raise InputError(f"Unknown select={select!r}.", f"Use one of {', '.join(SELECT)}.")
        if not (0 < min_person_score < 1 and 0 < min_presence < 1 and check_every >= 0 and patience_s >= 0):
            raise InputError(
                "min_person_score and min_presence lie between 0 and 1; check_every and patience_s are not negative."
            )
        self.name = f"blazepose-{variant}"
        files = []
        for given, name in ((landmarks_path, self.name), (person_path, "blazepose-person")):
            if given is not None:
                files.append(Path(given))
            else:
                files.append(weights.ensure(name, progress=progress) if download else weights.find(name))
        actual = weights.identify(files[0])
        if actual is not None and actual != self.name:  # another file was given, or full took heavy's place
            log.warning("The detector asked for is %s; the file %s is %s.", self.name, files[0], actual)
            self.name = actual
        self._net = LandmarkNet(files[0], num_threads=num_threads)
        self._finder = PersonDetector(files[1], min_score=min_person_score, num_threads=num_threads)
        self._select, self._near = select, near
        self._min_presence, self._check_every, self._patience_s = min_presence, check_every, patience_s
        self._search_small, self._flip = search_small, flip_average
        self._world, self._masks, self._keep_outside = world, masks, keep_outside
        marks = ",".join(weights.file_sha256(f)[:12] for f in files)
        self.version = (
            f"3;{marks};select={select};near={near};person={min_person_score};presence={min_presence};"
            f"patience={patience_s};check={check_every};"
            f"small={search_small};flip={flip_average};world={world};masks={masks};outside={keep_outside}"
        )

    def detect_video(
        self, frames: Iterable[Frame], image_size: tuple[int, int], *, progress: Progress | None = None
    ) -> Detections:
        """Follow one person through a video; see :class:`~sportcore.keypoints2d.Detections`."""
        out = Collector(self.skeleton, image_size, frames, progress, keep_outside=self._keep_outside)
        state = _Track()
        for number, frame in enumerate(frames):
            state.now_s = frame.time_s
            found, people = self._step(frame.image_rgb, state, number)
            count = None if people is None else len(people)
            if found is None:
                out.add(frame, None, n_persons=count)
                continue
            logits = found.mask_logits
            out.add(
                frame,
                found.xy[:N_JOINTS],
                (found.visibility * found.inside)[:N_JOINTS],
                n_persons=count,
                world_m=found.world_m[:N_JOINTS] if self._world else None,
                mask=None if logits is None else _mask_bytes(logits),
                image_from_crop=None if logits is None else found.region.image_from_crop(CROP_SIZE),
            )
        if state.switched:
            out.warnings.append(
                f"the followed region went astray and was set right (frames {spans(np.array(state.switched))})"
            )
        return out.result()

    def detect_image(self, image_rgb: np.ndarray) -> Detections:
        """The joints of one person in one picture (H, W, 3) uint8."""
        height, width = image_rgb.shape[:2]
        return self.detect_video([Frame(0, 0.0, image_rgb)], (width, height))

    def people(self, image_rgb: np.ndarray) -> list[Person]:
        """Everybody in the image, best first."""
        people = self._finder.detect(image_rgb)
        return people or (self._finder.detect_small(image_rgb) if self._search_small else people)

    # --- one frame ------------------------------------------------------------------------------------------------

    def _step(self, image: np.ndarray, state: _Track, number: int) -> tuple[Landmarks | None, list[Person] | None]:
        """Landmarks of the followed person, and the people if they were counted in this frame."""
        found: Landmarks | None = None
        people: list[Person] | None = None
        if state.region is not None:
            found = self._look(image, state.region)
            if found.presence < self._min_presence or found.in_view(image.shape) < MIN_JOINTS:
                found = None
            elif _jumped(state.region, found.next_region):
                found, people = self._doubt(image, state, number, found)
            elif self._check_every and number - state.checked >= self._check_every:
                people = self._finder.detect(image)
                found = self._verify(image, state, number, found, people)
                if found is None:  # a phantom: better missing than somebody else
                    state.lost()
        if found is None:
            found, people = self._find(image, state, number, people)
        if people is not None:
            state.checked = number
        if found is None:
            state.lost()
        else:
            state.seen(found.next_region)
        return found, people

    def _look(self, image: np.ndarray, region: Region) -> Landmarks:
        """Landmarks in a region; averaged with those of the mirrored crop where asked for."""
        found = self._net(image, region, with_mask=self._masks)
        if not self._flip:
            return found
        return _average(found, self._net(image, region, with_mask=self._masks, mirror=True))

    def _find(
        self, image: np.ndarray, state: _Track, number: int, people: list[Person] | None
    ) -> tuple[Landmarks | None, list[Person]]:
        """Look for the person in the whole image.

        The slow parts (regions turned otherwise, tiles for small people) are tried at the start and then every
        ``check_every`` frames while nobody is there.
        """
        thorough = state.searched < 0 or number - state.searched >= max(self._check_every, 1)
        if people is None:
            people = self._finder.detect(image)
        found = self._acquire(image, self._ranked(people, state, image.shape, number), thorough)
        if found is None and thorough:
            if self._search_small:
                small = self._finder.detect_small(image)
                found = self._acquire(image, self._ranked(small, state, image.shape, number), thorough)
                people = small if found is not None or not people else people
            if found is None:
                state.searched = number
        return found, people

    def _acquire(self, image: np.ndarray, people: list[Person], thorough: bool) -> Landmarks | None:
        """The first of these people whom the landmark network confirms.

        A good region repeats itself: the landmarks found in it point to a region in which the same landmarks are
        found again. The person detector is sometimes wrong about which way a leaning person is up; then the region
        is tried in quarter turns, and the most steady one is taken.
        """
        for person in people[:3]:
            settled = self._settle(image, person.region, 2)
            if settled is not None and settled.motion < 0.02 and _quality(settled.found) > 0.6:
                return settled.found
            tries = [settled]
            if thorough:
                for turn in (0.0, 0.5 * math.pi, -0.5 * math.pi, math.pi):
                    turned = replace(person.region, angle=person.region.angle + turn)
                    tries.append(self._settle(image, turned, 3))
            good = [t for t in tries if t is not None and t.motion < 0.06]
            if good:
                return max(good, key=lambda t: t.score).found
        return None

    def _settle(self, image: np.ndarray, region: Region, rounds: int) -> _Settled | None:
        """Look repeatedly, each time where the landmarks point; None when the person vanishes on the way."""
        found: Landmarks | None = None
        motion = math.inf
        for _ in range(rounds):
            before, found = found, self._look(image, region)
            if found.presence < self._min_presence:
                return None
            region = found.next_region
            if before is not None:
                steps = np.linalg.norm(found.xy[:N_JOINTS] - before.xy[:N_JOINTS], axis=-1)
                motion = float(np.median(steps)) / found.region.size
        assert found is not None
        return _Settled(found, motion)

    def _ranked(self, people: list[Person], state: _Track, shape: tuple[int, ...], number: int) -> list[Person]:
        """Whom to try first: for a while only near where the person was lost, then as ``near`` or ``select`` say."""
        last = state.last
        away_s = state.now_s - state.last_seen_s
        if last is not None and away_s <= self._patience_s:
            near = [p for p in people if _distance(p.region, last) < 0.6 + 0.5 * away_s]
            return sorted(near, key=lambda p: _distance(p.region, last))
        if self._near is not None:
            goal = self._near
            near = [p for p in people if math.dist(p.region.centre, goal) < 0.5 * p.region.size]
            return sorted(near, key=lambda p: math.dist(p.region.centre, goal))
        middle = (shape[1] / 2.0, shape[0] / 2.0)
        keys = {
            "largest": lambda p: -p.region.size,
            "best": lambda p: -p.score,
            "central": lambda p: math.dist(p.region.centre, middle),
        }
        return sorted(people, key=keys[self._select])

    def _doubt(self, image: np.ndarray, state: _Track, number: int, found: Landmarks) -> tuple[Landmarks, list[Person]]:
        """The region jumped within one frame: is there a person nearer to where it was?"""
        people = self._finder.detect(image)
        assert state.region is not None
        origin = state.region
        for person in sorted(people, key=lambda p: _distance(p.region, origin)):
            if _distance(person.region, origin) >= _distance(found.next_region, origin):
                break
            other = self._look(image, person.region)
            if other.presence >= self._min_presence and not _jumped(origin, other.next_region):
                state.switched.append(number)
                return other, people
        return found, people

    def _verify(
        self, image: np.ndarray, state: _Track, number: int, found: Landmarks, people: list[Person]
    ) -> Landmarks | None:
        """Does the person detector see the same person, the same way up? If not, take the better; None: a phantom.

        Somebody far away never takes over here: the detector often misses an athlete in the air and sees a
        bystander instead.
        """
        here = found.next_region
        near = [p for p in people if _distance(p.region, here) < 0.6]
        if near and min(abs(_turn(p.region.angle - here.angle)) for p in near) < 1.0:
            return found
        if _quality(found) > 0.8:
            return found
        mine = self._settle(image, here, 2)
        other = self._acquire(image, sorted(near, key=lambda p: _distance(p.region, here)), True)
        theirs = None if other is None else self._settle(image, other.next_region, 2)
        if theirs is not None and (mine is None or mine.score < 0.5 * theirs.score):
            state.switched.append(number)
            return other
        if mine is None or mine.motion > 0.06 or _quality(found) < 0.2:
            return None
        return found


@dataclass(frozen=True)
class _Settled:
    """Landmarks after several looks, and how far they still moved (median, in region sides)."""

    found: Landmarks
    motion: float

    @property
    def score(self) -> float:
        return _quality(self.found) * math.exp(-self.motion / 0.03)


class _Track:
    """What is remembered from frame to frame."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.region: Region | None = None  # where to look in the next frame
        self.last: Region | None = None  # where the person was last
        self.last_seen_s = -math.inf
        self.checked = -1
        self.searched = -1
        self.switched: list[int] = []

    def seen(self, region: Region) -> None:
        self.region = self.last = region
        self.last_seen_s = self.now_s

    def lost(self) -> None:
        self.region = None


def _distance(a: Region, b: Region) -> float:
    """How far apart two regions are, in units of the second one's size; a very different size counts as far."""
    ratio = abs(math.log(max(a.size, 1e-6) / max(b.size, 1e-6)))
    return math.dist(a.centre, b.centre) / max(b.size, 1e-6) + max(0.0, ratio - math.log(1.5))


def _jumped(before: Region, after: Region) -> bool:
    return _distance(after, before) > 0.35


def _turn(angle: float) -> float:
    """The same angle in (-pi, pi]."""
    return math.atan2(math.sin(angle), math.cos(angle))


def _quality(found: Landmarks) -> float:
    return found.presence * float(np.mean(found.visibility[:N_JOINTS] * found.inside[:N_JOINTS]))


def _average(a: Landmarks, b: Landmarks) -> Landmarks:
    logits = None if a.mask_logits is None or b.mask_logits is None else 0.5 * (a.mask_logits + b.mask_logits)
    return replace(
        a,
        presence=0.5 * (a.presence + b.presence),
        xy=0.5 * (a.xy + b.xy),
        visibility=0.5 * (a.visibility + b.visibility),
        inside=0.5 * (a.inside + b.inside),
        world_m=0.5 * (a.world_m + b.world_m),
        mask_logits=logits,
    )


def _mask_bytes(logits: np.ndarray) -> np.ndarray:
    """(h, w) uint8: probability times 255."""
    return np.rint(255.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)

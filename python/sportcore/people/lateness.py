"""How late each camera looks when several people are in view and nobody knows who is who.

For two cameras, candidates come from the correlation of how much everybody together moves from frame to frame; each is
judged by how much of *all* tracks one essential matrix explains when the cameras are shifted so
(:func:`sportcore.people.pairs.find_pair_pose`): at a wrong moment nobody's joints lie on one epipolar geometry for
long. All pairs of cameras decide together. A camera's lateness is believed when the best moment explains clearly more
than any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ..cameras.anthropometry import calibration_joints
from ..errors import DegenerateError, InputError
from ..types import Rig
from .associate import associate_people
from .groups import window_edges
from .pairs import find_pair_pose
from .slots import Slots, pack
from .types import PeopleTracks

__all__ = ["Lateness", "finer_lateness", "people_lateness"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[int, int, str], None]

CANDIDATES = 8  #: moments of a pair of cameras that are tried besides the present one
MOST_FRAMES = 1500  #: of a long recording
MIN_OVERLAP = 0.35  #: of the recording
CLEAR = 1.12  #: a believed moment explains so many times what any other does
NEAR = 4  #: frames: moments nearer than this are the same
MIN_SHARE = 0.3  #: of what two cameras could share, for their moment to be believed


@dataclass(frozen=True)
class Lateness:
    """Lateness of one camera against the first, in frames; positive: it shows a later moment.

    Attributes:
        name: of the camera.
        frames: whole frames; None where not known.
        share: of what the camera's tracks could share with the others', the part that fits at that moment.
        second: the same at the best other moment.
        at_zero: the same when no camera is shifted.
        reason: why it is not known; empty otherwise.
    """

    name: str
    frames: int | None
    share: float
    second: float
    at_zero: float
    reason: str = ""


class _Pair:
    """Two cameras, and how much of their tracks fits at the moments that were tried."""

    def __init__(self, a: int, b: int, slots: Sequence[Slots], fps: float, limit: float, flip: Ints, seed: int) -> None:
        self.a, self.b, self.tried = a, b, dict[int, float]()
        self._slots, self._fps, self._limit, self._flip, self._seed = (slots[a], slots[b]), fps, limit, flip, seed

    def share(self, lag: int) -> float:
        """What fits when b looks ``lag`` frames later than a."""
        if lag not in self.tried:
            a, b = self._slots
            T = len(a.track)
            a, b = _cut(a, max(lag, 0), T + min(lag, 0)), _cut(b, max(-lag, 0), T - max(lag, 0))
            pose = None
            if len(a.track) >= MIN_OVERLAP * T:
                edges = window_edges(len(a.track), self._fps, 0.3)
                pose = find_pair_pose((self.a, self.b), a, b, edges, self._limit, self._flip, self._seed)
            self.tried[lag] = 0.0 if pose is None else pose.share
        return self.tried[lag]

    def near(self, lag: int) -> float:
        """What fits within two frames of a moment, of those that were tried; a poor moment where none was."""
        known = [s for k, s in self.tried.items() if abs(k - lag) <= 2]
        return max(known, default=0.8 * float(np.median(list(self.tried.values()))))

    def uphill(self, lag: int) -> int:
        """The best moment near one."""
        for step in (3, 2, 1, 1):
            lag = max((lag, lag - step, lag + step), key=self._worth)
        return lag

    def _worth(self, lag: int) -> tuple[float, int]:
        return self.share(lag), -abs(lag)

    def best(self, count: int = 1) -> list[int]:
        """The best moments that are not near each other."""
        out: list[int] = []
        for lag in sorted(self.tried, key=lambda k: (-self.tried[k], abs(k))):
            if all(abs(lag - k) > NEAR for k in out):
                out.append(lag)
        return out[:count]


def people_lateness(
    tracks: PeopleTracks, rig: Rig, *, reach_s: float = 4.0, seed: int = 0, progress: Progress | None = None
) -> tuple[Lateness, ...]:
    """Lateness of every camera against the first.

    Args:
        tracks: of every camera on rows counted from its own first frame; shorter ones padded with NaN.
        rig: lenses, in the order of the tracks.
        reach_s: two cameras differ by at most this.
        seed: of the random samples.
        progress: called as ``progress(done, total, message)``.

    Returns:
        One entry per camera; the first has 0 frames.

    Raises:
        InputError: fewer than two cameras.
    """
    if tracks.n_cameras < 2:
        raise InputError("Lateness needs two cameras.")
    slots = [_cut(s, 0, MOST_FRAMES) for s in pack(tracks, rig, 0.1)]
    joints = calibration_joints(tracks.skeleton)
    where = {j: i for i, j in enumerate(joints)}
    flip = np.array([where.get(int(tracks.skeleton.flip_permutation[j]), i) for i, j in enumerate(joints)])
    limit = 0.01 * float(np.hypot(*np.median(rig.image_sizes, axis=0)))
    T = len(slots[0].track)
    reach = min(round(reach_s * tracks.fps), int((1 - MIN_OVERLAP) * T))
    activity = [_activity(s, tracks.fps) for s in slots]
    both = list(itertools.combinations(range(len(slots)), 2))
    pairs = []
    for done, (a, b) in enumerate(both):
        if progress is not None:
            progress(done, len(both) + 1, "when each camera looks")
        pair = _Pair(a, b, slots, tracks.fps, limit, flip, seed)
        for lag in [0, *_peaks(activity[a], activity[b], reach)]:
            pair.share(lag)
        for lag in pair.best(2):
            pair.uphill(lag)
        pairs.append(pair)
    if progress is not None:
        progress(len(both), len(both) + 1, "when each camera looks")
    return _choose(tracks.camera_names, pairs, reach)


def finer_lateness(tracks: PeopleTracks, times_s: Floats, rig: Rig) -> tuple[Floats, Floats]:
    """What is left of the lateness, below a frame or two, from the person seen most.

    Args:
        tracks: on the rows of a common time base, all cameras within two frames of each other.
        times_s: (C, T) time of each row in each camera, as far as it is known.
        rig: lenses.

    Returns:
        (C,) seconds that each camera looks later than its times say, and their standard deviations; NaN where the
        person does not tell.
    """
    from ..cameras import CalibrateOptions
    from ..sync import refine_offsets_epipolar
    from .types import PeopleOptions

    none = np.full(tracks.n_cameras, np.nan)
    try:
        found = associate_people(tracks, rig, PeopleOptions(calibrate=CalibrateOptions(force=True), max_people=1))
        person = found.keypoints[0].replace(times=times_s)
        report = refine_offsets_epipolar(person, [0.0] * tracks.n_cameras, rig)
    except (DegenerateError, InputError):
        return none, none
    return report.offsets_s, report.sigmas_s


def _agreement(cameras: int, pairs: Sequence[_Pair], reach: int) -> dict[int, int]:
    """Lateness of all cameras on which the pairs agree best, of what was tried.

    Every camera in turn ties all others to itself, each at one of the best moments of their pair; what the other pairs
    said near the moments that follow decides.
    """
    of = {(p.a, p.b): p for p in pairs}
    best, found = -1.0, dict.fromkeys(range(cameras), 0)
    for hub in range(cameras):
        others = [c for c in range(cameras) if c != hub]
        own = {c: of[min(hub, c), max(hub, c)] for c in others}
        count = 4 if cameras <= 5 else 2 if cameras <= 9 else 1
        lags = [[k if hub < c else -k for k in own[c].best(count)] for c in others]
        for choice in itertools.product(*lags):
            at = {hub: 0, **dict(zip(others, choice, strict=True))}
            if max(abs(v - at[0]) for v in at.values()) > reach:
                continue
            value = sum(p.near(at[p.b] - at[p.a]) for p in pairs)
            if value > best:
                best, found = value, {c: v - at[0] for c, v in at.items()}
    return found


def _choose(names: Sequence[str], pairs: Sequence[_Pair], reach: int) -> tuple[Lateness, ...]:
    """The lateness of all cameras that explains most in all pairs together.

    Started from the moments on which the pairs agree best, each camera is then moved to every moment that one of its
    pairs proposes.
    """
    lag = _agreement(len(names), pairs, reach)

    def total(c: int, at: int) -> float:
        """What the pairs of camera c explain when it is so late."""
        known = {**lag, c: at}
        return sum(p.share(known[p.b] - known[p.a]) for p in pairs if c in (p.a, p.b))

    def proposals(c: int) -> set[int]:
        out = {lag[c], 0}
        for p in pairs:
            if c in (p.a, p.b):
                sign, other = (1, p.a) if c == p.b else (-1, p.b)
                out |= {lag[other] + sign * k for k in p.best(3)}
        return {k for k in out if abs(k) <= reach}

    steps: tuple[tuple[int, ...], ...] = ((), (-2, -1, 1, 2), (-1, 1))
    for more in steps:
        for c in range(1, len(names)):
            near = {lag[c], *(lag[c] + k for k in more if abs(lag[c] + k) <= reach)} if more else proposals(c)
            ordered = sorted(near, key=abs)
            lag[c] = ordered[int(np.argmax([total(c, k) for k in ordered]))]
    out = [Lateness(names[0], 0, 1.0, 0.0, 1.0)]
    for c, name in enumerate(names[1:], 1):
        n = len(names) - 1
        share = total(c, lag[c]) / n
        zero = sum(p.share(0) for p in pairs if c in (p.a, p.b)) / n
        second = max((total(c, k) for k in proposals(c) if abs(k - lag[c]) > NEAR), default=0.0) / n
        reason = ""
        if share < MIN_SHARE:
            reason = "no moment fits much of what the cameras show"
        elif share < CLEAR * second:
            reason = "several moments fit about as well"
        out.append(Lateness(name, None if reason else lag[c], share, second, zero, reason))
    return tuple(out)


def _cut(slots: Slots, lo: int, hi: int) -> Slots:
    return replace(
        slots, px=slots.px[lo:hi], xn=slots.xn[lo:hi], weight=slots.weight[lo:hi], track=slots.track[lo:hi],
        size=slots.size[lo:hi], bones=None,
    )  # fmt: skip


def _activity(slots: Slots, fps: float) -> Floats:
    """(T,) how much everybody in view moves from frame to frame, in body sizes; what changes within a second."""
    T, M = slots.track.shape
    total = np.zeros(T)
    for k in np.unique(slots.track[slots.track >= 0]):
        t, m = np.nonzero(slots.track == k)
        x, size = slots.px[t, m], slots.size[t, m]
        near = np.diff(t) == 1
        # joints against the middle of the body: how people cross the image differs from view to view
        middle = np.nanmedian(x, axis=1, keepdims=True) if len(t) else x
        step = np.linalg.norm(np.diff(x - middle, axis=0), axis=-1)
        seen = np.isfinite(step)
        usual = np.where(seen.any(1), np.nanmedian(np.where(seen.any(1)[:, None], step, 0.0), axis=1), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            total[t[1:][near]] += np.nan_to_num(np.minimum(usual / size[1:], 0.2))[near]
    total = uniform_filter1d(total, 3, mode="nearest")
    total = total - uniform_filter1d(total, max(3, round(fps)), mode="nearest")
    return np.asarray(total / max(float(total.std()), 1e-12))


def _peaks(a: Floats, b: Floats, reach: int) -> list[int]:
    """Lags of b against a with the highest correlation, the best first."""
    lags = list(range(-reach, reach + 1))
    T = len(a)
    value = np.empty(len(lags))
    for i, lag in enumerate(lags):
        x, y = a[max(lag, 0) : T + min(lag, 0)], b[max(-lag, 0) : T - max(lag, 0)]
        norm = np.sqrt((x**2).sum() * (y**2).sum())
        value[i] = float((x * y).sum() / norm) if norm > 0 else 0.0
    out: list[int] = []
    for at in (lags[int(i)] for i in np.argsort(-value)):
        if all(abs(at - k) > 2 for k in out):
            out.append(at)
        if len(out) == CANDIDATES:
            break
    return out

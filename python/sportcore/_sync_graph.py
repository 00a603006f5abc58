"""Which moments of several cameras belong together: candidates from correlation, decided by geometry.

A gait repeats, so the correlation of two cameras has a peak at every stride. At each peak the essential matrix is
estimated and refined together with the offset; at the wrong stride the body is elsewhere and the rays do not meet. The
offsets of all cameras must then agree around every loop of the graph of pairs. A camera whose second best moment fits
about as well as its best is left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from sportcore._sync_curves import Floats
from sportcore._sync_epipolar import PairFit, View, fit_pair, start_pose
from sportcore._sync_offsets import correlation, peaks

_PEAKS = 8
_FIRST = 4  # peaks that are tried before looking whether one is clear
_FITS = 2
_MANY_FITS = 5
_FOUL_COST = 0.5  # of the best start: more than a third of the observations are wrong
_NUDGE = 0.4  # frames: where that is so, the robust start is only good at nearly the right offset
_CLEAR = 1.5
_VERY_CLEAR = 3.0  # below this for any camera, all pairs are searched
_PROBES_S = (-0.4, 0.4)
_STEP_S = 0.04  # an offset moves by at most this in one step
_CLOSE_S = 0.06
_APART_S = 0.15
_TRIAL_FRAMES = 90


@dataclass(frozen=True, eq=False)
class Trial:
    """One offset of a pair that was tried: camera b is ``offset_s`` later than a."""

    offset_s: float
    height: float
    fit: PairFit

    @property
    def scale_px(self) -> float:
        """Robust standard deviation of the Sampson distance."""
        return self.fit.scale_px


@dataclass(eq=False)
class Pair:
    """Everything that is known of a pair of cameras.

    Attributes:
        a, b: indices of the cameras.
        trials: offsets with their fits, best first.
        peak, second, at_zero: of the correlation.
        searched: all that correlation proposes was tried.
    """

    a: int
    b: int
    trials: list[Trial] = field(default_factory=list)
    peak: float = 0.0
    second: float = 0.0
    at_zero: float = 0.0
    searched: bool = False

    def add(self, trial: Trial) -> None:
        """Keep a trial unless a better one lies at the same offset."""
        same = [t for t in self.trials if abs(t.offset_s - trial.offset_s) < 0.25 * _CLOSE_S]
        if all(trial.scale_px < t.scale_px for t in same):
            self.trials = sorted([t for t in self.trials if t not in same] + [trial], key=lambda t: t.scale_px)

    def near(self, offset_s: float, tolerance_s: float = _CLOSE_S) -> Trial | None:
        """Best trial near an offset."""
        return next((t for t in self.trials if abs(t.offset_s - offset_s) < tolerance_s), None)

    def margin(self, offset_s: float) -> float:
        """How much worse the best other moment fits: its scale over the scale here; 0 without a trial here.

        Infinite where no other moment was tried.
        """
        here = self.near(offset_s)
        if here is None:
            return 0.0
        others = [t.scale_px for t in self.trials if abs(t.offset_s - here.offset_s) > _APART_S]
        return min(others, default=np.inf) / here.scale_px


def try_offset(views: Sequence[View], a: int, b: int, offset_s: float, *, held: bool = False) -> Trial | None:
    """Fit a pair from one trial offset, or with it (``held``); None where there is too little to compare."""
    start = start_pose(views[a], views[b], offset_s)
    if start is None:
        return None
    return _refine(views, a, b, offset_s, 0.0, start[0], start[1], 0.0 if held else _STEP_S)


def _refine(
    views: Sequence[View],
    a: int,
    b: int,
    offset_s: float,
    height: float,
    R: Floats,
    t: Floats,
    max_step_s: float = _STEP_S,
) -> Trial | None:
    fit = fit_pair([(views[a], views[b])], R, t, offset_s, most_frames=_TRIAL_FRAMES, max_step_s=max_step_s)
    return None if fit is None else Trial(fit.shift_s, height, fit)


def search_pair(views: Sequence[View], pair: Pair, lags: Floats, heights: Floats) -> None:
    """Find the geometry at the best of the offsets that correlation proposes."""
    starts: list[tuple[float, float, float, Floats, Floats]] = []
    for n, (lag, height) in enumerate(zip(lags, heights, strict=True)):
        start = start_pose(views[pair.a], views[pair.b], -float(lag))
        if start is not None:
            starts.append((start[2], -float(lag), float(height), start[0], start[1]))
        if n + 1 == _FIRST and len(starts) > 1:
            costs = sorted(s[0] for s in starts)
            if costs[0] < 0.6 * costs[1]:
                break
    starts.sort(key=lambda s: s[0])
    foul = bool(starts) and starts[0][0] > _FOUL_COST
    for first in starts[: _MANY_FITS if foul else _FITS]:
        best = first
        for nudge in (-_NUDGE, _NUDGE) if foul else ():
            offset = first[1] + nudge * views[pair.b].frame_s()
            start = start_pose(views[pair.a], views[pair.b], offset)
            if start is not None and start[2] < best[0]:
                best = (start[2], offset, first[2], start[0], start[1])
        trial = _refine(views, pair.a, pair.b, *best[1:])
        if trial is not None:
            pair.add(trial)
    if pair.trials and not np.isfinite(pair.margin(pair.trials[0].offset_s)):  # nothing else to hold it against
        here = pair.trials[0].offset_s
        for probe in _PROBES_S:
            trial = try_offset(views, pair.a, pair.b, here + probe)
            if trial is not None and abs(trial.offset_s - here) <= _APART_S:  # came back: how bad is it there?
                trial = try_offset(views, pair.a, pair.b, here + probe, held=True)
            if trial is not None:
                pair.add(trial)
    pair.searched = True


def search(
    views: Sequence[View], signals: Sequence[Floats], step_s: float, reach_s: float
) -> tuple[list[Pair], list[float | None]]:
    """All pairs of cameras with the offsets that were tried, and one offset per camera, see :func:`decide`.

    Pairs are searched in the order of how clear their correlation is, until clear pairs tie all cameras together; the
    others are only asked whether they agree, and searched where they do not.
    """
    pairs, proposals = [], {}
    for a, b in combinations(range(len(views)), 2):
        pair = Pair(a, b)
        reach = max(1, min(int(round(reach_s / step_s)), signals[a].shape[1] - 1))
        values = correlation(signals[a], signals[b], reach)
        lags, heights = peaks(values, step_s, _PEAKS)
        pair.at_zero = float(values[reach])
        if len(lags):
            pair.peak, pair.second = float(heights[0]), float(heights[1]) if len(heights) > 1 else -1.0
        proposals[a, b] = (lags, heights)
        pairs.append(pair)
    group = list(range(len(views)))
    for pair in sorted(pairs, key=lambda p: p.second - p.peak):
        if group[pair.a] == group[pair.b]:
            continue
        search_pair(views, pair, *proposals[pair.a, pair.b])
        if pair.trials and pair.margin(pair.trials[0].offset_s) >= _CLEAR:
            old, new = group[pair.b], group[pair.a]
            group = [new if g == old else g for g in group]
    offsets = decide(views, pairs)
    usual = float(np.median([p.trials[0].scale_px for p in pairs if p.trials])) if any(p.trials for p in pairs) else 0.0
    again = False
    for pair in pairs:
        there, here = offsets[pair.a], offsets[pair.b]
        if pair.searched:
            continue
        if there is not None and here is not None:
            trial = try_offset(views, pair.a, pair.b, here - there)
            if trial is not None and abs(trial.offset_s - (here - there)) < _CLOSE_S and trial.scale_px < 2.5 * usual:
                pair.add(trial)
                continue
        search_pair(views, pair, *proposals[pair.a, pair.b])
        again = True
    if again:
        offsets = decide(views, pairs)
    if any(camera_margin(pairs, offsets, k) < _VERY_CLEAR for k in range(1, len(views))):
        for pair in pairs:
            if not pair.searched:
                search_pair(views, pair, *proposals[pair.a, pair.b])
        offsets = decide(views, pairs)
    return pairs, offsets


def camera_margin(pairs: Sequence[Pair], offsets: Sequence[float | None], camera: int) -> float:
    """How much worse another moment fits, over pairs that were searched (geometric mean); 0 unknown.

    The least of two: the camera moved alone, and moved together with all that clear pairs tie it to, where camera 0 is
    not among these. Cameras that agree well with each other may still stand at the wrong moment of camera 0.
    """
    own = [p for p in pairs if camera in (p.a, p.b)]
    tied = _tied(pairs, offsets, camera)
    return min(_margin(own, offsets), np.inf if 0 in tied else _margin(_leaving(pairs, tied), offsets))


def _margin(pairs: Sequence[Pair], offsets: Sequence[float | None]) -> float:
    logs = []
    for pair in pairs:
        a, b = offsets[pair.a], offsets[pair.b]
        if pair.searched and pair.trials and a is not None and b is not None:
            margin = pair.margin(b - a)
            if np.isfinite(margin):
                logs.append(np.log(np.clip(margin, 0.5, 20.0)))
    return float(np.exp(np.mean(logs))) if logs else 0.0


def _leaving(pairs: Sequence[Pair], group: set[int]) -> list[Pair]:
    return [p for p in pairs if (p.a in group) != (p.b in group)]


def _tied(pairs: Sequence[Pair], offsets: Sequence[float | None], camera: int) -> set[int]:
    """The cameras that clear pairs tie to a camera: another moment is much worse, or was not asked for."""
    group = {camera}
    while True:
        more: set[int] = set()
        for pair in _leaving(pairs, group):
            a, b = offsets[pair.a], offsets[pair.b]
            if a is not None and b is not None and pair.margin(b - a) >= _CLEAR:
                more |= {pair.a, pair.b}
        if more <= group:
            return group
        group |= more


def gross_share(pairs: Sequence[Pair], camera: int) -> float:
    """Share of observations that fit no moment, median over the pairs of a camera at their best; 0 unknown."""
    shares = [p.trials[0].fit.gross for p in pairs if camera in (p.a, p.b) and p.trials]
    return float(np.median(shares)) if shares else 0.0


def ask(views: Sequence[View], offsets: Sequence[float | None]) -> list[Pair]:
    """All pairs at offsets that are known already."""
    pairs = []
    for a, b in combinations(range(len(views)), 2):
        pair = Pair(a, b)
        there, here = offsets[a], offsets[b]
        trial = None if there is None or here is None else try_offset(views, a, b, here - there)
        if trial is not None:
            pair.add(trial)
        pairs.append(pair)
    return pairs


def zero_ratio(views: Sequence[View], pairs: Sequence[Pair], camera: int) -> float | None:
    """How much worse a camera fits with no offset at all than at its best: least ratio of scales over its pairs."""
    ratios = []
    for pair in pairs:
        if camera in (pair.a, pair.b) and pair.trials:
            trial = pair.near(0.0) or try_offset(views, pair.a, pair.b, 0.0)
            if trial is not None:
                inside = abs(trial.offset_s) < _CLOSE_S
                ratios.append(trial.scale_px / pair.trials[0].scale_px if inside else np.inf)
    return float(min(ratios)) if ratios else None


def decide(views: Sequence[View], pairs: Sequence[Pair]) -> list[float | None]:
    """One offset per camera against the first, such that all pairs fit; None for cameras that no pair ties to it.

    Cameras join in the order of how clear their best pair is. Then each camera in turn may move to what any pair of
    it says, if that makes the sum over its pairs of log(scale) smaller; offsets that a pair has not tried are tried.
    """
    count = len(views)
    by = {(p.a, p.b): p for p in pairs}

    def pair_of(i: int, k: int) -> tuple[Pair | None, float]:
        """The pair and the sign that turns its offset into k against i."""
        return (by.get((i, k)), 1.0) if i < k else (by.get((k, i)), -1.0)

    def clear(pair: Pair) -> float:
        if not pair.trials:
            return -np.inf
        return min(pair.margin(pair.trials[0].offset_s), 20.0) / pair.trials[0].scale_px

    offsets: list[float | None] = [0.0] + [None] * (count - 1)
    while True:
        edges = [p for p in pairs if p.trials and (offsets[p.a] is None) != (offsets[p.b] is None)]
        if not edges:
            break
        best = max(edges, key=clear)
        there, back = offsets[best.a], offsets[best.b]
        if there is not None:
            offsets[best.b] = there + best.trials[0].offset_s
        elif back is not None:
            offsets[best.a] = back - best.trials[0].offset_s

    def cost(k: int, value: float) -> float:
        total = 0.0
        for i in range(count):
            other = offsets[i]
            if i == k or other is None:
                continue
            pair, sign = pair_of(i, k)
            if pair is None:
                continue
            wanted = sign * (value - other)
            trial = pair.near(wanted)
            if trial is None:
                trial = try_offset(views, pair.a, pair.b, wanted)
                if trial is not None:
                    pair.add(trial)
                    trial = trial if abs(trial.offset_s - wanted) < _CLOSE_S else None
            worst = max((t.scale_px for t in pair.trials), default=0.0)
            scale = trial.scale_px if trial is not None else worst
            if scale > 0:
                total += float(np.log(scale))
        return total

    for _ in range(3 if count > 2 else 0):
        moved = False
        for k in range(1, count):
            now = offsets[k]
            if now is None:
                continue
            wishes = [now]
            for i in range(count):
                other = offsets[i]
                pair, sign = pair_of(i, k) if i != k else (None, 1.0)
                if pair is not None and other is not None and pair.trials:
                    wish = other + sign * pair.trials[0].offset_s
                    if all(abs(wish - w) > _CLOSE_S for w in wishes):
                        wishes.append(wish)
            if len(wishes) > 1:
                choice = min(wishes, key=lambda w: cost(k, w))
                moved |= abs(choice - now) > _CLOSE_S
                offsets[k] = choice
        if not moved:
            break
    return offsets

"""How late each camera looks, from the motion of the body alone: search, refinement, clock drift, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sportcore._sync_curves import Curves, Floats, clean_xy, make_curves, without
from sportcore._sync_epipolar import Clock, PairFit, View, fit_pair, frame_misfits
from sportcore._sync_graph import Pair, ask, camera_margin, gross_share, search, zero_ratio
from sportcore._sync_offsets import motion_signals
from sportcore._sync_solve import Solution, solve_clocks
from sportcore._sync_types import CameraOffset, OffsetReport, PairOffset
from sportcore.keypoints2d.tracks_common import core_joints, nan_median
from sportcore.skeletons import Skeleton
from sportcore.types import Camera

LONG_S = 40.0  # recordings longer than this are looked at in pieces
SEARCH_S = 24.0
PIECE_S = 6.0
PIECES = 7
DRIFT_MIN_S = 20.0  # shorter recordings say nothing about clock rates
DRIFT_SIGMA = 100e-6  # a drift is known when it is this certain: what phones' clocks differ by
_MARGIN = 1.5  # the best other moment must fit this much worse
_FOUL = 0.2  # a larger share of wrong observations: cleaned more than once, and a larger margin is asked for
_FOUL_MARGIN = 2.0
_CLEANINGS = 4
_NEAR = 0.01  # width of the loss, shares of the focal length, where pose and clocks are nearly right
_ROUGH, _FULL = 120, 300  # frames of either camera in a fit
_STILL = 0.08  # joints that travel less than this share of the body stand still
_WILD = 0.06  # residuals larger than this share of the body do not show one body from two sides
_OUTLIER = 3.5  # standard deviations
_LEAVE = ("pinky", "index", "thumb", "eye", "ear", "mouth", "heel", "toe", "foot")


@dataclass(frozen=True, eq=False)
class Source:
    """One camera's raw tracks: xy (T, J, 2) px, score (T, J), times_s (T,) s, with its lens where known."""

    name: str
    xy: Floats
    score: Floats
    times_s: Floats
    camera: Camera | None
    image_size: tuple[int, int] | None

    def cut(self, start_s: float, stop_s: float) -> Source:
        """The frames from start to stop."""
        lo, hi = np.searchsorted(self.times_s, [start_s, stop_s])
        return self.frames(slice(int(lo), int(hi)))

    def frames(self, which: slice | NDArray[np.int64]) -> Source:
        """Some of the frames."""
        return replace(self, xy=self.xy[which], score=self.score[which], times_s=self.times_s[which])

    def shows_somebody(self) -> bool:
        """A joint is seen in a dozen frames."""
        return int((np.isfinite(self.xy).all(-1) & (self.score > 0)).any(1).sum()) >= 12


def body_joints(skeleton: Skeleton) -> NDArray[np.int64]:
    """Joints that are compared: all but fingers, toes and the face."""
    kept = [i for i, name in enumerate(skeleton.joints) if not any(word in name for word in _LEAVE)]
    return np.array(kept if len(kept) >= 6 else range(skeleton.n_joints), np.int64)


def _prepare(sources: Sequence[Source], skeleton: Skeleton) -> list[tuple[Floats, Curves] | None]:
    """Cleaned positions of all joints and the curves of the body's joints; None with too little in view."""
    cleaned = _clean(sources, skeleton)
    return [None if xy is None else _curves(s, xy, skeleton) for s, xy in zip(sources, cleaned, strict=True)]


def _clean(sources: Sequence[Source], skeleton: Skeleton) -> list[Floats | None]:
    """Cleaned positions of all joints; None where hardly anybody is in view."""
    out: list[Floats | None] = [None] * len(sources)
    alike: dict[int, list[int]] = {}
    for k, source in enumerate(sources):
        if source.shows_somebody():
            alike.setdefault(len(source.times_s), []).append(k)
    for members in alike.values():  # cleaning several of one length at once costs less
        xy, score, times = (np.stack([getattr(sources[k], key) for k in members]) for key in ("xy", "score", "times_s"))
        for k, clean in zip(members, clean_xy(xy, score, times, skeleton), strict=True):
            out[k] = clean
    return out


def _curves(source: Source, xy: Floats, skeleton: Skeleton) -> tuple[Floats, Curves] | None:
    joints = body_joints(skeleton)
    if np.isfinite(xy[:, joints, 0]).sum() < 60 or not _moves(xy[:, core_joints(skeleton)]):
        return None
    return xy, make_curves(source.name, xy[:, joints], source.times_s, source.camera, source.image_size)


def _moves(xy: Floats) -> bool:
    """The joints (T, J, 2) travel, the middle one of them by a share of the body's size."""
    core = xy[:, np.isfinite(xy[..., 0]).sum(0) >= 5]
    if not core.shape[1]:
        return False
    low, middle, high = np.nanpercentile(core, [5, 50, 95], axis=0)
    return bool(np.median((high - low).max(-1)) > _STILL * np.ptp(middle, axis=0).sum())


def _activity(source: Source, joints: NDArray[np.int64], edges: Floats) -> Floats:
    """How much a camera shows in each bin of time: share of joints seen times how far they move, statures apart."""
    stride = max(1, len(source.times_s) // 4000)
    xy, t = source.xy[::stride, joints], source.times_s[::stride]
    seen = np.isfinite(xy).all(-1) & (source.score[::stride, joints] > 0)
    step = np.abs(np.diff(np.where(seen[..., None], xy, np.nan), axis=0)).sum(-1)
    known = np.isfinite(step)
    usual = float(np.median(step[known])) if known.any() else 1.0
    energy = np.where(known, np.minimum(step, 4 * usual), 0.0).sum(1)
    total, _ = np.histogram(t[1:], edges, weights=energy)
    return np.asarray(total / max(float(total.max(initial=0.0)), 1e-12))


def plan(sources: Sequence[Source], skeleton: Skeleton, reach_s: float) -> list[tuple[float, float]]:
    """Stretches of time to look at, the one to search in first; all of it where the recording is short."""
    start = min(float(s.times_s[0]) for s in sources)
    stop = max(float(s.times_s[-1]) for s in sources)
    if stop - start <= max(LONG_S, 6 * reach_s):
        return [(start, stop + 1e-6)]
    width = max(SEARCH_S, 6 * reach_s)
    edges = np.arange(start, stop + 1.0, 1.0)
    joints = body_joints(skeleton)
    level = np.min([_activity(s, joints, edges) for s in sources], axis=0)
    sums = np.concatenate([[0.0], np.cumsum(level)])

    def best(lo: float, hi: float, length: float) -> tuple[float, float]:
        first, last = int(lo - start), max(int(hi - start - length), int(lo - start))
        n = int(length)
        places = np.arange(first, min(last, len(level) - n) + 1)
        if not len(places):
            return (lo, hi)
        k = int(places[int(np.argmax(sums[places + n] - sums[places]))])
        return (start + k, start + k + length)

    main = best(start, stop, width)
    pieces = [main]
    cuts = np.linspace(start, stop, PIECES + 1)
    for lo, hi in zip(cuts[:-1], cuts[1:], strict=True):
        piece = best(float(lo), float(hi), min(PIECE_S, float(hi - lo)))
        if piece[1] <= main[0] or piece[0] >= main[1]:
            pieces.append(piece)
    middle = 0.5 * sum(main)
    return pieces[:1] + sorted(pieces[1:], key=lambda p: abs(0.5 * sum(p) - middle))


def measure_motion(
    sources: Sequence[Source], skeleton: Skeleton, reach_s: float, *, drift: bool = True
) -> OffsetReport:
    """Lateness of every camera against the first, from the motion of one person; see :mod:`sportcore.sync`.

    ``reach_s``: two cameras differ by at most this.
    """
    return _measure(sources, skeleton, reach_s, None, drift)


def refine_motion(
    sources: Sequence[Source], skeleton: Skeleton, start_s: Floats, *, drift: bool = False
) -> OffsetReport:
    """The same from a start (C,) in seconds within about two frames; other moments are not tried."""
    return _measure(sources, skeleton, float(np.ptp(start_s)) + 0.1, start_s, drift)


def _measure(
    sources: Sequence[Source], skeleton: Skeleton, reach_s: float, given: Floats | None, drift: bool
) -> OffsetReport:
    names = [s.name for s in sources]
    rates = [1 / float(np.median(np.diff(s.times_s))) if len(s.times_s) > 1 else np.nan for s in sources]
    fps = float(np.nanmedian(rates))
    pieces = plan(sources, skeleton, reach_s)
    main = [s.cut(*pieces[0]) if len(pieces) > 1 else s for s in sources]
    ready = _prepare(main, skeleton)
    live = [i for i, r in enumerate(ready) if r is not None]
    if len(live) < 2 or 0 not in live:
        return _nothing(
            names, fps, {i: "no person seen moving for long enough" for i in range(len(names)) if i not in live}
        )
    views = [View(r[1], Clock(), np.arange(len(r[1].times_s))) for r in ready if r is not None]
    if given is None:
        signals, step = _signals([r for r in ready if r is not None], skeleton, fps)
        pairs, offsets = search(views, signals, step, reach_s)
    else:
        offsets = [float(given[i] - given[live[0]]) for i in live]
        pairs = ask(views, offsets)
    start, stop = min(float(s.times_s[0]) for s in sources), max(float(s.times_s[-1]) for s in sources)
    reference, length = 0.5 * (start + stop), stop - start
    drift = drift and length >= DRIFT_MIN_S
    tied = [k for k, o in enumerate(offsets) if o is not None]
    clocks = {k: Clock(float(offsets[k] or 0.0), 0.0, reference) for k in tied}
    stretches = [{k: views[k] for k in tied}]
    solution = _refine(stretches, pairs, clocks, reference, drift and len(pieces) > 1, _ROUGH)
    for found in _further(pieces[1:], {k: sources[live[k]] for k in tied}, solution.clocks, skeleton):
        if len(found) < 2:
            continue
        more = {k: View(c, solution.clocks[k], np.arange(len(c.times_s))) for k, c in found.items()}
        extended = _refine([*stretches, more], pairs, solution.clocks, reference, drift, _ROUGH)
        if extended.scale_px <= 1.5 * solution.scale_px:
            stretches.append(more)
            solution = extended
    for _ in range(_CLEANINGS):  # better clocks tell outliers better
        kept, removed = zip(*(_without_outliers(s, solution) for s in stretches), strict=True)
        solution = _refine(kept, pairs, solution.clocks, reference, drift, _FULL)
        if max(removed) < _FOUL:
            break
    return _report(names, live, views, fps, length, pairs, offsets, solution, reference, given is not None)


def _signals(ready: Sequence[tuple[Floats, Curves]], skeleton: Skeleton, fps: float) -> tuple[list[Floats], float]:
    """Signals of all cameras on one grid, and its spacing."""
    first = min(float(c.times_s[0]) for _, c in ready)
    last = max(float(c.times_s[-1]) for _, c in ready)
    step = min(1 / fps, 0.02)
    grid: Floats = first + step * np.arange(int((last - first) / step) + 1, dtype=np.float64)
    gap = max(0.2, 2.2 / fps)
    return [motion_signals(xy, c.times_s, grid, skeleton, gap) for xy, c in ready], step


def _further(
    pieces: Sequence[tuple[float, float]],
    sources: Mapping[int, Source],
    clocks: Mapping[int, Clock],
    skeleton: Skeleton,
) -> list[dict[int, Curves]]:
    """Curves of further stretches of world time, by camera.

    The clocks need not be exact here: they only say where to cut. All stretches of a camera are cleaned as one track.
    """
    out: list[dict[int, Curves]] = [{} for _ in pieces]
    if not pieces:
        return out
    order = sorted(range(len(pieces)), key=lambda n: pieces[n])
    cuts: dict[int, list[NDArray[np.int64]]] = {k: [] for k in sources}
    for n in order:
        spans = {k: np.searchsorted(s.times_s, clocks[k].own(np.array(pieces[n]))) for k, s in sources.items()}
        frames = min(hi - lo for lo, hi in spans.values())
        for k, (lo, hi) in spans.items():  # cameras of one rate: pieces of one length
            cuts[k].append(np.arange(lo, lo + frames if hi - lo <= frames + 2 else hi))
    joined = [s.frames(np.concatenate(cuts[k])) for k, s in sources.items()]
    for k, xy in zip(sources, _clean(joined, skeleton), strict=True):
        if xy is None:
            continue
        ends = np.cumsum([len(c) for c in cuts[k]])
        for n, part, clean in zip(order, cuts[k], np.split(xy, ends[:-1]), strict=True):
            source = sources[k].frames(part)
            ready = _curves(source, clean, skeleton) if source.shows_somebody() else None
            if ready is not None:
                out[n][k] = ready[1]
    return out


def _refine(
    stretches: Sequence[dict[int, View]],
    pairs: Sequence[Pair],
    clocks: dict[int, Clock],
    reference: float,
    drift: bool,
    frames: int,
) -> Solution:
    """All pairs fitted over all stretches with so many frames, then one clock per camera."""
    poses = {}
    for p in pairs:
        if p.trials and p.a in clocks and p.b in clocks:
            trial = p.near(clocks[p.b].offset_s - clocks[p.a].offset_s) or p.trials[0]
            poses[p.a, p.b] = (trial.fit.R, trial.fit.t)
    fits: dict[tuple[int, int], PairFit] = {}
    for (a, b), (R, t) in poses.items():
        both = [
            (replace(s[a], clock=clocks[a]), replace(s[b], clock=clocks[b])) for s in stretches if a in s and b in s
        ]
        fit = fit_pair(both, R, t, rate=drift, reference=reference, most_frames=frames, wide=_NEAR) if both else None
        if fit is not None and fit.scale_px <= _WILD * min(v.curves.extent_px() for v in both[0]):
            fits[a, b] = fit
    return solve_clocks(fits, clocks, drift)


def _without_outliers(views: dict[int, View], solution: Solution) -> tuple[dict[int, View], float]:
    """The views without samples that lie off the epipolar lines of most other cameras, their curves made anew.

    With the largest share of a camera's samples that was taken out.
    """
    views = {k: replace(v, clock=solution.clocks[k]) for k, v in views.items()}
    found: dict[int, list[Floats]] = {k: [] for k in views}
    for (a, b), fit in solution.fits.items():
        if (a, b) in solution.used and a in views and b in views:
            for k, misfit in zip((a, b), frame_misfits(views[a], views[b], fit), strict=True):
                found[k].append(misfit)
    out, most = {}, 0.0
    for k, view in views.items():
        bad = nan_median(np.stack(found[k]), axis=0) > _OUTLIER if found[k] else np.zeros(0, bool)
        if bad.any():
            most = max(most, float(bad.sum() / max(np.isfinite(view.curves.x[..., 0]).sum(), 1)))
            view = replace(view, curves=without(view.curves, bad))
        out[k] = view
    return out, most


def _alone(solution: Solution, camera: int) -> bool:
    """One pair at most vouches for a camera although others could."""
    mine = [key for key in solution.fits if camera in key]
    return len(mine) > 1 and sum(key in solution.used for key in mine) < 2


def _nothing(names: Sequence[str], fps: float, why: dict[int, str]) -> OffsetReport:
    cameras = [CameraOffset(names[0], 0.0, 0.0, "none", 1.0)]
    for i, name in enumerate(names[1:], 1):
        reason = why.get(i) or (f"{names[0]}: {why[0]}" if 0 in why else "no other camera to compare with")
        cameras.append(CameraOffset(name, None, None, "none", 0.0, reason=reason))
    return OffsetReport(tuple(cameras), "motion", fps)


def _report(
    names: Sequence[str],
    live: Sequence[int],
    views: Sequence[View],
    fps: float,
    length: float,
    pairs: Sequence[Pair],
    offsets: Sequence[float | None],
    solution: Solution,
    reference: float,
    given: bool,
) -> OffsetReport:
    cameras = [CameraOffset(names[0], 0.0, 0.0, "motion", 1.0, reference_s=reference)]
    at = {i: k for k, i in enumerate(live)}
    for i, name in enumerate(names[1:], 1):
        k = at.get(i)
        if k is None or k not in solution.linked:
            why = (
                "no person seen moving for long enough" if k is None else "no moment fits that another camera shows too"
            )
            zero = None if k is None else zero_ratio(views, pairs, k)
            cameras.append(CameraOffset(name, None, None, "none", 0.0, reason=why, zero_ratio=zero))
            continue
        clock, sigma = solution.clocks[k], solution.sigma_s[k]
        margin = np.inf if given else camera_margin(pairs, offsets, k)
        reason = ""
        if margin < (_MARGIN if gross_share(pairs, k) < _FOUL else _FOUL_MARGIN):
            reason = "several moments fit about as well (periodic or too little motion)"
        elif _alone(solution, k):
            reason = "the pairs of cameras contradict each other"
        elif sigma * fps > 1.0:
            reason = f"uncertain by {sigma * 1000:.0f} ms"
        drift, drift_sigma, why = None, None, ""
        if solution.drift_sigma is None:
            why = f"not looked for, or too short: 100 ppm make {length * 0.1:.1f} ms in {length:.0f} s"
        elif solution.drift_sigma[k] > DRIFT_SIGMA:
            why = f"uncertain by {solution.drift_sigma[k] * 1e6:.0f} ppm"
        else:
            drift, drift_sigma = clock.drift, solution.drift_sigma[k]
        confidence = 0.0 if margin <= 1 else (1 - 1 / margin**2) * (1.0 if not reason else 0.5)
        cameras.append(
            CameraOffset(
                name, clock.offset_s, sigma, "motion", float(confidence), drift, drift_sigma, reference, reason, why,
                zero_ratio(views, pairs, k) if reason else None,
            )
        )  # fmt: skip
    rows = []
    for p in pairs:
        fit = solution.fits.get((p.a, p.b))
        used = (p.a, p.b) in solution.used
        both = p.a in solution.clocks and p.b in solution.clocks
        value = solution.clocks[p.b].offset_s - solution.clocks[p.a].offset_s if both else None
        here = None if value is None else p.margin(value)
        why = "" if used else "no moment fits both" if fit is None else "contradicts the other pairs"
        rows.append(
            PairOffset(
                names[live[p.a]], names[live[p.b]], solution.pair_offset_s.get((p.a, p.b)),
                None if fit is None else fit.sigma_s, p.peak, p.at_zero, p.second, used, why,
                None if fit is None else fit.scale_px, None if here is None or not np.isfinite(here) else here,
            )
        )  # fmt: skip
    return OffsetReport(tuple(cameras), "motion", fps, tuple(rows))

"""Tracks of several cameras on one common time base.

:func:`align_cameras` takes what a detector found in each video, with the true time of each frame, and lines the frames
up: by their times, and, where the motion shows it beyond doubt or the user knows it, by how late each camera looks.
Nothing is invented: cameras whose frame rates or lengths differ are refused unless an option allows resampling or
trimming, and the report says what was measured and what was done. See ``docs/tracks.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore._sync_offsets import PairOffset, motion_signals, pair_offset, solve_offsets
from sportcore.errors import InputError
from sportcore.keypoints2d.tracks import CleanOptions, clean_tracks
from sportcore.skeletons import Skeleton, get_skeleton
from sportcore.types import Keypoints2D

__all__ = ["CameraSync", "CameraTrack", "PairOffset", "SyncOptions", "SyncReport", "align_cameras", "measure_offsets"]

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CameraTrack:
    """Detections of one person in one video.

    Attributes:
        name: of the camera.
        xy: (T, J, 2) px, NaN where missing.
        score: (T, J) in [0, 1].
        times_s: (T,) seconds, true time of each frame; None: frames at ``fps`` from 0.
        image_size: (width, height) px, or None.
        fps: nominal frame rate; only used without ``times_s``.
    """

    name: str
    xy: Floats
    score: Floats
    times_s: Floats | None = None
    image_size: tuple[int, int] | None = None
    fps: float | None = None

    def times(self) -> Floats:
        """(T,) seconds.

        Raises:
            InputError: no times and no frame rate, or times that do not fit or do not increase.
        """
        frames = len(self.xy)
        if self.times_s is None:
            if self.fps is None or not self.fps > 0:
                raise InputError(f"{self.name}: neither frame times nor a frame rate are known.", "Give fps.")
            return np.arange(frames) / self.fps
        try:
            times = np.asarray(self.times_s, float)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.name}: the frame times are not numbers ({error}).") from error
        if times.shape != (frames,):
            raise InputError(f"{self.name}: {frames} frames but times of shape {times.shape}.")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError(f"{self.name}: the frame times are not finite and increasing.", "Re-encode the video.")
        return times


@dataclass(frozen=True)
class SyncOptions:
    """How cameras are brought onto one time base.

    Attributes:
        resample: allow frame rates that differ by more than ``fps_tolerance``: positions are then interpolated at the
            times of the common base, only between observed samples at most ``max_gap_s`` apart, with a lower score.
        fps_tolerance: relative difference of frame rates that counts as equal.
        trim: cut all cameras to their common time even where the lengths of the videos differ by more than
            ``length_tolerance``.
        length_tolerance: relative difference of durations that is trimmed without asking.
        offsets: "auto" measures how late each camera looks and applies it where the evidence is clear; "none" does
            not measure; a table of camera name -> seconds is applied as it is (positive: the camera looks later than
            the first frame times say).
        max_offset_s: largest lateness that is looked for.
        max_gap_s: see ``resample``.
        shared_clock: the frame times of all cameras come from one clock, so their first times count. Otherwise every
            video starts at its own zero.
    """

    resample: bool = False
    fps_tolerance: float = 0.005
    trim: bool = False
    length_tolerance: float = 0.05
    offsets: str | Mapping[str, float] = "auto"
    max_offset_s: float = 1.0
    max_gap_s: float = 0.1
    shared_clock: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.offsets, str) and self.offsets not in ("auto", "none"):
            raise InputError(f"offsets = {self.offsets!r} is not known.", 'Use "auto", "none" or a table of seconds.')
        for name in ("fps_tolerance", "length_tolerance", "max_offset_s", "max_gap_s"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not np.isfinite(self.max_offset_s):
            raise InputError("max_offset_s must be finite.", "Seconds; 1.0, say.")
        if not isinstance(self.offsets, str):
            for name, value in self.offsets.items():
                if not abs(value) < 1e9:  # also NaN
                    raise InputError(f"offsets: {name} = {value} is not a number of seconds.")


@dataclass(frozen=True)
class CameraSync:
    """One camera on the common time base.

    Attributes:
        name: of the camera.
        fps: measured frame rate.
        frames: frames of the video.
        first_time_s: time of its first frame as given.
        duration_s: last minus first frame time, plus one frame.
        trimmed_start, trimmed_end: frames outside the common time.
        rows_without_frame: rows of the common base that no frame of this camera falls into.
        offset_s: measured lateness against the first camera; None where it could not be measured with confidence.
        offset_sigma_s: its standard deviation.
        applied_offset_s: lateness that was applied.
    """

    name: str
    fps: float
    frames: int
    first_time_s: float
    duration_s: float
    trimmed_start: int
    trimmed_end: int
    rows_without_frame: int
    offset_s: float | None
    offset_sigma_s: float | None
    applied_offset_s: float


@dataclass(frozen=True)
class SyncReport:
    """What was measured and what was done.

    Attributes:
        cameras: per camera.
        pairs: measured lateness of every camera pair.
        fps: of the common base.
        frames: T of the common base.
        resampled: positions were interpolated.
        notes: what was done, in sentences.
        warnings: what the reader should look at.
        options: the options used.
    """

    cameras: tuple[CameraSync, ...]
    pairs: tuple[PairOffset, ...]
    fps: float
    frames: int
    resampled: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        out = asdict(self)
        for key in ("cameras", "pairs", "notes", "warnings"):
            out[key] = list(out[key])
        return out


def align_cameras(
    tracks: Sequence[CameraTrack], skeleton: str | Skeleton, options: SyncOptions | None = None
) -> tuple[Keypoints2D, SyncReport]:
    """Put the tracks of all cameras on one time base.

    Frames keep their positions; ``times`` of the result (C, T) are the true times, lateness included. Row k of the
    common base holds, for each camera, the frame whose time lies nearest to k / fps (at most half a frame away), or
    NaN. With ``resample`` and different frame rates the positions are interpolated at k / fps instead.

    Args:
        tracks: one per camera; not changed.
        skeleton: joint order of all tracks.
        options: see :class:`SyncOptions`.

    Raises:
        InputError: shapes that do not fit, names given twice, no times, frame rates or lengths that differ by more
            than allowed, no common time, an offset for a camera that is not there.
    """
    opt = options or SyncOptions()
    skel = get_skeleton(skeleton)
    tracks = _checked(tracks, skel)
    names = [track.name for track in tracks]
    raw = [track.times() for track in tracks]
    rates = [_rate(track, times) for track, times in zip(tracks, raw, strict=True)]
    notes: list[str] = []
    warnings: list[str] = []
    spread = max(rates) / min(rates) - 1
    different = spread > opt.fps_tolerance
    listed = ", ".join(f"{name} {rate:.3f}" for name, rate in zip(names, rates, strict=True))
    if different and not opt.resample:
        raise InputError(
            f"The cameras have different frame rates: {listed} frames per second.",
            "Record all cameras at one rate, or allow interpolation with resample = true under [sync].",
        )
    fps = max(rates) if different else float(np.median(rates))
    base = min(float(times[0]) for times in raw) if opt.shared_clock else None
    starts = [float(times[0]) if base is None else base for times in raw]
    local = [times - start for times, start in zip(raw, starts, strict=True)]
    _check_extent(names, local, fps)
    pairs: list[PairOffset] = []
    measured: dict[str, float | None] = dict.fromkeys(names)
    sigmas: dict[str, float | None] = dict.fromkeys(names)
    applied = dict.fromkeys(names, 0.0)
    if isinstance(opt.offsets, str):
        if opt.offsets == "auto" and len(tracks) > 1:
            pairs, measured, sigmas = measure_offsets(tracks, local, skel, fps, opt)
            applied = _decide(names, measured, sigmas, pairs, fps, notes, warnings)
    else:
        unknown = sorted(set(opt.offsets) - set(names))
        if unknown:
            raise InputError(f"offsets name {unknown[0]!r}; the cameras are {', '.join(names)}.", "Use camera names.")
        applied.update({name: float(value) for name, value in opt.offsets.items()})
        notes.append("Offsets were applied as given: " + _offsets_text(applied) + ".")
    world = [times + applied[name] for name, times in zip(names, local, strict=True)]
    start, stop = max(float(t[0]) for t in world), min(float(t[-1]) for t in world)
    durations = [float(t[-1] - t[0]) + 1 / rate for t, rate in zip(world, rates, strict=True)]
    frames = int(np.floor((stop - start) * fps + 1 + 1e-6))
    if frames < 1:
        raise InputError("The cameras have no time in common.", "Check offsets, and that the videos belong together.")
    lost = max(durations) - frames / fps
    if lost > 1.5 / fps:
        text = ", ".join(f"{name} {d:.2f} s" for name, d in zip(names, durations, strict=True))
        if max(durations) - min(durations) > opt.length_tolerance * max(durations) and not opt.trim:
            raise InputError(
                f"The videos have different lengths: {text}; {frames / fps:.2f} s in common.",
                "Check that the videos belong together, or cut them to the common time with trim = true under [sync].",
            )
        notes.append(f"Cut to the common {frames / fps:.2f} s (lengths: {text}).")
    grid = start + np.arange(frames) / fps
    xy = np.full((len(tracks), frames, skel.n_joints, 2), np.nan)
    score = np.zeros(xy.shape[:3])
    times = np.tile(grid, (len(tracks), 1))
    entries = []
    for c, (track, t) in enumerate(zip(tracks, world, strict=True)):
        position, value = np.asarray(track.xy, float), np.asarray(track.score, float)
        if different:
            xy[c], score[c] = _interpolate(position, value, t, grid, opt.max_gap_s)
            empty = int((np.abs(t[np.searchsorted(t, grid).clip(0, len(t) - 1)] - grid) > 1 / rates[c]).sum())
        else:
            row, frame = _nearest_rows(t, grid, fps)
            xy[c, row], score[c, row], times[c, row] = position[frame], value[frame], t[frame]
            empty = frames - len(row)
        if empty > 0.02 * frames:
            warnings.append(f"{track.name}: {empty} of {frames} rows have no frame; the camera dropped frames.")
        entries.append(
            CameraSync(
                name=track.name,
                fps=round(rates[c], 4),
                frames=len(t),
                first_time_s=float(raw[c][0]),
                duration_s=round(durations[c], 4),
                trimmed_start=int((t < start - 0.5 / fps).sum()),
                trimmed_end=int((t > grid[-1] + 0.5 / fps).sum()),
                rows_without_frame=empty,
                offset_s=measured[track.name],
                offset_sigma_s=sigmas[track.name],
                applied_offset_s=applied[track.name],
            )
        )
    if different:
        notes.append(f"Resampled to {fps:.3f} frames per second ({listed}); interpolated samples carry a lower score.")
    sizes = [track.image_size for track in tracks]
    order = _increasing(times, grid, fps)
    keypoints = Keypoints2D(
        xy,
        score,
        skel,
        fps=fps,
        times=order,
        image_sizes=np.array(sizes) if all(size is not None for size in sizes) else None,
        names=tuple(names),
    )
    plain = asdict(opt) | {"offsets": opt.offsets if isinstance(opt.offsets, str) else dict(opt.offsets)}
    report = SyncReport(
        tuple(entries), tuple(pairs), fps, frames, different, tuple(notes), tuple(warnings), options=plain
    )
    for warning in warnings:
        log.warning(warning)
    return keypoints, report


def measure_offsets(
    tracks: Sequence[CameraTrack],
    times: Sequence[Floats],
    skeleton: Skeleton,
    fps: float,
    options: SyncOptions,
) -> tuple[list[PairOffset], dict[str, float | None], dict[str, float | None]]:
    """Lateness of every camera against the first, in seconds, from the motion of the body; None where unclear.

    Returns the pairs, the offsets and their standard deviations by camera name. ``times`` (T,) are the frame times to
    compare. Outliers and left/right swaps are taken out first, in copies.
    """
    names = [track.name for track in tracks]
    first, last = min(float(t[0]) for t in times), max(float(t[-1]) for t in times)
    grid = first + np.arange(int((last - first) * fps) + 1) / fps
    signals: dict[str, Floats | None] = {}
    for track, t in zip(tracks, times, strict=True):
        seen = np.isfinite(np.asarray(track.xy, float)).all(-1) & (np.asarray(track.score) > 0)
        signals[track.name] = None
        if seen.any() and len(t) >= 10 and len(grid) >= 10:
            single = Keypoints2D(np.asarray(track.xy)[None], np.asarray(track.score)[None], skeleton, times=t[None])
            clean = clean_tracks(single, CleanOptions(swaps="time"), quiet=True).keypoints.xy[0]
            signals[track.name] = motion_signals(clean, t, grid, skeleton, max_gap_s=2 * options.max_gap_s)
    pairs = []
    for a, b in combinations(names, 2):
        sa, sb = signals[a], signals[b]
        if sa is None or sb is None:
            pairs.append(PairOffset(a, b, None, None, 0.0, 0.0, 0.0, False, "no person in one of them"))
        else:
            pairs.append(pair_offset(sa, sb, (a, b), 1 / fps, options.max_offset_s))
    offsets, sigmas = solve_offsets(pairs, names)
    return pairs, offsets, sigmas


def _checked(tracks: Sequence[CameraTrack], skeleton: Skeleton) -> list[CameraTrack]:
    out = list(tracks)
    if not out:
        raise InputError("No camera was given.")
    names = [track.name for track in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Camera {twice[0]!r} is given twice.", "Give every camera its own name.")
    for k, track in enumerate(out):
        try:
            out[k] = track = replace(track, xy=np.asarray(track.xy, float), score=np.asarray(track.score, float))
        except (TypeError, ValueError) as error:
            raise InputError(f"{track.name}: xy and score must be regular arrays of numbers ({error}).") from error
        shape, scores = np.shape(track.xy), np.shape(track.score)
        if len(shape) != 3 or shape[1:] != (skeleton.n_joints, 2) or scores != shape[:2]:
            raise InputError(
                f"{track.name}: xy {shape} and score {scores} do not fit (T, {skeleton.n_joints}, 2) and "
                f"(T, {skeleton.n_joints}) of {skeleton.name}."
            )
        if shape[0] < 2:
            raise InputError(f"{track.name}: {shape[0]} frames are too few.", "Give at least two frames per camera.")
    return out


def _check_extent(names: Sequence[str], times: Sequence[Floats], fps: float) -> None:
    """Refuse frame times that span far more than the videos have frames; a wild time stamp would fill the memory."""
    first, last = min(float(t[0]) for t in times), max(float(t[-1]) for t in times)
    longest = max(len(t) for t in times)
    if not (last - first) * fps <= 20.0 * longest + 100:
        listed = ", ".join(f"{n} {t[0]:.6g} to {t[-1]:.6g} s" for n, t in zip(names, times, strict=True))
        raise InputError(
            f"The frame times span {last - first:.4g} s at {fps:.4g} frames per second, but the longest video has "
            f"{longest} frames ({listed}).",
            "Check the frame times, or re-encode the video.",
        )


def _rate(track: CameraTrack, times: Floats) -> float:
    """Frame rate from the median interval, made exact by the whole span where frames are regular."""
    steps = np.diff(times)
    usual = float(np.median(steps))
    whole = np.round(steps / usual)  # a dropped frame is an interval of two
    return float(whole.sum() / (times[-1] - times[0]))


def _decide(
    names: list[str],
    measured: Mapping[str, float | None],
    sigmas: Mapping[str, float | None],
    pairs: Sequence[PairOffset],
    fps: float,
    notes: list[str],
    warnings: list[str],
) -> dict[str, float]:
    """Which measured offsets are applied: larger than three quarters of a frame and than four of their sigmas."""
    applied = dict.fromkeys(names, 0.0)
    for name in names[1:]:
        offset, sigma = measured[name], sigmas[name]
        if offset is None or sigma is None:
            why = sorted({p.reason for p in pairs if name in (p.a, p.b) and p.reason})
            reason = "; ".join(why) or "not linked"
            notes.append(f"{name}: its lateness could not be measured ({reason}); left as it is.")
        elif abs(offset) > max(0.75 / fps, 4 * sigma):
            applied[name] = offset
            warnings.append(
                f"{name} looks {abs(offset) * 1000:.0f} ms {'later' if offset > 0 else 'earlier'} than {names[0]} "
                f"(+- {sigma * 1000:.0f} ms, {offset * fps:.1f} frames); this was corrected."
            )
        else:
            notes.append(
                f"{name}: lateness against {names[0]} {offset * 1000:+.0f} +- {sigma * 1000:.0f} ms; "
                "nothing to correct."
            )
    return applied


def _offsets_text(offsets: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value * 1000:+.1f} ms" for name, value in offsets.items())


def _nearest_rows(times: Floats, grid: Floats, fps: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the grid and the frame that falls into each: nearest in time, each frame and each row used once.

    A constant phase of the frames against the grid is taken out before rounding, so that frames half-way between two
    rows do not jump to and fro.
    """
    place = (times - grid[0]) * fps
    turn = np.exp(2j * np.pi * place).mean()
    phase = float(np.angle(turn)) / (2 * np.pi) if abs(turn) > 0.8 else 0.0
    row = np.round(place - phase).astype(np.int64)
    inside = (row >= 0) & (row < len(grid))
    row, frame = row[inside], np.flatnonzero(inside)
    off = np.abs(times[frame] - grid[row]) if len(row) else np.zeros(0)
    order = np.lexsort((off, row))
    row, frame = row[order], frame[order]
    first = np.concatenate([[True], np.diff(row) > 0]) if len(row) else np.zeros(0, bool)
    return row[first], frame[first]


def _interpolate(xy: Floats, score: Floats, times: Floats, grid: Floats, max_gap_s: float) -> tuple[Floats, Floats]:
    """Positions and scores at the grid times between observed samples at most ``max_gap_s`` apart.

    Linear in time; the score is the lower of the two neighbours', times 1 - 0.3 * (distance to the nearer one / half
    the gap), so that an interpolated sample counts less than an observed one.
    """
    out, value = np.full((len(grid), *xy.shape[1:]), np.nan), np.zeros((len(grid), xy.shape[1]))
    seen = np.isfinite(xy).all(-1) & (score > 0)
    for j in range(xy.shape[1]):
        at = np.flatnonzero(seen[:, j])
        if len(at) < 2:
            continue
        t = times[at]
        after = np.clip(np.searchsorted(t, grid), 1, len(t) - 1)
        before = after - 1
        gap = t[after] - t[before]
        w = (grid - t[before]) / gap
        fine = (w >= -1e-9) & (w <= 1 + 1e-9) & ((gap <= max_gap_s) | (np.abs(w - np.round(w)) < 1e-9))
        w = np.clip(w, 0, 1)
        a, b = at[before], at[after]
        out[fine, j] = (xy[a, j] + w[:, None] * (xy[b, j] - xy[a, j]))[fine]
        exact = np.where(w < 0.5, score[a, j], score[b, j])
        mixed = np.minimum(score[a, j], score[b, j]) * (1 - 0.6 * np.minimum(w, 1 - w))
        value[fine, j] = np.where(np.minimum(w, 1 - w) < 1e-9, exact, mixed)[fine]
    return out, value


def _increasing(times: Floats, grid: Floats, fps: float) -> Floats:
    """Times (C, T) in which rows without a frame carry the time of the grid, kept strictly increasing."""
    out = times.copy()
    for row in out:
        wrong = np.flatnonzero(np.diff(row) <= 0)
        for k in wrong:  # an empty row next to a late frame
            row[k + 1] = max(row[k + 1], row[k] + 1e-3 / fps)
    return out

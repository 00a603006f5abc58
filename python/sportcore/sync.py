"""Tracks of several cameras on one common time base.

:func:`align_cameras` takes what a detector found in each video, with the true time of each frame, and lines the frames
up: by their times, and, where motion or sound shows it beyond doubt or the user knows it, by how late each camera
looks. Nothing is invented: cameras whose frame rates or lengths differ are refused unless an option allows resampling
or trimming, and the report says what was measured and what was done.

:func:`start_offsets`, :func:`motion_offsets`, :func:`audio_offsets` and :func:`metadata_offsets` only measure. See
``docs/sync.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sportcore._sync_audio import audio_offsets
from sportcore._sync_choose import Choice, choose
from sportcore._sync_epipolar import Clock
from sportcore._sync_metadata import metadata_offsets
from sportcore._sync_motion import Source, measure_motion, refine_motion
from sportcore._sync_rows import increasing, interpolate, nearest_rows
from sportcore._sync_tracks import CameraTrack, check_extent, checked, frame_rate, in_picture
from sportcore._sync_types import REMEDY, TABLE_HEADER, CameraOffset, OffsetReport, PairOffset
from sportcore.errors import InputError
from sportcore.skeletons import Skeleton, get_skeleton
from sportcore.types import Camera, Keypoints2D, Rig

__all__ = [
    "REMEDY", "TABLE_HEADER", "CameraOffset", "CameraSync", "CameraTrack", "OffsetReport", "PairOffset", "SyncOptions",
    "SyncReport", "align_cameras", "audio_offsets", "metadata_offsets", "motion_offsets", "refine_offsets_epipolar",
    "start_offsets",
]  # fmt: skip

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


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
        method: how lateness is found. "auto": from the motion of the athlete, and from sound where the videos have
            it; what is clear is applied, the rest is left as it is and said. "motion", "audio", "metadata" (time
            codes): only so, and it is an error where that does not show it. "none": not at all.
        offsets: "auto" leaves it to ``method``; "none" does not measure; a table of camera name -> seconds is applied
            as it is (positive: the camera looks later than the first frame times say).
        max_offset_s: largest lateness that is looked for, either way: two cameras may differ by twice as much. Sound
            is searched over half of the recording. With ``shared_clock`` there is no search by sound.
        drift: look for clocks that run at different rates, and correct them.
        distances_m: camera name -> distance from the clap, for the time that sound needs (2.9 ms per metre).
        max_gap_s: see ``resample``.
        shared_clock: the frame times of all cameras come from one clock, so their first times count. Otherwise every
            video starts at its own zero.
    """

    resample: bool = False
    fps_tolerance: float = 0.005
    trim: bool = False
    length_tolerance: float = 0.05
    method: Literal["auto", "motion", "audio", "metadata", "none"] = "auto"
    offsets: str | Mapping[str, float] = "auto"
    max_offset_s: float = 2.0
    drift: bool = True
    distances_m: Mapping[str, float] = field(default_factory=dict)
    max_gap_s: float = 0.1
    shared_clock: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.offsets, str) and self.offsets not in ("auto", "none"):
            raise InputError(f"offsets = {self.offsets!r} is not known.", 'Use "auto", "none" or a table of seconds.')
        if self.method not in ("auto", "motion", "audio", "metadata", "none"):
            raise InputError(
                f"method = {self.method!r} is not known.", 'Use "auto", "motion", "audio", "metadata" or "none".'
            )
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
        source, confidence, reason: where the offset comes from, see :class:`CameraOffset`.
        drift, drift_sigma: rate of its clock against the first camera's, seconds per second; None where not known.
        applied_drift: what was applied of it.
        reference_s: time after the start of this camera at which the offset holds.
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
    source: str = "none"
    confidence: float = 0.0
    reason: str = ""
    drift: float | None = None
    drift_sigma: float | None = None
    applied_drift: float = 0.0
    reference_s: float = 0.0


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
        sure: nothing speaks against the time base: every camera is either measured or fits as it is.
    """

    cameras: tuple[CameraSync, ...]
    pairs: tuple[PairOffset, ...]
    fps: float
    frames: int
    resampled: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        out = asdict(self)
        for key in ("cameras", "pairs", "notes", "warnings"):
            out[key] = list(out[key])
        return out


def align_cameras(
    tracks: Sequence[CameraTrack],
    skeleton: str | Skeleton,
    options: SyncOptions | None = None,
    *,
    intrinsics: Rig | None = None,
    videos: Mapping[str, str | Path] | None = None,
) -> tuple[Keypoints2D, SyncReport]:
    """Put the tracks of all cameras on one time base.

    Frames keep their positions; ``times`` of the result (C, T) are the true times, lateness included. Row k of the
    common base holds, for each camera, the frame whose time lies nearest to k / fps (at most half a frame away), or
    NaN. With ``resample`` and different frame rates the positions are interpolated at k / fps instead.

    Args:
        tracks: one per camera; not changed.
        skeleton: joint order of all tracks.
        options: see :class:`SyncOptions`.
        intrinsics: lenses of the cameras, by name or in the same order (poses are not used); an assumed focal length
            does nearly as well.
        videos: camera name -> video file, for the sound and the time codes.

    Raises:
        InputError: shapes that do not fit, names given twice, no times, frame rates or lengths that differ by more
            than allowed, no common time, an offset for a camera that is not there, a method asked for by name that
            does not show how late a camera looks.
    """
    opt = options or SyncOptions()
    skel = get_skeleton(skeleton)
    tracks = checked(tracks, skel)
    names = [track.name for track in tracks]
    raw = [track.times() for track in tracks]
    rates = [frame_rate(track, times) for track, times in zip(tracks, raw, strict=True)]
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
    check_extent(names, local, fps)
    choice = _choose(tracks, local, starts, skel, fps, opt, intrinsics, videos, notes, warnings)
    world = [choice.clocks[name].world(times) for name, times in zip(names, local, strict=True)]
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
            xy[c], score[c] = interpolate(position, value, t, grid, opt.max_gap_s)
            empty = int((np.abs(t[np.searchsorted(t, grid).clip(0, len(t) - 1)] - grid) > 1 / rates[c]).sum())
        else:
            row, frame = nearest_rows(t, grid, fps)
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
                offset_s=choice.cameras[c].offset_s,
                offset_sigma_s=choice.cameras[c].sigma_s,
                applied_offset_s=choice.clocks[track.name].offset_s,
                source=choice.cameras[c].source,
                confidence=round(choice.cameras[c].confidence, 4),
                reason=choice.cameras[c].reason,
                drift=choice.cameras[c].drift,
                drift_sigma=choice.cameras[c].drift_sigma,
                applied_drift=choice.clocks[track.name].drift,
                reference_s=choice.cameras[c].reference_s,
            )
        )
    if different:
        notes.append(f"Resampled to {fps:.3f} frames per second ({listed}); interpolated samples carry a lower score.")
    sizes = [track.image_size for track in tracks]
    order = increasing(times, grid, fps)
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
    plain["distances_m"] = dict(opt.distances_m)
    report = SyncReport(
        tuple(entries), choice.pairs, fps, frames, different, tuple(notes), tuple(warnings), plain, choice.sure
    )
    for warning in warnings:
        log.warning(warning)
    return keypoints, report


def _choose(
    tracks: Sequence[CameraTrack],
    local: Sequence[Floats],
    starts: Sequence[float],
    skeleton: Skeleton,
    fps: float,
    opt: SyncOptions,
    intrinsics: Rig | None,
    videos: Mapping[str, str | Path] | None,
    notes: list[str],
    warnings: list[str],
) -> Choice:
    """How late every camera looks, by the method asked for, and what of it is applied."""
    names = [track.name for track in tracks]
    if not isinstance(opt.offsets, str):
        unknown = sorted(set(opt.offsets) - set(names))
        if unknown:
            raise InputError(f"offsets name {unknown[0]!r}; the cameras are {', '.join(names)}.", "Use camera names.")
        given = {name: float(opt.offsets.get(name, 0.0)) for name in names}
        text = ", ".join(f"{name} {value * 1000:+.1f} ms" for name, value in given.items())
        notes.append(f"Offsets were applied as given: {text}.")
        cameras = tuple(CameraOffset(name, value, None, "given", 1.0) for name, value in given.items())
        return Choice(cameras, {name: Clock(value) for name, value in given.items()}, (), True)
    if opt.offsets == "none" or opt.method == "none" or len(tracks) < 2:
        return Choice(
            tuple(CameraOffset(name, None, None, "none", 0.0) for name in names), {name: Clock() for name in names},
            (), True,
        )  # fmt: skip
    sources = _sources(tracks, local, intrinsics)
    files = {name: videos[name] for name in names if name in videos} if videos and not opt.shared_clock else {}
    return choose(
        sources, starts, skeleton, fps, method=opt.method, reach_s=2 * opt.max_offset_s, drift=opt.drift, videos=files,
        distances_m=opt.distances_m, notes=notes, warnings=warnings,
    )  # fmt: skip


def motion_offsets(
    tracks: Sequence[CameraTrack],
    skeleton: str | Skeleton,
    *,
    intrinsics: Rig | None = None,
    max_offset_s: float = 2.0,
    drift: bool = True,
) -> OffsetReport:
    """Lateness of every camera against the first, in seconds, from the motion of one athlete; cameras may be unknown.

    Candidates come from the correlation of the body's motion; at each the relative pose of two cameras is estimated
    and refined together with the offset, and the offsets of all pairs must agree. ``docs/sync.md`` says how well.

    Args:
        tracks: one per camera, times counted as they are; not changed.
        skeleton: joint order of all tracks.
        intrinsics: lenses, by name or in the same order; None assumes a focal length of 0.8 image widths.
        max_offset_s: each camera is up to this early or late, so two differ by up to twice as much.
        drift: estimate clock rates too, where the recording is long enough.

    Raises:
        InputError: shapes that do not fit, names given twice, no times, a rig of other cameras.
    """
    skel = get_skeleton(skeleton)
    tracks = checked(tracks, skel)
    sources = _sources(tracks, _checked_times(tracks), intrinsics)
    return measure_motion(sources, skel, 2 * max_offset_s, drift=drift)


def start_offsets(
    keypoints: Keypoints2D, intrinsics: Rig | None = None, *, max_offset_s: float = 2.0, drift: bool = False
) -> OffsetReport:
    """The same as :func:`motion_offsets` for keypoints (C, T, J, 2) with ``times`` or ``fps``.

    Cameras without names are called by their number. ``offsets_s`` (C,) and ``sigmas_s`` (C,) of the result are in
    seconds, NaN where not known; world time of a frame is its time plus the offset.

    Raises:
        InputError: see :func:`motion_offsets`.
    """
    return motion_offsets(
        _tracks(keypoints), keypoints.skeleton, intrinsics=intrinsics, max_offset_s=max_offset_s, drift=drift
    )


def refine_offsets_epipolar(
    keypoints: Keypoints2D, start_s: Sequence[float], intrinsics: Rig | None = None, *, drift: bool = False
) -> OffsetReport:
    """Sub-frame offsets from a start within about two frames, by least epipolar cost; poses are not needed.

    Args:
        keypoints: (C, T, J, 2) with ``times`` or ``fps``; not changed.
        start_s: (C,) seconds; only differences count.
        intrinsics: see :func:`motion_offsets`.
        drift: estimate clock rates too.

    Raises:
        InputError: see :func:`motion_offsets`; a start of another length or not finite.
    """
    start = np.asarray(start_s, float)
    tracks = _tracks(keypoints)
    if start.shape != (len(tracks),) or not np.isfinite(start).all():
        raise InputError(f"start_s has shape {start.shape}; one finite value per camera ({len(tracks)}) is needed.")
    sources = _sources(tracks, _checked_times(tracks), intrinsics)
    return refine_motion(sources, keypoints.skeleton, start - start[0], drift=drift)


def _tracks(keypoints: Keypoints2D) -> list[CameraTrack]:
    sizes = keypoints.image_sizes
    return [
        CameraTrack(
            name, keypoints.xy[c], keypoints.score[c], None if keypoints.times is None else keypoints.times[c],
            None if sizes is None else (int(sizes[c][0]), int(sizes[c][1])), keypoints.fps,
        )
        for c, name in enumerate(keypoints.camera_names)
    ]  # fmt: skip


def _checked_times(tracks: Sequence[CameraTrack]) -> list[Floats]:
    """(T,) seconds of every camera, such as cameras record."""
    times = [track.times() for track in tracks]
    rates = [frame_rate(track, t) for track, t in zip(tracks, times, strict=True)]
    check_extent([track.name for track in tracks], times, float(np.median(rates)))
    return times


def _sources(tracks: Sequence[CameraTrack], times: Sequence[Floats], intrinsics: Rig | None) -> list[Source]:
    lenses: list[Camera | None] = [None] * len(tracks)
    if intrinsics is not None:
        if {track.name for track in tracks} <= set(intrinsics.names):
            lenses = [intrinsics[track.name] for track in tracks]
        elif len(intrinsics) == len(tracks):
            lenses = list(intrinsics)
        else:
            raise InputError(
                f"The rig has {len(intrinsics)} cameras ({', '.join(intrinsics.names)}), the tracks {len(tracks)}."
            )
    return [
        Source(t.name, in_picture(np.asarray(t.xy, float)), np.asarray(t.score, float), when, lens, t.image_size)
        for t, when, lens in zip(tracks, times, lenses, strict=True)
    ]

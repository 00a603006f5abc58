"""Detections of one person in one video, and the checks that they pass before they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.skeletons import Skeleton

Floats = NDArray[np.float64]
_SHORTEST_S, _LONGEST_S = 1e-5, 100.0  # between two frames of any camera
_FAR_PX = 1e6  # no picture is so large


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
            times = real(self.times_s)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.name}: the frame times are not numbers ({error}).") from error
        if times.shape != (frames,):
            raise InputError(f"{self.name}: {frames} frames but times of shape {times.shape}.")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError(f"{self.name}: the frame times are not finite and increasing.", "Re-encode the video.")
        return times


def real(values: ArrayLike) -> Floats:
    """Numbers as an array; TypeError or ValueError for what is none, complex numbers among it."""
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise TypeError("complex numbers")
    return np.asarray(array, float)


def in_picture(xy: Floats) -> Floats:
    """The positions (..., 2) px with NaN where one lies so far out that no picture can have shown it; a copy."""
    with np.errstate(invalid="ignore"):
        return np.where((np.abs(xy) < _FAR_PX).all(-1, keepdims=True), xy, np.nan)


def checked(tracks: Sequence[CameraTrack], skeleton: Skeleton) -> list[CameraTrack]:
    """The tracks with xy and score as arrays.

    Raises:
        InputError: no camera, one twice, arrays of no numbers or of another shape, fewer than two frames.
    """
    out = list(tracks)
    if not out:
        raise InputError("No camera was given.")
    names = [track.name for track in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"Camera {twice[0]!r} is given twice.", "Give every camera its own name.")
    for k, track in enumerate(out):
        try:
            out[k] = track = replace(track, xy=real(track.xy), score=real(track.score))
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


def check_extent(names: Sequence[str], times: Sequence[Floats], fps: float) -> None:
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


def frame_rate(track: CameraTrack, times: Floats) -> float:
    """Frame rate from the median interval, made exact by the whole span where frames are regular.

    Raises:
        InputError: frames that follow each other as no camera's do.
    """
    steps = np.diff(times)
    usual = float(np.median(steps))
    if not _SHORTEST_S <= usual <= _LONGEST_S:
        raise InputError(f"{track.name}: its frames are {usual:.3g} s apart.", "Give the frame times in seconds.")
    whole = np.round(steps / usual)  # a dropped frame is an interval of two
    return float(whole.sum() / (times[-1] - times[0]))

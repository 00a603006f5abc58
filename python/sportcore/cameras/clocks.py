"""Cameras that look late: offsets found with the cameras, inside the adjustment.

The start comes from :func:`sportcore.sync.start_offsets`. The tracks are then read at common moments, and the
adjustment of the cameras moves one offset per camera with everything else (``sportcore/bundle.h``, clocks); the tracks
are read again with what it finds, until nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateError, InputError
from ..types import Keypoints2D, Rig

__all__ = ["Clocks", "in_step", "read_at", "solve_with_clocks"]

Floats = NDArray[np.float64]
Solve = Callable[[Keypoints2D, dict[str, Any]], dict[str, Any]]

ROUNDS = 4
STILL_FRAMES = 0.01  # an offset that moves by less is found


@dataclass(frozen=True)
class Clocks:
    """Offsets of the cameras.

    Attributes:
        offset_s: (C,) how much later each camera looks than the first, s: world time of a frame is its own time plus
            the offset.
        sigma_s: (C,) one standard deviation, s; 0 for the first camera, NaN where unknown.
    """

    offset_s: Floats
    sigma_s: Floats


def read_at(keypoints: Keypoints2D, offset_s: Floats) -> Keypoints2D:
    """The tracks as cameras in step would have seen them.

    Row k of the result shows world time k / fps: each camera is read at its own time k / fps - offset, by a cubic
    through the four neighbouring frames, linear where only the two nearest are seen, missing elsewhere. An offset of
    whole frames moves rows and changes nothing else.

    Args:
        keypoints: (C, T, J) with ``fps``; not changed.
        offset_s: (C,) s.

    Raises:
        InputError: the frame rate is not known.
    """
    if not keypoints.fps:
        raise InputError("Time offsets need the frame rate of the keypoints.", "Give fps.")
    T = keypoints.n_frames
    return _read(keypoints, np.arange(T) - np.asarray(offset_s, float)[:, None] * keypoints.fps).replace(times=None)


def in_step(keypoints: Keypoints2D, least_frames: float = 0.1) -> tuple[Keypoints2D, Floats]:
    """The tracks read at the times of the first camera, where ``times`` says that the others' frames lie in between.

    Args:
        keypoints: (C, T, J); row k of each camera was filmed at ``times[c, k]``, on a common clock. Not changed.
        least_frames: a camera that is nearer than this throughout (to 2.5 times as much in single frames) stays.

    Returns:
        the tracks, all with the first camera's times, and (C,) by how many frames each camera was moved, median.
    """
    C, T = keypoints.xy.shape[:2]
    moved = np.zeros(C)
    if keypoints.times is None or C < 2 or T < 4:
        return keypoints, moved
    row = np.arange(T, dtype=float)
    place = np.tile(row, (C, 1))
    for c in range(1, C):
        at = np.interp(keypoints.times[0], keypoints.times[c], row, left=-10.0, right=T + 10.0)
        inside = (at >= 0) & (at <= T - 1)
        off = np.abs(at - row)[inside]
        if inside.any() and (np.median(off) > least_frames or np.percentile(off, 95) > 2.5 * least_frames):
            place[c], moved[c] = at, float(np.median((at - row)[inside]))
    if not moved.any() and np.array_equal(place, np.tile(row, (C, 1))):
        return keypoints, moved
    return _read(keypoints, place).replace(times=np.tile(keypoints.times[0], (C, 1))), moved


def _read(keypoints: Keypoints2D, place: Floats) -> Keypoints2D:
    """The tracks at places between their rows, (C, T): cubic, else linear, else missing."""
    C, T = keypoints.xy.shape[:2]
    xy, score = np.full_like(keypoints.xy, np.nan), np.zeros_like(keypoints.score)
    sigma = None if keypoints.sigma_px is None else np.full_like(keypoints.sigma_px, np.nan)
    for c in range(C):
        whole = np.floor(place[c] + 1e-6).astype(int)
        w = np.clip(place[c] - whole, 0.0, 1.0)
        w[w < 1e-3] = 0.0

        def rows(k: NDArray[np.int64], values: Floats) -> Floats:
            out = values[np.clip(k, 0, T - 1)].astype(float)
            out[(k < 0) | (k >= T)] = np.nan
            return out

        seen = np.where(keypoints.observed[c][..., None], keypoints.xy[c], np.nan)
        a, b, d, e = (rows(whole + k, seen) for k in (-1, 0, 1, 2))
        u = w[:, None, None]
        line = b + u * (d - b)
        # Catmull & Rom 1974: tangents from the neighbours.
        cubic = b + 0.5 * u * (d - a + u * (2 * a - 5 * b + 4 * d - e + u * (3 * (b - d) + e - a)))
        exact = (w == 0)[:, None, None]
        xy[c] = np.where(exact, b, np.where(np.isfinite(cubic), cubic, line))
        s0, s1 = (np.nan_to_num(rows(whole + k, keypoints.score[c])) for k in (0, 1))
        score[c] = np.where(np.isfinite(xy[c, ..., 0]), np.where((w == 0)[:, None], s0, np.minimum(s0, s1)), 0.0)
        if sigma is not None:
            assert keypoints.sigma_px is not None
            g0, g1 = (rows(whole + k, keypoints.sigma_px[c]) for k in (0, 1))
            sigma[c] = np.where((w == 0)[:, None], g0, np.fmax(g0, g1))
    return keypoints.replace(xy=xy, score=score, sigma_px=sigma)


def solve_with_clocks(
    keypoints: Keypoints2D, rig: Rig, max_offset_s: float, solve: Solve
) -> tuple[Keypoints2D, dict[str, Any], Clocks]:
    """Calibrate cameras whose videos do not begin together.

    Args:
        keypoints: (C, T, J) with ``fps``; rows with the same number belong together up to the offsets.
        rig: C cameras with known lenses.
        max_offset_s: each camera looks at most this much early or late.
        solve: ``solve(keypoints, extra arguments of _core.calibrate_bodies)`` -> its result.

    Returns:
        the tracks in step, the result for them, and the clocks.

    Raises:
        InputError: the frame rate is not known.
        DegenerateError: a camera's offset cannot be told.
    """
    from ..sync import start_offsets

    if not keypoints.fps:
        raise InputError("Time offsets need the frame rate of the keypoints.", "Give fps.")
    report = start_offsets(keypoints.replace(times=None), rig, max_offset_s=max_offset_s)
    offset = np.asarray(report.offsets_s, float)
    lost = [name for name, value in zip(rig.names, offset, strict=True) if not np.isfinite(value)]
    if lost:
        raise DegenerateError(
            f"How late camera {', '.join(map(repr, lost))} looks cannot be told from the motion.",
            "Film a jump or a clap that all cameras see, or give the offsets (`sportcore sync --help`).",
        )
    offset = offset - offset[0]
    sigma = np.asarray(report.sigmas_s, float)
    frame_s = 1.0 / keypoints.fps
    result: dict[str, Any] = {}
    shown = keypoints
    for _ in range(ROUNDS):
        shown = read_at(keypoints, offset)
        result = solve(shown, {"clocks": True, "frame_s": frame_s})
        step = np.asarray(result["time_offset_s"], float)
        if result["start_pair"][0] < 0 or not np.isfinite(step).all():
            break
        sigma = _sigmas(result["bundle"], len(rig), sigma)
        step = np.clip(step - step[0], -2 * frame_s, 2 * frame_s)
        if np.abs(step).max() < STILL_FRAMES * frame_s:
            break
        offset = offset + step
    return shown, result, Clocks(offset, sigma)


def _sigmas(bundle: dict[str, Any], C: int, before: Floats) -> Floats:
    """Deviation of each offset against the first camera's, from the covariance of the adjustment."""
    covariance = bundle["covariance"]
    at = {camera: 6 * C + i for i, (kind, camera) in enumerate(bundle["extra"]) if kind == "time_offset"}
    if covariance is None or len(at) != C:
        return before
    out = np.zeros(C)
    for c in range(1, C):
        i, j = at[0], at[c]
        out[c] = np.sqrt(max(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j], 0.0))
    return out

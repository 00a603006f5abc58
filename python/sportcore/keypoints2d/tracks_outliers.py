"""Samples that do not belong to a track: jumps that no body makes, and values that a detector merely repeats.

The temporal test predicts every sample from its observed neighbours at their true times by six straight lines
(three interpolating, the farther interpolation, two extrapolating) and takes the median, so up to two wrong
neighbours do no harm. The allowance grows with the noise of the track and with the square of the time to the
neighbours, so nothing is rejected across long gaps. Distances are in body sizes (statures).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sportcore.keypoints2d.tracks_common import Floats, Mask, nan_median, rolling_median, runs

Index = NDArray[np.int64]


@dataclass(frozen=True)
class JumpLimits:
    """Allowances of the temporal test: noise factor, smallest jump and largest acceleration in body sizes."""

    noise_factor: float = 5.0
    min_jump_body: float = 0.03
    max_acceleration_body_s2: float = 60.0
    window_s: float = 0.6
    max_run_s: float = 0.12


def _median_prediction(times: Floats, xy: Floats, at: Index) -> tuple[Floats, Floats]:
    """Median (M, 2) of line predictions of the samples ``at`` from two neighbours on each side, and the time reach².

    The reach is the product of the times to the two samples of a line, its median over the lines; (M,) s².
    """
    n = len(xy)

    def neighbour(offset: int) -> tuple[Floats, Floats]:
        k = at + offset
        inside = (k >= 0) & (k < n)
        k = np.where(inside, k, 0)
        return np.where(inside, times[k], np.nan), np.where(inside[:, None], xy[k], np.nan)

    around = {offset: neighbour(offset) for offset in (-2, -1, 1, 2)}
    now = times[at]
    guesses = np.full((6, len(at), 2), np.nan)
    reach = np.full((6, len(at)), np.nan)
    for k, (a, b) in enumerate(((-1, 1), (-2, 1), (-1, 2), (-2, 2), (-2, -1), (1, 2))):
        (ta, xa), (tb, xb) = around[a], around[b]
        guesses[k] = xa + ((now - ta) / (tb - ta))[:, None] * (xb - xa)
        reach[k] = np.abs((now - ta) * (tb - now))
    known = np.isfinite(reach)
    prediction, far = nan_median(guesses, axis=0), nan_median(reach, axis=0)
    far[~known.any(0)] = np.inf
    far[known.sum(0) < 3] *= 2.0  # the ends of a track are known from one side only
    return prediction, far


def _one_sided(times: Floats, xy: Floats, at: Index) -> Floats:
    """Distance (M,) of the samples ``at`` from what either side alone suggests, the nearer side counting.

    A side suggests its nearest sample, or the line through its two nearest. A sample at the edge of a step fits one
    side; a wrong sample fits neither.
    """
    out = np.full(len(at), np.inf)
    for k, inside in ((-1, at >= 2), (1, at < len(xy) - 2)):
        near, far = np.where(inside, at + k, at), np.where(inside, at + 2 * k, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = (times[at] - times[near]) / (times[near] - times[far])
            line = xy[near] + (xy[near] - xy[far]) * w[:, None]
        distance = np.minimum(np.linalg.norm(xy[at] - xy[near], axis=-1), np.linalg.norm(xy[at] - line, axis=-1))
        out = np.where(inside, np.minimum(out, distance), out)
    return out


def track_outliers(times: Floats, xy: Floats, size: Floats, limits: JumpLimits) -> Mask:
    """Which samples of one joint's observed track (N,) jump: times (N,) s, xy (N, 2) px, size (N,) px."""
    n = len(times)
    bad = np.zeros(n, bool)
    if n < 5:
        return bad
    half = int(np.clip(round(limits.window_s / max(float(np.median(np.diff(times))), 1e-6)), 4, 60))
    noise = np.zeros(n)
    excess = np.zeros(n)
    fresh = np.ones(n, bool)  # samples whose neighbours have changed
    for round_ in range(12):
        index = np.flatnonzero(~bad)
        if len(index) < 5:
            break
        t, x, s = times[index], xy[index], size[index]
        at = np.flatnonzero(fresh[index])
        prediction, far = _median_prediction(t, x, at)
        residual = np.linalg.norm(x[at] - prediction, axis=-1)
        if round_ == 0:
            noise[index] = rolling_median(residual, half)
        allowed = np.maximum(limits.noise_factor * noise[index[at]], limits.min_jump_body * s[at])
        allowed = allowed + limits.max_acceleration_body_s2 * s[at] * far
        over = np.where(np.isfinite(residual), residual / allowed, 0.0)
        suspect = over > 1
        over[suspect] *= _one_sided(t, x, at[suspect]) > allowed[suspect]
        excess[index[at]] = over
        around = np.pad(excess[index], 2)
        reject = (excess[index] > 1) & (excess[index] >= sliding_window_view(around, 5).max(1))
        if not reject.any():
            reject = _wrong_runs(t, x, s, noise[index], limits)
        if not reject.any():
            break
        bad[index[reject]] = True
        fresh[:] = False
        touched = np.flatnonzero(reject)
        for offset in (-2, -1, 1, 2):
            fresh[index[np.clip(touched + offset, 0, len(index) - 1)]] = True
    return bad


def _wrong_runs(times: Floats, xy: Floats, size: Floats, noise: Floats, limits: JumpLimits) -> Mask:
    """Short runs that lie off the line between the samples before and after them, entered and left by a jump."""
    n = len(times)
    reject = np.zeros(n, bool)
    step = np.linalg.norm(np.diff(xy, axis=0), axis=-1)
    half = max(3, int(round(limits.window_s / max(float(np.median(np.diff(times))), 1e-6))))
    usual = rolling_median(step, half)
    jumps = step > 4 * usual + limits.min_jump_body * size[:-1]
    entered = np.flatnonzero(jumps)
    if len(entered) < 2:
        return reject
    longest = int(np.searchsorted(np.cumsum(np.full(n, float(np.median(np.diff(times))))), limits.max_run_s)) + 1
    for length in range(2, min(longest, n - 2) + 1):
        before = entered[(entered >= 1) & (entered + length + 1 < n)]  # last sample before the run
        before = before[jumps[before + length]]  # and it is left by a jump as well
        after = before + length + 1
        if not len(before):
            continue
        allowed = np.maximum(limits.noise_factor * noise[before], limits.min_jump_body * size[before])
        span = times[after] - times[before]
        allowed = allowed + limits.max_acceleration_body_s2 * size[before] * span**2 / 4
        off = np.ones(len(before), bool)
        for k in range(1, length + 1):
            w = ((times[before + k] - times[before]) / span)[:, None]
            line = xy[before] + w * (xy[after] - xy[before])
            off &= np.linalg.norm(xy[before + k] - line, axis=-1) > allowed
        for b in before[off]:
            reject[b + 1 : b + 1 + length] = True
        if reject.any():
            break
    return reject


def all_track_outliers(times: Floats, xy: Floats, observed: Mask, sizes: Floats, limits: JumpLimits) -> Mask:
    """(C, T, J) samples that jump; times (C, T), xy (C, T, J, 2), observed (C, T, J), sizes (C, T)."""
    bad = np.zeros(observed.shape, bool)
    for c in range(observed.shape[0]):
        for j in range(observed.shape[2]):
            seen = np.flatnonzero(observed[c, :, j])
            if len(seen) >= 5:
                bad[c, seen, j] = track_outliers(times[c, seen], xy[c, seen, j], sizes[c, seen], limits)
    return bad


def frozen_samples(times: Floats, xy: Floats, observed: Mask, sizes: Floats, min_s: float) -> Mask:
    """(C, T, J) samples that only repeat the last value exactly, for ``min_s`` or longer.

    A whole body that repeats bit by bit is a detector (or a video) that stands still. A single joint counts only when
    the rest of the body moves meanwhile and the values are not rounded to a coarse grid, where a planted foot may
    repeat honestly. The first sample of a run is kept.
    """
    frozen = np.zeros(observed.shape, bool)
    count, frames, joints = observed.shape
    if frames < 3:
        return frozen
    both = observed[:, 1:] & observed[:, :-1]
    same = np.zeros(observed.shape, bool)
    same[:, 1:] = both & (xy[:, 1:] == xy[:, :-1]).all(-1)
    for c in range(count):
        seen = observed[c].sum(-1)
        whole = (same[c].sum(-1) >= 0.9 * np.maximum(seen, 1)) & (seen > 0)
        for first, last in runs(whole):
            if times[c, last] - times[c, first - 1] >= min_s:
                frozen[c, first : last + 1] = observed[c, first : last + 1] & same[c, first : last + 1]
        values = xy[c][observed[c]]
        coarse = bool(len(values)) and bool(np.allclose(values * 4, np.round(values * 4)))
        if coarse:
            continue
        for j in range(joints):
            for first, last in runs(same[c, :, j] & ~frozen[c, :, j]):
                if times[c, last] - times[c, first - 1] < min_s:
                    continue
                moved = np.linalg.norm(xy[c, last] - xy[c, first - 1], axis=-1)
                moved = moved[np.isfinite(moved)]
                if len(moved) and np.median(moved) > 0.05 * sizes[c, first]:
                    frozen[c, first : last + 1, j] = True
    return frozen

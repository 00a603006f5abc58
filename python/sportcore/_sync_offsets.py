"""Which moments of two cameras may belong together, from the motion of the body in their images.

Every camera gives signals that hardly depend on the view: the velocity of each limb joint along the body's upward
direction in the image, in statures per second. The normalised correlation of these signals over a range of lags has
peaks, refined by parabolas; geometry decides among them (:mod:`sportcore._sync_graph`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d

from sportcore.keypoints2d.tracks_common import core_joints, nan_median
from sportcore.skeletons import Skeleton

Floats = NDArray[np.float64]
_SMOOTH_S = 0.025
_CLIP = 0.7  # robust standard deviations: nearly the sign alone, so that a fifth of wild samples does little


def motion_signals(xy: Floats, times: Floats, grid: Floats, skeleton: Skeleton, max_gap_s: float) -> Floats:
    """Signals (S, N) at the times of ``grid`` (N,) that all upright views share; NaN where nothing is known.

    For every limb joint its velocity along the body's mean upward direction in the image, in statures per second,
    without its slow part. xy (T, J, 2) px, cleaned, NaN where missing; times (T,) s.
    """
    joints = core_joints(skeleton)
    reach = np.linalg.norm(xy - nan_median(xy, axis=1)[:, None], axis=-1)
    size = 4.5 * float(nan_median(nan_median(reach)[None])[0])
    if not size > 0:
        return np.full((len(joints), len(grid)), np.nan)
    up = _mean_up(xy, skeleton)
    step = float(np.median(np.diff(grid)))
    signals = []
    for i in joints:
        velocity = _velocity(_on_grid(xy[:, i], times, grid, max_gap_s), step) @ up / size
        signals.append(velocity - _smooth(velocity[:, None], 0.5 / step)[:, 0])
    out = np.stack(signals)
    centre = nan_median(out)[:, None]
    spread = 1.4826 * nan_median(np.abs(out - centre))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.clip((out - centre) / np.where(spread > 0, spread, np.nan), -_CLIP, _CLIP)
    # A channel that barely moves is noise; it keeps its small weight.
    weight = np.nan_to_num(spread) / max(float(np.nanmax(spread, initial=0.0)), 1e-12)
    return np.asarray(scaled * weight)


def _mean_up(xy: Floats, skeleton: Skeleton) -> Floats:
    """Unit vector (2,) in the image from the hips to the shoulders, median over time; image-up where unknown."""
    ends = []
    for part in ("shoulder", "hip"):
        if not (skeleton.has(f"left_{part}") and skeleton.has(f"right_{part}")):
            return np.array([0.0, -1.0])
        ends.append(0.5 * (xy[:, skeleton.index(f"left_{part}")] + xy[:, skeleton.index(f"right_{part}")]))
    up = nan_median(ends[0] - ends[1], axis=0)
    length = float(np.linalg.norm(up))
    return np.asarray(up / length) if np.isfinite(length) and length > 0 else np.array([0.0, -1.0])


def _smooth(track: Floats, sigma: float) -> Floats:
    """Gaussian average (N, K) over what is known, NaN where the sample itself is missing."""
    known = np.isfinite(track[:, 0])
    weight = gaussian_filter1d(known.astype(float), sigma, mode="constant")
    total = gaussian_filter1d(np.where(known[:, None], track, 0.0), sigma, axis=0, mode="constant")
    return np.where(known[:, None], total / np.maximum(weight, 1e-9)[:, None], np.nan)


def _on_grid(track: Floats, times: Floats, grid: Floats, max_gap_s: float) -> Floats:
    """Track (T, 2) at the grid times, linear between observed samples no further apart than max_gap_s; else NaN."""
    seen = np.flatnonzero(np.isfinite(track[:, 0]))
    out = np.full((len(grid), 2), np.nan)
    if len(seen) < 2:
        return out
    t = times[seen]
    for k in range(2):
        out[:, k] = np.interp(grid, t, track[seen, k], left=np.nan, right=np.nan)
    after = np.clip(np.searchsorted(t, grid), 1, len(t) - 1)
    out[t[after] - t[after - 1] > max_gap_s] = np.nan
    return out


def _velocity(track: Floats, step: float) -> Floats:
    """Central-difference velocity (N, 2) of a lightly smoothed track; NaN next to what is missing."""
    smooth = _smooth(track, _SMOOTH_S / step)
    out = np.full(track.shape, np.nan)
    out[1:-1] = (smooth[2:] - smooth[:-2]) / (2 * step)
    return out


def correlation(a: Floats, b: Floats, reach: int) -> Floats:
    """Normalised correlation (2 reach + 1,) of two sets of signals (S, N), b read ``lag`` samples later than a.

    Sums run over the samples known in both. Where the recordings overlap less there is less to go by: the value
    shrinks with the root of what is compared.
    """
    n = a.shape[1]
    size = next_fast_len(n + min(reach, n) + 1, real=True)
    known_a, known_b = np.isfinite(a), np.isfinite(b)
    a, b = np.where(known_a, a, 0.0), np.where(known_b, b, 0.0)

    def spectrum(x: Floats) -> NDArray[np.complex128]:
        return np.asarray(rfft(x, size, axis=1))

    def total(x: NDArray[np.complex128], y: NDArray[np.complex128]) -> Floats:
        lags = irfft((np.conj(x) * y).sum(0), size)
        return np.concatenate([lags[-reach:], lags[: reach + 1]])

    top = total(spectrum(a), spectrum(b))
    aa = total(spectrum(a * a), spectrum(known_b.astype(float)))
    bb = total(spectrum(known_a.astype(float)), spectrum(b * b))
    norm = np.sqrt(np.maximum(aa, 0.0) * np.maximum(bb, 0.0))
    highest = float(norm.max(initial=0.0))
    if not highest > 0:
        return np.full(2 * reach + 1, -1.0)
    return np.asarray(top / np.maximum(norm, 1e-9 * highest) * np.sqrt(np.minimum(norm / highest, 1.0)))


def peaks(values: Floats, step_s: float, most: int) -> tuple[Floats, Floats]:
    """Lags (k,) in seconds and heights (k,) of the highest local maxima, refined by parabolas; best first."""
    reach = len(values) // 2
    inner = values[1:-1]
    k = np.flatnonzero((inner > values[:-2]) & (inner >= values[2:]) & (inner > 0)) + 1
    k = k[np.argsort(-values[k], kind="stable")][:most]
    bend = values[k - 1] - 2 * values[k] + values[k + 1]
    shift = np.clip(0.5 * (values[k - 1] - values[k + 1]) / np.minimum(bend, -1e-12), -0.5, 0.5)
    return (k + shift - reach) * step_s, values[k]

"""How late each camera looks, measured from the motion of the body in its image.

Every camera gives signals that hardly depend on the view: the velocity of each limb joint along the body's upward
direction in the image, in statures per second. Two cameras are compared by the normalised correlation of these
signals over a range of lags. The peak is refined by a parabola; its spread comes from leaving out one fifth of the
recording at a time (delete-a-group jackknife). A global least-squares fit over the confident pairs gives one offset
per camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from sportcore.keypoints2d.tracks_common import core_joints, nan_median
from sportcore.skeletons import Skeleton

Floats = NDArray[np.float64]
_BLOCKS = 5
_SMOOTH_S = 0.025


@dataclass(frozen=True)
class PairOffset:
    """Measured lateness of camera ``b`` against camera ``a``.

    Attributes:
        a, b: camera names.
        offset_s: camera b looks this much later than camera a (its frame of the same number shows a later moment).
        sigma_s: jackknife standard deviation.
        peak: correlation at the best lag, in [-1, 1].
        at_zero: correlation at lag zero.
        second: best correlation outside the main lobe.
        confident: the peak is high, sharp, unique and stable enough to be believed.
        reason: why it is not confident; empty otherwise.
    """

    a: str
    b: str
    offset_s: float | None
    sigma_s: float | None
    peak: float
    at_zero: float
    second: float
    confident: bool
    reason: str


def motion_signals(xy: Floats, times: Floats, grid: Floats, skeleton: Skeleton, max_gap_s: float) -> Floats:
    """Signals (S, N) at the times of ``grid`` (N,) that all upright views share; NaN where nothing is known.

    For every limb joint its velocity along the body's mean upward direction in the image, in statures per second,
    without its slow part. xy (T, J, 2) px, cleaned, NaN where missing; times (T,) s.
    """
    joints = core_joints(skeleton)
    reach = np.linalg.norm(xy - nan_median(xy, axis=1)[:, None], axis=-1)
    size = 4.5 * float(nan_median(nan_median(reach)[None])[0])
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
        scaled = np.clip((out - centre) / np.where(spread > 0, spread, np.nan), -4, 4)
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


def _correlation_terms(a: Floats, b: Floats, lags: NDArray[np.int64]) -> Floats:
    """(blocks, lags, 3) sums of a b, a a and b b over the samples known in both, b read ``lag`` samples later."""
    n = a.shape[1]
    edges = np.linspace(0, n, _BLOCKS + 1).astype(int)
    out = np.zeros((_BLOCKS, len(lags), 3))
    for k, lag in enumerate(lags):
        lo, hi = max(0, -lag), min(n, n - lag)
        if hi - lo < 3:
            continue
        x, y = a[:, lo:hi], b[:, lo + lag : hi + lag]
        both = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(both, x, 0.0), np.where(both, y, 0.0)
        columns = np.stack([(x * y).sum(0), (x * x).sum(0), (y * y).sum(0)])
        total = np.concatenate([np.zeros((3, 1)), np.cumsum(columns, axis=1)], axis=1)
        cuts = np.clip(edges, lo, hi) - lo
        out[:, k] = (total[:, cuts[1:]] - total[:, cuts[:-1]]).T
    return out


def _normalised(terms: Floats) -> Floats:
    """Correlation (lags,) from summed terms (lags, 3)."""
    norm = np.sqrt(terms[:, 1] * terms[:, 2])
    if not (norm > 0).any():
        return np.full(len(norm), -1.0)
    # Where the recordings overlap less there is less to go by: the value shrinks with the root of what is compared.
    share = np.minimum(norm / norm.max(), 1.0)
    return np.asarray(terms[:, 0] / np.maximum(norm, 1e-12) * np.sqrt(share))


def _peak(values: Floats, lags: NDArray[np.int64], around: int | None = None) -> tuple[float, float, int]:
    """Lag of the highest value refined by a parabola, the value, and its index; searched within 2 of ``around``."""
    if around is None:
        k = int(np.argmax(values))
    else:
        lo = max(0, around - 2)
        k = lo + int(np.argmax(values[lo : around + 3]))
    shift = 0.0
    if 0 < k < len(values) - 1:
        left, mid, right = values[k - 1 : k + 2]
        bend = left - 2 * mid + right
        if bend < -1e-12:
            shift = float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
    return float(lags[k] + shift), float(values[k]), k


def pair_offset(a: Floats, b: Floats, names: tuple[str, str], step_s: float, max_offset_s: float) -> PairOffset:
    """Lateness of camera b against camera a from their signals (S, N) on one grid of ``step_s`` seconds."""
    common = np.isfinite(a).any(0) & np.isfinite(b).any(0)
    # A short recording cannot tell one stride from the next: look no further than a quarter of it.
    reach = int(min(round(max_offset_s / step_s), common.sum() // 4))
    if reach < 1 or common.sum() * step_s < 0.7 or common.sum() < 20:
        return PairOffset(*names, None, None, 0.0, 0.0, 0.0, False, "seen together too briefly")
    lags = np.arange(-reach, reach + 1)
    terms = _correlation_terms(a, b, lags)
    values = _normalised(terms.sum(0))
    lag, peak, k = _peak(values, lags)
    leave = [_normalised(terms.sum(0) - terms[i]) for i in range(_BLOCKS) if terms[i, k, 1] > 0]
    near = np.array([_peak(v, lags, around=k)[0] for v in leave])
    anywhere = np.array([_peak(v, lags)[0] for v in leave])
    m = len(leave)
    spread = float(np.sqrt((m - 1) / m * ((near - near.mean()) ** 2).sum())) if m > 1 else np.inf
    # The main lobe ends where the correlation has fallen to the first minimum on either side.
    lo = hi = k
    while lo > 0 and values[lo - 1] <= values[lo]:
        lo -= 1
    while hi < len(values) - 1 and values[hi + 1] <= values[hi]:
        hi += 1
    outside = np.concatenate([values[:lo], values[hi + 1 :]])
    second = float(outside.max()) if len(outside) else -1.0
    reason = ""
    if peak < 0.35:
        reason = f"low correlation ({peak:.2f})"
    elif k in (0, len(values) - 1):
        reason = "the best lag lies at the end of the range"
    elif second > peak - 0.1:
        reason = "several lags fit about as well (periodic motion)"
    elif np.abs(anywhere - lag).max() > 3:
        reason = "parts of the recording disagree"
    elif spread > 1.0:
        reason = f"uncertain by {spread * step_s * 1000:.0f} ms"
    floor = 0.05  # frames; a parabola is no better
    return PairOffset(
        *names,
        offset_s=-lag * step_s,
        sigma_s=max(1.3 * spread, floor) * step_s,  # 1.3: what the jackknife of five misses on synthetic motion
        peak=peak,
        at_zero=float(values[reach]),
        second=second,
        confident=not reason,
        reason=reason,
    )


def solve_offsets(pairs: list[PairOffset], names: list[str]) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Offsets and their sigmas in seconds by weighted least squares over the confident pairs.

    The first camera of each connected group is its zero; cameras that are not connected to the first camera of all
    get None. Pairs that contradict the others by more than four sigmas (and 20 ms) are left out one at a time.
    """
    index = {name: i for i, name in enumerate(names)}
    used = [p for p in pairs if p.confident and p.offset_s is not None and p.sigma_s is not None]
    offsets: dict[str, float | None] = {name: None for name in names}
    sigmas: dict[str, float | None] = {name: None for name in names}
    offsets[names[0]], sigmas[names[0]] = 0.0, 0.0
    while True:
        linked = {0}
        while True:
            more = {i for p in used for i in (index[p.a], index[p.b]) if {index[p.a], index[p.b]} & linked} - linked
            if not more:
                break
            linked |= more
        inside = [p for p in used if index[p.a] in linked]
        free = sorted(linked - {0})
        if not free:
            return offsets, sigmas
        rows, values, weights = np.zeros((len(inside), len(names))), np.zeros(len(inside)), np.zeros(len(inside))
        for r, p in enumerate(inside):
            rows[r, index[p.b]], rows[r, index[p.a]] = 1.0, -1.0
            values[r], weights[r] = float(p.offset_s or 0.0), 1.0 / float(p.sigma_s or 1.0)
        matrix = rows[:, free] * weights[:, None]
        solution, *_ = np.linalg.lstsq(matrix, values * weights, rcond=None)
        residual = np.abs(rows[:, free] @ solution - values)
        odd = residual > np.maximum(4 / weights, 0.02)
        if odd.any() and len(inside) > len(free):
            used.remove(inside[int(np.argmax(residual * odd))])
            continue
        covariance = np.linalg.pinv(matrix.T @ matrix)
        for k, i in enumerate(free):
            offsets[names[i]], sigmas[names[i]] = float(solution[k]), float(np.sqrt(covariance[k, k]))
        return offsets, sigmas

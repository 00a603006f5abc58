"""Frames of a camera on the rows of a common time base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def nearest_rows(times: Floats, grid: Floats, fps: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


def interpolate(xy: Floats, score: Floats, times: Floats, grid: Floats, max_gap_s: float) -> tuple[Floats, Floats]:
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


def increasing(times: Floats, grid: Floats, fps: float) -> Floats:
    """Times (C, T) in which rows without a frame carry the time of the grid, kept strictly increasing."""
    out = times.copy()
    for row in out:
        wrong = np.flatnonzero(np.diff(row) <= 0)
        for k in wrong:  # an empty row next to a late frame
            row[k + 1] = max(row[k + 1], row[k] + 1e-3 / fps)
    return out

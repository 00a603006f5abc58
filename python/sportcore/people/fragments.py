"""Fragments of people put together: those in one place at one time, those that follow each other, those of one size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .identities import BODY_SIZE_SIGMA, bone_sizes, middle

__all__ = ["stitch"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STITCH_COST, CARRIED_BONUS = 1.5, 1.0  #: of fragments that follow each other, see _stitch_cost
SAME_PLACE_M, OVERLAP_S = 0.2, 0.3  #: of fragments of one person that overlap in time


class _Fragment:
    """Part of a person's time in view: when, where at its ends, and how large the body is."""

    def __init__(self, members: list[int], points: Floats, seen: NDArray[np.bool_], length: Floats) -> None:
        self.members = members
        here = seen[members]  # (F, T)
        self.time = np.flatnonzero(here.any(0))
        owner = np.asarray(members)[here.argmax(0)]
        self.owner = owner
        self.begin = _middle_of(points, owner, self.time[:5])
        self.end = _middle_of(points, owner, self.time[-5:])
        d = length[owner[self.time], self.time]
        self.size = bone_sizes(d)


def _middle_of(points: Floats, owner: Ints, frames: Ints) -> Floats:
    return middle(np.swapaxes(points[owner[frames], frames], 0, 1))[0]  # over the frames


def _unlike(a: _Fragment, b: _Fragment) -> float:
    """Median difference of the bones, relative; a middling value where it cannot be told."""
    d = np.abs(a.size - b.size)
    return float(np.nanmedian(d)) if np.isfinite(d).sum() >= 3 else BODY_SIZE_SIGMA


def _apart(a: Floats, b: Floats) -> float:
    d = b - a
    d = d[np.isfinite(d).all(-1)]
    return float(np.linalg.norm(np.median(d, axis=0))) if len(d) >= 2 else np.nan


def _stitch_cost(a: _Fragment, b: _Fragment, points: Floats, carrier: Ints, fps: float, max_gap_s: float) -> float:
    """Of b being the same person as a, where b begins after a; infinite where it cannot be."""
    if b.time[0] < a.time[0] or not len(a.time) or not len(b.time):
        return np.inf
    unlike = _unlike(a, b)
    if unlike > 2.5 * BODY_SIZE_SIGMA and min(len(a.time), len(b.time)) > 15:
        return np.inf
    common = np.intersect1d(a.time, b.time)
    if len(common):
        some = common[np.unique(np.linspace(0, len(common) - 1, 40).astype(int))]
        step, n = middle(points[b.owner[some], some] - points[a.owner[some], some])
        gaps = np.linalg.norm(step[n >= 2], axis=-1)
        gap = float(np.median(gaps)) if len(gaps) else np.inf
        if gap < SAME_PLACE_M:  # at the same place at the same time
            return gap / SAME_PLACE_M - 2.0
        if len(common) > OVERLAP_S * fps:
            return np.inf
    wait = max(float(b.time[0] - a.time[-1]) / fps, 0.0)
    last = carrier[a.owner[a.time[-3:]], :, a.time[-3:]].max(0)  # (C,)
    first = carrier[b.owner[b.time[:3]], :, b.time[:3]].max(0)
    carried = int(np.sum((last == first) & (last >= 0)))
    if wait > max_gap_s and not carried:
        return np.inf
    after = b.time[b.time > a.time[-1]][:5]
    begin = _middle_of(points, b.owner, after) if len(common) and len(after) else b.begin
    gap = _apart(a.end, begin)
    gap = 1.0 if np.isnan(gap) else gap
    reach = 0.5 + 3.0 * wait
    if gap > reach:
        return np.inf
    away = min(wait / max(max_gap_s, 1e-6), 1.0)
    return gap / reach + away + unlike / BODY_SIZE_SIGMA - CARRIED_BONUS * min(carried, 2)


def stitch(carrier: Ints, points: Floats, bones: Ints, fps: float, max_gap_s: float, most: int) -> list[list[int]]:
    """Which fragments are one person: those in one place at one time, those that follow each other closely, and then,
    while there are too many people, those of one size.

    Args:
        carrier: (P, C, T) piece of a track, not interrupted by a meeting with another one, that shows the fragment in
            each camera; -1 where none. A piece that goes on in one camera while the others lose somebody carries the
            identity.
        points: (P, T, J, 3) m.
        bones: (B, 2) joints.
        fps: frames per second.
        max_gap_s: longest gap; fragments further apart are joined by body size alone, and only while there are more
            than ``most`` people and no other could be meant.
        most: people wanted at most.

    Returns:
        Groups of fragments.
    """
    seen = np.isfinite(points[..., 0]).sum(-1) >= 3  # (P, T)
    length = np.linalg.norm(points[:, :, bones[:, 0]] - points[:, :, bones[:, 1]], axis=-1)  # (P, T, B)
    parts = [_Fragment([p], points, seen, length) for p in range(len(points)) if seen[p].any()]
    N = len(parts)
    cost = np.full((N, N), np.inf)
    alive = np.ones(N, bool)

    def update(i: int) -> None:
        for j in range(N):
            if j != i and alive[j]:
                cost[i, j] = _stitch_cost(parts[i], parts[j], points, carrier, fps, max_gap_s)
                cost[j, i] = _stitch_cost(parts[j], parts[i], points, carrier, fps, max_gap_s)

    def join(i: int, j: int) -> None:
        parts[i] = _Fragment(parts[i].members + parts[j].members, points, seen, length)
        alive[j] = False
        cost[j] = cost[:, j] = np.inf
        update(i)

    for i in range(N):
        for j in range(N):
            if i != j:
                cost[i, j] = _stitch_cost(parts[i], parts[j], points, carrier, fps, max_gap_s)
    while N and cost.min() < STITCH_COST:
        k = int(np.argmin(cost))
        join(k // N, k % N)
    while alive.sum() > most:  # the same person after a long absence
        like = np.full((N, N), np.inf)
        for i in np.flatnonzero(alive).tolist():
            for j in np.flatnonzero(alive).tolist():
                a, b = parts[i], parts[j]
                if i < j and min(len(a.time), len(b.time)) > 15 and not len(np.intersect1d(a.time, b.time)):
                    like[i, j] = like[j, i] = _unlike(a, b)
        if not np.isfinite(like).any():
            break
        k = int(np.argmin(like))
        i, j = k // N, k % N
        least = like[i, j]
        like[i, j] = like[j, i] = np.inf
        if least > 0.5 * BODY_SIZE_SIGMA or min(like[i].min(), like[j].min()) < max(2 * least, BODY_SIZE_SIGMA):
            break
        join(i, j)
    return [parts[i].members for i in np.flatnonzero(alive)]

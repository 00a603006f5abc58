"""Who is who over time: settled in space, where people cannot be in one place.

Once cameras are known, the lanes of :mod:`sportcore.people.groups` are triangulated window by window and linked through
time by the distance of their joints from where a person was heading. Input tracks that go on over the border between two
windows speak for the link, but do not decide it: at a crossing they may have changed hands. Afterwards each detection
of each frame is given to the person whose joints, seen by all cameras and bridged over short gaps, it fits best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from ..points3d import TriangulateOptions, reproject, triangulate_batch
from ..types import Rig
from .pairs import FLIP_PENALTY
from .slots import Slots

__all__ = ["link_lanes", "lane_points", "reassign", "stitch"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAR_M, SPEED_M_S = 0.30, 1.5  #: how far from the prediction a person may be: at once, and per second without sight
JUMP_M, JUMP_M_S = 0.2, 6.0  #: further and faster than anybody: the lane has gone over to somebody else
SHARED_BONUS = 0.25  #: in units of that distance, for each camera in which the same track goes on
BRIDGE_S = 0.4  #: gaps bridged for the assignment of detections
BODY_SIZE_SIGMA = 0.06


def lane_points(slots: Sequence[Slots], lanes: Ints, rig: Rig, error_px: float, num_threads: int = 0) -> Floats:
    """Triangulate lanes.

    Args:
        slots: of the C cameras.
        lanes: (L, C, T) track in each camera, -1 where none.
        rig: C cameras with poses.
        error_px: largest residual of an observation that is believed.
        num_threads: 0 for all cores.

    Returns:
        (L, T, J, 3) in the frame of the rig, NaN where unknown.
    """
    L, C, T = lanes.shape
    J = len(slots[0].joints)
    px = np.full((C, L, T, J, 2), np.nan)
    for c, s in enumerate(slots):
        for m in range(s.track.shape[1]):
            lane, t = np.nonzero((lanes[:, c] == s.track[None, :, m]) & (s.track[None, :, m] >= 0))
            px[c, lane, t] = s.px[t, m]
    if not px.size:
        return np.full((L, T, J, 3), np.nan)
    options = TriangulateOptions(max_reprojection_error_px=error_px, num_threads=num_threads)
    found = triangulate_batch(rig, px.reshape(C, -1, 2), options=options, with_covariance=False, with_residuals=False)
    return np.asarray(found.xyz, np.float64).reshape(L, T, J, 3)


@dataclass(frozen=True)
class _Group:
    """A lane in a window: where each joint is first and last, when, and how fast the body moves."""

    lane: int
    span: tuple[int, int]  # first and last frame with a body
    frames: tuple[int, int]  # of the window, end excluded
    first: Floats  # (J, 3)
    first_s: Floats  # (J,)
    last: Floats
    last_s: Floats
    velocity: Floats  # (3,) m/s, NaN where it cannot be told
    tracks: tuple[frozenset[int], ...]  # per camera


def _describe(points: Floats, lanes: Ints, lane: int, t0: int, t1: int, fps: float) -> _Group | None:
    x = points[lane, t0:t1]
    body = np.flatnonzero(np.isfinite(x[..., 0]).sum(-1) >= 3)
    if not len(body):
        return None
    seen = np.isfinite(x[..., 0])
    J = x.shape[1]
    i, j = seen.argmax(0), len(x) - 1 - seen[::-1].argmax(0)
    none = ~seen.any(0)
    ta, tb = np.where(none, np.nan, (t0 + i) / fps), np.where(none, np.nan, (t0 + j) / fps)
    a, b = x[i, np.arange(J)], x[j, np.arange(J)]
    far = tb - ta
    longest = float(np.nanmax(far))
    good = far > 0.5 * longest if longest > 1.5 / fps else np.zeros(J, bool)
    velocity = np.median((b - a)[good] / far[good, None], axis=0) if good.sum() >= 3 else np.full(3, np.nan)
    here = lanes[lane, :, t0:t1]
    tracks = tuple(frozenset(k[k >= 0].tolist()) for k in here)
    return _Group(lane, (t0 + int(body[0]), t0 + int(body[-1])), (t0, t1), a, ta, b, tb, velocity, tracks)


def _jumps(x: Floats, fps: float) -> Ints:
    """Frames of (F, J, 3) before which a body is suddenly elsewhere: somebody else's."""
    body = np.flatnonzero(np.isfinite(x[..., 0]).sum(-1) >= 3)
    out = []
    for a, b in zip(body[:-1], body[1:], strict=True):
        d = x[b] - x[a]
        d = d[np.isfinite(d[:, 0])]
        if len(d) < 3 or np.linalg.norm(np.median(d, axis=0)) > JUMP_M + JUMP_M_S * (b - a) / fps:
            out.append(int(b))
    return np.array(out, np.int64)


def _link_cost(p: _Group, q: _Group, fps: float) -> float:
    """Of q being p a little later; 1 and more: not the same person."""
    dt = q.first_s - p.last_s
    known = np.isfinite(dt)
    if known.sum() < 3:
        return np.inf
    speeds = [v for v in (p.velocity, q.velocity) if np.isfinite(v).all()]
    velocity = np.mean(speeds, axis=0) if speeds else np.zeros(3)
    d = (q.first - p.last - np.clip(dt, 0, 0.5)[:, None] * velocity)[known]
    gap = float(np.linalg.norm(np.median(d, axis=0)))
    wait = (q.span[0] - p.span[1]) / fps
    reach = NEAR_M + SPEED_M_S * max(wait, 0.0)
    if gap >= reach:
        return np.inf
    shared = sum(bool(a & b) for a, b in zip(p.tracks, q.tracks, strict=True))
    return gap / reach + 0.5 * wait - SHARED_BONUS * min(shared, 3)


def link_lanes(points: Floats, lanes: Ints, edges: Ints, fps: float) -> Ints:
    """Link the lanes of all windows into people, by the cheapest matching of all ends with all beginnings.

    Args:
        points: (L, T, J, 3) of :func:`lane_points`, m.
        lanes: (L, C, T).
        edges: first frames of the windows.
        fps: frames per second.

    Returns:
        (P, C, T) track of each person in each camera, -1 where none. Gaps are up to a second long.
    """
    _, C, T = lanes.shape
    ends = np.append(edges[1:], T)
    groups: list[_Group] = []
    for t0, t1 in zip(edges, ends, strict=True):
        for lane in range(len(lanes)):
            cuts = _jumps(points[lane, t0:t1], fps) + int(t0)
            for u0, u1 in zip([int(t0), *cuts], [*cuts, int(t1)], strict=True):
                one = _describe(points, lanes, lane, int(u0), int(u1), fps)
                if one is not None:
                    groups.append(one)
    groups.sort(key=lambda g: g.span)
    starts = np.array([g.span[0] for g in groups], np.int64)
    rows, columns, costs = [], [], []
    for i, p in enumerate(groups):
        a, b = np.searchsorted(starts, [p.span[1] + 1, p.span[1] + max(1, round(fps)) + 1])
        for j in range(int(a), int(b)):
            cost = _link_cost(p, groups[j], fps)
            if cost < 1.0:
                rows.append(i)
                columns.append(j)
                costs.append(cost)
    follows = _cheapest(np.array(rows, np.int64), np.array(columns, np.int64), np.array(costs), len(groups))
    out: list[Ints] = []
    begun = set(range(len(groups))) - set(follows.values())
    for head in sorted(begun):
        person = np.full((C, T), -1, np.int64)
        at: int | None = head
        while at is not None:
            g = groups[at]
            part = lanes[g.lane, :, g.frames[0] : g.frames[1]]
            into = person[:, g.frames[0] : g.frames[1]]
            into[...] = np.where(part >= 0, part, into)
            at = follows.get(at)
        out.append(person)
    return np.stack(out) if out else np.full((0, C, T), -1, np.int64)


def _cheapest(rows: Ints, columns: Ints, costs: Floats, count: int) -> dict[int, int]:
    """Matching of ends with beginnings of least cost, where staying alone costs one half at each side."""
    if not len(rows):
        return {}
    # Every end may take a stand-in instead of a beginning; the stand-ins left over match each other.
    n, shift = count, 2.0  # weights must not be zero
    i = np.concatenate([rows, np.arange(n), n + np.arange(n), n + columns])
    j = np.concatenate([columns, n + np.arange(n), np.arange(n), n + rows])
    w = np.concatenate([costs, np.full(2 * n, 0.5), np.zeros(len(rows))]) + shift
    match = min_weight_full_bipartite_matching(csr_matrix((w, (i, j)), shape=(2 * n, 2 * n)))
    return {int(a): int(b) for a, b in zip(*match, strict=True) if a < n and b < n}


def stitch(chosen: Ints, points: Floats, bones: Ints, fps: float, max_gap_s: float, most: int) -> list[list[int]]:
    """Which fragments are one person: those that follow each other closely, then those of one size.

    Args:
        chosen: (P, C, T) track of each fragment.
        points: (P, T, J, 3).
        bones: (B, 2) joints.
        fps: frames per second.
        max_gap_s: longest gap; fragments further apart are joined by body size alone, and only while there are more
            than ``most`` people.
        most: people wanted at most.

    Returns:
        Groups of fragments.
    """
    P, T = len(points), points.shape[1]
    seen = np.isfinite(points[..., 0]).sum(-1) >= 3  # (P, T)
    groups = [[p] for p in range(P) if seen[p].any()]
    length = np.linalg.norm(points[:, :, bones[:, 0]] - points[:, :, bones[:, 1]], axis=-1)  # (P, T, B)

    def size(g: list[int]) -> Floats:
        d = np.concatenate([length[p][seen[p]] for p in g])
        known = np.isfinite(d).sum(0) >= 8
        out = np.full(d.shape[1], np.nan)
        if known.any():
            out[known] = np.log(np.nanmedian(d[:, known], axis=0))
        return out

    def differ(a: list[int], b: list[int]) -> float:
        d = np.abs(size(a) - size(b))
        return float(np.median(d[np.isfinite(d)])) if np.isfinite(d).any() else 0.05

    def when(g: list[int]) -> Ints:
        return np.flatnonzero(np.any([seen[p] for p in g], axis=0))

    while True:
        best: tuple[float, int, int] | None = None
        for i, a in enumerate(groups):
            for j, b in enumerate(groups):
                ta, tb = when(a), when(b)
                if i == j or not (ta[-1] < tb[0]):
                    continue
                wait = float(tb[0] - ta[-1]) / fps
                if wait > max_gap_s:
                    continue
                p = next(q for q in a if seen[q, ta[-1]])
                q = next(r for r in b if seen[r, tb[0]])
                d = points[q, tb[0]] - points[p, ta[-1]]
                d = d[np.isfinite(d).all(-1)]
                gap = float(np.linalg.norm(np.median(d, axis=0))) if len(d) else 1.0
                shared = int(np.sum((chosen[p, :, ta[-1]] == chosen[q, :, tb[0]]) & (chosen[p, :, ta[-1]] >= 0)))
                unlike = differ(a, b)
                reach = 0.5 + 3.0 * wait
                if gap > reach or (unlike > 2.5 * BODY_SIZE_SIGMA and min(len(ta), len(tb)) > 15):
                    continue
                cost = gap / reach + wait / max(max_gap_s, 1e-6) + unlike / BODY_SIZE_SIGMA - 0.3 * shared
                if best is None or cost < best[0]:
                    best = (cost, i, j)
        if best is None:
            break
        _, i, j = best
        groups[i] = groups[i] + groups[j]
        del groups[j]
    while len(groups) > most:  # the same person after a long absence
        options = [
            (differ(a, b), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j and not np.intersect1d(when(a), when(b)).size and min(len(when(a)), len(when(b))) > 15
        ]
        if not options or min(options)[0] > BODY_SIZE_SIGMA:
            break
        _, i, j = min(options)
        groups[i] = groups[i] + groups[j]
        del groups[j]
    return groups


def bridged(points: Floats, fps: float) -> Floats:
    """(T, J, 3) without jumps, short gaps filled in a straight line."""
    T, J = points.shape[:2]
    out = points.copy()
    centre = np.full((T, 3), np.nan)
    some = np.isfinite(out[..., 0]).sum(-1) >= 3
    centre[some] = np.nanmedian(out[some], axis=1)
    k = max(1, round(0.25 * fps))
    for t in np.flatnonzero(some):
        near = centre[max(0, t - k) : t + k + 1]
        near = near[np.isfinite(near[:, 0])]
        if len(near) >= 3 and np.linalg.norm(centre[t] - np.median(near, axis=0)) > 0.4:
            out[t] = np.nan
    most = max(1, round(BRIDGE_S * fps))
    index = np.arange(T)
    for j in range(J):
        t = np.flatnonzero(np.isfinite(out[:, j, 0]))
        if not len(t):
            continue
        before = np.searchsorted(t, index, side="right") - 1
        after = np.minimum(before + 1, len(t) - 1)
        lo, hi = t[np.maximum(before, 0)], t[after]
        short = (before >= 0) & (hi > lo) & (hi - lo <= most) & (index > lo)
        a = ((index - lo) / np.maximum(hi - lo, 1))[:, None]
        fill = short & ~np.isfinite(out[:, j, 0])
        out[fill, j] = ((1 - a) * out[lo, j] + a * out[hi, j])[fill]
        # a little beyond the ends of what is known
        near = np.abs(index[:, None] - t[None, [0, -1]]) <= 2
        for e, s in ((0, t[0]), (1, t[-1])):
            extra = near[:, e] & ~np.isfinite(out[:, j, 0])
            out[extra, j] = out[s, j]
    return out


def reassign(slots: Sequence[Slots], points: Floats, rig: Rig, tau_px: float, flip: Ints | None, fps: float) -> Ints:
    """Give every detection to the person it fits.

    Args:
        slots: of the C cameras.
        points: (P, T, J, 3) people.
        rig: cameras with poses.
        tau_px: residual from which on an observation speaks against a person.
        flip: permutation that exchanges left and right, or None.
        fps: frames per second.

    Returns:
        (P, C, T) track, -1 where none fits.
    """
    P, T, J = points.shape[:3]
    C = len(slots)
    out = np.full((P, C, T), -1, np.int64)
    if not P:
        return out
    smooth = np.stack([bridged(p, fps) for p in points])
    uv = np.asarray(reproject(smooth.reshape(P * T, J, 3), rig)).reshape(C, P, T, J, 2)

    def score_of(uv_c: Floats, px: Floats) -> tuple[Floats, Floats]:
        r = np.linalg.norm(uv_c[:, :, None] - px[None], axis=-1)  # (P, T, M, J)
        seen = np.isfinite(r)
        return np.where(seen, np.maximum(1 - (r / tau_px) ** 2, -1.0), 0.0).sum(-1), seen.sum(-1).astype(float)

    for c, s in enumerate(slots):
        M = s.track.shape[1]
        if not M:
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            score, n = score_of(uv[c], s.px)
            if flip is not None:
                turned, m = score_of(uv[c], s.px[:, :, flip])
                score = np.maximum(score, turned - FLIP_PENALTY * m)
        fits = (n >= 4) & (score > 0.1 * n)
        score = np.where(fits, score, 0.0)
        for t in np.flatnonzero(fits.any((0, 2))):
            S = score[:, t]
            if (S > 0).sum(0).max() <= 1 and (S > 0).sum(1).max() <= 1:
                p, m = np.nonzero(S > 0)
            else:
                p, m = linear_sum_assignment(-S)
                ok = S[p, m] > 0
                p, m = p[ok], m[ok]
            out[p, c, t] = s.track[t, m]
    return out

"""Who is who over time: settled in space, where people cannot be in one place.

Once cameras are known, the lanes of :mod:`sportcore.people.groups` are triangulated window by window and linked
through time by the distance of their joints from where a person was heading. Input tracks that go on over the border
between two windows speak for the link, but do not decide it: at a crossing they may have changed hands. Afterwards each
detection of each frame is given to the person whose joints, seen by all cameras and bridged over short gaps, it fits
best; people are taken apart where they jump or are lost, and linked once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from ..points3d import TriangulateOptions, reproject, triangulate_batch
from ..types import Rig
from .pairs import FLIP_PENALTY
from .slots import Slots

__all__ = ["joined", "lane_points", "link_lanes", "motion", "reassign", "relink"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAR_M, SPEED_M_S = 0.20, 1.2  #: how far from the prediction a person may be: at once, and per second without sight
JUMP_M, JUMP_M_S = 0.2, 6.0  #: further and faster than anybody: the lane has gone over to somebody else
TURN_M_S, TURN_M_S2 = 2.0, 10.0  #: by how much a velocity may differ, at once, and more with the time without sight
CUT_TURN_M_S = 3.5  #: change of the velocity within 0.2 s at which a person is cut, to be linked anew
MOST_TURNED = 0.6  #: what that costs at most
SHARED_BONUS = 0.25  #: in units of that distance, for each camera in which the same track goes on
BRIDGE_S = 0.4  #: gaps bridged for the assignment of detections
BODY_SIZE_SIGMA = 0.04  #: relative difference of bone lengths at which two bodies begin to differ


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
    out = np.full((L, T, J, 3), np.nan)
    lane, t = np.nonzero((lanes >= 0).sum(1) >= 2)  # the others have no points
    if not len(lane):
        return out
    px = np.full((C, len(lane), J, 2), np.nan)
    for c, s in enumerate(slots):
        track = lanes[lane, c, t]
        for m in range(s.track.shape[1]):
            here = (track >= 0) & (s.track[t, m] == track)
            px[c, here] = s.px[t[here], m]
    options = TriangulateOptions(max_reprojection_error_px=error_px, num_threads=num_threads)
    found = triangulate_batch(rig, px.reshape(C, -1, 2), options=options, with_covariance=False, with_residuals=False)
    out[lane, t] = np.asarray(found.xyz, np.float64).reshape(-1, J, 3)
    return out


@dataclass(frozen=True)
class _End:
    """One end of a stretch: where each joint is, when, how fast the body moves, and which tracks show it."""

    joints: Floats  # (J, 3)
    when: Floats  # (J,) s
    velocity: Floats  # (3,) m/s, NaN where it cannot be told
    tracks: tuple[frozenset[int], ...]  # per camera


@dataclass(frozen=True)
class _Stretch:
    """Part of a lane or of a person that is surely one person."""

    row: int
    span: tuple[int, int]  # first and last frame with a body
    begin: _End
    end: _End
    size: Floats | None = None  # (B,) log bone lengths, NaN where unknown


def _stretch(points: Floats, chosen: Ints, row: int, t0: int, t1: int, fps: float, reach: int) -> _Stretch | None:
    """Frames t0 to t1 (excluded) of a row; its ends are described by ``reach`` frames each."""
    body = t0 + np.flatnonzero(np.isfinite(points[row, t0:t1, :, 0]).sum(-1) >= 3)
    if not len(body):
        return None
    a, b = int(body[0]), int(body[-1])
    begin = _end(points, chosen, row, a, min(a + reach, b + 1), fps, False)
    end = _end(points, chosen, row, max(b + 1 - reach, a), b + 1, fps, True)
    return _Stretch(row, (a, b), begin, end)


def _end(points: Floats, chosen: Ints, row: int, t0: int, t1: int, fps: float, last: bool) -> _End:
    x = points[row, t0:t1]
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
    tracks = tuple(frozenset(k[k >= 0].tolist()) for k in chosen[row, :, t0:t1])
    return _End(b, tb, velocity, tracks) if last else _End(a, ta, velocity, tracks)


def middle(values: Floats) -> tuple[Floats, Ints]:
    """Median over the second axis of (N, J, 3), NaN left out, and how many there were. (np.nanmedian is slow.)"""
    ordered = np.sort(values, axis=1)  # NaN last
    n = np.isfinite(values[..., 0]).sum(1)
    at = np.maximum(n - 1, 0) // 2
    return np.take_along_axis(ordered, at[:, None, None], 1)[:, 0], n


def _jumps(x: Floats, fps: float) -> Ints:
    """Frames of (F, J, 3) before which a body is suddenly elsewhere: somebody else's."""
    body = np.flatnonzero(np.isfinite(x[..., 0]).sum(-1) >= 3)
    if len(body) < 2:
        return np.zeros(0, np.int64)
    step, n = middle(x[body[1:]] - x[body[:-1]])
    far = JUMP_M + JUMP_M_S * np.diff(body) / fps
    with np.errstate(invalid="ignore"):
        return np.asarray(body[1:][(n < 3) | (np.linalg.norm(step, axis=-1) > far)])


def _turns(x: Floats, fps: float) -> Ints:
    """Frames of (F, J, 3) before which a body suddenly moves another way than within the 0.2 s before: it may be
    somebody else's who came the other way.
    """
    centre, n = middle(x)
    k = max(2, round(0.2 * fps))
    known = np.flatnonzero(n >= 3)
    if len(known) < 2 * k + 2:
        return np.zeros(0, np.int64)
    c, at = centre[known], known / fps
    speed = (c[k:] - c[:-k]) / (at[k:] - at[:-k])[:, None]  # speed[i]: from known[i] to known[i + k]
    near = at[2 * k + 1 :] - at[: -2 * k - 1] < 2 * (2 * k + 1) / fps
    change = np.where(near, np.linalg.norm(speed[k + 1 :] - speed[: -k - 1], axis=-1), 0.0)
    top = maximum_filter1d(change, 2 * k + 1) if len(change) else change
    return np.asarray(known[k + 1 :][: len(change)][(change == top) & (change > CUT_TURN_M_S)])


def _link_cost(p: _Stretch, q: _Stretch, fps: float) -> float:
    """Of q being p a little later; 1 and more: not the same person."""
    dt = q.begin.when - p.end.when
    known = np.isfinite(dt)
    if known.sum() < 3:
        return np.inf
    speeds = [v for v in (p.end.velocity, q.begin.velocity) if np.isfinite(v).all()]
    velocity = np.mean(speeds, axis=0) if speeds else np.zeros(3)
    d = q.begin.joints - p.end.joints - np.clip(dt, -0.2, 0.5)[:, None] * velocity
    gap = float(np.linalg.norm(middle(d[None])[0]))
    wait = abs(q.span[0] - p.span[1]) / fps
    reach = NEAR_M + SPEED_M_S * wait
    if gap >= reach:
        return np.inf
    shared = sum(bool(a & b) for a, b in zip(p.end.tracks, q.begin.tracks, strict=True))
    turned = 0.0
    if len(speeds) == 2:  # nobody turns round at once: two who pass each other have exchanged their names
        turned = (float(np.linalg.norm(speeds[1] - speeds[0])) / (TURN_M_S + TURN_M_S2 * wait)) ** 2
        turned = min(0.5 * turned, MOST_TURNED)
    unlike = 0.0
    if p.size is not None and q.size is not None:
        d = np.abs(p.size - q.size)
        unlike = float(np.nanmedian(d)) if np.isfinite(d).sum() >= 3 else 0.0
    if unlike > 3 * BODY_SIZE_SIGMA:
        return np.inf
    return gap / reach + 0.5 * wait + turned - SHARED_BONUS * min(shared, 3) + 0.25 * unlike / BODY_SIZE_SIGMA


def _link(stretches: list[_Stretch], chosen: Ints, fps: float, overlap: int) -> Ints:
    """(P, C, T) people from stretches, by the cheapest matching of all ends with all beginnings."""
    _, C, T = chosen.shape
    stretches = sorted(stretches, key=lambda g: g.span)
    starts = np.array([g.span[0] for g in stretches], np.int64)
    first = np.array([middle(g.begin.joints[None])[0][0] for g in stretches]).reshape(-1, 3)
    last = np.array([middle(g.end.joints[None])[0][0] for g in stretches]).reshape(-1, 3)
    rows, columns, costs = [], [], []
    for i, p in enumerate(stretches):
        a, b = np.searchsorted(starts, [p.span[1] + 1 - overlap, p.span[1] + max(1, round(fps)) + 1])
        wait = np.abs(starts[a:b] - p.span[1]) / fps
        near = np.linalg.norm(first[a:b] - last[i], axis=-1) < 1.0 + (SPEED_M_S + JUMP_M_S) * wait
        for j in (int(a) + np.flatnonzero(near)).tolist():
            q = stretches[j]
            if i == j or q.span[0] <= p.span[0] or q.span[1] <= p.span[1]:
                continue
            cost = _link_cost(p, q, fps)
            if cost < 1.0:
                rows.append(i)
                columns.append(j)
                costs.append(cost)
    follows = _cheapest(np.array(rows, np.int64), np.array(columns, np.int64), np.array(costs), len(stretches))
    out: list[Ints] = []
    for head in sorted(set(range(len(stretches))) - set(follows.values())):
        person = np.full((C, T), -1, np.int64)
        at: int | None = head
        while at is not None:
            g = stretches[at]
            part = chosen[g.row, :, g.span[0] : g.span[1] + 1]
            into = person[:, g.span[0] : g.span[1] + 1]
            into[...] = np.where(part >= 0, part, into)
            at = follows.get(at)
        out.append(person)
    return np.stack(out) if out else np.full((0, C, T), -1, np.int64)


def link_lanes(points: Floats, lanes: Ints, edges: Ints, fps: float) -> Ints:
    """Link the lanes of all windows into people.

    Args:
        points: (L, T, J, 3) of :func:`lane_points`, m.
        lanes: (L, C, T).
        edges: first frames of the windows.
        fps: frames per second.

    Returns:
        (P, C, T) track of each person in each camera, -1 where none. Gaps are up to a second long.
    """
    stretches: list[_Stretch] = []
    for t0, t1 in zip(edges, np.append(edges[1:], lanes.shape[2]), strict=True):
        for lane in range(len(lanes)):
            cuts = [int(t) + int(t0) for t in _jumps(points[lane, t0:t1], fps)]
            for u0, u1 in zip([int(t0), *cuts], [*cuts, int(t1)], strict=True):
                one = _stretch(points, lanes, lane, u0, u1, fps, u1 - u0)
                if one is not None:
                    stretches.append(one)
    return _link(stretches, lanes, fps, 0)


def relink(points: Floats, people: Ints, bones: Ints, fps: float) -> Ints:
    """Take people apart where they are lost or jump, and link the stretches anew.

    After detections were given to people frame by frame, the ends of stretches are where they are seen to be, not at
    the borders of windows.

    Args:
        points: (P, T, J, 3) m.
        people: (P, C, T).
        bones: (B, 2) joints.
        fps: frames per second.
    """
    stretches: list[_Stretch] = []
    most = max(2, round(0.1 * fps))
    reach = max(3, round(0.3 * fps))
    for row, x in enumerate(points):
        body = np.flatnonzero(np.isfinite(x[..., 0]).sum(-1) >= 3)
        lost = body[1:][np.diff(body) > most]
        cuts = sorted({int(t) for t in lost} | {int(t) for t in _jumps(x, fps)} | {int(t) for t in _turns(x, fps)})
        for u0, u1 in zip([0, *cuts], [*cuts, len(x)], strict=True):
            one = _stretch(points, people, row, u0, u1, fps, reach)
            if one is not None:
                length = np.linalg.norm(x[u0:u1, bones[:, 0]] - x[u0:u1, bones[:, 1]], axis=-1)
                stretches.append(replace(one, size=bone_sizes(length)))
    return _link(stretches, people, fps, most)


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


def bone_sizes(length: Floats) -> Floats:
    """(B,) log of the median lengths (F, B), NaN where there are fewer than eight."""
    known = np.isfinite(length).sum(0) >= 8
    out = np.full(length.shape[1], np.nan)
    if known.any():
        out[known] = np.log(np.maximum(np.nanmedian(length[:, known], axis=0), 1e-6))
    return out


def bridged(points: Floats, fps: float) -> Floats:
    """(T, J, 3) without jumps, short gaps filled in a straight line."""
    T, J = points.shape[:2]
    out = points.copy()
    centre, n = middle(out)
    centre[n < 3] = np.nan
    k = max(1, round(0.25 * fps))
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(centre, ((k, k), (0, 0)), constant_values=np.nan), 2 * k + 1, 0
    )
    usual, count = middle(np.swapaxes(around, 1, 2))
    with np.errstate(invalid="ignore"):
        out[(count >= 3) & (np.linalg.norm(centre - usual, axis=-1) > 0.4)] = np.nan
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

    def score_of(uv: Floats, px: Floats) -> tuple[Floats, Floats]:
        r = np.linalg.norm(uv[:, :, None] - px[None], axis=-1)  # (P, F, M, J)
        seen = np.isfinite(r)
        return np.where(seen, np.maximum(1 - (r / tau_px) ** 2, -1.0), 0.0).sum(-1), seen.sum(-1).astype(float)

    for frames in np.array_split(np.arange(T), -(-T // 512)):
        uv = np.asarray(reproject(smooth[:, frames].reshape(-1, J, 3), rig)).reshape(C, P, len(frames), J, 2)
        for c, s in enumerate(slots):
            if not s.track.shape[1]:
                continue
            px = s.px[frames]
            with np.errstate(invalid="ignore", over="ignore"):
                score, n = score_of(uv[c], px)
                if flip is not None:
                    turned, m = score_of(uv[c], px[:, :, flip])
                    score = np.maximum(score, turned - FLIP_PENALTY * m)
            score = np.where((n >= 4) & (score > 0.1 * n), score, 0.0)
            for f in np.flatnonzero((score > 0).any((0, 2))):
                S = score[:, f]
                if (S > 0).sum(0).max() <= 1 and (S > 0).sum(1).max() <= 1:
                    who, slot = np.nonzero(S > 0)
                else:
                    who, slot = linear_sum_assignment(-S)
                    ok = S[who, slot] > 0
                    who, slot = who[ok], slot[ok]
                out[who, c, frames[f]] = s.track[frames[f], slot]
    return out


def joined(chosen: Ints) -> Ints:
    """One person from fragments (F, C, T): the first that has a track."""
    out = chosen[0].copy()
    for other in chosen[1:]:
        out = np.where(out >= 0, out, other)
    return out


def motion(points: Floats) -> float:
    """How far the body moves: extent (5 to 95 %) of the livelier joints of (T, J, 3), m."""
    best = []
    for j in range(points.shape[1]):
        x = points[np.isfinite(points[:, j, 0]), j]
        if len(x) >= 5:
            low, high = np.percentile(x, [5, 95], axis=0)
            best.append(float(np.linalg.norm(high - low)))
    return float(np.percentile(best, 75)) if best else 0.0

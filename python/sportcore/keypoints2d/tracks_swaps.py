"""Left/right swaps of one person's tracks: found over time in each camera and across cameras, with a margin.

Every frame of every camera has a hidden state of three bits: trunk, arms and legs exchanged or not. What the state
must explain is (a) over time: the vector from the right to the left joint of a pair moves smoothly once the signs
are right; (b) across views, when a rig is known: equal joints lie on each other's epipolar planes, or near the
projections of approximate 3D points. The states of one camera are a second-order Markov chain; its min-marginals
(Viterbi forward and backward) give the best labels and how much worse the opposite would be. Cameras are visited in
turn, each judged against the others by their current soft labels, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sportcore.keypoints2d.tracks_common import Floats, Mask

_BITS = np.array([[(s >> g) & 1 for g in range(3)] for s in range(8)])  # state -> (trunk, arms, legs)
_CAP = 6.0  # nats: no single distance says more than this


@dataclass(frozen=True)
class SwapCosts:
    """Penalties in nats: of a state, of a disagreement between parts, of a change of state."""

    per_frame: float = 0.07
    disagree: float = 0.1
    switch: float = 6.0
    switch_more: float = 1.5
    max_bridge_s: float = 0.5


@dataclass(frozen=True)
class SwapLabels:
    """Result: ``swapped`` (C, T, 3) and ``wrong_probability`` (C, T, 3), the chance that the label is wrong."""

    swapped: Mask
    wrong_probability: Floats


def _cost(distance: Floats, sigma: Floats | float) -> Floats:
    """Negative log-likelihood, up to a constant, of a distance: Gaussian of scale sigma, or a gross error."""
    x = 0.5 * (distance / sigma) ** 2
    with np.errstate(invalid="ignore"):  # NaN where an observation is missing
        return np.asarray(-np.logaddexp(-x, -_CAP))


def _scale(values: Floats, floor: float) -> float:
    known = values[np.isfinite(values)]
    return max(float(np.median(known)) / 1.1774 if len(known) else floor, floor)


def continuity_costs(
    xy: Floats,
    sizes: Floats,
    times: Floats,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    group: NDArray[np.int64],
    max_bridge_s: float,
) -> Floats:
    """Cost (T, 3, 2, 2) of one camera's frames for "state differs from the last", "differs from the last but one".

    xy (T, J, 2) px; sizes (T,) px; times (T,) s. The scale of the prediction error is measured on the track itself.
    """
    frames = len(xy)
    out = np.zeros((frames, 3, 2, 2))
    d = xy[:, left] - xy[:, right]  # (T, P, 2): a swap is a change of its sign
    seen = np.isfinite(d[..., 0])
    last = np.where(seen, np.arange(frames)[:, None], -1)
    last = np.maximum.accumulate(last, axis=0)
    for p, g in enumerate(group):
        now = np.flatnonzero(seen[:, p])
        now = now[now >= 1]
        before = last[now - 1, p]
        now, before = now[before >= 0], before[before >= 0]
        gap = times[now] - times[before]
        keep = gap <= max_bridge_s
        now, before, gap = now[keep], before[keep], gap[keep]
        if not len(now):
            continue
        size = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 1.0
        floor = 0.003 * size
        adjacent = before == now - 1
        earlier = np.where(now >= 2, last[np.maximum(before - 1, 0), p], -1)
        second = adjacent & (before >= 1) & (earlier == before - 1)
        # Constant velocity from the last two frames.
        k, k1, k2 = now[second], before[second], earlier[second]
        if len(k):
            rho = np.clip(gap[second] / (times[k1] - times[k2]), 0.2, 2.0)[:, None]
            e = np.empty((len(k), 2, 2))
            for r1 in (0, 1):
                for r2 in (0, 1):
                    predicted = (1 - 2 * r1) * (1 + rho) * d[k1, p] - (1 - 2 * r2) * rho * d[k2, p]
                    e[:, r1, r2] = np.linalg.norm(d[k, p] - predicted, axis=-1)
            sigma = _scale(e.min((1, 2)), floor)
            np.add.at(out, (k, g), _cost(e, sigma))
        # The last value, where the velocity is not known or the joint was away for a while.
        first = ~second
        k, k1 = now[first], before[first]
        if len(k):
            e2 = np.stack([np.linalg.norm(d[k, p] - s * d[k1, p], axis=-1) for s in (1.0, -1.0)], -1)
            step = np.linalg.norm(d[now, p] - d[before, p], axis=-1) / np.maximum(gap, 1e-6)
            flipped = np.linalg.norm(d[now, p] + d[before, p], axis=-1) / np.maximum(gap, 1e-6)
            speed = max(_scale(np.minimum(step, flipped), 0.0), floor / max(float(np.median(gap)), 1e-6))
            cost = _cost(e2, (speed * gap[first] + floor)[:, None])
            near = adjacent[first]
            np.add.at(out, (k[near], g), cost[near][:, :, None])
            np.add.at(out, (k[~near], g), cost[~near][:, None, :])
    return out


def chain(pairwise: Floats, unary: Floats, costs: SwapCosts) -> tuple[Mask, Floats]:
    """Best states of a second-order chain and the margin of every bit.

    Args:
        pairwise: (T, 3, 2, 2) from :func:`continuity_costs`.
        unary: (T, 8) cost of each state.
        costs: penalties.

    Returns:
        Labels (T, 3) and margins (T, 3): cost of the best chain with the opposite bit minus that of the best chain.
    """
    frames = len(unary)
    s2, s1, s0 = np.meshgrid(np.arange(8), np.arange(8), np.arange(8), indexing="ij")
    index = np.stack([2 * (_BITS[s0, g] ^ _BITS[s1, g]) + (_BITS[s0, g] ^ _BITS[s2, g]) for g in range(3)])
    changes = np.array([[np.sum(_BITS[a] != _BITS[b]) for b in range(8)] for a in range(8)])
    switch = np.where(changes > 0, costs.switch + costs.switch_more * (changes - 1), 0.0)
    flat = pairwise.reshape(frames, 3, 4)
    unary = unary + costs.per_frame * (_BITS.sum(1) > 0) + costs.disagree * np.abs(_BITS[:, :1] - _BITS[:, 1:]).sum(1)

    def block(t: int) -> Floats:
        f = flat[t]
        return np.asarray(f[0, index[0]] + f[1, index[1]] + f[2, index[2]])

    forward = np.empty((frames, 8, 8))
    forward[0] = np.where(np.eye(8, dtype=bool), unary[0], np.inf)
    plain = ~flat.any((1, 2))
    for t in range(1, frames):
        f = forward[t - 1][:, :, None]
        through = f.min(0) if plain[t] else (f + block(t)).min(0)
        now = through + unary[t] + switch
        forward[t] = now - now.min()
    backward = np.zeros((8, 8))
    margins, labels = np.empty((frames, 3)), np.empty((frames, 3), bool)
    for t in range(frames - 1, -1, -1):
        best = (forward[t] + backward).min(0)
        for g in range(3):
            on, off = best[_BITS[:, g] == 1].min(), best[_BITS[:, g] == 0].min()
            labels[t, g], margins[t, g] = on < off, abs(on - off)
        tail = unary[t] + switch + backward  # [s(t-1), s(t)]
        # Message to frame t-1: a function of (s(t-2), s(t-1)).
        back = (tail[None] + block(t)).min(2) if not plain[t] else np.broadcast_to(tail.min(1), (8, 8))
        backward = back - back.min()
    return labels, margins


def pair_evidence(same: Floats, cross: Floats, group: NDArray[np.int64]) -> Floats:
    """Sum (T, P) costs to groups: evidence (T, 3) for "both cameras name the sides alike", NaN counting nothing."""
    gain = np.nan_to_num(cross - same)
    out = np.zeros((len(gain), 3))
    for g in range(3):
        if (group == g).any():
            out[:, g] = gain[:, group == g].sum(1)
    return out


def view_evidence(
    distance: Callable[[int, int, NDArray[np.int64], NDArray[np.int64]], Floats],
    count: int,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    group: NDArray[np.int64],
    floor: float,
    limit: float,
) -> tuple[dict[tuple[int, int], Floats], dict[tuple[int, int], float]]:
    """Evidence (T, 3) of every camera pair, and the scale of its epipolar distances.

    ``distance(a, b, i, j)`` gives (T, P) epipolar distances between joints i of camera a and j of camera b, NaN where
    one is missing, in the unit of ``floor`` and ``limit``. Pairs whose scale exceeds ``limit`` say nothing.
    """
    evidence: dict[tuple[int, int], Floats] = {}
    scales: dict[tuple[int, int], float] = {}
    for a in range(count):
        for b in range(a + 1, count):
            ll, rr = distance(a, b, left, left), distance(a, b, right, right)
            lr, rl = distance(a, b, left, right), distance(a, b, right, left)
            known = np.isfinite(np.stack([ll, rr, lr, rl]))
            n_same, n_cross = known[:2].sum(0), known[2:].sum(0)
            fair = (n_same == n_cross) & (n_same > 0)
            if fair.sum() < 10:
                continue
            root = np.sqrt(np.maximum(n_same, 1))
            whole_same = np.sqrt(np.nansum([ll**2, rr**2], axis=0)) / root
            whole_cross = np.sqrt(np.nansum([lr**2, rl**2], axis=0)) / root
            best = np.where(fair, np.minimum(whole_same, whole_cross), np.nan)
            scale = max(float(np.nanmedian(best)) / 0.83, floor)
            scales[a, b] = scale
            if scale > limit:
                continue
            same = np.nansum([_cost(ll, scale), _cost(rr, scale)], axis=0)
            cross = np.nansum([_cost(lr, scale), _cost(rl, scale)], axis=0)
            evidence[a, b] = pair_evidence(np.where(fair, same, np.nan), np.where(fair, cross, np.nan), group)
    return evidence, scales


def label_swaps(
    pairwise: list[Floats | None],
    evidence: dict[tuple[int, int], Floats],
    reprojection: list[Floats | None],
    frames: int,
    costs: SwapCosts,
    sweeps: int = 6,
) -> SwapLabels:
    """Joint labels of all cameras.

    Args:
        pairwise: per camera (T, 3, 2, 2), or None where the camera saw nobody.
        evidence: per camera pair (T, 3), see :func:`view_evidence`; empty without a rig.
        reprojection: per camera (T, 3) evidence for "not swapped" from approximate 3D points, or None.
        frames: T.
        costs: penalties.
        sweeps: rounds over the cameras.
    """
    count = len(pairwise)
    # Each observation enters one term per partner camera: together they count about once.
    weight = 2.0 / max(count, 2)
    soft = np.zeros((count, frames, 3))
    labels = np.zeros((count, frames, 3), bool)
    margins = np.full((count, frames, 3), 50.0)
    for sweep in range(sweeps + 1 if evidence else 1):
        before = labels.copy()
        for c in range(count):
            costs_c = pairwise[c]
            if costs_c is None:
                continue
            pull = np.zeros((frames, 3))  # positive: stay unswapped
            for (a, b), e in evidence.items():
                if sweep and c in (a, b):  # first every camera alone over time
                    pull += weight * e * (1 - 2 * soft[b if a == c else a])
            direct = reprojection[c]
            if direct is not None:
                pull += direct
            labels[c], margins[c] = chain(costs_c, pull @ _BITS.T, costs)
            wrong = 1 / (1 + np.exp(np.minimum(margins[c], 50.0)))
            soft[c] = np.where(labels[c], 1 - wrong, wrong)
        if sweep and (labels == before).all():
            break
    wrong = 1 / (1 + np.exp(np.minimum(margins, 50.0)))
    return SwapLabels(labels, wrong)

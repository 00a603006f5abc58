"""Left/right swaps of one person's tracks: found over time in each camera and across cameras, with a margin.

Every frame of every camera has a hidden state of three bits: trunk, arms and legs exchanged or not. What the state
must explain is (a) over time: the vector from the right to the left joint of a pair moves smoothly once the signs
are right; (b) across views, when a rig is known: equal joints lie on each other's epipolar planes, or near the
projections of approximate 3D points. The states of one camera are a second-order Markov chain; its min-marginals
(Viterbi forward and backward) give the best labels and how much worse the opposite would be. First every camera is
judged alone over time; then each half of the cameras in turn against all others by their current soft labels, until
nothing changes.
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


def gross_error_cost(distance: Floats, sigma: Floats | float) -> Floats:
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
            np.add.at(out, (k, g), gross_error_cost(e, sigma))
        # The last value, where the velocity is not known or the joint was away for a while.
        first = ~second
        k, k1 = now[first], before[first]
        if len(k):
            e2 = np.stack([np.linalg.norm(d[k, p] - s * d[k1, p], axis=-1) for s in (1.0, -1.0)], -1)
            step = np.linalg.norm(d[now, p] - d[before, p], axis=-1) / np.maximum(gap, 1e-6)
            flipped = np.linalg.norm(d[now, p] + d[before, p], axis=-1) / np.maximum(gap, 1e-6)
            speed = max(_scale(np.minimum(step, flipped), 0.0), floor / max(float(np.median(gap)), 1e-6))
            cost = gross_error_cost(e2, (speed * gap[first] + floor)[:, None])
            near = adjacent[first]
            np.add.at(out, (k[near], g), cost[near][:, :, None])
            np.add.at(out, (k[~near], g), cost[~near][:, None, :])
    return out


def chain(pairwise: Floats, unary: Floats, costs: SwapCosts) -> tuple[Mask, Floats]:
    """Best states of second-order chains and the margin of every bit; B chains at once.

    Args:
        pairwise: (B, T, 3, 2, 2) from :func:`continuity_costs`.
        unary: (B, T, 8) cost of each state.
        costs: penalties.

    Returns:
        Labels (B, T, 3) and margins (B, T, 3): cost of the best chain with the opposite bit minus that of the best.
    """
    batch, frames = unary.shape[:2]
    s2, s1, s0 = np.meshgrid(np.arange(8), np.arange(8), np.arange(8), indexing="ij")
    index = np.stack([2 * (_BITS[s0, g] ^ _BITS[s1, g]) + (_BITS[s0, g] ^ _BITS[s2, g]) for g in range(3)])
    changes = np.array([[np.sum(_BITS[a] != _BITS[b]) for b in range(8)] for a in range(8)])
    switch = np.where(changes > 0, costs.switch + costs.switch_more * (changes - 1), 0.0)
    flat = pairwise.reshape(batch, frames, 3, 4)
    unary = unary + costs.per_frame * (_BITS.sum(1) > 0) + costs.disagree * np.abs(_BITS[:, :1] - _BITS[:, 1:]).sum(1)
    plain = np.asarray(~flat.any((0, 2, 3)))

    def block(t: int) -> Floats:  # (B, s(t-2), s(t-1), s(t))
        f = flat[:, t]
        return np.asarray(f[:, 0, index[0]] + f[:, 1, index[1]] + f[:, 2, index[2]])

    forward = np.empty((frames, batch, 8, 8))  # [s(t-1), s(t)]
    forward[0] = np.where(np.eye(8, dtype=bool), unary[:, 0][:, None], np.inf)
    for t in range(1, frames):
        before = forward[t - 1]
        through = before.min(1)[..., None] if plain[t] else (before[..., None] + block(t)).min(1)
        now = through + unary[:, t][:, None] + switch
        forward[t] = now - now.min((1, 2), keepdims=True)
    best = np.empty((frames, batch, 8))
    backward = np.zeros((batch, 8, 8))
    for t in range(frames - 1, -1, -1):
        best[t] = (forward[t] + backward).min(1)
        if t == 0:
            break
        tail = unary[:, t][:, None] + switch + backward
        # Message to frame t-1: a function of (s(t-2), s(t-1)).
        if plain[t]:
            backward = np.broadcast_to(tail.min(2)[:, None], (batch, 8, 8))
        else:
            backward = (tail[:, None] + block(t)).min(3)
        backward = backward - backward.min((1, 2), keepdims=True)
    on = np.stack([best[..., _BITS[:, g] == 1].min(-1) for g in range(3)], -1)
    off = np.stack([best[..., _BITS[:, g] == 0].min(-1) for g in range(3)], -1)
    return np.moveaxis(on < off, 0, 1), np.moveaxis(np.abs(on - off), 0, 1)


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
            same = np.nansum([gross_error_cost(ll, scale), gross_error_cost(rr, scale)], axis=0)
            cross = np.nansum([gross_error_cost(lr, scale), gross_error_cost(rl, scale)], axis=0)
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
    alive = [c for c in range(count) if pairwise[c] is not None]

    def update(members: list[int], with_views: bool) -> None:
        if not members:
            return
        pulls = np.zeros((len(members), frames, 3))  # positive: stay unswapped
        for k, c in enumerate(members):
            for (a, b), e in evidence.items():
                if with_views and c in (a, b):
                    pulls[k] += weight * e * (1 - 2 * soft[b if a == c else a])
            direct = reprojection[c]
            if direct is not None:
                pulls[k] += direct
        costs_c = np.stack([pairwise[c] for c in members])  # type: ignore[misc]
        found, margin = chain(costs_c, pulls @ _BITS.T, costs)
        for k, c in enumerate(members):
            labels[c], margins[c] = found[k], margin[k]
            wrong = 1 / (1 + np.exp(np.minimum(margins[c], 50.0)))
            soft[c] = np.where(labels[c], 1 - wrong, wrong)

    update(alive, with_views=False)  # first every camera alone over time
    for _ in range(sweeps if evidence else 0):
        before = labels.copy()
        update(alive[::2], with_views=True)
        update(alive[1::2], with_views=True)
        if (labels == before).all():
            break
    wrong = 1 / (1 + np.exp(np.minimum(margins, 50.0)))
    return SwapLabels(labels, wrong)

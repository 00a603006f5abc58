"""Exchanged identities undone by the size of the bodies.

Where two people come close, or one of them is lost, they may leave under each other's name, and nothing that follows is
near enough to tell. Their bones do not change, though. Between two such moments the logarithms of the bones' lengths of
one minus those of the other are a vector d_k that keeps its direction and turns round with every exchange:
``d_k = s_k m + noise``, ``s_k = +1 or -1``. Its direction is the first principal axis of all d_k, so that neither
person's size need be known; the signs are the cheapest path through both states (Viterbi), where each exchange costs as
much as saying that the geometry erred at a meeting, and the noise is what the recording shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .identities import middle

__all__ = ["exchange_signs", "undo_exchanges"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MEETING_M = 1.0  #: people nearer than this may exchange their names
MIN_FRAMES = 8  #: of a stretch that says something
SWITCH_NATS = 7.0  #: an exchange that geometry did not see: one in a thousand
NOISE, NOISE_FRAME = 0.02, 0.06  #: least deviation of a stretch's log bone lengths, and of a single frame's
CORRELATED_S = 0.3  #: frames nearer to each other do not err independently
CLEAR = 2.5  #: deviations by which two bodies must differ


def undo_exchanges(people: Ints, points: Floats, bones: Ints, fps: float) -> tuple[Ints, int]:
    """Give people back what was exchanged.

    Args:
        people: (P, C, T) track of each person in each camera, -1 where none.
        points: (P, T, J, 3) m.
        bones: (B, 2) joints.
        fps: frames per second.

    Returns:
        People of the same shape, and the number of exchanges undone.
    """
    people, points = people.copy(), points.copy()
    length = np.linalg.norm(points[:, :, bones[:, 0]] - points[:, :, bones[:, 1]], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(length > 1e-3, np.log(length), np.nan)  # (P, T, B)
    place = np.stack([_centres(p) for p in points]) if len(points) else np.zeros((0, points.shape[1], 3))
    undone = 0
    for _ in range(3):
        changed = 0
        for p in range(len(people)):
            for q in range(p):
                cuts, sign = _signs(place[p], place[q], size[p], size[q], fps)
                for a, b, s in zip(cuts[:-1], cuts[1:], sign, strict=True):
                    if s < 0:
                        for x in (people, size, place):
                            part = x[p][..., a:b].copy() if x is people else x[p][a:b].copy()
                            if x is people:
                                x[p][..., a:b], x[q][..., a:b] = x[q][..., a:b].copy(), part
                            else:
                                x[p][a:b], x[q][a:b] = x[q][a:b].copy(), part
                changed += int(np.sum(np.diff(sign) != 0))
        undone += changed
        if not changed:
            break
    return people, undone


def _centres(points: Floats) -> Floats:
    """(T, 3) middle of a body, NaN where fewer than three joints are known."""
    centre, n = middle(points)
    centre[n < 3] = np.nan
    return centre


def _signs(a: Floats, b: Floats, size_a: Floats, size_b: Floats, fps: float) -> tuple[Ints, Ints]:
    """Borders of the stretches between the meetings of two people, (K + 1,), and (K,) whether each is exchanged (-1)
    against most of the time.
    """
    T = len(a)
    none = np.array([0, T], np.int64), np.ones(1, np.int64)
    gap = np.linalg.norm(a - b, axis=-1)
    with np.errstate(invalid="ignore"):
        apart = gap > MEETING_M
    if apart.sum() < 2 * MIN_FRAMES:
        return none
    runs = np.flatnonzero(np.diff(np.concatenate([[0], apart.astype(np.int8), [0]])))
    spans = [(int(u), int(v)) for u, v in zip(runs[::2], runs[1::2], strict=True) if v - u >= MIN_FRAMES]
    if len(spans) < 2:
        return none
    borders = [0]
    for (_, end), (begin, _) in zip(spans[:-1], spans[1:], strict=True):
        between = gap[end:begin]
        known = np.isfinite(between)
        borders.append(end + (int(np.nanargmin(between)) if known.any() else (begin - end) // 2))
    cuts = np.array([*borders, T], np.int64)
    per_frame = size_a - size_b
    d, frames = np.full((len(spans), per_frame.shape[1]), np.nan), np.zeros((len(spans), per_frame.shape[1]))
    for k, (u, v) in enumerate(spans):
        n = np.isfinite(per_frame[u:v]).sum(0)
        good = n >= MIN_FRAMES
        if good.any():
            d[k, good] = np.nanmedian(per_frame[u:v][:, good], axis=0)
        frames[k] = np.where(good, n, 0)
    sign = exchange_signs(d, frames, max(1.0, CORRELATED_S * fps))
    return cuts, sign


def exchange_signs(d: Floats, frames: Floats, correlated: float) -> Ints:
    """Which differences of two bodies are turned round.

    Args:
        d: (K, B) logarithms of the bones of one minus those of the other, in K stretches; NaN where unknown.
        frames: (K, B) frames behind each value, 0 where unknown.
        correlated: frames that count as one.

    Returns:
        (K,) 1, or -1 where exchanged against the longer part of the time; all 1 where the bodies do not differ
        clearly.
    """
    K = len(d)
    same = np.ones(K, np.int64)
    known = frames > 0
    variance = np.where(known, NOISE**2 + NOISE_FRAME**2 / np.maximum(frames / correlated, 1.0), 1.0)
    weight = np.where(known, 1.0 / variance, 0.0)
    usual = weight.sum(0) > 0.3 * weight.sum(0).max(initial=0.0)  # bones that are seen most of the time
    if usual.sum() < 3:
        return same
    x, w = np.where(known, d, 0.0)[:, usual], weight[:, usual]
    covariance = (np.sqrt(w) * x).T @ (np.sqrt(w) * x)
    axis = np.linalg.eigh(covariance)[1][:, -1]
    # least squares coordinate of each stretch along the axis, with the bones it has
    precision = (w * axis**2).sum(1)
    there = precision > 0
    along = np.where(there, (w * x * axis).sum(1) / np.where(there, precision, 1.0), 0.0)
    noise = np.where(there, 1.0 / np.where(there, precision, 1.0), np.inf)
    sign = np.where(along < 0, -1, 1)  # each stretch for itself; the path mends what noise has turned
    for _ in range(5):
        m = float(np.average(along * sign, weights=np.where(there, 1.0 / noise, 0.0)))
        # what the recording shows beyond the noise expected: sizes that depend on the pose
        rest = np.average((along * sign - m) ** 2, weights=np.where(there, 1.0 / noise, 0.0))
        extra = max(float(rest - np.average(noise[there], weights=1.0 / noise[there])), 0.0)
        total = noise + extra
        gain = np.where(there, 2 * m * along / total, 0.0)  # log of the odds of +1
        new = _path(gain)
        if (new == sign).all():
            break
        sign = new
    deviation = float(np.sqrt(np.average(total[there], weights=1.0 / noise[there])))
    if abs(m) < CLEAR * deviation / np.sqrt(max(1.0, min(there.sum(), 4))):
        return same
    long = frames.max(1)
    return sign if (long * sign).sum() >= 0 else -sign


def _path(odds: Floats) -> Ints:
    """Signs (K,) that gain most, where each change costs SWITCH_NATS."""
    K = len(odds)
    best = np.zeros((K, 2))  # states -1, +1
    came = np.zeros((K, 2), np.int64)
    for k in range(K):
        own = np.array([-0.5 * odds[k], 0.5 * odds[k]])
        if k == 0:
            best[k] = own
            continue
        for s in range(2):
            stay, change = best[k - 1, s], best[k - 1, 1 - s] - SWITCH_NATS
            came[k, s] = s if stay >= change else 1 - s
            best[k, s] = own[s] + max(stay, change)
    out = np.zeros(K, np.int64)
    out[-1] = int(np.argmax(best[-1]))
    for k in range(K - 1, 0, -1):
        out[k - 1] = came[k, out[k]]
    return 2 * out - 1

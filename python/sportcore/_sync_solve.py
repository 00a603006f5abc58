"""One clock per camera from the offsets of pairs, with an uncertainty that knows what the pairs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sportcore._sync_epipolar import Clock, Floats, PairFit, crossed

_FLOOR_S = 0.0002  # nothing is known better than this
_ODD_SIGMAS = 4.0
_ODD_S = 0.02
_SHRUG = 3.0
# Of the sandwich: six parameters are fitted to the blocks that then vouch for them, and interpolation adds what blocks
# do not see. Together these put nine tenths and more of the errors inside 1.96 sigma (docs/sync.md).
_GROW = 1.3


@dataclass(frozen=True, eq=False)
class Solution:
    """Clocks of all cameras that the pairs tie to camera 0.

    Attributes:
        clocks: by camera; camera 0 keeps its clock.
        sigma_s: standard deviation of the offsets at the reference time.
        drift_sigma: of the clock rates; None where they were not estimated.
        linked: cameras that pairs which agree tie to camera 0.
        fits: what each pair said.
        pair_offset_s: offset of b against a as the pair alone says.
        used: pairs that agree with the others.
        scale_px: median of the pairs' residuals.
    """

    clocks: dict[int, Clock]
    sigma_s: dict[int, float]
    drift_sigma: dict[int, float] | None
    linked: frozenset[int]
    fits: dict[tuple[int, int], PairFit]
    pair_offset_s: dict[tuple[int, int], float]
    used: frozenset[tuple[int, int]]
    scale_px: float


def solve_clocks(fits: Mapping[tuple[int, int], PairFit], clocks: Mapping[int, Clock], drift: bool) -> Solution:
    """Weighted least squares over the pairs; pairs that contradict the others are left out one at a time.

    The covariance is the sandwich over blocks of time, so that errors that two pairs share through one camera's frames
    count once; it grows where the pairs disagree around loops by more than they should.
    """
    size = 2 if drift else 1
    usual = float(np.median([f.scale_px for f in fits.values()])) if fits else 0.0
    used = {key: f for key, f in fits.items() if f.scale_px <= _SHRUG * usual}
    pair_offset = {(a, b): clocks[b].offset_s - clocks[a].offset_s + f.shift_s for (a, b), f in fits.items()}
    while True:
        linked = _linked(used)
        free = sorted(linked - {0})
        inside = {key: f for key, f in used.items() if key[0] in linked}
        if not free:
            known = {0: clocks[0]}
            return Solution(
                dict(clocks) | known, dict.fromkeys(clocks, np.inf) | {0: 0.0}, None, frozenset({0}), dict(fits),
                pair_offset, frozenset(), usual,
            )  # fmt: skip
        rows = np.zeros((len(inside) * size, len(free) * size))
        values, weights = np.zeros(len(rows)), np.zeros(len(rows))
        for r, ((a, b), f) in enumerate(inside.items()):
            for k in range(size):
                for camera, sign in ((b, 1.0), (a, -1.0)):
                    if camera in free:
                        rows[r * size + k, free.index(camera) * size + k] = sign
                values[r * size + k] = (f.shift_s, f.rate)[k]
                spread = float(np.sqrt(crossed(f.influence[k])))
                weights[r * size + k] = 1 / max(spread, (_FLOOR_S, 1e-6)[k])
        inverse = np.linalg.pinv(rows * weights[:, None]) * weights
        found = inverse @ values
        misfit = (rows @ found - values) * weights
        late = np.abs(misfit[::size])
        odd = (late > _ODD_SIGMAS) & (late / weights[::size] > _ODD_S)
        if odd.any() and len(inside) > len(free):
            used.pop(list(inside)[int(np.argmax(late * odd))])
            continue
        break
    spare = len(inside) - len(free)
    grow = np.ones(size)
    if spare > 0:
        grow = np.array([max(1.0, float(np.sqrt((misfit[k::size] ** 2).sum() / spare))) for k in range(size)])
    spreads = _sandwich(inverse, list(inside.values()), size)
    out, sigma, rate_sigma = dict(clocks), {0: 0.0}, {0: 0.0}
    for n, camera in enumerate(free):
        old = clocks[camera]
        out[camera] = replace(
            old,
            offset_s=old.offset_s + float(found[n * size]),
            drift=old.drift + (float(found[n * size + 1]) if drift else 0.0),
        )
        sigma[camera] = max(float(grow[0] * spreads[n * size]), _FLOOR_S)
        if drift:
            rate_sigma[camera] = max(float(grow[1] * spreads[n * size + 1]), 1e-6)
    for camera in clocks:
        sigma.setdefault(camera, np.inf)
        rate_sigma.setdefault(camera, np.inf)
    return Solution(
        out, sigma, rate_sigma if drift else None, frozenset(linked), dict(fits), pair_offset, frozenset(inside), usual
    )


def _linked(used: Mapping[tuple[int, int], PairFit]) -> set[int]:
    """Cameras that pairs tie to camera 0."""
    linked = {0}
    while True:
        more = {k for pair in used for k in pair if set(pair) & linked} - linked
        if not more:
            return linked
        linked |= more


def _sandwich(inverse: Floats, fits: list[PairFit], size: int) -> Floats:
    """Standard deviations of the unknowns from what each block of time of each joint contributed to each pair."""
    first = min(f.first_block for f in fits)
    last = max(f.first_block + f.influence.shape[1] for f in fits)
    blocks = np.zeros((len(fits) * size, last - first, fits[0].influence.shape[2]))
    for r, f in enumerate(fits):
        at = f.first_block - first
        blocks[r * size : (r + 1) * size, at : at + f.influence.shape[1]] = f.influence[:size]
    count = int((blocks != 0).any((0, 2)).sum())
    few = np.sqrt(count / max(count - 4, 1))
    bias = np.zeros(len(blocks))
    bias[::size] = [f.bias_s for f in fits]
    return np.asarray(np.sqrt((_GROW * few) ** 2 * crossed(np.tensordot(inverse, blocks, 1)) + inverse**2 @ bias**2))

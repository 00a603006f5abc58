"""Relative pose of two cameras together with the time between them, from the tracks of one moving body.

A point seen by two cameras at the same moment lies on both epipolar planes; seen at different moments it does not. So
the time between two cameras shows in the Sampson distance, cameras unknown. The essential matrix at one trial offset
comes from :func:`sportcore._core.estimate_essential`; Gauss-Newton then moves rotation (3), direction of the baseline
(2), offset and, where asked, clock rate together, under the Geman-McClure loss. Every frame of either camera is
compared with the interpolated track of the other.

Sources: C. Albl, Z. Kukelova, A. Fitzgibbon, J. Heller, M. Smid, T. Pajdla, "On the two-view geometry of unsynchronized
cameras", CVPR 2017 (time shift and geometry in one, tracks linear in time); P. Huber, E. Ronchetti,
"Robust statistics", section 7.6 (sandwich covariance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore import _core
from sportcore._sync_curves import CurveReader, Curves, Floats

_START_POINTS = 180
_FIT_FRAMES = 400
_THRESHOLD_PX = 8.0
_BLOCK_S = 0.5
_MIN_OVERLAP_S, _MIN_OVERLAP = 0.6, 0.15
_BIAS = 0.02  # of bias_s, measured on synthetic motion with 2 to 6 px of noise
_WIDE = 0.03  # width of the loss at the start, shares of the focal length: fast joints must be heard first


@dataclass(frozen=True)
class Clock:
    """World time of a camera's frame: t + offset_s + drift * (t - reference_s)."""

    offset_s: float = 0.0
    drift: float = 0.0
    reference_s: float = 0.0

    def world(self, t: Floats) -> Floats:
        """World times of frame times, seconds."""
        return t + self.offset_s + self.drift * (t - self.reference_s)

    def own(self, world: Floats) -> Floats:
        """Frame times of world times, seconds."""
        return np.asarray((world - self.offset_s + self.drift * self.reference_s) / (1 + self.drift))


@dataclass(frozen=True, eq=False)
class PairFit:
    """Camera b against camera a: pose, and what b's clock lacks.

    Attributes:
        shift_s, rate: what must be added to b's clock: shift_s + rate * (world - reference).
        R, t: x_b = R x_a + t, |t| = 1.
        scale_px: robust standard deviation of the Sampson distance (1.4826 * median absolute value), px.
        cost: mean of min(r^2 / (8 px)^2, 1).
        gross: share of the correspondences further off than three standard deviations.
        points: correspondences compared.
        sigma_s: standard deviation of shift_s, from blocks of half a second crossed with joints.
        influence: (1 or 2, B, J) what each block of world time of each joint contributed to the error of shift_s (and
            rate).
        first_block: number of the first block.
        bias_s: what interpolation may do to shift_s: noise is smallest between frames and draws the offset there.
    """

    shift_s: float
    rate: float
    R: Floats
    t: Floats
    scale_px: float
    cost: float
    points: int
    sigma_s: float
    influence: Floats
    first_block: int
    bias_s: float = 0.0
    gross: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """A camera's curves with a clock, and the frames and joints of it that are compared."""

    curves: Curves
    clock: Clock
    frames: NDArray[np.int64]

    def world(self) -> Floats:
        """(n,) world times of the frames compared."""
        return self.clock.world(self.curves.times_s[self.frames])

    def frame_s(self) -> float:
        """Usual time between frames."""
        return float(np.median(np.diff(self.curves.times_s)))

    def at_world(self, world: Floats) -> tuple[Floats, Floats, Floats]:
        """Points, velocities per world second, and doubts (px) at world times."""
        return ViewReader([self]).at(np.zeros(len(world), np.int64), world)


class ViewReader:
    """Reads the views of several stretches of one camera at moments of world time."""

    def __init__(self, views: Sequence[View]) -> None:
        self._curves = CurveReader([v.curves for v in views])
        self._focal_px = views[0].curves.focal_px
        self._clocks = np.array([(v.clock.offset_s, v.clock.drift, v.clock.reference_s) for v in views])

    def at(self, which: NDArray[np.int64], world: Floats) -> tuple[Floats, Floats, Floats]:
        """Points (N, J, 2), velocities per world second, and doubts (px) of stretches ``which`` (N,) at world times."""
        offset, drift, reference = self._clocks[which].T
        x, v, doubt = self._curves.at(which, (world - offset + drift * reference) / (1 + drift))
        return x, v / (1 + drift)[:, None, None], doubt * self._focal_px


def spread_frames(frames: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of the frames, evenly spread."""
    if len(frames) <= most:
        return frames
    return np.asarray(frames[np.linspace(0, len(frames) - 1, most).round().astype(np.int64)])


class _Meeting:
    """Frames of either camera against the curve of the other, over stretches of one recording."""

    def __init__(self, pieces: Sequence[tuple[View, View]], most: int) -> None:
        views = [[piece[side] for piece in pieces] for side in (0, 1)]
        frames = [[spread_frames(v.frames, most) for v in side] for side in views]
        self.readers = [ViewReader(side) for side in views]
        self.which = [np.repeat(np.arange(len(side)), [len(f) for f in side]) for side in frames]
        self.world = [
            np.concatenate([v.clock.world(v.curves.times_s[f]) for v, f in zip(*both, strict=True)])
            for both in zip(views, frames, strict=True)
        ]
        self.x = [
            np.concatenate([v.curves.x[f] for v, f in zip(*both, strict=True)])
            for both in zip(views, frames, strict=True)
        ]

    def at(self, shift: float, rate: float, reference: float) -> tuple[NDArray[Any], ...]:
        """Correspondences (N, 2), their derivatives by shift (N, 2), world times, doubts (px) and joints (N,).

        ``shift + rate * (world - reference)`` is what is added to the clock of camera b. Frames of a against the curve
        of b, then frames of b against the curve of a.
        """
        wa, wb = self.world
        fa, fb = self.x
        xb, vb, qb = self.readers[1].at(self.which[0], wa - (shift + rate * (wa - reference)))
        xa, va, qa = self.readers[0].at(self.which[1], wb + (shift + rate * (wb - reference)))
        x1, x2 = np.concatenate([fa, xa]), np.concatenate([xb, fb])
        d1, d2 = np.concatenate([np.zeros_like(fa), va]), np.concatenate([-vb, np.zeros_like(fb)])
        both = np.isfinite(x1[..., 0] + x2[..., 0] + d1[..., 0] + d2[..., 0])
        row, joint = np.nonzero(both)
        world = np.concatenate([wa, wb])
        doubt = np.concatenate([qb, qa])
        return x1[both], x2[both], d1[both], d2[both], world[row], doubt[both], joint


def start_pose(a: View, b: View, shift: float, seed: int = 0) -> tuple[Floats, Floats, float, int] | None:
    """R (3, 3), t (3,), truncated cost and number of points at one trial shift; None with too little to compare."""
    joints = max(a.curves.x.shape[1], 1)
    frames = max(_START_POINTS // joints, 12)
    overlap = _overlapping(a, b, shift)
    length = min(float(np.ptp(v.curves.times_s)) for v in (a, b))
    if len(overlap) < 8 or np.ptp(a.curves.times_s[overlap]) < max(_MIN_OVERLAP_S, _MIN_OVERLAP * length):
        return None  # over too short a time, everything fits
    pick = View(a.curves, a.clock, spread_frames(overlap, frames))
    world = pick.world()
    x1 = a.curves.x[pick.frames].reshape(-1, 2)
    x2 = b.at_world(world - shift)[0].reshape(-1, 2)
    both = np.isfinite(x1).all(1) & np.isfinite(x2).all(1)
    if both.sum() < 40:
        return None
    found = _core.estimate_essential(
        x1[both], x2[both], a.curves.focal_px, b.curves.focal_px, max_residual_px=_THRESHOLD_PX, seed=seed
    )
    if not found["success"]:
        return None
    return np.array(found["R"]), np.array(found["t"]), float(found["cost"]), int(both.sum())


def _overlapping(a: View, b: View, shift: float) -> NDArray[np.int64]:
    """Frames of a that fall into b's recording."""
    world = a.world() - shift
    other = b.world()
    if not len(other) or not len(world):
        return np.zeros(0, np.int64)
    return np.asarray(a.frames[(world >= other[0]) & (world <= other[-1])])


def fit_pair(
    pieces: Sequence[tuple[View, View]],
    R: Floats,
    t: Floats,
    shift: float = 0.0,
    *,
    rate: bool = False,
    reference: float = 0.0,
    iterations: int = 18,
    most_frames: int = _FIT_FRAMES,
    max_step_s: float = 0.04,
    wide: float = _WIDE,
) -> PairFit | None:
    """Move pose, shift and, with ``rate``, clock rate of b until the robust Sampson cost is least.

    ``pieces`` are stretches of one recording, each seen by camera a and camera b; the pose is one for all. ``wide`` is
    the width of the loss at the start, a share of the focal length.

    Returns None with fewer than 60 correspondences, or where the offset is not determined.
    """
    fa, fb = pieces[0][0].curves.focal_px, pieces[0][1].curves.focal_px
    most = max(most_frames // len(pieces), 20)
    slope, columns = 0.0, 7 if rate else 6
    noise = np.inf
    meeting = _Meeting(pieces, most)
    points: tuple[NDArray[Any], ...] = ()
    for k in range(iterations):
        points = meeting.at(shift, slope, reference)
        x1, x2, d1, d2, world, doubt, joint = points
        if len(x1) < 60:
            return None
        r, J, basis = _linearise(R, t, x1, x2, d1, d2, world - reference, fa, fb, columns)
        trust = 1 / (1 + (doubt / min(noise, 10.0)) ** 2)
        noise = max(1.4826 * _middle(np.abs(r) * np.sqrt(trust), trust), 0.05)
        width = max(3.0 * noise, wide * 0.5 * (fa + fb) * 0.6**k)
        w = trust / (1 + trust * (r / width) ** 2) ** 2
        H, g = (J * w[:, None]).T @ J, (J * w[:, None]).T @ r
        step = _solve(H, g)
        if step is None:
            return None
        step[5:6] = np.clip(step[5:6], -max_step_s, max_step_s)
        R, t = np.asarray(_core.so3_exp(-step[:3])) @ R, t - step[3:5] @ basis
        t = t / np.linalg.norm(t)
        shift -= float(step[5])
        slope -= float(step[6]) if rate else 0.0
        if width <= 3.0 * noise and abs(step[5]) < 2e-5 and np.abs(step[:3]).max() < 1e-5:
            break
    x1, x2, d1, d2, world, doubt, joint = points
    r, J, _ = _linearise(R, t, x1, x2, d1, d2, world - reference, fa, fb, columns)
    trust = 1 / (1 + (doubt / noise) ** 2)
    u = trust * (r / (3.0 * noise)) ** 2
    w = trust / (1 + u) ** 2
    curvature = max(float((trust * (1 - 3 * u) / (1 + u) ** 3).sum() / w.sum()), 0.2)
    inverse = _inverse((J * w[:, None]).T @ J * curvature)
    if inverse is None:
        return None
    scores = (J * (w * r)[:, None]) @ inverse[:, 5:]
    block = np.floor(world / _BLOCK_S).astype(np.int64)
    first = int(block.min())
    frame_s = pieces[0][1].frame_s()
    bias = _BIAS * noise**2 / (float((w * J[:, 5] ** 2).sum() / w.sum()) * frame_s)
    joints = pieces[0][0].curves.x.shape[1]
    count = int(block.max()) - first + 1
    cell = (block - first) * joints + joint.astype(np.int64)
    influence = np.stack(
        [
            np.bincount(cell, scores[:, i], count * joints).astype(float).reshape(count, joints)
            for i in range(scores.shape[1])
        ]
    )
    return PairFit(
        shift_s=float(shift), rate=slope, R=R, t=t, scale_px=noise,
        cost=float(np.minimum((r / _THRESHOLD_PX) ** 2, 1).mean()), points=len(r),
        sigma_s=float(np.sqrt(crossed(influence[0]))), influence=influence, first_block=first, bias_s=bias,
        gross=float((np.abs(r) > 3 * np.hypot(noise, doubt)).mean()),
    )  # fmt: skip


def crossed(influence: Floats) -> Floats:
    """Variance (...) of a sum over blocks and joints (..., B, J) whose terms hang together within either.

    A detector that places a hip wrongly does so in every frame (A. Cameron, J. Gelbach, D. Miller, "Robust inference
    with multiway clustering", J. Business & Economic Statistics 29, 2011).
    """
    block, joint = (influence.sum(-1) ** 2).sum(-1), (influence.sum(-2) ** 2).sum(-1)
    return np.asarray(np.maximum(block, block + joint - (influence**2).sum((-1, -2))))


def frame_misfits(a: View, b: View, fit: PairFit) -> tuple[Floats, Floats]:
    """Distance of every frame's joints from the epipolar lines of the other camera's curve, in standard deviations.

    The clocks of the views are believed as they are. Returns (Ta, J) of a's frames and (Tb, J) of b's; NaN where
    nothing can be compared.
    """
    fa, fb = a.curves.focal_px, b.curves.focal_px
    out = []
    for own, other, forward in ((a, b, True), (b, a, False)):
        x, _, doubt = other.at_world(own.clock.world(own.curves.times_s))
        mine = own.curves.x
        x1, x2 = (mine, x) if forward else (x, mine)
        nothing = np.zeros((x1[..., 0].size, 2))
        with np.errstate(invalid="ignore"):
            r, _, _ = _linearise(
                fit.R, fit.t, x1.reshape(-1, 2), x2.reshape(-1, 2), nothing, nothing, nothing[:, 0], fa, fb, 6
            )
        out.append(np.abs(r.reshape(doubt.shape)) / np.sqrt(fit.scale_px**2 + doubt**2))
    return out[0], out[1]


def _cross(a: Floats, b: Floats) -> Floats:
    """Cross product of columns (3, N) or vectors (3,)."""
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _linearise(
    R: Floats, t: Floats, x1: Floats, x2: Floats, d1: Floats, d2: Floats, when: Floats, f1: float, f2: float, n: int
) -> tuple[Floats, Floats, Floats]:
    """Sampson distances (N,) px, Jacobian (N, n) by rotation, baseline, shift (and rate), and the basis (2, 3).

    The derivative is that of the whole quotient. What the numerator alone leaves out pulls along the ridge of rotation
    against baseline as soon as many residuals are large, and away from the minimum.
    """
    y = R[:, :2] @ x1.T + R[:, 2:]  # R x1
    h2 = np.concatenate([x2.T, np.ones((1, len(x2)))])
    tx = np.array([[0.0, -t[2], t[1]], [t[2], 0.0, -t[0]], [-t[1], t[0], 0.0]])
    line2 = tx @ y  # E x1
    back = -tx @ h2  # x2 x t; E' x2 = R' (x2 x t)
    line1 = R[:, :2].T @ back
    below = np.sqrt((line1**2).sum(0) / f1**2 + (line2[:2] ** 2).sum(0) / f2**2)
    below = np.maximum(below, 1e-12)
    r = (h2 * line2).sum(0) / below
    axis = np.eye(3)[int(np.argmin(np.abs(t)))]
    e1 = np.cross(t, axis)
    e1 /= np.linalg.norm(e1)
    basis = np.stack([e1, np.cross(t, e1)])
    # d(r) below = d(numerator) - pull * below d(below), and below d(below) = g2 . d(E x1) + g1 . d(x2 x t) before pull
    pull = r / below
    g1 = pull * (R[:, :2] @ (line1 / f1**2))
    g2 = pull * np.concatenate([line2[:2] / f2**2, np.zeros((1, len(x1)))])
    by_y = back + tx @ g2
    by_h2 = line2 - tx @ g1
    J = np.empty((n, len(x1)))
    J[:3] = _cross(y, by_y) - _cross(g1, back)  # y -> y + w x y; back turns the other way under R'
    J[3:5] = basis @ (_cross(y, h2 - g2) - _cross(g1, h2))
    J[5] = (d2.T * by_h2[:2]).sum(0) + (d1.T * (R[:, :2].T @ by_y)).sum(0)
    if n > 6:
        J[6] = J[5] * when
    J /= below
    return r, J.T, basis


def _middle(values: Floats, weight: Floats) -> float:
    """Weighted median."""
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[int(np.searchsorted(total, 0.5 * total[-1]))]])


def _solve(H: Floats, g: Floats) -> Floats | None:
    inverse = _inverse(H)
    return None if inverse is None else np.asarray(inverse @ g)


def _inverse(H: Floats) -> Floats | None:
    """Inverse of a symmetric matrix after scaling its diagonal to one; None where it has none."""
    scale = np.sqrt(np.diag(H))
    if not np.isfinite(H).all() or (scale <= 0).any():
        return None
    try:
        inner = np.linalg.inv(H / np.outer(scale, scale) + 1e-9 * np.eye(len(H)))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(inner / np.outer(scale, scale))

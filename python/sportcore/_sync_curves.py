"""Tracks of one camera as curves in time: positions and velocities at any moment between observed frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_banded
from scipy.ndimage import gaussian_filter1d

from sportcore.keypoints2d.tracks import CleanOptions, clean_tracks
from sportcore.skeletons import Skeleton
from sportcore.types import ASSUMED_FOCAL, Camera, Keypoints2D

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FINE_S = 0.008  # spacing of the stored curve; cubic in between
# Midway between two samples a cubic errs by about a sixth of what it errs at a sample left out (by the response of both
# to a sine below three quarters of the Nyquist frequency); a spline errs less.
_SHARE = 0.12
_SLOW_S = 0.02  # velocities are averaged over this (Gaussian), so that they carry little of the detector's noise


@dataclass(frozen=True, eq=False)
class Curves:
    """Cleaned tracks of one camera.

    Attributes:
        name: of the camera.
        times_s: (T,) frame times.
        x: (T, J, 2) undistorted normalised image points at the frames, NaN where missing.
        focal_px: pixels of one normalised unit.
        start_s, step_s: time of the first fine sample, and their spacing.
        fine: (G, J, 7) curve (2), its derivative (2), a smoothed derivative (2) and the doubt (1); NaN in gaps. The
            doubt is the standard deviation of what interpolation adds half-way between samples, from samples left out;
            normalised units. It does not depend on how near a sample is: whole frames would attract the offset.
    """

    name: str
    times_s: Floats
    x: Floats
    focal_px: float
    start_s: float
    step_s: float
    fine: Floats

    def extent_px(self) -> float:
        """Larger side of the box around the body, median over the frames."""
        seen = np.isfinite(self.x).all(-1).sum(1) >= max(3, self.x.shape[1] // 2)
        if not seen.any():
            return float("nan")
        x = self.x[seen]
        return self.focal_px * float(np.median((np.nanmax(x, 1) - np.nanmin(x, 1)).max(1)))


class CurveReader:
    """Reads several stretches of one camera's tracks at any moments; all have the same joints and focal length."""

    def __init__(self, curves: Sequence[Curves]) -> None:
        self._table = curves[0].fine if len(curves) == 1 else np.concatenate([c.fine for c in curves])
        self._size = np.array([len(c.fine) for c in curves])
        self._first = np.cumsum(self._size) - self._size
        self._start, self._step = np.array([(c.start_s, c.step_s) for c in curves]).T

    def at(self, which: NDArray[np.int64], times_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Normalised points and velocities (N, J, 2), per second, and doubts (N, J) at times (N,) of stretches (N,).

        NaN in gaps and outside.
        """
        place = (times_s - self._start[which]) / self._step[which]
        k = np.floor(place).astype(np.int64)
        inside = (k >= 0) & (k < self._size[which] - 1)
        u = np.where(inside, place - k, np.nan)[:, None, None]
        k = np.clip(k, 0, self._size[which] - 2) + self._first[which]
        now, then, h = self._table[k], self._table[k + 1], self._step[which][:, None, None]
        v0, d0, d1 = now[..., :2], h * now[..., 2:4], h * then[..., 2:4]
        bend = then[..., :2] - v0
        point = v0 + u * (d0 + u * (3 * bend - 2 * d0 - d1 + u * (d0 + d1 - 2 * bend)))
        rest = now[..., 4:] + u * (then[..., 4:] - now[..., 4:])
        return point, rest[..., :2], rest[..., 2]


def normalise(xy: Floats, camera: Camera | None, image_size: tuple[int, int] | None) -> tuple[Floats, float]:
    """Undistorted normalised points (..., 2) and the focal length in px that turns them back into pixels.

    Without a camera the focal length is taken as 0.8 of the long image side (of the seen range without a size).
    """
    if camera is not None:
        from sportcore import _core
        from sportcore.points3d.projection import camera_array

        flat = np.ascontiguousarray(xy.reshape(-1, 2))
        out = np.full(flat.shape, np.nan)
        seen = np.isfinite(flat).all(1)
        if seen.any():
            out[seen] = _core.unproject(camera_array([camera]), 0, flat[seen])
        return out.reshape(xy.shape), float(0.5 * (camera.K[0, 0] + camera.K[1, 1]))
    if image_size is None:
        low, high = np.nanmin(xy.reshape(-1, 2), 0), np.nanmax(xy.reshape(-1, 2), 0)
        image_size = (int(low[0] + high[0]), int(low[1] + high[1]))
    focal = ASSUMED_FOCAL * max(image_size)
    middle = 0.5 * (np.array(image_size, float) - 1)
    return (xy - middle) / focal, float(focal)


def clean_xy(xy: ArrayLike, score: ArrayLike, times_s: Floats, skeleton: Skeleton) -> Floats:
    """Positions (C, T, J, 2) px with outliers gone and left/right put right over time, in a copy.

    The cameras do not know of each other: the result is that of each one alone.
    """
    several = Keypoints2D(np.asarray(xy), np.asarray(score), skeleton, times=times_s)
    return np.array(clean_tracks(several, CleanOptions(swaps="time"), quiet=True).keypoints.xy)


def make_curves(
    name: str,
    xy: Floats,
    times_s: Floats,
    camera: Camera | None,
    image_size: tuple[int, int] | None,
    max_gap_s: float = 0.045,
) -> Curves:
    """Curves through the cleaned positions (T, J, 2) px: cubic splines per joint, cut where frames are missing.

    Neighbouring frames are always joined; samples further apart only up to ``max_gap_s``.
    """
    x, focal = normalise(xy, camera, image_size)
    return _curves(name, x, times_s, focal, max_gap_s)


def without(curves: Curves, bad: Mask, max_gap_s: float = 0.045) -> Curves:
    """The curves without the samples marked in ``bad`` (T, J)."""
    x = np.where(bad[..., None], np.nan, curves.x)
    return _curves(curves.name, x, curves.times_s, curves.focal_px, max_gap_s)


def _curves(name: str, x: Floats, times_s: Floats, focal: float, max_gap_s: float) -> Curves:
    usual = float(np.median(np.diff(times_s)))
    step = min(_FINE_S, usual / 2)
    count = int(np.ceil((times_s[-1] - times_s[0]) / step)) + 1
    grid = times_s[0] + step * np.arange(count)
    fine = np.full((count, x.shape[1], 7), np.nan)
    seen = np.isfinite(x[..., 0])
    seen &= seen.sum(0) >= 4
    if seen.any():
        samples = _Samples(x, times_s, seen)
        before, inside = samples.intervals(grid, max(max_gap_s, 1.5 * usual))
        gap = samples.gaps()[before]
        u = np.where(inside, (grid[:, None] - samples.t[before]) / gap, np.nan)[..., None]
        table = samples.cubics()[before]
        y, d, c2, c3 = (table[..., 2 * i : 2 * i + 2] for i in range(4))
        fine[..., :2] = y + u * (d + u * (c2 + u * c3))
        fine[..., 2:4] = (d + u * (2 * c2 + u * (3 * c3))) / gap[..., None]
        miss = samples.left_out()
        miss = _SHARE * np.maximum(miss, np.append(miss[1:], 0.0))
        fine[..., 6] = np.where(inside, miss[before], np.nan)
    known = np.isfinite(fine[..., 2:4])
    sigma = _SLOW_S / step
    weight = gaussian_filter1d(known[..., 0].astype(float), sigma, axis=0, mode="constant")[..., None]
    total = gaussian_filter1d(np.where(known, fine[..., 2:4], 0.0), sigma, axis=0, mode="constant")
    fine[..., 4:6] = np.where(known, total / np.maximum(weight, 1e-9), np.nan)
    return Curves(name, times_s, x, focal, float(times_s[0]), step, fine)


class _Samples:
    """The observed samples of all joints in one list, joint by joint, each joint's in the order of time.

    ``t`` (N,), ``x`` (N, 2); samples ``edges[s]`` to ``edges[s + 1]`` belong to one joint, which has at least four.
    """

    def __init__(self, x: Floats, times_s: Floats, seen: Mask) -> None:
        joint, frame = np.nonzero(seen.T)
        self.t, self.x = times_s[frame], x[frame, joint]
        self._seen, self._times = seen, times_s
        counts = seen.sum(0)
        self.edges = np.concatenate([[0], np.cumsum(counts[counts > 0])])
        self._rank = np.where(seen, (np.cumsum(seen, 0) - 1) + (np.cumsum(counts) - counts), -1)

    def intervals(self, grid: Floats, longest_s: float) -> tuple[NDArray[np.int64], Mask]:
        """(G, J) sample before each grid time, and whether the next one is at most so far from it."""
        frames = len(self._times)
        none = len(self.t)
        coming = np.where(self._seen, self._rank, none)
        coming = np.minimum.accumulate(coming[::-1], axis=0)[::-1]  # first sample of a frame or later
        coming = np.concatenate([coming, np.full((1, coming.shape[1]), none)])
        after = coming[np.minimum(np.searchsorted(self._times, grid), frames)]
        first = coming[0]
        inside = (after < none) & (first < none)
        start = np.minimum(first, none - 1)
        inside &= grid[:, None] >= self.t[start]
        before = np.clip(after - 1, np.minimum(start, none - 2), none - 2)
        inside &= self.t[before + 1] - self.t[before] <= longest_s
        return before, inside

    def gaps(self) -> Floats:
        """(N,) time from each sample to the next of the joint, 1 from its last."""
        h = np.diff(self.t, append=0.0)
        h[self.edges[1:] - 1] = 1.0
        return h

    def cubics(self) -> Floats:
        """(N, 8) coefficients of 1, u, u^2, u^3 of both coordinates, u from 0 at a sample to 1 at the next."""
        h, slope = self.gaps()[:, None], self.slopes()
        step = np.diff(self.x, axis=0, append=0.0)
        d0, d1 = h * slope, h * np.roll(slope, -1, axis=0)
        return np.concatenate([self.x, d0, 3 * step - 2 * d0 - d1, d0 + d1 - 2 * step], axis=1)

    def slopes(self) -> Floats:
        """(N, 2) derivatives at the samples of the cubic splines with not-a-knot ends.

        C. de Boor, "A practical guide to splines", chapter IV.
        """
        n = len(self.t)
        first, last = self.edges[:-1], self.edges[1:] - 1
        h = self.gaps()
        rise = np.diff(self.x, axis=0, append=0.0) / h[:, None]
        inner = np.ones(n, bool)
        inner[first] = inner[last] = False
        i = np.flatnonzero(inner)
        band = np.zeros((3, n))  # above, on and below the diagonal
        right = np.zeros((n, 2))
        band[0, i + 1], band[1, i], band[2, i - 1] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        right[i] = 3 * (h[i, None] * rise[i - 1] + h[i - 1, None] * rise[i])
        for end, side, near, far in ((first, 1, first, first + 1), (last, -1, last - 1, last - 2)):
            both = h[near] + h[far]
            band[1, end], band[1 - side, end + side] = h[far], both
            steep = ((h[near] + 2 * both) * h[far])[:, None] * rise[near] + (h[near] ** 2)[:, None] * rise[far]
            right[end] = steep / both[:, None]
        return np.asarray(solve_banded((1, 1), band, right, overwrite_ab=True, check_finite=False))

    def left_out(self) -> Floats:
        """(N,) how far each sample lies from the cubic through its four neighbours, averaged over nearby ones."""
        lengths = np.diff(self.edges)
        first = np.repeat(self.edges[:-1], lengths)
        enough = np.repeat(lengths >= 6, lengths)
        k = np.arange(len(self.t)) - first
        k = first + np.clip(k, 2, np.maximum(np.repeat(lengths, lengths) - 3, 2))
        k = np.where(enough, k, 0)
        square = np.zeros(len(k))
        if enough.any():
            around = np.clip(k[:, None] + np.array([-2, -1, 1, 2]), 0, len(k) - 1)
            T = self.t[around]
            guess = np.zeros((len(k), 2))
            with np.errstate(divide="ignore", invalid="ignore"):
                for i in range(4):  # Lagrange
                    others = [m for m in range(4) if m != i]
                    weight = np.prod([(self.t[k] - T[:, m]) / (T[:, i] - T[:, m]) for m in others], axis=0)
                    guess += weight[:, None] * self.x[around[:, i]]
            square = ((self.x[k] - guess) ** 2).mean(1)
        out = np.empty(len(k))
        for a, b in zip(self.edges[:-1], self.edges[1:], strict=True):
            if b - a < 6:
                out[a:b] = float(np.ptp(self.x[a:b], axis=0).max())
            else:
                out[a:b] = np.sqrt(gaussian_filter1d(square[a:b], 1.5, mode="nearest"))
        return out

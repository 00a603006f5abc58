"""Tracks of one camera as curves in time: positions and velocities at any moment between observed frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
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
        value, slope, velocity: (G, J, 2) curve, its derivative, and a smoothed derivative; NaN in gaps.
        doubt: (G, J) standard deviation of what interpolation adds half-way between samples, from samples left out;
            normalised units. It does not depend on how near a sample is: whole frames would attract the offset.
    """

    name: str
    times_s: Floats
    x: Floats
    focal_px: float
    start_s: float
    step_s: float
    value: Floats
    slope: Floats
    velocity: Floats
    doubt: Floats

    def extent_px(self) -> float:
        """Larger side of the box around the body, median over the frames."""
        seen = np.isfinite(self.x).all(-1).sum(1) >= max(3, self.x.shape[1] // 2)
        if not seen.any():
            return float("nan")
        x = self.x[seen]
        return self.focal_px * float(np.median((np.nanmax(x, 1) - np.nanmin(x, 1)).max(1)))

    def at(self, times_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Normalised points and velocities (N, J, 2), per second, and doubts (N, J) at any times (N,).

        NaN in gaps and outside.
        """
        place = (times_s - self.start_s) / self.step_s
        k = np.floor(place).astype(np.int64)
        inside = (k >= 0) & (k < len(self.value) - 1)
        k = np.clip(k, 0, len(self.value) - 2)
        u = np.where(inside, place - k, np.nan)[:, None, None]
        h = self.step_s
        v0, v1, d0, d1 = self.value[k], self.value[k + 1], self.slope[k], self.slope[k + 1]
        bend = v1 - v0
        point = v0 + u * (h * d0 + u * (3 * bend - h * (2 * d0 + d1) + u * (h * (d0 + d1) - 2 * bend)))
        w = u[..., 0]
        doubt = self.doubt[k] * (1 - w) + self.doubt[k + 1] * w
        return point, self.velocity[k] * (1 - u) + self.velocity[k + 1] * u, doubt


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
    """Positions (T, J, 2) px of one camera with outliers gone and left/right put right over time, in a copy."""
    single = Keypoints2D(np.asarray(xy)[None], np.asarray(score)[None], skeleton, times=times_s[None])
    return np.array(clean_tracks(single, CleanOptions(swaps="time"), quiet=True).keypoints.xy[0])


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
    joints = x.shape[1]
    value, slope = np.full((count, joints, 2), np.nan), np.full((count, joints, 2), np.nan)
    limit = max(max_gap_s, 1.5 * usual)
    doubt = np.full((count, joints), np.nan)
    for j in range(joints):
        at = np.flatnonzero(np.isfinite(x[:, j, 0]))
        if len(at) < 4:
            continue
        t = times_s[at]
        spline = CubicSpline(t, x[at, j], axis=0)
        after = np.clip(np.searchsorted(t, grid), 1, len(t) - 1)
        fine = (grid >= t[0]) & (grid <= t[-1]) & (t[after] - t[after - 1] <= limit)
        value[fine, j], slope[fine, j] = spline(grid[fine]), spline(grid[fine], 1)
        miss = _left_out(t, x[at, j])
        doubt[fine, j] = _SHARE * np.maximum(miss[after[fine] - 1], miss[after[fine]])
    known = np.isfinite(slope)
    sigma = _SLOW_S / step
    weight = gaussian_filter1d(known.astype(float), sigma, axis=0, mode="constant")
    total = gaussian_filter1d(np.where(known, slope, 0.0), sigma, axis=0, mode="constant")
    velocity = np.where(known, total / np.maximum(weight, 1e-9), np.nan)
    return Curves(name, times_s, x, focal, float(times_s[0]), step, value, slope, velocity, doubt)


def _left_out(t: Floats, x: Floats) -> Floats:
    """How far each sample (N, 2) lies from the cubic through its four neighbours, averaged over nearby ones: (N,)."""
    n = len(t)
    if n < 6:
        return np.full(n, float(np.ptp(x, axis=0).max()))
    k = np.clip(np.arange(n), 2, n - 3)
    around = k[:, None] + np.array([-2, -1, 1, 2])
    T = t[around]
    guess = np.zeros((n, 2))
    for i in range(4):  # Lagrange
        others = [m for m in range(4) if m != i]
        weight = np.prod([(t[k] - T[:, m]) / (T[:, i] - T[:, m]) for m in others], axis=0)
        guess += weight[:, None] * x[around[:, i]]
    square = ((x[k] - guess) ** 2).mean(1)
    return np.asarray(np.sqrt(gaussian_filter1d(square, 1.5, mode="nearest")))

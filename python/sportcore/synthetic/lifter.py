"""What a monocular lifter would say of a person: poses in each camera's frame, with the errors that lifters make.

Three errors, of which only the first averages out over time: noise of every joint that persists from frame to frame; a
tilt of everything that one camera sees (a lifter that takes a camera which looks down for a level one); and left for
right where its 2D input had them exchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.skeletons import Skeleton, get_skeleton
from sportcore.synthetic._streams import stream
from sportcore.types import Rig

Array = NDArray[np.float64]


def simulate_lifter(
    points_world_m: ArrayLike,
    rig: Rig,
    seed: int = 0,
    *,
    mpjpe_mm: float = 53.0,
    tilt_deg: float = 2.0,
    correlation: float = 0.9,
    swapped: ArrayLike | None = None,
    skeleton: str | Skeleton = "h36m17",
) -> Array:
    """Root-relative poses of every camera, as a lifter would estimate them.

    Args:
        points_world_m: (T, J, 3) joints in metres.
        rig: the C cameras.
        seed: keys the draws; camera c of a seed does not depend on the other cameras.
        mpjpe_mm: mean distance to the true root-relative pose over frames and joints (the root included), mm; met
            exactly for every camera. The tilt is part of it.
        tilt_deg: angle of the constant rotation error of each camera, about an axis drawn for each.
        correlation: AR(1) coefficient of the noise from frame to frame.
        swapped: (C, T) or (C, T, J) where the 2D input had left and right exchanged; the pose follows it.
        skeleton: joint order; the first joint is the root.

    Returns:
        (C, T, J, 3) m in the camera frames, the root at the origin.

    Raises:
        InputError: shapes that do not fit, a coefficient outside [0, 1), or a tilt that alone exceeds ``mpjpe_mm``.
    """
    skel = get_skeleton(skeleton)
    points = np.asarray(points_world_m, float)
    if points.ndim != 3 or points.shape[1:] != (skel.n_joints, 3) or not len(points):
        raise InputError(f"points are {points.shape}; {skel.name} wants (T, {skel.n_joints}, 3).")
    if not 0 <= correlation < 1:
        raise InputError(f"correlation = {correlation} must lie in [0, 1).")
    C, T, J = len(rig), points.shape[0], points.shape[1]
    turned = np.zeros((C, T, J), bool)
    if swapped is not None:
        mask = np.asarray(swapped, bool)
        turned = turned | (mask[..., None] if mask.ndim == 2 else mask)
    relative = points - points[:, :1]
    out = np.empty((C, T, J, 3))
    for c, camera in enumerate(rig):
        axis = stream(seed, "tilt", c).normal(size=3)
        tilt = Rotation.from_rotvec(np.radians(tilt_deg) * axis / np.linalg.norm(axis)).as_matrix()
        true = relative @ camera.R.T
        tilted = true @ tilt.T
        noise = stream(seed, "lifter", c).normal(size=(T, J, 3))
        first = noise[0] * (1 - np.sqrt(1 - correlation**2))  # so that the first frame is as noisy as the others
        noise = lfilter([np.sqrt(1 - correlation**2)], [1.0, -correlation], noise, axis=0)
        noise += first * correlation ** np.arange(T)[:, None, None]
        noise[:, 0] = 0.0
        out[c] = tilted + _scale_for(tilted - true, noise, 1e-3 * mpjpe_mm) * noise
        flipped = out[c][:, skel.flip_permutation]
        out[c] = np.where(turned[c][..., None], flipped, out[c])
    return out


def _scale_for(offset: Array, noise: Array, target_m: float) -> float:
    """The factor s >= 0 with mean |offset + s noise| = target, by bisection."""

    def mean(s: float) -> float:
        return float(np.linalg.norm(offset + s * noise, axis=-1).mean())

    if mean(0.0) > target_m:
        raise InputError(
            f"The tilt alone makes {1000 * mean(0.0):.1f} mm of error.", "Ask for a larger mpjpe_mm or a smaller tilt."
        )
    low, high = 0.0, 1.0
    while mean(high) < target_m:
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mean(middle) < target_m else (low, middle)
    return 0.5 * (low + high)

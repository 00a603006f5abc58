"""Cameras around a person, and what a 2D detector would report of that person.

Projection goes through OpenCV on purpose: synthetic truth must not share code with the camera models that it is
used to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter

from sportcore.errors import InputError
from sportcore.skeletons import Skeleton, get_skeleton
from sportcore.synthetic._streams import stream
from sportcore.types import Camera, Keypoints2D, Rig

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_ARM_WORDS = ("elbow", "wrist", "pinky", "index", "thumb")
_LEG_WORDS = ("knee", "ankle", "heel", "toe", "foot")


def ring_cameras(
    count: int,
    seed: int = 0,
    *,
    arc_deg: float = 360.0,
    distance_m: tuple[float, float] = (5.0, 8.0),
    height_m: tuple[float, float] = (1.0, 2.6),
    image_size: tuple[int, int] = (1920, 1080),
    focal_px: float | None = None,
    distortion: Sequence[float] = (),
    model: str = "brown",
    roll_deg: float = 0.0,
) -> Rig:
    """Cameras named cam01, cam02, … on an arc around the world's origin, all looking at a point near (0, 0, 1).

    Args:
        count: number of cameras.
        seed: keys positions, aim and intrinsics; camera i of a seed does not depend on ``distortion`` or ``model``.
        arc_deg: spread over this arc; 360 closes the ring.
        distance_m: range of the horizontal distance to the centre.
        height_m: range of the camera height above the floor.
        image_size: (width, height) px.
        focal_px: focal length; default about 0.78 image widths (1500 px at 1920), varied by 2.5 %.
        distortion: coefficients given to every camera (OpenCV order).
        model: camera model, "pinhole", "brown" or "fisheye".
        roll_deg: each camera is rolled about its optical axis by up to this angle.

    Raises:
        InputError: fewer than one camera.
    """
    if count < 1:
        raise InputError(f"ring_cameras needs at least one camera, got {count}.")
    width, height = image_size
    cameras = []
    for i in range(count):
        rng = stream(seed, "ring", i)
        steps = count if arc_deg >= 360 else max(count - 1, 1)
        azimuth = np.radians(arc_deg) * (i + rng.uniform(-0.25, 0.25)) / steps
        distance = rng.uniform(*distance_m)
        centre = np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(*height_m)])
        forward = np.array([0.0, 0.0, 1.0]) + rng.uniform(-0.2, 0.2, 3) - centre
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        focal = (focal_px or 0.78125 * width) * (1 + rng.uniform(-0.025, 0.025))
        shift = rng.uniform(-0.005, 0.005, 2) * width
        roll = np.radians(roll_deg) * rng.uniform(-1, 1)
        c, s = np.cos(roll), np.sin(roll)
        rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ rotation
        k = np.array([[focal, 0, (width - 1) / 2 + shift[0]], [0, focal, (height - 1) / 2 + shift[1]], [0, 0, 1]])
        cameras.append(
            Camera(
                name=f"cam{i + 1:02d}",
                image_size=(width, height),
                K=k,
                distortion=np.array(distortion, float),
                model=model,
                R=rotation,
                t=-rotation @ centre,
            )
        )
    return Rig(tuple(cameras))


def project_truth(points_world_m: ArrayLike, camera: Camera) -> tuple[Array, Array]:
    """Pixels (..., 2) and depths (...) in metres of world points (..., 3), by OpenCV; NaN behind the camera."""
    points = np.asarray(points_world_m, float)
    flat = points.reshape(-1, 3)
    in_camera = flat @ np.asarray(camera.R).T + np.asarray(camera.t)
    depth = in_camera[:, 2]
    pixels = np.full((len(flat), 2), np.nan)
    ahead = depth > 1e-6  # False for NaN
    if ahead.any():
        source = np.ascontiguousarray(in_camera[ahead])[:, None]
        zero = np.zeros(3)
        k = np.array(camera.K, float)
        coefficients = np.array(camera.distortion, float)
        if camera.model == "fisheye":
            coefficients = coefficients if len(coefficients) else np.zeros(4)
            out, _ = cv2.fisheye.projectPoints(source, zero, zero, k, coefficients)
        else:
            out, _ = cv2.projectPoints(source, zero, zero, k, coefficients if len(coefficients) else None)
        pixels[ahead] = out.reshape(-1, 2)
    return pixels.reshape(*points.shape[:-1], 2), depth.reshape(points.shape[:-1])


def limb_indices(skeleton: Skeleton) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(left, right) joint indices of the arm pair, the leg pair and all pairs ("body") of a skeleton.

    Arms are what lies beyond the shoulders, legs what lies beyond the hips.
    """
    groups: dict[str, list[tuple[int, int]]] = {"arms": [], "legs": [], "body": []}
    for left, right in skeleton.left_right_pairs:
        name = skeleton.joints[left]
        groups["body"].append((left, right))
        if any(word in name for word in _LEG_WORDS):
            groups["legs"].append((left, right))
        elif any(word in name for word in _ARM_WORDS):
            groups["arms"].append((left, right))
    return {
        key: (np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64))
        for key, pairs in groups.items()
    }


@dataclass(frozen=True)
class ObservationTruth:
    """What was done to the projections: the answer sheet of :func:`observe`.

    Attributes:
        xy_true: (C, T, J, 2) px, exact projections at the true time of each camera's frame, NaN behind a camera.
        sigma_px: (C, T, J) standard deviation of the noise that was drawn.
        outlier: (C, T, J) gross outliers among the observed joints.
        swapped: (C, T, J) joints whose left/right identity was exchanged.
        missing: (C, T, J) joints that were dropped or lie outside the image.
        time_offsets_s: (C,) how late each camera looks: frame f shows the person at time f/fps + offset.
    """

    xy_true: Array
    sigma_px: Array
    outlier: Mask
    swapped: Mask
    missing: Mask
    time_offsets_s: Array


def _late(points: Array, fps: float, offsets_s: Array) -> list[Array]:
    if not offsets_s.any():
        return [points] * len(offsets_s)
    if len(points) < 4:
        raise InputError("Time offsets need at least four frames of motion.")
    times = np.arange(len(points)) / fps
    spline = CubicSpline(times, points, axis=0, bc_type="natural")
    clamped = [np.clip(times + d, times[0], times[-1]) for d in offsets_s]
    return [spline(when) for when in clamped]


def observe(
    points_world_m: ArrayLike,
    rig: Rig,
    seed: int = 0,
    *,
    sigma_px: float = 2.0,
    outliers: float = 0.0,
    missing: float = 0.0,
    swaps: float = 0.0,
    swap_kind: str = "body",
    correlation: float = 0.0,
    noise_spread: float = 0.0,
    time_offsets_s: ArrayLike | None = None,
    fps: float = 50.0,
    skeleton: str | Skeleton = "h36m17",
) -> tuple[Keypoints2D, ObservationTruth]:
    """Project a motion into every camera and corrupt it the way 2D detectors do.

    Args:
        points_world_m: (T, J, 3) joints in metres; NaN joints are seen by nobody.
        rig: the cameras.
        seed: each effect of each camera has its own stream, so switching one on leaves the others unchanged.
        sigma_px: standard deviation of the isotropic Gaussian noise.
        outliers: share of joints displaced by 30 to 300 px in a random direction.
        missing: share of joints dropped at random.
        swaps: share of frames, per camera, with left and right exchanged, in runs of 5 to 15 frames.
        swap_kind: "body", "arms", "legs", or "mixed" (each run draws one of the three).
        correlation: AR(1) coefficient of the noise from frame to frame.
        noise_spread: log-normal spread of the noise scale from joint to joint and frame to frame; the score then
            falls as the scale grows. 0 gives equal noise and weakly informative scores.
        time_offsets_s: (C,) how late each camera looks.
        fps: frame rate of ``points_world_m``.
        skeleton: joint order of ``points_world_m``.

    Returns:
        The keypoints (with scores, fps, times, image sizes and names) and the :class:`ObservationTruth`.

    Raises:
        InputError: shapes do not fit the skeleton, a share lies outside [0, 1], or swap_kind is unknown.
    """
    skel = get_skeleton(skeleton)
    points = np.asarray(points_world_m, float)
    if points.ndim != 3 or points.shape[1:] != (skel.n_joints, 3):
        raise InputError(f"points are {points.shape}; {skel.name} wants (T, {skel.n_joints}, 3).")
    for name, share in {"outliers": outliers, "missing": missing, "swaps": swaps}.items():
        if not 0 <= share <= 1:
            raise InputError(f"{name} = {share} is not a share between 0 and 1.")
    if not 0 <= correlation < 1:
        raise InputError(f"correlation = {correlation} must lie in [0, 1).")
    if swap_kind not in ("body", "arms", "legs", "mixed"):
        raise InputError(f"Unknown swap_kind {swap_kind!r}.", "Use body, arms, legs or mixed.")
    count, frames, joints = len(rig), points.shape[0], points.shape[1]
    offsets = np.zeros(count) if time_offsets_s is None else np.asarray(time_offsets_s, float)
    if offsets.shape != (count,):
        raise InputError(f"time_offsets_s has shape {offsets.shape}; one value per camera ({count}) is needed.")
    shape = (count, frames, joints)
    xy_true, xy = np.full((*shape, 2), np.nan), np.full((*shape, 2), np.nan)
    score, scale = np.zeros(shape), np.zeros(shape)
    gross, swapped, lost = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    for c, (camera, seen) in enumerate(zip(rig, _late(points, fps, offsets), strict=True)):
        xy_true[c], depth = project_truth(seen, camera)
        log_scale = noise_spread * stream(seed, "scale", c).normal(size=shape[1:])
        scale[c] = sigma_px * np.exp(log_scale)
        noise = stream(seed, "noise", c).normal(size=(frames, joints, 2))
        if correlation:
            first = noise[0].copy()
            noise = lfilter([np.sqrt(1 - correlation**2)], [1.0, -correlation], noise, axis=0)
            noise += first * (1 - np.sqrt(1 - correlation**2)) * correlation ** np.arange(frames)[:, None, None]
        xy[c] = xy_true[c] + scale[c][..., None] * noise
        swapped[c] = _swap_runs(xy[c], stream(seed, "swap", c), swaps, swap_kind, skel)
        rng = stream(seed, "outlier", c)
        gross[c] = rng.random((frames, joints)) < outliers
        reach, angle = rng.uniform(30, 300, (frames, joints)), rng.uniform(0, 2 * np.pi, (frames, joints))
        xy[c] += np.where(gross[c], reach, 0.0)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        draw = stream(seed, "score", c).uniform(size=(frames, joints))
        good = 0.6 + 0.4 * draw
        if noise_spread:  # the rank of the score follows the noise scale, with some noise of its own
            level = -log_scale / noise_spread + 0.3 * stream(seed, "level", c).normal(size=log_scale.shape)
            good = 0.05 + 0.94 / (1 + np.exp(-(1.0 + 1.2 * level)))
        score[c] = np.where(gross[c], 0.5 + 0.4 * draw, good)
        width, height = camera.image_size
        inside = (xy_true[c] > -0.5).all(-1) & (xy_true[c] < np.array([width, height]) - 0.5).all(-1) & (depth > 0)
        lost[c] = (stream(seed, "missing", c).random((frames, joints)) < missing) | ~inside
    xy[lost], score[lost] = np.nan, 0.0
    times = np.broadcast_to(np.arange(frames) / fps, (count, frames))
    keypoints = Keypoints2D(
        xy,
        score,
        skel,
        fps=fps,
        times=times,
        image_sizes=np.array([camera.image_size for camera in rig]),
        names=tuple(rig.names),
    )
    return keypoints, ObservationTruth(xy_true, scale, gross & ~lost, swapped & ~lost, lost, offsets)


def _swap_runs(xy: Array, rng: np.random.Generator, share: float, kind: str, skeleton: Skeleton) -> Mask:
    """Exchange left and right in place for runs of frames; returns which samples were touched (T, J)."""
    frames, joints = xy.shape[:2]
    touched = np.zeros((frames, joints), bool)
    groups = limb_indices(skeleton)
    mean_run = 10.0
    start_rate = share / (mean_run * max(1 - share, 1e-3))
    f = 0
    while share > 0 and f < frames:
        if rng.random() < start_rate:
            stop = min(f + int(rng.integers(5, 16)), frames)
            name = str(rng.choice(["body", "arms", "legs"])) if kind == "mixed" else kind
            left, right = groups[name]
            both, other = np.concatenate([left, right]), np.concatenate([right, left])
            xy[f:stop, both] = xy[f:stop, other]
            touched[f:stop, both] = True
            f = stop
        f += 1
    return touched

"""Draw the moving person as a clothed figure of tapered capsules, into images and videos.

The figure is meant for demonstrations and for tests of the road without network or data; it is no photograph.
Parts are painted from far to near. Pixels are RGB, uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.synthetic._streams import stream
from sportcore.synthetic.scene import project_truth
from sportcore.types import Camera

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_SKIN, _SHIRT, _SHORTS, _SHOE, _HAIR = (214, 168, 138), (196, 52, 60), (36, 44, 84), (238, 238, 232), (62, 42, 30)
# (from joint, to joint, radius at each end as a fraction of stature, colour); Human3.6M-17 rows.
_LIMBS: tuple[tuple[int, int, float, float, tuple[int, int, int]], ...] = (
    (1, 2, 0.046, 0.032, _SHORTS),
    (4, 5, 0.046, 0.032, _SHORTS),
    (2, 3, 0.031, 0.020, _SKIN),
    (5, 6, 0.031, 0.020, _SKIN),
    (14, 15, 0.028, 0.022, _SHIRT),
    (11, 12, 0.028, 0.022, _SHIRT),
    (15, 16, 0.022, 0.015, _SKIN),
    (12, 13, 0.022, 0.015, _SKIN),
    (8, 9, 0.034, 0.030, _SKIN),
)
_TILE_M, _FLOOR_HALF_M = 1.0, 8


def _capsule(camera: Camera, a: Array, b: Array, ra: float, rb: float) -> tuple[NDArray[np.int32], float] | None:
    """Outline (N, 1, 2) of a tapered capsule in 1/16 px, and its mean depth; None when it is not ahead."""
    pixels, depth = project_truth(np.stack([a, b]), camera)
    if not np.isfinite(pixels).all() or depth.min() < 0.2:
        return None
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    focal = float(camera.K[0, 0])
    rim = np.concatenate([p + circle * r * focal / d for p, r, d in zip(pixels, (ra, rb), depth, strict=True)])
    if np.abs(rim).max() > 1e5:
        return None
    return cv2.convexHull(np.round(rim * 16).astype(np.int32)), float(depth.mean())


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    r, g, b = (int(np.clip(v * factor, 0, 255)) for v in colour)
    return r, g, b


def render_background(camera: Camera, seed: int = 0) -> Image:
    """Empty scene (H, W, 3) RGB: a chequered floor at z = 0 under a plain sky, with a little seeded texture."""
    width, height = camera.image_size
    ramp = np.linspace(205, 150, height)[:, None, None] * np.array([0.92, 0.97, 1.0])
    image = np.ascontiguousarray(np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8))
    rng = stream(seed, "floor")
    edges = np.arange(-_FLOOR_HALF_M, _FLOOR_HALF_M) * _TILE_M
    x, y = (g.ravel() for g in np.meshgrid(edges, edges, indexing="ij"))
    steps = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float) * _TILE_M
    corners = np.zeros((len(x), 4, 3))
    corners[..., :2] = np.stack([x, y], -1)[:, None] + steps
    pixels, depth = project_truth(corners, camera)
    tone = 0.9 + 0.1 * rng.random(len(x)) - 0.16 * ((np.round(x + y).astype(int)) % 2)
    for tile, ahead, shade in zip(pixels, depth.min(1) > 0.3, tone, strict=True):
        if ahead and np.isfinite(tile).all() and np.abs(tile).max() < 2e4:
            outline = np.round(tile * 16).astype(np.int32)
            cv2.fillConvexPoly(image, outline, _shade((128, 150, 120), shade), cv2.LINE_AA, 4)
    grain = stream(seed, "grain", camera.name).normal(size=(height // 2 + 1, width // 2 + 1)) * 4
    texture = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(image + texture[..., None], 0, 255).astype(np.uint8)


def render_frame(joints_m: ArrayLike, camera: Camera, background: Image | None = None) -> Image:
    """One image (H, W, 3) RGB of a person given by joints (17, 3) in metres, Human3.6M-17 order.

    Parts with a missing (NaN) joint are left out. ``background`` is not changed.

    Raises:
        InputError: joints are not (17, 3), or the background does not fit the camera's image size.
    """
    joints = np.asarray(joints_m, float)
    width, height = camera.image_size
    if joints.shape != (17, 3):
        raise InputError(f"joints are {joints.shape}; rendering wants (17, 3) in Human3.6M-17 order.")
    image = render_background(camera) if background is None else background.copy()
    if image.shape != (height, width, 3):
        raise InputError(f"the background is {image.shape}; camera {camera.name} wants {(height, width, 3)}.")
    stature = float(np.nansum(np.linalg.norm(np.diff(joints[[3, 2, 1, 0, 7, 8, 9, 10]], axis=0), axis=-1)) / 1.06)
    parts = list(_LIMBS)
    shapes: list[tuple[float, NDArray[np.int32], tuple[int, int, int]]] = []

    def add(a: Array, b: Array, ra: float, rb: float, colour: tuple[int, int, int]) -> None:
        if np.isfinite(a).all() and np.isfinite(b).all():
            made = _capsule(camera, a, b, ra * stature, rb * stature)
            if made is not None:
                shapes.append((made[1], made[0], colour))

    for a, b, ra, rb, colour in parts:
        add(joints[a], joints[b], ra, rb, colour)
    left, right = joints[11] - joints[14], joints[4] - joints[1]
    add(joints[8] + 0.3 * left, joints[7] + 0.2 * left, 0.055, 0.055, _SHIRT)
    add(joints[8] - 0.3 * left, joints[7] - 0.2 * left, 0.055, 0.055, _SHIRT)
    add(joints[8], joints[7], 0.05, 0.06, _SHIRT)
    add(joints[7], joints[0], 0.064, 0.062, _SHIRT)
    add(joints[1] + 0.12 * right, joints[4] - 0.12 * right, 0.055, 0.055, _SHORTS)
    across = left / (np.linalg.norm(left) + 1e-9)
    front = np.cross(across, joints[8] - joints[7])
    front = front / (np.linalg.norm(front) + 1e-9)
    face = joints[9] + 0.35 * (joints[10] - joints[9])
    add(face, face + 0.2 * (joints[10] - joints[9]), 0.05, 0.05, _SKIN)
    crown = face - 0.012 * stature * front + 0.3 * (joints[10] - joints[9])
    add(crown, joints[10] - 0.03 * stature * front, 0.05, 0.04, _HAIR)
    add(face + 0.045 * stature * front, face + 0.055 * stature * front, 0.012, 0.01, _shade(_SKIN, 0.9))
    for knee, ankle, hip_side in ((2, 3, -1.0), (5, 6, 1.0)):
        shank = joints[ankle] - joints[knee]
        toe = front - shank * (front @ shank) / (shank @ shank + 1e-9)
        toe = toe / (np.linalg.norm(toe) + 1e-9)
        heel = joints[ankle] + 0.022 * stature * shank / (np.linalg.norm(shank) + 1e-9)
        add(heel - 0.02 * stature * toe, heel + 0.1 * stature * toe + hip_side * 0.005 * across, 0.018, 0.014, _SHOE)
    for elbow, wrist in ((15, 16), (12, 13)):
        add(joints[wrist], joints[wrist] + 0.25 * (joints[wrist] - joints[elbow]), 0.016, 0.014, _SKIN)
    for _, outline, colour in sorted(shapes, key=lambda part: -part[0]):
        cv2.fillConvexPoly(image, outline, colour, cv2.LINE_AA, 4)
        cv2.polylines(image, [outline], True, _shade(colour, 0.82), 1, cv2.LINE_AA, 4)
    return image


def render_frames(points_world_m: ArrayLike, camera: Camera, seed: int = 0) -> Iterator[Image]:
    """Images (H, W, 3) RGB of a motion (T, 17, 3), one after the other."""
    background = render_background(camera, seed)
    for joints in np.asarray(points_world_m, float):
        yield render_frame(joints, camera, background)


def render_video(
    path: str | Path,
    points_world_m: ArrayLike,
    camera: Camera,
    fps: float,
    *,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write the motion (T, 17, 3) as an MPEG-4 video seen by one camera; returns the path.

    Raises:
        InputError: this OpenCV has no encoder for the file, or the motion is empty.
    """
    target = Path(path)
    points = np.asarray(points_world_m, float)
    if not len(points):
        raise InputError(f"no frames to write to {target}.")
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(partial), fourcc, float(fps), tuple(camera.image_size))
    if not writer.isOpened():
        raise InputError(f"OpenCV cannot write {target}.", "Use a name that ends in .mp4 and a folder that exists.")
    try:
        for i, image in enumerate(render_frames(points, camera, seed)):
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if progress is not None:
                progress(i + 1, len(points), f"drawing {target.name}")
        writer.release()
        partial.replace(target)
    finally:
        writer.release()
        partial.unlink(missing_ok=True)
    return target

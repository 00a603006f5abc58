"""A still picture of a result for a README or a slide, drawn with OpenCV: cameras, floor, path and skeletons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.atomic import atomic_path
from .data import ReportData
from .measures import root_track

__all__ = ["draw_scene", "save_scene"]

Image = NDArray[np.uint8]
_LEFT, _RIGHT, _MIDDLE = (185, 114, 11), (27, 84, 209), (99, 85, 75)  # BGR
_LINE, _CAMERA, _PATH, _TEXT = (229, 221, 213), (80, 60, 40), (197, 87, 36), (48, 36, 27)


class _View:
    """Perspective view from an orbit about a target; draws at twice the size, for smooth lines."""

    def __init__(self, size: tuple[int, int], target: NDArray[Any], distance: float, yaw: float, pitch: float) -> None:
        self.scale = 2
        self.w, self.h = size[0] * self.scale, size[1] * self.scale
        self.image = np.full((self.h, self.w, 3), 255, np.uint8)
        cp, sp, cw, sw = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
        forward = np.array([-cp * cw, -cp * sw, -sp])
        right = np.array([-sw, cw, 0.0])
        self.axes = np.stack([right, np.cross(forward, right), forward])
        self.eye = target - distance * forward
        self.focal = min(self.h, 0.9 * self.w) / 2 / np.tan(np.radians(17.5))

    def line(self, a: NDArray[Any], b: NDArray[Any], colour: tuple[int, int, int], width: float) -> None:
        p, q = self.axes @ (np.asarray(a) - self.eye), self.axes @ (np.asarray(b) - self.eye)
        if not (np.isfinite(p).all() and np.isfinite(q).all()) or max(p[2], q[2]) < 0.05:
            return
        if min(p[2], q[2]) < 0.05:  # clip at the near plane
            s = (0.05 - p[2]) / (q[2] - p[2])
            middle = p + s * (q - p)
            p, q = (middle, q) if p[2] < 0.05 else (p, middle)
        ends = [(self.w / 2 + self.focal * v[0] / v[2], self.h / 2 + self.focal * v[1] / v[2]) for v in (p, q)]
        if np.abs(ends).max() > 2e4:
            return
        (x0, y0), (x1, y1) = ends
        cv2.line(
            self.image, (round(x0 * 8), round(y0 * 8)), (round(x1 * 8), round(y1 * 8)), colour,
            max(1, round(width * self.scale)), cv2.LINE_AA, 3,
        )  # fmt: skip

    def text(self, at: NDArray[Any], text: str) -> None:
        p = self.axes @ (np.asarray(at) - self.eye)
        if p[2] < 0.05:
            return
        x, y = self.w / 2 + self.focal * p[0] / p[2] + 12, self.h / 2 + self.focal * p[1] / p[2] - 10
        safe = text.encode("ascii", "replace").decode("ascii")[:24]
        cv2.putText(self.image, safe, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, 0.9, _TEXT, 2, cv2.LINE_AA)


def draw_scene(
    data: ReportData,
    *,
    size: tuple[int, int] = (1200, 620),
    poses: int = 6,
    yaw_deg: float = -60.0,
    pitch_deg: float = 20.0,
    distance_m: float | None = None,
) -> Image:
    """Draw the floor, the cameras, the pelvis' path and some poses.

    Args:
        data: a session with 3D motion.
        size: width and height in px.
        poses: how many poses are drawn, evenly spread over time; earlier ones are paler.
        yaw_deg, pitch_deg: direction of view.
        distance_m: from the scene's middle; chosen to hold cameras and motion when None.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        InputError: there is no 3D motion.
    """
    points = data.points_world_m
    if points is None or not np.isfinite(points).any() or data.bones is None:
        raise InputError("There is no 3D motion to draw.")
    finite = points[np.isfinite(points).all(-1)]
    centers = data.camera_centers_m
    everything = finite if centers is None else np.concatenate([finite, centers])
    low, high = np.quantile(finite, 0.01, axis=0), np.quantile(finite, 0.99, axis=0)
    target = (low + high) / 2
    reach = float(np.linalg.norm(everything[:, :2] - target[:2], axis=1).max())
    view = _View(size, target, distance_m or max(4.0, 2.2 * reach), np.radians(yaw_deg), np.radians(pitch_deg))
    floor_low = np.floor(everything[:, :2].min(0) - 0.5)
    floor_high = np.ceil(everything[:, :2].max(0) + 0.5)
    step = 1.0 if (floor_high - floor_low).max() <= 60 else 5.0
    for x in np.arange(floor_low[0], floor_high[0] + 0.5, step):
        view.line(np.array([x, floor_low[1], 0]), np.array([x, floor_high[1], 0]), _LINE, 1)
    for y in np.arange(floor_low[1], floor_high[1] + 0.5, step):
        view.line(np.array([floor_low[0], y, 0]), np.array([floor_high[0], y, 0]), _LINE, 1)
    track = root_track(data)
    if track is not None:
        ground = track * [1, 1, 0]
        for a, b in zip(ground[:-1], ground[1:], strict=True):
            view.line(a, b, _PATH, 1.6)
    if centers is not None and data.K is not None and data.R is not None:
        _draw_cameras(view, data, centers)
    complete = np.flatnonzero(np.isfinite(points).all((-1, -2)))
    if not len(complete):
        complete = np.flatnonzero(np.isfinite(points).all(-1).any(-1))
    chosen = complete[np.unique(np.linspace(0, len(complete) - 1, poses).round().astype(int))]
    for i, f in enumerate(chosen):
        fade = 0.72 * (1 - (i + 1) / len(chosen))
        _draw_pose(view, data, points[f], fade)
    small = cv2.resize(view.image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1], dtype=np.uint8)


def _draw_cameras(view: _View, data: ReportData, centers: NDArray[Any]) -> None:
    assert data.K is not None and data.R is not None
    for c, center in enumerate(centers):
        k = data.K[c]
        size = data.image_sizes[c] if data.image_sizes is not None else 2 * k[:2, 2] + 1
        corners = []
        for u, v in ((0, 0), (size[0], 0), (size[0], size[1]), (0, size[1])):
            ray = np.array([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], 1.0]) * 0.4
            corners.append(center + data.R[c].T @ ray)
        for i in range(4):
            view.line(center, corners[i], _CAMERA, 1.6)
            view.line(corners[i], corners[(i + 1) % 4], _CAMERA, 1.6)
        view.line(center, center * [1, 1, 0], _LINE, 1.5)
        view.text(center, data.camera_names[c])


def _draw_pose(view: _View, data: ReportData, pose: NDArray[Any], fade: float) -> None:
    assert data.bones is not None
    for a, b in data.bones:
        name = data.joint_names[b] + data.joint_names[a]
        colour = _LEFT if "left" in name else _RIGHT if "right" in name else _MIDDLE
        mixed = tuple(int(v + (255 - v) * fade) for v in colour)
        view.line(pose[a], pose[b], mixed, 4.0)  # type: ignore[arg-type]


def save_scene(path_png: str | Path, data: ReportData, **options: Any) -> Path:
    """Write :func:`draw_scene` as a PNG; ``options`` are its keyword arguments."""
    ok, encoded = cv2.imencode(".png", draw_scene(data, **options)[..., ::-1])
    if not ok:
        raise InputError("OpenCV could not encode the picture.")
    target = Path(path_png)
    with atomic_path(target) as temporary:
        Path(temporary).write_bytes(encoded.tobytes())
    return target

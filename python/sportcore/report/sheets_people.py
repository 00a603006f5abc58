"""Contact sheets with everybody in view, each in a colour of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Keypoints2D
from .sheets import _encoded, _label, _read_frames, _window, draw_overlay

__all__ = ["PERSON_COLOURS", "people_sheet_jpeg", "person_colour"]

#: RGB, told apart by most people who see colours differently too, and on grass, wood and asphalt
PERSON_COLOURS = (
    (64, 180, 255), (255, 140, 60), (90, 220, 120), (240, 100, 210), (250, 225, 70), (170, 130, 255), (255, 90, 90),
    (80, 230, 220),
)  # fmt: skip
_HEIGHT = 420  # px of one picture


def person_colour(person: int) -> tuple[int, int, int]:
    """RGB of a person; colours come again after the eighth."""
    return PERSON_COLOURS[person % len(PERSON_COLOURS)]


def people_sheet_jpeg(
    videos: Mapping[str, str | Path],
    frames: Sequence[int],
    keypoints: Sequence[Keypoints2D],
    reprojections: Sequence[NDArray[np.float64]],
    *,
    start_s: float = 0.0,
    offsets_s: Mapping[str, float] | None = None,
    max_bytes: int = 600_000,
) -> list[tuple[str, bytes]]:
    """One (caption, JPEG) for each camera, with all people drawn in.

    Args:
        videos: camera name -> video file.
        frames: rows of the common time base to show.
        keypoints: of each person, with the same cameras and times.
        reprojections: of each person (C, T, J, 2) px, the projected 3D joints.
        start_s: where in the videos the search for people began.
        offsets_s: how late each camera looks, as far as ``keypoints.times`` contain it.
        max_bytes: of all JPEGs together.

    Returns:
        Cameras without a readable frame are left out.
    """
    first = keypoints[0]
    chosen = [int(f) for f in frames]
    out = []
    for c, name in enumerate(first.camera_names):
        late = float((offsets_s or {}).get(name, 0.0))
        times = None if first.times is None else first.times[c, chosen] - late
        pictures = []
        tile = (0, 0)
        for f, image in sorted(_read_frames(videos[name], chosen, times, start_s).items()):
            points = np.concatenate([k.xy[c, f] for k in keypoints] + [r[c, f] for r in reprojections])
            for p, (k, r) in enumerate(zip(keypoints, reprojections, strict=True)):
                image = draw_overlay(image, k.skeleton, k.xy[c, f], r[c, f], person_colour(p))
            for p, (k, r) in enumerate(zip(keypoints, reprojections, strict=True)):
                image = _number(image, p, np.concatenate([k.xy[c, f], r[c, f]]))
            aspect = float(np.clip(image.shape[1] / image.shape[0], 0.6, 1.6))
            tile = (round(_HEIGHT * aspect), _HEIGHT)
            x0, y0, x1, y1 = _window(points, (image.shape[1], image.shape[0]), tile[0] / tile[1])
            small = cv2.resize(image[y0:y1, x0:x1], tile, interpolation=cv2.INTER_AREA)
            pictures.append(_label(np.asarray(small, dtype=np.uint8), f"{name}  frame {f}"))
        if pictures:
            out += _encoded([(name, pictures)], tile, max_bytes // len(first.camera_names))
    return out


def _number(image: NDArray[np.uint8], person: int, points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The person's number above the head."""
    seen = points[np.isfinite(points).all(-1)]
    inside = (seen >= 0).all(-1) & (seen < [image.shape[1], image.shape[0]]).all(-1)
    seen = seen[inside]
    if not len(seen):
        return image
    top = seen[np.argmin(seen[:, 1])]
    size = max(image.shape[:2]) / 1000.0
    at = (int(top[0] - 8 * size), int(max(top[1] - 14 * size, 24 * size)))
    for colour, width in (((0, 0, 0), round(6 * size)), (person_colour(person), round(3 * size))):
        cv2.putText(image, str(person), at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, max(width, 1), cv2.LINE_AA)
    return image

"""Contact sheets: real frames of every camera with the detected and the reprojected skeleton drawn in.

What a person believes is what they see: a ring that sits on its dot, and both on the athlete. Drawing is OpenCV only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..io.atomic import atomic_path
from ..types import Keypoints2D

__all__ = ["contact_sheet", "contact_sheet_jpeg", "draw_overlay"]

Image = NDArray[np.uint8]
Sources = Mapping[str, Any] | Sequence[Any]
Progress = Callable[[int, int, str], None]
# RGB: left, right, middle (the page's colours on a dark photograph)
_COLOURS = ((64, 180, 255), (255, 140, 60), (235, 235, 235))


def _side(name: str) -> int:
    return 0 if "left" in name else 1 if "right" in name else 2


def draw_overlay(
    image_rgb: ArrayLike,
    skeleton: Any,
    detected_px: ArrayLike | None,
    reprojected_px: ArrayLike | None,
    colour: tuple[int, int, int] | None = None,
) -> Image:
    """Draw detections (filled dots) and reprojected 3D joints (rings joined by lines) on a copy of a frame.

    Args:
        image_rgb: (h, w, 3) uint8.
        skeleton: joints and bones of both point sets.
        detected_px: (J, 2) px, NaN where missing; None for none.
        reprojected_px: (J, 2) px, NaN where missing; None for none.
        colour: RGB of everything; None: one for the left, one for the right and one for the middle.

    Returns:
        A new (h, w, 3) uint8 RGB image.
    """
    image = np.ascontiguousarray(np.array(image_rgb, dtype=np.uint8))
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"A frame is (h, w, 3) uint8, got {image.shape}.")
    unit = max(image.shape[:2]) / 1000.0
    thick, dot, ring = max(1, round(1.6 * unit)), max(2, round(3.2 * unit)), max(3, round(5.5 * unit))
    shift, scale = 3, 8.0  # sub-pixel drawing

    def paint(side: int) -> tuple[int, int, int]:
        return _COLOURS[side] if colour is None else colour

    def place(point: NDArray[Any]) -> tuple[int, int] | None:
        if not np.isfinite(point).all() or np.abs(point).max() > 1e5:
            return None
        return int(round(point[0] * scale)), int(round(point[1] * scale))

    if reprojected_px is not None:
        again = np.asarray(reprojected_px, dtype=float)
        for a, b in skeleton.bone_indices:
            p, q = place(again[a]), place(again[b])
            if p and q:
                side = min(_side(skeleton.joints[a]), _side(skeleton.joints[b]))
                cv2.line(image, p, q, (0, 0, 0), thick + 2, cv2.LINE_AA, shift)
                cv2.line(image, p, q, paint(side), thick, cv2.LINE_AA, shift)
        for j, name in enumerate(skeleton.joints):
            if p := place(again[j]):
                cv2.circle(image, p, round(ring * scale), paint(_side(name)), thick, cv2.LINE_AA, shift)
    if detected_px is not None:
        for name, point in zip(skeleton.joints, np.asarray(detected_px, dtype=float), strict=True):
            if p := place(point):
                cv2.circle(image, p, round((dot + 1) * scale), (0, 0, 0), -1, cv2.LINE_AA, shift)
                cv2.circle(image, p, round(dot * scale), paint(_side(name)), -1, cv2.LINE_AA, shift)
    return image


def _read_frames(source: Any, wanted: Sequence[int], times_s: ArrayLike | None, start_s: float) -> dict[int, Image]:
    """Wanted frames (rows of the tracks) of one camera: a video, or frames as a mapping or a sequence.

    In a video a row is found by its time since the first searched frame, where times are known, else by counting.
    """
    if isinstance(source, Mapping):
        return {f: np.asarray(source[f]) for f in wanted if f in source}
    if not isinstance(source, str | Path):
        return {f: np.asarray(source[f]) for f in wanted if 0 <= f < len(source)}
    from ..videos import VideoReader

    reader = VideoReader(source)
    start, fps = round(start_s * reader.fps), reader.fps
    goals = {
        f: (f / fps if times_s is None or not np.isfinite(t) else float(t)) for f, t in _with_times(wanted, times_s)
    }
    out: dict[int, Image] = {}
    first: float | None = None
    for frame in reader:
        if frame.index < start:
            continue
        first = frame.time_s if first is None else first
        now = frame.time_s - first
        for f, goal in goals.items():
            if f not in out and abs(now - goal) <= 0.51 / fps:
                out[f] = frame.image_rgb
        if len(out) == len(goals) or (goals and now > max(goals.values()) + 1 / fps):
            break
    return out


def _with_times(wanted: Sequence[int], times_s: ArrayLike | None) -> list[tuple[int, float]]:
    times = [float("nan")] * len(wanted) if times_s is None else np.asarray(times_s, dtype=float).tolist()
    return list(zip(wanted, times, strict=True))


def _window(points: NDArray[Any], size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """Crop (x0, y0, x1, y1) that holds the person with room around, within the image, of the given aspect w / h."""
    w, h = size
    seen = points[np.isfinite(points).all(-1)]
    seen = seen[(seen[:, 0] > -w) & (seen[:, 0] < 2 * w) & (seen[:, 1] > -h) & (seen[:, 1] < 2 * h)]
    if len(seen) < 2:
        return 0, 0, w, h
    low, high = seen.min(0), seen.max(0)
    cy, cx = (low[1] + high[1]) / 2, (low[0] + high[0]) / 2
    height = max(1.5 * (high[1] - low[1]), 1.5 * (high[0] - low[0]) / aspect, 0.25 * h)
    height = min(height, h, w / aspect)
    width = height * aspect
    x0 = float(np.clip(cx - width / 2, 0, w - width))
    y0 = float(np.clip(cy - height / 2, 0, h - height))
    return int(x0), int(y0), int(x0 + width), int(y0 + height)


def _tiles(
    sources: Sources, frames: Sequence[int], keypoints: Keypoints2D, reprojection: ArrayLike | None,
    tile: tuple[int, int], start_s: float, offsets_s: Mapping[str, float] | None, progress: Progress | None,
) -> list[tuple[str, list[Image]]]:  # fmt: skip
    """Per camera its drawn, cropped, scaled frames; a frame that cannot be read is left out."""
    names = keypoints.camera_names
    again = None if reprojection is None else np.asarray(reprojection, dtype=float)
    if again is not None and again.shape != keypoints.xy.shape:
        raise InputError(
            f"reprojection has shape {again.shape}, the keypoints {keypoints.xy.shape}.",
            "Bring both to the same skeleton and the same frames.",
        )
    if not isinstance(sources, Mapping):
        if len(sources) != len(names):
            raise InputError(f"{len(sources)} videos for {len(names)} cameras.", "Pass one per camera, in order.")
        sources = dict(zip(names, sources, strict=True))
    chosen = [int(f) for f in frames]
    if any(not 0 <= f < keypoints.n_frames for f in chosen):
        raise InputError(f"Frames {chosen} lie outside the {keypoints.n_frames} frames of the keypoints.")
    out = []
    for c, name in enumerate(names):
        if progress is not None:
            progress(c, len(names), f"pictures of {name}")
        if name not in sources:
            continue
        pictures = []
        late = float((offsets_s or {}).get(name, 0.0))
        times = None if keypoints.times is None else keypoints.times[c, chosen] - late
        for f, image in sorted(_read_frames(sources[name], chosen, times, start_s).items()):
            drawn = draw_overlay(image, keypoints.skeleton, keypoints.xy[c, f], None if again is None else again[c, f])
            points = keypoints.xy[c, f] if again is None else np.concatenate([keypoints.xy[c, f], again[c, f]])
            x0, y0, x1, y1 = _window(points, (drawn.shape[1], drawn.shape[0]), tile[0] / tile[1])
            small = cv2.resize(drawn[y0:y1, x0:x1], tile, interpolation=cv2.INTER_AREA)
            pictures.append(_label(np.asarray(small, dtype=np.uint8), f"{name}  frame {f}"))
        if pictures:
            out.append((name, pictures))
    return out


def _label(image: Image, text: str) -> Image:
    safe = text.encode("ascii", "replace").decode("ascii")[:40]
    (width, _), _ = cv2.getTextSize(safe, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    corner = image[4:27, 4 : width + 14]
    corner[:] = corner // 4
    cv2.putText(image, safe, (9, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def _grid(rows: Sequence[Sequence[Image]], tile: tuple[int, int]) -> Image:
    columns = max(len(r) for r in rows)
    gap = 4
    sheet = np.full((len(rows) * (tile[1] + gap) - gap, columns * (tile[0] + gap) - gap, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            y, x = r * (tile[1] + gap), c * (tile[0] + gap)
            sheet[y : y + tile[1], x : x + tile[0]] = image
    return sheet


def contact_sheet(
    path_png: str | Path,
    videos: Sources,
    frames: Sequence[int],
    keypoints: Keypoints2D,
    reprojection: ArrayLike | None = None,
    *,
    tile: tuple[int, int] = (480, 480),
    start_s: float = 0.0,
    offsets_s: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a PNG with one row per camera and one column per frame.

    Args:
        path_png: file to write.
        videos: per camera, by name or in order: a video file, or RGB frames as a sequence or a {frame: image} mapping.
        frames: frame indices of ``keypoints`` to show.
        keypoints: detections.
        reprojection: (C, T, J, 2) px projected 3D joints of the same skeleton, or None.
        tile: width and height of one picture; each is cropped around the person.
        start_s: where in the videos the search for the athlete began.
        offsets_s: how late each camera looks, as far as ``keypoints.times`` contain it.
        progress: called with (done, total, message).

    Returns:
        The path written.

    Raises:
        InputError: shapes or frames that do not fit, or no frame could be read.
    """
    rows = _tiles(videos, frames, keypoints, reprojection, tile, start_s, offsets_s, progress)
    if not rows:
        raise InputError("No frame could be read for the contact sheet.", "Check the videos and the frame numbers.")
    ok, data = cv2.imencode(".png", _grid([r for _, r in rows], tile)[..., ::-1])
    if not ok:
        raise InputError("OpenCV could not encode the contact sheet.")
    target = Path(path_png)
    with atomic_path(target) as temporary:
        Path(temporary).write_bytes(data.tobytes())
    return target


def contact_sheet_jpeg(
    videos: Sources,
    frames: Sequence[int],
    keypoints: Keypoints2D,
    reprojection: ArrayLike | None = None,
    *,
    start_s: float = 0.0,
    offsets_s: Mapping[str, float] | None = None,
    max_bytes: int = 400_000,
    progress: Progress | None = None,
) -> list[tuple[str, bytes]]:
    """The contact sheet for the report: one (caption, JPEG) per camera, ``max_bytes`` of JPEG in total.

    Arguments as :func:`contact_sheet`. Quality, then size, are lowered until the sheet fits; cameras without a
    readable frame are left out, so the list may be empty.
    """
    tile = (360, 360)
    rows = _tiles(videos, frames, keypoints, reprojection, tile, start_s, offsets_s, progress)
    return _encoded(rows, tile, max_bytes)


def _encoded(rows: Sequence[tuple[str, list[Image]]], tile: tuple[int, int], max_bytes: int) -> list[tuple[str, bytes]]:
    """One JPEG for each camera, ``max_bytes`` in total."""
    budget = max_bytes // max(len(rows), 1)
    out = []
    for name, pictures in rows:
        sheet = _grid([pictures], tile)
        data = b""
        for quality, shrink in ((86, 1.0), (76, 1.0), (66, 1.0), (60, 0.75), (55, 0.5), (45, 0.33), (40, 0.2)):
            small = (
                sheet if shrink == 1.0 else cv2.resize(sheet, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            )
            ok, encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            data = encoded.tobytes() if ok else b""
            if 0 < len(data) <= budget:
                out.append((name, data))
                break
    return out

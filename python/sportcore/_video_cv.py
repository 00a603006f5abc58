"""OpenCV backend of :mod:`sportcore.videos`, used where PyAV is not installed.

OpenCV turns the images upright itself and reports the time of each frame in milliseconds; it does not show packets,
so a missing end is told from the number of frames that decode.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from sportcore.videos import Frame, VideoInfo, timing, timing_warnings, too_short, unreadable

log = logging.getLogger(__name__)


def probe(path: Path, min_frames: int) -> VideoInfo:
    """See :func:`sportcore.videos.probe`."""
    capture = _open(path)
    try:
        ok, image = capture.read()
        if not ok:
            raise too_short(path, 0, min_frames)
        declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        nominal = float(capture.get(cv2.CAP_PROP_FPS))
        rotation = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        times = [capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3]
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3)
    finally:
        capture.release()
    if len(times) < min_frames:
        raise too_short(path, len(times), min_frames)
    stamps = np.asarray(times)
    stamped = bool(np.all(np.diff(stamps) > 0))
    rate = nominal if math.isfinite(nominal) and nominal > 0 else None
    if not stamped:
        stamps = np.arange(len(times)) / (rate or 30.0)
    timed = timing(stamps - stamps[0], 1e-3, rate)
    truncated = declared > len(times) + 1
    notes = timing_warnings(path.name, timed, stamped)
    if truncated:
        notes.append(f"{path.name}: the file is cut off or damaged; {len(times)} of {declared} frames can be read.")
    for note in notes:
        log.warning("%s", note)
    return VideoInfo(
        path=path, backend="opencv", container=path.suffix[1:].lower(),
        codec=code.to_bytes(4, "little").decode("ascii", "replace").strip("\x00 ") if code > 0 else "",
        image_size=(image.shape[1], image.shape[0]), rotation=rotation, mirrored=False, fps=timed.fps,
        nominal_fps=rate, frame_count=len(times), declared_frame_count=declared if declared > 0 else None,
        duration_s=timed.duration_s, start_time_s=float(stamps[0]), variable_frame_rate=timed.variable,
        missing_frames=timed.missing, true_timestamps=stamped, truncated=truncated, has_audio=False,
        warnings=tuple(notes),
    )  # fmt: skip


def decode(info: VideoInfo, notes: list[str]) -> Iterator[Frame]:
    """Frames of the file, in order."""
    capture = _open(info.path)
    try:
        index = 0
        while True:
            ok, image = capture.read()
            if not ok:
                return
            time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 - info.start_time_s
            if not info.true_timestamps:
                time_s = index / info.fps
            yield Frame(index, time_s, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            index += 1
    finally:
        capture.release()


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise unreadable(path, "OpenCV cannot open it; PyAV reads more formats: pip install 'sportcore[detect]'")
    return capture

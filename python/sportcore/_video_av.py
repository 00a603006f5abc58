"""PyAV backend of :mod:`sportcore.videos`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import require
from sportcore.videos import Frame, VideoInfo, no_video_stream, timing, timing_warnings, too_short, unreadable

log = logging.getLogger(__name__)

Turn = tuple[bool, bool, bool]  # transpose first, then flip left-right, then flip up-down
_UPRIGHT: Turn = (False, False, False)


def probe(path: Path, min_frames: int) -> VideoInfo:
    """See :func:`sportcore.videos.probe`."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        nominal = float(stream.average_rate) if stream.average_rate else None
        declared = stream.frames or None
        codec = stream.codec_context.name
        kind = container.format.name.split(",")[0]
        kind = path.suffix[1:].lower() if path.suffix[1:].lower() in container.format.name.split(",") else kind
        has_audio = bool(container.streams.audio)
        header_end = _header_end_s(container)
        tick = float(stream.time_base) if stream.time_base else 0.0
        pts, unstamped, discarded, end, cut = _read_packets(container, stream)
    size, turn, leftover_deg, square = _first_frame(path, min_frames)

    notes: list[str] = []
    true_timestamps = unstamped == 0 and len(pts) > 0
    if true_timestamps:
        times = np.sort(np.asarray(pts, dtype=float)) * tick
    else:
        times = np.arange(len(pts) + unstamped) / (nominal or 30.0)
    if len(times) < min_frames:
        raise too_short(path, len(times), min_frames)
    timed = timing(times - times[0], tick, nominal)
    short = header_end is not None and end is not None and end < header_end - max(0.5, 0.02 * header_end)
    lost = (declared or 0) - len(times) - discarded
    truncated = cut or short or lost > 0
    if truncated:
        what = f"{len(times)} of {declared} frames" if lost > 0 else f"{timed.duration_s:.2f} s of picture"
        notes.append(f"{path.name}: the file is cut off or damaged; {what} can be read.")
    if leftover_deg:
        notes.append(
            f"{path.name}: the file asks for a turn by {leftover_deg:.1f} degrees, not a quarter turn; ignored."
        )
    if not square:
        notes.append(f"{path.name}: the pixels are not square; images are given as stored, fx and fy will differ.")
    notes += timing_warnings(path.name, timed, true_timestamps)
    for note in notes:
        log.warning("%s", note)
    return VideoInfo(
        path=path, backend="av", container=kind, codec=codec, image_size=size,
        rotation=_degrees(turn), mirrored=_mirrored(turn), fps=timed.fps, nominal_fps=nominal, frame_count=len(times),
        declared_frame_count=declared, duration_s=timed.duration_s, start_time_s=float(times[0]),
        variable_frame_rate=timed.variable, missing_frames=timed.missing, true_timestamps=true_timestamps,
        truncated=truncated, has_audio=has_audio, warnings=tuple(notes),
    )  # fmt: skip


def decode(info: VideoInfo, notes: list[str], num_threads: int = 0) -> Iterator[Frame]:
    """Frames of the file; what could not be decoded is written into ``notes``."""
    with _open(info.path) as container:
        stream = _video_stream(container, info.path)
        tick = stream.time_base
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = num_threads
        index = 0
        bad: list[str] = []
        for frame in _frames(container, stream, bad):
            if info.true_timestamps and frame.pts is not None:
                time_s = float(frame.pts * tick) - info.start_time_s
            else:
                time_s = index / info.fps
            yield Frame(index, time_s, _upright(frame.to_ndarray(format="rgb24"), _turn_of(frame)[0]))
            index += 1
        if bad:
            notes.append(f"{info.path.name}: {len(bad)} damaged packet(s) or frame(s) left out ({bad[0]}).")


def _frames(container: Any, stream: Any, bad: list[str]) -> Iterator[Any]:
    """Decoded frames in order; damaged packets and frames are skipped and described in ``bad``."""
    av = require("av", extra="detect")
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            bad.append(str(error))
            packet = None
        try:
            frames = stream.codec_context.decode(packet if packet is not None and packet.size else None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            bad.append(str(error))
            frames = []
        for frame in frames:
            if frame.is_corrupt:
                bad.append("frame marked as damaged by the decoder")
            else:
                yield frame
        if packet is None or not packet.size:
            return


def _open(path: Path) -> Any:
    av = require("av", extra="detect")
    try:
        return av.open(str(path))
    except (av.error.FFmpegError, ValueError) as error:
        raise unreadable(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _video_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition).lower():
            return stream
    raise no_video_stream(path)


def _read_packets(container: Any, stream: Any) -> tuple[list[int], int, int, float | None, bool]:
    """PTS of shown packets, count of unstamped ones, count of discarded ones, end of the last packet (s), cut off."""
    av = require("av", extra="detect")
    pts: list[int] = []
    unstamped = discarded = 0
    end: float | None = None
    cut = False
    wanted = [stream, *container.streams.audio]
    try:
        for packet in container.demux(wanted):
            if not packet.size:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and packet.time_base:
                last = float((stamp + (packet.duration or 0)) * packet.time_base)
                end = last if end is None else max(end, last)
            if packet.stream_index != stream.index:
                continue
            if packet.is_discard:
                discarded += 1
            elif packet.is_corrupt:
                cut = True
            elif packet.pts is None:
                unstamped += 1
            else:
                pts.append(packet.pts)
    except av.error.FFmpegError as error:
        log.warning("%s: reading stopped early (%s)", container.name, _reason(error))
        cut = True
    return pts, unstamped, discarded, end, cut


def _header_end_s(container: Any) -> float | None:
    if container.duration is None:
        return None
    start = container.start_time or 0
    return float(container.duration + start) / 1e6


def _first_frame(path: Path, min_frames: int) -> tuple[tuple[int, int], Turn, float, bool]:
    """Upright (w, h), turn, a turn that is no quarter turn (degrees), square pixels."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        for frame in _frames(container, stream, []):
            turn, leftover = _turn_of(frame)
            size = (frame.height, frame.width) if turn[0] else (frame.width, frame.height)
            ratio = stream.sample_aspect_ratio
            return size, turn, leftover, not ratio or ratio == 1
    raise too_short(path, 0, min_frames)


def _turn_of(frame: Any) -> tuple[Turn, float]:
    """Quarter turn and mirroring of the display matrix; the angle where it is no quarter turn.

    The matrix holds nine int32, [a b u; c d v; x y w] in 16.16 (u, v, w in 2.30) fixed point, and maps a stored
    pixel (p, q) to the shown (a p + c q + x, b p + d q + y).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        angle = int(getattr(frame, "rotation", 0) or 0)
        return {0: _UPRIGHT, 90: (True, False, True), -90: (True, True, False)}.get(angle, (False, True, True)), 0.0
    a, b, _, c, d = (np.frombuffer(bytes(data), dtype="<i4")[:5] / 65536.0).tolist()
    scale = max(abs(a), abs(b), abs(c), abs(d))
    if scale == 0:
        return _UPRIGHT, 0.0
    if max(abs(b), abs(c)) < 0.01 * scale:
        return (False, a < 0, d < 0), 0.0
    if max(abs(a), abs(d)) < 0.01 * scale:
        return (True, c < 0, b < 0), 0.0
    return _UPRIGHT, float(np.degrees(np.arctan2(b, a)))


def _upright(image: np.ndarray, turn: Turn) -> np.ndarray:
    transpose, flip_x, flip_y = turn
    if turn == _UPRIGHT:
        return image
    if transpose:
        image = image.transpose(1, 0, 2)
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _mirrored(turn: Turn) -> bool:
    return (sum(turn) % 2) == 1


def _degrees(turn: Turn) -> int:
    """Clockwise turn of an unmirrored orientation; for a mirrored one, the turn that follows a left-right flip."""
    transpose, flip_x, flip_y = turn
    if not transpose:
        return 180 if flip_y else 0
    return 90 if flip_x else 270

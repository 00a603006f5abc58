"""How late each camera looks, from what its file says: a time code, or the hour it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sportcore._sync_types import CameraOffset, OffsetReport
from sportcore.errors import InputError, require

CREATION_SIGMA_S = 2.0


def read_start(path: str | Path) -> tuple[float | None, float | None, float]:
    """(time code in s of the day or None, creation time in s since 1970 or None, frame rate) of a video.

    Raises:
        InputError: the file cannot be opened or has no picture.
        MissingExtraError: PyAV is not installed.
    """
    av = require("av", extra="detect")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video track.")
            rate = float(container.streams.video[0].average_rate or 30.0)
            tags = [dict(stream.metadata) for stream in container.streams] + [dict(container.metadata)]
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Check the file.") from error
    code = next((t["timecode"] for t in tags if "timecode" in t), None)
    made = next((t[k] for t in reversed(tags) for k in ("com.apple.quicktime.creationdate", "creation_time") if k in t),
                None)  # fmt: skip
    return (None if code is None else time_code_s(code, rate)), (None if made is None else _moment(made)), rate


def time_code_s(code: str, rate: float) -> float | None:
    """Seconds of the day of "hh:mm:ss:ff"; with ";" before the frames, of a drop-frame code (SMPTE ST 12-1)."""
    drop = ";" in code
    try:
        h, m, s, f = (int(part) for part in code.replace(";", ":").split(":"))
    except ValueError:
        return None
    nominal = round(rate)
    frames = (h * 3600 + m * 60 + s) * nominal + f
    if drop:
        minutes = h * 60 + m
        frames -= round(nominal / 15) * (minutes - minutes // 10)
    return frames / rate


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def metadata_offsets(videos: Mapping[str, str | Path] | Sequence[str | Path]) -> OffsetReport:
    """Lateness of every camera against the first, in seconds, from the files' time codes.

    Time codes are believed to one frame, as if the cameras' clocks had been set together. Hours of creation are given
    as what they are, whole seconds of clocks that nobody set, taken at the start by some makers and at the end by
    others: ``offset_s`` holds them with a sigma of 2 s and a reason, so that they are not believed.

    Raises:
        InputError: no video, or a file that cannot be opened.
        MissingExtraError: PyAV is not installed.
    """
    if not isinstance(videos, Mapping):
        videos = {Path(v).stem: v for v in videos}
    if not videos:
        raise InputError("No video was given.")
    starts = {name: read_start(path) for name, path in videos.items()}
    code0, made0, _ = next(iter(starts.values()))
    cameras = []
    for n, (name, (code, made, rate)) in enumerate(starts.items()):
        if n == 0:
            source = "none" if code is None and made is None else "metadata"
            cameras.append(CameraOffset(name, 0.0, 0.0, source, 1.0))
        elif code is not None and code0 is not None:
            cameras.append(CameraOffset(name, code - code0, 0.5 / rate, "metadata", 0.8))
        elif made is not None and made0 is not None:
            cameras.append(
                CameraOffset(
                    name, made - made0, CREATION_SIGMA_S, "metadata", 0.1,
                    reason="the file only says the second in which it was made",
                )
            )  # fmt: skip
        else:
            cameras.append(
                CameraOffset(name, None, None, "none", 0.0, reason="no time code or time of creation in common")
            )
    return OffsetReport(tuple(cameras), "metadata")

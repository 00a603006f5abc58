"""Video in, one frame at a time: true time stamps, honoured rotation, and clear words about damaged files.

PyAV (extra ``detect``) is the reader; where it is not installed OpenCV serves, with time stamps as good as OpenCV
reports them. Memory stays constant: frames are decoded when they are asked for and are not kept.

Time of a frame is its presentation time stamp (PTS) in seconds, counted from the first frame of the file; the
absolute PTS of that first frame is :attr:`VideoInfo.start_time_s`. A phone that varies its frame rate is thereby
read correctly, and :attr:`VideoInfo.variable_frame_rate` says so.

Rotation and mirroring are taken from the display matrix of the file (ISO/IEC 14496-12, 8.3.2), so images come out
upright, as a player shows them; ``image_size`` is the size after that turn.

A truncated file gives the frames that decode. With fewer than ``min_frames`` of them an :class:`InputError` is
raised, otherwise the loss is written down in ``warnings``.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError

__all__ = ["Frame", "VideoInfo", "VideoReader", "probe", "find_videos", "VIDEO_SUFFIXES"]

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = tuple(".mp4 .mov .m4v .mkv .avi .webm .mts .m2ts .ts .mpg .mpeg .wmv".split())


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: position among the frames that decoded, from 0.
        time_s: presentation time in seconds since the first frame of the file.
        image_rgb: (H, W, 3) uint8, RGB, upright.
    """

    index: int
    time_s: float
    image_rgb: np.ndarray


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself, and what its packets really hold.

    Attributes:
        path: the file.
        backend: ``"av"`` or ``"opencv"``.
        container, codec: short names, for instance ``"mp4"`` and ``"h264"``.
        image_size: (width, height) px of the upright image.
        rotation: clockwise turn in degrees that makes the stored image upright (0, 90, 180, 270).
        mirrored: the display matrix also mirrors the image.
        fps: mean frame rate, (frames - 1) / (last time - first time).
        nominal_fps: frame rate that the header states, or None.
        frame_count: frames that the file holds (packets that will be shown).
        declared_frame_count: frames that the header promises, or None.
        duration_s: time of the last frame plus one frame interval.
        start_time_s: absolute PTS of the first frame.
        variable_frame_rate: intervals between frames differ by more than 10 % (and more than the clock's tick).
        missing_frames: frames that the intervals suggest were dropped by the camera.
        true_timestamps: False when the file has no time stamps and the times were counted from the frame rate.
        truncated: the file ends before its header says.
        has_audio: there is a sound track.
        warnings: sentences for the reader.
    """

    path: Path
    backend: str
    container: str
    codec: str
    image_size: tuple[int, int]
    rotation: int
    mirrored: bool
    fps: float
    nominal_fps: float | None
    frame_count: int
    declared_frame_count: int | None
    duration_s: float
    start_time_s: float
    variable_frame_rate: bool
    missing_frames: int
    true_timestamps: bool
    truncated: bool
    has_audio: bool
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        out = dataclasses.asdict(self)
        out["path"] = str(self.path)
        return out


def find_videos(folder: str | Path) -> list[Path]:
    """Video files directly in ``folder``, sorted by name; hidden files are left out.

    Raises:
        InputError: the folder does not exist or holds no video.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Name the folder that holds one video per camera.")
    videos = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if not videos:
        raise InputError(
            f"No video in {folder}.", f"Put one file per camera there; known endings: {', '.join(VIDEO_SUFFIXES)}."
        )
    return videos


def probe(path: str | Path, *, backend: str = "auto", min_frames: int = 2) -> VideoInfo:
    """Look at a video without decoding it (only its first frame is decoded).

    All packets are read, so the count, the times and a missing end are those of the file and not of its header.

    Args:
        path: the file.
        backend: ``"av"``, ``"opencv"``, or ``"auto"`` (PyAV where installed).
        min_frames: a file with fewer frames is an error.

    Raises:
        InputError: missing, empty, not a video, cut off before anything can be read, too short.
        MissingExtraError: ``backend="av"`` without PyAV.
    """
    path = _check_file(path)
    if _pick_backend(backend) == "av":
        from sportcore import _video_av

        return _video_av.probe(path, min_frames)
    from sportcore import _video_cv

    return _video_cv.probe(path, min_frames)


class VideoReader:
    """Frames of one video, in order of presentation.

    Iterating opens the file anew each time and closes it at the end, so a reader can be walked through repeatedly::

        for frame in VideoReader("cam01.mp4"):
            use(frame.image_rgb, frame.time_s)

    Args:
        path: the file.
        start, stop: range of frame indices that is given out (decoding still starts at the first frame).
        step: every ``step``-th frame only.
        backend: ``"av"``, ``"opencv"``, or ``"auto"`` (PyAV where installed).
        min_frames: fewer decodable frames than this raise :class:`InputError`.
        num_threads: decoder threads; 0 lets the decoder choose.

    Raises:
        InputError: see :func:`probe`; while iterating, when too few frames decode.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        backend: str = "auto",
        min_frames: int = 2,
        num_threads: int = 0,
    ) -> None:
        if start < 0 or step < 1 or (stop is not None and stop <= start):
            raise InputError(f"Frame range start={start}, stop={stop}, step={step} of {path} selects nothing.")
        self.info = probe(path, backend=backend, min_frames=min_frames)
        self.path = self.info.path
        self._start, self._step = start, step
        self._stop = self.info.frame_count if stop is None else stop
        self._min_frames = min_frames
        self._num_threads = num_threads
        self.decode_warnings: tuple[str, ...] = ()
        if start >= self.info.frame_count:
            raise InputError(f"{self.path} has {self.info.frame_count} frames; frame {start} is past its end.")

    @property
    def fps(self) -> float:
        """Mean frame rate of the file in frames per second."""
        return self.info.fps

    @property
    def frame_count(self) -> int:
        """Number of frames that iteration is expected to give."""
        return len(range(self._start, min(self._stop, self.info.frame_count), self._step))

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) px of the upright images."""
        return self.info.image_size

    @property
    def rotation(self) -> int:
        """Clockwise turn in degrees that was applied to the stored images."""
        return self.info.rotation

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the file, and of the last walk through it."""
        return self.info.warnings + self.decode_warnings

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[Frame]:
        self.decode_warnings = ()
        notes: list[str] = []
        count = 0
        try:
            for frame in self._decode(notes):
                count += 1
                if frame.index >= self._stop:
                    break
                if frame.index >= self._start and (frame.index - self._start) % self._step == 0:
                    _check_size(frame, self)
                    yield frame
            else:
                self._judge(count, notes)
        finally:
            self.decode_warnings = tuple(notes)

    def frame(self, index: int) -> Frame:
        """The frame at ``index`` (decodes from the beginning: meant for a picture, not for a loop).

        Raises:
            InputError: the file has no such frame.
        """
        for frame in self._decode([]):
            if frame.index == index:
                return frame
        raise InputError(f"{self.path} has no frame {index}; it has {self.info.frame_count}.")

    def _decode(self, notes: list[str]) -> Iterator[Frame]:
        if self.info.backend == "av":
            from sportcore import _video_av

            return _video_av.decode(self.info, notes, self._num_threads)
        from sportcore import _video_cv

        return _video_cv.decode(self.info, notes)

    def _judge(self, count: int, notes: list[str]) -> None:
        if count < self._min_frames:
            raise too_short(self.path, count, self._min_frames)
        if count < self.info.frame_count:
            notes.append(
                f"{self.path.name}: {count} of {self.info.frame_count} frames decoded; the others are damaged."
            )
        for note in notes:
            log.warning("%s", note)


def _check_size(frame: Frame, reader: VideoReader) -> None:
    height, width = frame.image_rgb.shape[:2]
    if (width, height) != reader.image_size:
        raise InputError(
            f"{reader.path}: frame {frame.index} is {width}x{height} px, the first frame {reader.image_size[0]}x"
            f"{reader.image_size[1]}.",
            "One camera file must keep one image size: split the file where it changes.",
        )


def _pick_backend(backend: str) -> str:
    if backend not in ("auto", "av", "opencv"):
        raise InputError(f"Unknown video backend {backend!r}.", 'Use "auto", "av" or "opencv".')
    if backend == "auto":
        from importlib.util import find_spec

        return "av" if find_spec("av") is not None else "opencv"
    return backend


def _check_file(path: str | Path) -> Path:
    """Absolute path of a file that exists and is not empty."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a video.", "Name one file, or use find_videos(folder).")
    if not path.exists():
        hint = "Check the path."
        if path.parent.is_dir():
            near = sorted(p.name for p in path.parent.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
            hint = f"Videos in that folder: {', '.join(near[:8]) or 'none'}."
        raise InputError(f"There is no file {path}.", hint)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes).", "Copy it again from the camera.")
    return path.resolve()


def unreadable(path: Path, reason: str) -> InputError:
    """Why a file that exists cannot be opened as a video, told from its first bytes."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return InputError(
            f"{path} is an MP4/MOV file that cannot be read ({reason}); it was probably cut off.",
            "Copy it again from the camera; if it is the same there, repair it with a tool such as untrunc.",
        )
    if head[:4] == b"\x1aE\xdf\xa3" or head[:4] == b"RIFF":
        return InputError(
            f"{path} is a damaged MKV/WebM/AVI file ({reason}).",
            "Copy it again, or remux it: ffmpeg -i IN -c copy OUT.",
        )
    return InputError(
        f"{path} is not a video that can be read ({reason}).",
        "Check that it plays; convert it with: ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4",
    )


def no_video_stream(path: Path) -> InputError:
    """A media file without moving pictures."""
    return InputError(f"{path} has no video track (only sound or a still picture).", "Name the camera's video file.")


def too_short(path: Path, count: int, min_frames: int) -> InputError:
    """A file of which too little can be decoded."""
    return InputError(
        f"{path}: only {count} frame{'s' if count != 1 else ''} can be decoded, at least {min_frames} are needed.",
        "The file is a still picture or was cut off; copy it again from the camera.",
    )


@dataclass(frozen=True)
class Timing:
    """What the presentation times of all frames say."""

    fps: float
    duration_s: float
    variable: bool
    missing: int


def timing(times_s: np.ndarray, tick_s: float, nominal_fps: float | None) -> Timing:
    """Frame rate, its constancy and dropped frames from sorted presentation times (seconds).

    An interval counts as different when it departs from the median by more than 10 % and by more than 1.5 ticks of
    the container's clock (a millisecond clock writes 30 fps as 33, 33, 34).
    """
    if len(times_s) < 2:
        step = 1.0 / nominal_fps if nominal_fps else 0.0
        return Timing(nominal_fps or math.nan, step * len(times_s), False, 0)
    steps = np.diff(times_s)
    median = float(np.median(steps))
    span = float(times_s[-1] - times_s[0])
    if span <= 0 or median <= 0:
        return Timing(nominal_fps or math.nan, span, True, 0)
    off = np.abs(steps - median)
    variable = bool(np.any(off > max(0.1 * median, 1.5 * tick_s)))
    missing = int(np.sum(np.maximum(np.rint(steps / median) - 1, 0)))
    return Timing((len(times_s) - 1) / span, span + median, variable, missing)


def timing_warnings(name: str, timed: Timing, true_timestamps: bool) -> list[str]:
    """Sentences about the clock of a file."""
    notes = []
    if not true_timestamps:
        notes.append(f"{name}: the file has no time stamps; times are counted from the stated frame rate.")
    if timed.variable:
        notes.append(f"{name}: the frame rate varies (mean {timed.fps:.3f} fps); the true time of each frame is used.")
    if timed.missing:
        notes.append(f"{name}: the intervals suggest that the camera dropped {timed.missing} frame(s).")
    return notes

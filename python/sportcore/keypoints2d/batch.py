"""Several videos at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from sportcore.errors import Cancelled, InputError
from sportcore.keypoints2d.detector import Detections, Detector, Progress
from sportcore.keypoints2d.registry import make_detector
from sportcore.keypoints2d.runtime import cores
from sportcore.videos import VideoReader

__all__ = ["detect_video_file", "detect_videos"]


def detect_video_file(path: str | Path, detector: Detector, *, progress: Progress | None = None) -> Detections:
    """Detections of one file."""
    reader = VideoReader(path)
    return detector.detect_video(reader, reader.image_size, progress=progress)


def detect_videos(
    paths: Sequence[str | Path],
    detector: str = "blazepose-heavy",
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Detections]:
    """Detections of several files, in their order.

    The engine and the decoder release the interpreter lock, so threads do: each has its own detector. Two videos on
    one core each are faster than one after the other on two.

    Args:
        paths: video files.
        detector: see :func:`~sportcore.keypoints2d.make_detector`.
        workers: videos at the same time; default one per core.
        progress: called with frames done and frames in all over all videos, and the name of the video. Calls never
            overlap; an exception in it stops all videos and is raised here.
        **options: of the detector.

    Raises:
        InputError: no video, or a file that cannot be read (all files are looked at before work starts).
    """
    if not paths:
        raise InputError("No video to detect in.")
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers} makes no sense.", "Use 1 or more.")
    readers = [VideoReader(path, num_threads=1 if len(paths) > 1 else 0) for path in paths]
    count = min(len(readers), workers or cores())
    if detector.startswith(("blazepose", "onnx:")):
        options.setdefault("num_threads", max(1, cores() // count))
    shared = _Shared(progress, sum(r.frame_count for r in readers))
    pool_of_detectors: list[Detector] = [make_detector(detector, **options) for _ in range(count)]
    lock = threading.Lock()

    def work(reader: VideoReader) -> Detections:
        with lock:
            own = pool_of_detectors.pop()
        try:
            return own.detect_video(reader, reader.image_size, progress=shared.of(reader))
        finally:
            with lock:
                pool_of_detectors.append(own)

    if count == 1:
        return [work(reader) for reader in readers]
    with ThreadPoolExecutor(count, thread_name_prefix="detect") as pool:
        futures: list[Future[Detections]] = [pool.submit(work, reader) for reader in readers]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C in the waiting thread
            shared.stop = True
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        failed = [f for f in futures if f.done() and not f.cancelled() and f.exception() is not None]
        if failed:
            shared.stop = True
            pool.shutdown(wait=True, cancel_futures=True)
            first = shared.raised or next(
                (e for f in failed if not isinstance(e := f.exception(), Cancelled)), failed[0].exception()
            )
            assert first is not None
            raise first
        return [f.result() for f in futures]


class _Shared:
    """One progress over all videos."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._done: dict[int, int] = {}
        self._lock = threading.Lock()
        self.stop = False
        self.raised: BaseException | None = None

    def of(self, reader: VideoReader) -> Progress:
        def step(done: int, total: int, message: str) -> None:
            with self._lock:
                if self.stop:
                    raise Cancelled("Stopped, as another video failed or the work was cancelled.")
                self._done[id(reader)] = done
                if self._progress is None:
                    return
                finished = sum(self._done.values())
                try:
                    self._progress(finished, max(self._total, finished), reader.path.name)
                except BaseException as error:
                    self.stop, self.raised = True, error
                    raise

        return step

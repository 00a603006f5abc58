"""rtmlib (RTMPose, RTMO, ViTPose) as a detector, where it is installed.

rtmlib downloads its networks by itself when a solution is made; pass ``det`` and ``pose`` with local files to keep
it offline. It asks for two OpenCV packages that clash with the headless one: ``pip install --no-deps rtmlib``.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sportcore.errors import InputError, MissingExtraError
from sportcore.keypoints2d.blazepose import SELECT
from sportcore.keypoints2d.detector import Collector, Detections, Progress
from sportcore.keypoints2d.follow import Box, box_of_points, pick
from sportcore.skeletons import COCO17, HALPE26
from sportcore.videos import Frame

__all__ = ["RtmlibDetector"]

log = logging.getLogger(__name__)

_SKELETONS = {"Body": COCO17, "BodyWithFeet": HALPE26}


class RtmlibDetector:
    """One of rtmlib's solutions as a :class:`~sportcore.keypoints2d.Detector`.

    Args:
        solution: ``"Body"`` (COCO-17) or ``"BodyWithFeet"`` (Halpe-26).
        mode: rtmlib's ``"performance"``, ``"balanced"`` or ``"lightweight"``.
        engine: rtmlib's ``backend``: ``"onnxruntime"``, ``"openvino"`` or ``"opencv"``.
        device: ``"cpu"``, ``"cuda"`` ...
        select: whom to follow at the start.
        min_score: joints below do not count as found for the choice of the person.
        **more: handed to rtmlib as they are, for instance ``det``, ``pose``, ``det_input_size``, ``pose_input_size``.

    Raises:
        InputError: unknown solution or option.
        MissingExtraError: rtmlib is not installed.
    """

    def __init__(
        self,
        *,
        solution: str = "BodyWithFeet",
        mode: str = "balanced",
        engine: str = "onnxruntime",
        device: str = "cpu",
        select: str = "largest",
        min_score: float = 0.3,
        **more: Any,
    ) -> None:
        if solution not in _SKELETONS:
            raise InputError(f"Unknown rtmlib solution {solution!r}.", f"Use one of {', '.join(_SKELETONS)}.")
        if select not in SELECT:
            raise InputError(f"Unknown select={select!r}.", f"Use one of {', '.join(SELECT)}.")
        try:
            import rtmlib
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "This detector needs the Python package 'rtmlib', which is not installed.",
                "Install it with: pip install --no-deps rtmlib",
            ) from error
        with _hushed():
            self._run = getattr(rtmlib, solution)(mode=mode, backend=engine, device=device, to_openpose=False, **more)
        self.name = f"rtmlib-{solution}-{mode}"
        self.skeleton = _SKELETONS[solution]
        self._select, self._min_score = select, min_score
        try:
            number = version("rtmlib")
        except PackageNotFoundError:
            number = "unknown"
        self.version = f"1;rtmlib {number};{solution};{mode};{engine};{select};{min_score};{sorted(more.items())}"

    def detect_video(
        self, frames: Iterable[Frame], image_size: tuple[int, int], *, progress: Progress | None = None
    ) -> Detections:
        """Follow one person through a video; every frame is searched, so people are counted in each."""
        out = Collector(self.skeleton, image_size, frames, progress)
        last: Box | None = None
        for frame in frames:
            with _hushed():
                keypoints, scores = self._run(np.ascontiguousarray(frame.image_rgb[:, :, ::-1]))
            people: dict[Box, int] = {}
            for i in range(len(keypoints)):
                box = box_of_points(np.asarray(keypoints[i], float), np.asarray(scores[i], float), self._min_score)
                if box is not None:
                    people[box] = i
            if not people:
                out.add(frame, None, n_persons=0)
                continue
            last = pick(list(people), last, self._select, image_size)[0]
            i = people[last]
            out.add(frame, np.asarray(keypoints[i], float), np.asarray(scores[i], float), n_persons=len(people))
        return out.result()


@contextlib.contextmanager
def _hushed() -> Any:
    """What rtmlib prints goes to the log."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        yield
    for line in said.getvalue().splitlines():
        log.debug("rtmlib: %s", line)

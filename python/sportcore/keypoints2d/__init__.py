"""Where the joints of a person are in the images of a video.

:func:`make_detector` builds a backend; every backend follows the small :class:`Detector` protocol and gives
:class:`Detections`. See ``docs/detectors.md``.
"""

from __future__ import annotations

from sportcore.keypoints2d.batch import detect_video_file, detect_videos
from sportcore.keypoints2d.detector import Collector, Detections, Detector, Progress
from sportcore.keypoints2d.registry import detector_names, make_detector, register_detector

__all__ = [
    "Collector",
    "Detections",
    "Detector",
    "Progress",
    "detect_video_file",
    "detect_videos",
    "detector_names",
    "make_detector",
    "register_detector",
]

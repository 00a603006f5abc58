"""Options of the calibration, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

__all__ = ["CalibrateOptions"]


@dataclass(frozen=True)
class CalibrateOptions:
    """How to calibrate, and what is known of the scene.

    The scale comes from the first of these that is given: ``known_camera_distance_m``, ``known_bone``, ``height_m``;
    with none of them, from an adult of 1.70 m with a standard deviation of 0.10 m.

    Attributes:
        height_m: stature of the athlete, m.
        height_sigma_m: how well the stature is known, m.
        known_camera_distance_m: (camera, camera, distance between their lenses in m).
        known_bone: (joint, joint, distance between the two joints in m).
        max_reprojection_error_px: an observation further off is never taken for good; None: 1 % of the image diagonal.
        max_frames: frames in the closing adjustment; chosen evenly over time and over the athlete's motion.
        min_score: observations with a lower detector score are left out.
        undo_swaps: test whether left and right are exchanged in whole camera-frames.
        bone_lengths: let the distances between neighbouring joints be constant over time, each up to the deviation that
            the recording shows.
        bone_symmetry: let left and right bones be of equal length up to 2 %.
        refine_focal: let focal lengths move too: ``"none"``, ``"shared"`` (one factor for all), ``"per_camera"``.
        refine_distortion: let k1 move, held by a prior of 0.05.
        time_offsets: the videos do not begin together: find how late each camera looks, with the cameras. Needs the
            frame rate. Points are on the first camera's clock; ``report.extra["time_offset_s"]`` has the offsets.
        max_time_offset_s: each camera looks at most this early or late.
        method: ``"body"``, as ``docs/calibration.md`` tells it, or ``"lee2022"``, the published method
            (``docs/calibration-published.md``), which needs ``monocular_3d``.
        seed: of the random samples; the same seed gives the same result.
        num_threads: 0 for all cores; the result does not depend on it.
        force: return a calibration that would be refused; the reason becomes a warning and the grade ``"poor"``.

    Raises:
        InputError: a value makes no sense.
    """

    height_m: float | None = None
    height_sigma_m: float = 0.01
    known_camera_distance_m: tuple[str, str, float] | None = None
    known_bone: tuple[str, str, float] | None = None
    max_reprojection_error_px: float | None = None
    max_frames: int = 1000
    min_score: float = 0.1
    undo_swaps: bool = True
    bone_lengths: bool = True
    bone_symmetry: bool = True
    refine_focal: Literal["none", "shared", "per_camera"] = "none"
    refine_distortion: bool = False
    time_offsets: bool = False
    max_time_offset_s: float = 2.0
    method: Literal["body", "lee2022"] = "body"
    seed: int = 0
    num_threads: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        def need(condition: bool, message: str, remedy: str = "") -> None:
            if not condition:
                raise InputError(message, remedy)

        if self.height_m is not None:
            need(
                _number(self.height_m) and 0.5 <= self.height_m <= 2.6,
                f"height_m = {self.height_m} is not a stature in metres.",
                "1.78, say.",
            )
        need(_number(self.height_sigma_m) and 0 < self.height_sigma_m < 1, "height_sigma_m must lie between 0 and 1 m.")
        for key, unit in (("known_camera_distance_m", "camera"), ("known_bone", "joint")):
            value = getattr(self, key)
            if value is None:
                continue
            need(
                isinstance(value, (tuple, list)) and len(value) == 3 and _number(value[2]) and value[2] > 0,
                f"{key} must be ({unit}, {unit}, metres), got {value!r}.",
            )
            need(value[0] != value[1], f"{key} names the same {unit} twice.")
            object.__setattr__(self, key, (str(value[0]), str(value[1]), float(value[2])))
        limit = self.max_reprojection_error_px
        need(
            limit is None or (_number(limit) and limit > 0), f"max_reprojection_error_px must be positive, got {limit}."
        )
        need(
            _whole(self.max_frames) and 1 <= self.max_frames < 2**31,
            f"max_frames must be at least 1 (and below 2^31), got {self.max_frames}.",
        )
        need(
            _number(self.min_score) and 0 <= self.min_score < 1, f"min_score must lie in [0, 1), got {self.min_score}."
        )
        need(
            self.refine_focal in ("none", "shared", "per_camera"),
            f"refine_focal = {self.refine_focal!r} is not known.",
            "Use none, shared or per_camera.",
        )
        need(self.method in ("body", "lee2022"), f"method = {self.method!r} is not known.", "Use body or lee2022.")
        need(
            _number(self.max_time_offset_s) and 0 < self.max_time_offset_s <= 60,
            f"max_time_offset_s must lie between 0 and 60 s, got {self.max_time_offset_s}.",
        )
        need(
            _whole(self.seed) and 0 <= self.seed < 2**63,
            f"seed must be a whole number from 0 to 2^63, got {self.seed}.",
        )
        need(
            _whole(self.num_threads) and 0 <= self.num_threads <= 4096,
            "num_threads must be 0 (all cores) or positive, at most 4096.",
        )


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)

"""The values that travel along the road: cameras, keypoints, 3D points, a calibration.

All are frozen and checked when they are made; the arrays inside are private read-only copies. Frames and units
follow ``docs/conventions.md``: metres, seconds, OpenCV cameras, ``x_cam = R x_world + t``, axes in the order cameras
C, frames T, joints J.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._types_cameras import ASSUMED_FOCAL, CAMERA_MODELS, Camera, Rig
from ._types_checks import Floats, frozen, need
from .skeletons import Skeleton, get_skeleton

__all__ = [
    "ASSUMED_FOCAL",
    "CAMERA_MODELS",
    "Calibration",
    "CalibrationReport",
    "Camera",
    "Keypoints2D",
    "PointStatus",
    "Points3D",
    "Rig",
]


class PointStatus(IntEnum):
    """Why a 3D point is there, or why it is not."""

    OK = 0
    TOO_FEW_VIEWS = 1  #: fewer than two cameras saw the joint
    NO_CONSENSUS = 2  #: the views contradict each other, and no two of them agree enough
    BEHIND_CAMERA = 3  #: the rays meet behind a camera
    ILL_CONDITIONED = 4  #: the rays are nearly parallel: depth is not determined
    LARGE_RESIDUAL = 5  #: found, but further from its observations than allowed
    NOT_CONVERGED = 6  #: the refinement did not settle


@dataclass(frozen=True, eq=False)
class Keypoints2D:
    """2D keypoints of one person in all cameras, on one common time base.

    Args:
        xy: (C, T, J, 2) px, NaN where missing.
        score: (C, T, J) detector score in [0, 1]; 0 where missing.
        skeleton: name or :class:`Skeleton` of the joint axis.
        fps: frames per second of the common time base.
        times: (C, T) seconds, the true time of each frame of each camera.
        image_sizes: (C, 2) px.
        names: C camera names.
        sigma_px: (C, T, J) standard deviation of each observation, px, where it is known.

    Raises:
        InputError: shapes that do not fit each other, scores outside [0, 1], a joint count that is not the
            skeleton's.
    """

    xy: Floats
    score: Floats
    skeleton: Skeleton
    fps: float | None = None
    times: Floats | None = None
    image_sizes: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None
    sigma_px: Floats | None = None

    def __post_init__(self) -> None:
        skeleton = get_skeleton(self.skeleton)
        xy, score = frozen(self.xy), frozen(self.score)
        need(xy.ndim == 4 and xy.shape[-1] == 2, f"xy must be (C, T, J, 2) px, got {xy.shape}.")
        C, T, J = xy.shape[:3]
        need(C > 0, "Keypoints need at least one camera.")
        need(
            J == skeleton.n_joints,
            f"xy has {J} joints, the skeleton {skeleton.name!r} has {skeleton.n_joints}.",
            "Name the skeleton that the keypoints were made with.",
        )
        need(score.shape == (C, T, J), f"score must be {(C, T, J)}, got {score.shape}.")
        missing = ~np.isfinite(xy).all(-1)
        clean = np.where(missing, 0.0, score)
        need(
            bool(np.isfinite(clean).all()) and bool(clean.min(initial=0) >= 0) and bool(clean.max(initial=0) <= 1),
            "score must lie in [0, 1].",
        )
        clean.setflags(write=False)
        if (np.isnan(xy).any(-1) != missing).any() or (np.isnan(xy).any(-1) != np.isnan(xy).all(-1)).any():
            xy = np.where(missing[..., None], np.nan, xy)
            xy.setflags(write=False)
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "xy", xy)
        object.__setattr__(self, "score", clean)
        if self.fps is not None:
            need(bool(np.isfinite(self.fps)) and self.fps > 0, f"fps must be positive, got {self.fps}.")
            object.__setattr__(self, "fps", float(self.fps))
        for key, shape, dtype in (
            ("times", (C, T), np.float64),
            ("image_sizes", (C, 2), np.int64),
            ("sigma_px", (C, T, J), np.float64),
        ):
            value = getattr(self, key)
            if value is not None:
                value = frozen(value, dtype)
                need(value.shape == shape, f"{key} must be {shape}, got {value.shape}.")
                object.__setattr__(self, key, value)
        if self.names is not None:
            names = tuple(str(n) for n in self.names)
            need(len(names) == C and len(set(names)) == C, f"names must be {C} different camera names, got {names}.")
            object.__setattr__(self, "names", names)

    @property
    def n_cameras(self) -> int:
        """C."""
        return int(self.xy.shape[0])

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.xy.shape[1])

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(C, T, J) whether a joint was observed with a score above zero."""
        return np.isfinite(self.xy[..., 0]) & (self.score > 0)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names, or ``cam0, cam1, ...`` where none were given."""
        return self.names if self.names is not None else tuple(f"cam{i}" for i in range(self.n_cameras))

    def replace(self, **changes: Any) -> Keypoints2D:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def frames(self, frames: slice | Sequence[int] | NDArray[Any]) -> Keypoints2D:
        """The same keypoints restricted to some frames."""
        index = frames if isinstance(frames, slice) else np.asarray(frames)

        def take(a: Any) -> Any:
            return None if a is None else a[:, index]

        return self.replace(
            xy=self.xy[:, index], score=self.score[:, index], times=take(self.times), sigma_px=take(self.sigma_px)
        )

    def cameras(self, names: Iterable[str]) -> Keypoints2D:
        """The same keypoints restricted to some cameras, in the order given."""
        have = self.camera_names
        for name in (names := list(names)):
            need(name in have, f"No camera named {name!r} in the keypoints; there are {', '.join(have)}.")
        index = [have.index(n) for n in names]

        def take(a: Any) -> Any:
            return None if a is None else a[index]

        return self.replace(
            xy=self.xy[index], score=self.score[index], times=take(self.times), sigma_px=take(self.sigma_px),
            image_sizes=take(self.image_sizes), names=tuple(names),
        )  # fmt: skip

    def to_skeleton(self, skeleton: str | Skeleton) -> Keypoints2D:
        """The same observations as joints of another skeleton (by name; what does not follow is missing)."""
        from .skeletons import conversion_matrix, convert

        target = get_skeleton(skeleton)
        if target == self.skeleton:
            return self
        xy, score = convert(self.xy, self.score, self.skeleton, target)
        sigma = None
        if self.sigma_px is not None:
            w = np.nan_to_num(conversion_matrix(self.skeleton, target))
            sigma = np.sqrt(np.einsum("ij,...j->...i", w**2, np.nan_to_num(self.sigma_px) ** 2))
            sigma[~np.isfinite(xy[..., 0])] = np.nan
        return self.replace(xy=xy, score=score, sigma_px=sigma, skeleton=target)


@dataclass(frozen=True, eq=False)
class Points3D:
    """Triangulated joints with everything needed to judge them.

    Args:
        xyz: (T, J, 3) m in the world frame, NaN where missing.
        covariance: (T, J, 3, 3) m^2, NaN where missing.
        residual_px: (C, T, J) reprojection error, px, NaN where not observed or no point.
        inlier: (C, T, J) whether the observation carried the point.
        n_views: (T, J) number of inlier views.
        status: (T, J) :class:`PointStatus`.
        skeleton: name or :class:`Skeleton` of the joint axis.
        fps: frames per second.
        times: (T,) seconds.
    """

    xyz: Floats
    covariance: Floats
    residual_px: Floats
    inlier: NDArray[np.bool_]
    n_views: NDArray[np.int64]
    status: NDArray[np.uint8]
    skeleton: Skeleton
    fps: float | None = None
    times: Floats | None = None

    def __post_init__(self) -> None:
        skeleton = get_skeleton(self.skeleton)
        object.__setattr__(self, "skeleton", skeleton)
        xyz = np.asarray(self.xyz)
        need(xyz.ndim == 3 and xyz.shape[-1] == 3, f"xyz must be (T, J, 3), got {xyz.shape}.")
        T, J = xyz.shape[:2]
        need(J == skeleton.n_joints, f"xyz has {J} joints, {skeleton.name!r} has {skeleton.n_joints}.")
        C = np.asarray(self.residual_px).shape[0] if np.asarray(self.residual_px).ndim == 3 else -1
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "xyz": ((T, J, 3), None),
            "covariance": ((T, J, 3, 3), None),
            "residual_px": ((C, T, J), None),
            "inlier": ((C, T, J), bool),
            "n_views": ((T, J), None),
            "status": ((T, J), np.uint8),
        }
        for key, (shape, dtype) in shapes.items():
            value = np.asarray(getattr(self, key), dtype=dtype).view()
            need(value.shape == shape, f"{key} must be {shape}, got {value.shape}.")
            value.setflags(write=False)
            object.__setattr__(self, key, value)
        if self.times is not None:
            times = frozen(self.times)
            need(times.shape == (T,), f"times must be {(T,)}, got {times.shape}.")
            object.__setattr__(self, "times", times)

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.xyz.shape[0])

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(T, J) whether the point is there."""
        return np.asarray(self.status == PointStatus.OK)

    @property
    def sigma_m(self) -> Floats:
        """(T, J) root of the largest eigenvalue of the covariance: the worst standard deviation, metres."""
        cov = np.where(np.isfinite(self.covariance), self.covariance, 0.0)
        sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(cov)[..., -1], 0.0))
        return np.where(np.isfinite(self.covariance).all((-1, -2)), sigma, np.nan)

    def replace(self, **changes: Any) -> Points3D:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def status_counts(self) -> dict[str, int]:
        """How many points have which status."""
        return {s.name.lower(): int((self.status == s).sum()) for s in PointStatus}

    def to_skeleton(self, skeleton: str | Skeleton) -> Points3D:
        """The same motion as joints of another skeleton; a derived joint is there when all its sources are."""
        from .skeletons import conversion_matrix, convert, convert_covariance

        target = get_skeleton(skeleton)
        if target == self.skeleton:
            return self
        xyz, _ = convert(self.xyz, None, self.skeleton, target)
        w = conversion_matrix(self.skeleton, target)
        used = np.nan_to_num(w) != 0  # (Jt, Js)
        known: NDArray[np.bool_] = np.asarray(np.isfinite(w).all(1))
        missing = ~np.isfinite(xyz).all(-1)
        residual = np.full((self.residual_px.shape[0], *xyz.shape[:2]), np.nan)
        inlier = np.zeros(residual.shape, bool)
        views = np.zeros(xyz.shape[:2], np.int64)
        status = np.full(xyz.shape[:2], PointStatus.TOO_FEW_VIEWS, np.uint8)
        for j in range(target.n_joints):
            if not known[j]:
                continue
            src = np.flatnonzero(used[j])
            residual[..., j] = self.residual_px[..., src].mean(-1)
            inlier[..., j] = self.inlier[..., src].all(-1)
            views[:, j] = self.n_views[:, src].min(-1)
            status[:, j] = self.status[:, src].max(-1)
        status[missing & (status == PointStatus.OK)] = PointStatus.TOO_FEW_VIEWS
        return self.replace(
            xyz=xyz, covariance=convert_covariance(self.covariance, self.skeleton, target), residual_px=residual,
            inlier=inlier, n_views=views, status=status, skeleton=target,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """What is needed to judge a calibration.

    Attributes:
        names: C camera names.
        per_camera_rms_px: (C,) root mean square of the inlier residuals, px.
        per_camera_median_px: (C,) median of all residuals, px.
        per_camera_rms_mrad: (C,) the same as an angle, mrad.
        n_observations: (C,) observations used.
        rejected_share: (C,) share of the observations that were rejected.
        connectivity: (C, C) joints seen by both cameras and kept.
        scale_source: where metres come from, in words.
        scale_sigma_rel: relative standard deviation of the scale.
        gravity_source: where the vertical comes from.
        gravity_sigma_deg: standard deviation of the vertical, degrees.
        floor_source: where the floor comes from.
        floor_sigma_m: standard deviation of the floor height, metres.
        time_offsets_s: (C,) time offset of each camera, seconds, or None when not estimated.
        camera_covariance: (C, 6, 6) covariance of (rotation increment rad, translation m), or None.
        rotation_sigma_deg: (C,) standard deviation of each camera's rotation, degrees.
        center_sigma_m: (C,) standard deviation of each camera's position, metres.
        warnings: what a reader should know, each with its remedy.
        grade: ``"good"``, ``"usable"`` or ``"poor"``.
        method: name of the method.
        iterations: iterations of the final adjustment.
        n_frames_used: frames that entered the adjustment.
        seconds: time spent in each part.
        extra: anything else, JSON-like.
    """

    names: tuple[str, ...]
    per_camera_rms_px: Floats
    per_camera_median_px: Floats
    per_camera_rms_mrad: Floats
    n_observations: NDArray[np.int64]
    rejected_share: Floats
    connectivity: NDArray[np.int64]
    scale_source: str = "none"
    scale_sigma_rel: float = float("nan")
    gravity_source: str = "none"
    gravity_sigma_deg: float = float("nan")
    floor_source: str = "none"
    floor_sigma_m: float = float("nan")
    time_offsets_s: Floats | None = None
    camera_covariance: Floats | None = None
    rotation_sigma_deg: Floats | None = None
    center_sigma_m: Floats | None = None
    warnings: tuple[str, ...] = ()
    grade: str = "usable"
    method: str = "essential+ba"
    iterations: int = 0
    n_frames_used: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON (NaN becomes None)."""
        from .io.atomic import to_jsonable

        return dict(to_jsonable(self))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibrated cameras, the 3D points they were calibrated on, and the report that judges them.

    Attributes:
        rig: cameras with poses in the metric, upright world frame.
        points: triangulated joints of all frames.
        report: how good it is, and why.
    """

    rig: Rig
    points: Points3D
    report: CalibrationReport

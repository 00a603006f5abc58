"""What a report is made of: plain arrays and dicts, each optional except ``meta``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["ReportData"]

Array = NDArray[Any]


@dataclass(frozen=True)
class ReportData:
    """Everything one report shows. A stage that was not run is None (or empty) and is shown as "not computed".

    C cameras, T frames, J joints of the 3D motion, K joints of the 2D detections (often K = J), B bones.
    Metres, seconds, radians; world Z up; camera x right, y down, z forward; missing values NaN.

    Attributes:
        meta: about the session. Read when present: ``title``, ``session``, ``activity``, ``athlete``, ``date``,
            ``height_m``, ``created``, ``command``, ``versions`` (name -> text), ``options`` (any nested mapping),
            ``hashes`` (name -> text), ``files`` (sequence of mappings with ``name``, ``bytes``, ``sha256``),
            ``demo_note`` (text shown at the top, for instance that the input is synthetic).
        camera_names: (C,) names.
        joint_names: (J,) names of the 3D joints.
        bones: (B, 2) indices into ``joint_names``.
        fps: frames per second of the common time base.
        image_sizes: (C, 2) width and height in px.
        K: (C, 3, 3) intrinsics. R, t: (C, 3, 3) and (C, 3), ``x_cam = R x_world + t``.
        keypoint_names: (K,) names of the 2D joints.
        keypoints_px: (C, T, K, 2) detections. score: (C, T, K) in [0, 1].
        rays: (C, T, K, 2) the same detections as distortion-free image coordinates x/z, y/z (for the view through
            a camera in the player).
        points_world_m: (T, J, 3). covariance_m2: (T, J, 3, 3). residual_px: (C, T, J). inlier: (C, T, J) bool.
            n_views: (T, J). status: (T, J) codes of ``sportcore.types.PointStatus``.
        calibration: the calibration's own report as a dict (scale, gravity, floor, cameras, warnings ...).
        calibrated_here: whether the cameras' poses were found from the body (else they were given).
        lifting: monocular results against the multi-view reference on held-out frames: ``before`` and ``after``,
            each with ``mpjpe_mm``, ``pa_mpjpe_mm`` ... and optionally ``per_camera`` (camera -> {metric: mm}) and
            ``per_joint_mm`` (joint -> mm); ``history`` (sequence of mappings, one per epoch or iteration);
            ``reference``, ``model``, ``tuned_model``, ``heldout_frames``, ``metric`` (False: the model has no
            scale of its own) as text and numbers. Before and after are compared in the same way.
        monocular_before_m, monocular_after_m: (C, T, J, 3) root-relative poses in each camera's frame.
        heldout: (T,) bool, the frames no tuning has seen.
        angles_deg: joint angle name -> (T,) degrees; computed from the 3D joints when empty.
        tracks: report of the track cleaning (swaps undone, gaps, rejected).
        sync: report of the synchronisation (offset per camera).
        timings_s: stage name -> seconds.
        warnings: mappings with ``message``, ``remedy`` and ``severity`` ("bad", "warn", "info"), or strings.
        people: of several people (empty with one): ``found``, ``this`` (number of the person this report is about),
            ``people`` (one mapping each: ``person``, ``frames`` by camera, ``seen_by_two_share``, ``median_px``,
            ``limb_spread``, ``verdict``, ``colour`` "#rrggbb", ``report`` file name), ``left_out``, ``discarded``.
        images: (caption, JPEG bytes) pairs, for instance from :func:`sportcore.report.sheets.contact_sheet`.
    """

    meta: Mapping[str, Any]
    camera_names: tuple[str, ...] = ()
    joint_names: tuple[str, ...] = ()
    bones: Array | None = None
    fps: float | None = None
    image_sizes: Array | None = None
    K: Array | None = None
    R: Array | None = None
    t: Array | None = None
    keypoint_names: tuple[str, ...] = ()
    keypoints_px: Array | None = None
    score: Array | None = None
    rays: Array | None = None
    points_world_m: Array | None = None
    covariance_m2: Array | None = None
    residual_px: Array | None = None
    inlier: Array | None = None
    n_views: Array | None = None
    status: Array | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    calibrated_here: bool = True
    lifting: Mapping[str, Any] = field(default_factory=dict)
    monocular_before_m: Array | None = None
    monocular_after_m: Array | None = None
    heldout: Array | None = None
    angles_deg: Mapping[str, Array] = field(default_factory=dict)
    tracks: Mapping[str, Any] = field(default_factory=dict)
    sync: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Any, ...] = ()
    images: tuple[tuple[str, bytes], ...] = ()
    people: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.meta, Mapping):
            raise InputError("ReportData.meta is a mapping with the session's facts (it may be empty).")
        sizes = self._sizes()
        for name, axes in _SHAPES.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value)
            wanted = tuple(sizes[a] if isinstance(a, str) else a for a in axes)
            if array.ndim != len(wanted) or any(w not in (None, n) for n, w in zip(array.shape, wanted, strict=True)):
                shape = ", ".join(str(a) if w is None else f"{a}={w}" for a, w in zip(axes, wanted, strict=True))
                raise InputError(
                    f"ReportData.{name} has shape {array.shape}, expected ({shape}).",
                    "Pass the arrays with the axis order cameras, frames, joints, and the names that go with them.",
                )
            object.__setattr__(self, name, array)
        if (
            self.bones is not None
            and self.bones.size
            and not (0 <= self.bones.min() and self.bones.max() < len(self.joint_names))
        ):
            raise InputError("ReportData.bones holds a joint index outside joint_names.")

    def _sizes(self) -> dict[str, int | None]:
        frames = next(
            (np.asarray(v).shape[a] for v, a in ((self.points_world_m, 0), (self.keypoints_px, 1)) if np.ndim(v) > a),  # type: ignore[arg-type]
            None,
        )
        return {
            "C": len(self.camera_names), "T": frames, "J": len(self.joint_names), "K": len(self.keypoint_names),
            "B": None,
        }  # fmt: skip

    @property
    def n_frames(self) -> int:
        """Number of frames, 0 when there is no motion at all."""
        return int(self._sizes()["T"] or 0)

    @property
    def camera_centers_m(self) -> Array | None:
        """(C, 3) positions of the cameras in the world."""
        if self.R is None or self.t is None:
            return None
        return -np.einsum("cji,cj->ci", self.R, self.t)

    def replace(self, **changes: Any) -> ReportData:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_results(
        cls,
        meta: Mapping[str, Any],
        *,
        keypoints: Any = None,
        rig: Any = None,
        calibration: Any = None,
        points: Any = None,
        lifting: Mapping[str, Any] | None = None,
        tracks: Any = None,
        sync: Any = None,
        timings_s: Mapping[str, float] | None = None,
        warnings: Iterable[Any] = (),
        images: Sequence[tuple[str, bytes]] = (),
        calibrated_here: bool | None = None,
        angles_deg: Mapping[str, Any] | None = None,
        people: Mapping[str, Any] | None = None,
    ) -> ReportData:
        """Collect the results of the stages; pass what exists.

        Args:
            meta: see the class.
            keypoints: ``Keypoints2D`` that went into the triangulation (cleaned tracks).
            rig: ``Rig`` with the poses in use; taken from ``calibration`` when left out.
            calibration: ``Calibration`` (its ``rig``, ``points`` and ``report``), or its report as a dict.
            points: ``Points3D``; taken from ``calibration`` when left out.
            lifting: see the class; ``before_m``, ``after_m`` (C, T, J, 3) and ``heldout`` (T,) in it are moved to
                their own fields.
            tracks, sync: a report object with ``to_dict()``, a dataclass, or a mapping.
            timings_s, warnings, images, angles_deg, people: see the class.
            calibrated_here: see the class; by default whether a calibration is given.

        Raises:
            InputError: arrays that do not fit each other.
        """
        known = _mapping(calibration)
        report = _mapping(getattr(calibration, "report", None)) or ({} if hasattr(calibration, "rig") else known)
        rig = rig if rig is not None else getattr(calibration, "rig", None)
        points = points if points is not None else getattr(calibration, "points", None)
        out: dict[str, Any] = {"meta": dict(meta), "calibration": report}
        out["calibrated_here"] = bool(report) if calibrated_here is None else calibrated_here
        if rig is not None:
            out |= {
                "camera_names": tuple(rig.names), "image_sizes": np.asarray(rig.image_sizes, dtype=float),
                "K": rig.K, "R": rig.R, "t": rig.t,
            }  # fmt: skip
        if keypoints is not None:
            out |= {
                "keypoint_names": keypoints.skeleton.joints, "keypoints_px": keypoints.xy, "score": keypoints.score,
                "fps": keypoints.fps,
            }  # fmt: skip
            out.setdefault("camera_names", keypoints.camera_names)
            if keypoints.image_sizes is not None:
                out.setdefault("image_sizes", np.asarray(keypoints.image_sizes, dtype=float))
            if rig is not None and len(rig) == len(keypoints.xy):
                out["rays"] = _rays(rig, keypoints.xy)
        if points is not None:
            skeleton = points.skeleton
            out |= {
                "joint_names": skeleton.joints, "bones": skeleton.bone_indices, "points_world_m": points.xyz,
                "covariance_m2": points.covariance, "residual_px": points.residual_px, "inlier": points.inlier,
                "n_views": points.n_views, "status": points.status,
            }  # fmt: skip
            out["fps"] = out.get("fps") or points.fps
        elif keypoints is not None:
            out |= {"joint_names": keypoints.skeleton.joints, "bones": keypoints.skeleton.bone_indices}
        facts = dict(lifting or {})
        for key, name in (
            ("before_m", "monocular_before_m"), ("after_m", "monocular_after_m"), ("heldout", "heldout")
        ):  # fmt: skip
            value = facts.pop(key, None)
            if value is not None:
                out[name] = np.asarray(value)
        out["lifting"] = facts
        out |= {
            "tracks": _mapping(tracks), "sync": _mapping(sync), "timings_s": dict(timings_s or {}),
            "warnings": tuple(warnings), "images": tuple(images), "people": dict(people or {}),
            "angles_deg": {k: np.asarray(v, dtype=float) for k, v in (angles_deg or {}).items()},
        }  # fmt: skip
        return cls(**out)


_SHAPES: dict[str, tuple[str | int, ...]] = {
    "bones": ("B", 2), "image_sizes": ("C", 2), "K": ("C", 3, 3), "R": ("C", 3, 3), "t": ("C", 3),
    "keypoints_px": ("C", "T", "K", 2), "score": ("C", "T", "K"), "rays": ("C", "T", "K", 2),
    "points_world_m": ("T", "J", 3), "covariance_m2": ("T", "J", 3, 3), "residual_px": ("C", "T", "J"),
    "inlier": ("C", "T", "J"), "n_views": ("T", "J"), "status": ("T", "J"),
    "monocular_before_m": ("C", "T", "J", 3), "monocular_after_m": ("C", "T", "J", 3), "heldout": ("T",),
}  # fmt: skip


def _mapping(value: Any) -> dict[str, Any]:
    """A report object as a plain dict; empty when there is none."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "to_dict"):
        return dict(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {}


def _rays(rig: Any, xy: Array) -> Array | None:
    """Distortion-free image coordinates of the detections, None when the camera model cannot be inverted."""
    from ..points3d import unproject_rays

    out = np.full(np.shape(xy), np.nan)
    for c, camera in enumerate(rig):
        seen = np.isfinite(xy[c]).all(-1)
        if seen.any():
            rays = np.asarray(unproject_rays(camera, np.ascontiguousarray(xy[c][seen])))
            out[c][seen] = rays[..., :2] / rays[..., 2:3] if rays.shape[-1] == 3 else rays
    return out

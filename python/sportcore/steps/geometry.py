"""From 2D tracks to cameras and 3D motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DegenerateError
from ..io import read_rig, write_rig
from ..io.atomic import read_json, write_json
from ..io.points3d import read_points3d_npz, write_points3d_npz
from ..skeletons import H36M17
from ..types import CalibrationReport, Keypoints2D, Points3D, Rig

Progress = Callable[[int, int, str], None]


def calibrate_step(
    folder: Path,
    keypoints: Keypoints2D,
    intrinsics: Rig,
    options: Any,
    monocular_3d: np.ndarray | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the cameras from the body; writes ``Calib.toml`` and ``report.json``."""
    from ..cameras import calibrate

    result = calibrate(keypoints, intrinsics, options, monocular_3d=monocular_3d, progress=progress)
    write_rig(result.rig, folder / "Calib.toml")
    report = result.report.to_dict()
    write_json(folder / "report.json", report)
    return {"grade": result.report.grade, "warnings": list(result.report.warnings), "report": report}


def given_cameras(folder: Path, rig: Rig) -> dict[str, Any]:
    """Take the poses of a calibration file as they are; writes the same files as :func:`calibrate_step`."""
    write_rig(rig, folder / "Calib.toml")
    C = len(rig)
    nan = np.full(C, np.nan)
    report = CalibrationReport(
        names=rig.names, per_camera_rms_px=nan, per_camera_median_px=nan, per_camera_rms_mrad=nan,
        n_observations=np.zeros(C, int), rejected_share=nan, connectivity=np.zeros((C, C), int), method="file",
        scale_source="calibration file", gravity_source="calibration file", floor_source="calibration file",
        grade="usable",
    )  # fmt: skip
    write_json(folder / "report.json", report.to_dict())
    return {"grade": "usable", "warnings": [], "report": report.to_dict()}


def outlier_limit_px(report: Mapping[str, Any], least_px: float = 12.0, most_px: float = 80.0) -> float:
    """How far an observation may lie off and still carry a point: four times what this session's cameras leave.

    A fixed limit that suits a good detector in a small image throws half of a weaker one's views away: what is left are
    pairs that agree by chance, and limbs that change their length.
    """
    rms = [float(v) for v in report.get("per_camera_rms_px", ()) if v is not None and np.isfinite(v)]
    return float(np.clip(4 * np.median(rms), least_px, most_px)) if rms else least_px


def triangulate_step(folder: Path, keypoints: Keypoints2D, rig: Rig, options: Any) -> dict[str, Any]:
    """Triangulate every joint of every frame; writes ``points3d.npz``.

    Raises:
        DegenerateError: hardly any joint could be triangulated; says why.
    """
    from ..points3d import triangulate

    points = triangulate(keypoints, rig, options) if options is not None else triangulate(keypoints, rig)
    write_points3d_npz(points, folder / "points3d.npz")
    counts = points.status_counts()
    total = points.status.size
    if counts["ok"] < 0.05 * total:
        why = ", ".join(f"{n.replace('_', ' ')} {c}" for n, c in counts.items() if c and n != "ok")
        raise DegenerateError(
            f"Only {counts['ok']} of {total} joints could be triangulated ({why}).",
            "Check that all videos show the same athlete at the same time, and the calibration's residuals.",
        )
    return {"status": counts, **judge(keypoints, points, rig)}


def judge(keypoints: Keypoints2D, points: Points3D, rig: Rig) -> dict[str, Any]:
    """The numbers by which a reconstruction is judged without truth.

    Residuals are those of the inliers, per camera, in px and as a length at the joint's distance (mm); the spread of
    a bone is its standard deviation over its mean length, and ``all_px`` includes what was rejected.
    """
    from ..points3d import reproject

    seen = keypoints.observed
    again = reproject(points.xyz, rig)
    error = np.linalg.norm(again - keypoints.xy, axis=-1)  # (C, T, J)
    depth = np.einsum("cj,tkj->ctk", rig.R[:, 2], points.xyz) + rig.t[:, 2, None, None]
    mm = error * depth / rig.K[:, 0, 0][:, None, None] * 1000
    used = points.inlier & np.isfinite(error)
    everything = seen & np.isfinite(error)

    def med(values: np.ndarray, mask: np.ndarray) -> float:
        return float(np.median(values[mask])) if mask.any() else float("nan")

    def rms(values: np.ndarray, mask: np.ndarray) -> float:
        return float(np.sqrt(np.mean(values[mask] ** 2))) if mask.any() else float("nan")

    cameras = {
        c.name: {
            "median_px": med(error[i], used[i]), "rms_px": rms(error[i], used[i]), "median_mm": med(mm[i], used[i]),
            "all_mean_px": float(np.mean(error[i][everything[i]])) if everything[i].any() else float("nan"),
            "used_share": float(used[i].sum() / max(seen[i].sum(), 1)),
        }
        for i, c in enumerate(rig)
    }  # fmt: skip
    bones = bone_spread(points)
    limbs = [v["cv"] for n, v in bones.items() if _is_limb(n) and np.isfinite(v["cv"])]
    return {
        "cameras": cameras, "median_px": med(error, used), "median_mm": med(mm, used),
        "all_mean_px": float(np.mean(error[everything])) if everything.any() else float("nan"),
        "bones": bones, "limb_spread": float(np.mean(limbs)) if limbs else float("nan"),
    }  # fmt: skip


def _is_limb(bone: str) -> bool:
    a, b = bone.split("-")
    return a.split("_")[-1] in ("shoulder", "elbow", "hip", "knee") and b.split("_")[-1] in (
        "elbow", "wrist", "knee", "ankle",
    )  # fmt: skip


def bone_spread(points: Points3D) -> dict[str, dict[str, float]]:
    """Mean length (m) and coefficient of variation of every bone of the Human3.6M skeleton (or the points' own)."""
    h = points.to_skeleton(H36M17)
    if not np.isfinite(h.xyz).any():
        h = points
    a, b = h.skeleton.bone_indices.T
    length = np.linalg.norm(h.xyz[:, a] - h.xyz[:, b], axis=-1)
    out = {}
    for i, name in enumerate(h.skeleton.bone_names):
        values = length[:, i][np.isfinite(length[:, i])]
        mean = float(values.mean()) if values.size else float("nan")
        out[name] = {"mean_m": mean, "cv": float(values.std() / mean) if values.size > 1 else float("nan")}
    return out


def load_rig(folder: Path) -> Rig:
    """The cameras that a calibration stage wrote."""
    return read_rig(folder / "Calib.toml")


def load_points(folder: Path) -> Points3D:
    """The points that a triangulation stage wrote."""
    return read_points3d_npz(folder / "points3d.npz")


def load_report(folder: Path) -> CalibrationReport:
    """The report that a calibration stage wrote, as the type it was."""
    raw: Mapping[str, Any] = read_json(folder / "report.json")
    values: dict[str, Any] = {}
    for f in dataclasses.fields(CalibrationReport):
        v = raw.get(f.name)
        if f.name in ("names", "warnings"):
            v = tuple(v or ())
        elif isinstance(v, list):
            v = np.array(v, dtype=float)
        elif v is None and f.type == "float":
            v = float("nan")
        values[f.name] = v
    return CalibrationReport(**values)

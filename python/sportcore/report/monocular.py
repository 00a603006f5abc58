"""The single-camera model against the multi-view motion, before and after tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation import evaluate, joint_errors_mm
from .data import ReportData
from .measures import report_skeleton, root_track

__all__ = ["monocular_measures", "monocular_world"]

METRICS = {
    "mpjpe_mm": "MPJPE",
    "n_mpjpe_mm": "N-MPJPE",
    "pa_mpjpe_mm": "PA-MPJPE",
    "spa_mpjpe_mm": "SPA-MPJPE",
    "velocity_mm_per_frame": "velocity per frame",
    "knee_angle_deg": "knee angle",
    "hip_angle_deg": "hip angle",
    "elbow_angle_deg": "elbow angle",
}


def monocular_measures(data: ReportData) -> dict[str, Any]:
    """Errors before and after tuning, as far as they are given or can be computed.

    Returns:
        ``{"before": {...}, "after": {...}, "headline": metric, "per_joint_metric": text, "history": [...]}`` with
        each side holding ``mean`` {metric: value}, ``per_camera`` {camera: {metric: value}} and ``per_joint_mm``
        {joint: mm}; empty when there is nothing. Given numbers win over computed ones; computed ones compare the
        root-relative poses in the camera's frame with the multi-view motion on the held-out frames.
    """
    out: dict[str, Any] = {}
    for side, poses in (("before", data.monocular_before_m), ("after", data.monocular_after_m)):
        given = data.lifting.get(side)
        if isinstance(given, Mapping) and given:
            out[side] = _normalised(given)
        elif poses is not None and data.points_world_m is not None and data.R is not None:
            out[side] = _computed(data, poses)
    if not out:
        return {}
    shared = [set(part["mean"]) for part in out.values()]
    usual = ("pa_mpjpe_mm",) if data.lifting.get("metric") is False else ("mpjpe_mm", "pa_mpjpe_mm")
    out["headline"] = next((m for m in (*usual, "n_mpjpe_mm", "mpjpe_mm") if all(m in s for s in shared)), "")
    out["history"] = [dict(row) for row in data.lifting.get("history", ()) or () if isinstance(row, Mapping)]
    out["per_joint_metric"] = "; ".join(sorted({p["per_joint_metric"] for k, p in out.items() if k in SIDES}))
    return out


SIDES = ("before", "after")


def _normalised(given: Mapping[str, Any]) -> dict[str, Any]:
    """Accept our own layout and that of ``EvaluationResult.to_dict()``."""
    mean = {k: float(v) for k, v in given.items() if k in METRICS and v is not None}
    mean |= {k: float(v) for k, v in dict(given.get("mean") or {}).items() if v is not None}
    per_joint = given.get("per_joint_mm")
    metric = "mean distance after removing the root"
    if not per_joint:
        per_joint, metric = given.get("per_joint_pa_mm") or {}, "mean distance after aligning each pose (PA)"
    cameras = given.get("per_camera") or given.get("rows") or {}
    return {
        "mean": mean,
        "per_camera": {str(k): dict(v) for k, v in dict(cameras).items() if isinstance(v, Mapping)},
        "per_joint_mm": dict(per_joint),
        "per_joint_metric": str(given.get("per_joint_metric", metric)),
    }


def reference_in_cameras(data: ReportData) -> NDArray[np.float64]:
    """(C, T, J, 3) multi-view motion in each camera's frame."""
    assert data.points_world_m is not None and data.R is not None and data.t is not None
    return np.einsum("cij,tkj->ctki", data.R, data.points_world_m) + data.t[:, None, None]


def _root_index(data: ReportData) -> int | None:
    return data.joint_names.index("pelvis") if "pelvis" in data.joint_names else None


def _computed(data: ReportData, poses: NDArray[Any]) -> dict[str, Any]:
    frames = np.ones(poses.shape[1], bool) if data.heldout is None else data.heldout.astype(bool)
    truth = reference_in_cameras(data)[:, frames]
    predicted = np.asarray(poses, dtype=float)[:, frames]
    root = _root_index(data)
    if root is None:
        truth = truth - np.nanmean(truth, axis=2, keepdims=True)
    skeleton = report_skeleton(data)
    result = evaluate(predicted, truth, skeleton=skeleton, names=data.camera_names, root=root, fps=data.fps)
    align = "frame" if data.lifting.get("metric") is False else "root"
    errors = joint_errors_mm(predicted, truth, align=align, root=root, skeleton=skeleton)  # type: ignore[arg-type]
    counts = np.isfinite(errors).sum((0, 1))
    means = np.where(counts > 0, np.nansum(errors, axis=(0, 1)) / np.maximum(counts, 1), np.nan)
    return {
        "mean": {k: v for k, v in result.mean.items() if np.isfinite(v)},
        "per_camera": {k: dict(v) for k, v in result.rows.items()},
        "per_joint_mm": dict(zip(data.joint_names, map(float, means), strict=True)),
        "per_joint_metric": "mean distance after aligning each pose (PA)"
        if align == "frame"
        else "mean distance after removing the root",
    }


def monocular_world(data: ReportData, poses: NDArray[Any]) -> NDArray[np.float64]:
    """(C, T, J, 3) single-camera poses put on the multi-view root, in the world.

    A model without a scale of its own is scaled, per camera, by the ratio of median pose sizes.
    """
    assert data.points_world_m is not None and data.R is not None
    out = np.einsum("cji,ctkj->ctki", data.R, np.asarray(poses, dtype=float))
    if data.lifting.get("metric") is False:
        with np.errstate(invalid="ignore", divide="ignore"):
            target = np.sqrt(np.nanmedian(np.nanvar(data.points_world_m, axis=1).sum(-1)))
            for c in range(len(out)):
                out[c] *= target / np.sqrt(np.nanmedian(np.nanvar(out[c], axis=1).sum(-1)))
    root = root_track(data)
    return out + (0.0 if root is None else root[None, :, None])

"""The numbers of a report, computed from its arrays. Plain NumPy, NaN aware, nothing filled in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation import joint_angles_deg
from ..skeletons import Skeleton
from .data import ReportData

__all__ = [
    "athlete_measures", "bone_measures", "camera_measures", "coverage_measures", "joint_angles", "residual_measures",
    "spread_percent",
]  # fmt: skip

Array = NDArray[Any]
ANGLES_SHOWN = ("knee", "hip", "elbow", "ankle", "shoulder")


def spread_percent(values: Array) -> float:
    """Robust relative spread in per cent: 1.4826 times the median absolute deviation, over the median."""
    v = np.asarray(values, dtype=float)
    v = v[np.isfinite(v)]
    middle = np.median(v) if len(v) else np.nan
    if len(v) < 2 or not middle > 0:
        return float("nan")
    return float(148.26 * np.median(np.abs(v - middle)) / middle)


def _quantiles(values: Array, q: tuple[float, ...]) -> list[float]:
    v = values[np.isfinite(values)]
    return [float(x) for x in np.quantile(v, q)] if len(v) else [float("nan")] * len(q)


def _rms(values: Array) -> float:
    v = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(v**2))) if len(v) else float("nan")


def used_and_rejected(data: ReportData) -> tuple[Array, Array] | None:
    """(C, T, J) masks: measurements a 3D joint rests on, and measurements that were seen but not used for it."""
    if data.residual_px is None:
        return None
    finite = np.isfinite(data.residual_px)
    if data.inlier is None:
        return finite, np.zeros_like(finite)
    used = finite & data.inlier.astype(bool)
    return used, finite & ~used


def focal_px(data: ReportData) -> Array | None:
    """(C,) geometric mean of the two focal lengths in px."""
    if data.K is None:
        return None
    return np.sqrt(data.K[:, 0, 0] * data.K[:, 1, 1])


def residual_measures(data: ReportData) -> dict[str, Any]:
    """Residuals of the used measurements: over all, per camera and joint, and in mm at the athlete.

    The length is the residual's angle times the distance from camera to athlete (small-angle pinhole relation).
    """
    masks = used_and_rejected(data)
    if masks is None or data.residual_px is None or not masks[0].any():
        return {}
    used, _ = masks
    residual = np.where(used, data.residual_px, np.nan)
    median, p95 = _quantiles(residual, (0.5, 0.95))
    out: dict[str, Any] = {"median_px": median, "rms_px": _rms(residual), "p95_px": p95, "count": int(used.sum())}
    focal = focal_px(data)
    if focal is not None:
        mrad = residual * (1e3 / focal)[:, None, None]
        out["median_mrad"], out["rms_mrad"] = _quantiles(mrad, (0.5,))[0], _rms(mrad)
        distance = _distance(data)
        if distance is not None:
            mm = mrad * distance[:, :, None]
            out["median_mm"], out["rms_mm"] = _quantiles(mm, (0.5,))[0], _rms(mm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        out["median_px_camera_joint"] = np.nanmedian(residual, axis=1)
    return out


def _distance(data: ReportData) -> Array | None:
    """(C, T) distance in m from each camera to the middle of the seen joints."""
    centers = data.camera_centers_m
    if centers is None or data.points_world_m is None:
        return None
    middle = _nanmedian(data.points_world_m, axis=1)
    return np.linalg.norm(middle[None] - centers[:, None], axis=-1)


def _nanmedian(values: Array, axis: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(values, axis=axis)


def camera_measures(data: ReportData) -> list[dict[str, Any]]:
    """One dict per camera: residuals, use, focal length, position. A number that cannot be known is NaN."""
    masks, focal, centers, distance = used_and_rejected(data), focal_px(data), data.camera_centers_m, _distance(data)
    out = []
    for c, name in enumerate(data.camera_names):
        row: dict[str, Any] = {"name": name}
        if masks is not None and data.residual_px is not None:
            used, rejected = masks[0][c], masks[1][c]
            residual = data.residual_px[c][used]
            row["median_px"], row["p95_px"] = _quantiles(residual, (0.5, 0.95))
            row["rms_px"] = _rms(residual)
            row["frames_used"] = int(used.any(-1).sum())
            total = int(used.sum() + rejected.sum())
            row["rejected_share"] = float(rejected.sum() / total) if total else float("nan")
            if focal is not None:
                row["rms_mrad"] = row["rms_px"] / focal[c] * 1e3
        if focal is not None:
            row["focal_px"] = float(focal[c])
            if data.image_sizes is not None:
                row["fov_deg"] = float(np.degrees(2 * np.arctan(data.image_sizes[c, 0] / 2 / data.K[c, 0, 0])))  # type: ignore[index]
        if data.image_sizes is not None:
            row["image_size"] = [int(v) for v in data.image_sizes[c]]
        if centers is not None and (data.calibrated_here or data.points_world_m is not None):
            row["position_m"] = [float(v) for v in centers[c]]
        if distance is not None:
            row["distance_m"] = float(_nanmedian(distance[c], axis=0))
        if data.keypoints_px is not None:
            row["frames_seen"] = int(np.isfinite(data.keypoints_px[c]).all(-1).any(-1).sum())
        out.append(row)
    return out


def mirror(name: str) -> str:
    """The joint of the other body side."""
    return name.replace("left", "right") if "left" in name else name.replace("right", "left")


def bone_measures(data: ReportData) -> list[dict[str, Any]]:
    """One dict per bone: length, robust spread, quantiles of the deviation, difference to the other side."""
    if data.points_world_m is None or data.bones is None:
        return []
    lengths = np.linalg.norm(
        data.points_world_m[:, data.bones[:, 0]] - data.points_world_m[:, data.bones[:, 1]], axis=-1
    )
    pairs = [(data.joint_names[a], data.joint_names[b]) for a, b in data.bones]
    medians = _nanmedian(lengths, axis=0)
    out = []
    for b, (parent, child) in enumerate(pairs):
        other = (mirror(parent), mirror(child))
        row: dict[str, Any] = {
            "name": f"{parent}-{child}", "length_m": float(medians[b]), "spread_percent": spread_percent(lengths[:, b]),
            "frames": int(np.isfinite(lengths[:, b]).sum()), "limb": other != (parent, child),
            "side": "left" if "left" in child else "right" if "right" in child else "",
        }  # fmt: skip
        row["p5_m"], row["p25_m"], row["p75_m"], row["p95_m"] = _quantiles(lengths[:, b], (0.05, 0.25, 0.75, 0.95))
        if row["limb"] and other in pairs and np.isfinite(medians[b]):
            twin = float(medians[pairs.index(other)])
            mean = (twin + row["length_m"]) / 2
            row["asymmetry_percent"] = (row["length_m"] - twin) / mean * 100 if mean > 0 else float("nan")
        out.append(row)
    return out


def sigma_m(covariance_m2: Array, have: Array) -> Array:
    """(T, J) worst standard deviation in m (root of the largest eigenvalue), NaN where there is no point."""
    ok = have & np.isfinite(covariance_m2).all((-1, -2))
    out = np.full(ok.shape, np.nan)
    if ok.any():
        out[ok] = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance_m2[ok])[..., -1], 0.0))
    return out


def coverage_measures(data: ReportData) -> dict[str, Any]:
    """How much of the motion exists: share of joint-frames with a 3D value, per joint and by reason."""
    if data.points_world_m is None:
        return {}
    have = np.asarray(np.isfinite(data.points_world_m).all(-1))
    out: dict[str, Any] = {
        "share": float(have.mean()) if have.size else float("nan"), "per_joint": have.mean(0) if have.size else [],
        "frames_with_any": int(have.any(-1).sum()),
    }  # fmt: skip
    if data.status is not None:
        codes = np.where(have, 0, np.where(data.status == 0, 255, data.status))
        out["status_per_joint"] = {
            int(code): (codes == code).mean(0) for code in np.unique(codes) if codes.size
        }  # fmt: skip
    if data.covariance_m2 is not None:
        sigma_mm = sigma_m(data.covariance_m2, have) * 1e3
        out["sigma_mm_per_joint"] = _nanmedian(sigma_mm, axis=0)
        out["sigma_mm"] = float(np.nanmedian(sigma_mm)) if np.isfinite(sigma_mm).any() else float("nan")
    if data.n_views is not None and have.any():
        out["views"] = float(np.mean(data.n_views[have]))
    return out


def joint_track(data: ReportData, *names: str) -> Array | None:
    """(T, 3) track of the first joint among ``names`` that the motion has."""
    if data.points_world_m is None:
        return None
    for name in names:
        if name in data.joint_names:
            return data.points_world_m[:, data.joint_names.index(name)]
    return None


def root_track(data: ReportData) -> Array | None:
    """(T, 3) track of the pelvis, or the middle of the hips."""
    track = joint_track(data, "pelvis")
    if track is not None:
        return track
    left, right = joint_track(data, "left_hip"), joint_track(data, "right_hip")
    return None if left is None or right is None else (left + right) / 2


def report_skeleton(data: ReportData) -> Skeleton:
    """The joints and bones of the data as a :class:`Skeleton`."""
    bones = () if data.bones is None else data.bones
    return Skeleton("report", data.joint_names, tuple((data.joint_names[a], data.joint_names[b]) for a, b in bones))


def joint_angles(data: ReportData) -> dict[str, dict[str, Array]]:
    """Included angle in degrees per joint and side: ``{"knee": {"left": (T,), "right": (T,)}, ...}``; 180 is straight.

    Angles that come with the data (``left_knee`` and so on) are used as they are; else they are those of
    :func:`sportcore.evaluation.joint_angles_deg`.
    """
    named: Mapping[str, Array] = data.angles_deg
    if not named and data.points_world_m is not None and data.joint_names:
        named = joint_angles_deg(data.points_world_m, report_skeleton(data))
    out: dict[str, dict[str, Array]] = {}
    for name, values in named.items():
        angle = np.asarray(values, dtype=float)
        if not np.isfinite(angle).any():
            continue
        side = "left" if "left" in name else "right" if "right" in name else ""
        joint = name.replace("left", "").replace("right", "").strip("_ ") or name
        out.setdefault(joint, {})[side] = angle
    order = {name: i for i, name in enumerate(ANGLES_SHOWN)}
    return dict(sorted(out.items(), key=lambda item: order.get(item[0], len(order))))


def speed_m_s(data: ReportData, window_s: float = 0.2) -> Array | None:
    """(T,) horizontal pelvis speed from the displacement across ``window_s``, NaN at gaps and at the ends."""
    track = root_track(data)
    if track is None or not data.fps:
        return None
    half = max(1, round(window_s * data.fps / 2))
    out = np.full(len(track), np.nan)
    if len(track) > 2 * half:
        step = track[2 * half :, :2] - track[: -2 * half, :2]
        out[half:-half] = np.linalg.norm(step, axis=-1) * data.fps / (2 * half)
    return out


def athlete_measures(data: ReportData) -> dict[str, Any]:
    """Facts a coach can check by eye: path, speed, and the stature the leg length implies.

    Thigh and shank are 0.245 and 0.246 of the stature (Drillis and Contini 1966, in Winter, Biomechanics and Motor
    Control of Human Movement).
    """
    track = root_track(data)
    out: dict[str, Any] = {}
    if track is None or not np.isfinite(track).any():
        return out
    seen = track[np.isfinite(track).all(-1)]
    out["extent_m"] = [float(v) for v in seen.max(0) - seen.min(0)]
    speed = speed_m_s(data)
    if speed is not None and np.isfinite(speed).any():
        out["speed_median_m_s"], out["speed_p95_m_s"] = _quantiles(speed, (0.5, 0.95))
    bones: Mapping[str, float] = {row["name"]: row["length_m"] for row in bone_measures(data)}
    legs = [
        bones.get(f"{s}_hip-{s}_knee", np.nan) + bones.get(f"{s}_knee-{s}_ankle", np.nan) for s in ("left", "right")
    ]
    if np.isfinite(legs).any():
        out["implied_stature_m"] = float(np.nanmean(legs) / 0.491)
    return out

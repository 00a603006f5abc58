"""The report: residuals, connections, uncertainty, and a grade."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import CalibrationReport, Keypoints2D, Points3D, Rig
from .checks import Complaints, masked_quantiles
from .gauge import Gauge

__all__ = ["build_report", "camera_covariance"]

Floats = NDArray[np.float64]


def camera_covariance(
    covariance: Floats | None, R: Floats, t: Floats, gauge: Gauge
) -> tuple[Floats, Floats, Floats] | None:
    """Covariance of the cameras in the metric frame.

    Args:
        covariance: (>= 6C, >= 6C) of (w, dt) per camera in the frame of the adjustment, ``R <- exp([w]x) R``,
            ``t <- t + dt``, without the freedom of the gauge.
        R: (C, 3, 3) rotations in the metric frame.
        t: (C, 3) translations in the metric frame, m.
        gauge: the similarity between the two.

    Returns:
        (C, 6, 6) covariance (rad, m), (C,) rotation sigma in degrees, (C,) position sigma in m; None without input.
    """
    if covariance is None:
        return None
    C = len(R)
    out, rotation, centre = np.empty((C, 6, 6)), np.empty(C), np.empty(C)
    for c in range(C):
        block = covariance[6 * c : 6 * c + 6, 6 * c : 6 * c + 6]
        # t_new = s t - R_new q, so dt_new = s dt + [R_new q]x w
        J = np.eye(6)
        J[3:, 3:] *= gauge.scale
        J[3:, :3] = _skew(R[c] @ gauge.translation)
        cov = J @ block @ J.T
        out[c] = 0.5 * (cov + cov.T)
        rotation[c] = np.degrees(np.sqrt(max(np.trace(cov[:3, :3]), 0.0)))
        # centre = -R^T t  ->  R^T ([t]x' w - dt), by R^T(w x t) = -R^T [t]x w
        K = np.hstack([-R[c].T @ _skew(t[c]), -R[c].T])
        centre[c] = np.sqrt(max(np.trace(K @ cov @ K.T), 0.0))
    return out, rotation, centre


def _skew(v: Floats) -> Floats:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def build_report(
    keypoints: Keypoints2D,
    used: NDArray[np.bool_],
    points: Points3D,
    rig: Rig,
    gauge: Gauge,
    result: Mapping[str, Any],
    swapped: NDArray[np.bool_],
    complaints: Complaints,
    seconds: Mapping[str, float],
    extra: Mapping[str, Any],
    bodies: NDArray[np.int64] | None = None,
) -> CalibrationReport:
    """Put the report together; complaints decides whether large residuals are refused.

    Args:
        keypoints: the input, sides exchanged where they were found swapped.
        used: (C, T, J) observations that were offered to the calibration.
        points: triangulated with the calibrated cameras.
        rig: calibrated cameras, metric and upright.
        gauge: where metres and the vertical come from.
        result: of ``_core.calibrate_bodies``.
        swapped: (C, T) camera-frames with left and right exchanged.
        complaints: collects warnings.
        seconds: time per part.
        extra: further facts.
        bodies: (T,) number of the person in each frame; None: one person.
    """
    C = len(rig)
    names = rig.names
    residual, inlier = points.residual_px, points.inlier & used
    has_point = points.ok[None] & used
    rms, median, rejected = np.full(C, np.nan), np.full(C, np.nan), np.full(C, np.nan)
    count = inlier.sum((1, 2)).astype(np.int64)
    shared = used & (used.sum(0) >= 2)[None]
    for c in range(C):
        r = residual[c][inlier[c]]
        if r.size:
            rms[c] = float(np.sqrt(np.mean(r**2)))
        r = residual[c][has_point[c]]
        r = r[np.isfinite(r)]
        if r.size:
            median[c] = float(np.median(r))
        if shared[c].any():
            rejected[c] = 1 - count[c] / shared[c].sum()
    focal = 0.5 * (rig.K[:, 0, 0] + rig.K[:, 1, 1])
    flat = inlier.reshape(C, -1).astype(np.float32)
    connectivity = np.rint(flat @ flat.T).astype(np.int64)
    bundle = result["bundle"]
    covariance = camera_covariance(bundle["covariance"], rig.R, rig.t, gauge)
    body_px = _body_size_px(keypoints, used)
    sigma = float(result["sigma_px"])
    _judge_residuals(names, sigma, rejected, body_px, result, complaints)
    _judge_cameras(names, rms, complaints)
    flat_share = flatness(points)
    _judge_flatness(flat_share, len(rig), complaints)
    spread = limb_spread(points, bodies)
    _judge_limbs(spread, complaints)
    if bundle["covariance"] is not None and covariance is not None:
        for name, angle in zip(names, covariance[1], strict=True):
            if angle > 2.0:
                complaints.warn(
                    f"Camera {name!r} is only known to {angle:.1f} degrees: too little of the motion was seen by it "
                    "and others, or the cameras stand too close together."
                )
    for name, share in zip(names, swapped.mean(1), strict=True):
        if share > 0.1:
            complaints.warn(f"Camera {name!r}: left and right were exchanged in {100 * share:.0f} % of the frames.")
    angle = float(np.max(covariance[1])) if covariance is not None else np.inf
    worst = float(np.nanmax(rejected)) if np.isfinite(rejected).any() else 1.0
    if complaints.forced:
        grade = "poor"
    elif not complaints.doubted and angle < 0.7 and worst < 0.3 and sigma < 0.015 * max(body_px, 1.0):
        grade = "good"
    elif angle < 3.0 and worst < 0.6:
        grade = "usable"
    else:
        grade = "poor"
    return CalibrationReport(
        names=names,
        per_camera_rms_px=rms,
        per_camera_median_px=median,
        per_camera_rms_mrad=1000 * rms / focal,
        n_observations=count,
        rejected_share=rejected,
        connectivity=connectivity,
        scale_source=gauge.scale_source,
        scale_sigma_rel=gauge.scale_sigma_rel,
        gravity_source=gauge.gravity_source,
        gravity_sigma_deg=gauge.gravity_sigma_deg,
        floor_source=gauge.floor_source,
        floor_sigma_m=gauge.floor_sigma_m,
        camera_covariance=None if covariance is None else covariance[0],
        rotation_sigma_deg=None if covariance is None else covariance[1],
        center_sigma_m=None if covariance is None else covariance[2],
        warnings=tuple(complaints.warnings),
        grade=grade,
        iterations=int(bundle["iterations"]),
        n_frames_used=len(result["frames"]),
        seconds=dict(seconds),
        extra={
            "sigma_px": sigma,
            "start_pair": [names[i] for i in result["start_pair"]],
            "swapped_frames": {n: int(k) for n, k in zip(names, swapped.sum(1), strict=True)},
            "adjustment": str(bundle["stop"]),
            "limb_spread": spread,
            "flatness": flat_share,
            "implied_stature_m": gauge.stature_m,
            "gravity": dict(gauge.details),
            **dict(extra),
        },
    )


def _body_size_px(keypoints: Keypoints2D, used: NDArray[np.bool_]) -> float:
    """Median height or width of the body in the images, px."""
    frames = np.argwhere(used.sum(-1) >= 4)
    if not len(frames):
        return float("nan")
    c, t = frames[:: max(1, len(frames) // 300)].T
    body = np.where(used[c, t][..., None], keypoints.xy[c, t], np.nan)
    low, high = masked_quantiles(body, (0.05, 0.95), axis=1)
    return float(np.median((high - low).max(-1)))


def _judge_residuals(
    names: tuple[str, ...],
    sigma: float,
    rejected: Floats,
    body_px: float,
    result: Mapping[str, Any],
    complaints: Complaints,
) -> None:
    relative = sigma / body_px if body_px > 0 else np.nan
    overall = float(np.nanmean(rejected)) if np.isfinite(rejected).any() else 1.0
    hint = ""
    factor, factor_sigma = float(result["focal_factor"]), float(result["focal_factor_sigma"])
    if result["focal_probed"] and factor_sigma > 0 and abs(np.log(factor)) > max(4 * factor_sigma, 0.03):
        hint = f" The focal lengths that would fit best are {factor:.2f} times (+- {factor_sigma:.3f}) those given."
    if result["focal_probed"] and factor_sigma > 0 and abs(np.log(factor)) > max(8 * factor_sigma, WRONG_FOCAL):
        complaints.refuse(
            f"The intrinsics are wrong.{hint}",
            "Give the lenses of these cameras at this image size, or let the motion tell: "
            'refine_focal = "shared" (of CalibrateOptions, or under [calibrate]).',
        )
    if overall > 0.5 or relative > 0.04:
        complaints.refuse(
            f"The cameras do not fit together: {100 * overall:.0f} % of the observations contradict the result "
            f"(deviation of the rest {sigma:.1f} px).{hint}",
            "Check that the intrinsics belong to these cameras and image sizes, and that the videos are synchronised.",
        )
    elif overall > 0.3 or relative > 0.02:
        complaints.warn(
            f"Large residuals: {100 * overall:.0f} % of the observations were rejected, the rest deviates by "
            f"{sigma:.1f} px ({100 * relative:.1f} % of the body's size).{hint} Check intrinsics and synchronisation.",
            doubt=True,
        )
    elif hint and abs(np.log(factor)) > 0.1:
        complaints.warn(f"The intrinsics seem off.{hint} Check them, or set refine_focal.", doubt=True)
    for c, (name, share) in enumerate(zip(names, rejected, strict=True)):
        others = np.delete(rejected, c)
        usual = float(np.nanmedian(others)) if np.isfinite(others).any() else 0.0
        if len(names) < 3 or not np.isfinite(share) or not share > max(0.15, 3 * usual):
            continue
        what = f"Camera {name!r}: {100 * share:.0f} % of its observations contradict the others ({100 * usual:.0f} %)."
        remedy = "Check that it is not mirrored, turned or of another time, and its intrinsics; or leave it out."
        if share > 0.3:
            complaints.refuse(what, remedy)
        else:
            complaints.warn(f"{what} {remedy}", doubt=True)


WRONG_FOCAL = 0.25  # log of a common focal factor: what a detector's errors never make
DOUBTED_CAMERA = 2.0  # a camera's residual over that of the others


def _judge_cameras(names: tuple[str, ...], rms: Floats, complaints: Complaints) -> None:
    """Doubt a camera whose residuals are far larger than the others'."""
    if len(names) < 3:
        return
    for c, name in enumerate(names):
        usual = float(np.nanmedian(np.delete(rms, c))) if np.isfinite(np.delete(rms, c)).any() else np.nan
        if rms[c] > DOUBTED_CAMERA * usual and rms[c] > 1.0:
            complaints.warn(
                f"Camera {name!r}: its residuals ({rms[c]:.1f} px) are far larger than those of the others "
                f"({usual:.1f} px). Check its lens, its time and its picture.",
                doubt=True,
            )


FLAT = 0.25  # thickness of all that was reconstructed over its middle extent; walking, running, jumping: over 0.8


def flatness(points: Points3D) -> float:
    """Thickness of the volume that all joints filled over its middle extent (standard deviations along the principal
    axes, the far points left out); 1 for a ball, 0 for a plane. NaN where little was reconstructed.
    """
    p = points.xyz.reshape(-1, 3)
    p = p[np.isfinite(p).all(1)]
    if len(p) < 30:
        return float("nan")
    p = p - np.median(p, axis=0)
    far = np.linalg.norm(p, axis=1)
    p = p[far <= 4 * np.median(far)]
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(p.T @ p / len(p)), 0.0))
    return float(values[0] / values[1]) if values[1] > 0 else float("nan")


def _judge_flatness(share: float, cameras: int, complaints: Complaints) -> None:
    """Joints that stay in one plane: two views of a plane fit two sets of cameras (Longuet-Higgins 1986)."""
    if not share < FLAT:
        return
    what = f"All joints stay near one plane (its thickness is {100 * share:.0f} % of its extent)"
    remedy = "Let the athlete turn and move towards and away from the cameras, too."
    if cameras < 3:
        complaints.refuse(f"{what}: two cameras cannot be told apart from a second pair that fits as well.", remedy)
    else:
        complaints.warn(f"{what}: the cameras are less sure than stated. {remedy}", doubt=True)


DOUBTED_LIMBS, IMPOSSIBLE_LIMBS = 0.15, 0.25  # robust deviation of the limbs' lengths, share of their length


def limb_spread(points: Points3D, bodies: NDArray[np.int64] | None = None) -> float:
    """How much the limbs change their length over time: median over thighs, shanks, upper and lower arms of the robust
    deviation over the median. NaN where none was reconstructed. With ``bodies`` (T,), the number of the person in each
    frame, each length is held against those of the same person.
    """
    skeleton = points.skeleton
    spreads = []
    for side in ("left", "right"):
        for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            names = f"{side}_{a}", f"{side}_{b}"
            if not all(name in skeleton.joints for name in names):
                continue
            i, j = (skeleton.index(name) for name in names)
            both = points.ok[:, i] & points.ok[:, j]
            if both.sum() < 10:
                continue
            length = np.linalg.norm(points.xyz[both, i] - points.xyz[both, j], axis=-1)
            who = np.zeros(len(length), np.int64) if bodies is None else bodies[both]
            for one in np.unique(who):
                length[who == one] /= max(float(np.median(length[who == one])), 1e-12)
            spreads.append(1.4826 * float(np.median(np.abs(length - 1.0))))
    return float(np.median(spreads)) if spreads else float("nan")


def _judge_limbs(spread: float, complaints: Complaints) -> None:
    if spread > IMPOSSIBLE_LIMBS:
        complaints.refuse(
            f"The limbs change their length by {100 * spread:.0f} %: no body moves like that.",
            "Check that no video is mirrored, turned or of another moment, and that all show the same person.",
        )
    elif spread > DOUBTED_LIMBS:
        complaints.warn(
            f"The limbs change their length by {100 * spread:.0f} %, more than a detector's errors explain. "
            "Check that no video is mirrored, turned or of another moment.",
            doubt=True,
        )

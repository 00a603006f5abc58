"""The published calibration in metres and upright: gauge, points and report by the parts that calibrate.py uses."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DegenerateError, InputError
from ..points3d import TriangulateOptions, reproject, triangulate, unproject_points
from ..skeletons import H36M17
from ..types import Calibration, Keypoints2D, Rig
from .anthropometry import calibration_joints
from .calibrate import Progress, _gauge_options, _thinned
from .checks import Complaints, check_motion, check_observations, match_rig
from .gauge import find_gauge
from .lee2022 import Lee2022Options, Lee2022Result, calibrate_lee2022
from .lee2022_linear import weighted_points
from .options import CalibrateOptions
from .quality import build_report

__all__ = ["metric_calibration"]

Floats = NDArray[np.float64]
_log = logging.getLogger(__name__)

#: lambda_4 / lambda_5 above which the null space is hardly told from what is next to it
DOUBTFUL_EIGENVALUE_RATIO = 0.1
#: of the product of two cameras' blocks, 1 when their directions agree, below 0 when one is mirrored
DOUBTFUL_DETERMINANT = 0.6


def metric_calibration(
    keypoints: Keypoints2D,
    intrinsics: Rig,
    monocular_3d: ArrayLike,
    options: Lee2022Options,
    calibrate_options: CalibrateOptions | None,
    progress: Progress | None,
) -> Calibration:
    """See :func:`sportcore.cameras.lee2022.calibrate_lee2022_metric`."""
    scene = calibrate_options if calibrate_options is not None else CalibrateOptions()
    if not isinstance(scene, CalibrateOptions):
        raise InputError(f"calibrate_options must be CalibrateOptions, got {type(scene).__name__}.")
    if not isinstance(keypoints, Keypoints2D):
        raise InputError(f"keypoints must be Keypoints2D, got {type(keypoints).__name__}.")
    complaints = Complaints(scene.force)
    rig = match_rig(keypoints, intrinsics, complaints)
    names = rig.names
    gauge_options = _gauge_options(scene, names)
    joints = calibration_joints(keypoints.skeleton)
    used = keypoints.observed & (keypoints.score >= scene.min_score)
    used[..., np.setdiff1d(np.arange(keypoints.skeleton.n_joints), joints)] = False
    seen = used[..., joints]
    check_observations(seen, names, complaints)
    motion = check_motion(_thinned(np.where(seen[..., None], keypoints.xy[:, :, joints], np.nan)), names, complaints)

    step = -(-keypoints.n_frames // scene.max_frames)
    options = dataclasses.replace(options, frame_step=max(options.frame_step, step))
    start = time.perf_counter()
    out = calibrate_lee2022(keypoints, rig, monocular_3d, options, progress=progress)
    seconds = {**out.history["seconds"], "solver": time.perf_counter() - start}
    R = out.rotations
    ratio = out.history["eigenvalue_ratio"]
    if ratio > DOUBTFUL_EIGENVALUE_RATIO:
        complaints.warn(
            f"The translations are hardly determined (fourth over fifth eigenvalue {ratio:.2f}): outliers among the "
            "keypoints, or wrong rotations. Use the bundle adjustment with mask_px, or sc.calibrate.",
            doubt=True,
        )

    weak = [n for n, d in zip(names, out.history["determinants"], strict=True) if d < DOUBTFUL_DETERMINANT]
    if weak:
        complaints.warn(
            f"The bone directions of {', '.join(weak)} and {names[0]} hardly agree: left and right are probably "
            "exchanged in many frames of one of them.",
            doubt=True,
        )

    start = time.perf_counter()
    solved = rig.with_poses(R, out.t)
    joints3d = out.points if np.abs(out.R - R).max() < 1e-9 else _points_again(keypoints, solved)
    try:
        gauge = find_gauge(joints3d, H36M17.joints, R, out.t, gauge_options)
    except np.linalg.LinAlgError as error:
        raise DegenerateError(
            "What was reconstructed of the body is too little to tell the scale and the vertical.",
            "Record longer, with the whole athlete in view of at least two cameras.",
        ) from error
    complaints.warnings.extend(gauge.warnings)
    calibrated = rig.with_poses(*gauge.poses(R, out.t))
    seconds["gauge"] = time.perf_counter() - start

    start = time.perf_counter()
    named = keypoints if keypoints.names in (None, names) else keypoints.replace(names=names)
    sigma = _deviation_px(named.to_skeleton(H36M17), calibrated, gauge.apply(joints3d), out)
    diagonal = float(np.hypot(*np.median(rig.image_sizes, axis=0)))
    limit = scene.max_reprojection_error_px or 0.01 * diagonal
    error_px = float(min(limit, max(6 * sigma, 3.0)))
    points = triangulate(
        named,
        calibrated,
        TriangulateOptions(
            max_reprojection_error_px=error_px, min_score=scene.min_score, num_threads=scene.num_threads
        ),
    )
    seconds["triangulation"] = time.perf_counter() - start
    history = {k: v for k, v in out.history.items() if k not in ("seconds", "ransac_scores")}
    extra = {"motion": motion, "max_reprojection_error_px": error_px, "lee2022": _plain(history)}
    swapped = np.zeros((len(rig), keypoints.n_frames), bool)
    report = build_report(
        named,
        used,
        points,
        calibrated,
        gauge,
        _as_solver_result(out, options, sigma),
        swapped,
        complaints,
        seconds,
        extra,
    )
    report = dataclasses.replace(report, method="lee2022")
    for warning in report.warnings:
        _log.info("%s", warning)
    return Calibration(calibrated, points, report)


def _points_again(keypoints: Keypoints2D, rig: Rig) -> Floats:
    """(T, 17, 3) by linear triangulation with true rotations: those of the linear solution need not be any."""
    kp = keypoints.to_skeleton(H36M17)
    C, T = kp.n_cameras, kp.n_frames
    x = np.stack([unproject_points(camera, xy) for camera, xy in zip(rig, kp.xy, strict=True)])
    focal = np.array([0.5 * (k[0, 0] + k[1, 1]) for k in rig.K])
    weight = np.where(np.isfinite(x).all(-1), kp.score, 0.0) * focal[:, None, None]
    return weighted_points(rig.R, rig.t, x.reshape(C, -1, 2), weight.reshape(C, -1)).reshape(T, 17, 3)


def _deviation_px(keypoints: Keypoints2D, rig: Rig, points: Floats, out: Lee2022Result) -> float:
    """Robust deviation of one coordinate of what the cameras stand on, px of the video."""
    residual = np.linalg.norm(reproject(points, rig) - keypoints.xy, axis=-1)[out.inliers]
    residual = residual[np.isfinite(residual)]
    return float(np.median(residual)) / 1.1774 if residual.size else float("inf")


def _as_solver_result(out: Lee2022Result, options: Lee2022Options, sigma: float) -> dict[str, Any]:
    """What build_report reads of ``_core.calibrate_bodies``; there is no covariance, and no focal probe."""
    bundle = {
        "covariance": None,
        "iterations": int(out.history.get("bundle_iterations", 0)),
        "stop": str(out.history.get("bundle_stop", "linear")),
    }
    return {
        "bundle": bundle,
        "sigma_px": sigma,
        "frames": np.flatnonzero(out.inliers.any((0, 2))),
        "start_pair": (0, 1),
        "focal_probed": False,
        "focal_factor": 1.0,
        "focal_factor_sigma": 0.0,
    }


def _plain(value: Any) -> Any:
    """JSON-like copy."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value

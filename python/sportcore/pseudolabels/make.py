"""From triangulated motion to what each camera should have seen in 3D."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.skeletons import H36M17
from sportcore.types import Camera, Keypoints2D, Points3D, PointStatus, Rig

from .labels import PseudoLabels
from .options import PseudoLabelOptions
from .smooth import whittaker_smooth
from .split import split_time

__all__ = ["make_pseudolabels"]

log = logging.getLogger(__name__)


def make_pseudolabels(
    keypoints: Keypoints2D, points: Points3D, rig: Rig, options: PseudoLabelOptions | None = None
) -> PseudoLabels:
    """Labels for a monocular lifter from a multi-view reconstruction.

    Each triangulated joint that passes the gates is carried into every camera, ``R_c X + t_c``, and weighted
    by its certainty relative to the pelvis. Joints without a label keep weight 0; nothing is filled in. Other
    skeletons than Human3.6M-17 are converted by name, in 2D and in 3D.

    Args:
        keypoints: 2D observations of C cameras over T frames.
        points: the joints triangulated from them.
        rig: the calibrated cameras, in the order of the keypoints or with the same names.
        options: gates, weights, split.

    Returns:
        The labels, with a count of what each gate took.

    Raises:
        InputError: cameras or frames that do not fit, or a recording too short for the split.
    """
    options = options or PseudoLabelOptions()
    rig = _matched(keypoints, rig)
    if points.n_frames != keypoints.n_frames:
        raise InputError(
            f"The points have {points.n_frames} frames, the keypoints {keypoints.n_frames}.",
            "Triangulate these very keypoints.",
        )
    keypoints = _undistorted(keypoints, rig)
    keypoints = keypoints.to_skeleton(H36M17)
    points = points.to_skeleton(H36M17)
    split = split_time(points.n_frames, options)

    valid, gates = _gate(points, options)
    variance = np.trace(np.nan_to_num(points.covariance), axis1=-2, axis2=-1) / 3  # (T, J) m^2
    xyz = np.where(valid[..., None], np.asarray(points.xyz, np.float64), np.nan)
    if options.smooth_cutoff_hz is not None:
        fps = keypoints.fps or points.fps
        if fps is None:
            log.warning("the frame rate is unknown: labels are not smoothed")
        elif options.smooth_cutoff_hz < 0.45 * fps:
            certainty = np.where(valid, 1.0 / np.maximum(variance, 1e-8), 0.0)
            xyz = whittaker_smooth(xyz, certainty, fps=fps, cutoff_hz=options.smooth_cutoff_hz)
    if options.scale == "baseline":
        xyz, rig = _in_baselines(xyz, rig)
    weight = valid.astype(np.float64)
    if options.sigma_half_weight_mm is not None:
        relative = variance + variance[:, :1]
        relative[:, 0] = variance[:, 0]
        weight = weight / (1.0 + relative / (options.sigma_half_weight_mm * 1e-3) ** 2)

    pose = np.einsum("cij,tnj->ctni", rig.R, xyz) + rig.t[:, None, None]
    with np.errstate(invalid="ignore"):
        behind = pose[..., 2] < options.min_depth_m  # False for NaN
    if options.scale == "baseline":
        with np.errstate(invalid="ignore"):
            behind = pose[..., 2] <= 0
    blind = keypoints.observed.sum(-1) < options.min_observed_joints  # (C, T)
    weights = np.where(behind | blind[..., None], 0.0, weight[None])
    weights[behind[..., 0]] = 0.0  # no pelvis, no root-relative pose
    pose = np.where(behind[..., None], np.nan, pose)
    gates["camera_frames_without_person"] = int(blind.sum())
    gates["camera_joints_behind_camera"] = int(behind.sum())
    sizes = keypoints.image_sizes if keypoints.image_sizes is not None else rig.image_sizes
    labels = PseudoLabels(
        xy=keypoints.xy, score=keypoints.score, K=rig.K, image_size=sizes, pose_cam_m=pose, weight=weights,
        split=split, up_cam=rig.R[:, :, 2], fps=keypoints.fps or points.fps, names=rig.names, options=options,
        gates=gates,
    )  # fmt: skip
    log.info("pseudo-labels: %s", labels.summary())
    return labels


def _matched(keypoints: Keypoints2D, rig: Rig) -> Rig:
    if keypoints.names is not None and set(keypoints.names) == set(rig.names):
        return rig.subset(keypoints.names)
    if len(rig) != keypoints.n_cameras:
        raise InputError(
            f"The rig has {len(rig)} cameras ({', '.join(rig.names)}), the keypoints {keypoints.n_cameras} "
            f"({', '.join(keypoints.camera_names)}).",
            "Pass the cameras of these keypoints.",
        )
    return rig


def _gate(points: Points3D, options: PseudoLabelOptions) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """(T, J) which joints are labels, and how many each gate took."""
    left = np.ones(points.status.shape, dtype=bool)
    gates: dict[str, int] = {}

    def take(name: str, bad: NDArray[np.bool_]) -> None:
        gates[name] = int((left & bad).sum())
        left[bad] = False

    for status in PointStatus:
        if status != PointStatus.OK:
            take(f"status_{status.name.lower()}", points.status == status)
    take("not_finite", np.asarray(~np.isfinite(points.xyz).all(-1)))
    take("views", np.asarray(points.n_views < options.min_views))
    if options.max_sigma_mm is not None:
        sigma = points.sigma_m * 1000
        take("sigma", ~np.isfinite(sigma) | (np.nan_to_num(sigma) > options.max_sigma_mm))
    if options.max_residual_px is not None:
        used = points.inlier & np.isfinite(points.residual_px)
        squared = np.where(used, np.nan_to_num(points.residual_px) ** 2, 0.0).sum(0)
        rms = np.sqrt(squared / np.maximum(used.sum(0), 1))
        take("residual", rms > options.max_residual_px)
    take("pelvis_missing", np.broadcast_to(~left[:, :1], left.shape).copy())
    gates["passed"] = int(left.sum())
    gates["joints"] = int(left.size)
    return left, gates


def _undistorted(keypoints: Keypoints2D, rig: Rig) -> Keypoints2D:
    """The keypoints as an undistorted camera with the same K would have seen them."""
    if not any(_distorted(camera) for camera in rig):
        return keypoints
    from sportcore.points3d import unproject_rays

    xy = keypoints.xy.copy()
    for c, camera in enumerate(rig):
        if not _distorted(camera):
            continue
        seen = np.isfinite(xy[c]).all(-1)
        rays = np.asarray(unproject_rays(camera, xy[c][seen]), dtype=np.float64)
        if rays.shape[-1] == 3:
            rays = rays[..., :2] / rays[..., 2:]
        K = camera.K
        xy[c][seen] = np.stack(
            [K[0, 0] * rays[:, 0] + K[0, 1] * rays[:, 1] + K[0, 2], K[1, 1] * rays[:, 1] + K[1, 2]], -1
        )
    return keypoints.replace(xy=xy)


def _distorted(camera: Camera) -> bool:
    # A fisheye camera bends rays even with all coefficients zero.
    return camera.model == "fisheye" or bool(np.any(camera.distortion != 0))


def _in_baselines(xyz: NDArray[np.float64], rig: Rig) -> tuple[NDArray[np.float64], Rig]:
    if len(rig) < 2:
        raise InputError("Labels in units of the camera baseline need two cameras.")
    baseline = float(np.linalg.norm(rig[1].center_world - rig[0].center_world))
    if not baseline > 0:
        raise InputError(f"Cameras {rig[0].name!r} and {rig[1].name!r} stand in the same place: no baseline.")
    return xyz / baseline, rig.with_poses(rig.R, rig.t / baseline)

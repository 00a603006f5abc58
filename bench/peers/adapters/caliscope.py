"""caliscope: essential matrices, resection, bundle adjustment with SciPy; needs neither poses nor monocular 3D.

``defaults`` is its one-call pipeline. ``best``: intrinsics are known, so they are held; the adjustment keeps its robust
loss to the end (the pipeline closes with plain squares); more than the usual 2.5 % of the observations are dropped.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from caliscope.api import CalibrationError, CameraArray, CameraData, CaptureVolume, ImagePoints, calibrate_extrinsics

DISTRIBUTION = "caliscope"
REFUSALS = (CalibrationError,)
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {},
    "best": {"robust_to_the_end": True, "percentile": 10.0},
}


def prepare(scene: dict[str, np.ndarray]) -> tuple[ImagePoints, CameraArray]:
    logging.disable(logging.INFO)
    cam, frame, joint = np.nonzero(np.isfinite(scene["xy"][..., 0]) & (scene["score"] > 0))
    xy = scene["xy"][cam, frame, joint]
    table = pd.DataFrame(
        {
            "sync_index": frame,
            "cam_id": cam,
            "frame_index": frame,
            "frame_time": frame / float(scene["fps"]),
            "object_id": 0,
            "keypoint_id": joint,
            "img_loc_x": xy[:, 0],
            "img_loc_y": xy[:, 1],
        }
    )
    cameras = {
        c: CameraData(
            cam_id=c, size=tuple(int(v) for v in scene["image_sizes"][c]), matrix=K.copy(), distortions=np.zeros(5)
        )
        for c, K in enumerate(scene["K"])
    }
    return ImagePoints(table), CameraArray(cameras)


def solve(
    data: tuple[ImagePoints, CameraArray], robust_to_the_end: bool = False, percentile: float = 2.5
) -> tuple[np.ndarray, np.ndarray]:
    points, cameras = data
    if robust_to_the_end:
        volume = CaptureVolume.bootstrap(points, cameras).optimize(refine_intrinsics=False)
        robust = {"loss": "soft_l1", "max_nfev": 2000, "ftol": 1e-4, "strict": False, "refine_intrinsics": False}
        volume = volume.optimize(f_scale=volume.pixel_f_scale(px=1.0), **robust)
        volume = volume.filter_by_percentile_error(percentile)
        volume = volume.optimize(f_scale=volume.pixel_f_scale(px=1.0), **robust)
    else:
        volume = calibrate_extrinsics(points, cameras, None).capture_volume
    found = volume.camera_array.posed_cameras
    lost = sorted(set(cameras.cameras) - set(found))
    if lost:
        raise CalibrationError(f"cameras {lost} were left without a pose")
    R = np.array([found[c].rotation for c in sorted(found)])
    t = np.array([np.ravel(found[c].translation) for c in sorted(found)])
    return R, t

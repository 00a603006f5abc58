"""humancalib: placed monocular poses, Procrustes to one camera, outlier frames, bundle adjustment.

Driven through its own functions in the order of its command line (which wants videos): frames by budget, a start,
frames with bad residuals dropped and the start repeated, two passes of adjustment with the analytic Jacobian. The
monocular poses are in metres, as those that it places itself; its bone term depends on the unit, and in millimetres
scenes came out worse and the adjustment did not end where there are outliers. ``best``: all of 300 frames instead of
100. Its robust losses were tried (soft L1 2 px, Huber 3 px, Cauchy 3 px): with outliers none ended within 30 s.
"""

from __future__ import annotations

import logging
import os

import numpy as np

os.environ.setdefault("TQDM_DISABLE", "1")

from humancalib.calibration.ba import ba_main
from humancalib.calibration.calib_linear import calib_procrustes, place_in_camera
from humancalib.core.sampling import budget_frame_skip
from humancalib.pipeline.detect_outlier_frames import detect_outliers, per_frame_reproj_errors
from humancalib.postprocessing.evaluate_calibration import triangulate_skeleton

DISTRIBUTION = "humancalib"
REFUSALS: tuple[type[Exception], ...] = ()
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {},
    "best": {"frame_budget": 300},
}
CONFIDENCE, ABS_PX, X_MEDIAN = 0.5, 50.0, 5.0  # defaults of `humancalib run`


def prepare(scene: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    logging.disable(logging.WARNING)
    rows = scene["monocular_joint"]
    poses = np.where((rows >= 0)[:, None], scene["monocular_3d"][:, :, rows], np.nan)
    known = np.isfinite(poses).all(-1)
    seen = np.isfinite(scene["xy"]).all(-1)
    return {
        "K": scene["K"],
        "p2d": np.where(seen[..., None], scene["xy"], 0.0),
        "s2d": np.where(seen, scene["score"], 0.0),
        "p3d": np.where(known[..., None], poses, 0.0),
        "s3d": (known & seen).astype(float),
        "bones": scene["bones"],
        "image_size": scene["image_sizes"][0],
    }


def solve(data: dict[str, np.ndarray], frame_budget: int = 100) -> tuple[np.ndarray, np.ndarray]:
    K, skip = data["K"], budget_frame_skip(data["p2d"].shape[1], frame_budget)
    p2d, s2d = data["p2d"], data["s2d"].copy()
    p3d, s3d = data["p3d"], data["s3d"].copy()

    def start() -> tuple[np.ndarray, np.ndarray]:
        every = slice(None, None, skip)
        placed, placed_score = place_in_camera(
            p3d[:, every], s3d[:, every], p2d[:, every], s2d[:, every], K, CONFIDENCE
        )
        R, t, _ = calib_procrustes(placed, placed_score, K, p2d[:, every], s2d[:, every], CONFIDENCE)
        return R, t

    R, t = start()
    points = triangulate_skeleton(p2d, s2d, K, R, t, CONFIDENCE)
    errors = per_frame_reproj_errors(p2d, s2d, points, K, R, t, CONFIDENCE)
    bad = detect_outliers(errors, ABS_PX, X_MEDIAN)
    for camera, frames in enumerate(bad):
        if frames:
            s2d[camera, sorted(frames)] = 0.0
            s3d[camera, sorted(frames)] = 0.0
    if any(bad):
        R, t = start()
    width, height = (int(v) for v in data["image_size"])
    R, t, _, _ = ba_main(
        np.arange(1, len(K) + 1), K, R, t, p2d[:, ::skip], s2d[:, ::skip], p3d[:, ::skip], s3d[:, ::skip], 1.0, 1.0,
        CONFIDENCE, data["bones"], img_size=(width, height), jac_mode="analytic",
    )  # fmt: skip
    return np.asarray(R), np.asarray(t).reshape(-1, 3)

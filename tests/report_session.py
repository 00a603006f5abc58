"""A synthetic session for the tests of the report: athlete, cameras, noise, gaps and known numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sportcore.report import ReportData
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, observe, project_truth, ring_cameras


def session(
    frames: int = 100, cameras: int = 4, seed: int = 3, fps: float = 50.0, monocular: bool = True, **changes: Any
) -> ReportData:
    """A full ReportData; ``changes`` replace single fields."""
    rng = np.random.default_rng(seed)
    truth = athlete(frames, fps, seed, "run", height_m=1.8)
    rig = ring_cameras(cameras, seed)
    keypoints, _ = observe(
        truth, rig, seed, sigma_px=3.0, outliers=0.03, missing=0.04, correlation=0.5, noise_spread=0.4, fps=fps
    )
    xy, score = np.array(keypoints.xy), np.array(keypoints.score)
    T, J = truth.shape[:2]
    xy[1 % cameras, T // 3 : T // 3 + 9] = np.nan
    score[~np.isfinite(xy).all(-1)] = 0
    points = truth + rng.normal(0, 0.006, truth.shape)
    status = np.zeros((T, J), np.uint8)
    status[rng.random((T, J)) < 0.02] = 5
    status[T // 2 : T // 2 + 4, 13] = 1
    points[status > 0] = np.nan
    projected = np.stack([project_truth(points, camera)[0] for camera in rig])
    residual = np.linalg.norm(xy - projected, axis=-1)
    inlier = residual < 15
    axes = rng.normal(size=(T, J, 3, 3)) * 0.3 + np.eye(3)
    covariance = np.einsum("tjab,tjcb->tjac", axes, axes) * 0.006**2
    covariance[status > 0] = np.nan
    data: dict[str, Any] = {
        "meta": {
            "title": "Sprint, lane 4", "session": "sessions/sprint-lane-4", "athlete": "A. Runner",
            "activity": "running",
            "date": "2026-05-03", "height_m": 1.8, "versions": {"sportcore": "0.1.0", "numpy": np.__version__},
            "options": {"detect": {"model": "blazepose-heavy"}, "calibrate": {"height_m": 1.8}},
            "files": [{"name": f"cam{i + 1:02d}.mp4", "bytes": 12_345_678 + i, "sha256": "ab12" * 16}
                      for i in range(cameras)],
            "hashes": {"detect": "0123456789abcdef", "calibrate": "fedcba9876543210"},
            "command": "sportcore run sprint",
        },
        "camera_names": rig.names, "joint_names": H36M17.joints, "bones": H36M17.bone_indices, "fps": fps,
        "image_sizes": rig.image_sizes, "K": rig.K, "R": rig.R, "t": rig.t, "keypoint_names": H36M17.joints,
        "keypoints_px": xy, "score": score, "points_world_m": points, "covariance_m2": covariance,
        "residual_px": residual, "inlier": inlier, "n_views": inlier.sum(0), "status": status,
        "rays": (xy - rig.K[:, None, None, :2, 2]) / rig.K[:, None, None, [0, 1], [0, 1]],
        "calibration": {
            "names": list(rig.names), "scale_source": "stature 1.80 m", "scale_sigma_rel": 0.021,
            "gravity_source": "trunk direction over all frames", "gravity_sigma_deg": 1.4,
            "floor_source": "lowest feet", "floor_sigma_m": 0.017, "center_sigma_m": [0.03] * cameras,
            "connectivity": rng.integers(900, 1600, (cameras, cameras)).tolist(), "grade": "good", "warnings": [],
            "time_offsets_s": [0.0, *rng.normal(0, 0.004, cameras - 1)],
        },
        "tracks": {
            "cameras": [
                {"name": n, "person_frames": T, "observed": 0.95, "swapped_frames": i, "ambiguous_frames": 2,
                 "rejected": {"outlier": 7 + i, "frozen": 0}, "short_gaps": 12, "long_gaps": 1, "longest_gap_s": 0.18,
                 "sigma_px": 3.2}
                for i, n in enumerate(rig.names)
            ],
            "swaps": [{"camera": rig.names[-1], "part": "legs", "first_frame": 12, "last_frame": 17,
                       "confidence": 0.97}],
        },
        "sync": {
            "fps": fps, "notes": ["cam02: late by 2 ms; nothing to correct."],
            "cameras": [{"name": n, "frames": T, "fps": fps, "offset_s": 0.0021 * i, "offset_sigma_s": 0.001}
                        for i, n in enumerate(rig.names)],
        },
        "timings_s": {"detect": 61.2, "calibrate": 8.4, "triangulate": 0.6, "finetune": 140.0},
        "warnings": ({"severity": "info", "message": "cam02 has a gap of 9 frames.",
                      "remedy": "Nothing: it is marked."},),
    }  # fmt: skip
    if monocular:
        in_camera = np.einsum("cij,tkj->ctki", rig.R, truth)
        relative = in_camera - in_camera[:, :, :1]
        bias = rng.normal(0, 1, (cameras, 1, J, 3))
        data["monocular_before_m"] = relative + 0.06 * bias + rng.normal(0, 0.015, relative.shape)
        data["monocular_after_m"] = relative + 0.025 * bias + rng.normal(0, 0.01, relative.shape)
        data["heldout"] = np.arange(T) >= int(T * 0.8)
        steps = np.arange(14)
        data["lifting"] = {
            "reference": "multi-view triangulation", "model": "base", "tuned_model": "tuned.safetensors",
            "metric": True,
            "history": [
                {"epoch": int(e), "train_loss": 0.08 * np.exp(-e / 4) + 0.02, "val_mpjpe": 55 + 45 * np.exp(-e / 3)}
                for e in steps
            ],
        }  # fmt: skip
    data.update(changes)
    return ReportData(**data)

"""Metrics: errors of poses, joint angles, bones and cameras against a truth, NaN-aware, NumPy only."""

from __future__ import annotations

from .align import Similarity, umeyama
from .angles import ANGLE_NAMES, joint_angle_errors_deg, joint_angles_deg
from .aspset import ASPSET17_JOINTS, aspset17_to_h36m17
from .cameras import CameraErrors, camera_errors, rotation_angle_deg
from .metrics import (
    EXCLUSION_PRESETS,
    bone_length_spread,
    excluded_joints,
    joint_errors_mm,
    mpjpe,
    n_mpjpe,
    pa_mpjpe,
    spa_mpjpe,
    velocity_error,
)
from .results import EvaluationResult, evaluate

__all__ = [
    "ANGLE_NAMES",
    "ASPSET17_JOINTS",
    "EXCLUSION_PRESETS",
    "CameraErrors",
    "EvaluationResult",
    "Similarity",
    "aspset17_to_h36m17",
    "bone_length_spread",
    "camera_errors",
    "evaluate",
    "excluded_joints",
    "joint_angle_errors_deg",
    "joint_angles_deg",
    "joint_errors_mm",
    "mpjpe",
    "n_mpjpe",
    "pa_mpjpe",
    "rotation_angle_deg",
    "spa_mpjpe",
    "umeyama",
    "velocity_error",
]

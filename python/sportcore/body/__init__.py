"""Body meshes: skinning weights, forward kinematics and linear blend skinning, differentiable in torch."""

from __future__ import annotations

from .kinematics import LbsResult, lbs, pose_transforms, rotation_matrices
from .skinning import SkinWeights, skin

__all__ = ["LbsResult", "SkinWeights", "lbs", "pose_transforms", "rotation_matrices", "skin"]

"""3D points from several views: projection, triangulation, and why a point is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .operations import camera_tensors, project, triangulate_linear
from .projection import camera_array, project_points, reproject, reproject_batch, unproject_points, unproject_rays
from .triangulation import TriangulateOptions, TriangulateResult, triangulate, triangulate_batch

if TYPE_CHECKING:
    from .autograd import CameraTensors

__all__ = [
    "CameraTensors",
    "TriangulateOptions",
    "TriangulateResult",
    "camera_array",
    "camera_tensors",
    "project",
    "project_points",
    "reproject",
    "reproject_batch",
    "triangulate",
    "triangulate_batch",
    "triangulate_linear",
    "unproject_points",
    "unproject_rays",
]


def __getattr__(name: str) -> Any:
    if name == "CameraTensors":  # needs torch, which the rest of this package does without
        from .autograd import CameraTensors

        return CameraTensors
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

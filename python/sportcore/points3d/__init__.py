"""3D points from several views: projection, triangulation, and why a point is missing."""

from __future__ import annotations

from .projection import camera_array, project_points, reproject, reproject_batch, unproject_points, unproject_rays
from .triangulation import TriangulateOptions, TriangulateResult, triangulate, triangulate_batch

__all__ = [
    "TriangulateOptions",
    "TriangulateResult",
    "camera_array",
    "project_points",
    "reproject",
    "reproject_batch",
    "triangulate",
    "triangulate_batch",
    "unproject_points",
    "unproject_rays",
]

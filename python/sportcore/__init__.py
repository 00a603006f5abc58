"""sportcore: calibrated cameras, 3D motion and an adapted monocular model from a few ordinary cameras.

The names below are the public surface; everything else may move. Importing the package needs NumPy, SciPy and
OpenCV only: the detector, the lifter and the report are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from .errors import (
    Cancelled,
    DegenerateError,
    DeviceError,
    InputError,
    MissingExtraError,
    SportcoreError,
    WeightsError,
)
from .skeletons import (
    BLAZEPOSE33,
    BODY25,
    COCO17,
    H36M17,
    HALPE26,
    Skeleton,
    coco17_to_h36m17,
    convert,
    get_skeleton,
)
from .types import Calibration, CalibrationReport, Camera, Keypoints2D, Points3D, PointStatus, Rig

try:
    __version__ = version("sportcore")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0.1.0"

# Loaded on first use: name -> module that defines it.
_LAZY = {
    "TriangulateOptions": "points3d",
    "project_points": "points3d",
    "reproject": "points3d",
    "reproject_batch": "points3d",
    "triangulate": "points3d",
    "triangulate_batch": "points3d",
    "CalibrateOptions": "cameras",
    "calibrate": "cameras",
    "read_rig": "io",
    "write_rig": "io",
    "read_keypoints": "io",
    "write_keypoints": "io",
    "Lifter": "lifting",
    "load_lifter": "lifting",
    "run": "pipeline",
}

if TYPE_CHECKING:
    from .cameras import CalibrateOptions, calibrate  # type: ignore[no-redef]
    from .io import read_keypoints, read_rig, write_keypoints, write_rig
    from .lifting import Lifter, load_lifter
    from .pipeline import run
    from .points3d import (
        TriangulateOptions,
        project_points,
        reproject,
        reproject_batch,
        triangulate,
        triangulate_batch,
    )

__all__ = [
    "BLAZEPOSE33",
    "BODY25",
    "COCO17",
    "Calibration",
    "CalibrationReport",
    "CalibrateOptions",
    "Camera",
    "Cancelled",
    "DegenerateError",
    "DeviceError",
    "H36M17",
    "HALPE26",
    "InputError",
    "Keypoints2D",
    "Lifter",
    "MissingExtraError",
    "PointStatus",
    "Points3D",
    "Rig",
    "Skeleton",
    "SportcoreError",
    "TriangulateOptions",
    "WeightsError",
    "__version__",
    "calibrate",
    "coco17_to_h36m17",
    "convert",
    "get_skeleton",
    "load_lifter",
    "project_points",
    "read_keypoints",
    "read_rig",
    "reproject",
    "reproject_batch",
    "run",
    "triangulate",
    "triangulate_batch",
    "write_keypoints",
    "write_rig",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

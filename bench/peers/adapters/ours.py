"""sportcore itself, through its public call."""

from __future__ import annotations

import dataclasses

import numpy as np

import sportcore as sc
from sportcore.errors import SportcoreError

DISTRIBUTION = "sportcore"
VERSION = sc.__version__  # a development tree has no metadata
REFUSALS = (SportcoreError,)
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {},
    "lifter": {"lifter": True},  # with the monocular poses that humancalib gets
    "lee2022": {"method": "lee2022", "lifter": True},  # the published method, where this version has it
}


def has_method(name: str) -> bool:
    """Whether ``CalibrateOptions`` knows the method."""
    return any(f.name == name for f in dataclasses.fields(sc.CalibrateOptions))


def prepare(scene: dict[str, np.ndarray]) -> tuple[sc.Keypoints2D, sc.Rig, np.ndarray]:
    names = tuple(str(n) for n in scene["names"])
    sizes = scene["image_sizes"]
    rig = sc.Rig(
        tuple(
            sc.Camera(n, tuple(s.tolist()), K, model="pinhole")
            for n, s, K in zip(names, sizes, scene["K"], strict=True)
        )
    )
    keypoints = sc.Keypoints2D(
        scene["xy"], scene["score"], str(scene["skeleton"]), fps=float(scene["fps"]), names=names, image_sizes=sizes
    )
    return keypoints, rig, scene["monocular_3d"]


def solve(
    data: tuple[sc.Keypoints2D, sc.Rig, np.ndarray], lifter: bool = False, method: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    keypoints, rig, monocular_3d = data
    options = sc.CalibrateOptions() if method is None else sc.CalibrateOptions(method=method)  # type: ignore[call-arg]
    calibration = sc.calibrate(keypoints, rig, options, monocular_3d=monocular_3d if lifter else None)
    return np.asarray(calibration.rig.R), np.asarray(calibration.rig.t)

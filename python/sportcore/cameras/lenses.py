"""Lenses that are only roughly known: what the adjustment may move, and whether the recording tells it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Rig
from .checks import Complaints
from .options import CalibrateOptions

__all__ = [
    "MOST_LENS_ROUNDS", "lens_arguments", "lenses_moved", "with_free_distortion", "with_refined_lenses",
    "with_result_lenses",
]  # fmt: skip

MOST_LENS_ROUNDS = 2
MOVED = 0.01  # relative change of a focal length after which the observations are chosen anew

FOCAL_SIGMA = 0.15  # prior of the log of a focal length: phones and zooms
K1_SIGMA = 0.05
UNKNOWN_FOCAL = 0.02  # a focal length with a larger relative deviation is not determined
INFORMED = 0.7  # a parameter whose deviation stays above this share of its prior was not observable


def lens_arguments(options: CalibrateOptions, rig: Rig) -> dict[str, Any]:
    """Arguments of ``_core.calibrate_bodies`` that say which parts of the lenses are free, and their priors."""
    return {
        "focal": options.refine_focal, "focal_sigma": FOCAL_SIGMA,
        "radial": options.refine_distortion, "radial_sigma": K1_SIGMA,
    }  # fmt: skip


def with_free_distortion(rig: Rig) -> Rig:
    """Pinhole cameras become Brown-Conrady ones with zero coefficients, so that k1 can move."""
    return Rig(tuple(c.replace(model="brown", distortion=(0.0,) * 4) if c.model == "pinhole" else c for c in rig))


def with_refined_lenses(
    rig: Rig, result: dict[str, Any], options: CalibrateOptions, complaints: Complaints
) -> tuple[Rig, dict[str, Any]]:
    """The cameras with the lenses that the adjustment found, and what is known of them.

    Args:
        rig: C cameras.
        result: of ``_core.calibrate_bodies``.
        options: which parts were free.
        complaints: gets a warning for each part that the recording does not determine.

    Returns:
        the cameras, and for the report ``lens_change`` (name -> focal factor, k1)
        and ``lens_sigma`` (name -> one standard deviation of each).
    """
    if options.refine_focal == "none" and not options.refine_distortion:
        return rig, {}
    sigma = _sigmas(result["bundle"], len(rig))
    priors = {"k1": K1_SIGMA}
    refined = with_result_lenses(rig, result)
    change: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for c, (camera, (fx, _, _, _, k1)) in enumerate(zip(rig, np.asarray(result["lens"], float), strict=True)):
        change[camera.name] = {
            "focal_factor": float(fx / camera.K[0, 0]), "k1": float(k1),
        }  # fmt: skip
        spread[camera.name] = sigma[c]
        focal = sigma[c].get("log_focal")
        if focal is not None and not focal < UNKNOWN_FOCAL:
            complaints.warn(
                f"Camera {camera.name!r}: the recording does not tell its focal length (+-{100 * focal:.1f} %). "
                "Let the athlete come near and go far, or calibrate the lens with a board."
            )
        for key, prior in priors.items():
            if key in sigma[c] and not sigma[c][key] < INFORMED * prior:
                complaints.warn(
                    f"Camera {camera.name!r}: {key} is not observable in this recording and stays near what was given. "
                    "Let the athlete use the whole image, or leave it out of the refinement."
                )
    return refined, {"lens_change": change, "lens_sigma": spread}


def lenses_moved(rig: Rig, result: dict[str, Any]) -> bool:
    """Whether a focal length of the result is more than a percent from the rig's."""
    lens = np.asarray(result["lens"], float)
    return bool(np.abs(lens[:, 0] / rig.K[:, 0, 0] - 1).max() > MOVED)


def with_result_lenses(rig: Rig, result: dict[str, Any], *, focal_only: bool = False) -> Rig:
    """The cameras with the focal lengths, and unless ``focal_only`` the principal points and k1, of a result of
    ``_core.calibrate_bodies``.
    """
    cameras = []
    for camera, (fx, fy, cx, cy, k1) in zip(rig, np.asarray(result["lens"], float), strict=True):
        K = camera.K.copy()
        K[0, 0], K[1, 1] = fx, fy
        if focal_only:
            cameras.append(camera.replace(K=K))
            continue
        K[0, 2], K[1, 2] = cx, cy
        distortion: tuple[float, ...] = tuple(float(k) for k in camera.distortion)
        if k1 != (distortion[0] if len(distortion) else 0.0):
            distortion = (float(k1), *(distortion or (0.0,) * 4)[1:])
        cameras.append(camera.replace(K=K, distortion=distortion))
    return Rig(tuple(cameras))


def _sigmas(bundle: dict[str, Any], C: int) -> list[dict[str, float]]:
    out: list[dict[str, float]] = [{} for _ in range(C)]
    covariance = bundle["covariance"]
    for i, (kind, camera) in enumerate(bundle["extra"]):
        value = float("inf") if covariance is None else float(np.sqrt(max(covariance[6 * C + i, 6 * C + i], 0.0)))
        for c in range(C) if camera < 0 else [camera]:
            out[c][kind] = value
    return out

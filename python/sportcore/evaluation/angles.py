"""Joint angles, as a coach reads them: the angle between the two segments that meet in a joint, in degrees.

180 degrees is a straight limb. The hip angle is taken between thigh and trunk (hip to the shoulder of the
same side), the shoulder angle between upper arm and trunk (shoulder to the hip of the same side), the ankle
angle between shank and foot. These are included angles: they carry no direction (flexion or hyper-extension)
and no axial rotation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.skeletons import H36M17, Skeleton, get_skeleton

__all__ = ["ANGLE_NAMES", "joint_angle_errors_deg", "joint_angles_deg"]

FloatArray = NDArray[np.float64]

ANGLE_NAMES = ("hip", "knee", "ankle", "shoulder", "elbow")
"""Angles known, each for the left and the right side where the skeleton has the joints."""

# (first joint, vertex, second joint); alternatives in order of preference.
_TRIPLES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "hip": (("shoulder", "hip", "knee"),),
    "knee": (("hip", "knee", "ankle"),),
    "ankle": (("knee", "ankle", "big_toe"), ("knee", "ankle", "foot_index")),
    "shoulder": (("hip", "shoulder", "elbow"),),
    "elbow": (("shoulder", "elbow", "wrist"),),
}


def _angle_triples(skeleton: Skeleton) -> dict[str, tuple[int, int, int]]:
    out: dict[str, tuple[int, int, int]] = {}
    for name in ANGLE_NAMES:
        for side in ("left", "right"):
            for triple in _TRIPLES[name]:
                joints = [f"{side}_{joint}" for joint in triple]
                if all(skeleton.has(joint) for joint in joints):
                    a, b, c = (skeleton.index(joint) for joint in joints)
                    out[f"{side}_{name}"] = (a, b, c)
                    break
    return out


def joint_angles_deg(points: ArrayLike, skeleton: str | Skeleton = H36M17) -> dict[str, FloatArray]:
    """Included angle at hips, knees, ankles, shoulders and elbows.

    Args:
        points: (..., J, 3) joints in any length unit, NaN where missing.
        skeleton: joint order; angles whose joints it lacks (the ankle without a toe) are left out.

    Returns:
        ``{"left_knee": (...) degrees in [0, 180], ...}``, NaN where one of the three joints is missing or
        coincides with the vertex.

    Raises:
        InputError: the joint axis does not fit the skeleton.
    """
    skel = get_skeleton(skeleton)
    x = np.asarray(points, dtype=np.float64)
    if x.ndim < 2 or x.shape[-2:] != (skel.n_joints, 3):
        raise InputError(f"Expected (..., {skel.n_joints}, 3) points for {skel.name!r}, got {x.shape}.")
    out = {}
    for name, (a, b, c) in _angle_triples(skel).items():
        u = x[..., a, :] - x[..., b, :]
        v = x[..., c, :] - x[..., b, :]
        # atan2 of sine and cosine keeps full precision near 0 and 180 degrees, where arccos loses digits.
        sine = np.linalg.norm(np.cross(u, v), axis=-1)
        cosine = np.einsum("...i,...i->...", u, v)
        angle = np.degrees(np.arctan2(sine, cosine))
        extent = np.einsum("...i,...i->...", u, u) * np.einsum("...i,...i->...", v, v)
        out[name] = np.where(extent > 0, angle, np.nan)
    return out


def joint_angle_errors_deg(pred: ArrayLike, truth: ArrayLike, skeleton: str | Skeleton = H36M17) -> dict[str, float]:
    """Mean absolute difference of each joint angle, degrees, over the frames in which both are defined.

    Needs no alignment: angles do not change under a similarity.
    """
    p, y = joint_angles_deg(pred, skeleton), joint_angles_deg(truth, skeleton)
    out = {}
    for name, angle in p.items():
        if angle.shape != y[name].shape:
            raise InputError(f"Poses must have equal shapes, got angles {angle.shape} and {y[name].shape}.")
        difference = np.abs(angle - y[name])
        difference = difference[np.isfinite(difference)]
        out[name] = float(difference.mean()) if difference.size else float("nan")
    return out

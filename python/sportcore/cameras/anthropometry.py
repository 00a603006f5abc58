"""Which joints carry the calibration, and what a stature says about bone lengths.

Fractions of stature: R. Drillis, R. Contini, "Body segment parameters" (1966), as given by D. A. Winter,
"Biomechanics and Motor Control of Human Movement", figure 4.1: ankle height 0.039, shank 0.285 - 0.039 = 0.246, thigh
0.530 - 0.285 = 0.245, hips to shoulders 0.818 - 0.530 = 0.288, upper arm 0.186, forearm 0.146. A vertex ("head") joint
stands 1 - 0.039 = 0.961 above the ankles. The relative deviations next to them cover both how people differ from
these averages (about 3-4 % per segment) and that a detector's hip or shoulder is not the anatomical joint centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..skeletons import Skeleton

__all__ = ["ANKLE_HEIGHT", "FOOT_HEIGHTS_M", "SEGMENTS", "Segment", "calibration_joints", "stature_from_points"]

# Small or soft places that detectors guess rather than see, and that add nothing to what their neighbours say.
_LEFT_OUT = ("eye", "mouth", "pinky", "thumb", "small_toe", "left_index", "right_index")

ANKLE_HEIGHT = 0.039  #: of stature
#: Height of foot landmarks above the floor when the foot stands flat, metres (adult shoes; about 1 cm uncertain).
FOOT_HEIGHTS_M = {"heel": 0.03, "foot_index": 0.02, "big_toe": 0.02}


@dataclass(frozen=True)
class Segment:
    """A length of the body: pairs of (means of) joints that measure it, its share of stature, its spread."""

    name: str
    ends: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    fraction: float
    sigma_rel: float


def _sides(a: str, b: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    return tuple(((f"{s}_{a}",), (f"{s}_{b}",)) for s in ("left", "right"))


SEGMENTS: tuple[Segment, ...] = (
    Segment("shank", _sides("knee", "ankle"), 0.246, 0.04),
    Segment("thigh", _sides("hip", "knee"), 0.245, 0.05),
    Segment("trunk", ((("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")),), 0.288, 0.06),
    Segment("upper arm", _sides("shoulder", "elbow"), 0.186, 0.06),
    Segment("forearm", _sides("elbow", "wrist"), 0.146, 0.06),
)
# What the segments have in common (one detector, one body) does not average out.
COMMON_SIGMA_REL = 0.025


def calibration_joints(skeleton: Skeleton) -> list[int]:
    """Indices of the joints that carry the calibration: the body, without face, fingers and small toes."""
    keep = [i for i, name in enumerate(skeleton.joints) if not any(part in name for part in _LEFT_OUT)]
    return keep or list(range(skeleton.n_joints))


def mean_joint(
    points: NDArray[np.float64], joints: dict[str, int], names: tuple[str, ...]
) -> NDArray[np.float64] | None:
    """(T, 3) mean of some joints, or None when the skeleton lacks one."""
    if not all(n in joints for n in names):
        return None
    return np.asarray(np.mean([points[:, joints[n]] for n in names], axis=0))


def stature_from_points(points: NDArray[np.float64], joints: dict[str, int]) -> tuple[float, float, dict[str, float]]:
    """Stature in the unit of the points from segment lengths.

    Args:
        points: (T, J, 3), NaN where missing.
        joints: joint name -> index.

    Returns:
        ``(stature, relative sigma, stature by segment)``; NaN when no segment was measured. The stature is the mean of
        the segments' votes, weighted by how well each predicts stature.
    """
    votes: dict[str, float] = {}
    weights = []
    for segment in SEGMENTS:
        lengths = []
        for a, b in segment.ends:
            pa, pb = mean_joint(points, joints, a), mean_joint(points, joints, b)
            if pa is None or pb is None:
                continue
            length = np.linalg.norm(pa - pb, axis=-1)
            length = length[np.isfinite(length)]
            if length.size >= 5:
                lengths.append(float(np.median(length)))
        if lengths:
            votes[segment.name] = float(np.mean(lengths)) / segment.fraction
            weights.append(1 / segment.sigma_rel**2)
    if not votes:
        return float("nan"), float("nan"), votes
    values = np.array(list(votes.values()))
    w = np.array(weights) / np.sum(weights)
    stature = float(np.exp(w @ np.log(values)))
    return stature, float(np.hypot(COMMON_SIGMA_REL, 1 / np.sqrt(np.sum(weights)))), votes

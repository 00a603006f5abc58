"""Which joints carry the calibration, and what lengths of the body say about its stature.

Two ways. Where a head was reconstructed, legs, trunk and head are added up: the whole needs no shares of it, and where
a detector places hips and shoulders along the body does not matter, since what one part gains another loses. Else each
segment votes with its share of stature.

Fractions of stature: R. Drillis, R. Contini, "Body segment parameters" (1966), as given by D. A. Winter,
"Biomechanics and Motor Control of Human Movement", figure 4.1: ankle height 0.039, shank 0.285 - 0.039 = 0.246, thigh
0.530 - 0.285 = 0.245, hips to shoulders 0.818 - 0.530 = 0.288, upper arm 0.186, forearm 0.146. The crown ("head" joint)
stands 1 - 0.039 above the ankles. The ears (tragion) stand 0.131 m under a crown of 1.756 m (means of men in C. C.
Gordon et al., "2012 Anthropometric Survey of U.S. Army Personnel"), and a hand's breadth before the shoulders, which
makes the way from shoulders to ears longer by 0.004 of stature. The relative deviations cover both how people differ
from these averages (about 3-4 % per segment) and that a detector's hip or shoulder is not the anatomical joint centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..skeletons import Skeleton

__all__ = [
    "ANKLE_HEIGHT", "FOOT_HEIGHTS_M", "SEGMENTS", "Segment", "Stature", "calibration_joints", "stature_from_points",
]  # fmt: skip

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


@dataclass(frozen=True)
class _Head:
    """Where the way up the body ends: joints, their height above the ankles as a share of stature, deviations."""

    joints: tuple[str, ...]
    fraction: float
    sigma_rel: float  #: of people: bearing, height of the ankles and the head
    common_sigma_rel: float  #: of a detector


_HEADS = (
    _Head(("head",), 1 - ANKLE_HEIGHT, 0.010, 0.010),
    _Head(("left_ear", "right_ear"), 1 - ANKLE_HEIGHT - 0.131 / 1.756 + 0.004, 0.015, 0.015),
)
_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
#: Ways from the hips to the head, the one that follows the spine best first.
_TRUNKS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (_HIPS, ("spine",), ("thorax",)),
    (_HIPS, ("thorax",)),
    (_HIPS, _SHOULDERS),
)


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


class Stature(NamedTuple):
    """Stature of a body from its lengths.

    Attributes:
        value: in the unit of the points; NaN when nothing was measured.
        sigma_rel: relative standard deviation.
        common_sigma_rel: the part of it that is the same for all people seen by one detector.
        votes: statures by segment, ``"whole body"`` among them where a head was seen. They do not all enter ``value``.
    """

    value: float
    sigma_rel: float
    common_sigma_rel: float
    votes: dict[str, float]


def stature_from_points(points: NDArray[np.float64], joints: dict[str, int]) -> Stature:
    """Stature in the unit of the points: that of the whole body from the ankles up, else from segment lengths.

    Args:
        points: (T, J, 3), NaN where missing.
        joints: joint name -> index.
    """
    votes: dict[str, float] = {}
    lengths: dict[str, float] = {}
    weights = []
    for segment in SEGMENTS:
        measured = [_median_length(points, joints, a, b) for a, b in segment.ends]
        measured = [m for m in measured if np.isfinite(m)]
        if measured:
            lengths[segment.name] = float(np.mean(measured))
            votes[segment.name] = lengths[segment.name] / segment.fraction
            weights.append(1 / segment.sigma_rel**2)
    if not votes:
        return Stature(float("nan"), float("nan"), float("nan"), votes)
    whole = _whole_body(points, joints, lengths)
    if whole is not None:
        value, sigma, common = whole
        votes["whole body"] = value
        return Stature(value, sigma, common, votes)
    w = np.array(weights) / np.sum(weights)
    value = float(np.exp(w @ np.log(np.array(list(votes.values())))))
    return Stature(value, float(np.hypot(COMMON_SIGMA_REL, 1 / np.sqrt(np.sum(weights)))), COMMON_SIGMA_REL, votes)


def _whole_body(
    points: NDArray[np.float64], joints: dict[str, int], lengths: dict[str, float]
) -> tuple[float, float, float] | None:
    """(stature, relative sigma, common part of it) from legs + trunk + head, or None where one is missing."""
    if "shank" not in lengths or "thigh" not in lengths:
        return None
    for head in _HEADS:
        for way in _TRUNKS:
            parts = [_median_length(points, joints, a, b) for a, b in zip(way, (*way[1:], head.joints), strict=True)]
            if all(np.isfinite(parts)):
                length = lengths["shank"] + lengths["thigh"] + sum(parts)
                return (
                    length / head.fraction,
                    float(np.hypot(head.sigma_rel, head.common_sigma_rel)),
                    head.common_sigma_rel,
                )
    return None


def _median_length(
    points: NDArray[np.float64], joints: dict[str, int], a: tuple[str, ...], b: tuple[str, ...]
) -> float:
    """Median distance of two (means of) joints; NaN where one is unknown or fewer than five frames have both."""
    pa, pb = mean_joint(points, joints, a), mean_joint(points, joints, b)
    if pa is None or pb is None:
        return float("nan")
    length = np.linalg.norm(pa - pb, axis=-1)
    length = length[np.isfinite(length) & (length > 0)]  # two joints in one place measure nothing
    return float(np.median(length)) if length.size >= 5 else float("nan")

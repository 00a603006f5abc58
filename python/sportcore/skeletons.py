"""Skeletons: joints by name, bones, left/right pairs, and conversion between them.

Joints are addressed by name everywhere; an index is only ever looked up here. Equal names mean the same
anatomical place. A joint that a detector does not deliver but that follows from others (a pelvis from two
hips) is a fixed linear combination of them, so the same rule serves pixels, metres and covariances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

__all__ = [
    "BLAZEPOSE33",
    "BODY25",
    "COCO17",
    "H36M17",
    "HALPE26",
    "SKELETONS",
    "Skeleton",
    "coco17_to_h36m17",
    "conversion_matrix",
    "convert",
    "convert_covariance",
    "get_skeleton",
]


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named joints with the bones between them.

    Attributes:
        name: short identifier, for instance ``"h36m17"``.
        joints: joint names in array order; a left joint starts with ``left_`` (or ends with ``_left``).
        bones: (parent, child) pairs of joint names.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise InputError(f"Skeleton {self.name!r} names a joint twice.")
        known = set(self.joints)
        for bone in self.bones:
            if not known.issuperset(bone):
                raise InputError(f"Skeleton {self.name!r} has a bone {bone} between joints it does not have.")

    def __repr__(self) -> str:
        return f"Skeleton({self.name!r}, {self.n_joints} joints)"

    @property
    def n_joints(self) -> int:
        """Number of joints J."""
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint in the arrays.

        Raises:
            InputError: this skeleton has no such joint.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise InputError(
                f"Skeleton {self.name!r} has no joint {joint!r}.", f"It has: {', '.join(self.joints)}."
            ) from None

    def has(self, joint: str) -> bool:
        """Whether the skeleton has this joint."""
        return joint in self.joints

    @cached_property
    def bone_indices(self) -> NDArray[np.int64]:
        """(B, 2) parent and child index of each bone."""
        return np.array([[self.index(a), self.index(b)] for a, b in self.bones], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def bone_names(self) -> tuple[str, ...]:
        """Readable name of each bone, ``"left_hip-left_knee"``."""
        return tuple(f"{a}-{b}" for a, b in self.bones)

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """(J,) index of the parent joint, -1 for a root."""
        out = np.full(self.n_joints, -1, dtype=np.int64)
        for parent, child in self.bone_indices:
            out[child] = parent
        return out

    @cached_property
    def left_right_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left index, right index) of each paired joint."""
        pairs = []
        for i, joint in enumerate(self.joints):
            mirrored = _mirror_name(joint)
            if mirrored != joint and "left" in joint and mirrored in self.joints:
                pairs.append((i, self.joints.index(mirrored)))
        return tuple(pairs)

    @property
    def left_indices(self) -> NDArray[np.int64]:
        """Indices of the left joints, in the order of :attr:`right_indices`."""
        return np.array([a for a, _ in self.left_right_pairs], dtype=np.int64)

    @property
    def right_indices(self) -> NDArray[np.int64]:
        """Indices of the right joints, in the order of :attr:`left_indices`."""
        return np.array([b for _, b in self.left_right_pairs], dtype=np.int64)

    @cached_property
    def flip_permutation(self) -> NDArray[np.int64]:
        """(J,) permutation that exchanges left and right."""
        out = np.arange(self.n_joints)
        for a, b in self.left_right_pairs:
            out[a], out[b] = b, a
        return out

    @cached_property
    def symmetric_bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (left bone, right bone) of bone indices that have equal length in a healthy body."""
        names = list(self.bones)
        pairs = []
        for i, (a, b) in enumerate(names):
            mirrored = (_mirror_name(a), _mirror_name(b))
            if mirrored != (a, b) and mirrored in names and ("left" in a or "left" in b):
                pairs.append((i, names.index(mirrored)))
        return tuple(pairs)


def _mirror_name(joint: str) -> str:
    if "left" in joint:
        return joint.replace("left", "right")
    return joint.replace("right", "left")


def _both_sides(*bones: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in bones)


_LIMBS = _both_sides(("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))

H36M17 = Skeleton(
    "h36m17",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
        "nose", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    (
        ("pelvis", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("pelvis", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head"),
        ("thorax", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("thorax", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ),
)  # fmt: skip

_COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_COCO_BONES = (
    ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), *_LIMBS,
)  # fmt: skip

COCO17 = Skeleton("coco17", _COCO_JOINTS, _COCO_BONES)

HALPE26 = Skeleton(
    "halpe26",
    (
        *_COCO_JOINTS, "head", "neck", "pelvis", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
        "left_heel", "right_heel",
    ),
    (
        ("pelvis", "neck"), ("neck", "head"), ("neck", "nose"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
        ("pelvis", "left_hip"), ("pelvis", "right_hip"), *_LIMBS,
        *_both_sides(("ankle", "heel"), ("ankle", "big_toe"), ("ankle", "small_toe")),
    ),
)  # fmt: skip

BODY25 = Skeleton(
    "body25",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
        "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
        "right_small_toe", "right_heel",
    ),
    (
        ("pelvis", "neck"), ("neck", "nose"), ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"),
        ("right_eye", "right_ear"), ("neck", "left_shoulder"), ("neck", "right_shoulder"), ("pelvis", "left_hip"),
        ("pelvis", "right_hip"), *_LIMBS, *_both_sides(("ankle", "heel"), ("ankle", "big_toe"), ("ankle", "small_toe")),
    ),
)  # fmt: skip

BLAZEPOSE33 = Skeleton(
    "blazepose33",
    (
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
        "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
        "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
        "left_heel", "right_heel", "left_foot_index", "right_foot_index",
    ),
    (
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("mouth_left", "mouth_right"), ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), *_LIMBS,
        *_both_sides(("wrist", "thumb"), ("wrist", "pinky"), ("wrist", "index")),
        *_both_sides(("ankle", "heel"), ("heel", "foot_index"), ("ankle", "foot_index")),
    ),
)  # fmt: skip

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (H36M17, COCO17, HALPE26, BODY25, BLAZEPOSE33)}
_ALIASES = {
    "human36m": "h36m17", "h36m": "h36m17", "coco": "coco17", "halpe": "halpe26", "halpe_26": "halpe26",
    "body_25": "body25", "body_25b": "body25", "blazepose": "blazepose33", "mediapipe": "blazepose33",
}  # fmt: skip


def get_skeleton(skeleton: str | Skeleton) -> Skeleton:
    """Look a skeleton up by name; a :class:`Skeleton` is returned as it is.

    Raises:
        InputError: the name is not known.
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    if not isinstance(skeleton, str):
        raise InputError(f"A skeleton is a name or a Skeleton, not {type(skeleton).__name__}.")
    key = skeleton.lower().replace("-", "").replace(" ", "")
    key = _ALIASES.get(key, key.replace("_", ""))
    if key not in SKELETONS:
        raise InputError(
            f"Unknown skeleton {skeleton!r}: without the joint order the numbers have no meaning.",
            f"Use one of {', '.join(SKELETONS)}, or pass a Skeleton with your own joint names.",
        )
    return SKELETONS[key]


# What follows from other joints, as weights over them. The trunk and head rules are the linear, axis-free form of
# the mapping in `coco17_to_h36m17` (there the corrections act on image x or y alone, which only serves an upright
# person in an unrolled image). The head top continues the line from the shoulders' centre through the ears: the
# ears lie about 0.64 of the way from the shoulder line to the vertex of the head.
_SHOULDERS = {"left_shoulder": 0.5, "right_shoulder": 0.5}
_HIPS = {"left_hip": 0.5, "right_hip": 0.5}
_DERIVED: dict[str, tuple[dict[str, float], ...]] = {
    "pelvis": (_HIPS,),
    "neck": (_SHOULDERS, {"thorax": 1.0}),
    "thorax": (
        {"left_shoulder": 5 / 12, "right_shoulder": 5 / 12, "nose": 1 / 6},
        {"neck": 1.0},
    ),
    "spine": (
        {"left_shoulder": 0.25, "right_shoulder": 0.25, "left_hip": 0.25, "right_hip": 0.25},
        {"thorax": 0.5, "pelvis": 0.5},
    ),
    "head": ({"left_ear": 0.775, "right_ear": 0.775, "left_shoulder": -0.275, "right_shoulder": -0.275},),
    "left_big_toe": ({"left_foot_index": 1.0},),
    "right_big_toe": ({"right_foot_index": 1.0},),
    "left_foot_index": ({"left_big_toe": 1.0},),
    "right_foot_index": ({"right_big_toe": 1.0},),
}
# The Human3.6M "nose" lies between chin and nose tip: a quarter of the way from the nose to the shoulders' centre.
_H36M_NOSE = {"nose": 0.75, "left_shoulder": 0.125, "right_shoulder": 0.125}


@lru_cache(maxsize=64)
def _conversion(source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    weights = np.full((target.n_joints, source.n_joints), np.nan)
    for row, joint in enumerate(target.joints):
        rules: list[Mapping[str, float]] = []
        if target.name == "h36m17" and source.name != "h36m17" and joint == "nose":
            rules.append(_H36M_NOSE)
        if source.has(joint) and not (source.name == "h36m17" and target.name != "h36m17" and joint == "nose"):
            rules.append({joint: 1.0})
        rules.extend(_DERIVED.get(joint, ()))
        for rule in rules:
            if all(source.has(name) for name in rule):
                weights[row] = 0.0
                for name, w in rule.items():
                    weights[row, source.index(name)] = w
                break
    weights.setflags(write=False)
    return weights


def conversion_matrix(source: str | Skeleton, target: str | Skeleton) -> NDArray[np.float64]:
    """(J_target, J_source) weights that carry joints of one skeleton to another.

    Each row sums to one, so the rule holds in pixels and in metres alike; a row of NaN marks a joint that the
    source skeleton does not determine.
    """
    return _conversion(get_skeleton(source), get_skeleton(target))


def convert(
    xy: ArrayLike, score: ArrayLike | None, source: str | Skeleton, target: str | Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Carry joints from one skeleton to another by name.

    Args:
        xy: (..., J_source, D) coordinates (pixels or metres), NaN where missing.
        score: (..., J_source) in [0, 1], or None for "all observed count fully".
        source: skeleton of ``xy``.
        target: skeleton wanted.

    Returns:
        ``(xy, score)`` of shapes (..., J_target, D) and (..., J_target). A joint is missing (NaN, score 0) when any
        joint that it follows from is missing. The score of a derived joint is the mean score of its sources.

    Raises:
        InputError: the joint axis does not fit the source skeleton.
    """
    src, dst = get_skeleton(source), get_skeleton(target)
    values = np.asarray(xy, dtype=np.float64)
    if values.ndim < 2 or values.shape[-2] != src.n_joints:
        raise InputError(f"Expected (..., {src.n_joints}, D) coordinates for {src.name!r}, got {values.shape}.")
    missing: NDArray[np.bool_] = np.asarray(~np.isfinite(values).all(-1))
    if score is None:
        scores = np.where(missing, 0.0, 1.0)
    else:
        scores = np.asarray(score, dtype=np.float64)
        if scores.shape != values.shape[:-1]:
            raise InputError(f"score {scores.shape} does not fit coordinates {values.shape}.")
    if src == dst:
        return values.copy(), np.where(missing, 0.0, scores)
    weights = _conversion(src, dst)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(weights).all(1))
    w = np.where(np.isfinite(weights), weights, 0.0)
    used = (w != 0).astype(np.float64)
    out = np.einsum("ij,...jd->...id", w, np.where(missing[..., None], 0.0, values))
    lost = (np.einsum("ij,...j->...i", used, missing.astype(np.float64)) > 0) | ~known
    out[lost] = np.nan
    mean = np.einsum("ij,...j->...i", used / np.maximum(used.sum(1, keepdims=True), 1), np.where(missing, 0, scores))
    return out, np.where(lost, 0.0, mean)


def convert_covariance(covariance: ArrayLike, source: str | Skeleton, target: str | Skeleton) -> NDArray[np.float64]:
    """Carry (..., J_source, D, D) joint covariances along with :func:`convert`, joints taken as independent."""
    src, dst = get_skeleton(source), get_skeleton(target)
    cov = np.asarray(covariance, dtype=np.float64)
    if cov.ndim < 3 or cov.shape[-3] != src.n_joints or cov.shape[-1] != cov.shape[-2]:
        raise InputError(f"Expected (..., {src.n_joints}, D, D) covariances for {src.name!r}, got {cov.shape}.")
    if src == dst:
        return cov.copy()
    weights = _conversion(src, dst)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(weights).all(1))
    w = np.where(np.isfinite(weights), weights, 0.0)
    missing = np.asarray(~np.isfinite(cov).all((-1, -2)))
    out = np.einsum("ij,...jde->...ide", w**2, np.where(missing[..., None, None], 0.0, cov))
    lost = (np.einsum("ij,...j->...i", (w != 0).astype(float), missing.astype(float)) > 0) | ~known
    out[lost] = np.nan
    return out


# COCO index -> Human3.6M index of the joints that are copied by the first system's mapping.
_COCO_DIRECT = (0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
_H36M_DIRECT = (9, 11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3)


def coco17_to_h36m17(xy: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """COCO-17 pixels to Human3.6M-17 pixels as the pseudo-label system of Suzuki et al. (CVPRW 2024) does it.

    The trunk and head joints follow from the others, with three corrections applied in this order: the nose moves a
    quarter of the way to the shoulders' centre; the spine moves in image x away from the pelvis-thorax line by twice
    its offset from it; the thorax moves in image y by two thirds of the eye-to-nose height. The corrections act on
    image axes: the mapping is meant for upright people in unrolled images. Use :func:`convert` for anything else.

    Args:
        xy: (..., 17, 2) px, NaN where missing.
        score: (..., 17).

    Returns:
        (..., 17, 2) px and (..., 17) scores: copied for direct joints, means of the sources for the others. A joint
        whose sources are missing is NaN with score 0.

    Raises:
        InputError: wrong shapes.
    """
    c = np.asarray(xy, dtype=np.float64)
    s = np.asarray(score, dtype=np.float64)
    if c.shape[-2:] != (17, 2) or s.shape != c.shape[:-1]:
        raise InputError(f"Expected (..., 17, 2) and (..., 17), got {c.shape} and {s.shape}.")
    h = np.full(c.shape, np.nan)
    hs = np.zeros(s.shape)
    h[..., _H36M_DIRECT, :] = c[..., _COCO_DIRECT, :]
    hs[..., _H36M_DIRECT] = s[..., _COCO_DIRECT]
    nose, shoulders, hips = c[..., 0, :], c[..., 5:7, :].mean(-2), c[..., 11:13, :].mean(-2)
    h[..., 0, :] = hips
    h[..., 8, :] = shoulders + (nose - shoulders) / 3
    h[..., 7, :] = (shoulders + hips) / 2
    h[..., 10, 0] = c[..., 1:5, 0].mean(-1)
    h[..., 10, 1] = c[..., 1, 1] + c[..., 2, 1] - nose[..., 1]
    h[..., 9, :] -= (h[..., 9, :] - shoulders) / 4
    h[..., 7, 0] += 2 * (h[..., 7, 0] - (h[..., 0, 0] + h[..., 8, 0]) / 2)
    h[..., 8, 1] -= (c[..., 1:3, 1].mean(-1) - nose[..., 1]) * 2 / 3
    hs[..., 0] = s[..., 11:13].mean(-1)
    hs[..., 8] = s[..., 5:7].mean(-1)
    hs[..., 7] = (hs[..., 0] + hs[..., 8]) / 2
    hs[..., 10] = s[..., 1:5].mean(-1)
    lost = ~np.isfinite(h).all(-1)
    h[lost] = np.nan
    return h, np.where(lost, 0.0, hs)

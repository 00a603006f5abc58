"""Detector scores turned into a standard deviation in pixels.

The model is ``sigma_px = body_size_px * exp(curve(score) + offset(joint))``: ``curve`` falls (or stays level) with the
score and is linear between knots; ``offset`` is one number per kind of joint, the same on both sides. The body size is
the stature in px, so a model fitted at one distance and resolution serves at another.

A fit uses the median of residual norms: under isotropic Gaussian noise the norm follows Rayleigh's distribution, whose
median is 1.1774 sigma, and the median does not mind gross errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.keypoints2d.tracks_common import Floats, Mask
from sportcore.skeletons import Skeleton, get_skeleton

RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))


def joint_kind(joint: str) -> str:
    """Joint name without its side: both sides share one offset."""
    return joint.replace("left_", "").replace("right_", "").replace("_left", "").replace("_right", "")


@dataclass(frozen=True)
class SigmaModel:
    """Standard deviation of a detection, as a share of the person's stature in px, from its score and joint.

    Attributes:
        name: of the detector it was fitted on.
        score_knots: (K,) increasing scores in [0, 1].
        log_sigma: (K,) natural logarithm of sigma / stature at the knots, never increasing.
        joint_offset: kind of joint -> added logarithm; kinds that are not named get 0.
        samples: how many residuals the fit saw; 0 for a model that was set by hand.
        source: where it comes from.
    """

    name: str
    score_knots: tuple[float, ...]
    log_sigma: tuple[float, ...]
    joint_offset: Mapping[str, float] = field(default_factory=dict)
    samples: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        knots, values = np.asarray(self.score_knots, float), np.asarray(self.log_sigma, float)
        if knots.ndim != 1 or knots.shape != values.shape or not len(knots):
            raise InputError("A SigmaModel needs as many log_sigma values as score_knots.")
        if (np.diff(knots) <= 0).any() or not np.isfinite(values).all():
            raise InputError("score_knots must increase and log_sigma must be finite.")
        if (np.diff(values) > 1e-9).any():
            raise InputError("log_sigma must not increase with the score: a better score cannot mean more noise.")

    def relative(self, score: ArrayLike, skeleton: str | Skeleton) -> Floats:
        """Sigma as a share of the stature, shape of ``score`` (..., J)."""
        skel = get_skeleton(skeleton)
        offsets = np.array([self.joint_offset.get(joint_kind(joint), 0.0) for joint in skel.joints])
        curve = np.interp(np.asarray(score, float), self.score_knots, self.log_sigma)
        return np.asarray(np.exp(curve + offsets))

    def sigma_px(self, score: ArrayLike, body_size_px: ArrayLike, skeleton: str | Skeleton) -> Floats:
        """(C, T, J) px from scores (C, T, J) and statures (C, T) px."""
        return self.relative(score, skeleton) * np.asarray(body_size_px, float)[..., None]

    def scaled(self, factor: float) -> SigmaModel:
        """The same model with every sigma multiplied by ``factor``."""
        values = tuple(float(v + np.log(factor)) for v in self.log_sigma)
        return SigmaModel(self.name, self.score_knots, values, self.joint_offset, self.samples, self.source)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON and the report."""
        return {
            "name": self.name,
            "score_knots": list(self.score_knots),
            "log_sigma": list(self.log_sigma),
            "joint_offset": dict(self.joint_offset),
            "samples": self.samples,
            "source": self.source,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SigmaModel:
        """The inverse of :meth:`to_dict`; raises InputError when a key is missing."""
        try:
            return SigmaModel(
                str(values["name"]),
                tuple(float(v) for v in values["score_knots"]),
                tuple(float(v) for v in values["log_sigma"]),
                {str(k): float(v) for k, v in values.get("joint_offset", {}).items()},
                int(values.get("samples", 0)),
                str(values.get("source", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no sigma model: {error}.") from None


# Used for detectors that nobody fitted: 0.7 % of the stature (about 3 px for a person of 400 px) at score 1.
GENERIC = SigmaModel(
    "generic",
    (0.0, 0.25, 0.5, 0.75, 1.0),
    tuple(float(np.log(v)) for v in (0.04, 0.028, 0.018, 0.011, 0.007)),
    {},
    0,
    "set by hand",
)


def sigma_models() -> dict[str, SigmaModel]:
    """The models that come with the package, by detector name, ``"generic"`` among them."""
    models = {GENERIC.name: GENERIC}
    file = resources.files("sportcore.keypoints2d") / "tracks_sigma.json"
    if file.is_file():
        for entry in json.loads(file.read_text(encoding="utf-8"))["models"]:
            model = SigmaModel.from_dict(entry)
            models[model.name] = model
    return models


def get_sigma_model(model: str | SigmaModel) -> SigmaModel:
    """Look a model up by detector name; a :class:`SigmaModel` is returned as it is.

    A detector without a model of its own gets the generic one.
    """
    if isinstance(model, SigmaModel):
        return model
    return sigma_models().get(model, GENERIC)


def _falling(values: Floats, weights: Floats) -> Floats:
    """Weighted least-squares fit that never increases (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([float(value), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            v, w, n = blocks.pop()
            u, x, m = blocks.pop()
            blocks.append([(u * x + v * w) / (x + w), x + w, m + n])
    return np.concatenate([np.full(int(n), v) for v, _, n in blocks])


# Detectors crowd near 1: the bins narrow there.
_EDGES = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99, 0.997)


def _score_bins(score: Floats, min_bin: int) -> NDArray[np.int64]:
    """Bin index (N,) of each score, 0 the lowest; every bin holds at least ``min_bin`` scores, or all."""
    place = np.searchsorted(_EDGES, score, side="right")
    counts = np.bincount(place, minlength=len(_EDGES) + 1)
    joined, have, label = np.zeros(len(counts), np.int64), 0, 0
    for b, n in enumerate(counts):
        joined[b] = label
        have += int(n)
        if have >= min_bin:
            have, label = 0, label + 1
    if have < min_bin and label > 0:  # what is left over at the top joins the bin before it
        joined = np.minimum(joined, label - 1)
    return np.asarray(joined[place])


def fit_sigma_model(
    residual_px: ArrayLike,
    score: ArrayLike,
    body_size_px: ArrayLike,
    skeleton: str | Skeleton,
    *,
    n_views: ArrayLike | None = None,
    use: Mask | None = None,
    name: str = "fitted",
    source: str = "",
    min_bin: int = 50,
) -> SigmaModel:
    """Fit the score-to-pixel model so that residual / sigma has unit robust variance per axis.

    Args:
        residual_px: (C, T, J) norms of reprojection residuals, px, NaN where there is none.
        score: (C, T, J).
        body_size_px: (C, T) stature in px, see :func:`sportcore.keypoints2d.tracks.body_size_px`.
        skeleton: joint order.
        n_views: (T, J) how many views each 3D point was fitted to; the residual of n views is smaller than the noise
            by sqrt((2 n - 3) / (2 n)) on average, which is undone. None: residuals against known truth.
        use: (C, T, J) which residuals count; default all finite ones.
        name: of the detector.
        source: free text kept with the model.
        min_bin: fewest residuals per score bin; neighbouring bins are joined until they have as many.

    Raises:
        InputError: shapes do not fit, or fewer than 200 residuals.
    """
    skel = get_skeleton(skeleton)
    residual, scores = np.asarray(residual_px, float), np.asarray(score, float)
    if residual.shape != scores.shape or residual.ndim != 3 or residual.shape[-1] != skel.n_joints:
        raise InputError(f"residual {residual.shape} and score {scores.shape} must both be (C, T, {skel.n_joints}).")
    size = np.asarray(body_size_px, float)
    if size.shape != residual.shape[:2]:
        raise InputError(f"body_size_px is {size.shape}; {residual.shape[:2]} is needed.")
    relative = residual / size[..., None]
    usable = np.isfinite(relative) & (relative > 0)
    if n_views is not None:
        views = np.asarray(n_views, float)[None]
        usable = usable & (views >= 2)
        relative = relative / np.sqrt(np.maximum(2 * views - 3, 1) / np.maximum(2 * views, 1))
    if use is not None:
        usable = usable & use
    if usable.sum() < 200:
        raise InputError(f"Only {int(usable.sum())} residuals to fit a sigma model to.", "At least 200 are needed.")
    kinds = sorted({joint_kind(joint) for joint in skel.joints})
    kind_of = np.array([kinds.index(joint_kind(joint)) for joint in skel.joints])
    kind = np.broadcast_to(kind_of, residual.shape)[usable]
    log_r, s = np.log(relative[usable] / RAYLEIGH_MEDIAN), scores[usable]
    place = _score_bins(s, min_bin)
    offset, curve = np.zeros(len(kinds)), np.zeros(int(place.max()) + 1)
    weight = np.bincount(place, minlength=len(curve)).astype(float)
    for _ in range(10):
        free = log_r - offset[kind]
        raw = np.array([np.median(free[place == b]) if (place == b).any() else np.nan for b in range(len(curve))])
        known = np.isfinite(raw)
        curve[known] = _falling(raw[known], weight[known])
        for k in range(len(kinds)):
            mine = kind == k
            n = int(mine.sum())
            if n:
                offset[k] = np.median((log_r - curve[place])[mine]) * n / (n + 50)
    used = np.bincount(kind, minlength=len(kinds)) > 0
    centres = np.array([np.median(s[place == b]) if (place == b).any() else np.nan for b in range(len(curve))])
    known = np.isfinite(centres)
    knots, index = np.unique(np.round(centres[known], 5), return_index=True)
    values = np.minimum.accumulate(curve[known][index])
    shift = float(np.median(log_r - np.interp(s, knots, values) - offset[kind]))
    return SigmaModel(
        name,
        tuple(float(v) for v in knots),
        tuple(float(v) for v in values + shift),
        {kinds[k]: float(offset[k]) for k in range(len(kinds)) if used[k]},
        int(usable.sum()),
        source,
    )

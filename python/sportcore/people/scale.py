"""Metres from several athletes of known height."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cameras.anthropometry import stature_from_points
from ..errors import InputError
from ..types import Calibration, Points3D

__all__ = ["PeopleScale", "scale_calibration", "scale_from_heights"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PeopleScale:
    """A scale from the statures of several people.

    Attributes:
        factor: by which lengths are to be multiplied.
        sigma_rel: relative standard deviation of the factor.
        votes: person -> (factor of this person alone, its relative deviation without what all have in common).
        heights_m: person -> stature given.
        warnings: what a reader should know.
    """

    factor: float
    sigma_rel: float
    votes: Mapping[int, tuple[float, float]]
    heights_m: Mapping[int, float]
    warnings: tuple[str, ...] = ()


def scale_from_heights(
    points: Sequence[Points3D], heights_m: Mapping[int, float] | Sequence[float], height_sigma_m: float = 0.01
) -> PeopleScale:
    """Combine what the statures of several people say of the scale.

    Each person's segments give a stature in the unit of the points, uncertain by that person's proportions; the
    votes are averaged with the inverse of their variances (on a logarithmic axis). What one detector does to all
    people alike (1 to 2.5 %, :mod:`sportcore.cameras.anthropometry`) does not average out.

    Args:
        points: one per person.
        heights_m: person -> stature, m; or a sequence with a stature for each person in any order: then the
            tallest stature belongs to the tallest person, and so on.
        height_sigma_m: how well the statures are known.

    Raises:
        InputError: a person who is not there, a sequence of another length, or nobody who can be measured.
    """
    measured, common = {}, {}
    for p, person in enumerate(points):
        index = {name: i for i, name in enumerate(person.skeleton.joints)}
        stature, sigma, common[p], _ = stature_from_points(person.xyz, index)
        if np.isfinite(stature):
            measured[p] = (float(stature), float(np.sqrt(max(sigma**2 - common[p] ** 2, 1e-6))))
    if isinstance(heights_m, Mapping):
        given = {int(p): float(h) for p, h in heights_m.items()}
        unknown = sorted(set(given) - set(range(len(points))))
        if unknown:
            raise InputError(f"heights_m names person {unknown[0]}; there are {len(points)} people, counted from 0.")
    else:
        if len(heights_m) != len(points):
            raise InputError(
                f"{len(heights_m)} statures for {len(points)} people.",
                "Give one for each person, or a mapping from person to stature.",
            )
        order = sorted(measured, key=lambda p: measured[p][0])
        if len(order) < len(points):
            raise InputError("Not everybody can be measured, so statures cannot be matched by size.", "Give a mapping.")
        given = dict(zip(order, sorted(float(h) for h in heights_m), strict=True))
    votes = {}
    for p, height in given.items():
        if p in measured:
            stature, own = measured[p]
            votes[p] = (height / stature, float(np.hypot(own, height_sigma_m / height)))
    if not votes:
        raise InputError("Of nobody with a known stature enough was reconstructed.", "Record more of the whole body.")
    logs = np.log([v for v, _ in votes.values()])
    weight = np.array([1 / s**2 for _, s in votes.values()])
    mean = float(weight @ logs / weight.sum())
    own = float(1 / np.sqrt(weight.sum()))
    warnings = []
    if len(votes) > 1:
        chi2 = float(weight @ (logs - mean) ** 2) / (len(votes) - 1)
        if chi2 > 4:
            own *= float(np.sqrt(chi2))
            said = ", ".join(f"person {p} {np.exp(v - mean):.2f}" for p, v in zip(votes, logs, strict=True))
            warnings.append(f"The statures contradict each other (relative to their mean: {said}); check who is who.")
    return PeopleScale(
        float(np.exp(mean)), float(np.hypot(max(common[p] for p in votes), own)), votes, given, tuple(warnings)
    )


def scale_calibration(calibration: Calibration, factor: float, source: str, sigma_rel: float) -> Calibration:
    """The same calibration with all lengths multiplied; the origin, which lies on the floor, stays.

    Args:
        calibration: metric by some other rule.
        factor: of all lengths.
        source: goes into the report.
        sigma_rel: relative standard deviation of the new scale.
    """
    report = calibration.report
    covariance = report.camera_covariance
    if covariance is not None:
        grow = np.array([1.0, 1.0, 1.0, factor, factor, factor])
        covariance = covariance * grow[:, None] * grow
    centre = None if report.center_sigma_m is None else report.center_sigma_m * factor
    extra = dict(report.extra)
    if isinstance(extra.get("implied_stature_m"), float):
        extra["implied_stature_m"] *= factor
    rig = calibration.rig.with_poses(calibration.rig.R, calibration.rig.t * factor)
    points = calibration.points.replace(
        xyz=calibration.points.xyz * factor, covariance=calibration.points.covariance * factor**2
    )
    warnings = tuple(w for w in report.warnings if not w.startswith("No size was given"))
    report = dataclasses.replace(
        report, camera_covariance=covariance, center_sigma_m=centre, scale_source=source, scale_sigma_rel=sigma_rel,
        floor_sigma_m=report.floor_sigma_m * factor, extra=extra, warnings=warnings,
    )  # fmt: skip
    return Calibration(rig, points, report)

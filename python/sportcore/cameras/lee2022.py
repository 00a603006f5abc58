"""The published calibration from a moving person, Lee et al. 2022, as the first system (Suzuki et al. 2024) runs it.

Needs what :func:`sportcore.calibrate` does not: poses of a monocular lifter in every camera, and bones and joints that
all cameras see at the same time. It is here so that the published system can be run as published; for cameras that are
to be trusted, :func:`sportcore.calibrate` is the more accurate and the robust one; ``docs/calibration-published.md``
compares them.

E_R, the rotation error that the published evaluation prints, is the angle divided by the root of two
(``acos((tr - 1) / 2) / sqrt(2)``): its 0.025 rad are 2.0 degrees.
:func:`sportcore.evaluation.cameras.camera_errors` gives both.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DegenerateError, InputError
from ..points3d import unproject_points
from ..skeletons import H36M17
from ..types import Calibration, Keypoints2D, Rig
from .checks import Complaints, match_rig
from .lee2022_bundle import Bundle, adjust
from .lee2022_linear import rotations, rotations_with_gaps, to_so3, translations, weighted_points
from .lee2022_ransac import consensus
from .options import CalibrateOptions

__all__ = ["Lee2022Options", "Lee2022Result", "calibrate_lee2022", "calibrate_lee2022_metric"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Progress = Callable[[int, int, str], None]
_log = logging.getLogger(__name__)

MIN_DIRECTIONS, MIN_POINTS = 3, 4


@dataclass(frozen=True, kw_only=True)
class Lee2022Options:
    """What to run. The defaults are the first system's shipped configuration: linear, nothing else.

    Attributes:
        project_rotations: put the rotations on SO(3) before the translations are solved. Published: no (nor does any
            step after it but the bundle adjustment).
        gaps: use bones that only some cameras see, and joints that only some see; implies rotations on SO(3).
            Published: no.
        ransac: find inliers by random samples first.
        ransac_iterations: samples.
        ransac_sample: directions, and points, in a sample.
        ransac_max_error_px: a joint is an inlier when no camera sees it further off (50 to 150 in the authors'
            configurations, 555 in the first system's).
        ransac_max_angle_deg: a bone direction is an inlier below this angle (5 to 10, and 57).
        bundle: adjust afterwards.
        lambda1: weight of the bone directions in the adjustment, px (published 1).
        lambda2: weight of the variances of the bone lengths, with the first baseline as the unit of length
            (10 in the first system; 1 to 1e5 by the authors).
        free_gauge: let the adjustment drift in position, orientation and size, as published.
        ftol: relative fall of the cost at which the adjustment stops (published 1e-4).
        max_iterations: most steps of the adjustment.
        mask_px: the authors' second pass: observations further off than this after an adjustment (20) are left out, and
            everything is done once more. None: no second pass.
        frame_step: use every n-th frame for the cameras (15 to 120 by the authors); points are made of all.
        min_score: observations with a lower detector score are left out; one of 0 is always missing.
        seed: of the random samples.

    Raises:
        InputError: a value makes no sense.
    """

    project_rotations: bool = False
    gaps: bool = False
    ransac: bool = False
    ransac_iterations: int = 100
    ransac_sample: int = 10
    ransac_max_error_px: float = 100.0
    ransac_max_angle_deg: float = 10.0
    bundle: bool = False
    lambda1: float = 1.0
    lambda2: float = 10.0
    free_gauge: bool = False
    ftol: float = 1e-4
    max_iterations: int = 200
    mask_px: float | None = None
    frame_step: int = 1
    min_score: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("project_rotations", "gaps", "ransac", "bundle", "free_gauge"):
            if not isinstance(getattr(self, key), (bool, np.bool_)):
                raise InputError(f"{key} must be True or False, got {getattr(self, key)!r}.")
        for key, least in (("ransac_iterations", 1), ("ransac_sample", 4), ("max_iterations", 0), ("frame_step", 1)):
            _whole(key, getattr(self, key), least)
        _whole("seed", self.seed, 0)
        for key in ("ransac_max_error_px", "ransac_max_angle_deg", "ftol"):
            if not (_number(getattr(self, key)) and getattr(self, key) > 0):
                raise InputError(f"{key} must be positive, got {getattr(self, key)!r}.")
        for key in ("lambda1", "lambda2"):
            if not (_number(getattr(self, key)) and getattr(self, key) >= 0):
                raise InputError(f"{key} must not be negative, got {getattr(self, key)!r}.")
        if not (_number(self.min_score) and 0 <= self.min_score < 1):
            raise InputError(f"min_score must lie in [0, 1), got {self.min_score!r}.")
        if self.mask_px is not None and not (_number(self.mask_px) and self.mask_px > 0):
            raise InputError(f"mask_px must be positive, got {self.mask_px!r}.")
        if self.gaps and self.ransac:
            raise InputError("The random samples need bones that all cameras see.", "Set gaps or ransac, not both.")
        if self.mask_px is not None and not self.bundle:
            raise InputError("mask_px masks by the residuals of the adjustment.", "Set bundle=True with it.")


@dataclass(frozen=True, eq=False)
class Lee2022Result:
    """Cameras up to a similarity.

    The first camera is the origin; the unit of length is the distance from the first camera to the second.

    Attributes:
        R: (C, 3, 3) as the method leaves them: after the linear solution without projection these are *not*
            rotations.
        t: (C, 3), ``x_cam = R x + t``.
        points: (T, 17, 3) Human3.6M joints of all frames, by linear triangulation weighted by score; NaN where fewer
            than two cameras see the joint.
        inliers: (C, T, 17) observations that the cameras stand on.
        bone_inliers: (C, T, 16) bone directions that the cameras stand on.
        history: what happened: ``singular_values`` (3C,) of the stacked directions; ``determinants`` (C,) of the
            unprojected rotations; ``eigenvalues`` (5,) and ``eigenvalue_ratio`` (lambda_4 / lambda_5; the published
            limit of 1e-4 is for noise-free data); ``in_front``; ``n_directions``, ``n_points``; ``ransac_scores``;
            ``bundle_costs``, ``bundle_parts`` (pixels, directions, lengths), ``bundle_iterations``, ``bundle_stop``;
            ``masked`` observations of a second pass; ``seconds``.
    """

    R: Floats
    t: Floats
    points: Floats
    inliers: Bools
    bone_inliers: Bools
    history: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("R", "t", "points", "inliers", "bone_inliers"):
            getattr(self, key).setflags(write=False)

    @property
    def rotations(self) -> Floats:
        """(C, 3, 3) the rotations nearest to R."""
        return to_so3(self.R)


def calibrate_lee2022(
    keypoints: Keypoints2D,
    intrinsics: Rig,
    monocular_3d: ArrayLike,
    options: Lee2022Options | None = None,
    *,
    progress: Progress | None = None,
) -> Lee2022Result:
    """Find where the cameras stand, as published, up to a similarity.

    Args:
        keypoints: (C, T, J) observations in pixels of the (distorted) video, of any skeleton that has the joints of
            Human3.6M or joints that these follow from. Not changed.
        intrinsics: C cameras; their poses are ignored. Matched by name where both have names.
        monocular_3d: (C, T, 17, 3) Human3.6M poses in each camera's frame, any unit, root-relative or not; only the
            directions of the bones are used. NaN where missing. Not changed.
        options: see :class:`Lee2022Options`.
        progress: called as ``progress(done, total, message)``; an exception raised in it stops the calibration.

    Raises:
        InputError: shapes or names that do not fit.
        DegenerateError: no bone or too few joints are seen by all cameras, directions in one plane, mirrored poses, no
            baseline; the message says which.
    """
    options = options if options is not None else Lee2022Options()
    if not isinstance(options, Lee2022Options):
        raise InputError(f"options must be Lee2022Options, got {type(options).__name__}.")
    if not isinstance(keypoints, Keypoints2D):
        raise InputError(f"keypoints must be Keypoints2D, got {type(keypoints).__name__}.")
    rig = match_rig(keypoints, intrinsics, Complaints(False))
    scene = _Scene(keypoints.to_skeleton(H36M17), rig, monocular_3d, options)
    passes = 1 if options.mask_px is None else 2
    history: dict[str, Any] = {"seconds": {}}
    usable = scene.seen.copy()
    for i in range(passes):
        if progress is not None:
            progress(i, passes, "calibrating as published")
        result = _once(scene, usable, options, history)
        if options.mask_px is not None and i + 1 < passes:
            far = _reprojection_px(scene, result) > options.mask_px
            history["masked"] = int((far & usable).sum())
            usable &= ~far
    if progress is not None:
        progress(passes, passes, "done")
    return result


class _Scene:
    """Rays, poses and who sees what; arrays of its own. ``x`` (C, T, 17, 2), ``bones`` (C, T, 16, 3)."""

    def __init__(self, kp: Keypoints2D, rig: Rig, monocular_3d: ArrayLike, options: Lee2022Options) -> None:
        C, T = kp.n_cameras, kp.n_frames
        if monocular_3d is None:
            raise InputError(
                "The published method needs monocular_3d, a lifter's poses in every camera.",
                "sc.load_lifter(...).lift(keypoints, intrinsics); or sc.calibrate without this method.",
            )
        try:
            poses = np.array(monocular_3d, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"monocular_3d must be numbers: {error}.") from error
        if poses.shape != (C, T, 17, 3):
            raise InputError(
                f"monocular_3d must be {(C, T, 17, 3)}, got {poses.shape}.", "sc.load_lifter(...).lift(...)"
            )
        self.names = rig.names
        self.focal = np.stack([rig.K[:, 0, 0], rig.K[:, 1, 1]], -1)
        observed = kp.observed & (kp.score >= options.min_score)
        self.x = np.stack(
            [
                unproject_points(c, np.where(o[..., None], xy, np.nan))
                for c, o, xy in zip(rig, observed, kp.xy, strict=True)
            ]
        )
        self.seen: Bools = np.asarray(np.isfinite(self.x).all(-1))
        self.score = np.where(self.seen, kp.score, 0.0)
        self.x = np.where(self.seen[..., None], self.x, np.nan)
        a, b = H36M17.bone_indices.T
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            bones = poses[:, :, b] - poses[:, :, a]
            bones = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
        self.bone_there: Bools = np.asarray(np.isfinite(bones).all(-1))
        self.pose_there: Bools = np.asarray(np.isfinite(poses).all(-1))
        self.bones = np.where(self.bone_there[..., None], bones, np.nan)
        self.frame: Bools = np.zeros(T, bool)
        self.frame[:: options.frame_step] = True


def _once(scene: _Scene, usable: Bools, options: Lee2022Options, history: dict[str, Any]) -> Lee2022Result:
    """One pass: linear, with random samples if asked for, then the adjustment if asked for."""
    seconds = history["seconds"]
    start = time.perf_counter()
    a, b = H36M17.bone_indices.T
    joint = usable & scene.pose_there & scene.frame[:, None]  # the published mask asks for both
    bone = joint[..., a] & joint[..., b] & scene.bone_there
    least = len(joint) if not options.gaps else 2
    point = joint.sum(0) >= least
    limb = bone.sum(0) >= least
    _explain_too_little(scene, joint, bone, point, limb, options)
    if options.gaps:
        bone, joint = bone & limb, joint & point
    else:
        bone, joint = np.broadcast_to(limb, bone.shape), np.broadcast_to(point, joint.shape)
    v, n = scene.bones[:, limb], _homogeneous(scene.x[:, point])
    if options.ransac:
        agreed = consensus(
            v, n, scene.focal[:, 0], iterations=options.ransac_iterations, sample=options.ransac_sample,
            max_error_px=options.ransac_max_error_px, max_angle_rad=math.radians(options.ransac_max_angle_deg),
            project=options.project_rotations, seed=options.seed,
        )  # fmt: skip
        history["ransac_scores"] = agreed.scores
        few = [
            f"{int(k.sum())} of {len(k)} {what}" for k, what in ((agreed.direction, "bones"), (agreed.point, "joints"))
        ]
        if agreed.direction.sum() < options.ransac_sample or agreed.point.sum() < options.ransac_sample:
            raise DegenerateError(
                f"The best random sample has too few inliers: {' and '.join(few)}.",
                "Raise ransac_max_error_px and ransac_max_angle_deg, or ransac_iterations.",
            )
        limb, point = _narrowed(limb, agreed.direction), _narrowed(point, agreed.point)
        bone, joint = np.broadcast_to(limb, bone.shape), np.broadcast_to(point, joint.shape)
        v, n = scene.bones[:, limb], _homogeneous(scene.x[:, point])
        seconds["ransac"] = time.perf_counter() - start
        start = time.perf_counter()
    if options.gaps:
        turned = rotations_with_gaps(v, bone[:, limb])
        _check_handedness(scene, turned.determinants)
        rays = translations(turned.R, n, joint[:, point])
    else:
        turned = rotations(v, options.project_rotations)
        _check_handedness(scene, turned.determinants)
        rays = translations(turned.R, n)
    history |= {
        "singular_values": turned.singular_values,
        "determinants": turned.determinants,
        "eigenvalues": rays.eigenvalues,
        "eigenvalue_ratio": float(rays.eigenvalues[3] / rays.eigenvalues[4]) if rays.eigenvalues[4] > 0 else 1.0,
        "in_front": rays.in_front,
        "n_directions": v.shape[1],
        "n_points": n.shape[1],
    }
    if not rays.in_front > 0.6:
        raise DegenerateError(
            f"The solution cannot tell in front from behind ({100 * rays.in_front:.0f} % of the joints in front).",
            "The monocular poses and the keypoints contradict each other: check synchronisation and left and right.",
        )
    seconds["linear"] = time.perf_counter() - start
    R, t = turned.R, rays.t
    inliers, bone_inliers = np.array(joint), np.array(bone)
    if options.bundle:
        start = time.perf_counter()
        R, t, inliers, bone_inliers = _bundle(scene, usable, R, t, options, history)
        seconds["bundle"] = time.perf_counter() - start
    C, T = usable.shape[:2]
    weight = np.where(usable, scene.score, 0.0) * scene.focal.mean(1)[:, None, None]
    points = weighted_points(R, t, scene.x.reshape(C, -1, 2), weight.reshape(C, -1)).reshape(T, 17, 3)
    return Lee2022Result(R, t, points, inliers, bone_inliers, history)


def _bundle(
    scene: _Scene, usable: Bools, R: Floats, t: Floats, options: Lee2022Options, history: dict[str, Any]
) -> tuple[Floats, Floats, Bools, Bools]:
    C = len(R)
    R = to_so3(R)
    score = np.where(usable & scene.frame[:, None], scene.score, 0.0)
    focal = scene.focal.mean(1)[:, None, None]
    X = weighted_points(R, t, scene.x.reshape(C, -1, 2), (focal * score).reshape(C, -1)).reshape(*score.shape[1:], 3)
    there = np.isfinite(X).all(-1)
    number = np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)
    a, b = H36M17.bone_indices.T
    first, second = number[:, a], number[:, b]  # (T, 16)
    both = (first >= 0) & (second >= 0)
    limb = scene.bone_there.all(0) & scene.frame[:, None]  # published: the lifter's poses alone decide
    problem = Bundle(
        scene.x[:, there], score[:, there], scene.focal, scene.bones[:, limb], first[both], second[both],
        np.nonzero(both)[1], options.lambda1, options.lambda2,
    )  # fmt: skip
    out = adjust(
        problem, R, t, X[there], free_gauge=options.free_gauge, ftol=options.ftol, max_iterations=options.max_iterations
    )
    history |= {
        "bundle_costs": out.costs,
        "bundle_parts": out.parts,
        "bundle_iterations": out.iterations,
        "bundle_stop": out.stop,
    }
    R, t = out.R, out.t
    if options.free_gauge:  # back to the first camera, and the unit of the others
        t = t - np.einsum("cij,j->ci", R @ R[0].T, t[0])
        R, t = R @ R[0].T, t / np.linalg.norm(t[1])
    return R, t, (score > 0) & there, np.broadcast_to(limb, (C, *limb.shape)).copy()


def _reprojection_px(scene: _Scene, result: Lee2022Result) -> Floats:
    with np.errstate(all="ignore"):
        x = np.einsum("cij,tkj->ctki", result.R, result.points) + result.t[:, None, None]
        error = (x[..., :2] / x[..., 2:] - scene.x) * scene.focal[:, None, None]
    return np.asarray(np.linalg.norm(error, axis=-1))


def _homogeneous(x: Floats) -> Floats:
    return np.concatenate([x, np.ones_like(x[..., :1])], -1)


def _narrowed(mask: Bools, kept: Bools) -> Bools:
    out = np.zeros_like(mask)
    out[mask] = kept
    return out


def _explain_too_little(
    scene: _Scene, joint: Bools, bone: Bools, point: Bools, limb: Bools, options: Lee2022Options
) -> None:
    for what, there, per_camera, least in (
        ("bone", limb, bone, MIN_DIRECTIONS),
        ("joint", point, joint, MIN_POINTS),
    ):
        if there.sum() >= least:
            continue
        counts = ", ".join(f"{n} {int(k.sum())}" for n, k in zip(scene.names, per_camera, strict=True))
        who = "two cameras" if options.gaps else f"all {len(joint)} cameras"
        count = "No" if not there.any() else f"Only {int(there.sum())}"
        raise DegenerateError(
            f"{count} {what}{'' if count == 'No' or there.sum() == 1 else 's'} with a keypoint and a monocular pose "
            f"{'is' if there.sum() < 2 else 'are'} seen by {who} at the same time (seen by each: {counts}).",
            "The published method needs them in all cameras: leave a camera out, set gaps=True, or use sc.calibrate, "
            "which has no such need.",
        )


def _check_handedness(scene: _Scene, determinants: Floats) -> None:
    mirrored = [n for n, d in zip(scene.names, determinants, strict=True) if d < 0]
    if mirrored:
        raise DegenerateError(
            f"The monocular poses of {', '.join(mirrored)} are mirrored against those of {scene.names[0]} "
            "(the rotation between them has a negative determinant), or contain hardly any signal.",
            "Check the lifter's depth axis, and whether left and right are exchanged in one of the cameras.",
        )


def calibrate_lee2022_metric(
    keypoints: Keypoints2D,
    intrinsics: Rig,
    monocular_3d: ArrayLike,
    options: Lee2022Options | None = None,
    calibrate_options: CalibrateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Calibration:
    """The published calibration, put into metres and upright, with points and a report as of ``sportcore.calibrate``.

    The cameras come from :func:`calibrate_lee2022`; where its R are not rotations, the nearest ones take their place
    (and the residuals are those of a rig that has them). Metres, vertical, triangulation and report are those of
    :func:`sportcore.calibrate`. There is no covariance: least squares that give outliers full weight, and rotations
    that inherit the lifter's tilt, have no honest one. The grade is therefore ``"poor"``.

    Args:
        keypoints: (C, T, J), as for :func:`calibrate_lee2022`.
        intrinsics: C cameras.
        monocular_3d: (C, T, 17, 3).
        options: of the method.
        calibrate_options: what is known of the scene's size, ``max_reprojection_error_px``, ``min_score``, ``force``;
            ``max_frames`` raises ``frame_step`` where there are more frames. The rest is not used.
        progress: as everywhere.

    Raises:
        InputError: as :func:`calibrate_lee2022`, or an option names what is not there.
        DegenerateError: as :func:`calibrate_lee2022`; nobody moves; the result contradicts its observations (this one
            can be forced).
    """
    from .lee2022_metric import metric_calibration

    options = options if options is not None else Lee2022Options()
    return metric_calibration(keypoints, intrinsics, monocular_3d, options, calibrate_options, progress)


def _number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(float(value))


def _whole(key: str, value: object, least: int) -> None:
    if not hasattr(value, "__index__") or isinstance(value, bool) or value.__index__() < least:
        raise InputError(f"{key} must be a whole number from {least} on, got {value!r}.")

"""Calibrate cameras from the athlete's body."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..errors import DegenerateError, InputError
from ..points3d import TriangulateOptions, camera_array, triangulate
from ..skeletons import Skeleton
from ..types import Calibration, Keypoints2D, Rig
from .anthropometry import calibration_joints
from .checks import (
    Complaints,
    check_lenses,
    check_motion,
    check_observations,
    check_pictures,
    explain_no_start,
    match_rig,
)
from .clocks import in_step, solve_with_clocks
from .gauge import GaugeOptions, find_gauge
from .lenses import (
    MOST_LENS_ROUNDS,
    lens_arguments,
    lenses_moved,
    with_free_distortion,
    with_refined_lenses,
    with_result_lenses,
)
from .monocular import as_arguments, check_votes, exchanged_sides, rotation_votes
from .options import CalibrateOptions
from .quality import build_report

__all__ = ["calibrate"]

Progress = Callable[[int, int, str], None]
_log = logging.getLogger(__name__)

MIN_SHARED_POINTS, MIN_PARALLAX_RAD = 30, np.radians(2.0)


def calibrate(
    keypoints: Keypoints2D,
    intrinsics: Rig,
    options: CalibrateOptions | None = None,
    *,
    monocular_3d: ArrayLike | None = None,
    bodies: ArrayLike | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Find where the cameras stand from the moving athlete alone.

    Needs known lenses, synchronised keypoints of one person who moves, and nothing else: no board, no initial poses.
    How it works is told in ``docs/calibration.md``; the solver is ``sportcore/calibrate.h``. The input is not changed.

    Args:
        keypoints: (C, T, J) observations of any skeleton in the pixels of the (distorted) video. Face and finger joints
            are not used for the calibration. Where ``times`` says that cameras filmed between each other's frames, all
            are read at the times of the first.
        intrinsics: C cameras; their poses are ignored. Matched with the keypoints by name where both have names.
        options: see :class:`CalibrateOptions`.
        monocular_3d: (C, T, 17, 3) Human3.6M poses in each camera's frame from a lifter. Only the directions of the
            bones are used: as votes for the rotations between cameras where the start is in doubt (not with
            ``time_offsets``), and as a check on the result.
        bodies: (T,) number of the person in each frame, where several stand one after the other on the time axis: the
            lengths of their bones are then not held to be the same, and judged for each. None: one person.
        progress: called as ``progress(done, total, message)``; an exception raised in it stops the calibration.

    Returns:
        Cameras in a metric, upright frame (see :mod:`sportcore.cameras.gauge`), the points triangulated with them, and
        a report. Cameras keep their names, order and intrinsics (these change only with the ``refine_`` options).
        Where left and right were found exchanged in a camera-frame (``report.extra["swapped_frames"]`` counts them),
        the points and their residuals stand on the corrected observations.

    Raises:
        InputError: cameras and keypoints do not belong together, or an option names what is not there.
        DegenerateError: the recording does not determine the cameras; the message says why and what to do.
    """
    options = options if options is not None else CalibrateOptions()
    if not isinstance(options, CalibrateOptions):
        raise InputError(f"options must be CalibrateOptions, got {type(options).__name__}.")
    if not isinstance(keypoints, Keypoints2D):
        raise InputError(f"keypoints must be Keypoints2D, got {type(keypoints).__name__}.")
    if options.method == "lee2022":
        from .lee2022 import Lee2022Options, calibrate_lee2022_metric

        if monocular_3d is None:
            raise InputError("method = 'lee2022' needs monocular_3d.", "Lift every camera first (sc.load_lifter).")
        return calibrate_lee2022_metric(
            keypoints, intrinsics, monocular_3d, Lee2022Options(seed=options.seed), options, progress=progress
        )
    step = _Steps(progress, 4)
    complaints = Complaints(options.force)
    votes, sides = None, None
    if monocular_3d is not None:
        poses = _monocular_poses(monocular_3d, keypoints)
        votes = rotation_votes(poses)
        sides = exchanged_sides(poses, votes) if options.undo_swaps and not options.time_offsets else None
    rig = match_rig(keypoints, intrinsics, complaints)
    names = rig.names
    keypoints, moved = in_step(keypoints)
    gauge_options = _gauge_options(options, names)

    step("choosing frames")
    skeleton = keypoints.skeleton
    joints = calibration_joints(skeleton)
    used, seen, xy, weight = _observations(keypoints, joints, options.min_score)
    check_observations(seen, names, complaints)
    check_pictures(_thinned(xy), names)
    check_lenses(rig, complaints)
    motion = check_motion(_thinned(xy), names, complaints)
    flip = _flip(skeleton.flip_permutation, joints) if options.undo_swaps else None
    several = None if bodies is None or len(np.unique(bodies)) < 2 else np.asarray(bodies)
    if several is not None and several.shape != (keypoints.n_frames,):
        raise InputError(f"bodies has shape {several.shape}, the keypoints have {keypoints.n_frames} frames.")
    lengths = options.bone_lengths and several is None
    bones, bone_pairs = _bones(skeleton, joints) if lengths else (None, None)
    diagonal = float(np.hypot(*np.median(rig.image_sizes, axis=0)))
    limit = options.max_reprojection_error_px or 0.01 * diagonal
    if options.refine_distortion:
        rig = with_free_distortion(rig)

    lenses = rig

    def solve(shown: Keypoints2D, more: dict[str, Any]) -> dict[str, Any]:
        at, worth = (xy, weight) if shown is keypoints else _observations(shown, joints, options.min_score)[2:]
        return _core.calibrate_bodies(
            at, worth, camera_array(lenses), flip=flip, max_reprojection_error_px=limit, max_frames=options.max_frames,
            min_parallax_rad=MIN_PARALLAX_RAD, min_shared_points=MIN_SHARED_POINTS,
            probe_focal=options.refine_focal == "none", undo_swaps=options.undo_swaps,
            num_threads=options.num_threads, seed=options.seed, bones=bones,
            bone_pairs=bone_pairs if options.bone_symmetry else None,
            rotation_votes=as_arguments(votes) if votes and not options.time_offsets else None, sides=sides,
            **lens_arguments(options, rig), **more,
        )  # fmt: skip

    step("finding the cameras")
    start = time.perf_counter()
    clocks = None
    if options.time_offsets:
        keypoints, result, clocks = solve_with_clocks(keypoints, rig, options.max_time_offset_s, solve)
        used, seen, xy, weight = _observations(keypoints, joints, options.min_score)
    else:
        result = solve(keypoints, {})
    for _ in range(MOST_LENS_ROUNDS):  # observations were chosen with lenses that were off: choose again
        if result["start_pair"][0] < 0 or not lenses_moved(lenses, result):
            break
        lenses = with_result_lenses(lenses, result, focal_only=True)
        result = solve(keypoints, {})
    seconds = dict(zip(("pairs", "growing", "swaps", "adjustment"), result["seconds"], strict=True))
    seconds["solver"] = time.perf_counter() - start
    _check_connected(result, names, seen)
    if result["points"] is None or not np.isfinite(result["points"]).any():
        raise DegenerateError("No joint could be reconstructed.", "Check synchronisation and intrinsics.")

    step("metres and the vertical")
    start = time.perf_counter()
    names_used = [skeleton.joints[j] for j in joints]
    try:
        gauge = find_gauge(result["points"], names_used, result["R"], result["t"], gauge_options)
    except np.linalg.LinAlgError as error:  # hardly a trunk or a foot among the points
        raise DegenerateError(
            "What was reconstructed of the body is too little to tell the scale and the vertical.",
            "Record longer, with the whole athlete in view of at least two cameras.",
        ) from error
    complaints.warnings.extend(gauge.warnings)
    if not (np.isfinite(result["R"]).all() and np.isfinite(result["t"]).all()):
        raise DegenerateError("The adjustment of the cameras broke down.", "Check the intrinsics and the keypoints.")
    R, t = gauge.poses(result["R"], result["t"])
    calibrated = rig.with_poses(_orthonormal(R), t)
    calibrated, lens_facts = with_refined_lenses(calibrated, result, options, complaints)
    seconds["gauge"] = time.perf_counter() - start

    step("triangulating")
    start = time.perf_counter()
    named = keypoints if keypoints.names in (None, names) else keypoints.replace(names=names)
    swapped = np.zeros((len(rig), keypoints.n_frames), bool)
    if flip is not None and np.asarray(result["swapped"]).any():
        swapped = _core.find_swaps(
            xy, weight, camera_array(calibrated), flip, float(min(limit, 5 * result["sigma_px"])), options.num_threads,
            sides if result["start_from_sides"] else None,
        )  # fmt: skip
        named, used = _exchanged(named, used, swapped)
    error_px = float(min(limit, max(6 * result["sigma_px"], 3.0)))
    points = triangulate(
        named, calibrated,
        TriangulateOptions(
            max_reprojection_error_px=error_px, min_score=options.min_score, num_threads=options.num_threads
        ),
    )  # fmt: skip
    seconds["triangulation"] = time.perf_counter() - start
    extra: dict[str, Any] = {"motion": motion, "max_reprojection_error_px": error_px}
    extra |= lens_facts
    if moved.any():
        extra["moved_frames"] = dict(zip(names, moved.tolist(), strict=True))
    if result["detector_bias_px"] > 0:
        extra["detector_bias_px"] = float(result["detector_bias_px"])
    if bones is not None:
        extra["bone_lengths_used"] = bool(result["bones_used"])
    if clocks is not None:
        extra["time_offset_s"] = dict(zip(names, clocks.offset_s.tolist(), strict=True))
        extra["time_offset_sigma_s"] = dict(zip(names, clocks.sigma_s.tolist(), strict=True))
    if result["focal_probed"]:
        extra["focal_factor"] = float(result["focal_factor"])
        extra["focal_factor_sigma"] = float(result["focal_factor_sigma"])
    if votes is not None:
        extra["monocular_disagreement_deg"] = check_votes(votes, calibrated, complaints)
        extra["start_from_rotations"] = bool(result["start_from_rotations"])
    report = build_report(named, used, points, calibrated, gauge, result, swapped, complaints, seconds, extra, several)
    for warning in report.warnings:
        _log.info("%s", warning)
    step("done")
    return Calibration(calibrated, points, report)


def _observations(
    keypoints: Keypoints2D, joints: list[int], min_score: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """What the calibration looks at: (C, T, J) used, and of its joints seen (C, T, K), xy and weight."""
    used = keypoints.observed & (keypoints.score >= min_score)
    off = np.setdiff1d(np.arange(keypoints.skeleton.n_joints), joints)
    used[..., off] = False
    seen = used[..., joints]
    xy = np.where(seen[..., None], keypoints.xy[:, :, joints], np.nan)
    return used, seen, xy, _weights(keypoints, joints, seen)


class _Steps:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, message: str) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total, message)
        self.done += 1


def _gauge_options(options: CalibrateOptions, names: tuple[str, ...]) -> GaugeOptions:
    distance = None
    if options.known_camera_distance_m is not None:
        a, b, metres = options.known_camera_distance_m
        for name in (a, b):
            if name not in names:
                raise InputError(
                    f"known_camera_distance_m names {name!r}, which is no camera.", f"There are: {', '.join(names)}."
                )
        distance = (names.index(a), names.index(b), metres)
    return GaugeOptions(options.height_m, options.height_sigma_m, distance, options.known_bone)


def _weights(keypoints: Keypoints2D, joints: list[int], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C, T, J) inverse relative variance: from sigma_px where given, else the detector score."""
    if keypoints.sigma_px is None:
        return np.where(seen, keypoints.score[..., joints], 0.0)
    sigma = keypoints.sigma_px[..., joints]
    good = seen & np.isfinite(sigma) & (sigma > 0)
    if not good.any():
        return np.where(seen, keypoints.score[..., joints], 0.0)
    typical = float(np.median(sigma[good]))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        relative = np.clip((typical / sigma) ** 2, 0.01, 4.0)
    return np.where(good, relative, 0.0)


def _flip(permutation: NDArray[np.int64], joints: list[int]) -> NDArray[np.int32]:
    where = {j: i for i, j in enumerate(joints)}
    return np.array([where.get(int(permutation[j]), i) for i, j in enumerate(joints)], np.int32)


def _bones(skeleton: Skeleton, joints: list[int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(B, 2) bones among the joints that are used, and (P, 2) which of them are left and right of the same."""
    where = {j: i for i, j in enumerate(joints)}
    bones = [(int(a), int(b)) for a, b in skeleton.bone_indices if int(a) in where and int(b) in where]
    index = {frozenset(bone): k for k, bone in enumerate(bones)}
    flip = skeleton.flip_permutation
    pairs = []
    for k, (a, b) in enumerate(bones):
        mirrored = index.get(frozenset((int(flip[a]), int(flip[b]))))
        if mirrored is not None and k < mirrored:
            pairs.append((k, mirrored))
    return (
        np.array([(where[a], where[b]) for a, b in bones], np.int32).reshape(-1, 2),
        np.array(pairs, np.int32).reshape(-1, 2),
    )


def _exchanged(
    keypoints: Keypoints2D, used: NDArray[np.bool_], swapped: NDArray[np.bool_]
) -> tuple[Keypoints2D, NDArray[np.bool_]]:
    """The keypoints with left and right exchanged in some camera-frames; swapped: (C, T)."""
    flip = keypoints.skeleton.flip_permutation

    def turn(a: NDArray[Any]) -> NDArray[Any]:
        out = a.copy()
        out[swapped] = a[swapped][:, flip]
        return out

    sigma = None if keypoints.sigma_px is None else turn(keypoints.sigma_px)
    return keypoints.replace(xy=turn(keypoints.xy), score=turn(keypoints.score), sigma_px=sigma), turn(used)


def _thinned(xy: NDArray[np.float64], most: int = 150) -> NDArray[np.float64]:
    return xy[:, :: max(1, xy.shape[1] // most)]


def _orthonormal(R: NDArray[np.float64]) -> NDArray[np.float64]:
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def _check_connected(result: dict[str, Any], names: tuple[str, ...], seen: NDArray[np.bool_]) -> None:
    if result["start_pair"][0] < 0:
        raise explain_no_start(result["pairs"], names, MIN_SHARED_POINTS, MIN_PARALLAX_RAD)
    connected = np.asarray(result["connected"])
    if connected.all():
        return
    lost = [n for n, ok in zip(names, connected, strict=True) if not ok]
    facts = []
    for name in lost:
        i = names.index(name)
        shared = [p["num_shared"] for p in result["pairs"] if i in p["cameras"]]
        inliers = [p["num_inliers"] for p in result["pairs"] if i in p["cameras"]]
        facts.append(f"{name}: at most {max(shared)} joints in common with another camera, {max(inliers)} that fit")
    raise DegenerateError(
        f"Camera {', '.join(map(repr, lost))} could not be connected to the others ({'; '.join(facts)}).",
        "Leave it out, or check its synchronisation, its intrinsics and that it shows the same person.",
    )


def _monocular_poses(monocular_3d: ArrayLike, keypoints: Keypoints2D) -> NDArray[np.float64]:
    """(C, T, 17, 3) as floats, or an InputError."""
    shape = (keypoints.n_cameras, keypoints.n_frames, 17, 3)
    try:
        poses = np.asarray(monocular_3d, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"monocular_3d must be numbers of shape {shape}.", "Give what a lifter returns.") from error
    if poses.shape != shape:
        raise InputError(f"monocular_3d must be {shape}, got {poses.shape}.", "Give what a lifter returns.")
    return poses

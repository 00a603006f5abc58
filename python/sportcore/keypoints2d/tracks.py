"""Clean 2D tracks: pixel sigmas from scores, left/right swaps undone, wrong samples rejected, gaps marked.

:func:`clean_tracks` works on the tracks of one person in several cameras on a common time base. Nothing is ever
filled or moved: a sample is kept (possibly under the name of the other side), or it becomes NaN with score 0. Every
sample has a :class:`TrackStatus`, and the :class:`TrackReport` lists what was done. See ``docs/tracks.md``.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.keypoints2d.tracks_common import (
    GROUPS,
    Floats,
    Mask,
    body_size_px,
    core_joints,
    frame_times,
    runs,
    swap_groups,
)
from sportcore.keypoints2d.tracks_outliers import JumpLimits, all_track_outliers, frozen_samples
from sportcore.keypoints2d.tracks_report import CameraTrackReport, SwapRun, TrackReport, TrackStatus
from sportcore.keypoints2d.tracks_sigma import (
    GENERIC,
    RAYLEIGH_MEDIAN,
    SigmaModel,
    fit_sigma_model,
    get_sigma_model,
    sigma_models,
)
from sportcore.keypoints2d.tracks_swaps import SwapCosts, SwapLabels, continuity_costs, label_swaps
from sportcore.keypoints2d.tracks_views import epipolar_evidence, reprojection_evidence, view_residuals
from sportcore.points3d import reproject
from sportcore.types import Keypoints2D, Points3D, Rig

__all__ = [
    "GENERIC",
    "CameraTrackReport",
    "CleanOptions",
    "CleanTracks",
    "SigmaModel",
    "SwapRun",
    "TrackReport",
    "TrackStatus",
    "body_size_px",
    "clean_tracks",
    "fit_sigma_model",
    "get_sigma_model",
    "sigma_models",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CleanOptions:
    """How tracks are cleaned.

    Attributes:
        sigma_model: detector whose score-to-pixel model is used (see :func:`sigma_models`); unknown names get
            "generic".
        refit_sigma: with a rig of three cameras or more, refit that model on this session's residuals.
        min_score: samples with a lower score are rejected.
        swaps: "views" looks for left/right swaps over time and, where a rig is known, across cameras; "time" over
            time only; "off" leaves the sides alone.
        ambiguous_probability: a side label that is wrong with more than this probability counts as ambiguous: sigma
            grows by the distance of the two sides, and above 0.3 the sides are not exchanged.
        outliers: reject samples that jump away from their own track.
        outlier_noise_factor: how many times the track's own noise a sample may lie off.
        outlier_min_jump_body: never reject below this distance, in statures.
        max_acceleration_body_s2: largest believable acceleration, statures per second squared.
        frozen_min_s: exact repeats of this duration or longer are rejected.
        max_gap_s: gaps up to this duration are short (worth bridging later), others long.
        still_motion_body: joints that travel less than this, in statures, belong to a person who stands still.
    """

    sigma_model: str = "generic"
    refit_sigma: bool = True
    min_score: float = 0.02
    swaps: Literal["views", "time", "off"] = "views"
    ambiguous_probability: float = 0.1
    outliers: bool = True
    outlier_noise_factor: float = 5.0
    outlier_min_jump_body: float = 0.03
    max_acceleration_body_s2: float = 60.0
    frozen_min_s: float = 0.15
    max_gap_s: float = 0.2
    still_motion_body: float = 0.06

    def __post_init__(self) -> None:
        if self.swaps not in ("views", "time", "off"):
            raise InputError(f"swaps = {self.swaps!r} is not known.", 'Use "views", "time" or "off".')
        for name in (
            "outlier_noise_factor",
            "outlier_min_jump_body",
            "max_acceleration_body_s2",
            "frozen_min_s",
            "max_gap_s",
        ):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} must be positive, got {value}.")
        for name in ("min_score", "ambiguous_probability", "still_motion_body"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name} must lie in [0, 1], got {value}.")


@dataclass(frozen=True, eq=False)
class CleanTracks:
    """Clean keypoints and how they came about.

    Attributes:
        keypoints: xy NaN and score 0 where not observed or rejected; ``sigma_px`` (C, T, J) px, NaN there.
        status: (C, T, J) :class:`TrackStatus`.
        gap_s: (C, T, J) duration of the gap that a sample lies in, 0 where it is observed.
        swapped: (C, T, 3) whether trunk, arms and legs were exchanged back.
        report: the :class:`TrackReport`.
    """

    keypoints: Keypoints2D
    status: NDArray[np.uint8]
    gap_s: Floats
    swapped: Mask
    report: TrackReport


def clean_tracks(
    keypoints: Keypoints2D,
    options: CleanOptions | None = None,
    rig: Rig | None = None,
    points: Points3D | ArrayLike | None = None,
    *,
    sigma_model: SigmaModel | None = None,
    quiet: bool = False,
) -> CleanTracks:
    """Clean the tracks of one person.

    Args:
        keypoints: raw detections with ``fps`` or ``times``; not changed.
        options: see :class:`CleanOptions`.
        rig: calibrated cameras, by name or in the same order; lets the views judge left and right.
        points: 3D joints of the same skeleton in the rig's world. :class:`Points3D`, triangulated from these
            detections, serve to refit the sigma model only (they repeat the sides they were made from); a bare array
            (T, J, 3) m counts as known from elsewhere and takes part in the side test as well. Without points the
            sigma model is refitted on points triangulated here.
        sigma_model: overrides ``options.sigma_model``.
        quiet: do not log the report's warnings.

    Raises:
        InputError: no person in any camera, no time base, a rig of other cameras, points of another shape.
    """
    opt = options or CleanOptions()
    names = keypoints.camera_names
    cameras = _matching_rig(keypoints, rig)
    seen = np.array(keypoints.observed)
    if not seen.any():
        raise InputError(
            f"No person was found in any of the {len(names)} cameras: every keypoint is missing.",
            "Check that the videos show a person and that detection ran on the right files.",
        )
    times = frame_times(keypoints)
    sizes = body_size_px(keypoints, times)
    solid = np.where(np.isfinite(sizes), sizes, 1.0)
    xyz = _points_array(points, keypoints)
    xy = np.where(seen[..., None], keypoints.xy, np.nan)
    score = np.where(seen, keypoints.score, 0.0)
    status = np.where(seen, TrackStatus.OBSERVED, TrackStatus.LONG_GAP).astype(np.uint8)

    low = seen & (score < opt.min_score)
    status[low] = TrackStatus.LOW_SCORE
    frozen = frozen_samples(times, xy, seen & ~low, solid, opt.frozen_min_s)
    status[frozen] = TrackStatus.FROZEN
    live = seen & ~low & ~frozen
    limits = JumpLimits(opt.outlier_noise_factor, opt.outlier_min_jump_body, opt.max_acceleration_body_s2)

    masked = np.where(live[..., None], xy, np.nan)
    known = None if isinstance(points, Points3D) else xyz
    labels, scales = _find_swaps(keypoints, masked, times, sizes, opt, limits, cameras, known)
    uncertain = labels.wrong_probability > 0.3
    swapped = labels.swapped & ~uncertain
    wrong = np.where(labels.swapped & uncertain, 1 - labels.wrong_probability, labels.wrong_probability)
    left, right, group = swap_groups(keypoints.skeleton)
    for g in range(3):
        i, j = left[group == g], right[group == g]
        if len(i):
            where = np.nonzero(swapped[..., g])
            for array in (xy, score, status, live):
                both = array[where]
                both[:, np.concatenate([i, j])] = both[:, np.concatenate([j, i])]
                array[where] = both
    for g in range(3):
        both = np.concatenate([left[group == g], right[group == g]])
        for code, mask in (
            (TrackStatus.SWAPPED, swapped[..., g]),
            (TrackStatus.AMBIGUOUS, wrong[..., g] > opt.ambiguous_probability),
        ):
            touched = np.zeros(status.shape, bool)
            touched[:, :, both] = mask[..., None]
            status[touched & live] = code

    if opt.outliers:
        jump = all_track_outliers(times, xy, live, solid, limits)
        status[jump] = TrackStatus.OUTLIER
        live = live & ~jump

    clean_xy = np.where(live[..., None], xy, np.nan)
    clean_score = np.where(live, score, 0.0)
    model = sigma_model or get_sigma_model(opt.sigma_model)
    refitted = False
    if cameras is not None and opt.refit_sigma and (live.sum(0) >= 3).any():
        prior = model.sigma_px(clean_score, sizes, keypoints.skeleton)
        trial = keypoints.replace(xy=clean_xy, score=clean_score, sigma_px=np.where(live, prior, np.nan))
        residual, views = view_residuals(trial, cameras, points if isinstance(points, Points3D) else xyz)
        if np.isfinite(residual).sum() >= 1000:
            model = fit_sigma_model(
                residual, clean_score, sizes, keypoints.skeleton, n_views=views, name=model.name, source="this session"
            )
            refitted = True
    sigma = model.sigma_px(clean_score, sizes, keypoints.skeleton)
    apart = np.zeros(seen.shape)
    gap_xy = np.linalg.norm(clean_xy[:, :, left] - clean_xy[:, :, right], axis=-1)
    apart[:, :, left] = apart[:, :, right] = np.nan_to_num(gap_xy)
    chance = np.zeros(seen.shape)
    for g in range(3):
        chance[:, :, np.concatenate([left[group == g], right[group == g]])] = wrong[..., g : g + 1]
    chance = np.where(chance > opt.ambiguous_probability, chance, 0.0)
    sigma = np.where(live, np.sqrt(sigma**2 + 0.5 * chance * apart**2), np.nan)

    gap_s = _gap_durations(times, live)
    missing = ~live & ((status == TrackStatus.LONG_GAP) | (status <= TrackStatus.AMBIGUOUS))
    status[missing] = np.where(gap_s <= opt.max_gap_s, TrackStatus.SHORT_GAP, TrackStatus.LONG_GAP)[missing]
    clean = keypoints.replace(xy=clean_xy, score=clean_score, sigma_px=sigma)
    report = _report(clean, status, gap_s, swapped, wrong, sizes, times, opt, model, refitted, cameras, scales)
    for warning in () if quiet else report.warnings:
        log.warning(warning)
    return CleanTracks(clean, status, gap_s, swapped, report)


def _matching_rig(keypoints: Keypoints2D, rig: Rig | None) -> Rig | None:
    if rig is None:
        return None
    if keypoints.names is not None and set(keypoints.names) <= set(rig.names):
        return rig.subset(keypoints.names)
    if len(rig) != keypoints.n_cameras:
        raise InputError(
            f"The rig has {len(rig)} cameras ({', '.join(rig.names)}), the keypoints {keypoints.n_cameras} "
            f"({', '.join(keypoints.camera_names)}).",
            "Give a rig with the same camera names.",
        )
    if keypoints.names is not None and set(keypoints.names) & set(rig.names):
        raise InputError(
            f"Camera names differ: {', '.join(keypoints.names)} in the keypoints, {', '.join(rig.names)} in the rig.",
            "Name the cameras alike.",
        )
    return rig


def _points_array(points: Points3D | ArrayLike | None, keypoints: Keypoints2D) -> Floats | None:
    if points is None:
        return None
    xyz = np.asarray(points.xyz if isinstance(points, Points3D) else points, float)
    wanted = (keypoints.n_frames, keypoints.skeleton.n_joints, 3)
    if xyz.shape != wanted:
        raise InputError(f"points are {xyz.shape}; the keypoints need {wanted}.", "Use the same frames and skeleton.")
    return xyz


def _find_swaps(
    keypoints: Keypoints2D,
    xy: Floats,
    times: Floats,
    sizes: Floats,
    opt: CleanOptions,
    limits: JumpLimits,
    rig: Rig | None,
    xyz: Floats | None,
) -> tuple[SwapLabels, dict[tuple[int, int], float] | None]:
    count, frames = xy.shape[:2]
    left, right, group = swap_groups(keypoints.skeleton)
    nothing = SwapLabels(np.zeros((count, frames, 3), bool), np.zeros((count, frames, 3)))
    if opt.swaps == "off" or not len(left) or frames < 3:
        return nothing, None
    # The middle of a pair does not know left from right: where it jumps, one of the two is wrong.
    middle = 0.5 * (xy[:, :, left] + xy[:, :, right])
    known = np.isfinite(middle[..., 0])
    half = JumpLimits(limits.noise_factor, 0.5 * limits.min_jump_body, limits.max_acceleration_body_s2)
    solid = np.where(np.isfinite(sizes), sizes, 1.0)
    odd = all_track_outliers(times, middle, known, solid, half)
    pairs = xy.copy()
    for side in (left, right):
        values = pairs[:, :, side]
        values[odd] = np.nan
        pairs[:, :, side] = values
    costs = SwapCosts()
    pairwise: list[Floats | None] = []
    for c in range(count):
        if known[c].any():
            pairwise.append(continuity_costs(pairs[c], sizes[c], times[c], left, right, group, costs.max_bridge_s))
        else:
            pairwise.append(None)
    evidence: dict[tuple[int, int], Floats] = {}
    scales = None
    direct: list[Floats | None] = [None] * count
    if rig is not None and opt.swaps == "views":
        evidence, scales = epipolar_evidence(rig, xy, sizes, left, right, group)
        if xyz is not None:
            projected = reproject(xyz, rig)
            direct = [reprojection_evidence(projected[c], xy[c], sizes[c], left, right, group) for c in range(count)]
    return label_swaps(pairwise, evidence, direct, frames, costs), scales


def _gap_durations(times: Floats, live: Mask) -> Floats:
    """(C, T, J) duration in s of the gap around each sample that is not observed, 0 where it is."""
    out = np.zeros(live.shape)
    frames = live.shape[1]
    for c in range(live.shape[0]):
        step = np.diff(times[c])
        usual = float(np.median(step)) if len(step) else 0.0
        for j in range(live.shape[2]):
            for first, last in runs(~live[c, :, j]):
                start = times[c, first - 1] if first > 0 else times[c, first] - usual
                stop = times[c, last + 1] if last + 1 < frames else times[c, last] + usual
                out[c, first : last + 1, j] = stop - start - usual
    return out


def _part_runs(name: str, swapped: Mask, wrong: Floats) -> list[SwapRun]:
    """Runs of one camera (T, 3), trunk, arms and legs merged to "body" where all three are exchanged."""
    found = []
    whole = np.asarray(swapped.all(-1))
    for part, mask, columns in [("body", whole, [0, 1, 2])] + [
        (GROUPS[g], swapped[:, g] & ~whole, [g]) for g in range(3)
    ]:
        for first, last in runs(mask):
            sure = float(1 - wrong[first : last + 1, columns].mean())
            found.append(SwapRun(name, part, first, last, round(sure, 4)))
    return sorted(found, key=lambda run: (run.first_frame, run.part))


def _report(
    clean: Keypoints2D,
    status: NDArray[np.uint8],
    gap_s: Floats,
    swapped: Mask,
    wrong: Floats,
    sizes: Floats,
    times: Floats,
    opt: CleanOptions,
    model: SigmaModel,
    refitted: bool,
    rig: Rig | None,
    scales: dict[tuple[int, int], float] | None,
) -> TrackReport:
    names, live = clean.camera_names, clean.observed
    core = core_joints(clean.skeleton)
    person = (status[:, :, core] <= TrackStatus.LOW_SCORE).sum(-1) >= 4
    warnings: list[str] = []
    swaps: list[SwapRun] = []
    entries = []
    motions = []
    sigma = clean.sigma_px if clean.sigma_px is not None else np.full(live.shape, np.nan)
    for c, name in enumerate(names):
        others = np.delete(person, c, axis=0).any(0) if len(names) > 1 else person[c]
        common = int((person[c] & others).sum())
        runs_c = _part_runs(name, swapped[c], wrong[c])
        swaps += runs_c
        epipolar = None
        if scales:
            mine = [s for pair, s in scales.items() if c in pair]
            epipolar = round(float(np.median(mine)), 4) if mine else None
        gaps = [
            float(gap_s[c, first, j]) for j in range(live.shape[2]) for first, _ in runs(~live[c, :, j])
        ]  # fmt: skip
        motion = _motion(clean.xy[c][:, core], sizes[c])
        motions.append(motion)
        noise = _jitter(clean.xy[c])
        kept = sigma[c][live[c]]
        entry = CameraTrackReport(
            name=name,
            person_frames=int(person[c].sum()),
            common_frames=common,
            observed=round(float(live[c].mean()), 4),
            rejected={
                "outlier": int((status[c] == TrackStatus.OUTLIER).sum()),
                "frozen": int((status[c] == TrackStatus.FROZEN).sum()),
                "low_score": int((status[c] == TrackStatus.LOW_SCORE).sum()),
            },
            swapped_frames=int(swapped[c].any(-1).sum()),
            ambiguous_frames=int(((wrong[c] > opt.ambiguous_probability).any(-1) & person[c]).sum()),
            short_gaps=sum(g <= opt.max_gap_s for g in gaps),
            long_gaps=sum(g > opt.max_gap_s for g in gaps),
            longest_gap_s=round(max(gaps, default=0.0), 4),
            body_size_px=_rounded(float(np.median(sizes[c])) if np.isfinite(sizes[c]).all() else None, 1),
            motion_body=_rounded(motion, 4),
            noise_px=_rounded(noise, 2),
            sigma_px=_rounded(float(np.median(kept)) if len(kept) else None, 2),
            epipolar_body=epipolar,
        )
        entries.append(entry)
        warnings += _camera_warnings(entry, clean.n_frames, len(names), status[c])
    known = [m for m in motions if m is not None]
    still = bool(known) and max(known) < opt.still_motion_body
    if still:
        warnings.append(
            f"The person stands still in every camera (joints travel at most {max(known):.3f} statures): there is "
            "little to calibrate from. Record a person who walks through the volume."
        )
    return TrackReport(
        cameras=tuple(entries),
        frames=clean.n_frames,
        swaps=tuple(swaps),
        still=still,
        views_used=rig is not None and opt.swaps == "views",
        sigma_model=model.to_dict(),
        sigma_refitted=refitted,
        warnings=tuple(warnings),
        options=asdict(opt),
    )


def _camera_warnings(entry: CameraTrackReport, frames: int, count: int, status: NDArray[np.uint8]) -> list[str]:
    name, out = entry.name, []
    if entry.person_frames == 0:
        return [f"{name}: no person was found in any of its {frames} frames; the camera contributes nothing."]
    if count > 1 and entry.common_frames == 0:
        out.append(
            f"{name}: sees the person in {entry.person_frames} frames, but never while another camera does. Check that "
            "the videos show the same take and start together."
        )
    elif entry.person_frames < 0.3 * frames:
        out.append(f"{name}: a person is seen in only {entry.person_frames} of {frames} frames.")
    frozen = entry.rejected["frozen"]
    if frozen > 0.1 * status.size:
        out.append(
            f"{name}: {frozen} samples only repeat the value before them; the video or the detector stood still there."
        )
    if entry.epipolar_body is not None and entry.epipolar_body > 0.12:
        out.append(
            f"{name}: its views contradict those of the other cameras (median epipolar distance "
            f"{entry.epipolar_body:.2f} statures). It may see another person, another time, or be wrongly calibrated."
        )
    if entry.swapped_frames > 0.5 * entry.person_frames:
        out.append(f"{name}: left and right were exchanged in {entry.swapped_frames} of {entry.person_frames} frames.")
    if entry.ambiguous_frames > 0.25 * entry.person_frames:
        out.append(f"{name}: left and right stay uncertain in {entry.ambiguous_frames} frames; they count less.")
    return out


def _motion(xy: Floats, sizes: Floats) -> float | None:
    """How far joints (T, J, 2) travel in statures: 5th to 95th percentile range, median joint; None if unseen."""
    travelled = []
    for j in range(xy.shape[1]):
        track = xy[np.isfinite(xy[:, j, 0]), j]
        if len(track) >= 3:
            low, high = np.percentile(track, [5, 95], axis=0)
            travelled.append(float(np.hypot(*(high - low))))
    size = float(np.median(sizes))
    return float(np.median(travelled)) / size if travelled and np.isfinite(size) else None


def _jitter(xy: Floats) -> float | None:
    """Noise per axis from second differences (T, J, 2); what a smooth motion adds is small at video rates."""
    second = np.linalg.norm(xy[2:] - 2 * xy[1:-1] + xy[:-2], axis=-1)
    known = second[np.isfinite(second)]
    return float(np.median(known)) / (RAYLEIGH_MEDIAN * np.sqrt(6)) if len(known) >= 10 else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits)

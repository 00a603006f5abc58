"""The same people in all cameras, and the cameras from all people, together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras import calibrate
from ..cameras.anthropometry import calibration_joints
from ..errors import DegenerateError, InputError
from ..points3d import TriangulateOptions, triangulate
from ..types import Calibration, Keypoints2D, Points3D, Rig
from .exchanges import undo_exchanges
from .fragments import stitch
from .groups import gather, group_lanes, window_edges
from .identities import joined, lane_points, link_lanes, motion, reassign, relink
from .pairs import PairPose, consistent_pairs, find_pair_pose, geometry_of
from .scale import scale_calibration, scale_from_heights
from .slots import Slots, match_cameras, pack, pieces
from .types import DiscardedTrack, PeopleAssociation, PeopleOptions, PeopleTracks

__all__ = ["associate_people", "match_to_rig", "stack_people"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[int, int, str], None]

MIN_PAIR_SHARE, MIN_PAIR_POINTS = 0.12, 60
LITTLE = 0.4  #: of what the cameras show, and of the frames
SHORT_S = 0.2
MIN_CAMERA_FRAMES = 20  #: of people who are kept, shared with another camera
MOST_START_FRAMES = 6000  #: of all lanes together, for the first calibration


def associate_people(
    tracks: PeopleTracks,
    intrinsics: Rig,
    options: PeopleOptions | None = None,
    *,
    monocular_3d: Sequence[Sequence[ArrayLike]] | None = None,
    progress: Progress | None = None,
) -> PeopleAssociation:
    """Find the same people in all cameras, and the cameras from all of them.

    Needs known lenses, a common time base and people who move; neither poses of the cameras nor identities. How it
    works is told in ``docs/people.md``.

    Args:
        tracks: of every camera, identities arbitrary.
        intrinsics: lenses by the names of the cameras (by position where no name fits); poses are ignored.
        options: see :class:`PeopleOptions`.
        monocular_3d: for each camera and track (T, 17, 3) Human3.6M poses of a lifter in the camera's frame, NaN where
            missing. Their bone directions join in the scores; positions and sizes are not used.
        progress: called as ``progress(done, total, message)``; an exception raised in it stops the work.

    Returns:
        :class:`PeopleAssociation`. People who stand still, or were hardly seen, are left out, and said so.

    Raises:
        InputError: cameras and tracks do not belong together, or statures do not fit the people.
        DegenerateError: the tracks do not determine the cameras; the message says why and what to do.
    """
    options = PeopleOptions() if options is None else options
    work = _Work(tracks, intrinsics, options, progress, 5 + 2 * options.rounds, monocular_3d)
    work.step("pairs of cameras")
    pairs = work.find_pairs()
    work.step("who is who, by pairs of cameras")
    geometry = {p.cameras: geometry_of(p.R, p.t) for p in pairs}
    tau = {p.cameras: float(np.clip(3.5 * p.sigma_px, 3.0, work.limit)) for p in pairs}
    lanes, fit = group_lanes(work.slots, geometry, tau, work.edges, work.flip)
    work.need_lanes(lanes)
    work.step("first calibration")
    calibration = work.calibrate(lanes, final=False)
    people: Ints = lanes
    for k in range(options.rounds):
        work.step("who is who, in space")
        people, fit = work.identify(calibration.rig, work.tau_of(calibration.points), lanes if k == 0 else None, fit)
        work.step("calibration from all people")
        keep, reasons = work.judge(people, calibration.rig)
        calibration = work.calibrate(people[_useful(people, keep, reasons)], final=False)
    work.step("detections to people")
    people, fit = work.identify(calibration.rig, work.tau_of(calibration.points), None, fit)
    keep, reasons = work.judge(people, calibration.rig)
    if not len(keep):
        raise DegenerateError(
            "Nobody was seen by two cameras long enough.", "Check synchronisation and intrinsics, or lower min_share."
        )
    work.check_support(people, keep)
    calibration = work.calibrate(people[_useful(people, keep, reasons)], final=True)
    return work.result(people, keep, reasons, fit, calibration.rig, calibration, pairs)


def match_to_rig(
    tracks: PeopleTracks, rig: Rig, options: PeopleOptions | None = None, *, progress: Progress | None = None
) -> PeopleAssociation:
    """Find the same people in all cameras when the cameras are known.

    Args:
        tracks: of every camera, identities arbitrary.
        rig: cameras with poses, by name (by position where no name fits), metric and upright.
        options: see :class:`PeopleOptions`; nothing is calibrated, and ``heights_m`` is not used.
        progress: called as ``progress(done, total, message)``.

    Raises:
        InputError: cameras and tracks do not belong together, or all cameras stand in one place.
        DegenerateError: nobody was seen by two cameras.
    """
    options = PeopleOptions() if options is None else options
    work = _Work(tracks, rig, options, progress, 2 + options.rounds)
    if np.ptp(work.rig.centers_world, axis=0).max() < 1e-6:
        raise InputError("All cameras stand in one place: the rig has no poses.", "Use associate_people.")
    tau = work.limit
    people: Ints | None = None
    fit: list[Floats] = []
    for _ in range(options.rounds):
        work.step("who is who, in space")
        people, fit = work.identify(work.rig, tau, None, fit)
        tau = work.tau_of_people(people, work.rig)
    assert people is not None
    work.step("judging")
    keep, reasons = work.judge(people, work.rig)
    if not len(keep):
        raise DegenerateError(
            "Nobody was seen by two cameras long enough.",
            "Check that the rig belongs to these videos and that they are synchronised, or lower min_share.",
        )
    work.check_support(people, keep)
    return work.result(people, keep, reasons, fit, work.rig, None, [])


def stack_people(association_xy: Floats, score: Floats, tracks: PeopleTracks) -> Keypoints2D:
    """All people one after the other on the time axis, as :func:`sportcore.calibrate` can use them.

    Args:
        association_xy: (P, C, T, J, 2) px.
        score: (P, C, T, J).
        tracks: for skeleton, names, frame rate and image sizes.

    Returns:
        Keypoints with P T frames: frame ``p T + t`` is frame t of person p.
    """
    P, C, T, J = score.shape
    return Keypoints2D(
        association_xy.transpose(1, 0, 2, 3, 4).reshape(C, P * T, J, 2),
        score.transpose(1, 0, 2, 3).reshape(C, P * T, J),
        tracks.skeleton,
        fps=tracks.fps,
        image_sizes=tracks.image_sizes,
        names=tracks.names,
    )


def _useful(people: Ints, keep: Ints, reasons: Mapping[int, str]) -> Ints:
    """Whom to calibrate on: those kept.

    Who stands still shows one picture, and its error, again and again, which costs up to three quarters of the accuracy
    on synthetic scenes: such people help out only where a camera has hardly anybody else.
    """
    together = (people[keep] >= 0) & ((people[keep] >= 0).sum(1) >= 2)[:, None]  # (P, C, T)
    if len(keep) and together.any(0).sum(1).min() >= MIN_CAMERA_FRAMES:
        return keep
    rest = [p for p, why in sorted(reasons.items()) if why != "seen too little"]
    return np.concatenate([keep, np.array(rest, np.int64)]).astype(np.int64)


class _Work:
    """Everything that the steps share."""

    def __init__(
        self,
        tracks: PeopleTracks,
        rig: Rig,
        options: PeopleOptions,
        progress: Progress | None,
        total: int,
        monocular_3d: Sequence[Sequence[ArrayLike]] | None = None,
    ) -> None:
        if not isinstance(tracks, PeopleTracks):
            raise InputError(f"tracks must be PeopleTracks, got {type(tracks).__name__}.")
        self.tracks, self.options, self.progress, self.total, self.done = tracks, options, progress, total, 0
        self.rig = match_cameras(tracks, rig)
        if len(self.rig) < 2:
            raise InputError("People are matched between cameras: two are needed.")
        self.slots: list[Slots] = pack(tracks, self.rig, options.calibrate.min_score, monocular_3d)
        empty = [n for n, s in zip(tracks.camera_names, self.slots, strict=True) if not s.track.shape[1]]
        if empty:
            raise DegenerateError(f"Camera {empty[0]!r} saw nobody.", "Leave it out, or check its video.")
        joints = calibration_joints(tracks.skeleton)
        where = {j: i for i, j in enumerate(joints)}
        permutation = tracks.skeleton.flip_permutation
        self.joints = joints
        self.flip: Ints | None = None
        if options.calibrate.undo_swaps:
            self.flip = np.array([where.get(int(permutation[j]), i) for i, j in enumerate(joints)])
        diagonal = float(np.hypot(*np.median(self.rig.image_sizes, axis=0)))
        self.limit = options.max_residual_px or 0.01 * diagonal
        self.edges = window_edges(tracks.n_frames, tracks.fps, options.window_s)
        bones = [(where[a], where[b]) for a, b in tracks.skeleton.bone_indices if a in where and b in where]
        self.bones = np.array(bones or [(0, 1)], np.int64)
        heights = options.heights_m
        self.most = options.max_people
        if heights is not None and not isinstance(heights, Mapping):  # one stature for each person
            self.most = min(self.most, len(heights))
        self.pieces = [pieces(s, None)[0] for s in self.slots]
        self.warnings: list[str] = []
        self.seconds: dict[str, float] = {}
        self.info: dict[str, Any] = {}
        self._clock, self._running = time.perf_counter(), ""

    def step(self, message: str) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running] = self.seconds.get(self._running, 0.0) + now - self._clock
        self._clock, self._running = now, message
        if self.progress is not None:
            self.progress(self.done, self.total, message)
        self.done += 1

    # ---- cameras -----------------------------------------------------------------------------------------------------

    def find_pairs(self) -> list[PairPose]:
        """Relative poses of all pairs of cameras that have one, those left out that contradict the others."""
        C = len(self.slots)
        found = []
        for a in range(C):
            for b in range(a + 1, C):
                pose = find_pair_pose(
                    (a, b), self.slots[a], self.slots[b], self.edges, self.limit, self.flip, self.options.seed
                )
                if pose is not None and pose.share >= MIN_PAIR_SHARE and pose.n >= MIN_PAIR_POINTS:
                    found.append(pose)
        if not found:
            raise DegenerateError(
                "No two cameras have tracks that fit together.",
                "Check that the videos are synchronised, show the same people, and that the intrinsics are theirs.",
            )
        return consistent_pairs(found)

    def need_lanes(self, lanes: Ints) -> None:
        """Every camera must have a part in something."""
        lost = [n for c, n in enumerate(self.tracks.camera_names) if not bool((lanes[:, c] >= 0).any())]
        if lost:
            raise DegenerateError(
                f"Nobody in camera {', '.join(map(repr, lost))} could be found in another camera.",
                "Leave it out, or check its synchronisation, its intrinsics and that it shows the same people.",
            )

    def calibrate(self, people: Ints, final: bool) -> Calibration:
        """Cameras from all people; (P, C, T) tracks."""
        xy, score = gather(self.tracks, people)
        keypoints = stack_people(xy, score, self.tracks)
        bodies = np.repeat(np.arange(len(people)), self.tracks.n_frames)
        if not final:
            some = np.flatnonzero((keypoints.observed.any(-1).sum(0)) >= 2)
            if len(some) < 10:
                raise DegenerateError(
                    f"Only {len(some)} frames show a person whom two cameras share.",
                    "Record longer, and check synchronisation and intrinsics.",
                )
            step = -(-len(some) // MOST_START_FRAMES)
            keypoints, bodies = keypoints.frames(some[::step]), bodies[some[::step]]
        wanted = self.options.calibrate
        if not final:
            wanted = dataclasses.replace(wanted, force=True, known_bone=None)
        try:
            calibration = calibrate(keypoints, self.rig, wanted, bodies=bodies)
        except np.linalg.LinAlgError as error:
            raise DegenerateError("The cameras share no moving body of these people.", "Check the tracks.") from error
        self.seconds["calibrations"] = self.seconds.get("calibrations", 0) + 1
        return calibration

    def tau_of_people(self, people: Ints, rig: Rig) -> float:
        """The same where nothing was calibrated."""
        xy, score = gather(self.tracks, people)
        found = triangulate(
            stack_people(xy, score, self.tracks), rig, TriangulateOptions(max_reprojection_error_px=1.5 * self.limit)
        )
        return self.tau_of(found)

    def tau_of(self, points: Points3D) -> float:
        """Residual (px) from which on an observation speaks against a person.

        Four deviations of the observations, from the residuals: V views of a point leave 2 V - 3 of 2 V freedoms.
        """
        r = points.residual_px[points.inlier]
        if not r.size:
            return self.limit
        views = max(float(points.n_views[points.ok].mean()), 2.0)
        sigma = float(np.median(r)) / 1.1774 * np.sqrt(2 * views / (2 * views - 3))
        return float(np.clip(4 * sigma, 5.0, 1.5 * self.limit))

    # ---- people ------------------------------------------------------------------------------------------------------

    def identify(self, rig: Rig, tau: float, lanes: Ints | None, fit: list[Floats]) -> tuple[Ints, list[Floats]]:
        """Everybody in all cameras, bystanders included: (P, C, T) tracks."""
        o, fps = self.options, self.tracks.fps
        if lanes is None:
            geometry, taus = {}, {}
            for a in range(len(rig)):
                for b in range(a + 1, len(rig)):
                    R = rig.R[b] @ rig.R[a].T
                    t = rig.t[b] - R @ rig.t[a]
                    if np.linalg.norm(t) > 1e-9:
                        geometry[a, b] = geometry_of(R, t / np.linalg.norm(t))
                        taus[a, b] = tau
            lanes, fit = group_lanes(self.slots, geometry, taus, self.edges, self.flip)
        threads = o.calibrate.num_threads
        points = lane_points(self.slots, lanes, rig, 1.5 * tau, threads)
        people = link_lanes(points, lanes, self.edges, fps)
        for last in (False, True):
            points = lane_points(self.slots, people, rig, 1.5 * tau, threads)
            if last:
                people = relink(points, people, self.bones, fps)
                points = lane_points(self.slots, people, rig, 1.5 * tau, threads)
            people = self.stitched(people, points)
            whole = lane_points(self.slots, people, rig, 1.5 * tau, threads)
            if not last:  # fragments too short to be anybody do not take detections from others
                seen = (np.isfinite(whole[..., 0]).sum(-1) >= 3).sum(-1)
                real = seen >= max(3, SHORT_S * fps)
                whole = whole[real]
            people = reassign(self.slots, whole, rig, tau, self.flip, fps)
        people = self.stitched(people, lane_points(self.slots, people, rig, 1.5 * tau, threads))
        points = lane_points(self.slots, people, rig, 1.5 * tau, threads)
        people, undone = undo_exchanges(people, points, self.bones, fps)
        self.info["exchanges_undone"] = undone
        return people, fit

    def stitched(self, people: Ints, points: Floats) -> Ints:
        """People (P, C, T) whose fragments are put together."""
        gap_s = self.options.max_gap_s
        groups = stitch(self.carriers(people), points, self.bones, self.tracks.fps, gap_s, self.most)
        return np.stack([joined(people[g]) for g in groups]) if groups else people[:0]

    def carriers(self, people: Ints) -> Ints:
        """(P, C, T) uninterrupted piece of a track for (P, C, T) tracks."""
        out = np.full(people.shape, -1, np.int64)
        for c, (slots, piece) in enumerate(zip(self.slots, self.pieces, strict=True)):
            for m in range(slots.track.shape[1]):
                p, t = np.nonzero((people[:, c] == slots.track[None, :, m]) & (slots.track[None, :, m] >= 0))
                out[p, c, t] = piece[t, m]
        return out

    def judge(self, people: Ints, rig: Rig) -> tuple[Ints, dict[int, str]]:
        """Indices of the people to keep, most seen first, and why the others are left out."""
        o = self.options
        T = people.shape[2]
        points = lane_points(self.slots, people, rig, 1.5 * self.limit, o.calibrate.num_threads)
        seen = (np.isfinite(points[..., 0]).sum(-1) >= 3).mean(-1)
        moved = np.array([motion(p) for p in points])
        count = (people >= 0).sum((1, 2))
        reasons: dict[int, str] = {}
        enough = seen >= max(o.min_share, 3 / max(T, 1))
        someone_moves = bool((moved[enough] > 2 * o.still_m).any()) if enough.any() else False
        for p in range(len(people)):
            if not enough[p]:
                reasons[p] = "seen too little"
            elif o.still_m > 0 and someone_moves and moved[p] < o.still_m:
                reasons[p] = "stands still"
        order = [int(p) for p in np.argsort(-count, kind="stable") if int(p) not in reasons]
        for p in order[self.most :]:
            reasons[p] = "too many people"
        return np.array(order[: self.most], np.int64), reasons

    def check_support(self, people: Ints, keep: Ints) -> None:
        """Doubt an association that explains little of what the cameras show, or of what one of them shows.

        Raises:
            DegenerateError: most is left unexplained, and nobody was seen for long; unless ``force`` is set.
        """
        shown = sum(int((s.track >= 0).sum()) for s in self.slots)
        together = (people >= 0) & ((people >= 0).sum(1) >= 2)[:, None]
        explained = float(together.sum()) / max(shown, 1)
        several = np.sum([(s.track >= 0).any(1) for s in self.slots], axis=0) >= 2
        longest = max(float(together[p].any(0).sum()) / max(int(several.sum()), 1) for p in keep)
        self.info["explained"] = round(explained, 3)
        each = together.any(0).sum(1) / np.maximum([(s.track >= 0).any(1).sum() for s in self.slots], 1)
        self.info["explained_by_camera"] = [round(float(v), 3) for v in each]
        for name, share in zip(self.tracks.camera_names, each.tolist(), strict=True):
            if share < LITTLE and share < 0.6 * float(np.median(each)):
                self.warnings.append(
                    f"Camera {name!r}: in only {100 * share:.0f} % of its frames somebody fits the other cameras "
                    f"({100 * float(np.median(each)):.0f} % elsewhere); its pose may be wrong."
                )
        if explained < LITTLE:
            said = f"Only {100 * explained:.0f} % of the detections fit somebody whom another camera shows"
            remedy = "Check that the videos are synchronised, show the same people, and that the intrinsics are theirs."
            if longest < LITTLE and not self.options.calibrate.force:
                raise DegenerateError(f"{said}, and nobody was followed for long.", remedy)
            self.warnings.append(f"{said}. {remedy} People whom one camera shows alone count here too.")

    # ---- result ------------------------------------------------------------------------------------------------------

    def result(
        self,
        everybody: Ints,
        keep: Ints,
        reasons: Mapping[int, str],
        fit: Sequence[Floats],
        rig: Rig,
        calibration: Calibration | None,
        pairs: Sequence[PairPose],
    ) -> PeopleAssociation:
        """Put everything together."""
        o, tracks = self.options, self.tracks
        people = everybody[keep]
        xy, score = gather(tracks, people)
        T = tracks.n_frames
        if calibration is None:
            tau = self.tau_of_people(people, rig)
            all_points = triangulate(
                stack_people(xy, score, tracks), rig, TriangulateOptions(max_reprojection_error_px=1.5 * tau)
            )
        else:
            all_points = calibration.points
        points = [_slice(all_points, p * T, (p + 1) * T) for p in range(len(people))]
        info: dict[str, Any] = dict(self.info)
        heights = o.heights_m
        if heights is None and o.calibrate.height_m is not None and o.calibrate.known_camera_distance_m is None:
            heights = {p: o.calibrate.height_m for p in range(len(points))} if o.calibrate.known_bone is None else None
        if calibration is not None and heights is not None:
            scale = scale_from_heights(points, heights, o.height_sigma_m)
            source = "statures of " + ", ".join(f"{h:g} m" for h in scale.heights_m.values())
            calibration = scale_calibration(calibration, scale.factor, source, scale.sigma_rel)
            rig = calibration.rig
            points = [_slice(calibration.points, p * T, (p + 1) * T) for p in range(len(people))]
            self.warnings += scale.warnings
            info["scale_votes"] = {int(p): v[0] / scale.factor for p, v in scale.votes.items()}
        keypoints = tuple(
            Keypoints2D(
                x, s, tracks.skeleton, fps=tracks.fps, image_sizes=tracks.image_sizes, names=tracks.camera_names
            )
            for x, s in zip(xy, score, strict=True)
        )
        discarded, split = self._fates(everybody, keep, reasons, fit)
        info |= {
            "pairs": [
                {
                    "cameras": [tracks.camera_names[i] for i in p.cameras], "share": round(p.share, 3),
                    "sigma_px": round(p.sigma_px, 2), "n": p.n,
                }
                for p in pairs
            ],
            "seen_by_two_cameras": [float(np.mean((k >= 0).sum(0) >= 2)) for k in people],
            "left_out": {r: sum(v == r for v in reasons.values()) for r in sorted(set(reasons.values()))},
            "people_left_out": [
                {"reason": why, "frames": self._frames_of(everybody[p])}
                for p, why in sorted(reasons.items(), key=lambda item: -int((everybody[item[0]] >= 0).sum()))
                if why != "seen too little"
            ],
        }  # fmt: skip
        self.step("done")
        info["seconds"] = {k: round(v, 3) for k, v in self.seconds.items()}
        return PeopleAssociation(
            xy, score, people, keypoints, tuple(points), calibration, rig, discarded, split, tuple(self.warnings), info
        )

    def _frames_of(self, person: Ints) -> dict[str, int]:
        """Frames in which each camera shows a person (C, T)."""
        return {n: int(v) for n, v in zip(self.tracks.camera_names, (person >= 0).sum(1), strict=True)}

    def _fates(
        self, everybody: Ints, keep: Ints, reasons: Mapping[int, str], fit: Sequence[Floats]
    ) -> tuple[tuple[DiscardedTrack, ...], tuple[tuple[str, int, tuple[int, ...]], ...]]:
        discarded, split = [], []
        few = max(3, round(SHORT_S * self.tracks.fps))
        new = {int(p): i for i, p in enumerate(keep)}
        for c, name in enumerate(self.tracks.camera_names):
            for k, s in enumerate(self.tracks.score[c]):
                frames = int((s > 0).any(-1).sum())
                owners = {
                    int(p): int((everybody[p, c] == k).sum()) for p in np.flatnonzero((everybody[:, c] == k).any(1))
                }
                kept = {new[p]: n for p, n in owners.items() if p in new}
                if kept:
                    real = tuple(sorted(p for p, n in kept.items() if n >= few))
                    if len(real) > 1:
                        split.append((name, k, real))
                    continue
                best = fit[c][k] if c < len(fit) and k < len(fit[c]) else -1.0
                if owners:
                    reason = reasons[max(owners, key=lambda p: owners[p])]
                elif frames < few:
                    reason = "too short"
                else:
                    reason = "one camera only" if best < 0.2 else "does not fit"
                discarded.append(DiscardedTrack(name, k, frames, reason))
        return tuple(discarded), tuple(split)


def _slice(points: Points3D, a: int, b: int) -> Points3D:
    return Points3D(
        points.xyz[a:b], points.covariance[a:b], points.residual_px[:, a:b], points.inlier[:, a:b], points.n_views[a:b],
        points.status[a:b], points.skeleton, fps=points.fps,
    )  # fmt: skip

"""Several people: everybody in each video, one time base, who is who and the cameras, labels of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, MissingExtraError
from ..io import write_keypoints, write_rig
from ..io.atomic import load_npz, save_npz, to_jsonable, write_json
from ..session import DetectOptions
from ..skeletons import H36M17
from ..stages import StageResult
from ..types import Keypoints2D, Rig
from . import geometry

if TYPE_CHECKING:
    from ..people import PeopleAssociation, PeopleDetections, PeopleOptions, PeopleTracks
    from ..people.lateness import Lateness
    from ..sync import SyncOptions

__all__ = ["align_people", "associate_step", "detect_everybody", "load_people_file", "merge_labels"]

Progress = Callable[[int, int, str], None]
MUCH_MEMORY_GB = 2.0  # of tracks, from which on a word is said

_FILE_HELP = (
    'With people = "all", keypoints2d/CAMERA.npz holds everybody: times_s (T,), frame (N,), xy (N, J, 2), '
    "score (N, J), skeleton, image_size; sportcore.people.PeopleDetections.save writes it."
)


# ---- everybody in each video -----------------------------------------------------------------------------------------


def detect_everybody(
    folder: Path, video: Path, options: DetectOptions, model: str, progress: Progress | None = None, threads: int = 1
) -> dict[str, Any]:
    """Look for everybody in one video; writes ``people.npz``.

    Args:
        folder: where to write.
        video: the file.
        options: what to look at.
        model: a BlazePose model.
        progress: frames done.
        threads: of the detector.

    Raises:
        InputError: the video cannot be read, nobody is in it, or the model follows one person only.
    """
    from ..people import detect_people
    from ..videos import VideoReader, probe

    if not model.startswith("blazepose"):
        raise InputError(
            f'people = "all" does not go with the detector {model!r}.',
            'Use blazepose-heavy, -full or -lite, or write keypoints2d/CAMERA.npz yourself (model = "files").',
        )
    info = probe(video)
    start = round(options.start_s * info.fps)
    stop = None if options.end_s is None else round(options.end_s * info.fps)
    reader = VideoReader(video, start=start, stop=stop, num_threads=threads)
    found = detect_people(
        reader, model, image_size=reader.image_size, stride=options.stride, num_threads=threads, progress=progress
    )
    found.save(folder / "people.npz")
    return {"detector": model} | _describe(found, video.name, list(reader.warnings))


def load_people_file(folder: Path, source: Path) -> dict[str, Any]:
    """Take everybody in one video from a file; writes ``people.npz``.

    Raises:
        InputError: not such a file, or nobody in it.
    """
    from ..people import PeopleDetections

    try:
        found = PeopleDetections.load(source)
    except InputError as error:
        raise InputError(f"{source}: {error.message}", _FILE_HELP) from error
    found.save(folder / "people.npz")
    return {"detector": "files"} | _describe(found, source.name, [])


def _describe(found: PeopleDetections, name: str, warnings: list[str]) -> dict[str, Any]:
    several = np.bincount(found.frame, minlength=found.n_frames) if len(found.frame) else np.zeros(found.n_frames, int)
    present = int((several > 0).sum())
    if found.n_frames < 2 or present == 0 or present < 0.02 * found.n_frames:
        raise InputError(
            f"{name}: somebody was found in {present} of {found.n_frames} frames.",
            "Athletes must be visible from head to feet, and not much smaller than a tenth of the image.",
        )
    shown = found.score > 0
    return {
        "frames": found.n_frames, "present": present, "fps": found.fps, "image_size": list(found.image_size),
        "skeleton": found.skeleton.name, "detections": len(found.frame), "most_people": int(several.max()),
        "mean_people": float(several.mean()), "mean_score": float(found.score[shown].mean()) if shown.any() else 0.0,
        "warnings": warnings,
    }  # fmt: skip


# ---- one time base ---------------------------------------------------------------------------------------------------


def align_people(
    folder: Path,
    found: Mapping[str, StageResult],
    options: SyncOptions,
    progress: Progress | None = None,
    *,
    intrinsics: Rig,
    videos: Mapping[str, Path],
) -> dict[str, Any]:
    """Bring all cameras to one time base; writes ``rows.npz`` and ``report.json``.

    ``rows.npz``: ``frame (C, T)``, the frame of each camera in each row of the common base (-1: none), ``times_s
    (C, T)``, ``fps`` and ``names``. Frames are never interpolated.

    Raises:
        InputError: different frame rates or lengths; lateness that was asked for by a method that does not show it.
    """
    from ..people import PeopleDetections

    loaded = {n: PeopleDetections.load(r.file("people.npz")) for n, r in found.items()}
    skeletons = sorted({d.skeleton.name for d in loaded.values()})
    if len(skeletons) > 1:
        raise InputError(f"The cameras' keypoints are of different skeletons: {', '.join(skeletons)}.")
    rates = {n: d.fps for n, d in loaded.items()}
    if max(rates.values()) / min(rates.values()) - 1 > options.fps_tolerance:
        listed = ", ".join(f"{n} {r:.3f}" for n, r in rates.items())
        raise InputError(
            f"The cameras have different frame rates: {listed} frames per second.",
            "Several people are not interpolated: bring the videos to one rate first, with ffmpeg -r, say.",
        )
    keypoints, report = _aligned(loaded, rates, options, intrinsics, videos, progress)
    frame = np.where(np.isfinite(keypoints.xy[:, :, 0, 0]), np.nan_to_num(keypoints.xy[:, :, 0, 0]), -1)
    assert keypoints.times is not None
    save_npz(
        folder / "rows.npz", frame=np.round(frame).astype(np.int64), times_s=keypoints.times,
        fps=np.array(keypoints.fps), names=np.array(keypoints.camera_names),
    )  # fmt: skip
    write_json(folder / "report.json", report)
    return {"frames": keypoints.n_frames, "fps": keypoints.fps, "report": report}


def _aligned(
    loaded: Mapping[str, PeopleDetections],
    rates: Mapping[str, float],
    options: SyncOptions,
    intrinsics: Rig,
    videos: Mapping[str, Path],
    progress: Progress | None,
) -> tuple[Keypoints2D, dict[str, Any]]:
    """Frame numbers of the cameras, as the pelvis of a stand-in, on one time base, and what was done."""
    import dataclasses

    from ..people.lateness import MIN_SHARE
    from ..sync import CameraTrack, align_cameras

    tracks = []
    for name, d in loaded.items():
        xy = np.zeros((d.n_frames, H36M17.n_joints, 2))
        xy[:, 0] = np.arange(d.n_frames)[:, None]
        tracks.append(CameraTrack(name, xy, np.ones(xy.shape[:2]), d.times_s, d.image_size, rates[name]))

    def align(**how: Any) -> tuple[Keypoints2D, dict[str, Any]]:
        keypoints, report = align_cameras(
            tracks, H36M17, dataclasses.replace(options, **how), intrinsics=intrinsics, videos=videos
        )
        return keypoints, report.to_dict()

    if options.offsets == "none" or not isinstance(options.offsets, str) or options.method not in ("auto", "motion"):
        return align()
    seen = _seen_lateness(loaded, rates, options, intrinsics, progress)
    sure = all(not v.reason for v in seen)
    if not sure and options.method == "auto" and len(videos) == len(loaded):
        try:
            return align(method="audio")
        except (InputError, MissingExtraError):
            pass
    fps = float(np.median(list(rates.values())))
    if not sure and options.method == "motion":
        words = "; ".join(_lateness_words(v, 0.0, fps) for v in seen if v.reason)
        raise InputError(f'method = "motion" does not show how late every camera looks: {words}.', _BY_HAND)
    late = {v.name: (v.frames or 0) / fps for v in seen}
    sigma = dict.fromkeys(late, 0.4 / fps)  # whole frames alone may be one off
    if sure:
        keypoints, _ = align(offsets=late)
        fine, within = _finer(loaded, keypoints, intrinsics)
        for name, more, s in zip(late, fine, within, strict=True):
            if np.isfinite(more) and abs(more) < 2.5 / fps and s < 0.5 / fps:
                late[name], sigma[name] = late[name] + float(more), float(s)
    applied = {n: v if abs(v) > max(0.5 / fps, 4 * sigma[n]) else 0.0 for n, v in late.items()}
    keypoints, report = align(offsets=applied)
    report["options"]["offsets"] = "auto"
    report["notes"] = [n for n in report["notes"] if not n.startswith("Offsets were applied")]
    for v, row in zip(seen, report["cameras"], strict=True):
        said = _lateness_words(v, applied[v.name], fps)
        row |= {"source": "none" if v.reason else "motion", "reason": v.reason}
        row |= {"offset_s": late[v.name], "offset_sigma_s": sigma[v.name]}
        row["confidence"] = 0.0 if v.reason else float(np.clip(1 - v.second / max(v.share, 1e-9), 0, 1))
        if v.reason:
            row |= {"offset_s": None, "offset_sigma_s": None}
            worse = v.at_zero < max(FITS_AS_WELL * max(v.share, v.second), MIN_SHARE)
            report["sure"] &= not worse
            report["warnings" if worse else "notes"].append(
                f"{said}; left as it is. {_BY_HAND if worse else ''}".strip()
            )
        elif v is not seen[0]:
            report["warnings" if applied[v.name] else "notes"].append(f"{said}.")
    return keypoints, report


# A camera whose lateness is not known is left as it is without doubt when that explains this part of the best.
FITS_AS_WELL = 0.9
_BY_HAND = (
    'Give the lateness by hand (offsets = { cam02 = 0.120 } under [sync]), or leave it as it is: method = "none".'
)


def _lateness_words(v: Lateness, applied_s: float, fps: float) -> str:
    fits = f"{100 * v.share:.0f} % of the tracks fit, {100 * v.second:.0f} % at the best other moment"
    if v.reason:
        return f"{v.name}: how late it looks could not be told from the people in view ({v.reason}: {fits})"
    if not applied_s:
        return f"{v.name}: begins together with the first camera ({fits}); nothing to correct"
    way = f"{abs(applied_s) * fps:.1f} frames {'later' if applied_s > 0 else 'earlier'} than the first camera"
    return f"{v.name} looks {abs(applied_s):.3f} s or {way} ({fits}); this was corrected"


def _finer(loaded: Mapping[str, PeopleDetections], rows: Keypoints2D, intrinsics: Rig) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the lateness when the cameras are on common rows: (C,) seconds and deviations, NaN unknown."""
    from ..people.lateness import MOST_FRAMES, finer_lateness

    frame = np.where(np.isfinite(rows.xy[:, :MOST_FRAMES, 0, 0]), np.nan_to_num(rows.xy[:, :MOST_FRAMES, 0, 0]), -1)
    assert rows.times is not None and rows.fps is not None
    tracks = _tracks_on_rows(loaded, np.round(frame).astype(np.int64), rows.fps)
    return finer_lateness(tracks, rows.times[:, :MOST_FRAMES], intrinsics.subset(tuple(loaded)))


def _seen_lateness(
    loaded: Mapping[str, PeopleDetections],
    rates: Mapping[str, float],
    options: SyncOptions,
    intrinsics: Rig,
    progress: Progress | None,
) -> tuple[Lateness, ...]:
    """Lateness of every camera from the people in view, in whole frames."""
    from ..people import PeopleTracks, track_people
    from ..people.lateness import people_lateness

    fps = float(np.median(list(rates.values())))
    rows = [np.round((d.times_s - d.times_s[0]) * fps).astype(int) for d in loaded.values()]
    T = max(int(r[-1]) for r in rows) + 1
    xys, scores = [], []
    for d, row in zip(loaded.values(), rows, strict=True):
        xy, score = track_people(d.frames())
        xys.append([np.full((T, *x.shape[1:]), np.nan) for x in xy])
        scores.append([np.zeros((T, s.shape[1])) for s in score])
        for x, s, wide, wide_s in zip(xy, score, xys[-1], scores[-1], strict=True):
            wide[row], wide_s[row] = x, s
    first = next(iter(loaded.values()))
    tracks = PeopleTracks(
        xys, scores, first.skeleton, tuple(loaded), fps, np.array([d.image_size for d in loaded.values()])
    )
    return people_lateness(
        tracks, intrinsics.subset(tuple(loaded)), reach_s=2 * options.max_offset_s, progress=progress
    )


# ---- who is who, and the cameras -------------------------------------------------------------------------------------


def people_tracks(found: Mapping[str, StageResult], sync: StageResult) -> PeopleTracks:
    """Tracks of everybody in all cameras on the rows of the common time base."""
    from ..people import PeopleDetections

    rows = load_npz(sync.file("rows.npz"), required=("frame", "fps"))
    loaded = {n: PeopleDetections.load(r.file("people.npz")) for n, r in found.items()}
    return _tracks_on_rows(loaded, rows["frame"], float(rows["fps"]))


def _tracks_on_rows(loaded: Mapping[str, PeopleDetections], frame: np.ndarray, fps: float) -> PeopleTracks:
    from ..people import PeopleTracks, track_people

    xys: list[list[np.ndarray]] = []
    scores: list[list[np.ndarray]] = []
    for d, row in zip(loaded.values(), frame, strict=True):
        xy, score = track_people(d.frames())
        there = row >= 0
        xys.append([np.where(there[:, None, None], x[row], np.nan) for x in xy])
        scores.append([np.where(there[:, None], s[row], 0.0) for s in score])
    first = next(iter(loaded.values()))
    sizes = np.array([d.image_size for d in loaded.values()])
    return PeopleTracks(xys, scores, first.skeleton, tuple(loaded), fps, sizes)


def associate_step(
    folder: Path,
    found: Mapping[str, StageResult],
    sync: StageResult,
    rig: Rig,
    options: PeopleOptions,
    given: bool,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the people in all cameras, and the cameras from all people.

    Writes ``Calib.toml``, ``report.json`` (of the calibration), ``people.json`` and ``person0/keypoints.npz`` ...

    Args:
        folder: where to write.
        found: everybody in each video.
        sync: the common time base.
        rig: lenses, or the cameras when ``given``.
        options: how.
        given: the poses of the rig are known and not looked for.
        progress: steps done.

    Raises:
        DegenerateError: the people do not determine the cameras, or nobody was seen by two of them.
    """
    from ..people import associate_people, match_to_rig

    tracks = people_tracks(found, sync)
    gigabytes = sum(map(len, tracks.xy)) * tracks.n_frames * tracks.skeleton.n_joints * 24 / 1e9
    if given:
        a = match_to_rig(tracks, rig, options, progress=progress)
        out = geometry.given_cameras(folder, a.rig)
    else:
        a = associate_people(tracks, rig, options, progress=progress)
        assert a.calibration is not None
        write_rig(a.calibration.rig, folder / "Calib.toml")
        report = a.calibration.report.to_dict()
        write_json(folder / "report.json", report)
        out = {"grade": a.calibration.report.grade, "warnings": list(a.calibration.report.warnings), "report": report}
    times = load_npz(sync.file("rows.npz"), required=("times_s",))["times_s"]
    for p, keypoints in enumerate(a.keypoints):
        (folder / f"person{p}").mkdir()
        write_keypoints(keypoints.replace(times=times), folder / f"person{p}" / "keypoints.npz")
    people = describe_people(a, tracks)
    write_json(folder / "people.json", people)
    warnings = list(dict.fromkeys([*out["warnings"], *a.warnings]))
    if gigabytes > MUCH_MEMORY_GB:
        warnings.append(
            f"The tracks of this recording take {gigabytes:.1f} GB of memory, more while they are matched: "
            "detect.stride = 2 halves it."
        )
    return {**out, "warnings": warnings, "people": people}


def describe_people(a: PeopleAssociation, tracks: PeopleTracks) -> dict[str, Any]:
    """Who was found, who was left out and why, in words and numbers for JSON.

    ``people``: frames per camera and the share of the time in which two cameras or more show them; ``left_out``: other
    people; ``discarded``: reason -> number of tracks and their frames; ``exchanged``: tracks that changed from one
    person to another.
    """
    names = tracks.camera_names
    rows = []
    for p, k in enumerate(a.track):
        together = (k >= 0).sum(0) >= 2
        rows.append({
            "person": p, "frames": {n: int(v) for n, v in zip(names, (k >= 0).sum(1), strict=True)},
            "seen_by_two_share": float(together.mean()),
            "first_s": float(np.argmax(together) / tracks.fps) if together.any() else None,
            "last_s": float((len(together) - 1 - np.argmax(together[::-1])) / tracks.fps) if together.any() else None,
        })  # fmt: skip
    discarded: dict[str, dict[str, Any]] = {}
    for d in a.discarded:
        one = discarded.setdefault(d.reason, {"tracks": 0, "frames": 0, "cameras": []})
        one["tracks"] += 1
        one["frames"] += d.frames
        if d.camera not in one["cameras"]:
            one["cameras"].append(d.camera)
    return to_jsonable({
        "found": a.n_people, "frames": tracks.n_frames, "people": rows, "left_out": a.info.get("people_left_out", []),
        "discarded": discarded, "exchanged": len(a.split_tracks),
        "tracks": {n: len(x) for n, x in zip(names, tracks.xy, strict=True)}, "explained": a.info.get("explained"),
    })  # fmt: skip


# ---- labels of all people --------------------------------------------------------------------------------------------


def merge_labels(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """The labels of all people as if each had cameras of their own; writes ``labels.npz``.

    All of them have the same frames, and the same ones are held out.
    """
    import dataclasses

    from ..pseudolabels import PseudoLabels

    parts = [PseudoLabels.load(f) for f in files]
    first = parts[0]
    gates: dict[str, int] = {}
    for part in parts:
        for key, n in part.gates.items():
            gates[key] = gates.get(key, 0) + n
    stacked: dict[str, Any] = {
        k: np.concatenate([getattr(p, k) for p in parts])
        for k in ("xy", "score", "K", "image_size", "pose_cam_m", "weight", "up_cam")
    }
    names = tuple(f"{n} person {i}" for i, p in enumerate(parts) for n in p.names)
    labels = dataclasses.replace(first, **stacked, names=names, gates=gates)
    labels.save(folder / "labels.npz")
    return dict(labels.summary())

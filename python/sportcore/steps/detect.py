"""From videos to 2D tracks: detection per camera, one common time base, cleaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io import read_keypoints, write_keypoints
from ..io.atomic import load_npz, write_json
from ..session import DetectOptions, Session
from ..skeletons import get_skeleton
from ..stages import StageResult
from ..types import Keypoints2D, Points3D, Rig

if TYPE_CHECKING:
    from ..keypoints2d import Detections

Progress = Callable[[int, int, str], None]

# More than this share of frames with a second person, and the session needs a word from its owner.
SECOND_PERSON_SHARE = 0.25


def detect_camera(
    folder: Path, video: Path, options: DetectOptions, model: str, progress: Progress | None = None, threads: int = 1
) -> dict[str, Any]:
    """Look for the athlete in every frame of one video; writes ``detections.npz``.

    Args:
        folder: where to write.
        video: the file.
        options: what to look at.
        model: the detector in use, see :func:`prepare_detector`.
        progress: frames done.
        threads: of the detector.

    Raises:
        InputError: the video cannot be read, or nobody is in it.
    """
    from ..keypoints2d import make_detector
    from ..videos import VideoReader, probe

    info = probe(video)
    start = round(options.start_s * info.fps)
    stop = None if options.end_s is None else round(options.end_s * info.fps)
    reader = VideoReader(video, start=start, stop=stop, num_threads=threads)
    detector = make_detector(model, **detector_options(options, video.stem, threads))
    found = detector.detect_video(reader, reader.image_size, progress=progress)
    found.require_person(video.name)
    found.save(folder / "detections.npz")
    return {"detector": detector.name, "version": detector.version} | _describe(
        found, reader.fps, [*reader.warnings, *(f"{video.stem}: {w}" for w in found.warnings)]
    )


def prepare_detector(model: str, progress: Progress | None = None) -> tuple[str, list[Path]]:
    """Have a detector's files in place.

    Returns:
        The detector that will be used (another one where the weights asked for cannot be had), and its files.

    Raises:
        WeightsError: the files cannot be fetched; says how to put them in place by hand.
        InputError: a file of your own that does not exist.
    """
    from .. import weights

    if model.startswith("blazepose"):
        path = weights.ensure(model, progress=progress)
        return path.stem, [path, weights.ensure("blazepose-person", progress=progress)]
    if model.startswith("onnx:"):
        path = Path(model[5:]).expanduser().resolve()
        if not path.is_file():
            raise InputError(f"[detect] model: {path} does not exist.")
        return f"onnx:{path}", [path, weights.ensure("blazepose-person", progress=progress)]
    return model, []


def detector_options(options: DetectOptions, camera: str, threads: int) -> dict[str, Any]:
    """What a detector is made with, besides its name."""
    out: dict[str, Any] = {"num_threads": threads}
    if options.model.startswith("blazepose"):
        out["flip_average"] = options.flip_average
        if camera in options.near:
            x, y = options.near[camera]
            out["near"] = (float(x), float(y))
    return out


def _describe(found: Detections, fps: float, warnings: list[str]) -> dict[str, Any]:
    looked = found.n_persons[found.counted & found.present] if found.counted is not None else found.n_persons
    return {
        "frames": found.n_frames, "present": int(found.present.sum()), "fps": float(fps),
        "image_size": list(found.image_size), "skeleton": found.skeleton.name,
        "second_person_share": float((looked > 1).mean()) if len(looked) else 0.0,
        "mean_score": float(found.score[found.present].mean()), "warnings": warnings,
    }  # fmt: skip


def load_camera_file(folder: Path, source: Path) -> dict[str, Any]:
    """Take one camera's keypoints from a file instead of a video; writes ``detections.npz``.

    Raises:
        InputError: an array is missing or does not fit the others, or no joint is in any frame.
    """
    from ..keypoints2d import Detections

    data = load_npz(source, required=("xy", "score", "times_s", "skeleton", "image_size"))
    xy = np.asarray(data["xy"], float)
    score = np.where(np.isfinite(xy).all(-1), np.asarray(data["score"], float), 0.0)
    present = np.isfinite(xy).all(-1).any(-1)
    size = np.asarray(data["image_size"]).astype(int)
    try:
        found = Detections(
            skeleton=get_skeleton(str(data["skeleton"])), image_size=(int(size[0]), int(size[1])), xy=xy, score=score,
            times_s=np.asarray(data["times_s"], float), n_persons=data.get("n_persons", present.astype(int)),
            present=present,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    found.require_person(source.name)
    found.save(folder / "detections.npz")
    fps = float(data["fps"]) if "fps" in data and float(data["fps"]) > 0 else found.fps
    return {"detector": "files", "version": "1"} | _describe(found, fps, [])


def check_people(found: Mapping[str, StageResult], session: Session) -> None:
    """Refuse a session where a second person is often in view, unless its owner said to follow one.

    Raises:
        InputError: names the cameras and the share of frames.
    """
    crowded = {n: r.info["second_person_share"] for n, r in found.items()}
    crowded = {n: s for n, s in crowded.items() if s > SECOND_PERSON_SHARE}
    if crowded and session.detect.people == "one":
        said = ", ".join(f"{n} ({s:.0%} of the frames)" for n, s in crowded.items())
        raise InputError(
            f"More than one person is in view: {said}. Cameras are found from one athlete who is the same in all.",
            'Set people = "all" under [detect] (--people all) to use everybody, people = "follow" to follow the most '
            "visible person, or cut the videos to the athlete.",
        )


def synchronise(
    folder: Path,
    found: Mapping[str, StageResult],
    options: Any,
    progress: Progress | None = None,
    *,
    intrinsics: Rig | None = None,
    videos: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Bring all cameras to one time base; writes ``keypoints.npz``.

    Args:
        folder: where to write.
        found: what detection left, by camera.
        options: see :class:`sportcore.sync.SyncOptions`.
        progress: unused.
        intrinsics: lenses by camera name.
        videos: for their sound and time codes, by camera name.
    """
    from ..keypoints2d import Detections
    from ..sync import CameraTrack, align_cameras

    loaded = {name: Detections.load(result.file("detections.npz")) for name, result in found.items()}
    skeletons = {d.skeleton.name for d in loaded.values()}
    if len(skeletons) > 1:
        raise InputError(f"The cameras' keypoints are of different skeletons: {', '.join(sorted(skeletons))}.")
    tracks = [
        CameraTrack(
            name=name, xy=d.xy, score=d.score, times_s=d.times_s, image_size=d.image_size,
            fps=float(found[name].info["fps"]),
        )
        for name, d in loaded.items()
    ]  # fmt: skip
    skeleton = next(iter(loaded.values())).skeleton
    keypoints, report = align_cameras(tracks, skeleton, options, intrinsics=intrinsics, videos=videos)
    write_keypoints(keypoints, folder / "keypoints.npz")
    write_json(folder / "report.json", report.to_dict())
    return {"frames": keypoints.n_frames, "fps": keypoints.fps, "report": report.to_dict()}


def clean(
    folder: Path, source: Path, options: Any, rig: Rig | None = None, points: Points3D | None = None
) -> dict[str, Any]:
    """Undo swaps, reject jumps, give every observation its sigma, and read all cameras at the times of the first;
    writes ``keypoints.npz`` and ``report.json``.
    """
    from ..cameras.clocks import in_step
    from ..keypoints2d.tracks import clean_tracks

    cleaned = clean_tracks(read_keypoints(source), options=options, rig=rig, points=points)
    keypoints, moved = in_step(cleaned.keypoints)
    write_keypoints(keypoints, folder / "keypoints.npz")
    report = cleaned.report.to_dict() | {"moved_frames": [round(float(m), 3) for m in moved]}
    write_json(folder / "report.json", report)
    return {"report": report}


def load_keypoints(result: StageResult) -> Keypoints2D:
    """The keypoints that a stage wrote."""
    return read_keypoints(result.file("keypoints.npz"))

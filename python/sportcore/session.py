"""A session: a folder with videos, what is known of the cameras, and a small optional TOML.

    my-session/
      session.toml        optional
      cam01.mp4 ...       or videos/cam01.mp4 ...
      Calib.toml          optional: intrinsics from any calibration file that `sportcore.read_rig` reads

The name of a camera is the stem of its video. Everything has a sensible value without the TOML.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import InputError
from .options import from_table, with_overrides
from .types import ASSUMED_FOCAL, Camera, Rig
from .videos import VIDEO_SUFFIXES

__all__ = ["AthleteOptions", "CameraOptions", "DetectOptions", "LiftOptions", "Session", "TuneOptions", "load_session"]

OUTPUT_FOLDER = "sportcore"
_CALIBRATION_NAMES = (
    "calib*.toml", "Calib*.toml", "calibration.toml", "camera_array.toml", "*.qca.txt", "*.xcp", "intri.yml",
    "calibration/calib*.toml", "calibration/Calib*.toml", "calibration/*.qca.txt", "calibration/*.xcp",
)  # fmt: skip


@dataclass(frozen=True)
class AthleteOptions:
    """What is known of the athlete, or of the athletes.

    Attributes:
        height_m: stature; gives the scale of the scene.
        heights_m: statures of several athletes (``people = "all"``), in any order: they are matched by size, and no
            more people than statures are kept.
    """

    height_m: float | None = None
    heights_m: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name, heights in (("height_m", (self.height_m,)), ("heights_m", self.heights_m or ())):
            for h in heights:
                if h is not None and not 0.5 <= h <= 2.6:
                    raise InputError(f"[athlete] {name}: {h} is not a stature in metres.", "1.78, say.")
        if self.heights_m is not None and not self.heights_m:
            raise InputError("[athlete] heights_m is empty.", "heights_m = [1.82, 1.69], say, or leave it out.")
        if self.heights_m is not None and self.height_m is not None:
            raise InputError("[athlete] has height_m and heights_m.", "Give one of them.")


@dataclass(frozen=True)
class CameraOptions:
    """What is known of the cameras.

    Attributes:
        intrinsics: calibration file for focal length, principal point and distortion (any format that is read).
        poses: ``"body"`` finds them from the athlete; ``"file"`` takes them from the calibration file.
        focal_px: focal length in px of every camera, when there is no file.
        fov_deg: horizontal angle of view of every camera, when there is no file.
    """

    intrinsics: str | None = None
    poses: Literal["body", "file"] = "body"
    focal_px: float | None = None
    fov_deg: float | None = None

    def __post_init__(self) -> None:
        if self.focal_px is not None and self.focal_px <= 0:
            raise InputError(f"[cameras] focal_px must be positive, got {self.focal_px}.")
        if self.fov_deg is not None and not 5 < self.fov_deg < 175:
            raise InputError(f"[cameras] fov_deg must lie between 5 and 175, got {self.fov_deg}.")


@dataclass(frozen=True)
class DetectOptions:
    """2D detection.

    Attributes:
        model: detector, see ``sportcore weights``; ``"onnx:/path/model.onnx"`` for a file of your own, ``"files"`` to
            read ``keypoints2d/CAMERA.npz`` instead of looking at the videos.
        start_s: skip what is before this time of each video.
        end_s: stop at this time.
        people: ``"one"`` refuses videos that often show a second person; ``"follow"`` follows the most visible one;
            ``"all"`` follows everybody, and finds the cameras from all who move (see ``docs/people.md``).
        stride: with ``people = "all"``: look at every so manyth frame only.
        near: camera name -> (x, y) px of the athlete in its first frames, where somebody else is in view as well.
        flip_average: look at the mirrored image too and average (BlazePose; half the speed, a little steadier).
        workers: videos that are looked at at the same time; 0 chooses by the number of processors.
    """

    model: str = "blazepose-heavy"
    start_s: float = 0.0
    end_s: float | None = None
    people: Literal["one", "follow", "all"] = "one"
    stride: int = 1
    near: Mapping[str, Sequence[float]] = field(default_factory=dict)
    flip_average: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            raise InputError(f"[detect] needs 0 <= start_s < end_s, got {self.start_s} and {self.end_s}.")
        for name, where in self.near.items():
            if np.shape(where) != (2,):
                raise InputError(f"[detect] near: {name} must be [x, y] in px, got {where!r}.")
        if self.stride < 1:
            raise InputError(f"[detect] stride must be at least 1, got {self.stride}.")
        if self.people != "all" and self.stride != 1:
            raise InputError("[detect] stride goes with several people only.", 'Set people = "all", or leave it out.')
        if self.people == "all" and (self.near or self.flip_average):
            other = "near" if self.near else "flip_average"
            raise InputError(
                f'[detect] {other} is for one athlete and has no meaning with people = "all".', "Leave it out."
            )


@dataclass(frozen=True)
class LiftOptions:
    """The monocular model to start from.

    Attributes:
        model: ``"base"`` or the path of a checkpoint.
        flip_average: average the prediction with that of the mirrored input.
    """

    model: str = "base"
    flip_average: bool = True


@dataclass(frozen=True)
class TuneOptions:
    """The outer loop: lift, calibrate, triangulate, label, fine-tune, again.

    Attributes:
        iterations: rounds of the loop; 0 leaves the lifter as it is.
    """

    iterations: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.iterations <= 20:
            raise InputError(f"[tune] iterations must lie between 0 and 20, got {self.iterations}.")


@dataclass(frozen=True)
class Session:
    """A checked session description.

    Attributes:
        folder: the session folder.
        name: for titles.
        videos: camera name -> video file, in order.
        table: the option tables as read, with overrides.
        toml: the file they came from, if any.
    """

    folder: Path
    name: str
    videos: Mapping[str, Path]
    athlete: AthleteOptions
    cameras: CameraOptions
    detect: DetectOptions
    lift: LiftOptions
    tune: TuneOptions
    table: Mapping[str, Any] = field(default_factory=dict)
    toml: Path | None = None

    @property
    def output(self) -> Path:
        """Folder of everything that is written."""
        return self.folder / OUTPUT_FOLDER

    @property
    def monocular(self) -> bool:
        """Whether there is only one camera."""
        return len(self.videos) == 1

    @property
    def several_people(self) -> bool:
        """Whether everybody in view is followed."""
        return self.detect.people == "all"

    def options(self, section: str, cls: type[Any]) -> Any:
        """The options of one stage as ``cls``.

        Raises:
            InputError: an unknown name or a wrong value, naming the section.
        """
        return from_table(cls, self.table.get(section, {}), f"[{section}] in {self.toml or 'the options'}")

    def calibration_file(self) -> Path | None:
        """The file that the intrinsics come from.

        Raises:
            InputError: the file that was named is not there, or several lie in the folder.
        """
        if self.cameras.intrinsics is not None:
            path = (self.folder / self.cameras.intrinsics).resolve()
            if not path.exists():
                raise InputError(f"[cameras] intrinsics: {path} does not exist.", "Paths are relative to the session.")
            return path
        found = sorted({p.resolve() for pattern in _CALIBRATION_NAMES for p in self.folder.glob(pattern)})
        if len(found) > 1:
            raise InputError(
                f"Several calibration files lie in {self.folder}: {', '.join(p.name for p in found)}.",
                'Name the one to use in session.toml: [cameras] intrinsics = "FILE".',
            )
        return found[0] if found else None

    def intrinsics(self, image_sizes: Mapping[str, tuple[int, int]]) -> tuple[Rig, str, list[str]]:
        """What is known of the lenses.

        Args:
            image_sizes: camera name -> (width, height) px of its video, upright.

        Returns:
            The rig (poses as in the file, or identity), where the numbers come from, and warnings.
        """
        path = self.calibration_file()
        notes: list[str] = []
        if path is None:
            cameras = []
            for name, (w, h) in image_sizes.items():
                if self.cameras.focal_px is not None:
                    focal, source = self.cameras.focal_px, "focal length as given"
                elif self.cameras.fov_deg is not None:
                    focal, source = w / 2 / np.tan(np.radians(self.cameras.fov_deg) / 2), "angle of view as given"
                else:
                    focal, source = ASSUMED_FOCAL * max(w, h), "assumed"
                K = [[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]]
                cameras.append(Camera(name=name, image_size=(w, h), K=np.array(K), model="pinhole"))
            if source == "assumed":
                notes.append(
                    "The lenses are unknown: a focal length of 0.8 of the long image side was assumed, which may be "
                    "20 % off and bends depth by as much; the calibration of three cameras or more corrects it by one "
                    "factor for all. Better: a calibration file, focal_px or fov_deg under [cameras]."
                )
            return Rig(tuple(cameras)), source, notes
        from .io import read_rig_file

        read = read_rig_file(path, image_sizes=dict(image_sizes))
        rig, posed = read.rig, dict(zip(read.rig.names, read.has_pose, strict=True))
        # Poses come from the body: that a file has none is no news.
        notes.extend(n for n in read.notes if not n.startswith("intrinsics only"))
        names = _match_names(list(image_sizes), list(rig.names), path)
        cameras = []
        for name, theirs in names.items():
            camera = rig[theirs].replace(name=name)
            if self.cameras.poses == "file" and not posed[theirs]:
                raise InputError(
                    f'poses = "file" was asked for, but {path.name} has no pose for camera {theirs!r}.',
                    'Use poses = "body" to find the cameras from the athlete.',
                )
            w, h = image_sizes[name]
            if camera.image_size != (w, h):
                if max(abs(camera.image_size[0] - w) / w, abs(camera.image_size[1] - h) / h) > 0.02:
                    raise InputError(
                        f"{name}: its video is {w}x{h} px, the calibration {path.name} was made at "
                        f"{camera.image_size[0]}x{camera.image_size[1]} px.",
                        "Use the calibration of this video mode, or scale K in the file to the video's size.",
                    )
                notes.append(
                    f"{name}: the video is {w}x{h} px, the calibration says {camera.image_size[0]}x"
                    f"{camera.image_size[1]}; its numbers are used without a shift."
                )
                camera = camera.replace(image_size=(w, h))
            cameras.append(camera)
        found = Rig(tuple(cameras))
        if self.cameras.poses == "file" and len(found) > 1 and np.ptp(found.centers_world, axis=0).max() < 1e-6:
            raise InputError(
                f'poses = "file" was asked for, but {path.name} has no poses: all cameras stand in one place.',
                'Use poses = "body" to find the cameras from the athlete.',
            )
        return found, f"file {path.name}", notes


def _match_names(videos: list[str], cameras: list[str], path: Path) -> dict[str, str]:
    """Video name -> camera name in the calibration: equal, equal without case, contained, or by order."""
    lower = {c.lower(): c for c in cameras}
    if all(v.lower() in lower for v in videos):
        return {v: lower[v.lower()] for v in videos}
    partial = {v: [c for c in cameras if c.lower() in v.lower() or v.lower() in c.lower()] for v in videos}
    picked = [m[0] for m in partial.values() if len(m) == 1]
    if len(picked) == len(videos) == len(set(picked)):
        return {v: m[0] for v, m in partial.items()}
    if len(videos) == len(cameras):
        return dict(zip(videos, cameras, strict=True))
    raise InputError(
        f"The cameras of {path.name} ({', '.join(cameras)}) are not those of the videos ({', '.join(videos)}).",
        "Name the videos like the cameras in the calibration.",
    )


def load_session(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Session:
    """Read a session folder, its TOML, or a single video.

    Args:
        path: the folder, the ``session.toml`` in it, or one video file (the monocular way).
        overrides: dotted option names and values that come before those of the file.

    Raises:
        InputError: nothing there, no video, a damaged TOML or an option that does not exist.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist.", "Give a folder with videos, or a video file.")
    single: Path | None = None
    toml: Path | None = None
    if path.is_file() and path.suffix.lower() == ".toml":
        folder, toml = path.parent, path
    elif path.is_file():
        folder, single = path.with_name(path.stem + "-session"), path
    else:
        folder = path
        toml = path / "session.toml" if (path / "session.toml").is_file() else None
    table = with_overrides(_read_toml(toml) if toml else {}, overrides or {})
    known = {
        "session", "athlete", "cameras", "detect", "sync", "clean", "calibrate", "triangulate", "pseudolabel", "lift",
        "finetune", "tune", "export", "report", "people",
    }  # fmt: skip
    unknown = sorted(set(table) - known)
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], known, 1)
        raise InputError(
            f"{toml or 'The options'}: there is no section [{unknown[0]}].",
            (f"Did you mean [{near[0]}]? " if near else "") + f"Sections: {', '.join(sorted(known))}.",
        )
    meta = dict(table.get("session", {}))
    extra = sorted(set(meta) - {"name", "videos"})
    if extra:
        raise InputError(f"[session] in {toml} has no option {extra[0]!r}.", "There are: name, videos.")
    videos = _find_videos(folder, single, meta.get("videos"))
    where = str(toml or "the options")
    athlete = from_table(AthleteOptions, table.get("athlete", {}), f"[athlete] in {where}")
    detect = from_table(DetectOptions, table.get("detect", {}), f"[detect] in {where}")
    if detect.people != "all" and athlete.heights_m is not None:
        if len(athlete.heights_m) > 1:
            raise InputError(
                f"[athlete] heights_m has {len(athlete.heights_m)} statures, but one athlete is followed.",
                'Follow several with people = "all" under [detect] (--people all), or give height_m.',
            )
        athlete = AthleteOptions(height_m=athlete.heights_m[0])
    return Session(
        folder=folder, name=str(meta.get("name", folder.name)), videos=videos, athlete=athlete,
        cameras=from_table(CameraOptions, table.get("cameras", {}), f"[cameras] in {where}"),
        detect=detect,
        lift=from_table(LiftOptions, table.get("lift", {}), f"[lift] in {where}"),
        tune=from_table(TuneOptions, table.get("tune", {}), f"[tune] in {where}"), table=table, toml=toml,
    )  # fmt: skip


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Strings stand in quotes, numbers do not.") from None


def _find_videos(folder: Path, single: Path | None, listed: Any) -> dict[str, Path]:
    if single is not None:
        return {single.stem: single}
    if listed is not None:
        if not isinstance(listed, list) or not all(isinstance(v, str) for v in listed):
            raise InputError("[session] videos must be a list of file names.")
        files = [folder / v for v in listed]
        for file in files:
            if not file.is_file():
                raise InputError(f"[session] videos: {file} does not exist.", "Paths are relative to the session.")
    else:
        files = []
        for place in (folder, folder / "videos"):
            if place.is_dir() and not files:
                files = sorted(
                    p for p in place.iterdir()
                    if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".") and p.is_file()
                )  # fmt: skip
    if not files:
        raise InputError(
            f"No video in {folder} or {folder / 'videos'}.",
            f"Put one video per camera there ({', '.join(sorted(VIDEO_SUFFIXES))}).",
        )
    names = [f.stem for f in files]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"Two videos are called {twice[0]!r}.", "The file name names the camera: make them differ.")
    return dict(zip(names, files, strict=True))

"""The whole road: videos in; cameras, 3D motion, a tuned monocular model and a report out.

:func:`run` is what ``sportcore run`` calls. Every stage is remembered by the hash of what made it
(:mod:`sportcore.stages`), so a run that was killed goes on where it was and a changed option redoes only what depends
on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from .errors import DegenerateError, InputError, MissingExtraError
from .options import from_table
from .session import Session, load_session
from .stages import FileHashes, StageResult, StageStore
from .terminal import bound
from .types import Rig

__all__ = ["STAGES", "Road", "RunResult", "View", "run"]

#: The stages in order, as ``--until`` and the command line name them.
STAGES = (
    "detect", "sync", "clean", "calibrate", "triangulate", "lift", "pseudolabel", "finetune", "evaluate", "export",
    "report",
)  # fmt: skip

# Raised when a stage computes something else than before from the same inputs.
VERSIONS = {
    "detect": "2", "sync": "3", "clean": "2", "calibrate": "3", "triangulate": "1", "lift": "1", "pseudolabel": "2",
    "finetune": "1", "evaluate": "1", "export": "1", "report": "1",
}  # fmt: skip


class View(Protocol):
    """Who is told how a run goes."""

    def event(self, stage: str, event: str, detail: str = "") -> None:
        """A stage has an event: start, reuse, done, failed or note."""

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """A stage has done so much."""


class _Silent:
    def event(self, stage: str, event: str, detail: str = "") -> None:
        return None

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        return None


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: the output folder.
        usable: whether the result can be relied on; the reason stands in ``verdict``.
        verdict: one sentence.
        summary: the numbers (also in ``summary.json``).
        files: what was written, by kind.
        warnings: what a reader should know.
    """

    folder: Path
    usable: bool
    verdict: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass
class Round:
    """One round of the outer loop."""

    cameras: StageResult
    clean: StageResult
    points: StageResult
    lift: StageResult | None = None
    labels: StageResult | None = None
    tuned: StageResult | None = None


class Road:
    """The stages of one session; each method computes its stage or finds it done.

    Args:
        session: what to work on.
        view: who is told.
    """

    def __init__(self, session: Session, view: View | None = None) -> None:
        self.session = session
        self.view: View = view or _Silent()
        self.store = StageStore(session.output / "stages", self.view.event)
        self.hashes = FileHashes(session.output / "stages" / "hashes.json")
        self.notes: list[str] = []
        self.rounds: list[Round] = []
        self._found: dict[str, StageResult] = {}

    #: what the names of this road's files end with
    suffix = ""

    def stage(self, name: str) -> str:
        """The name under which a stage of this road is remembered."""
        return name

    def note(self, text: str) -> None:
        """Remember a warning and show it."""
        if text not in self.notes:
            self.notes.append(text)
            self.view.event("", "note", text)

    def _progress(self, stage: str) -> Callable[[int, int, str], None]:
        return bound(self.view, stage)

    # --- videos to tracks -------------------------------------------------------------------------------------------

    def detect(self) -> dict[str, StageResult]:
        """2D keypoints of every video."""
        from .steps import detect as steps

        if self._found:
            return self._found
        s = self.session
        if unknown := sorted(set(s.detect.near) - set(s.videos)):
            raise InputError(f"[detect] near names {unknown[0]!r}; the cameras are {', '.join(s.videos)}.")
        if s.detect.model == "files":
            missing = [n for n in s.videos if not (s.folder / "keypoints2d" / f"{n}.npz").is_file()]
            if missing:
                raise InputError(
                    f'detect.model = "files" needs {s.folder}/keypoints2d/{missing[0]}.npz, which is not there.'
                )
        cpus = os.cpu_count() or 1
        workers = s.detect.workers or max(1, min(cpus, len(s.videos)))
        threads = max(1, cpus // workers)

        def one(item: tuple[str, Path]) -> tuple[str, StageResult]:
            return item[0], self._detect_one(*item, model, model_key, threads)

        model, model_key = "files", ""
        if s.detect.model != "files":
            for name, video in s.videos.items():
                self._look(name, video)
            model, files = steps.prepare_detector(s.detect.model, self._progress("weights"))
            model_key = ",".join([model.partition(":")[0], *(self.hashes(f) for f in files)])
            if model != s.detect.model:
                from .weights import substitution_warning

                self.note(substitution_warning(s.detect.model, model))
        with ThreadPoolExecutor(workers) as pool:
            found = dict(pool.map(one, s.videos.items()))
        for name, result in found.items():
            for warning in result.info.get("warnings", ()):
                self.note(str(warning))
            share = result.info["present"] / max(result.info["frames"], 1)
            if share < 0.5:
                who = "anybody" if s.several_people else "the athlete"
                self.note(f"{name}: {who} was found in only {share:.0%} of the frames.")
        if not s.several_people:
            steps.check_people(found, s)
        self._found = found
        return found

    def _detect_one(self, name: str, video: Path, model: str, model_key: str, threads: int) -> StageResult:
        """The athlete in one video, or in the file that stands for it."""
        from .steps import detect as steps

        s, stage = self.session, f"detect-{name}"
        if s.detect.model == "files":
            source = s.folder / "keypoints2d" / f"{name}.npz"
            return self.store.run(
                stage, lambda f: steps.load_camera_file(f, source), inputs={"file": self.hashes(source)},
                options={"model": "files"}, version=VERSIONS["detect"],
            )  # fmt: skip
        options = {
            "start_s": s.detect.start_s,
            "end_s": s.detect.end_s,
            "flip": s.detect.flip_average,
            "near": s.detect.near.get(name),
        }
        return self.store.run(
            stage, lambda f: steps.detect_camera(f, video, s.detect, model, self._progress(stage), threads),
            inputs={"video": self.hashes(video), "model": model_key}, options=options, version=VERSIONS["detect"],
        )  # fmt: skip

    def _look(self, name: str, video: Path) -> None:
        """Read a video's packets once, so that a damaged file is found before the work begins."""
        from .io.atomic import write_json
        from .videos import probe

        def work(folder: Path) -> dict[str, Any]:
            info = probe(video).to_dict()
            write_json(folder / "video.json", info)
            return {"warnings": list(info["warnings"])}

        look = self.store.run(f"video-{name}", work, inputs={"video": self.hashes(video)})
        for warning in look.info["warnings"]:
            self.note(str(warning))

    def sync(self) -> StageResult:
        """All cameras on one time base."""
        from .steps import detect as steps

        return self._align("sync", VERSIONS["sync"], steps.synchronise)

    def _align(self, stage: str, version: str, step: Callable[..., dict[str, Any]]) -> StageResult:
        """Run ``step(folder, found, options, intrinsics=, videos=)``, which puts what was found on one time base."""
        from .sync import SyncOptions

        found = self.detect()
        options = self.session.options("sync", SyncOptions)
        rig, _ = self.intrinsics()
        lenses = {"K": rig.K, "models": [c.model for c in rig], "distortion": [list(c.distortion) for c in rig]}
        videos = {n: v for n, v in self.session.videos.items() if v.is_file() and v.stat().st_size}
        inputs = {n: r.key for n, r in found.items()} | {f"video-{n}": self.hashes(v) for n, v in videos.items()}
        result = self.store.run(
            stage, lambda f: step(f, found, options, intrinsics=rig, videos=videos),
            inputs=inputs, options={"sync": options, "lenses": lenses}, version=version,
        )  # fmt: skip
        for warning in result.info["report"].get("warnings", ()):
            self.note(str(warning))
        return result

    def clean(self, rig: StageResult | None = None, round_: int = 0) -> StageResult:
        """Tracks without swaps and jumps; with cameras, the views are also held against each other."""
        from .keypoints2d.tracks import CleanOptions
        from .steps import detect as steps
        from .steps import geometry

        sync = self.sync()
        options = self.session.options("clean", CleanOptions)
        if "sigma_model" not in self.session.table.get("clean", {}):
            detector = next(iter(self.detect().values())).info["detector"]
            options = replace(options, sigma_model=str(detector))
        inputs = {"sync": sync.key}
        cameras = None
        if rig is not None:
            inputs["cameras"] = rig.key
            cameras = geometry.load_rig(rig.folder)
        name = self.stage("clean" if rig is None else f"clean-{round_ + 1}")
        return self.store.run(
            name, lambda f: steps.clean(f, sync.file("keypoints.npz"), options, cameras),
            inputs=inputs, options=options, version=VERSIONS["clean"],
        )  # fmt: skip

    # --- tracks to motion -------------------------------------------------------------------------------------------

    def intrinsics(self) -> tuple[Rig, str]:
        """What is known of the lenses, and where it comes from."""
        found = self.detect()
        sizes = {n: (int(r.info["image_size"][0]), int(r.info["image_size"][1])) for n, r in found.items()}
        rig, source, notes = self.session.intrinsics(sizes)
        for n in notes:
            self.note(n)
        return rig, source

    def calibrate_options(self, rig: Rig, source: str) -> Any:
        """Options of the calibration, with what is known of the athlete and of the lenses."""
        from .cameras import CalibrateOptions

        # lenses that nobody knows: the motion of three cameras tells a common focal length better than a guess
        unknown = {"refine_focal": "shared"} if source == "assumed" and len(rig) > 2 else {}
        table = {"height_m": self.session.athlete.height_m, **unknown, **self.session.table.get("calibrate", {})}
        return from_table(CalibrateOptions, table, f"[calibrate] in {self.session.toml or 'the options'}")

    def calibrate(self, round_: int = 0, lifted: StageResult | None = None) -> StageResult:
        """Cameras from the body, or from the file."""
        from .steps import detect, geometry, learning

        if self.session.monocular:
            raise InputError(
                f"{self.session.name} has one camera: there is nothing to calibrate against.",
                "Add the videos of the other cameras, or use `sportcore lift` for the monocular way.",
            )
        rig, source = self.intrinsics()
        tracks = self.clean()
        lenses = {"K": rig.K, "models": [c.model for c in rig], "distortion": [list(c.distortion) for c in rig]}
        if self.session.cameras.poses == "file":
            return self.store.run(
                "calibrate-1", lambda f: geometry.given_cameras(f, rig), inputs={"tracks": tracks.key},
                options={**lenses, "R": rig.R, "t": rig.t}, version=VERSIONS["calibrate"],
            )  # fmt: skip
        options = self.calibrate_options(rig, source)
        if tracks.info["report"].get("still"):
            problem = "The athlete stands still in every camera: one pose does not determine where the cameras are."
            if not options.force:
                raise DegenerateError(problem, "Film one who moves through the volume; --force computes it anyway.")
            self.note(problem)
        name = f"calibrate-{round_ + 1}"
        inputs = {"tracks": tracks.key} | ({"lift": lifted.key} if lifted else {})
        result = self.store.run(
            name,
            lambda f: geometry.calibrate_step(
                f, detect.load_keypoints(tracks), rig, options,
                learning.load_lifted(lifted.folder) if lifted else None, self._progress(name),
            ),
            inputs=inputs, options={"calibrate": options, "lenses": lenses, "source": source},
            version=VERSIONS["calibrate"],
        )  # fmt: skip
        for warning in result.info["warnings"]:
            self.note(str(warning))
        return result

    def triangulate(self, round_: int = 0, lifted: StageResult | None = None) -> Round:
        """3D motion with the cameras of a round."""
        from .points3d import TriangulateOptions
        from .steps import detect, geometry

        cameras = self.calibrate(round_, lifted)
        tracks = self.clean(cameras, round_)
        options = self.session.options("triangulate", TriangulateOptions)
        if "max_reprojection_error_px" not in self.session.table.get("triangulate", {}):
            limit = geometry.outlier_limit_px(cameras.info["report"])
            options = replace(options, max_reprojection_error_px=limit)
        points = self.store.run(
            self.stage(f"triangulate-{round_ + 1}"),
            lambda f: geometry.triangulate_step(
                f, detect.load_keypoints(tracks), geometry.load_rig(cameras.folder), options
            ),
            inputs={"cameras": cameras.key, "tracks": tracks.key}, options=options, version=VERSIONS["triangulate"],
        )  # fmt: skip
        return Round(cameras, tracks, points, lifted)

    # --- motion to model --------------------------------------------------------------------------------------------

    def lift(self, model: StageResult | None = None, round_: int = 0) -> StageResult:
        """Monocular 3D of every camera, with the starting model or a tuned one."""
        from .steps import detect, learning

        tracks = self.clean()
        rig, _ = self.intrinsics()
        path: str | Path = self.session.lift.model if model is None else model.file("lifter.safetensors")
        weights = learning.model_hash(str(path)) if model is None else model.key
        name = self.stage("lift" if model is None else f"lift-tuned-{round_}")
        return self.store.run(
            name,
            lambda f: learning.lift_step(
                f, detect.load_keypoints(tracks), rig, path, self.session.lift, self._progress(name)
            ),
            inputs={"tracks": tracks.key, "model": weights},
            options={"flip": self.session.lift.flip_average, "K": rig.K}, version=VERSIONS["lift"],
        )  # fmt: skip

    def pseudolabel(self, this: Round, round_: int) -> StageResult:
        """Labels for every camera from the motion of a round."""
        from .pseudolabels import PseudoLabelOptions
        from .steps import detect, geometry, learning

        options = self.session.options("pseudolabel", PseudoLabelOptions)
        result = self.store.run(
            self.stage(f"pseudolabel-{round_ + 1}"),
            lambda f: learning.label_step(
                f, detect.load_keypoints(this.clean), geometry.load_points(this.points.folder),
                geometry.load_rig(this.cameras.folder), options,
            ),
            inputs={"points": this.points.key, "cameras": this.cameras.key, "tracks": this.clean.key},
            options=options, version=VERSIONS["pseudolabel"],
        )  # fmt: skip
        for warning in result.info["warnings"]:
            self.note(str(warning))
        return result

    def finetune(self, this: Round, round_: int, start: StageResult | None) -> StageResult:
        """The lifter of a round, tuned from the one before."""
        from .steps import learning
        from .training import FinetuneOptions

        assert this.labels is not None
        labels = this.labels
        options = self.session.options("finetune", FinetuneOptions)
        path: str | Path = self.session.lift.model if start is None else start.file("lifter.safetensors")
        name = f"finetune-{round_ + 1}"
        inputs = {"labels": labels.key, "model": start.key if start else learning.model_hash(str(path))}
        key = self.store.key(name, inputs=inputs, options=options, version=VERSIONS["finetune"])
        return self.store.run(
            name,
            lambda f: learning.finetune_step(
                f, labels.file("labels.npz"), path, options, self.store.scratch(name, key), self._progress(name)
            ),
            inputs=inputs, options=options, version=VERSIONS["finetune"],
        )  # fmt: skip

    def first_lift(self) -> StageResult | None:
        """Monocular 3D with the starting model, whose bone directions check the calibration; None without a loop."""
        if self.session.tune.iterations == 0:
            return None
        try:
            return self.lift()
        except MissingExtraError as error:
            raise MissingExtraError(error.message, f"{error.remedy} Or leave the model out: --rounds 0.") from error

    def loop(self, until: str = "finetune") -> list[Round]:
        """The outer loop, up to and including ``until`` of its first round, or all rounds for ``finetune``."""
        if self.rounds:
            return self.rounds
        lifted = self.first_lift()
        start: StageResult | None = None
        rounds: list[Round] = []
        for k in range(max(1, self.session.tune.iterations)):
            this = self.triangulate(k, lifted)
            rounds.append(this)
            if until in ("calibrate", "triangulate", "lift"):
                break
            this.labels = self.pseudolabel(this, k)
            if until == "pseudolabel" or self.session.tune.iterations == 0:
                break
            this.tuned = start = self.finetune(this, k, start)
            lifted = self.lift(start, k + 1)
        if until == "finetune":
            self.rounds = rounds
        return rounds

    def best(self) -> Round:
        """The round whose cameras agree best with what they saw."""
        return min(self.loop(), key=lambda r: float(r.points.info["median_px"]))


def run(
    session_dir: str | Path,
    *,
    until: str = "report",
    overrides: Mapping[str, Any] | None = None,
    view: View | None = None,
) -> RunResult:
    """Run the whole road on a session folder, or up to one stage.

    Args:
        session_dir: folder with videos (and a ``session.toml``), or one video file for the monocular way.
        until: the last stage wanted, one of :data:`STAGES`.
        overrides: dotted option names and values, for instance ``{"athlete.height_m": 1.8}``.
        view: who is told how it goes.

    Raises:
        InputError: something about the input is wrong; says what and how to mend it.
        DegenerateError: the geometry does not determine the cameras.
        SportcoreError: anything else that sportcore refuses on purpose.
    """
    if until not in STAGES:
        raise InputError(f"There is no stage {until!r}.", f"Stages: {', '.join(STAGES)}.")
    session = load_session(session_dir, overrides)
    if session.several_people:
        from .pipeline_people import run_people

        return run_people(session, until, view)
    road = Road(session, view)
    with road.store.locked():
        from .steps import output

        if session.monocular:
            return output.finish_monocular(road, until)
        return output.finish(road, until)

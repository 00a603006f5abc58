"""The road with several people in view: one calibration from all of them, one set of results for each.

Detection, time base and the question who is who belong to all; cleaning, triangulation, lifting and what is written
belong to each person, and are the stages of :class:`~sportcore.pipeline.Road` under a name of their own. The labels of
all people tune one model.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from .errors import DegenerateError, InputError
from .io.hashing import hash_json
from .options import from_table
from .pipeline import Road, Round, RunResult, View
from .session import Session
from .stages import StageResult

__all__ = ["PeopleRoad", "PersonRoad", "run_people"]

# Raised when a stage computes something else than before from the same inputs.
PEOPLE_VERSIONS = {"people": "1", "sync-people": "1", "associate": "1", "pseudolabel-all": "1"}


class PeopleRoad(Road):
    """The stages that belong to all people.

    Args:
        session: what to work on, with ``detect.people = "all"``.
        view: who is told.
    """

    def __init__(self, session: Session, view: View | None = None) -> None:
        super().__init__(session, view)
        self.persons: list[PersonRoad] = []

    def _detect_one(self, name: str, video: Path, model: str, model_key: str, threads: int) -> StageResult:
        """Everybody in one video, or in the file that stands for it."""
        from .steps import people as steps

        s, stage = self.session, f"people-{name}"
        if s.detect.model == "files":
            source = s.folder / "keypoints2d" / f"{name}.npz"
            return self.store.run(
                stage, lambda f: steps.load_people_file(f, source), inputs={"file": self.hashes(source)},
                options={"model": "files"}, version=PEOPLE_VERSIONS["people"],
            )  # fmt: skip
        options = {"start_s": s.detect.start_s, "end_s": s.detect.end_s, "stride": s.detect.stride}
        return self.store.run(
            stage, lambda f: steps.detect_everybody(f, video, s.detect, model, self._progress(stage), threads),
            inputs={"video": self.hashes(video), "model": model_key}, options=options,
            version=PEOPLE_VERSIONS["people"],
        )  # fmt: skip

    def sync(self) -> StageResult:
        """All cameras on one time base."""
        from .steps import people as steps

        stage = "sync-people"
        return self._align(
            stage, PEOPLE_VERSIONS[stage], functools.partial(steps.align_people, progress=self._progress(stage))
        )

    def people_options(self) -> Any:
        """Options of the association, the calibration and the statures among them."""
        from .people import PeopleOptions

        s = self.session
        where = f"[people] in {s.toml or 'the options'}"
        table = dict(s.table.get("people", {}))
        for name, place in (("calibrate", "[calibrate]"), ("heights_m", "[athlete] heights_m")):
            if name in table:
                raise InputError(f"{where}: {name} stands elsewhere.", f"Use {place}.")
        rig, source = self.intrinsics()
        options = from_table(PeopleOptions, table, where)
        heights = list(s.athlete.heights_m) if s.athlete.heights_m else None
        return dataclasses.replace(options, calibrate=self.calibrate_options(rig, source), heights_m=heights)

    def calibrate(self, round_: int = 0, lifted: StageResult | None = None) -> StageResult:
        """The people in all cameras, and the cameras from all people, or from the file."""
        from .steps import people as steps

        rig, source = self.intrinsics()
        options = self.people_options()
        found, sync = self.detect(), self.sync()
        given = self.session.cameras.poses == "file"
        lenses = {"K": rig.K, "models": [c.model for c in rig], "distortion": [list(c.distortion) for c in rig]}
        poses = {"R": rig.R, "t": rig.t} if given else {}
        result = self.store.run(
            "associate",
            lambda f: steps.associate_step(f, found, sync, rig, options, given, self._progress("associate")),
            inputs={"sync": sync.key} | {n: r.key for n, r in found.items()},
            options={"people": options, "lenses": lenses, "source": source, **poses},
            version=PEOPLE_VERSIONS["associate"],
        )  # fmt: skip
        for warning in result.info["warnings"]:
            self.note(str(warning))
        return result

    def everybody(self) -> list[PersonRoad]:
        """A road for each person that was found, the one seen most first."""
        if not self.persons:
            cameras = self.calibrate()
            self.persons = [PersonRoad(self, cameras, p) for p in range(int(cameras.info["people"]["found"]))]
        return self.persons

    def walk(self, until: str = "finetune") -> list[PersonRoad]:
        """Everybody's stages up to ``until``; who cannot be triangulated is left out, and said.

        One model is tuned, with the labels of all people, once: the cameras come from the tracks alone, so that another
        round would repeat the same labels.

        Raises:
            DegenerateError: nobody could be triangulated.
        """
        tune = self.session.tune.iterations > 0
        done: list[PersonRoad] = []
        problem: DegenerateError | None = None
        for person in self.everybody():
            if until == "clean":
                person.clean(person.cameras)
                done.append(person)
                continue
            lifted = person.first_lift() if until != "triangulate" else None
            try:
                person.rounds = [person.triangulate(0, lifted)]
                done.append(person)
            except DegenerateError as error:
                problem = error
                self.note(f"Person {person.number} was left out: {error}")
        if problem is not None and not done:
            raise problem
        if until in ("clean", "triangulate", "lift"):
            return done
        for person in done:
            person.rounds[0].labels = person.pseudolabel(person.rounds[0], 0)
        if until == "pseudolabel" or not tune:
            return done
        if self.session.tune.iterations > 1:
            self.note("With several people the model is tuned in one round.")
        labels = self._all_labels([p.rounds[0] for p in done])
        first = done[0].rounds[0]
        tuned = self.finetune(Round(first.cameras, first.clean, first.points, labels=labels), 0, None)
        for person in done:
            person.rounds[0].tuned = tuned
            person.lift(tuned, 1)
        return done

    def _all_labels(self, rounds: list[Round]) -> StageResult:
        from .steps import people as steps

        parts = [r.labels for r in rounds if r.labels is not None]
        return self.store.run(
            "pseudolabel-all", lambda f: steps.merge_labels(f, [p.file("labels.npz") for p in parts]),
            inputs={f"person {k}": p.key for k, p in enumerate(parts)}, version=PEOPLE_VERSIONS["pseudolabel-all"],
        )  # fmt: skip


class PersonRoad(Road):
    """The stages of one person of several.

    Args:
        crowd: the road of all people.
        cameras: its finished association.
        number: of the person, 0 for the one seen most.
    """

    def __init__(self, crowd: PeopleRoad, cameras: StageResult, number: int) -> None:
        self.session, self.view, self.store, self.hashes = crowd.session, crowd.view, crowd.store, crowd.hashes
        self.notes, self.rounds, self.crowd, self.cameras, self.number = crowd.notes, [], crowd, cameras, number
        self.suffix = f"_p{number}"

    def stage(self, name: str) -> str:
        """The stage's name, with the person's number."""
        return f"{name}-p{self.number}"

    def detect(self) -> dict[str, StageResult]:
        """Everybody in every video."""
        return self.crowd.detect()

    def sync(self) -> StageResult:
        """The person's keypoints on the common time base: a part of what the association wrote."""
        cameras = self.cameras
        return StageResult(
            "associate", hash_json({"associate": cameras.key, "person": self.number}),
            cameras.folder / f"person{self.number}", cameras.reused, cameras.seconds, self.crowd.sync().info,
        )  # fmt: skip

    def calibrate(self, round_: int = 0, lifted: StageResult | None = None) -> StageResult:
        """The cameras, which are everybody's."""
        return self.cameras


def run_people(session: Session, until: str, view: View | None = None) -> RunResult:
    """The road of :func:`sportcore.run` when everybody in view is followed.

    Raises:
        InputError: one camera only.
        SportcoreError: as :func:`sportcore.run`.
    """
    if session.monocular:
        raise InputError(
            f'{session.name} has one camera, and people = "all" needs two at least.',
            'Add the videos of the other cameras, or follow one athlete: people = "follow".',
        )
    road = PeopleRoad(session, view)
    with road.store.locked():
        from .steps.output_people import finish_people

        return finish_people(road, until)

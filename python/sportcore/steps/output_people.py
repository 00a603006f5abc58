"""The end of the road for several people: a set of files and a report for each, one summary for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io import write_rig
from ..io.atomic import to_jsonable, write_json
from . import detect as detecting
from . import geometry
from .output import _copy, _evaluate, _export, _numbers, _report, _verdict, sync_verdict

if TYPE_CHECKING:
    from ..pipeline import RunResult
    from ..pipeline_people import PeopleRoad, PersonRoad
    from ..stages import StageResult

__all__ = ["finish_people"]

_SHARED = ("cameras", "lifter")  # files of a person's export that are everybody's


def finish_people(road: PeopleRoad, until: str) -> RunResult:
    """Run the road of all people to ``until`` and collect what it made."""
    from ..pipeline import STAGES, RunResult

    session, out = road.session, road.session.output
    at = STAGES.index(until)
    if until == "detect":
        found = road.detect()
        return RunResult(
            out, True, f"{len(found)} videos searched for everybody.", {n: dict(r.info) for n, r in found.items()}
        )
    if until == "sync":
        result = road.sync()
        usable, verdict = sync_verdict(result.info["report"])
        return RunResult(out, usable, verdict, dict(result.info), {"rows": result.file("rows.npz")}, tuple(road.notes))
    cameras = road.calibrate()
    people = dict(cameras.info["people"])
    file = write_rig(geometry.load_rig(cameras.folder), out / "Calib.toml") or out / "Calib.toml"
    usable, verdict = _verdict(cameras.info, None)
    together, when = sync_verdict(road.sync().info["report"])
    usable, verdict = usable and together, verdict if together else when
    if until in ("clean", "calibrate"):
        files = {"cameras": Path(file)}
        for person in road.walk("clean") if until == "clean" else ():
            files[f"keypoints{person.suffix}"] = person.clean(person.cameras).file("keypoints.npz")
        summary = dict(cameras.info) | {"people": people}
        return RunResult(out, usable, f"{_found(people)} {verdict}", summary, files, tuple(road.notes))
    persons = road.walk(until if at < STAGES.index("finetune") else "finetune")
    comparisons = {
        p.number: _evaluate(p, p.rounds, p.rounds[0]) if at >= STAGES.index("evaluate") else None for p in persons
    }
    numbers = {p.number: _numbers(p, p.rounds[0], p.rounds, comparisons[p.number]) for p in persons}
    rows, usable, verdict = _judge(people, persons, numbers, cameras)
    if not together:
        usable, verdict = False, when
    people["people"] = rows
    first = numbers[persons[0].number]
    summary = to_jsonable({
        "session": session.name, "cameras": list(session.videos), "frames": people["frames"],
        "calibration": first["calibration"], "people": people, "usable": usable, "verdict": verdict,
        "warnings": list(road.notes),
    })  # fmt: skip
    files = {}
    if at >= STAGES.index("export"):
        for person in persons:
            made = _export(person, person.rounds[0], person.rounds)
            keypoints = out / f"keypoints{person.suffix}.npz"
            _copy(person.rounds[0].clean.file("keypoints.npz"), keypoints)
            made["keypoints"] = keypoints
            files |= {k if k in _SHARED else f"{k}{person.suffix}": v for k, v in made.items()}
        summary["warnings"] = list(road.notes)
        write_json(out / "summary.json", summary)
        files["summary"] = out / "summary.json"
    if at >= STAGES.index("report"):
        for person in persons:
            mine = {**summary, **numbers[person.number], "people": people}
            files[f"report{person.suffix}"] = _report(
                person, person.rounds[0], person.rounds, comparisons[person.number], mine, _report_name(person.number),
                {**people, "this": person.number}, lambda count: _pictures(persons, count),
            )  # fmt: skip
    return RunResult(out, usable, verdict, summary, files, tuple(road.notes))


def _report_name(number: int) -> str:
    return "report.html" if number == 0 else f"report_p{number}.html"


def _found(people: Mapping[str, Any]) -> str:
    n, left = int(people["found"]), len(people["left_out"])
    said = "1 person was" if n == 1 else f"{n} people were"
    rest = "" if not left else f" ({left} more in view {'was' if left == 1 else 'were'} left out)"
    return f"{said} followed{rest}."


def _judge(
    people: Mapping[str, Any], persons: list[PersonRoad], numbers: Mapping[int, Mapping[str, Any]], cameras: StageResult
) -> tuple[list[dict[str, Any]], bool, str]:
    """What is said of each person, whether the whole can be relied on, and one sentence or two."""
    from ..report.sheets_people import person_colour

    rows, said, usable = [], [_found(people)], True
    for person in persons:
        own = numbers[person.number]
        fine, verdict = _verdict(cameras.info, own)
        usable &= fine
        row = dict(people["people"][person.number]) | {
            "median_px": own["median_px"], "median_mm": own["median_mm"], "limb_spread": own["limb_spread"],
            "status": own["status"], "per_camera": own["per_camera"], "usable": fine, "verdict": verdict,
            "colour": "#{:02x}{:02x}{:02x}".format(*person_colour(person.number)),
            "report": _report_name(person.number),
        }  # fmt: skip
        row |= {"monocular": own["monocular"]} if "monocular" in own else {}
        rows.append(row)
        said.append(f"Person {person.number}: {verdict}" if len(persons) > 1 else verdict)
    if len(persons) > 1 and len({r["verdict"].partition(":")[0] for r in rows}) == 1 and usable:
        said = said[:1] + [str(rows[0]["verdict"]).partition(":")[0] + "."] + [
            f"Person {r['person']}:{str(r['verdict']).partition(':')[2]}" for r in rows
        ]  # fmt: skip
    return to_jsonable(rows), usable, " ".join(said)


def _pictures(persons: list[PersonRoad], count: int) -> list[tuple[str, bytes]]:
    """A few frames of each video with everybody drawn in, those first in which most people are seen."""
    session = persons[0].session
    videos = {name: path for name, path in session.videos.items() if path.stat().st_size}
    if count <= 0 or len(videos) < len(session.videos):
        return []
    from ..points3d import reproject
    from ..report.sheets_people import people_sheet_jpeg

    rig = geometry.load_rig(persons[0].cameras.folder)
    keypoints = [detecting.load_keypoints(p.rounds[0].clean) for p in persons]
    again = [reproject(geometry.load_points(p.rounds[0].points.folder).xyz, rig) for p in persons]
    seen = np.sum([k.observed.any(-1).sum(0) for k in keypoints], axis=0)  # (T,) camera-people
    frames = np.flatnonzero(seen >= np.quantile(seen, 0.5))
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, count + 2).astype(int)[1:-1])]
    offsets = {c["name"]: float(c["applied_offset_s"]) for c in persons[0].sync().info["report"]["cameras"]}
    return people_sheet_jpeg(videos, chosen, keypoints, again, start_s=session.detect.start_s, offsets_s=offsets)

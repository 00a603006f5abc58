"""The end of the road: comparison, files for other tools, the summary and the report."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io import write_rig
from ..io.atomic import load_npz, read_json, save_npz, to_jsonable, write_json
from ..io.points3d import write_c3d, write_points3d_npz, write_trc
from ..skeletons import H36M17
from ..stages import StageResult
from ..types import Points3D, Rig
from . import detect as detecting
from . import geometry, learning

if TYPE_CHECKING:
    from ..pipeline import Road, Round, RunResult

__all__ = ["ExportOptions", "ReportOptions", "finish", "finish_monocular"]


# A reconstruction whose limbs change their length by more than this (mean coefficient of variation) is no measurement.
MAX_LIMB_SPREAD = 0.25


@dataclass(frozen=True)
class ExportOptions:
    """Files for other tools.

    Attributes:
        trc: write OpenSim ``.trc`` files.
        c3d: write ``.c3d`` files (needs the extra ``io``).
        max_gap_s: gaps up to this length are interpolated in the exported files, and only there.
    """

    trc: bool = True
    c3d: bool = True
    max_gap_s: float = 0.2


@dataclass(frozen=True)
class ReportOptions:
    """The HTML report.

    Attributes:
        pictures: video frames with the skeleton drawn in, per camera; 0 for none.
    """

    pictures: int = 3


def finish(road: Road, until: str) -> RunResult:
    """Run the multi-view road to ``until`` and collect what it made."""
    from ..pipeline import STAGES, RunResult

    session, out = road.session, road.session.output
    at = STAGES.index(until)
    if until == "detect":
        found = road.detect()
        return RunResult(out, True, f"{len(found)} videos searched.", {n: dict(r.info) for n, r in found.items()})
    if until in ("sync", "clean"):
        result = road.sync() if until == "sync" else road.clean()
        kp = result.file("keypoints.npz")
        usable, verdict = sync_verdict(road.sync().info["report"]) if until == "sync" else (True, "Tracks are ready.")
        return RunResult(out, usable, verdict, dict(result.info), {"keypoints": kp}, tuple(road.notes))
    if until == "calibrate":
        cameras = road.calibrate(0, road.first_lift())
        file = write_rig(geometry.load_rig(cameras.folder), out / "Calib.toml") or out / "Calib.toml"
        usable, verdict = _verdict(cameras.info, None)
        return RunResult(out, usable, verdict, dict(cameras.info), {"cameras": Path(file)}, tuple(road.notes))
    rounds = road.loop(until if at < STAGES.index("finetune") else "finetune")
    best = road.best() if at >= STAGES.index("finetune") else rounds[-1]
    summary: dict[str, Any] = {"session": session.name, "cameras": list(session.videos)}
    comparison = _evaluate(road, rounds, best) if at >= STAGES.index("evaluate") else None
    summary |= _numbers(road, best, rounds, comparison)
    usable, verdict = _verdict(best.cameras.info, best.points.info)
    summary |= {"usable": usable, "verdict": verdict, "warnings": list(road.notes)}
    files: dict[str, Path] = {}
    if at >= STAGES.index("export"):
        files = _export(road, best, rounds)
        write_json(out / "summary.json", summary)
        files["summary"] = out / "summary.json"
    if at >= STAGES.index("report"):
        files["report"] = _report(road, best, rounds, comparison, summary)
    return RunResult(out, usable, verdict, summary, files, tuple(road.notes))


def sync_verdict(report: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the time base can be relied on, and one sentence about it, from the plain report of a synchronisation."""
    from ..sync import REMEDY

    open_ = [str(c["name"]) for c in report["cameras"][1:] if c["offset_s"] is None or c["reason"]]
    if not report["sure"]:
        return False, f"When {', '.join(open_)} looks could not be told. {REMEDY}"
    if open_ and report["options"]["method"] != "none" and report["options"]["offsets"] == "auto":
        return True, f"Tracks are ready; {', '.join(open_)} was left as it is, which nothing speaks against."
    return True, "Tracks are ready."


def _verdict(calibration: Mapping[str, Any], points: Mapping[str, Any] | None) -> tuple[bool, str]:
    grade = calibration.get("grade", "usable")
    if grade == "poor":
        why = "; ".join(str(w) for w in calibration.get("warnings", ())) or "the residuals are too large"
        return False, f"The cameras should not be trusted: {why}"
    if points is None:
        return True, f"The cameras are {grade}."
    spread = points.get("limb_spread")
    if spread is not None and spread > MAX_LIMB_SPREAD:
        return False, (
            f"Limb lengths vary by {spread * 100:.0f} % over time, which no body does: the reconstruction should not "
            "be trusted. Check the intrinsics, the synchronisation, and that all videos show the same athlete."
        )
    return True, (
        f"The cameras are {grade}: median residual {points['median_px']:.1f} px ({points['median_mm']:.0f} mm)"
        + (f", limb lengths vary by {spread * 100:.1f} %." if spread and np.isfinite(spread) else ".")
    )


def _final_lift(road: Road, rounds: list[Round]) -> tuple[StageResult | None, StageResult | None]:
    """Monocular poses before and after tuning."""
    before = rounds[0].lift
    tuned = [r.tuned for r in rounds if r.tuned is not None]
    after = road.lift(tuned[-1], len(tuned)) if tuned else None
    return before, after


def _evaluate(road: Road, rounds: list[Round], best: Round) -> StageResult | None:
    """Compare the monocular results with the multi-view one on frames that no tuning saw."""
    from ..pipeline import VERSIONS

    before, after = _final_lift(road, rounds)
    if before is None:
        return None
    labels = next((r.labels for r in reversed(rounds) if r.labels is not None), None)

    def work(folder: Path) -> dict[str, Any]:
        points, rig = geometry.load_points(best.points.folder), geometry.load_rig(best.cameras.folder)
        frames = learning.held_out(labels.file("labels.npz")) if labels else np.ones(points.n_frames, bool)
        result: dict[str, Any] = {"before": learning.compare(learning.load_lifted(before.folder), points, rig, frames)}
        if after is not None:
            result["after"] = learning.compare(learning.load_lifted(after.folder), points, rig, frames)
        save_npz(folder / "heldout.npz", frames=frames)
        write_json(folder / "evaluation.json", result)
        return result

    inputs = {"before": before.key, "points": best.points.key, "cameras": best.cameras.key}
    inputs |= {"after": after.key} if after else {}
    inputs |= {"labels": labels.key} if labels else {}
    return road.store.run(road.stage("evaluate"), work, inputs=inputs, version=VERSIONS["evaluate"])


def _numbers(road: Road, best: Round, rounds: list[Round], comparison: StageResult | None) -> dict[str, Any]:
    info = best.points.info
    numbers: dict[str, Any] = {
        "frames": geometry.load_points(best.points.folder).n_frames,
        "median_px": info["median_px"], "median_mm": info["median_mm"], "all_mean_px": info["all_mean_px"],
        "limb_spread": info["limb_spread"], "status": info["status"], "per_camera": info["cameras"],
        "calibration": {
            k: best.cameras.info["report"].get(k)
            for k in ("grade", "scale_source", "scale_sigma_rel", "gravity_source", "gravity_sigma_deg",
                      "floor_source", "floor_sigma_m", "per_camera_rms_px", "per_camera_rms_mrad", "rejected_share")
        },
        "rounds": [
            {"median_px": r.points.info["median_px"], "limb_spread": r.points.info["limb_spread"],
             "finetune": dict(r.tuned.info) if r.tuned else None}
            for r in rounds
        ],
    }  # fmt: skip
    if comparison is not None:
        numbers["monocular"] = dict(comparison.info)
    return to_jsonable(numbers)


def _export(road: Road, best: Round, rounds: list[Round]) -> dict[str, Path]:
    """Write the results that other tools read to the top of the output folder."""
    from ..errors import MissingExtraError

    options = road.session.options("export", ExportOptions)
    out, who = road.session.output, road.suffix
    points, rig = geometry.load_points(best.points.folder), geometry.load_rig(best.cameras.folder)
    h36m = points.to_skeleton(H36M17)
    files = {
        "cameras": out / "Calib.toml", "points": out / f"points3d{who}.npz",
        "points_h36m": out / f"points3d_h36m17{who}.npz",
    }  # fmt: skip
    write_rig(rig, files["cameras"])
    write_points3d_npz(points, files["points"])
    write_points3d_npz(h36m, files["points_h36m"])
    if options.trc:
        for name, p in (("trc", points), ("trc_h36m", h36m)):
            files[name] = out / f"motion_{p.skeleton.name}{who}.trc"
            write_trc(p, files[name], fill="interpolate", max_gap_s=options.max_gap_s)
    if options.c3d:
        try:
            for name, p in (("c3d", points), ("c3d_h36m", h36m)):
                files[name] = out / f"motion_{p.skeleton.name}{who}.c3d"
                write_c3d(p, files[name])
        except MissingExtraError as error:
            road.note(f"No .c3d was written. {error}")
            files = {k: v for k, v in files.items() if not k.startswith("c3d")}
    before, after = _final_lift(road, rounds)
    for stage, name in ((before, "monocular_before"), (after, "monocular_after")):
        if stage is not None:
            files[name] = out / f"{name}{who}.npz"
            _copy(stage.file("lifted.npz"), files[name])
    tuned = [r.tuned for r in rounds if r.tuned is not None]
    if tuned:
        files["lifter"] = out / "lifter.safetensors"
        _copy(tuned[-1].file("lifter.safetensors"), files["lifter"])
    return files


def _copy(source: Path, target: Path) -> None:
    from ..io.atomic import atomic_path

    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _meta(road: Road, summary: Mapping[str, Any]) -> dict[str, Any]:
    from .. import __version__

    session = road.session
    return {
        "title": session.name, "session": str(session.folder), "height_m": session.athlete.height_m,
        "versions": {"sportcore": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "options": to_jsonable(dict(session.table)), "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "files": [
            {"name": p.name, "bytes": p.stat().st_size, "sha256": road.hashes(p)} for p in session.videos.values()
        ],
        "hashes": {r.name: r.key for r in road.store.history}, "summary": summary,
    }  # fmt: skip


def _pictures(road: Road, rig: Rig, points: Points3D, keypoints: Any, count: int) -> list[tuple[str, bytes]]:
    """A few frames of each video with what was detected and what was reconstructed."""
    videos = {name: path for name, path in road.session.videos.items() if path.stat().st_size}
    if count <= 0 or len(videos) < len(road.session.videos):
        return []
    from ..points3d import reproject
    from ..report.sheets import contact_sheet_jpeg

    seen = keypoints.observed.any(-1).all(0)
    frames = np.flatnonzero(seen) if seen.any() else np.arange(keypoints.n_frames)
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, count + 2).astype(int)[1:-1])]
    offsets = {c["name"]: float(c["applied_offset_s"]) for c in road.sync().info["report"]["cameras"]}
    start_s = road.session.detect.start_s
    return contact_sheet_jpeg(videos, chosen, keypoints, reproject(points.xyz, rig), start_s=start_s, offsets_s=offsets)


def _report(
    road: Road,
    best: Round,
    rounds: list[Round],
    comparison: StageResult | None,
    summary: Mapping[str, Any],
    name: str = "report.html",
    people: Mapping[str, Any] | None = None,
    draw: Callable[[int], list[tuple[str, bytes]]] | None = None,
) -> Path:
    """Write a report; of one person of several with ``people`` and a function that draws them all."""
    from ..pipeline import VERSIONS
    from ..report import ReportData, write_report

    options = road.session.options("report", ReportOptions)
    before, after = _final_lift(road, rounds)

    def work(folder: Path) -> dict[str, Any]:
        points, rig = geometry.load_points(best.points.folder), geometry.load_rig(best.cameras.folder)
        keypoints = detecting.load_keypoints(best.clean)
        lifting: dict[str, Any] = {}
        if comparison is not None:
            lifting = {
                **comparison.info, "heldout": load_npz(comparison.file("heldout.npz"))["frames"],
                "heldout_frames": comparison.info["before"]["frames"], "reference": "multi-view triangulation",
                "model": road.session.lift.model, "tuned_model": "lifter.safetensors" if after else None,
                "before_m": learning.load_lifted(before.folder) if before else None,
                "after_m": learning.load_lifted(after.folder) if after else None,
                "metric": bool(before.info.get("metric", True)) if before else True,
                "history": [
                    {"round": k + 1, "history": read_json(r.tuned.file("history.json"))}
                    for k, r in enumerate(rounds)
                    if r.tuned
                ],
            }  # fmt: skip
        data = ReportData.from_results(
            _meta(road, summary), keypoints=keypoints.to_skeleton(H36M17), rig=rig, points=points.to_skeleton(H36M17),
            calibration=best.cameras.info["report"], lifting=lifting, tracks=best.clean.info["report"],
            sync=road.sync().info["report"], warnings=list(road.notes),
            timings_s={r.name: r.seconds for r in road.store.history},
            images=draw(options.pictures) if draw else _pictures(road, rig, points, keypoints, options.pictures),
            calibrated_here=road.session.cameras.poses == "body", people=people,
        )  # fmt: skip
        write_report(folder / "report.html", data)
        return {}

    inputs = {"cameras": best.cameras.key, "points": best.points.key, "clean": best.clean.key, "summary": summary}
    inputs |= {"evaluate": comparison.key} if comparison else {}
    inputs |= {"people": people} if people else {}
    result = road.store.run(road.stage("report"), work, inputs=inputs, options=options, version=VERSIONS["report"])
    target = road.session.output / name
    _copy(result.file("report.html"), target)
    return target


def finish_monocular(road: Road, until: str) -> RunResult:
    """One video: detect, clean, lift, and say plainly what one camera cannot know."""
    from ..pipeline import STAGES, VERSIONS, RunResult
    from ..report import ReportData, write_report

    session, out = road.session, road.session.output
    at = STAGES.index(until)
    if until in ("calibrate", "triangulate", "pseudolabel", "finetune", "evaluate"):
        raise InputError(
            f"{session.name} has one camera, and {until!r} needs at least two.",
            "Add the videos of the other cameras; one camera can be lifted, exported and reported.",
        )
    if at <= STAGES.index("clean"):
        return finish(road, until)
    lift = road.lift()
    poses = learning.load_lifted(lift.folder)[0]
    tracks = detecting.load_keypoints(road.clean())
    rig, source = road.intrinsics()
    upright = monocular_points(poses, tracks.fps)
    lifted_share = float(np.isfinite(poses).all((-1, -2)).mean())
    summary: dict[str, Any] = {
        "session": session.name, "cameras": list(session.videos), "frames": len(poses), "lifted_share": lifted_share,
        "model": lift.info["model"], "lenses": source, "usable": lifted_share > 0.5,
        "bones": geometry.bone_spread(upright),
    }  # fmt: skip
    verdict = (
        f"One camera: root-relative motion from the model {lift.info['model']!r} in {lifted_share:.0%} of "
        f"{len(poses)} frames; position in space, scale and vertical are the model's belief, not a measurement."
    )
    summary |= {"verdict": verdict, "warnings": list(road.notes)}
    files: dict[str, Path] = {}
    if at >= STAGES.index("export"):
        options = session.options("export", ExportOptions)
        files = {"monocular": out / "monocular.npz", "points": out / "points3d.npz"}
        _copy(lift.file("lifted.npz"), files["monocular"])
        write_points3d_npz(upright, files["points"])
        if options.trc:
            files["trc"] = out / "motion_h36m17.trc"
            write_trc(upright, files["trc"], fill="interpolate", max_gap_s=options.max_gap_s)
        write_json(out / "summary.json", to_jsonable(summary))
        files["summary"] = out / "summary.json"
    if at >= STAGES.index("report"):

        def work(folder: Path) -> dict[str, Any]:
            data = ReportData.from_results(
                _meta(road, summary), keypoints=tracks.to_skeleton(H36M17), points=upright,
                tracks=road.clean().info["report"], warnings=list(road.notes), calibrated_here=False,
                timings_s={r.name: r.seconds for r in road.store.history},
            )  # fmt: skip
            write_report(folder / "report.html", data)
            return {}

        result = road.store.run(
            "report", work, inputs={"lift": lift.key, "summary": to_jsonable(summary)}, version=VERSIONS["report"]
        )
        files["report"] = out / "report.html"
        _copy(result.file("report.html"), files["report"])
    return RunResult(out, lifted_share > 0.5, verdict, to_jsonable(summary), files, tuple(road.notes))


def monocular_points(poses_cam_m: np.ndarray, fps: float | None) -> Points3D:
    """Root-relative poses of one camera as points in a world that takes the camera to be level.

    Args:
        poses_cam_m: (T, 17, 3) camera frame (x right, y down, z forward).
        fps: frames per second.

    Returns:
        Points with the pelvis in the origin, Z up, Y away from the camera; covariance unknown (NaN).
    """
    to_world = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    xyz = poses_cam_m @ to_world.T
    there = np.isfinite(xyz).all(-1)
    T, J = there.shape
    return Points3D(
        xyz=xyz, covariance=np.full((T, J, 3, 3), np.nan), residual_px=np.full((1, T, J), np.nan),
        inlier=there[None], n_views=there.astype(np.int64), status=np.where(there, 0, 1).astype(np.uint8),
        skeleton=H36M17, fps=fps,
    )  # fmt: skip

"""Compare sportcore with humancalib, caliscope, pycolmap and aniposelib on the same inputs, in one run.

First use installs the peers into build/peers (about 1.7 GB, no CUDA, no torch); .venv is not touched. Each call runs in
a process of its own and is killed at the time limit. Accuracy, time and failures go into bench/results/peers-NAME.json,
the tables into docs/benchmarks.md.

examples:
  python bench/peers/run.py --quick                         one scene of each of two kinds, a minute or two
  python bench/peers/run.py --name xeon-2-cores             everything
  python bench/peers/run.py --methods sportcore,caliscope --scenes usual,bad --seeds 5 --no-demo --no-page
  python bench/peers/run.py --name xeon-2-cores --methods sportcore --merge   again for one row, the others kept
  python bench/peers/run.py --name xeon-2-cores --render    tables from the stored results, nothing is run
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "bench"))

import numpy as np  # noqa: E402

from peers import charts, environment, measure, scenes, tables  # noqa: E402
from peers.adapters.ours import has_method  # noqa: E402
from peers.methods import METHODS, Method, choose  # noqa: E402
from peers.process import Job, remember, remembered, solve, solve_all  # noqa: E402


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    keys = ", ".join(m.key for m in METHODS)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--name", default=f"{platform.machine()}-{os.cpu_count()}-cores", help="of the machine, for the results"
    )
    p.add_argument("--methods", help=f"comma-separated; default all: {keys}")
    p.add_argument("--scenes", help=f"comma-separated; default all: {', '.join(s.key for s in scenes.SCENES)}")
    p.add_argument("--seeds", type=int, default=3, help="scenes of each kind (3)")
    p.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="S",
        help="processor seconds per process (120)",
    )
    p.add_argument("--jobs", type=int, default=1, help="processes at a time; more than 1 disturbs the times (1)")
    p.add_argument(
        "--detections", type=Path, help="folder with heavy.npz, full.npz, lite.npz; default: detect now and keep"
    )
    p.add_argument("--no-demo", action="store_true", help="leave the real recording out")
    p.add_argument(
        "--quick", action="store_true", help="a small sample to see that all works; writes nothing but the console"
    )
    p.add_argument(
        "--resume", action="store_true", help="take what an earlier run found of the other tools; ours run again"
    )
    p.add_argument(
        "--by-method", action="store_true", help="method after method, ours last, instead of input after input"
    )
    p.add_argument("--merge", action="store_true", help="keep the stored rows of other methods, and say so in the page")
    p.add_argument("--render", action="store_true", help="only write the page from the stored results")
    p.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md alone")
    p.add_argument("--venv", type=Path, default=REPO / "build" / "peers", help="environment of the peers (build/peers)")
    a = p.parse_args(argv)
    known = {s.key for s in scenes.SCENES}
    if a.scenes and (unknown := set(a.scenes.split(",")) - known):
        p.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if a.seeds < 1 or a.jobs < 1 or a.time_limit <= 0:
        p.error("--seeds, --jobs and --time-limit must be positive")
    try:
        choose(a.methods, has_method("method"))
    except ValueError as error:
        p.error(str(error))
    return a


def machine() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {"cpu": cpu, "cores": os.cpu_count(), "os": platform.platform(), "python": platform.python_version()}


def _note(a: argparse.Namespace) -> str:
    """What the page must say about the order of the calls."""
    if a.resume:
        return "The other tools first, sportcore afterwards on the same inputs."
    return "Method after method, sportcore last." if a.by_method else ""


def revision() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main(argv: list[str] | None = None) -> int:
    a = arguments(argv)
    store = REPO / "bench" / "results" / f"peers-{a.name}.json"
    page = REPO / "docs" / "benchmarks.md"
    say = lambda text: print(text, flush=True)  # noqa: E731
    if a.render:
        _publish(json.loads(store.read_text()), page)
        return 0
    methods = choose(a.methods, has_method("method"))
    wanted = a.scenes.split(",") if a.scenes else [s.key for s in scenes.SCENES]
    if a.quick:
        methods = tuple(m for m in methods if m.setting == "defaults" and m.key != "aniposelib")
        wanted, a.seeds, a.no_demo = ["clean", "usual"], 1, True
    python = environment.ensure(a.venv, say) if any(not m.ours for m in methods) else Path(sys.executable)
    work = a.venv.parent / "peers-run"
    truths: dict[str, dict[str, np.ndarray]] = {}
    jobs, described = _jobs(a, methods, wanted, work, truths)
    if a.by_method:
        order = sorted(range(len(jobs)), key=lambda i: (jobs[i].method.ours, METHODS.index(jobs[i].method)))
        jobs, described = [jobs[i] for i in order], [described[i] for i in order]
    say(f"{len(jobs)} calls, results in {work}")

    def run(job: Job) -> dict[str, Any]:
        output = work / "output" / f"{job.name}-{job.method.key}.npz"
        found = remembered(job, output) if a.resume and not job.method.ours else None
        if found is None:
            found = solve(job, Path(sys.executable) if job.method.ours else python, output, a.time_limit)
            remember(job, output, found)
        return found

    begun = time.strftime("%Y-%m-%d %H:%M")
    results = solve_all(jobs, run, a.jobs, say)
    versions = {
        ("sportcore" if j.method.ours else j.method.adapter): r["version"]
        for j, r in zip(jobs, results, strict=True)
        if "version" in r
    }
    runs = _measured(jobs, described, results, truths, work)
    result: dict[str, Any] = {
        "machine": machine(), "versions": versions, "revision": revision(), "begun": begun,
        "options": {"seeds": a.seeds, "jobs": a.jobs, "time_limit_s": a.time_limit},
        "note": _note(a), "runs": runs,
        "reference": _reference(jobs, truths),
    }  # fmt: skip
    if a.merge and store.is_file():
        result = _merged(json.loads(store.read_text()), result)
    say("\n" + tables.page_text(result))
    if a.quick:
        return 0
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text(json.dumps(_rounded(result), indent=1) + "\n")
    say(f"\nWritten: {store}")
    if not a.no_page:
        _publish(result, page)
        say(f"Written: {page}")
    return 0


def _jobs(
    a: argparse.Namespace, methods: tuple[Method, ...], wanted: list[str], work: Path, truths: dict[str, Any]
) -> tuple[list[Job], list[dict[str, Any]]]:
    """Jobs, input by input so that all methods meet the same state of the machine, and what each is about."""
    jobs, described = [], []

    def add(
        name: str, where: str, kind: str, seed: int, arrays: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
    ) -> None:
        source = scenes.save_input(work / "input" / f"{name}.npz", arrays[0])
        truths[name] = arrays[1]
        for m in methods:
            if seed < m.most_seeds:
                jobs.append(Job(m, name, source))
                described.append({"method": m.key, "kind": kind, "where": where, "seed": seed})

    for seed in range(a.seeds):
        for scene in scenes.SCENES:
            if scene.key in wanted:
                add(f"{scene.key}-{seed}", scene.key, "scene", seed, scenes.simulate(scene, seed))
    for variant in () if a.no_demo else scenes.VARIANTS:
        keypoints, rig = scenes.demo_keypoints(variant, work / "detections", a.detections)
        add(f"demo-{variant}", variant, "demo", 0, scenes.demo(keypoints, rig))
        add(f"demo-{variant}-held", variant, "held", 0, scenes.demo(keypoints, rig, hold_out=True))
    return jobs, described


def _measured(
    jobs: list[Job], described: list[dict[str, Any]], results: list[dict[str, Any]], truths: dict[str, Any], work: Path
) -> list[dict[str, Any]]:
    """What is stored of each call; the held-out calls of the recording are folded into the whole ones."""
    runs, poses = [], {}
    for job, about, result in zip(jobs, described, results, strict=True):
        R, t = result.pop("R", None), result.pop("t", None)
        run = about | result
        if R is not None:
            truth = truths[job.name]
            run |= measure.against_truth(R, t, truth["R"], truth["t"])
            if about["kind"] != "scene":
                with np.load(job.source) as given:
                    run |= measure.without_truth(R, t, dict(given), truth)
                poses[about["kind"], about["where"], about["method"]] = (R, t)
        runs.append(run)
    whole = {(r["where"], r["method"]): r for r in runs if r["kind"] == "demo"}
    for run in runs:
        if run["kind"] == "held":
            whole[run["where"], run["method"]]["held"] = run
    for (where, method), run in whole.items():
        mine = poses.get(("demo", where, method))
        for other in scenes.VARIANTS[: scenes.VARIANTS.index(where)]:
            theirs = poses.get(("demo", other, method))
            if mine and theirs:
                gap = measure.against_truth(*mine, *theirs)["rot_median_deg"]
                run.setdefault("agreement", {})[f"{other} and {where}"] = gap
    return [r for r in runs if r["kind"] != "held"]


def _reference(jobs: list[Job], truths: dict[str, Any]) -> dict[str, Any]:
    """What the reference cameras of the recording leave, by detector."""
    out = {}
    for job in jobs:
        variant = job.name.removeprefix("demo-")
        if variant in scenes.VARIANTS and variant not in out:
            truth = truths[job.name]
            with np.load(job.source) as given:
                out[variant] = measure.without_truth(truth["R"], truth["t"], dict(given), truth)
    return out


def _publish(result: dict[str, Any], page: Path) -> None:
    """Write the tables into the page, and the chart beside it."""
    tables.write_between(page, "peers", tables.page_text(result))
    places = tables.places(result["runs"])
    if places:
        title = "Rotation error against processor time: 4 cameras, 5 % outliers, 10 % missing"
        charts.accuracy_chart(places, title, page.parent / tables.CHART)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    again = {r["method"] for r in new["runs"]}
    kept = [r for r in old["runs"] if r["method"] not in again]
    note = f"Rows run again later, so that their times do not compare exactly: {', '.join(sorted(again))}."
    return new | {
        "runs": new["runs"] + kept, "versions": old["versions"] | new["versions"], "note": note if kept else "",
        "options": old["options"], "reference": old.get("reference", {}) | new["reference"], "begun": old["begun"],
    }  # fmt: skip


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environment.EnvironmentFailed as error:
        sys.exit(f"The peers could not be installed: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped.")

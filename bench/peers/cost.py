"""What sc.calibrate costs against frames and cameras, up to ten minutes at 60 Hz with 8 cameras; table and chart.

A recording lasts at least 24 s; longer ones run at 60 Hz. Keypoints are those of the usual scene: 2 px noise, 5 %
outliers, 10 % missing. Every case is called once for warmth (up to 2000 frames), then --repeat times; medians count.

examples:
  python bench/peers/cost.py                      all cases, docs/benchmarks.md and docs/media/benchmark-cost.svg
  python bench/peers/cost.py --frames 300,36000 --cameras 8 --no-page
  python bench/peers/cost.py --profile            where the time of the ten-minute case goes
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import sys
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "bench"))

import numpy as np  # noqa: E402

import sportcore as sc  # noqa: E402
from peers import charts, tables  # noqa: E402
from sportcore.evaluation.cameras import camera_errors  # noqa: E402
from sportcore.synthetic import athlete, observe, ring_cameras  # noqa: E402

FRAMES = (20, 60, 200, 600, 2000, 6000, 18000, 36000)
CAMERAS = (2, 4, 8)
SHORTEST_S, FPS, GOAL_S = 24.0, 60.0, 3.0


def recording(cameras: int, frames: int, seed: int = 0) -> tuple[sc.Keypoints2D, sc.Rig]:
    """Keypoints and true cameras of a recording of ``frames`` frames."""
    fps = min(FPS, frames / SHORTEST_S)
    X = athlete(frames, fps, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    rig = ring_cameras(cameras, seed, arc_deg=70.0 if cameras == 2 else 360.0)
    return observe(X, rig, seed, outliers=0.05, missing=0.10, fps=fps)[0], rig


def measure(cameras: int, frames: int, repeat: int) -> dict[str, Any]:
    """Median seconds of the call, its parts as the report tells them, and the rotation error."""
    keypoints, rig = recording(cameras, frames)
    if frames <= 2000:
        sc.calibrate(keypoints, rig)
    seconds, cpu, parts, error = [], [], {}, float("nan")
    for _ in range(repeat):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        calibration = sc.calibrate(keypoints, rig)
        seconds.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
        parts = {k: float(v) for k, v in calibration.report.seconds.items()}
        error = camera_errors(calibration.rig.R, calibration.rig.t, rig.R, rig.t).relative_rotation_median_deg
    return {
        "cameras": cameras, "frames": frames, "seconds": float(np.median(seconds)), "fastest": min(seconds),
        "cpu_s": float(np.median(cpu)),
        "rot_median_deg": error, "parts": parts, "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }  # fmt: skip


def page_text(result: dict[str, Any]) -> str:
    """Table, chart and the parts of the longest case."""
    rows = result["cases"]
    cameras = sorted({r["cameras"] for r in rows})
    at = {(r["frames"], r["cameras"]): r for r in rows}
    body = []
    for f in sorted({r["frames"] for r in rows}):
        row = [f"{f:,}".replace(",", " ")]
        for r in (at.get((f, c)) for c in cameras):
            cells = (r["seconds"], r["cpu_s"]) if r else (None, None)
            row += [tables.number(v) for v in cells] + [f"{tables.number(r['rot_median_deg'])}°" if r else "–"]
        body.append(row)
    head = [
        f"{c} cameras: {what}" if i == 0 else what
        for c in cameras
        for i, what in enumerate(("s", "processor s", "error"))
    ]
    longest = max(rows, key=lambda r: (r["frames"], r["cameras"]))
    ten_minutes = f"{longest['frames']:,} frames with {longest['cameras']} cameras".replace(",", " ")
    text = [
        f"{result['cpu']}, {result['cores']} cores, load average {tables.number(result['load'][0])} to "
        f"{tables.number(result['load'][1])}. Seconds by the clock, processor seconds summed over threads, median "
        "rotation error:",
        tables.table(["frames", *head], body),
        "![Time of a calibration against the number of frames](media/benchmark-cost.svg)",
        f"{ten_minutes}: {tables.number(longest['cpu_s'])} processor seconds, by the clock "
        f"{tables.number(longest['seconds'])} s (fastest call {tables.number(longest['fastest'])} s); "
        f"the goal is {GOAL_S:g} s.",
    ]
    if longest["parts"]:
        told = ", ".join(f"{k} {tables.number(v)} s" for k, v in sorted(longest["parts"].items(), key=lambda p: -p[1]))
        text.append(f"Its parts by the clock: {told}.")
    return "\n\n".join(text)


def profile() -> None:
    """Print where the ten-minute case spends its time, by Python function."""
    keypoints, rig = recording(8, FRAMES[-1])
    watch = cProfile.Profile()
    watch.enable()
    sc.calibrate(keypoints, rig)
    watch.disable()
    pstats.Stats(watch).sort_stats("cumulative").print_stats(40)


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(v) for v in text.split(","))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--frames", type=_whole_numbers, default=FRAMES, help="comma-separated")
    p.add_argument("--cameras", type=_whole_numbers, default=CAMERAS, help="comma-separated")
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument(
        "--name", default=f"{platform.machine()}-{os.cpu_count()}-cores", help="of the machine, for the results"
    )
    p.add_argument("--no-page", action="store_true", help="print only")
    p.add_argument("--profile", action="store_true", help="profile the ten-minute case and stop")
    a = p.parse_args(argv)
    if a.profile:
        profile()
        return 0
    from peers.run import machine

    rows = []
    for cameras in a.cameras:
        for frames in a.frames:
            row = measure(cameras, frames, a.repeat)
            rows.append(row)
            print(
                f"{cameras} cameras {frames:>6} frames {row['seconds']:.3f} s  {row['rot_median_deg']:.4f} deg",
                flush=True,
            )
    loads = [r["load"] for r in rows if r["load"] is not None] or [float("nan")]
    result = machine() | {"sportcore": sc.__version__, "load": [min(loads), max(loads)], "cases": rows}
    if a.no_page:
        print(page_text(result))
        return 0
    store = REPO / "bench" / "results" / f"cost-{a.name}.json"
    store.write_text(json.dumps(result, indent=1) + "\n")
    media = REPO / "docs" / "media" / "benchmark-cost.svg"
    charts.cost_chart(
        {c: [(r["frames"], r["cpu_s"]) for r in rows if r["cameras"] == c] for c in a.cameras}, GOAL_S, media
    )
    tables.write_between(REPO / "docs" / "benchmarks.md", "cost", page_text(result))
    print(f"Written: {store}, {media}, docs/benchmarks.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

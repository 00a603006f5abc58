"""How far the kernels are from what this machine can do.

    python bench/roofline.py [--name xeon-2-cores] [--docs]

Builds bench/roofline.cpp (g++ or $CXX), which measures the ceilings (fused multiply-adds, memory) and counts the
operations of the kernels by running their own templates on a number that counts. Then the kernels are timed and
set against the ceilings: bytes are what a call must read and write, once. Writes bench/results/roofline-NAME.json;
with --docs also the table and the picture of docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from peers.charts import stand_alone, ticks  # noqa: E402
from scenes import detections, joints, rig  # noqa: E402

from sportcore import _core  # noqa: E402
from sportcore.points3d import TriangulateOptions, camera_array  # noqa: E402
from sportcore.report.svg import Chart  # noqa: E402

_MARKS = ("<!-- roofline:begin -->", "<!-- roofline:end -->")


def ceilings() -> dict[str, Any]:
    """Build and run roofline.cpp."""
    root = HERE.parent
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "roofline")
        subprocess.run(
            [
                os.environ.get("CXX", "g++"), "-O3", "-march=native", "-std=c++17", "-Wno-psabi",
                f"-I{root / 'cpp/include'}", f"-I{root / 'cpp/src'}", str(HERE / "roofline.cpp"),
                str(root / "cpp/src/triangulate_setup.cpp"), "-o", program, "-lpthread",
            ],
            check=True,
        )  # fmt: skip
        return dict(json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout))


def best(call: Callable[[], object], rounds: int) -> float:
    """Seconds of the quickest of some calls, after one to warm up."""
    call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def kernels(ops: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """Time, bytes and operations of each kernel: one thread and all, float32 and float64."""
    rows = []

    def add(name: str, dtype: str, threads: int, n: int, n_bytes: float, operations: float, call: Any) -> None:
        seconds = best(call, rounds)
        rows.append(
            {
                "kernel": name, "dtype": dtype, "threads": threads, "million_per_s": n / seconds / 1e6,
                "bytes": n_bytes, "operations": operations, "gb_per_s": n * n_bytes / seconds / 1e9,
                "gflops": n * operations / seconds / 1e9,
            }
        )  # fmt: skip

    every = _core.resolve_threads(0)
    for dtype, size in (("float32", 4), ("float64", 8)):
        for threads in sorted({1, every}):
            for count in (4, 8, 16, 32):
                cameras = rig(count)
                X = joints(10_000 if count <= 8 else 3000)
                xy, score = detections(cameras, X)
                n = X.size // 3
                args = (
                    camera_array(cameras), xy.reshape(count, n, 2).astype(dtype), score.reshape(count, n).astype(dtype),
                    None, TriangulateOptions(num_threads=threads, sigma_px=2.0).to_core(),
                )  # fmt: skip
                moved = count * 3 * size + 12 * size + 2 + count * (size + 1)  # in: xy, score; out: all there is
                add(
                    f"robust triangulation, {count} cameras", dtype, threads, n, moved,
                    ops["triangulate_operations"][str(count)], lambda a=args: _core.triangulate(*a),
                )  # fmt: skip
            for lens, model in (("pinhole", "pinhole"), ("brown5", "brown"), ("fisheye", "fisheye")):
                count = 8
                X = joints(3000).reshape(-1, 3).astype(dtype)
                core, options = camera_array(rig(count, lens)), _core.ReprojectOptions(num_threads=threads)
                add(
                    f"reprojection, {model}", dtype, threads, count * len(X), 2 * size + 3 * size / count,
                    ops["project_operations"][model], lambda c=core, x=X, o=options: _core.reproject(c, x, o),
                )  # fmt: skip
                add(
                    f"with Jacobians, {model}", dtype, threads, count * len(X), 20 * size + 3 * size / count,
                    ops["jacobian_operations"][model],
                    lambda c=core, x=X, o=options: _core.reproject_jacobians(c, x, o),
                )  # fmt: skip
    return rows


def table(found: dict[str, Any]) -> str:
    """Markdown: each kernel beside the nearer of its two ceilings."""
    machine, top = found["machine"], found["ceilings"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']} kernels, load before {machine['load']:.1f}; "
        f"measured on {machine['date']}.",
        "",
        "| ceiling | 1 thread | all |",
        "|---|---:|---:|",
    ]
    every = str(top["cores"])
    for label, key in (("multiply-adds float32, GFLOP/s", "gflops_f32"), ("float64, GFLOP/s", "gflops_f64")):
        lines.append(f"| {label} | {top[key]['1']:.0f} | {top[key][every]:.0f} |")
    lines.append(f"| memory (triad), GB/s | {top['triad_gb_per_s']['1']:.1f} | {top['triad_gb_per_s'][every]:.1f} |")
    lines += [
        "",
        "| kernel | bytes, float32 | operations | 1 thread: M/s, float32 / float64 | all threads "
        "| of arithmetic, 1 thread | of memory, all |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows = {(r["kernel"], r["dtype"], r["threads"]): r for r in found["kernels"]}
    for kernel in dict.fromkeys(r["kernel"] for r in found["kernels"]):
        one, two = (rows[kernel, d, 1] for d in ("float32", "float64"))
        all_one, all_two = (rows[kernel, d, top["cores"]] for d in ("float32", "float64"))
        lines.append(
            f"| {kernel} | {one['bytes']:.0f} | {one['operations']:.0f} | {one['million_per_s']:.1f} / "
            f"{two['million_per_s']:.1f} | {all_one['million_per_s']:.1f} / {all_two['million_per_s']:.1f} | "
            f"{100 * one['gflops'] / top['gflops_f32']['1']:.0f} % | "
            f"{100 * all_one['gb_per_s'] / top['triad_gb_per_s'][every]:.0f} % |"
        )
    return "\n".join(lines)


def picture(found: dict[str, Any], path: Path) -> None:
    """The roofline of one thread in float32, and the kernels under it."""
    top = found["ceilings"]
    flops, memory = top["gflops_f32"]["1"], top["triad_gb_per_s"]["1"]
    rows = [r for r in found["kernels"] if r["dtype"] == "float32" and r["threads"] == 1]
    x = np.log10([r["operations"] / r["bytes"] for r in rows])
    low, high = float(min(x.min(), np.log10(flops / memory)) - 0.4), float(x.max() + 0.5)
    y = np.log10([r["gflops"] for r in rows])
    bottom, ceiling = float(y.min() - 0.3), float(np.log10(flops) + 0.2)
    chart = Chart(
        (low, high), (bottom, ceiling), width=720, height=400, margins=(60, 14, 20, 46),
        x_label="operations per byte", y_label="GFLOP/s, one thread, float32", label="Roofline of the kernels",
        x_ticks=ticks(low, high), y_ticks=ticks(bottom, ceiling),
    )  # fmt: skip
    knee = float(np.log10(flops / memory))
    start = max(low, bottom - float(np.log10(memory)))
    chart.segment(start, start + float(np.log10(memory)), knee, float(np.log10(flops)), "goal")
    chart.segment(knee, float(np.log10(flops)), high, float(np.log10(flops)), "goal")
    chart.text(knee, float(np.log10(flops)), f"{flops:.0f} GFLOP/s, {memory:.1f} GB/s", dx=4, dy=-6)
    groups = (("robust", "c0", "triangulation"), ("reprojection", "c1", "reprojection"), ("with", "c2", "Jacobians"))
    for css, label, group in ((c, text, [r for r in rows if r["kernel"].startswith(p)]) for p, c, text in groups):
        for k, r in enumerate(group):
            at = float(np.log10(r["operations"] / r["bytes"])), float(np.log10(r["gflops"]))
            chart.dot(*at, css, tip=f"{r['kernel']}: {r['gflops']:.1f} GFLOP/s", radius=5)
            if k == 0:
                chart.text(*at, label, dx=9, dy=14)
    path.write_text(stand_alone(chart), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default=platform.node() or "here", help="name of the machine in the file's name")
    parser.add_argument("--rounds", type=int, default=25, help="calls per kernel; the quickest counts")
    parser.add_argument("--docs", action="store_true", help="also write table and picture into docs/")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    cpu = next(
        (
            s.split(":", 1)[1].strip()
            for s in Path("/proc/cpuinfo").read_text().splitlines()
            if s.startswith("model name")
        ),
        platform.processor(),
    )
    top = ceilings()
    found = {
        "machine": {
            "cpu": cpu, "cores": top["cores"], "isa": _core.kernel_isa(), "load": load,
            "date": time.strftime("%Y-%m-%d"),
        },
        "ceilings": top,
        "kernels": kernels(top, args.rounds),
    }  # fmt: skip
    target = HERE / "results" / f"roofline-{args.name}.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    text = table(found)
    print(text)
    if args.docs:
        page = HERE.parent / "docs" / "performance.md"
        before, rest = page.read_text(encoding="utf-8").split(_MARKS[0])
        after = rest.split(_MARKS[1])[1]
        page.write_text(f"{before}{_MARKS[0]}\n\n{text}\n\n{_MARKS[1]}{after}", encoding="utf-8")
        picture(found, HERE.parent / "docs" / "media" / "roofline.svg")


if __name__ == "__main__":
    main()

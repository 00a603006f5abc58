"""Are the kernels still as much faster than their baselines as they were?

    python bench/check_ratios.py [--against bench/results/xeon-2-cores.json] [--allow 0.6]

Runs the kernel benchmarks and compares ratios of medians, ours against a baseline of the same run, with those of
a committed run: seconds depend on the machine and its other work, ratios much less. Exits with 1 when a ratio has
fallen below the allowed share of what it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# What is compared: (label, ours, baseline), by the names of the benchmarks.
PAIRS = (
    ("robust triangulation, 4 cameras, to NumPy DLT",
     "bench_triangulate.py::bench_public_function[4]", "bench_triangulate.py::bench_baseline_numpy_dlt[4]"),
    ("robust triangulation, 8 cameras, to NumPy DLT",
     "bench_triangulate.py::bench_public_function[8]", "bench_triangulate.py::bench_baseline_numpy_dlt[8]"),
    ("float32, one thread, 4 cameras, to NumPy DLT",
     "bench_triangulate.py::bench_core[4-float32-1]", "bench_triangulate.py::bench_baseline_numpy_dlt[4]"),
    ("reprojection, pinhole, one thread, to OpenCV",
     "bench_reproject.py::bench_core[pinhole-float64-1]", "bench_reproject.py::bench_baseline_opencv_loop[pinhole]"),
    ("reprojection, Brown, one thread, to OpenCV",
     "bench_reproject.py::bench_core[brown5-float64-1]", "bench_reproject.py::bench_baseline_opencv_loop[brown5]"),
    ("reprojection, fisheye, one thread, to OpenCV",
     "bench_reproject.py::bench_core[fisheye-float64-1]", "bench_reproject.py::bench_baseline_opencv_loop[fisheye]"),
)  # fmt: skip


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """How many times faster ours is, for the pairs of which both ran."""
    median = {name.split("/")[-1]: row["median_ms"] for name, row in results["benchmarks"].items()}
    return {label: median[base] / median[ours] for label, ours, base in PAIRS if ours in median and base in median}


def compare(then: dict[str, float], now: dict[str, float], allow: float) -> tuple[str, bool]:
    """A table, and whether all ratios hold."""
    lines, good = [], True
    for label in (p[0] for p in PAIRS if p[0] in then and p[0] in now):
        share = now[label] / then[label]
        holds = share >= allow
        good &= holds
        lines.append(f"{label:50s} {then[label]:7.1f}x -> {now[label]:7.1f}x  {'ok' if holds else 'SLOWER'}")
    return "\n".join(lines), good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, default=HERE / "results" / "xeon-2-cores.json")
    parser.add_argument("--allow", type=float, default=0.6, help="least share of the old ratio that still passes")
    args = parser.parse_args()
    then = ratios(json.loads(args.against.read_text()))
    if not then:
        sys.exit(f"{args.against} holds none of the benchmarks that are compared.")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "now.json"
        files = [str(HERE / name) for name in ("bench_triangulate.py", "bench_reproject.py")]
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-only",
                "--results", str(target), *files,
            ],
            check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        now = ratios(json.loads(target.read_text()))
    text, good = compare(then, now, args.allow)
    print(text)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

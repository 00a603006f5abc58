"""Benchmarks by one contract: warm-up, median and interquartile range, fixed seeds, the machine beside the numbers.

python -m pytest bench --benchmark-only
python -m pytest bench --benchmark-only --results bench/results/NAME.json
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import numpy as np
import pytest

import sportcore as sc
from sportcore import _core


def pytest_addoption(parser):
    parser.addoption("--results", default=None, help="write a short JSON with medians and the machine")
    parser.addoption("--bench-frames", type=int, default=10_000, help="frames of 17 joints in the large cases")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def machine() -> dict[str, object]:
    info = {
        "cpu": _cpu(),
        "cores": _core.resolve_threads(0),
        "load_before": round(os.getloadavg()[0], 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sportcore": sc.__version__,
        "built_with_cuda": _core.built_with_cuda(),
    }
    if _core.cuda_device_count():
        info["gpu"] = _core.cuda_device_name()
    return info


def pytest_configure(config):
    config._sportcore_machine = machine()


def pytest_sessionfinish(session, exitstatus):
    path = session.config.getoption("--results")
    suite = getattr(session.config, "_benchmarksession", None)
    if not path or suite is None or not suite.benchmarks:
        return
    rows = {}
    for bench in suite.benchmarks:
        if bench.has_error or not bench.stats.rounds:
            continue
        row = {"median_ms": bench.stats.median * 1e3, "iqr_ms": bench.stats.iqr * 1e3, "rounds": bench.stats.rounds}
        row |= {k: v for k, v in bench.extra_info.items() if k != "points"}
        if "points" in bench.extra_info:
            row["million_points_per_s"] = bench.extra_info["points"] / bench.stats.median / 1e6
        rows[bench.fullname] = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"machine": session.config._sportcore_machine, "benchmarks": rows}, indent=1) + "\n")


@pytest.fixture
def frames(request) -> int:
    return request.config.getoption("--bench-frames")


@pytest.fixture
def timed(benchmark):
    """timed(points, function): warm up, measure, note the number of points."""

    def run(points: int, function, rounds: int = 9):
        benchmark.extra_info["points"] = points
        return benchmark.pedantic(function, warmup_rounds=2, rounds=rounds, iterations=1)

    return run

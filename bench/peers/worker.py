"""One call of one method in a process of its own: ``python worker.py ADAPTER SETTING INPUT.npz OUTPUT.npz SECONDS``.

Imports nothing of the project but the adapter, so that it runs in the peers' environment as well. The scene is solved
once for the result; a call that took less than ``WARM_BELOW_S`` is repeated on fresh data, and the fastest counts, so
that what a first call compiles or loads is not held against anybody.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

try:
    import resource
except ImportError:  # Windows: the clock alone limits
    resource = None  # type: ignore[assignment]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WARM_BELOW_S = 5.0


def load(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {k: file[k] for k in file.files}


def timed(adapter: ModuleType, data: object, setting: dict[str, object]) -> tuple[np.ndarray, np.ndarray, float, float]:
    """A call, its seconds by the clock, and those of all processor cores."""
    clock, cpu = time.perf_counter(), time.process_time()
    R, t = adapter.solve(data, **setting)
    return R, t, time.perf_counter() - clock, time.process_time() - cpu


def main(adapter_name: str, setting_name: str, source: str, target: str, limit_s: str) -> None:
    if resource is not None:  # the kernel ends the process after that much processor time, import and repeats included
        seconds = math.ceil(float(limit_s))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    say: dict[str, object] = {"status": "crashed"}
    R = t = np.zeros(0)
    adapter = importlib.import_module(f"peers.adapters.{adapter_name}")
    say["version"] = getattr(adapter, "VERSION", None) or version(adapter.DISTRIBUTION)
    setting = adapter.SETTINGS[setting_name]
    try:
        data = adapter.prepare(load(source))
        R, t, first, first_cpu = timed(adapter, data, setting)
        best, best_cpu = first, first_cpu
        for _ in range(2 if first_cpu < WARM_BELOW_S / 10 else int(first_cpu < WARM_BELOW_S)):
            _, _, wall, cpu = timed(adapter, adapter.prepare(load(source)), setting)
            best, best_cpu = min(best, wall), min(best_cpu, cpu)
        say |= {"status": "ok", "seconds": best, "cpu_s": best_cpu, "first_seconds": first, "first_cpu_s": first_cpu}
        if not (np.isfinite(R).all() and np.isfinite(t).all()):
            say |= {"status": "crashed", "message": "returned cameras that are not finite"}
    except adapter.REFUSALS as error:
        say |= {"status": "refused", "message": f"{type(error).__name__}: {error}"}
    except Exception as error:
        traceback.print_exc()
        say |= {"status": "crashed", "message": f"{type(error).__name__}: {error}"}
    if resource is not None:
        say["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    part = f"{target}.part.npz"
    np.savez(part, R=R, t=t, say=json.dumps(say))
    os.replace(part, target)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(*sys.argv[1:])

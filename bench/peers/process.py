"""One job in one process, with a time limit; and many jobs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peers.methods import Method

_ALIVE: set[subprocess.Popen[bytes]] = set()
CLOCK_FACTOR = 10.0
WORKER = Path(__file__).resolve().parent / "worker.py"


@dataclass(frozen=True)
class Job:
    """A method on an input."""

    method: Method
    name: str
    source: Path


def solve(job: Job, python: Path, output: Path, limit_s: float, worker: Path = WORKER) -> dict[str, Any]:
    """Run a job; never raises for what the method does.

    The process may use ``limit_s`` seconds of processor time, summed over threads, and ``CLOCK_FACTOR`` times as much
    by the clock, so that a busy machine does not make a method fail.

    Returns:
        ``status`` ("ok", "refused", "crashed", "too slow"), ``seconds`` of the call, ``message``, and on success ``R``
        (C, 3, 3) and ``t`` (C, 3).
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    # One thread of linear algebra each: several jobs and other users share the cores, and small systems gain nothing.
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    command = [
        str(python),
        str(worker),
        job.method.adapter,
        job.method.setting,
        str(job.source),
        str(output),
        str(limit_s),
    ]
    when = time.strftime("%Y-%m-%d %H:%M")
    begin, load = time.perf_counter(), os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with output.with_suffix(".log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            _ALIVE.add(child)
            code = child.wait(timeout=CLOCK_FACTOR * limit_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            return {
                "status": "too slow",
                "message": f"killed after {CLOCK_FACTOR * limit_s:.0f} s",
                "load": load,
                "when": when,
            }
        except BaseException:
            _kill(child)
            raise
        finally:
            _ALIVE.discard(child)
    wall = time.perf_counter() - begin
    if code == -getattr(signal, "SIGXCPU", 0):
        message = f"killed after {limit_s:.0f} s of processor time"
        return {"status": "too slow", "message": message, "load": load, "when": when, "wall_s": wall}
    if not output.is_file():
        tail = output.with_suffix(".log").read_text(errors="replace").strip().splitlines()[-1:] or [""]
        return {
            "status": "crashed",
            "message": f"exit status {code}: {tail[0][:200]}",
            "load": load,
            "wall_s": wall,
            "when": when,
        }
    with np.load(output, allow_pickle=False) as file:
        say: dict[str, Any] = json.loads(str(file["say"]))
        say |= {"load": load, "wall_s": wall, "when": when}
        if say["status"] == "ok":
            say |= {"R": file["R"], "t": file["t"]}
    return say


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a child that leads its own group, and what it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except ProcessLookupError:
        pass
    child.wait()


def remembered(job: Job, output: Path) -> dict[str, Any] | None:
    """What :func:`solve` found when it last ran this job on this very input, or None."""
    note = output.with_suffix(".json")
    if not note.is_file():
        return None
    say: dict[str, Any] = json.loads(note.read_text())
    if say.pop("input") != _digest(job.source):
        return None
    if say["status"] == "ok":
        with np.load(output, allow_pickle=False) as file:
            say |= {"R": file["R"], "t": file["t"]}
    return say


def remember(job: Job, output: Path, result: dict[str, Any]) -> None:
    """Keep a result for :func:`remembered`; the cameras stay in ``output``."""
    plain = {k: v for k, v in result.items() if k not in ("R", "t")}
    output.with_suffix(".json").write_text(json.dumps(plain | {"input": _digest(job.source)}))


def _digest(path: Path) -> str:
    """Of the arrays in an .npz file; its own bytes carry the time of writing."""
    digest = hashlib.sha256()
    with np.load(path, allow_pickle=False) as file:
        for name in sorted(file.files):
            digest.update(name.encode() + np.ascontiguousarray(file[name]).tobytes())
    return digest.hexdigest()


def solve_all(
    jobs: Sequence[Job], run: Callable[[Job], dict[str, Any]], at_once: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Results in the order of the jobs; ``at_once`` of them at a time."""
    results: list[dict[str, Any]] = [{} for _ in jobs]
    done = 0

    def work(i: int) -> None:
        nonlocal done
        results[i] = run(jobs[i])
        done += 1
        took = (
            f"{results[i]['seconds']:.2f} s, processor {results[i]['cpu_s']:.2f} s"
            if "seconds" in results[i]
            else results[i].get("message", "")[:100]
        )
        say(f"[{done}/{len(jobs)}] {jobs[i].name:<16} {jobs[i].method.key:<18} {results[i]['status']} {took}")

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(work, i) for i in range(len(jobs))]
        try:
            for future in futures:
                future.result()
        except BaseException:  # Ctrl-C reaches this thread only: no new jobs, and an end to those that run
            pool.shutdown(wait=False, cancel_futures=True)
            for child in tuple(_ALIVE):
                _kill(child)
            raise
    return results

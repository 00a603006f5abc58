"""A long fuzz run over the public functions of calibration, each call in a process that may crash or hang.

    python bench/fuzz_calibrate.py --seconds 300 --seed 0            # everything
    python bench/fuzz_calibrate.py --target calibrate --only 1234    # one case again (what a violation prints)
    python bench/fuzz_calibrate.py --faults nan_joints,wild_distortion --only 7

Prints every violation with the command that repeats it, and a table of what came out. Exit status 1 when there was one.
The faults and the judge are those of the tests (tests/fuzz_scenes.py, tests/fuzz_targets.py).
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import multiprocessing
import os
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

HANG_SECONDS = 240.0
ADDRESS_SPACE_GB = 12


def worker(pipe: Connection, faults: tuple[str, ...]) -> None:
    """Judge the cases that the parent names, until it closes the pipe."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    faulthandler.enable()
    limit = ADDRESS_SPACE_GB << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    from fuzz_scenes import judge_calibration, make_case
    from fuzz_targets import TARGETS

    while True:
        try:
            target, seed = pipe.recv()
        except EOFError:
            return
        verdict = judge_calibration(make_case(list(faults), seed)) if faults else TARGETS[target](seed)
        pipe.send((verdict.outcome, verdict.violations, verdict.cpu_s))


class Judge:
    """A worker that is replaced when it dies or does not answer."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        self.process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=worker, args=(theirs, self.faults), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self, target: str, seed: int) -> tuple[str, list[str], float]:
        if self.process is None or not self.process.is_alive():
            self.start()
        assert self.process is not None
        self.pipe.send((target, seed))
        if not self.pipe.poll(HANG_SECONDS):
            self.process.kill()
            self.process.join()
            return "hang", [f"hang: no answer in {HANG_SECONDS:.0f} s"], HANG_SECONDS
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            return "crash", [f"crash: the process ended with {self.process.exitcode}"], 0.0


def main() -> int:
    """Run cases until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first case of each target")
    parser.add_argument("--target", help="one target only")
    parser.add_argument("--faults", default="", help="comma separated faults of a calibration, instead of random ones")
    parser.add_argument("--only", type=int, metavar="SEED", help="this one case")
    args = parser.parse_args()
    from fuzz_scenes import hard
    from fuzz_targets import TARGETS

    faults = tuple(f for f in args.faults.split(",") if f)
    targets = ["calibrate"] if faults else [args.target] if args.target else list(TARGETS)
    judge = Judge(faults)
    counts: dict[str, collections.Counter[str]] = {t: collections.Counter() for t in targets}
    slowest = dict.fromkeys(targets, (0.0, -1))
    broken, untidy, seed, stop = 0, collections.Counter(), args.seed, time.monotonic() + args.seconds
    while args.only is not None or time.monotonic() < stop:
        for target in targets:
            this = seed if args.only is None else args.only
            outcome, violations, cpu = judge(target, this)
            counts[target][outcome] += 1
            slowest[target] = max(slowest[target], (cpu, this))
            for text in violations:
                if not hard([text]):
                    untidy[f"{target} {text.split(',')[0]}"] += 1
                    if args.only is None:
                        continue
                broken += bool(hard([text]))
                how = f"--faults {args.faults}" if faults else f"--target {target}"
                print(f"! {text}\n    python bench/fuzz_calibrate.py {how} --only {this}", flush=True)
            if args.only is not None:
                print(f"{target} {this}: {outcome}, {cpu:.2f} s of processor time")
        seed += 1
        if args.only is not None:
            break
    for target in targets:
        cpu, worst = slowest[target]
        print(f"{target}: {sum(counts[target].values())} cases, slowest {cpu:.1f} s (seed {worst})")
        for outcome, n in counts[target].most_common():
            print(f"    {n:6d} {outcome}")
    for text, n in untidy.most_common(20):
        print(f"  {n} times: {text}")
    print(f"{broken} violations")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""The judge of the fuzz tests and of bench/fuzz_calibrate.py, and cases made of named faults.

The promise under test: whatever goes in, out comes either an error of sportcore that says what to do, or a result; a
result graded "good" is right wherever the truth is known; nothing given is changed; time and memory are bounded.
"""

from __future__ import annotations

import json
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fuzz_faults  # noqa: F401 enters its faults into the register
import fuzz_faults_scene  # noqa: F401
import numpy as np
from calibration_scenes import rotation_error_deg
from fuzz_case import FAULTS, Case, base

import sportcore as sc
from sportcore.errors import SportcoreError

# generous: a busy two-core machine; seconds of processor time of all threads together
CPU_SECONDS, MEMORY_MB = 30.0, 600.0

#: faults that two cameras, or a few joints, may not show
DECEPTIVE = frozenset({
    "one_camera_late", "one_camera_backwards", "one_camera_mirrored", "one_camera_sideways",
    "sides_swapped_for_good_in_one_camera", "joints_shuffled_in_one_camera",
})  # fmt: skip
#: faults that make new observations, and what was done before to be forgotten
FIRST = (
    "many_cameras", "cameras_in_one_place", "a_small_baseline", "opposite_cameras", "still_but_noisy",
    "joints_on_a_line", "joints_at_one_point", "planar_motion", "motion_along_one_line", "points_at_infinity",
)  # fmt: skip
#: faults after which the arrays are no longer arrays of this scene's shape
LAST = ("integers", "float32", "not_contiguous", "objects", "few_frames", "empty_axis", "wrong_shapes", "nested_lists")


# ---- the judge -------------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    outcome: str
    violations: list[str]
    cpu_s: float
    memory_mb: float
    error_deg: float = float("nan")


def make_case(names: list[str], seed: int) -> Case:
    """A scene with the named faults, one after the other; the same for the same arguments."""
    rng = np.random.default_rng([seed, 77])
    case = base(rng)
    case.deceptive = not DECEPTIVE.isdisjoint(names)
    for name in sorted(names, key=lambda n: LAST.index(n) + 1 if n in LAST else -(n in FIRST)):
        case = FAULTS[name](case, rng)
    return case


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def arrays_of(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, sc.Rig):
        return [a for c in value for a in (c.K, c.distortion, c.R, c.t)]
    if isinstance(value, sc.Keypoints2D):
        return [a for a in (value.xy, value.score, value.times, value.sigma_px) if a is not None]
    return []


def judged(
    call: Callable[[], Any], given: list[Any], cpu_limit: float = CPU_SECONDS
) -> tuple[Any, SportcoreError | None, Verdict]:
    """Run a call and hold it against the promises that every call keeps. ``given`` must not change."""
    before = [(a, a.tobytes()) for g in given for a in arrays_of(g) if a.dtype != object]
    memory, cpu = memory_mb(), time.process_time()
    violations: list[str] = []
    result, error = None, None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
            outcome = "result"
        except SportcoreError as e:
            error = e
            outcome = type(e).__name__
            if not e.message.strip() or len(e.message) > 2000:
                violations.append(f"an error without (or with too many) words: {e.message[:100]!r}")
        except Exception as e:
            outcome = f"bare {type(e).__name__}"
            violations.append(f"bare {type(e).__name__}: {str(e)[:200]}")
    cpu, memory = time.process_time() - cpu, memory_mb() - memory
    if cpu > cpu_limit:
        violations.append(f"slow: {cpu:.1f} s of processor time")
    if memory > MEMORY_MB:
        violations.append(f"memory: grew by {memory:.0f} MB")
    if any(a.tobytes() != b for a, b in before):
        violations.append("an input was changed")
    for w in caught:
        if issubclass(w.category, (RuntimeWarning, UserWarning)):
            violations.append(f"warning: {w.message} ({w.filename.rsplit('/', 1)[-1]}:{w.lineno})")
            break
    return result, error, Verdict(outcome, violations, cpu, memory)


def judge_calibration(case: Case) -> Verdict:
    """Calibrate a case and say what is wrong with the outcome, if anything."""
    built: list[Any] = []

    def call() -> sc.Calibration:
        extra = {"skeleton": "h36m17", **case.keypoints}
        keypoints = sc.Keypoints2D(case.xy, case.score, **extra)
        rig = case.lenses() if case.lenses is not None else case.rig
        built.extend([keypoints, rig])
        copies.extend(a.tobytes() for g in built for a in arrays_of(g))
        return sc.calibrate(keypoints, rig, sc.CalibrateOptions(**case.options), monocular_3d=case.monocular)

    copies: list[bytes] = []
    cal, error, verdict = judged(call, [case.xy, case.score, case.monocular])
    if copies and [a.tobytes() for g in built for a in arrays_of(g)] != copies:
        verdict.violations.append("keypoints or rig were changed")
    if error is not None and not error.remedy and type(error).__name__ == "DegenerateError":
        verdict.violations.append(f"a refusal without a remedy: {error.message[:150]}")
    if cal is None:
        return verdict
    report = cal.report
    verdict.outcome = report.grade
    for name, value in (("R", cal.rig.R), ("t", cal.rig.t), ("K", cal.rig.K)):
        if not np.isfinite(value).all():
            verdict.violations.append(f"{name} is not finite")
    if report.grade not in ("good", "usable", "poor"):
        verdict.violations.append(f"grade {report.grade!r}")
    try:
        json.dumps(report.to_dict(), allow_nan=False)
    except (TypeError, ValueError) as e:
        verdict.violations.append(f"the report is not JSON: {e}")
    if report.grade == "poor" and not report.warnings:
        verdict.violations.append("graded poor without a word")
    if report.grade == "good" and case.never_good:
        verdict.violations.append("graded good where nothing could be known")
    if case.truth is not None and len(case.truth) == len(cal.rig) and not case.never_good:
        error_deg = rotation_error_deg(cal.rig, case.truth)
        sigma = report.rotation_sigma_deg
        bound = 1.0 + 3 * (np.sqrt(2) * float(np.max(sigma)) if sigma is not None else 0.0)
        verdict.error_deg = error_deg
        if report.grade == "good" and not error_deg <= bound:
            word = "deceived: " if case.deceptive else ""
            verdict.violations.append(f"{word}graded good, but {error_deg:.2f} degrees off (bound {bound:.2f})")
    return verdict


def hard(violations: list[str]) -> list[str]:
    """The violations that break the promise: not a stray NumPy warning, nor what the pictures cannot tell."""
    return [v for v in violations if not v.startswith(("warning:", "deceived:"))]

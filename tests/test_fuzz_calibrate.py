"""Spoilt input to the calibration: an error with words, or a result that does not claim to be better than it is."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from fuzz_case import FAULTS, base
from fuzz_scenes import DECEPTIVE, hard, judge_calibration, make_case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore.errors import SportcoreError


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A call that never comes back ends the tests with a trace instead of blocking them."""
    faulthandler.dump_traceback_later(300, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("fault", [n for n in FAULTS if n != "many_cameras"])
def test_one_fault(fault: str, seed: int) -> None:
    violations = judge_calibration(make_case([fault], seed)).violations
    assert not hard(violations)
    if any(v.startswith("deceived:") for v in violations):
        pytest.xfail(f"{fault}: {violations[0]}")


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([n for n in FAULTS if n not in DECEPTIVE]), min_size=2, max_size=3, unique=True),
    st.integers(0, 2**20),
)
def test_faults_together(faults: list[str], seed: int) -> None:
    assert not hard(judge_calibration(make_case(faults, seed)).violations)


@pytest.mark.parametrize("cameras", [64, 65])
def test_a_whole_stadium_of_cameras(cameras: int) -> None:
    """64 cameras are what a point may have; more is said, not computed wrongly."""
    case = base(np.random.default_rng(3), cameras, 12)
    case.xy[:, :, 8:] = np.nan
    verdict = judge_calibration(case)
    assert not hard(verdict.violations)
    if cameras == 65:
        with pytest.raises(SportcoreError, match="64"):
            sc.triangulate(sc.Keypoints2D(case.xy, case.score, "h36m17"), case.rig)


def test_every_fault_of_the_register_can_be_named() -> None:
    """A fault that nobody enters would never be tested."""
    assert len(FAULTS) > 55 and all(f.__name__ == n for n, f in FAULTS.items())

"""Random calls of triangulate, reproject, find_swaps, align_cameras and read_rig: words or a result, never a crash."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fuzz_scenes import hard
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore.errors import SportcoreError
from sportcore.io import read_rig_file

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("target", [t for t in TARGETS if t != "calibrate"])
def test_random_calls(target: str) -> None:
    count = {"sync": 40, "find_swaps": 30, "rig_file": 150}.get(target, 60)
    broken = {s: v for s in range(count) if (v := hard(TARGETS[target](s).violations))}
    assert not broken


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=3, max_size=3))
@quick
def test_any_point_projects_to_a_pixel_or_to_nan(point: list[float]) -> None:
    from sportcore.synthetic import ring_cameras

    rig = ring_cameras(2, 0, distortion=(-0.2, 0.05, 0.001, 0, 0.01))
    uv = sc.reproject(np.array([[point]]), rig)
    assert uv.shape == (2, 1, 1, 2)
    assert (np.isnan(uv).all(-1) == np.isnan(uv).any(-1)).all()
    if not np.isfinite(point).all():
        assert np.isnan(uv).all()


@given(
    st.binary(max_size=300),
    st.sampled_from(["a.toml", "a.qca.txt", "a.xcp", "a.yml", "a.xml", "a.pickle", "cameras.txt"]),
)
@quick
def test_any_bytes_are_refused_in_words(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        with pytest.raises(SportcoreError) as caught:
            read_rig_file(path)
        assert name in str(caught.value)


@given(
    st.tuples(*[st.one_of(st.none(), st.text(max_size=3), st.floats(), st.integers(-5, 2**70))] * 2),
    st.one_of(st.floats(), st.none(), st.text(max_size=2)),
)
@quick
def test_a_camera_is_made_or_refused(size: tuple[object, object], f: object) -> None:
    try:
        camera = sc.Camera("a", size, [[f, 0, 1], [0, f, 1], [0, 0, 1]])  # type: ignore[arg-type]
    except SportcoreError:
        return
    assert min(camera.image_size) >= 1 and camera.K[0, 0] > 0
    assert sc.Rig((camera,)).image_sizes.shape == (1, 2)


def test_python_is_left_as_it_was() -> None:
    """Deep nesting in a file must not lower or raise the recursion limit."""
    limit = sys.getrecursionlimit()
    deep = {
        "a.toml": "a = " + "[" * 50_000,
        "a.xml": "<calibration>" + "<a>" * 100_000,
        "a.yml": "%YAML:1.0\n---\na: " + "[" * 50_000,
        "b.toml": "[" + "a." * 40_000 + "a]\nx=1",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in deep.items():
            (Path(folder) / name).write_text(text)
            with pytest.raises(SportcoreError):
                read_rig_file(Path(folder) / name)
    assert sys.getrecursionlimit() == limit

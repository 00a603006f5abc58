"""The SIMD kernels: every instruction set gives the same answers, for every length and every lens."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from reference.cameras import MODELS
from reference.machine import available_bytes
from reference.scene import cloud, ring

from sportcore import PointStatus, _core
from sportcore.points3d import TriangulateOptions, reproject_batch, triangulate_batch

ISAS = ("baseline", "avx2", "avx512")

SCRIPT = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from reference.cameras import MODELS
from reference.scene import cloud, ring
from sportcore import _core
from sportcore.points3d import camera_array, reproject_batch, triangulate_batch
out = {"isa": np.array(_core.kernel_isa())}
for model in MODELS:
    for dtype in ("float32", "float64"):
        rig, X = ring(5, model), cloud(333)
        rng = np.random.default_rng(0)
        X[7] = rig[0].center_world - 2 * rig[0].R[2]
        xy = reproject_batch(rig, X.astype(dtype))
        out[f"uv {model} {dtype}"] = xy
        xy = xy + rng.normal(size=xy.shape) + np.where(rng.random((5, 333, 1)) < 0.2, 90, 0)
        xy[rng.random((5, 333)) < 0.1] = np.nan
        found = triangulate_batch(rig, xy.astype(dtype))
        for name in ("xyz", "covariance", "residual_px", "status", "inlier", "n_views"):
            out[f"{name} {model} {dtype}"] = getattr(found, name)
    core = camera_array(ring(2, model))
    out[f"J {model}"] = np.concatenate([j.ravel() for j in _core.reproject_jacobians(core, cloud(41))[1:]])
np.savez(sys.argv[2], **out)
"""


def results(isa, folder):
    path = folder / f"{isa}.npz"
    subprocess.run(
        [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), str(path)],
        env={**os.environ, "SPORTCORE_ISA": isa}, check=True, timeout=120,
    )  # fmt: skip
    with np.load(path) as data:
        return dict(data)


def test_every_instruction_set_gives_the_same_answer(tmp_path):
    """What the processor lacks falls back to the next lower set; what it has must agree to rounding."""
    reference = results("baseline", tmp_path)
    assert str(reference["isa"]) == "baseline"
    for isa in ISAS[1:]:
        other = results(isa, tmp_path)
        assert ISAS.index(str(other["isa"])) <= ISAS.index(isa)
        for name, want in reference.items():
            if name == "isa":
                continue
            got = other[name]
            if want.dtype.kind in "bu":  # an observation at the limit may fall on either side
                assert (got != want).mean() < 2e-3, name
            else:
                same = np.isnan(got) == np.isnan(want)
                assert same.mean() > 0.998, name
                scale = 1.0 if name.startswith("xyz") else np.nanmax(np.abs(want))
                loose = 2e-4 if "float32" in name else 1e-7
                close = np.abs(got - want) <= loose * scale
                assert (close | np.isnan(got) | np.isnan(want)).mean() > 0.998, name


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_length_does_not_matter(model, dtype):
    """Registers that are not full, blocks that are not, and points alone give what the whole batch gives."""
    rig, X = ring(4, model), cloud(2500).astype(dtype)
    rng = np.random.default_rng(1)
    clean = reproject_batch(rig, X)
    xy = (clean + rng.normal(size=clean.shape) + np.where(rng.random((4, 2500, 1)) < 0.1, 60, 0)).astype(dtype)
    options = TriangulateOptions(sigma_px=1.0)
    whole = triangulate_batch(rig, xy, options=options)
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    for n in (1, 2, 7, 8, 15, 16, 17, 31, 33, 1023, 1025, 2049):
        np.testing.assert_array_equal(reproject_batch(rig, X[:n]), clean[:, :n])
        part = triangulate_batch(rig, xy[:, :n], options=options)
        assert (part.status != whole.status[:n]).mean() <= 1e-3
        np.testing.assert_allclose(part.xyz, whole.xyz[:n], atol=tolerance)
        np.testing.assert_allclose(part.residual_px, whole.residual_px[:, :n], atol=20 * tolerance)
    empty = triangulate_batch(rig, xy[:, :0], options=options)
    assert empty.xyz.shape == (0, 3) and empty.residual_px.shape == (4, 0)
    assert reproject_batch(rig, X[:0]).shape == (4, 0, 2)


@pytest.mark.parametrize("count", [16, 32, 64])
def test_many_cameras(count):
    """Half of the observations missing, a fifth of the others wrong: a search of bounded cost still finds the point."""
    rig, X = ring(count), cloud(400)
    rng = np.random.default_rng(2)
    xy = reproject_batch(rig, X) + rng.normal(size=(count, 400, 2))
    bad = rng.random((count, 400)) < 0.2
    xy += np.where(bad, rng.uniform(30, 300, bad.shape), 0)[..., None]
    xy[rng.random(bad.shape) < 0.5] = np.nan
    found = triangulate_batch(rig, xy)
    assert (found.status == PointStatus.OK).mean() > 0.99
    ok = found.status == PointStatus.OK
    assert np.median(np.linalg.norm(found.xyz - X, axis=-1)[ok]) < 0.01
    seen = np.isfinite(xy[..., 0])
    assert (found.inlier & bad)[:, ok].sum() < 0.02 * (bad & seen)[:, ok].sum()
    assert found.inlier[:, ok].sum() > 0.97 * (seen & ~bad)[:, ok].sum()


@pytest.mark.slow
@pytest.mark.skipif(available_bytes() < 14 << 30, reason="needs 14 GB of free memory")
def test_more_elements_than_32_bits_count():
    rig, n = ring(8), (1 << 27) + 3
    X = np.zeros((n, 3), np.float32)
    X[-5:] = cloud(5)
    uv = reproject_batch(rig, X)
    assert uv.size > 1 << 31
    want = reproject_batch(rig, X[-5:])
    for c in (0, 7):
        np.testing.assert_array_equal(uv[c, -5:], want[c])
        np.testing.assert_array_equal(uv[c, n // 2], uv[c, 0])


def test_arrays_of_any_layout():
    """Views with strides, of either byte order and in Fortran order give what their copies give."""
    rig, X = ring(3), cloud(64)
    xy = reproject_batch(rig, X)
    want = triangulate_batch(rig, xy).xyz
    wide = np.empty((3, 128, 4))
    wide[:, ::2, 1:3] = xy
    for other in (np.asfortranarray(xy), wide[:, ::2, 1:3], xy.astype(">f8"), xy[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(triangulate_batch(rig, other).xyz, want)
    np.testing.assert_array_equal(reproject_batch(rig, np.asfortranarray(X)), xy)
    np.testing.assert_array_equal(reproject_batch(rig, X[::-1])[:, ::-1], xy)


def test_an_unknown_instruction_set_is_the_nearest_lower_one():
    code = "from sportcore import _core; import json; print(json.dumps(_core.kernel_isa()))"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SPORTCORE_ISA": "baseline"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout) == "baseline" and _core.kernel_isa() in ISAS

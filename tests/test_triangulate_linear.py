"""Linear triangulation: against an independent solution, accuracy, missing observations, edges, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference.cameras import MODELS
from reference.scene import cloud, ring

import sportcore as sc
from sportcore.points3d import (
    TriangulateOptions,
    reproject_batch,
    triangulate_batch,
    triangulate_linear,
    unproject_points,
)


def observations(rig, X, sigma=2.0, seed=0):
    uv = reproject_batch(rig, X)
    return uv + sigma * np.random.default_rng(seed).normal(size=uv.shape)


def least_squares(rig, uv, weight, iterations):
    """The same definition, point by point, by numpy.linalg.lstsq in the caller's world."""
    x = np.stack([unproject_points(camera, xy) for camera, xy in zip(rig, uv, strict=True)])
    out = np.full((uv.shape[1], 3), np.nan)
    for n in range(uv.shape[1]):
        scale = np.ones(len(rig))
        for _ in range(iterations + 1):
            A, b = [], []
            for c, camera in enumerate(rig):
                if not (np.isfinite(uv[c, n]).all() and weight[c, n] > 0):
                    continue
                root = np.sqrt(weight[c, n] * camera.K[0, 0] * camera.K[1, 1]) / scale[c]
                for k in range(2):
                    A.append(root * (camera.R[k] - x[c, n, k] * camera.R[2]))
                    b.append(root * (x[c, n, k] * camera.t[2] - camera.t[k]))
            if len(A) < 4:
                break
            out[n] = np.linalg.lstsq(np.array(A), np.array(b), rcond=None)[0]
            scale = np.array([camera.R[2] @ out[n] + camera.t[2] for camera in rig])
    return out


@pytest.mark.parametrize("iterations", [0, 1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_it_is_the_weighted_least_squares_solution(model, iterations):
    rig, X = ring(5, model), cloud(37)
    uv, rng = observations(rig, X), np.random.default_rng(1)
    weight = rng.uniform(0.1, 3, uv.shape[:2])
    weight[rng.random(weight.shape) < 0.2] = 0
    uv[rng.random(weight.shape) < 0.1] = np.nan
    want = least_squares(rig, uv, weight, iterations)
    got = triangulate_linear(uv, weight, rig, iterations=iterations)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)
    rounded = triangulate_linear(uv.astype(np.float32), weight.astype(np.float32), rig, iterations=iterations)
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("cameras", [2, 4, 8, 64])
@pytest.mark.parametrize("model", MODELS)
def test_exact_observations_give_the_point_back(model, cameras):
    rig, X = ring(cameras, model), cloud(500)
    uv = reproject_batch(rig, X)
    for iterations in (0, 1, 2):
        error = np.abs(triangulate_linear(uv, None, rig, iterations=iterations) - X).max()
        assert error < (1e-12 if cameras > 2 else 1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_iteration_is_as_accurate_as_the_reprojection_error(dtype):
    rig, X = ring(4, radius=4.0), cloud(20_000)
    uv = observations(rig, X).astype(dtype)
    options = TriangulateOptions(robust=False, loss="trivial", max_reprojection_error_px=1000)
    optimum = triangulate_batch(rig, uv, options=options).xyz

    def rms(points):
        return np.sqrt(((points - X) ** 2).sum(-1).mean())

    assert rms(triangulate_linear(uv, None, rig)) < 1.002 * rms(optimum)
    assert rms(triangulate_linear(uv, None, rig, iterations=0)) > 1.01 * rms(optimum)


def test_weights_are_one_over_the_variance():
    rig, X = ring(4), cloud(20_000)
    rng = np.random.default_rng(0)
    sigma = rng.choice([0.5, 4.0], (4, len(X)))
    uv = reproject_batch(rig, X) + sigma[..., None] * rng.normal(size=(4, len(X), 2))

    def rms(points):
        return np.sqrt(((points - X) ** 2).sum(-1).mean())

    weighted = triangulate_linear(uv, 1 / sigma**2, rig)
    assert rms(weighted) < 0.75 * rms(triangulate_linear(uv, None, rig))
    np.testing.assert_allclose(triangulate_linear(uv, 7e-3 / sigma**2, rig), weighted, atol=1e-12)


def test_far_from_the_origin_float32_keeps_its_accuracy():
    """As in a world of map coordinates: the cameras are moved to the origin before they are rounded."""
    rig, X, away = ring(4), cloud(300), np.array([4000.0, -7000.0, 120.0])
    far = sc.Rig([
        sc.Camera(c.name, c.image_size, c.K, c.distortion, model=c.model, R=c.R, t=c.t - c.R @ away) for c in rig
    ])  # fmt: skip
    uv = reproject_batch(rig, X)
    np.testing.assert_allclose(triangulate_linear(uv, None, far), X + away, atol=1e-8)
    rounding = np.spacing(np.float32(7000))
    error = np.abs(triangulate_linear(uv.astype(np.float32), None, far) - (X + away))
    assert error.max() < 2 * rounding


def test_too_little_to_go_by_is_nan():
    rig, X = ring(4), cloud(8)
    uv, weight = reproject_batch(rig, X), np.ones((4, 8))
    uv[1:, 0] = np.nan  # one view
    weight[:, 1] = 0  # none
    weight[:, 2] = np.nan
    weight[:2, 3] = -1  # two are left
    uv[0, 4, 1] = np.inf
    xyz = triangulate_linear(uv, weight, rig)
    np.testing.assert_array_equal(np.isnan(xyz).all(1), [True, True, True, False, False, False, False, False])
    np.testing.assert_allclose(xyz[3:], X[3:], atol=1e-9)
    same = sc.Rig([rig[0], sc.Camera("twin", rig[0].image_size, rig[0].K, model="pinhole", R=rig[0].R, t=rig[0].t)])
    assert np.isnan(triangulate_linear(reproject_batch(same, X), None, same)).all()  # rays without parallax
    assert triangulate_linear(np.zeros((4, 0, 2)), None, rig).shape == (0, 3)


def test_inputs_are_not_changed_and_threads_do_not_matter():
    rig, X = ring(4, "brown5"), cloud(50_001)
    uv, weight = observations(rig, X), np.random.default_rng(0).uniform(0, 1, (4, len(X)))
    before = uv.copy(), weight.copy()
    one, three = (triangulate_linear(uv, weight, rig, num_threads=k) for k in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(uv, before[0])
    np.testing.assert_array_equal(weight, before[1])
    np.testing.assert_array_equal(triangulate_linear(uv[:, ::2], weight[:, ::2], rig), one[::2])


def test_bad_calls_are_refused():
    rig = ring(3)
    with pytest.raises(sc.InputError, match="length 2"):
        triangulate_linear(np.zeros((3, 4, 3)), None, rig)
    with pytest.raises(sc.InputError, match=r"\(3, \.\.\., 2\)"):
        triangulate_linear(np.zeros((4, 4, 2)), None, rig)
    with pytest.raises(sc.InputError, match="weight"):
        triangulate_linear(np.zeros((3, 4, 2)), np.ones((3, 5)), rig)
    with pytest.raises(sc.InputError, match="iterations"):
        triangulate_linear(np.zeros((3, 4, 2)), None, rig, iterations=-1)
    with pytest.raises(sc.InputError, match="num_threads"):
        triangulate_linear(np.zeros((3, 4, 2)), None, rig, num_threads=-1)
    with pytest.raises(sc.InputError, match="64"):
        triangulate_linear(np.zeros((65, 1, 2)), None, ring(65))


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_gives_the_same(isa):
    """The choice is made once in a process; the file tells the values of this one."""
    code = (
        "import sys, numpy as np\n"
        "from sportcore.points3d import reproject_batch, triangulate_linear\n"
        "from reference.scene import ring, cloud\n"
        "for model in ('pinhole', 'brown8', 'fisheye'):\n"
        "    uv = reproject_batch(ring(5, model), cloud(1003)); uv[1, ::7] = np.nan\n"
        "    for d in ('f4', 'f8'):\n"
        "        xyz = triangulate_linear(uv.astype(d), None, ring(5, model))\n"
        "        sys.stdout.buffer.write(xyz.astype('f8').tobytes())\n"
    )

    def run(**extra):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            cwd=Path(__file__).parent,
            env={k: v for k, v in os.environ.items() if k != "SPORTCORE_ISA"} | extra,
        )
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout).reshape(6, 1003, 3)

    a, b = run(), run(SPORTCORE_ISA=isa)
    np.testing.assert_allclose(a[1::2], b[1::2], atol=1e-12)
    np.testing.assert_allclose(a[::2], b[::2], atol=1e-5)

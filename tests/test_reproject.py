"""Batched reprojection: shapes, precisions, threads, residuals, Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cameras import MODELS, project
from reference.scene import cloud, ring

import sportcore as sc
from sportcore import _core
from sportcore.points3d import camera_array, project_points, reproject_batch


@pytest.mark.parametrize("model", MODELS)
def test_reproject_equals_the_numpy_version(model):
    rig, X = ring(3, model), cloud(34 * 17).reshape(34, 17, 3)
    X[2, 3] = np.nan
    before = X.copy()
    uv = sc.reproject(X, rig)
    assert uv.shape == (3, 34, 17, 2) and uv.dtype == np.float64
    for c, camera in enumerate(rig):
        np.testing.assert_allclose(uv[c].reshape(-1, 2), project(camera, X.reshape(-1, 3)), rtol=0, atol=1e-9)
    assert np.isnan(uv[:, 2, 3]).all()
    np.testing.assert_array_equal(X, before)


def test_precision_follows_the_points():
    rig, X = ring(4, "brown5"), cloud(1000)
    exact, rounded = reproject_batch(rig, X), reproject_batch(rig, X.astype(np.float32))
    assert rounded.dtype == np.float32
    assert np.abs(exact - rounded).max() < 3e-3
    assert reproject_batch(rig, X.astype(">f8")).dtype == np.float64
    np.testing.assert_array_equal(reproject_batch(rig, X.astype(">f8")), exact)
    np.testing.assert_array_equal(reproject_batch(rig, np.asfortranarray(X)), exact)
    np.testing.assert_array_equal(reproject_batch(camera_array(rig), X), exact)


def test_threads_do_not_change_the_result():
    rig, X = ring(5, "fisheye"), cloud(50_000)
    one, two = (reproject_batch(rig, X, num_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_residuals_are_projection_minus_observation():
    rig, X = ring(3), cloud(100)
    core, uv = camera_array(rig), reproject_batch(rig, X)
    seen = uv + np.random.default_rng(0).normal(size=uv.shape)
    seen[1, 4] = np.nan
    residual = _core.reproject_residuals(core, X, seen)
    np.testing.assert_allclose(residual, uv - seen, atol=1e-12)
    assert np.isnan(residual[1, 4]).all()
    assert _core.reproject_residuals(core, X.astype(np.float32), seen.astype(np.float32)).dtype == np.float32


def test_jacobians_are_those_of_one_camera():
    rig, X = ring(2, "brown8"), cloud(50)
    X[3] = rig[0].center_world - 0.5 * (rig[0].R[2])  # behind the first camera
    core = camera_array(rig)
    uv, jx, jp = _core.reproject_jacobians(core, X)
    for c in range(2):
        one = _core.project_jacobians(core, c, X)
        for got, want in zip((uv[c], jx[c], jp[c]), one, strict=False):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-10)
    assert np.isnan(jx[0, 3]).all() and np.isfinite(jx[1, 3]).all()


def test_shapes_that_do_not_fit_are_refused():
    rig = ring(2)
    with pytest.raises(sc.InputError, match="length 3"):
        sc.reproject(np.zeros((4, 2)), rig)
    with pytest.raises(sc.InputError, match="regular array"):
        project_points(rig[0], [[1, 2, 3], [1, 2]])
    with pytest.raises(sc.InputError, match="num_threads"):
        sc.reproject(np.zeros((4, 3)), rig, num_threads=-1)
    assert sc.reproject(np.zeros((0, 17, 3)), rig).shape == (2, 0, 17, 2)


def test_asking_for_cuda_without_it_names_the_remedy():
    if _core.cuda_device_count() > 0:
        pytest.skip("there is a CUDA device")
    with pytest.raises(sc.DeviceError, match="cpu"):
        reproject_batch(ring(2), cloud(3), device="cuda")
    with pytest.raises(sc.InputError, match="cuda"):
        reproject_batch(ring(2), cloud(3), device="cdua")


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 5e-3)])
def test_cuda_equals_cpu(model, dtype, tolerance):
    rig, X = ring(8, model), cloud(20_000).astype(dtype)
    want = reproject_batch(rig, X)
    np.testing.assert_allclose(reproject_batch(rig, X, device="cuda"), want, rtol=0, atol=tolerance)
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        got = reproject_batch(rig, torch.from_numpy(X).cuda())
        assert got.is_cuda
        np.testing.assert_allclose(got.cpu().numpy(), want, rtol=0, atol=tolerance)

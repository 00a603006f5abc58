"""Reprojection: the core against cv2.projectPoints in a loop over cameras and against NumPy, in the same run."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import joints, rig

from sportcore import _core
from sportcore.points3d import camera_array, reproject_batch

CAMERAS = 8


@pytest.fixture
def points(frames):
    return joints(max(1, frames // 10)).reshape(-1, 3)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lens", ["pinhole", "brown5", "fisheye"])
def bench_core(timed, points, lens, dtype, threads):
    cameras, X = camera_array(rig(CAMERAS, lens)), points.astype(dtype)
    uv = timed(CAMERAS * len(X), lambda: reproject_batch(cameras, X, num_threads=threads))
    assert np.isfinite(uv).all()


def bench_core_jacobians(timed, points):
    cameras = camera_array(rig(CAMERAS, "brown5"))
    timed(CAMERAS * len(points), lambda: _core.reproject_jacobians(cameras, points))


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("where", ["host arrays", "device tensors"])
def bench_cuda(timed, frames, dtype, where):
    cameras, X = camera_array(rig(CAMERAS, "brown5")), joints(frames).reshape(-1, 3).astype(dtype)
    if where == "host arrays":
        timed(CAMERAS * len(X), lambda: reproject_batch(cameras, X, device="cuda"))
        return
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X).cuda()

    def run():
        out = reproject_batch(cameras, tensor)
        torch.cuda.synchronize()
        return out

    timed(CAMERAS * len(X), run)


@pytest.mark.parametrize("lens", ["pinhole", "brown5", "fisheye"])
def bench_baseline_opencv_loop(timed, points, lens):
    cameras = rig(CAMERAS, lens)
    poses = [(cv2.Rodrigues(np.array(c.R))[0], np.array(c.t), np.array(c.K), np.array(c.distortion)) for c in cameras]

    def run():
        if lens == "fisheye":
            return [cv2.fisheye.projectPoints(points[:, None], r, t, K, k)[0] for r, t, K, k in poses]
        return [cv2.projectPoints(points, r, t, K, k if k.size else None)[0] for r, t, K, k in poses]

    uv = timed(CAMERAS * len(points), run)
    np.testing.assert_allclose(np.stack(uv).reshape(CAMERAS, -1, 2), reproject_batch(cameras, points), atol=1e-7)


def bench_baseline_numpy_pinhole(timed, points):
    cameras = rig(CAMERAS)
    K, R, t = cameras.K, cameras.R, cameras.t

    def run():
        p = np.einsum("cij,nj->cni", K @ R, points) + (K @ t[..., None])[:, None, :, 0]
        return p[..., :2] / p[..., 2:]

    uv = timed(CAMERAS * len(points), run)
    np.testing.assert_allclose(uv, reproject_batch(cameras, points), atol=1e-7)

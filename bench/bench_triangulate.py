"""Triangulation: the robust core against the plain NumPy solution (4x4 eigenvectors, not robust), in the same run."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import detections, joints, rig

import sportcore as sc
from sportcore import _core
from sportcore.points3d import TriangulateOptions, camera_array, triangulate_batch


def scene(cameras, frames):
    X = joints(frames)
    xy, score = detections(cameras, X)
    return X, xy, score


def note(benchmark, xyz, X):
    error = np.linalg.norm(np.asarray(xyz).reshape(X.shape) - X, axis=-1)
    benchmark.extra_info["median_mm"] = float(np.nanmedian(error) * 1000)
    benchmark.extra_info["over_50_mm_pct"] = float((error[np.isfinite(error)] > 0.05).mean() * 100)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [4, 8])
def bench_core(benchmark, timed, frames, count, dtype, threads):
    cameras = rig(count)
    X, xy, score = scene(cameras, frames)
    flat, weights = xy.reshape(count, -1, 2).astype(dtype), score.reshape(count, -1).astype(dtype)
    core, options = camera_array(cameras), TriangulateOptions(num_threads=threads)
    result = timed(X.size // 3, lambda: triangulate_batch(core, flat, weights, options=options))
    note(benchmark, result.xyz, X)


@pytest.mark.parametrize("lens", ["brown5", "fisheye"])
def bench_core_distorted(benchmark, timed, frames, lens):
    cameras = rig(4, lens)
    X, xy, score = scene(cameras, frames // 4)
    result = timed(X.size // 3, lambda: triangulate_batch(cameras, xy.reshape(4, -1, 2), score.reshape(4, -1)))
    note(benchmark, result.xyz, X)


@pytest.mark.parametrize("count", [4, 8])
def bench_public_function(benchmark, timed, frames, count):
    cameras = rig(count)
    X, xy, score = scene(cameras, frames)
    keypoints = sc.Keypoints2D(xy, score, "h36m17", fps=50)
    points = timed(X.size // 3, lambda: sc.triangulate(keypoints, cameras))
    note(benchmark, points.xyz, X)


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("where", ["host arrays", "device tensors"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [4, 8])
def bench_cuda(benchmark, timed, frames, count, dtype, where):
    cameras = rig(count)
    X, xy, score = scene(cameras, frames)
    flat, weights = xy.reshape(count, -1, 2).astype(dtype), score.reshape(count, -1).astype(dtype)
    core = camera_array(cameras)
    if where == "host arrays":
        options = TriangulateOptions(device="cuda")
        result = timed(X.size // 3, lambda: triangulate_batch(core, flat, weights, options=options))
        note(benchmark, result.xyz, X)
        return
    torch = pytest.importorskip("torch")
    device = torch.from_numpy(flat).cuda(), torch.from_numpy(weights).cuda()

    def run():
        out = triangulate_batch(core, *device)
        torch.cuda.synchronize()
        return out

    note(benchmark, timed(X.size // 3, run).xyz.cpu().numpy(), X)


@pytest.mark.parametrize("count", [4, 8])
def bench_baseline_numpy_dlt(benchmark, timed, frames, count):
    cameras = rig(count)
    X, xy, score = scene(cameras, frames)
    P = np.stack([c.P for c in cameras])
    flat, weights = xy.reshape(count, -1, 2), score.reshape(count, -1)

    def run():
        w = np.where(np.isfinite(flat[..., 0]), weights, 0.0)
        u = np.nan_to_num(flat)
        A = np.empty((u.shape[1], 2 * count, 4))
        A[:, 0::2] = (w[..., None] * (u[..., 0:1] * P[:, None, 2] - P[:, None, 0])).transpose(1, 0, 2)
        A[:, 1::2] = (w[..., None] * (u[..., 1:2] * P[:, None, 2] - P[:, None, 1])).transpose(1, 0, 2)
        V = np.linalg.eigh(A.transpose(0, 2, 1) @ A)[1][..., 0]
        with np.errstate(all="ignore"):
            return V[:, :3] / V[:, 3:]

    note(benchmark, timed(X.size // 3, run, rounds=3), X)

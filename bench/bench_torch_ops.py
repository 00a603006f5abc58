"""Operators on tensors, forwards and backwards, against the same mathematics in plain torch operations.

Baselines: the projection of OpenCV's five-coefficient model, the weighted normal equations and the homogeneous solution
by singular value decomposition (as kornia has it), all batched over points, in the same run and on the same threads.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import joints, rig

from sportcore import _core
from sportcore.points3d import camera_array, project, reproject_batch, triangulate_batch, triangulate_linear

torch = pytest.importorskip("torch")
from sportcore.points3d import CameraTensors, camera_tensors  # noqa: E402

CAMERAS = 4
LENS = "brown5"
THREADS = _core.resolve_threads(0)


@pytest.fixture(autouse=True)
def all_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def scene(frames, lens=LENS, cameras=CAMERAS):
    """Camera tensors and float32 points (N, 3), noisy pixels (C, N, 2), weights (C, N)."""
    core = camera_array(rig(cameras, lens))
    X = torch.from_numpy(joints(frames).reshape(-1, 3).astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    uv = reproject_batch(core, X)
    uv = uv + 2 * torch.randn(uv.shape, generator=generator)
    return core, X, uv, torch.rand(uv.shape[:2], generator=generator) + 0.5


def parameters(core):
    """(intrinsics, R, t, distortion) in float32."""
    rows = camera_tensors(core).rows.float()
    return rows[:, :4], rows[:, 12:21].reshape(-1, 3, 3), rows[:, 21:], rows[:, 4:12]


def torch_project(X, intrinsics, R, t, k):
    """Five-coefficient projection by plain operations: (N, 3) -> (C, N, 2)."""
    Xc = torch.einsum("cij,nj->cni", R, X) + t[:, None]
    x = Xc[..., :2] / Xc[..., 2:]
    k = k[:, None, :, None]
    r2 = x.square().sum(-1, keepdim=True)
    radial = 1 + r2 * (k[:, :, 0] + r2 * (k[:, :, 1] + r2 * k[:, :, 4]))
    p1, p2, xy = k[:, :, 2], k[:, :, 3], x.prod(-1, keepdim=True)
    squares = r2 + 2 * x.square()
    tangential = torch.cat([2 * p1 * xy + p2 * squares[..., :1], p1 * squares[..., 1:] + 2 * p2 * xy], -1)
    return intrinsics[:, None, :2] * (x * radial + tangential) + intrinsics[:, None, 2:]


def torch_rows(uv, weight, intrinsics, R, t):
    """Equations of undistorted pixels: (N, 2 C, 4) rows [a, -r] times the root of the weight."""
    x = (uv - intrinsics[:, None, 2:]) / intrinsics[:, None, :2]
    P = torch.cat([R, t[..., None]], -1)[:, None]
    rows = P[:, :, :2] - x[..., None] * P[:, :, 2:]
    rows = rows * (weight * intrinsics[:, :1] * intrinsics[:, 1:2]).sqrt()[..., None, None]
    return rows.permute(1, 0, 2, 3).flatten(1, 2)


def torch_normal_equations(uv, weight, intrinsics, R, t):
    """Plain weighted triangulation by batched normal equations: (N, 3)."""
    rows = torch_rows(uv, weight, intrinsics, R, t)
    a, r = rows[..., :3], rows[..., 3:]
    return -torch.linalg.solve(a.mT @ a, a.mT @ r)[..., 0]


def torch_dlt(uv, weight, intrinsics, R, t):
    """Homogeneous triangulation by singular value decomposition: (N, 3)."""
    v = torch.linalg.svd(torch_rows(uv, weight, intrinsics, R, t)).Vh[:, -1]
    return v[:, :3] / v[:, 3:]


def leaf(x):
    return x.detach().clone().requires_grad_()


# ---- projection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pass_", ["forward", "backward to points", "backward to points and cameras"])
def bench_project(timed, frames, pass_):
    core, X, _, _ = scene(frames)
    intrinsics, R, t, k = parameters(core)
    if pass_ == "forward":
        uv = timed(CAMERAS * len(X), lambda: project(X, core))
        torch.testing.assert_close(uv, torch_project(X, intrinsics, R, t, k), rtol=0, atol=5e-3)
        return
    leaves = [leaf(X)] + ([leaf(p) for p in (intrinsics, R, t, k)] if "cameras" in pass_ else [])

    def run():
        cameras = CameraTensors(*leaves[1:], "brown") if len(leaves) > 1 else core
        return torch.autograd.grad(project(leaves[0], cameras).sum(), leaves)

    timed(CAMERAS * len(X), run)


@pytest.mark.parametrize("pass_", ["forward", "backward to points", "backward to points and cameras"])
def bench_project_baseline_torch(timed, frames, pass_):
    core, X, _, _ = scene(frames)
    cameras = parameters(core)
    if pass_ == "forward":
        timed(CAMERAS * len(X), lambda: torch_project(X, *cameras), rounds=5)
        return
    leaves = [leaf(X), *((leaf(p) for p in cameras) if "cameras" in pass_ else cameras)]
    wanted = [x for x in leaves if x.requires_grad]
    timed(CAMERAS * len(X), lambda: torch.autograd.grad(torch_project(*leaves).sum(), wanted), rounds=5)


# ---- linear triangulation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("iterations", [0, 1])
@pytest.mark.parametrize("cameras", [4, 8])
@pytest.mark.parametrize("lens", ["pinhole", "brown5", "fisheye"])
def bench_linear_arrays(timed, frames, lens, cameras, iterations, threads):
    """NumPy arrays of four times the points, beyond the caches: the speed of the kernel."""
    core, _, uv, weight = scene(4 * frames, lens, cameras)
    uv, weight = uv.numpy(), weight.numpy()
    xyz = timed(uv.shape[1], lambda: triangulate_linear(uv, weight, core, iterations=iterations, num_threads=threads))
    assert np.isfinite(xyz).all()


@pytest.mark.parametrize("pass_", ["forward", "backward", "backward with cameras"])
def bench_linear(timed, frames, pass_):
    core, _, uv, weight = scene(frames, "pinhole")
    if pass_ == "forward":
        xyz = timed(uv.shape[1], lambda: triangulate_linear(uv, weight, core, iterations=0))
        want = torch_normal_equations(uv.double(), weight.double(), *(p.double() for p in parameters(core)[:3]))
        torch.testing.assert_close(xyz.double(), want, rtol=0, atol=1e-4)
        return
    leaves = [leaf(uv), leaf(weight)] + ([leaf(p) for p in parameters(core)] if "cameras" in pass_ else [])

    def run():
        cameras = CameraTensors(*leaves[2:]) if len(leaves) > 2 else core
        return torch.autograd.grad(triangulate_linear(*leaves[:2], cameras, iterations=0).sum(), leaves)

    timed(uv.shape[1], run)


@pytest.mark.parametrize("pass_", ["forward", "backward"])
@pytest.mark.parametrize("method", ["normal equations", "dlt"])
def bench_linear_baseline_torch(timed, frames, method, pass_):
    core, _, uv, weight = scene(frames, "pinhole")
    if method == "dlt":  # slow: a tenth of the points is enough
        uv, weight = uv[:, ::10], weight[:, ::10]
    solve = {"normal equations": torch_normal_equations, "dlt": torch_dlt}[method]
    cameras = parameters(core)[:3]
    if pass_ == "forward":
        timed(uv.shape[1], lambda: solve(uv, weight, *cameras), rounds=3)
        return
    leaves = [leaf(uv), leaf(weight)]
    timed(uv.shape[1], lambda: torch.autograd.grad(solve(*leaves, *cameras).sum(), leaves), rounds=3)


# ---- robust triangulation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["array", "tensor", "tensor with gradient"])
def bench_robust(timed, frames, what):
    core, _, uv, _ = scene(frames)
    if what == "tensor with gradient":
        x = leaf(uv)
        timed(uv.shape[1], lambda: torch.autograd.grad(triangulate_batch(core, x).xyz.sum(), x))
        return
    given = uv.numpy() if what == "array" else uv
    timed(uv.shape[1], lambda: triangulate_batch(core, given))


# ---- CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("operation", ["project", "linear", "linear, one iteration"])
@pytest.mark.parametrize("pass_", ["forward", "backward", "backward with cameras"])
def bench_cuda(timed, frames, operation, pass_):
    core, X, uv, weight = scene(10 * frames, "pinhole")
    cameras = [leaf(p.cuda()) for p in parameters(core)]
    constant = camera_tensors(core, "cuda")
    inputs = [leaf(X.cuda())] if operation == "project" else [leaf(uv.cuda()), leaf(weight.cuda())]

    def forward(rig):
        if operation == "project":
            return project(inputs[0], rig)
        return triangulate_linear(*inputs, rig, iterations=int("one" in operation))

    def run():
        if pass_ == "forward":
            with torch.no_grad():
                out = forward(constant)
        elif pass_ == "backward":
            out = torch.autograd.grad(forward(constant).sum(), inputs)
        else:
            out = torch.autograd.grad(forward(CameraTensors(*cameras)).sum(), [*inputs, *cameras])
        torch.cuda.synchronize()
        return out

    timed(X.shape[0] * (CAMERAS if operation == "project" else 1), run)

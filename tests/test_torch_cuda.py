"""Operations on CUDA tensors: the CPU's results, in poisoned memory, every time, in the current stream."""

from __future__ import annotations

import numpy as np
import pytest
from reference.cameras import MODELS
from torch_scenes import parameters, poison, scene

import sportcore as sc
from sportcore import _core
from sportcore.points3d import camera_tensors, project, reproject_batch, triangulate_batch, triangulate_linear

torch = pytest.importorskip("torch")
from sportcore.points3d import CameraTensors  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA"),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
@pytest.mark.parametrize("cameras", [2, 8, 64])
def test_cuda_equals_cpu(monkeypatch, model, dtype, tolerance, cameras):
    poison(monkeypatch)
    rig, X, uv = scene(model, cameras=cameras, n=5000)
    weight = torch.rand(cameras, 5000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    uv[0, :50], weight[1, 20:70] = float("nan"), 0
    X[3, 1] = float("nan")
    found = []
    for device in ("cpu", "cuda"):
        x, y, w = (v.to(device, dtype).requires_grad_() for v in (X, uv, weight))
        leaves = [p.detach().to(device).requires_grad_() for p in parameters(rig)]
        tensors = CameraTensors(*leaves, rig[0].model)
        pixels, points = project(x, tensors), triangulate_linear(y, w, tensors)
        assert pixels.device == x.device and points.device == y.device
        by_pixels = torch.autograd.grad((pixels / 1000).nan_to_num().square().sum(), [x, *leaves])
        by_points = torch.autograd.grad(points.nan_to_num().square().sum(), [y, w, *leaves])
        result = triangulate_batch(camera_tensors(rig, device), y)
        by_robust = torch.autograd.grad(result.xyz.nan_to_num().square().sum(), y)
        found.append([pixels, points, result.xyz, *by_pixels, *by_points, *by_robust])
    for cpu, gpu in zip(*found, strict=True):
        assert torch.equal(cpu.isnan(), gpu.cpu().isnan())
        scale = max(1.0, float(cpu.nan_to_num().abs().max()))
        assert float((cpu - gpu.cpu()).nan_to_num().abs().max()) < tolerance * scale


def test_cuda_sums_are_the_same_every_time_and_follow_the_stream():
    rig, X, _ = scene("brown5", n=200_000)
    X = X.cuda()
    leaves = [p.detach().cuda().requires_grad_() for p in parameters(rig)]

    def gradients():
        return torch.autograd.grad(project(X, CameraTensors(*leaves, "brown")).sin().sum(), leaves)

    first = gradients()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        second = gradients()
    side.synchronize()
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_cuda_arrays_of_other_libraries():
    class Device:
        def __init__(self, tensor):
            self.tensor = tensor
            self.__cuda_array_interface__ = tensor.__cuda_array_interface__

    rig, X, _ = scene()
    X = X.cuda()
    out = reproject_batch(rig, Device(X))
    assert out.is_cuda and torch.equal(out, reproject_batch(rig, X))
    with pytest.raises(sc.InputError, match="host memory"):
        triangulate_batch(rig, reproject_batch(rig, X), np.ones((4, 6)))

"""Scenes as tensors, for the tests of the operators of torch."""

from __future__ import annotations

import pytest
from reference.scene import cloud, ring

from sportcore.points3d import camera_tensors, project

torch = pytest.importorskip("torch")


def scene(model="pinhole", cameras=4, n=6, seed=0, noise=1.5):
    """Rig, points (n, 3) and noisy pixels (C, n, 2) as float64 tensors."""
    rig, X = ring(cameras, model), torch.from_numpy(cloud(n, seed))
    generator = torch.Generator().manual_seed(seed)
    uv = project(X, rig)
    return rig, X, uv + noise * torch.randn(uv.shape, generator=generator, dtype=uv.dtype)


def parameters(rig):
    """Leaves for CameraTensors: intrinsics, R, t, distortion."""
    rows = camera_tensors(rig).rows
    parts = rows[:, :4], rows[:, 12:21].reshape(-1, 3, 3), rows[:, 21:], rows[:, 4:12]
    return [part.clone().requires_grad_() for part in parts]


def poison(monkeypatch):
    """Fresh memory is filled with a number that no result holds."""
    real = torch.Tensor.new_empty

    def filled(self, *args, **options):
        out = real(self, *args, **options)
        return out.fill_(True if out.dtype == torch.bool else 77)

    monkeypatch.setattr(torch.Tensor, "new_empty", filled)

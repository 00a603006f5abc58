"""The mirrored person: encoded rays and poses with x negated and left and right exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import require
from ..skeletons import H36M17

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["mirror", "mirror_pose", "mirror_rays"]


def mirror(values: torch.Tensor, negated: tuple[int, ...]) -> torch.Tensor:
    """Exchange left and right joints of (N, T, 17, D) and negate some of the D channels."""
    sign = torch.ones(values.shape[-1], dtype=values.dtype, device=values.device)
    sign[list(negated)] = -1
    return values[:, :, H36M17.flip_permutation.tolist()] * sign


def mirror_rays(inputs: torch.Tensor) -> torch.Tensor:
    """Encoded rays (see :mod:`.rays`) of the mirrored person in the mirrored camera."""
    return mirror(inputs, (0, 3))


def mirror_pose(pose: torch.Tensor) -> torch.Tensor:
    """(N, T, 17, 3) joints of the mirrored person."""
    return mirror(pose, (0,))

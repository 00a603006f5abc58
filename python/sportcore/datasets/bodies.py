"""Variation of human motion: other proportions, other combinations of limbs, other definitions of trunk joints.

All functions work on (N, T, 17, 3) tensors of ``H36M17`` joints, metres, Z up, and keep the length of each limb bone
constant over the clip and equal on both sides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import require
from ..skeletons import H36M17

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["bones_of", "joints_of", "vary_bodies", "vary_motion"]

_PARENT = [int(p) for p in H36M17.parents]
_UPPER = list(range(7, 17))
# Groups of bones (named by their child joint) whose lengths vary together: hips, thigh, shank, lower trunk, upper
# trunk, neck, head, shoulders, upper arm, forearm.
_GROUP = (0, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9)
_N_GROUPS = 10
# What turns the skeleton that the motion-capture data were retargeted to into the proportions that detectors find on
# people (long shanks and narrow shoulders there), per group.
_HUMAN = (1.13, 1.12, 0.88, 1.15, 1.25, 0.9, 1.08, 1.55, 1.08, 1.17)
_HIPS, _SHOULDERS = (1, 4), (11, 14)
# Bones (named by their child joint) that turn together: legs, shanks, arms, forearms, head.
_LIMBS = ((2, 3), (3,), (5, 6), (6,), (12, 13), (13,), (15, 16), (16,), (9, 10))


def bones_of(pose: torch.Tensor) -> torch.Tensor:
    """(N, T, 17, 3) vectors from each joint's parent to the joint; the root keeps its position."""
    parent = torch.tensor([max(p, 0) for p in _PARENT], device=pose.device)
    bones = pose - pose[:, :, parent]
    bones[:, :, 0] = pose[:, :, 0]
    return bones


def joints_of(bones: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`bones_of`."""
    out: list[torch.Tensor] = [bones[:, :, 0]]
    for j in range(1, len(_PARENT)):
        out.append(out[_PARENT[j]] + bones[:, :, j])
    return torch.stack(out, 2)


def vary_motion(
    pose: torch.Tensor, generator: torch.Generator, *, recombine: float, exaggerate: float, bend: float
) -> torch.Tensor:
    """New combinations and amplitudes of the motion; see ``VirtualOptions`` for the arguments."""
    n, dev = len(pose), pose.device
    bones = bones_of(pose)
    if recombine > 0 and n > 1:
        other = torch.randperm(n, generator=generator, device=dev)
        frame = _body_frame(pose)
        carried = torch.einsum("ntij,ntkj->ntki", frame @ frame[other].transpose(-1, -2), bones[other][:, :, _UPPER])
        take = (torch.rand(n, generator=generator, device=dev) < recombine)[:, None, None, None]
        bones = torch.cat([bones[:, :, :7], torch.where(take, carried, bones[:, :, 7:])], 2)
    if exaggerate > 0:
        factor = 0.7 + 0.8 * torch.rand(n, 1, 1, 1, generator=generator, device=dev)
        take = torch.rand(n, 1, 1, 1, generator=generator, device=dev) < exaggerate
        factor = torch.where(take, factor, torch.ones_like(factor))
        limbs = bones[:, :, 1:]
        length = limbs.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        mean = limbs.mean(1, keepdim=True)
        swung = torch.nn.functional.normalize(mean + factor * (limbs - mean), dim=-1) * length
        bones = torch.cat([bones[:, :, :1], swung], 2)
    if bend > 0:
        turns = [torch.eye(3, device=dev).expand(n, 3, 3)] * 17
        for limb in _LIMBS:
            turn = _small_rotation(torch.randn(n, 3, generator=generator, device=dev) * bend)
            for bone in limb:
                turns[bone] = turn @ turns[bone]
        bones = torch.einsum("nkij,ntkj->ntki", torch.stack(turns, 1), bones)
    return joints_of(bones)


def vary_bodies(
    pose: torch.Tensor, generator: torch.Generator, *, bone_spread: float,
    proportions: float, definitions: float, tilt: float,
    tumble: float,
) -> torch.Tensor:  # fmt: skip
    """Other proportions at the same overall size, other joint definitions, a leaning or tumbling body.

    Overall size is left alone on purpose: a person and all distances scaled by one factor give the same picture.
    """
    n, dev = len(pose), pose.device
    bones = bones_of(pose)
    if bone_spread > 0:
        scale = torch.exp(torch.randn(n, _N_GROUPS, generator=generator, device=dev).clamp(-2.5, 2.5) * bone_spread)
        towards = proportions * (1.6 * torch.rand(n, 1, generator=generator, device=dev) - 0.3)
        scale = scale * torch.tensor(_HUMAN, device=dev) ** towards
        # Legs, trunk and head together keep their length (thigh, shank, trunk, neck, head: metres of the data).
        parts = torch.tensor([0.0, 0.37, 0.45, 0.29, 0.22, 0.15, 0.15, 0.0, 0.0, 0.0], device=dev)
        scale = scale * (parts.sum() / (scale * parts).sum(1, keepdim=True))
        per_joint = scale[:, torch.tensor(_GROUP, device=dev)]
        per_joint[:, 0] = (scale * parts).sum(1) / parts.sum()
        bones = bones * per_joint[:, None, :, None]
    pose = joints_of(bones)
    if definitions > 0:
        pose = _other_definitions(pose, generator, definitions)
    root = pose[:, pose.shape[1] // 2, :1][:, None]
    lean = torch.randn(n, 3, generator=generator, device=dev) * tilt
    lean[:, 2] = 0
    wild = torch.rand(n, 1, generator=generator, device=dev) < tumble
    any_turn = torch.randn(n, 3, generator=generator, device=dev)
    any_turn = (
        torch.nn.functional.normalize(any_turn, dim=-1) * math.pi * torch.rand(n, 1, generator=generator, device=dev)
    )
    turn = _small_rotation(torch.where(wild, any_turn, lean))
    return torch.einsum("nij,ntkj->ntki", turn, pose - root) + root


def _other_definitions(pose: torch.Tensor, generator: torch.Generator, amount: float) -> torch.Tensor:
    """Trunk and head joints between where motion capture and where detectors put them, shifted in the mid-plane."""
    n, dev = len(pose), pose.device

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=dev) * amount

    out = pose.clone()
    shoulders, hips = pose[:, :, _SHOULDERS].mean(2), pose[:, :, _HIPS].mean(2)
    a = rand(n, 3, 1, 1)
    out[:, :, 0] = pose[:, :, 0] * (1 - a[:, 0]) + hips * a[:, 0]
    out[:, :, 7] = pose[:, :, 7] * (1 - a[:, 1]) + (shoulders + hips) / 2 * a[:, 1]
    thorax = shoulders * (5 / 6) + pose[:, :, 9] / 6
    out[:, :, 8] = pose[:, :, 8] * (1 - a[:, 2]) + thorax * a[:, 2]
    shift = torch.randn(n, 17, 3, generator=generator, device=dev) * amount
    size = torch.zeros(17, device=dev)
    size[[7, 8]] = 0.015
    size[[9, 10]] = 0.03
    size[[1, 4, 11, 14]] = 0.015
    shift = shift * size[:, None]
    shift[:, [7, 8, 9, 10], 0] = 0  # not sideways
    shift[:, 4] = shift[:, 1] * torch.tensor([-1.0, 1, 1], device=dev)
    shift[:, 14] = shift[:, 11] * torch.tensor([-1.0, 1, 1], device=dev)
    # Detectors that find ears instead of the vertex put nose and head lower, and the head further to the front.
    lower = rand(n, 1)
    shift[:, 9, 1:] += torch.tensor([-0.04, 0.0], device=dev) * lower
    shift[:, 10, 1:] += torch.tensor([-0.08, 0.15], device=dev) * lower
    frame = _body_frame(pose)
    return out + torch.einsum("ntij,nkj->ntki", frame, shift)


def _body_frame(pose: torch.Tensor) -> torch.Tensor:
    """(N, T, 3, 3) rotations whose columns are the body's left, up and front, from hips and spine."""
    left = torch.nn.functional.normalize(pose[:, :, 4] - pose[:, :, 1], dim=-1)
    up = pose[:, :, 7] - pose[:, :, 0]
    up = torch.nn.functional.normalize(up - (up * left).sum(-1, keepdim=True) * left, dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], -1)


def _small_rotation(vector: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) rotations from rotation vectors (N, 3) rad (Rodrigues)."""
    angle = vector.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    x, y, z = (vector / angle).unbind(-1)
    o = torch.zeros_like(x)
    skew = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(-1, 3, 3)
    s, c = torch.sin(angle)[..., None], torch.cos(angle)[..., None]
    return torch.eye(3, device=vector.device) + s * skew + (1 - c) * (skew @ skew)

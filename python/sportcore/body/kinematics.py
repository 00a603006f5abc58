"""Pose and shape of a body mesh: rotations, forward kinematics, blend shapes. NumPy arrays or torch tensors.

These few small products are written once for both libraries, and torch differentiates them; the work over
vertices and frames is done by `skin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .skinning import SkinWeights, is_tensor, skin

__all__ = ["LbsResult", "lbs", "pose_transforms", "rotation_matrices"]


def _library(*values: Any) -> Any:
    if not is_tensor(*values):
        return np
    if not all(is_tensor(v) for v in values):
        raise InputError("Arrays and tensors cannot be mixed.", "Use torch.from_numpy(array).")
    import torch

    return torch


def _real(value: Any, name: str) -> Any:
    """A tensor as it is, anything else as a floating-point array."""
    if is_tensor(value):
        return value
    a = np.asarray(value)
    if a.dtype.kind not in "fiu":
        raise InputError(f"{name} must hold real numbers, got {a.dtype}.")
    return a if a.dtype in (np.float32, np.float64) else a.astype(np.float64)


def _shaped(value: Any, name: str, *shape: int | None) -> Any:
    """`_real` with a shape; None stands for any length."""
    value = _real(value, name)
    got = tuple(value.shape)
    if len(got) != len(shape) or any(w is not None and g != w for g, w in zip(got, shape, strict=True)):
        text = ", ".join("N" if w is None else str(w) for w in shape)
        raise InputError(f"{name} must have the shape ({text}), got {got}.")
    return value


def rotation_matrices(axis_angle_rad: Any) -> Any:
    """Rotation vectors (..., 3), rad, to matrices (..., 3, 3). Differentiable everywhere, at zero as well."""
    w = _real(axis_angle_rad, "axis_angle_rad")
    if w.shape[-1:] != (3,):
        raise InputError(f"axis_angle_rad must end with an axis of length 3, got the shape {tuple(w.shape)}.")
    xp = _library(w)
    x, y, z = w[..., 0], w[..., 1], w[..., 2]
    squared = x * x + y * y + z * z
    # Near zero the series; the other branch must stay finite there, or its derivative would spoil the sum.
    small = squared < 1e-4
    safe = xp.where(small, xp.ones_like(squared), squared)
    angle = xp.sqrt(safe)
    a = xp.where(small, 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)), xp.sin(angle) / angle)
    half = xp.sin(angle / 2) / (angle / 2)
    b = xp.where(small, 0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56)), half * half / 2)
    rows = (
        1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y,
        b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x,
        b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y),
    )  # fmt: skip
    return xp.stack(rows, -1).reshape(*w.shape[:-1], 3, 3)


def _levels(parents: Sequence[int]) -> list[list[int]]:
    """Joints by their distance from the root."""
    depth: dict[int, int] = {}
    for joint, parent in enumerate(parents):
        if parent >= len(parents):
            raise InputError(f"parents: joint {joint} hangs on joint {parent}, but there are {len(parents)} joints.")
        chain = []
        while joint >= 0 and joint not in depth:
            if joint in chain:
                raise InputError(f"parents: joint {joint} is its own ancestor.")
            chain.append(joint)
            joint = parents[joint]
        start = depth[joint] + 1 if joint >= 0 else 0
        for k, member in enumerate(reversed(chain)):
            depth[member] = start + k
    levels: list[list[int]] = [[] for _ in range(1 + max(list(depth.values())))]
    for joint in range(len(parents)):
        levels[depth[joint]].append(joint)
    return levels


def pose_transforms(joints_rest_m: Any, parents: Sequence[int], rotations: Any) -> Any:
    """Forward kinematics: the transform of each bone from the rest pose to the posed frame.

    A joint turns by its rotation in the frame of its parent; a root turns about itself and stays in place.

    Args:
        joints_rest_m: (J, 3) or (B, J, 3) joints in the rest pose, m.
        parents: (J,) whole numbers, negative for a root; in any order.
        rotations: (B, J, 3, 3) of each joint against its parent.

    Returns:
        (B, J, 3, 4): with (x, 1) of a rest point that hangs on the bone they give its place in the frame.

    Raises:
        InputError: shapes that do not belong together, or joints that hang on each other in a ring.
    """
    parents = tuple(int(p) for p in parents)
    J = len(parents)
    if J == 0:
        raise InputError("parents: there must be at least one joint.")
    rotations = _shaped(rotations, "rotations", None, J, 3, 3)
    B = rotations.shape[0]
    rest = _real(joints_rest_m, "joints_rest_m")
    rest = _shaped(rest, "joints_rest_m", *((B, J, 3) if rest.ndim == 3 else (J, 3)))
    xp = _library(rest, rotations)
    levels = _levels(parents)
    order = [j for level in levels for j in level]
    row = {j: i for i, j in enumerate(order)}  # where a joint lies among those that are done
    rest = rest[..., None]  # columns
    turned, place = [], []  # of each level: (B, n, 3, 3) and (B, n, 3, 1) in the frame
    for depth, level in enumerate(levels):
        local, own = rotations[:, level], rest[..., level, :, :]
        if depth == 0:
            turned.append(local)
            place.append(own + xp.zeros_like(local[..., :1]))
            continue
        first = row[levels[depth - 1][0]]
        above = [row[parents[j]] - first for j in level]  # a parent is in the level before
        R = turned[-1][:, above]
        place.append(place[-1][:, above] + R @ (own - rest[..., [parents[j] for j in level], :, :]))
        turned.append(R @ local)
    back = [row[j] for j in range(J)]
    R = xp.concatenate(turned, 1)[:, back]
    p = xp.concatenate(place, 1)[:, back]
    return xp.concatenate((R, p - R @ rest), 3)


class LbsResult(NamedTuple):
    """What `lbs` returns."""

    vertices: Any  # (B, V, 3) m
    joints: Any  # (B, J, 3) m, posed
    transforms: Any  # (B, J, 3, 4)


def lbs(
    template_m: Any,
    shape_dirs: Any,
    betas: Any,
    joint_regressor: Any,
    parents: Sequence[int],
    weights: SkinWeights,
    rotations: Any,
    *,
    pose_dirs: Any | None = None,
    translation_m: Any | None = None,
    num_threads: int = 0,
) -> LbsResult:
    """A body mesh from shape and pose: blend shapes, joints, forward kinematics and `skin`.

    Differentiable in torch by everything but `parents` and `weights`.

    Args:
        template_m: (V, 3) mesh of the mean shape in the rest pose, m.
        shape_dirs: (V, 3, S) what each shape coefficient adds.
        betas: (S,) of one body in all frames, or (B, S). The former is faster.
        joint_regressor: (J, V) joints as sums over rest vertices.
        parents: (J,) negative for a root.
        weights: bones of the vertices.
        rotations: (B, J, 3, 3) of each joint against its parent.
        pose_dirs: (V, 3, 9 (J - 1)) what the rotations of all joints but the first, less identity, add.
        translation_m: (B, 3) of the whole body.
        num_threads: of `skin`.

    Raises:
        InputError: shapes, precisions or devices that do not belong together.
    """
    V, J = weights.n_vertices, weights.n_bones
    if len(parents) != J:
        raise InputError(f"parents has {len(parents)} joints, weights have {J} bones.")
    rotations = _shaped(rotations, "rotations", None, J, 3, 3)
    B = rotations.shape[0]
    template = _shaped(template_m, "template_m", V, 3)
    directions = _shaped(shape_dirs, "shape_dirs", V, 3, None)
    S = directions.shape[2]
    betas = _real(betas, "betas")
    betas = _shaped(betas, "betas", *((S,) if betas.ndim == 1 else (B, S)))
    regressor = _shaped(joint_regressor, "joint_regressor", J, V)
    xp = _library(template, directions, betas, regressor, rotations)
    offsets = (betas @ directions.reshape(3 * V, S).T).reshape(*betas.shape[:-1], V, 3)
    shaped = template + offsets
    rest = regressor @ shaped
    transforms = pose_transforms(rest, parents, rotations)
    if pose_dirs is not None:
        corrections = _shaped(pose_dirs, "pose_dirs", V, 3, 9 * (J - 1))
        bent = rotations[:, 1:] - xp.eye(3, dtype=rotations.dtype, **_device_of(rotations))
        shaped = shaped + (bent.reshape(B, -1) @ corrections.reshape(3 * V, -1).T).reshape(B, V, 3)
    if translation_m is not None:
        translation = _shaped(translation_m, "translation_m", B, 3)
        column = transforms[..., 3:] + translation[:, None, :, None]
        transforms = xp.concatenate((transforms[..., :3], column), 3)
    vertices = skin(shaped, weights, transforms, num_threads=num_threads)
    joints = (transforms[..., :3] @ rest[..., None])[..., 0] + transforms[..., 3]
    return LbsResult(vertices, joints, transforms)


def _device_of(value: Any) -> dict[str, Any]:
    return {"device": value.device} if is_tensor(value) else {}

"""2D keypoints as rays in a virtual camera that looks at the person.

A picture of a person near the edge of the image differs from the picture of the same pose in the middle. So each
frame's rays are turned by the smallest rotation that brings the direction to the person onto the optical axis, and
divided by the person's angular size. The network then sees a centred person of unit size, whatever the camera's
focal length, principal point and aim; its output lives in the turned frame and is turned back by :func:`decode_rays`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = [
    "FEATURES", "LOG_SIZE_OFFSET", "axis_rotation", "decode_rays", "encode_ray_targets", "encode_rays",
    "fill_missing",
]  # fmt: skip

FEATURES = 6
"""Channels per joint: u, v (centred, unit size), score, x and y of the direction to the person, log angular size."""

LOG_SIZE_OFFSET = 2.5
"""Added to the log of the angular size so that it is near zero for a person at six metres."""

_CLIP = 4.0
# Weight of each joint in the direction to the person: the trunk counts most, it is missing least and moves least.
_CENTRE_WEIGHT = (1.0, 1.0, 0.3, 0.1, 1.0, 0.3, 0.1, 1.0, 1.0, 0.3, 0.3, 1.0, 0.1, 0.1, 1.0, 0.1, 0.1)


def axis_rotation(direction: torch.Tensor) -> torch.Tensor:
    """The smallest rotation that carries a direction onto the optical axis.

    Args:
        direction: (..., 3) unit vectors with z > -1.

    Returns:
        (..., 3, 3) matrices R with ``R @ direction = (0, 0, 1)`` and no turn about the axis.
    """
    x, y, z = direction.unbind(-1)
    k = 1 / (1 + z)
    rows = (1 - x * x * k, -x * y * k, -x, -x * y * k, 1 - y * y * k, -y, x, y, z)
    return torch.stack(rows, -1).reshape(*direction.shape[:-1], 3, 3)


def fill_missing(values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Fill what was not observed by linear interpolation over time, and by the nearest value at the ends.

    Args:
        values: (N, T, J, D); ignored where not observed.
        observed: (N, T, J) bool.

    Returns:
        (N, T, J, D); 0 for a joint that was never observed.
    """
    T = values.shape[1]
    values = torch.where(observed[..., None], values, torch.zeros_like(values))
    if T == 1:
        return values
    t = torch.arange(T, device=values.device)[None, :, None].expand(observed.shape)
    before = torch.where(observed, t, torch.full_like(t, -1)).cummax(1).values
    after = torch.where(observed, t, torch.full_like(t, T)).flip(1).cummin(1).values.flip(1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= T, before, after)
    before, after = before.clamp(0, T - 1), after.clamp(0, T - 1)
    part = ((t - before) / (after - before).clamp(min=1)).clamp(0, 1).to(values.dtype)[..., None]
    shape = (-1, -1, -1, values.shape[-1])
    a = values.gather(1, before[..., None].expand(*shape))
    b = values.gather(1, after[..., None].expand(*shape))
    return a + (b - a) * part


def encode_rays(xy: torch.Tensor, score: torch.Tensor, K: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Turn pixels into the network's view of the person.

    Args:
        xy: (N, T, 17, 2) undistorted px; anything where the score is 0, NaN where missing.
        score: (N, T, 17) in [0, 1]; 0 where missing.
        K: (N, 3, 3) intrinsics.

    Returns:
        ``(inputs (N, T, 17, FEATURES), context)`` with ``context["rotation"]`` (N, T, 3, 3), the rotations from the
        camera to the turned frame, and ``context["observed"]`` (N, T, 17) bool.
    """
    observed = torch.isfinite(xy).all(-1) & (score > 0)
    xy = torch.where(observed[..., None], xy, torch.zeros_like(xy))
    fx, fy, skew = (K[:, i, j][:, None, None] for i, j in ((0, 0), (1, 1), (0, 1)))
    y = (xy[..., 1] - K[:, 1, 2][:, None, None]) / fy
    x = (xy[..., 0] - K[:, 0, 2][:, None, None] - skew * y) / fx
    n = torch.stack([x, y], -1)
    direction = _direction(n, observed)
    R = axis_rotation(direction)
    n = fill_missing(n, observed)
    never = ~observed.any(1, keepdim=True).expand_as(observed)
    on_axis = direction[..., :2] / direction[..., 2:]
    n = torch.where(never[..., None], on_axis[:, :, None], n)
    rays = torch.cat([n, torch.ones_like(n[..., :1])], -1)
    turned = torch.einsum("ntij,ntkj->ntki", R, rays)
    uv = turned[..., :2] / turned[..., 2:].clamp(min=0.05)
    seen = observed.to(uv.dtype)
    size = (uv.norm(dim=-1) * seen).sum((1, 2)) / seen.sum((1, 2)).clamp(min=1)
    size = torch.where(size > 1e-4, size, torch.full_like(size, 0.08))
    uv = (uv / size[:, None, None, None]).clamp(-_CLIP, _CLIP)
    extra = torch.cat(
        [direction[..., :2], (size.log() + LOG_SIZE_OFFSET)[:, None, None].expand(-1, uv.shape[1], 1)], -1
    )
    inputs = torch.cat([uv, (score * seen)[..., None], extra[:, :, None].expand(-1, -1, uv.shape[2], -1)], -1)
    return inputs, {"rotation": R, "observed": observed}


def _direction(n: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """(N, T, 3) unit directions to the person: a straight line through the frames' weighted trunk centres."""
    weight = torch.tensor(_CENTRE_WEIGHT, dtype=n.dtype, device=n.device) * observed
    total = weight.sum(-1)
    centre = (n * weight[..., None]).sum(2) / total.clamp(min=1e-6)[..., None]
    t = torch.linspace(-1, 1, n.shape[1], dtype=n.dtype, device=n.device) if n.shape[1] > 1 else n.new_zeros(1)
    whole = total.sum(1, keepdim=True).clamp(min=1e-6)
    mean_t = (total * t).sum(1, keepdim=True) / whole
    mean = (centre * total[..., None]).sum(1) / whole
    dt = t - mean_t
    # A little ridge keeps the slope sane when few frames are seen.
    slope = (centre * (total * dt)[..., None]).sum(1) / ((total * dt * dt).sum(1, keepdim=True) + 0.02 * whole)
    path = mean[:, None] + slope[:, None] * dt[..., None]
    return torch.nn.functional.normalize(torch.cat([path, torch.ones_like(path[..., :1])], -1), dim=-1)


def encode_ray_targets(pose_cam_m: torch.Tensor, context: dict[str, torch.Tensor]) -> torch.Tensor:
    """(N, T, 17, 3) camera-frame joints, metres, as root-relative joints in the turned frame."""
    relative = pose_cam_m - pose_cam_m[..., :1, :]
    return torch.einsum("ntij,ntkj->ntki", context["rotation"].to(relative.dtype), relative)


def decode_rays(outputs: torch.Tensor, context: dict[str, torch.Tensor]) -> torch.Tensor:
    """(N, T, 17, 3) network outputs as root-relative joints in the camera frame, metres."""
    relative = outputs - outputs[..., :1, :]
    return torch.einsum("ntji,ntkj->ntki", context["rotation"].to(relative.dtype), relative)

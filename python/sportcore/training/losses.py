"""The training loss of the pseudo-label system, with weights and without trouble from missing labels.

Source: Suzuki et al., CVPRW (CVsports) 2024, and MotionAGFormer (WACV 2024): MPJPE + 0.5 N-MPJPE + 20
    velocity over all
17 joints. All three terms are lengths in the unit of the poses, so their ratio does not depend on that unit;
the velocity is a displacement *per frame*, and with it the factor 20: at another frame rate the same motion
moves less per frame.

Every loss takes poses (..., T, J, 3) and an optional weight (..., T, J). An entry with weight 0 may hold
anything, NaN
included: it changes neither the value nor the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sportcore.errors import InputError, require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["mpjpe", "n_mpjpe", "sports_pose_loss", "velocity_loss"]


def _clean(
    pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both poses with zeros where the weight is zero, and the weight."""
    if pred.shape != target.shape or pred.ndim < 3 or pred.shape[-1] != 3:
        raise InputError(
            f"Losses need two (..., T, J, 3) tensors of equal shape, got {tuple(pred.shape)} and {tuple(target.shape)}."
        )
    if weight is None:
        return pred, target, pred.new_ones(pred.shape[:-1])
    if weight.shape != pred.shape[:-1]:
        raise InputError(f"weight must be {tuple(pred.shape[:-1])}, got {tuple(weight.shape)}.")
    used = (weight > 0).unsqueeze(-1)
    zero = pred.new_zeros(())
    # Selecting before subtracting keeps NaN out of the graph: 0 * NaN would still be NaN.
    return torch.where(used, pred, zero), torch.where(used, target, zero), weight.to(pred.dtype)


def _mean(distance: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    total = weight.sum()
    return (distance * weight).sum() / torch.where(total > 0, total, torch.ones_like(total))


def mpjpe(pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Weighted mean distance of the joints, in the unit of the poses (scalar; 0 when all weights are 0)."""
    p, y, w = _clean(pred, target, weight)
    return _mean(torch.linalg.vector_norm(p - y, dim=-1), w)


def n_mpjpe(pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """MPJPE after one factor per frame, ``s = sum w <p, y> / sum w <p, p>``; the gradient flows through
    ``s`` as well.
    """
    p, y, w = _clean(pred, target, weight)
    heavy = w.unsqueeze(-1)
    both = (heavy * p * y).sum((-1, -2), keepdim=True)
    own = (heavy * p * p).sum((-1, -2), keepdim=True)
    scale = both / torch.where(own > 0, own, torch.ones_like(own))
    return _mean(torch.linalg.vector_norm(scale * p - y, dim=-1), w)


def velocity_loss(pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Weighted mean of ``||(p[t+1] - p[t]) - (y[t+1] - y[t])||``, unit of the poses per frame.

    A pair of frames weighs as much as the lesser of the two. A single frame has no velocity: 0.
    """
    p, y, w = _clean(pred, target, weight)
    if p.shape[-3] < 2:
        return (p * 0).sum()
    pair = torch.minimum(w[..., 1:, :], w[..., :-1, :])
    used = (pair > 0).unsqueeze(-1)
    difference = p.diff(dim=-3) - y.diff(dim=-3)
    difference = torch.where(used, difference, difference.new_zeros(()))
    return _mean(torch.linalg.vector_norm(difference, dim=-1), pair)


def sports_pose_loss(
    pred: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    w_n: float = 0.5,
    w_v: float = 20.0,
) -> torch.Tensor:
    """``MPJPE + w_n N-MPJPE + w_v velocity``; the defaults are the published weights.

    Args:
        pred: (..., T, J, 3) predicted poses.
        target: (..., T, J, 3) labels in the same frame and unit; anything where the weight is 0.
        weight: (..., T, J) non-negative, or None for ones.
        w_n: weight of the scale-free term.
        w_v: weight of the velocity term, per frame.

    Returns:
        A scalar in the unit of the poses.

    Raises:
        InputError: shapes that do not fit.
    """
    loss = mpjpe(pred, target, weight)
    if w_n:
        loss = loss + w_n * n_mpjpe(pred, target, weight)
    if w_v:
        loss = loss + w_v * velocity_loss(pred, target, weight)
    return loss

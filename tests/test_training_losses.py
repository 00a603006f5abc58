"""The training loss: fixed numbers, gradients, weights, NaN."""

from __future__ import annotations

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.evaluation import metrics

torch = pytest.importorskip("torch")

from sportcore.training.losses import mpjpe, n_mpjpe, sports_pose_loss, velocity_loss  # noqa: E402


def pair(seed=0, shape=(2, 5, 17, 3)):
    g = torch.Generator().manual_seed(seed)
    target = torch.randn(shape, generator=g, dtype=torch.float64)
    return target + 0.2 * torch.randn(shape, generator=g, dtype=torch.float64), target


def test_fixed_numbers():
    target = torch.zeros(1, 2, 2, 3, dtype=torch.float64)
    target[..., 1, 0] = 2.0
    pred = torch.zeros_like(target)
    pred[0, 0, 1, 0] = 1.0  # first frame: one joint 1 short
    pred[0, 1, 1] = torch.tensor([2.0, 3.0, 0.0])  # second frame: 3 to the side
    assert mpjpe(pred, target) == pytest.approx((0 + 1 + 0 + 3) / 4)
    # frame 0: s = 2 / 1 -> exact; frame 1: s = 4 / 13 -> (8/13, 12/13) against (2, 0)
    second = np.hypot(2 - 8 / 13, 12 / 13)
    assert n_mpjpe(pred, target) == pytest.approx(second / 4)
    # displacement (1, 3, 0) against 0, joint 0 does not move
    assert velocity_loss(pred, target) == pytest.approx(np.sqrt(10) / 2)
    assert sports_pose_loss(pred, target) == pytest.approx(1 + 0.5 * second / 4 + 20 * np.sqrt(10) / 2)
    assert sports_pose_loss(pred, target, w_n=0, w_v=0) == pytest.approx(1.0)


def test_equals_the_evaluation_metrics():
    pred, target = pair()
    p, y = pred.numpy(), target.numpy()
    assert float(mpjpe(pred, target)) * 1000 == pytest.approx(metrics.mpjpe(p, y, root=None).mean())
    assert float(n_mpjpe(pred, target)) * 1000 == pytest.approx(metrics.n_mpjpe(p, y, root=None).mean())
    assert float(velocity_loss(pred, target)) * 1000 == pytest.approx(metrics.velocity_error(p, y, root=None).mean())


@pytest.mark.parametrize("weighted", [False, True])
def test_gradients(weighted):
    pred, target = pair(1, (2, 3, 4, 3))
    weight = None
    if weighted:
        weight = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        weight[0, 1, 2] = weight[1, :, 0] = 0
    pred.requires_grad_(True)
    for loss in (mpjpe, n_mpjpe, velocity_loss, sports_pose_loss):
        assert torch.autograd.gradcheck(lambda p, f=loss: f(p, target, weight), (pred,))


def test_nan_behind_weight_zero_changes_nothing():
    pred, target = pair(3)
    weight = torch.ones(pred.shape[:-1], dtype=torch.float64)
    weight[0, 2] = 0
    weight[1, :, 5] = 0
    clean = pred.clone().requires_grad_(True)
    reference = sports_pose_loss(clean, target, weight)
    reference.backward()
    holes, dirty = target.clone(), pred.clone()
    holes[weight == 0] = torch.nan
    dirty[1, :, 5] = torch.inf
    dirty.requires_grad_(True)
    loss = sports_pose_loss(dirty, holes, weight)
    loss.backward()
    assert float(loss.detach()) == float(reference.detach())
    assert torch.equal(dirty.grad, clean.grad) and torch.isfinite(dirty.grad).all()
    assert (dirty.grad[weight == 0] == 0).all()


def test_weights_are_a_weighted_mean():
    pred, target = pair(4)
    weight = torch.rand(pred.shape[:-1], generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    distance = (pred - target).norm(dim=-1)
    assert mpjpe(pred, target, weight) == pytest.approx(float((distance * weight).sum() / weight.sum()))
    assert sports_pose_loss(pred, target, 3 * weight) == pytest.approx(float(sports_pose_loss(pred, target, weight)))


def test_edges():
    pred, target = pair(6)
    pred.requires_grad_(True)
    nothing = sports_pose_loss(pred, target * torch.nan, torch.zeros(pred.shape[:-1]))
    nothing.backward()
    assert float(nothing.detach()) == 0 and (pred.grad == 0).all()
    exact = target.clone().requires_grad_(True)  # distance 0 has no direction: gradient 0, not NaN
    sports_pose_loss(exact, target).backward()
    assert torch.isfinite(exact.grad).all()
    zeros = torch.zeros_like(target).requires_grad_(True)
    n_mpjpe(zeros, target).backward()
    assert torch.isfinite(zeros.grad).all()
    assert float(velocity_loss(pred[:, :1], target[:, :1]).detach()) == 0
    with pytest.raises(InputError, match="equal shape"):
        mpjpe(pred, target[:, 1:])
    with pytest.raises(InputError, match="weight must be"):
        mpjpe(pred, target, torch.ones(2, 5))

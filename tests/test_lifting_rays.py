"""The virtual camera that looks at the person: rotations, missing joints, what the network sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sportcore.lifting.mirror import mirror_pose, mirror_rays  # noqa: E402
from sportcore.lifting.rays import (  # noqa: E402
    axis_rotation,
    decode_rays,
    encode_ray_targets,
    encode_rays,
    fill_missing,
)

K = torch.tensor([[1500.0, 0, 960], [0, 1500, 540], [0, 0, 1]])[None]


def _pose(n=3, t=9, seed=0, centre=(0.6, -0.3, 5.0)):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, t, 17, 3, generator=g) * 0.3 + torch.tensor(centre)


def _project(pose, K):
    p = pose @ K.transpose(-1, -2)[:, None]
    return p[..., :2] / p[..., 2:]


@settings(max_examples=60, deadline=None)
@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3))
def test_rotation_is_proper_smallest_and_hits_the_axis(pan, tilt):
    v = torch.tensor([np.sin(pan), np.sin(tilt) * np.cos(pan), np.cos(tilt) * np.cos(pan)], dtype=torch.float64)
    R = axis_rotation(v)
    assert torch.allclose(R @ v, torch.tensor([0.0, 0, 1], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.linalg.det(R) > 0
    # The angle of the smallest rotation is the angle between the direction and the axis.
    angle = torch.arccos(((torch.trace(R) - 1) / 2).clamp(-1, 1))
    assert torch.isclose(angle, torch.arccos(v[2].clamp(-1, 1)), atol=1e-6)


def test_rotation_of_a_pan_is_known():
    R = axis_rotation(torch.tensor([0.5, 0.0, np.sqrt(0.75)], dtype=torch.float64))
    c, s = np.sqrt(0.75), 0.5
    assert np.allclose(R.numpy(), [[c, 0, -s], [0, 1, 0], [s, 0, c]])


def test_targets_and_decoding_are_inverse():
    pose = _pose()
    _, context = encode_rays(_project(pose, K), torch.ones(3, 9, 17), K.expand(3, 3, 3))
    target = encode_ray_targets(pose, context)
    assert torch.allclose(decode_rays(target, context), pose - pose[:, :, :1], atol=1e-6)
    assert torch.allclose(target.norm(dim=-1), (pose - pose[:, :, :1]).norm(dim=-1), atol=1e-6)


def test_intrinsics_do_not_matter():
    """The same rays through another camera give the same inputs."""
    pose = _pose()
    other = torch.tensor([[800.0, 0, 300], [0, 900, 700], [0, 0, 1]])[None]
    ones = torch.ones(3, 9, 17)
    a, _ = encode_rays(_project(pose, K), ones, K.expand(3, 3, 3))
    b, _ = encode_rays(_project(pose, other), ones, other.expand(3, 3, 3))
    assert torch.allclose(a, b, atol=1e-4)


def test_turning_the_camera_changes_only_the_direction():
    """The network sees the same person, up to a roll about the axis, wherever the camera points."""
    pose = _pose(centre=(0.0, 0.0, 5.0))
    angle = torch.tensor(0.35)
    c, s = torch.cos(angle), torch.sin(angle)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    ones, Ks = torch.ones(3, 9, 17), K.expand(3, 3, 3)
    a, ca = encode_rays(_project(pose, K), ones, Ks)
    b, cb = encode_rays(_project(pose @ turn.T, K), ones, Ks)
    assert (a[..., :2] - b[..., :2]).abs().max() < 0.06  # the centre is a mean of tangents, not of directions
    assert (a[..., 3] - b[..., 3]).abs().mean() > 0.3
    ta, tb = encode_ray_targets(pose, ca), encode_ray_targets(pose @ turn.T, cb)
    assert (ta - tb).abs().max() < 0.03


def test_person_is_centred_and_of_unit_size():
    inputs, _ = encode_rays(_project(_pose(), K), torch.ones(3, 9, 17), K.expand(3, 3, 3))
    assert inputs[..., :2].mean((1, 2)).abs().max() < 0.3
    assert torch.allclose(inputs[..., :2].norm(dim=-1).mean((1, 2)), torch.ones(3), atol=0.05)


def test_mirroring_the_image_mirrors_the_inputs():
    pose = _pose()
    flipped = mirror_pose(pose)
    Ks = torch.tensor([[1500.0, 0, 0], [0, 1500, 0], [0, 0, 1]]).expand(3, 3, 3)
    ones = torch.ones(3, 9, 17)
    a, ca = encode_rays(_project(pose, Ks[:1]), ones, Ks)
    b, cb = encode_rays(_project(flipped, Ks[:1]), ones, Ks)
    assert torch.allclose(mirror_rays(a), b, atol=1e-5)
    assert torch.allclose(mirror_pose(encode_ray_targets(pose, ca)), encode_ray_targets(flipped, cb), atol=1e-5)
    assert torch.equal(mirror_rays(mirror_rays(a)), a)


def test_missing_joints_leave_the_others_alone():
    pose = _pose(t=27)
    xy, score = _project(pose, K), torch.ones(3, 27, 17)
    xy[:, 5:9, 13], score[:, 5:9, 13] = torch.nan, 0
    xy[:, :, 16], score[:, :, 16] = torch.nan, 0
    inputs, context = encode_rays(xy, score, K.expand(3, 3, 3))
    assert torch.isfinite(inputs).all()
    assert (inputs[:, 5:9, 13, 2] == 0).all() and (inputs[:, :, 16, 2] == 0).all()
    assert torch.allclose(inputs[:, :, 16, :2], torch.zeros(3, 27, 2), atol=1e-5)  # never seen: on the axis
    assert not context["observed"][:, :, 16].any()


def test_a_window_without_any_observation_is_finite():
    inputs, _ = encode_rays(torch.full((1, 9, 17, 2), torch.nan), torch.zeros(1, 9, 17), K)
    assert torch.isfinite(inputs).all()


def test_filling_is_linear_and_constant_at_the_ends():
    values = torch.tensor([9.0, 1, 9, 9, 4, 9]).reshape(1, 6, 1, 1)
    seen = torch.tensor([False, True, False, False, True, False]).reshape(1, 6, 1)
    assert torch.allclose(fill_missing(values, seen).ravel(), torch.tensor([1.0, 1, 2, 3, 4, 4]))
    assert (fill_missing(values, torch.zeros_like(seen)) == 0).all()
    one = fill_missing(values[:, :1], torch.ones(1, 1, 1, dtype=torch.bool))
    assert one.item() == 9

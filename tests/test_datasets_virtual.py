"""Virtual recordings: reproducible, anatomically sound, geometrically exact before the noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sportcore.datasets.mocap import Clip, Mocap, load_mocap
from sportcore.errors import InputError
from sportcore.skeletons import H36M17

torch = pytest.importorskip("torch")

from sportcore.datasets.bodies import bones_of, joints_of  # noqa: E402
from sportcore.datasets.virtual import (  # noqa: E402
    NoiseOptions,
    VirtualOptions,
    VirtualSampler,
    correlated_noise,
    corrupt,
)

LIMBS = [2, 3, 5, 6, 12, 13, 15, 16]  # bones named by their child joint


def walker(frames: int = 120, phase: float = 0.0) -> np.ndarray:
    """(T, 17, 3) a person with bones of constant length who swings arms and legs while walking along x."""
    t = np.arange(frames) / 60
    swing = 0.6 * np.sin(2 * np.pi * t + phase)
    out = np.zeros((frames, 17, 3))
    out[:, 0] = np.stack([1.3 * t, 0 * t, 0.95 + 0.02 * np.cos(4 * np.pi * t)], -1)
    up = np.array([0.0, 0, 1])

    def down(angle, length):
        return np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1) * length

    out[:, 7], out[:, 8] = out[:, 0] + 0.25 * up, out[:, 0] + 0.5 * up
    out[:, 9] = out[:, 8] + [0.08, 0, 0.1]
    out[:, 10] = out[:, 9] + [-0.06, 0, 0.12]
    for hip, sho, side, sign in ((1, 14, -1, 1), (4, 11, 1, -1)):
        out[:, hip] = out[:, 0] + [0, side * 0.1, 0]
        out[:, hip + 1] = out[:, hip] + down(sign * swing, 0.4)
        out[:, hip + 2] = out[:, hip + 1] + down(sign * swing - 0.3 - 0.2 * np.cos(2 * np.pi * t), 0.42)
        out[:, sho] = out[:, 8] + [0, side * 0.18, -0.02]
        out[:, sho + 1] = out[:, sho] + down(-sign * swing, 0.28)
        out[:, sho + 2] = out[:, sho + 1] + down(-sign * swing + 0.5, 0.25)
    return out.astype(np.float32)


@pytest.fixture(scope="module")
def mocap() -> Mocap:
    return Mocap((Clip("a", walker(), "daily"), Clip("b", walker(90, 1.0), "running")))


def test_same_seed_same_recordings(mocap):
    a, b, c = (VirtualSampler(mocap, seed=s).sample(16) for s in (3, 3, 4))
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert torch.equal(torch.nan_to_num(x), torch.nan_to_num(y)), field.name
    assert not torch.equal(a.pose_cam_m, c.pose_cam_m)


def test_the_generator_state_resumes(mocap):
    one = VirtualSampler(mocap, seed=0)
    one.sample(4)
    state = one.state()
    two = VirtualSampler(mocap, seed=99)
    two.set_state(state)
    assert torch.equal(one.sample(4).pose_cam_m, two.sample(4).pose_cam_m)


def test_bones_keep_their_length_and_are_symmetric(mocap):
    options = VirtualOptions(definitions=0.0, noise=None)
    pose = VirtualSampler(mocap, options, seed=1).sample(64).pose_cam_m
    length = bones_of(pose).norm(dim=-1)
    # Replay between frames shortens a rotating bone by its sagitta; nothing else may change a length.
    spread = (length.amax(1) - length.amin(1))[:, LIMBS]
    assert spread.max() < 0.005
    mean = length.mean(1)
    for left, right in H36M17.left_right_pairs:
        if left in LIMBS:
            assert (mean[:, left] - mean[:, right]).abs().max() < 0.004
    assert mean[:, 2].std() / mean[:, 2].mean() > 0.03  # but people differ


def test_overall_size_stays(mocap):
    """Proportions vary, the size does not: size and distance together cannot be seen."""
    options = VirtualOptions(definitions=0.0, proportions=0.0, noise=None, recombine=0.0)
    length = bones_of(VirtualSampler(mocap, options, seed=2).motion(64)).norm(dim=-1).mean(1)
    legs_and_trunk = length[:, [2, 3, 7, 8, 9, 10]].sum(1)
    assert legs_and_trunk.std() / legs_and_trunk.mean() < 0.05


def test_proportions_reach_those_of_people(mocap):
    """Shoulder width over shank length of the data is fixed; with ``proportions`` it spreads to half as much again."""

    def ratio(proportions: float):
        o = VirtualOptions(definitions=0.0, bone_spread=1e-6, proportions=proportions, noise=None, recombine=0.0)
        length = bones_of(VirtualSampler(mocap, o, seed=2).motion(200)).norm(dim=-1).mean(1)
        return length[:, 11] / length[:, 3]

    same, varied = ratio(0.0), ratio(1.0)
    assert same.std() < 0.01
    assert varied.min() < same.mean() and varied.max() > 1.6 * same.mean()


def test_bones_and_joints_are_inverse():
    pose = torch.from_numpy(walker()[None])
    assert torch.allclose(joints_of(bones_of(pose)), pose, atol=1e-6)


def test_projection_is_exact_before_the_noise(mocap):
    r = VirtualSampler(mocap, VirtualOptions(noise=None), seed=5).sample(32)
    p = torch.einsum("nij,ntkj->ntki", r.K.double(), r.pose_cam_m.double())
    assert (p[..., :2] / p[..., 2:] - r.xy_true).abs().max() < 0.02
    assert torch.equal(r.xy, r.xy_true) and (r.score == 1).all()
    assert (r.pose_cam_m[..., 2] > 0.3).all()


def test_projection_agrees_with_the_core(mocap):
    points3d = pytest.importorskip("sportcore.points3d", reason="the C++ core is not built")
    from sportcore.types import Camera, Rig

    r = VirtualSampler(mocap, VirtualOptions(noise=None), seed=6).sample(4)
    for n in range(4):
        size = tuple(int(v) for v in r.image_size[n])
        rig = Rig((Camera("v", size, r.K[n].double().numpy()),))
        xy = points3d.reproject(r.pose_cam_m[n].double().numpy(), rig)[0]
        assert np.abs(xy - r.xy_true[n].numpy()).max() < 0.02


def test_noise_is_what_the_options_say(mocap):
    quiet = NoiseOptions(
        sigma=(0.01, 0.01), bias=0.0, correlation=0.0, bursts=0.0, missing=0.0, swaps=0.0, cut=0.0, focal_error=0.0
    )
    sampler = VirtualSampler(mocap, VirtualOptions(noise=None, distance_m=(6, 6)), seed=7)
    clean = sampler.sample(400)
    noisy = corrupt(clean, quiet, sampler.generator)
    height = 1.7 * clean.K[:, 0, 0] / clean.pose_cam_m[..., 2].mean((1, 2))
    error = ((noisy.xy - clean.xy_true) / height[:, None, None, None]).nan_to_num()
    seen = noisy.score > 0
    wrist = error[:, :, [13, 16]][seen[:, :, [13, 16]]].std()
    shoulder = error[:, :, [11, 14]][seen[:, :, [11, 14]]].std()
    assert 0.014 < wrist < 0.022 and 0.007 < shoulder < 0.012
    assert torch.equal(noisy.K, clean.K)
    # What leaves the picture is missed; nothing else is.
    inside = ((noisy.xy >= -0.5) & (noisy.xy <= clean.image_size[:, None, None] - 0.5)).all(-1)
    assert (inside | ~seen | (seen.float().mean((1, 2)) == 1)[:, None, None]).all()


def test_missing_is_nan_with_score_zero(mocap):
    r = VirtualSampler(mocap, VirtualOptions(noise=NoiseOptions(missing=0.9, swaps=0.5)), seed=8).sample(200)
    lost = torch.isnan(r.xy).any(-1)
    assert 0.1 < lost.float().mean() < 0.7
    assert torch.equal(lost, r.score == 0) and r.score.max() <= 1
    assert torch.isfinite(r.pose_cam_m).all()


def test_correlated_noise_is_stationary():
    rho = torch.tensor([0.0, 0.9]).repeat_interleave(1)
    x = correlated_noise(rho, 27, 20000, torch.Generator().manual_seed(0))
    assert torch.allclose(x.var(2), torch.ones(2, 27), atol=0.06)
    lag = (x[:, 1:] * x[:, :-1]).mean(2)
    assert lag[0].abs().max() < 0.04 and (lag[1] - 0.9).abs().max() < 0.05


def test_clips_as_short_as_two_frames_work():
    r = VirtualSampler(Mocap((Clip("s", walker(2)),)), seed=0).sample(4)
    assert r.xy.shape == (4, 27, 17, 2)
    with pytest.raises(InputError, match="two frames"):
        VirtualSampler(Mocap((Clip("s", walker(1)),)))


def test_options_are_checked():
    with pytest.raises(InputError, match="distance_m"):
        VirtualOptions(distance_m=(3, 2))
    with pytest.raises(InputError, match="n_frames"):
        VirtualOptions(n_frames=0)


def test_mocap_is_read_and_broken_recordings_are_cut(tmp_path):
    good, jump = walker(60), walker(50)
    jump[:10] += 5
    path = tmp_path / "motion_120hz.npz"
    np.savez(path, good=(good * 1000).round().astype(np.int16), jump=jump)
    (tmp_path / "my_clips.tsv").write_text("clip\tframes\tgroup\tdescription\ngood\t60\tdaily\twalk\n")
    mocap = load_mocap(path)
    assert mocap.fps == 120 and len(mocap) == 2 and mocap.groups() == {"daily": 60, "": 40}
    assert np.abs(mocap.clips[0].points_world_m - good).max() < 6e-4
    np.testing.assert_array_equal(mocap.clips[1].points_world_m, jump[10:])
    assert len(mocap.select(["daily"])) == 1
    with pytest.raises(InputError, match="No motion clip"):
        mocap.select(["tennis"])


def test_hold_out_splits_one_group():
    clips = tuple(Clip(f"{i:02d}", walker(30), "daily" if i % 2 else "run") for i in range(12))
    rest, held = Mocap(clips).hold_out(3)
    assert [c.name for c in held.clips] == ["01", "07"] and len(rest) == 10


def test_unreadable_motion_is_refused(tmp_path):
    with pytest.raises(InputError, match="No motion file"):
        load_mocap(tmp_path / "absent.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        load_mocap(tmp_path / "bad.npz")
    np.savez(tmp_path / "shape.npz", a=np.zeros((4, 16, 3)))
    with pytest.raises(InputError, match=r"\(4, 16, 3\)"):
        load_mocap(tmp_path / "shape.npz")
    np.savez(tmp_path / "nan.npz", a=np.full((4, 17, 3), np.nan))
    with pytest.raises(InputError, match="not finite"):
        load_mocap(tmp_path / "nan.npz")

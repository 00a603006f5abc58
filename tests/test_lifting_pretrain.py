"""Pre-training: it learns, resumes to the same weights, and refuses what does not belong together."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import sportcore as sc
from sportcore.datasets.mocap import Clip, Mocap
from sportcore.errors import InputError, SportcoreError

torch = pytest.importorskip("torch")

from sportcore.datasets.virtual import VirtualOptions  # noqa: E402
from sportcore.lifting import CompactConfig, PretrainOptions, RayLifter, recipes  # noqa: E402
from sportcore.lifting.motionagformer import MotionAGFormerConfig  # noqa: E402
from sportcore.lifting.pretrain import pretrain, pretrain_loss  # noqa: E402
from sportcore.lifting.protocol import evaluate_lifter, evaluation_clips, pose_errors_mm  # noqa: E402

NETWORK = CompactConfig(n_frames=9, width=32, hidden=32, time_hidden=9, depth=1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def motion(frames: int = 60, seed: int = 0) -> np.ndarray:
    """(T, 17, 3) a stick figure whose limbs swing at random."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 60
    rest = np.array(
        [
            [0, 0, 0.9], [0, -0.1, 0.9], [0, -0.1, 0.5], [0, -0.1, 0.05], [0, 0.1, 0.9], [0, 0.1, 0.5],
            [0, 0.1, 0.05], [0, 0, 1.15], [0, 0, 1.4], [0.1, 0, 1.5], [0, 0, 1.65], [0, 0.17, 1.38],
            [0, 0.4, 1.3], [0, 0.6, 1.25], [0, -0.17, 1.38], [0, -0.4, 1.3], [0, -0.6, 1.25],
        ]
    )  # fmt: skip
    phase, size = rng.uniform(0, 6, (17, 3)), rng.uniform(0, 0.08, (17, 3))
    return (rest + size * np.sin(6 * t[..., None] + phase)).astype(np.float32)


@pytest.fixture(scope="module")
def mocap() -> Mocap:
    clips = [Clip(f"d{i}", motion(seed=i), "daily") for i in range(4)]
    return Mocap((*clips, Clip("r0", motion(seed=9), "running")), source="test")


def options(**changes) -> PretrainOptions:
    base = PretrainOptions(
        virtual=VirtualOptions(n_frames=9), network=NETWORK, batch_size=16, steps=30, log_every=5,
        evaluate_every=1000, bf16=False,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def test_it_learns_and_leaves_its_recipe(mocap, tmp_path):
    calls = []
    o = options(steps=120, lr=5e-3, ema=0.9, groups=("daily",), hold_out_every=2)
    result = pretrain(mocap, tmp_path, o, progress=lambda *a: calls.append(a))
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [x["loss"] for x in lines if "loss" in x]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert result.steps == 120 and result.clips_seen == 120 * 16 and calls[-1][0] == 120
    assert set(result.metrics) == {"daily-held-out", "running"}
    about = json.loads((tmp_path / "recipe.json").read_text())
    assert about["data"] == {"source": "test", "clips": 2, "frames": 120} and about["steps"] == 120
    lifter = sc.load_lifter(result.weights)
    assert lifter.metadata["recipe"]["options"]["seed"] == 0
    held = mocap.hold_out(2)[1]
    errors = evaluate_lifter(lifter, evaluation_clips(held, n_frames=9))
    assert errors["mpjpe_mm"] == pytest.approx(result.metrics["daily-held-out"]["mpjpe_mm"], rel=1e-4)


def _weights(path):
    return sc.load_lifter(path / "lifter.safetensors").module.state_dict()


def test_a_stopped_run_resumes_to_the_same_weights(mocap, tmp_path):
    o = options(checkpoint_every_s=0.0)
    pretrain(mocap, tmp_path / "whole", o)

    def stop(done, total, message):
        if done >= 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(mocap, tmp_path / "parts", o, progress=stop)
    result = pretrain(mocap, tmp_path / "parts", o)
    assert result.steps == 30
    one, two = _weights(tmp_path / "whole"), _weights(tmp_path / "parts")
    assert all(torch.equal(one[k], two[k]) for k in one)
    # Finished: nothing is trained a second time.
    again = pretrain(mocap, tmp_path / "parts", o)
    assert again.steps == 30 and again.seconds == result.seconds


def test_other_options_do_not_continue_a_run(mocap, tmp_path):
    pretrain(mocap, tmp_path, options(steps=2))
    with pytest.raises(InputError, match="other options"):
        pretrain(mocap, tmp_path, options(steps=2, w_v=1.0))
    assert pretrain(mocap, tmp_path, options(steps=3, w_v=1.0), resume=False).steps == 3


def test_a_damaged_checkpoint_is_named(mocap, tmp_path):
    pretrain(mocap, tmp_path, options(steps=2))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        pretrain(mocap, tmp_path, options(steps=2))


def test_training_continues_from_given_weights(mocap, tmp_path):
    first = pretrain(mocap, tmp_path / "a", options(steps=3))
    o = options(steps=1, lr=0.0, weight_decay=0.0, start=str(first.weights))
    pretrain(mocap, tmp_path / "b", o)
    one, two = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    assert all(torch.allclose(one[k], two[k], atol=1e-7) for k in one)
    wider = dataclasses.replace(NETWORK, width=48)
    with pytest.raises(InputError, match="another shape"):
        pretrain(mocap, tmp_path / "c", dataclasses.replace(o, network=wider))


def test_a_time_budget_ends_the_schedule(mocap, tmp_path):
    result = pretrain(mocap, tmp_path, options(steps=10**6, time_budget_s=0.5))
    assert result.steps < 10**5 and 0.5 <= result.seconds < 5


def test_divergence_stops_and_says_so(mocap, tmp_path):
    with pytest.raises(SportcoreError, match="loss became"):
        pretrain(mocap, tmp_path, options(lr=1e30))


def test_the_loss_is_the_published_sum():
    g = torch.Generator().manual_seed(0)
    p, y = torch.randn(2, 5, 17, 3, generator=g), torch.randn(2, 5, 17, 3, generator=g)
    mpjpe = (p - y).norm(dim=-1).mean()
    s = (p * y).sum((-1, -2), keepdim=True) / (p * p).sum((-1, -2), keepdim=True)
    n = (s * p - y).norm(dim=-1).mean()
    v = ((p[:, 1:] - p[:, :-1]) - (y[:, 1:] - y[:, :-1])).norm(dim=-1).mean()
    assert torch.isclose(pretrain_loss(p, y, 0.5, 20.0), mpjpe + 0.5 * n + 20 * v)
    assert torch.isclose(pretrain_loss(p, y, 0, 0), mpjpe)


def test_errors_vanish_under_a_similarity():
    g = torch.Generator().manual_seed(0)
    y = torch.randn(4, 9, 17, 3, generator=g)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=g)).Q
    turn = turn * torch.sign(torch.linalg.det(turn))
    errors = pose_errors_mm(1.7 * y @ turn.T, y)
    assert errors["pa_mpjpe_mm"] < 1e-2 and errors["mpjpe_mm"] > 100
    assert pose_errors_mm(1.7 * y, y)["n_mpjpe_mm"] < 1e-2
    assert pose_errors_mm(y * torch.tensor([-1.0, 1, 1]), y)["pa_mpjpe_mm"] > 10  # no reflection


def test_the_protocol_is_fixed_and_exact(mocap):
    a, b = evaluation_clips(mocap, n_frames=9), evaluation_clips(mocap, n_frames=9)
    assert torch.equal(a.xy, b.xy) and len(a.xy) == 5 * 4 * (60 // 9)
    p = torch.einsum("nij,ntkj->ntki", a.K, a.pose_cam_m)
    noise = a.xy - p[..., :2] / p[..., 2:]
    assert 2.8 < noise.std() < 3.2
    assert 0.85 < (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() < 0.92
    distance = a.pose_cam_m[..., 0, :].norm(dim=-1)
    assert 4 < distance.min() and distance.max() < 9


class _Oracle(RayLifter):
    """A lifter that was told the truth."""

    def predict(self, inputs, *, flip_average=True):
        return self.truth[: len(inputs)]

    def encode(self, xy, score, K, image_size):
        inputs, context = super().encode(xy, score, K, image_size)
        self.truth = self.encode_targets(self.clips.pose_cam_m, context)
        return inputs, context


def test_a_lifter_that_knows_the_truth_has_no_error(mocap):
    oracle = _Oracle()
    oracle.clips = evaluation_clips(mocap, n_frames=9)
    errors = evaluate_lifter(oracle, oracle.clips, batch_size=len(oracle.clips.xy))
    assert max(errors.values()) < 1e-2


def test_motionagformer_trains_by_the_same_code(mocap, tmp_path):
    network = MotionAGFormerConfig(1, 16, 9, rep_width=16, n_heads=2)
    result = pretrain(mocap, tmp_path, options(steps=4, network=network, groups=("daily",)))
    lifter = sc.load_lifter(result.weights)
    assert lifter.family == "motionagformer" and not lifter.metric
    assert 0 < result.metrics["running"]["pa_mpjpe_mm"] < 500
    moved = lifter.module.layers[0].graph_spatial.mixer.batch_norm.running_mean
    assert moved.abs().max() > 0  # buffers follow too


def test_recipes_are_complete():
    assert recipes.recipe("base").group_weights["running"] > 1
    assert recipes.recipe("base-daily").groups == ("daily",)
    assert recipes.recipe("motionagformer-s").virtual.n_frames == 81
    with pytest.raises(InputError, match="recipe"):
        recipes.recipe("nope")
    with pytest.raises(InputError, match="n_frames"):
        PretrainOptions(network=NETWORK)

"""Fine-tuning: it learns, holds out, survives SIGKILL with the same bits, and refuses what cannot work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sportcore.errors import InputError, SportcoreError  # noqa: E402
from sportcore.lifting import Lifter  # noqa: E402
from sportcore.pseudolabels import Part, PseudoLabelOptions, PseudoLabels, split_time  # noqa: E402
from sportcore.skeletons import H36M17  # noqa: E402
from sportcore.training import FinetuneOptions, finetune  # noqa: E402
from sportcore.training.clips import ClipSet, augment, mirrored  # noqa: E402


class TinyLifter(Lifter):
    """A small network behind the lifters' interface: centred rays in, root-relative metres out."""

    name, family, n_frames, metric = "tiny", "tiny", 9, True

    def __init__(self, seed=0, dropout=0.1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.module = torch.nn.Sequential(
                torch.nn.Flatten(2), torch.nn.Linear(51, 64), torch.nn.GELU(), torch.nn.Dropout(dropout),
                torch.nn.Linear(64, 51), torch.nn.Unflatten(2, (17, 3)),
            )  # fmt: skip

    def _encode(self, xy, score, K, image_size):
        seen = torch.isfinite(xy).all(-1) & (score > 0)
        n = (torch.nan_to_num(xy) - K[:, None, None, :2, 2]) / K[:, [0, 1], [0, 1]][:, None, None]
        n = torch.where(seen[..., None], n, torch.zeros_like(n))
        centre = n.sum(2, keepdim=True) / seen.sum(2, keepdim=True).clamp(min=1)[..., None]
        n = torch.where(seen[..., None], n - centre, torch.zeros_like(n))
        return torch.cat([4 * n, score[..., None]], -1), {}

    def encode_targets(self, pose_cam_m, context):
        return pose_cam_m - pose_cam_m[:, :, :1]

    def decode(self, outputs, context):
        return outputs - outputs[:, :, :1]

    def mirror_inputs(self, inputs):
        return inputs[:, :, H36M17.flip_permutation.tolist()] * torch.tensor([-1.0, 1, 1])

    def config(self):
        return {}


def recording(T=150, cameras=2, seed=0):
    """Labels of a moving body before cameras on two sides; inputs are exact projections with 2 px noise."""
    rng = np.random.default_rng(seed)
    body = np.random.default_rng(1).normal(size=(1, 17, 3)) * [0.2, 0.2, 0.5]
    phase = np.random.default_rng(2).uniform(0, 6, size=(1, 17, 3))
    X = body + 0.15 * np.sin(np.arange(T)[:, None, None] / 7 + phase + seed)
    K = np.array([[1000.0, 0, 639.5], [0, 1000.0, 359.5], [0, 0, 1]])
    pose, up = [], []
    for c in range(cameras):
        a = np.pi * c / cameras
        R = np.array([[np.cos(a), np.sin(a), 0], [0, 0, -1], [-np.sin(a), np.cos(a), 0]])
        pose.append(X @ R.T + [0, 0, 5])
        up.append(R[:, 2])
    pose = np.array(pose)
    h = pose @ K.T
    xy = h[..., :2] / h[..., 2:] + 2 * rng.normal(size=(*pose.shape[:3], 2))
    options = PseudoLabelOptions(block_frames=18)
    return PseudoLabels(
        xy, np.full(pose.shape[:3], 0.9), np.tile(K, (cameras, 1, 1)), np.tile([1280, 720], (cameras, 1)),
        pose,        np.full(pose.shape[:3], 0.8), split_time(T, options), np.array(up), fps=50.0, options=options,
        gates={"joints": T * 17, "passed": T * 17, "sigma": 0},
    )  # fmt: skip


def quick(**changes):
    """A short run without replay: the shipped motion is of people, the body of these tests is not."""
    values = dict(epochs=4, lr=3e-3, batch_size=16, clips_per_epoch=64, min_clips=4, replay_fraction=0.0)
    return FinetuneOptions.from_recipe("sportcore", **(values | changes))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are slower on more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def labels():
    return recording()


def test_it_learns_on_held_out_frames_and_leaves_the_start_alone(tmp_path, labels):
    lifter = TinyLifter()
    before = {k: v.clone() for k, v in lifter.module.state_dict().items()}
    calls = []
    options = quick(epochs=8, lr=1e-2, clips_per_epoch=256, view_probability=0.0, ema=0.9)
    result = finetune(lifter, labels, options, checkpoint_dir=tmp_path, progress=lambda *a: calls.append(a))
    assert result.improved and result.best_epoch > 0 and result.stopped == "epochs"
    assert result.history[result.best_epoch]["val_mpjpe"] < 0.65 * result.history[0]["val_mpjpe"]
    assert all(torch.equal(before[k], v) for k, v in lifter.module.state_dict().items())
    assert not same(result.lifter.module, lifter.module) and not result.lifter.module.training
    assert [c[:2] for c in calls] == [(i, 8) for i in range(1, 9)]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in rows] == list(range(9))
    assert json.loads((tmp_path / "result.json").read_text())["best_epoch"] == result.best_epoch
    best = min(range(9), key=lambda i: result.history[i]["val_mpjpe"])
    assert result.best_epoch == best


def test_test_frames_and_unlabelled_joints_never_matter(tmp_path, labels):
    """Spoiling everything that is held out or has weight 0 gives the same model, bit for bit."""
    import dataclasses

    weight = labels.weight.copy()
    weight[:, :, 13] = 0
    base = dataclasses.replace(labels, weight=weight)
    spoiled_pose, spoiled_xy = base.pose_cam_m.copy(), base.xy.copy()
    spoiled_pose[:, :, 13] = np.nan
    hidden = base.split == Part.TEST
    spoiled_pose[:, hidden] = 77.0
    spoiled_xy[:, hidden] = -5.0
    guard = base.split == Part.GUARD
    spoiled_xy[:, guard] = np.nan
    spoiled = dataclasses.replace(base, pose_cam_m=spoiled_pose, xy=spoiled_xy)
    a = finetune(TinyLifter(), base, quick(epochs=2), checkpoint_dir=tmp_path / "a")
    b = finetune(TinyLifter(), spoiled, quick(epochs=2), checkpoint_dir=tmp_path / "b")
    assert same(a.lifter.module, b.lifter.module)
    assert [r["val_mpjpe"] for r in a.history] == [r["val_mpjpe"] for r in b.history]


def test_the_start_is_kept_when_nothing_improves(tmp_path, labels):
    lifter = TinyLifter()
    good = finetune(lifter, labels, quick(epochs=10), checkpoint_dir=tmp_path / "good").lifter
    result = finetune(good, labels, quick(lr=10.0, epochs=3, gradient_clip=None), checkpoint_dir=tmp_path / "bad")
    assert not result.improved and result.best_epoch == 0
    assert same(result.lifter.module, good.module)
    assert result.summary()["improved"] is False


@pytest.mark.parametrize("recipe", ["sportcore", "published"])
def test_resuming_gives_the_same_bits(tmp_path, labels, recipe):
    options = FinetuneOptions.from_recipe(recipe, epochs=5, clips_per_epoch=48, min_clips=4)

    class Stop(Exception):
        pass

    def stop_after_two(done, total, message):
        if done == 2:
            raise Stop

    whole = finetune(TinyLifter(), labels, options, checkpoint_dir=tmp_path / "whole")
    with pytest.raises(Stop):
        finetune(TinyLifter(), labels, options, checkpoint_dir=tmp_path / "cut", progress=stop_after_two)
    torch.manual_seed(12345)  # the caller's random state is of no importance, and is left as it was
    state = torch.get_rng_state()
    resumed = finetune(TinyLifter(), labels, options, checkpoint_dir=tmp_path / "cut")
    assert torch.equal(state, torch.get_rng_state())
    assert same(whole.lifter.module, resumed.lifter.module)
    assert [r["loss"] for r in whole.history[1:]] == [r["loss"] for r in resumed.history[1:]]
    again = finetune(TinyLifter(), labels, options, checkpoint_dir=tmp_path / "cut", progress=stop_after_two)
    assert same(again.lifter.module, whole.lifter.module)  # finished: nothing is trained a second time


def test_a_motionagformer_resumes_to_the_bit_too(tmp_path, labels):
    """Batch normalisation has running statistics; averaged weights have theirs."""
    from sportcore.lifting.image_space import MotionAGFormerLifter
    from sportcore.lifting.motionagformer import MotionAGFormer, MotionAGFormerConfig

    def fresh():
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return MotionAGFormerLifter(MotionAGFormer(MotionAGFormerConfig(2, 16, 9, rep_width=32, n_heads=4)))

    def stop_after_one(done, total, message):
        if done == 1:
            raise KeyboardInterrupt

    options = quick(epochs=3, clips_per_epoch=32, lr=1e-3)
    whole = finetune(fresh(), labels, options, checkpoint_dir=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        finetune(fresh(), labels, options, checkpoint_dir=tmp_path / "cut", progress=stop_after_one)
    resumed = finetune(fresh(), labels, options, checkpoint_dir=tmp_path / "cut")
    assert same(whole.lifter.module, resumed.lifter.module) and whole.improved
    assert whole.history[0]["val_mpjpe"] < 5  # image units, not millimetres


def test_sigkill_and_resume_give_the_same_bits(tmp_path):
    def start(folder):
        env = dict(os.environ, OMP_NUM_THREADS="1")
        return subprocess.Popen([sys.executable, __file__, "worker", str(folder)], env=env, stderr=subprocess.PIPE)

    def finish(process):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()

    whole = start(tmp_path / "whole")
    cut = start(tmp_path / "cut")
    deadline = time.monotonic() + 90
    lines = tmp_path / "cut" / "metrics.jsonl"
    while not (lines.is_file() and len(lines.read_text().splitlines()) >= 4):
        assert cut.poll() is None, "the worker ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(cut.pid, signal.SIGKILL)
    cut.communicate()
    finish(whole)
    done = len(lines.read_text().splitlines())
    assert not (tmp_path / "cut" / "final.pt").exists() and done < 25
    finish(start(tmp_path / "cut"))
    a, b = (torch.load(tmp_path / d / "final.pt", weights_only=True) for d in ("whole", "cut"))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    rows = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in f.read_text().splitlines()]
        for f in (tmp_path / "whole" / "metrics.jsonl", lines)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 25


def test_a_state_of_something_else_or_a_broken_one_is_not_used(tmp_path, labels, caplog):
    first = finetune(TinyLifter(), labels, quick(epochs=2), checkpoint_dir=tmp_path)
    other = finetune(TinyLifter(seed=1), labels, quick(epochs=2), checkpoint_dir=tmp_path)
    assert not same(first.lifter.module, other.lifter.module) and "another model" in caplog.text
    fresh = finetune(TinyLifter(seed=1), labels, quick(epochs=2), checkpoint_dir=tmp_path / "fresh")
    assert same(other.lifter.module, fresh.lifter.module)
    (tmp_path / "state.pt").write_bytes(b"half a file")
    again = finetune(TinyLifter(), labels, quick(epochs=2), checkpoint_dir=tmp_path)
    assert same(again.lifter.module, first.lifter.module) and "cannot be read" in caplog.text


def test_time_and_patience(tmp_path, labels):
    timed = finetune(TinyLifter(), labels, quick(max_minutes=1e-6), checkpoint_dir=tmp_path / "t")
    assert timed.stopped == "time" and len(timed.history) == 2
    longer = finetune(TinyLifter(), labels, quick(max_minutes=5), checkpoint_dir=tmp_path / "t")  # more time: goes on
    assert longer.stopped == "epochs" and len(longer.history) == 5
    impatient = finetune(
        TinyLifter(), labels, quick(lr=50.0, patience=2, epochs=30, ema=0.0), checkpoint_dir=tmp_path / "p"
    )
    assert impatient.stopped == "patience" and len(impatient.history) < 30


def test_several_recordings_and_replay(tmp_path, labels):
    class Replay:
        """Base data: another motion, the same every time it is asked with the same generator state."""

        def __init__(self):
            self.generator, self.asked = torch.Generator(), 0
            self.clips = ClipSet([recording(seed=9).with_split(Part.TRAIN)], Part.TRAIN, 9, 9)

        def sample(self, n):
            self.asked += n
            return self.clips.batch(torch.randint(len(self.clips), (n,), generator=self.generator))

    replay = Replay()
    both = [labels, recording(T=90, seed=3)]
    one = finetune(TinyLifter(), both, quick(replay_fraction=0.25), checkpoint_dir=tmp_path / "a", replay=replay)
    assert replay.asked > 0 and one.improved and one.n_train_clips > 60
    two = finetune(TinyLifter(), both, quick(replay_fraction=0.25), checkpoint_dir=tmp_path / "b", replay=Replay())
    assert same(one.lifter.module, two.lifter.module)
    with pytest.raises(InputError, match="No pseudo-labels"):
        finetune(TinyLifter(), [], quick(), checkpoint_dir=tmp_path / "c")


def test_too_few_labels_say_how_many_and_why(tmp_path, labels):
    import dataclasses

    gates = {"joints": 2550, "passed": 40, "sigma": 2200, "residual": 310, "views": 0}
    weight = np.zeros_like(labels.weight)
    bare = dataclasses.replace(labels, weight=weight, gates=gates)
    with pytest.raises(InputError, match=r"Only 0 of \d+ .*sigma 2200, residual 310") as error:
        finetune(TinyLifter(), bare, quick(), checkpoint_dir=tmp_path)
    assert "calibration" in error.value.remedy
    with pytest.raises(InputError, match="held-out"):
        finetune(TinyLifter(), labels.with_split(Part.TRAIN), quick(), checkpoint_dir=tmp_path)


def test_a_loss_that_explodes_stops_with_the_batch_saved(tmp_path, labels):
    lifter = TinyLifter()
    with torch.no_grad():
        lifter.module[1].weight[0, 0] = float("nan")
    with pytest.raises(SportcoreError, match="nan in epoch 1"):
        finetune(lifter, labels, quick(), checkpoint_dir=tmp_path)
    with np.load(tmp_path / "bad_batch.npz") as bad:
        assert bad["xy"].shape[1:] == (9, 17, 2)


def test_options():
    published = FinetuneOptions.from_recipe("published")
    assert (published.lr, published.weight_decay, published.lr_decay, published.batch_size) == (
        5e-4,
        0.01,
        0.99,
        16,
    )
    assert (published.epochs, published.w_n, published.w_v, published.flip_probability) == (
        100,
        0.5,
        20.0,
        0.5,
    )
    assert published.learning_rate(2) == pytest.approx(5e-4 * 0.99**2)
    assert FinetuneOptions(lr=1e-3, epochs=10).learning_rate(0) == pytest.approx(1e-3)
    with pytest.raises(InputError, match="recipe"):
        FinetuneOptions.from_recipe("secret")
    with pytest.raises(InputError, match="learning_rate"):
        FinetuneOptions.from_recipe("published", learning_rate=1)
    for bad in ({"lr": 0}, {"epochs": 0}, {"flip_probability": 1.5}, {"ema": 1.0}, {"schedule": "steps"},
                {"clip_stride": 0}, {"lr_decay": 0}, {"selection": "truth"}, {"noise": -1}):  # fmt: skip
        with pytest.raises(InputError):
            FinetuneOptions(**bad)


# -- augmentation ------------------------------------------------------------


def clean_batch(n=6, noise=False):
    labels = recording()
    clips = ClipSet([labels], Part.TRAIN, 9, 5)
    batch = clips.batch(torch.arange(n))
    if not noise:
        h = torch.einsum("nij,ntkj->ntki", batch.K, batch.pose_cam_m)
        batch = type(batch)(**(vars(batch) | {"xy": h[..., :2] / h[..., 2:]}))
    return batch


def project(batch):
    h = torch.einsum("nij,ntkj->ntki", batch.K, batch.pose_cam_m)
    return h[..., :2] / h[..., 2:]


@pytest.mark.parametrize(
    "changes",
    [{"flip_probability": 1.0}, {"view_probability": 1.0, "view_tilt_deg": 8.0}, {"roll_deg": 20.0}],
)
def test_augmented_labels_still_project_onto_their_inputs(changes):
    off = dict(flip_probability=0.0, view_probability=0.0, roll_deg=0.0, drop_probability=0.0)
    batch = clean_batch()
    out = augment(batch, quick(**(off | changes)), torch.Generator().manual_seed(1))
    assert not torch.allclose(out.xy, batch.xy, atol=1.0)
    assert torch.allclose(project(out), out.xy, atol=2e-2)
    # Bodies stay bodies: distances between the joints are those of before (mirrored: of the other side).
    joints = H36M17.flip_permutation if "flip_probability" in changes else np.arange(17)
    assert torch.allclose(
        torch.cdist(out.pose_cam_m, out.pose_cam_m),
        torch.cdist(batch.pose_cam_m, batch.pose_cam_m)[:, :, joints][:, :, :, joints], atol=1e-3,
    )  # fmt: skip
    # The vertical moves with the body.
    along = torch.einsum("ntkj,nj->ntk", out.pose_cam_m, out.up_cam)
    before = torch.einsum("ntkj,nj->ntk", batch.pose_cam_m, batch.up_cam)[:, :, joints]
    assert torch.allclose(along - along[..., :1], before - before[..., :1], atol=1e-4)


def test_mirror_twice_is_the_identity_and_virtual_views_keep_errors_and_gaps():
    batch = clean_batch(noise=True)
    twice = mirrored(mirrored(batch))
    assert all(torch.allclose(getattr(twice, k), v, atol=1e-4) for k, v in vars(batch).items())
    weight, xy, score = batch.weight.clone(), batch.xy.clone(), batch.score.clone()
    weight[0, :, 5] = 0
    xy[1, 2, 7], score[1, 2, 7] = torch.nan, 0
    batch = type(batch)(**(vars(batch) | {"weight": weight, "xy": xy, "score": score}))
    options = quick(view_probability=1.0, flip_probability=0, roll_deg=0, drop_probability=0, view_log_distance=0)
    out = augment(batch, options, torch.Generator().manual_seed(0))
    assert torch.isnan(out.xy[0, :, 5]).all() and (out.score[0, :, 5] == 0).all()  # no label: cannot be projected
    assert torch.isnan(out.xy[1, 2, 7]).all() and torch.isfinite(out.pose_cam_m).all()
    used = (batch.weight > 0) & torch.isfinite(batch.xy).all(-1)
    error_before, error_after = (batch.xy - project(batch))[used], (out.xy - project(out))[used]
    assert torch.allclose(error_before, error_after, atol=2e-2)  # the detector's own errors travel along
    assert (out.xy[used] - batch.xy[used]).norm(dim=-1).mean() > 15


def test_what_a_short_block_lacks_is_missing():
    labels = recording(T=60)
    clips = ClipSet([labels], Part.VAL, 27, 27)
    batch = clips.batch(torch.arange(len(clips)))
    n = int((labels.split == Part.VAL).sum())
    assert n < 27 and len(clips) == 2
    assert (batch.weight[:, :n] > 0).all() and (batch.weight[:, n:] == 0).all()
    assert torch.isfinite(batch.xy[:, :n]).all() and torch.isnan(batch.xy[:, n:]).all()
    assert (batch.score[:, n:] == 0).all() and torch.isfinite(batch.pose_cam_m).all()


if __name__ == "__main__" and sys.argv[1:2] == ["worker"]:
    out = Path(sys.argv[2])
    torch.set_num_threads(1)
    tuned = finetune(
        TinyLifter(), recording(), quick(epochs=24, clips_per_epoch=32), checkpoint_dir=out,
        progress=lambda *_: time.sleep(0.05),
    )  # fmt: skip
    torch.save(tuned.lifter.module.state_dict(), out / "final.pt")

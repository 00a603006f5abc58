"""The outer loop: what is called with what, when it stops, what it keeps, and one honest run of it all."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sportcore.errors import Cancelled, InputError  # noqa: E402
from sportcore.evaluation import pa_mpjpe  # noqa: E402
from sportcore.pseudolabels import Part, PseudoLabelOptions  # noqa: E402
from sportcore.skeletons import H36M17  # noqa: E402
from sportcore.training import FinetuneOptions, SelfTrainOptions, Stages, self_train  # noqa: E402
from sportcore.training.selftrain import held_out_errors  # noqa: E402
from sportcore.types import Camera, Keypoints2D, Points3D, Rig  # noqa: E402


def motion(T=160):
    """A standing body whose limbs swing; constant bone lengths are not needed here."""
    body = np.random.default_rng(1).normal(size=(1, 17, 3)) * [0.2, 0.2, 0.4] + [0, 0, 1]
    phase = np.random.default_rng(2).uniform(0, 6, size=(1, 17, 3))
    return body + 0.12 * np.sin(np.arange(T)[:, None, None] / 9 + phase)


def ring(count=3):
    cameras = []
    for i in range(count):
        a = 2 * np.pi * i / count + 0.3
        centre = np.array([5 * np.cos(a), 5 * np.sin(a), 1.5])
        z = np.array([0, 0, 1.0]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        K = np.array([[1000.0, 0, 639.5], [0, 1000.0, 359.5], [0, 0, 1]])
        cameras.append(Camera(f"c{i}", (1280, 720), K, R=R, t=-R @ centre))
    return Rig(tuple(cameras))


def observed(X, rig, px=1.0):
    cam = np.einsum("cij,tnj->ctni", rig.R, X) + rig.t[:, None, None]
    h = np.einsum("cij,ctnj->ctni", rig.K, cam)
    xy = h[..., :2] / h[..., 2:] + px * np.random.default_rng(3).normal(size=(*cam.shape[:3], 2))
    return Keypoints2D(xy, np.full(xy.shape[:3], 0.9), H36M17, fps=50.0, names=rig.names, image_sizes=rig.image_sizes)


class Teacher:
    """A lifter that knows the motion up to an error that training takes away."""

    metric, n_frames = True, 9

    def __init__(self, X, rig, error=0.1, kp=None):
        self.X, self.rig, self.error, self.kp = X, rig, error, kp

    def lift(self, keypoints, intrinsics):
        # Find the frames by their pixels: the blocks are lifted on their own.
        full = self.kp.xy
        start = next(t for t in range(full.shape[1]) if np.array_equal(full[:, t], keypoints.xy[:, 0], equal_nan=True))
        X = self.X[start : start + keypoints.n_frames]
        pose = np.einsum("cij,tnj->ctni", self.rig.R, X - X[:, :1])
        wave = np.sin(np.arange(17))[None, None, :, None] * [0.0, 0.0, 1.0]
        return pose + self.error * wave


def loop(tmp_path, qualities, **options):
    """Run the loop with stages of known quality: one (residual, label noise, error after tuning) per round."""
    X, rig = motion(), ring()
    kp = observed(X, rig)
    calls = []
    state = {"round": 0}

    def calibrate(keypoints, intrinsics, poses):
        calls.append(("calibrate", poses.shape, float(np.nanmean(np.abs(poses)))))
        return SimpleNamespace(rig=rig)

    def triangulate(keypoints, cameras):
        residual, noise, _ = qualities[state["round"]]
        J = (len(X), 17)
        xyz = X + noise * np.random.default_rng(5).normal(size=X.shape)
        return Points3D(
            xyz, np.broadcast_to(np.eye(3) * 0.003**2, (*J, 3, 3)), np.full((3, *J), residual),
            np.ones((3, *J), bool), np.full(J, 3), np.zeros(J, np.uint8), H36M17, fps=50.0,
        )  # fmt: skip

    def tune(lifter, labels, opts, folder, progress):
        calls.append(("finetune", lifter.error, folder.name))
        after = qualities[state["round"]][2]
        state["round"] += 1
        progress(1, 1, "epoch")
        rows = [{"val_mpjpe": 1000 * lifter.error}, {"val_mpjpe": 1000 * after}]
        return SimpleNamespace(lifter=Teacher(X, rig, after, kp), history=rows, best_epoch=1, options=opts)

    stages = Stages(calibrate=calibrate, triangulate=triangulate, finetune=tune)
    seen = []
    opts = SelfTrainOptions(labels=PseudoLabelOptions(block_frames=12), **options)
    result = self_train(
        kp, rig, Teacher(X, rig, 0.1, kp), opts, workdir=tmp_path, stages=stages, on_iteration=seen.append,
        progress=lambda done, total, message: calls.append(("progress", done, total)),
    )  # fmt: skip
    return result, calls, seen


def test_rounds_that_improve_run_on_and_the_lifter_of_one_lifts_for_the_next(tmp_path):
    result, calls, seen = loop(tmp_path, [(3, 0.02, 0.06), (2, 0.01, 0.04), (1.5, 0.005, 0.03)], iterations=3)
    assert [i.improved for i in result.history] == [True, True, True] and result.best == 3
    assert result.stopped == "iterations" and list(result.history) == seen
    assert result.lifter.error == 0.03
    assert [c[1] for c in calls if c[0] == "finetune"] == [0.1, 0.1, 0.1]  # each round from the given lifter
    assert [c[2] for c in calls if c[0] == "finetune"] == ["iteration-1", "iteration-2", "iteration-3"]
    done = [c[1] for c in calls if c[0] == "progress"]
    assert done == sorted(done) and done[-1] == 300
    first, last = result.history[0], result.history[-1]
    assert last.after["mpjpe_mm"] < first.after["mpjpe_mm"] < first.before["mpjpe_mm"]
    assert first.residual_px == 3 and first.bone_spread > last.bone_spread > 0
    rows = json.loads((tmp_path / "history.json").read_text())
    assert [r["number"] for r in rows] == [1, 2, 3]


def test_it_stops_when_nothing_improves_and_keeps_the_best(tmp_path):
    result, calls, _ = loop(tmp_path, [(3, 0.01, 0.05), (3.1, 0.011, 0.06), (1, 0, 0.01)], iterations=3)
    assert result.stopped == "no improvement" and result.best == 1 and len(result.history) == 2
    assert result.lifter.error == 0.05
    patient, _, _ = loop(tmp_path, [(3, 0.01, 0.05), (3.1, 0.011, 0.06), (1, 0, 0.01)], iterations=3, patience=2)
    assert patient.best == 3 and patient.stopped == "iterations"


def test_going_on_from_the_round_before(tmp_path):
    _, calls, _ = loop(tmp_path, [(3, 0.02, 0.06), (2, 0.01, 0.04)], iterations=2, restart=False)
    assert [c[1] for c in calls if c[0] == "finetune"] == [0.1, 0.06]
    published = SelfTrainOptions.published()
    assert published.iterations == 5 and not published.restart and published.finetune.recipe == "published"


def test_held_out_errors_look_at_test_blocks_only():
    from sportcore.pseudolabels import make_pseudolabels

    X, rig = motion(), ring()
    kp = observed(X, rig)
    points = Points3D(
        X, np.broadcast_to(np.eye(3) * 1e-6, (160, 17, 3, 3)), np.ones((3, 160, 17)), np.ones((3, 160, 17), bool),
        np.full((160, 17), 3), np.zeros((160, 17), np.uint8), H36M17, fps=50.0,
    )  # fmt: skip
    labels = make_pseudolabels(kp, points, rig, PseudoLabelOptions(block_frames=12, smooth_cutoff_hz=None))
    lifter = Teacher(X, rig, 0.1, kp)
    table = held_out_errors(lifter, labels)
    n = int((labels.split == Part.TEST).sum())
    assert set(table.n_frames.values()) == {n} and table.rows.keys() == set(rig.names)
    index = labels.split == Part.TEST
    direct = pa_mpjpe(lifter.lift(kp, rig)[1, index], labels.root_relative()[1, index])
    assert table.rows["c1"]["pa_mpjpe_mm"] == pytest.approx(float(direct))
    assert table["velocity_mm_per_frame"] < 1e-6  # a constant error has no velocity, over block borders neither
    assert held_out_errors(lifter, labels.with_split(Part.TRAIN)) is None
    lifter.metric = False  # image units: millimetres would be a made-up number
    free = held_out_errors(lifter, labels)
    assert np.isnan(free["mpjpe_mm"]) and np.isnan(free.rows["c1"]["velocity_mm_per_frame"])
    assert free["pa_mpjpe_mm"] == pytest.approx(table["pa_mpjpe_mm"])


def test_refusals_and_cancelling(tmp_path):
    X, rig = motion(), ring()
    kp = observed(X, rig)
    with pytest.raises(InputError, match="two cameras"):
        self_train(kp.cameras(["c0"]), rig, Teacher(X, rig, kp=kp), workdir=tmp_path)
    for bad in ({"iterations": 0}, {"patience": 0}, {"min_improvement": 1.0}):
        with pytest.raises(InputError):
            SelfTrainOptions(**bad)

    def stop(done, total, message):
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        self_train(kp, rig, Teacher(X, rig, kp=kp), workdir=tmp_path, progress=stop)


def test_the_whole_loop_for_real(tmp_path):
    """Unknown camera poses, real stages, a small real network: held-out frames must get better."""
    pytest.importorskip("sportcore._core")
    pytest.importorskip("sportcore.cameras")
    from sportcore.lifting import CompactConfig, CompactLifter, RayLifter
    from sportcore.synthetic import athlete

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            lifter = RayLifter(CompactLifter(CompactConfig(n_frames=9, width=48, hidden=64, time_hidden=12, depth=2)))
        X = np.asarray(athlete(300, fps=50.0, seed=1))
        rig = ring(4)
        kp = observed(X, rig, px=1.0)
        options = SelfTrainOptions(
            iterations=1,
            finetune=FinetuneOptions(epochs=6, lr=3e-3, clips_per_epoch=320, ema=0.9, view_probability=0.0),
        )
        blank = rig.with_poses(np.tile(np.eye(3), (4, 1, 1)), np.zeros((4, 3)))
        result = self_train(kp, blank, lifter, options, workdir=tmp_path)
        row = result.history[0]
        assert row.residual_px < 3 and row.bone_spread < 0.02
        assert row.after["pa_mpjpe_mm"] < 0.7 * row.before["pa_mpjpe_mm"]
        # A second call finds the finished fine-tuning and gives the same weights.
        again = self_train(kp, blank, lifter, options, workdir=tmp_path)
        for a, b in zip(result.lifter.module.parameters(), again.lifter.module.parameters(), strict=True):
            assert torch.equal(a, b)
    finally:
        torch.set_num_threads(threads)

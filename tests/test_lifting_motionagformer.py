"""MotionAGFormer: published sizes, official checkpoints, its place behind the lifters' interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sportcore as sc
from sportcore.errors import InputError, WeightsError

torch = pytest.importorskip("torch")

from sportcore.lifting import MotionAGFormer, MotionAGFormerLifter  # noqa: E402
from sportcore.lifting.motionagformer import MotionAGFormerConfig  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "magf"
CHECKPOINT = GOLDEN / "magf-tiny.pth.tr"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("size", "count"), [("xs", 2_241_531), ("s", 4_817_119), ("b", 11_723_811), ("l", 19_007_111)])
def test_parameter_counts_are_the_published_ones(size, count):
    with torch.device("meta"):  # shapes only
        module = MotionAGFormer.from_size(size)
    assert sum(p.numel() for p in module.parameters()) == count


def test_official_output_is_matched():
    with np.load(GOLDEN / "magf-tiny.npz") as data:
        inputs, want = data["input"], data["output"]
    module = MotionAGFormer.from_checkpoint(CHECKPOINT, n_heads=4)
    with torch.no_grad():
        out = module(torch.from_numpy(inputs)).numpy()
    assert np.abs(out - want).max() < 1e-5
    assert np.abs(want).max() > 0.1


def test_shape_is_inferred_from_the_tensors():
    config = MotionAGFormer.from_checkpoint(CHECKPOINT, n_heads=4).config
    assert (config.n_layers, config.width, config.n_frames, config.rep_width) == (2, 16, 9, 32)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_bare_and_wrapped_tensors_load_alike(tmp_path, prefix):
    state = torch.load(CHECKPOINT, weights_only=True)["model"]
    path = tmp_path / "bare.pth"
    torch.save({prefix + k.removeprefix("module."): v for k, v in state.items()}, path)
    module = MotionAGFormer.from_checkpoint(path, n_heads=4)
    assert torch.equal(module.head.weight, state["module.head.weight"])


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = CHECKPOINT.read_bytes()
    cut = tmp_path / "cut.pth.tr"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.pth\.tr"):
        MotionAGFormer.from_checkpoint(cut)
    with pytest.raises(WeightsError, match="No checkpoint"):
        MotionAGFormer.from_checkpoint(tmp_path / "absent.pth")
    other = tmp_path / "other.pth"
    torch.save({"model": {"conv.weight": torch.zeros(3)}}, other)
    with pytest.raises(WeightsError, match="not a MotionAGFormer"):
        MotionAGFormer.from_checkpoint(other)
    state = torch.load(CHECKPOINT, weights_only=True)["model"]
    state.pop("module.layers.1.fusion.bias")
    torch.save({"model": state}, other)
    with pytest.raises(WeightsError, match="not a MotionAGFormer"):
        MotionAGFormer.from_checkpoint(other)


class _Trap:
    def __reduce__(self):
        return (Path.touch, (Path(_Trap.target),))


def test_a_checkpoint_cannot_run_code(tmp_path):
    _Trap.target = str(tmp_path / "ran")
    path = tmp_path / "trap.pth"
    torch.save({"model": _Trap()}, path)
    with pytest.raises(WeightsError):
        MotionAGFormer.from_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_wrong_window_is_refused():
    module = MotionAGFormer.from_checkpoint(CHECKPOINT, n_heads=4)
    with pytest.raises(InputError, match="expects"):
        module(torch.zeros(1, 27, 17, 3))
    with pytest.raises(InputError, match="size"):
        MotionAGFormer.from_size("xxl")
    with pytest.raises(InputError, match="multiple"):
        MotionAGFormerConfig(1, 30, 9)


def _lifter() -> MotionAGFormerLifter:
    return MotionAGFormerLifter(MotionAGFormer.from_checkpoint(CHECKPOINT, n_heads=4), name="tiny")


def test_inputs_are_normalised_by_the_image_width():
    lifter = _lifter()
    xy = np.zeros((1, 9, 17, 2))
    xy[..., 0], xy[..., 1] = 1920, 1080
    inputs, _ = lifter.encode(xy, np.full((1, 9, 17), 0.7), np.eye(3), [1920, 1080])
    assert torch.allclose(inputs[0, 0, 0], torch.tensor([1.0, 1080 / 1920, 0.7]))
    xy[:, 3] = np.nan
    inputs, _ = lifter.encode(xy, np.full((1, 9, 17), 0.7), np.eye(3), [1920, 1080])
    assert torch.allclose(inputs[0, 3, 0], torch.tensor([1.0, 1080 / 1920, 0.0]))


def test_targets_project_like_the_inputs():
    """Image-space targets are the weak-perspective projection in the units of the inputs."""
    lifter = _lifter()
    rng = np.random.default_rng(0)
    pose = np.concatenate([rng.normal(size=(2, 9, 17, 3)) * 0.01 + [0.1, 0.2, 5.0]])
    K = np.array([[1500.0, 0, 960], [0, 1500, 540], [0, 0, 1]])
    xy = pose @ K.T
    xy = xy[..., :2] / xy[..., 2:]
    inputs, context = lifter.encode(xy, None, K, [1920, 1080])
    target = lifter.encode_targets(torch.tensor(pose, dtype=torch.float32), context)
    relative = inputs[..., :2] - inputs[..., :1, :2]
    assert (target[..., :2] - relative).abs().max() < 1e-3
    decoded = lifter.decode(target, context)
    truth = torch.tensor(pose - pose[:, :, :1], dtype=torch.float32)
    scale = (decoded * truth).sum((-1, -2)) / (truth * truth).sum((-1, -2))
    assert torch.allclose(decoded, truth * scale[..., None, None], atol=1e-6)


def test_the_same_file_by_name_and_as_safetensors(tmp_path):
    with pytest.raises(WeightsError, match="do not ship"):
        sc.load_lifter("motionagformer-xs")
    with pytest.raises(WeightsError, match="n_layers 2 instead of 12"):
        torch.save({"model": MotionAGFormer(MotionAGFormerConfig(2, 64, 27)).state_dict()}, tmp_path / "x.pth")
        sc.load_lifter(f"motionagformer-xs:{tmp_path / 'x.pth'}")
    lifter = _lifter()
    lifter.save(tmp_path / "tiny.safetensors", {"note": "golden"})
    again = sc.load_lifter(tmp_path / "tiny.safetensors")
    inputs = torch.randn(2, 9, 17, 3, generator=torch.Generator().manual_seed(0))
    assert isinstance(again, MotionAGFormerLifter) and again.metadata == {"note": "golden"}
    assert torch.equal(again.predict(inputs), lifter.predict(inputs))

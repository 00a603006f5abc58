"""Training of a base lifter on motion capture seen by virtual cameras: ``sportcore pretrain``."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.mocap import Mocap, load_mocap
from ..datasets.virtual import VirtualOptions, VirtualSampler
from ..errors import InputError, SportcoreError, require
from ..io.atomic import atomic_path
from .compact import CompactConfig, CompactLifter
from .files import load_lifter
from .image_space import MotionAGFormerLifter
from .lifter import Lifter, RayLifter
from .motionagformer import MotionAGFormer, MotionAGFormerConfig
from .protocol import EvaluationClips, evaluate_lifter, evaluation_clips

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["PretrainOptions", "PretrainResult", "pretrain", "pretrain_loss"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainOptions:
    """How a base lifter is trained.

    Attributes:
        groups: groups of motion to train on; empty for all.
        hold_out_every: each so-manieth *daily* clip is kept for evaluation only; 0 trains on everything.
        group_weights: how much more often frames of a group are drawn.
        virtual: variation, cameras and noise.
        network: shape of the network; its type says which family is trained.
        batch_size: clips per step.
        steps: number of steps, the end of the learning-rate schedule.
        time_budget_s: if given, the schedule ends after this many seconds of training even if fewer steps were made.
        lr: highest learning rate; warmed up linearly, then a cosine down to a hundredth of it.
        warmup: share of the schedule that is warm-up.
        weight_decay: of AdamW.
        w_n: weight of the N-MPJPE term (Suzuki et al. 2024: 0.5).
        w_v: weight of the velocity term (Suzuki et al. 2024: 20).
        ema: decay of the averaged weights, which are the ones saved and evaluated.
        bf16: compute in bfloat16; None means where the processor has fast bfloat16 products.
        device: where the network and the recordings are, for instance ``"cuda"``.
        threads: torch threads; None leaves the setting alone.
        start: lifter file (``.safetensors``) whose weights are the start; None for fresh ones.
        seed: of everything.
        log_every: steps between lines of ``metrics.jsonl``.
        evaluate_every: steps between evaluations.
        checkpoint_every_s: seconds between resumable checkpoints.
    """

    groups: tuple[str, ...] = ()
    hold_out_every: int = 0
    group_weights: Mapping[str, float] = field(default_factory=dict)
    virtual: VirtualOptions = VirtualOptions()
    network: CompactConfig | MotionAGFormerConfig = CompactConfig()
    batch_size: int = 128
    steps: int = 6000
    time_budget_s: float | None = None
    lr: float = 1.5e-3
    warmup: float = 0.03
    weight_decay: float = 0.02
    w_n: float = 0.5
    w_v: float = 5.0
    ema: float = 0.999
    bf16: bool | None = None
    device: str = "cpu"
    threads: int | None = None
    start: str | None = None
    seed: int = 0
    log_every: int = 50
    evaluate_every: int = 1000
    checkpoint_every_s: float = 120.0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.steps < 1:
            raise InputError("batch_size and steps must be at least 1.")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema must lie in [0, 1), got {self.ema}.")
        if self.virtual.n_frames != self.network.n_frames:
            raise InputError(
                f"virtual.n_frames {self.virtual.n_frames} and network.n_frames {self.network.n_frames} differ."
            )


@dataclass(frozen=True)
class PretrainResult:
    """What a training run ended with.

    Attributes:
        weights: averaged weights, the file written last.
        steps: steps made.
        clips_seen: clips drawn.
        seconds: training time over all resumed parts.
        metrics: evaluation at the end, per evaluation set.
    """

    weights: Path
    steps: int
    clips_seen: int
    seconds: float
    metrics: dict[str, dict[str, float]]


def pretrain(
    data_path: str | Path | Mocap, out: str | Path, options: PretrainOptions | None = None, *,
    progress: Callable[[int, int, str], None] | None = None, resume: bool = True,
) -> PretrainResult:  # fmt: skip
    """Train a lifter on virtual recordings of motion-capture clips.

    Writes into the folder ``out``: ``metrics.jsonl`` (one line per log step and evaluation), ``checkpoint.pt``
    (everything needed to resume), ``lifter.safetensors`` (averaged weights, loadable by ``load_lifter``) and
    ``recipe.json`` (options and data).

    Args:
        data_path: motion file for :func:`sportcore.datasets.mocap.load_mocap`, or the motion itself.
        out: output folder, made if absent.
        options: see :class:`PretrainOptions`.
        progress: called as ``progress(steps done, steps in all, message)``; an exception in it stops the run, which
            can be resumed from its last checkpoint.
        resume: continue from ``out/checkpoint.pt`` when it is there and was made with the same options.

    Raises:
        InputError: the data cannot be read, or the checkpoint belongs to other options.
        SportcoreError: the loss became NaN (the batch's seed state is in the last checkpoint).
    """
    options = options or PretrainOptions()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    mocap = data_path if isinstance(data_path, Mocap) else load_mocap(data_path)
    return _Run(mocap, out, options, resume).train(progress)


class _Run:
    def __init__(self, mocap: Mocap, out: Path, options: PretrainOptions, resume: bool) -> None:
        self.out, self.options = out, options
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        self.train_set, self.sets = _split(mocap, options)
        torch.manual_seed(options.seed)
        self.sampler = VirtualSampler(
            self.train_set,
            options.virtual,
            seed=options.seed,
            group_weights=dict(options.group_weights),
            device=options.device,
        )
        self.lifter = _initial(options).to(options.device)
        self.module = self.lifter.module
        self.average = copy.deepcopy(self.lifter)
        self.average.module.requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.module, options.weight_decay), lr=options.lr, betas=(0.9, 0.98)
        )
        self.bf16 = _fast_bf16(options.device) if options.bf16 is None else options.bf16
        self.step, self.seconds = 0, 0.0
        self.data = {"source": mocap.source, "clips": len(self.train_set), "frames": self.train_set.n_frames}
        self.key = json.dumps(_plain(options) | {"data": self.data}, sort_keys=True)
        self.metrics: dict[str, dict[str, float]] = {}
        if resume and (out / "checkpoint.pt").is_file():
            self._load()

    def share(self) -> float:
        """Share of the schedule that is done."""
        done = self.step / self.options.steps
        if self.options.time_budget_s is not None:
            done = max(done, self.seconds / self.options.time_budget_s)
        return min(done, 1.0)

    def train(self, progress: Callable[[int, int, str], None] | None) -> PretrainResult:
        o = self.options
        saved = self.seconds
        sums: list[float] = []
        while self.share() < 1:
            begin = time.perf_counter()
            loss = self._one_step()
            self.seconds += time.perf_counter() - begin
            self.step += 1
            sums.append(loss)
            if not math.isfinite(loss):
                raise SportcoreError(
                    f"The loss became {loss} at step {self.step}.",
                    "Resume from the checkpoint with a lower lr.",
                )
            if self.step % o.log_every == 0 or self.share() >= 1:
                mean = sum(sums) / len(sums)
                rate = self.step * o.batch_size / max(self.seconds, 1e-9)
                line = {
                    "step": self.step,
                    "seconds": round(self.seconds, 1),
                    "loss": mean,
                    "clips_per_s": rate,
                }
                self._write(line | {"lr": self.optimizer.param_groups[0]["lr"]})
                sums = []
                if progress is not None:
                    total = max(round(self.step / max(self.share(), 1e-9)), self.step)
                    progress(self.step, total, f"loss {mean:.4f}, {rate:.0f} clips/s")
            if self.step % o.evaluate_every == 0:
                self.evaluate(max_windows=1000)
                self.save_weights()
            if self.seconds - saved > o.checkpoint_every_s:
                self._save()
                saved = self.seconds
        self.evaluate()
        self._save()
        weights = self.save_weights()
        return PretrainResult(weights, self.step, self.step * o.batch_size, self.seconds, self.metrics)

    def _one_step(self) -> float:
        o = self.options
        lr = _learning_rate(o, self.share())
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        clips = self.sampler.sample(o.batch_size)
        inputs, context = self.lifter.encode(clips.xy, clips.score, clips.K, clips.image_size)
        target = self.lifter.encode_targets(clips.pose_cam_m, context)
        self.module.train()
        with torch.autocast(self.lifter.device.type, torch.bfloat16, enabled=self.bf16):
            predicted = self.module(inputs)
        loss = pretrain_loss(predicted.float(), target, o.w_n, o.w_v)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        average = self.average.module
        decay = min(o.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(self.module.parameters()), 1 - decay)
            for mine, theirs in zip(average.buffers(), self.module.buffers(), strict=True):
                mine.copy_(theirs)
        return float(loss.detach())

    def evaluate(self, max_windows: int | None = None) -> None:
        """Evaluate the averaged weights on every evaluation set."""
        for name, clips in self.sets.items():
            self.metrics[name] = evaluate_lifter(self.average, clips, max_windows=max_windows)
        if self.metrics:
            self._write({"step": self.step, "seconds": round(self.seconds, 1), "evaluation": self.metrics})

    def save_weights(self) -> Path:
        """Write the averaged weights and the recipe."""
        about: dict[str, Any] = {
            "steps": self.step,
            "clips_seen": self.step * self.options.batch_size,
            "seconds": round(self.seconds),
        }
        about |= {"data": self.data, "options": _plain(self.options), "evaluation": self.metrics}
        path = self.out / "lifter.safetensors"
        self.average.save(path, {"recipe": about})
        with atomic_path(self.out / "recipe.json") as temporary:
            Path(temporary).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return path

    def _write(self, line: dict[str, Any]) -> None:
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        state = {
            "key": self.key, "step": self.step, "seconds": self.seconds, "module": self.module.state_dict(),
            "average": self.average.module.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.sampler.state(),
        }  # fmt: skip
        with atomic_path(self.out / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _load(self) -> None:
        path = self.out / "checkpoint.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(f"{path} cannot be read: {error}.", "Delete it, or train with resume=False.") from error
        if state.get("key") != self.key:
            raise InputError(
                f"{path} was made with other options or other data.", "Use another folder, or resume=False."
            )
        self.module.load_state_dict(state["module"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        _log.info("resumed %s at step %d", path, self.step)


def pretrain_loss(predicted: torch.Tensor, target: torch.Tensor, w_n: float, w_v: float) -> torch.Tensor:
    """MPJPE + w_n N-MPJPE + w_v velocity error of (N, T, 17, 3), the loss of Suzuki et al. (CVPRW 2024)."""
    loss = (predicted - target).norm(dim=-1).mean()
    if w_n:
        scale = (predicted * target).sum((-1, -2), keepdim=True) / (predicted**2).sum((-1, -2), keepdim=True).clamp(
            min=1e-6
        )
        loss = loss + w_n * (scale * predicted - target).norm(dim=-1).mean()
    if w_v and predicted.shape[1] > 1:
        loss = loss + w_v * (predicted.diff(dim=1) - target.diff(dim=1)).norm(dim=-1).mean()
    return loss


def _initial(options: PretrainOptions) -> Lifter:
    if options.start is not None:
        lifter = load_lifter(options.start)
        if lifter.config() != asdict(options.network):
            raise InputError(f"{options.start} holds a network of another shape.", "Set network to its shape.")
        return lifter
    if isinstance(options.network, CompactConfig):
        return RayLifter(CompactLifter(options.network))
    return MotionAGFormerLifter(MotionAGFormer(options.network))


def _split(mocap: Mocap, o: PretrainOptions) -> tuple[Mocap, dict[str, EvaluationClips]]:
    train, sets = mocap, {}
    T = o.network.n_frames
    if o.hold_out_every:
        train, held = mocap.hold_out(o.hold_out_every)
        sets["daily-held-out"] = evaluation_clips(held, n_frames=T)
    if o.groups:
        for group in sorted(set(mocap.groups()) - set(o.groups)):
            sets[group] = evaluation_clips(mocap.select([group]), n_frames=T)
        train = train.select(o.groups)
    return train, sets


def _learning_rate(o: PretrainOptions, share: float) -> float:
    if share < o.warmup:
        return o.lr * (0.02 + 0.98 * share / o.warmup)
    x = (share - o.warmup) / max(1 - o.warmup, 1e-9)
    return o.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(x, 1.0))))


def _parameter_groups(module: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    others = [p for p in module.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _fast_bf16(device: str) -> bool:
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def _plain(options: PretrainOptions) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(dataclasses.replace(options, group_weights={}))))
    plain["group_weights"] = dict(options.group_weights)
    return plain

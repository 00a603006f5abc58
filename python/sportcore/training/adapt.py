"""Adapting a lifter to a recording: pseudo-labels in, a tuned lifter out, whatever kills the run in
between.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sportcore.errors import InputError, SportcoreError, require
from sportcore.io.atomic import atomic_path, save_npz, write_json, write_text
from sportcore.io.hashing import hash_arrays, hash_file, hash_json
from sportcore.pseudolabels import Part, PseudoLabels

if TYPE_CHECKING:
    import torch

    from sportcore.lifting import Lifter
else:
    torch = require("torch", extra="train")

from .clips import Batch, ClipSet, augment
from .losses import sports_pose_loss
from .options import FinetuneOptions

__all__ = ["FinetuneResult", "ReplaySource", "finetune"]

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]
_STATE = "state.pt"
_VERSION = 1
_MAX_VAL_CLIPS = 1024


class ReplaySource(Protocol):
    """Base data mixed into the batches against forgetting; ``datasets.virtual.VirtualSampler`` is one."""

    generator: torch.Generator

    def sample(self, n: int) -> Any:
        """``n`` clips with the fields ``xy, score, K, image_size, pose_cam_m`` of ``VirtualRecordings``."""


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning ended with.

    Attributes:
        lifter: the lifter to use: the best epoch on held-out pseudo-labels, or the one it started from.
        improved: False when no epoch was better than the start; ``lifter`` is the start then.
        best_epoch: epoch kept, counted from 1; 0 is the start.
        history: one row per epoch (row 0: the start): training loss, validation errors (mm when the lifter is
            metric, else in the network's unit), learning rate, seconds.
        stopped: why training ended: ``"epochs"``, ``"patience"`` or ``"time"``.
        n_train_clips: clips trained on.
        n_val_clips: clips that chose the epoch.
        seconds: training time, over all resumed parts.
        checkpoint_dir: folder with ``state.pt``, ``metrics.jsonl`` and ``result.json``.
        options: options used.
    """

    lifter: Lifter
    improved: bool
    best_epoch: int
    history: tuple[dict[str, float], ...]
    stopped: str
    n_train_clips: int
    n_val_clips: int
    seconds: float
    checkpoint_dir: Path
    options: FinetuneOptions

    def summary(self) -> dict[str, Any]:
        """Plain values for a report."""
        return {
            "improved": self.improved, "best_epoch": self.best_epoch, "epochs": len(self.history) - 1,
            "stopped": self.stopped, "n_train_clips": self.n_train_clips, "n_val_clips": self.n_val_clips,
            "seconds": round(self.seconds, 1), "validation_before": self.history[0],
            "validation_after": self.history[self.best_epoch], "options": asdict(self.options),
        }  # fmt: skip


def finetune(
    lifter: Lifter,
    labels: PseudoLabels | Sequence[PseudoLabels],
    options: FinetuneOptions | None = None,
    *,
    checkpoint_dir: str | Path,
    replay: ReplaySource | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> FinetuneResult:
    """Fine-tune a lifter on pseudo-labels.

    The epoch to keep is chosen on the held-out (``Part.VAL``) pseudo-labels, never on a ground truth; when
    none is better than the start, the start is kept and the result says so. After each epoch everything is
    written to ``checkpoint_dir/state.pt``. A run that was killed continues from there and, on a CPU, ends
    with the same bits as one that was not: all randomness of an epoch follows from the seed and the epoch's
    number.

    Args:
        lifter: the model to start from; it is not changed.
        labels: one recording, or several.
        options: see :class:`FinetuneOptions`.
        checkpoint_dir: folder for ``state.pt``, ``metrics.jsonl`` and ``result.json``, made if absent.
        replay: source of base data for ``options.replay_fraction`` of each batch; by default virtual recordings of
            ``options.replay_motion_file``, or of the motion that ships with the package.
        progress: called as ``progress(epochs done, epochs in all, message)``; an exception raised in it stops
            the run, which can be resumed.
        resume: continue from a state in ``checkpoint_dir`` that was made from the same model, labels and
            options. A state of anything else is overwritten. False always starts anew.

    Returns:
        The tuned lifter and how it got there.

    Raises:
        InputError: too few valid clips (with the gates that took the labels).
        SportcoreError: the loss became NaN or infinite; the batch is in ``checkpoint_dir/bad_batch.npz``.
    """
    options = options or FinetuneOptions()
    recordings = [labels] if isinstance(labels, PseudoLabels) else list(labels)
    if not recordings:
        raise InputError("No pseudo-labels to train on.")
    folder = Path(checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with _torch_threads(options.threads):
        return _Run(lifter, recordings, options, folder, replay, resume).train(progress)


@contextmanager
def _torch_threads(count: int | None) -> Iterator[None]:
    """Run with this many torch threads (None: half of the processors), and put back what was set."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or max(1, (os.cpu_count() or 1) // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    def __init__(
        self, lifter: Lifter, recordings: list[PseudoLabels], options: FinetuneOptions, folder: Path,
        replay: ReplaySource | None, resume: bool,
    ) -> None:  # fmt: skip
        self.start, self.options, self.folder = lifter, options, folder
        self.replay = _replay(lifter, options, replay)
        self.lifter = copy.deepcopy(lifter)
        self.module = self.lifter.module
        self.device = next(self.module.parameters()).device
        T = lifter.n_frames
        stride = options.clip_stride or max(T // 3, 1)
        self.train_clips = ClipSet(
            recordings, Part.TRAIN, T, stride, min_share=options.min_clip_share,
            label_weights=options.label_weights, device=self.device,
        )  # fmt: skip
        self.val_clips = ClipSet(recordings, Part.VAL, T, T, label_weights=options.label_weights, device=self.device)
        self._check(recordings)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.module.parameters() if p.requires_grad],
            lr=options.lr,
            weight_decay=options.weight_decay,
        )
        self.average = copy.deepcopy(self.module).requires_grad_(False) if options.ema > 0 else None
        self.bf16 = _fast_bf16(self.device) if options.bf16 is None else options.bf16
        self.epoch, self.seconds, self.best_epoch, self.steps = 0, 0.0, 0, 0
        self.history: list[dict[str, float]] = []
        self.best = _cpu_state(self.module)
        self.key = hash_json(
            {
                "version": _VERSION, "options": asdict(replace(options, max_minutes=None)),
                "labels": [r.digest() for r in recordings], "model": _digest(self.module), "n_frames": T,
                "replay": self._replay_key(replay), "bf16": self.bf16,
            }
        )  # fmt: skip
        if resume:
            self._load()

    def _check(self, recordings: list[PseudoLabels]) -> None:
        o, found, of = self.options, len(self.train_clips), self.train_clips.n_candidates
        if found < o.min_clips:
            lost = {k: sum(r.gates.get(k, 0) for r in recordings) for k in recordings[0].gates}
            total = lost.pop("joints", 0)
            lost.pop("passed", None)
            worst = sorted((k for k in lost if lost[k] > 0), key=lambda k: -lost[k])[:4]
            why = ", ".join(f"{k} {lost[k]}" for k in worst) or "none"
            raise InputError(
                f"Only {found} of {of} training clips have labels for {o.min_clip_share:.0%} of their joints; "
                f"at least {o.min_clips} are needed. Joints lost to the gates, of {total}: {why}.",
                "Record longer, check the calibration (large residuals point to it), or loosen the gates of "
                "PseudoLabelOptions.",
            )
        if len(self.val_clips) == 0:
            raise InputError(
                "No held-out clip has a label, so no epoch can be chosen.",
                "Record longer, raise val_fraction of PseudoLabelOptions, or check the calibration.",
            )

    # -- the loop ------------------------------------------------------------

    def train(self, progress: Progress | None) -> FinetuneResult:
        """All epochs that are left."""
        o = self.options
        if not self.history:
            self.history.append({"epoch": 0, **self._validate(self.module)})
            self._save()
        stopped = self._stop_reason()
        while stopped is None:
            begin = time.perf_counter()
            row = self._one_epoch()
            self.seconds += time.perf_counter() - begin
            self.epoch += 1
            self.history.append({"epoch": self.epoch, **row, "seconds": self.seconds})
            if row[f"val_{o.selection}"] < self.history[self.best_epoch][f"val_{o.selection}"]:
                self.best_epoch = self.epoch
                self.best = _cpu_state(self._judged())
            stopped = self._stop_reason()
            self._save()
            if progress is not None:
                now, start = row[f"val_{o.selection}"], self.history[0][f"val_{o.selection}"]
                progress(self.epoch, o.epochs, f"held-out {o.selection} {now:.4g}, at the start {start:.4g}")
        self.module.load_state_dict(self.best)
        self.module.eval()
        result = FinetuneResult(
            lifter=self.lifter, improved=self.best_epoch > 0, best_epoch=self.best_epoch,
            history=tuple(dict(row) for row in self.history), stopped=stopped,
            n_train_clips=len(self.train_clips), n_val_clips=len(self.val_clips), seconds=self.seconds,
            checkpoint_dir=self.folder, options=o,
        )  # fmt: skip
        if not result.improved:
            log.warning("fine-tuning did not improve on the held-out labels; the starting model is kept")
        write_json(self.folder / "result.json", result.summary())
        return result

    def _stop_reason(self) -> str | None:
        o = self.options
        if self.epoch >= o.epochs:
            return "epochs"
        if o.patience is not None and self.epoch - self.best_epoch >= o.patience:
            return "patience"
        if o.max_minutes is not None and self.seconds >= 60 * o.max_minutes:
            return "time"
        return None

    def _judged(self) -> torch.nn.Module:
        return self.module if self.average is None else self.average

    def _one_epoch(self) -> dict[str, float]:
        o = self.options
        generator = torch.Generator().manual_seed(_epoch_seed(o.seed, self.epoch))
        if self.replay is not None:
            self.replay.generator.manual_seed(_epoch_seed(o.seed + 1, self.epoch))
        lr = o.learning_rate(self.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        n_replay = int(round(o.replay_fraction * o.batch_size)) if self.replay is not None else 0
        n_own = max(o.batch_size - n_replay, 1)
        order = self._order(generator)
        total, count = 0.0, 0
        self.module.train()
        # Dropout draws from the global generator: fix its state, and give the caller's back.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_epoch_seed(o.seed + 2, self.epoch))
            for clips in order.split(n_own):
                batch = augment(self.train_clips.batch(clips), o, generator)
                if n_replay:
                    batch = Batch.cat([batch, self._replayed(n_replay)])
                total += self._step(batch) * len(clips)
                count += len(clips)
        return {"loss": total / count, "lr": lr, **self._validate(self._judged())}

    def _order(self, generator: torch.Generator) -> torch.Tensor:
        n = len(self.train_clips)
        wanted = self.options.clips_per_epoch or n
        rounds = math.ceil(wanted / n)
        return torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:wanted]

    def _replay_key(self, given: ReplaySource | None) -> str | None:
        """What the replayed data contribute to the identity of the run."""
        if self.replay is None:
            return None
        return repr(type(given)) if given is not None else hash_file(_replay_file(self.options))

    def _replayed(self, n: int) -> Batch:
        assert self.replay is not None
        r = self.replay.sample(n)
        made = {k: getattr(r, k).to(self.device) for k in ("xy", "score", "K", "image_size", "pose_cam_m")}
        weight = torch.ones_like(made["score"])
        return Batch(**made, weight=weight, up_cam=weight.new_zeros(n, 3))

    def _step(self, batch: Batch) -> float:
        o = self.options
        inputs, context = self.lifter.encode(batch.xy, batch.score, batch.K, batch.image_size)
        target = self.lifter.encode_targets(batch.pose_cam_m, context)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = self.module(inputs)
        loss = sports_pose_loss(outputs.float(), target, batch.weight, o.w_n, o.w_v)
        value = float(loss.detach())
        if not math.isfinite(value):
            path = save_npz(self.folder / "bad_batch.npz", **{k: v.cpu().numpy() for k, v in vars(batch).items()})
            raise SportcoreError(
                f"The loss became {value} in epoch {self.epoch + 1}.",
                f"The batch is in {path}; the epoch before is kept. Lower lr, or check the labels.",
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if o.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), o.gradient_clip)
        self.optimizer.step()
        self.steps += 1
        if self.average is not None:
            decay = min(o.ema, self.steps / (self.steps + 9))
            with torch.no_grad():
                for a, b in zip(self.average.parameters(), self.module.parameters(), strict=True):
                    a.lerp_(b, 1 - decay)
                for a, b in zip(self.average.buffers(), self.module.buffers(), strict=True):
                    a.copy_(b)
        return value

    @torch.no_grad()
    def _validate(self, module: torch.nn.Module) -> dict[str, float]:
        """Weighted errors on the held-out clips, flip-averaged as in use."""
        unit = 1000.0 if self.lifter.metric else 1.0
        judge = copy.copy(self.lifter)
        judge.module = module
        sums = dict.fromkeys(("mpjpe", "n_mpjpe", "pa_mpjpe", "velocity"), 0.0)
        total = 0.0
        n = len(self.val_clips)
        chosen = torch.arange(n) if n <= _MAX_VAL_CLIPS else torch.linspace(0, n - 1, _MAX_VAL_CLIPS).round().long()
        for clips in chosen.split(256):
            batch = self.val_clips.batch(clips)
            inputs, context = self.lifter.encode(batch.xy, batch.score, batch.K, batch.image_size)
            target = self.lifter.encode_targets(batch.pose_cam_m, context)
            pred = judge.predict(inputs, flip_average=True).float()
            p, y, w = (a.cpu().double().numpy() for a in (pred, target, batch.weight))
            for name, value in _errors(p, y, w).items():
                sums[name] += value * w.sum()
            total += float(w.sum())
        return {f"val_{name}": float(unit * value / max(total, 1e-12)) for name, value in sums.items()}

    # -- files ------------------------------------------------------------

    def _save(self) -> None:
        state = {
            "key": self.key, "epoch": self.epoch, "steps": self.steps, "seconds": self.seconds,
            "best_epoch": self.best_epoch, "history": self.history, "module": self.module.state_dict(),
            "average": None if self.average is None else self.average.state_dict(), "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        with atomic_path(self.folder / _STATE) as temporary:
            torch.save(state, temporary)
        lines = "".join(f"{_json_line(row)}\n" for row in self.history)
        write_text(self.folder / "metrics.jsonl", lines)

    def _load(self) -> None:
        path = self.folder / _STATE
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            log.warning("%s cannot be read (%s); training starts anew", path, error)
            return
        if not isinstance(state, dict) or state.get("key") != self.key:
            log.warning("%s belongs to another model, other labels or other options; training starts anew", path)
            return
        self.module.load_state_dict(state["module"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = {k: v.cpu() for k, v in state["best"].items()}
        self.epoch, self.steps, self.seconds = state["epoch"], state["steps"], state["seconds"]
        self.best_epoch, self.history = state["best_epoch"], [dict(row) for row in state["history"]]
        log.info("resumed %s after epoch %d", path, self.epoch)


def _errors(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, float]:
    """Weighted errors of (N, T, J, 3) root-relative poses, in their unit."""
    from sportcore.evaluation import umeyama

    used = w > 0
    p, y = np.where(used[..., None], p - p[..., :1, :], 0.0), np.where(used[..., None], y, 0.0)

    def mean(d: np.ndarray, weight: np.ndarray) -> float:
        return float((d * weight).sum() / max(weight.sum(), 1e-12))

    out = {"mpjpe": mean(np.linalg.norm(p - y, axis=-1), w)}
    own = (w[..., None] * p * p).sum((-1, -2))
    scale = (w[..., None] * p * y).sum((-1, -2)) / np.where(own > 0, own, 1.0)
    out["n_mpjpe"] = mean(np.linalg.norm(scale[..., None, None] * p - y, axis=-1), w)
    aligned = umeyama(np.where(used[..., None], p, np.nan), np.where(used[..., None], y, np.nan)).apply(p)
    fits = np.isfinite(aligned).all(-1) & used
    distance = np.linalg.norm(np.where(fits[..., None], aligned - y, 0.0), axis=-1)
    out["pa_mpjpe"] = mean(distance, w * fits)
    pair = np.minimum(w[:, 1:], w[:, :-1])
    out["velocity"] = mean(np.linalg.norm(np.diff(p, axis=1) - np.diff(y, axis=1), axis=-1), pair)
    return out


def _replay_file(options: FinetuneOptions) -> Path:
    from sportcore.datasets.mocap import shipped_motion

    return Path(options.replay_motion_file) if options.replay_motion_file else shipped_motion()


def _replay(lifter: Lifter, options: FinetuneOptions, replay: ReplaySource | None) -> ReplaySource | None:
    if options.replay_fraction == 0:
        return None
    if replay is None:
        from sportcore.datasets.mocap import load_mocap
        from sportcore.datasets.virtual import VirtualOptions, VirtualSampler

        motion = load_mocap(_replay_file(options))
        return VirtualSampler(motion, VirtualOptions(n_frames=lifter.n_frames))
    return replay


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _cpu_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}


def _digest(module: torch.nn.Module) -> str:
    return hash_arrays(**{k: v.cpu().numpy() for k, v in _cpu_state(module).items()})


def _json_line(row: dict[str, float]) -> str:
    import json

    return json.dumps({k: (v if math.isfinite(v) else None) for k, v in row.items()})

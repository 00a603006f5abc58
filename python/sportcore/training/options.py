"""Options of the fine-tuning: as published, or what held-out results favour."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sportcore.errors import InputError

__all__ = ["RECIPES", "FinetuneOptions"]


@dataclass(frozen=True)
class FinetuneOptions:
    """How a lifter is adapted to pseudo-labels.

    Attributes:
        recipe: name of the preset these values started from, for the record.
        epochs: number of epochs.
        batch_size: clips per step.
        lr: highest learning rate of AdamW.
        lr_decay: factor on the learning rate after each epoch.
        schedule: ``"exponential"``: lr * lr_decay^epoch; ``"cosine"``: from lr down to a hundredth of it at
            the last epoch.
        weight_decay: of AdamW.
        w_n: weight of the N-MPJPE term of the loss.
        w_v: weight of the velocity term of the loss, per frame.
        label_weights: use the labels' certainties; False counts every label fully.
        clip_stride: frames between the first frames of training clips; None: a third of a clip.
        clips_per_epoch: training clips drawn in an epoch, so that the time does not grow with the recording; with
            fewer clips an epoch goes over them several times. None: every clip once.
        flip_probability: share of the clips mirrored left to right.
        view_probability: share of the clips that are shown from a new virtual view: the labelled motion is
            turned about the vertical through the athlete, projected, and given the detector's own errors of
            that very clip.
        view_tilt_deg: standard deviation of the change of the camera's elevation in a virtual view.
        view_log_distance: standard deviation of the log of the change of distance in a virtual view.
        roll_deg: standard deviation of a rotation of picture and label about the optical axis.
        noise: standard deviation of extra 2D noise, as a share of the athlete's size in the picture.
        drop_probability: share of the 2D joints that are hidden.
        ema: decay of the averaged weights, which are then the ones that are judged and kept; 0 uses the last
            step's.
        replay_fraction: share of each batch drawn from the replay source, when one is given.
        gradient_clip: largest norm of the gradient; None: no limit.
        patience: stop after this many epochs without a better validation; None: never.
        selection: validation error that chooses the best epoch (on held-out pseudo-labels).
        min_clip_share: a clip counts as valid when this share of its joints has a label.
        min_clips: fewest valid training clips.
        max_minutes: training stops after the epoch that reaches this time, and the best so far is kept. None:
            no limit.
        bf16: compute the network in bfloat16 while training; None: where the processor is fast at it. Weights, loss
            and validation stay in float32.
        replay_motion_file: motion-capture file (see ``datasets.load_mocap``) whose virtual recordings are replayed
            when no replay source is passed to :func:`sportcore.training.finetune`; None: the motion that ships with the
            package.
        threads: torch threads on a CPU; None: half of the processors. Networks of this size gain little from more, and
            threads that wait for a processor that something else uses cost ten times what they bring.
        seed: of order and augmentation.
    """

    recipe: str = "sportcore"
    epochs: int = 30
    batch_size: int = 32
    lr: float = 1e-3
    lr_decay: float = 0.99
    schedule: Literal["exponential", "cosine"] = "cosine"
    weight_decay: float = 0.01
    w_n: float = 0.5
    w_v: float = 20.0
    label_weights: bool = True
    clip_stride: int | None = 3
    clips_per_epoch: int | None = 1024
    flip_probability: float = 0.5
    view_probability: float = 0.5
    view_tilt_deg: float = 5.0
    view_log_distance: float = 0.15
    roll_deg: float = 2.0
    noise: float = 0.0
    drop_probability: float = 0.02
    ema: float = 0.98
    replay_fraction: float = 0.33
    gradient_clip: float | None = 1.0
    patience: int | None = None
    selection: Literal["mpjpe", "n_mpjpe", "pa_mpjpe"] = "mpjpe"
    min_clip_share: float = 0.3
    min_clips: int = 8
    max_minutes: float | None = None
    bf16: bool | None = None
    replay_motion_file: str | None = None
    threads: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        at_least = {"epochs": 1, "batch_size": 1, "min_clips": 1}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        for name in ("lr",):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}.")
        for name in ("flip_probability", "view_probability", "drop_probability", "min_clip_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
        for name in ("weight_decay", "w_n", "w_v", "noise", "roll_deg", "view_tilt_deg", "view_log_distance"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("ema", "replay_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)}.")
        if not 0 < self.lr_decay <= 1:
            raise InputError(f"lr_decay must lie in (0, 1], got {self.lr_decay}.")
        for name in ("clip_stride", "clips_per_epoch", "patience", "max_minutes", "gradient_clip", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive or None, got {value}.")
        if self.schedule not in ("exponential", "cosine"):
            raise InputError(f"schedule must be 'exponential' or 'cosine', got {self.schedule!r}.")
        if self.selection not in ("mpjpe", "n_mpjpe", "pa_mpjpe"):
            raise InputError(f"selection must be 'mpjpe', 'n_mpjpe' or 'pa_mpjpe', got {self.selection!r}.")

    @classmethod
    def from_recipe(cls, name: str, **changes: Any) -> FinetuneOptions:
        """A preset with some values changed.

        ``"published"``: the optimiser, loss, clips and augmentation of Suzuki et al. (CVPRW 2024) for their
        runners. ``"sportcore"``: the defaults of this class.

        Raises:
            InputError: an unknown recipe or option.
        """
        if name not in RECIPES:
            raise InputError(f"Unknown recipe {name!r}.", f"Use one of {', '.join(RECIPES)}.")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise InputError(f"Unknown option {', '.join(unknown)}.", f"There are: {', '.join(sorted(known))}.")
        return replace(RECIPES[name], **changes)

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if self.schedule == "exponential":
            return float(self.lr * self.lr_decay**epoch)
        from math import cos, pi

        return float(self.lr * (0.01 + 0.99 * 0.5 * (1 + cos(pi * epoch / self.epochs))))


RECIPES: dict[str, FinetuneOptions] = {
    "sportcore": FinetuneOptions(),
    "published": FinetuneOptions(
        recipe="published", epochs=100, batch_size=16, lr=5e-4, lr_decay=0.99, schedule="exponential",
        weight_decay=0.01, label_weights=False, clip_stride=None, clips_per_epoch=None, flip_probability=0.5,
        view_probability=0.0, view_tilt_deg=0.0, view_log_distance=0.0, roll_deg=0.0, noise=0.0,
        drop_probability=0.0, bf16=False,
        ema=0.0, replay_fraction=0.0, gradient_clip=None, min_clip_share=0.0, min_clips=1,
    ),
}  # fmt: skip
"""Presets by name."""

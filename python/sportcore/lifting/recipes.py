"""Training recipes: what made the shipped weights, and what is ready for a machine with a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from ..datasets.virtual import VirtualOptions
from ..errors import InputError
from .compact import CompactConfig
from .motionagformer import SIZES
from .pretrain import PretrainOptions

__all__ = ["RECIPES", "MotionAGFormerRecipe", "motionagformer", "recipe"]

_SPORT_WEIGHTS = {"running": 4.0, "soccer": 3.0, "basketball": 2.0, "dance": 2.0}
_BASE = CompactConfig(width=384, hidden=768, depth=3)


RECIPES: dict[str, PretrainOptions] = {
    "base": PretrainOptions(group_weights=_SPORT_WEIGHTS, network=_BASE),
    "base-daily": PretrainOptions(groups=("daily",), hold_out_every=8, network=_BASE),
}
"""Recipes of the compact lifter by name: ``base`` learns from every clip and ships with the package, ``base-daily``
from *daily* clips only, for benchmarks on unseen sports."""


@dataclass(frozen=True)
class MotionAGFormerRecipe:
    """Training of a MotionAGFormer on the same virtual recordings, for a machine with a GPU.

    AdamW at 5e-4 with weight decay 0.01, batches of 16 and the loss MPJPE + 0.5 N-MPJPE + 20 velocity are the
    published settings (Suzuki et al., CVPRW 2024; Mehraban et al., WACV 2024). With generated data there are no
    epochs: ``decay`` applies every ``decay_every`` clips, about one published epoch on Human3.6M. Larger batches
    fill a GPU; the learning rate stays, the warm-up guards the start.

    Attributes:
        size: published size.
        virtual: variation, cameras and noise.
        batch_size: clips per step.
        clips: clips to draw in all; the network needs millions.
        lr: learning rate.
        decay: factor on the learning rate.
        decay_every: clips between decays.
        weight_decay: of AdamW.
        w_n: weight of the N-MPJPE term.
        w_v: weight of the velocity term.
        flip: mirrored clips are drawn by the sampler itself.
    """

    size: str
    virtual: VirtualOptions
    batch_size: int = 256
    clips: int = 10_000_000
    lr: float = 5e-4
    decay: float = 0.99
    decay_every: int = 150_000
    weight_decay: float = 0.01
    w_n: float = 0.5
    w_v: float = 20.0
    flip: bool = True


def motionagformer(size: str = "xs") -> MotionAGFormerRecipe:
    """The recipe for a published size.

    Raises:
        InputError: no such size.
    """
    if size not in SIZES:
        raise InputError(f"No MotionAGFormer of size {size!r}.", f"Sizes: {', '.join(SIZES)}.")
    return MotionAGFormerRecipe(size, VirtualOptions(n_frames=SIZES[size].n_frames))


def recipe(name: str) -> PretrainOptions:
    """A recipe of the compact lifter by name.

    Raises:
        InputError: no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"No training recipe {name!r}.", f"Recipes: {', '.join(RECIPES)}.")
    return RECIPES[name]

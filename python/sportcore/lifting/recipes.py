"""Training recipes: what made the shipped weights, and what is ready for a machine with a GPU."""

from __future__ import annotations

from ..datasets.virtual import VirtualOptions
from ..errors import InputError
from .compact import CompactConfig
from .motionagformer import SIZES
from .pretrain import PretrainOptions

__all__ = ["RECIPES", "recipe"]

_SPORT_WEIGHTS = {"running": 4.0, "soccer": 3.0, "basketball": 2.0, "dance": 2.0}
_BASE = CompactConfig()


def _motionagformer(size: str, batch_size: int, steps: int) -> PretrainOptions:
    """AdamW, 5e-4, weight decay 0.01 and the loss weights 0.5 and 20 are the published settings (Mehraban et al., WACV
    2024; Suzuki et al., CVPRW 2024). Published batches of 16 leave a GPU idle: here they are larger, with a warm-up and
    a cosine over generated clips instead of epochs over a fixed set.
    """
    network = SIZES[size]
    return PretrainOptions(
        group_weights=_SPORT_WEIGHTS,
        virtual=VirtualOptions(n_frames=network.n_frames),
        network=network,
        batch_size=batch_size,
        steps=steps,
        lr=5e-4,
        weight_decay=0.01,
        w_v=20.0,
        device="cuda",
    )


RECIPES: dict[str, PretrainOptions] = {
    "base": PretrainOptions(group_weights=_SPORT_WEIGHTS, network=_BASE),
    "base-daily": PretrainOptions(
        groups=("daily",),
        hold_out_every=8,
        virtual=VirtualOptions(proportions=0.0, height_m=(0.2, 3.5), rolled=0.0),
        network=_BASE,
    ),
    "motionagformer-xs": _motionagformer("xs", 256, 40_000),
    "motionagformer-s": _motionagformer("s", 128, 80_000),
}
"""Recipes by name. The compact lifter: ``base`` learns from every clip and ships with the package, ``base-daily`` from
*daily* clips only, for benchmarks on unseen sports. MotionAGFormer XS and S: for a machine with a GPU (a two-core CPU
sees 13 clips a second of XS, which needs millions)."""


def recipe(name: str) -> PretrainOptions:
    """A recipe by name; change options with ``dataclasses.replace``.

    Raises:
        InputError: no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"No training recipe {name!r}.", f"Recipes: {', '.join(RECIPES)}.")
    return RECIPES[name]

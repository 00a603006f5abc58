"""Training: the pseudo-label loss, fine-tuning of a lifter, and the loop around it. Needs the extra
``train``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .options import RECIPES, FinetuneOptions

if TYPE_CHECKING:
    from .adapt import FinetuneResult, finetune
    from .losses import sports_pose_loss
    from .selftrain import SelfTrainOptions, SelfTrainResult, Stages, held_out_errors, self_train

# Everything that needs torch, or another stage, is loaded on first use.
_LAZY = {
    "FinetuneResult": "adapt",
    "finetune": "adapt",
    "sports_pose_loss": "losses",
    "SelfTrainOptions": "selftrain",
    "SelfTrainResult": "selftrain",
    "Stages": "selftrain",
    "held_out_errors": "selftrain",
    "self_train": "selftrain",
}

__all__ = [
    "RECIPES",
    "FinetuneOptions",
    "FinetuneResult",
    "SelfTrainOptions",
    "SelfTrainResult",
    "Stages",
    "finetune",
    "held_out_errors",
    "self_train",
    "sports_pose_loss",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

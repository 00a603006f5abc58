"""Monocular lifters: 2D keypoints of one camera to root-relative 3D joints.

Two families behind one interface: a compact lifter of our own, in metres, whose base weights ship with the package,
and MotionAGFormer in its four published sizes, which loads official checkpoints. PyTorch is needed (extra ``train``)
and imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Loaded on first use: name -> submodule.
_LAZY = {
    "CompactConfig": "compact",
    "CompactLifter": "compact",
    "Lifter": "lifter",
    "MotionAGFormer": "motionagformer",
    "MotionAGFormerConfig": "motionagformer",
    "MotionAGFormerLifter": "image_space",
    "PretrainOptions": "pretrain",
    "PretrainResult": "pretrain",
    "RayLifter": "lifter",
    "load_lifter": "files",
    "recipes": "recipes",
}

if TYPE_CHECKING:
    from . import recipes
    from .compact import CompactConfig, CompactLifter
    from .files import load_lifter
    from .image_space import MotionAGFormerLifter
    from .lifter import Lifter, RayLifter
    from .motionagformer import MotionAGFormer, MotionAGFormerConfig
    from .pretrain import PretrainOptions, PretrainResult

__all__ = [
    "CompactConfig",
    "CompactLifter",
    "Lifter",
    "MotionAGFormer",
    "MotionAGFormerConfig",
    "MotionAGFormerLifter",
    "PretrainOptions",
    "PretrainResult",
    "RayLifter",
    "load_lifter",
    "recipes",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_LAZY[name]}", __name__)
    value = module if name == _LAZY[name] == "recipes" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

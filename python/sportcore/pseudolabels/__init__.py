"""Pseudo-labels: what a monocular lifter should have said, from several cameras that saw the same motion."""

from __future__ import annotations

from .labels import PseudoLabels
from .make import make_pseudolabels
from .options import PseudoLabelOptions
from .smooth import whittaker_smooth
from .split import Part, blocks, clip_starts, split_time

__all__ = [
    "Part",
    "PseudoLabelOptions",
    "PseudoLabels",
    "blocks",
    "clip_starts",
    "make_pseudolabels",
    "split_time",
    "whittaker_smooth",
]

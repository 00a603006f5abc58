"""Whom to follow among several people, shared by the top-down backends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Box", "box_of_points", "pick"]


@dataclass(frozen=True)
class Box:
    """An upright rectangle around a person, in px.

    Attributes:
        centre: (x, y).
        width, height: side lengths.
        score: in [0, 1].
        angle: clockwise lean of the person in radians (0 = upright), where it is known.
    """

    centre: tuple[float, float]
    width: float
    height: float
    score: float = 1.0
    angle: float = 0.0

    @property
    def area(self) -> float:
        """Area in px squared."""
        return self.width * self.height

    @staticmethod
    def from_corners(corners: np.ndarray, score: float = 1.0) -> Box:
        """From x0, y0, x1, y1."""
        x0, y0, x1, y1 = (float(v) for v in corners)
        return Box(((x0 + x1) / 2, (y0 + y1) / 2), x1 - x0, y1 - y0, score)


def box_of_points(xy: np.ndarray, score: np.ndarray, min_score: float) -> Box | None:
    """Rectangle around the joints that were found; None where fewer than three were."""
    good = np.isfinite(xy).all(axis=-1) & (score >= min_score)
    if good.sum() < 3:
        return None
    low, high = xy[good].min(axis=0), xy[good].max(axis=0)
    return Box.from_corners(np.concatenate([low, high]), float(score[good].mean()))


def pick(boxes: list[Box], last: Box | None, select: str, image_size: tuple[int, int]) -> list[Box]:
    """Boxes in the order in which to try them.

    With ``last``, the person followed so far, those near it come first, nearest first. Otherwise ``select`` decides:
    ``"largest"``, ``"best"`` or ``"central"``.
    """
    if last is not None:
        reach = max(last.width, last.height)
        near = [b for b in boxes if math.dist(b.centre, last.centre) < reach]
        if near:
            return sorted(near, key=lambda b: math.dist(b.centre, last.centre))
    middle = (image_size[0] / 2.0, image_size[1] / 2.0)
    keys = {
        "largest": lambda b: -b.area,
        "best": lambda b: -b.score,
        "central": lambda b: math.dist(b.centre, middle),
    }
    return sorted(boxes, key=keys[select])

"""BlazePose's person detector: where people are, and which way is up for each of them.

A single-shot detector on a 224x224 letterboxed image with 2254 anchors. Besides a box it gives four points per
person; the first is the middle of the hips, the second lies on the circle around the whole body, above the hips
(Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose Tracking", section 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sportcore.errors import WeightsError
from sportcore.keypoints2d.regions import Letterbox, Region
from sportcore.keypoints2d.runtime import load_network

__all__ = ["Person", "PersonDetector", "anchors"]

INPUT_SIZE = 224
STRIDES = (8, 16, 32, 32, 32)


def anchors() -> np.ndarray:
    """(2254, 2) anchor centres in [0, 1]: two per cell and layer, cells row by row, layers of equal stride merged."""
    layers = []
    done: list[int] = []
    for stride in STRIDES:
        if stride in done:
            continue
        done.append(stride)
        per_cell = 2 * STRIDES.count(stride)
        n = -(-INPUT_SIZE // stride)
        line = (np.arange(n) + 0.5) / n
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(layers)


@dataclass(frozen=True)
class Person:
    """One detected person.

    Attributes:
        score: in [0, 1].
        box: (x0, y0, x1, y1) px around the head and shoulders, as the network was taught.
        points: (4, 2) px: mid-hip, rim of the body's circle, mid-shoulder, rim of the upper body's circle.
    """

    score: float
    box: tuple[float, float, float, float]
    points: np.ndarray

    @property
    def region(self) -> Region:
        """Square around the whole body, turned so that the body stands upright in it."""
        return Region.from_two_points(self.points[0], self.points[1])


class PersonDetector:
    """Finds people in an RGB image.

    Args:
        path: the TFLite file (``blazepose-person`` of :mod:`sportcore.weights`).
        min_score: a detection below this is not a person.
        max_overlap: detections whose boxes overlap more (intersection over union) are one person.
        num_threads: threads of the engine.

    Raises:
        WeightsError: the file is not this network.
    """

    def __init__(
        self, path: str | Path, *, min_score: float = 0.5, max_overlap: float = 0.3, num_threads: int | None = None
    ) -> None:
        self._network = load_network(path, num_threads=num_threads)
        self._anchors = anchors()
        shapes = list(self._network.output_shapes)
        n = len(self._anchors)
        if self._network.input_shape != (1, INPUT_SIZE, INPUT_SIZE, 3) or {(1, n, 12), (1, n, 1)} != set(shapes):
            raise WeightsError(
                f"{path} is not BlazePose's person detector (input {self._network.input_shape}, outputs {shapes}).",
                "Fetch it with: sportcore weights fetch blazepose-person",
            )
        self._boxes, self._logits = shapes.index((1, n, 12)), shapes.index((1, n, 1))
        self.min_score = min_score
        self.max_overlap = max_overlap

    def detect(self, image_rgb: np.ndarray, window: tuple[int, int, int, int] | None = None) -> list[Person]:
        """People in the image, best first.

        Args:
            image_rgb: (H, W, 3) uint8.
            window: look only into these pixels (x0, y0, x1, y1).
        """
        height, width = image_rgb.shape[:2]
        box = Letterbox.around(window or (0, 0, width, height))
        cut = box.cut(image_rgb, INPUT_SIZE).astype(np.float32) / 127.5 - 1.0
        outputs = self._network(cut[None])
        scores = 1.0 / (1.0 + np.exp(-np.clip(outputs[self._logits][0, :, 0].astype(float), -50, 50)))
        keep = np.flatnonzero(scores >= self.min_score)
        if len(keep) == 0:
            return []
        values, people = decode(outputs[self._boxes][0, keep].astype(float), self._anchors[keep]), []
        for score, value in merge(values, scores[keep], self.max_overlap):
            points = box.to_image(value[4:].reshape(4, 2))
            centre, half = box.to_image(value[:2]), 0.5 * value[2:4] * box.size
            corners = np.concatenate([centre - half, centre + half])
            people.append(Person(score, tuple(corners.tolist()), points))
        return people

    def detect_small(self, image_rgb: np.ndarray) -> list[Person]:
        """People too small for one look at the whole image, best first.

        A person below about a fifth of the image is too small for the 224 px input. Overlapping tiles of a half,
        then of a quarter of the longer side are searched; the first size that shows somebody ends the search.
        """
        height, width = image_rgb.shape[:2]
        for part in (2, 4):
            found: list[Person] = []
            for window in tiles(width, height, -(-max(width, height) // part)):
                found += self.detect(image_rgb, window)
            if found:
                return _distinct(found, self.max_overlap)
        return []


def tiles(width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
    """Square windows of about ``side`` px that cover the image with at least a third of overlap."""

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        n = -(-(length - side) * 3 // (2 * side)) + 1
        return [round(i * (length - side) / (n - 1)) for i in range(n)]

    return [(x, y, min(x + side, width), min(y + side, height)) for y in starts(height) for x in starts(width)]


def decode(raw: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Network output (N, 12), px relative to the anchors, to (N, 12) in [0, 1]: x, y, w, h and four points."""
    out = raw / INPUT_SIZE
    for column in (0, 4, 6, 8, 10):
        out[:, column : column + 2] += centres
    return out


def merge(values: np.ndarray, scores: np.ndarray, max_overlap: float) -> list[tuple[float, np.ndarray]]:
    """Weighted non-maximum suppression: overlapping detections become their score-weighted mean, best first."""
    boxes = np.concatenate([values[:, :2] - values[:, 2:4] / 2, values[:, :2] + values[:, 2:4] / 2], axis=1)
    left = np.argsort(-scores, kind="stable")
    out = []
    while len(left):
        same = overlap(boxes[left[0]], boxes[left]) > max_overlap
        same[0] = True
        group = left[same]
        out.append((float(scores[left[0]]), np.average(values[group], axis=0, weights=scores[group])))
        left = left[~same]
    return out


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one (4,) with many (N, 4) boxes x0, y0, x1, y1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - common
    return common / np.maximum(areas, 1e-12)


def _distinct(people: list[Person], max_overlap: float) -> list[Person]:
    """The best of each group of detections of one person seen in several tiles."""
    out: list[Person] = []
    for person in sorted(people, key=lambda p: -p.score):
        if not out:
            out.append(person)
            continue
        others = np.array([p.box for p in out])
        near = [np.hypot(*(person.points[0] - p.points[0])) < 0.25 * p.region.size for p in out]
        if overlap(np.array(person.box), others).max() <= max_overlap and not any(near):
            out.append(person)
    return out

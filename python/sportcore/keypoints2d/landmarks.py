"""BlazePose's landmark network: 33 joints, world landmarks and a mask from one rotated 256x256 crop.

The two extra pairs of landmarks that steer the tracking (33: middle of the hips, 34: rim of the body's circle) are
regressed with the joints (Bazarevsky et al. 2020, "BlazePose"; Grishchenko et al. 2022, "BlazePose GHUM Holistic").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sportcore.errors import WeightsError
from sportcore.keypoints2d.regions import Region
from sportcore.keypoints2d.runtime import load_network
from sportcore.skeletons import BLAZEPOSE33

__all__ = ["LandmarkNet", "Landmarks", "refine"]

CROP_SIZE = 256
N_LANDMARKS, N_JOINTS = 39, 33  # the points that are no joints say where the person is
HEAT_SIZE = 64
_MIRROR = np.concatenate([np.asarray(BLAZEPOSE33.flip_permutation), np.arange(33, N_LANDMARKS)])


@dataclass(frozen=True)
class Landmarks:
    """What the network says about one crop.

    Attributes:
        presence: probability in [0, 1] that a person is in the crop.
        xy: (39, 2) px in the image.
        visibility: (39,) probability that the joint is seen, not hidden.
        inside: (39,) probability that the joint lies inside the crop.
        world_m: (39, 3) metres about the middle of the hips; axes x right, y down, z away from the camera.
        mask_logits: (256, 256) person mask in the crop, or None.
        region: where the crop was taken.
    """

    presence: float
    xy: np.ndarray
    visibility: np.ndarray
    inside: np.ndarray
    world_m: np.ndarray
    mask_logits: np.ndarray | None
    region: Region

    @property
    def next_region(self) -> Region:
        """Region of the same person that the landmarks themselves point to."""
        return Region.from_two_points(self.xy[33], self.xy[34])

    def in_view(self, shape: tuple[int, ...]) -> int:
        """Joints that lie in an image (height, width, ...) and are believed in; who has walked out has none."""
        xy = self.xy[:N_JOINTS]
        inside = (xy >= 0).all(axis=-1) & (xy[:, 0] <= shape[1] - 1) & (xy[:, 1] <= shape[0] - 1)
        return int(np.sum(inside & ((self.visibility * self.inside)[:N_JOINTS] > 0.3)))


class LandmarkNet:
    """Runs ``pose_landmark_{lite,full,heavy}`` on a region of an image.

    Args:
        path: TFLite file, or the same network converted to ONNX (input NHWC).
        num_threads: threads of the engine.

    Raises:
        WeightsError: the file is not this network.
    """

    def __init__(self, path: str | Path, *, num_threads: int | None = None) -> None:
        self._network = load_network(path, num_threads=num_threads)
        wanted = {
            "landmarks": (N_LANDMARKS * 5,), "presence": (1,), "mask": (CROP_SIZE, CROP_SIZE, 1),
            "heat": (HEAT_SIZE, HEAT_SIZE, N_LANDMARKS), "world": (N_LANDMARKS * 3,),
        }  # fmt: skip
        shapes = self._shapes()
        if self._network.input_shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or set(shapes) != set(wanted.values()):
            raise WeightsError(
                f"{path} is not a BlazePose landmark network (input {self._network.input_shape}, outputs {shapes}).",
                "Fetch one with: sportcore weights fetch blazepose-heavy",
            )
        self._at = {name: shapes.index(shape) for name, shape in wanted.items()}

    def _shapes(self) -> list[tuple[int | None, ...]]:
        """Output shapes without the batch; a converted file that leaves them open is asked with a black crop."""
        shapes = [tuple(s[1:]) for s in self._network.output_shapes]
        if self._network.input_shape[1:] == (CROP_SIZE, CROP_SIZE, 3) and any(n is None for s in shapes for n in s):
            answers = self._network(np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.float32))
            shapes = [tuple(a.shape[1:]) for a in answers]
        return shapes

    def __call__(
        self, image_rgb: np.ndarray, region: Region, *, with_mask: bool = False, mirror: bool = False
    ) -> Landmarks:
        """Landmarks of the person in ``region`` of an RGB uint8 image.

        Args:
            image_rgb: (H, W, 3) uint8.
            region: where the person is.
            with_mask: also keep the mask.
            mirror: show the network the mirrored crop; the result is mirrored back, left and right included.
        """
        crop = region.cut(image_rgb, CROP_SIZE).astype(np.float32) / 255.0
        outputs = self._network((crop[:, ::-1] if mirror else crop)[None])
        raw = outputs[self._at["landmarks"]].reshape(N_LANDMARKS, 5).astype(float)
        xy = refine(raw[:, :2], outputs[self._at["heat"]][0])
        world = outputs[self._at["world"]].reshape(N_LANDMARKS, 3).astype(float)
        mask = outputs[self._at["mask"]][0, :, :, 0] if with_mask else None
        if mirror:
            raw, xy, world = raw[_MIRROR], xy[_MIRROR], world[_MIRROR]
            xy[:, 0] = CROP_SIZE - xy[:, 0]
            world[:, 0] = -world[:, 0]
            mask = None if mask is None else mask[:, ::-1]
        cos, sin = np.cos(region.angle), np.sin(region.angle)
        turned = world.copy()
        turned[:, 0] = cos * world[:, 0] - sin * world[:, 1]
        turned[:, 1] = sin * world[:, 0] + cos * world[:, 1]
        return Landmarks(
            presence=float(outputs[self._at["presence"]].reshape(-1)[0]),
            xy=region.to_image(xy, CROP_SIZE),
            visibility=_sigmoid(raw[:, 3]),
            inside=_sigmoid(raw[:, 4]),
            world_m=turned,
            mask_logits=None if mask is None else mask.copy(),
            region=region,
        )


def refine(xy: np.ndarray, heat_logits: np.ndarray, *, radius: int = 3, min_peak: float = 0.5) -> np.ndarray:
    """Sharpen landmarks with their heat maps.

    Each landmark becomes the mean of the (2 radius + 1)^2 cells around it, weighted by the sigmoid of the heat map,
    where the highest of these weights reaches ``min_peak``.

    Args:
        xy: (L, 2) continuous crop coordinates in [0, 256].
        heat_logits: (64, 64, L).
        radius: half width of the window in cells.
        min_peak: below this the regressed position stays.

    Returns:
        (L, 2) in the same coordinates.
    """
    height, width, n = heat_logits.shape
    cell = CROP_SIZE / width
    out = xy.copy()
    col, row = np.floor(xy[:, 0] / cell).astype(int), np.floor(xy[:, 1] / cell).astype(int)
    step = np.arange(-radius, radius + 1)
    cols, rows = col[:, None] + step, row[:, None] + step
    ok_c, ok_r = (cols >= 0) & (cols < width), (rows >= 0) & (rows < height)
    picked = heat_logits[
        np.clip(rows, 0, height - 1)[:, :, None], np.clip(cols, 0, width - 1)[:, None, :], np.arange(n)[:, None, None]
    ]
    weight = _sigmoid(picked.astype(float)) * (ok_r[:, :, None] & ok_c[:, None, :])
    centre_inside = (col >= 0) & (col < width) & (row >= 0) & (row < height)
    good = (weight.max(axis=(1, 2)) >= min_peak) & centre_inside
    total = np.maximum(weight.sum(axis=(1, 2)), 1e-12)
    x = (weight.sum(axis=1) * cols).sum(axis=1) / total
    y = (weight.sum(axis=2) * rows).sum(axis=1) / total
    out[good, 0], out[good, 1] = x[good] * cell, y[good] * cell
    return out


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -50.0, 50.0)))

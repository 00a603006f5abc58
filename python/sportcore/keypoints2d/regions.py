"""Square, rotated regions of an image, and the crops that networks look at.

Image coordinates are pixels with the centre of the upper-left pixel at (0, 0). Crop coordinates are continuous: the
crop spans [0, N] and the centre of its first pixel is at 0.5, as the BlazePose networks count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Region", "Letterbox"]


@dataclass(frozen=True)
class Region:
    """A square of an image, turned about its centre.

    Attributes:
        centre: (x, y) px.
        size: side length in px.
        angle: clockwise turn in radians as seen on the screen; at angle a the crop's "up" is (sin a, -cos a).
    """

    centre: tuple[float, float]
    size: float
    angle: float = 0.0

    @staticmethod
    def from_two_points(centre: np.ndarray, rim: np.ndarray, scale: float = 1.25) -> Region:
        """BlazePose's region: ``centre`` (mid-hip), ``rim`` on the circle around the body, above the centre.

        Half the size is the distance of the two points times ``scale``; the turn makes the line from centre to rim
        point up (Bazarevsky et al. 2020, "BlazePose", section 2.2).
        """
        dx, dy = float(rim[0] - centre[0]), float(rim[1] - centre[1])
        return Region((float(centre[0]), float(centre[1])), 2.0 * scale * math.hypot(dx, dy), math.atan2(dx, -dy))

    def image_from_crop(self, crop_size: int) -> np.ndarray:
        """(2, 3) affine map from continuous crop coordinates in [0, crop_size] to image px."""
        step = self.size / crop_size
        cos, sin = math.cos(self.angle) * step, math.sin(self.angle) * step
        half = crop_size / 2.0
        x, y = self.centre
        return np.array([[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]])

    def crop_from_image(self, crop_size: int) -> np.ndarray:
        """(2, 3) affine map from image px to continuous crop coordinates."""
        return np.asarray(cv2.invertAffineTransform(self.image_from_crop(crop_size)))

    def to_image(self, points: np.ndarray, crop_size: int) -> np.ndarray:
        """Map continuous crop coordinates (..., 2) to image px."""
        affine = self.image_from_crop(crop_size)
        return points @ affine[:, :2].T + affine[:, 2]

    def cut(self, image: np.ndarray, crop_size: int) -> np.ndarray:
        """(crop_size, crop_size, 3) crop, bilinear as in training; outside the image its border is continued."""
        return cut_affine(image, self.image_from_crop(crop_size), (crop_size, crop_size), cv2.BORDER_REPLICATE)

    def corners(self) -> np.ndarray:
        """(4, 2) corners in px: upper left, upper right, lower right, lower left of the crop."""
        return self.to_image(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), 1)


def cut_affine(
    image: np.ndarray, image_from_crop: np.ndarray, crop_size: tuple[int, int], border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """Crop of (width, height) ``crop_size`` px through an affine map from continuous crop coordinates to image px."""
    # Pixel i of the crop has its centre at i + 0.5.
    pixels = image_from_crop.copy()
    pixels[:, 2] += 0.5 * (pixels[:, 0] + pixels[:, 1])
    return cv2.warpAffine(image, pixels, crop_size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


@dataclass(frozen=True)
class Letterbox:
    """The whole image (or an upright rectangle of it) inside a square network input, the rest black.

    Attributes:
        origin: upper-left corner (x, y) of the square in continuous image coordinates (pixel edges, not centres).
        size: side length of the square in px.
        window: (x0, y0, x1, y1) pixels of the image that are shown.
    """

    origin: tuple[float, float]
    size: float
    window: tuple[int, int, int, int]

    @staticmethod
    def around(window: tuple[int, int, int, int]) -> Letterbox:
        """The smallest centred square around a rectangle of the image."""
        x0, y0, x1, y1 = window
        size = float(max(x1 - x0, y1 - y0))
        return Letterbox(((x0 + x1 - size) / 2.0, (y0 + y1 - size) / 2.0), size, window)

    def cut(self, image: np.ndarray, out_size: int) -> np.ndarray:
        """(out_size, out_size, 3) input, black outside the window."""
        x0, y0, x1, y1 = self.window
        scale = out_size / self.size
        width, height = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
        shrunk = cv2.resize(image[y0:y1, x0:x1], (width, height), interpolation=cv2.INTER_AREA)
        out = np.zeros((out_size, out_size, image.shape[2]), image.dtype)
        left, top = (out_size - width) // 2, (out_size - height) // 2
        out[top : top + height, left : left + width] = shrunk
        return out

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map (..., 2) in [0, 1] of the square to image px."""
        return points * self.size + np.asarray(self.origin) - 0.5

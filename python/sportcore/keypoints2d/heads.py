"""Reading joints out of what top-down networks give: SimCC vectors or heat maps.

Positions are pixel indices of the network's input (centre of its first pixel at 0).
"""

from __future__ import annotations

import numpy as np

__all__ = ["decode_heatmaps", "decode_simcc"]


def decode_simcc(x: np.ndarray, y: np.ndarray, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Joints from two vectors per joint, one over x and one over y (Li et al. 2022, "SimCC").

    The highest bin, sharpened by the parabola through it and its neighbours in the logarithm (exact for a Gaussian).

    Args:
        x: (J, k * W) and
        y: (J, k * H) for an input of (W, H) px, k bins per pixel.
        input_size: (W, H).

    Returns:
        (J, 2) px of the input, and (J,) the smaller of the two peaks, clipped to [0, 1].
    """
    bin_x, peak_x = _peak(x)
    bin_y, peak_y = _peak(y)
    xy = np.stack([bin_x * input_size[0] / x.shape[1], bin_y * input_size[1] / y.shape[1]], axis=-1)
    return xy, np.clip(np.minimum(peak_x, peak_y), 0.0, 1.0)


def decode_heatmaps(maps: np.ndarray, input_size: tuple[int, int], *, udp: bool) -> tuple[np.ndarray, np.ndarray]:
    """Joints from one heat map per joint.

    The highest cell, sharpened per axis by the parabola through it and its neighbours in the logarithm, as in
    DARK (Zhang et al. 2020) with a diagonal Hessian.

    Args:
        maps: (J, h, w).
        input_size: (W, H) px of the network's input.
        udp: the map's first and last cell lie on the input's first and last pixel (Huang et al. 2020, "UDP";
            ViTPose); otherwise cell i lies on pixel i W / w.

    Returns:
        (J, 2) px of the input, and (J,) peaks clipped to [0, 1].
    """
    n, height, width = maps.shape
    flat = maps.reshape(n, -1)
    best = flat.argmax(axis=1)
    row, col = np.divmod(best, width)
    each = np.arange(n)
    x = col + _parabola(maps[each, row], col)
    y = row + _parabola(maps[each, :, col], row)
    if udp:
        scale = ((input_size[0] - 1) / max(width - 1, 1), (input_size[1] - 1) / max(height - 1, 1))
    else:
        scale = (input_size[0] / width, input_size[1] / height)
    return np.stack([x * scale[0], y * scale[1]], axis=-1), np.clip(flat[each, best], 0.0, 1.0)


def _peak(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = rows.argmax(axis=1)
    return best + _parabola(rows, best), rows[np.arange(len(rows)), best]


def _parabola(rows: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Offset in [-0.5, 0.5] of the true peak from the highest bin of each row (N, L)."""
    each = np.arange(len(rows))
    inner = (best > 0) & (best < rows.shape[1] - 1)
    left = rows[each, np.maximum(best - 1, 0)].astype(float)
    middle = rows[each, best].astype(float)
    right = rows[each, np.minimum(best + 1, rows.shape[1] - 1)].astype(float)
    usable = inner & (np.minimum(left, right) > 1e-6)
    a, b, c = (np.log(np.where(usable, v, 1.0)) for v in (left, middle, right))
    bend = a - 2 * b + c
    usable &= bend < -1e-9
    return np.where(usable, np.clip(0.5 * (a - c) / np.where(usable, bend, 1.0), -0.5, 0.5), 0.0)

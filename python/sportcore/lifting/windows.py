"""Splitting a recording into windows of fixed length, and joining what a network says about each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["join_windows", "split_windows", "window_weights"]


def split_windows(n_frames: int, window: int, stride: int | None = None) -> NDArray[np.int64]:
    """Frame indices of overlapping windows that cover a recording.

    Args:
        n_frames: frames of the recording, at least 1.
        window: frames per window.
        stride: frames from one window to the next; a third of the window by default. The last window is moved back
            so that it ends with the recording.

    Returns:
        (W, window) frame indices; -1 (nothing there) in the second half of the padding when the recording is shorter
        than one window: its frames then stand in the middle of it.

    Raises:
        InputError: a count below 1, or a stride that leaves gaps.
    """
    stride = max(window // 3, 1) if stride is None else stride
    if n_frames < 1 or window < 1 or not 1 <= stride <= window:
        raise InputError(
            f"Cannot split {n_frames} frames into windows of {window} at a stride of {stride}.",
            "All must be at least 1, and the stride at most the window.",
        )
    if n_frames <= window:
        index = np.full((1, window), -1, dtype=np.int64)
        first = (window - n_frames) // 2
        index[0, first : first + n_frames] = np.arange(n_frames)
        return index
    starts = list(range(0, n_frames - window, stride)) + [n_frames - window]
    return np.asarray(starts, dtype=np.int64)[:, None] + np.arange(window)


def window_weights(window: int) -> NDArray[np.float64]:
    """(window,) weight of each frame of a window in the overlap: highest in its middle, positive at its ends."""
    t = (np.arange(window) + 0.5) / window
    weight: NDArray[np.float64] = np.minimum(t, 1 - t) * 2
    return weight


def join_windows(values: NDArray[np.floating], index: NDArray[np.int64], n_frames: int) -> NDArray[np.float64]:
    """Join overlapping windows by their weighted average.

    Args:
        values: (W, window, ...) values; a window of NaN does not count.
        index: (W, window) frame indices from :func:`split_windows`.
        n_frames: frames of the recording.

    Returns:
        (n_frames, ...); NaN where no window had a value.

    Raises:
        InputError: values and indices do not fit.
    """
    if values.shape[:2] != index.shape:
        raise InputError(f"Values {values.shape} do not fit window indices {index.shape}.")
    weight = np.broadcast_to(window_weights(index.shape[1]), index.shape)
    used = (index >= 0) & np.isfinite(values).reshape(*index.shape, -1).all(-1)
    total = np.zeros((n_frames, *values.shape[2:]))
    sums = np.zeros(n_frames)
    np.add.at(total, index[used], values[used] * weight[used].reshape(-1, *(1,) * (values.ndim - 2)))
    np.add.at(sums, index[used], weight[used])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(
            sums.reshape(-1, *(1,) * (values.ndim - 2)) > 0,
            total / sums.reshape(-1, *(1,) * (values.ndim - 2)),
            np.nan,
        )

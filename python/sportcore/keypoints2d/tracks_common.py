"""Shared measures of a 2D track: which joints form the body, how large it is in the image, when it was seen."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.skeletons import Skeleton
from sportcore.types import Keypoints2D

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

GROUPS = ("trunk", "arms", "legs")
_CORE = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LEG_WORDS = ("knee", "ankle", "heel", "toe", "foot")
_ARM_WORDS = ("elbow", "wrist", "pinky", "index", "thumb")
# Median distance of the twelve limb joints from their median position, as a share of the stature; measured on
# moving synthetic bodies seen from all sides.
_MEDIAN_REACH = 0.215


def core_joints(skeleton: Skeleton) -> NDArray[np.int64]:
    """Indices of shoulders, elbows, wrists, hips, knees and ankles; every joint where fewer than six are named."""
    found = [i for i, joint in enumerate(skeleton.joints) if joint.split("_")[-1] in _CORE]
    return np.array(found if len(found) >= 6 else range(skeleton.n_joints), dtype=np.int64)


def swap_groups(skeleton: Skeleton) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Left index, right index and group (0 trunk, 1 arms, 2 legs) of every left/right pair of joints.

    Shoulders, hips and face belong to the trunk; arms are what lies beyond the shoulders, legs what lies beyond the
    hips. A whole-body swap is a swap of all three.
    """
    pairs = skeleton.left_right_pairs
    group = []
    for left, _ in pairs:
        name = skeleton.joints[left]
        if any(word in name for word in _LEG_WORDS):
            group.append(2)
        elif any(word in name for word in _ARM_WORDS):
            group.append(1)
        else:
            group.append(0)
    left_right = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return left_right[:, 0], left_right[:, 1], np.array(group, dtype=np.int64)


def frame_times(keypoints: Keypoints2D) -> Floats:
    """(C, T) seconds; from ``times``, else from ``fps``, else an error.

    Raises:
        InputError: neither is known, or the times do not increase.
    """
    if keypoints.times is not None:
        times = np.asarray(keypoints.times, float)
        if not np.isfinite(times).all():
            raise InputError("The frame times are not finite.", "Give times in seconds, or fps.")
        late = np.diff(times, axis=1) <= 0
        if late.any():
            c, t = (int(v[0]) for v in np.nonzero(late))
            name = keypoints.camera_names[c]
            raise InputError(
                f"{name}: the frame times do not increase at frame {t + 1}.", "Sort or drop repeated frames."
            )
        return times
    if keypoints.fps is None:
        raise InputError("The keypoints have neither times nor fps.", "Pass fps=... so that speeds can be judged.")
    shape = (keypoints.n_cameras, keypoints.n_frames)
    return np.broadcast_to(np.arange(keypoints.n_frames) / keypoints.fps, shape).copy()


def nan_median(values: Floats, axis: int = -1) -> Floats:
    """Median of what is finite along an axis, NaN where nothing is; much faster than numpy's on many short rows."""
    ordered = np.sort(np.moveaxis(values, axis, -1), axis=-1)  # NaN goes to the end
    count = np.isfinite(ordered).sum(-1)[..., None]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, -1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1), -1)
    return np.asarray(np.where(count > 0, 0.5 * (low + high), np.nan)[..., 0])


def rolling_median(values: Floats, half: int) -> Floats:
    """NaN-aware median over 2 * half + 1 neighbours along the last axis; NaN where nothing is known."""
    if half < 1 or values.shape[-1] < 2:
        return values.copy()
    pad = [(0, 0)] * (values.ndim - 1) + [(half, half)]
    padded = np.pad(values, pad, constant_values=np.nan)
    return nan_median(sliding_window_view(padded, 2 * half + 1, axis=-1))


def body_size_px(keypoints: Keypoints2D, times_s: Floats | None = None) -> Floats:
    """(C, T) stature of the person in px, as if standing upright at that distance; NaN in cameras that see nobody.

    Measured by the median distance of the limb joints from their middle, so a few wrong or missing joints and a
    left/right swap do not matter, and smoothed over one second by a median.
    """
    xy = np.where(keypoints.observed[..., None], keypoints.xy, np.nan)[:, :, core_joints(keypoints.skeleton)]
    times = frame_times(keypoints) if times_s is None else times_s
    enough = np.isfinite(xy[..., 0]).sum(-1) >= 4
    size = np.full(xy.shape[:2], np.nan)
    if enough.any():
        joints = xy[enough]
        middle = nan_median(joints, axis=1)[:, None]
        size[enough] = nan_median(np.linalg.norm(joints - middle, axis=-1)) / _MEDIAN_REACH
    step = float(np.median(np.diff(times, axis=1))) if times.shape[1] > 1 else 1.0
    half = int(np.clip(round(0.5 / max(step, 1e-6)), 1, 120))
    size = rolling_median(size, half)
    for row in size:  # frames without a person borrow from the nearest frame that has one
        known = np.flatnonzero(np.isfinite(row) & (row > 0))
        if len(known):
            row[:] = np.interp(np.arange(len(row)), known, row[known])
        else:
            row[:] = np.nan
    return size


def runs(mask: Mask) -> list[tuple[int, int]]:
    """(first, last) of every run of True along a 1-D mask, both inclusive."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))

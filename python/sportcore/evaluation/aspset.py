"""ASPset-510 joints to Human3.6M-17, as the first system's published preparation does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError

__all__ = ["ASPSET17_JOINTS", "aspset17_to_h36m17"]

ASPSET17_JOINTS = (
    "right_ankle", "right_knee", "right_hip", "right_wrist", "right_elbow", "right_shoulder", "left_ankle",
    "left_knee", "left_hip", "left_wrist", "left_elbow", "left_shoulder", "head_top", "head", "neck", "spine",
    "pelvis",
)  # fmt: skip
"""Joint order of ASPset-510's c3d files (skeleton ``aspset_17j`` of its tools). Neck, spine and pelvis are
not used here.
"""

_TO = (1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16)
_FROM = (2, 1, 0, 8, 7, 6, 13, 12, 11, 10, 9, 5, 4, 3)


def aspset17_to_h36m17(points: ArrayLike) -> NDArray[np.float64]:
    """Carry ASPset-17 joints to the Human3.6M-17 order.

    Limbs are copied; ``head`` serves as nose and ``head_top`` as head. Pelvis: middle of the hips. Spine:
    mean of hips and shoulders. Thorax: from the middle of the shoulders one third of the way to the head.
    Source: the data preparation published with Suzuki et al. (CVPRW 2024).

    Args:
        points: (..., 17, D) coordinates in any unit (D = 2 or 3), NaN where missing.

    Returns:
        (..., 17, D) in the same unit; a derived joint is NaN where one of its sources is.

    Raises:
        InputError: the shape does not fit.
    """
    a = np.asarray(points, dtype=np.float64)
    if a.ndim < 2 or a.shape[-2] != 17:
        raise InputError(f"Expected (..., 17, D) ASPset joints, got {a.shape}.")
    h = np.empty(a.shape)
    h[..., _TO, :] = a[..., _FROM, :]
    hips = (a[..., 2, :] + a[..., 8, :]) / 2
    shoulders = (a[..., 5, :] + a[..., 11, :]) / 2
    h[..., 0, :] = hips
    h[..., 7, :] = (hips + shoulders) / 2
    h[..., 8, :] = shoulders + (a[..., 13, :] - shoulders) / 3
    return h

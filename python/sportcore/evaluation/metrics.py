"""Errors of 3D poses against a truth. Poses are metres; errors are millimetres, as the field prints them.

Every function takes poses of shape (..., T, J, 3) with NaN where a joint is missing, leaves missing joints
out, and returns NaN where nothing is left to compare. :func:`joint_errors_mm` holds the definitions; the
others are means of it over frames and joints, one value for each leading index.

========  ==========================================================================================
align     what is removed before the distance is taken
========  ==========================================================================================
none      nothing
root      the position of the root joint, per frame (MPJPE)
scale     root position and one scale factor per frame, ``s = <p, y> / <p, p>`` (N-MPJPE)
frame     one similarity per frame, no reflection (PA-MPJPE)
sequence  one similarity for the whole sequence, no reflection (SPA-MPJPE of Suzuki et al., CVPRW 2024)
========  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.skeletons import H36M17, Skeleton, get_skeleton

from .align import umeyama

__all__ = [
    "EXCLUSION_PRESETS",
    "Align",
    "bone_length_spread",
    "excluded_joints",
    "joint_errors_mm",
    "mpjpe",
    "n_mpjpe",
    "pa_mpjpe",
    "spa_mpjpe",
    "velocity_error",
]

FloatArray = NDArray[np.float64]
Align = Literal["none", "root", "scale", "frame", "sequence"]

EXCLUSION_PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "asp": ("nose", "head"),
    "runner": ("spine", "head"),
}
"""Joints that Suzuki et al. leave out: ``asp`` for ASPset-510 (H36M joints 9, 10), ``runner`` for their
runners (7, 10).
"""


def excluded_joints(exclude: str | Iterable[str] | None, skeleton: str | Skeleton = H36M17) -> tuple[int, ...]:
    """Indices of the joints to leave out, from a preset name (``"asp"``, ``"runner"``) or joint names.

    Raises:
        InputError: an unknown preset or joint.
    """
    if exclude is None:
        return ()
    if isinstance(exclude, str):
        if exclude not in EXCLUSION_PRESETS:
            raise InputError(
                f"Unknown joint-exclusion preset {exclude!r}.",
                f"Use one of {', '.join(EXCLUSION_PRESETS)}, or a sequence of joint names.",
            )
        exclude = EXCLUSION_PRESETS[exclude]
    skel = get_skeleton(skeleton)
    return tuple(sorted({skel.index(name) for name in exclude}))


def _pair(pred: ArrayLike, truth: ArrayLike) -> tuple[FloatArray, FloatArray]:
    p = np.asarray(pred, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    if p.ndim < 3 or p.shape[-1] != 3 or y.ndim < 3 or p.shape[-3:] != y.shape[-3:]:
        raise InputError(
            f"Poses must have equal shapes (..., T, J, 3), got {p.shape} and {y.shape}.",
            "Bring both to the same frames and the same joints first.",
        )
    p, y = np.broadcast_arrays(p, y)
    valid = np.asarray(np.isfinite(p).all(-1) & np.isfinite(y).all(-1))
    return np.where(valid[..., None], p, np.nan), np.where(valid[..., None], y, np.nan)


def _kept(n_joints: int, exclude: str | Iterable[str] | None, skeleton: str | Skeleton) -> NDArray[np.int64]:
    dropped = excluded_joints(exclude, skeleton)
    if dropped and get_skeleton(skeleton).n_joints != n_joints:
        raise InputError(
            f"Poses have {n_joints} joints, skeleton {get_skeleton(skeleton).name!r} has another number.",
            "Pass the skeleton of the poses.",
        )
    return np.setdiff1d(np.arange(n_joints), np.array(dropped, dtype=np.int64))


def _root_relative(x: FloatArray, root: int | None) -> FloatArray:
    return x if root is None else x - x[..., root : root + 1, :]


def _nanmean(x: FloatArray, axis: int | tuple[int, ...]) -> FloatArray:
    count = np.isfinite(x).sum(axis)
    total = np.nansum(x, axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def joint_errors_mm(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    align: Align = "root",
    root: int | None = 0,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """Distance of every joint from its truth after an alignment.

    Args:
        pred_m: (..., T, J, 3) predicted joints, metres, NaN where missing.
        truth_m: (..., T, J, 3) true joints, metres, NaN where missing.
        align: what is removed first, see the table of this module.
        root: index of the root joint for ``"root"`` and ``"scale"``; None when the poses are root-relative
            already.
        exclude: joints to leave out of alignment and error: a preset name or joint names.
        skeleton: joint order of the poses, needed to resolve ``exclude``.

    Returns:
        (..., T, J') millimetres for the J' joints kept. NaN where a joint is missing or the alignment is
        undetermined (root missing; fewer than three joints in a frame).

    Raises:
        InputError: shapes that do not fit, an unknown alignment, joint or preset.
    """
    if align not in get_args(Align):
        raise InputError(f"Unknown alignment {align!r}.", f"Use one of {', '.join(get_args(Align))}.")
    p, y = _pair(pred_m, truth_m)
    kept = _kept(p.shape[-2], exclude, skeleton)
    if align in ("root", "scale"):
        p, y = _root_relative(p, root), _root_relative(y, root)
    p, y = p[..., kept, :], y[..., kept, :]
    if align == "scale":
        both = np.nansum(p * y, axis=(-1, -2))
        own = np.nansum(p * p, axis=(-1, -2))
        p = p * np.where(own > 0, both / np.where(own > 0, own, 1.0), np.nan)[..., None, None]
    elif align == "frame":
        p = umeyama(p, y).apply(p)
    elif align == "sequence":
        shape = p.shape
        flat = (*shape[:-3], shape[-3] * shape[-2], 3)
        p = umeyama(p.reshape(flat), y.reshape(flat)).apply(p.reshape(flat)).reshape(shape)
    return 1000.0 * np.linalg.norm(p - y, axis=-1)


def mpjpe(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    root: int | None = 0,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """Mean per-joint position error after removing the root, mm, shape (...). Arguments:
    :func:`joint_errors_mm`.
    """
    errors = joint_errors_mm(pred_m, truth_m, align="root", root=root, exclude=exclude, skeleton=skeleton)
    return _nanmean(errors, (-1, -2))


def n_mpjpe(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    root: int | None = 0,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """MPJPE after one least-squares scale factor per frame, mm, shape (...)."""
    errors = joint_errors_mm(pred_m, truth_m, align="scale", root=root, exclude=exclude, skeleton=skeleton)
    return _nanmean(errors, (-1, -2))


def pa_mpjpe(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """MPJPE after one similarity per frame (no reflection), mm, shape (...)."""
    errors = joint_errors_mm(pred_m, truth_m, align="frame", exclude=exclude, skeleton=skeleton)
    return _nanmean(errors, (-1, -2))


def spa_mpjpe(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """MPJPE after ONE similarity for the whole sequence of T frames, mm, shape (...).

    Measures how consistent a reconstructed sequence is as a whole. The published code flips the rotation but
    not the scale when the best orthogonal map is a reflection; here both are right (see
    :mod:`sportcore.evaluation.align`).
    """
    errors = joint_errors_mm(pred_m, truth_m, align="sequence", exclude=exclude, skeleton=skeleton)
    return _nanmean(errors, (-1, -2))


def velocity_error(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    fps: float | None = None,
    root: int | None = 0,
    exclude: str | Iterable[str] | None = None,
    skeleton: str | Skeleton = H36M17,
) -> FloatArray:
    """Mean length of the difference between predicted and true joint displacement of neighbouring frames.

    Args:
        pred_m: (..., T, J, 3) metres.
        truth_m: (..., T, J, 3) metres.
        fps: frames per second; None gives the published unit, mm per frame.
        root: joint removed from each frame first; None for poses that are root-relative already.
        exclude: joints to leave out.
        skeleton: joint order of the poses.

    Returns:
        (...) mm per frame, or mm per second when ``fps`` is given. NaN for fewer than two frames.
    """
    if fps is not None and not fps > 0:
        raise InputError(f"fps must be positive, got {fps}.")
    p, y = _pair(pred_m, truth_m)
    kept = _kept(p.shape[-2], exclude, skeleton)
    p, y = _root_relative(p, root)[..., kept, :], _root_relative(y, root)[..., kept, :]
    errors = 1000.0 * np.linalg.norm(np.diff(p, axis=-3) - np.diff(y, axis=-3), axis=-1)
    return _nanmean(errors, (-1, -2)) * (1.0 if fps is None else float(fps))


def bone_length_spread(
    points_m: ArrayLike, skeleton: str | Skeleton = H36M17, *, bones: Sequence[tuple[str, str]] | None = None
) -> dict[str, float]:
    """Coefficient of variation (standard deviation / mean) of each bone's length over the frames.

    Args:
        points_m: (T, J, 3) joints, NaN where missing.
        skeleton: joint order.
        bones: (parent, child) joint names; None takes the bones of the skeleton.

    Returns:
        ``{"parent-child": ratio}``, dimensionless; NaN for a bone seen in fewer than two frames.
    """
    skel = get_skeleton(skeleton)
    x = np.asarray(points_m, dtype=np.float64)
    if x.ndim != 3 or x.shape[1:] != (skel.n_joints, 3):
        raise InputError(f"Expected (T, {skel.n_joints}, 3) points for {skel.name!r}, got {x.shape}.")
    out: dict[str, float] = {}
    for parent, child in skel.bones if bones is None else bones:
        length = np.linalg.norm(x[:, skel.index(child)] - x[:, skel.index(parent)], axis=-1)
        length = length[np.isfinite(length)]
        enough = len(length) >= 2 and length.mean() > 0
        out[f"{parent}-{child}"] = float(length.std() / length.mean()) if enough else float("nan")
    return out

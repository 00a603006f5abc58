"""Robust triangulation: which views to believe, the most likely point, how sure it is, and why one is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import InputError
from ..types import Camera, Keypoints2D, Points3D, Rig
from ._torch import cuda_tensor, same_device, stream_of
from .projection import Device, as_floats, camera_array, check_device

__all__ = ["TriangulateOptions", "TriangulateResult", "triangulate", "triangulate_batch"]

_FALLBACK_SIGMA_PX = 3.0


@dataclass(frozen=True, kw_only=True)
class TriangulateOptions:
    """Options of :func:`triangulate`.

    Attributes:
        max_reprojection_error_px: an observation further than this from the projected point is an outlier.
        sigma_px: standard deviation of one coordinate of an observation, where the keypoints bring no
            ``sigma_px``. None: one value for all, estimated from the residuals (3 px where there is nothing to
            estimate it from). It sets the covariance and the scale of the loss.
        inlier_sigmas: an observation with a sigma of its own may lie this many sigmas off, if that is more than
            ``max_reprojection_error_px``.
        min_score: observations with a lower detector score are not used.
        min_views: fewest agreeing views that make a point, at least 2.
        min_angle_deg: two rays must meet at an angle that differs from 0 and 180 degrees by this much.
        robust: choose among the views. False believes all of them.
        loss: of the refinement: ``"trivial"``, ``"huber"``, ``"cauchy"`` or ``"geman_mcclure"``.
        loss_scale_sigmas: scale of the loss in sigmas.
        max_iterations: most refinement steps per point.
        num_threads: 0 is one per available core.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: a value out of its range.
    """

    max_reprojection_error_px: float = 12.0
    sigma_px: float | None = None
    inlier_sigmas: float = 3.0
    min_score: float = 0.1
    min_views: int = 2
    min_angle_deg: float = 1.5
    robust: bool = True
    loss: Literal["trivial", "huber", "cauchy", "geman_mcclure"] = "cauchy"
    loss_scale_sigmas: float = 3.0
    max_iterations: int = 15
    num_threads: int = 0
    device: Device = "cpu"

    def __post_init__(self) -> None:
        _core.check_triangulate_options(self.to_core())

    def to_core(self) -> _core.TriangulateOptions:
        """The options as the C++ core reads them."""
        values = dataclasses.asdict(self)
        values["cuda"] = check_device(values.pop("device"))
        values["estimate_sigma"] = values["sigma_px"] is None
        if values["sigma_px"] is None:
            values["sigma_px"] = _FALLBACK_SIGMA_PX
        return _core.TriangulateOptions(**values)


@dataclass(frozen=True)
class TriangulateResult:
    """What :func:`triangulate_batch` returns; arrays, or CUDA tensors where tensors were given.

    Attributes:
        xyz: (N, 3) m, NaN unless the status is OK.
        status: (N,) :class:`sportcore.PointStatus` as uint8.
        n_views: (N,) inlier views, uint8.
        covariance: (N, 3, 3) m^2, or None when not asked for.
        residual_px: (C, N) distance of each used observation from the projected point, or None.
        inlier: (C, N) whether the observation carried the point, or None.
        sigma_px: the sigma that the covariance stands on, where the observations brought none of their own.
    """

    xyz: Any
    status: Any
    n_views: Any
    covariance: Any
    residual_px: Any
    inlier: Any
    sigma_px: float | None


def triangulate(keypoints: Keypoints2D, rig: Rig, options: TriangulateOptions | None = None) -> Points3D:
    """Triangulate every joint of every frame.

    The views that contradict the others are left out of a point; ``inlier`` says which carried it. Detector scores
    only help to choose among views: they say little about how far off a good observation is. Where the keypoints have
    ``sigma_px``, these weigh the estimate. The method is described in ``sportcore/triangulate_point.h``.

    Args:
        keypoints: (C, T, J) observations in the pixels of the (distorted) video. Not changed.
        rig: the C cameras, in the same order. Where the keypoints carry camera names, these are matched with the rig's.
        options: see :class:`TriangulateOptions`.

    Returns:
        Points in the world frame of the rig, m. A point whose status is not OK is NaN, and so is its covariance.

    Raises:
        InputError: the cameras do not fit the keypoints.
        DeviceError: CUDA was asked for and is not there.
    """
    options = options if options is not None else TriangulateOptions()
    if not isinstance(options, TriangulateOptions):
        raise InputError(f"options must be TriangulateOptions, got {type(options).__name__}.")
    rig = _matching_rig(keypoints, rig)
    C, T, J = keypoints.score.shape
    sigma = None if keypoints.sigma_px is None else keypoints.sigma_px.reshape(C, -1)
    result = triangulate_batch(
        rig, keypoints.xy.reshape(C, -1, 2), keypoints.score.reshape(C, -1), sigma, options=options
    )
    return Points3D(
        xyz=result.xyz.reshape(T, J, 3),
        covariance=result.covariance.reshape(T, J, 3, 3),
        residual_px=result.residual_px.reshape(C, T, J),
        inlier=result.inlier.reshape(C, T, J),
        n_views=result.n_views.reshape(T, J),
        status=result.status.reshape(T, J),
        skeleton=keypoints.skeleton,
        fps=keypoints.fps,
        times=None if keypoints.times is None else _common_times(keypoints.times),
    )


def triangulate_batch(
    cameras: Rig | Iterable[Camera] | _core.Cameras,
    keypoints_px: Any,
    score: Any | None = None,
    sigma_px: Any | None = None,
    *,
    options: TriangulateOptions | None = None,
    with_covariance: bool = True,
    with_residuals: bool = True,
) -> TriangulateResult:
    """Array-level triangulation of N independent points.

    Args:
        cameras: a rig, cameras, or the result of :func:`sportcore.points3d.camera_array`.
        keypoints_px: (C, N, 2) px, NaN where missing, float32 or float64; or a CUDA tensor of torch, which stays on
            its device and is worked on in the current stream.
        score: (C, N) in [0, 1], or None.
        sigma_px: (C, N) standard deviation of each observation, px, or None.
        options: see :class:`TriangulateOptions`.
        with_covariance: compute the covariance.
        with_residuals: compute residuals and inliers.

    Raises:
        InputError: shapes that do not fit the cameras, or more than 64 cameras.
        DeviceError: CUDA was asked for and is not there.
    """
    options = options if options is not None else TriangulateOptions()
    core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)
    tensor = cuda_tensor(keypoints_px, "keypoints_px", last=2)
    if tensor is not None:
        return _triangulate_tensor(core, tensor, score, sigma_px, options, with_covariance, with_residuals)
    xy = as_floats(keypoints_px, "keypoints_px", 2)
    scores = None if score is None else np.ascontiguousarray(score, dtype=xy.dtype)
    sigmas = None if sigma_px is None else np.ascontiguousarray(sigma_px, dtype=xy.dtype)
    values = _core.triangulate(core, xy, scores, sigmas, options.to_core(), with_covariance, with_residuals)
    return TriangulateResult(
        xyz=values["xyz"],
        status=values["status"],
        n_views=values["n_views"],
        covariance=values.get("covariance"),
        residual_px=values.get("residual_px"),
        inlier=values.get("inlier"),
        sigma_px=None if sigmas is not None else values["sigma_px"],
    )


def _matching_rig(keypoints: Keypoints2D, rig: Rig) -> Rig:
    if keypoints.names is not None and keypoints.names != rig.names and set(keypoints.names) <= set(rig.names):
        rig = rig.subset(keypoints.names)
    if len(rig) != keypoints.n_cameras:
        raise InputError(
            f"The keypoints come from {keypoints.n_cameras} cameras ({', '.join(keypoints.camera_names)}), the rig has "
            f"{len(rig)} ({', '.join(rig.names)}).",
            "Give one camera per video, in the same order.",
        )
    return rig


def _common_times(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, T) times of the cameras -> (T,) their mean where known."""
    known = np.isfinite(times)
    total = np.where(known, times, 0.0).sum(0)
    return np.asarray(np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan))


def _triangulate_tensor(
    core: _core.Cameras,
    xy: Any,
    score: Any | None,
    sigma: Any | None,
    options: TriangulateOptions,
    with_covariance: bool,
    with_residuals: bool,
) -> TriangulateResult:
    """CUDA tensors in, CUDA tensors out, in the current stream. Sigma is not estimated here: it would wait."""
    import torch

    C = len(core)
    if xy.ndim != 3 or xy.shape[0] != C:
        raise InputError(f"keypoints_px must have the shape ({C}, N, 2), got {tuple(xy.shape)}.")
    n = xy.shape[1]
    extra = []
    for name, value in (("score", score), ("sigma_px", sigma)):
        if value is not None:
            value = torch.as_tensor(value, device=xy.device, dtype=xy.dtype).contiguous()
            if tuple(value.shape) != (C, n):
                raise InputError(f"{name} must have the shape ({C}, {n}), got {tuple(value.shape)}.")
        extra.append(value)
    xyz = xy.new_empty((n, 3))
    status = torch.empty(n, dtype=torch.uint8, device=xy.device)
    n_views = torch.empty_like(status)
    covariance = xy.new_empty((n, 3, 3)) if with_covariance else None
    residual = xy.new_empty((C, n)) if with_residuals else None
    inlier = torch.empty((C, n), dtype=torch.bool, device=xy.device) if with_residuals else None
    call = _core.triangulate_cuda_f32 if xy.element_size() == 4 else _core.triangulate_cuda_f64

    def pointer(value: Any | None) -> int:
        return 0 if value is None else int(value.data_ptr())

    with same_device(xy):
        call(
            core, n, xy.data_ptr(), pointer(extra[0]), pointer(extra[1]), pointer(xyz), pointer(status),
            pointer(covariance), pointer(residual), pointer(inlier), pointer(n_views), options.to_core(), stream_of(xy),
        )  # fmt: skip
    used_sigma = None if sigma is not None else (options.sigma_px or _FALLBACK_SIGMA_PX)
    return TriangulateResult(xyz, status, n_views, covariance, residual, inlier, used_sigma)

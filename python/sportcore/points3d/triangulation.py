"""Robust triangulation: which views to believe, the most likely point, how sure it is, and why one is missing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..buffers import adopt, is_tensor
from ..errors import InputError
from ..types import Camera, Keypoints2D, Points3D, Rig
from ._torch import companion, float_tensor, refuse_device_option
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
        core = self.to_core()
        _core.check_triangulate_options(core)
        object.__setattr__(self, "_text", json.dumps(core.to_dict()))  # how operators of torch take them

    def to_core(self) -> _core.TriangulateOptions:
        """The options as the C++ core reads them."""
        values = dataclasses.asdict(self)
        values["cuda"] = check_device(values.pop("device"))
        values["estimate_sigma"] = values["sigma_px"] is None
        if values["sigma_px"] is None:
            values["sigma_px"] = _FALLBACK_SIGMA_PX
        return _core.TriangulateOptions(**values)


_DEFAULTS = TriangulateOptions()


@dataclass(frozen=True)
class TriangulateResult:
    """What :func:`triangulate_batch` returns: arrays, or what was given instead, in the same place.

    Attributes:
        xyz: (N, 3) m, NaN unless the status is OK.
        status: (N,) :class:`sportcore.PointStatus` as uint8.
        n_views: (N,) inlier views, uint8.
        covariance: (N, 3, 3) m^2, or None when not asked for.
        residual_px: (C, N) distance of each used observation from the projected point, or None.
        inlier: (C, N) whether the observation carried the point, or None.
        sigma_px: the sigma that the covariance stands on, where the observations brought none of their own; a tensor
            (1,) in functions that torch compiles.
    """

    xyz: Any
    status: Any
    n_views: Any
    covariance: Any
    residual_px: Any
    inlier: Any
    sigma_px: Any


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
        cameras: a rig, cameras, the result of :func:`sportcore.points3d.camera_array`, or, beside tensors, constant
            :class:`sportcore.points3d.CameraTensors`, which functions that torch compiles must use.
        keypoints_px: (C, N, 2) px, NaN where missing, float32 or float64: an array; a tensor of torch, which stays
            where it is (CPU or CUDA) and is worked on in the current stream; or a producer of DLPack or
            ``__cuda_array_interface__``.
        score: (C, N) in [0, 1], or None.
        sigma_px: (C, N) standard deviation of each observation, px, or None.
        options: see :class:`TriangulateOptions`.
        with_covariance: compute the covariance.
        with_residuals: compute residuals and inliers.

    Where ``keypoints_px`` or ``sigma_px`` is a tensor that requires a gradient, ``xyz`` passes one on, by implicit
    differentiation of the optimum with the views that carried it (``sportcore/triangulate_backward.h``); the other
    results do not, and neither do scores.

    Raises:
        InputError: shapes that do not fit the cameras, more than 64 cameras, or inputs on different devices.
        DeviceError: CUDA was asked for and is not there.
    """
    options = options if options is not None else _DEFAULTS
    keypoints, give_back = adopt(keypoints_px, "keypoints_px")
    score, sigma_px = (None if v is None else adopt(v, n)[0] for v, n in ((score, "score"), (sigma_px, "sigma_px")))
    if is_tensor(keypoints):
        result = _triangulate_tensor(cameras, keypoints, score, sigma_px, options, with_covariance, with_residuals)
        return _in_kind(result, give_back)
    for name, value in (("score", score), ("sigma_px", sigma_px)):
        if is_tensor(value):
            raise InputError(f"{name} is a tensor, keypoints_px an array.", f"Give both of one kind: {name}.numpy().")
    if hasattr(cameras, "rows"):
        raise InputError("CameraTensors go with tensors, keypoints_px is an array.", "Give a rig, or a tensor.")
    core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)
    xy = as_floats(keypoints, "keypoints_px", 2)
    scores = None if score is None else np.ascontiguousarray(score, dtype=xy.dtype)
    sigmas = None if sigma_px is None else np.ascontiguousarray(sigma_px, dtype=xy.dtype)
    values = _core.triangulate(core, xy, scores, sigmas, options.to_core(), with_covariance, with_residuals)
    result = TriangulateResult(
        xyz=values["xyz"],
        status=values["status"],
        n_views=values["n_views"],
        covariance=values.get("covariance"),
        residual_px=values.get("residual_px"),
        inlier=values.get("inlier"),
        sigma_px=None if sigmas is not None else values["sigma_px"],
    )
    return _in_kind(result, give_back)


def _in_kind(result: TriangulateResult, give_back: Callable[[Any], Any]) -> TriangulateResult:
    """The arrays of a result as those of the library that the input came from."""
    values = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    sigma = values.pop("sigma_px")
    return TriangulateResult(**{k: give_back(v) for k, v in values.items()}, sigma_px=sigma)


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
    cameras: Any,
    xy: Any,
    score: Any | None,
    sigma: Any | None,
    options: TriangulateOptions,
    with_covariance: bool,
    with_residuals: bool,
) -> TriangulateResult:
    """Tensors in, tensors out, where they lie; through torch's operator where torch has to know. On CUDA sigma is not
    estimated: it would wait for the device.
    """
    import torch

    from .autograd import CameraTensors, core_cameras, needs_operator, options_of, robust, robust_op

    if not isinstance(cameras, (CameraTensors, _core.Cameras)):
        cameras = camera_array(cameras)
    C = len(cameras.models) if isinstance(cameras, CameraTensors) else len(cameras)
    xy = float_tensor(xy, "keypoints_px", last=2)
    refuse_device_option(xy, "keypoints_px", options.device == "cuda")
    if xy.ndim != 3 or xy.shape[0] != C:
        raise InputError(f"keypoints_px must have the shape ({C}, N, 2), got {tuple(xy.shape)}.")
    shape = (C, xy.shape[1])
    score = companion(score, "score", xy, "keypoints_px", shape)
    sigma = companion(sigma, "sigma_px", xy, "keypoints_px", shape)
    text: str = options._text  # type: ignore[attr-defined]
    if needs_operator(xy, sigma):
        rig = cameras if isinstance(cameras, CameraTensors) else CameraTensors.of_cameras(cameras)
        xyz, *others = robust_op(xy, score, sigma, rig.constants(), list(rig.models), text, with_covariance)
        status, n_views, covariance, residual, inlier, used_sigma = (tensor.detach() for tensor in others)
        if not torch.compiler.is_compiling():
            used_sigma = float(used_sigma)
    else:
        core = cameras
        if isinstance(cameras, CameraTensors):
            core = core_cameras(cameras.constants(), cameras.models)
        out, used_sigma = robust(core, xy, score, sigma, options_of(text), with_covariance, with_residuals)
        xyz, status, n_views, covariance, residual, inlier = out
    return TriangulateResult(
        xyz=xyz,
        status=status,
        n_views=n_views,
        covariance=covariance if with_covariance else None,
        residual_px=residual if with_residuals else None,
        inlier=inlier if with_residuals else None,
        sigma_px=None if sigma is not None else used_sigma,
    )

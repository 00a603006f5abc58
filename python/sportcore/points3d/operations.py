"""Projection and linear triangulation of NumPy arrays and tensors, differentiable on tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..buffers import adopt, is_tensor
from ..errors import InputError
from ..types import Camera, Rig
from ._torch import companion, float_tensor
from .projection import as_floats, camera_array, reproject_batch

if TYPE_CHECKING:
    from .autograd import CameraTensors

__all__ = ["camera_tensors", "project", "triangulate_linear"]


def camera_tensors(cameras: Rig | Iterable[Camera] | _core.Cameras, device: Any = "cpu") -> CameraTensors:
    """Constant cameras as tensors on a device.

    Make them once where many calls use the same rig, and outside of functions that torch compiles. For cameras whose
    parameters are to get gradients see :class:`sportcore.points3d.CameraTensors`.
    """
    from .autograd import CameraTensors

    core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)
    return CameraTensors.of_cameras(core, device)


def _tensors_beside(cameras: Any, tensor: Any, name: str) -> CameraTensors:
    """The cameras on the device of `tensor`; constants are brought there, tensors must be there."""
    from .autograd import CameraTensors

    if not isinstance(cameras, CameraTensors):
        return camera_tensors(cameras, tensor.device)
    if cameras.rows.device != tensor.device:
        raise InputError(
            f"The cameras lie on {cameras.rows.device}, {name} on {tensor.device}.",
            f"Give both on one device: cameras.to({str(tensor.device)!r}).",
        )
    return cameras


def _no_camera_tensors(cameras: Any) -> None:
    if hasattr(cameras, "rows") and hasattr(cameras, "models"):
        raise InputError(
            "CameraTensors go with tensors, the points are an array.", "Give torch.as_tensor(points), or a rig."
        )


def project(
    points_world_m: Any,
    cameras: Rig | Iterable[Camera] | _core.Cameras | CameraTensors,
    *,
    num_threads: int = 0,
) -> Any:
    """World points in every camera; on tensors, with gradients by the points and by camera tensors.

    Args:
        points_world_m: (..., 3) m, float32 or float64: an array or a tensor (CPU or CUDA), or a producer of DLPack or
            of ``__cuda_array_interface__``.
        cameras: a rig, cameras, :func:`camera_array`, or :class:`CameraTensors` on the device of the points.
        num_threads: 0 is one per available core; CPU only.

    Returns:
        (C, ..., 2) px in the kind, precision and place of the points. NaN for a point behind a camera or not finite;
        such a projection passes no gradient on.

    Raises:
        InputError: shapes, precisions or devices that do not fit.
        DeviceError: a tensor lies on a CUDA device that this build cannot use.
    """
    points, give_back = adopt(points_world_m, "points_world_m")
    if not is_tensor(points):
        _no_camera_tensors(cameras)
        return give_back(reproject_batch(cameras, points, num_threads=num_threads))  # type: ignore[arg-type]
    from .autograd import needs_operator, project_now, project_op

    points = float_tensor(points, "points_world_m", last=3)
    rig = _tensors_beside(cameras, points, "points_world_m")
    call = project_op if needs_operator(points, rig.rows) else project_now
    uv = call(points.reshape(-1, 3), rig.rows, list(rig.models), num_threads)
    return give_back(uv.reshape(len(rig.models), *points.shape[:-1], 2))


def triangulate_linear(
    keypoints_px: Any,
    weight: Any | None,
    cameras: Rig | Iterable[Camera] | _core.Cameras | CameraTensors,
    *,
    iterations: int = 1,
    num_threads: int = 0,
) -> Any:
    """Weighted linear triangulation of all views, without any choice among them.

    It minimises the sum over views of weight times squared error, on undistorted coordinates (Hartley & Zisserman 2004,
    section 12.2). An outlier spoils its point: see :func:`triangulate_batch` where there may be some. On tensors,
    gradients reach the keypoints, the weights and camera tensors.

    Args:
        keypoints_px: (C, ..., 2) px, NaN where missing, float32 or float64; distorted, as the camera sees them. An
            array or a tensor (CPU or CUDA), or a producer of DLPack or of ``__cuda_array_interface__``.
        weight: (C, ...), 1 / variance of each observation up to a common factor; 0, negative or NaN where it is not to
            be used. None: 1 everywhere.
        cameras: a rig, cameras, :func:`camera_array`, or :class:`CameraTensors` on the device of the keypoints; at most
            64.
        iterations: 0 weighs an error by the depth of the point as well; 1 or 2 remove that by solving again, with the
            depths of the solution before. 1 is as accurate as minimising the reprojection error in all but extreme
            geometry.
        num_threads: 0 is one per available core; CPU only.

    Returns:
        (..., 3) m in the world of the cameras, in the kind, precision and place of the keypoints. NaN with fewer than
        two observations, or where these do not determine the point; it is not checked that the point lies in front of
        the cameras. A point that is NaN, and an observation that was not used, get a gradient of zero.

    Raises:
        InputError: shapes, precisions or devices that do not fit, or more than 64 cameras.
        DeviceError: a tensor lies on a CUDA device that this build cannot use.
    """
    xy, give_back = adopt(keypoints_px, "keypoints_px")
    weight = None if weight is None else adopt(weight, "weight")[0]
    if not is_tensor(xy):
        _no_camera_tensors(cameras)
        core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)  # type: ignore[arg-type]
        return give_back(_linear_of_arrays(core, as_floats(xy, "keypoints_px", 2), weight, iterations, num_threads))
    from .autograd import linear_now, linear_op, needs_operator

    xy = float_tensor(xy, "keypoints_px", last=2)
    rig = _tensors_beside(cameras, xy, "keypoints_px")
    C = _check_views(xy.shape, len(rig.models))
    weight = companion(weight, "weight", xy, "keypoints_px", tuple(xy.shape[:-1]))
    flat = None if weight is None else weight.reshape(C, -1)
    call = linear_op if needs_operator(xy, flat, rig.rows) else linear_now
    xyz = call(xy.reshape(C, -1, 2), flat, rig.rows, list(rig.models), iterations, num_threads)
    return give_back(xyz.reshape(*xy.shape[1:-1], 3))


def _check_views(shape: Any, n_cameras: int) -> int:
    if len(shape) < 2 or shape[0] != n_cameras:
        raise InputError(f"keypoints_px must have the shape ({n_cameras}, ..., 2), got {tuple(shape)}.")
    return n_cameras


def _linear_of_arrays(core: _core.Cameras, xy: Any, weight: Any | None, iterations: int, num_threads: int) -> Any:
    C = _check_views(xy.shape, len(core))
    if weight is not None:
        if is_tensor(weight):
            raise InputError("weight is a tensor, keypoints_px an array.", "Give both of one kind: weight.numpy().")
        weight = np.ascontiguousarray(weight, xy.dtype)
        if weight.shape != xy.shape[:-1]:
            raise InputError(f"weight must have the shape {xy.shape[:-1]}, got {weight.shape}.")
    rows, models = _core.camera_rows(core)
    xyz = np.empty((*xy.shape[1:-1], 3), xy.dtype)
    call = _core.triangulate_linear_at_f32 if xy.dtype == np.float32 else _core.triangulate_linear_at_f64
    call(
        rows.ctypes.data, models.tolist(), xy.ctypes.data, 0 if weight is None else weight.ctypes.data,
        xy.size // (2 * C), xyz.ctypes.data, iterations, num_threads, False, 0,
    )  # fmt: skip
    return xyz

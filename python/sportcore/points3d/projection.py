"""World points into pixels and pixels into rays, by the camera models of the C++ core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..buffers import adopt, is_tensor
from ..errors import InputError
from ..types import Camera, Rig
from ._torch import address, float_tensor, refuse_device_option, same_device, stream_of

__all__ = [
    "camera_array",
    "project_points",
    "reproject",
    "reproject_batch",
    "unproject_points",
    "unproject_rays",
]

_MODELS = {"pinhole": 0, "brown": 1, "fisheye": 2}
Device = Literal["cpu", "cuda"]


def camera_array(cameras: Rig | Iterable[Camera]) -> _core.Cameras:
    """The cameras as the C++ core reads them; make it once where many calls use the same rig."""
    rig = list(cameras)
    distortion = np.zeros((len(rig), 8))
    for row, camera in zip(distortion, rig, strict=True):
        row[: camera.distortion.size] = camera.distortion
    return _core.Cameras(
        model=np.array([_MODELS[c.model] for c in rig], np.int32),
        K=np.stack([c.K for c in rig]),
        distortion=distortion,
        R=np.stack([c.R for c in rig]),
        t=np.stack([c.t for c in rig]),
    )


def check_device(device: str) -> bool:
    """True for CUDA, False for the CPU; anything else is refused."""
    if device not in ("cpu", "cuda"):
        raise InputError(f"Unknown device {device!r}.", 'Use "cpu" or "cuda".')
    return device == "cuda"


def as_floats(values: Any, name: str, last: int) -> NDArray[Any]:
    """The array in float32 where it is float32, in float64 otherwise; its last axis must have length `last`."""
    try:
        array = np.asarray(values)
        array = np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected a regular array of numbers ({error}).") from error
    if array.ndim < 1 or array.shape[-1] != last:
        raise InputError(f"{name} must end with an axis of length {last}, got the shape {array.shape}.")
    return array


def project_points(camera: Camera, points_world_m: ArrayLike) -> NDArray[Any]:
    """World points in one camera.

    Args:
        camera: the camera.
        points_world_m: (..., 3) m, float32 or float64.

    Returns:
        (..., 2) px, distorted as the camera sees it; NaN for a point behind the camera. The image borders are not
        applied.
    """
    return reproject_batch((camera,), points_world_m)[0]


def reproject(points_world_m: ArrayLike, rig: Rig, *, num_threads: int = 0) -> NDArray[Any]:
    """World points in every camera of a rig.

    Args:
        points_world_m: (T, J, 3) m; any leading shape is kept.
        rig: the cameras.
        num_threads: 0 is one per available core.

    Returns:
        (C, T, J, 2) px; NaN for a point behind a camera or not finite.
    """
    return reproject_batch(rig, points_world_m, num_threads=num_threads)


def reproject_batch(
    cameras: Rig | Iterable[Camera] | _core.Cameras,
    points_world_m: Any,
    *,
    num_threads: int = 0,
    device: Device = "cpu",
) -> Any:
    """Array-level reprojection.

    Args:
        cameras: a rig, cameras, or the result of :func:`camera_array`.
        points_world_m: (..., 3) m, float32 or float64: an array; a tensor of torch, which stays where it is (CPU or
            CUDA) and is worked on in the current stream; or a producer of DLPack or ``__cuda_array_interface__``.
        num_threads: 0 is one per available core.
        device: ``"cuda"`` copies a NumPy array to the first CUDA device and back.

    Returns:
        (C, ..., 2) px in the precision and kind of the points. A tensor that requires a gradient passes one on, as in
        :func:`sportcore.points3d.project`.

    Raises:
        InputError: shapes or precisions that do not fit, or ``device="cuda"`` beside a tensor on the CPU.
        DeviceError: CUDA was asked for and is not there.
    """
    cuda = check_device(device)
    points, give_back = adopt(points_world_m, "points_world_m")
    if is_tensor(points):
        return give_back(_reproject_tensor(cameras, points, num_threads, cuda))
    core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)
    array = as_floats(points, "points_world_m", 3)
    options = _core.ReprojectOptions(num_threads=num_threads, cuda=cuda)
    uv = _core.reproject(core, array.reshape(-1, 3), options)
    return give_back(uv.reshape(len(core), *array.shape[:-1], 2))


def _reproject_tensor(cameras: Any, points: Any, num_threads: int, cuda: bool) -> Any:
    """A tensor in, a tensor out, by address; through torch's operator only where a gradient is wanted."""
    points = float_tensor(points, "points_world_m", last=3)
    refuse_device_option(points, "points_world_m", cuda)
    if points.requires_grad or hasattr(cameras, "rows"):
        from .operations import project

        return project(points, cameras, num_threads=num_threads)
    core = cameras if isinstance(cameras, _core.Cameras) else camera_array(cameras)
    points = points.contiguous()
    uv = points.new_empty((len(core), *points.shape[:-1], 2))
    n = points.numel() // 3
    if points.is_cuda:
        on_device = _core.reproject_cuda_f32 if points.element_size() == 4 else _core.reproject_cuda_f64
        with same_device(points):
            on_device(core, address(points), n, address(uv), stream_of(points))
        return uv
    rows, models = _core.camera_rows(core)
    on_host = _core.project_at_f32 if points.element_size() == 4 else _core.project_at_f64
    on_host(rows.ctypes.data, models.tolist(), address(points), n, address(uv), num_threads, False, 0)
    return uv


def unproject_points(camera: Camera, xy_px: ArrayLike, *, num_threads: int = 1) -> NDArray[np.float64]:
    """Undistorted normalised coordinates of pixels.

    Args:
        camera: the camera.
        xy_px: (..., 2) px, NaN where missing.
        num_threads: 0 is one per available core.

    Returns:
        (..., 2) X/Z and Y/Z of the ray in the camera frame; NaN where the pixel is missing or lies outside what the
        lens model can image.
    """
    xy = as_floats(xy_px, "xy_px", 2).astype(np.float64, copy=False)
    return _core.unproject(camera_array((camera,)), 0, xy.reshape(-1, 2), num_threads).reshape(xy.shape)


def unproject_rays(camera: Camera, xy_px: ArrayLike, *, num_threads: int = 1) -> NDArray[np.float64]:
    """Unit rays of pixels in the camera frame (x right, y down, z forward): (..., 2) px -> (..., 3)."""
    x = unproject_points(camera, xy_px, num_threads=num_threads)
    rays = np.concatenate([x, np.where(np.isnan(x[..., :1]), np.nan, 1.0)], -1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))

"""The operations of the core as operators of torch: gradients by hand-written kernels, safe under torch.compile.

``sportcore::project``, ``sportcore::triangulate_linear`` and ``sportcore::triangulate`` work on CPU and CUDA tensors
where they lie, in torch's current stream. Gradients are of first order; they cannot be differentiated again. Users
call :func:`sportcore.points3d.project`, :func:`~sportcore.points3d.triangulate_linear` and
:func:`~sportcore.points3d.triangulate_batch`. This module imports torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from ..errors import InputError
from ._torch import address, same_device, stream_of

__all__ = ["CameraTensors"]

_MODELS = {"pinhole": 0, "brown": 1, "fisheye": 2}


class CameraTensors:
    """Cameras as tensors, so that gradients reach their parameters.

    Args:
        intrinsics: (C, 4) fx, fy, cx, cy in px.
        R: (C, 3, 3) cam_from_world. Its gradient treats the nine numbers as independent; parametrise it (by an
            axis-angle vector, say) to stay on rotations.
        t: (C, 3) m, with x_cam = R x_world + t.
        distortion: (C, D) coefficients in the order of the model, D <= 8; None: none.
        model: ``"pinhole"``, ``"brown"`` or ``"fisheye"``, or one of these for each camera.

    Attributes:
        rows: (C, 24) float64, the parameters as the kernels read them; gradients flow through it.
        models: number of the lens model of each camera.
        host: the same rows in host memory, for the operations that take cameras as constants; None until needed.

    Raises:
        InputError: shapes that do not fit, tensors on different devices, an unknown model.
    """

    rows: Tensor
    models: tuple[int, ...]
    host: Tensor | None = None

    def __init__(
        self,
        intrinsics: Tensor,
        R: Tensor,
        t: Tensor,
        distortion: Tensor | None = None,
        model: str | Sequence[str] = "pinhole",
    ) -> None:
        C = t.shape[0]
        if distortion is None:
            distortion = t.new_zeros((C, 8))
        given = {"intrinsics": intrinsics, "R": R, "t": t, "distortion": distortion}
        shapes = {"intrinsics": (C, 4), "R": (C, 3, 3), "t": (C, 3), "distortion": (C, min(8, distortion.shape[-1]))}
        for name, value in given.items():
            if tuple(value.shape) != shapes[name]:
                raise InputError(f"{name} must have the shape {shapes[name]}, got {tuple(value.shape)}.")
            if value.device != t.device:
                raise InputError(
                    f"{name} lies on {value.device}, t on {t.device}.", "Give all camera tensors on one device."
                )
        names = (model,) * C if isinstance(model, str) else tuple(model)
        if len(names) != C or any(n not in _MODELS for n in names):
            raise InputError(f"model: {model!r} does not name {C} lens models.", f"There are {', '.join(_MODELS)}.")
        self.models = tuple(_MODELS[n] for n in names)
        padding = t.new_zeros((C, 8 - distortion.shape[-1]))
        parts = (intrinsics, distortion, padding, R.reshape(C, 9), t)
        self.rows = torch.cat([part.to(torch.float64) for part in parts], 1)

    @classmethod
    def of_rows(cls, rows: Tensor, models: Sequence[int]) -> CameraTensors:
        """From rows (C, 24) float64 and model numbers, unchecked."""
        self = cls.__new__(cls)
        self.rows, self.models = rows, tuple(int(m) for m in models)
        return self

    @classmethod
    def of_cameras(cls, cameras: _core.Cameras, device: Any = "cpu") -> CameraTensors:
        """Constant cameras, on a device."""
        rows, models = _core.camera_rows(cameras)
        host = torch.from_numpy(rows)
        self = cls.of_rows(host.to(device), models.tolist())
        self.host = host
        return self

    def constants(self) -> Tensor:
        """The rows in host memory. Waits for the device, once, where the cameras were made of tensors there.

        Raises:
            InputError: the parameters require gradients.
        """
        if self.rows.requires_grad:
            raise InputError(
                "Robust triangulation passes no gradient to the cameras.",
                "Use triangulate_linear, or give constant cameras: camera_tensors(rig).",
            )
        if self.host is None:
            self.host = self.rows.cpu()
        return self.host

    def __len__(self) -> int:
        return len(self.models)

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.rows.device

    def to(self, device: Any) -> CameraTensors:
        """The same cameras on another device."""
        out = self.of_rows(self.rows.to(device), self.models)
        out.host = self.host
        return out


def _ready(tensor: Tensor) -> Tensor:
    """As the kernels take it: contiguous and, on CUDA, aligned to pairs, which only odd views of memory are not."""
    tensor = tensor.detach().contiguous()
    return tensor.clone() if tensor.is_cuda and tensor.data_ptr() % 16 else tensor


def _call(name: str, tensor: Tensor) -> Any:
    return getattr(_core, f"{name}_at_f{8 * tensor.element_size()}")


def needs_operator(*tensors: Tensor | None) -> bool:
    """True where torch has to know of an operation: for a gradient, in a compiled function, for tensors that are not
    plain ones. Elsewhere the kernel is called directly, which saves tens of microseconds.
    """
    if torch.compiler.is_compiling():
        return True
    plain = (Tensor, torch.nn.Parameter, type(None))
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    return wanted or any(type(t) not in plain for t in tensors)


# ---- projection -----------------------------------------------------------------------------------------------------


def project_now(points: Tensor, cameras: Tensor, models: list[int], num_threads: int) -> Tensor:
    """Points (N, 3), rows of cameras (C, 24) -> (C, N, 2)."""
    points, cameras = _ready(points), _ready(cameras)
    uv = points.new_empty((len(models), points.shape[0], 2))
    with same_device(points):
        _call("project", points)(
            address(cameras), models, address(points), points.shape[0], address(uv), num_threads, points.is_cuda,
            stream_of(points),
        )  # fmt: skip
    return uv


project_op = torch.library.custom_op(
    "sportcore::project",
    project_now,
    mutates_args=(),
    schema="(Tensor points, Tensor cameras, int[] models, int num_threads) -> Tensor",
)


@project_op.register_fake
def _(points: Tensor, cameras: Tensor, models: list[int], num_threads: int) -> Tensor:
    return points.new_empty((len(models), points.shape[0], 2))


@torch.library.custom_op(
    "sportcore::project_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor points, Tensor cameras, int[] models, int num_threads, bool by_points,"
    " bool by_cameras) -> (Tensor, Tensor)",
)
def project_backward_op(
    grad: Tensor,
    points: Tensor,
    cameras: Tensor,
    models: list[int],
    num_threads: int,
    by_points: bool,
    by_cameras: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients by points and by cameras; empty where not asked for."""
    grad, points, cameras = _ready(grad), _ready(points), _ready(cameras)
    to_points = points.new_empty(points.shape if by_points else (0, 3))
    to_cameras = cameras.new_empty(cameras.shape if by_cameras else (0, cameras.shape[1]))
    with same_device(points):
        _call("project_backward", points)(
            address(cameras), models, address(points), points.shape[0], address(grad),
            address(to_points if by_points else None), address(to_cameras if by_cameras else None), num_threads,
            points.is_cuda, stream_of(points),
        )  # fmt: skip
    return to_points, to_cameras


@project_backward_op.register_fake
def _(
    grad: Tensor,
    points: Tensor,
    cameras: Tensor,
    models: list[int],
    num_threads: int,
    by_points: bool,
    by_cameras: bool,
) -> tuple[Tensor, Tensor]:
    return (
        points.new_empty(points.shape if by_points else (0, 3)),
        cameras.new_empty(cameras.shape if by_cameras else (0, cameras.shape[1])),
    )


def _project_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    points, cameras, ctx.models, ctx.num_threads = inputs
    ctx.save_for_backward(points, cameras)


def _project_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    points, cameras = ctx.saved_tensors
    needs = ctx.needs_input_grad
    by_points, by_cameras = project_backward_op(
        grad, points, cameras, ctx.models, ctx.num_threads, bool(needs[0]), bool(needs[1])
    )
    return by_points if needs[0] else None, by_cameras if needs[1] else None, None, None


project_op.register_autograd(_project_backward, setup_context=_project_context)


# ---- linear triangulation -------------------------------------------------------------------------------------------


def linear_now(
    keypoints_px: Tensor, weight: Tensor | None, cameras: Tensor, models: list[int], iterations: int, num_threads: int
) -> Tensor:
    """keypoints_px (C, N, 2), weight (C, N) or None, rows of cameras (C, 24) -> (N, 3)."""
    keypoints_px, cameras = _ready(keypoints_px), _ready(cameras)
    weight = None if weight is None else _ready(weight)
    n = keypoints_px.shape[1]
    xyz = keypoints_px.new_empty((n, 3))
    with same_device(keypoints_px):
        _call("triangulate_linear", keypoints_px)(
            address(cameras), models, address(keypoints_px), address(weight), n, address(xyz), iterations,
            num_threads, keypoints_px.is_cuda, stream_of(keypoints_px),
        )  # fmt: skip
    return xyz


linear_op = torch.library.custom_op(
    "sportcore::triangulate_linear",
    linear_now,
    mutates_args=(),
    schema="(Tensor keypoints_px, Tensor? weight, Tensor cameras, int[] models, int iterations, int num_threads)"
    " -> Tensor",
)


@linear_op.register_fake
def _(
    keypoints_px: Tensor, weight: Tensor | None, cameras: Tensor, models: list[int], iterations: int, num_threads: int
) -> Tensor:
    return keypoints_px.new_empty((keypoints_px.shape[1], 3))


def _linear_gradients(
    keypoints_px: Tensor, weight: Tensor | None, cameras: Tensor, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for the gradients that are asked for; what is not is empty."""
    C, n = keypoints_px.shape[:2]
    return (
        keypoints_px.new_empty((C, n, 2) if needs[0] else (0, n, 2)),
        keypoints_px.new_empty((C, n) if needs[1] else (0, n)),
        cameras.new_empty(cameras.shape if needs[2] else (0, cameras.shape[1])),
    )


@torch.library.custom_op(
    "sportcore::triangulate_linear_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor keypoints_px, Tensor? weight, Tensor cameras, int[] models, int iterations,"
    " int num_threads, bool[] needs) -> (Tensor, Tensor, Tensor)",
)
def linear_backward_op(
    grad: Tensor, keypoints_px: Tensor, weight: Tensor | None, cameras: Tensor, models: list[int], iterations: int,
    num_threads: int, needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients by keypoints, weight and cameras; empty where not asked for."""
    grad, keypoints_px, cameras = _ready(grad), _ready(keypoints_px), _ready(cameras)
    weight = None if weight is None else _ready(weight)
    out = _linear_gradients(keypoints_px, weight, cameras, needs)
    to = [address(tensor) if need else 0 for tensor, need in zip(out, needs, strict=True)]
    with same_device(keypoints_px):
        _call("triangulate_linear_backward", keypoints_px)(
            address(cameras), models, address(keypoints_px), address(weight), keypoints_px.shape[1], address(grad),
            *to, iterations, num_threads, keypoints_px.is_cuda, stream_of(keypoints_px),
        )  # fmt: skip
    return out


@linear_backward_op.register_fake
def _(
    grad: Tensor, keypoints_px: Tensor, weight: Tensor | None, cameras: Tensor, models: list[int], iterations: int,
    num_threads: int, needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _linear_gradients(keypoints_px, weight, cameras, needs)


def _linear_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    keypoints_px, weight, cameras, ctx.models, ctx.iterations, ctx.num_threads = inputs
    ctx.save_for_backward(keypoints_px, weight, cameras)


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    keypoints_px, weight, cameras = ctx.saved_tensors
    needs = [bool(need) for need in ctx.needs_input_grad[:3]]
    out = linear_backward_op(grad, keypoints_px, weight, cameras, ctx.models, ctx.iterations, ctx.num_threads, needs)
    return (*(g if need else None for g, need in zip(out, needs, strict=True)), None, None, None)


linear_op.register_autograd(_linear_backward, setup_context=_linear_context)


# ---- robust triangulation -------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def options_of(text: str) -> _core.TriangulateOptions:
    """The core's options from the JSON text in which operators take them."""
    return _core.TriangulateOptions(**json.loads(text))


def core_cameras(rows: Tensor, models: Sequence[int]) -> _core.Cameras:
    """The core's cameras from rows in host memory."""
    return _cameras_of(rows.numpy().tobytes(), tuple(models))


@functools.lru_cache(maxsize=64)
def _cameras_of(rows: bytes, models: tuple[int, ...]) -> _core.Cameras:
    values = np.frombuffer(rows).reshape(-1, 24)
    K = np.zeros((len(values), 3, 3))
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = values[:, :4].T
    K[:, 2, 2] = 1
    return _core.Cameras(
        model=np.array(models, np.int32),
        K=K,
        distortion=values[:, 4:12],
        R=values[:, 12:21].reshape(-1, 3, 3),
        t=values[:, 21:],
    )


Robust = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # xyz, status, n_views, covariance, residual, inlier


def _robust_outputs(keypoints_px: Tensor, covariance: bool, residuals: bool) -> Robust:
    C, n = keypoints_px.shape[:2]
    byte = functools.partial(keypoints_px.new_empty, dtype=torch.uint8)
    return (
        keypoints_px.new_empty((n, 3)),
        byte((n,)),
        byte((n,)),
        keypoints_px.new_empty((n, 3, 3) if covariance else (0, 3, 3)),
        keypoints_px.new_empty((C, n) if residuals else (0, n)),
        keypoints_px.new_empty((C, n) if residuals else (0, n), dtype=torch.bool),
    )


def robust(
    cameras: _core.Cameras,
    keypoints_px: Tensor,
    score: Tensor | None,
    sigma_px: Tensor | None,
    options: _core.TriangulateOptions,
    covariance: bool,
    residuals: bool,
) -> tuple[Robust, float]:
    """The results and the sigma that the covariance stands on; without gradients. What is not asked for is empty."""
    keypoints_px = _ready(keypoints_px)
    score = None if score is None else _ready(score)
    sigma_px = None if sigma_px is None else _ready(sigma_px)
    out = _robust_outputs(keypoints_px, covariance, residuals)
    xyz, status, n_views, cov, residual, inlier = out
    with same_device(keypoints_px):
        sigma = _call("triangulate", keypoints_px)(
            cameras, address(keypoints_px), address(score), address(sigma_px), keypoints_px.shape[1], address(xyz),
            address(status), address(cov if covariance else None), address(residual if residuals else None),
            address(inlier if residuals else None), address(n_views), options, keypoints_px.is_cuda,
            stream_of(keypoints_px),
        )  # fmt: skip
    return out, sigma


@torch.library.custom_op(
    "sportcore::triangulate",
    mutates_args=(),
    schema="(Tensor keypoints_px, Tensor? score, Tensor? sigma_px, Tensor cameras, int[] models, str options,"
    " bool covariance) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def robust_op(
    keypoints_px: Tensor, score: Tensor | None, sigma_px: Tensor | None, cameras: Tensor, models: list[int],
    options: str, covariance: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Robust triangulation: Robust and sigma_px (1,). `cameras` (C, 24) and sigma_px lie in host memory."""
    core = core_cameras(cameras, models)
    out, sigma = robust(core, keypoints_px, score, sigma_px, options_of(options), covariance, True)
    return (*out, torch.tensor([sigma], dtype=torch.float64))


@robust_op.register_fake
def _(
    keypoints_px: Tensor, score: Tensor | None, sigma_px: Tensor | None, cameras: Tensor, models: list[int],
    options: str, covariance: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return (*_robust_outputs(keypoints_px, covariance, True), cameras.new_empty(1))


@torch.library.custom_op(
    "sportcore::triangulate_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor keypoints_px, Tensor? sigma_px, Tensor xyz, Tensor inlier, Tensor cameras,"
    " int[] models, str options) -> (Tensor, Tensor)",
)
def robust_backward_op(
    grad: Tensor, keypoints_px: Tensor, sigma_px: Tensor | None, xyz: Tensor, inlier: Tensor, cameras: Tensor,
    models: list[int], options: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients by keypoints_px and sigma_px (empty without one)."""
    grad, keypoints_px = _ready(grad), _ready(keypoints_px)
    sigma_px = None if sigma_px is None else _ready(sigma_px)
    rows = cameras.to(keypoints_px.device)
    by_keypoints = torch.empty_like(keypoints_px)
    by_sigma = keypoints_px.new_empty(keypoints_px.shape[:2] if sigma_px is not None else (0, keypoints_px.shape[1]))
    with same_device(keypoints_px):
        _call("triangulate_backward", keypoints_px)(
            address(rows), models, address(keypoints_px), address(sigma_px), address(xyz), address(inlier),
            keypoints_px.shape[1], address(grad), address(by_keypoints),
            address(by_sigma if sigma_px is not None else None), options_of(options), keypoints_px.is_cuda,
            stream_of(keypoints_px),
        )  # fmt: skip
    return by_keypoints, by_sigma


@robust_backward_op.register_fake
def _(
    grad: Tensor, keypoints_px: Tensor, sigma_px: Tensor | None, xyz: Tensor, inlier: Tensor, cameras: Tensor,
    models: list[int], options: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    n = keypoints_px.shape[1]
    shape = keypoints_px.shape[:2] if sigma_px is not None else (0, n)
    return keypoints_px.new_empty(keypoints_px.shape), keypoints_px.new_empty(shape)


def _robust_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    keypoints_px, _, sigma_px, cameras, ctx.models, ctx.options, _ = inputs
    ctx.save_for_backward(keypoints_px, sigma_px, output[0], output[5], cameras)


def _robust_backward(ctx: Any, grad: Tensor, *others: Any) -> tuple[Any, ...]:
    keypoints_px, sigma_px, xyz, inlier, cameras = ctx.saved_tensors
    by_keypoints, by_sigma = robust_backward_op(
        grad, keypoints_px, sigma_px, xyz, inlier, cameras, ctx.models, ctx.options
    )
    needs = ctx.needs_input_grad
    return by_keypoints if needs[0] else None, None, by_sigma if needs[2] else None, None, None, None, None


robust_op.register_autograd(_robust_backward, setup_context=_robust_context)

"""Skinning as an operator of torch: pointers, shapes and the stream go to the core, nothing is copied."""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor

from .. import _core
from ..errors import InputError
from .skinning import SkinWeights, check_shapes, weights_of

__all__ = ["skin_tensors"]


def skin_tensors(vertices: Any, weights: SkinWeights, transforms: Any, weight: Any | None, num_threads: int) -> Tensor:
    """`sportcore.body.skin` of tensors."""
    tensors = [("vertices", vertices), ("transforms", transforms)]
    if weight is not None:
        tensors.append(("weight", weight))
    for name, t in tensors:
        if not isinstance(t, Tensor):
            raise InputError(f"{name} must be a tensor like the others, got {type(t).__name__}.")
        if t.dtype not in (torch.float32, torch.float64):
            raise InputError(f"{name} must be float32 or float64, got {t.dtype}.", "Use tensor.float().")
        if t.dtype != vertices.dtype:
            raise InputError(f"{name} is {t.dtype}, vertices are {vertices.dtype}.", "Bring them to one precision.")
        if t.device != vertices.device:
            raise InputError(f"{name} is on {t.device}, vertices are on {vertices.device}.", "Use tensor.to(device).")
        if t.device.type not in ("cpu", "cuda"):
            raise InputError(f"{name} is on {t.device}; skinning runs on the CPU and on CUDA devices.")
    check_shapes(weights, vertices, transforms, weight)
    return _skin(vertices, transforms, weight, weights.handle, num_threads)


class _OnDevice:
    """Copies of the weights on one CUDA device, made once and then shared by all streams."""

    def __init__(self, weights: SkinWeights, device: torch.device) -> None:
        core = weights._core
        arrays = (core.bone.view("int16"), core.bone_begin, core.bone_entry.view("int32"))
        self.bone, self.bone_begin, self.bone_entry = (torch.tensor(a, device=device) for a in arrays)
        self.values = {
            torch.float32: torch.tensor(weights._values["float32"], device=device),
            torch.float64: torch.tensor(weights._values["float64"], device=device),
        }
        torch.cuda.synchronize(device)  # once: the copies are then there for every stream
        self._home = torch.cuda.current_stream(device)

    def use(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory until the work that this stream has by now is done."""
        if stream != self._home:
            for t in (self.bone, self.bone_begin, self.bone_entry, *self.values.values()):
                t.record_stream(stream)


def _on_device(weights: SkinWeights, device: torch.device) -> _OnDevice:
    found = weights._on_device.get(device)
    if found is None:
        _core.require_cuda()
        found = weights._on_device[device] = _OnDevice(weights, device)
    return found


def _at(t: Tensor | None) -> int:
    return 0 if t is None else t.data_ptr()


# The schemas are read from these annotations, which is why they are spelt in the older way.
@torch.library.custom_op("sportcore::skin", mutates_args=())
def _skin(vertices: Tensor, transforms: Tensor, weight: Optional[Tensor], handle: int, num_threads: int) -> Tensor:  # noqa: UP045
    weights, single = weights_of(handle), vertices.dtype == torch.float32
    vertices, transforms = vertices.contiguous(), transforms.contiguous()
    weight = None if weight is None else weight.contiguous()
    B, per_frame = transforms.shape[0], vertices.ndim == 3
    out = vertices.new_empty((B, weights.n_vertices, 3))
    if not vertices.is_cuda:
        run = _core.skin_host_f32 if single else _core.skin_host_f64
        run(
            weights._core, vertices.data_ptr(), per_frame, transforms.data_ptr(), B, _at(weight), out.data_ptr(),
            _core.SkinOptions(num_threads=num_threads),
        )  # fmt: skip
        return out
    with torch.cuda.device(vertices.device):
        here, stream = _on_device(weights, vertices.device), torch.cuda.current_stream(vertices.device)
        here.use(stream)
        values = here.values[vertices.dtype] if weight is None else weight
        launch = _core.skin_cuda_f32 if single else _core.skin_cuda_f64
        launch(
            weights._core, here.bone.data_ptr(), vertices.data_ptr(), per_frame, transforms.data_ptr(), B,
            values.data_ptr(), out.data_ptr(), stream.cuda_stream,
        )  # fmt: skip
    return out


@_skin.register_fake
def _(vertices: Tensor, transforms: Tensor, weight: Tensor | None, handle: int, num_threads: int) -> Tensor:
    return vertices.new_empty((transforms.shape[0], vertices.shape[-2], 3))


@torch.library.custom_op("sportcore::skin_backward", mutates_args=())
def _skin_backward(
    grad_out: Tensor,
    vertices: Tensor,
    transforms: Tensor,
    weight: Optional[Tensor],  # noqa: UP045
    handle: int,
    num_threads: int,
    by_vertices: bool,
    by_transforms: bool,
    by_weight: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    weights, single = weights_of(handle), vertices.dtype == torch.float32
    grad_out, vertices, transforms = grad_out.contiguous(), vertices.contiguous(), transforms.contiguous()
    weight = None if weight is None else weight.contiguous()
    B, per_frame = transforms.shape[0], vertices.ndim == 3
    grad_vertices = vertices.new_empty(vertices.shape if by_vertices else (0,))
    grad_transforms = vertices.new_empty(transforms.shape if by_transforms else (0,))
    grad_weight = vertices.new_empty((weights.n_vertices, weights.bones_per_vertex) if by_weight else (0,))
    to = (
        grad_vertices.data_ptr() if by_vertices else 0,
        grad_transforms.data_ptr() if by_transforms else 0,
        grad_weight.data_ptr() if by_weight else 0,
    )
    if not vertices.is_cuda:
        run = _core.skin_backward_host_f32 if single else _core.skin_backward_host_f64
        run(
            weights._core, vertices.data_ptr(), per_frame, transforms.data_ptr(), B, _at(weight),
            grad_out.data_ptr(), *to, _core.SkinOptions(num_threads=num_threads),
        )  # fmt: skip
        return grad_vertices, grad_transforms, grad_weight
    with torch.cuda.device(vertices.device):
        here, stream = _on_device(weights, vertices.device), torch.cuda.current_stream(vertices.device)
        here.use(stream)
        values = here.values[vertices.dtype] if weight is None else weight
        launch = _core.skin_backward_cuda_f32 if single else _core.skin_backward_cuda_f64
        launch(
            weights._core, here.bone.data_ptr(), here.bone_begin.data_ptr(), here.bone_entry.data_ptr(),
            vertices.data_ptr(), per_frame, transforms.data_ptr(), B, values.data_ptr(), grad_out.data_ptr(), *to,
            stream.cuda_stream,
        )  # fmt: skip
    return grad_vertices, grad_transforms, grad_weight


@_skin_backward.register_fake
def _(
    grad_out: Tensor,
    vertices: Tensor,
    transforms: Tensor,
    weight: Tensor | None,
    handle: int,
    num_threads: int,
    by_vertices: bool,
    by_transforms: bool,
    by_weight: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        vertices.new_empty(vertices.shape if by_vertices else (0,)),
        vertices.new_empty(transforms.shape if by_transforms else (0,)),
        vertices.new_empty(weight.shape if by_weight and weight is not None else (0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    vertices, transforms, weight, ctx.handle, ctx.num_threads = inputs
    ctx.save_for_backward(vertices, transforms, weight)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    vertices, transforms, weight = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:3]
    grads = _skin_backward(grad_out, vertices, transforms, weight, ctx.handle, ctx.num_threads, *wanted)
    return (*(g if want else None for g, want in zip(grads, wanted, strict=True)), None, None)


_skin.register_autograd(_backward, setup_context=_setup_context)

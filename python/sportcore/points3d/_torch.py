"""Tensors of torch as the core takes them: checks, addresses and streams, without importing torch."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import _core
from ..buffers import is_tensor
from ..errors import InputError


def float_tensor(value: Any, name: str, last: int | None = None) -> Any:
    """The tensor, when it is one that the core works on.

    Args:
        value: a tensor.
        name: of the argument, for the messages.
        last: length that its last axis must have, or None.

    Raises:
        InputError: precision, shape or device do not fit.
        DeviceError: it lies on a CUDA device, and this build or machine cannot use that.
    """
    torch = sys.modules["torch"]
    if value.dtype not in (torch.float32, torch.float64):
        half = value.dtype in (torch.float16, torch.bfloat16)
        raise InputError(
            f"{name}: a tensor must be float32 or float64, got {value.dtype}.",
            "Half precision holds a pixel of a large image to one unit only. Convert with .float()."
            if half
            else "Convert with .float() or .double().",
        )
    if last is not None and (value.ndim < 1 or value.shape[-1] != last):
        raise InputError(f"{name} must end with an axis of length {last}, got the shape {tuple(value.shape)}.")
    if value.layout != torch.strided:
        raise InputError(f"{name}: a sparse tensor cannot be used.", "Convert with .to_dense().")
    check_place(value, name)
    return value


def check_place(tensor: Any, name: str) -> None:
    """Raises unless the tensor lies on the CPU or on a usable CUDA device."""
    if tensor.device.type == "cuda":
        _core.require_cuda()
    elif tensor.device.type != "cpu":
        raise InputError(
            f"{name} lies on the device {str(tensor.device)!r}.", 'Move it to the CPU or to CUDA: .to("cpu").'
        )


def companion(value: Any, name: str, beside: Any, beside_name: str, shape: tuple[int, ...]) -> Any | None:
    """`value` as a tensor in the precision of `beside` and of this shape; None stays None.

    Raises:
        InputError: it lies on another device, or its shape differs.
    """
    if value is None:
        return None
    torch = sys.modules["torch"]
    if not is_tensor(value):
        if beside.device.type != "cpu":
            raise InputError(
                f"{name} lies in host memory, {beside_name} on {beside.device}.",
                f"Give both on one device: torch.as_tensor({name}, device={str(beside.device)!r}).",
            )
        value = torch.as_tensor(value)
    if value.device != beside.device:
        raise InputError(
            f"{name} lies on {value.device}, {beside_name} on {beside.device}.",
            f"Give both on one device: {name}.to({str(beside.device)!r}).",
        )
    if value.dtype in (torch.float16, torch.bfloat16):
        raise InputError(f"{name} is in half precision ({value.dtype}).", "Convert with .float().")
    if tuple(value.shape) != tuple(shape):
        raise InputError(f"{name} must have the shape {tuple(shape)}, got {tuple(value.shape)}.")
    return value.to(beside.dtype)


def refuse_device_option(tensor: Any, name: str, cuda: bool) -> None:
    """Tensors are worked on where they lie: device="cuda" beside a CPU tensor is a contradiction."""
    if cuda and tensor.device.type != "cuda":
        raise InputError(
            f'device="cuda", but {name} lies on {tensor.device}: tensors are worked on where they lie.',
            f"Give {name}.cuda().",
        )


def address(tensor: Any | None) -> int:
    """Where the data of a contiguous tensor start; 0 for None."""
    return 0 if tensor is None else int(tensor.data_ptr())


def stream_of(tensor: Any) -> int:
    """Handle of the stream that torch currently uses on the tensor's device; 0 on the CPU."""
    if tensor.device.type != "cuda":
        return 0
    return int(sys.modules["torch"].cuda.current_stream(tensor.device).cuda_stream)


def same_device(tensor: Any) -> AbstractContextManager[Any]:
    """Context in which the tensor's device is the current one."""
    if tensor.device.type != "cuda":
        return nullcontext()
    return sys.modules["torch"].cuda.device(tensor.device)  # type: ignore[no-any-return]

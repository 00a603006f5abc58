"""CUDA tensors of torch, recognised without importing torch and passed on by pointer."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import _core
from ..errors import InputError


def cuda_tensor(value: Any, name: str, last: int | None = None) -> Any | None:
    """The contiguous float tensor when `value` is a CUDA tensor of torch, else None.

    Raises:
        DeviceError: it is one, but this build or machine cannot use it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or not value.is_cuda:
        return None
    _core.require_cuda()
    if value.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{name}: a CUDA tensor must be float32 or float64, got {value.dtype}.")
    if last is not None and (value.ndim < 1 or value.shape[-1] != last):
        raise InputError(f"{name} must end with an axis of length {last}, got the shape {tuple(value.shape)}.")
    return value.detach().contiguous()


def stream_of(tensor: Any) -> int:
    """Handle of the stream that torch currently uses on the tensor's device."""
    return int(sys.modules["torch"].cuda.current_stream(tensor.device).cuda_stream)


def same_device(tensor: Any) -> AbstractContextManager[Any]:
    """Context in which the tensor's device is the current one."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.cuda.device(tensor.device)

"""Arrays of other libraries: taken without copies, and results given back in the kind that came.

NumPy arrays and torch tensors are worked on as they are. Anything else that speaks DLPack (CuPy, JAX) or has a
``__cuda_array_interface__`` (CuPy, Numba) is looked at through one of the two: through NumPy in host memory, through
torch on a CUDA device. torch is never imported for host memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import InputError, require

__all__ = ["adopt", "is_tensor"]

_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13  # DLDeviceType of DLPack


def is_tensor(value: Any) -> bool:
    """True for a tensor of torch; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def adopt(value: Any, name: str) -> tuple[Any, Callable[[Any], Any]]:
    """An array of any library as one that the core works on, without a copy.

    Args:
        value: a NumPy array (or what NumPy makes one of), a tensor, or a producer of DLPack or of
            ``__cuda_array_interface__``.
        name: of the argument, for the messages.

    Returns:
        A NumPy array or a tensor on the device of the value, and a function that turns a result (None stays None)
        into the kind of the value: by ``from_dlpack`` of its library. Where the library has none (Numba), results
        stay NumPy arrays or, on a CUDA device, tensors.

    Raises:
        InputError: the value lies on a device that is neither the CPU nor CUDA, or is in half precision.
        MissingExtraError: the value lies on a CUDA device, and torch is not installed.
    """
    if isinstance(value, (np.ndarray, np.generic)) or is_tensor(value):
        return value, _same
    cls = type(value)
    if hasattr(cls, "__dlpack__") and hasattr(cls, "__dlpack_device__"):
        kind = int(value.__dlpack_device__()[0])
        if kind in (_CPU, _CUDA_HOST):
            array = np.from_dlpack(value)
        elif kind in (_CUDA, _CUDA_MANAGED):
            array = require("torch", "train").from_dlpack(value)
        else:
            raise InputError(
                f"{name} lies on a device (DLPack type {kind}) that the core cannot use.",
                "Move it to the CPU or to a CUDA device.",
            )
    elif hasattr(value, "__cuda_array_interface__"):
        array = _from_cuda_array(value)
    else:
        return value, _same
    if str(array.dtype).removeprefix("torch.") in ("float16", "bfloat16"):
        raise InputError(f"{name} is in half precision ({array.dtype}).", "Convert it to float32.")
    return array, _giver(value)


def _same(result: Any) -> Any:
    return result


def _from_cuda_array(value: Any) -> Any:
    """A tensor on the same memory; the current stream waits for the stream that the producer names."""
    torch = require("torch", "train")
    tensor = torch.as_tensor(value, device="cuda")
    stream = value.__cuda_array_interface__.get("stream")
    if stream:
        current = torch.cuda.current_stream(tensor.device)
        if stream not in (1, current.cuda_stream):
            current.wait_stream(torch.cuda.ExternalStream(stream, device=tensor.device))
        elif stream == 1 and current.cuda_stream != 0:
            current.wait_stream(torch.cuda.default_stream(tensor.device))
    return tensor


def _giver(value: Any) -> Callable[[Any], Any]:
    """How results become arrays of the library of `value`."""
    if hasattr(value, "__array_namespace__"):
        library = value.__array_namespace__()
    else:
        library = sys.modules.get(type(value).__module__.split(".")[0])
    take = getattr(library, "from_dlpack", None)
    if take is None:
        return _same
    return lambda result: None if result is None else take(result)

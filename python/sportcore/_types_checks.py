"""What the frozen values of :mod:`sportcore.types` share: private copies of arrays, and refusals in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

__all__ = ["Floats", "frozen", "need"]

Floats = NDArray[np.float64]


def frozen(values: ArrayLike, dtype: Any = np.float64) -> NDArray[Any]:
    """A private read-only copy as an array; InputError where the values make no regular array of numbers."""
    try:
        array = np.array(values, dtype=dtype, copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected numbers in a regular array: {error}.") from error
    array.setflags(write=False)
    return array


def need(condition: bool, message: str, remedy: str = "") -> None:
    """Raise InputError unless the condition holds."""
    if not condition:
        raise InputError(message, remedy)

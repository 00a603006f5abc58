"""Linear blend skinning of a mesh by the kernels of the core, for NumPy arrays and torch tensors."""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..errors import InputError

__all__ = ["SkinWeights", "skin"]

_by_handle: weakref.WeakValueDictionary[int, SkinWeights] = weakref.WeakValueDictionary()
_handles = itertools.count(1)


class SkinWeights:
    """Which bones move which vertices, checked and sorted once. Immutable; share one object between calls.

    Args:
        bone_index: (V, K) bones of each vertex, K at most 16, in [0, n_bones).
        weight: (V, K) their weights; nothing is assumed of their sum. 0 where a vertex has fewer bones.
        n_bones: J.

    Raises:
        InputError: a shape, an index out of range, a weight that is not finite.
    """

    def __init__(self, bone_index: ArrayLike, weight: ArrayLike, n_bones: int) -> None:
        bones = np.asarray(bone_index)
        if not np.issubdtype(bones.dtype, np.integer):
            raise InputError(f"bone_index must hold whole numbers, got {bones.dtype}.")
        if bones.size and not 0 <= int(bones.min()) <= int(bones.max()) < n_bones:
            raise InputError(
                f"bone_index must lie in [0, {n_bones}), got {int(bones.min())} to {int(bones.max())}.",
                "Give the number of bones of the transforms as n_bones.",
            )
        self._take(_core.SkinWeights(bones.astype(np.int32), np.asarray(weight, np.float64), int(n_bones)))

    @classmethod
    def from_dense(cls, weights: ArrayLike, max_bones: int | None = None) -> SkinWeights:
        """From a matrix (V, J): its entries that are not zero.

        Args:
            weights: (V, J).
            max_bones: keep only that many, the largest, of each vertex and scale them to the old sum.

        Raises:
            InputError: a vertex has more than 16 bones, or a weight is not finite.
        """
        self = cls.__new__(cls)
        self._take(_core.SkinWeights.from_dense(np.asarray(weights, np.float64), int(max_bones or 0)))
        return self

    def _take(self, core: Any) -> None:
        self._core = core
        self._values = {"float64": core.weight, "float32": core.weight.astype(np.float32)}
        self._on_device: dict[Any, Any] = {}  # of torch, see _torch.py
        self.n_vertices: int = core.n_vertices
        self.n_bones: int = core.n_bones
        self.bones_per_vertex: int = core.n_slots
        self.handle: int = next(_handles)
        _by_handle[self.handle] = self

    @property
    def bone_index(self) -> NDArray[np.uint16]:
        """(V, K) bones of each vertex."""
        return self._core.bone

    @property
    def weight(self) -> NDArray[np.float64]:
        """(V, K) their weights."""
        return self._core.weight

    def to_dense(self) -> NDArray[np.float64]:
        """The matrix (V, J)."""
        dense = np.zeros((self.n_vertices, self.n_bones))
        np.add.at(dense, (np.arange(self.n_vertices)[:, None], self.bone_index), self.weight)
        return dense

    def __repr__(self) -> str:
        return f"SkinWeights({self.n_vertices} vertices, {self.n_bones} bones, {self.bones_per_vertex} per vertex)"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return SkinWeights, (np.array(self.bone_index), np.array(self.weight), self.n_bones)


def weights_of(handle: int) -> SkinWeights:
    """The weights with this handle, for operators that can only be passed numbers."""
    try:
        return _by_handle[handle]
    except KeyError:
        raise InputError(
            "The SkinWeights of this computation no longer exist.", "Keep the object as long as it is used."
        ) from None


def is_tensor(*values: Any) -> bool:
    """True when one of the values is a tensor of torch. Does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and any(isinstance(v, torch.Tensor) for v in values)


def check_shapes(weights: SkinWeights, vertices: Any, transforms: Any, weight: Any | None) -> None:
    """Raise InputError unless the shapes belong together."""
    V, J, K = weights.n_vertices, weights.n_bones, weights.bones_per_vertex
    if len(transforms.shape) != 4 or tuple(transforms.shape[1:]) != (J, 3, 4):
        raise InputError(f"transforms must have the shape (B, {J}, 3, 4), got {tuple(transforms.shape)}.")
    B = transforms.shape[0]
    shape = tuple(vertices.shape)
    if shape != (V, 3) and (len(shape) != 3 or shape[0] != B or shape[1:] != (V, 3)):
        raise InputError(f"vertices must have the shape ({V}, 3) or ({B}, {V}, 3), got {shape}.")
    if weight is not None and tuple(weight.shape) != (V, K):
        raise InputError(f"weight must have the shape ({V}, {K}), got {tuple(weight.shape)}.")


def skin(
    vertices: Any,
    weights: SkinWeights,
    transforms: Any,
    *,
    weight: Any | None = None,
    num_threads: int = 0,
    device: Literal["cpu", "cuda"] | None = None,
) -> Any:
    """Move a mesh by its bones: y = (sum of weight times transform) (x, 1).

    Arrays or torch tensors, float32 or float64. Tensors are read where they lie, on the CPU or on a CUDA device
    (in the current stream), without a copy when they are contiguous; the operation is differentiable by all of
    them and works in torch.compile. Gradients do not depend on the number of threads, and on CUDA equal input
    gives equal bits.

    Args:
        vertices: (V, 3) shared by all frames, or (B, V, 3).
        weights: bones of the vertices.
        transforms: (B, J, 3, 4) of each bone from the rest pose to the frame.
        weight: (V, K) instead of the values in `weights`, for example to learn them.
        num_threads: on the CPU; 0: one per available core.
        device: of NumPy arrays, "cpu" unless given. Tensors stay where they are.

    Returns:
        (B, V, 3), of the type, precision and device of the input.

    Raises:
        InputError: shapes, precisions or devices that do not belong together.
        DeviceError: CUDA was asked for and cannot be used.
    """
    if not isinstance(weights, SkinWeights):
        raise InputError(
            f"weights must be SkinWeights, got {type(weights).__name__}.", "Use SkinWeights.from_dense(matrix)."
        )
    if is_tensor(vertices, transforms, weight):
        from ._torch import skin_tensors

        if device is not None:
            raise InputError("device is for NumPy arrays; tensors stay where they are.", "Use tensor.to(device).")
        return skin_tensors(vertices, weights, transforms, weight, num_threads)
    if device not in (None, "cpu", "cuda"):
        raise InputError(f"device must be 'cpu' or 'cuda', got {device!r}.")
    given = [np.asarray(a) for a in (vertices, transforms)]
    given += [] if weight is None else [np.asarray(weight)]
    for a in given:
        if a.dtype == np.float16:
            raise InputError("float16 is not precise enough for skinning.", "Use float32.")
        if a.dtype.kind not in "fiu":
            raise InputError(f"skin needs real numbers, got {a.dtype}.")
    dtype = np.float32 if all(a.dtype == np.float32 for a in given) else np.float64
    x, A, *values = (np.ascontiguousarray(a, dtype) for a in given)
    check_shapes(weights, x, A, values[0] if values else None)
    options = _core.SkinOptions(num_threads=num_threads, cuda=device == "cuda")
    run: Any = _core.skin  # chosen by the precision
    return run(weights._core, x, A, *values, options=options)

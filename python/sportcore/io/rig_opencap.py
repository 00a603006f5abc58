"""Cameras of an OpenCap session: one ``cameraIntrinsicsExtrinsics.pickle`` per camera.

Loading a pickle can run any code, and even NumPy's own part of it can be led to crash. Here nothing of NumPy is called
with what the file says: the few names that an array is pickled with stand for small classes of this module, which take
down what they are given and build plain arrays of numbers from it afterwards. Anything else is refused before it is
called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.atomic import write_bytes
from sportcore.io.rig_common import PathLike, RawCamera, RigFile, build, check_size, natural_key, numbers
from sportcore.types import Rig

FILE_NAME = "cameraIntrinsicsExtrinsics.pickle"
MAX_BYTES = 1 << 20  # OpenCap's own are about 2 kB
_ARRAY_MODULES = {"numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


class _NotPlain(pickle.UnpicklingError):
    """Something other than numbers, text and arrays of numbers."""


class _Array:
    """An array as the pickle describes it; turned into numbers by :meth:`values`."""

    shape: tuple[int, ...] = ()
    dtype: _Dtype | None = None
    fortran = False
    data: bytes = b""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _NotPlain("an array is described in an unknown way")
        self._describe(*state[-4:])

    def _describe(self, shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
        if isinstance(data, str):
            data = data.encode("latin1")
        plain = isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)
        if not plain or not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, bytearray)):
            raise _NotPlain("an array is not of plain numbers")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), bytes(data)

    def values(self) -> NDArray[np.float64]:
        if self.dtype is None:
            raise _NotPlain("an array without content")
        dtype = np.dtype(self.dtype.order + self.dtype.kind)
        if len(self.data) != math.prod(self.shape) * dtype.itemsize:
            raise _NotPlain(f"an array of shape {self.shape} with {len(self.data)} bytes")
        flat = np.frombuffer(self.data, dtype).astype(np.float64)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


class _Dtype:
    """``numpy.dtype`` in the pickle: only real numbers, integers and truth values."""

    def __init__(self, kind: Any = None, *_: Any) -> None:
        if kind not in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"):
            raise _NotPlain(f"an array of {kind!r}")
        self.kind: str = kind
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise _NotPlain("a type of number that is not known")
        self.order = state[1]


class _ArrayType:
    """``numpy.ndarray`` in the pickle: only ever an argument."""

    def __init__(self, *_: Any) -> None:
        raise _NotPlain("numpy.ndarray is called")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    out = _Array()
    out._describe(shape, dtype, order == "F", data)
    return out


def _scalar(dtype: Any, data: Any) -> _Array:
    out = _Array()
    out._describe((), dtype, False, data)
    return out


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, which pickles of protocol 2 use for the bytes of an array."""
    if encoding != "latin1" or not isinstance(text, str):
        raise _NotPlain("an encoding other than latin1")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build dictionaries, lists, numbers, text and :class:`_Array`, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES:
            stand_in = {"_reconstruct": _reconstruct, "scalar": _scalar, "_frombuffer": _from_buffer}.get(name)
            if stand_in is not None:
                return stand_in
        known = {
            ("numpy", "ndarray"): _ArrayType, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encode,
        }.get((module, name))  # fmt: skip
        if known is None:
            raise _NotPlain(f"it asks for {module}.{name}")
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise _NotPlain("it refers to objects outside the file")


def _check_memo(data: bytes) -> None:
    """Refuse slot numbers that no file of this size can need; the C unpickler makes room for them at once."""
    for opcode, argument, _ in pickletools.genops(data):
        if "PUT" in opcode.name and isinstance(argument, int) and not 0 <= argument <= len(data):
            raise _NotPlain(f"it claims {argument} objects")


def load_arrays_pickle(path: PathLike) -> dict[str, Any]:
    """Load a pickled dictionary of arrays of numbers without running code from the file.

    Returns:
        The dictionary; arrays and NumPy scalars as float64 arrays, the rest as it is.

    Raises:
        InputError: missing, larger than 1 MB, truncated, not a dictionary, or anything other than arrays and plain
            values inside.
    """
    check_size(path, MAX_BYTES)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist.", "Check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        _check_memo(data)
        value = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
        if isinstance(value, dict):
            value = {str(k): v.values() if isinstance(v, _Array) else v for k, v in value.items()}
    except _NotPlain as error:
        raise InputError(
            f"{path}: is not a pickle of plain arrays ({error}); it was not executed.",
            "Only OpenCap's camera files are read this way.",
        ) from None
    except Exception as error:
        raise InputError(
            f"{path}: is damaged or not a pickle ({type(error).__name__}: {str(error)[:200]}).",
            "Download the session again.",
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}, a dictionary of camera parameters was expected.")
    return value


def _camera(path: Path, notes: list[str]) -> RawCamera:
    data = load_arrays_pickle(path)
    missing = [k for k in ("intrinsicMat", "distortion", "imageSize") if k not in data]
    if missing:
        raise InputError(f"{path}: is not an OpenCap camera file, {', '.join(missing)} is missing.")
    name = path.parent.name or path.stem
    if path.name != FILE_NAME:
        name = path.stem
    K = numbers(path, "intrinsicMat", data["intrinsicMat"], 9).reshape(3, 3)
    height, width = numbers(path, "imageSize", data["imageSize"], 2)
    inside = K[0, 2] < width and K[1, 2] < height
    if not inside and K[0, 2] < height and K[1, 2] < width:
        width, height = height, width
        notes.append(f"camera {name!r}: imageSize was read as (width, height), the principal point fits only so.")
    distortion = numbers(path, "distortion", data["distortion"])
    return RawCamera(name, (width, height), K, distortion, R=data.get("rotation"), t=data.get("translation"))


def read_opencap(path: PathLike) -> RigFile:
    """Read one OpenCap camera file, or all of a session folder (``Videos/Cam0/…``), named after their folders.

    ``imageSize`` is (height, width), ``translation`` in mm; the world is the checkerboard.
    """
    source = Path(path)
    files = [source] if source.is_file() else sorted(source.rglob(FILE_NAME), key=lambda p: natural_key(str(p)))
    if not files:
        raise InputError(f"{path}: holds no {FILE_NAME}.")
    notes = ["the world of an OpenCap session is its checkerboard"]
    return build(path, "opencap", [_camera(f, notes) for f in files], units="mm", notes=notes)


def write_opencap(rig: Rig, path: PathLike, *, has_pose: tuple[bool, ...]) -> None:
    """Write ``Videos/<camera>/cameraIntrinsicsExtrinsics.pickle`` into the folder ``path``.

    Raises:
        InputError: a lens that OpenCap has no form for (fisheye, more than five coefficients), or a camera name that
            is no folder name.
    """
    for camera in rig:
        if camera.model == "fisheye" or camera.distortion.size > 5:
            raise InputError(
                f"{path}: camera {camera.name!r} has a lens that an OpenCap file cannot hold (five coefficients).",
                "Write a .toml file.",
            )
        if camera.name in (".", "..") or any(c in camera.name for c in "/\\:\0"):
            raise InputError(f"{path}: camera name {camera.name!r} cannot be a folder.", "Rename the camera.")
    for camera, posed in zip(rig, has_pose, strict=True):
        width, height = camera.image_size
        values: Mapping[str, Any] = {
            "intrinsicMat": np.array(camera.K),
            "distortion": np.pad(camera.distortion, (0, 5 - camera.distortion.size))[None],
            "imageSize": np.array([[float(height)], [float(width)]]),
        }
        if posed:
            values = {**values, "rotation": np.array(camera.R), "translation": camera.t[:, None] * 1000.0}
        write_bytes(Path(path) / "Videos" / camera.name / FILE_NAME, pickle.dumps(values, protocol=4))

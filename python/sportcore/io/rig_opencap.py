"""Cameras of an OpenCap session: one ``cameraIntrinsicsExtrinsics.pickle`` per camera.

Loading a pickle can run any code.  Here only the few names that rebuild NumPy arrays are allowed; anything else
in the file is refused before it is called.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.rig_common import PathLike, RawCamera, RigFile, build, natural_key, numbers

FILE_NAME = "cameraIntrinsicsExtrinsics.pickle"
_ARRAY_MODULES = {"numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
_ARRAY_NAMES = {"_reconstruct", "scalar", "_frombuffer"}


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, which pickles of protocol 2 use for the bytes of an array."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("an encoding other than latin1")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build dictionaries, lists, numbers, text and NumPy arrays, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES and name in _ARRAY_NAMES:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_arrays_pickle(path: PathLike) -> dict[str, Any]:
    """Load a pickled dictionary of arrays without running code from the file.

    Raises:
        InputError: missing, truncated, not a dictionary, or anything other than arrays and plain values inside.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        value = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: is not a pickle of plain arrays ({error}); it was not executed.",
            "Only OpenCap's camera files are read this way.",
        ) from None
    except Exception as error:
        raise InputError(f"{path}: is damaged or not a pickle ({type(error).__name__}: {error}).") from None
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
    return RawCamera(
        name, (width, height), K, np.ravel(data["distortion"]), R=data.get("rotation"), t=data.get("translation")
    )


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

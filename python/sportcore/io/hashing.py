"""Stable SHA-256 of files, arrays and options; the same content gives the same text on every machine."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from sportcore.errors import InputError

_CHUNK_BYTES = 1 << 20


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            while chunk := handle.read(_CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return digest.hexdigest()


def _update_array(digest: Any, array: np.ndarray) -> None:
    if array.dtype.hasobject:
        raise InputError("an array of Python objects cannot be hashed")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if little.dtype.kind == "f":
        # One bit pattern for NaN and one for zero, so that equal data hash equal.
        little = np.where(np.isnan(little), np.array(np.nan, little.dtype), little + np.array(0, little.dtype))
        little = little.astype(array.dtype.newbyteorder("<"), copy=False)
    header = f"{little.dtype.str}{tuple(int(n) for n in array.shape)}".encode()
    digest.update(len(header).to_bytes(8, "little") + header)
    digest.update(np.ascontiguousarray(little).tobytes())


def hash_arrays(*arrays: Any, **named: Any) -> str:
    """Return one SHA-256 over dtype, shape and content of arrays, in order; named ones sorted by name.

    Memory layout and byte order do not matter, all NaN are one value, and -0.0 equals 0.0.  ``None`` is
    allowed and counts as absent.
    """
    digest = hashlib.sha256()
    items = [(str(i), a) for i, a in enumerate(arrays)] + [(f"={k}", named[k]) for k in sorted(named)]
    for name, value in items:
        digest.update(len(name.encode()).to_bytes(8, "little") + name.encode())
        if value is None:
            digest.update(b"none")
        else:
            _update_array(digest, np.asarray(value))
    return digest.hexdigest()


def _canonical(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return {"enum": [type(value).__name__, value.name]}
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) + 0.0
    if isinstance(value, np.ndarray):
        return {"array": hash_arrays(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        keys = [str(k) for k in value]
        if len(set(keys)) != len(keys):
            raise InputError("a mapping with keys that read the same as text cannot be hashed")
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(json.dumps(_canonical(v), sort_keys=True) for v in value)}
    raise InputError(f"a value of type {type(value).__name__} cannot be hashed")


def hash_json(value: Any) -> str:
    """Return the SHA-256 of options or metadata: the order of keys does not matter, that of lists does.

    Accepts JSON types, tuples, sets, dataclasses, enums, paths, bytes and NumPy arrays.

    Raises:
        InputError: another type of value.
    """
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()

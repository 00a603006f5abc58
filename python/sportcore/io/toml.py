"""TOML in and out: the standard parser for reading, a small writer for the plain tables that we write."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: missing, empty, truncated or not TOML; the message has the parser's line and column.
    """
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: is not valid TOML, perhaps truncated: {error}. Correct the line or restore the file."
        ) from None


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else _string(name)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if math.isnan(number):
            return "nan"
        if math.isinf(number):
            return "inf" if number > 0 else "-inf"
        return repr(number)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, np.ndarray):
        return _value(value.tolist())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items()) + "}"
    raise InputError(f"a value of type {type(value).__name__} cannot be written as TOML")


def dump_toml(data: Mapping[str, Any]) -> str:
    """Return ``data`` as TOML text: plain values first, then one table per mapping, in the given order.

    Floats are written with all their digits, so reading gives the same number.  ``None`` values are left out.

    Raises:
        InputError: a value that TOML has no form for.
    """
    lines: list[str] = []

    def table(mapping: Mapping[str, Any], path: tuple[str, ...]) -> None:
        plain = {k: v for k, v in mapping.items() if v is not None and not isinstance(v, Mapping)}
        nested = {k: v for k, v in mapping.items() if isinstance(v, Mapping)}
        if path and (plain or not nested):
            lines.append("[" + ".".join(_key(p) for p in path) + "]")
        lines.extend(f"{_key(str(k))} = {_value(v)}" for k, v in plain.items())
        if plain or (path and not nested):
            lines.append("")
        for key, value in nested.items():
            table(value, (*path, str(key)))

    table(data, ())
    return "\n".join(lines)

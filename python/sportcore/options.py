"""Options from tables: strict, with units in their names, and with an error that knows what was meant."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InputError

__all__ = ["describe_options", "from_table", "with_overrides"]

T = TypeVar("T")


def _field_types(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # a type that is only imported for checking
        return {f.name: Any for f in dataclasses.fields(cls)}


def _coerce(value: Any, wanted: Any, where: str) -> Any:
    origin = typing.get_origin(wanted)
    if wanted is Any or wanted is None:
        return value
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(wanted)
        if value is None and type(None) in choices:
            return None
        problems = []
        for choice in (c for c in choices if c is not type(None)):
            try:
                return _coerce(value, choice, where)
            except InputError as error:
                problems.append(error)
        raise problems[0]
    if origin is typing.Literal:
        allowed = typing.get_args(wanted)
        if value in allowed:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], 1)
        raise InputError(
            f"{where} = {value!r} is not allowed.",
            f"Use one of {', '.join(repr(a) for a in allowed)}." + (f" Did you mean {near[0]!r}?" if near else ""),
        )
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return value if isinstance(value, wanted) else from_table(wanted, value, where)
    if origin is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise InputError(f"{where} must be a list, got {value!r}.")
        items, args = list(value), typing.get_args(wanted)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_coerce(v, args[0], where) for v in items)
        if len(items) != len(args):
            raise InputError(f"{where} must have {len(args)} entries, got {len(items)}.")
        return tuple(_coerce(v, a, where) for v, a in zip(items, args, strict=True))
    if origin in (list, dict, Mapping) or (isinstance(wanted, type) and issubclass(wanted, (dict, Mapping))):
        return value
    if wanted is bool:
        if isinstance(value, bool):
            return value
        raise InputError(f"{where} must be true or false, got {value!r}.")
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(wanted, type) and wanted not in (int, float) and isinstance(value, wanted):
        return value
    name = getattr(wanted, "__name__", str(wanted))
    raise InputError(f"{where} must be {'a number' if wanted in (int, float) else name}, got {value!r}.")


def from_table(cls: type[T], table: Mapping[str, Any], where: str = "options") -> T:
    """Build an options dataclass from a table (of a TOML file or of the command line).

    Args:
        cls: a dataclass; its field types are checked, whole numbers pass as floats.
        table: names and values; nested tables build nested dataclasses.
        where: how to call the table in an error, for instance ``"[calibrate] in session.toml"``.

    Raises:
        InputError: a name that the options do not have (with the nearest one that they do), or a wrong type.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{where} must be a table of options, got {table!r}.")
    known = {f.name for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = _field_types(cls)
    values = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise InputError(
                f"{where} has no option {key!r}.",
                (f"Did you mean {near[0]!r}? " if near else "") + f"There are: {', '.join(sorted(known)) or 'none'}.",
            )
        values[key] = _coerce(value, hints.get(key, Any), f"{where}: {key}")
    try:
        return cls(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}.") from error


def with_overrides(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a nested table with dotted names replaced: ``{"detect.model": "blazepose-full"}``."""
    out: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in table.items()}
    for dotted, value in overrides.items():
        node = out
        *path, last = dotted.split(".")
        for part in path:
            inner = node.get(part, {})
            if not isinstance(inner, Mapping):
                raise InputError(f"{dotted}: {part!r} is a value, not a table.")
            node[part] = dict(inner)
            node = node[part]
        node[last] = value
    return out


def describe_options(cls: type[Any]) -> list[tuple[str, str, Any]]:
    """(name, type, default) of each option of a dataclass, for ``--help`` and the documentation."""
    rows = []
    for f in dataclasses.fields(cls):
        default = f.default
        if default is dataclasses.MISSING:
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else "required"
        rows.append((f.name, str(f.type), default))
    return rows

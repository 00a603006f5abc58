"""A reader for OpenCV's FileStorage (YAML and XML): matrices, numbers, text and lists at the top level.

OpenCV's own reader corrupts the memory of the process on some damaged files, so it is not used here.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import read_text
from sportcore.io.rig_common import PathLike, check_size, comma_hint
from sportcore.io.rig_xml import parse_xml

_KEY = re.compile(r"^(\s*)(?:\"([^\"]+)\"|([^\s:#\"][^:#\"]*?))\s*:(?:\s+(.*)|)$")
_NUMBER_TYPES = {"d", "f", "i", "u", "w", "s", "c", "1d", "1f", "1i"}


def read_storage(path: PathLike) -> dict[str, Any]:
    """Return the top-level entries: matrices as arrays, lists as lists, numbers as float, the rest as text.

    Raises:
        InputError: missing, empty, truncated, or a matrix whose data do not fit its size.
    """
    check_size(path)
    text = read_text(path)
    if text.lstrip().startswith("<"):
        return _read_xml(path, parse_xml(path))
    return _read_yaml(path, text)


def _scalar(text: str) -> float | str:
    cleaned = text.strip()
    if len(cleaned) > 1 and cleaned[0] == cleaned[-1] and cleaned[0] in "\"'":
        return cleaned[1:-1]
    lowered = cleaned.lower()
    if lowered.lstrip("+-") in (".nan", ".inf"):
        return float(lowered.replace(".", ""))
    try:
        return float(cleaned)
    except ValueError:
        return cleaned


def _matrix(path: PathLike, key: str, fields: dict[str, Any]) -> np.ndarray:
    rows, cols, kind, data = (fields.get(k) for k in ("rows", "cols", "dt", "data"))
    if not isinstance(rows, float) or not isinstance(cols, float) or not isinstance(data, list):
        raise InputError(f"{path}: matrix {key!r} lacks rows, cols or data; is the file truncated?")
    if str(kind) not in _NUMBER_TYPES:
        raise InputError(f"{path}: matrix {key!r} has the type {kind!r}; one number per element is read.")
    if any(not isinstance(v, float) for v in data) or rows < 0 or cols < 0 or len(data) != rows * cols:
        wrong = next((v for v in data if not isinstance(v, float)), None)
        found = f"{len(data)}" if wrong is None else f"also {str(wrong)[:40]!r}"
        raise InputError(
            f"{path}: matrix {key!r} should hold {rows:g} x {cols:g} numbers, it holds {found}; is it truncated?",
            comma_hint(wrong) or "Where numbers are written with decimal commas, export with an English locale.",
        )
    return np.array(data, dtype=np.float64).reshape(int(rows), int(cols))


def _logical_lines(path: PathLike, text: str) -> list[str]:
    """Return lines without comments, with lists in brackets joined into one line."""
    out: list[str] = []
    pending = ""
    for line in text.splitlines():
        if line.startswith(("%YAML", "---", "...")) or not line.strip() or line.lstrip().startswith("#"):
            continue
        pending = f"{pending} {line.strip()}" if pending else line.rstrip()
        if pending.count("[") > pending.count("]"):
            continue
        out.append(pending)
        pending = ""
    if pending:
        raise InputError(f"{path}: a list is not closed; is the file truncated?")
    return out


def _flow(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(v) for v in text[1:-1].split(",") if v.strip()]
    return _scalar(text)


def _read_yaml(path: PathLike, text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    key, fields = "", {}
    matrices: dict[str, dict[str, Any]] = {}
    for line in _logical_lines(path, text):
        match = _KEY.match(line)
        if match and not match.group(1):  # a key at the left edge
            key = (match.group(2) or match.group(3)).strip()
            if key in values:
                raise InputError(f"{path}: {key!r} is given twice.", "Remove one of them.")
            value = (match.group(4) or "").strip()
            if value.startswith("!!opencv-matrix"):
                fields = matrices[key] = {}
                values[key] = None
            else:
                fields = {}
                values[key] = _flow(value) if value else []
        elif line.lstrip().startswith("- "):
            if isinstance(values.get(key), list):
                values[key].append(_scalar(line.lstrip()[2:]))
        elif match and key:
            fields[(match.group(2) or match.group(3)).strip()] = _flow((match.group(4) or "").strip())
        elif not key:
            raise InputError(f"{path}: the line {line.strip()[:60]!r} is not OpenCV YAML.")
    for name, parts in matrices.items():
        values[name] = _matrix(path, name, parts)
    return values


def _read_xml(path: PathLike, root: ElementTree.Element) -> dict[str, Any]:
    if root.tag != "opencv_storage":
        raise InputError(f"{path}: is XML with root <{root.tag}>, not an OpenCV file.")
    values: dict[str, Any] = {}
    for element in root:
        if element.tag in values:
            raise InputError(f"{path}: {element.tag!r} is given twice.", "Remove one of them.")
        text = (element.text or "").strip()
        if element.get("type_id") == "opencv-matrix":
            parts: dict[str, Any] = {c.tag: _scalar(c.text or "") for c in element if c.tag != "data"}
            data = element.find("data")
            parts["data"] = [] if data is None else [_scalar(v) for v in (data.text or "").split()]
            values[element.tag] = _matrix(path, element.tag, parts)
        elif len(element):
            values[element.tag] = [_scalar(c.text or "") for c in element]
        else:
            quoted = re.findall(r'"([^"]*)"', text)
            split: list[float | str] = [_scalar(v) for v in text.split()]
            values[element.tag] = quoted if len(quoted) > 1 else split if len(split) > 1 else _scalar(text)
    return values

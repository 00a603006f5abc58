"""Small helpers for the report's HTML: escaping, number formatting, tables, figures.

Everything that enters the page goes through :func:`esc` unless it is a :class:`Raw`, which only the code of
this package makes. A name that holds markup is therefore shown, never run.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Raw", "callout", "esc", "figure", "fmt", "join", "json_for_script", "note", "pretty", "table"]

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
MISSING = "–"


class Raw(str):
    """A string that already is HTML made by this package."""

    __slots__ = ()


def esc(value: object) -> Raw:
    """Escape a value for HTML text and quoted attributes; a :class:`Raw` passes unchanged."""
    if isinstance(value, Raw):
        return value
    return Raw(html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Raw:
    """Concatenate escaped parts."""
    return Raw(separator.join(esc(part) for part in parts))


def fmt(value: object, digits: int = 1, unit: str = "") -> str:
    """A number with a fixed number of decimals and its unit, a dash where it is missing."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return MISSING
    if not math.isfinite(number):
        return MISSING
    text = f"{number:,.{digits}f}".replace(",", "\u202f")
    if text.startswith("-"):
        text = "\u2212" + text[1:] if any(c in "123456789" for c in text) else text[1:]
    if unit == "°":
        return text + unit
    return f"{text}\u00a0{unit}" if unit else text


def pretty(joint: object) -> str:
    """A joint or bone name for people: ``left_hip-left_knee`` becomes ``left hip – left knee``."""
    return str(joint).replace("_", " ").replace("-", " – ")


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    text_columns: Sequence[int] = (0,),
    caption: object = "",
    row_classes: Sequence[str] | None = None,
) -> Raw:
    """An HTML table; columns not in ``text_columns`` are aligned as numbers."""

    def cell(tag: str, column: int, value: object) -> str:
        css = "" if column in text_columns else ' class="n"'
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{css}{scope}>{esc(value)}</{tag}>"

    head = "".join(cell("th", i, h) for i, h in enumerate(headers))
    body = []
    for r, row in enumerate(rows):
        css = f' class="{esc(row_classes[r])}"' if row_classes and row_classes[r] else ""
        body.append(f"<tr{css}>" + "".join(cell("td", i, v) for i, v in enumerate(row)) + "</tr>")
    top = f"<caption>{esc(caption)}</caption>" if caption else ""
    return Raw(
        f'<div class="scroll"><table>{top}<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def figure(svg: Raw, caption: object, *, wide: bool = False) -> Raw:
    """A chart with its caption; a wide one scrolls sideways on a narrow screen."""
    css = "wide" if wide else "half"
    return Raw(f'<figure class="{css}"><figcaption>{esc(caption)}</figcaption><div class="scroll">{svg}</div></figure>')


def note(text: object) -> Raw:
    """A quiet paragraph."""
    return Raw(f'<p class="note">{esc(text)}</p>')


def callout(kind: str, text: object, remedy: object = "") -> Raw:
    """A warning box. ``kind`` is ``bad``, ``warn``, ``info`` or ``good``."""
    label = {"bad": "Problem", "warn": "Look at this", "info": "Note", "good": "Good"}.get(kind, "Note")
    fix = f'<span class="fix"><b>What to do:</b> {esc(remedy)}</span>' if remedy else ""
    return Raw(f'<div class="callout {esc(kind)}"><b class="tag">{label}</b><span>{esc(text)}</span>{fix}</div>')


def plain(value: Any) -> Any:
    """Turn arrays, NaN, paths and mappings into what strict JSON can hold (NaN and infinity become null)."""
    if value is None or isinstance(value, bool | str | int):
        return _CONTROL.sub("\ufffd", value) if isinstance(value, str) else value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    return _CONTROL.sub("\ufffd", str(value))


def json_for_script(value: Any, indent: int | None = None) -> Raw:
    """Strict JSON that cannot end its ``<script>`` element, whatever strings it holds."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Raw(text)

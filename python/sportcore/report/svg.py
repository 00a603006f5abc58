"""Charts as inline SVG, without a plotting library.

Colours are CSS classes (``c0`` to ``c7`` for series, ``grid``, ``axis``), so a chart follows the light and the
dark theme and prints well. A chart whose x axis is time carries ``data-*`` attributes by which the page's script
draws the player's time into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .markup import Raw, esc

__all__ = ["Chart", "bucket", "heatmap", "legend", "nice_ticks"]


def num(value: float) -> str:
    """Coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def tick_text(value: float, step: float) -> str:
    """Tick label with as many decimals as the step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.replace("-", "")
    return text.replace("-", "\u2212")


def nice_ticks(low: float, high: float, count: int = 5) -> tuple[list[float], float]:
    """Round tick values inside [low, high] and their step (1, 2 or 5 times a power of ten)."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low], 1.0
    raw = span / max(count, 1)
    base = 10.0 ** math.floor(math.log10(raw))
    step = next((m * base for m in (1.0, 2.0, 5.0) if m * base >= raw * 0.999), 10.0 * base)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)], step


def bucket(values: ArrayLike, size: int = 500) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Reduce a series to at most ``size`` points for drawing.

    Args:
        values: (T,) numbers, NaN where missing.
        size: most points wanted.

    Returns:
        ``(index, middle, low, high)``, each (B,): mean frame index of each bucket, and median, minimum and maximum
        of its finite values; NaN where the bucket has none. With T <= size these are the values themselves.
    """
    v = np.asarray(values, dtype=np.float64)
    step = max(1, math.ceil(len(v) / size))
    index = np.arange(len(v), dtype=np.float64)
    if step == 1:
        return index, v, v, v
    full = math.ceil(len(v) / step) * step
    padded = np.full(full, np.nan)
    padded[: len(v)] = v
    blocks = padded.reshape(-1, step)
    has = np.isfinite(blocks).any(1)
    middle, low, high = (np.full(len(blocks), np.nan) for _ in range(3))
    if has.any():
        middle[has] = np.nanmedian(blocks[has], axis=1)
        low[has] = np.nanmin(blocks[has], axis=1)
        high[has] = np.nanmax(blocks[has], axis=1)
    centres = np.minimum(np.arange(len(blocks)) * step + (step - 1) / 2, len(v) - 1)
    return centres, middle, low, high


class Chart:
    """One plot area with two axes; methods add marks, :meth:`render` returns the SVG.

    Args:
        x_range, y_range: data limits of the plot area.
        width, height: size of the view box in px; the page scales it to its column.
        margins: left, top, right, bottom in px.
        x_label, y_label: axis titles with units.
        label: what a screen reader says.
        x_ticks, y_ticks: explicit ``(value, text)`` ticks, else round numbers.
        equal: keep one data unit the same length on both axes (maps); widens the shorter range.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        *,
        width: int = 460,
        height: int = 260,
        margins: tuple[int, int, int, int] = (52, 12, 14, 42),
        x_label: str = "",
        y_label: str = "",
        label: str = "",
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
        equal: bool = False,
    ) -> None:
        self.width, self.height = width, height
        left, top, right, bottom = margins
        self.x0, self.y0, self.x1, self.y1 = left, top, width - right, height - bottom
        self.x_range, self.y_range = _widen(x_range), _widen(y_range)
        if equal:
            self._make_equal()
        self.x_label, self.y_label, self.label = x_label, y_label, label
        self._x_ticks, self._y_ticks = x_ticks, y_ticks
        self.marks: list[str] = []
        self.time_per_frame: float | None = None

    def _make_equal(self) -> None:
        (xa, xb), (ya, yb) = self.x_range, self.y_range
        per_px = max((xb - xa) / (self.x1 - self.x0), (yb - ya) / (self.y1 - self.y0))
        half_x, half_y = per_px * (self.x1 - self.x0) / 2, per_px * (self.y1 - self.y0) / 2
        self.x_range = ((xa + xb) / 2 - half_x, (xa + xb) / 2 + half_x)
        self.y_range = ((ya + yb) / 2 - half_y, (ya + yb) / 2 + half_y)

    def sx(self, x: float) -> float:
        """Data x to px."""
        a, b = self.x_range
        return self.x0 + (x - a) / (b - a) * (self.x1 - self.x0)

    def sy(self, y: float) -> float:
        """Data y to px."""
        a, b = self.y_range
        return self.y1 - (y - a) / (b - a) * (self.y1 - self.y0)

    def add(self, svg: str) -> None:
        """Append a mark that is already SVG."""
        self.marks.append(svg)

    def line(self, x: ArrayLike, y: ArrayLike, css: str, tip: object = "", dots: bool = False) -> None:
        """A polyline that breaks at NaN; a lone value between two gaps is drawn as a dot."""
        xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        ok = np.isfinite(xs) & np.isfinite(ys)
        path: list[str] = []
        title = f"<title>{esc(tip)}</title>" if tip else ""
        for run in _runs(ok):
            points = [f"{num(self.sx(xs[i]))} {num(self.sy(ys[i]))}" for i in run]
            if len(points) > 1:
                path.append("M" + "L".join(points))
            if len(points) == 1 or dots:
                for i in run:
                    self.dot(xs[i], ys[i], css, tip, radius=3 if dots else 1.6)
        if path:
            self.add(f'<path class="line {css}" d="{"".join(path)}">{title}</path>')

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> None:
        """A filled band between two series, broken at NaN."""
        xs, lo, hi = (np.asarray(v, dtype=float) for v in (x, low, high))
        for run in _runs(np.isfinite(xs) & np.isfinite(lo) & np.isfinite(hi)):
            up = [f"{num(self.sx(xs[i]))} {num(self.sy(hi[i]))}" for i in run]
            down = [f"{num(self.sx(xs[i]))} {num(self.sy(lo[i]))}" for i in reversed(run)]
            if len(run) > 1:
                self.add(f'<path class="band {css}" d="M{"L".join(up + down)}Z"/>')

    def dot(self, x: float, y: float, css: str, tip: object = "", radius: float = 4) -> None:
        """A filled circle."""
        title = f"<title>{esc(tip)}</title>" if tip else ""
        where = f'cx="{num(self.sx(x))}" cy="{num(self.sy(y))}" r="{num(radius)}"'
        self.add(f'<circle class="dot {css}" {where}>{title}</circle>')

    def rect(self, x: float, y: float, x2: float, y2: float, css: str, tip: object = "", extra: str = "") -> None:
        """A filled rectangle between two data corners."""
        px, qx = sorted((self.sx(x), self.sx(x2)))
        py, qy = sorted((self.sy(y), self.sy(y2)))
        title = f"<title>{esc(tip)}</title>" if tip else ""
        size = f'x="{num(px)}" y="{num(py)}" width="{num(qx - px)}" height="{num(qy - py)}"'
        self.add(f'<rect class="{css}" {size} {extra}>{title}</rect>')

    def segment(self, x: float, y: float, x2: float, y2: float, css: str, tip: object = "") -> None:
        """A straight line between two data points."""
        title = f"<title>{esc(tip)}</title>" if tip else ""
        ends = f'x1="{num(self.sx(x))}" y1="{num(self.sy(y))}" x2="{num(self.sx(x2))}" y2="{num(self.sy(y2))}"'
        self.add(f'<line class="{css}" {ends}>{title}</line>')

    def text(self, x: float, y: float, text: object, anchor: str = "start", dx: float = 0, dy: float = 0) -> None:
        """A label at a data point, moved by (dx, dy) px."""
        at = f'x="{num(self.sx(x) + dx)}" y="{num(self.sy(y) + dy)}"'
        self.add(f'<text {at} text-anchor="{anchor}">{esc(text)}</text>')

    def follow_time(self, per_frame: float) -> None:
        """Let the page's script draw the player's time: ``per_frame`` is the x distance of two frames."""
        self.time_per_frame = per_frame

    def render(self) -> Raw:
        """The SVG element."""
        out = [f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{esc(self.label)}"']
        if self.time_per_frame:
            box = ",".join(num(v) for v in (self.x0, self.y0, self.x1, self.y1))
            out.append(f' data-box="{box}" data-xmin="{self.x_range[0]:.6g}" data-xmax="{self.x_range[1]:.6g}"')
            out.append(f' data-per-frame="{self.time_per_frame:.9g}" class="timed"')
        out.append(">")
        out.extend(self._axes())
        out.extend(self.marks)
        out.append("</svg>")
        return Raw("".join(out))

    def _axes(self) -> Iterable[str]:
        x_ticks, y_ticks = self._x_ticks, self._y_ticks
        if x_ticks is None:
            values, step = nice_ticks(*self.x_range, count=max(5, (self.x1 - self.x0) // 80))
            x_ticks = [(v, tick_text(v, step)) for v in values]
        if y_ticks is None:
            values, step = nice_ticks(*self.y_range, count=max(2, (self.y1 - self.y0) // 40))
            y_ticks = [(v, tick_text(v, step)) for v in values]
        for value, text in y_ticks:
            y = num(self.sy(value))
            yield f'<line class="grid" x1="{self.x0}" y1="{y}" x2="{self.x1}" y2="{y}"/>'
            yield f'<text x="{self.x0 - 7}" y="{y}" dy=".34em" text-anchor="end">{esc(text)}</text>'
        for value, text in x_ticks:
            x = num(self.sx(value))
            yield f'<line class="grid" x1="{x}" y1="{self.y0}" x2="{x}" y2="{self.y1}"/>'
            yield f'<text x="{x}" y="{self.y1 + 17}" text-anchor="middle">{esc(text)}</text>'
        yield f'<path class="axis" d="M{self.x0} {self.y0}V{self.y1}H{self.x1}"/>'
        if self.x_label:
            yield (
                f'<text class="axis-title" x="{num((self.x0 + self.x1) / 2)}" y="{self.height - 6}" '
                f'text-anchor="middle">{esc(self.x_label)}</text>'
            )
        if self.y_label:
            middle = num((self.y0 + self.y1) / 2)
            yield (
                f'<text class="axis-title" transform="translate(13 {middle}) rotate(-90)" '
                f'text-anchor="middle">{esc(self.y_label)}</text>'
            )


def heatmap(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    full: float,
    label: str,
    digits: int = 1,
    unit: str = "",
    css: str = "heat",
) -> Raw:
    """A table of tinted cells, rows downwards; the tint reaches its full strength at ``full``.

    A NaN cell is drawn hatched and says that there is no value.
    """
    v = np.asarray(values, dtype=float)
    left, top, row_h = 104, 30, 21
    cell_w = max(38, min(92, (460 - left - 10) // max(len(columns), 1)))
    room = cell_w // 8  # characters of a level column name; longer ones are turned
    turned = any(len(name) > room for name in columns)
    top += 44 * turned
    width, height = left + cell_w * len(columns) + 10 + 30 * turned, top + row_h * len(rows) + 8
    out = [f'<svg viewBox="0 0 {max(width, 460)} {height}" role="img" aria-label="{esc(label)}">']
    for c, name in enumerate(columns):
        centre, title = num(left + (c + 0.5) * cell_w), f"<title>{esc(name)}</title>"
        short = esc(name if len(name) <= 12 else name[:11] + "…")
        where = f'transform="translate({centre} {top - 8}) rotate(-40)"' if turned else f'x="{centre}" y="{top - 10}"'
        out.append(f'<text {where} text-anchor="{"start" if turned else "middle"}">{short}{title}</text>')
    for r, name in enumerate(rows):
        y = top + r * row_h
        out.append(f'<text x="{left - 7}" y="{y + 15}" text-anchor="end">{esc(name)}</text>')
        for c, column in enumerate(columns):
            x = left + c * cell_w
            box = f'x="{x + 1}" y="{y + 1}" width="{cell_w - 2}" height="{row_h - 2}" rx="2"'
            if not np.isfinite(v[r, c]):
                out.append(f'<rect class="void" {box}><title>{esc(f"{column}, {name}: no value")}</title></rect>')
                continue
            strength = float(np.clip(v[r, c] / full, 0, 1)) if full > 0 else 0.0
            tip = esc(f"{column}, {name}: {v[r, c]:.{digits + 1}f} {unit}".strip())
            text = f"{v[r, c]:.{digits}f}"
            out.append(
                f'<rect class="{css}" {box} fill-opacity="{0.05 + 0.55 * strength:.2f}"><title>{tip}</title></rect>'
            )
            out.append(f'<text class="cell" x="{num(x + cell_w / 2)}" y="{y + 15}" text-anchor="middle">{text}</text>')
    out.append("</svg>")
    return Raw("".join(out))


def legend(entries: Iterable[tuple[str, object]]) -> Raw:
    """A row of coloured keys: ``(css class, text)``."""
    keys = "".join(f'<span class="key"><i class="{css}"></i>{esc(text)}</span>' for css, text in entries)
    return Raw(f'<div class="legend">{keys}</div>')


def _widen(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(v) for v in limits)
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if high - low < 1e-9 * max(1.0, abs(low)):
        return low - 0.5, high + 0.5
    return low, high


def _runs(ok: NDArray[np.bool_]) -> list[list[int]]:
    """Indices of each unbroken stretch of True."""
    index = np.flatnonzero(ok)
    if not len(index):
        return []
    return [list(part) for part in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)]

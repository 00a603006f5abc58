"""Charts of the benchmarks as SVG files of their own, drawn with the report's SVG marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sportcore.report.svg import Chart

# Colours that stay apart in print and for colour-blind readers; the classes are those of the report's charts.
_INK = {
    "c0": "#2457c5",
    "c1": "#d1541b",
    "c2": "#0b8a5f",
    "c3": "#a03ab0",
    "c4": "#8a6d00",
    "c5": "#0b8aa3",
    "c7": "#55606e",
}
_STYLE = (
    "svg{font:12.5px system-ui,'Segoe UI',Roboto,Arial,sans-serif}text{fill:#1b2430}.axis-title{fill:#5a6675}"
    ".grid{stroke:#d5dbe3;opacity:.7}.axis{stroke:#5a6675;fill:none}.line{fill:none;stroke-width:1.8}"
    ".goal{stroke:#b3261e;stroke-dasharray:5 4;stroke-width:1.4}"
    + "".join(f".line.{k}{{stroke:{v}}}.dot.{k},.fill.{k}{{fill:{v}}}" for k, v in _INK.items())
)


def stand_alone(chart: Chart) -> str:
    """The chart with its own style and a white ground, as a file wants it."""
    body = str(chart.render())
    opening, rest = body.split(">", 1)
    opening = opening.replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{chart.width}" height="{chart.height}" ', 1
    )
    ground = f'<rect width="{chart.width}" height="{chart.height}" fill="#ffffff"/>'
    return f"{opening}><style>{_STYLE}</style>{ground}{rest}\n"


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten, and their double and fivefold where few powers fit, for an axis of log10 values."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    out = []
    for power in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        for step in steps:
            value = float(np.log10(step * 10.0**power))
            if low - 1e-9 <= value <= high + 1e-9:
                number = step * 10.0**power
                out.append((value, f"{number:,.0f}".replace(",", " ") if number >= 1 else f"{number:g}"))
    return out


def _range(values: Sequence[float]) -> tuple[float, float]:
    v = np.log10(np.asarray(values, float))
    return float(v.min() - 0.08), float(v.max() + 0.12)


def cost_chart(curves: Mapping[int, Sequence[tuple[int, float]]], goal_s: float, path: Path) -> None:
    """Processor seconds against frames, a line per number of cameras, both axes logarithmic."""
    frames = [f for curve in curves.values() for f, _ in curve]
    seconds = [s for curve in curves.values() for _, s in curve]
    x_range, y_range = _range(frames), _range([*seconds, goal_s])
    chart = Chart(
        x_range, y_range, width=720, height=360, margins=(60, 14, 90, 46), x_label="frames of the recording",
        y_label="processor seconds of sc.calibrate", label="Processor time of a calibration against frames",
        x_ticks=ticks(*x_range), y_ticks=ticks(*y_range),
    )  # fmt: skip
    goal = float(np.log10(goal_s))
    chart.segment(x_range[0], goal, x_range[1], goal, "goal")
    chart.text(x_range[0], goal, f"goal for 8 cameras, 10 minutes: {goal_s:g} s", dx=6, dy=-6)
    for css, (cameras, curve) in zip(("c0", "c1", "c2", "c3", "c5"), sorted(curves.items()), strict=False):
        x, y = np.log10([f for f, _ in curve]), np.log10([s for _, s in curve])
        chart.line(x, y, css, tip=f"{cameras} cameras", dots=True)
        chart.text(float(x[-1]), float(y[-1]), f"{cameras} cameras", dx=8, dy=4)
    path.write_text(stand_alone(chart), encoding="utf-8")


def accuracy_chart(places: Sequence[tuple[str, float, float, str]], title: str, path: Path) -> None:
    """Rotation error against time, a dot per method: (label, seconds, degrees, colour class)."""
    x_range, y_range = _range([p[1] for p in places]), _range([p[2] for p in places])
    chart = Chart(
        x_range, y_range, width=720, height=360, margins=(60, 14, 20, 46), x_label="processor seconds of the call",
        y_label="relative rotation error, degrees", label=title, x_ticks=ticks(*x_range), y_ticks=ticks(*y_range),
    )  # fmt: skip
    at = [(chart.sx(float(np.log10(p[1]))), chart.sy(float(np.log10(p[2])))) for p in places]
    taken = [(x - 6, x + 6, y) for x, y in at]  # left, right and height of dots and labels so far, px
    for (label, seconds, degrees, css), (px, py) in sorted(zip(places, at, strict=True), key=lambda p: p[1][1]):
        x, y = float(np.log10(seconds)), float(np.log10(degrees))
        chart.dot(x, y, css, tip=f"{label}: {degrees:.3f} degrees, {seconds:.2f} s", radius=5)
        wide = 6.8 * len(label)
        spots = [(side, dy) for dy in (0, -12, 12, -24, 24, -36) for side in (1, -1)]
        for side, dy in spots:
            left = px + 9 if side > 0 else px - 9 - wide
            clear = all(
                b < left or left + wide < a or abs(py + dy - h) > 11
                for a, b, h in taken
                if (a + b) / 2 != px or h != py
            )
            if clear and chart.x0 < left and left + wide < chart.width and chart.y0 < py + dy < chart.y1 - 4:
                break
        else:
            side, dy, left = 1, 0, px + 9
        taken.append((left, left + wide, py + dy))
        chart.text(x, y, label, anchor="start" if side > 0 else "end", dx=9 * side, dy=dy + 4)
    path.write_text(stand_alone(chart), encoding="utf-8")

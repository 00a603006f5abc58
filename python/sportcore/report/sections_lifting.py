"""Section about the single-camera model: before and after tuning, against the multi-view motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .data import ReportData
from .markup import Raw, esc, figure, fmt, join, note, pretty, table
from .monocular import METRICS, SIDES
from .svg import Chart, legend

__all__ = ["lifting_section"]


def lifting_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Headline, tables and charts of the comparison."""
    mono = summary["monocular"]
    if not mono:
        return note("Not computed: no single-camera model was compared with the multi-view motion.")
    sides = [s for s in SIDES if s in mono]
    out = [note(_lead(data, mono, sides)), _metric_table(mono, sides)]
    charts = []
    if any(mono[s]["per_joint_mm"] for s in sides):
        charts.append(figure(_joint_chart(mono, sides), f"Per joint: {mono.get('per_joint_metric', '')}, mm"))
    history = _history_chart(mono["history"])
    per_camera = _camera_table(data, mono, sides)
    right = join([per_camera, history])
    if charts or right:
        out.append(legend([(s, f"{s} tuning") for s in sides]))
        out.append(Raw(f'<div class="grid2">{"".join(charts)}<div>{right}</div></div>'))
    return join(out)


def _lead(data: ReportData, mono: Mapping[str, Any], sides: Sequence[str]) -> str:
    count = data.lifting.get("heldout_frames")
    if count is None and data.heldout is not None:
        count = int(np.sum(data.heldout))
    where = f"on {fmt(count, 0)} held-out frames, which no tuning has seen" if count else "on all frames"
    reference = data.lifting.get("reference") or "the multi-view motion of this session"
    text = (
        f"How far the pose that the model sees from ONE camera lies from the reference ({reference}), {where}. The "
        "reference has errors of its own (see above), so differences below its uncertainty mean nothing. "
    )
    key = mono.get("headline")
    if key and len(sides) == 2:
        before, after = (mono[s]["mean"][key] for s in SIDES)
        change = (after / before - 1) * 100 if before else float("nan")
        word = "fell" if change < 0 else "rose"
        numbers = f"from {before:.0f} to {after:.0f} mm ({fmt(change, 0)} %)"
        text += f"By tuning on this session, {METRICS[key]} {word} {numbers}. "
    return text + "Good: every bar gets shorter. A bar that grows is a joint whose labels were wrong."


def _metric_table(mono: Mapping[str, Any], sides: Sequence[str]) -> Raw:
    keys = [k for k in METRICS if any(k in mono[s]["mean"] for s in sides)]
    rows = []
    for key in keys:
        unit = "°" if key.endswith("_deg") else "mm"
        digits = 1
        values = [mono[s]["mean"].get(key) for s in sides]
        row = [METRICS[key], *(fmt(v, digits, unit) for v in values)]
        if len(sides) == 2:
            row.append(_change(values[0], values[1]))
        rows.append(row)
    if not rows:
        return Raw("")
    heads = ["all cameras", *(f"{s} tuning" for s in sides), *(["change"] if len(sides) == 2 else [])]
    explain = (
        "MPJPE: mean joint distance after moving the roots together. N-MPJPE: after the best scale as well. "
        "PA-MPJPE: after "
        "the best rotation, scale and shift of each pose (the shape of the pose alone). SPA: one such alignment "
        "for all."
    )
    return join([table(heads, rows), note(explain)])


def _change(before: object, after: object) -> Raw:
    try:
        percent = (float(after) / float(before) - 1) * 100  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return Raw(fmt(None))
    css = "up" if percent > 0.5 else "down" if percent < -0.5 else ""
    return Raw(f'<span class="{css}">{"+" if percent > 0 else ""}{esc(fmt(percent, 0, "%"))}</span>')


def _camera_table(data: ReportData, mono: Mapping[str, Any], sides: Sequence[str]) -> Raw:
    names = list(dict.fromkeys(n for s in sides for n in mono[s]["per_camera"]))
    metric = mono.get("headline") or "pa_mpjpe_mm"
    shared = {k for s in sides for row in mono[s]["per_camera"].values() for k in row}
    keys = [k for k in dict.fromkeys((metric, "pa_mpjpe_mm")) if k in shared]
    if not names or not keys:
        return Raw("")
    rows = []
    for name in names:
        row: list[object] = [name]
        for key in keys:
            values = [mono[s]["per_camera"].get(name, {}).get(key) for s in sides]
            row += [fmt(v, 1) for v in values]
            if len(sides) == 2:
                row.append(_change(*values))
        rows.append(row)
    heads = ["camera"]
    for key in keys:
        heads += [f"{METRICS[key]} {s}" for s in sides] + (["change"] if len(sides) == 2 else [])
    return table(heads, rows, caption="Per camera, mm")


def _joint_chart(mono: Mapping[str, Any], sides: Sequence[str]) -> Raw:
    names = list(dict.fromkeys(n for s in sides for n in mono[s]["per_joint_mm"]))
    values = {s: [_float(mono[s]["per_joint_mm"].get(n)) for n in names] for s in sides}
    keep = [i for i in range(len(names)) if any(np.isfinite(values[s][i]) and values[s][i] > 0 for s in sides)]
    n = len(keep)
    top = max((values[s][i] for s in sides for i in keep if np.isfinite(values[s][i])), default=1.0)
    chart = Chart(
        (0, top * 1.06), (0, max(n, 1)), height=26 * n + 56, margins=(118, 8, 16, 42), x_label="error, mm",
        label="Error per joint before and after tuning",
        y_ticks=[(n - r - 0.5, pretty(names[i])) for r, i in enumerate(keep)],
    )  # fmt: skip
    for r, i in enumerate(keep):
        y = n - r - 0.5
        for k, s in enumerate(sides):
            v = values[s][i]
            if not np.isfinite(v):
                continue
            a, b = (y + 0.36, y + 0.02) if k == 0 else (y - 0.02, y - 0.36)
            chart.rect(0, a, v, b, f"bar {s}", f"{pretty(names[i])}, {s} tuning: {v:.1f} mm", 'rx="2"')
    return chart.render()


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _flatten(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """One row per epoch; a row that holds a ``history`` of its own (one round of the loop) is opened up."""
    rows: list[dict[str, float]] = []
    for entry in history:
        inner = entry.get("history")
        if isinstance(inner, Sequence) and inner and isinstance(inner[0], Mapping):
            rows += _flatten(inner)
            continue
        ends = [entry.get(k) for k in ("validation_before", "validation_after")]
        if all(isinstance(e, Mapping) for e in ends):
            rows += _flatten(ends)  # type: ignore[arg-type]
            continue
        row = {str(k): _float(v) for k, v in entry.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        if row:
            rows.append(row)
    return rows


def _history_chart(history: Sequence[Mapping[str, Any]]) -> Raw:
    """What was learned, step by step: every error in mm on one axis, losses (no unit) on another chart."""
    rows = _flatten(history)
    keys = list(dict.fromkeys(k for row in rows for k in row))
    millimetres = [k for k in keys if k.endswith("_mm") or "mpjpe" in k]
    losses = [k for k in keys if "loss" in k]
    out: list[Raw] = []
    for group, unit in ((millimetres, "mm"), (losses, "loss")):
        shown = [k for k in group if sum(np.isfinite(r.get(k, np.nan)) for r in rows) > 1][:6]
        if not shown or len(rows) < 2:
            continue
        series = {k: np.array([r.get(k, np.nan) for r in rows]) for k in shown}
        stacked = np.concatenate(list(series.values()))
        top, low = float(np.nanmax(stacked)), float(np.nanmin(stacked))
        pad = 0.08 * max(top - low, 1e-9)
        whole = range(1, len(rows) + 1, max(1, len(rows) // 8))
        ticks = [(float(i), str(i)) for i in whole]
        chart = Chart((1, len(rows)), (low - pad, top + pad), height=220, x_label="step of tuning", y_label=unit,
                      label="History of the tuning", x_ticks=ticks)  # fmt: skip
        for i, (key, values) in enumerate(series.items()):
            chart.line(np.arange(1, len(rows) + 1), values, f"c{i}", pretty(key), dots=len(rows) <= 12)
        out.append(figure(chart.render(), "Tuning, step by step"))
        out.append(legend((f"c{i}", pretty(k)) for i, k in enumerate(shown)))
    return join(out)

"""Sections about the input and its treatment: detection quality, swaps, gaps, synchronisation; provenance."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import ReportData
from .markup import Raw, esc, figure, fmt, join, note, plain, pretty, table
from .player import STATUS_TEXT
from .sections_cameras import series, time_axis
from .svg import Chart, heatmap, legend

__all__ = ["images_section", "provenance_section", "quality_section"]


def images_section(data: ReportData) -> Raw:
    """Real frames with what was detected and what was reconstructed."""
    if not data.images:
        return note("Not computed: no video frames were given.")
    parts = []
    for caption, jpeg in data.images:
        source = base64.b64encode(bytes(jpeg)).decode("ascii")
        parts.append(
            f'<figure><img alt="{esc(caption)}" src="data:image/jpeg;base64,{source}"><figcaption>{esc(caption)}'
            "</figcaption></figure>"
        )
    lead = (
        "Filled dots: what the detector saw. Open rings with lines: where the 3D motion projects to. Good: "
        "every ring lies "
        "on its dot and on the athlete. Rings beside the athlete while the dots are right mean wrong cameras."
    )
    return join([note(lead), Raw(f'<div class="pictures">{"".join(parts)}</div>')])


def quality_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Scores, missing joints, availability over time, why joints have no 3D, swaps and gaps, synchronisation."""
    out: list[Raw] = []
    if data.keypoints_px is not None and data.keypoints_px.size:
        out.append(_detections(data))
    else:
        out.append(note("2D detections: not computed."))
    if summary["coverage"]:
        out.append(_reasons(data, summary))
    out.append(_tracks(data))
    out.append(_sync(data))
    return join(out)


def _detections(data: ReportData) -> Raw:
    assert data.keypoints_px is not None
    seen = np.asarray(np.isfinite(data.keypoints_px).all(-1))
    names = [pretty(k) for k in data.keypoint_names]
    missing = (1 - seen.mean(1)) * 100
    charts = []
    if data.score is not None:
        count = seen.sum(1)
        score = np.where(count > 0, np.where(seen, data.score, 0).sum(1) / np.maximum(count, 1), np.nan)
        charts.append(
            figure(heatmap(score.T, names, data.camera_names, full=1.0, label="Mean score", digits=2, css="heat2"),
                   "Mean detection score where seen (1 is certain)")
        )  # fmt: skip
    charts.append(
        figure(heatmap(missing.T, names, data.camera_names, full=50.0, label="Share missing", digits=0, unit="%"),
               "Share of frames in which the joint is missing, %")
    )  # fmt: skip
    lead = note(
        "Every 3D joint is only as good as these. Good: scores above about 0.6 and less than 10 % missing in "
        "most cells; a "
        "joint needs at least two cameras at the same time."
    )
    strip = figure(_availability(data, seen), "Joints seen by each camera over time (pale: few, gap: none)", wide=True)
    return join([lead, Raw('<div class="grid2">'), *charts, Raw("</div>"), strip])


def _availability(data: ReportData, seen: NDArray[np.bool_]) -> Raw:
    per, title = time_axis(data)
    frames = max(seen.shape[1], 1)
    cells = min(frames, 300)
    edges = np.linspace(0, frames, cells + 1).round().astype(int)
    n = len(data.camera_names)
    chart = Chart(
        (0, frames * per), (0, n), width=940, height=30 * n + 52, margins=(92, 8, 14, 42), x_label=title,
        label="Joints seen over time", y_ticks=[(n - c - 0.5, name[:12]) for c, name in enumerate(data.camera_names)],
    )  # fmt: skip
    share = seen.mean(-1)
    for c in range(n):
        start = 0
        values = [
            round(float(share[c, a:b].mean()), 1) if b > a else 0.0 for a, b in zip(edges, edges[1:], strict=False)
        ]
        for i in range(1, cells + 1):  # equal neighbours become one rectangle
            if i == cells or values[i] != values[start]:
                if values[start] > 0:
                    tip = f"{data.camera_names[c]}: {values[start] * 100:.0f} % of the joints"
                    chart.rect(edges[start] * per, n - c - 0.82, min(edges[i] + 0.0008 * frames,
                    frames) * per, n - c - 0.18, f"fill {series(c)}", tip,
                               f'fill-opacity="{0.12 + 0.78 * values[start]:.2f}"')  # fmt: skip
                start = i
    chart.follow_time(per)
    return chart.render()


def _reasons(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Stacked bars per joint: found, or missing with the reason; and the uncertainty of each joint."""
    coverage = summary["coverage"]
    shares = coverage.get("status_per_joint")
    if not shares:
        return Raw("")
    codes = sorted(shares, key=lambda c: (c != 0, c))
    n = len(data.joint_names)
    chart = Chart(
        (0, 100), (0, n), height=22 * n + 54, margins=(118, 8, 16, 42), x_label="share of frames, %",
        label="Joints in 3D and reasons for missing ones",
        y_ticks=[(n - i - 0.5, pretty(j)) for i, j in enumerate(data.joint_names)],
    )  # fmt: skip
    for i, joint in enumerate(data.joint_names):
        left = 0.0
        for code in codes:
            width = float(shares[code][i]) * 100
            if width <= 0:
                continue
            text = STATUS_TEXT.get(code, f"status {code}")
            chart.rect(
                left,
                n - i - 0.85,
                left + width,
                n - i - 0.15,
                f"status s{min(code, 7)}",
                f"{pretty(joint)}: {text} {width:.1f} %",
            )
            left += width
    keys = legend((f"status s{min(c, 7)}", STATUS_TEXT.get(c, f"status {c}")) for c in codes)
    left_part = join([figure(chart.render(), "3D position found, or why not"), keys])
    sigma = coverage.get("sigma_mm_per_joint")
    per_joint = coverage["per_joint"]
    if sigma is None or not np.isfinite(sigma).any():
        return Raw(f'<div class="grid2"><div>{left_part}</div></div>')
    rows = [[pretty(j), fmt(per_joint[i] * 100, 1), fmt(sigma[i], 0)] for i, j in enumerate(data.joint_names)]
    right = table(["joint", "found %", "σ mm"], rows, caption="Uncertainty of a joint in its worst direction (median)")
    return Raw(f'<div class="grid2"><div>{left_part}</div>{right}</div>')


def _tracks(data: ReportData) -> Raw:
    report = data.tracks
    title = Raw("<h3>Tracks: swaps, rejected samples, gaps</h3>")
    if not report:
        return join([title, note("Not computed.")])
    out: list[object] = [title]
    rows = []
    for camera in report.get("cameras") or ():
        camera = _dict(camera)
        rejected = _dict(camera.get("rejected"))
        rows.append(
            [
                camera.get("name", ""), fmt(camera.get("person_frames"), 0),
                fmt(_times(camera.get("observed"), 100), 1, "%"),
                fmt(camera.get("swapped_frames"), 0), fmt(camera.get("ambiguous_frames"), 0),
                ", ".join(f"{pretty(k)} {v}" for k, v in rejected.items() if v) or "none",
                f"{fmt(camera.get('short_gaps'), 0)} / {fmt(camera.get('long_gaps'), 0)}",
                fmt(camera.get("longest_gap_s"), 2, "s"), fmt(camera.get("sigma_px"), 1),
            ]
        )  # fmt: skip
    if rows:
        heads = ["camera", "frames with person", "observed", "frames swapped back", "side uncertain",
        "rejected samples",
                 "gaps short / long", "longest", "σ px"]  # fmt: skip
        out.append(table(heads, rows, text_columns=(0, 5)))
    swaps = [_dict(s) for s in report.get("swaps") or ()]
    if swaps:
        body = [
            [s.get("camera", ""), s.get("part", ""), f"{s.get('first_frame')}–{s.get('last_frame')}",
             fmt(_times(s.get("confidence"), 100), 0, "%")]
            for s in swaps[:200]
        ]  # fmt: skip
        inner = table(["camera", "part", "frames", "confidence"], body, text_columns=(0, 1, 2))
        more = note(f"… and {len(swaps) - 200} more.") if len(swaps) > 200 else ""
        out.append(Raw(f"<details><summary>{len(swaps)} left/right swaps undone</summary>{inner}{more}</details>"))
    elif "swaps" in report:
        out.append(note("No left/right swap was found."))
    if not rows:
        out.append(_key_values(report))
    return join(out)


def _sync(data: ReportData) -> Raw:
    title = Raw("<h3>Synchronisation</h3>")
    offsets = data.calibration.get("time_offsets_s")
    parts: list[object] = [title]
    if offsets is not None and len(offsets) == len(data.camera_names):
        rows = [[n, fmt(_times(o, 1e3), 1)] for n, o in zip(data.camera_names, offsets, strict=True)]
        parts.append(table(["camera", "time offset ms"], rows))
    cameras = [_dict(c) for c in data.sync.get("cameras") or ()]
    if any("offset_s" in c for c in cameras):
        rows = [
            [
                c.get("name", ""),
                fmt(c.get("frames"), 0),
                fmt(c.get("fps"), 2),
                fmt(_times(c.get("offset_s"), 1e3), 1),
                fmt(_times(c.get("offset_sigma_s"), 1e3), 1),
            ]
            for c in cameras
        ]
        parts.append(table(["camera", "frames", "per second", "late by ms", "± ms"], rows))
        parts += [note(str(text)) for text in data.sync.get("notes") or ()]
        rest = _key_values({k: v for k, v in data.sync.items() if k != "notes"})
        parts.append(Raw(f"<details><summary>Everything about the synchronisation</summary>{rest}</details>"))
    elif data.sync:
        parts.append(_key_values(data.sync))
    if len(parts) == 1:
        parts.append(note("Not computed: the cameras were taken to be synchronised."))
    return join(parts)


def _dict(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return vars(value) if hasattr(value, "__dict__") else {}


def _times(value: object, factor: float) -> float:
    try:
        return float(value) * factor  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _key_values(values: Mapping[str, Any]) -> Raw:
    """Any flat facts as a two-column table; a list of records becomes a table of its own."""
    rows: list[Sequence[object]] = []
    tables: list[Raw] = []
    for key, value in plain(values).items():
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            heads = list(dict.fromkeys(k for v in value for k in v))[:10]
            body = [[_short(v.get(h)) for h in heads] for v in value[:100]]
            tables.append(table([pretty(h) for h in heads], body, caption=pretty(key)))
        elif value not in (None, [], {}):
            rows.append([pretty(key), _short(value)])
    return join([table(["", ""], rows, text_columns=(0, 1)) if rows else "", *tables])


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        text = ", ".join(_short(v) for v in value)
    elif isinstance(value, dict):
        text = ", ".join(f"{pretty(k)}: {_short(v)}" for k, v in value.items())
    else:
        text = str(value) if value is not None else "–"
    return text if len(text) <= 300 else text[:299] + "…"


def provenance_section(data: ReportData) -> Raw:
    """Versions, options, hashes, files, timings, and the numbers as JSON."""
    meta = data.meta
    facts = [
        (pretty(k).capitalize(), meta[k])
        for k in ("session", "created", "date", "athlete", "activity", "command")
        if meta.get(k)
    ]
    if data.n_frames:
        facts.append(("Frames", f"{data.n_frames}" + (f" at {data.fps:g} per second" if data.fps else "")))
    out: list[object] = [table(["", ""], facts, text_columns=(0, 1))] if facts else []
    files = [f if isinstance(f, Mapping) else {"name": f} for f in meta.get("files") or ()]
    if files:
        rows = [
            [f.get("name", ""), fmt(_times(f.get("bytes"), 1e-6), 2),
             Raw(f"<code>{esc(str(f.get('sha256', ''))[:16])}</code>")]
            for f in files
        ]  # fmt: skip
        out.append(table(["input file", "MB", "SHA-256 (start)"], rows, text_columns=(0, 2)))
    if data.timings_s:
        rows = [[pretty(k), fmt(v, 1, "s")] for k, v in data.timings_s.items()]
        rows.append(["all", fmt(sum(float(v) for v in data.timings_s.values()), 1, "s")])
        out.append(table(["stage", "computing time"], rows))
    for key, heading in (("versions", "Versions"), ("hashes", "Hashes of the stages")):
        if isinstance(meta.get(key), Mapping) and meta[key]:
            rows = [[k, Raw(f"<code>{esc(str(v)[:24])}</code>")] for k, v in meta[key].items()]
            out.append(table([heading, ""], rows, text_columns=(0, 1)))
    if meta.get("options"):
        import json

        text = json.dumps(plain(meta["options"]), indent=2, ensure_ascii=False)
        out.append(Raw(f"<details><summary>Options of this run</summary><pre>{esc(text)}</pre></details>"))
    out.append(
        Raw(
            '<details id="json"><summary>All numbers of this page as JSON</summary><p><button type="button" '
            'id="copy-json">Copy</button></p><pre id="json-text"></pre></details>'
        )
    )
    return join(out)

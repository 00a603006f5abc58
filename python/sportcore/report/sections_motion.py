"""Sections about the motion: the player, bone lengths, joint angles and speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .data import ReportData
from .markup import Raw, esc, figure, fmt, join, note, pretty, table
from .measures import joint_angles, speed_m_s
from .sections_cameras import time_axis
from .svg import Chart, bucket, legend

__all__ = ["angles_section", "bones_section", "player_section"]


def _check(key: str, text: str, title: str) -> str:
    return f'<label title="{title}"><input type="checkbox" id="p-{key}"> {text}</label>'


def _select(key: str, text: str, options: list[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{esc(v)}">{esc(t)}</option>' for v, t in options)
    return f'<label>{text} <select id="p-{key}">{inner}</select></label>'


def player_section(data: ReportData, payload: Mapping[str, Any] | None) -> Raw:
    """The 3D player and its controls."""
    if payload is None:
        return note("Not computed: no joint could be placed in 3D, so there is no motion to show.")
    cameras = payload["cameras"]
    mono = payload.get("mono", {})
    speeds = [("0.1", "0.1×"), ("0.25", "0.25×"), ("0.5", "0.5×"), ("1", "1×"), ("2", "2×")]
    row1 = [
        '<button type="button" id="p-play" aria-label="Play">▶</button>',
        '<button type="button" id="p-step-back" aria-label="One frame back">‹</button>',
        '<input type="range" id="p-frame" min="0" max="1" value="0" step="1" aria-label="Frame">',
        '<button type="button" id="p-step" aria-label="One frame on">›</button>',
        '<output id="p-time"></output>',
    ]
    row2 = [
        _select("speed", "speed", speeds),
        *(
            f'<button type="button" data-view="{key}">{text}</button>'
            for key, text in (("home", "reset"), ("top", "top"), ("front", "front"), ("side", "side"))
        ),
        _check("follow", "follow", "Keep the athlete in the middle (key f)"),
        _check("loop", "loop", "Start again at the end"),
        _check("trail", "path", "Path of the pelvis on the floor"),
        _check("names", "names", "Joint names (key l)"),
    ]
    if cameras:
        row2.append(_check("cameras", "cameras", "Draw the cameras"))
        row2.append(
            _select(
                "look", "look", [("-1", "freely"), *((str(i), f"through {c['name']}") for i, c in enumerate(cameras))]
            )
        )
    if "chol" in payload:
        row2.append(
            _select("sigma", "uncertainty", [("off", "off"), ("size", "dot size (2 σ)"), ("ellipse", "ellipses (2 σ)")])
        )
    row3 = []
    if mono:
        row3.append(_check("multi", '<i class="swatch multi"></i>multi-view', "Motion from all cameras (key m)"))
        if "before" in mono:
            row3.append(
                _check(
                    "before", '<i class="swatch before"></i>one camera, before tuning', "Single-camera model (key b)"
                )
            )
        if "after" in mono:
            row3.append(
                _check(
                    "after", '<i class="swatch after"></i>one camera, after tuning', "Tuned single-camera model (key n)"
                )
            )
        row3.append(_select("mono", "of", [(str(i), n) for i, n in enumerate(data.camera_names)]))
    thin = ""
    if payload["stride"] > 1:
        thin = (
            f" The player shows one frame in {payload['stride']} of {payload['total']} to keep this file small; all "
            "other figures use every frame."
        )
    if payload.get("left_out"):
        thin += f" Left out of the player for size: {payload['left_out']}."
    mm = payload["step_m"] * 1000
    hint = (
        "Drag to turn, two fingers or shift-drag to pan, pinch or wheel (after a click) to zoom; point at a joint for "
        "its numbers. Keys, after a click into the picture: space plays, ← → step (shift: ten), ↑ ↓ a d turn, + "
        "− zoom, "
        "f follows, 1–9 look through a camera, 0 back, t top, r reset, m b n switch the skeletons, l names. "
        f"Positions here are rounded to {mm:.1f} mm.{thin}"
    )
    sides = legend([("left", "left side"), ("right", "right side"), ("mid", "middle")])
    parts = [
        '<div class="player"><canvas id="player" tabindex="0" role="application" '
        'aria-label="3D motion; drag to turn, space to play"></canvas>',
        f'<div class="controls time">{"".join(row1)}</div><canvas id="p-strip" class="strip" '
        'aria-hidden="true" title="how many joints each moment has"></canvas>',
        f'<div class="controls">{"".join(row2)}</div>',
        f'<div class="controls">{"".join(row3)}</div>' if row3 else "",
        "</div>",
        sides,
        '<noscript><p class="note">The player needs JavaScript; everything else on this page does not.</p></noscript>',
    ]
    why = (
        "Missing joints are not drawn and are named in the picture with the reason. The single-camera skeletons "
        "stand on "
        "the multi-view pelvis: one camera gives the pose, not the place."
        if mono
        else "Missing joints are not drawn and are named in the picture with the reason."
    )
    return join([Raw("".join(parts)), note(why), Raw(f'<p class="note keys">{esc(hint)}</p>')])


def bones_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Length, spread and symmetry of each bone."""
    bones = [b for b in summary["bones"] if b["frames"] and b["length_m"] > 0]
    if not bones:
        return note("Not computed: there is no 3D motion.")
    rows = []
    for b in bones:
        rows.append(
            [
                pretty(b["name"]), fmt(b["length_m"] * 100, 1), fmt(b["spread_percent"], 1),
                fmt((b["p95_m"] - b["p5_m"]) * 100, 1), fmt(b.get("asymmetry_percent"), 1), fmt(b["frames"], 0),
            ]
        )  # fmt: skip
    return join(
        [
            note(
                "A bone keeps its length, so its spread is a measure of error that needs no reference. Good: "
                "limbs within "
                "3 %, left and right within 3 %. Bones to derived joints (spine, thorax, nose, head) bend with "
                "the trunk "
                "and vary more. Spread is 1.48 times the median deviation; the bar holds the middle half of the "
                "frames, the line (and the range in the table) 90 %."
            ),
            Raw('<div class="grid2 bones">'),
            figure(_bone_chart(bones), "Deviation from the median length"),
            table(["bone", "length cm", "spread %", "range cm", "L\u00a0−\u00a0R %", "frames"], rows),
            Raw("</div>"),
        ]
    )


def _bone_chart(bones: list[dict[str, Any]]) -> Raw:
    n = len(bones)
    low = [(b["p5_m"] / b["length_m"] - 1) * 100 for b in bones]
    high = [(b["p95_m"] / b["length_m"] - 1) * 100 for b in bones]
    reach = min(60.0, max(5.0, *(abs(v) for v in low + high if np.isfinite(v))))
    chart = Chart(
        (-reach, reach), (0, n), height=22 * n + 56, margins=(196, 8, 14, 42), x_label="deviation, %",
        label="Bone length deviations", y_ticks=[(n - i - 0.5, pretty(b["name"])) for i, b in enumerate(bones)],
    )  # fmt: skip
    chart.segment(0, 0, 0, n, "axis")
    for i, b in enumerate(bones):
        y = n - i - 0.5
        css = {"left": "left", "right": "right"}.get(b["side"], "mid")
        rel = {
            k: float(np.clip((b[k] / b["length_m"] - 1) * 100, -reach, reach))
            for k in ("p5_m", "p25_m", "p75_m", "p95_m")
        }
        tip = f"{pretty(b['name'])}: {b['length_m'] * 100:.1f} cm, spread {b['spread_percent']:.1f} %"
        chart.segment(rel["p5_m"], y, rel["p95_m"], y, f"whisker {css}", tip)
        chart.rect(rel["p25_m"], y - 0.3, rel["p75_m"], y + 0.3, f"box {css}", tip, 'rx="2"')
    return chart.render()


def angles_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Joint angles and speed over time."""
    angles = joint_angles(data)
    if not angles:
        return note("Not computed: there is no 3D motion, or its skeleton has none of these joints.")
    per, title = time_axis(data)
    charts, rows = [], []
    for joint, sides in list(angles.items())[:6]:
        every = np.concatenate([v[np.isfinite(v)] for v in sides.values()])
        low, high = np.floor(np.quantile(every, 0.001) / 30) * 30, np.ceil(np.quantile(every, 0.999) / 30) * 30
        limits = (float(low), float(max(high, low + 60)))
        ticks = [(float(v), f"{v:.0f}") for v in np.arange(limits[0], limits[1] + 1, 30)]
        chart = Chart((0, max(data.n_frames - 1, 1) * per), limits, width=940, height=200, x_label=title,
                      y_label="degrees", label=f"{joint} angle", y_ticks=ticks)  # fmt: skip
        for side, values in sides.items():
            x, middle, low, high = bucket(values, 450)
            css = {"left": "left", "right": "right"}.get(side, "mid")
            if len(x) < len(values):
                chart.band(x * per, low, high, css)
            chart.line(x * per, middle, css, f"{side} {joint}")
            q = np.nanquantile(values, [0.02, 0.5, 0.98]) if np.isfinite(values).any() else [np.nan] * 3
            rows.append([f"{side} {pretty(joint)}", *(fmt(v, 0, "°") for v in q), fmt(q[2] - q[0], 0, "°"),
                         fmt(np.isfinite(values).mean() * 100, 0, "%")])  # fmt: skip
        chart.follow_time(per)
        charts.append(figure(chart.render(), f"{pretty(joint).capitalize()} angle", wide=True))
    speed = speed_m_s(data)
    if speed is not None and np.isfinite(speed).any():
        x, middle, _, high = bucket(speed, 450)
        chart = Chart((0, max(data.n_frames - 1, 1) * per), (0, 1.1 * float(np.nanmax(high))), width=940, height=180,
                      x_label=title, y_label="m/s", label="Horizontal speed of the pelvis")  # fmt: skip
        chart.line(x * per, middle, "accent", "speed")
        chart.follow_time(per)
        charts.append(figure(chart.render(), "Horizontal speed of the pelvis, over 0.2 s", wide=True))
    lead = (
        "The angle between the two segments that meet in the joint; 180° is a straight limb. Gaps in a curve "
        "are moments "
        "without a 3D position: nothing is smoothed or filled in. Click a chart to move the player there."
    )
    return join(
        [
            note(lead), legend([("left", "left"), ("right", "right")]), *charts,
            table(["angle", "lowest (2 %)", "median", "highest (98 %)", "range", "frames"], rows),
        ]
    )  # fmt: skip

"""Sections about the cameras: table, layout, scale and vertical, residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import ReportData
from .markup import Raw, callout, esc, figure, fmt, join, note, pretty, table
from .measures import root_track, used_and_rejected
from .svg import Chart, bucket, heatmap, legend, num

__all__ = ["cameras_section", "residuals_section"]


def series(index: int) -> str:
    """CSS class of the index-th series."""
    return f"c{index % 8}"


def time_axis(data: ReportData) -> tuple[float, str]:
    """Distance of two frames on the x axis, and the axis title."""
    return (1.0 / data.fps, "time, s") if data.fps else (1.0, "frame")


def cameras_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Camera table, plan and elevation, and where scale, vertical and floor come from."""
    if not summary["cameras"]:
        return note("Not computed: no cameras were given.")
    report = data.calibration
    sigma = report.get("center_sigma_m")
    rows = []
    for c, row in enumerate(summary["cameras"]):
        position = row.get("position_m")
        where = ", ".join(fmt(v, 2) for v in position) if position is not None else fmt(None)
        own = _item(sigma, c)
        if position is not None and np.isfinite(own):
            where += f" ± {fmt(own * 100, 1)} cm"
        rows.append(
            [
                Raw(f'<i class="swatch {series(c)}"></i>{esc(row["name"])}'),
                fmt(row.get("rms_px"), 2), fmt(row.get("rms_mrad"), 2), fmt(row.get("frames_used"), 0),
                fmt(_percent(row.get("rejected_share")), 1, "%"), fmt(row.get("focal_px"), 0),
                fmt(row.get("fov_deg"), 0, "°"), fmt(row.get("distance_m"), 1), where,
            ]
        )  # fmt: skip
    out = [
        note(
            "One line per camera. Residual: how far a joint seen in this camera lies from where the 3D motion projects "
            "to; rejected: measurements that contradict the other cameras and were not used. Good cameras have "
            "similar residuals and reject less than about 10 %."
        ),
        table(
            ["camera", "rms px", "rms mrad", "frames used", "rejected", "focal px", "view", "distance m",
            "position x, y, z m"],
            rows,
        ),
    ]  # fmt: skip
    if data.camera_centers_m is None:
        out.append(note("Camera positions: not computed."))
        return join(out)
    keys = legend([("accent", "the athlete's path (pelvis)"), ("axis-x", "X"), ("axis-y", "Y"), ("axis-z", "Z")])
    plan = figure(_plan(data), "Plan: seen from above")
    side = figure(_elevation(data), "Elevation: seen from the side")
    out.append(Raw(f'<div class="grid2"><div>{plan}{keys}</div><div>{side}{_gauge(data)}</div></div>'))
    connectivity = report.get("connectivity")
    if connectivity is not None and np.ndim(connectivity) == 2 and len(data.camera_names) == len(connectivity):
        shared = np.asarray(connectivity, dtype=float)
        off = shared[~np.eye(len(shared), dtype=bool)]
        full = float(np.nanmax(off)) if off.size and np.isfinite(off).any() else 1.0
        chart = heatmap(
            np.where(np.eye(len(shared), dtype=bool), np.nan, shared), data.camera_names, data.camera_names,
            full=max(full, 1.0), label="Joints seen by two cameras and kept", digits=0, css="heat2",
        )  # fmt: skip
        out.append(figure(chart, "Joints that two cameras both saw and that were kept (a weak pair is pale)"))
    return join(out)


def _percent(value: object) -> float:
    return float(value) * 100 if isinstance(value, int | float) else float("nan")


def _item(values: Any, index: int) -> float:
    try:
        return float(values[index])
    except (TypeError, IndexError, KeyError, ValueError):
        return float("nan")


def _gauge(data: ReportData) -> Raw:
    """Scale, vertical, floor: source and standard deviation."""
    report = data.calibration
    if not data.calibrated_here:
        return callout("info", "The camera poses were given, not computed here: scale, vertical and floor are theirs.")
    if not report:
        return note("Scale, vertical and floor: not computed.")
    relative = _item([report.get("scale_sigma_rel")], 0)
    rows = [
        ["Scale (metres)", report.get("scale_source") or "none", fmt(relative * 100, 1, "%")],
        ["Vertical (up)", report.get("gravity_source") or "none", fmt(report.get("gravity_sigma_deg"), 1, "°")],
        ["Floor (height 0)", report.get("floor_source") or "none", fmt(_item([report.get("floor_sigma_m")],
        0) * 100, 1, "cm")],
    ]  # fmt: skip
    return table(
        ["", "where it comes from", "standard deviation"], rows, text_columns=(0, 1), caption="The world frame"
    )


def _bounds(values: NDArray[Any], pad: float) -> tuple[float, float]:
    v = values[np.isfinite(values)]
    return (float(v.min()) - pad, float(v.max()) + pad) if len(v) else (-1.0, 1.0)


def _path(data: ReportData) -> NDArray[np.float64]:
    track = root_track(data)
    if track is None:
        return np.full((1, 3), np.nan)
    step = max(1, len(track) // 600)
    return np.asarray(track[::step], dtype=float)


def _rays_xy(data: ReportData, c: int, length: float) -> list[NDArray[np.float64]]:
    """World directions of the left edge, the middle and the right edge of the image, ``length`` m long."""
    assert data.R is not None and data.K is not None
    size = data.image_sizes[c] if data.image_sizes is not None else 2 * data.K[c, :2, 2]
    out = []
    for u in (0.0, float(data.K[c, 0, 2]), float(size[0])):
        ray = np.array([(u - data.K[c, 0, 2]) / data.K[c, 0, 0], 0.0, 1.0])
        ray = data.R[c].T @ ray
        out.append(ray / np.linalg.norm(ray) * length)
    return out


def _plan(data: ReportData) -> Raw:
    centers, path = data.camera_centers_m, _path(data)
    assert centers is not None
    both = np.concatenate([centers, path])
    x_range, y_range = _bounds(both[:, 0], 1), _bounds(both[:, 1], 1)
    chart = Chart(
        x_range, y_range, height=_map_height(x_range, y_range), x_label="x, m", y_label="y, m",
        label="Camera layout from above", equal=True,
    )  # fmt: skip
    reach = 0.32 * max(chart.x_range[1] - chart.x_range[0], chart.y_range[1] - chart.y_range[0])
    if data.K is not None:
        for c, center in enumerate(centers):
            left, _, right = _rays_xy(data, c, reach)
            points = " ".join(
                f"{num(chart.sx(p[0]))},{num(chart.sy(p[1]))}" for p in (center, center + left, center + right)
            )
            chart.add(f'<polygon class="wedge {series(c)}" points="{points}"/>')
    _world_axes(chart, 0, 1)
    long = " long" if data.n_frames > 1500 else ""
    chart.line(path[:, 0], path[:, 1], "accent" + long, "path of the pelvis")
    _camera_marks(chart, data, centers, 0, 1)
    return chart.render()


def _elevation(data: ReportData) -> Raw:
    """Seen along the horizontal direction in which the cameras and the path are least spread."""
    centers, path = data.camera_centers_m, _path(data)
    assert centers is not None
    both = np.concatenate([centers, path[np.isfinite(path).all(-1)]])
    axis = int(np.ptp(both[:, 1]) > np.ptp(both[:, 0]))
    heights = np.append(both[:, 2], [0.0, 2.0])
    x_range, y_range = _bounds(both[:, axis], 1), _bounds(heights, 0.4)
    chart = Chart(
        x_range, y_range, height=_map_height(x_range, y_range), x_label=f"{'xy'[axis]}, m", y_label="height, m",
        label="Camera layout from the side", equal=True,
    )  # fmt: skip
    a, b = chart.x_range
    chart.segment(a, 0, b, 0, "floor", "floor")
    if data.points_world_m is not None and data.bones is not None:
        have = np.isfinite(data.points_world_m).all((-1, -2))
        for f in np.flatnonzero(have)[:: max(1, int(have.sum()) // 5)][:6]:
            pose = data.points_world_m[f]
            for i, j in data.bones:
                chart.segment(pose[i, axis], pose[i, 2], pose[j, axis], pose[j, 2], "ghost")
    _world_axes(chart, axis, 2)
    chart.line(path[:, axis], path[:, 2], "accent", "path of the pelvis")
    _camera_marks(chart, data, centers, axis, 2)
    return chart.render()


def _map_height(x_range: tuple[float, float], y_range: tuple[float, float]) -> int:
    """Height in px at which a map of equal scales is filled, within limits."""
    aspect = (y_range[1] - y_range[0]) / max(x_range[1] - x_range[0], 1e-9)
    return int(np.clip(394 * aspect + 54, 170, 440))


def _world_axes(chart: Chart, first: int, second: int) -> None:
    for axis, end in ((first, (0.8, 0.0)), (second, (0.0, 0.8))):
        chart.segment(0, 0, *end, f"world axis-{'xyz'[axis]}", f"{'XYZ'[axis]} axis")


def _camera_marks(chart: Chart, data: ReportData, centers: NDArray[Any], i: int, j: int) -> None:
    right = (chart.x0 + chart.x1) / 2
    labels: list[tuple[float, float]] = []
    for c, (name, center) in enumerate(zip(data.camera_names, centers, strict=True)):
        tip = f"{name}: x {center[0]:.2f}, y {center[1]:.2f}, height {center[2]:.2f} m"
        chart.dot(center[i], center[j], series(c), tip, radius=5)
        flip = chart.sx(center[i]) > right
        x, y = chart.sx(center[i]) - 60 * flip, chart.sy(center[j])
        shift = next(
            (d for d in (-7, 17, -23, 33) if all(abs(x - a) > 62 or abs(y + d - b) > 14 for a, b in labels)), -7
        )
        labels.append((x, y + shift))
        chart.text(center[i], center[j], name[:18], "end" if flip else "start", dx=-8 if flip else 8, dy=shift)


def residuals_section(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    """Distribution per camera, map camera by joint, and over time."""
    masks = used_and_rejected(data)
    if masks is None or data.residual_px is None or not masks[0].any():
        return note("Not computed: there is no 3D motion to compare the images with.")
    used = np.where(masks[0], data.residual_px, np.nan)
    residual = summary["residual"]
    lead = (
        f"{fmt(residual['count'], 0)} measurements carry the 3D motion. Half of them lie within "
        f"{fmt(residual['median_px'], 1)} px of its projection, 95 % within {fmt(residual['p95_px'], 1)} px "
        f"(rms {fmt(residual['rms_px'], 1)} px"
    )
    if "rms_mm" in residual:
        lead += f", {fmt(residual['rms_mm'], 0)} mm at the athlete"
    joints = [pretty(j) for j in data.joint_names]
    matrix = np.asarray(residual["median_px_camera_joint"], dtype=float)
    full = 1.0
    if np.isfinite(matrix).any():  # the usual cell stays pale, what stands out is dark
        full = max(float(np.nanquantile(matrix, 0.98)), 2.5 * float(np.nanmedian(matrix)))
    heat = heatmap(
        matrix.T,
        joints,
        data.camera_names,
        full=max(full, 1e-6),
        label="Median residual per joint and camera",
        unit="px",
    )
    return join(
        [
            note(
                lead + "). Good: all cameras alike, no dark row or column, no drift over time. A dark column is a "
                "camera that disagrees, a dark row a joint the detector finds badly; a rise over time is a camera that "
                "moved or lost its synchronisation."
            ),
            Raw('<div class="grid2">'),
            figure(_distribution(data, used), "Per camera: distribution of the residuals (line: median)"),
            figure(heat, "Per joint and camera: median residual in px"),
            Raw("</div>"),
            figure(_over_time(data, used), "Over time: median residual of each camera", wide=True),
            legend((series(c), name) for c, name in enumerate(data.camera_names)),
        ]
    )  # fmt: skip


def _distribution(data: ReportData, used: NDArray[Any]) -> Raw:
    finite = used[np.isfinite(used)]
    top = max(float(np.quantile(finite, 0.995)), 1e-6)
    names, row = data.camera_names, 54
    chart = Chart(
        (0, top), (0, len(names)), height=row * len(names) + 54, margins=(92, 10, 14, 42), x_label="residual, px",
        label="Distribution of residuals per camera",
        y_ticks=[(len(names) - 1 - c + 0.3, n[:12]) for c, n in enumerate(names)],
    )  # fmt: skip
    edges = np.linspace(0, top, 41)
    for c, name in enumerate(names):
        values = used[c][np.isfinite(used[c])]
        base = len(names) - 1 - c
        if not len(values):
            chart.text(0, base, "no measurement used", dx=8, dy=-10)
            continue
        counts, _ = np.histogram(values, edges)
        heights = counts / max(int(counts.max()), 1) * 0.88
        d = f"M{num(chart.sx(0))} {num(chart.sy(base))}"
        for i, h in enumerate(heights):
            y = num(chart.sy(base + h))
            d += f"L{num(chart.sx(edges[i]))} {y}L{num(chart.sx(edges[i + 1]))} {y}"
        d += f"L{num(chart.sx(top))} {num(chart.sy(base))}Z"
        middle = float(np.median(values))
        tip = f"{name}: median {middle:.2f} px, 95 % within {np.quantile(values, 0.95):.2f} px, {len(values)} in all"
        chart.add(f'<path class="hist {series(c)}" d="{d}"><title>{esc(tip)}</title></path>')
        chart.segment(min(middle, top), base, min(middle, top), base + 0.92, "median", tip)
        chart.text(top, base, f"median {middle:.1f}", "end", dy=-28)
    return chart.render()


def _over_time(data: ReportData, used: NDArray[Any]) -> Raw:
    per, title = time_axis(data)
    lines = []
    with np.errstate(all="ignore"):
        for c in range(len(data.camera_names)):
            has = np.isfinite(used[c]).any(-1)
            line = np.full(used.shape[1], np.nan)
            if has.any():
                line[has] = np.nanmedian(used[c][has], axis=-1)
            lines.append(bucket(line, 450))
    peak = [np.nanquantile(b[3], 0.995) for b in lines if np.isfinite(b[3]).any()]
    chart = Chart(
        (0, max(data.n_frames - 1, 1) * per), (0, 1.08 * max(peak, default=1.0)), width=940, height=250,
        x_label=title, y_label="residual, px", label="Residual over time",
    )  # fmt: skip
    limit = chart.y_range[1]
    for c, (x, middle, low, high) in enumerate(lines):
        if data.n_frames > len(x):
            chart.band(x * per, low, np.minimum(high, limit), series(c))
        chart.line(x * per, np.minimum(middle, limit), series(c), data.camera_names[c])
    chart.follow_time(per)
    return chart.render()

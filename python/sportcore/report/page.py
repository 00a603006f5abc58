"""One self-contained HTML file: text, charts, 3D player, data; no network, no server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.atomic import atomic_path
from .data import ReportData
from .markup import Raw, callout, esc, fmt, join, json_for_script, note, table
from .monocular import METRICS
from .player import player_payload
from .sections_cameras import cameras_section, residuals_section
from .sections_lifting import lifting_section
from .sections_motion import angles_section, bones_section, player_section
from .sections_people import people_section
from .sections_quality import images_section, provenance_section, quality_section
from .verdict import summarise

__all__ = ["render_report", "write_report"]

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

# The page may run its own script and style and show its own pictures; it may not load anything from anywhere.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_STATES = {"good": "fine", "warn": "look", "bad": "wrong"}


def asset(name: str) -> Raw:
    """A style sheet or script of this package."""
    text = (files(__package__) / "assets" / name).read_text(encoding="utf-8")
    assert "</s" not in text.lower(), f"{name} would end its own element"
    return Raw(text)


def write_report(path: str | Path, data: ReportData, *, progress: Progress | None = None) -> Path:
    """Write the report of one session.

    Args:
        path: the HTML file; its folder must exist.
        data: what was computed; stages that are missing are shown as "not computed".
        progress: called with (done, total, message); an exception raised in it cancels, and nothing is written.

    Returns:
        The path written.

    Raises:
        InputError: ``data`` is not a :class:`ReportData`, or the folder does not exist.
        OSError: the file cannot be written.
    """
    target = Path(path)
    if not isinstance(data, ReportData):
        raise InputError("write_report takes a ReportData.", "Make one with ReportData.from_results(...).")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is not a folder.", "Create it first.")
    text = render_report(data, progress=progress)
    with atomic_path(target) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    log.info("report written to %s (%.1f MB)", target, len(text) / 1e6)
    return target


def render_report(data: ReportData, *, progress: Progress | None = None) -> str:
    """The HTML of :func:`write_report` as text."""
    total = 11 + bool(data.people)
    done = 0

    def step(message: str) -> None:
        nonlocal done
        if progress is not None:
            progress(done, total, message)
        done += 1

    step("numbers")
    with np.errstate(all="ignore"):
        summary = summarise(data)
        step("3D player")
        payload = player_payload(data)
        sections: list[tuple[str, str, Callable[[], Raw]]] = [
            ("motion", "3D motion", lambda: player_section(data, payload)),
            ("pictures", "Pictures", lambda: images_section(data)),
            ("cameras", "Cameras", lambda: cameras_section(data, summary)),
            ("residuals", "Residuals", lambda: residuals_section(data, summary)),
            ("bones", "Bone lengths", lambda: bones_section(data, summary)),
            ("one-camera", "One camera against all", lambda: lifting_section(data, summary)),
            ("angles", "Joint angles", lambda: angles_section(data, summary)),
            ("data", "Data quality", lambda: quality_section(data, summary)),
            ("provenance", "Provenance", lambda: provenance_section(data)),
        ]
        if data.people:
            sections.insert(0, ("people", "People", lambda: people_section(data)))
        body = [Raw(f'<section id="verdict">{_verdict(data, summary)}</section>')]
        for key, title, make in sections:
            step(title)
            body.append(Raw(f'<section id="{key}"><h2>{esc(title)}</h2>{make()}</section>'))
    page = _page(data, summary, payload, join(body), [(k, t) for k, t, _ in sections])
    if progress is not None:
        progress(total, total, "report")
    return page


def _page(
    data: ReportData, summary: Mapping[str, Any], payload: Mapping[str, Any] | None, body: Raw,
    sections: list[tuple[str, str]],
) -> str:  # fmt: skip
    meta = data.meta
    title = str(meta.get("title") or "Motion capture session")
    facts = [str(meta[k]) for k in ("athlete", "activity", "date") if meta.get(k)]
    if data.camera_names:
        facts.append(f"{len(data.camera_names)} camera{'s' if len(data.camera_names) > 1 else ''}")
    if data.n_frames:
        facts.append(f"{fmt(data.n_frames, 0)} frames")
        if data.fps:
            facts.append(f"{data.n_frames / data.fps:.1f} s at {data.fps:g} frames per second")
    links = join([Raw('<a href="#verdict">Verdict</a>'), *(Raw(f'<a href="#{k}">{esc(t)}</a>') for k, t in sections)])
    public = {"format": "sportcore-report-1", "meta": {k: v for k, v in meta.items() if k != "summary"}, **summary}
    public |= {
        "camera_names": data.camera_names, "joint_names": data.joint_names, "calibration": data.calibration,
        "lifting": data.lifting, "tracks": data.tracks, "sync": data.sync, "timings_s": data.timings_s,
    }  # fmt: skip
    if data.people:
        public["people"] = dict(data.people)
    scripts = [Raw(f'<script type="application/json" id="sportcore-data">{json_for_script(public)}</script>')]
    if payload is not None:
        scripts.append(Raw(f'<script type="application/json" id="player-data">{json_for_script(payload)}</script>'))
    scripts.append(Raw(f"<script>{asset('report.js')}</script>"))
    if payload is not None:
        scripts.append(Raw(f"<script>{asset('player.js')}</script>"))
    made = _made_by(meta)
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{esc(_POLICY)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f'<meta name="generator" content="sportcore">\n<title>{esc(title)}: motion report</title>\n',
            f"<style>{asset('report.css')}</style>\n</head>\n<body>\n",
            '<header><div><button type="button" id="theme" aria-label="Light or dark">◐</button>',
            f"<h1>{esc(title)}</h1><p>{esc(' · '.join(facts))}</p></div></header>\n",
            f'<nav aria-label="Sections"><div>{links}</div></nav>',
            f"\n<main>\n{body}\n</main>\n<footer>{esc(made)}</footer>\n",
            *scripts,
            "\n</body>\n</html>\n",
        ]
    )


def _made_by(meta: Mapping[str, Any]) -> str:
    versions = meta.get("versions")
    version = versions.get("sportcore", "") if isinstance(versions, Mapping) else ""
    created = f" on {meta['created']}" if meta.get("created") else ""
    return (
        f"Made by sportcore {version}".rstrip() + f"{created}. This page is one file and loads nothing from anywhere."
    )


def _verdict(data: ReportData, summary: Mapping[str, Any]) -> Raw:
    grade = summary["grade"]
    letter = grade["letter"]
    parts: list[object] = []
    if data.meta.get("demo_note"):
        parts.append(callout("info", data.meta["demo_note"]))
    css = letter if letter in "ABCD" else "none"
    because = f" What decides: {grade['because']}." if grade["because"] else ""
    parts.append(
        Raw(
            f'<div class="verdict"><div class="grade {css}" aria-label="Grade {esc(letter)}">{esc(letter)}</div><div>'
            f"<h2>{esc(grade['word'])}</h2><p>{esc(grade['text'] + because)}</p>"
            f"<p>{esc(_sentence(data, summary))}</p></div></div>"
        )
    )
    if letter in "ABCD":
        tiles = []
        for number in summary["numbers"]:
            mark = number["letter"]
            pill = f'<span class="pill {mark}">{mark}</span>' if mark else ""
            tiles.append(
                f'<div class="number">{pill}<span>{esc(number["title"])}</span>'
                f"<b>{esc(fmt(number['value'], number['digits'], number['unit']))}</b>"
                f"<small>{esc(number['small'])}</small>"
                f"<small>{esc(number['meaning'])}</small>"
                f"<small>{esc(number['limits'][:1].upper() + number['limits'][1:])}.</small></div>"
            )
        parts.append(Raw(f'<div class="numbers">{"".join(tiles)}</div>'))
    warnings = summary["warnings"]
    if warnings:
        parts.append(Raw("<h3>What to look at</h3>"))
        parts += [callout(w["severity"], w["message"], w["remedy"]) for w in warnings[:12]]
        if len(warnings) > 12:
            rest = join(callout(w["severity"], w["message"], w["remedy"]) for w in warnings[12:])
            parts.append(Raw(f"<details><summary>{len(warnings) - 12} more</summary>{rest}</details>"))
    elif letter in "ABCD":
        parts.append(callout("good", "No warnings."))
    if summary["checks"]:
        rows = [
            [Raw(f'<span class="state {c["state"]}">{_STATES[c["state"]]}</span>'), c["name"], c["value"], c["text"]]
            for c in summary["checks"]
        ]
        parts.append(Raw("<h3>Is the world right?</h3>"))
        parts.append(
            note("Small residuals do not prove a right world: a mirrored, tilted or wrongly scaled one fits as well.")
        )
        parts.append(table(["", "check", "value", "meaning"], rows, text_columns=(0, 1, 2, 3)))
    return join(parts)


def _sentence(data: ReportData, summary: Mapping[str, Any]) -> str:
    """What happened, in one or two plain sentences."""
    coverage, mono, athlete = summary["coverage"], summary["monocular"], summary["athlete"]
    if not coverage:
        return "The 3D motion was not computed; what exists is shown below."
    if len(data.camera_names) < 2:
        return (
            "One camera: the pose is the model's estimate. Position in space, scale and vertical are not "
            "measured, so this "
            "page gives no grade."
        )
    share, frames = fmt(coverage["share"] * 100, 0), fmt(data.n_frames, 0)
    text = f"{len(data.camera_names)} cameras gave a 3D position for {share} % of all joints in {frames} frames"
    extent = athlete.get("extent_m")
    if extent:
        far = max(extent[0], extent[1])
        text += f"; the athlete {'covered' if far > 2 else 'stayed within'} {fmt(far, 1)} m"
        if "speed_p95_m_s" in athlete:
            text += f" and moved at up to {fmt(athlete['speed_p95_m_s'], 1)} m/s"
    text += "."
    key = mono.get("headline")
    if key and "before" in mono and "after" in mono:
        before, after = mono["before"]["mean"][key], mono["after"]["mean"][key]
        if np.isfinite(before) and before > 0:
            word = "improved" if after < before else "worsened"
            text += (
                f" Tuning {word} the single-camera model from {fmt(before, 0)} to {fmt(after, 0)} mm ({METRICS[key]}, "
                "frames it had not seen)."
            )
    return text

"""What `sportcore calibrate` and `sportcore sync` print when they are done: a table per camera, and what to know."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .terminal import table
from .types import Rig

__all__ = ["calibration_summary", "people_summary", "sync_summary"]

WIDTH = 100


def _at(report: Mapping[str, Any], key: str, i: int) -> float | None:
    """Element i of a list in a report as JSON holds it; None where there is none, or no number."""
    values = report.get(key)
    value = values[i] if isinstance(values, (list, tuple)) and i < len(values) else None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _bounded(value: float | None, most: float, form: str) -> str:
    """A number, or "unknown" where its size says that it is none."""
    return "unknown" if value is not None and value > most else _text(value, form)


def _list(title: str, lines: Iterable[str]) -> list[str]:
    out = []
    for line in dict.fromkeys(lines):
        out += textwrap.wrap(line, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return ["", title, *out] if out else []


def calibration_summary(report: Mapping[str, Any], rig: Rig | None = None, notes: Iterable[str] = ()) -> str:
    """The cameras, how good they are, and what to know.

    Args:
        report: :meth:`sportcore.CalibrationReport.to_dict`.
        rig: the cameras, for where they stand.
        notes: what else the run said (lenses, videos); the warnings of the report are added.
    """
    rows = []
    for i, name in enumerate(report.get("names", ())):
        sigma, place = _at(report, "rotation_sigma_deg", i), _at(report, "center_sigma_m", i)
        offset = _at(report, "time_offsets_s", i)
        rejected = _at(report, "rejected_share", i)
        share = None if rejected is None else 100 * rejected
        camera = rig[name] if rig is not None and name in rig.names else None
        x, y, z = camera.center_world if camera is not None else (None, None, None)
        rows.append([
            str(name), _text(_at(report, "per_camera_rms_px", i), ".1f"),
            _text(_at(report, "per_camera_rms_mrad", i), ".1f"), _text(share, ".0f"),
            _bounded(sigma, 180, ".2f"), _bounded(None if place is None else 100 * place, 1e4, ".1f"),
            _text(None if x is None else math.hypot(x, y or 0.0), ".1f"), _text(z, ".2f"),
            _text(None if camera is None else camera.K[0, 0], ".0f"),
            *([_text(None if offset is None else 1000 * offset, "+.0f")] if report.get("time_offsets_s") else []),
        ])  # fmt: skip
    header = ["camera", "residual px", "mrad", "rejected %", "+- deg", "+- cm", "distance m", "height m", "focal px"]
    if report.get("time_offsets_s"):
        header.append("late ms")
    out = [table(rows, header)] if rows else []
    if report.get("method") == "file":
        out += ["", "The cameras were taken from the calibration file as they are; nothing was checked."]
    else:
        scale, gravity = report.get("scale_sigma_rel"), report.get("gravity_sigma_deg")
        out += ["", f"grade     {report.get('grade', '?')}"]
        for label, source, sigma, unit, factor in (
            ("metres", "scale_source", scale, "%", 100.0), ("vertical", "gravity_source", gravity, "degrees", 1.0),
            ("floor", "floor_source", report.get("floor_sigma_m"), "cm", 100.0),
        ):  # fmt: skip
            within = ""
            if isinstance(sigma, (int, float)) and math.isfinite(sigma):
                within = f", +- {factor * sigma:.1f} {unit}"
            out.append(f"{label:9} from {report.get(source, '?')}{within}")
        out.append(f"frames    {report.get('n_frames_used', 0)} used")
        out += _focal_lines(report.get("extra") or {})
    out += _list("What to know:", [*notes, *map(str, report.get("warnings", ()))])
    return "\n".join(out)


def _focal_lines(extra: Mapping[str, Any]) -> list[str]:
    factor, sigma = extra.get("focal_factor"), extra.get("focal_factor_sigma")
    if not isinstance(factor, (int, float)) or not isinstance(sigma, (int, float)) or not sigma > 0:
        return []
    if abs(math.log(factor)) < max(4 * sigma, 0.03):
        return []
    return [
        f"lenses    the motion fits better with focal lengths {factor:.2f} (+- {sigma:.2f}) times those used; "
        "where these were assumed,",
        "          --set calibrate.refine_focal=shared finds them",
    ]


def sync_summary(report: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """The cameras on one time base: what was measured and what was corrected.

    Args:
        report: :meth:`sportcore.sync.SyncReport.to_dict`.
        notes: what else the run said.
    """
    rows = []
    for c in report.get("cameras", ()):
        offset, sigma, applied = c.get("offset_s"), c.get("offset_sigma_s"), c.get("applied_offset_s") or 0.0
        drift = c.get("applied_drift") or 0.0
        late, within = (None if v is None else 1000 * v for v in (offset, sigma))
        corrected = f"{1000 * applied:+.0f} ms" + (f", {1e6 * drift:+.0f} ppm" if drift else "")
        rows.append([
            str(c.get("name")), _text(c.get("fps"), ".2f"), str(c.get("frames", "")), _text(c.get("duration_s"), ".2f"),
            _text(late, "+.0f"), _text(within, ".0f"), str(c.get("source") or ""),
            corrected if applied or drift else "no", str(c.get("rows_without_frame", "")),
        ])  # fmt: skip
    header = ["camera", "fps", "frames", "length s", "late ms", "+- ms", "from", "corrected", "no frame"]
    out = [table(rows, header), ""] if rows else []
    frames, fps = report.get("frames", 0), report.get("fps") or math.nan
    out = [table(rows, header), ""] if rows else []
    out.append(f"common    {frames} frames at {fps:.2f} per second, {frames / fps:.2f} s")
    out += _list("What was done:", map(str, report.get("notes", ())))
    out += _list("What to know:", [*map(str, report.get("warnings", ())), *notes])
    return "\n".join(out)


def people_summary(people: Mapping[str, Any]) -> str:
    """Who was followed, and who and what was left out.

    Args:
        people: ``people`` of a session with several people, as ``people.json`` holds it.
    """
    from .report.sections_people import left_out_sentences

    rows = []
    for one in people.get("people", ()):
        frames = " ".join(f"{n} {v}" for n, v in (one.get("frames") or {}).items())
        share, limbs = one.get("seen_by_two_share"), one.get("limb_spread")
        rows.append([
            str(one.get("person")), frames, _text(None if share is None else 100 * share, ".0f"),
            _text(one.get("median_px"), ".1f"), _text(None if limbs is None else 100 * limbs, ".1f"),
        ])  # fmt: skip
    header = ["person", "frames per camera", "seen by two %", "residual px", "limbs vary %"]
    if all(not r[3] for r in rows):
        rows, header = [r[:3] for r in rows], header[:3]
    out = [table(rows, header)] if rows else []
    return "\n".join([*out, *_list("Not followed:", left_out_sentences(people))])

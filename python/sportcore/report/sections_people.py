"""Who is in view: the people that were followed, those that were left out, and the tracks that were discarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .data import ReportData
from .markup import Raw, esc, fmt, join, note, table

__all__ = ["people_section"]

_WHY = {
    "stands still": "stood still while others moved: taken for a bystander (still_m = 0 under [people] keeps them)",
    "seen too little": "were seen by two cameras for too short a time",
    "too many people": "were more than max_people, or than the statures given",
    "one camera only": "fit nobody in another camera",
    "does not fit": "fit nobody in space",
    "too short": "were too short to tell",
}


def people_section(data: ReportData) -> Raw:
    """A table of the people, with a link to each one's report, and what was left out."""
    people: Mapping[str, Any] = data.people
    rows = []
    for one in people.get("people", ()):
        number = one.get("person")
        swatch = Raw(f'<span style="color:{esc(one.get("colour", "#888"))}">●</span> person {esc(number)}')
        target = one.get("report")
        here = number == people.get("this")
        link = Raw("this report") if here or not target else Raw(f'<a href="{esc(target)}">{esc(target)}</a>')
        frames = ", ".join(f"{n}: {fmt(v, 0)}" for n, v in (one.get("frames") or {}).items())
        rows.append([
            swatch, frames, fmt(_times(one.get("seen_by_two_share"), 100), 0, "%"), fmt(one.get("median_px"), 1, "px"),
            fmt(_times(one.get("limb_spread"), 100), 1, "%"), link,
        ])  # fmt: skip
    found = int(people.get("found", len(rows)))
    lead = (
        f"{found} {'person was' if found == 1 else 'people were'} followed in {fmt(people.get('frames'), 0)} frames, "
        "ordered by how much was seen of them; the cameras come from all who move. In the pictures each has a colour."
    )
    headers = ["person", "frames per camera", "seen by two", "residual", "limbs vary", "report"]
    parts = [note(lead), table(headers, rows, text_columns=(0, 1, 5))]
    parts += [note(text) for text in left_out_sentences(people)]
    return join(parts)


def left_out_sentences(people: Mapping[str, Any]) -> list[str]:
    """Who and what was not used, and why, in sentences."""
    out = []
    for one in people.get("left_out", ()):
        frames = ", ".join(f"{n} {v}" for n, v in (one.get("frames") or {}).items() if v)
        why = _WHY.get(str(one.get("reason")), str(one.get("reason")))
        out.append(f"One more person ({frames} frames) was left out: {why.replace('were ', 'was ')}.")
    for reason, one in (people.get("discarded") or {}).items():
        if reason in {str(o.get("reason")) for o in people.get("left_out", ())}:
            continue
        cameras = ", ".join(str(c) for c in one.get("cameras", ()))
        n = int(one.get("tracks", 0))
        said = _WHY.get(reason, reason)
        out.append(f"{n} track{'s' if n != 1 else ''} ({one.get('frames')} frames, {cameras}): {said}.")
    if n := int(people.get("exchanged") or 0):
        out.append(f"{n} track{'s' if n != 1 else ''} had gone over from one person to another, and were taken apart.")
    return out


def _times(value: object, factor: float) -> float | None:
    return None if not isinstance(value, (int, float)) else factor * float(value)

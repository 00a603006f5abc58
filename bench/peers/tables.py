"""Tables and sentences of the comparison, in Markdown, written between markers of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peers.measure import CAP_PX
from peers.methods import METHODS, Method
from peers.scenes import SCENES, VARIANTS

Run = dict[str, Any]
US = "sportcore"
WORDS = {"refused": "refused", "crashed": "crashed", "too slow": "too slow"}
CHART, CHART_SCENE = "media/benchmark-peers.svg", "usual"
OFF_DEG = 10.0  # cameras further off than this are no calibration


class PageBroken(ValueError):
    """The page lacks the markers that say where to write."""


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->``.

    Raises:
        PageBroken: a marker is missing or comes twice.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = page.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise PageBroken(f"{page} must contain {begin} and, after it, {end}, once each.")
    head, rest = old.split(begin)
    tail = rest.split(end)[1]
    page.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")


def number(value: float | None, digits: int = 2) -> str:
    """Two or three significant digits; a dash for nothing."""
    if value is None or not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.{max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def failed(run: Run) -> str | None:
    """Why a run does not count as a calibration, in a word, or None."""
    if run["status"] != "ok":
        return WORDS[run["status"]]
    return f"over {OFF_DEG:.0f}°" if run.get("rot_median_deg", 0.0) > OFF_DEG else None


def collect(runs: Sequence[Run], method: str, where: str, name: str) -> list[float]:
    """A value over the successful runs of a method on an input."""
    return [
        r[name]
        for r in runs
        if r["method"] == method and r["where"] == where and not failed(r) and r.get(name) is not None
    ]


def _failures(runs: Sequence[Run], method: str, where: str) -> str:
    mine = [r for r in runs if r["method"] == method and r["where"] == where]
    words = [w for r in mine if (w := failed(r))]
    return ", ".join(f"{w} {words.count(w)}/{len(mine)}" for w in dict.fromkeys(words))


def _rows(
    runs: Sequence[Run], places: Sequence[str], cell: Callable[[Method, str], tuple[float, str]]
) -> list[list[str]]:
    """Rows of cells; the smallest value of a column among the competitors is bold."""
    there = [m for m in METHODS if any(r["method"] == m.key for r in runs)]
    cells = {(m.key, p): cell(m, p) for m in there for p in places}
    rows = []
    for m in sorted(there, key=lambda m: m.from_truth):
        row = [f"*{m.label} (from the truth)*" if m.from_truth else m.label]
        for p in places:
            value, text = cells[m.key, p]
            rivals = [cells[o.key, p][0] for o in there if not o.from_truth and np.isfinite(cells[o.key, p][0])]
            best = not m.from_truth and rivals and np.isfinite(value) and value <= min(rivals)
            row.append(f"**{text}**" if best else text)
        rows.append(row)
    return rows


def scene_tables(runs: Sequence[Run]) -> str:
    """Rotation, centres and time of the simulated scenes."""
    runs = [r for r in runs if r["kind"] == "scene"]
    scenes = [s for s in SCENES if any(r["where"] == s.key for r in runs)]
    if not scenes:
        return ""
    places = [s.key for s in scenes]

    def rotation(m: Method, p: str) -> tuple[float, str]:
        values, worst = collect(runs, m.key, p, "rot_median_deg"), collect(runs, m.key, p, "rot_max_deg")
        fails = _failures(runs, m.key, p)
        if not values:
            return np.inf, fails or "–"
        middle = float(np.median(values))
        text = f"{number(middle)} ({number(max(worst))})" + (f"; {fails}" if fails else "")
        return (middle if not fails else np.inf), text

    def plain(name: str, digits: int = 2) -> Callable[[Method, str], tuple[float, str]]:
        def cell(m: Method, p: str) -> tuple[float, str]:
            values = collect(runs, m.key, p, name)
            middle = float(np.median(values)) if values else np.nan
            return middle, number(middle, digits)

        return cell

    head = ["", *(s.title for s in scenes)]
    more_than_two = [s for s in scenes if s.cameras > 2]
    parts = [
        "**Relative rotation between cameras, °: median over the scenes (worst pair of all scenes); what failed**",
        table(head, _rows(runs, places, rotation)),
        "**Camera centres after a similarity, % of the rig's radius**",
        table(
            ["", *(s.title for s in more_than_two)], _rows(runs, [s.key for s in more_than_two], plain("centre_pct"))
        ),
        "**Processor seconds of the call, warm, summed over threads**",
        table(head, _rows(runs, places, plain("cpu_s"))),
        "**Seconds of the call by the clock, warm**",
        table(head, _rows(runs, places, plain("seconds"))),
    ]
    return "\n\n".join(parts)


DEMO_COLUMNS: tuple[tuple[str, str], ...] = (
    ("rot_median_deg", "rotation against reference, °"),
    ("centre_pct", "centres, %"),
    ("robust.all.capped_mean_px", "residual, px"),
    ("robust.all.median_px", "median residual, px"),
    ("dlt.all.capped_mean_px", "residual with DLT, px"),
    ("robust.bones.robust_pct", "bone spread, %"),
    ("held.robust.held_out.capped_mean_px", "held-out joints, px"),
    ("held.robust.held_out.median_px", "median held-out, px"),
    ("held.dlt.held_out.capped_mean_px", "held-out with DLT, px"),
    ("cpu_s", "processor s"),
)


def dig(run: Run, path: str) -> float:
    """A nested value by a dotted path; NaN where there is none."""
    here: Any = run
    for key in path.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return float(here) if here is not None else float("nan")


def demo_tables(runs: Sequence[Run], reference: Mapping[str, Run] | None = None) -> str:
    """The real recording, a table per detector, and how far the detectors agree; reference: detector -> its cameras."""
    runs = [r for r in runs if r["kind"] == "demo"]
    parts = []
    for variant in VARIANTS:
        mine = {r["method"]: r for r in runs if r["where"] == variant}
        if not mine:
            continue

        def cell(m: Method, path: str, mine: dict[str, Run] = mine) -> tuple[float, str]:
            run = mine.get(m.key)
            if run is None or run["status"] != "ok":
                return np.inf, WORDS[run["status"]] if run and path == "rot_median_deg" else "–"
            value = dig(run, path)
            text = number(value, 3 if "px" in path else 2)
            if path == "rot_median_deg":
                text += f" ({number(run['rot_max_deg'])})"
            return (np.inf if failed(run) or not np.isfinite(value) else value), text

        rows = _rows(list(mine.values()), [p for p, _ in DEMO_COLUMNS], cell)
        if reference and variant in reference:
            theirs = reference[variant] | {"held": reference[variant]}
            rows.append(
                ["*Qualisys cameras*", *(number(dig(theirs, p), 3 if "px" in p else 2) for p, _ in DEMO_COLUMNS)]
            )
        parts += [f"**BlazePose {variant}**", table(["", *(title for _, title in DEMO_COLUMNS)], rows)]
    pairs = [r for r in runs if "agreement" in r]
    if pairs:
        names = list(dict.fromkeys(k for r in pairs for k in r["agreement"]))

        def gap(m: Method, name: str) -> tuple[float, str]:
            found = [r["agreement"][name] for r in pairs if r["method"] == m.key and name in r["agreement"]]
            return (found[0], number(found[0])) if found else (np.inf, "–")

        parts += ["**Rotation between the calibrations of two detectors, median over the pairs of cameras, °**"]
        parts += [table(["", *names], _rows(pairs, names, gap))]
    return "\n\n".join(parts)


def places(runs: Sequence[Run]) -> list[tuple[str, float, float, str]]:
    """What the chart shows of the usual scene: label, processor seconds, rotation error, colour class."""
    out = []
    for m in METHODS:
        rotation, seconds = (collect(runs, m.key, CHART_SCENE, name) for name in ("rot_median_deg", "cpu_s"))
        if rotation and not (m.ours and m.key != US):
            css = "c7" if m.from_truth else "c0" if m.ours else "c1"
            out.append((m.label, float(np.median(seconds)), float(np.median(rotation)), css))
    return out


def losses(runs: Sequence[Run]) -> list[str]:
    """Where a competitor is better than our defaults by more than a hundredth, in sentences."""
    out = []
    rivals = [m for m in METHODS if not m.from_truth and not m.ours]
    for s in SCENES:
        ours = collect(runs, US, s.key, "rot_median_deg")
        for m in rivals:
            theirs = collect(runs, m.key, s.key, "rot_median_deg")
            if not ours or not theirs or _failures(runs, m.key, s.key):
                continue
            a, b = float(np.median(ours)), float(np.median(theirs))
            if b < 0.99 * a:
                ta, tb = (np.median(collect(runs, k, s.key, "cpu_s")) for k in (US, m.key))
                out.append(
                    f"{s.title}: {m.label} {number(b)}° against our {number(a)}° "
                    f"(in {number(float(tb / ta))} times our processor time)."
                )
    for variant in VARIANTS:
        at = {r["method"]: r for r in runs if r["kind"] == "demo" and r["where"] == variant and not failed(r)}
        if US not in at:
            continue
        for path, title in DEMO_COLUMNS:
            a = dig(at[US], path)
            better = [(dig(at[m.key], path), m.label) for m in rivals if m.key in at]
            better = [(v, name) for v, name in better if v < 0.99 * a]
            if better:
                told = ", ".join(f"{name} {number(v, 3)}" for v, name in sorted(better))
                out.append(f"BlazePose {variant}, {title}: {told} against our {number(a, 3)}.")
    return out


def page_text(result: dict[str, Any]) -> str:
    """Everything between the markers."""
    machine, options = result["machine"], result["options"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(result["versions"].items()))
    loads = [r["load"] for r in result["runs"] if "load" in r]
    load = f"load average {number(min(loads))} to {number(max(loads))}" if loads else ""
    head = (
        f"{machine['cpu']}, {machine['cores']} cores ({load}); {versions}; {options['seeds']} scenes of each kind, "
        f"{options['jobs']} process(es) at a time, {options['time_limit_s']:.0f} processor seconds each. "
        + result["note"]
    )
    when = sorted(r["when"] for r in result["runs"] if "when" in r)
    if when:
        head = head.strip() + f" Measured on {when[0][:10]} from {when[0][11:]} to {when[-1][11:]}."
    lost = losses(result["runs"])
    told = "\n".join(f"- {line}" for line in lost) if lost else "Nowhere in this run."
    return "\n\n".join(
        part
        for part in (
            head.strip(),
            "### Simulated scenes",
            scene_tables(result["runs"]),
            f"![Rotation error against processor time in the scene with 5 % outliers]({CHART})\n\n"
            "5 % outliers, 10 % missing; blue: sportcore, red: competitors, grey: started next to the truth."
            if places(result["runs"])
            else "",
            "### The real recording",
            f"Observations further off than {CAP_PX:.0f} px, or of joints that could not be triangulated, count as "
            f"{CAP_PX:.0f} px.",
            demo_tables(result["runs"], result.get("reference")),
            "### Where a competitor is ahead of sportcore's defaults",
            told,
        )
        if part
    )

"""The demo: the main job on four real videos, judged against what is known about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SportcoreError
from .io import read_rig
from .io.atomic import write_text
from .pipeline import RunResult, View, run
from .terminal import bound, table
from .types import Rig

log = logging.getLogger(__name__)

__all__ = ["demo_table", "run_demo"]

SYNTHETIC_FRAMES = 300

_TOML = """\
# Four cameras, one athlete, 100 frames at 60 Hz (Pose2Sim's single-person demo, BSD-3-Clause).
# The lenses come from the Qualisys calibration; where the cameras stand is found from the athlete.
[session]
name = "Pose2Sim single-person demo"
videos = ["cam01.mp4", "cam02.mp4", "cam03.mp4", "cam04.mp4"]

[cameras]
intrinsics = "Calib.qca.txt"
poses = "body"

[finetune]
lr = 3e-4     # less than two seconds of recording: a gentle rate forgets less
epochs = 12
"""


def run_demo(
    folder: Path, *, synthetic: bool = False, overrides: Mapping[str, Any] | None = None, view: View | None = None
) -> tuple[RunResult, str]:
    """Fetch the videos (or make a synthetic session), run the whole road, and set the result against the reference.

    Args:
        folder: where to work; a second run finds everything done.
        synthetic: do not use the network.
        overrides: options that come before those of the demo.
        view: who is told.

    Returns:
        The result of the run, and the table to show.
    """
    folder = Path(folder)
    notes: list[str] = []
    session = folder / "single-person"
    if not synthetic:
        try:
            _fetch(session, view)
        except SportcoreError as error:
            notes.append(f"The demo videos could not be fetched: {error}")
            notes.append("What follows is a SYNTHETIC session: projected keypoints with noise, not real video.")
            synthetic = True
            if view is not None:
                for note in notes:
                    view.event("", "note", note)
    if synthetic:
        session = folder / "synthetic"
        if not (session / "session.toml").is_file():
            from .synthetic import make_session

            make_session(session, seed=1, frames=SYNTHETIC_FRAMES, fps=60.0, cameras=4, swaps=0.05)
    result = run(session, overrides=overrides, view=view)
    reference = read_rig(session / ("truth_rig.toml" if synthetic else "Calib.qca.txt"))
    text = demo_table(result, reference, "the truth" if synthetic else "the Qualisys calibration", notes)
    write_text(session / "sportcore" / "demo.txt", text + "\n")
    return result, text


def _fetch(session: Path, view: View | None) -> None:
    from .datasets.pose2sim_demo import ensure_single_person
    from .steps.detect import prepare_detector

    progress = bound(view, "download") if view is not None else None
    if not (session / "session.toml").is_file():
        ensure_single_person(session, progress=progress)
        write_text(session / "session.toml", _TOML)
    prepare_detector("blazepose-heavy", progress)


def demo_table(result: RunResult, reference: Rig, called: str, notes: list[str]) -> str:
    """The figures of a demo run as text."""
    from .evaluation import camera_errors

    s: Mapping[str, Any] = result.summary
    rig = read_rig(result.files["cameras"])
    theirs = reference.subset(rig.names) if set(rig.names) <= set(reference.names) else reference
    errors = camera_errors(rig.R, rig.t, theirs.R, theirs.t)
    mrad = s["calibration"]["per_camera_rms_mrad"]
    rows = []
    for i, name in enumerate(rig.names):
        row = s["per_camera"][name]
        rows.append([
            name, f"{row['median_px']:.1f}", f"{row['rms_px']:.1f}", f"{row['median_mm']:.0f}",
            "" if mrad is None or mrad[i] is None else f"{mrad[i]:.1f}", f"{row['used_share'] * 100:.0f} %",
            f"{errors.rotation_deg[i]:.2f}", f"{errors.centre_mm[i]:.0f}",
        ])  # fmt: skip
    header = ["camera", "median px", "rms px", "median mm", "mrad", "used", "off by deg", "off by mm"]
    lines = [*notes, *([""] if notes else []), table(rows, header), ""]
    lines.append(f"'off by': distance to {called} after the best similarity; relative rotation between cameras "
                 f"{errors.relative_rotation_median_deg:.2f} deg in the median, "
                 f"{errors.relative_rotation_max_deg:.2f} at worst.")  # fmt: skip
    lines.append(f"Residual over all cameras: median {s['median_px']:.1f} px, {s['median_mm']:.0f} mm; "
                 f"limb lengths vary by {s['limb_spread'] * 100:.1f} % over time.")  # fmt: skip
    c = s["calibration"]
    gauge = (
        ("Scale", "scale_source", "scale_sigma_rel", 100, " %"),
        ("vertical", "gravity_source", "gravity_sigma_deg", 1, " deg"),
        ("floor", "floor_source", "floor_sigma_m", 1000, " mm"),
    )
    lines.append(
        "; ".join(f"{what}: {c[source]}{_pm(c[sigma], f, unit)}" for what, source, sigma, f, unit in gauge) + "."
    )
    mono = s.get("monocular")
    if mono and "after" in mono:
        lines += ["", f"One camera against all of them, on {mono['before']['frames']} frames that no tuning saw:"]
        lines.append(table(_before_after(mono), ["error", "before tuning", "after tuning", "change"]))
    lines += ["", *(f"Note: {w}" for w in result.warnings), f"Report: {result.files.get('report', '')}"]
    return "\n".join(lines)


def _before_after(mono: Mapping[str, Any]) -> list[list[str]]:
    from .steps.learning import comparison_rows

    return comparison_rows(mono["before"], mono["after"])


def _pm(value: float | None, factor: float, unit: str) -> str:
    return "" if value is None else f" (+-{value * factor:.1f}{unit})"

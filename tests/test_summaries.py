"""What the command line prints after a calibration or a synchronisation."""

from __future__ import annotations

import json

import numpy as np
from calibration_scenes import scene

import sportcore as sc
from sportcore.cli import _parser
from sportcore.summaries import calibration_summary, sync_summary


def test_a_calibration_is_told_in_full() -> None:
    rig, kp, _ = scene(3, 60, 1, sigma_px=2.0, outliers=0.03)
    cal = sc.calibrate(kp, rig)
    report = json.loads(json.dumps(cal.report.to_dict()))
    text = calibration_summary(report, cal.rig, ["The video of cam01 is short."])
    lines = text.splitlines()
    assert lines[0].split() == "camera residual px mrad rejected % +- deg +- cm distance m height m focal px".split()
    for i, name in enumerate(rig.names):
        cells = lines[2 + i].split()
        assert cells[0] == name and cells[1] == f"{cal.report.per_camera_rms_px[i]:.1f}"
        assert cells[8] == f"{cal.rig[i].K[0, 0]:.0f}" and float(cells[6]) > 0.5
    assert f"grade     {cal.report.grade}" in text and "metres    from" in text and "vertical  from" in text
    told = " ".join(text.split("What to know:")[1].replace("  - ", "").split())
    for warning in ("The video of cam01 is short.", *cal.report.warnings):
        assert " ".join(warning.split()) in told
    assert max(map(len, text.split("What to know:")[1].splitlines())) <= 100


def test_what_is_missing_leaves_an_empty_cell() -> None:
    report = {"names": ["a"], "per_camera_rms_px": [None], "rotation_sigma_deg": None, "grade": "poor", "warnings": [],
              "scale_sigma_rel": None, "time_offsets_s": [0.02], "extra": None}  # fmt: skip
    text = calibration_summary(report)
    assert text.splitlines()[2].split() == ["a", "+20"] and "late ms" in text and "grade     poor" in text
    assert "taken from the calibration file" in calibration_summary({**report, "method": "file"})
    wild = calibration_summary({"names": ["a"], "rotation_sigma_deg": [1e60], "center_sigma_m": [1e60]})
    assert wild.splitlines()[2].split() == ["a", "unknown", "unknown"]
    assert calibration_summary({}) and sync_summary({})


def test_focal_lengths_that_would_fit_better_are_told_with_the_remedy() -> None:
    extra = {"focal_factor": 1.1, "focal_factor_sigma": 0.01}
    assert "refine_focal=shared" in calibration_summary({"extra": extra})
    assert "refine_focal" not in calibration_summary({"extra": {**extra, "focal_factor_sigma": 0.2}})


def test_a_synchronisation_is_told_in_full() -> None:
    camera = {"name": "cam02", "fps": 59.94, "frames": 100, "duration_s": 1.668, "offset_s": 0.25,
              "offset_sigma_s": 0.004, "applied_offset_s": 0.25, "rows_without_frame": 2,
              "source": "motion"}  # fmt: skip
    unknown = {**camera, "name": "cam03", "offset_s": None, "offset_sigma_s": None, "applied_offset_s": 0.0}
    report = {"cameras": [camera, unknown], "frames": 90, "fps": 59.94, "notes": ["Cut."], "warnings": ["Late."]}
    text = sync_summary(report, ["Late.", "Short."])
    assert text.splitlines()[2].split() == ["cam02", "59.94", "100", "1.67", "+250", "4", "motion", "+250", "ms", "2"]
    assert text.splitlines()[3].split() == ["cam03", "59.94", "100", "1.67", "motion", "no", "2"]
    assert "90 frames at 59.94 per second" in text and text.count("Late.") == 1 and "- Short." in text


def test_help_of_the_two_verbs_shows_commands_that_parse(capsys) -> None:
    for verb in ("calibrate", "sync"):
        try:
            _parser().parse_args([verb, "--help"])
        except SystemExit:
            pass
        text = capsys.readouterr().out
        commands = [line.split("     ")[0].split() for line in text.splitlines() if line.startswith("    sportcore ")]
        assert len(commands) >= 3
        for command in commands:
            args = _parser().parse_args(command[1:])
            assert args.verb == verb and str(args.session) == "FOLDER"
    assert np.isfinite(_parser().parse_args(["calibrate", "x", "--height", "1.8"]).height)

"""Grade, checks and warnings: the numbers of a report turned into words, each with what to do about it.

The limits are those of docs/report.md. They are set by what body keypoints of a good detector allow (some
centimetres between an anatomical joint and its detection), not by what a marker system reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .data import ReportData
from .markup import fmt
from .measures import (
    athlete_measures,
    bone_measures,
    camera_measures,
    coverage_measures,
    joint_track,
    residual_measures,
    root_track,
)
from .monocular import METRICS, monocular_measures

__all__ = ["GRADES", "summarise", "world_checks"]

GRADES = {
    "A": ("Good", "The numbers can be used."),
    "B": ("Usable", "The numbers can be used with ordinary care."),
    "C": ("Weak", "Look at the marked places before using the numbers."),
    "D": ("Not usable", "Do not use these numbers before the problems below are solved."),
    "–": ("No grade", "There is no 3D motion to judge."),
}
# Upper limits of A, B and C. Residual in mm at the athlete, bone spread in per cent, share of joints in 3D.
RESIDUAL_MM = (20.0, 40.0, 80.0)
RESIDUAL_MRAD = (3.0, 6.0, 12.0)
RESIDUAL_PX = (5.0, 10.0, 20.0)
BONE_SPREAD_PERCENT = (3.0, 6.0, 12.0)
COVERAGE = (0.97, 0.90, 0.70)
# Standard deviation of the world frame: (key of the calibration report, words, above this B, above this C).
_GAUGE_LIMITS = (
    ("scale_sigma_rel", "the scale", 0.05, 0.15), ("gravity_sigma_deg", "the vertical", 3.0, 10.0),
    ("floor_sigma_m", "the floor", 0.05, 0.2),
)  # fmt: skip


def _letter(value: float, limits: tuple[float, float, float], rising: bool = True) -> str:
    if not np.isfinite(value):
        return ""
    for letter, limit in zip("ABC", limits, strict=True):
        if (value <= limit) if rising else (value >= limit):
            return letter
    return "D"


def summarise(data: ReportData) -> dict[str, Any]:
    """Every number the page shows, as plain dicts; also what the page embeds as JSON."""
    bones = bone_measures(data)
    limbs = [b["spread_percent"] for b in bones if b["limb"] and np.isfinite(b["spread_percent"])]
    every = [b["spread_percent"] for b in bones if np.isfinite(b["spread_percent"])]
    out: dict[str, Any] = {
        "frames": data.n_frames,
        "fps": data.fps,
        "duration_s": data.n_frames / data.fps if data.fps else None,
        "residual": residual_measures(data),
        "cameras": camera_measures(data),
        "bones": bones,
        "bone_spread_percent": float(np.median(limbs or every)) if every else float("nan"),
        "coverage": coverage_measures(data),
        "athlete": athlete_measures(data),
        "monocular": monocular_measures(data),
    }
    out["checks"] = world_checks(data, out["athlete"])
    out["numbers"] = headline_numbers(out)
    out["warnings"] = collect_warnings(data, out)
    out["grade"] = _grade(data, out)
    return out


def headline_numbers(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The three numbers that matter, each with its letter, its plain meaning and its limits."""
    residual, coverage = summary["residual"], summary["coverage"]
    px = residual.get("median_px", np.nan)
    if "median_mm" in residual and np.isfinite(residual["median_mm"]):
        value, unit, digits, limits = residual["median_mm"], "mm", 0, RESIDUAL_MM
        small = f"{fmt(px, 1)} px in the images"
    elif "median_mrad" in residual:
        value, unit, digits, limits = residual["median_mrad"], "mrad", 1, RESIDUAL_MRAD
        small = f"{fmt(px, 1)} px in the images"
    else:
        value, unit, digits, limits, small = px, "px", 1, RESIDUAL_PX, "median over all measurements"
    spread, share = summary["bone_spread_percent"], coverage.get("share", np.nan)
    return [
        {
            "title": "Cameras agree to", "value": value, "unit": unit, "digits": digits,
            "letter": _letter(value, limits),
            "small": small, "limits": f"good up to {limits[0]:g} {unit}, weak above {limits[1]:g}",
            "meaning": "How far the cameras' views of one joint miss each other at the athlete (median).",
        },
        {
            "title": "Bone lengths vary by", "value": spread, "unit": "%", "digits": 1,
            "letter": _letter(spread, BONE_SPREAD_PERCENT), "small": "median over the limbs",
            "limits": f"good up to {BONE_SPREAD_PERCENT[0]:g} %, weak above {BONE_SPREAD_PERCENT[1]:g} %",
            "meaning": "A thigh does not change its length: what varies is measurement error.",
        },
        {
            "title": "Joints found in 3D", "value": share * 100, "unit": "%", "digits": 1,
            "letter": _letter(share, COVERAGE, rising=False),
            "small": f"{fmt(coverage.get('views'), 1)} cameras per joint",
            "limits": f"good from {COVERAGE[0] * 100:g} %, weak below {COVERAGE[1] * 100:g} %",
            "meaning": "Share of all joints and frames with a 3D position. Nothing is filled in.",
        },
    ]  # fmt: skip


def _grade(data: ReportData, summary: Mapping[str, Any]) -> dict[str, Any]:
    votes = [(n["letter"], n["title"].lower()) for n in summary["numbers"] if n["letter"]]
    if len(data.camera_names) == 1 and data.points_world_m is not None:
        text = "One camera cannot be checked against another."
        return {"letter": "–", "word": "Estimate from one camera", "text": text, "because": ""}
    if not votes or not np.isfinite(summary["coverage"].get("share", np.nan)):
        return {"letter": "–", "word": GRADES["–"][0], "text": GRADES["–"][1], "because": ""}
    if summary["coverage"]["share"] == 0:
        votes = [("D", "no joint could be placed in 3D")]
    for check in summary["checks"]:
        if check["state"] == "bad":
            votes.append(("D", check["name"].lower()))
        elif check["state"] == "warn":
            votes.append(("B", check["name"].lower()))
    for key, name, usable, weak in _GAUGE_LIMITS:
        sigma = _number(data.calibration.get(key))
        if data.calibrated_here and sigma > usable:
            votes.append(("C" if sigma > weak else "B", f"{name} is uncertain"))
    own = {"poor": "C", "usable": "B"}.get(str(data.calibration.get("grade", "")).lower())
    if own:
        votes.append((own, f"the calibration calls itself {data.calibration['grade']}"))
    worst = max(letter for letter, _ in votes)
    word, text = GRADES[worst]
    reasons = [why for letter, why in votes if letter == worst] if worst != "A" else []
    return {"letter": worst, "word": word, "text": text, "because": "; ".join(dict.fromkeys(reasons))}


def _check(name: str, state: str, value: str, text: str, remedy: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "value": value, "text": text, "remedy": remedy if state != "good" else ""}


def world_checks(data: ReportData, athlete: Mapping[str, Any]) -> list[dict[str, str]]:
    """Is the world right? Small residuals alone do not say so: a mirrored, tilted or wrongly scaled world fits too."""
    points = data.points_world_m
    if points is None or not np.isfinite(points).any() or len(data.camera_names) < 2:
        return []
    checks = []
    pelvis, thorax = root_track(data), joint_track(data, "thorax", "neck", "left_shoulder")
    if pelvis is not None and thorax is not None and np.isfinite(thorax - pelvis).any():
        trunk = thorax - pelvis
        trunk = trunk / np.linalg.norm(trunk, axis=-1, keepdims=True)
        lean = float(np.degrees(np.arccos(np.clip(np.nanmedian(trunk[:, 2]), -1, 1))))
        state = "good" if lean < 50 else "warn" if lean < 90 else "bad"
        checks.append(
            _check(
                "Up is up", state, f"trunk leans {lean:.0f}° (median)", "The head side of the trunk points to +Z.",
                "If the athlete was upright, the vertical is wrong: check left and right of the detections, or give "
                "the vertical by a known direction.",
            )
        )  # fmt: skip
    feet = [f for n in _FEET if (f := joint_track(data, n)) is not None]
    if feet and np.isfinite(np.stack(feet)[..., 2]).any():
        lowest = float(np.nanquantile(np.stack(feet)[..., 2], 0.02))
        state = "good" if -0.06 <= lowest <= 0.25 else "warn" if -0.3 <= lowest <= 0.8 else "bad"
        checks.append(
            _check(
                "Feet stand on the floor", state, f"lowest ankle or toe at {fmt(lowest * 100, 0, 'cm')}",
                "The floor is at height 0; an ankle joint stands some 5 to 12 cm above it.",
                "The floor was set too high or too low. If the athlete never touches the floor, ignore this; else "
                "calibrate on frames in which the athlete stands or runs.",
            )
        )  # fmt: skip
    centers = data.camera_centers_m
    if centers is not None and len(centers):
        low = [n for n, c in zip(data.camera_names, centers, strict=True) if c[2] < 0]
        checks.append(
            _check(
                "Cameras above the floor", "bad" if len(low) == len(centers) else "warn" if low else "good",
                f"lowest at {fmt(float(centers[:, 2].min()), 2, 'm')}",
                "Every camera stands above the floor." if not low else f"Below the floor: {', '.join(low)}.",
                "The vertical or the floor is wrong, unless the camera really stands lower than the athlete's floor.",
            )
        )  # fmt: skip
    stature, given = athlete.get("implied_stature_m", np.nan), _number(data.meta.get("height_m"))
    if np.isfinite(stature):
        if np.isfinite(given):
            off = stature / given - 1
            state = "good" if abs(off) < 0.08 else "warn" if abs(off) < 0.2 else "bad"
            sign = "+" if off >= 0.005 else ""
            text = (
                f"The legs fit a stature of {stature:.2f} m; {given:.2f} m was given ({sign}{fmt(off * 100, 0, '%')})."
            )
        else:
            state = "good" if 1.2 <= stature <= 2.2 else "bad"
            text = "The legs fit this stature (thigh and shank are 49 % of it)."
        checks.append(
            _check(
                "Size is plausible", state, f"{stature:.2f} m", text,
                "Check the athlete's height given, or the known distance the scale came from.",
            )
        )  # fmt: skip
    forward = _knees_forward(data)
    if forward is not None:
        share, count = forward
        state = "good" if share > 0.75 else "warn" if share > 0.5 else "bad"
        checks.append(
            _check(
                "Knees bend forwards", state, f"{share * 100:.0f} % of {count} bent knees",
                "Left and right are where they belong and the world is not mirrored.",
                "Left and right are exchanged in the detections, or the cameras were solved mirrored. Look at the 3D "
                "view, then run again with the tracks cleaned.",
            )
        )  # fmt: skip
    return checks


_FEET = (
    "left_ankle", "right_ankle", "left_heel", "right_heel", "left_big_toe", "right_big_toe", "left_foot_index",
    "right_foot_index",
)  # fmt: skip


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _knees_forward(data: ReportData) -> tuple[float, int] | None:
    """Share of clearly bent knees that lie in front of the hip-ankle line, and how many there are.

    Forward is up x right with right from left to right hip and up from pelvis to thorax (right-handed axes).
    """
    left, right = joint_track(data, "left_hip"), joint_track(data, "right_hip")
    thorax = joint_track(data, "thorax", "neck")
    if left is None or right is None:
        return None
    if thorax is None:
        ls, rs = joint_track(data, "left_shoulder"), joint_track(data, "right_shoulder")
        if ls is None or rs is None:
            return None
        thorax = (ls + rs) / 2
    forward = np.cross(thorax - (left + right) / 2, right - left)
    front = []
    for side in ("left", "right"):
        chain = [joint_track(data, f"{side}_{n}") for n in ("hip", "knee", "ankle")]
        if any(c is None for c in chain):
            continue
        hip, knee, ankle = chain
        line = ankle - hip  # type: ignore[operator]
        length = np.linalg.norm(line, axis=-1)
        offset = knee - hip  # type: ignore[operator]
        along = np.sum(offset * line, axis=-1) / np.maximum(length, 1e-9) ** 2
        out = offset - along[:, None] * line
        size = np.linalg.norm(out, axis=-1)
        bent = np.isfinite(size) & np.isfinite(forward).all(-1) & (size > 0.08 * length)
        front.append(np.sum(out[bent] * forward[bent], axis=-1) > 0)
    both = np.concatenate(front) if front else np.zeros(0)
    return (float(both.mean()), len(both)) if len(both) >= 10 else None


def collect_warnings(data: ReportData, summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Warnings given with the data, of the calibration, and those that follow from the numbers; worst first."""
    out = [_as_warning(w) for w in (*data.warnings, *(data.calibration.get("warnings") or ()))]
    for check in summary["checks"]:
        if check["state"] in ("bad", "warn"):
            out.append(
                {
                    "severity": check["state"],
                    "message": f"{check['name']}? {check['value']}.",
                    "remedy": check["remedy"],
                }
            )
    source = str(data.calibration.get("scale_source", "")).lower()
    if data.calibration and data.calibrated_here and any(w in source for w in ("none", "assum", "average", "default")):
        out.append(
            {
                "severity": "warn", "message": "Absolute sizes and speeds rest on an assumed body size.",
                "remedy": "Give the athlete's height (height_m in session.toml) or one measured distance.",
            }
        )  # fmt: skip
    shares = [c.get("rms_px", np.nan) for c in summary["cameras"]]
    usual = float(np.nanmedian(shares)) if np.isfinite(shares).any() else np.nan
    for camera in summary["cameras"]:
        name = camera["name"]
        rejected = camera.get("rejected_share", np.nan)
        if rejected > 0.3:
            out.append(
                {
                    "severity": "warn",
                    "message": f"{name}: {rejected * 100:.0f} % of its measurements contradict the other cameras.",
                    "remedy": "Check its intrinsics, its synchronisation and whether it sees the same person.",
                }
            )
        elif len(shares) > 2 and camera.get("rms_px", 0) > 2.5 * usual:
            out.append(
                {
                    "severity": "warn",
                    "message": f"{name}: residual {camera['rms_px']:.1f} px, the usual camera has {usual:.1f} px.",
                    "remedy": "Check its focus, its intrinsics and its time offset.",
                }
            )
        if camera.get("frames_seen") == 0:
            out.append(
                {
                    "severity": "bad", "message": f"{name}: nobody was detected in any frame.",
                    "remedy": "Check the file, its exposure and that the athlete is in the picture.",
                }
            )  # fmt: skip
    worst = max((abs(b.get("asymmetry_percent", 0.0)) for b in summary["bones"]), default=0.0)
    if np.isfinite(worst) and worst > 8:
        bone = max(summary["bones"], key=lambda b: abs(b.get("asymmetry_percent", 0.0)))
        out.append(
            {
                "severity": "warn",
                "message": f"Left and right differ by {worst:.0f} % in {bone['name'].replace('_', ' ')}.",
                "remedy": "Usual causes: one side hidden from most cameras, or left and right exchanged now and then.",
            }
        )
    mono = summary["monocular"]
    if mono.get("headline") and "before" in mono and "after" in mono:
        key = mono["headline"]
        if mono["after"]["mean"][key] > mono["before"]["mean"][key]:
            out.append(
                {
                    "severity": "warn", "message": f"Tuning did not help on held-out frames ({METRICS[key]} rose).",
                    "remedy": "Keep the untuned model; look at the 3D quality above and add frames or sessions.",
                }
            )  # fmt: skip
    order = {"bad": 0, "warn": 1, "info": 2}
    unique = {w["message"]: w for w in reversed(out)}
    return sorted(reversed(unique.values()), key=lambda w: order.get(w["severity"], 1))


def _as_warning(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        severity = str(value.get("severity", "warn"))
        return {
            "severity": severity if severity in ("bad", "warn", "info") else "warn",
            "message": str(value.get("message", "")),
            "remedy": str(value.get("remedy", "") or ""),
        }
    if isinstance(value, BaseException):
        return {
            "severity": "warn",
            "message": str(getattr(value, "message", value)),
            "remedy": str(getattr(value, "remedy", "")),
        }
    return {"severity": "warn", "message": str(value), "remedy": ""}

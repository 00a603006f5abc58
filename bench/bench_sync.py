"""How well offsets between cameras are found, by condition. Run: python bench/bench_sync.py [--seeds 20] [--json FILE]

Every condition: four cameras with known true offsets of up to 2 s each, 2 px noise, 5 % outliers, 10 % missing joints,
10 % of the frames with left and right exchanged, cameras unknown, an assumed lens that is right within 2.5 %. Errors
are against the first camera. CPU seconds are those of this process. As a pytest file it times the public call.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sportcore.sync import CameraTrack, motion_offsets
from sportcore.synthetic import Motion, observe, ring_cameras

# name, sport, frames per second, frames, largest offset s, cameras, arc deg, noise, clock rates ppm
CONDITIONS = [
    ("running, 12.5 Hz, 24 s", "run", 12.5, 300, 2.0, 4, 360, {}, None),
    ("walking, 12.5 Hz, 24 s", "walk", 12.5, 300, 2.0, 4, 360, {}, None),
    ("jumping, 12.5 Hz, 24 s", "jump", 12.5, 300, 2.0, 4, 360, {}, None),
    ("running, 25 Hz, 12 s", "run", 25.0, 300, 2.0, 4, 360, {}, None),
    ("running, 50 Hz, 6 s", "run", 50.0, 300, 2.0, 4, 360, {}, None),
    ("running, 60 Hz, 5 s", "run", 60.0, 300, 2.0, 4, 360, {}, None),
    ("jumping, 60 Hz, 5 s", "jump", 60.0, 300, 2.0, 4, 360, {}, None),
    ("walking, 60 Hz, 5 s", "walk", 60.0, 300, 2.0, 4, 360, {}, None),
    ("walking, 60 Hz, 15 s", "walk", 60.0, 900, 2.0, 4, 360, {}, None),
    ("running, 60 Hz, 5 s, clean", "run", 60.0, 300, 2.0, 4, 360, {"outliers": 0, "missing": 0, "swaps": 0}, None),
    ("running, 60 Hz, 5 s, correlated noise 6 px", "run", 60.0, 300, 2.0, 4, 360,
     {"sigma_px": 6.0, "correlation": 0.8}, None),
    ("running, 12.5 Hz, 24 s, outliers and missing 20 %, swaps 20 %", "run", 12.5, 300, 2.0, 4, 360,
     {"outliers": 0.2, "missing": 0.2, "swaps": 0.2}, None),
    ("running, 60 Hz, 5 s, two cameras, 70 degrees", "run", 60.0, 300, 2.0, 2, 70, {}, None),
    ("running, 60 Hz, 20 s, offsets to 5 s, eight cameras", "run", 60.0, 1200, 5.0, 8, 360, {}, None),
    ("running, 60 Hz, 60 s, clocks 1000, -100, 20 ppm", "run", 60.0, 3600, 2.0, 4, 360, {}, (0, 1000, -100, 20)),
]  # fmt: skip


def scene(sport, fps, frames, reach_s, cameras, arc_deg, noise, ppm, seed):
    """Tracks, lenses, true offsets against the first camera at mid-recording, true rates against its clock."""
    rng = np.random.default_rng(9000 + seed)
    late = rng.uniform(-reach_s, reach_s, cameras)
    rate = np.zeros(cameras) if ppm is None else 1e-6 * np.array(ppm, float)
    motion, rig = Motion(seed, sport), ring_cameras(cameras, seed, arc_deg=arc_deg)
    times = np.arange(frames) / fps
    tracks = []
    for c in range(cameras):
        kind = {"sigma_px": 2.0, "outliers": 0.05, "missing": 0.1, "swaps": 0.1} | noise
        seen, _ = observe(motion.at(times * (1 + rate[c]) + late[c]), rig, seed * 10 + c, fps=fps, **kind)
        tracks.append(CameraTrack(rig[c].name, seen.xy[c], seen.score[c], times, rig[c].image_size, fps))
    middle = 0.5 * times[-1]
    true = (middle * (1 + rate) + late - late[0]) / (1 + rate[0]) - middle
    return tracks, true, (1 + rate) / (1 + rate[0]) - 1


def measure(condition, seeds):
    """One row of the table."""
    name, sport, fps, frames, reach_s, cameras, arc, noise, ppm = condition
    errors, scores, seconds, unsure, drift, drift_scores = [], [], [], 0, [], []
    for seed in range(seeds):
        tracks, true, rate = scene(sport, fps, frames, reach_s, cameras, arc, noise, ppm, seed)
        t0 = time.process_time()
        report = motion_offsets(tracks, "h36m17", max_offset_s=reach_s)
        seconds.append(time.process_time() - t0)
        for camera, truth, r in zip(report.cameras[1:], true[1:], rate[1:], strict=True):
            if not camera.sure:
                unsure += 1
                continue
            errors.append(camera.offset_s - truth)
            scores.append(errors[-1] / camera.sigma_s)
            if camera.drift is not None:
                drift.append(1e6 * (camera.drift - r))
                drift_scores.append(drift[-1] / (1e6 * camera.drift_sigma))
    e, z, d = np.abs(errors), np.abs(scores), np.abs(drift)
    if not errors:
        return {"condition": name, "cameras": seeds * (cameras - 1), "undecided": unsure}
    row = {
        "condition": name, "cameras": seeds * (cameras - 1), "undecided": unsure,
        "wrong": int((e > 0.5 / fps).sum()), "median_ms": 1e3 * float(np.median(e)), "worst_ms": 1e3 * float(e.max()),
        "median_frames": float(np.median(e) * fps), "worst_frames": float(e.max() * fps),
        "inside_95": float((z < 1.96).mean()), "seconds": float(np.median(seconds)),
    }  # fmt: skip
    if len(d):
        row |= {"drift_median_ppm": float(np.median(d)), "drift_worst_ppm": float(d.max())}
        row |= {"drift_inside_95": float((np.abs(drift_scores) < 1.96).mean())}
    return row


def line(row):
    """A row in Markdown."""
    if "wrong" not in row:
        return f"| {row['condition']} | - | - | 0 | {row['undecided']} | {row['cameras']} | - | - | - |"
    drift = f"{row['drift_median_ppm']:.1f} / {row['drift_worst_ppm']:.1f}" if "drift_median_ppm" in row else "-"
    return (
        f"| {row['condition']} | {row['median_frames']:.3f} / {row['worst_frames']:.2f} | {row['median_ms']:.2f} / "
        f"{row['worst_ms']:.1f} | {row['wrong']} | {row['undecided']} | {row['cameras']} | {row['inside_95']:.0%} | "
        f"{drift} | {row['seconds']:.1f} |"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="conditions whose name contains this")
    parser.add_argument("--rows", default=":", help="rows of the table, as 0:8")
    args = parser.parse_args()
    print("| condition | frames | ms | wrong | undecided | of | inside 95 % | drift ppm | CPU s |\n" + "|---" * 9 + "|")
    rows = []
    first, _, last = args.rows.partition(":")
    for condition in CONDITIONS[int(first or 0) : int(last) if last else None]:
        if args.only in condition[0]:
            rows.append(measure(condition, args.seeds))
            print(line(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


@pytest.mark.parametrize(("fps", "frames"), [(12.5, 300), (60.0, 300), (60.0, 36000)])
def bench_motion_offsets(benchmark, fps, frames):
    """Wall time of the public call with four cameras; 36000 frames are ten minutes."""
    tracks, true, _ = scene("run", fps, frames, 2.0, 4, 360, {}, None, 0)
    rounds = 1 if frames > 1000 else 3
    report = benchmark.pedantic(motion_offsets, (tracks, "h36m17"), rounds=rounds, warmup_rounds=1, iterations=1)
    benchmark.extra_info["worst_ms"] = float(1e3 * np.abs(report.offsets_s - true)[1:].max())


if __name__ == "__main__":
    sys.exit(main())

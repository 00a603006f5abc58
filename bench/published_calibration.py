"""The published calibration (lee2022) beside sc.calibrate: prints the tables of docs/calibration-published.md.

python bench/published_calibration.py [--seeds 5] [--only "4 cameras"] [--rig Calib.qca.txt --keypoints heavy.npz ...]

Scenes: sportcore.synthetic, a runner at 12.5 Hz, keypoints with 2 px of noise, poses of a simulated lifter (53 mm,
persistent noise, 2 degrees of tilt per camera; left and right exchanged where the keypoints have them exchanged).
With a reference rig and keypoint files of a real recording, its lenses and the base lifter's poses are used.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable

import numpy as np

import sportcore as sc
from sportcore.cameras.lee2022 import Lee2022Options, calibrate_lee2022
from sportcore.errors import DegenerateError
from sportcore.evaluation.cameras import camera_errors
from sportcore.synthetic import athlete, observe, ring_cameras, simulate_lifter

NOISE = {
    "clean (2 px)": {},
    "5 % outliers, 10 % missing": {"outliers": 0.05, "missing": 0.10},
    "5 % outliers, 10 % missing, 20 % swaps": {"outliers": 0.05, "missing": 0.10, "swaps": 0.20},
}
LEE = {
    "linear": {},
    "linear, SO(3)": {"project_rotations": True},
    "RANSAC": {"ransac": True},
    "linear + BA": {"bundle": True},
    "RANSAC + BA": {"ransac": True, "bundle": True},
    "BA, mask, again": {"bundle": True, "mask_px": 20.0},
}
OURS = "sc.calibrate"


def methods(
    keypoints: sc.Keypoints2D, rig: sc.Rig, poses: np.ndarray, chosen: list[str]
) -> dict[str, Callable[[], tuple]]:
    """Name -> call that returns (R, t)."""

    def published(options: dict) -> tuple:
        out = calibrate_lee2022(keypoints, rig, poses, Lee2022Options(**options))
        return out.rotations, out.t

    def ours() -> tuple:
        out = sc.calibrate(keypoints, rig)
        return out.rig.R, out.rig.t

    calls: dict[str, Callable[[], tuple]] = {name: lambda o=o: published(o) for name, o in LEE.items()}
    return {name: call for name, call in (calls | {OURS: ours}).items() if name in chosen}


def measure(call: Callable[[], tuple], true: sc.Rig) -> dict[str, float] | str:
    start = time.process_time()
    try:
        R, t = call()
    except DegenerateError as error:
        return str(error)
    seconds = time.process_time() - start
    e = camera_errors(R, t, true.R, true.t)
    return {
        "median": e.relative_rotation_median_deg,
        "worst": e.relative_rotation_max_deg,
        "centre": float(e.centre_mm.mean()),
        "e_r": e.published_e_r_rad,
        "seconds": seconds,
    }


def synthetic(cameras: int, frames: int, noise: dict, seed: int) -> tuple[sc.Rig, sc.Keypoints2D, np.ndarray]:
    X = athlete(frames, 12.5, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    rig = ring_cameras(cameras, seed, arc_deg=70.0 if cameras == 2 else 360.0)
    keypoints, truth = observe(X, rig, seed, sigma_px=2.0, fps=12.5, **noise)
    return rig, keypoints, simulate_lifter(X, rig, seed, mpjpe_mm=53.0, tilt_deg=2.0, swapped=truth.swapped)


def row(title: str, cells: list[str]) -> None:
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def cell(results: list[dict[str, float] | str], show: Callable[[list[dict[str, float]]], str]) -> str:
    good = [r for r in results if not isinstance(r, str)]
    refused = len(results) - len(good)
    tail = f" ({refused} refused)" if refused else ""
    return (show(good) if good else "–") + tail


def rotation(r: list[dict[str, float]]) -> str:
    return f"{np.median([x['median'] for x in r]):.2f} ({max(x['worst'] for x in r):.1f})"


def scenes(seeds: int, only: str, names: list[str]) -> None:
    tables: dict[str, list[tuple[str, list[str]]]] = {"rotation": [], "centres": [], "seconds": []}
    for kind, noise in NOISE.items():
        for cameras in (4, 2):
            for frames in (20, 100, 300):
                title = f"{kind}, {cameras} cameras, {frames} frames"
                if only not in title:
                    continue
                runs: dict[str, list] = {name: [] for name in names}
                for seed in range(seeds):
                    rig, keypoints, poses = synthetic(cameras, frames, noise, seed)
                    for name, call in methods(keypoints, rig, poses, names).items():
                        runs[name].append(measure(call, rig))
                tables["rotation"].append((title, [cell(runs[n], rotation) for n in names]))
                for key, field, digits in (("centres", "centre", 0), ("seconds", "seconds", 2)):
                    cells = [
                        cell(runs[n], lambda r, f=field, d=digits: f"{np.median([x[f] for x in r]):.{d}f}")
                        for n in names
                    ]
                    tables[key].append((title, cells))
                row(title, tables["rotation"][-1][1])
    for key, caption in (
        ("rotation", f"Relative rotation, degrees: median over pairs and {seeds} seeds (worst pair of the worst seed)"),
        ("centres", "Camera centres after the similarity, mean over cameras, mm, median over seeds"),
        ("seconds", "CPU time, s, median over seeds"),
    ):
        print(f"\n{caption}\n")
        row("scene", names)
        row("---", ["---"] * len(names))
        for title, cells in tables[key]:
            row(title, cells)


def recording(rig_path: str, keypoint_paths: list[str], names: list[str]) -> None:
    rig = sc.read_rig(rig_path)
    lifter = sc.load_lifter("base")
    print(
        "\nReal recording, against the reference rig: rotation median (worst) deg; centres mm; E_R as printed by the "
    )
    print("published code (angle / sqrt 2), rad; CPU seconds\n")
    row("keypoints", names)
    row("---", ["---"] * len(names))
    for path in keypoint_paths:
        keypoints = sc.read_keypoints(path)
        poses = lifter.lift(keypoints, rig)
        cells = []
        for call in methods(keypoints, rig, poses, names).values():
            r = measure(call, rig)
            if isinstance(r, str):
                cells.append("refused: " + r.split(".")[0])
            else:
                cells.append(
                    f"{r['median']:.2f} ({r['worst']:.1f}); {r['centre']:.0f}; {r['e_r']:.4f}; {r['seconds']:.2f}"
                )
        row(os.path.splitext(os.path.basename(path))[0], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="scenes whose title contains this")
    names = [*LEE, OURS]
    parser.add_argument("--methods", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rig", help="reference calibration of a real recording")
    parser.add_argument("--keypoints", nargs="*", default=[], help="its keypoint files")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rig, keypoints, poses = synthetic(2, 20, {}, 0)
    for call in methods(keypoints, rig, poses, arguments.methods).values():  # warm up
        measure(call, rig)
    if arguments.seeds:
        scenes(arguments.seeds, arguments.only, arguments.methods)
    if arguments.rig:
        recording(arguments.rig, arguments.keypoints, arguments.methods)


if __name__ == "__main__":
    main()

"""What constant bone lengths and equal sides bring to a calibration: error with and without them.

python bench/ablation.py --seeds 10
"""

from __future__ import annotations

import argparse

import numpy as np

import sportcore as sc
from sportcore.evaluation import camera_errors
from sportcore.synthetic import athlete, observe, ring_cameras

VARIANTS = {
    "views alone": sc.CalibrateOptions(height_m=1.75, bone_lengths=False),
    "+ bone lengths": sc.CalibrateOptions(height_m=1.75, bone_symmetry=False),
    "+ equal sides": sc.CalibrateOptions(height_m=1.75),
}
CASES = [(2, 70.0, 20), (2, 70.0, 300), (4, 60.0, 20), (4, 60.0, 300), (4, 360.0, 20), (4, 360.0, 300)]


def main() -> None:
    """Print one row per scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    print("| cameras | arc | frames | " + " | ".join(VARIANTS) + " | bones used |\n|---|---|---|" + "---|" * 4)
    for cameras, arc, frames in CASES:
        errors: dict[str, list[float]] = {name: [] for name in VARIANTS}
        used = 0
        for seed in range(args.seeds):
            X = athlete(frames, 12.5, seed)
            rig = ring_cameras(cameras, seed, arc_deg=arc)
            keypoints, _ = observe(
                X - [*X[:, 0, :2].mean(0), 0], rig, seed, fps=12.5, sigma_px=2.0, outliers=0.05, missing=0.10
            )
            for name, options in VARIANTS.items():
                try:
                    cal = sc.calibrate(keypoints, rig, options)
                except sc.SportcoreError:
                    errors[name].append(np.nan)
                    continue
                found = camera_errors(cal.rig.R, cal.rig.t, rig.R, rig.t)
                errors[name].append(found.relative_rotation_median_deg)
                used += name == "+ equal sides" and bool(cal.report.extra["bone_lengths_used"])
        row = " | ".join(f"{np.nanmedian(e):.3f} / {np.nanmax(e):.2f}" for e in errors.values())
        print(f"| {cameras} | {arc:.0f}° | {frames} | {row} | {used} of {args.seeds} |", flush=True)


if __name__ == "__main__":
    main()

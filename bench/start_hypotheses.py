"""Where the start of a calibration breaks: scenes far beyond what a recording should be like.

    python bench/start_hypotheses.py --scenes 12 [--lifter] [--json out.json]

Few cameras and frames, a quarter to nearly half of the joints grossly wrong, left and right exchanged in half of the
frames, cameras that see the athlete in a third of the frames or stand far away behind long lenses, a ring of eight of
which only neighbours share joints. Counted are right answers (worst relative rotation below 2 degrees), coarse ones
(below 10: what so few data give), refusals, and wrong answers. With ``--lifter`` the calibration is given what a
lifter would say of the athlete: 70 mm of error, 5 degrees of tilt in each camera, left for right where its 2D input
was exchanged.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sportcore as sc
from sportcore.synthetic import athlete, observe, ring_cameras, simulate_lifter

RIGHT_DEG, COARSE_DEG = 2.0, 10.0


@dataclass(frozen=True)
class Condition:
    """A kind of scene."""

    name: str
    cameras: int
    frames: int
    outliers: float
    swaps: float = 0.0
    arc_deg: float = 360.0
    focal_px: float = 1500
    seen: str = "all"  # or "third": each camera sees a third of the frames; "ring": three neighbours at a time


CONDITIONS = (
    Condition("2 cameras, 60 frames, 35 %, half swapped", 2, 60, 0.35, 0.5, arc_deg=70),
    Condition("2 cameras opposite, 40 frames, 30 %, half swapped", 2, 40, 0.30, 0.5, arc_deg=150),
    Condition("2 cameras, 6000 px lenses, 60 frames, 25 %, half swapped", 2, 60, 0.25, 0.5, arc_deg=70, focal_px=6000),
    Condition("3 cameras, 12 frames, 40 %", 3, 12, 0.40),
    Condition("3 cameras in 60 degrees, 24 frames, 45 %, half swapped", 3, 24, 0.45, 0.5, arc_deg=60),
    Condition("3 cameras, 60 frames, 45 %, half swapped", 3, 60, 0.45, 0.5),
    Condition("4 cameras in 60 degrees, 16 frames, 45 %, half swapped", 4, 16, 0.45, 0.5, arc_deg=60),
    Condition("4 cameras, 100 frames, 45 %, half swapped, a third seen", 4, 100, 0.45, 0.5, seen="third"),
    Condition("4 cameras, 6000 px lenses, 24 frames, 40 %, half swapped", 4, 24, 0.40, 0.5, focal_px=6000),
    Condition("6 cameras, 12 frames, 45 %, half swapped", 6, 12, 0.45, 0.5),
    Condition("6 cameras, 60 frames, 40 %, half swapped, a third seen", 6, 60, 0.40, 0.5, seen="third"),
    Condition("ring of 8, neighbours, 100 frames, 40 %, half swapped", 8, 100, 0.40, 0.5, seen="ring"),
)


def scene(condition: Condition, seed: int) -> tuple[sc.Rig, sc.Keypoints2D, np.ndarray]:
    """True cameras, keypoints, and the lifter's (C, T, 17, 3) poses."""
    c, T = condition.cameras, condition.frames
    X = athlete(T, 12.5, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    far = condition.focal_px / 1500
    rig = ring_cameras(c, seed, arc_deg=condition.arc_deg, focal_px=condition.focal_px, distance_m=(5 * far, 8 * far))
    keypoints, truth = observe(
        X, rig, seed, fps=12.5, sigma_px=2.0, outliers=condition.outliers, missing=0.1, swaps=condition.swaps
    )
    poses = simulate_lifter(X, rig, seed, mpjpe_mm=70, tilt_deg=5, swapped=truth.swapped.any(-1))
    shown = np.ones((c, T), bool)
    if condition.seen == "third":
        # stretches of four frames; three neighbouring stretches of camera k in nine, shifted so that cameras overlap
        stretch = np.arange(T) // 4
        shown = np.array([np.random.default_rng([seed, k]).permuted(stretch % 3 == 0) for k in range(c)])
        for t in range(T):  # at least two cameras look at the same time
            if shown[:, t].sum() == 1:
                shown[np.random.default_rng([seed, t, 1]).integers(c), t] = True
    elif condition.seen == "ring":
        first = np.arange(T) * c // T
        shown = np.array([(k - first) % c < 3 for k in range(c)])
    xy = np.where(shown[..., None, None], keypoints.xy, np.nan)
    score = np.where(shown[..., None], keypoints.score, 0.0)
    poses = np.where(shown[..., None, None], poses, np.nan)
    return rig, keypoints.replace(xy=xy, score=score), poses


def worst_rotation_deg(R: np.ndarray, true: np.ndarray) -> float:
    """Worst relative rotation error over the pairs of (C, 3, 3) cameras."""
    gap = np.einsum("aij,bkj,bkl,aml->abim", R, R, true, true)
    return float(np.degrees(np.arccos(np.clip((np.trace(gap, axis1=2, axis2=3) - 1) / 2, -1, 1))).max())


def counts(outcomes: list[float | str]) -> str:
    """Cells of the table."""
    angles = np.array([a for a in outcomes if not isinstance(a, str)])
    right, wrong = int((angles < RIGHT_DEG).sum()), int((angles >= COARSE_DEG).sum())
    return f"{right} | {len(angles) - right - wrong} | {len(outcomes) - len(angles)} | {wrong}"


def main() -> None:
    """Run the scenes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lifter", action="store_true")
    parser.add_argument("--only", type=int, nargs="*", help="rows of the table, from 0")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[tuple[Condition, list[float | str], list[float]]] = []
    print("| scene | right | coarse | refused | wrong | median s |\n|---|---|---|---|---|---|")
    for i, condition in enumerate(CONDITIONS):
        if args.only and i not in args.only:
            continue
        outcomes: list[float | str] = []
        seconds = []
        for k in range(args.scenes):
            truth, keypoints, poses = scene(condition, args.seed + k)
            before = time.perf_counter()
            try:
                found = sc.calibrate(keypoints, truth, monocular_3d=poses if args.lifter else None)
                outcomes.append(worst_rotation_deg(found.rig.R, truth.R))
            except sc.SportcoreError as error:
                outcomes.append(str(error))
            seconds.append(time.perf_counter() - before)
        print(f"| {condition.name} | {counts(outcomes)} | {np.median(seconds):.2f} |", flush=True)
        rows.append((condition, outcomes, seconds))
    print(f"| all | {counts([a for _, outcomes, _ in rows for a in outcomes])} | |")
    if args.json:
        args.json.write_text(json.dumps([{"scene": c.name, "outcomes": o, "seconds": s} for c, o, s in rows], indent=1))


if __name__ == "__main__":
    main()

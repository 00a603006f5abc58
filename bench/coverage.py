"""Does the stated uncertainty of a calibration hold? True errors against stated intervals over random scenes.

    python bench/coverage.py --scenes 200

Cameras (2 to 8, ring or arc), frames (60 to 400), noise (1 to 4 px, correlated in time or not), outliers, missing
joints and swaps are drawn at random. For each camera the error of its rotation (after the best rotation of the world)
is held against the covariance of the report: it should lie inside the 95 % region 90 to 98 % of the time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

import sportcore as sc
from sportcore.synthetic import athlete, observe, ring_cameras


def one(seed: int) -> dict[str, object]:
    """A random scene: its facts, and for each camera the squared Mahalanobis distance of its rotation error."""
    rng = np.random.default_rng(seed)
    cameras, frames = int(rng.choice([2, 3, 4, 4, 5, 6, 8])), int(rng.integers(60, 400))
    arc = 360.0 if cameras > 3 and rng.random() < 0.6 else float(rng.uniform(50, 120))
    noise = {
        "sigma_px": float(rng.uniform(1, 4)), "outliers": float(rng.uniform(0, 0.15)),
        "missing": float(rng.uniform(0, 0.25)), "swaps": float(rng.choice([0.0, 0.0, 0.15])),
        "correlation": float(rng.choice([0.0, 0.0, 0.7])),
    }  # fmt: skip
    X = athlete(frames, 12.5, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    truth = ring_cameras(cameras, seed, arc_deg=arc)
    keypoints, _ = observe(X, truth, seed, fps=12.5, **noise)
    facts: dict[str, object] = {"cameras": cameras, "frames": frames, "arc": arc, **noise}
    start = time.perf_counter()
    try:
        cal = sc.calibrate(keypoints, truth, sc.CalibrateOptions(height_m=1.75))
    except sc.SportcoreError as error:
        return facts | {"refused": str(error)}
    facts["seconds"] = time.perf_counter() - start
    # x_cam = R x: the world may be turned, so that R_found Q = R_true but for the error w: R_found = exp(w) R_true Q'
    turn = Rotation.from_matrix(np.einsum("cji,cjk->cik", truth.R, cal.rig.R)).mean().as_matrix()
    error = Rotation.from_matrix(cal.rig.R @ turn.T @ np.swapaxes(truth.R, 1, 2)).as_rotvec()
    covariance = cal.report.camera_covariance
    assert covariance is not None
    distance = [float(w @ np.linalg.solve(C[:3, :3], w)) for w, C in zip(error, covariance, strict=True)]
    return facts | {
        "distance2": distance, "error_deg": float(np.degrees(np.linalg.norm(error, axis=1).max())),
        "grade": cal.report.grade, "sigma_deg": float(cal.report.rotation_sigma_deg.max()),
    }  # fmt: skip


def main() -> None:
    """Run the scenes and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = [one(args.seed + k) for k in range(args.scenes)]
    done = [r for r in rows if "distance2" in r]
    print(f"{len(done)} of {len(rows)} scenes calibrated, the others refused")
    for r in rows:
        if "refused" in r:
            print("  refused:", {k: v for k, v in r.items() if k != "seconds"})

    def share(select: list[dict[str, object]]) -> str:
        if not select:
            return "-"
        d = np.concatenate([np.array(r["distance2"]) for r in select])
        # three degrees of freedom, one world rotation shared by all cameras of a scene
        dof = np.concatenate([np.full(len(r["distance2"]), 3.0) for r in select])  # type: ignore[arg-type]
        inside = d < chi2.ppf(0.95, dof)
        return f"{100 * inside.mean():.1f} % of {len(d)} cameras"

    print("inside the 95 % region:", share(done))
    for name, key, values in (
        ("cameras", "cameras", (2, 3, 4, 5, 6, 8)), ("correlation", "correlation", (0.0, 0.7)),
        ("swaps", "swaps", (0.0, 0.15)),
        ("grade", "grade", ("good", "usable", "poor")),
    ):  # fmt: skip
        for value in values:
            print(f"  {name} {value}: {share([r for r in done if r[key] == value])}")
    errors, sigma = (np.array([float(r[k]) for r in done]) for k in ("error_deg", "sigma_deg"))  # type: ignore[arg-type]
    ratio = errors / sigma
    print(f"error / sigma of the worst camera: median {np.median(ratio):.2f}, 95 % {np.quantile(ratio, 0.95):.2f}")


if __name__ == "__main__":
    main()

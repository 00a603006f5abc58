"""How long a calibration takes, over cameras and frames. Run: pytest bench/bench_calibrate.py --benchmark-only"""

from __future__ import annotations

import pytest

import sportcore as sc
from sportcore.synthetic import athlete, observe, ring_cameras


@pytest.mark.parametrize(("cameras", "frames"), [(2, 300), (4, 100), (4, 300), (4, 1000), (8, 300), (8, 1000)])
def bench_calibrate(benchmark, cameras, frames):
    """Wall time of the public call; the accuracy of the timed run goes into extra_info."""
    X = athlete(frames, 12.5, 0)
    X = X - [*X[:, 0, :2].mean(0), 0]
    rig = ring_cameras(cameras, 0, arc_deg=70.0 if cameras == 2 else 360.0)
    keypoints, _ = observe(X, rig, 0, sigma_px=2.0, outliers=0.05, missing=0.10, fps=12.5)
    options = sc.CalibrateOptions(height_m=1.75)
    cal = benchmark.pedantic(sc.calibrate, (keypoints, rig, options), rounds=5, warmup_rounds=1, iterations=1)
    benchmark.extra_info["rotation_sigma_deg"] = float(cal.report.rotation_sigma_deg.max())
    benchmark.extra_info["sigma_px"] = float(cal.report.extra["sigma_px"])

"""Kernels on a CUDA device beside its ceilings, from arrays that lie there; writes JSON.

    python bench/gpu_report.py RESULTS.json

Needs torch with CUDA for memory, streams and timers. The ceilings are measured in the same run: a copy from device
memory to device memory (bytes read and written) and the product of large matrices in float32. Each kernel is timed
over many launches between two events on a stream, after a warm-up; bytes are what it must read and write once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from scenes import detections, joints, rig  # noqa: E402

import sportcore as sc  # noqa: E402
from sportcore import _core  # noqa: E402
from sportcore.points3d import TriangulateOptions, camera_array, reproject_batch, triangulate_batch  # noqa: E402

GOALS = {
    "reprojection": "at least 60 % of the copy's bandwidth",
    "robust triangulation, 4 cameras": "at least 3 G points/s in float32",
}


def seconds(call: Callable[[], Any], launches: int = 20, rounds: int = 7) -> float:
    """Median time of one launch."""
    call()
    torch.cuda.synchronize()
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(launches):
            call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / launches)
    return float(np.median(times))


def ceilings() -> dict[str, float]:
    source = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source))
    torch.backends.cuda.matmul.allow_tf32 = False
    a = torch.randn(8192, 8192, device="cuda")
    product = seconds(lambda: a @ a, launches=3)
    return {"copy_gb_per_s": 2 * source.numel() * 4 / copy / 1e9, "float32_tflops": 2 * 8192**3 / product / 1e12}


def repeated(array: np.ndarray, times: int, dtype: torch.dtype) -> torch.Tensor:
    """(C, N, ...) tiled along the points, on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to("cuda", dtype)
    return tensor.repeat(1, times, *([1] * (tensor.ndim - 2))).contiguous()


def main() -> None:
    target = Path(sys.argv[1])
    top = ceilings()
    rows: list[dict[str, Any]] = []

    def add(name: str, dtype: torch.dtype, n: int, n_bytes: float, call: Callable[[], Any]) -> None:
        s = seconds(call)
        rate = n * n_bytes / s / 1e9
        rows.append(
            {
                "kernel": name, "dtype": str(dtype).split(".")[-1], "n": n, "ms": s * 1e3, "giga_per_s": n / s / 1e9,
                "bytes": n_bytes, "gb_per_s": rate, "of_copy": rate / top["copy_gb_per_s"],
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)

    for dtype in (torch.float32, torch.float64):
        size = torch.finfo(dtype).bits // 8
        for lens in ("pinhole", "brown5", "fisheye"):
            cameras = camera_array(rig(8, lens))
            X = repeated(joints(10_000).reshape(1, -1, 3), 16, dtype)[0]
            n = len(X)
            add(
                f"reprojection, 8 cameras, {lens}", dtype, 8 * n, 2 * size + 3 * size / 8,
                lambda c=cameras, x=X: reproject_batch(c, x),
            )  # fmt: skip
        for count in (4, 8, 16, 32):
            layout = rig(count)
            truth = joints(5000)
            xy, score = detections(layout, truth)
            times = 40 if count <= 8 else 10
            observed = repeated(xy.reshape(count, -1, 2), times, dtype)
            weight = repeated(score.reshape(count, -1), times, dtype)
            n = observed.shape[1]
            cameras = camera_array(layout)
            for robust in (True, False):
                options = TriangulateOptions(sigma_px=2.0, robust=robust, loss="cauchy" if robust else "trivial")
                moved = count * 3 * size + 3 * size + 2
                kind = "robust" if robust else "plain"
                add(
                    f"{kind} triangulation, {count} cameras, positions only", dtype, n, moved,
                    lambda c=cameras, a=observed, b=weight, o=options: triangulate_batch(
                        c, a, b, options=o, with_covariance=False, with_residuals=False
                    ),
                )  # fmt: skip
            options = TriangulateOptions(sigma_px=2.0)
            add(
                f"robust triangulation, {count} cameras, all outputs", dtype, n, moved + 9 * size + count * (size + 1),
                lambda c=cameras, a=observed, b=weight, o=options: triangulate_batch(c, a, b, options=o),
            )  # fmt: skip
    result = {
        "machine": {
            "gpu": _core.cuda_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda,
            "sportcore": sc.__version__, "date": time.strftime("%Y-%m-%d"),
        },
        "ceilings": top, "goals": GOALS, "kernels": rows,
    }  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Robust triangulation against other tools, on the same observations and with the same true cameras.

    python bench/triangulate_peers.py [--cameras 4 8] [--name xeon-2-cores] [--docs]

Methods: sportcore (float64, float32); the plain DLT by NumPy and by torch; the rule of Pose2Sim, written anew (leaves
out ever more cameras until the mean reprojection error of the rest is below 15 px); pycolmap's LO-RANSAC; aniposelib's
DLT and RANSAC. The last three run in the environment of `make bench-peers`, where that has been made; slow ones get
the first points only, and their accuracy is that of these. Everything in one run, one thing at a time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
_MARKS = ("<!-- triangulation:begin -->", "<!-- triangulation:end -->")
_THEIRS = {  # method -> points it gets
    "pycolmap LO-RANSAC, 8 px": 3000,
    "aniposelib triangulate": 170_000,
    "aniposelib triangulate_ransac": 51,
}
_RULE = "rule of Pose2Sim, 15 px"


def dlt(xy: np.ndarray, weight: np.ndarray, P: np.ndarray) -> np.ndarray:
    """(C, N, 2), (C, N), (C, 3, 4) -> (N, 3), batched eigenvectors; not robust."""
    C, N = weight.shape
    w, u = np.where(np.isfinite(xy[..., 0]), weight, 0.0), np.nan_to_num(xy)
    A = np.empty((N, 2 * C, 4))
    for k in range(2):
        A[:, k::2] = (w[..., None] * (u[..., k : k + 1] * P[:, None, 2] - P[:, None, k])).transpose(1, 0, 2)
    V = np.linalg.eigh(A.transpose(0, 2, 1) @ A)[1][..., 0]
    with np.errstate(all="ignore"):
        return np.asarray(V[:, :3] / V[:, 3:])


def leave_out_rule(xy: np.ndarray, score: np.ndarray, P: np.ndarray, limit_px: float = 15.0) -> np.ndarray:
    """Point by point: all cameras, then with one left out, two, ...: the first choice of small mean error."""
    C, N = score.shape
    out = np.full((N, 3), np.nan)
    for i in range(N):
        seen = np.flatnonzero(np.isfinite(xy[:, i, 0]) & (score[:, i] > 0.1))
        for size in range(len(seen), 1, -1):
            best, best_error = None, np.inf
            for some in map(list, itertools.combinations(seen, size)):
                X = dlt(xy[some, i : i + 1], score[some, i : i + 1], P[some])[0]
                q = P[some] @ np.append(X, 1.0)
                error = np.linalg.norm(q[:, :2] / q[:, 2:] - xy[some, i], axis=1).mean()
                if error < best_error:
                    best, best_error = X, error
            if best_error < limit_px and best is not None:
                out[i] = best
                break
    return out


def theirs(method: str, scene: Any) -> Callable[[], np.ndarray]:
    """A call of another tool; runs under the interpreter of the peers."""
    xy, K, R, t = (scene[k] for k in ("xy", "K", "R", "t"))
    C = len(K)
    if method.startswith("pycolmap"):
        import pycolmap

        cameras = [
            pycolmap.Camera(model="PINHOLE", width=1920, height=1080, params=[k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
            for k in K
        ]
        poses = [pycolmap.Rigid3d(pycolmap.Rotation3d(r), s) for r, s in zip(R, t, strict=True)]
        options = pycolmap.EstimateTriangulationOptions()
        options.residual_type = pycolmap.TriangulationResidualType.REPROJECTION_ERROR
        options.ransac.max_error = 8.0
        options.ransac.random_seed = 0

        def loop() -> np.ndarray:
            out = np.full((xy.shape[1], 3), np.nan)
            for i in range(len(out)):
                seen = np.flatnonzero(np.isfinite(xy[:, i, 0]))
                if len(seen) < 2:
                    continue
                found = pycolmap.estimate_triangulation(
                    xy[seen, i], [poses[c] for c in seen], [cameras[c] for c in seen], options
                )
                if found is not None:
                    out[i] = found["xyz"]
            return out

        return loop
    import cv2
    from aniposelib.cameras import Camera, CameraGroup

    group = CameraGroup(
        [
            Camera(matrix=K[c], dist=np.zeros(5), size=(1920, 1080), rvec=cv2.Rodrigues(R[c])[0].ravel(), tvec=t[c])
            for c in range(C)
        ]
    )
    if "ransac" in method:
        return lambda: np.asarray(group.triangulate_ransac(xy)[0])
    return lambda: np.asarray(group.triangulate(xy))


def timed(call: Callable[[], np.ndarray], rounds: int) -> tuple[float, np.ndarray]:
    """Median seconds after one call to warm up, and what came out."""
    out = call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        out = call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)), out


def worker(method: str, source: str, target: str) -> None:
    with np.load(source) as scene:
        seconds, xyz = timed(theirs(method, dict(scene)), 1 if "ransac" in method.lower() else 3)
    np.savez(target, seconds=seconds, xyz=xyz)


def measure(count: int, peers: Path) -> list[dict[str, Any]]:
    """All methods on one scene of 10 000 frames."""
    sys.path.insert(0, str(HERE))
    from scenes import detections, joints, rig

    import sportcore as sc
    from sportcore.points3d import camera_array, triangulate_batch

    cameras, X = rig(count), joints(10_000)
    xy, score = (a.reshape(count, -1, *a.shape[3:]) for a in detections(cameras, X))
    truth, P = X.reshape(-1, 3), np.stack([c.P for c in cameras])
    keypoints = sc.Keypoints2D(xy.reshape(count, *X.shape[:2], 2), score.reshape(count, *X.shape[:2]), "h36m17", fps=50)
    rows = []

    def add(method: str, seconds: float, xyz: np.ndarray) -> None:
        n = len(xyz)
        error = np.linalg.norm(xyz - truth[:n], axis=1) * 1000
        got = np.isfinite(error)
        rows.append(
            {
                "cameras": count, "method": method, "points": n, "points_per_s": n / seconds,
                "median_mm": float(np.median(error[got])), "p95_mm": float(np.percentile(error[got], 95)),
                "over_50_mm_pct": float(100 * (error[got] > 50).mean()), "found_pct": float(100 * got.mean()),
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)

    def ours() -> np.ndarray:
        return np.asarray(sc.triangulate(keypoints, cameras).xyz).reshape(-1, 3)

    core, xy32, score32 = camera_array(cameras), xy.astype(np.float32), score.astype(np.float32)
    add("sportcore, float64", *timed(ours, 9))
    add("sportcore, float32", *timed(lambda: np.asarray(triangulate_batch(core, xy32, score32).xyz), 9))
    add("DLT, NumPy", *timed(lambda: dlt(xy, score, P), 3))
    try:
        import torch
    except ImportError:
        pass
    else:
        tensors = [torch.from_numpy(a) for a in (xy, score, P)]

        def by_torch() -> np.ndarray:
            u, w, p = tensors
            w = torch.where(torch.isfinite(u[..., 0]), w, 0.0)[..., None]
            u = torch.nan_to_num(u)
            A = torch.cat([w * (u[..., k : k + 1] * p[:, None, 2] - p[:, None, k]) for k in range(2)]).transpose(0, 1)
            V = torch.linalg.eigh(A.transpose(1, 2) @ A)[1][..., 0]
            return np.asarray(V[:, :3] / V[:, 3:])

        add("DLT, torch", *timed(by_torch, 3))
    few = 1000 if count <= 4 else 300
    add(_RULE, *timed(lambda: leave_out_rule(xy[:, :few], score[:, :few], P), 1))
    if not peers.is_file():
        print(f"{peers} is not there: the other tools are left out (make bench-peers makes it)", file=sys.stderr)
        return rows
    for method, n in _THEIRS.items():
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "scene.npz", Path(folder) / "found.npz"
            np.savez(source, xy=xy[:, :n], K=cameras.K, R=cameras.R, t=cameras.t)
            subprocess.run(
                [str(peers), str(HERE / "triangulate_peers.py"), "--worker", method, str(source), str(target)],
                check=True, env={**os.environ, "PYTHONPATH": ""},
            )  # fmt: skip
            with np.load(target) as found:
                add(method, float(found["seconds"]), found["xyz"])
    return rows


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['machine']}; load before {found['load']:.1f}; measured on {found['date']}.",
        "",
        "| cameras | method | points/s | median / 95 % mm | over 50 mm | found |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for r in found["rows"]:
        rate = r["points_per_s"]
        speed = f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate / 1e3:.0f} k" if rate >= 1e4 else f"{rate:.0f}"
        some = "" if r["points"] > 100_000 else f" (first {r['points']})"
        lines.append(
            f"| {r['cameras']} | {r['method']}{some} | {speed} | {r['median_mm']:.1f} / {r['p95_mm']:.0f} | "
            f"{r['over_50_mm_pct']:.2f} % | {r['found_pct']:.1f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--name", default="here", help="name of the machine in the file's name")
    parser.add_argument("--peers", type=Path, default=HERE.parent / "build/peers/bin/python", help="their interpreter")
    parser.add_argument("--docs", action="store_true", help="also write the table into docs/performance.md")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    load = os.getloadavg()[0]
    rows = [row for count in args.cameras for row in measure(count, args.peers)]
    cpu = next(s.split(":", 1)[1].strip() for s in open("/proc/cpuinfo") if s.startswith("model name"))
    found = {
        "machine": f"{cpu}, {os.cpu_count()} cores", "load": load, "date": time.strftime("%Y-%m-%d"), "rows": rows,
    }  # fmt: skip
    (HERE / "results" / f"triangulation-{args.name}.json").write_text(json.dumps(found, indent=1) + "\n")
    text = table(found)
    print(text)
    if args.docs:
        page = HERE.parent / "docs" / "performance.md"
        before, rest = page.read_text(encoding="utf-8").split(_MARKS[0])
        page.write_text(f"{before}{_MARKS[0]}\n\n{text}\n\n{_MARKS[1]}{rest.split(_MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()

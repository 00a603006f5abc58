"""Random calls of triangulate, reproject, find_swaps, align_cameras and read_rig; one function per target and seed."""

from __future__ import annotations

import pickle
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_case import FAULTS, base, some
from fuzz_scenes import Verdict, judge_calibration, judged, make_case

import sportcore as sc
from sportcore import _core
from sportcore.io import read_rig_file
from sportcore.points3d import camera_array
from sportcore.synthetic import ring_cameras

GOLDEN = Path(__file__).parent / "golden" / "rigs"
ODD = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, 1e300, 5e-324, 1e-30, 2.0**31, 1e9]
Target = Callable[[int], Verdict]


def pick(rng: np.random.Generator, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def spoil(a: np.ndarray, rng: np.random.Generator) -> Any:
    """An array as somebody might pass it: odd values, odd layout, odd kind, odd shape."""
    a = np.array(a, float)
    if rng.random() < 0.7 and a.size:
        a[some(rng, a.shape)] = pick(rng, ODD)
    kind = int(rng.integers(12))
    if kind == 0 and a.ndim:
        return a[..., ::-1]
    if kind == 1:
        return np.asfortranarray(a)
    if kind == 2:
        with np.errstate(all="ignore"):
            return a.astype(np.float32)
    if kind == 3:
        return a.astype(object)
    if kind == 4 and a.ndim:
        return np.take(a, [], int(rng.integers(a.ndim)))
    if kind == 5 and a.ndim:
        return a[0] if len(a) else a
    if kind == 6:
        return a[None]
    if kind == 7:
        return pick(rng, [None, "text", 3, [[1.0, 2.0], [3.0]], {}, np.array("x"), np.zeros(3, complex)])
    return a


def calibrate(seed: int) -> Verdict:
    """One to three faults on a scene."""
    rng = np.random.default_rng([seed, 1])
    names = [str(n) for n in rng.choice(list(FAULTS), int(rng.integers(1, 4)))]
    return judge_calibration(make_case(names, seed))


def spoilt_rig(rng: np.random.Generator, count: int) -> sc.Rig:
    model, k = pick(rng, [("brown", ()), ("brown", (-0.3, 0.1, 0, 0, 0)), ("fisheye", (0.1, 0.2, -3.0, 1.0)),
                          ("brown", tuple(rng.normal(size=8) * 10.0 ** rng.integers(-2, 12)))])  # fmt: skip
    rig = ring_cameras(count, int(rng.integers(100)), model=model, distortion=k)
    kind = int(rng.integers(6))
    cameras = list(rig)
    if kind == 0:  # all the same
        cameras = [c.replace(R=cameras[0].R, t=cameras[0].t, K=cameras[0].K) for c in cameras]
    elif kind == 1:
        cameras[0] = cameras[0].replace(t=np.array(cameras[0].t) + pick(rng, [1e30, 1e300, 1e8, 0.0]))
    elif kind == 2:
        K = np.array(cameras[0].K)
        K[0, 0] = pick(rng, [1e-300, 1e300, 1e-6])
        cameras[0] = cameras[0].replace(K=K)
    return sc.Rig(tuple(cameras))


def triangulate(seed: int) -> Verdict:
    """Triangulation of spoilt observations; a clean point among them must come out right."""
    rng = np.random.default_rng([seed, 2])
    count = int(pick(rng, [1, 2, 3, 4, 8, 63, 64, 65]))
    rig = spoilt_rig(rng, count)
    X = rng.uniform([-1, -1, 0], [1, 1, 2], (3, 17, 3))
    xy, score = sc.reproject(X, rig), np.ones((count, 3, 17))
    sigma = np.exp(rng.normal(size=score.shape)) if rng.random() < 0.4 else None
    given = [xy, score, sigma]
    which = int(rng.integers(5))
    if which < 3 and given[which] is not None:
        given[which] = spoil(given[which], rng)
    options: dict[str, Any] = {}
    for key in rng.permutation(["max_reprojection_error_px", "sigma_px", "min_score", "min_views", "min_angle_deg",
                                "max_iterations", "num_threads", "loss_scale_sigmas", "robust"])[:2]:  # fmt: skip
        if rng.random() < 0.4:
            options[str(key)] = pick(rng, [*ODD, 2, 65, 200, None, "x", True, 2**40, 3])

    def call() -> Any:
        kp = sc.Keypoints2D(given[0], given[1], "h36m17", sigma_px=given[2])
        return sc.triangulate(kp, rig, sc.TriangulateOptions(**options))

    points, _, verdict = judged(call, [*(g for g in given if isinstance(g, np.ndarray)), rig], 5.0)
    if points is None:
        return verdict
    ok = points.ok
    if not np.isfinite(points.xyz[ok]).all() or np.isfinite(points.xyz[~ok]).any():
        verdict.violations.append("a point that is OK is not finite, or one that is not OK has a position")
    if (points.n_views[ok] < 2).any():
        verdict.violations.append("a point of fewer than two views")
    return verdict


def reproject(seed: int) -> Verdict:
    """Projection of spoilt points: what is finite must be what the pinhole formula says, where there is no lens."""
    rng = np.random.default_rng([seed, 3])
    rig = spoilt_rig(rng, int(pick(rng, [1, 2, 4, 65])))
    given = spoil(rng.normal(size=(4, 5, 3)) * 10.0 ** float(rng.integers(-3, 6)), rng)
    threads = pick(rng, [0, 1, 7, 0, 0, -1, 10**6, 2**40, 1.5, None])
    uv, _, verdict = judged(
        lambda: sc.reproject(given, rig, num_threads=threads),
        [rig] + ([given] if isinstance(given, np.ndarray) else []),
    )
    if uv is None:
        return verdict
    with np.errstate(all="ignore"):
        X = np.real(np.asarray(given)).astype(float)
    if uv.shape != (len(rig), *X.shape[:-1], 2):
        verdict.violations.append(f"shape {uv.shape} from {X.shape}")
    lost = ~np.isfinite(X).all(-1)
    if np.isfinite(uv[:, lost]).any():
        verdict.violations.append("a pixel from a point that is not finite")
    return verdict


def find_swaps(seed: int) -> Verdict:
    """The binding itself: shapes, pairs that are no pairs, limits that are none."""
    rng = np.random.default_rng([seed, 4])
    case = base(rng, int(pick(rng, [1, 2, 4, 8, 24])), int(pick(rng, [1, 3, 20])))
    xy, weight = case.xy, case.score
    flip: Any = sc.H36M17.flip_permutation.astype(np.int32)
    which = int(rng.integers(5))
    if which == 0:
        xy = spoil(xy, rng)
    elif which == 1:
        weight = spoil(weight, rng)
    elif which == 2:
        flip = pick(rng, [np.array(flip) + 1, flip[:3], np.full(17, -1), np.zeros(17, int), np.arange(17) + 2**31,
                          np.arange(17.0), None, "x", np.array([2**40] * 17)])  # fmt: skip
    limit = pick(rng, [20.0, 20.0, *ODD, "x", None])
    threads = pick(rng, [0, 1, 3, -1, 10**6, 2**40])
    rig = spoilt_rig(rng, len(case.rig)) if rng.random() < 0.5 else case.rig
    given = [v for v in (xy, weight, flip) if isinstance(v, np.ndarray)]
    out, _, verdict = judged(lambda: _core.find_swaps(xy, weight, camera_array(rig), flip, limit, threads), given)
    # a private function of the binding: pybind11's TypeError for a wrong kind of argument is its contract
    verdict.violations = [v for v in verdict.violations if not v.startswith(("bare TypeError", "bare ValueError"))]
    if out is not None and (out.shape != np.shape(weight)[:2] or out.dtype != bool):
        verdict.violations.append(f"flags {out.shape} {out.dtype}")
    return verdict


def sync(seed: int) -> Verdict:
    """Tracks with odd times, lengths and values."""
    from sportcore.sync import CameraTrack, SyncOptions, align_cameras

    rng = np.random.default_rng([seed, 5])
    case = base(rng, int(pick(rng, [1, 2, 3])), int(pick(rng, [1, 2, 9, 60, 120])))
    tracks = []
    for c in range(len(case.rig)):
        xy, score = case.xy[c], case.score[c]
        T = len(xy)
        times: Any = np.arange(T) / 50 + float(pick(rng, [0.0, 0.0, 5.0, 1e9]))
        kind = int(rng.integers(14))
        if kind == 0:
            xy = spoil(xy, rng)
        elif kind == 1:
            score = spoil(score, rng)
        elif kind == 2:
            times = spoil(times, rng)
        elif kind == 3:
            with np.errstate(over="ignore"):
                times = times * float(pick(rng, [2.0, 1e-9, 1e9, 1e300, 1.01, -1.0]))
        elif kind == 4 and T > 1:
            times[-1] = float(pick(rng, [1e6, 1e12, 1e300]))  # one wild time stamp at the end
        elif kind == 5:
            times = None
        elif kind == 6:
            xy, score, times = xy[: T // 2], score[: T // 2], times[: T // 2]
        elif kind == 7:
            xy = np.full_like(xy, np.nan)
        elif kind == 8:
            xy = np.repeat(xy[:1], T, 0)
        name = "cam" if rng.random() < 0.03 else f"cam{c}"
        fps = pick(rng, [50.0, None, 0.0, -1.0, np.nan, 1e12, 1e-12])
        tracks.append(CameraTrack(name, xy, score, times, pick(rng, [None, (1920, 1080)]), fps))
    odd = {
        "resample": [True], "trim": [True],
        "offsets": ["none", {"cam0": 0.5}, {"x": 1.0}, {"cam1": np.nan}, {"cam1": 1e30}],
        "max_offset_s": [0.0, 2.0, 1e9, np.nan, np.inf], "max_gap_s": [0.0, 1e9, np.nan], "shared_clock": [True],
        "fps_tolerance": [np.inf, 0.0],
    }  # fmt: skip
    chosen = {str(k): pick(rng, odd[str(k)]) for k in rng.permutation(list(odd))[: int(rng.integers(0, 3))]}
    arrays = [a for t in tracks for a in (t.xy, t.score, t.times_s) if isinstance(a, np.ndarray)]
    out, _, verdict = judged(lambda: align_cameras(tracks, "h36m17", SyncOptions(**chosen)), arrays, 20.0)
    if out is not None:
        keypoints, report = out
        if keypoints.n_frames > 100 * max(len(t.xy) for t in tracks):
            verdict.violations.append(f"{keypoints.n_frames} rows from {len(tracks[0].xy)} frames")
        if not report.cameras:
            verdict.violations.append("an empty report")
    return verdict


TOKENS = [b"nan", b"1e400", b"-0", b"1,5", b"0x10", b"", b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b"[[[[", b"]", b'"',
          b"<x>", b"</cameras>", b"&a;", b"- ", b"%YAML", b"9" * 400, b"inf", b"true", b"[]", b"{}", b"\r\n", b"=",
          b"rows: 1e9", b"rows: -1", b"cols: 0", b"2 SIMPLE_RADIAL 1 1 1 1 1 1", b"e", b"1e30", b"cdumpy\n.",
          b"\x80\x04", b"b." * 3]  # fmt: skip


NUMBERS = [b"0", b"1", b"-1", b"2", b"0.5", b"1000", b"800", b"1e-9", b"4", b"3", b"1e15"]


def opencap_bytes(rng: np.random.Generator) -> bytes:
    values = {
        "intrinsicMat": np.array([[900.0, 0, 499], [0, 910, 401], [0, 0, 1]]), "distortion": np.zeros((1, 5)),
        "imageSize": np.array([[800.0], [1000.0]]), "rotation": np.eye(3), "translation": np.ones((3, 1)) * 1000,
    }  # fmt: skip
    return pickle.dumps(values, protocol=int(rng.integers(0, 6)))


def rig_file(seed: int) -> Verdict:
    """Camera files of every format with bytes cut, changed, doubled or replaced."""
    rng = np.random.default_rng([seed, 6])
    names = ["pose2sim.toml", "freemocap.toml", "caliscope.toml", "tiny.qca.txt", "tiny.xcp", "opencv_single.yml",
             "opencv_single.xml", "easymocap/intri.yml", "easymocap/extri.yml", "colmap/cameras.txt",
             "colmap/images.txt", "cameraIntrinsicsExtrinsics.pickle"]  # fmt: skip
    name = pick(rng, names)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        if name.endswith(".pickle"):
            data = bytearray(opencap_bytes(rng))
        else:
            if "/" in name:
                shutil.copytree(GOLDEN / Path(name).parent, path.parent)
            data = bytearray((GOLDEN / name).read_bytes())
        for _ in range(int(rng.integers(1, 4))):
            at, kind = int(rng.integers(len(data) + 1)), int(rng.integers(9))
            length = int(rng.integers(1, 30))
            if kind == 0:
                del data[at:]
            elif kind == 1:
                del data[at : at + length]
            elif kind == 2:
                data[at:at] = pick(rng, TOKENS)
            elif kind == 3:
                data[at : at + length] = pick(rng, TOKENS)
            elif kind == 4 and at < len(data):
                data[at] = int(rng.integers(256))
            elif kind == 5:
                data[at:at] = data[at : at + 40 * length]
            elif kind > 5:  # another number in place of one
                found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data)))
                if found:
                    a, b = pick(rng, found).span()
                    data[a:b] = pick(rng, [*NUMBERS, *TOKENS])
        path.write_bytes(bytes(data))
        target = path.parent if name.endswith("images.txt") else path
        sizes: Any = (1000, 800)
        if rng.random() < 0.3:
            sizes = pick(rng, [None, {"cam1": (1000, 800)}, (0, 0), (np.nan, 3), "x", {"cam1": None}, [1, 2, 3]])
        units = pick(rng, [None, None, "mm", "m"])
        result, _, verdict = judged(lambda: read_rig_file(target, units=units, image_sizes=sizes), [], 3.0)
    verdict.outcome = f"{name.rsplit('.', 1)[-1]} {verdict.outcome}"
    if result is None:
        return verdict
    for camera in result.rig:
        if not all(np.isfinite(a).all() for a in (camera.K, camera.R, camera.t, camera.distortion)):
            verdict.violations.append(f"{name}: a camera that is not finite")
        if min(camera.image_size) < 1 or camera.K[0, 0] <= 0 or np.linalg.det(camera.R) < 0.999:
            verdict.violations.append(f"{name}: an impossible camera was read")
    return verdict


TARGETS: dict[str, Target] = {
    "calibrate": calibrate, "triangulate": triangulate, "reproject": reproject, "find_swaps": find_swaps, "sync": sync,
    "rig_file": rig_file,
}  # fmt: skip

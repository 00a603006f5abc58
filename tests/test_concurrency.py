"""Threads and processes around the library: several callers at once, more threads than cores, fork after use."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from calibration_scenes import scene

import sportcore as sc
from sportcore import _core
from sportcore.points3d import camera_array

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture(scope="module")
def filmed() -> tuple[sc.Rig, sc.Keypoints2D, np.ndarray]:
    rig, keypoints, X = scene(4, 240, 11, sigma_px=1.5, outliers=0.1)
    return rig, keypoints, X


def triangulated(filmed, threads: int) -> sc.Points3D:
    rig, keypoints, _ = filmed
    return sc.triangulate(keypoints, rig, sc.TriangulateOptions(num_threads=threads))


def calibrated(filmed, threads: int, frames: int = 40) -> dict:
    rig, keypoints, _ = filmed
    xy = np.ascontiguousarray(keypoints.xy[:3, :frames])
    weight = np.where(np.isfinite(xy).all(-1), keypoints.score[:3, :frames], 0.0)
    return _core.calibrate_bodies(xy, weight, camera_array(sc.Rig(rig.cameras[:3])), num_threads=threads)


def same(a: sc.Points3D, b: sc.Points3D) -> bool:
    return all(
        np.array_equal(getattr(a, k), getattr(b, k), equal_nan=k not in ("inlier", "status", "n_views"))
        for k in ("xyz", "covariance", "residual_px", "inlier", "status", "n_views")
    )


def at_once(n: int, work: Callable[[int], object]) -> list[object]:
    """work(0) ... work(n - 1) in threads that start together."""
    gate = threading.Barrier(n)

    def started(k: int) -> object:
        gate.wait(timeout=30)
        return work(k)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(started, range(n)))


def test_several_python_threads_get_what_one_gets(filmed):
    alone = triangulated(filmed, 1)
    assert np.isfinite(alone.xyz).any()
    for points in at_once(2 * CORES + 2, lambda k: triangulated(filmed, k % 4)):  # 0: all cores
        assert same(points, alone)


def test_different_work_at_once(filmed):
    """Triangulation, reprojection, calibration and refused input, each in threads of its own."""
    rig, _, X = filmed
    points, cameras = triangulated(filmed, 1), calibrated(filmed, 1)
    images = sc.reproject(X, rig)

    def work(k: int) -> bool:
        if k % 4 == 0:
            return same(triangulated(filmed, 3), points)
        if k % 4 == 1:
            return all(np.array_equal(sc.reproject(X, rig), images, equal_nan=True) for _ in range(10))
        if k % 4 == 2:
            return np.array_equal(calibrated(filmed, 2)["R"], cameras["R"])
        for _ in range(50):
            with pytest.raises(sc.InputError, match="min_views"):
                triangulated_with(filmed, min_views=1)
        return True

    assert all(at_once(8, work))


def triangulated_with(filmed, **options) -> sc.Points3D:
    rig, keypoints, _ = filmed
    return sc.triangulate(keypoints, rig, sc.TriangulateOptions(**options))


@pytest.mark.parametrize("threads", [CORES, CORES + 1, 8 * CORES, 200])
def test_more_threads_than_cores(filmed, threads):
    assert same(triangulated(filmed, threads), triangulated(filmed, 1))


def test_calibration_does_not_depend_on_the_threads(filmed):
    one, many = calibrated(filmed, 1), calibrated(filmed, 4 * CORES)
    for key in ("R", "t", "points", "inlier"):
        np.testing.assert_array_equal(one[key], many[key])


def test_other_threads_go_on_while_the_library_works(filmed):
    """The interpreter is not held: a Python thread counts while another is in the library."""
    rig, keypoints, _ = filmed
    cameras = camera_array(rig)
    xy = np.tile(keypoints.xy.reshape(4, -1, 2), (1, 60, 1))
    busy, beats = threading.Event(), [0]

    def count() -> None:
        while not busy.is_set():
            beats[0] += 1
            time.sleep(0.0005)

    counter = threading.Thread(target=count)
    counter.start()
    before = beats[0]
    start = time.perf_counter()
    while time.perf_counter() - start < 0.2:
        _core.triangulate(cameras, xy, options=_core.TriangulateOptions(num_threads=1))
    during = beats[0] - before
    busy.set()
    counter.join()
    assert during > 5


def in_a_fork(work: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether work() is true in a forked process; a process that hangs is ended and counts as false."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)  # no clean-up of pytest's in the child
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")


@needs_fork
def test_fork_after_use(filmed):
    """A process that forks after calls with many threads, as multiprocessing does, works in the child too."""
    threads = 2 * CORES + 1
    points, cameras = triangulated(filmed, threads), calibrated(filmed, threads)
    assert in_a_fork(lambda: same(triangulated(filmed, threads), points))
    assert in_a_fork(lambda: np.array_equal(calibrated(filmed, threads)["R"], cameras["R"]))
    assert in_a_fork(lambda: in_a_fork(lambda: same(triangulated(filmed, 0), points)))  # and in its child
    assert same(triangulated(filmed, threads), points)  # the parent goes on


@needs_fork
def test_fork_while_other_threads_are_in_the_library(filmed):
    points = triangulated(filmed, 1)
    busy = threading.Event()

    def work() -> None:
        while not busy.is_set():
            triangulated(filmed, 3)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for w in workers:
        w.start()
    try:
        forked = [in_a_fork(lambda: kernels_only(filmed, points)) for _ in range(3)]
    finally:
        busy.set()
        for w in workers:
            w.join()
    assert all(forked)


def kernels_only(filmed, points: sc.Points3D) -> bool:
    rig, keypoints, _ = filmed
    found = _core.triangulate(
        camera_array(rig), keypoints.xy.reshape(4, -1, 2), keypoints.score.reshape(4, -1),
        options=_core.TriangulateOptions(num_threads=3),
    )  # fmt: skip
    return np.array_equal(found["xyz"].reshape(points.xyz.shape), points.xyz, equal_nan=True)

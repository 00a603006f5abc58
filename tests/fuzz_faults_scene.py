"""Ways to spoil the motion, the lenses, the options and the lifter's poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from fuzz_case import Case, fault, project, some

import sportcore as sc

# ---- motion ----------------------------------------------------------------------------------------------------------


@fault
def constant_in_time(case, rng):
    case.xy[:] = case.xy[:, :1]
    case.score[:] = case.score[:, :1]
    case.never_good = True
    return case


@fault
def still_but_noisy(case, rng):
    """One pose all the time: its seventeen points may still tell where the cameras are, so the truth counts."""
    return project(case, np.repeat(case.points[:1], len(case.points), 0), rng, 3.0)


@fault
def joints_on_a_line(case, rng):
    X = case.points.copy()
    X = X[:, :1] + np.linspace(-0.8, 0.8, 17)[None, :, None] * np.array([0, 0, 1.0])
    return project(case, X, rng)


@fault
def joints_at_one_point(case, rng):
    return project(case, np.repeat(case.points[:, :1], 17, 1), rng)


@fault
def planar_motion(case, rng):
    """All joints in one plane of the world, always."""
    X = case.points.copy()
    X[..., int(rng.integers(2))] = 0.3
    return project(case, X, rng, float(rng.choice([0.5, 2.0])))


@fault
def motion_along_one_line(case, rng):
    body = case.points[:1] - case.points[:1, :1]
    path = np.linspace(-2, 2, len(case.points))[:, None, None] * np.array([1.0, 0.2, 0])
    return project(case, body + path + [0, 0, 1.0], rng)


@fault
def points_at_infinity(case, rng):
    return project(case, case.points * 1.0 + np.array([0, 1e5, 0]), rng)


# ---- lenses ----------------------------------------------------------------------------------------------------------


def with_camera(case: Case, rng: np.random.Generator, change: Callable[[sc.Camera], dict[str, Any]]) -> Case:
    """Change one camera or all, when the rig is built inside the judged call."""
    which = range(len(case.rig)) if rng.random() < 0.5 else [int(rng.integers(len(case.rig)))]
    before = case.lenses

    def build() -> sc.Rig:
        rig = case.rig if before is None else before()
        return sc.Rig(tuple(c.replace(**change(c)) if i in which else c for i, c in enumerate(rig)))

    return replace(case, lenses=build)


def scaled_k(camera: sc.Camera, fx: float, fy: float | None = None) -> np.ndarray:
    K = np.array(camera.K)
    K[0, 0], K[1, 1] = fx, fx if fy is None else fy
    return K


@fault
def impossible_focal(case, rng):
    f = float(rng.choice([0.0, -1500.0, np.nan, np.inf, 5e-324]))
    return with_camera(case, rng, lambda c: {"K": scaled_k(c, f)})


@fault
def odd_focal(case, rng):
    f = float(rng.choice([1e-6, 1.0, 1e5, 1e12, 1e200]))
    case.never_good = True
    return with_camera(case, rng, lambda c: {"K": scaled_k(c, f)})


@fault
def focal_that_is_wrong(case, rng):
    share = float(rng.choice([0.6, 0.8, 1.3, 2.0]))
    case.truth = None  # a focal length that is wrong in all cameras cannot always be told from a right one
    return with_camera(case, rng, lambda c: {"K": scaled_k(c, c.K[0, 0] * share)})


@fault
def skewed_k(case, rng):
    def skew(c: sc.Camera) -> dict[str, Any]:
        K = np.array(c.K)
        K[0, 1] = rng.choice([0.5, 100.0, np.nan])
        return {"K": K}

    return with_camera(case, rng, skew)


@fault
def principal_point_outside(case, rng):
    def move(c: sc.Camera) -> dict[str, Any]:
        K = np.array(c.K)
        K[0, 2] += shift
        return {"K": K}

    shift = float(rng.choice([1e4, -1e9, 1e300]))
    case.never_good = abs(shift) > 1e5
    case.truth = None
    return with_camera(case, rng, move)


@fault
def wild_distortion(case, rng):
    k = rng.normal(size=int(rng.choice([4, 5, 8]))) * float(rng.choice([1.0, 100.0, 1e10, 1e300]))
    case.truth = None
    return with_camera(case, rng, lambda c: {"distortion": k})


@fault
def wild_fisheye(case, rng):
    k = rng.normal(size=4) * float(rng.choice([1.0, 100.0, 1e200]))
    case.truth = None
    return with_camera(case, rng, lambda c: {"distortion": k, "model": "fisheye"})


@fault
def odd_image_size(case, rng):
    w = rng.choice(np.array([0, -5, 1, 2**31, 2**62, 1e30, np.nan, np.inf, "a", None], dtype=object))
    return with_camera(case, rng, lambda c: {"image_size": (w, 1080)})


@fault
def other_image_size_than_the_keypoints(case, rng):
    case.keypoints["image_sizes"] = np.array([[int(rng.choice([0, -3, 100, 1920, 2**40])), 1080]] * len(case.rig))
    return case


# ---- options and lifter ----------------------------------------------------------------------------------------------


@fault
def odd_options(case, rng):
    odd = {
        "height_m": [np.nan, -1.0, 0.0, "tall", np.float32(1.8), 1e308, np.array(1.8), True],
        "height_sigma_m": [0.0, np.nan, 1e-12, 0.999, "a"],
        "max_reprojection_error_px": [0.0, 1e-12, 1e300, np.inf, np.nan, "5"],
        "max_frames": [0, -1, 1, 2, 2**31, 2**70, 1.5, None, np.int64(50)],
        "min_score": [1.0, 0.999999, -0.1, np.nan, 0.0],
        "seed": [-1, 2**63, 2**64, 2**70, 1.5],
        "num_threads": [-1, 1, 10_000, 2**40, 1.5],
        "refine_focal": ["none", "shared", "per_camera", "x", None, 1],
        "known_camera_distance_m": [("cam01", "cam02", 5.0), ("cam01", "nobody", 5.0), ("cam01",), 3,
                                    ("a", "b", np.nan)],
        "known_bone": [("left_hip", "left_knee", 0.4), ("x", "y", 1.0), ("left_hip", "left_hip", 1.0), ("a", "b", -1)],
        "undo_swaps": [False, None, 1],
        "force": [True, None],
    }  # fmt: skip
    for key in rng.permutation(list(odd))[: int(rng.integers(1, 4))]:
        values = odd[str(key)]
        case.options[str(key)] = values[int(rng.integers(len(values)))]
    return case


@fault
def a_bad_lifter(case, rng):
    C, T = np.shape(case.xy)[:2]
    poses = rng.normal(size=(C, T, 17, 3)) * float(rng.choice([0.0, 1.0, 1e-300, 1e200]))
    poses[some(rng, poses.shape)] = rng.choice([np.nan, np.inf, 0.0])
    single = np.clip(poses, -1e30, 1e30).astype(np.float32)
    kinds = [poses, poses[..., :2], poses.astype(object), poses[0], "mono", single]
    case.monocular = kinds[int(rng.integers(6))]
    return case

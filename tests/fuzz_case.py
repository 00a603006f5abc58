"""A scene with known cameras as ``sc.calibrate`` is given it, and the register of the ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import sportcore as sc
from sportcore.synthetic import athlete, observe, ring_cameras


@dataclass
class Case:
    """What will be given to ``sc.calibrate``; arrays and options as a caller might pass them.

    ``truth`` is the rig that the observations come from; None where the fault leaves no answer that could be checked.
    ``deceptive`` marks views that contradict each other in a way that few cameras may not show (docs/calibrate.md): a
    mirrored video, another moment. ``never_good`` marks input that holds no information on the cameras: a good grade
    would be a lie.
    """

    xy: Any
    score: Any
    rig: sc.Rig
    truth: sc.Rig | None
    points: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)
    keypoints: dict[str, Any] = field(default_factory=dict)
    lenses: Callable[[], sc.Rig] | None = None
    monocular: Any = None
    never_good: bool = False
    deceptive: bool = False


def base(rng: np.random.Generator, cameras: int | None = None, frames: int | None = None) -> Case:
    """A scene that calibrates well: 2 to 5 cameras, 40 to 120 frames, usual noise."""
    cameras = cameras or int(rng.integers(2, 6))
    frames = frames or int(rng.integers(40, 121))
    seed = int(rng.integers(1000))
    X = athlete(frames, 12.5, seed, str(rng.choice(["run", "walk", "jump"])))
    X = X - np.array([*X[:, 0, :2].mean(0), 0])
    rig = ring_cameras(cameras, seed, arc_deg=80.0 if cameras == 2 else 360.0)
    kp, _ = observe(X, rig, seed, sigma_px=2.0, outliers=0.03, missing=0.05, fps=12.5)
    return Case(np.array(kp.xy), np.array(kp.score), rig, rig, X, {"height_m": 1.75})


def project(case: Case, X: np.ndarray, rng: np.random.Generator, sigma: float = 1.0) -> Case:
    """The same cameras looking at other points."""
    xy = sc.reproject(X, case.rig)
    xy = xy + sigma * rng.normal(size=xy.shape)
    score = np.where(np.isfinite(xy).all(-1), 0.9, 0.0)
    return replace(case, xy=xy, score=score, points=X, never_good=False)


Fault = Callable[[Case, np.random.Generator], Case]
FAULTS: dict[str, Fault] = {}


def fault(f: Fault) -> Fault:
    FAULTS[f.__name__] = f
    return f


def some(rng: np.random.Generator, shape: tuple[int, ...], share: float | None = None) -> np.ndarray:
    return rng.random(shape) < (rng.choice([0.01, 0.1, 0.4, 0.8, 1.0]) if share is None else share)

"""Seeded scenes of the benchmarks: a person on a ring of cameras, with the faults that detectors have."""

from __future__ import annotations

import numpy as np

import sportcore as sc

LENSES = {
    "pinhole": ("pinhole", ()),
    "brown5": ("brown", (-0.28, 0.09, 0.0004, 0.0006, -0.012)),
    "fisheye": ("fisheye", (0.03, -0.012, 0.006, -0.0015)),
}


def rig(count: int, lens: str = "pinhole", seed: int = 0) -> sc.Rig:
    rng = np.random.default_rng(seed)
    model, k = LENSES[lens]
    cameras = []
    for i in range(count):
        a = 2 * np.pi * (i + rng.uniform(-0.25, 0.25)) / count
        r = rng.uniform(5, 8)
        centre = np.array([r * np.cos(a), r * np.sin(a), rng.uniform(1.0, 2.6)])
        z = np.array([0, 0, 1.0]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        f = 1500 + rng.uniform(-40, 40)
        K = [[f, 0, 960], [0, f, 540], [0, 0, 1]]
        cameras.append(sc.Camera(f"cam{i}", (1920, 1080), K, k, model=model, R=R, t=-R @ centre))
    return sc.Rig(tuple(cameras))


def joints(frames: int, seed: int = 0) -> np.ndarray:
    """(T, 17, 3) m, a body-sized cloud that moves about."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 50
    path = np.concatenate([np.sin(t / 1.8), np.sin(t / 1.4 + 1), 0.1 * np.sin(6 * t)], 1)
    body = rng.uniform([-0.4, -0.4, 0], [0.4, 0.4, 1.8], (17, 3))
    return path[:, None] + body + 0.05 * np.sin(t[:, None] * 3 + np.arange(17)[:, None])


def detections(cameras: sc.Rig, X: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(C, T, J, 2) px and (C, T, J) score: 2 px noise, 5 % gross errors of 30-300 px, 10 % missing."""
    rng = np.random.default_rng(seed)
    xy = sc.reproject(X, cameras)
    xy += 2.0 * rng.normal(size=xy.shape)
    gross = rng.random(xy.shape[:3]) < 0.05
    size, angle = rng.uniform(30, 300, gross.shape), rng.uniform(0, 2 * np.pi, gross.shape)
    xy += np.where(gross, size, 0)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    score = np.where(gross, rng.uniform(0.5, 0.9, gross.shape), rng.uniform(0.6, 1.0, gross.shape))
    lost = rng.random(gross.shape) < 0.1
    xy[lost], score[lost] = np.nan, 0
    return xy, score

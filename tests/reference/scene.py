"""A ring of cameras around a cloud of points, seeded."""

from __future__ import annotations

import numpy as np

import sportcore as sc

from .cameras import MODELS


def ring(count=4, model="pinhole", seed=0, radius=6.0):
    """Cameras 5-7 m from the centre, all looking at it, with the lens model of that name."""
    rng = np.random.default_rng(seed)
    name, k = MODELS[model]
    cameras = []
    for i in range(count):
        a = 2 * np.pi * (i + rng.uniform(-0.2, 0.2)) / count
        centre = np.array([*(radius + rng.uniform(-1, 1)) * np.array([np.cos(a), np.sin(a)]), rng.uniform(1, 2.5)])
        z = np.array([0, 0, 1.0]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        f = 1500 + rng.uniform(-40, 40)
        K = [[f, 0, 960 + rng.uniform(-10, 10)], [0, f + rng.uniform(-5, 5), 540], [0, 0, 1]]
        cameras.append(sc.Camera(f"cam{i}", (1920, 1080), K, k, model=name, R=R, t=-R @ centre))
    return sc.Rig(cameras)


def cloud(n=500, seed=0):
    """(n, 3) m within 1.2 m of the centre of the ring."""
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (n, 3)) + [0, 0, 1]

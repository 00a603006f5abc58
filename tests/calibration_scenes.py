"""Scenes with known cameras for the calibration tests."""

from __future__ import annotations

import numpy as np

import sportcore as sc
from sportcore.synthetic import athlete, observe, ring_cameras


def scene(
    cameras=4, frames=120, seed=0, *, sport="run", arc_deg=360.0, distortion=(), fps=12.5, height_m=1.75, **noise
):
    """(true rig, keypoints, true points). Noise-free unless said otherwise."""
    X = athlete(frames, fps, seed, sport, height_m=height_m)
    X = X - np.array([*X[:, 0, :2].mean(0), 0])
    rig = ring_cameras(cameras, seed, arc_deg=arc_deg, distortion=distortion)
    kp, _ = observe(X, rig, seed, fps=fps, **{"sigma_px": 0.0, **noise})
    return rig, kp, X


def rotation_error_deg(rig: sc.Rig, true: sc.Rig) -> float:
    """Worst relative rotation error over the camera pairs."""
    worst = 0.0
    for i in range(len(rig)):
        for j in range(i):
            d = (rig.R[i] @ rig.R[j].T) @ (true.R[i] @ true.R[j].T).T
            axis = np.array([d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]]) / 2
            worst = max(worst, float(np.degrees(np.arctan2(np.linalg.norm(axis), (np.trace(d) - 1) / 2))))
    return worst


def similarity(A: np.ndarray, B: np.ndarray):
    """Scale, rotation, translation carrying A onto B (Umeyama 1991)."""
    a, b = A - A.mean(0), B - B.mean(0)
    U, S, Vt = np.linalg.svd(b.T @ a)
    D = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    s = np.trace(np.diag(S) @ D) / (a**2).sum()
    R = U @ D @ Vt
    return s, R, B.mean(0) - s * R @ A.mean(0)


def vertical_error_deg(rig: sc.Rig, true: sc.Rig) -> float:
    """Angle between the true vertical and the z axis of the calibrated frame."""
    up = np.mean([rig.R[c].T @ true.R[c] @ [0, 0, 1.0] for c in range(len(rig))], axis=0)
    return float(np.degrees(np.arccos(min(up[2] / np.linalg.norm(up), 1.0))))

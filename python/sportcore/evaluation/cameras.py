"""How far estimated cameras are from true ones, up to the similarity that no body can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError

from .align import Similarity, umeyama

__all__ = ["CameraErrors", "camera_errors", "rotation_angle_deg"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CameraErrors:
    """Errors of C estimated cameras.

    Attributes:
        relative_rotation_deg: (C, C) angle between estimated and true relative rotation of each pair; needs
            no gauge.
        rotation_deg: (C,) angle left after the similarity.
        centre_mm: (C,) distance of the camera centres after the similarity, in the scale of the truth.
        gauge: ``"centres"``: the similarity is fitted to the centres (three or more that do not stand on one
            line); ``"rotations"``: its rotation is the mean of the rotation differences, scale and shift from
            the centres.
        similarity: maps the estimated world to the true world.
        published_e_r_rad: E_R as the published code of Suzuki et al. (CVPRW 2024) computes it: the mean
            *angle divided by the square root of two*, in radians. It is smaller than the angle; given for
            comparison only, and NaN where their similarity (fitted to the centres) does not exist.
        published_e_t_mm: E_t of the same code: mean length of the difference of the translation vectors t,
            after the similarity; NaN likewise.
    """

    relative_rotation_deg: FloatArray
    rotation_deg: FloatArray
    centre_mm: FloatArray
    gauge: Literal["centres", "rotations"]
    similarity: Similarity
    published_e_r_rad: float
    published_e_t_mm: float

    @property
    def relative_rotation_median_deg(self) -> float:
        """Median over the pairs of cameras."""
        return float(np.median(self._pairs()))

    @property
    def relative_rotation_max_deg(self) -> float:
        """Worst pair of cameras."""
        return float(np.max(self._pairs()))

    def _pairs(self) -> FloatArray:
        rows, cols = np.triu_indices(len(self.rotation_deg), k=1)
        return self.relative_rotation_deg[rows, cols]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists for JSON."""
        return {
            "relative_rotation_median_deg": self.relative_rotation_median_deg,
            "relative_rotation_max_deg": self.relative_rotation_max_deg,
            "rotation_deg": self.rotation_deg.tolist(),
            "centre_mm": self.centre_mm.tolist(),
            "gauge": self.gauge,
            "published_e_r_rad (angle / sqrt 2)": self.published_e_r_rad,
            "published_e_t_mm": self.published_e_t_mm,
        }


def rotation_angle_deg(R: ArrayLike) -> FloatArray:
    """Angle of (..., 3, 3) rotations in degrees, accurate near 0 and near 180."""
    r = np.asarray(R, dtype=np.float64)
    vee = np.stack([r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1)
    trace = np.trace(r, axis1=-2, axis2=-1)
    return np.degrees(np.arctan2(np.linalg.norm(vee, axis=-1), trace - 1.0))


def _project_so3(m: FloatArray) -> FloatArray:
    u, _, vt = np.linalg.svd(m)
    d = np.sign(np.linalg.det(u @ vt))
    return (u * np.array([1.0, 1.0, d])) @ vt


def _poses(name: str, R: ArrayLike, t: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r = np.asarray(R, dtype=np.float64)
    s = np.asarray(t, dtype=np.float64)
    if r.ndim != 3 or r.shape[1:] != (3, 3) or s.shape != (len(r), 3):
        raise InputError(f"{name} cameras: expected R (C, 3, 3) and t (C, 3), got {r.shape} and {s.shape}.")
    if not (np.isfinite(r).all() and np.isfinite(s).all()):
        raise InputError(f"{name} cameras: poses contain NaN or infinity.")
    off = np.abs(r @ np.swapaxes(r, 1, 2) - np.eye(3)).max((1, 2))
    if np.any(off > 1e-3) or np.any(np.linalg.det(r) < 0):
        raise InputError(f"{name} cameras: R of camera {int(np.argmax(off))} is not a rotation.")
    return r, s


def _collinear(x: FloatArray) -> bool:
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)
    return bool(s[1] < 1e-3 * s[0]) or s[0] == 0


def camera_errors(R_est: ArrayLike, t_est: ArrayLike, R_true: ArrayLike, t_true: ArrayLike) -> CameraErrors:
    """Compare estimated with true camera poses (``x_cam = R x_world + t``), in the same camera order.

    Args:
        R_est: (C, 3, 3) estimated rotations.
        t_est: (C, 3) estimated translations, any scale.
        R_true: (C, 3, 3) true rotations.
        t_true: (C, 3) true translations, metres.

    Returns:
        The errors, see :class:`CameraErrors`.

    Raises:
        InputError: shapes that do not fit, NaN, a matrix that is not a rotation, fewer than two cameras.
    """
    r1, t1 = _poses("estimated", R_est, t_est)
    r0, t0 = _poses("true", R_true, t_true)
    if len(r1) != len(r0):
        raise InputError(f"{len(r1)} estimated cameras and {len(r0)} true ones cannot be compared.")
    if len(r1) < 2:
        raise InputError("One camera has no relative pose; at least two are needed.")
    relative_est = np.einsum("aij,bkj->abik", r1, r1)
    relative_true = np.einsum("aij,bkj->abik", r0, r0)
    relative = rotation_angle_deg(np.einsum("abij,abkj->abik", relative_est, relative_true))
    c1, c0 = -np.einsum("cji,cj->ci", r1, t1), -np.einsum("cji,cj->ci", r0, t0)
    gauge: Literal["centres", "rotations"]
    if len(r1) >= 3 and not _collinear(c0) and not _collinear(c1):
        gauge = "centres"
        sim = umeyama(c1, c0)
    else:
        gauge = "rotations"
        rotation = _project_so3(np.einsum("cji,cjk->ik", r0, r1))  # R_true^T R_est carries estimated to true world
        a, b = (c1 - c1.mean(0)) @ rotation.T, c0 - c0.mean(0)
        spread = float((a * a).sum())
        scale = float((a * b).sum()) / spread if spread > 0 else float("nan")
        shift = c0.mean(0) - scale * rotation @ c1.mean(0)
        sim = Similarity(np.array(scale), rotation, shift, np.array(len(r1)))
    centre = 1000.0 * np.linalg.norm(sim.apply(c1) - c0, axis=-1)
    aligned = np.einsum("cij,kj->cik", r1, sim.R)  # estimated camera from the true world
    angle = rotation_angle_deg(np.einsum("cij,ckj->cik", aligned, r0))
    e_r = e_t = float("nan")
    if gauge == "centres":
        e_r = float(np.radians(angle).mean() / np.sqrt(2.0))
        t_aligned = -np.einsum("cij,cj->ci", aligned, sim.apply(c1))
        e_t = float(1000.0 * np.linalg.norm(t_aligned - t0, axis=-1).mean())
    return CameraErrors(relative, angle, centre, gauge, sim, e_r, e_t)

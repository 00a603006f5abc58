"""What the 3D player of the page gets: motion as 16-bit integers in base64, small enough to send by mail.

Positions are rounded to a step of at least 0.1 mm (the step is stored and shown), detections to 0.1 mrad. A long
session is thinned to at most ``MAX_FRAMES`` frames; nothing else of the report is thinned by that.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import ReportData
from .measures import root_track, sigma_m
from .monocular import monocular_world

__all__ = ["MAX_FRAMES", "decode_int16", "encode_int16", "player_payload"]

MAX_FRAMES = 2500  # frames of the player; more are thinned evenly
BUDGET_VALUES = 4_000_000  # 16-bit values of all optional layers together (about 11 MB of base64)
VOID = -32768
RAY_STEP = 1e-4
SIGMA_STEP_M = 1e-4
FAR = 254  # own status of the player
STATUS_TEXT = {
    0: "found", 1: "too few views", 2: "views contradict", 3: "behind a camera", 4: "rays nearly parallel",
    5: "residual too large", 6: "did not settle", 254: "too far away to draw", 255: "missing",
}  # fmt: skip


def encode_int16(values: NDArray[Any], step: float, offset: NDArray[Any] | float = 0.0) -> str:
    """Round to multiples of ``step`` about ``offset``; little-endian int16 in base64, -32768 where not finite."""
    scaled = (np.asarray(values, dtype=float) - offset) / step
    finite = np.isfinite(scaled)
    rounded = np.where(finite, np.clip(np.rint(np.where(finite, scaled, 0.0)), -32767, 32767), VOID)
    return base64.b64encode(rounded.astype("<i2").tobytes()).decode("ascii")


def decode_int16(text: str, shape: tuple[int, ...], step: float, offset: NDArray[Any] | float = 0.0) -> NDArray[Any]:
    """The inverse of :func:`encode_int16`."""
    raw = np.frombuffer(base64.b64decode(text), dtype="<i2").reshape(shape).astype(float)
    return np.asarray(np.where(raw == VOID, np.nan, raw) * step + offset)


def _bytes(values: NDArray[Any]) -> str:
    return base64.b64encode(np.clip(values, 0, 255).astype(np.uint8).tobytes()).decode("ascii")


def player_payload(data: ReportData) -> dict[str, Any] | None:
    """JSON-like content of the player, None without 3D motion."""
    points = data.points_world_m
    if points is None or not np.isfinite(points).any():
        return None
    stride = max(1, math.ceil(len(points) / MAX_FRAMES))
    frames = np.arange(0, len(points), stride)
    xyz = np.asarray(points, dtype=float)[frames]
    n, joints = xyz.shape[:2]
    finite = xyz[np.isfinite(xyz).all(-1)]
    middle = np.median(finite, axis=0)
    away = np.linalg.norm(xyz - middle, axis=-1)
    far = away > 3 * np.quantile(away[np.isfinite(away)], 0.98) + 10  # gone astray: would spoil scale and rounding
    xyz[far] = np.nan
    finite = xyz[np.isfinite(xyz).all(-1)]
    low, high = finite.min(0), finite.max(0)
    offset = np.round((low + high) / 2, 3)
    span = float(np.abs(finite - offset).max())
    step = max(1e-4, math.ceil(span / 32000 * 1e5) / 1e5)
    out: dict[str, Any] = {
        "frames": n, "stride": stride, "total": len(points), "fps": data.fps, "joints": list(data.joint_names),
        "bones": [] if data.bones is None else data.bones.tolist(),
        "side": [1 if "left" in j else 2 if "right" in j else 0 for j in data.joint_names],
        "step_m": step, "offset_m": offset, "low_m": low, "high_m": high,
        "xyz": encode_int16(xyz, step, offset), "status_text": STATUS_TEXT, "cameras": _cameras(data),
    }  # fmt: skip
    # one camera measures no floor: the grid then lies under the lowest joint, and the player says so
    out["floor_known"] = len(data.camera_names) != 1
    out["floor_m"] = 0.0 if out["floor_known"] else float(low[2])
    root = root_track(data)
    if root is not None:
        out["root"] = encode_int16(root[frames], step, offset)
    have = np.isfinite(xyz).all(-1)
    status = np.zeros((n, joints)) if data.status is None else np.asarray(data.status)[frames]
    out["status"] = _bytes(np.where(have, 0, np.where(far, FAR, np.where(status == 0, 255, status))))
    if data.n_views is not None:
        out["views"] = _bytes(np.asarray(data.n_views)[frames])
    budget = BUDGET_VALUES
    if data.covariance_m2 is not None and n * joints * 6 <= budget and np.isfinite(data.covariance_m2).any():
        out["chol"] = encode_int16(_cholesky(data.covariance_m2[frames], have), SIGMA_STEP_M)
        out["sigma_step_m"] = SIGMA_STEP_M
        budget -= n * joints * 6
    mono: dict[str, list[str]] = {}
    for key, poses in (("before", data.monocular_before_m), ("after", data.monocular_after_m)):
        if poses is None or data.R is None or poses.shape[2] != joints:
            continue
        world = monocular_world(data, poses)[:, frames]
        if world.size > budget:
            out["left_out"] = "single-camera poses"
            continue
        mono[key] = [encode_int16(w, step, offset) for w in world]
        budget -= world.size
    if mono:
        out["mono"] = mono
    rays = _rays(data)
    if rays is not None and out["cameras"] and rays[:, frames].size <= budget:
        out["rays"] = [encode_int16(r[frames], RAY_STEP) for r in rays]
        out["ray_step"] = RAY_STEP
    if data.heldout is not None and data.heldout.any() and not data.heldout.all():
        out["heldout"] = _bytes(data.heldout[frames])
    return out


def _rays(data: ReportData) -> NDArray[Any] | None:
    """(C, T, J, 2) detections in the joint order of the 3D motion, NaN for joints that were not detected as such."""
    if data.rays is None:
        return None
    out = np.full((*data.rays.shape[:2], len(data.joint_names), 2), np.nan)
    for j, name in enumerate(data.joint_names):
        if name in data.keypoint_names:
            out[:, :, j] = data.rays[:, :, data.keypoint_names.index(name)]
    return out if out.shape[1] == data.n_frames and np.isfinite(out).any() else None


def _cameras(data: ReportData) -> list[dict[str, Any]]:
    if data.R is None or data.t is None or data.K is None:
        return []
    centers = data.camera_centers_m
    assert centers is not None
    out = []
    for c, name in enumerate(data.camera_names):
        k = data.K[c]
        size = data.image_sizes[c] if data.image_sizes is not None else 2 * k[:2, 2] + 1
        out.append(
            {
                "name": name, "size": size, "k": [k[0, 0], k[1, 1], k[0, 2], k[1, 2]], "R": data.R[c].reshape(-1),
                "center": centers[c],
            }
        )  # fmt: skip
    return out


def _cholesky(covariance: NDArray[Any], have: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, J, 6) lower factor (xx, yx, yy, zx, zy, zz) in m, NaN where there is no usable covariance."""
    out = np.full((*have.shape, 6), np.nan)
    ok = np.isfinite(sigma_m(covariance, have))
    if ok.any():
        values, vectors = np.linalg.eigh(covariance[ok])
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        # L = R^T of the QR factorisation of the root's transpose: exists for semi-definite matrices as well
        lower = np.swapaxes(np.linalg.qr(np.swapaxes(root, -1, -2), mode="r"), -1, -2)
        out[ok] = lower[:, [0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]
    return out

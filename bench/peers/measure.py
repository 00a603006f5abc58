"""How good a calibration is: against the truth where there is one, and by what needs none, the same way for all."""

from __future__ import annotations

from typing import Any

import numpy as np

import sportcore as sc
from peers.adapters.start import dlt
from peers.scenes import HELD_OUT
from sportcore.errors import SportcoreError
from sportcore.evaluation.cameras import camera_errors
from sportcore.skeletons import Skeleton, get_skeleton

CAP_PX = 50.0  # an observation further off, or of a point that was not triangulated, counts as this far off
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


def against_truth(R: np.ndarray, t: np.ndarray, R_true: np.ndarray, t_true: np.ndarray) -> dict[str, float]:
    """Relative rotation over pairs, degrees; centres after a similarity, mm and % of the rig's mean radius."""
    try:
        e = camera_errors(R, t, R_true, t_true)
    except SportcoreError as error:
        return {"rot_median_deg": 180.0, "rot_max_deg": 180.0, "note": str(error)}  # type: ignore[dict-item]
    out = {"rot_median_deg": e.relative_rotation_median_deg, "rot_max_deg": e.relative_rotation_max_deg}
    if len(R) > 2:
        centres = -np.einsum("cji,cj->ci", R_true, t_true)
        radius = np.linalg.norm(centres - centres.mean(0), axis=1).mean()
        rmse_mm = float(np.sqrt(np.mean(e.centre_mm**2)))
        out |= {"centre_mm": rmse_mm, "centre_pct": rmse_mm / 1000 / float(radius) * 100}
    return out


def robust_px(residual: np.ndarray, observed: np.ndarray) -> dict[str, float]:
    """Summaries over all observations, those of missing points at ``CAP_PX``. residual: (C, T, J) px."""
    r = np.where(np.isfinite(residual), residual, np.inf)[observed]
    if not r.size:
        return {"median_px": float("nan"), "p90_px": float("nan"), "capped_mean_px": float("nan")}
    r = np.minimum(r, CAP_PX)
    return {
        "median_px": float(np.median(r)), "p90_px": float(np.percentile(r, 90)), "capped_mean_px": float(r.mean()),
    }  # fmt: skip


def bone_spread(X: np.ndarray, skeleton: Skeleton) -> dict[str, float]:
    """Spread of limb lengths over their middle, %, mean over bones: by quartiles, and plain deviation. X (T, J, 3)."""
    robust, plain = [], []
    for a, b in skeleton.bone_indices:
        words = [skeleton.joints[i].split("_")[-1] for i in (a, b)]
        sides = {skeleton.joints[i].split("_")[0] for i in (a, b)}
        if tuple(words) not in LIMBS and tuple(words[::-1]) not in LIMBS or len(sides) != 1:
            continue
        length = np.linalg.norm(X[:, a] - X[:, b], axis=-1)
        length = length[np.isfinite(length)]
        if len(length) < 10:
            continue
        low, middle, high = np.percentile(length, [25, 50, 75])
        robust.append((high - low) / 1.349 / middle)
        plain.append(length.std() / length.mean())
    if not robust:
        return {"robust_pct": float("nan"), "plain_pct": float("nan")}
    return {"robust_pct": float(100 * np.mean(robust)), "plain_pct": float(100 * np.mean(plain))}


def without_truth(
    R: np.ndarray, t: np.ndarray, given: dict[str, np.ndarray], truth: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Residuals of all observations and bone lengths, triangulated by ``sc.triangulate`` and by a plain DLT.

    Args:
        R, t: a calibration, any gauge.
        given: the input, for the lenses.
        truth: holds the observations ``xy`` and ``score`` of all joints, also those kept from the method; and cameras,
            whose size sets the unit.

    Returns:
        ``{"robust": ..., "dlt": ...}`` of ``{"all": px summaries, "held_out": ..., "bones": ...}``.
    """
    xy, score = truth["xy"], truth["score"]
    C, T, J, _ = xy.shape

    def size(r: np.ndarray, s: np.ndarray) -> float:
        centres = -np.einsum("cji,cj->ci", r, s)
        return float(np.linalg.norm(centres - centres.mean(0), axis=1).mean())

    t = t * size(truth["R"], truth["t"]) / size(R, t)
    U, _, Vt = np.linalg.svd(R)
    R = U @ Vt
    names = tuple(str(n) for n in given["names"])
    rig = sc.Rig(
        tuple(
            sc.Camera(n, tuple(s.tolist()), K, model="pinhole", R=r, t=p)
            for n, s, K, r, p in zip(names, given["image_sizes"], given["K"], R, t, strict=True)
        )
    )
    skeleton = get_skeleton(str(given["skeleton"]))
    keypoints = sc.Keypoints2D(xy, score, skeleton, names=names, image_sizes=given["image_sizes"])
    observed = np.asarray(keypoints.observed)
    held = np.zeros(J, bool)
    held[[skeleton.index(n) for n in HELD_OUT]] = True
    points = {
        "robust": np.asarray(sc.triangulate(keypoints, rig).xyz),
        "dlt": dlt(np.where(observed[..., None], xy, np.nan).reshape(C, -1, 2), given["K"], R, t).reshape(T, J, 3),
    }
    out: dict[str, Any] = {}
    for how, X in points.items():
        residual = np.linalg.norm(sc.reproject(X, rig) - xy, axis=-1)
        out[how] = {
            "all": robust_px(residual, observed),
            "held_out": robust_px(residual[..., held], observed[..., held]),
            "bones": bone_spread(X, skeleton),
        }
    return out

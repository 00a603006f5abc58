"""From 3D motion to a monocular model that knows it: lift, label, fine-tune, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import load_npz, save_npz, write_json
from ..io.hashing import hash_file
from ..session import LiftOptions
from ..skeletons import H36M17
from ..types import Keypoints2D, Points3D, Rig

Progress = Callable[[int, int, str], None]


def model_hash(name_or_path: str) -> str:
    """What a named or given checkpoint contributes to the keys of the stages that use it."""
    path = Path(name_or_path)
    if path.is_file():
        return hash_file(path)
    if name_or_path == "base":
        from ..lifting.files import shipped_weights

        return hash_file(shipped_weights("base"))
    family, _, rest = name_or_path.partition(":")
    return f"{family}:{hash_file(rest)}" if rest else name_or_path


def lift_step(
    folder: Path,
    keypoints: Keypoints2D,
    rig: Rig,
    model: str | Path,
    options: LiftOptions,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Lift every camera on its own; writes ``lifted.npz`` with ``poses_cam_m (C, T, 17, 3)``, root-relative."""
    from ..lifting import load_lifter

    lifter = load_lifter(str(model))
    poses = lifter.lift(keypoints.to_skeleton(H36M17), rig, flip_average=options.flip_average, progress=progress)
    save_npz(
        folder / "lifted.npz", poses_cam_m=poses.astype(np.float32), joints=np.array(H36M17.joints),
        names=np.array(keypoints.camera_names), metric=np.array(lifter.metric),
    )  # fmt: skip
    share = float(np.isfinite(poses).all((-1, -2)).mean())
    return {"model": lifter.name, "metric": bool(lifter.metric), "lifted_share": share}


def load_lifted(folder: Path) -> np.ndarray:
    """(C, T, 17, 3) root-relative poses in each camera's frame."""
    return load_npz(folder / "lifted.npz", required=("poses_cam_m",))["poses_cam_m"].astype(float)


SHORT_TRAINING_S = 20.0  # less motion than this teaches these movements, not a sport


def label_step(folder: Path, keypoints: Keypoints2D, points: Points3D, rig: Rig, options: Any) -> dict[str, Any]:
    """Turn the triangulated motion into labels for every camera; writes ``labels.npz``."""
    from ..pseudolabels import Part, make_pseudolabels

    labels = make_pseudolabels(keypoints.to_skeleton(H36M17), points.to_skeleton(H36M17), rig, options)
    labels.save(folder / "labels.npz")
    warnings = []
    seconds = float((labels.split == Part.TRAIN).sum()) / labels.fps if labels.fps else np.inf
    if seconds < SHORT_TRAINING_S:
        warnings.append(
            f"Only {seconds:.1f} s of motion to learn from: the tuned model has learned these movements, not the "
            "sport, and may do worse on others. Film a minute or more of what it shall know."
        )
    return dict(labels.summary()) | {"warnings": warnings}


def finetune_step(
    folder: Path,
    labels_file: Path,
    model: str | Path,
    options: Any,
    scratch: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fine-tune a lifter on labels; writes ``lifter.safetensors`` and ``history.json``. Resumes from ``scratch``."""
    from ..lifting import load_lifter
    from ..pseudolabels import PseudoLabels
    from ..training import finetune

    labels = PseudoLabels.load(labels_file)
    result = finetune(load_lifter(str(model)), labels, options, checkpoint_dir=scratch, progress=progress, resume=True)
    result.lifter.save(folder / "lifter.safetensors", {"tuned_from": str(model)})
    write_json(folder / "history.json", result.history)
    return dict(result.summary())


def compare(
    lifted: np.ndarray, points: Points3D, rig: Rig, frames: np.ndarray, max_sigma_m: float = 0.03
) -> dict[str, Any]:
    """Monocular poses against the multi-view result on some frames.

    Args:
        lifted: (C, T, 17, 3) root-relative, camera frames, metres.
        points: the multi-view motion.
        rig: its cameras.
        frames: (T,) bool, the frames to look at.
        max_sigma_m: multi-view joints with a larger standard deviation are no reference.

    Returns:
        ``mpjpe_mm, n_mpjpe_mm, pa_mpjpe_mm`` over all cameras, ``per_camera`` (the same of each), ``per_joint_mm``
        (MPJPE) and ``frames``. NaN where there is nothing to compare.
    """
    from ..evaluation import joint_errors_mm, mpjpe, n_mpjpe, pa_mpjpe

    h = points.to_skeleton(H36M17)
    good = h.ok & (h.sigma_m <= max_sigma_m) & frames[:, None]
    world = np.where(good[..., None], h.xyz, np.nan)
    truth = np.einsum("cij,tkj->ctki", rig.R, world)
    per_camera = {
        name: {"mpjpe_mm": float(a), "n_mpjpe_mm": float(b), "pa_mpjpe_mm": float(c)}
        for name, a, b, c in zip(
            rig.names, mpjpe(lifted, truth), n_mpjpe(lifted, truth), pa_mpjpe(lifted, truth), strict=True
        )
    }
    total = {
        k: float(np.nanmean(v)) if np.isfinite(v := [row[k] for row in per_camera.values()]).any() else float("nan")
        for k in ("mpjpe_mm", "n_mpjpe_mm", "pa_mpjpe_mm")
    }
    error = joint_errors_mm(lifted, truth)
    seen = np.isfinite(error).sum((0, 1))
    joint = np.where(seen > 0, np.nansum(error, (0, 1)) / np.maximum(seen, 1), np.nan)
    return {
        **total, "per_camera": per_camera,
        "per_joint_mm": {n: float(v) for n, v in zip(H36M17.joints, joint, strict=True)},
        "frames": int(good.any(1).sum()),
    }  # fmt: skip


def held_out(labels_file: Path) -> np.ndarray:
    """(T,) bool: the frames that neither training nor the choice of the model saw."""
    from ..pseudolabels import Part, PseudoLabels

    return np.asarray(PseudoLabels.load(labels_file).split == Part.TEST)


def comparison_rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the before/after table: metric, before, after, change."""
    rows = []
    for key, title in (("mpjpe_mm", "MPJPE"), ("n_mpjpe_mm", "N-MPJPE"), ("pa_mpjpe_mm", "PA-MPJPE")):
        b, a = float(before[key]), float(after[key])
        rows.append([title, f"{b:.1f} mm", f"{a:.1f} mm", f"{(a - b) / b * 100:+.0f} %" if b else ""])
    return rows

"""All metrics of a set of sequences in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.skeletons import H36M17, Skeleton, get_skeleton

from .angles import ANGLE_NAMES, joint_angle_errors_deg
from .metrics import excluded_joints, joint_errors_mm, mpjpe, n_mpjpe, pa_mpjpe, spa_mpjpe, velocity_error

__all__ = ["EvaluationResult", "evaluate"]

_HEADINGS = {
    "mpjpe_mm": "MPJPE mm",
    "n_mpjpe_mm": "N-MPJPE mm",
    "pa_mpjpe_mm": "PA-MPJPE mm",
    "spa_mpjpe_mm": "SPA-MPJPE mm",
    "velocity_mm_per_frame": "velocity mm/frame",
    "velocity_mm_per_s": "velocity mm/s",
}


@dataclass(frozen=True)
class EvaluationResult:
    """Errors per sequence and in the mean.

    Attributes:
        rows: ``{sequence name: {metric: value}}``; the unit stands in the metric's name; NaN where nothing
            could be compared.
        mean: ``{metric: value}``, the mean over the sequences that have a value.
        per_joint_pa_mm: ``{joint: mm}``, error of each joint after per-frame alignment, over all sequences.
        excluded: names of the joints left out.
        n_frames: ``{sequence name: frames with at least one joint compared}``.
    """

    rows: Mapping[str, Mapping[str, float]]
    mean: Mapping[str, float]
    per_joint_pa_mm: Mapping[str, float]
    excluded: tuple[str, ...] = ()
    n_frames: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        """The mean of one metric."""
        return self.mean[metric]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries for JSON (NaN becomes None)."""

        def clean(row: Mapping[str, float]) -> dict[str, float | None]:
            return {k: (float(v) if np.isfinite(v) else None) for k, v in row.items()}

        return {
            "rows": {name: clean(row) for name, row in self.rows.items()},
            "mean": clean(self.mean),
            "per_joint_pa_mm": clean(self.per_joint_pa_mm),
            "excluded": list(self.excluded),
            "n_frames": dict(self.n_frames),
        }

    def markdown(self, *, metrics: Sequence[str] | None = None, digits: int = 1) -> str:
        """A Markdown table: one line for each sequence, the mean last."""
        columns = [m for m in (metrics or self.mean) if m in self.mean]
        head = ["sequence", "frames", *(_HEADINGS.get(m, m) for m in columns)]
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        table = [(name, str(self.n_frames.get(name, "")), row) for name, row in self.rows.items()]
        if len(self.rows) != 1:
            table.append(("mean", str(sum(self.n_frames.values())), self.mean))
        for name, frames, row in table:
            cells = [f"{row[m]:.{digits}f}" if np.isfinite(row[m]) else "-" for m in columns]
            lines.append("| " + " | ".join([name, frames, *cells]) + " |")
        return "\n".join(lines)


def evaluate(
    pred_m: ArrayLike,
    truth_m: ArrayLike,
    *,
    skeleton: str | Skeleton = H36M17,
    names: Sequence[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    fps: float | None = None,
    root: int | None = 0,
) -> EvaluationResult:
    """Compute every metric for one or several sequences.

    Args:
        pred_m: (T, J, 3) or (S, T, J, 3) predicted joints, metres, NaN where missing. The S sequences are,
            for instance, the cameras of a recording.
        truth_m: the truth in the same shape and, for MPJPE, in the same axes (camera frame). A (T, J, 3)
            truth serves all sequences.
        skeleton: joint order of both.
        names: S names of the sequences.
        exclude: joints to leave out of the position errors: preset ``"asp"`` or ``"runner"``, or joint names.
            Joint angles are not touched by it.
        fps: frames per second, for the velocity error in mm/s; per frame it is always given.
        root: index of the root joint; None for poses that are root-relative already.

    Returns:
        The table.

    Raises:
        InputError: shapes, names or joints that do not fit.
    """
    skel = get_skeleton(skeleton)
    p = np.asarray(pred_m, dtype=np.float64)
    p = p[None] if p.ndim == 3 else p
    y = np.asarray(truth_m, dtype=np.float64)
    y = y[None] if y.ndim == 3 else y
    if p.ndim != 4 or y.ndim != 4 or p.shape[1:] != y.shape[1:] or y.shape[0] not in (1, p.shape[0]):
        raise InputError(f"Expected poses (T, J, 3) or (S, T, J, 3) of equal shape, got {p.shape} and {y.shape}.")
    if p.shape[2:] != (skel.n_joints, 3):
        raise InputError(f"Poses have {p.shape[2]} joints, skeleton {skel.name!r} has {skel.n_joints}.")
    y = np.broadcast_to(y, p.shape)
    labels = tuple(f"sequence {i}" for i in range(len(p))) if names is None else tuple(str(n) for n in names)
    if len(labels) != len(p) or len(set(labels)) != len(labels):
        raise InputError(f"{len(p)} sequences need as many different names, got {labels}.")
    dropped = excluded_joints(exclude, skel)
    kept = [j for j in range(skel.n_joints) if j not in dropped]

    columns: dict[str, NDArray[np.float64]] = {
        "mpjpe_mm": mpjpe(p, y, root=root, exclude=exclude, skeleton=skel),
        "n_mpjpe_mm": n_mpjpe(p, y, root=root, exclude=exclude, skeleton=skel),
        "pa_mpjpe_mm": pa_mpjpe(p, y, exclude=exclude, skeleton=skel),
        "spa_mpjpe_mm": spa_mpjpe(p, y, exclude=exclude, skeleton=skel),
        "velocity_mm_per_frame": velocity_error(p, y, root=root, exclude=exclude, skeleton=skel),
    }
    if fps is not None:
        columns["velocity_mm_per_s"] = velocity_error(p, y, fps=fps, root=root, exclude=exclude, skeleton=skel)
    angles = [joint_angle_errors_deg(p[i], y[i], skel) for i in range(len(p))]
    for name in ANGLE_NAMES:
        sides = [f"{side}_{name}" for side in ("left", "right") if f"{side}_{name}" in angles[0]]
        if sides:
            columns[f"{name}_angle_deg"] = np.array([_mean([a[s] for s in sides]) for a in angles])
    rows = {label: {m: float(v[i]) for m, v in columns.items()} for i, label in enumerate(labels)}
    mean = {m: _mean(v) for m, v in columns.items()}
    both = np.asarray(np.isfinite(p).all(-1) & np.isfinite(y).all(-1))
    aligned = joint_errors_mm(p, y, align="frame", exclude=exclude, skeleton=skel)
    per_joint = {skel.joints[j]: _mean(aligned[..., i].ravel()) for i, j in enumerate(kept)}
    frames = {label: int(both[i][:, kept].any(-1).sum()) for i, label in enumerate(labels)}
    return EvaluationResult(rows, mean, per_joint, tuple(skel.joints[j] for j in dropped), frames)


def _mean(values: ArrayLike) -> float:
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    return float(v.mean()) if v.size else float("nan")

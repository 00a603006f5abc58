"""The outer loop: better cameras give better labels, these a better lifter, and it watches over the next cameras.

lift -> calibrate -> triangulate -> label -> fine-tune, and again, until nothing improves any more. Source of the loop:
Suzuki et al., CVPRW (CVsports) 2024. Every stage is a function that can be replaced; the defaults are imported from
their packages when they are first needed.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.atomic import write_json
from sportcore.pseudolabels import Part, PseudoLabelOptions, PseudoLabels
from sportcore.types import Calibration, Keypoints2D, Points3D, Rig

from .options import FinetuneOptions

if TYPE_CHECKING:
    from sportcore.evaluation import EvaluationResult
    from sportcore.lifting import Lifter

__all__ = [
    "Iteration", "SelfTrainOptions", "SelfTrainResult", "Stages", "held_out_errors", "self_train",
]  # fmt: skip

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class SelfTrainOptions:
    """How often the loop runs, and with what.

    Attributes:
        iterations: most rounds; the published system makes 5.
        min_improvement: a round counts as better when its score (see :class:`Iteration`) is lower by this share.
        patience: rounds without improvement after which the loop stops.
        restart: fine-tune each round from the given lifter (True), or go on from the round before (False, as
            published). Starting over costs nothing when the labels are better, and keeps no trace of worse ones.
        labels: options of the labels.
        finetune: options of the fine-tuning.
    """

    iterations: int = 2
    min_improvement: float = 0.01
    patience: int = 1
    restart: bool = True
    labels: PseudoLabelOptions = field(default_factory=PseudoLabelOptions)
    finetune: FinetuneOptions = field(default_factory=FinetuneOptions)

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.patience < 1:
            raise InputError("iterations and patience must be at least 1.")
        if not 0 <= self.min_improvement < 1:
            raise InputError(f"min_improvement must lie in [0, 1), got {self.min_improvement}.")

    @classmethod
    def published(cls) -> SelfTrainOptions:
        """Five rounds that go on from each other, with the published recipe and labels."""
        return cls(
            iterations=5, min_improvement=0.0, patience=5, restart=False, labels=PseudoLabelOptions.published(),
            finetune=FinetuneOptions.from_recipe("published"),
        )  # fmt: skip


@dataclass
class Stages:
    """The functions of the loop; None takes the package's own.

    Attributes:
        lift: ``(lifter, keypoints, intrinsics) -> (C, T, 17, 3)``.
        calibrate: ``(keypoints, intrinsics, monocular_3d) -> Calibration``.
        triangulate: ``(keypoints, rig) -> Points3D``.
        label: ``(keypoints, points, rig, options) -> PseudoLabels``.
        finetune: ``(lifter, labels, options, checkpoint_dir, progress) -> FinetuneResult``.
    """

    lift: Callable[[Any, Keypoints2D, Rig], NDArray[np.float64]] | None = None
    calibrate: Callable[[Keypoints2D, Rig, NDArray[np.float64]], Calibration] | None = None
    triangulate: Callable[[Keypoints2D, Rig], Points3D] | None = None
    label: Callable[[Keypoints2D, Points3D, Rig, PseudoLabelOptions], PseudoLabels] | None = None
    finetune: Callable[[Any, PseudoLabels, FinetuneOptions, Path, Progress | None], Any] | None = None

    def complete(self) -> Stages:
        """The same with every None replaced by the package's own function."""
        out = copy.copy(self)
        out.lift = out.lift or (lambda lifter, keypoints, intrinsics: lifter.lift(keypoints, intrinsics))
        if out.calibrate is None:
            from sportcore.cameras import calibrate

            out.calibrate = lambda keypoints, rig, poses: calibrate(keypoints, rig, monocular_3d=poses)
        if out.triangulate is None:
            from sportcore.points3d import triangulate

            out.triangulate = lambda keypoints, rig: triangulate(keypoints, rig)
        if out.label is None:
            from sportcore.pseudolabels import make_pseudolabels

            out.label = make_pseudolabels
        if out.finetune is None:
            from .adapt import finetune

            out.finetune = lambda lifter, labels, options, folder, progress: finetune(
                lifter, labels, options, checkpoint_dir=folder, progress=progress
            )
        return out


@dataclass(frozen=True)
class Iteration:
    """One round of the loop.

    Attributes:
        number: counted from 1.
        residual_px: median reprojection residual of the labels' observations.
        bone_spread: median coefficient of variation of the bone lengths.
        val_mpjpe: validation error of the kept epoch, on this round's held-out pseudo-labels.
        val_mpjpe_start: the same of the lifter that the round started from.
        score: mean log of ``residual_px``, ``bone_spread`` and ``val_mpjpe``; lower is better. No test frame enters it.
        improved: whether the round is better than the best before it.
        before: monocular against multi-view on the test frames, with the lifter given to the loop; empty when no frames
            are held out.
        after: the same with this round's lifter.
    """

    number: int
    residual_px: float
    bone_spread: float
    val_mpjpe: float
    val_mpjpe_start: float
    score: float
    improved: bool
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class SelfTrainResult:
    """What the loop ended with: everything of its best round, and the history of all.

    Attributes:
        lifter: tuned lifter of the best round.
        rig: its cameras.
        points: its reconstruction.
        labels: its labels.
        history: one entry per round.
        best: number of the best round.
        stopped: ``"iterations"`` or ``"no improvement"``.
    """

    lifter: Lifter
    rig: Rig
    points: Points3D
    labels: PseudoLabels
    history: tuple[Iteration, ...]
    best: int
    stopped: str


def self_train(
    keypoints: Keypoints2D,
    intrinsics: Rig,
    lifter: Lifter,
    options: SelfTrainOptions | None = None,
    *,
    workdir: str | Path,
    stages: Stages | None = None,
    progress: Progress | None = None,
    on_iteration: Callable[[Iteration], None] | None = None,
) -> SelfTrainResult:
    """Adapt a lifter to a recording without any label.

    Run again after a kill it repeats the quick stages and continues the fine-tuning where it stood; the result is the
    same. The choice of the round uses residuals, bone lengths and held-out pseudo-labels, never the test frames.

    Args:
        keypoints: (C, T) observations of two or more cameras.
        intrinsics: the cameras; their poses are ignored.
        lifter: the model to start from; it is not changed.
        options: see :class:`SelfTrainOptions`.
        workdir: folder for the rounds' checkpoints (``iteration-1/``, ...) and ``history.json``.
        stages: functions to use instead of the package's own.
        progress: called as ``progress(done, total, message)`` over all rounds.
        on_iteration: called with each finished round.

    Returns:
        The best round and the history.

    Raises:
        InputError: fewer than two cameras, or what the stages refuse.
        DegenerateError: the recording does not determine the cameras.
    """
    options = options or SelfTrainOptions()
    if keypoints.n_cameras < 2:
        raise InputError("The loop needs at least two cameras.", "With one camera, lift with the base model.")
    do = (stages or Stages()).complete()
    assert do.lift and do.calibrate and do.triangulate and do.label and do.finetune
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    total = options.iterations * 100
    current = lifter
    history: list[Iteration] = []
    best: tuple[float, dict[str, Any]] | None = None
    best_number, without, stopped = 0, 0, "iterations"
    for number in range(1, options.iterations + 1):
        base = (number - 1) * 100
        report = _Shifted(progress, base, total, number)
        report(0, "lifting")
        poses = do.lift(current, keypoints, intrinsics)
        report(10, "calibrating")
        rig = do.calibrate(keypoints, intrinsics, poses).rig
        report(25, "triangulating")
        points = do.triangulate(keypoints, rig)
        report(35, "labelling")
        labels = do.label(keypoints, points, rig, options.labels)
        start = lifter if options.restart else current
        result = do.finetune(start, labels, options.finetune, folder / f"iteration-{number}", report.part)
        current = result.lifter
        report(95, "comparing")
        row = _judge(number, points, labels, result, lifter, current)
        improved = best is None or row.score < best[0] + np.log1p(-options.min_improvement)
        row = Iteration(**{**vars(row), "improved": bool(improved)})
        history.append(row)
        write_json(folder / "history.json", history)
        if on_iteration is not None:
            on_iteration(row)
        log.info("round %d: %s", number, row)
        if best is None or improved:
            best = (row.score, {"lifter": current, "rig": rig, "points": points, "labels": labels})
            best_number, without = number, 0
        else:
            without += 1
            if without >= options.patience and number < options.iterations:
                stopped = "no improvement"
                break
    report(100, "done")
    assert best is not None
    return SelfTrainResult(**best[1], history=tuple(history), best=best_number, stopped=stopped)


def held_out_errors(lifter: Lifter, labels: PseudoLabels, part: Part = Part.TEST) -> EvaluationResult | None:
    """Monocular poses of a lifter against the multi-view labels, on the blocks of one part, camera by camera.

    Each block is lifted on its own, so that nothing outside it is seen. MPJPE and velocity are NaN for a lifter whose
    output has no metric scale.

    Returns:
        One row per camera; None when the part has no frames.
    """
    from sportcore.evaluation import evaluate

    spans = labels.blocks(part)
    if not spans:
        return None
    truth = labels.root_relative()
    rig = labels.intrinsics()
    pred = np.full(truth.shape, np.nan)
    for start, stop in spans:
        pred[:, start:stop] = lifter.lift(labels.keypoints(slice(start, stop)), rig)
    inside = labels.split == part
    # A row of NaN between blocks keeps a block's last frame from being a neighbour of the next one's first.
    edge = np.zeros(labels.n_frames, bool)
    edge[[stop for _, stop in spans if stop < labels.n_frames]] = True
    keep = inside | edge
    pred[:, ~inside] = np.nan
    table = evaluate(pred[:, keep], truth[:, keep], names=labels.names, fps=labels.fps)
    return table if lifter.metric else _scale_free(table)


def _scale_free(table: EvaluationResult) -> EvaluationResult:
    def clean(row: Mapping[str, float]) -> dict[str, float]:
        return {k: float("nan") if k == "mpjpe_mm" or k.startswith("velocity") else v for k, v in row.items()}

    return replace(table, rows={name: clean(row) for name, row in table.rows.items()}, mean=clean(table.mean))


def _judge(number: int, points: Points3D, labels: PseudoLabels, result: Any, start: Lifter, tuned: Lifter) -> Iteration:
    from sportcore.evaluation import bone_length_spread

    used = points.inlier & np.isfinite(points.residual_px)
    residual = float(np.median(points.residual_px[used])) if used.any() else float("nan")
    spreads = np.array(list(bone_length_spread(points.xyz, points.skeleton).values()))
    spreads = spreads[np.isfinite(spreads)]
    spread = float(np.median(spreads)) if spreads.size else float("nan")
    metric = f"val_{result.options.selection}"
    after, before = result.history[result.best_epoch][metric], result.history[0][metric]
    values = np.array([residual, spread, after])
    values = values[np.isfinite(values) & (values > 0)]
    score = float(np.log(values).mean()) if values.size else float("inf")
    rows = [held_out_errors(model, labels) for model in (start, tuned)]
    tables = [{} if row is None else dict(row.mean) for row in rows]
    return Iteration(number, residual, spread, after, before, score, False, tables[0], tables[1])


class _Shifted:
    """Progress of one round as a part of the whole."""

    def __init__(self, progress: Progress | None, base: int, total: int, number: int) -> None:
        self.progress, self.base, self.total, self.number = progress, base, total, number

    def __call__(self, percent: int, message: str) -> None:
        if self.progress is not None:
            self.progress(self.base + percent, self.total, f"round {self.number}: {message}")

    def part(self, done: int, total: int, message: str) -> None:
        """Progress of the fine-tuning inside the round."""
        self(40 + 55 * done // max(total, 1), message)

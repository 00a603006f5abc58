"""Options of the pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sportcore.errors import InputError

__all__ = ["PseudoLabelOptions"]


@dataclass(frozen=True)
class PseudoLabelOptions:
    """Which triangulated joints teach, how much, and which frames are held out.

    Attributes:
        max_sigma_mm: a joint whose position is less certain than this (largest standard deviation of its
            covariance) is no label. None lets every covariance pass.
        max_residual_px: a joint whose root-mean-square reprojection error over its inlier views is larger is
            no label. None switches the gate off.
        min_views: fewest inlier views of a label.
        sigma_half_weight_mm: a joint with this standard deviation (root of the mean variance over the axes,
            root joint included) counts half as much as a certain one; ``w = 1 / (1 + (sigma / this)^2)``.
            None: all labels count fully.
        min_observed_joints: a camera frame with fewer 2D joints has nothing to learn from and gets weight 0.
        min_depth_m: labels nearer to the camera plane than this (or behind it) are dropped for that camera.
        smooth_cutoff_hz: half-amplitude frequency of a covariance-weighted Whittaker smoothing over time;
            None: off. Gaps stay gaps. It is left out where it would do nothing (a cutoff above 0.45 of the frame
            rate) or cannot be done (no frame rate). At 12 Hz the velocity error of the labels of virtual
            recordings at 60 Hz fell by a third and nothing rose (docs/finetuning.md).
        val_fraction: share of the frames held out to choose the best model.
        test_fraction: share of the frames held out from training and choice, for the final comparison.
        guard_frames: frames between the parts that belong to none.
        block_frames: shortest held-out block the split aims at when a recording is long enough for several.
        max_cycles: most repetitions of train - val - test over the recording.
        scale: ``"metric"``: labels in metres; ``"baseline"``: in units of the distance between the first two
            cameras, as the published code of Suzuki et al. (CVPRW 2024) has them (a trap: the model has to
            learn a new output scale, and only scale-free errors mean anything afterwards).
    """

    max_sigma_mm: float | None = 60.0
    max_residual_px: float | None = 25.0
    min_views: int = 2
    sigma_half_weight_mm: float | None = 20.0
    min_observed_joints: int = 6
    min_depth_m: float = 0.2
    smooth_cutoff_hz: float | None = 12.0
    val_fraction: float = 0.15
    test_fraction: float = 0.2
    guard_frames: int = 3
    block_frames: int = 54
    max_cycles: int = 10
    scale: Literal["metric", "baseline"] = "metric"

    def __post_init__(self) -> None:
        for name in ("max_sigma_mm", "max_residual_px", "sigma_half_weight_mm", "smooth_cutoff_hz"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive or None, got {value!r}.")
        if self.min_views < 2:
            raise InputError(f"min_views must be at least 2, got {self.min_views}: one view has no depth.")
        if not 1 <= self.min_observed_joints <= 17:
            raise InputError(f"min_observed_joints must lie in 1 ... 17, got {self.min_observed_joints}.")
        if not self.min_depth_m > 0:
            raise InputError(f"min_depth_m must be positive, got {self.min_depth_m}.")
        for name in ("val_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)}.")
        if self.val_fraction + self.test_fraction > 0.8:
            raise InputError("val_fraction + test_fraction leave less than a fifth of the frames to train on.")
        if self.guard_frames < 0 or self.block_frames < 1 or self.max_cycles < 1:
            raise InputError("guard_frames must be >= 0, block_frames and max_cycles >= 1.")
        if self.scale not in ("metric", "baseline"):
            raise InputError(f"scale must be 'metric' or 'baseline', got {self.scale!r}.")

    @classmethod
    def published(cls) -> PseudoLabelOptions:
        """As the published runner experiment: every joint counts fully, the last tenth chooses the model.

        Labels are in units of the camera baseline, and nothing is held out for the comparison: evaluate on
        another recording.
        """
        return cls(
            max_sigma_mm=None, max_residual_px=None, sigma_half_weight_mm=None, min_observed_joints=1,
            smooth_cutoff_hz=None,
            val_fraction=0.1, test_fraction=0.0, guard_frames=0, max_cycles=1, scale="baseline",
        )  # fmt: skip

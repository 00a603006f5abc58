"""Pseudo-labels of one recording: what each camera saw, and where the joints really were."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.atomic import load_npz, save_npz
from sportcore.io.hashing import hash_arrays
from sportcore.skeletons import H36M17
from sportcore.types import Camera, Keypoints2D, Rig

from .options import PseudoLabelOptions
from .split import Part, blocks

__all__ = ["PseudoLabels"]

FORMAT = "sportcore-pseudolabels-1"
_ARRAYS = ("xy", "score", "K", "image_size", "pose_cam_m", "weight", "split", "up_cam")


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Inputs and labels of a lifter, Human3.6M-17 joints, camera by camera.

    Attributes:
        xy: (C, T, 17, 2) undistorted px, NaN where missing.
        score: (C, T, 17) in [0, 1], 0 where missing.
        K: (C, 3, 3) intrinsics of the undistorted cameras, px.
        image_size: (C, 2) width and height, px.
        pose_cam_m: (C, T, 17, 3) joints in the camera frame, metres (or baselines, see ``options.scale``);
            NaN where there is no label.
        weight: (C, T, 17) in [0, 1], 0 where there is no label.
        split: (T,) values of :class:`sportcore.pseudolabels.Part`.
        up_cam: (C, 3) unit vector of the vertical in each camera frame; zero where it is not known.
        fps: frames per second.
        names: C camera names.
        options: how the labels were made.
        gates: how many of the T x 17 joints failed each gate (the first one they failed), and how many
            passed.
    """

    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    K: NDArray[np.float64]
    image_size: NDArray[np.int64]
    pose_cam_m: NDArray[np.float64]
    weight: NDArray[np.float64]
    split: NDArray[np.uint8]
    up_cam: NDArray[np.float64] | None = None
    fps: float | None = None
    names: tuple[str, ...] = ()
    options: PseudoLabelOptions = field(default_factory=PseudoLabelOptions)
    gates: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        C, T = np.asarray(self.xy).shape[:2] if np.asarray(self.xy).ndim == 4 else (-1, -1)
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "xy": ((C, T, 17, 2), np.float64),
            "score": ((C, T, 17), np.float64),
            "K": ((C, 3, 3), np.float64),
            "image_size": ((C, 2), np.int64),
            "pose_cam_m": ((C, T, 17, 3), np.float64),
            "weight": ((C, T, 17), np.float64),
            "split": ((T,), np.uint8),
            "up_cam": ((C, 3), np.float64),
        }
        if self.up_cam is None:
            object.__setattr__(self, "up_cam", np.zeros((C, 3)))
        for name, (shape, dtype) in shapes.items():
            value = np.array(getattr(self, name), dtype=dtype)
            if value.shape != shape:
                raise InputError(f"PseudoLabels.{name} must have shape {shape}, got {value.shape}.")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        labelled = np.isfinite(self.pose_cam_m).all(-1)
        if not np.isfinite(self.weight).all() or np.any((self.weight < 0) | (self.weight > 1)):
            raise InputError("PseudoLabels.weight must lie in [0, 1].")
        if np.any((self.weight > 0) & ~labelled):
            raise InputError("PseudoLabels.weight is positive where there is no label.")
        names = tuple(self.names) or tuple(f"cam{i}" for i in range(C))
        if len(names) != C:
            raise InputError(f"{C} cameras need {C} names, got {len(names)}.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "gates", {str(k): int(v) for k, v in self.gates.items()})

    @property
    def n_cameras(self) -> int:
        """C."""
        return int(self.xy.shape[0])

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.xy.shape[1])

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(C, T, 17) whether a joint has a label that counts."""
        return np.asarray(self.weight > 0)

    def root_relative(self) -> NDArray[np.float64]:
        """(C, T, 17, 3) labels relative to the pelvis, metres, NaN where a joint or the pelvis has no
        label.
        """
        shown = np.where(self.labelled[..., None], self.pose_cam_m, np.nan)
        return np.asarray(shown - shown[..., :1, :])

    def keypoints(self, frames: slice | Sequence[int] | NDArray[Any] = slice(None)) -> Keypoints2D:
        """The inputs as undistorted keypoints."""
        keypoints = Keypoints2D(
            self.xy, self.score, H36M17, fps=self.fps, image_sizes=self.image_size, names=self.names
        )  # fmt: skip
        return keypoints.frames(frames)

    def intrinsics(self) -> Rig:
        """The undistorted cameras, without poses."""
        return Rig(
            tuple(
                Camera(name, (int(size[0]), int(size[1])), K, model="pinhole")
                for name, size, K in zip(self.names, self.image_size, self.K, strict=True)
            )
        )

    def blocks(self, part: Part | int) -> list[tuple[int, int]]:
        """(start, stop) of each contiguous block of a part."""
        return blocks(self.split, part)

    def with_split(self, split: Part | int | NDArray[Any]) -> PseudoLabels:
        """The same labels with another split: one part for all frames, or (T,) values."""
        value = np.full(self.n_frames, split) if np.ndim(split) == 0 else np.asarray(split)
        return replace(self, split=value.astype(np.uint8))

    def digest(self) -> str:
        """SHA-256 of everything a fine-tuning depends on."""
        return hash_arrays(*(getattr(self, name) for name in _ARRAYS))

    def summary(self) -> dict[str, Any]:
        """Frames of each part, share of joints with a label, and what the gates took."""
        parts = {part.name.lower(): int((self.split == part).sum()) for part in Part}
        return {
            "cameras": list(self.names),
            "frames": parts,
            "labelled_share": float(self.labelled.mean()) if self.labelled.size else 0.0,
            "mean_weight": float(self.weight[self.labelled].mean()) if self.labelled.any() else 0.0,
            "gates": dict(self.gates),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an .npz file atomically and return its path."""
        meta = {"format": FORMAT, "fps": self.fps, "options": asdict(self.options), "gates": dict(self.gates)}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_npz(path, **arrays, names=np.array(self.names), meta=np.array(json.dumps(meta, sort_keys=True)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PseudoLabels:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, damaged or of another kind.
        """
        arrays = load_npz(path, required=(*_ARRAYS, "names", "meta"))
        try:
            meta = json.loads(str(arrays["meta"]))
            if meta["format"] != FORMAT:
                raise InputError(f"{path}: format {meta['format']!r} is not {FORMAT!r}.")
            options = PseudoLabelOptions(**meta["options"])
            gates, fps = dict(meta["gates"]), meta["fps"]
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: is not a file of pseudo-labels ({error}).", "Make them again.") from error
        return cls(
            **{name: arrays[name] for name in _ARRAYS}, fps=fps, names=tuple(str(n) for n in arrays["names"]),
            options=options, gates=gates,
        )  # fmt: skip

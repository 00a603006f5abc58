"""The interface of all lifters, and the compact lifter behind it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, require
from ..skeletons import H36M17, Skeleton
from ..types import ASSUMED_FOCAL, Keypoints2D, Rig
from .compact import CompactLifter
from .mirror import mirror_pose, mirror_rays
from .rays import decode_rays, encode_ray_targets, encode_rays
from .windows import join_windows, split_windows

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["Lifter", "RayLifter", "assumed_intrinsics"]

_log = logging.getLogger(__name__)


Context = dict[str, "torch.Tensor"]


class Lifter(ABC):
    """2D keypoints of one camera in, root-relative 3D joints in that camera's frame out.

    A network works on windows of ``n_frames`` frames in its own frame and units. :meth:`encode` and
    :meth:`encode_targets` carry observations and true poses there, :meth:`decode` carries its output back; training
    code needs nothing else. :meth:`lift` does it all for a recording.

    Attributes:
        name: what to call it in reports.
        family: kind of network, part of the file format.
        skeleton: joints of input and output, always ``H36M17``.
        n_frames: frames per window T.
        module: the network, (N, T, 17, D) inputs to (N, T, 17, 3) outputs.
        metric: True when :meth:`decode` gives metres (of a person of average size until tuned); False when its scale
            means nothing.
        metadata: what was stored with the weights (recipe, sport, errors); empty for fresh ones.
    """

    name: str
    family: str
    skeleton: Skeleton = H36M17
    n_frames: int
    module: torch.nn.Module
    metric: bool
    metadata: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.module.parameters()).device

    def to(self, device: str | torch.device) -> Lifter:
        """Move the network; returns self."""
        self.module.to(device)
        return self

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.module.parameters())

    # -- what a family defines ------------------------------------------------------------------------------------
    @abstractmethod
    def _encode(
        self, xy: torch.Tensor, score: torch.Tensor, K: torch.Tensor, image_size: torch.Tensor
    ) -> tuple[torch.Tensor, Context]: ...

    @abstractmethod
    def encode_targets(self, pose_cam_m: torch.Tensor, context: Context) -> torch.Tensor:
        """True poses in the network's frame and units.

        Args:
            pose_cam_m: (N, T, 17, 3) joints in the camera frame, metres; NaN stays NaN.
            context: from :meth:`encode` of the same clips.

        Returns:
            (N, T, 17, 3) root-relative.
        """

    @abstractmethod
    def decode(self, outputs: torch.Tensor, context: Context) -> torch.Tensor:
        """Network outputs (N, T, 17, 3) as root-relative joints in the camera frame; metres if ``metric``."""

    @abstractmethod
    def mirror_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs of the mirrored person in the mirrored camera."""

    def mirror_outputs(self, outputs: torch.Tensor) -> torch.Tensor:
        """The mirrored pose: x negated, left and right exchanged."""
        return mirror_pose(outputs)

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Shape of the network, as stored in files."""

    # -- what all families share ----------------------------------------------------------------------------------
    def encode(
        self, xy: ArrayLike | torch.Tensor, score: ArrayLike | torch.Tensor | None,
        K: ArrayLike | torch.Tensor | None, image_size: ArrayLike | torch.Tensor,
    ) -> tuple[torch.Tensor, Context]:  # fmt: skip
        """Observations as network inputs.

        Args:
            xy: (N, T, 17, 2) px without lens distortion, NaN where missing. T need not be ``n_frames`` here, though
                the network asks for it.
            score: (N, T, 17) in [0, 1], 0 where missing; None when all that is finite counts fully.
            K: (N, 3, 3) or (3, 3) intrinsics; None assumes a focal length of ``ASSUMED_FOCAL`` times the longer
                image side and a centred principal point, and logs a warning.
            image_size: (N, 2) or (2,) px, width and height.

        Returns:
            ``(inputs (N, T, 17, D), context)``: float32 tensors on the network's device; the context is what
            :meth:`decode` and :meth:`encode_targets` need.

        Raises:
            InputError: shapes that do not fit.
        """
        points = self._tensor(xy)
        if points.ndim != 4 or points.shape[2:] != (17, 2):
            raise InputError(f"xy must be (N, T, 17, 2) px of H36M17 joints, got {tuple(points.shape)}.")
        n, T = points.shape[:2]
        scores = torch.isfinite(points).all(-1).float() if score is None else self._tensor(score)
        if scores.shape != (n, T, 17):
            raise InputError(f"score must be {(n, T, 17)}, got {tuple(scores.shape)}.")
        scores = torch.nan_to_num(scores, nan=0.0)
        size = self._tensor(image_size)
        if size.ndim == 1:
            size = size.expand(n, -1)
        if size.shape != (n, 2) or not bool((size > 0).all()):
            raise InputError(f"image_size must be {(n, 2)} (width, height) px, got {tuple(size.shape)}.")
        if K is None:
            _log.warning("intrinsics unknown: assuming a focal length of %.1f x the longer side", ASSUMED_FOCAL)
            K = assumed_intrinsics(size.cpu().numpy())
        intrinsics = self._tensor(K)
        if intrinsics.ndim == 2:
            intrinsics = intrinsics.expand(n, -1, -1)
        if intrinsics.shape != (n, 3, 3) or not bool((intrinsics[:, [0, 1], [0, 1]] > 0).all()):
            raise InputError(f"K must be {(n, 3, 3)} with positive focal lengths, got {tuple(intrinsics.shape)}.")
        return self._encode(points, scores, intrinsics, size)

    def predict(self, inputs: torch.Tensor, *, flip_average: bool = True) -> torch.Tensor:
        """Network outputs in evaluation mode without gradients, averaged with the mirrored person's if asked."""
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                out: torch.Tensor = self.module(inputs)
                if flip_average:
                    out = (out + self.mirror_outputs(self.module(self.mirror_inputs(inputs)))) / 2
        finally:
            self.module.train(was_training)
        return out

    def lift(
        self, keypoints: Keypoints2D, intrinsics: Rig | None = None, *, flip_average: bool = True,
        batch_size: int = 64, stride: int | None = None, progress: Callable[[int, int, str], None] | None = None,
    ) -> NDArray[np.float64]:  # fmt: skip
        """3D joints of each camera on its own.

        Windows overlap and are averaged, their middles counting most. Frames of a window that lie outside the
        recording, and joints that were missed, are given to the network as missing.

        Args:
            keypoints: any skeleton that has the joints of ``H36M17`` or joints that these follow from.
            intrinsics: one camera per camera of the keypoints (matched by name when all names fit, else by order);
                lens distortion is removed. None assumes a focal length (see :meth:`encode`).
            flip_average: average with the prediction for the mirrored person.
            batch_size: windows per pass.
            stride: frames from one window to the next; a third of a window by default.
            progress: called as ``progress(windows done, windows in all, camera name)``.

        Returns:
            (C, T, 17, 3) root-relative joints in the frame of each camera, metres if ``metric``; NaN in frames in
            which nothing was observed.

        Raises:
            InputError: cameras do not fit, or neither intrinsics nor image sizes are known.
        """
        kp = keypoints.to_skeleton(self.skeleton)
        C, T = kp.n_cameras, kp.n_frames
        out = np.full((C, T, 17, 3), np.nan)
        if T == 0:
            return out
        cameras = _match_cameras(kp, intrinsics)
        index = split_windows(T, self.n_frames, stride)
        for c, name in enumerate(kp.camera_names):
            camera = None if cameras is None else cameras[c]
            xy, score = kp.xy[c], kp.score[c]
            if camera is not None:
                xy = undistort(xy, camera)
                K, size = camera.K, np.asarray(camera.image_size, float)
            else:
                assert kp.image_sizes is not None
                size = np.asarray(kp.image_sizes[c], float)
                K = assumed_intrinsics(size[None])[0]
                _log.warning("%s: intrinsics unknown, assuming a focal length of %.0f px", name, K[0, 0])
            score = np.where(np.isfinite(xy).all(-1), score, 0.0)
            windows = self._lift_windows(
                xy, score, K, size, index, flip_average, batch_size,
                None if progress is None else _shifted(progress, c * len(index), C * len(index), name),
            )  # fmt: skip
            joined = join_windows(windows, index, T)
            joined[~(score > 0).any(-1)] = np.nan
            out[c] = joined
        return out

    def _lift_windows(
        self, xy: NDArray, score: NDArray, K: NDArray, size: NDArray, index: NDArray[np.int64], flip_average: bool,
        batch_size: int, progress: Callable[[int], None] | None,
    ) -> NDArray[np.float64]:  # fmt: skip
        """(W, n_frames, 17, 3); NaN in windows without an observation."""
        xy = np.concatenate([xy, np.full((1, 17, 2), np.nan)])[index]  # index -1: the row of NaN
        score = np.concatenate([score, np.zeros((1, 17))])[index]
        out = np.full((*index.shape, 17, 3), np.nan)
        seen = np.flatnonzero((score > 0).any((1, 2)))
        for first in range(0, len(seen), batch_size):
            part = seen[first : first + batch_size]
            inputs, context = self.encode(xy[part], score[part], K, size)
            poses = self.decode(self.predict(inputs, flip_average=flip_average).float(), context)
            out[part] = poses.cpu().double().numpy()
            if progress is not None:
                progress(int(part[-1]) + 1)
        return out

    def save(self, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
        """Write weights, shape and metadata (anything that JSON can hold) to a ``.safetensors`` file, atomically."""
        from .files import save_lifter

        save_lifter(self, path, metadata)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Lifter:
        """Same as :func:`sportcore.load_lifter`."""
        from .files import load_lifter

        return load_lifter(name_or_path)

    def _tensor(self, values: ArrayLike | torch.Tensor) -> torch.Tensor:
        if isinstance(values, torch.Tensor):
            return values.to(device=self.device, dtype=torch.float32)
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self.device)


class RayLifter(Lifter):
    """The compact lifter: rays of a virtual camera that looks at the person in, metres out.

    Args:
        module: the network; the default has fresh weights.
        name: what to call it.
    """

    family = "compact"
    metric = True

    def __init__(self, module: CompactLifter | None = None, name: str = "compact") -> None:
        self.module = (module or CompactLifter()).eval()
        self.name = name
        self.n_frames = self.module.config.n_frames
        self.metadata: dict[str, Any] = {}

    def _encode(
        self, xy: torch.Tensor, score: torch.Tensor, K: torch.Tensor, image_size: torch.Tensor
    ) -> tuple[torch.Tensor, Context]:
        return encode_rays(xy, score, K)

    def encode_targets(self, pose_cam_m: torch.Tensor, context: Context) -> torch.Tensor:
        """Root-relative joints in the turned frame, metres; see :meth:`Lifter.encode_targets`."""
        return encode_ray_targets(pose_cam_m, context)

    def decode(self, outputs: torch.Tensor, context: Context) -> torch.Tensor:
        """Root-relative joints in the camera frame, metres (an average stature's, until tuned)."""
        return decode_rays(outputs, context)

    def mirror_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Encoded rays of the mirrored person in the mirrored camera."""
        return mirror_rays(inputs)

    def config(self) -> dict[str, Any]:
        """Shape of the network, as stored in files."""
        assert isinstance(self.module, CompactLifter)
        return asdict(self.module.config)


def assumed_intrinsics(image_size: ArrayLike) -> NDArray[np.float64]:
    """(N, 3, 3) intrinsics for (N, 2) image sizes when nothing is known: see ``ASSUMED_FOCAL``."""
    size = np.asarray(image_size, dtype=np.float64).reshape(-1, 2)
    K = np.zeros((len(size), 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = ASSUMED_FOCAL * size.max(1)
    K[:, :2, 2] = (size - 1) / 2
    K[:, 2, 2] = 1
    return K


def undistort(xy: NDArray[np.float64], camera: Any) -> NDArray[np.float64]:
    """(..., 2) px as an ideal pinhole camera with the same K would see them; NaN stays NaN."""
    if not np.any(camera.distortion) and camera.model != "fisheye":
        return np.asarray(xy)
    from ..points3d import unproject_rays

    rays = np.asarray(unproject_rays(camera, xy))
    if rays.shape[-1] == 3:
        with np.errstate(invalid="ignore", divide="ignore"):
            rays = np.where(rays[..., 2:] > 0.02, rays[..., :2] / rays[..., 2:], np.nan)
    out: NDArray[np.float64] = rays @ camera.K[:2, :2].T + camera.K[:2, 2]
    return out


def _match_cameras(kp: Keypoints2D, rig: Rig | None) -> list[Any] | None:
    if rig is None:
        if kp.image_sizes is None:
            raise InputError(
                "Neither intrinsics nor image sizes are known.",
                "Pass a Rig with the cameras' intrinsics, or keypoints with image_sizes.",
            )
        return None
    if kp.names is not None and set(kp.names) <= set(rig.names):
        return [rig[name] for name in kp.names]
    if len(rig) != kp.n_cameras:
        raise InputError(
            f"{len(rig)} cameras ({', '.join(rig.names)}) do not fit keypoints of {kp.n_cameras} "
            f"({', '.join(kp.camera_names)}).",
            "Give one camera per view, with the same names or in the same order.",
        )
    return list(rig)


def _shifted(progress: Callable[[int, int, str], None], done: int, total: int, name: str) -> Callable[[int], None]:
    return lambda n: progress(done + n, total, name)

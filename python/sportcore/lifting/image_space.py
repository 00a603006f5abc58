"""MotionAGFormer behind the interface of the lifters: image-space units, as its official checkpoints want them.

Normalisation (Suzuki et al., CVPRW 2024, after MotionBERT): ``x' = 2 x / w - 1``, ``y' = 2 y / w - h / w``, both over
the image *width*, with the score as third channel. Outputs are root-relative, x and y in the same units and z scaled
alike ("image-space 3D"): their scale says nothing about metres.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import require
from .lifter import Context, Lifter
from .mirror import mirror
from .motionagformer import MotionAGFormer
from .rays import fill_missing

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = ["MotionAGFormerLifter"]


class MotionAGFormerLifter(Lifter):
    """A MotionAGFormer as a lifter.

    Args:
        module: the network.
        name: what to call it.
    """

    family = "motionagformer"
    metric = False

    def __init__(self, module: MotionAGFormer, name: str = "motionagformer") -> None:
        self.module = module.eval()
        self.name = name
        self.n_frames = module.config.n_frames
        self.metadata: dict[str, Any] = {}

    @property
    def network(self) -> MotionAGFormer:
        """The network with its own type."""
        assert isinstance(self.module, MotionAGFormer)
        return self.module

    def _encode(
        self, xy: torch.Tensor, score: torch.Tensor, K: torch.Tensor, image_size: torch.Tensor
    ) -> tuple[torch.Tensor, Context]:
        width, height = image_size[:, None, None, 0], image_size[:, None, None, 1]
        observed = torch.isfinite(xy).all(-1) & (score > 0)
        xy = fill_missing(torch.stack([2 * xy[..., 0] / width - 1, (2 * xy[..., 1] - height) / width], -1), observed)
        inputs = torch.cat([xy, (score * observed)[..., None]], -1)
        return inputs, {"units_per_px": 2 / image_size[:, 0], "focal_px": (K[:, 0, 0] + K[:, 1, 1]) / 2}

    def encode_targets(self, pose_cam_m: torch.Tensor, context: Context) -> torch.Tensor:
        """Root-relative poses times the image units per metre at the root's depth, frame by frame.

        The published labels use nearly this scale (a secant over two metres instead of the derivative at the root).
        """
        relative = pose_cam_m - pose_cam_m[..., :1, :]
        depth = pose_cam_m[..., :1, 2:]
        scale = (context["units_per_px"] * context["focal_px"])[:, None, None, None].to(relative.dtype)
        return relative * scale / depth

    def decode(self, outputs: torch.Tensor, context: Context) -> torch.Tensor:
        """Root-relative joints, camera axes, image units: the scale varies with the distance to the camera."""
        return outputs - outputs[..., :1, :]

    def mirror_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised keypoints of the mirrored image."""
        return mirror(inputs, (0,))

    def config(self) -> dict[str, Any]:
        """Shape of the network, as stored in files."""
        return asdict(self.network.config)

"""A compact lifter that learns on two CPU cores.

A frame is one token. Blocks mix time by a small dense layer over the window and joints by a wide layer over the
frame's features: large matrix products with good shapes and few passes over memory. The head predicts depth, a scale
and a small correction; the lateral position follows from the ray itself, so an unseen pose still projects right.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ..errors import InputError, require
from .rays import FEATURES, LOG_SIZE_OFFSET

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = require("torch", extra="train")
    nn = torch.nn

__all__ = ["CompactConfig", "CompactLifter"]


@dataclass(frozen=True)
class CompactConfig:
    """Shape of the network.

    Attributes:
        n_frames: frames per window T.
        width: features per frame.
        hidden: width of the feature layer inside a block.
        time_hidden: width of the time layer inside a block.
        depth: number of blocks.
    """

    n_frames: int = 27
    width: int = 384
    hidden: int = 768
    time_hidden: int = 54
    depth: int = 3

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise InputError(f"CompactConfig.{key} must be a positive integer, got {value!r}.")


class _Block(nn.Module):
    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(config.width)
        self.time_in = nn.Linear(config.n_frames, config.time_hidden)
        self.time_out = nn.Linear(config.time_hidden, config.n_frames)
        self.norm = nn.LayerNorm(config.width)
        self.feature_in = nn.Linear(config.width, config.hidden)
        self.feature_out = nn.Linear(config.hidden, config.width)
        self.activation = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.time_norm(x).transpose(1, 2)
        x = x + self.time_out(self.activation(self.time_in(y))).transpose(1, 2)
        return x + self.feature_out(self.activation(self.feature_in(self.norm(x))))


class CompactLifter(nn.Module):
    """(N, T, 17, FEATURES) rays to (N, T, 17, 3) root-relative joints in the turned frame, metres."""

    def __init__(self, config: CompactConfig | None = None) -> None:
        super().__init__()
        self.config = config or CompactConfig()
        c = self.config
        self.embed = nn.Linear(17 * 3 + (FEATURES - 3), c.width)
        self.position = nn.Parameter(torch.zeros(c.n_frames, c.width))
        self.blocks = nn.ModuleList(_Block(c) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, 17 * 3 + 1)
        nn.init.normal_(self.position, std=0.02)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See the class."""
        if inputs.ndim != 4 or inputs.shape[1:] != (self.config.n_frames, 17, FEATURES):
            raise InputError(
                f"The lifter expects (N, {self.config.n_frames}, 17, {FEATURES}) inputs, got {tuple(inputs.shape)}."
            )
        n, T = inputs.shape[:2]
        x = torch.cat([inputs[..., :3].reshape(n, T, -1), inputs[:, :, 0, 3:]], -1)
        x = self.embed(x) + self.position
        for block in self.blocks:
            x = block(x)
        out = self.head(self.norm(x)).float()
        uv = inputs[..., :2].float()
        joints = out[..., :51].reshape(n, T, 17, 3)
        # A point at depth D + z on the ray (s u, s v, 1) lies at s (D + z) (u, v); s D is the person's size in metres.
        z = joints[..., 2] - joints[..., :1, 2]
        sD = torch.exp(0.3 * out[..., 51] - 0.8)[..., None, None]
        s = torch.exp(inputs[:, :, 0, 5].float() - LOG_SIZE_OFFSET)[..., None, None]
        xy = sD * uv + s * z[..., None] * uv + joints[..., :2]
        xy = xy - xy[..., :1, :]
        return torch.cat([xy, z[..., None]], -1)

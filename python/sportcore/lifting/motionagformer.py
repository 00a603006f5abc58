"""MotionAGFormer (Mehraban, Adeli, Taati, WACV 2024): attention and graph streams over joints and frames.

Written from the published description; parameter names are those of the official checkpoints, so these load as they
are. Each layer runs two streams over the same input. The attention stream applies self-attention over the joints of
each frame, then over the frames of each joint; the graph stream does the same with graph convolutions, over the
skeleton and over each joint's most similar frames. A learned softmax weighs the two results.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, WeightsError, require

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = require("torch", extra="train")
    nn = torch.nn

__all__ = ["SIZES", "MotionAGFormer", "MotionAGFormerConfig"]

_log = logging.getLogger(__name__)

# Neighbours of each joint (row) in the skeleton graph of the official network; not symmetric, no self loops.
_NEIGHBOURS = (
    (1, 7), (2, 0), (3, 1), (2,), (5, 0), (6, 4), (5,), (0, 8), (7, 9), (8, 10), (9,), (12, 8), (13, 11), (12,),
    (15, 8), (16, 14), (15,),
)  # fmt: skip


@dataclass(frozen=True)
class MotionAGFormerConfig:
    """Shape of the network.

    Attributes:
        n_layers: number of layers.
        width: features per joint and frame.
        n_frames: frames per window T.
        rep_width: features before the last linear layer.
        n_heads: attention heads.
        neighbours: most similar frames joined in the temporal graph.
        mlp_ratio: width of the hidden layers over ``width``.
        n_joints: joints.
    """

    n_layers: int
    width: int
    n_frames: int
    rep_width: int = 512
    n_heads: int = 8
    neighbours: int = 2
    mlp_ratio: int = 4
    n_joints: int = 17

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            raise InputError(f"width {self.width} is not a multiple of n_heads {self.n_heads}.")
        if self.n_joints != 17:
            raise InputError(f"MotionAGFormer works on the 17 joints of Human3.6M, not on {self.n_joints}.")
        if not 1 <= self.neighbours <= self.n_frames:
            raise InputError(f"neighbours must lie between 1 and n_frames, got {self.neighbours}.")


SIZES: dict[str, MotionAGFormerConfig] = {
    "xs": MotionAGFormerConfig(12, 64, 27),
    "s": MotionAGFormerConfig(26, 64, 81),
    "b": MotionAGFormerConfig(16, 128, 243),
    "l": MotionAGFormerConfig(26, 128, 243),
}
"""The four published sizes: 2,241,531, 4,817,119, 11,723,811 and 19,007,111 parameters."""


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (M, nodes, width)
        m, n, c = x.shape
        q, k, v = self.qkv(x).view(m, n, 3, self.n_heads, c // self.n_heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(m, n, c))


class _GraphConvolution(nn.Module):
    """relu(x + BN(A V x + U x)) with the adjacency normalised as D^-1/2 A D^-1/2."""

    skeleton: torch.Tensor

    def __init__(self, width: int, n_nodes: int, neighbours: int | None) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.U = nn.Linear(width, width)
        self.V = nn.Linear(width, width)
        self.batch_norm = nn.BatchNorm1d(n_nodes)
        if neighbours is None:
            adjacency = torch.zeros(n_nodes, n_nodes)
            for row, columns in enumerate(_NEIGHBOURS):
                adjacency[row, list(columns)] = 1
            self.register_buffer("skeleton", _normalised(adjacency), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (M, nodes, width)
        if self.neighbours is None:
            adjacency = self.skeleton.to(x.dtype)
        else:
            similarity = x @ x.transpose(1, 2)
            kth = similarity.topk(self.neighbours, dim=-1).values[..., -1:]
            adjacency = _normalised((similarity >= kth).to(x.dtype))
        return torch.relu(x + self.batch_norm(adjacency @ self.V(x) + self.U(x)))


def _normalised(adjacency: torch.Tensor) -> torch.Tensor:
    scale = adjacency.sum(-1).rsqrt()
    return scale[..., :, None] * adjacency * scale[..., None, :]


class _MLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class _Block(nn.Module):
    """x + s1 mixer(LN x), then x + s2 MLP(LN x), over joints or over frames."""

    def __init__(self, config: MotionAGFormerConfig, mixer: nn.Module) -> None:
        super().__init__()
        d = config.width
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.mixer = mixer
        self.mlp = _MLP(d, d * config.mlp_ratio)
        self.layer_scale_1 = nn.Parameter(torch.full((d,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((d,), 1e-5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.layer_scale_1 * self.mixer(self.norm1(x))
        return x + self.layer_scale_2 * self.mlp(self.norm2(x))


class _Layer(nn.Module):
    def __init__(self, c: MotionAGFormerConfig) -> None:
        super().__init__()
        self.att_spatial = _Block(c, _Attention(c.width, c.n_heads))
        self.att_temporal = _Block(c, _Attention(c.width, c.n_heads))
        self.graph_spatial = _Block(c, _GraphConvolution(c.width, c.n_joints, None))
        self.graph_temporal = _Block(c, _GraphConvolution(c.width, c.n_frames, c.neighbours))
        self.fusion = nn.Linear(2 * c.width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.constant_(self.fusion.bias, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, T, J, width)
        n, T, J, d = x.shape
        frames = x.reshape(n * T, J, d)
        attention = self.att_spatial(frames).view(n, T, J, d).transpose(1, 2).reshape(n * J, T, d)
        graph = self.graph_spatial(frames).view(n, T, J, d).transpose(1, 2).reshape(n * J, T, d)
        attention, graph = self.att_temporal(attention), self.graph_temporal(graph)
        share = self.fusion(torch.cat([attention, graph], -1)).softmax(-1)
        mixed = attention * share[..., :1] + graph * share[..., 1:]
        return mixed.view(n, J, T, d).transpose(1, 2)


class _Representation(nn.Module):
    def __init__(self, width: int, rep_width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, rep_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.fc(x))


class MotionAGFormer(nn.Module):
    """(N, T, 17, 3) normalised x, y and score to (N, T, 17, 3) joints in image-space units.

    Args:
        config: shape of the network; :meth:`from_size` gives the published ones.
    """

    def __init__(self, config: MotionAGFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.joints_embed = nn.Linear(3, config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.n_joints, config.width))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        self.rep_logit = _Representation(config.width, config.rep_width)
        self.head = nn.Linear(config.rep_width, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """See the class."""
        c = self.config
        if inputs.ndim != 4 or inputs.shape[1:] != (c.n_frames, c.n_joints, 3):
            raise InputError(
                f"This MotionAGFormer expects (N, {c.n_frames}, {c.n_joints}, 3), got {tuple(inputs.shape)}."
            )
        x = self.joints_embed(inputs) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return self.head(self.rep_logit(self.norm(x)))

    @classmethod
    def from_size(cls, size: str) -> MotionAGFormer:
        """A network of a published size, ``"xs"``, ``"s"``, ``"b"`` or ``"l"``, with fresh weights.

        Raises:
            InputError: no such size.
        """
        if size.lower() not in SIZES:
            raise InputError(f"No MotionAGFormer of size {size!r}.", f"Sizes: {', '.join(SIZES)}.")
        return cls(SIZES[size.lower()])

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, n_heads: int = 8, neighbours: int = 2) -> MotionAGFormer:
        """Load an official checkpoint unchanged (``{"model": {"module....": tensor}}``, or the bare tensors).

        The shape follows from the tensors. The number of heads and of neighbours does not; all official networks
        have 8 and 2.

        Args:
            path: the file; read with ``weights_only=True``, so it cannot run code.
            n_heads: attention heads.
            neighbours: neighbours in the temporal graph.

        Raises:
            WeightsError: the file is missing, damaged, or holds another network.
        """
        path = Path(path)
        if not path.is_file():
            raise WeightsError(f"No checkpoint {path}.", "Official checkpoints are linked from MotionAGFormer's page.")
        try:
            raw = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise WeightsError(
                f"{path} cannot be read as a PyTorch checkpoint: {error}.",
                "It may be truncated (fetch it again), or it contains more than tensors.",
            ) from error
        return cls.from_state(_tensors(raw, path), n_heads=n_heads, neighbours=neighbours, source=str(path))

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, torch.Tensor],
        *,
        n_heads: int = 8,
        neighbours: int = 2,
        source: str = "the state",
    ) -> MotionAGFormer:
        """The network of a dictionary of tensors with official names; see :meth:`from_checkpoint`."""
        try:
            config = _infer(state, n_heads, neighbours)
            module = cls(config)
            module.load_state_dict(dict(state))
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            lines = str(error).splitlines()
            raise WeightsError(
                f"{source} is not a MotionAGFormer checkpoint: {lines[0] if lines else error!r}",
                "Check that it is the file of this network and that the download is complete.",
            ) from error
        return module.eval()


def _tensors(raw: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(raw, Mapping):
        for key in ("model", "model_pos", "state_dict"):
            if isinstance(raw.get(key), Mapping):
                raw = raw[key]
                break
    if not isinstance(raw, Mapping) or not all(isinstance(v, torch.Tensor) for v in raw.values()):
        raise WeightsError(f"{path} holds no dictionary of tensors.", "Is it a MotionAGFormer checkpoint?")
    return {str(k).removeprefix("module."): v for k, v in raw.items()}


def _infer(state: Mapping[str, torch.Tensor], n_heads: int, neighbours: int) -> MotionAGFormerConfig:
    width = int(state["joints_embed.weight"].shape[0])
    numbers = [int(m.group(1)) for key in state if (m := re.match(r"layers\.(\d+)\.", key))]
    return MotionAGFormerConfig(
        n_layers=max(numbers) + 1,
        width=width,
        n_frames=int(state["layers.0.graph_temporal.mixer.batch_norm.weight"].shape[0]),
        rep_width=int(state["head.weight"].shape[1]),
        n_heads=n_heads,
        neighbours=neighbours,
        mlp_ratio=int(state["layers.0.att_spatial.mlp.fc1.weight"].shape[0]) // width,
        n_joints=int(state["pos_embed"].shape[1]),
    )

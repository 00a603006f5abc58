"""The evaluation protocol of the lifters: fixed virtual cameras, correlated noise, errors in millimetres.

Each clip is seen by ``n_cameras`` cameras spread around its mean position at 5 to 8 m, 1.0 to 2.6 m above the floor,
looking at a point within 0.2 m of (mean position, 1 m), focal length 1460 to 1540 px, 1920 x 1080 px. The 2D error is
Gaussian of ``sigma_px`` with correlation ``correlation`` from frame to frame, all joints are seen with score 1, the
intrinsics are exact. Windows of T frames at 60 Hz follow each other without overlap; a clip's last, incomplete window
is left out. Errors are means over all frames and 17 joints: MPJPE of root-relative joints (the data's one skeleton, so
scale counts), N-MPJPE after the best scale per frame, PA-MPJPE after the best similarity per frame (no reflection).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..datasets.mocap import Mocap
from ..errors import InputError, require

if TYPE_CHECKING:
    import torch

    from .lifter import Lifter
else:
    torch = require("torch", extra="train")

__all__ = ["EvaluationClips", "evaluate_lifter", "evaluation_clips", "pose_errors_mm"]


@dataclass(frozen=True)
class EvaluationClips:
    """Windows to evaluate on; float32 tensors.

    Attributes:
        xy: (N, T, 17, 2) px with noise.
        score: (N, T, 17), ones.
        K: (N, 3, 3) exact intrinsics.
        image_size: (N, 2) px.
        pose_cam_m: (N, T, 17, 3) truth in the camera frame, metres.
    """

    xy: torch.Tensor
    score: torch.Tensor
    K: torch.Tensor
    image_size: torch.Tensor
    pose_cam_m: torch.Tensor


def evaluation_clips(
    mocap: Mocap, *, n_frames: int = 27, n_cameras: int = 4, sigma_px: float = 3.0, correlation: float = 0.9,
    seed: int = 2024, max_windows_per_clip: int | None = None,
) -> EvaluationClips:  # fmt: skip
    """The recordings of the protocol in the module's docstring; the same for the same arguments.

    Raises:
        InputError: every clip is shorter than one window.
    """
    from ..datasets.virtual import correlated_noise

    g = torch.Generator().manual_seed(seed)
    parts = []
    for clip in mocap.clips:
        pose = torch.from_numpy(clip.points_world_m)
        floor = pose[:, [3, 6], 2].min()
        aim0 = torch.tensor([*pose[:, 0, :2].mean(0).tolist(), float(floor) + 1.0])
        windows = pose.shape[0] // n_frames
        if max_windows_per_clip is not None:
            windows = min(windows, max_windows_per_clip)
        if windows == 0:
            continue
        u = torch.rand(n_cameras, 8, generator=g)
        azimuth = 2 * math.pi * (torch.arange(n_cameras) + 0.5 * (u[:, 0] - 0.5)) / n_cameras
        radius = 5 + 3 * u[:, 1]
        centre = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), 1.6 * u[:, 2]], -1) + aim0
        forward = torch.nn.functional.normalize(aim0 + 0.4 * (u[:, 3:6] - 0.5) - centre, dim=-1)
        right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0]).expand_as(forward))
        right = torch.nn.functional.normalize(right, dim=-1)
        R = torch.stack([right, torch.linalg.cross(forward, right), forward], 1)
        K = torch.zeros(n_cameras, 3, 3)
        K[:, 0, 0] = K[:, 1, 1] = 1500 + 80 * (u[:, 6] - 0.5)
        K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = 959.5, 539.5, 1
        cam = torch.einsum("cij,tkcj->ctki", R, pose[:, :, None] - centre)
        xy = cam[..., :2] / cam[..., 2:] * K[:, None, None, :1, 0] + K[:, None, None, :2, 2]
        rho = torch.full((n_cameras,), correlation)
        noise = correlated_noise(rho, windows * n_frames, 34, g).reshape(n_cameras, -1, 17, 2) * sigma_px
        shape = (n_cameras * windows, n_frames, 17, -1)
        cut = windows * n_frames
        parts.append(
            (
                (xy[:, :cut] + noise).reshape(shape),
                cam[:, :cut].reshape(shape),
                K.repeat_interleave(windows, 0),
            )
        )
    if not parts:
        raise InputError(f"No clip has {n_frames} frames.")
    xy, cam, K = (torch.cat(p) for p in zip(*parts, strict=True))
    size = torch.tensor([1920.0, 1080.0]).expand(len(xy), 2)
    return EvaluationClips(xy, torch.ones_like(xy[..., 0]), K, size, cam)


def pose_errors_mm(predicted: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Mean errors of (..., 17, 3) root-relative joints in metres: mpjpe, n_mpjpe, pa_mpjpe and velocity, mm."""
    p = (predicted - predicted[..., :1, :]).double()
    y = (truth - truth[..., :1, :]).double()
    out = {"mpjpe_mm": float((p - y).norm(dim=-1).mean() * 1e3)}
    scale = (p * y).sum((-1, -2), keepdim=True) / (p * p).sum((-1, -2), keepdim=True).clamp(min=1e-12)
    out["n_mpjpe_mm"] = float((scale * p - y).norm(dim=-1).mean() * 1e3)
    pc, yc = p - p.mean(-2, keepdim=True), y - y.mean(-2, keepdim=True)
    U, S, Vh = torch.linalg.svd(pc.transpose(-1, -2) @ yc)
    sign = torch.ones_like(S)
    sign[..., -1] = torch.sign(torch.linalg.det(U) * torch.linalg.det(Vh))
    scale = (S * sign).sum(-1)[..., None, None] / (pc * pc).sum((-1, -2), keepdim=True).clamp(min=1e-12)
    aligned = scale * (pc @ ((U * sign[..., None, :]) @ Vh))
    out["pa_mpjpe_mm"] = float((aligned - yc).norm(dim=-1).mean() * 1e3)
    if p.ndim == 4 and p.shape[1] > 1:
        out["velocity_mm"] = float((p.diff(dim=1) - y.diff(dim=1)).norm(dim=-1).mean() * 1e3)
    return out


def evaluate_lifter(
    lifter: Lifter,
    clips: EvaluationClips,
    *,
    flip_average: bool = True,
    batch_size: int = 512,
    max_windows: int | None = None,
) -> dict[str, float]:
    """Errors of a lifter in the protocol, see :func:`pose_errors_mm`; of a lifter that is not metric only those after
    a change of scale mean something.

    Args:
        lifter: any lifter of the clips' window length.
        clips: from :func:`evaluation_clips`.
        flip_average: average with the prediction for the mirrored person.
        batch_size: windows per pass.
        max_windows: take that many windows only, evenly spread.
    """
    index = torch.arange(len(clips.xy))
    if max_windows is not None and len(index) > max_windows:
        index = torch.linspace(0, len(index) - 1, max_windows).round().long()
    out = []
    for part in index.split(batch_size):
        inputs, context = lifter.encode(clips.xy[part], clips.score[part], clips.K[part], clips.image_size[part])
        out.append(lifter.decode(lifter.predict(inputs, flip_average=flip_average).float(), context).cpu())
    return pose_errors_mm(torch.cat(out), clips.pose_cam_m[index])

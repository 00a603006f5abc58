"""Clips for a lifter: cut from pseudo-labels, gathered in batches, varied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from sportcore.errors import require
from sportcore.pseudolabels import Part, PseudoLabels, clip_starts
from sportcore.skeletons import H36M17

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

from .options import FinetuneOptions

__all__ = ["Batch", "ClipSet", "augment", "mirrored"]


@dataclass(frozen=True)
class Batch:
    """N clips of T frames; float32 tensors on one device.

    Attributes:
        xy: (N, T, 17, 2) undistorted px, NaN where missing.
        score: (N, T, 17), 0 where missing.
        K: (N, 3, 3) px.
        image_size: (N, 2) width and height, px.
        pose_cam_m: (N, T, 17, 3) labels in the camera frame; finite everywhere, meaningless where the weight
            is 0.
        weight: (N, T, 17), 0 where there is no label.
        up_cam: (N, 3) vertical in the camera frame, zero where unknown.
    """

    xy: torch.Tensor
    score: torch.Tensor
    K: torch.Tensor
    image_size: torch.Tensor
    pose_cam_m: torch.Tensor
    weight: torch.Tensor
    up_cam: torch.Tensor

    def __len__(self) -> int:
        return len(self.xy)

    @staticmethod
    def cat(batches: Sequence[Batch]) -> Batch:
        """Several batches in one."""
        return Batch(*(torch.cat([getattr(b, f.name) for b in batches]) for f in fields(Batch)))


class ClipSet:
    """The clips of one part of some recordings.

    Args:
        labels: recordings.
        part: which frames.
        n_frames: frames per clip; what a shorter block lacks is missing, as when lifting a short recording.
        stride: frames between the first frames of neighbouring clips.
        min_share: share of the joints of a clip that must have a label.
        label_weights: False counts every label fully.
        device: where the tensors live.

    Attributes:
        n_candidates: clips before the ones with too few labels were left out.
    """

    def __init__(
        self, labels: Sequence[PseudoLabels], part: Part, n_frames: int, stride: int, *,
        min_share: float = 0.0, label_weights: bool = True, device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        self.n_frames = n_frames
        tensors: dict[str, list[torch.Tensor]] = {k: [] for k in ("xy", "score", "pose", "weight")}
        per_camera: dict[str, list[torch.Tensor]] = {k: [] for k in ("K", "image_size", "up_cam")}
        index: list[torch.Tensor] = []
        length: list[int] = []
        camera: list[int] = []
        offset = cameras = self.n_candidates = 0
        frame = torch.arange(n_frames)
        for item in labels:
            weight = torch.tensor(item.weight, dtype=torch.float32)
            pose = torch.nan_to_num(torch.tensor(item.pose_cam_m, dtype=torch.float32))
            # Unlabelled joints get the place of the pelvis, a frame without pelvis a place in front of the
            # camera: any finite value serves, it only has to survive an encoding of the targets.
            pelvis = torch.where(weight[:, :, :1, None] > 0, pose[:, :, :1], pose.new_tensor([0.0, 0.0, 3.0]))
            pose = torch.where(weight[..., None] > 0, pose, pelvis)
            if not label_weights:
                weight = (weight > 0).float()
            starts = clip_starts(item.split, part, n_frames, stride)
            for c in range(item.n_cameras):
                for first, count in starts.tolist():
                    self.n_candidates += 1
                    labelled = (weight[c, first : first + count] > 0).float().mean()
                    if float(labelled) < max(min_share, 1e-9):
                        continue
                    index.append(offset + c * item.n_frames + first + frame.clamp(max=count - 1))
                    length.append(count)
                    camera.append(cameras + c)
            tensors["xy"].append(torch.tensor(item.xy, dtype=torch.float32).flatten(0, 1))
            tensors["score"].append(torch.tensor(item.score, dtype=torch.float32).flatten(0, 1))
            tensors["pose"].append(pose.flatten(0, 1))
            tensors["weight"].append(weight.flatten(0, 1))
            for name in per_camera:
                per_camera[name].append(torch.tensor(getattr(item, name), dtype=torch.float32))
            offset += item.n_cameras * item.n_frames
            cameras += item.n_cameras
        self._data = {k: torch.cat(v).to(device) for k, v in tensors.items()}
        self._camera_data = {k: torch.cat(v).to(device) for k, v in per_camera.items()}
        self._index = (torch.stack(index) if index else torch.zeros(0, n_frames, dtype=torch.long)).to(device)
        self._length = torch.tensor(length, dtype=torch.long, device=device)
        self._camera = torch.tensor(camera, dtype=torch.long, device=device)

    def __len__(self) -> int:
        return len(self._index)

    def batch(self, clips: torch.Tensor) -> Batch:
        """Gather clips by their numbers."""
        clips = clips.to(self._index.device)
        where, camera = self._index[clips], self._camera[clips]
        real = (torch.arange(self.n_frames, device=where.device) < self._length[clips][:, None])[..., None]
        return Batch(
            xy=torch.where(real[..., None], self._data["xy"][where], torch.nan),
            score=self._data["score"][where] * real, K=self._camera_data["K"][camera],
            image_size=self._camera_data["image_size"][camera], pose_cam_m=self._data["pose"][where],
            weight=self._data["weight"][where] * real, up_cam=self._camera_data["up_cam"][camera],
        )  # fmt: skip


def mirrored(batch: Batch) -> Batch:
    """The picture in a mirror: x and the sides of the body exchanged, the principal point with them."""
    swap = torch.as_tensor(H36M17.flip_permutation, device=batch.xy.device)
    sign = batch.xy.new_tensor([-1.0, 1.0, 1.0])
    width = batch.image_size[:, 0]
    xy = batch.xy[:, :, swap].clone()
    xy[..., 0] = width[:, None, None] - 1 - xy[..., 0]
    K = batch.K.clone()
    K[:, 0, 2] = width - 1 - K[:, 0, 2]
    return replace(
        batch, xy=xy, score=batch.score[:, :, swap], K=K, pose_cam_m=batch.pose_cam_m[:, :, swap] * sign,
        weight=batch.weight[:, :, swap], up_cam=batch.up_cam * sign,
    )  # fmt: skip


def augment(batch: Batch, options: FinetuneOptions, generator: torch.Generator) -> Batch:
    """Vary clips at random: virtual views, mirror, roll, extra noise, hidden joints (see
    :class:`FinetuneOptions`).
    """
    n = len(batch)

    def chance(probability: float) -> torch.Tensor:
        return torch.rand(n, generator=generator).to(batch.xy.device) < probability

    if options.view_probability > 0:
        batch = _where(chance(options.view_probability), _virtual_view(batch, options, generator), batch)
    if options.roll_deg > 0:
        batch = _rolled(batch, torch.randn(n, generator=generator) * options.roll_deg)
    if options.flip_probability > 0:
        batch = _where(chance(options.flip_probability), mirrored(batch), batch)
    if options.noise > 0:
        extra = torch.randn(batch.xy.shape, generator=generator).to(batch.xy) * options.noise
        batch = replace(batch, xy=batch.xy + extra * _size_px(batch.xy)[:, None, None, None])
    if options.drop_probability > 0:
        hide = torch.rand(batch.score.shape, generator=generator).to(batch.xy.device) < options.drop_probability
        batch = replace(
            batch, xy=torch.where(hide[..., None], torch.nan, batch.xy),
            score=torch.where(hide, torch.zeros_like(batch.score), batch.score),
        )  # fmt: skip
    return batch


def _where(which: torch.Tensor, a: Batch, b: Batch) -> Batch:
    def pick(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.where(which.reshape(-1, *([1] * (x.ndim - 1))), x, y)

    return Batch(*(pick(getattr(a, f.name), getattr(b, f.name)) for f in fields(Batch)))


def _size_px(xy: torch.Tensor) -> torch.Tensor:
    """(N,) size of the athlete in the picture: root mean square distance of the joints from their mean,
    times 4.
    """
    seen = torch.isfinite(xy).all(-1, keepdim=True)
    clean = torch.where(seen, xy, xy.new_zeros(()))
    count = seen.sum((2, 3)).clamp(min=1)
    mean = clean.sum(2) / count[..., None]
    spread = torch.where(seen, (clean - mean[:, :, None]) ** 2, xy.new_zeros(())).sum((1, 2, 3))
    return 4.0 * torch.sqrt(spread / count.sum(1))


def _project(pose: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    h = torch.einsum("nij,ntkj->ntki", K, pose)
    return h[..., :2] / h[..., 2:].clamp(min=0.05)


def _axis_angle(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) rotations about unit axes (N, 3) by angles (N,) rad (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(-1, 3, 3)
    s, c = torch.sin(angle)[:, None, None], torch.cos(angle)[:, None, None]
    return torch.eye(3, dtype=axis.dtype, device=axis.device) + s * k + (1 - c) * (k @ k)


def _virtual_view(batch: Batch, options: FinetuneOptions, generator: torch.Generator) -> Batch:
    """The labelled motion from elsewhere, with the 2D errors that the detector made on this clip.

    The clip's own residuals (observation minus projected label) are carried over, scaled with the size of the
    picture: they are the detector's real errors with their correlation over time, and they keep missing
    joints missing. The label itself is exact for the new view by construction. Clips with an unknown vertical
    turn about the image's.
    """
    n, dev, dtype = len(batch), batch.xy.device, batch.xy.dtype
    turn = (torch.rand(n, generator=generator).to(dev, dtype) * 2 - 1) * torch.pi
    tilt = torch.deg2rad(torch.randn(n, generator=generator).to(dev, dtype) * options.view_tilt_deg)
    factor = torch.exp(torch.randn(n, generator=generator).to(dev, dtype) * options.view_log_distance)
    labelled = batch.weight > 0
    rooted = labelled[:, :, 0].to(dtype)
    centre = (batch.pose_cam_m[:, :, 0] * rooted[..., None]).sum(1) / rooted.sum(1).clamp(min=1)[:, None]
    known = batch.up_cam.norm(dim=-1, keepdim=True) > 0.5
    up = torch.where(known, batch.up_cam, batch.up_cam.new_tensor([0.0, -1.0, 0.0]))
    sideways = torch.linalg.cross(centre, up)
    sideways = torch.nn.functional.normalize(sideways, dim=-1)
    R = _axis_angle(sideways, tilt) @ _axis_angle(torch.nn.functional.normalize(up, dim=-1), turn)
    moved = torch.einsum("nij,ntkj->ntki", R, batch.pose_cam_m - centre[:, None, None])
    moved = moved + (centre * factor[:, None])[:, None, None]
    residual = batch.xy - _project(batch.pose_cam_m, batch.K)
    xy = _project(moved, batch.K) + residual / factor[:, None, None, None]
    # Without a label there is nothing to project; a view that comes too near the camera is not taken.
    xy = torch.where(labelled[..., None], xy, torch.nan)
    score = torch.where(labelled, batch.score, torch.zeros_like(batch.score))
    depth = torch.where(labelled, moved[..., 2], torch.inf).amin((1, 2))
    view = replace(
        batch, xy=xy, score=score, pose_cam_m=torch.where(labelled[..., None], moved, batch.pose_cam_m),
        up_cam=torch.einsum("nij,nj->ni", R, up) * known,
    )  # fmt: skip
    return _where((depth > 0.5) & (rooted.sum(1) > 0), view, batch)


def _rolled(batch: Batch, degrees: torch.Tensor) -> Batch:
    """Picture and label turned about the optical axis."""
    angle = torch.deg2rad(degrees).to(batch.xy)
    axis = batch.xy.new_tensor([0.0, 0.0, 1.0]).expand(len(batch), 3)
    R = _axis_angle(axis, angle)
    focal = batch.K[:, [0, 1], [0, 1]][:, None, None]
    centre = batch.K[:, :2, 2][:, None, None]
    rays = (batch.xy - centre) / focal
    xy = torch.einsum("nij,ntkj->ntki", R[:, :2, :2], rays) * focal + centre
    return replace(
        batch, xy=xy, pose_cam_m=torch.einsum("nij,ntkj->ntki", R, batch.pose_cam_m),
        up_cam=torch.einsum("nij,nj->ni", R, batch.up_cam),
    )  # fmt: skip

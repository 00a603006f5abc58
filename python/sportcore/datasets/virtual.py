"""Virtual recordings: motion-capture clips, varied and seen by random cameras through a detector-like noise.

Everything is batched torch code without a Python loop over clips, so that a training loop is bound by its network
and not by its data. All randomness comes from one generator: the same seed gives the same recordings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InputError, require
from ..skeletons import H36M17
from .bodies import vary_bodies, vary_motion
from .mocap import Mocap

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="train")

__all__ = [
    "NoiseOptions",
    "VirtualOptions",
    "VirtualRecordings",
    "VirtualSampler",
    "correlated_noise",
    "corrupt",
]

# Error of a detector per joint, relative to its mean over the body: smallest at shoulders and head, largest at wrists
# and ankles.
_JOINT_NOISE = {
    "pelvis": 0.9, "hip": 1.0, "knee": 1.0, "ankle": 1.4, "spine": 0.8, "thorax": 0.8, "nose": 0.8, "head": 0.9,
    "shoulder": 0.8, "elbow": 1.1, "wrist": 1.5,
}  # fmt: skip
JOINT_NOISE = tuple(_JOINT_NOISE[name.split("_")[-1]] for name in H36M17.joints)
_LEGS, _ARMS = (1, 2, 3, 4, 5, 6), (11, 12, 13, 14, 15, 16)


@dataclass(frozen=True)
class NoiseOptions:
    """What a 2D detector does to the true projections. Sizes are fractions of the person's height in the image.

    Attributes:
        sigma: (smallest, largest) standard deviation of the random error, drawn log-uniformly per clip.
        bias: standard deviation of an error per joint that stays the same during the clip.
        correlation: largest correlation of the random error from frame to frame; drawn from 0 to this per clip.
        bursts: probability per joint and clip that it is lost or badly placed for a stretch of frames.
        missing: largest rate of isolated misses; drawn per clip, squared, so that most clips have few.
        swaps: probability per clip of a stretch with left and right exchanged (legs, arms or both).
        cut: probability per clip that the track begins late or ends early.
        focal_error: standard deviation of the relative error of the focal length that is told to the model.
    """

    sigma: tuple[float, float] = (0.002, 0.025)
    bias: float = 0.008
    correlation: float = 0.97
    bursts: float = 0.04
    missing: float = 0.15
    swaps: float = 0.04
    cut: float = 0.05
    focal_error: float = 0.03


@dataclass(frozen=True)
class VirtualOptions:
    """How motion is varied and filmed.

    Attributes:
        n_frames: frames per clip.
        speed: (slowest, fastest) replay speed; with motion at 60 Hz, 0.5 is a camera with 120 frames per second.
        reverse: probability that a clip runs backwards in time.
        bone_spread: relative standard deviation of each group of bone lengths (left and right alike).
        proportions: how far the proportions of the data's one skeleton may move to those that detectors find on people
            (0 not, 1 from a third of the way to the other side to a third beyond).
        recombine: probability that the upper body comes from another clip.
        exaggerate: probability that the bones' swing about their mean direction is scaled by 0.7 to 1.5.
        bend: standard deviation of a constant rotation of each limb, rad.
        tilt: standard deviation of a constant lean of the whole body, rad.
        tumble: probability of an arbitrary orientation of the body (lying, upside down).
        definitions: how far trunk and head joints may move between the definitions of motion capture and detectors
            (0 keeps those of the data, 1 covers both).
        distance_m: (smallest, largest) distance of the camera, drawn log-uniformly.
        height_m: (lowest, highest) camera height above the floor.
        roll: standard deviation of the camera's roll, rad; four times this in a tenth of the clips.
        rolled: probability of a camera mounted askew, whose roll has a standard deviation of 0.35 rad.
        focal: (smallest, largest) focal length over the longer image side, drawn log-uniformly.
        noise: the detector; None for exact projections.
    """

    n_frames: int = 27
    speed: tuple[float, float] = (0.5, 2.0)
    reverse: float = 0.1
    bone_spread: float = 0.08
    proportions: float = 1.0
    recombine: float = 0.3
    exaggerate: float = 0.4
    bend: float = 0.12
    tilt: float = 0.06
    tumble: float = 0.03
    definitions: float = 1.0
    distance_m: tuple[float, float] = (2.2, 18.0)
    height_m: tuple[float, float] = (0.2, 4.5)
    roll: float = 0.08
    rolled: float = 0.3
    focal: tuple[float, float] = (0.55, 2.2)
    noise: NoiseOptions | None = NoiseOptions()

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise InputError(f"n_frames must be at least 1, got {self.n_frames}.")
        for key in ("speed", "distance_m", "focal"):
            low, high = getattr(self, key)
            if not 0 < low <= high:
                raise InputError(f"{key} must be (smallest, largest) with 0 < smallest <= largest, got {(low, high)}.")


@dataclass(frozen=True)
class VirtualRecordings:
    """A batch of clips, each seen by one camera. All tensors float32.

    Attributes:
        xy: (N, T, 17, 2) px, NaN where the detector missed the joint.
        score: (N, T, 17) in [0, 1], 0 where missing.
        K: (N, 3, 3) intrinsics as they would be told to a model.
        image_size: (N, 2) px, width and height.
        pose_cam_m: (N, T, 17, 3) true joints in the camera frame, metres.
        xy_true: (N, T, 17, 2) px, exact projections (with the true intrinsics).
    """

    xy: torch.Tensor
    score: torch.Tensor
    K: torch.Tensor
    image_size: torch.Tensor
    pose_cam_m: torch.Tensor
    xy_true: torch.Tensor


class VirtualSampler:
    """Draws virtual recordings from motion-capture clips.

    Args:
        mocap: the motion.
        options: how it is varied and filmed.
        seed: of all randomness.
        group_weights: how much more often frames of a group are drawn (default 1).
        device: where the motion is kept and the recordings are made.
    """

    def __init__(
        self, mocap: Mocap, options: VirtualOptions | None = None, *, seed: int = 0,
        group_weights: dict[str, float] | None = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.options = options or VirtualOptions()
        self.device = torch.device(device)
        clips = [c for c in mocap.clips if c.n_frames >= 2 or self.options.n_frames == 1]
        if not clips:
            raise InputError("The motion has no clip of two frames or more.")
        self._points = torch.cat([torch.from_numpy(c.points_world_m) for c in clips]).to(self.device)
        lengths = torch.tensor([c.n_frames for c in clips], dtype=torch.float32)
        self._offset = (lengths.cumsum(0) - lengths).to(self.device)
        weight = torch.tensor([(group_weights or {}).get(c.group, 1.0) for c in clips]) * lengths**0.75
        self._weight = (weight / weight.sum()).to(self.device)
        self._length = lengths.to(self.device)
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def state(self) -> torch.Tensor:
        """State of the generator, for resuming."""
        return self.generator.get_state()

    def set_state(self, state: torch.Tensor) -> None:
        """Continue where :meth:`state` was taken."""
        self.generator.set_state(state)

    def motion(self, n: int) -> torch.Tensor:
        """(n, T, 17, 3) varied motion, metres, Z up."""
        o, g, dev = self.options, self.generator, self.device
        clip = torch.multinomial(self._weight, n, replacement=True, generator=g)
        speed = torch.exp(_uniform(g, (n,), math.log(o.speed[0]), math.log(o.speed[1]), dev))
        length = self._length[clip]
        span = torch.minimum(speed * (o.n_frames - 1), length - 1)
        first = torch.rand(n, generator=g, device=dev) * (length - 1 - span)
        steps = torch.linspace(0, 1, o.n_frames, device=dev) if o.n_frames > 1 else torch.zeros(1, device=dev)
        where = first[:, None] + span[:, None] * steps
        back = torch.rand(n, generator=g, device=dev) < o.reverse
        where = torch.where(back[:, None], where.flip(1), where)
        low = where.floor().clamp(max=(length - 1)[:, None] - 1e-3).floor()
        part = (where - low)[..., None, None]
        index = (low + self._offset[clip][:, None]).long()
        upper = torch.minimum(index + 1, (self._offset + self._length)[clip][:, None].long() - 1)
        pose = self._points[index] * (1 - part) + self._points[upper] * part
        mirrored = torch.rand(n, generator=g, device=dev) < 0.5
        flipped = pose[:, :, torch.as_tensor(H36M17.flip_permutation, device=dev)].clone()
        flipped[..., 0] *= -1
        pose = torch.where(mirrored[:, None, None, None], flipped, pose)
        pose = vary_motion(pose, g, recombine=o.recombine, exaggerate=o.exaggerate, bend=o.bend)
        return vary_bodies(
            pose,
            g,
            bone_spread=o.bone_spread,
            proportions=o.proportions,
            definitions=o.definitions,
            tilt=o.tilt,
            tumble=o.tumble,
        )

    def sample(self, n: int) -> VirtualRecordings:
        """``n`` varied clips, each filmed by its own random camera and seen by the noisy detector."""
        pose = self.motion(n)
        recordings = self._film(pose)
        if self.options.noise is None:
            return recordings
        return corrupt(recordings, self.options.noise, self.generator)

    def _film(self, pose: torch.Tensor) -> VirtualRecordings:
        o, g, dev, n = self.options, self.generator, self.device, len(pose)
        middle = pose[:, pose.shape[1] // 2, :1].clone()
        lowest = pose[:, :, [3, 6], 2].amin((1, 2))
        pose = pose - middle[:, None]
        reach = pose.norm(dim=-1).amax((1, 2))
        distance = torch.exp(_uniform(g, (n,), math.log(o.distance_m[0]), math.log(o.distance_m[1]), dev))
        distance = torch.maximum(distance, reach + 1.0)
        floor = middle[:, 0, 2] - lowest
        drop = torch.clamp(_uniform(g, (n,), *o.height_m, dev) - floor, min=-0.6, max=4.0)
        sine = torch.clamp(drop / distance, -0.3, 0.8)
        azimuth = _uniform(g, (n,), -math.pi, math.pi, dev)
        cosine = torch.sqrt(1 - sine**2)
        to_camera = torch.stack([cosine * torch.cos(azimuth), cosine * torch.sin(azimuth), sine], -1)
        forward = -to_camera
        up = torch.tensor([0.0, 0.0, 1.0], device=dev).expand(n, 3)
        right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
        down = torch.linalg.cross(forward, right)
        R = torch.stack([right, down, forward], 1)
        # Where in the picture the person stands, and the picture itself.
        focal = torch.exp(_uniform(g, (n,), math.log(o.focal[0]), math.log(o.focal[1]), dev))
        portrait = torch.rand(n, generator=g, device=dev) < 0.2
        long_px = torch.tensor(1920.0, device=dev).expand(n)
        short_px = torch.where(torch.rand(n, generator=g, device=dev) < 0.15, 1440.0, 1080.0)
        size = torch.stack([torch.where(portrait, short_px, long_px), torch.where(portrait, long_px, short_px)], -1)
        f_px = focal * long_px
        half_view = size / 2 / f_px[:, None]
        pan = torch.atan(half_view[:, 0] * _uniform(g, (n,), -0.8, 0.8, dev))
        pitch = torch.atan(half_view[:, 1] * _uniform(g, (n,), -0.6, 0.6, dev))
        wide = torch.rand(n, generator=g, device=dev) < 0.1
        spread = torch.where(wide, 4.0, 1.0) * o.roll
        spread = torch.where(torch.rand(n, generator=g, device=dev) < o.rolled, 0.35, spread)
        roll = torch.randn(n, generator=g, device=dev) * spread
        R = _turn("z", roll) @ _turn("x", pitch) @ _turn("y", pan) @ R
        t = distance[:, None] * torch.einsum("nij,nj->ni", R, forward)
        cam = torch.einsum("nij,ntkj->ntki", R, pose) + t[:, None, None]
        centre = (size - 1) / 2
        K = torch.zeros(n, 3, 3, device=dev)
        K[:, 0, 0] = K[:, 1, 1] = f_px
        K[:, :2, 2] = centre
        K[:, 2, 2] = 1
        xy = cam[..., :2] / cam[..., 2:].clamp(min=0.1) * f_px[:, None, None, None] + centre[:, None, None]
        return VirtualRecordings(xy, torch.ones_like(xy[..., 0]), K, size, cam, xy)


def corrupt(recordings: VirtualRecordings, noise: NoiseOptions, generator: torch.Generator) -> VirtualRecordings:
    """What a detector would report for exact projections (scores are only weakly informative, as in life)."""
    g, xy = generator, recordings.xy_true
    n, T, J = xy.shape[:3]
    dev = xy.device

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, device=dev)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, device=dev)

    # The person's height in the image, from its distance and the focal length (1.7 m).
    depth = recordings.pose_cam_m[..., 2].mean((1, 2))
    height = 1.7 * recordings.K[:, 0, 0] / depth
    joint = torch.tensor(JOINT_NOISE, device=dev)
    sigma = torch.exp(_uniform(g, (n,), math.log(noise.sigma[0]), math.log(noise.sigma[1]), dev))
    behind = recordings.pose_cam_m[..., 2] - recordings.pose_cam_m[..., 2].mean(-1, keepdim=True)
    spread = joint * (1 + 0.6 * (behind > 0.12)) * sigma[:, None, None]
    # Stretches of frames in which a joint is badly placed or lost.
    start, stretch = rand(n, 1, J) * T, 1 + rand(n, 1, J) * 0.6 * T
    frame = torch.arange(T, device=dev)[None, :, None]
    inside = (frame >= start) & (frame < start + stretch) & (rand(n, 1, J) < noise.bursts)
    lost = inside & (rand(n, 1, J) < 0.5)
    wild = inside & ~lost
    spread = torch.where(wild, spread * 2 + 0.04, spread)
    rho = noise.correlation * torch.sqrt(rand(n))
    error = correlated_noise(rho, T, J * 2, g).reshape(n, T, J, 2) * spread[..., None]
    error = error + randn(n, 1, J, 2) * joint[:, None] * noise.bias
    # Most detectors find no trunk joints: these follow from hips, shoulders and nose, and so do their errors.
    derived = error.clone()
    derived[:, :, 0] = error[:, :, [1, 4]].mean(2)
    derived[:, :, 7] = error[:, :, [1, 4, 11, 14]].mean(2)
    derived[:, :, 8] = error[:, :, [11, 14]].mean(2) * (5 / 6) + error[:, :, 9] / 6
    error = torch.where(rand(n, 1, 1, 1) < 0.6, derived, error)
    seen = xy + error * height[:, None, None, None]
    # Left and right exchanged.
    kind = torch.randint(0, 3, (n, 1, 1), generator=g, device=dev)
    start, stretch = rand(n, 1, 1) * T, 2 + rand(n, 1, 1) * 0.4 * T
    swap = (frame >= start) & (frame < start + stretch) & (rand(n, 1, 1) < noise.swaps)
    limb = torch.zeros(3, J, dtype=torch.bool, device=dev)
    limb[0, list(_LEGS)] = limb[2, list(_LEGS)] = True
    limb[1, list(_ARMS)] = limb[2, list(_ARMS)] = True
    swap = swap & limb[kind[:, 0, 0]][:, None]
    seen = torch.where(swap[..., None], seen[:, :, torch.as_tensor(H36M17.flip_permutation, device=dev)], seen)
    # Scores: high, lower where the error is large, with a different habit in each clip.
    wrong = (error.norm(dim=-1) / 0.06).clamp(max=1.5)
    habit, slope = rand(n, 1, 1), 0.6 * rand(n, 1, 1)
    score = (1 - 0.35 * habit * rand(n, T, J) - slope * wrong).clamp(0.05, 1)
    score = torch.where(rand(n, 1, 1) < 0.25, torch.ones_like(score), score)
    rate = noise.missing * rand(n, 1, 1) ** 2
    lost = lost | (rand(n, T, J) < rate)
    start, stretch = rand(n, 1, 1) * T, 1 + rand(n, 1, 1) * 0.3 * T
    blank = (frame >= start) & (frame < start + stretch) & (rand(n, 1, 1) < noise.bursts)
    # A track that begins late or ends early.
    edge, begins = rand(n, 1, 1) * 0.85 * T, rand(n, 1, 1) < 0.5
    outside = torch.where(begins, frame < edge, frame >= T - edge)
    lost = lost | blank | (outside & (rand(n, 1, 1) < noise.cut))
    size = recordings.image_size[:, None, None]
    lost = lost | ((seen < -0.5) | (seen > size - 0.5)).any(-1)
    # Never everything: a clip keeps the frames of its true projections when too little is left.
    lost = lost & ((~lost).float().mean((1, 2)) > 0.1)[:, None, None]
    seen = torch.where(lost[..., None], torch.nan, seen)
    score = torch.where(lost, torch.zeros_like(score), score)
    K = recordings.K.clone()
    factor = torch.exp(randn(n) * noise.focal_error)
    K[:, 0, 0] *= factor
    K[:, 1, 1] *= factor
    return replace(recordings, xy=seen, score=score, K=K)


def correlated_noise(rho: torch.Tensor, n_frames: int, n_channels: int, generator: torch.Generator) -> torch.Tensor:
    """Stationary first-order autoregressive noise of unit variance.

    Args:
        rho: (N,) correlation from one frame to the next, in [0, 1).
        n_frames: T.
        n_channels: independent sequences D per clip.
        generator: of the randomness.

    Returns:
        (N, T, D).
    """
    white = torch.randn(len(rho), n_frames, n_channels, generator=generator, device=rho.device)
    t = torch.arange(n_frames, device=rho.device)
    lag = (t[:, None] - t[None]).clamp(min=0)
    weight = torch.tril(rho[:, None, None] ** lag)
    weight = torch.cat([weight[..., :1], weight[..., 1:] * torch.sqrt(1 - rho**2)[:, None, None]], -1)
    return weight @ white


def _uniform(g: torch.Generator, shape: tuple[int, ...], low: float, high: float, device: torch.device) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=g, device=device)


def _turn(axis: str, angle: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) rotations by ``angle`` (N,) rad about a coordinate axis."""
    c, s, o, z = torch.cos(angle), torch.sin(angle), torch.ones_like(angle), torch.zeros_like(angle)
    rows = {
        "x": (o, z, z, z, c, -s, z, s, c),
        "y": (c, z, s, z, o, z, -s, z, c),
        "z": (c, -s, z, s, c, z, z, z, o),
    }
    return torch.stack(rows[axis], -1).reshape(-1, 3, 3)

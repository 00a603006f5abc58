"""A moving articulated person with exactly constant bone lengths, as a function of time.

The person is built by forward kinematics from smooth joint angles, so a motion can be sampled at any time:
other frame rates and late cameras need no interpolation. World frame: metres, right-handed, Z up, floor at
z = 0; joints in Human3.6M-17 order. Segment lengths are fractions of stature after Drillis and Contini (1966),
as tabulated in Winter, *Biomechanics and Motor Control of Human Movement*, fig. 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sportcore.errors import InputError
from sportcore.synthetic._streams import stream

Array = NDArray[np.float64]
Sport = Literal["run", "walk", "jump", "planar", "stand_still"]
SPORTS: tuple[str, ...] = get_args(Sport)

# Rows of the Human3.6M-17 skeleton.
PELVIS, SPINE, THORAX, NOSE, HEAD = 0, 7, 8, 9, 10
LEGS = {"right": (1, 2, 3), "left": (4, 5, 6)}
ARMS = {"left": (11, 12, 13), "right": (14, 15, 16)}
SIDE = {"left": 1.0, "right": -1.0}
_GRAVITY = 9.81


@dataclass(frozen=True)
class BodyShape:
    """Segment lengths in metres of a body that stands ``height_m`` tall (floor to the top of the head)."""

    height_m: float
    ankle_height_m: float
    shank_m: float
    thigh_m: float
    hip_half_m: float
    spine_m: float
    thorax_m: float
    shoulder_half_m: float
    shoulder_drop_m: float
    neck_m: float
    head_m: float
    nose_forward_m: float
    upper_arm_m: float
    forearm_m: float

    @staticmethod
    def from_height(height_m: float = 1.75, seed: int | None = None, spread: float = 0.0) -> BodyShape:
        """Build the average body of a stature; with a seed each segment varies by ``spread`` (relative, 1 sigma).

        The head takes up what the other segments leave, so that the stature stays ``height_m``.
        """
        if not 0.5 < height_m < 2.6:
            raise InputError(f"height_m = {height_m} is not a human stature; give metres, e.g. 1.75")
        rng = stream(seed or 0, "body-shape")
        vary = np.clip(1 + spread * rng.normal(size=10), 0.8, 1.2) if seed is not None else np.ones(10)
        ankle, shank, thigh, hip, spine, thorax, shoulder, neck, upper, fore = (
            height_m * np.array([0.039, 0.246, 0.245, 0.0955, 0.145, 0.15, 0.115, 0.085, 0.186, 0.146]) * vary
        ).tolist()
        head = max(height_m - (ankle + shank + thigh + spine + thorax + neck), 0.04 * height_m)
        return BodyShape(
            height_m=height_m,
            ankle_height_m=ankle,
            shank_m=shank,
            thigh_m=thigh,
            hip_half_m=hip,
            spine_m=spine,
            thorax_m=thorax,
            shoulder_half_m=shoulder,
            shoulder_drop_m=0.01 * height_m,
            neck_m=neck,
            head_m=head,
            nose_forward_m=0.045 * height_m,
            upper_arm_m=upper,
            forearm_m=fore,
        )


def _rotation(axis: str, angle_rad: Array) -> Array:
    """Right-handed rotation matrices (T, 3, 3) about a coordinate axis."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    out = np.zeros((*angle_rad.shape, 3, 3))
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    out[..., i, i] = 1.0
    out[..., j, j] = out[..., k, k] = c
    out[..., k, j], out[..., j, k] = s, -s
    return out


@dataclass(frozen=True)
class _Angles:
    """Global segment rotations (T, 3, 3) and the pelvis position without its height (T, 2)."""

    ground: Array
    pelvis: Array
    torso: Array
    head: Array
    thigh: dict[str, Array]
    shank: dict[str, Array]
    upper_arm: dict[str, Array]
    forearm: dict[str, Array]
    flight_m: Array


def _pose(shape: BodyShape, angles: _Angles, flat: bool) -> Array:
    """Forward kinematics; the pelvis height follows from the lower foot, which touches the floor."""
    nose_forward = 0.0 if flat else shape.nose_forward_m
    joints = np.zeros((len(angles.ground), 17, 3))
    for side, (hip, knee, ankle) in LEGS.items():
        joints[:, hip] = angles.pelvis @ [0.0, SIDE[side] * shape.hip_half_m, 0.0]
        joints[:, knee] = joints[:, hip] + angles.thigh[side] @ [0.0, 0.0, -shape.thigh_m]
        joints[:, ankle] = joints[:, knee] + angles.shank[side] @ [0.0, 0.0, -shape.shank_m]
    joints[:, SPINE] = angles.pelvis @ [0.0, 0.0, shape.spine_m]
    joints[:, THORAX] = joints[:, SPINE] + angles.torso @ [0.0, 0.0, shape.thorax_m]
    joints[:, NOSE] = joints[:, THORAX] + angles.head @ [nose_forward, 0.0, shape.neck_m]
    joints[:, HEAD] = joints[:, NOSE] + angles.head @ [-nose_forward, 0.0, shape.head_m]
    for side, (shoulder, elbow, wrist) in ARMS.items():
        offset = [0.0, SIDE[side] * shape.shoulder_half_m, -shape.shoulder_drop_m]
        joints[:, shoulder] = joints[:, THORAX] + angles.torso @ offset
        joints[:, elbow] = joints[:, shoulder] + angles.upper_arm[side] @ [0.0, 0.0, -shape.upper_arm_m]
        joints[:, wrist] = joints[:, elbow] + angles.forearm[side] @ [0.0, 0.0, -shape.forearm_m]
    softness = 0.008  # metres over which the support passes from one foot to the other
    low = -softness * np.logaddexp(-joints[:, 3, 2] / softness, -joints[:, 6, 2] / softness)
    joints[..., :2] += angles.ground[:, None]
    joints[..., 2] += (shape.ankle_height_m - low + angles.flight_m)[:, None]
    return joints


class Motion:
    """A seeded motion of one body: ``motion.at(times_s)`` gives joints (T, 17, 3) in metres, H36M-17 order.

    sport: ``"run"`` and ``"walk"`` follow a turning figure of eight inside about 2.6 m; ``"jump"`` repeats
    counter-movement jumps with ballistic flight; ``"planar"`` is side-stepping with all seventeen joints in one
    vertical plane for all time (degenerate for calibration); ``"stand_still"`` is quiet standing with a sway of
    a few millimetres (degenerate as well).
    """

    def __init__(self, seed: int = 0, sport: str = "run", shape: BodyShape | None = None) -> None:
        """Draw the motion's parameters; raises InputError for an unknown sport."""
        if sport not in SPORTS:
            raise InputError(f"unknown sport {sport!r}; known are {', '.join(SPORTS)}")
        self.sport = sport
        self.seed = seed
        self.shape = shape or BodyShape.from_height(1.75)

    def at(self, times_s: ArrayLike) -> Array:
        """Joints (T, 17, 3) in metres at the given times (T,) in seconds, in any order."""
        t = np.asarray(times_s, float).reshape(-1)
        if not np.isfinite(t).all():
            raise InputError("times_s holds values that are not finite; give times in seconds")
        build = {"run": self._gait, "walk": self._gait, "jump": self._jump, "planar": self._planar}
        angles = build.get(self.sport, self._stand)(t)
        return _pose(self.shape, angles, flat=self.sport == "planar")

    def _wander(self, name: str, t: Array, amplitude: float, slowest_s: float = 5.0) -> Array:
        """Smooth random signal: five sinusoids with periods from slowest_s down to a quarter of it."""
        rng = stream(self.seed, self.sport, name)
        period = slowest_s / np.linspace(1.0, 4.0, 5) * rng.uniform(0.85, 1.15, 5)
        phase = rng.uniform(0, 2 * np.pi, 5)
        waves = np.sin(2 * np.pi * t[:, None] / period + phase)
        return np.asarray(amplitude * waves @ rng.uniform(0.5, 1.0, 5) / np.sqrt(1.5))

    def _path(self, t: Array, speed: float) -> Array:
        """Ground track (T, 2): a figure of eight that slowly turns; its speed never vanishes."""
        rng = stream(self.seed, self.sport, "path")
        turn0, phase0, drift = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.05)
        long, wide = 1.05, 0.65
        theta = phase0 + speed / 1.25 * t  # mean of |d path / d theta| is about 1.25 m
        x, y = long * np.sin(theta), wide * np.sin(2 * theta)
        turn = turn0 + drift * t
        return np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y], -1)

    def _gait(self, t: Array) -> _Angles:
        run = self.sport == "run"
        rng = stream(self.seed, self.sport, "gait")
        mean_speed = (2.3 if run else 1.1) * rng.uniform(0.9, 1.1)
        step = 1e-3
        velocity = (self._path(t + step, mean_speed) - self._path(t - step, mean_speed)) / (2 * step)
        speed = np.linalg.norm(velocity, axis=-1)
        yaw = _rotation("z", np.arctan2(velocity[:, 1], velocity[:, 0]))
        stride_hz = (1.25 if run else 0.85) * rng.uniform(0.92, 1.08)
        phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * stride_hz * t + self._wander("cadence", t, 0.35, 11.0)
        leg = self.shape.thigh_m + self.shape.shank_m
        reach = np.clip(speed / (leg * 2 * np.pi * stride_hz), 0.12, 0.62)  # the stance foot hardly slides
        lean = (0.14 if run else 0.04) + self._wander("lean", t, 0.03)
        pelvis = yaw @ _rotation("y", 0.6 * lean) @ _rotation("x", 0.05 * np.sin(phase))
        torso = (
            pelvis
            @ _rotation("y", 0.4 * lean + self._wander("bend", t, 0.05))
            @ _rotation("z", -0.35 * reach * np.sin(phase) + self._wander("twist", t, 0.07))
            @ _rotation("x", self._wander("tilt", t, 0.05))
        )
        head = torso @ _rotation("y", self._wander("nod", t, 0.1)) @ _rotation("z", self._wander("look", t, 0.25))
        thigh, shank, upper, fore = {}, {}, {}, {}
        for side, lag in (("right", 0.0), ("left", np.pi)):
            swing = phase + lag
            forward = reach * np.sin(swing) + (0.15 if run else 0.08)
            fold = (1.35 if run else 0.85) * np.exp(1.8 * (np.cos(swing + 0.5) - 1.0))
            thigh[side] = (
                yaw
                @ _rotation("y", -forward + self._wander(f"hip-{side}", t, 0.03))
                @ _rotation("x", SIDE[side] * (0.03 + self._wander(f"spread-{side}", t, 0.02)))
            )
            shank[side] = thigh[side] @ _rotation("y", 0.14 + fold * np.clip(reach / 0.4, 0.4, 1.2))
            arm = -(1.1 * reach + 0.05) * np.sin(swing)
            out = np.abs(0.14 + self._wander(f"abduct-{side}", t, 0.12))
            upper[side] = (
                torso @ _rotation("y", -arm + self._wander(f"arm-{side}", t, 0.15)) @ _rotation("x", SIDE[side] * out)
            )
            bend = np.abs((1.3 if run else 0.35) + 0.4 * arm + self._wander(f"elbow-{side}", t, 0.25))
            fore[side] = upper[side] @ _rotation("y", -bend)
        flight = 0.05 * (0.5 + 0.5 * np.cos(2 * phase + 0.6)) ** 2 if run else np.zeros_like(t)
        return _Angles(self._path(t, mean_speed), pelvis, torso, head, thigh, shank, upper, fore, flight)

    def _jump(self, t: Array) -> _Angles:
        rng = stream(self.seed, self.sport, "jump")
        period, airborne = rng.uniform(1.6, 2.0), rng.uniform(0.38, 0.48)
        clock = t + rng.uniform(0, period) + self._wander("rhythm", t, 0.05, 9.0)
        u = np.mod(clock, period)
        takeoff = 0.75

        def bump(centre: float, width: float) -> Array:
            gap = np.mod(u - centre + period / 2, period) - period / 2
            return np.asarray(np.exp(-0.5 * (gap / width) ** 2))

        aloft = np.clip(u - takeoff, 0.0, airborne)
        flight = 0.5 * _GRAVITY * aloft * (airborne - aloft)
        crouch = 0.9 * bump(takeoff - 0.28, 0.11) + 0.6 * bump(takeoff + airborne + 0.12, 0.09)
        heading = self._wander("heading", t, 0.9, 12.0) + rng.uniform(0, 2 * np.pi)
        ground = np.stack([self._wander("x", t, 0.45, 8.0), self._wander("y", t, 0.45, 7.0)], -1)
        yaw = _rotation("z", heading)
        pelvis = yaw @ _rotation("y", 0.45 * crouch + self._wander("lean", t, 0.03))
        torso = pelvis @ _rotation("y", 0.25 * crouch) @ _rotation("x", self._wander("tilt", t, 0.05))
        head = torso @ _rotation("y", -0.3 * crouch + self._wander("nod", t, 0.08))
        raise_arm = 2.3 * bump(takeoff + 0.1, 0.2) - 0.9 * bump(takeoff - 0.3, 0.12)
        thigh, shank, upper, fore = {}, {}, {}, {}
        for side in ("right", "left"):
            bend = 0.08 + crouch + np.abs(self._wander(f"hip-{side}", t, 0.04))
            thigh[side] = yaw @ _rotation("y", -bend) @ _rotation("x", SIDE[side] * np.full_like(t, 0.08))
            shank[side] = thigh[side] @ _rotation("y", 1.9 * bend)
            lift = raise_arm + self._wander(f"arm-{side}", t, 0.15)
            out = np.abs(0.2 + self._wander(f"abduct-{side}", t, 0.12))
            upper[side] = torso @ _rotation("y", -lift) @ _rotation("x", SIDE[side] * out)
            fore[side] = upper[side] @ _rotation("y", -0.3 - np.abs(self._wander(f"elbow-{side}", t, 0.2)))
        return _Angles(ground, pelvis, torso, head, thigh, shank, upper, fore, flight)

    def _planar(self, t: Array) -> _Angles:
        rng = stream(self.seed, self.sport, "planar")
        yaw = _rotation("z", np.full_like(t, rng.uniform(0, 2 * np.pi)))
        beat = 2 * np.pi * 0.9 * t + rng.uniform(0, 2 * np.pi)
        side_step = self._wander("x", t, 0.4, 6.0)
        ground = (yaw @ [0.0, 1.0, 0.0])[:, :2] * side_step[:, None]
        tilt = _rotation("x", self._wander("tilt", t, 0.06))
        pelvis = yaw @ tilt
        torso = pelvis @ _rotation("x", self._wander("bend", t, 0.08))
        head = torso @ _rotation("x", self._wander("nod", t, 0.1))
        thigh, shank, upper, fore = {}, {}, {}, {}
        for side in ("right", "left"):
            s = SIDE[side]
            thigh[side] = yaw @ _rotation("x", s * (0.22 + 0.16 * np.sin(beat)))
            shank[side] = thigh[side] @ _rotation("x", -s * 0.05 * (1 + np.sin(beat)))
            upper[side] = torso @ _rotation("x", s * (1.2 + 0.9 * np.sin(beat + 0.3)))
            fore[side] = upper[side] @ _rotation("x", s * (0.3 + 0.25 * np.sin(beat + 1.0)))
        return _Angles(ground, pelvis, torso, head, thigh, shank, upper, fore, np.zeros_like(t))

    def _stand(self, t: Array) -> _Angles:
        rng = stream(self.seed, self.sport, "stand")
        still = np.zeros_like(t)
        yaw = _rotation("z", np.full_like(t, rng.uniform(0, 2 * np.pi)))
        ground = np.stack([self._wander("x", t, 0.001, 6.0), self._wander("y", t, 0.001, 5.0)], -1)
        body = yaw @ _rotation("y", 0.02 + self._wander("sway", t, 0.0015, 6.0))
        down = yaw @ _rotation("y", still - 0.02)
        bent = yaw @ _rotation("y", still + 0.03)
        arm = {s: body @ _rotation("x", SIDE[s] * np.full_like(t, 0.12)) for s in ("right", "left")}
        fore = {s: arm[s] @ _rotation("y", np.full_like(t, -0.2)) for s in arm}
        sides = ("right", "left")
        return _Angles(ground, body, body, body, {s: down for s in sides}, {s: bent for s in sides}, arm, fore, still)


def athlete(
    frames: int = 300,
    fps: float = 50.0,
    seed: int = 0,
    sport: str = "run",
    *,
    height_m: float = 1.75,
) -> Array:
    """Joints (T, 17, 3) in metres of a moving person, Human3.6M-17 order, Z up, floor at z = 0.

    Bone lengths are constant to rounding. See :class:`Motion` for the sports. Raises InputError for an unknown
    sport, fewer than one frame, or a frame rate that is not positive.
    """
    if frames < 1 or not fps > 0:
        raise InputError(f"athlete needs frames >= 1 and fps > 0, got {frames} and {fps}")
    motion = Motion(seed, sport, BodyShape.from_height(height_m))
    return motion.at(np.arange(frames) / fps)

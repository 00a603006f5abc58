"""Metres, the vertical and the floor: what makes a calibration up to similarity into a place.

The world frame that comes out: origin on the floor under the athlete's mean position, z up, x horizontal and to the
right as the first camera sees it, y away from the first camera. Each part says where it comes from and how sure it is.

Vertical: four witnesses, joined on the tangent plane of the first guess.
  1. Body axis. In every frame the line from the ankles to the head or shoulders. While walking it leans along the
     heading; the regression ``axis_t = n + kappa heading_t`` separates the lean kappa (prior 0.04 +- 0.04) from n.
  2. Pelvis path: people keep their hips level over a level floor, so the path lies in a plane.
  3. Feet: the lower foot of each frame, while it rests, stands on a plane.
  4. Cameras: most are held level. The roll of each is taken to follow a Cauchy law of 3 degrees, so that the level ones
     agree and a tilted one is heard little. Where people walk upright this adds hardly anything; where they bend and
     balance it is what keeps the vertical.
A plane whose normal contradicts the body axis is left out, and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateError, InputError
from .anthropometry import ANKLE_HEIGHT, FOOT_HEIGHTS_M, mean_joint, stature_from_points

__all__ = ["Gauge", "GaugeOptions", "find_gauge"]

Floats = NDArray[np.float64]

DEFAULT_HEIGHT_M, DEFAULT_HEIGHT_SIGMA_M = 1.70, 0.10
CAMERA_ROLL_SCALE_DEG = 3.0  #: of the Cauchy law that the roll of cameras on tripods and shelves is taken to follow
PLANE_BIAS_M = 0.01  #: deviation of a level path from level over the area that it covers


@dataclass(frozen=True)
class GaugeOptions:
    """What is known of the scene's size; see :class:`sportcore.CalibrateOptions`."""

    height_m: float | None = None
    height_sigma_m: float = 0.01
    camera_distance: tuple[int, int, float] | None = None  #: (camera, camera, metres)
    bone: tuple[str, str, float] | None = None  #: (joint, joint, metres)


@dataclass(frozen=True, eq=False)
class Gauge:
    """The similarity ``x_world = scale * rotation @ x + translation``, with its sources.

    Attributes:
        scale: metres per unit.
        rotation: (3, 3).
        translation: (3,) m.
        scale_source: in words.
        scale_sigma_rel: relative standard deviation of the scale.
        gravity_source: in words.
        gravity_sigma_deg: standard deviation of the vertical, degrees.
        floor_source: in words.
        floor_sigma_m: standard deviation of the floor height, metres.
        stature_m: stature that the bones imply at this scale, m (NaN when not measured).
        warnings: what to know.
        details: numbers behind it.
    """

    scale: float
    rotation: Floats
    translation: Floats
    scale_source: str
    scale_sigma_rel: float
    gravity_source: str
    gravity_sigma_deg: float
    floor_source: str
    floor_sigma_m: float
    stature_m: float
    warnings: tuple[str, ...] = ()
    details: dict[str, object] = field(default_factory=dict)

    def apply(self, points: Floats) -> Floats:
        """Points (..., 3) of the old frame in the new one, metres."""
        return np.asarray(self.scale * points @ self.rotation.T + self.translation)

    def poses(self, R: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Camera poses (C, 3, 3), (C, 3) in the new frame."""
        R_new = R @ self.rotation.T
        return R_new, self.scale * t - np.einsum("cij,j->ci", R_new, self.translation)


def find_gauge(
    points: Floats, joints: Sequence[str], R: Floats, t: Floats, options: GaugeOptions | None = None
) -> Gauge:
    """Find metres, the vertical, the floor and the origin.

    Args:
        points: (T, J, 3) joints in an arbitrary frame and unit, NaN where missing.
        joints: J joint names.
        R: (C, 3, 3) camera rotations in that frame.
        t: (C, 3) camera translations in that frame and unit.
        options: what is known of the size.

    Raises:
        DegenerateError: the points do not contain what the size or the vertical would follow from.
        InputError: an option names a joint that is not there.
    """
    options = options or GaugeOptions()
    index = {name: i for i, name in enumerate(joints)}
    warnings: list[str] = []
    scale, scale_source, scale_sigma, unit_stature = _scale(points, index, R, t, options, warnings)
    metric = points * scale
    up, cov, gravity_source, details = _vertical(metric, index, R, warnings)
    stature = unit_stature * scale
    rotation = _upright(up, R[0])
    level = metric @ rotation.T
    floor, floor_sigma, floor_source = _floor(level, index, stature, warnings)
    centre = _mean_position(level)
    translation = -np.array([centre[0], centre[1], floor])
    sigma_deg = float(np.degrees(np.sqrt(np.trace(cov))))
    if sigma_deg > 3:
        warnings.append(
            f"The vertical is only known to {sigma_deg:.1f} degrees. Let the athlete walk upright, to and fro."
        )
    return Gauge(
        scale, rotation, translation, scale_source, scale_sigma, gravity_source, sigma_deg, floor_source, floor_sigma,
        float(stature), tuple(warnings), details,
    )  # fmt: skip


# ---- scale -----------------------------------------------------------------------------------------------------------


def _scale(
    points: Floats, index: dict[str, int], R: Floats, t: Floats, options: GaugeOptions, warnings: list[str]
) -> tuple[float, str, float, float]:
    stature, sigma_rel, _, votes = stature_from_points(points, index)
    if options.camera_distance is not None:
        a, b, metres = options.camera_distance
        centres = -np.einsum("cji,cj->ci", R, t)
        distance = float(np.linalg.norm(centres[a] - centres[b]))
        if not distance > 0:
            raise DegenerateError(
                "The two cameras of known_camera_distance_m stand at the same place.",
                "Name two cameras that stand apart, or give height_m.",
            )
        return metres / distance, f"distance of {metres:g} m between two cameras", 0.01 / metres, stature
    if options.bone is not None:
        a_name, b_name, metres = options.bone
        for name in (a_name, b_name):
            if name not in index:
                raise InputError(
                    f"known_bone names {name!r}, which is not among the joints.", f"There are: {', '.join(index)}."
                )
        length = np.linalg.norm(points[:, index[a_name]] - points[:, index[b_name]], axis=-1)
        length = length[np.isfinite(length) & (length > 0)]
        if length.size < 5:
            raise DegenerateError(
                f"The bone {a_name} to {b_name} was measured in {length.size} frames only.",
                "Name a bone that two cameras see more often, or give height_m.",
            )
        spread = 1.4826 * float(np.median(np.abs(length - np.median(length)))) / float(np.median(length))
        sigma = float(np.hypot(0.01 / metres, spread / np.sqrt(length.size) + 0.02))
        return metres / float(np.median(length)), f"{a_name} to {b_name} of {metres:g} m", sigma, stature
    if not np.isfinite(stature):
        raise DegenerateError(
            "The scale cannot be found: no leg, arm or trunk was reconstructed in five frames.",
            "Give known_camera_distance_m, or use a detector with hips, knees and ankles.",
        )
    spread = float(np.std(np.log(list(votes.values())))) if len(votes) > 1 else 0.0
    if spread > 0.15:
        warnings.append(
            f"The athlete's proportions are unusual (segments disagree by {100 * spread:.0f} %): "
            "the scale from the stature is less sure than stated."
        )
    if options.height_m is not None:
        sigma = float(np.hypot(sigma_rel, options.height_sigma_m / options.height_m))
        return options.height_m / stature, f"stature of {options.height_m:g} m", sigma, stature
    sigma = float(np.hypot(sigma_rel, DEFAULT_HEIGHT_SIGMA_M / DEFAULT_HEIGHT_M))
    warnings.append(
        f"No size was given, so the athlete was taken to be {DEFAULT_HEIGHT_M:.2f} m tall: all lengths are "
        f"uncertain by {100 * sigma:.0f} %. Give height_m, or one measured distance."
    )
    source = f"assumed stature of {DEFAULT_HEIGHT_M:.2f} +- {DEFAULT_HEIGHT_SIGMA_M:.2f} m"
    return DEFAULT_HEIGHT_M / stature, source, sigma, stature


# ---- vertical --------------------------------------------------------------------------------------------------------

_TOPS = (("head",), ("left_ear", "right_ear"), ("nose",), ("neck",), ("thorax",), ("left_shoulder", "right_shoulder"))
_BOTTOMS = (("left_ankle", "right_ankle"), ("left_knee", "right_knee"), ("left_hip", "right_hip"))
_PELVIS = (("left_hip", "right_hip"), ("pelvis",))


def _first(points: Floats, index: dict[str, int], choices: tuple[tuple[str, ...], ...]) -> Floats | None:
    for names in choices:
        p = mean_joint(points, index, names)
        if p is not None and np.isfinite(p).all(-1).sum() >= 5:
            return p
    return None


def _vertical(
    points: Floats, index: dict[str, int], R: Floats, warnings: list[str]
) -> tuple[Floats, Floats, str, dict[str, object]]:
    """Unit up vector, its 2x2 covariance (rad^2), the source in words, and the witnesses."""
    top, bottom, pelvis = (_first(points, index, c) for c in (_TOPS, _BOTTOMS, _PELVIS))
    if top is None or bottom is None:
        warnings.append(
            "No upright body axis was seen: the vertical is taken from how the cameras are held (10 degrees)."
        )
        up = -R[:, 1].mean(0)
        return up / np.linalg.norm(up), np.eye(2) * np.radians(10) ** 2 / 2, "cameras held level", {}
    up, tangent, information = _body_axis(top, bottom, pelvis)
    sources = ["body axis"]
    details: dict[str, object] = {
        "body_axis_sigma_deg": float(np.degrees(np.sqrt(np.trace(np.linalg.inv(information)))))
    }
    vector = np.zeros(2)
    total = information.copy()
    planes: list[tuple[str, Floats | None, bool]] = [
        ("pelvis path", pelvis, False),
        ("feet", _lower_foot(points, index, up), True),
    ]
    for name, path, lower in planes:
        fit = _plane(path, up, tangent, lower)
        if fit is None:
            continue
        slope, plane_information = fit
        gap = slope - np.linalg.solve(total, vector)
        spread = np.linalg.inv(total) + np.linalg.inv(plane_information)
        distance = float(np.sqrt(gap @ np.linalg.solve(spread, gap)))
        details[f"{name}_sigma_deg"] = float(np.degrees(np.sqrt(np.trace(np.linalg.inv(plane_information)))))
        details[f"{name}_gap_deg"] = float(np.degrees(np.linalg.norm(gap)))
        if distance > 4 and float(np.linalg.norm(gap)) > np.radians(3):
            warnings.append(
                f"The plane of the {name} leans {np.degrees(np.linalg.norm(gap)):.0f} degrees against the body axis; "
                "it was left out (a slope, stairs, or someone who bends down)."
            )
            continue
        total = total + plane_information
        vector = vector + plane_information @ slope
        sources.append(name)
    guess = np.linalg.solve(total, vector)
    step, covariance, levelled = _cameras_held_level(R, up, tangent, guess, np.linalg.inv(total))
    if levelled > 0:
        sources.append(f"{levelled} cameras held level")
    details["cameras_gap_deg"] = float(np.degrees(np.linalg.norm(step - guess)))
    up = up + tangent.T @ step
    return up / np.linalg.norm(up), covariance, " + ".join(sources), details


def _cameras_held_level(
    R: Floats, up: Floats, tangent: Floats, guess: Floats, covariance: Floats
) -> tuple[Floats, Floats, int]:
    """Join what the body says of the vertical with the habit of holding cameras level, by a posterior on a grid.

    Returns the mean step on the tangent plane, its covariance, and how many cameras are level within 4 degrees.
    """
    values, vectors = np.linalg.eigh(covariance)
    reach = np.minimum(4 * np.sqrt(values), np.radians(45))
    axis = np.linspace(-1, 1, 81)
    grid = np.stack(np.meshgrid(axis * reach[0], axis * reach[1], indexing="ij"), -1).reshape(-1, 2) @ vectors.T
    n = up + (guess + grid) @ tangent
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    roll = np.arcsin(np.clip(n @ R[:, 0].T, -1, 1))  # (N, C)
    cost = 0.5 * np.einsum("ni,ij,nj->n", grid, np.linalg.inv(covariance), grid)
    cost += np.log1p((roll / np.radians(CAMERA_ROLL_SCALE_DEG)) ** 2).sum(1)
    w = np.exp(cost.min() - cost)
    w /= w.sum()
    mean = w @ grid
    spread = (grid - mean).T @ ((grid - mean) * w[:, None])
    # Two cameras that look the same way share a habit, or a slope: never surer than this.
    spread += np.eye(2) * np.radians(0.2) ** 2
    final = up + (guess + mean) @ tangent
    level = np.degrees(np.abs(np.arcsin(np.clip(R[:, 0] @ final / np.linalg.norm(final), -1, 1)))) < 4
    return guess + mean, spread, int(level.sum())


def _body_axis(top: Floats, bottom: Floats, pelvis: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Up vector, tangent basis (2, 3), information (2, 2) from the direction ankles -> head."""
    axis = top - bottom
    length = np.linalg.norm(axis, axis=-1)
    good = np.isfinite(length) & (length > 0)  # head and feet in one point point nowhere
    u = axis[good] / length[good, None]
    heading = np.zeros_like(axis)
    if pelvis is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            velocity = _gradient(pelvis)
            speed = np.linalg.norm(velocity, axis=-1)
            typical = np.nanmedian(speed) if np.isfinite(speed).any() else 0.0
            heading = np.where((speed > 0.3 * typical)[:, None], velocity / speed[:, None], 0.0)
        heading = np.where(np.isfinite(heading).all(-1, keepdims=True), heading, 0.0)
    h = heading[good]
    n = np.median(u, axis=0)
    n /= np.linalg.norm(n)
    prior_mean, prior_sigma = 0.04, 0.04
    weights = np.ones(len(u))
    sigma = 0.1
    information = np.eye(2)
    tangent = _tangent(n)
    for _ in range(8):
        tangent = _tangent(n)
        level = h - (h @ n)[:, None] * n
        norm = np.linalg.norm(level, axis=-1, keepdims=True)
        level = np.where(norm > 0.3, level / np.maximum(norm, 1e-12), 0.0)
        y = (u / np.maximum((u @ n)[:, None], 0.2)) @ tangent.T  # (N, 2) lean
        a = level @ tangent.T  # (N, 2)
        # unknowns: two of the vertical, one lean along the heading
        A = np.zeros((len(u), 2, 3))
        A[:, 0, 0] = A[:, 1, 1] = 1.0
        A[:, :, 2] = a
        H = np.einsum("n,nki,nkj->ij", weights / sigma**2, A, A)
        g = np.einsum("n,nki,nk->i", weights / sigma**2, A, y)
        H[2, 2] += 1 / prior_sigma**2
        g[2] += prior_mean / prior_sigma**2
        x = np.linalg.solve(H, g)
        residual = y - np.einsum("nki,i->nk", A, x)
        r = np.linalg.norm(residual, axis=-1)
        sigma = max(float(np.median(r)) / 1.1774, 1e-4)
        weights = 1 / (1 + (r / (3 * sigma)) ** 2)
        effective = _effective_share(residual[:, 0]), _effective_share(residual[:, 1])
        covariance = np.linalg.inv(H)[:2, :2] / max(min(effective), 1.0 / len(u))
        n = n + tangent.T @ x[:2]
        n /= np.linalg.norm(n)
        # Posture has a bias that no number of frames removes.
        information = np.linalg.inv(covariance + np.eye(2) * np.radians(1.0) ** 2)
    return n, tangent, information


def _plane(path: Floats | None, up: Floats, tangent: Floats, lower: bool) -> tuple[Floats, Floats] | None:
    """Slope (2,) that the vertical must take on to stand on the path's plane, and its information, or None."""
    if path is None:
        return None
    p = path[np.isfinite(path).all(-1)]
    if len(p) < 20:
        return None
    xy, z = p @ tangent.T, p @ up
    A = np.column_stack([xy - xy.mean(0), np.ones(len(p))])
    weights = np.ones(len(p))
    x = np.zeros(3)
    residual = z
    sigma = 0.05
    for _ in range(12):
        H = np.einsum("n,ni,nj->ij", weights, A, A) + np.diag([1e-6, 1e-6, 0.0]) * len(p)
        x = np.linalg.solve(H, np.einsum("n,ni,n->i", weights, A, z))
        residual = z - A @ x
        sigma = max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), 0.003)
        # Feet may be above the floor, not below it: what is high says less.
        cut = np.where(residual > 0, 1.0 if lower else 2.5, 2.5) * sigma
        weights = 1 / (1 + (residual / cut) ** 2) ** 2
    slope = -x[:2]  # z = c + s.xy  ->  the normal leans by -s
    share = _effective_share(residual)
    centred = A[:, :2] - np.average(A[:, :2], axis=0, weights=weights)
    area = np.einsum("n,ni,nj->ij", weights, centred, centred) / weights.sum()
    extent2, vectors = np.linalg.eigh(area)
    extent2 = np.maximum(extent2, 1e-6)
    # A path is level to about a centimetre over the area walked, whatever the number of frames.
    variance = sigma**2 / (weights.sum() * share * extent2) + PLANE_BIAS_M**2 / extent2
    return slope, (vectors / variance) @ vectors.T


def _lower_foot(points: Floats, index: dict[str, int], up: Floats) -> Floats | None:
    """(T, 3) the lower ankle of each frame while it stands still; NaN otherwise."""
    if "left_ankle" not in index or "right_ankle" not in index:
        return None
    left, right = points[:, index["left_ankle"]], points[:, index["right_ankle"]]
    lower = (left @ up) <= (right @ up)  # False with NaN on either side
    path = np.where(lower[:, None], left, right)
    path[~(np.isfinite(left).all(-1) & np.isfinite(right).all(-1))] = np.nan
    with np.errstate(invalid="ignore"):
        speed = np.fmin(np.linalg.norm(_gradient(left), axis=-1), np.linalg.norm(_gradient(right), axis=-1))
        fast = np.fmax(np.linalg.norm(_gradient(left), axis=-1), np.linalg.norm(_gradient(right), axis=-1))
    if np.isfinite(fast).sum() < 10:
        return path
    moving = ~(speed < 0.5 * np.nanmedian(fast))
    if (~moving & np.isfinite(path[:, 0])).sum() >= 20:
        path[moving] = np.nan
    return path


# ---- floor, origin ---------------------------------------------------------------------------------------------------


def _floor(level: Floats, index: dict[str, int], stature: float, warnings: list[str]) -> tuple[float, float, str]:
    """Floor height, its sigma and source, in a frame with z up, metres."""
    height = stature if np.isfinite(stature) else DEFAULT_HEIGHT_M
    offsets = {"ankle": ANKLE_HEIGHT * height, **FOOT_HEIGHTS_M}
    votes, sigmas, used = [], [], []
    for part, offset in offsets.items():
        sides = [level[:, index[f"{s}_{part}"], 2] for s in ("left", "right") if f"{s}_{part}" in index]
        if not sides:
            continue
        lowest = np.min(np.stack(sides), axis=0)
        lowest = lowest[np.isfinite(lowest)]
        if lowest.size < 5:
            continue
        standing = float(np.percentile(lowest, 10))
        near = lowest[np.abs(lowest - standing) < 0.05]
        votes.append(standing - offset)
        sigmas.append(float(np.hypot(0.015, near.std() / np.sqrt(max(near.size / 10, 1)))) if near.size else 0.05)
        used.append(part)
    if not votes:
        z = level[..., 2][np.isfinite(level[..., 2])]
        warnings.append("No feet were reconstructed: the floor is taken under the lowest joint, uncertain by 10 cm.")
        return float(np.percentile(z, 1)) if z.size else 0.0, 0.10, "lowest joint"
    return float(np.median(votes)), float(np.median(sigmas)), " + ".join(used) + " standing"


def _mean_position(level: Floats) -> Floats:
    centre = np.array([np.nanmedian(p) if np.isfinite(p).any() else np.nan for p in np.moveaxis(level, -1, 0)])
    return np.nan_to_num(centre)


def _upright(up: Floats, R_first: Floats) -> Floats:
    """Rotation onto z up, x to the right of the first camera."""
    right = R_first[0] - (R_first[0] @ up) * up
    if np.linalg.norm(right) < 1e-6:  # the first camera is rolled by 90 degrees
        right = np.cross(R_first[2], up)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


# ---- small helpers ---------------------------------------------------------------------------------------------------


def _tangent(n: Floats) -> Floats:
    e = np.eye(3)[int(np.argmin(np.abs(n)))]
    a = np.cross(n, e)
    a /= np.linalg.norm(a)
    return np.stack([a, np.cross(n, a)])


def _gradient(path: Floats) -> Floats:
    return np.gradient(path, axis=0) if len(path) > 1 else np.zeros_like(path)


def _effective_share(residual: Floats) -> float:
    """Share of independent samples in a series, from its lag-one correlation."""
    if len(residual) < 4:
        return 1.0
    r = residual - residual.mean()
    power = float(r @ r)
    rho = float(r[1:] @ r[:-1]) / power if power > 0 else 0.0
    rho = min(max(rho, 0.0), 0.98)
    return (1 - rho) / (1 + rho)

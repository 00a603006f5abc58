"""What a monocular lifter says of the rotations between cameras: votes from the directions of bones.

A lifter sees the same bone from each camera, in that camera's frame: the rotation between the cameras carries one set
of directions onto the other (Wahba 1965; solved by the singular value decomposition, Kabsch 1976). Noise of single
frames averages out over a recording. Two things do not: left and right exchanged in one of the cameras, which is a
hypothesis for every frame here, and the tilt that a lifter gives to all that one camera sees, which stays in the stated
deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..skeletons import H36M17
from ..types import Rig
from .checks import Complaints

__all__ = ["RotationVote", "as_arguments", "check_votes", "exchanged_sides", "rotation_votes"]

Floats = NDArray[np.float64]

#: deviation of a camera's tilt, about any axis; two of them stand between the cameras of a pair
TILT_RAD = np.radians(4.0)
#: angle from which a direction says less and less, and the one that a frame may cost at most
BONE_RAD, FRAME_RAD = np.radians(25.0), np.radians(50.0)
SCALE2 = (2 * np.sin(BONE_RAD / 2)) ** 2
#: what the exchange of sides costs a frame, share of the most that a frame can cost
SWAP_COST = 0.05
FEWEST_FRAMES, MOST_FRAMES, BLOCKS = 8, 150, 5


@dataclass(frozen=True)
class RotationVote:
    """What a lifter says of one pair of cameras.

    Attributes:
        first: index of the first camera.
        second: index of the second camera.
        R: (3, 3) second from first.
        sigma_rad: deviation about each axis, the tilts of the two cameras included.
        misfit_rad: root mean square angle between the directions, outliers cut off.
        swapped_share: share of the frames in which left and right had to be exchanged in one of the two.
    """

    first: int
    second: int
    R: Floats
    sigma_rad: float
    misfit_rad: float
    swapped_share: float


def rotation_votes(poses_camera: ArrayLike) -> list[RotationVote]:
    """Votes of all pairs of cameras for the rotation between them.

    A pair gets a second vote where another rotation, far from the first, explains the directions nearly as well (a
    body seen with its sides exchanged looks much like one that faces the other way), and none where fewer than eight
    frames were lifted in both cameras or no rotation fits.

    Args:
        poses_camera: (C, T, 17, 3) Human3.6M joints in each camera's frame; lengths and origin do not matter. NaN where
            a camera saw nothing.

    Raises:
        InputError: another shape.
    """
    poses = np.asarray(poses_camera, float)
    if poses.ndim != 4 or poses.shape[2:] != (17, 3):
        raise InputError(f"poses must be (C, T, 17, 3), got {poses.shape}.")
    straight, crossed, seen = _bones(poses)
    votes: list[RotationVote] = []
    for i in range(len(poses)):
        for j in range(i + 1, len(poses)):
            frames = np.flatnonzero(seen[i] & seen[j])
            if len(frames) < FEWEST_FRAMES:
                continue
            frames = frames[:: max(1, -(-len(frames) // MOST_FRAMES))]
            a, b, c = (np.nan_to_num(x) for x in (straight[i, frames], straight[j, frames], crossed[j, frames]))
            votes.extend(RotationVote(i, j, *found) for found in _pair(a, b, c))
    return votes


def exchanged_sides(poses_camera: ArrayLike, votes: list[RotationVote]) -> NDArray[np.bool_]:
    """Camera-frames (C, T) whose left and right seem exchanged, from what pairs of cameras say of each frame.

    For each frame the assignment of sides that most agrees with the pairs, each by how much better the bones fit; of an
    assignment and its opposite, which are the same between the cameras, the one with fewer exchanges.

    Args:
        poses_camera: as for :func:`rotation_votes`.
        votes: of these poses; the first of each pair counts.
    """
    poses = np.asarray(poses_camera, float)
    straight, crossed, seen = _bones(poses)
    C, T = seen.shape
    gain = np.zeros((C, C, T))  # positive: the two agree when one of them is exchanged
    for vote in reversed(votes):
        i, j = vote.first, vote.second
        a = np.nan_to_num(straight[i])
        cost = [_frame_cost(vote.R, a, np.nan_to_num(b[j])) for b in (straight, crossed)]
        gain[i, j] = gain[j, i] = np.where(seen[i] & seen[j], cost[0] - cost[1], 0.0)
    best, sign = np.full(T, -np.inf), np.ones((C, T))
    for k in range(min(C, 8)):  # exchanged is -1; what camera k says of the others, then each by all the others
        trial = np.where(gain[k] > 0, -1.0, 1.0)
        for _ in range(3):
            for c in range(C):
                pull = -(gain[c] * trial).sum(0)
                trial[c] = np.where(pull == 0, trial[c], np.sign(pull))
        agreement = -np.einsum("ijt,it,jt->t", gain, trial, trial)
        better = agreement > best
        best = np.where(better, agreement, best)
        sign[:, better] = trial[:, better]
    exchanged = (sign < 0) & seen
    opposite = 2 * exchanged.sum(0) > seen.sum(0)
    return np.where(opposite, ~exchanged & seen, exchanged)


def as_arguments(votes: list[RotationVote]) -> tuple[NDArray[np.int32], Floats, Floats]:
    """(V, 2) cameras, (V, 3, 3) second from first and (V,) deviations, as the solver takes them."""
    return (
        np.array([(v.first, v.second) for v in votes], np.int32).reshape(-1, 2),
        np.array([v.R for v in votes]).reshape(-1, 3, 3),
        np.array([v.sigma_rad for v in votes], float),
    )


def check_votes(votes: list[RotationVote], rig: Rig, complaints: Complaints) -> list[list[float | None]]:
    """Angle (C, C), degrees, between each relative rotation and the nearest vote for it; warns of large ones."""
    out: list[list[float | None]] = [[None] * len(rig) for _ in rig]
    for vote in votes:
        i, j = vote.first, vote.second
        angle = float(np.degrees(_angle(vote.R @ (rig.R[j] @ rig.R[i].T).T)))
        known = out[i][j]
        out[i][j] = out[j][i] = angle if known is None else min(known, angle)
    for i in range(len(rig)):
        for j in range(i):
            angle_ij = out[i][j]
            if angle_ij is not None and angle_ij > 45:
                complaints.warn(
                    f"Cameras {rig.names[i]!r} and {rig.names[j]!r}: the monocular poses put them {angle_ij:.0f} "
                    "degrees away from the calibrated rotation; left and right may be exchanged in one of them."
                )
    return out


def _bones(poses: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(C, T, B, 3) directions, those with the sides exchanged, and (C, T) whether enough of them are there."""
    straight = _directions(poses)
    crossed = _directions(poses[:, :, H36M17.flip_permutation])
    return straight, crossed, np.isfinite(straight).all(-1).sum(-1) >= 8


def _frame_cost(R: Floats, a: Floats, b: Floats) -> Floats:
    """(F,) mean bounded cost of R a against b, both (F, B, 3), 0 where missing."""
    present = (a * a).sum(-1) * (b * b).sum(-1)
    chord2 = ((b - a @ R.T) ** 2).sum(-1)
    cost: Floats = (chord2 / (chord2 + SCALE2) * present).sum(-1) / np.maximum(present.sum(-1), 1)
    return cost


def _directions(poses: Floats) -> Floats:
    """(C, T, B, 3) unit vectors along the bones, NaN where a joint is missing."""
    a, b = H36M17.bone_indices.T
    with np.errstate(invalid="ignore", divide="ignore"):
        bones = poses[:, :, b] - poses[:, :, a]
        return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def _wahba(M: Floats) -> Floats:
    """(..., 3, 3) rotations R that are largest in tr(R' M), M = sum b a'."""
    U, _, Vt = np.linalg.svd(M)
    U[..., 2] *= np.sign(np.linalg.det(U @ Vt))[..., None]
    return U @ Vt


def _angle(R: Floats) -> Floats:
    return np.arccos(np.clip((np.trace(R, axis1=-2, axis2=-1) - 1) / 2, -1, 1))


def _pair(a: Floats, straight: Floats, crossed: Floats) -> list[tuple[Floats, float, float, float]]:
    """R, sigma, misfit and swapped share of one or two rotations that carry a onto b; each (F, B, 3), 0 where missing.

    Every frame, its sides exchanged or not, proposes a rotation; what all frames say of it decides, each at its better
    sides and with a bounded cost.
    """
    counts = np.maximum((a * a).sum((1, 2)), 1.0)  # directions in each frame
    M = np.stack([np.einsum("fbi,fbj->fij", b, a) for b in (straight, crossed)])  # (2, F, 3, 3)
    proposals = _wahba(M).reshape(-1, 3, 3)
    chord2 = 2 - 2 * np.einsum("hij,sfij->hsf", proposals, M) / counts  # mean squared chord of hypothesis, side, frame
    limit = (2 * np.sin(FRAME_RAD / 2)) ** 2
    cost = np.minimum(np.minimum(chord2[:, 0], chord2[:, 1] + SWAP_COST * limit), limit).mean(-1)
    best = proposals[int(cost.argmin())]
    found = [_refined(best, a, straight, crossed)]
    far = _angle(proposals @ found[0][0].T) > np.radians(60)
    if far.any():
        second = _refined(proposals[int(np.where(far, cost, np.inf).argmin())], a, straight, crossed)
        if _angle(second[0] @ found[0][0].T) > np.radians(60):
            found.append(second)
    found.sort(key=lambda f: f[1])
    kept = [f for f in found if f[1] < 1.2 * found[0][1] and f[2] < FRAME_RAD]
    return [(R, spread, misfit, share) for R, _, misfit, spread, share in kept]


def _refined(R: Floats, a: Floats, straight: Floats, crossed: Floats) -> tuple[Floats, float, float, float, float]:
    """Rotation, mean robust cost, misfit, deviation and swapped share, by reweighting from a start."""
    blocks = np.arange(len(a)) * BLOCKS // len(a)
    present = (a * a).sum(-1) * (straight * straight).sum(-1)
    for _ in range(12):
        chord2 = np.stack([((b - a @ R.T) ** 2).sum(-1) for b in (straight, crossed)])  # (2, F, B)
        robust = (chord2 / (chord2 + SCALE2) * present).sum(-1) / np.maximum(present.sum(-1), 1)
        swapped = robust[1] + SWAP_COST < robust[0]
        b = np.where(swapped[:, None, None], crossed, straight)
        chosen = np.where(swapped[:, None], chord2[1], chord2[0])
        weight = present / (1 + chosen / SCALE2) ** 2
        parts = np.einsum("fb,fbi,fbj->fij", weight, b, a)
        before, R = R, _wahba(parts.sum(0))
        if _angle(R @ before.T) < 1e-5:
            break
    # The deviation from what stretches of the recording say on their own, each axis a third.
    said = _wahba(np.stack([parts[blocks == k].sum(0) for k in range(BLOCKS)]))
    random2 = float(np.mean(np.minimum(_angle(said @ R.T), 1.0) ** 2)) / 3 / (BLOCKS - 1)
    total = max(float(weight.sum()), 1e-12)
    misfit = 2 * np.arcsin(min(1.0, 0.5 * np.sqrt(float((weight * chosen).sum()) / total)))
    cost = float(np.mean(np.where(swapped, robust[1] + SWAP_COST, robust[0])))
    share = float(swapped.mean())
    # Detectors seldom exchange sides cleanly: such frames are off together.
    sigma = np.sqrt(random2 + 2 * TILT_RAD**2 + (share * misfit) ** 2)
    return R, cost, float(misfit), float(sigma), share

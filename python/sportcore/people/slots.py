"""The tracks of one camera, packed by frame, and cut into pieces.

A recording has many short tracks but few people at a time, so everything works on (T, M, J) arrays, M being the most
tracks at once. A *piece* is what one track shows in one window of time; tracks are cut, besides, where they come close
to another one in the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cameras.anthropometry import calibration_joints
from ..errors import InputError
from ..points3d import unproject_points
from ..skeletons import H36M17
from ..types import Rig
from .types import PeopleTracks

__all__ = ["Slots", "close_frames", "match_cameras", "pack", "pieces"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_JOINTS = 4  #: fewer observed joints say nothing of a person
CLOSE = 0.5  #: two tracks are close when their joints lie this part of a body's size apart on average
CLOSE_FRAMES = 2  #: length of pieces while tracks are close: identities may be exchanged at any moment


@dataclass(frozen=True, eq=False)
class Slots:
    """One camera's tracks by frame.

    Attributes:
        px: (T, M, J, 2) px of the joints that carry the calibration, NaN where missing.
        xn: (T, M, J, 2) normalised, undistorted.
        weight: (T, M, J) score; 0 where missing.
        track: (T, M) index of the track, -1 where the slot is empty.
        size: (T, M) extent of the body in the image, px.
        focal: focal length, px.
        joints: indices of the J joints in the skeleton.
        bones: (T, M, 16, 3) unit bone directions in the frame of the camera, from monocular 3D; None without.
    """

    px: Floats
    xn: Floats
    weight: Floats
    track: Ints
    size: Floats
    focal: float
    joints: list[int]
    bones: Floats | None = None


def match_cameras(tracks: PeopleTracks, rig: Rig) -> Rig:
    """The cameras of the tracks, in their order: by name, or by position where no name fits.

    Raises:
        InputError: a camera of the tracks is not in the rig.
    """
    names = tracks.camera_names
    if not isinstance(rig, Rig):
        raise InputError(f"The cameras must be a Rig, got {type(rig).__name__}.")
    if all(n in rig.names for n in names):
        return rig.subset(names)
    if len(rig) == len(names) and not any(n in rig.names for n in names):
        return Rig(tuple(c.replace(name=n) for c, n in zip(rig, names, strict=True)))
    missing = [n for n in names if n not in rig.names]
    raise InputError(f"No camera for {', '.join(missing)}.", f"The rig has {', '.join(rig.names)}.")


def pack(
    tracks: PeopleTracks, rig: Rig, min_score: float, monocular_3d: Sequence[Sequence[ArrayLike]] | None = None
) -> list[Slots]:
    """The tracks of all cameras by frame.

    Raises:
        InputError: monocular poses that do not belong to the tracks.
    """
    joints = calibration_joints(tracks.skeleton)
    out = []
    if monocular_3d is not None and [len(m) for m in monocular_3d] != [len(x) for x in tracks.xy]:
        raise InputError("monocular_3d must have one array for each track of each camera.")
    for c, (camera, xys, scores) in enumerate(zip(rig, tracks.xy, tracks.score, strict=True)):
        T, J = tracks.n_frames, len(joints)
        present = np.zeros((len(xys), T), bool)
        for k, s in enumerate(scores):
            present[k] = (s[:, joints] >= max(min_score, 1e-9)).sum(-1) >= MIN_JOINTS
        most = int(present.sum(0).max(initial=0))
        px, weight = np.full((T, most, J, 2), np.nan), np.zeros((T, most, J))
        track = np.full((T, most), -1, np.int64)
        at = np.cumsum(present, axis=0) - 1
        for k, (x, s) in enumerate(zip(xys, scores, strict=True)):
            t = np.flatnonzero(present[k])
            m = at[k, t]
            w = np.where(s[t][:, joints] >= min_score, s[t][:, joints], 0.0)
            weight[t, m] = w
            px[t, m] = np.where((w > 0)[..., None], x[t][:, joints], np.nan)
            track[t, m] = k
        xn = unproject_points(camera, px.reshape(-1, 2)).reshape(px.shape) if px.size else px.copy()
        weight[~np.isfinite(xn).all(-1)] = 0.0
        with np.errstate(invalid="ignore"):
            low = np.where(np.isfinite(px), px, np.inf).min(2)
            high = np.where(np.isfinite(px), px, -np.inf).max(2)
            size = np.where(track >= 0, (high - low).max(-1), np.nan)
        focal = 0.5 * float(camera.K[0, 0] + camera.K[1, 1])
        bones = None
        if monocular_3d is not None:
            bones = np.full((T, most, len(H36M17.bone_indices), 3), np.nan)
            for k, pose in enumerate(monocular_3d[c]):
                t, m = np.nonzero(track == k)
                bones[t, m] = _bones(pose, T, f"camera {camera.name!r}, track {k}")[t]
        out.append(Slots(px, xn, weight, track, size, focal, joints, bones))
    return out


def _bones(pose: ArrayLike, frames: int, who: str) -> Floats:
    """(T, 16, 3) unit directions of the bones of (T, 17, 3) Human3.6M poses."""
    x = np.asarray(pose, np.float64)
    if x.shape != (frames, 17, 3):
        raise InputError(f"monocular_3d of {who} is {x.shape}, expected {(frames, 17, 3)}.")
    a, b = H36M17.bone_indices.T
    d = x[:, b] - x[:, a]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(d / np.linalg.norm(d, axis=-1, keepdims=True))


def close_frames(slots: Slots) -> NDArray[np.bool_]:
    """(T, M) whether another track is close in the image."""
    T, M = slots.track.shape
    out = np.zeros((T, M), bool)
    for a in range(M):
        for b in range(a):
            gap = np.linalg.norm(slots.px[:, a] - slots.px[:, b], axis=-1)
            n = np.isfinite(gap).sum(-1)
            mean = np.where(np.isfinite(gap), gap, 0.0).sum(-1) / np.maximum(n, 1)
            # Joints may be hidden in both: their middles tell as well.
            middle = np.linalg.norm(_middle(slots.px[:, a]) - _middle(slots.px[:, b]), axis=-1)
            reach = CLOSE * np.fmin(slots.size[:, a], slots.size[:, b])
            with np.errstate(invalid="ignore"):
                near = ((n >= 2) & (mean < reach)) | (middle < reach)
            out[:, a] |= near
            out[:, b] |= near
    return out


def _middle(px: Floats) -> Floats:
    seen = np.isfinite(px[..., 0])
    total = np.where(seen[..., None], px, 0.0).sum(-2)
    n = seen.sum(-1)
    return np.where((n > 0)[..., None], total / np.maximum(n, 1)[..., None], np.nan)


def pieces(slots: Slots, edges: Ints | None) -> tuple[Ints, Ints, int]:
    """Cut the tracks.

    Args:
        slots: of one camera.
        edges: first frames of the windows, beginning with 0; None cuts only where tracks come close or have gaps.

    Returns:
        (T, M) index of the piece (-1 where empty), (N,) track of each piece, and N.
    """
    T, _ = slots.track.shape
    piece = np.full(slots.track.shape, -1, np.int64)
    close = close_frames(slots)
    window = np.zeros(T, np.int64) if edges is None else np.searchsorted(edges, np.arange(T), side="right")
    owner: list[int] = []
    for k in range(int(slots.track.max(initial=-1)) + 1):
        t, m = np.nonzero(slots.track == k)
        if not len(t):
            continue
        near = close[t, m]
        # A new piece with a new window, every few frames of closeness, and after a gap.
        new = np.zeros(len(t), bool)
        new[0] = True
        new[1:] = (window[t[1:]] != window[t[:-1]]) | (near[1:] != near[:-1]) | (np.diff(t) > 3)
        new = np.append(new, False)
        runs = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(np.int8), [0]])))
        for a, b in zip(runs[::2], runs[1::2], strict=True):
            new[a : b + 1 : CLOSE_FRAMES] = True
        number = np.cumsum(new[:-1]) - 1
        piece[t, m] = number + len(owner)
        owner += [k] * int(new[:-1].sum())
    return piece, np.array(owner, np.int64), len(owner)

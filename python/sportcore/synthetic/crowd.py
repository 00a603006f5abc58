"""Several athletes who cross in every image, and what tracks a 2D tracker makes of them.

The athletes run on concentric closed paths, in both directions, so that they pass each other in every view without
walking through one another. Bystanders stand outside the ring of paths. :func:`mixed_tracks` does to the truth what
trackers do: identities in another order in every camera, lost behind other people, broken, and exchanged where two
people meet in the image. What was done is kept beside the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.synthetic._streams import stream
from sportcore.synthetic.body import BodyShape, Motion
from sportcore.synthetic.scene import observe
from sportcore.types import Rig

__all__ = ["Crowd", "CrowdTracks", "crowd", "mixed_tracks"]

Array = NDArray[np.float64]


class _Lap(Motion):
    """Gait on a closed path of its own."""

    def __init__(self, seed: int, sport: str, shape: BodyShape, radius: float, phase: float, way: float) -> None:
        super().__init__(seed, sport, shape)
        self.radius, self.phase, self.way = radius, phase, way

    def _path(self, t: Array, speed: float) -> Array:
        angle = self.phase + self.way * speed / self.radius * t
        r = self.radius * (1 + 0.08 * np.sin(3 * angle))  # the same shape for all: paths do not meet
        return np.stack([r * np.cos(angle), r * np.sin(angle)], -1)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Athletes and bystanders.

    Attributes:
        athletes_m: (P, T, 17, 3) metres, Human3.6M-17, Z up.
        bystanders_m: (B, T, 17, 3) metres.
        heights_m: (P,) statures of the athletes.
        fps: frames per second.
    """

    athletes_m: Array
    bystanders_m: Array
    heights_m: Array
    fps: float


def crowd(people: int = 3, frames: int = 300, fps: float = 25.0, seed: int = 0, *, bystanders: int = 0) -> Crowd:
    """Athletes who walk and run among each other, and people who stand around.

    Args:
        people: athletes, 1 to 4.
        frames: T.
        fps: frames per second.
        seed: keys everything.
        bystanders: people standing 3.6 to 4.4 m from the centre.

    Raises:
        InputError: a number that makes no scene.
    """
    if not 1 <= people <= 4 or frames < 1 or not fps > 0 or bystanders < 0:
        raise InputError("crowd needs 1 to 4 people, frames >= 1, fps > 0 and no negative number of bystanders.")
    rng = stream(seed, "crowd", people)
    times = np.arange(frames) / fps
    radii = 0.65 + 0.55 * np.arange(people) + rng.uniform(-0.04, 0.04, people)
    turn = rng.permutation(people)
    heights = rng.uniform(1.58, 1.95, people)
    athletes = []
    for p in range(people):
        sport = "run" if (p + seed) % 2 else "walk"
        shape = BodyShape.from_height(float(heights[p]), seed * 10 + p, 0.03)
        way = 1.0 if turn[p] % 2 else -1.0
        lap = _Lap(seed * 10 + p, sport, shape, float(radii[p]), float(rng.uniform(0, 2 * np.pi)), way)
        athletes.append(lap.at(times))
    standing = []
    for b in range(bystanders):
        still = Motion(seed * 10 + 100 + b, "stand_still", BodyShape.from_height(float(rng.uniform(1.6, 1.9)))).at(
            times
        )
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(3.6, 4.4)
        standing.append(still + np.array([away * np.cos(angle), away * np.sin(angle), 0.0]))
    return Crowd(np.stack(athletes), np.array(standing).reshape(-1, frames, 17, 3), heights, fps)


@dataclass(frozen=True, eq=False)
class CrowdTracks:
    """Tracks per camera, and who they are.

    Attributes:
        xy: per camera a list of (T, 17, 2) px, NaN where missing.
        score: per camera a list of (T, 17).
        truth: per camera a list of (T,) person of the track in each frame: 0 to P - 1 the athletes, P and up the
            bystanders, -1 where the track has nothing.
        exchanges: number of exchanged identities in all cameras.
    """

    xy: tuple[list[Array], ...]
    score: tuple[list[Array], ...]
    truth: tuple[list[NDArray[np.int64]], ...]
    exchanges: int

    def frames(self, camera: int, seed: int = 0) -> list[tuple[Array, Array]]:
        """The detections of one camera frame by frame, in random order, as a detector gives them."""
        out = []
        xy, score = np.stack(self.xy[camera]), np.stack(self.score[camera])
        rng = stream(seed, "order", camera)
        for t in range(xy.shape[1]):
            here = rng.permutation(np.flatnonzero((score[:, t] > 0).any(-1)))
            out.append((xy[here, t], score[here, t]))
        return out


def mixed_tracks(
    scene: Crowd,
    rig: Rig,
    seed: int = 0,
    *,
    sigma_px: float = 2.0,
    outliers: float = 0.05,
    missing: float = 0.10,
    occlusion: float = 0.7,
    exchange: float = 0.5,
    cut: float = 0.3,
    bystander_cameras: Sequence[Sequence[int] | None] | None = None,
) -> CrowdTracks:
    """Observe a crowd and make a tracker's tracks of it.

    Args:
        scene: who moves.
        rig: cameras with their true poses.
        seed: keys noise and mistakes.
        sigma_px, outliers, missing: as in :func:`sportcore.synthetic.observe`, for every person.
        occlusion: chance that a joint behind a nearer person is missing; who is covered by more than two thirds is
            not detected at all.
        exchange: chance that two tracks exchange their identities when the people have met in an image.
        cut: chance that a track breaks there (in two, or between two new tracks where it was exchanged too).
        bystander_cameras: for each bystander the cameras that see it; None leaves it to the field of view.
    """
    everybody = np.concatenate([scene.athletes_m, scene.bystanders_m])
    n, frames = everybody.shape[:2]
    athletes = len(scene.athletes_m)
    seen = [
        observe(
            body, rig, seed * 100 + p, sigma_px=sigma_px, outliers=outliers, missing=missing, correlation=0.6,
            fps=scene.fps,
        )
        for p, body in enumerate(everybody)
    ]  # fmt: skip
    all_xy, all_score, all_truth, exchanges = [], [], [], 0
    for c, camera in enumerate(rig):
        rng = stream(seed, "tracks", c)
        xy = np.stack([k.xy[c] for k, _ in seen])
        score = np.stack([k.score[c] for k, _ in seen])
        for b, cameras in enumerate(bystander_cameras or ()):
            if cameras is not None and c not in cameras:
                score[athletes + b] = 0.0
        depth = everybody[..., 0, :] @ camera.R[2] + camera.t[2]  # (n, T)
        box = _boxes(np.stack([t.xy_true[c] for _, t in seen]))
        score[_hidden(box, depth, np.stack([t.xy_true[c] for _, t in seen]), rng, occlusion)] = 0.0
        score[(score > 0).sum(-1) < 4] = 0.0  # too little for a detector
        xy[score <= 0] = np.nan
        # Who is carried by which track; tracks meet, exchange and break.
        carried = [[int(p)] for p in rng.permutation(n)]  # per track: person of the running stretch
        tracks: list[list[tuple[int, int, int]]] = [[] for _ in range(n)]  # (person, from, to)
        start = [0] * n
        finished: list[list[tuple[int, int, int]]] = []
        close = _overlap(box) > 0.25  # (n, n, T)
        for a in range(n):
            for b in range(a):
                if depth[a].max() < 0 or depth[b].max() < 0:
                    close[a, b] = close[b, a] = False
        for t in range(1, frames):
            for a in range(n):
                for b in range(a):
                    parted = close[a, b, t - 1] and not close[a, b, t]
                    if not parted or not (score[a, :t] > 0).any() or not (score[b, :t] > 0).any():
                        continue
                    i = next(k for k in range(n) if carried[k][0] == a)
                    j = next(k for k in range(n) if carried[k][0] == b)
                    if rng.random() < exchange:
                        for k in (i, j):
                            tracks[k].append((carried[k][0], start[k], t))
                            start[k] = t
                        carried[i], carried[j] = carried[j], carried[i]
                        exchanges += 1
                    for k in (i, j):
                        if rng.random() < cut:
                            tracks[k].append((carried[k][0], start[k], t))
                            finished.append(tracks[k])
                            tracks[k], start[k] = [], t
        for k in range(n):
            tracks[k].append((carried[k][0], start[k], frames))
            finished.append(tracks[k])
        xys, scores, truths = [], [], []
        for stretches in finished:
            x, s, who = np.full((frames, 17, 2), np.nan), np.zeros((frames, 17)), np.full(frames, -1, np.int64)
            for p, t0, t1 in stretches:
                x[t0:t1], s[t0:t1] = xy[p, t0:t1], score[p, t0:t1]
                who[t0:t1] = np.where((score[p, t0:t1] > 0).any(-1), p, -1)
            if (who >= 0).any():
                xys.append(x)
                scores.append(s)
                truths.append(who)
        order = rng.permutation(len(xys))
        all_xy.append([xys[i] for i in order])
        all_score.append([scores[i] for i in order])
        all_truth.append([truths[i] for i in order])
    return CrowdTracks(tuple(all_xy), tuple(all_score), tuple(all_truth), exchanges)


def _boxes(xy: Array) -> Array:
    """(n, T, 4) x0, y0, x1, y1 around the joints (n, T, J, 2); NaN where a joint is behind the camera."""
    return np.concatenate([xy.min(2), xy.max(2)], -1)


def _overlap(box: Array) -> Array:
    """(n, n, T) common area over the smaller area."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.maximum(box[:, None, :, :2], box[None, :, :, :2])
        high = np.minimum(box[:, None, :, 2:], box[None, :, :, 2:])
        common = np.clip(high - low, 0, None).prod(-1)
        area = np.clip(box[..., 2:] - box[..., :2], 0, None).prod(-1)
        return np.nan_to_num(common / np.minimum(area[:, None], area[None]))


def _hidden(box: Array, depth: Array, xy: Array, rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """(n, T, J) joints behind a nearer body."""
    n, frames, joints = xy.shape[:3]
    out = np.zeros((n, frames, joints), bool)
    draw = rng.random((n, frames, joints))
    centre, half = 0.5 * (box[..., :2] + box[..., 2:]), 0.5 * (box[..., 2:] - box[..., :2])
    for a in range(n):
        for b in range(n):
            if a == b:
                continue
            nearer = (depth[b] < depth[a]) & (depth[b] > 0)
            reach = half[b] * np.array([0.7, 0.95])  # a body does not fill its box
            with np.errstate(invalid="ignore"):
                inside = (np.abs(xy[a] - centre[b][:, None]) < reach[:, None]).all(-1) & nearer[:, None]
            out[a] |= inside & (draw[a] < share)
            out[a][inside.mean(-1) > 0.66] = True
    return out

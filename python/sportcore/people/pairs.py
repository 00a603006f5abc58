"""How two cameras stand to each other when it is not known who is who.

Two tracks of the same person obey one essential matrix for all time; a wrong pair may obey some matrix for a moment,
but that one then explains none of the other people. So: a matrix is estimated from one candidate pair of tracks
(five-point solver in RANSAC, :func:`sportcore._core.estimate_essential`), and judged by what it explains of *all*
tracks of the two cameras when each piece of a track may choose its partner. The best is estimated again from everything
that it explained.

The score of a pair of pieces is the sum over their joint observations of ``1 - (r / tau)^2``, not below -1, with r the
Sampson distance in px: positive when most of what they show together fits. Where monocular 3D is given, each bone adds
``1 - (angle / 35 deg)^2`` with half the weight, the angle being that between its direction in one camera, turned by the
relative rotation, and in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .slots import Slots, pieces

__all__ = ["Geometry", "PairPose", "PieceScores", "consistent_pairs", "find_pair_pose", "geometry_of", "piece_scores"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_WINDOWS, FRAMES_PER_WINDOW = 60, 4  #: on which a hypothesis is judged
MAX_HYPOTHESES, CONFIRMED = 30, 2  #: search ends when so many other hypotheses have led to the same
WEAK_SHARE = 0.45  #: of the best pair's share; weaker pairs are used only where nothing else connects two cameras
MAX_CLOSURE_DEG = 15.0  #: of the rotations around three cameras
MOST_GROUPS = 1000  #: pairs of tracks that are looked at
FIT_FRAMES, FIT_POINTS = 24, 1500
BONE_ANGLE, BONE_WEIGHT = np.radians(35.0), 0.5  #: of monocular bone directions that no longer agree; per bone
FLIP_PENALTY = 0.25  #: per joint: what must be gained by exchanging left and right


@dataclass(frozen=True, eq=False)
class PairPose:
    """Camera b as seen from camera a.

    Attributes:
        cameras: (a, b).
        R, t: x_b = R x_a + t, |t| = 1.
        share: of what the cameras could have in common, the part that fits (0 to 1).
        sigma_px: deviation of the residuals that fit.
        parallax_rad: median angle between the rays.
        n: joint observations that fit.
    """

    cameras: tuple[int, int]
    R: Floats
    t: Floats
    share: float
    sigma_px: float
    parallax_rad: float
    n: int


@dataclass(frozen=True, eq=False)
class PieceScores:
    """Sparse scores of pairs of pieces: piece a[k] of one camera and b[k] of the other share n[k] observations."""

    a: Ints
    b: Ints
    score: Floats
    n: Ints


class Geometry(NamedTuple):
    """Relative pose of two cameras as the scores need it: E (3, 3) and R (3, 3)."""

    E: Floats
    R: Floats


def geometry_of(R: Floats, t: Floats) -> Geometry:
    """E = [t]x R, and R."""
    R, t = np.asarray(R), np.asarray(t)
    return Geometry(np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ R, R)


def residuals(E: Floats, x1: Floats, x2: Floats, f1: float, f2: float) -> Floats:
    """Sampson distances (F, M1, M2, J) px of all pairs of (F, M1, J, 2) and (F, M2, J, 2)."""
    l2 = x1 @ E[:, :2].T + E[:, 2]  # (F, M1, J, 3)
    l1 = x2 @ E[:2] + E[2]  # (F, M2, J, 3)
    top = (
        l2[:, :, None, :, 0] * x2[:, None, :, :, 0] + l2[:, :, None, :, 1] * x2[:, None, :, :, 1] + l2[:, :, None, :, 2]
    )
    square = ((l2[..., :2] ** 2).sum(-1) / f2**2)[:, :, None] + ((l1[..., :2] ** 2).sum(-1) / f1**2)[:, None]
    return np.asarray(np.abs(top) / np.sqrt(np.maximum(square, 1e-300)))


def frame_scores(
    geometry: Geometry, a: Slots, b: Slots, frames: Ints, tau: float, flip: Ints | None
) -> tuple[Floats, NDArray[np.int64]]:
    """(F, M1, M2) score and number of shared observations in each frame."""

    def one(other: Floats) -> tuple[Floats, NDArray[np.int64]]:
        r = residuals(geometry.E, a.xn[frames], other, a.focal, b.focal)
        seen = np.isfinite(r)
        s = np.where(seen, np.maximum(1 - (r / tau) ** 2, -1.0), 0.0)
        return s.sum(-1), seen.sum(-1)

    with np.errstate(invalid="ignore", over="ignore"):
        score, n = one(b.xn[frames])
        if flip is not None:
            turned, m = one(b.xn[frames][:, :, flip])
            score = np.maximum(score, turned - FLIP_PENALTY * m)
        if a.bones is not None and b.bones is not None:
            cosine = np.einsum("fmki,fnki->fmnk", a.bones[frames] @ geometry.R.T, b.bones[frames])
            agree = np.maximum(1 - (np.arccos(np.clip(cosine, -1, 1)) / BONE_ANGLE) ** 2, -1.0)
            score = score + BONE_WEIGHT * np.where(np.isfinite(cosine), agree, 0.0).sum(-1)
    return score, n


def piece_scores(
    geometry: Geometry, a: Slots, b: Slots, pa: Ints, pb: Ints, frames: Ints, tau: float, flip: Ints | None = None
) -> PieceScores:
    """Scores of all pairs of pieces that share a frame. pa, pb: (T, M) piece of each slot, -1 where empty."""
    rows, scores, counts = [], [], []
    width = int(pb.max(initial=-1)) + 1
    for part in np.array_split(frames, max(1, len(frames) // 512)):
        if not len(part) or not pa.shape[1] or not pb.shape[1]:
            continue
        score, n = frame_scores(geometry, a, b, part, tau, flip)
        A, B = np.broadcast_arrays(pa[part][:, :, None], pb[part][:, None])
        ok = (A >= 0) & (B >= 0) & (n > 0)
        rows.append(A[ok] * width + B[ok])
        scores.append(score[ok])
        counts.append(n[ok])
    if not rows:
        none = np.zeros(0, np.int64)
        return PieceScores(none, none, np.zeros(0), none)
    code, where = np.unique(np.concatenate(rows), return_inverse=True)
    total = np.asarray(np.bincount(where, np.concatenate(scores), len(code)), np.float64)
    count = np.bincount(where, np.concatenate(counts), len(code)).astype(np.int64)
    return PieceScores(code // width, code % width, total, count)


def _mutual(s: PieceScores) -> tuple[float, NDArray[np.bool_]]:
    """What the pairs explain together when each piece chooses its partner, and which pairs chose each other."""
    if not len(s.a):
        return 0.0, np.zeros(0, bool)
    best_a, best_b = np.zeros(s.a.max() + 1), np.zeros(s.b.max() + 1)
    np.maximum.at(best_a, s.a, s.score)
    np.maximum.at(best_b, s.b, s.score)
    chosen = (s.score > 0.2 * s.n) & (s.score >= best_a[s.a]) & (s.score >= best_b[s.b])
    return float(s.score[chosen].sum()), chosen


def find_pair_pose(
    cameras: tuple[int, int], a: Slots, b: Slots, edges: Ints, limit_px: float, flip: Ints | None, seed: int
) -> PairPose | None:
    """The relative pose that explains most of two cameras' tracks; None where none does.

    Args:
        cameras: their indices, for the result.
        a, b: their tracks.
        edges: first frames of the windows.
        limit_px: residual of a bad observation.
        flip: (J,) permutation that exchanges left and right, to try it on each frame; None does not.
        seed: of the random samples.
    """
    T = len(a.track)
    window = np.searchsorted(edges, np.arange(T), side="right") - 1
    common = np.flatnonzero((a.track >= 0).any(1) & (b.track >= 0).any(1))
    if len(common) < 5:
        return None
    windows = np.unique(window[common])
    windows = windows[np.unique(np.linspace(0, len(windows) - 1, MAX_WINDOWS).astype(int))]
    frames = np.concatenate([_spread(common[window[common] == w], FRAMES_PER_WINDOW) for w in windows])
    pa, pb = pieces(a, edges)[0], pieces(b, edges)[0]
    possible = _possible(a, b, frames)
    best: tuple[float, dict, NDArray[np.bool_], PieceScores] | None = None
    tried = agreed = 0
    for x1, x2 in _candidates(a, b):
        found = _fit(a, b, x1, x2, limit_px, seed)
        if found is None or found["cost"] > 0.6:
            continue
        tried += 1
        before, last = best, 0.0
        for _ in range(3):
            scores = piece_scores(geometry_of(found["R"], found["t"]), a, b, pa, pb, frames, limit_px, flip)
            total, chosen = _mutual(scores)
            better = best is None or total > best[0]
            last = max(last, total)
            if better:
                best = (total, found, chosen, scores)
            if total < 0.15 * possible or not better:
                break
            again = _fit(a, b, *_points(a, b, pa, pb, frames, scores, chosen), limit_px, seed)
            if again is None:
                break
            found = again
        if before is not None and best is not None and last > 0.97 * best[0] and best[0] > 0.25 * possible:
            agreed = agreed + 1 if best[0] < 1.03 * before[0] else 1
        if agreed >= CONFIRMED:
            break
        if tried >= MAX_HYPOTHESES:
            break
    if best is None or possible <= 0:
        return None
    total, found, chosen, scores = best
    x1, x2 = _points(a, b, pa, pb, frames, scores, chosen)
    if len(x1) < 30:
        return None
    E = geometry_of(found["R"], found["t"]).E
    r = residuals(E, x1[None, None], x2[None, None], a.focal, b.focal).ravel()
    inlier = r < limit_px
    sigma = 1.4826 * float(np.median(r[inlier])) if inlier.any() else limit_px
    return PairPose(
        cameras, np.asarray(found["R"]), np.asarray(found["t"]), total / possible, sigma,
        float(found["median_parallax_rad"]), int(inlier.sum()),
    )  # fmt: skip


def consistent_pairs(pairs: list[PairPose]) -> list[PairPose]:
    """Leave out pairs whose rotation contradicts the way around over a third camera, the worst first."""
    strong = WEAK_SHARE * max(p.share for p in pairs)
    kept: list[PairPose] = []
    part: dict[int, int] = {}
    for p in sorted(pairs, key=lambda p: -p.share):
        a, b = (part.setdefault(c, c) for c in p.cameras)
        if p.share >= strong or a != b:
            kept.append(p)
        part = {c: a if k == b else k for c, k in part.items()}
    pairs = kept
    while True:
        R = {p.cameras: p.R for p in pairs} | {p.cameras[::-1]: p.R.T for p in pairs}
        votes = {p.cameras: [0, 0] for p in pairs}
        cameras = sorted({c for p in pairs for c in p.cameras})
        for p in pairs:
            a, b = p.cameras
            for c in cameras:
                if c in (a, b) or (a, c) not in R or (c, b) not in R:
                    continue
                loop = R[c, b] @ R[a, c] @ p.R.T
                angle = np.degrees(np.arccos(np.clip((np.trace(loop) - 1) / 2, -1, 1)))
                votes[a, b][int(angle > MAX_CLOSURE_DEG)] += 1
        bad = [p for p in pairs if votes[p.cameras][1] > votes[p.cameras][0]]
        if not bad:
            return pairs
        worst = max(bad, key=lambda p: (votes[p.cameras][1] - votes[p.cameras][0], -p.share))
        pairs.remove(worst)


def _spread(values: Ints, most: int) -> Ints:
    if len(values) <= most:
        return values
    return np.asarray(values[np.unique(np.linspace(0, len(values) - 1, most).astype(int))])


def _possible(a: Slots, b: Slots, frames: Ints) -> float:
    """Observations that the cameras could share: per frame, the people of the emptier one, their fewer joints."""

    def ordered(s: Slots) -> Floats:
        return np.sort((s.weight[frames] > 0).sum(-1), axis=1)[:, ::-1]

    x, y = ordered(a), ordered(b)
    m = min(x.shape[1], y.shape[1])
    return float(np.minimum(x[:, :m], y[:, :m]).sum())


def _candidates(a: Slots, b: Slots):  # type: ignore[no-untyped-def]
    """Correspondences (N, 2), (N, 2) of pairs of tracks, those with most in common who move most first.

    Somebody who stands still all the time is in view longest, and says nothing.
    """
    pa, pb = pieces(a, None)[0], pieces(b, None)[0]
    A, B = np.broadcast_arrays(pa[:, :, None], pb[:, None])
    t, m, n = np.nonzero((A >= 0) & (B >= 0))
    if not len(t):
        return
    code = pa[t, m] * (int(pb.max()) + 1) + pb[t, n]
    order = np.argsort(code, kind="stable")
    cuts = np.flatnonzero(np.diff(code[order])) + 1
    groups = np.split(order, cuts)
    place_a, place_b = _place(a), _place(b)

    def worth(g: Ints) -> float:
        g = g[:: max(1, len(g) // 20)]
        moved = [np.linalg.norm(x.std(0)) for x in (place_a[t[g], m[g]], place_b[t[g], n[g]])]
        return min(len(g), 20) * min(float(min(moved)), 1.0)

    groups = [g for g in sorted(groups, key=len, reverse=True)[:MOST_GROUPS] if len(g) >= 3]
    groups.sort(key=worth, reverse=True)
    for g in groups[: 3 * MAX_HYPOTHESES]:
        k = _spread(g, FIT_FRAMES)
        x1, x2 = a.xn[t[k], m[k]].reshape(-1, 2), b.xn[t[k], n[k]].reshape(-1, 2)
        ok = np.isfinite(x1[:, 0]) & np.isfinite(x2[:, 0])
        if ok.sum() >= 30:
            yield x1[ok], x2[ok]


def _place(s: Slots) -> Floats:
    """(T, M, 2) middle of the body in units of its extent in the image."""
    seen = np.isfinite(s.px[..., 0])
    middle = np.where(seen[..., None], s.px, 0.0).sum(2) / np.maximum(seen.sum(2), 1)[..., None]
    typical = float(np.nanmedian(s.size)) if np.isfinite(s.size).any() else 1.0
    return np.asarray(middle / max(typical, 1e-9))


def _points(
    a: Slots, b: Slots, pa: Ints, pb: Ints, frames: Ints, scores: PieceScores, chosen: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Correspondences of the chosen pairs of pieces, in the given frames."""
    partner = np.full(int(pa.max(initial=-1)) + 2, -2, np.int64)
    partner[scores.a[chosen]] = scores.b[chosen]
    A, B = np.broadcast_arrays(pa[frames][:, :, None], pb[frames][:, None])
    f, m, n = np.nonzero((A >= 0) & (B >= 0) & (partner[A] == B))
    x1, x2 = a.xn[frames[f], m].reshape(-1, 2), b.xn[frames[f], n].reshape(-1, 2)
    ok = np.isfinite(x1[:, 0]) & np.isfinite(x2[:, 0])
    k = _spread(np.flatnonzero(ok), FIT_POINTS)
    return x1[k], x2[k]


def _fit(a: Slots, b: Slots, x1: Floats, x2: Floats, limit_px: float, seed: int) -> dict | None:
    if len(x1) < 20:
        return None
    found = _core.estimate_essential(x1, x2, a.focal, b.focal, max_residual_px=limit_px, seed=seed)
    return found if found["success"] else None

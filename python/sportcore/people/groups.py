"""Which pieces of tracks show the same person, window by window.

Pieces of different cameras are merged, best first, while the sum of the scores between two groups says that they fit.
The sum over all pairs of cameras is what makes a group consistent around any cycle: a third camera that disagrees takes
away what two may have in common by chance. Two pieces of one camera are never merged when they share a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .pairs import Geometry, piece_scores
from .slots import Slots, pieces
from .types import PeopleTracks

__all__ = ["gather", "group_lanes", "merge_pieces", "window_edges"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_MEAN, MIN_SUM = 0.2, 6.0  #: score per observation, and in all, that two groups must have in common


def window_edges(frames: int, fps: float, window_s: float) -> Ints:
    """First frames of the windows."""
    return np.arange(0, frames, max(2, round(window_s * fps)))


def merge_pieces(score: Floats, n: Floats, conflict: NDArray[np.bool_]) -> list[list[int]]:
    """Merge best first.

    Args:
        score: (N, N) symmetric scores, 0 where two pieces share nothing.
        n: (N, N) shared observations.
        conflict: (N, N) must not be one person.

    Returns:
        Groups of at least one piece each.
    """
    score, n, conflict = score.copy(), n.copy(), conflict.copy()
    np.fill_diagonal(conflict, True)
    groups = [[i] for i in range(len(score))]
    while len(score) > 1:
        ok = ~conflict & (score > MIN_SUM) & (score > MIN_MEAN * n)
        if not ok.any():
            break
        i, j = sorted(divmod(int(np.argmax(np.where(ok, score, -np.inf))), len(score)))
        groups[i] += groups[j]
        groups[j] = []
        for m in (score, n):
            m[i] += m[j]
            m[:, i] = m[i]
            m[j] = m[:, j] = 0
        conflict[i] |= conflict[j]
        conflict[:, i] = conflict[i]
        conflict[j] = conflict[:, j] = True
    return [g for g in groups if g]


def group_lanes(
    slots: Sequence[Slots],
    geometry: Mapping[tuple[int, int], Geometry],
    tau_px: Mapping[tuple[int, int], float],
    edges: Ints,
    flip: Ints | None,
) -> tuple[Ints, list[Floats]]:
    """The same people in all cameras, without saying who is who from window to window.

    Args:
        slots: of the C cameras.
        geometry: (a, b) with a < b -> relative pose of the pairs of cameras that are known.
        tau_px: (a, b) -> residual from which on an observation speaks against a pair.
        edges: first frames of the windows.
        flip: permutation that exchanges left and right, or None.

    Returns:
        ``lanes`` (L, C, T), index of the track that lane l sees in camera c in frame t, -1 where none: within one
        window a lane is one person. And for each camera (N_c,) the best mean score that each of its tracks has with
        anything in another camera (-1 where there is nothing).
    """
    C, T = len(slots), len(slots[0].track)
    cut = [pieces(s, edges) for s in slots]
    offset = np.concatenate([[0], np.cumsum([c[2] for c in cut])])
    node_frames = _spans(cut, T)
    node_camera = np.concatenate([np.full(c[2], i) for i, c in enumerate(cut)])
    node_window = np.searchsorted(edges, node_frames[:, 0], side="right") - 1
    rows: list[Ints] = []
    values: list[Floats] = []
    for (a, b), known in geometry.items():
        s = piece_scores(known, slots[a], slots[b], cut[a][0], cut[b][0], np.arange(T), tau_px[a, b], flip)
        rows.append(np.stack([s.a + offset[a], s.b + offset[b]], 1))
        values.append(np.stack([s.score, s.n], 1))
    edge = np.concatenate(rows) if rows else np.zeros((0, 2), np.int64)
    value = np.concatenate(values) if values else np.zeros((0, 2))
    by_window = np.argsort(node_window[edge[:, 0]], kind="stable") if len(edge) else np.zeros(0, np.int64)
    edge, value = edge[by_window], value[by_window]
    starts = np.searchsorted(node_window[edge[:, 0]], np.arange(len(edges) + 1))
    members: list[list[list[int]]] = []
    best = np.full(int(offset[-1]), -1.0)
    for w in range(len(edges)):
        nodes = np.flatnonzero(node_window == w)
        e, v = edge[starts[w] : starts[w + 1]], value[starts[w] : starts[w + 1]]
        if not len(nodes) or not len(e):
            members.append([])
            continue
        at = {int(g): k for k, g in enumerate(nodes)}
        score, n = np.zeros((len(nodes), len(nodes))), np.zeros((len(nodes), len(nodes)))
        i = np.array([at[int(x)] for x in e[:, 0]])
        j = np.array([at[int(x)] for x in e[:, 1]])
        score[i, j] = score[j, i] = v[:, 0]
        n[i, j] = n[j, i] = v[:, 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            best[nodes] = np.maximum(best[nodes], np.where(n > 0, score / n, -1.0).max(1))
        span, camera = node_frames[nodes], node_camera[nodes]
        overlap = (span[:, None, 0] <= span[None, :, 1]) & (span[None, :, 0] <= span[:, None, 1])
        groups = merge_pieces(score, n, (camera[:, None] == camera[None]) & overlap)
        members.append([[int(nodes[k]) for k in g] for g in groups if len(set(camera[g].tolist())) > 1])
    most = max((len(m) for m in members), default=0)
    lanes = np.full((most, C, T), -1, np.int64)
    for groups in members:
        for lane, group in enumerate(groups):
            for node in group:
                c = int(node_camera[node])
                t0, t1 = node_frames[node]
                t, m = np.nonzero(cut[c][0][t0 : t1 + 1] == node - offset[c])
                lanes[lane, c, t + t0] = slots[c].track[t + t0, m]
    fit = []
    for c in range(C):
        out = np.full(int(slots[c].track.max(initial=-1)) + 1, -1.0)
        np.maximum.at(out, cut[c][1], best[offset[c] : offset[c + 1]])
        fit.append(out)
    return lanes, fit


def _spans(cut: Sequence[tuple[Ints, Ints, int]], frames: int) -> Ints:
    """(N, 2) first and last frame of each piece, all cameras one after the other."""
    out = []
    for piece, _, count in cut:
        first, last = np.full(count, frames), np.full(count, -1)
        t, m = np.nonzero(piece >= 0)
        np.minimum.at(first, piece[t, m], t)
        np.maximum.at(last, piece[t, m], t)
        out.append(np.stack([first, last], 1))
    return np.concatenate(out) if out else np.zeros((0, 2), np.int64)


def gather(tracks: PeopleTracks, chosen: Ints) -> tuple[Floats, Floats]:
    """Observations of chosen tracks: (P, C, T) track indices -> xy (P, C, T, J, 2) px, score (P, C, T, J)."""
    P, C, T = chosen.shape
    J = tracks.skeleton.n_joints
    xy, score = np.full((P, C, T, J, 2), np.nan), np.zeros((P, C, T, J))
    for c in range(C):
        for k in np.unique(chosen[:, c]):
            if k < 0:
                continue
            p, t = np.nonzero(chosen[:, c] == k)
            xy[p, c, t] = tracks.xy[c][k][t]
            score[p, c, t] = tracks.score[c][k][t]
    return xy, score

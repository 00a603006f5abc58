"""The linear steps of Lee et al. 2022: rotations from bone directions, translations and points from rays.

S.-E. Lee, K. Shibata, S. Nonaka, S. Nobuhara, K. Nishino: Extrinsic Camera Calibration from a Moving Person, RA-L 2022.
Written from the method; what is computed equals the published equations, how it is computed does not:

* Rotations. The directions of all cameras are stacked to W (N, 3C). Only the right singular vectors are wanted, and
  they are the eigenvectors of W'W (3C, 3C).
* Translations. Collinearity and coplanarity make a homogeneous system of 3M + 3C unknowns (M points), of which the four
  eigenvectors with the smallest eigenvalues are wanted. The points couple only to the cameras, so with
  ``N = [[A, B], [B', D]]``, A block diagonal, ``N x = lambda x`` is

      S(lambda) t = 0,   S(lambda) = D - lambda - B' (A - lambda)^-1 B,   X = -(A - lambda)^-1 B t.

  (S at lambda = 0 alone would normalise t instead of (X, t), and that is another minimum as soon as there is noise.)
  Below the smallest eigenvalue of A the k-th eigenvalue of N is the root of the k-th eigenvalue of S, which falls
  monotonically; the Newton step of that root is the Rayleigh quotient of N. Where the wanted eigenvalues are not that
  small, Lanczos iterations with the same elimination find them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from ..errors import DegenerateError

__all__ = ["Directions", "Rays", "dlt", "rotations", "rotations_with_gaps", "to_so3", "translations", "weighted_points"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WANTED = 5  #: four of the null space, and the next one to tell how well it stands apart
DENSE_UP_TO = 120  #: unknowns


def to_so3(M: Floats) -> Floats:
    """Nearest rotations of (..., 3, 3) matrices in the Frobenius norm."""
    U, _, Vt = np.linalg.svd(M)
    sign = np.sign(np.linalg.det(U @ Vt))
    U = U.copy()
    U[..., :, 2] *= sign[..., None]
    return np.asarray(U @ Vt)


# ---- rotations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Directions:
    """Rotations out of bone directions.

    Attributes:
        R: (C, 3, 3) ``v_c = R_c u``, R of the first camera is 1; rotations only when projected.
        singular_values: (3C,) of the stacked directions over the root of their number, falling.
        determinants: (C,) of the blocks before any projection; 1 when all is well, negative for mirrored poses.
    """

    R: Floats
    singular_values: Floats
    determinants: Floats


def rotations(v: Floats, project: bool = False) -> Directions:
    """Factorise directions that all cameras have.

    Args:
        v: (C, N, 3) unit directions.
        project: put every block on SO(3) before the first camera becomes the origin. Published: no.

    Raises:
        DegenerateError: the directions lie in a plane (or on a line).
    """
    C, N = v.shape[:2]
    W = np.ascontiguousarray(v.transpose(0, 2, 1)).reshape(3 * C, N)
    values, vectors = np.linalg.eigh(W @ W.T / max(N, 1))
    sigma = np.sqrt(np.maximum(values[::-1], 0.0))
    _check_rank(sigma)
    blocks = np.sqrt(C) * vectors[:, ::-1][:, :3].reshape(C, 3, 3)  # block c is R_c up to one common 3x3 factor
    return _first_is_origin(blocks, sigma, project)


def _check_rank(sigma: Floats) -> None:
    if not sigma[2] > 1e-6 * sigma[0]:
        raise DegenerateError(
            "The bone directions lie in one plane: rotations cannot be factorised.",
            "Use more frames, with motion in more than one plane.",
        )


def _first_is_origin(blocks: Floats, sigma: Floats, project: bool) -> Directions:
    if abs(np.linalg.det(blocks[0])) < 1e-9:
        raise DegenerateError(
            "The bone directions of the first camera do not span space.", "Check its monocular poses."
        )
    raw = blocks @ np.linalg.inv(blocks[0])  # also settles the handedness
    det = np.linalg.det(raw)
    if not project:
        return Directions(raw, sigma, det)
    R = to_so3(blocks if np.linalg.det(blocks[0]) > 0 else -blocks)
    return Directions(R @ R[0].T, sigma, det)


def rotations_with_gaps(v: Floats, seen: Bools, rounds: int = 50) -> Directions:
    """The same where bones are missing in some cameras; always on SO(3). Not in the paper.

    Starts from the leading eigenvectors of the matrix of pairwise products, each pair weighed by what it shares, and
    alternates between directions ``u = mean R' v`` and rotations (orthogonal Procrustes) until nothing moves.

    Args:
        v: (C, N, 3) unit directions, anything where not seen.
        seen: (C, N).
        rounds: most alternations.

    Raises:
        DegenerateError: cameras that share no bones with the others, or directions in one plane.
    """
    C, N = seen.shape
    w = seen.astype(np.float64)
    shared = w @ w.T
    reached = np.zeros(C, bool)
    reached[0] = True
    for _ in range(C):
        reached |= (shared[reached] >= 3).any(0)
    if not reached.all():
        raise DegenerateError(
            f"Cameras {np.flatnonzero(~reached).tolist()} share no bones with camera 0, directly or over others.",
            "Check that they show the same person at the same time.",
        )
    v = np.where(seen[..., None], v, 0.0)
    W = v.transpose(0, 2, 1).reshape(3 * C, N)
    # The ideal matrix has blocks R_a R_b': the polar factor of the correlation of each pair, weighed by what it shares.
    gram = (W @ W.T).reshape(C, 3, C, 3).transpose(0, 2, 1, 3)  # (C, C, 3, 3)
    sigma = np.sqrt(np.maximum(np.linalg.eigvalsh(W @ W.T / max(N, 1))[::-1], 0.0))
    _check_rank(sigma)
    U, _, Vt = np.linalg.svd(gram)  # without forcing the handedness, so that a mirrored camera shows
    polar = np.where((shared >= 3)[..., None, None], U @ Vt * shared[..., None, None], 0.0)
    root = 1 / np.sqrt(np.where(shared >= 3, shared, 0.0).sum(1))
    matrix = (polar * root[:, None, None, None] * root[None, :, None, None]).transpose(0, 2, 1, 3).reshape(3 * C, 3 * C)
    blocks = np.linalg.eigh(0.5 * (matrix + matrix.T))[1][:, ::-1][:, :3].reshape(C, 3, 3) / root[:, None, None]
    det = np.sign(np.linalg.det(blocks)) * np.sign(np.linalg.det(blocks[0]))
    R = to_so3(blocks if np.linalg.det(blocks[0]) > 0 else -blocks)
    for _ in range(rounds):
        u = np.einsum("cij,cni->nj", R, v)
        u /= np.maximum(np.linalg.norm(u, axis=-1, keepdims=True), 1e-12)
        new = to_so3(np.einsum("cni,nj->cij", v, u))
        moved = np.abs(new - R).max()
        R = new
        if moved < 1e-12:
            break
    return Directions(R @ R[0].T, sigma, det)


# ---- translations and points -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rays:
    """Translations and points out of rays.

    Attributes:
        t: (C, 3), zero for the first camera, unit length for the second.
        X: (M, 3) the points of the same solution.
        eigenvalues: (5,) the smallest of the normal matrix; the first four belong to the solution. The fifth is good to
            four digits, and a lower bound when it could not be told from the points' own.
        in_front: share of the depths in the first two cameras that came out positive.
    """

    t: Floats
    X: Floats
    eigenvalues: Floats
    in_front: float


@dataclass(frozen=True, eq=False)
class _Normal:
    """N = [[A, B], [B', D]] in the eigenframes of the blocks of A.

    ``values`` (3M,) eigenvalues of the blocks, ``frames`` (M, 3, 3) their vectors, ``Bq`` (3M, 3C), ``D`` (3C, 3C).
    """

    values: Floats
    frames: Floats
    Bq: Floats
    D: Floats

    @property
    def size(self) -> int:
        return len(self.values) + len(self.D)

    def schur(self, lam: float) -> Floats:
        S = self.D - self.Bq.T @ (self.Bq / (self.values - lam)[:, None])
        S[np.diag_indices_from(S)] -= lam
        return S

    def points(self, lam: float, t: Floats) -> Floats:
        """(3M,) in the eigenframes."""
        return -(self.Bq @ t) / (self.values - lam)


def _normal(R: Floats, n: Floats, seen: Bools | None) -> _Normal:
    C, M = n.shape[:2]
    w = np.ones((C, M)) if seen is None else seen.astype(np.float64)
    n = np.where(w[..., None] > 0, n, 0.0)
    nn = (n * n).sum(-1)
    y = n @ R  # rays turned into the world: R' n
    A = np.einsum("cm,cij->mij", nn, R.transpose(0, 2, 1) @ R)
    B = np.empty((M, 3, C, 3))
    D = np.zeros((C, 3, C, 3))
    for c in range(C):
        A -= y[c][:, :, None] * y[c][:, None, :]
        B[:, :, c] = nn[c][:, None, None] * R[c].T - y[c][:, :, None] * n[c][:, None, :]
        D[c, :, c] += nn[c].sum() * np.eye(3) - n[c].T @ n[c]
    for a in range(C):
        for b in range(a):
            m = np.cross(y[a], y[b])  # zero where either is missing
            G = m.T @ m
            D[a, :, a] += R[a] @ G @ R[a].T
            D[b, :, b] += R[b] @ G @ R[b].T
            D[a, :, b] -= R[a] @ G @ R[b].T
            D[b, :, a] -= R[b] @ G @ R[a].T
    values, frames = np.linalg.eigh(A)
    Bq = (frames.transpose(0, 2, 1) @ B.reshape(M, 3, 3 * C)).reshape(3 * M, 3 * C)
    return _Normal(values.reshape(-1), frames, Bq, D.reshape(3 * C, 3 * C))


def _smallest(N: _Normal) -> tuple[Floats, Floats, Floats]:
    """The smallest eigenvalues (5,), and of the first four the vectors: points (4, 3M), translations (4, 3C)."""
    if N.size <= DENSE_UP_TO:
        return _smallest_dense(N)
    roots = _smallest_by_roots(N)
    return roots if roots is not None else _smallest_by_lanczos(N)


def _smallest_dense(N: _Normal) -> tuple[Floats, Floats, Floats]:
    full = np.block([[np.diag(N.values), N.Bq], [N.Bq.T, N.D]])
    values, vectors = np.linalg.eigh(full)
    split = len(N.values)
    return values[:WANTED], vectors[:split, :4].T, vectors[split:, :4].T


def _smallest_by_roots(N: _Normal) -> tuple[Floats, Floats, Floats] | None:
    ceiling = float(N.values.min()) * (1 - 1e-9)
    if not ceiling > 0:
        return None
    tiny = 1e-15 * float(np.abs(np.diag(N.D)).max())
    start = np.linalg.eigh(N.schur(0.0))
    settled = (1e-9, 1e-9, 1e-9, 1e-9, 1e-3)  # the step after is its third power
    top: Any = None
    values, points, translations_ = np.empty(WANTED), [], []
    for k in range(WANTED):
        lam, low, high = 0.0, -np.inf, np.inf
        mu, vectors = start
        for _ in range(60):
            x = N.points(lam, vectors[:, k])
            if mu[k] > 0:
                low = max(low, lam)
            else:
                high = min(high, lam)
            new = lam + mu[k] / (1.0 + x @ x)  # the Rayleigh quotient of (x, t)
            if abs(new - lam) <= settled[k] * abs(new) + 1e-3 * tiny or abs(mu[k]) <= tiny:
                lam = new
                break
            if new >= min(high, ceiling):
                if top is None:
                    top = np.linalg.eigvalsh(N.schur(ceiling))
                if top[k] > 0:  # fewer than k + 1 eigenvalues below those of the points
                    if k < 4:
                        return None
                    lam = ceiling
                    break
                new = 0.5 * (lam + min(high, ceiling))
            elif new <= low:
                new = 0.5 * (low + min(high, ceiling))
            lam = new
            mu, vectors = np.linalg.eigh(N.schur(lam))
        values[k] = lam
        if k < 4:
            points.append(x)
            translations_.append(vectors[:, k])
    return values, np.array(points), np.array(translations_)


def _smallest_by_lanczos(N: _Normal) -> tuple[Floats, Floats, Floats]:
    split = len(N.values)
    shift = -1e-10 * float(np.abs(np.diag(N.D)).max())
    S = np.linalg.inv(N.schur(shift))

    def apply(x: Floats) -> Floats:
        return np.concatenate([N.values * x[:split] + N.Bq @ x[split:], N.Bq.T @ x[:split] + N.D @ x[split:]])

    def solve(x: Floats) -> Floats:
        p = x[:split] / (N.values - shift)
        t = S @ (x[split:] - N.Bq.T @ p)
        return np.concatenate([p - (N.Bq @ t) / (N.values - shift), t])

    shape = (N.size, N.size)
    operator, inverse = LinearOperator(shape, apply, dtype=float), LinearOperator(shape, solve, dtype=float)
    start = np.random.default_rng(0).normal(size=N.size)
    values, vectors = eigsh(operator, k=WANTED + 1, sigma=shift, OPinv=inverse, which="LM", v0=start)
    order = np.argsort(values)
    vectors = vectors[:, order[:4]]
    return values[order[:WANTED]], vectors[:split].T, vectors[split:].T


def translations(R: Floats, n: Floats, seen: Bools | None = None) -> Rays:
    """Translations and points of given rotations by collinearity and coplanarity.

    Args:
        R: (C, 3, 3), need not be orthonormal (the published blocks are not).
        n: (C, M, 3) rays ``K^-1 (u, v, 1)``.
        seen: (C, M) which rays exist; None: all. Every point needs two.

    Raises:
        DegenerateError: the first two cameras stand at the same place, or the cameras share too little for one scale.
    """
    C, M = n.shape[:2]
    if seen is not None and not one_scale(seen):
        raise DegenerateError(
            "The cameras share joints only in a chain of pairs: the relative size of its links is not determined.",
            "Three neighbours must see some joints at the same time.",
        )
    N = _normal(R, n, seen)
    values, x, t4 = _smallest(N)
    # the combination of the four for which the first camera is the origin
    combine = np.linalg.svd(t4[:, :3].T)[2][3]
    t = (combine @ t4).reshape(C, 3)
    X = np.einsum("mij,mj->mi", N.frames, (combine @ x).reshape(M, 3))
    scale = float(np.linalg.norm(t[1]))
    if not scale > 1e-9 * max(float(np.linalg.norm(t)), float(np.abs(X).max(initial=0.0))):
        raise DegenerateError(
            "The first two cameras came out at the same place, so nothing fixes the unit of length.",
            "Check synchronisation and intrinsics, or give the cameras in another order.",
        )
    t, X = t / scale, X / scale
    both = np.ones(M, bool) if seen is None else seen[0] & seen[1]
    if both.any():
        pair = dlt(R[:2], t[:2], n[:2, both])
        depth = np.stack([pair @ R[c, 2] + t[c, 2] for c in (0, 1)])
    else:  # with gaps the two may share nothing: ask every camera
        depth = np.einsum("cj,mj->cm", R[:, 2], X) + t[:, 2:3]
        depth = depth[np.ones(depth.shape, bool) if seen is None else seen]
    positive = float(np.mean(depth > 0))
    if positive < 0.5:
        t, X, positive = -t, -X, float(np.mean(depth < 0))
    return Rays(t, X, values, positive)


def one_scale(seen: Bools, enough: int = 2) -> bool:
    """Whether the cameras are tied into one rigid figure by the points that they share, rotations being known.

    Each set of cameras that sees ``enough`` points is rigid up to a shift and a size of its own; in general position
    all sizes are one when the sets' equations leave no more than a common shift and a common size.

    Args:
        seen: (C, M).
        enough: points that a set of cameras must share.
    """
    C = len(seen)
    _, one, counts = np.unique(np.packbits(seen, axis=0), axis=1, return_index=True, return_counts=True)
    sets = [np.flatnonzero(seen[:, m]) for m, k in zip(one, counts, strict=True) if k >= enough]
    sets = [cameras for cameras in sets if len(cameras) >= 2]
    place = np.random.default_rng(0).normal(size=(C, 3))
    rows = []
    for s, cameras in enumerate(sets):
        for a, b in zip(cameras, cameras[1:], strict=False):
            row = np.zeros((3, 3 * C + len(sets)))
            row[:, 3 * a : 3 * a + 3], row[:, 3 * b : 3 * b + 3] = np.eye(3), -np.eye(3)
            row[:, 3 * C + s] = place[b] - place[a]
            rows.append(row)
    if not rows:
        return False
    A = np.concatenate(rows)
    return int(np.linalg.matrix_rank(A)) == A.shape[1] - 4


# ---- points of given cameras -----------------------------------------------------------------------------------------


def dlt(R: Floats, t: Floats, n: Floats) -> Floats:
    """Points (M, 3) that minimise the homogeneous linear system of all views; every point is seen by all.

    The smallest eigenvector of the 4x4 normal matrix, by the same elimination as above, for all points at once.

    Args:
        R: (C, 3, 3), need not be orthonormal.
        t: (C, 3).
        n: (C, M, 3) rays with a third coordinate of 1.
    """
    C, M = n.shape[:2]
    P = np.concatenate([R, t[:, :, None]], 2)
    x, y = n[..., 0], n[..., 1]
    features = np.stack([np.ones_like(x), x, y, x * x + y * y], -1).transpose(1, 0, 2).reshape(M, 4 * C)
    p1, p2, p3 = P[:, 0], P[:, 1], P[:, 2]

    def outer(a: Floats, b: Floats) -> Floats:
        return a[:, :, None] * b[:, None, :]

    basis = np.stack(
        [outer(p1, p1) + outer(p2, p2), -outer(p1, p3) - outer(p3, p1), -outer(p2, p3) - outer(p3, p2), outer(p3, p3)],
        1,
    )  # (C, 4, 4, 4)
    rows, cols = np.triu_indices(4)
    a = (features @ basis[:, :, rows, cols].reshape(4 * C, 10)).T  # (10, M), upper triangle
    a00, a01, a02, b0, a11, a12, b1, a22, b2, c = a
    lam = np.zeros(M)
    with np.errstate(all="ignore"):
        for _ in range(4):
            d0, d1, d2 = a00 - lam, a11 - lam, a22 - lam
            m00, m01, m02 = d1 * d2 - a12 * a12, a02 * a12 - a01 * d2, a01 * a12 - a02 * d1
            m11, m12, m22 = d0 * d2 - a02 * a02, a01 * a02 - d0 * a12, d0 * d1 - a01 * a01
            det = d0 * m00 + a01 * m01 + a02 * m02
            X = -np.stack(
                [m00 * b0 + m01 * b1 + m02 * b2, m01 * b0 + m11 * b1 + m12 * b2, m02 * b0 + m12 * b1 + m22 * b2]
            )
            X /= det
            step = (c - lam + b0 * X[0] + b1 * X[1] + b2 * X[2]) / (1 + (X * X).sum(0))
            lam = lam + step
        # below the smallest eigenvalue of the 3x3 part, and settled?
        sure = (d0 > 0) & (m22 > 0) & (det > 0) & (np.abs(step) <= 1e-9 * np.abs(lam) + 1e-14 * (a00 + a11 + a22 + c))
    X = X.T
    rest = np.flatnonzero(~sure & np.isfinite(a).all(0))
    if len(rest):
        full = np.empty((len(rest), 4, 4))
        full[:, rows, cols] = full[:, cols, rows] = a.T[rest]
        v = np.linalg.eigh(full)[1][:, :, 0]
        with np.errstate(all="ignore"):
            X[rest] = v[:, :3] / v[:, 3:]
    return X


def weighted_points(R: Floats, t: Floats, n: Floats, weight: Floats) -> Floats:
    """Points (M, 3) by linear least squares with the scores as weights of the equations; NaN with fewer than two views.

    Args:
        R: (C, 3, 3).
        t: (C, 3).
        n: (C, M, 2 or 3) rays, anything where the weight is 0.
        weight: (C, M) of each view's two equations, for instance focal length times score (the equations in pixels).
    """
    seen = weight > 0
    x = np.where(seen, n[..., 0], 0.0)[..., None]
    y = np.where(seen, n[..., 1], 0.0)[..., None]
    M = n.shape[1]
    H, g = np.zeros((M, 3, 3)), np.zeros((M, 3))
    for c in range(len(R)):
        for a, b in (
            (R[c, 0] - x[c] * R[c, 2], t[c, 0] - x[c] * t[c, 2]),
            (R[c, 1] - y[c] * R[c, 2], t[c, 1] - y[c] * t[c, 2]),
        ):
            wa = weight[c][:, None] ** 2 * a
            H += wa[:, :, None] * a[:, None, :]
            g += wa * b
    out = np.full((M, 3), np.nan)
    good = seen.sum(0) >= 2
    trace = np.trace(H, axis1=1, axis2=2)
    good &= np.linalg.det(H) > 1e-18 * trace**3
    out[good] = -np.linalg.solve(H[good], g[good][..., None])[..., 0]
    return out

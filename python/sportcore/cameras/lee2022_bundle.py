"""The bundle adjustment of Lee et al. 2022: pixels, bone directions and bone lengths in one sum of squares.

The residuals are

    sqrt(2) s (y - pi(R X + t))          two per observation, px, s the detector score
    lambda1 (1 - |mean over cameras of R_c' v_c|)      one per bone direction that all cameras have
    lambda2 Var over frames of |bone|    one per bone (a variance as a residual: it is squared once more in the sum)

under the plain sum of squares. Published: SciPy's trust region with finite differences of a dense Jacobian, ftol 1e-4.
Here: the same sum, analytic derivatives, Levenberg-Marquardt. A point couples to the cameras, and over the length of
its bones to the same bones of all other frames; the latter is of rank one for each bone. With V the derivative of the
bone residuals and y = V' dX the step solves

    [Hcc  W    0 ] [dc]     [gc]
    [W'   Hpp  V ] [dX] = - [gp]
    [0    V'  -1 ] [y ]     [0 ]

from which the points, 3x3 blocks, are eliminated: what is left has 6 C + B unknowns.

The sum does not change when the scene turns, moves or is enlarged, except for the third part, which shrinks with the
scene: left alone, the minimum is a scene of size zero. The published code lets it drift and stops early. ``free_gauge``
does so too; otherwise the first camera stays and the second stays at unit distance from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["Bundle", "Bundled", "adjust"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GTOL = 1e-8  #: as SciPy's default
FLOOR_PX2 = 1e-14  #: mean square residual below which there is nothing left to gain


@dataclass(frozen=True, eq=False)
class Bundle:
    """What is observed.

    Attributes:
        xy: (C, P, 2) undistorted normalised coordinates, anything where the score is 0.
        score: (C, P), 0 where missing.
        focal_px: (C, 2).
        directions: (C, N, 3) unit bone directions of the lifter.
        first: (Q,) point at one end of a bone.
        second: (Q,) point at its other end.
        bone: (Q,) number of the bone.
        lambda1: weight of the directions, px.
        lambda2: weight of the variances, px per squared unit of length.
    """

    xy: Floats
    score: Floats
    focal_px: Floats
    directions: Floats
    first: Ints
    second: Ints
    bone: Ints
    lambda1: float
    lambda2: float

    @property
    def n_bones(self) -> int:
        """B."""
        return int(self.bone.max()) + 1 if len(self.bone) else 0


@dataclass(frozen=True, eq=False)
class Bundled:
    """Where it ended.

    Attributes:
        R: (C, 3, 3).
        t: (C, 3).
        X: (P, 3).
        costs: half the sum of squares before the first and after every accepted step.
        parts: the closing cost of pixels, directions, lengths.
        iterations: steps tried.
        stop: why it ended.
    """

    R: Floats
    t: Floats
    X: Floats
    costs: tuple[float, ...]
    parts: tuple[float, float, float]
    iterations: int
    stop: str


def residuals(b: Bundle, R: Floats, t: Floats, X: Floats) -> tuple[Floats, Floats, Floats]:
    """(C, P, 2) px, (N,), (B,): the three parts, weights included."""
    x = X @ R.transpose(0, 2, 1) + t[:, None]
    with np.errstate(all="ignore"):
        e = b.focal_px[:, None] * (b.xy - x[..., :2] / x[..., 2:]) * (np.sqrt(2.0) * b.score)[..., None]
    pixels = np.where(b.score[..., None] > 0, e, 0.0)
    mean = (b.directions @ R).mean(0)
    directions = b.lambda1 * (1.0 - np.linalg.norm(mean, axis=-1))
    return pixels, directions, b.lambda2 * _variances(b, X)[0]


def _variances(b: Bundle, X: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(B,) variances; and per bone and frame the unit vector (Q, 3), the deviation (Q,), the count (Q,)."""
    d = X[b.first] - X[b.second]
    length = np.linalg.norm(d, axis=-1)
    count = np.maximum(np.bincount(b.bone, minlength=b.n_bones), 1).astype(np.float64)
    mean = np.bincount(b.bone, length, b.n_bones) / count
    off = length - mean[b.bone]
    variance = np.bincount(b.bone, off * off, b.n_bones) / count
    return variance, d / np.maximum(length, 1e-300)[:, None], off, count[b.bone]


@dataclass(frozen=True, eq=False)
class _System:
    """The Gauss-Newton system, points not yet eliminated. H, g of the cameras; E = [W' | V | gp] per point."""

    Hcc: Floats
    gc: Floats
    Hpp: Floats
    E: Floats


def linearise(b: Bundle, R: Floats, t: Floats, X: Floats) -> _System:
    """Normal equations at a state; a camera moves as ``R <- exp([w]x) R``, ``t <- t + dt``, w first."""
    C, P, B = len(R), len(X), b.n_bones
    pixels, directions, lengths = residuals(b, R, t, X)
    Hcc, gc = np.zeros((6 * C, 6 * C)), np.zeros(6 * C)
    Hpp, E = np.zeros((P, 3, 3)), np.zeros((P, 3, 6 * C + B + 1))
    for c in range(C):
        jx, jc = _pixel_jacobian(b, c, R[c], t[c], X)
        jp = jx @ R[c]
        k = slice(6 * c, 6 * c + 6)
        flat = jc.reshape(-1, 6)
        Hcc[k, k] = flat.T @ flat
        gc[k] = flat.T @ pixels[c].reshape(-1)
        jpt = jp.transpose(0, 2, 1)
        Hpp += jpt @ jp
        E[:, :, k] = jpt @ jc
        E[:, :, -1] += (jpt @ pixels[c][..., None])[..., 0]
    J = _direction_jacobian(b, R)  # (N, C, 3)
    spins = (6 * np.arange(C)[:, None] + np.arange(3)).reshape(-1)
    flat = J.reshape(len(J), -1)
    Hcc[np.ix_(spins, spins)] += flat.T @ flat
    gc[spins] += flat.T @ directions
    _, unit, off, count = _variances(b, X)
    slope = (2.0 * b.lambda2 * off / count)[:, None] * unit
    E[b.first, :, 6 * C + b.bone] = slope
    E[b.second, :, 6 * C + b.bone] = -slope
    E[:, :, -1] += E[:, :, 6 * C : -1] @ lengths
    return _System(Hcc, gc, Hpp, E)


def _pixel_jacobian(b: Bundle, c: int, R: Floats, t: Floats, X: Floats) -> tuple[Floats, Floats]:
    """(P, 2, 3) by the point in the camera frame, and (P, 2, 6) by the camera."""
    turned = X @ R.T
    x = turned + t
    w = np.where(b.score[c] > 0, -np.sqrt(2.0) * b.score[c], 0.0)
    with np.errstate(all="ignore"):
        iz = np.where(w != 0, 1.0 / x[:, 2], 0.0)
    jx = np.zeros((len(X), 2, 3))
    for i in range(2):
        jx[:, i, i] = w * b.focal_px[c, i] * iz
        jx[:, i, 2] = -jx[:, i, i] * x[:, i] * iz
    jc = np.empty((len(X), 2, 6))
    jc[:, :, :3] = np.cross(turned[:, None], jx)  # a . (w x p) = w . (p x a)
    jc[:, :, 3:] = jx
    return jx, jc


def _direction_jacobian(b: Bundle, R: Floats) -> Floats:
    """(N, C, 3) of the direction residuals by the rotations."""
    C = len(R)
    mean = (b.directions @ R).mean(0)
    unit = mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    return np.asarray((-b.lambda1 / C) * np.cross(unit @ R.transpose(0, 2, 1), b.directions).transpose(1, 0, 2))


def _freedom(t: Floats, free: bool) -> Floats:
    """(6C, n) basis of the steps that the cameras may take."""
    basis = np.eye(6 * len(t))
    if free:
        return basis
    tangent = np.linalg.svd(t[1][None])[2][1:].T  # (3, 2) normal to t_1
    columns = np.zeros((6 * len(t), 2))
    columns[9:12] = tangent
    return np.concatenate([basis[:, 6:9], columns, basis[:, 12:]], 1)


def _step(s: _System, G: Floats, damping: float) -> tuple[Floats, Floats, float]:
    """(6C,) step of the cameras, (P, 3) of the points, and the fall of the cost that the model predicts."""
    n, k = len(s.gc), G.shape[1]
    diagonal = np.einsum("pii->pi", s.Hpp)
    extra = damping * np.maximum(diagonal, 1e-9 * diagonal.max())
    L = _cholesky(s.Hpp, extra)
    Y = _forward(L, s.E)
    flat = Y.reshape(-1, Y.shape[-1])
    M = flat.T @ flat
    Hc = G.T @ s.Hcc @ G
    ec = damping * np.maximum(np.diag(Hc), 1e-12 * np.diag(Hc).max())
    top = Hc + np.diag(ec) - G.T @ M[:n, :n] @ G
    side = -G.T @ M[:n, n:-1]
    K = np.block([[top, side], [side.T, -np.eye(M.shape[0] - n - 1) - M[n:-1, n:-1]]])
    rhs = np.concatenate([-G.T @ (s.gc - M[:n, -1]), M[n:-1, -1]])
    z = np.linalg.solve(K, rhs)
    dc = G @ z[:k]
    dX = -_backward(L, (flat @ np.concatenate([dc, z[k:], [1.0]])).reshape(-1, 3))
    fall = 0.5 * float(z[:k] @ (ec * z[:k] - G.T @ s.gc) + (extra * dX * dX).sum() - (dX * s.E[:, :, -1]).sum())
    return dc, dX, fall


def _cholesky(H: Floats, extra: Floats) -> tuple[Floats, ...]:
    """The six entries (P,) of the lower factors of H + diag(extra), row by row; NaN where there is none."""
    with np.errstate(all="ignore"):
        l00 = np.sqrt(H[:, 0, 0] + extra[:, 0])
        l10 = H[:, 1, 0] / l00
        l11 = np.sqrt(H[:, 1, 1] + extra[:, 1] - l10 * l10)
        l20 = H[:, 2, 0] / l00
        l21 = (H[:, 2, 1] - l20 * l10) / l11
        return l00, l10, l11, l20, l21, np.sqrt(H[:, 2, 2] + extra[:, 2] - l20 * l20 - l21 * l21)


def _forward(L: tuple[Floats, ...], E: Floats) -> Floats:
    """L^-1 E for all points at once; E is (P, 3, K)."""
    l00, l10, l11, l20, l21, l22 = (entry[:, None] for entry in L)
    Y = np.empty_like(E)
    np.divide(E[:, 0], l00, out=Y[:, 0])
    np.divide(E[:, 1] - l10 * Y[:, 0], l11, out=Y[:, 1])
    np.divide(E[:, 2] - l20 * Y[:, 0] - l21 * Y[:, 1], l22, out=Y[:, 2])
    return Y


def _backward(L: tuple[Floats, ...], y: Floats) -> Floats:
    """L^-T y for all points at once; y is (P, 3)."""
    l00, l10, l11, l20, l21, l22 = L
    x2 = y[:, 2] / l22
    x1 = (y[:, 1] - l21 * x2) / l11
    return np.stack([(y[:, 0] - l10 * x1 - l20 * x2) / l00, x1, x2], -1)


def _cost(parts: tuple[Floats, Floats, Floats]) -> tuple[float, float, float]:
    a, b, c = (0.5 * float((p * p).sum()) for p in parts)
    return a, b, c


def adjust(
    b: Bundle,
    R: Floats,
    t: Floats,
    X: Floats,
    *,
    free_gauge: bool = False,
    ftol: float = 1e-4,
    max_iterations: int = 200,
) -> Bundled:
    """Minimise the sum.

    Args:
        b: what is observed.
        R: (C, 3, 3) rotations to start from, the first one 1.
        t: (C, 3), the first 0, the second of unit length.
        X: (P, 3) points to start from, all finite, each with two views.
        free_gauge: let position, orientation and size of the scene drift, as published.
        ftol: done when a step that the model foresaw well lowers the cost by less than this share.
        max_iterations: most steps tried.
    """
    parts = _cost(residuals(b, R, t, X))
    cost = sum(parts)
    costs, damping, grow, stop = [cost], 1e-3, 2.0, "max_iterations"
    system = linearise(b, R, t, X)
    tried = 0
    while tried < max_iterations:
        gradient = max(float(np.abs(system.gc).max()), float(np.abs(system.E[:, :, -1]).max(initial=0.0)))
        if gradient < GTOL or cost < FLOOR_PX2 * b.score.size:
            stop = "exact" if gradient >= GTOL else "gradient"
            break
        tried += 1
        try:
            dc, dX, fall = _step(system, _freedom(t, free_gauge), damping)
        except np.linalg.LinAlgError:
            dc, dX, fall = np.full(6 * len(t), np.nan), np.zeros_like(X), 0.0
        d = dc.reshape(-1, 6)
        if np.isfinite(d).all() and np.isfinite(dX).all():
            R_new, t_new, X_new = Rotation.from_rotvec(d[:, :3]).as_matrix() @ R, t + d[:, 3:], X + dX
            if not free_gauge:
                unit = float(np.linalg.norm(t_new[1]))
                t_new, X_new = t_new / unit, X_new / unit
            parts_new = _cost(residuals(b, R_new, t_new, X_new))
            new = sum(parts_new)
        else:
            new = np.nan
        ratio = (cost - new) / fall if fall > 0 else -1.0
        if np.isfinite(new) and new < cost:
            small = cost - new < ftol * cost and ratio > 0.25
            R, t, X, parts, cost = R_new, t_new, X_new, parts_new, new
            costs.append(cost)
            if small:
                stop = "ftol"
                break
            damping *= max(1 / 3, 1 - (2 * ratio - 1) ** 3)
            damping, grow = max(damping, 1e-12), 2.0
            system = linearise(b, R, t, X)
        else:
            if fall <= 1e-14 * cost:
                stop = "no descent"
                break
            damping *= grow
            grow *= 2.0
            if damping > 1e16:
                stop = "no descent"
                break
    return Bundled(R, t, X, tuple(costs), parts, tried, stop)

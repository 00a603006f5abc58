"""What each kind of knowledge can bring to the cameras at best: Cramér-Rao bounds, without any solver.

The deviation of the rotation between two cameras that follows from the Fisher information of the observations:
keypoints alone; with constant bone lengths; with the directions of bones that a lifter gives for every view. A lifter
tilts everything that one camera sees by a constant rotation (it takes a camera which looks down for a level one), so
that each camera gets a rotation of its own between the lifter's frame and the camera's, known to be small. The last
column says what happens to the cameras where this is left out: the error that tilts of that size cause. Noise of the
directions is taken as independent from frame to frame, which flatters the lifter.

python bench/information.py --seeds 5
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

import sportcore as sc
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, ring_cameras

Array = NDArray[np.float64]

CASES = [
    (2, 70.0, 20),
    (2, 70.0, 300),
    (2, 15.0, 20),
    (2, 15.0, 300),
    (4, 60.0, 20),
    (4, 60.0, 300),
    (4, 360.0, 20),
    (4, 360.0, 300),
]
SIGMA_PX, SEEN, LENGTH_SIGMA, DIRECTION_DEG, TILT_DEG = 2.0, 0.855, 0.002, 10.0, 5.0


def cross(v: Array) -> Array:
    """(..., 3) -> (..., 3, 3) with ``cross(v) @ x = v x x``."""
    zero = np.zeros(v.shape[:-1])
    x, y, z = np.moveaxis(v, -1, 0)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*v.shape[:-1], 3, 3)


class Information:
    """Reduced information of cameras (w, dt), tilts and bone lengths, all points eliminated frame by frame."""

    def __init__(self, points: Array, rig: sc.Rig, seed: int, *, lengths: bool, lifter: bool) -> None:
        self.rig, self.C = rig, len(rig)
        bones = np.asarray(H36M17.bone_indices)
        self.n = 9 * self.C + len(bones)  # poses, tilts, lengths
        self.H = np.zeros((self.n, self.n))
        rng = np.random.default_rng(seed)
        for X in points:
            self._add_frame(X, bones, rng.random((self.C, len(X))) < SEEN, lengths, lifter)

    def _add_frame(self, X: Array, bones: Array, seen: NDArray[np.bool_], lengths: bool, lifter: bool) -> None:
        C, J = self.C, len(X)
        seen = seen & (seen.sum(0) >= 2)
        rows: list[tuple[Array, Array]] = []  # (Jacobian of the shared unknowns, of the points)
        for c, camera in enumerate(self.rig):
            R, f = np.asarray(camera.R), float(camera.K[0, 0])
            p = X @ R.T + camera.t
            for j in np.flatnonzero(seen[c]):
                x, y, z = p[j]
                D = f / z * np.array([[1, 0, -x / z], [0, 1, -y / z]]) / SIGMA_PX
                A, B = np.zeros((2, self.n)), np.zeros((2, 3 * J))
                A[:, 6 * c : 6 * c + 3], A[:, 6 * c + 3 : 6 * c + 6] = -D @ cross(R @ X[j]), D
                B[:, 3 * j : 3 * j + 3] = D @ R
                rows.append((A, B))
        d = X[bones[:, 1]] - X[bones[:, 0]]
        L = np.linalg.norm(d, axis=1)
        e = d / L[:, None]
        both = seen.any(0)[bones].all(1)
        for b, (i, j) in enumerate(bones):
            if not both[b]:
                continue
            if lengths:
                A, B = np.zeros((1, self.n)), np.zeros((1, 3 * J))
                B[0, 3 * j : 3 * j + 3], B[0, 3 * i : 3 * i + 3], A[0, 9 * C + b] = e[b], -e[b], -1
                rows.append((A / (LENGTH_SIGMA * L[b]), B / (LENGTH_SIGMA * L[b])))
            if lifter:
                for c, camera in enumerate(self.rig):
                    R = np.asarray(camera.R)
                    turn = -cross(R @ e[b])
                    A, B = np.zeros((3, self.n)), np.zeros((3, 3 * J))
                    A[:, 6 * c : 6 * c + 3] = A[:, 6 * C + 3 * c : 6 * C + 3 * c + 3] = turn
                    across = R @ (np.eye(3) - np.outer(e[b], e[b])) / L[b]
                    B[:, 3 * j : 3 * j + 3], B[:, 3 * i : 3 * i + 3] = across, -across
                    rows.append((A / np.radians(DIRECTION_DEG), B / np.radians(DIRECTION_DEG)))
        A, B = (np.concatenate(part) for part in zip(*rows, strict=True))
        used = np.abs(B).sum(0) > 0
        B = B[:, used]
        solved = np.linalg.solve(B.T @ B, B.T @ A)
        self.H += A.T @ A - A.T @ B @ solved

    def deviation_deg(self, tilt_known: bool = False) -> tuple[float, float]:
        """(root mean square angle between two cameras, the angle that tilts of ``TILT_DEG`` cause if left out)."""
        C = self.C
        free = np.r_[0 : 6 * C, 9 * C : self.n] if tilt_known else np.arange(self.n)
        H = self.H.copy()
        H[6 * C : 9 * C, 6 * C : 9 * C] += np.eye(3 * C) / np.radians(TILT_DEG / np.sqrt(3)) ** 2
        P = np.linalg.pinv(H[np.ix_(free, free)], rcond=1e-13, hermitian=True)
        # A tilt theta that is there but not modelled moves the unknowns by P H_(free, tilt) theta.
        moved = P @ self.H[np.ix_(free, np.arange(6 * C, 9 * C))]
        angles, biases = [], []
        for a, b in itertools.combinations(range(C), 2):
            G = np.zeros((3, len(free)))
            G[:, 6 * b : 6 * b + 3] = np.eye(3)
            G[:, 6 * a : 6 * a + 3] = -np.asarray(self.rig[b].R) @ np.asarray(self.rig[a].R).T
            angles.append(np.trace(G @ P @ G.T))
            biases.append(np.square(G @ moved).sum() * np.radians(TILT_DEG) ** 2 / 3)
        return float(np.degrees(np.sqrt(np.mean(angles)))), float(np.degrees(np.sqrt(np.mean(biases))))


def main() -> None:
    """Print one row per scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="scenes per row (default: %(default)s)")
    args = parser.parse_args()
    print(
        f"Deviation of the rotation between cameras, degrees; {SIGMA_PX:g} px, {100 * SEEN:.0f} % seen, lengths "
        f"constant to {100 * LENGTH_SIGMA:g} %, directions to {DIRECTION_DEG:g}, tilts of {TILT_DEG:g} degrees.\n"
    )
    print("| cameras | arc | frames | views alone | + directions | + lengths | + both | error if tilts are left out |")
    print("|---|---|---|---|---|---|---|---|")
    for cameras, arc, frames in CASES:
        rows = []
        for seed in range(args.seeds):
            X = athlete(frames, 12.5, seed)
            X = X - [*X[:, 0, :2].mean(0), 0]
            rig = ring_cameras(cameras, seed, arc_deg=arc)
            made = {
                (a, b): Information(X, rig, seed, lengths=a, lifter=b) for a in (False, True) for b in (False, True)
            }
            row = [made[key].deviation_deg()[0] for key in ((False, False), (False, True), (True, False), (True, True))]
            rows.append([*row, made[False, True].deviation_deg(tilt_known=True)[1]])
        values = " | ".join(f"{v:.4f}" for v in np.median(rows, axis=0))
        print(f"| {cameras} | {arc:.0f}° | {frames} | {values} |", flush=True)


if __name__ == "__main__":
    main()

"""Bundle adjustment with lengths, lenses and clocks: covariance against a Hessian by differences, exact recovery."""

from __future__ import annotations

import numpy as np
import pytest

import sportcore as sc
from sportcore import _core
from sportcore.errors import InputError
from sportcore.points3d import camera_array
from sportcore.synthetic import ring_cameras

LIMBS = np.array([(0, 1), (1, 2), (2, 3), (1, 4), (4, 0)], np.int32)  # with a loop, so that blocks fill in


def image(camera: sc.Camera, X: np.ndarray) -> np.ndarray:
    return _core.project(camera_array([camera]), 0, X @ camera.R.T + camera.t)


class Scene:
    """Frames of five points in front of three cameras; lengths between them differ from frame to frame."""

    def __init__(self, frames=4, noise_px=0.0, clocks=False, seed=0):
        rng = np.random.default_rng(seed)
        self.rig = ring_cameras(3, seed, distortion=(-0.08, 0.02, 0.001, -0.002))
        body = rng.normal(size=(5, 3)) * 0.4
        turn = [_core.so3_exp(rng.normal(size=3)) for _ in range(frames)]
        self.points = np.concatenate([body @ R.T + [*rng.normal(size=2) * 0.5, 1.0] for R in turn])
        self.lengths = np.linalg.norm(body[LIMBS[:, 0]] - body[LIMBS[:, 1]], axis=1)
        N = len(self.points)
        self.clocks = None
        if clocks:
            self.clocks = {
                "time": np.repeat(np.arange(frames) - frames / 2, 5).astype(float), "refine_drift": True,
                "velocity": rng.normal(size=(N, 3)), "acceleration": rng.normal(size=(N, 3)),
            }  # fmt: skip
        self.offset = np.arange(N + 1) * 3
        self.camera = np.tile(np.arange(3, dtype=np.int32), N)
        uv = np.stack([image(c, self.points) for c in self.rig], 1)
        self.xy = uv.reshape(-1, 2) + noise_px * rng.normal(size=(3 * N, 2))
        self.frames = frames

    def run(self, rig=None, points=None, lengths=None, **options):
        edges = np.concatenate([LIMBS + 5 * f for f in range(self.frames)]).astype(np.int32)
        bones = {
            "frame_offset": np.arange(self.frames + 1) * 5, "edges": edges,
            "index": np.tile(np.arange(len(LIMBS), dtype=np.int32), self.frames),
            "sigma": np.full(len(LIMBS), 0.01), "value": self.lengths if lengths is None else lengths,
        }  # fmt: skip
        return _core.adjust_bundle(
            camera_array(rig or self.rig), self.points if points is None else points, self.offset, self.camera,
            self.xy, loss="trivial", lengths=bones, clocks=self.clocks, **options,
        )  # fmt: skip


def moved(scene: Scene, x: np.ndarray, kinds: list[tuple[str, int]]):
    """The scene's unknowns displaced by x: poses, what `kinds` names, lengths, points."""
    C = len(scene.rig)
    cameras = []
    for c, camera in enumerate(scene.rig):
        K, k = camera.K.copy(), list(camera.distortion)
        for (kind, of), value in zip(kinds, x[6 * C :], strict=False):
            if of not in (c, -1):
                continue
            if kind == "log_focal":
                K[0, 0] *= np.exp(value)
                K[1, 1] *= np.exp(value)
            elif kind in ("cx", "cy"):
                K["xy".index(kind[1]), 2] += value
            elif kind == "k1":
                k[0] += value
        R = _core.so3_exp(np.ascontiguousarray(x[6 * c : 6 * c + 3])) @ camera.R
        cameras.append(camera.replace(K=K, distortion=tuple(k), R=R, t=camera.t + x[6 * c + 3 : 6 * c + 6]))
    at = 6 * C + len(kinds)
    L = len(scene.lengths)
    return sc.Rig(tuple(cameras)), scene.lengths + x[at : at + L], scene.points + x[at + L :].reshape(-1, 3)


@pytest.mark.parametrize("lens", [{}, {"focal": "per_camera", "principal_point": True, "radial": True}])
def test_covariance_is_the_inverse_hessian_of_the_cost(lens):
    scene = Scene(noise_px=1e-3)
    done = scene.run(max_iterations=0, **lens)
    C, L, N = 3, len(scene.lengths), len(scene.points)
    kinds = done["extra"]
    P = 6 * C + len(kinds) + L
    assert done["covariance"].shape == (P, P)
    step = {"log_focal": 1e-3, "cx": 1.0, "cy": 1.0, "k1": 3e-3}
    poses = np.tile([1e-3] * 3 + [5e-3] * 3, C)
    size = np.concatenate([poses, [step[k] for k, _ in kinds], np.full(L, 3e-3), np.full(3 * N, 3e-3)])

    def residuals(x):
        rig, lengths, points = moved(scene, x, kinds)
        uv = np.stack([image(c, points) for c in rig], 1)
        P3 = points.reshape(scene.frames, 5, 3)
        limbs = np.linalg.norm(P3[:, LIMBS[:, 0]] - P3[:, LIMBS[:, 1]], axis=-1) - lengths
        return np.concatenate([(uv.reshape(-1, 2) - scene.xy).ravel(), (limbs / 0.01).ravel()])

    n = P + 3 * N
    J = np.stack([(residuals(e) - residuals(-e)) / 2e-3 for e in np.diag(1e-3 * size)], 1)  # by x / size
    r0 = residuals(np.zeros(n))
    # the cost that the adjustment reports is that of these residuals
    assert done["initial_cost"] == pytest.approx(0.5 * r0 @ r0, rel=1e-6)
    H = J.T @ J
    S = H[:P, :P] - H[:P, P:] @ np.linalg.solve(H[P:, P:], H[P:, :P])
    # gauge: no freedom along what a similarity of the world does to the poses
    G = np.zeros((P, 7))
    for c, camera in enumerate(scene.rig):
        G[6 * c : 6 * c + 3, :3] = camera.R
        G[6 * c + 3 : 6 * c + 6, 3:6] = camera.R
        G[6 * c + 3 : 6 * c + 6, 6] = camera.t
    D = size[:P]
    basis = np.linalg.svd((G / 1.0).T * D)[2][7:].T  # x = size * basis * y has G' x = 0
    want = np.diag(D) @ basis @ np.linalg.inv(basis.T @ S @ basis) @ basis.T @ np.diag(D)
    got = done["covariance"] / done["sigma_px"] ** 2
    scale = np.sqrt(np.diag(want))
    assert np.allclose(got / np.outer(scale, scale), want / np.outer(scale, scale), atol=2e-3)


def test_everything_is_recovered_without_noise():
    scene = Scene(frames=30, seed=1)
    rng = np.random.default_rng(2)
    kinds: list[tuple[str, int]] = []
    x = np.concatenate([np.tile([0.01] * 3 + [0.05] * 3, 3) * rng.normal(size=18), 0.02 * rng.normal(size=5),
                        0.03 * rng.normal(size=3 * len(scene.points))])  # fmt: skip
    rig, lengths, points = moved(scene, x, kinds)
    wrong = sc.Rig(tuple(c.replace(K=c.K * [[1.05, 1, 1], [1, 1.05, 1], [1, 1, 1]]) for c in rig))
    done = scene.run(wrong, points, lengths, focal="shared", max_iterations=100, step_tolerance=1e-13)
    assert done["cost"] < 1e-12
    assert np.allclose(done["focal_px"][:, 0], scene.rig.K[:, 0, 0], rtol=1e-6)
    ratio = np.array(done["lengths"]) / scene.lengths
    assert np.allclose(ratio, ratio[0], rtol=1e-6)  # up to the size of the world


def test_clocks_are_recovered_without_noise():
    scene = Scene(frames=30, seed=3, clocks=True)
    offset, drift = np.array([0.0, 0.012, -0.02]), np.array([0.0, 3e-4, -2e-4])
    clocks = scene.clocks
    assert clocks is not None
    xy = scene.xy.reshape(-1, 3, 2).copy()
    for c, camera in enumerate(scene.rig):
        tau = (offset[c] + drift[c] * clocks["time"])[:, None]
        X = scene.points + tau * clocks["velocity"] + 0.5 * tau**2 * clocks["acceleration"]
        xy[:, c] = image(camera, X)
    scene.xy = xy.reshape(-1, 2)
    done = scene.run(max_iterations=100, step_tolerance=1e-13)
    found, rate = np.array(done["time_offset_s"]), np.array(done["clock_drift"])
    # the common part of the clocks is a gauge; with it the points move, and lengths nearly not at all
    assert np.allclose(found - found[0], offset, atol=2e-4)
    assert np.allclose(rate - rate[0], drift, atol=2e-5)


def test_the_result_does_not_depend_on_the_threads():
    scene = Scene(frames=40, noise_px=1.0, seed=4)
    one, two = (scene.run(max_iterations=8, num_threads=n) for n in (1, 2))
    assert np.array_equal(one["R"], two["R"]) and np.array_equal(one["covariance"], two["covariance"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edges": [[0, 0]], "index": [0]}, "two points of one frame"),
        ({"edges": [[0, 7]], "index": [0]}, "two points of one frame"),
        ({"edges": [[0, 1]], "index": [9]}, "out of range"),
        ({"edges": [[0, 1]], "index": [0], "sigma": np.zeros(5)}, "positive"),
        ({"frame_offset": [0, 5]}, "frame_offset"),
    ],
)
def test_malformed_lengths_are_refused(change, words):
    scene = Scene()
    edges = np.concatenate([LIMBS + 5 * f for f in range(4)])
    bones = {
        "frame_offset": np.arange(5) * 5, "edges": edges, "index": np.tile(np.arange(5), 4),
        "sigma": np.full(5, 0.01), "value": scene.lengths,
    }  # fmt: skip
    bones |= {k: np.asarray(v) for k, v in change.items()}
    with pytest.raises(InputError, match=words):
        _core.adjust_bundle(camera_array(scene.rig), scene.points, scene.offset, scene.camera, scene.xy, lengths=bones)

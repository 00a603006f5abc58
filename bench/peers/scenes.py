"""The inputs, the same file for every method: simulated scenes with known truth, and the real demonstration recording.

An input holds, for C cameras, T frames and J joints: ``xy`` (C, T, J, 2) px of an ideal pinhole camera, NaN where
missing; ``score`` (C, T, J); ``K`` (C, 3, 3); ``image_sizes`` (C, 2); ``names``; ``fps``; ``skeleton``; ``bones``
(B, 2), those between joints that are there; ``monocular_3d`` (C, T, 17, 3) m, Human3.6M joints, root-relative, camera
axes; ``monocular_joint`` (J,), the row of a joint in it or -1; ``start_R``, ``start_t``: cameras next to the truth,
which only the two bundle adjusters look at. The truth itself lies in a file that no method is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sportcore as sc
from sportcore.cameras.anthropometry import calibration_joints
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, observe, ring_cameras, simulate_lifter

FPS = 12.5
START_DEG, START_M = 3.0, 0.10
VARIANTS = ("heavy", "full", "lite")
HELD_OUT = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")


@dataclass(frozen=True)
class Scene:
    """A condition: what is simulated, under a name that the table shows."""

    key: str
    title: str
    cameras: int = 4
    arc_deg: float = 360.0
    frames: int = 300
    outliers: float = 0.05
    missing: float = 0.10
    swaps: float = 0.0


SCENES = (
    Scene("clean", "4 cameras, clean", outliers=0.0, missing=0.0),
    Scene("usual", "5 % outliers, 10 % missing"),
    Scene("bad", "20 % outliers, 20 % missing", outliers=0.20, missing=0.20),
    Scene("swaps", "left/right swapped in 20 %", swaps=0.20),
    Scene("eight", "8 cameras", cameras=8),
    Scene("two", "2 cameras, 70 degrees", cameras=2, arc_deg=70.0),
    Scene("narrow", "4 cameras in 60 degrees", arc_deg=60.0),
)


def _rotation(axis: np.ndarray, angle_rad: float) -> np.ndarray:
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle_rad) * k + (1 - np.cos(angle_rad)) * k @ k


def near(R: np.ndarray, t: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cameras turned by ``START_DEG`` about a random axis each, their centres moved by ``START_M``."""
    rng = np.random.default_rng([seed, 1])
    centre = -np.einsum("cji,cj->ci", R, t)
    shift = rng.normal(size=t.shape)
    centre = centre + START_M * shift / np.linalg.norm(shift, axis=1, keepdims=True)
    turned = np.array([_rotation(rng.normal(size=3), np.radians(START_DEG)) @ r for r in R])
    return turned, -np.einsum("cij,cj->ci", turned, centre)


def simulate(scene: Scene, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(input, truth) of a condition."""
    X = athlete(scene.frames, FPS, seed)
    X = X - [*X[:, 0, :2].mean(0), 0]
    rig = ring_cameras(scene.cameras, seed, arc_deg=scene.arc_deg)
    keypoints, done = observe(
        X, rig, seed, sigma_px=2.0, outliers=scene.outliers, missing=scene.missing, swaps=scene.swaps, fps=FPS
    )
    # 53 mm, correlated in time, each camera tilted by 2 degrees; a lifter follows its 2D input where sides are swapped
    lifted = simulate_lifter(X, rig, seed, mpjpe_mm=53.0, tilt_deg=2.0, correlation=0.9, swapped=done.swapped)
    R, t = np.asarray(rig.R), np.asarray(rig.t)
    start_R, start_t = near(R, t, seed)
    given = _given(keypoints, rig) | {
        "monocular_3d": lifted, "start_R": start_R, "start_t": start_t,
    }  # fmt: skip
    return given, {"R": R, "t": t, "X": X}


def _given(keypoints: sc.Keypoints2D, rig: sc.Rig) -> dict[str, np.ndarray]:
    skeleton = keypoints.skeleton
    there = np.asarray(keypoints.observed).any((0, 1))
    rows = [H36M17.joints.index(n) if n in H36M17.joints else -1 for n in skeleton.joints]
    return {
        "xy": np.asarray(keypoints.xy), "score": np.asarray(keypoints.score), "K": np.asarray(rig.K),
        "image_sizes": np.asarray(rig.image_sizes), "names": np.array(rig.names), "fps": np.array(keypoints.fps),
        "skeleton": np.array(skeleton.name), "bones": np.array([b for b in skeleton.bone_indices if there[b].all()]),
        "monocular_joint": np.array(rows),
    }  # fmt: skip


def save_input(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def demo_keypoints(variant: str, cache: Path, detections: Path | None) -> tuple[sc.Keypoints2D, sc.Rig]:
    """BlazePose landmarks of the demonstration recording and its Qualisys cameras; detected once, then kept.

    Args:
        variant: ``"heavy"``, ``"full"`` or ``"lite"``.
        cache: folder for what is made here.
        detections: folder with ``heavy.npz`` and so on, made before; None to detect.
    """
    from sportcore.datasets import pose2sim_demo

    folder = pose2sim_demo.ensure_single_person()
    rig = sc.read_rig(folder / "Calib.qca.txt")
    made = (detections or cache) / f"{variant}.npz"
    if not made.is_file():
        from sportcore.keypoints2d import detect_videos
        from sportcore.sync import CameraTrack, SyncOptions, align_cameras

        videos = [folder / f"{name}.mp4" for name in rig.names]
        found = detect_videos(videos, f"blazepose-{variant}")
        tracks = [
            CameraTrack(name, d.xy, d.score, times_s=d.times_s, image_size=d.image_size)
            for name, d in zip(rig.names, found, strict=True)
        ]
        keypoints, _ = align_cameras(tracks, "blazepose33", SyncOptions())
        made.parent.mkdir(parents=True, exist_ok=True)
        sc.write_keypoints(keypoints, made)
    return sc.read_keypoints(made), rig


def demo(
    keypoints: sc.Keypoints2D, rig: sc.Rig, hold_out: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(input, truth) of the recording: landmarks of the body, lens distortion removed beforehand for everybody.

    Face and fingers are left out for all: the detector invents them where they are hidden. Poses come from the
    project's base lifter. With ``hold_out`` the joints ``HELD_OUT`` are taken away.
    """
    body = np.zeros(keypoints.skeleton.n_joints, bool)
    body[calibration_joints(keypoints.skeleton)] = True
    ideal = np.stack([_undistorted(camera, p) for camera, p in zip(rig, keypoints.xy, strict=True)])
    pinhole = sc.Rig(tuple(c.replace(distortion=(), model="pinhole") for c in rig))
    whole = sc.Keypoints2D(
        ideal, keypoints.score, keypoints.skeleton, fps=keypoints.fps, names=rig.names, image_sizes=rig.image_sizes
    )
    lifted = np.asarray(sc.load_lifter("base").lift(whole, pinhole))
    xy, score = np.where(body[:, None], ideal, np.nan), np.where(body, keypoints.score, 0.0)
    R, t = np.asarray(rig.R), np.asarray(rig.t)
    start_R, start_t = near(R, t, 0)
    truth = {"R": R, "t": t, "xy": xy, "score": score}
    if hold_out:
        gone = [keypoints.skeleton.index(name) for name in HELD_OUT]
        xy, score = xy.copy(), score.copy()
        xy[:, :, gone], score[:, :, gone] = np.nan, 0.0
    given = _given(whole.replace(xy=xy, score=score), pinhole)
    return given | {"monocular_3d": lifted, "start_R": start_R, "start_t": start_t}, truth


def _undistorted(camera: sc.Camera, xy: np.ndarray) -> np.ndarray:
    from sportcore.points3d import unproject_rays

    rays = unproject_rays(camera, xy)
    K = np.asarray(camera.K)
    with np.errstate(invalid="ignore"):
        return np.stack([rays[..., i] / rays[..., 2] * K[i, i] + K[i, 2] for i in range(2)], -1)

"""Write a whole synthetic session to a folder: videos, keypoints, intrinsics, settings and the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sportcore.errors import InputError
from sportcore.io.atomic import atomic_path, write_text
from sportcore.io.rigs import write_rig
from sportcore.skeletons import H36M17
from sportcore.synthetic.body import BodyShape, Motion
from sportcore.synthetic.render import render_video
from sportcore.synthetic.scene import ObservationTruth, observe, ring_cameras
from sportcore.types import Keypoints2D, Rig


@dataclass(frozen=True)
class SyntheticSession:
    """What :func:`make_session` wrote, and the truth behind it.

    Attributes:
        folder: the session folder.
        rig: the true cameras.
        points_world_m: (T, 17, 3) true joints at the times of the first camera.
        keypoints: the simulated detections that lie in ``keypoints2d/``.
        truth: what was done to these detections.
        video_paths: one video per camera; empty when ``videos=False``.
    """

    folder: Path
    rig: Rig
    points_world_m: NDArray[np.float64]
    keypoints: Keypoints2D
    truth: ObservationTruth
    video_paths: tuple[Path, ...]


def make_session(
    folder: str | Path,
    *,
    seed: int = 0,
    frames: int = 120,
    fps: float = 30.0,
    cameras: int = 4,
    sport: str = "run",
    height_m: float = 1.75,
    image_size: tuple[int, int] = (1280, 720),
    distortion: Sequence[float] = (),
    videos: bool = True,
    sigma_px: float = 2.0,
    outliers: float = 0.03,
    missing: float = 0.05,
    swaps: float = 0.0,
    correlation: float = 0.5,
    noise_spread: float = 0.4,
    time_offsets_s: Sequence[float] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> SyntheticSession:
    """Write a session of one person and several cameras that the whole road runs on without network.

    Files in ``folder``: ``cam01.mp4`` … (unless ``videos=False``), ``keypoints2d/cam01.npz`` … (simulated
    detections, see :func:`write_detections`), ``intrinsics.toml`` (Pose2Sim layout, no poses),
    ``session.toml``, ``truth_rig.toml`` and ``truth.npz`` (``points_world_m (T, 17, 3)``, ``joints``, ``fps``,
    ``names``, ``K``, ``R``, ``t``, ``distortion``, ``image_sizes``, ``xy_true``, ``swapped``, ``outlier``).
    The arguments are those of :func:`ring_cameras` and :func:`observe`; the scene depends on the seed alone.

    Raises:
        InputError: fewer than two frames, or an argument that those functions refuse.
    """
    if frames < 2 or not fps > 0:
        raise InputError(f"A session needs at least 2 frames and fps > 0, got {frames} and {fps}.")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    rig = ring_cameras(cameras, seed, image_size=image_size, distortion=distortion)
    motion = Motion(seed, sport, BodyShape.from_height(height_m))
    offsets = np.zeros(cameras) if time_offsets_s is None else np.asarray(time_offsets_s, float)
    times = np.arange(frames) / fps
    points = motion.at(times)
    keypoints, truth = observe(
        points,
        rig,
        seed,
        sigma_px=sigma_px * image_size[0] / 1920,
        outliers=outliers,
        missing=missing,
        swaps=swaps,
        correlation=correlation,
        noise_spread=noise_spread,
        time_offsets_s=offsets,
        fps=fps,
    )
    paths = []
    for c, camera in enumerate(rig):
        write_detections(root / "keypoints2d" / f"{camera.name}.npz", keypoints, c)
        if videos:
            paths.append(root / f"{camera.name}.mp4")

            def tell(done: int, total: int, message: str, c: int = c) -> None:
                if progress is not None:
                    progress(c * total + done, len(rig) * total, message)

            render_video(paths[-1], motion.at(times + offsets[c]), camera, fps, seed=seed, progress=tell)
    write_rig(rig, root / "intrinsics.toml", has_pose=(False,) * cameras)
    write_rig(rig, root / "truth_rig.toml")
    write_text(
        root / "session.toml",
        f"# A synthetic session; truth.npz and truth_rig.toml hold what is true.\n"
        f'[session]\nname = "synthetic-{sport}-{seed}"\n\n'
        f"[athlete]\nheight_m = {height_m}\n\n"
        f'[cameras]\nintrinsics = "intrinsics.toml"\n\n'
        f'[detect]\nmodel = "files"  # keypoints2d/CAMERA.npz instead of a detector\n',
    )
    with atomic_path(root / "truth.npz") as partial, open(partial, "wb") as handle:
        np.savez_compressed(
            handle,
            points_world_m=points,
            joints=np.array(H36M17.joints),
            fps=fps,
            names=np.array(rig.names),
            K=rig.K,
            R=rig.R,
            t=rig.t,
            distortion=np.array([np.array(camera.distortion, float) for camera in rig]),
            image_sizes=rig.image_sizes,
            xy_true=truth.xy_true,
            swapped=truth.swapped,
            outlier=truth.outlier,
            time_offsets_s=offsets,
            height_m=height_m,
        )
    return SyntheticSession(root, rig, points, keypoints, truth, tuple(paths))


def write_detections(path: str | Path, keypoints: Keypoints2D, camera: int) -> Path:
    """Write one camera of ``keypoints`` as an .npz of plain arrays.

    Keys: ``xy (T, J, 2)`` px, ``score (T, J)``, ``times_s (T,)``, ``joints (J,)``, ``skeleton``, ``fps``,
    ``image_size (2,)``, ``name``.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    frames = keypoints.xy.shape[1]
    if keypoints.times is not None:
        times = np.asarray(keypoints.times[camera])
    elif keypoints.fps is not None:
        times = np.arange(frames) / keypoints.fps
    else:
        raise InputError("The keypoints have neither times nor fps.", "Give one of them.")
    size = (0, 0) if keypoints.image_sizes is None else keypoints.image_sizes[camera]
    with atomic_path(target) as partial, open(partial, "wb") as handle:
        np.savez_compressed(
            handle,
            xy=keypoints.xy[camera],
            score=keypoints.score[camera],
            times_s=times,
            joints=np.array(keypoints.skeleton.joints),
            skeleton=keypoints.skeleton.name,
            fps=keypoints.fps or 0.0,
            image_size=np.array(size),
            name=keypoints.names[camera] if keypoints.names else f"cam{camera + 1:02d}",
        )
    return target

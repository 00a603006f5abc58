"""aniposelib: ``bundle_adjust_iter``, started next to the truth. A floor, not a competitor: joints give it no start.

``defaults`` are those of the function, intrinsics held. ``best`` adjusts on five times as many points as its default.
"""

from __future__ import annotations

import cv2
import numpy as np
from aniposelib.cameras import Camera, CameraGroup

DISTRIBUTION = "aniposelib"
REFUSALS: tuple[type[Exception], ...] = ()
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {},
    "best": {"n_samp_iter": 1000, "n_samp_full": 5000},
}


def prepare(scene: dict[str, np.ndarray]) -> tuple[CameraGroup, np.ndarray]:
    cameras = [
        Camera(
            matrix=K, dist=np.zeros(5), size=tuple(int(v) for v in size), name=str(name),
            rvec=cv2.Rodrigues(R)[0].ravel(), tvec=t,
        )
        for K, size, name, R, t in zip(
            scene["K"], scene["image_sizes"], scene["names"], scene["start_R"], scene["start_t"], strict=True
        )
    ]  # fmt: skip
    points = scene["xy"].reshape(len(cameras), -1, 2)
    points = points[:, (np.isfinite(points[..., 0])).sum(0) >= 2]
    return CameraGroup(cameras), points


def solve(data: tuple[CameraGroup, np.ndarray], **options: int) -> tuple[np.ndarray, np.ndarray]:
    group, points = data
    np.random.seed(0)  # noqa: NPY002  it draws its samples from the global generator
    group.bundle_adjust_iter(points, only_extrinsics=True, **options)
    R = np.array([cv2.Rodrigues(np.asarray(c.get_rotation()))[0] for c in group.cameras])
    return R, np.array([np.ravel(c.get_translation()) for c in group.cameras])

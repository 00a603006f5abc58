"""pycolmap (Ceres): bundle adjustment with a Cauchy loss, started next to the truth. A floor, not a competitor.

Nothing in COLMAP finds cameras from joints, so it is handed cameras 3 degrees and 10 cm off the truth and points
triangulated with them. ``defaults`` scales the loss at 6 px, ``best`` at 2 px, the noise of the simulated scenes.
Building the reconstruction is not timed.
"""

from __future__ import annotations

import numpy as np
import pycolmap

from peers.adapters.start import dlt

DISTRIBUTION = "pycolmap"
REFUSALS: tuple[type[Exception], ...] = ()
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {"loss_px": 6.0},
    "best": {"loss_px": 2.0},
}


def prepare(scene: dict[str, np.ndarray]) -> pycolmap.Reconstruction:
    C = len(scene["K"])
    xy = scene["xy"].reshape(C, -1, 2)
    R, t = scene["start_R"], scene["start_t"]
    X = dlt(xy, scene["K"], R, t)
    # A gross outlier may put the linear point behind a camera or far away; Ceres wants a start it can move from.
    depth = np.einsum("cj,nj->cn", R[:, 2], X) + t[:, 2, None]
    ok = np.isfinite(X).all(-1) & (depth > 0.1).all(0) & (depth < 100).all(0)
    rec = pycolmap.Reconstruction()
    tracks: list[list[tuple[int, int]]] = [[] for _ in range(len(X))]
    for c in range(C):
        K = scene["K"][c]
        w, h = (int(v) for v in scene["image_sizes"][c])
        rec.add_camera_with_trivial_rig(
            pycolmap.Camera(
                model="PINHOLE", width=w, height=h, camera_id=c + 1, params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
            )
        )
        index = np.flatnonzero(np.isfinite(xy[c, :, 0]) & ok)
        for i, n in enumerate(index):
            tracks[n].append((c + 1, i))
        image = pycolmap.Image(name=f"{c + 1}.png", keypoints=xy[c, index], camera_id=c + 1, image_id=c + 1)
        pose = pycolmap.Rigid3d(np.concatenate([R[c], t[c][:, None]], 1))
        rec.add_image_with_trivial_frame(image, pose)
    for n, elements in enumerate(tracks):
        if len(elements) > 1:
            rec.add_point3D(X[n], pycolmap.Track([pycolmap.TrackElement(c, i) for c, i in elements]))
    return rec


def solve(rec: pycolmap.Reconstruction, loss_px: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=False, refine_principal_point=False, refine_extra_params=False, print_summary=False
    )
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_px
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in rec.images:
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, rec).solve()
    poses = [rec.images[i].cam_from_world().matrix() for i in sorted(rec.images)]
    return np.array([p[:, :3] for p in poses]), np.array([p[:, 3] for p in poses])

"""Refusals: what cannot be calibrated, with the reason and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateError, InputError
from ..types import Keypoints2D, Rig

__all__ = [
    "Complaints", "check_lenses", "check_motion", "check_observations", "check_pictures", "explain_no_start",
    "masked_quantiles", "match_rig",
]  # fmt: skip

Floats = NDArray[np.float64]

MIN_FRAMES = 10
#: spread of the body's place in the image, and of its limbs about it, over the body's size in the image
STILL_PLACE, STILL_LIMBS = 0.10, 0.06


class Complaints:
    """Reasons to refuse: raised at once, or kept as warnings when the caller insists."""

    def __init__(self, force: bool) -> None:
        self.force = force
        self.warnings: list[str] = []
        self.forced = False
        self.doubted = False

    def refuse(self, message: str, remedy: str) -> None:
        """Raise, or note, that the result should not be trusted."""
        if not self.force:
            raise DegenerateError(message, remedy)
        self.forced = True
        self.warnings.append(f"{message} {remedy}")

    def warn(self, message: str, *, doubt: bool = False) -> None:
        """Note something that the reader should know; doubt: the result itself may be wrong."""
        self.warnings.append(message)
        self.doubted = self.doubted or doubt


def match_rig(keypoints: Keypoints2D, intrinsics: Rig, complaints: Complaints) -> Rig:
    """The intrinsics in the order of the keypoints: by name where both have the same names, else by position."""
    if not isinstance(intrinsics, Rig):
        raise InputError(f"intrinsics must be a Rig, got {type(intrinsics).__name__}.")
    C = keypoints.n_cameras
    if C < 2:
        raise InputError(
            "One camera cannot be calibrated against others.",
            "Use at least two, or lift the single view (sc.load_lifter).",
        )
    if keypoints.names is not None:
        missing = [n for n in keypoints.names if n not in intrinsics.names]
        if not missing:
            rig = intrinsics.subset(keypoints.names)
        elif len(intrinsics) == C and len(missing) == C:
            rig = intrinsics  # two ways of naming: by position
        else:
            raise InputError(f"No intrinsics for {', '.join(missing)}.", f"The rig has {', '.join(intrinsics.names)}.")
    else:
        rig = intrinsics
    if len(rig) != C:
        raise InputError(
            f"Keypoints of {C} cameras, intrinsics of {len(rig)}.", "Give one camera per video, in the same order."
        )
    if keypoints.image_sizes is not None:
        for camera, size in zip(rig, keypoints.image_sizes, strict=True):
            wide = np.asarray(camera.image_size, float)
            off = float(np.max(np.abs(np.asarray(size, float) / wide - 1)))
            if off > 0.02:
                raise InputError(
                    f"Camera {camera.name!r}: the keypoints come from images of {size[0]}x{size[1]} px, the intrinsics "
                    f"belong to {camera.image_size[0]}x{camera.image_size[1]} px.",
                    "Scale K to the size of the video, or use the video that was calibrated.",
                )
            if off > 0:  # rows or columns of padding that encoders add or drop
                complaints.warn(
                    f"Camera {camera.name!r}: images of {size[0]}x{size[1]} px, intrinsics for "
                    f"{camera.image_size[0]}x{camera.image_size[1]} px; taken as they are."
                )
    return rig


def masked_quantiles(values: Floats, quantiles: Sequence[float], axis: int) -> list[Floats]:
    """Quantiles over an axis, NaN left out; NaN where all is missing. (np.nanquantile loops in Python.)"""
    ordered = np.sort(np.moveaxis(values, axis, 0), axis=0)  # NaN last
    count = np.isfinite(ordered).sum(0)
    out = []
    for q in quantiles:
        position = np.maximum(count - 1, 0) * q
        low = np.floor(position).astype(int)
        a = np.take_along_axis(ordered, low[None], 0)[0]
        b = np.take_along_axis(ordered, np.minimum(low + 1, np.maximum(count - 1, 0))[None], 0)[0]
        out.append(np.asarray(a + (b - a) * (position - low)))
    return out


def check_observations(seen: NDArray[np.bool_], names: Sequence[str], complaints: Complaints) -> None:
    """Refuse when nothing, too little, or nothing in common was seen. seen: (C, T, J)."""
    if not seen.any():
        raise DegenerateError(
            "No joint was observed in any camera (all keypoints are missing).", "Check the detector and the videos."
        )
    for name, camera in zip(names, seen, strict=True):
        if not camera.any():
            raise DegenerateError(
                f"Camera {name!r} saw no joint at all.", "Leave that camera out, or check its video and the detector."
            )
    both = np.einsum("atj,btj->ab", seen.astype(np.float32), seen.astype(np.float32))
    for i, name in enumerate(names):
        others = np.delete(both[i], i)
        if others.max(initial=0) == 0:
            raise DegenerateError(
                f"Camera {name!r} never sees the athlete at the same time as another camera.",
                "Check its synchronisation, or leave it out.",
            )
    shared = (seen.sum(0) >= 2).any(-1)
    if shared.sum() < MIN_FRAMES:
        complaints.refuse(
            f"Only {int(shared.sum())} frames were seen by two cameras at once; at least {MIN_FRAMES} are needed.",
            "Record a longer take in which the athlete moves through the volume.",
        )


#: share of the joints seen by two cameras that lie within SAME_PX of each other in both images
SAME_SHARE, SAME_PX = 0.5, 3.0
#: focal length over the image's diagonal: wide phone lenses have 0.5, the longest sports lenses about 15
SHORTEST_LENS, LONGEST_LENS = 0.2, 20.0


def check_pictures(xy: Floats, names: Sequence[str]) -> None:
    """Refuse one video given twice. xy: (C, T, J, 2) px, NaN where missing.

    Two cameras that stand apart hardly ever see a joint at the same pixel.
    """
    for i, name in enumerate(names):
        for j in range(i):
            apart = np.abs(xy[i] - xy[j]).max(-1)
            both = apart[np.isfinite(apart)]
            if both.size >= 20 and (both < SAME_PX).mean() > SAME_SHARE:
                raise DegenerateError(
                    f"Cameras {names[j]!r} and {name!r} show the same pictures: there is no baseline between them.",
                    "Check that one video was not given twice; else move the cameras apart, 30 to 120 degrees.",
                )


def check_lenses(rig: Rig, complaints: Complaints) -> None:
    """Doubt a focal length that no camera has."""
    for camera in rig:
        ratio = float(np.sqrt(camera.K[0, 0]) * np.sqrt(camera.K[1, 1]) / np.hypot(*camera.image_size))
        if not SHORTEST_LENS < ratio < LONGEST_LENS:
            wide, high = camera.image_size
            complaints.warn(
                f"Camera {camera.name!r}: a focal length of {camera.K[0, 0]:.0f} px with images of {wide}x{high} px is "
                f"too {'long' if ratio > 1 else 'short'} to be true. Check the intrinsics, or set refine_focal.",
                doubt=True,
            )


def check_motion(xy: Floats, names: Sequence[str], complaints: Complaints) -> dict[str, float]:
    """Refuse when the athlete stands still. xy: (C, T, J, 2) px, NaN where missing.

    Returns the largest spread over the cameras of place and of limbs, in body sizes (robust deviations).
    """
    place, limbs = [], []
    for camera in xy:
        p = camera[np.isfinite(camera[..., 0]).sum(-1) >= 4]
        if len(p) < 3:
            continue
        low, high = masked_quantiles(p, (0.1, 0.9), axis=1)  # (T, 2) each
        size = float(np.median(high - low, axis=0).max())
        if not size > 0:
            continue
        # Of each joint from its own usual place: which joints happen to be seen does not move the body.
        p = p - masked_quantiles(p, (0.5,), axis=0)[0]
        centre = masked_quantiles(p, (0.5,), axis=1)[0]  # (T, 2)
        place.append(float(np.ptp(np.percentile(centre, [5, 95], axis=0), axis=0).max() / size))
        left, right = masked_quantiles(p - centre[:, None], (0.16, 0.84), axis=0)  # (J, 2) each
        spread = 0.5 * (right - left).max(-1) / size
        limbs.append(float(masked_quantiles(spread, (0.75,), axis=0)[0]))
    result = {"place": max(place, default=0.0), "limbs": max(limbs, default=0.0)}
    if result["place"] < STILL_PLACE and result["limbs"] < STILL_LIMBS:
        complaints.refuse(
            f"The athlete stands still (moves by {100 * result['place']:.0f} % of the body's size in the image): "
            "cameras cannot be told apart from one pose.",
            "Record walking or the sport itself, across the whole volume, for at least ten seconds.",
        )
    return result


def explain_no_start(
    pairs: Sequence[dict[str, Any]], names: Sequence[str], min_shared: int, min_parallax: float
) -> DegenerateError:
    """Why no pair of cameras could start the reconstruction."""
    shared = max((p["num_shared"] for p in pairs), default=0)
    if shared < min_shared:
        return DegenerateError(
            f"No two cameras share enough joints at the same time (at most {shared} joint observations).",
            "Check that the videos are synchronised and show the same athlete.",
        )
    good = [p for p in pairs if p["success"]]
    if good and max(p["median_parallax_rad"] for p in good) < min_parallax:
        best = max(good, key=lambda p: p["median_parallax_rad"])
        a, b = (names[i] for i in best["cameras"])
        return DegenerateError(
            f"There is no baseline: the widest angle between two cameras ({a!r}, {b!r}) is "
            f"{np.degrees(best['median_parallax_rad']):.1f} degrees.",
            "Move the cameras apart; 30 to 120 degrees between neighbours works well.",
        )
    return DegenerateError(
        "No two cameras agree on any geometry.",
        "Check that the videos are synchronised and show the same person, and that the intrinsics are theirs.",
    )

"""One camera and several: :class:`Camera` and :class:`Rig`, public as ``sportcore.types``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._types_checks import Floats, frozen, need

__all__ = ["ASSUMED_FOCAL", "CAMERA_MODELS", "Camera", "Rig"]

CAMERA_MODELS = ("pinhole", "brown", "fisheye")
#: Focal length over the longer image side when nothing is known of a lens: the main camera of a phone that films has
#: about 0.8; a guess that may be a fifth off.
ASSUMED_FOCAL = 0.8


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated camera.

    Args:
        name: unique within a rig.
        image_size: (width, height) px.
        K: (3, 3) intrinsic matrix, px.
        distortion: () or 4, 5 or 8 Brown-Conrady coefficients in OpenCV order (k1 k2 p1 p2 k3 k4 k5 k6), or the 4
            coefficients of the fisheye model.
        model: ``"pinhole"``, ``"brown"`` or ``"fisheye"``.
        R: (3, 3) rotation cam_from_world.
        t: (3,) translation cam_from_world, metres.

    Raises:
        InputError: a value has the wrong shape or makes no camera.
    """

    name: str
    image_size: tuple[int, int]
    K: Floats
    distortion: Floats = field(default_factory=lambda: np.zeros(0))
    model: str = "brown"
    R: Floats = field(default_factory=lambda: np.eye(3))
    t: Floats = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        who = f"Camera {self.name!r}"
        need(isinstance(self.name, str) and self.name != "", "A camera needs a name.")
        pixels = frozen(self.image_size).ravel()
        need(
            pixels.size == 2 and bool((pixels >= 1).all() and (pixels < 2**31).all()),
            f"{who}: image_size must be (width, height) px, got {self.image_size}.",
        )
        size = (int(pixels[0]), int(pixels[1]))
        object.__setattr__(self, "image_size", size)
        K, dist, R = frozen(self.K), frozen(self.distortion).reshape(-1), frozen(self.R)
        t = frozen(self.t).reshape(-1)
        need(K.shape == (3, 3) and np.isfinite(K).all(), f"{who}: K must be a finite 3x3 matrix.")
        need(
            K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], [0, 0, 1]) and K[1, 0] == 0,
            f"{who}: K must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with positive focal lengths in px.",
        )
        need(abs(K[0, 1]) <= 1e-9 * K[0, 0], f"{who}: a skewed K is not supported.", "Set K[0, 1] to 0.")
        known = self.model in CAMERA_MODELS
        need(known, f"{who}: unknown camera model {self.model!r}.", f"Use one of {CAMERA_MODELS}.")
        allowed = {"pinhole": (0,), "brown": (0, 4, 5, 8), "fisheye": (0, 4)}[self.model]
        need(
            dist.size in allowed and bool(np.isfinite(dist).all()),
            f"{who}: model {self.model!r} takes {' or '.join(map(str, allowed))} finite coefficients, got {dist.size}.",
        )
        need(R.shape == (3, 3) and t.shape == (3,), f"{who}: R must be (3, 3) and t (3,).")
        need(bool(np.isfinite(R).all() and np.isfinite(t).all()), f"{who}: R and t must be finite.")
        need(
            bool(np.abs(R @ R.T - np.eye(3)).max() < 1e-4) and np.linalg.det(R) > 0,
            f"{who}: R is not a rotation matrix (R R^T = 1, det R = +1).",
        )
        for key, value in (("K", K), ("distortion", dist), ("R", R), ("t", t)):
            value.setflags(write=False)
            object.__setattr__(self, key, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Camera):
            return NotImplemented
        return (self.name, self.image_size, self.model) == (other.name, other.image_size, other.model) and all(
            np.array_equal(getattr(self, k), getattr(other, k)) for k in ("K", "distortion", "R", "t")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def center_world(self) -> Floats:
        """(3,) position of the camera in the world, metres."""
        return np.asarray(-self.R.T @ self.t)

    @property
    def P(self) -> Floats:
        """(3, 4) projection matrix K [R | t] of the undistorted camera."""
        return np.asarray(self.K @ np.concatenate([self.R, self.t[:, None]], 1))

    def replace(self, **changes: Any) -> Camera:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Rig:
    """Several cameras with unique names, in a fixed order.

    Raises:
        InputError: no camera, or a name twice.
    """

    cameras: tuple[Camera, ...]

    def __post_init__(self) -> None:
        cameras = tuple(self.cameras)
        need(len(cameras) > 0, "A rig needs at least one camera.")
        need(all(isinstance(c, Camera) for c in cameras), "A rig is made of Camera objects.")
        names = [c.name for c in cameras]
        twice = sorted({n for n in names if names.count(n) > 1})
        need(not twice, f"Camera names must be unique; given twice: {', '.join(twice)}.")
        object.__setattr__(self, "cameras", cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, key: int | str) -> Camera:
        if isinstance(key, str):
            for camera in self.cameras:
                if camera.name == key:
                    return camera
            raise KeyError(f"No camera named {key!r}; the rig has {', '.join(self.names)}.")
        return self.cameras[key]

    def __eq__(self, other: object) -> bool:
        return self.cameras == other.cameras if isinstance(other, Rig) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in order."""
        return tuple(c.name for c in self.cameras)

    @property
    def K(self) -> Floats:
        """(C, 3, 3) intrinsic matrices, px."""
        return np.stack([c.K for c in self.cameras])

    @property
    def R(self) -> Floats:
        """(C, 3, 3) rotations cam_from_world."""
        return np.stack([c.R for c in self.cameras])

    @property
    def t(self) -> Floats:
        """(C, 3) translations cam_from_world, metres."""
        return np.stack([c.t for c in self.cameras])

    @property
    def image_sizes(self) -> NDArray[np.int64]:
        """(C, 2) image width and height, px."""
        return np.array([c.image_size for c in self.cameras], dtype=np.int64)

    @property
    def centers_world(self) -> Floats:
        """(C, 3) camera positions, metres."""
        return np.stack([c.center_world for c in self.cameras])

    def with_poses(self, R: ArrayLike, t: ArrayLike) -> Rig:
        """The same cameras with new poses cam_from_world, R (C, 3, 3) and t (C, 3)."""
        Rs, ts = np.asarray(R, float), np.asarray(t, float)
        need(
            Rs.shape == (len(self), 3, 3) and ts.shape == (len(self), 3),
            f"Expected R ({len(self)}, 3, 3) and t ({len(self)}, 3), got {Rs.shape} and {ts.shape}.",
        )
        return Rig(tuple(c.replace(R=Rs[i], t=ts[i]) for i, c in enumerate(self.cameras)))

    def subset(self, names: Iterable[str]) -> Rig:
        """The named cameras, in the order given."""
        return Rig(tuple(self[name] for name in names))

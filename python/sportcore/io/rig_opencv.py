"""Camera files of OpenCV's FileStorage (YAML or XML): EasyMocap's intri/extri pair and single calibrations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.io.atomic import write_text
from sportcore.io.opencv_storage import read_storage
from sportcore.io.rig_common import PathLike, RawCamera, RigFile, build, numbers, size_of
from sportcore.types import Rig

_SINGLE_K = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "intrinsic_matrix", "mtx", "K", "M1")
_SINGLE_DIST = ("distortion_coefficients", "distCoeffs", "Distortion_Coefficients", "dist_coeffs", "dist", "D", "D1")


class _Storage:
    """A FileStorage read into plain values."""

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.values = read_storage(path)
        self.keys = list(self.values)

    def matrix(self, key: str) -> np.ndarray | None:
        value = self.values.get(key)
        if value is None or isinstance(value, np.ndarray):
            return value
        return numbers(self.path, key, value)

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        return value if isinstance(value, float) and np.isfinite(value) else None

    def names(self) -> list[str] | None:
        value = self.values.get("names")
        if value is None:
            return None
        if not isinstance(value, list):
            raise InputError(f"{self.path}: 'names' is not a list of camera names.")
        return [f"{v:g}" if isinstance(v, float) else str(v) for v in value]


def read_opencv(path: PathLike, *, image_sizes: Any) -> RigFile:
    """Read an OpenCV FileStorage of cameras.

    Two layouts: ``names`` with ``K_<name>``, ``dist_<name>`` and ``Rot_<name>`` or ``R_<name>`` (Rodrigues),
    ``T_<name>`` in metres (EasyMocap; ``intri.yml`` and ``extri.yml`` side by side are read together); or one
    camera as OpenCV's calibration sample writes it (``camera_matrix``, ``distortion_coefficients``,
    ``image_width``, ``image_height``, ``fisheye_model``).
    """
    source = Path(path)
    first = _Storage(source)
    stores = [first]
    for other in {"intri": ("extri",), "extri": ("intri",)}.get(source.stem, ()):
        sibling = source.with_name(other + source.suffix)
        if sibling.exists():
            stores.append(_Storage(sibling))

    def find(key: str) -> np.ndarray | None:
        return next((m for s in stores if (m := s.matrix(key)) is not None), None)

    names = next((n for s in stores if (n := s.names())), None)
    if names is None:
        names = [k[2:] for s in stores for k in s.keys if k.startswith("K_")]
    if names:
        return _read_named(source, stores, names, find, image_sizes)
    K = next((find(k) for k in _SINGLE_K if find(k) is not None), None)
    if K is None:
        raise InputError(
            f"{path}: holds no camera: neither 'names' with K_<name>, nor camera_matrix.",
            "An OpenCV calibration sample file or EasyMocap's intri.yml and extri.yml are read.",
        )
    dist = next((find(k) for k in _SINGLE_DIST if find(k) is not None), None)
    width, height = first.number("image_width"), first.number("image_height")
    size = (width, height) if width and height else None
    fisheye = bool(first.number("fisheye_model") or 0)
    name = source.name.split(".")[0]
    camera = RawCamera(name, size_of(path, name, image_sizes, size), K, () if dist is None else dist.ravel(), fisheye)
    return build(path, "opencv", [camera], units="m")


def _read_named(path: Path, stores: list[_Storage], names: list[str], find: Any, image_sizes: Any) -> RigFile:
    raw = []
    for name in names:
        K = find(f"K_{name}")
        if K is None:
            raise InputError(f"{path}: camera {name!r} is listed but K_{name} is missing (is intri.yml there?).")
        dist = find(f"dist_{name}")
        rotation = find(f"Rot_{name}")
        if rotation is None:
            rotation = find(f"R_{name}")
        size = next(
            ((w, h) for s in stores if (w := s.number(f"W_{name}")) and (h := s.number(f"H_{name}"))),
            None,
        )
        fisheye = any(s.number(f"fisheye_{name}") for s in stores)
        count = next((n for s in stores if (n := s.number(f"ndist_{name}")) is not None), None)
        coefficients = np.zeros(0) if dist is None else dist.ravel()
        if count is not None and not coefficients[int(count) :].any():
            coefficients = coefficients[: int(count)]
        raw.append(
            RawCamera(
                name, size_of(path, name, image_sizes, size), K, coefficients, fisheye, R=rotation, t=find(f"T_{name}")
            )
        )
    return build(path, "easymocap", raw, units="m")


def _content(rig: Rig, has_pose: tuple[bool, ...], intrinsics: bool, poses: bool) -> str:
    """Return the YAML text; written by hand because OpenCV's writer rounds nothing but cannot be made atomic."""
    lines = ["%YAML:1.0", "---", "names:", *[f'  - "{c.name}"' for c in rig]]

    def matrix(key: str, values: np.ndarray) -> None:
        rows, cols = values.shape
        data = ", ".join(repr(float(v)) for v in values.ravel())
        lines.extend([f"{key}: !!opencv-matrix", f"  rows: {rows}", f"  cols: {cols}", "  dt: d", f"  data: [{data}]"])

    for camera, posed in zip(rig, has_pose, strict=True):
        n = camera.name
        if intrinsics:
            matrix(f"K_{n}", camera.K)
            count = camera.distortion.size
            width = 4 if camera.model == "fisheye" else max(5, count)
            matrix(f"dist_{n}", np.pad(camera.distortion, (0, width - count))[None])
            lines.extend([f"W_{n}: {camera.image_size[0]}", f"H_{n}: {camera.image_size[1]}", f"ndist_{n}: {count}"])
            if camera.model == "fisheye":
                lines.append(f"fisheye_{n}: 1")
        if poses and posed:
            matrix(f"R_{n}", Rotation.from_matrix(camera.R).as_rotvec()[:, None])
            matrix(f"Rot_{n}", camera.R)
            matrix(f"T_{n}", camera.t[:, None])
    return "\n".join(lines) + "\n"


def write_opencv(rig: Rig, path: PathLike) -> None:
    """Write one camera without its pose, as OpenCV's calibration sample does: YAML, or XML by the suffix ``.xml``.

    Raises:
        InputError: more than one camera.
    """
    if len(rig) != 1:
        raise InputError(
            f"{path}: an OpenCV calibration file holds one camera, the rig has {len(rig)}.",
            'Write one file per camera (rig.subset([name])), or format="easymocap".',
        )
    (camera,) = rig
    fields = {"image_width": camera.image_size[0], "image_height": camera.image_size[1]}
    if camera.model == "fisheye":
        fields["fisheye_model"] = 1
    width = 4 if camera.model == "fisheye" else max(5, camera.distortion.size)
    padded = np.pad(camera.distortion, (0, width - camera.distortion.size))
    matrices = {"camera_matrix": camera.K, "distortion_coefficients": padded[:, None]}
    xml = Path(path).suffix.lower() == ".xml"
    lines = ['<?xml version="1.0"?>', "<opencv_storage>"] if xml else ["%YAML:1.0", "---"]
    lines += [f"<{k}>{v}</{k}>" if xml else f"{k}: {v}" for k, v in fields.items()]
    for key, values in matrices.items():
        rows, cols = values.shape
        data = [repr(float(v)) for v in values.ravel()]
        if xml:
            lines += [f'<{key} type_id="opencv-matrix">', f"  <rows>{rows}</rows>", f"  <cols>{cols}</cols>",
                      "  <dt>d</dt>", f"  <data>{' '.join(data)}</data></{key}>"]  # fmt: skip
        else:
            lines += [f"{key}: !!opencv-matrix", f"  rows: {rows}", f"  cols: {cols}", "  dt: d",
                      f"  data: [{', '.join(data)}]"]  # fmt: skip
    write_text(path, "\n".join([*lines, *(["</opencv_storage>"] if xml else [])]) + "\n")


def write_easymocap(rig: Rig, path: PathLike, *, has_pose: tuple[bool, ...]) -> None:
    """Write EasyMocap's layout: into one file when ``path`` ends in .yml or .yaml, else intri.yml and extri.yml.

    Raises:
        InputError: a camera name that cannot be a key of OpenCV's FileStorage.
    """
    for camera in rig:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", camera.name):
            raise InputError(
                f"{path}: camera name {camera.name!r} cannot be a key of an OpenCV file (letters, digits, _, - only).",
                "Rename the camera or write a .toml file.",
            )
    if Path(path).suffix.lower() in (".yml", ".yaml"):
        write_text(path, _content(rig, has_pose, True, True))
        return
    write_text(Path(path) / "intri.yml", _content(rig, has_pose, True, False))
    write_text(Path(path) / "extri.yml", _content(rig, has_pose, False, True))

"""Cameras of a COLMAP text model: ``cameras.txt`` and ``images.txt``.

COLMAP counts pixels from the image corner (the centre of the first pixel is 0.5, 0.5); ours is (0, 0), so the
principal point moves by half a pixel.  Poses are cam_from_world.  A COLMAP model has no metric scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.io.atomic import read_text, write_text
from sportcore.io.rig_common import PathLike, RawCamera, RigFile, build, numbers, quaternion_matrix
from sportcore.types import Rig

#: model -> (focal lengths, order of the distortion parameters in OpenCV's k1 k2 p1 p2 k3 k4 k5 k6, fisheye)
_MODELS: dict[str, tuple[int, tuple[int, ...], bool]] = {
    "SIMPLE_PINHOLE": (1, (), False),
    "PINHOLE": (2, (), False),
    "SIMPLE_RADIAL": (1, (0,), False),
    "RADIAL": (1, (0, 1), False),
    "OPENCV": (2, (0, 1, 2, 3), False),
    "FULL_OPENCV": (2, (0, 1, 2, 3, 4, 5, 6, 7), False),
    "OPENCV_FISHEYE": (2, (0, 1, 2, 3), True),
    "SIMPLE_RADIAL_FISHEYE": (1, (0,), True),
    "RADIAL_FISHEYE": (1, (0, 1), True),
}
_HALF_PIXEL = 0.5
MAX_IMAGES = 1000


def _rows(path: Path) -> list[list[str]]:
    return [line.split() for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]


def _cameras(path: Path) -> dict[str, RawCamera]:
    cameras = {}
    for row in _rows(path):
        if len(row) < 5:
            raise InputError(f"{path}: the line {' '.join(row)[:60]!r} is not 'ID MODEL WIDTH HEIGHT PARAMS'.")
        identifier, model = row[0], row[1]
        if model not in _MODELS:
            raise InputError(
                f"{path}: camera {identifier}: model {model} is not supported; {', '.join(_MODELS)} are.",
                "Convert it with COLMAP's image_undistorter or calibrate with one of these.",
            )
        n_focal, order, fisheye = _MODELS[model]
        values = numbers(path, f"camera {identifier}: parameters of {model}", row[4:], n_focal + 2 + len(order))
        fx, fy = values[0], values[n_focal - 1]
        cx, cy = values[n_focal : n_focal + 2] - _HALF_PIXEL
        dist = np.zeros(0 if not order else 4 if len(order) <= 4 else 8)
        dist[list(order)] = values[n_focal + 2 :]
        K = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
        kind = "fisheye" if fisheye else "brown" if order else "pinhole"
        cameras[identifier] = RawCamera(f"cam_{identifier}", row[2:4], K, dist, fisheye, kind)
    return cameras


def read_colmap(path: PathLike) -> RigFile:
    """Read a COLMAP text model; ``path`` is its folder or its ``cameras.txt``.

    Each registered image becomes a camera, named after the image without its suffix (``cam01.png`` -> cam01),
    or after its folder when the folders differ and the file names do not say more (``cam01/0001.png``).
    Without ``images.txt`` the intrinsics are read, named ``cam_<id>``.

    Raises:
        InputError: a camera model that we have no equivalent of, or images that cannot be told apart.
    """
    folder = Path(path)
    folder = folder if folder.is_dir() else folder.parent
    cameras = _cameras(folder / "cameras.txt")
    images = folder / "images.txt"
    notes = ["a COLMAP model has no metric scale; lengths are in the model's own unit"]
    if not images.exists():
        return build(path, "colmap", list(cameras.values()), units="m", notes=notes)
    headers = [fields for line in _lines(images) if _is_header(fields := line.split(maxsplit=9))]
    if not headers:
        raise InputError(f"{images}: holds no image.", "Register the images in COLMAP, or remove the empty file.")
    if len(headers) > MAX_IMAGES:
        raise InputError(
            f"{images}: has more than {MAX_IMAGES} images; each would be a camera.", "Keep one image per camera."
        )
    names = _names(path, [h[9].strip() for h in headers])
    raw = []
    for name, row in zip(names, headers, strict=True):
        if row[8] not in cameras:
            raise InputError(f"{images}: image {row[9]!r} refers to camera {row[8]}, which cameras.txt does not have.")
        base = cameras[row[8]]
        qw, qx, qy, qz = row[1:5]
        R = quaternion_matrix(images, f"image {name!r}: quaternion", [qx, qy, qz, qw])
        t = numbers(images, f"image {name!r}: translation", row[5:8], 3)
        raw.append(RawCamera(name, base.image_size, base.K, base.distortion, base.fisheye, base.model, R, t))
    return build(path, "colmap", raw, units="m", notes=notes)


def _lines(path: Path) -> Iterator[str]:
    """Lines without comments, one at a time: with its points the file may have gigabytes."""
    try:
        with open(path, encoding="utf-8-sig") as handle:
            for line in handle:
                if line.strip() and not line.startswith("#"):
                    # the name follows nine numbers; what is longer than any path is a line of points
                    yield line if len(line) < 8192 else ""
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a UTF-8 text file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _is_header(fields: list[str]) -> bool:
    """Whether a line of images.txt is an image (not its 2D points, which are triples of numbers)."""
    if len(fields) < 10:
        return False
    try:
        [float(v) for v in fields[:9]]
    except ValueError:
        return False
    try:  # a line of points has only numbers; so has no image file name
        [float(v) for v in fields[9].split()]
    except ValueError:
        return True
    return False


def _names(path: PathLike, files: list[str]) -> list[str]:
    pure = [PurePosixPath(f.replace("\\", "/")) for f in files]
    parents = [p.parent.name for p in pure]
    for names in (parents, [p.stem for p in pure], [str(p.with_suffix("")).replace("/", "_") for p in pure]):
        if all(names) and len(set(names)) == len(names):
            return names
    raise InputError(f"{path}: several images have one name; keep one image per camera in images.txt.")


def write_colmap(rig: Rig, path: PathLike, *, has_pose: tuple[bool, ...]) -> None:
    """Write a COLMAP text model into the folder ``path``; its images are called ``<camera>.png``.

    Raises:
        InputError: a camera without a pose.
    """
    lines = ["# Camera list with one line of data per camera:", "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    poses = [
        "# Image list with two lines of data per image:",
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME",
    ]
    for i, (camera, posed) in enumerate(zip(rig, has_pose, strict=True), start=1):
        if not posed:
            raise InputError(f"{path}: camera {camera.name!r} has no pose; a COLMAP model needs one.")
        dist = camera.distortion
        if camera.model == "fisheye":
            model, parameters = "OPENCV_FISHEYE", np.pad(dist, (0, 4 - dist.size))
        elif dist.size == 0:
            model, parameters = "PINHOLE", dist
        elif dist.size == 4 or not dist[4:].any():
            model, parameters = "OPENCV", dist[:4]
        else:
            model, parameters = "FULL_OPENCV", np.pad(dist, (0, 8 - dist.size))
        K = camera.K
        values = [K[0, 0], K[1, 1], K[0, 2] + _HALF_PIXEL, K[1, 2] + _HALF_PIXEL, *parameters]
        text = " ".join(repr(float(v)) for v in values)
        lines.append(f"{i} {model} {camera.image_size[0]} {camera.image_size[1]} {text}")
        x, y, z, w = Rotation.from_matrix(camera.R).as_quat()
        pose = " ".join(repr(float(v)) for v in (w, x, y, z, *camera.t))
        poses += [f"{i} {pose} {i} {camera.name}.png", ""]
    folder = Path(path)
    write_text(folder / "cameras.txt", "\n".join(lines) + "\n")
    write_text(folder / "images.txt", "\n".join(poses) + "\n")
    if not (folder / "points3D.txt").exists():
        write_text(folder / "points3D.txt", "# 3D point list with one line of data per point:\n")

"""Camera files in TOML: Pose2Sim (our own format too), aniposelib / FreeMoCap, Caliscope.

All three store OpenCV intrinsics and the pose world -> camera.  They differ in the unit of the translation,
and the files do not say it:  Pose2Sim writes metres, Caliscope metres, FreeMoCap millimetres, and aniposelib
whatever unit its calibration board was described in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.io.rig_common import (
    UNITS_PER_METRE,
    PathLike,
    RawCamera,
    RigFile,
    build,
    check_units,
    numbers,
    rig_extent,
)
from sportcore.io.toml import dump_toml
from sportcore.types import CAMERA_MODELS, Camera, Rig

_NOT_CAMERAS = ("metadata", "capture_volume", "charuco", "checkerboard")
_FORMAT_VERSION = 1


def camera_tables(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of a parsed file that describe cameras."""
    source = data["cameras"] if isinstance(data.get("cameras"), Mapping) else data
    return {
        str(k): v
        for k, v in source.items()
        if k not in _NOT_CAMERAS and isinstance(v, Mapping) and ("matrix" in v or "distortions" in v)
    }


def read_rig_toml(path: PathLike, data: Mapping[str, Any], *, units: str | None, image_sizes: Any) -> RigFile:
    """Build the rig of a parsed TOML file; see :func:`sportcore.io.read_rig`."""
    tables = camera_tables(data)
    if not tables:
        raise InputError(
            f"{path}: this TOML has no camera tables (each needs size, matrix, distortions).",
            "Supported: Pose2Sim Calib.toml, aniposelib / FreeMoCap calibration.toml, Caliscope camera_array.toml.",
        )
    metadata = data.get("metadata") if isinstance(data.get("metadata"), Mapping) else {}
    assert isinstance(metadata, Mapping)
    own = metadata.get("sportcore") if isinstance(metadata.get("sportcore"), Mapping) else {}
    assert isinstance(own, Mapping)
    caliscope = isinstance(data.get("cameras"), Mapping) or any(
        "port" in t or "rotation_count" in t for t in tables.values()
    )
    notes: list[str] = []
    raw = [
        camera
        for key, table in tables.items()
        if (camera := _raw_camera(path, key, table, own, caliscope, notes, image_sizes)) is not None
    ]
    translations = [numbers(path, f"camera {r.name!r}: translation", r.t, 3) for r in raw if r.t is not None]
    format, chosen = _format_and_units(path, tables, metadata, own, caliscope, translations, units, notes)
    return build(path, format, raw, units=chosen, notes=notes, metadata=metadata)


def _raw_camera(
    path: PathLike,
    key: str,
    table: Mapping[str, Any],
    own: Mapping[str, Any],
    caliscope: bool,
    notes: list[str],
    image_sizes: Any,
) -> RawCamera | None:
    name = table.get("name")
    if name is None:
        name = f"cam_{table.get('cam_id', table.get('port', key))}" if caliscope else key
    name = str(name)
    for needed in ("matrix",):
        if needed not in table:
            raise InputError(f"{path}: camera {name!r} has no {needed!r}.")
    if caliscope and table.get("ignore") is True:
        notes.append(f"camera {name!r} is marked 'ignore' and was left out.")
        return None
    if caliscope and table.get("rotation_count") not in (None, 0):
        notes.append(f"camera {name!r}: its video is shown rotated in Caliscope; pixels here are the unrotated ones.")
    size = table.get("size")
    if size is None:
        given = image_sizes.get(name) if isinstance(image_sizes, Mapping) else image_sizes
        if given is None:
            raise InputError(
                f"{path}: camera {name!r} has no 'size'.", "Add it to the file or pass image_sizes=(width, height)."
            )
        size = given
    rotation, translation = table.get("rotation"), table.get("translation")
    if rotation is not None and (n := numbers(path, f"camera {name!r}: rotation", rotation).size) not in (3, 9):
        raise InputError(
            f"{path}: camera {name!r}: the rotation has {n} numbers.",
            "A moving camera (one pose per frame) is not supported.",
        )
    mine = own.get("cameras", {}).get(name, {}) if isinstance(own.get("cameras"), Mapping) else {}
    fisheye = bool(table.get("fisheye", False))
    distortion = numbers(path, f"camera {name!r}: distortions", table.get("distortions", ())).tolist()
    model = None
    if isinstance(mine, Mapping) and mine:
        model = mine.get("model")
        if model not in (None, *CAMERA_MODELS):
            raise InputError(f"{path}: camera {name!r}: model {model!r} is not known.", f"One of {CAMERA_MODELS} is.")
        keep = mine.get("n_distortion")
        if isinstance(keep, int) and keep >= 0 and not np.any(distortion[keep:]):
            distortion = distortion[:keep]
        if mine.get("has_pose") is False:
            rotation = translation = None
    return RawCamera(name, size, table["matrix"], distortion, fisheye, model, rotation, translation)


def _format_and_units(
    path: PathLike,
    tables: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Any],
    own: Mapping[str, Any],
    caliscope: bool,
    translations: list[np.ndarray],
    units: str | None,
    notes: list[str],
) -> tuple[str, str]:
    """Decide what wrote the file and in which unit; an undecidable unit is an error, never a guess."""
    check_units(units)
    freemocap = any(str(k).startswith("charuco") or k == "path_to_recorded_videos" for k in metadata)
    pose2sim = "cameras" in own or any(
        "fisheye" in t and np.size(t.get("distortions", ())) == 4 for t in tables.values()
    )
    format = "caliscope" if caliscope else "aniposelib" if freemocap or not pose2sim else "pose2sim"
    extent = rig_extent(translations)
    if units is not None:
        return format, units
    if own.get("units") in UNITS_PER_METRE:
        return format, str(own["units"])
    if extent == 0:
        return format, "m"
    if caliscope or format == "pose2sim":
        if extent > 200:
            raise InputError(
                f"{path}: a {format} file is in metres, but its cameras would be {extent:.0f} m apart.",
                'If the numbers are millimetres, pass units="mm".',
            )
        return format, "m"
    if freemocap:
        chosen = "mm" if extent > 100 else None
    else:
        chosen = "m" if extent <= 60 else "mm" if extent >= 600 else None
    if chosen is None:
        raise InputError(
            f"{path}: an aniposelib file does not say its unit, and its cameras are {extent:.3g} units apart, which "
            "could be metres, centimetres or millimetres.",
            'Pass units="m", "cm" or "mm".',
        )
    notes.append(
        f"the file does not say its unit; {chosen} was taken because the cameras are {extent:.4g} units apart."
    )
    return format, chosen


def _common(camera: Camera, units: str, has_pose: bool) -> dict[str, Any]:
    dist = camera.distortion.tolist()
    rotvec = Rotation.from_matrix(camera.R).as_rotvec()
    return {
        "name": camera.name,
        "size": [float(camera.image_size[0]), float(camera.image_size[1])],
        "matrix": camera.K.tolist(),
        "distortions": dist + [0.0] * max(0, 4 - len(dist)),
        "rotation": rotvec.tolist() if has_pose else [0.0, 0.0, 0.0],
        "translation": (camera.t * UNITS_PER_METRE[units]).tolist() if has_pose else [0.0, 0.0, 0.0],
    }


def pose2sim_text(rig: Rig, *, has_pose: tuple[bool, ...], extra: Mapping[str, Any] | None) -> str:
    """Return a Pose2Sim ``Calib.toml``; what Pose2Sim has no field for goes to ``[metadata.sportcore]``.

    ``distortions`` holds all coefficients in OpenCV order (at least four), which the OpenCV functions inside
    Pose2Sim accept.
    """
    data: dict[str, Any] = {}
    mine: dict[str, Any] = {}
    for camera, posed in zip(rig, has_pose, strict=True):
        key = camera.name if camera.name not in _NOT_CAMERAS and camera.name != "cameras" else f"cam_{camera.name}"
        while key in data:
            key += "_"
        data[key] = {**_common(camera, "m", posed), "fisheye": camera.model == "fisheye"}
        mine[camera.name] = {"model": camera.model, "n_distortion": int(camera.distortion.size), "has_pose": posed}
    own: dict[str, Any] = {"version": _FORMAT_VERSION, "units": "m", "cameras": mine}
    if extra:
        own["extra"] = dict(extra)
    data["metadata"] = {"adjusted": False, "error": 0.0, "sportcore": own}
    return dump_toml(data)


def aniposelib_text(rig: Rig, *, units: str, has_pose: tuple[bool, ...]) -> str:
    """Return an aniposelib / FreeMoCap ``calibration.toml`` with translations in ``units``."""
    data: dict[str, Any] = {}
    for i, (camera, posed) in enumerate(zip(rig, has_pose, strict=True)):
        table = _common(camera, units, posed)
        if camera.model == "fisheye":
            table["fisheye"] = True
        else:
            table["distortions"] = table["distortions"] + [0.0] * max(0, 5 - len(table["distortions"]))
        if not posed:
            del table["rotation"], table["translation"]
        data[f"cam_{i}"] = table
    data["metadata"] = {"adjusted": False, "error": 0.0, "sportcore": {"units": units}}
    return dump_toml(data)


def caliscope_text(rig: Rig, *, has_pose: tuple[bool, ...]) -> str:
    """Return a Caliscope ``camera_array.toml`` (metres); camera ids are the numbers in the names, else 0, 1, …."""
    digits = ["".join(c for c in camera.name if c.isdigit()) for camera in rig]
    unique = all(digits) and len({int(d) for d in digits}) == len(rig)
    cameras: dict[str, Any] = {}
    for i, (camera, posed) in enumerate(zip(rig, has_pose, strict=True)):
        number = int(digits[i]) if unique else i
        table = _common(camera, "m", posed)
        table["size"] = [int(v) for v in camera.image_size]
        if not posed:
            del table["rotation"], table["translation"]
        extra = {"cam_id": number, "rotation_count": 0, "ignore": False, "fisheye": camera.model == "fisheye"}
        cameras[str(number)] = {**extra, **table}
    return dump_toml({"cameras": cameras})

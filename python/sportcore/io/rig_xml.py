"""Camera files in XML: Qualisys ``.qca.txt`` and Vicon ``.xcp``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.rig_common import (
    PathLike,
    RawCamera,
    RigFile,
    build,
    natural_key,
    numbers,
    quaternion_matrix,
    rotation_matrix,
)

#: Qualisys cameras look along -z with y up; OpenCV's along +z with y down.
_QUALISYS_FLIP = np.diag([1.0, -1.0, -1.0])
_SUBPIXELS = 64.0


def parse_xml(path: PathLike) -> ElementTree.Element:
    """Parse an XML file in the encoding it declares, or raise an :class:`InputError` with line and column."""
    try:
        return ElementTree.fromstring(Path(path).read_bytes().lstrip())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(
            f"{path}: is not valid XML, perhaps truncated: {error}.", "Export the calibration again."
        ) from None


def _attribute(path: PathLike, element: ElementTree.Element | None, name: str, who: str) -> str:
    value = element.get(name) if element is not None else None
    if value is None:
        raise InputError(f"{path}: {who}: attribute {name!r} is missing.")
    return value


def _optional(path: PathLike, element: ElementTree.Element, name: str, who: str, otherwise: str = "0") -> float:
    text = element.get(name) or otherwise
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: {who}: {name} = {text!r} is not a number.") from None


def _floats(path: PathLike, element: ElementTree.Element | None, who: str, *names: str) -> list[float]:
    values = []
    for name in names:
        text = _attribute(path, element, name, who)
        try:
            values.append(float(text))
        except ValueError:
            raise InputError(f"{path}: {who}: {name} = {text!r} is not a number.") from None
    return values


def read_qualisys(path: PathLike, root: ElementTree.Element) -> RigFile:
    """Read a Qualisys calibration (QTM's ``.qca.txt``).

    Intrinsics are in 1/64 px and counted from the sensor's corner: the left and top of ``fov_video`` are
    subtracted.  The transform is the camera in the world, its matrix elements written by column, in mm;
    ``R_cam_from_world = diag(1, -1, -1) @ [[r11 r12 r13], [r21 …], …]`` and ``t = -R c``.  The distortion
    coefficients are taken as they are: radial k1, k2, k3 and tangential p1, p2 in OpenCV's order.  (Pose2Sim
    divides them by 64 as well; on its demo data that changes the mean residual by 0.01 px.)  Cameras that
    record no video are left out when at least one does; the order is the natural order of the serial names.
    """
    notes: list[str] = []
    cameras = root.findall("cameras/camera")
    if not cameras:
        raise InputError(f"{path}: this Qualisys calibration holds no <camera>.")

    def films(c: ElementTree.Element) -> bool:
        model = (c.get("model") or "none").lower()
        return model == "none" or "video" in model

    chosen = [c for c in cameras if c.get("active", "1") != "0"]
    if any(films(c) for c in chosen) and not all(films(c) for c in chosen):
        out = [c.get("serial", "?") for c in chosen if not films(c)]
        notes.append(f"{len(out)} marker cameras were left out: {', '.join(out)}.")
        chosen = [c for c in chosen if films(c)]
    inactive = [c.get("serial", "?") for c in cameras if c.get("active", "1") == "0"]
    if inactive:
        notes.append(f"inactive cameras were left out: {', '.join(inactive)}.")
    raw = [_qualisys_camera(path, c, notes) for c in chosen]
    raw.sort(key=lambda r: natural_key(r.name))
    residuals = {c.get("serial", "?"): c.get("avg-residual") for c in chosen}
    return build(path, "qualisys", raw, units="mm", notes=notes, metadata={"avg-residual": residuals})


def _qualisys_camera(path: PathLike, camera: ElementTree.Element, notes: list[str]) -> RawCamera:
    name = _attribute(path, camera, "serial", "a camera")
    who = f"camera {name!r}"
    left, top, right, bottom = _floats(path, camera.find("fov_video"), who, "left", "top", "right", "bottom")
    intrinsic = camera.find("intrinsic")
    fu, fv, cu, cv = (
        v / _SUBPIXELS
        for v in _floats(path, intrinsic, who, "focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    )
    assert intrinsic is not None
    if abs(_optional(path, intrinsic, "skew", who)) > 1e-9:
        raise InputError(f"{path}: {who}: has a skewed sensor, which is not supported.")
    k1, k2, k3 = (_optional(path, intrinsic, f"radialDistortion{i}", who) for i in (1, 2, 3))
    p1, p2 = (_optional(path, intrinsic, f"tangentalDistortion{i}", who) for i in (1, 2))
    if camera.get("viewrotation", "0") not in ("0", ""):
        notes.append(f"{who}: QTM shows its video rotated by {camera.get('viewrotation')} degrees.")
    K = [[fu, 0.0, cu - left], [0.0, fv, cv - top], [0.0, 0.0, 1.0]]
    rotation = translation = None
    transform = camera.find("transform")
    if transform is not None:
        rows = _floats(path, transform, who, *(f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)))
        position = _floats(path, transform, who, "x", "y", "z")
        rotation = _QUALISYS_FLIP @ rotation_matrix(path, f"{who}: rotation", rows)
        translation = -rotation @ numbers(path, f"{who}: position", position)
    size = (right - left + 1, bottom - top + 1)
    distortion = [k1, k2, p1, p2] if k3 == 0 else [k1, k2, p1, p2, k3]
    return RawCamera(name, size, K, distortion, R=rotation, t=translation)


def read_vicon(path: PathLike, root: ElementTree.Element, *, image_sizes: Any) -> RigFile:
    """Read a Vicon calibration (``.xcp``).

    ORIENTATION is a quaternion (x, y, z, w) that turns world into camera, POSITION the camera in the world in
    mm: ``R = M(q)``, ``t = -R p``.  VICON_RADIAL2 is ``ViconRadial2 cx cy k1 k2 k3``.  When one of the cameras
    is a video camera, the others (marker cameras) are left out.  The image size is the sensor's: for a video
    cropped from the sensor pass ``image_sizes``; the principal point is then moved by half the difference.
    """
    notes: list[str] = []
    cameras = root.findall(".//Camera")
    kinds = [f"{c.get('DISPLAY_TYPE', '')} {c.get('TYPE', '')}".lower() for c in cameras]
    video = ["video" in k or "vue" in k for k in kinds]
    if any(video) and not all(video):
        notes.append(f"{video.count(False)} marker cameras were left out.")
        cameras = [c for c, v in zip(cameras, video, strict=True) if v]
    raw = []
    for camera in cameras:
        frame = camera.find("KeyFrames/KeyFrame")
        name = camera.get("DEVICEID") or camera.get("NAME") or camera.get("USERID") or ""
        if not name:
            raise InputError(f"{path}: a camera has neither DEVICEID nor NAME.")
        if frame is None:
            notes.append(f"camera {name!r} is not calibrated and was left out.")
            continue
        raw.append(_vicon_camera(path, name, camera, frame, image_sizes, notes))
    raw.sort(key=lambda r: natural_key(r.name))
    return build(path, "vicon", raw, units="mm", notes=notes)


def _split(path: PathLike, text: str, who: str) -> list[float]:
    try:
        return [float(v) for v in text.split()]
    except ValueError:
        raise InputError(f"{path}: {who}: {text[:60]!r} is not a list of numbers.") from None


def _vicon_camera(
    path: PathLike,
    name: str,
    camera: ElementTree.Element,
    frame: ElementTree.Element,
    image_sizes: Any,
    notes: list[str],
) -> RawCamera:
    who = f"camera {name!r}"
    (f,) = numbers(path, f"{who}: FOCAL_LENGTH", _split(path, _attribute(path, frame, "FOCAL_LENGTH", who), who), 1)
    aspect = _optional(path, camera, "PIXEL_ASPECT_RATIO", who, "1")
    if not aspect > 0:
        raise InputError(f"{path}: {who}: PIXEL_ASPECT_RATIO {aspect} is not positive.")
    if abs(_optional(path, camera, "SKEW", who)) > 1e-9:
        raise InputError(f"{path}: {who}: has a skewed sensor, which is not supported.")
    centre = _split(path, _attribute(path, frame, "PRINCIPAL_POINT", who), who)
    cu, cv = numbers(path, f"{who}: PRINCIPAL_POINT", centre, 2)
    sensor = numbers(path, f"{who}: SENSOR_SIZE", _split(path, _attribute(path, camera, "SENSOR_SIZE", who), who), 2)
    size = image_sizes.get(name) if isinstance(image_sizes, Mapping) else image_sizes
    if size is not None and (size[0] != sensor[0] or size[1] != sensor[1]):
        cu, cv = cu - (sensor[0] - size[0]) / 2, cv - (sensor[1] - size[1]) / 2
        notes.append(f"{who}: the video {size[0]}x{size[1]} was taken as the centre of the sensor {sensor.tolist()}.")
    distortion = [0.0, 0.0, 0.0, 0.0]
    radial2 = (frame.get("VICON_RADIAL2") or "").split()
    if len(radial2) >= 5:
        values = _split(path, " ".join(radial2[3:6]), who) + [0.0]
        distortion = [values[0], values[1], 0.0, 0.0, values[2]]
    elif any(v != 0 for v in _split(path, frame.get("VICON_RADIAL") or "", who)):
        raise InputError(
            f"{path}: {who}: has only VICON_RADIAL, whose radius is not in OpenCV's units.",
            "Calibrate with a version of Vicon Nexus or Shogun that writes VICON_RADIAL2.",
        )
    q = _split(path, _attribute(path, frame, "ORIENTATION", who), who)
    position = _split(path, _attribute(path, frame, "POSITION", who), who)
    R = quaternion_matrix(path, f"{who}: ORIENTATION", q)
    t = -R @ numbers(path, f"{who}: POSITION", position, 3)
    K = [[f, 0.0, cu], [0.0, f / aspect, cv], [0.0, 0.0, 1.0]]
    return RawCamera(name, size if size is not None else sensor, K, distortion, R=R, t=t)

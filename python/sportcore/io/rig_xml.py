"""Camera files in XML: Qualisys ``.qca.txt`` and Vicon ``.xcp``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.io.rig_common import (
    PathLike,
    RawCamera,
    RigFile,
    build,
    check_size,
    comma_hint,
    natural_key,
    numbers,
    quaternion_matrix,
    rotation_matrix,
)
from sportcore.types import Camera, Rig

#: Qualisys cameras look along -z with y up; OpenCV's along +z with y down.
_QUALISYS_FLIP = np.diag([1.0, -1.0, -1.0])
_SUBPIXELS = 64.0


def parse_xml(path: PathLike) -> ElementTree.Element:
    """Parse an XML file in the encoding it declares, or raise an :class:`InputError` with line and column."""
    check_size(path)
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
        raise InputError(f"{path}: {who}: {name} = {text!r} is not a number.", comma_hint(text)) from None


def _floats(path: PathLike, element: ElementTree.Element | None, who: str, *names: str) -> list[float]:
    values = []
    for name in names:
        text = _attribute(path, element, name, who)
        try:
            values.append(float(text))
        except ValueError:
            raise InputError(f"{path}: {who}: {name} = {text!r} is not a number.", comma_hint(text)) from None
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
        raise InputError(f"{path}: {who}: {text[:60]!r} is not a list of numbers.", comma_hint(text)) from None


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


def _radial(path: PathLike, camera: Camera, format: str, tangential: bool) -> NDArray[np.float64]:
    """(5,) k1 k2 p1 p2 k3 of a lens that the format can hold.

    Raises:
        InputError: fisheye, k4 to k6, or a tangential part where there is no place for it.
    """
    k = np.pad(camera.distortion, (0, 8 - camera.distortion.size))
    if (camera.model == "fisheye") or k[5:].any() or (not tangential and k[2:4].any()):
        raise InputError(
            f"{path}: camera {camera.name!r} has a lens that a {format} file cannot hold "
            f"({'k1 k2 p1 p2 k3' if tangential else 'k1 k2 k3, not tangential'}).",
            "Write a .toml file.",
        )
    return np.asarray(k[:5])


def _xml_text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _xml_name(path: PathLike, camera: Camera) -> str:
    """The camera's name, if XML can carry it as an attribute without changing it."""
    if any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF or ord(c) in (0xFFFE, 0xFFFF) for c in camera.name):
        raise InputError(f"{path}: camera name {camera.name!r} cannot stand in an XML file.", "Rename the camera.")
    return camera.name


def qualisys_text(rig: Rig, path: PathLike, *, has_pose: tuple[bool, ...]) -> str:
    """Return a Qualisys calibration; see :func:`read_qualisys` for its conventions.

    Raises:
        InputError: a lens that the format cannot hold.
    """
    root = ElementTree.Element("calibration", {"source": "sportcore", "type": "regular"})
    cameras = ElementTree.SubElement(root, "cameras")
    for camera, posed in zip(rig, has_pose, strict=True):
        k1, k2, p1, p2, k3 = _radial(path, camera, "Qualisys", True)
        width, height = camera.image_size
        element = ElementTree.SubElement(
            cameras, "camera", {"active": "1", "model": "Video", "serial": _xml_name(path, camera), "viewrotation": "0"}
        )
        window = {"left": 0, "top": 0, "right": width - 1, "bottom": height - 1}
        ElementTree.SubElement(element, "fov_video", {k: str(v) for k, v in window.items()})
        if posed:
            rows = _QUALISYS_FLIP @ camera.R
            pose = dict(zip("xyz", 1000.0 * camera.center_world, strict=True))
            pose |= {f"r{i + 1}{j + 1}": rows[i, j] for i in range(3) for j in range(3)}
            ElementTree.SubElement(element, "transform", {k: repr(float(v)) for k, v in pose.items()})
        K = camera.K * _SUBPIXELS
        values = {
            "focalLengthU": K[0, 0], "focalLengthV": K[1, 1], "centerPointU": K[0, 2], "centerPointV": K[1, 2],
            "skew": 0.0, "radialDistortion1": k1, "radialDistortion2": k2, "radialDistortion3": k3,
            "tangentalDistortion1": p1, "tangentalDistortion2": p2,
        }  # fmt: skip
        ElementTree.SubElement(element, "intrinsic", {k: repr(float(v)) for k, v in values.items()})
    return _xml_text(root)


def vicon_text(rig: Rig, path: PathLike, *, has_pose: tuple[bool, ...]) -> str:
    """Return a Vicon calibration; see :func:`read_vicon` for its conventions.

    Raises:
        InputError: a lens that the format cannot hold, or a camera without a pose.
    """
    root = ElementTree.Element("Cameras", {"VERSION": "1"})
    for camera, posed in zip(rig, has_pose, strict=True):
        if not posed:
            raise InputError(f"{path}: camera {camera.name!r} has no pose; a Vicon file needs one.")
        k1, k2, _, _, k3 = _radial(path, camera, "Vicon", False)
        K = camera.K
        element = ElementTree.SubElement(root, "Camera", {
            "DEVICEID": _xml_name(path, camera), "TYPE": "Video", "DISPLAY_TYPE": "Video",
            "PIXEL_ASPECT_RATIO": repr(float(K[0, 0] / K[1, 1])), "SKEW": "0",
            "SENSOR_SIZE": f"{camera.image_size[0]} {camera.image_size[1]}",
        })  # fmt: skip
        frame = ElementTree.SubElement(ElementTree.SubElement(element, "KeyFrames"), "KeyFrame")

        def text(*values: float) -> str:
            return " ".join(repr(float(v)) for v in values)

        frame.attrib.update({
            "FRAME": "0", "FOCAL_LENGTH": text(K[0, 0]), "PRINCIPAL_POINT": text(K[0, 2], K[1, 2]),
            "ORIENTATION": text(*Rotation.from_matrix(camera.R).as_quat()),
            "POSITION": text(*(1000.0 * camera.center_world)),
            "VICON_RADIAL2": "ViconRadial2 " + text(K[0, 2], K[1, 2], k1, k2, k3),
        })  # fmt: skip
    return _xml_text(root)

"""Camera files of the neighbouring tools: recognised by content, read into a :class:`~sportcore.types.Rig`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError
from sportcore.io.atomic import read_text, write_text
from sportcore.io.rig_colmap import read_colmap, write_colmap
from sportcore.io.rig_common import PathLike, RigFile, check_image_sizes, check_size, check_units
from sportcore.io.rig_opencap import FILE_NAME as OPENCAP_FILE
from sportcore.io.rig_opencap import read_opencap, write_opencap
from sportcore.io.rig_opencv import read_opencv, write_easymocap, write_opencv
from sportcore.io.rig_toml import aniposelib_text, caliscope_text, camera_tables, pose2sim_text, read_rig_toml
from sportcore.io.rig_xml import parse_xml, qualisys_text, read_qualisys, read_vicon, vicon_text
from sportcore.io.toml import read_toml
from sportcore.types import Rig

_log = logging.getLogger(__name__)

READ_FORMATS = ("toml", "qualisys", "vicon", "opencv", "colmap", "opencap")
WRITE_FORMATS = (
    "pose2sim", "aniposelib", "caliscope", "qualisys", "vicon", "opencv", "easymocap", "colmap", "opencap",
)  # fmt: skip
_SUPPORTED = (
    "Supported: Pose2Sim Calib.toml, aniposelib / FreeMoCap calibration.toml, Caliscope camera_array.toml, "
    "Qualisys .qca.txt, Vicon .xcp, OpenCV / EasyMocap .yml or .xml, a COLMAP text model, an OpenCap session."
)
ImageSizes = tuple[int, int] | Mapping[str, tuple[int, int]]


def detect_rig_format(path: PathLike) -> str:
    """Return which of ``READ_FORMATS`` a file or folder holds, judged by its content.

    Raises:
        InputError: missing, empty, or nothing that we read; the message lists what is supported.
    """
    source = Path(path)
    if source.is_dir():
        return _detect_folder(source)[0]
    if source.suffix.lower() in (".pickle", ".pkl"):
        return "opencap"
    check_size(source)
    head = read_text(source, max_bytes=65536).lstrip("\ufeff \r\n\t")
    if head.startswith("%YAML"):
        return "opencv"
    if head.startswith("<"):
        root = _root_tag(head)
        if root in ("calibration", "Cameras", "opencv_storage"):
            return {"calibration": "qualisys", "Cameras": "vicon"}.get(root, "opencv")
        if root == "":
            parse_xml(source)
        raise InputError(f"{path}: is XML with root <{root}>, not a camera file that is known.", _SUPPORTED)
    if source.suffix.lower() == ".toml":
        return "toml"
    lines = [line.split() for line in head.splitlines() if line.strip() and not line.startswith("#")]
    if lines and len(lines[0]) >= 5 and lines[0][0].isdigit() and lines[0][1].replace("_", "").isupper():
        return "colmap"
    raise InputError(f"{path}: is not a camera file that is known.", _SUPPORTED)


def _root_tag(head: str) -> str:
    import re

    match = re.search(r"<\s*([A-Za-z_][\w.-]*)", re.sub(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>", "", head, flags=re.S))
    return match.group(1) if match else ""


def _detect_folder(folder: Path) -> tuple[str, Path]:
    if (folder / "cameras.txt").exists():
        return "colmap", folder
    if (folder / "intri.yml").exists():
        return "opencv", folder / "intri.yml"
    found: list[tuple[str, Path]] = []
    for entry in sorted(folder.iterdir()):
        if not entry.is_file() or entry.name.startswith("."):
            continue
        if entry.suffix.lower() in (".toml", ".xcp", ".yml", ".yaml", ".xml") or entry.name.lower().endswith(
            ".qca.txt"
        ):
            try:
                format = detect_rig_format(entry)
                if format == "toml" and not camera_tables(read_toml(entry)):
                    continue
            except InputError:
                continue
            found.append((format, entry))
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        names = ", ".join(p.name for _, p in found)
        raise InputError(f"{folder}: holds several camera files ({names}).", "Name the one to read.")
    if next(folder.rglob(OPENCAP_FILE), None) is not None:
        return "opencap", folder
    raise InputError(f"{folder}: holds no camera file that is known.", _SUPPORTED)


def read_rig_file(
    path: PathLike,
    *,
    format: str | None = None,
    units: str | None = None,
    image_sizes: ImageSizes | None = None,
    names: tuple[str, ...] | None = None,
) -> RigFile:
    """Read a camera file and everything it says about itself.

    Args:
        path: a file, or the folder of a COLMAP model, an EasyMocap pair, an OpenCap session, or a folder that
            holds exactly one camera file.
        format: one of ``READ_FORMATS`` when the content should not decide.
        units: ``"m"``, ``"cm"`` or ``"mm"`` of a TOML file that does not say it (aniposelib).
        image_sizes: (width, height) px, for all cameras or by name, for formats that do not store it.  Where the
            file has a size, a different one here is a note, not an error (videos are often cropped or scaled).
        names: the cameras to keep, in this order.

    Returns:
        The rig in metres with its format, which cameras have a pose, and notes.

    Raises:
        InputError: the file is missing, damaged, of no known format, or describes an impossible camera.
    """
    check_units(units)
    check_image_sizes(image_sizes)
    source = Path(path)
    if format is not None and format not in READ_FORMATS:
        raise InputError(f"format {format!r} is not known; one of {', '.join(READ_FORMATS)} is.")
    if format is None:
        format = detect_rig_format(source)
    if source.is_dir() and format in ("toml", "qualisys", "vicon", "opencv"):
        source = _detect_folder(source)[1]
    if not source.is_dir() and not (format == "colmap" and source.name != "cameras.txt"):
        check_size(source)
    readers: dict[str, Callable[[], RigFile]] = {
        "toml": lambda: read_rig_toml(source, read_toml(source), units=units, image_sizes=image_sizes),
        "qualisys": lambda: read_qualisys(source, parse_xml(source)),
        "vicon": lambda: read_vicon(source, parse_xml(source), image_sizes=image_sizes),
        "opencv": lambda: read_opencv(source, image_sizes=image_sizes),
        "colmap": lambda: read_colmap(source),
        "opencap": lambda: read_opencap(source),
    }
    result = readers[format]()
    notes = [*result.notes, *_size_notes(result.rig, image_sizes)]
    rig, has_pose = result.rig, result.has_pose
    if names is not None:
        absent = [n for n in names if n not in rig.names]
        if absent:
            raise InputError(f"{path}: has no camera {', '.join(absent)}; it has {', '.join(rig.names)}.")
        has_pose = tuple(has_pose[rig.names.index(n)] for n in names)
        rig = rig.subset(names)
    return RigFile(rig, result.format, has_pose, tuple(notes), result.metadata)


def read_rig(
    path: PathLike,
    *,
    format: str | None = None,
    units: str | None = None,
    image_sizes: ImageSizes | None = None,
    names: tuple[str, ...] | None = None,
) -> Rig:
    """Read cameras from a file or folder; arguments and errors as for :func:`read_rig_file`.

    The notes of the file are logged as warnings.  A camera without a pose stands at the origin; use
    :func:`read_rig_file` to know which ones have a pose.
    """
    result = read_rig_file(path, format=format, units=units, image_sizes=image_sizes, names=names)
    for note in result.notes:
        _log.warning("%s: %s", path, note)
    return result.rig


def _size_notes(rig: Rig, image_sizes: ImageSizes | None) -> list[str]:
    notes = []
    for camera in rig:
        given = image_sizes.get(camera.name) if isinstance(image_sizes, Mapping) else image_sizes
        if given is not None and tuple(int(v) for v in given) != camera.image_size:
            w, h = camera.image_size
            notes.append(
                f"camera {camera.name!r}: calibrated at {w}x{h} px, the video is {given[0]}x{given[1]} px; "
                "the intrinsics were not changed."
            )
    return notes


def write_rig(
    rig: Rig,
    path: PathLike,
    *,
    format: str | None = None,
    units: str = "mm",
    has_pose: tuple[bool, ...] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write cameras; the format follows the suffix unless given.

    Args:
        rig: cameras in metres.
        path: ``.toml`` is Pose2Sim's format (our own), ``.yml``/``.yaml`` EasyMocap's in one file, ``.qca.txt``
            Qualisys', ``.xcp`` Vicon's.
        format: one of ``WRITE_FORMATS``; ``"colmap"``, ``"opencap"`` and, without a suffix, ``"easymocap"`` write a
            folder. ``"opencv"`` writes one camera without its pose, as OpenCV's calibration sample does, in YAML or,
            with the suffix ``.xml``, in XML.
        units: unit of the translations for ``"aniposelib"`` (FreeMoCap expects ``"mm"``); the others are in m.
        has_pose: cameras whose pose is known; all by default.
        extra: plain values kept in the Pose2Sim file under ``[metadata.sportcore.extra]``.

    Raises:
        InputError: a format that cannot hold the rig, or an unknown suffix.
        WriteError: the disk is full or the folder is not writable; the old file is kept.
    """
    check_units(units)
    target = Path(path)
    if format is None:
        by_suffix = {".toml": "pose2sim", ".yml": "easymocap", ".yaml": "easymocap", ".xcp": "vicon"}
        format = by_suffix.get(target.suffix.lower())
        if target.name.lower().endswith(".qca.txt"):
            format = "qualisys"
    if format not in WRITE_FORMATS:
        raise InputError(
            f"{path}: the format to write does not follow from the name.",
            f"Pass format= one of {', '.join(WRITE_FORMATS)}.",
        )
    posed = tuple(has_pose) if has_pose is not None else (True,) * len(rig)
    if len(posed) != len(rig):
        raise InputError(f"has_pose has {len(posed)} entries for {len(rig)} cameras.")
    if not all(np.isfinite(c.K).all() for c in rig):
        raise InputError("A camera holds NaN; nothing was written.")
    if format == "pose2sim":
        write_text(target, pose2sim_text(rig, has_pose=posed, extra=extra))
    elif format == "aniposelib":
        write_text(target, aniposelib_text(rig, units=units, has_pose=posed))
    elif format == "caliscope":
        write_text(target, caliscope_text(rig, has_pose=posed))
    elif format == "qualisys":
        write_text(target, qualisys_text(rig, target, has_pose=posed))
    elif format == "vicon":
        write_text(target, vicon_text(rig, target, has_pose=posed))
    elif format == "opencv":
        write_opencv(rig, target)
    elif format == "easymocap":
        write_easymocap(rig, target, has_pose=posed)
    elif format == "opencap":
        write_opencap(rig, target, has_pose=posed)
    else:
        write_colmap(rig, target, has_pose=posed)
    return target

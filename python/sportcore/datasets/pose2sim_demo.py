"""Pose2Sim's demonstration recordings: four cameras, 60 fps, with a Qualisys calibration.

Source: the wheel of ``pose2sim`` 0.10.49 on PyPI (BSD-3-Clause, D. Pagnon and contributors); 51 MB, fetched through
pip once and kept in the cache. Only the data files are read out of it; the package is neither installed nor run.

The single-person recording shows one walker, 100 frames; the other two a second scene with several people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from sportcore import fetch as _fetch
from sportcore.errors import InputError
from sportcore.io.hashing import hash_file

__all__ = ["RECORDINGS", "available", "ensure", "ensure_batch", "ensure_multi_person", "ensure_single_person"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

WHEEL = _fetch.Wheel(
    "pose2sim",
    "0.10.49",
    "pose2sim-0.10.49-py3-none-any.whl",
    sha256="403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1",
    size=51_189_031,
)
_CALIB = (
    "calibration/Calib.qca.txt",
    "Calib.qca.txt",
    "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
)
_ONE = (
    "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
    "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442",
    "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
    "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7",
)
_MANY = (
    "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53",
    "8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b",
    "d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99",
    "1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09",
)


def _videos(folder: str, hashes: tuple[str, ...], to: str = "") -> list[tuple[str, str, str]]:
    return [(f"{folder}videos/cam{i:02d}.mp4", f"{to}cam{i:02d}.mp4", h) for i, h in enumerate(hashes, 1)]


# recording -> files: (member below its folder in the wheel, path below the destination, SHA-256)
RECORDINGS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "single_person": ("Pose2Sim/Demo_SinglePerson/", [*_videos("", _ONE), _CALIB]),
    "multi_person": ("Pose2Sim/Demo_MultiPerson/", [*_videos("", _MANY), _CALIB]),
    "batch": (
        "Pose2Sim/Demo_Batch/",
        [*_videos("Trial_1/", _ONE, "trial_1/"), *_videos("Trial_2/", _MANY, "trial_2/"), _CALIB],
    ),
}


def available(destination: str | Path, recording: str = "single_person") -> bool:
    """True when all files of a recording lie in ``destination`` and are whole."""
    return not _missing(Path(destination), _files(recording)[1])


def ensure(recording: str, destination: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """Have the files of a recording in a folder, and return that folder.

    Args:
        recording: ``"single_person"``, ``"multi_person"`` or ``"batch"``.
        destination: folder for the files; default is a folder in the cache.
        progress: called with bytes done, bytes in all, and a word on what is going on.

    Raises:
        InputError: no such recording.
        FetchError: the wheel cannot be fetched; the message says how to put it in place by hand.
    """
    prefix, files = _files(recording)
    folder = Path(destination) if destination is not None else _fetch.cache_dir() / "pose2sim_demo" / recording
    missing = _missing(folder, files)
    if missing:
        wheel = _fetch.fetch(WHEEL, progress=progress)
        folder.mkdir(parents=True, exist_ok=True)
        _fetch.extract_members(wheel, {prefix + member: folder / to for member, to, _ in missing})
        bad = _missing(folder, missing)
        if bad:
            raise _fetch.FetchError(f"{bad[0][1]} from {wheel} has an unexpected SHA-256.", f"Remove {wheel}.")
        log.info("pose2sim demo %s unpacked into %s", recording, folder)
    return folder


def ensure_single_person(destination: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """Folder with ``cam01.mp4`` to ``cam04.mp4`` and ``Calib.qca.txt``: one walker, 100 frames."""
    return ensure("single_person", destination, progress=progress)


def ensure_multi_person(destination: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """Folder with ``cam01.mp4`` to ``cam04.mp4`` and ``Calib.qca.txt``: several people, 100 frames."""
    return ensure("multi_person", destination, progress=progress)


def ensure_batch(destination: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """Folder with ``trial_1/`` and ``trial_2/`` (four videos each) and ``Calib.qca.txt``."""
    return ensure("batch", destination, progress=progress)


def _files(recording: str) -> tuple[str, list[tuple[str, str, str]]]:
    if recording not in RECORDINGS:
        raise InputError(f"There is no recording {recording!r}.", f"Known: {', '.join(RECORDINGS)}.")
    return RECORDINGS[recording]


def _missing(folder: Path, files: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [f for f in files if not (folder / f[1]).is_file() or hash_file(folder / f[1]) != f[2]]

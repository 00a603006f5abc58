"""Files that are either complete or not there.

Every file of sportcore is written to a temporary file in the folder of its target, flushed to the disk
(fsync) and then renamed over the target; the folder entry is flushed as well.  A process that is killed,
a full disk or an exception in the middle leaves the previous file as it was.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import json
import math
import os
import re
import secrets
import shutil
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sportcore.errors import InputError, SportcoreError

# CPython 3.11 counts the depth of its syntax tree per interpreter, not per thread, so two threads that read the
# header of an array at once can fail with "AST constructor recursion depth mismatch" (python/cpython#106905).
_NUMPY_HEADERS = threading.Lock()
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_TEMPORARY = re.compile(r"^\..*\.tmp-(?P<pid>\d+)-[0-9a-f]{8}(\..*)?$")


class WriteError(SportcoreError, OSError):
    """A file could not be written; what was there before is untouched.

    ``errno`` is the operating system's number (``errno.ENOSPC`` for a full disk) and ``filename`` the target.
    """

    def __init__(
        self, message: str, remedy: str = "", *, errno: int | None = None, filename: str | None = None
    ) -> None:
        OSError.__init__(self, message, remedy)
        self.message = message
        self.remedy = remedy
        self.errno = errno
        self.filename = filename

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _write_error(error: BaseException, target: Path) -> WriteError | None:
    """Return the clear form of a failed write, or None when the error is not about writing."""
    free = _free_bytes(target.parent)
    number = getattr(error, "errno", None)
    if isinstance(error, WriteError):
        return None
    # np.ndarray.tofile reports a short write without an errno, C++ writers as a RuntimeError.
    short = number is None and isinstance(error, (OSError, RuntimeError)) and free is not None and free < 4096
    if number in _NO_SPACE or short:
        left = "unknown" if free is None else f"{free:,}"
        reason = "the file size limit is reached" if number == errno.EFBIG else "the disk is full"
        return WriteError(
            f"{target}: cannot be written, {reason} ({left} bytes free in {target.parent}). Nothing was lost: "
            "the previous file, if there was one, is unchanged.",
            "Free some space and run again.",
            errno=number or errno.ENOSPC,
            filename=str(target),
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WriteError(
            f"{target}: cannot be written ({os.strerror(number)}).",
            f"Check the permissions of {target.parent} or choose another folder.",
            errno=number,
            filename=str(target),
        )
    return None


def _temporary_path(target: Path) -> Path:
    stem = target.stem[:150]
    return target.parent / f".{stem}.tmp-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}"


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot flush a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if not target.name:
        raise InputError(f"{path}: is not the path of a file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"{target}: its folder {target.parent} cannot be made, a file is in the way. Choose another output folder."
        ) from None
    except OSError as error:
        clear = _write_error(error, target)
        if clear is not None:
            raise clear from error
        raise
    return target


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it becomes ``path`` in one step.

    The folder is created when missing.  The temporary name keeps the suffix of ``path``, so writers that
    choose their format by the suffix work.  If the body raises (KeyboardInterrupt included) the temporary
    file is removed and the old file stays as it was.  A symbolic link as target is followed.

    Raises:
        WriteError: (an ``OSError``) full disk, quota, file-size limit or missing permission; the message
            names the path and the bytes free.
        InputError: the body wrote no file, or ``path`` is a folder.
    """
    target = _target(path)
    if target.is_dir():
        raise InputError(f"{target}: is a folder, a file was to be written there. Choose another name.")
    temporary = _temporary_path(target)
    try:
        yield temporary
        if not temporary.is_file():
            raise InputError(f"{target}: nothing was written; the writer produced no file.")
        _sync_file(temporary)
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        _remove(temporary)
        clear = _write_error(error, target)
        if clear is not None:
            raise clear from error
        raise
    _sync_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``.

    For outputs that are many files.  An existing folder is replaced with everything in it, so it must be one
    that belongs to the program.  It is moved aside, replaced and then removed; a kill between the two renames
    leaves the old content in ``.<name>.tmp-….old``.

    Raises:
        WriteError: as for :func:`atomic_path`.
    """
    target = _target(path)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file, a folder was to be written there. Choose another name.")
    temporary = target.parent / f".{target.name[:150]}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir()
        yield temporary
        for name in sorted(temporary.rglob("*")):
            if name.is_file():
                _sync_file(name)
        if target.exists():
            aside = target.parent / f".{target.name[:150]}.tmp-{os.getpid()}-{secrets.token_hex(4)}.old"
            os.replace(target, aside)
            try:
                os.replace(temporary, target)
            except BaseException:
                os.replace(aside, target)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        clear = _write_error(error, target)
        if clear is not None:
            raise clear from error
        raise
    _sync_folder(target.parent)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass


def remove_stale_temporaries(folder: str | os.PathLike[str], *, min_age_s: float = 3600.0) -> list[Path]:
    """Remove the temporary files that killed runs left in ``folder`` and return their paths.

    Only names made by this module are touched, and only those older than ``min_age_s`` seconds, so that a
    run that is writing at the same time (perhaps on another machine) loses nothing.
    """
    removed = []
    for entry in sorted(Path(folder).iterdir()):
        if not _TEMPORARY.match(entry.name):
            continue
        try:
            old = time.time() - entry.lstat().st_mtime >= min_age_s
        except OSError:
            continue
        if old:
            _remove(entry)
            removed.append(entry)
    return removed


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to ``path`` atomically and return the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write ``text`` as UTF-8 with its line ends unchanged, atomically, and return the path."""
    return write_bytes(path, text.encode("utf-8"))


def to_jsonable(value: Any) -> Any:
    """Return ``value`` as plain JSON types.

    Dataclasses become objects, arrays lists, paths strings, enums their names, tuples lists, sets sorted
    lists; NaN and infinity become null because JSON has no word for them.

    Raises:
        InputError: a value of another type, named with its type.
    """
    if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        return to_jsonable(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k.name if isinstance(k, enum.Enum) else str(k): to_jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_jsonable(v) for v in value), key=repr)
    raise InputError(f"a value of type {type(value).__name__} cannot be written as JSON")


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 2) -> Path:
    """Write ``value`` (see :func:`to_jsonable`) as UTF-8 JSON, atomically, and return the path."""
    text = json.dumps(to_jsonable(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing, empty, truncated or not JSON; the message names file and line.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" (line {error.lineno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(
            f"{path}: is not valid JSON, perhaps truncated{where}. Write it again or restore it from its source."
        ) from None


def read_text(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> str:
    """Read a text file as UTF-8, or UTF-16 where a byte order mark says so.

    Raises:
        InputError: missing, a folder, unreadable, empty or not text.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read() if max_bytes is None else handle.read(max_bytes)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if not data.strip():
        raise InputError(f"{path}: is empty.")
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        if max_bytes is not None:
            return data.decode("utf-8", errors="replace")
        raise InputError(f"{path}: is not a UTF-8 text file.") from None


def save_npz(path: str | os.PathLike[str], *, compressed: bool = True, **arrays: Any) -> Path:
    """Write named arrays as .npz, atomically; equal arrays give an equal file, byte for byte.

    Strings are stored as unicode arrays.  Object arrays (pickles) are refused.

    Raises:
        InputError: an array of objects.
        WriteError: the disk is full, or the folder is not writable.
    """
    converted = {name: np.asanyarray(value) for name, value in arrays.items()}
    for name, array in converted.items():
        if array.dtype.hasobject:
            raise InputError(f"{path}: array {name!r} holds Python objects; only numbers and text can be stored.")
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", method, allowZip64=True) as archive:
        for name, array in converted.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return Path(path)


def read_numpy(path: str | os.PathLike[str]) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file or all arrays of an .npz; several threads may read at once, pickles are refused.

    Raises:
        Exception: whatever NumPy, zipfile and zlib raise on a damaged file; :func:`load_npz` has one error for all.
    """
    with _NUMPY_HEADERS:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            return {name: archive[name] for name in archive.files}


def load_npz(path: str | os.PathLike[str], *, required: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file; pickles are never executed.

    Raises:
        InputError: missing, truncated or not an .npz file, or one of ``required`` is not in it.
    """
    try:
        arrays = read_numpy(path)
        if isinstance(arrays, np.ndarray):
            raise ValueError("a single array")
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist. Check the path.") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
        raise InputError(
            f"{path}: is not a readable .npz file, perhaps truncated. Write it again or restore it."
        ) from error
    missing = [name for name in required if name not in arrays]
    if missing:
        raise InputError(
            f"{path}: has no array {', '.join(map(repr, missing))}; it holds {', '.join(sorted(arrays)) or 'nothing'}."
        )
    return arrays

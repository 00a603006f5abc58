"""Motion-capture clips of single people, as Human3.6M-17 joints."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.atomic import read_numpy, save_npz

__all__ = ["Clip", "Mocap", "excerpt", "load_mocap", "save_mocap", "shipped_motion"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One recording of one person.

    Attributes:
        name: name of the clip.
        group: kind of motion, for instance ``"daily"``; empty when unknown.
        description: what the person does; empty when unknown.
        points_world_m: (T, 17, 3) float32 joints of ``H36M17``, metres, Z up.
    """

    name: str
    points_world_m: NDArray[np.float32]
    group: str = ""
    description: str = ""

    @property
    def n_frames(self) -> int:
        """T."""
        return int(self.points_world_m.shape[0])


@dataclass(frozen=True)
class Mocap:
    """A list of clips at one frame rate.

    Attributes:
        clips: the clips, in the order of their names.
        fps: frames per second.
    """

    clips: tuple[Clip, ...]
    fps: float = 60.0
    source: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def n_frames(self) -> int:
        """Frames of all clips together."""
        return sum(c.n_frames for c in self.clips)

    def groups(self) -> dict[str, int]:
        """Frames per group."""
        out: dict[str, int] = {}
        for c in self.clips:
            out[c.group] = out.get(c.group, 0) + c.n_frames
        return out

    def select(self, keep: Iterable[str] | Callable[[Clip], bool]) -> Mocap:
        """The clips of some groups, or those for which a function is true.

        Raises:
            InputError: no clip is left.
        """
        if callable(keep):
            clips = tuple(c for c in self.clips if keep(c))
        else:
            names = {keep} if isinstance(keep, str) else set(keep)
            clips = tuple(c for c in self.clips if c.group in names)
        if not clips:
            raise InputError("No motion clip is left by this selection.", f"Groups here: {sorted(self.groups())}.")
        return Mocap(clips, self.fps, self.source)

    def hold_out(self, every: int, group: str = "daily") -> tuple[Mocap, Mocap]:
        """Split off each ``every``-th clip of a group (by name order, starting with the first).

        Returns:
            (all other clips, the clips held out).
        """
        if every < 2:
            raise InputError(f"every must be at least 2, got {every}.")
        names = [c.name for c in self.clips if c.group == group][::every]
        out = set(names)
        return self.select(lambda c: c.name not in out), self.select(lambda c: c.name in out)


def load_mocap(path: str | Path, *, clips_table: str | Path | None = None, max_jump_m: float = 0.5) -> Mocap:
    """Read motion clips from an ``.npz`` with one (T, 17, 3) array per clip.

    Integer arrays are millimetres, floating-point arrays are metres; Z is up, joints are in ``H36M17`` order. The
    frame rate is taken from the file name (``..._60hz.npz``), else 60. A clip is cut where the pelvis jumps by more
    than ``max_jump_m`` from one frame to the next (a break of the recording); its longest piece is kept.

    Args:
        path: the ``.npz`` file.
        clips_table: tab-separated table with columns clip, frames, group, description; by default a file
            ``*clips.tsv`` next to ``path`` if there is exactly one.
        max_jump_m: see above; metres.

    Raises:
        InputError: the file is missing, is no such ``.npz``, or holds arrays of another shape or with values that
            are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No motion file {path}.", "Give the path of an .npz with one (T, 17, 3) array per clip.")
    table = _read_table(path, clips_table)
    clips = []
    try:
        data = read_numpy(path)
        if isinstance(data, np.ndarray):
            raise ValueError("it holds a single array")
        for name in sorted(data):
            clips.append(_clip(path, name, data[name], table.get(name, ("", "")), max_jump_m))
    except InputError:
        raise
    except Exception as error:  # zipfile, ValueError, OSError: all mean that the file cannot be read
        raise InputError(f"{path} cannot be read as motion clips: {error}.", "It must be an .npz file.") from error
    if not clips:
        raise InputError(f"{path} holds no clip.")
    stem = path.stem.lower()
    fps = 60.0
    if stem.endswith("hz") and (digits := stem[:-2].rsplit("_", 1)[-1]).isdigit():
        fps = float(digits)
    return Mocap(tuple(clips), fps, path.name)


def shipped_motion() -> Path:
    """A few minutes of varied motion that ship with the package, for replay against forgetting.

    Pieces of 131 clips of mocap.cs.cmu.edu (created with funding from NSF EIA-0196217; free of restrictions on use),
    one retargeted skeleton, 60 Hz; made with :func:`excerpt`.
    """
    return Path(__file__).parent / "replay_60hz.npz"


def excerpt(motion: Mocap, seconds_per_clip: float = 1.6) -> Mocap:
    """The middle of every clip, so that all kinds of motion stay in a small file.

    Raises:
        InputError: ``seconds_per_clip`` is not positive.
    """
    if not seconds_per_clip > 0:
        raise InputError(f"seconds_per_clip must be positive, got {seconds_per_clip}.")
    wanted = max(1, round(seconds_per_clip * motion.fps))
    clips = []
    for clip in motion.clips:
        first = max(0, (clip.n_frames - wanted) // 2)
        clips.append(replace(clip, points_world_m=clip.points_world_m[first : first + wanted]))
    return Mocap(tuple(clips), motion.fps, motion.source)


def save_mocap(motion: Mocap, path: str | Path) -> Path:
    """Write clips as whole millimetres, in the form that :func:`load_mocap` reads.

    The name must end in the frame rate (``..._60hz.npz``), which is where it is read from; groups and descriptions are
    not stored.

    Raises:
        InputError: the name does not say the frame rate.
    """
    path = Path(path)
    if not path.stem.lower().endswith(f"_{motion.fps:g}hz"):
        raise InputError(f"{path.name} must end in _{motion.fps:g}hz.npz: that is where the frame rate is read from.")
    arrays: dict[str, Any] = {c.name: np.round(c.points_world_m * 1000).astype(np.int16) for c in motion.clips}
    return save_npz(path, **arrays)


def _clip(path: Path, name: str, values: NDArray, about: tuple[str, str], max_jump_m: float) -> Clip:
    if values.ndim != 3 or values.shape[1:] != (17, 3):
        raise InputError(f"{path}: clip {name!r} has shape {values.shape}, expected (T, 17, 3).")
    metres = values.astype(np.float32) / 1000 if values.dtype.kind in "iu" else values.astype(np.float32)
    if not np.isfinite(metres).all():
        raise InputError(f"{path}: clip {name!r} has values that are not finite.")
    jumps = np.flatnonzero(np.linalg.norm(np.diff(metres[:, 0], axis=0), axis=-1) > max_jump_m) + 1
    if len(jumps):
        edges = [0, *jumps.tolist(), len(metres)]
        longest = int(np.argmax(np.diff(edges)))
        first, last = edges[longest], edges[longest + 1]
        _log.info("clip %s: kept frames %d to %d of %d, the pelvis jumps", name, first, last - 1, len(metres))
        metres = metres[first:last]
    return Clip(name, np.ascontiguousarray(metres), *about)


def _read_table(path: Path, table: str | Path | None) -> dict[str, tuple[str, str]]:
    if table is None:
        found = sorted(path.parent.glob("*clips.tsv"))
        if len(found) != 1:
            return {}
        table = found[0]
    try:
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return {r["clip"]: (r["group"] or "", r.get("description") or "") for r in rows}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(
            f"The table of clips {table} cannot be read: {error!r}.", "It needs the columns clip and group."
        ) from error

"""What a run shows on a terminal: one bar per stage with the time left, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["PlainView", "RichView", "bound", "make_view", "table"]


def _seconds(s: float) -> str:
    s = max(s, 0.0)
    if s < 10:
        return f"{s:.1f} s"
    if s < 100:
        return f"{s:.0f} s"
    return f"{int(s // 60)} min {int(s % 60):02d} s"


class PlainView:
    """Lines on a stream: a stage when it starts and ends, and now and then how far it is.

    Args:
        stream: where to write; standard error by default.
        every_s: shortest time between two lines of one stage.
    """

    def __init__(self, stream: TextIO | None = None, every_s: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.every_s = every_s
        self._started: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")  # in one piece: videos are searched side by side
        self.stream.flush()

    def event(self, stage: str, event: str, detail: str = "") -> None:
        """A stage starts, is reused, is done or failed."""
        now = time.monotonic()
        if event == "start":
            self._started[stage] = self._shown[stage] = now
        elif event == "reuse":
            self._line(f"  = {stage}: already done, unchanged")
        elif event == "done":
            took = now - self._started.get(stage, now)
            self._line(f"  + {stage}: {_seconds(took)}" + (f", {detail}" if detail else ""))
        elif event == "failed":
            self._line(f"  ! {stage}: stopped")
        elif event == "note":
            self._line(f"    {detail}")

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """How far a stage is."""
        now = time.monotonic()
        started = self._started.setdefault(stage, now)
        if done >= total or now - self._shown.get(stage, started) < self.every_s:
            return
        self._shown[stage] = now
        left = (now - started) / max(done, 1) * (total - done)
        self._line(f"    {stage}: {done}/{total} {message}, {_seconds(left)} left")


class RichView:
    """Bars drawn by the ``rich`` package."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self.console = Console(file=stream or sys.stderr, highlight=False)
        self.bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False), console=self.console, transient=True,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> RichView:
        self.bars.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bars.stop()

    def event(self, stage: str, event: str, detail: str = "") -> None:
        """A stage starts, is reused, is done or failed."""
        if event == "start":
            self._started[stage] = time.monotonic()
            self._tasks[stage] = self.bars.add_task(stage, total=None, note="")
            return
        if (task := self._tasks.pop(stage, None)) is not None:
            self.bars.remove_task(task)
        took = _seconds(time.monotonic() - self._started.get(stage, time.monotonic()))
        text = {
            "reuse": f"  = {stage}: already done, unchanged",
            "done": f"  + {stage}: {took}" + (f", {detail}" if detail else ""),
            "failed": f"  ! {stage}: stopped",
            "note": f"    {detail}",
        }[event]
        self.console.print(text, markup=False)

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """How far a stage is."""
        if stage not in self._tasks:
            self._tasks[stage] = self.bars.add_task(stage, total=None, note="")
        self.bars.update(self._tasks[stage], completed=done, total=total, note=message)


class QuietView(PlainView):
    """Says nothing."""

    def _line(self, text: str) -> None:
        return None


def bound(view: Any, stage: str) -> Callable[[int, int, str], None]:
    """``progress(done, total, message)`` of one stage of a view."""

    def tell(done: int, total: int, message: str = "") -> None:
        view.progress(stage, done, total, message)

    return tell


def make_view(quiet: bool = False) -> PlainView | RichView:
    """Bars on a terminal when ``rich`` is there, plain lines otherwise."""
    if quiet:
        return QuietView()
    if sys.stderr.isatty():
        try:
            return RichView()
        except ImportError:
            pass
    return PlainView()


def table(rows: list[list[str]], header: list[str]) -> str:
    """A text table; columns of numbers are set to the right."""
    cells = [header, *rows]
    widths = [max(len(r[i]) for r in cells) for i in range(len(header))]

    def numeric(i: int) -> bool:
        return all(not r[i] or r[i][0] in "0123456789-+.–" for r in rows)

    lines = []
    for r in cells:
        parts = [r[i].rjust(widths[i]) if numeric(i) else r[i].ljust(widths[i]) for i in range(len(header))]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)

"""What a run shows: plain lines with the time left, tables with aligned columns."""

from __future__ import annotations

import io

import pytest

from sportcore.terminal import PlainView, make_view, table


def test_plain_lines_say_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("sportcore.terminal.time.monotonic", lambda: now[0])
    out = io.StringIO()
    with PlainView(out, every_s=10) as view:
        view.event("detect", "start")
        for step in range(1, 5):
            now[0] = 6.0 * step
            view.progress("detect", step, 5, "cam01")
        now[0] = 30.0
        view.event("detect", "done")
        view.event("sync", "reuse")
        view.event("", "note", "the clocks drift")
    lines = out.getvalue().splitlines()
    assert lines == [
        "    detect: 2/5 cam01, 18 s left",
        "    detect: 4/5 cam01, 6.0 s left",
        "  + detect: 30 s",
        "  = sync: already done, unchanged",
        "    the clocks drift",
    ]


def test_a_quiet_view_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with make_view(quiet=True) as view:
        view.event("a", "start")
        view.progress("a", 1, 2)
        view.event("a", "done")
    assert capsys.readouterr().err == ""


def test_bars_are_drawn_where_rich_is_installed() -> None:
    pytest.importorskip("rich")
    from sportcore.terminal import RichView

    out = io.StringIO()
    with RichView(out) as view:
        view.event("a", "start")
        view.progress("a", 1, 2, "half")
        view.event("a", "done")
        view.event("b", "reuse")
        view.event("", "note", "[cam01] is late")
    assert "+ a" in out.getvalue() and "= b" in out.getvalue() and "[cam01] is late" in out.getvalue()


def test_numbers_are_set_to_the_right() -> None:
    text = table([["a", "1.5"], ["long", "12.25"]], ["name", "px"])
    assert text.splitlines() == ["name     px", "----  -----", "a       1.5", "long  12.25"]

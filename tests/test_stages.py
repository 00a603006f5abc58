"""Stages: whole or not there, redone only when something they depend on changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sportcore.errors import SportcoreError
from sportcore.stages import FileHashes, StageStore


def write(text: str):
    def work(folder: Path) -> dict[str, int]:
        (folder / "out.txt").write_text(text)
        return {"length": len(text)}

    return work


def test_a_stage_is_computed_once_and_again_after_a_change(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    a = store.run("a", write("one"), inputs={}, options={"x": 1})
    again = store.run("a", write("never"), inputs={}, options={"x": 1})
    assert not a.reused and again.reused and again.file("out.txt").read_text() == "one" and again.info["length"] == 3
    changed = store.run("a", write("two"), inputs={}, options={"x": 2})
    assert not changed.reused and changed.key != a.key
    back = store.run("a", write("never"), inputs={}, options={"x": 1})
    assert back.reused  # going back to an earlier option is free
    assert not store.run("a", write("v2"), inputs={}, options={"x": 1}, version="2").reused


def test_only_what_depends_on_a_change_is_redone(tmp_path: Path) -> None:
    ran: list[str] = []

    def road(opt_a: int, opt_b: int) -> None:
        store = StageStore(tmp_path)

        def step(name: str):
            def work(folder: Path) -> None:
                ran.append(name)
                (folder / "x").write_text(name)

            return work

        a = store.run("a", step("a"), inputs={}, options=opt_a)
        b = store.run("b", step("b"), inputs={"a": a.key}, options=opt_b)
        store.run("c", step("c"), inputs={"b": b.key})

    road(1, 1)
    assert ran == ["a", "b", "c"]
    ran.clear()
    road(1, 2)
    assert ran == ["b", "c"]
    ran.clear()
    road(2, 2)
    assert ran == ["a", "b", "c"]


def test_a_failed_stage_leaves_nothing_and_is_not_done(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise SportcoreError("no person was found")

    events: list[tuple[str, str]] = []
    store = StageStore(tmp_path, on_event=lambda n, e, d: events.append((n, e)))
    with pytest.raises(SportcoreError, match="no person"):
        store.run("a", fail, inputs={})
    assert list(tmp_path.iterdir()) == [] and ("a", "failed") in events
    assert not store.run("a", write("ok"), inputs={}).reused


def test_a_damaged_output_is_computed_again(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    a = store.run("a", write("one"), inputs={})
    a.file("out.txt").write_text("")
    assert not store.run("a", write("one"), inputs={}).reused
    (a.folder / "stage.json").write_text("{")
    assert not store.run("a", write("one"), inputs={}).reused


def test_old_versions_are_forgotten_but_the_last_three_stay(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    for x in range(5):
        r = store.run("a", write(str(x)), inputs={}, options=x)
        os.utime(r.folder, (x, x))
    assert len(list(tmp_path.glob("a-*"))) == 3


def test_killed_in_the_middle_the_stage_is_not_there(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from sportcore.stages import StageStore
        def work(folder):
            (folder / "out.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        StageStore(Path({str(tmp_path)!r})).run("a", work, inputs={{}})
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    store = StageStore(tmp_path)
    assert not store.run("a", write("whole"), inputs={}).reused
    assert store.run("a", write("x"), inputs={}).file("out.txt").read_text() == "whole"


def test_two_processes_do_not_share_a_session(tmp_path: Path) -> None:
    with StageStore(tmp_path).locked(), pytest.raises(SportcoreError, match="Another process"):
        with StageStore(tmp_path).locked():
            pass


def test_file_hashes_are_remembered_until_the_file_changes(tmp_path: Path) -> None:
    f = tmp_path / "v.mp4"
    f.write_bytes(b"abc")
    hashes = FileHashes(tmp_path / "h.json")
    first = hashes(f)
    assert FileHashes(tmp_path / "h.json")(f) == first
    f.write_bytes(b"abd")
    os.utime(f, (1, 1))
    assert hashes(f) != first

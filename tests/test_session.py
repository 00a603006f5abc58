"""Sessions: found without a TOML, strict with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.options import from_table, with_overrides
from sportcore.session import load_session


@dataclass(frozen=True)
class Inner:
    x: float = 0.0


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    kind: Literal["a", "b"] = "a"
    pair: tuple[str, str] | None = None
    flag: bool = False
    n: int | None = None


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_videos_are_found_in_either_place(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "a.MOV", "notes.txt")
    s = load_session(tmp_path)
    assert list(s.videos) == ["a", "b"] and not s.monocular and s.output == tmp_path / "sportcore"
    other = tmp_path / "x"
    touch(other, "videos/c.mp4")
    assert list(load_session(other).videos) == ["c"] and load_session(other).monocular
    assert list(load_session(tmp_path / "b.mp4").videos) == ["b"]


def test_options_come_from_the_file_and_the_command_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "session.toml").write_text('[athlete]\nheight_m = 1.8\n[detect]\nmodel = "blazepose-full"\n')
    s = load_session(tmp_path, {"detect.start_s": 2, "tune.iterations": 0})
    assert s.athlete.height_m == 1.8 and s.detect.model == "blazepose-full"
    assert s.detect.start_s == 2.0 and s.tune.iterations == 0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[athlete]\nheigth_m = 1.8", "Did you mean 'height_m'"),
        ("[atlete]\nheight_m = 1.8", r"Did you mean \[athlete\]"),
        ("[athlete]\nheight_m = '1.8'", "must be a number"),
        ("[athlete]\nheight_m = 178", "stature in metres"),
        ("[cameras]\nposes = 'bodies'", "Did you mean 'body'"),
        ("[session]\nvideos = ['none.mp4']", "does not exist"),
        ("[athlete\n", "not valid TOML"),
        ("[tune]\niterations = 1.5", "must be a number"),
        ("[detect]\nstart_s = 5\nend_s = 3", "start_s < end_s"),
    ],
)
def test_a_wrong_option_is_an_error_that_helps(tmp_path: Path, text: str, match: str) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "session.toml").write_text(text)
    with pytest.raises(InputError, match=match):
        load_session(tmp_path)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_session(tmp_path / "no")
    with pytest.raises(InputError, match="No video"):
        load_session(tmp_path)
    touch(tmp_path, "a.mp4", "a.mov")
    with pytest.raises(InputError, match="Two videos"):
        load_session(tmp_path)


def test_unknown_lenses_are_assumed_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    rig, source, notes = load_session(tmp_path).intrinsics({"a": (1920, 1080)})
    assert source == "assumed" and rig.K[0, 0, 0] == pytest.approx(0.8 * 1920) and "unknown" in notes[0]
    rig, source, notes = load_session(tmp_path, {"cameras.fov_deg": 90}).intrinsics({"a": (1920, 1080)})
    assert rig.K[0, 0, 0] == pytest.approx(960) and not notes
    assert np.allclose(rig.K[0, :2, 2], [959.5, 539.5])


def test_overrides_do_not_touch_the_original() -> None:
    table = {"a": {"b": 1}}
    assert with_overrides(table, {"a.b": 2, "c.d.e": 3}) == {"a": {"b": 2}, "c": {"d": {"e": 3}}}
    assert table == {"a": {"b": 1}}


def test_tables_become_options_with_checked_types() -> None:
    got = from_table(Outer, {"inner": {"x": 2}, "pair": ["l", "r"], "n": 3, "flag": True})
    assert got == Outer(inner=Inner(2.0), pair=("l", "r"), n=3, flag=True)
    assert isinstance(got.inner.x, float)
    for table, match in [
        ({"inner": {"y": 2}}, "no option 'y'"),
        ({"kind": "c"}, "not allowed"),
        ({"pair": ["l"]}, "2 entries"),
        ({"flag": 1}, "true or false"),
        ({"n": True}, "a number"),
        ({"inner": 3}, "must be a table"),
    ]:
        with pytest.raises(InputError, match=match):
            from_table(Outer, table)

"""Atomic writing and stable hashes: nothing is lost on errors, kills and full disks."""

from __future__ import annotations

import dataclasses
import enum
import errno
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sportcore.errors import InputError, SportcoreError
from sportcore.io import (
    WriteError,
    atomic_folder,
    atomic_path,
    hash_arrays,
    hash_file,
    hash_json,
    load_npz,
    read_json,
    remove_stale_temporaries,
    save_npz,
    write_bytes,
    write_json,
    write_text,
)

posix_only = pytest.mark.skipif(os.name != "posix", reason="uses POSIX limits and signals")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_success_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "old\r\n")
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert target.read_bytes() == b"old\r\n"
    assert target.read_text() == "new"
    assert names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path / "a", "x")
    write_text(tmp_path / "file", "x")
    with pytest.raises(InputError, match="a file is in the way"):
        write_text(tmp_path / "file" / "b.txt", "x")


@posix_only
def test_a_full_device_says_what_is_wrong_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = write_text(tmp_path / "a.bin", "old")
    with pytest.raises(WriteError) as caught, atomic_path(target), open("/dev/full", "wb") as full:
        full.write(b"x" * 100_000)
    assert caught.value.errno == errno.ENOSPC and isinstance(caught.value, (OSError, SportcoreError))
    for part in (str(target), "disk is full", "bytes free", "Nothing was lost"):
        assert part in str(caught.value)
    assert target.read_text() == "old" and names(tmp_path) == ["a.bin"]


@posix_only
def test_a_file_size_limit_in_a_real_process(tmp_path: Path) -> None:
    target = save_npz(tmp_path / "a.npz", x=np.arange(3))
    before = target.read_bytes()
    code = """
    import resource, signal, sys
    import numpy as np
    from sportcore.io import save_npz
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    try:
        save_npz(sys.argv[1], x=np.random.default_rng(0).normal(size=100000))
    except OSError as error:
        print(error)
        raise SystemExit(7)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(target)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 7, result.stderr
    assert "file size limit" in result.stdout and str(target) in result.stdout
    assert target.read_bytes() == before and names(tmp_path) == ["a.npz"]


@posix_only
def test_a_kill_leaves_the_old_file_and_the_rest_can_be_swept(tmp_path: Path) -> None:
    target = write_text(tmp_path / "a.txt", "old")
    code = """
    import sys, time
    from sportcore.io import atomic_path
    with atomic_path(sys.argv[1]) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    assert remove_stale_temporaries(tmp_path) == []  # too young: another run may be writing it
    assert len(remove_stale_temporaries(tmp_path, min_age_s=0.0)) == 1
    assert names(tmp_path) == ["a.txt"]


def test_sweeping_touches_only_its_own_names(tmp_path: Path) -> None:
    for name in (".a.tmp-12-0123abcd.txt", ".hidden.tmp", "a.tmp-12-0123abcd", ".a.tmp-x-0123abcd"):
        (tmp_path / name).write_text("x")
    old = time.time() - 7200
    for p in tmp_path.iterdir():
        os.utime(p, (old, old))
    assert [p.name for p in remove_stale_temporaries(tmp_path)] == [".a.tmp-12-0123abcd.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WriteError, match="permissions"):
            write_text(tmp_path / "a", "x")
    finally:
        tmp_path.chmod(0o700)


@posix_only
def test_mode_and_symbolic_link_are_kept(tmp_path: Path) -> None:
    real = write_text(tmp_path / "real.txt", "old")
    real.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(real)
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for content in ("1", "2"):
        with atomic_folder(target) as folder:
            (folder / f"f{content}").write_text(content)
    assert names(target) == ["f2"]
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "f3").write_text("3")
        raise RuntimeError
    assert names(target) == ["f2"] and names(tmp_path) == ["set"]


def test_npz_is_equal_byte_for_byte_and_refuses_objects(tmp_path: Path) -> None:
    data = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bé"]), "n": np.float64(3)}
    a, b = save_npz(tmp_path / "a.npz", **data), save_npz(tmp_path / "b.npz", **data)
    assert a.read_bytes() == b.read_bytes()
    back = load_npz(a, required=("x",))
    assert all(np.array_equal(back[k], v) and back[k].dtype == v.dtype for k, v in data.items())
    with pytest.raises(InputError, match="objects"):
        save_npz(a, x=np.array([None, {}], dtype=object))
    assert a.read_bytes() == b.read_bytes()
    with pytest.raises(InputError, match="'y'"):
        load_npz(a, required=("y",))


def test_npz_is_read_by_several_threads_at_once(tmp_path: Path) -> None:
    """A collection in the middle of parsing a header gives way to other threads, as finalisers of real programs do."""
    path = save_npz(tmp_path / "a.npz", **{f"a{i}": np.full((3, 2), i) for i in range(20)})

    def read(depth: int) -> float:
        return read(depth - 1) if depth else float(load_npz(path)["a19"].sum())

    def give_way(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    thresholds = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(10)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, [i % 7 for i in range(100)])) == {114.0}
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(give_way)


@pytest.mark.parametrize("keep", [0, 10, 200, -30, -1])
def test_damaged_npz(tmp_path: Path, keep: int) -> None:
    path = save_npz(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=100))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.npz"):
        load_npz(path)


def test_npz_with_flipped_bytes_and_pickles(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=100))
    data = bytearray(path.read_bytes())
    data[120] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError):
        load_npz(path)
    np.savez(tmp_path / "evil.npz", x=np.array([Exception()], dtype=object))
    with pytest.raises(InputError):
        load_npz(tmp_path / "evil.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(InputError):
        load_npz(tmp_path / "single.npy")
    with pytest.raises(InputError, match="does not exist"):
        load_npz(tmp_path / "absent.npz")


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Options:
    size_px: int = 3
    colour: Colour = Colour.RED


def test_json_of_everything(tmp_path: Path) -> None:
    value = {"a": np.arange(2), "b": np.nan, "c": Options(), "d": Path("x") / "y", "e": (1, {"z", "y"}), "f": np.True_}
    write_json(tmp_path / "a.json", value)
    expected = {"a": [0, 1], "b": None, "c": {"size_px": 3, "colour": "RED"}, "d": str(Path("x") / "y"), "f": True}
    assert read_json(tmp_path / "a.json") == {**expected, "e": [1, ["y", "z"]]}
    with pytest.raises(InputError, match="object"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json(tmp_path / "a.json")["f"] is True


@pytest.mark.parametrize("text", ["", "  \n", '{"a": [1, 2', "\x00\x01", "[" * 100_000])
def test_damaged_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_hash_of_files_and_known_value(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a", b"abc")
    assert hash_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    with pytest.raises(InputError):
        hash_file(tmp_path / "absent")
    with pytest.raises(InputError):
        hash_file(tmp_path)


def test_hash_arrays_is_of_content_not_of_layout() -> None:
    a = np.arange(12.0).reshape(3, 4)
    assert hash_arrays(a) == hash_arrays(np.asfortranarray(a)) == hash_arrays(a.astype(">f8"))
    assert hash_arrays(a) != hash_arrays(a.reshape(4, 3)) != hash_arrays(a.astype(np.float32))
    assert hash_arrays(np.array([0.0, np.nan])) == hash_arrays(np.array([-0.0, -np.nan]))
    assert hash_arrays(x=a, y=None) == hash_arrays(y=None, x=a) != hash_arrays(x=None, y=a)
    assert hash_arrays(a, a) != hash_arrays(a)
    with pytest.raises(InputError):
        hash_arrays(np.array([{}], dtype=object))


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4)), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_any_change_changes_the_hash(a: np.ndarray, where: int) -> None:
    b = a.copy()
    flat = b.reshape(-1)
    i = where % flat.size
    flat[i] = 1.0 if not np.isfinite(flat[i]) else np.nextafter(flat[i], np.inf) if flat[i] else 5.0
    assert hash_arrays(a) == hash_arrays(a.copy())
    assert hash_arrays(a) != hash_arrays(b)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=3), c, max_size=3),
    max_leaves=8,
)


@given(json_values)
@settings(max_examples=80, deadline=None)
def test_hash_json_survives_json(value: object) -> None:
    text = json.dumps(value)
    assert hash_json(json.loads(text)) == hash_json(value)


def test_hash_json_of_options() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json([1, 2]) != hash_json([2, 1])
    assert hash_json(Options()) == hash_json(Options()) != hash_json(Options(size_px=4))
    assert hash_json({1, 2}) == hash_json({2, 1})
    assert hash_json({"a": np.zeros(3)}) != hash_json({"a": np.ones(3)})
    with pytest.raises(InputError):
        hash_json({"a": object()})
    with pytest.raises(InputError):
        hash_json({1: "a", "1": "b"})

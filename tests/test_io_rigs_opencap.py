"""Cameras of OpenCap: pickles that are never executed."""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from rig_files import BROWN4, GOLDEN, check_truth, opencap_session, relaxed, rigs, same_projection

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, write_rig


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_opencap_session(tmp_path: Path, protocol: int) -> None:
    check_truth(read_rig(opencap_session(tmp_path, protocol)))
    one = read_rig(tmp_path / "Videos" / "cam2" / "cameraIntrinsicsExtrinsics.pickle")
    assert one.names == ("cam2",)


def test_opencap_old_numpy_names(tmp_path: Path) -> None:
    opencap_session(tmp_path, 2)
    for file in tmp_path.rglob("*.pickle"):
        file.write_bytes(file.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    check_truth(read_rig(tmp_path))


class Evil:
    """A pickle that would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_cannot_run_code(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "cameraIntrinsicsExtrinsics.pickle"
    for value in (Evil(marker), {"intrinsicMat": Evil(marker)}, {"a": eval}):
        path.write_bytes(pickle.dumps(value, protocol=protocol))
        with pytest.raises(InputError, match="not executed"):
            read_rig(path)
    assert not marker.exists()


def test_golden_opencap_of_numpy_1() -> None:
    result = read_rig_file(GOLDEN / "opencap")
    assert result.format == "opencap" and result.has_pose == (True, True)
    check_truth(result.rig)
    np.testing.assert_allclose(result.rig[0].distortion, [*BROWN4, 0.0])


@given(rig=rigs(models=("pinhole", "brown")))
@relaxed
def test_round_trip_opencap(tmp_path: Path, rig: sc.Rig) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    if any(c.distortion.size > 5 for c in rig):
        with pytest.raises(InputError, match="cannot hold"):
            write_rig(rig, folder, format="opencap")
        return
    inside = sc.Rig(tuple(c.replace(K=[[c.K[0, 0], 0, 7], [0, c.K[1, 1], 9], [0, 0, 1]]) for c in rig))
    same_projection(read_rig(write_rig(inside, folder, format="opencap")), inside, exact_model=False)


def test_names_that_are_no_folders_are_refused(tmp_path: Path) -> None:
    rig = read_rig(GOLDEN / "pose2sim.toml")
    for name in ("..", "a/b", "a\\b"):
        with pytest.raises(InputError, match="folder"):
            write_rig(sc.Rig((rig[0].replace(name=name),)), tmp_path, format="opencap")
    assert list(tmp_path.iterdir()) == []


def stream(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


GLOBAL = {n: f"c{m}\n{n}\n".encode() for m, n in (
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("_codecs", "encode"),
)}  # fmt: skip


def wide(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("an array of a petabyte", stream(GLOBAL["ndarray"], b"\x8a\x08", struct.pack("<q", 1 << 50), b"\x85R")),
        ("two billion memo slots", stream(b"}", b"r", struct.pack("<I", 2**31))),
        ("an array of objects", stream(GLOBAL["dtype"], wide("O8"), b"K\x00K\x01\x87R")),
        ("a dtype with flags of its own",
         stream(GLOBAL["dtype"], wide("f8"), b"K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|NNNK\x08K\x08K\x3ftb")),
        ("another codec", stream(GLOBAL["encode"], wide("print"), wide("unicode_escape"), b"\x86R")),
        ("a scalar from nowhere", stream(GLOBAL["scalar"], b"NN\x86R")),
        ("a persistent object", stream(b"P1\n")),
        ("an extension", stream(b"\x82\x01")),
        ("a list, not a dictionary", stream(b"]")),
        ("an instance", b"(i__main__\nEvil\np0\n."),
        ("code by its name", stream(b"cposix\nsystem\n", wide("true"), b"\x85R")),
        ("code hidden in a module of numpy", stream(b"cnumpy.core.multiarray\nnumpy.load\n", wide("x"), b"\x85R")),
        ("builtins", stream(b"cbuiltins\neval\n", wide("1"), b"\x85R")),
        ("a frame longer than the file", b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}."),
        ("a string longer than the file", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x."),
        ("nothing", b"\x80\x04."),
    ],
)  # fmt: skip
def test_malicious_pickles_are_refused_before_anything_is_called(tmp_path: Path, what: str, data: bytes) -> None:
    path = tmp_path / "cameraIntrinsicsExtrinsics.pickle"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_rig(path)
    assert "cameraIntrinsicsExtrinsics" in str(caught.value), what


@pytest.mark.parametrize("change", [
    {"intrinsicMat": np.full((3, 3), np.nan)}, {"intrinsicMat": np.eye(2)}, {"intrinsicMat": "K"}, {"distortion": None},
    {"distortion": np.ones(14)}, {"imageSize": np.array([0.0, 0.0])}, {"imageSize": np.array([1e30, 1.0])},
    {"rotation": np.diag([1.0, 1.0, -1.0])}, {"rotation": np.eye(3) * 1.1}, {"translation": None},
    {"translation": np.array(["a", "b", "c"])},
])  # fmt: skip
def test_faults_in_opencap_values(tmp_path: Path, change: dict[str, object]) -> None:
    opencap_session(tmp_path)
    path = tmp_path / "Videos" / "cam1" / "cameraIntrinsicsExtrinsics.pickle"
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), **change}))
    with pytest.raises(InputError) as caught:
        read_rig(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_pickles(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cameraIntrinsicsExtrinsics.pickle"
    data = (GOLDEN / "opencap" / "Videos" / "cam1" / path.name).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError):
        read_rig(path)


def test_layouts_of_arrays(tmp_path: Path) -> None:
    """Byte orders, Fortran order, float32 and integers come out as the numbers they are."""
    opencap_session(tmp_path)
    for name, dtype in (("cam1", ">f8"), ("cam2", "<f4")):
        path = tmp_path / "Videos" / name / "cameraIntrinsicsExtrinsics.pickle"
        values = pickle.loads(path.read_bytes())
        values["intrinsicMat"] = np.asfortranarray(values["intrinsicMat"].astype(dtype))
        values["imageSize"] = values["imageSize"].astype(np.int64)
        path.write_bytes(pickle.dumps(values, protocol=5))
    check_truth(read_rig(tmp_path))

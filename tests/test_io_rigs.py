"""Camera files of every format: recognised by content, written and read back, damaged in every way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rig_files import BROWN4, GOLDEN, check_truth, same_projection

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, write_rig
from sportcore.io.rigs import WRITE_FORMATS, detect_rig_format


@pytest.mark.parametrize(
    ("name", "format", "distortion"),
    [
        ("pose2sim.toml", "pose2sim", BROWN4),
        ("freemocap.toml", "aniposelib", [*BROWN4, 0.0]),
        ("tiny.qca.txt", "qualisys", BROWN4),
        ("colmap", "colmap", BROWN4),
        ("colmap/cameras.txt", "colmap", BROWN4),
    ],
)
def test_golden(name: str, format: str, distortion: list[float]) -> None:
    result = read_rig_file(GOLDEN / name)
    assert result.format == format
    assert result.has_pose == (True, True)
    check_truth(result.rig)
    np.testing.assert_allclose(result.rig[0].distortion, distortion, atol=1e-15)


def test_intrinsics_only_survive(tmp_path: Path) -> None:
    rig = read_rig(GOLDEN / "opencv_single.yml")
    for format in ("pose2sim", "aniposelib", "caliscope"):
        path = write_rig(rig, tmp_path / f"{format}.toml", format=format, has_pose=(False,))
        assert read_rig_file(path).has_pose == (False,)
    with pytest.raises(InputError, match="no pose"):
        write_rig(rig, tmp_path / "colmap", format="colmap", has_pose=(False,))


def test_choosing_cameras_and_flagging_another_video_size() -> None:
    result = read_rig_file(GOLDEN / "pose2sim.toml", names=("cam2",), image_sizes={"cam2": (998, 800)})
    assert result.rig.names == ("cam2",) and result.rig[0].image_size == (1000, 800)
    assert any("998x800" in n and "not changed" in n for n in result.notes)
    with pytest.raises(InputError, match="cam9"):
        read_rig(GOLDEN / "pose2sim.toml", names=("cam9",))


@pytest.mark.parametrize("name", ["pose2sim.toml", "caliscope.toml", "tiny.qca.txt", "tiny.xcp", "opencv_single.yml"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.45, 0.7, 0.9, 0.97])
def test_truncated_files_never_crash(tmp_path: Path, name: str, share: float) -> None:
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    whole = read_rig(GOLDEN / name)
    try:
        rig = read_rig(path)
    except InputError as error:
        assert name in str(error)
    else:  # cut between two cameras, or in the remarks at the end: what is read must be right
        assert set(rig.names) <= set(whole.names)
        assert all(np.array_equal(c.K, whole[c.name].K) for c in rig)


@pytest.mark.parametrize("content", ["", "hello", "<html></html>", "[a]\nb = 1\n", "1 2 3 4 5", "\x00\xff"])
def test_unknown_files_list_what_is_supported(tmp_path: Path, content: str) -> None:
    for name in ("a.txt", "a.toml", "a"):
        (tmp_path / name).write_bytes(content.encode("latin1"))
        with pytest.raises(InputError):
            read_rig(tmp_path / name)
    if content == "hello":
        with pytest.raises(InputError, match="Qualisys"):
            read_rig(tmp_path / "a.txt")


@pytest.mark.parametrize("format", ["colmap", "easymocap"])
def test_writing_into_a_folder_leaves_its_other_files(tmp_path: Path, format: str) -> None:
    (tmp_path / "video.mp4").write_text("precious")
    for _ in range(2):
        write_rig(read_rig(GOLDEN / "pose2sim.toml"), tmp_path, format=format)
    assert (tmp_path / "video.mp4").read_text() == "precious"


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no camera file"):
        read_rig(tmp_path)
    shutil.copy(GOLDEN / "tiny.qca.txt", tmp_path / "Calib.qca.txt")
    (tmp_path / "Config.toml").write_text("[project]\nframe_rate = 60\n")
    assert detect_rig_format(tmp_path) == "qualisys"
    check_truth(read_rig(tmp_path))
    shutil.copy(GOLDEN / "pose2sim.toml", tmp_path / "Calib.toml")
    with pytest.raises(InputError, match="several camera files"):
        read_rig(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_rig(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="format"):
        write_rig(read_rig(GOLDEN / "pose2sim.toml"), tmp_path / "a.dat")


# ---------------------------------------------------------------- every format, damaged in every way

#: format -> golden file, and what the format cannot say itself
FILES: dict[str, tuple[str, dict[str, object]]] = {
    "pose2sim": ("pose2sim.toml", {}),
    "aniposelib": ("freemocap.toml", {}),
    "caliscope": ("caliscope.toml", {}),
    "qualisys": ("tiny.qca.txt", {}),
    "vicon": ("tiny.xcp", {}),
    "opencv yaml": ("opencv_single.yml", {}),
    "opencv xml": ("opencv_single.xml", {}),
    "easymocap": ("easymocap/intri.yml", {"image_sizes": (1000, 800)}),
    "colmap": ("colmap/cameras.txt", {}),
}
#: what is replaced in the file (for EasyMocap's poses, in its extri.yml; for COLMAP's, in images.txt)
FOCAL = {
    "pose2sim": "[ 900.0,", "aniposelib": "[ 900.0,", "caliscope": "[900.0,", "qualisys": 'focalLengthU="57600"',
    "vicon": 'FOCAL_LENGTH="900"', "opencv yaml": "[ 900.,", "opencv xml": "<data>900.", "easymocap": "[900.000,",
    "colmap": "800 900 910",
}  # fmt: skip
VALUE = {"qualisys": "57600", "vicon": "900", "opencv yaml": "900.", "opencv xml": "900.", "easymocap": "900.000",
         "colmap": "900"}  # fmt: skip


def damaged(tmp_path: Path, kind: str, old: str, new: str, sibling: str | None = None) -> Path:
    name = FILES[kind][0]
    source = GOLDEN / name
    path = tmp_path / name
    if "/" in name:
        shutil.copytree(source.parent, path.parent)
    else:
        shutil.copy(source, path)
    target = path if sibling is None else path.with_name(sibling)
    text = target.read_text()
    assert old in text, f"{target.name} has no {old!r}"
    target.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("change", ["bom", "crlf", "both"])
def test_byte_order_mark_and_windows_lines(tmp_path: Path, kind: str, change: str) -> None:
    name, known = FILES[kind]
    path = damaged(tmp_path, kind, "", "")
    for file in [path] if "/" not in name else [*path.parent.iterdir()]:
        data = file.read_bytes()
        data = data.replace(b"\n", b"\r\n") if change != "bom" else data
        if change != "crlf" and not data.startswith(b"<?xml version='1.0' encoding='ASCII'"):
            data = b"\xef\xbb\xbf" + data
        file.write_bytes(data)
    whole, back = read_rig(GOLDEN / name, **known), read_rig(path, **known)
    assert list(back) == list(whole)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "0", "-900", "x", ""])
def test_impossible_focal_lengths(tmp_path: Path, kind: str, value: str) -> None:
    old = FOCAL[kind]
    path = damaged(tmp_path, kind, old, old.replace(VALUE.get(kind, "900.0"), value))
    with pytest.raises(InputError) as caught:
        read_rig(path, **FILES[kind][1])
    assert path.name in str(caught.value) or "cameras.txt" in str(caught.value)


@pytest.mark.parametrize("kind", [k for k in FILES if k != "opencv xml"])
def test_decimal_commas_are_recognised(tmp_path: Path, kind: str) -> None:
    old = FOCAL[kind]
    value = VALUE.get(kind, "900.0")
    comma = value.rstrip(".").split(".")[0] + ",5"
    path = damaged(tmp_path, kind, old, old.replace(value, comma))
    with pytest.raises(InputError) as caught:
        read_rig(path, **FILES[kind][1])
    if kind not in ("pose2sim", "aniposelib", "caliscope"):  # in TOML a comma only makes a longer list
        assert "decimal" in str(caught.value)


ROTATIONS = {
    "pose2sim": ("rotation = [ 1.5707963267948966, 0.0, 0.0]", "rotation = [[1,0,0],[0,1,0],[0,0.1,1]]", None),
    "aniposelib": ("rotation = [ 1.5707963267948966, 0.0, 0.0,]", "rotation = [[1,0,0],[0,1,0],[0,0,-1]]", None),
    "caliscope": ("rotation = [[1.0, 0.0, 0.0]", "rotation = [[1.01, 0.0, 0.0]", None),
    "qualisys": ('r11="0"', 'r11="0.2"', None),
    "vicon": ('ORIENTATION="0.7071', 'ORIENTATION="0.9071', None),
    "easymocap": ("[0.0, 1.0, 0.0, 0.0", "[0.0, 1.0, 0.3, 0.0", "extri.yml"),
    "colmap": ("1 0.70710678118654757", "1 0.60710678118654757", "images.txt"),
}


@pytest.mark.parametrize("kind", ROTATIONS)
def test_rotations_that_are_none(tmp_path: Path, kind: str) -> None:
    old, new, sibling = ROTATIONS[kind]
    with pytest.raises(InputError, match="not a rotation|quaternion"):
        read_rig(damaged(tmp_path, kind, old, new, sibling), **FILES[kind][1])


TWICE = {
    "pose2sim": ('name = "cam2"', 'name = "cam1"', None),
    "aniposelib": ('name = "cam2"', 'name = "cam1"', None),
    "caliscope": ("[cameras.2]", "[cameras.1]", None),
    "qualisys": ('serial="cam2"', 'serial="cam1"', None),
    "vicon": ('DEVICEID="cam2"', 'DEVICEID="cam1"', None),
    "opencv yaml": ("image_height: 800", "image_width: 800", None),
    "opencv xml": ("<image_height>800</image_height>", "<image_width>800</image_width>", None),
    "easymocap": ('- "cam2"', '- "cam1"', None),
    "colmap": ("cam2/0001.png", "cam1/0001.png", "images.txt"),
}


@pytest.mark.parametrize("kind", TWICE)
def test_the_same_name_twice(tmp_path: Path, kind: str) -> None:
    old, new, sibling = TWICE[kind]
    with pytest.raises(InputError, match="twice|one name|TOML"):
        read_rig(damaged(tmp_path, kind, old, new, sibling), **FILES[kind][1])


MISSING = {
    "pose2sim": ("translation = [ 0.0, 1.0, 4.0]\n", ""),
    "aniposelib": ("size = [ 1000, 800,]\n", ""),
    "caliscope": ("size = [1000, 800]\n", ""),
    "qualisys": ('right="1023" ', ""),
    "vicon": ('PRINCIPAL_POINT="499 401" ', ""),
    "opencv yaml": ("   cols: 3\n", ""),
    "opencv xml": ("<cols>3</cols>", ""),
    "easymocap": ("K_cam1: !!opencv-matrix", "J_cam1: !!opencv-matrix"),
    "colmap": ("1 OPENCV 1000 800", "1 OPENCV 1000"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_missing_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rig(damaged(tmp_path, kind, *MISSING[kind]), **FILES[kind][1])
    assert len(str(caught.value)) > 40


@pytest.mark.parametrize("suffix", [".toml", ".qca.txt", ".xcp", ".yml", ".xml", ".pickle"])
def test_a_file_of_many_gigabytes_is_not_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"huge{suffix}"
    with open(path, "wb") as handle:
        handle.truncate(50 << 30)  # sparse: takes no room on the disk
    with pytest.raises(InputError, match="MB"):
        read_rig(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    for path in (tmp_path / "a.toml", Path("/dev/zero")):
        with pytest.raises(InputError, match="not a file"):
            read_rig(path)


@pytest.mark.parametrize("root", ["calibration", "Cameras", "opencv_storage"])
def test_xml_that_grows_is_refused(tmp_path: Path, root: str) -> None:
    """The "billion laughs": entities that double themselves; the parser's own limit is relied on, and tested."""
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 20}">' for i in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY a0 "ha">{entities}]><{root}>&a11;</{root}>'
    (tmp_path / "bomb.xml").write_text(text)
    with pytest.raises(InputError, match="XML"):
        read_rig(tmp_path / "bomb.xml")
    outside = f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY f SYSTEM "file:///etc/passwd">]><{root}>&f;</{root}>'
    (tmp_path / "bomb.xml").write_text(outside)
    with pytest.raises(InputError):
        read_rig(tmp_path / "bomb.xml")


# ---------------------------------------------------------------- every writer


@pytest.mark.parametrize("format", sorted(set(WRITE_FORMATS) - {"opencv"}))
def test_what_is_written_reads_back_as_the_same_cameras(tmp_path: Path, format: str) -> None:
    rig = read_rig(GOLDEN / "pose2sim.toml")
    if format == "vicon":
        rig = sc.Rig(tuple(c.replace(distortion=[-0.1, 0.02, 0, 0, 0.003]) for c in rig))
    suffix = {"qualisys": ".qca.txt", "vicon": ".xcp", "colmap": "", "opencap": "", "easymocap": ".yml"}.get(
        format, ".toml"
    )
    path = write_rig(rig, tmp_path / f"cams{suffix}", format=format)
    back = read_rig(path)
    if format == "caliscope":
        assert back.names == ("cam1", "cam2")
    same_projection(back, rig, exact_model=False)


@pytest.mark.parametrize("format", sorted(set(WRITE_FORMATS) - {"opencv"}))
def test_a_refused_rig_leaves_nothing_behind(tmp_path: Path, format: str) -> None:
    rig = read_rig(GOLDEN / "pose2sim.toml")
    with pytest.raises(InputError, match="has_pose"):
        write_rig(rig, tmp_path / "x", format=format, has_pose=(True,))
    assert list(tmp_path.iterdir()) == []

"""Cameras of OpenCV's FileStorage (EasyMocap, single cameras) and of COLMAP."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig_files import BROWN4, GOLDEN, R1, R2, K, T, check_truth, relaxed, rigs, same_projection

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, write_rig


@pytest.mark.parametrize("name", ["easymocap", "easymocap/intri.yml", "easymocap/extri.yml"])
def test_golden_easymocap(name: str) -> None:
    with pytest.raises(InputError, match="image_sizes"):
        read_rig(GOLDEN / name)
    check_truth(read_rig(GOLDEN / name, image_sizes=(1000, 800)))
    check_truth(read_rig(GOLDEN / name, image_sizes={"cam1": (1000, 800), "cam2": (1000, 800)}))


def test_golden_opencv_single() -> None:
    brown = read_rig_file(GOLDEN / "opencv_single.yml")
    assert brown.has_pose == (False,) and any("no pose" in n for n in brown.notes)
    np.testing.assert_allclose(brown.rig[0].K, K)
    np.testing.assert_allclose(brown.rig[0].distortion, [*BROWN4, 0.003])
    fisheye = read_rig(GOLDEN / "opencv_single.xml")[0]
    assert fisheye.model == "fisheye" and fisheye.image_size == (1000, 800)
    np.testing.assert_allclose(fisheye.distortion, [0.01, -0.002, 0.0003, 0])


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
def test_files_that_opencv_itself_writes(tmp_path: Path, suffix: str) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / f"cams{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("names", cv2.FileNode_SEQ)
    storage.write("", "cam1")
    storage.write("", "cam2")
    storage.endWriteStruct()
    rng = np.random.default_rng(0)
    distortion = rng.normal(size=(1, 8)) * 1e-3
    for name, R in (("cam1", R1), ("cam2", R2)):
        for key, value in (("K", K), ("dist", distortion), ("Rot", R), ("T", T[:, None])):
            storage.write(f"{key}_{name}", value)
        storage.write(f"W_{name}", 1000)
        storage.write(f"H_{name}", 800)
    storage.write("remark", "a: [b] # c")
    storage.release()
    rig = read_rig(path)
    check_truth(rig)
    np.testing.assert_array_equal(rig[1].distortion, distortion[0])


def test_our_easymocap_file_is_read_by_opencv(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = write_rig(read_rig(GOLDEN / "pose2sim.toml"), tmp_path / "cams.yml")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    np.testing.assert_array_equal(storage.getNode("K_cam2").mat(), K)
    np.testing.assert_allclose(storage.getNode("Rot_cam2").mat(), R2, atol=1e-15)
    names = storage.getNode("names")
    assert [names.at(i).string() for i in range(names.size())] == ["cam1", "cam2"]


@given(rig=rigs(), name=st.sampled_from(["cams.yml", "folder"]))
@relaxed
def test_round_trip_easymocap(tmp_path: Path, rig: sc.Rig, name: str) -> None:
    same_projection(read_rig(write_rig(rig, tmp_path / name, format="easymocap")), rig, exact_model=False)


@given(rig=rigs())
@relaxed
def test_round_trip_colmap(tmp_path: Path, rig: sc.Rig) -> None:
    same_projection(read_rig(write_rig(rig, tmp_path / "model", format="colmap")), rig, exact_model=False)


def test_faults_in_colmap(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(GOLDEN / "colmap", folder)
    (folder / "cameras.txt").write_text("1 THIN_PRISM_FISHEYE 1000 800 1 2 3 4 5 6 7 8 9 10 11 12\n")
    with pytest.raises(InputError, match="THIN_PRISM"):
        read_rig(folder)
    (folder / "cameras.txt").write_text("1 PINHOLE 1000 800 900 900 500\n")
    with pytest.raises(InputError, match="3 numbers, 4 are needed"):
        read_rig(folder)
    (folder / "cameras.txt").write_text("2 PINHOLE 1000 800 900 900 500 400\n")
    with pytest.raises(InputError, match="refers to camera 1"):
        read_rig(folder)
    (folder / "images.txt").unlink()
    assert read_rig_file(folder).has_pose == (False,)


@given(rig=rigs(), suffix=st.sampled_from([".yml", ".xml"]))
@relaxed
def test_round_trip_opencv(tmp_path: Path, rig: sc.Rig, suffix: str) -> None:
    camera = rig[0].replace(name="one", R=np.eye(3), t=np.zeros(3))
    path = write_rig(sc.Rig((camera,)), tmp_path / f"one{suffix}", format="opencv")
    same_projection(read_rig(path), sc.Rig((camera,)), exact_model=False)
    if len(rig) > 1:
        with pytest.raises(InputError, match="one camera"):
            write_rig(rig, path, format="opencv")


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
def test_our_opencv_file_is_read_by_opencv(tmp_path: Path, suffix: str) -> None:
    cv2 = pytest.importorskip("cv2")
    rig = read_rig(GOLDEN / "pose2sim.toml").subset(["cam2"])
    path = write_rig(rig, tmp_path / f"cam{suffix}", format="opencv")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    np.testing.assert_array_equal(storage.getNode("camera_matrix").mat(), K)
    np.testing.assert_array_equal(storage.getNode("distortion_coefficients").mat().ravel(), [*BROWN4, 0.0])
    assert storage.getNode("image_width").real() == 1000


def test_a_colmap_model_with_very_many_points_is_read_line_by_line(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(GOLDEN / "colmap", folder)
    lines = (folder / "images.txt").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith("cam1/0001.png"))
    lines[at + 1] = "10.5 20.5 -1 " * 200_000
    (folder / "images.txt").write_text("\n".join(lines))
    check_truth(read_rig(folder))
    (folder / "images.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="no image"):
        read_rig(folder)


def test_the_half_pixel_of_colmap(tmp_path: Path) -> None:
    """COLMAP puts the centre of the first pixel at (0.5, 0.5), sportcore at (0, 0)."""
    rig = read_rig(GOLDEN / "pose2sim.toml")
    text = (write_rig(rig, tmp_path / "m", format="colmap") / "cameras.txt").read_text()
    values = [line.split() for line in text.splitlines() if not line.startswith("#")][0]
    assert values[1] == "OPENCV" and [float(v) for v in values[6:8]] == [499.5, 401.5]

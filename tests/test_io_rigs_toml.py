"""Cameras in TOML: Pose2Sim, aniposelib / FreeMoCap, Caliscope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig_files import GOLDEN, check_truth, edited, relaxed, rigs, same_projection

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, read_toml, write_rig


def test_golden_caliscope_leaves_ignored_cameras_out() -> None:
    result = read_rig_file(GOLDEN / "caliscope.toml")
    assert result.rig.names == ("cam_1", "cam_2")
    assert any("cam_3" in n and "ignore" in n for n in result.notes)
    check_truth(sc.Rig(tuple(c.replace(name=c.name.replace("_", "")) for c in result.rig)))


def aniposelib_file(path: Path, scale: float) -> Path:
    text = (GOLDEN / "freemocap.toml").read_text().split("[metadata]")[0]
    text = text.replace("1000.0, 4000.0", f"{1.0 * scale}, {4.0 * scale}")
    path.write_text(text)
    return path


def test_aniposelib_unit_is_never_a_silent_guess(tmp_path: Path) -> None:
    path = aniposelib_file(tmp_path / "calibration.toml", 1000.0)
    millimetres = read_rig_file(path)
    check_truth(millimetres.rig)
    assert any("mm was taken" in n for n in millimetres.notes)
    metres = read_rig_file(aniposelib_file(path, 1.0))
    check_truth(metres.rig)
    assert any("m was taken" in n for n in metres.notes)
    aniposelib_file(path, 100.0)  # centimetres
    with pytest.raises(InputError, match=r"units="):
        read_rig(path)
    check_truth(read_rig(path, units="cm"))


def test_pose2sim_in_millimetres_is_refused(tmp_path: Path) -> None:
    text = (GOLDEN / "pose2sim.toml").read_text().replace("[ 0.0, 1.0, 4.0]", "[ 0.0, 1000.0, 4000.0]")
    (tmp_path / "Calib.toml").write_text(text)
    with pytest.raises(InputError, match="millimetres"):
        read_rig(tmp_path / "Calib.toml")
    check_truth(read_rig(tmp_path / "Calib.toml", units="mm"))
    with pytest.raises(InputError, match="inches"):
        read_rig(tmp_path / "Calib.toml", units="inches")


@given(rig=rigs())
@relaxed
def test_round_trip_pose2sim(tmp_path: Path, rig: sc.Rig) -> None:
    same_projection(read_rig(write_rig(rig, tmp_path / "Calib.toml")), rig, exact_model=True)


@given(rig=rigs(), units=st.sampled_from(["m", "cm", "mm"]))
@relaxed
def test_round_trip_aniposelib(tmp_path: Path, rig: sc.Rig, units: str) -> None:
    path = write_rig(rig, tmp_path / "calibration.toml", format="aniposelib", units=units)
    same_projection(read_rig(path), rig, exact_model=False)


@given(rig=rigs())
@relaxed
def test_round_trip_caliscope(tmp_path: Path, rig: sc.Rig) -> None:
    back = read_rig(write_rig(rig, tmp_path / "camera_array.toml", format="caliscope"))
    same_projection(back, rig, exact_model=False)


def test_names_that_are_awkward_in_toml(tmp_path: Path) -> None:
    awkward = ("metadata", "cameras", 'a "b" \\ c', "Kamera №1", "x.y", "tab\tname", "\x7f")
    base = read_rig(GOLDEN / "pose2sim.toml")[0]
    rig = sc.Rig(tuple(base.replace(name=n) for n in awkward))
    path = write_rig(rig, tmp_path / "Calib.toml")
    assert read_rig(path).names == awkward
    assert sum(isinstance(v, dict) and "matrix" in v for k, v in read_toml(path).items() if k != "metadata") == 7
    with pytest.raises(InputError, match="key of an OpenCV"):
        write_rig(rig, tmp_path / "a.yml")


def test_pose2sim_reads_our_file_its_way(tmp_path: Path) -> None:
    """Every table but 'metadata' is a camera with the keys that Pose2Sim takes, in the order of the rig."""
    rig = read_rig(GOLDEN / "tiny.qca.txt")
    data = read_toml(write_rig(rig, tmp_path / "Calib.toml", extra={"rms_px": 1.5}))
    cameras = [k for k in data if k not in ("metadata", "capture_volume", "charuco", "checkerboard")]
    assert cameras == ["cam1", "cam2"]
    for name in cameras:
        assert set(data[name]) == {"name", "size", "matrix", "distortions", "rotation", "translation", "fisheye"}
        assert len(data[name]["distortions"]) == 4 and len(data[name]["rotation"]) == 3
    assert data["metadata"]["adjusted"] is False and data["metadata"]["error"] == 0.0
    assert read_rig_file(tmp_path / "Calib.toml").metadata["sportcore"]["extra"] == {"rms_px": 1.5}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "cam2"', 'name = "cam1"', "given twice: cam1"),
        ("[ 900.0, 0.0, 499.0]", "[ 0.0, 0.0, 499.0]", "positive focal"),
        ("[ 900.0, 0.0, 499.0]", "[ nan, 0.0, 499.0]", "NaN"),
        ("[ 900.0, 0.0, 499.0]", '[ "x", 0.0, 499.0]', "list of numbers"),
        ("size = [ 1000.0, 800.0]\n", "", "no 'size'"),
        ("size = [ 1000.0, 800.0]", "size = [ 0.0, 800.0]", "image size"),
        ("size = [ 1000.0, 800.0]", "size = [ 800.0]", "1 numbers, 2 are needed"),
        ("rotation = [ 1.5707963267948966, 0.0, 0.0]", "rotation = [ 1.0, 0.0]", "rotation has 2"),
        ("rotation = [ 1.5707963267948966, 0.0, 0.0]", "rotation = [[2,0,0],[0,1,0],[0,0,1]]", "not a rotation"),
        ("rotation = [ 1.5707963267948966, 0.0, 0.0]", "rotation = [[-1,0,0],[0,1,0],[0,0,1]]", "not a rotation"),
        ("rotation = [ 1.5707963267948966, 0.0, 0.0]\n", "", "translation only"),
        ("translation = [ 0.0, 1.0, 4.0]", "translation = [ 0.0, inf, 4.0]", "infinity"),
        ("distortions = [ -0.1,", "distortions = [ 1, 2, 3, 4, 5, 6, 7, 8, -0.1,", "thin prism"),
        ("[cam_01]", "[cam_01", "TOML"),
    ],
)
def test_faults_in_toml(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(InputError, match=message) as caught:
        read_rig(path)
    assert "pose2sim.toml" in str(caught.value)


def test_a_rounded_rotation_is_repaired(tmp_path: Path) -> None:
    old = "rotation = [ 1.5707963267948966, 0.0, 0.0]"
    path = edited(tmp_path, old, "rotation = [[0.9998,0.0175,0],[-0.0175,0.9998,0],[0,0,1]]")
    R = read_rig(path)[0].R
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(R[0, 1], 0.0175, atol=1e-4)

"""Cameras in XML: Qualisys and Vicon."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from rig_files import GOLDEN, check_truth, edited, relaxed, rigs, same_projection
from scipy.spatial.transform import Rotation

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, write_rig


def test_golden_vicon_keeps_video_cameras_and_orders_k3() -> None:
    result = read_rig_file(GOLDEN / "tiny.xcp")
    check_truth(result.rig, fy=900.0)
    np.testing.assert_allclose(result.rig[0].distortion, [-0.1, 0.02, 0, 0, 0.003])
    assert any("marker cameras" in n for n in result.notes)


def test_vicon_video_cropped_from_the_sensor() -> None:
    result = read_rig_file(GOLDEN / "tiny.xcp", image_sizes=(960, 760))
    np.testing.assert_allclose(result.rig.K[:, :2, 2], [[479, 381]] * 2)
    assert any("centre of the sensor" in n for n in result.notes)


def test_vicon_old_radial_is_refused(tmp_path: Path) -> None:
    text = (GOLDEN / "tiny.xcp").read_text().replace('VICON_RADIAL2="ViconRadial2 499 401', 'VICON_RADIAL="1e-8')
    (tmp_path / "a.xcp").write_text(text.replace("1e-8 -0.1 0.02 0.003", "1e-8 2e-15"))
    with pytest.raises(InputError, match="VICON_RADIAL2"):
        read_rig(tmp_path / "a.xcp")


def test_qualisys_leaves_marker_cameras_out_and_sorts() -> None:
    result = read_rig_file(GOLDEN / "tiny.qca.txt")
    assert any("cam0" in n for n in result.notes)
    assert result.rig.names == ("cam1", "cam2")


def test_qualisys_agrees_with_another_reader(tmp_path: Path) -> None:
    """The first camera of Pose2Sim's demo; expected is the Calib.toml that Pose2Sim 0.9 published for that file."""
    turned = (
        'r11="0.5536380477336265" r12="0.8046719867383512" r13="0.2144479094331626" r21="-0.4345300743838753" '
        'r22="0.05946489349975602" r23="0.8986921279821063" r31="0.7104002579937896" r32="-0.5907342212870501" '
        'r33="0.3825762057979294" x="1460.2323709212087" y="-1909.1590482454608" z="1896.5058524092062"'
    )
    intrinsic = 'centerPointU="34110.316406" centerPointV="60680.792969" focalLengthU="107599.671875"'
    (tmp_path / "a.qca.txt").write_text(
        '<?xml version="1.0" encoding="ASCII"?><calibration><cameras><camera model="none" serial="cam01">'
        f'<fov_video bottom="1919" left="0" right="1087" top="0"/><transform {turned}/>'
        f'<intrinsic {intrinsic} focalLengthV="107588.828125"/></camera></cameras></calibration>'
    )
    camera = read_rig(tmp_path / "a.qca.txt")[0]
    rotvec = Rotation.from_matrix(camera.R).as_rotvec()
    np.testing.assert_allclose(rotvec, [1.6882754799999993, 1.0483220499999997, -0.41955852000000016], atol=1e-9)
    np.testing.assert_allclose(camera.t, [0.32110488999999953, 0.9563320600000009, 2.8907130499999996], atol=1e-9)
    expected = [[1681.244873046875, 0, 532.97369384375], [0, 1681.075439453125, 948.137390140625], [0, 0, 1]]
    np.testing.assert_allclose(camera.K, expected, atol=1e-9)
    assert camera.image_size == (1088, 1920)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_xml_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    text = (
        (GOLDEN / "tiny.qca.txt").read_text().replace("encoding='ASCII'", f"encoding='{encoding.removesuffix('-sig')}'")
    )
    (tmp_path / "a.qca.txt").write_bytes(text.encode(encoding))
    check_truth(read_rig(tmp_path / "a.qca.txt"))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("tiny.qca.txt", 'focalLengthU="57600"', 'focalLengthU="x"', "not a number"),
        ("tiny.qca.txt", 'focalLengthU="57600"', "", "focalLengthU"),
        ("tiny.qca.txt", 'r11="0"', 'r11="3"', "not a rotation"),
        ("tiny.qca.txt", "</cameras>", "", "XML"),
        ("tiny.xcp", 'ORIENTATION="0.5', 'ORIENTATION="2.5', "unit quaternion"),
        ("tiny.xcp", 'FOCAL_LENGTH="900"', "", "FOCAL_LENGTH"),
        ("tiny.xcp", 'SENSOR_SIZE="1000 800"', 'SENSOR_SIZE="1000"', "SENSOR_SIZE"),
    ],
)
def test_faults_in_xml(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_rig(edited(tmp_path, old, new, name))


@given(rig=rigs(models=("pinhole", "brown")))
@relaxed
def test_round_trip_qualisys(tmp_path: Path, rig: sc.Rig) -> None:
    if any(np.any(c.distortion[5:]) for c in rig):
        with pytest.raises(InputError, match="cannot hold"):
            write_rig(rig, tmp_path / "Calib.qca.txt")
    else:
        same_projection(read_rig(write_rig(rig, tmp_path / "Calib.qca.txt")), rig, exact_model=False)


@given(rig=rigs(models=("pinhole", "brown")))
@relaxed
def test_round_trip_vicon(tmp_path: Path, rig: sc.Rig) -> None:
    def without_tangential(c: sc.Camera) -> np.ndarray:
        k = np.pad(c.distortion, (0, 8 - c.distortion.size))
        return np.array([k[0], k[1], 0, 0, k[4]])

    plain = sc.Rig(tuple(c.replace(distortion=without_tangential(c), model="brown") for c in rig))
    same_projection(read_rig(write_rig(plain, tmp_path / "a.xcp")), plain, exact_model=False)


def test_what_xml_formats_cannot_hold_is_refused(tmp_path: Path) -> None:
    rig = read_rig(GOLDEN / "pose2sim.toml")
    fish = sc.Rig(tuple(c.replace(model="fisheye") for c in rig))
    for name in ("a.qca.txt", "a.xcp"):
        with pytest.raises(InputError, match="cannot hold"):
            write_rig(fish, tmp_path / name)
    with pytest.raises(InputError, match="tangential"):
        write_rig(rig, tmp_path / "a.xcp")
    with pytest.raises(InputError, match="no pose"):
        write_rig(read_rig(GOLDEN / "tiny.xcp"), tmp_path / "a.xcp", has_pose=(True, False))
    back = read_rig_file(write_rig(rig, tmp_path / "a.qca.txt", has_pose=(True, False)))
    assert back.has_pose == (True, False)
    odd = sc.Rig((rig[0].replace(name="a\nb"),))
    with pytest.raises(InputError, match="cannot stand"):
        write_rig(odd, tmp_path / "b.qca.txt")
    named = sc.Rig(tuple(c.replace(name=n) for c, n in zip(rig, ('<&">', "Kamera №1"), strict=True)))
    assert set(read_rig(write_rig(named, tmp_path / "c.qca.txt")).names) == {'<&">', "Kamera №1"}

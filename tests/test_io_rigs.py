"""Camera files: hand-computed golden files, round trips, and damaged input."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import sportcore as sc
from sportcore.errors import InputError
from sportcore.io import read_rig, read_rig_file, read_toml, write_rig
from sportcore.io.rigs import detect_rig_format

GOLDEN = Path(__file__).parent / "golden" / "rigs"

# Two cameras 1 m above the ground: cam1 at (0, -4, 1) looks along +y, cam2 at (4, 0, 1) looks along -x.
K = np.array([[900.0, 0, 499], [0, 910, 401], [0, 0, 1]])
R1 = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
R2 = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
T = np.array([0.0, 1, 4])


def check_truth(rig: sc.Rig, *, fy: float = 910.0) -> None:
    """The pose, and by hand: (0.4, 0, 1.5) is 4 m in front of cam1, 0.4 m right, 0.5 m above the axis."""
    assert rig.names == ("cam1", "cam2")
    expected_K = K.copy()
    expected_K[1, 1] = fy
    np.testing.assert_allclose(rig.K, [expected_K] * 2, atol=1e-12)
    np.testing.assert_allclose(rig.R, [R1, R2], atol=1e-12)
    np.testing.assert_allclose(rig.t, [T, T], atol=1e-12)
    np.testing.assert_allclose(rig.centers_world, [[0, -4, 1], [4, 0, 1]], atol=1e-12)
    assert [c.image_size for c in rig] == [(1000, 800)] * 2
    pixel = rig["cam1"].P @ [0.4, 0.0, 1.5, 1.0]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [499 + 90, 401 - fy / 8], atol=1e-9)
    pixel = rig["cam2"].P @ [0.0, 0.4, 1.5, 1.0]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [499 + 90, 401 - fy / 8], atol=1e-9)


BROWN4 = [-0.1, 0.02, 0.001, -0.002]


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


def test_golden_caliscope_leaves_ignored_cameras_out() -> None:
    result = read_rig_file(GOLDEN / "caliscope.toml")
    assert result.rig.names == ("cam_1", "cam_2")
    assert any("cam_3" in n and "ignore" in n for n in result.notes)
    check_truth(sc.Rig(tuple(c.replace(name=c.name.replace("_", "")) for c in result.rig)))


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


def opencap_session(folder: Path, protocol: int = 4) -> Path:
    for name, R in (("cam1", R1), ("cam2", R2)):
        values = {
            "intrinsicMat": K,
            "distortion": np.array([[*BROWN4, 0.0]]),
            "imageSize": np.array([[800.0], [1000.0]]),  # height, width
            "rotation": R,
            "translation": T[:, None] * 1000,
            "rotation_EulerAngles": np.zeros((3, 1)),
        }
        (folder / "Videos" / name).mkdir(parents=True)
        file = folder / "Videos" / name / "cameraIntrinsicsExtrinsics.pickle"
        file.write_bytes(pickle.dumps(values, protocol=protocol))
    return folder


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


# ---------------------------------------------------------------- units


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


# ---------------------------------------------------------------- round trips

finite = st.floats(-1.0, 1.0)


@st.composite
def rigs(draw: st.DrawFn, models: tuple[str, ...] = ("pinhole", "brown", "fisheye")) -> sc.Rig:
    cameras = []
    for i in range(draw(st.integers(1, 3))):
        model = draw(st.sampled_from(models))
        count = {"pinhole": 0, "fisheye": draw(st.sampled_from([0, 4]))}.get(model, draw(st.sampled_from([0, 4, 5, 8])))
        w, h = draw(st.integers(16, 4000)), draw(st.integers(16, 4000))
        f = draw(st.floats(50, 5000))
        matrix = [[f, 0, draw(st.floats(0, 0.99)) * w], [0, f * draw(st.floats(0.5, 2)), h / 3], [0, 0, 1]]
        rotvec = np.array(draw(st.tuples(finite, finite, finite))) * 3
        t = np.array(draw(st.tuples(finite, finite, finite))) * 20
        dist = draw(st.lists(finite, min_size=count, max_size=count))
        R = Rotation.from_rotvec(rotvec).as_matrix()
        cameras.append(sc.Camera(f"cam{i}", (w, h), matrix, dist, model, R, t))
    return sc.Rig(tuple(cameras))


def same_projection(a: sc.Rig, b: sc.Rig, *, exact_model: bool) -> None:
    assert a.names == b.names
    np.testing.assert_allclose(a.K, b.K, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(a.R, b.R, atol=1e-12)
    np.testing.assert_allclose(a.t, b.t, atol=1e-12)
    assert np.array_equal(a.image_sizes, b.image_sizes)
    for x, y in zip(a, b, strict=True):
        if exact_model:
            assert x.model == y.model and x.distortion.size == y.distortion.size
        assert (x.model == "fisheye") == (y.model == "fisheye")
        n = max(x.distortion.size, y.distortion.size)
        pad = [np.pad(c.distortion, (0, n - c.distortion.size)) for c in (x, y)]
        np.testing.assert_allclose(pad[0], pad[1], atol=1e-15)


relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@given(rig=rigs(), name=st.sampled_from(["cams.yml", "folder"]))
@relaxed
def test_round_trip_easymocap(tmp_path: Path, rig: sc.Rig, name: str) -> None:
    same_projection(read_rig(write_rig(rig, tmp_path / name, format="easymocap")), rig, exact_model=False)


@given(rig=rigs())
@relaxed
def test_round_trip_colmap(tmp_path: Path, rig: sc.Rig) -> None:
    same_projection(read_rig(write_rig(rig, tmp_path / "model", format="colmap")), rig, exact_model=False)


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


# ---------------------------------------------------------------- faults


def edited(tmp_path: Path, old: str, new: str, name: str = "pose2sim.toml", count: int = 1) -> Path:
    text = (GOLDEN / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, count))
    return path


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

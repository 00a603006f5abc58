"""3D motion files: npz, trc, c3d, csv; axes, units, gaps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sportcore.errors import InputError, MissingExtraError
from sportcore.io import load_npz, save_npz
from sportcore.io.points3d import (
    Trajectories,
    fill_gaps,
    read_c3d,
    read_points3d_npz,
    read_points_csv,
    read_trc,
    write_c3d,
    write_points3d_npz,
    write_points_csv,
    write_trc,
)
from sportcore.skeletons import BLAZEPOSE33, COCO17, H36M17
from sportcore.types import Points3D, PointStatus

GOLDEN = Path(__file__).parent / "golden" / "motion"


def motion(T: int = 12, skeleton=COCO17, fps: float | None = 60.0, dtype=np.float64, C: int = 3) -> Points3D:
    """Smooth joints with a gap of two frames, a gap of five frames, and a missing start."""
    rng = np.random.default_rng(7)
    J = skeleton.n_joints
    t = np.arange(T)[:, None, None] / 60
    xyz = (rng.normal(size=(1, J, 3)) + np.sin(3 * t + rng.uniform(0, 6, (1, J, 3)))).astype(dtype)
    status = np.zeros((T, J), np.uint8)
    status[3:5, 0] = PointStatus.NO_CONSENSUS
    status[4:9, 1] = PointStatus.TOO_FEW_VIEWS
    status[:2, 2] = PointStatus.BEHIND_CAMERA
    xyz[status != 0] = np.nan
    covariance = np.broadcast_to(np.eye(3) * 1e-4, (T, J, 3, 3)).astype(dtype)
    covariance = np.where((status != 0)[..., None, None], np.nan, covariance)
    residual = np.where(status != 0, np.nan, rng.random((C, T, J)))
    views = np.where(status == 0, C, 0)
    inlier = np.isfinite(residual)
    times = None if fps is None else np.arange(T) / fps
    return Points3D(xyz, covariance, residual, inlier, views, status, skeleton, fps, times)


# ---------------------------------------------------------------- npz


@pytest.mark.parametrize("skeleton", [COCO17, H36M17, BLAZEPOSE33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_npz_keeps_everything(tmp_path: Path, skeleton, dtype) -> None:
    points = motion(skeleton=skeleton, dtype=dtype)
    path = write_points3d_npz(points, tmp_path / "points3d.npz", camera_names=("a", "b", "c"))
    back = read_points3d_npz(path)
    for key in ("xyz", "covariance", "residual_px", "inlier", "n_views", "status", "times"):
        np.testing.assert_array_equal(getattr(back, key), getattr(points, key))
    assert back.skeleton is skeleton and back.fps == 60 and back.xyz.dtype == dtype
    arrays = load_npz(path)
    assert arrays["joints"].tolist() == list(skeleton.joints)
    assert arrays["status_names"][arrays["status"][3, 0]] == "no_consensus"
    assert ("points_h36m17_world_m" in arrays) == (skeleton is not H36M17)
    if skeleton is not H36M17:
        expected = points.to_skeleton("h36m17")
        np.testing.assert_array_equal(arrays["points_h36m17_world_m"], expected.xyz)
        assert arrays["joints_h36m17"].tolist() == list(H36M17.joints)


def test_npz_as_float32_and_extra(tmp_path: Path) -> None:
    path = write_points3d_npz(motion(), tmp_path / "p.npz", dtype=np.float32, extra={"provenance": "x"})
    arrays = load_npz(path)
    assert arrays["points_world_m"].dtype == np.float32 and str(arrays["provenance"]) == "x"
    with pytest.raises(InputError, match="'joints'"):
        write_points3d_npz(motion(), path, extra={"joints": 1})
    with pytest.raises(InputError, match="2 camera names for 3"):
        write_points3d_npz(motion(), path, camera_names=("a", "b"))


def test_npz_of_others_needs_little(tmp_path: Path) -> None:
    xyz = np.zeros((4, 2, 3))
    xyz[1, 1] = np.nan
    save_npz(tmp_path / "p.npz", points_world_m=xyz, joints=["a", "b"])
    points = read_points3d_npz(tmp_path / "p.npz")
    assert points.skeleton.joints == ("a", "b") and points.ok.sum() == 7 and np.isnan(points.covariance).all()
    save_npz(tmp_path / "p.npz", points_world_m=xyz)
    with pytest.raises(InputError, match="skeleton"):
        read_points3d_npz(tmp_path / "p.npz")


def test_npz_faults(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_npz(path, points_world_m=np.zeros((4, 2)), joints=["a", "b"])
    with pytest.raises(InputError, match=r"\(T, J, 3\)"):
        read_points3d_npz(path)
    save_npz(path, points_world_m=np.zeros((4, 2, 3)), joints=["a", "b"], status=np.ones((4, 2), np.uint8))
    with pytest.raises(InputError, match="disagree"):
        read_points3d_npz(path)
    save_npz(path, points_world_m=np.zeros((4, 2, 3)), joints=["a", "b"], n_views=np.ones((3, 2)))
    with pytest.raises(InputError, match=r"p\.npz.*n_views"):
        read_points3d_npz(path)
    save_npz(path, xyz=np.zeros(3))
    with pytest.raises(InputError, match="points_world_m"):
        read_points3d_npz(path)


# ---------------------------------------------------------------- trc


def test_golden_trc_is_turned_upright_and_scaled() -> None:
    """Y-up millimetres: (100, 900, -50) is 0.9 m high; the file's z is our x, its x is our y."""
    trc = read_trc(GOLDEN / "tiny.trc")
    assert trc.joints == ("pelvis", "head") and trc.fps == 100
    np.testing.assert_allclose(trc.xyz[0], [[-0.05, 0.1, 0.9], [-0.04, 0.11, 1.7]], atol=1e-12)
    assert np.isnan(trc.xyz[1, 1]).all()
    np.testing.assert_allclose(trc.times, [0, 0.01])
    np.testing.assert_allclose(read_trc(GOLDEN / "tiny.trc", up="z").xyz[0, 0], [0.1, 0.9, -0.05])


@pytest.mark.parametrize("units", ["m", "mm"])
@pytest.mark.parametrize("up", ["y", "z"])
def test_trc_round_trip(tmp_path: Path, units: str, up: str) -> None:
    points = motion()
    report = write_trc(points, tmp_path / "a.trc", units=units, up=up)
    back = read_trc(tmp_path / "a.trc", up=up)
    np.testing.assert_allclose(back.xyz, points.xyz, atol=6e-7)
    assert back.joints == COCO17.joints and back.fps == 60 and back.metadata["units"] == units
    np.testing.assert_allclose(back.times, points.times, atol=1e-6)
    assert not report.interpolated.any() and np.array_equal(report.missing, ~points.ok)


def test_trc_has_the_layout_that_opensim_reads(tmp_path: Path) -> None:
    write_trc(motion(), tmp_path / "walk 1.trc")
    text = (tmp_path / "walk 1.trc").read_text()
    lines = text.split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\twalk 1.trc"
    assert lines[2].split("\t") == ["60", "60", "12", "17", "m", "60", "1", "12"]
    assert lines[3].startswith("Frame#\tTime\tnose\t\t\tleft_eye\t\t\t")
    assert lines[4].startswith("\t\tX1\tY1\tZ1\tX2")
    assert len({len(line.split("\t")) for line in lines[3:-1]}) == 1  # 2 + 3 J columns everywhere
    assert "nan" not in text.lower() and " " not in text.replace("walk 1", "")
    assert lines[5 + 3].split("\t")[:6] == ["4", "0.050000", "", "", "", lines[8].split("\t")[5]]


def test_trc_is_a_rotation_not_a_reflection(tmp_path: Path) -> None:
    xyz = np.eye(3)[None]
    points = Trajectories(xyz, ("x", "y", "z"), 1.0, np.zeros(1))
    write_trc(points, tmp_path / "a.trc")
    inside = read_trc(tmp_path / "a.trc", up="z").xyz[0]  # the numbers as they stand in the file
    np.testing.assert_allclose(np.linalg.det(inside), 1.0)
    np.testing.assert_allclose(inside[2], [0, 1, 0])  # up is the file's y


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tmm\t", "\tfurlong\t", "furlong"),
        ("100\t100\t2", "100\t100\t3", "truncated"),
        ("PathFileType", "Path", "header"),
        ("900", "x900", "text where numbers"),
        ("pelvis\t\t\thead", "pelvis   head", "no frame|truncated|columns"),
    ],
)
def test_trc_faults(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (GOLDEN / "tiny.trc").read_text()
    assert old in text
    (tmp_path / "a.trc").write_text(text.replace(old, new, 1))
    if "pelvis" in old:
        text = text.replace("\t", " ")
        (tmp_path / "a.trc").write_text(text)
        message = "tabs"
    with pytest.raises(InputError, match=message):
        read_trc(tmp_path / "a.trc")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.93])
def test_truncated_trc(tmp_path: Path, share: float) -> None:
    data = (GOLDEN / "tiny.trc").read_bytes()
    (tmp_path / "a.trc").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"a\.trc"):
        read_trc(tmp_path / "a.trc")


def test_no_frame_rate_and_no_frame(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fps"):
        write_trc(motion(fps=None), tmp_path / "a.trc")
    write_trc(motion(fps=None), tmp_path / "a.trc", fps=25)
    assert read_trc(tmp_path / "a.trc").fps == 25
    with pytest.raises(InputError, match="no frame"):
        write_trc(motion(T=0), tmp_path / "b.trc")
    with pytest.raises(InputError, match="fill"):
        write_trc(motion(), tmp_path / "b.trc", fill="magic")
    with pytest.raises(InputError, match="up"):
        write_trc(motion(), tmp_path / "b.trc", up="x")
    assert not (tmp_path / "b.trc").exists()


# ---------------------------------------------------------------- gaps


@pytest.mark.parametrize("fill", ["interpolate", "linear"])
def test_only_short_gaps_are_filled_and_listed(tmp_path: Path, fill: str) -> None:
    points = motion()
    report = write_trc(points, tmp_path / "a.trc", fill=fill, max_gap_s=0.06)
    assert np.argwhere(report.interpolated).tolist() == [[3, 0], [4, 0]]
    assert report.missing[4:9, 1].all() and report.missing[:2, 2].all()  # long gap and start stay empty
    sidecar = json.loads((tmp_path / "a.trc.gaps.json").read_text())
    assert sidecar == {"policy": fill, "interpolated_frames": {"nose": [[3, 4]]}}
    back = read_trc(tmp_path / "a.trc").xyz
    assert np.isfinite(back[3:5, 0]).all() and np.isnan(back[4:9, 1]).all()
    smooth = motion(T=12)
    low, high = np.sort(np.stack([smooth.xyz[2, 0], smooth.xyz[5, 0]]), axis=0)
    assert (back[3:5, 0] >= low - 1e-6).all() and (back[3:5, 0] <= high + 1e-6).all()


def test_fill_gaps_recovers_a_straight_line_at_uneven_times() -> None:
    times = np.array([0.0, 0.1, 0.15, 0.3, 0.35, 0.5])
    xyz = (times[:, None, None] * [1.0, -2.0, 3.0]) + 1
    broken = xyz.copy()
    broken[2:4] = np.nan
    for method in ("pchip", "linear"):
        filled, mask = fill_gaps(broken, times, method=method, max_gap_s=0.25)
        np.testing.assert_allclose(filled, xyz, atol=1e-12)
        assert mask[:, 0].tolist() == [False, False, True, True, False, False]
        untouched, mask = fill_gaps(broken, times, method=method, max_gap_s=0.24)
        assert not mask.any() and np.isnan(untouched[2:4]).all()
    assert np.isnan(broken[2:4]).all()
    with pytest.raises(InputError, match="increase"):
        fill_gaps(broken, times * 0, method="linear", max_gap_s=1)


@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.9))
@settings(max_examples=40, deadline=None)
def test_filling_never_changes_a_sample_and_never_extrapolates(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(15, 3, 3))
    xyz[rng.random((15, 3)) < share] = np.nan
    there = np.isfinite(xyz).all(-1)
    filled, mask = fill_gaps(xyz, np.arange(15) / 10, method="pchip", max_gap_s=1.0)
    np.testing.assert_array_equal(filled[there], xyz[there])
    assert np.array_equal(np.isfinite(filled).all(-1), there | mask) and not (there & mask).any()
    for j in range(3):
        seen = np.flatnonzero(there[:, j])
        if len(seen):
            assert not mask[: seen[0], j].any() and not mask[seen[-1] :, j].any()
            span = xyz[seen, j]
            assert (filled[mask[:, j], j] <= span.max(0) + 1e-9).all()  # no overshoot
            assert (filled[mask[:, j], j] >= span.min(0) - 1e-9).all()


# ---------------------------------------------------------------- c3d


@pytest.mark.parametrize("units", ["m", "mm"])
@pytest.mark.parametrize("up", ["z", "y"])
def test_c3d_round_trip(tmp_path: Path, units: str, up: str) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    points = motion(skeleton=BLAZEPOSE33)
    report = write_c3d(points, tmp_path / "a.c3d", units=units, up=up)
    back = read_c3d(tmp_path / "a.c3d")
    np.testing.assert_allclose(back.xyz, points.xyz, atol=3e-7)  # float32
    assert back.joints == BLAZEPOSE33.joints and back.fps == 60 and back.metadata == {"units": units, "up": up}
    assert np.array_equal(report.missing, ~points.ok)
    raw = ezc3d.c3d(str(tmp_path / "a.c3d"))
    residual = raw["data"]["meta_points"]["residuals"][0].T
    np.testing.assert_array_equal(residual < 0, ~points.ok)
    assert raw["parameters"]["POINT"]["UNITS"]["value"] == [units]
    assert raw["parameters"]["POINT"]["RATE"]["value"][0] == 60
    high = raw["data"]["points"][1 if up == "y" else 2, 5, 11]
    np.testing.assert_allclose(high, points.xyz[11, 5, 2] * (1000 if units == "mm" else 1), rtol=1e-6)


def test_c3d_stores_zero_and_minus_one_for_a_gap(tmp_path: Path) -> None:
    """As other readers see it: the four float32 of point 0 in frame 3."""
    pytest.importorskip("ezc3d")
    points = motion()
    write_c3d(points, tmp_path / "a.c3d")
    data = (tmp_path / "a.c3d").read_bytes()
    start = 512 * (int.from_bytes(data[16:18], "little") - 1)  # header word 9: first block of the data
    frames = np.frombuffer(data, "<f4", count=12 * 17 * 4, offset=start).reshape(12, 17, 4)
    np.testing.assert_array_equal(frames[3, 0], [0, 0, 0, -1])
    np.testing.assert_allclose(frames[0, 0, :3], points.xyz[0, 0] * 1000, rtol=1e-6)


@pytest.mark.parametrize("frames", [1, 300, 70_000])
def test_c3d_reader_agrees_with_ezc3d(tmp_path: Path, frames: int) -> None:
    """70,000 frames do not fit the 16-bit counter; ezc3d then reads the first 65,535 only."""
    ezc3d = pytest.importorskip("ezc3d")
    xyz = np.random.default_rng(0).normal(size=(frames, 2, 3))
    xyz[frames // 2, 1] = np.nan
    write_c3d(Trajectories(xyz, ("a", "b"), 119.88, np.arange(frames) / 119.88), tmp_path / "a.c3d")
    mine, theirs = read_c3d(tmp_path / "a.c3d", up="z"), ezc3d.c3d(str(tmp_path / "a.c3d"))
    expected = theirs["data"]["points"][:3].transpose(2, 1, 0) / 1000
    assert len(expected) == min(frames, 65_535) and len(mine.xyz) == frames
    np.testing.assert_array_equal(mine.xyz[: len(expected)], expected)
    np.testing.assert_allclose(mine.xyz, xyz, atol=4e-7)
    np.testing.assert_allclose(mine.fps, 119.88, rtol=1e-6)


def test_long_c3d_without_trial_fields(tmp_path: Path) -> None:
    """As ezc3d writes it: the counter is full and only the end of the file says how many frames there are."""
    ezc3d = pytest.importorskip("ezc3d")
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [60.0]
    file["parameters"]["POINT"]["LABELS"]["value"] = ["a", "b"]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["m"]
    file["data"]["points"] = np.ones((4, 2, 70_001))
    file.write(str(tmp_path / "a.c3d"))
    back = read_c3d(tmp_path / "a.c3d")
    assert back.xyz.shape == (70_001, 2, 3) and (back.xyz == 1).all()


def test_every_truncation_of_a_c3d_is_named(tmp_path: Path) -> None:
    """The C++ reader hangs or crashes on some of these."""
    pytest.importorskip("ezc3d")
    write_c3d(motion(), tmp_path / "a.c3d")
    whole = (tmp_path / "a.c3d").read_bytes()
    payload = 12 * 17 * 16
    start = 512 * (int.from_bytes(whole[16:18], "little") - 1)
    for keep in [*range(0, start + payload, 61), start + payload - 1]:
        (tmp_path / "b.c3d").write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"b\.c3d"):
            read_c3d(tmp_path / "b.c3d")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_c3d_with_wrong_bytes_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    pytest.importorskip("ezc3d")
    path = tmp_path / "a.c3d"
    if not path.exists():
        write_c3d(motion(T=3), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "b.c3d").write_bytes(bytes(content))
    try:
        back = read_c3d(tmp_path / "b.c3d")
    except InputError as error:
        assert "b.c3d" in str(error)
    else:
        assert back.xyz.shape[1:] == (len(back.joints), 3)


def test_c3d_fills_like_trc(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    report = write_c3d(motion(), tmp_path / "a.c3d", fill="linear", max_gap_s=0.06)
    assert np.argwhere(report.interpolated).tolist() == [[3, 0], [4, 0]]
    assert (tmp_path / "a.c3d.gaps.json").exists()


def test_c3d_faults(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    with pytest.raises(InputError, match="does not exist"):
        read_c3d(tmp_path / "absent.c3d")
    write_c3d(motion(), tmp_path / "a.c3d")
    whole = (tmp_path / "a.c3d").read_bytes()
    for keep in (0, 300, 700):
        (tmp_path / "b.c3d").write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"b\.c3d"):
            read_c3d(tmp_path / "b.c3d")
    empty = ezc3d.c3d()
    empty["parameters"]["POINT"]["RATE"]["value"] = [100.0]
    empty["data"]["points"] = np.zeros((4, 0, 5))
    empty.write(str(tmp_path / "c.c3d"))
    with pytest.raises(InputError, match="no points"):
        read_c3d(tmp_path / "c.c3d")


def test_c3d_on_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C++ writer says nothing when the disk is full; a file cut short must not replace the old one."""
    ezc3d = pytest.importorskip("ezc3d")
    write_c3d(motion(), tmp_path / "a.c3d")
    before = (tmp_path / "a.c3d").read_bytes()
    original = ezc3d.c3d.write

    def cut(self: object, path: str) -> None:
        original(self, path)
        Path(path).write_bytes(Path(path).read_bytes()[:700])

    monkeypatch.setattr(ezc3d.c3d, "write", cut)
    with pytest.raises(OSError, match="Nothing was lost"):
        write_c3d(motion(T=30), tmp_path / "a.c3d")
    assert (tmp_path / "a.c3d").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_c3d_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ezc3d", None)
    with pytest.raises(MissingExtraError, match=r"sportcore\[io\]"):
        write_c3d(motion(), tmp_path / "a.c3d")


# ---------------------------------------------------------------- csv

relaxed = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(seed=st.integers(0, 10**6), T=st.integers(2, 6), fps=st.sampled_from([24.0, 59.94, 60.0, 119.88, 240.0]))
@relaxed
def test_csv_round_trip(tmp_path: Path, seed: int, T: int, fps: float) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(T, 3, 3))
    xyz[rng.random((T, 3)) < 0.3] = np.nan
    points = Trajectories(xyz, ("a", "b c", "d,e"), fps, np.arange(T) / fps)
    write_points_csv(points, tmp_path / "p.csv")
    back = read_points_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(back.xyz, xyz, atol=6e-7)
    assert back.joints == points.joints
    np.testing.assert_allclose(back.fps, fps, rtol=1e-5)


def test_csv_faults(tmp_path: Path) -> None:
    write_points_csv(motion(), tmp_path / "p.csv")
    text = (tmp_path / "p.csv").read_text()
    for content, message in (
        (text[:-30], "columns"),
        (text.replace("time_s", "t", 1), "table"),
        (text.splitlines()[0] + "\n", "no frame"),
        ("", "empty"),
    ):
        (tmp_path / "p.csv").write_text(content)
        with pytest.raises(InputError, match=message):
            read_points_csv(tmp_path / "p.csv")


def test_trajectories_become_points() -> None:
    points = read_trc(GOLDEN / "tiny.trc").to_points3d()
    assert points.ok.tolist() == [[True, True], [True, False]] and points.skeleton.joints == ("pelvis", "head")
    assert points.residual_px.shape == (0, 2, 2) and np.isnan(points.covariance).all()

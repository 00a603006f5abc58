"""Contact sheets and still figures: what is drawn, where, how large, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from report_session import session

from sportcore.errors import InputError
from sportcore.report import ReportData, render_report
from sportcore.report.figures import draw_scene, save_scene
from sportcore.report.sheets import _read_frames, contact_sheet, contact_sheet_jpeg, draw_overlay
from sportcore.skeletons import H36M17
from sportcore.synthetic import athlete, observe, project_truth, render_video, ring_cameras
from sportcore.types import Keypoints2D, Rig


@pytest.fixture(scope="module")
def scene() -> tuple[Rig, np.ndarray, Keypoints2D, np.ndarray]:
    rig = ring_cameras(2, 1, image_size=(320, 240))
    points = athlete(12, 25.0, 1)
    keypoints, _ = observe(points, rig, 1, sigma_px=0.5, fps=25.0)
    return rig, points, keypoints, np.stack([project_truth(points, c)[0] for c in rig])


def frames(count: int = 12) -> list[list[np.ndarray]]:
    return [[np.full((240, 320, 3), 90 + f, np.uint8) for f in range(count)] for _ in range(2)]


def test_overlay_marks_the_joints_and_nothing_else() -> None:
    image = np.full((240, 320, 3), 100, np.uint8)
    xy = np.full((17, 2), np.nan)
    xy[H36M17.index("left_knee")] = (100, 80)
    drawn = draw_overlay(image, H36M17, xy, None)
    assert (image == 100).all(), "the input is not changed"
    changed = np.argwhere((drawn != 100).any(-1))
    assert len(changed) and np.abs(changed - (80, 100)).max() <= 6
    assert drawn[80, 100, 2] > 200 > drawn[80, 100, 0], "left is blue"
    xy[H36M17.index("left_knee")] = np.nan
    assert (draw_overlay(image, H36M17, xy, xy) == 100).all()
    xy[:] = (1e9, -1e9)
    assert (draw_overlay(image, H36M17, xy, xy) == 100).all()


def test_png_has_a_row_per_camera_and_a_column_per_frame(tmp_path: Path, scene) -> None:
    _, _, keypoints, again = scene
    path = contact_sheet(tmp_path / "s.png", frames(), [0, 5, 11], keypoints, again, tile=(100, 80))
    sheet = cv2.imread(str(path))
    assert sheet.shape == (2 * 84 - 4, 3 * 104 - 4, 3)
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]


def test_frames_come_from_the_right_place_of_a_video(tmp_path: Path, scene) -> None:
    rig, points, keypoints, again = scene
    path = render_video(tmp_path / "cam01.mp4", points, rig[0], 25.0)
    sheet = contact_sheet_jpeg({"cam01": path}, [3, 9], keypoints, again)
    assert [name for name, _ in sheet] == ["cam01"]
    picture = cv2.imdecode(np.frombuffer(sheet[0][1], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 2 * 364 - 4
    late = contact_sheet_jpeg({"cam01": path}, [3, 9], keypoints, again, start_s=5 / 25)
    assert cv2.imdecode(np.frombuffer(late[0][1], np.uint8), cv2.IMREAD_COLOR).shape[1] == 360, "frame 14 is not there"


@pytest.mark.parametrize("late_s", [0.0, 0.2])
def test_a_row_is_found_by_its_time(tmp_path: Path, scene, late_s: float) -> None:
    rig, points, keypoints, _ = scene
    path = render_video(tmp_path / "cam01.mp4", points, rig[0], 25.0)
    times = np.tile(np.arange(12) / 25.0 + 2 / 25.0 + late_s, (2, 1))  # row 0 is the third frame of the video
    found = _read_frames(path, [0, 4], (keypoints.replace(times=times).times - late_s)[0, [0, 4]], 0.0)
    counted = _read_frames(path, [2, 6], None, 0.0)
    assert np.array_equal(found[0], counted[2]) and np.array_equal(found[4], counted[6])
    assert not np.array_equal(counted[2], counted[6])


def test_jpegs_keep_to_their_budget_and_go_into_the_page(scene) -> None:
    _, _, keypoints, again = scene
    rng = np.random.default_rng(0)
    noise = [[rng.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(3)] for _ in range(2)]
    short = keypoints.frames(slice(0, 3))
    for budget in (400_000, 120_000):
        sheet = contact_sheet_jpeg(noise, [0, 1, 2], short, again[:, :3], max_bytes=budget)
        assert len(sheet) == 2 and sum(len(b) for _, b in sheet) <= budget
        assert all(b.startswith(b"\xff\xd8") for _, b in sheet)
    page = render_report(ReportData(meta={}, images=tuple(sheet)))
    assert page.count("data:image/jpeg;base64,") == 2


def test_cameras_without_frames_are_left_out(tmp_path: Path, scene) -> None:
    _, _, keypoints, again = scene
    sources = {"cam01": {4: np.zeros((240, 320, 3), np.uint8)}, "cam02": {}}
    assert [n for n, _ in contact_sheet_jpeg(sources, [4, 5], keypoints, again)] == ["cam01"]
    assert contact_sheet_jpeg({}, [0], keypoints) == []
    with pytest.raises(InputError, match="No frame"):
        contact_sheet(tmp_path / "x.png", {}, [0], keypoints)


def test_bad_requests_are_refused(tmp_path: Path, scene) -> None:
    _, _, keypoints, again = scene
    with pytest.raises(InputError, match="reprojection"):
        contact_sheet(tmp_path / "x.png", frames(), [0], keypoints, again[:, :3])
    with pytest.raises(InputError, match="1 videos for 2"):
        contact_sheet(tmp_path / "x.png", frames()[:1], [0], keypoints)
    with pytest.raises(InputError, match="outside"):
        contact_sheet(tmp_path / "x.png", frames(), [12], keypoints)
    with pytest.raises(InputError, match="uint8"):
        draw_overlay(np.zeros((4, 4)), H36M17, None, None)


def test_scene_picture_shows_both_sides(tmp_path: Path) -> None:
    data = session(frames=40)
    picture = draw_scene(data, size=(600, 320))
    assert picture.shape == (320, 600, 3) and picture.dtype == np.uint8
    red = (picture[..., 0] > 170) & (picture[..., 2] < 60)
    blue = (picture[..., 2] > 150) & (picture[..., 0] < 60)
    assert red.sum() > 30 and blue.sum() > 30
    assert save_scene(tmp_path / "scene.png", data, poses=2).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no 3D motion"):
        draw_scene(ReportData(meta={}))

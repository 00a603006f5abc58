"""Synthetic people, cameras, detections and sessions: what they promise as truth must hold."""

from __future__ import annotations

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.io import read_rig
from sportcore.points3d import reproject
from sportcore.skeletons import BLAZEPOSE33, H36M17, convert
from sportcore.synthetic import (
    SPORTS,
    BodyShape,
    Motion,
    athlete,
    limb_indices,
    make_session,
    observe,
    project_truth,
    render_frame,
    render_video,
    ring_cameras,
)
from sportcore.videos import VideoReader, probe


@pytest.mark.parametrize("sport", SPORTS)
def test_bones_are_constant_and_feet_stay_on_the_floor(sport):
    points = athlete(250, 50.0, seed=3, sport=sport)
    bones = points[:, H36M17.bone_indices[:, 1]] - points[:, H36M17.bone_indices[:, 0]]
    lengths = np.linalg.norm(bones, axis=-1)
    assert lengths.std(0).max() < 1e-12
    left, right = np.array(H36M17.symmetric_bones).T
    np.testing.assert_allclose(lengths[:, left], lengths[:, right], atol=1e-12)
    ankles = points[:, [3, 6], 2].min(1)
    assert 0.05 < ankles.min() and np.percentile(ankles, 10) < 0.09  # one foot is down, none below the floor


def test_stature_is_what_was_asked_for():
    standing = athlete(5, 50.0, seed=0, sport="stand_still", height_m=1.9)
    assert standing[0, 10, 2] == pytest.approx(1.9, abs=0.02)
    varied = BodyShape.from_height(1.8, seed=4, spread=0.05)
    parts = ("ankle_height_m", "shank_m", "thigh_m", "spine_m", "thorax_m", "neck_m", "head_m")
    assert sum(getattr(varied, part) for part in parts) == pytest.approx(1.8)


def test_sports_move_as_they_should():
    speed = {s: np.linalg.norm(np.diff(athlete(300, 50.0, 1, s)[:, 0], axis=0), axis=-1).mean() * 50 for s in SPORTS}
    assert speed["stand_still"] < 0.02 < 0.7 < speed["walk"] < speed["run"] < 4
    flat = athlete(300, 50.0, 1, "planar").reshape(-1, 3)
    singular = np.linalg.svd(flat - flat.mean(0), compute_uv=False)
    assert singular[2] < 1e-9 * singular[0] and singular[1] > 0.1 * singular[0]
    jump = athlete(400, 100.0, 1, "jump")
    lowest = jump[:, [3, 6], 2].min(1)
    aloft = lowest > lowest.min() + 0.1
    assert aloft.any()
    run = athlete(500, 50.0, 1, "run")[:, 0, :2]
    assert np.abs(run).max() < 1.6


def test_a_motion_can_be_sampled_at_any_time():
    motion = Motion(5, "run")
    times = np.array([0.5, 0.1, 0.3000001])
    assert np.array_equal(motion.at(times)[0], motion.at([0.5])[0])
    smooth = motion.at([0.3 - 1e-5, 0.3 + 1e-5])
    assert np.abs(np.diff(smooth, axis=0)).max() < 1e-3


def test_everything_is_keyed_by_the_seed():
    assert np.array_equal(athlete(20, 50.0, 7), athlete(20, 50.0, 7))
    assert not np.array_equal(athlete(20, 50.0, 7), athlete(20, 50.0, 8))
    points, rig = athlete(40, 50.0, 7), ring_cameras(3, 7)
    plain, _ = observe(points, rig, 7)
    gaps, truth = observe(points, rig, 7, missing=0.2)  # another effect leaves the noise alone
    np.testing.assert_array_equal(plain.xy[~truth.missing], gaps.xy[~truth.missing])


@pytest.mark.parametrize(
    ("model", "distortion"),
    [("pinhole", ()), ("brown", (-0.1, 0.03, 0.001, -0.001, 0.0)), ("fisheye", (0.02, -0.01, 0.0, 0.0))],
)
def test_the_truth_agrees_with_the_core(model, distortion):
    rig = ring_cameras(3, 2, model=model, distortion=distortion, roll_deg=20)
    points = athlete(15, 50.0, 2)
    mine = np.stack([project_truth(points, camera)[0] for camera in rig])
    np.testing.assert_allclose(mine, reproject(points, rig), atol=1e-7)


def test_cameras_look_at_the_middle():
    rig = ring_cameras(8, 3)
    for camera in rig:
        pixel, depth = project_truth([0.0, 0.0, 1.0], camera)
        assert np.linalg.norm(pixel - np.array(camera.image_size) / 2) < 150 and 4 < depth < 9
    arc = ring_cameras(4, 3, arc_deg=90).centers_world
    angles = np.degrees(np.arctan2(arc[:, 1], arc[:, 0]))
    assert np.ptp(angles) < 140


def test_observation_statistics_are_as_asked():
    points, rig = athlete(1500, 50.0, 1), ring_cameras(4, 1)
    keypoints, truth = observe(
        points, rig, 1, sigma_px=3, outliers=0.05, missing=0.1, swaps=0.2, correlation=0.6, fps=50.0
    )
    plain = ~(truth.outlier | truth.swapped | truth.missing)
    error = (keypoints.xy - truth.xy_true)[plain]
    assert error.std() == pytest.approx(3.0, rel=0.05)
    assert truth.outlier.mean() == pytest.approx(0.05 * (1 - truth.missing.mean()), rel=0.1)
    assert truth.swapped.any(-1).mean() == pytest.approx(0.2, abs=0.05)
    noise = (keypoints.xy - truth.xy_true)[..., 0]
    noise[~plain] = np.nan
    lag = np.nanmean(noise[:, 1:] * noise[:, :-1]) / np.nanmean(noise**2)
    assert lag == pytest.approx(0.6, abs=0.05)
    swapped = np.argwhere(truth.swapped & ~truth.outlier & ~truth.missing)
    left, right = limb_indices(H36M17)["body"]
    mirror = np.arange(17)
    mirror[left], mirror[right] = right, left
    c, t, j = swapped.T
    assert np.median(np.linalg.norm(keypoints.xy[c, t, j] - truth.xy_true[c, t, mirror[j]], axis=-1)) < 8


def test_scores_fall_with_the_noise():
    points, rig = athlete(300, 50.0, 1), ring_cameras(3, 1)
    keypoints, truth = observe(points, rig, 1, noise_spread=0.6)
    seen = keypoints.observed
    rank = np.corrcoef(np.log(truth.sigma_px[seen]), keypoints.score[seen])[0, 1]
    assert rank < -0.7 and (keypoints.score[~seen] == 0).all()


def test_late_cameras_show_a_later_moment():
    motion = Motion(3, "run")
    times = np.arange(100) / 50
    rig = ring_cameras(2, 3)
    late, truth = observe(motion.at(times), rig, 3, sigma_px=0.0, time_offsets_s=[0.0, 0.07], fps=50.0)
    exact = project_truth(motion.at(times + 0.07), rig[1])[0]
    inside = slice(2, 90)
    assert np.abs(late.xy[1, inside] - exact[inside]).max() < 1.0
    assert truth.time_offsets_s.tolist() == [0.0, 0.07]


def test_limbs_are_found_in_other_skeletons():
    groups = limb_indices(BLAZEPOSE33)
    names = {BLAZEPOSE33.joints[i] for i in groups["legs"][0]}
    assert names == {"left_knee", "left_ankle", "left_heel", "left_foot_index"}


def test_a_rendered_figure_covers_its_joints():
    rig, points = ring_cameras(2, 1, image_size=(640, 360)), athlete(3, 50.0, 1)
    with_figure = render_frame(points[0], rig[0]).astype(int)
    empty = render_frame(np.full((17, 3), np.nan), rig[0]).astype(int)
    changed = np.abs(with_figure - empty).sum(-1) > 60
    pixels = np.round(project_truth(points[0], rig[0])[0]).astype(int)
    covered = [changed[v, u] for u, v in pixels if 0 <= u < 640 and 0 <= v < 360]
    assert np.mean(covered) > 0.8 and changed.mean() < 0.2


def test_session_folder_is_complete_and_readable(tmp_path):
    told = []
    made = make_session(
        tmp_path / "s", seed=2, frames=6, fps=25.0, cameras=2, image_size=(320, 180), swaps=0.1,
        progress=lambda done, total, message: told.append((done, total)),
    )  # fmt: skip
    assert told[-1] == (12, 12)
    info = probe(made.video_paths[1])
    assert info.image_size == (320, 180) and info.frame_count == 6 and info.fps == pytest.approx(25.0)
    first = next(iter(VideoReader(made.video_paths[0])))
    assert np.abs(first.image_rgb.astype(int) - render_frame_of(made)).mean() < 12
    rig = read_rig(made.folder / "truth_rig.toml")
    np.testing.assert_allclose(rig.R, made.rig.R, atol=1e-9)
    bare = read_rig(made.folder / "intrinsics.toml")
    np.testing.assert_allclose(bare.K, made.rig.K)
    np.testing.assert_allclose(bare.t, 0.0)
    with np.load(made.folder / "truth.npz") as truth, np.load(made.folder / "keypoints2d" / "cam02.npz") as seen:
        np.testing.assert_allclose(truth["points_world_m"], made.points_world_m)
        assert tuple(truth["joints"]) == H36M17.joints
        np.testing.assert_array_equal(seen["xy"], made.keypoints.xy[1])
    assert "[athlete]" in (made.folder / "session.toml").read_text()


def render_frame_of(made):
    from sportcore.synthetic import render_background

    return render_frame(made.points_world_m[0], made.rig[0], render_background(made.rig[0], 2)).astype(int)


def test_bad_arguments_are_refused(tmp_path):
    rig, points = ring_cameras(2), athlete(5, 50.0)
    for call in (
        lambda: athlete(5, 50.0, sport="chess"),
        lambda: athlete(0, 50.0),
        lambda: ring_cameras(0),
        lambda: observe(points[:, :5], rig),
        lambda: observe(points, rig, outliers=1.5),
        lambda: observe(points, rig, swap_kind="head"),
        lambda: observe(points, rig, correlation=1.0),
        lambda: observe(points, rig, time_offsets_s=[0.1]),
        lambda: Motion(0, "run").at([np.nan]),
        lambda: BodyShape.from_height(175),
        lambda: make_session(tmp_path, frames=1),
        lambda: render_frame(points, rig[0]),
        lambda: render_video(tmp_path / "x.mp4", points[:0], rig[0], 25),
    ):
        with pytest.raises(InputError):
            call()


def test_a_real_detector_finds_the_rendered_figure(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="no TFLite engine is installed")
    from sportcore import weights
    from sportcore.errors import WeightsError
    from sportcore.keypoints2d import make_detector

    try:
        weights.find("blazepose-lite")
        weights.find("blazepose-person")
    except WeightsError as error:
        pytest.skip(f"weights are not on this machine: {error.message}")
    made = make_session(tmp_path, seed=1, frames=8, fps=30.0, cameras=1, image_size=(1280, 720))
    found = make_detector("blazepose-lite").detect_video(VideoReader(made.video_paths[0]), (1280, 720))
    xy, _ = convert(found.xy, found.score, found.skeleton, "h36m17")
    error = np.linalg.norm(xy - made.truth.xy_true[0], axis=-1)
    assert found.present.all() and np.nanmedian(error) < 12  # the person is about 250 px tall

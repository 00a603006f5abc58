"""Bad input to tracks and synchronisation: a clear error or a clear warning, and nothing lost."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.keypoints2d.tracks import CleanOptions, TrackStatus, clean_tracks
from sportcore.sync import CameraTrack, SyncOptions, align_cameras
from sportcore.synthetic import athlete, observe, ring_cameras
from sportcore.types import Keypoints2D


@pytest.fixture(scope="module")
def run():
    points, rig = athlete(120, 50.0, 1), ring_cameras(4, 1)
    keypoints, _ = observe(points, rig, 1, sigma_px=2.0)
    return points, rig, keypoints


def emptied(keypoints, cameras, frames=slice(None)):
    xy, score = np.array(keypoints.xy), np.array(keypoints.score)
    for c in cameras:
        xy[c, frames], score[c, frames] = np.nan, 0.0
    return keypoints.replace(xy=xy, score=score)


def test_nan_everywhere_is_an_error_with_a_remedy(run):
    nobody = emptied(run[2], range(4))
    with pytest.raises(InputError, match="No person was found in any of the 4 cameras") as caught:
        clean_tracks(nobody, rig=run[1])
    assert "detection" in caught.value.remedy


def test_scores_of_zero_count_as_nobody(run):
    silent = run[2].replace(score=np.zeros_like(run[2].score))
    with pytest.raises(InputError, match="No person"):
        clean_tracks(silent)


@pytest.mark.parametrize("with_rig", [False, True])
def test_one_camera_without_a_person_is_named_and_the_rest_is_kept(run, with_rig):
    points, rig, keypoints = run
    clean = clean_tracks(emptied(keypoints, [2]), rig=rig if with_rig else None)
    assert any(re.search("cam03: no person was found in any of its 120 frames", w) for w in clean.report.warnings)
    entry = clean.report.cameras[2]
    assert entry.person_frames == 0 and entry.body_size_px is None and entry.sigma_px is None
    assert np.isnan(clean.keypoints.xy[2]).all() and (clean.status[2] == TrackStatus.LONG_GAP).all()
    for c in (0, 1, 3):
        kept = clean.keypoints.observed[c]
        assert kept.sum() >= 0.995 * keypoints.observed[c].sum()


def test_a_camera_that_never_sees_the_person_with_others_is_named(run):
    _, rig, keypoints = run
    alone = emptied(emptied(keypoints, [0, 1, 2], slice(60, None)), [3], slice(0, 60))
    report = clean_tracks(alone, rig=rig).report
    assert report.cameras[3].common_frames == 0 and report.cameras[3].person_frames == 60
    assert any(w.startswith("cam04: sees the person in 60 frames, but never while another") for w in report.warnings)


def test_a_camera_that_sees_another_motion_is_named(run):
    _, rig, keypoints = run
    other, _ = observe(athlete(120, 50.0, 99, "jump") + [1.5, 1.0, 0.0], rig, 9, sigma_px=2.0)
    xy, score = np.array(keypoints.xy), np.array(keypoints.score)
    xy[1], score[1] = other.xy[1], other.score[1]
    report = clean_tracks(keypoints.replace(xy=xy, score=score), rig=rig).report
    contradicting = [w for w in report.warnings if "contradict" in w]
    assert len(contradicting) == 1 and contradicting[0].startswith("cam02")
    assert not any(run.camera != "cam02" for run in report.swaps)


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_person_who_stands_still_is_said_to(run, noise):
    rig = run[1]
    standing, _ = observe(athlete(150, 50.0, 3, "stand_still"), rig, 3, sigma_px=noise)
    report = clean_tracks(standing, rig=rig).report
    assert report.still and any("stands still" in w for w in report.warnings)
    assert not clean_tracks(run[2], rig=rig).report.still


def test_a_still_image_is_said_to_repeat(run):
    keypoints = run[2]
    frozen = keypoints.replace(xy=np.repeat(keypoints.xy[:, :1], 120, axis=1))
    clean = clean_tracks(frozen)
    assert sum("repeat" in w for w in clean.report.warnings) == 4
    assert clean.keypoints.observed.sum() == keypoints.observed[:, 0].sum()  # one sample of each, and no more


def test_hardly_anything_seen_is_kept_as_it_is(run):
    keypoints = emptied(run[2], range(4), slice(3, None))
    clean = clean_tracks(keypoints, rig=run[1])
    assert np.array_equal(clean.keypoints.observed, keypoints.observed)
    assert np.array_equal(clean.keypoints.xy, keypoints.xy, equal_nan=True)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_a_few_frames(run, frames):
    short = run[2].frames(slice(0, frames))
    clean = clean_tracks(short, rig=run[1])
    assert np.array_equal(clean.keypoints.xy, short.xy, equal_nan=True)
    assert np.isfinite(clean.keypoints.sigma_px[short.observed]).all()


def test_one_camera_only(run):
    single = run[2].cameras(["cam02"])
    clean = clean_tracks(single, rig=run[1])
    assert clean.report.cameras[0].name == "cam02" and not clean.report.warnings


def test_other_camera_names_are_refused(run):
    _, rig, keypoints = run
    with pytest.raises(InputError, match="Camera names differ"):
        clean_tracks(keypoints.replace(names=("cam01", "cam02", "left", "right")), rig=rig)
    with pytest.raises(InputError, match="The rig has 3 cameras"):
        clean_tracks(keypoints, rig=rig.subset(["cam01", "cam02", "cam03"]))


def test_times_that_run_backwards_are_refused(run):
    times = np.array(run[2].times)
    times[2, 50] = times[2, 48]
    with pytest.raises(InputError, match="cam03: the frame times do not increase at frame"):
        clean_tracks(run[2].replace(times=times))
    times[2, 50] = np.nan
    with pytest.raises(InputError, match="not finite"):
        clean_tracks(run[2].replace(times=times))


def test_wrong_lenses_do_not_exchange_sides(run):
    _, rig, keypoints = run
    wrong = [camera.replace(K=np.array(camera.K) * [[1.25], [1.25], [1]]) for camera in rig]
    clean = clean_tracks(keypoints, rig=type(rig)(tuple(wrong)))
    assert clean.swapped.mean() < 0.02


def test_a_skeleton_without_sides_is_only_checked_for_jumps():
    from sportcore.skeletons import Skeleton

    stick = Skeleton("stick", ("bottom", "middle", "top"), (("bottom", "middle"), ("middle", "top")))
    t = np.arange(60) / 50
    xy = np.stack([100 * np.sin(t)[:, None] + [0, 5, 9], 300 + np.array([0, -80, -160]) + 0 * t[:, None]], -1)[None]
    xy[0, 30, 1] += 200
    clean = clean_tracks(Keypoints2D(xy, np.ones(xy.shape[:3]), stick, fps=50.0))
    assert not clean.swapped.any() and clean.status[0, 30, 1] == TrackStatus.OUTLIER


def test_sync_with_a_camera_that_sees_nobody():
    rng = np.random.default_rng(0)
    t = np.arange(200) / 50
    points, rig = athlete(200, 50.0, 2), ring_cameras(3, 2)
    keypoints, _ = observe(points, rig, 2)
    tracks = [CameraTrack(f"c{c}", keypoints.xy[c], keypoints.score[c], t) for c in range(2)]
    tracks.append(CameraTrack("empty", np.full((200, 17, 2), np.nan), np.zeros((200, 17)), t))
    out, report = align_cameras(tracks, "h36m17")
    assert np.isnan(out.xy[2]).all() and report.cameras[2].offset_s is None
    assert any("empty" in note and "no person" in note for note in report.notes)
    noise = [CameraTrack("noise", rng.uniform(0, 1000, (200, 17, 2)), np.ones((200, 17)), t), *tracks[:2]]
    _, report = align_cameras(noise, "h36m17")
    assert all(camera.applied_offset_s == 0.0 for camera in report.cameras)


def test_misspelt_options_are_refused():
    from sportcore.options import from_table

    with pytest.raises(InputError, match="max_gap_s"):
        from_table(CleanOptions, {"max_gap": 0.1})
    options = from_table(SyncOptions, {"offsets": {"cam1": 0.1}, "trim": True})
    assert options.offsets == {"cam1": 0.1} and from_table(SyncOptions, {"offsets": "none"}).offsets == "none"

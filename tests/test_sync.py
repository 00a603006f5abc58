"""Common time base: known lateness is measured, what differs is refused or said, nothing is invented."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sportcore.errors import InputError
from sportcore.sync import CameraTrack, SyncOptions, align_cameras, motion_offsets
from sportcore.synthetic import Motion, observe, ring_cameras


def recordings(fps=(60.0,) * 4, late=(0.0,) * 4, seconds=4.0, sport="run", seed=4, roll_deg=0.0, **noise):
    """Tracks of one motion in several cameras, each with its own rate, lateness and length."""
    motion, rig = Motion(seed, sport), ring_cameras(len(fps), seed, roll_deg=roll_deg)
    lengths = np.broadcast_to(seconds, len(fps))
    out = []
    for c, (rate, delay) in enumerate(zip(fps, late, strict=True)):
        times = np.arange(int(round(lengths[c] * rate))) / rate
        seen, _ = observe(motion.at(times + delay), rig, seed + c, fps=rate, **noise)
        out.append(CameraTrack(f"cam{c + 1}", seen.xy[c], seen.score[c], times, rig[c].image_size, rate))
    return out


@pytest.mark.parametrize("sport", ["run", "jump"])
@pytest.mark.parametrize("fps", [30.0, 60.0])
@pytest.mark.parametrize("hard", [False, True])
def test_known_lateness_is_measured(sport, fps, hard):
    late = (0.0, 0.043, -0.021, 0.15)
    noise = dict(outliers=0.05, missing=0.1, swaps=0.1) if hard else {}
    tracks = recordings((fps,) * 4, late, seconds=6.0, sport=sport, sigma_px=3.0, correlation=0.5, **noise)
    _, report = align_cameras(tracks, "h36m17")
    for camera, truth in zip(report.cameras, late, strict=True):
        assert camera.offset_s == pytest.approx(truth, abs=0.008)
        assert camera.offset_sigma_s < 0.02


def test_applied_lateness_lines_the_frames_up():
    late = (0.0, 0.1, -0.05, 0.0)
    tracks = recordings(late=late, sigma_px=2.0)
    keypoints, report = align_cameras(tracks, "h36m17")
    applied = [camera.applied_offset_s for camera in report.cameras]
    np.testing.assert_allclose(applied, late, atol=0.008)
    assert applied[3] == 0.0 and any("cam2" in w and "corrected" in w for w in report.warnings)
    assert np.abs(keypoints.times - keypoints.times.mean(0)).max() < 0.5 / 60 + 0.005
    assert np.isfinite(keypoints.xy).any((2, 3)).all()  # every row has a frame in every camera
    first = np.round((keypoints.times[:, 0] - np.array(applied)) * 60).astype(int)
    for c, track in enumerate(tracks):
        np.testing.assert_array_equal(keypoints.xy[c, 0], track.xy[first[c]])


def test_nothing_is_corrected_where_nothing_is_late():
    tracks = recordings(sigma_px=3.0, outliers=0.03)
    keypoints, report = align_cameras(tracks, "h36m17")
    assert [camera.applied_offset_s for camera in report.cameras] == [0.0] * 4
    assert not report.warnings and len(report.notes) == 3
    for c, track in enumerate(tracks):
        np.testing.assert_array_equal(keypoints.xy[c], track.xy)
        np.testing.assert_allclose(keypoints.times[c], track.times_s)


@pytest.mark.parametrize("sport", ["stand_still"])
def test_without_motion_no_lateness_is_claimed(sport):
    tracks = recordings(late=(0.0, 0.2, 0.0, 0.0), sport=sport, sigma_px=3.0)
    _, report = align_cameras(tracks, "h36m17")
    assert [camera.offset_s for camera in report.cameras[1:]] == [None] * 3
    assert [camera.applied_offset_s for camera in report.cameras] == [0.0] * 4
    assert all(pair.reason for pair in report.pairs)


def test_rolled_cameras_and_half_frames():
    late = (0.0, 0.5 / 60, 2.5 / 60)
    tracks = recordings((60.0,) * 3, late, seconds=6.0, roll_deg=60.0, sigma_px=2.0)
    keypoints, report = align_cameras(tracks, "h36m17")
    assert report.cameras[2].offset_s == pytest.approx(late[2], abs=0.006)
    assert np.isfinite(keypoints.xy).any((2, 3)).all()
    assert (np.diff(keypoints.times, axis=1) > 0).all()


def test_given_lateness_is_applied_as_it_is():
    tracks = recordings(sigma_px=1.0)
    keypoints, report = align_cameras(tracks, "h36m17", SyncOptions(offsets={"cam2": 3 / 60}))
    assert not report.pairs and report.cameras[1].applied_offset_s == 3 / 60
    np.testing.assert_array_equal(keypoints.xy[0, 0], tracks[0].xy[3])
    np.testing.assert_array_equal(keypoints.xy[1, 0], tracks[1].xy[0])
    with pytest.raises(InputError, match="cam9"):
        align_cameras(tracks, "h36m17", SyncOptions(offsets={"cam9": 0.1}))


def test_different_frame_rates_are_refused_unless_resampled():
    tracks = recordings((60.0, 50.0, 30.0, 60.0), sigma_px=0.0)
    with pytest.raises(InputError, match=r"cam3 30\.000.*resample = true"):
        align_cameras(tracks, "h36m17")
    keypoints, report = align_cameras(tracks, "h36m17", SyncOptions(resample=True, offsets="none"))
    assert report.resampled and report.fps == 60.0
    motion, rig = Motion(4, "run"), ring_cameras(4, 4)
    truth, _ = observe(motion.at(keypoints.times[0]), rig, 0, sigma_px=0.0)
    error = np.linalg.norm(keypoints.xy - truth.xy, axis=-1)
    assert np.nanmax(error[0]) < 1e-6 and np.nanmedian(error[2]) < 2.0  # 30 to 60 fps, linear
    between = keypoints.score[2, 1::2]
    assert between.max() < tracks[2].score.max() * 0.75
    # A gap that is too long stays a gap.
    xy = np.array(tracks[2].xy)
    xy[40:50] = np.nan
    holed = [*tracks[:2], CameraTrack("cam3", xy, tracks[2].score, tracks[2].times_s, tracks[2].image_size), tracks[3]]
    again, _ = align_cameras(holed, "h36m17", SyncOptions(resample=True, offsets="none"))
    missing = np.isnan(again.xy[2, :, 0, 0])
    assert missing[80:98].all() and missing.sum() < 25


def test_slightly_different_rates_drift_but_stay_together():
    tracks = recordings((60.0, 60.1), (0.0, 0.0), seconds=20.0, sigma_px=0.0)
    keypoints, report = align_cameras(tracks, "h36m17", SyncOptions(offsets="none"))
    assert not report.resampled
    both = np.isfinite(keypoints.xy).any((2, 3)).all(0)
    assert both.mean() > 0.98
    # Each camera's frame lies at most half a frame from its row, and its true time is kept.
    rows = keypoints.times[0, 0] + np.arange(keypoints.n_frames) / keypoints.fps
    assert np.abs(keypoints.times - rows)[:, both].max() < 0.51 / 60


def test_lengths():
    tracks = recordings(seconds=[4.0, 4.0, 3.9, 4.0], sigma_px=0.0)
    keypoints, report = align_cameras(tracks, "h36m17")
    assert keypoints.n_frames == 234 and any("Cut to the common 3.90 s" in note for note in report.notes)
    assert [camera.trimmed_end for camera in report.cameras] == [6, 6, 0, 6]
    short = recordings(seconds=[4.0, 4.0, 2.0, 4.0], sigma_px=0.0)
    with pytest.raises(InputError, match=r"cam3 2\.00 s.*trim = true"):
        align_cameras(short, "h36m17")
    keypoints, _ = align_cameras(short, "h36m17", SyncOptions(trim=True, offsets="none"))
    assert keypoints.n_frames == 120


def test_dropped_frames_become_rows_without_a_frame():
    tracks = recordings(sigma_px=0.0)
    keep = np.delete(np.arange(240), np.arange(100, 110))
    t = tracks[1]
    tracks[1] = CameraTrack("cam2", t.xy[keep], t.score[keep], t.times_s[keep], t.image_size)
    keypoints, report = align_cameras(tracks, "h36m17", SyncOptions(offsets="none"))
    assert np.isnan(keypoints.xy[1, 100:110]).all() and (keypoints.score[1, 100:110] == 0).all()
    np.testing.assert_array_equal(keypoints.xy[1, 110:], t.xy[110:])
    assert report.cameras[1].rows_without_frame == 10 and report.cameras[1].fps == pytest.approx(60.0)
    assert any("dropped frames" in w for w in report.warnings)


def test_a_shared_clock_counts_first_times():
    tracks = recordings(sigma_px=0.0)
    t = tracks[1]
    tracks[1] = CameraTrack("cam2", t.xy, t.score, t.times_s + 0.1, t.image_size)
    own, _ = align_cameras(tracks, "h36m17", SyncOptions(offsets="none"))
    shared, _ = align_cameras(tracks, "h36m17", SyncOptions(offsets="none", shared_clock=True))
    np.testing.assert_array_equal(own.xy[1, 0], t.xy[0])
    np.testing.assert_array_equal(shared.xy[0, 0], tracks[0].xy[6])
    np.testing.assert_array_equal(shared.xy[1, 0], t.xy[0])


def test_one_camera_and_input_unchanged():
    track = recordings((50.0,), (0.0,), sigma_px=1.0)[0]
    xy = track.xy.copy()
    keypoints, report = align_cameras([track], "h36m17")
    np.testing.assert_array_equal(keypoints.xy[0], xy)
    np.testing.assert_array_equal(track.xy, xy)
    assert keypoints.names == ("cam1",) and keypoints.fps == pytest.approx(50.0) and not report.pairs


def test_order_of_the_cameras_does_not_matter():
    tracks = recordings(late=(0.0, 0.1, 0.0, -0.05), sigma_px=2.0)
    a, _ = align_cameras(tracks, "h36m17")
    b, _ = align_cameras([tracks[0], *tracks[:0:-1]], "h36m17")
    np.testing.assert_array_equal(a.xy[1:], b.xy[:0:-1])


def test_report_is_plain_json():
    _, report = align_cameras(recordings(seconds=2.0), "h36m17", SyncOptions(offsets={"cam1": 0.0}))
    back = json.loads(json.dumps(report.to_dict()))
    assert back["cameras"][0]["name"] == "cam1" and back["options"]["offsets"] == {"cam1": 0.0}


def test_bad_input_is_refused_by_name():
    good = recordings(seconds=1.0)
    t = good[1]

    def swap_in(**changes):
        values = dict(name="cam2", xy=t.xy, score=t.score, times_s=t.times_s, image_size=t.image_size, fps=None)
        return [good[0], CameraTrack(**(values | changes))]

    for tracks, text in (
        (swap_in(name="cam1"), "twice"),
        (swap_in(times_s=None), "cam2: neither"),
        (swap_in(times_s=t.times_s[::-1]), "cam2.*increasing"),
        (swap_in(times_s=t.times_s[:5]), "cam2"),
        (swap_in(times_s=t.times_s * 1e-9), "cam2: its frames are .*e-11 s apart"),
        (swap_in(times_s=t.times_s * 1e9), "cam2: its frames are .*e[+]07 s apart"),
        (swap_in(xy=t.xy[:, :5]), "cam2: xy"),
        (swap_in(xy=t.xy[:1], score=t.score[:1], times_s=t.times_s[:1]), "cam2: 1 frames"),
        ([], "No camera"),
    ):
        with pytest.raises(InputError, match=text):
            align_cameras(tracks, "h36m17")
    with pytest.raises(InputError, match="no time in common"):
        align_cameras(good, "h36m17", SyncOptions(offsets={"cam1": 5.0}))
    with pytest.raises(InputError):
        SyncOptions(offsets="sometimes")
    with pytest.raises(InputError):
        SyncOptions(max_offset_s=-1.0)


def test_positions_that_no_picture_can_hold_count_as_missing():
    tracks = recordings((60.0, 60.0), late=(0.0, 0.25), sigma_px=1.0)
    plain = motion_offsets(tracks, "h36m17")
    wild = tracks[1].xy.copy()
    wild[::7, 3] = 1e300
    t = tracks[1]
    spoilt = motion_offsets([tracks[0], CameraTrack(t.name, wild, t.score, t.times_s, t.image_size)], "h36m17")
    assert spoilt.sure and spoilt.offsets_s[1] == pytest.approx(plain.offsets_s[1], abs=0.005)
    assert (wild[::7, 3] == 1e300).all()

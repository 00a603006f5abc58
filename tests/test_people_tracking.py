"""Tracks inside one camera: cut rather than wrong; and the detections of several people in a video."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore.people import PeopleDetections, TrackOptions, detect_people, track_people
from sportcore.synthetic import ring_cameras
from sportcore.synthetic.crowd import crowd, mixed_tracks

FRAMES, FPS = 200, 25.0


@pytest.fixture(scope="module")
def scene():
    people = crowd(3, FRAMES, FPS, 1)
    return mixed_tracks(people, ring_cameras(1, 1), 1, exchange=0.0, cut=0.0)


def who_of(mixed, track):
    """(T,) true person of a track made by track_people."""
    out = np.full(len(track), -1)
    for k, truth in enumerate(mixed.truth[0]):
        same = np.isfinite(track).any((1, 2)) & (np.nan_to_num(track) == np.nan_to_num(mixed.xy[0][k])).all((1, 2))
        out[same] = truth[same]
    return out


def test_tracks_are_one_person_and_keep_what_was_detected(scene):
    frames = scene.frames(0, 5)
    xy, score = track_people(frames)
    kept = 0
    for x in xy:
        who = who_of(scene, x)
        seen = np.isfinite(x).any((1, 2))
        assert (who[seen] >= 0).all()
        assert len(np.unique(who[seen])) == 1, "a track changed from one person to another"
        kept += int(seen.sum())
    assert kept == sum(len(x) for x, _ in frames)
    assert all(s.shape == (FRAMES, 17) for s in score)
    longest = max(int(np.isfinite(x).any((1, 2)).sum()) for x in xy)
    assert longest > 40


def test_order_of_detections_does_not_matter(scene):
    a, _ = track_people(scene.frames(0, 5))
    b, _ = track_people(scene.frames(0, 6))
    assert len(a) == len(b)
    for x in a:
        assert any(np.array_equal(x, y, equal_nan=True) for y in b)


def body(x, phase=0.0):
    """Seventeen joints of a stick that swings a little."""
    up = np.linspace(0, 300, 17)
    return np.stack([x + 20 * np.sin(phase + up / 50), 500 + up], -1)


def test_twins_who_pass_through_each_other_are_cut():
    frames = []
    for t in range(60):
        pair = np.stack([body(200 + 10 * t, 0.3 * t), body(800 - 10 * t, 0.3 * t)])
        frames.append((pair if t % 2 else pair[::-1], np.ones((2, 17))))
    xy, _ = track_people(frames)
    before = [x for x in xy if np.isfinite(x[0]).all()]
    assert len(before) == 2
    for x in before:  # nobody is followed through the meeting at frame 30
        assert not np.isfinite(x[32:]).any()
    never, _ = track_people(frames, TrackOptions(ambiguous=0.0))
    assert len(never) < len(xy)


def test_gaps_are_survived_or_not():
    def lost(n):
        frames = [(np.stack([body(300 + 5 * t)]), np.ones((1, 17))) for t in range(40)]
        for t in range(15, 15 + n):
            frames[t] = (np.zeros((0, 17, 2)), np.zeros((0, 17)))
        return track_people(frames, TrackOptions(max_gap=5))[0]

    assert len(lost(5)) == 1
    assert len(lost(6)) == 2


def test_joints_without_a_score_are_missing_and_short_tracks_are_dropped():
    x = np.stack([body(300)])
    s = np.ones((1, 17))
    s[0, 3] = 0.0
    xy, score = track_people([(x, s)] * 4)
    assert np.isnan(xy[0][:, 3]).all() and not score[0][:, 3].any()
    assert track_people([(x, s)] * 4, TrackOptions(min_frames=5))[0] == []
    assert track_people([(x[:0], s[:0])] * 4)[0] == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_detection_is_in_exactly_one_track(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(int(rng.integers(1, 12))):
        n = int(rng.integers(0, 4))
        x = rng.uniform(0, 600, (n, 1, 2)) + rng.uniform(0, 200, (n, 9, 2))
        x[rng.random((n, 9)) < 0.1] = np.nan
        frames.append((x, rng.uniform(0.2, 1, (n, 9))))
    xy, _ = track_people(frames)
    for t, (x, _) in enumerate(frames):
        here = sorted(float(np.nansum(one)) for one in x if np.isfinite(one[:, 0]).sum() >= 3)
        found = sorted(float(np.nansum(k[t])) for k in xy if np.isfinite(k[t]).any())
        np.testing.assert_allclose(found, here)


def test_wrong_input_is_refused():
    with pytest.raises(sc.InputError, match="Frame 1"):
        track_people([(np.zeros((1, 5, 2)), np.ones((1, 5))), (np.zeros((1, 4, 2)), np.ones((1, 4)))])
    with pytest.raises(sc.InputError):
        TrackOptions(max_distance=0)
    with pytest.raises(sc.InputError, match="no model"):
        detect_people([], "movenet", image_size=(10, 10))
    with pytest.raises(sc.InputError, match="image_size"):
        detect_people([])
    with pytest.raises(sc.InputError, match="stride"):
        detect_people([], image_size=(10, 10), stride=0)


def test_detections_are_kept_in_a_file(tmp_path):
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (5, 33, 2))
    xy[2, 4] = np.nan
    score = np.where(np.isfinite(xy[..., 0]), 0.7, 0.0)
    d = PeopleDetections("blazepose33", (640, 480), np.arange(4) / 30, np.array([0, 0, 1, 3, 3]), xy, score)
    d.save(tmp_path / "d.npz")
    e = PeopleDetections.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(e.xy, xy)
    assert e.image_size == (640, 480) and e.fps == pytest.approx(30) and e.world_m is None
    assert [len(x) for x, _ in e.frames()] == [2, 1, 0, 2]
    np.testing.assert_array_equal(e.frames()[3][0], xy[3:])
    with pytest.raises(sc.InputError, match="ordered"):
        PeopleDetections("blazepose33", (640, 480), np.arange(4) / 30, np.array([1, 0, 1, 3, 3]), xy, score)
    with pytest.raises(sc.InputError, match="do not fit"):
        PeopleDetections("blazepose33", (640, 480), np.arange(4) / 30, np.array([0, 0]), xy, score)


@pytest.mark.slow
def test_two_people_in_a_real_video():
    from sportcore import weights
    from sportcore.datasets import pose2sim_demo
    from sportcore.fetch import cache_dir

    folder = cache_dir() / "pose2sim_demo" / "multi_person"
    if not pose2sim_demo.available(folder, "multi_person"):
        pytest.skip("the demo videos are not in the cache")
    try:
        weights.find("blazepose-full")
    except sc.WeightsError:
        pytest.skip("the weights are not in the cache")
    d = detect_people(folder / "cam04.mp4", "blazepose-full", stride=20)
    assert d.n_frames == 5
    assert all(len(x) >= 2 for x, _ in d.frames())

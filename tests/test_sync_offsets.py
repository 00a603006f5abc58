"""Offsets and clock rates from motion alone: true to a fraction of a frame, honest about how well, never guessed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

import sportcore as sc
from sportcore import _core
from sportcore._sync_curves import CurveReader, make_curves
from sportcore._sync_epipolar import Clock, View, _linearise, fit_pair, start_pose
from sportcore._sync_graph import Pair, Trial, camera_margin, decide
from sportcore._sync_solve import solve_clocks
from sportcore.cli import EXIT_ERROR, EXIT_OK, EXIT_UNUSABLE, main
from sportcore.errors import InputError
from sportcore.sync import (
    CameraTrack,
    SyncOptions,
    align_cameras,
    motion_offsets,
    refine_offsets_epipolar,
    start_offsets,
)
from sportcore.synthetic import Motion, make_session, observe, ring_cameras

NOISE = {"sigma_px": 2.0, "outliers": 0.05, "missing": 0.1, "swaps": 0.1}


def recordings(late, fps=12.5, frames=300, sport="run", seed=0, rates=None, arc_deg=360.0, **noise):
    """Tracks of one motion whose cameras look late by so much, their clocks running at t (1 + rate); and the rig."""
    motion, rig = Motion(seed, sport), ring_cameras(len(late), seed, arc_deg=arc_deg)
    times = np.arange(frames) / fps
    out = []
    for c, delay in enumerate(late):
        when = times * (1 + (0.0 if rates is None else rates[c])) + delay
        seen, _ = observe(motion.at(when), rig, 10 * seed + c, fps=fps, **(NOISE | noise))
        out.append(CameraTrack(rig[c].name, seen.xy[c], seen.score[c], times, rig[c].image_size, fps))
    return out, rig


@pytest.mark.parametrize(("fps", "sport", "seed"), [(12.5, "run", 0), (12.5, "jump", 1), (60.0, "run", 2)])
def test_two_seconds_apart_to_a_tenth_of_a_frame(fps, sport, seed):
    late = np.random.default_rng(seed).uniform(-2, 2, 4)
    tracks, rig = recordings(late, fps, sport=sport, seed=seed)
    before = [track.xy.copy() for track in tracks]
    report = motion_offsets(tracks, "h36m17", intrinsics=rig)
    assert report.sure and report.offsets_s[0] == 0.0
    error = report.offsets_s - (late - late[0])
    assert np.abs(error).max() * fps < 0.1
    assert (np.abs(error[1:]) < 4 * report.sigmas_s[1:]).all() and (report.sigmas_s[1:] * fps < 0.1).all()
    assert all(np.array_equal(a, t.xy, equal_nan=True) for a, t in zip(before, tracks, strict=True))
    if fps == 60.0:  # an assumed lens does as well
        rough = motion_offsets(tracks, "h36m17")
        assert np.abs(rough.offsets_s - (late - late[0])).max() * fps < 0.2


def test_keypoints_and_a_start_nearby():
    late = np.array([0.3, -1.1, 0.52, 0.0])
    tracks, rig = recordings(late)
    keypoints = sc.Keypoints2D(
        np.stack([t.xy for t in tracks]), np.stack([t.score for t in tracks]), "h36m17", fps=12.5,
        image_sizes=np.array([t.image_size for t in tracks]),
    )  # fmt: skip
    report = start_offsets(keypoints, rig)
    np.testing.assert_allclose(report.offsets_s, late - late[0], atol=0.008)
    start = late + np.array([5.0, 5.06, 4.95, 5.04])  # only differences count
    finer = refine_offsets_epipolar(keypoints, start, rig)
    np.testing.assert_allclose(finer.offsets_s, late - late[0], atol=0.008)
    assert all(c.drift is None and c.drift_reason for c in finer.cameras[1:])
    for bad in ([0.0, 1.0], [0.0, 1.0, np.nan, 0.0]):
        with pytest.raises(InputError, match="start_s"):
            refine_offsets_epipolar(keypoints, bad, rig)
    with pytest.raises(InputError, match="3 cameras"):
        start_offsets(keypoints, sc.Rig(tuple(c.replace(name=f"other{k}") for k, c in enumerate(list(rig)[:3]))))


@pytest.mark.slow
def test_clock_rates_where_the_recording_is_long_enough():
    rates = np.array([0.0, 1e-3, -1e-4])
    tracks, _ = recordings((0.0, 0.8, -0.4), 30.0, 1800, rates=rates)  # a minute
    report = motion_offsets(tracks, "h36m17")
    for camera, rate, delay in zip(report.cameras[1:], rates[1:], (0.8, -0.4), strict=True):
        assert camera.drift == pytest.approx(rate, abs=6e-5) and camera.drift_sigma < 3e-5
        assert abs(camera.drift - rate) < 4 * camera.drift_sigma
        assert camera.offset_s == pytest.approx(delay + rate * camera.reference_s, abs=0.003)
    out, aligned = align_cameras(tracks, "h36m17")
    assert aligned.cameras[1].applied_drift == report.cameras[1].drift and any("ppm" in w for w in aligned.warnings)
    # Frames of one row show one moment, at the start and at the end.
    index = np.array([[np.flatnonzero((tracks[c].xy[:, 0] == out.xy[c, k, 0]).all(-1)) for k in (60, -60)]
                      for c in range(3)], dtype=object)  # fmt: skip
    for k in range(2):
        moments = [i[0] / 30.0 * (1 + rates[c]) + (0.0, 0.8, -0.4)[c] for c, i in enumerate(index[:, k]) if len(i)]
        assert len(moments) > 1 and np.ptp(moments) < 0.6 / 30.0
    short = motion_offsets(recordings((0.0, 0.2), 60.0, 300)[0], "h36m17")
    assert short.cameras[1].drift is None and "5 s" in short.cameras[1].drift_reason


def test_too_little_motion_is_told_and_not_guessed():
    tracks, _ = recordings((0.0, 0.7, 0.0), 50.0, 250, "stand_still")
    report = motion_offsets(tracks, "h36m17")
    assert np.isnan(report.offsets_s[1:]).all() and all(c.reason for c in report.cameras[1:])
    with pytest.raises(InputError, match=r'"motion" does not show.*cam02.*jump'):
        align_cameras(tracks, "h36m17", SyncOptions(method="motion"))
    with pytest.raises(InputError, match="needs the videos"):
        align_cameras(tracks, "h36m17", SyncOptions(method="audio"))
    with pytest.raises(InputError, match="method"):
        SyncOptions(method="guess")
    out, plain = align_cameras(tracks, "h36m17", SyncOptions(method="none"))
    assert plain.sure and not plain.notes and out.n_frames == 250


@pytest.mark.slow
def test_another_person_is_not_tied_in():
    """A camera that films somebody else at another place has no moment in common with the others."""
    tracks, _ = recordings((0.0, 0.3, -0.2), 25.0, 250)
    other, _ = recordings((0.0, 0.0, 0.0), 25.0, 250, seed=7)
    mixed = [*tracks, CameraTrack("other", other[0].xy, other[0].score, other[0].times_s, (1920, 1080), 25.0)]
    report = motion_offsets(mixed, "h36m17")
    np.testing.assert_allclose(report.offsets_s[1:3], [0.3, -0.2], atol=0.004)
    assert not report.cameras[3].sure


def test_sides_of_the_fit_agree_with_finite_differences():
    """At its minimum the cost of a pair does not fall when the offset is moved and the pose follows."""
    tracks, rig = recordings((0.0, 0.31), 50.0, 200, outliers=0.0, missing=0.0, swaps=0.0, arc_deg=80.0)
    views = [
        View(make_curves(t.name, t.xy, t.times_s, rig[c], None), Clock(), np.arange(200)) for c, t in enumerate(tracks)
    ]
    R, t, _, _ = start_pose(views[0], views[1], 0.33)
    fit = fit_pair([tuple(views)], R, t, 0.33)
    assert fit.shift_s == pytest.approx(0.31, abs=4 * fit.sigma_s) and fit.sigma_s < 0.002
    assert fit.scale_px == pytest.approx(2.0, rel=0.2)
    again = fit_pair([tuple(views)], fit.R, fit.t, fit.shift_s)
    assert again.shift_s == pytest.approx(fit.shift_s, abs=1e-4)
    true_R = rig.R[1] @ rig.R[0].T
    angle = np.degrees(np.arccos((np.trace(fit.R @ true_R.T) - 1) / 2))
    assert angle < 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_derivatives_of_the_sampson_distance(seed):
    rng = np.random.default_rng(seed)
    R, t = np.asarray(_core.so3_exp(rng.normal(size=3))), rng.normal(size=3)
    t /= np.linalg.norm(t)
    x1, x2, d1, d2 = (0.4 * rng.normal(size=(20, 2)) for _ in range(4))
    when = rng.normal(size=20)

    def linearise(p=None):
        if p is None:
            return _linearise(R, t, x1, x2, d1, d2, when, 900.0, 1400.0, 7)
        late = (p[5] + p[6] * when)[:, None]
        turned, moved = np.asarray(_core.so3_exp(p[:3])) @ R, t + p[3:5] @ basis
        return _linearise(turned, moved, x1 + late * d1, x2 + late * d2, d1, d2, when, 900.0, 1400.0, 7)

    r, J, basis = linearise()
    for k in range(7):
        step = 1e-6 * np.eye(7)[k]
        numeric = (linearise(step)[0] - linearise(-step)[0]) / 2e-6
        np.testing.assert_allclose(J[:, k], numeric, rtol=1e-5, atol=1e-4 * np.abs(r).max())


def test_splines_of_all_joints_are_those_of_each_alone():
    rng = np.random.default_rng(4)
    times = np.arange(90) / 30 + rng.uniform(-0.005, 0.005, 90)
    x = np.cumsum(rng.normal(size=(90, 5, 2)), 0)
    x[rng.random((90, 5)) < 0.2] = np.nan
    x[:, 3] = np.nan  # never seen
    x[4:, 4] = np.nan  # too short or just long enough
    seen = np.isfinite(x[..., 0])
    curves = make_curves("cam", x, times, None, (1000, 800), max_gap_s=0.07)
    middle = np.array([499.5, 399.5])
    at = np.sort(rng.uniform(times[0] - 0.1, times[-1] + 0.1, 400))
    point, _, _ = CurveReader([curves]).at(np.zeros(400, int), at)
    for j in range(5):
        k = np.flatnonzero(seen[:, j])
        if len(k) < 4:
            assert np.isnan(point[:, j]).all()
            continue
        spline = CubicSpline(times[k], x[k, j])
        after = np.clip(np.searchsorted(times[k], at), 1, len(k) - 1)
        near = (at > times[k[0]]) & (at < times[k[-1]]) & (times[k][after] - times[k][after - 1] <= 0.07)
        got = point[:, j] * curves.focal_px + middle
        shown = np.isfinite(got[:, 0])
        assert not shown[~near].any() and shown[near].mean() > 0.9  # a stored step across a knot into a gap is left out
        np.testing.assert_allclose(got[shown], spline(at[shown]), atol=2e-2 * np.nanstd(x[:, j]))


def test_a_fifth_of_everything_wrong_is_still_told_apart():
    """At 12.5 Hz: 20 % outliers, 20 % missing, 20 % of the frames with the sides exchanged."""
    late = np.array([0.0, 1.3, -0.7, 0.4])
    tracks, rig = recordings(late, seed=5, outliers=0.2, missing=0.2, swaps=0.2)
    report = motion_offsets(tracks, "h36m17", intrinsics=rig)
    error = report.offsets_s - late
    assert report.sure and np.abs(error).max() * 12.5 < 0.15
    assert (np.abs(error[1:]) < 4 * report.sigmas_s[1:]).all()


@settings(max_examples=50, deadline=None)
@given(st.floats(-50, 50), st.floats(-2e-3, 2e-3), st.floats(0, 600))
def test_clocks_there_and_back(offset, drift, reference):
    clock = Clock(offset, drift, reference)
    times = np.linspace(0, 600, 7)
    np.testing.assert_allclose(clock.own(clock.world(times)), times, atol=1e-9)


def test_the_graph_prefers_offsets_that_agree_around_loops(monkeypatch):
    monkeypatch.setattr("sportcore._sync_graph.try_offset", lambda *_: None)

    def trial(offset, scale):
        fit = type("Fit", (), {"scale_px": scale, "shift_s": offset})()
        return Trial(offset, 0.5, fit)

    pairs = [Pair(0, 1, [trial(1.0, 2.0), trial(0.2, 6.0)]), Pair(0, 2, [trial(0.9, 3.0), trial(0.5, 3.1)]),
             Pair(1, 2, [trial(-0.5, 2.0), trial(0.3, 9.0)])]  # fmt: skip
    assert decide([None] * 3, pairs) == [0.0, 1.0, 0.5]


def test_cameras_that_agree_with_each_other_do_not_vouch_for_the_first():
    def pair(a, b, *scales):
        fits = [type("Fit", (), {"scale_px": s, "shift_s": 0.7 * n})() for n, s in enumerate(scales)]
        return Pair(a, b, [Trial(f.shift_s, 0.5, f) for f in fits], searched=True)

    loose = [pair(0, 1, 9.0, 9.9), pair(0, 2, 9.0, 9.5), pair(1, 2, 2.0, 30.0)]
    assert camera_margin(loose, [0.0, 0.0, 0.0], 1) < 1.2 and camera_margin(loose, [0.0, 0.0, 0.0], 2) < 1.2
    tied = [pair(0, 1, 2.0, 12.0), pair(0, 2, 9.0, 9.5), pair(1, 2, 2.0, 30.0)]
    assert camera_margin(tied, [0.0, 0.0, 0.0], 2) > 3


def test_a_short_clip_that_fits_no_other_moment_is_believed():
    """Every probe of another moment comes back to the right one; it is then judged where it was placed."""
    tracks, rig = recordings((0.0, 0.05, -0.02), 60.0, 100, seed=3, outliers=0.0, swaps=0.0)
    report = motion_offsets(tracks, "h36m17", intrinsics=rig, max_offset_s=0.5)
    assert report.sure
    np.testing.assert_allclose(report.offsets_s, [0.0, 0.05, -0.02], atol=0.003)


def test_pairs_that_contradict_the_others_are_left_out():
    def fit(shift, scale=2.0):
        blocks = np.full((1, 20, 12), 1e-4)
        return type(
            "Fit",
            (),
            {"shift_s": shift, "rate": 0.0, "scale_px": scale, "influence": blocks, "first_block": 0, "bias_s": 0.0},
        )()

    clocks = {k: Clock() for k in range(4)}
    fits = {(0, 1): fit(0.10), (0, 2): fit(0.30), (1, 2): fit(0.20), (1, 3): fit(0.5), (0, 3): fit(0.6),
            (2, 3): fit(0.05)}  # fmt: skip
    solved = solve_clocks(fits, clocks, False)
    assert solved.used == set(fits) - {(2, 3)}
    np.testing.assert_allclose([solved.clocks[k].offset_s for k in range(4)], [0.0, 0.1, 0.3, 0.6], atol=1e-6)
    # What two pairs share counts once: sigma does not shrink below that of one pair's blocks times the growth.
    assert all(0.001 < solved.sigma_s[k] < 0.05 for k in (1, 2, 3))


def test_command_line(tmp_path, capsys):
    folder = tmp_path / "session"
    made = make_session(folder, seed=3, frames=240, fps=60.0, cameras=3, videos=False, time_offsets_s=(0.0, 0.21, -0.1))
    for name in made.rig.names:
        (folder / f"{name}.mp4").touch()
    assert main(["sync", str(folder)]) == EXIT_OK
    out = capsys.readouterr().out
    assert "late ms" in out and "Tracks are ready" in out
    row = next(line for line in out.splitlines() if line.startswith("cam02"))
    assert "+21" in row or "+20" in row
    assert main(["sync", str(folder), "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)["report"]
    assert report["cameras"][1]["applied_offset_s"] == pytest.approx(0.21, abs=0.01) and report["sure"]
    assert main(["sync", str(folder), "--set", "sync.method=audio"]) == EXIT_ERROR
    assert "audio" in capsys.readouterr().err
    assert EXIT_UNUSABLE == 3


def test_a_camera_that_fits_no_moment_makes_the_result_unusable():
    from sportcore.steps.output import sync_verdict

    camera = {"name": "cam02", "offset_s": None, "reason": "no moment fits"}
    report = {"sure": False, "cameras": [{"name": "cam01"}, camera], "options": {"method": "auto", "offsets": "auto"}}
    usable, verdict = sync_verdict(report)
    assert not usable and "cam02" in verdict and "clap" in verdict
    usable, verdict = sync_verdict(report | {"sure": True})
    assert usable and "left as it is" in verdict

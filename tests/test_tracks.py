"""Clean tracks: swaps found and undone, outliers rejected, sigma calibrated, gaps marked and never filled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sportcore.errors import InputError
from sportcore.keypoints2d.tracks import (
    GENERIC,
    CleanOptions,
    SigmaModel,
    TrackStatus,
    body_size_px,
    clean_tracks,
    fit_sigma_model,
    get_sigma_model,
    sigma_models,
)
from sportcore.keypoints2d.tracks_common import nan_median, rolling_median, runs, swap_groups
from sportcore.keypoints2d.tracks_outliers import JumpLimits, all_track_outliers
from sportcore.points3d import triangulate
from sportcore.skeletons import BLAZEPOSE33, H36M17
from sportcore.synthetic import athlete, observe, ring_cameras
from sportcore.types import Keypoints2D, Rig

LEFT, RIGHT, GROUP = swap_groups(H36M17)


def part_truth(truth):
    """(C, T, 3) whether trunk, arms and legs were exchanged."""
    columns = [np.concatenate([LEFT[GROUP == g], RIGHT[GROUP == g]]) for g in range(3)]
    return np.stack([truth.swapped[:, :, c].any(-1) for c in columns], -1)


def scene(seed=0, frames=240, fps=50.0, sport="run", cameras=4, **noise):
    points, rig = athlete(frames, fps, seed, sport), ring_cameras(cameras, seed)
    keypoints, truth = observe(points, rig, seed, fps=fps, **noise)
    return points, rig, keypoints, truth


def precision_recall(found, wanted):
    hits = (found & wanted).sum()
    return hits / max(found.sum(), 1), hits / max(wanted.sum(), 1)


@pytest.mark.parametrize(("kind", "seed"), [("body", 0), ("mixed", 1)])
@pytest.mark.parametrize("with_rig", [False, True])
def test_twenty_percent_swaps_are_found(kind, seed, with_rig):
    noise = dict(sigma_px=4.0, swaps=0.2, swap_kind=kind, correlation=0.5, outliers=0.05, missing=0.1)
    _, rig, keypoints, truth = scene(seed, **noise)
    clean = clean_tracks(keypoints, rig=rig if with_rig else None)
    precision, recall = precision_recall(clean.swapped, part_truth(truth))
    assert precision > (0.98 if with_rig else 0.9) and recall > (0.98 if with_rig else 0.85)


def test_undone_swaps_lie_where_they_belong():
    _, rig, keypoints, truth = scene(2, sigma_px=3.0, swaps=0.2)
    clean = clean_tracks(keypoints, rig=rig)
    error = np.linalg.norm(clean.keypoints.xy - truth.xy_true, axis=-1)
    before = np.linalg.norm(keypoints.xy - truth.xy_true, axis=-1)
    assert np.nanpercentile(before, 95) > 60 and np.nanpercentile(error, 99.5) < 14
    report = clean.report
    assert {run.part for run in report.swaps} == {"body"} and report.views_used
    listed = np.zeros(clean.swapped.shape[:2], bool)
    for run in report.swaps:
        listed[keypoints.names.index(run.camera), run.first_frame : run.last_frame + 1] = True
    assert np.array_equal(listed, clean.swapped.any(-1))
    touched = np.isin(clean.status, [TrackStatus.SWAPPED, TrackStatus.AMBIGUOUS]).any(-1)
    assert (touched | ~listed).all()


@pytest.mark.parametrize("sport", ["run", "jump", "walk"])
@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_clean_data_is_left_alone(sport, fps):
    _, rig, keypoints, _ = scene(3, sport=sport, fps=fps, sigma_px=2.0, correlation=0.5)
    clean = clean_tracks(keypoints, rig=rig)
    seen = keypoints.observed
    assert clean.swapped.mean() <= 0.005
    assert (seen & ~clean.keypoints.observed).sum() <= 0.005 * seen.sum()
    kept = clean.keypoints.observed & ~clean.swapped.any(-1)[..., None]
    assert np.array_equal(clean.keypoints.xy[kept], keypoints.xy[kept])


def test_outliers_are_rejected_and_little_else():
    _, _, keypoints, truth = scene(4, frames=400, sigma_px=3.0, outliers=0.05, missing=0.1, correlation=0.5)
    clean = clean_tracks(keypoints, CleanOptions(swaps="off"))
    rejected = clean.status == TrackStatus.OUTLIER
    good = keypoints.observed & ~truth.outlier
    assert rejected[truth.outlier].mean() > 0.85
    assert rejected[good].mean() < 0.003


def test_a_short_false_track_is_rejected_as_a_whole():
    times = np.arange(200) / 60
    xy = np.stack([300 + 80 * np.sin(3 * times), 400 + 30 * np.cos(2 * times)], -1)
    xy[90:95] += [120, -60]
    observed = np.ones((1, 200, 1), bool)
    bad = all_track_outliers(times[None], xy[None, :, None], observed, np.full((1, 200), 400.0), JumpLimits())
    assert np.array_equal(np.flatnonzero(bad), np.arange(90, 95))


def test_fast_limbs_and_gaps_are_no_outliers():
    times = np.sort(np.random.default_rng(0).choice(np.arange(600), 420, replace=False)) / 100  # irregular times
    xy = np.stack([300 + 150 * np.sin(2 * np.pi * 1.5 * times), 500 + 60 * np.cos(2 * np.pi * 3 * times)], -1)
    bad = all_track_outliers(
        times[None], xy[None, :, None], np.ones((1, 420, 1), bool), np.full((1, 420), 400.0), JumpLimits()
    )
    assert not bad.any()


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("given_points", [False, True])
def test_normalised_errors_have_unit_spread(spread, given_points):
    points, rig, keypoints, truth = scene(
        5, cameras=5, sigma_px=4.0, outliers=0.05, missing=0.1, noise_spread=spread, correlation=0.3
    )
    clean = clean_tracks(keypoints, rig=rig, points=points if given_points else None)
    assert clean.report.sigma_refitted
    z = (clean.keypoints.xy - truth.xy_true) / clean.keypoints.sigma_px[..., None]
    assert 0.9 < 1.4826 * np.nanmedian(np.abs(z)) < 1.1


def test_sigma_follows_the_score():
    points, rig, keypoints, truth = scene(6, frames=400, sigma_px=3.0, noise_spread=0.6)
    size = body_size_px(keypoints)
    residual = np.linalg.norm(keypoints.xy - truth.xy_true, axis=-1)
    model = fit_sigma_model(residual, keypoints.score, size, "h36m17", name="test")
    assert model.samples == np.isfinite(residual).sum()
    sigma = model.sigma_px(keypoints.score, size, "h36m17")
    for low, high in ((0.1, 0.5), (0.5, 0.8), (0.8, 1.0)):
        chosen = (keypoints.score > low) & (keypoints.score <= high)
        z = (keypoints.xy - truth.xy_true)[chosen] / sigma[chosen][:, None]
        assert 0.85 < 1.4826 * np.nanmedian(np.abs(z)) < 1.15
    assert model == SigmaModel.from_dict(json.loads(json.dumps(model.to_dict())))


def test_sigma_models_of_the_package():
    models = sigma_models()
    assert {"generic", "blazepose-heavy", "blazepose-full", "blazepose-lite"} <= set(models)
    assert get_sigma_model("a detector nobody fitted") is GENERIC
    heavy, lite = models["blazepose-heavy"], models["blazepose-lite"]
    scores = np.full((1, 1, 33), 0.9)
    assert heavy.relative(scores, BLAZEPOSE33).mean() < lite.relative(scores, BLAZEPOSE33).mean()
    falling = np.stack([heavy.relative(np.full((1, 1, 33), s), BLAZEPOSE33) for s in (0.1, 0.5, 0.9, 1.0)])
    assert (np.diff(falling, axis=0) <= 1e-12).all()
    doubled = heavy.scaled(2.0)
    np.testing.assert_allclose(doubled.relative(scores, BLAZEPOSE33), 2 * heavy.relative(scores, BLAZEPOSE33))


def test_gaps_are_marked_and_never_filled():
    _, _, keypoints, _ = scene(7, frames=200, sigma_px=1.0)
    xy, score = np.array(keypoints.xy), np.array(keypoints.score)
    xy[0, 50:55, 3], score[0, 50:55, 3] = np.nan, 0
    xy[1, 80:130, 6], score[1, 80:130, 6] = np.nan, 0
    clean = clean_tracks(keypoints.replace(xy=xy, score=score), CleanOptions(max_gap_s=0.2))
    assert (clean.status[0, 50:55, 3] == TrackStatus.SHORT_GAP).all()
    assert (clean.status[1, 80:130, 6] == TrackStatus.LONG_GAP).all()
    np.testing.assert_allclose(clean.gap_s[0, 50:55, 3], 0.1)
    np.testing.assert_allclose(clean.gap_s[1, 80:130, 6], 1.0)
    assert np.isnan(clean.keypoints.xy[1, 80:130, 6]).all() and np.isnan(clean.keypoints.sigma_px[1, 80:130, 6]).all()
    assert (clean.keypoints.score[1, 80:130, 6] == 0).all()
    assert clean.report.cameras[1].long_gaps == 1 and clean.report.cameras[1].longest_gap_s == pytest.approx(1.0)
    live = clean.keypoints.observed
    assert np.isfinite(clean.keypoints.sigma_px[live]).all() and (clean.keypoints.sigma_px[live] > 0).all()
    assert (live == (clean.status <= TrackStatus.AMBIGUOUS)).all() and (clean.gap_s[live] == 0).all()


def test_a_frozen_detector_is_noticed():
    _, _, keypoints, _ = scene(8, frames=150, sigma_px=1.0)
    xy = np.array(keypoints.xy)
    xy[2, 60:100] = xy[2, 60]
    xy[0, 20:60, 16] = xy[0, 20, 16]  # one wrist stands still while the body runs on
    clean = clean_tracks(keypoints.replace(xy=xy), CleanOptions(swaps="off"))
    assert (clean.status[2, 61:100] == TrackStatus.FROZEN).all()
    assert (clean.status[2, 60] != TrackStatus.FROZEN).all()
    assert (clean.status[0, 21:60, 16] == TrackStatus.FROZEN).all()
    assert any("repeat" in warning and "cam03" in warning for warning in clean.report.warnings)


def test_rounded_coordinates_of_a_planted_foot_are_not_frozen():
    _, _, keypoints, _ = scene(9, frames=150, sigma_px=0.0)
    xy = np.round(np.array(keypoints.xy))
    xy[0, 30:60, 3] = xy[0, 30, 3]
    clean = clean_tracks(keypoints.replace(xy=xy), CleanOptions(swaps="off", outliers=False))
    assert not (clean.status == TrackStatus.FROZEN).any()


def test_a_long_swap_that_time_cannot_settle_is_settled_by_the_views():
    _, rig, keypoints, _ = scene(10, frames=160, sigma_px=2.0)
    xy = np.array(keypoints.xy)
    xy[1, 40:] = xy[1, 40:][:, H36M17.flip_permutation]  # swapped for three quarters of the clip, to its end
    flipped = keypoints.replace(xy=xy)
    with_views = clean_tracks(flipped, rig=rig)
    assert with_views.swapped[1, 42:].all(-1).mean() > 0.98 and not with_views.swapped[[0, 2, 3]].any()


def test_where_the_side_is_uncertain_sigma_grows():
    _, rig, keypoints, truth = scene(11, frames=120, cameras=2, sigma_px=25.0, swaps=0.3, missing=0.3)
    clean = clean_tracks(keypoints, CleanOptions(refit_sigma=False, outliers=False), rig=rig)
    doubtful = clean.status == TrackStatus.AMBIGUOUS
    plain = get_sigma_model("generic").sigma_px(clean.keypoints.score, body_size_px(keypoints), "h36m17")
    assert doubtful.any()
    ratio = (clean.keypoints.sigma_px / plain)[doubtful]
    assert np.nanmedian(ratio) > 1.3
    assert sum(camera.ambiguous_frames for camera in clean.report.cameras) > 0


def test_points_help_as_a_rig_does():
    points, rig, keypoints, truth = scene(12, frames=160, sigma_px=4.0, swaps=0.2)
    clean = clean_tracks(keypoints, rig=rig, points=points)
    precision, recall = precision_recall(clean.swapped, part_truth(truth))
    assert precision > 0.99 and recall > 0.99


def test_input_is_unchanged_and_cleaning_twice_changes_nothing():
    _, rig, keypoints, _ = scene(13, frames=150, sigma_px=2.0, missing=0.1)
    xy, score = np.array(keypoints.xy), np.array(keypoints.score)
    once = clean_tracks(keypoints, rig=rig)
    assert np.array_equal(keypoints.xy, xy, equal_nan=True) and np.array_equal(keypoints.score, score)
    twice = clean_tracks(once.keypoints, rig=rig)
    assert np.array_equal(once.keypoints.xy, twice.keypoints.xy, equal_nan=True)
    np.testing.assert_allclose(once.keypoints.sigma_px, twice.keypoints.sigma_px)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order=st.permutations(range(4)), seed=st.integers(0, 50))
def test_the_order_of_the_cameras_does_not_matter(order, seed):
    _, rig, keypoints, _ = scene(seed, frames=60, sigma_px=3.0, swaps=0.15, missing=0.05)
    names = [keypoints.names[i] for i in order]
    straight = clean_tracks(keypoints, rig=rig)
    shuffled = clean_tracks(keypoints.cameras(names), rig=rig)
    assert np.array_equal(straight.swapped[list(order)], shuffled.swapped)
    assert np.array_equal(straight.keypoints.xy[list(order)], shuffled.keypoints.xy, equal_nan=True)
    np.testing.assert_allclose(straight.keypoints.sigma_px[list(order)], shuffled.keypoints.sigma_px, rtol=1e-6)


@settings(max_examples=4, deadline=None)
@given(shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)), seed=st.integers(0, 20))
def test_moving_the_image_moves_the_result(shift, seed):
    _, _, keypoints, _ = scene(seed, frames=60, cameras=2, sigma_px=3.0, swaps=0.15, outliers=0.03)
    moved = clean_tracks(keypoints.replace(xy=keypoints.xy + np.array(shift)))
    still = clean_tracks(keypoints)
    assert np.array_equal(moved.swapped, still.swapped) and np.array_equal(moved.status, still.status)
    np.testing.assert_allclose(moved.keypoints.xy, still.keypoints.xy + np.array(shift), atol=1e-9)


def test_body_size_is_the_stature_in_the_image():
    points, rig, keypoints, _ = scene(14, sigma_px=2.0, swaps=0.3, outliers=0.1, missing=0.2)
    depth = np.stack([(points.mean(1) @ camera.R.T + camera.t)[:, 2] for camera in rig])
    stature = 1.75 * rig.K[:, 0, 0][:, None] / depth
    assert np.abs(np.median(body_size_px(keypoints) / stature) - 1) < 0.15


def test_report_is_plain_json():
    _, rig, keypoints, _ = scene(15, frames=60, swaps=0.2, outliers=0.02)
    report = clean_tracks(keypoints, rig=rig).report
    back = json.loads(json.dumps(report.to_dict()))
    assert back["cameras"][0]["name"] == "cam01" and back["frames"] == 60
    assert set(back["cameras"][0]["rejected"]) == {"outlier", "frozen", "low_score"}
    assert back["options"]["max_gap_s"] == 0.2


def test_small_helpers():
    assert runs(np.array([True, True, False, True])) == [(0, 1), (3, 3)]
    values = np.array([[1.0, np.nan, 3.0, 10.0], [np.nan] * 4])
    np.testing.assert_array_equal(nan_median(values), [3.0, np.nan])
    np.testing.assert_array_equal(rolling_median(np.array([1.0, 9.0, np.nan, 2.0]), 1), [5.0, 5.0, 5.5, 2.0])


def test_bad_options_and_shapes_are_refused():
    points, rig, keypoints, _ = scene(16, frames=20)
    for call in (
        lambda: CleanOptions(swaps="maybe"),
        lambda: CleanOptions(max_gap_s=-1.0),
        lambda: CleanOptions(min_score=2.0),
        lambda: clean_tracks(keypoints, rig=Rig(list(ring_cameras(3)))),
        lambda: clean_tracks(keypoints, rig=rig, points=points[:5]),
        lambda: clean_tracks(Keypoints2D(keypoints.xy, keypoints.score, "h36m17")),
        lambda: SigmaModel("x", (0.0, 1.0), (-4.0, -3.0)),
        lambda: SigmaModel("x", (1.0, 0.0), (-4.0, -5.0)),
        lambda: SigmaModel.from_dict({"name": "x"}),
        lambda: fit_sigma_model(np.ones((1, 2, 17)), np.ones((1, 2, 17)), np.ones((1, 2)), "h36m17"),
        lambda: fit_sigma_model(np.ones((1, 2, 5)), np.ones((1, 2, 5)), np.ones((1, 2)), "h36m17"),
    ):
        with pytest.raises(InputError):
            call()


def test_points_made_from_swapped_sides_do_not_vote():
    _, rig, keypoints, truth = scene(17, frames=120, cameras=3, sigma_px=3.0, swaps=0.3)
    swapped_points = triangulate(keypoints, rig)
    alone = clean_tracks(keypoints, rig=rig)
    with_points = clean_tracks(keypoints, rig=rig, points=swapped_points)
    assert np.array_equal(alone.swapped, with_points.swapped)
    assert precision_recall(alone.swapped, part_truth(truth))[1] > 0.95

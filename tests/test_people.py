"""Several people: the same people in all cameras, and the cameras from all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from bench_people import camera_errors, identity_shares
from hypothesis import given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore import _core
from sportcore.people import (
    PeopleOptions,
    PeopleTracks,
    associate_people,
    match_to_rig,
    scale_calibration,
    scale_from_heights,
    stack_people,
)
from sportcore.people.groups import merge_pieces, window_edges
from sportcore.people.pairs import find_pair_pose, geometry_of, residuals
from sportcore.people.slots import close_frames, pack, pieces
from sportcore.synthetic import ring_cameras
from sportcore.synthetic.crowd import crowd, mixed_tracks
from sportcore.synthetic.scene import project_truth

FPS, FRAMES = 25.0, 150


def make(people=2, cameras=3, seed=3, bystanders=0, bystander_cameras=None, **how):
    scene = crowd(people, FRAMES, FPS, seed, bystanders=bystanders)
    rig = ring_cameras(cameras, seed)
    mixed = mixed_tracks(scene, rig, seed, bystander_cameras=bystander_cameras, **how)
    sizes = np.array([c.image_size for c in rig])
    return scene, rig, mixed, PeopleTracks(mixed.xy, mixed.score, "h36m17", rig.names, FPS, sizes)


@pytest.fixture(scope="module")
def three_cameras():
    """Two athletes, a bystander who stands in everybody's view, and one whom only one camera sees."""
    rig = ring_cameras(3, 4)
    body = crowd(2, FRAMES, FPS, 4, bystanders=2).bystanders_m[1, 0]
    inside = [((uv > 0) & (uv < [1920, 1080])).all(-1).sum() for uv in (project_truth(body, c)[0] for c in rig)]
    assert max(inside) > 10
    scene, rig, mixed, tracks = make(2, 3, 4, 2, [None, [int(np.argmax(inside))]])
    options = PeopleOptions(heights_m=list(scene.heights_m[::-1]))
    return scene, rig, mixed, tracks, associate_people(tracks, rig, options)


# ---- the whole -------------------------------------------------------------------------------------------------------


def test_identities_and_cameras_are_found_together(three_cameras):
    scene, rig, mixed, _, a = three_cameras
    assert mixed.exchanges >= 3
    shares = identity_shares(mixed.truth, a, 2)
    assert a.n_people == 2
    assert shares["wrong"] < 0.002
    assert shares["right"] > 0.97
    rotation, centre = camera_errors(a.rig, rig)
    assert rotation < 0.3
    assert centre < 0.5
    assert a.calibration is not None and a.calibration.rig is a.rig


def test_result_is_made_of_the_input(three_cameras):
    _, _, _, tracks, a = three_cameras
    P, C, T = a.track.shape
    assert a.xy.shape == (P, C, T, 17, 2) and len(a.keypoints) == len(a.points) == P
    for p, c, t in itertools.product(range(P), range(C), range(0, T, 7)):
        k = a.track[p, c, t]
        if k < 0:
            assert np.isnan(a.xy[p, c, t]).all() and not a.score[p, c, t].any()
        else:
            np.testing.assert_array_equal(a.xy[p, c, t], tracks.xy[c][k][t])
    for c, t in itertools.product(range(C), range(T)):
        here = a.track[:, c, t][a.track[:, c, t] >= 0]
        assert len(set(here.tolist())) == len(here), "one detection, two people"
    assert a.keypoints[0].names == tracks.camera_names
    for p in range(P):
        np.testing.assert_array_equal(a.keypoints[p].xy, a.xy[p])


def test_bystanders_are_left_out_and_said_why(three_cameras):
    _, _, mixed, tracks, a = three_cameras
    reasons = {}
    for d in a.discarded:
        k = mixed.truth[tracks.camera_names.index(d.camera)][d.track]
        who, n = np.unique(k[k >= 0], return_counts=True)
        if d.frames > 20:
            reasons.setdefault(int(who[np.argmax(n)]), set()).add(d.reason)
    assert "stands still" in reasons[2]
    assert reasons.get(3, set()) <= {"one camera only", "does not fit"}
    assert identity_shares(mixed.truth, a, 2)["bystanders"] == 0
    assert a.info["left_out"].get("stands still") == 1


def test_who_is_seen_by_one_camera_is_discarded_as_such():
    _, rig, mixed, _ = make(1, 2, 2, exchange=0.0, cut=0.0)
    alone = make(1, 2, 9, exchange=0.0, cut=0.0)[2]
    xy, score = [[*mixed.xy[0], *alone.xy[0]], mixed.xy[1]], [[*mixed.score[0], *alone.score[0]], mixed.score[1]]
    a = associate_people(PeopleTracks(xy, score, "h36m17", rig.names, FPS), rig)
    assert a.n_people == 1
    assert [(d.camera, d.track, d.reason) for d in a.discarded] == [("cam01", len(mixed.xy[0]), "one camera only")]


def test_points_are_where_the_people_are(three_cameras):
    scene, rig, mixed, _, a = three_cameras
    # into the world of the truth, by the cameras
    A, B = a.rig.centers_world, rig.centers_world
    x, y = A - A.mean(0), B - B.mean(0)
    scale = np.sqrt((y**2).sum() / (x**2).sum())
    turn = np.mean([rig.R[c].T @ a.rig.R[c] for c in range(3)], axis=0)
    U, _, Vt = np.linalg.svd(turn)
    for p in range(2):
        world = scale * (a.points[p].xyz - A.mean(0)) @ (U @ Vt).T + B.mean(0)
        gap = [np.nanmedian(np.linalg.norm(world - athlete, axis=-1)) for athlete in scene.athletes_m]
        assert min(gap) < 0.03


def test_split_tracks_are_those_that_were_exchanged(three_cameras):
    _, _, mixed, tracks, a = three_cameras
    for camera, k, people in a.split_tracks:
        who = mixed.truth[tracks.camera_names.index(camera)][k]
        assert len(np.unique(who[who >= 0])) > 1
        assert len(people) > 1


def test_order_of_the_tracks_does_not_matter(three_cameras):
    _, rig, _, tracks, a = three_cameras
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(x)) for x in tracks.xy]
    turned = PeopleTracks(
        [[x[i] for i in o] for x, o in zip(tracks.xy, orders, strict=True)],
        [[s[i] for i in o] for s, o in zip(tracks.score, orders, strict=True)],
        "h36m17", tracks.names, FPS,
    )  # fmt: skip
    b = associate_people(turned, rig)
    assert b.n_people == a.n_people
    seen_a, seen_b = np.isfinite(a.xy[..., 0]), np.isfinite(b.xy[..., 0])
    best = max(np.mean(seen_a == seen_b[list(o)]) for o in itertools.permutations(range(2)))
    assert best > 0.995


def test_same_input_same_result_and_input_unchanged():
    _, rig, mixed, tracks = make(1, 2, 2)
    before = [x.copy() for x in mixed.xy[0]]
    a = associate_people(tracks, rig)
    b = associate_people(tracks, rig)
    np.testing.assert_array_equal(a.track, b.track)
    np.testing.assert_allclose(a.rig.t, b.rig.t, atol=1e-12)
    for x, y in zip(before, mixed.xy[0], strict=True):
        np.testing.assert_array_equal(x, y)


def test_known_cameras(three_cameras):
    scene, rig, mixed, tracks, _ = three_cameras
    a = match_to_rig(tracks, rig)
    assert a.calibration is None and a.n_people == 2
    shares = identity_shares(mixed.truth, a, 2)
    assert shares["right"] > 0.97 and shares["wrong"] < 0.002
    for points in a.points:
        gap = [np.nanmedian(np.linalg.norm(points.xyz - body, axis=-1)) for body in scene.athletes_m]
        assert min(gap) < 0.02


def test_two_cameras():
    _, rig, mixed, tracks = make(2, 2, 6)
    a = associate_people(tracks, rig)
    shares = identity_shares(mixed.truth, a, 2)
    assert a.n_people == 2
    assert shares["wrong"] < 0.01 and shares["right"] > 0.9
    assert camera_errors(a.rig, rig)[0] < 0.5


@pytest.mark.slow
def test_four_people():
    _, rig, mixed, tracks = make(4, 4, 1, 2, [[1], None])
    a = associate_people(tracks, rig)
    shares = identity_shares(mixed.truth, a, 4)
    assert a.n_people == 4
    assert shares["wrong"] < 0.01 and shares["right"] > 0.95
    assert camera_errors(a.rig, rig)[0] < 0.2


def test_one_person_is_several_people_too():
    _, rig, mixed, tracks = make(1, 3, 2)
    a = associate_people(tracks, rig)
    assert a.n_people == 1
    assert identity_shares(mixed.truth, a, 1)["right"] > 0.98


def test_monocular_directions_join_in():
    scene, rig, mixed, tracks = make(2, 2, 6)
    rng = np.random.default_rng(0)
    everybody = np.concatenate([scene.athletes_m, scene.bystanders_m])
    poses = []
    for c, camera in enumerate(rig):
        here = []
        for who in mixed.truth[c]:
            x = everybody[np.maximum(who, 0), np.arange(FRAMES)] @ camera.R.T
            x = x - x[:, :1] + rng.normal(size=x.shape) * 0.04
            here.append(np.where((who >= 0)[:, None, None], x, np.nan))
        poses.append(here)
    a = associate_people(tracks, rig, monocular_3d=poses)
    assert identity_shares(mixed.truth, a, 2)["right"] > 0.9
    with pytest.raises(sc.InputError, match="monocular_3d"):
        associate_people(tracks, rig, monocular_3d=[p[:-1] for p in poses])
    with pytest.raises(sc.InputError, match="expected"):
        associate_people(tracks, rig, monocular_3d=[[x[:-1] for x in p] for p in poses])


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_people_who_are_not_the_same_are_refused():
    _, rig, one, _ = make(1, 2, 2)
    other = make(1, 2, 9)[2]
    rng = np.random.default_rng(0)
    for _ in range(3):
        shuffled = [x[rng.permutation(FRAMES)] for x in other.xy[1]]
        scores = [np.where(np.isfinite(x[..., 0]), 0.9, 0.0) for x in shuffled]
        tracks = PeopleTracks([one.xy[0], shuffled], [one.score[0], scores], "h36m17", rig.names, FPS)
        with pytest.raises(sc.DegenerateError) as caught:
            associate_people(tracks, rig)
        assert caught.value.remedy


def test_a_camera_without_people_is_named():
    _, rig, mixed, _ = make(1, 3, 2)
    tracks = PeopleTracks([*mixed.xy[:2], []], [*mixed.score[:2], []], "h36m17", rig.names, FPS)
    with pytest.raises(sc.DegenerateError, match="cam03"):
        associate_people(tracks, rig)


def test_wrong_input_is_refused():
    scene, rig, mixed, tracks = make(1, 2, 2)
    with pytest.raises(sc.InputError, match="PeopleTracks"):
        associate_people(mixed.xy, rig)
    with pytest.raises(sc.InputError, match="No camera for cam02"):
        associate_people(tracks, rig.subset(["cam01"]))
    with pytest.raises(sc.InputError, match="stand in one place"):
        match_to_rig(tracks, rig.with_poses(rig.R, np.zeros((2, 3))))
    with pytest.raises(sc.InputError, match="Rig"):
        match_to_rig(tracks, None)
    for bad in ({"max_people": 0}, {"window_s": 0}, {"heights_m": [17.5]}, {"rounds": 0}, {"max_residual_px": -1.0}):
        with pytest.raises(sc.InputError):
            PeopleOptions(**bad)
    x, s = mixed.xy[0][0], mixed.score[0][0]
    for xy, score, match in (
        ([[x], [x[:-1]]], [[s], [s]], "cam02"),
        ([[x]], [[s], [s]], "score"),
        ([[x], [x]], [[s], [s + 2]], r"\[0, 1\]"),
        ([[], []], [[], []], "no track"),
        ([[x], [x]], [[s], []], "scores"),
    ):
        with pytest.raises(sc.InputError, match=match):
            PeopleTracks(xy, score, "h36m17", ("cam01", "cam02"), FPS)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["nan", "inf", "huge", "constant", "noise"]))
def test_rubbish_is_an_error_or_a_flagged_result(seed, kind):
    rng = np.random.default_rng(seed)
    rig = ring_cameras(2, 0)
    T = int(rng.integers(1, 30))

    def track():
        x = rng.uniform(0, 1000, (T, 17, 2))
        if kind == "nan":
            x[rng.random((T, 17)) < 0.9] = np.nan
        elif kind == "inf":
            x[rng.random((T, 17)) < 0.5] = np.inf
        elif kind == "huge":
            x *= 1e200
        elif kind == "constant":
            x[:] = 500.0
        return x

    xy = [[track() for _ in range(int(rng.integers(1, 4)))] for _ in range(2)]
    score = [[rng.random((T, 17)) for _ in camera] for camera in xy]
    try:
        a = associate_people(PeopleTracks(xy, score, "h36m17", rig.names, 25.0), rig)
    except sc.SportcoreError as error:
        assert str(error)
    else:
        assert a.calibration.report.grade != "good"


# ---- metres ----------------------------------------------------------------------------------------------------------


def true_scale(rig, true):
    def spread(r):
        return np.linalg.norm(r.centers_world - r.centers_world.mean(0))

    return spread(rig) / spread(true)


def test_several_known_heights(three_cameras):
    _, rig, _, _, a = three_cameras
    report = a.calibration.report
    error = true_scale(a.rig, rig) - 1
    assert abs(error) < 3 * report.scale_sigma_rel and abs(error) < 0.06
    assert 0.005 < report.scale_sigma_rel < 0.04
    assert "statures of" in report.scale_source
    assert not any("No size was given" in w for w in report.warnings)
    one = scale_from_heights(a.points, {0: 1.8})
    both = scale_from_heights(a.points, {0: 1.8, 1: 1.8 * sized_ratio(a)})
    assert both.sigma_rel < one.sigma_rel
    with pytest.raises(sc.InputError, match="person 7"):
        scale_from_heights(a.points, {7: 1.8})
    with pytest.raises(sc.InputError, match="3 statures for 2"):
        scale_from_heights(a.points, [1.7, 1.8, 1.9])
    liar = scale_from_heights(a.points, {0: 1.4, 1: 2.1})
    assert liar.warnings and liar.sigma_rel > one.sigma_rel


def sized_ratio(a):
    from sportcore.cameras.anthropometry import stature_from_points

    index = {n: i for i, n in enumerate(a.points[0].skeleton.joints)}
    s = [stature_from_points(p.xyz, index)[0] for p in a.points]
    return s[1] / s[0]


def test_scaling_changes_lengths_and_nothing_else(three_cameras):
    a = three_cameras[4]
    big = scale_calibration(a.calibration, 1.25, "a test", 0.01)
    before, after = a.calibration, big
    np.testing.assert_allclose(after.rig.centers_world, 1.25 * before.rig.centers_world)
    some = np.isfinite(before.points.xyz).all(-1)
    np.testing.assert_allclose(
        sc.reproject(after.points.xyz, after.rig)[:, some],
        sc.reproject(before.points.xyz, before.rig)[:, some],
        atol=1e-6,
    )
    np.testing.assert_allclose(after.points.covariance[some], 1.25**2 * before.points.covariance[some])
    np.testing.assert_allclose(after.report.center_sigma_m, 1.25 * before.report.center_sigma_m)
    assert after.report.scale_source == "a test"


def test_a_child_and_an_adult_are_not_one_body_whose_limbs_grow():
    adult, child = crowd(2, FRAMES, FPS, 3).athletes_m
    rig, rng = ring_cameras(3, 3), np.random.default_rng(0)
    bodies = [1.1 * adult, 0.55 * child]
    shown = [[project_truth(b, c)[0] + rng.normal(0, 1.5, (FRAMES, 17, 2)) for b in bodies] for c in rig]
    score = [[np.ones((FRAMES, 17)) for _ in bodies] for _ in rig]
    a = associate_people(PeopleTracks(shown, score, "h36m17", rig.names, FPS), rig)
    assert a.n_people == 2 and a.calibration is not None
    report = a.calibration.report
    assert report.grade == "good" and report.extra["limb_spread"] < 0.06
    assert not any("limbs" in w for w in report.warnings)
    assert camera_errors(a.rig, rig)[0] < 0.3
    # the same frames taken for one person
    stacked = stack_people(a.xy, a.score, PeopleTracks(shown, score, "h36m17", rig.names, FPS))
    with pytest.raises(sc.DegenerateError, match="limbs"):
        sc.calibrate(stacked, rig)
    with pytest.raises(sc.InputError, match="bodies"):
        sc.calibrate(stacked, rig, bodies=[0, 1])


# ---- the parts -------------------------------------------------------------------------------------------------------


def test_residuals_are_those_of_the_core():
    rng = np.random.default_rng(0)
    R = _core.so3_exp(rng.normal(size=3) * 0.5)
    t = rng.normal(size=3)
    t /= np.linalg.norm(t)
    x1, x2 = rng.normal(size=(2, 2, 3, 4, 2)) * 0.3  # (F, M, J, 2) each
    r = residuals(geometry_of(R, t).E, x1, x2[:, :2], 1500.0, 1400.0)
    for f, m, n, j in itertools.product(range(2), range(3), range(2), range(4)):
        expected = _core.sampson_residual(R, t, x1[f, m, j], x2[f, n, j], 1500.0, 1400.0)[0]
        assert r[f, m, n, j] == pytest.approx(abs(expected), rel=1e-9)


def test_pair_of_cameras_without_knowing_who_is_who():
    _, rig, _, tracks = make(3, 2, 0)
    slots = pack(tracks, rig, 0.1)
    found = find_pair_pose((0, 1), *slots, window_edges(FRAMES, FPS, 0.3), 20.0, None, 0)
    assert found is not None
    true = rig.R[1] @ rig.R[0].T
    assert np.degrees(np.arccos((np.trace(found.R @ true.T) - 1) / 2)) < 1.0
    assert 1.0 < found.sigma_px < 4.0


def test_who_stands_still_in_view_all_the_time_does_not_hide_the_others():
    scene, rig, mixed, tracks = make(2, 2, 1, 1)
    body = scene.bystanders_m[0] * [0.5, 0.5, 1.0]  # into the middle, seen by both cameras in every frame
    rng = np.random.default_rng(0)
    still = [project_truth(body, c)[0] + rng.normal(size=(FRAMES, 17, 2)) for c in rig]
    xy = [[*x, one] for x, one in zip(mixed.xy, still, strict=True)]
    score = [[*s, np.full((FRAMES, 17), 0.9)] for s in mixed.score]
    slots = pack(PeopleTracks(xy, score, "h36m17", rig.names, FPS), rig, 0.1)
    found = find_pair_pose((0, 1), *slots, window_edges(FRAMES, FPS, 0.3), 20.0, None, 0)
    assert found is not None
    true = rig.R[1] @ rig.R[0].T
    assert np.degrees(np.arccos((np.trace(found.R @ true.T) - 1) / 2)) < 1.0


def test_slots_hold_every_detection_once():
    _, rig, _, tracks = make(3, 2, 0)
    for c, s in enumerate(pack(tracks, rig, 0.0)):
        for k, score in enumerate(tracks.score[c]):
            t, m = np.nonzero(s.track == k)
            full = np.flatnonzero((score > 0).sum(-1) >= 4)
            np.testing.assert_array_equal(t, full)
            np.testing.assert_array_equal(s.px[t, m], tracks.xy[c][k][t][:, s.joints])


def test_pieces_end_where_tracks_meet():
    _, rig, mixed, tracks = make(3, 2, 0)
    for c, s in enumerate(pack(tracks, rig, 0.1)):
        piece, owner, count = pieces(s, None)
        assert piece.max() == count - 1 and len(owner) == count
        np.testing.assert_array_equal(owner[piece[piece >= 0]], s.track[piece >= 0])
        close = close_frames(s)
        assert close.any() and not close.all()
        mixed_pieces = 0
        for n in range(count):
            t, m = np.nonzero(piece == n)
            who = {int(mixed.truth[c][owner[n]][i]) for i in t}
            mixed_pieces += len(who) > 1
        assert mixed_pieces <= 0.1 * count


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_merging_is_a_partition_without_conflicts(seed, n):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, n)) * 30
    score = score + score.T
    np.fill_diagonal(score, 0)
    conflict = rng.random((n, n)) < 0.3
    conflict |= conflict.T
    before = score.copy()
    groups = merge_pieces(score, np.full((n, n), 20.0), conflict)
    assert sorted(i for g in groups for i in g) == list(range(n))
    for g in groups:
        for i, j in itertools.combinations(g, 2):
            assert not conflict[i, j]
    np.testing.assert_array_equal(score, before)


def test_a_third_camera_breaks_what_fits_by_chance():
    # 0 and 1 like each other well; 2 fits 0 and flatly contradicts 1
    score = np.array([[0, 50.0, 40.0], [50.0, 0, -90.0], [40.0, -90.0, 0]])
    groups = merge_pieces(score, np.full((3, 3), 60.0), np.zeros((3, 3), bool))
    assert sorted(map(sorted, groups)) == [[0, 1], [2]]
    score[0, 2] = score[2, 0] = 60.0
    assert sorted(map(sorted, merge_pieces(score, np.full((3, 3), 60.0), np.zeros((3, 3), bool)))) == [[0, 2], [1]]

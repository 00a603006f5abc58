"""Who is who over time: fragments joined, jumps and sudden turns cut, exchanges undone by the size of the bodies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from bench_people import identity_shares
from hypothesis import given, settings
from hypothesis import strategies as st

import sportcore as sc
from sportcore.people import PeopleTracks, match_to_rig
from sportcore.people.exchanges import exchange_signs, undo_exchanges
from sportcore.people.fragments import stitch
from sportcore.people.identities import _cheapest, _turns, bridged, middle
from sportcore.synthetic import ring_cameras
from sportcore.synthetic.crowd import crowd, mixed_tracks

FPS = 25.0
BONES = sc.H36M17.bone_indices


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_matching_is_the_cheapest(seed, n):
    rng = np.random.default_rng(seed)
    cost = rng.uniform(-0.8, 1.0, (n, n))
    there = rng.random((n, n)) < 0.7
    rows, columns = np.nonzero(there)
    found = _cheapest(rows, columns, cost[there], n)
    assert len(set(found.values())) == len(found) and all(there[i, j] for i, j in found.items())

    def total(match):
        return sum(cost[i, j] for i, j in match) + 0.5 * (2 * n - 2 * len(match))

    edges = list(zip(rows.tolist(), columns.tolist(), strict=True))
    best = min(
        total(m)
        for k in range(n + 1)
        for m in itertools.combinations(edges, k)
        if len({i for i, _ in m}) == len({j for _, j in m}) == k
    )
    assert total(list(found.items())) == pytest.approx(best, abs=1e-9)


def test_middle_leaves_out_what_is_missing():
    x = np.array([[[1.0, 0, 0], [np.nan] * 3, [3.0, 0, 0], [2.0, 0, 0]], [[np.nan] * 3] * 4])
    found, n = middle(x)
    assert n.tolist() == [3, 0]
    np.testing.assert_array_equal(found[0], [2.0, 0, 0])
    assert np.isnan(found[1]).all()


def test_gaps_are_bridged_and_jumps_removed():
    t = np.arange(60.0)
    x = np.stack([0.04 * t, 0 * t, 0 * t], -1)[:, None] + np.arange(5)[None, :, None] * 0.1
    holed = x.copy()
    holed[20:24] = np.nan  # short
    holed[40:60] = np.nan  # to the end
    holed[10] += 3.0
    out = bridged(holed, 25.0)
    np.testing.assert_allclose(out[20:24], x[20:24], atol=1e-12)
    np.testing.assert_allclose(out[10], x[10], atol=1e-12)
    assert np.isnan(out[45:]).all()


def test_fragments_of_one_person_are_joined():
    x = crowd(2, 100, FPS, 1).athletes_m
    points = np.full((4, 100, 17, 3), np.nan)
    points[0, :40], points[1, 45:] = x[0, :40], x[0, 45:]  # a gap of 0.2 s
    points[2] = x[1]
    points[3, 30:60] = x[1, 30:60] + 0.01  # twice at the same place
    carrier = np.full((4, 2, 100), -1)
    bones = sc.H36M17.bone_indices
    assert sorted(map(sorted, stitch(carrier, points, bones, FPS, 3.0, 4))) == [[0, 1], [2, 3]]


def test_a_long_absence_is_bridged_only_by_one_who_fits():
    x = crowd(2, 200, FPS, 1).athletes_m
    points = np.full((3, 200, 17, 3), np.nan)
    points[0, :50], points[1, 150:], points[2] = x[0, :50], x[0, 150:], x[1]
    carrier = np.full((3, 2, 200), -1)
    bones = sc.H36M17.bone_indices
    assert len(stitch(carrier, points, bones, FPS, 1.0, 3)) == 3  # not needed
    assert sorted(map(sorted, stitch(carrier, points, bones, FPS, 1.0, 2))) == [[0, 1], [2]]


def test_a_track_that_goes_on_in_one_camera_carries_the_identity():
    x = crowd(1, 200, FPS, 1).athletes_m[0]
    still = x[50] + np.zeros_like(x)
    points = np.full((2, 200, 17, 3), np.nan)
    points[0, :50], points[1, 100:] = still[:50], still[100:]
    carrier = np.full((2, 2, 200), -1)
    bones = sc.H36M17.bone_indices
    assert stitch(carrier, points, bones, FPS, 1.0, 4) == [[0], [1]]
    carrier[:, 1] = 8
    assert stitch(carrier, points, bones, FPS, 1.0, 4) == [[0, 1]]
    points[1, 100:] = x[100:] * [1.15, 1.15, 1.15]  # another body
    points[0, :50] = x[:50]
    assert stitch(carrier, points, bones, FPS, 1.0, 4) == [[0], [1]]


# ---- exchanges that have lasted --------------------------------------------------------------------------------------


def two_people(seed, frames=1500, noise_m=0.015):
    """Points (2, T, 17, 3) of two athletes, tracks (2, 1, T) that say who they are."""
    rng = np.random.default_rng(seed)
    scene = crowd(2, frames, FPS, seed)
    points = scene.athletes_m + rng.normal(0, noise_m, scene.athletes_m.shape)
    who = np.repeat(np.arange(2)[:, None, None], frames, axis=2)
    return points, who, scene.heights_m


def exchanged(points, who, a, b):
    x, k = points.copy(), who.copy()
    x[:, a:b], k[:, :, a:b] = points[::-1, a:b], who[::-1, :, a:b]
    return x, k


@pytest.mark.parametrize("seed", range(6))
def test_a_lasting_exchange_is_undone(seed):
    points, who, heights = two_people(seed)
    gap = np.linalg.norm(points[0, :, 0] - points[1, :, 0], axis=-1)
    near = np.flatnonzero((gap[1:-1] < gap[:-2]) & (gap[1:-1] < gap[2:]) & (gap[1:-1] < 0.9)) + 1
    a, b = near[len(near) // 4], near[len(near) // 2]
    wrong, tracks = exchanged(points, who, a, b)
    fixed, undone = undo_exchanges(tracks, wrong, BONES, FPS)
    shares = [(fixed[p, 0] == p).mean() for p in range(2)]
    best = max(np.mean(shares), 1 - np.mean(shares))  # which is called which does not matter
    if abs(np.log(heights[0] / heights[1])) > 0.03:
        assert undone == 2 and best > 0.99
    else:  # bodies that hardly differ: never worse than before
        assert best >= max((tracks[0, 0] == 0).mean(), (tracks[0, 0] == 1).mean()) - 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_undone_where_nothing_was_exchanged(seed):
    points, who, _ = two_people(seed)
    fixed, undone = undo_exchanges(who, points, BONES, FPS)
    assert undone == 0
    np.testing.assert_array_equal(fixed, who)


def test_twins_are_left_alone():
    points, who, _ = two_people(2)
    centre = points[1, :, :1] - points[0, :, :1]
    twins = np.stack([points[0], points[0] + centre])  # the same body, elsewhere
    wrong, tracks = exchanged(twins, who, 400, 900)
    fixed, undone = undo_exchanges(tracks, wrong, BONES, FPS)
    assert undone == 0
    np.testing.assert_array_equal(fixed, tracks)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.15), st.booleans())
def test_signs_follow_the_bodies_and_turn_with_them(seed, differ, exchange):
    rng = np.random.default_rng(seed)
    stretches, bones = 40, 16
    mean = rng.normal(differ, 0.3 * differ, bones)
    true = np.ones(stretches, int)
    a = int(rng.integers(5, 15))
    if exchange:
        true[a : a + int(rng.integers(5, 12))] = -1
    frames = np.broadcast_to(rng.integers(8, 80, (stretches, 1)), (stretches, bones)).astype(float)
    d = true[:, None] * mean + rng.normal(0, 0.015, (stretches, 1)) + rng.normal(0, 0.03, (stretches, bones))
    d[rng.random(d.shape) < 0.1] = np.nan
    frames = np.where(np.isnan(d), 0.0, frames)
    found = exchange_signs(d, frames, 7.5)
    mostly = 1 if (frames.max(1) * true).sum() >= 0 else -1
    np.testing.assert_array_equal(found, mostly * true)
    np.testing.assert_array_equal(exchange_signs(-d, frames, 7.5), found)  # whose minus whose does not matter


def test_signs_of_hardly_anything():
    assert exchange_signs(np.full((3, 5), np.nan), np.zeros((3, 5)), 5.0).tolist() == [1, 1, 1]
    assert exchange_signs(np.zeros((0, 5)), np.zeros((0, 5)), 5.0).tolist() == []


def test_people_who_pass_each_other_are_cut_where_their_ways_turn_round():
    t = np.arange(60)[:, None, None] / FPS
    body = np.arange(5)[None, :, None] * 0.1 * np.array([0, 0, 1.0])
    there, back = body + np.array([3.0, 0, 0]) * (t - 1.2), body - np.array([3.0, 0, 0]) * (t - 1.2) + [0, 0.4, 0]
    mixed = np.where(t < 30 / FPS, there, back)
    assert [abs(k - 30) <= 2 for k in _turns(mixed, FPS)] == [True]
    assert not len(_turns(there, FPS)) and not len(_turns(mixed[:6], FPS))


@pytest.mark.slow
def test_identities_last_in_a_long_take():
    # the take in which an exchange lasted for a minute
    frames = 4000
    scene, rig = crowd(3, frames, FPS, 1, bystanders=1), ring_cameras(4, 1)
    mixed = mixed_tracks(scene, rig, 1)
    tracks = PeopleTracks(mixed.xy, mixed.score, "h36m17", rig.names, FPS, np.array([c.image_size for c in rig]))
    shares = identity_shares(mixed.truth, match_to_rig(tracks, rig), 3)
    assert shares["wrong"] < 0.002 and shares["right"] > 0.99

"""Skeletons: names, pairs, conversion, and the first system's mapping on fixed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sportcore.errors import InputError
from sportcore.skeletons import (
    BLAZEPOSE33,
    COCO17,
    H36M17,
    HALPE26,
    SKELETONS,
    Skeleton,
    coco17_to_h36m17,
    conversion_matrix,
    convert,
    convert_covariance,
    get_skeleton,
)

ALL = list(SKELETONS.values())


def test_joint_orders_are_the_published_ones() -> None:
    assert [s.n_joints for s in ALL] == [17, 17, 26, 25, 33]
    assert H36M17.joints[0] == "pelvis" and H36M17.joints[3] == "right_ankle" and H36M17.joints[16] == "right_wrist"
    assert COCO17.index("left_ankle") == 15 and HALPE26.index("pelvis") == 19 and HALPE26.index("right_heel") == 25
    assert SKELETONS["body25"].index("right_wrist") == 4 and SKELETONS["body25"].index("left_big_toe") == 19
    assert BLAZEPOSE33.index("left_shoulder") == 11 and BLAZEPOSE33.index("right_foot_index") == 32


@pytest.mark.parametrize("skeleton", ALL, ids=lambda s: s.name)
def test_flip_is_an_involution_that_pairs_every_sided_joint(skeleton: Skeleton) -> None:
    flip = skeleton.flip_permutation
    assert np.array_equal(flip[flip], np.arange(skeleton.n_joints))
    sided = [j for j in skeleton.joints if "left" in j or "right" in j]
    assert 2 * len(skeleton.left_right_pairs) == len(sided)
    for a, b in skeleton.left_right_pairs:
        assert "left" in skeleton.joints[a] and "right" in skeleton.joints[b]
    for i, k in skeleton.symmetric_bones:
        assert set(flip[skeleton.bone_indices[i]]) == set(skeleton.bone_indices[k])


@pytest.mark.parametrize("source", ALL, ids=lambda s: s.name)
@pytest.mark.parametrize("target", ALL, ids=lambda s: s.name)
def test_conversion_is_translation_invariant_and_keeps_equal_names(source: Skeleton, target: Skeleton) -> None:
    w = conversion_matrix(source, target)
    known = np.isfinite(w).all(1)
    np.testing.assert_allclose(w[known].sum(1), 1, atol=1e-12)
    for name in set(source.joints) & set(target.joints) - {"nose"}:
        row = w[target.index(name)]
        assert row[source.index(name)] == 1 and np.count_nonzero(row) == 1


@pytest.mark.parametrize("source", [COCO17, HALPE26, BLAZEPOSE33], ids=lambda s: s.name)
def test_every_h36m_joint_follows_from_the_detectors(source: Skeleton) -> None:
    assert np.isfinite(conversion_matrix(source, H36M17)).all()


def test_a_joint_is_missing_when_a_source_is_missing() -> None:
    xy = np.random.default_rng(0).uniform(0, 100, (5, 17, 2))
    xy[2, COCO17.index("left_hip")] = np.nan
    out, score = convert(xy, np.full((5, 17), 0.8), "coco17", "h36m17")
    lost = [H36M17.joints[j] for j in np.flatnonzero(np.isnan(out[2, :, 0]))]
    assert lost == ["pelvis", "left_hip", "spine"]
    assert (score[2, np.isnan(out[2, :, 0])] == 0).all() and np.allclose(score[0], 0.8)
    np.testing.assert_allclose(out[0, 0], (xy[0, 11] + xy[0, 12]) / 2)


@given(st.integers(0, 2**31 - 1))
def test_conversion_commutes_with_affine_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz, A, b = rng.normal(size=(3, 33, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    direct, _ = convert(xyz @ A.T + b, None, "blazepose33", "h36m17")
    after = convert(xyz, None, "blazepose33", "h36m17")[0] @ A.T + b
    np.testing.assert_allclose(direct, after, atol=1e-9)


def test_covariance_of_a_mean_of_two_joints_is_half() -> None:
    cov = np.broadcast_to(np.eye(3), (4, 17, 3, 3))
    out = convert_covariance(cov, "coco17", "h36m17")
    np.testing.assert_allclose(out[:, 0], np.broadcast_to(np.eye(3) / 2, (4, 3, 3)))
    np.testing.assert_allclose(out[:, H36M17.index("left_knee")], np.broadcast_to(np.eye(3), (4, 3, 3)))


def test_first_systems_mapping_on_fixed_numbers() -> None:
    """Hand-computed with the rules of the mapping on a plain standing figure."""
    c = np.array(
        [[100, 50], [104, 45], [96, 45], [110, 48], [90, 48], [120, 80], [80, 80], [130, 110], [70, 110], [135, 140],
         [65, 140], [112, 150], [88, 150], [114, 200], [86, 200], [116, 250], [84, 250]], float)  # fmt: skip
    s = np.linspace(0.5, 0.9, 17)
    h, hs = coco17_to_h36m17(c, s)
    np.testing.assert_allclose(h[0], [100, 150])  # mean of the hips
    np.testing.assert_allclose(h[9], [100, 57.5])  # nose a quarter of the way to the shoulders (100, 80)
    np.testing.assert_allclose(h[10], [100, 40])  # eyes mirrored about the nose
    np.testing.assert_allclose(h[7], [100, 115])
    np.testing.assert_allclose(h[8], [100, 70 + 5 * 2 / 3])  # 80 - 30/3, then minus (45 - 50) * 2/3
    np.testing.assert_array_equal(h[[4, 1, 5, 2, 6, 3]], c[[11, 12, 13, 14, 15, 16]])
    np.testing.assert_array_equal(h[[11, 14, 12, 15, 13, 16]], c[[5, 6, 7, 8, 9, 10]])
    np.testing.assert_allclose(hs[0], s[11:13].mean())
    np.testing.assert_allclose(hs[8], s[5:7].mean())
    np.testing.assert_allclose(hs[7], (hs[0] + hs[8]) / 2)
    np.testing.assert_allclose(hs[10], s[1:5].mean())


def test_first_systems_mapping_moves_the_spine_away_from_the_line() -> None:
    """A leaning figure: spine x moves by twice its distance from the middle of pelvis and (uncorrected) thorax."""
    c = np.zeros((17, 2))
    c[0] = [160, 50]
    c[1:5] = [[164, 45], [156, 45], [170, 48], [150, 48]]
    c[5], c[6], c[11], c[12] = [150, 80], [110, 80], [112, 150], [88, 150]
    h, _ = coco17_to_h36m17(c, np.ones(17))
    middle = (100 + (130 + (160 - 130) / 3)) / 2
    assert h[7, 0] == pytest.approx(115 + 2 * (115 - middle))


def test_first_systems_mapping_marks_missing_sources() -> None:
    c = np.random.default_rng(1).uniform(0, 100, (17, 2))
    c[0] = np.nan
    h, hs = coco17_to_h36m17(c, np.ones(17))
    gone = np.isnan(h[:, 0])
    # the spine's x correction looks at the thorax, hence at the nose
    assert {H36M17.joints[j] for j in np.flatnonzero(gone)} == {"nose", "head", "thorax", "spine"}
    assert (hs[gone] == 0).all()


def test_unknown_joint_order_is_refused() -> None:
    with pytest.raises(InputError, match="joint order"):
        get_skeleton("openpose18x")
    with pytest.raises(InputError, match="Expected"):
        convert(np.zeros((3, 16, 2)), None, "coco17", "h36m17")
    with pytest.raises(InputError, match="twice"):
        Skeleton("x", ("a", "a"), ())
    with pytest.raises(InputError, match="bone"):
        Skeleton("x", ("a", "b"), (("a", "c"),))

"""Geometry of rotated regions, letterboxes, anchors, suppression and heat maps, against known answers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sportcore.keypoints2d.heads import decode_heatmaps, decode_simcc
from sportcore.keypoints2d.landmarks import refine
from sportcore.keypoints2d.person import anchors, decode, merge, overlap, tiles
from sportcore.keypoints2d.regions import Letterbox, Region, cut_affine

finite = st.floats(-2000, 2000)
regions = st.builds(
    Region,
    st.tuples(finite, finite),
    st.floats(10, 3000),
    st.floats(-math.pi, math.pi),
)


def test_upright_region_maps_corners_as_expected() -> None:
    region = Region((100.0, 200.0), 80.0)
    np.testing.assert_allclose(region.corners(), [[60, 160], [140, 160], [140, 240], [60, 240]])
    np.testing.assert_allclose(region.to_image(np.array([128.0, 128.0]), 256), [100, 200])


def test_quarter_turn_moves_the_corners_round() -> None:
    """At 90 degrees the crop's up is the image's right."""
    region = Region((0.0, 0.0), 2.0, math.pi / 2)
    np.testing.assert_allclose(region.corners(), [[1, -1], [1, 1], [-1, 1], [-1, -1]], atol=1e-12)


@pytest.mark.parametrize(
    ("rim", "angle"), [((0, -100), 0.0), ((100, 0), math.pi / 2), ((-100, 0), -math.pi / 2), ((70, -70), math.pi / 4)]
)
def test_region_of_a_leaning_person(rim: tuple[float, float], angle: float) -> None:
    centre = np.array([300.0, 400.0])
    region = Region.from_two_points(centre, centre + rim)
    assert region.centre == (300.0, 400.0)
    assert region.size == pytest.approx(2.5 * math.hypot(*rim))
    assert region.angle == pytest.approx(angle)
    # in the crop the rim lies straight above the centre, at 1/2.5 of the side
    crop = region.crop_from_image(256)
    np.testing.assert_allclose(crop[:, :2] @ (centre + rim) + crop[:, 2], [128, 128 - 256 / 2.5], atol=1e-9)


@given(regions, st.integers(16, 512))
@settings(max_examples=200, deadline=None)
def test_crop_and_image_are_inverse(region: Region, size: int) -> None:
    points = np.array([[0.0, 0.0], [size, 0.0], [size / 3, size / 7], [-5.0, 2.0 * size]])
    image = region.to_image(points, size)
    crop = region.crop_from_image(size)
    np.testing.assert_allclose(image @ crop[:, :2].T + crop[:, 2], points, atol=1e-6 * max(1.0, size))
    # the map keeps shape: lengths scale by side / crop size, and there is no mirroring
    affine = region.image_from_crop(size)[:, :2]
    assert np.linalg.det(affine) == pytest.approx((region.size / size) ** 2, rel=1e-9)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0, math.pi / 2])
def test_cut_shows_what_the_map_says(angle: float) -> None:
    """A smooth image cut out has in each pixel the value of the image at the mapped point."""
    y, x = np.mgrid[0:300, 0:400].astype(np.float32)
    image = (0.3 * x + 0.2 * y)[:, :, None]
    region = Region((190.0, 150.0), 160.0, angle)
    crop = region.cut(image, 64)
    i, j = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    where = region.to_image(np.stack([i, j], -1), 64)
    np.testing.assert_allclose(crop, 0.3 * where[..., 0] + 0.2 * where[..., 1], atol=0.02)


def test_identity_cut_is_the_image() -> None:
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Region((31.5, 31.5), 64.0).cut(image, 64), image)
    half = cut_affine(image, np.array([[1.0, 0, 9.5], [0, 1.0, 4.5]]), (20, 10))
    np.testing.assert_array_equal(half, image[5:15, 10:30])


@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (224, 224), (97, 331)])
def test_letterbox_maps_back(shape: tuple[int, int]) -> None:
    """A dot in the image is found in the input and mapped back to where it was."""
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    centre = (int(0.7 * width), int(0.4 * height))
    cv2.circle(image, centre, 6, (255, 255, 255), -1)
    box = Letterbox.around((0, 0, width, height))
    cut = box.cut(image, 224).astype(float)[:, :, 0]
    ys, xs = np.nonzero(cut)
    weight = cut[ys, xs]
    where = np.array([np.average(xs + 0.5, weights=weight), np.average(ys + 0.5, weights=weight)]) / 224
    np.testing.assert_allclose(box.to_image(where), centre, atol=1.0 * max(shape) / 224)


def test_anchor_count_and_places() -> None:
    grid = anchors()
    assert grid.shape == (2254, 2)
    assert np.all((grid > 0) & (grid < 1))
    # 28 x 28 x 2, 14 x 14 x 2, 7 x 7 x 6, row by row
    np.testing.assert_allclose(grid[:2], 0.5 / 28)
    np.testing.assert_allclose(grid[2], [1.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(grid[1568], 0.5 / 14)
    np.testing.assert_allclose(grid[1568 + 392 : 1568 + 392 + 6], 0.5 / 7)
    np.testing.assert_allclose(grid[-1], 6.5 / 7)
    np.testing.assert_allclose(grid.mean(axis=0), 0.5, atol=1e-12)


def test_decode_adds_the_anchor_but_not_to_the_size() -> None:
    raw = np.array([[22.4, -22.4, 44.8, 67.2, 0, 0, 0, -112.0, 22.4, 0, 0, 0]])
    out = decode(raw, np.array([[0.5, 0.25]]))
    np.testing.assert_allclose(out[0, :4], [0.6, 0.15, 0.2, 0.3])
    np.testing.assert_allclose(out[0, 4:8], [0.5, 0.25, 0.5, -0.25])


def test_overlap_of_known_boxes() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 2, 3, 3], [0.5, 0.5, 1.5, 1.5]], dtype=float)
    np.testing.assert_allclose(overlap(box, others), [1, 1 / 7, 0, 1 / 4])


def test_weighted_suppression_averages_one_person_and_keeps_two() -> None:
    def row(x: float) -> np.ndarray:
        return np.array([x, 0.5, 0.2, 0.2, *([x, 0.5] * 4)])

    values = np.stack([row(0.30), row(0.32), row(0.80)])
    out = merge(values, np.array([0.6, 0.9, 0.7]), 0.3)
    assert [round(s, 3) for s, _ in out] == [0.9, 0.7]
    assert out[0][1][0] == pytest.approx((0.6 * 0.30 + 0.9 * 0.32) / 1.5)
    assert out[1][1][0] == pytest.approx(0.80)


@given(st.integers(50, 4000), st.integers(50, 4000), st.integers(40, 1000))
@settings(max_examples=100, deadline=None)
def test_tiles_cover_the_image(width: int, height: int, side: int) -> None:
    covered = np.zeros((height // 10 + 1, width // 10 + 1), bool)
    for x0, y0, x1, y1 in tiles(width, height, side):
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and x1 - x0 <= side and y1 - y0 <= side
        covered[-(-y0 // 10) : (y1 - 1) // 10 + 1, -(-x0 // 10) : (x1 - 1) // 10 + 1] = True
    inside = covered[: (height - 1) // 10 + 1, : (width - 1) // 10 + 1]
    assert inside.all()


# --- heat maps --------------------------------------------------------------------------------------------------


def test_refine_takes_the_weighted_mean() -> None:
    """Sigmoid weights 1 at two cells: the landmark moves to their mean, in units of 256 / 64 px per cell."""
    logits = np.full((64, 64, 2), -50.0, np.float32)
    logits[20, 30, 0] = logits[22, 31, 0] = 50.0
    xy = np.array([[30 * 4 + 1.0, 20 * 4 + 1.0], [100.0, 100.0]])
    out = refine(xy, logits)
    np.testing.assert_allclose(out[0], [30.5 * 4, 21 * 4], atol=1e-6)
    np.testing.assert_allclose(out[1], [100, 100], atol=0)  # nothing above one half: unchanged
    assert xy[0, 0] == 121.0, "the input is not changed"


def test_refine_at_and_beyond_the_border() -> None:
    logits = np.full((64, 64, 3), -50.0, np.float32)
    logits[0, 0] = 50.0
    xy = np.array([[1.0, 1.0], [-30.0, 1.0], [300.0, 300.0]])
    np.testing.assert_allclose(refine(xy, logits), [[0, 0], [-30, 1], [300, 300]], atol=1e-6)


@given(st.floats(20, 170), st.floats(20, 230), st.floats(2.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_simcc_of_a_gaussian_is_exact(x: float, y: float, sigma: float) -> None:
    bins_x, bins_y = np.arange(384) / 2, np.arange(512) / 2
    vx = np.exp(-0.5 * ((bins_x - x) / sigma) ** 2)[None]
    vy = 0.8 * np.exp(-0.5 * ((bins_y - y) / sigma) ** 2)[None]
    xy, score = decode_simcc(vx, vy, (192, 256))
    np.testing.assert_allclose(xy[0], [x, y], atol=1e-6)
    assert 0.75 < score[0] <= 0.8


@pytest.mark.parametrize("udp", [True, False])
def test_heatmap_of_a_gaussian_is_exact(udp: bool) -> None:
    rng = np.random.default_rng(3)
    truth = np.stack([rng.uniform(10, 180, 17), rng.uniform(10, 240, 17)], -1)
    scale = np.array([191 / 47, 255 / 63]) if udp else np.array([4.0, 4.0])
    cell = truth / scale
    rows, cols = np.mgrid[0:64, 0:48]
    maps = np.exp(-0.5 * ((cols - cell[:, 0, None, None]) ** 2 + (rows - cell[:, 1, None, None]) ** 2) / 4.0)
    xy, score = decode_heatmaps(maps, (192, 256), udp=udp)
    np.testing.assert_allclose(xy, truth, atol=1e-6)
    assert np.all((score > 0.9) & (score <= 1))


def test_empty_heatmap_has_no_score() -> None:
    xy, score = decode_heatmaps(np.zeros((5, 64, 48)), (192, 256), udp=True)
    assert np.all(score == 0) and np.isfinite(xy).all()
    xy, score = decode_simcc(np.full((5, 384), -1.0), np.full((5, 512), -1.0), (192, 256))
    assert np.all(score == 0) and np.isfinite(xy).all()

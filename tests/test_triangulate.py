"""Triangulation: exact on clean input, right about the views, honest in its covariance, clear about failure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from reference.cameras import MODELS, dlt, refine
from reference.scene import cloud, ring
from scipy import stats

import sportcore as sc
from sportcore import PointStatus, _core
from sportcore.points3d import TriangulateOptions, camera_array, reproject_batch, triangulate_batch


def observations(rig, X, seed=0, sigma=0.0, outliers=0.0, missing=0.0):
    """(C, N, 2) px with noise, gross errors of 30-300 px and misses; and which are gross."""
    rng = np.random.default_rng(seed)
    xy = reproject_batch(rig, X)
    xy += sigma * rng.normal(size=xy.shape)
    bad = rng.random(xy.shape[:2]) < outliers
    size, angle = rng.uniform(30, 300, bad.shape), rng.uniform(0, 2 * np.pi, bad.shape)
    xy += np.where(bad, size, 0)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    xy[rng.random(bad.shape) < missing] = np.nan
    return xy, bad & np.isfinite(xy[..., 0])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [2, 3, 4, 8, 20])
def test_clean_points_are_recovered(model, count):
    rig, X = ring(count, model), cloud(300)
    result = triangulate_batch(rig, reproject_batch(rig, X))
    ok = result.status == PointStatus.OK
    assert ok.mean() > (0.97 if count == 2 else 0.999)  # two cameras: some points lie on the line between them
    assert np.abs(result.xyz - X)[ok].max() < 1e-9
    assert (result.n_views[ok] == count).all() and result.inlier[:, ok].all()
    assert np.nanmax(result.residual_px) < 1e-6


def test_public_function_on_keypoints():
    rig = ring(4, "brown5")
    X = cloud(20 * 17).reshape(20, 17, 3)
    xy, score = sc.reproject(X, rig), np.full((4, 20, 17), 0.9)
    xy[1, 3, 5], score[2, 4, 6] = np.nan, 0.01
    times = np.arange(20) / 50 + np.zeros((4, 1))
    keypoints = sc.Keypoints2D(xy, score, "h36m17", fps=50, times=times, names=rig.names)
    before = keypoints.xy.copy(), keypoints.score.copy()
    points = sc.triangulate(keypoints, rig)
    np.testing.assert_allclose(points.xyz, X, atol=1e-9)
    assert points.skeleton.name == keypoints.skeleton.name and points.fps == 50
    np.testing.assert_allclose(points.times, times[0])
    assert points.covariance.shape == (20, 17, 3, 3) and points.residual_px.shape == (4, 20, 17)
    assert points.n_views[3, 5] == 3 and not points.inlier[1, 3, 5] and np.isnan(points.residual_px[1, 3, 5])
    assert points.n_views[4, 6] == 3 and not points.inlier[2, 4, 6]
    for got, want in zip((keypoints.xy, keypoints.score), before, strict=True):
        np.testing.assert_array_equal(got, want)
    shuffled = rig.subset(rig.names[::-1])  # cameras are matched by name
    np.testing.assert_array_equal(sc.triangulate(keypoints, shuffled).xyz, points.xyz)


@pytest.mark.parametrize("model", ["pinhole", "brown8", "fisheye"])
def test_noisy_estimate_equals_gauss_newton(model):
    rig, X = ring(4, model), cloud(200)
    xy, _ = observations(rig, X, sigma=1.0)
    options = TriangulateOptions(loss="trivial", sigma_px=1.0)
    got = triangulate_batch(rig, xy, options=options)
    want, H = refine(tuple(rig), X, xy, np.ones(xy.shape[:2], bool))
    np.testing.assert_allclose(got.xyz, want, atol=2e-5)
    np.testing.assert_allclose(got.covariance, np.linalg.inv(H), rtol=2e-2, atol=1e-9)


@pytest.mark.parametrize(("count", "gross_share"), [(4, 0.02), (8, 0.001)])
def test_outliers_are_left_out(count, gross_share):
    rig, X = ring(count), cloud(6000)
    xy, bad = observations(rig, X, sigma=2.0, outliers=0.05, missing=0.1)
    result = triangulate_batch(rig, xy)
    good = np.isfinite(xy[..., 0]) & ~bad
    seen = good.sum(0) >= 2
    floor, _ = refine(tuple(rig), X, xy, good | ~seen, steps=6)
    error = np.linalg.norm(result.xyz - X, axis=-1)
    oracle = np.linalg.norm(floor - X, axis=-1)
    both = seen & (result.status == PointStatus.OK)
    assert both.sum() / seen.sum() > 0.994
    assert np.median(error[both]) < 1.03 * np.median(oracle[seen])
    assert (error[both] > 0.05).mean() < (oracle[seen] > 0.05).mean() + gross_share / 2
    assert (result.inlier & bad)[:, both].sum() < 0.12 * bad[:, both].sum()
    naive = dlt(np.stack([c.P for c in rig]), xy[:, :500], np.ones(xy.shape[:2])[:, :500])
    assert np.nanpercentile(np.linalg.norm(naive - X[:500], axis=-1), 90) > 2 * np.percentile(error[both], 90)


@pytest.mark.parametrize("own_sigma", [False, True])
def test_covariance_is_honest(own_sigma):
    """The squared Mahalanobis distance of the truth follows chi-squared with three degrees of freedom."""
    rig, X = ring(5, "brown4"), cloud(8000)
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.5, 5, (5, 8000)) if own_sigma else np.full((5, 8000), 1.7)
    xy = reproject_batch(rig, X) + sigma[..., None] * rng.normal(size=(5, 8000, 2))
    result = triangulate_batch(rig, xy, sigma_px=sigma if own_sigma else None)
    assert (result.status == PointStatus.OK).mean() > 0.999
    ok = result.status == PointStatus.OK
    d = (result.xyz - X)[ok]
    m2 = np.einsum("ni,nij,nj->n", d, np.linalg.inv(result.covariance[ok]), d)
    for q in (0.5, 0.9, 0.95):
        assert abs((m2 < stats.chi2(3).ppf(q)).mean() - q) < 0.02
    if own_sigma:
        assert result.sigma_px is None
    else:
        assert abs(result.sigma_px - 1.7) < 0.05  # estimated from the residuals


def test_sigma_weighs_the_estimate():
    rig, X = ring(4), cloud(2000)
    rng = np.random.default_rng(0)
    sigma = np.where(np.arange(4)[:, None] == 2, 6.0, 1.0) * np.ones((4, 2000))
    xy = reproject_batch(rig, X) + sigma[..., None] * rng.normal(size=(4, 2000, 2))
    weighted, plain = (triangulate_batch(rig, xy, sigma_px=s).xyz for s in (sigma, None))
    assert np.nanmedian(np.linalg.norm(weighted - X, axis=-1)) < 0.8 * np.nanmedian(np.linalg.norm(plain - X, axis=-1))


def one(xy, rig, **options):
    result = triangulate_batch(rig, np.asarray(xy, float)[:, None], options=TriangulateOptions(**options))
    status = PointStatus(int(result.status[0]))
    if status != PointStatus.OK:
        assert np.isnan(result.xyz).all() and np.isnan(result.covariance).all()
        assert np.isnan(result.residual_px).all() and not result.inlier.any() and result.n_views[0] == 0
    return status


def test_statuses():
    rig = ring(4)
    X = np.array([[0.1, 0.2, 1.0]])
    uv = reproject_batch(rig, X)[:, 0]
    assert one(uv, rig) == PointStatus.OK
    assert one(np.full((4, 2), np.nan), rig) == PointStatus.TOO_FEW_VIEWS
    single = np.full((4, 2), np.nan)
    single[1] = uv[1]
    assert one(single, rig) == PointStatus.TOO_FEW_VIEWS
    half = uv.copy()
    half[:3, 0] = np.nan  # half a coordinate is no observation
    assert one(half, rig) == PointStatus.TOO_FEW_VIEWS
    assert one(uv, rig, min_views=4) == PointStatus.OK
    assert one(single, rig, min_views=4) == PointStatus.TOO_FEW_VIEWS
    off = uv + np.array([[0, 150], [0, -150], [0, 400], [0, -400]])
    assert one(off, rig) == PointStatus.NO_CONSENSUS
    assert one(off[:2], rig.subset(rig.names[:2])) == PointStatus.NO_CONSENSUS
    assert one(off, rig, robust=False) == PointStatus.LARGE_RESIDUAL
    assert one(uv + [[0, 0], [0, 0], [0, 0], [100, 100]], rig, min_views=4) == PointStatus.NO_CONSENSUS
    assert one(uv + [[300, 9], [2, 7], [9, -3], [5, 5]], rig, max_iterations=1) != PointStatus.OK


def test_rays_that_meet_behind_the_cameras():
    K = [[1000, 0, 500], [0, 1000, 500], [0, 0, 1]]
    left = sc.Camera("left", (1000, 1000), K)
    right = sc.Camera("right", (1000, 1000), K, t=[-1, 0, 0])
    # the left camera looks left, the right one right: their rays diverge and meet at z = -2
    assert one([[250, 500], [750, 500]], sc.Rig((left, right))) == PointStatus.BEHIND_CAMERA
    third = sc.Camera("third", (1000, 1000), K, t=[-2, 0, 0])
    xy = [[250, 500], [750, 500], [1250, 500]]
    assert one(xy, sc.Rig((left, right, third))) == PointStatus.BEHIND_CAMERA


@pytest.mark.parametrize("count", [2, 3])
def test_parallel_rays_are_ill_conditioned(count):
    K = [[1000, 0, 500], [0, 1000, 500], [0, 0, 1]]
    rig = sc.Rig(tuple(sc.Camera(f"c{i}", (1000, 1000), K, t=[-0.1 * i, 0, 0]) for i in range(count)))
    X = np.array([[0, 0, 30.0]])
    assert one(reproject_batch(rig, X)[:, 0], rig) == PointStatus.ILL_CONDITIONED
    assert one(reproject_batch(rig, X)[:, 0], rig, min_angle_deg=0.05) == PointStatus.OK
    same = sc.Rig(tuple(sc.Camera(f"c{i}", (1000, 1000), K) for i in range(count)))
    assert one(np.full((count, 2), 500.0), same) == PointStatus.ILL_CONDITIONED


def test_precisions_agree_also_far_from_the_origin():
    rig, X = ring(4, "brown5"), cloud(2000)
    xy, _ = observations(rig, X, sigma=2.0, outliers=0.05, missing=0.1)
    exact = triangulate_batch(rig, xy)
    rounded = triangulate_batch(rig, xy.astype(np.float32))
    assert rounded.xyz.dtype == np.float32
    same = (exact.status == rounded.status).mean()
    both = (exact.status == 0) & (rounded.status == 0)
    assert same > 0.998
    assert np.percentile(np.abs(exact.xyz - rounded.xyz)[both], 99) < 1e-4
    shift = np.array([5000.0, -3000, 200])
    far = rig.with_poses(rig.R, rig.t - np.einsum("cij,j->ci", rig.R, shift))
    moved = triangulate_batch(far, xy)
    np.testing.assert_array_equal(moved.status, exact.status)
    np.testing.assert_allclose((moved.xyz - shift)[both], exact.xyz[both], atol=1e-6)
    np.testing.assert_array_equal(triangulate_batch(rig, xy.astype(">f8")).xyz, exact.xyz)


def test_threads_do_not_change_the_result():
    rig, X = ring(6, "brown8"), cloud(5000)
    xy, _ = observations(rig, X, sigma=2.0, outliers=0.1, missing=0.1)
    one_thread, two = (triangulate_batch(rig, xy, options=TriangulateOptions(num_threads=n)) for n in (1, 2))
    for field in dataclasses.fields(one_thread):
        np.testing.assert_array_equal(getattr(one_thread, field.name), getattr(two, field.name))


def test_order_of_the_cameras_does_not_matter():
    rig, X = ring(5), cloud(500)
    xy, _ = observations(rig, X, sigma=2.0, outliers=0.1)
    a = triangulate_batch(rig, xy)
    order = [3, 0, 4, 1, 2]
    b = triangulate_batch(rig.subset([rig.names[i] for i in order]), xy[order])
    both = (a.status == 0) & (b.status == 0)
    assert (np.abs(a.xyz - b.xyz)[both].max(-1) < 1e-4).mean() > 0.995


def test_empty_input_and_optional_outputs():
    rig = ring(3)
    result = triangulate_batch(rig, np.zeros((3, 0, 2)))
    assert result.xyz.shape == (0, 3) and result.covariance.shape == (0, 3, 3)
    lean = triangulate_batch(rig, reproject_batch(rig, cloud(5)), with_covariance=False, with_residuals=False)
    assert lean.covariance is None and lean.residual_px is None and lean.inlier is None
    np.testing.assert_allclose(lean.xyz, cloud(5), atol=1e-9)


def test_bad_calls_are_refused():
    rig = ring(3)
    keypoints = sc.Keypoints2D(np.zeros((2, 4, 17, 2)), np.ones((2, 4, 17)), "h36m17")
    with pytest.raises(sc.InputError, match="2 cameras.*rig has 3"):
        sc.triangulate(keypoints, rig)
    with pytest.raises(sc.InputError, match="shape"):
        triangulate_batch(rig, np.zeros((2, 5, 2)))
    with pytest.raises(sc.InputError, match="score"):
        triangulate_batch(rig, np.zeros((3, 5, 2)), np.zeros((3, 4)))
    with pytest.raises(sc.InputError, match="min_views"):
        TriangulateOptions(min_views=1)
    with pytest.raises(sc.InputError, match="Unknown loss"):
        TriangulateOptions(loss="tukey")
    with pytest.raises(TypeError, match="max_error"):
        TriangulateOptions(max_error=3)
    with pytest.raises(sc.InputError, match="Did you mean 'max_reprojection_error_px'"):
        _core.TriangulateOptions(max_reprojection_error=3)
    with pytest.raises(sc.InputError, match="64"):
        triangulate_batch(ring(65), np.zeros((65, 1, 2)))
    if _core.cuda_device_count() == 0:
        with pytest.raises(sc.DeviceError, match="CUDA was asked for"):
            triangulate_batch(rig, np.zeros((3, 5, 2)), options=TriangulateOptions(device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("count", [4, 8, 12, 40])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cuda_equals_cpu(count, dtype):
    rig, X = ring(count, "brown5"), cloud(20_000)
    xy, _ = observations(rig, X, sigma=2.0, outliers=0.05, missing=0.1)
    xy = xy.astype(dtype)
    cpu = triangulate_batch(rig, xy)
    gpu = triangulate_batch(rig, xy, options=TriangulateOptions(device="cuda"))
    same = (cpu.status == gpu.status) & (cpu.n_views == gpu.n_views)
    assert same.mean() > 0.999
    ok = same & (cpu.status == 0)
    assert np.percentile(np.abs(cpu.xyz - gpu.xyz)[ok], 99) < (1e-9 if dtype == np.float64 else 1e-4)
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        tensor = triangulate_batch(camera_array(rig), torch.from_numpy(xy).cuda())
        assert tensor.xyz.is_cuda
        np.testing.assert_array_equal(tensor.status.cpu().numpy(), gpu.status)
        np.testing.assert_array_equal(tensor.xyz.cpu().numpy(), gpu.xyz)

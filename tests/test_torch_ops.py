"""Operations on tensors: values, gradients, torch.compile, places, precisions, and arrays of other libraries."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference.cameras import MODELS
from reference.scene import cloud, ring
from torch_scenes import parameters, poison, scene

import sportcore as sc
from sportcore import _core
from sportcore.buffers import adopt
from sportcore.points3d import (
    TriangulateOptions,
    camera_array,
    camera_tensors,
    project,
    reproject_batch,
    triangulate_batch,
    triangulate_linear,
)

torch = pytest.importorskip("torch")
from sportcore.points3d import CameraTensors  # noqa: E402
from sportcore.points3d import autograd as ops  # noqa: E402

# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tensors_give_what_arrays_give(model, dtype):
    rig, X = ring(4, model), cloud(1003).astype(dtype)
    X[7] = np.nan
    want = reproject_batch(rig, X)
    for got in (project(torch.from_numpy(X), rig), reproject_batch(rig, torch.from_numpy(X))):
        assert got.dtype == getattr(torch, dtype)
        np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(project(X, rig), want)
    a, b = triangulate_batch(rig, want), triangulate_batch(rig, torch.from_numpy(want))
    for name in ("xyz", "status", "n_views", "covariance", "residual_px", "inlier"):
        np.testing.assert_array_equal(getattr(b, name).numpy(), getattr(a, name))
    assert a.sigma_px == b.sigma_px
    weight = np.ones(want.shape[:2], dtype)
    linear = triangulate_linear(want, weight, rig)
    np.testing.assert_array_equal(
        triangulate_linear(torch.from_numpy(want), torch.from_numpy(weight), rig).numpy(), linear
    )
    np.testing.assert_array_equal(triangulate_linear(want, None, camera_array(rig)), linear)


def test_leading_axes_and_strides_are_free():
    rig, X, uv = scene("brown5", n=12)
    shaped = uv.reshape(4, 3, 4, 2)
    assert torch.equal(triangulate_linear(shaped, None, rig).reshape(-1, 3), triangulate_linear(uv, None, rig))
    apart = torch.zeros(4, 12, 5, dtype=uv.dtype)
    apart[..., 1:3] = uv
    assert torch.equal(triangulate_linear(apart[..., 1:3], None, rig), triangulate_linear(uv, None, rig))
    assert torch.equal(triangulate_batch(rig, apart[..., 1:3]).xyz, triangulate_batch(rig, uv).xyz)
    turned = X.t().contiguous().t()
    assert not turned.is_contiguous()
    assert torch.equal(project(turned, rig), project(X, rig))
    assert torch.equal(reproject_batch(rig, turned.reshape(3, 4, 3)), project(X, rig).reshape(4, 3, 4, 2))
    assert triangulate_linear(uv[:, :0], None, rig).shape == (0, 3)


def test_nothing_of_the_size_of_the_input_is_copied(monkeypatch):
    """The core gets the addresses of the tensors themselves, and writes into the tensors that are returned."""
    rig, _, uv = scene(n=1000)
    seen = []
    for name in ("project_at_f64", "triangulate_at_f64", "triangulate_linear_at_f64"):
        real = getattr(_core, name)

        def spy(*args, real=real):
            seen.extend(a for a in args if isinstance(a, int) and not isinstance(a, bool))
            return real(*args)

        monkeypatch.setattr(_core, name, spy)
    X = torch.from_numpy(cloud(1000))
    out = reproject_batch(rig, X)
    assert {X.data_ptr(), out.data_ptr()} <= set(seen)
    score = torch.ones(4, 1000, dtype=torch.float64)
    result = triangulate_batch(rig, uv, score)
    pointers = (uv, score, result.xyz, result.status, result.covariance, result.residual_px, result.inlier)
    assert {t.data_ptr() for t in pointers} <= set(seen)
    xyz = triangulate_linear(uv, score, rig)
    assert {uv.data_ptr(), score.data_ptr(), xyz.data_ptr()} <= set(seen)
    array = uv.numpy()
    triangulate_linear(array, None, rig)
    assert array.ctypes.data in seen


@pytest.mark.parametrize("n", [1, 15, 16, 17, 2049, 4097, 8193])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_element_is_written(monkeypatch, n, dtype):
    """Against one point at a time, into memory that held something else; the last block of lanes is not full."""
    rig, X, uv = scene("brown5", cameras=3, n=n)
    X, uv, weight = X.to(dtype), uv.to(dtype), torch.ones(3, n, dtype=dtype)
    weight[0, n // 2] = 0

    def everything(part):
        x, y, w = (v.clone().requires_grad_() for v in (X[part], uv[:, part], weight[:, part]))
        pixels, points, result = project(x, rig), triangulate_linear(y, w, rig), triangulate_batch(rig, y)
        value = (pixels / 1000).square().sum() + points.square().sum()
        by_x, by_y, by_w = torch.autograd.grad(value, [x, y, w])
        (robust,) = torch.autograd.grad(result.xyz.nan_to_num().square().sum(), y)
        by_view = [v.transpose(0, 1) for v in (pixels, by_y, by_w, robust, result.residual_px, result.inlier)]
        return [points, by_x, result.xyz, result.status, result.n_views, *by_view]

    poison(monkeypatch)
    whole = everything(slice(None))
    for i in {0, n // 2, n - 2, n - 1} & set(range(n)):
        for a, b in zip(whole, everything(slice(i, i + 1)), strict=True):
            torch.testing.assert_close(a[i], b[0], rtol=0, atol=0, equal_nan=True)


# ---- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_project(model):
    rig, X, _ = scene(model, cameras=3, n=4)
    lens = rig[0].model

    def function(points, intrinsics, R, t, distortion):
        return project(points, CameraTensors(intrinsics, R, t, distortion, lens))

    leaves = [X.clone().requires_grad_(), *parameters(rig)]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("iterations", [0, 1, 2])
def test_gradients_of_linear_triangulation(model, iterations):
    rig, _, uv = scene(model, cameras=3, n=3)
    lens = rig[0].model
    weight = torch.rand(uv.shape[:2], generator=torch.Generator().manual_seed(1), dtype=uv.dtype) + 0.5

    def function(keypoints, weight, intrinsics, R, t, distortion):
        cameras = CameraTensors(intrinsics, R, t, distortion, lens)
        return triangulate_linear(keypoints, weight, cameras, iterations=iterations)

    leaves = [uv.clone().requires_grad_(), weight.requires_grad_(), *parameters(rig)]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-6, rtol=1e-4)


def differences(function, x, step):
    """Central differences of a function (..., ) -> number by every element of x."""
    out = torch.zeros_like(x)
    for i in range(x.numel()):
        values = []
        for sign in (1, -1):
            y = x.clone().reshape(-1)
            y[i] += sign * step
            values.append(function(y.reshape(x.shape)))
        out.reshape(-1)[i] = (values[0] - values[1]) / (2 * step)
    return out


@pytest.mark.parametrize("model", ["pinhole", "brown8", "fisheye"])
def test_gradients_of_robust_triangulation_at_clean_observations(model):
    rig, _, uv = scene(model, n=4, noise=1e-6)
    options = TriangulateOptions(loss="trivial", sigma_px=1.0, max_iterations=50)
    direction = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=uv.dtype)

    def value(keypoints):
        return (triangulate_batch(rig, keypoints, options=options).xyz * direction).sum()

    leaf = uv.clone().requires_grad_()
    (grad,) = torch.autograd.grad(value(leaf), leaf)
    # the solver ends within 1e-4 of a sigma squared; large steps keep that out of the differences
    torch.testing.assert_close(grad, differences(value, uv, 0.2), rtol=2e-3, atol=2e-7)


def optimum(core, X, uv, sigma, weight):
    """Iterated reweighting in NumPy until nothing moves: (N, 3). `weight` is rho' of s, squared residuals in sigmas."""
    X, uv, sigma = X.numpy().copy(), uv.numpy(), sigma.numpy()
    for _ in range(150):
        at, J, _ = _core.reproject_jacobians(core, X)
        r = at - uv
        w = weight((r**2).sum(-1) / sigma**2) / sigma**2
        H, g = np.einsum("cn,cnki,cnkj->nij", w, J, J), np.einsum("cn,cnki,cnk->ni", w, J, r)
        step = np.linalg.solve(H, g[..., None])[..., 0]
        X -= step
        if np.abs(step).max() < 1e-13:
            break
    return torch.from_numpy(X)


WEIGHTS = {
    "trivial": np.ones_like,
    "huber": lambda s: np.minimum(1, 2 / np.sqrt(s)),
    "cauchy": lambda s: 1 / (1 + s / 4),
    "geman_mcclure": lambda s: 1 / (1 + s / 4) ** 2,
}


@pytest.mark.parametrize("loss", WEIGHTS)
def test_gradients_of_robust_triangulation_with_noise(loss):
    """Against differences of the optimum, by another solver; up to Gauss-Newton and to where the core stopped."""
    rig, _, uv = scene("brown5", cameras=6, n=5, noise=2.0)
    sigma = 1.5 + torch.rand(uv.shape[:2], generator=torch.Generator().manual_seed(3), dtype=uv.dtype)
    options = TriangulateOptions(loss=loss, loss_scale_sigmas=2.0, max_reprojection_error_px=40, max_iterations=100)
    direction = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=uv.dtype)
    leaves, core = (uv.clone().requires_grad_(), sigma.clone().requires_grad_()), camera_array(rig)
    result = triangulate_batch(rig, leaves[0], None, leaves[1], options=options)
    assert (result.status == 0).all() and (result.n_views == 6).all()
    by_uv, by_sigma = torch.autograd.grad((result.xyz * direction).sum(), leaves)
    start = result.xyz.detach()

    def value(keypoints, sigma):
        return (optimum(core, start, keypoints, sigma, WEIGHTS[loss]) * direction).sum()

    for got, want in (
        (by_uv, differences(lambda x: value(x, sigma), uv, 1e-3)),
        (by_sigma, differences(lambda x: value(uv, x), sigma, 1e-3)),
    ):
        assert (got - want).abs().max() < 0.05 * want.abs().max()


def test_outliers_and_missing_observations_get_no_gradient():
    rig, _, uv = scene(cameras=5, n=8)
    uv[2, 3] += 300
    uv[1, 4] = float("nan")
    leaf = uv.clone().requires_grad_()
    result = triangulate_batch(rig, leaf)
    assert not result.inlier[2, 3] and not result.inlier[1, 4] and not result.covariance.requires_grad
    (grad,) = torch.autograd.grad(result.xyz.sum(), leaf)
    assert torch.isfinite(grad).all()
    assert torch.equal((grad != 0).any(-1), result.inlier)
    with torch.no_grad():
        assert not triangulate_batch(rig, leaf).xyz.requires_grad


def test_points_behind_a_camera_are_nan_and_get_no_gradient():
    rig = ring(3, "brown5")
    X = torch.from_numpy(cloud(20))
    X[5] = torch.from_numpy(rig[1].center_world - 0.5 * rig[1].R[2])
    X[6, 0] = float("inf")
    leaf, cameras = X.clone().requires_grad_(), parameters(rig)
    uv = project(leaf, CameraTensors(*cameras, "brown"))
    assert uv[1, 5].isnan().all() and uv[0, 5].isfinite().all() and uv[:, 6].isnan().all()
    grads = torch.autograd.grad(uv.square().sum(), [leaf, *cameras])  # NaN comes back as the gradient of the pixels
    assert all(torch.isfinite(g).all() for g in grads)
    only = project(leaf.detach()[5:6], rig)[[0, 2]]
    (want,) = torch.autograd.grad(project(leaf[5:6], rig)[[0, 2]].square().sum(), leaf)
    assert torch.isfinite(only).all() and torch.allclose(grads[0][5], want[5]) and (grads[0][6] == 0).all()


def test_unused_observations_get_no_gradient():
    rig, _, uv = scene("brown5", cameras=4, n=6)
    weight = torch.ones(4, 6, dtype=uv.dtype)
    weight[0, 1], weight[1, 2], weight[:3, 3] = 0, float("nan"), -1
    uv[2, 4] = float("nan")
    leaves = uv.clone().requires_grad_(), weight.clone().requires_grad_()
    xyz = triangulate_linear(*leaves, rig)
    assert xyz[3].isnan().all() and xyz[[0, 1, 2, 4, 5]].isfinite().all()
    by_uv, by_weight = torch.autograd.grad(xyz.square().sum(), leaves)
    assert torch.isfinite(by_uv).all() and torch.isfinite(by_weight).all()
    used = (weight > 0) & torch.isfinite(uv).all(-1)
    used[:, 3] = False
    assert torch.equal((by_uv != 0).any(-1), used) and torch.equal(by_weight != 0, used)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gradients_do_not_depend_on_threads(threads):
    rig, X, uv = scene("brown5", n=30_000)
    cameras = parameters(rig)

    def gradients(num_threads):
        tensors = CameraTensors(*cameras, "brown")
        pixels = project(X, tensors, num_threads=num_threads)
        points = triangulate_linear(uv, None, tensors, num_threads=num_threads)
        return torch.autograd.grad(pixels.sin().sum() + points.sin().sum(), cameras)

    for a, b in zip(gradients(threads), gradients(1), strict=True):
        assert torch.equal(a, b)


def test_gradients_in_float32_are_those_of_float64():
    rig, X, uv = scene("brown5", n=20_000)
    found = []
    for dtype in (torch.float64, torch.float32):
        cameras, x, y = parameters(rig), X.to(dtype).requires_grad_(), uv.to(dtype).requires_grad_()
        tensors = CameraTensors(*cameras, "brown")
        value = (project(x, tensors) / 1000).square().sum() + triangulate_linear(y, None, tensors).square().sum()
        found.append(torch.autograd.grad(value, [x, y, *cameras]))
    for exact, rounded in zip(*found, strict=True):
        assert (exact - rounded).abs().max() < 2e-4 * exact.abs().max()


# ---- operators ------------------------------------------------------------------------------------------------------


def compiled_example():
    rig, X, uv = scene("brown5", cameras=3, n=20)
    constant = camera_tensors(rig)
    weight = torch.rand(3, 20, generator=torch.Generator().manual_seed(0), dtype=uv.dtype) + 0.1
    leaves = [X.requires_grad_(), uv.requires_grad_(), weight.requires_grad_(), *parameters(rig)]

    def function(points, keypoints, weight, intrinsics, R, t, distortion):
        cameras = CameraTensors(intrinsics, R, t, distortion, "brown")
        robust = triangulate_batch(constant, keypoints)
        return (
            (project(points, cameras) / 100).sin().sum()
            + triangulate_linear(keypoints, weight, cameras).sin().sum()
            + (project(points, constant) / 100).cos().sum()
            + robust.xyz.square().sum()
            + robust.residual_px.sum()
        )

    return function, leaves


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_functions_have_no_breaks_and_the_same_gradients(backend):
    function, leaves = compiled_example()
    if backend == "inductor":
        try:
            torch.compile(lambda x: x.sin() + 1, backend=backend)(torch.zeros(3))
        except Exception as error:  # no C++ compiler on this machine
            pytest.skip(f"inductor does not work here: {type(error).__name__}")
    want = function(*leaves)
    got = torch.compile(function, fullgraph=True, backend=backend)(*leaves)
    torch.testing.assert_close(got, want)
    for a, b in zip(torch.autograd.grad(got, leaves), torch.autograd.grad(want, leaves), strict=True):
        torch.testing.assert_close(a, b)


def test_operators_keep_what_they_declare():
    rig, X, uv = scene(cameras=3, n=5)
    cameras = camera_tensors(rig)
    rows, models = cameras.rows.clone().requires_grad_(), list(cameras.models)
    weight = torch.ones(3, 5, dtype=uv.dtype, requires_grad=True)
    text = TriangulateOptions()._text
    torch.library.opcheck(ops.project_op, (X.requires_grad_(), rows, models, 1))
    torch.library.opcheck(ops.linear_op, (uv.requires_grad_(), weight, rows, models, 1, 1))
    torch.library.opcheck(ops.linear_op, (uv, None, rows.detach(), models, 0, 1))
    torch.library.opcheck(ops.robust_op, (uv, None, weight, cameras.rows, models, text, True))


# ---- places and precisions ------------------------------------------------------------------------------------------


def test_half_precision_and_whole_numbers_are_refused():
    rig, X, uv = scene()
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        for call in (
            lambda d: project(X.to(d), rig),
            lambda d: reproject_batch(rig, X.to(d)),
            lambda d: triangulate_batch(rig, uv.to(d)),
            lambda d: triangulate_linear(uv.to(d), None, rig),
        ):
            with pytest.raises(sc.InputError, match=r"float32 or float64.*\.float\(\)"):
                call(dtype)
    with pytest.raises(sc.InputError, match="half precision"):
        triangulate_linear(uv, torch.ones(4, 6, dtype=torch.float16), rig)


def test_devices_are_never_mixed_or_changed():
    rig, X, uv = scene()
    elsewhere = torch.ones(4, 6, dtype=uv.dtype, device="meta")
    with pytest.raises(sc.InputError, match=r"weight lies on meta, keypoints_px on cpu.*weight\.to\('cpu'\)"):
        triangulate_linear(uv, elsewhere, rig)
    with pytest.raises(sc.InputError, match=r"score lies on meta"):
        triangulate_batch(rig, uv, elsewhere)
    with pytest.raises(sc.InputError, match=r"sigma_px lies on meta"):
        triangulate_batch(rig, uv, None, elsewhere)
    with pytest.raises(sc.InputError, match=r"cameras\.to\('cpu'\)"):
        project(X, camera_tensors(rig, "meta"))
    with pytest.raises(sc.InputError, match="meta"):
        project(X.to("meta"), rig)
    with pytest.raises(sc.InputError, match=r"worked on where they lie.*\.cuda\(\)"):
        reproject_batch(rig, X, device="cuda")
    with pytest.raises(sc.InputError, match=r"worked on where they lie"):
        triangulate_batch(rig, uv, options=TriangulateOptions(device="cuda"))
    with pytest.raises(sc.InputError, match=r"score is a tensor, keypoints_px an array"):
        triangulate_batch(rig, uv.numpy(), torch.ones(4, 6))
    with pytest.raises(sc.InputError, match=r"CameraTensors go with tensors"):
        project(X.numpy(), camera_tensors(rig))
    with pytest.raises(sc.InputError, match=r"no gradient to the cameras"):
        triangulate_batch(CameraTensors(*parameters(rig)), uv)


def test_shapes_that_do_not_fit_are_refused():
    rig, X, uv = scene()
    with pytest.raises(sc.InputError, match="length 3"):
        project(X[:, :2], rig)
    with pytest.raises(sc.InputError, match=r"\(4, \.\.\., 2\)"):
        triangulate_linear(uv[:3], None, rig)
    with pytest.raises(sc.InputError, match=r"weight must have the shape \(4, 6\)"):
        triangulate_linear(uv, torch.ones(4, 5), rig)
    with pytest.raises(sc.InputError, match=r"score must have the shape"):
        triangulate_batch(rig, uv, torch.ones(3, 6))
    with pytest.raises(sc.InputError, match="0, 1 or 2"):
        triangulate_linear(uv, None, rig, iterations=3)
    with pytest.raises(sc.InputError, match="64"):
        triangulate_linear(torch.zeros(65, 1, 2), None, ring(65))
    intrinsics, R, t, distortion = parameters(rig)
    with pytest.raises(sc.InputError, match=r"R must have the shape \(4, 3, 3\)"):
        CameraTensors(intrinsics, R[:3], t)
    with pytest.raises(sc.InputError, match="lens models"):
        CameraTensors(intrinsics, R, t, model="thin prism")
    assert project(X, CameraTensors(intrinsics, R, t, distortion[:, :5], ["brown"] * 4)).shape == (4, 6, 2)


def test_scores_of_another_precision_or_kind_are_taken_on_the_cpu():
    rig, _, uv = scene()
    want = triangulate_batch(rig, uv, torch.full((4, 6), 0.5, dtype=uv.dtype)).xyz
    assert torch.equal(triangulate_batch(rig, uv, torch.full((4, 6), 0.5)).xyz, want)
    assert torch.equal(triangulate_batch(rig, uv, np.full((4, 6), 0.5)).xyz, want)


# ---- arrays of other libraries --------------------------------------------------------------------------------------


class Foreign:
    """An array of a library that is neither NumPy nor torch: DLPack and a namespace, nothing else."""

    def __init__(self, array, place=1):
        self.array, self.place = array, place

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (self.place, 0)

    def __array_namespace__(self):
        return ForeignLibrary


class ForeignLibrary:
    @staticmethod
    def from_dlpack(value):
        return Foreign(np.from_dlpack(value))


class Bare:
    """DLPack without a library to go back to."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


def test_results_come_back_in_the_kind_that_was_given():
    rig, X, uv = scene()
    X, uv = X.numpy(), uv.numpy()
    array, give_back = adopt(Foreign(X), "X")
    assert np.shares_memory(array, X) and isinstance(give_back(X), Foreign) and give_back(None) is None
    out = reproject_batch(rig, Foreign(X))
    assert isinstance(out, Foreign)
    np.testing.assert_array_equal(out.array, reproject_batch(rig, X))
    result, want = triangulate_batch(rig, Foreign(uv)), triangulate_batch(rig, uv)
    for name in ("xyz", "status", "inlier"):
        np.testing.assert_array_equal(getattr(result, name).array, getattr(want, name))
    assert isinstance(triangulate_linear(Foreign(uv), Foreign(np.ones((4, 6))), rig), Foreign)
    assert isinstance(reproject_batch(rig, Bare(X)), np.ndarray)
    with pytest.raises(sc.InputError, match="half precision"):
        reproject_batch(rig, Foreign(X.astype(np.float16)))
    with pytest.raises(sc.InputError, match="DLPack type 8"):
        reproject_batch(rig, Foreign(X, place=8))


def test_arrays_need_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from sportcore.points3d import project, reproject_batch, triangulate_batch, triangulate_linear\n"
        "from reference.scene import ring, cloud\n"
        "rig = ring(3); uv = project(cloud(4), rig)\n"
        "triangulate_linear(uv, None, rig), triangulate_batch(rig, uv)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr


def test_the_examples_of_the_documentation_run():
    text = (Path(__file__).parents[1] / "docs" / "torch.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(block, "docs/torch.md", "exec"), names)
    assert names["intrinsics"].grad.shape == (4, 4) and torch.isfinite(names["points"].grad).all()
    assert names["weight"].grad.shape == (4, 1000)

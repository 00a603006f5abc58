"""Skinning: the core against torch (dense matrices as body models usually write it, plain and compiled), NumPy, and the
memory of the machine, in the same run. `points` are vertices times frames."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from sportcore import _core
from sportcore.body import SkinWeights, skin

torch = pytest.importorskip("torch")

SIZES = [(6890, 24), (20000, 52)]
BATCHES = [1, 16, 64]
SLOTS = 4


@cache
def mesh(V, J):
    """Weights (V, J) and vertices (V, 3) along a curve of J joints: neighbours follow the same bones, as in a body."""
    rng = np.random.default_rng(0)
    place = np.sort(rng.uniform(0, J - 1, V))
    distance = np.abs(place[:, None] - np.arange(J))
    nearest = np.argsort(distance, 1)[:, :SLOTS]
    dense = np.zeros((V, J))
    np.put_along_axis(dense, nearest, 1 / (0.3 + np.take_along_axis(distance, nearest, 1)) ** 2, 1)
    dense /= dense.sum(1, keepdims=True)
    return dense, np.c_[place / J, rng.normal(size=(V, 2)) * 0.1].astype(np.float32)


@cache
def scene(V, J, B):
    dense, x = mesh(V, J)
    A = np.random.default_rng(B).normal(size=(B, J, 3, 4)).astype(np.float32)
    return dense.astype(np.float32), SkinWeights.from_dense(dense), x, A


def traffic(V, J, B, per_frame=False):
    """Bytes that have to move at least: vertices, bones, weights and transforms in, vertices out."""
    return 4 * 3 * V * (B if per_frame else 1) + 6 * SLOTS * V + 48 * J * B + 12 * V * B


def note(benchmark, n_bytes):
    benchmark.extra_info["gb_per_s"] = n_bytes / benchmark.stats.stats.median / 1e9


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield lambda n: torch.set_num_threads(n or _core.resolve_threads(0))
    torch.set_num_threads(before)


def dense_skinning(x, W, A):
    """Matrices of all vertices by one product with the dense weights, then one product per vertex."""
    B, J = A.shape[:2]
    M = torch.matmul(W, A.reshape(B, J, 12)).view(B, -1, 3, 4)
    return torch.matmul(M[..., :3], x[..., None])[..., 0] + M[..., 3]


def gathered_skinning(x, index, weight, A):
    """Matrices of all vertices by a weighted sum of the few that they follow."""
    M = (A[:, index] * weight[..., None, None]).sum(2)
    return torch.matmul(M[..., :3], x[..., None])[..., 0] + M[..., 3]


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
def bench_core(benchmark, timed, V, J, B, threads):
    dense, weights, x, A = scene(V, J, B)
    y = timed(V * B, lambda: skin(x, weights, A, num_threads=threads))
    note(benchmark, traffic(V, J, B))
    M = np.einsum("vj,bjrc->bvrc", dense, A[:1])
    np.testing.assert_allclose(y[:1], (M[..., :3] @ x[..., None])[..., 0] + M[..., 3], atol=1e-4)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES[1:])
@pytest.mark.parametrize("V,J", SIZES)
def bench_core_vertices_per_frame(benchmark, timed, V, J, B, threads):
    _, weights, x, A = scene(V, J, B)
    xs = np.repeat(x[None], B, 0)
    timed(V * B, lambda: skin(xs, weights, A, num_threads=threads))
    note(benchmark, traffic(V, J, B, per_frame=True))


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
def bench_core_torch(benchmark, timed, V, J, B, threads):
    _, weights, x, A = scene(V, J, B)
    tx, tA = torch.from_numpy(x), torch.from_numpy(A)
    timed(V * B, lambda: skin(tx, weights, tA, num_threads=threads))
    note(benchmark, traffic(V, J, B))


def backward(f, *tensors):
    """A step of fitting: forward and the gradients."""
    tensors = [t.clone().requires_grad_() for t in tensors]
    with torch.no_grad():
        grad = torch.ones_like(f(*tensors))

    def step():
        for t in tensors:
            t.grad = None
        f(*tensors).backward(grad)

    return step


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
def bench_core_forward_and_backward(timed, V, J, B, threads):
    _, weights, x, A = scene(V, J, B)
    step = backward(lambda v, t: skin(v, weights, t, num_threads=threads), torch.from_numpy(x), torch.from_numpy(A))
    timed(V * B, step)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
@pytest.mark.parametrize("how", ["dense", "gathered"])
def bench_baseline_torch(benchmark, timed, torch_threads, how, V, J, B, threads):
    torch_threads(threads)
    dense, weights, x, A = scene(V, J, B)
    tx, W, tA = (torch.from_numpy(a) for a in (x, dense, A))
    index, value = torch.from_numpy(weights.bone_index.astype(np.int64)), torch.tensor(weights.weight).float()
    with torch.no_grad():
        run = (lambda: dense_skinning(tx, W, tA)) if how == "dense" else lambda: gathered_skinning(tx, index, value, tA)
        y = timed(V * B, run)
    note(benchmark, traffic(V, J, B))
    np.testing.assert_allclose(y[0], skin(x, weights, A)[0], atol=1e-4)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("V,J", SIZES)
def bench_baseline_torch_compiled(benchmark, timed, torch_threads, V, J, threads):
    torch_threads(threads)
    dense, weights, x, A = scene(V, J, 64)
    tx, W, tA = (torch.from_numpy(a) for a in (x, dense, A))
    torch._dynamo.reset()
    compiled = torch.compile(dense_skinning)
    with torch.no_grad():
        try:
            y = compiled(tx, W, tA)
        except Exception as error:
            pytest.skip(f"torch.compile does not work here: {type(error).__name__}")
        timed(V * 64, lambda: compiled(tx, W, tA))
    note(benchmark, traffic(V, J, 64))
    np.testing.assert_allclose(y[0], skin(x, weights, A)[0], atol=1e-4)


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
def bench_baseline_torch_forward_and_backward(timed, torch_threads, V, J, B, threads):
    torch_threads(threads)
    dense, _, x, A = scene(V, J, B)
    W = torch.from_numpy(dense)
    timed(V * B, backward(lambda v, t: dense_skinning(v, W, t), torch.from_numpy(x), torch.from_numpy(A)))


@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
def bench_baseline_numpy(benchmark, timed, V, J, B):
    dense, weights, x, A = scene(V, J, B)

    def run():
        M = np.matmul(dense, A.reshape(B, J, 12)).reshape(B, V, 3, 4)
        return (M[..., :3] @ x[..., None])[..., 0] + M[..., 3]

    y = timed(V * B, run, rounds=5)
    note(benchmark, traffic(V, J, B))
    np.testing.assert_allclose(y[0], skin(x, weights, A)[0], atol=1e-4)


def in_pieces(work, n, threads):
    """work(slice) over n elements, on threads (0: all cores)."""
    threads = threads or _core.resolve_threads(0)
    if threads == 1:
        return lambda: work(slice(0, n)), None
    pool = ThreadPoolExecutor(threads)
    cuts = np.linspace(0, n, threads + 1).astype(int)
    pieces = [slice(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    return lambda: list(pool.map(work, pieces)), pool


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize("B", BATCHES)
@pytest.mark.parametrize("V,J", SIZES)
@pytest.mark.parametrize("how", ["copy", "fill"])
def bench_ceiling(benchmark, timed, how, V, J, B, threads):
    """As many numbers as the result has, copied (read and written) or only written."""
    source, target = np.ones(3 * V * B, np.float32), np.empty(3 * V * B, np.float32)

    def work(piece):
        if how == "copy":
            np.copyto(target[piece], source[piece])
        else:
            target[piece].fill(1)

    run, pool = in_pieces(work, source.size, threads)
    timed(V * B, run)
    if pool:
        pool.shutdown()
    note(benchmark, source.nbytes * (2 if how == "copy" else 1))


@pytest.mark.gpu
@pytest.mark.skipif(_core.cuda_device_count() == 0, reason="no CUDA device, or a build without CUDA")
@pytest.mark.parametrize("what", ["core", "core forward and backward", "torch", "torch forward and backward", "copy"])
@pytest.mark.parametrize("B", [64, 1024])
@pytest.mark.parametrize("V,J", SIZES)
def bench_cuda(benchmark, timed, V, J, B, what):
    dense, weights, x, A = scene(V, J, B)
    tx, W, tA = (torch.from_numpy(a).cuda() for a in (x, dense, A))
    y = skin(tx, weights, tA)

    def core(v, t):
        return skin(v, weights, t)

    def plain(v, t):
        return dense_skinning(v, W, t)

    if what == "copy":
        target = torch.empty_like(y)
        run = lambda: target.copy_(y)  # noqa: E731
    else:
        f = core if what.startswith("core") else plain
        run = backward(f, tx, tA) if "backward" in what else lambda: f(tx, tA)

    def wait():
        run()
        torch.cuda.synchronize()

    timed(V * B, wait)
    note(benchmark, 24 * V * B if what == "copy" else traffic(V, J, B))

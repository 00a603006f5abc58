from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.machine import available_bytes

from sportcore import _core
from sportcore.body import SkinWeights, lbs, pose_transforms, rotation_matrices, skin
from sportcore.errors import DeviceError, InputError

torch = pytest.importorskip("torch")

needs_gpu = pytest.mark.skipif(
    _core.cuda_device_count() == 0 or not torch.cuda.is_available(), reason="no CUDA device, or builds without CUDA"
)


def make(V=203, J=7, B=19, K=4, seed=0, dtype=np.float64, per_frame=False):
    """Weights (V, J), vertices and transforms at random."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((V, J))
    for row in dense:
        row[rng.choice(J, K, replace=False)] = rng.dirichlet(np.ones(K))
    vertices = rng.normal(size=(B, V, 3) if per_frame else (V, 3)).astype(dtype)
    return dense, vertices, rng.normal(size=(B, J, 3, 4)).astype(dtype)


def reference(vertices, dense, transforms):
    """The definition, in NumPy or torch."""
    xp = torch if isinstance(vertices, torch.Tensor) else np
    ones = xp.ones_like(vertices[..., :1])
    blended = xp.einsum("vj,bjrc->bvrc", dense, transforms)
    homogeneous = xp.concatenate((vertices, ones), -1)
    return xp.einsum("bvrc,vc->bvr" if vertices.ndim == 2 else "bvrc,bvc->bvr", blended, homogeneous)


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("B", [1, 3, 16, 33, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_agrees_with_the_definition(dtype, B, per_frame):
    dense, x, A = make(B=B, dtype=dtype, per_frame=per_frame)
    y = skin(x, SkinWeights.from_dense(dense), A)
    assert y.dtype == dtype and y.shape == (B, 203, 3)
    np.testing.assert_allclose(
        y, reference(x.astype(float), dense, A.astype(float)), atol=1e-5 if y.itemsize == 4 else 1e-13
    )


@given(
    V=st.integers(1, 150), J=st.integers(1, 12), B=st.integers(1, 40), seed=st.integers(0, 2**31), single=st.booleans()
)
@settings(deadline=None, max_examples=40, derandomize=True)
def test_properties(V, J, B, seed, single):
    dtype = np.float32 if single else np.float64
    tolerance = 3e-5 if single else 1e-12
    rng = np.random.default_rng(seed)
    dense, x, A = make(V, J, B, min(J, 4), seed, dtype)
    weights = SkinWeights.from_dense(dense)
    # the same rigid motion of all bones moves the mesh rigidly
    R, t = rotation_matrices(rng.normal(size=3)), rng.normal(size=3)
    same = np.broadcast_to(np.c_[R, t], (B, J, 3, 4)).astype(dtype)
    np.testing.assert_allclose(skin(x, weights, same), np.broadcast_to(x @ R.T + t, (B, V, 3)), atol=tolerance)
    # linear in the vertices once the shift is taken off
    x2 = rng.normal(size=(V, 3)).astype(dtype)
    zero = skin(np.zeros_like(x), weights, A)
    both = skin(2 * x - x2, weights, A) - zero
    np.testing.assert_allclose(
        both, 2 * (skin(x, weights, A) - zero) - (skin(x2, weights, A) - zero), atol=5 * tolerance
    )
    # one bone per vertex: that bone's transform
    bone = rng.integers(0, J, (V, 1))
    y = skin(x, SkinWeights(bone, np.ones((V, 1)), J), A)
    own = A[:, bone[:, 0]]
    np.testing.assert_allclose(y, np.einsum("bvrc,vc->bvr", own[..., :3], x) + own[..., 3], atol=tolerance)


def test_weights_round_trips_and_pruning():
    dense, x, A = make()
    weights = SkinWeights.from_dense(dense)
    np.testing.assert_array_equal(weights.to_dense(), dense)
    again = pickle.loads(pickle.dumps(weights))
    np.testing.assert_array_equal(skin(x, again, A), skin(x, weights, A))
    assert (weights.n_vertices, weights.n_bones, weights.bones_per_vertex) == (203, 7, 4)
    few = SkinWeights.from_dense(dense, max_bones=2).to_dense()
    assert ((few > 0).sum(1) == 2).all()
    np.testing.assert_allclose(few.sum(1), 1)
    keep = np.sort(dense, 1)[:, -2:]
    np.testing.assert_allclose(np.sort(few, 1)[:, -2:], keep / keep.sum(1, keepdims=True))
    with pytest.raises(ValueError):
        weights.weight[0, 0] = 1  # shared with the core


def test_empty_meshes_and_batches():
    dense, x, A = make(V=6)
    weights = SkinWeights.from_dense(dense)
    assert skin(x, weights, A[:0]).shape == (0, 6, 3)
    nothing = SkinWeights(np.zeros((0, 2), int), np.zeros((0, 2)), 7)
    assert skin(x[:0], nothing, A).shape == (19, 0, 3)
    tx, tA = torch.tensor(x, requires_grad=True), torch.zeros(0, 7, 3, 4, dtype=torch.float64, requires_grad=True)
    skin(tx, weights, tA).sum().backward()
    assert (tx.grad == 0).all() and tA.grad.shape == (0, 7, 3, 4)
    tx, tA = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True), torch.tensor(A, requires_grad=True)
    skin(tx, nothing, tA).sum().backward()
    assert (tA.grad == 0).all()


def test_refusals():
    dense, x, A = make(V=5)
    weights = SkinWeights.from_dense(dense)
    for bones in ([[0, 7]], [[-1, 0]], [[2**32, 0]]):
        with pytest.raises(InputError, match="bone_index"):
            SkinWeights(np.array(bones), [[0.5, 0.5]], 7)
    with pytest.raises(InputError, match="whole numbers"):
        SkinWeights([[0.0]], [[1.0]], 7)
    with pytest.raises(InputError, match="not finite"):
        SkinWeights([[0]], [[np.nan]], 7)
    with pytest.raises(InputError, match="max_bones"):
        SkinWeights.from_dense(np.ones((2, 17)))
    with pytest.raises(InputError, match="at most 16"):
        SkinWeights(np.zeros((1, 17), int), np.ones((1, 17)), 1)
    with pytest.raises(InputError, match=r"\(B, 7, 3, 4\)"):
        skin(x, weights, A[:, :6])
    with pytest.raises(InputError, match="vertices"):
        skin(x[:4], weights, A)
    with pytest.raises(InputError, match="vertices"):
        skin(np.broadcast_to(x, (3, 5, 3)), weights, A)
    with pytest.raises(InputError, match="float16"):
        skin(x.astype(np.float16), weights, A)
    with pytest.raises(InputError, match="float16"):
        skin(torch.tensor(x).half(), weights, torch.tensor(A).half())
    with pytest.raises(InputError, match="precision"):
        skin(torch.tensor(x), weights, torch.tensor(A).float())
    with pytest.raises(InputError, match="must be a tensor"):
        skin(torch.tensor(x), weights, A)
    with pytest.raises(InputError, match="meta"):
        skin(torch.tensor(x), weights, torch.tensor(A).to("meta"))
    with pytest.raises(InputError, match="from_dense"):
        skin(x, dense, A)
    with pytest.raises(InputError, match="weight must"):
        skin(x, weights, A, weight=dense)
    with pytest.raises(InputError, match="num_threads"):
        skin(x, weights, A, num_threads=-1)
    if _core.cuda_device_count() == 0:
        with pytest.raises(DeviceError):
            skin(x, weights, A, device="cuda")


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("B", [1, 2, 5, 11])
def test_gradcheck(B, per_frame):
    dense, x, A = make(V=21, J=6, B=B, K=3, per_frame=per_frame)
    weights = SkinWeights.from_dense(dense)
    values = torch.tensor(weights.weight, requires_grad=True)
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(A, requires_grad=True), values
    assert torch.autograd.gradcheck(lambda v, t, w: skin(v, weights, t, weight=w), tensors)
    assert torch.autograd.gradcheck(lambda v, t: skin(v, weights, t), tensors[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("B", [4, 64, 150])
def test_gradients_agree_with_autograd_of_the_definition(B, dtype):
    dense, x, A = make(V=1500, J=24, B=B)
    weights = SkinWeights.from_dense(dense)
    grad = torch.tensor(np.random.default_rng(1).normal(size=(B, 1500, 3)))
    wanted = [torch.tensor(a, requires_grad=True) for a in (x, dense, A)]
    reference(*wanted).backward(grad)
    got = [torch.tensor(np.array(a), dtype=dtype, requires_grad=True) for a in (x, weights.weight, A)]
    skin(got[0], weights, got[2], weight=got[1]).backward(grad.to(dtype))
    by_slot = np.take_along_axis(wanted[1].grad.numpy(), weights.bone_index.astype(int), 1)
    tolerance = 2e-4 if dtype == torch.float32 else 1e-11
    for mine, theirs in ((got[0].grad, wanted[0].grad), (got[2].grad, wanted[2].grad), (got[1].grad, by_slot)):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def test_gradients_have_the_same_bits_on_any_number_of_threads():
    dense, x, A = make(V=5000, J=24, B=70, dtype=np.float32)
    weights = SkinWeights.from_dense(dense)
    results = []
    for threads in (1, 2, 5):
        tensors = torch.tensor(x, requires_grad=True), torch.tensor(A, requires_grad=True)
        skin(tensors[0], weights, tensors[1], num_threads=threads).sin().sum().backward()
        results.append([t.grad for t in tensors])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_tensors_may_be_strided_and_need_no_gradient():
    dense, x, A = make()
    weights = SkinWeights.from_dense(dense)
    wide = torch.tensor(np.concatenate((x, x), 1))[:, ::2]
    turned = torch.tensor(np.ascontiguousarray(np.moveaxis(A, 0, 3))).permute(3, 0, 1, 2)
    assert not wide.is_contiguous() and not turned.is_contiguous()
    y = skin(wide, weights, turned)
    np.testing.assert_array_equal(y, skin(wide.numpy(), weights, turned.numpy()))
    assert not y.requires_grad
    only = torch.tensor(A, requires_grad=True)
    # an expanded gradient has strides of zero
    skin(torch.tensor(x), weights, only).sum().backward()
    assert only.grad is not None
    np.testing.assert_array_equal(skin(x[::-1], weights, A), skin(np.ascontiguousarray(x[::-1]), weights, A))


def test_a_view_into_other_memory_is_read_where_it_lies():
    dense, x, A = make(dtype=np.float32)
    weights = SkinWeights.from_dense(dense)
    odd = torch.zeros(A.size + 1, dtype=torch.float32)[1:].view(A.shape)  # 4 bytes off every boundary
    odd.copy_(torch.tensor(A))
    np.testing.assert_array_equal(skin(torch.tensor(x), weights, odd), skin(x, weights, A))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_without_graph_breaks(backend):
    dense, x, A = make()
    weights = SkinWeights.from_dense(dense)

    def loss(vertices, transforms):
        return skin(vertices * 2, weights, transforms).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend=backend, fullgraph=True)
    for B in (19, 5):  # the second shape may be compiled again, or dynamically
        pairs = []
        for f in (loss, compiled):
            tensors = torch.tensor(x, requires_grad=True), torch.tensor(A[:B], requires_grad=True)
            value = f(*tensors)
            value.backward()
            pairs.append([value.detach(), *(t.grad for t in tensors)])
        for a, b in zip(*pairs, strict=True):
            torch.testing.assert_close(a, b)


def test_operators_pass_the_checks_of_torch():
    from sportcore.body import _torch

    dense, x, A = make(V=9, B=3)
    weights = SkinWeights.from_dense(dense)
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(A, requires_grad=True)
    torch.library.opcheck(_torch._skin, (*tensors, None, weights.handle, 1))


def test_weights_that_are_gone_are_an_error():
    from sportcore.body import _torch

    dense, x, A = make(V=9, B=3)
    with pytest.raises(InputError, match="no longer exist"):
        _torch._skin(torch.tensor(x), torch.tensor(A), None, 10**9, 1)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_all_instruction_sets_agree(isa):
    code = """
import numpy as np
from sportcore.body import SkinWeights, skin
from sportcore import _core
rng = np.random.default_rng(3)
w = SkinWeights(rng.integers(0, 9, (333, 4)), rng.random((333, 4)), 9)
for dtype in (np.float32, np.float64):
    for B in (1, 2, 7, 21):
        for shape in ((333, 3), (B, 333, 3)):
            x, A = rng.normal(size=shape).astype(dtype), rng.normal(size=(B, 9, 3, 4)).astype(dtype)
            g = rng.normal(size=(B, 333, 3)).astype(dtype)
            M = np.einsum("vj,bjrc->bvrc", w.to_dense(), A.astype(float))
            xh = np.concatenate((x, np.ones((*shape[:-1], 1))), -1)
            y = (M @ xh[..., None])[..., 0]
            gv = np.einsum("bvrc,bvr->bvc", M[..., :3], g)
            gt = np.einsum("vj,bvr,bvc->bjrc", w.to_dense(), g, np.broadcast_to(xh, (B, 333, 4)))
            tol = 2e-5 if dtype == np.float32 else 1e-13
            np.testing.assert_allclose(skin(x, w, A), y, atol=tol)
            a, b, c = _core.skin_backward(w._core, x, A, g)
            np.testing.assert_allclose(a, gv if len(shape) == 3 else gv.sum(0), atol=tol * 20)
            np.testing.assert_allclose(b, gt, atol=tol * 50)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ, SPORTCORE_ISA=isa), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.skipif(available_bytes() < 12 << 30, reason="needs 12 GB of free memory")
def test_more_elements_than_32_bits_count():
    V, B = 1 << 16, (1 << 31) // (3 << 16) + 3
    rng = np.random.default_rng(0)
    weights = SkinWeights(rng.integers(0, 3, (V, 2)), rng.random((V, 2)), 3)
    x, A = rng.normal(size=(V, 3)).astype(np.float32), np.zeros((B, 3, 3, 4), np.float32)
    A[[1, -1]] = rng.normal(size=(2, 3, 3, 4))
    y = skin(x, weights, A)
    assert y.size > 1 << 31
    np.testing.assert_allclose(y[[1, -1]], skin(x, weights, A[[1, -1]]), atol=1e-5)
    assert not y[B // 2].any()


def chain(J, seed=0):
    """Joints at random and a tree whose parents do not come before their children."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(J)
    parents = np.empty(J, int)
    for i, joint in enumerate(order):
        parents[joint] = -1 if i == 0 else order[rng.integers(0, i)]
    return rng.normal(size=(J, 3)), tuple(int(p) for p in parents)


def kinematics_one_by_one(rest, parents, rotations):
    """Homogeneous matrices multiplied from the root on, less the rest pose."""
    B, J = rotations.shape[:2]
    out = np.zeros((B, J, 3, 4))
    for b in range(B):
        world = {}

        def place(j, b=b, world=world):
            if j not in world:
                local = np.eye(4)
                local[:3, :3] = rotations[b, j]
                local[:3, 3] = rest[j] - (rest[parents[j]] if parents[j] >= 0 else 0)
                world[j] = (place(parents[j]) if parents[j] >= 0 else np.eye(4)) @ local
            return world[j]

        for j in range(J):
            shift = np.eye(4)
            shift[:3, 3] = -rest[j]
            out[b, j] = (place(j) @ shift)[:3]
    return out


def test_forward_kinematics():
    rest, parents = chain(15)
    rotations = rotation_matrices(np.random.default_rng(2).normal(size=(4, 15, 3)))
    expected = kinematics_one_by_one(rest, parents, rotations)
    np.testing.assert_allclose(pose_transforms(rest, parents, rotations), expected, atol=1e-12)
    np.testing.assert_allclose(
        pose_transforms(torch.tensor(rest), parents, torch.tensor(rotations)), expected, atol=1e-12
    )
    per_frame = np.stack([rest * s for s in (1, 2, 3, 4)])
    each = [kinematics_one_by_one(r, parents, rotations[b : b + 1])[0] for b, r in enumerate(per_frame)]
    np.testing.assert_allclose(pose_transforms(per_frame, parents, rotations), each, atol=1e-12)
    still = pose_transforms(rest, parents, np.broadcast_to(np.eye(3), (2, 15, 3, 3)))
    np.testing.assert_allclose(still, np.broadcast_to(np.eye(4)[:3], (2, 15, 3, 4)), atol=1e-12)
    with pytest.raises(InputError, match="own ancestor"):
        pose_transforms(rest[:3], (2, 0, 1), rotations[:, :3])
    with pytest.raises(InputError, match="hangs on joint"):
        pose_transforms(rest[:3], (-1, 0, 3), rotations[:, :3])
    with pytest.raises(InputError, match="cannot be mixed"):
        pose_transforms(rest, parents, torch.tensor(rotations))


def test_rotation_matrices():
    w = np.random.default_rng(5).normal(size=(50, 3)) * np.logspace(-9, 0.5, 50)[:, None]
    R = rotation_matrices(w)
    np.testing.assert_allclose(R, [_core.so3_exp(v) for v in w], atol=1e-14)
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-14)
    start = torch.tensor(np.concatenate((w[::7], np.zeros((1, 3)))), requires_grad=True)
    assert torch.autograd.gradcheck(rotation_matrices, (start,))
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    J = torch.autograd.functional.jacobian(rotation_matrices, zero)
    np.testing.assert_allclose(J[..., 0].numpy(), [[0, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-15)


def body(V=30, J=6, S=4, seed=0):
    """A small body model: everything that lbs takes but shape and pose."""
    rng = np.random.default_rng(seed)
    dense, template, _ = make(V, J, 1, 3, seed)
    _, parents = chain(J, seed)
    regressor = rng.dirichlet(np.ones(V), J)
    return template, rng.normal(size=(V, 3, S)) * 0.1, regressor, parents, SkinWeights.from_dense(dense)


@pytest.mark.parametrize("shape_per_frame", [False, True])
def test_whole_chain_is_differentiable_to_pose_and_shape(shape_per_frame):
    template, directions, regressor, parents, weights = body()
    rng = np.random.default_rng(1)
    pose_dirs = torch.tensor(rng.normal(size=(30, 3, 45)) * 0.01)
    fixed = [torch.tensor(a) for a in (template, directions, regressor)]
    pose = torch.tensor(rng.normal(size=(3, 6, 3)), requires_grad=True)
    pose.data[0, 0] = 0  # a joint at rest
    betas = torch.tensor(rng.normal(size=(3, 4) if shape_per_frame else 4), requires_grad=True)
    translation = torch.tensor(rng.normal(size=(3, 3)), requires_grad=True)

    def run(pose, betas, translation, corrected=False):
        out = lbs(
            fixed[0], fixed[1], betas, fixed[2], parents, weights, rotation_matrices(pose), translation_m=translation,
            pose_dirs=pose_dirs if corrected else None,
        )  # fmt: skip
        return out.vertices, out.joints

    assert torch.autograd.gradcheck(run, (pose, betas, translation))
    assert torch.autograd.gradcheck(lambda *a: run(*a, corrected=True), (pose, betas, translation))
    if not shape_per_frame:
        torch._dynamo.reset()
        compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(pose, betas, translation), run(pose, betas, translation))


def test_lbs_of_arrays_equals_lbs_of_tensors_and_poses_as_it_should():
    template, directions, regressor, parents, weights = body()
    rng = np.random.default_rng(1)
    pose, betas, translation = rng.normal(size=(3, 6, 3)), rng.normal(size=4), rng.normal(size=(3, 3))
    a = lbs(
        template, directions, betas, regressor, parents, weights, rotation_matrices(pose), translation_m=translation
    )
    tensors = [torch.tensor(v) for v in (template, directions, betas, regressor, pose, translation)]
    b = lbs(*tensors[:4], parents, weights, rotation_matrices(tensors[4]), translation_m=tensors[5])
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    shaped = template + directions @ betas
    rest = regressor @ shaped
    transforms = kinematics_one_by_one(rest, parents, rotation_matrices(pose))
    transforms[..., 3] += translation[:, None]
    np.testing.assert_allclose(a.vertices, reference(shaped, weights.to_dense(), transforms), atol=1e-12)
    root = parents.index(-1)
    np.testing.assert_allclose(a.joints[:, root], rest[root] + translation, atol=1e-12)
    with pytest.raises(InputError, match="betas"):
        lbs(template, directions, betas[:3], regressor, parents, weights, rotation_matrices(pose))
    with pytest.raises(InputError, match="parents"):
        lbs(template, directions, betas, regressor, parents[:5], weights, rotation_matrices(pose))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("K", [1, 4, 7, 16])
@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_equals_the_cpu(dtype, per_frame, K):
    for V, J, B in ((1, 17, 1), (333, 24, 3), (6890, 52, 21), (70, 2000, 5)):
        rng = np.random.default_rng(V)
        weights = SkinWeights(rng.integers(0, J, (V, K)), rng.random((V, K)) / K, J)
        host = [
            torch.tensor(rng.normal(size=s), dtype=dtype)
            for s in ((B, V, 3) if per_frame else (V, 3), (B, J, 3, 4), (V, K), (B, V, 3))
        ]
        results = []
        for where in ("cpu", "cuda", "cuda"):
            x, A, w = (t.detach().to(where).requires_grad_() for t in host[:3])
            if where == "cuda":  # what the allocator hands out next holds NaN
                for t in (*host[:3], host[3]):
                    torch.full_like(t, float("nan"), device="cuda")
            y = skin(x, weights, A, weight=w)
            y.backward(host[3].to(where))
            results.append([t.detach().cpu() for t in (y, x.grad, A.grad, w.grad)])
        tolerance = 1e-3 if dtype == torch.float32 else 1e-10
        for cpu, gpu, again in zip(*results, strict=True):
            torch.testing.assert_close(gpu, cpu, rtol=tolerance, atol=tolerance)
            assert torch.equal(gpu, again)
        y = skin(host[0].numpy(), weights, host[1].numpy(), weight=host[2].numpy(), device="cuda")
        torch.testing.assert_close(torch.tensor(y), results[1][0], rtol=0, atol=0)


@pytest.mark.gpu
@needs_gpu
def test_cuda_keeps_to_the_stream_and_the_device():
    dense, x, A = make(V=6890, J=24, B=64, dtype=np.float32)
    weights = SkinWeights.from_dense(dense)
    tx, tA = torch.tensor(x, device="cuda"), torch.tensor(A, device="cuda")
    expected = skin(tx * 2, weights, tA)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        later = tx.clone()
        torch.cuda._sleep(50_000_000)
        later.mul_(2)  # done only after the sleep: the kernel must wait for it
        y = skin(later, weights, tA)
    stream.synchronize()
    assert torch.equal(y, expected)
    with pytest.raises(InputError, match="cuda"):
        skin(torch.tensor(x), weights, tA)

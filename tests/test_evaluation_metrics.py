"""Pose metrics: closed forms, a plain reference, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.evaluation import (
    aspset17_to_h36m17,
    bone_length_spread,
    evaluate,
    excluded_joints,
    joint_angle_errors_deg,
    joint_angles_deg,
    joint_errors_mm,
    mpjpe,
    n_mpjpe,
    pa_mpjpe,
    spa_mpjpe,
    umeyama,
    velocity_error,
)
from sportcore.skeletons import BODY25, H36M17

seeds = st.integers(0, 2**32 - 1)


def poses(rng, frames=6, joints=17, batch=()):
    return rng.normal(size=(*batch, frames, joints, 3)) * 0.4 + rng.normal(size=(*batch, frames, 1, 3))


def similarity(rng, x, shape=()):
    R = Rotation.from_rotvec(rng.normal(size=(max(1, int(np.prod(shape))), 3))).as_matrix().reshape(*shape, 3, 3)
    s = rng.uniform(0.3, 3.0, size=shape)
    t = rng.normal(size=(*shape, 3)) * 3
    return s[..., None, None] * (x @ np.swapaxes(R, -1, -2)) + t[..., None, :]


def rms(errors):
    return np.sqrt(np.nanmean(errors**2, axis=(-1, -2)))


def reference_pa(p, y):
    """Per-frame Procrustes, written as plainly as possible."""
    out = []
    for a, b in zip(p, y, strict=True):
        a0, b0 = a - a.mean(0), b - b.mean(0)
        u, s, vt = np.linalg.svd(b0.T @ a0)
        d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        R = u @ d @ vt
        scale = np.trace(np.diag(s) @ d) / (a0**2).sum()
        out.append(np.linalg.norm(scale * a0 @ R.T - b0, axis=1).mean())
    return 1000 * np.mean(out)


def test_fixed_numbers():
    y = np.zeros((2, 17, 3))
    y[:, 1:] = np.arange(16)[None, :, None] * 0.05 + [0.1, 0.2, 0.3]
    p = y.copy()
    p[:, 5, 0] += 0.034  # one joint of 17 is 34 mm off in both frames
    assert mpjpe(p, y) == pytest.approx(2.0)
    assert velocity_error(p, y) == pytest.approx(0.0)
    p[1, 5, 0] += 0.017
    assert mpjpe(p, y) == pytest.approx((34 + 51) / 34)
    assert velocity_error(p, y) == pytest.approx(1.0)  # 17 mm / frame at one joint of 17
    assert velocity_error(p, y, fps=50) == pytest.approx(50.0)
    p = y.copy()
    p[:, 0] += [0.0, 0.0, 0.016]  # moving the root by 16 mm moves the 16 others after root alignment
    assert mpjpe(p, y) == pytest.approx(16 * 16 / 17)
    assert mpjpe(p, y, root=None) == pytest.approx(16 / 17)


def test_n_mpjpe_undoes_a_scale_per_frame():
    rng = np.random.default_rng(0)
    y = poses(rng)
    p = y * rng.uniform(0.5, 2, size=(6, 1, 1))
    assert n_mpjpe(p, y) == pytest.approx(0, abs=1e-9)
    assert mpjpe(p, y) > 50
    # s = <p, y> / <p, p> is the least-squares factor: no other factor has a smaller rms.
    p = y + 0.1 * rng.normal(size=y.shape)
    best = rms(joint_errors_mm(p[:1], y[:1], align="scale"))
    for s in np.linspace(0.8, 1.2, 41):
        assert best <= rms(joint_errors_mm(s * p[:1], y[:1], align="root")) + 1e-9


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_pa_equals_the_plain_reference_and_ignores_similarities(seed):
    rng = np.random.default_rng(seed)
    y = poses(rng)
    p = y + rng.normal(size=y.shape) * rng.choice([1e-3, 0.05, 0.5])
    pa, spa = pa_mpjpe(p, y), spa_mpjpe(p, y)
    assert pa == pytest.approx(reference_pa(p, y), rel=1e-9)
    assert pa_mpjpe(similarity(rng, p, (6,)), y) == pytest.approx(pa, rel=1e-8)
    assert spa_mpjpe(similarity(rng, p.reshape(1, -1, 3)).reshape(p.shape), y) == pytest.approx(spa, rel=1e-8)
    # In the least-squares sense a freer alignment is never worse.
    by = {a: rms(joint_errors_mm(p, y, align=a)) for a in ("root", "scale", "frame", "sequence")}
    assert by["frame"] <= by["sequence"] * (1 + 1e-9)
    assert by["scale"] <= by["root"] * (1 + 1e-9)
    assert by["frame"] <= by["scale"] * (1 + 1e-9)
    assert mpjpe(p + rng.normal(size=(6, 1, 3)), y) == pytest.approx(mpjpe(p, y), rel=1e-9)


def test_reflection_is_not_removed_and_scale_is_right():
    rng = np.random.default_rng(3)
    y = rng.normal(size=(4, 17, 3)) * [0.3, 0.5, 0.2]
    p = y * [-1, 1, 1]  # a mirrored body is not the body
    assert pa_mpjpe(p, y) > 50 and spa_mpjpe(p, y) > 50
    # Best proper fit with its own least-squares scale: perturbing the scale must not lower the squared error.
    sim = umeyama(p.reshape(-1, 3), y.reshape(-1, 3))
    assert np.linalg.det(sim.R) == pytest.approx(1.0)
    flat_p, flat_y = p.reshape(-1, 3), y.reshape(-1, 3)
    mean_p, mean_y = flat_p.mean(0), flat_y.mean(0)

    def squared(scale):
        return ((scale * (flat_p - mean_p) @ sim.R.T - (flat_y - mean_y)) ** 2).sum()

    assert squared(sim.scale) < min(squared(sim.scale * 0.99), squared(sim.scale * 1.01))
    # The published code keeps the sign of the smallest singular value in the scale: measurably worse.
    u, s, vt = np.linalg.svd((flat_y - mean_y).T @ (flat_p - mean_p))
    wrong = s.sum() / ((flat_p - mean_p) ** 2).sum()
    assert squared(wrong) > squared(sim.scale) * 1.001


def test_umeyama_weights_rigid_and_degenerate():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(30, 3))
    R = Rotation.random(random_state=1).as_matrix()
    b = 1.7 * a @ R.T + [1, 2, 3]
    b[:3] += 10  # gross errors with weight zero
    w = np.ones(30)
    w[:3] = 0
    sim = umeyama(a, b, weights=w)
    assert sim.scale == pytest.approx(1.7) and np.allclose(sim.R, R) and np.allclose(sim.t, [1, 2, 3])
    assert sim.n_points == 27
    assert umeyama(a, b, weights=w, with_scale=False).scale == 1.0
    assert np.isnan(umeyama(np.ones((5, 3)), a[:5]).scale)
    assert np.isnan(umeyama(a[:2], b[:2]).scale)
    line = np.outer(np.arange(5.0), [1, 2, 3])
    assert np.allclose(umeyama(line, 2 * line + 1).apply(line), 2 * line + 1)
    with pytest.raises(InputError, match="equal length"):
        umeyama(a, b[:4])
    with pytest.raises(InputError, match="negative"):
        umeyama(a, b, weights=-w)


def test_missing_joints_are_left_out():
    rng = np.random.default_rng(5)
    y = poses(rng)
    p = y + 0.05 * rng.normal(size=y.shape)
    full = {f.__name__: f(p, y) for f in (mpjpe, n_mpjpe, pa_mpjpe, spa_mpjpe, velocity_error)}
    hurt, before = p.copy(), y.copy()
    hurt[2] = np.nan  # a frame without prediction
    keep = [0, 1, 3, 4, 5]
    for f in (mpjpe, n_mpjpe, pa_mpjpe):
        assert f(hurt, y) == pytest.approx(f(p[keep], y[keep]))
    assert spa_mpjpe(hurt, y) == pytest.approx(spa_mpjpe(p[keep], y[keep]))
    truth = y.copy()
    truth[:, 13] = np.nan  # a joint without truth
    assert pa_mpjpe(p, truth) == pytest.approx(pa_mpjpe(np.delete(p, 13, 1), np.delete(y, 13, 1)))
    no_root = p.copy()
    no_root[:, 0] = np.nan
    assert np.isnan(mpjpe(no_root, y)) and np.isfinite(pa_mpjpe(no_root, y))
    nothing = np.full_like(p, np.nan)
    assert all(np.isnan(f(nothing, y)) for f in (mpjpe, n_mpjpe, pa_mpjpe, spa_mpjpe, velocity_error))
    two = np.full_like(p, np.nan)
    two[:, :2] = p[:, :2]  # two joints always align perfectly: no evidence, no number
    assert np.isnan(pa_mpjpe(two, y))
    assert np.array_equal(y, before) and full["mpjpe"] > 0


def test_batches_and_exclusions():
    rng = np.random.default_rng(6)
    y, p = poses(rng, batch=(2, 3)), poses(rng, batch=(2, 3))
    for f in (mpjpe, n_mpjpe, pa_mpjpe, spa_mpjpe, velocity_error):
        value = f(p, y)
        assert value.shape == (2, 3)
        assert value[1, 2] == pytest.approx(f(p[1, 2], y[1, 2]))
    assert excluded_joints("asp") == (9, 10) and excluded_joints("runner") == (7, 10)
    assert pa_mpjpe(p[0, 0], y[0, 0], exclude="asp") == pytest.approx(
        pa_mpjpe(np.delete(p[0, 0], [9, 10], 1), np.delete(y[0, 0], [9, 10], 1))
    )
    wrong = y[0, 0].copy()
    wrong[:, [7, 10]] += 5
    assert mpjpe(wrong, y[0, 0], exclude="runner") == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="preset"):
        mpjpe(p, y, exclude="swimmer")
    with pytest.raises(InputError, match="no joint"):
        mpjpe(p, y, exclude=["tail"])
    with pytest.raises(InputError, match="equal shapes"):
        mpjpe(p, y[..., :16, :])
    with pytest.raises(InputError, match="another number"):
        mpjpe(p[..., :14, :], y[..., :14, :], exclude="asp")
    with pytest.raises(InputError, match="fps"):
        velocity_error(p, y, fps=0)


def test_joint_angles_closed_forms():
    x = np.full((3, 17, 3), np.nan)
    hip, knee, ankle, shoulder = (H36M17.index(f"left_{n}") for n in ("hip", "knee", "ankle", "shoulder"))
    x[:, hip], x[:, knee], x[:, shoulder] = [0, 0, 1], [0, 0, 0.5], [0, 0, 1.5]
    for i, degrees in enumerate((180.0, 90.0, 1e-4)):
        a = np.radians(180 - degrees)
        x[i, ankle] = [0.4 * np.sin(a), 0, 0.5 - 0.4 * np.cos(a)]
    angles = joint_angles_deg(x)
    assert np.allclose(angles["left_knee"], [180, 90, 1e-4], atol=1e-9)
    assert np.allclose(angles["left_hip"], 180)
    assert np.isnan(angles["right_knee"]).all() and np.isnan(angles["left_elbow"]).all()
    assert "left_ankle" not in angles and "left_ankle" in joint_angles_deg(np.zeros((2, 25, 3)), BODY25)
    assert np.isnan(joint_angles_deg(np.zeros((2, 25, 3)), BODY25)["left_ankle"]).all()  # joints coincide
    bent = x.copy()
    bent[:, ankle] = x[1, ankle]
    assert joint_angle_errors_deg(bent, x)["left_knee"] == pytest.approx((90 + 0 + 90 - 1e-4) / 3)
    assert np.isnan(joint_angle_errors_deg(bent, x)["right_knee"])
    with pytest.raises(InputError):
        joint_angles_deg(x[:, :5])


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_angles_ignore_similarities_and_mirrors(seed):
    rng = np.random.default_rng(seed)
    x = poses(rng)
    moved = joint_angles_deg(similarity(rng, x, (6,)))
    mirrored = joint_angles_deg((x * [-1, 1, 1])[:, H36M17.flip_permutation])
    for name, angle in joint_angles_deg(x).items():
        assert np.allclose(moved[name], angle, atol=1e-7)
        other = name.replace("left", "R").replace("right", "left").replace("R", "right")
        assert np.allclose(mirrored[other], angle, atol=1e-9)


def test_bone_length_spread():
    x = np.zeros((4, 17, 3))
    x[:, 2, 2] = [0.9, 1.1, 0.9, 1.1]  # right knee; hip stays at the origin
    x[3, 16] = np.nan
    spread = bone_length_spread(x)
    assert spread["right_hip-right_knee"] == pytest.approx(0.1)
    assert np.isnan(spread["pelvis-right_hip"])  # no length at all
    assert len(spread) == len(H36M17.bones)
    assert bone_length_spread(x, bones=[("right_hip", "right_knee")]) == {"right_hip-right_knee": pytest.approx(0.1)}
    with pytest.raises(InputError):
        bone_length_spread(x[:, :5])


def test_evaluate_table():
    rng = np.random.default_rng(8)
    y = poses(rng, frames=9, batch=(2,))
    p = y + 0.03 * rng.normal(size=y.shape)
    p[1, 4] = np.nan
    result = evaluate(p, y, names=["left", "right"], fps=60, exclude="asp")
    assert result.rows["left"]["pa_mpjpe_mm"] == pytest.approx(float(pa_mpjpe(p[0], y[0], exclude="asp")))
    assert result["mpjpe_mm"] == pytest.approx(np.mean([result.rows[n]["mpjpe_mm"] for n in ("left", "right")]))
    assert result.n_frames == {"left": 9, "right": 8}
    assert result.mean["velocity_mm_per_s"] == pytest.approx(60 * result.mean["velocity_mm_per_frame"])
    assert result.excluded == ("nose", "head") and "nose" not in result.per_joint_pa_mm
    assert 0 < result.mean["knee_angle_deg"] < 60 and "ankle_angle_deg" not in result.mean
    table = result.markdown(metrics=["pa_mpjpe_mm", "knee_angle_deg"])
    assert table.splitlines()[0] == "| sequence | frames | PA-MPJPE mm | knee_angle_deg |"
    assert len(table.splitlines()) == 5 and table.splitlines()[-1].startswith("| mean | 17 |")
    empty = evaluate(np.full_like(y, np.nan), y)
    assert empty.to_dict()["mean"]["mpjpe_mm"] is None and "| - |" in empty.markdown()
    shared = evaluate(p, y[0])
    assert shared.rows["sequence 0"]["mpjpe_mm"] == pytest.approx(float(mpjpe(p[0], y[0])))
    with pytest.raises(InputError):
        evaluate(p, y, names=["a", "a"])
    with pytest.raises(InputError):
        evaluate(p, y[:, :5])


def test_aspset_mapping_fixed_numbers():
    a = np.stack([np.arange(17.0), np.arange(17.0) ** 2, -np.arange(17.0)], -1)
    h = aspset17_to_h36m17(a)
    copied = {1: 2, 2: 1, 3: 0, 4: 8, 5: 7, 6: 6, 9: 13, 10: 12, 11: 11, 12: 10, 13: 9, 14: 5, 15: 4, 16: 3}
    for target, source in copied.items():
        assert np.array_equal(h[target], a[source])
    assert np.allclose(h[0], [5, (4 + 64) / 2, -5])
    assert np.allclose(h[7], [6.5, (4 + 64 + 25 + 121) / 4, -6.5])
    m = np.array([8, (25 + 121) / 2, -8])
    assert np.allclose(h[8], m + (a[13] - m) / 3)
    a[5] = np.nan
    h = aspset17_to_h36m17(a)
    assert np.isnan(h[[7, 8, 14]]).all() and np.isfinite(np.delete(h, [7, 8, 14], 0)).all()
    with pytest.raises(InputError):
        aspset17_to_h36m17(np.zeros((16, 3)))

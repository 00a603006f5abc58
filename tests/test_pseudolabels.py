"""Pseudo-labels: geometry, gates, weights, split, smoothing, files."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sportcore.errors import InputError
from sportcore.pseudolabels import (
    Part,
    PseudoLabelOptions,
    PseudoLabels,
    clip_starts,
    make_pseudolabels,
    split_time,
    whittaker_smooth,
)
from sportcore.skeletons import COCO17, H36M17
from sportcore.types import Camera, Keypoints2D, Points3D, PointStatus, Rig

PLAIN = PseudoLabelOptions(smooth_cutoff_hz=None)


def rig_of(count=3):
    cameras = []
    for i in range(count):
        a = 2 * np.pi * i / count
        centre = np.array([5 * np.cos(a), 5 * np.sin(a), 1.5])
        z = np.array([0, 0, 1.0]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 0, 1])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        K = np.array([[1200.0, 0, 959.5], [0, 1200.0, 539.5], [0, 0, 1]])
        cameras.append(Camera(f"c{i}", (1920, 1080), K, R=R, t=-R @ centre))
    return Rig(tuple(cameras))


def scene(T=200, count=3, skeleton=H36M17, seed=0):
    """A rig, what it sees and the exact reconstruction."""
    rng = np.random.default_rng(seed)
    rig = rig_of(count)
    J = skeleton.n_joints
    body = rng.normal(size=(1, J, 3)) * [0.3, 0.3, 0.5] + [0, 0, 1]
    xyz = body + 0.2 * np.sin(np.arange(T)[:, None, None] / 15 + rng.uniform(0, 6, size=(1, J, 3)))
    cam = np.einsum("cij,tnj->ctni", rig.R, xyz) + rig.t[:, None, None]
    h = np.einsum("cij,ctnj->ctni", rig.K, cam)
    xy = h[..., :2] / h[..., 2:]
    kp = Keypoints2D(xy, np.full(xy.shape[:3], 0.9), skeleton, fps=50.0, names=rig.names, image_sizes=rig.image_sizes)
    points = Points3D(
        xyz, np.broadcast_to(np.eye(3) * 0.004**2, (T, J, 3, 3)).copy(), np.full((count, T, J), 1.5),
        np.ones((count, T, J), bool), np.full((T, J), count), np.zeros((T, J), np.uint8), skeleton, fps=50.0,
    )  # fmt: skip
    return rig, kp, points


def test_labels_are_the_joints_in_each_camera_and_project_onto_the_input():
    rig, kp, points = scene()
    labels = make_pseudolabels(kp, points, rig, PLAIN)
    h = np.einsum("cij,ctnj->ctni", labels.K, labels.pose_cam_m)
    assert np.allclose(h[..., :2] / h[..., 2:], labels.xy, atol=1e-9)
    assert np.allclose(labels.pose_cam_m[1, 7], points.xyz[7] @ rig.R[1].T + rig.t[1])
    # sigma 4 mm at joint and pelvis against 20 mm: w = 1 / (1 + 2 (4 / 20)^2)
    assert np.allclose(labels.weight[:, :, 1:], 1 / 1.08) and np.allclose(labels.weight[:, :, 0], 1 / 1.04)
    assert labels.gates["passed"] == labels.gates["joints"] == 200 * 17
    assert labels.names == rig.names and labels.fps == 50.0
    assert np.allclose(labels.root_relative()[:, :, 0], 0)
    full = make_pseudolabels(kp, points, rig, PseudoLabelOptions(sigma_half_weight_mm=None))
    assert (full.weight == 1).all()


def test_every_gate_takes_what_it_should_and_nothing_is_filled():
    rig, kp, points = scene()
    cov, res, views = points.covariance.copy(), points.residual_px.copy(), points.n_views.copy()
    status, xyz, xy, score = points.status.copy(), points.xyz.copy(), kp.xy.copy(), kp.score.copy()
    status[3, 4] = PointStatus.LARGE_RESIDUAL
    xyz[4, 5] = np.nan
    views[5, 6] = 2
    cov[6, 7] = np.diag([1e-6, 1e-6, 0.07**2])  # 70 mm in one direction
    res[:, 8, 8] = 26
    status[9, 0] = PointStatus.NO_CONSENSUS  # the pelvis: the whole frame has no root
    xy[2, 10] = np.nan  # camera 2 sees nobody in frame 10
    score[1, 11, :13] = 0  # camera 1 sees four joints in frame 11
    kp = kp.replace(xy=xy, score=score)
    points = points.replace(covariance=cov, residual_px=res, n_views=views, status=status, xyz=xyz)
    before = points.xyz.copy()
    labels = make_pseudolabels(kp, points, rig, PseudoLabelOptions(min_views=3))
    for t, j in ((3, 4), (4, 5), (5, 6), (6, 7), (8, 8)):
        assert (labels.weight[:, t, j] == 0).all() and np.isnan(labels.pose_cam_m[:, t, j]).all()
        assert (labels.weight[:, t, j - 1] > 0).all()
    assert (labels.weight[:, 9] == 0).all()
    assert (labels.weight[2, 10] == 0).all() and (labels.weight[:2, 10] > 0).all()
    assert (labels.weight[1, 11] == 0).all() and (labels.weight[[0, 2], 11] > 0).all()
    expected = {"status_large_residual": 1, "status_no_consensus": 1, "not_finite": 1, "views": 1, "sigma": 1,
                "residual": 1, "pelvis_missing": 16, "camera_frames_without_person": 2}  # fmt: skip
    assert {k: labels.gates[k] for k in expected} == expected
    assert labels.gates["passed"] == 200 * 17 - 5 - 17
    assert np.array_equal(points.xyz, before, equal_nan=True)
    off = make_pseudolabels(kp, points, rig, PseudoLabelOptions(max_sigma_mm=None, max_residual_px=None))
    assert (off.weight[:, 6, 7] > 0).all() and (off.weight[:, 8, 8] > 0).all()


def test_behind_a_camera():
    rig, kp, points = scene()
    xyz = points.xyz.copy()
    xyz[20, 16] = rig[0].center_world - 0.5 * rig[0].R[2]  # behind camera 0, in front of the others
    labels = make_pseudolabels(kp, points.replace(xyz=xyz), rig, PLAIN)
    assert labels.weight[0, 20, 16] == 0 and np.isnan(labels.pose_cam_m[0, 20, 16]).all()
    assert (labels.weight[1:, 20, 16] > 0).all() and labels.gates["camera_joints_behind_camera"] == 1


def test_less_certain_labels_weigh_less_and_the_pelvis_counts():
    rig, kp, points = scene()
    cov = points.covariance.copy()
    cov[0, 3] *= 25  # 20 mm
    cov[1, 0] *= 25  # an uncertain pelvis makes every joint of the frame uncertain
    w = make_pseudolabels(kp, points.replace(covariance=cov), rig).weight
    assert w[0, 0, 3] == pytest.approx(1 / (1 + (20**2 + 4**2) / 20**2))
    assert w[0, 1, 5] == pytest.approx(w[0, 0, 3]) and w[0, 1, 0] == pytest.approx(0.5)


def test_other_skeletons_are_converted_in_2d_and_3d():
    rig, kp, points = scene(skeleton=COCO17)
    labels = make_pseudolabels(kp, points, rig, PLAIN)
    hips = points.xyz[:, [COCO17.index("left_hip"), COCO17.index("right_hip")]].mean(1)
    assert np.allclose(labels.pose_cam_m[0, :, 0], hips @ rig.R[0].T + rig.t[0])
    assert np.allclose(labels.pose_cam_m[0, :, H36M17.index("left_wrist")],
                       points.xyz[:, COCO17.index("left_wrist")] @ rig.R[0].T + rig.t[0])  # fmt: skip
    assert labels.xy.shape == (3, 200, 17, 2)
    assert (labels.weight > 0).all()
    # An average of two joints is more certain than each.
    assert (labels.weight[:, :, 0] > 1 / 1.04 + 1e-6).all()


def test_cameras_are_matched_by_name_and_refused_otherwise():
    rig, kp, points = scene()
    shuffled = rig.subset(["c2", "c0", "c1"])
    assert np.array_equal(make_pseudolabels(kp, points, shuffled).pose_cam_m,
                          make_pseudolabels(kp, points, rig).pose_cam_m)  # fmt: skip
    with pytest.raises(InputError, match="cameras"):
        make_pseudolabels(kp, points, rig.subset(["c0", "c1"]))
    with pytest.raises(InputError, match="frames"):
        make_pseudolabels(kp.frames(slice(0, 100)), points, rig)
    with pytest.raises(InputError, match="too short"):
        make_pseudolabels(kp.frames(slice(0, 12)), scene(T=12)[2], rig)


def test_metres_or_baselines():
    rig, kp, points = scene()
    metric = make_pseudolabels(kp, points, rig, PLAIN)
    published = make_pseudolabels(kp, points, rig, PseudoLabelOptions.published())
    baseline = np.linalg.norm(rig[0].center_world - rig[1].center_world)
    assert np.allclose(published.pose_cam_m * baseline, metric.pose_cam_m)
    assert (published.weight == 1).all()
    assert (published.split[:180] == Part.TRAIN).all() and (published.split[180:] == Part.VAL).all()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(60, 4000), val=st.floats(0.05, 0.3), test=st.sampled_from([0.0, 0.1, 0.25]),
    guard=st.integers(0, 10), block=st.integers(20, 120), length=st.integers(1, 81),
    stride=st.integers(1, 30),
)  # fmt: skip
def test_split_and_clips(n, val, test, guard, block, length, stride):
    options = PseudoLabelOptions(val_fraction=val, test_fraction=test, guard_frames=guard, block_frames=block)
    try:
        split = split_time(n, options)
    except InputError as error:
        assert "too short" in str(error) and n < 400
        return
    assert np.array_equal(split, split_time(n, options))
    changes = np.flatnonzero(np.diff(split))
    for part in (Part.VAL, Part.TEST):
        share = (split == part).mean()
        assert share == pytest.approx(val if part == Part.VAL else test, abs=0.05 + 60 / n)
    if guard:
        # Two frames of different parts are never neighbours.
        for i in changes:
            assert split[i] == Part.GUARD or split[i + 1] == Part.GUARD
    seen = {}
    for part in (Part.TRAIN, Part.VAL, Part.TEST):
        clips = clip_starts(split, part, length, stride)
        covered = np.zeros(n, bool)
        for start, count in clips:
            assert 1 <= count <= length and (split[start : start + count] == part).all()
            covered[start : start + count] = True
        if stride <= length:
            assert np.array_equal(covered, split == part)
        seen[part] = covered
    assert not (seen[Part.TRAIN] & (seen[Part.VAL] | seen[Part.TEST])).any()


def test_a_long_recording_gets_several_cycles_a_short_one_gets_one():
    options = PseudoLabelOptions()
    assert len(list(itertools.groupby(split_time(100, options)))) == 5
    long = split_time(6000, options)
    assert np.count_nonzero(np.diff((long == Part.TEST).astype(int)) == 1) == 10


def test_whittaker_against_dense_solution_and_half_amplitude():
    rng = np.random.default_rng(0)
    T, fps, cutoff = 60, 60.0, 5.0
    y, w = rng.normal(size=(T, 2, 3)), rng.uniform(0.2, 3, size=(T, 2))
    y[10:14, 0] = np.nan
    out = whittaker_smooth(y, w, fps=fps, cutoff_hz=cutoff)
    D = np.diff(np.eye(T), n=3, axis=0)
    lam = (2 * np.sin(np.pi * cutoff / fps)) ** -6
    good = np.isfinite(y[:, 0, 0])
    wn = np.where(good, w[:, 0], 0) / np.median(w[good, 0])
    dense = np.linalg.solve(np.diag(wn) + lam * D.T @ D, wn[:, None] * np.nan_to_num(y[:, 0]))
    assert np.allclose(out[good, 0], dense[good])
    assert np.isnan(out[10:14, 0]).all()
    t = np.arange(600) / fps
    sine = np.sin(2 * np.pi * cutoff * t)[:, None, None] * np.ones((1, 1, 3))
    kept = whittaker_smooth(sine, np.ones((600, 1)), fps=fps, cutoff_hz=cutoff)
    assert np.abs(kept[200:400]).max() == pytest.approx(0.5, abs=0.01)
    parabola = (t**2)[:, None, None] * np.ones((1, 1, 3))  # the third difference of a parabola is zero
    assert np.allclose(whittaker_smooth(parabola, np.ones((600, 1)), fps=fps, cutoff_hz=1.0), parabola, atol=1e-6)
    with pytest.raises(InputError, match="cutoff"):
        whittaker_smooth(y, w, fps=60, cutoff_hz=31)


def test_smoothing_option_helps_noisy_labels_and_keeps_gaps():
    rig, kp, points = scene()
    rng = np.random.default_rng(1)
    noisy = points.xyz + 0.01 * rng.normal(size=points.xyz.shape)
    status = points.status.copy()
    status[50:53, 4] = PointStatus.TOO_FEW_VIEWS
    hurt = points.replace(xyz=noisy, status=status)
    plain = make_pseudolabels(kp, hurt, rig, PLAIN)
    smooth = make_pseudolabels(kp, hurt, rig, PseudoLabelOptions(smooth_cutoff_hz=8.0))
    truth = make_pseudolabels(kp, points, rig, PLAIN).pose_cam_m

    def error(a):
        return np.nanmean(np.linalg.norm(a.pose_cam_m - truth, axis=-1))

    assert error(smooth) < 0.7 * error(plain)
    assert np.array_equal(smooth.weight, plain.weight) and np.isnan(smooth.pose_cam_m[:, 50:53, 4]).all()
    for still in (hurt.replace(fps=None), hurt):  # no frame rate; 10 frames/s, too slow for a cutoff of 8 Hz
        slow = kp.replace(fps=None if still.fps is None else 10.0)
        same = make_pseudolabels(slow, still, rig, PseudoLabelOptions(smooth_cutoff_hz=8.0))
        assert np.array_equal(same.pose_cam_m, plain.pose_cam_m, equal_nan=True)


def test_files(tmp_path):
    rig, kp, points = scene(T=80)
    status = points.status.copy()
    status[7] = PointStatus.TOO_FEW_VIEWS
    labels = make_pseudolabels(kp, points.replace(status=status), rig, PseudoLabelOptions(max_sigma_mm=55.0))
    path = labels.save(tmp_path / "labels.npz")
    back = PseudoLabels.load(path)
    for name in ("xy", "score", "K", "image_size", "pose_cam_m", "weight", "split"):
        assert np.array_equal(getattr(back, name), getattr(labels, name), equal_nan=name in ("xy", "pose_cam_m"))
    assert (back.options, back.gates, back.names, back.fps) == (
        labels.options,
        labels.gates,
        labels.names,
        50.0,
    )
    assert back.digest() == labels.digest() != labels.with_split(Part.TEST).digest()
    assert back.summary()["gates"]["status_too_few_views"] == 17
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError):
        PseudoLabels.load(path)
    np.savez(path, a=1)
    with pytest.raises(InputError):
        PseudoLabels.load(path)


def test_validation():
    for bad in (
        {"max_sigma_mm": 0}, {"min_views": 1}, {"val_fraction": 1.0},
        {"val_fraction": 0.5, "test_fraction": 0.4},
        {"guard_frames": -1}, {"scale": "feet"}, {"smooth_cutoff_hz": -2}, {"min_observed_joints": 0},
    ):  # fmt: skip
        with pytest.raises(InputError):
            PseudoLabelOptions(**bad)
    rig, kp, points = scene(T=60)
    labels = make_pseudolabels(kp, points, rig)
    with pytest.raises(InputError, match="weight"):
        dataclasses.replace(labels, weight=labels.weight * 3)
    with pytest.raises(InputError, match="no label"):
        dataclasses.replace(labels, pose_cam_m=labels.pose_cam_m * np.nan)
    with pytest.raises(InputError, match="shape"):
        dataclasses.replace(labels, split=labels.split[:5])
    assert labels.keypoints(slice(0, 10)).n_frames == 10 and labels.intrinsics().names == rig.names


def test_lens_distortion_is_removed_from_the_inputs():
    pytest.importorskip("sportcore._core")
    import cv2

    rig, kp, points = scene(T=60)
    D = np.array([-0.2, 0.05, 0.001, -0.001, 0.01])
    bent = Rig(tuple(c.replace(distortion=D) for c in rig))
    xy = np.stack(
        [
            cv2.projectPoints(points.xyz.reshape(-1, 3), cv2.Rodrigues(c.R)[0], c.t, c.K, D)[0].reshape(60, 17, 2)
            for c in bent
        ]
    )
    xy[0, 5, 3] = np.nan
    labels = make_pseudolabels(kp.replace(xy=xy), points, bent)
    assert np.isnan(labels.xy[0, 5, 3]).all() and labels.intrinsics()[0].model == "pinhole"
    difference = np.nan_to_num(labels.xy - kp.xy)
    assert np.abs(xy - kp.xy)[1].max() > 1 and np.abs(difference).max() < 1e-5

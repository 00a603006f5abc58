"""The interface of the lifters: recordings in, poses out, files, and what happens to bad input."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import sportcore as sc
from sportcore.errors import InputError, WeightsError
from sportcore.types import Camera, Keypoints2D, Rig

torch = pytest.importorskip("torch")

from sportcore.lifting import CompactConfig, CompactLifter, RayLifter, load_lifter  # noqa: E402
from sportcore.lifting.files import shipped_weights  # noqa: E402
from sportcore.lifting.protocol import pose_errors_mm  # noqa: E402

K = np.array([[1500.0, 0, 960], [0, 1500, 540], [0, 0, 1]])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def camera(name: str = "a", azimuth: float = 0.4, distance: float = 6.0) -> Camera:
    centre = np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), 1.5])
    forward = np.array([0, 0, 0.9]) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return Camera(name, (1920, 1080), K, R=R, t=-R @ centre)


def walker(frames: int = 60, fps: float = 60.0) -> np.ndarray:
    """(T, 17, 3) a person of 1.7 m who walks on the spot: legs and arms swing, knees and elbows bend."""
    t = np.arange(frames) / fps
    swing = 0.45 * np.sin(2 * np.pi * t)
    out = np.zeros((frames, 17, 3))
    out[:, 0] = np.stack([0.05 * np.sin(t), 0 * t, 0.9 + 0.02 * np.cos(4 * np.pi * t)], -1)

    def down(angle, length):
        return np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1) * length

    out[:, 7] = out[:, 0] + [0, 0, 0.28]
    out[:, 8] = out[:, 7] + [0, 0, 0.23]
    out[:, 9] = out[:, 8] + [0.1, 0, 0.12]
    out[:, 10] = out[:, 9] + [-0.07, 0, 0.14]
    for hip, shoulder, side, sign in ((1, 14, -1, 1), (4, 11, 1, -1)):
        out[:, hip] = out[:, 0] + [0, side * 0.09, 0]
        out[:, hip + 1] = out[:, hip] + down(sign * swing, 0.38)
        out[:, hip + 2] = out[:, hip + 1] + down(sign * swing - 0.35 + 0.3 * np.cos(2 * np.pi * t) * sign, 0.44)
        out[:, shoulder] = out[:, 8] + [0, side * 0.15, -0.03]
        out[:, shoulder + 1] = out[:, shoulder] + down(-sign * swing, 0.28)
        out[:, shoulder + 2] = out[:, shoulder + 1] + down(-sign * swing + 0.4, 0.24)
    return out


def observe(points: np.ndarray, cameras: list[Camera], sigma: float = 0.0) -> Keypoints2D:
    rng = np.random.default_rng(0)
    views = []
    for c in cameras:
        p = (points @ c.R.T + c.t) @ c.K.T
        views.append(p[..., :2] / p[..., 2:] + rng.normal(size=(*points.shape[:2], 2)) * sigma)
    xy = np.stack(views)
    sizes = [c.image_size for c in cameras]
    names = tuple(c.name for c in cameras)
    return Keypoints2D(xy, np.ones(xy.shape[:3]), "h36m17", fps=60, image_sizes=sizes, names=names)


@pytest.fixture(scope="module")
def small() -> RayLifter:
    torch.manual_seed(0)
    module = CompactLifter(CompactConfig(n_frames=9, width=32, hidden=32, time_hidden=9, depth=2))
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.02)
    return RayLifter(module, "small")


def test_encode_targets_decode_round_trip(small):
    cam = camera()
    pose = (walker(18) @ cam.R.T + cam.t).reshape(2, 9, 17, 3)
    kp = observe(walker(18), [cam])
    inputs, context = small.encode(kp.xy.reshape(2, 9, 17, 2), None, K, (1920, 1080))
    target = small.encode_targets(torch.tensor(pose, dtype=torch.float32), context)
    back = small.decode(target, context).numpy()
    assert inputs.shape == (2, 9, 17, 6) and inputs.dtype == torch.float32
    np.testing.assert_allclose(back, pose - pose[:, :, :1], atol=2e-6)


def test_flip_average_is_equivariant(small):
    kp = observe(walker(18), [camera()])
    inputs, _ = small.encode(kp.xy.reshape(2, 9, 17, 2), None, K, (1920, 1080))
    out = small.predict(inputs)
    mirrored = small.predict(small.mirror_inputs(inputs))
    assert torch.allclose(mirrored, small.mirror_outputs(out), atol=1e-6)
    plain = small.predict(inputs, flip_average=False)
    plain_mirrored = small.predict(small.mirror_inputs(inputs), flip_average=False)
    assert not torch.allclose(plain_mirrored, small.mirror_outputs(plain), atol=1e-3)


def test_a_mirrored_recording_gives_the_mirrored_motion(small):
    """End to end: the picture mirrored, left and right exchanged, and the poses are the mirror image."""
    cam = camera()
    kp = observe(walker(30), [cam])
    flip = sc.H36M17.flip_permutation
    xy = kp.xy[:, :, flip].copy()
    xy[..., 0] = 2 * K[0, 2] - xy[..., 0]
    a = small.lift(kp, Rig((cam,)))
    b = small.lift(kp.replace(xy=xy), Rig((cam,)))
    np.testing.assert_allclose(b, a[:, :, flip] * [-1, 1, 1], atol=1e-5)


def test_lift_equals_window_by_window(small):
    cam = camera()
    kp = observe(walker(18), [cam])
    whole = small.lift(kp, Rig((cam,)), stride=9)
    inputs, context = small.encode(kp.xy.reshape(2, 9, 17, 2), None, K, (1920, 1080))
    parts = small.decode(small.predict(inputs), context).numpy().reshape(18, 17, 3)
    np.testing.assert_allclose(whole[0], parts, atol=1e-6)


def test_lift_is_deterministic_and_leaves_the_network_alone(small):
    cam = camera()
    kp = observe(walker(40), [cam])
    before = {k: v.clone() for k, v in small.module.state_dict().items()}
    small.module.train()
    one = small.lift(kp, Rig((cam,)), batch_size=2)
    assert small.module.training
    small.module.eval()
    two = small.lift(kp, Rig((cam,)), batch_size=64)
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.array_equal(two, small.lift(kp, Rig((cam,)), batch_size=64))
    assert all(torch.equal(before[k], v) for k, v in small.module.state_dict().items())


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 10])
def test_short_recordings(small, frames):
    cam = camera()
    out = small.lift(observe(walker(frames), [cam]), Rig((cam,)))
    assert out.shape == (1, frames, 17, 3) and np.isfinite(out).all()
    assert (out[:, :, 0] == 0).all()


def test_frames_with_nothing_observed_stay_empty(small):
    cams = [camera("a"), camera("b", 2.0)]
    kp = observe(walker(40), cams)
    xy, score = kp.xy.copy(), kp.score.copy()
    xy[0, 10:20], score[0, 10:20] = np.nan, 0
    xy[1], score[1] = np.nan, 0
    xy[0, 25, 3], score[0, 25, 3] = np.nan, 0
    out = small.lift(kp.replace(xy=xy, score=score), Rig(tuple(cams)))
    assert np.isnan(out[0, 10:20]).all() and np.isnan(out[1]).all()
    assert np.isfinite(out[0, :10]).all() and np.isfinite(out[0, 20:]).all()  # one missing joint is estimated


def test_other_skeletons_are_converted(small):
    coco = np.random.default_rng(0).normal(size=(1, 9, 17, 2)) * 100 + [960, 540]
    kp = Keypoints2D(coco, np.ones((1, 9, 17)), "coco17")
    assert small.lift(kp, Rig((camera(),))).shape == (1, 9, 17, 3)


def test_unknown_intrinsics_are_assumed_and_said(small, caplog):
    kp = observe(walker(9), [camera()])
    with caplog.at_level(logging.WARNING):
        out = small.lift(kp)
    assert np.isfinite(out).all() and "1536 px" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        a, _ = small.encode(kp.xy, None, None, (1920, 1080))
    guess = np.array([[1536.0, 0, 959.5], [0, 1536, 539.5], [0, 0, 1]])
    b, _ = small.encode(kp.xy, None, guess, (1920, 1080))
    assert "assuming" in caplog.text and torch.equal(a, b)
    with pytest.raises(InputError, match="Neither intrinsics nor image sizes"):
        small.lift(kp.replace(image_sizes=None))


def test_distortion_is_removed(small):
    pytest.importorskip("sportcore.points3d", reason="the C++ core is not built")
    import cv2

    cam = camera()
    coefficients = np.array([-0.2, 0.05, 0.001, -0.001, 0.0])
    points = walker(9)
    kp = observe(points, [cam])
    bent, _ = cv2.projectPoints(points.reshape(-1, 3), cv2.Rodrigues(cam.R)[0], cam.t, K, coefficients)
    straight = small.lift(kp, Rig((cam,)))
    out = small.lift(kp.replace(xy=bent.reshape(1, 9, 17, 2)), Rig((cam.replace(distortion=coefficients),)))
    np.testing.assert_allclose(out, straight, atol=1e-4)


def test_cameras_are_matched_by_name_else_by_order(small):
    cams = [camera("a"), camera("b", 2.0)]
    other = cams[1].replace(K=K * [[1.5], [1.5], [1]])
    kp = observe(walker(9), cams)
    a = small.lift(kp, Rig((cams[0], other)))
    np.testing.assert_array_equal(a, small.lift(kp, Rig((other, cams[0]))))
    np.testing.assert_array_equal(a, small.lift(kp.replace(names=("x", "y")), Rig((cams[0], other))))
    with pytest.raises(InputError, match="do not fit"):
        small.lift(kp.replace(names=("x", "y")), Rig((cams[0],)))


def test_progress_and_cancelling(small):
    cam = camera()
    calls = []
    small.lift(
        observe(walker(60), [cam, camera("b", 2)]),
        None,
        batch_size=4,
        progress=lambda *a: calls.append(a),
    )
    assert calls[-1][0] == calls[-1][1] and calls[0][2] == "a" and calls[-1][2] == "b"
    assert all(x[0] <= y[0] for x, y in zip(calls, calls[1:], strict=False))

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.lift(observe(walker(60), [cam]), Rig((cam,)), progress=stop)


def test_wrong_shapes_are_refused(small):
    good = np.zeros((2, 9, 17, 2))
    for arguments, message in (
        ((np.zeros((2, 9, 16, 2)), None, K, (1920, 1080)), "xy must be"),
        ((good, np.ones((2, 9)), K, (1920, 1080)), "score must be"),
        ((good, None, np.zeros((3, 3)), (1920, 1080)), "K must be"),
        ((good, None, K, (0, 1080)), "image_size must be"),
        ((good, None, np.stack([K] * 3), (1920, 1080)), "K must be"),
    ):
        with pytest.raises(InputError, match=message):
            small.encode(*arguments)
    with pytest.raises(InputError, match="expects"):
        small.predict(torch.zeros(1, 27, 17, 6))


def test_files_round_trip(small, tmp_path):
    path = tmp_path / "tuned.safetensors"
    small.save(path, {"sport": "running", "errors_mm": [1.5]})
    again = sc.load_lifter(path)
    assert again.name == "small" and again.metadata["sport"] == "running" and again.metric
    assert again.module.config == small.module.config
    for key, value in small.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[key], value), key


def test_damaged_files_are_refused(small, tmp_path):
    path = tmp_path / "tuned.safetensors"
    small.save(path)
    whole = path.read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("noise", b"\x00" * 4096)):
        bad = tmp_path / f"{name}.safetensors"
        bad.write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            load_lifter(bad)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not one of a sportcore lifter"):
        load_lifter(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="No file"):
        load_lifter(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="No lifter"):
        load_lifter("bass")
    poisoned = RayLifter(CompactLifter(CompactConfig(n_frames=3, width=8, hidden=8, time_hidden=3, depth=1)))
    with torch.no_grad():
        poisoned.module.head.bias[0] = torch.nan
    poisoned.save(tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        load_lifter(tmp_path / "nan.safetensors")


def _base_or_skip() -> RayLifter:
    try:
        shipped_weights("base")
    except WeightsError as error:
        pytest.skip(str(error))
    return load_lifter("base")


def test_base_is_small_and_has_its_recipe():
    base = _base_or_skip()
    path = shipped_weights("base")
    assert path.stat().st_size < 10_000_000
    recipe = base.metadata["recipe"]
    assert recipe["steps"] > 0 and "options" in recipe
    assert path.with_suffix(".json").is_file()


def test_base_lifts_a_walking_person():
    """A stick figure it never saw, with 3 px of noise: PA-MPJPE below 45 mm over four views, 70 mm in each."""
    base = _base_or_skip()
    cams = [camera(f"c{i}", 0.3 + np.pi / 2 * i) for i in range(4)]
    points = walker(81)
    out = base.lift(observe(points, cams, sigma=3.0), Rig(tuple(cams)))
    errors = [
        pose_errors_mm(torch.tensor(out[c]), torch.tensor(points @ cam.R.T + cam.t)) for c, cam in enumerate(cams)
    ]
    aligned = [e["pa_mpjpe_mm"] for e in errors]
    assert np.mean(aligned) < 45 and max(aligned) < 70, errors
    assert max(e["mpjpe_mm"] for e in errors) < 90, errors

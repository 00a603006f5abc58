"""Types: frozen, checked, with private copies of what they are given."""

from __future__ import annotations

import json

import numpy as np
import pytest

import sportcore as sc
from sportcore.errors import InputError

K = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])


def camera(name: str = "a", **kw: object) -> sc.Camera:
    return sc.Camera(**{"name": name, "image_size": (640, 480), "K": K, **kw})  # type: ignore[arg-type]


def points(T: int = 4) -> sc.Points3D:
    rng = np.random.default_rng(0)
    cov = np.broadcast_to(np.eye(3) * 1e-4, (T, 17, 3, 3))
    return sc.Points3D(
        rng.normal(size=(T, 17, 3)), cov, np.ones((2, T, 17)), np.ones((2, T, 17), bool),
        np.full((T, 17), 2), np.zeros((T, 17), np.uint8), "coco17", fps=50,
    )  # fmt: skip


def test_arrays_are_copied_and_read_only() -> None:
    mine = K.copy()
    c = camera(K=mine)
    mine[0, 0] = 5
    assert c.K[0, 0] == 1000
    with pytest.raises(ValueError):
        c.K[0, 0] = 1
    with pytest.raises(AttributeError):
        c.name = "b"  # type: ignore[misc]


def test_camera_centre_and_projection_matrix() -> None:
    R = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)
    c = camera(R=R, t=[1, 2, 3])
    np.testing.assert_allclose(R @ c.center_world + c.t, 0, atol=1e-12)
    X = np.array([4.0, 0.2, 0.1, 1])
    p = c.P @ X
    x = R @ X[:3] + c.t
    np.testing.assert_allclose(p[:2] / p[2], (K @ x)[:2] / x[2])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"K": np.eye(2)}, "3x3"),
        ({"K": np.diag([-1.0, 1, 1])}, "focal"),
        ({"image_size": (0, 5)}, "image_size"),
        ({"distortion": [0.1, 0.2]}, "coefficients"),
        ({"model": "brwon"}, "unknown camera model"),
        ({"R": np.eye(3) * 1.1}, "rotation"),
        ({"R": np.diag([1.0, 1, -1])}, "rotation"),
        ({"t": [np.nan, 0, 0]}, "finite"),
        ({"model": "pinhole", "distortion": [0.1, 0, 0, 0]}, "coefficients"),
    ],
)
def test_a_bad_camera_is_refused_by_name(change: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match) as error:
        camera("left", **change)
    assert "left" in str(error.value)


def test_rig_is_ordered_and_named() -> None:
    rig = sc.Rig([camera("b"), camera("a", t=[0, 0, 1])])
    assert rig.names == ("b", "a") and len(rig) == 2 and rig["a"].t[2] == 1 and rig[0].name == "b"
    assert rig.K.shape == (2, 3, 3) and rig.R.shape == (2, 3, 3) and rig.t.shape == (2, 3)
    assert rig.subset(["a"]).names == ("a",)
    moved = rig.with_poses(rig.R, rig.t + 1)
    np.testing.assert_allclose(moved.t, rig.t + 1)
    assert rig == sc.Rig([camera("b"), camera("a", t=[0, 0, 1])]) and rig != moved
    with pytest.raises(InputError, match="twice: a"):
        sc.Rig([camera("a"), camera("a")])
    with pytest.raises(KeyError, match="it has|rig has"):
        rig["c"]


def test_keypoints_mark_missing_consistently() -> None:
    xy, score = np.ones((2, 3, 17, 2)), np.full((2, 3, 17), 0.5)
    xy[0, 0, 0, 1] = np.nan
    xy[1, 1, 1] = np.inf
    kp = sc.Keypoints2D(xy, score, "coco17", fps=25)
    assert np.isnan(kp.xy[0, 0, 0]).all() and np.isnan(kp.xy[1, 1, 1]).all()
    assert kp.score[0, 0, 0] == 0 and not kp.observed[1, 1, 1] and kp.observed.sum() == 2 * 3 * 17 - 2
    assert xy[0, 0, 0, 0] == 1 and score[0, 0, 0] == 0.5  # the caller's arrays are as they were
    part = kp.frames(slice(1, 3))
    assert part.n_frames == 2 and not part.observed[1, 0, 1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"xy": np.ones((2, 3, 16, 2)), "score": np.ones((2, 3, 16))}, "joints"),
        ({"score": np.ones((2, 3, 16))}, "score must be"),
        ({"score": np.full((2, 3, 17), 1.5)}, r"\[0, 1\]"),
        ({"score": np.full((2, 3, 17), np.nan)}, r"\[0, 1\]"),
        ({"fps": 0}, "fps"),
        ({"times": np.zeros((3, 3))}, "times"),
        ({"names": ("a", "a")}, "names"),
        ({"skeleton": "nonsense"}, "Unknown skeleton"),
        ({"xy": [[1, 2], [3]]}, "regular array"),
    ],
)
def test_bad_keypoints_are_refused(change: dict[str, object], match: str) -> None:
    good = {"xy": np.ones((2, 3, 17, 2)), "score": np.ones((2, 3, 17)), "skeleton": "coco17"}
    with pytest.raises(InputError, match=match):
        sc.Keypoints2D(**{**good, **change})  # type: ignore[arg-type]


def test_points_convert_with_their_uncertainty() -> None:
    p = points()
    h = p.to_skeleton("h36m17")
    assert h.xyz.shape == (4, 17, 3) and h.ok.all()
    np.testing.assert_allclose(h.sigma_m[:, 0], 0.01 / np.sqrt(2))
    status = p.status.copy()
    xyz = p.xyz.copy()
    status[1, 11], xyz[1, 11] = sc.PointStatus.NO_CONSENSUS, np.nan
    h = p.replace(status=status, xyz=xyz).to_skeleton("h36m17")
    assert h.status[1, 0] == sc.PointStatus.NO_CONSENSUS and np.isnan(h.xyz[1, 0]).all() and h.ok[0].all()
    assert sum(p.status_counts().values()) == 4 * 17


def test_report_is_json() -> None:
    r = sc.CalibrationReport(
        names=("a",), per_camera_rms_px=np.array([np.nan]), per_camera_median_px=np.ones(1),
        per_camera_rms_mrad=np.ones(1), n_observations=np.array([3]), rejected_share=np.zeros(1),
        connectivity=np.zeros((1, 1), int), extra={"x": np.float32(2)},
    )  # fmt: skip
    text = json.dumps(r.to_dict(), allow_nan=False)
    assert json.loads(text)["per_camera_rms_px"] == [None] and json.loads(text)["extra"]["x"] == 2

"""Camera files for the tests: the two cameras that every golden file holds, and what the test files share."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import sportcore as sc

GOLDEN = Path(__file__).parent / "golden" / "rigs"

# Two cameras 1 m above the ground: cam1 at (0, -4, 1) looks along +y, cam2 at (4, 0, 1) looks along -x.
K = np.array([[900.0, 0, 499], [0, 910, 401], [0, 0, 1]])
R1 = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
R2 = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
T = np.array([0.0, 1, 4])


def check_truth(rig: sc.Rig, *, fy: float = 910.0) -> None:
    """The pose, and by hand: (0.4, 0, 1.5) is 4 m in front of cam1, 0.4 m right, 0.5 m above the axis."""
    assert rig.names == ("cam1", "cam2")
    expected_K = K.copy()
    expected_K[1, 1] = fy
    np.testing.assert_allclose(rig.K, [expected_K] * 2, atol=1e-12)
    np.testing.assert_allclose(rig.R, [R1, R2], atol=1e-12)
    np.testing.assert_allclose(rig.t, [T, T], atol=1e-12)
    np.testing.assert_allclose(rig.centers_world, [[0, -4, 1], [4, 0, 1]], atol=1e-12)
    assert [c.image_size for c in rig] == [(1000, 800)] * 2
    pixel = rig["cam1"].P @ [0.4, 0.0, 1.5, 1.0]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [499 + 90, 401 - fy / 8], atol=1e-9)
    pixel = rig["cam2"].P @ [0.0, 0.4, 1.5, 1.0]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [499 + 90, 401 - fy / 8], atol=1e-9)


BROWN4 = [-0.1, 0.02, 0.001, -0.002]


def opencap_session(folder: Path, protocol: int = 4) -> Path:
    for name, R in (("cam1", R1), ("cam2", R2)):
        values = {
            "intrinsicMat": K,
            "distortion": np.array([[*BROWN4, 0.0]]),
            "imageSize": np.array([[800.0], [1000.0]]),  # height, width
            "rotation": R,
            "translation": T[:, None] * 1000,
            "rotation_EulerAngles": np.zeros((3, 1)),
        }
        (folder / "Videos" / name).mkdir(parents=True)
        file = folder / "Videos" / name / "cameraIntrinsicsExtrinsics.pickle"
        file.write_bytes(pickle.dumps(values, protocol=protocol))
    return folder


finite = st.floats(-1.0, 1.0)


@st.composite
def rigs(draw: st.DrawFn, models: tuple[str, ...] = ("pinhole", "brown", "fisheye")) -> sc.Rig:
    cameras = []
    for i in range(draw(st.integers(1, 3))):
        model = draw(st.sampled_from(models))
        count = {"pinhole": 0, "fisheye": draw(st.sampled_from([0, 4]))}.get(model, draw(st.sampled_from([0, 4, 5, 8])))
        w, h = draw(st.integers(16, 4000)), draw(st.integers(16, 4000))
        f = draw(st.floats(50, 5000))
        matrix = [[f, 0, draw(st.floats(0, 0.99)) * w], [0, f * draw(st.floats(0.5, 2)), h / 3], [0, 0, 1]]
        rotvec = np.array(draw(st.tuples(finite, finite, finite))) * 3
        t = np.array(draw(st.tuples(finite, finite, finite))) * 20
        dist = draw(st.lists(finite, min_size=count, max_size=count))
        R = Rotation.from_rotvec(rotvec).as_matrix()
        cameras.append(sc.Camera(f"cam{i}", (w, h), matrix, dist, model, R, t))
    return sc.Rig(tuple(cameras))


def same_projection(a: sc.Rig, b: sc.Rig, *, exact_model: bool) -> None:
    assert a.names == b.names
    np.testing.assert_allclose(a.K, b.K, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(a.R, b.R, atol=1e-12)
    np.testing.assert_allclose(a.t, b.t, atol=1e-12)
    assert np.array_equal(a.image_sizes, b.image_sizes)
    for x, y in zip(a, b, strict=True):
        if exact_model:
            assert x.model == y.model and x.distortion.size == y.distortion.size
        assert (x.model == "fisheye") == (y.model == "fisheye")
        n = max(x.distortion.size, y.distortion.size)
        pad = [np.pad(c.distortion, (0, n - c.distortion.size)) for c in (x, y)]
        np.testing.assert_allclose(pad[0], pad[1], atol=1e-15)


relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def edited(tmp_path: Path, old: str, new: str, name: str = "pose2sim.toml", count: int = 1) -> Path:
    text = (GOLDEN / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, count))
    return path

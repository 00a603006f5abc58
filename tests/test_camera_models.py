"""The camera models against OpenCV, against their NumPy versions, and against their own inverses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cameras import MODELS, project
from reference.scene import cloud, ring

import sportcore as sc
from sportcore import _core
from sportcore.points3d import camera_array, project_points, unproject_points, unproject_rays


def opencv_project(camera, X):
    rvec = cv2.Rodrigues(np.ascontiguousarray(camera.R))[0]
    K, X = np.ascontiguousarray(camera.K), np.ascontiguousarray(X)
    if camera.model == "fisheye":
        return cv2.fisheye.projectPoints(X[:, None], rvec, camera.t.copy(), K, camera.distortion.copy())[0][:, 0]
    k = camera.distortion.copy() if camera.distortion.size else np.zeros(4)
    return cv2.projectPoints(X, rvec, camera.t.copy(), K, k)[0][:, 0]


@pytest.mark.parametrize("model", MODELS)
def test_projection_equals_opencv(model):
    X = cloud(2000)
    for camera in ring(4, model):
        np.testing.assert_allclose(project_points(camera, X), opencv_project(camera, X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_projection_equals_the_numpy_version(model):
    X = np.concatenate([cloud(500), 10 * cloud(500, 1)])  # the second half goes behind the cameras too
    for camera in ring(3, model):
        got, want = project_points(camera, X), project(camera, X)
        assert (np.isnan(got) == np.isnan(want)).all() and np.isnan(want).any()
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@settings(deadline=None, max_examples=60)
@given(u=st.floats(0, 1919), v=st.floats(0, 1079))
def test_unproject_is_the_inverse_of_project(model, u, v):
    name, k = MODELS[model]
    camera = sc.Camera("c", (1920, 1080), [[1480, 0, 955], [0, 1510, 543], [0, 0, 1]], k, model=name)
    ray = unproject_rays(camera, [u, v])
    assert abs(np.linalg.norm(ray) - 1) < 1e-12 and ray[2] > 0
    np.testing.assert_allclose(project_points(camera, 3.7 * ray), [u, v], rtol=0, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
@settings(deadline=None, max_examples=60)
@given(x=st.floats(-0.6, 0.6), y=st.floats(-0.4, 0.4), z=st.floats(0.2, 50))
def test_project_then_unproject_is_the_same_ray(model, x, y, z):
    name, k = MODELS[model]
    camera = sc.Camera("c", (1920, 1080), [[1480, 0, 955], [0, 1510, 543], [0, 0, 1]], k, model=name)
    uv = project_points(camera, np.array([x, y, 1]) * z)
    np.testing.assert_allclose(unproject_points(camera, uv), [x, y], rtol=0, atol=1e-10)


@pytest.mark.parametrize("model", ["brown5", "fisheye"])
def test_unproject_equals_opencv(model):
    camera = ring(1, model)[0]
    xy = np.stack(np.meshgrid(np.linspace(0, 1919, 20), np.linspace(0, 1079, 12)), -1).reshape(-1, 2)
    if camera.model == "fisheye":
        want = cv2.fisheye.undistortPoints(xy[:, None], camera.K.copy(), camera.distortion.copy())[:, 0]
    else:
        K, k, stop = camera.K.copy(), camera.distortion.copy(), (3, 300, 1e-14)
        if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
            want = cv2.undistortPointsIter(xy[:, None], K, k, None, None, stop)[:, 0]
        else:
            want = cv2.undistortPoints(xy[:, None], K, k, criteria=stop)[:, 0]
    np.testing.assert_allclose(unproject_points(camera, xy), want, rtol=0, atol=1e-7)


def test_pixels_that_no_ray_reaches_are_nan():
    k1 = -0.5  # r + k1 r^3 has its maximum 0.544 at r = 0.816
    camera = sc.Camera("c", (1920, 1080), [[1000, 0, 960], [0, 1000, 540], [0, 0, 1]], [k1, 0, 0, 0])
    got = unproject_points(camera, [[960 + 540, 540], [960 + 600, 540], [np.nan, 3], [np.inf, 3]])
    assert np.isfinite(got[0]).all() and got[0, 0] < 0.8165
    assert np.isnan(got[1:]).all()
    assert np.isnan(unproject_rays(camera, [[np.nan, np.nan]])).all()


@pytest.mark.parametrize("model", MODELS)
def test_jacobians_against_finite_differences(model):
    rig = ring(1, model)
    camera, X, h = rig[0], cloud(20), 1e-6
    k = np.zeros(8)
    k[: camera.distortion.size] = camera.distortion

    def uv(dX=0.0, w=(0, 0, 0), dt=0.0, df=(0, 0, 0, 0), dk=0.0):
        K = camera.K + np.array([[df[0], 0, df[2]], [0, df[1], df[3]], [0, 0, 0]])
        code = {"pinhole": 0, "brown": 1, "fisheye": 2}[camera.model]
        core = _core.Cameras(
            np.array([code], np.int32),
            K[None],
            (k + dk)[None],
            (_core.so3_exp(np.array(w, float)) @ camera.R)[None],
            (camera.t + dt)[None],
        )
        return _core.reproject(core, X + dX)[0]

    got_uv, jx, jp, ji, jd = _core.project_jacobians(camera_array(rig), 0, X)
    np.testing.assert_allclose(got_uv, uv(), atol=1e-10)

    def numeric(make, n, step):
        return np.stack([(uv(**make(step * e)) - uv(**make(-step * e))) / (2 * step) for e in np.eye(n)], -1)

    np.testing.assert_allclose(jx, numeric(lambda e: {"dX": e}, 3, h), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(jp[..., :3], numeric(lambda e: {"w": e}, 3, h), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(jp[..., 3:], numeric(lambda e: {"dt": e}, 3, h), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(ji, numeric(lambda e: {"df": e}, 4, 1e-2), rtol=1e-5, atol=1e-6)
    n = {"pinhole": 0, "brown": 8, "fisheye": 4}[camera.model]
    if n:
        np.testing.assert_allclose(
            jd[..., :n], numeric(lambda e: {"dk": np.r_[e, np.zeros(8 - n)]}, n, h), rtol=1e-5, atol=1e-3
        )
    else:
        assert (jd == 0).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_rotation_vector_round_trip(w):
    if np.linalg.norm(w) > np.pi:
        w = np.array(w) / np.linalg.norm(w)
    R = _core.so3_exp(np.array(w, float))
    np.testing.assert_allclose(R, cv2.Rodrigues(np.array(w, float))[0], atol=1e-12)
    np.testing.assert_allclose(_core.so3_log(R), w, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"K": np.zeros((1, 3, 3))}, "focal"),
        ({"model": np.array([7], np.int32)}, "unknown camera model"),
        ({"R": np.full((1, 3, 3), np.nan)}, "not finite"),
        ({"t": np.zeros((2, 3))}, "shape"),
        ({"distortion": np.zeros((1, 5))}, "shape"),
        ({"K": np.array([[[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]]])}, "skew"),
    ],
)
def test_bad_cameras_are_refused(change, words):
    good = {
        "model": np.zeros(1, np.int32), "K": np.eye(3)[None], "distortion": np.zeros((1, 8)),
        "R": np.eye(3)[None], "t": np.zeros((1, 3)),
    }  # fmt: skip
    assert len(_core.Cameras(**good)) == 1
    with pytest.raises(sc.InputError, match=words):
        _core.Cameras(**{**good, **change})

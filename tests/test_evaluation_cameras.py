"""Camera errors: exact under any similarity, and known angles come out as they went in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sportcore.errors import InputError
from sportcore.evaluation import camera_errors, rotation_angle_deg


def ring(count, arc=2 * np.pi):
    R, t = [], []
    for a in np.linspace(0, arc, count, endpoint=False):
        centre = np.array([6 * np.cos(a), 6 * np.sin(a), 1.5 + 0.3 * np.sin(3 * a)])
        z = -centre / np.linalg.norm(centre)
        x = np.cross(z, [0, 0, 1])
        x /= np.linalg.norm(x)
        r = np.stack([x, np.cross(z, x), z])
        R.append(r)
        t.append(-r @ centre)
    return np.array(R), np.array(t)


def moved(R, t, seed):
    """The same cameras in another world frame and scale."""
    rng = np.random.default_rng(seed)
    G, s, d = Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), rng.uniform(0.1, 10), rng.normal(size=3)
    centres = -np.einsum("cji,cj->ci", R, t)
    new_centres = s * centres @ G.T + d
    new_R = R @ G.T
    return new_R, -np.einsum("cij,cj->ci", new_R, new_centres)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_similarity_costs_nothing(seed, count):
    R, t = ring(count)
    e = camera_errors(*moved(R, t, seed), R, t)
    assert e.relative_rotation_max_deg < 1e-6 and e.rotation_deg.max() < 1e-6 and e.centre_mm.max() < 1e-6
    assert e.gauge == ("rotations" if count == 2 else "centres")
    assert np.isnan(e.published_e_r_rad) == (count == 2)


def test_known_rotation_and_published_value():
    R, t = ring(4)
    wrong = R.copy()
    wrong[2] = Rotation.from_rotvec([0, np.radians(3.0), 0]).as_matrix() @ R[2]
    centres = -np.einsum("cji,cj->ci", R, t)
    t_wrong = -np.einsum("cij,cj->ci", wrong, centres)  # turned on the spot
    e = camera_errors(wrong, t_wrong, R, t)
    assert np.allclose(e.rotation_deg, [0, 0, 3, 0], atol=1e-6) and e.centre_mm.max() < 1e-6
    assert e.relative_rotation_deg[2, 0] == pytest.approx(3) and e.relative_rotation_deg[0, 1] < 1e-6
    assert e.published_e_r_rad == pytest.approx(np.radians(3) / 4 / np.sqrt(2))
    assert e.published_e_t_mm == pytest.approx(1000 * np.linalg.norm(t_wrong[2] - t[2]) / 4)
    assert e.to_dict()["relative_rotation_max_deg"] == pytest.approx(3)


def test_moved_centre():
    R, t = ring(6)
    centres = -np.einsum("cji,cj->ci", R, t)
    centres[1] += [0, 0, 0.1]
    e = camera_errors(R, -np.einsum("cij,cj->ci", R, centres), R, t)
    assert e.centre_mm.argmax() == 1 and 40 < e.centre_mm[1] < 100  # the fit takes up a part


def test_collinear_centres_fall_back_to_rotations():
    R, _ = ring(3)
    centres = np.array([[0, 0, 1], [1, 0, 1], [2, 0, 1.0]])
    t = -np.einsum("cij,cj->ci", R, centres)
    e = camera_errors(*moved(R, t, 5), R, t)
    assert e.gauge == "rotations" and e.rotation_deg.max() < 1e-6 and e.centre_mm.max() < 1e-6


def test_rotation_angle_is_accurate_at_both_ends():
    for degrees in (0.0, 1e-6, 1.0, 90.0, 179.999999, 180.0):
        R = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0, 0.8])).as_matrix()
        assert rotation_angle_deg(R) == pytest.approx(degrees, abs=1e-8)


def test_refusals():
    R, t = ring(3)
    with pytest.raises(InputError, match="relative pose"):
        camera_errors(R[:1], t[:1], R[:1], t[:1])
    with pytest.raises(InputError, match="cannot be compared"):
        camera_errors(R, t, R[:2], t[:2])
    with pytest.raises(InputError, match="not a rotation"):
        camera_errors(R * 1.1, t, R, t)
    with pytest.raises(InputError, match="NaN"):
        camera_errors(R, t * np.nan, R, t)
    with pytest.raises(InputError, match="expected R"):
        camera_errors(R[0], t[0], R, t)

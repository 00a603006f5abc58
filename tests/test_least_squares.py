"""The robust Levenberg-Marquardt loop against SciPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.optimize import least_squares

import sportcore as sc
from sportcore import _core

LOSSES = ("trivial", "huber", "cauchy", "geman_mcclure")


def decay():
    """A decaying oscillation with noise and some gross errors."""
    rng = np.random.default_rng(3)
    t = np.linspace(0, 4, 120)
    truth = np.array([2.0, 0.7, 3.0])
    y = truth[0] * np.exp(-truth[1] * t) * np.cos(truth[2] * t) + rng.normal(0, 0.02, t.size)
    y[::9] += rng.uniform(0.5, 2, y[::9].size)

    def residuals(x):
        return (x[0] * np.exp(-x[1] * t) * np.cos(x[2] * t) - y) / 0.02

    def jacobian(x):
        e, c, s = np.exp(-x[1] * t), np.cos(x[2] * t), np.sin(x[2] * t)
        return np.stack([e * c, -t * x[0] * e * c, -t * x[0] * e * s], -1) / 0.02

    return truth, residuals, jacobian


@pytest.mark.parametrize("loss", ["trivial", "huber", "cauchy"])
def test_minimum_equals_scipy(loss):
    truth, residuals, jacobian = decay()
    start = truth + [0.2, -0.1, 0.1]
    got = _core.minimize(residuals, jacobian, start, loss=loss, loss_scale=2.0)
    name = "linear" if loss == "trivial" else loss
    want = least_squares(residuals, start, jacobian, loss=name, f_scale=2.0, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert got["converged"], got["stop"]
    np.testing.assert_allclose(got["x"], want.x, rtol=1e-6)
    np.testing.assert_allclose(got["cost"], want.cost, rtol=1e-9)
    assert got["cost"] <= got["initial_cost"]


def test_robust_losses_ignore_gross_errors():
    truth, residuals, jacobian = decay()
    error = {
        loss: np.abs(_core.minimize(residuals, jacobian, truth + 0.05, loss=loss, loss_scale=2.0)["x"] - truth).max()
        for loss in LOSSES
    }
    assert error["trivial"] > 0.04
    assert max(error["cauchy"], error["geman_mcclure"]) < 0.02 < error["trivial"]


def test_covariance_of_a_linear_problem_is_exact():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(30, 4)), rng.normal(size=30)
    got = _core.minimize(lambda x: A @ x - b, lambda x: A, np.zeros(4))
    np.testing.assert_allclose(got["x"], np.linalg.lstsq(A, b, rcond=None)[0], atol=1e-10)
    np.testing.assert_allclose(got["covariance"], np.linalg.inv(A.T @ A), rtol=1e-9)


def test_a_singular_problem_has_no_covariance():
    A = np.ones((5, 2))
    got = _core.minimize(lambda x: A @ x - 1, lambda x: A, np.zeros(2))
    assert np.isnan(got["covariance"]).all() and got["cost"] < 1e-15


@pytest.mark.parametrize("loss", LOSSES)
def test_weight_is_the_derivative_of_the_loss(loss):
    s = np.array([0.0, 0.1, 1.0, 3.9, 4.1, 30.0])
    rho, weight = _core.loss(loss, s, 2.0)
    assert rho[0] == 0 and weight[0] == 1 and (rho <= s).all() and (np.diff(weight) <= 0).all()
    h = 1e-6
    numeric = (_core.loss(loss, s[1:] + h, 2.0)[0] - _core.loss(loss, s[1:] - h, 2.0)[0]) / (2 * h)
    np.testing.assert_allclose(weight[1:], numeric, atol=1e-7)


def test_faults():
    with pytest.raises(sc.InputError, match="Did you mean 'max_iterations'"):
        _core.LmOptions(max_iteration=3)
    with pytest.raises(sc.InputError, match="cannot be 'many'"):
        _core.LmOptions(max_iterations="many")
    with pytest.raises(sc.InputError, match="Unknown loss"):
        _core.minimize(lambda x: x, lambda x: np.eye(1), np.zeros(1), loss="tukey")
    with pytest.raises(sc.InputError, match="shape"):
        _core.minimize(lambda x: x, lambda x: np.eye(2), np.zeros(1))
    with pytest.raises(ZeroDivisionError):
        _core.minimize(lambda x: x, lambda x: 1 / 0, np.ones(1))
    got = _core.minimize(lambda x: x * np.nan, lambda x: np.eye(1), np.ones(1))
    assert not got["converged"] and got["stop"] == "invalid_start"


def test_options_are_values():
    options = _core.LmOptions(max_iterations=7)
    assert "max_iterations=7" in repr(options)
    assert options == _core.LmOptions(max_iterations=7) != _core.LmOptions()
    assert pickle.loads(pickle.dumps(options)) == options
    assert options.to_dict()["max_iterations"] == 7

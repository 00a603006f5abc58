"""Windows: every frame is covered, and splitting then joining changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sportcore.errors import InputError
from sportcore.lifting.windows import join_windows, split_windows, window_weights


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 140), st.integers(1, 30), st.integers(1, 30))
def test_split_and_join_is_the_identity(n_frames, window, stride):
    stride = min(stride, window)
    index = split_windows(n_frames, window, stride)
    assert set(index[index >= 0].tolist()) == set(range(n_frames))
    values = np.random.default_rng(0).normal(size=(n_frames, 17, 3))
    windows = np.where((index >= 0)[..., None, None], values[index], 1e6)
    joined = join_windows(windows, index, n_frames)
    np.testing.assert_allclose(joined, values, atol=1e-12)


def test_middles_count_most():
    weight = window_weights(27)
    assert weight.argmax() == 13 and (weight > 0).all() and np.allclose(weight, weight[::-1])


def test_a_window_of_nan_does_not_count():
    index = split_windows(20, 10, 5)
    values = np.zeros((*index.shape, 2))
    values[0] = np.nan
    joined = join_windows(values, index, 20)
    assert np.isnan(joined[:5]).all() and (joined[5:] == 0).all()


def test_short_recordings_stand_in_the_middle():
    index = split_windows(3, 9)
    assert index.tolist() == [[-1, -1, -1, 0, 1, 2, -1, -1, -1]]


@pytest.mark.parametrize("arguments", [(0, 9, 3), (9, 0, 1), (9, 9, 10), (9, 9, 0)])
def test_impossible_windows_are_refused(arguments):
    with pytest.raises(InputError, match="Cannot split"):
        split_windows(*arguments)


def test_values_must_fit():
    with pytest.raises(InputError, match="do not fit"):
        join_windows(np.zeros((2, 9, 3)), split_windows(9, 9), 9)

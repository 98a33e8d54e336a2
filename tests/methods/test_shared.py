"""One Gaussian for all positions: its held-out distances compared with refits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.methods import shared
from padim.methods.shared import Moments, SharedGaussian
from tests.methods.arrays import by_graph, by_numpy, embeddings, task


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_held_out_distances_equal_a_refit(tmp_path: Path, shrinkage: float) -> None:
    grid, d, n = 4, 6, 7
    x = embeddings(n, grid, d)
    parts = ["a", "a", "b", "c", "d", "e", "f"]
    one = task(tmp_path, x, parts, {6: "not_good"}, shrinkage=shrinkage)
    fitted = shared.fit_detector(one)
    for row in range(n):
        rest = [other for other in range(6) if parts[other] != parts[row]]
        patches = x[rest].reshape(-1, d).astype(np.float64)
        covariance = (1 - shrinkage) * np.cov(patches.T) + (0.01 + shrinkage) * np.eye(d)
        delta = x[row].astype(np.float64) - patches.mean(axis=0)
        expected = np.sqrt(np.einsum("pd,de,pe->p", delta, np.linalg.inv(covariance), delta))
        np.testing.assert_allclose(fitted.held_out[row], expected, rtol=1e-6)


def test_the_formula_of_the_design(tmp_path: Path) -> None:
    """Check S_-i = S - S_i - T P / (T - P) (xbar_i - m)(xbar_i - m)^T."""
    x = embeddings(5, 3, 4).astype(np.float64)
    n, p, d = x.shape
    total = n * p
    m, scatter = x.reshape(-1, d).mean(axis=0), np.zeros((d, d))
    for patch in x.reshape(-1, d):
        scatter += np.outer(patch - m, patch - m)
    own = x[2]
    mean = own.mean(axis=0)
    s_i = (own - mean).T @ (own - mean)
    expected = scatter - s_i - total * p / (total - p) * np.outer(mean - m, mean - m)
    whole = Moments.of(x[0])
    for one in x[1:]:
        whole = whole.merged(Moments.of(one))
    left = whole.without(Moments.of(own))
    assert left.count == total - p
    np.testing.assert_allclose(left.scatter, expected, rtol=1e-10)
    np.testing.assert_allclose(left.mean, (total * m - p * mean) / (total - p), rtol=1e-12)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_taking_out_undoes_putting_in(a: int, b: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = Moments.of(rng.normal(size=(a, d)) + 50), Moments.of(rng.normal(size=(b, d)) - 3)
    again = one.merged(other).without(other)
    assert again.count == a
    np.testing.assert_allclose(again.mean, one.mean, rtol=1e-9)
    np.testing.assert_allclose(again.scatter, one.scatter, atol=1e-7)


def test_graph_and_numpy_agree_and_a_batch_changes_no_bit(tmp_path: Path) -> None:
    detector = shared.fit_detector(task(tmp_path, embeddings(6, 4, 5))).detector
    assert isinstance(detector, SharedGaussian)
    new = embeddings(4, 4, 5, seed=8)
    found = by_graph(detector, new)
    np.testing.assert_allclose(found, by_numpy(detector, new), rtol=1e-5)
    for row in range(4):
        np.testing.assert_array_equal(by_graph(detector, new[row : row + 1])[0], found[row])


def test_one_image_makes_a_model(tmp_path: Path) -> None:
    fitted = shared.fit_detector(task(tmp_path, embeddings(1, 3, 4)))
    assert not fitted.held_out.any()
    assert np.isfinite(by_numpy(fitted.detector, embeddings(1, 3, 4, seed=3))).all()

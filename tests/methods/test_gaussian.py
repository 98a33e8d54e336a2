"""Distances compared with SciPy; leave-one-out and leave-group-out compared with real refits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from padim.errors import CalibrationError
from padim.methods.gaussian import LeaveOut, Regularization, squared_distances, whitening
from padim.methods.moments import PatchStatistics

Doubles = npt.NDArray[np.float64]


def features(seed: int, n: int, p: int, d: int, scale: float = 1.0) -> Doubles:
    rng = np.random.default_rng(seed)
    return np.einsum("npd,pde->npe", rng.normal(size=(n, p, d)), rng.normal(size=(p, d, d))) * scale + 3


def fit(x: Doubles) -> PatchStatistics:
    _, p, d = x.shape
    return PatchStatistics(p, d).update(x)


def direct(x: Doubles, normals: Doubles, eps: float, shrinkage: float = 0.0) -> Doubles:
    """Return squared distances by the textbook: np.cov, eps, a general inverse, SciPy's mahalanobis."""
    result = np.empty(x.shape[:2])
    for position in range(x.shape[1]):
        sample = normals[:, position]
        covariance = (1 - shrinkage) * np.cov(sample.T) + (eps + shrinkage) * np.eye(sample.shape[1])
        precision = np.linalg.inv(covariance)
        for row in range(len(x)):
            result[row, position] = mahalanobis(x[row, position], sample.mean(axis=0), precision) ** 2
    return result


@pytest.mark.parametrize(("n", "d"), [(40, 6), (5, 12), (2, 8)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_distance_is_the_textbook_one(n: int, d: int, shrinkage: float) -> None:
    x, unseen = features(1, n, 4, d), features(2, 3, 4, d)
    statistics = fit(x)
    whitener = whitening(statistics, Regularization(0.01, shrinkage), n - 1)
    result = squared_distances(unseen, statistics.mean, whitener)
    np.testing.assert_allclose(result, direct(unseen, x, 0.01, shrinkage), rtol=1e-8)


def test_a_hand_worked_case() -> None:
    """Two images at 0 and 2 in one dimension have variance 2, so x = 5 has distance (5-1)^2 / (2 + eps)."""
    statistics = fit(np.array([[[0.0]], [[2.0]]]))
    whitener = whitening(statistics, Regularization(0.5), 1)
    assert squared_distances(np.array([[[5.0]]]), statistics.mean, whitener)[0, 0] == pytest.approx(16 / 2.5)


def test_the_whitener_is_triangular_and_squares_to_the_precision() -> None:
    x = features(3, 30, 2, 5)
    statistics = fit(x)
    whitener = whitening(statistics, Regularization(), 29)
    for position in range(2):
        assert np.array_equal(whitener[position], np.triu(whitener[position]))
        precision = np.linalg.inv(np.cov(x[:, position].T) + 0.01 * np.eye(5))
        np.testing.assert_allclose(whitener[position] @ whitener[position].T, precision, rtol=1e-8)


def left_out(x: Doubles, groups: list[list[int]], regularization: Regularization) -> Doubles:
    statistics = fit(x)
    result = np.full(x.shape[:2], np.nan)
    for rows in groups:
        result[rows] = LeaveOut(statistics, regularization, len(rows)).squared_distances(x[rows])
    return result


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(3, 25),
    d=st.integers(1, 12),
    eps=st.sampled_from([1e-3, 0.01, 1.0]),
    shrinkage=st.sampled_from([0.0, 0.2]),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_leave_one_out_equals_refitting(
    seed: int, n: int, d: int, eps: float, shrinkage: float, scale: float
) -> None:
    x = features(seed, n, 2, d, scale)
    result = LeaveOut(fit(x), Regularization(eps, shrinkage), 1).squared_distances(x)
    # Where an image alone spans a direction, 1 - cq is of the order of eps over its squared length: that
    # many of the 16 digits are lost, in the textbook's general inverse as well.
    conditioning = float((x**2).sum(axis=2).max()) / eps
    for row in range(n):
        expected = direct(x[[row]], np.delete(x, row, axis=0), eps, shrinkage)
        np.testing.assert_allclose(result[[row]], expected, rtol=max(1e-8, 1e-14 * conditioning))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=8),
    d=st.integers(1, 10),
    shrinkage=st.sampled_from([0.0, 0.2]),
)
def test_leave_group_out_equals_refitting(seed: int, sizes: list[int], d: int, shrinkage: float) -> None:
    n = sum(sizes)
    x = features(seed, n, 2, d)
    order = np.random.default_rng(seed).permutation(n)
    groups = [part.tolist() for part in np.split(order, np.cumsum(sizes)[:-1])]
    result = left_out(x, groups, Regularization(0.01, shrinkage))
    for rows in groups:
        expected = direct(x[rows], np.delete(x, rows, axis=0), 0.01, shrinkage)
        np.testing.assert_allclose(result[rows], expected, rtol=1e-8)


def test_the_closed_form_of_the_design_document() -> None:
    n, x = 9, features(4, 9, 3, 4)
    statistics = fit(x)
    whitener = whitening(statistics, Regularization(), n - 2)
    q = squared_distances(x, statistics.mean, whitener)
    expected = (n / (n - 1)) ** 2 * q / (1 - n / ((n - 1) * (n - 2)) * q)
    result = LeaveOut(statistics, Regularization(), 1).squared_distances(x)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_repeat_shots_left_out_singly_look_far_too_good() -> None:
    """The reason for groups: a second shot of the same part makes the first look normal."""
    parts = features(5, 12, 1, 8)
    shots = np.repeat(parts, 2, axis=0) + np.random.default_rng(6).normal(scale=1e-2, size=(24, 1, 8))
    groups = [[2 * part, 2 * part + 1] for part in range(12)]
    by_part = left_out(shots, groups, Regularization())
    singly = left_out(shots, [[row] for row in range(24)], Regularization())
    assert np.median(by_part / singly) > 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_constant_and_duplicate_images_stay_finite(n: int) -> None:
    x = np.full((n, 2, 3), 0.7)
    statistics = fit(x)
    whitener = whitening(statistics, Regularization(), n - 1)
    np.testing.assert_allclose(squared_distances(x, statistics.mean, whitener), 0, atol=1e-20)
    np.testing.assert_allclose(squared_distances(x + 1, statistics.mean, whitener), 3 / 0.01)
    if n == 3:
        np.testing.assert_allclose(
            LeaveOut(statistics, Regularization(), 1).squared_distances(x), 0, atol=1e-20
        )


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_too_few_left_is_a_clear_refusal(n: int, k: int) -> None:
    with pytest.raises(CalibrationError, match="at least two"):
        LeaveOut(fit(features(7, n, 1, 2)), Regularization(), k)


def test_a_group_must_come_whole() -> None:
    x = features(8, 8, 1, 2)
    with pytest.raises(ValueError, match="3 members"):
        LeaveOut(fit(x), Regularization(), 3).squared_distances(x[:2])

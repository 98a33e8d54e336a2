"""Limits of tolerated changes: monotone estimates and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from padim.analysis.monotone import resampled_shares, rising
from padim.analysis.tolerated_change import Outcomes, Tolerance, parts_to_say, tolerated_change

SEVERITIES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_the_estimate_is_the_isotonic_regression(values: list[float]) -> None:
    truth = isotonic_regression(values).x
    np.testing.assert_allclose(rising(np.array([values, values]))[1], truth, atol=1e-9)


def test_resampled_shares_scatter_about_the_counted_ones() -> None:
    outcomes = np.random.default_rng(1).random((30, 4)) < [0.1, 0.3, 0.5, 1]
    found = resampled_shares(outcomes, np.random.default_rng(2), 4000)
    np.testing.assert_allclose(found.mean(0), outcomes.mean(0), atol=0.01)
    expected = np.sqrt(outcomes.mean(0) * (1 - outcomes.mean(0)) / 30)
    np.testing.assert_allclose(found.std(0), expected, atol=0.01)


def _limit(breaks: np.ndarray) -> Tolerance:
    """The limit of defects of which each is missed beyond its own severity."""
    bad: Outcomes = tuple(tuple(bool(s <= b) for s in SEVERITIES) for b in breaks)
    return tolerated_change(
        SEVERITIES,
        [0] * 6,
        0,
        [sum(one[i] for one in bad) for i in range(6)],
        len(bad),
        limit=None,
        margin=0.2,
        in_words=[f"{s:g} px" for s in SEVERITIES],
        outcomes=((), bad),
    )


def test_the_interval_holds_the_true_limit() -> None:
    random = np.random.default_rng(0)
    truth = 2.0  # breaks are uniform in 0 to 12: 1/6 are missed at 2, 1/4 at 3
    within = 0
    for _ in range(60):
        found = _limit(random.uniform(0, 12, 40))
        assert None not in (found.low, found.severity, found.high)
        low, severity, high = (float(x or 0) for x in (found.low, found.severity, found.high))
        assert low <= severity <= high
        within += low <= truth <= high
    assert within >= 54
    sharp = _limit(np.full(40, 3.5))
    assert (sharp.low, sharp.severity, sharp.high) == (3, 3, 3)
    assert "at 4 px 0 of 40" in sharp.why


@pytest.mark.parametrize(("share", "parts"), [(0.05, 21), (0.12, 9), (0.1, 11), (1.0, 2), (0.3, 4)])
def test_parts_of_which_one_is_less_than_a_share(share: float, parts: int) -> None:
    assert parts_to_say(share) == parts
    assert 1 / parts < share <= 1 / (parts - 1)

"""The bound to expect from more parts, at the same expected rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from padim.analysis.more_parts import bound_with_more_parts
from padim.decision.calibration import FalseRejectRate, false_reject_rate


@pytest.mark.parametrize(
    ("n", "more"), [(4, 40), (10, 40), (24, 40), (25, 40), (26, 100), (48, 100), (90, 200)]
)
def test_more_parts_narrow_the_bound_at_the_same_rate(n: int, more: int) -> None:
    rate = false_reject_rate(np.arange(n), n - 2)
    found = bound_with_more_parts(rate)
    assert found is not None
    assert found.parts == more
    assert rate.expected <= found.upper < rate.upper
    # By the definition of the bound, so few parts above are then observed in one of twenty sets.
    above = max(k for k in range(more) if (k + 1) / (more + 1) <= rate.expected + 0.5 / (more + 1))
    assert binom.cdf(above, more, found.upper) == pytest.approx(0.05, rel=1e-6)


def test_enough_parts_have_no_prospect() -> None:
    assert bound_with_more_parts(false_reject_rate(np.arange(100), 95)) is None


def test_all_above_stays_all_above() -> None:
    found = bound_with_more_parts(FalseRejectRate(above=10, n=10, expected=1.0, upper=1.0))
    assert found is not None
    assert found.upper == 1.0

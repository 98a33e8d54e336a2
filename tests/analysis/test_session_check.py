"""The statistical test of a second session: exact by enumeration, and with few false alarms."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binomtest

from padim.analysis.session_check import SessionCheck, check_session
from padim.decision.calibration import image_threshold

LEVEL = 100


def check(k: int, of: int, rejected: int, n: int) -> SessionCheck:
    """Test ``rejected`` of n session parts against k held-out parts above the threshold."""
    held_out = np.array([LEVEL] * (of - k) + [LEVEL + 1] * k)
    return check_session(held_out, np.array([LEVEL + 1] * rejected + [LEVEL] * (n - rejected)), LEVEL)


def tail(ordered_above: int, of: int, n: int, counts: range) -> Fraction:
    """Count arrangements, as all orders of ``of + n`` scores are equally likely.

    Returns:
        The probability that the number of session parts above the ``ordered_above``-th held-out score from
        the top is one of ``counts``.
    """
    j = ordered_above
    ways = (math.comb(j - 1 + x, x) * math.comb(of - j + n - x, n - x) for x in counts)
    return Fraction(sum(ways), math.comb(of + n, n))


@settings(max_examples=200)
@given(of=st.integers(1, 40), n=st.integers(1, 40), data=st.data())
def test_p_values_count_arrangements(of: int, n: int, data: st.DataObject) -> None:
    k, rejected = data.draw(st.integers(0, of)), data.draw(st.integers(0, n))
    found = check(k, of, rejected, n)
    more = 1 if k == of else tail(k + 1, of, n, range(rejected, n + 1))
    fewer = 1 if k == 0 else tail(k, of, n, range(rejected + 1))
    assert found.p_more == pytest.approx(float(more), rel=1e-9)
    assert found.p_fewer == pytest.approx(float(fewer), rel=1e-9)


@given(of=st.integers(1, 300), n=st.integers(1, 300), data=st.data())
@settings(deadline=None)
def test_p_values_are_beta_binomial(of: int, n: int, data: st.DataObject) -> None:
    k, rejected = data.draw(st.integers(0, of)), data.draw(st.integers(0, n))
    found = check(k, of, rejected, n)
    if k < of:
        assert found.p_more == pytest.approx(
            betabinom.sf(rejected - 1, n, k + 1, of - k), rel=1e-6, abs=1e-12
        )
    if k > 0:
        assert found.p_fewer == pytest.approx(betabinom.cdf(rejected, n, k, of - k + 1), rel=1e-6, abs=1e-12)
    assert 0 <= found.p_more <= 1
    assert 0 <= found.p_fewer <= 1
    # Both cannot be unlikely at once.
    assert found.p_more + found.p_fewer >= 1 - 1e-9


@given(of=st.integers(1, 60), n=st.integers(2, 60), data=st.data())
def test_more_rejects_are_more_evidence(of: int, n: int, data: st.DataObject) -> None:
    k, rejected = data.draw(st.integers(0, of)), data.draw(st.integers(1, n))
    less, more = check(k, of, rejected - 1, n), check(k, of, rejected, n)
    assert more.p_more <= less.p_more + 1e-12
    assert more.p_fewer >= less.p_fewer - 1e-12


@pytest.mark.parametrize("rejected", [20, 50, 70, 110])
def test_many_held_out_parts_leave_the_binomial_test(rejected: int) -> None:
    n, of = 1000, 10**7
    found = check_session(
        np.repeat([LEVEL, LEVEL + 1], [of - of // 20, of // 20]),
        np.repeat([LEVEL + 1, LEVEL], [rejected, n - rejected]),
        LEVEL,
    )
    assert found.p_more == pytest.approx(binomtest(rejected, n, 0.05, "greater").pvalue, rel=0.01)
    assert found.p_fewer == pytest.approx(binomtest(rejected, n, 0.05, "less").pvalue, rel=0.01)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("by_hand", [False, True])
def test_false_alarms_stay_rare_where_the_binomial_test_raises_many(by_hand: bool, ties: bool) -> None:
    """For sessions just like the held-out parts, each direction may be reported 5 % of the time."""
    rng = np.random.default_rng(2)
    of, n, draws = 20, 200, 4000
    top = 40 if ties else 65536
    more = fewer = plain = 0
    for _ in range(draws):
        held_out, session = rng.integers(0, top, of), rng.integers(0, top, n)
        level = int(0.9 * top) if by_hand else image_threshold(held_out, 900).level
        found = check_session(held_out, session, level)
        more += found.disagrees == "more"
        fewer += found.disagrees == "fewer"
        plain += binomtest(found.rejected, n, found.expected, "greater").pvalue <= 0.05
    error = 4 * math.sqrt(0.05 * 0.95 / draws)
    assert more / draws <= 0.05 + error
    assert fewer / draws <= 0.05 + error
    # The percentile's own scatter is what the plain test takes for a disagreement.
    assert plain / draws > 0.05 + error


def test_p_more_is_exact_for_a_threshold_at_a_percentile() -> None:
    """The p value is not merely conservative: it is exact for every value of the discrete count."""
    rng = np.random.default_rng(3)
    of, n, draws = 19, 60, 6000
    held_out = np.argsort(np.argsort(rng.random((draws, of + n)), axis=1), axis=1)
    p = []
    for ranks in held_out:
        level = image_threshold(ranks[:of], 900).level
        p.append(check_session(ranks[:of], ranks[of:], level).p_more)
    values = np.array(p)
    for value in np.unique(values):
        error = 4.5 * math.sqrt(value * (1 - value) / draws)
        assert abs(np.mean(values <= value + 1e-12) - value) <= error + 1e-9


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(4)
    held_out, shifted = rng.normal(1000, 100, 100), rng.normal(1150, 100, 60)
    found = check_session(held_out.astype(int), shifted.astype(int), 1165)
    assert found.disagrees == "more"
    assert found.p_more < 1e-4
    assert found.low > found.expected
    calm = check_session(held_out.astype(int), np.full(60, 500), 1080)
    assert (calm.rejected, calm.disagrees) == (0, "fewer")


def test_the_numbers_of_a_known_case() -> None:
    found = check(0, 19, 3, 20)
    assert (found.rejected, found.n, found.share) == (3, 20, 0.15)
    assert found.expected == pytest.approx(0.05)
    assert [found.low, found.high] == pytest.approx([0.0321, 0.3789], abs=1e-4)
    # Three of 20 against "1 in 20": the plain test sees 0.075, what 19 parts leave open is far more.
    assert found.p_more == pytest.approx(math.comb(36, 17) / math.comb(39, 20), rel=1e-9)
    assert found.disagrees is None


def test_strictly_above_is_rejected() -> None:
    found = check_session(np.array([5, 7, 7, 9]), np.array([7, 7, 8]), 7)
    assert found.rejected == 1
    assert found.expected == 2 / 5


@pytest.mark.parametrize("k", [0, 5])
def test_nothing_is_too_few_of_none_or_too_many_of_all(k: int) -> None:
    assert check(0, 5, 0, 5000).disagrees is None
    assert check(5, 5, 5000, 5000).disagrees is None
    # But the other direction can still tell.
    assert check(0, 5, 5000, 5000).disagrees == "more"
    assert check(5, 5, 0, 5000).disagrees == "fewer"


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_the_integer_type_does_not_matter(dtype: Any) -> None:
    held_out, session = np.array([1, 2, 3, 65535], dtype), np.array([2, 65535], dtype)
    assert check_session(held_out, session, 3) == check(1, 4, 1, 2)


def test_missing_parts_are_named() -> None:
    none, some = np.array([], int), np.array([1])
    with pytest.raises(ValueError, match="held-out"):
        check_session(none, some, 3)
    with pytest.raises(ValueError, match="session"):
        check_session(some, none, 3)

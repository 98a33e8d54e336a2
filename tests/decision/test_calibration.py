"""Ranks, thresholds and false-reject rates against their definitions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from padim.decision.calibration import (
    FalseRejectRate,
    false_reject_rate,
    image_threshold,
    parts_needed,
    pixel_threshold,
    rank,
    to_permille,
    upper_bound,
)


@given(permille=st.integers(1, 999), n=st.integers(1, 5000))
def test_rank_is_the_exact_ceiling(permille: int, n: int) -> None:
    assert rank(permille, n) == math.ceil(Fraction(permille, 1000) * (n + 1))


@given(permille=st.integers(1, 999))
def test_parts_needed_is_the_smallest_that_supports_it(permille: int) -> None:
    n = parts_needed(permille)
    assert rank(permille, n) <= n
    assert n == 1 or rank(permille, n - 1) > n - 1


def test_known_ranks() -> None:
    # 95 % of 19 parts is their largest; floating point would say 20 * 0.95 = 19.000000000000004 -> 20.
    assert rank(950, 19) == 19
    assert parts_needed(950) == 19
    assert parts_needed(990) == 99
    assert parts_needed(999) == 999


@given(scores=st.lists(st.integers(0, 65535), min_size=1, max_size=60), permille=st.integers(1, 999))
def test_image_threshold_is_the_ranked_score(scores: list[int], permille: int) -> None:
    threshold = image_threshold(np.array(scores), permille)
    r = rank(permille, len(scores))
    assert threshold.supported == (r <= len(scores))
    assert threshold.level == sorted(scores)[min(r, len(scores)) - 1]
    assert threshold.n == len(scores)
    above = sum(score > threshold.level for score in scores)
    assert above <= len(scores) - min(r, len(scores))


@settings(max_examples=30)
@given(levels=st.lists(st.integers(0, 300), min_size=1, max_size=200), permille=st.integers(1, 999))
def test_pixel_threshold_equals_sorting_all_pixels(levels: list[int], permille: int) -> None:
    histogram = np.bincount(levels, minlength=65536)
    n = len(levels)
    assert pixel_threshold(histogram, permille).level == sorted(levels)[min(rank(permille, n), n) - 1]


def test_the_promise_holds_for_iid_scores() -> None:
    """Fixed scorer, i.i.d. scores: the mean share above T is (n+1-r)/(n+1); the bound holds in 95 %."""
    rng = np.random.default_rng(0)
    n, draws = 39, 4000
    realized, covered = [], 0
    for _ in range(draws):
        scores = np.floor(rng.random(n) * 65536).astype(int)
        threshold = image_threshold(scores, 950)
        rate = false_reject_rate(scores, threshold.level)
        true = 1 - (threshold.level + 1) / 65536
        realized.append(true)
        covered += true <= rate.upper
    expected = (n + 1 - rank(950, n)) / (n + 1)
    assert abs(np.mean(realized) - expected) < 3 * np.std(realized) / math.sqrt(draws)
    assert abs(covered / draws - 0.95) < 4 * math.sqrt(0.95 * 0.05 / draws)


@given(n=st.integers(1, 200), data=st.data())
def test_false_reject_rate_follows_its_formula(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    scores = np.array([10] * (n - k) + [20] * k)
    rate = false_reject_rate(scores, 10)
    assert (rate.above, rate.n) == (k, n)
    assert rate.expected == (k + 1) / (n + 1)
    if k == n:
        assert rate.upper == 1
    else:
        assert rate.upper == pytest.approx(beta.ppf(0.95, k + 1, n - k), rel=1e-9)
        assert rate.upper > k / n


def test_strictly_above_counts() -> None:
    scores = np.array([5, 7, 7, 9])
    assert false_reject_rate(scores, 7).above == 1
    assert false_reject_rate(scores, 6).above == 3


@pytest.mark.parametrize(("percentile", "permille"), [(95.0, 950), (99.9, 999), (0.1, 1), (97.35, 974)])
def test_percentiles_are_tenths_of_a_percent(percentile: float, permille: int) -> None:
    assert to_permille(percentile) == permille


@pytest.mark.parametrize("percentile", [0, 100, -3, 100.5])
def test_impossible_percentiles_are_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        to_permille(percentile)


def test_nothing_to_take_a_percentile_of() -> None:
    with pytest.raises(ValueError, match="no held-out scores"):
        image_threshold(np.array([], int), 950)
    with pytest.raises(ValueError, match="no held-out pixels"):
        pixel_threshold(np.zeros(65536, np.int64), 950)


def test_the_upper_bound_leaves_one_in_twenty_below_its_count() -> None:
    """By its definition: at that share, at most k of n are seen with a probability of 5 %."""
    for k, n in ((0, 1), (0, 19), (1, 40), (7, 12), (39, 40)):
        assert binom.cdf(k, n, upper_bound(k, n)) == pytest.approx(0.05, rel=1e-9)
        assert binom.cdf(k, n, upper_bound(k, n, 0.8)) == pytest.approx(0.2, rel=1e-9)
    assert upper_bound(5, 5) == upper_bound(0, 0) == 1
    for k, n, confidence in ((-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)):
        with pytest.raises(ValueError, match="0 <= k <= n"):
            upper_bound(k, n, confidence)


def test_a_rate_as_a_sentence() -> None:
    rate = FalseRejectRate(above=1, n=40, expected=2 / 41, upper=0.1134)
    assert rate.sentence == (
        "Expected false rejects (overkill) 5 %, at most 12 % with 95 % confidence, from 40 parts; "
        "in this sample 1 of 40."
    )

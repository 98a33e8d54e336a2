"""The p-chart and the moving average: against simulation, SciPy and values written out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import betabinom

from padim.decision.calibration import FalseRejectRate
from padim.records.figures.recorded import promised_counts
from padim.records.figures.reject_chart import TAIL, promised_count, reject_chart, reject_limits
from padim.records.figures.score_drift import ewma_of, look_changes


@pytest.mark.parametrize(("above", "n"), [(0, 20), (2, 59), (10, 209), (1, 3)])
@pytest.mark.parametrize("size", [1, 7, 100, 900])
def test_limits_are_quantiles_of_the_beta_binomial(above: int, n: int, size: int) -> None:
    law = betabinom(size, above + 1, n - above)
    low, high = reject_limits(above, n, size)
    assert law.cdf(low - 1) <= TAIL + 1e-12
    assert law.cdf(low) > TAIL - 1e-12
    assert law.sf(high) <= TAIL + 1e-12
    assert high == 0 or law.sf(high - 1) > TAIL - 1e-12


def test_good_parts_stay_within_the_limits_as_often_as_promised() -> None:
    # New scores, new parts, each time: k is what the threshold happens to leave above it.
    rng = np.random.default_rng(2)
    n, size, times = 40, 60, 20_000
    held_out = np.sort(rng.random((times, n)), axis=1)
    threshold = held_out[:, n - 3]  # two are above
    rejected = rng.binomial(size, 1 - threshold)
    low, high = reject_limits(2, n, size, 0.025)
    assert (rejected > high).mean() <= 0.025 + 0.004
    assert (rejected < low).mean() <= 0.025 + 0.004
    # Not the limits of a binomial, that take the rate for known.
    binomial = rng.binomial(size, 3 / 41, times)
    assert np.quantile(binomial, 0.975) < np.quantile(rejected, 0.975) <= high + 1


def test_points_beyond_the_limits_are_on_their_side() -> None:
    chart = reject_chart(1, 99, [("a", 1, 60), ("b", 40, 60), ("nothing", 0, 0), ("c", 0, 50_000)])
    assert chart.expected == pytest.approx(0.02)
    assert [(point.label, point.side) for point in chart.points] == [("a", 0), ("b", 1), ("c", -1)]
    assert reject_limits(5, 5, 10) == (0, 10)
    with pytest.raises(ValueError, match="k"):
        reject_limits(6, 5, 10)
    for k in range(31):
        assert promised_count((k + 1) / 31, 30) == k


def test_the_average_and_its_limits_are_those_written_out() -> None:
    rng = np.random.default_rng(3)
    held_out, scores = rng.normal(10, 2, 50), rng.normal(11, 2, 40)
    found = ewma_of(scores, held_out)
    mean, deviation = held_out.mean(), held_out.std(ddof=1)
    z = mean
    for t, score in enumerate(scores, start=1):
        z = 0.2 * score + 0.8 * z
        reach = 3 * deviation * math.sqrt(0.2 / 1.8 * (1 - 0.8 ** (2 * t)))
        assert found.average[t - 1] == pytest.approx(z)
        assert (found.low[t - 1], found.high[t - 1]) == pytest.approx((mean - reach, mean + reach))


def test_the_first_false_signal_comes_after_some_560_scores() -> None:
    # Lucas and Saccucci (1990): the average run length of λ = 0.2, L = 3 is 559.9.
    rng = np.random.default_rng(4)
    held_out = np.tile([-1.0, 1.0], 50_000)  # mean 0, deviation 1
    lengths = []
    for _ in range(400):
        beyond = np.flatnonzero(ewma_of(rng.normal(size=6000), held_out).beyond)
        lengths.append(beyond[0] + 1 if len(beyond) else 6000)
    assert np.mean(lengths) == pytest.approx(560, rel=0.2)


def test_since_when_the_average_is_outside() -> None:
    held_out = np.array([9.0, 10, 11])
    steady, high = [10.0] * 30, [14.0] * 20
    assert ewma_of(np.array(steady), held_out).since is None
    since = ewma_of(np.array(steady + high), held_out).since
    assert since is not None
    assert 30 <= since <= 33
    assert ewma_of(np.array(high + steady), held_out).since is None
    assert ewma_of(np.array(high), held_out).since == 0
    assert ewma_of(np.array([]), held_out).since is None
    with pytest.raises(ValueError, match="two different"):
        ewma_of(np.array(steady), np.array([3.0, 3.0]))


def test_what_moved_is_named_and_what_did_not_is_not() -> None:
    rng = np.random.default_rng(6)
    number = 1000
    later = np.arange(number) >= number // 2
    columns = SimpleNamespace(
        brightness=rng.normal(120, 5, number) + 10 * later,
        sharpness=rng.normal(300, 40, number),
        shift_x=np.where(later, np.nan, 0.0),
        shift_y=np.full(number, np.nan),
    )
    found = {change.column: change for change in look_changes(columns)}
    assert set(found) == {"brightness", "sharpness", "shift_x"}
    assert found["brightness"].moved
    assert found["brightness"].deviations == pytest.approx(2, abs=0.4)
    assert not found["sharpness"].moved
    assert not found["shift_x"].moved
    assert found["shift_x"].deviations == 0


def test_chance_alone_moves_nothing() -> None:
    rng = np.random.default_rng(7)
    moved = 0
    for _ in range(300):
        values = rng.normal(size=(4, 100))
        columns = SimpleNamespace(
            brightness=values[0], sharpness=values[1], shift_x=values[2], shift_y=values[3]
        )
        moved += sum(change.moved for change in look_changes(columns))
    assert moved / 1200 < 0.02


@pytest.mark.parametrize(("k", "n", "kept_out"), [(0, 20, 0), (3, 64, 4), (12, 230, 21)])
def test_the_counts_of_a_promise_are_found_from_its_shares(k: int, n: int, kept_out: int) -> None:
    rate = FalseRejectRate.counted(k, n)
    assert promised_counts(rate.expected, rate.upper, n - kept_out) == (k, n)
    assert promised_counts(rate.expected, None, n) == (k, n)

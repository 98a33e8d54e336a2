"""Operating points against trying every threshold there is; intervals against resampling by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from padim.decision.operating_points import (
    Costs,
    OperatingPoint,
    Rate,
    clopper_pearson,
    evaluate_at,
    operating_points,
)

TOP = 65535
# Few different levels, so that scores tie; both ends of the scale among them.
LEVELS = st.sampled_from([0, 1, 2, 3, 5, 8, 13, 14, 15, 65533, 65534, 65535])
SCORES = st.lists(LEVELS, min_size=1, max_size=12)
# Levels between which, and at which, anything can change; the brute force tries no others.
TRIED = [*range(20), *range(65530, 65535)]
COSTS = st.builds(
    Costs,
    miss=st.sampled_from([0.1, 1.0, 7.0, 300.0]),
    false_reject=st.sampled_from([0.0, 0.1, 1.0, 2.5]),
    defective=st.sampled_from([0.001, 0.1, 0.5]),
)


def points(good: Any, defect: Any, costs: Costs | None = None, **more: int) -> dict[str, OperatingPoint]:
    found = operating_points(np.array(good), np.array(defect), costs, **more)
    return {point.kind: point for point in found}


def counted(good: list[int], defect: list[int], level: int) -> tuple[int, int]:
    """Misses and false rejects by the definition: rejected is what scores above."""
    return sum(not s > level for s in defect), sum(s > level for s in good)


def f1_of(good: list[int], defect: list[int], level: int) -> Fraction:
    misses, false_rejects = counted(good, defect, level)
    true = len(defect) - misses
    return Fraction(2 * true, 2 * true + misses + false_rejects)


def cost_of(good: list[int], defect: list[int], level: int, costs: Costs) -> Fraction:
    """As people write it: 0.1 is a tenth."""
    misses, false_rejects = counted(good, defect, level)
    share, miss, reject = (Fraction(str(x)) for x in (costs.defective, costs.miss, costs.false_reject))
    return share * miss * Fraction(misses, len(defect)) + (1 - share) * reject * Fraction(
        false_rejects, len(good)
    )


# --- the points ---


@settings(max_examples=200, deadline=None)
@given(good=SCORES, defect=SCORES, costs=COSTS)
def test_every_point_is_the_best_of_all_thresholds(good: list[int], defect: list[int], costs: Costs) -> None:
    found = points(good, defect, costs, resamples=2)
    counts = {level: counted(good, defect, level) for level in TRIED}

    best = max(f1_of(good, defect, level) for level in TRIED)
    assert f1_of(good, defect, found["best_f1"].level) == best
    tied = [counts[level] for level in TRIED if f1_of(good, defect, level) == best]
    assert counted(good, defect, found["best_f1"].level) == min(tied)

    none_missed = [level for level in TRIED if counts[level][0] == 0]
    assert ("zero_miss" in found) == bool(none_missed)
    if none_missed:
        point = found["zero_miss"]
        assert (point.misses.count, point.tied_high) == (0, max(none_missed))
        assert point.false_rejects.count == min(counts[level][1] for level in none_missed)

    none_rejected = [level for level in TRIED if counts[level][1] == 0]
    assert ("zero_false_reject" in found) == bool(none_rejected)
    if none_rejected:
        point = found["zero_false_reject"]
        assert (point.false_rejects.count, point.tied_low) == (0, min(none_rejected))
        assert point.misses.count == min(counts[level][0] for level in none_rejected)

    cheapest = min(cost_of(good, defect, level, costs) for level in TRIED)
    assert cost_of(good, defect, found["lowest_cost"].level, costs) == cheapest
    tied = [counts[level] for level in TRIED if cost_of(good, defect, level, costs) == cheapest]
    assert counted(good, defect, found["lowest_cost"].level) == min(tied)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(good=SCORES, defect=SCORES, costs=COSTS)
def test_a_tied_range_holds_all_levels_that_do_the_same(
    good: list[int], defect: list[int], costs: Costs
) -> None:
    for point in points(good, defect, costs, resamples=2).values():
        low, high = point.tied_low, point.tied_high
        assert 0 <= low <= point.level <= high <= TOP - 1
        here = counted(good, defect, point.level)
        assert here == (point.misses.count, point.false_rejects.count)
        assert counted(good, defect, low) == counted(good, defect, high) == here
        assert low == 0 or counted(good, defect, low - 1) != here
        assert high == TOP - 1 or counted(good, defect, high + 1) != here


@settings(max_examples=100, deadline=None)
@given(good=SCORES, defect=SCORES, level=st.integers(0, TOP), costs=COSTS)
def test_any_level_is_counted_by_the_definition(
    good: list[int], defect: list[int], level: int, costs: Costs
) -> None:
    point = evaluate_at(np.array(good), np.array(defect), level, costs, resamples=2)
    misses, false_rejects = counted(good, defect, level)
    assert (point.kind, point.level) == ("chosen", level)
    assert (point.misses.count, point.misses.of) == (misses, len(defect))
    assert (point.false_rejects.count, point.false_rejects.of) == (false_rejects, len(good))
    assert point.f1 == pytest.approx(float(f1_of(good, defect, level)))
    assert point.cost == pytest.approx(1000 * float(cost_of(good, defect, level, costs)))
    assert point.tied_low <= level <= point.tied_high
    truth = [False] * len(good) + [True] * len(defect)
    rejected = [score > level for score in good + defect]
    assert point.f1 == pytest.approx(f1_score(truth, rejected, zero_division=0.0))


def test_separated_scores_have_one_threshold_for_all_aims() -> None:
    found = points([10, 20, 30], [130, 90, 400], Costs(50, 1, 0.01))
    assert {(p.level, p.tied_low, p.tied_high) for p in found.values()} == {(59, 30, 89)}
    assert {p.f1 for p in found.values()} == {1.0}
    assert {p.cost for p in found.values()} == {0.0}
    assert list(found) == ["best_f1", "zero_miss", "zero_false_reject", "lowest_cost"]


def test_without_costs_there_is_no_cheapest_point() -> None:
    found = points([10, 20, 30], [25, 90])
    assert list(found) == ["best_f1", "zero_miss", "zero_false_reject"]
    assert all(point.cost is None and point.cost_interval is None for point in found.values())


def test_dear_misses_lower_the_threshold() -> None:
    good, defect = [10, 20, 30, 40, 50], [25, 35, 45, 55, 65]
    assert points(good, defect, Costs(1000, 1, 0.5))["lowest_cost"].misses.count == 0
    assert points(good, defect, Costs(1, 1000, 0.5))["lowest_cost"].false_rejects.count == 0
    even = points(good, defect, Costs(1, 1, 0.5))["lowest_cost"]
    # Errors cost the same whichever they are, 4 of them at each of several levels: the fewest misses decide.
    assert (even.misses.count, even.false_rejects.count) == (0, 3)


@pytest.mark.parametrize(("n", "costs"), [(6, Costs(1, 1, 0.5)), (8, Costs(0.9, 0.1, 0.1))])
def test_equal_costs_are_seen_through_rounding(n: int, costs: Costs) -> None:
    """Good and defective scores alternate: n - 1 errors at every other level, and they all cost the same."""
    point = points(range(1, 2 * n, 2), range(2, 2 * n + 1, 2), costs)["lowest_cost"]
    # In floating point the level with one miss is the cheaper one, by an error of rounding.
    assert (point.misses.count, point.false_rejects.count) == (0, n - 1)


def test_a_point_that_no_threshold_attains_is_left_out() -> None:
    assert "zero_miss" not in points([5, 6], [0, 9])
    assert "zero_false_reject" not in points([5, TOP], [7, 9])
    assert list(points([TOP], [0], Costs(1, 1, 0.5))) == ["best_f1", "lowest_cost"]


@pytest.mark.parametrize(
    ("good", "defect", "kind", "level", "tied"),
    [
        # Nothing above the highest good part: half of its distance to the score below it.
        ([100, 300, 500], [200, 250], "zero_false_reject", 599, (500, TOP - 1)),
        # Nothing below the lowest defect.
        ([300, 500], [100, 200], "zero_miss", 49, (0, 99)),
        ([800, 900], [700, 720], "zero_miss", 689, (0, 699)),
        # The end of the scale is nearer than that.
        ([10, 65500], [20, 30], "zero_false_reject", 65517, (65500, TOP - 1)),
        ([20, 9000], [5, 4000], "zero_miss", 2, (0, 4)),
        # A single score tells of no spacing: next to it.
        ([40], [40], "zero_false_reject", 40, (40, TOP - 1)),
        ([40], [40], "zero_miss", 39, (0, 39)),
        # Scores at the ends of the scale are scores like others.
        ([0, 0], [11], "zero_miss", 5, (0, 10)),
        ([30000], [TOP], "zero_miss", 47767, (30000, TOP - 1)),
        ([TOP], [TOP], "zero_miss", TOP - 1, (0, TOP - 1)),
        ([0], [0], "zero_false_reject", 0, (0, TOP - 1)),
    ],
)
def test_the_level_is_the_middle_or_one_spacing_beyond_the_end(
    good: list[int], defect: list[int], kind: str, level: int, tied: tuple[int, int]
) -> None:
    point = points(good, defect)[kind]
    assert (point.level, (point.tied_low, point.tied_high)) == (level, tied)


@settings(max_examples=30, deadline=None)
@given(
    good=st.lists(st.integers(100, 900), min_size=1, max_size=20),
    defect=st.lists(st.integers(100, 900), min_size=1, max_size=20),
)
def test_the_order_of_the_parts_and_the_integer_type_do_not_matter(
    good: list[int], defect: list[int]
) -> None:
    costs = Costs(10, 1, 0.1)
    first = operating_points(np.array(good, np.uint16), np.array(defect, np.int32), costs, resamples=20)
    second = operating_points(np.array(good[::-1]), np.array(sorted(defect)), costs, resamples=20)
    assert first == second


def test_the_input_is_left_as_it_was() -> None:
    good, defect = np.array([3, 1, 2]), np.array([9, 2, 5])
    operating_points(good, defect)
    assert (good.tolist(), defect.tolist()) == ([3, 1, 2], [9, 2, 5])


# --- intervals ---


@given(of=st.integers(0, 400), data=st.data())
def test_rates_carry_the_exact_interval(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    rate = Rate.counted(count, of)
    if of == 0:
        assert (rate.low, rate.high) == (0, 1)
        assert math.isnan(rate.share)
        return
    peer = binomtest(count, of).proportion_ci(0.95, "exact")
    assert [rate.low, rate.high] == pytest.approx([peer.low, peer.high])
    assert rate.low <= rate.share <= rate.high
    assert rate.share == count / of


def test_the_exact_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(0)
    for share in (0.01, 0.07, 0.4):
        for of in (8, 60):
            ends = np.array([clopper_pearson(count, of) for count in range(of + 1)])[
                rng.binomial(of, share, 20_000)
            ]
            assert np.mean((ends[:, 0] <= share) & (share <= ends[:, 1])) >= 0.95 - 0.005


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts_are_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Rate.counted(count, of)


@pytest.mark.parametrize("confidence", [0, 1, 1.5, math.nan])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(1, 2, confidence)


def test_intervals_agree_with_resampling_the_parts() -> None:
    """The same bootstrap with the parts themselves drawn, good and defective ones apart."""
    rng = np.random.default_rng(1)
    good, defect = rng.integers(0, 600, 80), rng.integers(400, 900, 30)
    costs, level = Costs(40, 2, 0.03), 500
    point = evaluate_at(good, defect, level, costs, resamples=20_000)
    f1, cost = [], []
    for _ in range(20_000):
        misses = np.count_nonzero(rng.choice(defect, len(defect)) <= level)
        rejects = np.count_nonzero(rng.choice(good, len(good)) > level)
        found = len(defect) - misses
        f1.append(2 * found / (2 * found + misses + rejects))
        cost.append(1000 * (0.03 * 40 * misses / len(defect) + 0.97 * 2 * rejects / len(good)))
    assert point.f1_interval == pytest.approx(np.percentile(f1, (2.5, 97.5)), abs=0.006)
    assert point.cost_interval == pytest.approx(np.percentile(cost, (2.5, 97.5)), rel=0.03)
    assert point.cost is not None
    assert point.cost_interval is not None
    assert point.f1_interval[0] < point.f1 < point.f1_interval[1]
    assert point.cost_interval[0] < point.cost < point.cost_interval[1]


def test_the_same_seed_gives_the_same_intervals() -> None:
    good, defect = np.arange(0, 60), np.arange(40, 90)
    costs = Costs(9, 1, 0.2)
    first = operating_points(good, defect, costs, seed=3, resamples=50)
    assert first == operating_points(good, defect, costs, seed=3, resamples=50)
    assert first != operating_points(good, defect, costs, seed=4, resamples=50)
    for point in first:
        again = evaluate_at(good, defect, point.level, costs, seed=3, resamples=50)
        assert again.f1_interval == point.f1_interval
        assert again.cost_interval == point.cost_interval


def test_no_error_leaves_a_point_and_an_open_rate() -> None:
    point = points([1, 2, 3], [10, 11, 12, 13])["best_f1"]
    assert point.f1_interval == (1, 1)
    assert point.misses.high == pytest.approx(0.602, abs=0.001)
    assert point.false_rejects.high == pytest.approx(0.708, abs=0.001)


# --- refusals ---


@pytest.mark.parametrize("dtype", [int, float])
def test_missing_parts_are_named(dtype: type) -> None:
    none: Any = np.array([], dtype)
    some = np.array([1, 2])
    for run in (operating_points, lambda good, defect: evaluate_at(good, defect, 1)):
        with pytest.raises(ValueError, match="good parts"):
            run(none, some)
        with pytest.raises(ValueError, match="defective parts"):
            run(some, none)


@pytest.mark.parametrize("wrong", [[0.5, 1.0], [-1, 2], [65536], [[1, 2]], [True, False], ["a"]])
def test_what_are_no_levels_is_refused(wrong: list[Any]) -> None:
    with pytest.raises(ValueError, match="good parts must be"):
        operating_points(np.array(wrong), np.array([1]))
    with pytest.raises(ValueError, match="defective parts must be"):
        operating_points(np.array([1]), np.array(wrong))


def test_impossible_levels_and_resamples_are_refused() -> None:
    some = np.array([1, 2])
    for level in (-1, 65536):
        with pytest.raises(ValueError, match="level of 0 to 65535"):
            evaluate_at(some, some, level)
    with pytest.raises(ValueError, match="at least one resample"):
        operating_points(some, some, resamples=0)


@pytest.mark.parametrize(
    ("miss", "false_reject", "defective", "named"),
    [
        (-1, 1, 0.1, "a miss"),
        (math.nan, 1, 0.1, "a miss"),
        (1, math.inf, 0.1, "a false reject"),
        (1, -0.01, 0.1, "a false reject"),
        (0, 0, 0.1, "both"),
        (1, 1, 0, "share of defective"),
        (1, 1, 1, "share of defective"),
        (1, 1, math.nan, "share of defective"),
    ],
)
def test_impossible_costs_are_named(miss: float, false_reject: float, defective: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Costs(miss, false_reject, defective)

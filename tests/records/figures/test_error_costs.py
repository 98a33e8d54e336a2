"""Predictive values and the cheapest threshold: against Bayes by counting, and every threshold tried."""

from __future__ import annotations

import numpy as np
import pytest

from padim.decision.operating_points import Costs
from padim.records.figures.error_costs import ErrorCostSettings, cheapest_threshold, predictive_values
from padim.records.figures.part_heat import heat_of


def test_predictive_values_are_those_of_a_population_counted() -> None:
    # 10,000 parts: 100 defective of which 20 are missed; 9,900 good of which 198 are rejected.
    found = predictive_values(0.01, 0.02, 0.2)
    assert found.positive == pytest.approx(80 / 278)
    assert found.negative == pytest.approx(9702 / 9722)
    assert found.rejected == pytest.approx(278 / 10_000)
    assert predictive_values(0.5, 0.0, 1.0).positive is None
    assert predictive_values(0.5, 1.0, 0.0).negative is None


@pytest.mark.parametrize("seed", range(6))
def test_no_threshold_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good = rng.integers(0, 60, 40)
    defects, weights = rng.integers(20, 120, 12), rng.choice([1.0, 1.5, 50.0], 12)
    costs = Costs(miss=float(rng.integers(1, 500)), false_reject=1.0, defective=0.05)
    found = cheapest_threshold(good, defects, weights, costs, 50)

    def cost(level: int) -> float:
        misses = weights[defects <= level].sum() / weights.sum()
        rejects = ((good > level).sum() + 1) / (len(good) + 1)
        return float(0.05 * costs.miss * misses + 0.95 * rejects)

    assert found.lowest == pytest.approx(min(cost(level) for level in range(200)))
    assert cost(found.level) == pytest.approx(found.lowest)
    assert found.in_use == pytest.approx(cost(50))
    assert cost(50) == pytest.approx(
        0.05 * costs.miss * found.misses_in_use + 0.95 * found.false_rejects_in_use
    )
    assert found.passed == int((defects <= 50).sum())
    low, high = found.saving
    assert low - 1e-9 <= found.in_use - found.lowest <= high + 1e-9


def test_the_interval_of_the_saving_is_that_of_resampling_every_score() -> None:
    rng = np.random.default_rng(11)
    good, defects = rng.integers(0, 80, 50), rng.integers(40, 140, 40)
    weights, costs = np.ones(40), Costs(20.0, 1.0, 0.05)
    found = cheapest_threshold(good, defects, weights, costs, 30)
    saved = []
    for _ in range(3000):
        g, d = rng.choice(good, 50), rng.choice(defects, 40)
        pair = [
            float(costs.per_part(np.array(np.mean(d <= level)), np.array(((g > level).sum() + 1) / 51)))
            for level in (30, found.level)
        ]
        saved.append(pair[0] - pair[1])
    assert found.saving == pytest.approx(np.percentile(saved, (2.5, 97.5)), abs=0.06)


def test_a_missed_defect_that_stands_for_many_lowers_the_threshold() -> None:
    good, defects = np.arange(40), np.array([30, 80, 90, 100])
    costs = Costs(50.0, 1.0, 0.01)
    alone = cheapest_threshold(good, defects, np.ones(4), costs, 39)
    many = cheapest_threshold(good, defects, np.array([50.0, 1, 1, 1]), costs, 39)
    assert many.level < 30 < alone.level
    with pytest.raises(ValueError, match="needs scores"):
        cheapest_threshold(good, np.array([], int), np.array([]), costs, 39)
    with pytest.raises(ValueError, match="above 0"):
        cheapest_threshold(good, defects, np.zeros(4), costs, 39)


def test_costs_that_are_typed_are_costs() -> None:
    costs = ErrorCostSettings(defective=0.02, false_reject=3.0, missed_defect=50.0).costs()
    assert (costs.miss, costs.false_reject, costs.defective) == (50.0, 3.0, 0.02)
    with pytest.raises(ValueError, match="cost nothing"):
        ErrorCostSettings(false_reject=0, missed_defect=0).costs()


def test_heat_lies_where_the_centers_of_regions_are_and_counts_their_area() -> None:
    def region(x: int, y: int, side: int) -> str:
        return f'{{"x": {x}, "y": {y}, "width": {side}, "height": {side}, "area": {side * side}}}'

    heat = heat_of(
        [
            (100, 200, f"[{region(0, 0, 10)}, {region(180, 80, 20)}]"),
            (200, 400, f"[{region(360, 160, 40)}]"),
            (100, 200, "[]"),
        ]
    )
    assert heat.share.shape == (10, 20)
    assert (heat.regions, heat.images, heat.aspect) == (3, 2, 0.5)
    # 100, 400 and 1,600 pixels of 20,000, 20,000 and 80,000: the image's size does not count.
    assert heat.share[0, 0] == pytest.approx(1 / 9)
    assert heat.share[9, 19] == pytest.approx(8 / 9)
    assert heat.share.sum() == pytest.approx(1)
    nothing = heat_of([])
    assert nothing.share.sum() == 0

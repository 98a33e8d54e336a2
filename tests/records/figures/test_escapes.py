"""Missed defects from the audit: against weights written out, and against simulated audits."""

from __future__ import annotations

import numpy as np
import pytest

from padim.decision.operating_points import clopper_pearson
from padim.records.figures.defect_weights import confirmed_defects
from padim.records.figures.escapes import estimate_escapes
from tests.records.figures.columns_of import columns_of


def test_one_probability_gives_the_share_in_the_audit_with_its_exact_interval() -> None:
    audited = np.arange(1000) < 20
    defect = np.arange(1000) < 3
    found = estimate_escapes(np.full(1000, 0.02), audited, audited, defect)
    assert found.share == pytest.approx(3 / 20)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(3, 20))
    assert (found.accepted, found.not_covered, found.audited, found.found) == (1000, 0, 20, 3)
    assert found.total == pytest.approx(150)


def test_weights_are_inverse_probabilities_where_as_many_were_drawn_as_expected() -> None:
    probability = np.repeat([0.02, 0.5], 1000)
    audited = np.zeros(2000, bool)
    audited[:20] = audited[1000:1500] = True
    defect = np.zeros(2000, bool)
    defect[:4] = defect[1000:1030] = True
    found = estimate_escapes(probability, audited, audited, defect)
    weight = 1 / probability[audited]
    assert found.share == pytest.approx((weight * defect[audited]).sum() / weight.sum())
    # Not the share among the audited, which the second class dominates.
    assert found.share != pytest.approx(34 / 520, rel=0.5)
    assert found.share is not None
    assert found.low < found.share < found.high
    assert found.probabilities == 2


def test_what_no_audit_speaks_of_is_said() -> None:
    none = estimate_escapes(np.full(50, 0.02), np.zeros(50, bool), np.zeros(50, bool), np.zeros(50, bool))
    assert (none.share, none.total, none.low, none.high) == (None, None, 0.0, 1.0)
    assert (none.accepted, none.not_covered) == (0, 50)
    # No audit at all at first, then one of two waits.
    probability = np.repeat([0.0, np.nan, 0.1], [30, 5, 20])
    audited = np.arange(55) >= 53
    decided = np.arange(55) == 54
    some = estimate_escapes(probability, audited, decided, np.zeros(55, bool))
    assert (some.accepted, some.not_covered, some.audited, some.waiting) == (20, 35, 1, 1)
    assert some.share == 0
    assert some.high == pytest.approx(clopper_pearson(0, 1)[1])


@pytest.mark.parametrize(
    ("shares", "rates"), [((0.05,), (0.02,)), ((0.02, 0.2), (0.05, 0.01)), ((0.05, 0.3), (0.0, 0.1))]
)
def test_the_estimate_is_right_on_average_and_its_interval_covers(
    shares: tuple[float, ...], rates: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(5)
    size = 1500
    probability, rate = np.repeat(shares, size), np.repeat(rates, size)
    truth, covered = float(np.mean(rates)), 0
    estimates: list[float] = []
    for _ in range(400):
        defect = rng.random(len(rate)) < rate
        audited = rng.random(len(rate)) < probability
        # Some audits wait, by chance.
        decided = audited & (rng.random(len(rate)) < 0.8)
        found = estimate_escapes(probability, audited, decided, defect & decided)
        assert found.share is not None
        estimates.append(found.share)
        covered += int(found.low <= truth <= found.high)
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * error
    assert covered / 400 >= 0.95 - 0.02  # three standard errors are 0.033


def test_each_confirmed_defect_stands_for_its_class() -> None:
    rows: list[dict[str, object]] = [
        {"verdict": "reject", "decision": one} for one in ["reject", "reject", "accept", None, "unsure"]
    ]
    rows += [{"verdict": "review", "decision": one} for one in ["reject", "accept"]]
    rows += [{"audit_probability": 0.1, "audited": True, "decision": one} for one in ["reject", "accept"]]
    # Accepted, not audited: one of them is found for another reason, and does not count.
    rows += [{"audit_probability": 0.1, "decision": "reject"}]
    rows += [{"audit_probability": 0.1} for _ in range(17)]
    found = confirmed_defects(columns_of(rows))
    assert found.rows.tolist() == [0, 1, 5, 7]
    assert found.weights.tolist() == pytest.approx([5 / 3, 5 / 3, 1, 10])
    assert found.missed.tolist() == [False, False, False, True]
    assert found.miss_rate == pytest.approx(10 / (10 + 1 + 10 / 3))
    assert confirmed_defects(columns_of([])).miss_rate is None

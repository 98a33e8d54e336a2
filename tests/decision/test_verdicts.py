"""Counts and rates of verdicts: against the verdict of each score, for any threshold and guard band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.decision.anomaly_map import MAX_LEVEL, Quantizer
from padim.decision.calibration import false_reject_rate
from padim.decision.guard_band import Guard, VerdictLimits, verdict_limits, verdict_of
from padim.decision.verdicts import VerdictCounts, count_verdicts, verdict_rates

QUANTIZER = Quantizer(0.5, 0.25)
LEVELS = st.one_of(st.integers(0, MAX_LEVEL), st.integers(90, 110))
GUARDS = st.one_of(st.none(), st.floats(0, 30).map(lambda w: Guard(w, 1.0, 1, 2, 1)))


@given(scores=st.lists(LEVELS, max_size=30), threshold=LEVELS, guard=GUARDS)
def test_counts_are_those_of_the_single_verdicts(
    scores: list[int], threshold: int, guard: Guard | None
) -> None:
    said = [verdict_of(score, threshold, guard, QUANTIZER) for score in scores]
    limits = verdict_limits(threshold, guard, QUANTIZER)
    assert [limits.verdict(score) for score in scores] == said
    found = count_verdicts(scores, limits)
    assert found == VerdictCounts(said.count("accept"), said.count("review"), said.count("reject"))
    assert found == count_verdicts(np.array(scores, np.uint16), limits)
    assert (found.total, found.not_accepted) == (len(said), len(said) - said.count("accept"))


@given(scores=st.lists(LEVELS, min_size=3, max_size=30), threshold=LEVELS, guard=GUARDS)
def test_rates_count_what_the_verdicts_count(scores: list[int], threshold: int, guard: Guard | None) -> None:
    limits = verdict_limits(threshold, guard, QUANTIZER)
    counts = count_verdicts(scores, limits)
    rates = verdict_rates(np.array(scores), limits, QUANTIZER)
    assert (rates.rejected.above, rates.not_accepted.above) == (counts.reject, counts.not_accepted)
    assert rates.rejected.n == rates.not_accepted.n == counts.total
    assert rates.rejected.expected <= rates.not_accepted.expected
    assert rates.rejected.upper <= rates.not_accepted.upper
    if not limits.has_review:
        assert rates.rejected == rates.not_accepted == false_reject_rate(np.array(scores), threshold)
        assert rates.sentence == rates.rejected.sentence


@pytest.mark.parametrize(
    ("threshold", "width", "limits"),
    [
        (100, 0.0, VerdictLimits(100, 100, 100)),
        (100, 0.2, VerdictLimits(100, 100, 100)),  # less than a level is no band
        (100, 0.25, VerdictLimits(98, 101, 100)),
        (100, 2.6, VerdictLimits(89, 110, 100)),
        (3, 2.5, VerdictLimits(-1, 13, 3)),
        (MAX_LEVEL - 1, 2.5, VerdictLimits(MAX_LEVEL - 12, MAX_LEVEL, MAX_LEVEL - 1)),
    ],
)
def test_the_border_belongs_to_the_band(threshold: int, width: float, limits: VerdictLimits) -> None:
    assert verdict_limits(threshold, Guard(width, 1.0, 1, 2, 1), QUANTIZER) == limits


def test_the_sentence_names_both_shares_and_their_limits() -> None:
    limits = verdict_limits(15, Guard(1.0, 1.0, 1, 2, 1), QUANTIZER)  # 4 levels on either side
    rates = verdict_rates(np.arange(24), limits, QUANTIZER)
    assert rates.sentence == (
        "Expected false rejects (overkill, above 5.25) 20 %, at most 35 % with 95 % confidence, from 24 "
        "parts; in this sample 4 of 24. Review: about 40 in 100 good parts go to a person, in this sample "
        "9 of 24; rejected or in review (above 3.00) 56 %, at most 72 %."
    )

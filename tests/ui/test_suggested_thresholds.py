"""Advice of the Calibrate page: the effect of more normals, and percentiles that need more parts."""

from __future__ import annotations

import numpy as np
import pytest

from padim.decision.calibration import false_reject_rate, image_threshold
from ui import suggested_thresholds


@pytest.mark.parametrize(("n", "more"), [(10, 40), (24, 40), (48, 100), (90, 200)])
def test_more_parts_promise_a_tighter_bound_at_the_same_rate(n: int, more: int) -> None:
    rate = false_reject_rate(np.arange(n), n - 2)
    phrase = suggested_thresholds.outlook(rate)
    assert phrase is not None
    assert f"If {more} parts scored alike" in phrase
    bounds = [int(text.split(" %")[0].rsplit(" ", 1)[1]) for text in (phrase, phrase.split("would be")[1])]
    # Tighter, but never below the rate to expect itself.
    assert rate.expected * 100 <= bounds[1] < bounds[0]


def test_enough_parts_need_no_advice() -> None:
    assert suggested_thresholds.outlook(false_reject_rate(np.arange(100), 95)) is None


def test_an_unsupported_percentile_says_how_many_parts_it_takes() -> None:
    assert suggested_thresholds.unsupported(image_threshold(np.arange(19), 950)) is None
    phrase = suggested_thresholds.unsupported(image_threshold(np.arange(18), 950))
    assert phrase is not None
    assert "95 % asks for at least 19 good parts; there are 18" in phrase

"""Predictions: one level map, read as score, decision, mask and regions, and read again at other settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import CalibrationError, Padim, PadimError
from padim.decision.guard_band import Guard
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, region_score
from tests.parts import defects, normals


def maps(seed: int, side: int = 24) -> np.ndarray:
    return (np.random.default_rng(seed).random((side, side)) ** 4 * 60000).astype(np.uint16)


@given(seed=st.integers(0, 999), level=st.integers(0, 65535), area=st.integers(1, 40))
def test_score_mask_and_regions_agree(seed: int, level: int, area: int) -> None:
    levels = maps(seed)
    found = decide(levels, level, area)
    assert found.score_level == region_score(levels, area)
    assert found.rejected == (found.score_level > level) == bool(found.mask.any()) == bool(found.regions)
    np.testing.assert_array_equal(found.mask, map_mask(levels, level, area))
    assert found.verdict == ("reject" if found.rejected else "accept")


@given(
    seed=st.integers(0, 99),
    before=st.integers(0, 65535),
    level=st.integers(0, 65535),
    area=st.integers(1, 40),
)
def test_deciding_again_is_deciding_at_once(seed: int, before: int, level: int, area: int) -> None:
    first = decide(maps(seed), before, 1)
    _ = first.mask  # what was worked out at the former threshold is not kept for another
    again, at_once = first.at(level=level, min_area=area), decide(maps(seed), level, area)
    assert (again.score_level, again.rejected, again.regions) == (
        at_once.score_level,
        at_once.rejected,
        at_once.regions,
    )
    np.testing.assert_array_equal(again.mask, at_once.mask)
    assert first.threshold_level == before, "a prediction does not change"


def test_values_are_in_map_units_and_levels_beside_them(small_model: Padim) -> None:
    for found in small_model.predict(defects(3)):
        scale = small_model.state.fitted.quantizer
        assert found.score == scale.to_value(found.score_level)
        assert found.threshold == small_model.threshold_ == scale.to_value(small_model.threshold_level)
        assert found.rejected == (found.score > found.threshold)
        assert found.anomaly_map.dtype == np.float32
        np.testing.assert_array_equal(scale.quantize(found.anomaly_map.astype(np.float64)), found.levels)
        other = found.at(threshold=found.threshold * 2)
        assert other.threshold_level == scale.to_level(found.threshold * 2)


def test_a_model_decides_again_without_the_network(
    small_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = next(iter(small_model.predict(defects(1))))
    low = small_model.decide(found, 0, 1)
    assert low.rejected
    assert low.scored_by == found.scored_by
    with pytest.raises(PadimError, match="score it again"):
        small_model.decide(replace(found, scored_by="another"))


def test_without_a_threshold_nothing_is_decided(small_model: Padim) -> None:
    few = Padim(small_model.config).fit(normals(2))
    (found,) = few.predict(defects(1))
    assert found.score_level > 0
    assert found.threshold is None
    for read in ("rejected", "verdict", "mask", "regions"):
        with pytest.raises(CalibrationError, match="no threshold"):
            getattr(found, read)
    assert found.at(level=0).rejected
    assert "no threshold" in repr(found)


def test_the_guard_band_asks_for_a_review(small_model: Padim) -> None:
    found = next(iter(small_model.predict(defects(1))))
    assert found.threshold is not None
    guard = Guard(abs(found.score - found.threshold) * 2, sd=1.0, dof=3, shots=6, parts=3)
    banded = replace(found, guard=guard)
    assert banded.verdict == "review"
    assert banded.rejected == found.rejected, "the mask knows nothing of the band"


def test_two_ways_to_say_a_threshold_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="not both"):
        decide(maps(1), 5, 1).at(1.0, level=3)
    with pytest.raises(ValueError, match="level from 0"):
        decide(maps(1), 5, 1).at(level=70000)

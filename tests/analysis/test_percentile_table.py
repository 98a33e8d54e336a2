"""The table of percentiles and the rates they promise, and the lowest percentile that keeps a promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import CalibrationError, Padim, PadimConfig
from padim.analysis.percentile_table import USUAL, lowest_percentile, percentile_table
from padim.decision.calibration import Choice
from tests.parts import normals


def test_a_row_for_every_percentile_and_the_choice(saved_model: Path) -> None:
    model = Padim.load(saved_model).set_decision(percentile=85)
    rows = percentile_table(model, "image")
    assert {row.threshold.permille for row in rows} == {850, *USUAL}
    assert [row.threshold.permille for row in rows if row.chosen] == [850]
    levels = [row.threshold.level for row in rows]
    assert levels == sorted(levels)
    for row in rows:
        assert row.threshold == model.state.threshold(
            Choice("image", row.threshold.permille or 0), model.config.min_area
        )
        rate = model.state.false_rejects(row.threshold.level, model.config.min_area)
        assert row.rates.rejected == row.rates.not_accepted == rate


def test_a_choice_by_hand_has_its_place_among_them(saved_model: Path) -> None:
    model = Padim.load(saved_model)
    model.set_decision(value=model.state.fitted.quantizer.to_value(model.threshold_level + 1))
    rows = percentile_table(model, "pixel")
    assert len(rows) == len(USUAL) + 1
    (by_hand,) = [row for row in rows if row.chosen]
    assert by_hand.threshold.permille is None
    assert {row.threshold.basis for row in rows if not row.chosen} == {"pixel"}


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_the_lowest_percentile_that_keeps_the_promise(small_model: Padim, share: float) -> None:
    found = lowest_percentile(small_model, "image", share)
    assert found is not None

    def expected(permille: int) -> float:
        return small_model.state.false_rejects(
            small_model.state.threshold(Choice("image", permille), small_model.config.min_area).level,
            small_model.config.min_area,
        ).expected

    assert expected(found) <= share + 1e-9
    assert all(expected(permille) > share for permille in range(1, found))


def test_so_few_parts_cannot_promise_so_little(small_model: Padim, small_config: PadimConfig) -> None:
    assert lowest_percentile(small_model, "image", 0.001) is None
    with pytest.raises(CalibrationError):
        percentile_table(Padim(small_config).fit(normals(2)), "image")

"""Blind spots: places, shares and the weakest cell, from the trials of a sensitivity measurement."""

from __future__ import annotations

import numpy as np
import pytest

from padim import Padim
from padim.analysis.blind_spots import counts_by_place, overall_share, weakest_cell
from padim.analysis.map_scale import fitted_scale
from padim.analysis.sensitivity import cells_for
from tests.trials import made


def test_the_weakest_cell_and_the_blind_places() -> None:
    caught = np.ones((9, 2, 2, 2), bool)
    caught[0] = False
    caught[4, 1, 0] = False
    measurement = made(caught)
    cell = weakest_cell(measurement)
    assert (cell.row, cell.column, cell.places) == (0, 0, 3)
    assert cell.share == pytest.approx(2 / 3)
    places = counts_by_place(measurement)
    assert [place.blind for place in places] == [True] + [False] * 8
    assert [(place.count, place.of) for place in places] == [(0, 8)] + 3 * [(8, 8)] + [(6, 8)] + 4 * [(8, 8)]
    assert overall_share(places) == pytest.approx(62 / 72)
    # Of one kind alone.
    assert [place.count for place in counts_by_place(measurement, "scratch")] == [0] + [4] * 8
    assert counts_by_place(measurement, "spot")[4].count == 2


def test_places_without_a_trial_are_left_out() -> None:
    void = np.zeros((3, 1, 2, 1), bool)
    void[1] = True
    places = counts_by_place(made(~void, void))
    assert [place.of for place in places] == [2, 2]
    assert [place.x for place in places] == pytest.approx([64 / 6, 320 / 6])
    everywhere = made(void & False, void | True)
    assert counts_by_place(everywhere) == []
    with pytest.raises(ValueError, match="NaN"):
        weakest_cell(everywhere)


@pytest.mark.parametrize("places", [1, 12, 27, 48, 300, 10_000])
def test_cells_leave_some_places_to_each(places: int) -> None:
    cells = cells_for(places)
    assert 2 <= cells <= 10
    assert cells == 2 or places / cells**2 >= 3


def test_the_scale_is_that_of_the_images_of_the_fit(small_model: Padim) -> None:
    height, width = small_model.normals_[0].original_size
    side, _ = small_model.config.input_shape
    assert fitted_scale(small_model) == (width / side, height / side)

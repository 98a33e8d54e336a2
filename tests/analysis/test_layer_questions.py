"""Questions about layers: places in an image, normals, and shares as whole percents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.analysis.attribution import explain, explain_held_out, strongest_place
from padim.analysis.layer_questions import (
    asked_places,
    can_attribute,
    embed_file,
    explain_each,
    features_by_layer,
    whole_percents,
)
from padim.analysis.stored_score import StoredScore
from padim.decision.regions import map_mask
from tests.parts import defects, normals


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8))
def test_percents_sum_to_a_hundred_and_are_off_by_less_than_one(amounts: list[float]) -> None:
    got, whole = whole_percents(amounts), sum(amounts)
    if whole <= 0:
        assert got == [0] * len(amounts)
        return
    assert sum(got) == 100
    for percent, amount in zip(got, amounts, strict=True):
        assert abs(percent - 100 * amount / whole) < 1 + 1e-6


def test_thirds_do_not_lose_a_percent() -> None:
    assert whole_percents([1, 1, 1]) == [34, 33, 33]
    assert whole_percents([0.0, 0.0]) == [0, 0]


def stored(model: Padim, file: tuple[str, bytes]) -> StoredScore:
    (one,) = model.predict([file])
    return StoredScore(one.name, one.sha256, one.original_size, one.content_box, one.grid)


def test_regions_can_be_asked_about_and_the_whole(small_model: Padim) -> None:
    name, data = defects(1)[0]
    image = stored(small_model, (name, bytes(data)))
    level, area = small_model.threshold_level, small_model.config.min_area
    *regions, whole = asked_places(image, small_model, level)
    assert whole.whole
    found = image.decide(small_model, level, area).regions
    assert found
    assert [place.region for place in regions] == list(found)
    union = np.any([place.mask for place in regions], axis=0)
    np.testing.assert_array_equal(union, map_mask(image.levels(small_model), level, area))
    assert not (union & ~whole.mask).any()


def test_below_the_threshold_it_is_the_strongest_place(small_model: Padim) -> None:
    name, data = normals(1, first=100)[0]
    image = stored(small_model, (name, bytes(data)))
    level = image.score(small_model, small_model.config.min_area)
    place, whole = asked_places(image, small_model, level)
    assert place.region is None
    assert not place.whole
    q = image.levels(small_model)
    np.testing.assert_array_equal(place.mask, strongest_place(q, small_model.config.min_area))
    assert whole.whole


def test_features_are_counted_by_layer(small_model: Padim) -> None:
    kept = features_by_layer(small_model)
    assert [layer.name for layer, _ in kept] == list(small_model.config.active_layers)
    assert sum(n for _, n in kept) == len(small_model.state.channels)


@pytest.mark.parametrize(
    ("settings", "report"), [({}, True), ({"position_tolerance": 1}, False), ({"method": "patchcore"}, False)]
)
def test_only_a_sum_of_layers_can_be_attributed(settings: dict[str, object], report: bool) -> None:
    assert can_attribute(Padim(PadimConfig.model_validate(settings))) == report


def test_shares_are_those_of_the_explanation(saved_model: Path, small_model: Padim) -> None:
    name, data = defects(1)[0]
    embedding = embed_file(small_model, name, bytes(data))
    image = stored(small_model, (name, bytes(data)))
    place = asked_places(image, small_model, small_model.threshold_level)[0]
    shares = explain(small_model, embedding, place.mask).shares
    assert shares.sum() == pytest.approx(1)
    assert len(shares) == len(features_by_layer(small_model))
    each = explain_each(small_model, [3, 0])
    assert list(each) == [3, 0]
    area = small_model.config.min_area
    (alone,) = explain_held_out(small_model, [(3, strongest_place(small_model.state.held_out_map(3), area))])
    np.testing.assert_allclose(each[3].shares, alone.shares)

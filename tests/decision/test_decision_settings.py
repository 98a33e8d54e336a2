"""Smoothing, region of interest and threshold change what is judged, never what the network saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim import Padim
from padim.decision.anomaly_map import level_map
from tests.parts import normals


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def half(model: Padim) -> np.ndarray:
    roi = np.zeros(model.config.input_shape, bool)
    roi[:, : roi.shape[1] // 2] = True
    return roi


def test_smoothing_after_a_restart_equals_having_fitted_with_it(model: Padim, small_model: Padim) -> None:
    runs = model.network.extractor.runs
    model.set_decision(smoothing_sigma=4.0)
    assert model.network.extractor.runs == runs
    config = small_model.config.model_copy(update={"smoothing_sigma": 4.0})
    fitted = Padim(config).fit(normals(22))
    assert model.state.fitted.quantizer == fitted.state.fitted.quantizer
    assert np.array_equal(
        model.state.part_scores(model.config.min_area), fitted.state.part_scores(fitted.config.min_area)
    )
    assert model.current_threshold == fitted.current_threshold


def test_the_region_of_interest_judges_only_inside(model: Padim) -> None:
    before = model.state.image_levels(model.config.min_area).copy()
    model.set_roi(half(model))
    after = model.state.image_levels(model.config.min_area)
    assert (after <= before).all()
    assert (after < before).any()
    for index in range(len(after)):
        expected = level_map(
            model.state.fitted.held_out[index],
            shape=model.config.input_shape,
            sigma=model.config.smoothing_sigma,
            quantizer=model.state.fitted.quantizer,
            roi=half(model),
        )
        assert np.array_equal(model.state.held_out_map(index), expected)
        assert not model.state.held_out_map(index)[:, model.config.input_shape[1] // 2 :].any()


def test_the_region_of_interest_is_saved_and_taken_back(model: Padim, tmp_path: Path) -> None:
    whole = model.state.image_levels(model.config.min_area).copy()
    model.set_roi(half(model)).save(tmp_path / "m")
    again = Padim.load(tmp_path / "m")
    assert again.decision.roi is not None
    assert np.array_equal(again.decision.roi, half(model))
    assert np.array_equal(
        again.state.image_levels(again.config.min_area), model.state.image_levels(model.config.min_area)
    )
    again.set_roi(None).save(tmp_path / "m")
    assert Padim.load(tmp_path / "m").decision.roi is None
    assert np.array_equal(again.state.image_levels(again.config.min_area), whole)


def test_only_judged_pixels_count_on_the_pixel_basis(model: Padim) -> None:
    model.set_roi(half(model))
    judged = int(half(model).sum())
    assert model.state.pixel_histogram().sum() == judged * len(model.normals_)


def test_an_impossible_region_or_smoothing_changes_nothing(model: Padim) -> None:
    before = model.current_threshold
    with pytest.raises(ValueError, match="empty"):
        model.set_roi(np.zeros_like(half(model)))
    with pytest.raises(ValueError, match="bool"):
        model.set_roi(half(model).astype(np.uint8))
    with pytest.raises(ValueError, match="smoothing_sigma"):
        model.set_decision(percentile=90, smoothing_sigma=-1)
    assert model.decision.roi is None
    assert model.current_threshold == before

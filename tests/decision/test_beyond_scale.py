"""A threshold beyond the scale of the levels is refused or given room; it never lets everything pass."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.decision.anomaly_map import HIGHEST_THRESHOLD, MAX_LEVEL, Quantizer, upsample_and_smooth
from padim.decision.calibration import Basis, Choice
from padim.errors import BeyondScaleError, BundleError, CalibrationError
from padim.fitting import with_room_for
from padim.storage import bundle
from padim.storage.bundle import Bundle
from tests.parts import defects, normals

SMALL = PadimConfig(input_size=64, grid_stride=8, n_features=12, smoothing_sigma=2, min_area=1)


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def rejected_where_it_should_be(model: Padim) -> None:
    """A threshold in use rejects what is above it, whatever is scored; without one there is no verdict."""
    value = model.decision.choice.value
    assert value is not None
    if model.current_threshold is None:
        with pytest.raises(CalibrationError, match=r"is beyond this model.s scale, .*: set another"):
            _ = model.threshold_level
        return
    shape = model.config.input_shape
    for factor in (0.5, 0.99, 1.01, 2, 1000):
        distances = np.full(model.config.grid_shape, factor * value, np.float32)
        q = model.state.map(distances, shape)
        peak = float(upsample_and_smooth(distances, shape, model.config.smoothing_sigma).max())
        apart = abs(peak - value) > model.state.fitted.quantizer.step
        if apart:
            assert (q.max() > model.threshold_level) == (peak > value), (factor, value)


@pytest.mark.parametrize("value", [1e9, 1e300, math.inf, -math.inf, math.nan, -1.0, -1e-300, 10**400])
def test_what_is_no_threshold_is_refused(model: Padim, value: float) -> None:
    before, choice = model.threshold_level, model.decision.choice
    with pytest.raises(ValueError, match=r"the threshold (must be a number of at least 0|can be at most)"):
        model.set_decision(value=value)
    assert (model.threshold_level, model.decision.choice) == (before, choice)


def test_one_kept_for_later_is_refused_when_its_time_comes(model: Padim) -> None:
    model.set_decision(value=1e9, basis="image")
    with pytest.raises(ValueError, match="can be at most"):
        model.set_decision(basis="manual")
    assert model.decision.choice.basis == "image"


@pytest.mark.parametrize("value", [0.0, 1e-9, 3.0, 40.0, 400.0, 1e9])
def test_set_before_a_fit(value: float) -> None:
    model = Padim(SMALL).set_decision(value=value).fit(normals(5))
    rejected_where_it_should_be(model)
    assert (model.current_threshold is None) == (value == 1e9)
    if value == 1e9:
        (scored,) = model.predict(defects(1))
        with pytest.raises(BeyondScaleError):
            model.decide(scored)
        with pytest.raises(BeyondScaleError):
            model.verdict(scored.score_level)


def test_without_a_threshold_it_is_saved_and_exported_without(tmp_path: Path) -> None:
    from padim.output.export import metadata

    model = Padim(SMALL).set_decision(value=1e9).fit(normals(5))
    path = model.save(tmp_path / "model")
    assert Bundle(path).manifest["threshold"] is None
    assert "threshold_level" not in metadata(model)
    again = Padim.load(path)
    assert again.current_threshold is None
    again.set_decision(basis="image")
    assert again.threshold_level > 0


def test_one_by_hand_stays_valid_through_changes(tmp_path: Path) -> None:
    model = Padim(SMALL, work_dir=tmp_path / "work").fit(normals(6))
    highest = model.state.fitted.quantizer.highest_threshold
    model.set_decision(value=highest * 0.999)
    changes: list[Any] = [
        lambda: model.set_decision(smoothing_sigma=9),
        lambda: model.set_decision(smoothing_sigma=30),
        lambda: model.exclude(1, "kept_out"),
        lambda: model.set_layers(["blocks.2"]),
        lambda: model.set_layers(["blocks.2", "blocks.4", "blocks.10"]),
        lambda: model.partial_fit(normals(2, first=50)),
        lambda: model.set_roi(np.tri(64, dtype=bool)),
        lambda: model.working_set.delete(),
        lambda: model.partial_fit(normals(1, first=70)),
    ]
    for change in changes:
        change()
        assert model.decision.choice.value == highest * 0.999
        assert model.current_threshold is not None
        assert model.threshold_level <= HIGHEST_THRESHOLD
        if model.decision.roi is None:
            rejected_where_it_should_be(model)
    again = Padim.load(model.save(tmp_path / "model"))
    assert again.threshold_level == model.threshold_level


def test_undone_the_scale_is_the_former_one(model: Padim) -> None:
    model.set_decision(value=model.state.fitted.quantizer.highest_threshold)
    before = model.state.fitted.quantizer
    model.set_decision(smoothing_sigma=20)
    assert model.state.fitted.quantizer.highest_threshold > model.decision.choice.value  # type: ignore[operator]
    assert model.set_decision(smoothing_sigma=2).state.fitted.quantizer == before


def test_a_bundle_that_says_so_has_no_threshold(model: Padim, tmp_path: Path) -> None:
    """Also one that was saved when this was not looked at."""
    for value, there in ((1e9, False), (model.state.fitted.quantizer.highest_threshold, True)):
        manifest = _rewritten(model, tmp_path, {"basis": "manual", "permille": 950, "value": value})
        opened = Padim.load(tmp_path / "model")
        assert manifest["choice"]["value"] == opened.decision.choice.value
        assert (opened.current_threshold is not None) == there
        rejected_where_it_should_be(opened)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 10**400, "5", None, True])
def test_a_bundle_with_no_number_for_a_threshold_is_refused(model: Padim, tmp_path: Path, value: Any) -> None:
    _rewritten(model, tmp_path, {"basis": "manual", "permille": 950, "value": value})
    with pytest.raises(BundleError, match=r"manifest.json"):
        Padim.load(tmp_path / "model")


def _rewritten(model: Padim, folder: Path, choice: dict[str, Any]) -> dict[str, Any]:
    path = model.save(folder / "model", force=True)  # over the rewritten one, too
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["choice"] = choice
    manifest["seal"] = bundle._seal(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return dict(manifest)


def test_a_good_part_beyond_the_scale_gives_no_threshold_either(model: Padim) -> None:
    fitted = model.state.fitted
    odd = fitted.held_out.copy()
    odd[:] = 1e6
    model._install(replace(fitted, held_out=odd))
    for basis in ("image", "pixel"):
        model.set_decision(basis=basis)
        assert model.current_threshold is None
        with pytest.raises(BeyondScaleError, match="take that part out as not good, or set the threshold by"):
            _ = model.threshold_level


VALUES = st.floats(0, 1e12) | st.floats(0, 100)
CHANGES = st.lists(
    st.tuples(st.just("value"), VALUES)
    | st.tuples(st.just("basis"), st.sampled_from(["image", "pixel", "manual"]))
    | st.tuples(st.just("smoothing_sigma"), st.floats(0, 40))
    | st.tuples(st.just("min_area"), st.integers(1, 64)),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(before=VALUES, changes=CHANGES)
def test_whatever_is_accepted_rejects_what_is_above_it(
    saved_model: Path, before: float, changes: list[tuple[str, Any]]
) -> None:
    model = _opened(saved_model)
    for name, setting in [("value", before), *changes]:
        try:
            model.set_decision(**{name: setting})
        except ValueError:
            continue
        if model.decision.choice.basis == "manual":
            rejected_where_it_should_be(model)
        else:
            assert model.current_threshold is None or model.current_threshold.level < MAX_LEVEL


_SHARED: dict[Path, Padim] = {}


def _opened(path: Path) -> Padim:
    """Opened once; every example begins with the same decision."""
    model = _SHARED.setdefault(path, Padim.load(path))
    model.decision = replace(model.decision, choice=Choice())
    return model.set_decision(smoothing_sigma=2.0, min_area=8)


@given(st.floats(1e-12, 1e12), st.floats(0, 1e15))
def test_room_is_made_within_reason(step: float, threshold: float) -> None:
    scale = Quantizer(0.0, step)
    wider = with_room_for(scale, threshold)
    assert step <= wider.step <= 16 * step
    if threshold <= scale.highest_threshold:
        assert wider == scale
    elif wider != scale:
        assert abs(wider.to_level(threshold) - MAX_LEVEL // 2) <= 1
    else:
        assert threshold > 7.9 * scale.highest_threshold


def test_the_bases_are_those_that_are_tried() -> None:
    assert set(Basis.__args__) == {"image", "pixel", "manual"}  # type: ignore[attr-defined]

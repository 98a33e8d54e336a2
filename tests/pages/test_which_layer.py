"""Attribution to layers on the Inspect page, and layer tuning on the Fit page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.analysis import attribution
from padim.analysis.attribution import embed, explain, region_masks
from padim.analysis.layer_questions import whole_percents
from padim.data.loading import prepare
from padim.decision.self_test import MOST_IMAGES
from padim.network.extractor import FeatureExtractor
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals

FILES = [(name, data) for name, data in (*normals(2, first=100), *defects(2)) if isinstance(data, bytes)]
BAR_CHART, STACK, LEGEND = (f'class="pv-{kind}"' for kind in ("bars", "stack", "legend"))
BARS = re.compile(r"<b>(blocks\.\d+)</b>.*?<em>(\d+) %</em>", re.S)


def shares(page: Session) -> dict[str, int]:
    """Return the bars on the page, in percent by layer."""
    charts = [str(one.value) for one in page.app.html if BAR_CHART in str(one.value)]
    assert len(charts) == 1
    return {name: int(percent) for name, percent in BARS.findall(charts[0])}


def unfold(page: Session, key: str) -> Session:
    page.app.session_state[key] = True
    return page.run()


@pytest.fixture
def network_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one whenever an explanation runs the network."""
    runs: list[int] = []
    real = attribution.embed

    def counted(model: Padim, rgb: np.ndarray) -> np.ndarray:
        runs.append(1)
        return real(model, rgb)

    monkeypatch.setattr("padim.analysis.layer_questions.embed", counted)
    return runs


def test_nothing_is_computed_until_requested(add_model: AddModel, network_runs: list[int]) -> None:
    page = Session("inspect", model=add_model("Parts").id).upload(FILES)
    assert [e.label for e in page.app.expander] == ["Which layer saw it"]
    assert BAR_CHART not in page.text
    assert network_runs == []


def test_the_bars_are_the_engines(add_model: AddModel, home: Path, network_runs: list[int]) -> None:
    entry = add_model("Parts")
    page = unfold(Session("inspect", model=entry.id).upload(FILES), "inspect-layers")
    model = Workspace(home).open(entry.id)
    scored = {one.name: one for one in model.predict(FILES)}
    worst = max(scored.values(), key=lambda one: one.score_level)
    embedding = embed(model, prepare((worst.name, dict(FILES)[worst.name]), model.network.preprocess).rgb)
    masks = region_masks(worst.levels, model.threshold_level, model.config.min_area)
    (box,) = [box for box in page.app.selectbox if (box.key or "").startswith("inspect-where-")]
    assert len(box.options) == len(masks) + 1
    assert box.options[-1] == "Whole image"
    expected = whole_percents(explain(model, embedding, masks[0]).shares.tolist())
    assert shares(page) == dict(zip(model.config.layers, expected, strict=True))
    box.set_value(len(masks))
    page.run()
    expected = whole_percents(explain(model, embedding).shares.tolist())
    assert shares(page) == dict(zip(model.config.layers, expected, strict=True))
    assert len(network_runs) == 1


def test_a_new_threshold_does_not_run_the_network(
    add_model: AddModel, home: Path, network_runs: list[int]
) -> None:
    entry = add_model("Parts")
    page = unfold(Session("inspect", model=entry.id).upload(FILES), "inspect-layers")
    runs = len(network_runs), Workspace(home).open(entry.id).network.extractor.runs
    model = Workspace(home).open(entry.id)
    model.set_decision(value=model.state.fitted.quantizer.to_value(65534)).save(entry.path)
    page.run()
    (box,) = [box for box in page.app.selectbox if (box.key or "").startswith("inspect-where-")]
    assert box.options == ["Strongest place, below the threshold", "Whole image"]
    assert sum(shares(page).values()) == 100
    # The saved model is opened anew, which may run its self-test once; no image is scored or explained again.
    assert len(network_runs) == runs[0]
    assert model.network.extractor.runs - runs[1] in (0, MOST_IMAGES)


def on_fit(model_id: str) -> Session:
    page = Session("fit", model=model_id)
    page.app.query_params["tab"] = "result"
    return page.run()


@pytest.mark.slow
def test_layers_are_turned_off_and_on_again(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Parts")
    before = Workspace(home).open(entry.id)
    page = on_fit(entry.id)
    assert BAR_CHART not in page.text
    unfold(page, "fit-layers")
    assert sum(shares(page).values()) == 100
    assert "of 20 features" in page.text
    assert page.app.button(key="fit-relayer").disabled

    def never(*_: object) -> None:
        raise AssertionError("the network ran")

    monkeypatch.setattr(FeatureExtractor, "__call__", never)
    (pills,) = page.app.pills
    pills.set_value(["blocks.2", "blocks.10"])
    page.run()
    page.click("fit-relayer")
    assert "The model now uses blocks.2 and blocks.10; blocks.4 is off." in page.text
    model = Workspace(home).open(entry.id)
    assert model.config.inactive_layers == ("blocks.4",)
    assert list(shares(page)) == ["blocks.2", "blocks.10"]
    assert "Layers in use</dt><dd>2 of 3" in page.text
    (pills,) = page.app.pills
    assert pills.value == ["blocks.2", "blocks.10"]
    pills.set_value([])
    page.run()
    assert "Choose at least one layer" in page.text
    assert page.app.button(key="fit-relayer").disabled
    (pills,) = page.app.pills
    pills.set_value(["blocks.2", "blocks.4", "blocks.10"])
    page.run()
    page.click("fit-relayer")
    assert "uses all its layers again" in page.text
    again = Workspace(home).open(entry.id)
    assert again.config == before.config
    assert again.current_threshold == before.current_threshold
    np.testing.assert_array_equal(again.state.fitted.held_out, before.state.fitted.held_out)


def test_test_images_are_scored_again_with_other_layers(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(FILES)
    before = {item["name"]: item["score"] for item in page.viewer["items"]}
    changed = Workspace(home).open(entry.id).set_layers(["blocks.4"])
    changed.save(entry.path)
    unfold(page.run(), "inspect-layers")
    after = {item["name"]: item["score"] for item in page.viewer["items"]}
    assert after != before
    assert after == {one.name: one.score_level for one in changed.predict(FILES)}
    assert shares(page) == {"blocks.4": 100}


def test_each_normal_shows_the_shares_of_its_layers(add_model: AddModel) -> None:
    page = on_fit(add_model("Parts").id)
    assert STACK not in page.text
    page.app.toggle(key="fit-odd-by-layer").set_value(True)
    page.run()
    assert page.text.count(STACK) == 12
    assert page.text.count(LEGEND) == 1
    page.click("fit-show-more")
    assert page.text.count(STACK) == 22


def test_without_features_nothing_can_be_tuned(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    Workspace(home).open(entry.id).working_set.delete()
    page = unfold(on_fit(entry.id), "fit-layers")
    assert "no layer can be looked at" in page.text
    assert not page.app.pills
    assert not page.app.toggle

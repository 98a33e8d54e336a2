"""Presets on the Fit page: one click sets the settings, and any other setting makes them custom."""

from __future__ import annotations

import pytest

from padim import Workspace
from padim.network import registry
from padim.presets import settings
from tests.pages.session import Session
from tests.pages.test_fit import GOOD
from tests.parts import part, png
from ui.widgets import layer_range

LITE = "fit-layers-efficientnet_lite0"


def preset(page: Session) -> str:
    return str(page.app.segmented_control(key="fit-preset").value)


@pytest.mark.slow
def test_a_preset_sets_the_settings_below_it() -> None:
    page = Session("fit").upload(GOOD)
    assert preset(page) == "standard"
    page.set("segmented_control", "fit-preset", "fine")
    assert preset(page) == "fine"
    assert page.app.pills(key=LITE).value == ["blocks.4", "blocks.10"]
    assert page.app.slider(key="fit-d-efficientnet_lite0-152").value == 152
    assert page.app.selectbox(key="fit-stride").value == 8
    assert "scoring takes" in page.text
    page.set("segmented_control", "fit-preset", "fast")
    assert page.app.pills(key=LITE).value == list(settings("fast")["layers"])
    assert page.app.selectbox(key="fit-stride").value == 16
    page.set("segmented_control", "fit-preset", "standard")
    assert page.app.pills(key=LITE).value == list(settings("standard")["layers"])
    assert page.app.slider(key="fit-d-efficientnet_lite0-176").value == 100
    assert page.app.selectbox(key="fit-stride").value == 8


def test_a_custom_setting_is_labelled_and_undone_by_a_preset() -> None:
    page = Session("fit").upload(GOOD)
    page.set("selectbox", "fit-size", 320)
    assert preset(page) == "custom"
    assert "Settings of your own" in page.text
    page.set("selectbox", "fit-size", 256)
    assert preset(page) == "standard"
    page.app.pills(key=LITE).set_value([])
    page.run()
    assert preset(page) == "custom"
    assert page.app.button(key="fit-go").disabled
    page.set("segmented_control", "fit-preset", "fine")
    assert preset(page) == "fine"
    assert not page.app.button(key="fit-go").disabled


def test_layers_are_chosen_by_a_range_from_finest_to_coarsest() -> None:
    page = Session("fit").upload(GOOD)
    ends = page.app.select_slider(key=f"{LITE}-range")
    assert tuple(ends.value) == (4, 16)
    ends.set_range(8, 16)
    page.run()
    assert page.app.pills(key=LITE).value == ["blocks.4", "blocks.10"]
    # The chips decide: a gap between them stays, and the slider shows what they span.
    page.app.pills(key=LITE).set_value(["blocks.0", "blocks.10"])
    page.run()
    assert tuple(page.app.select_slider(key=f"{LITE}-range").value) == (2, 16)
    assert page.app.pills(key=LITE).value == ["blocks.0", "blocks.10"]


def test_a_range_takes_the_usual_layer_of_each_stride() -> None:
    lite = registry.get("efficientnet_lite0")
    assert layer_range.within(lite, 4, 16) == list(lite.default_layers)
    assert layer_range.within(lite, 2, 8) == ["blocks.0", "blocks.2", "blocks.4"]
    assert layer_range.within(lite, 32, 32) == ["blocks.15"]
    joined = registry.get("efficientnet_lite0+resnet18")
    assert set(layer_range.within(joined, 4, 16)) == set(joined.default_layers)


def test_the_choice_outlives_a_visit_to_another_page() -> None:
    page = Session("fit").upload(GOOD)
    page.set("segmented_control", "fit-preset", "fast")
    page.go("home").go("fit")
    assert preset(page) == "fast"
    assert page.app.selectbox(key="fit-stride").value == 16


def test_another_network_has_presets_of_its_grid_alone() -> None:
    page = Session("fit").upload(GOOD)
    page.set("segmented_control", "fit-preset", "fine")
    page.set("selectbox", "fit-backbone", "efficientnet_lite1")
    assert preset(page) == "standard"
    page.set("segmented_control", "fit-preset", "fine")
    assert preset(page) == "fine"
    assert page.app.selectbox(key="fit-stride").value == 4
    assert "not measured with this network" in page.text


@pytest.mark.slow
def test_a_model_is_fitted_by_the_preset(home) -> None:  # type: ignore[no-untyped-def]
    page = Session("fit").upload(GOOD)
    page.set("segmented_control", "fit-preset", "fast").click("fit-go")
    (entry,) = Workspace(home).models()
    config = Workspace(home).open(entry.id).config
    wanted = {**settings("fast"), "n_features": 152}
    assert {key: getattr(config, key) for key in wanted} == wanted


def test_the_input_size_follows_the_parts_and_can_be_chosen() -> None:
    tall = [(f"tall_{i}.png", png(part(i, size=(250, 100)))) for i in range(3)]
    page = Session("fit").upload(tall)
    assert page.app.selectbox(key="fit-size").value == "parts"
    assert "As the parts: 160 × 416" in page.app.selectbox(key="fit-size").options
    assert "Time and memory of 256 × 256." in page.text
    assert preset(page) == "standard"
    # A preset brings the parts' shape back.
    page.set("selectbox", "fit-size", 512)
    assert "4 times the time and memory of 256 × 256." in page.text
    assert preset(page) == "custom"
    page.set("selectbox", "fit-size", "own")
    page.set("number_input", "fit-size-height", 96).set("number_input", "fit-size-width", 70)
    assert "Sides are multiples of 32: 64 × 96 is used." in page.text

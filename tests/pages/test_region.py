"""Region page: the effects of a draft, saving it, and regions of models with few parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from padim import Padim, Workspace
from padim.decision.roi import Shape, rasterize
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import normals
from ui import region

TOP = Shape("polygon", "exclude", ((0.0, 0.0), (64.0, 0.0), (64.0, 24.0), (0.0, 24.0)))
ALL = Shape("brush", "exclude", ((32.0, 32.0),), 90.0)


def draw(page: Session, entry: Entry, *shapes: Shape, size: int = 64) -> Session:
    """Draw shapes, as a message of the editor would."""
    key = f"padim:{region.__name__}.{region._Drawings.__qualname__}"
    drawn = page.app.session_state[key].of[entry.id]
    drawn.shapes, drawn.size = shapes, size
    return page.run()


def test_without_a_model_it_says_where_to_get_one() -> None:
    assert "No model in use" in Session("region").text


def test_before_anything_is_drawn(add_model: AddModel) -> None:
    page = Session("region", model=add_model("Parts").id)
    assert "No region is in use: everything is scored." in page.text
    assert "100 %" in page.text
    assert "This draft" not in page.text
    assert page.app.button(key="region-save").disabled
    assert "False-alarm map" in page.text


def test_a_draft_is_compared_saved_and_removed(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = draw(Session("region", model=entry.id), entry, TOP)
    assert "A draft" in page.text
    assert "decided again by themselves" in page.text
    model = Workspace(home).open(entry.id)
    assert model.decision.roi is None
    level = model.threshold_level
    peer = Workspace(home).open(entry.id).set_roi(rasterize((TOP,), (64, 64)), (TOP,))
    for rate in (
        model.false_reject_rate_,
        peer.state.false_rejects(level, peer.config.min_area),
        peer.false_reject_rate_,
    ):
        assert f"{rate.above} of 22 parts" in page.text
    for threshold in (level, peer.threshold_level):
        assert f"{model.state.fitted.quantizer.to_value(threshold):.2f}" in page.text
    assert "62.5 %" in page.text
    page.click("region-save")
    saved = Workspace(home).open(entry.id)
    assert saved.decision.roi_shapes == (TOP,)
    assert saved.threshold_level == peer.threshold_level
    assert "This region is in use." in page.text
    assert "This draft" not in page.text
    assert page.app.button(key="region-save").disabled
    page.click("region-remove")
    assert Workspace(home).open(entry.id).decision.roi is None
    assert "everything is scored" in page.text


def test_an_empty_region_is_refused(add_model: AddModel) -> None:
    entry = add_model("Parts")
    page = draw(Session("region", model=entry.id), entry, ALL)
    assert "Nothing would be scored" in page.text
    assert page.app.button(key="region-save").disabled
    page.click("region-back")
    assert "Nothing would be scored" not in page.text


def test_a_drawing_for_another_input_size_breaks_nothing(add_model: AddModel) -> None:
    entry = add_model("Parts")
    page = draw(Session("region", model=entry.id), entry, TOP, size=256)
    assert "No region is in use: everything is scored." in page.text


def test_a_region_that_was_not_drawn_here(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    model.set_roi(np.tri(64, dtype=bool)).save(entry.path)
    page = Session("region", model=entry.id)
    assert "was not drawn on this page" in page.text
    assert "This region is in use." in page.text


def test_two_parts_may_have_a_region_but_no_counts(home: Path, small_model: Padim) -> None:
    store = Workspace(home)
    entry = store.create("Two")
    Padim(small_model.config, work_dir=store.work_dir(entry.id)).fit(normals(2)).save(entry.path)
    page = Session("region", model=entry.id)
    assert "no counts of false rejects" in page.text
    draw(page, entry, TOP).click("region-save")
    assert store.open(entry.id).decision.roi_shapes == (TOP,)


def test_a_damaged_bundle_is_named(add_model: AddModel) -> None:
    entry = add_model("Parts")
    mean = next(entry.path.glob("mean-*.npy"))
    mean.write_bytes(mean.read_bytes()[:-8])
    page = Session("region", model=entry.id)
    assert "The model cannot be opened." in page.text
    assert mean.name in page.text

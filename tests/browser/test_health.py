"""The health of a model in a real browser: the turned part's story, from red by one click to its remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import served
from padim import Padim, Workspace
from padim.records.image_records import NewImage
from padim.records.library import ImageLibrary
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.parts import png
from tests.posed import any_pose


@pytest.fixture(scope="module")
def blind_entry(home: Path) -> Entry:
    """A model of parts at any angle that are compared as they lie, with its images, not checked yet."""
    images = [(name, png(rgb)) for name, rgb in any_pose(20, 3)]
    store = Workspace(home)
    entry = store.create("Turned")
    model = Padim(input_size=128, grid_stride=8, n_features=20, work_dir=store.work_dir(entry.id))
    model.fit(images).save(entry.path)
    ImageLibrary(home, entry.id).add([NewImage(name, data, "good") for name, data in images], "fit")
    return store.get(entry.id)


@pytest.fixture(scope="module")
def server(start: Start, blind_entry: Entry) -> served.Server:
    """The app on a workspace with a blind model."""
    return start()


def test_a_blind_model_is_red_until_the_remedy_or_a_reason(
    server: served.Server, visit: Visit, home: Path, blind_entry: Entry
) -> None:
    visitor = visit(server)
    visitor.open(f"/inspect?model={blind_entry.id}")
    visitor.see_heading("Inspect")
    line = visitor.keyed("health-line")
    line.get_by_text("This model is not fit for use.").wait_for()
    # The remedy is a second model on the images of the first, and both are compared.
    line.get_by_role("button", name="Fit a second model with the remedy").click()
    visitor.see_heading("Fit")
    visitor.main.get_by_text("Remedy for “Turned”.").wait_for()
    second = next(one for one in Workspace(home).models() if one.id != blind_entry.id)
    assert visitor.model_id == second.id
    assert second.manifest["config"]["align"]["method"] == "outline"
    visitor.main.get_by_test_id("stDataFrame").wait_for()
    assert not visitor.main.get_by_text("This model is not fit for use.").count()
    # The first one stays red, also for another browser, until somebody says why it can be used.
    other = visit(server)
    other.open(f"/calibrate?model={blind_entry.id}")
    other.see_heading("Calibrate")
    other.keyed("health-line").get_by_text("This model is not fit for use.").wait_for()
    other.button("Use it all the same").click()
    other.page.get_by_role("textbox", name="Why can it be used?").fill("40 of 40 real defects were caught")
    other.page.keyboard.press("Tab")
    other.page.get_by_role("button", name="Confirm").click()
    other.keyed("health-line").get_by_text("This model is not fit for use.").wait_for(state="detached")
    visitor.open(f"/inspect?model={blind_entry.id}")
    visitor.see_heading("Inspect")
    visitor.settle()
    assert not visitor.main.get_by_text(re.compile("not fit for use")).count()

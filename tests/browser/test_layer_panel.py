"""Which layer saw it, in a real browser: it opens below the viewer without touching it, and follows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import served
from padim import Workspace
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Visitor
from tests.parts import defects, normals

if TYPE_CHECKING:
    from playwright.sync_api import Locator

FILES = [(name, data) for name, data in (*normals(1, first=100), *defects(2)) if isinstance(data, bytes)]


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    """The app on a workspace with one small model."""
    return start()


def unfold(visitor: Visitor, key: str) -> None:
    visitor.keyed(key).locator("summary").click()
    visitor.main.locator(".pv-bars").wait_for()
    visitor.settle()


def switch(visitor: Visitor, pill: Locator, *, on: bool) -> None:
    """Turn a layer on or off; a click that a run of the page has swallowed is made again, as a user would."""
    wanted = str(on).lower()
    for _ in range(3):
        pill.click()
        visitor.settle()
        if pill.get_attribute("aria-pressed") == wanted:
            return
    raise AssertionError(f"the layer is not {'on' if on else 'off'}")


def percents(visitor: Visitor) -> list[int]:
    """The bars' numbers, from shallow to deep."""
    return [int(text.removesuffix(" %")) for text in visitor.main.locator(".pv-bars em").all_inner_texts()]


def test_it_opens_below_the_viewer_and_follows_it(
    server: served.Server, visit: Visit, small_entry: Entry
) -> None:
    visitor = visit(server)
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop(FILES)
    visitor.see_list_of(len(FILES))
    live = Live(visitor).ready()

    def below_the_heading() -> float:
        viewer, heading = live.root.bounding_box(), visitor.main.locator("h1").bounding_box()
        assert viewer is not None
        assert heading is not None
        return viewer["y"] - heading["y"]

    place = below_the_heading()
    live.root.evaluate("viewer => { viewer.dataset.same = 'yes' }")
    unfold(visitor, "inspect-layers")
    assert below_the_heading() == place
    assert live.root.get_attribute("data-same") == "yes", "the viewer was built anew"
    panel = visitor.keyed("inspect-layers")
    assert sum(percents(visitor)) == 100
    widths = visitor.main.locator(".pv-bars i").evaluate_all(
        "bars => bars.map(bar => 100 * bar.offsetWidth / bar.parentElement.offsetWidth)"
    )
    assert widths == pytest.approx(percents(visitor), abs=1)
    heads = visitor.main.locator(".pv-bars div:first-child").evaluate_all(
        "lines => lines.map(line => [...line.children].map(word => word.getBoundingClientRect().left))"
    )
    assert heads
    assert all(name < note < number for name, note, number in heads), "name, note and number, on one line"
    first = live.part(".headline .name").inner_text()
    panel.locator("figcaption").get_by_text(first, exact=True).wait_for()
    # Another image in the viewer is another one below it, which stays open.
    other = next(name for name, _ in FILES if name.startswith("good"))
    live.show(other)
    panel.locator("figcaption").get_by_text(other, exact=True).wait_for()
    visitor.settle()
    assert sum(percents(visitor)) == 100
    box = panel.get_by_role("combobox")
    box.click()
    visitor.page.get_by_role("option", name="Whole image").click()
    visitor.settle()
    assert sum(percents(visitor)) == 100
    assert live.root.get_attribute("data-same") == "yes"


def test_layers_are_turned_off_and_on(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    from playwright.sync_api import expect

    before = Workspace(home).open(small_entry.id)
    visitor = visit(server)
    visitor.open(f"/fit?model={small_entry.id}&tab=result")
    visitor.see_heading("Fit")
    unfold(visitor, "fit-layers")
    refit = visitor.keyed("fit-relayer").get_by_role("button")
    expect(refit).to_be_disabled()
    pill = visitor.keyed("fit-layers").get_by_role("button", name=re.compile(r"blocks\.4\b"))
    switch(visitor, pill, on=False)
    refit.click()
    visitor.main.get_by_text("The model now uses blocks.2 and blocks.10; blocks.4 is off.").wait_for()
    visitor.settle()
    assert Workspace(home).open(small_entry.id).config.inactive_layers == ("blocks.4",)
    bars = visitor.main.locator(".pv-bars li")
    expect(bars, "the panel stays open, on the model as it is now").to_have_count(2)
    switch(visitor, pill, on=True)
    refit.click()
    visitor.main.get_by_text("The model uses all its layers again").wait_for()
    visitor.settle()
    after = Workspace(home).open(small_entry.id)
    assert (after.config, after.current_threshold) == (before.config, before.current_threshold)

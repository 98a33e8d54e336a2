"""Every page by its address, in a browser that has never been here; and addresses that lead nowhere."""

from __future__ import annotations

import pytest

from benchmarks import served
from padim import Workspace
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.parts import defects


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    """The app on a workspace with one small model."""
    return start()


# What each page shows only when it works on a model.
@pytest.mark.parametrize(
    ("path", "heading", "words"),
    [
        ("/fit?tab=result", "Fit", "Parts in the fit"),
        ("/region", "Fit", "False-alarm map"),
        ("/checks", "Calibrate", "No guard band is in use"),
        ("/calibrate", "Calibrate", "from 22 parts"),
        ("/inspect", "Inspect", "Drop test images here"),
    ],
)
@pytest.mark.parametrize("named", [False, True], ids=["newest model", "model in the link"])
def test_a_page_opens_by_its_address(
    server: served.Server, visit: Visit, small_entry: Entry, path: str, heading: str, words: str, named: bool
) -> None:
    visitor = visit(server)
    mark = "&" if "?" in path else "?"
    visitor.open(f"{path}{mark}model={small_entry.id}" if named else path)
    visitor.see_heading(heading)
    visitor.main.get_by_text(words).first.wait_for()
    # So that it can be passed on.
    visitor.until(lambda: visitor.model_id == small_entry.id, "the address names the model")
    visitor.page.get_by_test_id("stSidebar").get_by_text("22 parts").wait_for()


@pytest.mark.parametrize(("path", "heading"), [("/", "Models"), ("/inspect", "Inspect")])
@pytest.mark.parametrize("asked", ["gone-abc123", "../../etc/passwd", "<b id=planted>bold</b>"])
def test_an_address_with_a_model_that_is_not_there(
    server: served.Server, visit: Visit, small_entry: Entry, path: str, heading: str, asked: str
) -> None:
    visitor = visit(server)
    visitor.open(f"{path}?model={asked}")
    visitor.see_heading(heading)
    visitor.main.get_by_role("alert").get_by_text("in this link is not on this server").wait_for()
    assert visitor.page.locator("#planted").count() == 0
    assert visitor.main.get_by_test_id("stException").count() == 0
    assert visitor.main.get_by_test_id("stFileUploaderDropzone").count() == 0, (
        "another model was taken instead"
    )
    # The sidebar offers the way on.
    choose(visitor, "Small plate")
    visitor.page.get_by_test_id("stSidebar").get_by_text("22 parts").wait_for()
    visitor.until(lambda: visitor.model_id == small_entry.id, "the address names the model")


def test_a_link_cannot_make_the_page_load_something(server: served.Server, visit: Visit) -> None:
    """What an address says is no markup: no image, no link to elsewhere, no formatting."""
    asked = "![seen](http://192.0.2.1/seen.png) [here](http://192.0.2.1/) **now**"
    visitor = visit(server)
    visitor.open(f"/inspect?model={asked}")
    visitor.see_heading("Inspect")
    alert = visitor.main.get_by_role("alert")
    alert.get_by_text("in this link is not on this server").wait_for()
    assert alert.locator("img, a, strong").count() == 0
    assert visitor.strangers() == []


def test_a_models_name_cannot_make_other_sessions_load_something(
    server: served.Server, visit: Visit, home_store: Workspace, small_entry: Entry
) -> None:
    """The name is one user's words, shown to all: in the list, in the sidebar, on the Fit page."""
    name = "![seen](http://192.0.2.1/seen.png) <b id=planted>"
    home_store.rename(small_entry.id, name)
    try:
        visitor = visit(server)
        visitor.open("/")
        visitor.see_heading("Models")
        visitor.keyed(f"row-{small_entry.id}").get_by_text(name).first.wait_for()
        visitor.keyed(f"manage-{small_entry.id}").get_by_role("button").click()
        visitor.page.get_by_text("Type its name to delete it").wait_for()
        visitor.open("/fit")
        visitor.see_heading("Fit")
        visitor.open_tab("Result")
        assert visitor.page.locator("#planted, .stApp img[src*='192.0.2.1']").count() == 0
        assert visitor.strangers() == []
    finally:
        home_store.rename(small_entry.id, "Small plate")


def test_each_session_has_its_own_state_and_keeps_it(server: served.Server, visit: Visit) -> None:
    from playwright.sync_api import expect

    files = [(name, bytes(data)) for name, data in defects(2)]
    mine, other = visit(server), visit(server)
    mine.open("/inspect")
    mine.see_heading("Inspect")
    mine.drop(files)
    mine.see_list_of(2)
    other.open("/inspect")
    other.see_heading("Inspect")
    other.main.get_by_text("No images yet").wait_for()
    order = mine.page.get_by_role("combobox", name="Order")
    expect(order).to_have_value("Worst first")
    # Read before the order is changed: afterwards the table may still be the former one, or not.
    first, second = reversed([row["Name"] for row in mine.table()])
    order.click()
    mine.page.get_by_role("option", name="Best first").click()
    mine.see_shown(first)
    mine.page.keyboard.press("Escape")
    mine.page.get_by_role("button", name="Next image").click()
    mine.see_shown(second)
    mine.go("Calibrate")
    mine.go("Inspect")
    mine.see_list_of(2)
    mine.see_shown(second)
    expect(order).to_have_value("Best first")


def choose(visitor: Visitor, name: str) -> None:
    """Choose a model in the sidebar."""
    visitor.keyed("model-in-use").get_by_role("combobox").click()
    visitor.page.get_by_role("option", name=name).click()


@pytest.fixture
def home_store(small_entry: Entry) -> Workspace:
    """The workspace that holds the small model."""
    return Workspace(small_entry.path.parents[1])

"""What a reload, a second page and a change by somebody else leave as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from benchmarks import served
from padim import Workspace
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.parts import normals

if TYPE_CHECKING:
    from playwright.sync_api import Page

PARTS = [(name, data) for name, data in normals(9) if isinstance(data, bytes)]
# Not in the fit of the small model.
NEW = [(name, data) for name, data in normals(26)[22:] if isinstance(data, bytes)]


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    return start()


def other_page(visitor: Visitor) -> Visitor:
    """Return a second page of the same browser."""
    page: Page = visitor.page.context.new_page()
    return Visitor(page, visitor.server)


def test_a_list_survives_a_reload_and_is_shared_by_two_pages(
    server: served.Server, visit: Visit, small_entry: Entry
) -> None:
    visitor = visit(server)
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    visitor.drop(NEW)
    visitor.see_list_of(4)
    visitor.main.locator(".headline .name").wait_for()
    names = [row["Name"] for row in visitor.table()]
    # Not the first, which would be shown anyway.
    visitor.main.locator("table.results").get_by_text(names[2], exact=True).click()
    visitor.see_shown(names[2])

    visitor.page.reload()
    visitor.see_list_of(4)
    visitor.see_shown(names[2])
    assert [row["Name"] for row in visitor.table()] == names

    # Another page of this browser has the list, and a selection of its own; another browser has nothing.
    second = other_page(visitor)
    second.open(f"/inspect?model={small_entry.id}")
    second.see_list_of(4)
    second.see_shown(names[0])
    second.main.locator("table.results").get_by_text(names[1], exact=True).click()
    second.see_shown(names[1])
    second.keyed("inspect-clear").get_by_role("button").click()
    second.main.get_by_text("Drop test images above.").wait_for()
    visitor.keyed("inspect-order").locator("input").click()
    visitor.page.get_by_role("option", name="Name").click()
    visitor.main.get_by_text("Drop test images above.").wait_for()
    stranger = visit(server)
    stranger.open(f"/inspect?model={small_entry.id}")
    stranger.main.get_by_text("Drop test images above.").wait_for()


def test_the_cookie_is_out_of_reach_of_scripts(server: served.Server, visit: Visit) -> None:
    visitor = visit(server)
    visitor.open()
    visitor.see_heading("Models")
    (found,) = [one for one in visitor.page.context.cookies() if one["name"] == "padim_browser"]
    assert (found["httpOnly"], found["sameSite"], found["expires"]) == (True, "Lax", -1)
    assert "padim_browser" not in visitor.page.evaluate("document.cookie")
    assert found["value"].rpartition(".")[2] not in visitor.page.content()


def test_a_fit_survives_a_reload(server: served.Server, visit: Visit, home: Path) -> None:
    visitor = visit(server)
    before = {entry.id for entry in Workspace(home).models()}
    visitor.open("/fit?model=none")
    visitor.drop(PARTS)
    visitor.keyed("fit-go").get_by_role("button").click()
    process = psutil.Process(server.process.pid)
    visitor.until(lambda: bool(process.children()), "a worker process was started")
    (worker,) = process.children()
    worker.suspend()
    try:
        visitor.page.locator("[class*='st-key-job-fit']").wait_for()
        visitor.page.reload()
        visitor.page.locator("[class*='st-key-job-fit']").wait_for()
    finally:
        worker.resume()
    visitor.until(
        lambda: len(Workspace(home).models()) == len(before) + 1, "the fit that was running is saved"
    )
    (new,) = {entry.id for entry in Workspace(home).models()} - before
    visitor.until(lambda: visitor.model_id == new, "its page shows the new model")


def test_a_model_is_deleted_by_its_name_and_restored(
    server: served.Server, visit: Visit, small_entry: Entry, home: Path
) -> None:
    visitor = visit(server)
    visitor.open("/")
    visitor.see_heading("Models")
    visitor.keyed(f"manage-{small_entry.id}").get_by_role("button").click()
    visitor.keyed(f"delete-name-{small_entry.id}").locator("input").fill(small_entry.name)
    visitor.keyed(f"delete-{small_entry.id}").get_by_role("button").click()
    visitor.keyed(f"row-{small_entry.id}").wait_for(state="detached")
    assert small_entry.id not in [entry.id for entry in Workspace(home).models()]
    visitor.keyed("bin").get_by_text("Bin: 1 deleted model").click()
    visitor.keyed("bin").get_by_text("kept until").wait_for()
    visitor.keyed("bin").get_by_role("button", name="Restore").click()
    visitor.keyed(f"row-{small_entry.id}").wait_for()
    assert Workspace(home).get(small_entry.id).revision == small_entry.revision


def test_a_page_learns_of_a_restart_by_itself(start: Start, visit: Visit, small_entry: Entry) -> None:
    former = start()
    visitor = visit(former)
    visitor.open(f"/inspect?model={small_entry.id}")
    visitor.see_heading("Inspect")
    former.process.terminate()
    former.process.wait(120)
    start(port=urlsplit(former.url).port)
    visitor.keyed("restarted").get_by_text("The server was started again").wait_for()
    visitor.keyed("restarted-read").get_by_role("button").click()
    visitor.keyed("restarted").wait_for(state="detached")
    assert visitor.model_id == small_entry.id
    visitor.page.reload()
    visitor.see_heading("Inspect")
    assert visitor.keyed("restarted").count() == 0

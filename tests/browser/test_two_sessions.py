"""Two browser sessions on one model: each learns what the other has changed, and may keep its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from padim import Workspace
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Visitor

if TYPE_CHECKING:
    from pathlib import Path


def try_percentile(visitor: Visitor, percentile: str) -> None:
    """Try a percentile, which is a draft until it is put to use, and wait until the server knows it."""
    from playwright.sync_api import expect

    Live(visitor).ready().type(".percentile", percentile)
    expect(visitor.keyed("calibrate-use").get_by_role("button")).to_be_enabled()
    visitor.settle()


def test_two_who_set_the_threshold(start: Start, visit: Visit, small_entry: Entry, home: Path) -> None:
    from playwright.sync_api import expect

    server = start()
    mine, theirs = visit(server), visit(server)

    def permille() -> int:
        return Workspace(home).open(small_entry.id).decision.choice.permille

    for visitor in (mine, theirs):
        visitor.open(f"/calibrate?model={small_entry.id}")
        visitor.see_heading("Calibrate")
    try_percentile(mine, "80")
    try_percentile(theirs, "60")
    theirs.put_to_use()
    assert permille() == 600

    # The page learns of it by itself, says what and when, and keeps the threshold that is being tried.
    told = mine.keyed("changed-elsewhere")
    told.get_by_text(re.compile(r"threshold changed from [\d.]+ to [\d.]+ at \d\d:\d\d")).wait_for()
    told.get_by_role("button", name="Load it").wait_for()
    mine.keyed("changed-elsewhere-keep").get_by_role("button").click()
    told.wait_for(state="detached")
    assert permille() == 600, "nothing is saved by keeping one's own"
    mine.put_to_use()
    assert permille() == 800

    # The page of the other session goes on with the threshold that is saved.
    theirs.keyed("changed-elsewhere-read").get_by_role("button").click()
    theirs.keyed("changed-elsewhere").wait_for(state="detached")
    theirs.main.get_by_text("This threshold is in use.").wait_for()
    expect(theirs.keyed("calibrate-use").get_by_role("button")).to_be_disabled()
    assert permille() == 800

"""Two browser sessions on one model: a change is refused rather than made unseen, and can be repeated."""

from __future__ import annotations

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

    mine.keyed("calibrate-use").get_by_role("button").click()
    refused = mine.keyed("refused-0")
    refused.get_by_text("Someone else changed this model (threshold ").wait_for()
    refused.get_by_text("Your change was not saved: the threshold ").wait_for()
    assert permille() == 600, "the other session's threshold was replaced"

    mine.keyed("refused-again-0").get_by_role("button").click()
    refused.wait_for(state="detached")
    mine.settle()
    assert permille() == 800

    # The page of the other session still shows its own threshold: its next click is answered, not lost.
    try_percentile(theirs, "70")
    theirs.keyed("calibrate-use").get_by_role("button").or_(
        theirs.keyed("changed-elsewhere")
    ).first.wait_for()
    told = theirs.keyed("changed-elsewhere").or_(theirs.keyed("refused-0"))
    told.get_by_text("Someone else changed this model (threshold ").wait_for()
    theirs.settle()
    theirs.keyed("changed-elsewhere-read").get_by_role("button").click()
    told.wait_for(state="detached")
    assert permille() == 800
    theirs.put_to_use()  # the draft is still there, and now it is for the model as it is
    assert permille() == 700

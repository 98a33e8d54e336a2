"""From an empty workspace to the first verdict, and to a threshold that is put to use: clicks are counted."""

from __future__ import annotations

from pathlib import Path

from benchmarks import served
from padim import Workspace
from tests.browser.conftest import Start, Visit
from tests.browser.live import Live
from tests.browser.looking import Upload, Visitor

PART = served.ROOT / "sample_data" / "flange"
# A dozen good parts are enough to walk the way.
GOOD = [(path.name, path.read_bytes()) for path in sorted((PART / "train" / "good").glob("*.jpg"))[:12]]
TESTS = [(f"{kind}.jpg", (PART / "test" / kind / "000.jpg").read_bytes()) for kind in ("hole", "chip")]


class Counting:
    """Clicks as a visitor needs them, and the file dialogs between them."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.clicks = 0
        self.dialogs = 0

    def click(self, name: str) -> None:
        self.clicks += 1
        self.visitor.button(name).click()

    def drop(self, files: list[Upload]) -> None:
        self.dialogs += 1
        self.visitor.drop(files)


def test_the_way_to_a_verdict_and_to_a_threshold_in_use(start: Start, visit: Visit, home: Path) -> None:
    visitor = visit(start())
    visitor.open()
    visitor.see_heading("Models")
    # The tour stands beside the way, not in it.
    visitor.main.get_by_text("Tour, 1 of").wait_for()
    way = Counting(visitor)
    way.click("Fit a model")
    visitor.see_heading("Fit")
    way.drop(GOOD)
    way.click("Fit the model")
    visitor.main.locator("[role=tab][aria-selected=true]").get_by_text("Result").wait_for()
    visitor.main.locator(".pv-model").get_by_text("suggested threshold, not confirmed yet").wait_for()
    way.click("Next: set the threshold")
    visitor.see_heading("Calibrate")
    slide_the_percentile(Live(visitor).ready())
    way.click("Next: put this draft to use, and validate it")
    visitor.see_heading("Validate")
    visitor.main.locator(".pv-model").get_by_text("calibrated, not validated yet").wait_for()
    assert (way.clicks, way.dialogs) == (4, 1), "to a threshold in use"
    assert Workspace(home).open(visitor.model_id).decision.choice.permille < 950
    sidebar = visitor.page.get_by_test_id("stSidebar")
    sidebar.get_by_role("link", name="Calibrate").locator(
        "xpath=ancestor::*[contains(@class,'-done')]"
    ).wait_for()

    way.click("Next: inspect images")
    visitor.see_heading("Inspect")
    way.drop(TESTS)
    visitor.see_list_of(len(TESTS))
    assert (way.clicks, way.dialogs) == (5, 2), "to the first verdict, by way of a threshold"
    visitor.main.locator(".keys-of-list summary").click()
    visitor.main.get_by_text("Home and End: the first and the last").wait_for()

    # The cards are links, by mouse and by keyboard.
    visitor.go("Models")
    card = visitor.keyed("home-step-2").bounding_box()
    assert card is not None
    visitor.page.mouse.click(card["x"] + card["width"] - 12, card["y"] + card["height"] - 8)
    visitor.see_heading("Calibrate")
    visitor.go("Models")
    visitor.main.get_by_role("link", name="3 · Inspect").press("Enter")
    visitor.see_heading("Inspect")


def slide_the_percentile(live: Live) -> None:
    """The slider moves the percentile, and with it the line; the field beside it follows."""
    from playwright.sync_api import expect

    slider = live.part(".percentile-slide")
    before = float(live.part(".threshold").input_value())
    for _ in range(4):
        slider.press("PageDown")
    live.visitor.settle()
    moved = live.part(".percentile").input_value()
    assert float(moved) < 95
    expect(live.part(".percentile-shown")).to_have_text(f"{moved} %")
    assert float(live.part(".threshold").input_value()) < before

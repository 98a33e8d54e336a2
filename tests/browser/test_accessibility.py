"""Every page and tab by axe-core in both themes, small and large windows, and what a screen reader hears.

axe-core comes with the package ``axe-playwright-python`` and runs in the page; nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import served
from padim.storage.model_folders import Entry
from tests.browser.conftest import Start
from tests.browser.live import Live
from tests.browser.looking import Visitor
from tests.parts import defects
from ui.app import next_step
from ui.app.pages import PAGES, AppPage, PageTab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLACES = [(page, tab) for page in PAGES for tab in page.tabs or (None,)]

_AXE = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => ({ id, target: target.flat(), why: failureSummary })));
}"""

# What reaches beyond the right edge of the window, unless it lies in something that scrolls by itself.
_BEYOND = """() => {
    const scrolls = node => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(node).overflowX);
    const main = document.querySelector('[data-testid="stMain"]');
    if (main.scrollWidth <= main.clientWidth && document.documentElement.scrollWidth <= innerWidth) return [];
    const found = [];
    for (const node of main.querySelectorAll("*")) {
        if (node.getBoundingClientRect().right <= innerWidth + 1) continue;
        let above = node.parentElement;
        while (above && above !== main && !scrolls(above)) above = above.parentElement;
        if (above === main) found.push(node.outerHTML.slice(0, 120));
    }
    return [`${main.scrollWidth} px wide`, ...found.slice(-3)];
}"""
# A narrow window, and one of 1440 x 1000 px at 200 %, which is half as wide in the page's own pixels.
SMALL = ((600, 900), (720, 500))


def name_of(page: AppPage, tab: PageTab | None) -> str:
    """Return the last part of a place's address: the tab, or the page."""
    return tab.key if tab is not None else page.path.rpartition("/")[2].removesuffix(".py")


def open_place(visitor: Visitor, page: AppPage, tab: PageTab | None, model: str) -> None:
    """Open a page or tab of a model by its address, and wait until it is drawn to its end."""
    stem = name_of(page, None)
    address = "/" if stem == "home" else f"/{stem}"
    visitor.open(f"{address}?model={model}" + (f"&tab={tab.key}" if tab is not None else ""))
    visitor.see_heading(page.label)
    visitor.keyed(next_step.KEY).get_by_role("button").first.wait_for()  # the end of every page
    visitor.page.locator("[class*='st-key-job-']").wait_for(state="detached")
    visitor.settle()


def violations(visitor: Visitor, theme: str) -> list[str]:
    """Return what axe-core finds on the page in this theme, which follows the browser's."""
    visitor.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    visitor.page.wait_for_function(
        "theme => getComputedStyle(document.querySelector('.stApp')).colorScheme === theme", arg=theme
    )
    visitor.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found: list[dict[str, Any]] = visitor.page.evaluate(_AXE)
    return [
        f"{one['id']} at {' > '.join(one['target'])[-160:]}: {' '.join(one['why'].split())[:240]}"
        for one in found
    ]


def beyond(visitor: Visitor, width: int, height: int) -> list[str]:
    """Return what reaches beyond the right edge of a window of this size."""
    visitor.page.set_viewport_size({"width": width, "height": height})
    visitor.page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    found: list[str] = visitor.page.evaluate(_BEYOND)
    return found


@pytest.fixture(scope="module")
def server(start: Start, small_entry: Entry) -> served.Server:
    """One server for all tests of this module, with one model."""
    return start()


@pytest.fixture
def window(browser: Browser, server: served.Server) -> Iterator[Any]:
    """Open a window of some size, on a session of its own."""
    with ExitStack() as open_windows:

        def opened(width: int, height: int) -> Visitor:
            context = browser.new_context(
                viewport={"width": width, "height": height}, reduced_motion="reduce"
            )
            open_windows.callback(context.close)
            return Visitor(context.new_page(), server)

        yield opened


def test_every_page_and_tab(window: Any, small_entry: Entry) -> None:
    """By axe-core in both themes; in small windows nothing reaches beyond the edge."""
    visitor = window(1440, 1000)
    found: dict[str, list[str]] = {}
    for page, tab in PLACES:
        open_place(visitor, page, tab, small_entry.id)
        if name_of(page, tab) == "inspect":
            visitor.drop(defects(2))
            visitor.see_list_of(2)
            Live(visitor).ready()
        here = {theme: violations(visitor, theme) for theme in ("light", "dark")}
        here |= {f"{width} px": beyond(visitor, width, height) for width, height in SMALL}
        visitor.page.set_viewport_size({"width": 1440, "height": 1000})
        found |= {f"{name_of(page, tab)}, {how}": what for how, what in here.items() if what}
    assert not found, "\n".join(f"{place}: {one}" for place, ones in found.items() for one in ones)


def test_a_narrow_window_is_usable(window: Any, small_entry: Entry) -> None:
    visitor = window(600, 900)
    visitor.open(f"/calibrate?model={small_entry.id}")
    visitor.see_heading("Calibrate")
    # The sidebar is closed; every page can be reached from it.
    visitor.page.get_by_test_id("stExpandSidebarButton").click()
    # A step that is done has a tick, which is part of its name.
    visitor.page.get_by_role("navigation").get_by_role("link", name=re.compile("^Inspect")).click()
    visitor.see_heading("Inspect")
    visitor.drop(defects(2))
    visitor.see_list_of(2)
    live = Live(visitor).ready()
    for control in (".previous", ".next", ".whole", ".take-mask", '[data-layer="mask"]', ".colormap"):
        live.part(control).first.scroll_into_view_if_needed()
        box = live.part(control).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 600


def test_a_large_screen_is_used(window: Any, small_entry: Entry) -> None:
    visitor = window(3840, 2160)
    open_place(visitor, *next(place for place in PLACES if name_of(*place) == "threshold"), small_entry.id)
    live = Live(visitor).ready()
    box = live.root.bounding_box()
    pane = live.part(".pane.original .frame").first.bounding_box()
    assert box is not None
    assert pane is not None
    assert box["width"] > 0.85 * 3840
    assert pane["width"] > 700
    text = visitor.main.locator(".stMarkdown p").first.bounding_box()
    assert text is not None
    assert text["width"] < 1300


def test_a_pane_fills_the_screen_and_the_keys_go_on(window: Any, small_entry: Entry) -> None:
    visitor = window(1440, 1000)
    open_place(visitor, *next(place for place in PLACES if name_of(*place) == "threshold"), small_entry.id)
    live = Live(visitor).ready()
    before = live.part(".pane.overlay .frame").first.bounding_box()
    live.part(".pane.overlay .enlarge").first.click()
    live.part(".detail:fullscreen").wait_for()
    assert [one.is_visible() for one in live.part(".pane").all()] == [False, False, False, True]
    after = live.part(".pane.overlay .frame").first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > 2 * before["width"]
    name = live.part(".headline .name").inner_text()
    visitor.page.keyboard.press("ArrowRight")
    visitor.until(lambda: live.part(".headline .name").inner_text() != name, "the next image is shown")
    # What a screen reader hears: name, verdict, score and place.
    name = live.part(".headline .name").inner_text()
    verdict = live.part(".headline .verdict").inner_text()
    heard = live.part(".heard[aria-live=polite]")
    visitor.until(lambda: heard.inner_text().startswith(f"{name}: {verdict}, "), "the next image is heard")
    assert "threshold" in heard.inner_text()
    assert heard.inner_text().endswith(" of 22")
    visitor.page.keyboard.press("f")
    live.part(".detail:not(:fullscreen)").wait_for()
    assert all(one.is_visible() for one in live.part(".pane").all())

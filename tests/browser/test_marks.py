"""Marks on the reference part in a real browser: drawn with mouse and keys, answered by the engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from benchmarks import served
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.parts import png, screw

if TYPE_CHECKING:
    from playwright.sync_api import Locator

SIDE = 256
SCREWS = [(f"screw_{i:02d}.png", png(screw(i, side=SIDE))) for i in range(4)]


@pytest.fixture(scope="module")
def server(start: Start) -> served.Server:
    """The app."""
    return start()


class Marks:
    """The Fit page, with images chosen and a way of locating that takes marks."""

    def __init__(self, visitor: Visitor, method: str) -> None:
        self.visitor, self.page = visitor, visitor.page
        visitor.open("/fit")
        visitor.see_heading("Fit")
        visitor.drop(SCREWS)
        self.choose(method)

    def choose(self, method: str) -> None:
        self.page.get_by_text(method, exact=True).click()
        self.page.locator(".marks .layer[viewBox]").wait_for()
        self.visitor.settle()

    @property
    def stage(self) -> Locator:
        return self.page.locator(".marks .stage")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the image on the screen."""
        box = self.page.locator(".marks .layer").bounding_box()
        assert box is not None
        return box["x"] + x / SIDE * box["width"], box["y"] + y / SIDE * box["height"]

    def pull(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.stage.scroll_into_view_if_needed()
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=3)
        self.page.mouse.up()

    def listed(self) -> list[str]:
        """The marks in the list, once Python has answered."""
        self.visitor.settle()
        self.page.wait_for_function(
            "() => ![...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('.said')"
            "?.textContent.startsWith('Looking'))"
        )
        return self.page.locator(".marks .list button").all_inner_texts()

    def see(self, *texts: str) -> None:
        """Wait until these are the marks in the list."""
        self.visitor.until(lambda: self.listed() == [*texts], f"the marks are {texts}")

    def answers(self) -> list[str]:
        self.listed()
        return self.page.locator(".marks .list span").all_inner_texts()

    def button(self, name: str) -> Locator:
        return self.page.locator(".marks").get_by_role("button", name=name, exact=True)


def test_places_are_drawn_answered_and_kept(server: served.Server, visit: Visit) -> None:
    marks = Marks(visit(server), "By marked places")
    assert "Nothing is marked yet." in marks.page.locator(".marks .said").inner_text()
    # A plain place is refused at once, with the reason.
    marks.pull((4, 6), (44, 36))
    (size,) = marks.listed()
    width, height = map(int, re.findall(r"\d+", size)[1:])
    assert abs(width - 40) <= 1
    assert abs(height - 30) <= 1
    assert "Can be used" not in marks.answers()[0]
    assert marks.page.locator(".marks li[data-refused]").count() == 1
    # The mark is selected: its corner is pulled, then all of it.
    marks.pull((44, 36), (60, 56))
    marks.see("Place 1, 56 × 50 px")
    marks.pull((30, 30), (130, 130))
    marks.see("Place 1, 56 × 50 px")
    moved = marks.page.locator('.marks [data-index="0"] rect.edge')
    assert abs(float(moved.get_attribute("x") or 0) - 104) <= 1
    # A second place; not a third.
    marks.pull((10, 200), (60, 250))
    marks.pull((200, 4), (250, 30))
    marks.page.locator(".marks .hint").get_by_text("Two places are the most").wait_for()
    both = marks.listed()
    assert len(both) == 2
    marks.button("Undo").click()
    marks.see("Place 1, 56 × 50 px")
    marks.button("Redo").click()
    marks.see(*both)
    marks.page.locator(".marks .list button").nth(1).click()
    marks.page.keyboard.press("Delete")
    marks.see("Place 1, 56 × 50 px")
    # Another method has marks of its own, and another page does not lose any.
    marks.choose("By the outline")
    marks.see()
    marks.visitor.go("Calibrate")
    marks.visitor.go("Fit")
    marks.choose("By marked places")
    marks.see("Place 1, 56 × 50 px")


def test_magnified_a_place_is_where_it_was_drawn(server: served.Server, visit: Visit) -> None:
    marks = Marks(visit(server), "By marked places")
    for _ in range(2):
        marks.button("Magnify").click()
    assert marks.page.locator(".marks .sheet").evaluate("e => e.style.width") == "200%"
    marks.pull((110, 112), (150, 140))
    rectangle = marks.page.locator('.marks [data-index="0"] rect.edge')
    marks.listed()
    values = [float(rectangle.get_attribute(name) or 0) for name in ("x", "y", "width", "height")]
    assert all(abs(a - b) <= 1 for a, b in zip(values, (110, 112, 40, 28), strict=True)), values


def test_background_and_first_end_by_keys(server: served.Server, visit: Visit) -> None:
    marks = Marks(visit(server), "By the outline")
    # The frame that the model would see is shown without any mark.
    marks.page.locator(".marks .frame").wait_for()
    marks.stage.focus()
    press = marks.page.keyboard.press
    press("Space")
    for _ in range(3):
        press("Shift+ArrowLeft")
        press("Shift+ArrowUp")
    assert "opposite corner" in marks.page.locator(".marks .hint").inner_text()
    press("Space")
    (background,) = marks.listed()
    assert background.startswith("Background, ")
    marks.page.get_by_role("radio", name="First end", exact=True).click()
    marks.stage.focus()
    press("Space")
    marks.see(background, "First end")
    # Only one of each: another takes its place.
    marks.page.mouse.click(*marks.at(20, 240))
    circle = marks.page.locator('.marks [data-kind="end"] circle.edge')
    marks.visitor.until(lambda: abs(float(circle.get_attribute("cx") or 0) - 20) <= 1, "the end has moved")
    marks.see(background, "First end")

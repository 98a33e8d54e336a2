"""The review desk in a real browser: all of it by keyboard, a reload, and two browsers on one queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import served
from padim.records.inspection import Inspection
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from tests.browser.conftest import Start, Visit
from tests.browser.looking import Visitor
from tests.recorded import new

NUMBER = 14


@pytest.fixture(scope="module")
def server(start: Start) -> served.Server:
    """The app, on a workspace that has records and no model: those are reviewed without it."""
    return start()


@pytest.fixture
def rows(home: Path, request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Rejects that await a person, of a test alone, the worst first; decided when the test is over."""
    first = 1000 * (1 + len(request.node.name))
    # Later tests have worse ones, which come before those that are done.
    worst = 9.0 + len(request.node.name)
    made = [new(first + number, worst - number / 10) for number in range(NUMBER)]
    found = InspectionRecords(home).add(made)
    yield found
    for row in found:
        ReviewRecords(home).decide(row, "the test", "accept", instead=True)


class Desk:
    """One person at the desk."""

    def __init__(self, visitor: Visitor, name: str = "") -> None:
        self.visitor = visitor
        visitor.open("/inspect?tab=review")
        if name:
            field = visitor.keyed("review-name").get_by_role("textbox")
            field.fill(name)
            field.press("Enter")
        self.ready()

    def ready(self) -> None:
        """Wait until something can be decided."""
        self.visitor.main.locator(".desk [data-act=accept]:not(:disabled)").wait_for()
        self.visitor.settle()

    def press(self, *keys: str) -> None:
        """Press one key after the other, without waiting for the server."""
        for key in keys:
            self.visitor.page.keyboard.press(key)

    def see(self, name: str) -> None:
        """Wait for an inspection to be the one that is shown."""
        self.visitor.main.locator(".desk .name").get_by_text(name, exact=True).wait_for()

    def saved(self) -> None:
        """Wait until everything is recorded."""
        self.visitor.main.locator(".desk .saved").get_by_text("All saved").wait_for()


def test_all_of_it_by_keyboard(server: served.Server, visit: Visit, home: Path, rows: list[int]) -> None:
    records, reviews = InspectionRecords(home), ReviewRecords(home)

    def on_record(place: int) -> Inspection:
        found = records.get(rows[place])
        assert found is not None
        return found

    names = [on_record(place).name for place in range(NUMBER)]
    visitor = visit(server)
    visitor.open("/inspect?tab=review")
    visitor.main.locator(".desk [data-act=accept]:disabled").wait_for()
    visitor.page.keyboard.press("a")
    desk = Desk(visitor, "Anna")
    assert on_record(0).decision is None, "nothing is decided without a name"

    # Ten in a row, faster than the server answers: the browser holds the next ones.
    desk.see(names[0])
    desk.press("a", "r", "u", "d", *"scratch", "Enter", "ArrowRight")
    desk.see(names[5])
    desk.press("ArrowLeft")
    desk.see(names[4])
    assert visitor.page.evaluate(
        """() => [...document.querySelectorAll('*')].some(node => [...(node.shadowRoot ?? node)
            .querySelectorAll('.stage image')].some(image => image.href.baseVal))"""
    )
    desk.press("n", *"a, r and z are letters here", "Enter")
    desk.press("d")
    visitor.main.locator(".desk .known").get_by_text("scratch").wait_for()
    desk.press("1")
    desk.see(names[5])
    desk.saved()
    visitor.until(lambda: on_record(4).decision is not None, "the last decision is on record")
    found = [(one.decision, one.defect_type, one.decided_by) for one in map(on_record, range(6))]
    assert found == [
        ("accept", "", "Anna"),
        ("reject", "", "Anna"),
        ("unsure", "", "Anna"),
        ("reject", "scratch", "Anna"),
        ("reject", "scratch", "Anna"),
        (None, "", None),
    ]
    kinds = [(event.kind, event.comment) for event in reviews.events(rows[4])]
    assert kinds == [("comment", "a, r and z are letters here"), ("decision", "")]

    desk.press("z")
    desk.see(names[4])
    visitor.until(lambda: on_record(4).waits, "the decision is taken back")
    desk.saved()

    # The queue is the database: a page that is loaded again goes on where it was.
    visitor.page.reload()
    desk.ready()
    desk.see(names[4])
    desk.press("r")
    desk.see(names[5])
    desk.saved()
    visitor.until(lambda: on_record(4).decision == "reject", "it is decided again")


def test_two_browsers_on_one_queue(server: served.Server, visit: Visit, home: Path, rows: list[int]) -> None:
    records = InspectionRecords(home)

    def decided_by(place: int) -> str | None:
        found = records.get(rows[place])
        assert found is not None
        return found.decided_by

    names = [one.name for row in rows if (one := records.get(row)) is not None]
    anna, ben = Desk(visit(server), "Anna"), Desk(visit(server), "Ben")
    for desk in (anna, ben):
        desk.see(names[0])
    anna.press("a", "r")
    anna.saved()
    anna.visitor.until(lambda: decided_by(1) == "Anna", "Anna's decisions are on record")
    # Ben still sees what Anna has decided: his decision is refused, and says who was first.
    ben.press("r")
    ben.visitor.main.locator(".desk .refused").get_by_text("Anna").wait_for()
    ben.see(names[2])
    assert [decided_by(place) for place in range(3)] == ["Anna", "Anna", None]
    ben.press("u")
    ben.saved()
    ben.visitor.until(lambda: decided_by(2) == "Ben", "Ben's decision is on record")

    # A second opinion does not know of the first, and one that contradicts it is a disagreement.
    ben.visitor.main.get_by_role("radio", name="Second opinions").click()
    ben.see(names[0])
    assert ben.visitor.main.locator(".desk .history").inner_text() == ""
    ben.press("r")
    ben.see(names[1])
    ben.saved()
    ben.visitor.until(lambda: bool(getattr(records.get(rows[0]), "disagrees", False)), "the two disagree")
    anna.visitor.main.get_by_role("radio", name="Disagreements").click()
    anna.see(names[0])
    history = anna.visitor.main.locator(".desk .history")
    history.get_by_text("Anna accepted").wait_for()
    history.get_by_text("Ben rejected").wait_for()
    anna.press("r")
    anna.visitor.until(lambda: not getattr(records.get(rows[0]), "disagrees", True), "it is settled")

"""The tour: it begins by itself in an empty workspace, follows the user, and is skipped for good."""

from __future__ import annotations

from pathlib import Path

from tests.pages.session import AddModel, Session
from ui.app.pages import PAGES
from ui.app.tour import SEEN, STOPS


def keys(page: Session) -> set[str]:
    return {button.key or "" for button in page.app.button}


def test_every_stop_is_a_page_or_tab() -> None:
    at: set[tuple[str, str | None]] = {(page.path, tab.key) for page in PAGES for tab in page.tabs}
    at |= {(page.path, None) for page in PAGES if not page.tabs}
    assert {(stop.path, stop.tab) for stop in STOPS} <= at
    # In two minutes, at the pace at which people read.
    assert sum(len(stop.text.split()) for stop in STOPS) < 300


def test_an_empty_workspace_begins_with_it_until_it_is_skipped(home: Path) -> None:
    page = Session()
    assert "Tour, 1 of 6" in page.text
    page.click("tour-end")
    assert "Tour, 1" not in page.text
    assert (home / SEEN).exists()
    assert "Tour, 1" not in Session().text, "another session of this workspace"
    page.click("tour-start")
    assert "Tour, 1 of 6" in page.text, "it can be called again"


def test_whoever_has_models_is_not_bothered(add_model: AddModel) -> None:
    add_model("Plate")
    page = Session()
    assert "Tour, 1" not in page.text
    assert "tour-start" in keys(page)


def test_it_follows_the_user(add_model: AddModel) -> None:
    entry = add_model("Plate")
    page = Session(model=entry.id).click("tour-start")
    page.go("threshold")
    assert "Tour, 4 of 6" in page.text
    page.go("region")
    assert "The tour goes on at Calibrate." in page.text
    page.go("inspect")
    assert "Tour, 6 of 6" in page.text
    page.click("tour-end")
    assert "Tour, " not in page.go("fit").text


def test_without_a_model_it_waits_for_the_fit() -> None:
    page = Session().go("images")
    assert "Tour, 2 of 6" in page.text
    assert page.app.button(key="tour-on").disabled

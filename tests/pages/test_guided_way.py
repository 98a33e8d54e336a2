"""The guided way: what is done for the model in use, its name on every page, and a next step at every end."""

from __future__ import annotations

import json

import pytest

from padim import Workspace
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from ui.app import model_header, next_step, progress
from ui.app.pages import PAGES, page_of

EVERYWHERE = [(page.path, tab.key) for page in PAGES for tab in page.tabs] + [
    (page.path, None) for page in PAGES if not page.tabs
]


def name_of(path: str, tab: str | None) -> str:
    """The page or tab as a session's ``go`` names it."""
    return tab or path.rpartition("/")[2].removesuffix(".py")


def again(entry: Entry) -> Entry:
    """The model as it is saved now."""
    return Workspace(entry.path.parents[1]).get(entry.id)


def test_every_page_and_tab_is_followed_by_a_step_that_exists() -> None:
    home = {("home.py", tab.key) for tab in page_of("home.py").tabs}
    assert next_step.AFTER.keys() | home == set(EVERYWHERE)
    for at, steps in next_step.AFTER.items():
        for step in steps:
            assert (step.path, step.tab) in EVERYWHERE
            assert (step.path, step.tab) != at
            assert page_of(step.path)


def test_every_page_and_tab_shows_the_model_and_ends_with_the_next_step(add_model: AddModel) -> None:
    entry = add_model("Left bracket")
    page = Session(model=entry.id)
    for path, tab in EVERYWHERE:
        page.go(name_of(path, tab))
        header = next(one.body for one in page.app.html if 'class="pv-model"' in one.body)
        assert "Left bracket" in header
        assert "suggested threshold, not confirmed yet" in header
        assert page.app.button(key=next_step.KEY).label.startswith("Next: "), (path, tab)


def test_the_next_step_is_taken(add_model: AddModel) -> None:
    entry = add_model("Plate")
    page = Session("images", model=entry.id)
    page.click(next_step.KEY)  # another tab of the same page
    assert page.open_tab == "result"
    page.click("next-deeper")
    assert page.open_tab == "region"
    page.click(next_step.KEY)  # another page
    assert page.open_tab == "threshold"
    assert page.model == entry.id
    assert not progress.of(entry).calibrated
    page.go("threshold").click(next_step.KEY)
    assert page.open_tab == "test-set"
    assert progress.of(entry).calibrated, "a threshold that is kept is put to use"
    assert "calibrated, not validated yet" in page.text


def test_the_next_step_puts_a_draft_to_use(add_model: AddModel) -> None:
    entry = add_model("Plate")
    page = Session("threshold", model=entry.id)
    from ui.calibrate import Draft

    page.decide(entry.id, Draft("image", 800, None, 8))
    assert page.app.button(key=next_step.KEY).label == "Next: put this draft to use, and validate it"
    page.click(next_step.KEY)
    assert page.open_tab == "test-set"
    assert again(entry).manifest["config"]["min_area"] == 8
    assert progress.of(again(entry)).calibrated


def test_without_a_model_every_page_offers_to_fit_one() -> None:
    page = Session("calibrate")
    assert not [button for button in page.app.button if button.key == next_step.KEY]
    assert "No model in use" in page.text


def test_a_fact_counts_only_while_the_model_scores_alike(add_model: AddModel) -> None:
    entry = add_model("Plate")
    now = progress.of(entry)
    assert (now.fitted, now.calibrated, now.validated, now.inspected) == (True, False, False, False)
    assert now.next_path() == "pages/calibrate.py"
    assert progress.note(entry, "calibrated")
    assert progress.note(entry, "validated")
    assert not progress.note(entry, "validated"), "known already"
    now = progress.of(entry)
    assert now.done("pages/calibrate.py") == "Done: a threshold was put to use."
    assert now.done("pages/compare.py") is None
    assert now.next_path() == "pages/inspect.py"
    assert model_header.state_of(entry, now) == ("validated", False)
    other = entry.manifest | {"quantizer": {**entry.manifest["quantizer"], "step": 0.125}}
    changed = Entry(entry.id, entry.name, entry.path, entry.created, other, None)
    assert not progress.of(changed).calibrated
    assert not progress.of(changed).validated


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b'{"calibrated": 3, "validated": {"scoring": []}}', b"\xff"]
)
def test_a_damaged_file_only_loses_the_ticks(add_model: AddModel, content: bytes) -> None:
    entry = add_model("Plate")
    (entry.path / "progress.json").write_bytes(content)
    assert not progress.of(entry).calibrated
    progress.note(entry, "calibrated")
    assert progress.of(entry).calibrated
    assert "calibrated" in json.loads((entry.path / "progress.json").read_bytes())

"""A read-only workspace: every page opens, and a change that cannot be saved is reported in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from padim import Workspace
from padim.errors import StorageError
from tests.pages.session import AddModel, Session
from tests.parts import defects
from tests.refusing import refusing, tree
from ui.app import progress
from ui.app.shell import READ_ONLY
from ui.calibrate import Draft
from ui.widgets import labels

DEFECTS = [(name, data) for name, data in defects(2) if isinstance(data, bytes)]
PAGES = (
    "fit",
    "region",
    "calibrate",
    "result",
    "repeatability",
    "second-session",
    "inspect",
    "evaluate",
    "compare",
    "records",
    "figures",
    "sensitivity",
    "robustness",
    "watches",
    "connections",
    "service",
    "settings",
    "backup",
)


@pytest.mark.parametrize("page", [None, *PAGES])
def test_every_page_opens_and_leaves_the_workspace_alone(
    page: str | None, add_model: AddModel, home: Path
) -> None:
    entry = add_model("Parts")
    before = tree(home)
    with refusing(home) as refused:
        shown = Session(page, model=entry.id)
    assert not refused
    assert tree(home) == before
    assert not [error.value for error in shown.app.error]


def test_inspect_scores(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    with refusing(home) as refused:
        page = Session("inspect", model=entry.id)
        page.upload(DEFECTS)
    # The tick in the sidebar, which then lasts as long as the session; version and record are tried, too.
    assert ".progress.json.lock" in {one.rpartition("/")[2] for one in refused}
    assert "not on record" in page.text
    assert progress.of(entry).inspected is False
    page.run()
    assert "Done: images were inspected." in [link.proto.help for link in page.app.get("page_link")]
    assert {one["name"] for one in page.viewer["items"]} == {name for name, _ in DEFECTS}


def test_a_threshold_is_tried_and_its_saving_is_refused_with_the_reason(
    add_model: AddModel, home: Path
) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).decide(entry.id, Draft("image", 900, None, 12))
    with refusing(home):
        page.click("calibrate-use")
    expected = [error.value for error in page.app.error]
    assert expected == [f"The threshold was not saved. {READ_ONLY}"]
    assert Workspace(home).open(entry.id).decision.choice.permille == 950
    page.click("calibrate-use")  # and once it is writable again, the change is saved
    assert Workspace(home).open(entry.id).decision.choice.permille == 900


def test_a_label_is_refused_with_the_reason(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    with refusing(home), pytest.raises(StorageError, match="read-only") as refused:
        labels.put(entry, "0" * 64, "defect")
    page.app.session_state["calibrate-unsaved"] = refused.value
    page.run()
    assert f"The label was not saved. {READ_ONLY}" in [error.value for error in page.app.error]
    assert labels.labels(entry) == {}


def test_a_full_disk_is_named_with_the_file(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).decide(entry.id, Draft("image", 900, None, 12))
    with refusing(Workspace(home).folder, errno.ENOSPC):
        page.click("calibrate-use")
    assert f"The threshold was not saved. {entry.id}" in page.text
    assert "no space left on the disk; free some space there" in page.text
    assert str(home) not in page.text


def test_names_and_models_stay(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session(None, model=entry.id)
    with refusing(home):
        page.delete(entry)
    assert f"The model was not deleted. {READ_ONLY}" in [error.value for error in page.app.error]
    assert Workspace(home).get(entry.id).name == "Parts"

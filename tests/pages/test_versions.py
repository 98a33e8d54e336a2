"""The tab Versions: what was changed by whom, approved and taken back, two versions compared."""

from __future__ import annotations

import pytest

from padim import Workspace
from padim.records.library import ImageLibrary, NewImage
from padim.records.version import VersionChange
from padim.records.versions import ModelVersions
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals


@pytest.fixture
def entry(add_model: AddModel) -> Entry:
    """A model of an older program, changed once since."""
    entry = add_model("Flange")
    with Workspace(entry.path.parents[1]).edit(
        entry.id, change=VersionChange("Ann", reason="a *lot* of rejects")
    ) as model:
        model.set_decision(value=200.0)
    return Workspace(entry.path.parents[1]).get(entry.id)


def versions(entry: Entry) -> ModelVersions:
    return ModelVersions(entry.path.parents[1], entry.id)


def states(entry: Entry) -> list[str]:
    return [one.state for one in versions(entry).all()]


def test_rolled_back_by_one_click_and_undone(entry: Entry) -> None:
    page = Session(model=entry.id, tab="versions")
    assert "Ann · threshold" in page.text
    assert "“a *lot* of rejects”" in page.text
    assert "22 parts · threshold 200" in page.text
    page.click("approve-1")
    assert "Rolled back to version 1." in page.text
    assert "Version 2 is a newer draft" in page.text
    assert states(entry) == ["approved", "draft"]
    page.click("versions-undo")
    assert states(entry) == ["retired", "approved"]
    assert [one.who for one in versions(entry).events(1)][-1].startswith("browser ")


def test_drafts_wait_for_approval_where_somebody_wants_that(entry: Entry) -> None:
    page = Session(model=entry.id, tab="versions")
    page.set("button_group", f"versions-approval-{entry.id}", False)
    with Workspace(entry.path.parents[1]).edit(entry.id) as model:
        model.set_decision(value=100.0)
    page.run()
    assert states(entry) == ["retired", "approved", "draft"]
    page.click("retire-3")
    assert states(entry) == ["retired", "approved", "retired"]
    page.click("versions-undo")
    assert states(entry) == ["retired", "approved", "draft"]


def test_further_changes_start_from_an_older_version(entry: Entry) -> None:
    page = Session(model=entry.id, tab="versions")
    page.click("restore-1")
    assert versions(entry).get(1).revision == Workspace(entry.path.parents[1]).get(entry.id).revision
    assert "somebody else" not in page.text.lower()
    page.click("versions-undo")
    assert versions(entry).get(2).revision == Workspace(entry.path.parents[1]).get(entry.id).revision


def test_two_versions_are_compared_on_the_library(entry: Entry) -> None:
    images = [NewImage(name, data, "good") for name, data in normals(1, first=60) if isinstance(data, bytes)]
    images += [NewImage(name, data, "defect", "chip") for name, data in defects(2) if isinstance(data, bytes)]
    ImageLibrary(entry.path.parents[1], entry.id).add(images, "files")
    page = Session(model=entry.id, tab="versions")
    page.set("selectbox", f"versions-one-{entry.id}-2-1", 1)
    page.set("selectbox", f"versions-other-{entry.id}-2-1", 2)
    page.click("versions-compare")
    assert "2 known defects that version 1 does not accept would pass with version 2" in page.text
    (table,) = page.app.dataframe
    assert list(table.value["Shows"]) == ["chip", "chip"]


def test_without_a_model_there_is_nothing_to_list() -> None:
    assert "No model in use" in Session(tab="versions").text

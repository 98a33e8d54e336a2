"""Learn tab: confirmed parts become a draft, which says what it changes before anybody can approve it."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.records.inspection import InspectionContext
from padim.records.inspections import InspectionRecords
from padim.records.library import ImageLibrary
from padim.records.recording import new_inspection
from padim.records.reviews import ReviewRecords
from padim.records.versions import ModelVersions
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals

GOOD = [(name, data) for name, data in normals(4, first=100) if isinstance(data, bytes)]
BAD = [(name, data) for name, data in defects(2) if isinstance(data, bytes)]


@pytest.fixture
def entry(add_model: AddModel, home: Path, small_model: Padim) -> Entry:
    """A model of the small one, four parts that a person has accepted and two that she has rejected."""
    found = add_model("Parts")
    ModelVersions(home, found.id).catch_up()
    WorkspaceSettings(home).set(OriginalsSettings(keep="all"), "Anna")
    records, contents = InspectionRecords(home, draw=lambda: 0.99), dict([*GOOD, *BAD])
    rows = records.add(
        [
            new_inspection(
                small_model, one, InspectionContext("Anna"), model_id=found.id, original=contents[one.name]
            )
            for one in small_model.predict([*GOOD, *BAD], thumbnail_side=64)
        ]
    )
    for place, row in enumerate(rows):
        ReviewRecords(home).decide(
            row, "Anna", "accept" if place < 4 else "reject", "" if place < 4 else "scratch"
        )
    return found


def test_confirmed_parts_are_added_shown_and_approved(entry: Entry, home: Path, small_model: Padim) -> None:
    versions = ModelVersions(home, entry.id)
    page = Session("learn", model=entry.id)
    assert "Reviewers have accepted 4 parts that the model is not fitted on." in page.text
    page.click("learn-add")
    assert "4 images of 4 parts added, as a draft" in page.text
    approved, draft = versions.approved(), versions.newest()
    assert approved is not None
    assert draft is not None
    assert (approved.number, draft.number, draft.state) == (1, 2, "draft")
    assert (draft.cause, draft.reason, draft.n_parts) == ("addition", "confirmed in review", 26)
    assert Workspace(home).open(entry.id).state.identity != small_model.state.identity
    assert page.app.button(key="learn-approve").disabled  # first look at what it changes
    page.click("learn-preview")
    assert (
        "6 images on record and in the library scored by both versions, 2 of them known defects" in page.text
    )
    assert "estimated from parts" in page.text
    assert not page.app.button(key="learn-approve").disabled
    page.click("learn-approve")
    assert versions.approved() == versions.get(2)
    assert "All accepted parts that can be added are in the fit." in page.text
    assert "Added from reviews: 4 parts" in "".join(one.label for one in page.app.expander)


def test_a_draft_that_lets_a_known_defect_pass_needs_a_second_click(entry: Entry, home: Path) -> None:
    versions = ModelVersions(home, entry.id)
    page = Session("learn", model=entry.id).click("learn-add")
    with Workspace(home).edit(entry.id) as model:
        model.set_decision(value=max(one.score for one in model.predict(BAD)) * 1.1)
    (latest,) = (one for one in versions.all() if one.number == 3)
    if latest.state == "approved":  # approval at once: a draft of it again
        versions.approve(1, "Anna")
    page = Session("learn", model=entry.id).click("learn-preview")
    assert "2 known defects would pass." in page.text
    assert page.app.button(key="learn-approve").disabled
    (box,) = (one for one in page.app.checkbox if str(one.key).startswith("learn-although"))
    assert box.label == "Approve although 2 known defects would pass"
    box.check()
    page.run()
    page.click("learn-approve")
    assert versions.approved() == versions.get(3)
    assert versions.events(3)[-1].comment == "although 2 known defects would pass"


def test_a_discarded_draft_leaves_the_former_model(entry: Entry, home: Path, small_model: Padim) -> None:
    before = Workspace(home).get(entry.id).revision
    page = Session("learn", model=entry.id).click("learn-add")
    page.click("learn-discard")
    assert Workspace(home).get(entry.id).revision == before  # byte for byte
    model = Workspace(home).open(entry.id)
    assert model.working_set.has_features
    assert ModelVersions(home, entry.id).get(2).state == "retired"
    assert "Reviewers have accepted 4 parts" in page.text
    model.partial_fit(GOOD[:1])  # and it can be changed as before


def test_defects_join_the_library_by_one_click(entry: Entry, home: Path) -> None:
    page = Session("learn", model=entry.id)
    assert "The image library does not have 2 confirmed defects." in page.text
    page.click("learn-keep-defects")
    assert "2 defects added to the image library" in page.text
    assert {one.defect_type for one in ImageLibrary(home, entry.id).images()} == {"scratch"}


def test_without_reviews_it_says_what_this_is_for(add_model: AddModel) -> None:
    assert "Nothing to learn from yet" in Session("learn", model=add_model("Parts").id).text

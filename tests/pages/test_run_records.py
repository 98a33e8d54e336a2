"""Run: what is scored is recorded once, with its fields; a part number chooses the model or is refused."""

from __future__ import annotations

import re
from pathlib import Path

from padim import Workspace
from padim.records.inspections import InspectionQuery, InspectionRecords
from padim.records.recipes import Recipes
from padim.records.versions import ModelVersions
from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals

IMAGES = [(name, data) for name, data in (*normals(2, first=100), *defects(2)) if isinstance(data, bytes)]
NAMED = [
    (f"L7-{number:04d}_night.png" if number < 3 else "odd.png", data)
    for number, (_, data) in enumerate(IMAGES)
]


def recorded(home: Path) -> list[dict[str, str]]:
    items = InspectionRecords(home).page(InspectionQuery(), order="oldest").items
    return [
        {key: str(getattr(one, key)) for key in ("name", "lot", "serial", "shift", "station", "part_number")}
        for one in items
    ]


def test_what_is_scored_is_recorded_once_as_the_engine_decides(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    page = Session("inspect", model=entry.id)
    page.set("text_input", "person-name", "Anna")
    page.upload([*IMAGES, IMAGES[0]])
    items = InspectionRecords(home).page(InspectionQuery(), order="oldest").items
    model = Workspace(home).open(entry.id)
    expected = [(one.name, one.verdict, one.score) for one in model.predict(IMAGES)]
    found = [(one.name, one.verdict, one.score) for one in items]
    again = next(one for one in expected if one[0] == IMAGES[0][0])
    assert sorted(found) == sorted([*expected, (again[0].replace(".png", " (2).png"), *again[1:])])
    assert {(one.model_id, one.who, one.source) for one in items} == {(entry.id, "Anna", "app")}
    waits = InspectionRecords(home).count(InspectionQuery(waits=True))
    assert f"5 on record, {waits} of this model" in page.text
    # A part taken out of the fit changes the scores: the same images again are no new inspections.
    with Workspace(home).edit(entry.id) as changed:
        changed.exclude(0, "not_good")
    page.run()
    assert InspectionRecords(home).count(InspectionQuery()) == 5


def test_switched_off_nothing_is_recorded(add_model: AddModel, home: Path) -> None:
    page = Session("inspect", model=add_model("Plate").id)
    page.set("toggle", "run-keep", False)
    page.upload(IMAGES)
    assert len(page.viewer["items"]) == len(IMAGES)
    assert recorded(home) == []
    assert "of this model" not in page.text
    assert not [one for one in page.app.button if one.key == "run-record-again"]


def test_names_are_shown_before_they_are_used(add_model: AddModel, home: Path) -> None:
    page = Session("inspect", model=add_model("Plate").id)
    page.set("text_input", "run-field-station", " 2 ")
    page.set("text_input", "run-field-lot", "typed")
    page.set("text_input", "run-pattern", "{lot}-{serial}_{batch}")
    assert "there is no field {batch}" in page.text
    page.set("text_input", "run-pattern", "{lot}-{serial}_{shift}")
    page.upload(NAMED)
    assert recorded(home) == []
    assert "1 name does not match, and takes what was typed: odd.png" in page.text
    table = next(one.body for one in page.app.html if "pv-compare" in one.body)
    lines = [re.findall("<td>(.*?)</td>", line) for line in table.split("<tr>")[2:]]
    assert lines == [
        *([NAMED[n][0], f"{n:04d}", "L7", "2", "night", "yes"] for n in range(3)),
        ["odd.png", "", "typed", "2", "", "no, as typed"],
    ]
    page.click("run-score")
    read = {"lot": "L7", "shift": "night", "station": "2", "part_number": ""}
    assert recorded(home) == [
        *({"name": NAMED[n][0], "serial": f"{n:04d}", **read} for n in range(3)),
        {"name": "odd.png", "lot": "typed", "serial": "", "shift": "", "station": "2", "part_number": ""},
    ]


def test_a_database_that_is_away_costs_no_score_and_claims_nothing(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    database = home / "records.sqlite"
    aside = database.rename(home / "aside") if database.exists() else None
    database.mkdir()
    page = Session("inspect", model=entry.id).upload(IMAGES)
    assert len(page.viewer["items"]) == len(IMAGES)
    assert "4 images are not on record" in page.text
    assert " on record, " not in page.text
    page.click("run-record-again")
    assert "4 images are not on record" in page.text
    database.rmdir()
    if aside is not None:
        aside.rename(database)
    page.click("run-record-again")
    assert "4 on record" in page.text
    assert len(recorded(home)) == 4
    assert "not on record" not in page.text


def test_a_part_number_chooses_the_model(add_model: AddModel, home: Path) -> None:
    first, second = add_model("First"), add_model("Second")
    Recipes(home).set("4711", second.id, "Anna")
    page = Session("inspect", model=first.id)
    page.set("text_input", "run-part-number", "0815\n")
    assert "Nothing is scored." in page.text
    assert "0815 has no model (known are 4711)" in page.text
    assert page.model == first.id
    assert len(page.app.file_uploader) == 0
    page.set("text_input", "run-part-number", " 4711 ")
    assert page.model == second.id
    assert "Nothing is scored." not in page.text
    page.upload(IMAGES[:1])
    assert [one["part_number"] for one in recorded(home)] == ["4711"]
    # Another model by hand is not the one of this part number.
    page.set("selectbox", "model-in-use", first.id)
    assert "Part number 4711 is inspected by “Second”" in page.text
    assert len(page.app.file_uploader) == 0
    page.click("run-part-none")
    assert len(page.app.file_uploader) == 1
    kinds = [(one.kind, one.part_number, one.model_id) for one in Recipes(home).events()]
    assert kinds[:2] == [("switched", "4711", second.id), ("refused", "0815", "")]


def test_names_of_another_part_are_refused(add_model: AddModel, home: Path) -> None:
    first, second = add_model("First"), add_model("Second")
    Recipes(home).set("A1", first.id, "Anna")
    Recipes(home).set("B2", second.id, "Anna")
    page = Session("inspect", model=first.id)
    page.set("text_input", "run-pattern", "{part_number}_{serial}")
    data = [content for _, content in IMAGES]
    page.upload(list(zip(["A1_1.png", "B2_2.png", "C3_3.png", "no.png"], data, strict=True)))
    assert "B2_2.png: part number B2 is inspected by “Second”." in page.text
    assert "C3_3.png: part number C3 has no model." in page.text
    assert "no.png: the name gives no part number, and none is typed." in page.text
    assert page.app.button(key="run-score").disabled
    page.click("run-choose-again")
    page.upload([("B2_1.png", data[0]), ("B2_2.png", data[1])])
    page.click("run-batch-switch")
    assert page.model == second.id
    page.click("run-score")
    assert [one["part_number"] for one in recorded(home)] == ["B2", "B2"]


def test_recipes_are_edited_on_their_tab(add_model: AddModel, home: Path) -> None:
    from streamlit.testing.v1 import AppTest

    entry = add_model("Plate")
    Recipes(home).set("4711", entry.id, "Anna")
    app = AppTest.from_string("from ui.views import part_numbers\npart_numbers.draw()", default_timeout=60)
    app.run()
    assert "4711" in app.markdown[0].value
    app.text_input(key="part-number-new").set_value(" 0815 ")
    app.button(key="part-number-set").click().run()
    assert [one.part_number for one in Recipes(home).all()] == ["0815", "4711"]
    app.button(key="part-number-remove-1").click().run()
    assert [one.part_number for one in Recipes(home).all()] == ["0815"]
    app.button(key="part-number-set").click().run()
    assert "1 to 100 characters" in app.error[0].value
    assert list(app.dataframe[0].value["What"]) == ["recipe removed", "recipe set", "recipe set"]


def test_the_approved_version_inspects_and_a_newer_draft_is_said(add_model: AddModel, home: Path) -> None:
    entry = add_model("Plate")
    versions = ModelVersions(home, entry.id)
    WorkspaceSettings(home, entry.id).set(ApprovalSettings(approval="by_hand"), "Anna")
    approved = versions.approve(versions.keep().number, "Anna")
    page = Session("inspect", model=entry.id)
    assert "inspects" not in page.text.replace("model in use inspects", "")
    with Workspace(home).edit(entry.id) as changed:
        changed.exclude(0, "not_good")
    page.run()
    assert f"Version {approved.number} inspects" in page.text
    assert "is a newer draft" in page.text
    page.upload(IMAGES)
    scored = sorted((one.name, one.score) for one in versions.open(approved).predict(IMAGES))
    found = InspectionRecords(home).page(InspectionQuery(), order="oldest").items
    assert sorted((one.name, one.score) for one in found) == scored
    assert {one.version_number for one in found} == {approved.number}
    draft = versions.newer_draft()
    assert draft is not None
    versions.approve(draft.number, "Anna")
    page.run()
    assert "newer draft" not in page.text
    # The list is scored by what inspects now, and what is on record stays.
    assert [page.viewer["items"][0]["score"]] != [max(one.score_level for one in found)]
    assert InspectionRecords(home).count(InspectionQuery()) == len(IMAGES)

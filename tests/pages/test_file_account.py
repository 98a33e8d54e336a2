"""The pages name every file that was not used, with the reason, and so does the CSV of Inspect."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from padim import Workspace
from tests.pages.session import AddModel, Session
from tests.pages.test_fit import small
from tests.parts import normals
from ui import exports, inspect

GOOD = [(name, data) for name, data in normals(6) if isinstance(data, bytes)]


def drive() -> bytes:
    """Build a zip of good parts as a network drive keeps them, with other files beside them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in GOOD:
            archive.writestr(name, data)
        archive.writestr("@eaDir/a.png", GOOD[0][1])
        archive.writestr("@eaDir/b.png", GOOD[1][1])
        archive.writestr("notes.txt", "of Monday")
        archive.writestr("more.zip", b"PK\5\6" + bytes(18))
        archive.writestr("cut.png", GOOD[0][1][:99])
    return out.getvalue()


def titles(page: Session) -> str:
    return "".join(expander.label for expander in page.app.expander)


@pytest.mark.parametrize("where", ["fit", "inspect"])
def test_every_file_of_a_zip_is_accounted_for(where: str, add_model: AddModel) -> None:
    page = Session(where, model=add_model("Parts").id) if where == "inspect" else Session(where)
    page.upload([("drive.zip", drive())])
    assert "5 files not used: 1 cannot be used, 4 passed over" in titles(page)
    assert "<b>cut.png</b> is damaged" in page.text
    assert "<b>notes.txt</b> passed over: not an image (.txt)" in page.text
    assert "<b>@eaDir/</b> passed over: system leftover: thumbnails (2 files)" in page.text
    assert "<b>more.zip</b> passed over: an archive inside the archive" in page.text


def test_after_the_fit_they_are_still_named(home: Path) -> None:
    page = small(Session("fit").upload([("drive.zip", drive())]))
    page.click("fit-go")
    assert len(Workspace(home).models()) == 1
    assert "5 files not used: 1 cannot be used, 4 passed over" in titles(page)


def test_leftovers_alone_are_no_warning() -> None:
    page = Session("fit").upload([*GOOD, ("Thumbs.db", b"-"), (".DS_Store", b"-")])
    assert "2 hidden or system files passed over" in titles(page)
    assert f"Images</dt><dd>{len(GOOD)}" in page.text


def test_what_the_browser_used_to_drop_is_said() -> None:
    page = Session("fit").upload([*GOOD, ("words.doc", b"text"), ("part.jfif", GOOD[0][1])])
    assert "1 file cannot be used" in titles(page)
    assert "<b>words.doc</b> is text, not an image" in page.text
    assert f"Images</dt><dd>{len(GOOD) + 1}" in page.text


def test_the_csv_of_inspect_has_a_row_for_every_file(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload([("drive.zip", drive())])
    model = Workspace(home).open(entry.id)
    kept = page.app.session_state[f"padim:{inspect.__name__}.InspectState"]
    pile, level, area = kept.of(entry).pile, model.threshold_level, model.config.min_area
    rows = [inspect.Row(item, item.score(model, area), None, 0) for item in pile.items]
    text = exports.csv_bytes(rows, model, entry, level, pile).decode("utf-8-sig")
    became: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        became.setdefault(row["file"], []).append(row["name"])
        assert (row["error"] == "") == (row["file"] == "used")
    assert became["refused"] == ["cut.png"]
    assert len(became["used"]) == len(GOOD)
    assert sorted(became["passed over"]) == ["'@eaDir/", "more.zip", "notes.txt"]

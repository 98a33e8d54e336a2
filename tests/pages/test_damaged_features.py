"""Fit page: features damaged on disk are reported with a remedy, and the remedy works."""

from __future__ import annotations

from pathlib import Path

from padim import Workspace
from tests.pages.session import AddModel, Session
from tests.parts import normals

FITTED = [(name, data) for name, data in normals(22) if isinstance(data, bytes)]


def normals_of(model_id: str) -> Session:
    page = Session("fit", model=model_id)
    page.app.query_params["tab"] = "result"
    return page.run()


def rebuild(page: Session) -> None:
    found = next(u for u in page.app.file_uploader if (u.key or "").startswith("rebuild-"))
    found.set_value([(name, data, "application/octet-stream") for name, data in FITTED])
    page.run()


def test_a_damaged_record_is_named_when_the_fit_changes(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    file = Workspace(home).work_dir(entry.id) / "spool" / "features.f32"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    page = normals_of(entry.id)
    first = next(b.key for b in page.app.button if b.key and b.key.startswith("not_good-"))
    page.click(first)
    assert "the record of normal 1 does not match its checksum (good_000.png)" in page.text
    assert "delete the working features" in page.text
    assert Workspace(home).get(entry.id).revision == entry.revision
    page.click("fit-delete-features")
    rebuild(page)
    assert "The working features are back" in page.text


def test_a_damaged_list_of_records_is_reported_at_once(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    file = Workspace(home).work_dir(entry.id) / "spool" / "records.txt"
    file.write_bytes(b"\xe4" + file.read_bytes()[1:])
    page = normals_of(entry.id)
    assert "The working features cannot be used: records.txt line 1 is damaged" in page.text
    rebuild(page)
    assert "The working features are back" in page.text
    assert "cannot be used" not in page.text

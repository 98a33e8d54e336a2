"""The image library on the pages: what one page was given, no other asks for again."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from padim.records.library import ImageLibrary, ImageQuery
from tests.pages.session import AddModel, Session
from tests.pages.test_compare import lay, packed
from tests.parts import defects, normals
from ui import library
from ui.views import library_list
from ui.widgets import labels
from ui.widgets import normals as good_parts

DEFECTS = [(name, data) for name, data in defects(3) if isinstance(data, bytes)]
GOOD = [(f"new {name}", data) for name, data in normals(30)[-4:] if isinstance(data, bytes)]


def labeled_zip() -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, data in GOOD:
            archive.writestr(f"good/{name}", data)
        for name, data in DEFECTS:
            archive.writestr(f"scratch/{name}", data)
    return buffer.getvalue()


def test_what_calibrate_was_given_every_page_uses(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).upload(DEFECTS)
    store = ImageLibrary(home, entry.id)
    assert [(one.name, one.label, one.origin) for one in store.images()] == [
        (name, "defect", "files") for name, _ in DEFECTS
    ]
    # Another session has them without being asked, and the same upload is not there twice.
    again = Session("calibrate", model=entry.id)
    assert sum(item["group"] == "defect" for item in again.viewer["items"]) == 3
    again.upload(DEFECTS)
    assert sum(item["group"] == "defect" for item in again.viewer["items"]) == 3
    assert store.count() == 3
    # Cleared, they wait for a click.
    again.click("calibrate-forget")
    assert {item["group"] for item in again.viewer["items"]} == {"normal"}
    again.click("calibrate-library")
    assert sum(item["group"] == "defect" for item in again.viewer["items"]) == 3
    page.go("evaluate").click("evaluate-library")
    assert "3 labelled images of the library" in page.text
    page.go("robustness")
    assert page.app.button(key="robustness-library").label == "Use the 3 labelled images of the library"


def test_a_labelled_zip_is_kept_with_its_types(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    Session("evaluate", model=entry.id).upload([("set.zip", labeled_zip())])
    store = ImageLibrary(home, entry.id)
    assert store.counts() == {"good": 4, "defect": 3, "unknown": 0}
    assert store.defect_types() == ["scratch"]
    assert {(one.origin, one.origin_name) for one in store.images()} == {("dataset", "set.zip")}
    found = library.image_set(entry, "test")
    assert found is not None
    assert sorted(data for _, data in found.source) == sorted(data for _, data in (*GOOD, *DEFECTS))
    assert library.image_set(entry, "fit") is None


def test_labels_of_the_list_are_those_of_calibrate(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).upload(DEFECTS)
    store = ImageLibrary(home, entry.id)
    images = store.images()
    library_list.apply_edits(
        entry, images, {0: {"Shows": "Good part"}, 1: {"Type of defect": "dent"}, 2: {"Remove": True}}
    )
    assert labels.labels(entry)[images[0].sha256] == "good"
    assert [one.kind for one in store.images()] == ["good", "dent"]
    page.run()
    shown = {item["sha256"]: item for item in page.viewer["items"] if item["group"] != "normal"}
    assert set(shown) == {images[0].sha256, images[1].sha256}
    assert shown[images[0].sha256]["label"] == "good"
    for _ in range(3):
        assert store.undo() is not None
    assert [one.kind for one in store.images()] == ["defect"] * 3


def test_a_part_that_is_not_good_is_a_defect_of_the_library(add_model: AddModel) -> None:
    entry = add_model("Parts")
    sha256 = library.workspace.open_model(entry).normals_[0].sha256
    good_parts.exclude(entry, sha256, "not_good")
    assert labels.labels(entry)[sha256] == "defect"
    now = library.workspace.store().get(entry.id)
    assert sha256 not in library.in_fit(library.workspace.open_model(now))
    good_parts.include(now, sha256)
    assert labels.labels(entry)[sha256] == "good"


def test_a_full_library_is_said_and_the_images_are_used(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_LIBRARY_LIMIT", "0.000001")
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).upload(DEFECTS)
    assert sum(item["group"] == "defect" for item in page.viewer["items"]) == 3
    assert "Not all of these images were kept in the image library" in page.text
    assert "PADIM_LIBRARY_LIMIT" in page.text
    assert ImageLibrary(home, entry.id).count() == 0


def test_images_of_the_fit_are_no_test_images(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    own = library.in_fit(library.workspace.open_model(entry))
    fit = [(name, data) for name, data in normals(30) if isinstance(data, bytes)]
    Session("calibrate", model=entry.id).upload(fit[:5])
    store = ImageLibrary(home, entry.id)
    assert store.count(ImageQuery(only=own)) == library.number(entry, "fit")
    assert library.number(entry, "fit") + library.number(entry, "test") == store.count() == 5


def test_the_sample_is_offered_to_its_own_model_only(add_model: AddModel) -> None:
    assert Session("compare").app.button(key="compare-sample").label == "Use the sample"
    entry = add_model("Parts")
    for page in ("evaluate", "sensitivity", "robustness", "calibrate", "compare"):
        shown = Session(page, model=entry.id)
        assert not [one.key for one in shown.app.button if str(one.key).endswith("-sample")]


def test_images_of_inspect_are_in_the_library_once_the_user_adds_them(
    add_model: AddModel, home: Path
) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(DEFECTS)
    store = ImageLibrary(home, entry.id)
    assert store.count() == 0
    page.click("inspect-keep")
    assert [(one.name, one.label, one.origin) for one in store.images()] == [
        (name, "unknown", "inspect") for name, _ in DEFECTS
    ]
    assert "inspect-keep" not in [button.key for button in page.app.button]


def test_what_compare_was_given_every_page_uses(add_model: AddModel, home: Path, tmp_path: Path) -> None:
    entry = add_model("Parts")
    page = Session("compare", model=entry.id).upload([("ring.zip", packed(lay(tmp_path / "ring")))])
    store = ImageLibrary(home, entry.id)
    assert store.counts() == {"good": 14, "defect": 3, "unknown": 0}
    assert store.defect_types() == ["chip"]
    assert [len(one.masks) for one in store.images() if one.label == "defect"] == [1, 1, 1]
    page.go("evaluate")
    assert page.app.button(key="evaluate-library").label.startswith("Use the ")
    # Another session compares on them without an upload.
    again = Session("compare", model=entry.id).click("compare-library")
    assert "3 defects" in again.text
    assert store.count() == 17


def test_compare_keeps_nothing_where_the_user_does_not_want_it(
    add_model: AddModel, home: Path, tmp_path: Path
) -> None:
    entry = add_model("Parts")
    page = Session("compare", model=entry.id).set("checkbox", f"compare-keep-{entry.id}", False)
    page.upload([("ring.zip", packed(lay(tmp_path / "ring")))])
    assert "fitted on 10 good parts" in page.text
    assert ImageLibrary(home, entry.id).count() == 0


def test_a_full_library_is_said_where_it_is_filled_in_the_background(
    add_model: AddModel, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_LIBRARY_LIMIT", "0.000001")
    entry = add_model("Parts")
    page = Session("compare", model=entry.id).upload([("ring.zip", packed(lay(tmp_path / "ring")))])
    said = " ".join(one.value for one in page.app.sidebar.caption).replace("\\", "")
    assert "Failed: Keeping ring.zip in the image library" in said
    assert "PADIM_LIBRARY_LIMIT" in said
    assert ImageLibrary(home, entry.id).count() == 0

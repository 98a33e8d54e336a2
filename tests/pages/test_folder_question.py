"""Labelled data brought as good parts: the question which folder is meant, before anything is fitted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from padim import PadimConfig, Workspace
from padim.storage.resume import Request
from tests.pages.session import AddModel, Session
from tests.pages.test_fit import give, normals_of
from tests.parts import defects, normals, part, png

GOOD = [(name, bytes(data)) for name, data in normals(6)]
SET = [
    *((f"set/train/good/{name}", data) for name, data in GOOD),
    *((f"set/test/good/{name}", bytes(data)) for name, data in normals(2, first=60)),
    *((f"set/test/dent/{name}", bytes(data)) for name, data in defects(3)),
    *((f"set/ground_truth/dent/{name}", png(part(1) * 0)) for name, _ in defects(3)),
]


def packed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in SET:
            archive.writestr(name, data)
    return buffer.getvalue()


def fitted(home: Path, page: Session) -> list[str]:
    page.set("selectbox", "fit-size", 128)
    page.set("selectbox", "fit-stride", 16)
    page.set("slider", "fit-d-efficientnet_lite0-176", 10)
    page.click("fit-go")
    (entry,) = Workspace(home).models()
    return [normal.name for normal in Workspace(home).open(entry.id).normals_]


def options(page: Session) -> list[str]:
    return [str(option) for option in page.app.radio(key="normals-folder").options]


@pytest.mark.parametrize("files", [[("set.zip", packed())], SET], ids=["zip", "folder of the browser"])
def test_the_folder_of_good_parts_is_asked_for_and_alone_is_fitted(
    home: Path, files: list[tuple[str, bytes]]
) -> None:
    page = Session("fit").upload(files)
    assert "Which folder of" in page.text
    assert "ground_truth" in page.text
    assert [option.split(" · ")[0].replace("\\", "") for option in options(page)] == [
        "set/train/good",
        "set/test/good",
        "set/test/dent",
        "set/ground_truth",
        "All of it",
    ]
    assert page.app.radio(key="normals-folder").value == "set/train/good", "chosen beforehand"
    assert not Workspace(home).models()
    page.click("normals-folder-use")
    assert "Images</dt><dd>6" in page.text
    assert fitted(home, page) == [name for name, _ in GOOD]


def test_all_of_it_is_fitted_if_the_user_says_so(home: Path) -> None:
    page = Session("fit").upload([("set.zip", packed())])
    page.set("radio", "normals-folder", ".")
    page.click("normals-folder-use")
    assert len(fitted(home, page)) == len(SET)


def test_other_images_may_be_chosen_instead() -> None:
    page = Session("fit").upload([("set.zip", packed())])
    page.click("normals-folder-other")
    assert "Which folder of" not in page.text
    assert len(page.app.file_uploader) == 1
    page.upload(GOOD)
    assert "Images</dt><dd>6" in page.text


def test_a_folder_on_the_server_is_asked_about_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in SET:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path))
    page = Session("fit")
    page.set("segmented_control", "normals-origin", "server")
    page.app.text_input(key="normals-server-path").set_value("set")
    next(button for button in page.app.button if button.label == "Use this folder").click()
    page.run()
    assert page.app.radio(key="normals-folder").value == "train/good"
    page.click("normals-folder-use")
    assert fitted(home, page) == [name for name, _ in GOOD]


def test_parts_that_are_added_are_asked_about(home: Path, add_model: AddModel) -> None:
    entry = add_model("Parts")
    before = len(Workspace(home).open(entry.id).normals_)
    page = give(normals_of(entry.id), "add", [("set.zip", packed())])
    assert "Which folder of" in page.text
    page.click("add-folder-use")
    assert len(Workspace(home).open(entry.id).normals_) > before


def test_what_each_folder_was_taken_for_is_on_the_evaluate_page(add_model: AddModel) -> None:
    page = Session("evaluate", model=add_model("Parts").id)
    page.upload([("set.zip", packed())])
    for folder, use in (
        ("test/good", "good parts"),
        ("test/dent", "defects: dent"),
        ("ground_truth/dent", "masks"),
        ("train/good", "training good parts"),
    ):
        assert f"<td>set/{folder}</td><td>{use}</td>" in page.text
    assert "3 masks without a defect pixel" in page.text


def test_a_stopped_fit_goes_on_in_the_folder_that_was_chosen(home: Path, small_config: PadimConfig) -> None:
    store = Workspace(home)
    images = home.parent / "set.zip"
    images.write_bytes(packed())
    entry = store.create("Stopped")
    config = small_config.model_dump(mode="json")
    Request.now(
        6, images=str(images), label="set.zip", config=config, parts={}, folder="set/train/good"
    ).write(entry.path / "work")
    Session().click(f"resume-{entry.path.name}")
    assert [normal.name for normal in store.open(entry.id).normals_] == [name for name, _ in GOOD]

"""Fit: choosing pictures, what cannot be used, fitting, and reviewing the normals."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.errors import ImageError
from tests.pages.session import AddModel, Session
from tests.parts import normals, part, png

GOOD = [(name, data) for name, data in normals(6) if isinstance(data, bytes)]


def small(page: Session) -> Session:
    """Settings that fit in milliseconds."""
    page.set("selectbox", "fit-size", 128)
    page.set("selectbox", "fit-stride", 16)
    return page.set("slider", "fit-d-176", 10)


def only_model(home: Path) -> Padim:
    (entry,) = Workspace(home).models()
    return Workspace(home).open(entry.id)


def test_an_empty_page_offers_every_way_to_bring_pictures() -> None:
    page = Session("fit")
    assert len(page.app.file_uploader) == 1
    assert page.app.button(key="normals-sample")
    assert "40 or more good parts" in page.text


def test_uploads_become_a_model_in_use(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    assert "Pictures</dt><dd>6" in page.text
    page.set("text_input", "fit-name-1", "Line 3")
    page.click("fit-go")
    model = only_model(home)
    assert page.model == Workspace(home).models()[0].id
    assert [n.name for n in model.normals_] == [name for name, _ in GOOD]
    assert model.config.input_size == 128
    assert model.config.n_features == 10
    assert "Held-out scores" in page.text
    assert "About" in page.text
    assert "good parts; at most" in page.text


def test_bad_files_are_named_and_the_others_fitted(home: Path) -> None:
    broken = GOOD[0][1][:200]
    page = small(Session("fit").upload([*GOOD, ("cut <short>.png", broken), ("words.png", b"not a picture")]))
    assert "2 files cannot be used" in "".join(e.label for e in page.app.expander)
    assert "cut &lt;short&gt;.png" in page.text
    assert "words.png" in page.text
    page.click("fit-go")
    assert len(only_model(home).normals_) == 6
    assert "2 files could not be used" in "".join(e.label for e in page.app.expander)


def test_nothing_readable_says_so_and_offers_another_choice() -> None:
    page = Session("fit").upload([("words.png", b"not a picture")])
    assert "No picture can be used" in page.text
    page.click("fit-other")
    assert len(page.app.file_uploader) == 1


def test_a_zip_bomb_is_refused_by_name() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("huge.bmp", bytes(300 * 2**20))
        archive.writestr("../outside.png", GOOD[0][1])
    page = Session("fit").upload([("bomb.zip", buffer.getvalue())])
    assert "No picture can be used" in page.text
    assert "huge.bmp" in page.text
    assert "outside.png" in page.text


def test_an_empty_zip_is_no_fit() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    page = Session("fit").upload([("empty.zip", buffer.getvalue())])
    assert "No picture can be used" in page.text


def test_a_huge_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    page = Session("fit").upload([("huge.png", buffer.getvalue()), *GOOD[:1]])
    assert "huge.png" in page.text
    assert "Pictures</dt><dd>1" in page.text


def test_copies_and_confirmed_repeat_shots_count_as_one_part(home: Path) -> None:
    shots = [(f"part{i:02d}_{s}.png", png(part(i, shot=k))) for i in range(5) for k, s in enumerate("ab")]
    page = Session("fit").upload([*shots, ("copy.png", shots[0][1])])
    assert "byte-for-byte copies" in page.text
    boxes = [box for box in page.app.checkbox if box.key and box.key.startswith("fit-group-")]
    assert boxes
    for box in boxes:
        box.check()
    page.run()
    assert "Parts</dt><dd>5" in page.text
    small(page).click("fit-go")
    assert len({n.group for n in only_model(home).normals_}) == 5
    for box in boxes:
        assert box.help


def test_two_parts_make_a_model_without_a_promise(home: Path) -> None:
    page = small(Session("fit").upload(GOOD[:2]))
    assert "takes at least 3" in page.text
    page.click("fit-go")
    assert only_model(home).threshold_ is None
    assert "There is no threshold yet" in page.text


def test_no_layer_no_fit() -> None:
    page = Session("fit").upload(GOOD)
    page.app.pills(key="fit-layers-efficientnet_lite0").set_value([])
    page.run()
    assert "at least one layer" in page.text
    assert page.app.button(key="fit-go").disabled


def test_a_failed_fit_says_why_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = small(Session("fit").upload(GOOD))

    def refuse(*_: object, **__: object) -> None:
        raise ImageError("good_003.png", "cannot be read twice")

    monkeypatch.setattr(Padim, "fit", refuse)
    page.click("fit-go")
    assert "The model was not fitted. Good_003.png: cannot be read twice." in page.text
    assert list((home / "models").iterdir()) == []
    assert page.app.button(key="fit-go")  # the pictures are still there


def test_a_cancelled_fit_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from padim.errors import Cancelled

    page = small(Session("fit").upload(GOOD))

    def cancelled(*_: object, **__: object) -> None:
        raise Cancelled("stopped")

    monkeypatch.setattr(Padim, "fit", cancelled)
    page.click("fit-go")
    assert "The fit was cancelled" in page.text
    assert list((home / "models").iterdir()) == []


def test_a_folder_on_the_server_only_below_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "open"
    (root / "line").mkdir(parents=True)
    for name, data in GOOD[:3]:
        (root / "line" / name).write_bytes(data)
    (tmp_path / "secret").mkdir()
    monkeypatch.setenv("PADIM_FOLDERS", str(root))
    page = Session("fit")
    page.app.segmented_control(key="normals-origin").set_value("server")
    page.run()

    def name_it(folder: str) -> None:
        page.app.text_input(key="normals-server-path").set_value(folder)
        next(b for b in page.app.button if b.label == "Use this folder").click()
        page.run()

    name_it("../secret")
    assert "lies outside" in page.text
    name_it("nowhere")
    assert "There is no folder" in page.text
    name_it("line")
    assert "Pictures</dt><dd>3" in page.text


def test_excluding_asks_why_and_undo_brings_the_same_arrays_back(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")

    def arrays() -> str:
        model = Workspace(home).open(entry.id)
        whole = b"".join(
            np.ascontiguousarray(a).tobytes() for a in (model.mean_, model.whitener_, model.held_out_)
        )
        return hashlib.sha256(whole + repr((model.quantizer, model.threshold_)).encode()).hexdigest()

    before = arrays()
    page = Session("fit", model=entry.id)
    page.app.segmented_control(key="fit-view").set_value("normals")
    page.run()
    first = next(b.key for b in page.app.button if b.key and b.key.startswith("kept_out-"))
    index = int(first.split("-")[1])
    page.click(first)
    model = Workspace(home).open(entry.id)
    assert model.normals_[index].status == "kept_out"
    assert arrays() != before
    assert "Without them it would read" in page.text  # the false rejects, both ways
    page.click(f"back-{index}")
    assert arrays() == before
    assert "Without them" not in page.text
    page.click(f"not_good-{index}")
    assert Workspace(home).open(entry.id).normals_[index].status == "not_good"
    assert "Without them" not in page.text  # no good part: nothing is promised about it


def test_deleted_features_end_exclusion_but_not_the_model(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("fit", model=entry.id)
    page.app.segmented_control(key="fit-view").set_value("normals")
    page.run()
    page.click("fit-delete-features")
    assert not Workspace(home).open(entry.id).has_spool
    assert "They were deleted" in page.text
    assert "Held-out scores" in page.text


def test_settings_survive_a_look_at_another_page() -> None:
    page = Session("fit").upload(GOOD)
    page.set("selectbox", "fit-size", 128)
    page.go("calibrate").go("fit")
    assert page.app.selectbox(key="fit-size").value == 128
    assert "Pictures</dt><dd>6" in page.text

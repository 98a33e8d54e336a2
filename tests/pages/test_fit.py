"""Fit page: choosing images, unusable files, fitting, and reviewing the normals."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from padim import Padim, PadimConfig, Workspace
from padim.errors import ImageError
from padim.network.registry import REGISTRY
from padim.network.weights import available
from tests.pages.session import AddModel, Session
from tests.parts import normals, part, png, screw

GOOD = [(name, data) for name, data in normals(6) if isinstance(data, bytes)]


def small(page: Session) -> Session:
    """Choose settings that fit in milliseconds."""
    page.set("selectbox", "fit-size", 128)
    page.set("selectbox", "fit-stride", 16)
    return page.set("slider", "fit-d-efficientnet_lite0-176", 10)


def only_model(home: Path) -> Padim:
    (entry,) = Workspace(home).models()
    return Workspace(home).open(entry.id)


def test_an_empty_page_offers_every_way_to_bring_images() -> None:
    page = Session("fit")
    assert len(page.app.file_uploader) == 1
    assert page.app.button(key="normals-sample")
    assert "40 or more good parts" in page.text


def test_uploads_become_a_model_in_use(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    assert "Images</dt><dd>6" in page.text
    page.set("text_input", "fit-name-1", "Line 3")
    page.click("fit-go")
    model = only_model(home)
    assert page.model == Workspace(home).models()[0].id
    assert [n.name for n in model.normals_] == [name for name, _ in GOOD]
    assert model.config.input_size == 128
    assert model.config.n_features == 10
    assert "Scores of good parts" in page.text
    # The promise of six parts, none above the threshold: (0 + 1) / (6 + 1) to expect, 1 - 0.05^(1/6) at most.
    promise = "14 %, at most 40 % with 95 % confidence, from 6 parts; in this sample 0 of 6."
    assert f"Expected false rejects (overkill) {promise}" in page.text


def test_bad_files_are_named_and_the_others_fitted(home: Path) -> None:
    broken = GOOD[0][1][:200]
    page = small(Session("fit").upload([*GOOD, ("cut <short>.png", broken), ("words.png", b"not an image")]))
    assert "2 files cannot be used" in "".join(e.label for e in page.app.expander)
    assert "cut &lt;short&gt;.png" in page.text
    assert "words.png" in page.text
    page.click("fit-go")
    assert len(only_model(home).normals_) == 6
    assert "2 files cannot be used" in "".join(e.label for e in page.app.expander)


def test_nothing_readable_says_so_and_offers_another_choice() -> None:
    page = Session("fit").upload([("words.png", b"not an image")])
    assert "No image can be used" in page.text
    page.click("fit-other")
    assert len(page.app.file_uploader) == 1


@pytest.mark.slow
def test_a_zip_bomb_is_refused_by_name() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("huge.bmp", bytes(300 * 2**20))
        archive.writestr("../outside.png", GOOD[0][1])
    page = Session("fit").upload([("bomb.zip", buffer.getvalue())])
    assert "No image can be used" in page.text
    assert "huge.bmp" in page.text
    assert "outside.png" in page.text


def test_an_empty_zip_is_no_fit() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    page = Session("fit").upload([("empty.zip", buffer.getvalue())])
    assert "No image can be used" in page.text


def test_a_huge_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    page = Session("fit").upload([("huge.png", buffer.getvalue()), *GOOD[:1]])
    assert "huge.png" in page.text
    assert "Images</dt><dd>1" in page.text


@pytest.mark.slow
def test_copies_and_confirmed_repeat_shots_count_as_one_part(home: Path) -> None:
    shots = [(f"part{i:02d}_{s}.png", png(part(i, shot=k))) for i in range(5) for k, s in enumerate("ab")]
    page = Session("fit").upload([*shots, ("copy.png", shots[0][1])])
    assert "byte-for-byte copies" in page.text
    rules = ("near_identical", "name_prefix", "sub_folder")
    boxes = [box for box in page.app.checkbox if (box.key or "").endswith(rules)]
    assert boxes
    for box in boxes:
        box.check()
    page.run()
    assert "Parts</dt><dd>5" in page.text
    small(page).click("fit-go")
    assert len({n.group for n in only_model(home).normals_}) == 5
    for box in boxes:
        assert box.help


def shot_twice(parts: int) -> list[tuple[str, bytes]]:
    """Return images whose names tell nothing: 0 and 1 show one part, 2 and 3 the next."""
    return [(f"{2 * i + k:03d}.png", png(part(i, shot=k))) for i in range(parts) for k in range(2)]


def test_single_groups_of_a_proposal_can_be_left_out(home: Path) -> None:
    page = Session("fit").upload(shot_twice(6))
    whole = "fit-group-1-near_identical"
    assert page.app.checkbox(key=whole).value
    assert "Parts</dt><dd>6" in page.text
    page.app.checkbox(key=f"{whole}-2").uncheck()
    page.run()
    assert "Parts</dt><dd>7" in page.text
    assert not page.app.checkbox(key=whole).value
    assert "5 of the 6 groups are confirmed" in page.text
    small(page).click("fit-go")
    sizes = Counter(n.group for n in only_model(home).normals_)
    assert sorted(sizes.values()) == [1, 1, 2, 2, 2, 2, 2]
    alone = {n.name for n in only_model(home).normals_ if sizes[n.group] == 1}
    assert alone == {"004.png", "005.png"}


def test_parts_in_any_position_are_asked_about_not_grouped() -> None:
    """Screws that lie the same way look alike; whether they are one screw is for the user to say."""
    page = Session("fit").upload([(f"{i:03d}.png", png(screw(i, side=64, shift=0.0))) for i in range(60)])
    box = page.app.checkbox(key="fit-group-1-near_identical")
    assert box.label.startswith("These may be repeat shots: ")
    assert not box.value
    assert "do not share a position" in page.text
    assert "Parts</dt><dd>60" in page.text
    box.check()
    page.run()
    assert "Parts</dt><dd>60" not in page.text


def test_the_whole_rule_chooses_all_groups_or_none() -> None:
    page = Session("fit").upload(shot_twice(6))
    whole = "fit-group-1-near_identical"
    page.app.checkbox(key=f"{whole}-0").uncheck()
    page.run()
    page.app.checkbox(key=whole).check()
    page.run()
    assert page.app.checkbox(key=f"{whole}-0").value
    assert "Parts</dt><dd>6" in page.text
    page.app.checkbox(key=whole).uncheck()
    page.run()
    assert not any(page.app.checkbox(key=f"{whole}-{i}").value for i in range(6))
    assert "Parts</dt><dd>12" in page.text


def test_many_groups_are_drawn_a_few_at_a_time_and_count_all_the_same() -> None:
    page = Session("fit").upload(shot_twice(20))
    whole = "fit-group-1-near_identical"

    def drawn() -> int:
        return sum((box.key or "").startswith(f"{whole}-") for box in page.app.checkbox)

    assert "Parts</dt><dd>20" in page.text  # including those not drawn
    assert drawn() == 12
    page.click(f"{whole}-more")
    assert drawn() == 20
    page.app.checkbox(key=f"{whole}-19").uncheck()
    page.run()
    assert "Parts</dt><dd>21" in page.text
    page.go("calibrate").go("fit")
    assert "Parts</dt><dd>21" in page.text  # an answer survives a visit to another page
    page.click("fit-other")
    page.upload(shot_twice(6))
    assert "Parts</dt><dd>6" in page.text  # and does not apply to other images


def test_two_parts_make_a_model_without_a_promise(home: Path) -> None:
    page = small(Session("fit").upload(GOOD[:2]))
    assert "takes at least 3" in page.text
    page.click("fit-go")
    assert only_model(home).current_threshold is None
    assert "There is no threshold yet" in page.text


def test_no_layer_no_fit() -> None:
    page = Session("fit").upload(GOOD)
    page.app.pills(key="fit-layers-efficientnet_lite0").set_value([])
    page.run()
    assert "at least one layer" in page.text
    assert page.app.button(key="fit-go").disabled


def test_every_network_can_be_chosen_and_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PADIM_CACHE", str(tmp_path / "nothing"))
    monkeypatch.delenv("PADIM_WEIGHTS", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", Mock(side_effect=urllib.error.URLError("no network")))
    page = Session("fit").upload(GOOD)
    for name, backbone in REGISTRY.items():
        page.set("selectbox", "fit-backbone", name)
        assert page.app.pills(key=f"fit-layers-{name}").value == list(backbone.default_layers)
        channels = backbone.channels(backbone.default_layers)
        slider = page.app.slider(key=f"fit-d-{name}-{channels}")
        assert slider.value == (backbone.default_n_features or channels)
        there, file = available(name), backbone.files[0]
        assert file.name in page.text
        assert ("are on this server" in page.text) == there.at_hand
        assert page.app.button(key="fit-go").disabled == (not there.at_hand and file.url is None)
    # The last one has no weights here: one sentence, no partial model, and an uploader for them.
    assert "The fit begins by fetching them from download.pytorch.org (117 MB)" in page.text
    page.set("selectbox", "fit-size", 128).click("fit-go")
    assert "cannot be downloaded (no network): bring efficientnet_b5_lukemelas-1a07897c.pth" in page.text
    assert "The weights could not be fetched. Bring the file" in page.text.replace("**", "")
    page.set("selectbox", "fit-backbone", "resnet18")
    assert "could not be fetched" not in page.text


def test_a_failed_fit_says_why_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = small(Session("fit").upload(GOOD))

    def refuse(*_: object, **__: object) -> None:
        raise ImageError("good_003.png", "cannot be read twice")

    monkeypatch.setattr(Padim, "fit", refuse)
    page.click("fit-go")
    assert "The model was not fitted. good_003.png: cannot be read twice." in page.text
    assert list((home / "models").iterdir()) == []
    assert page.app.button(key="fit-go")  # the images are still there


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
    assert "Images</dt><dd>3" in page.text


def test_excluding_asks_why_and_undo_brings_the_same_arrays_back(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")

    def arrays() -> str:
        model = Workspace(home).open(entry.id)
        whole = b"".join(
            np.ascontiguousarray(a).tobytes()
            for a in (
                model.state.gaussians.mean,
                *model.state.gaussians.factor.files().values(),
                model.state.fitted.held_out,
            )
        )
        return hashlib.sha256(
            whole + repr((model.state.fitted.quantizer, model.current_threshold)).encode()
        ).hexdigest()

    before = arrays()
    page = Session("fit", model=entry.id)
    page.app.query_params["tab"] = "result"
    page.run()
    first = next(b.key for b in page.app.button if b.key and b.key.startswith("kept_out-"))
    index = int(first.split("-")[1])
    page.click(first)
    model = Workspace(home).open(entry.id)
    assert model.normals_[index].status == "kept_out"
    assert arrays() != before
    assert "Without it it would read" in page.text  # the false-reject rate, with and without the part
    page.click(f"back-{index}")
    assert arrays() == before
    assert "it would read" not in page.text
    page.click(f"not_good-{index}")
    assert Workspace(home).open(entry.id).normals_[index].status == "not_good"
    assert "it would read" not in page.text  # not a good part, so no rate is promised


def test_deleted_features_end_exclusion_but_not_the_model(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("fit", model=entry.id)
    page.app.query_params["tab"] = "result"
    page.run()
    page.click("fit-delete-features")
    assert not Workspace(home).open(entry.id).working_set.has_features
    assert "They were deleted" in page.text
    assert "Scores of good parts" in page.text


def normals_of(model_id: str) -> Session:
    page = Session("fit", model=model_id)
    page.app.query_params["tab"] = "result"
    return page.run()


def give(page: Session, uploader: str, files: list[tuple[str, bytes]]) -> Session:
    """Drop files on one of several uploaders."""
    found = next(u for u in page.app.file_uploader if (u.key or "").startswith(f"{uploader}-"))
    found.set_value([(name, data, "application/octet-stream") for name, data in files])
    return page.run()


FITTED = [(name, data) for name, data in normals(22) if isinstance(data, bytes)]
MORE = [(name, data) for name, data in normals(3, first=40) if isinstance(data, bytes)]


def test_deleted_features_come_back_with_the_same_images(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    before = Workspace(home).open(entry.id)
    page = normals_of(entry.id).click("fit-delete-features")
    # Under other names, because images are recognized by their content.
    give(page, "rebuild", [(f"again {name}", data) for name, data in reversed(FITTED)])
    assert "The working features are back" in page.text
    model = Workspace(home).open(entry.id)
    assert model.working_set.has_features
    np.testing.assert_array_equal(model.state.fitted.held_out, before.state.fitted.held_out)
    first = next(b.key for b in page.app.button if b.key and b.key.startswith("not_good-"))
    index = int(first.split("-")[1])
    page.click(first)
    assert Workspace(home).open(entry.id).normals_[index].status == "not_good"
    page.click(f"back-{index}")
    np.testing.assert_array_equal(
        Workspace(home).open(entry.id).state.gaussians.mean, before.state.gaussians.mean
    )


@pytest.mark.slow
def test_a_missing_image_is_named_and_nothing_changes(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = normals_of(entry.id).click("fit-delete-features")
    seal = Workspace(home).get(entry.id).revision
    give(page, "rebuild", FITTED[:7] + FITTED[8:])
    assert "1 of the 22 images are missing, first good_007.png" in page.text
    assert Workspace(home).get(entry.id).revision == seal
    assert not Workspace(home).open(entry.id).working_set.has_features
    give(page, "rebuild", FITTED)  # another try
    assert Workspace(home).open(entry.id).working_set.has_features


def test_a_cancelled_change_leaves_the_model(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.errors import Cancelled

    entry = add_model("Parts")
    page = normals_of(entry.id)

    def cancelled(*_: object, **__: object) -> None:
        raise Cancelled("stopped")

    monkeypatch.setattr(Padim, "partial_fit", cancelled)
    give(page, "add", MORE)
    assert "Cancelled: the model is as it was." in page.text
    assert Workspace(home).get(entry.id).revision == entry.revision


def test_good_parts_are_added_as_if_fitted_at_once(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = give(normals_of(entry.id), "add", [*MORE, ("copy.png", MORE[0][1]), ("words.png", b"none")])
    assert "4 images added of 3 new parts; the others are repeat shots or copies." in page.text
    assert "words.png" in page.text
    assert "out of date" not in page.text
    model = Workspace(home).open(entry.id)
    assert model.state.fitted.calibration == "exact"
    assert len(model.normals_) == 26
    assert len({n.group for n in model.normals_}) == 25
    # In the order of their names, as a source yields them.
    whole = Padim(model.config).fit([*FITTED, ("copy.png", MORE[0][1]), *MORE])
    np.testing.assert_array_equal(model.state.gaussians.mean, whole.state.gaussians.mean)
    np.testing.assert_array_equal(model.state.fitted.held_out, whole.state.fitted.held_out)


def test_nothing_to_add_changes_nothing(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = give(normals_of(entry.id), "add", [("words.png", b"none")])
    assert "None of the images could be used" in page.text
    assert Workspace(home).get(entry.id).revision == entry.revision


def test_without_features_a_model_of_few_images_is_still_calibrated_again(
    add_model: AddModel, home: Path
) -> None:
    entry = add_model("Parts", Padim(PadimConfig(input_size=64, n_features=40)).fit(FITTED))
    page = normals_of(entry.id)
    assert "good parts can still be added, and the model is calibrated anew" in page.text
    page.click("fit-delete-features")
    assert "the checkpoint suffices" in page.text
    assert "out of date" not in give(page, "add", MORE).text
    assert Workspace(home).open(entry.id).state.fitted.calibration == "exact"


@pytest.mark.slow
def test_a_calibration_out_of_date_is_shown_on_every_page_until_it_is_repaired(
    add_model: AddModel, home: Path
) -> None:
    # More images than features: then the checkpoint cannot calibrate.
    entry = add_model("Parts", Padim(PadimConfig(input_size=64, n_features=6)).fit(FITTED))
    page = normals_of(entry.id)
    assert "but the threshold does not follow until" in page.text
    page.click("fit-delete-features")
    assert "the calibration would be out of date" in page.text
    give(page, "add", MORE)
    assert Workspace(home).open(entry.id).state.fitted.calibration == "stale"
    expected = "The calibration is out of date:"
    assert expected in page.text
    for other in ("calibrate", "inspect"):
        page.go(other)
        assert expected in page.text
        assert "On the Fit page, give all its images again" in page.text
        assert "Calibration out of date" in page.text  # the sidebar
    page.go("home")
    assert "calibration out of date" in page.text
    page.go("inspect")
    page.app.button(key="stale-fit").click().run()  # leads to the remedy
    page.go("fit")
    assert page.open_tab == "result"
    assert expected in page.text
    give(page, "rebuild", [*FITTED, *MORE])
    assert "The calibration is up to date." in page.text
    assert expected not in page.text
    assert Workspace(home).open(entry.id).state.fitted.calibration == "exact"
    for other in ("calibrate", "inspect", "home"):
        assert "out of date" not in page.go(other).text


def test_settings_survive_a_look_at_another_page() -> None:
    page = Session("fit").upload(GOOD)
    page.set("selectbox", "fit-size", 128)
    page.go("calibrate").go("fit")
    assert page.app.selectbox(key="fit-size").value == 128
    assert "Images</dt><dd>6" in page.text


@pytest.mark.slow
@pytest.mark.parametrize("method", ["patchcore", "shared", "ensemble"])
def test_another_method_is_chosen_fitted_and_named(home: Path, method: str) -> None:
    page = small(Session("fit").upload(GOOD))
    page.set("selectbox", "fit-method", method)
    if method == "patchcore":
        page.set("select_slider", "fit-coreset", 10.0)
        assert "Patches remembered</dt><dd>384</dd>" in page.text  # all: never fewer than 2,048
    page.click("fit-go")
    model = only_model(home)
    assert model.config.method == method
    titles = {"patchcore": "PatchCore", "shared": "Shared Gaussian", "ensemble": "PaDiM + PatchCore"}
    assert f"Method</dt><dd>{titles[method]}</dd>" in page.text
    assert ("approximation" in page.text) == (method != "shared")


def test_patches_near_the_same_place_are_a_choice(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    page.set("selectbox", "fit-method", "patchcore")
    page.set("selectbox", "fit-neighborhood", 1)
    # All patches are stored; their number and memory are stated beforehand.
    assert not [slider for slider in page.app.select_slider if slider.key == "fit-coreset"]
    assert f"Patches remembered</dt><dd>{6 * 64}</dd>" in page.text
    assert "every further image adds" in page.text
    page.click("fit-go")
    assert only_model(home).config.neighborhood == 1
    assert "PatchCore, nearest within 1 place" in page.text
    assert "a model that has never seen it" in page.text


def test_an_ensemble_of_one_is_refused_in_words() -> None:
    page = small(Session("fit").upload(GOOD))
    page.set("selectbox", "fit-method", "ensemble")
    page.set("button_group", "fit-members", ["padim"])
    assert "at least two different methods" in page.text
    assert not [b for b in page.app.button if b.key == "fit-go" and not b.disabled]


def test_position_tolerance_is_a_tick(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    page.set("checkbox", "fit-tolerance", True)
    page.click("fit-go")
    assert only_model(home).config.position_tolerance == 1
    assert "PaDiM, position-tolerant" in page.text


@pytest.mark.slow
def test_an_ensemble_on_two_networks(home: Path) -> None:
    page = small(Session("fit").upload(GOOD))
    page.set("selectbox", "fit-method", "ensemble")
    page.set("button_group", "fit-members", ["padim"])
    page.set("selectbox", "fit-another-efficientnet_lite0", "efficientnet_lite1")
    page.set("checkbox", "fit-random", True)
    page.click("fit-go")
    model = only_model(home)
    assert model.config.backbone == "efficientnet_lite0+efficientnet_lite1"
    assert "PaDiM</dd>" in page.text


def test_mixed_shapes_are_padded_with_a_warning_as_in_the_shell(home: Path) -> None:
    page = small(Session("fit").upload([*GOOD, ("wide.png", png(part(9, size=(60, 120))))]))
    said = "The good parts differ in shape, from 96 × 96 to 120 × 60 pixels."
    assert f"{said} They are padded to the input size" in page.text
    page.set("radio", "fit-shape-True", "stretch")
    assert f"{said} Stretched to one input size, each is distorted in another way." in page.text
    page.set("radio", "fit-shape-True", "pad")
    page.click("fit-go")
    assert only_model(home).config.fit == "pad"


def test_one_shape_is_stretched_without_a_word(home: Path) -> None:
    page = small(Session("fit").upload([*GOOD, ("large.png", png(part(9, size=(192, 192))))]))
    assert "differ in shape" not in page.text
    page.click("fit-go")
    assert only_model(home).config.fit == "stretch"

"""Where the part lies, on the Fit page: choosing, marking, trying out, switching on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import Workspace
from padim.locating.settings import Align
from tests.pages.session import Session
from tests.parts import part, png, screw
from tests.posed import any_pose, posed
from ui import locating, marking
from ui.locating import LocatingState

SCREWS = [(f"screw_{i:02d}.png", png(screw(i))) for i in range(14)]
METHOD = "locate-method-1"


def chosen(method: str | None = "outline") -> Session:
    page = Session("fit").upload(SCREWS)
    return page.set("radio", METHOD, method)


def state_of(page: Session) -> LocatingState:
    found: LocatingState = page.app.session_state[f"padim:{locating.__name__}.LocatingState"]
    return found


def editor(page: Session) -> dict[str, Any]:
    """What the editor of marks was sent."""
    (component,) = page.app.get("bidi_component")
    message: dict[str, Any] = json.loads(component.proto.json)
    return message


def facts(page: Session) -> str:
    return page.text.partition("Parts are compared</dt><dd>")[2].partition("<")[0]


def test_parts_are_compared_as_they_lie_unless_asked_otherwise() -> None:
    page = Session("fit").upload(SCREWS)
    assert page.app.radio(key=METHOD).value is None
    assert facts(page) == "as they lie"
    assert "set up but is not switched on" not in page.text
    assert not page.app.get("bidi_component")


def test_it_is_tried_before_it_is_switched_on() -> None:
    page = chosen()
    assert "Reference part: screw_00.png (the first image)" in page.text
    assert page.app.button(key="locate-use").disabled
    assert "set up but is not switched on" in page.text
    page.click("locate-try")
    assert "12 of 12 parts" in page.text
    assert "The mean image is sharper" in page.text
    assert page.text.count('class="pv-pair"') == 13
    assert facts(page) == "as they lie"
    page.click("locate-use")
    assert facts(page) == "by its outline"
    assert "set up but is not switched on" not in page.text
    used = state_of(page).used
    assert used == Align(method="outline", reference="screw_00.png")
    # It survives a change of page.
    page.go("home").go("fit")
    assert facts(page) == "by its outline"
    # Other settings have to be tried first, and are not used until then.
    page.set("number_input", "locate-outline-max_turn", 30.0)
    assert facts(page) == "as they lie"
    assert "settings have changed since they were switched on" in page.text
    assert "results are of other settings" in page.text
    assert page.app.button(key="locate-use").disabled
    page.click("locate-try")
    assert "beyond the limit of 30°" in page.text
    assert "Not found" in page.text
    page.click("locate-use")
    assert facts(page) == "by its outline"
    # One click, and it is undone; choosing none is another way.
    page.click("locate-off")
    assert facts(page) == "as they lie"
    page.click("locate-use").set("radio", METHOD, None)
    assert facts(page) == "as they lie"
    page.set("radio", METHOD, "outline")
    assert facts(page) == "as they lie"


def test_another_reference_part() -> None:
    page = chosen().click("locate-take-1-5")
    assert "Reference part: screw_05.png" in page.text
    assert editor(page)["name"] == "screw_05.png"
    page.click("locate-try").click("locate-use")
    used = state_of(page).used
    assert used is not None
    assert used.reference == "screw_05.png"


def test_all_settings_reach_the_model() -> None:
    page = chosen()
    page.set("number_input", "locate-outline-margin", 25.0)
    page.set("number_input", "locate-outline-max_shift", 40.0)
    page.set("number_input", "locate-outline-max_scale", 10.0)
    page.set("number_input", "locate-outline-min_match", 0.3)
    page.set("radio", "locate-outline-lost", "review")
    page.set("checkbox", "locate-outline-resize", True)
    page.set("checkbox", "locate-outline-judge-turn", True)
    page.set("number_input", "locate-outline-turn-weight", 2.5)
    page.set("checkbox", "locate-outline-judge-scale", False)
    now = state_of(page)
    message = {"id": editor(page)["id"], "serial": 1, "marks": []}
    message["marks"] = [{"kind": "background", "x": 0, "y": 0, "width": 128, "height": 6}]
    part_of = locating.Reference("screw_00.png", editor(page)["id"].split(":", 2)[2], screw(0), None)  # type: ignore[arg-type]
    marking.on_marks(now, part_of, "outline", message)
    page.run().click("locate-try").click("locate-use")
    assert state_of(page).used == Align(
        method="outline",
        reference="screw_00.png",
        margin=25,
        background=((0, 0), (128, 0), (128, 6), (0, 6)),
        max_shift=40,
        max_scale=10,
        min_match=0.3,
        on_lost="review",
        resize=True,
        turn_weight=2.5,
        scale_weight=None,
    )


def test_a_reference_that_cannot_be_used_says_why_at_once() -> None:
    files = [(f"{i}.png", png(part(i, size=(64, 64)) // 64 * 0 + 128)) for i in range(2)]
    page = Session("fit").upload([*files, ("2.png", png(screw(2)))]).set("radio", METHOD, "outline")
    data = editor(page)
    assert data["refused"]
    assert data["said"]
    assert data["frame"] is None
    assert page.app.button(key="locate-try").disabled


def test_other_images_start_afresh() -> None:
    page = chosen().click("locate-try").click("locate-use")
    page.click("fit-other").upload(SCREWS[:5])
    assert page.app.radio(key="locate-method-2").value is None
    assert facts(page) == "as they lie"
    assert state_of(page).used is None


def test_sessions_do_not_see_each_others_choice() -> None:
    one, other = chosen().click("locate-try").click("locate-use"), Session("fit").upload(SCREWS)
    assert facts(other) == "as they lie"
    other.set("radio", METHOD, "outline")
    assert "Sharpness" not in other.text
    assert facts(one.run()) == "by its outline"


def test_an_image_that_is_gone_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path))
    (tmp_path / "good").mkdir()
    for name, data in SCREWS:
        (tmp_path / "good" / name).write_bytes(data)
    page = Session("fit").set("segmented_control", "normals-origin", "server")
    page.app.text_input(key="normals-server-path").set_value("good")
    next(button for button in page.app.button if button.label == "Use this folder").click()
    page.run().set("radio", METHOD, "outline")
    (tmp_path / "good" / "screw_03.png").unlink()
    page.click("locate-try")
    assert "It could not be tried out." in page.text
    assert "screw_03.png" in page.text
    page.click("locate-take-1-3")
    assert "The reference part cannot be read." in page.text
    assert "choose the images again" in page.text


def small(page: Session) -> Session:
    """Choose settings that fit in milliseconds."""
    page.set("selectbox", "fit-stride", 16)
    return page.set("slider", "fit-d-efficientnet_lite0-176", 10)


def test_a_model_is_fitted_on_located_parts_and_says_so(home: Path) -> None:
    # In the last image there is no part.
    files = [(name, png(rgb)) for name, rgb in any_pose(9)]
    files.append(("without.png", png(np.full((120, 160, 3), 30, np.uint8))))
    page = Session("fit").upload(files).set("radio", METHOD, "outline")
    page.click("locate-try")
    assert "8 of 9 parts" in page.text
    small(page.click("locate-use")).click("fit-go")
    (entry,) = Workspace(home).models()
    model = Workspace(home).open(entry.id)
    assert model.config.align is not None
    assert model.config.align.reference == "part_000.png"
    status = {normal.name: normal.status for normal in model.normals_}
    assert status["part_000.png"] == "reference"
    assert status["without.png"] == "kept_out"
    text = page.text
    assert "Parts are compared</dt><dd>by its outline" in text
    assert "Each part is located by its outline." in text
    assert "Reference part" in text
    assert "Not found:" in text
    assert "In 1 image of good parts the part was not found" in text
    assert "Excluded from the fit" not in text
    # An image without a part is no good part: it then leaves the calibration too.
    page.click("lost-9")
    assert Workspace(home).open(entry.id).normals_[9].status == "not_good"
    assert "It was found in all images of good parts." in page.text
    assert "Excluded from the fit" in page.text


def test_both_fits_are_compared_before_it_is_switched_on() -> None:
    page = small(Session("fit").upload([(name, png(rgb)) for name, rgb in any_pose(24)]))
    page.set("radio", METHOD, "outline").click("locate-try")
    assert "Does it earn its place?" in page.text
    page.click("locate-compare")
    assert "False rejects (overkill)" in page.text
    assert "an indication only" in page.text
    assert "of other settings" not in page.text
    # Labelled defects take the place of painted ones; those that are no defects are refused.
    bad = [(f"bad/{i}.png", png(posed(900 + i, turn=40 * i, defect=(-20, -4)))) for i in range(4)]
    good = [(f"good/{i}.png", png(posed(950 + i))) for i in range(2)]
    page.app.file_uploader[-1].set_value([(*file, "application/octet-stream") for file in good])
    page.run()
    assert "no images labelled as defects" in page.text
    page.app.file_uploader[-1].set_value([(*file, "application/octet-stream") for file in [*bad, *good]])
    page.run()
    assert "4 defects of 1 kind; 2 good ones of them left out" in page.text
    page.click("locate-compare")
    assert "Bad, caught" in page.text
    assert "an indication only" not in page.text
    assert facts(page) == "as they lie"
    page.set("number_input", "locate-outline-margin", 20.0)
    assert "comparison is of other settings" not in page.text  # not tried: it is not shown


def test_a_model_is_fitted_again_with_the_settings_of_another(home: Path) -> None:
    images = [(name, png(rgb)) for name, rgb in any_pose(9)]
    page = small(Session("fit").upload(images)).click("fit-go")
    assert "Parts are compared as they lie." in page.text
    page.click("fit-like").upload(images)
    assert "Those of" in page.text
    page.set("radio", "locate-method-2", "outline").set("number_input", "locate-outline-max_shift", 44.0)
    page.click("locate-try").click("locate-use").click("fit-go")
    second, first = Workspace(home).models()  # the newest comes first
    plain, located = (Workspace(home).open(entry.id).config for entry in (first, second))
    assert (plain.n_features, plain.grid_stride) == (located.n_features, located.grid_stride) == (10, 16)
    assert plain.align is None
    assert located.align is not None
    # What is cut out is longer than the image is.
    (height, width), (own_height, own_width) = plain.input_shape, located.input_shape
    assert own_width / own_height > 1.2 * width / height
    # Once more: the way of locating is taken over too.
    page.click("fit-like").upload(images)
    assert page.app.radio(key="locate-method-3").value == "outline"
    assert page.app.number_input(key="locate-outline-max_shift").value == 44
    page.click("fit-unlike")
    assert page.app.selectbox(key="fit-backbone")

"""Fit page: the range of 16-bit images is asked where only their values would tell it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from padim import Workspace
from padim.data.decode import decode
from tests import hostile
from tests.pages.session import Session
from tests.pages.test_compare import shown
from tests.pages.test_fit import only_model, small
from tests.test_bit_depth_of_models import deep, files, sbit

QUESTION = "fit-bit-depth-1"


def question(page: Session) -> str:
    return str(page.app.radio(key=QUESTION).label)


def disabled(page: Session) -> bool:
    return bool(page.app.button(key="fit-go").disabled)


def test_nothing_is_fitted_before_the_range_is_told(home: Path) -> None:
    page = small(Session("fit").upload(files(6)))
    largest = max(int(deep(i).max()) for i in range(6))
    assert f"These 16-bit images use values up to {largest:,}. Which range do they have?" in question(page)
    radio = page.app.radio(key=QUESTION)
    assert radio.value is None
    assert radio.options == [
        "12 bits, up to 4,095 (proposed)",
        "14 bits, up to 16,383",
        "16 bits, up to 65,535",
    ]
    assert disabled(page)
    page.set("radio", QUESTION, 12)
    assert not disabled(page)
    page.click("fit-go")
    model = only_model(home)
    assert model.config.bit_depth == 12
    assert Workspace(home).models()[0].manifest["config"]["bit_depth"] == 12
    # Parts that are added later have the model's range, and one above it is refused.
    assert model.network.preprocess.bit_depth == 12


def test_one_image_above_the_others_is_asked_about_and_refused_by_the_smaller_range(home: Path) -> None:
    hot = deep(50)
    hot[3, 3] = 65535
    page = small(Session("fit").upload([*files(6), ("hot.png", hostile.png(hot))]))
    assert "but hot.png up to 65,535. Which range do they have?" in question(page)
    assert page.app.radio(key=QUESTION).options == [
        "12 bits, up to 4,095",
        "14 bits, up to 16,383",
        "16 bits, up to 65,535 (proposed)",
    ]
    page.set("radio", QUESTION, 12)
    assert page.app.radio(key=QUESTION).value == 12
    assert "hot.png" in page.text
    page.click("fit-go")
    model = only_model(home)
    assert model.config.bit_depth == 12
    assert sorted(normal.name for normal in model.normals_) == [f"0{i}.png" for i in range(6)]


def test_another_answer_shows_the_images_with_its_range(home: Path) -> None:
    page = small(Session("fit").upload(files(4)))
    page.set("radio", QUESTION, 16)
    assert page.app.radio(key=QUESTION).value == 16  # asked once, though the images were read again
    assert not disabled(page)
    page.click("fit-go")
    model = only_model(home)
    assert model.config.bit_depth == 16
    shown = decode(model.working_set.thumbnail(0), "a")
    assert shown.max() <= 20  # dark, as the user said that they are


def test_declared_ranges_are_said_and_not_asked(home: Path) -> None:
    page = small(Session("fit").upload(files(4, extra=sbit(12))))
    assert not page.app.radio or all(radio.key != QUESTION for radio in page.app.radio)
    assert "The files declare 12 bits, up to 4,095" in page.text
    page.click("fit-go")
    assert only_model(home).config.bit_depth == 12


def test_images_of_different_depths_cannot_be_fitted_on_together(home: Path) -> None:
    mixed = [*files(2, extra=sbit(12)), *files(2, first=2, extra=sbit(10), depth=10)]
    page = Session("fit").upload(mixed)
    assert "10 bits: 02.png, 03.png; 12 bits: 00.png, 01.png" in page.text
    assert disabled(page)


def test_the_compare_page_takes_the_range_among_its_choices(tmp_path: Path) -> None:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for folder, named in (
            ("train/good", files(10)),
            ("test/good", files(4, first=200)),
            ("test/chip", [(f"{i}.png", hostile.png(deep(300 + i, defect=True))) for i in range(3)]),
        ):
            for name, data in named:
                archive.writestr(f"ring/{folder}/{name}", data)
    page = Session("compare").upload([("ring.zip", buffer.getvalue())])
    page.set("pills", "compare-methods", ["padim"])
    page.set("pills", "compare-sizes", [128])
    page.set("selectbox", "compare-stride", 16)
    page.click("compare-start")
    assert "they are probably 12-bit data" in page.text
    page.set("selectbox", "compare-bit-depth", 12)
    page.click("compare-start")
    (run,) = shown(page).runs
    assert run.result is not None
    assert run.result.config.bit_depth == 12
    assert not run.result.failed

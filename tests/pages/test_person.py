"""The name that a browser is given: asked once, never insisted on, and cleaned, since it is input."""

from __future__ import annotations

import pytest

from padim.text import one_line
from tests.pages.session import AddModel, Session
from ui.app import person


def test_a_name_is_offered_and_kept_from_page_to_page(add_model: AddModel) -> None:
    page = Session(model=add_model("Plate").id)
    assert page.app.text_input(key="person-name").value == ""
    assert page.app.text_input(key="person-name").placeholder.startswith("browser ")
    page.set("text_input", "person-name", "  Anna\n Ω*bold* ")
    assert page.app.text_input(key="person-name").value == "Anna Ω*bold*"
    page.go("calibrate")
    assert page.app.text_input(key="person-name").value == "Anna Ω*bold*"
    script = next(one.proto.body for one in page.app.html if "document.cookie" in one.proto.body)
    assert "padim_person=Anna%20%CE%A9%2Abold%2A; Max-Age=" in script
    page.set("text_input", "person-name", " ")
    assert not [one for one in page.app.html if "document.cookie" in one.proto.body]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Anna", "Anna"),
        ("\u202eevil\x00\x1b[2J", "evil[2J"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie: x=1"),
        ("x" * 500, "x" * 60),
        (" \t\n", ""),
    ],
)
def test_names_are_one_line(typed: str, kept: str) -> None:
    assert one_line(typed, person.LONGEST) == kept


def test_outside_a_page_nobody_is_named() -> None:
    assert person.given() == ""
    assert person.acting_as() == "a browser session"

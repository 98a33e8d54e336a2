"""The editor of marks: which messages count, and what they mean for the settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from padim.locating.frame import Frame
from padim.locating.mark_check import MarkCheck, ReferenceCheck, check_reference
from padim.locating.settings import Align, LocatingMethod
from tests.parts import part, png
from tests.posed import any_pose
from ui import locating, marking
from ui.files.media import ServedImage
from ui.locating import LocatingState, Mark, Reference

PART = Reference("a.png", "digest", part(1), ServedImage(png(part(1))))
PLACE = {"kind": "place", "x": 10, "y": 20, "width": 30, "height": 40.5}
BACKGROUND = {"kind": "background", "x": 0, "y": 0, "width": 96, "height": 8}
END = {"kind": "end", "x": 5, "y": 6, "width": 0, "height": 0}


def sent(
    now: LocatingState, method: LocatingMethod, *marks: dict[str, Any], **change: Any
) -> tuple[Mark, ...]:
    value = {"id": marking.identity(now, PART, method), "serial": 4, "marks": list(marks), **change}
    marking.on_marks(now, PART, method, value)
    return marking.drawn(now, method)


def test_marks_become_settings() -> None:
    now = LocatingState(1)
    places = sent(now, "template", PLACE)
    assert marking.settings(places, "template") == {"marks": ((10, 20, 30, 40.5),)}
    assert now.handled == 4
    outline = sent(now, "outline", BACKGROUND, END)
    chosen = marking.settings(outline, "outline")
    assert chosen == {"background": ((0, 0), (96, 0), (96, 8), (0, 8)), "first_end": (5, 6)}
    assert Align(method="outline", **chosen)
    # Those for the other method are still there.
    assert marking.drawn(now, "template") == places
    assert marking.settings((), "features") == {}


@pytest.mark.parametrize(
    ("marks", "change"),
    [
        ([PLACE], {"id": "1:template:other"}),
        ([PLACE], {"serial": -1}),
        ([PLACE], {"serial": "4"}),
        ([{**PLACE, "x": 70}], {}),
        ([{**PLACE, "y": -1}], {}),
        ([{**PLACE, "width": 0}], {}),
        ([{**PLACE, "width": float("nan")}], {}),
        ([{**PLACE, "kind": "hole"}], {}),
        ([PLACE] * 3, {}),
        ([END], {}),
        ([PLACE], {"marks": "all"}),
    ],
)
def test_other_messages_change_nothing(marks: list[dict[str, Any]], change: dict[str, Any]) -> None:
    now = LocatingState(1, marks=(Mark("place", 1, 2, 3, 4),))
    sent(now, "template", *marks, **change)
    assert now.marks == (Mark("place", 1, 2, 3, 4),)


def test_the_message_says_what_is_wrong_with_each_mark() -> None:
    now = LocatingState(1)
    sent(now, "template", PLACE, {**PLACE, "x": 50})
    checks = MarkCheck("", 0.62), MarkCheck("it is nearly plain", 0)
    found = ReferenceCheck(None, "mark 2 cannot be used: it is nearly plain", checks)
    data = marking.message(now, PART, "template", found, locked=False)
    assert data["answers"] == [
        {"text": "Can be used: 62 % distinctive.", "refused": False},
        {"text": "It is nearly plain.", "refused": True},
    ]
    assert data["said"] == ""  # not twice
    assert data["refused"]
    far = ReferenceCheck(None, "the two marks are too near", (MarkCheck("", 1), MarkCheck("", 1)))
    assert marking.message(now, PART, "template", far, locked=False)["said"] == "The two marks are too near."
    assert (data["width"], data["height"], data["handled"], data["frame"]) == (96, 96, 4, None)
    frame = Frame(48, 48, 40, 20, 90, (96, 96))
    data = marking.message(now, PART, "template", ReferenceCheck(frame, ""), locked=True)
    assert np.allclose(data["frame"], [(38, 68), (38, 28), (58, 28), (58, 68)])
    assert "40 × 20 px" in data["said"]
    nothing = marking.message(LocatingState(1), PART, "template", None, locked=False)
    assert nothing["said"] == "Nothing is marked yet."


def test_what_is_switched_on() -> None:
    align, other = Align(method="outline"), Align(method="outline", margin=20)
    now = LocatingState(1)
    assert locating.use(now, align, "outline") == "off"
    now.used = align
    assert locating.use(now, align, "outline") == "on"
    assert locating.use(now, other, "outline") == "changed"
    assert locating.use(now, None, "template") == "changed"
    assert locating.use(now, align, "outline") == "on"
    assert locating.use(now, None, None) == "none"
    assert locating.use(now, align, "outline") == "off"


def test_places_are_proposed_beside_other_marks() -> None:
    rgb = any_pose(1)[0][1]
    now = LocatingState(1, marks=(Mark("end", 1, 2, 0, 0), Mark("place", 0, 0, 9, 9)))
    locating.propose(now, Reference("a.png", "digest", rgb, PART.shown))
    assert now.note == ""
    places = marking.drawn(now, "template")
    assert 1 <= len(places) <= 2
    assert Mark("place", 0, 0, 9, 9) not in places
    assert marking.drawn(now, "outline") == (Mark("end", 1, 2, 0, 0),)
    found = check_reference(Align(method="template", **marking.settings(places, "template")), rgb)
    assert found.refused == ""
    plain = np.full((64, 64, 3), 7, np.uint8)
    locating.propose(now, Reference("b.png", "other", plain, PART.shown))
    assert "distinctive enough" in now.note
    assert marking.drawn(now, "template") == places

"""Settings checked against the reference part while they are being chosen."""

from __future__ import annotations

import numpy as np

from padim.locating.mark_check import check_reference
from padim.locating.settings import Align
from tests.parts import screw


def test_every_mark_is_checked_by_itself() -> None:
    image = screw(0, side=256)
    plain, end = (4.0, 4.0, 40.0, 40.0), (60.0, 60.0, 130.0, 130.0)
    found = check_reference(Align(method="template", marks=(plain, end)), image)
    assert found.frame is None
    assert "mark 1" in found.refused
    assert found.marks[0].refused
    assert not found.marks[1].refused
    assert found.marks[1].quality > found.marks[0].quality == 0


def test_a_reference_that_can_be_used_has_a_frame() -> None:
    found = check_reference(Align(method="outline"), screw(0, side=256))
    assert found.refused == ""
    assert found.frame is not None
    # A long part: so is its frame.
    sides = sorted((found.frame.width, found.frame.height))
    assert sides[1] > 2 * sides[0]
    nothing = check_reference(Align(method="outline"), np.full((64, 64, 3), 128, np.uint8))
    assert nothing.frame is None
    assert nothing.refused

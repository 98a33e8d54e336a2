"""Proposed marks: they can be used, lie on what is distinctive, and are found again."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from padim.locating.errors import LocatingError
from padim.locating.locator import freeze
from padim.locating.propose import propose_marks
from padim.locating.settings import Align
from tests.locating.moved import RGB, errors, moved, photographed, pose, settings, texture

TEMPLATE = Align(method="template")


def plate(*, holes: bool = True) -> RGB:
    """Return a plate with long edges, two different round holes and a slot, on a plain ground."""
    image = np.full((300, 400, 3), 60, np.uint8)
    cv2.rectangle(image, (60, 80), (340, 220), (170, 170, 170), -1)
    if holes:
        cv2.circle(image, (110, 150), 16, (40, 40, 40), -1, cv2.LINE_AA)
        cv2.circle(image, (290, 140), 24, (230, 230, 230), -1, cv2.LINE_AA)
        cv2.rectangle(image, (190, 165), (225, 178), (30, 30, 30), -1)
    return cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.uint8)


@pytest.mark.parametrize(
    "image", [plate(), texture(1), texture(2, 200, 500, color=False)], ids=["plate", "a", "b"]
)
def test_proposed_marks_are_accepted_and_find_the_part(image: RGB) -> None:
    proposals = propose_marks(image)
    assert len(proposals) == 2
    assert propose_marks(image) == proposals
    height, width = image.shape[:2]
    for proposal in proposals:
        x, y, wide, high = proposal.mark
        assert min(x, y, width - x - wide, height - y - high) >= 0
        assert 0 < proposal.quality <= 1
        assert "gray levels" in proposal.reason
        assert "matches by" in proposal.reason or "comes near" in proposal.reason
    (ax, ay, side, _), (bx, by, _, _) = (proposal.mark for proposal in proposals)
    assert math.hypot(ax - bx, ay - by) > side  # apart
    locator = freeze(TEMPLATE, image)
    assert locator.align.marks == tuple(proposal.mark for proposal in proposals)
    true = pose(9.3, -6.1, 7, 1.03)
    shift, turn, _ = errors(locator.locate(photographed(moved(image, true), 0, noise=4)), true)
    assert shift < 0.5
    assert turn < 0.3


def test_marks_that_are_given_are_kept() -> None:
    marks = ((150.0, 60.0, 52.0, 48.0),)
    assert freeze(settings("template", marks=marks), texture(1)).align.marks == marks


def test_nothing_is_proposed_where_nothing_is_distinctive() -> None:
    edge = np.full((200, 200, 3), 60, np.uint8)
    edge[:, 100:] = 180
    plain = np.full((200, 200, 3), 128, np.uint8)
    tiles = np.tile(texture(3, 40, 40), (5, 5, 1))
    for image in (plain, edge, tiles, photographed(plain, 0, noise=20)):
        assert propose_marks(image) == ()
        with pytest.raises(LocatingError, match=r"no place of the reference is distinctive enough.*yourself"):
            freeze(TEMPLATE, image)


def test_one_mark_is_proposed_where_there_is_one_place() -> None:
    image = np.full((300, 400, 3), 128, np.uint8)
    image[100:144, 150:194] = texture(6, 44, 44)
    (proposal,) = propose_marks(image)
    x, y, wide, high = proposal.mark
    assert 120 < x + wide / 2 < 250
    assert 70 < y + high / 2 < 200


def test_marks_of_a_large_image_are_in_its_pixels() -> None:
    image = np.asarray(cv2.resize(plate(), (2000, 1500), interpolation=cv2.INTER_CUBIC), np.uint8)
    locator = freeze(TEMPLATE, image)
    true = pose(60, -40, 5)
    assert errors(locator.locate(moved(image, true)), true)[0] < 2

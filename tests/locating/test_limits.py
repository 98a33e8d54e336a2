"""The limits of locating: each is kept to its value, and the message names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from padim.locating.errors import PartNotFound
from padim.locating.frame import Frame
from padim.locating.locator import Locator
from padim.locating.pose import Pose
from tests.locating.moved import RGB, pose, settings

IMAGE: RGB = np.zeros((100, 200, 3), np.uint8)
LIMITS = {"max_shift": 10, "max_turn": 15, "max_scale": 20, "min_match": 0.5}


class Found:
    """A method that always finds the same pose."""

    frame = Frame.whole((100, 200))

    def __init__(self, found: Pose) -> None:
        self._found = found

    def find(self, rgb: RGB) -> Pose:
        return self._found


def located(found: Pose, **limits: Any) -> Pose:
    align = settings("outline", **{**LIMITS, **limits})
    return Locator(align, IMAGE, Found(found)).locate(IMAGE)


@pytest.mark.parametrize(
    "found",
    [
        pose(),
        pose(20, 0),  # 10 % of the longer side
        pose(12, -16),
        pose(turn=15),
        pose(turn=-15),
        pose(scale=1.2),
        pose(scale=1 / 1.2 + 1e-12),
        pose(match=0.5),
    ],
)
def test_up_to_the_limit_the_part_is_found(found: Pose) -> None:
    assert located(found) is found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (pose(30, 0), "it would be shifted by 15 % of the image, beyond the limit of 10 %"),
        (pose(0, -20.04), "it would be shifted by 10.02 % of the image, beyond the limit of 10 %"),
        (pose(turn=-33.33), "it would be turned by 33.3°, beyond the limit of 15°"),
        (pose(turn=15.004), "it would be turned by 15.004°, beyond the limit of 15°"),
        (pose(scale=1.5), "its size would be 150 % of the reference's, beyond the limit of 120 %"),
        (pose(scale=0.5), "its size would be 50 % of the reference's, beyond the limit of 83.33 %"),
        (pose(match=0.25), "the match with the reference is 0.25, below the limit of 0.5"),
        (pose(match=0.4999), "the match with the reference is 0.4999, below the limit of 0.5"),
    ],
)
def test_beyond_it_the_message_names_the_limit_and_by_how_much(found: Pose, message: str) -> None:
    with pytest.raises(PartNotFound) as error:
        located(found)
    assert str(error.value) == message


def test_a_limit_of_nothing_allows_nothing() -> None:
    assert located(pose(), max_turn=0, max_scale=0) == pose()
    with pytest.raises(PartNotFound, match=r"turned by 0\.5°, beyond the limit of 0°"):
        located(pose(turn=0.5), max_turn=0)
    with pytest.raises(
        PartNotFound, match="size would be 101 % of the reference's, beyond the limit of 100 %"
    ):
        located(pose(scale=1.01), max_scale=0)


def test_the_weak_match_is_named_before_where_it_would_be() -> None:
    with pytest.raises(PartNotFound, match="the match"):
        located(pose(90, 0, 40, 2, 0.1))


def test_an_image_of_another_size_is_not_searched() -> None:
    locator = Locator(settings("outline"), IMAGE, Found(pose()))
    with pytest.raises(PartNotFound, match="the image has 90 x 100 pixels, the reference 200 x 100"):
        locator.locate(IMAGE[:, :90])

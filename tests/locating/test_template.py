"""Locating by marks: held against parts moved by a known pose; marks that cannot work are refused."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from padim.locating.errors import LocatingError, PartNotFound
from padim.locating.locator import Locator, freeze
from padim.locating.mark_check import check_reference
from padim.locating.pose import Pose
from tests.locating.moved import RGB, errors, moved, photographed, pose, settings, texture

ONE: tuple[tuple[float, ...], ...] = ((150, 60, 52, 48),)
TWO: tuple[tuple[float, ...], ...] = ((150, 60, 48, 48), (40, 160, 40, 44))
POSES = st.builds(
    pose, st.floats(-30, 30), st.floats(-30, 30), st.floats(-15, 15), st.floats(0.85, 1.15), st.just(1.0)
)


@cache
def part(seed: int = 1, color: bool = True) -> RGB:
    return texture(seed, color=color)


@cache
def locator(marks: tuple[Any, ...] = ONE, color: bool = True, **values: Any) -> Locator:
    return freeze(settings("template", marks=marks, **values), part(color=color))


@pytest.mark.parametrize("marks", [ONE, TWO], ids=["one mark", "two marks"])
@pytest.mark.parametrize("color", [False, True], ids=["gray", "color"])
@effort(max_examples=15)
@given(true=POSES)
def test_the_part_is_found_where_it_was_put(marks: tuple[Any, ...], color: bool, true: Pose) -> None:
    found = locator(marks, color, max_turn=16).locate(moved(part(color=color), true))
    shift, turn, scale = errors(found, true)
    assert shift < 0.25
    assert turn < 0.15
    assert scale < 0.003
    assert found.match > 0.95


@pytest.mark.parametrize("marks", [ONE, TWO], ids=["one mark", "two marks"])
@effort(max_examples=15)
@given(true=POSES, gain=st.floats(0.6, 1.2), offset=st.floats(-20, 40), seed=st.integers(0, 99))
def test_noise_brightness_and_contrast_do_not_matter(
    marks: tuple[Any, ...], true: Pose, gain: float, offset: float, seed: int
) -> None:
    image = photographed(moved(part(), true), seed, noise=6, gain=gain, offset=offset)
    shift, turn, _ = errors(locator(marks, max_turn=16).locate(image), true)
    assert shift < 0.5
    assert turn < 0.3


@pytest.mark.parametrize("marks", [ONE, TWO], ids=["one mark", "two marks"])
@pytest.mark.parametrize(("value", "radius"), [(0, 8), (255, 4)])
def test_a_defect_on_the_mark_does_not_move_the_part(marks: tuple[Any, ...], value: int, radius: int) -> None:
    image = part().copy()
    cv2.circle(image, (163, 73), radius, (value,) * 3, -1)
    true = pose(8.4, -5.3, 6.0, 1.03)
    found = locator(marks).locate(moved(image, true))
    shift, turn, _ = errors(found, true)
    assert shift < 0.1
    assert turn < 0.1
    assert found.match < 0.95  # the defect is seen in the match


def test_any_turn_is_found_when_it_is_allowed() -> None:
    for degrees in (-170, -95, 50, 120, 180):
        true = pose(10, 5, degrees)
        shift, turn, _ = errors(locator(TWO, max_turn=180).locate(moved(part(), true)), true)
        assert shift < 0.5
        assert turn < 0.3


def test_the_size_is_not_measured_when_it_may_not_vary() -> None:
    for marks in (ONE, TWO):
        found = locator(marks, max_scale=0).locate(photographed(moved(part(), pose(6.2, 3.1, 5)), 0, noise=5))
        assert found.scale == 1
        assert max(errors(found, pose(6.2, 3.1, 5))[:2]) < 0.3


def test_the_turn_is_not_measured_when_it_may_not_vary() -> None:
    for marks in (ONE, TWO):
        found = locator(marks, max_turn=0).locate(photographed(moved(part(), pose(6.2, 3.1)), 0, noise=5))
        assert found.turn == 0
        assert errors(found, pose(6.2, 3.1))[0] < 0.3


def test_colors_of_equal_brightness_are_told_apart() -> None:
    rng = np.random.default_rng(5)
    pattern = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 3)
    pattern = 40 * pattern / pattern.std()
    image = np.stack([120 + pattern, 120 - pattern * 0.299 / 0.587, np.full_like(pattern, 120)], axis=-1)
    image = np.clip(image, 0, 255).round().astype(np.uint8)
    assert cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).std() < 6
    true = pose(9, -7, 4)
    found = freeze(settings("template", marks=ONE), image).locate(moved(image, true))
    assert max(errors(found, true)[:2]) < 0.3


@pytest.mark.parametrize("marks", [ONE, TWO], ids=["one mark", "two marks"])
@pytest.mark.parametrize(
    "image",
    [
        np.full((256, 256, 3), 90, np.uint8),
        texture(77),
        photographed(np.full((256, 256, 3), 90), 1, noise=20),
    ],
    ids=["nothing", "another part", "noise"],
)
def test_an_absent_part_is_not_found(marks: tuple[Any, ...], image: RGB) -> None:
    with pytest.raises(PartNotFound, match=r"looks like mark|below the limit of 0\.7|marks do not agree"):
        locator(marks).locate(image)


def board(*parts: tuple[int, int]) -> RGB:
    """Return a gray image with the same small part at each (x, y)."""
    image = np.full((300, 400, 3), 128, np.uint8)
    for x, y in parts:
        image[y : y + 120, x : x + 120] = texture(4, 120, 120)
    return image


@pytest.mark.parametrize(
    "marks", [((110, 90, 40, 40),), ((90, 90, 36, 36), (160, 160, 36, 36))], ids=["one mark", "two marks"]
)
def test_two_equal_parts_are_not_chosen_from(marks: tuple[Any, ...]) -> None:
    locator = freeze(settings("template", marks=marks), board((80, 80)))
    assert errors(locator.locate(board((100, 90))), pose(20, 10))[0] < 0.1
    with pytest.raises(PartNotFound, match=r"two places fit equally well.*two parts"):
        locator.locate(board((40, 90), (220, 90)))


def test_a_mark_that_is_covered_is_not_found_rather_than_wrongly() -> None:
    image = part().copy()
    cv2.circle(image, (163, 73), 14, (255, 255, 255), -1)
    for marks in (ONE, TWO):
        with pytest.raises(PartNotFound):
            locator(marks).locate(image)


def test_marks_that_moved_against_each_other_do_not_agree() -> None:
    image = part().copy()
    image[150:215, 30:90] = part()[165:230, 15:75]  # the second mark, 15 pixels up and to the right
    with pytest.raises(PartNotFound, match=r"the two marks do not agree|mark 2 matches"):
        locator(TWO).locate(image)
    image = np.full((300, 400, 3), 128, np.uint8)
    image[60:120, 60:120], image[60:120, 270:330] = texture(6, 60, 60), texture(7, 60, 60)
    wide = freeze(settings("template", marks=((65, 65, 50, 50), (275, 65, 50, 50))), image)
    image = np.full((300, 400, 3), 128, np.uint8)
    image[60:120, 60:120], image[60:120, 170:230] = texture(6, 60, 60), texture(7, 60, 60)
    with pytest.raises(PartNotFound, match="the two marks do not agree: their distance is 52 %"):
        wide.locate(image)
    image[60:120, 170:230] = 128
    image[130:190, 200:260] = texture(7, 60, 60)
    with pytest.raises(PartNotFound, match="the two marks do not agree"):
        wide.locate(image)


def test_a_lost_mark_is_named() -> None:
    image = part().copy()
    image[160:204, 40:80] = 128
    with pytest.raises(PartNotFound, match="mark 2 matches the reference by 0"):
        locator(TWO).locate(image)


def refused(image: RGB, *marks: tuple[float, ...], **values: Any) -> str:
    """Return why the marks are refused."""
    with pytest.raises(LocatingError) as error:
        freeze(settings("template", marks=marks, **values), image)
    return str(error.value)


def plain(level: int = 128) -> RGB:
    return np.full((256, 256, 3), level, np.uint8)


def test_a_mark_on_a_featureless_place_is_refused() -> None:
    message = refused(plain(), (100, 100, 40, 40))
    assert message.startswith(
        "mark 1 at (100, 100) of 40 x 40 pixels cannot be used: there is nothing to see"
    )
    half = part().copy()
    half[:, :100] = 0
    assert "mark 2 at (20, 20)" in refused(half, (150, 60, 48, 48), (20, 20, 40, 40))


def test_a_mark_on_noise_is_refused() -> None:
    assert "nothing to see" in refused(photographed(plain(), 0, noise=8), (100, 100, 40, 40))
    assert "only noise" in refused(photographed(plain(), 0, noise=40), (100, 100, 40, 40))


@pytest.mark.parametrize("degrees", [0, 30, 90])
@pytest.mark.parametrize("noise", [0, 5])
def test_a_mark_along_a_straight_edge_is_refused(degrees: int, noise: int) -> None:
    image = plain(60)
    image[:, 128:] = 180
    image = photographed(moved(image, pose(turn=degrees)), 0, noise=noise)
    assert "along a straight edge" in refused(image, (104, 104, 48, 48))


def test_a_corner_is_accepted_and_found() -> None:
    image = plain(60)
    image[128:, 128:] = 180
    corner = freeze(settings("template", marks=((104, 104, 48, 48),)), image)
    true = pose(7, -4, 5)
    found = corner.locate(photographed(moved(image, true), 0, noise=5))
    # A corner looks the same at any size.
    assert found.scale == 1
    assert max(errors(found, true)[:2]) < 0.5


def test_a_mark_on_a_place_that_repeats_is_refused() -> None:
    image = np.tile(texture(3, 64, 64), (4, 4, 1))
    message = refused(image, (100, 100, 40, 40))
    assert "it repeats: the place around" in message
    assert "occurs only once" in message
    # Out of reach, it does not matter.
    image = board((20, 20), (260, 160))
    assert "it repeats" in refused(image, (50, 50, 40, 40))
    freeze(settings("template", marks=((50, 50, 40, 40),), max_shift=5), image)


def test_a_round_mark_needs_a_second_one() -> None:
    image = plain()
    cv2.circle(image, (60, 60), 14, (20, 20, 20), -1, cv2.LINE_AA)
    cv2.circle(image, (190, 180), 20, (230, 230, 230), -1, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), 1)
    first, second = (38.0, 38.0, 44.0, 44.0), (160.0, 150.0, 60.0, 60.0)
    assert "it looks the same when it is turned" in refused(image, first)
    holes = freeze(settings("template", marks=(first, second)), image)
    true = pose(-9, 6, -11, 1.05)
    assert max(errors(holes.locate(moved(image, true)), true)[:2]) < 0.3
    assert [mark.refused for mark in check_reference(holes.align, image).marks] == ["", ""]


def test_a_mark_that_repeats_when_turned_is_refused_if_that_turn_is_allowed() -> None:
    image = plain()
    cv2.rectangle(image, (110, 110), (146, 146), (30, 30, 30), -1)
    mark = (98, 98, 60, 60)
    freeze(settings("template", marks=(mark,)), image)
    assert "when it is turned" in refused(image, mark, max_turn=180)


@pytest.mark.parametrize("mark", [(-1, 10, 40, 40), (230, 10, 40, 40), (10, 230, 40, 40), (300, 300, 40, 40)])
def test_a_mark_partly_outside_the_image_is_refused(mark: tuple[float, ...]) -> None:
    assert "partly outside the image, which has 256 x 256 pixels" in refused(part(), mark)


def test_marks_too_small_too_large_or_too_near_are_refused() -> None:
    assert "too small: draw it at least 12 pixels" in refused(part(), (100, 100, 40, 8))
    assert "no room to move" in refused(part(), (0, 0, 256, 256))
    assert "too near to each other" in refused(part(), (100, 100, 48, 48), (110, 104, 48, 48))


def test_a_large_image_is_located_too() -> None:
    image = texture(8, 1500, 2000, detail=14, color=False)
    large = freeze(settings("template", marks=((1200, 300, 330, 300),)), image)
    true = pose(130, -90, 11, 1.04)
    shift, turn, _ = errors(large.locate(moved(image, true)), true)
    assert shift < 1
    assert turn < 0.1  # a map pixel is about 7 pixels


def test_threads_and_repetitions_find_the_same() -> None:
    images = [photographed(moved(part(), pose(i, -i, i)), i, noise=5) for i in range(6)]
    expected = [locator(TWO).locate(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(locator(TWO).locate, images * 3)) == expected * 3


def test_the_part_leaves_the_image_only_as_far_as_the_mark_is_seen() -> None:
    true = pose(60, 0)
    image = moved(part(), true, border=cv2.BORDER_CONSTANT)
    assert math.isclose(locator(ONE).locate(image).dx, 60, abs_tol=0.3)  # 6 pixels of the mark are cut off
    with pytest.raises(PartNotFound):
        locator(ONE).locate(moved(part(), pose(100, 0), border=cv2.BORDER_CONSTANT))

"""Locating by keypoints: held against parts moved by a known pose; what cannot be located is refused."""

from __future__ import annotations

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
from padim.locating.pose import Pose
from tests.locating.moved import RGB, errors, moved, photographed, pose, settings, texture

DETECTORS = pytest.mark.parametrize("detector", ["sift", "orb"])
POSES = st.builds(
    pose, st.floats(-40, 40), st.floats(-40, 40), st.floats(-179, 179), st.floats(0.85, 1.15), st.just(1.0)
)


@cache
def part(color: bool = True) -> RGB:
    return texture(1, color=color)


@cache
def locator(detector: str = "sift", color: bool = True, **values: Any) -> Locator:
    return freeze(settings("features", detector=detector, **values), part(color))


@DETECTORS
@pytest.mark.parametrize("color", [False, True], ids=["gray", "color"])
@effort(max_examples=10)
@given(true=POSES)
def test_the_part_is_found_where_it_was_put(detector: str, color: bool, true: Pose) -> None:
    image = moved(part(color), true, border=cv2.BORDER_CONSTANT, value=128)
    found = locator(detector, color).locate(image)
    shift, turn, scale = errors(found, true)
    assert shift < (0.1 if detector == "sift" else 0.5)
    assert turn < (0.1 if detector == "sift" else 0.2)
    assert scale < 0.005
    assert found.match > 0.8


@DETECTORS
@effort(max_examples=10)
@given(true=POSES, gain=st.floats(0.6, 1.2), offset=st.floats(-20, 40), seed=st.integers(0, 99))
def test_noise_brightness_and_contrast_do_not_matter(
    detector: str, true: Pose, gain: float, offset: float, seed: int
) -> None:
    image = photographed(moved(part(), true), seed, noise=6, gain=gain, offset=offset)
    shift, turn, _ = errors(locator(detector).locate(image), true)
    assert shift < 0.5
    assert turn < 0.3


@DETECTORS
def test_defects_do_not_move_the_part(detector: str) -> None:
    image = part().copy()
    cv2.rectangle(image, (20, 30), (120, 130), (0, 0, 0), -1)
    cv2.circle(image, (180, 180), 30, (255, 255, 255), -1)
    true = pose(8.4, -5.3, 60.0, 1.03)
    shift, turn, _ = errors(locator(detector).locate(moved(image, true)), true)
    assert shift < 0.5
    assert turn < 0.3


@DETECTORS
@pytest.mark.parametrize(
    "image",
    [
        np.full((256, 256, 3), 90, np.uint8),
        texture(77),
        photographed(np.full((256, 256, 3), 90), 1, noise=20),
    ],
    ids=["nothing", "another part", "noise"],
)
def test_an_absent_part_is_not_found(detector: str, image: RGB) -> None:
    with pytest.raises(
        PartNotFound, match=r"the image has only 0 details|only \d+ of the reference's \d+ det"
    ):
        locator(detector).locate(image)


def board(*parts: tuple[int, int]) -> RGB:
    """Return a gray image with the same part, of 120 x 120 pixels, at each (x, y)."""
    image = np.full((300, 400, 3), 128, np.uint8)
    for x, y in parts:
        image[y : y + 120, x : x + 120] = texture(4, 120, 120)
    return image


@DETECTORS
def test_two_equal_parts_are_not_chosen_from(detector: str) -> None:
    locator = freeze(settings("features", detector=detector), board((80, 80)))
    assert errors(locator.locate(board((100, 90))), pose(20, 10))[0] < 0.3
    with pytest.raises(PartNotFound, match="may be two parts"):
        locator.locate(board((40, 90), (220, 90)))


def test_a_second_part_is_noticed_when_it_is_clearly_worse() -> None:
    locator = freeze(settings("features"), board((80, 80)))
    image = board((40, 90))
    worse = photographed(moved(board((80, 80)), pose(140, 10, 3, 1.05)), 0, noise=10)
    image[:, 200:] = worse[:, 200:]
    with pytest.raises(PartNotFound, match="may be two parts"):
        locator.locate(image)


def test_few_details_at_one_place_do_not_tell_the_turn_of_a_large_part() -> None:
    reference = texture(6, 900, 1000, detail=5)
    few = freeze(settings("features"), reference)
    image = texture(60, 900, 1000, detail=5)
    image[40:120, 40:120] = photographed(reference[40:120, 40:120], 0, noise=4)
    with pytest.raises(PartNotFound, match=r"lie too close together|agree, fewer than"):
        few.locate(image)


@DETECTORS
@pytest.mark.parametrize(
    "image",
    [np.full((256, 256, 3), 90, np.uint8), np.tile(texture(3, 32, 32), (8, 8, 1))],
    ids=["plain", "repeating"],
)
def test_a_reference_without_distinct_details_is_refused(detector: str, image: RGB) -> None:
    with pytest.raises(
        LocatingError, match=r"only \d+ occur once, .* locate by outline or by template instead"
    ):
        freeze(settings("features", detector=detector), image)


@DETECTORS
def test_a_large_image_is_located_too(detector: str) -> None:
    image = texture(8, 1500, 2000, detail=10, color=False)
    true = pose(130, -90, 40, 1.04)
    shift, turn, _ = errors(
        freeze(settings("features", detector=detector), image).locate(moved(image, true)), true
    )
    assert shift < 2  # a map pixel is about 7 pixels
    assert turn < 0.1


@DETECTORS
def test_threads_and_repetitions_find_the_same(detector: str) -> None:
    images = [photographed(moved(part(), pose(i, -i, 20 * i)), i, noise=5) for i in range(5)]
    expected = [locator(detector).locate(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(locator(detector).locate, images * 3)) == expected * 3

"""Whether the parts of a set share a position, and what that makes of images that look alike."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from padim.data.common_position import share_position
from padim.data.grouping import SIDE, fingerprint, propose_groups
from padim.data.sources import UploadSource
from padim.data.survey import alike, survey
from tests.parts import part, png, screw

Prints = NDArray[np.float32]


def prints_of(images: list[NDArray[np.uint8]]) -> Prints:
    return np.stack([fingerprint(image) for image in images])


@cache
def screws(count: int, shift: float = 0.1, turn: float = 180.0) -> Prints:
    return prints_of([screw(seed, shift=shift, turn=turn) for seed in range(count)])


ALIGNED = prints_of([part(i) for i in range(30)])


def likeness(prints: Prints) -> list[tuple[int, bool]]:
    """The number of groups that likeness proposes, and whether they are tentative, once for each proposal."""
    names = [f"{i}.png" for i in range(len(prints))]
    return [
        (found.n_groups, found.tentative)
        for found in propose_groups(names, names, prints)
        if found.rule == "near_identical"
    ]


def test_screws_in_any_position_are_no_repeat_shots() -> None:
    """120 different screws: those that lie the same way look alike, and nothing may be concluded from it."""
    names = [f"{i}.png" for i in range(120)]
    prints = screws(120, shift=0.02)
    (found,) = propose_groups(names, names, prints)
    assert found.rule == "near_identical"
    assert found.n_groups >= 10  # else this would be no test
    assert (found.tentative, found.accepted, found.automatic) == (True, False, False)
    assert f"{found.n_images} images may be repeat shots of {found.n_groups} parts" in found.reason
    assert "do not share a position" in found.reason
    assert alike(names, names, prints) == list(range(120))


def test_a_survey_groups_only_copies_of_parts_in_any_position() -> None:
    files = [(f"{i:03d}.png", png(screw(i, side=64, shift=0.0))) for i in range(60)]
    found = survey(UploadSource([*files, ("copy.png", files[0][1])]))
    assert {proposal.rule: proposal.accepted for proposal in found.proposals} == {
        "identical": True,
        "near_identical": False,
    }
    assert found.shots("identical", "near_identical") == {"000.png": "000.png", "copy.png": "000.png"}
    assert len(set(found.parts([]).values())) == 60


@pytest.mark.parametrize("shots", [2, 3])
@pytest.mark.parametrize("parts", [3, 25])
def test_repeat_shots_of_aligned_parts_are_accepted(parts: int, shots: int) -> None:
    prints = prints_of([part(i, shot=k) for i in range(parts) for k in range(shots)])
    assert likeness(prints) == [(parts, False)]


def test_textures_without_an_outline_photographed_twice_are_accepted() -> None:
    """Nothing tells where they lie, and no two of them agree however one is turned."""
    rng = np.random.default_rng(4)
    tiles = [cv2.GaussianBlur(rng.normal(size=(128, 128)), (0, 0), 3.0) for _ in range(25)]
    images = [
        np.clip(120 + 150 * tile + rng.normal(0, 2, tile.shape), 0, 255).astype(np.uint8)
        for tile in tiles
        for _ in range(2)
    ]
    assert likeness(prints_of([np.dstack([gray] * 3) for gray in images])) == [(25, False)]


@pytest.mark.parametrize("count", [6, 20, 120])
@pytest.mark.parametrize(("shift", "turn"), [(0.0, 180.0), (0.1, 0.0), (0.1, 180.0)])
def test_turned_or_moved_parts_share_no_position(count: int, shift: float, turn: float) -> None:
    assert not share_position(screws(count, shift, turn))


@pytest.mark.parametrize("count", [2, 6, 40])
@pytest.mark.parametrize(("shift", "turn"), [(0.0, 0.0), (0.005, 1.0), (0.01, 2.0)])
def test_parts_in_a_fixture_share_a_position(count: int, shift: float, turn: float) -> None:
    assert share_position(screws(count, shift, turn))


@pytest.mark.parametrize("size", [(64, 96), (54, 96), (96, 72)])
def test_images_that_are_not_square_show_it_too(size: tuple[int, int]) -> None:
    height, width = size
    cut = [screw(seed, side=96, shift=0.05)[(96 - height) // 2 :][:height, :width] for seed in range(40)]
    assert not share_position(prints_of(cut))


def test_shots_of_a_part_do_not_vouch_for_the_set() -> None:
    """Each screw photographed nine times without moving it: most images agree, the screws do not."""
    prints = np.repeat(screws(8), 9, axis=0)
    groups = [tuple(range(9 * i, 9 * i + 9)) for i in range(8)]
    assert not share_position(prints, groups)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_to_compare_is_no_reason_for_doubt(count: int) -> None:
    assert share_position(np.zeros((count, SIDE * SIDE), np.float32))
    assert share_position(np.concatenate([screws(6)[:1], np.zeros((count, SIDE * SIDE), np.float32)]))


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(30)))
def test_the_order_of_the_images_does_not_matter(order: list[int]) -> None:
    assert not share_position(screws(30)[order])
    assert share_position(ALIGNED[order])

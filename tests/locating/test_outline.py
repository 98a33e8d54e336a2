"""Locating by outline: known poses, what must not move a part, and images without one whole part."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.locating_scenes import PARTS, Part, Scene, errors, render
from padim.locating.frame import Frame
from padim.locating.locator import LocatingError, Locator, PartNotFound, freeze
from padim.locating.outline import outline_finder
from padim.locating.settings import Align

REFERENCE = {name: Scene(part, 130.3, 121.7, turn=8, scale=0.7) for name, part in PARTS.items()}


def locator(reference: Scene, **changes: Any) -> Locator:
    """Freeze the locator of a reference scene."""
    return freeze(Align(method="outline", **changes), render(reference))


LOCATORS = {name: locator(scene) for name, scene in REFERENCE.items()}

POSES = {
    "x": st.floats(100, 156),
    "y": st.floats(100, 156),
    "turn": st.floats(-180, 180),
    "scale": st.floats(0.6, 0.82),
}


def wrong_by(name: str, scene: Scene, seed: int = 1) -> tuple[float, float, float]:
    """Return the errors of shift, turn and scale in a scene: map pixels, degrees, relative."""
    found = LOCATORS[name].locate(render(scene, seed=seed))
    return errors(found, LOCATORS[name].frame, REFERENCE[name], scene)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(PARTS)), st.fixed_dictionaries(POSES))
def test_parts_are_found_at_any_place_angle_and_size(name: str, pose: dict[str, float]) -> None:
    shift, turn, scale = wrong_by(name, REFERENCE[name].moved(**pose))
    assert shift < 0.5
    assert turn < 0.5
    assert scale < 0.01


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(PARTS)),
    st.fixed_dictionaries(POSES),
    st.floats(0, 8),
    st.floats(-40, 40),
    st.floats(0, 0.3),
)
def test_noise_and_uneven_light_do_not_lose_them(
    name: str, pose: dict[str, float], noise: float, gradient: float, vignetting: float
) -> None:
    scene = REFERENCE[name].moved(**pose, noise=noise, gradient=gradient, vignetting=vignetting)
    shift, turn, scale = wrong_by(name, scene)
    assert shift < 1.0
    assert turn < 1.0
    assert scale < 0.015


# Parts of the same brightness as the background, and darker than it.
LIGHTS = {
    "color alone": ((128, 128, 128), (170, 110, 110), (110, 140, 110)),
    "dark on bright": ((225, 225, 222), (90, 88, 86), (150, 150, 150)),
    "white on light gray": ((205, 205, 205), (250, 250, 250), (225, 225, 225)),
}


@pytest.mark.parametrize("light", list(LIGHTS))
@pytest.mark.parametrize("name", ["screw", "bracket", "washer"])
def test_any_contrast_serves(light: str, name: str) -> None:
    background, outline, inside = LIGHTS[light]
    first, *others = PARTS[name].polygons
    part = Part(((first[0], outline), *((corners, inside) for corners, _ in others)))
    reference = Scene(part, 130.3, 121.7, turn=8, scale=0.7, background=background)
    found = locator(reference)
    for turn in (-120.0, 12.0, 170.0):
        scene = reference.moved(x=120.0, y=131.0, turn=turn)
        shift, degrees, _ = errors(found.locate(render(scene, seed=3)), found.frame, reference, scene)
        assert shift < 0.5
        assert degrees < 0.5


def test_a_bar_is_read_the_right_way_round_by_what_is_printed_on_it() -> None:
    for turn in (8, 188, 40, 220):
        assert wrong_by("bar", REFERENCE["bar"].moved(turn=float(turn)))[1] < 0.5


def test_a_plain_disc_is_not_turned_and_a_plain_bar_the_shorter_way() -> None:
    disc = Part(PARTS["washer"].polygons[:1])
    reference = Scene(disc, 128, 128, scale=0.7)
    found = locator(reference).locate(render(reference.moved(x=140.0, turn=77.0), seed=1))
    assert abs(found.turn) < 0.5
    bar = Part(PARTS["bar"].polygons[:1])
    reference = Scene(bar, 128, 128, scale=0.7)
    # Beyond the limit of the turn only one way is possible.
    found = locator(reference, max_turn=20).locate(render(reference.moved(turn=172.0), seed=1))
    assert found.turn == pytest.approx(-8, abs=0.5)


def test_a_plain_square_is_turned_the_shortest_way() -> None:
    corners = np.array([(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)])
    reference = Scene(Part(((corners, (170, 170, 170)),)), 128, 128, scale=0.7)
    found = locator(reference)
    for turn in (0.0, 30.0, -40.0):
        pose = found.locate(render(reference.moved(turn=turn), seed=1))
        assert pose.turn == pytest.approx(turn, abs=0.5)


# Stains do not change the outline; pieces that are broken off or added do.
BACKGROUND = Scene(PARTS["bar"], 0, 0).background
DEFECTS: dict[str, tuple[list[tuple[float, float]], tuple[int, int, int], float, float]] = {
    "a dark stain": ([(-0.4, -0.1), (-0.1, -0.1), (-0.1, 0.1), (-0.4, 0.1)], (60, 60, 60), 0.5, 0.25),
    "a hole": ([(-0.2, -0.08), (-0.02, -0.08), (-0.02, 0.08), (-0.2, 0.08)], BACKGROUND, 0.5, 0.25),
    "a notch": ([(-0.3, -0.16), (-0.15, -0.16), (-0.15, -0.03), (-0.3, -0.03)], BACKGROUND, 1.0, 0.5),
    "a broken corner": ([(-0.61, -0.16), (-0.4, -0.16), (-0.61, 0.1)], BACKGROUND, 1.0, 0.5),
    "a burr": ([(0.1, -0.25), (0.2, -0.25), (0.25, -0.1), (0.05, -0.1)], (170, 172, 176), 1.0, 0.5),
}


@pytest.mark.parametrize("defect", list(DEFECTS))
@pytest.mark.parametrize("turn", [0.0, 77.0, 200.0])
def test_a_defect_does_not_move_the_part(defect: str, turn: float) -> None:
    corners, color, most_shift, most_turn = DEFECTS[defect]
    scene = REFERENCE["bar"].moved(turn=turn)
    damaged = scene.__class__(**{**vars(scene), "part": scene.part.with_polygon(corners, color)})
    found = LOCATORS["bar"].locate(render(damaged, seed=2))
    shift, degrees, scale = errors(found, LOCATORS["bar"].frame, REFERENCE["bar"], scene)
    assert shift < most_shift
    assert degrees < most_turn
    assert scale < 0.01
    assert found.match > 0.85


@pytest.mark.parametrize("name", ["screw", "bracket", "nut", "washer"])
def test_a_piece_of_a_tenth_broken_off_changes_neither_place_nor_size(name: str) -> None:
    scene = REFERENCE[name].moved(turn=50.0)
    outline = scene.part.polygons[0][0]
    right = np.sort(outline[:, 0])[-1] - 0.1 * np.ptp(outline[:, 0])
    cut = [(right, -1.0), (right + 1, -1.0), (right + 1, 1.0), (right, 1.0)]
    damaged = scene.__class__(**{**vars(scene), "part": scene.part.with_polygon(cut, BACKGROUND)})
    found = LOCATORS[name].locate(render(damaged, seed=2))
    shift, turn, scale = errors(found, LOCATORS[name].frame, REFERENCE[name], scene)
    # From areas the size would be wrong by 5 %, and the centers of mass are 2 to 4 map pixels apart.
    assert shift < 1.5
    assert turn < 1.0
    assert scale < 0.01
    assert found.match > 0.8


def test_a_hair_from_the_part_to_the_border_does_not_cut_it() -> None:
    scene = REFERENCE["washer"].moved(turn=50.0)
    hair = [(-0.01, 0.4), (0.02, 0.4), (0.12, 2.0), (0.09, 2.0)]
    damaged = scene.__class__(**{**vars(scene), "part": scene.part.with_polygon(hair, (170, 170, 170))})
    found = LOCATORS["washer"].locate(render(damaged, seed=2))
    shift, turn, _ = errors(found, LOCATORS["washer"].frame, REFERENCE["washer"], scene)
    assert shift < 0.5
    assert turn < 1.0


def test_the_frame_lies_along_the_part_with_its_heavier_end_first() -> None:
    for turn in (8.0, 188.0):
        frame = locator(REFERENCE["screw"].moved(turn=turn), margin=0).frame
        assert (frame.turn - turn + 180) % 360 - 180 == pytest.approx(0, abs=0.5)
        assert frame.width == pytest.approx(1.22 * 0.7 * 128, abs=2)
        assert frame.height == pytest.approx(0.4 * 0.7 * 128, abs=2)
    upright = locator(REFERENCE["screw"].moved(turn=-80.0), margin=25).frame
    # The head is at the top: the part stays upright.
    assert upright.turn == pytest.approx(10, abs=0.5)
    assert upright.height == pytest.approx(1.5 * 1.22 * 0.7 * 128, abs=3)


def test_the_marked_end_comes_first() -> None:
    scene = REFERENCE["screw"]
    tip = scene.x + 0.6 * 0.7 * 128 * math.cos(math.radians(8)), scene.y - 0.6 * 0.7 * 128 * math.sin(0.14)
    frame = locator(scene, first_end=tip).frame
    assert abs(frame.turn - 8) == pytest.approx(180, abs=0.5)


def test_a_saved_frame_is_used() -> None:
    scene = REFERENCE["bracket"]
    frame = Frame(100, 90, 80, 60, 5, (256, 256))
    again = freeze(Align(method="outline"), render(scene), frame)
    assert again.frame is frame
    moved = scene.moved(x=140.0, y=110.0, turn=-60.0)
    assert errors(again.locate(render(moved, seed=4)), frame, scene, moved)[0] < 1.0


def test_of_the_background_only_what_the_user_drew_counts() -> None:
    # A fixture covers most of the border: without the drawn area the border is no background.
    reference = REFERENCE["bracket"]

    def with_fixture(scene: Scene, seed: int) -> npt.NDArray[np.uint8]:
        image = render(scene, (256, 256), seed)
        image[:, :26], image[:, 230:], image[:20], image[236:, :150] = 180, 200, 90, 220
        return image

    corners = ((40.0, 30.0), (220.0, 30.0), (220.0, 60.0), (40.0, 60.0))
    finder = freeze(Align(method="outline", background=corners), with_fixture(reference, 0))
    for turn in (8.0, 100.0, -60.0):
        moved = reference.moved(x=126.0, y=132.0, turn=turn, scale=0.7)
        shift, degrees, _ = errors(finder.locate(with_fixture(moved, 5)), finder.frame, reference, moved)
        assert shift < 1.0
        assert degrees < 0.5


@pytest.mark.parametrize(
    "corners", [((-90.0, -90.0), (-50.0, -90.0), (-50.0, -60.0)), ((5.0, 5.0), (6, 5), (6, 6))]
)
def test_an_area_of_background_outside_the_image_is_refused(corners: Any) -> None:
    with pytest.raises(LocatingError, match="draw a larger one"):
        freeze(Align(method="outline", background=corners), render(REFERENCE["bar"]))


def test_large_images_give_the_same_pose() -> None:
    scene = Scene(PARTS["screw"], 700.2, 500.4, turn=-20, scale=0.3)
    size = (1100, 1500)
    large = freeze(Align(method="outline"), render(scene, size))
    moved = scene.moved(x=600.0, y=580.0, turn=130.0)
    shift, turn, scale = errors(large.locate(render(moved, size, 2)), large.frame, scene, moved)
    assert shift < 0.5
    assert turn < 0.3
    assert scale < 0.01


def test_the_same_image_gives_the_same_pose() -> None:
    image = render(REFERENCE["nut"].moved(turn=100.0), seed=3)
    assert LOCATORS["nut"].locate(image) == LOCATORS["nut"].locate(image)


def empty() -> npt.NDArray[np.uint8]:
    return render(Scene(Part(()), 0, 0))


def two_parts() -> npt.NDArray[np.uint8]:
    one = render(REFERENCE["bar"].moved(y=80.0, turn=0.0))
    two = render(REFERENCE["bar"].moved(y=180.0, turn=10.0))
    return np.maximum(one, two)


def second_part_cut() -> npt.NDArray[np.uint8]:
    return np.maximum(
        render(REFERENCE["bar"].moved(y=80.0, turn=0.0)), render(REFERENCE["bar"].moved(y=255.0, scale=1.2))
    )


def cut_part() -> npt.NDArray[np.uint8]:
    return render(REFERENCE["bar"].moved(x=225.0))


def faint() -> npt.NDArray[np.uint8]:
    return render(Scene(PARTS["bar"].recolored(lambda _: (44, 44, 44)), 128, 128, scale=0.7, noise=4))


def noise() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def plaid() -> npt.NDArray[np.uint8]:
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, :64], image[:, 64:128], image[:, 128:192] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    return image


def specks() -> npt.NDArray[np.uint8]:
    image = empty()
    image[50:52, 60:62] = image[150:152, 160:162] = 250
    return image


BAD = {
    empty: "stands out from the background|too little contrast",
    faint: "stands out from the background|too little contrast",
    noise: "no plain background|stands out|too little contrast",
    specks: "specks|stands out",
    two_parts: "two parts of similar size",
    second_part_cut: "second part is cut by the border",
    cut_part: "cut by the border",
    plaid: "no plain background|cut by the border",
}


@pytest.mark.parametrize("make", list(BAD), ids=lambda make: make.__name__)
def test_an_image_without_one_whole_part_says_why(make: Any) -> None:
    with pytest.raises(PartNotFound, match=BAD[make]):
        LOCATORS["bar"].locate(make())


@pytest.mark.parametrize(
    "make", [make for make in BAD if make is not second_part_cut], ids=lambda make: make.__name__
)
def test_a_reference_without_one_whole_part_is_refused(make: Any) -> None:
    with pytest.raises(LocatingError, match="the reference part cannot be told from the background: "):
        freeze(Align(method="outline"), make())


def test_touching_parts_are_not_one() -> None:
    scene = REFERENCE["bar"]
    touching = scene.part.with_polygon(
        [(-0.6, 0.14), (0.6, 0.14), (0.6, 0.45), (-0.6, 0.45)], (170, 172, 176)
    )
    with pytest.raises(PartNotFound, match=r"parts touch|match|size"):
        LOCATORS["bar"].locate(render(scene.__class__(**{**vars(scene), "part": touching})))


def test_another_part_does_not_match() -> None:
    with pytest.raises(PartNotFound):
        LOCATORS["screw"].locate(render(REFERENCE["nut"]))


def test_a_part_that_fills_the_drawn_background_is_said() -> None:
    image = render(REFERENCE["bar"])
    corners = ((10.0, 10.0), (60.0, 10.0), (60.0, 60.0), (10.0, 60.0))
    finder = freeze(Align(method="outline", background=corners), image)
    with pytest.raises(PartNotFound, match="whole image is foreground"):
        finder.locate(np.full_like(image, 200))


def test_an_image_of_another_size_is_said() -> None:
    image = render(REFERENCE["bar"])[:, :128]
    with pytest.raises(PartNotFound, match="128 x 256 pixels, the reference 256 x 256"):
        LOCATORS["bar"].locate(image)
    # Callers of the method itself have brought it to the reference's size.
    with pytest.raises(ValueError, match="128 x 256 pixels, the reference 256 x 256"):
        outline_finder(Align(method="outline"), render(REFERENCE["bar"])).find(image)


@pytest.mark.parametrize("size", [(8, 300), (15, 15)])
def test_a_tiny_reference_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LocatingError, match="too small"):
        freeze(Align(method="outline"), np.zeros((*size, 3), np.uint8))


def test_gray_images_are_found_too() -> None:
    gray = cv2.cvtColor(render(REFERENCE["screw"]), cv2.COLOR_RGB2GRAY)
    found = freeze(Align(method="outline"), np.repeat(gray[..., None], 3, axis=2))
    scene = REFERENCE["screw"].moved(turn=-100.0, x=120.0)
    image = cv2.cvtColor(render(scene, seed=8), cv2.COLOR_RGB2GRAY)
    shift, turn, _ = errors(
        found.locate(np.repeat(image[..., None], 3, axis=2)), found.frame, REFERENCE["screw"], scene
    )
    assert shift < 0.5
    assert turn < 0.5

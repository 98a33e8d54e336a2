"""Frames, poses and the warp: held against points moved by hand and images made by a formula."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from padim.locating.frame import Frame
from padim.locating.placement import Placement
from padim.locating.pose import Pose
from padim.locating.settings import Align
from padim.locating.warp import covered, warp

SHAPE = (64, 96)
FRAMES = st.builds(
    Frame,
    st.floats(50, 150),
    st.floats(50, 150),
    st.floats(20, 200),
    st.floats(20, 200),
    st.floats(-180, 180),
    st.just((200, 200)),
)
POSES = st.builds(
    Pose, st.floats(-40, 40), st.floats(-40, 40), st.floats(-179, 180), st.floats(0.5, 2), st.just(1.0)
)


def turned(x: float, y: float, degrees: float) -> tuple[float, float]:
    """Turn a vector counterclockwise on the screen, where y points down."""
    angle = math.radians(degrees)
    return x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)


@given(FRAMES, POSES, st.floats(0, 96), st.floats(0, 64))
def test_a_map_point_lands_where_the_definition_says(frame: Frame, pose: Pose, u: float, v: float) -> None:
    x, y = turned((u - 48) * frame.width / 96, (v - 32) * frame.height / 64, frame.turn)
    x, y = turned(pose.scale * x, pose.scale * y, pose.turn)
    expected = frame.center_x + pose.dx + x, frame.center_y + pose.dy + y
    matrix = pose.to_image(frame, SHAPE, resize=True)
    np.testing.assert_allclose(matrix @ (u, v, 1), expected, atol=1e-8)


def test_a_quarter_turn_counterclockwise_takes_the_right_to_the_top() -> None:
    frame = Frame.whole((100, 100))
    matrix = Pose(0, 0, 90, 1, 1).to_image(frame, (100, 100), resize=False)
    np.testing.assert_allclose(matrix @ (100, 50, 1), (50, 0), atol=1e-9)


@given(FRAMES, POSES)
def test_a_placement_is_inverted_and_survives_json(frame: Frame, pose: Pose) -> None:
    placement = Placement.of(pose.to_image(frame, SHAPE, resize=False))
    again = Placement.from_json(placement.to_json())
    assert again == placement
    square = np.vstack([placement.matrix, [0, 0, 1]]) @ np.vstack([placement.inverse, [0, 0, 1]])
    np.testing.assert_allclose(square, np.eye(3), atol=1e-6)
    assert Pose.from_json(pose.to_json()) == pose
    assert Frame.from_json(frame.to_json()) == frame


def wave(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a smooth image at continuous coordinates, of gray levels."""
    return 128 + 60 * np.sin(x / 9) + 60 * np.cos(y / 11 + x / 23)


@pytest.mark.parametrize("reduction", [1.0, 2.5])
@pytest.mark.parametrize("degrees", [0.0, 33.0, -120.0])
def test_the_warp_shows_what_lies_there(reduction: float, degrees: float) -> None:
    y, x = np.mgrid[:300, :300] + 0.5
    image = np.repeat(wave(x, y).round().astype(np.uint8)[..., None], 3, axis=2)
    frame = Frame(150, 140, 60 * reduction, 40 * reduction, 10.0, (300, 300))
    matrix = Pose(4.3, -6.7, degrees, 1, 1).to_image(frame, (40, 60), resize=False)
    v, u = np.mgrid[:40, :60] + 0.5
    places = matrix @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    expected = wave(*places).reshape(40, 60)
    found = warp(image, matrix, (40, 60))
    assert found.shape == (40, 60, 3)
    # A shift by half a pixel alone would differ by up to six levels.
    assert np.abs(found[..., 0] - expected).max() < 3.5


def test_an_unmoved_image_is_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    matrix = Frame.whole((40, 60)).to_reference((40, 60))
    np.testing.assert_array_equal(warp(image, matrix, (40, 60)), image)
    assert covered(matrix, (40, 60), (40, 60)).all()


def averaged(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the means of an image over the areas of 24 x 32 map pixels, of 24 x 24 samples each."""
    v, u = (np.mgrid[: 24 * 24, : 32 * 24] + 0.5) / 24
    places = matrix @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    x, y = (
        np.floor(axis).astype(int).clip(0, size - 1) for axis, size in zip(places, (400, 300), strict=True)
    )
    return image[y, x, 0].reshape(24, 24, 32, 24).mean(axis=(1, 3))


@pytest.mark.parametrize("reduction", [(1.0, 1.0), (2.5, 2.5), (4.0, 4.0), (9.7, 9.7), (9.0, 2.0)])
@pytest.mark.parametrize("degrees", [0.0, 33.0])
def test_fine_structures_are_averaged(reduction: tuple[float, float], degrees: float) -> None:
    random = np.random.default_rng(0)
    image = np.zeros((300, 400, 3), np.uint8)
    for x, y in random.integers(0, 400, (150, 2)):
        image[y : y + random.integers(2, 20), x : x + random.integers(2, 20)] = random.integers(0, 256)
    frame = Frame(200, 150, 32 * reduction[0], 24 * reduction[1], 0.0, (300, 400))
    matrix = Pose(2.3, -3.6, degrees, 1, 1).to_image(frame, (24, 32), resize=False)
    difference = warp(image, matrix, (24, 32))[..., 0] - averaged(image, matrix)
    # At the image's own resolution bilinear interpolation smoothes; reduced, single pixels must not matter.
    assert np.sqrt((difference**2).mean()) < (8.0 if max(reduction) < 2 else 3.0)


def test_images_longer_than_opencv_resamples_are_cut_or_reduced() -> None:
    image = np.zeros((40, 40_000, 3), np.uint8)
    image[:, 20_000:] = 200
    near = Frame(20_000, 20, 64, 32, 0.0, (40, 40_000)).to_reference((32, 64))
    found = warp(image, near, (32, 64))
    assert not found[:, :32].any()
    assert (found[:, 32:] == 200).all()
    whole = warp(image, Frame.whole((40, 40_000)).to_reference((32, 2048)), (32, 2048))
    assert not whole[:, :1023].any()
    assert (whole[:, 1025:] == 200).all()


@pytest.mark.parametrize("away", [-500.0, 500.0])
def test_beyond_the_image_its_border_is_repeated(away: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    matrix = Pose(away, away, 20, 1, 1).to_image(Frame.whole((60, 60)), (32, 32), resize=False)
    corner = image[0, 0] if away < 0 else image[-1, -1]
    np.testing.assert_array_equal(warp(image, matrix, (32, 32)), np.broadcast_to(corner, (32, 32, 3)))
    assert not covered(matrix, (32, 32), (60, 60)).any()


@given(FRAMES, POSES)
def test_covered_are_the_pixels_inside_the_image(frame: Frame, pose: Pose) -> None:
    matrix = pose.to_image(frame, (16, 24), resize=True)
    inside = covered(matrix, (16, 24), (200, 200))
    for v in range(16):
        for u in range(24):
            x, y = matrix @ (u + 0.5, v + 0.5, 1)
            if min(abs(x), abs(y), abs(x - 200), abs(y - 200)) > 1e-6:
                assert inside[v, u] == (0 <= x <= 200 and 0 <= y <= 200)


def test_levels_count_steps_of_the_map() -> None:
    frame = Frame.whole((256, 512))
    levels = Pose(3, -4, -2.5, 1.02, 1).levels(frame, (128, 256))
    assert levels == {"shift": 25, "turn": 50, "scale": 20}


def test_settings_depend_on_the_method_and_refuse_what_cannot_be() -> None:
    assert Align.model_validate("outline").weights == {}
    template = Align(method="template", marks=((1, 2, 30, 40),))
    assert template.max_turn == 15
    assert set(template.weights) == {"shift", "turn", "scale"}
    with pytest.raises(ValidationError):
        Align(method="template", marks=((1, 2, 0, 40),))

"""Pose spread compared with known motions: synthetic ones, and those the sample data was made with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import Cancelled
from padim.analysis import alignment
from padim.analysis.alignment import Alignment, advise, align
from padim.data.decode import decode
from padim.data.preprocess import Preprocess
from sample_data import make_sample
from tests.parts import part

RGB = npt.NDArray[np.uint8]
Motions = npt.NDArray[np.float64]  # (n, 3): dx, dy in pixels, degrees counter-clockwise
FLANGE = Path(__file__).parents[2] / "sample_data" / "flange" / "train" / "good"


@pytest.fixture(scope="module")
def flange() -> list[RGB]:
    preprocess = Preprocess()
    return [preprocess(decode(path.read_bytes(), path.name)) for path in sorted(FLANGE.glob("*.jpg"))]


@pytest.fixture(scope="module")
def measured(flange: list[RGB]) -> Alignment:
    return align(flange)


def moved(image: RGB, dx: float, dy: float, degrees: float) -> RGB:
    """Rotate an image about its center, then shift it, by OpenCV's definitions."""
    side = len(image)
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, degrees, 1)
    matrix[:, 2] += dx, dy
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def noisy(image: RGB, rng: np.random.Generator) -> RGB:
    """Add sensor noise, as another exposure would have it."""
    values = image * rng.uniform(0.85, 1.1) + rng.normal(0, 6, image.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def motions(seed: int, count: int, shift: float, turn: float) -> Motions:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(-shift, shift, (count, 2)), rng.uniform(-turn, turn, count)])


def errors(got: Alignment, true: Motions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the errors of shifts (pixels) and rotations (degrees), up to a common motion.

    Two sets of motions are equal if one common motion, applied to the part first, leads from one to the
    other; that motion is fitted here.
    """
    turn = got.angles - true[:, 2]
    radians = np.radians(true[:, 2])
    rotation = np.stack([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    rotation = rotation.transpose(2, 0, 1)
    difference = got.shifts[:, ::-1] - true[:, :2]
    common = np.linalg.lstsq(rotation.reshape(-1, 2), difference.reshape(-1), rcond=None)[0]
    return np.hypot(*(difference - rotation @ common).T), np.abs(turn - np.median(turn))


# --- known motions ---


@pytest.mark.parametrize(
    ("shift", "turn", "pixels", "degrees"),
    [(0.0, 0.0, 0.1, 0.05), (3, 1, 0.15, 0.08), (10, 3, 0.15, 0.08), (0.3, 10, 0.4, 0.2), (25, 8, 0.6, 0.3)],
)
@pytest.mark.parametrize("gray", [False, True])
def test_known_motions_are_found(
    flange: list[RGB], shift: float, turn: float, pixels: float, degrees: float, gray: bool
) -> None:
    image = cv2.cvtColor(flange[3], cv2.COLOR_RGB2GRAY) if gray else flange[3]
    true, rng = motions(1, 16, shift, turn), np.random.default_rng(2)
    got = align([noisy(moved(image, *motion), rng) for motion in true])
    assert got.measurable
    assert got.shifts.dtype == got.angles.dtype == got.strength.dtype == np.float32
    assert (got.shifts.shape, got.angles.shape, got.strength.shape) == ((16, 2), (16,), (16,))
    shift_error, turn_error = errors(got, true)
    assert shift_error.max() < pixels
    assert turn_error.max() < degrees
    assert 0.8 < got.strength.min() <= got.strength.max() <= 1.00001
    reach = np.hypot(*got.shifts.T) + np.radians(np.abs(got.angles)) * 128
    assert got.edge95 == pytest.approx(np.percentile(reach, 95), rel=1e-4)
    assert got.shift95 == pytest.approx(np.percentile(np.hypot(*got.shifts.T), 95), rel=1e-4)
    assert got.angle95 == pytest.approx(np.percentile(np.abs(got.angles), 95), rel=1e-4)
    assert np.abs(np.median(got.shifts, axis=0)).max() < 0.02
    assert abs(np.median(got.angles)) < 0.02


def test_signs_are_as_described(flange: list[RGB]) -> None:
    """Move one image among many that do not move: down, right and counter-clockwise are positive."""
    got = align(
        [*[flange[0]] * 6, moved(flange[0], 0, 5, 0), moved(flange[0], 3, 0, 0), moved(flange[0], 0, 0, 2)]
    )
    np.testing.assert_allclose(got.shifts[:7], [*[[0, 0]] * 6, [5, 0]], atol=0.1)
    np.testing.assert_allclose(got.shifts[7], [0, 3], atol=0.1)
    np.testing.assert_allclose(got.shifts[8], [0, 0], atol=0.1)
    np.testing.assert_allclose(got.angles, [*[0] * 8, 2], atol=0.06)


@pytest.mark.parametrize("size", [64, 96, 416])
def test_lengths_are_pixels_of_the_image_given(size: int, flange: list[RGB]) -> None:
    image = cv2.resize(flange[0], (size, size), interpolation=cv2.INTER_AREA)
    true = motions(3, 10, size * 0.03, 2)
    shift_error, turn_error = errors(align([moved(image, *motion) for motion in true]), true)
    assert shift_error.max() < max(0.1, size / 1000)
    assert turn_error.max() < 0.1


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000), st.floats(0, 5), st.floats(0, 2), st.integers(4, 9))
def test_parts_that_differ_are_found_as_well(seed: int, shift: float, turn: float, count: int) -> None:
    """Parts of one kind, each with its own grain and light."""
    true, rng = motions(seed, count, shift, turn), np.random.default_rng(seed)
    images = []
    for index, motion in enumerate(true):
        own = cv2.resize(rng.normal(scale=10, size=(20, 20)), (160, 160), interpolation=cv2.INTER_CUBIC)
        image = part(index, size=(160, 160), variety=0) * rng.uniform(0.9, 1.1) + own[..., None]
        image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        images.append(moved(image, *motion)[16:144, 16:144])
    got = align(images)
    assert got.measurable
    shift_error, turn_error = errors(got, true)
    assert shift_error.max() < 0.5
    assert turn_error.max() < 1.5  # little but the shared grain tells a ring's turn


@pytest.mark.slow
def test_the_sample_lies_as_it_was_made(measured: Alignment) -> None:
    """Compare with the shift and rotation that the generator drew; a map pixel is half of one of its own."""
    true = []
    for index in range(make_sample.N_TRAIN):
        scene = make_sample.make_scene(np.random.default_rng([make_sample.SEED, 0, 0, index]))
        # Its turn is positive from x to y, which is clockwise as seen.
        true.append((scene.shift[0] / 2, scene.shift[1] / 2, -math.degrees(scene.angle)))
    assert measured.measurable
    shift_error, turn_error = errors(measured, np.array(true))
    # Lamps that stay where they are light a part that turns from another side: part of the turn is hidden.
    assert np.median(shift_error) < 0.15
    assert shift_error.max() < 0.5
    assert np.median(turn_error) < 0.12
    assert turn_error.max() < 0.35
    assert 3 < measured.shift95 < 5
    assert 1 < measured.angle95 < 1.7
    assert measured.shift95 < measured.edge95 < 8


def test_the_order_of_the_images_plays_no_part(flange: list[RGB]) -> None:
    few = flange[:9]
    one, other = align(few), align(few[::-1])
    np.testing.assert_allclose(one.shifts, other.shifts[::-1], atol=0.02)
    np.testing.assert_allclose(one.angles, other.angles[::-1], atol=0.02)


# --- what cannot be measured ---


def random_texture(rng: np.random.Generator, side: int, grain: float) -> RGB:
    """Return another piece of the same material under the same uneven light."""
    values = rng.normal(size=(side, side))
    if grain:
        values = cv2.GaussianBlur(values, (0, 0), grain)
    light = np.add.outer(np.linspace(-40, 40, side), np.linspace(-20, 20, side))
    return np.clip(128 + 30 * values / values.std() + light, 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("grain", [0.0, 2.0, 6.0, 12.0])
@pytest.mark.parametrize("count", [3, 4, 6, 24])
def test_noise_and_textures_are_not_measurable(grain: float, count: int) -> None:
    rng = np.random.default_rng([int(grain), count])
    for _ in range(6 if count < 10 else 2):
        got = align([random_texture(rng, 256, grain) for _ in range(count)])
        assert not got.measurable
        assert np.isnan([got.shift95, got.angle95, got.edge95]).all()
        assert np.isnan(got.shifts).all()
        assert np.isnan(got.angles).all()
        assert np.isfinite(got.strength).all()


def test_blank_images_are_not_measurable() -> None:
    assert not align([np.full((64, 64), 90, np.uint8)] * 5).measurable


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_images_are_too_few(flange: list[RGB], count: int) -> None:
    got = align(flange[:count])
    assert not got.measurable
    assert got.shifts.shape == (count, 2)
    assert got.strength.shape == (count,)
    assert "at least 3 images" in advise(got, 8, 256)[1]


def test_an_image_of_something_else_counts_for_nothing(flange: list[RGB]) -> None:
    rng = np.random.default_rng(0)
    true = motions(4, 12, 4, 1)
    images = [moved(flange[0], *motion) for motion in true]
    alone = align(images)
    got = align([*images, cv2.cvtColor(random_texture(rng, 256, 3), cv2.COLOR_GRAY2RGB)])
    assert got.measurable
    assert np.isnan(got.shifts[-1]).all()
    assert np.isnan(got.angles[-1])
    assert got.strength[-1] < 0.5
    np.testing.assert_allclose(got.shifts[:-1], alone.shifts, atol=0.15)
    assert got.edge95 == pytest.approx(alone.edge95, abs=0.2)


@pytest.mark.slow
def test_a_motion_that_fits_badly_counts_for_nothing(
    flange: list[RGB], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the coarse search ends early, it finds the wrong peak for some parts in very different poses."""
    monkeypatch.setattr(alignment, "_COARSE_ROUNDS", 1)
    left_out = 0
    for seed in range(6):
        true = motions(seed, 24, 28, 11)
        got = align([moved(flange[0], *motion) for motion in true])
        found = np.isfinite(got.angles)
        left_out += int(np.count_nonzero(~found))
        assert found.sum() >= 12
        kept = Alignment(got.shifts[found], got.angles[found], got.strength[found], True, 0.0, 0.0, 0.0)
        assert errors(kept, true[found])[0].max() < 1
    assert left_out > 0


# --- input, progress, cancellation ---


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((64, 64), np.float32),
        np.zeros((64, 32), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((0, 0), np.uint8),
    ],
)
def test_another_kind_of_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one size"):
        align([np.zeros((64, 64), np.uint8), bad])


def test_progress_and_cancel(flange: list[RGB]) -> None:
    small = [cv2.resize(image, (64, 64)) for image in flange[:4]]
    seen: list[tuple[int, int | None, str]] = []

    def watch(done: int, total: int | None, stage: str) -> None:
        seen.append((done, total, stage))

    def endless() -> Iterator[RGB]:
        while True:
            yield small[0]

    align(iter(small), watch)
    stages = list(dict.fromkeys(stage for _, _, stage in seen))
    assert len(stages) == 2
    assert [done for done, total, stage in seen if stage == stages[0]] == [1, 2, 3, 4]
    second = [(done, total) for done, total, stage in seen if stage == stages[1]]
    assert [done for done, _ in second] == list(range(len(second)))
    assert {total for _, total in second} == {len(second)}

    def after(steps: int) -> Callable[[], bool]:
        left = iter([False] * steps + [True])
        return lambda: next(left)

    for steps in (0, 3, 4, len(seen) - 1):
        with pytest.raises(Cancelled):
            align(endless() if steps < 4 else small, cancel=after(steps))


# --- advice ---


def lying(edge: float) -> Alignment:
    nothing = np.zeros(5, np.float32)
    return Alignment(np.zeros((5, 2), np.float32), nothing, nothing, True, edge / 2, 1.0, edge)


def test_advice_compares_with_the_grid_cell(measured: Alignment) -> None:
    assert advise(lying(8.0), 8, 256)[0] is False
    larger, sentence = advise(lying(8.1), 8, 256)
    assert larger is True
    assert "8.1 map pixels (3.2 %" in sentence
    for remedy in ("fixture", "grid stride 16", "smooth the maps more", "'pad'"):
        assert remedy in sentence
    assert "less than what is needed" not in sentence
    assert "less than what is needed" in advise(lying(20.0), 8, 256)[1]
    assert "stride 16" not in advise(lying(20.0), 16, 256)[1]
    assert advise(measured, 8, 256)[0] is False
    assert advise(measured, 4, 256)[0] is True
    assert "Nothing needs to be done" in advise(measured, 8, 256)[1]


def test_advice_for_a_texture_says_so() -> None:
    rng = np.random.default_rng(5)
    larger, sentence = advise(align([random_texture(rng, 128, 2) for _ in range(6)]), 8, 128)
    assert larger is False
    assert "no outline" in sentence
    assert "nan" not in sentence

"""Masks, regions and maps brought back to the original image, against brute force and known transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from padim.data.masks import at_map_resolution
from padim.data.preprocess import Preprocess
from padim.decision.back_projection import levels_on_original, mask_on_original, within_image
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, mask_to_original
from padim.locating.frame import rotation
from padim.locating.placement import Placement
from padim.locating.warp import covered, warp

Mask = NDArray[np.bool_]


def placed(
    shape: tuple[int, int],
    center: tuple[float, float],
    scale: float,
    turn: float = 0.0,
    aspect: float = 1.0,
) -> Placement:
    """A map of a shape whose center lies at (x, y), ``scale`` original pixels per map pixel."""
    linear = rotation(turn) @ np.diag([scale, scale * aspect])
    shift = np.array(center) - linear @ (shape[1] / 2, shape[0] / 2)
    return Placement.of(np.column_stack([linear, shift]))


@st.composite
def placements(draw: st.DrawFn, shape: tuple[int, int], size: tuple[int, int]) -> Placement:
    """Any place of the map on the image, of which a part may be outside."""
    numbers = st.floats(0, 1)
    return placed(
        shape,
        (size[1] * draw(numbers), size[0] * draw(numbers)),
        draw(st.one_of(st.just(1.0), st.floats(0.1, 8.0))),
        draw(st.one_of(st.sampled_from((0.0, 45.0, 90.0, 180.0)), st.floats(-180, 180))),
        draw(st.floats(0.5, 2.0)),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[NDArray[np.uint16], Placement, tuple[int, int]]:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    levels = hnp.arrays(np.uint16, shape, elements=st.integers(0, 6), fill=st.just(0))
    return draw(levels), draw(placements(shape, size)), size


def by_brute_force(mask: Mask, placement: Placement, size: tuple[int, int]) -> Mask:
    """The two rules, pixel by pixel."""
    out = np.zeros(size, np.bool_)
    missed = mask.copy()
    for row in range(size[0]):
        for column in range(size[1]):
            u, v = placement.inverse @ (column + 0.5, row + 0.5, 1)
            u, v = math.floor(u), math.floor(v)
            if 0 <= u < mask.shape[1] and 0 <= v < mask.shape[0]:
                out[row, column] = mask[v, u]
                missed[v, u] = False
    for v, u in np.argwhere(missed):
        x, y = placement.matrix @ (u + 0.5, v + 0.5, 1)
        if 0 <= x <= size[1] and 0 <= y <= size[0]:
            out[min(int(y), size[0] - 1), min(int(x), size[1] - 1)] = True
    return out


def is_tie(mask: Mask, placement: Placement, size: tuple[int, int]) -> bool:
    """Whether a center lies so close to a border between pixels that rounding may decide."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    v, u = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    on_map = placement.inverse @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    on_image = placement.matrix @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    near = np.concatenate([on_map, on_image], axis=1)
    return bool((abs(near - near.round()) < 1e-9).any())


@settings(max_examples=300, deadline=None)
@given(situations(), st.integers(0, 6), st.integers(1, 6))
def test_the_mask_is_not_empty_exactly_when_the_score_is_above(
    situation: tuple[NDArray[np.uint16], Placement, tuple[int, int]], threshold: int, min_area: int
) -> None:
    q, placement, size = situation
    found = decide(q, threshold, min_area, original_size=size, placement=placement)
    assert found.mask.shape == size
    assert bool(found.mask.any()) is bool(found.regions) is (found.score_level > threshold)


@settings(max_examples=300, deadline=None)
@given(situations(), st.integers(0, 6), st.integers(1, 4))
def test_mask_and_regions_against_brute_force(
    situation: tuple[NDArray[np.uint16], Placement, tuple[int, int]], threshold: int, min_area: int
) -> None:
    q, placement, size = situation
    found = decide(q, threshold, min_area, original_size=size, placement=placement)
    small = map_mask(found.levels, threshold, min_area)
    union = np.zeros(size, np.bool_)
    if is_tie(small, placement, size):
        return
    assert (found.mask == by_brute_force(small, placement, size)).all()
    assert (mask_on_original(small, placement, size) == found.mask).all()
    for region in found.regions:
        box = found.mask[region.y : region.y + region.height, region.x : region.x + region.width]
        union[region.y : region.y + region.height, region.x : region.x + region.width] = True
        assert region.area <= box.sum()
        assert found.mask[region.peak_y, region.peak_x]
        assert region.x <= region.centroid_x <= region.x + region.width - 1
        assert region.y <= region.centroid_y <= region.y + region.height - 1
    assert not (found.mask & ~union).any()
    if len(found.regions) == 1:
        (region,) = found.regions
        rows, columns = np.nonzero(found.mask)
        assert (region.x, region.y) == (int(columns.min()), int(rows.min()))
        assert (region.width, region.height) == (int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
        assert region.area == len(rows)
        assert region.centroid_x == pytest.approx(columns.mean())
        assert region.centroid_y == pytest.approx(rows.mean())
        assert region.level == found.score_level


@pytest.mark.parametrize("size", [(64, 64), (320, 512), (32, 16), (128, 32)])
def test_an_upright_map_of_the_whole_image_is_projected_as_without_a_placement(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((64, 64)) < 0.2
    whole = Placement.of(np.array([[size[1] / 64, 0, 0], [0, size[0] / 64, 0]]))
    found, expected = mask_on_original(mask, whole, size), mask_to_original(mask, size)
    # The two rules and the rule by axes agree, but for one axis that shrinks and another that enlarges.
    if (size[0] >= 64) == (size[1] >= 64):
        assert (found == expected).all()
    else:
        assert not (found & ~expected).any()


@pytest.mark.parametrize("turn", [0.0, 7.3, 90.0, -138.2])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_a_spot_on_the_part_is_found_at_its_place(turn: float, scale: float) -> None:
    """Synthetic truth: the error is under half a pixel."""
    shape, size = (96, 160), (700, 700)
    placement = placed(shape, (340.2, 361.7), scale, turn)
    rng = np.random.default_rng(1)
    for u, v in rng.uniform((8, 8), (152, 88), (20, 2)):
        mask = np.zeros(shape, np.bool_)
        columns, rows = np.meshgrid(np.arange(160) + 0.5, np.arange(96) + 0.5)
        mask[np.hypot(columns - u, rows - v) < 5] = True
        on_map = np.argwhere(mask).mean(axis=0)[::-1] + 0.5
        truth = placement.matrix @ (*on_map, 1)
        rows_there, columns_there = np.nonzero(mask_on_original(mask, placement, size))
        error = math.hypot(columns_there.mean() + 0.5 - truth[0], rows_there.mean() + 0.5 - truth[1])
        # Of a map pixel, or of an original pixel where these are larger.
        assert error < 0.5 * max(scale, 1)
        expected = mask.sum() * scale**2
        if scale >= 1:
            assert len(rows_there) == pytest.approx(expected, rel=0.1)
        else:  # no map pixel is lost, so the border counts as well
            assert expected <= len(rows_there) <= 2 * expected


def test_a_spot_that_is_warped_to_the_map_comes_back_to_its_pixels() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    rows, columns = np.mgrid[:400, :600] + 0.5
    spot = np.hypot(columns - 350.5, rows - 171.0) < 20
    image[spot] = 255
    placement = placed((128, 192), (310.0, 190.0), 1.9, 33.0)
    seen = warp(image, placement.matrix, (128, 192))[..., 0] > 127
    back = mask_on_original(seen, placement, (400, 600))
    assert (back & spot).sum() / (back | spot).sum() > 0.93
    there = np.argwhere(back).mean(axis=0) - np.argwhere(spot).mean(axis=0)
    assert np.hypot(*there) < 0.5 * 1.9


def test_the_drawn_map_lies_where_the_mask_lies() -> None:
    q = np.zeros((40, 60), np.uint16)
    q[10:20, 30:45] = 1000
    for scale in (0.5, 1.0, 4.2):
        placement = placed((40, 60), (150.0, 140.0), scale, 25.0)
        drawn = levels_on_original(q, placement, (300, 320))
        assert drawn.dtype == np.uint16
        assert drawn.shape == (300, 320)
        mask = mask_on_original(q > 500, placement, (300, 320))
        error = np.argwhere(drawn > 500).mean(axis=0) - np.argwhere(mask).mean(axis=0)
        assert np.hypot(*error) < 0.5 * max(1.0, scale)
        # Zero outside the map.
        frame = mask_on_original(np.ones((40, 60), np.bool_), placement, (300, 320))
        assert not drawn[~frame].any() or scale < 1


def test_levels_outside_the_image_are_zero() -> None:
    q = np.full((20, 20), 9, np.uint16)
    placement = placed((20, 20), (0.0, 50.0), 1.0)  # the left half is outside
    inside = within_image(q, placement, (100, 100))
    assert (inside[:, :10] == 0).all()
    assert (inside[:, 10:] == 9).all()
    centered = placed((20, 20), (50.0, 50.0), 1.0)
    assert within_image(q, centered, (100, 100)) is q
    assert not mask_on_original(q > 0, placement, (100, 100))[:, 10:].any()


def test_a_placement_needs_the_size_of_the_image() -> None:
    with pytest.raises(ValueError, match="original_size must be given"):
        decide(np.zeros((8, 8), np.uint16), 1, 1, placement=placed((8, 8), (4, 4), 1))


@pytest.mark.parametrize("turn", [0.0, 12.5, 180.0])
def test_a_labelled_mask_is_brought_to_the_map(turn: float) -> None:
    size, shape = (200, 260), (64, 64)
    mask = np.zeros(size, np.bool_)
    mask[80:120, 100:170] = True
    placement = placed(shape, (20.0, 100.0), 2.0, turn)
    found = at_map_resolution(mask, Preprocess((64, 64)), placement)
    seen = covered(placement.matrix, shape, size)
    for v in range(64):
        for u in range(64):
            x, y = placement.matrix @ (u + 0.5, v + 0.5, 1)
            expected = bool(seen[v, u]) and bool(mask[min(int(y), 199), min(int(x), 259)])
            assert found[v, u] == expected
    # Back on the image, it is the labelled mask within the map's resolution.
    again = mask_on_original(found, placement, size)
    frame = mask_on_original(seen, placement, size)
    different = again ^ (mask & frame)
    assert different.sum() < 0.12 * mask.sum()

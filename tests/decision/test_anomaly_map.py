"""maps.py against brute force: scikit-image's area opening, scipy's labels, numpy written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.morphology import area_opening

from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL, Quantizer, level_map, upsample_and_smooth
from padim.decision.prediction import decide
from padim.decision.regions import map_mask, mask_to_original, region_score, region_scores
from padim.network.resample import blur_radius

EIGHT = np.ones((3, 3), np.int64)
Levels = NDArray[np.uint16]


def reference_score(q: Levels, min_area: int) -> int:
    """The definition, read literally: area opening removes every peak narrower than min_area."""
    if min_area > q.size:
        return 0
    # scikit-image fails on maps of one or two pixels a side; a rim of zeros changes no region above 0.
    return int(area_opening(np.pad(q, 2), min_area, connectivity=2).max())


def reference_mask(q: Levels, threshold: int, min_area: int) -> NDArray[np.bool_]:
    labels, count = scipy.ndimage.label(q > threshold, structure=EIGHT)
    mask = np.zeros(q.shape, bool)
    for label in range(1, count + 1):
        if (labels == label).sum() >= min_area:
            mask |= labels == label
    return mask


def reference_to_original(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Pixel by pixel: centres of the finer side fall into the pixels of the coarser one."""
    for axis, n in ((0, height), (1, width)):
        m = mask.shape[axis]
        out = np.zeros((n, mask.shape[1]) if axis == 0 else (mask.shape[0], n), bool)
        pairs = (
            [((2 * i + 1) * m // (2 * n), i) for i in range(n)]
            if n >= m
            else [(j, (2 * j + 1) * n // (2 * m)) for j in range(m)]
        )
        for source, target in pairs:
            if axis == 0:
                out[target] |= mask[source]
            else:
                out[:, target] |= mask[:, source]
        mask = out
    return mask


def smooth_map(seed: int, size: int = 128) -> Levels:
    grid = np.random.default_rng(seed).gamma(4.0, 1.0, (size // 8, size // 8)).astype(np.float32)
    return Quantizer(0.0, 1e-3).quantize(upsample_and_smooth(grid, (size, size), 4.0))


sizes = st.integers(1, 14)
maps = hnp.arrays(
    np.uint16,
    st.tuples(sizes, sizes),
    # Few levels make plateaus and touching corners; the full range makes noise and saturation.
    elements=st.one_of(
        st.integers(0, 4), st.sampled_from([0, 1, 65534, MAX_LEVEL]), st.integers(0, MAX_LEVEL)
    ),
)


# --- upsampling and smoothing -------------------------------------------------------------------------------


def bilinear(grid: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    rows, columns = (bilinear_weights(n, size) for n in grid.shape)
    return np.asarray(rows @ grid.astype(np.float64) @ columns.T)


def bilinear_weights(n: int, size: int) -> NDArray[np.float64]:
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    low = np.minimum(np.floor(at).astype(int), max(n - 2, 0))
    out = np.zeros((size, n))
    out[np.arange(size), low] += 1 - (at - low)
    out[np.arange(size), np.minimum(low + 1, n - 1)] += at - low
    return out


@pytest.mark.parametrize("shape", [(32, 32), (16, 16), (5, 5), (7, 7), (1, 1), (64, 64)])
def test_upsampling_is_half_pixel_bilinear_with_clamped_edges(shape: tuple[int, int]) -> None:
    grid = np.random.default_rng(0).random(shape, dtype=np.float32) * 100
    np.testing.assert_allclose(
        upsample_and_smooth(grid, (64, 64), 0.0), bilinear(grid, 64), rtol=2e-5, atol=2e-4
    )


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3, 4.0, 20.0])
def test_smoothing_is_a_gaussian_with_mirrored_borders_cut_at_the_stated_radius(sigma: float) -> None:
    grid = np.random.default_rng(1).random((64, 64), dtype=np.float32)  # 64 -> 64: no upsampling
    expected = scipy.ndimage.gaussian_filter(
        grid.astype(np.float64), sigma, mode="mirror", radius=blur_radius(sigma)
    )
    np.testing.assert_allclose(upsample_and_smooth(grid, (64, 64), sigma), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "size", "sigma"), [(8, 64, 4.0), (1, 3, 4.0), (4, 8, 64.0), (512, 2048, 64.0)]
)
def test_the_operator_is_opencvs_enlargement_and_blur(grid: int, size: int, sigma: float) -> None:
    """Also where the kernel reaches further than the map is wide, and at the largest settings there are."""
    cells = np.random.default_rng(5).random((grid, grid), dtype=np.float32)
    side = 2 * blur_radius(sigma) + 1
    large = cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR)
    expected = cv2.GaussianBlur(large, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(upsample_and_smooth(cells, (size, size), sigma), expected, atol=2e-5)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None, max_examples=60)
@given(shapes, st.tuples(st.integers(0, 40), st.integers(0, 40)), st.sampled_from([0.0, 0.7, 2.0, 9.0]))
def test_a_rectangle_is_enlarged_and_smoothed_along_each_side(
    grid_shape: tuple[int, int], beyond: tuple[int, int], sigma: float
) -> None:
    """Against bilinear weights and scipy; the turned grid gives the turned map."""
    shape = grid_shape[0] + beyond[0], grid_shape[1] + beyond[1]
    cells = np.random.default_rng([*grid_shape, *shape]).random(grid_shape, dtype=np.float32)
    weights = [bilinear_weights(n, size) for n, size in zip(grid_shape, shape, strict=True)]
    expected = weights[0] @ cells.astype(np.float64) @ weights[1].T
    if sigma:
        expected = scipy.ndimage.gaussian_filter(expected, sigma, mode="mirror", radius=blur_radius(sigma))
    found = upsample_and_smooth(cells, shape, sigma)
    assert found.shape == shape
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(upsample_and_smooth(cells.T, shape[::-1], sigma).T, found, atol=1e-6)
    quantizer = Quantizer(0.0, 1e-4)
    levels = level_map(cells, shape=shape, sigma=sigma, quantizer=quantizer)
    assert np.abs(levels.astype(int) - quantizer.quantize(expected).astype(int)).max() <= 2
    turned = level_map(cells.T.copy(), shape=shape[::-1], sigma=sigma, quantizer=quantizer)
    assert np.abs(turned.T.astype(int) - levels.astype(int)).max() <= 1


def test_the_kernel_reaches_four_sigma() -> None:
    assert [blur_radius(s) for s in (0, 1, 2, 4, 8)] == [0, 4, 8, 16, 32]


def test_a_batch_equals_its_maps_one_by_one() -> None:
    grids = np.random.default_rng(2).random((3, 8, 8), dtype=np.float32)
    batch = upsample_and_smooth(grids, (40, 40), 2.0)
    assert batch.shape == (3, 40, 40)
    assert batch.dtype == np.float32
    for grid, one in zip(grids, batch, strict=True):
        np.testing.assert_array_equal(upsample_and_smooth(grid, (40, 40), 2.0), one)


@pytest.mark.parametrize(
    ("shape", "size", "sigma"),
    [
        ((4,), 8, 1.0),
        ((1, 1, 4, 4), 8, 1.0),
        ((0, 0), 8, 1.0),
        ((4, 0), 8, 1.0),
        ((4, 4), 0, 1.0),
        ((4, 4), 8, -1.0),
    ],
)
def test_upsampling_refuses_what_is_no_grid(shape: tuple[int, ...], size: int, sigma: float) -> None:
    with pytest.raises(ValueError, match=r"grid|size|sigma"):
        upsample_and_smooth(np.zeros(shape, np.float32), (size, 8), sigma)
    with pytest.raises(ValueError, match="sigma"):
        upsample_and_smooth(np.zeros((4, 4), np.float32), (8, 8), float("nan"))


# --- the quantizer ------------------------------------------------------------------------------------------


def test_quantizing_rounds_half_to_even_and_clips() -> None:
    values = np.array([-5, 9.9, 10, 10.5, 11, 11.5, 13, 10 + 2 * 65535, 1e30], np.float64)
    np.testing.assert_array_equal(Quantizer(10.0, 1.0).quantize(values[:6]), [0, 0, 0, 0, 1, 2])
    np.testing.assert_array_equal(Quantizer(10.0, 2.0).quantize(values[4:]), [0, 1, 2, 65535, 65535])
    assert Quantizer(-1e308, 1e-308).to_level(1e308) == MAX_LEVEL


@given(
    offset=st.floats(-100, 100),
    step=st.floats(1e-6, 10),
    level=st.integers(0, MAX_LEVEL),
    value=st.floats(-1e6, 1e6, width=32),
)
def test_a_threshold_lands_where_a_pixel_of_its_value_does(
    offset: float, step: float, level: int, value: float
) -> None:
    quantizer = Quantizer(offset, step)
    assert quantizer.to_level(quantizer.to_value(level)) == level
    pixel = quantizer.quantize(np.full((1, 1), value, np.float32))
    assert quantizer.to_level(value) == pixel[0, 0]
    assert not decide(pixel, quantizer.to_level(value), 1).rejected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    quantizer = Quantizer(0.0, 0.1)
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantizer.quantize(np.array([[1.0, bad]], np.float32))
    with pytest.raises(ValueError, match="threshold"):
        quantizer.to_level(bad)
    with pytest.raises(ValueError, match="offset"):
        Quantizer(bad, 1.0)
    with pytest.raises(ValueError, match="step"):
        Quantizer(0.0, bad)


@pytest.mark.parametrize("step", [0.0, -1.0])
def test_a_step_must_be_positive(step: float) -> None:
    with pytest.raises(ValueError, match="step"):
        Quantizer(0.0, step)


def test_the_judged_map_is_zero_outside_roi_and_content_box() -> None:
    grid = np.random.default_rng(3).random((8, 8), dtype=np.float32) + 1
    quantizer = Quantizer(0.0, 1e-3)
    whole = level_map(grid, shape=(32, 32), sigma=1.0, quantizer=quantizer)
    expected = quantizer.quantize(scipy.ndimage.gaussian_filter(bilinear(grid, 32), 1.0, mode="mirror"))
    assert np.abs(whole.astype(int) - expected.astype(int)).max() <= 1  # float32 against float64
    assert whole.min() > 0
    roi = np.random.default_rng(4).random((32, 32)) < 0.5
    box = Box(4, 0, 20, 32)
    part = level_map(grid, shape=(32, 32), sigma=1.0, quantizer=quantizer, roi=roi, content_box=box)
    inside = roi.copy()
    inside[:4] = inside[24:] = False
    np.testing.assert_array_equal(part, np.where(inside, whole, 0))
    assert part.dtype == np.uint16


@pytest.mark.parametrize("box", [Box(-1, 0, 4, 4), Box(0, 5, 4, 4), Box(0, 0, 0, 4), Box(0, 0, 9, 8)])
def test_a_box_or_roi_that_does_not_fit_is_refused(box: Box) -> None:
    q = np.ones((8, 8), np.uint16)
    with pytest.raises(ValueError, match="content_box"):
        decide(q, 0, 1, content_box=box)
    with pytest.raises(ValueError, match="roi"):
        decide(q, 0, 1, roi=np.ones((7, 8), bool))
    with pytest.raises(ValueError, match="roi"):
        decide(q, 0, 1, roi=np.ones((8, 8), np.uint8))


# --- the score ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(q=maps, min_area=st.one_of(st.integers(1, 20), st.integers(1, 250)))
@example(q=np.full((4, 4), MAX_LEVEL, np.uint16), min_area=16)
@example(q=np.zeros((4, 4), np.uint16), min_area=3)
@example(q=np.eye(5, dtype=np.uint16), min_area=5)
def test_the_score_is_the_maximum_of_the_area_opening(q: Levels, min_area: int) -> None:
    assert region_score(q, min_area) == reference_score(q, min_area)
    assert region_score(np.asfortranarray(q), min_area) == reference_score(q, min_area)


@pytest.mark.parametrize("min_area", [1, 2, 15, 16, 17, 64, 700])
def test_the_score_on_maps_of_real_shapes(min_area: int) -> None:
    rng = np.random.default_rng(5)
    peak = smooth_map(7).astype(np.int64) * 14
    cases = {
        "smooth": smooth_map(6),
        "noise": rng.integers(0, MAX_LEVEL + 1, (96, 128)).astype(np.uint16),
        "few levels": rng.integers(0, 3, (96, 96)).astype(np.uint16),
        "constant": np.full((64, 64), 777, np.uint16),
        "saturated plateaus": np.minimum(peak, MAX_LEVEL).astype(np.uint16),
        "ramp": np.arange(64 * 64, dtype=np.uint16).reshape(64, 64),
        "one hot pixel": np.where(np.arange(64 * 64).reshape(64, 64) == 99, MAX_LEVEL, 3).astype(np.uint16),
    }
    for name, q in cases.items():
        assert region_score(q, min_area) == reference_score(q, min_area), name


def test_the_score_by_hand() -> None:
    q = np.array(
        [
            [9, 0, 0, 0, 5],
            [0, 8, 0, 0, 5],
            [0, 0, 7, 0, 5],
            [0, 0, 0, 0, 5],
        ],
        np.uint16,
    )
    # The diagonal counts as connected; it reaches the column of fives only through zeros.
    assert [region_score(q, a) for a in (1, 2, 3, 4, 5, 20, 21)] == [9, 8, 7, 5, 0, 0, 0]


@settings(max_examples=300, deadline=None)
@given(q=maps, max_area=st.integers(1, 60))
@example(q=np.full((4, 4), MAX_LEVEL, np.uint16), max_area=16)
@example(q=np.zeros((3, 3), np.uint16), max_area=4)
@example(q=np.eye(5, dtype=np.uint16), max_area=7)
def test_the_scores_of_all_areas_are_those_of_each(q: Levels, max_area: int) -> None:
    one_by_one = [region_score(q, area) for area in range(1, max_area + 1)]
    scores = region_scores(q, max_area)
    assert scores.dtype == np.uint16
    assert scores.tolist() == one_by_one
    assert region_scores(np.asfortranarray(q), max_area).tolist() == one_by_one


@pytest.mark.parametrize("seed", range(6))
def test_the_scores_of_all_areas_on_maps_of_real_shapes(seed: int) -> None:
    q = smooth_map(seed)
    scores = region_scores(q, 256)
    for area in (1, 2, 3, 16, 17, 64, 200, 255, 256):
        assert scores[area - 1] == reference_score(q, area)


@given(q=maps, min_areas=st.lists(st.integers(1, 60), min_size=2, max_size=5))
@settings(deadline=None)
def test_asking_for_more_area_never_raises_the_score(q: Levels, min_areas: list[int]) -> None:
    scores = [region_score(q, a) for a in sorted(min_areas)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "call",
    [region_score, region_scores, lambda q, a: map_mask(q, 0, a), lambda q, a: decide(q, 0, a)],
)
def test_bad_maps_and_areas_are_refused(call: Callable[[NDArray[Any], int], object]) -> None:
    for bad in (np.zeros((4, 4)), np.zeros(4, np.uint16), np.zeros((2, 4, 4), np.uint16)):
        with pytest.raises(ValueError, match="level map"):
            call(bad, 1)
    for area in (0, -3):
        with pytest.raises(ValueError, match="min_area"):
            call(np.zeros((4, 4), np.uint16), area)


# --- the mask -----------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(q=maps, threshold=st.one_of(st.integers(0, 5), st.integers(0, MAX_LEVEL)), min_area=st.integers(1, 20))
def test_the_map_mask_keeps_the_large_regions(q: Levels, threshold: int, min_area: int) -> None:
    np.testing.assert_array_equal(
        map_mask(q, threshold, min_area), reference_mask(q, threshold, min_area), strict=True
    )


@given(q=maps, thresholds=st.lists(st.integers(0, MAX_LEVEL), min_size=2, max_size=2), area=st.integers(1, 9))
@settings(deadline=None)
def test_a_higher_threshold_gives_a_mask_inside_the_lower_ones(
    q: Levels, thresholds: list[int], area: int
) -> None:
    low, high = sorted(thresholds)
    assert not (map_mask(q, high, area) & ~map_mask(q, low, area)).any()


@settings(max_examples=200, deadline=None)
@given(
    mask=hnp.arrays(np.bool_, st.tuples(sizes, sizes)), height=st.integers(1, 40), width=st.integers(1, 40)
)
def test_the_mask_at_original_size_pixel_by_pixel(mask: NDArray[np.bool_], height: int, width: int) -> None:
    out = mask_to_original(mask, (height, width))
    np.testing.assert_array_equal(out, reference_to_original(mask, height, width), strict=True)
    assert out.any() == mask.any()


def test_enlarging_is_nearest_by_pixel_centres() -> None:
    mask = np.array([[False, True, False]])
    # 3 -> 5: centres at .3 .9 1.5 2.1 2.7, so the middle pixel's alone; floor(i * 3 / 5) would set two.
    np.testing.assert_array_equal(mask_to_original(mask, (2, 5)), [[False, False, True, False, False]] * 2)
    np.testing.assert_array_equal(mask_to_original(mask, (1, 6)), [[False, False, True, True, False, False]])


def test_a_small_image_keeps_every_map_pixel() -> None:
    for i in range(7):
        mask = np.zeros((7, 7), bool)
        mask[i, 6 - i] = True
        assert mask_to_original(mask, (3, 2)).sum() == 1
        assert mask_to_original(mask, (1, 1)).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_an_image_has_at_least_one_pixel(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="original_size"):
        decide(np.ones((4, 4), np.uint16), 0, 1, original_size=size)


# --- the verdict --------------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Levels, NDArray[np.bool_] | None, Box | None, tuple[int, int] | None]:
    q = draw(maps)
    height, width = q.shape
    roi = draw(st.none() | hnp.arrays(np.bool_, q.shape))
    box = None
    if draw(st.booleans()):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        box = Box(top, left, draw(st.integers(1, height - top)), draw(st.integers(1, width - left)))
    size = draw(st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40)))
    return q, roi, box, size


thresholds = st.one_of(st.integers(0, 5), st.integers(0, 65534), st.just(MAX_LEVEL))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(scene=scenes(), threshold=thresholds, min_area=st.integers(1, 12))
@example(scene=(np.full((3, 3), 9, np.uint16), np.zeros((3, 3), bool), None, (1, 1)), threshold=0, min_area=1)
def test_rejected_exactly_when_the_mask_is_not_empty(
    scene: tuple[Levels, NDArray[np.bool_] | None, Box | None, tuple[int, int] | None],
    threshold: int,
    min_area: int,
) -> None:
    q, roi, box, size = scene
    before = q.copy()
    decision = decide(q, threshold, min_area, roi=roi, original_size=size, content_box=box)
    np.testing.assert_array_equal(q, before)

    judged = q.copy()
    if roi is not None:
        judged[~roi] = 0
    box = box or Box(0, 0, *q.shape)
    outside = np.ones(q.shape, bool)
    outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    judged[outside] = 0

    assert decision.score_level == reference_score(judged, min_area)
    assert decision.threshold_level == threshold
    assert decision.rejected == (decision.score_level > threshold)
    assert decision.rejected == map_mask(judged, threshold, min_area).any()
    assert decision.rejected == decision.mask.any()
    assert decision.rejected == (len(decision.regions) > 0)
    assert decision.mask.shape == (size or (box.height, box.width))
    assert decision.mask.dtype == np.bool_
    if decision.rejected:
        assert decision.regions[0].level == decision.score_level


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(scene=scenes(), threshold=st.integers(0, 4), min_area=st.integers(1, 5))
def test_regions_describe_the_mask(
    scene: tuple[Levels, NDArray[np.bool_] | None, Box | None, tuple[int, int] | None],
    threshold: int,
    min_area: int,
) -> None:
    q, _, box, size = scene
    decision = decide(q, threshold, min_area, original_size=size, content_box=box)
    box = box or Box(0, 0, *q.shape)
    content = q[box.top : box.top + box.height, box.left : box.left + box.width]
    size = size or content.shape
    assert size is not None

    labels, count = scipy.ndimage.label(reference_mask(content, threshold, min_area), structure=EIGHT)
    assert len(decision.regions) == count
    expected: list[tuple[Any, ...]] = []
    union = np.zeros(size, bool)
    for label in range(1, count + 1):
        levels = np.where(labels == label, content, 0).astype(np.uint16)
        pixels = reference_to_original(labels == label, *size)
        union |= pixels
        rows, cols = np.nonzero(pixels)
        peak_row, peak_col = np.unravel_index(levels.argmax(), levels.shape)
        expected.append(
            (
                *(cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1, len(rows)),
                *(reference_score(levels, min_area), levels.max()),
                int((peak_col + 0.5) * size[1] / box.width),
                int((peak_row + 0.5) * size[0] / box.height),
                *(round(cols.mean(), 6), round(rows.mean(), 6)),
            )
        )
    found: list[tuple[Any, ...]] = [
        (
            *(r.x, r.y, r.width, r.height, r.area, r.level, r.peak_level, r.peak_x, r.peak_y),
            *(round(r.centroid_x, 6), round(r.centroid_y, 6)),
        )
        for r in decision.regions
    ]
    assert sorted(found) == sorted(expected)
    np.testing.assert_array_equal(decision.mask, union)
    strengths = [(-r.level, -r.peak_level, -r.area) for r in decision.regions]
    assert strengths == sorted(strengths)
    for r in decision.regions:
        assert decision.mask[r.peak_y, r.peak_x]


def test_a_decision_by_hand_at_twice_the_size() -> None:
    q = np.zeros((6, 8), np.uint16)
    q[1:3, 1:4] = [[10, 10, 10], [10, 30, 10]]
    q[4, 6:8] = [90, 12]  # the highest peak, but not the highest pair of pixels' reach
    decision = decide(q, 9, 2, original_size=(12, 16))
    assert decision.rejected
    assert decision.score_level == 12
    small, large = decision.regions
    assert (small.level, small.peak_level, small.area) == (12, 90, 8)
    assert (small.x, small.y, small.width, small.height) == (12, 8, 4, 2)
    assert (small.peak_x, small.peak_y) == (13, 9)
    assert (large.level, large.peak_level, large.area) == (10, 30, 24)
    assert (large.x, large.y, large.width, large.height) == (2, 2, 6, 4)
    assert (large.centroid_x, large.centroid_y) == (4.5, 3.5)
    expected = np.zeros((12, 16), bool)
    expected[2:6, 2:8] = expected[8:10, 12:16] = True
    np.testing.assert_array_equal(decision.mask, expected)

    assert not decide(q, 12, 2).rejected  # score == threshold: accepted
    assert decide(q, 89, 1).rejected
    assert not decide(q, 90, 1).rejected


def test_two_regions_that_meet_in_one_original_pixel_both_count_it() -> None:
    q = np.array([[5, 0, 6, 0]], np.uint16)
    decision = decide(q, 1, 1, original_size=(1, 1))
    assert [r.area for r in decision.regions] == [1, 1]
    assert [r.peak_level for r in decision.regions] == [6, 5]
    assert decision.mask.sum() == 1


def test_the_highest_threshold_rejects_nothing() -> None:
    assert not decide(np.full((8, 8), MAX_LEVEL, np.uint16), MAX_LEVEL, 1).rejected
    assert decide(np.full((8, 8), MAX_LEVEL, np.uint16), MAX_LEVEL - 1, 64).rejected


@pytest.mark.parametrize("threshold", [-1, MAX_LEVEL + 1])
def test_a_threshold_is_a_level(threshold: int) -> None:
    for call in (lambda q: map_mask(q, threshold, 1), lambda q: decide(q, threshold, 1)):
        with pytest.raises(ValueError, match="threshold"):
            call(np.zeros((4, 4), np.uint16))
    with pytest.raises(TypeError):
        decide(np.zeros((4, 4), np.uint16), 1.5, 1)  # type: ignore[arg-type]

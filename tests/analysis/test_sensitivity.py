"""Sensitivity: painted defects compared with plain computations, counts with individual verdicts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brute

from padim import CalibrationError, Cancelled, ImageError, Padim, PadimConfig, PadimError
from padim.analysis.detection_curve import curve_of
from padim.analysis.sensitivity import Sensitivity, default_sizes, measure
from padim.analysis.synthetic_defects import KINDS, DefectKind, Look, footprint, paint
from padim.data.preprocess import Box, Preprocess
from padim.decision.prediction import decide
from tests.parts import RGB, defects, normals, part

SIDE = 48
GREY: RGB = np.full((SIDE, SIDE, 3), 128, np.uint8)
WHOLE = Box(0, 0, SIDE, SIDE)

# Others may be at work on the machine.
unhurried = settings(deadline=None)
kinds = st.sampled_from(KINDS)
sizes = st.floats(1, 40)
coordinates = st.floats(0, SIDE - 1e-3)
looks = st.integers(0, 2**32).map(lambda seed: Look.drawn(np.random.default_rng(seed)))


# --- painting ---


@unhurried
@given(
    kind=kinds, size=sizes, contrast=st.floats(0, 1), look=looks, x=coordinates, y=coordinates,
    seed=st.integers(0, 50),
)  # fmt: skip
def test_nothing_changes_outside_the_painted_area(
    kind: DefectKind, size: float, contrast: float, look: Look, x: float, y: float, seed: int
) -> None:
    rgb = part(seed, size=(SIDE, SIDE))
    before = rgb.copy()
    painted, area = paint(rgb, kind, size, contrast, look, x, y)
    assert np.array_equal(rgb, before), "the image given is left alone"
    assert painted.dtype == np.uint8
    assert np.array_equal(painted[~area], rgb[~area])
    again, same = paint(rgb, kind, size, contrast, look, x, y)
    assert np.array_equal(painted, again)
    assert np.array_equal(area, same)
    rows, columns = np.nonzero(area)
    reach = size / 2 * math.sqrt(2) + 1
    assert (np.abs(rows + 0.5 - y) <= reach + 0.5).all()
    assert (np.abs(columns + 0.5 - x) <= reach + 0.5).all()


@unhurried
@given(kind=kinds, size=sizes, look=looks, x=coordinates, y=coordinates)
def test_no_contrast_changes_nothing(kind: DefectKind, size: float, look: Look, x: float, y: float) -> None:
    rgb = part(4, size=(SIDE, SIDE))
    assert np.array_equal(paint(rgb, kind, size, 0, look, x, y)[0], rgb)


@unhurried
@given(kind=kinds, size=st.floats(3, 40), look=looks, x=coordinates, y=coordinates)
def test_something_is_painted_and_never_on_the_padding(
    kind: DefectKind, size: float, look: Look, x: float, y: float
) -> None:
    box = Box(8, 0, 30, SIDE)
    painted, area = paint(GREY, kind, size, 0.5, look, x, y, box)
    assert not area[:8].any()
    assert not area[38:].any()
    assume(8 + 1 < y < 38 - 1)
    assert area.any()
    assert (painted != GREY).any()


@unhurried
@given(kind=kinds, size=st.floats(1, 30), look=looks, x=st.floats(15, 33), y=st.floats(15, 33))
def test_weights_are_continuous_in_size_and_place(
    kind: DefectKind, size: float, look: Look, x: float, y: float
) -> None:
    def weights(size: float, x: float, y: float) -> Any:
        window, weight = footprint(kind, size, look, x, y, WHOLE)
        whole = np.zeros((SIDE, SIDE))
        whole[window.top : window.top + window.height, window.left : window.left + window.width] = weight
        return whole

    here = weights(size, x, y)
    assert np.abs(here).max() <= 1 + 1e-9
    step = 1e-4
    for there in (weights(size + step, x, y), weights(size, x + step, y), weights(size, x, y - step)):
        assert np.abs(there - here).max() <= 40 * step


@pytest.mark.parametrize(
    ("kind", "area"),
    [("spot", math.pi / 4), ("missing", 1.0), ("scratch", 0.1)],
)
@pytest.mark.parametrize("size", [2.0, 7.3, 20.0])
def test_as_much_is_covered_as_the_shape_is_large(kind: DefectKind, area: float, size: float) -> None:
    look = Look(0.0)
    _, weight = footprint(kind, size, look, 24.3, 23.6, WHOLE)
    assert weight.sum() == pytest.approx(area * size**2, rel=0.1)
    if kind != "spot":  # along the axes the coverage of pixels is exact
        inside = np.linspace(0, SIDE, SIDE * 64, endpoint=False) + 1 / 128
        thick = size * (1 if kind == "missing" else 0.1)
        covered = [
            (np.abs(inside - middle) <= width / 2).reshape(SIDE, 64).mean(axis=1)
            for middle, width in ((24.3, size), (23.6, thick))
        ]
        brute_force = np.outer(covered[1], covered[0])
        window, weight = footprint(kind, size, look, 24.3, 23.6, WHOLE)
        found = brute_force[window.top : window.top + window.height, window.left : window.left + window.width]
        assert found.sum() == pytest.approx(brute_force.sum())
        if thick >= 1:
            assert weight == pytest.approx(found, abs=0.04)


@pytest.mark.parametrize("kind", ["spot", "scratch", "missing"])
def test_contrast_is_a_share_of_black_to_white(kind: DefectKind) -> None:
    for brighter, sign in ((True, 1), (False, -1)):
        painted, _ = paint(GREY, kind, 30, 0.2, Look(0.0, brighter), 24, 24)
        assert painted[24, 24].tolist() == [128 + sign * 51] * 3


def test_a_dent_is_bright_here_and_dark_there_and_reaches_its_contrast() -> None:
    painted, _ = paint(GREY, "dent", 30, 0.2, Look(0.0), 24, 24)
    change = painted[..., 0].astype(int) - 128
    assert change.max() == pytest.approx(51, abs=1)
    assert change.min() == pytest.approx(-51, abs=1)
    assert np.argmax(change.max(axis=0)) > 24 > np.argmin(change.min(axis=0))
    assert change.sum() == 0


def test_a_stain_takes_most_from_blue() -> None:
    painted, area = paint(GREY, "stain", 30, 0.2, Look(0.0), 24, 24)
    lost = (128 - painted[area].astype(int)).sum(axis=0)
    assert lost[0] < lost[1] < lost[2]


def test_a_missing_patch_has_no_texture_left() -> None:
    rgb = part(2, size=(SIDE, SIDE))
    painted, _ = paint(rgb, "missing", 20, 0.5, Look(0.0), 24, 24)
    assert painted[16:32, 16:32].std(axis=(0, 1)).max() < 1
    assert rgb[16:32, 16:32].std(axis=(0, 1)).max() > 5


def test_where_there_is_no_room_for_darker_it_is_brighter() -> None:
    dark = np.full_like(GREY, 10)
    assert paint(dark, "spot", 20, 0.2, Look(0.0, False), 24, 24)[0][24, 24, 0] == 61
    assert paint(dark, "spot", 20, 0.02, Look(0.0, False), 24, 24)[0][24, 24, 0] == 5
    bright = np.full_like(GREY, 250)
    assert paint(bright, "spot", 20, 0.2, Look(0.0, True), 24, 24)[0][24, 24, 0] == 199


@pytest.mark.parametrize(
    ("kind", "size", "contrast", "expected"),
    [("crack", 5, 0.1, "crack"), ("spot", 0.5, 0.1, "size"), ("spot", math.nan, 0.1, "size"),
     ("spot", 5, 1.1, "contrast"), ("spot", 5, -0.1, "contrast"), ("spot", 5, math.nan, "contrast")],
)  # fmt: skip
def test_what_cannot_be_painted_is_refused(kind: Any, size: float, contrast: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        paint(GREY, kind, size, contrast, Look(), 24, 24)


# --- curves ---


@unhurried
@given(
    counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=7),
)
@example(counts=[(0, 30), (30, 30)])
@example(counts=[(30, 30), (0, 30)])
@example(counts=[(0, 0), (3, 5)])
def test_what_a_curve_says_agrees_with_the_counts(counts: list[tuple[int, int]]) -> None:
    values = [2.0**i for i in range(len(counts))]
    caught, tried = zip(*((min(pair), max(pair)) for pair in counts), strict=True)
    curve = curve_of(values, caught, tried)
    shares = {v: k / n for v, k, n in zip(values, caught, tried, strict=True) if n}
    assert [rate.count for rate in curve.rates] == list(caught)
    if curve.slope is not None:
        assert curve.slope >= 0
        fitted = curve.share(values)
        assert fitted is not None
        assert (np.diff(fitted) >= -1e-12).all()
        assert fitted @ np.array(tried) == pytest.approx(sum(caught), abs=1e-2 * sum(tried))
    for figure in (curve.at_50, curve.at_90, curve.smallest):
        assert (figure.value is None) == bool(figure.why)
    if curve.at_50.value is not None and curve.at_90.value is not None:
        assert curve.at_50.value <= curve.at_90.value
    for figure in (curve.at_50, curve.at_90):
        assert not (figure.below and figure.value is not None)
        assert figure.value is None or values[0] <= figure.value <= values[-1]
    naive = [v for v in shares if all(share >= 0.9 for w, share in shares.items() if w >= v)]
    assert curve.smallest.value == (min(naive) if naive else None)


def test_the_fit_is_the_most_likely_curve() -> None:
    values, caught, tried = [4, 8, 16, 32, 64], [1, 6, 22, 37, 40], [40] * 5
    curve = curve_of(values, caught, tried)

    def unlikely(parameters: Any) -> float:
        z = parameters[0] + parameters[1] * np.log(values)
        return float(np.sum(np.array(tried) * np.logaddexp(0, z) - np.array(caught) * z))

    # The penalty of such a moderate slope is negligible.
    best = brute(unlikely, (slice(-12, 0, 0.1), slice(0, 5, 0.05)), full_output=False)
    assert (curve.intercept, curve.slope) == pytest.approx(tuple(best), abs=0.02)
    assert curve.at_50.value == pytest.approx(math.exp(-best[0] / best[1]), rel=0.01)
    assert curve.at_90.value == pytest.approx(math.exp((math.log(9) - best[0]) / best[1]), rel=0.01)


def test_known_curves_are_found_again() -> None:
    rng = np.random.default_rng(3)
    values = np.geomspace(4, 64, 9)
    truth = 1 / (1 + np.exp(-3 * np.log(values / 15)))
    caught = rng.binomial(2000, truth)
    curve = curve_of(values.tolist(), caught.tolist(), [2000] * 9)
    assert curve.at_50.value == pytest.approx(15, rel=0.03)
    assert curve.at_90.value == pytest.approx(15 * 9 ** (1 / 3), rel=0.04)


def test_blind_places_leave_no_size_caught_at_ninety() -> None:
    curve = curve_of([4, 8, 16, 32], [0, 20, 32, 32], [40] * 4)
    assert curve.at_50.value == pytest.approx(8)
    assert curve.at_90.value is None
    assert "even at 32" in curve.at_90.why
    assert not curve.at_90.below
    assert curve_of([4, 8], [30, 40], [40] * 2).at_50.below
    assert curve.smallest.value is None


def test_curves_of_nothing_are_refused_or_say_so() -> None:
    assert curve_of([4], [0], [0]).at_50.why == "nothing was tried"
    for wrong in (([], [], []), ([4, 4], [0, 0], [1, 1]), ([0, 1], [0, 0], [1, 1]), ([4], [0, 1], [1])):
        with pytest.raises(ValueError, match="curve"):
            curve_of(*wrong)


# --- the measurement ---

FEW: dict[str, Any] = {"sizes": (4, 12, 30), "contrasts": (0.1, 0.5), "places": 3, "cells": 2}


@pytest.fixture(scope="module")
def measurement(small_model: Padim) -> Sensitivity:
    return measure(small_model, normals(8, first=100), **FEW)


@pytest.mark.slow
def test_every_trial_is_what_scoring_the_painted_image_gives(
    small_model: Padim, measurement: Sensitivity
) -> None:
    images = dict(normals(8, first=100))
    rng = np.random.default_rng(0)
    level, min_area = small_model.threshold_level, small_model.config.min_area
    for place in rng.permutation(len(measurement.places))[:6]:
        name = measurement.images[measurement.image_of[place]]
        (bare,) = small_model.predict([(name, images[name])])
        rgb = Preprocess((64, 64))(part(int(name[5:8])))
        look = Look.drawn(_after_place(measurement.seed, place))
        x, y = measurement.places[place]
        for kind in KINDS:
            painted, area = paint(rgb, kind, 12, 0.5, look, x, y)
            q = small_model.state.score_arrays(painted[None], small_model.config.min_area)[0][0]
            mask = decide(q, level, min_area).mask
            void = bool((decide(bare.levels, level, min_area).mask & area).any())
            index = (place, KINDS.index(kind), 1, 1)
            assert measurement.void[index] == void
            assert measurement.rejected[index] == mask.any()
            assert measurement.caught[index] == (not void and (mask & area).any())


def _after_place(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of a place after its two coordinates were drawn."""
    rng = np.random.default_rng([seed, 1, index])
    rng.random()
    rng.random()
    return rng


def test_bigger_and_stronger_is_caught_more_often(measurement: Sensitivity) -> None:
    by_size = measurement.caught.mean(axis=(0, 1, 3))
    by_contrast = measurement.caught.mean(axis=(0, 1, 2))
    assert by_size[0] < by_size[1] < by_size[2]
    assert by_contrast[0] < by_contrast[1]
    assert measurement.rate("spot", 30, 0.5).share > 0.9
    assert measurement.rate("spot", 4, 0.1).share < 0.5


@pytest.mark.slow
def test_counts_are_those_of_the_trials(measurement: Sensitivity) -> None:
    assert measurement.caught.shape == (24, 5, 3, 2)
    assert not (measurement.caught & measurement.void).any()
    assert not (measurement.caught & ~measurement.rejected).any()
    for i, kind in enumerate(KINDS):
        for j, size in enumerate(measurement.sizes):
            for k, contrast in enumerate(measurement.contrasts):
                rate = measurement.rate(kind, size, contrast)
                assert rate.count == sum(bool(caught) for caught in measurement.caught[:, i, j, k])
                assert rate.of == sum(not void for void in measurement.void[:, i, j, k])
                assert measurement.over_size(kind, contrast).rates[j] == rate
                assert measurement.over_contrast(kind, size).rates[k] == rate
    share, places = measurement.by_place()
    assert places.sum() == 24
    assert places.min() >= 5, "a fair share of the places in each cell"
    tried = ~measurement.void
    for row in range(2):
        for column in range(2):
            here = [
                r
                for r, (x, y) in enumerate(measurement.places)
                if (y >= 32) == bool(row) and (x >= 32) == bool(column)
            ]
            assert places[row, column] == len(here)
            assert share[row, column] == pytest.approx(measurement.caught[here].sum() / tried[here].sum())
    assert measurement.share == pytest.approx(measurement.caught.sum() / tried.sum())
    only, _ = measurement.by_place("dent")
    assert not np.array_equal(only, share)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_counts_and_another_does_not(
    small_model: Padim, measurement: Sensitivity
) -> None:
    again = measure(small_model, iter(normals(8, first=100)), **FEW)
    assert np.array_equal(again.places, measurement.places)
    assert np.array_equal(again.caught, measurement.caught)
    assert np.array_equal(again.rejected, measurement.rejected)
    fewer = measure(small_model, normals(2, first=100), **FEW)
    assert np.array_equal(fewer.caught, measurement.caught[:6]), (
        "an image's trials do not depend on the others"
    )
    other = measure(small_model, normals(2, first=100), **FEW, seed=1)
    assert not np.array_equal(other.places, fewer.places)


def test_centers_are_inside_the_region_of_interest(saved_model: Path, tmp_path: Path) -> None:
    model = Padim.load(saved_model, work_dir=tmp_path)
    roi = np.zeros((64, 64), bool)
    roi[10:40, 5:25] = True
    model.set_roi(roi)
    found = measure(model, normals(3, first=100), kinds=("spot",), sizes=(20,), contrasts=(0.5,), places=20)
    x, y = found.places.T
    assert ((x >= 5) & (x < 25) & (y >= 10) & (y < 40)).all()
    assert len(np.unique(np.floor(found.places), axis=0)) > 30
    share, places = found.by_place()
    assert np.isnan(share[places == 0]).all()
    assert np.isfinite(share[places > 0]).all()


def test_padding_is_never_painted_on(tmp_path: Path) -> None:
    config = PadimConfig(
        input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8, fit="pad"
    )
    model = Padim(config, work_dir=tmp_path).fit(normals(6, size=(96, 48)))
    found = measure(model, normals(2, first=100, size=(96, 48)), sizes=(8,), contrasts=(0.3,), places=15)
    assert ((found.places[:, 0] >= 16) & (found.places[:, 0] < 48)).all()
    assert found.scale == (1.5, 1.5)


def test_images_of_the_fit_are_passed_over(small_model: Padim) -> None:
    settings: dict[str, Any] = {"kinds": ("spot",), "sizes": (8,), "contrasts": (0.2,)}
    found = measure(small_model, [*normals(3), *normals(2, first=100)], **settings)
    assert (found.in_fit, len(found.images)) == (3, 2)
    with pytest.raises(PadimError, match="fitted on 3 of them"):
        measure(small_model, normals(3), **settings)
    with pytest.raises(PadimError, match="could be used"):
        measure(small_model, [], **settings)


def test_kept_out_parts_are_used_and_bad_ones_not(small_config: PadimConfig, tmp_path: Path) -> None:
    model = Padim(small_config, work_dir=tmp_path).fit(normals(8))
    model.exclude(0, "kept_out")
    model.exclude(1, "not_good")
    found = measure(model, normals(8), kinds=("spot",), sizes=(8,), contrasts=(0.2,))
    assert found.images == ("good_000.png",)
    assert (found.in_fit, found.not_good) == (6, 1)


def test_where_the_bare_image_alarms_nothing_is_counted(small_model: Padim) -> None:
    found = measure(small_model, defects(4), kinds=("missing",), sizes=(40,), contrasts=(0.01,), places=10)
    assert found.bare_rejected == 4
    assert found.void.any()
    assert not found.caught[found.void].any()
    rate = found.rate("missing", 40, 0.01)
    assert rate.of == 40 - found.void.sum()


def test_a_region_elsewhere_catches_nothing(small_model: Padim) -> None:
    found = measure(small_model, defects(4), kinds=("spot",), sizes=(5,), contrasts=(0.005,), places=10)
    assert found.rejected.all()
    assert (~found.void).sum() > 20
    assert not found.caught.any()


def test_no_more_images_are_read_than_needed(small_model: Padim) -> None:
    read = []

    def endless() -> Any:
        for image in normals(30, first=100):
            read.append(image[0])
            yield image

    found = measure(
        small_model, endless(), kinds=("spot",), sizes=(8,), contrasts=(0.2,), most_images=3, places=1
    )
    assert len(found.images) == 3
    assert len(read) <= 6


def test_progress_reaches_its_end_and_cancel_stops(small_model: Padim) -> None:
    report: list[tuple[int, int | None, str]] = []
    settings: dict[str, Any] = {"sizes": (8,), "contrasts": (0.2,)}
    images = normals(3, first=100)
    measure(small_model, images, **settings, progress=lambda *at: report.append(at))
    done = [at[0] for at in report]
    assert done == sorted(done)
    assert report[-1] == (30, 30, "Measuring sensitivity")
    with pytest.raises(Cancelled):
        measure(small_model, images, **settings, cancel=lambda: True)


def test_broken_images_are_handed_over_or_raise(small_model: Padim) -> None:
    settings: dict[str, Any] = {"kinds": ("spot",), "sizes": (8,), "contrasts": (0.2,)}
    bad: list[ImageError] = []
    images = [("broken.png", b"no image"), *normals(1, first=100)]
    found = measure(small_model, images, **settings, on_error=bad.append)
    assert [error.name for error in bad] == ["broken.png"]
    assert len(found.images) == 1
    with pytest.raises(ImageError, match=r"broken\.png"):
        measure(small_model, images, **settings)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"kinds": ("crack",)}, "crack"),
        ({"kinds": ()}, "scratch"),
        ({"kinds": ("spot", "spot")}, "once"),
        ({"sizes": (8, 4)}, "sizes"),
        ({"sizes": (0.5,)}, "sizes"),
        ({"sizes": (65,)}, "sizes"),
        ({"sizes": ()}, "sizes"),
        ({"contrasts": (0.0, 0.1)}, "contrasts"),
        ({"contrasts": (1.5,)}, "contrasts"),
        ({"places": 0}, "places"),
        ({"most_images": 0}, "most images"),
        ({"cells": 0}, "cells"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_one_sentence(
    small_model: Padim, wrong: dict[str, Any], expected: str
) -> None:
    with pytest.raises(PadimError, match=expected):
        measure(small_model, normals(1, first=100), **wrong)


def test_a_model_without_a_threshold_is_refused(small_config: PadimConfig, tmp_path: Path) -> None:
    model = Padim(small_config, work_dir=tmp_path).fit(normals(2))
    with pytest.raises(CalibrationError, match="threshold"):
        measure(model, normals(1, first=100))


def test_default_sizes_follow_the_input() -> None:
    assert default_sizes((256, 256)) == (4, 8, 16, 32, 64)
    assert default_sizes((32, 32))[0] == 1


@unhurried
@given(seed=st.integers(0, 1000))
def test_a_look_is_drawn_by_its_seed(seed: int) -> None:
    one, other = (Look.drawn(np.random.default_rng(seed)) for _ in range(2))
    assert one == other
    assert 0 <= one.angle < 2 * math.pi

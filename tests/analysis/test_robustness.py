"""Altered images compared with plain computations, counts with individual verdicts; tolerated changes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from padim import Cancelled, ImageError, Padim, PadimConfig, PadimError
from padim.analysis.image_changes import KINDS, SEVERITIES, ChangeKind, alter, words
from padim.analysis.robustness import Robustness, Series, measure
from padim.data.preprocess import Box
from padim.decision.operating_points import Rate
from padim.decision.scorer import Scorer
from tests.parts import RGB, defects, normals, part

RGB_PART: RGB = part(3, size=(60, 80))

# Others may be at work on the machine.
unhurried = settings(deadline=None)
kinds = st.sampled_from(KINDS)


# --- altering ---


@unhurried
@given(kind=kinds, seed=st.integers(0, 2**64))
def test_severity_0_is_the_image_to_the_bit(kind: ChangeKind, seed: int) -> None:
    assert np.array_equal(alter(RGB_PART, kind, 0, seed), RGB_PART)


@unhurried
@given(kind=kinds, share=st.floats(0.05, 1), seed=st.integers(0, 2**64))
def test_altering_is_repeatable_and_leaves_the_original_alone(
    kind: ChangeKind, share: float, seed: int
) -> None:
    before = RGB_PART.copy()
    severity = share * SEVERITIES[kind][-1]
    one, other = (alter(RGB_PART, kind, severity, seed) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.dtype == np.uint8
    assert one.shape == RGB_PART.shape
    assert np.array_equal(before, RGB_PART)


@pytest.mark.parametrize("kind", KINDS)
def test_more_is_farther_from_the_original(kind: ChangeKind) -> None:
    off = [
        np.abs(alter(RGB_PART, kind, severity, 5).astype(int) - RGB_PART).mean()
        for severity in SEVERITIES[kind][:3]
    ]
    assert 0 < off[0] < off[1] < off[2]


def test_twice_the_light_is_twice_the_linear_value() -> None:
    linear = (RGB_PART / 255.0) ** 2.2
    changes: tuple[tuple[ChangeKind, float], ...] = (("brighter", 1.3), ("darker", 0.7))
    for kind, factor in changes:
        expected = 255 * np.minimum(1, linear * factor) ** (1 / 2.2)
        assert alter(RGB_PART, kind, 30) == pytest.approx(expected, abs=0.51)


def test_gamma_and_contrast_are_their_formulas() -> None:
    assert alter(RGB_PART, "gamma", 20) == pytest.approx(255 * (RGB_PART / 255) ** 1.2, abs=0.51)
    mean = RGB_PART.mean()
    flat = alter(RGB_PART, "flatter", 25)
    assert flat == pytest.approx(mean + 0.75 * (RGB_PART - mean), abs=0.51)
    assert np.ptp(alter(RGB_PART, "flatter", 100)) == 0


def test_blur_is_a_gaussian_of_that_width() -> None:
    for sigma in (0.7, 2.0):
        expected = gaussian_filter(RGB_PART.astype(float), (sigma, sigma, 0), mode="mirror")
        assert alter(RGB_PART, "blur", sigma) == pytest.approx(expected, abs=1.6)


def test_noise_has_that_standard_deviation_and_is_the_same_noise_at_every_severity() -> None:
    gray = np.full((100, 100, 3), 128, np.uint8)
    little, much = (alter(gray, "noise", sd, 3).astype(float) - 128 for sd in (5, 10))
    assert little.std() == pytest.approx(5, rel=0.03)
    assert much.std() == pytest.approx(10, rel=0.03)
    assert abs(little.mean()) < 0.2
    assert np.corrcoef(little.ravel(), much.ravel())[0, 1] > 0.99
    assert not np.array_equal(alter(gray, "noise", 5, 4), alter(gray, "noise", 5, 3))
    at_once = 128 + 10 * np.random.default_rng(3).standard_normal(gray.shape, np.float32)
    assert np.array_equal(alter(gray, "noise", 10, 3), np.clip(np.rint(at_once), 0, 255))


def test_jpeg_is_that_of_the_quality() -> None:
    file = io.BytesIO()
    Image.fromarray(RGB_PART).save(file, "JPEG", quality=40)
    assert np.array_equal(alter(RGB_PART, "jpeg", 60), np.array(Image.open(file)))


def test_a_shift_displaces_the_image_that_far() -> None:
    y, x = np.mgrid[0:101, 0:101]
    blob = 200 * np.exp(-((x - 50) ** 2 + (y - 50) ** 2) / 50)
    rgb = np.repeat(np.rint(blob)[..., None], 3, axis=2).astype(np.uint8)

    def center(rgb: RGB) -> Any:
        weight = rgb[..., 0].astype(float)
        return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()

    moves = [center(alter(rgb, "shift", 8, seed)) - center(rgb) for seed in range(8)]
    assert [math.hypot(*move) for move in moves] == pytest.approx([8] * 8, abs=0.1)
    assert len({round(math.atan2(*move), 1) for move in moves}) > 4, "in directions of their own"
    half = center(alter(rgb, "shift", 4, 0)) - center(rgb)
    assert half == pytest.approx(moves[0] / 2, abs=0.1)


def test_a_rotation_turns_about_the_middle_one_way_or_the_other() -> None:
    rgb = np.zeros((101, 101, 3), np.uint8)
    rgb[48:53, 78:83] = 255
    angles = []
    for seed in range(12):
        rows, columns = np.nonzero(alter(rgb, "rotation", 30, seed)[..., 0] > 127)
        assert math.hypot(rows.mean() - 50, columns.mean() - 50) == pytest.approx(30, abs=0.5)
        angles.append(math.degrees(math.atan2(rows.mean() - 50, columns.mean() - 50)))
    assert {round(angle / 10) * 10 for angle in angles} == {30, -30}


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_one_pixel_wide_is_altered_too(kind: ChangeKind, shape: tuple[int, int]) -> None:
    line = RGB_PART[: shape[0], : shape[1]].copy()
    assert alter(line, kind, SEVERITIES[kind][-1]).shape == (*shape, 3)


@pytest.mark.parametrize(
    ("kind", "severity"), [("fog", 1), ("blur", -1), ("darker", 100), ("jpeg", math.nan)]
)
def test_what_cannot_be_altered_is_refused(kind: Any, severity: float) -> None:
    with pytest.raises(ValueError, match=kind):
        alter(RGB_PART, kind, severity)


def test_severities_are_stated_in_their_units() -> None:
    assert words("jpeg", 60) == "quality 40"
    assert words("shift", 2) == "2 px"
    assert words("rotation", 0.5) == "0.5°"
    assert words("darker", 20.0) == "20 % less light"
    assert words("blur", 0) == "as it is"


# --- tolerated changes ---


def series(rejected: list[int], caught: list[int], good: int = 40, bad: int = 40) -> Series:
    severities = tuple(map(float, range(len(rejected))))
    return Series(
        "blur",
        severities,
        tuple(Rate.counted(k, good) for k in rejected),
        tuple(Rate.counted(k, bad) for k in caught),
        {},
    )


@pytest.mark.parametrize(
    ("rejected", "caught", "severity", "at_least", "why"),
    [
        ([2, 2, 4, 18], [40, 40, 40, 40], 2, False, "18 of 40 good"),
        ([2, 2, 4, 4], [40, 40, 38, 38], 1, False, "38 of 40 defects are caught, not 40"),
        ([0, 18, 0, 0], [40, 40, 40, 40], 0, False, "at 1 px sigma 18 of 40"),
        ([0, 0, 0, 0], [36, 37, 36, 40], 3, True, ""),
        ([18, 0, 0, 0], [40, 40, 40, 40], None, False, "as it is"),
        ([0, 0, 14, 0], [40, 40, 0, 40], 1, False, "good parts are rejected and 0 of 40"),
        # A severity that wavers is not believed: the monotone estimate of 6, 3, 6 is 4.5, 4.5, 6 of 40.
        ([0, 6, 3, 6], [40, 40, 40, 40], 2, False, "6 of 40"),
    ],
)
def test_a_severity_is_tolerated_only_with_all_milder_ones(
    rejected: list[int], caught: list[int], severity: float | None, at_least: bool, why: str
) -> None:
    found = series(rejected, caught).tolerance(0.12, 0.05)
    assert (found.severity, found.at_least) == (severity, at_least)
    assert why in found.why
    assert bool(found.why) != found.at_least


def test_a_tie_with_the_limit_is_tolerated_and_a_loss_of_the_margin_is_not() -> None:
    assert series([0, 4], [40, 40]).tolerance(0.1, 0.05).severity == 1
    assert series([0, 5], [40, 40]).tolerance(0.1, 0.05).severity == 0
    assert series([0, 0], [40, 38]).tolerance(0.1, 0.05).severity == 0
    assert series([0, 0], [40, 38]).tolerance(0.1, 0.0501).severity == 1


def test_without_one_class_the_other_decides() -> None:
    assert series([0, 0], [40, 9], good=0).tolerance(0.1).severity == 0
    assert series([0, 9], [0, 0], bad=0).tolerance(0.1).severity == 0
    assert series([0, 9], [40, 40]).tolerance(None).severity == 1, "nothing is promised to good parts"
    nothing = series([0, 9], [0, 0], bad=0).tolerance(None)
    assert nothing.severity is None
    assert "promises nothing" in nothing.why
    assert "good parts" in series([0, 0], [0, 0], good=0, bad=0).tolerance(0.1).why
    for limit, margin in ((1.5, 0.1), (0.1, 0.0), (0.1, 2.0)):
        with pytest.raises(ValueError, match="margin"):
            series([0], [0]).tolerance(limit, margin)


@pytest.mark.parametrize("bad", [1, 15, 20])
def test_one_flip_never_sets_a_limit(bad: int) -> None:
    found = series([0, 0], [bad, bad - 1], good=0, bad=bad).tolerance(0.1, 0.05)
    assert found.severity is None
    assert f"too few defects to say: {bad}" in found.why
    assert "it takes 21" in found.why
    beside = series([0, 9], [bad, bad - 1], bad=bad).tolerance(0.1, 0.05)
    assert (beside.severity, beside.note) == (0, found.why.split(" and ")[-1])
    assert series([0, 0], [21, 20], bad=21).tolerance(0.1, 0.05).at_least, "one of 21 is under 5 %"
    assert "too few good parts to say: 7" in series([0, 1], [40, 40], good=7).tolerance(0.12, 0.05).note


# --- measuring ---

SOME: dict[ChangeKind, tuple[float, ...]] = {"darker": (5, 60), "noise": (30,), "shift": (1, 20)}


def kind_of(name: str) -> str:
    return "good" if name.startswith("good") else "chip" if name < "bad_003" else "scratch"


@pytest.fixture(scope="module")
def shift(small_model: Padim) -> Robustness:
    return measure(small_model, [*normals(6, first=100), *defects(5)], kind_of, severities=SOME)


def test_counts_are_those_of_scoring_each_altered_image(small_model: Padim, shift: Robustness) -> None:
    from padim.data.loading import content_hash

    level = small_model.threshold_level
    assert (shift.good, shift.defects, shift.in_fit) == (6, 5, 0)
    assert [one.kind for one in shift.series] == list(SOME)
    images = [*normals(6, first=100), *defects(5)]
    for one in shift.series:
        assert one.severities == (0, *SOME[one.kind])
        for at, severity in enumerate(one.severities):
            counts = {"good": 0, "chip": 0, "scratch": 0}
            for name, content in images:
                seed = int(name.split("_")[1][:3]) + (500 if name.startswith("bad") else 0)
                rgb = part(seed, defect=seed >= 500)
                own = [0, int(content_hash(content)[:16], 16)]
                (scored,) = small_model.predict([(name, alter(rgb, one.kind, severity, own))])
                counts[kind_of(name)] += scored.score_level > level
            assert one.false_rejects[at] == Rate.counted(counts["good"], 6)
            assert one.by_defect["chip"][at] == Rate.counted(counts["chip"], 3)
            assert one.by_defect["scratch"][at] == Rate.counted(counts["scratch"], 2)
            assert one.caught[at] == Rate.counted(counts["chip"] + counts["scratch"], 5)


def test_great_changes_reject_good_parts_and_small_ones_do_not(small_model: Padim, shift: Robustness) -> None:
    darker, noise, displaced = shift.series
    assert darker.caught[0].count == 5
    assert darker.false_rejects[0].count <= 1
    assert noise.false_rejects[-1].count == 6
    mild, great = displaced.false_rejects[1:]
    assert mild.count <= 1
    assert great.count == 6
    assert displaced.tolerance(0.2).severity == 1
    assert "too few good parts to say: 6" in displaced.tolerance(shift.limit).why
    assert shift.limit == small_model.false_reject_rate_.upper


def test_the_order_of_images_does_not_matter_and_the_seed_does(
    small_model: Padim, shift: Robustness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str, float, tuple[int, ...]]] = []

    def spy(rgb: RGB, kind: ChangeKind, severity: float, seed: list[int]) -> RGB:
        asked.append((int(rgb.sum()), kind, severity, tuple(seed)))
        return alter(rgb, kind, severity, seed)

    monkeypatch.setattr("padim.analysis.robustness.alter", spy)
    images = [*normals(6, first=100), *defects(5)]
    assert measure(small_model, iter(images[::-1]), kind_of, severities=SOME) == shift
    backwards, asked = asked, []
    measure(small_model, images, kind_of, severities=SOME)
    assert sorted(backwards) == sorted(asked)
    assert len({seed for *_, seed in asked}) == 11, "every image has its own"
    forwards, asked = asked, []
    measure(small_model, images, kind_of, severities=SOME, seed=1)
    assert {seed for *_, seed in asked}.isdisjoint(seed for *_, seed in forwards)


def test_good_images_of_the_fit_are_passed_over(small_model: Padim) -> None:
    few: dict[ChangeKind, tuple[float, ...]] = {"blur": (1.0,)}
    found = measure(small_model, [*normals(3), *normals(2, first=100)], severities=few)
    assert (found.good, found.defects, found.in_fit) == (2, 0, 3)
    with pytest.raises(PadimError, match="fitted on 3 of them"):
        measure(small_model, normals(3), severities=few)
    with pytest.raises(PadimError, match="could be used"):
        measure(small_model, [], severities=few)


def test_padded_images_are_scored_at_their_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PadimConfig(
        input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8, fit="pad"
    )
    model = Padim(config, work_dir=tmp_path).fit(normals(8, size=(96, 48)))
    good = normals(4, first=100, size=(96, 48))
    expected = sum(scored.score_level > model.threshold_level for scored in model.predict(good))
    boxes: list[Any] = []
    call = Scorer.__call__

    def spy(scorer: Scorer, rgb: RGB, content_boxes: Any = None, shown: Any = None) -> Any:
        boxes.extend(content_boxes)
        return call(scorer, rgb, content_boxes, shown)

    monkeypatch.setattr(Scorer, "__call__", spy)
    found = measure(model, good, severities={"darker": (50,)})
    assert found.series[0].false_rejects[0].count == expected
    assert set(boxes) == {Box(0, 16, 64, 32)}


def test_progress_reaches_its_end_and_cancel_stops(small_model: Padim) -> None:
    report: list[tuple[int, int | None, str]] = []
    images = [*normals(1), *normals(2, first=100), ("broken.png", b"no image")]
    bad: list[ImageError] = []
    few: dict[ChangeKind, tuple[float, ...]] = {"blur": (1.0, 2.0)}
    measure(small_model, images, severities=few, progress=lambda *at: report.append(at), on_error=bad.append)
    done = [at[0] for at in report]
    assert done == sorted(done)
    assert report[-1][:2] == (12, 12)
    assert [error.name for error in bad] == ["broken.png"]
    with pytest.raises(ImageError, match=r"broken\.png"):
        measure(small_model, images, severities=few)
    with pytest.raises(Cancelled):
        measure(small_model, images, severities=few, cancel=lambda: True)


@pytest.mark.parametrize("wrong", [{}, {"fog": (1,)}, {"blur": ()}, {"blur": (2, 1)}, {"darker": (0, 5)}])
def test_settings_out_of_range_are_one_sentence(small_model: Padim, wrong: dict[Any, Any]) -> None:
    with pytest.raises(PadimError, match=r"changes|severities"):
        measure(small_model, normals(1, first=100), severities=wrong)

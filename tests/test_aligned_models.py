"""Models that locate the part: from the reference, frozen at the fit, to verdicts, bundle and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim import Cancelled, Padim, PadimError
from padim.locating.errors import LocatingError
from padim.locating.settings import Align
from tests.parts import png
from tests.posed import any_pose, posed

BLANK = ("blank.png", np.full((120, 160, 3), 30, np.uint8))


def aligned(align: Any = "outline", **settings: Any) -> Padim:
    small = {"input_size": 64, "n_features": 20, "smoothing_sigma": 1.0, "min_area": 4, "feature_norm": "l2"}
    given = {**small, **settings}
    return Padim(align=align, **given)


@pytest.fixture(scope="module")
def model() -> Padim:
    return aligned().fit(any_pose(16))


def same(one: Padim, other: Padim) -> None:
    assert one.normals_ == other.normals_
    np.testing.assert_array_equal(one.state.fitted.held_out, other.state.fitted.held_out)
    assert one.threshold_level == other.threshold_level
    assert one.state.identity == other.state.identity


def test_the_reference_is_in_neither_fit_nor_calibration(model: Padim) -> None:
    first, *others = model.normals_
    assert first.status == "reference"
    assert {normal.status for normal in others} == {"fit"}
    assert model.false_reject_rate_.n == 15
    assert first.pose is not None
    assert (first.pose.shift, first.pose.turn) == pytest.approx((0, 0), abs=0.3)


def test_poses_are_those_of_the_images(model: Padim) -> None:
    (prediction,) = model.predict([posed(77, dx=9, dy=-5, turn=40)])
    assert prediction.pose is not None
    assert prediction.pose.turn == pytest.approx(40, abs=1)
    assert (prediction.pose.dx, prediction.pose.dy) == pytest.approx((9, -5), abs=1.5)


def test_a_part_that_lies_otherwise_is_accepted_and_its_defect_found(model: Padim) -> None:
    good = list(model.predict([image for _, image in any_pose(8, seed=5)]))
    assert sum(prediction.rejected for prediction in good) <= 2
    spot = 20, -6
    for turn in (0, 70, -130):
        (bad,) = model.predict([posed(900 + turn, dx=6, turn=turn, defect=spot)])
        assert bad.rejected
        # The mask, drawn on the original, is where the spot is.
        x, y = bad.regions[0].centroid_x + 0.5, bad.regions[0].centroid_y + 0.5
        angle = np.radians(turn)
        there = (
            80 + 6 + spot[0] * np.cos(angle) + spot[1] * np.sin(angle),
            60 - spot[0] * np.sin(angle) + spot[1] * np.cos(angle),
        )
        assert np.hypot(x - there[0], y - there[1]) < 10, "one grid position is 12 pixels"


def test_a_part_that_is_not_found_has_a_verdict_of_its_own(model: Padim) -> None:
    (prediction,) = model.predict([BLANK])
    assert prediction.lost
    assert prediction.verdict == "reject"
    assert not prediction.mask.any()
    assert not prediction.levels.any()
    assert any("not found" in reason for reason in prediction.reasons)


def test_review_can_be_chosen_for_parts_that_are_not_found() -> None:
    model = aligned({"method": "outline", "on_lost": "review"}).fit(any_pose(8))
    (prediction,) = model.predict([BLANK])
    assert prediction.verdict == "review"


def test_a_good_part_that_is_not_found_counts_as_a_false_reject() -> None:
    images = any_pose(16)
    model = aligned().fit([*images, BLANK])
    assert (model.normals_[16].status, model.normals_[16].pose) == ("kept_out", None)
    assert model.normals_[16].lost
    assert model.false_reject_rate_.above >= 1
    threshold = model.current_threshold
    assert threshold is not None, "one image without a part leaves a threshold"
    assert (threshold.supported, threshold.needed) == (False, 39)
    model.include(16)
    assert [normal.status for normal in model.normals_][16] == "kept_out", "it cannot be in the fit"
    model.exclude(16, "not_good")
    assert [normal.status for normal in model.normals_][16] == "not_good"
    model.include(16)
    assert [normal.status for normal in model.normals_][16] == "kept_out"


def test_saved_and_opened_it_scores_the_same(model: Padim, tmp_path: Path) -> None:
    for name in ("model", "model.zip"):
        opened = Padim.load(model.save(tmp_path / name))
        same(opened, model)
        images = [posed(3, dx=4, turn=20, defect=(0, -6)), BLANK[1]]
        for one, other in zip(opened.predict(images), model.predict(images), strict=True):
            np.testing.assert_array_equal(one.levels, other.levels)
            assert (one.pose, one.verdict, one.reasons) == (other.pose, other.verdict, other.reasons)


def test_a_stopped_fit_is_resumed_bit_for_bit(model: Padim, tmp_path: Path) -> None:
    images = [(name, png(image)) for name, image in any_pose(16)]
    whole = aligned().fit(images)
    done = 0

    def progress(at: int, total: int | None, stage: str) -> None:
        nonlocal done
        done = at

    stopped = tmp_path / "stopped"
    with pytest.raises(Cancelled):
        aligned(work_dir=tmp_path / "a").fit(
            images, progress=progress, cancel=lambda: done >= 9, unfinished=stopped
        )
    resumed = aligned(work_dir=tmp_path / "b").fit(images, unfinished=stopped)
    same(resumed, whole)


def test_continued_it_is_the_same_as_fitted_at_once(tmp_path: Path) -> None:
    images = any_pose(14)
    continued = aligned().fit(images[:9]).partial_fit(images[9:])
    same(continued, aligned().fit(images))


def test_excluding_and_including_restores_it(tmp_path: Path) -> None:
    model = aligned().fit(any_pose(10))
    before = model.state.identity
    model.exclude(4, "not_good")
    assert model.normals_[0].status == "reference"
    assert model.state.identity != before
    model.include(4)
    assert model.state.identity == before


def test_the_reference_can_be_named() -> None:
    images = any_pose(8)
    model = aligned({"method": "outline", "reference": "part_003.png"}).fit(images)
    assert [normal.status for normal in model.normals_].index("reference") == 3
    with pytest.raises(LocatingError, match=r"no image nowhere\.png"):
        aligned({"method": "outline", "reference": "nowhere.png"}).fit(images)
    with pytest.raises(LocatingError, match="read only once"):
        aligned({"method": "outline", "reference": "part_003.png"}).fit(iter(images))


def test_a_reference_that_shows_nothing_is_refused_by_name() -> None:
    with pytest.raises(LocatingError, match=r"blank\.png: cannot be the reference"):
        aligned().fit([BLANK, *any_pose(4)])


def test_an_unreadable_first_image_is_passed_over() -> None:
    failed: list[Exception] = []
    images = any_pose(6)
    model = aligned().fit([("broken.png", b"no image"), *images], on_error=failed.append)
    assert [normal.name for normal in model.normals_] == [name for name, _ in images]
    assert model.normals_[0].status == "reference"
    assert len(failed) == 1


def test_another_resolution_is_located_and_another_shape_is_not(model: Padim) -> None:
    small, large = posed(5, dx=3, turn=25), posed(5, dx=6, turn=25, scale=2, size=(240, 320))
    one, other = model.predict([small, large])
    assert one.pose is not None
    assert other.pose is not None
    assert other.pose.turn == pytest.approx(one.pose.turn, abs=1)
    assert other.pose.dx == pytest.approx(one.pose.dx, abs=1)
    assert np.abs(one.levels.astype(int) - other.levels).mean() < 0.2 * model.threshold_level
    (tall,) = model.predict([posed(5, size=(160, 120))])
    assert "another shape" in tall.lost


def test_places_beside_the_image_score_nothing() -> None:
    images = any_pose(14, shift=3, turn=4)
    model = aligned({"method": "outline", "margin": 60}).fit(images)
    (shifted,) = model.predict([posed(4, dx=20, turn=3)])
    shown = model.state.shown(shifted.placement, (120, 160))
    assert shown is not None
    assert 0.3 < shown.mean() < 1
    assert not shifted.levels[~shown].any()


def test_places_that_many_good_parts_miss_are_scored_nowhere() -> None:
    # One half of the parts lie so far to the right that the margin on that side is beyond the image.
    images = [(f"{i}.png", posed(i, dx=(i % 2) * 18, turn=i % 3)) for i in range(12)]
    model = aligned({"method": "outline", "margin": 60}).fit(images)
    covered = model.state.fitted.covered
    assert covered is not None
    assert 0.3 < covered.mean() < 1
    (inner,) = model.predict([posed(40)])
    assert not inner.levels[~covered].any()


def test_off_it_changes_nothing() -> None:
    images = any_pose(6, shift=0, turn=0)
    plain = Padim(input_size=64, n_features=20).fit(images)
    assert plain.config.align is None
    assert plain.state.fitted.reference is None
    assert all(normal.pose is None and not normal.lost for normal in plain.normals_)
    (prediction,) = plain.predict([BLANK])
    assert not prediction.lost


def test_settings_in_yaml_and_as_text() -> None:
    model = aligned()
    assert model.config.align == Align.model_validate("outline")
    again = type(model.config).from_yaml(model.config.to_yaml())
    assert again == model.config
    with pytest.raises(PadimError, match="did you mean 'max_turn'"):
        type(model.config).from_yaml("align: {method: outline, max_trun: 3}")


def test_the_frame_decides_an_input_size_that_is_not_given() -> None:
    model = Padim(align="outline", n_features=20).set_decision(percentile=90).fit(any_pose(5))
    height, width = model.config.input_shape
    frame = model.state.fitted.locator.frame if model.state.fitted.locator else None
    assert frame is not None
    assert width / height == pytest.approx(frame.width / frame.height, rel=0.15)
    assert width > 1.5 * height

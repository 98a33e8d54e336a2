"""Preview of a region compared with the real change: scores, pixels, thresholds; the maps to draw on."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from padim import CalibrationError, Padim, PadimConfig
from padim.analysis.region_preview import (
    false_alarm_map,
    held_out_under,
    levels_under_region,
    mean_normal,
    preview,
    too_small,
)
from padim.data.preprocess import Preprocess
from padim.decision.roi import Shape, rasterize
from tests.parts import normals, part, png


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def brush(*points: tuple[float, float], radius: float) -> Shape:
    return Shape("brush", "exclude", points, radius)


def region(model: Padim, *shapes: Shape) -> np.ndarray:
    roi = rasterize(shapes, model.config.input_shape)
    assert roi is not None
    return roi


DRAWN = (
    Shape("polygon", "include", ((3, 3), (60, 8.5), (50, 61))),
    brush((30, 30), (40, 33.25), radius=4.5),
)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of parts with two shots, one kept out, one not good; its images are wide and padded."""
    config = PadimConfig(
        input_size=64, grid_stride=8, n_features=10, smoothing_sigma=1, min_area=4, fit="pad"
    )
    shots = [(f"{i}_{shot}.png", png(part(i, size=(48, 96), shot=shot))) for i in range(8) for shot in (0, 1)]
    model = Padim(config, work_dir=tmp_path_factory.mktemp("grouped"))
    model.fit(shots, groups=lambda name: name.split("_")[0])
    return model.exclude(2, "kept_out").exclude(6, "not_good").save(tmp_path_factory.mktemp("saved") / "m")


def test_recomputed_levels_are_those_after_the_change(model: Padim, grouped: Path) -> None:
    for one in (model, Padim.load(grouped)):
        size = one.config.input_shape
        before = one.state.part_scores(one.config.min_area).copy()
        for roi in (region(one, *DRAWN), region(one, brush((20, 30), radius=12)), None):
            for min_area in (None, 1, 40):
                drafted = levels_under_region(one, roi, min_area)
                assert drafted.dtype == np.int64
                expected = (
                    Padim.load(one.save(one.working_set.folder / "copy"))
                    .set_roi(roi)
                    .state.part_scores(one.config.min_area if min_area is None else min_area)
                )
                np.testing.assert_array_equal(drafted, expected)
        # Also from a region in use to a larger one.
        one.set_roi(region(one, *DRAWN))
        np.testing.assert_array_equal(levels_under_region(one, None), before)
        np.testing.assert_array_equal(
            levels_under_region(one, one.decision.roi), one.state.part_scores(one.config.min_area)
        )
        with pytest.raises(ValueError, match="roi"):
            levels_under_region(one, np.ones((size[0], size[1] + 1), bool))


def test_the_false_alarm_map_counts_parts(model: Padim, grouped: Path) -> None:
    for one in (model, Padim.load(grouped)):
        normals_ = one.normals_
        for level in (0, int(np.median(one.state.part_scores(one.config.min_area))), 65535):
            expected = np.zeros((64, 64))
            groups = {n.group for n in normals_ if n.status != "not_good"}
            for group in groups:
                maps = [one.state.held_out_map(i) for i, n in enumerate(normals_) if n.group == group]
                expected += np.any([q > level for q in maps], axis=0)
            share = false_alarm_map(one, level)
            assert share.dtype == np.float32
            np.testing.assert_allclose(share, expected / len(groups), rtol=1e-6)
        assert not false_alarm_map(one, 65535).any()
        assert false_alarm_map(one, 0).max() == 1
        one.set_roi(region(one, *DRAWN))
        assert not false_alarm_map(one, 0)[~region(one, *DRAWN)].any()


def test_without_held_out_scores_it_says_what_is_missing(small_config: PadimConfig) -> None:
    two = Padim(small_config).fit(normals(2))
    with pytest.raises(CalibrationError, match="at least 3 parts"):
        levels_under_region(two, None)
    with pytest.raises(CalibrationError, match="at least 3 parts"):
        false_alarm_map(two, 1)
    assert mean_normal(two).shape == (64, 64, 3)


def test_mean_normal_is_the_mean_of_the_fit(grouped: Path) -> None:
    model = Padim.load(grouped)
    preprocess = Preprocess((64, 64), "pad")
    images = [
        preprocess(np.asarray(Image.open(BytesIO(model.working_set.thumbnail(i))).convert("RGB")))
        for i, normal in enumerate(model.normals_)
        if normal.status == "fit"
    ]
    assert len(images) == 12
    mean = mean_normal(model)
    assert mean.dtype == np.uint8
    assert mean.shape == (64, 64, 3)
    np.testing.assert_allclose(mean, np.mean(images, axis=0), atol=0.5 + 1e-9)
    assert (mean[:16] == 127).all()  # the padding


@pytest.mark.parametrize("decision", [{"basis": "pixel", "percentile": 98}, {"value": 4.0}, {"min_area": 30}])
def test_a_preview_is_what_the_change_gives(model: Padim, grouped: Path, decision: dict[str, Any]) -> None:
    for one in (model, Padim.load(grouped)):
        one.set_decision(**decision)
        for roi in (region(one, *DRAWN), None):
            peer = Padim.load(one.save(one.working_set.folder / "copy")).set_roi(roi)
            found = preview(one, roi, held_out_under(one, roi))
            assert one.current_threshold is not None
            assert found.at_use == peer.state.false_rejects(one.current_threshold.level, peer.config.min_area)
            assert found.threshold == peer.current_threshold
            assert found.at_own == peer.false_reject_rate_
            assert found.share == (1.0 if roi is None else roi.mean())


def test_pixels_under_another_region_are_those_after_the_change(grouped: Path) -> None:
    one = Padim.load(grouped).set_decision(basis="pixel", percentile=98)
    roi = region(one, *DRAWN)
    pixels = held_out_under(one, roi).pixels
    assert pixels is not None
    np.testing.assert_array_equal(pixels, Padim.load(grouped).set_roi(roi).state.pixel_histogram())
    # The images of good parts have 32 rows of padding each, which do not count as pixels.
    kept = sum(normal.status != "not_good" for normal in one.normals_)
    assert pixels.sum() == kept * roi[16:48].sum()


def test_nothing_is_promised_where_nothing_is_calibrated(small_config: PadimConfig) -> None:
    two = Padim(small_config).fit(normals(2))
    found = preview(two, None, None)
    assert (found.share, found.at_use, found.at_own) == (1.0, None, None)


def test_a_region_below_the_smallest_that_counts_is_too_small(model: Padim) -> None:
    roi = np.zeros((64, 64), bool)
    assert not too_small(model, None)
    roi[:2, :2] = True
    assert too_small(model, roi)
    roi[:3, :3] = True
    assert not too_small(model, roi)

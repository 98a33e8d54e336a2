"""Repeat shots and the resulting guard band, compared with plain counting and the engine's verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from padim import Guard, Padim, PadimConfig, pooled, verdict_of
from padim.analysis.repeat_shots import Shots, band_of, shots_in_fit, under_review
from tests.parts import part, png

SHOTS = {f"part{i:02d}_{k}.png": png(part(i, shot=k)) for i in range(4) for k in range(3)}


@pytest.fixture(scope="module")
def repeated_model(small_config: PadimConfig, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a shared model of 12 parts with one shot, four with three, and a copy of one file."""
    files = {
        **{f"good_{i:03d}.png": png(part(100 + i)) for i in range(12)},
        **SHOTS,
        "copy.png": SHOTS["part00_0.png"],
    }
    groups = {name: name.split("_")[0] for name in SHOTS}
    return Padim(small_config, work_dir=tmp_path_factory.mktemp("repeated")).fit(files.items(), groups=groups)


def test_normals_that_were_shot_repeatedly(repeated_model: Padim) -> None:
    levels = repeated_model.state.image_levels(repeated_model.config.min_area)
    value = repeated_model.state.fitted.quantizer.to_value
    expected = {
        frozenset(
            value(int(level))
            for normal, level in zip(repeated_model.normals_, levels, strict=True)
            if normal.name.startswith(f"part{i:02d}")
        )
        for i in range(4)
    }
    found = shots_in_fit(repeated_model)
    assert {frozenset(shots.values) for shots in found} == expected
    assert all(len(shots.values) == 3 for shots in found)  # the copy does not count
    band = band_of(found)
    assert band is not None
    assert band.repeatability == pooled([shots.values for shots in found])
    assert band.guard == Guard.of(band.repeatability)
    assert band.mean == pytest.approx(np.mean([value for shots in found for value in shots.values]))


def test_a_model_without_repeat_shots_offers_none(small_model: Padim) -> None:
    assert shots_in_fit(small_model) == []
    assert band_of([Shots("a", ("a.png",), (3.0,))]) is None


def test_single_shots_do_not_count() -> None:
    band = band_of([Shots("a", ("1", "2"), (1.0, 3.0)), Shots("b", ("3",), (100.0,))])
    assert band is not None
    assert (band.repeatability.shots, band.mean) == (2, 2.0)


@pytest.mark.parametrize("width", [0.0, 0.4, 3.0, 60.0, 1e6])
def test_under_review_counts_as_the_verdicts(small_model: Padim, width: float) -> None:
    guard = Guard(width, width / 2, 9, 10, 1)
    level, scores = small_model.threshold_level, small_model.state.part_scores(small_model.config.min_area)
    verdicts = [verdict_of(int(score), level, guard, small_model.state.fitted.quantizer) for score in scores]
    found = under_review(small_model, guard)
    assert found is not None
    assert (found.count, found.of) == (verdicts.count("review"), len(scores))
    assert found.above == sum(
        score > level and verdict == "review" for score, verdict in zip(scores, verdicts, strict=True)
    )

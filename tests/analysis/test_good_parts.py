"""The good parts of a model: in order of their held-out scores, by part, and the two promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.analysis.good_parts import both_promises, not_good, part_values, ranked
from padim.analysis.held_out_scores import held_out_scores
from padim.decision.regions import region_score
from tests.parts import normals, part, png


@pytest.fixture(scope="module")
def shot_twice(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a model of eight parts with two shots each; one is kept out, one is not good."""
    config = PadimConfig(input_size=64, grid_stride=8, n_features=10, smoothing_sigma=1, min_area=4)
    shots = [(f"{i}_{shot}.png", png(part(i, shot=shot))) for i in range(8) for shot in (0, 1)]
    model = Padim(config, work_dir=tmp_path_factory.mktemp("work"))
    model.fit(shots, groups=lambda name: name.split("_")[0])
    return model.exclude(2, "kept_out").exclude(6, "not_good")


def test_the_highest_score_comes_first(shot_twice: Padim) -> None:
    found = ranked(shot_twice)
    assert {shot_twice.normals_[item.index].status for item in found} == {"fit"}
    assert len(found) == 12
    levels = [item.level for item in found if item.level is not None]
    assert levels == sorted(levels, reverse=True)
    for item in found:
        assert item.name == shot_twice.normals_[item.index].name
        assert item.level == shot_twice.state.image_levels(shot_twice.config.min_area)[item.index]
        assert item.value == shot_twice.state.fitted.quantizer.to_value(
            int(shot_twice.state.image_levels(shot_twice.config.min_area)[item.index])
        )
        assert item.shots == 2


def test_a_part_taken_out_is_listed_once(shot_twice: Padim) -> None:
    statuses = [shot_twice.normals_[item.index].status for item in not_good(shot_twice)]
    assert statuses == ["kept_out", "not_good"]


def test_without_scores_the_order_stays(small_config: PadimConfig) -> None:
    two = Padim(small_config).fit(normals(2))
    assert [(item.index, item.level, item.value) for item in ranked(two)] == [(0, None, 0.0), (1, None, 0.0)]
    assert both_promises(two) is None


def test_parts_count_by_their_highest_shot(shot_twice: Padim) -> None:
    in_fit, kept_out = part_values(shot_twice)
    value = shot_twice.state.fitted.quantizer.to_value
    levels = shot_twice.state.part_scores(shot_twice.config.min_area, include_kept_out=False)
    assert sorted(in_fit) == sorted(value(int(level)) for level in levels)
    assert sorted(in_fit + kept_out) == sorted(
        value(int(level)) for level in shot_twice.state.part_scores(shot_twice.config.min_area)
    )
    assert len(kept_out) == 1


def test_both_promises_are_the_two_rates(shot_twice: Padim, small_model: Padim) -> None:
    both = both_promises(shot_twice)
    assert both is not None
    assert (both.all_good.rejected.n, both.fit_only.rejected.n, both.kept_out_parts) == (7, 6, 1)
    assert both.all_good == shot_twice.verdict_rates_
    assert both_promises(small_model) is None


def test_held_out_scores_by_smallest_region(shot_twice: Padim, tmp_path: Path) -> None:
    seen: list[int] = []
    found = held_out_scores(shot_twice, 6, lambda index, q, levels: seen.append(index))
    assert seen == list(range(16))
    for index in (0, 5, 15):
        q = shot_twice.state.held_out_map(index)
        assert found.levels[index].tolist() == [region_score(q, area) for area in range(1, 7)]
    assert (found.parts, found.in_fit, len(found.indices)) == (7, 6, 14)
    for area in (1, 4):
        best = np.zeros(found.parts, np.int64)
        np.maximum.at(best, np.array(found.part), found.curves[:, area - 1])
        assert sorted(best) == sorted(shot_twice.state.part_scores(area))
    for level in shot_twice.state.part_scores(shot_twice.config.min_area):
        rate = shot_twice.state.false_rejects(int(level), shot_twice.config.min_area)
        assert found.upper[rate.above] == rate.upper
    assert len(found.pixel_levels) == 999
    assert found.pixel_levels[979] == (
        Padim.load(shot_twice.save(tmp_path / "m"))
        .set_decision(basis="pixel", percentile=98.0)
        .threshold_level
    )

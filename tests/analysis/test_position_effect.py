"""The part of position in the good parts' scores: known shifts are named, and taken out of the ranking."""

from __future__ import annotations

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.analysis.alignment import Alignment
from padim.analysis.good_parts import RankedNormal, ranked
from padim.analysis.pose_spread import PoseSpread, pose_spread
from padim.analysis.position_effect import DisplacedAlike, displaced_alike, position_effect
from tests.parts import png
from tests.posed import posed

_LOW, _ODD = range(20, 24), 24


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a model of twenty centered parts, four that lie 8 to 14 px lower, and one with a faint spot."""
    rng = np.random.default_rng(3)
    images = [posed(i, dy=float(rng.normal(scale=0.6)), dx=float(rng.normal(scale=0.6))) for i in range(20)]
    images += [posed(100 + i, dy=8 + 2 * i) for i in range(4)]
    faint = 0.6 * posed(200).astype(float) + 0.4 * posed(200, defect=(0, -6))
    images.append(faint.astype(np.uint8))
    config = PadimConfig(input_size=128, grid_stride=8, n_features=20, smoothing_sigma=1, min_area=4)
    model = Padim(config, work_dir=tmp_path_factory.mktemp("work"))
    return model.fit([(f"part_{i:02}.png", png(image)) for i, image in enumerate(images)])


def test_the_top_parts_are_said_to_lie_lower(shifted: Padim) -> None:
    found = displaced_alike(shifted, pose_spread(shifted), ranked(shifted))
    assert found is not None
    assert set(found.indices) <= set(_LOW)
    assert len(found.indices) >= 3
    assert found.direction == "lower"
    # In pixels of the image, which are not those of the map: 120 x 160 is stretched to 128 x 128.
    assert 7 <= found.least <= found.most <= 15
    assert found.sentence.startswith(f"{len(found.indices)} of the top 5 lie ")
    assert found.sentence.endswith(" px lower than is usual.")


def test_without_position_the_odd_part_comes_first(shifted: Padim) -> None:
    items = ranked(shifted)
    effect = position_effect(shifted, pose_spread(shifted), items)
    assert effect is not None
    assert effect.growth > 0
    assert items[0].index in _LOW
    order = [item.index for item in effect.reranked(items)]
    assert order[0] == _ODD
    assert sorted(order) == sorted(item.index for item in items)
    for item in items:
        assert 0 < effect.without_position(item) <= item.value
    # On the whole those that lie lower step back: at most two of the next five are left.
    assert len(set(order[:5]) & set(_LOW)) < len({item.index for item in items[:5]} & set(_LOW))


def _spread(shifts: np.ndarray, angles: np.ndarray | None = None) -> PoseSpread:
    turned = np.zeros(len(shifts), np.float32) if angles is None else angles
    found = Alignment(shifts.astype(np.float32), turned, turned, True, 1.0, 0.0, 1.0)
    return PoseSpread(found, tuple(range(len(shifts))), len(shifts))


def _items(values: np.ndarray) -> list[RankedNormal]:
    found = [RankedNormal(i, f"{i}.png", round(1000 * v), float(v), 1) for i, v in enumerate(values)]
    return sorted(found, key=lambda item: -item.value)


def test_a_known_growth_is_found_whatever_a_few_odd_parts_do(small_model: Padim) -> None:
    rng = np.random.default_rng(0)
    moved = rng.uniform(0, 10, 22)
    values = 2 * np.exp(0.1 * moved)
    values[[3, 7]] *= 5
    effect = position_effect(small_model, _spread(np.stack([moved, 0 * moved], 1)), _items(values))
    assert effect is not None
    assert effect.growth == pytest.approx(0.1, rel=1e-3)
    assert effect.typical == pytest.approx(np.median(moved), rel=1e-5)
    assert {item.index for item in effect.reranked(_items(values))[:2]} == {3, 7}


def test_chance_is_no_effect_and_changes_no_order(small_model: Padim) -> None:
    rng = np.random.default_rng(1)
    # Scores that fall with displacement: position explains nothing.
    moved = rng.uniform(0, 10, 22)
    items = _items(5 * np.exp(-0.05 * moved))
    effect = position_effect(small_model, _spread(np.stack([0 * moved, moved], 1)), items)
    assert effect is not None
    assert effect.growth == 0
    assert effect.reranked(items) == items
    assert all(effect.factor(i) == 1 for i in range(22))


def test_images_without_an_outline_keep_their_scores(small_model: Padim) -> None:
    shifts = np.column_stack([np.linspace(0, 8, 22), np.zeros(22)])
    shifts[5] = np.nan
    items = _items(np.exp(0.2 * np.linspace(0, 8, 22)))
    effect = position_effect(small_model, _spread(shifts), items)
    assert effect is not None
    assert effect.factor(5) == 1
    assert 5 not in effect.displacements


def test_too_few_or_unmeasurable_say_nothing(small_model: Padim) -> None:
    few = _items(np.arange(1.0, 6.0))
    assert position_effect(small_model, _spread(np.zeros((5, 2))), few) is None
    nothing = np.full(22, np.nan, np.float32)
    poses = Alignment(np.full((22, 2), np.nan, np.float32), nothing, nothing, False, np.nan, np.nan, np.nan)
    spread = PoseSpread(poses, tuple(range(22)), 22)
    assert position_effect(small_model, spread, _items(np.arange(1.0, 23.0))) is None
    assert displaced_alike(small_model, spread, _items(np.arange(1.0, 23.0))) is None


@pytest.mark.parametrize(
    ("shift", "words"),
    [((9, 1), "lower"), ((-9, 1), "higher"), ((1, 9), "further right"), ((1, -9), "further left")],
)
def test_directions(small_model: Padim, shift: tuple[float, float], words: str) -> None:
    shifts = np.zeros((22, 2))
    shifts[:3] = shift
    found = displaced_alike(small_model, _spread(shifts), _items(np.linspace(9, 1, 22)))
    assert found is not None
    assert found.direction == words
    assert found.indices == (0, 1, 2)
    # The images have 96 x 96 pixels.
    assert found.most == pytest.approx(9 * 96 / small_model.config.input_shape[0])
    assert f"3 of the top 5 lie {round(found.most)} px {words} than is usual." == found.sentence


def test_one_displaced_part_is_no_pattern(small_model: Padim) -> None:
    shifts = np.zeros((22, 2))
    shifts[0] = 9, 0
    assert displaced_alike(small_model, _spread(shifts), _items(np.linspace(9, 1, 22))) is None


def test_a_range_is_said_as_one() -> None:
    found = DisplacedAlike((1, 2, 3, 4), 5, 6.6, 13.2, "lower")
    assert found.sentence == "4 of the top 5 lie 7 to 13 px lower than is usual."

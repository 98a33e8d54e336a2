"""Examples of a sensitivity measurement are trials that it scored: same pixels, same score, same mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim
from padim.analysis import sensitivity_examples
from padim.analysis.sensitivity import Sensitivity, measure
from padim.analysis.sensitivity_examples import typical_place
from padim.analysis.synthetic_defects import KINDS
from padim.decision.regions import map_mask, region_score
from padim.decision.scorer import Scorer
from tests.parts import normals

SIZES, CONTRASTS = (4.0, 12.0, 30.0), (0.1, 0.5)


class Scored:
    """A record of the scored images, with the score and mask of each."""

    def __init__(self) -> None:
        self.maps: dict[bytes, npt.NDArray[np.uint16]] = {}

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Scorer.__call__

        def scoring(scorer: Scorer, rgb: npt.NDArray[np.uint8], boxes: Any = None, shown: Any = None) -> Any:
            grids, maps = real(scorer, rgb, boxes, shown)
            self.maps |= {image.tobytes(): q for image, q in zip(rgb, maps, strict=True)}
            return grids, maps

        monkeypatch.setattr(Scorer, "__call__", scoring)


@pytest.fixture(scope="module")
def measured(small_model: Padim) -> Iterator[tuple[Sensitivity, Scored]]:
    scored = Scored()
    with pytest.MonkeyPatch.context() as patch:
        scored.watch(patch)
        images = normals(4, first=100)
        yield (
            measure(small_model, images, sizes=SIZES, contrasts=CONTRASTS, places=3, seed=7, examples=True),
            scored,
        )


def test_examples_are_images_that_were_scored(measured: tuple[Sensitivity, Scored]) -> None:
    found, scored = measured
    assert found.examples.keys() == {(kind, contrast) for kind in KINDS for contrast in CONTRASTS}
    outcomes = set()
    for (kind, contrast), trials in found.examples.items():
        assert [trial.size for trial in trials] == list(SIZES)
        assert {(trial.kind, trial.contrast) for trial in trials} == {(kind, contrast)}
        for trial in trials:
            # Exactly these pixels: an image painted at another angle or place was never scored.
            q = scored.maps[trial.rgb.tobytes()]
            assert trial.score == region_score(q, found.min_area)
            np.testing.assert_array_equal(trial.mask, map_mask(q, found.threshold, found.min_area))
            assert trial.mask.any() == (trial.score > found.threshold)
            assert trial.caught == (trial.mask & trial.area).any()
            outcomes.add(trial.caught)
    assert outcomes == {True, False}


def test_examples_are_counted_at_their_position(measured: tuple[Sensitivity, Scored]) -> None:
    found, _ = measured
    for (kind, contrast), trials in found.examples.items():
        x, y, _ = trials[0].place
        (place,) = np.flatnonzero((found.places == (x, y)).all(axis=1))
        assert found.images[found.image_of[place]] == trials[0].unpainted.name
        i, k = KINDS.index(kind), CONTRASTS.index(contrast)
        assert [trial.caught for trial in trials] == found.caught[place, i, :, k].tolist()
    assert found.first is not None
    assert found.first.name == found.images[0]


def test_keeping_examples_changes_no_count(small_model: Padim, measured: tuple[Sensitivity, Scored]) -> None:
    found, _ = measured
    plain = measure(
        small_model, normals(4, first=100), sizes=SIZES, contrasts=CONTRASTS, places=3, seed=7, examples=False
    )
    np.testing.assert_array_equal(plain.caught, found.caught)
    np.testing.assert_array_equal(plain.void, found.void)
    assert plain.examples == {}
    assert plain.first is None


def test_memory_is_bounded_by_the_places_kept(small_model: Padim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity_examples, "MOST_PLACES", 3)
    found = measure(
        small_model,
        normals(4, first=100),
        kinds=("spot",),
        sizes=(4.0, 30.0),
        contrasts=(0.2,),
        places=2,
        examples=True,
    )
    assert len(found.places) == 8
    (trials,) = found.examples.values()
    x, y, _ = trials[0].place
    (place,) = np.flatnonzero((found.places == (x, y)).all(axis=1))
    assert place == typical_place(found.caught[:3, 0, :, 0], found.void[:3, 0, :, 0])
    assert [trial.caught for trial in trials] == found.caught[place, 0, :, 0].tolist()


def test_a_typical_place_is_neither_the_best_nor_the_worst() -> None:
    caught = np.zeros((5, 4), bool)
    for place, sizes in enumerate((4, 0, 2, 3, 1)):
        caught[place, 4 - sizes :] = True
    void = np.zeros_like(caught)
    assert typical_place(caught, void) == 2
    void[2, 1] = True
    assert typical_place(caught & ~void, void) == 4
    assert typical_place(caught & False, void | True) is None

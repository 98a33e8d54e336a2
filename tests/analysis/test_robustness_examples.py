"""Examples of a robustness measurement: the altered first good image, and its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from padim import Padim
from padim.analysis.image_changes import ChangeKind, alter
from padim.analysis.robustness import Robustness, measure
from padim.analysis.robustness_examples import SIDE, ChangedExampleKeeper, ChangedExamples
from padim.data.loading import Image, content_hash
from padim.decision.regions import region_score
from tests.parts import defects, normals, part

SEVERITIES: dict[ChangeKind, tuple[float, ...]] = {"noise": (30.0,), "darker": (5.0, 60.0), "blur": (2.0,)}


def run(model: Padim, images: Sequence[Image], *, examples: bool = True) -> Robustness:
    labels = {name: "good" if name.startswith("good") else "chip" for name, _ in images}
    return measure(
        model,
        images,
        labels.__getitem__,
        severities=SEVERITIES,
        examples=examples,
    )


def kept(found: Robustness) -> ChangedExamples:
    assert found.examples is not None
    return found.examples


def test_examples_score_as_they_were_counted(small_model: Padim) -> None:
    images = normals(1, first=100)
    found = run(small_model, [*images])
    examples = kept(found)
    assert (examples.name, examples.label) == ("good_100.png", "good")
    assert list(examples.by_change) == list(SEVERITIES)
    seed = [0, int(content_hash(images[0][1])[:16], 16)]
    for series in found.series:
        one = examples.by_change[series.kind]
        assert [example.severity for example in one] == list(series.severities)
        # Of one good image the counts are its verdicts.
        rejected = [example.score > found.threshold for example in one]
        assert rejected == [rate.count == 1 for rate in series.false_rejects]
        for example in one:
            assert example.score == region_score(example.map, found.min_area)
            changed = alter(part(100), series.kind, example.severity, seed)
            assert example.whole == (series.kind == "darker")
            # Images of 96 pixels are kept at full size.
            np.testing.assert_array_equal(example.rgb, changed)
            (scored,) = small_model.predict([("x", changed)])
            assert example.score == scored.score_level


def test_the_first_good_image_is_kept_or_else_the_first(small_model: Padim) -> None:
    bad = defects(2)
    assert kept(run(small_model, [*bad, *normals(2, first=100)])).name == "good_100.png"
    alone = kept(run(small_model, [*bad]))
    assert (alone.name, alone.label) == ("bad_000.png", "chip")
    # The model was fitted on the first of these, which is passed over.
    assert kept(run(small_model, [*normals(1), *normals(1, first=100)])).name == "good_100.png"


def test_keeping_examples_changes_no_count(small_model: Padim) -> None:
    images = [*normals(2, first=100), *defects(1)]
    plain = run(small_model, images, examples=False)
    assert plain.examples is None
    assert plain.series == run(small_model, images).series


@pytest.mark.parametrize("kind", ["darker", "jpeg"])
def test_large_images_are_kept_small(kind: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (600, 900, 3), dtype=np.uint8)
    keeper = ChangedExampleKeeper("good")
    keeper.begin("a.png", "good", None, (600, 900))
    q = np.zeros((8, 8), np.uint16)
    for severity in (0.0, 1.0):
        keeper.altered(kind, severity, rgb)
        keeper.scored(3, q, None)
    found = keeper.examples([kind, "noise" if kind == "darker" else "brighter"])
    assert found is not None
    shapes = {name: [one.rgb.shape[:2] for one in trials] for name, trials in found.by_change.items()}
    whole, middle = (round(SIDE * 600 / 900), SIDE), (SIDE, SIDE)
    if kind == "darker":
        assert shapes == {"darker": [whole, whole], "noise": [middle]}
    else:
        assert shapes == {"jpeg": [middle, middle], "brighter": [whole]}
        np.testing.assert_array_equal(found.by_change["jpeg"][0].rgb, rgb[172:428, 322:578])
    assert ChangedExampleKeeper("good").examples(["darker"]) is None

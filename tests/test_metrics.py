"""Figures against brute force over every pair and every pixel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from padim import metrics
from padim.operating import clopper_pearson

levels = st.lists(st.integers(0, 12), min_size=1, max_size=12).map(lambda values: np.array(values, np.int64))


@settings(deadline=None)
@given(levels, levels)
def test_auroc_is_the_share_of_pairs_in_order(good: np.ndarray, defect: np.ndarray) -> None:
    pairs = [1.0 if d > g else 0.5 if d == g else 0.0 for g, d in product(good, defect)]
    assert metrics.auroc(good, defect).value == pytest.approx(np.mean(pairs))


@settings(deadline=None)
@given(levels, levels)
def test_no_threshold_has_a_better_f1_and_the_level_named_reaches_it(
    good: np.ndarray, defect: np.ndarray
) -> None:
    best = metrics.best_f1(good, defect)
    assert best is not None
    truth, scores = np.repeat([0, 1], [len(good), len(defect)]), np.concatenate([good, defect])
    every = {level: f1_score(truth, scores > level) for level in range(13)}
    # A threshold cannot be below 0: that every level 0 is a defect is more than any verdict can say.
    if scores.min() > 0:
        assert best.f1 == pytest.approx(max(every.values()))
        assert every[best.level] == pytest.approx(best.f1)
    assert best.f1 >= max(every.values()) - 1e-12


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.booleans(), st.booleans()), min_size=4, max_size=60))
def test_pixels_by_level_are_as_good_as_all_of_them(pixels: list[tuple[int, bool, bool]]) -> None:
    counted = metrics.Pixels()
    for level, faulty, judged in pixels:
        counted.add(*(np.array([[value]]) for value in (np.uint16(level), faulty, judged)))
    inside = [(level, faulty) for level, faulty, judged in pixels if judged]
    auroc, precision = counted.figures()
    if len({faulty for _, faulty in inside}) < 2:
        assert auroc.value is precision.value is None
        assert auroc.why
        return
    scores, truth = zip(*inside, strict=True)
    assert auroc.value == pytest.approx(roc_auc_score(truth, scores))
    assert precision.value == pytest.approx(average_precision_score(truth, scores))


def test_a_map_without_a_mask_is_sound_all_over() -> None:
    counted = metrics.Pixels()
    counted.add(np.arange(16, dtype=np.uint16).reshape(4, 4), None)
    assert counted.sound.sum() == 16
    assert not counted.faulty.any()


def test_counts_are_of_what_lies_strictly_above() -> None:
    report = metrics.evaluate(
        [5, 6, 7, 6, 7, 8],
        ["good", "good", "good", "dent", "dent", "hole"],
        ["accept", "review", "reject", "review", "reject", "reject"],
        6,
        metrics.Pixels(),
    )
    assert (report.false_rejects.count, report.false_rejects.of) == (1, 3)
    assert (report.misses.count, report.misses.of) == (1, 3)
    assert (report.false_rejects.low, report.false_rejects.high) == clopper_pearson(1, 3)
    assert (report.review_good, report.review_defects) == (1, 1)
    assert [(kind.name, kind.caught.count, kind.caught.of) for kind in report.kinds] == [
        ("dent", 1, 2),
        ("hole", 1, 1),
    ]
    assert report.kinds[1].auroc.value == 1
    assert report.pixel_auroc.value is None

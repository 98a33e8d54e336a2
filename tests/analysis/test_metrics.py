"""Metrics compared with brute force over every pair and every pixel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from padim.analysis import metrics
from padim.decision.guard_band import VerdictLimits
from padim.decision.operating_points import clopper_pearson
from padim.decision.verdicts import VerdictCounts

levels = st.lists(st.integers(0, 12), min_size=1, max_size=12).map(lambda values: np.array(values, np.int64))


@settings(deadline=None)
@given(levels, levels)
def test_auroc_is_the_share_of_pairs_in_order(good: np.ndarray, defect: np.ndarray) -> None:
    pairs = [1.0 if d > g else 0.5 if d == g else 0.0 for g, d in product(good, defect)]
    assert metrics.auroc(good, defect).value == pytest.approx(np.mean(pairs))


@pytest.mark.slow
@settings(deadline=None)
@given(levels, levels)
def test_no_threshold_has_a_better_f1_and_the_level_named_reaches_it(
    good: np.ndarray, defect: np.ndarray
) -> None:
    best = metrics.best_f1(good, defect)
    assert best is not None
    truth, scores = np.repeat([0, 1], [len(good), len(defect)]), np.concatenate([good, defect])
    every = {level: f1_score(truth, scores > level) for level in range(13)}
    # A threshold cannot be below 0, so no verdict can call every pixel of level 0 a defect.
    if scores.min() > 0:
        assert best.f1 == pytest.approx(max(every.values()))
        assert every[best.level] == pytest.approx(best.f1)
    assert best.f1 >= max(every.values()) - 1e-12


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 65535), st.booleans(), st.booleans()), min_size=4, max_size=60))
def test_pixels_by_level_are_as_good_as_all_of_them(pixels: list[tuple[int, bool, bool]]) -> None:
    counted = metrics.Pixels()
    for level, faulty, scored in pixels:
        counted.add(np.array([[level]], np.uint16), np.array([[faulty]]), np.array([[scored]]))
    inside = [(level, faulty) for level, faulty, scored in pixels if scored]
    figures_found = counted.figures()
    auroc, precision = figures_found.auroc, figures_found.average_precision
    if len({faulty for _, faulty in inside}) < 2:
        assert auroc.value is precision.value is figures_found.aupro.value is figures_found.f1.value is None
        assert auroc.why
        return
    scores, truth = zip(*inside, strict=True)
    assert auroc.value == pytest.approx(roc_auc_score(truth, scores))
    assert precision.value == pytest.approx(average_precision_score(truth, scores))
    every = [f1_score(truth, np.array(scores) >= level) for level in set(scores)]
    assert figures_found.f1.value == pytest.approx(max(every))
    if min(scores) > 0:
        assert f1_score(truth, np.array(scores) > figures_found.f1_level) == pytest.approx(
            figures_found.f1.value
        )


def test_a_map_without_a_mask_is_sound_all_over() -> None:
    counted = metrics.Pixels()
    counted.add(np.arange(16, dtype=np.uint16).reshape(4, 4), None)
    assert counted.sound.sum() == 16
    assert not counted.faulty.any()


def test_counts_are_of_what_lies_strictly_above() -> None:
    report = metrics.evaluate(
        [5, 6, 7, 6, 7, 8],
        ["good", "good", "good", "dent", "dent", "hole"],
        VerdictLimits(6, 6, 6),
        metrics.Pixels(),
    )
    assert (report.false_rejects.count, report.false_rejects.of) == (1, 3)
    assert (report.misses.count, report.misses.of) == (1, 3)
    assert (report.false_rejects.low, report.false_rejects.high) == clopper_pearson(1, 3)
    assert (report.good, report.defects) == (VerdictCounts(2, 0, 1), VerdictCounts(1, 0, 2))
    assert [(kind.name, kind.caught.count, kind.caught.of) for kind in report.kinds] == [
        ("dent", 1, 2),
        ("hole", 1, 1),
    ]
    assert report.kinds[1].auroc.value == 1
    assert report.pixel_auroc.value is None
    assert report.aupro.why == report.pixel_f1.why == report.pixel_auroc.why
    assert report.zero_miss.value == pytest.approx(2 / 3)
    assert report.zero_miss_level == 5


def test_with_a_guard_band_review_is_neither_rejected_nor_accepted() -> None:
    scores, kinds = [5, 6, 7, 8, 4, 5, 7, 8], ["good"] * 4 + ["dent"] * 4
    report = metrics.evaluate(scores, kinds, VerdictLimits(4, 7, 5), metrics.Pixels())
    assert (report.good, report.defects) == (VerdictCounts(0, 3, 1), VerdictCounts(1, 2, 1))
    assert (report.false_rejects.count, report.misses.count) == (1, 1)
    assert (report.kinds[0].verdicts, report.kinds[0].caught.count) == (report.defects, 3)


def test_without_a_threshold_ranking_is_all_there_is() -> None:
    report = metrics.evaluate([5, 6, 8, 9], ["good", "good", "dent", "dent"], None, metrics.Pixels())
    assert (report.image_auroc.value, report.best_f1.level if report.best_f1 else None) == (1, 7)
    assert report.misses.of == report.false_rejects.of == report.kinds[0].caught.of == 0


# -- overlap by region -----------------------------------------------------------------------------------


def some_maps(
    seed: int, *, top: int = 900, side: int = 24
) -> list[tuple[np.ndarray, np.ndarray | None, str]]:
    """Return maps with masks of several regions, some touching at a corner only; good ones have none."""
    rng = np.random.default_rng(seed)
    found: list[tuple[np.ndarray, np.ndarray | None, str]] = []
    for i in range(9):
        q = rng.integers(0, top, (side, side)).astype(np.uint16)
        if i < 3:
            found.append((q, None, "good"))
            continue
        mask = np.zeros((side, side), bool)
        for _ in range(3):
            row, column = rng.integers(0, side - 5, 2)
            mask[row : row + rng.integers(1, 5), column : column + rng.integers(1, 5)] = True
        mask[:2, :2] = np.eye(2, dtype=bool)
        q[mask] += rng.integers(0, top, mask.sum()).astype(np.uint16)
        found.append((q, mask, ("dent", "hole")[i % 2]))
    return found


def overlap_area(maps: list[tuple[np.ndarray, np.ndarray | None, str]], limit: float = 0.3) -> float:
    """Compute the definition, threshold by threshold and region by region, with linear interpolation."""
    sound = np.concatenate([q[~mask] if mask is not None else q.ravel() for q, mask, _ in maps])
    regions = []
    for q, mask, _ in maps:
        if mask is not None:
            labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
            regions += [q[labels == i] for i in range(1, count + 1)]
    levels = np.unique(np.concatenate([q.ravel() for q, _, _ in maps]))[::-1]

    def at_least(values: np.ndarray) -> np.ndarray:
        """The share of values at or above each level."""
        return 1 - np.searchsorted(np.sort(values), levels) / values.size

    share = [0.0, *at_least(sound).tolist()]
    overlap = [0.0, *np.mean([at_least(region) for region in regions], axis=0).tolist()]
    below = [(x, y) for x, y in zip(share, overlap, strict=True) if x <= limit]
    x, y = map(list, zip(*below, strict=True))
    if x[-1] < limit:
        after = len(below)
        slope = (overlap[after] - overlap[after - 1]) / (share[after] - share[after - 1])
        x.append(limit)
        y.append(overlap[after - 1] + slope * (limit - share[after - 1]))
    return float(np.trapezoid(y, x)) / limit


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("top", [3, 40, 900, 30000])
def test_overlap_by_region_is_the_definitions(seed: int, top: int) -> None:
    maps = some_maps(seed, top=top)
    counted = metrics.Pixels()
    for q, mask, kind in maps:
        counted.add(q, mask, None, kind)
    assert counted.figures().aupro.value == pytest.approx(overlap_area(maps), abs=1e-12)
    of_kind = [one for one in maps if one[2] in ("good", "dent")]
    assert counted.figures("dent").aupro.value == pytest.approx(overlap_area(of_kind), abs=2e-3)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    q = np.zeros((10, 10), np.uint16)
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[4:, 4:] = True
    q[4:, 4:] = 9
    counted = metrics.Pixels()
    counted.add(q, mask)
    # One region of two is found before any sound pixel, the other only with all of them, at 1: a straight
    # line from one half at 0 to 1 at 1, of which the first three tenths count.
    assert counted.figures().aupro.value == pytest.approx(0.5 + 0.3 * 0.5 / 2)


def test_ignored_pixels_belong_to_no_region() -> None:
    (q, mask, _), area = some_maps(1)[4], np.zeros((24, 24), bool)
    area[:, 6:] = True
    assert mask is not None
    counted, cut = metrics.Pixels(), metrics.Pixels()
    counted.add(q, mask, area)
    cut.add(q[:, 6:], mask[:, 6:])
    assert counted.figures() == cut.figures()


# -- intervals -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_intervals_are_those_of_drawing_the_images_themselves() -> None:
    maps = some_maps(7, top=60)
    counted = metrics.Pixels()
    for q, mask, kind in maps:
        counted.add(q, mask, None, kind)
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(400):
        chosen = [maps[i] for i in (*rng.integers(0, 3, 3), *rng.integers(3, 9, 6))]
        scores = np.concatenate([q.ravel() for q, _, _ in chosen])
        truth = np.concatenate([np.zeros(q.size, bool) if m is None else m.ravel() for q, m, _ in chosen])
        found = [(scores > level) for level in range(-1, int(scores.max()))]
        f1 = max(2 * (truth & hit).sum() / (truth.sum() + hit.sum()) for hit in found)
        drawn.append(
            (
                roc_auc_score(truth, scores),
                average_precision_score(truth, scores),
                overlap_area(chosen),
                f1,
            )
        )
    figures_found = counted.figures()
    figures = (figures_found.auroc, figures_found.average_precision, figures_found.aupro, figures_found.f1)
    for figure, values in zip(figures, np.array(drawn).T, strict=True):
        assert figure.low is not None
        assert figure.high is not None
        assert figure.value is not None
        assert figure.low < figure.value < figure.high
        spread = values.max() - values.min()
        assert [figure.low, figure.high] == pytest.approx(
            np.percentile(values, (2.5, 97.5)), abs=0.15 * spread
        )


@pytest.mark.slow
def test_image_intervals_are_those_of_drawing_the_scores() -> None:
    rng = np.random.default_rng(2)
    good, defect = rng.integers(0, 30, 25), rng.integers(10, 40, 18)
    report = metrics.evaluate([*good, *defect], ["good"] * 25 + ["dent"] * 18, None, metrics.Pixels())
    drawn = []
    for _ in range(500):
        g, d = rng.choice(good, 25), rng.choice(defect, 18)
        truth, scores = np.repeat([0, 1], [25, 18]), np.concatenate([g, d])
        best = max(2 * (d > k).sum() / (18 + (d > k).sum() + (g > k).sum()) for k in range(-1, 40))
        drawn.append(
            (
                roc_auc_score(truth, scores),
                average_precision_score(truth, scores),
                best,
                np.mean(g >= d.min()),
            )
        )
    figures = (report.image_auroc, report.image_ap, report.image_f1, report.zero_miss)
    for figure, values, close in zip(figures, np.array(drawn).T, (0.02, 0.02, 0.04, 0.06), strict=True):
        assert [figure.low, figure.high] == pytest.approx(np.percentile(values, (2.5, 97.5)), abs=close)
    assert report.kinds[0].auroc == report.image_auroc


def test_one_image_of_a_class_has_no_interval() -> None:
    report = metrics.evaluate([1, 5, 6], ["good", "dent", "dent"], None, metrics.Pixels())
    assert report.image_auroc == metrics.Figure(1.0)
    counted = metrics.Pixels()
    counted.add(*some_maps(1)[5][:2])
    assert counted.figures().auroc.low is None


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), min_size=6, max_size=6),
            st.lists(st.integers(0, 5), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_curves_of_many_sets_at_once_are_those_of_each(sets: list[tuple[list[int], list[int]]]) -> None:
    negative, positive = (np.array([one[i] for one in sets], np.float64) for i in range(2))
    curves = metrics.Curves.of(negative, positive)
    for i, (false, true) in enumerate(sets):
        if not sum(false) or not sum(true):
            continue
        scores = np.repeat(np.tile(np.arange(6), 2), [*false, *true])
        truth = np.repeat([0, 1], [sum(false), sum(true)])
        assert curves.auroc()[i] == pytest.approx(roc_auc_score(truth, scores))
        assert curves.average_precision()[i] == pytest.approx(average_precision_score(truth, scores))
        assert curves.best_f1()[0][i] == pytest.approx(max(f1_score(truth, scores >= k) for k in range(6)))


@pytest.mark.parametrize("level", [0, 1, 255, 256, 257, 300, 5000, 40000, 65535])
def test_the_coarser_steps_hold_every_level_and_are_narrow(level: int) -> None:
    step = np.searchsorted(metrics._STEPS, level, side="right") - 1
    ends = np.append(metrics._STEPS, 65536)
    assert ends[step] <= level < ends[step + 1]
    assert ends[step + 1] - ends[step] <= max(1, level * 0.005 + 1)


# -- curves ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(levels, levels)
def test_curves_for_drawing_enclose_the_same_areas(good: np.ndarray, defect: np.ndarray) -> None:
    false, true, at = metrics.roc(good, defect)
    area = np.trapezoid([0, *true], [0, *false])
    assert area == pytest.approx(metrics.auroc(good, defect).value)
    for share, found, level in zip(false, true, at, strict=True):
        assert (share, found) == ((good > level).mean(), (defect > level).mean())
    recall, precision, at = metrics.precision_recall(good, defect)
    steps = np.diff([0, *recall])
    assert float(steps @ precision) == pytest.approx(metrics.average_precision(good, defect).value)
    assert np.all(np.diff(at) < 0)


@pytest.mark.slow
@settings(deadline=None)
@given(levels, levels)
def test_figures_of_images_are_those_of_scikit_learn(good: np.ndarray, defect: np.ndarray) -> None:
    truth = np.repeat([0, 1], [len(good), len(defect)])
    scores = np.concatenate([good, defect])
    assert metrics.auroc(good, defect).value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    expected = average_precision_score(truth, scores)
    assert metrics.average_precision(good, defect).value == pytest.approx(expected, abs=1e-12)
    best = metrics.best_f1(good, defect)
    assert best is not None
    of_each = [f1_score(truth, scores >= level, zero_division=0.0) for level in np.unique(scores)]
    assert best.f1 == pytest.approx(max(of_each), abs=1e-12)

"""How well a model tells good from defective, from labelled images; what cannot be told says why.

Pixels are counted by level, 65,536 of them, so that exact areas under curves need no more memory for a
thousand images than for one. For the intervals each image's pixels are counted by coarser steps, some
1,700 of them, each less than half a percent of its level wide: images can then be drawn with replacement by
adding rows of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.operating_points import Rate

Levels = npt.NDArray[np.integer]
Counts = npt.NDArray[np.float64]

# Of the intervals: how often the images are drawn anew, and how many draws are worked on at a time.
RESAMPLES = 1000
_AT_A_TIME = 100
# Up to this share of sound pixels above the threshold the overlap is integrated, as MVTec defines AUPRO.
PRO_LIMIT = 0.3
NO_MASKS = "no masks: nobody has drawn where the defects are"
_NO_SOUND = "there is no sound pixel"
# Levels that begin a step: every level up to 256, then each step 1/256 wider than the one before.
_STEPS = np.unique(
    np.concatenate([np.arange(257), (256 * (1 + 1 / 256) ** np.arange(1425)).astype(np.int64)])
)
_STEPS = _STEPS[_STEPS <= MAX_LEVEL]


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, or why there is none.

    The interval comes from drawing the images anew with replacement, good and defective ones apart
    (bootstrap, percentiles). It cannot invent an error that no image shows: a perfect figure has an
    interval of one point, however few the images.

    Attributes:
        value: None where there is none.
        why: why not; empty where there is one.
        low, high: ends of the interval; None where there is none, as with a single image of a class.
    """

    value: float | None
    why: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BestF1:
    """The threshold with the highest F1 on these very images; flattering, for it was chosen on them.

    Attributes:
        f1: its F1.
        level: the highest level at which it is reached: what lies strictly above is a defect.
    """

    f1: float
    level: int


@dataclass(frozen=True)
class KindFigures:
    """One kind of defect.

    Attributes:
        name: the kind.
        auroc: against all good images.
        caught: those above the threshold, out of all of the kind.
        review: those whose score lies in the guard band.
        pixel_auroc, aupro: of the images of this kind and all good ones, by the coarser steps.
    """

    name: str
    auroc: Figure
    caught: Rate
    review: int
    pixel_auroc: Figure
    aupro: Figure


@dataclass(frozen=True)
class EvaluationReport:
    """Everything counted.

    Attributes:
        image_auroc, image_ap: of the scores.
        best_f1: None without both classes.
        image_f1: the same F1 with its interval, the best threshold chosen anew in every draw.
        zero_miss: share of good images rejected by the highest threshold that misses no defect.
        zero_miss_level: that threshold; None where there is none.
        pixel_auroc, pixel_ap: of the judged maps, at map resolution.
        aupro: per-region overlap up to ``PRO_LIMIT``, divided by it (:meth:`Pixels.aupro`).
        pixel_f1: of the best threshold for pixels.
        pixel_f1_level: that threshold; None where there is none.
        false_rejects: good images above the threshold.
        misses: defects that are not.
        review_good, review_defects: images in the guard band.
        kinds: by kind of defect.
    """

    image_auroc: Figure
    image_ap: Figure
    best_f1: BestF1 | None
    image_f1: Figure
    zero_miss: Figure
    zero_miss_level: int | None
    pixel_auroc: Figure
    pixel_ap: Figure
    aupro: Figure
    pixel_f1: Figure
    pixel_f1_level: int | None
    false_rejects: Rate
    misses: Rate
    review_good: int
    review_defects: int
    kinds: tuple[KindFigures, ...]


class _Row(NamedTuple):
    """One image's pixels by step: int32 ``(steps,)`` twice, float32, and how many regions its mask has."""

    kind: str
    defect: bool
    sound: npt.NDArray[np.int32]
    faulty: npt.NDArray[np.int32]
    overlap: npt.NDArray[np.float32]
    regions: int


class Pixels:
    """Judged pixels by level, sound and faulty ones.

    Attributes:
        sound, faulty: int64 ``(65536,)``.
        overlap: float64 ``(65536,)``: every faulty region spreads 1 over the levels of its pixels.
        regions: how many regions.
    """

    def __init__(self) -> None:
        self.sound = np.zeros(MAX_LEVEL + 1, np.int64)
        self.faulty = np.zeros(MAX_LEVEL + 1, np.int64)
        self.overlap = np.zeros(MAX_LEVEL + 1, np.float64)
        self.regions = 0
        self._rows: list[_Row] = []
        self._pixel_figures: dict[str | None, PixelFigures] = {}

    def add(
        self,
        q: npt.NDArray[np.uint16],
        mask: npt.NDArray[np.bool_] | None,
        area: npt.NDArray[np.bool_] | None = None,
        kind: str = "",
    ) -> None:
        """Count a judged map.

        Args:
            q: uint16 ``(S, S)``.
            mask: bool ``(S, S)``, where it is faulty; None: a good part, faulty nowhere.
            area: bool ``(S, S)``, the pixels that are judged at all; None is all.
            kind: of its defect.
        """
        inside = np.ones(q.shape, np.bool_) if area is None else area
        bad = np.zeros(q.shape, np.bool_) if mask is None else mask & inside
        faulty = np.bincount(q[bad], minlength=MAX_LEVEL + 1)
        sound = np.bincount(q[inside & ~bad], minlength=MAX_LEVEL + 1)
        overlap: Counts = np.zeros(MAX_LEVEL + 1)
        regions = 0
        if bad.any():
            found, labels, stats, _ = cv2.connectedComponentsWithStats(bad.astype(np.uint8), connectivity=8)
            regions = found - 1
            weights = 1 / stats[labels[bad], cv2.CC_STAT_AREA]
            overlap = np.asarray(np.bincount(q[bad], weights, minlength=MAX_LEVEL + 1), np.float64)
        self.faulty += faulty
        self.sound += sound
        self.overlap += overlap
        self.regions += regions
        self._rows.append(
            _Row(
                kind,
                mask is not None,
                np.add.reduceat(sound, _STEPS).astype(np.int32),
                np.add.reduceat(faulty, _STEPS).astype(np.int32),
                np.add.reduceat(overlap, _STEPS).astype(np.float32),
                regions,
            )
        )
        self._pixel_figures.clear()

    def figures(self, kind: str | None = None) -> PixelFigures:
        """AUROC, average precision, AUPRO and best F1 over all pixels, ties and all, with their intervals.

        Args:
            kind: only the images of that kind and the good ones, by step; None: all, by level.
        """
        if kind not in self._pixel_figures:
            self._pixel_figures[kind] = self._figures(kind)
        return self._pixel_figures[kind]

    def _figures(self, kind: str | None) -> PixelFigures:
        rows = [row for row in self._rows if kind is None or row.kind == kind or not row.defect]
        if kind is None:
            sound, faulty, overlap, regions = self.sound, self.faulty, self.overlap, self.regions
        else:
            # An empty row first, for a kind without any image here.
            blank = np.zeros((1, len(_STEPS)))
            sound, faulty, overlap = (
                np.concatenate([blank, np.stack(found)]).sum(axis=0) if found else blank[0]
                for found in (
                    [row.sound for row in rows],
                    [row.faulty for row in rows],
                    [row.overlap for row in rows],
                )
            )
            regions = sum(row.regions for row in rows)
        if not faulty.any():
            return PixelFigures.none(NO_MASKS)
        if not sound.any():
            return PixelFigures.none(_NO_SOUND)
        there = np.flatnonzero((sound + faulty) > 0)
        bare = Curves.of(sound[None, there].astype(np.float64), faulty[None, there].astype(np.float64))
        f1, at = bare.best_f1()
        # What lies strictly above a level is found: to find all from ``there[at]`` on, the level below.
        lowest = int(there[at[0]]) if kind is None else int(_STEPS[there[at[0]]])
        figures = [
            Figure(float(bare.auroc()[0])),
            Figure(float(bare.average_precision()[0])),
            Figure(float(bare.aupro(overlap[None, there] / regions)[0])),
            Figure(float(f1[0])),
        ]
        auroc, precision, overlapping, best = _with_intervals(figures, self._drawn(rows))
        return PixelFigures(auroc, precision, overlapping, best, max(0, lowest - 1))

    def draws(self) -> Counts | None:
        """The four figures of each draw of the images, ``(RESAMPLES, 4)``; None with too few of them.

        The draws are the same for all maps of the same images: two models are compared draw by draw.
        """
        return self._drawn(self._rows)

    @staticmethod
    def _drawn(rows: Sequence[_Row]) -> Counts | None:
        """The four figures of each draw, ``(RESAMPLES, 4)``; None with too few images to draw from."""
        good = [row for row in rows if not row.defect]
        defect = [row for row in rows if row.defect]
        if len(defect) < 2 or len(good) == 1:
            return None
        ordered = [*good, *defect]
        sound = np.stack([row.sound for row in ordered]).astype(np.float64)
        faulty = np.stack([row.faulty for row in ordered]).astype(np.float64)
        overlap = np.stack([row.overlap for row in ordered]).astype(np.float64)
        used = (sound + faulty).any(axis=0)
        sound, faulty, overlap = sound[:, used], faulty[:, used], overlap[:, used]
        regions = np.array([row.regions for row in ordered], np.float64)

        def figures(weights: Counts) -> Counts:
            curves = Curves.of(weights @ sound, weights @ faulty)
            # A draw without any region has no overlap.
            count = weights @ regions
            count[count == 0] = np.nan
            return np.stack(
                [
                    curves.auroc(),
                    curves.average_precision(),
                    curves.aupro(weights @ overlap / count[:, None]),
                    curves.best_f1()[0],
                ],
                axis=1,
            )

        return _resampled(len(good), len(defect), figures)


class PixelFigures(NamedTuple):
    """Of the pixels.

    Attributes:
        auroc, average_precision: over all judged pixels.
        aupro: see :meth:`Curves.aupro`.
        f1: the best F1 that any threshold reaches.
        f1_level: that threshold; None where there is none.
    """

    auroc: Figure
    average_precision: Figure
    aupro: Figure
    f1: Figure
    f1_level: int | None

    @classmethod
    def none(cls, why: str) -> PixelFigures:
        """No figures, all for one reason."""
        figure = Figure(None, why)
        return cls(figure, figure, figure, figure, None)


@dataclass(frozen=True)
class Curves:
    """How many of each class lie at a level or above, for several data sets at once.

    Attributes:
        false, true: float64 ``(b, k + 1)``: of ``b`` data sets, from the highest level down, 0 first.
    """

    false: Counts
    true: Counts

    @classmethod
    def of(cls, negative: Counts, positive: Counts) -> Curves:
        """Of counts by level, ``(b, k)``, levels ascending."""
        return cls(*(_from_above(counts) for counts in (negative, positive)))

    def auroc(self) -> Counts:
        """``(b,)``; ties count half. NaN without both classes."""
        with np.errstate(invalid="ignore", divide="ignore"):
            area = np.sum(np.diff(self.false) * (self.true[:, 1:] + self.true[:, :-1]), axis=1) / 2
            return np.asarray(area / (self.false[:, -1] * self.true[:, -1]))

    def average_precision(self) -> Counts:
        """``(b,)``: precision at every level, weighted by what is found there. NaN without positives."""
        found = self.true[:, 1:] + self.false[:, 1:]
        precision = np.divide(self.true[:, 1:], found, out=np.zeros_like(found), where=found > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sum(np.diff(self.true) * precision, axis=1) / self.true[:, -1])

    def best_f1(self) -> tuple[Counts, npt.NDArray[np.intp]]:
        """The best F1, ``(b,)``, and the ascending position of the highest level that reaches it."""
        both = self.true[:, 1:] + self.false[:, 1:] + self.true[:, -1:]
        f1 = np.divide(2 * self.true[:, 1:], both, out=np.zeros_like(both), where=both > 0)
        at = np.argmax(f1, axis=1)  # the first from above
        return f1[np.arange(len(f1)), at], f1.shape[1] - 1 - at

    def aupro(self, overlap: Counts, limit: float = PRO_LIMIT) -> Counts:
        """Area under the per-region overlap over the share of sound pixels found, up to ``limit``.

        Every region counts alike, however large: a share of a region found is worth as much in a small one.

        Args:
            overlap: ``(b, k)``: share of a region's pixels at each level, averaged over regions.
            limit: the area is divided by it, so that 1 is perfect.

        Returns:
            ``(b,)``; NaN without sound pixels.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            share = self.false / self.false[:, -1:]
        found = _from_above(overlap)
        width = np.diff(share)
        # The step that crosses the limit counts as far as the limit, along the straight line to its end.
        inside = np.clip(limit - share[:, :-1], 0, width)
        part = np.divide(inside, width, out=np.zeros_like(width), where=width > 0)
        rise = np.diff(found)
        return np.asarray(np.sum(inside * (found[:, :-1] + part * rise / 2), axis=1) / limit)


def _from_above(counts: Counts) -> Counts:
    summed = np.cumsum(counts[:, ::-1], axis=1)
    return np.concatenate([np.zeros((len(counts), 1)), summed], axis=1)


def _resampled(good: int, defect: int, figures: Callable[[Counts], Counts]) -> Counts:
    """Figures of images drawn with replacement, as many as there are of each class.

    Args:
        good, defect: how many there are; the good ones come first.
        figures: from how often each image was drawn, ``(b, n)``, to ``(b, f)``.

    Returns:
        float64 ``(RESAMPLES, f)``, the same in every run.
    """
    rng = np.random.default_rng(0)
    drawn = []
    for start in range(0, RESAMPLES, _AT_A_TIME):
        many = min(_AT_A_TIME, RESAMPLES - start)
        parts = [
            rng.multinomial(n, np.full(n, 1 / n), size=many) if n else np.zeros((many, 0))
            for n in (good, defect)
        ]
        drawn.append(figures(np.concatenate(parts, axis=1).astype(np.float64)))
    return np.concatenate(drawn)


def _ends(drawn: Counts) -> tuple[float | None, float | None]:
    """The middle 95 % of the draws that have a figure at all."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None, None
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def image_draws(good: Levels, defect: Levels) -> Counts | None:
    """AUROC, average precision, best F1 and false rejects at zero miss of each draw, ``(RESAMPLES, 4)``; None
    with too few images. The draws are the same for all scores of the same images."""
    if len(good) < 2 or len(defect) < 2:
        return None
    levels, step = np.unique(np.concatenate([good, defect]), return_inverse=True)
    # Columns sorted by level, so that those of one level are next to each other.
    order = np.argsort(step, kind="stable")
    begins = np.searchsorted(step[order], np.arange(len(levels)))
    is_good = order < len(good)

    def figures(weights: Counts) -> Counts:
        ordered = weights[:, order]
        negative, positive = (
            np.add.reduceat(ordered * chosen, begins, axis=1) for chosen in (is_good, ~is_good)
        )
        curves = Curves.of(negative, positive)
        # From the lowest level with a defect on, everything is rejected.
        lowest = np.argmax(positive > 0, axis=1)
        rejected = np.where(np.arange(len(levels)) >= lowest[:, None], negative, 0).sum(axis=1) / len(good)
        return np.stack([curves.auroc(), curves.average_precision(), curves.best_f1()[0], rejected], axis=1)

    return _resampled(len(good), len(defect), figures)


def auroc(good: Levels, defect: Levels) -> Figure:
    """Probability that a defect scores above a good image, ties counting half."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(_curves(good, defect)[0].auroc()[0]))


def average_precision(good: Levels, defect: Levels) -> Figure:
    """Average precision of the scores, defects being what is looked for."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(_curves(good, defect)[0].average_precision()[0]))


def best_f1(good: Levels, defect: Levels) -> BestF1 | None:
    """The best F1 that any threshold reaches on these images; None without both classes."""
    if _missing(good, defect):
        return None
    curves, levels = _curves(good, defect)
    f1, at = curves.best_f1()
    # What the curves count is found *at* a level and above; a threshold finds what lies above it.
    return BestF1(float(f1[0]), max(0, int(levels[at[0]]) - 1))


def zero_miss(good: Levels, defect: Levels) -> tuple[Figure, int | None]:
    """Share of good images rejected by the highest threshold that misses no defect; and that one."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing), None
    level = int(defect.min()) - 1
    if level < 0:
        return Figure(None, "a defect scores 0: every threshold misses it"), None
    return Figure(float((good > level).mean())), level


def _with_intervals(figures: Sequence[Figure], drawn: Counts | None) -> list[Figure]:
    """Figures with the ends of their draws, in the order of their columns."""
    if drawn is None:
        return list(figures)
    return [
        figure if figure.value is None else replace(figure, low=low, high=high)
        for figure, (low, high) in zip(figures, map(_ends, drawn.T), strict=True)
    ]


def roc(good: Levels, defect: Levels) -> tuple[Counts, Counts, Levels]:
    """Shares of good and of defective images strictly above a threshold, and those thresholds, descending.

    Raises:
        ValueError: not both classes.
    """
    levels = _thresholds(good, defect)
    return _above(good, levels) / len(good), _above(defect, levels) / len(defect), levels


def precision_recall(good: Levels, defect: Levels) -> tuple[Counts, Counts, Levels]:
    """Recall and precision of the defects found above a threshold, and those thresholds, descending.

    Thresholds that find nothing have no precision and are left out.

    Raises:
        ValueError: not both classes.
    """
    levels = _thresholds(good, defect)
    true, false = _above(defect, levels), _above(good, levels)
    some = true + false > 0
    return true[some] / len(defect), true[some] / (true + false)[some], levels[some]


def _thresholds(good: Levels, defect: Levels) -> Levels:
    if missing := _missing(good, defect):
        raise ValueError(missing)
    levels = np.unique(np.concatenate([good, defect]).astype(np.int64))
    # Each score as threshold, and one below them all, which is none where a score is 0.
    return np.append(levels[::-1], levels[0] - 1)


def _above(scores: Levels, levels: Levels) -> Counts:
    return np.asarray((scores[None, :] > levels[:, None]).sum(axis=1), np.float64)


def evaluate(
    scores: Sequence[int],
    kinds: Sequence[str],
    verdicts: Sequence[str],
    threshold: int | None,
    pixels: Pixels,
    good_kind: str = "good",
) -> EvaluationReport:
    """All figures of a set of judged images.

    Args:
        scores: levels, one an image.
        kinds: ``good_kind``, or the kind of defect.
        verdicts: accept, review or reject.
        threshold: the level in use; None: nothing is counted at one.
        pixels: their judged maps, counted.
    """
    levels, labels = np.asarray(scores, np.int64), np.asarray(kinds, object)
    review = np.asarray([verdict == "review" for verdict in verdicts], np.bool_)
    if threshold is None:
        review = np.zeros(len(levels), np.bool_)
    is_good = labels == good_kind
    good, defect = levels[is_good], levels[~is_good]

    def rate(chosen: Levels, above: bool) -> Rate:
        if threshold is None:
            return Rate.counted(0, 0)
        return Rate.counted(int(((chosen > threshold) == above).sum()), len(chosen))

    by_kind = []
    for name in sorted(set(kinds) - {good_kind}):
        chosen = labels == name
        drawn = image_draws(good, levels[chosen])
        (of_kind,) = _with_intervals([auroc(good, levels[chosen])], None if drawn is None else drawn[:, :1])
        of_pixels = pixels.figures(name)
        by_kind.append(
            KindFigures(
                name,
                of_kind,
                rate(levels[chosen], True),
                int(review[chosen].sum()),
                of_pixels.auroc,
                of_pixels.aupro,
            )
        )
    best = best_f1(good, defect)
    none_missed, none_missed_level = zero_miss(good, defect)
    f1 = Figure(None, _missing(good, defect)) if best is None else Figure(best.f1)
    of_images = _with_intervals(
        [auroc(good, defect), average_precision(good, defect), f1, none_missed], image_draws(good, defect)
    )
    whole = pixels.figures()
    return EvaluationReport(
        image_auroc=of_images[0],
        image_ap=of_images[1],
        best_f1=best,
        image_f1=of_images[2],
        zero_miss=of_images[3],
        zero_miss_level=none_missed_level,
        pixel_auroc=whole.auroc,
        pixel_ap=whole.average_precision,
        aupro=whole.aupro,
        pixel_f1=whole.f1,
        pixel_f1_level=whole.f1_level,
        false_rejects=rate(good, True),
        misses=rate(defect, False),
        review_good=int(review[is_good].sum()),
        review_defects=int(review[~is_good].sum()),
        kinds=tuple(by_kind),
    )


def _missing(good: Levels, defect: Levels) -> str:
    if not len(good):
        return "there are no good images to compare with"
    return "" if len(defect) else "there are no defects to compare with"


def _curves(good: Levels, defect: Levels) -> tuple[Curves, Levels]:
    """The curves of one data set, and its levels, ascending."""
    levels = np.unique(np.concatenate([good, defect]))
    negative, positive = (
        np.bincount(np.searchsorted(levels, scores), minlength=len(levels))[None].astype(np.float64)
        for scores in (good, defect)
    )
    return Curves.of(negative, positive), levels

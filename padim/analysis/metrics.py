"""Metrics of detection on labelled images, with confidence intervals or the reason why there is no figure.

Pixels are counted in 65,536 levels, so that exact areas under curves need no more memory for a
thousand images than for one. For the intervals, the pixels of each image are counted in about 1,700
coarser steps, each less than half a percent of its level wide: images are then drawn with replacement
by adding rows of counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.guard_band import VerdictLimits
from padim.decision.operating_points import Rate
from padim.decision.part_scores import PartScores
from padim.decision.verdicts import VerdictCounts, count_verdicts

Levels = npt.NDArray[np.integer]
Counts = npt.NDArray[np.float64]

# The number of bootstrap draws for the intervals, and the number of draws processed at a time.
RESAMPLES = 1000
_AT_A_TIME = 100
# The overlap is integrated up to this share of good pixels above the threshold, as in
# MVTec's definition of AUPRO.
PRO_LIMIT = 0.3
NO_MASKS = "no masks: nobody has drawn where the defects are"
_NO_SOUND = "there is no sound pixel"
# The first level of each step: every level up to 256, then each step is 1/256 wider than the one before.
_STEPS = np.unique(
    np.concatenate([np.arange(257), (256 * (1 + 1 / 256) ** np.arange(1425)).astype(np.int64)])
)
_STEPS = _STEPS[_STEPS <= MAX_LEVEL]


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval, or the reason why there is none.

    The interval is a percentile bootstrap: images are drawn with replacement, good and defective ones
    separately. It cannot show an error that no image has: a perfect figure has an interval of one point, even
    for few images.

    Attributes:
        value: the figure; None if there is none.
        why: the reason if there is no figure; else empty.
        low, high: the ends of the interval; None if there is none, as with a single image of a class.
    """

    value: float | None
    why: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BestF1:
    """The threshold with the highest F1 score, optimistic because it is chosen on the same images.

    Attributes:
        f1: the F1 score at the threshold.
        level: the highest threshold with this F1 score; scores strictly above it are defects.
    """

    f1: float
    level: int


@dataclass(frozen=True)
class KindFigures:
    """The figures of one kind of defect.

    Attributes:
        name: the kind.
        auroc: the AUROC of the kind against all good images.
        caught: images of the kind that are not accepted: rejected or, with a guard band, in review.
        verdicts: the verdicts of the images of the kind; all 0 without a threshold.
        pixel_auroc, aupro: pixel figures of the images of this kind and all good images, in coarse steps.
    """

    name: str
    auroc: Figure
    caught: Rate
    verdicts: VerdictCounts
    pixel_auroc: Figure
    aupro: Figure


@dataclass(frozen=True)
class EvaluationReport:
    """All figures of an evaluation.

    Attributes:
        image_auroc, image_ap: AUROC and average precision of the image scores.
        best_f1: the best F1 of the image scores; None without both classes.
        image_f1: the same F1 with its interval; the best threshold is chosen again in every draw.
        zero_miss: the share of good images rejected at the highest threshold that misses no defect.
        zero_miss_level: that threshold; None if there is none.
        pixel_auroc, pixel_ap: AUROC and average precision of the level maps, at map resolution.
        aupro: the area under the per-region overlap up to ``PRO_LIMIT``, divided by it
            (:meth:`Curves.aupro`).
        pixel_f1: the best F1 of the pixels.
        pixel_f1_level: its threshold; None if there is none.
        false_rejects: good images rejected; with a guard band, those above it.
        misses: defects accepted; with a guard band, those below it.
        good, defects: the verdicts of the good images and of the defects; all 0 without a threshold.
        kinds: the figures by kind of defect.
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
    good: VerdictCounts
    defects: VerdictCounts
    kinds: tuple[KindFigures, ...]


class _Row(NamedTuple):
    """The pixel counts of one image by step: int32 or float32 ``(steps,)``, and its number of regions."""

    kind: str
    defect: bool
    sound: npt.NDArray[np.int32]
    faulty: npt.NDArray[np.int32]
    overlap: npt.NDArray[np.float32]
    regions: int


class Pixels:
    """Counts of scored pixels by level, for good and for defective pixels.

    Attributes:
        sound, faulty: int64 ``(65536,)``, the counts of good and of defective pixels.
        overlap: float64 ``(65536,)``: every defective region contributes a total of 1, spread over the levels
            of its pixels.
        regions: the number of defective regions.
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
        """Count the pixels of a level map.

        Args:
            q: uint16 ``(h, w)``, the level map.
            mask: bool ``(h, w)``, the defective pixels; None for a good part.
            area: bool ``(h, w)``, the pixels that are scored; None for all.
            kind: the kind of defect.
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
        """Return AUROC, average precision, AUPRO and best F1 over all pixels, with ties and intervals.

        Args:
            kind: use only the images of that kind and the good ones, in coarse steps; None
                uses all images, by level.
        """
        if kind not in self._pixel_figures:
            self._pixel_figures[kind] = self._figures(kind)
        return self._pixel_figures[kind]

    def _figures(self, kind: str | None) -> PixelFigures:
        rows = [row for row in self._rows if kind is None or row.kind == kind or not row.defect]
        if kind is None:
            sound, faulty, overlap, regions = self.sound, self.faulty, self.overlap, self.regions
        else:
            # An empty row first, for a kind without images.
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
        nonempty = np.flatnonzero((sound + faulty) > 0)
        bare = Curves.of(sound[None, nonempty].astype(np.float64), faulty[None, nonempty].astype(np.float64))
        f1, at = bare.best_f1()
        # Pixels strictly above a threshold are detected: to detect those at
        # ``nonempty[at]``, use the level below.
        lowest = int(nonempty[at[0]]) if kind is None else int(_STEPS[nonempty[at[0]]])
        figures = [
            Figure(float(bare.auroc()[0])),
            Figure(float(bare.average_precision()[0])),
            Figure(float(bare.aupro(overlap[None, nonempty] / regions)[0])),
            Figure(float(f1[0])),
        ]
        auroc, precision, overlapping, best = _with_intervals(figures, self._drawn(rows))
        return PixelFigures(auroc, precision, overlapping, best, max(0, lowest - 1))

    def draws(self) -> Counts | None:
        """Return the four figures of each bootstrap draw, ``(RESAMPLES, 4)``; None with too few images.

        The draws are the same for all maps of the same images, so that two models can be
        compared draw by draw.
        """
        return self._drawn(self._rows)

    @staticmethod
    def _drawn(rows: Sequence[_Row]) -> Counts | None:
        """Return the four figures of each draw of some images, ``(RESAMPLES, 4)``; None with too few."""
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
            # The overlap of a draw without regions is undefined.
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
    """The figures of the pixels.

    Attributes:
        auroc, average_precision: over all scored pixels.
        aupro: see :meth:`Curves.aupro`.
        f1: the best F1 of any threshold.
        f1_level: its threshold; None if there is none.
    """

    auroc: Figure
    average_precision: Figure
    aupro: Figure
    f1: Figure
    f1_level: int | None

    @classmethod
    def none(cls, why: str) -> PixelFigures:
        """Return figures without values, all for the same reason."""
        figure = Figure(None, why)
        return cls(figure, figure, figure, figure, None)


@dataclass(frozen=True)
class Curves:
    """Cumulative counts of each class at or above each level, for several data sets at once.

    Attributes:
        false, true: float64 ``(b, k + 1)`` for ``b`` data sets, from the highest level down, beginning with
            0.
    """

    false: Counts
    true: Counts

    @classmethod
    def of(cls, negative: Counts, positive: Counts) -> Curves:
        """Build the curves from counts by ascending level, ``(b, k)``."""
        return cls(*(_from_above(counts) for counts in (negative, positive)))

    def auroc(self) -> Counts:
        """Return the AUROC, ``(b,)``; ties count half; NaN without both classes."""
        with np.errstate(invalid="ignore", divide="ignore"):
            area = np.sum(np.diff(self.false) * (self.true[:, 1:] + self.true[:, :-1]), axis=1) / 2
            return np.asarray(area / (self.false[:, -1] * self.true[:, -1]))

    def average_precision(self) -> Counts:
        """Return the average precision, ``(b,)``; NaN without positives."""
        found = self.true[:, 1:] + self.false[:, 1:]
        precision = np.divide(self.true[:, 1:], found, out=np.zeros_like(found), where=found > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sum(np.diff(self.true) * precision, axis=1) / self.true[:, -1])

    def best_f1(self) -> tuple[Counts, npt.NDArray[np.intp]]:
        """Return the best F1, ``(b,)``, and the index, in ascending order, of the highest level with it."""
        both = self.true[:, 1:] + self.false[:, 1:] + self.true[:, -1:]
        f1 = np.divide(2 * self.true[:, 1:], both, out=np.zeros_like(both), where=both > 0)
        at = np.argmax(f1, axis=1)  # the first one from the highest level down
        return f1[np.arange(len(f1)), at], f1.shape[1] - 1 - at

    def aupro(self, overlap: Counts, limit: float = PRO_LIMIT) -> Counts:
        """Return the area under the per-region overlap as a function of the false-positive rate.

        Every region has the same weight, regardless of its size.

        Args:
            overlap: ``(b, k)``, the share of a region's pixels at each level, averaged over regions.
            limit: the largest false-positive rate; the area is divided by it, so that 1 is perfect.

        Returns:
            ``(b,)``; NaN without good pixels.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            share = self.false / self.false[:, -1:]
        found = _from_above(overlap)
        width = np.diff(share)
        # The step that crosses the limit is integrated up to the limit, along the straight line to its end.
        inside = np.clip(limit - share[:, :-1], 0, width)
        part = np.divide(inside, width, out=np.zeros_like(width), where=width > 0)
        rise = np.diff(found)
        return np.asarray(np.sum(inside * (found[:, :-1] + part * rise / 2), axis=1) / limit)


def _from_above(counts: Counts) -> Counts:
    summed = np.cumsum(counts[:, ::-1], axis=1)
    return np.concatenate([np.zeros((len(counts), 1)), summed], axis=1)


def _resampled(good: int, defect: int, figures: Callable[[Counts], Counts]) -> Counts:
    """Return figures of bootstrap draws: images drawn with replacement, as many of each class as there are.

    Args:
        good, defect: the number of images of each class; the good ones come first.
        figures: computes f figures ``(b, f)`` from the number of times each image was drawn, ``(b, n)``.

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
    """Return the ends of the middle 95 % of the draws, ignoring NaN."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None, None
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def image_draws(good: Levels, defect: Levels) -> Counts | None:
    """Return AUROC, average precision, best F1 and false rejects at zero miss of each bootstrap draw.

    The draws are the same for all scores of the same images.

    Args:
        good, defect: the scores of the images of each class.

    Returns:
        float64 ``(RESAMPLES, 4)``; None with too few images.
    """
    if len(good) < 2 or len(defect) < 2:
        return None
    levels, step = np.unique(np.concatenate([good, defect]), return_inverse=True)
    # Columns sorted by level, so that those of one level are adjacent.
    order = np.argsort(step, kind="stable")
    begins = np.searchsorted(step[order], np.arange(len(levels)))
    is_good = order < len(good)

    def figures(weights: Counts) -> Counts:
        ordered = weights[:, order]
        negative, positive = (
            np.add.reduceat(ordered * chosen, begins, axis=1) for chosen in (is_good, ~is_good)
        )
        curves = Curves.of(negative, positive)
        # All images at or above the lowest level with a defect are rejected.
        lowest = np.argmax(positive > 0, axis=1)
        rejected = np.where(np.arange(len(levels)) >= lowest[:, None], negative, 0).sum(axis=1) / len(good)
        return np.stack([curves.auroc(), curves.average_precision(), curves.best_f1()[0], rejected], axis=1)

    return _resampled(len(good), len(defect), figures)


def auroc(good: Levels, defect: Levels) -> Figure:
    """Return the AUROC: the probability that a defect scores above a good image, with ties counting half."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(_curves(good, defect)[0].auroc()[0]))


def average_precision(good: Levels, defect: Levels) -> Figure:
    """Return the average precision of the scores, with defects as the positive class."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(_curves(good, defect)[0].average_precision()[0]))


def best_f1(good: Levels, defect: Levels) -> BestF1 | None:
    """Return the best F1 of any threshold on these images; None without both classes."""
    if _missing(good, defect):
        return None
    curves, levels = _curves(good, defect)
    f1, at = curves.best_f1()
    # The curves count scores *at* a level or above; a threshold rejects scores above it.
    return BestF1(float(f1[0]), max(0, int(levels[at[0]]) - 1))


def zero_miss(good: Levels, defect: Levels) -> tuple[Figure, int | None]:
    """Return the share of good images rejected at the highest threshold without a miss, and the threshold."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing), None
    level = int(defect.min()) - 1
    if level < 0:
        return Figure(None, "a defect scores 0: every threshold misses it"), None
    return Figure(float((good > level).mean())), level


def _with_intervals(figures: Sequence[Figure], drawn: Counts | None) -> list[Figure]:
    """Return figures with intervals from their draws, which are columns in the same order."""
    if drawn is None:
        return list(figures)
    return [
        figure if figure.value is None else replace(figure, low=low, high=high)
        for figure, (low, high) in zip(figures, map(_ends, drawn.T), strict=True)
    ]


def roc(good: Levels, defect: Levels) -> tuple[Counts, Counts, Levels]:
    """Return the shares of good and defective images strictly above each threshold, and the thresholds.

    The thresholds are descending.

    Raises:
        ValueError: a class has no images.
    """
    levels = _thresholds(good, defect)
    return _above(good, levels) / len(good), _above(defect, levels) / len(defect), levels


def precision_recall(good: Levels, defect: Levels) -> tuple[Counts, Counts, Levels]:
    """Return recall and precision for scores strictly above each threshold, and the thresholds.

    The thresholds are descending. Thresholds that no score exceeds have no precision and are left out.

    Raises:
        ValueError: a class has no images.
    """
    levels = _thresholds(good, defect)
    true, false = _above(defect, levels), _above(good, levels)
    some = true + false > 0
    return true[some] / len(defect), true[some] / (true + false)[some], levels[some]


def _thresholds(good: Levels, defect: Levels) -> Levels:
    if missing := _missing(good, defect):
        raise ValueError(missing)
    levels = np.unique(np.concatenate([good, defect]).astype(np.int64))
    # Each score is a threshold, and the last one is below all scores (-1 if a score is 0).
    return np.append(levels[::-1], levels[0] - 1)


def _above(scores: Levels, levels: Levels) -> Counts:
    return np.asarray((scores[None, :] > levels[:, None]).sum(axis=1), np.float64)


def evaluate(
    scores: PartScores | Sequence[int],
    kinds: Sequence[str],
    limits: VerdictLimits | None,
    pixels: Pixels,
    good_kind: str = "good",
) -> EvaluationReport:
    """Compute all figures of a set of scored images.

    Args:
        scores: the scores of the images as levels, with their displacements where these are judged: the
            images are ranked by the joint levels.
        kinds: ``good_kind`` or the kind of defect of each image.
        limits: the limits of the verdicts; None leaves out the counts at a threshold.
        pixels: the pixel counts of the images.
        good_kind: the kind of good images.
    """
    images = scores if isinstance(scores, PartScores) else PartScores.of_map(scores)
    levels, labels = images.joint, np.asarray(kinds, object)
    is_good = labels == good_kind
    good, defect = levels[is_good], levels[~is_good]

    def verdicts(chosen: npt.NDArray[np.bool_]) -> VerdictCounts:
        return VerdictCounts() if limits is None else count_verdicts(images[chosen], limits)

    of_good, of_defects = verdicts(is_good), verdicts(~is_good)

    by_kind = []
    for name in sorted(set(kinds) - {good_kind}):
        chosen = labels == name
        drawn = image_draws(good, levels[chosen])
        (of_kind,) = _with_intervals([auroc(good, levels[chosen])], None if drawn is None else drawn[:, :1])
        of_pixels = pixels.figures(name)
        of_verdicts = verdicts(chosen)
        by_kind.append(
            KindFigures(
                name,
                of_kind,
                Rate.counted(of_verdicts.not_accepted, of_verdicts.total),
                of_verdicts,
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
    all_pixels = pixels.figures()
    return EvaluationReport(
        image_auroc=of_images[0],
        image_ap=of_images[1],
        best_f1=best,
        image_f1=of_images[2],
        zero_miss=of_images[3],
        zero_miss_level=none_missed_level,
        pixel_auroc=all_pixels.auroc,
        pixel_ap=all_pixels.average_precision,
        aupro=all_pixels.aupro,
        pixel_f1=all_pixels.f1,
        pixel_f1_level=all_pixels.f1_level,
        false_rejects=Rate.counted(of_good.reject, of_good.total),
        misses=Rate.counted(of_defects.accept, of_defects.total),
        good=of_good,
        defects=of_defects,
        kinds=tuple(by_kind),
    )


def _missing(good: Levels, defect: Levels) -> str:
    if not len(good):
        return "there are no good images to compare with"
    return "" if len(defect) else "there are no defects to compare with"


def _curves(good: Levels, defect: Levels) -> tuple[Curves, Levels]:
    """Return the curves of one data set, and its levels in ascending order."""
    levels = np.unique(np.concatenate([good, defect]))
    negative, positive = (
        np.bincount(np.searchsorted(levels, scores), minlength=len(levels))[None].astype(np.float64)
        for scores in (good, defect)
    )
    return Curves.of(negative, positive), levels

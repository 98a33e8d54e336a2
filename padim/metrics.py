"""How well a model tells good from defective, from labelled pictures; what cannot be told says why.

Pixels are counted by level, 65,536 of them, so that exact areas under curves need no more memory for a
thousand pictures than for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from padim.maps import MAX_LEVEL
from padim.operating import Rate

Levels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Figure:
    """A figure, or why there is none.

    Attributes:
        value: None where there is none.
        why: why not; empty where there is one.
    """

    value: float | None
    why: str = ""


@dataclass(frozen=True)
class BestF1:
    """The threshold with the highest F1 on these very pictures; flattering, for it was chosen on them.

    Attributes:
        f1: its F1.
        level: the highest level at which it is reached: what lies strictly above is a defect.
    """

    f1: float
    level: int


@dataclass(frozen=True)
class Kind:
    """One kind of defect.

    Attributes:
        name: the kind.
        auroc: against all good pictures.
        caught: those above the threshold, out of all of the kind.
        review: those whose score lies in the guard band.
    """

    name: str
    auroc: Figure
    caught: Rate
    review: int


@dataclass(frozen=True)
class Report:
    """Everything counted.

    Attributes:
        image_auroc, image_ap: of the scores.
        best_f1: None without both classes.
        pixel_auroc, pixel_ap: of the judged maps, at map resolution.
        false_rejects: good pictures above the threshold.
        misses: defects that are not.
        review_good, review_defects: pictures in the guard band.
        kinds: by kind of defect.
    """

    image_auroc: Figure
    image_ap: Figure
    best_f1: BestF1 | None
    pixel_auroc: Figure
    pixel_ap: Figure
    false_rejects: Rate
    misses: Rate
    review_good: int
    review_defects: int
    kinds: tuple[Kind, ...]


class Pixels:
    """Judged pixels by level, sound and faulty ones.

    Attributes:
        sound, faulty: int64 ``(65536,)``.
    """

    def __init__(self) -> None:
        self.sound = np.zeros(MAX_LEVEL + 1, np.int64)
        self.faulty = np.zeros(MAX_LEVEL + 1, np.int64)

    def add(
        self,
        q: npt.NDArray[np.uint16],
        mask: npt.NDArray[np.bool_] | None,
        area: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a judged map.

        Args:
            q: uint16 ``(S, S)``.
            mask: bool ``(S, S)``, where it is faulty; None is nowhere.
            area: bool ``(S, S)``, the pixels that are judged at all; None is all.
        """
        if mask is None:
            mask = np.zeros(q.shape, np.bool_)
        if area is not None:
            q, mask = q[area], mask[area]
        self.faulty += np.bincount(q[mask], minlength=MAX_LEVEL + 1)
        self.sound += np.bincount(q[~mask], minlength=MAX_LEVEL + 1)

    def figures(self) -> tuple[Figure, Figure]:
        """AUROC and average precision over all pixels, ties and all."""
        if not self.faulty.any():
            why = "no masks: nobody has drawn where the defects are"
            return Figure(None, why), Figure(None, why)
        if not self.sound.any():
            return (Figure(None, "there is no sound pixel"),) * 2
        levels = np.arange(MAX_LEVEL + 1)
        there = (self.sound + self.faulty) > 0
        scores = np.concatenate([levels[there]] * 2)
        truth = np.repeat([0, 1], int(there.sum()))
        weights = np.concatenate([self.sound[there], self.faulty[there]]).astype(np.float64)
        counted = weights > 0
        of = truth[counted], scores[counted]
        return (
            Figure(float(roc_auc_score(*of, sample_weight=weights[counted]))),
            Figure(float(average_precision_score(*of, sample_weight=weights[counted]))),
        )


def auroc(good: Levels, defect: Levels) -> Figure:
    """Probability that a defect scores above a good picture, ties counting half."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(roc_auc_score(*_labelled(good, defect))))


def average_precision(good: Levels, defect: Levels) -> Figure:
    """Average precision of the scores, defects being what is looked for."""
    missing = _missing(good, defect)
    if missing:
        return Figure(None, missing)
    return Figure(float(average_precision_score(*_labelled(good, defect))))


def best_f1(good: Levels, defect: Levels) -> BestF1 | None:
    """The best F1 that any threshold reaches on these pictures; None without both classes."""
    if _missing(good, defect):
        return None
    precision, recall, levels = precision_recall_curve(*_labelled(good, defect))
    # The last point has no level: it rejects nothing.
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
    at = int(np.flatnonzero(f1 == f1.max())[-1])
    # scikit-learn counts scores *at* the threshold as found, a verdict only those above it.
    return BestF1(float(f1[at]), max(0, int(levels[at]) - 1))


def evaluate(
    scores: Sequence[int],
    kinds: Sequence[str],
    verdicts: Sequence[str],
    threshold: int,
    pixels: Pixels,
    good_kind: str = "good",
) -> Report:
    """All figures of a set of judged pictures.

    Args:
        scores: levels, one a picture.
        kinds: ``good_kind``, or the kind of defect.
        verdicts: accept, review or reject.
        threshold: the level in use.
        pixels: their judged maps, counted.
    """
    levels, labels = np.asarray(scores, np.int64), np.asarray(kinds, object)
    review = np.asarray([verdict == "review" for verdict in verdicts], np.bool_)
    is_good = labels == good_kind
    good, defect = levels[is_good], levels[~is_good]
    by_kind = []
    for name in sorted(set(kinds) - {good_kind}):
        chosen = labels == name
        caught = int((levels[chosen] > threshold).sum())
        by_kind.append(
            Kind(
                name,
                auroc(good, levels[chosen]),
                Rate.counted(caught, int(chosen.sum())),
                int(review[chosen].sum()),
            )
        )
    return Report(
        auroc(good, defect),
        average_precision(good, defect),
        best_f1(good, defect),
        *pixels.figures(),
        Rate.counted(int((good > threshold).sum()), len(good)),
        Rate.counted(int((defect <= threshold).sum()), len(defect)),
        int(review[is_good].sum()),
        int(review[~is_good].sum()),
        tuple(by_kind),
    )


def _missing(good: Levels, defect: Levels) -> str:
    if not len(good):
        return "there are no good pictures to compare with"
    return "" if len(defect) else "there are no defects to compare with"


def _labelled(good: Levels, defect: Levels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    truth = np.repeat(np.array([0, 1], np.int64), [len(good), len(defect)])
    return truth, np.concatenate([good, defect]).astype(np.int64)

"""A labelled data set scored once, with figures for any threshold and smallest region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from padim.analysis.evaluation import Evaluation, evaluate_dataset
from padim.analysis.metrics import EvaluationReport
from padim.analysis.stored_score import StoredScore
from padim.decision.guard_band import Verdict

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.loading import Cancel, Progress
    from padim.model import Padim, Prediction

__all__ = ["OUTCOMES", "LabeledScore", "Outcome", "ScoredDataset", "score_dataset"]

Outcome = Literal["false_reject", "good_review", "miss", "defect_review", "caught", "passed"]
OUTCOMES: tuple[Outcome, ...] = ("false_reject", "good_review", "miss", "defect_review", "caught", "passed")
"""Good but rejected, good and in review, defective but accepted, defective and in review, defective and
rejected, good and accepted. Without a guard band nothing is in review."""
_OUTCOME: dict[tuple[bool, Verdict], Outcome] = {
    (True, "reject"): "false_reject",
    (True, "review"): "good_review",
    (True, "accept"): "passed",
    (False, "reject"): "caught",
    (False, "review"): "defect_review",
    (False, "accept"): "miss",
}


@dataclass(frozen=True, eq=False)
class LabeledScore(StoredScore):
    """The score of one labelled image.

    Attributes:
        kind: ``good`` or the kind of defect.
        good: whether the part is good.
        thumbnail: a small JPEG; None unless requested.
    """

    kind: str
    good: bool
    thumbnail: bytes | None


@dataclass(frozen=True, eq=False)
class ScoredDataset:
    """A labelled data set scored by one state of a model.

    Attributes:
        evaluation: the scores, labels and pixel counts.
        images: the scored images in the same order.
        min_area: the smallest region at the time of scoring.
    """

    evaluation: Evaluation
    images: tuple[LabeledScore, ...]
    min_area: int
    _reports: dict[tuple[int, int | None, str], EvaluationReport] = field(default_factory=dict, repr=False)

    def scores(self, model: Padim) -> list[int]:
        """Return the joint scores as levels, in the order of ``images``, for the smallest region in use.

        They are the scores of the maps, unless a displacement is judged and weighs more.
        """
        return [image.joint(model, model.config.min_area) for image in self.images]

    def report(self, model: Padim, level: int | None) -> EvaluationReport:
        """Return all figures at a threshold; None leaves out those that need a threshold."""
        key = model.config.min_area, level, repr(model.decision.guard)
        if key not in self._reports:
            scores = [image.score(model, model.config.min_area) for image in self.images]
            self._reports[key] = self.evaluation.report(model, level, scores)
        return self._reports[key]

    def by_kind(self, model: Padim) -> dict[str, list[float]]:
        """Return the scores in map units by kind, good parts first, then defects by name."""
        found: dict[str, list[float]] = {}
        pairs = zip(self.images, self.scores(model), strict=True)
        for image, score in sorted(pairs, key=lambda pair: (not pair[0].good, pair[0].kind)):
            found.setdefault(image.kind, []).append(model.state.fitted.quantizer.to_value(score))
        return found

    def classes(self, model: Padim) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the scores, as levels, of the good parts and of the defects."""
        scores = np.array(self.scores(model), np.int64)
        good = np.array([image.good for image in self.images], np.bool_)
        return scores[good], scores[~good]

    def confusion(self, model: Padim, level: int) -> dict[Outcome, list[tuple[LabeledScore, int]]]:
        """Return the images of every outcome with their scores: worst errors and closest decisions first."""
        cells: dict[Outcome, list[tuple[LabeledScore, int]]] = {outcome: [] for outcome in OUTCOMES}
        for image, score in zip(self.images, self.scores(model), strict=True):
            verdict = image.verdict(model, level, model.config.min_area)
            cells[_OUTCOME[image.good, verdict]].append((image, score))
        for outcome, pairs in cells.items():
            # High scores come first for good parts, low scores for defects.
            good = outcome in ("false_reject", "good_review", "passed")
            pairs.sort(key=lambda pair: -pair[1] if good else pair[1])
        return cells


def score_dataset(
    model: Padim,
    dataset: Dataset,
    *,
    thumbnail_side: int | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScoredDataset:
    """Score a labelled data set and compute its figures at the model's threshold.

    Args:
        model: a fitted model.
        dataset: the labelled images.
        thumbnail_side: the longest side of thumbnails in pixels; None creates none.
        batch_size: the number of images in a run of the network.
        progress: called as (done, total or None, stage).
        cancel: called between batches; returning True cancels.

    Raises:
        Cancelled: ``cancel`` returned True.
        PadimError: none of the images can be used.
    """
    images: list[LabeledScore] = []
    known: list[str] = []
    area, total = model.config.min_area, len(dataset)

    def report_progress(done: int, of: int | None, stage: str) -> None:
        if progress is not None:
            progress(done, of, stage)

    def scored(one: Prediction, kind: str) -> None:
        images.append(
            LabeledScore(
                one.name,
                one.sha256,
                one.original_size,
                one.content_box,
                one.grid,
                kind,
                dataset.samples[one.name].good,
                one.thumbnail,
                input_sha256=one.input_sha256,
                pose=one.pose,
                placement=one.placement,
                lost=one.lost,
                _scores={area: one.score_level},
            )
        )
        report_progress(len(images) + len(known), total, "Scoring")

    def passed(name: str) -> None:
        known.append(name)
        report_progress(len(images) + len(known), total, "Scoring")

    report_progress(0, total, "Scoring")
    evaluation = evaluate_dataset(
        model,
        dataset,
        cancel=cancel,
        on_scored=scored,
        on_known=passed,
        thumbnail_side=thumbnail_side,
        batch_size=batch_size,
    )
    report_progress(0, None, "Counting")
    found = ScoredDataset(evaluation, tuple(images), area)
    # Computed here, during the scoring job, because the intervals take a while.
    found.report(model, None if model.current_threshold is None else model.current_threshold.level)
    return found

"""Evaluation of a model on labelled images: each image is scored once, and its pixels compared with its mask.

Only the score, name and label of an image are kept, so that memory does not grow with the maps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from padim.analysis import metrics
from padim.analysis.fit_overlap import (
    KnownImages,
    LabelConflicts,
    all_known,
    left_out,
    passed_over,
    two_labels,
)
from padim.data.account import FileAccount, PassedOver
from padim.data.datasets import GOOD, Dataset, FolderUse, MaskAccount, at_map_resolution
from padim.decision.part_scores import PartScores
from padim.errors import ImageError, PadimError
from padim.text import count

if TYPE_CHECKING:
    from padim.model import Cancel, Padim, Prediction, Progress


@dataclass(frozen=True)
class EvaluatedImage:
    """The score of one labelled image.

    Attributes:
        name: its name in the data set.
        kind: ``good``, or the kind of defect.
        score: a level, for the smallest region set in the model at the time of scoring.
        masked: whether its defect has a usable mask.
        displaced: its displacement as a level, see :attr:`padim.Prediction.displaced_level`.
        to_review: whether the part was not found in it, and that calls for review.
    """

    name: str
    kind: str
    score: int
    masked: bool = False
    displaced: int = 0
    to_review: bool = False

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Evaluation:
    """The scores of a labelled data set.

    Attributes:
        layout: the layout of the data set.
        images: the images in the order of the data set.
        pixels: the pixel statistics of the good images and of the defects with a mask.
        failed: files that could not be used: images, and masks of usable images.
        known: the number of images that were in the fit; they are left out of the images and of all figures.
        seconds: the time for scoring, including reading and decoding but not the pixel statistics.
        calibrated: the number of images, counted, that take part in the calibration: good parts kept out of
            the fit.
        conflicts: the names of identical images of which one is labeled good and one as a defect, good first.
        passed_over: files of the data set that were not read, with the reason.
        folders: what each folder of the data set was taken for.
        mask_account: masks without an image, empty masks, and defects without a mask.
        masks_and_tables: the number of files used beside the images.
    """

    layout: str
    images: tuple[EvaluatedImage, ...]
    pixels: metrics.Pixels
    failed: tuple[ImageError, ...]
    known: int
    seconds: float
    passed_over: tuple[PassedOver, ...] = ()
    folders: tuple[FolderUse, ...] = ()
    mask_account: MaskAccount = field(default_factory=MaskAccount)
    masks_and_tables: int = 0
    calibrated: int = 0
    conflicts: tuple[tuple[str, str], ...] = ()

    @property
    def milliseconds(self) -> float:
        """Return the scoring time per image, of all images scored."""
        return self.seconds / (len(self.images) + self.known) * 1000

    @property
    def overlap_notes(self) -> list[str]:
        """Return sentences on images that the model knows, and on images under two labels."""
        notes = []
        if self.known:
            notes.append(f"{left_out(self.known, self.known + len(self.images))}.")
        if self.calibrated:
            notes.append(
                f"{count(self.calibrated, 'good part')} excluded from the fit took part in the calibration: "
                "scored as unseen and counted, but no evidence about the promised rate."
            )
        if self.conflicts:
            notes.append(f"{two_labels(self.conflicts)}.")
        return notes

    @property
    def account(self) -> FileAccount:
        """Return what became of every file of the data set; masks and tables are used as images are."""
        used = len(self.images) + self.masks_and_tables
        return FileAccount(used, self.failed, self.passed_over)

    @property
    def kinds(self) -> Counter[str]:
        """Return the number of images of each kind."""
        return Counter(image.kind for image in self.images)

    @property
    def masks(self) -> int:
        """Return the number of defects with a usable mask."""
        return sum(image.masked for image in self.images)

    def report(
        self, model: Padim, level: int | None, scores: list[int] | None = None
    ) -> metrics.EvaluationReport:
        """Compute all figures of the evaluation at a threshold.

        Args:
            model: provides the guard band.
            level: the threshold; None leaves out the counts at a threshold.
            scores: the scores of the images, if the smallest region has changed since they were scored.
        """
        scores = [image.score for image in self.images] if scores is None else scores
        decided = PartScores.of(
            (score, image.displaced, image.to_review)
            for score, image in zip(scores, self.images, strict=True)
        )
        limits = None if level is None else model.verdict_limits(level)
        kinds = [image.kind for image in self.images]
        return metrics.evaluate(decided, kinds, limits, self.pixels, GOOD)


def evaluate_dataset(
    model: Padim,
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_scored: Callable[[Prediction, str], None] | None = None,
    on_known: Callable[[str], None] | None = None,
    thumbnail_side: int | None = None,
    batch_size: int | None = None,
) -> Evaluation:
    """Score every image of a data set and compare its pixels with its mask.

    Args:
        model: scores the images.
        dataset: the labelled images.
        progress, cancel, thumbnail_side, batch_size: as for :meth:`padim.Padim.predict`.
        on_scored: called with each scored image that is counted, and its kind.
        on_known: called with the name of each image that was in the fit, which is not counted.

    Raises:
        Cancelled: ``cancel`` returned True.
        PadimError: none of the images can be used, or all were in the fit.
    """
    own, conflicts = KnownImages.of(model), LabelConflicts.of(model)
    pixels = metrics.Pixels()
    failed: list[ImageError] = []
    images: list[EvaluatedImage] = []
    known: list[str] = []
    calibrated, seconds = 0, 0.0
    predictions = model.predict(
        dataset,
        progress=progress,
        cancel=cancel,
        on_error=failed.append,
        thumbnail_side=thumbnail_side,
        batch_size=batch_size,
    )
    while True:
        begun = time.perf_counter()
        scored = next(predictions, None)
        seconds += time.perf_counter() - begun
        if scored is None:
            break
        sample = dataset.samples[scored.name]
        conflicts.add(scored.name, scored, good=sample.good)
        status = own.status(scored)
        if status == "fit":
            known.append(scored.name)
            if on_known is not None:
                on_known(scored.name)
            continue
        calibrated += status == "kept_out"
        mask = None
        if not sample.good:
            try:
                mask = dataset.mask(sample, scored.original_size)
            except ImageError as error:
                failed.append(error)
        images.append(
            EvaluatedImage(
                scored.name,
                sample.kind,
                scored.score_level,
                mask is not None,
                scored.displaced_level,
                bool(scored.lost) and scored.verdict == "review",
            )
        )
        # For a defective image without a mask it is unknown which pixels are defective.
        if sample.good or mask is not None:
            small = (
                None if mask is None else at_map_resolution(mask, model.state.preprocess, scored.placement)
            )
            area = model.state.scored_area(scored.original_size, scored.pose)
            pixels.add(scored.levels, small, area, sample.kind)
        if on_scored is not None:
            on_scored(scored, sample.kind)
    failed = [*dataset.skipped, *failed]
    if not images:
        raise PadimError(all_known(len(known)) if known else "none of the images could be used")
    return Evaluation(
        dataset.layout,
        tuple(images),
        pixels,
        tuple(failed),
        len(known),
        seconds,
        (*dataset.passed_over, *passed_over(known)),
        dataset.folders,
        dataset.mask_account,
        masks_and_tables(dataset, failed),
        calibrated,
        conflicts.pairs,
    )


def masks_and_tables(dataset: Dataset, failed: Iterable[ImageError]) -> int:
    """Return the number of files of a data set that are used beside its images."""
    others = sum(use.files for use in dataset.folders if use.taken_for.startswith(("masks", "table")))
    masks = {mask for sample in dataset.samples.values() for mask in sample.masks}
    return others - len(masks & {error.name for error in failed})

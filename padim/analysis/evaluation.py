"""Labelled images through a model: each scored once, its pixels counted against its mask.

What is kept of an image is its score, its name and its label: memory does not grow with the maps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padim.analysis import metrics
from padim.data.datasets import GOOD, Dataset, at_map_resolution
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.model import Cancel, Padim, Prediction, Progress


@dataclass(frozen=True)
class EvaluatedImage:
    """One labelled image.

    Attributes:
        name: in its dataset.
        kind: ``good``, or what is wrong with it.
        score: a level, for the smallest region that the model had when it was scored.
        masked: whether its defect came with a mask.
    """

    name: str
    kind: str
    score: int
    masked: bool = False

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == GOOD


@dataclass(frozen=True)
class Evaluation:
    """A data set, scored.

    Attributes:
        layout: of the data set.
        images: in the data set's order.
        pixels: of the good ones, and of the defects that come with a mask.
        failed: files that could not be used: images, and masks of images that could.
        known: how many of the images the model was fitted on.
        seconds: that scoring took, reading and decoding included, counting pixels not.
    """

    layout: str
    images: tuple[EvaluatedImage, ...]
    pixels: metrics.Pixels
    failed: tuple[ImageError, ...]
    known: int
    seconds: float

    @property
    def kinds(self) -> Counter[str]:
        """How many images of each kind."""
        return Counter(image.kind for image in self.images)

    @property
    def masks(self) -> int:
        """How many defects came with a mask that could be used."""
        return sum(image.masked for image in self.images)

    def report(
        self, model: Padim, level: int | None, scores: list[int] | None = None
    ) -> metrics.EvaluationReport:
        """All figures at a threshold.

        Args:
            model: knows the guard band.
            level: the threshold; None: no counts at one.
            scores: of the images, where the smallest region has changed since.
        """
        scores = [image.score for image in self.images] if scores is None else scores
        verdicts = ["" if level is None else model.verdict(score, level) for score in scores]
        kinds = [image.kind for image in self.images]
        return metrics.evaluate(scores, kinds, verdicts, level, self.pixels, GOOD)


def evaluate_dataset(
    model: Padim,
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_scored: Callable[[Prediction, str], None] | None = None,
    thumbnail_side: int | None = None,
    batch_size: int | None = None,
) -> Evaluation:
    """Score every image of a data set and count its pixels.

    Args:
        model: scores them.
        dataset: the labelled images.
        progress, cancel, thumbnail_side, batch_size: as for :meth:`padim.Padim.score`.
        on_scored: told of each image as it is scored, with its kind.

    Raises:
        Cancelled: ``cancel`` said so.
        PadimError: none of the images can be used.
    """
    fitted_on = {
        normal.sha256 for normal in model.normals_ if normal.status == "fit"
    } | model.network.adapted_with
    pixels = metrics.Pixels()
    failed: list[ImageError] = []
    images: list[EvaluatedImage] = []
    known, seconds = 0, 0.0
    scored_ones = model.predict(
        dataset,
        progress=progress,
        cancel=cancel,
        on_error=failed.append,
        thumbnail_side=thumbnail_side,
        batch_size=batch_size,
    )
    while True:
        begun = time.perf_counter()
        scored = next(scored_ones, None)
        seconds += time.perf_counter() - begun
        if scored is None:
            break
        sample = dataset.samples[scored.name]
        known += scored.sha256 in fitted_on
        mask = None
        if not sample.good:
            try:
                mask = dataset.mask(sample, scored.original_size)
            except ImageError as error:
                failed.append(error)
        images.append(EvaluatedImage(scored.name, sample.kind, scored.score_level, mask is not None))
        # Somewhere in a defect without a mask is the defect, nobody knows where.
        if sample.good or mask is not None:
            small = None if mask is None else at_map_resolution(mask, model.network.preprocess)
            pixels.add(scored.levels, small, model.state.scored_area(scored.original_size), sample.kind)
        if on_scored is not None:
            on_scored(scored, sample.kind)
    failed = [*dataset.skipped, *failed]
    if not images:
        raise PadimError("none of the images could be used")
    return Evaluation(dataset.layout, tuple(images), pixels, tuple(failed), known, seconds)

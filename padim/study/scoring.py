"""Fitting and scoring from features on disk, without running the network.

The fit and the part of the graph after the embedding are those of ordinary fitting and scoring, so that the
scores are the same, except for rounding by a network that ends at other layers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from padim.analysis import metrics
from padim.analysis.embedding_scores import level_maps
from padim.analysis.evaluation import EvaluatedImage, Evaluation
from padim.analysis.fit_overlap import KnownImages, LabelConflicts, all_known, passed_over
from padim.data.datasets import GOOD
from padim.data.loading import Watch
from padim.decision.regions import region_score
from padim.errors import ImageError, PadimError
from padim.fitting import fit_detector
from padim.methods.base import Task
from padim.model import Padim
from padim.storage.normals import Normal, join_duplicates
from padim.study.features import Features

__all__ = ["StudyModel", "evaluate"]


class StudyModel(Padim):
    """A model that is fitted on features shared with other models."""

    def fit_features(self, features: Features, watch: Watch, folder: Path) -> None:
        """Fit the model on extracted features.

        Args:
            features: features with all layers of the config.
            watch: reports progress and asks whether to cancel.
            folder: where long trainings save their progress.

        Raises:
            Cancelled: ``watch`` asked to cancel.
            PadimError: there are too few images for the method.
        """
        seen = features.record.normals
        normals = [
            Normal(
                one.name,
                one.sha256,
                f"#{place}",
                "fit",
                one.original_size,
                (0, 0),
                input_sha256=one.input_sha256,
            )
            for place, one in enumerate(seen)
        ]
        kept = self.network.channels(self.config)
        channels = features.channels(self.config.layers, kept)
        grouped = join_duplicates(normals)
        task = Task(features.normals, grouped, channels, self.config, watch, folder, drawn=kept)
        self._install(fit_detector(task))


def _maps(model: Padim, features: Features, watch: Watch) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
    """Yield the index and level map of every image for evaluation."""
    seen = features.record.tests
    maps = level_maps(
        model.state,
        features.tests,
        features.channels(model.config.layers, model.state.channels),
        [one.original_size for one in seen],
        model.config.input_shape,
        features.extractor.batch_size(model.state.fitted.detector.scoring_bytes()),
        watch,
        "Scoring images",
    )
    yield from enumerate(maps)


def evaluate(model: StudyModel, features: Features, layout: str, watch: Watch) -> Evaluation:
    """Evaluate a model like ``padim.analysis.evaluation.evaluate_dataset``, without running the network.

    The seconds of the evaluation do not include the network.

    Args:
        model: a model fitted on the same features.
        features: the features of the images.
        layout: the layout of their data set.
        watch: reports progress and asks whether to cancel.

    Raises:
        Cancelled: ``watch`` asked to cancel.
        PadimError: all images were in the fit.
    """
    record = features.record
    own, conflicts = KnownImages.of(model), LabelConflicts.of(model)
    pixels, images = metrics.Pixels(), []
    known: list[str] = []
    begun = time.perf_counter()
    for row, q in _maps(model, features, watch):
        seen = record.tests[row]
        conflicts.add(seen.name, seen, good=seen.kind == GOOD)
        if own.in_fit(seen):
            known.append(seen.name)
            continue
        mask = features.mask(seen)
        score = region_score(q, model.config.min_area)
        images.append(EvaluatedImage(seen.name, seen.kind, score, mask is not None))
        if images[-1].good or mask is not None:
            pixels.add(q, mask, model.state.scored_area(seen.original_size), seen.kind)
    if not images:
        raise PadimError(all_known(len(known)))
    failed = tuple(ImageError(name, why) for name, why in record.failed)
    return Evaluation(
        layout,
        tuple(images),
        pixels,
        failed,
        len(known),
        time.perf_counter() - begun,
        passed_over(known),
        conflicts=conflicts.pairs,
    )

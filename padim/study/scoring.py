"""Fitting and judging from features at hand: all of a model but its network.

The same learning and the same nodes behind the embedding as in an ordinary fit and score, so the same scores
but for the rounding of a network that was cut elsewhere.
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
from padim.data.loading import Watch
from padim.decision.regions import region_score
from padim.errors import ImageError
from padim.fitting import fit_detector
from padim.methods.base import Task
from padim.model import Padim
from padim.storage.normals import Normal, join_duplicates
from padim.study.features import Features

__all__ = ["StudyModel", "evaluate"]


class StudyModel(Padim):
    """A model whose normals' features are shared with others."""

    def fit_features(self, features: Features, watch: Watch, folder: Path) -> None:
        """Learn what is normal.

        Args:
            features: with all layers of the config.
            watch: for progress and cancelling.
            folder: keeps what a long training has done.

        Raises:
            Cancelled: ``watch`` asked to stop.
            PadimError: the method cannot learn from so few.
        """
        seen = features.record.normals
        normals = [
            Normal(one.name, one.sha256, f"#{place}", "fit", one.original_size, (0, 0))
            for place, one in enumerate(seen)
        ]
        kept = self.network.channels(self.config)
        channels = features.channels(self.config.layers, kept)
        grouped = join_duplicates(normals)
        task = Task(features.normals, grouped, channels, self.config, watch, folder, drawn=kept)
        self._install(fit_detector(task))


def _maps(model: Padim, features: Features, watch: Watch) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
    """The judged map of every image to judge, by its place among them."""
    seen = features.record.tests
    maps = level_maps(
        model.state,
        features.tests,
        features.channels(model.config.layers, model.state.channels),
        [one.original_size for one in seen],
        model.config.input_size,
        features.extractor.batch_size(model.state.fitted.detector.scoring_bytes()),
        watch,
        "Judging images",
    )
    yield from enumerate(maps)


def evaluate(model: StudyModel, features: Features, layout: str, watch: Watch) -> Evaluation:
    """As :func:`padim.analysis.evaluation.evaluate`, without the network; its seconds are those of the rest.

    Args:
        model: learnt from the same features.
        features: of the images.
        layout: of their data set.
        watch: for progress and cancelling.

    Raises:
        Cancelled: ``watch`` asked to stop.
    """
    record = features.record
    fitted_on = {seen.sha256 for seen in record.normals}
    pixels, images, known = metrics.Pixels(), [], 0
    begun = time.perf_counter()
    for row, q in _maps(model, features, watch):
        seen = record.tests[row]
        mask = features.mask(seen)
        score = region_score(q, model.config.min_area)
        images.append(EvaluatedImage(seen.name, seen.kind, score, mask is not None))
        known += seen.sha256 in fitted_on
        if images[-1].good or mask is not None:
            pixels.add(q, mask, model.state.scored_area(seen.original_size), seen.kind)
    failed = tuple(ImageError(name, why) for name, why in record.failed)
    return Evaluation(layout, tuple(images), pixels, failed, known, time.perf_counter() - begun)

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
import onnxruntime as ort

from padim import metrics
from padim.errors import ImageError, PadimError
from padim.evaluation import Judged, Picture
from padim.graph import behind_embedding_graph
from padim.learning import learn
from padim.maps import inside, region_score
from padim.model import Padim
from padim.normals import Normal, join_duplicates
from padim.pipeline import Watch
from padim.runtime import device_of, open_session, run_session
from padim.scorer import NO_NUMBERS
from padim.study.features import Features
from padim.task import Task

__all__ = ["LearntPadim", "judge"]


class LearntPadim(Padim):
    """A model whose normals' features are shared with others."""

    def learn(self, features: Features, watch: Watch, folder: Path) -> None:
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
        channels = features.channels(self.config.layers, self.channels)
        grouped = join_duplicates(normals)
        task = Task(features.normals, grouped, channels, self.config, watch, folder, drawn=self.channels)
        self._install(learn(task))


def _maps(model: Padim, features: Features, watch: Watch) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
    """The judged map of every picture to judge, by its place among them."""
    judge, seen = model.judge, features.record.tests
    detector, size = judge.fitted.detector, model.config.input_size
    channels = features.channels(model.config.layers, model.channels)
    kept = np.arange(len(channels))
    grid = model.config.grid
    graph = behind_embedding_graph(detector.piece(len(channels)), kept, size)
    session = open_session(graph)
    # The OrtValues borrow the scorer's arrays, which live as long as the model.
    inputs = {
        name: ort.OrtValue.ortvalue_from_numpy(array, device_of(session), 0)
        for name, array in judge.scorer.arrays.items()
    }
    at_once = features.extractor.batch_size(detector.scoring_bytes())
    for start in range(0, len(seen), at_once):
        rows = range(start, min(start + at_once, len(seen)))
        watch.step(start, len(seen), "Judging pictures")
        records = features.tests.read(rows, channels).transpose(0, 2, 1)
        embedding = np.ascontiguousarray(records).reshape(len(rows), len(channels), grid, grid)
        feed = {**inputs, "all_channels": ort.OrtValue.ortvalue_from_numpy(embedding)}
        boxes = [judge.content_box(seen[row].original_size) for row in rows]
        if any(box is not None for box in boxes):
            own = np.stack([np.broadcast_to(inside((size,) * 2, None, box), (size,) * 2) for box in boxes])
            feed["inside"] = ort.OrtValue.ortvalue_from_numpy(own)
        distance, maps = run_session(session, ["distance", "map"], feed)
        if not np.isfinite(distance).all():
            raise PadimError(f"a picture: {NO_NUMBERS}")
        yield from zip(rows, maps, strict=True)
    watch.step(len(seen), len(seen), "Judging pictures")


def judge(model: LearntPadim, features: Features, layout: str, watch: Watch) -> Judged:
    """As :func:`padim.evaluation.judge`, without the network; its seconds are those of the rest.

    Args:
        model: learnt from the same features.
        features: of the pictures.
        layout: of their data set.
        watch: for progress and cancelling.

    Raises:
        Cancelled: ``watch`` asked to stop.
    """
    record = features.record
    fitted_on = {seen.sha256 for seen in record.normals}
    pixels, pictures, known = metrics.Pixels(), [], 0
    begun = time.perf_counter()
    for row, q in _maps(model, features, watch):
        seen = record.tests[row]
        mask = features.mask(seen)
        score = region_score(q, model.config.min_area)
        pictures.append(Picture(seen.name, seen.kind, score, mask is not None))
        known += seen.sha256 in fitted_on
        if pictures[-1].good or mask is not None:
            pixels.add(q, mask, model.judge.judged_area(seen.original_size), seen.kind)
    failed = tuple(ImageError(name, why) for name, why in record.failed)
    return Judged(layout, tuple(pictures), pixels, failed, known, time.perf_counter() - begun)

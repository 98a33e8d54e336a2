"""The figures of an evaluated category with their draws: metrics, time, model size, and painted defects."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from padim.analysis import metrics, sensitivity
from padim.analysis.evaluation import Evaluation
from padim.analysis.metrics import Figure
from padim.config import PadimConfig
from padim.data.datasets import GOOD
from padim.data.loading import Watch
from padim.decision.operating_points import Rate
from padim.errors import CalibrationError
from padim.model import Padim
from padim.study.data import Category
from padim.study.result import FIGURES, Result, ScoredImage

__all__ = ["counted", "milliseconds", "painted_recall"]

# The number of images timed.
_TIMED = 8
# Places painted on each image. Few, because every configuration scores them.
_PLACES = 2

Draws = npt.NDArray[np.float32]


def counted(
    category: Category, config: PadimConfig, model: Padim, evaluation: Evaluation
) -> tuple[Result, Draws]:
    """Return all figures of an evaluated category, and their bootstrap draws."""
    level = None if model.current_threshold is None else model.current_threshold.level
    report = evaluation.report(model, level)
    promise = None
    if level is not None:
        try:
            promise = model.state.false_rejects(level, model.config.min_area)
        except CalibrationError:
            promise = None
    misses = report.misses
    no_painted_defects = Figure(None, "there are real defects to evaluate on")
    result = Result(
        category=category.name,
        config=config,
        figures={
            "image_auroc": report.image_auroc,
            "image_ap": report.image_ap,
            "image_f1": report.image_f1,
            "pixel_auroc": report.pixel_auroc,
            "pixel_ap": report.pixel_ap,
            "aupro": report.aupro,
            "pixel_f1": report.pixel_f1,
            "painted_recall": no_painted_defects,
        },
        promised=None if promise is None else promise.expected,
        promised_upper=None if promise is None else promise.upper,
        false_rejects=report.false_rejects,
        caught=Rate.counted(misses.of - misses.count, misses.of),
        fit_seconds=0.0,
        method_seconds=0.0,
        shared=False,
        milliseconds=0.0,
        model_bytes=_bytes(model),
        known=evaluation.known,
        conflicts=evaluation.conflicts,
        images=tuple(ScoredImage(name=one.name, kind=one.kind, score=one.score) for one in evaluation.images),
        failed=tuple((error.name, error.reason) for error in evaluation.failed),
    )
    draws = np.full((metrics.RESAMPLES, len(FIGURES)), np.nan, np.float32)
    of_images = metrics.image_draws(*result.scores())
    if of_images is not None:
        draws[:, :3] = of_images[:, :3]
    of_pixels = evaluation.pixels.draws() if evaluation.masks else None
    if of_pixels is not None:
        auroc, precision, overlap, f1 = of_pixels.T
        draws[:, 3:7] = np.stack([auroc, precision, overlap, f1], axis=1)
    return result, draws


def _bytes(model: Padim) -> int:
    """Return the size in bytes of the network and the fitted detector."""
    contents = model.state.fitted.detector.files().values()
    return len(model.network.extractor.backbone_onnx) + sum(
        len(content) if isinstance(content, bytes) else content.nbytes for content in contents
    )


def milliseconds(model: Padim, category: Category, watch: Watch) -> float:
    """Return the milliseconds from a single image file to its score, measured on a few images."""
    samples = list(category.tests.samples.values())
    chosen = [samples[i] for i in sorted({i * len(samples) // _TIMED for i in range(_TIMED)})]
    images = list(category.tests.only(chosen))
    durations: list[float] = []
    for image in [*images[:1], *images]:
        begun = time.perf_counter()
        if any(True for _ in model.predict([image], cancel=watch.cancel, on_error=lambda error: None)):
            durations.append(time.perf_counter() - begun)
    # The first image opens sessions and fills caches and is not counted. Of the others the 25th percentile is
    # used, which hardly depends on other load of the computer.
    return float(np.percentile(durations[1:], 25)) * 1000 if durations[1:] else 0.0


def painted_recall(
    model: Padim, category: Category, images: int, watch: Watch
) -> tuple[Figure, npt.NDArray[np.float64], int]:
    """Return the share of painted defects found, its draws, and the number of images painted on."""
    good = [sample for sample in category.tests.samples.values() if sample.kind == GOOD]
    none = np.full(metrics.RESAMPLES, np.nan)
    try:
        found = sensitivity.measure(
            model,
            category.tests.only(good),
            places=_PLACES,
            most_images=images,
            progress=watch.progress,
            cancel=watch.cancel,
            on_error=lambda error: None,
        )
    except CalibrationError as error:
        return Figure(None, str(error)), none, 0
    of = found.image_of
    caught = np.bincount(of, found.caught.sum(axis=(1, 2, 3)), len(found.images))
    tried = np.bincount(of, (~found.void).sum(axis=(1, 2, 3)), len(found.images))
    if not tried.sum():
        return Figure(None, "every painted place alarms before it is painted"), none, len(found.images)
    # Images are drawn, not places, because the places of one image are correlated.
    n = len(found.images)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=metrics.RESAMPLES)
    tries = weights @ tried
    drawn = np.divide(weights @ caught, tries, out=np.full(metrics.RESAMPLES, np.nan), where=tries > 0)
    if n < 2:
        return Figure(found.share), none, n
    low, high = map(float, np.nanpercentile(drawn, (2.5, 97.5)))
    return Figure(found.share, "", low, high), drawn, n

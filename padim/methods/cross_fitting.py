"""Cross-fitting: held-out distances from several models, each fitted without some parts.

It serves the methods without a closed form for leave-one-out. The parts are divided into folds. For every
fold a model is fitted on the parts of the other folds, and it scores the parts of its own fold, which it has
not seen in any way: the parts that decide when its training stops, and everything else that is measured
during training, are taken from the parts that it is fitted on. Finally one model is fitted on all parts,
divided in the same way into training and stopping parts; it is the detector. As every model is made the same
way, the scores of good parts by models fitted without them predict how the detector scores future parts. The
models of the folds are fitted on slightly fewer parts than the detector, so that the scores are slightly too
high: good parts are rejected less often than promised, not more often.

With fewer parts than folds, the parts are left out one at a time. Of the two parts that then remain of three,
one is trained on and the other decides when to stop: there is little to train on, but no part is scored by a
model that has seen it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from padim.config import is_as_before
from padim.methods.base import FitResult, Losses, Task, in_windows
from padim.methods.training import Turn
from padim.network.detector import Detector, EmbeddingDetector

# Fits a detector on the rows of one training; returns it with its loss curves.
Fit: TypeAlias = Callable[[Turn], tuple[Detector, tuple[Losses, ...]]]
# Computes the distances (n, p) of some normal images by a detector.
Measure: TypeAlias = Callable[[Detector, Sequence[int]], npt.NDArray[np.floating]]

# The share of the parts of a training that decide when it stops.
STOP_SHARE = 0.15
# These settings are left out as long as they are as before they were introduced, so that trainings stopped
# then can be resumed.
_LATER = ("bit_depth", "align")
# These settings affect scoring only: fitting does not read them.
_NOT_FITTED_ON = ("smoothing_sigma", "min_area", "pixel_size_mm")


def cross_fit(task: Task, fit: Fit, measure: Measure | None = None) -> FitResult:
    """Fit a detector on all parts, and score each part by a model fitted without it.

    Args:
        task: the normal images and the settings.
        fit: fits on ``turn.rows``, stops by ``turn.stop_rows``, and reads no other row.
        measure: computes the distances of some rows; by default ``detector.distances`` of their embeddings.

    Returns:
        The detector fitted on all parts; the held-out distances, zeros for the images in the fit where there
        are too few parts; the loss curves of all trainings, that of all parts first.

    Raises:
        Cancelled: ``task.watch`` asked to cancel.
    """
    measure = measure or _of_embeddings(task)
    held_out = np.zeros((len(task.normals), task.positions), np.float32)
    folds = deal(_in_order(task, "folds"), task.config.folds) if task.calibrated else []
    losses: list[tuple[Losses, ...]] = []

    def score(detector: Detector, rows: Sequence[int], turn: Turn) -> None:
        for window in in_windows(rows):
            turn.check()
            held_out[window] = measure(detector, window)

    for turn, left_out in _turns(task, folds, fit.__module__):
        detector, curves = fit(turn)
        score(detector, left_out, turn)
        losses.append(curves)
    task.watch.step(1, 1, "Trained")
    return FitResult(detector, held_out, tuple(chain.from_iterable([losses[-1], *losses[:-1]])))


def _of_embeddings(task: Task) -> Measure:
    def measure(detector: Detector, rows: Sequence[int]) -> npt.NDArray[np.floating]:
        assert isinstance(detector, EmbeddingDetector)  # methods with other detectors pass their own measure
        return detector.distances(task.read(rows))

    return measure


def _turns(task: Task, folds: Sequence[Sequence[str]], kind: str) -> Iterable[tuple[Turn, list[int]]]:
    """Yield every training with the rows that its model is to score; the training on all parts comes last."""
    key = _key(task, kind)
    for number, left_out in enumerate([*folds, ()]):
        name = f"without fold {number + 1}" if left_out else "all parts"
        parts = [part for part in _in_order(task, f"stop {name}") if part not in left_out]
        stop = parts[: stop_parts(len(parts))]
        turn = Turn(
            name,
            _rows(task.parts, parts[len(stop) :]),
            _rows(task.parts, stop),
            task.config.seed,
            number,
            len(folds) + 1,
            task.watch,
            task.folder,
            key,
        )
        yield turn, _rows(task.parts, left_out) if left_out else task.out_rows


def deal(parts: Sequence[str], folds: int) -> list[list[str]]:
    """Divide parts into folds whose sizes differ by at most one; no more folds than there are parts."""
    count = min(folds, len(parts))
    return [list(parts[start::count]) for start in range(count)]


def stop_parts(count: int) -> int:
    """Return how many of a training's parts decide when it stops: at least one, of two parts or more."""
    return min(max(1, round(STOP_SHARE * count)), count - 1)


def _in_order(task: Task, purpose: str) -> list[str]:
    """Return the parts in a seeded order that depends on the content of their images only."""

    def place(part: str) -> tuple[bytes, str]:
        keys = sorted(task.normals[row].sha256 for row in task.parts[part])
        text = json.dumps([task.config.seed, purpose, keys])
        return hashlib.sha256(text.encode()).digest(), part

    return sorted(task.parts, key=place)


def _rows(parts: Mapping[str, Sequence[int]], chosen: Iterable[str]) -> list[int]:
    return sorted(chain.from_iterable(parts[part] for part in chosen))


def _key(task: Task, kind: str) -> str:
    """Return a hash of all that the trainings of a task depend on, except the rows of each training."""
    settings = {
        name: value
        for name, value in task.config.under_former_names().items()
        if name not in _NOT_FITTED_ON and not (name in _LATER and is_as_before(name, value))
    }
    images = [normal.sha256 for normal in task.normals]
    parts = [kind, settings, task.feature_store.identity, task.channels.tolist(), images]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

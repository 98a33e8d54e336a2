"""Held-out distances for methods without a closed form: several models, each learnt without some parts.

The parts are dealt into folds. For every fold a model is learnt from the other folds' parts, and it scores
the parts of its own, which it has not seen in any way: the parts that say when its training stops, and
everything else that is measured while learning, come out of the parts that it learns from. At last one model
is learnt from all parts, split alike; it is the detector. So every model is made the same way, and how a good
part is scored by a model without it says what the detector makes of parts to come. The folds' models are of
a little fewer parts each, so that the scores come out a little too high: good parts are rejected more seldom
than promised, not more often.

Fewer parts than folds are left out one at a time. Of the two parts that are then left of three, one is learnt
from and the other stops: little to learn from, but nothing is scored by what has seen it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from padim.methods.base import FitResult, Losses, Task, in_windows
from padim.methods.training import Turn
from padim.network.detector import Detector, EmbeddingDetector

# What a method makes of one training's rows: a detector, and the curves.
Fit: TypeAlias = Callable[[Turn], tuple[Detector, tuple[Losses, ...]]]
# Distances of some normals by a detector: (n, p).
Measure: TypeAlias = Callable[[Detector, Sequence[int]], npt.NDArray[np.floating]]

# Of the parts that a model is learnt from, those that say when to stop.
STOP_SHARE = 0.15
# Judging only: learning does not read them.
_NOT_FITTED_ON = ("smoothing_sigma", "min_area")


def cross_fit(task: Task, fit: Fit, measure: Measure | None = None) -> FitResult:
    """Learn from all parts, and score each by a model without it.

    Args:
        task: the normals, and what to make of them.
        fit: learns from ``turn.rows``, stops by ``turn.stop_rows``, and looks at no other row.
        measure: the distances of some rows; without it, ``detector.distances`` of their embeddings.

    Returns:
        The detector of all parts; held-out distances, zeros for those in the fit where parts are too few;
        the curves of all trainings, that of all parts first.

    Raises:
        Cancelled: ``task.watch`` asked to stop.
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
        assert isinstance(detector, EmbeddingDetector)  # others bring a measure of their own
        return detector.distances(task.read(rows))

    return measure


def _turns(task: Task, folds: Sequence[Sequence[str]], kind: str) -> Iterable[tuple[Turn, list[int]]]:
    """Every training, and the rows to be scored behind it; that of all parts is the last."""
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
    """Parts in folds whose sizes differ by one at most; fewer parts than folds make as many folds."""
    count = min(folds, len(parts))
    return [list(parts[start::count]) for start in range(count)]


def stop_parts(count: int) -> int:
    """How many of the parts that a model is learnt from say when to stop: one at least, if one is left."""
    return min(max(1, round(STOP_SHARE * count)), count - 1)


def _in_order(task: Task, purpose: str) -> list[str]:
    """The parts in a seeded order that follows from what their images show, not from how they came."""

    def place(part: str) -> tuple[bytes, str]:
        keys = sorted(task.normals[row].sha256 for row in task.parts[part])
        text = json.dumps([task.config.seed, purpose, keys])
        return hashlib.sha256(text.encode()).digest(), part

    return sorted(task.parts, key=place)


def _rows(parts: Mapping[str, Sequence[int]], chosen: Iterable[str]) -> list[int]:
    return sorted(chain.from_iterable(parts[part] for part in chosen))


def _key(task: Task, kind: str) -> str:
    """Of everything that a training of this task depends on, except which rows are its own."""
    settings = {
        name: value for name, value in task.config.under_former_names().items() if name not in _NOT_FITTED_ON
    }
    images = [normal.sha256 for normal in task.normals]
    parts = [kind, settings, task.feature_store.identity, task.channels.tolist(), images]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

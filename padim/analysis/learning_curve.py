"""Learning curves: how many good parts a model needs, measured by fits on random subsets of its parts.

For each number of parts, seeded random subsets are fitted from the embeddings on disk, with the model's own
method and settings: the network does not run. A part is drawn with all its images. Parts that are not drawn
have the status ``kept_out`` in that fit, so that they are scored as unseen parts, and the share of them that
is rejected can be compared with the promised rate. Each fit derives its threshold from its own held-out
scores, like a model of that many parts would (docs/design.md, section 4.5).

Defects, labelled or painted, are scored by every fit from their embeddings
(:mod:`padim.analysis.defect_sets`). The text conclusions are in :mod:`padim.analysis.learning_advice`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.defect_sets import CARRIERS, LabeledDefects, PaintedDefects
from padim.analysis.learning_figures import Defects, LearningCurve, Size, Trial
from padim.data.loading import Cancel, Image, OnError, Progress, Watch
from padim.decision.calibration import FEWEST_PARTS, false_reject_rate, to_permille
from padim.decision.operating_points import Rate
from padim.errors import PadimError
from padim.fitting import fit_detector
from padim.methods import catalogue
from padim.methods.base import Task
from padim.scoring import ScoringState
from padim.storage.leftovers import ScratchFolder
from padim.storage.working_set import naming_damage

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.normals import Normal

__all__ = [
    "DRAWS",
    "FEWEST",
    "check_model",
    "default_sizes",
    "fits_of",
    "good_parts",
    "learning_curve",
    "subset_state",
]

# The smallest number of good parts for a curve, and the smallest subset drawn by default.
FEWEST, SMALLEST = 20, 10
# The number of subsets of each size.
DRAWS = 5
_LADDER = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000)
# Larger subsets leave out too few parts for a meaningful comparison.
_LARGEST_SHARE = 0.8

# --- subsets ------------------------------------------------------------------------------------------


def default_sizes(parts: int) -> tuple[int, ...]:
    """Return the subset sizes to try for a number of available parts: 10, 20, 30, 50 ... and all.

    About half of all parts is among the sizes, so that the gain of the last doubling can be computed.
    """
    sizes = {size for size in _LADDER if size <= _LARGEST_SHARE * parts}
    half = parts // 2
    if half >= SMALLEST and not any(0.8 <= size / half <= 1.25 for size in sizes):
        sizes.add(half)
    return (*sorted(sizes), parts)


def fits_of(parts: int, draws: int) -> int:
    """Return the default number of fits: ``draws`` for every size except the size of all parts."""
    return (len(default_sizes(parts)) - 1) * draws


def _parts_by_status(normals: Sequence[Normal]) -> tuple[list[str], list[str]]:
    """Return the good parts in the fit and those kept out of it, in the order of their first images."""
    status_of = {normal.group: normal.status for normal in normals}
    fit, kept_out = (
        [group for group, status in status_of.items() if status == wanted] for wanted in ("fit", "kept_out")
    )
    return fit, kept_out


def _drawn(fit: Sequence[str], kept_out: Sequence[str], size: int, seed: int, draw: int) -> frozenset[str]:
    """Return a random subset of the parts, with the same share of kept-out parts as among all parts."""
    rng = np.random.default_rng([seed, size, draw])
    kept_out_count = _out_drawn(len(fit), len(kept_out), size)
    chosen = [
        parts[int(place)]
        for parts, count in ((fit, size - kept_out_count), (kept_out, kept_out_count))
        for place in rng.permutation(len(parts))[:count]
    ]
    return frozenset(chosen)


def _out_drawn(fit: int, kept_out: int, size: int) -> int:
    """Return the number of kept-out parts in a subset of a given size."""
    return max(round(size * kept_out / (fit + kept_out)), size - fit)


def subset_state(model: Padim, drawn: Iterable[str], watch: Watch | None = None) -> ScoringState:
    """Fit a model on some of its parts only, from the embeddings on disk, and return the scoring state.

    Args:
        model: a model with its features on disk; is not modified.
        drawn: the groups of the parts that keep their status; all other good parts are kept out of the fit.
        watch: asks whether to cancel.

    Raises:
        PadimError: no part of the fit is among ``drawn``, or the features cannot be used.
    """
    chosen = frozenset(drawn)
    normals = tuple(
        normal if normal.group in chosen or not normal.in_calibration else replace(normal, status="kept_out")
        for normal in model.normals_
    )
    model.working_set.require()
    task = Task(
        model.working_set.feature_store,
        normals,
        model.state.channels,
        model.config,
        watch or Watch(),
        network=model.network.extractor.backbone_onnx,
    )
    with naming_damage(normals):
        return ScoringState(
            fit_detector(task).located_by(model.state.fitted.reference, model.config.input_shape),
            model.config,
            model.decision.roi,
            model.network.extractor,
            model.state.channels,
        )


def _drawn_of(state: ScoringState, drawn: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Return which of the parts of :meth:`ScoringState.parts` are drawn: bool ``(parts,)``."""
    groups = dict.fromkeys(normal.group for normal in state.fitted.normals if normal.in_calibration)
    return np.array([group in drawn for group in groups], np.bool_)


# --- the curve ----------------------------------------------------------------------------------------


def learning_curve(
    model: Padim,
    labeled: Iterable[Image] | None = None,
    *,
    painted: bool = False,
    sizes: Sequence[int] | None = None,
    draws: int = DRAWS,
    percentile: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    on_error: OnError | None = None,
) -> LearningCurve:
    """Fit on random subsets of a model's parts, and evaluate each fit as a model of that many parts.

    The same arguments give the same result. The last size, all parts, is the model itself; with ``painted``,
    some parts are painted on and never drawn, so that the model itself is not evaluated on them.

    Args:
        model: a fitted model with its features on disk; is not modified.
        labelled: (name, file bytes or uint8 RGB array) pairs of defective parts.
        painted: paint defects on some good parts instead; the result is an indication only.
        sizes: numbers of parts, increasing; None is :func:`default_sizes`.
        draws: the number of subsets of each size.
        percentile: the percentile of the thresholds; None is that of the model.
        seed: the seed of the subsets and of the painted defects.
        progress: called as (done, total, stage), counting images read, then fits.
        cancel: called between steps; returning True cancels.
        on_error: called with images that cannot be used; without it the first one raises.

    Raises:
        NotFittedError: the model is not fitted.
        PadimError: there are too few parts or no features on disk, the method trains a network, or a setting
            is out of range; the message states the remedy.
        DamagedError: the features cannot be used.
        Cancelled: ``cancel`` returned True.
        ImageError: an image cannot be used and ``on_error`` is not given.
    """
    fit, kept_out = _parts_by_status(model.normals_)
    count = len(fit) + len(kept_out)
    permille = model.decision.choice.permille if percentile is None else _permille(percentile)
    check_model(model)
    model.working_set.require()
    if labeled is not None and painted:
        raise PadimError("give labelled defects, or paint some, not both")
    if draws < 1:
        raise PadimError(f"draws must be at least 1, got {draws}")
    if seed < 0:
        raise PadimError(f"seed must be at least 0, got {seed}")
    carriers: list[int] = []
    if painted:
        carriers = _carriers(model, fit, seed)
        carrying_parts = {model.normals_[index].group for index in carriers}
        fit = [part for part in fit if part not in carrying_parts]
    sizes = _sizes(sizes, count, len(fit) + len(kept_out))
    smallest = sizes[0] if sizes[0] == count else sizes[0] - _out_drawn(len(fit), len(kept_out), sizes[0])
    if smallest < FEWEST_PARTS:
        raise PadimError(
            f"subsets of {sizes[0]} parts would have {smallest} in the fit, as so many are kept out of it; "
            f"at least {FEWEST_PARTS} are needed"
        )
    watch = Watch(progress, cancel, on_error)
    with closing(_Scratch()) as scratch:
        defects: LabeledDefects | PaintedDefects | None = None
        if labeled is not None:
            defects = LabeledDefects.read(model, labeled, scratch.path, watch)
        elif painted:
            defects = PaintedDefects.paint(model, carriers, scratch.path, watch, seed)
        found = tuple(_measured(model, fit, kept_out, sizes, count, draws, permille, seed, defects, watch))
    kind: Defects | None = None if defects is None else "painted" if painted else "labelled"
    return LearningCurve(
        parts=count,
        permille=permille,
        seed=seed,
        draws=draws,
        sizes=found,
        defects=kind,
        names=() if defects is None else defects.names,
        painted=defects.painted if isinstance(defects, PaintedDefects) else 0,
        passed_over=defects.passed_over if isinstance(defects, LabeledDefects) else 0,
    )


class _Scratch:
    """A temporary folder that is removed on close."""

    def __init__(self) -> None:
        self._folder = ScratchFolder()
        self.path = Path(self._folder.name) / "defects"

    def close(self) -> None:
        self._folder.cleanup()


def _measured(
    model: Padim,
    fit: Sequence[str],
    kept_out: Sequence[str],
    sizes: Sequence[int],
    count: int,
    draws: int,
    permille: int,
    seed: int,
    defects: LabeledDefects | PaintedDefects | None,
    watch: Watch,
) -> Iterator[Size]:
    everything = frozenset(normal.group for normal in model.normals_)
    # The model itself was fitted on the carriers of painted defects, so it is not evaluated on them.
    of_all = None if isinstance(defects, PaintedDefects) else defects
    total = (len(sizes) - 1) * draws + (sizes[-1] == count)
    full = _threshold(model.state, everything, model.config.min_area, permille)
    done = 0
    for size in sizes:
        trials = []
        for draw in range(1 if size == count else draws):
            stage = f"Fitting on subsets: {size:,} of {count:,} parts"
            watch.step(done, total, stage)
            if size == count:
                trials.append(_trial(model, model.state, everything, permille, full, of_all, watch))
            else:
                drawn = _drawn(fit, kept_out, size, seed, draw)
                state = subset_state(model, drawn, Watch(None, watch.cancel))
                trials.append(_trial(model, state, drawn, permille, full, defects, watch))
            done += 1
        yield Size(size, tuple(trials))
    watch.step(done, total, "Fitting on subsets")


def _threshold(state: ScoringState, drawn: frozenset[str], min_area: int, permille: int) -> float:
    own = state.parts(min_area)[_drawn_of(state, drawn)]
    return state.fitted.quantizer.to_value(own.threshold(permille).level)


def _trial(
    model: Padim,
    state: ScoringState,
    drawn: frozenset[str],
    permille: int,
    full: float,
    defects: LabeledDefects | PaintedDefects | None,
    watch: Watch,
) -> Trial:
    """Evaluate one fit.

    Args:
        model: the model whose parts were drawn from.
        state: the fitted state to evaluate.
        drawn: the groups of the parts in the subset.
        permille: the percentile of the threshold, in tenths of a percent.
        full: the threshold of the model of all parts, in map units.
        defects: the defects to score; None for none.
        watch: asks whether to cancel.
    """
    parts, chosen = state.parts(model.config.min_area), _drawn_of(state, drawn)
    own, others = parts[chosen].joint, parts[~chosen].joint
    found = parts[chosen].threshold(permille)
    levels = (found.level, state.fitted.quantizer.to_level(full))
    caught = np.full((2, 0), np.nan) if defects is None else defects.shares_caught(state, levels, watch)
    rejected, rejected_at_full = (Rate.counted(int((others > t).sum()), len(others)) for t in levels)
    return Trial(
        state.fitted.quantizer.to_value(found.level),
        found.supported,
        false_reject_rate(own, found.level),
        rejected,
        rejected_at_full,
        caught[0],
        caught[1],
    )


# --- requirements on the model and the settings --------------------------------------------------------


def _permille(percentile: float) -> int:
    try:
        return to_permille(percentile)
    except ValueError as error:
        raise PadimError(str(error)) from error


def good_parts(model: Padim) -> int:
    """Return the number of good parts of a model, including those kept out: the largest size."""
    return sum(map(len, _parts_by_status(model.normals_)))


def check_model(model: Padim) -> None:
    """Check that a learning curve of a model is possible, except for its features on disk.

    Raises:
        PadimError: it is not possible; the message states the remedy.
    """
    count = good_parts(model)
    if model.config.trains:
        title = catalogue.get(model.config.method).title
        raise PadimError(
            f"a learning curve fits the model anew some {DRAWS * 7} times, and {title} trains a network each "
            "time, which would take hours; fit the same images by PaDiM and ask that model"
        )
    if count < FEWEST:
        raise PadimError(
            f"a learning curve takes at least {FEWEST} good parts, and this model has {count}; "
            f"add {FEWEST - count} or more"
        )


def _sizes(sizes: Sequence[int] | None, count: int, available: int) -> tuple[int, ...]:
    """Return the sizes to use, after checking them.

    Raises:
        PadimError: the sizes do not increase, or are out of range.
    """
    if sizes is None:
        return tuple(size for size in default_sizes(count) if size <= available or size == count)
    listed = ", ".join(map(str, sizes)) or "none"
    growing = all(low < high for low, high in itertools.pairwise(sizes))
    if not sizes or not growing or sizes[0] < FEWEST_PARTS or sizes[-1] > count:
        raise PadimError(
            f"numbers of parts must grow and be {FEWEST_PARTS} to {count}, as many as there are; got {listed}"
        )
    if any(available < size < count for size in sizes):
        raise PadimError(
            f"{count - available} of the {count} parts are painted on, so subsets can have at most "
            f"{available}; got {listed}"
        )
    return tuple(sizes)


def _carriers(model: Padim, fit: Sequence[str], seed: int) -> list[int]:
    """Return one image each of at most a fifth of the parts to paint on, as indices into ``normals_``."""
    first: dict[str, int] = {}
    for index, normal in enumerate(model.normals_):
        first.setdefault(normal.group, index)
    count = min(CARRIERS, len(fit) // 5)
    places = np.random.default_rng([seed, 0]).permutation(len(fit))[:count]
    return sorted(first[fit[int(place)]] for place in places)

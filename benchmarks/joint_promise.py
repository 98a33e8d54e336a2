"""The promise of one threshold for the map and for displacements, against its realization.

Called by ``benchmarks/accuracy.py --joint``. Scores of the map are exact leave-one-out distances of the
engine's Gaussians, of synthetic features or of a data set's; displacements are simulated, because real parts
that lie differently would change the map too. Scales and threshold are the engine's.

Scaling each statistic by its own percentile of the same scores, which is what one would do first, is measured
beside it: it rejects about twice as much as promised with two statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks import report
from benchmarks.draws import Experiment, fitted
from padim.decision.calibration import image_threshold, rank
from padim.decision.joint import JointScale, Statistic, scale_of
from padim.locating.settings import STATISTICS
from padim.methods.gaussian import LeaveOut, Regularization, squared_distances, whitening
from padim.methods.moments import PatchStatistics

__all__ = ["Sample", "declare", "measure", "rejected", "simulated", "synthetic"]

Integers = npt.NDArray[np.int64]

UNSEEN = 300
POSITIONS, FEATURES = 36, 8
# Number of displacements judged beside the map, and what the table calls them.
JUDGED = ((0, "map alone"), (1, "map, shift"), (3, "map, shift, turn, scale"))
# Points between realized and promised, on average over 30 draws: twice the standard error at 20 parts.
MOST_OFF_POINTS = 2.0
# With two statistics, scaling by percentiles rejects at least so many points more than promised.
LEAST_BROKEN_POINTS = 2.0


@dataclass(frozen=True)
class Sample:
    """Parts with their scores.

    Attributes:
        scores: int64 ``(n,)``, levels of the map, by which parts are decided.
        peaks: int64 ``(n,)``, highest levels of the map, by whose median it is scaled.
        sizes: int64 ``(n, 3)``, displacements in steps, in the order of ``STATISTICS``.
    """

    scores: Integers
    peaks: Integers
    sizes: Integers


def simulated(rng: np.random.Generator, n: int) -> Integers:
    """Return displacements in steps, int64 ``(n, 3)``: skew, with ties, and for the scale mostly 0 and 1."""
    shift = rng.rayleigh(12.0, n) * rng.lognormal(0.0, 0.5, n)
    turn = np.abs(rng.normal(0, 8.0, n))
    scale = np.abs(rng.normal(0, 0.8, n))
    return np.rint(np.stack([shift, turn, scale], axis=1)).astype(np.int64)


def synthetic(rng: np.random.Generator, n: int) -> tuple[Sample, Sample]:
    """Return n good parts with exact leave-one-out scores, and unseen ones scored by the fit of all n."""
    mixing = rng.normal(size=(POSITIONS, FEATURES, FEATURES))
    # Heavy tails: some parts are unusual everywhere, as real ones are.
    spread = rng.lognormal(0.0, 0.3, (n + UNSEEN, 1, 1))
    drawn = rng.normal(size=(n + UNSEEN, POSITIONS, FEATURES)) * spread
    x = np.einsum("npd,pde->npe", drawn, mixing)
    inside, unseen = x[:n], x[n:]
    statistics, regularization = PatchStatistics(POSITIONS, FEATURES).update(inside), Regularization()
    held_out = LeaveOut(statistics, regularization, 1).squared_distances(inside)
    whitener = whitening(statistics, regularization, n - 1)
    of_unseen = squared_distances(unseen, statistics.mean, whitener)

    def sample(squares: npt.NDArray[np.float64]) -> Sample:
        levels = np.rint(100 * np.sqrt(squares.max(axis=1))).astype(np.int64)
        return Sample(levels, levels, simulated(rng, len(levels)))

    return sample(held_out), sample(of_unseen)


def of_category(experiment: Experiment, n: int, number: int) -> tuple[Sample, Sample]:
    """Return n random good parts of a data set with their held-out scores, and the others, unseen."""
    rng = np.random.default_rng([n, number])
    order = rng.permutation(len(experiment.parts))
    inside, others = ([experiment.parts[i] for i in sorted(some)] for some in (order[:n], order[n:]))
    category = experiment.category
    with fitted(experiment, inside) as model:
        area = model.config.min_area
        held_out, peaks = model.state.part_scores(area), model.state.part_scores(1)
        rows = [row for part in others for row in part]
        scored = model.predict(category.named_arrays(rows))
        levels = {row: one.score_level for row, one in zip(rows, scored, strict=True)}
    unseen = np.array([max(levels[row] for row in part) for part in others], np.int64)
    return (
        Sample(held_out, peaks, simulated(rng, len(held_out))),
        Sample(unseen, unseen, simulated(rng, len(unseen))),
    )


def rejected(held_out: Sample, unseen: Sample, judged: int, permille: int) -> tuple[float, float]:
    """Return the shares of unseen good parts rejected by the engine's rule, and with scales by percentiles.

    Args:
        held_out: the good parts of the fit.
        unseen: other good parts.
        judged: number of displacements that are judged beside the map.
        permille: percentile of the threshold, in tenths of a percent.
    """
    names = STATISTICS[:judged]
    statistics = (
        Statistic.of(name, scale_of(held_out.sizes[:, column].tolist()), 1.0)
        for column, name in enumerate(names)
    )
    scale = JointScale(scale_of(held_out.peaks.tolist()), tuple(statistics), "reject")

    def joint(sample: Sample) -> Integers:
        moved = [scale.displaced(dict(zip(names, row, strict=False))) for row in sample.sizes.tolist()]
        return np.maximum(sample.scores, np.array(moved, np.int64))

    threshold = image_threshold(joint(held_out), permille).level
    own = [image_threshold(held_out.scores, permille).level]
    own += [image_threshold(held_out.sizes[:, column], permille).level for column in range(judged)]
    columns = [unseen.scores, *unseen.sizes.T[:judged]]
    any_above = np.any([values > level for values, level in zip(columns, own, strict=True)], axis=0)
    return float((joint(unseen) > threshold).mean()), float(any_above.mean())


def declare(result: report.Report, names: Sequence[str], sizes: Sequence[int]) -> None:
    """Declare the targets: the promise holds with the engine's scales and breaks with percentiles."""
    for name in names:
        for n in sizes:
            for judged, _ in JUDGED:
                result.target(f"{name}.{n}.{judged}.off_points", "<=", MOST_OFF_POINTS)
    if "synthetic" in names and 20 in sizes:
        result.target("synthetic.20.1.percentiles_above_promise_points", ">=", LEAST_BROKEN_POINTS)


def measure(
    result: report.Report,
    name: str,
    draw: Callable[[int, int], tuple[Sample, Sample]],
    sizes: Sequence[int],
    draws: int,
    permille: int,
) -> None:
    """Measure one source of scores, record the values and show the table.

    Args:
        result: receives the values.
        name: what the values are called.
        draw: returns held-out and unseen parts for a number of parts and the number of a draw.
        sizes: numbers of parts to fit on.
        draws: fits for each of them.
        permille: percentile of the threshold, in tenths of a percent.
    """
    rows = []
    for n in sizes:
        samples = [draw(n, number) for number in range(draws)]
        promised = (n + 1 - min(rank(permille, n), n)) / (n + 1)
        for judged, title in JUDGED:
            shares = np.array([rejected(*sample, judged, permille) for sample in samples])
            ours, percentiles = shares.mean(axis=0)
            key = f"{name}.{n}.{judged}"
            result.values[f"{key}.promised"] = promised
            result.values[f"{key}.realized"] = float(ours)
            result.values[f"{key}.off_points"] = 100 * abs(float(ours) - promised)
            result.values[f"{key}.percentiles"] = float(percentiles)
            result.values[f"{key}.percentiles_above_promise_points"] = 100 * (float(percentiles) - promised)
            error = shares[:, 0].std(ddof=1) / np.sqrt(draws) if draws > 1 else 0.0
            rows.append((title, n, f"{promised:.1%}", f"{ours:.1%} ± {error:.1%}", f"{percentiles:.1%}"))
    result.show(
        f"{name}: good parts rejected with one promise for several statistics, {draws} draws",
        ("judged", "parts", "promised", "scaled by medians", "by percentiles"),
        rows,
    )


def measure_synthetic(result: report.Report, sizes: Sequence[int], draws: int, permille: int) -> None:
    """Measure synthetic features."""

    def draw(n: int, number: int) -> tuple[Sample, Sample]:
        return synthetic(np.random.default_rng([16, n, number]), n)

    measure(result, "synthetic", draw, sizes, draws, permille)

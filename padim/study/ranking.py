"""Ranking of a study's configurations: the best one, and those not significantly worse.

A table has a row for each category and one for their mean, and a column for each configuration. In every row
the other configurations are tested against the best one (:mod:`padim.analysis.significance`): image AUROC by
DeLong's test, all other figures by the bootstrap draws common to all results. For the mean the categories are
fixed, and the images of each category are drawn independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.analysis.metrics import Figure
from padim.analysis.significance import Difference, against, delong, resampled
from padim.decision.operating_points import Rate
from padim.study.result import FIGURES, About, FigureName, Result, by_name
from padim.study.runner import Run, Study
from padim.text import percent

__all__ = ["NOTES", "Overall", "Standing", "Table", "overall", "p_words", "present", "primary", "table"]

# The note under every table.
NOTES = (
    "Best of a row: bold. * not told apart from the best: the difference may be chance (p ≥ 0.05, corrected "
    "by Holm's method for the number of configurations)."
)


@dataclass(frozen=True)
class Standing:
    """One configuration in a row of a table.

    Attributes:
        variant: the name of the configuration.
        figure: its value with an interval, or why there is none.
        best: whether no value in the row is higher.
        difference: the difference to the best one; None without a value or without other configurations.
    """

    variant: str
    figure: Figure
    best: bool = False
    difference: Difference | None = None

    @property
    def close(self) -> bool:
        """Whether the configuration is not the best one and not significantly different from it."""
        tested = self.difference is not None and self.difference.p is not None
        return not self.best and tested and self.difference is not None and not self.difference.real


@dataclass(frozen=True)
class Table:
    """One figure of all configurations on all categories.

    Attributes:
        about: the figure.
        rows: each category with its standings, in the order of the configurations.
        mean: the means over the categories; None if there is only one category.
    """

    about: About
    rows: tuple[tuple[str, tuple[Standing, ...]], ...]
    mean: tuple[Standing, ...] | None


@dataclass(frozen=True)
class Overall:
    """One configuration over all categories.

    Attributes:
        variant: the name of the configuration.
        standings: the means over the categories, by figure.
        promised, promised_upper: the means of the expected false-reject rates, and of the rates that they
            are at most with 95 % confidence; None if there is none.
        false_rejects, caught: the counts over all categories; None without results.
        fit_seconds, milliseconds, model_bytes: the means over the categories with
            results; None without results.
        done: the number of categories with a result, and of all categories.
        why: the first error with its category; empty without errors.
    """

    variant: str
    standings: dict[FigureName, Standing]
    promised: float | None
    promised_upper: float | None
    false_rejects: Rate | None
    caught: Rate | None
    fit_seconds: float | None
    milliseconds: float | None
    model_bytes: float | None
    done: tuple[int, int]
    why: str


def expected_share(one: Overall) -> str:
    """Return the expected false rejects with their bound: "17 %, at most 29 %"; a dash if there are none."""
    if one.promised is None:
        return "–"
    upper = "" if one.promised_upper is None else f", at most {percent(one.promised_upper, up=True)}"
    return f"{percent(one.promised)}{upper}"


def p_words(standing: Standing) -> str:
    """Return the p-value of the difference to the best as text: "0.012", "< 0.001"; a dash for the best."""
    difference = standing.difference
    if standing.best or difference is None or difference.p is None:
        return "–"
    return "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}"


def present(study: Study) -> tuple[About, ...]:
    """Return the figures for which at least one run has a value."""
    results = [one.result for one in study.runs if one.result is not None]
    return tuple(
        about for about in FIGURES if any(_value(result, about.name) is not None for result in results)
    )


def primary(study: Study) -> About:
    """Return the figure to rank by: image AUROC, or without real defects that of painted defects."""
    names = {about.name for about in present(study)}
    return by_name(
        "painted_recall" if "image_auroc" not in names and "painted_recall" in names else "image_auroc"
    )


def table(study: Study, name: FigureName) -> Table:
    """Return the table of one figure, by category and in the mean."""
    about = by_name(name)
    rows = tuple((category, _row(study, name, [category])) for category, _ in study.categories)
    # Categories without any value of the figure are not included in its mean.
    shown = [row for row, standings in rows if any(one.figure.value is not None for one in standings)]
    mean = _row(study, name, shown) if len(study.categories) > 1 else None
    return Table(about, rows, mean)


def overall(study: Study) -> tuple[Overall, ...]:
    """Return the configurations over all categories, the best first."""
    names = [about.name for about in present(study)]
    means: dict[FigureName, tuple[Standing, ...]] = {}
    for name in names:
        figures = table(study, name)
        means[name] = figures.rows[0][1] if figures.mean is None else figures.mean
    found = []
    for place, variant in enumerate(study.variants):
        runs = [study.run(category, variant.name) for category, _ in study.categories]
        found.append(
            _overall(variant.name, runs, {name: standings[place] for name, standings in means.items()})
        )
    by = primary(study).name

    def rank(one: Overall) -> float:
        standing = one.standings.get(by)
        return np.inf if standing is None or standing.figure.value is None else -standing.figure.value

    return tuple(sorted(found, key=rank))


def _overall(variant: str, runs: Sequence[Run], standings: dict[FigureName, Standing]) -> Overall:
    results = [one.result for one in runs if one.result is not None]
    wrong = [f"{one.category}: {one.why}" for one in runs if one.why]
    promises = [result.promised for result in results if result.promised is not None]
    bounds = [result.promised_upper for result in results if result.promised_upper is not None]

    def mean(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if len(values) else None

    def pooled(rates: Sequence[Rate]) -> Rate | None:
        count, of = sum(rate.count for rate in rates), sum(rate.of for rate in rates)
        return Rate.counted(count, of) if of else None

    return Overall(
        variant,
        standings,
        mean(promises),
        mean(bounds),
        pooled([result.false_rejects for result in results]),
        pooled([result.caught for result in results]),
        mean([result.fit_seconds for result in results]),
        mean([result.milliseconds for result in results]),
        mean([result.model_bytes for result in results]),
        (len(results), len(runs)),
        wrong[0] if wrong else "",
    )


def _value(result: Result | None, name: FigureName) -> float | None:
    return None if result is None else result.figures[name].value


def _row(study: Study, name: FigureName, categories: Sequence[str]) -> tuple[Standing, ...]:
    """Return the standings of all configurations on some categories together."""
    column = next(place for place, about in enumerate(FIGURES) if about.name == name)
    standings: list[Standing] = []
    complete: dict[int, list[Run]] = {}
    for place, variant in enumerate(study.variants):
        runs = [study.run(category, variant.name) for category in categories]
        lacking = [one for one in runs if _value(one.result, name) is None]
        if lacking or not runs:
            standings.append(Standing(variant.name, Figure(None, _why(lacking, name, len(runs)))))
            continue
        complete[place] = runs
        standings.append(Standing(variant.name, _figure(runs, name, column)))
    if not complete:
        return tuple(standings)
    places = list(complete)
    values = [standings[place].figure.value or 0.0 for place in places]
    differences = _differences([complete[place] for place in places], values, name, column)
    for place, value, difference in zip(places, values, differences, strict=True):
        shown = standings[place]
        best = value >= max(values) - 1e-12
        standings[place] = Standing(
            shown.variant, shown.figure, best, difference if len(places) > 1 else None
        )
    return tuple(standings)


def _why(lacking: Sequence[Run], name: FigureName, of: int) -> str:
    if not lacking:
        return "no category has it"
    if of > 1:
        return f"is missing in {len(lacking)} of {of} categories"
    (one,) = lacking
    return one.why or ("is not done yet" if one.result is None else one.result.figures[name].why)


def _figure(runs: Sequence[Run], name: FigureName, column: int) -> Figure:
    """Return the mean over categories with its interval, or the figure of a single category."""
    figures = [one.result.figures[name] for one in runs if one.result is not None]
    if len(figures) == 1:
        return figures[0]
    drawn = _drawn(runs, column)
    drawn = drawn[np.isfinite(drawn)]
    low, high = map(float, np.percentile(drawn, (2.5, 97.5))) if len(drawn) else (None, None)
    return Figure(float(np.mean([figure.value for figure in figures])), "", low, high)


def _drawn(runs: Sequence[Run], column: int) -> npt.NDArray[np.float64]:
    """Return the draws of the mean over categories; NaN where a category has no value."""
    columns = []
    for place, one in enumerate(runs):
        assert one.draws is not None
        # Draws of all categories come from the same seed. The permutation makes the categories independent,
        # and is the same for all configurations, which therefore stay paired.
        order = np.random.default_rng(place).permutation(len(one.draws))
        columns.append(one.draws[order if len(runs) > 1 else slice(None), column].astype(np.float64))
    return np.asarray(np.mean(columns, axis=0))


def _differences(
    rows: Sequence[Sequence[Run]], values: Sequence[float], name: FigureName, column: int
) -> list[Difference]:
    """Return the difference of every configuration to the best one."""
    best = int(np.argmax(values))
    by_category = list(zip(*rows, strict=True))
    for runs in by_category:
        results = [one.result for one in runs if one.result is not None]
        if any(
            result.order != results[0].order or result.painted_on != results[0].painted_on
            for result in results
        ):
            why = "they were not evaluated on the same images"
            return [Difference(value - values[best], why=why) for value in values]
    if name != "image_auroc":
        return resampled(values, [_drawn(runs, column) for runs in rows])[1]
    covariance = np.zeros((len(rows), len(rows)))
    for runs in by_category:
        scores = [one.result.scores() for one in runs if one.result is not None]
        try:
            covariance += delong([good for good, _ in scores], [bad for _, bad in scores]).covariance
        except ValueError:
            why = "there are too few images to compare by"
            return [Difference(value - values[best], why=why) for value in values]
    return against(values, covariance / len(by_category) ** 2)[1]

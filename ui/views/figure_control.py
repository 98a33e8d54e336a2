"""Figures of control: the reject rate against the promise, and accepted scores against the calibration."""

from __future__ import annotations

from datetime import UTC
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from padim.errors import PadimError
from ui import figures
from ui.app import clock, workspace
from ui.app.text import count, percent
from ui.figures import FigureRun, FigureTable
from ui.views import figure_counts
from ui.widgets import charts, figure_charts, figure_table

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.records.figures.score_drift import ScoreEwma

# Points drawn of a moving average, by the pairs of extremes of equal stretches.
_STRETCHES = 500


def model_of(run: FigureRun) -> Padim | None:
    """Return the model of the inspections as it is now, or None with a message if it cannot be opened."""
    entry = next((one for one in workspace.store().models() if one.id == run.model_id), None)
    if entry is None:
        st.info(
            "The model of these inspections has been deleted, so the scores of its good parts are gone.",
            icon=":material/delete:",
        )
        return None
    try:
        return workspace.open_model(entry)
    except PadimError as error:
        from ui.app import shell

        shell.failure("The model cannot be opened.", error)
        return None


def held_out(model: Padim) -> np.ndarray | None:
    """Return the held-out levels of the model's good parts, or None with a message if it has none."""
    try:
        if model.current_threshold is None:
            st.info("The model has no threshold yet.", icon=":material/info:")
            return None
        return model.state.part_scores(model.config.min_area)
    except PadimError as error:
        st.info(f"The model has no scores of good parts to compare with: {error}.", icon=":material/info:")
        return None


def rejects(run: FigureRun) -> None:
    """Draw the reject rate of days or shifts against what the promise of the threshold lets one expect."""
    from padim.records.figures.counts import count_inspections
    from padim.records.figures.grouping import grouped
    from padim.records.figures.reject_chart import reject_chart

    row = run.latest_version()
    columns = run.columns.where(run.columns.version_id == row)
    promise = run.versions.get(row)
    counts = None if promise is None else promise.counts
    if counts is None and (model := model_of(run)) is not None:
        try:
            rate = model.false_reject_rate_
            counts = (rate.above, rate.n)
        except PadimError:
            counts = None
    if counts is None:
        st.info("There is no promise to compare with: this model has no calibration.", icon=":material/info:")
        return
    by = figure_counts.grouping("rejects", ("hour", "day", "shift"))
    groups = grouped(columns, by, run.zone)  # type: ignore[arg-type]
    subgroups = []
    for group in groups:
        one = count_inspections(columns.where(group.rows))
        subgroups.append((group.label, one.rejected, one.inspected - one.undecidable))
    chart = reject_chart(*counts, subgroups)
    if not chart.points:
        st.info("None of these inspections has a verdict.", icon=":material/info:")
        return
    above = [point.label for point in chart.points if point.side > 0]
    below = sum(point.side < 0 for point in chart.points)
    text = (
        f"The threshold promises {percent(chart.expected)} false rejects: of "
        f"{count(counts[1], 'good part')}, each scored without itself, {counts[0]:,} "
        f"{'is' if counts[0] == 1 else 'are'} above it. Of "
        f"{count(len(chart.points), by)}, {len(above) or 'none'} "
        f"{'have' if len(above) > 1 else 'has'} more rejects than that explains"
        f"{f' (the latest: {above[-1]})' if above else ''}, and {below or 'none'} fewer."
    )
    others = len(run.columns) - len(columns)
    if others:
        text += (
            f" These are the {len(columns):,} inspections by {run.version_label(row)}; {others:,} by others "
        )
        text += "are left out, since each version has its own promise."
    st.markdown(text)
    st.plotly_chart(figure_charts.control_chart(chart), config=charts.CONFIG, key="figures-rejects")
    rows = [
        (
            point.label,
            point.rate.of,
            point.rate.count,
            *figures.rate_cells(point.rate),
            point.low,
            point.high,
            {0: "within", 1: "above", -1: "below"}[point.side],
        )
        for point in chart.points
    ]
    columns_of = (by, "inspected", "rejected", *figures.RATE_COLUMNS, "expected from", "expected to", "is")
    figure_table.draw(FigureTable.of(columns_of, rows), f"reject rate by {by}", "rejects")
    st.caption(
        "All rejected parts count, good and defective, because which are good is not known when they are "
        "counted: above the limit there are more defects, or good parts look different from those of the "
        "fit. "
        "Beyond each limit lie 0.135 % of what the promise lets one expect of good parts (beta-binomial: the "
        "rate itself is known only from those good parts)."
    )


def drift(run: FigureRun) -> None:
    """Draw the moving average of accepted scores against the calibration, and say what else has moved."""
    from padim.records.figures.score_drift import drift_sentence, ewma_of, look_changes

    accepted = run.columns.where(run.columns.verdict == "accept")
    order = np.argsort(accepted.judged, kind="stable")
    accepted = accepted.where(order)
    if not len(accepted):
        st.info("None of these inspections was accepted.", icon=":material/info:")
        return
    model = model_of(run)
    levels = None if model is None else held_out(model)
    if model is not None and levels is not None:
        # Scores of versions that score differently cannot be compared with this calibration.
        entry = next(one for one in workspace.store().models() if one.id == run.model_id)
        identity = workspace.scoring_identity(entry)
        same = [row for row, one in run.versions.items() if one.scoring_identity == identity]
        scored = accepted.where(np.isin(accepted.version_id, [-1, *same]))
        assert model.current_threshold is not None
        value = model.state.fitted.quantizer.to_value
        below = levels[levels <= model.current_threshold.level]
        try:
            found = ewma_of(scored.score, np.array([value(int(one)) for one in below]))
        except ValueError as error:
            st.info(f"There is no chart of the scores: {error}.", icon=":material/info:")
        else:
            _average(run, found, scored.judged, len(accepted) - len(scored))
    st.subheader("What else has moved", anchor=False)
    changes = look_changes(accepted)
    st.markdown(drift_sentence(changes))
    if changes:
        rows = [
            (
                one.name,
                one.images,
                round(one.first, 3),
                round(one.last, 3),
                round(one.deviations, 2) if np.isfinite(one.deviations) else None,
                "yes" if one.moved else "no",
            )
            for one in changes
        ]
        names = (
            "of the image",
            "images in each period",
            "first mean",
            "last mean",
            "standard deviations",
            "moved",
        )
        figure_table.draw(FigureTable.of(names, rows), "what has moved", "look")
        st.caption(
            "First and last images of those accepted in this period. Moved: by more than half a standard "
            "deviation of single images, and by more than three standard errors. Brightness is 0 to 255; "
            "sharpness is the variance of the Laplacian of the small copy."
        )


def _average(run: FigureRun, found: ScoreEwma, judged: np.ndarray, left_out: int) -> None:
    if not len(found.average):
        st.info("None was scored by the model as it is now.", icon=":material/info:")
        return
    outside = int(np.count_nonzero(found.beyond))
    text = (
        f"The average of the last accepted scores stands at {found.average[-1]:.3g}; the calibration’s "
        f"mean is {found.mean:.3g} (standard deviation {found.deviation:.3g}, from "
        f"{found.held_out:,} good parts at or below the threshold). "
    )
    since = found.since
    if since is None:
        text += "It is within its limits"
    else:
        way = "above" if found.beyond[-1] > 0 else "below"
        moment = judged[since].astype("datetime64[us]").item().replace(tzinfo=UTC)
        text += f"It has been {way} its limits since {clock.when(moment)}, for "
        text += count(len(found.average) - since, "score")
    text += f"; of {len(found.average):,} averages {percent(outside / len(found.average))} lie outside."
    if left_out:
        text += f" {count(left_out, 'inspection')} by versions that score differently are left out."
    st.markdown(text)
    places = _extremes(found.average)
    times = [moment.replace(tzinfo=UTC).astimezone(run.zone) for moment in judged[places].tolist()]
    st.plotly_chart(
        figure_charts.moving_average(
            times,
            found.average[places].tolist(),
            found.low[places].tolist(),
            found.high[places].tolist(),
            mean=found.mean,
            numbers=(places + 1).tolist(),
        ),
        config=charts.CONFIG,
        key="figures-drift",
    )
    rows = [
        (
            place + 1,
            f"{when:%Y-%m-%d %H:%M:%S}",
            *(round(float(values[place]), 5) for values in (found.average, found.low, found.high)),
        )
        for place, when in zip(places.tolist(), times, strict=True)
    ]
    names = ("score", "at", "moving average", "lower limit", "upper limit")
    figure_table.draw(FigureTable.of(names, rows), "drift of accepted scores", "drift")
    st.caption(
        "Exponentially weighted moving average (weight 0.2, limits at 3 standard deviations). Without any "
        "drift "
        "the first false alarm comes after some 560 scores on average, sooner with few good parts."
        + (
            " Of each stretch the lowest and the highest average are drawn."
            if len(places) < len(judged)
            else ""
        )
    )


def _extremes(values: np.ndarray) -> np.ndarray:
    """Return rising places of some 1,000 values: lowest and highest of equal stretches, and the last."""
    if len(values) <= 2 * _STRETCHES:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), _STRETCHES + 1).astype(np.int64)
    found = {len(values) - 1}
    for begin, end in pairwise(edges.tolist()):
        found |= {int(begin + np.argmin(values[begin:end])), int(begin + np.argmax(values[begin:end]))}
    return np.array(sorted(found))

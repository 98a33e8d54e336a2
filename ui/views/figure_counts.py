"""Figures, Counts: what became of inspections, by time, lot, station or version."""

from __future__ import annotations

import streamlit as st

from ui import figures
from ui.app.text import count
from ui.figures import FigureRun, FigureTable
from ui.widgets import charts, figure_charts, figure_table

_BY = {
    "hour": "Hour",
    "day": "Day",
    "shift": "Shift",
    "lot": "Lot",
    "station": "Station",
    "version": "Version",
}
_UNNAMED = "not named"
# More bars than this cannot be told apart.
_MOST_BARS = 400


def grouping(key: str, kinds: tuple[str, ...] = tuple(_BY), default: str = "day") -> str:
    """Draw the choice of what figures are grouped by, and return it."""
    chosen = st.segmented_control(
        "By",
        list(kinds),
        format_func=lambda one: _BY.get(one, one),
        default=default,
        required=True,
        key=f"figures-by-{key}",
        persist_state="session",
        label_visibility="collapsed",
    )
    return chosen or default


def draw(run: FigureRun) -> None:
    """Draw rejects and reviews by what became of them, and the rate of false rejects."""
    from padim.records.figures.counts import count_inspections
    from padim.records.figures.grouping import grouped

    by = grouping("counts")
    groups = grouped(run.columns, by, run.zone, run.version_labels())  # type: ignore[arg-type]
    counts = [count_inspections(run.columns.where(group.rows)) for group in groups]
    labels = [group.label or _UNNAMED for group in groups]
    whole = count_inspections(run.columns)
    stopped = whole.rejected + whole.in_review
    st.markdown(
        f"Of {count(whole.inspected, 'inspection')}, {stopped:,} were rejected or in review; people have "
        f"decided "
        f"{stopped - whole.open:,} of these. "
        + (
            f"Of the rejects that were decided, false rejects (overkill) are "
            f"{figures.of(whole.overkill_rate)}."
            if whole.overkill_rate.of
            else "Nobody has decided a reject yet, so how many are false is not known."
        )
    )
    rows = [
        (
            label,
            one.inspected,
            one.rejected,
            *figures.rate_cells(one.reject_rate),
            one.in_review,
            one.confirmed,
            one.overkill,
            *figures.rate_cells(one.overkill_rate),
            one.unsure,
            one.open,
        )
        for label, one in zip(labels, counts, strict=True)
    ]
    if stopped:
        shown = slice(max(0, len(labels) - _MOST_BARS), None)
        rejected_open = [one.rejected - one.confirmed - one.overkill - one.unsure for one in counts]
        st.plotly_chart(
            figure_charts.outcome_bars(
                labels[shown],
                [
                    ("confirmed rejects", [one.confirmed for one in counts[shown]]),
                    ("false rejects", [one.overkill for one in counts[shown]]),
                    ("unsure", [one.unsure for one in counts[shown]]),
                    ("rejects not decided", rejected_open[shown]),
                    ("in review", [one.in_review for one in counts[shown]]),
                ],
                [one.inspected for one in counts[shown]],
            ),
            config=charts.CONFIG,
            key="figures-outcomes",
        )
        if len(labels) > _MOST_BARS:
            st.caption(f"The last {_MOST_BARS} of {len(labels):,}; the table has all.")
    columns = (
        _BY[by],
        "inspected",
        "rejected",
        "rejected (%)",
        "rejected from (%)",
        "rejected to (%)",
        "in review",
        "confirmed rejects",
        "false rejects",
        "false of decided (%)",
        "false from (%)",
        "false to (%)",
        "unsure",
        "open",
    )
    figure_table.draw(FigureTable.of(columns, rows), f"inspections by {by}", "counts")
    st.caption("Intervals are exact 95 % ones (Clopper and Pearson). Open: rejects and reviews not decided.")

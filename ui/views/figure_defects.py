"""Figures, Defects: of which types they are, and where on the part regions lie."""

from __future__ import annotations

import base64

import numpy as np
import streamlit as st

from padim.records.figures.inspection_columns import InspectionColumns
from ui import figures
from ui.app import workspace
from ui.app.text import count
from ui.figures import FigureRun, FigureTable
from ui.widgets import charts, figure_charts, figure_table

_OF = {"stopped": "Rejected or in review", "confirmed": "Confirmed defects", "false": "False rejects"}
_MOST_TYPES = 20
# More images than these hardly change the map, and take long to read.
_MOST_IMAGES = 5_000


def draw(run: FigureRun) -> None:
    """Draw the types of defects, and where regions lie."""
    halves = st.grid(min_column_width=400, gap="medium", key="figures-defects")
    with halves.cell():
        _types(run)
    with halves.cell():
        _places(run)


def _types(run: FigureRun) -> None:
    from padim.records.figures.counts import defect_type_shares

    st.subheader("Types", anchor=False)
    shares = defect_type_shares(run.columns)
    if not shares:
        st.info("No decisions yet: types are named when a defect is confirmed.", icon=":material/label:")
        return
    total = shares[0].share.of
    names = [one.name or "no type named" for one in shares]
    st.markdown(
        f"People have confirmed {count(total, 'defect')}; the most frequent is **{_plain(names[0])}**, "
        f"{figures.of(shares[0].share)}."
    )
    shown = shares[:_MOST_TYPES]
    st.plotly_chart(
        charts.interval_bars(
            names[:_MOST_TYPES],
            [one.share.share for one in shown],
            [(one.share.low, one.share.high) for one in shown],
            title="share of the confirmed defects",
            texts=[f"{one.share.count:,}" for one in shown],
            notes=[f"{name}: {figures.of(one.share)}" for name, one in zip(names, shown, strict=False)],
        ),
        config=charts.CONFIG,
        key="figures-types",
    )
    rows = [
        (name, one.share.count, *figures.rate_cells(one.share))
        for name, one in zip(names, shares, strict=True)
    ]
    figure_table.draw(
        FigureTable.of(("type", "defects", *figures.RATE_COLUMNS), rows), "defect types", "types"
    )


def _plain(text: str) -> str:
    from ui.widgets.panels import plain

    return plain(text)


def _chosen(columns: InspectionColumns, of: str) -> InspectionColumns:
    stopped = (columns.verdict == "reject") | (columns.verdict == "review")
    if of == "confirmed":
        return columns.where(stopped & (columns.decision == "reject"))
    if of == "false":
        return columns.where(stopped & (columns.decision == "accept"))
    return columns.where(stopped)


def _places(run: FigureRun) -> None:
    from padim.records.figures.part_heat import heat_of

    st.subheader("Where on the part", anchor=False)
    of = st.segmented_control(
        "Of",
        list(_OF),
        format_func=lambda key: _OF.get(key, key),
        default="stopped",
        required=True,
        key="figures-places-of",
        persist_state="session",
        label_visibility="collapsed",
    )
    chosen = _chosen(run.columns, of or "stopped")
    ids = chosen.id[-_MOST_IMAGES:]
    found = heat_of(run.recorded.regions(ids.tolist()))
    if not found.regions:
        st.info("None of these inspections has a region.", icon=":material/grid_on:")
        return
    latest = " (the latest)" if len(ids) < len(chosen) else ""
    row, column = np.unravel_index(int(np.argmax(found.share)), found.share.shape)
    st.markdown(
        f"{count(found.regions, 'region')} on {count(found.images, 'image')}{latest}, by the place of their "
        f"centers and weighted by their area. The strongest cell has {found.share[row, column] * 100:.0f} "
        f"% of "
        "the area."
    )
    st.plotly_chart(figure_charts.heat(found, _backdrop(run)), config=charts.CONFIG, key="figures-places")
    rows, columns = found.share.shape
    cells = [
        (i + 1, j + 1, round(float(found.share[i, j]) * 100, 3))
        for i in range(rows)
        for j in range(columns)
        if found.share[i, j]
    ]
    figure_table.draw(
        FigureTable.of(
            (f"row (of {rows}, from the top)", f"column (of {columns}, from the left)", "share of area (%)"),
            cells,
        ),
        "where on the part",
        "places",
    )


def _backdrop(run: FigureRun) -> str | None:
    """Return the latest accepted image that has a small copy, as an address with its data."""
    from padim.records.inspections import InspectionRecords

    accepted = run.columns.id[run.columns.verdict == "accept"]
    records = InspectionRecords(workspace.root())
    for row in accepted[:-4:-1].tolist():
        if data := records.thumbnail(row):
            return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return None

"""A chart's numbers: a table that opens below it, and its CSV."""

from __future__ import annotations

import streamlit as st

from ui.figures import FigureTable
from ui.widgets import downloads


def draw(table: FigureTable, name: str, key: str) -> None:
    """Draw the table of a chart, closed, with its download.

    Args:
        table: the numbers.
        name: base of the file's name.
        key: tells the tables of a page apart.
    """
    with st.expander("Table and CSV", key=f"figures-table-{key}"):
        st.dataframe(
            table.by_column(),
            hide_index=True,
            height=min(36 * len(table.rows) + 38, 360),
            key=f"figures-cells-{key}",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            downloads.button("This table (CSV)", table.csv, name, ".csv", key=f"figures-csv-{key}")

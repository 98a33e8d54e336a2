"""The Settings tab of the Settings page: every setting, its value and where it comes from."""

from __future__ import annotations

from itertools import groupby

import streamlit as st

from padim import settings
from padim.errors import PadimError
from padim.settings.table import SettingRow, rows
from ui.app import shell
from ui.widgets import panels
from ui.widgets.tables import Cell, table

__all__ = ["draw"]

_TITLES = {
    "Places": "Where things are",
    "Network": "What runs the network",
    "Images": "Reading images",
    "Limits": "Limits",
    "App": "This app",
    "Service": "Service",
    "Logs": "Logs",
}


def draw() -> None:
    """Draw the tab."""
    try:
        found = rows()
        wrong = settings.problem()
        unknown = settings.unknown_variables()
    except PadimError as error:
        shell.failure("The settings cannot be read.", error)
        return
    path = settings.file_path()
    if wrong:
        st.warning(
            "The file of settings is not valid, and the settings before stay in force: "
            f"{panels.plain(wrong)}",
            icon=":material/warning:",
        )
    if unknown:
        st.info(
            f"In the environment and not a setting of this program: {panels.plain(', '.join(unknown))}.",
            icon=":material/info:",
        )
    where = "" if path.exists() else ", which does not exist yet"
    st.markdown(
        f"Set by the operator of this server: in the environment, or in the file `{path}`{where}. A changed "
        "file takes effect at once, except where a restart is needed."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        only = st.toggle("Only what is set", key="settings-only-set")
        given = sum(not row.is_default for row in found)
        st.caption(f"{given} of {len(found)} set", width="content")
    shown = [row for row in found if not only or not row.is_default]
    if not shown:
        shell.empty("Nothing is set", "All settings have their defaults.")
    for group, members in groupby(shown, lambda row: row.group):
        st.subheader(_TITLES.get(group, group))
        st.html(table(("Setting", "Value"), [_cells(row) for row in members], first=62))


def _cells(row: SettingRow) -> tuple[Cell, Cell]:
    origin = "default" if row.is_default else f"from the {row.source}"
    if not row.is_default and row.source != "environment":
        origin = f"from {row.source}"
    note = origin if row.is_default else f"{origin} · default: {row.default}"
    restart = " After a restart." if row.at_start else ""
    return (
        Cell(row.variable, f"{row.description} Accepted: {row.accepted}.{restart}"),
        Cell(row.value, note, strong=not row.is_default),
    )

"""What is kept of inspected images, where and for how long; and deleting what is older now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from padim import settings
from padim.errors import PadimError
from padim.records.retention import evidence_sizes, prune_evidence
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from ui.app import person, shell, workspace
from ui.app.text import count, megabytes

__all__ = ["draw"]

_KEEP = {"review": "Of what awaits a person", "all": "Of all inspections", "none": "None"}


def draw() -> None:
    """Draw the settings, folded."""
    root = workspace.root()
    stored = WorkspaceSettings(root).get(OriginalsSettings)
    with st.expander("What is kept", icon=":material/inventory_2:", key="records-kept"):
        sizes = evidence_sizes(root)
        images = f", {megabytes(sizes.original_bytes)}" if sizes.originals else ""
        maps = f", {megabytes(sizes.map_bytes)}" if sizes.maps else ""
        st.caption(
            f"{count(sizes.originals, 'original image')}{images}; {count(sizes.maps, 'level map')}{maps}. "
            "Records and their small images stay when these are deleted."
        )
        with st.form("records-originals", border=False):
            values = _fields(stored)
            if st.form_submit_button("Save", key="records-originals-save", icon=":material/save:"):
                _save(root, values)
        if st.button(
            "Delete what is beyond these limits now",
            key="records-prune",
            icon=":material/auto_delete:",
            help="This happens once a day by itself.",
        ):
            _prune(root)


def _fields(stored: OriginalsSettings) -> dict[str, Any]:
    keep = st.radio(
        "Original images",
        list(_KEEP),
        index=list(_KEEP).index(stored.keep),
        format_func=lambda one: _KEEP[one],
        horizontal=True,
        key="records-keep",
        help="What awaits a person cannot be reviewed without its image.",
    )
    folder = st.text_input(
        "Folder on the server",
        value=stored.folder or "",
        placeholder=str(Path("evidence") / "originals"),
        key="records-folder",
        help="Empty: in the workspace. Images that are there stay where they are.",
    )
    most = settings.current().retention_days
    with st.container(horizontal=True):
        days = st.number_input(
            "Days, then they go",
            min_value=1,
            max_value=36_500,
            value=stored.days,
            placeholder="for ever",
            key="records-keep-days",
            width=200,
            help="Counted from the latest inspection. What still awaits a person is not deleted by age."
            + (
                f" This installation keeps none for more than {most} days (PADIM_RETENTION_DAYS)."
                if most
                else ""
            ),
        )
        size = st.number_input(
            "Originals, GB at most",
            min_value=0.01,
            max_value=1e6,
            value=float(stored.gigabytes),
            key="records-keep-size",
            width=200,
            help="The oldest go first, what awaits a person last.",
        )
        maps = st.number_input(
            "Level maps, GB at most",
            min_value=0.01,
            max_value=1e6,
            value=float(stored.map_gigabytes),
            key="records-keep-maps",
            width=200,
            help="They are kept of rejects, reviews and audited parts; the oldest go first.",
        )
    return {
        "keep": keep,
        "folder": folder.strip() or None,
        "days": days,
        "gigabytes": size,
        "map_gigabytes": maps,
    }


def _save(root: Path, values: dict[str, Any]) -> None:
    folder = values["folder"]
    if folder is not None and not Path(folder).is_absolute():
        st.error("Give the whole path of the folder, from its root.", icon=":material/error:")
        return
    try:
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
        WorkspaceSettings(root).set(OriginalsSettings(**values), person.name())
    except (PadimError, OSError) as error:
        shell.failure("The settings were not saved.", error)
        return
    st.toast("Saved. It holds from the next inspection on.", icon=":material/check:")


def _prune(root: Path) -> None:
    try:
        done = prune_evidence(root).deleted
    except (PadimError, OSError) as error:
        shell.failure("Nothing was deleted.", error)
        return
    st.toast(
        f"Deleted: {count(done.originals, 'original image')}, {count(done.maps, 'level map')}, "
        f"{megabytes(done.original_bytes + done.map_bytes)}.",
        icon=":material/check:",
    )

"""What a watched folder has brought lately: the latest images, the panel of the last, and refused files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from padim.errors import PadimError
from padim.service.watch_status import refused_files
from padim.text import multiple
from ui.app import clock, shell
from ui.files import media
from ui.widgets import panels
from ui.widgets.tables import Cell, table

if TYPE_CHECKING:
    from ui.watches import ShownWatch

__all__ = ["draw"]

_SHOWN = 5
_MOST_REFUSED = 200
# Bytes; a larger file is no panel that a watch has written.
_LARGEST_PANEL = 20_000_000


def draw(one: ShownWatch) -> None:
    """Draw the two lists of a watch, each in a box that is filled when it is opened.

    Args:
        one: the watch.
    """
    uid = one.watch.uid
    if one.count("inspected"):
        latest = st.expander(
            "Latest images", key=f"watch-latest-{uid}", icon=":material/image:", on_change="rerun"
        )
        if latest.open:
            with latest:
                _latest(one)
    if one.count("refused"):
        refused = st.expander(
            "Refused files", key=f"watch-refused-{uid}", icon=":material/warning:", on_change="rerun"
        )
        if refused.open:
            with refused:
                _refused(one)


def _latest(one: ShownWatch) -> None:
    last = [] if one.status is None else list(one.status.last)[:_SHOWN]
    if not last:
        st.caption("None since its process was started; Records has those before.")
        return
    if panel := _panel(one.watch.output, str(last[0].get("files", ""))):
        url = media.ServedImage(panel).url(slot=f"watch-{one.watch.uid}")
        name = str(last[0].get("name", ""))
        if url:
            st.html(panels.wide_image(url, f"{name}: original, heatmap, mask and overlay"))
    rows = [
        [
            Cell(_time(str(image.get("inspected", "")))),
            Cell(str(image.get("name", ""))),
            Cell(_verdict(image.get("verdict")), strong=image.get("verdict") == "reject"),
            Cell(_score(image)),
        ]
        for image in last
    ]
    st.html(table(["Time", "Name", "Verdict", "Score"], rows))


def _refused(one: ShownWatch) -> None:
    try:
        files = refused_files(one.watch.output, _MOST_REFUSED)
    except (PadimError, OSError) as error:
        shell.failure("The list of refused files cannot be read.", error)
        return
    st.dataframe(
        {
            "Name": [file.name for file in files],
            "Why": [file.reason for file in files],
            "When": [clock.when(file.at) for file in files],
        },
        key=f"watch-refused-table-{one.watch.uid}",
        hide_index=True,
    )
    total = one.count("refused")
    which = f"The latest {len(files):,} of {total:,}. " if total > len(files) else ""
    st.caption(f"{which}All are in refused.csv, in the folder for results.")


def _panel(output: Path, files: str) -> bytes | None:
    """Return the four-panel image of a result; None if there is none."""
    if not files:
        return None
    path = output / f"{files}.jpg"
    try:
        # What is in the file of a watch's state is no reason to read another folder.
        if not path.resolve().is_relative_to(output.resolve()) or path.stat().st_size > _LARGEST_PANEL:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _time(text: str) -> str:
    try:
        return clock.at(datetime.fromisoformat(text))
    except ValueError:
        return ""


def _verdict(verdict: object) -> str:
    return str(verdict) if verdict in ("accept", "review", "reject") else "no threshold"


def _score(image: Mapping[str, Any]) -> str:
    """Return a score as a multiple of the threshold, or without a threshold in map units."""
    severity = image.get("severity")
    if not isinstance(severity, (int, float)) or not math.isfinite(severity):
        return ""
    return f"{multiple(severity, 1.0)} threshold" if image.get("verdict") else f"{severity:,.2f}"

"""Buttons that hand out a file, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from padim.output.file_names import flat_name

_MIME = {
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "png": "image/png",
    "zip": "application/zip",
}


def button(
    words: str,
    make: Callable[[], bytes],
    name: str,
    suffix: str,
    *,
    key: str,
    disabled: bool = False,
    help: str | None = None,
) -> None:
    """Draw it; the page does not run again when it is pressed.

    Args:
        words: on the button.
        make: the file's content.
        name: what the file is named after; may hold anything.
        suffix: ends the file's name and tells its kind: csv, html, json, png or zip.
        key: of the button.
        disabled: there is nothing to hand out.
        help: shown on hovering.
    """
    st.download_button(
        words,
        make,
        file_name=flat_name(name, suffix, set()),
        mime=_MIME[suffix.rpartition(".")[2]],
        on_click="ignore",
        icon=":material/download:",
        key=key,
        disabled=disabled,
        help=help,
    )

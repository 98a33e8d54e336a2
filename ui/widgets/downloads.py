"""Download buttons whose file is created when they are clicked."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from padim.output.csv_form import CSV_FORMS, CsvForm, in_form
from padim.output.file_names import flat_name

_MIME = {
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "png": "image/png",
    "zip": "application/zip",
}


_FORM = "csv-form"


def csv_form() -> None:
    """Draw the choice between commas and semicolons, for all CSV files of this session."""
    st.selectbox(
        "CSV",
        list(CSV_FORMS),
        format_func=lambda form: CSV_FORMS[form],
        key=_FORM,
        persist_state="session",
        label_visibility="collapsed",
        width=165,
        help="What separates the columns, and the decimal mark: semicolons with decimal commas for "
        "spreadsheets set to German, French and others.",
    )


def chosen_csv_form() -> CsvForm:
    """Return the form of CSV files that this session has chosen."""
    form: CsvForm = st.session_state.get(_FORM, "comma")
    return form


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
    """Draw a download button; clicking it does not run the page again.

    Args:
        words: the text on the button.
        make: returns the file's content.
        name: the base of the file name; may contain any characters.
        suffix: file name ending with the file type: .csv, .html, .json, .png or .zip.
        key: key of the button.
        disabled: whether there is nothing to download.
        help: the tooltip.
    """
    form = chosen_csv_form()
    st.download_button(
        words,
        (lambda: in_form(make(), form)) if suffix.endswith(".csv") and form != "comma" else make,
        file_name=flat_name(name, suffix, set()),
        mime=_MIME[suffix.rpartition(".")[2]],
        on_click="ignore",
        icon=":material/download:",
        key=key,
        disabled=disabled,
        help=help,
    )

"""The exports of the records that the filters select."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui import records
from ui.app import shell
from ui.app.text import count, megabytes
from ui.jobs import watch
from ui.widgets import downloads

if TYPE_CHECKING:
    from padim.records.exports.exporting import ExportFormat
    from padim.records.inspection_query import InspectionQuery

__all__ = ["draw"]

_KEY = "records-export-kind"
_MIME = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet", ".zip": "application/zip"}


def draw(query: InspectionQuery, number: int) -> None:
    """Draw the choice of what to write, the progress, and the file once it is written.

    Args:
        query: which records.
        number: how many they are.
    """
    job = records.export_job()
    with st.container(border=True, key="records-exports"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind: ExportFormat = st.selectbox(
                "Export",
                list(records.EXPORT_WORDS),
                format_func=lambda one: records.EXPORT_WORDS[one][0],
                key=_KEY,
                persist_state="session",
                width=260,
            )
            downloads.csv_form()
            st.button(
                f"Write {count(number, 'record')}",
                key="records-export",
                icon=":material/file_save:",
                disabled=not number or (job is not None and job.running),
                on_click=records.start_export,
                args=(query, kind, downloads.chosen_csv_form()),
            )
        st.caption(records.EXPORT_WORDS[kind][1])
        if job is None:
            return
        if job.running:
            watch.watch(job, unit="record")
        elif job.state == "failed":
            shell.failure("The export was not written.", job.error)
        elif job.state == "done":
            _file(job.result)


def _file(done: records.ExportedFile) -> None:
    size = done.path.stat().st_size
    words = records.EXPORT_WORDS[done.kind][0]
    with st.container(horizontal=True, vertical_alignment="center"):
        if size > records.LARGEST_EXPORT:
            st.warning(
                f"{words} has {megabytes(size)}, too large for a download. Write it on the server with "
                f"`python -m padim records export --format {done.kind} FILE`.",
                icon=":material/warning:",
            )
            return
        st.download_button(
            f"Download: {words}, {megabytes(size)}",
            done.path.read_bytes,
            file_name=f"records{done.path.suffix}",
            mime=_MIME[done.path.suffix],
            on_click="ignore",
            type="primary",
            icon=":material/download:",
            key="records-download",
        )
        missing = len(done.account.missing)
        lacks = f" missing.csv says what is not kept, and why: {count(missing, 'line')}." if missing else ""
        st.caption(f"{count(done.account.written, 'record')} in it.{lacks}")
